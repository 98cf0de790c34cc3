/* One PKIOperation from bytes to bytes: the request path of the whole program, top to bottom. */
#include "scepd/scep_service.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/hex.h"
#include "base/memory.h"
#include "base/text.h"
#include "ca/family.h"
#include "scepd/scep_check.h"
#include "scepd/scep_question.h"

/* How often a decision is taken anew because another request changed the store in between. */
#define MAX_ATTEMPTS 4

static const char type_pki_message[] = "application/x-pki-message";

/* ---- answers ---- */

void scep_answer_clear(struct scep_answer *a)
{
    buf_clear(&a->body);
    buf_wipe(&a->question);
    while (a->notice_n)
        store_notice_clear(&a->notice[--a->notice_n]);
    free(a->notice);
    enroll_change_free(a->change);
    *a = (struct scep_answer){0};
}

static void answer_text(struct scep_answer *out, int status, const char *text)
{
    out->status = status;
    out->content_type = "text/plain";
    buf_clear(&out->body);
    buf_printf(&out->body, "%s\n", text); /* an empty body if even this fails */
}

/* A fault of ours: nothing was decided, so the client is asked to come again (HTTP 503) rather than
 * told FAILURE, which most take as final.  The text stays in the log. */
static void answer_fault(struct scep_answer *out, const struct err *why)
{
    out->fault = true;
    out->verdict = ENROLL_REJECT;
    out->reason = why->kind == ERR_FULL     ? REASON_STORE_FULL
                  : why->kind == ERR_GONE   ? REASON_STORE_GONE
                  : why->kind == ERR_SIGNER ? REASON_SIGNER_UNAVAILABLE
                  : why->kind == ERR_BUSY   ? REASON_BUSY
                                            : REASON_INTERNAL;
    snprintf(out->detail, sizeof out->detail, "%s", why->text);
    enroll_change_free(out->change);
    out->change = NULL;
    out->recorded = out->certrep = false;
    answer_text(out, 503, reason_info(out->reason)->text);
}

/* Nothing was decided, and it is no fault of ours: the device is asked to come again. */
static void answer_later(struct scep_answer *out, enum reason reason, const char *detail)
{
    struct err why = {0};
    err_set(&why, ERR_BUSY, "%s", detail);
    answer_fault(out, &why);
    out->reason = reason;
    answer_text(out, 503, reason_info(reason)->text);
}

/* ---- generations ---- */

/* RFC 8894 section 5.1: who encrypts to the next CA, or to its RA, asks for a certificate of the
 * next CA.  Everybody else gets one of the current CA. */
static const struct authority *issuer_for(const struct scep_call *call,
                                          const struct scep_message *m)
{
    const struct authority *current = call->endpoint->policy->authority;
    const struct authority *asked = family_by_key(current, m->key);
    return asked && asked->role == AUTHORITY_NEXT ? asked : current;
}

/* ---- the CertRep ---- */

/* RFC 8894 section 2.9: the reply uses what the request used, but DES and MD5 never leave: who
 * sends them reads Triple DES and SHA-1 (RFC 8894 section 3.5.2). */
static enum digest reply_digest(const struct config_endpoint *c, const struct scep_message *m)
{
    if (m->digest == DIGEST_MD5)
        return DIGEST_SHA1;
    return c->digests & ALG_BIT(m->digest) ? m->digest : DIGEST_SHA256;
}

/* RFC 8894 section 7.5 */
static enum cipher reply_cipher(const struct scep_message *m)
{
    return m->cipher == CIPHER_DES ? CIPHER_DES3 : m->cipher;
}

static bool reply_build(const struct scep_call *call, const struct scep_message *m,
                        struct certrep *r, struct scep_answer *out, struct err *err)
{
    const struct config_endpoint *c = call->endpoint->config;
    const struct authority *a = call->endpoint->policy->authority;
    struct authority_keys ak = {.authority = a, .signer = call->signer};
    struct scep_keys keys = authority_scep_keys(&ak);
    r->signer_cert = authority_answer_signer(a, c->ra, m->key, &r->signer_key);
    r->digest = reply_digest(c, m);
    r->cipher = reply_cipher(m);
    r->absent_content = c->absent_content;
    r->hresult = c->microsoft_error ? r->hresult : 0;
    if (r->status == SCEP_SUCCESS && !scep_reply_password(c, m, &r->password, err))
        return false;
    buf_clear(&out->body);
    if (!certrep_build(r, m, &keys, &out->body, err))
        return false;
    out->status = 200;
    out->content_type = type_pki_message;
    out->certrep = true;
    return true;
}

