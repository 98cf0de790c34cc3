#include "enroll/enroll.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/text.h"
#include "decision.h"

void enroll_decision_clear(struct enroll_decision *d)
{
    if (!d)
        return;
    buf_clear(&d->certificate);
    store_cert_clear(&d->repeated);
    if (d->priv)
        buf_clear(&d->priv->csr);
    free(d->priv);
    *d = (struct enroll_decision){0};
}

/* ---- what is known before anything is decided ---- */

static bool find_transaction(struct ask *a, struct err *err)
{
    struct err why = {0};
    trail_begin(a->trail, CHECK_TRANSACTION);
    a->p->known = store_tx_get(a->ctx->store, a->policy->endpoint, a->m->transaction_id,
                               &a->p->expected, &why);
    if (!a->p->known && why.kind != ERR_NOT_FOUND)
        return err_pass(err, &why);
    if (a->p->known) {
        static const char *const states[] = {"issued", "pending", "approved", "denied", "expired"};
        char then[32];
        text_time(a->p->expected.changed_at, then);
        trail_pass(a->trail, "known, %s since %s", states[a->p->expected.state], then);
    } else {
        trail_pass(a->trail, "new");
    }
    return true;
}

/* A certificate that is byte for byte one of the store's was issued here: its issuer's name alone
 * proves nothing. */
static bool find_signer(struct ask *a, struct err *err)
{
    struct err why = {0};
    const struct cert *signer = a->m->signer;
    trail_begin(a->trail, CHECK_SIGNER);
    a->ours = store_cert_by_der(a->ctx->store, signer->serial, signer->sha256, &a->signer, &why);
    if (!a->ours && why.kind != ERR_NOT_FOUND)
        return err_pass(err, &why);
    if (a->ours)
        hex_encode(view_of(a->signer.serial, a->signer.serial_len), a->d->signer);
    if (a->ours)
        trail_pass(a->trail, "certificate %s of ours", a->d->signer);
    else
        trail_pass(a->trail, a->m->self_signed
                                 ? "self-signed with the device's own key, as a first enrolment is"
                                 : "not a certificate of ours, nor self-signed");
    return true;
}

static void take_request(struct ask *a)
{
    struct enroll_private *p = a->p;
    a->csr = a->m->csr;
    memcpy(p->identity, a->csr->identity, STORE_HASH);
    memcpy(p->key_hash, a->csr->key.sha256, STORE_HASH);
    memcpy(p->signer_hash, a->m->signer->sha256, STORE_HASH);
    memcpy(p->signer_key_hash, a->m->signer_key.sha256, STORE_HASH);
}

/* ---- a transaction ID that is known ---- */

static bool reused(const struct ask *a, const char *what, struct err *err)
{
    char then[32];
    text_time(a->p->expected.changed_at, then);
    return err_refuse(err, REASON_TRANSACTION_REUSED,
                      "transaction %.100s was used %s for another %s", a->m->transaction_id, then,
                      what);
}

/* The certificate of this transaction was issued.  `*answered`: the verdict stands; otherwise
 * decide anew: after its end, or after its revocation with another key, the ID is free again, since
 * some devices have but one (RFC 8894 section 5.2). */
static bool decide_issued(struct ask *a, const struct store_tx *tx, struct store_cert *c,
                          bool *answered, struct err *err)
{
    bool same_key = hash_eq(tx->key_hash, a->p->key_hash);
    bool same_wish = same_key && hash_eq(tx->identity, a->p->identity);
    *answered = false;
    if (a->now > c->not_after)
        return true; /* long over: a new transaction takes its place */
    if (c->state == CERT_REVOKED && !same_key)
        return true; /* whoever may have a certificate at all may have this one's successor */
    /* A request to the next CA under the old transaction ID wants the next CA's certificate. */
    if (a->ours && a->policy->authority->role == AUTHORITY_NEXT &&
        memcmp(c->authority, a->policy->authority->key_id, sizeof c->authority) != 0)
        return true;
    a->answered = true;
    if (a->ours) {
        /* Clients renew under the old transaction ID, some with the same key and CSR: only the same
         * signer as last time asks for the reply that it lost. */
        *answered = same_key && hash_eq(tx->signer_hash, a->p->signer_hash);
        return *answered ? ask_repeat(a, c, err) : true;
    }
    if (!same_wish)
        return reused(a, same_key ? "subject or extensions" : "key", err);
    if (!a->policy->any_signer_key && !hash_eq(a->p->signer_key_hash, a->p->key_hash))
        return err_refuse(err, REASON_CSR_SIGNER,
                          "the repeated request is signed with another key than its own");
    *answered = true;
    return ask_repeat(a, c, err);
}

