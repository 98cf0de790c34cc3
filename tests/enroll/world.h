/* A small world for the tests of enroll/: a store in a directory of its own, an authority whose certificates the
 * test writes itself with OpenSSL (this room never signs), one endpoint, and devices that ask. */
#pragma once

#include <check.h>
#include <openssl/evp.h>

#include "enroll/enroll.h"

#define DAY ((int64_t)86400)
#define NOW ((int64_t)1800000000) /* 2027-01-15 */

struct world {
    char dir[64];
    uint64_t map_size;
    struct store *store;
    struct enroll_context ctx;
    struct challenge_key challenge_key;
    struct authority authority;
    EVP_PKEY *ca_key, *ra_key;
    struct template template;
    struct enroll_policy policy; /* one-time challenges, renewals, nothing manual */
    int64_t now;
};
void world_open(struct world *w);
void world_open_sized(struct world *w, uint64_t map_size);
void world_restart(struct world *w); /* closes and opens the store */
void world_close(struct world *w);

/* A fresh P-256 key; the test frees it. */
EVP_PKEY *new_key(void);

/* A message; what is zero has a default. */
struct wish {
    enum scep_type type;      /* PKCSReq */
    const char *transaction;  /* "tx-1" */
    const char *subject;      /* "CN=ipad-1" */
    const char *dns;          /* no SAN */
    const char *challenge;    /* none */
    EVP_PKEY *key;            /* of the CSR; NULL only for polls */
    EVP_PKEY *signer_key;     /* self-signed with it; `key` */
    const struct buf *signer; /* DER: signed with this certificate instead */
};
struct scep_message *message_new(const struct world *w, const struct wish *wish);

/* A challenge of the given uses and wish (NULL: plain); returns the secret in a static buffer. */
const char *challenge_make(struct world *w, const struct challenge_wish *wish);

/* What came of a message. */
struct outcome {
    enum enroll_verdict verdict;
    enum reason reason;
    char detail[320], request[32], challenge[32], device[32], policy[32];
    bool renewal;
    bool stored;            /* there was a change */
    struct buf certificate; /* issued or repeated */
};
void outcome_clear(struct outcome *o);
/* Decides, issues and commits; decides anew after a conflict, as the daemon does. */
struct outcome ask(struct world *w, const struct wish *wish);
struct outcome ask_message(struct world *w, const struct scep_message *m);

/* The two halves of it. */
struct half {
    struct outcome outcome;
    struct enroll_change *change;
};
struct half decide_only(struct world *w, const struct scep_message *m);

/* The change finds the world changed and writes nothing: the write around it may be committed. */
void expect_conflict(struct world *w, struct half *h);
void half_clear(struct half *h);

/* Asks, and wants the verdict; the certificate is the caller's. */
struct buf expect_issued(struct world *w, const struct wish *wish);
void expect_pending(struct world *w, const struct wish *wish, char request[32]);
/* The same certificate as before, and nothing new in the store. */
void expect_repeat(struct world *w, const struct wish *wish, const struct buf *certificate);
/* The reason, a detail that contains `detail` (NULL: any), no certificate and no challenge the poorer. */
void expect_refused(struct world *w, const struct wish *wish, enum reason reason, const char *detail);

struct store_cert record_of(struct world *w, const struct buf *certificate); /* store_cert_clear */
struct store_tx transaction_of(struct world *w, const char *transaction);
struct store_challenge challenge_of(struct world *w, const char *secret);
uint64_t certificates(struct world *w);
/* How many audit entries have this event. */
unsigned audited(struct world *w, const char *event);
/* store_verify finds nothing. */
void expect_sound(struct world *w);
