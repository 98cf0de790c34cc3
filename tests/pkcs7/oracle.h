/* OpenSSL as the oracle: what it encodes as views (owned by a buf), and a certificate to start from. */
#pragma once

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include "base/buf.h"

/* Takes what an i2d function returned. */
static inline struct buf oracle_take(unsigned char *der, int n)
{
    struct buf out = {0};
    ck_assert_int_gt(n, 0);
    ck_assert(buf_append(&out, der, (size_t)n));
    OPENSSL_free(der);
    return out;
}

#define ORACLE_DER(type)                                                                                               \
    static inline struct buf oracle_##type(const type *x)                                                              \
    {                                                                                                                  \
        unsigned char *der = NULL;                                                                                     \
        int n = i2d_##type(x, &der);                                                                                   \
        return oracle_take(der, n);                                                                                    \
    }
ORACLE_DER(X509)
ORACLE_DER(X509_REQ)
ORACLE_DER(X509_NAME)
ORACLE_DER(X509_EXTENSIONS)
ORACLE_DER(GENERAL_NAMES)
ORACLE_DER(ASN1_INTEGER)
ORACLE_DER(X509_ALGOR)

static inline struct buf oracle_spki(const EVP_PKEY *key)
{
    unsigned char *der = NULL;
    int n = i2d_PUBKEY(key, &der);
    return oracle_take(der, n);
}

static inline void oracle_add_ext(STACK_OF(X509_EXTENSION) **exts, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, NULL, NULL, NULL, NULL, 0);
    X509V3_set_ctx_nodb(&ctx);
    X509_EXTENSION *x = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    ck_assert_ptr_nonnull(x);
    X509v3_add_ext(exts, x, -1);
    X509_EXTENSION_free(x);
}

static inline void oracle_add_name(X509_NAME *name, const char *field, const char *value)
{
    ck_assert_int_eq(X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, (const unsigned char *)value, -1, -1, 0),
                     1);
}

/* v3, CN=leaf,O=Example issued by CN=ca, not signed yet. */
static inline X509 *oracle_cert(EVP_PKEY *key)
{
    X509 *x = X509_new();
    X509_set_version(x, X509_VERSION_3);
    ASN1_INTEGER_set_uint64(X509_get_serialNumber(x), 0x8123456789abcdef);
    oracle_add_name(X509_get_issuer_name(x), "CN", "ca");
    oracle_add_name(X509_get_subject_name(x), "O", "Example");
    oracle_add_name(X509_get_subject_name(x), "CN", "leaf");
    ASN1_TIME_set(X509_getm_notBefore(x), 1795000000);
    ASN1_TIME_set(X509_getm_notAfter(x), 1895000000);
    ck_assert_int_eq(X509_set_pubkey(x, key), 1);
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, x, x, NULL, NULL, 0);
    X509V3_set_ctx_nodb(&ctx);
    static const struct {
        int nid;
        const char *value;
    } exts[] = {{NID_basic_constraints, "critical,CA:FALSE"},
                {NID_key_usage, "critical,digitalSignature,keyEncipherment"},
                {NID_subject_alt_name, "DNS:leaf.example.org"},
                {NID_subject_key_identifier, "hash"},
                {NID_authority_key_identifier, "keyid:always"}};
    for (size_t i = 0; i < sizeof exts / sizeof *exts; i++) {
        X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, exts[i].nid, exts[i].value);
        ck_assert_ptr_nonnull(e);
        X509_add_ext(x, e, -1);
        X509_EXTENSION_free(e);
    }
    return x;
}

/* tests/vectors/NAME, whole */
static inline struct buf oracle_file(const char *name)
{
    const char *dir = getenv("PKCS7_VECTORS");
    char path[512];
    ck_assert_msg(dir != NULL, "PKCS7_VECTORS must name tests/vectors");
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "rb");
    ck_assert_msg(f != NULL, "%s", path);
    struct buf out = {0};
    ck_assert(buf_reserve(&out, 65536));
    out.n = fread(out.p, 1, 65536, f);
    fclose(f);
    return out;
}
