#include "change.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "enroll/audit.h"
#include "base/hex.h"
#include "base/text.h"

/* Refusals of one challenge, or under one transaction ID, that get an audit entry each: enough to
 * see who it is, and a flood cannot fill the disk. */
#define REFUSALS_RECORDED 10

void enroll_change_free(struct enroll_change *c)
{
    if (!c)
        return;
    store_cert_clear(&c->cert);
    store_request_clear(&c->waiting);
    if (c->p)
        buf_clear(&c->p->csr);
    free(c->p);
    free(c->attempt);
    while (c->notice_n)
        store_notice_clear(&c->notice[--c->notice_n]);
    free(c);
}

bool enroll_change_record(struct enroll_change *c, const struct store_attempt *a, struct err *err)
{
    if (!c->attempt && !(c->attempt = malloc(sizeof *c->attempt)))
        return err_memory(err);
    *c->attempt = *a;
    return true;
}

void enroll_change_notice(struct enroll_change *c, struct store_notice *n)
{
    if (c->notice_n < ENROLL_MAX_NOTICES)
        c->notice[c->notice_n++] = *n;
    else
        store_notice_clear(n);
    *n = (struct store_notice){.id = 0};
}

uint64_t enroll_change_held(const struct enroll_change *c)
{
    for (size_t i = 0; i < c->notice_n; i++)
        if (c->notice[i].held)
            return c->cert.id;
    return 0;
}

/* ---- building ---- */

static void fill_tx(struct enroll_change *c, enum tx_state state)
{
    const struct enroll_private *p = c->p;
    struct store_tx *t = &c->tx;
    memcpy(t->endpoint, c->endpoint, sizeof t->endpoint);
    memcpy(t->transaction, c->transaction, sizeof t->transaction);
    t->state = state;
    memcpy(t->identity, p->identity, STORE_HASH);
    memcpy(t->key_hash, p->key_hash, STORE_HASH);
    memcpy(t->signer_hash, p->signer_hash, STORE_HASH);
    memcpy(t->signer_key_hash, p->signer_key_hash, STORE_HASH);
    t->created_at = c->now;
    t->changed_at = c->now;
    snprintf(t->request, sizeof t->request, "%s", c->request);
    if (p->known) {
        t->reuse_refused = p->expected.reuse_refused;
        if (*c->request && strcmp(p->expected.request, c->request) == 0)
            t->created_at = p->expected.created_at;
    }
}

static bool fill_cert(struct enroll_change *c, const struct enroll_policy *policy,
                      const struct issued *issued, struct err *err)
{
    const struct enroll_private *p = c->p;
    struct store_cert *k = &c->cert;
    memcpy(k->authority, policy->authority->key_id, sizeof k->authority);
    memcpy(k->serial, issued->serial, sizeof issued->serial);
    k->serial_len = sizeof issued->serial;
    k->shard = issued->shard;
    k->state = CERT_ACTIVE;
    k->not_before = issued->not_before;
    k->not_after = issued->not_after;
    k->issued_at = c->now;
    memcpy(k->der_hash, issued->der_hash, STORE_HASH);
    memcpy(k->key_hash, p->key_hash, STORE_HASH);
    memcpy(k->subject_hash, issued->subject_hash, STORE_HASH);
    snprintf(k->subject, sizeof k->subject, "%s", issued->subject);
    snprintf(k->san, sizeof k->san, "%s", issued->san);
    snprintf(k->template_name, sizeof k->template_name, "%s", policy->template->name);
    memcpy(k->endpoint, c->endpoint, sizeof k->endpoint);
    snprintf(k->challenge, sizeof k->challenge, "%s",
             p->renews && !p->one_time ? p->original_challenge : c->challenge);
    snprintf(k->challenge_label, sizeof k->challenge_label, "%s", p->challenge_label);
    memcpy(k->transaction, c->transaction, sizeof k->transaction);
    k->renews = p->renews;
    memcpy(k->device, p->device, sizeof k->device);
    memcpy(k->policy, p->policy, sizeof k->policy);
    return buf_append(&k->der, issued->der.p, issued->der.n) || err_memory(err);
}

