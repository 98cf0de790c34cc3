#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "check_main.h"
#include "pkcs7/alg.h"

START_TEST(names)
{
    for (int i = 0; i < DIGEST_COUNT; i++) {
        enum digest d;
        ck_assert(digest_by_name(digest_name((enum digest)i), &d));
        ck_assert_int_eq(d, i);
        ck_assert(digest_by_nid(EVP_MD_get_type(digest_md(d)), &d));
        ck_assert_int_eq(d, i);
        ck_assert_uint_eq((size_t)EVP_MD_get_size(digest_md(d)), digest_size(d));
    }
    for (int i = 0; i < CIPHER_COUNT; i++) {
        enum cipher c;
        ck_assert(cipher_by_name(cipher_name((enum cipher)i), &c));
        ck_assert_int_eq(c, i);
        ck_assert(cipher_by_nid(cipher_nid(c), &c));
        ck_assert_int_eq(c, i);
        ck_assert_int_eq(EVP_CIPHER_get_nid(cipher_evp(c)), cipher_nid(c));
        ck_assert_uint_eq((size_t)EVP_CIPHER_get_key_length(cipher_evp(c)), cipher_key_size(c));
        ck_assert_uint_eq((size_t)EVP_CIPHER_get_block_size(cipher_evp(c)), cipher_block_size(c));
    }
    enum digest d;
    enum cipher c;
    ck_assert(digest_by_name("sha256", &d) && d == DIGEST_SHA256);
    ck_assert(digest_by_name("Sha-512", &d) && d == DIGEST_SHA512);
    ck_assert(cipher_by_name("aes256", &c) && c == CIPHER_AES256);
    ck_assert(!digest_by_name("sha2", &d));
    ck_assert(!digest_by_name("", &d));
    ck_assert(!cipher_by_name("AES", &c));
    ck_assert(!digest_by_nid(NID_undef, &d));
    ck_assert(!cipher_by_nid(NID_aes_128_gcm, &c));
}
END_TEST

/* What OpenSSL writes for this OID with NULL (RSA) or no parameters. */
static void expect_alg(struct view der, int nid, int parameter)
{
    X509_ALGOR *a = X509_ALGOR_new();
    X509_ALGOR_set0(a, OBJ_nid2obj(nid), parameter, NULL);
    unsigned char *bytes = NULL;
    int n = i2d_X509_ALGOR(a, &bytes);
    ck_assert(view_eq(der, view_of(bytes, (size_t)n)));
    OPENSSL_free(bytes);
    X509_ALGOR_free(a);
}

START_TEST(written_as_openssl_does)
{
    for (int i = 0; i < DIGEST_COUNT; i++) {
        enum digest d = (enum digest)i;
        int nid;
        expect_alg(digest_alg_der(d), EVP_MD_get_type(digest_md(d)), V_ASN1_NULL);
        ck_assert_int_eq(
            OBJ_find_sigid_by_algs(&nid, EVP_MD_get_type(digest_md(d)), NID_rsaEncryption), 1);
        expect_alg(sigalg_der((struct sigalg){SIG_RSA_PKCS1, d, 0}), nid, V_ASN1_NULL);
        if (d == DIGEST_MD5)
            continue;
        ck_assert_int_eq(
            OBJ_find_sigid_by_algs(&nid, EVP_MD_get_type(digest_md(d)), NID_X9_62_id_ecPublicKey),
            1);
        expect_alg(sigalg_der((struct sigalg){SIG_ECDSA, d, 0}), nid, V_ASN1_UNDEF);
    }
    ck_assert_uint_eq(sigalg_der((struct sigalg){SIG_ECDSA, DIGEST_MD5, 0}).n, 0);
    ck_assert_uint_eq(sigalg_der((struct sigalg){SIG_RSA_PSS, DIGEST_SHA256, 20}).n, 0);
}
END_TEST

START_TEST(written_is_read_back)
{
    static const enum signature_scheme schemes[] = {SIG_RSA_PKCS1, SIG_RSA_PSS, SIG_ECDSA};
    for (int i = 0; i < DIGEST_COUNT; i++) {
        for (size_t k = 0; k < 3; k++) {
            int salt = schemes[k] == SIG_RSA_PSS ? (int)digest_size((enum digest)i) : 0;
            struct sigalg a = {schemes[k], (enum digest)i, salt}, b = {0};
            struct view der = sigalg_der(a);
            struct err err = {0};
            if (der.n == 0)
                continue;
            ck_assert_msg(sigalg_parse(der, DIGEST_COUNT, &b, &err), "%s", err.text);
            ck_assert(a.scheme == b.scheme && a.digest == b.digest && a.pss_salt == b.pss_salt);
        }
    }
}
END_TEST

