#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <pthread.h>

#include "check_main.h"
#include "oracle.h"
#include "pkcs7/pubkey.h"

static EVP_PKEY *rsa_key; /* made once: generation is slow */

static EVP_PKEY *ec_key(const char *group)
{
    EVP_PKEY *key = EVP_EC_gen(group);
    ck_assert_ptr_nonnull(key);
    return key;
}

static void expect_number(EVP_PKEY *key, const char *param, struct view v)
{
    BIGNUM *expected = NULL, *got = BN_bin2bn(v.p, (int)v.n, NULL);
    ck_assert_int_eq(EVP_PKEY_get_bn_param(key, param, &expected), 1);
    ck_assert_int_eq(BN_cmp(expected, got), 0);
    ck_assert_uint_eq((size_t)BN_num_bytes(expected), v.n);
    BN_free(expected);
    BN_free(got);
}

/* What holds for every key that is read: the way back, the hash, and a loaded key that is equal. */
static struct pubkey expect_key(EVP_PKEY *key, struct view spki)
{
    struct pubkey k;
    struct err err = {0};
    ck_assert_msg(pubkey_parse(spki, &k, &err), "%s", err.text);
    ck_assert_uint_eq(k.bits, (unsigned)EVP_PKEY_get_bits(key));
    struct buf canonical = oracle_spki(key);
    struct der w = {0};
    pubkey_build(&k, &w);
    ck_assert(view_eq(der_content(&w), buf_view(&canonical)));
    uint8_t hash[32];
    ck_assert(digest_compute(DIGEST_SHA256, buf_view(&canonical), hash, &err));
    ck_assert_mem_eq(hash, k.sha256, 32);
    EVP_PKEY *loaded = NULL;
    ck_assert_msg(pubkey_load(&k, &loaded, &err), "%s", err.text);
    ck_assert_int_eq(EVP_PKEY_eq(loaded, key), 1);
    EVP_PKEY_free(loaded);
    der_clear(&w);
    buf_clear(&canonical);
    return k;
}

START_TEST(rsa)
{
    struct buf spki = oracle_spki(rsa_key);
    struct pubkey k = expect_key(rsa_key, buf_view(&spki));
    ck_assert_int_eq(k.type, KEY_RSA);
    expect_number(rsa_key, OSSL_PKEY_PARAM_RSA_N, k.n);
    expect_number(rsa_key, OSSL_PKEY_PARAM_RSA_E, k.e);
    ck_assert(k.n.p > spki.p && k.n.p < spki.p + spki.n);
    ck_assert(k.e.p + k.e.n == spki.p + spki.n);
    char text[16];
    pubkey_text(&k, text);
    ck_assert_str_eq(text, "RSA-2048");
    buf_clear(&spki);
}
END_TEST

START_TEST(ec)
{
    static const char *const groups[] = {"P-256", "P-384", "P-521"};
    for (int i = 0; i < 3; i++) {
        EVP_PKEY *key = ec_key(groups[i]);
        struct buf spki = oracle_spki(key);
        struct pubkey k = expect_key(key, buf_view(&spki));
        ck_assert_int_eq(k.type, KEY_EC);
        ck_assert_int_eq(k.curve, i);
        ck_assert_str_eq(key_curve_name(k.curve), groups[i]);
        uint8_t point[200];
        size_t n;
        ck_assert_int_eq(
            EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point, &n),
            1);
        ck_assert(view_eq(k.point, view_of(point, n)));
        ck_assert(view_eq(k.bits_content, view_of(point, n)));
        char text[16];
        pubkey_text(&k, text);
        ck_assert_str_eq(text, groups[i]);
        buf_clear(&spki);
        EVP_PKEY_free(key);
    }
}
END_TEST

#define RSA_OID "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01"
#define EC_OID "\x06\x07\x2a\x86\x48\xce\x3d\x02\x01"
#define P256_OID "\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"

