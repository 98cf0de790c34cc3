/* Who may have a certificate.  One decision function looks at a request and at what the store remembers, and says
 * issue, pend, repeat or reject; one apply function writes the outcome in the committer's transaction, checking
 * again what could have changed meanwhile. */
#pragma once

#include "base/trail.h"
#include "ca/authority.h"
#include "ca/issue.h"
#include "enroll/banned.h"
#include "enroll/challenge.h"
#include "pkcs7/scep.h"
#include "store/notice.h"
#include "store/store.h"

enum challenge_policy { CHALLENGE_NONE = 0, CHALLENGE_ONE_TIME = 1, CHALLENGE_STATIC = 2 }; /* bits */
enum renewal_challenge { RENEWAL_CHALLENGE_IGNORE, RENEWAL_CHALLENGE_CHECK, RENEWAL_CHALLENGE_REQUIRE };

/* What a first enrolment means for a subject that holds a valid certificate of the same template already. */
enum duplicates { DUPLICATES_ALLOW, DUPLICATES_REFUSE, DUPLICATES_REPLACE };

/* What an endpoint allows.  Immutable. */
struct enroll_policy {
    char endpoint[64];               /* its name in the store: the path */
    const struct authority *authority;
    const struct template *template;
    unsigned challenges;             /* enum challenge_policy bits; 0: none needed */
    uint8_t static_hash[STORE_HASH]; /* challenge_hash of the static one */
    bool manual;                     /* an administrator approves first enrolments; renewals do not wait */
    int64_t pending_ttl;             /* seconds; 0: waits for ever */
    uint64_t max_pending;            /* that may wait at once; 0: no limit */
    bool renewal;                    /* by a valid certificate of ours, issued at this endpoint or by this template.
                                        One that was renewed already may renew again: devices lose what they got */
    enum renewal_challenge renewal_challenge;
    struct banned_keys banned;       /* borrowed: the policy's owner frees them */
    enum duplicates duplicates;      /* REPLACE revokes the old ones (superseded).  Renewals are no duplicates, and an
                                        empty subject is nobody's */
    char validate[64];               /* the webhook that must allow what the checks let through; "": none */
    bool validate_refuses;           /* no answer of it is a refusal; else the device is asked to come again */
    bool any_signer_key;             /* proxies sign with an ephemeral key: do not compare with the CSR's */
};

/* What a webhook has said about a request. */
enum enroll_asked_state { ENROLL_NOT_ASKED, ENROLL_ALLOWED, ENROLL_DENIED, ENROLL_NO_ANSWER };
struct enroll_asked {
    enum enroll_asked_state state;
    char text[256];                  /* why, printable */
};

struct enroll_context {
    struct store *store;
    const struct challenge_key *challenge_key;
    const struct enroll_asked *asked; /* NULL: nobody was asked yet */
};

struct enroll_peer { const char *address; const char *agent; };

enum enroll_verdict {
    ENROLL_ISSUE, ENROLL_PEND, ENROLL_REPEAT, ENROLL_REJECT,
    ENROLL_ASK,                      /* all else is good: ask the policy's webhook, and decide anew with what it says */
};

struct enroll_decision {
    enum enroll_verdict verdict;
    enum reason reason;              /* REJECT */
    char detail[320];                /* REJECT: rule, value, limit; for log and store */
    char request[32];                /* PEND, or ISSUE after approval: id of the request */
    char device[32], policy[32];     /* ids, known even when refused: of the challenge, the signer or the request; "" none */
    char challenge[32];              /* id of the challenge that came with it, known even when refused; "static" */
    struct buf certificate;          /* REPEAT: the one issued before */
    struct store_cert repeated;      /* REPEAT: its record (der moved to `certificate`) */
    bool renewal;
    uint32_t polls;                  /* PEND: how often this request was asked for before */
    char signer[2 * STORE_SERIAL_MAX + 1]; /* hex serial of the signer's certificate, "" when it is not one of ours */
    struct trail trail;              /* the checks in order; also after a fault */
    /* private to enroll/: what the change needs */
    struct enroll_private *priv;
};
void enroll_decision_clear(struct enroll_decision *d);

/* In this order, and whatever refuses first, nothing is burnt: the transaction (a lost reply is repeated), who signed (a
 * certificate of ours renews, whatever the messageType; when it may not, a PKCSReq may still enrol by its challenge), the
 * template, the key's other uses, the challenge, an administrator.
 * PKCSReq, RenewalReq and CertPoll.  Returns false only for faults of ours; a refusal is a verdict.  For ISSUE and ASK `plan` is
 * filled; for a poll or a repeated request that was approved, the CSR is the stored one and `*stored_csr` (owned) gets it,
 * since the plan borrows from it. */
bool enroll_decide(const struct enroll_context *ctx, const struct enroll_policy *policy, const struct scep_message *m,
                   const struct enroll_peer *peer, int64_t now, struct enroll_decision *out, struct cert_plan *plan,
                   struct csr **stored_csr, struct err *err);