/* failInfoText: the reason's text, with the detail where that only repeats what the client itself
 * sent. */
static void fail_text(enum reason reason, const char *detail, char *out, size_t cap)
{
    const struct reason_info *info = reason_info(reason);
    if (info->detail_public && *detail)
        snprintf(out, cap, "%s (%s): %s", info->text, info->code, detail);
    else
        snprintf(out, cap, "%s (%s)", info->text, info->code);
}

static bool reply_failure(const struct scep_call *call, const struct scep_message *m,
                          enum reason reason, const char *detail, struct scep_answer *out,
                          struct err *err)
{
    out->verdict = ENROLL_REJECT;
    out->reason = reason;
    snprintf(out->detail, sizeof out->detail, "%s", detail);
    char text[512];
    fail_text(reason, detail, text, sizeof text);
    struct certrep r = {.status = SCEP_FAILURE,
                        .fail_info = reason_info(reason)->fail_info,
                        .fail_text = text,
                        .hresult = reason_info(reason)->hresult};
    return reply_build(call, m, &r, out, err);
}

static bool reply_success(const struct scep_call *call, const struct scep_message *m,
                          const struct authority *a, struct view certificate,
                          struct scep_answer *out, struct err *err)
{
    struct certrep r = {.status = SCEP_SUCCESS, .certificate = certificate};
    if (call->endpoint->config->include_chain) {
        r.extra_certificates[r.extra_n++] = buf_view(&a->cert->der);
        for (size_t i = 0; i < a->chain_n; i++)
            r.extra_certificates[r.extra_n++] = buf_view(&a->chain[i]->der);
    }
    return reply_build(call, m, &r, out, err);
}

/* A certificate that was issued before, by whichever generation. */
static bool reply_stored(const struct scep_call *call, const struct scep_message *m,
                         const struct store_cert *c, struct view certificate,
                         struct scep_answer *out, struct err *err)
{
    const struct authority *current = call->endpoint->policy->authority;
    const struct authority *issuer = family_by_key_id(current, c->authority);
    return reply_success(call, m, issuer ? issuer : current, certificate, out, err);
}

/* ---- enrolment: PKCSReq, RenewalReq, CertPoll ---- */

static void note_serial(struct scep_answer *out, const uint8_t *serial, size_t n)
{
    if (2 * n < sizeof out->serial)
        hex_encode(view_of(serial, n), out->serial);
}

static bool issue(const struct scep_call *call, const struct scep_message *m,
                  const struct authority *issuer, const struct cert_plan *plan,
                  struct enroll_decision *d, struct issued *issued, struct scep_answer *out,
                  struct err *err)
{
    if (!ca_issue(issuer, call->signer, plan, call->now, issued, err))
        return false;
    note_serial(out, issued->serial, sizeof issued->serial);
    snprintf(out->subject, sizeof out->subject, "%.255s", issued->subject);
    out->renewal = d->renewal;
    return reply_success(call, m, issuer, buf_view(&issued->der), out, err);
}

/* The polls of one request that are kept one by one; its record counts them all. */
#define POLLS_KEPT 10

static double ms_since(int64_t started_us)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return started_us ? (double)((int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000 - started_us) / 1000
                      : 0;
}

/* What is stored anyway takes its attempt along.  Refusals go another way, where they are sampled,
 * also those that are counted: nobody can push out the history of others with them. */
static bool record(const struct scep_call *call, const struct enroll_decision *d,
                   struct scep_answer *out, struct err *err)
{
    struct store_attempt attempt;
    if (!out->change || d->verdict == ENROLL_REJECT)
        return true;
    out->recorded = true;
    if (d->polls > POLLS_KEPT)
        return true;
    trail_begin(&out->trail, CHECK_STORING);
    trail_pass(&out->trail, "durable before the answer left");
    scep_answer_attempt(out, call, ms_since(call->started_us), &attempt);
    return enroll_change_record(out->change, &attempt, err);
}