static bool decide_known_issued(struct ask *a, bool *answered, struct err *err)
{
    struct store_cert c = {0};
    struct err why = {0};
    if (!store_cert_by_id(a->ctx->store, a->p->expected.cert_id, &c, &why))
        return why.kind == ERR_NOT_FOUND
                   ? err_set(err, ERR_STORE, "the certificate of a transaction is missing")
                   : err_pass(err, &why);
    bool ok = decide_issued(a, &a->p->expected, &c, answered, err);
    store_cert_clear(&c);
    return ok;
}

/* RFC 8894 section 4.4: a client may ask again by the same PKCSReq instead of a CertPoll. */
static bool decide_known_waiting(struct ask *a, struct err *err)
{
    const struct store_tx *tx = &a->p->expected;
    if (!hash_eq(tx->key_hash, a->p->key_hash))
        return reused(a, "key", err);
    if (!a->policy->any_signer_key && !hash_eq(tx->signer_key_hash, a->p->signer_key_hash))
        return reused(a, "signer", err);
    return decide_waiting(a, err);
}

static bool decide_known(struct ask *a, bool *answered, struct err *err)
{
    const struct store_tx *tx = &a->p->expected;
    *answered = true;
    switch (tx->state) {
    case TX_ISSUED:
        return decide_known_issued(a, answered, err);
    case TX_PENDING:
    case TX_APPROVED:
        return decide_known_waiting(a, err);
    case TX_DENIED:
        /* A certificate of ours asks for its renewal, whatever an administrator thought of another
         * request; a corrected request under an ID that is made of the key is a new one. */
        if (!a->ours && !hash_eq(tx->key_hash, a->p->key_hash))
            return reused(a, "key", err);
        if (!a->ours && hash_eq(tx->identity, a->p->identity))
            return decide_waiting(a, err);
        break;
    case TX_EXPIRED:
        break;
    }
    *answered = false;
    return true;
}

/* The transaction's second look, now that the signer is known: is it what was answered before? */
static bool decide_transaction(struct ask *a, bool *answered, struct err *err)
{
    trail_begin(a->trail, CHECK_REPEAT);
    if (!decide_known(a, answered, err))
        return false;
    /* what looked at a request that waits, or that is held back, has said more */
    if (a->trail->step[a->trail->n - 1].check == CHECK_REPEAT)
        trail_pass(a->trail, *answered ? "answered as it stands" : "open for a new certificate");
    return true;
}

/* ---- deciding ---- */

/* Without a valid certificate of ours the challenge may still speak for the device, but never for a
 * second certificate under a transaction ID that has one. */
static bool may_fall_back(const struct ask *a, enum reason why)
{
    /* What an administrator took from a device it gets back by a challenge of its own alone. */
    bool taken = why == REASON_DEVICE_UNKNOWN || why == REASON_DEVICE_RETIRED ||
                 why == REASON_DEVICE_ISOLATED || why == REASON_POLICY_PAUSED ||
                 why == REASON_RENEWAL_UNASSIGNED;
    if (a->m->type != SCEP_PKCS_REQ || a->answered ||
        (taken && a->presented.kind != PRESENTED_ONE_TIME))
        return false;
    if (!a->policy->challenges)
        return !a->policy->manual;
    struct err ignored;
    return (a->presented.kind == PRESENTED_STATIC || a->presented.kind == PRESENTED_ONE_TIME) &&
           presented_usable(&a->presented, a->p->key_hash, a->now, &ignored);
}

/* RFC 8894 section 2.3: who signed decides whether it is a renewal, not the messageType. */
static bool decide_new(struct ask *a, struct err *err)
{
    if (a->ours || a->m->type == SCEP_RENEWAL_REQ)
        trail_begin(a->trail, CHECK_RENEWAL);
    if (!a->ours && a->m->type == SCEP_RENEWAL_REQ)
        return err_refuse(err, REASON_RENEWAL_SIGNER_UNKNOWN,
                          "the signer's certificate %s was not issued here",
                          a->m->self_signed ? "is self-signed and" : "from another authority");
    if (!a->ours)
        return decide_initial(a, err);
    struct err why = {0};
    if (decide_renewal(a, &why))
        return true;
    if (why.kind == ERR_REFUSED && may_fall_back(a, why.reason)) {
        trail_pass_over(a->trail, "%s", why.text);
        cert_plan_clear(a->plan);
        *a->plan = (struct cert_plan){0};
        a->d->renewal = false;
        a->p->renews = a->p->renewed_before = 0;
        a->p->device[0] = a->p->policy[0] = '\0';
        return decide_initial(a, err);
    }
    return err_pass(err, &why);
}

