#include "decision.h"

#include <stdio.h>
#include <string.h>

#include "base/hex.h"
#include "base/text.h"
#include "ca/family.h"

/* The old certificate: issued by this authority, by whichever of its generations, for this endpoint
 * or by this template (or a holder of one kind of certificate could turn it into another kind), and
 * still good. */
static bool signer_good(const struct ask *a, struct err *err)
{
    const struct store_cert *old = &a->signer;
    const struct enroll_policy *policy = a->policy;
    char serial[2 * STORE_SERIAL_MAX + 1], then[32];
    hex_encode(view_of(old->serial, old->serial_len), serial);
    if (!family_by_key_id(policy->authority, old->authority))
        return err_refuse(err, REASON_RENEWAL_SIGNER_UNKNOWN,
                          "%s was issued by another authority than %s", serial,
                          policy->authority->name);
    if (strcmp(old->endpoint, policy->endpoint) != 0 &&
        strcmp(old->template_name, policy->template->name) != 0)
        return err_refuse(err, REASON_RENEWAL_SIGNER_UNKNOWN,
                          "%s was issued at %s by template %s, not at %s by template %s", serial,
                          old->endpoint, old->template_name, policy->endpoint,
                          policy->template->name);
    if (old->state == CERT_REVOKED || old->state == CERT_HELD) {
        text_time(old->revoked_at, then);
        return err_refuse(err, REASON_RENEWAL_SIGNER_REVOKED, "%s was %s %s (%s)", serial,
                          old->state == CERT_HELD ? "put on hold" : "revoked", then,
                          crl_reason_text(old->revocation_reason));
    }
    if (a->now > old->not_after + policy->template->renew_grace) {
        text_time(old->not_after, then);
        return err_refuse(err, REASON_RENEWAL_SIGNER_EXPIRED, "%s expired %s, %lld s of grace",
                          serial, then, (long long)policy->template->renew_grace);
    }
    return true;
}

/* A certificate that was renewed already may renew again while it is valid, under another
 * transaction or with another key: devices lose what they got.  The audit entry says so.  A move to
 * another generation of the authority is no renewal before its time: Cisco's devices fetch the next
 * CA's certificate long before theirs ends (RFC 8894 section 5.1). */
static bool window_open(const struct ask *a, struct err *err)
{
    int64_t before = a->policy->template->renew_before;
    int64_t opens = a->signer.not_after - before;
    bool moves =
        memcmp(a->signer.authority, a->policy->authority->key_id, sizeof a->signer.authority) != 0;
    if (before == 0 || moves || a->now >= opens)
        return true;
    char then[32];
    text_time(opens, then);
    return err_refuse(err, REASON_RENEWAL_TOO_EARLY, "the renewal window opens %s", then);
}

/* Subject and SAN as planned against those of the old certificate, which is the message's signer,
 * byte for byte. */
static bool same_names(const struct ask *a, struct err *err)
{
    const struct cert *old = a->m->signer;
    struct name subject = {0};
    struct extensions ext = {0};
    bool ok = name_parse(old->subject, REASON_RENEWAL_SUBJECT, &subject, err) &&
              (!old->extensions.n ||
               extensions_parse(old->extensions, REASON_RENEWAL_SUBJECT, &ext, err));
    if (ok && !name_eq(&subject, &a->plan->subject))
        ok = err_refuse(err, REASON_RENEWAL_SUBJECT,
                        "the old certificate has \"%.130s\", the new would have \"%.130s\"",
                        a->signer.subject, a->p->subject);
    if (ok && !san_eq(&ext.san, &a->plan->san))
        ok = err_refuse(err, REASON_RENEWAL_SUBJECT,
                        "the old certificate has names \"%.120s\", the new would have \"%.120s\"",
                        a->signer.san, a->p->san);
    name_clear(&subject);
    extensions_clear(&ext);
    return ok;
}

/* RFC 8894 section 2.4: none is needed, since the old certificate speaks; a stale one may stand in
 * the CSR. */
static bool challenge_good(struct ask *a, struct err *err)
{
    const struct enroll_policy *policy = a->policy;
    bool look = policy->renewal_challenge == RENEWAL_CHALLENGE_REQUIRE ||
                (policy->renewal_challenge == RENEWAL_CHALLENGE_CHECK &&
                 a->presented.kind != PRESENTED_NONE);
    if (!look || !policy->challenges)
        return true;
    if (!ask_challenge(a, &a->presented, a->now, err))
        return false;
    ask_take_challenge(a, a->now);
    return true;
}

/* Renewal goes on as long as the policy stays assigned.  A challenge that was wanted and made for a
 * device or a policy says so anew. */
static bool still_assigned(struct ask *a, struct err *err)
{
    const struct store_challenge *c = &a->presented.challenge;
    bool anew = a->p->one_time && (*c->device || *c->policy);
    return ask_assigned(a, anew ? c->device : a->signer.device, anew ? c->policy : a->signer.policy,
                        ASSIGNED_RENEW, &a->csr->key, err);
}

/* RFC 8894 section 2.5 */
bool decide_renewal(struct ask *a, struct err *err)
{
    struct enroll_private *p = a->p;
    a->d->renewal = true;
    if (!a->policy->renewal)
        return err_refuse(err, REASON_RENEWAL_DISABLED, "endpoint %s does not renew",
                          a->policy->endpoint);
    if (!signer_good(a, err) || !window_open(a, err))
        return false;
    trail_pass(a->trail, "%s is good for it, template %s", a->d->signer, a->policy->template->name);
    if (!ask_plan(a, a->signer.subject, err))
        return false;
    trail_begin(a->trail, CHECK_RENEWAL);
    if (!same_names(a, err))
        return false;
    trail_pass(a->trail, "the same names");
    if (!ask_key_unused(a, err) || !challenge_good(a, err) || !still_assigned(a, err))
        return false;
    bool go_on;
    if (!ask_elsewhere(a, &go_on, err))
        return false;
    if (!go_on)
        return true;
    p->renews = a->signer.id;
    p->renewed_before = a->signer.renewed_by;
    if (!p->one_time) {
        snprintf(p->challenge_label, sizeof p->challenge_label, "%s", a->signer.challenge_label);
        snprintf(p->original_challenge, sizeof p->original_challenge, "%s", a->signer.challenge);
    }
    p->kind = CHANGE_ISSUE;
    a->d->verdict = ENROLL_ISSUE;
    return true;
}
