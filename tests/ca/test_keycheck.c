#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>

#include "ca/keycheck.h"
#include "check_main.h"

/* Weak keys are made here from their definitions, not taken from lists. */

struct rsa {
    uint8_t n[512], e[64];
    struct pubkey key;
};

static void rsa_set(struct rsa *r, const BIGNUM *n, const BIGNUM *e)
{
    r->key = (struct pubkey){.type = KEY_RSA, .bits = (unsigned)BN_num_bits(n)};
    r->key.n = view_of(r->n, (size_t)BN_bn2bin(n, r->n));
    r->key.e = view_of(r->e, (size_t)BN_bn2bin(e, r->e));
}

static void rsa_set_word(struct rsa *r, const BIGNUM *n, unsigned long e)
{
    BIGNUM *x = BN_new();
    ck_assert(BN_set_word(x, e));
    rsa_set(r, n, x);
    BN_free(x);
}

static BIGNUM *prime(int bits)
{
    BIGNUM *p = BN_new();
    ck_assert(BN_generate_prime_ex(p, bits, 0, NULL, NULL, NULL));
    return p;
}

static BIGNUM *product(const BIGNUM *p, const BIGNUM *q)
{
    BN_CTX *ctx = BN_CTX_new();
    BIGNUM *n = BN_new();
    ck_assert(BN_mul(n, p, q, ctx));
    BN_CTX_free(ctx);
    return n;
}

/* The first prime at or after p + 2^shift. */
static BIGNUM *prime_near(const BIGNUM *p, int shift)
{
    BN_CTX *ctx = BN_CTX_new();
    BIGNUM *q = BN_new(), *d = BN_new();
    ck_assert(BN_one(d) && BN_lshift(d, d, shift) && BN_add(q, p, d));
    while (BN_check_prime(q, ctx, NULL) != 1)
        ck_assert(BN_add_word(q, BN_is_odd(q) ? 2 : 1));
    BN_free(d);
    BN_CTX_free(ctx);
    return q;
}

static void expect(const struct rsa *r, const char *text)
{
    struct err err = {0};
    if (!text) {
        ck_assert_msg(key_check(&r->key, &err), "%s", err.text);
        return;
    }
    ck_assert(!key_check(&r->key, &err));
    ck_assert_int_eq(err.kind, ERR_REFUSED);
    ck_assert_int_eq(err.reason, REASON_KEY_WEAK);
    ck_assert_msg(strstr(err.text, text), "%s", err.text);
}

START_TEST(sound_keys_pass)
{
    for (int i = 0; i < 200; i++) {
        BIGNUM *n = NULL, *e = NULL;
        EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)(i < 4 ? 2048 : 1024));
        ck_assert(EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &n));
        ck_assert(EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &e));
        struct rsa r;
        rsa_set(&r, n, e);
        expect(&r, NULL);
        BN_free(n);
        BN_free(e);
        EVP_PKEY_free(key);
    }
}
END_TEST

START_TEST(odd_sizes_pass)
{
    static const int bits[] = {1023, 1025, 1031, 2047, 3072};
    for (size_t i = 0; i < sizeof bits / sizeof bits[0]; i++) {
        BIGNUM *p = prime(bits[i] / 2), *q = prime(bits[i] - bits[i] / 2), *n = product(p, q);
        struct rsa r;
        rsa_set_word(&r, n, 65537);
        expect(&r, NULL);
        BN_free(p);
        BN_free(q);
        BN_free(n);
    }
}
END_TEST

START_TEST(exponents)
{
    BIGNUM *p = prime(512), *q = prime(512), *n = product(p, q), *e = BN_new();
    struct rsa r;
    static const struct {
        unsigned long e;
        const char *text;
    } words[] = {
        {65537, NULL},        {65539, NULL},        {4294967297ul, NULL},
        {1, "exponent is 1"}, {3, "exponent is 3"}, {65535, "exponent is 65535"},
        {65538, "even"},      {0, "even"},
    };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        rsa_set_word(&r, n, words[i].e);
        expect(&r, words[i].text);
    }
    ck_assert(BN_one(e) && BN_lshift(e, e, 255) && BN_add_word(e, 1));
    rsa_set(&r, n, e);
    expect(&r, NULL);
    ck_assert(BN_sub_word(e, 1));
    rsa_set(&r, n, e);
    expect(&r, "even");
    BN_free(p);
    BN_free(q);
    BN_free(n);
    BN_free(e);
}
END_TEST

START_TEST(even_modulus)
{
    BIGNUM *p = prime(1023), *two = BN_new();
    ck_assert(BN_set_word(two, 2));
    BIGNUM *n = product(p, two);
    struct rsa r;
    rsa_set_word(&r, n, 65537);
    expect(&r, "modulus is even");
    BN_free(p);
    BN_free(two);
    BN_free(n);
}
END_TEST

