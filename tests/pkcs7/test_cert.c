#include <openssl/pem.h>

#include "check_main.h"
#include "oracle.h"
#include "pkcs7/cert.h"

static EVP_PKEY *rsa_key, *p256_key;

static struct buf signed_der(X509 *x, EVP_PKEY *key, const EVP_MD *md)
{
    ck_assert_int_gt(X509_sign(x, key, md), 0);
    return oracle_X509(x);
}

static struct buf good_der(void)
{
    X509 *x = oracle_cert(p256_key);
    struct buf der = signed_der(x, p256_key, EVP_sha256());
    X509_free(x);
    return der;
}

static struct cert *parsed(struct buf der)
{
    struct cert *c = NULL;
    struct err err = {0};
    ck_assert_msg(cert_parse(buf_view(&der), &c, &err), "%s", err.text);
    ck_assert(c->der.p != der.p);
    buf_clear(&der);
    return c;
}

static int64_t seconds(const ASN1_TIME *t)
{
    struct tm tm;
    ck_assert_int_eq(ASN1_TIME_to_tm(t, &tm), 1);
    return timegm(&tm);
}

static void expect_bytes(struct view got, struct buf expected)
{
    ck_assert(view_eq(got, buf_view(&expected)));
    buf_clear(&expected);
}

/* Every field means what OpenSSL reads, and points into the certificate's own copy. */
static void compare(const struct cert *c)
{
    const unsigned char *p = c->der.p;
    X509 *x = d2i_X509(NULL, &p, (long)c->der.n);
    ck_assert_ptr_nonnull(x);
    ck_assert_int_eq(c->version, X509_get_version(x) + 1);
    expect_bytes(c->serial_tlv, oracle_ASN1_INTEGER(X509_get0_serialNumber(x)));
    ck_assert(c->serial.p == c->serial_tlv.p + 2 && c->serial.n == c->serial_tlv.n - 2);
    expect_bytes(c->issuer, oracle_X509_NAME(X509_get_issuer_name(x)));
    expect_bytes(c->subject, oracle_X509_NAME(X509_get_subject_name(x)));
    ck_assert_int_eq(c->not_before, seconds(X509_get0_notBefore(x)));
    ck_assert_int_eq(c->not_after, seconds(X509_get0_notAfter(x)));
    unsigned char *spki = NULL, *tbs = NULL;
    int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &spki);
    expect_bytes(c->spki, oracle_take(spki, n));
    n = i2d_re_X509_tbs(x, &tbs);
    expect_bytes(c->tbs, oracle_take(tbs, n));
    const ASN1_BIT_STRING *sig;
    const X509_ALGOR *alg;
    X509_get0_signature(&sig, &alg, x);
    expect_bytes(c->sigalg_der, oracle_X509_ALGOR(alg));
    expect_bytes(c->tbs_sigalg, oracle_X509_ALGOR(X509_get0_tbs_sigalg(x)));
    ck_assert(view_eq(c->signature,
                      view_of(ASN1_STRING_get0_data(sig), (size_t)ASN1_STRING_length(sig))));
    if (X509_get0_extensions(x))
        expect_bytes(c->extensions, oracle_X509_EXTENSIONS(X509_get0_extensions(x)));
    else
        ck_assert_uint_eq(c->extensions.n, 0);
    const struct view inside[] = {c->tbs,       c->serial,    c->serial_tlv, c->issuer,
                                  c->subject,   c->spki,      c->tbs_sigalg, c->sigalg_der,
                                  c->signature, c->extensions};
    for (size_t i = 0; i < sizeof inside / sizeof *inside; i++)
        ck_assert(inside[i].n == 0 ||
                  (inside[i].p >= c->der.p && inside[i].p + inside[i].n <= c->der.p + c->der.n));
    unsigned char hash[32];
    X509_digest(x, EVP_sha256(), hash, NULL);
    ck_assert_mem_eq(hash, c->sha256, 32);
    X509_free(x);
}

static bool verifies(const struct cert *c, EVP_PKEY *key)
{
    struct err err = {0};
    if (cert_signature_verify(c, key, &err))
        return true;
    ck_assert_int_eq(err.kind, ERR_REFUSED);
    return false;
}