#define LIT(s) view_of(s, sizeof(s) - 1)

/* SubjectPublicKeyInfo of these parts; `unused` bits in the BIT STRING. */
static struct buf spki_of(struct view algorithm, struct view bits, uint8_t unused)
{
    struct der w = {0};
    struct buf out = {0};
    struct err err = {0};
    der_raw(&w, bits);
    der_raw(&w, view_of(&unused, 1));
    der_wrap(&w, DER_BIT_STRING, 0);
    der_tlv(&w, DER_SEQUENCE, algorithm);
    der_wrap(&w, DER_SEQUENCE, 0);
    ck_assert(der_take(&w, &out, &err));
    return out;
}

static struct buf rsa_spki(struct view n, struct view e)
{
    struct der w = {0};
    der_tlv(&w, DER_INTEGER, e);
    der_tlv(&w, DER_INTEGER, n);
    der_wrap(&w, DER_SEQUENCE, 0);
    struct buf out = spki_of(LIT(RSA_OID "\x05\x00"), der_content(&w), 0);
    der_clear(&w);
    return out;
}

static void expect_refused(struct buf spki, enum reason reason, const char *text)
{
    struct pubkey k;
    struct err err = {0};
    ck_assert(!pubkey_parse(buf_view(&spki), &k, &err));
    ck_assert_int_eq(err.kind, ERR_REFUSED);
    ck_assert_str_eq(reason_info(err.reason)->code, reason_info(reason)->code);
    ck_assert_msg(strstr(err.text, text) != NULL, "'%s' without '%s'", err.text, text);
    ck_assert_uint_eq(ERR_peek_error(), 0);
    buf_clear(&spki);
}

START_TEST(rsa_without_parameters_is_the_same_key)
{
    struct buf good = oracle_spki(rsa_key);
    struct pubkey a = expect_key(rsa_key, buf_view(&good));
    struct buf odd = spki_of(LIT(RSA_OID), a.bits_content, 0);
    struct pubkey b = expect_key(rsa_key, buf_view(&odd));
    ck_assert_mem_eq(a.sha256, b.sha256, 32);
    ck_assert(!view_eq(a.spki, b.spki));
    expect_refused(spki_of(LIT(RSA_OID "\x02\x01\x00"), a.bits_content, 0), REASON_KEY_TYPE,
                   "parameters");
    buf_clear(&good);
    buf_clear(&odd);
}
END_TEST

START_TEST(rsa_numbers_are_bounded)
{
    static uint8_t big[1026];
    memset(big, 0xff, sizeof big);
    big[0] = 0;
    struct pubkey k;
    struct err err = {0};
    struct buf most = rsa_spki(view_of(big, 1025), view_of(big, 33));
    ck_assert_msg(pubkey_parse(buf_view(&most), &k, &err), "%s", err.text);
    ck_assert_uint_eq(k.bits, 8192);
    ck_assert_uint_eq(k.e.n, 32);
    buf_clear(&most);
    expect_refused(rsa_spki(view_of(big, 1026), LIT("\x03")), REASON_KEY_SMALL,
                   "RSA key of 8200 bits, more than 8192");
    expect_refused(rsa_spki(LIT("\x5a\xff"), view_of(big, 34)), REASON_KEY_SMALL,
                   "RSA exponent of 264 bits, more than 256");
}
END_TEST

START_TEST(rsa_numbers_in_der)
{
    expect_refused(rsa_spki(LIT("\xff\x01"), LIT("\x03")), REASON_CSR_MALFORMED, "negative");
    expect_refused(rsa_spki(LIT("\x00\x71"), LIT("\x03")), REASON_CSR_MALFORMED, "padded");
    expect_refused(rsa_spki(LIT("\x00"), LIT("\x03")), REASON_CSR_MALFORMED, "modulus is zero");
    expect_refused(rsa_spki(LIT(""), LIT("\x03")), REASON_CSR_MALFORMED, "modulus is empty");
    expect_refused(rsa_spki(LIT("\x71"), LIT("\x00")), REASON_CSR_MALFORMED, "exponent is zero");
}
END_TEST

