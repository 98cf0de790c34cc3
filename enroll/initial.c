#include "decision.h"

#include <stdio.h>
#include <string.h>

#include "base/hex.h"
#include "base/text.h"
#include "ca/family.h"
#include "ca/keycheck.h"
#include "pkcs7/alg.h"
#include "enroll/token.h"

/* ---- the plan ---- */

bool ask_plan(struct ask *a, const char *signer_subject, struct err *err)
{
    struct enroll_private *p = a->p;
    const char *label = presented_label(&a->presented), *id = presented_id(&a->presented);
    if (signer_subject) {
        /* names that were built from the first challenge are built the same again */
        label = a->signer.challenge_label;
        id = a->signer.challenge;
    }
    struct template_context context = {
        .endpoint = a->policy->endpoint,
        .transaction = a->m->transaction_id,
        .challenge_label = *label ? label : NULL,
        .challenge_id = *id ? id : NULL,
        .signer_subject = signer_subject,
        .now = a->now,
    };
    trail_begin(a->trail, CHECK_TEMPLATE);
    pubkey_text(&a->csr->key, p->key);
    if (!template_plan(a->policy->template, a->csr, &context, a->plan, err) ||
        !name_hash(&a->plan->subject, p->subject_hash, err))
        return false;
    name_text(&a->plan->subject, p->subject, sizeof p->subject);
    san_text(&a->plan->san, p->san, sizeof p->san);
    trail_pass(a->trail, "%s and the names fit template %s", p->key, a->policy->template->name);
    snprintf(p->unknown, sizeof p->unknown, "%s", a->csr->ext.unknown);
    return true;
}

/* ---- the key ---- */

/* RFC 8894 section 7.6: a renewal proves the old key; the new one must be nobody else's. */
bool ask_key_unused(struct ask *a, struct err *err)
{
    enum key_use use;
    char other[STORE_SUBJECT_MAX];
    trail_begin(a->trail, CHECK_KEY);
    if (family_has_key(a->policy->authority, a->p->key_hash))
        return err_refuse(err, REASON_KEY_REUSED, "the key is one of authority %s itself",
                          a->policy->authority->name);
    if (banned_keys_has(&a->policy->banned, a->p->key_hash)) {
        char hash[2 * STORE_HASH + 1];
        hex_encode(view_of(a->p->key_hash, STORE_HASH), hash);
        return err_refuse(err, REASON_KEY_BANNED, "the key %s is banned", hash);
    }
    if (!store_key_use(a->ctx->store, a->p->key_hash, a->p->subject_hash, &use, other, err))
        return false;
    enum template_key_reuse rule = a->policy->template->key_reuse;
    a->p->new_key = rule == KEY_REUSE_NEVER || (rule == KEY_REUSE_RENEWAL && !a->d->renewal);
    if (use == KEY_SAME && a->p->new_key)
        return err_refuse(err, REASON_KEY_AGAIN,
                          "template %s wants a new key for each %s, and this one has a certificate",
                          a->policy->template->name,
                          rule == KEY_REUSE_NEVER ? "certificate" : "enrolment");
    switch (use) {
    case KEY_FREE:
    case KEY_SAME:
        trail_pass(a->trail, "has no certificate under another name");
        break;
    case KEY_ELSEWHERE:
        return err_refuse(err, REASON_KEY_REUSED, "the key has a certificate for \"%.200s\"",
                          other);
    case KEY_COMPROMISED:
        return err_refuse(err, REASON_KEY_COMPROMISED,
                          "the certificate of the key for \"%.200s\" was revoked because of it",
                          other);
    }
    return true;
}

/* ---- other certificates of the subject ---- */

bool ask_duplicates(struct ask *a, struct err *err)
{
    const struct enroll_policy *policy = a->policy;
    struct store_cert held = {0};
    struct err why = {0};
    char serial[2 * STORE_SERIAL_MAX + 1], end[32];
    if (policy->duplicates == DUPLICATES_ALLOW || a->plan->subject.n == 0)
        return true;
    trail_begin(a->trail, CHECK_DUPLICATE);
    a->p->duplicates = policy->duplicates;
    if (!store_cert_of_subject(a->ctx->store, a->p->subject_hash, policy->template->name, a->now, 0,
                               &held, &why)) {
        if (why.kind != ERR_NOT_FOUND)
            return err_pass(err, &why);
        trail_pass(a->trail, "there is none");
        return true;
    }
    hex_encode(view_of(held.serial, held.serial_len), serial);
    text_time(held.not_after, end);
    if (held.state == CERT_HELD)
        return err_refuse(err, REASON_DUPLICATE_SUBJECT, "\"%.150s\" has %s, which is on hold",
                          held.subject, serial);
    if (policy->duplicates == DUPLICATES_REFUSE)
        return err_refuse(err, REASON_DUPLICATE_SUBJECT, "\"%.150s\" has %s until %s", held.subject,
                          serial, end);
    trail_pass(a->trail, "%s will be revoked", serial);
    return true;
}