/* The AlgorithmIdentifier of an RSASSA-PSS signature that OpenSSL makes. */
static void pss_by_openssl(const char *digest, const char *mgf1, int salt, struct sigalg *out,
                           bool accepted)
{
    static EVP_PKEY *key;
    if (!key)
        key = EVP_RSA_gen(2048);
    X509_REQ *req = X509_REQ_new();
    ck_assert_int_eq(X509_REQ_set_pubkey(req, key), 1);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx;
    ck_assert_int_eq(EVP_DigestSignInit_ex(ctx, &pctx, digest, NULL, NULL, key, NULL), 1);
    EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING);
    EVP_PKEY_CTX_set_rsa_mgf1_md_name(pctx, mgf1, NULL);
    EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, salt);
    ck_assert_int_gt(X509_REQ_sign_ctx(req, ctx), 0);
    const X509_ALGOR *alg;
    X509_REQ_get0_signature(req, NULL, &alg);
    unsigned char *bytes = NULL;
    int n = i2d_X509_ALGOR(alg, &bytes);
    struct err err = {0};
    ck_assert_int_eq(sigalg_parse(view_of(bytes, (size_t)n), DIGEST_COUNT, out, &err), accepted);
    if (accepted && salt == (int)digest_size(out->digest) && out->digest != DIGEST_SHA1)
        ck_assert(view_eq(sigalg_der(*out), view_of(bytes, (size_t)n)));
    OPENSSL_free(bytes);
    EVP_MD_CTX_free(ctx);
    X509_REQ_free(req);
}

START_TEST(pss_as_openssl_writes_it)
{
    struct sigalg a;
    pss_by_openssl("SHA256", "SHA256", 32, &a, true);
    ck_assert(a.scheme == SIG_RSA_PSS && a.digest == DIGEST_SHA256 && a.pss_salt == 32);
    pss_by_openssl("SHA384", "SHA384", 48, &a, true);
    ck_assert(a.scheme == SIG_RSA_PSS && a.digest == DIGEST_SHA384 && a.pss_salt == 48);
    pss_by_openssl("SHA512", "SHA512", 64, &a, true);
    ck_assert(a.scheme == SIG_RSA_PSS && a.digest == DIGEST_SHA512 && a.pss_salt == 64);
    pss_by_openssl("SHA256", "SHA256", 20, &a, true);
    ck_assert_int_eq(a.pss_salt, 20);
    pss_by_openssl("SHA1", "SHA1", 20, &a, true); /* all defaults: RFC 4055 section 3.1 */
    ck_assert_int_eq(a.digest, DIGEST_SHA1);
    pss_by_openssl("SHA256", "SHA1", 32, &a, false);
}
END_TEST

static bool refused(const char *bytes, size_t n)
{
    struct err err = {0};
    struct sigalg a;
    if (sigalg_parse(view_of(bytes, n), DIGEST_COUNT, &a, &err))
        return false;
    ck_assert_int_eq(err.reason, REASON_ALGORITHM_REFUSED);
    ck_assert_uint_eq(ERR_peek_error(), 0);
    return true;
}

#define REFUSED(s) refused(s, sizeof(s) - 1)

#define SHA256_RSA "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b"
#define ECDSA_SHA256 "\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02"
#define BARE_RSA "\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00"

START_TEST(parameters)
{
    struct sigalg a;
    struct err err = {0};
    /* RSA without parameters: old devices do so */
    ck_assert(sigalg_parse(view_str("\x30\x0b" SHA256_RSA), DIGEST_COUNT, &a, &err));
    ck_assert(a.scheme == SIG_RSA_PKCS1 && a.digest == DIGEST_SHA256);
    ck_assert(REFUSED("\x30\x0e" SHA256_RSA "\x02\x01\x05"));
    /* RFC 5758 section 3.2: no parameters */
    ck_assert(!REFUSED("\x30\x0a" ECDSA_SHA256));
    ck_assert(REFUSED("\x30\x0c" ECDSA_SHA256 "\x05\x00"));
}
END_TEST

START_TEST(bare_rsa_takes_the_digest_of_its_place)
{
    struct sigalg a;
    struct err err = {0};
    ck_assert(sigalg_parse(view_of(BARE_RSA, 15), DIGEST_SHA384, &a, &err));
    ck_assert(a.scheme == SIG_RSA_PKCS1 && a.digest == DIGEST_SHA384);
    ck_assert(REFUSED(BARE_RSA));
}
END_TEST

START_TEST(others_are_refused_by_name)
{
    struct sigalg a;
    struct err err = {0};
    ck_assert(!sigalg_parse(view_str("\x30\x05\x06\x03\x2b\x65\x70"), DIGEST_SHA256, &a, &err));
    ck_assert_str_eq(err.text, "signature algorithm 1.3.101.112 is not supported");
    ck_assert(
        REFUSED("\x30\x0b\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a")); /* PSS, no parameters */
    ck_assert(REFUSED("\x30\x0f" SHA256_RSA "\x05\x00\x05\x00"));
    ck_assert(REFUSED("\x30\x0d" SHA256_RSA "\x05\x00\x00"));
    ck_assert(REFUSED(""));
    static const char big[300] = {0x30};
    ck_assert(refused(big, sizeof big));
}
END_TEST

START_TEST(digests)
{
    uint8_t out[64];
    struct err err = {0};
    ck_assert(digest_compute(DIGEST_SHA1, view_str("abc"), out, &err));
    ck_assert_mem_eq(
        out, "\xa9\x99\x3e\x36\x47\x06\x81\x6a\xba\x3e\x25\x71\x78\x50\xc2\x6c\x9c\xd0\xd8\x9d",
        20);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("pkcs7/alg");
    TCase *c = tcase_create("alg");
    tcase_add_test(c, names);
    tcase_add_test(c, written_as_openssl_does);
    tcase_add_test(c, written_is_read_back);
    tcase_add_test(c, pss_as_openssl_writes_it);
    tcase_add_test(c, parameters);
    tcase_add_test(c, bare_rsa_takes_the_digest_of_its_place);
    tcase_add_test(c, others_are_refused_by_name);
    tcase_add_test(c, digests);
    suite_add_tcase(s, c);
    return check_main(s);
}
