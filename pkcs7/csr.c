#include "pkcs7/csr.h"

#include <stdio.h>
#include <stdlib.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/objects.h>

#include "asn1_pkix.h"
#include "asn1_text.h"
#include "frame.h"

#define ATTRIBUTES_MAX 32 /* devices send two to five */

/* What one request's decoding needs; the bytes are those of csr->der. */
struct reading {
    struct csr *csr;
    PKIX_CSR *outer;
    PKIX_CSR_INFO *info;
    struct view info_der;                /* signed */
    const ASN1_TYPE *challenge;          /* NULL: none */
    struct view requested, requested_ms; /* extensions asked for, by PKCS#9's and Microsoft's OID */
};

/* ---- decode ---- */

/* RFC 2986 section 4.1 */
static bool check_version(const ASN1_INTEGER *version, bool any, struct err *err)
{
    int64_t value = -1;
    bool readable = version && ASN1_INTEGER_get_int64(&value, version) == 1;
    ERR_clear_error();
    if (any || (readable && value == 0))
        return true;
    return version ? err_refuse(err, REASON_CSR_MALFORMED,
                                "certification request of another version than 0 (RFC 2986 section "
                                "4.1)")
                   : err_refuse(err, REASON_CSR_MALFORMED,
                                "certification request without a version (RFC 2986 section 4.1)");
}

static bool decode(struct reading *r, bool any_version, struct err *err)
{
    struct view der = buf_view(&r->csr->der);
    if (!frame_check_part(der, CSR_MAX_SIZE, REASON_CSR_MALFORMED, err))
        return err_prefix(err, "certification request");
    r->outer = (PKIX_CSR *)frame_decode(der, ASN1_ITEM_rptr(PKIX_CSR), REASON_CSR_MALFORMED,
                                        "CertificationRequest", err);
    if (!r->outer)
        return false;
    struct view rest = der;
    r->info_der = frame_locate(&rest, frame_view(r->outer->info));
    r->info = (PKIX_CSR_INFO *)frame_decode(r->info_der, ASN1_ITEM_rptr(PKIX_CSR_INFO),
                                            REASON_CSR_MALFORMED, "CertificationRequestInfo", err);
    return r->info && check_version(r->info->version, any_version, err);
}

/* ---- key and signature: before anything else is looked at ---- */

static bool verify(struct reading *r, EVP_PKEY_CTX *key, struct err *err)
{
    const ASN1_BIT_STRING *sig = r->outer->signature;
    struct err wrong = {0};
    if (!pubkey_verify_by(key, r->csr->sigalg, r->info_der, frame_view(sig), &wrong)) {
        if (wrong.reason == REASON_SIGNATURE_BAD)
            wrong.reason = REASON_CSR_SIGNATURE;
        *err = wrong;
        return false;
    }
    /* Asked last: whoever refuses with this reason has verified (scep_open.c). */
    return !(sig->flags & 0x07) ||
           err_refuse(err, REASON_CSR_SIGNATURE, "signature is not of whole octets");
}

static bool read_key(struct reading *r, struct err *err)
{
    struct csr *csr = r->csr;
    struct view rest = r->info_der;
    csr->subject_der = frame_locate(&rest, frame_view(r->info->subject));
    return pubkey_parse(frame_locate(&rest, frame_view(r->info->spki)), &csr->key, err);
}

/* RFC 8894 sections 2.3 and 7.6 */
static bool read_signature(struct reading *r, unsigned digests, EVP_PKEY_CTX *known,
                           struct view known_spki, struct err *err)
{
    struct csr *csr = r->csr;
    if (!sigalg_parse(frame_view(r->outer->sigalg), DIGEST_COUNT, &csr->sigalg, err))
        return false;
    if (!(digests & ALG_BIT(csr->sigalg.digest)))
        return err_refuse(err, REASON_ALGORITHM_REFUSED,
                          "certification request signed with %s, which is not accepted here",
                          digest_name(csr->sigalg.digest));
    if (known && view_eq(known_spki, csr->key.spki))
        return verify(r, known, err);
    EVP_PKEY *key = NULL;
    if (!pubkey_load(&csr->key, &key, err))
        return false;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    bool ok = ctx ? verify(r, ctx, err) : err_memory(err);
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(key);
    return ok;
}

