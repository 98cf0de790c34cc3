#include "make.h"

#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>

#include "tbs.h"

#define NAME_MAX_CN 64 /* characters; RFC 5280 Appendix A: ub-common-name */

static bool crypto_failed(struct err *err, const char *what)
{
    char text[160] = "no detail";
    unsigned long code = ERR_peek_last_error();
    if (code)
        ERR_error_string_n(code, text, sizeof text);
    ERR_clear_error();
    return err_set(err, ERR_CRYPTO, "%s: %s", what, text);
}

/* ---- names ---- */

/* At most `characters` of UTF-8. */
static size_t octets_of(const char *text, size_t characters)
{
    size_t n = 0;
    while (text[n]) {
        if (((unsigned char)text[n] & 0xc0) != 0x80 && characters-- == 0)
            break;
        n++;
    }
    return n;
}

bool make_name(const struct name *from, const char *suffix, struct name *out, struct err *err)
{
    const struct name_type *cn = name_type_by_key("CN");
    struct name n = {0};
    bool ok = true, named = false;
    for (size_t i = 0; ok && i < from->n; i++) {
        const struct name_attr *a = &from->attr[i];
        char value[NAME_MAX_VALUE + 64];
        if (!a->type) {
            ok = err_set(err, ERR_CONFIG, "its name has an attribute (%s) that is not issued here",
                         a->oid);
            break;
        }
        if (a->type == cn && !named)
            snprintf(value, sizeof value, "%.*s%s",
                     (int)octets_of(a->value, NAME_MAX_CN - strlen(suffix)), a->value, suffix);
        else
            snprintf(value, sizeof value, "%s", a->value);
        named |= a->type == cn;
        ok = name_add(&n, a->type, value, REASON_SUBJECT_FORBIDDEN, err);
    }
    if (ok && !named)
        ok = name_add(&n, cn, suffix + strspn(suffix, " "), REASON_SUBJECT_FORBIDDEN, err);
    if (ok) {
        *out = n;
        return true;
    }
    name_clear(&n);
    if (err->kind == ERR_REFUSED) {
        err->kind = ERR_CONFIG;
        err->reason = REASON_NONE;
    }
    return false;
}

/* ---- certificates ---- */

struct made {
    struct buf spki, issuer_name; /* owned */
    struct pubkey key, issuer_key;
    uint8_t serial[16], issuer_key_id[KEY_ID_SIZE];
    struct eku eku;
    struct buf tbs, signature, der; /* owned */
};

static void made_clear(struct made *m)
{
    buf_clear(&m->spki);
    buf_clear(&m->issuer_name);
    buf_clear(&m->tbs);
    buf_clear(&m->signature);
    buf_clear(&m->der);
}

static bool encode_key(EVP_PKEY *key, struct buf *out, struct err *err)
{
    uint8_t *der = NULL;
    int n = i2d_PUBKEY(key, &der);
    bool ok = n > 0 ? buf_append(out, der, (size_t)n) || err_memory(err)
                    : crypto_failed(err, "cannot encode a public key");
    OPENSSL_free(der);
    return ok;
}

static struct sigalg sigalg_of(const struct pubkey *key)
{
    if (key->type == KEY_RSA)
        return (struct sigalg){SIG_RSA_PKCS1, DIGEST_SHA256, 0};
    return (struct sigalg){SIG_ECDSA,
                           key->curve == CURVE_P256   ? DIGEST_SHA256
                           : key->curve == CURVE_P384 ? DIGEST_SHA384
                                                      : DIGEST_SHA512,
                           0};
}

static bool sign(EVP_PKEY *key, enum digest digest, struct view tbs, struct buf *out,
                 struct err *err)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    size_t n = (size_t)EVP_PKEY_get_size(key);
    bool ok = buf_reserve(out, n) || err_memory(err);
    if (ok && (!ctx || EVP_DigestSignInit(ctx, NULL, digest_md(digest), NULL, key) != 1 ||
               EVP_DigestSign(ctx, out->p, &n, tbs.p, tbs.n) != 1))
        ok = crypto_failed(err, "cannot sign a certificate");
    EVP_MD_CTX_free(ctx);
    if (ok)
        out->n = n;
    return ok;
}

/* RFC 5280 section 4.2.1.1: the issuer's own identifier, whatever it was computed by. */
static bool issuer_key_id(const struct make *m, struct made *d, struct err *err)
{
    struct extensions x = {0};
    bool ok = !m->issuer->extensions.n ||
              extensions_parse(m->issuer->extensions, REASON_INTERNAL, &x, err);
    if (ok && x.ski.n == KEY_ID_SIZE)
        memcpy(d->issuer_key_id, x.ski.p, KEY_ID_SIZE);
    else
        ok = ok && key_identifier(&d->issuer_key, d->issuer_key_id, err);
    extensions_clear(&x);
    return ok;
}

