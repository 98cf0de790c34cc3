#include "load.h"

#include <openssl/ec.h>
#include <openssl/rsa.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PAUSE_MS 20
#define MAX_SAMPLES 8192
/* A slice is long enough for the clock and short enough to fall between two disturbances. */
#define SLICES 16
#define SLICE 16

struct load_floor {
    EVP_PKEY_CTX *ra_decrypt, *ca_sign, *ra_sign; /* private */
    EVP_PKEY_CTX *verify, *encrypt;               /* with the client's key */
    EVP_MD *sha256;
    EVP_MD_CTX *hash;
    EVP_CIPHER *aes;
    EVP_CIPHER_CTX *cipher;
    uint8_t sealed[512], signature[512], message[2048];
    size_t sealed_n, signature_n;
    cpu_set_t place; /* where the server runs */
    bool placed;
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

/* The operations of a benchmark succeed, or there is nothing to measure. */
static void must(bool ok)
{
    if (!ok)
        abort();
}

static EVP_PKEY_CTX *sign_ctx(EVP_PKEY *key, const EVP_MD *md)
{
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(key, NULL);
    must(c && EVP_PKEY_sign_init(c) > 0 && EVP_PKEY_CTX_set_signature_md(c, md) > 0);
    return c;
}

static EVP_PKEY_CTX *encrypt_ctx(EVP_PKEY *key)
{
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(key, NULL);
    must(c && EVP_PKEY_encrypt_init(c) > 0 &&
         EVP_PKEY_CTX_set_rsa_padding(c, RSA_PKCS1_PADDING) > 0);
    return c;
}

static EVP_PKEY_CTX *decrypt_ctx(EVP_PKEY *key)
{
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(key, NULL);
    must(c && EVP_PKEY_decrypt_init(c) > 0 &&
         EVP_PKEY_CTX_set_rsa_padding(c, RSA_PKCS1_PADDING) > 0);
    return c;
}

static const uint8_t digest[32] = {1}, content_key[16] = {1}, iv[16] = {2};

static void sign(EVP_PKEY_CTX *c)
{
    uint8_t sig[1024];
    size_t n = sizeof sig;
    must(EVP_PKEY_sign(c, sig, &n, digest, sizeof digest) > 0);
}

/* What no server can do without for one PKCSReq, and nothing else: three private operations, two
 * verifications and one encryption with the client's key, five hashes, two times AES. */
static void one(struct load_floor *f)
{
    uint8_t out[2048 + 32];
    size_t n = sizeof out;
    must(EVP_PKEY_decrypt(f->ra_decrypt, out, &n, f->sealed, f->sealed_n) > 0);
    sign(f->ca_sign);
    sign(f->ra_sign);
    for (int i = 0; i < 2; i++)
        must(EVP_PKEY_verify(f->verify, f->signature, f->signature_n, digest, sizeof digest) == 1);
    n = sizeof out;
    must(EVP_PKEY_encrypt(f->encrypt, out, &n, content_key, sizeof content_key) > 0);
    for (int i = 0; i < 5; i++)
        must(EVP_DigestInit_ex2(f->hash, f->sha256, NULL) &&
             EVP_DigestUpdate(f->hash, f->message, sizeof f->message) &&
             EVP_DigestFinal_ex(f->hash, out, NULL));
    for (int i = 0, len; i < 2; i++)
        must(EVP_EncryptInit_ex2(f->cipher, f->aes, content_key, iv, NULL) &&
             EVP_EncryptUpdate(f->cipher, out, &len, f->message, 1024) &&
             EVP_EncryptFinal_ex(f->cipher, out + len, &len));
}

bool load_floor_new(const char *ca_key, int beside_pid, struct load_floor **out, struct err *err)
{
    struct load_floor *f = calloc(1, sizeof *f);
    if (!f)
        return err_memory(err);
    EVP_PKEY *ca = make_key(ca_key), *ra = make_key("rsa2048"), *client = make_key("rsa2048");
    f->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    f->aes = EVP_CIPHER_fetch(NULL, "AES-128-CBC", NULL);
    f->hash = EVP_MD_CTX_new();
    f->cipher = EVP_CIPHER_CTX_new();
    must(ca && ra && client && f->sha256 && f->aes && f->hash && f->cipher);
    f->ca_sign = sign_ctx(ca, f->sha256);
    f->ra_sign = sign_ctx(ra, f->sha256);
    f->ra_decrypt = decrypt_ctx(ra);
    f->encrypt = encrypt_ctx(client);
    EVP_PKEY_CTX *seal = encrypt_ctx(ra), *prove = sign_ctx(client, f->sha256);
    f->sealed_n = sizeof f->sealed;
    f->signature_n = sizeof f->signature;
    must(EVP_PKEY_encrypt(seal, f->sealed, &f->sealed_n, content_key, sizeof content_key) > 0 &&
         EVP_PKEY_sign(prove, f->signature, &f->signature_n, digest, sizeof digest) > 0);
    f->verify = EVP_PKEY_CTX_new(client, NULL);
    must(f->verify && EVP_PKEY_verify_init(f->verify) > 0 &&
         EVP_PKEY_CTX_set_signature_md(f->verify, f->sha256) > 0);
    f->placed = beside_pid > 0 && sched_getaffinity(beside_pid, sizeof f->place, &f->place) == 0;
    EVP_PKEY_CTX_free(seal);
    EVP_PKEY_CTX_free(prove);
    EVP_PKEY_free(ca);
    EVP_PKEY_free(ra);
    EVP_PKEY_free(client);
    *out = f;
    return true;
}

void load_floor_free(struct load_floor *f)
{
    if (!f)
        return;
    EVP_PKEY_CTX *pkey[] = {f->ra_decrypt, f->ca_sign, f->ra_sign, f->verify, f->encrypt};
    for (size_t i = 0; i < sizeof pkey / sizeof *pkey; i++)
        EVP_PKEY_CTX_free(pkey[i]);
    EVP_MD_CTX_free(f->hash);
    EVP_CIPHER_CTX_free(f->cipher);
    EVP_MD_free(f->sha256);
    EVP_CIPHER_free(f->aes);
    free(f);
}

/* ---- alone ---- */

/* The quarter point of the slices, which is the median of their better half: a disturbance makes a
 * slice longer, nothing makes it shorter. */
static void *alone(void *floor)
{
    struct load_floor *f = floor;
    double slice[SLICES];
    if (f->placed)
        sched_setaffinity(0, sizeof f->place, &f->place);
    for (int i = 0; i < SLICE; i++)
        one(f); /* warms up */
    for (int s = 0; s < SLICES; s++) {
        double t = cpu_us();
        for (int i = 0; i < SLICE; i++)
            one(f);
        slice[s] = (cpu_us() - t) / SLICE;
    }
    f->sample[0] = load_quantile(slice, SLICES, 0.25);
    return NULL;
}

double load_floor_alone(struct load_floor *f)
{
    must(pthread_create(&f->thread, NULL, alone, f) == 0);
    pthread_join(f->thread, NULL);
    return f->sample[0];
}

/* ---- beside the server ---- */

static void *sampler(void *floor)
{
    struct load_floor *f = floor;
    const struct timespec pause = {0, PAUSE_MS * 1000000L};
    one(f); /* warms up */
    while (!atomic_load(&f->stop) && f->n < MAX_SAMPLES) {
        double t = cpu_us();
        one(f);
        f->sample[f->n++] = cpu_us() - t;
        nanosleep(&pause, NULL);
    }
    return NULL;
}

void load_floor_beside_start(struct load_floor *f)
{
    f->n = 0;
    atomic_store(&f->stop, false);
    must(pthread_create(&f->thread, NULL, sampler, f) == 0);
}

double load_floor_beside_stop(struct load_floor *f, double *used_us)
{
    atomic_store(&f->stop, true);
    pthread_join(f->thread, NULL);
    *used_us = 0;
    for (size_t i = 0; i < f->n; i++)
        *used_us += f->sample[i];
    return load_quantile(f->sample, f->n, 0.5);
}
