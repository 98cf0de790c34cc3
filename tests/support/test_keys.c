#include "test_keys.h"

#include <check.h>

#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

EVP_PKEY *test_rsa_key(unsigned bits)
{
    EVP_PKEY *key = EVP_RSA_gen(bits);
    ck_assert_ptr_nonnull(key);
    return key;
}

EVP_PKEY *test_ec_key(const char *curve)
{
    EVP_PKEY *key = EVP_EC_gen(curve);
    ck_assert_ptr_nonnull(key);
    return key;
}

static void add_extension(X509 *cert, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, cert, cert, NULL, NULL, 0);
    X509_EXTENSION *x = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    ck_assert(x && X509_add_ext(cert, x, -1));
    X509_EXTENSION_free(x);
}

X509 *test_cert(EVP_PKEY *key, const char *cn)
{
    uint8_t serial[16];
    X509 *cert = X509_new();
    X509_NAME *name = X509_NAME_new();
    BIGNUM *bn = NULL;
    ck_assert(cert && name && RAND_bytes(serial, sizeof serial) == 1);
    serial[0] = 0x40 | (serial[0] & 0x3f);
    bn = BN_bin2bn(serial, sizeof serial, NULL);
    ck_assert(bn && BN_to_ASN1_INTEGER(bn, X509_get_serialNumber(cert)));
    BN_free(bn);
    ck_assert(
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const uint8_t *)cn, -1, -1, 0));
    ck_assert(X509_set_version(cert, X509_VERSION_3) && X509_set_subject_name(cert, name) &&
              X509_set_issuer_name(cert, name) && X509_set_pubkey(cert, key));
    ck_assert(X509_gmtime_adj(X509_getm_notBefore(cert), -60) &&
              X509_gmtime_adj(X509_getm_notAfter(cert), 86400));
    add_extension(cert, NID_subject_key_identifier, "hash");
    ck_assert(X509_sign(cert, key, EVP_sha256()) > 0);
    X509_NAME_free(name);
    return cert;
}

struct buf test_csr(EVP_PKEY *key, const char *cn, const char *challenge)
{
    X509_REQ *req = X509_REQ_new();
    X509_NAME *name = X509_NAME_new();
    struct buf out = {0};
    uint8_t *der = NULL;
    ck_assert(req && name);
    ck_assert(
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const uint8_t *)cn, -1, -1, 0));
    ck_assert(X509_REQ_set_subject_name(req, name) && X509_REQ_set_pubkey(req, key));
    if (challenge)
        ck_assert(X509_REQ_add1_attr_by_NID(req, NID_pkcs9_challengePassword, MBSTRING_UTF8,
                                            (const uint8_t *)challenge, (int)strlen(challenge)));
    bool of_its_own = EVP_PKEY_is_a(key, "ED25519") || EVP_PKEY_is_a(key, "ED448"); /* digest */
    ck_assert(X509_REQ_sign(req, key, of_its_own ? NULL : EVP_sha256()) > 0);
    int n = i2d_X509_REQ(req, &der);
    ck_assert(n > 0 && buf_append(&out, der, (size_t)n));
    OPENSSL_free(der);
    X509_REQ_free(req);
    X509_NAME_free(name);
    return out;
}

struct buf test_cert_der(X509 *cert)
{
    struct buf out = {0};
    uint8_t *der = NULL;
    int n = i2d_X509(cert, &der);
    ck_assert(n > 0 && buf_append(&out, der, (size_t)n));
    OPENSSL_free(der);
    return out;
}

int test_keys_add(struct test_keys *k, EVP_PKEY *key, X509 *cert)
{
    ck_assert_int_lt(k->n, TEST_KEYS_MAX);
    k->key[k->n] = key;
    k->cert[k->n] = cert;
    struct err err;
    k->der[k->n] = test_cert_der(cert);
    ck_assert(cert_parse(buf_view(&k->der[k->n]), &k->parsed[k->n], &err));
    return k->n++;
}