static bool fill_waiting(struct enroll_change *c, const struct enroll_policy *policy,
                         const struct scep_message *m, struct err *err)
{
    struct enroll_private *p = c->p;
    struct store_request *r = &c->waiting;
    snprintf(r->id, sizeof r->id, "%s", c->request);
    r->state = REQUEST_PENDING;
    memcpy(r->endpoint, c->endpoint, sizeof r->endpoint);
    memcpy(r->transaction, c->transaction, sizeof r->transaction);
    snprintf(r->template_name, sizeof r->template_name, "%s", policy->template->name);
    memcpy(r->subject, p->subject, sizeof r->subject);
    memcpy(r->san, p->san, sizeof r->san);
    memcpy(r->key, p->key, sizeof r->key);
    memcpy(r->peer, c->peer, sizeof r->peer);
    memcpy(r->challenge, c->challenge, sizeof r->challenge);
    memcpy(r->challenge_hash, p->challenge_hash, STORE_HASH);
    memcpy(r->device, p->device, sizeof r->device);
    memcpy(r->policy, p->policy, sizeof r->policy);
    r->created_at = c->now;
    r->expires_at = policy->pending_ttl ? c->now + policy->pending_ttl : 0;
    r->csr = p->csr;
    p->csr = (struct buf){0};
    return buf_append(&r->signer, m->signer->der.p, m->signer->der.n) || err_memory(err);
}

static void audit_issued(struct enroll_change *c)
{
    const struct enroll_private *p = c->p;
    const struct store_cert *k = &c->cert;
    char serial[2 * STORE_SERIAL_MAX + 1], again[64] = "";
    hex_encode(view_of(k->serial, k->serial_len), serial);
    if (p->renewed_before)
        snprintf(again, sizeof again, " renewed_before_by=#%llu",
                 (unsigned long long)p->renewed_before);
    audit_fill(&c->audit, c->now, p->renews ? "certificate.renewed" : "certificate.issued",
               c->endpoint, serial,
               "%.200s%s%.60s transaction=%.80s template=%s challenge=%s peer=%s%s%s%s%s%s%s%s%s%s",
               k->subject, *k->san ? " " : "", k->san, c->transaction, k->template_name,
               *c->challenge ? c->challenge : "-", c->peer, *c->request ? " request=" : "",
               c->request, again, *p->device ? " device=" : "", p->device,
               *p->policy ? " policy=" : "", p->policy, *p->unknown ? " not_issued=" : "",
               p->unknown);
}

static void audit_refused(struct enroll_change *c, const char *event, const char *object,
                          const char *detail)
{
    audit_fill(&c->audit, c->now, event, c->endpoint, object, "transaction=%.80s peer=%s %s",
               c->transaction, c->peer, detail);
}

static bool fill(struct enroll_change *c, const struct enroll_policy *policy,
                 const struct scep_message *m, const struct enroll_decision *d,
                 const struct issued *issued, struct err *err)
{
    switch (c->p->kind) {
    case CHANGE_ISSUE:
        if (!issued)
            return err_set(err, ERR_CONFIG, "a change that issues lacks its certificate");
        if (!fill_cert(c, policy, issued, err))
            return false;
        fill_tx(c, TX_ISSUED);
        audit_issued(c);
        break;
    case CHANGE_PEND:
        if (!fill_waiting(c, policy, m, err))
            return false;
        fill_tx(c, TX_PENDING);
        audit_fill(&c->audit, c->now, "request.pending", c->endpoint, c->request,
                   "%.300s %s transaction=%.80s peer=%s", c->waiting.subject, c->waiting.key,
                   c->transaction, c->peer);
        break;
    case CHANGE_CHALLENGE_REFUSED:
        audit_refused(c, "challenge.refused", c->challenge, d->detail);
        break;
    case CHANGE_TRANSACTION_REFUSED:
        audit_refused(c, "transaction.refused", c->transaction, d->detail);
        break;
    case CHANGE_POLL:
    case CHANGE_NONE:
        break;
    }
    return true;
}

