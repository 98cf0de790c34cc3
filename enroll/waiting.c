#include "decision.h"

#include <stdio.h>
#include <string.h>

#include "base/hex.h"
#include "base/text.h"

bool ask_repeat(struct ask *a, struct store_cert *c, struct err *err)
{
    char serial[2 * STORE_SERIAL_MAX + 1], then[32];
    hex_encode(view_of(c->serial, c->serial_len), serial);
    if (c->state == CERT_REVOKED || c->state == CERT_HELD) {
        memcpy(a->d->device, c->device, sizeof a->d->device);
        memcpy(a->d->policy, c->policy, sizeof a->d->policy);
        text_time(c->revoked_at, then);
        return err_refuse(err, REASON_TRANSACTION_REVOKED, "%s was %s %s (%s)", serial,
                          c->state == CERT_HELD ? "put on hold" : "revoked", then,
                          crl_reason_text(c->revocation_reason));
    }
    bool held = false;
    if (!store_notice_holds(a->ctx->store, c->id, &held, err))
        return false;
    if (held) { /* RFC 8894 section 4.4: the client asks again */
        trail_begin(a->trail, CHECK_WEBHOOK);
        trail_pass(a->trail, "%s is given out when a server elsewhere has taken notice of it",
                   serial);
        a->d->verdict = ENROLL_PEND;
        return true;
    }
    a->d->verdict = ENROLL_REPEAT;
    a->d->renewal = c->renews != 0;
    a->d->certificate = c->der;
    c->der = (struct buf){0};
    a->d->repeated = *c;
    *c = (struct store_cert){0};
    return true;
}

static bool repeat_issued(struct ask *a, struct err *err)
{
    struct store_cert c = {0};
    struct err why = {0};
    if (!store_cert_by_id(a->ctx->store, a->p->expected.cert_id, &c, &why))
        return why.kind == ERR_NOT_FOUND
                   ? err_set(err, ERR_STORE, "the certificate of a transaction is missing")
                   : err_pass(err, &why);
    bool ok;
    if (a->now > c.not_after) {
        char then[32];
        text_time(c.not_after, then);
        ok = err_refuse(err, REASON_REQUEST_EXPIRED,
                        "the certificate of the transaction expired %s", then);
    } else {
        ok = ask_repeat(a, &c, err);
    }
    store_cert_clear(&c);
    return ok;
}

/* What came with the first message of the transaction stays what the records say about it. */
static void keep_first(struct enroll_private *p)
{
    const struct store_tx *tx = &p->expected;
    memcpy(p->identity, tx->identity, STORE_HASH);
    memcpy(p->key_hash, tx->key_hash, STORE_HASH);
    memcpy(p->signer_hash, tx->signer_hash, STORE_HASH);
    memcpy(p->signer_key_hash, tx->signer_key_hash, STORE_HASH);
}

/* Decided anew from what was kept, by the template as it is now.  The challenge counts as presented
 * when the request came: that it expired while the request waited is not the device's fault. */
static bool issue_approved(struct ask *a, const struct store_request *r, struct err *err)
{
    struct presented kept;
    struct err why = {0};
    if (!csr_parse_trusted(buf_view(&r->csr), a->stored_csr, &why))
        return err_set(err, ERR_STORE, "the stored request %s cannot be read: %.200s", r->id,
                       why.text);
    a->csr = *a->stored_csr;
    keep_first(a->p);
    if (!presented_kept(a->ctx, r, &kept, err))
        return false;
    a->presented = kept;
    if (!ask_plan(a, NULL, err) || !ask_key_unused(a, err))
        return false;
    if (kept.kind != PRESENTED_NONE && !ask_challenge(a, &kept, r->created_at, err))
        return false;
    if (!ask_assigned(a, r->device, r->policy, ASSIGNED_ENROL, &a->csr->key, err) ||
        !ask_duplicates(a, err))
        return false;
    ask_take_challenge(a, r->created_at);
    a->p->kind = CHANGE_ISSUE;
    a->d->verdict = ENROLL_ISSUE;
    return true;
}