/* ---- attributes ---- */

static void note_unknown(struct csr *csr, const ASN1_OBJECT *type)
{
    char oid[80];
    size_t used = strlen(csr->unknown_attributes), cap = sizeof csr->unknown_attributes;
    int n = OBJ_obj2txt(oid, sizeof oid, type, 1);
    if (n > 0 && (size_t)n < sizeof oid && used + 1 + (size_t)n < cap)
        snprintf(csr->unknown_attributes + used, cap - used, "%s%s", used ? " " : "", oid);
}

static const ASN1_TYPE *single(const PKIX_ATTRIBUTE *a, const char *what, bool again,
                               struct err *err)
{
    int n = sk_ASN1_TYPE_num(a->values);
    if (again)
        err_refuse(err, REASON_CSR_MALFORMED, "%s is there twice", what);
    else if (n != 1)
        err_refuse(err, REASON_CSR_MALFORMED, "%s has %d values, not one", what, n);
    return again || n != 1 ? NULL : sk_ASN1_TYPE_value(a->values, 0);
}

/* The list of extensions of one extensionRequest (RFC 2985 section 5.4.2), where it stands. */
static bool take_request(struct reading *r, const PKIX_ATTRIBUTE *a, const char *what,
                         struct view *out, struct err *err)
{
    const ASN1_TYPE *value = single(a, what, out->n > 0, err);
    if (!value)
        return false;
    if (value->type != V_ASN1_SEQUENCE)
        return err_refuse(err, REASON_CSR_MALFORMED, "%s is no SEQUENCE", what);
    struct view rest = r->info_der;
    *out = frame_locate(&rest, frame_view(value->value.sequence));
    return true;
}

static bool read_attribute(struct reading *r, const PKIX_ATTRIBUTE *a, struct err *err)
{
    switch (OBJ_obj2nid(a->type)) {
    case NID_pkcs9_challengePassword: {
        const ASN1_TYPE *value = single(a, "challengePassword", r->challenge != NULL, err);
        r->challenge = value ? value : r->challenge;
        return value != NULL;
    }
    case NID_ext_req:
        return take_request(r, a, "extensionRequest", &r->requested, err);
    case NID_ms_ext_req:
        return take_request(r, a, "Microsoft's extension request", &r->requested_ms, err);
    default:
        note_unknown(r->csr, a->type);
        return true;
    }
}

static bool read_attributes(struct reading *r, struct err *err)
{
    int n = sk_PKIX_ATTRIBUTE_num(r->info->attributes); /* -1 without any */
    if (n > ATTRIBUTES_MAX)
        return err_refuse(err, REASON_CSR_MALFORMED, "%d attributes, at most %d", n,
                          ATTRIBUTES_MAX);
    for (int i = 0; i < n; i++)
        if (!read_attribute(r, sk_PKIX_ATTRIBUTE_value(r->info->attributes, i), err))
            return false;
    if (r->requested.n > 0 && r->requested_ms.n > 0 && !view_eq(r->requested, r->requested_ms))
        return err_refuse(err, REASON_CSR_MALFORMED,
                          "two extension requests that ask for different things");
    if (r->requested.n == 0)
        r->requested = r->requested_ms;
    return true;
}

/* ---- meaning ---- */

/* An empty password is none: it can open nothing, and clients that were given none send it so. */
static bool read_challenge(struct reading *r, struct err *err)
{
    if (!r->challenge)
        return true;
    struct buf *out = &r->csr->challenge;
    if (!asn1_text(r->challenge, REASON_CSR_MALFORMED, "challengePassword", out, err))
        return false;
    if (out->n > CSR_MAX_CHALLENGE)
        return err_refuse(err, REASON_CSR_MALFORMED, "challengePassword of %zu octets, at most %u",
                          out->n, CSR_MAX_CHALLENGE);
    if (out->n > 0 && memchr(out->p, 0, out->n))
        return err_refuse(err, REASON_CSR_MALFORMED, "challengePassword with a NUL inside");
    r->csr->has_challenge = out->n > 0;
    return true;
}