START_TEST(ordinary)
{
    struct cert *c = parsed(good_der());
    ck_assert_int_eq(c->version, 3);
    ck_assert_uint_eq(c->serial.n, 9); /* the octet of the sign is kept */
    ck_assert_int_eq(c->not_before, 1795000000);
    ck_assert_int_eq(c->not_after, 1895000000);
    compare(c);
    ck_assert(verifies(c, p256_key));
    ck_assert(!verifies(c, rsa_key));
    cert_free(c);
    cert_free(NULL);
}
END_TEST

/* certmonger's self-signed signer */
START_TEST(old_version_long_serial_generalized_time)
{
    for (int octets = 32; octets <= 33; octets++) {
        X509 *x = X509_new();
        unsigned char serial[33];
        memset(serial, 0x7f, sizeof serial);
        BIGNUM *bn = BN_bin2bn(serial, octets, NULL);
        BN_to_ASN1_INTEGER(bn, X509_get_serialNumber(x));
        BN_free(bn);
        oracle_add_name(X509_get_subject_name(x), "CN", "client");
        oracle_add_name(X509_get_issuer_name(x), "CN", "client");
        ASN1_GENERALIZEDTIME_set_string(X509_getm_notBefore(x), "20260101000000Z");
        ASN1_GENERALIZEDTIME_set_string(X509_getm_notAfter(x), "21260101000000Z");
        X509_set_pubkey(x, rsa_key);
        struct cert *c = parsed(signed_der(x, rsa_key, EVP_sha256()));
        ck_assert_int_eq(c->version, 1);
        ck_assert_uint_eq(c->serial.n, (size_t)octets);
        ck_assert_int_eq(c->not_before, 1767225600);
        ck_assert_int_eq(c->not_after, 4922899200);
        compare(c);
        ck_assert(verifies(c, rsa_key));
        cert_free(c);
        X509_free(x);
    }
}
END_TEST

/* The self-signed signers of real clients' messages. */
START_TEST(signers_of_real_clients)
{
    static const struct {
        const char *file;
        int version;
        size_t serial;
    } certs[] = {
        {"cert/certmonger-signer.der", 1, 32}, {"cert/jscep-signer.der", 3, 1},
        {"cert/micromdm-signer.der", 3, 17},   {"cert/sscep-signer.der", 3, 32},
        {"cert/strongswan-signer.der", 3, 21}, {"cert/strongswan6-signer.der", 3, 20},
    };
    for (size_t i = 0; i < sizeof certs / sizeof *certs; i++) {
        struct cert *c = parsed(oracle_file(certs[i].file));
        struct pubkey key;
        struct err err = {0};
        EVP_PKEY *pkey = NULL;
        ck_assert_int_eq(c->version, certs[i].version);
        ck_assert_uint_eq(c->serial.n, certs[i].serial);
        compare(c);
        ck_assert(pubkey_parse(c->spki, &key, &err) && pubkey_load(&key, &pkey, &err));
        ck_assert_int_eq(verifies(c, pkey), view_eq(c->issuer, c->subject));
        EVP_PKEY_free(pkey);
        cert_free(c);
    }
}
END_TEST

START_TEST(old_digests_are_read_and_verified)
{
    const EVP_MD *const mds[] = {EVP_md5(), EVP_sha1(), EVP_sha512()};
    for (size_t i = 0; i < 3; i++) {
        X509 *x = oracle_cert(rsa_key);
        struct cert *c = parsed(signed_der(x, rsa_key, mds[i]));
        compare(c);
        ck_assert(verifies(c, rsa_key));
        cert_free(c);
        X509_free(x);
    }
}
END_TEST

START_TEST(no_policy)
{
    X509 *x = oracle_cert(p256_key);
    X509_EXTENSION *aki = X509_get_ext(x, X509_get_ext_by_NID(x, NID_authority_key_identifier, -1));
    X509_EXTENSION_set_critical(aki, 1);
    ASN1_INTEGER_set_int64(X509_get_serialNumber(x), -5);
    ASN1_TIME_set(X509_getm_notAfter(x), 0); /* before notBefore */
    struct cert *c = parsed(signed_der(x, p256_key, EVP_sha256()));
    compare(c);
    ck_assert(verifies(c, p256_key));
    cert_free(c);
    X509_free(x);
}
END_TEST