void test_keys_clear(struct test_keys *k)
{
    for (int i = 0; i < k->n; i++) {
        EVP_PKEY_free(k->key[i]);
        X509_free(k->cert[i]);
        cert_free(k->parsed[i]);
        buf_clear(&k->der[i]);
    }
    *k = (struct test_keys){0};
}

static bool is_named(X509 *cert, const struct scep_recipient *who)
{
    const ASN1_OCTET_STRING *ski = X509_get0_subject_key_id(cert);
    if (who->ski.n)
        return ski && view_eq(who->ski,
                              view_of(ASN1_STRING_get0_data(ski), (size_t)ASN1_STRING_length(ski)));
    const uint8_t *p = who->issuer.p;
    uint8_t *serial = NULL;
    X509_NAME *issuer = d2i_X509_NAME(NULL, &p, (long)who->issuer.n);
    int n = i2d_ASN1_INTEGER(X509_get_serialNumber(cert), &serial);
    ck_assert(n > 2 && n < 0x80);
    bool same = issuer && X509_NAME_cmp(issuer, X509_get_issuer_name(cert)) == 0 &&
                view_eq(who->serial, view_of(serial + 2, (size_t)n - 2));
    X509_NAME_free(issuer);
    OPENSSL_free(serial);
    ERR_clear_error();
    return same;
}

static int find(void *ctx, const struct scep_recipient *who)
{
    struct test_keys *k = ctx;
    for (int i = 0; i < k->n; i++)
        if (is_named(k->cert[i], who))
            return i;
    return -1;
}

static bool decrypt(void *ctx, int key, struct key_wrap wrap, struct view encrypted,
                    uint8_t *content_key, size_t key_len, struct err *err)
{
    struct test_keys *k = ctx;
    uint8_t plain[1024];
    size_t n = sizeof plain;
    if (k->out_of_reach)
        return err_set(err, ERR_SIGNER, "the test's signer is gone");
    bool is_oaep = wrap.padding == PADDING_OAEP;
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(k->key[key], NULL);
    ck_assert(c && EVP_PKEY_decrypt_init(c) > 0);
    ck_assert(
        EVP_PKEY_CTX_set_rsa_padding(c, is_oaep ? RSA_PKCS1_OAEP_PADDING : RSA_PKCS1_PADDING) > 0);
    if (is_oaep)
        ck_assert(EVP_PKEY_CTX_set_rsa_oaep_md(c, digest_md(wrap.hash)) > 0 &&
                  EVP_PKEY_CTX_set_rsa_mgf1_md(c, digest_md(wrap.mgf)) > 0);
    bool ok = EVP_PKEY_decrypt(c, plain, &n, encrypted.p, encrypted.n) > 0 && n == key_len;
    EVP_PKEY_CTX_free(c);
    ERR_clear_error();
    if (ok)
        memcpy(content_key, plain, key_len);
    else
        ck_assert(RAND_bytes(content_key, (int)key_len) == 1);
    return true;
}

static bool sign(void *ctx, int key, enum digest digest, struct view attributes,
                 struct buf *signature, struct err *err)
{
    struct test_keys *k = ctx;
    size_t n = 0;
    if (k->out_of_reach)
        return err_set(err, ERR_SIGNER, "the test's signer is gone");
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    ck_assert(c && EVP_DigestSignInit(c, NULL, digest_md(digest), NULL, k->key[key]) > 0);
    ck_assert(EVP_DigestSign(c, NULL, &n, attributes.p, attributes.n) > 0);
    ck_assert(buf_reserve(signature, n));
    ck_assert(EVP_DigestSign(c, signature->p, &n, attributes.p, attributes.n) > 0);
    signature->n = n;
    EVP_MD_CTX_free(c);
    return true;
}

struct scep_keys test_keys_scep(struct test_keys *k)
{
    return (struct scep_keys){.ctx = k, .find = find, .decrypt = decrypt, .sign = sign};
}