/* Everything that must be durable before the reply may leave. */
struct enroll_change;
/* NULL in `*out` when nothing needs storing (a plain refusal).  Misuse of a challenge or a transactionID is counted, and
 * the first ten times recorded.  Takes what is private in `d`; `m` may be freed afterwards. */
bool enroll_change_new(const struct enroll_policy *policy, const struct scep_message *m, const struct enroll_peer *peer,
                       struct enroll_decision *d, const struct issued *issued, int64_t now, struct enroll_change **out,
                       struct err *err);
void enroll_change_free(struct enroll_change *c);
/* The attempt that made the change: stored together with it.  Copied; ERR_MEMORY. */
bool enroll_change_record(struct enroll_change *c, const struct store_attempt *a, struct err *err);
/* A notice that is stored together with the certificate it tells of.  Takes what is in it; the certificate's id is filled
 * in then.  At most ENROLL_MAX_NOTICES. */
#define ENROLL_MAX_NOTICES 5
void enroll_change_notice(struct enroll_change *c, struct store_notice *n);
/* The id of the certificate, after it was stored, when one of its notices holds it back; else 0. */
uint64_t enroll_change_held(const struct enroll_change *c);
/* Writes it.  ERR_CONFLICT, and nothing written, when the world changed since the decision: decide anew. */
bool enroll_change_apply(struct enroll_change *c, struct store_write *w, struct err *err);
/* Several in one transaction, each with its own result; the batch is committed when at least one applied.  false: the commit
 * failed, nothing is stored, and every result says so.  A full map is enlarged and tried again. */
bool enroll_commit(struct store *s, struct enroll_change *const *changes, struct err *results, size_t n, struct err *err);

/* Administration, for scepctl: each writes its audit entry.  CRL_REMOVE_FROM_CRL releases a certificate on hold. */
bool enroll_request_decide(struct store *s, const char *id, bool approve, const char *by, const char *note, int64_t now,
                           struct store_request *out, struct err *err);
bool enroll_cert_revoke(struct store *s, uint64_t cert_id, enum crl_reason reason, const char *by, int64_t now, struct err *err);
bool enroll_challenge_revoke(struct store *s, const char *id, const char *by, int64_t now, struct err *err);
/* Takes back what waits or was approved, as long as its device has not fetched it; it is told FAILURE. */
bool enroll_request_cancel(struct store *s, const char *id, const char *by, const char *note, int64_t now,
                           struct store_request *out, struct err *err);
/* The same verbs for who has seen an item before and wants to change just that: each version stands for what an administrator can
 * see and change of it (not for polls, refusals and the like).  ERR_CONFLICT, and nothing changed, when it is another by now. */
struct enroll_act {
    const char *by, *note;           /* note: NULL for none */
    int64_t now;
    uint64_t expected;               /* version; 0: any */
};
enum enroll_request_verb { ENROLL_APPROVE, ENROLL_DENY, ENROLL_CANCEL };
uint64_t enroll_cert_version(const struct store_cert *c);
uint64_t enroll_request_version(const struct store_request *r);
uint64_t enroll_challenge_version(const struct store_challenge *c);
bool enroll_cert_change(struct store *s, uint64_t cert_id, enum crl_reason reason, const struct enroll_act *act, struct err *err);
bool enroll_request_change(struct store *s, const char *id, enum enroll_request_verb verb, const struct enroll_act *act,
                           struct store_request *out, struct err *err);
bool enroll_challenge_change(struct store *s, const char *id, const struct enroll_act *act, struct err *err);
/* The same inside a write of the caller, for taking many away in few writes; what cannot be changes nothing of it. */
bool enroll_cert_change_in(struct store_write *w, uint64_t id, enum crl_reason reason, const struct enroll_act *act,
                           struct err *err);
bool enroll_request_change_in(struct store_write *w, const char *id, enum enroll_request_verb verb,
                              const struct enroll_act *act, struct err *err);
bool enroll_challenge_change_in(struct store_write *w, const uint8_t hash[STORE_HASH], const struct enroll_act *act,
                                struct err *err);
/* One step of a purge (store.h); writes an audit entry when something went. */
bool enroll_purge(struct store *s, struct store_purge *p, const char *by, int64_t now, struct err *err);
/* A backup was written and is good: remembered for whoever watches that. */
bool enroll_backup_done(struct store *s, const char *file, const struct store_facts *f, const char *by, int64_t now,
                        struct err *err);
/* Anything else that an administrator did and that has no verb here. */
bool enroll_note(struct store *s, const char *event, const char *object, const char *text, const char *by, int64_t now,
                 struct err *err);
/* Periodic: expires pending requests, forgets challenges 90 days after their end. */
bool enroll_housekeep(struct store *s, int64_t now, struct err *err);