/* RFC 8894 asks for no signing time; where there is one, it shows the device's clock. */
static void look_at_clock(const struct scep_message *m, const struct issued *issued,
                          struct scep_answer *out)
{
    char theirs[32], begins[32];
    if (!m->signing_time || m->signing_time >= issued->not_before)
        return;
    text_time(m->signing_time, theirs);
    text_time(issued->not_before, begins);
    out->clock_behind = true;
    snprintf(out->detail, sizeof out->detail,
             "the device's clock said %s, the certificate begins %s", theirs, begins);
}

/* Step 3 to 6 of a request: decide, issue, answer, and gather what must be stored first. */
static bool enrol(const struct scep_call *call, const struct scep_message *m,
                  struct scep_answer *out, struct err *err)
{
    struct enroll_policy policy = *call->endpoint->policy;
    struct enroll_decision d = {0};
    struct cert_plan plan = {0};
    struct csr *stored_csr = NULL;
    struct issued issued = {0};
    const struct issued *new_certificate = NULL;
    bool ok = false;
    struct enroll_context ctx = *call->enroll;
    ctx.asked = call->asked;
    policy.authority = issuer_for(call, m);
    bool decided =
        enroll_decide(&ctx, &policy, m, &call->peer, call->now, &d, &plan, &stored_csr, err);
    trail_append(&out->trail, &d.trail);
    if (!decided)
        goto out;
    out->verdict = d.verdict;
    memcpy(out->signer, d.signer, sizeof out->signer);
    snprintf(out->challenge, sizeof out->challenge, "%s", d.challenge);
    snprintf(out->request, sizeof out->request, "%s", d.request);
    memcpy(out->device, d.device, sizeof out->device);
    memcpy(out->policy, d.policy, sizeof out->policy);
    switch (d.verdict) {
    case ENROLL_ISSUE:
        trail_begin(&out->trail, CHECK_SIGNING);
        ok = issue(call, m, policy.authority, &plan, &d, &issued, out, err);
        if (ok) {
            trail_pass(&out->trail, "certificate %s", out->serial);
            look_at_clock(m, &issued, out);
        }
        new_certificate = &issued;
        break;
    case ENROLL_REPEAT:
        note_serial(out, d.repeated.serial, d.repeated.serial_len);
        ok = reply_stored(call, m, &d.repeated, buf_view(&d.certificate), out, err);
        break;
    case ENROLL_PEND: {
        struct certrep r = {.status = SCEP_PENDING};
        ok = reply_build(call, m, &r, out, err);
        break;
    }
    case ENROLL_REJECT:
        if (d.reason == REASON_WEBHOOK_UNREACHABLE && !policy.validate_refuses) {
            answer_later(out, d.reason, d.detail);
            ok = true;
            goto out;
        }
        ok = reply_failure(call, m, d.reason, d.detail, out, err) &&
             scep_tell_refused(call, m, m->csr, &policy, &d, out, err);
        break;
    case ENROLL_ASK:
        ok = scep_question(call, m, &policy, &d, &plan, out, err);
        goto out;
    }
    ok = ok && enroll_change_new(&policy, m, &call->peer, &d, new_certificate, call->now,
                                 &out->change, err);
    if (ok && new_certificate)
        ok = scep_tell_issued(call, m, stored_csr ? stored_csr : m->csr, &policy, &d,
                              new_certificate, out->change, err);
    ok = ok && record(call, &d, out, err);
out:
    issued_clear(&issued);
    cert_plan_clear(&plan);
    csr_free(stored_csr);
    enroll_decision_clear(&d);
    return ok;
}

/* ---- GetCert, GetCRL (RFC 8894 sections 2.7, 4.5.1 and 4.6.1) ---- */

/* The `i`-th generation with the name that the message gives; NULL after the last. */
static const struct authority *named_issuer(const struct scep_call *call,
                                            const struct scep_message *m, size_t *i)
{
    const struct authority *a;
    while ((a = family_member(call->endpoint->policy->authority, (*i)++)))
        if (view_eq(m->issuer, a->cert->subject))
            return a;
    return NULL;
}

static bool find_cert(const struct scep_call *call, const struct scep_message *m,
                      struct store_cert *out, struct err *err)
{
    const struct authority *a;
    for (size_t i = 0; err->kind == ERR_NONE && (a = named_issuer(call, m, &i));) {
        struct err why = {0};
        if (store_cert_by_serial(call->enroll->store, a->key_id, m->serial, out, &why))
            return true;
        if (why.kind != ERR_NOT_FOUND)
            *err = why;
    }
    return false;
}

