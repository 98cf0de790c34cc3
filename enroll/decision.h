/* Shared by the files that decide: the question being decided, and what a decision leaves for the change. */
#pragma once

#include "enroll/assigned.h"
#include "enroll/enroll.h"
#include "presented.h"

enum change_kind {
    CHANGE_NONE,
    CHANGE_ISSUE,
    CHANGE_PEND,              /* a new request waits */
    CHANGE_POLL,              /* a waiting one was asked for */
    CHANGE_CHALLENGE_REFUSED, /* recorded and counted */
    CHANGE_TRANSACTION_REFUSED,
};

/* What the change needs of a decision: everything that is not in the message or the certificate. */
struct enroll_private {
    enum change_kind kind;
    bool known;                          /* the transaction had a record, `expected`, that must not have changed */
    struct store_tx expected;
    uint8_t identity[STORE_HASH];        /* of the CSR */
    uint8_t key_hash[STORE_HASH];
    uint8_t signer_hash[STORE_HASH];     /* of the message that began the transaction */
    uint8_t signer_key_hash[STORE_HASH];
    uint8_t subject_hash[STORE_HASH];    /* of the subject as planned */
    char subject[STORE_SUBJECT_MAX], san[STORE_SUBJECT_MAX]; /* as planned, texts */
    char key[16];
    char unknown[256];                   /* extensions asked for that nobody knows */
    bool one_time;                       /* `challenge_hash` is burnt with the certificate, as of `burn_at` */
    uint8_t challenge_hash[STORE_HASH];
    int64_t burn_at;
    char challenge_label[128];
    bool new_key;                        /* the template wants a key that has no certificate yet */
    enum duplicates duplicates;          /* of this subject, to be looked at again */
    uint64_t renews, renewed_before;     /* ids: the old certificate, and what had renewed it already */
    char original_challenge[32];         /* of the old certificate */
    char device[32], policy[32];         /* whose it is, "" none: looked at again, as `assigned_for` */
    enum assigned_for assigned_for;
    uint64_t max_pending;                /* CHANGE_PEND: 0: no limit */
    struct buf csr;                      /* CHANGE_PEND: owned, without its challenge */
};

struct ask {
    const struct enroll_context *ctx;
    const struct enroll_policy *policy;
    const struct scep_message *m;
    const struct enroll_peer *peer;
    int64_t now;
    struct enroll_decision *d;
    struct enroll_private *p;            /* d->priv */
    struct cert_plan *plan;
    struct csr **stored_csr;
    const struct csr *csr;               /* the message's, or the stored one */
    bool ours;                           /* the signer's certificate was issued here: `signer` */
    struct store_cert signer;
    bool answered;                       /* the transaction's certificate is still good: no second one by challenge */
    struct presented presented;
    struct trail *trail;                 /* d->trail */
};

/* Hands an error on. */
static inline bool err_pass(struct err *err, const struct err *why)
{
    *err = *why;
    return false;
}

static inline bool hash_eq(const uint8_t a[STORE_HASH], const uint8_t b[STORE_HASH])
{
    return memcmp(a, b, STORE_HASH) == 0;
}

/* All of these return true with a verdict, ERR_REFUSED with the reason, or a fault. */

/* initial.c: PKCSReq of somebody new, by challenge or approval. */
bool decide_initial(struct ask *a, struct err *err);
/* Plan by template; `signer_subject` for renewals, else NULL. */
bool ask_plan(struct ask *a, const char *signer_subject, struct err *err);
/* One key, one subject, never a key of the authority, and never one that was compromised. */
bool ask_key_unused(struct ask *a, struct err *err);
/* Judges the challenge as of `when`. */
bool ask_challenge(struct ask *a, const struct presented *p, int64_t when, struct err *err);
/* Another valid certificate of the subject, as the endpoint has it.  After the challenge: a stranger is not told who has
 * a certificate. */
bool ask_duplicates(struct ask *a, struct err *err);
/* elsewhere.c: what the policy's webhook says.  *go_on false: it has to be asked first, and that is the verdict. */
bool ask_elsewhere(struct ask *a, bool *go_on, struct err *err);
/* assigned.c: device and policy, each "" if there is none: of the challenge, of the certificate that is renewed, or of the
 * request that waits.  `key` NULL: it is not asked for. */
bool ask_assigned(struct ask *a, const char *device, const char *policy, enum assigned_for what, const struct pubkey *key,
                  struct err *err);
/* Takes the challenge over into what the change will burn. */
void ask_take_challenge(struct ask *a, int64_t burn_at);

/* renewal.c: by a certificate of ours. */
bool decide_renewal(struct ask *a, struct err *err);

/* waiting.c: requests that wait, polls, and certificates that are given again. */
bool decide_poll(struct ask *a, struct err *err);
bool decide_waiting(struct ask *a, struct err *err); /* the transaction's record decides */
bool ask_repeat(struct ask *a, struct store_cert *c, struct err *err);
