#include "outside/webhook.h"

#include <jansson.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/json.h"
#include "base/text.h"

/* ---- writing ---- */

/* Text of devices may be no UTF-8: what is not is written as \xHH. */
static json_t *text(const char *value)
{
    char clean[2048];
    if (!value || !*value)
        return json_null();
    text_printable(view_str(value), clean, sizeof clean);
    return json_string(clean);
}

static json_t *base64(struct view v)
{
    if (v.n == 0 || v.n > OUTSIDE_MAX_BODY / 2)
        return json_null();
    size_t n = 4 * ((v.n + 2) / 3);
    unsigned char *out = malloc(n + 1);
    if (!out)
        return NULL;
    EVP_EncodeBlock(out, v.p, (int)v.n);
    json_t *j = json_stringn((const char *)out, n);
    OPENSSL_cleanse(out, n);
    free(out);
    return j;
}

static json_t *when(int64_t t)
{
    char written[32];
    if (!t)
        return json_null();
    text_time(t, written);
    return json_string(written);
}

/* json_object_set_new takes NULL for a failure, and says so. */
static bool set(json_t *o, const char *name, json_t *value)
{
    return json_object_set_new(o, name, value) == 0;
}

static bool set_issued(json_t *o, const struct webhook_facts *f)
{
    uint8_t sha256[32];
    char thumbprint[65] = "";
    if (f->certificate.n) {
        if (EVP_Digest(f->certificate.p, f->certificate.n, sha256, NULL, EVP_sha256(), NULL) != 1)
            return false;
        hex_encode(view_of(sha256, sizeof sha256), thumbprint);
    }
    return set(o, "serial", text(f->serial)) &&
           (f->sha256 || set(o, "certificate", base64(f->certificate))) &&
           set(o, "sha256", text(f->sha256 ? f->sha256 : thumbprint)) &&
           set(o, "not_before", when(f->not_before)) && set(o, "not_after", when(f->not_after)) &&
           set(o, "issuer", text(f->issuer));
}

bool webhook_json(const struct webhook_facts *f, struct buf *out, struct err *err)
{
    json_t *o = json_object();
    bool ok = o && set(o, "event", text(f->event)) && set(o, "id", text(f->id)) &&
              set(o, "at", when(f->at)) && set(o, "endpoint", text(f->endpoint)) &&
              set(o, "authority", text(f->authority)) &&
              set(o, "template", text(f->template_name)) &&
              set(o, "transaction", text(f->transaction)) && set(o, "subject", text(f->subject)) &&
              set(o, "san", text(f->san)) && set(o, "key", text(f->key)) &&
              set(o, "device", text(f->device)) && set(o, "policy", text(f->policy)) &&
              set(o, "peer", text(f->peer)) && set(o, "agent", text(f->agent)) &&
              set(o, "renewal", json_boolean(f->renewal)) &&
              set(o, "challenge_id", text(f->challenge_id)) && set(o, "request", text(f->request));
    if (ok && f->csr.n)
        ok = set(o, "csr", base64(f->csr));
    if (ok && f->challenge.n)
        ok = set(o, "challenge", json_stringn((const char *)f->challenge.p, f->challenge.n));
    if (ok && f->serial)
        ok = set_issued(o, f);
    if (ok && f->revocation)
        ok = set(o, "reason", text(f->revocation));
    if (ok && f->reason)
        ok = set(o, "reason", text(f->reason)) && set(o, "detail", text(f->detail));
    return whole_json_write(o, ok, out) || err_memory(err);
}

/* ---- reading ---- */

/* What came instead of an answer. */
static void describe(const struct outside_answer *a, char out[256])
{
    char said[140];
    if (a->result != OUTSIDE_ANSWERED) {
        snprintf(out, 256, "%.255s", *a->text ? a->text : outside_result_name(a->result));
        return;
    }
    text_printable(view_of(a->body.p ? a->body.p : (const uint8_t *)"", a->body.n), said,
                   sizeof said);
    snprintf(out, 256, "HTTP %d%s%s", a->status, *said ? ": " : "", said);
}

static json_t *object_of(const struct outside_answer *a)
{
    json_error_t why;
    json_t *o = whole_json_read(buf_view(&a->body), &why);
    if (o && !json_is_object(o)) {
        json_decref(o);
        o = NULL;
    }
    return o;
}