/* RFC 8894 section 3.2.1.4 */
static bool get_cert(const struct scep_call *call, const struct scep_message *m,
                     struct scep_answer *out, struct err *err)
{
    struct store_cert cert = {0};
    struct err lookup = {0};
    bool ok;
    if (find_cert(call, m, &cert, &lookup)) {
        out->verdict = ENROLL_REPEAT;
        note_serial(out, cert.serial, cert.serial_len);
        ok = reply_stored(call, m, &cert, buf_view(&cert.der), out, err);
    } else if (lookup.kind != ERR_NONE) {
        *err = lookup;
        ok = false;
    } else {
        trail_stop(&out->trail, "there is no such certificate");
        ok = reply_failure(call, m, REASON_CERTIFICATE_UNKNOWN, "", out, err);
    }
    store_cert_clear(&cert);
    return ok;
}

/* Octets of a CRL that goes into a message, which costs several times as much memory. */
#define GET_CRL_MAX (4u << 20)

/* RFC 8894 section 3.3.4.  The serial is that of the certificate to be checked, or the CA's own as
 * sscep sends it: the issuer alone selects the CRL, and with it the key that issued.  Always the
 * complete one, also where certificates name a partition: who asks this way has no URL to hold
 * against a critical extension, and strongSwan and GnuTLS would take a partition for all. */
static bool get_crl(const struct scep_call *call, const struct scep_message *m,
                    struct scep_answer *out, struct err *err)
{
    size_t i = 0;
    const struct authority *a = named_issuer(call, m, &i);
    struct store_crl crl = {0};
    struct err lookup = {0};
    struct store *store = call->enroll->store;
    bool found = a && store_crl_about(store, a->key_id, STORE_CRL_COMPLETE, &crl, &lookup) &&
                 (crl.size > GET_CRL_MAX ||
                  store_crl_get(store, a->key_id, STORE_CRL_COMPLETE, &crl, &lookup));
    bool ok;
    if (found && crl.size > GET_CRL_MAX) {
        trail_stop(&out->trail, "the CRL has %llu octets: it is to be fetched by HTTP",
                   (unsigned long long)crl.size);
        ok = reply_failure(call, m, REASON_CERTIFICATE_UNKNOWN, "", out, err);
    } else if (found) {
        struct certrep r = {.status = SCEP_SUCCESS, .crl = crl.der};
        out->verdict = ENROLL_REPEAT;
        ok = reply_build(call, m, &r, out, err);
    } else if (lookup.kind != ERR_NONE && lookup.kind != ERR_NOT_FOUND) {
        *err = lookup;
        ok = false;
    } else {
        trail_stop(&out->trail, "there is no CRL of that issuer");
        ok = reply_failure(call, m, REASON_CERTIFICATE_UNKNOWN, "", out, err);
    }
    store_crl_clear(&crl);
    return ok;
}

/* ---- the whole ---- */

static void note_content(const struct scep_message *m, struct scep_answer *out)
{
    snprintf(out->cipher, sizeof out->cipher, "%s", cipher_name(m->cipher));
    if (!m->csr) {
        trail_pass(&out->trail, "%s", out->cipher);
        return;
    }
    name_text(&m->csr->subject, out->subject, sizeof out->subject);
    san_text(&m->csr->ext.san, out->san, sizeof out->san);
    pubkey_text(&m->csr->key, out->key);
    memcpy(out->key_hash, m->csr->key.sha256, STORE_HASH);
    trail_pass(&out->trail, "%s, request with %s key, its signature good", out->cipher, out->key);
}

