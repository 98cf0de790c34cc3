#include "load.h"

#include <openssl/ec.h>
#include <openssl/rsa.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PAUSE_MS 20
#define MAX_SAMPLES 8192
#define LOOP 200

struct load_prims {
    EVP_PKEY_CTX *ca_sign, *ra_sign, *ra_decrypt;
    uint8_t sealed[512];
    size_t sealed_n;
    pthread_t thread;
    atomic_bool stop;
    double sample[MAX_SAMPLES];
    size_t n;
};

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

static void must(bool ok)
{
    if (!ok)
        abort();
}

static EVP_PKEY_CTX *sign_ctx(EVP_PKEY *key)
{
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(key, NULL);
    must(c && EVP_PKEY_sign_init(c) > 0 && EVP_PKEY_CTX_set_signature_md(c, EVP_sha256()) > 0);
    return c;
}

static void sign(EVP_PKEY_CTX *c)
{
    uint8_t hash[32] = {1}, sig[1024];
    size_t n = sizeof sig;
    must(EVP_PKEY_sign(c, sig, &n, hash, sizeof hash) > 0);
}

static void one(struct load_prims *p)
{
    uint8_t plain[512];
    size_t n = sizeof plain;
    must(EVP_PKEY_decrypt(p->ra_decrypt, plain, &n, p->sealed, p->sealed_n) > 0);
    sign(p->ca_sign);
    sign(p->ra_sign);
}

static void *sampler(void *ctx)
{
    struct load_prims *p = ctx;
    const struct timespec pause = {0, PAUSE_MS * 1000000L};
    one(p); /* warms up */
    while (!atomic_load(&p->stop) && p->n < MAX_SAMPLES) {
        double t = cpu_us();
        one(p);
        p->sample[p->n++] = cpu_us() - t;
        nanosleep(&pause, NULL);
    }
    return NULL;
}

bool load_prims_start(const char *ca_key, struct load_prims **out, struct err *err)
{
    struct load_prims *p = calloc(1, sizeof *p);
    EVP_PKEY *ca = make_key(ca_key), *ra = make_key("rsa2048");
    must(p && ca && ra);
    p->ca_sign = sign_ctx(ca);
    p->ra_sign = sign_ctx(ra);
    EVP_PKEY_CTX *e = EVP_PKEY_CTX_new(ra, NULL);
    uint8_t key[16] = {1};
    p->sealed_n = sizeof p->sealed;
    must(e && EVP_PKEY_encrypt_init(e) > 0 &&
         EVP_PKEY_CTX_set_rsa_padding(e, RSA_PKCS1_PADDING) > 0 &&
         EVP_PKEY_encrypt(e, p->sealed, &p->sealed_n, key, sizeof key) > 0);
    p->ra_decrypt = EVP_PKEY_CTX_new(ra, NULL);
    must(p->ra_decrypt && EVP_PKEY_decrypt_init(p->ra_decrypt) > 0 &&
         EVP_PKEY_CTX_set_rsa_padding(p->ra_decrypt, RSA_PKCS1_PADDING) > 0);
    EVP_PKEY_CTX_free(e);
    EVP_PKEY_free(ca);
    EVP_PKEY_free(ra);
    if (pthread_create(&p->thread, NULL, sampler, p) != 0)
        return err_set(err, ERR_IO, "no thread");
    *out = p;
    return true;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double tight_loop(struct load_prims *p)
{
    double t = cpu_us();
    for (int i = 0; i < LOOP; i++)
        one(p);
    return (cpu_us() - t) / LOOP;
}

struct load_raw load_prims_stop(struct load_prims *p)
{
    atomic_store(&p->stop, true);
    pthread_join(p->thread, NULL);
    qsort(p->sample, p->n, sizeof p->sample[0], ascending);
    struct load_raw raw = {p->n ? p->sample[p->n / 2] : -1, tight_loop(p)};
    EVP_PKEY_CTX_free(p->ca_sign);
    EVP_PKEY_CTX_free(p->ra_sign);
    EVP_PKEY_CTX_free(p->ra_decrypt);
    free(p);
    return raw;
}