START_TEST(structure)
{
    static const uint8_t key[] = "\x30\x06\x02\x01\x71\x02\x01\x03";
    struct view bits = view_of(key, 8);
    struct view alg = LIT(RSA_OID "\x05\x00");
    struct pubkey k;
    struct err err = {0};
    struct buf good = spki_of(alg, bits, 0);
    ck_assert(pubkey_parse(buf_view(&good), &k, &err));
    ck_assert_uint_eq(k.bits, 7);
    expect_refused(spki_of(alg, bits, 1), REASON_CSR_MALFORMED, "whole octets");
    expect_refused(spki_of(alg, view_of(key, 9), 0), REASON_CSR_MALFORMED, "after the end");
    expect_refused(spki_of(alg, view_of(key, 5), 0), REASON_CSR_MALFORMED, "RSAPublicKey");
    expect_refused(spki_of(alg, view_of(key, 0), 0), REASON_CSR_MALFORMED, "RSAPublicKey");
    ck_assert(buf_append(&good, "\x00", 1));
    expect_refused(good, REASON_CSR_MALFORMED, "1 octets after the end");
    struct buf big = {0};
    ck_assert(buf_reserve(&big, 5000));
    memset(big.p, 0x30, big.n = 5000);
    expect_refused(big, REASON_CSR_MALFORMED, "more than the 4096 allowed");
}
END_TEST

START_TEST(other_keys)
{
    EVP_PKEY *ed = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    expect_refused(oracle_spki(ed), REASON_KEY_TYPE, "1.3.101.112");
    EVP_PKEY *koblitz = ec_key("secp256k1");
    expect_refused(oracle_spki(koblitz), REASON_KEY_TYPE, "1.3.132.0.10");
    EVP_PKEY_free(ed);
    EVP_PKEY_free(koblitz);
}
END_TEST

START_TEST(ec_forms)
{
    EVP_PKEY *compressed = ec_key("P-256"), *explicit_form = ec_key("P-256");
    EVP_PKEY_set_utf8_string_param(compressed, OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT,
                                   OSSL_PKEY_EC_POINT_CONVERSION_FORMAT_COMPRESSED);
    expect_refused(oracle_spki(compressed), REASON_KEY_TYPE, "not in uncompressed form");
    EVP_PKEY_set_utf8_string_param(explicit_form, OSSL_PKEY_PARAM_EC_ENCODING,
                                   OSSL_PKEY_EC_ENCODING_EXPLICIT);
    expect_refused(oracle_spki(explicit_form), REASON_KEY_TYPE, "without a named curve");
    static const uint8_t point[97] = {4};
    struct view alg = LIT(EC_OID P256_OID);
    expect_refused(spki_of(alg, view_of(point, 97), 0), REASON_KEY_TYPE,
                   "EC point of 97 octets, P-256 has 65");
    expect_refused(spki_of(alg, view_of("\x00", 1), 0), REASON_KEY_TYPE, "uncompressed");
    expect_refused(spki_of(alg, view_of("", 0), 0), REASON_KEY_TYPE, "uncompressed");
    EVP_PKEY_free(compressed);
    EVP_PKEY_free(explicit_form);
}
END_TEST

static void expect_not_loaded(struct buf spki, const char *text)
{
    struct pubkey k;
    struct err err = {0};
    EVP_PKEY *key = NULL;
    ck_assert_msg(pubkey_parse(buf_view(&spki), &k, &err), "%s", err.text);
    ck_assert(!pubkey_load(&k, &key, &err));
    ck_assert_int_eq(err.reason, REASON_KEY_WEAK);
    ck_assert_str_eq(err.text, text);
    ck_assert_ptr_null(key);
    ck_assert_uint_eq(ERR_peek_error(), 0);
    buf_clear(&spki);
}

