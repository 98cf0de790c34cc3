#include "load.h"

#include <openssl/ec.h>
#include <openssl/rsa.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROUNDS 5
#define REPEATS 200

static double cpu_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static EVP_PKEY *make_key(const char *kind)
{
    if (strncmp(kind, "rsa", 3) == 0)
        return EVP_RSA_gen((unsigned)atoi(kind + 3));
    return EVP_EC_gen(strcmp(kind, "p384") == 0 ? "P-384" : "P-256");
}

double load_time_sign(const char *kind)
{
    EVP_PKEY *key = make_key(kind);
    EVP_PKEY_CTX *c = key ? EVP_PKEY_CTX_new(key, NULL) : NULL;
    double best = -1;
    if (c && EVP_PKEY_sign_init(c) > 0 && EVP_PKEY_CTX_set_signature_md(c, EVP_sha256()) > 0) {
        uint8_t hash[32] = {1}, sig[1024];
        for (int r = 0; r < ROUNDS; r++) {
            double t = cpu_us();
            for (int i = 0; i < REPEATS; i++) {
                size_t n = sizeof sig;
                if (EVP_PKEY_sign(c, sig, &n, hash, sizeof hash) <= 0)
                    abort();
            }
            t = (cpu_us() - t) / REPEATS;
            best = best < 0 || t < best ? t : best;
        }
    }
    EVP_PKEY_CTX_free(c);
    EVP_PKEY_free(key);
    return best;
}

double load_time_decrypt(void)
{
    EVP_PKEY *key = make_key("rsa2048");
    EVP_PKEY_CTX *e = key ? EVP_PKEY_CTX_new(key, NULL) : NULL,
                 *d = key ? EVP_PKEY_CTX_new(key, NULL) : NULL;
    uint8_t plain[256] = {1}, sealed[256];
    size_t n = sizeof sealed;
    double best = -1;
    if (e && d && EVP_PKEY_encrypt_init(e) > 0 &&
        EVP_PKEY_CTX_set_rsa_padding(e, RSA_PKCS1_PADDING) > 0 &&
        EVP_PKEY_encrypt(e, sealed, &n, plain, 16) > 0 && EVP_PKEY_decrypt_init(d) > 0 &&
        EVP_PKEY_CTX_set_rsa_padding(d, RSA_PKCS1_PADDING) > 0)
        for (int r = 0; r < ROUNDS; r++) {
            double t = cpu_us();
            for (int i = 0; i < REPEATS; i++) {
                size_t out = sizeof plain;
                if (EVP_PKEY_decrypt(d, plain, &out, sealed, n) <= 0)
                    abort();
            }
            t = (cpu_us() - t) / REPEATS;
            best = best < 0 || t < best ? t : best;
        }
    EVP_PKEY_CTX_free(e);
    EVP_PKEY_CTX_free(d);
    EVP_PKEY_free(key);
    return best;
}