bool enroll_change_new(const struct enroll_policy *policy, const struct scep_message *m,
                       const struct enroll_peer *peer, struct enroll_decision *d,
                       const struct issued *issued, int64_t now, struct enroll_change **out,
                       struct err *err)
{
    if (!d->priv || d->priv->kind == CHANGE_NONE) {
        *out = NULL;
        return true;
    }
    struct enroll_change *c = calloc(1, sizeof *c);
    if (!c)
        return err_memory(err);
    c->p = d->priv;
    d->priv = NULL;
    c->now = now;
    snprintf(c->endpoint, sizeof c->endpoint, "%s", policy->endpoint);
    snprintf(c->transaction, sizeof c->transaction, "%s", m->transaction_id);
    snprintf(c->peer, sizeof c->peer, "%s", peer->address ? peer->address : "");
    snprintf(c->challenge, sizeof c->challenge, "%s", d->challenge);
    snprintf(c->request, sizeof c->request, "%s", d->request);
    if (!fill(c, policy, m, d, issued, err)) {
        enroll_change_free(c);
        return false;
    }
    *out = c;
    return true;
}

/* ---- checking again, inside the write ---- */

static bool changed(struct err *err, const char *what)
{
    return err_set(err, ERR_CONFLICT, "%s since the decision", what);
}

/* A record that is gone is a change of the world, no fault. */
static bool missing(struct err *err, const char *what)
{
    return err->kind == ERR_NOT_FOUND ? changed(err, what) : false;
}

static bool transaction_unchanged(const struct enroll_change *c, struct store_write *w,
                                  struct err *err)
{
    struct store_tx t;
    struct err why = {0};
    bool known = store_write_tx_get(w, c->endpoint, c->transaction, &t, &why);
    if (!known && why.kind != ERR_NOT_FOUND) {
        return err_pass(err, &why);
    }
    const struct store_tx *e = &c->p->expected;
    bool same = known == c->p->known &&
                (!known || (t.state == e->state && t.cert_id == e->cert_id &&
                            t.changed_at == e->changed_at && !strcmp(t.request, e->request)));
    return same || changed(err, "the transaction was answered");
}

static bool challenge_unused(const struct enroll_change *c, struct store_write *w, struct err *err)
{
    struct presented p = {.kind = PRESENTED_ONE_TIME};
    if (!c->p->one_time)
        return true;
    if (!store_write_challenge_by_hash(w, c->p->challenge_hash, &p.challenge, err))
        return missing(err, "the challenge was forgotten");
    struct err why;
    return presented_usable(&p, c->p->key_hash, c->p->burn_at, &why) ||
           changed(err, "the challenge was used");
}

static bool renewed_still_good(const struct enroll_change *c, struct store_write *w,
                               struct err *err)
{
    struct store_cert old = {0};
    if (!c->p->renews)
        return true;
    if (!store_write_cert_by_id(w, c->p->renews, &old, err))
        return missing(err, "the old certificate was forgotten");
    bool good = old.state == CERT_ACTIVE || old.state == CERT_SUPERSEDED;
    store_cert_clear(&old);
    return good || changed(err, "the old certificate was revoked");
}

static bool key_still_unused(const struct enroll_change *c, struct store_write *w, struct err *err)
{
    enum key_use use;
    char other[STORE_SUBJECT_MAX];
    if (!store_write_key_use(w, c->cert.key_hash, c->cert.subject_hash, &use, other, err))
        return false;
    bool good = use == KEY_FREE || (use == KEY_SAME && !c->p->new_key);
    return good || changed(err, "the key was used");
}

static bool next_duplicate(const struct enroll_change *c, struct store_write *w,
                           struct store_cert *out, struct err *err)
{
    return store_write_cert_of_subject(w, c->cert.subject_hash, c->cert.template_name, c->now,
                                       c->cert.id, out, err);
}