START_TEST(weak_keys_are_not_loaded)
{
    expect_not_loaded(rsa_spki(LIT("\x71\x02"), LIT("\x03")), "RSA modulus is even");
    expect_not_loaded(rsa_spki(LIT("\x71\x01"), LIT("\x01")), "RSA exponent is 1");
    expect_not_loaded(rsa_spki(LIT("\x71\x01"), LIT("\x04")), "RSA exponent is even");
    EVP_PKEY *key = ec_key("P-256");
    struct buf spki = oracle_spki(key);
    spki.p[spki.n - 1] ^= 1;
    expect_not_loaded(spki, "EC point is not on P-256");
    uint8_t point[65];
    memset(point, 0xff, sizeof point); /* coordinates above the field's prime */
    point[0] = 4;
    expect_not_loaded(spki_of(LIT(EC_OID P256_OID), view_of(point, 65), 0),
                      "EC point is not on P-256");
    EVP_PKEY_free(key);
}
END_TEST

static struct buf sign(EVP_PKEY *key, struct sigalg alg, struct view data)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx;
    struct buf sig = {0};
    ck_assert(buf_reserve(&sig, 1024));
    sig.n = 1024;
    ck_assert_int_eq(EVP_DigestSignInit(ctx, &pctx, digest_md(alg.digest), NULL, key), 1);
    if (alg.scheme == SIG_RSA_PSS) {
        EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING);
        EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, alg.pss_salt);
    }
    ck_assert_int_eq(EVP_DigestSign(ctx, sig.p, &sig.n, data.p, data.n), 1);
    EVP_MD_CTX_free(ctx);
    return sig;
}

static bool verified(bool good, const struct err *err)
{
    if (!good)
        ck_assert_int_eq(err->reason, REASON_SIGNATURE_BAD);
    ck_assert_uint_eq(ERR_peek_error(), 0);
    return good;
}

/* By a context of its own, by one that did all before, and by a duplicate of it. */
static bool verifies(EVP_PKEY_CTX *kept, struct sigalg alg, struct view data, struct view sig)
{
    struct err err = {0};
    EVP_PKEY_CTX *duplicate = EVP_PKEY_CTX_dup(kept);
    ck_assert_ptr_nonnull(duplicate);
    bool good = verified(pubkey_verify(EVP_PKEY_CTX_get0_pkey(kept), alg, data, sig, &err), &err);
    ck_assert_int_eq(verified(pubkey_verify_by(kept, alg, data, sig, &err), &err), good);
    ck_assert_int_eq(verified(pubkey_verify_by(duplicate, alg, data, sig, &err), &err), good);
    EVP_PKEY_CTX_free(duplicate);
    return good;
}

/* What else is done with a context that verifies: a content key is encrypted. */
static void encrypts(EVP_PKEY_CTX *kept)
{
    uint8_t out[512], back[512];
    size_t n = sizeof out, back_n = sizeof back;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(EVP_PKEY_CTX_get0_pkey(kept), NULL);
    ck_assert_int_eq(EVP_PKEY_encrypt_init(kept), 1);
    ck_assert_int_eq(EVP_PKEY_encrypt(kept, out, &n, (const uint8_t *)"key", 3), 1);
    ck_assert(ctx && EVP_PKEY_decrypt_init(ctx) == 1);
    ck_assert_int_eq(EVP_PKEY_decrypt(ctx, back, &back_n, out, n), 1);
    ck_assert(view_eq(view_of(back, back_n), view_str("key")));
    EVP_PKEY_CTX_free(ctx);
}

