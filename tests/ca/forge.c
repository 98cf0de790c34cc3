#include "forge.h"

#include <check.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "pkcs7/name.h"
#include "pkcs7/san.h"
#include "wish.h"

#define DAY 86400
#define RSA_SHA256 "300d06092a864886f70d01010b0500"
#define ECDSA_SHA256 "300a06082a8648ce3d040302"

static struct err err;

void forge_hex(struct buf *out, const char *hex)
{
    size_t cap = strlen(hex) / 2;

    buf_reset(out);
    ck_assert(buf_reserve(out, cap + 1));
    ck_assert_int_eq(hex_decode(hex, out->p, cap), (long)cap);
    out->n = cap;
}

static void take(struct der *w, struct buf *out)
{
    buf_clear(out);
    ck_assert_msg(der_take(w, out, &err), "%s", err.text);
}

void forge_name(struct buf *out, const char *text)
{
    struct name name = {0};
    struct der w;

    ck_assert_msg(name_from_text(text, &name, &err), "%s: %s", text, err.text);
    der_init(&w, 256);
    name_build(&name, &w);
    take(&w, out);
    name_clear(&name);
}

void forge_times(struct buf *out, int64_t from, int64_t to)
{
    struct der w;

    der_init(&w, 64);
    size_t mark = der_mark(&w);
    der_time(&w, to);
    der_time(&w, from);
    der_wrap(&w, DER_SEQUENCE, mark);
    take(&w, out);
}

struct forged_extension *forge_find(struct forge *f, const char *oid)
{
    for (size_t i = 0; i < f->n; i++)
        if (strcmp(f->extension[i].oid, oid) == 0)
            return &f->extension[i];
    return NULL;
}

void forge_extension(struct forge *f, const char *oid, const char *critical, const char *value_hex)
{
    struct forged_extension *x = forge_find(f, oid);

    if (!x) {
        ck_assert(f->n < FORGE_EXTENSIONS);
        x = &f->extension[f->n++];
    }
    x->oid = oid;
    x->critical = critical;
    forge_hex(&x->value, value_hex);
}

void forge_extension_remove(struct forge *f, const char *oid)
{
    struct forged_extension *x = forge_find(f, oid);

    ck_assert_ptr_nonnull(x);
    buf_clear(&x->value);
    memmove(x, x + 1, (size_t)(&f->extension[--f->n] - x) * sizeof *x);
    f->extension[f->n] = (struct forged_extension){.oid = NULL};
}

static void key_id_hex(EVP_PKEY *key, char out[41])
{
    X509_PUBKEY *spki = NULL;
    const unsigned char *bits;
    uint8_t hash[20];
    int n;

    ck_assert(X509_PUBKEY_set(&spki, key));
    ck_assert(X509_PUBKEY_get0_param(NULL, &bits, &n, NULL, spki));
    ck_assert(EVP_Digest(bits, (size_t)n, hash, NULL, EVP_sha1(), NULL));
    hex_encode(view_of(hash, sizeof hash), out);
    X509_PUBKEY_free(spki);
}

void forge_key(struct forge *f, const char *kind)
{
    char id[41], value[64];
    uint8_t *der = NULL;
    int n = i2d_PUBKEY(wish_key(kind), &der);

    buf_reset(&f->spki);
    ck_assert(n > 0 && buf_append(&f->spki, der, (size_t)n));
    OPENSSL_free(der);
    key_id_hex(wish_key(kind), id);
    snprintf(value, sizeof value, "0414%s", id);
    forge_extension(f, "2.5.29.14", "", value);
}

void forge_san(struct forge *f, const char *critical, const char *names)
{
    struct san san = {0};
    struct der w;
    char copy[4096], *rest = NULL;

    snprintf(copy, sizeof copy, "%s", names);
    for (char *one = strtok_r(copy, "|", &rest); one; one = strtok_r(NULL, "|", &rest))
        ck_assert_msg(san_add_text(&san, one, &err), "%s", err.text);
    der_init(&w, 256);
    san_build(&san, &w);
    forge_extension(f, "2.5.29.17", critical, "");
    take(&w, &forge_find(f, "2.5.29.17")->value);
    san_clear(&san);
}

struct role_values {
    const char *subject, *basic, *usage, *purposes;
    int64_t validity;
};

static struct role_values values_of(enum cert_role role)
{
    switch (role) {
    case ROLE_ROOT:
        return (struct role_values){"CN=Root,O=Example", "30030101ff", "03020106", NULL, 20 * 365};
    case ROLE_ISSUING_CA:
        return (struct role_values){"CN=Issuing CA,O=Example", "30060101ff020100", "03020186", NULL,
                                    10 * 365};
    case ROLE_RA:
        return (struct role_values){"CN=RA", "3000", "030205a0", NULL, 2 * 365};
    case ROLE_RA_SIGNING:
        return (struct role_values){"CN=RA Signing", "3000", "03020780", NULL, 2 * 365};
    case ROLE_RA_ENCRYPTION:
        return (struct role_values){"CN=RA Encryption", "3000", "03020520", NULL, 2 * 365};
    case ROLE_OCSP:
        return (struct role_values){"CN=Issuing CA OCSP,O=Example", "3000", "03020780",
                                    "300a06082b06010505070309", 20};
    case ROLE_DEVICE:
        break;
    }
    return (struct role_values){"CN=device-1,O=Example", "3000", "03020780",
                                "300a06082b06010505070302", 365};
}

