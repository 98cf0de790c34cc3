#include "load.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <math.h>
#include <stdlib.h>

/* Everything of one key but the primes, which the pool keeps. */
struct parts {
    BIGNUM *n, *e, *d, *p1, *q1, *phi, *dp, *dq, *qinv;
};

static bool compute(struct parts *k, const BIGNUM *p, const BIGNUM *q, BN_CTX *c)
{
    BIGNUM **all[] = {&k->n, &k->e, &k->d, &k->p1, &k->q1, &k->phi, &k->dp, &k->dq, &k->qinv};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (!(*all[i] = BN_new()))
            return false;
    return BN_set_word(k->e, 65537) && BN_mul(k->n, p, q, c) && BN_sub(k->p1, p, BN_value_one()) &&
           BN_sub(k->q1, q, BN_value_one()) && BN_mul(k->phi, k->p1, k->q1, c) &&
           BN_mod_inverse(k->d, k->e, k->phi, c) && BN_mod(k->dp, k->d, k->p1, c) &&
           BN_mod(k->dq, k->d, k->q1, c) && BN_mod_inverse(k->qinv, q, p, c);
}

static void parts_clear(struct parts *k)
{
    BIGNUM *all[] = {k->n, k->e, k->d, k->p1, k->q1, k->phi, k->dp, k->dq, k->qinv};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        BN_clear_free(all[i]);
}

static EVP_PKEY *key_from_primes(const BIGNUM *p, const BIGNUM *q, BN_CTX *c)
{
    struct parts k = {0};
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *kc = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    OSSL_PARAM_BLD *b = OSSL_PARAM_BLD_new();
    OSSL_PARAM *params = NULL;
    if (kc && b && compute(&k, p, q, c) && OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_N, k.n) &&
        OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_E, k.e) &&
        OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_D, k.d) &&
        OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_FACTOR1, p) &&
        OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_FACTOR2, q) &&
        OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_EXPONENT1, k.dp) &&
        OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_EXPONENT2, k.dq) &&
        OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_COEFFICIENT1, k.qinv) &&
        (params = OSSL_PARAM_BLD_to_param(b)) && EVP_PKEY_fromdata_init(kc) > 0)
        EVP_PKEY_fromdata(kc, &key, EVP_PKEY_KEYPAIR, params);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(b);
    EVP_PKEY_CTX_free(kc);
    parts_clear(&k);
    return key;
}

/* 1024 bits, the top two set (as OpenSSL does it), so that every product has 2048; p - 1 prime to
 * e. */
static BIGNUM *prime(BN_CTX *c)
{
    BIGNUM *p = BN_new();
    while (p && BN_generate_prime_ex2(p, 1024, 0, NULL, NULL, NULL, c))
        if (BN_mod_word(p, 65537) != 1)
            return p;
    BN_free(p);
    return NULL;
}

bool load_keys(size_t n, EVP_PKEY **out, struct err *err)
{
    size_t side = (size_t)ceil(sqrt((double)n)) + 1;
    BIGNUM **pool = calloc(2 * side, sizeof *pool);
    BN_CTX *c = BN_CTX_new();
    if (!pool || !c)
        return err_memory(err);
    for (size_t i = 0; i < 2 * side; i++)
        pool[i] = prime(c);
    bool ok = pool[2 * side - 1] != NULL;
    for (size_t i = 0; ok && i < n; i++)
        ok = (out[i] = key_from_primes(pool[i / side], pool[side + i % side], c)) != NULL;
    for (size_t i = 0; i < 2 * side; i++)
        BN_clear_free(pool[i]);
    free(pool);
    BN_CTX_free(c);
    return ok || err_set(err, ERR_CRYPTO, "cannot make keys");
}