/* Still nobody, or, where the new one takes its place, nobody who is on hold. */
static bool duplicates_settled(const struct enroll_change *c, struct store_write *w,
                               struct err *err)
{
    struct store_cert held = {0};
    struct err why = {0};
    if (c->p->duplicates == DUPLICATES_ALLOW)
        return true;
    if (!next_duplicate(c, w, &held, &why))
        return why.kind == ERR_NOT_FOUND || err_pass(err, &why);
    return (c->p->duplicates == DUPLICATES_REPLACE && held.state != CERT_HELD) ||
           changed(err, "the subject got a certificate");
}

/* A device that was retired, or a policy that was taken away since the decision, wins. */
static bool still_assigned(const struct enroll_change *c, struct store_write *w, struct err *err)
{
    const struct enroll_private *p = c->p;
    struct assigned found;
    struct err why = {0};
    if ((!*p->device && !*p->policy) ||
        assigned_check_in(w, p->device, p->policy, p->assigned_for, &found, &why))
        return true;
    return why.kind == ERR_REFUSED ? changed(err, "device or policy changed") : err_pass(err, &why);
}

/* ---- writing ---- */

static bool seen(const struct enroll_change *c, struct store_write *w, struct err *err)
{
    return !*c->p->device || store_device_seen(w, c->p->device, c->now, err);
}

static bool put_tx(struct enroll_change *c, struct store_write *w, struct err *err)
{
    return store_tx_put(w, &c->tx, c->p->known ? &c->p->expected : NULL, err);
}

static bool burn(const struct enroll_change *c, struct store_write *w, struct err *err)
{
    const struct store_use use = {.at = c->p->burn_at,
                                  .transaction = c->transaction,
                                  .subject = c->cert.subject,
                                  .peer = c->peer,
                                  .key_hash = c->p->key_hash};
    return !c->p->one_time || store_challenge_burn(w, c->p->challenge_hash, &use, err);
}

/* Every other certificate of the subject gives way to the new one (RFC 5280 section 5.3.1:
 * superseded).  One on hold stays what it is. */
static bool replace_duplicates(const struct enroll_change *c, struct store_write *w,
                               struct err *err)
{
    char serial[2 * STORE_SERIAL_MAX + 1], by[2 * STORE_SERIAL_MAX + 1];
    struct store_cert old = {0};
    struct err why = {0};
    if (c->p->duplicates != DUPLICATES_REPLACE)
        return true;
    hex_encode(view_of(c->cert.serial, c->cert.serial_len), by);
    while (next_duplicate(c, w, &old, &why)) {
        struct store_audit audit;
        if (old.state == CERT_HELD)
            return true;
        hex_encode(view_of(old.serial, old.serial_len), serial);
        audit_fill(&audit, c->now, "certificate.revoked", c->endpoint, serial,
                   "%.300s reason=%d replaced_by=%s", old.subject, (int)CRL_SUPERSEDED, by);
        if (!store_cert_revoke(w, old.id, CRL_SUPERSEDED, c->now, err) ||
            !store_audit_put(w, &audit, err))
            return false;
    }
    return why.kind == ERR_NOT_FOUND || err_pass(err, &why);
}

/* A request that waited moves only together with its transaction.  Everything is checked before the
 * first verb; only the serial number can still be taken when it comes, and that verb stands first.
 */
static bool apply_issue(struct enroll_change *c, struct store_write *w, struct err *err)
{
    if (!transaction_unchanged(c, w, err) || !challenge_unused(c, w, err) ||
        !renewed_still_good(c, w, err) || !key_still_unused(c, w, err) ||
        !still_assigned(c, w, err))
        return false;
    c->cert.id = 0;
    struct err why = {0};
    if (!duplicates_settled(c, w, err))
        return false;
    if (!store_cert_put(w, &c->cert, &why))
        return why.kind == ERR_EXISTS ? changed(err, "the serial number was given")
                                      : err_pass(err, &why);
    c->dirty = true;
    c->tx.cert_id = c->cert.id;
    return burn(c, w, err) && put_tx(c, w, err) && replace_duplicates(c, w, err) &&
           (!c->p->renews || store_cert_renewed(w, c->p->renews, c->cert.id, err)) &&
           (!*c->request || store_request_issued(w, c->request, c->cert.id, err)) &&
           seen(c, w, err) && store_audit_put(w, &c->audit, err);
}