/* ---- the verdict ---- */

bool ask_challenge(struct ask *a, const struct presented *p, int64_t when, struct err *err)
{
    trail_begin(a->trail, CHECK_CHALLENGE);
    if (!presented_judge(p, a->policy, a->plan, a->p->key_hash, when, err))
        return false;
    const struct store_challenge *c = &p->challenge;
    if (p->kind == PRESENTED_STATIC)
        trail_pass(a->trail, "the endpoint's static one");
    else if (c->uses)
        trail_pass(a->trail, "%s, use %u of %u", c->id, c->used + 1, c->uses);
    else
        trail_pass(a->trail, "%s, any number of uses", c->id);
    return true;
}

void ask_take_challenge(struct ask *a, int64_t burn_at)
{
    struct enroll_private *p = a->p;
    p->one_time = a->presented.kind == PRESENTED_ONE_TIME;
    p->burn_at = burn_at;
    if (p->one_time)
        memcpy(p->challenge_hash, a->presented.challenge.hash, STORE_HASH);
    snprintf(p->challenge_label, sizeof p->challenge_label, "%s", presented_label(&a->presented));
}

/* Anybody may fill the queue of an endpoint without a challenge; nobody may fill the disk. */
static bool room_to_wait(const struct ask *a, struct err *err)
{
    const struct enroll_policy *policy = a->policy;
    uint64_t waiting;
    if (!policy->max_pending)
        return true;
    if (!store_request_pending(a->ctx->store, policy->endpoint, &waiting, err))
        return false;
    if (waiting >= policy->max_pending)
        return err_refuse(
            err, REASON_REQUEST_TOO_MANY, "%llu requests wait at endpoint %s, %llu may",
            (unsigned long long)waiting, policy->endpoint, (unsigned long long)policy->max_pending);
    a->p->max_pending = policy->max_pending;
    return true;
}

/* Nobody is asked about a key that the signer would refuse. */
static bool pend(struct ask *a, struct err *err)
{
    trail_begin(a->trail, CHECK_APPROVAL);
    if (!key_check(&a->csr->key, err) || !room_to_wait(a, err))
        return false;
    if (!csr_without_challenge(a->csr, &a->p->csr, err) || !token_id("req_", a->d->request, err))
        return false;
    trail_pass(a->trail, "waits as %s", a->d->request);
    a->p->kind = CHANGE_PEND;
    a->d->verdict = ENROLL_PEND;
    return true;
}

/* RFC 8894 section 2.4 */
bool decide_initial(struct ask *a, struct err *err)
{
    const struct enroll_policy *policy = a->policy;
    const uint8_t *key = a->p->key_hash;
    /* RFC 8894 section 2.3: a signer that is nobody yet signs with the key of the request.  Its
     * subject may differ (section 2.3 says SHOULD, and devices do not). */
    if (!a->ours && !policy->any_signer_key && !hash_eq(a->p->signer_key_hash, key))
        return err_refuse(err, REASON_CSR_SIGNER,
                          "the message is signed with another key than the request's");
    if (!ask_plan(a, NULL, err) || !ask_key_unused(a, err))
        return false;
    if (policy->challenges && !ask_challenge(a, &a->presented, a->now, err))
        return false;
    const struct store_challenge *c = &a->presented.challenge; /* zeros if there is none */
    if (!ask_assigned(a, c->device, c->policy, ASSIGNED_ENROL, &a->csr->key, err) ||
        !ask_duplicates(a, err))
        return false;
    bool go_on;
    if (!ask_elsewhere(a, &go_on, err))
        return false;
    if (!go_on)
        return true;
    ask_take_challenge(a, a->now);
    if (policy->manual)
        return pend(a, err);
    a->p->kind = CHANGE_ISSUE;
    a->d->verdict = ENROLL_ISSUE;
    return true;
}