static bool dispatch(const struct scep_call *call, struct scep_message *m, struct scep_answer *out,
                     struct err *err)
{
    const struct config_endpoint *c = call->endpoint->config;
    struct authority_keys ak = {.authority = call->endpoint->policy->authority,
                                .signer = call->signer};
    struct scep_keys keys = authority_scep_keys(&ak);
    if (m->type == SCEP_CERT_REP)
        return err_refuse(err, REASON_MESSAGE_UNSUPPORTED, "CertRep is an answer, not a request");
    const struct scep_rules rules = scep_rules_of(call->endpoint);
    if (!scep_check_signed(c, m, call->now, err))
        return false;
    trail_begin(&out->trail, CHECK_OPEN);
    if (!scep_open_by(m, &rules, &keys, err))
        return false;
    note_content(m, out);
    if (!scep_check_opened(c, m, err))
        return false;
    switch (m->type) {
    case SCEP_PKCS_REQ:
    case SCEP_RENEWAL_REQ:
    case SCEP_CERT_POLL:
        return enrol(call, m, out, err);
    case SCEP_GET_CERT:
        trail_begin(&out->trail, CHECK_LOOKUP);
        return get_cert(call, m, out, err);
    case SCEP_GET_CRL:
        trail_begin(&out->trail, CHECK_LOOKUP);
        return get_crl(call, m, out, err);
    case SCEP_CERT_REP:
        break;
    }
    return err_refuse(err, REASON_MESSAGE_UNSUPPORTED, "messageType %d", (int)m->type);
}

void scep_pki_prepare(const struct scep_call *call, struct scep_answer *out)
{
    *out = (struct scep_answer){.operation = "", .verdict = ENROLL_REJECT};
    struct scep_message *m = NULL;
    struct err err = {0};
    const struct scep_rules rules = scep_rules_of(call->endpoint);
    memory_forget();
    trail_begin(&out->trail, CHECK_MESSAGE);
    bool parsed = scep_parse_by(call->message, &rules, &m, &err);
    if (!parsed && err.kind != ERR_REFUSED) {
        answer_fault(out, &err);
        goto out;
    }
    if (!parsed)
        trail_stop(&out->trail, "%s", err.text);
    if (!parsed && !(m && m->replyable)) {
        out->reason = err.reason;
        snprintf(out->detail, sizeof out->detail, "%s", err.text);
        answer_text(out, 400, reason_info(err.reason)->text);
        goto out;
    }
    out->operation = scep_type_name(m->type);
    snprintf(out->transaction, sizeof out->transaction, "%s", m->transaction_id);
    out->odd_message_digest = m->odd_message_digest;

    if (parsed) {
        snprintf(out->digest, sizeof out->digest, "%s", digest_name(m->digest));
        trail_pass(&out->trail, "CMS, %s, signature good", out->digest);
    }

    /* From here on a refusal is a signed CertRep FAILURE in HTTP 200 (RFC 8894 section 4.3.1). */
    if (parsed && dispatch(call, m, out, &err))
        goto out;
    trail_stop(&out->trail, "%s", err.text);
    struct err second = {0};
    if (err.kind != ERR_REFUSED)
        answer_fault(out, &err);
    else if (!reply_failure(call, m, err.reason, err.text, out, &second))
        answer_fault(out, &second);
out:
    if (!out->fault && out->verdict == ENROLL_REJECT && memory_failed()) {
        err_memory(&err); /* what was found wrong need not be */
        answer_fault(out, &err);
    }
    scep_message_free(m);
}

void scep_pki_commit_failed(const struct scep_call *call, const struct err *why,
                            struct scep_answer *out)
{
    struct err busy = *why;
    if (busy.kind == ERR_CONFLICT)
        busy.kind = ERR_BUSY;
    trail_stop(&out->trail, "%s", busy.text);
    answer_fault(out, &busy);
}

void scep_pki_operation(const struct scep_call *caller, struct scep_answer *out)
{
    struct scep_call with = *caller;
    const struct scep_call *call = &with;
    const struct enroll_asked nobody = {ENROLL_NO_ANSWER, "nobody is there to ask it"};
    for (int attempt = 1;; attempt++) {
        scep_pki_prepare(call, out);
        struct err result = {0}, err = {0};
        if (out->verdict == ENROLL_ASK && !out->fault) {
            scep_answer_clear(out);
            with.asked = &nobody;
            continue;
        }
        if (!out->change)
            return;
        if (enroll_commit(call->enroll->store, &out->change, &result, 1, &err) &&
            result.kind == ERR_NONE)
            return;
        if (result.kind != ERR_CONFLICT || attempt == MAX_ATTEMPTS) {
            scep_pki_commit_failed(call, result.kind != ERR_NONE ? &result : &err, out);
            return;
        }
        scep_answer_clear(out);
    }
}
