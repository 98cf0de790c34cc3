/* What the parts of store_verify share. */
#pragma once

#include "records.h"

struct verify {
    struct txn t;
    void (*each)(void *ctx, const struct store_problem *p);
    void *ctx;
    uint64_t problems;
    uint64_t pending, counted; /* requests that wait; those at endpoints that have a counter */
    struct cert_tally *certs;  /* owned; as the records walked so far make it */
    bool certs_read;           /* all of them could be read */
    bool chain_only;           /* nothing but the audit chain is asked for */
    uint64_t attempt;          /* number of the last one */
    struct audit_head audit;   /* as the entries walked so far make it */
};

__attribute__((format(printf, 2, 3))) void verify_problem(struct verify *v, const char *fmt, ...);
/* A reader said no: damage is a problem to report, anything else ends the verification. */
bool verify_unreadable(struct verify *v, enum table table, struct view key, const struct err *err);
bool verify_index_has(struct verify *v, enum table table, struct key key, struct view expected, bool *yes,
                      struct err *err);
bool verify_exists(struct verify *v, enum table table, struct view key, bool *yes, struct err *err);

/* ---- challenge_pool.c ---- */

bool verify_pools(struct verify *v, struct err *err);
/* Is one that is open in its pool? */
bool verify_pool_of(struct verify *v, const struct store_challenge *c, struct err *err);

/* ---- notice.c ---- */

bool verify_notices(struct verify *v, struct err *err);

/* ---- verify_job.c ---- */

bool verify_jobs(struct verify *v, struct err *err);

/* ---- verify_fleet.c ---- */

/* Do device and policy of a record know it? */
bool verify_links(struct verify *v, const char *device, const char *policy, enum link_kind kind, struct view number,
                  struct err *err);
/* Devices, groups, policies, their names and ties, and all links. */
bool verify_fleet(struct verify *v, struct err *err);
/* ---- verify_account.c ---- */

/* Administrators, tokens and kept answers. */
bool verify_accounts(struct verify *v, struct err *err);