START_TEST(signatures)
{
    EVP_PKEY *p256 = ec_key("P-256");
    EVP_PKEY_CTX *by_ec = EVP_PKEY_CTX_new(p256, NULL);
    EVP_PKEY_CTX *by_rsa = EVP_PKEY_CTX_new(rsa_key, NULL);
    static const struct sigalg algs[] = {
        {SIG_RSA_PKCS1, DIGEST_MD5, 0},    {SIG_RSA_PKCS1, DIGEST_SHA1, 0},
        {SIG_RSA_PKCS1, DIGEST_SHA256, 0}, {SIG_RSA_PKCS1, DIGEST_SHA512, 0},
        {SIG_RSA_PSS, DIGEST_SHA256, 32},  {SIG_RSA_PSS, DIGEST_SHA384, 20},
        {SIG_ECDSA, DIGEST_SHA256, 0},     {SIG_ECDSA, DIGEST_SHA512, 0},
    };
    for (size_t i = 0; i < sizeof algs / sizeof *algs; i++) {
        EVP_PKEY_CTX *key = algs[i].scheme == SIG_ECDSA ? by_ec : by_rsa;
        struct view data = view_str("signed"), other = view_str("signee");
        struct buf sig = sign(EVP_PKEY_CTX_get0_pkey(key), algs[i], data);
        struct sigalg digest = algs[i], scheme = algs[i];
        digest.digest = DIGEST_SHA224;
        scheme.scheme = scheme.scheme == SIG_ECDSA ? SIG_RSA_PKCS1 : SIG_ECDSA;
        ck_assert(verifies(key, algs[i], data, buf_view(&sig)));
        ck_assert(!verifies(key, algs[i], other, buf_view(&sig)));
        ck_assert(!verifies(key, digest, data, buf_view(&sig)));
        ck_assert(!verifies(key, scheme, data, buf_view(&sig)));
        ck_assert(!verifies(key, algs[i], data, view_of(sig.p, sig.n - 1)));
        ck_assert(!verifies(key, algs[i], data, view_of(sig.p, 0)));
        sig.p[sig.n - 1] ^= 1;
        ck_assert(!verifies(key, algs[i], data, buf_view(&sig)));
        buf_clear(&sig);
        encrypts(by_rsa);
    }
    EVP_PKEY_CTX_free(by_ec);
    EVP_PKEY_CTX_free(by_rsa);
    EVP_PKEY_free(p256);
}
END_TEST

/* Threads that verify by duplicates of one context, which nobody uses itself: an authority's. */
struct shared {
    EVP_PKEY_CTX *of[2];
    struct sigalg alg[2];
    struct buf sig[2];
};

static void *verify_often(void *arg)
{
    const struct shared *s = arg;
    size_t wrong = 0;
    for (unsigned i = 0; i < 200; i++) {
        struct err err = {0};
        EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_dup(s->of[i & 1]);
        struct view data = view_str(i & 2 ? "signed" : "signee");
        bool good =
            ctx && pubkey_verify_by(ctx, s->alg[i & 1], data, buf_view(&s->sig[i & 1]), &err);
        wrong += good != !!(i & 2);
        EVP_PKEY_CTX_free(ctx);
    }
    return (void *)wrong;
}

START_TEST(signatures_by_many)
{
    EVP_PKEY *p256 = ec_key("P-256");
    struct shared s = {.of = {EVP_PKEY_CTX_new(rsa_key, NULL), EVP_PKEY_CTX_new(p256, NULL)},
                       .alg = {{SIG_RSA_PKCS1, DIGEST_SHA256, 0}, {SIG_ECDSA, DIGEST_SHA256, 0}}};
    pthread_t thread[4];
    s.sig[0] = sign(rsa_key, s.alg[0], view_str("signed"));
    s.sig[1] = sign(p256, s.alg[1], view_str("signed"));
    for (size_t i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, verify_often, &s), 0);
    for (size_t i = 0; i < 4; i++) {
        void *wrong;
        ck_assert_int_eq(pthread_join(thread[i], &wrong), 0);
        ck_assert_ptr_null(wrong);
    }
    for (size_t i = 0; i < 2; i++) {
        EVP_PKEY_CTX_free(s.of[i]);
        buf_clear(&s.sig[i]);
    }
    EVP_PKEY_free(p256);
}
END_TEST