enum webhook_said webhook_read(const struct outside_answer *a, char out[256])
{
    enum webhook_said said = WEBHOOK_NOTHING;
    json_t *o = NULL, *allow;
    out[0] = '\0';
    if (a->result != OUTSIDE_ANSWERED || a->status != 200) {
        describe(a, out);
        return said;
    }
    if (!(o = object_of(a)) || !json_is_boolean(allow = json_object_get(o, "allow"))) {
        snprintf(out, 256, "its answer has no \"allow\" that is true or false");
        json_decref(o);
        return said;
    }
    const char *reason = json_string_value(json_object_get(o, "reason"));
    said = json_is_true(allow) ? WEBHOOK_ALLOWED : WEBHOOK_DENIED;
    if (reason)
        text_printable(view_str(reason), out, 200);
    else if (said == WEBHOOK_DENIED)
        snprintf(out, 256, "no reason was given");
    json_decref(o);
    return said;
}

bool webhook_taken(const struct outside_answer *a, char out[256])
{
    out[0] = '\0';
    if (a->result == OUTSIDE_ANSWERED && a->status >= 200 && a->status < 300)
        return true;
    describe(a, out);
    return false;
}

/* ---- Intune ---- */

static bool dump_inside(const char *name, json_t *inside, bool ok, struct buf *out, struct err *err)
{
    json_t *o = json_object();
    ok = ok && o;
    if (ok)
        ok = set(o, name, inside);
    else
        json_decref(inside);
    return whole_json_write(o, ok, out) || err_memory(err);
}

static bool set_request(json_t *o, const struct webhook_facts *f)
{
    return o && set(o, "transactionId", text(f->transaction)) &&
           set(o, "certificateRequest", base64(f->csr)) && set(o, "callerInfo", text("scepd"));
}

bool intune_validate_json(const struct webhook_facts *f, struct buf *out, struct err *err)
{
    json_t *o = json_object();
    return dump_inside("request", o, set_request(o, f), out, err);
}

bool intune_success_json(const struct webhook_facts *f, struct buf *out, struct err *err)
{
    uint8_t sha1[20];
    char thumbprint[41] = "", serial[128] = "";
    json_t *o = json_object();
    bool ok = set_request(o, f) &&
              EVP_Digest(f->certificate.p, f->certificate.n, sha1, NULL, EVP_sha1(), NULL) == 1;
    if (ok)
        hex_encode(view_of(sha1, sizeof sha1), thumbprint);
    for (char *c = thumbprint; *c; c++)
        *c = (char)(*c >= 'a' ? *c - 'a' + 'A' : *c);
    snprintf(serial, sizeof serial, "%s", f->serial ? f->serial : "");
    ok = ok && set(o, "certificateThumbprint", text(thumbprint)) &&
         set(o, "certificateSerialNumber", text(serial)) &&
         set(o, "certificateExpirationDateUtc", when(f->not_after)) &&
         set(o, "issuingCertificateAuthority", text(f->issuer)) &&
         set(o, "caConfiguration", text(f->endpoint)) &&
         set(o, "certificateAuthority", text(f->authority));
    return dump_inside("notification", o, ok, out, err);
}

bool intune_failure_json(const struct webhook_facts *f, struct buf *out, struct err *err)
{
    char description[256];
    json_t *o = json_object();
    bool ok = set_request(o, f);
    snprintf(description, sizeof description, "%.60s: %.180s", f->reason ? f->reason : "",
             f->detail ? f->detail : "");
    /* a signed 32-bit number, as Microsoft's own client sends it */
    ok = ok && set(o, "hResult", json_integer((int32_t)f->hresult)) &&
         set(o, "errorDescription", text(description));
    return dump_inside("notification", o, ok, out, err);
}

enum webhook_said intune_read(const struct outside_answer *a, char out[256])
{
    json_t *o = NULL;
    char more[180] = "", code[64];
    out[0] = '\0';
    if (a->result != OUTSIDE_ANSWERED || a->status != 200) {
        describe(a, out);
        return WEBHOOK_NOTHING;
    }
    o = object_of(a);
    const char *said = o ? json_string_value(json_object_get(o, "code")) : NULL;
    const char *description = o ? json_string_value(json_object_get(o, "errorDescription")) : NULL;
    if (!said || !*said) {
        snprintf(out, 256, "its answer has no \"code\"");
        json_decref(o);
        return WEBHOOK_NOTHING;
    }
    bool good = strcmp(said, "Success") == 0;
    if (!good) {
        text_printable(view_str(said), code, sizeof code);
        if (description)
            text_printable(view_str(description), more, sizeof more);
        snprintf(out, 256, "%s%s%s", code, *more ? ": " : "", more);
    }
    json_decref(o);
    return good ? WEBHOOK_ALLOWED : WEBHOOK_DENIED;
}
