#include "scepd/scep_question.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "outside/telling.h"
#include "outside/webhook.h"
#include "pkcs7/alg.h"
#include "pkcs7/name.h"

/* Two messages with the same key ask for the same: the same webhook, endpoint, transaction,
 * challenge, names and key. */
static bool key_of(const struct scep_call *call, const struct scep_message *m,
                   const struct enroll_decision *d, uint8_t key[32], struct err *err)
{
    const struct config_endpoint *e = call->endpoint->config;
    struct buf all = {0};
    bool ok = buf_append(&all, e->validate, strlen(e->validate) + 1) &&
              buf_append(&all, e->path, strlen(e->path) + 1) &&
              buf_append(&all, m->transaction_id, strlen(m->transaction_id) + 1) &&
              buf_append(&all, d->signer, strlen(d->signer) + 1) &&
              buf_append(&all, m->csr->identity, sizeof m->csr->identity) &&
              buf_append(&all, m->csr->key.sha256, sizeof m->csr->key.sha256) &&
              buf_append(&all, m->csr->challenge.p, m->csr->challenge.n);
    if (ok)
        ok = digest_compute(DIGEST_SHA256, buf_view(&all), key, err);
    else
        err_memory(err);
    buf_wipe(&all);
    return ok;
}

/* What every notice and question says. */
struct telling {
    char id[40], subject[512], san[1024], key[16], issuer[512], serial[2 * STORE_SERIAL_MAX + 1];
    uint8_t about[32]; /* hash of the subject as it stands in a certificate */
    struct buf bare;   /* the request without its challenge */
    struct webhook_facts facts;
};

static void telling_clear(struct telling *t)
{
    buf_clear(&t->bare);
}

static void issuer_text(const struct authority *a, char *out, size_t cap)
{
    struct name name = {0};
    struct err ignored = {0};
    out[0] = '\0';
    if (name_parse(a->cert->subject, REASON_INTERNAL, &name, &ignored))
        name_text(&name, out, cap);
    name_clear(&name);
}

/* What it is about is for the caller to say: subject, san and about. */
static bool telling_init(struct telling *t, const struct scep_call *call,
                         const struct scep_message *m, const struct csr *csr,
                         const struct enroll_policy *policy, const struct enroll_decision *d,
                         const char *event, struct err *err)
{
    if (!webhook_event_id(t->id, err) || !csr_without_challenge(csr, &t->bare, err))
        return false;
    pubkey_text(&csr->key, t->key);
    issuer_text(policy->authority, t->issuer, sizeof t->issuer);
    t->facts = (struct webhook_facts){.event = event,
                                      .id = t->id,
                                      .at = call->now,
                                      .endpoint = policy->endpoint,
                                      .authority = policy->authority->name,
                                      .template_name = policy->template->name,
                                      .transaction = m->transaction_id,
                                      .subject = t->subject,
                                      .san = t->san,
                                      .key = t->key,
                                      .csr = buf_view(&t->bare),
                                      .issuer = t->issuer,
                                      .challenge_id = d->challenge,
                                      .device = d->device,
                                      .policy = d->policy,
                                      .request = d->request,
                                      .peer = call->peer.address,
                                      .agent = call->peer.agent,
                                      .renewal = d->renewal};
    return true;
}

/* One for one webhook.  Intune wants the request as it came. */
static bool notice_of(const struct telling *t, const struct config_webhook *w,
                      const struct csr *csr, struct store_notice *out, struct err *err)
{
    bool intune = w->kind == WEBHOOK_INTUNE, issued = t->facts.serial != NULL;
    struct webhook_facts f = t->facts;
    *out = (struct store_notice){.created_at = f.at, .next_at = f.at};
    snprintf(out->target, sizeof out->target, "%s", w->name);
    snprintf(out->event, sizeof out->event, "%s%s", intune ? "intune." : "", f.event);
    /* those about one subject in their order, its certificates' revocations among them (telling.c);
     * Intune may want never to hear of one */
    hex_encode(view_of(t->about, 16), out->about);
    if (intune)
        snprintf(out->about, sizeof out->about, "%s", t->id);
    out->held = intune && issued && w->wait_for_notification;
    if (intune)
        f.csr = buf_view(&csr->der);
    return !intune  ? webhook_json(&f, &out->body, err)
           : issued ? intune_success_json(&f, &out->body, err)
                    : intune_failure_json(&f, &out->body, err);
}