static bool read_extensions(struct reading *r, struct err *err)
{
    struct extensions *x = &r->csr->ext;
    x->path_len = -1;
    if (r->requested.n > 0 && !extensions_parse(r->requested, REASON_CSR_MALFORMED, x, err))
        return false;
    if (x->is_ca)
        return err_refuse(err, REASON_USAGE_FORBIDDEN,
                          "the request asks for a CA certificate (basicConstraints cA TRUE)");
    uint32_t forbidden = x->key_usage & (KU_KEY_CERT_SIGN | KU_CRL_SIGN);
    if (!forbidden)
        return true;
    char text[64];
    key_usage_text(forbidden, text, sizeof text);
    return err_refuse(err, REASON_USAGE_FORBIDDEN, "the request asks for key usage %s", text);
}

static bool append_counted(struct buf *b, struct view v)
{
    uint8_t n[4] = {(uint8_t)(v.n >> 24), (uint8_t)(v.n >> 16), (uint8_t)(v.n >> 8), (uint8_t)v.n};
    return buf_append(b, n, sizeof n) && buf_append(b, v.p, v.n);
}

static bool identify(struct reading *r, struct err *err)
{
    struct buf b = {0};
    bool ok = append_counted(&b, r->csr->subject_der) && append_counted(&b, r->csr->key.spki) &&
              append_counted(&b, r->requested);
    ok = ok ? digest_compute(DIGEST_SHA256, buf_view(&b), r->csr->identity, err) : err_memory(err);
    buf_clear(&b);
    return ok;
}

/* Who verifies the self-signature; NULL: it was verified before. */
struct verifier {
    const struct csr_rules *rules;
    EVP_PKEY_CTX *known;
    struct view known_spki;
};

static bool parse(struct view der, const struct verifier *v, struct csr **out, struct err *err)
{
    if (der.n > CSR_MAX_SIZE) /* before it is copied */
        return err_refuse(err, REASON_CSR_MALFORMED,
                          "certification request of %zu octets, at most %u", der.n, CSR_MAX_SIZE);
    struct reading r = {.csr = calloc(1, sizeof *r.csr)};
    bool ok = r.csr && buf_append(&r.csr->der, der.p, der.n);
    ok = ok ? decode(&r, v && v->rules->any_version, err) && read_key(&r, err) &&
                  (!v || read_signature(&r, v->rules->digests, v->known, v->known_spki, err)) &&
                  read_attributes(&r, err) && read_challenge(&r, err) &&
                  name_parse(r.csr->subject_der, REASON_SUBJECT_FORBIDDEN, &r.csr->subject, err) &&
                  read_extensions(&r, err) && identify(&r, err)
            : err_memory(err);
    pkix_csr_wipe(r.outer, r.info);
    if (!ok) {
        csr_free(r.csr);
        return false;
    }
    *out = r.csr;
    return true;
}

bool csr_parse_by(struct view der, const struct csr_rules *rules, EVP_PKEY_CTX *known,
                  struct view known_spki, struct csr **out, struct err *err)
{
    const struct verifier v = {rules, known, known_spki};
    return parse(der, &v, out, err);
}

bool csr_parse(struct view der, unsigned digests, EVP_PKEY_CTX *known, struct view known_spki,
               struct csr **out, struct err *err)
{
    const struct csr_rules rules = {.digests = digests};
    return csr_parse_by(der, &rules, known, known_spki, out, err);
}

bool csr_parse_trusted(struct view der, struct csr **out, struct err *err)
{
    return parse(der, NULL, out, err);
}

void csr_free(struct csr *csr)
{
    if (!csr)
        return;
    name_clear(&csr->subject);
    extensions_clear(&csr->ext);
    buf_wipe(&csr->challenge);
    buf_wipe(&csr->der);
    free(csr);
}