/* Changes the n octets `from` to `to`, wherever they stand first (or after skipping some). */
static void change(struct buf *der, const char *from, const char *to, size_t n, int skip)
{
    uint8_t *p = der->p;
    for (int i = 0; i <= skip; i++, p++) {
        p = memmem(p, (size_t)(der->p + der->n - p), from, n);
        ck_assert_ptr_nonnull(p);
        if (i == skip)
            memcpy(p, to, n);
    }
}

static void expect_malformed(struct buf der, const char *text)
{
    struct cert *c = NULL;
    struct err err = {0};
    ck_assert(!cert_parse(buf_view(&der), &c, &err));
    ck_assert_int_eq(err.reason, REASON_MESSAGE_MALFORMED);
    ck_assert_msg(strstr(err.text, text) != NULL, "'%s' without '%s'", err.text, text);
    ck_assert_uint_eq(ERR_peek_error(), 0);
    buf_clear(&der);
}

#define ECDSA_SHA256 "\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02"
#define ECDSA_SHA384 "\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x03"

START_TEST(inner_and_outer_algorithm_differ)
{
    struct err err = {0};
    struct buf der = good_der();
    change(&der, ECDSA_SHA256, ECDSA_SHA384, 12, 0);
    struct cert *c = parsed(der);
    ck_assert(!cert_signature_verify(c, p256_key, &err));
    ck_assert_str_eq(err.text, "the certificate's two signature algorithms differ");
    cert_free(c);
}
END_TEST

START_TEST(malformed)
{
    struct buf der = good_der();
    change(&der, "\xa0\x03\x02\x01\x02", "\xa0\x03\x02\x01\x03", 5, 0);
    expect_malformed(der, "version");
    der = good_der();
    change(&der, "\x17\x0d", "\x17\x0c", 2, 0);
    expect_malformed(der, "certificate");
    der = good_der();
    change(&der,
           "\x17\x0d"
           "26",
           "\x17\x0d"
           "xx",
           4, 0);
    expect_malformed(der, "notBefore of the certificate is no time");
    der = good_der();
    ck_assert(buf_append(&der, "\x00", 1));
    expect_malformed(der, "certificate: 1 octets after the end");
    der = good_der();
    ck_assert(buf_reserve(&der, CERT_MAX_SIZE));
    memset(der.p + der.n, 0, CERT_MAX_SIZE + 1 - der.n);
    der.n = CERT_MAX_SIZE + 1;
    expect_malformed(der, "more than the 32768 allowed");
    expect_malformed((struct buf){0}, "empty");
}
END_TEST

/* RFC 5280 section 4.1: issuerUniqueID is a BIT STRING, which DER has in one piece only. */
START_TEST(unique_identifier_in_pieces)
{
    struct buf der = good_der();
    struct cert *c = parsed(der);
    der = good_der();
    size_t at = (size_t)(c->extensions.p - c->der.p);
    size_t tag = at - (c->der.p[at - 2] == 0xa3 ? 2 : 3);
    cert_free(c);
    ck_assert_uint_eq(der.p[tag], 0xa3);
    for (uint8_t number = 1; number <= 2; number++) {
        struct buf changed = {0};
        ck_assert(buf_append(&changed, der.p, der.n));
        changed.p[tag] = 0xa0 | number;
        expect_malformed(changed, "unique identifier that is a constructed string (BER)");
    }
    buf_clear(&der);
}
END_TEST

START_TEST(serial_number_without_end)
{
    X509 *x = oracle_cert(p256_key);
    unsigned char serial[65];
    memset(serial, 0x11, sizeof serial);
    for (int octets = 64; octets <= 65; octets++) {
        BIGNUM *bn = BN_bin2bn(serial, octets, NULL);
        BN_to_ASN1_INTEGER(bn, X509_get_serialNumber(x));
        BN_free(bn);
        if (octets == 64)
            cert_free(parsed(signed_der(x, p256_key, EVP_sha256())));
        else
            expect_malformed(signed_der(x, p256_key, EVP_sha256()), "65 octets, at most 64");
    }
    X509_free(x);
}
END_TEST

/* X.690 makes every octet of a certificate matter: it is the signed part, the signature, or the
 * algorithm, which stands inside, too. */