/* Keys of the usual forms are recognised whole: what is changed in any bit is another key, or none,
 * and OpenSSL says the same. */
static void expect_openssl_agrees(struct view spki)
{
    struct pubkey k;
    struct err err = {0};
    EVP_PKEY *ours = NULL;
    if (!pubkey_parse(spki, &k, &err) || !pubkey_load(&k, &ours, &err))
        return;
    const unsigned char *p = spki.p;
    EVP_PKEY *theirs = d2i_PUBKEY(NULL, &p, (long)spki.n);
    ck_assert_ptr_nonnull(theirs);
    ck_assert_int_eq(EVP_PKEY_eq(ours, theirs), 1);
    ck_assert_uint_eq(k.bits, (unsigned)EVP_PKEY_get_bits(theirs));
    ck_assert(k.bits_content.p + k.bits_content.n == spki.p + spki.n);
    EVP_PKEY_free(theirs);
    EVP_PKEY_free(ours);
}

START_TEST(usual_forms_with_one_bit_changed)
{
    EVP_PKEY *keys[] = {rsa_key, ec_key("P-256")};
    for (int i = 0; i < 2; i++) {
        struct buf spki = oracle_spki(keys[i]);
        for (size_t at = 0; at < 8 * spki.n; at++) {
            spki.p[at / 8] ^= (uint8_t)(1 << at % 8);
            expect_openssl_agrees(buf_view(&spki));
            spki.p[at / 8] ^= (uint8_t)(1 << at % 8);
        }
        buf_clear(&spki);
    }
    EVP_PKEY_free(keys[1]);
    ERR_clear_error();
}
END_TEST

START_TEST(no_change_of_an_octet_crashes)
{
    EVP_PKEY *p256 = ec_key("P-256");
    struct buf spki[] = {oracle_spki(p256), oracle_spki(rsa_key)};
    for (int i = 0; i < 2; i++) {
        for (size_t at = 0; at < spki[i].n; at++) {
            for (int bit = 0; bit < 8; bit++) {
                struct pubkey k;
                struct err err = {0};
                EVP_PKEY *loaded = NULL;
                spki[i].p[at] ^= (uint8_t)(1 << bit);
                if (pubkey_parse(buf_view(&spki[i]), &k, &err) && pubkey_load(&k, &loaded, &err))
                    ck_assert_int_ne(EVP_PKEY_eq(loaded, i ? rsa_key : p256), 1);
                else
                    ck_assert_int_eq(err.kind, ERR_REFUSED);
                spki[i].p[at] ^= (uint8_t)(1 << bit);
                EVP_PKEY_free(loaded);
            }
        }
        buf_clear(&spki[i]);
    }
    EVP_PKEY_free(p256);
}
END_TEST

int main(void)
{
    rsa_key = EVP_RSA_gen(2048);
    Suite *s = suite_create("pkcs7/pubkey");
    TCase *c = tcase_create("pubkey");
    tcase_add_test(c, rsa);
    tcase_add_test(c, ec);
    tcase_add_test(c, rsa_without_parameters_is_the_same_key);
    tcase_add_test(c, rsa_numbers_are_bounded);
    tcase_add_test(c, rsa_numbers_in_der);
    tcase_add_test(c, structure);
    tcase_add_test(c, other_keys);
    tcase_add_test(c, ec_forms);
    tcase_add_test(c, weak_keys_are_not_loaded);
    tcase_add_test(c, signatures);
    tcase_add_test(c, signatures_by_many);
    tcase_add_test(c, usual_forms_with_one_bit_changed);
    tcase_add_test(c, no_change_of_an_octet_crashes);
    suite_add_tcase(s, c);
    int failed = check_main(s);
    EVP_PKEY_free(rsa_key);
    return failed;
}
