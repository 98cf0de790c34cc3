#include "ca/issue.h"

#include <openssl/err.h>
#include <openssl/rand.h>
#include <string.h>

#include "base/text.h"
#include "ca/crl.h"
#include "ca/lint.h"
#include "tbs.h"

#define SERIAL_SIZE sizeof((struct issued *)0)->serial

void issued_clear(struct issued *i)
{
    buf_clear(&i->der);
    memset(i, 0, sizeof *i);
}

/* A 127-bit field with 126 random bits: always positive, always 16 octets.  That it is unique is
 * the store's index, not luck. */
static bool draw_serial(uint8_t serial[SERIAL_SIZE], struct err *err)
{
    if (RAND_bytes(serial, (int)SERIAL_SIZE) != 1) {
        ERR_clear_error();
        return err_set(err, ERR_CRYPTO, "no random octets for a serial");
    }
    serial[0] = (uint8_t)((serial[0] & 0x3f) | 0x40);
    return true;
}

/* Inside the issuer's own validity: no path validator checks the nesting, and every certificate
 * would fail on the authority's last day. */
static bool clamp_times(const struct authority *a, const struct cert_plan *plan, int64_t now,
                        struct tbs *t, struct err *err)
{
    const struct cert *issuer = a->cert;
    char end[32], needed[32];

    t->not_before = plan->not_before > issuer->not_before ? plan->not_before : issuer->not_before;
    t->not_after = plan->not_after < issuer->not_after ? plan->not_after : issuer->not_after;
    text_time(issuer->not_after, end);
    if (issuer->not_before > now) {
        text_time(issuer->not_before, end);
        return err_refuse(err, REASON_AUTHORITY_EXPIRED, "the authority is not valid before %s",
                          end);
    }
    if (t->not_after <= now || t->not_after < plan->min_not_after) {
        text_time(plan->min_not_after, needed);
        return err_refuse(
            err, REASON_AUTHORITY_EXPIRED,
            "the authority ends at %s; the template's shortest certificate would end at %s", end,
            needed);
    }
    return true;
}

static bool add_extras(const struct cert_plan *plan, struct tbs *t, struct err *err)
{
    bool ok = true;

    for (size_t i = 0; ok && i < plan->extension_n; i++)
        ok = tbs_extra_add(t, plan->extension[i].oid, plan->extension[i].value);
    return ok || err_set(err, ERR_CONFIG, "the plan has an extension twice, or more than %d",
                         TBS_MAX_EXTRA);
}

/* Everything of the certificate but its serial and times: borrowed from the authority and the plan.
 */
static bool fill_tbs(const struct authority *a, const struct cert_plan *plan, struct tbs *t,
                     struct err *err)
{
    t->sigalg = a->sigalg;
    t->issuer = a->cert->subject;
    t->subject = &plan->subject;
    t->key = plan->key;
    t->path_len = -1;
    t->key_usage = plan->key_usage;
    t->eku = &plan->eku;
    t->authority_key_id = view_of(a->key_id, sizeof a->key_id);
    t->san = &plan->san;
    t->crl_url = a->crl_url;
    t->issuer_url = a->issuer_url;
    t->ocsp_url = a->ocsp_url;
    return add_extras(plan, t, err);
}

static bool fill_issued(const struct cert *cert, const struct tbs *t, const struct cert_plan *plan,
                        struct issued *out, struct err *err)
{
    if (!digest_compute(DIGEST_SHA256, cert->subject, out->subject_hash, err))
        return false;
    memcpy(out->serial, t->serial.p, sizeof out->serial);
    memcpy(out->der_hash, cert->sha256, sizeof out->der_hash);
    out->not_before = t->not_before;
    out->not_after = t->not_after;
    name_text(&plan->subject, out->subject, sizeof out->subject);
    san_text(&plan->san, out->san, sizeof out->san);
    return true;
}

/* The signer lints these very bytes before it signs them, so that what was checked is what is in
 * the certificate. */
static bool sign(const struct authority *a, struct signer *signer, const struct tbs *t,
                 struct buf *tbs, struct buf *der, struct err *err)
{
    struct buf signature = {0};
    bool ok =
        tbs_build(t, tbs, err) &&
        signer_sign_certificate(signer, (unsigned)a->key_ca, buf_view(tbs), &signature, err) &&
        certificate_assemble(buf_view(tbs), t->sigalg, buf_view(&signature), der, err);

    buf_clear(&signature);
    return ok;
}

/* C69: the finished certificate is read again, is what the signer checked (which wrote it anew from
 * what it read, and so knows that nothing is in it but what was planned), and its signature is
 * verified: no fault and no bug leaves the house. */
static bool check(const struct authority *a, const struct cert *cert, struct view tbs,
                  struct err *err)
{
    if (!view_eq(cert->tbs, tbs))
        return err_set(err, ERR_CRYPTO, "the certificate differs from what was signed");
    EVP_PKEY_CTX *key = EVP_PKEY_CTX_dup(a->public_ctx);
    bool ok = key ? cert_signature_verify_by(cert, key, err) : err_memory(err);
    EVP_PKEY_CTX_free(key);
    return ok;
}

bool ca_issue(const struct authority *a, struct signer *signer, const struct cert_plan *plan,
              int64_t now, struct issued *out, struct err *err)
{
    struct issued issued = {.not_before = 0};
    struct tbs t = {.path_len = -1};
    struct buf tbs = {0};
    struct cert *cert = NULL;
    uint8_t serial[SERIAL_SIZE];
    char crl_url[CRL_URL_MAX];
    bool ok = false;

    if (!clamp_times(a, plan, now, &t, err) || !fill_tbs(a, plan, &t, err) ||
        !draw_serial(serial, err))
        return false;
    t.serial = view_of(serial, sizeof serial);
    issued.shard = crl_shard_of(a, t.serial);
    if (issued.shard && crl_scope_url(a->crl_url, issued.shard, crl_url))
        t.crl_url = crl_url;
    if (!sign(a, signer, &t, &tbs, &issued.der, err) ||
        !cert_parse(buf_view(&issued.der), &cert, err) || !check(a, cert, buf_view(&tbs), err) ||
        !fill_issued(cert, &t, plan, &issued, err))
        goto out;
    *out = issued;
    issued = (struct issued){.not_before = 0};
    ok = true;
out:
    buf_clear(&tbs);
    cert_free(cert);
    issued_clear(&issued);
    return ok;
}