START_TEST(no_change_of_an_octet_survives)
{
    struct buf der = good_der();
    for (size_t at = 0; at < der.n; at++) {
        for (int bit = 0; bit < 8; bit++) {
            struct cert *c = NULL;
            struct err err = {0};
            der.p[at] ^= (uint8_t)(1 << bit);
            if (cert_parse(buf_view(&der), &c, &err))
                ck_assert_msg(!verifies(c, p256_key), "bit %d of octet %zu", bit, at);
            else
                ck_assert_int_eq(err.reason, REASON_MESSAGE_MALFORMED);
            der.p[at] ^= (uint8_t)(1 << bit);
            cert_free(c);
        }
    }
    for (size_t n = 0; n < der.n; n++) {
        struct cert *c = NULL;
        struct err err = {0};
        ck_assert(!cert_parse(view_of(der.p, n), &c, &err));
    }
    buf_clear(&der);
}
END_TEST

START_TEST(pem_and_der_files)
{
    struct buf der = good_der(), pem = {0}, file = {0};
    struct cert *c = NULL;
    struct err err = {0};
    ck_assert(cert_pem(buf_view(&der), &pem, &err));
    BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
    X509 *x = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    ck_assert_ptr_nonnull(x);
    expect_bytes(buf_view(&der), oracle_X509(x));
    X509_free(x);
    BIO_free(bio);

    ck_assert(cert_parse_any(buf_view(&pem), &c, &err));
    ck_assert(view_eq(buf_view(&c->der), buf_view(&der)));
    cert_free(c);
    ck_assert(cert_parse_any(buf_view(&der), &c, &err));
    cert_free(c);

    /* text and another block before it */
    ck_assert(buf_append_str(&file,
                             "0 the device's\n-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n"
                             "-----END EC PARAMETERS-----\n"));
    ck_assert(buf_append(&file, pem.p, pem.n));
    ck_assert(cert_parse_any(buf_view(&file), &c, &err));
    ck_assert(view_eq(buf_view(&c->der), buf_view(&der)));
    cert_free(c);
    c = NULL;
    ck_assert(!cert_parse_any(view_of(file.p, 90), &c, &err));
    ck_assert_str_eq(err.text, "no certificate in the PEM text");
    ck_assert(!cert_parse_any(view_str("hello"), &c, &err));
    ck_assert(!cert_parse_any(view_str(""), &c, &err));
    ck_assert_uint_eq(ERR_peek_error(), 0);
    buf_clear(&der);
    buf_clear(&pem);
    buf_clear(&file);
}
END_TEST

/* RFC 8894 section 2.2 */
START_TEST(fingerprint)
{
    struct cert *c = parsed(good_der());
    char text[3 * 64];
    struct err err = {0};
    ck_assert(cert_fingerprint(c, DIGEST_SHA256, text, &err));
    ck_assert_uint_eq(strlen(text), 3 * 32 - 1);
    long n;
    unsigned char *hash = OPENSSL_hexstr2buf(text, &n);
    ck_assert_int_eq(n, 32);
    ck_assert_mem_eq(hash, c->sha256, 32);
    OPENSSL_free(hash);
    ck_assert(cert_fingerprint(c, DIGEST_SHA512, text, &err));
    ck_assert_uint_eq(strlen(text), 3 * 64 - 1);
    cert_free(c);
}
END_TEST

int main(void)
{
    rsa_key = EVP_RSA_gen(2048);
    p256_key = EVP_EC_gen("P-256");
    Suite *s = suite_create("pkcs7/cert");
    TCase *c = tcase_create("cert");
    tcase_add_test(c, ordinary);
    tcase_add_test(c, old_version_long_serial_generalized_time);
    tcase_add_test(c, signers_of_real_clients);
    tcase_add_test(c, old_digests_are_read_and_verified);
    tcase_add_test(c, no_policy);
    tcase_add_test(c, inner_and_outer_algorithm_differ);
    tcase_add_test(c, malformed);
    tcase_add_test(c, unique_identifier_in_pieces);
    tcase_add_test(c, serial_number_without_end);
    tcase_add_test(c, no_change_of_an_octet_survives);
    tcase_add_test(c, pem_and_der_files);
    tcase_add_test(c, fingerprint);
    suite_add_tcase(s, c);
    tcase_set_timeout(c, 60);
    int failed = check_main(s);
    EVP_PKEY_free(rsa_key);
    EVP_PKEY_free(p256_key);
    return failed;
}