static bool name_issuer(const struct make *m, struct made *d, struct err *err)
{
    if (m->issuer)
        return buf_append(&d->issuer_name, m->issuer->subject.p, m->issuer->subject.n) ||
               err_memory(err);
    struct der w;
    der_init(&w, 256);
    name_build(m->subject, &w);
    return der_take(&w, &d->issuer_name, err);
}

static bool draw_serial(uint8_t serial[16], struct err *err)
{
    if (RAND_bytes(serial, 16) != 1)
        return crypto_failed(err, "cannot draw a serial number");
    serial[0] = (uint8_t)((serial[0] & 0x3f) | 0x40); /* positive and always 16 octets */
    return true;
}

/* RFC 6960 sections 4.2.2.2 and 4.2.2.2.1 */
static bool plan_responder(const struct make *m, struct made *d, struct tbs *t, struct err *err)
{
    static const uint8_t null[] = {DER_NULL, 0};
    t->not_before = m->now - MAKE_OCSP_BACKDATE;
    t->eku = &d->eku;
    return (eku_add(&d->eku, EKU_OCSP_SIGNING) &&
            tbs_extra_add(t, OID_OCSP_NOCHECK, view_of(null, sizeof null))) ||
           err_memory(err);
}

/* A root names no authority key; everybody else copies the issuer's identifier. */
static bool plan(const struct make *m, struct made *d, struct tbs *t, struct err *err)
{
    *t = (struct tbs){
        .serial = view_of(d->serial, sizeof d->serial),
        .sigalg = sigalg_of(&d->issuer_key),
        .issuer = buf_view(&d->issuer_name),
        .not_before = m->now - MAKE_BACKDATE,
        .not_after = m->now + m->validity,
        .subject = m->subject,
        .key = &d->key,
        .is_ca = m->role == ROLE_ROOT || m->role == ROLE_ISSUING_CA,
        .path_len = m->path_len,
        .key_usage = m->key_usage,
        .crl_url = m->crl_url,
        .issuer_url = m->issuer_url,
        .san = m->san,
    };
    if (!draw_serial(d->serial, err) || (m->ocsp_responder && !plan_responder(m, d, t, err)))
        return false;
    if (m->san && !eku_add(&d->eku, EKU_SERVER_AUTH))
        return err_memory(err);
    if (m->san)
        t->eku = &d->eku;
    if (!m->issuer)
        return true;
    if (t->not_after > m->issuer->not_after)
        t->not_after = m->issuer->not_after;
    if (t->not_before < m->issuer->not_before)
        t->not_before = m->issuer->not_before;
    t->authority_key_id = view_of(d->issuer_key_id, KEY_ID_SIZE);
    return issuer_key_id(m, d, err);
}

/* The longest validity of a role is the lint's own rule. */
static bool lint(const struct make *m, const struct made *d, const struct cert *c, struct err *err)
{
    struct lint_limits limits = {.role = m->role,
                                 .issuer = m->issuer,
                                 .key_usage = m->key_usage,
                                 .eku = &d->eku,
                                 .max_validity = INT64_MAX,
                                 .now = m->now};
    return cert_lint(c, &limits, err);
}

bool make_certificate(const struct make *m, const char *what, struct cert **out, struct err *err)
{
    struct made d = {0};
    struct tbs t;
    struct cert *c = NULL;
    EVP_PKEY *signing_key = m->issuer ? m->issuer_key : m->key;
    bool ok = name_check(m->subject, REASON_SUBJECT_FORBIDDEN, err) &&
              encode_key(m->key, &d.spki, err) && pubkey_parse(buf_view(&d.spki), &d.key, err);
    d.issuer_key = d.key;
    ok = ok && (!m->issuer || pubkey_parse(m->issuer->spki, &d.issuer_key, err)) &&
         name_issuer(m, &d, err) && plan(m, &d, &t, err) && tbs_build(&t, &d.tbs, err) &&
         sign(signing_key, t.sigalg.digest, buf_view(&d.tbs), &d.signature, err) &&
         certificate_assemble(buf_view(&d.tbs), t.sigalg, buf_view(&d.signature), &d.der, err) &&
         cert_parse(buf_view(&d.der), &c, err) && lint(m, &d, c, err) &&
         cert_signature_verify(c, signing_key, err);
    made_clear(&d);
    if (ok) {
        *out = c;
        return true;
    }
    cert_free(c);
    err_prefix(err, "the certificate \"%s\"", what);
    if (err->kind == ERR_REFUSED) { /* what was asked for cannot be made */
        err->kind = ERR_CONFIG;
        err->reason = REASON_NONE;
    }
    return false;
}