static bool apply_pend(struct enroll_change *c, struct store_write *w, struct err *err)
{
    struct err why = {0};
    uint64_t waiting;
    if (!transaction_unchanged(c, w, err) || !still_assigned(c, w, err) ||
        !store_write_request_pending(w, c->endpoint, &waiting, err))
        return false;
    if (c->p->max_pending && waiting >= c->p->max_pending)
        return changed(err, "the last place to wait was taken");
    if (!store_request_put(w, &c->waiting, &why))
        return why.kind == ERR_EXISTS ? changed(err, "the request's id was given")
                                      : err_pass(err, &why);
    c->dirty = true;
    return put_tx(c, w, err) && seen(c, w, err) && store_audit_put(w, &c->audit, err);
}

/* Counts one more refusal; `before`: how many there were. */

static bool count_challenge(const struct enroll_change *c, struct store_write *w, uint32_t *before,
                            struct err *err)
{
    struct store_challenge challenge;
    if (!store_write_challenge_by_hash(w, c->p->challenge_hash, &challenge, err))
        return false;
    *before = challenge.refused;
    return store_challenge_refused(w, c->p->challenge_hash, c->now, c->peer, err);
}

static bool count_transaction(const struct enroll_change *c, struct store_write *w,
                              uint32_t *before, struct err *err)
{
    struct store_tx tx;
    if (!store_write_tx_get(w, c->endpoint, c->transaction, &tx, err))
        return false;
    *before = tx.reuse_refused;
    return store_tx_reuse_refused(w, c->endpoint, c->transaction, err);
}

/* When the transaction was answered meanwhile, its own twin was: it gets the certificate, too. */
static bool apply_refused(struct enroll_change *c, struct store_write *w, struct err *err)
{
    uint32_t before = 0;
    if (!transaction_unchanged(c, w, err))
        return false;
    bool counted = c->p->kind == CHANGE_CHALLENGE_REFUSED ? count_challenge(c, w, &before, err)
                                                          : count_transaction(c, w, &before, err);
    if (!counted)
        return missing(err, "what was misused was forgotten");
    c->dirty = true;
    if (before >= REFUSALS_RECORDED)
        return true;
    struct store_audit audit = c->audit;
    if (before == REFUSALS_RECORDED - 1)
        snprintf(audit.text, sizeof audit.text, "%.440s (the next ones are only counted)",
                 c->audit.text);
    return store_audit_put(w, &audit, err);
}

static bool apply_poll(struct enroll_change *c, struct store_write *w, struct err *err)
{
    if (!still_assigned(c, w, err))
        return false;
    return store_request_polled(w, c->request, c->now, err)
               ? seen(c, w, err)
               : missing(err, "the request was forgotten");
}

static bool apply(struct enroll_change *c, struct store_write *w, struct err *err)
{
    switch (c->p->kind) {
    case CHANGE_ISSUE:
        return apply_issue(c, w, err);
    case CHANGE_PEND:
        return apply_pend(c, w, err);
    case CHANGE_POLL:
        return apply_poll(c, w, err);
    case CHANGE_CHALLENGE_REFUSED:
    case CHANGE_TRANSACTION_REFUSED:
        return apply_refused(c, w, err);
    case CHANGE_NONE:
        break;
    }
    return true;
}

bool enroll_change_apply(struct enroll_change *c, struct store_write *w, struct err *err)
{
    c->dirty = false;
    if (!apply(c, w, err))
        return false;
    c->dirty = true;
    for (size_t i = 0; i < c->notice_n; i++) {
        c->notice[i].cert_id = c->cert.id;
        if (!store_notice_put(w, &c->notice[i], err))
            return false;
    }
    return !c->attempt || store_attempt_put(w, c->attempt, err);
}