static void forge_authority_key_id(struct forge *f, const struct cert *issuer)
{
    struct extensions x = {0};
    char id[41], value[64];

    ck_assert_msg(extensions_parse(issuer->extensions, REASON_INTERNAL, &x, &err), "%s", err.text);
    ck_assert_uint_eq(x.ski.n, 20);
    hex_encode(x.ski, id);
    snprintf(value, sizeof value, "30168014%s", id);
    forge_extension(f, "2.5.29.35", "", value);
    extensions_clear(&x);
}

void forge_init(struct forge *f, enum cert_role role, const char *key, const struct cert *issuer,
                int64_t now)
{
    struct role_values v = values_of(role);
    bool ec = issuer ? memmem(issuer->spki.p, 24, "\x2a\x86\x48\xce\x3d\x02\x01", 7) != NULL
                     : key[0] == 'p';

    memset(f, 0, sizeof *f);
    forge_hex(&f->version, "a003020102");
    forge_hex(&f->serial, "0210550102030405060708090a0b0c0d0e0f");
    forge_hex(&f->sigalg, ec ? ECDSA_SHA256 : RSA_SHA256);
    forge_name(&f->subject, v.subject);
    forge_name(&f->issuer, v.subject);
    if (issuer) {
        buf_reset(&f->issuer);
        ck_assert(buf_append(&f->issuer, issuer->subject.p, issuer->subject.n));
    }
    forge_times(&f->validity, now - 3600, now + v.validity * DAY);
    forge_extension(f, "2.5.29.19", "0101ff", v.basic);
    forge_extension(f, "2.5.29.15", "0101ff", v.usage);
    if (v.purposes)
        forge_extension(f, "2.5.29.37", "", v.purposes);
    forge_key(f, key);
    if (issuer)
        forge_authority_key_id(f, issuer);
    if (role == ROLE_OCSP)
        forge_extension(f, "1.3.6.1.5.5.7.48.1.5", "", "0500");
}

void forge_clear(struct forge *f)
{
    struct buf *parts[] = {&f->version, &f->serial, &f->sigalg, &f->issuer, &f->validity,
                           &f->subject, &f->spki,   &f->unique, &f->tail};

    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        buf_clear(parts[i]);
    for (size_t i = 0; i < f->n; i++)
        buf_clear(&f->extension[i].value);
    memset(f, 0, sizeof *f);
}

struct buf forge_tbs(const struct forge *f)
{
    const struct buf *front[] = {&f->unique, &f->spki,   &f->subject, &f->validity,
                                 &f->issuer, &f->sigalg, &f->serial,  &f->version};
    struct buf out = {0}, critical = {0};
    struct der w;

    der_init(&w, 1024);
    size_t all = der_mark(&w);
    der_raw(&w, buf_view(&f->tail));
    size_t list = der_mark(&w);
    for (size_t i = f->n; i-- > 0;) {
        size_t one = der_mark(&w);
        der_tlv(&w, DER_OCTET_STRING, buf_view(&f->extension[i].value));
        forge_hex(&critical, f->extension[i].critical);
        der_raw(&w, buf_view(&critical));
        der_oid_text(&w, f->extension[i].oid);
        der_wrap(&w, DER_SEQUENCE, one);
    }
    if (f->n > 0) {
        der_wrap(&w, DER_SEQUENCE, list);
        der_wrap(&w, DER_CONTEXT_CONSTRUCTED(3), list);
    }
    for (size_t i = 0; i < sizeof front / sizeof front[0]; i++)
        der_raw(&w, buf_view(front[i]));
    der_wrap(&w, DER_SEQUENCE, all);
    take(&w, &out);
    buf_clear(&critical);
    return out;
}

struct cert *forge_certificate(const struct forge *f, EVP_PKEY *key, const struct buf *outer)
{
    struct buf tbs = forge_tbs(f), out = {0};
    uint8_t signature[1024];
    size_t n = sizeof signature;
    struct cert *cert = NULL;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    struct der w;

    ck_assert(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1);
    ck_assert(EVP_DigestSign(ctx, signature, &n, tbs.p, tbs.n) == 1);
    EVP_MD_CTX_free(ctx);
    der_init(&w, 2048);
    size_t mark = der_mark(&w);
    der_bits(&w, view_of(signature, n));
    der_raw(&w, buf_view(outer ? outer : &f->sigalg));
    der_raw(&w, buf_view(&tbs));
    der_wrap(&w, DER_SEQUENCE, mark);
    take(&w, &out);
    ck_assert_msg(cert_parse(buf_view(&out), &cert, &err), "%s", err.text);
    buf_clear(&out);
    buf_clear(&tbs);
    return cert;
}