static bool decide(struct ask *a, struct err *err)
{
    const struct scep_message *m = a->m;
    if (!find_transaction(a, err))
        return false;
    if (m->type == SCEP_CERT_POLL)
        return decide_poll(a, err);
    if ((m->type != SCEP_PKCS_REQ && m->type != SCEP_RENEWAL_REQ) || !m->csr)
        return err_refuse(err, REASON_MESSAGE_UNSUPPORTED,
                          "a message of type %d asks for no certificate", (int)m->type);
    take_request(a);
    bool answered = false;
    if (!find_signer(a, err) || !presented_find(a->ctx, a->policy, a->csr, &a->presented, err) ||
        (a->p->known && !decide_transaction(a, &answered, err)))
        return false;
    return answered || decide_new(a, err);
}

/* Misuse of what is one's own business only once is recorded and counted; other refusals leave no
 * trace in the store. */
static void reject(struct ask *a, const struct err *why)
{
    struct enroll_private *p = a->p;
    a->d->verdict = ENROLL_REJECT;
    a->d->reason = why->reason;
    memcpy(a->d->detail, why->text, sizeof a->d->detail);
    p->kind = CHANGE_NONE;
    bool misused = why->reason == REASON_CHALLENGE_USED ||
                   why->reason == REASON_CHALLENGE_EXPIRED ||
                   why->reason == REASON_CHALLENGE_REVOKED;
    if (misused && a->presented.kind == PRESENTED_ONE_TIME) {
        memcpy(p->challenge_hash, a->presented.challenge.hash, STORE_HASH);
        p->kind = CHANGE_CHALLENGE_REFUSED;
    } else if (why->reason == REASON_TRANSACTION_REUSED && p->known) {
        p->kind = CHANGE_TRANSACTION_REFUSED;
    }
}

/* For the attempt: what was decided, else what can be told. */
static void whose(const struct ask *a)
{
    const struct store_challenge *c = &a->presented.challenge;
    const struct {
        const char *device, *policy;
    } told[] = {
        {a->d->device, a->d->policy}, /* of the request that waits */
        {a->p->device, a->p->policy},
        {a->d->repeated.device, a->d->repeated.policy},
        {a->d->renewal ? a->signer.device : c->device,
         a->d->renewal ? a->signer.policy : c->policy},
        {a->signer.device, a->signer.policy},
    };
    size_t i = 0, last = sizeof told / sizeof told[0] - 1;
    while (i < last && !*told[i].device && !*told[i].policy)
        i++;
    if (i > 0) {
        snprintf(a->d->device, sizeof a->d->device, "%s", told[i].device);
        snprintf(a->d->policy, sizeof a->d->policy, "%s", told[i].policy);
    }
}

bool enroll_decide(const struct enroll_context *ctx, const struct enroll_policy *policy,
                   const struct scep_message *m, const struct enroll_peer *peer, int64_t now,
                   struct enroll_decision *out, struct cert_plan *plan, struct csr **stored_csr,
                   struct err *err)
{
    *out = (struct enroll_decision){0};
    *plan = (struct cert_plan){0};
    *stored_csr = NULL;
    out->priv = calloc(1, sizeof *out->priv);
    if (!out->priv)
        return err_memory(err);
    struct ask a = {.ctx = ctx,
                    .policy = policy,
                    .m = m,
                    .peer = peer,
                    .now = now,
                    .d = out,
                    .p = out->priv,
                    .plan = plan,
                    .stored_csr = stored_csr,
                    .trail = &out->trail};
    struct err why = {0};
    bool ok = decide(&a, &why);
    if (!ok)
        trail_stop(a.trail, "%s", why.text);
    snprintf(out->challenge, sizeof out->challenge, "%s", presented_id(&a.presented));
    whose(&a);
    if (!ok && why.kind == ERR_REFUSED) {
        reject(&a, &why);
        ok = true;
    }
    if (!ok || (out->verdict != ENROLL_ISSUE && out->verdict != ENROLL_ASK)) {
        cert_plan_clear(plan);
        *plan = (struct cert_plan){0};
        csr_free(*stored_csr);
        *stored_csr = NULL;
    }
    store_cert_clear(&a.signer);
    if (!ok) {
        struct trail trail = out->trail;
        enroll_decision_clear(out);
        out->trail = trail;
        *err = why;
    }
    return ok;
}