/* Whoever lost device or policy waits in vain; what was only stopped for a while may go on. */
static bool may_wait(struct ask *a, const struct store_request *r, struct err *err)
{
    struct err why = {0};
    if (ask_assigned(a, r->device, r->policy, ASSIGNED_ENROL, NULL, &why))
        return true;
    if (why.kind != ERR_REFUSED ||
        (why.reason != REASON_DEVICE_ISOLATED && why.reason != REASON_POLICY_PAUSED))
        return err_pass(err, &why);
    trail_pass_over(a->trail, "%s", why.text);
    return true;
}

static bool decide_request(struct ask *a, const struct store_request *r, struct err *err)
{
    char then[32];
    text_time(r->state == REQUEST_PENDING ? r->expires_at : r->decided_at, then);
    trail_begin(a->trail, CHECK_APPROVAL);
    switch (r->state) {
    case REQUEST_PENDING:
        /* also before housekeeping has marked it */
        if (r->expires_at && a->now >= r->expires_at)
            break;
        if (!may_wait(a, r, err))
            return false;
        trail_begin(a->trail, CHECK_APPROVAL);
        trail_pass(a->trail, "%s waits since its first message, poll %u", r->id, r->polls + 1);
        a->d->polls = r->polls + 1;
        a->p->kind = CHANGE_POLL;
        a->d->verdict = ENROLL_PEND;
        return true;
    case REQUEST_APPROVED:
    case REQUEST_ISSUED: /* since the transaction was read: the change will find the conflict */
        trail_pass(a->trail, "%s was approved by %.60s %s", r->id, r->decided_by, then);
        return issue_approved(a, r, err);
    case REQUEST_DENIED:
        return err_refuse(err, REASON_REQUEST_DENIED, "%s was denied by %.60s %s: %.150s", r->id,
                          r->decided_by, then, *r->note ? r->note : "(no note)");
    case REQUEST_EXPIRED:
        text_time(r->expires_at, then);
        break;
    }
    return err_refuse(err, REASON_REQUEST_EXPIRED, "%s waited until %s and nobody approved it",
                      r->id, then);
}

bool decide_waiting(struct ask *a, struct err *err)
{
    const struct store_tx *tx = &a->p->expected;
    if (tx->state == TX_ISSUED)
        return repeat_issued(a, err);
    struct store_request r = {0};
    struct err why = {0};
    if (!store_request_get(a->ctx->store, tx->request, &r, &why))
        return why.kind == ERR_NOT_FOUND
                   ? err_set(err, ERR_STORE, "request %s of a transaction is missing", tx->request)
                   : err_pass(err, &why);
    snprintf(a->d->request, sizeof a->d->request, "%s", r.id);
    memcpy(a->d->device, r.device, sizeof a->d->device);
    memcpy(a->d->policy, r.policy, sizeof a->d->policy);
    bool ok = decide_request(a, &r, err);
    store_request_clear(&r);
    return ok;
}

/* RFC 8894 sections 3.3.3 and 4.4.1: the transaction names the request; what the content says about
 * issuer and subject may be wrong.  Section 4.4 leaves to us who may ask: the key that signed the
 * request, where that is no proxy's (RFC 8894 section 4.4). */
bool decide_poll(struct ask *a, struct err *err)
{
    const struct store_tx *tx = &a->p->expected;
    if (!a->p->known)
        return err_refuse(err, REASON_REQUEST_UNKNOWN, "endpoint %s has no transaction %.100s",
                          a->policy->endpoint, a->m->transaction_id);
    if (!a->policy->any_signer_key && !hash_eq(tx->signer_key_hash, a->m->signer_key.sha256))
        return err_refuse(err, REASON_TRANSACTION_REUSED,
                          "the poll of transaction %.100s is signed with another key",
                          a->m->transaction_id);
    return decide_waiting(a, err);
}
