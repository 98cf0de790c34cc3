/* One attempt in plain words: who did what and when, the rule and the value that broke it, the next step.  Texts may hold
 * whatever a device sent: clean them before they reach a terminal. */
#pragma once

#include <jansson.h>

#include "base/reason_help.h"
#include "store/store.h"

#define EXPLAIN_TEXT 2048

/* "issued", "refused", ... */
const char *explain_result(enum attempt_result result);
/* Of whom one speaks: the subject, or what is known instead. */
void explain_who(const struct store_attempt *a, char *out, size_t cap);
/* REASON_NONE: all went well, or a code that this version does not know. */
enum reason explain_reason(const struct store_attempt *a);
/* The fix of a reason with the values of an attempt put in, quoted for a shell; without one (NULL), or where a value is
 * not known, words in capitals stand for them.  The same for a cause. */
void explain_fill(const char *text, const struct store_attempt *a, char *out, size_t cap);
/* "HTTP 200, CertRep FAILURE badRequest, 0x80094011" */
void explain_sent(const struct store_attempt *a, char *out, size_t cap);
/* The checks behind the one that stopped, in words; "" when it did not stop. */
void explain_not_reached(const struct store_attempt *a, char *out, size_t cap);
/* Everything, under documented names (docs/JSON.md).  Owned. */
json_t *explain_json(const struct store_attempt *a);
/* Cause, fix and screen of a reason, for an attempt or (NULL) in general.  Owned. */
json_t *explain_reason_json(enum reason reason, const struct store_attempt *a);

/* ---- what is meant by a word that somebody has in hand (explain_search.c) ---- */

#define EXPLAIN_CANDIDATES 16 /* different things that one word may mean */
#define EXPLAIN_PREFIX_LEAST 6
#define EXPLAIN_SHOWN_MAX 1000

enum explain_kind {
    EXPLAIN_TRANSACTION, EXPLAIN_SUBJECT, EXPLAIN_SERIAL, EXPLAIN_ADDRESS, EXPLAIN_CHALLENGE, EXPLAIN_REQUEST, EXPLAIN_REASON,
    EXPLAIN_DEVICE, EXPLAIN_POLICY, /* by id; their names stand in subjects */
};
const char *explain_kind_name(enum explain_kind kind); /* "certificate" for EXPLAIN_SERIAL */

struct explain_candidate {
    enum explain_kind kind;
    char value[STORE_SUBJECT_MAX];
    bool exact;
    uint64_t n;                /* attempts */
};

struct explain_search {
    struct store *store;       /* borrowed, like `what` */
    const char *what;
    char address[64];          /* `what` as an address in its usual form, or "" */
    char hex[2 * STORE_SERIAL_MAX + 1]; /* `what` as hex digits, or "" */
    struct explain_candidate found[EXPLAIN_CANDIDATES];
    size_t found_n;
    bool more;                 /* candidates than there is room for */
    int64_t oldest;            /* when the oldest attempt that was looked at came; 0: there is none */
    uint64_t left;             /* attempts that may still be looked at */
};
/* Looks through the newest `most` attempts (0: all) and then the records: what may `what` mean?  None found is no error.  The
 * newest attempts reach the store up to EXPLAIN_LATE_MS after the answer. */
bool explain_search(struct store *store, const char *what, uint64_t most, struct explain_search *out, struct err *err);
#define EXPLAIN_LATE_MS 2000

struct explain_found {         /* of the one that was meant */
    struct store_attempt *attempt; /* owned; newest first */
    size_t n;
    uint64_t matched;          /* how many there are */
};
/* Among the newest `most` (0: all), the newest `limit` of those that are of `meant`. */
bool explain_attempts(struct store *store, const struct explain_candidate *meant, uint64_t most, size_t limit,
                      struct explain_found *out, struct err *err);
void explain_found_clear(struct explain_found *f);

/* The certificate that is meant, or that the device or subject holds: the newest that stands, else the newest that it held.  id 0: none, or
 * it is not about one.  Devices and whole subjects have an index; of others the newest 100000 certificates are looked at.  The caller
 * clears *out. */
bool explain_certificate(struct store *store, const struct explain_candidate *meant, struct store_cert *out, struct err *err);

/* Who revoked a certificate, or put it on hold, as the audit log has it; "" when it cannot be told (any more). */
bool explain_revoked_by(struct store *store, const struct store_cert *c, char by[64], struct err *err);

#define EXPLAIN_PEERS 64
struct explain_same {          /* who else met a reason lately */
    const char *code;
    int64_t from, since;       /* looked at from there; the oldest that was found */
    uint64_t n;
    size_t peers;              /* different addresses; more are not counted */
    char peer[EXPLAIN_PEERS][64];
};
bool explain_same(struct store *store, const char *code, int64_t from, struct explain_same *out, struct err *err);