bool scep_tell_issued(const struct scep_call *call, const struct scep_message *m,
                      const struct csr *csr, const struct enroll_policy *policy,
                      const struct enroll_decision *d, const struct issued *issued,
                      struct enroll_change *change, struct err *err)
{
    const struct scep_endpoint *e = call->endpoint;
    struct telling t = {.bare = {0}};
    if (e->told_n == 0 || !csr)
        return true;
    bool ok = telling_init(&t, call, m, csr, policy, d, d->renewal ? "renewed" : "issued", err);
    memcpy(t.about, issued->subject_hash, sizeof t.about);
    snprintf(t.subject, sizeof t.subject, "%.511s", issued->subject);
    snprintf(t.san, sizeof t.san, "%.1023s", issued->san);
    hex_encode(view_of(issued->serial, sizeof issued->serial), t.serial);
    t.facts.serial = t.serial;
    t.facts.certificate = buf_view(&issued->der);
    t.facts.not_before = issued->not_before;
    t.facts.not_after = issued->not_after;
    for (size_t i = 0; ok && i < e->told_n; i++) {
        struct store_notice n;
        ok = notice_of(&t, e->told[i], csr, &n, err);
        if (ok)
            enroll_change_notice(change, &n);
        else
            store_notice_clear(&n);
    }
    telling_clear(&t);
    return ok;
}

bool scep_tell_refused(const struct scep_call *call, const struct scep_message *m,
                       const struct csr *csr, const struct enroll_policy *policy,
                       const struct enroll_decision *d, struct scep_answer *out, struct err *err)
{
    const struct scep_endpoint *e = call->endpoint;
    const struct reason_info *info = reason_info(d->reason);
    struct telling t = {.bare = {0}};
    if (e->told_n == 0 || !csr)
        return true;
    if (!(out->notice = calloc(e->told_n, sizeof *out->notice)))
        return err_memory(err);
    bool ok = telling_init(&t, call, m, csr, policy, d, "refused", err) &&
              name_hash(&csr->subject, t.about, err);
    name_text(&csr->subject, t.subject, sizeof t.subject);
    san_text(&csr->ext.san, t.san, sizeof t.san);
    t.facts.reason = info->code;
    t.facts.detail = d->detail;
    t.facts.hresult = info->hresult;
    for (size_t i = 0; ok && i < e->told_n; i++) {
        if (e->told[i] == e->validate && d->reason == REASON_WEBHOOK_DENIED)
            continue; /* it knows */
        ok = notice_of(&t, e->told[i], csr, &out->notice[out->notice_n++], err);
    }
    telling_clear(&t);
    return ok;
}

bool scep_question(const struct scep_call *call, const struct scep_message *m,
                   const struct enroll_policy *policy, const struct enroll_decision *d,
                   const struct cert_plan *plan, struct scep_answer *out, struct err *err)
{
    const struct config_webhook *w = call->endpoint->validate;
    struct buf bare = {0};
    char id[40], subject[512] = "", san[1024] = "", key[16];
    bool intune = w && w->kind == WEBHOOK_INTUNE;
    bool whole = intune || (w && w->pass_challenge);
    name_text(&plan->subject, subject, sizeof subject);
    san_text(&plan->san, san, sizeof san);
    pubkey_text(&m->csr->key, key);
    bool ok = webhook_event_id(id, err) && key_of(call, m, d, out->question_key, err) &&
              (whole || csr_without_challenge(m->csr, &bare, err));
    if (ok) {
        struct webhook_facts f = {.event = "validate",
                                  .id = id,
                                  .at = call->now,
                                  .endpoint = policy->endpoint,
                                  .authority = policy->authority->name,
                                  .template_name = policy->template->name,
                                  .transaction = m->transaction_id,
                                  .subject = subject,
                                  .san = san,
                                  .key = key,
                                  .csr = buf_view(whole ? &m->csr->der : &bare),
                                  .challenge =
                                      whole ? buf_view(&m->csr->challenge) : view_of(NULL, 0),
                                  .challenge_id = d->challenge,
                                  .device = d->device,
                                  .policy = d->policy,
                                  .peer = call->peer.address,
                                  .agent = call->peer.agent,
                                  .renewal = d->renewal};
        ok = intune ? intune_validate_json(&f, &out->question, err)
                    : webhook_json(&f, &out->question, err);
    }
    buf_clear(&bare);
    return ok;
}