START_TEST(small_factors)
{
    static const struct {
        unsigned long factor;
        bool weak;
    } cases[] = {{3, true}, {167, true}, {173, true}, {743, true}, {751, true}, {757, false}};
    BIGNUM *p = prime(1014), *f = BN_new();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[64];
        ck_assert(BN_set_word(f, cases[i].factor));
        BIGNUM *n = product(p, f);
        struct rsa r;
        rsa_set_word(&r, n, 65537);
        snprintf(text, sizeof text, "divisible by %lu", cases[i].factor);
        expect(&r, cases[i].weak ? text : NULL);
        BN_free(n);
    }
    BN_free(p);
    BN_free(f);
}
END_TEST

START_TEST(close_primes)
{
    BIGNUM *p = prime(512);
    /* The difference of two primes of 512 bits that 100 rounds still find is about 2^261. */
    static const struct {
        int shift;
        bool weak;
    } cases[] = {{1, true}, {64, true}, {256, true}, {259, true}, {300, false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        BIGNUM *q = prime_near(p, cases[i].shift), *n = product(p, q);
        struct rsa r;
        rsa_set_word(&r, n, 65537);
        expect(&r, cases[i].weak ? "Fermat" : NULL);
        BN_free(q);
        BN_free(n);
    }
    BIGNUM *square = product(p, p);
    struct rsa r;
    rsa_set_word(&r, square, 65537);
    expect(&r, "Fermat, round 0");
    BN_free(square);
    BN_free(p);
}
END_TEST

/* CVE-2017-15361: p = k * M + (65537^a mod M), M the product of the first 39 primes. */
static BIGNUM *roca_prime(BN_CTX *ctx)
{
    static const char *const M = /* 2 * 3 * 5 * ... * 167 */
        "962947420735983927056946215901134429196419130606213075415963491270";
    BIGNUM *m = NULL, *p = BN_new(), *a = BN_new(), *k = BN_new(), *g = BN_new();
    ck_assert(BN_dec2bn(&m, M) && BN_set_word(g, 65537));
    do {
        ck_assert(BN_rand_range(a, m) && BN_mod_exp(p, g, a, m, ctx));
        ck_assert(BN_rand(k, 512 - BN_num_bits(m), BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY));
        ck_assert(BN_mul(k, k, m, ctx) && BN_add(p, p, k));
    } while (BN_check_prime(p, ctx, NULL) != 1);
    BN_free(m);
    BN_free(a);
    BN_free(k);
    BN_free(g);
    return p;
}

START_TEST(roca)
{
    BN_CTX *ctx = BN_CTX_new();
    BIGNUM *p = roca_prime(ctx), *q = roca_prime(ctx), *n = product(p, q);
    BIGNUM *other = prime(512), *half = product(p, other);
    struct rsa r;
    rsa_set_word(&r, n, 65537);
    expect(&r, "ROCA");
    rsa_set_word(&r, half, 65537); /* one prime of that kind does not show */
    expect(&r, NULL);
    BN_free(p);
    BN_free(q);
    BN_free(n);
    BN_free(other);
    BN_free(half);
    BN_CTX_free(ctx);
}
END_TEST

START_TEST(hostile_sizes)
{
    static uint8_t ones[2048];
    memset(ones, 0xff, sizeof ones);
    static const size_t sizes[] = {0, 1, 7, 8, 9, 1024, 1025, 2048};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct err err = {0};
        struct pubkey key = {.type = KEY_RSA, .n = {ones, sizes[i]}, .e = {ones, 4}};
        ck_assert(!key_check(&key, &err)); /* 2^n - 1 has small factors for all of these */
        ck_assert_int_eq(err.kind, ERR_REFUSED);
    }
}
END_TEST

START_TEST(points)
{
    EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    uint8_t point[65];
    size_t n = 0;
    struct err err = {0};
    ck_assert(
        EVP_PKEY_get_octet_string_param(pkey, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point, &n));
    struct pubkey key = {.type = KEY_EC, .bits = 256, .curve = CURVE_P256, .point = {point, n}};
    ck_assert(key_check(&key, &err));
    point[64] ^= 1;
    ck_assert(!key_check(&key, &err));
    ck_assert_int_eq(err.reason, REASON_KEY_WEAK);
    EVP_PKEY_free(pkey);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("ca/keycheck");
    TCase *c = tcase_create("keycheck");
    tcase_set_timeout(c, 300);
    tcase_add_test(c, sound_keys_pass);
    tcase_add_test(c, odd_sizes_pass);
    tcase_add_test(c, exponents);
    tcase_add_test(c, even_modulus);
    tcase_add_test(c, small_factors);
    tcase_add_test(c, close_primes);
    tcase_add_test(c, roca);
    tcase_add_test(c, hostile_sizes);
    tcase_add_test(c, points);
    suite_add_tcase(s, c);
    return check_main(s);
}
