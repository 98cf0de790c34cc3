/* What an OCSP answer costs that is made on demand: read the request, look, build, sign by the
 * signer process in packets of 16, all processes together, beside bare P-256 signatures with
 * everything prepared, in turns. ocsp_sign [certificates] [answers a round] [p256|rsa2048];
 * microseconds of CPU. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <openssl/evp.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "../ca/ca_fixture.h"
#include "ca/keyfile.h"
#include "ca/ocsp.h"

#define ROUNDS 5
#define SERIAL 8

static struct err err;

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "ocsp_sign: %s: %s\n", what, err.text);
    exit(1);
}

static double cpu_us(clockid_t clock)
{
    struct timespec t;
    must(clock_gettime(clock, &t) == 0, "no clock");
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* ---- the store ---- */

static void serial_of(size_t i, uint8_t out[SERIAL])
{
    uint64_t mixed = ((uint64_t)i + 1) * UINT64_C(0x9e3779b97f4a7c15);
    for (size_t k = 0; k < SERIAL; k++)
        out[k] = (uint8_t)(mixed >> 8 * k);
    out[0] = (uint8_t)((out[0] & 0x3f) | 0x40);
}

/* Every tenth is revoked. */
static void fill(struct store *s, const struct authority *a, size_t n, int64_t now)
{
    for (size_t i = 0; i < n;) {
        struct store_write *w = NULL;
        must(store_write_begin(s, &w, &err), "cannot write");
        for (size_t end = i + 2000 < n ? i + 2000 : n; i < end; i++) {
            struct store_cert c = {
                .serial_len = SERIAL, .not_before = now - 86400, .not_after = now + 30 * 86400};
            serial_of(i, c.serial);
            memcpy(c.authority, a->key_id, sizeof c.authority);
            memcpy(c.der_hash, c.serial, SERIAL);
            memcpy(c.key_hash, c.serial, SERIAL);
            memcpy(c.subject_hash, c.serial, SERIAL);
            snprintf(c.subject, sizeof c.subject, "CN=device-%zu,O=Example", i);
            must(buf_append(&c.der, "x", 1) && store_cert_put(w, &c, &err), "cannot put");
            if (i % 10 == 0)
                must(store_cert_revoke(w, c.id, CRL_SUPERSEDED, now - 60, &err), "cannot revoke");
            store_cert_clear(&c);
        }
        must(store_write_commit(w, &err), "cannot commit");
    }
}

/* ---- requests ---- */

static struct buf request_for(X509 *ca, size_t i)
{
    uint8_t serial[SERIAL], *der = NULL;
    struct buf out = {0};
    serial_of(i, serial);
    ASN1_INTEGER *number = ASN1_INTEGER_new();
    ASN1_STRING_set(number, serial, SERIAL);
    OCSP_REQUEST *q = OCSP_REQUEST_new();
    OCSP_request_add0_id(q, OCSP_cert_id_new(EVP_sha1(), X509_get_subject_name(ca),
                                             X509_get0_pubkey_bitstr(ca), number));
    int n = i2d_OCSP_REQUEST(q, &der);
    must(n > 0 && buf_append(&out, der, (size_t)n), "no request");
    OPENSSL_free(der);
    OCSP_REQUEST_free(q);
    ASN1_INTEGER_free(number);
    return out;
}

/* ---- measuring ---- */

static EVP_PKEY_CTX *prepared(const struct ca_fixture *f)
{
    EVP_PKEY *key = NULL;
    must(key_load(f->spec->key[f->authority->ocsp.key].path, NULL, &key, &err), "no key");
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    must(ctx && EVP_PKEY_sign_init(ctx) == 1 &&
             (!EVP_PKEY_is_a(key, "RSA") ||
              EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1) &&
             EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()) == 1,
         "cannot prepare");
    EVP_PKEY_free(key);
    return ctx;
}

static double raw_us(EVP_PKEY_CTX *ctx, size_t times)
{
    uint8_t digest[32] = {1}, signature[1024];
    double before = cpu_us(CLOCK_PROCESS_CPUTIME_ID);
    for (size_t i = 0; i < times; i++) {
        size_t size = sizeof signature;
        digest[0] = (uint8_t)i;
        must(EVP_PKEY_sign(ctx, signature, &size, digest, sizeof digest) == 1, "cannot sign");
    }
    return (cpu_us(CLOCK_PROCESS_CPUTIME_ID) - before) / (double)times;
}

struct world {
    struct store *store;
    struct ocsp_issuers *issuers;
    struct signer *lane;
    clockid_t child;
    struct buf *request;
    size_t requests;
};

struct cost {
    double prepare, sign, signer; /* microseconds each */
};

static struct cost answer_us(const struct world *w, size_t n)
{
    static const struct ocsp_rules rules = {
        .good = 3600, .revoked = 86400, .hold = 3600, .backdate = 300, .retention = 30 * 86400};
    struct cost c = {0};
    double child = cpu_us(w->child);
    for (size_t i = 0; i < n; i += OCSP_BATCH) {
        struct ocsp_answer answer[OCSP_BATCH] = {{0}}, *all[OCSP_BATCH];
        double before = cpu_us(CLOCK_THREAD_CPUTIME_ID);
        for (size_t k = 0; k < OCSP_BATCH; k++) {
            struct ocsp_request r;
            must(ocsp_request_parse(buf_view(&w->request[(i + k) * 7919 % w->requests]),
                                    OCSP_MAX_IDS, &r, &err),
                 "cannot parse");
            ocsp_answer_prepare(w->store, w->issuers, NULL, &rules, &r, time(NULL), &answer[k]);
            ocsp_request_clear(&r);
            all[k] = &answer[k];
        }
        double between = cpu_us(CLOCK_THREAD_CPUTIME_ID);
        ocsp_answers_sign(w->lane, all, OCSP_BATCH);
        c.prepare += between - before;
        c.sign += cpu_us(CLOCK_THREAD_CPUTIME_ID) - between;
        for (size_t k = 0; k < OCSP_BATCH; k++) {
            err = answer[k].err;
            must(answer[k].status == OCSP_SUCCESSFUL && answer[k].response.n > OCSP_ERROR_SIZE,
                 "no answer");
            ocsp_answer_clear(&answer[k]);
        }
    }
    double times = (double)((n + OCSP_BATCH - 1) / OCSP_BATCH * OCSP_BATCH);
    c.prepare /= times;
    c.sign /= times;
    c.signer = (cpu_us(w->child) - child) / times;
    return c;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *v)
{
    qsort(v, ROUNDS, sizeof *v, by_size);
    return v[ROUNDS / 2];
}

static void measure(const struct world *w, EVP_PKEY_CTX *ctx, size_t times, size_t stored)
{
    double raw[ROUNDS], all[ROUNDS], ratio[ROUNDS], prepare[ROUNDS], sign[ROUNDS], signer[ROUNDS];
    for (int i = 0; i < ROUNDS; i++) {
        raw[i] = raw_us(ctx, times);
        struct cost c = answer_us(w, times);
        all[i] = c.prepare + c.sign + c.signer;
        ratio[i] = raw[i] / all[i];
        prepare[i] = c.prepare;
        sign[i] = c.sign;
        signer[i] = c.signer;
    }
    double each = median(all);
    printf("ocsp_sign certificates=%zu raw_us=%.1f answer_us=%.1f prepare_us=%.1f send_us=%.1f "
           "signer_us=%.1f per_core=%.0f of_raw=%.3f\n",
           stored, median(raw), each, median(prepare), median(sign), median(signer), 1e6 / each,
           median(ratio));
}

static size_t certificates = 10000, n = 4000;
static const char *kind = "p256";

/* The authority is one that tests have, and can be made in a test only. */
START_TEST(run)
{
    struct ca_fixture f;
    struct signer_process *process = NULL;
    struct world w = {.requests = certificates < 10000 ? certificates : 10000};
    int64_t now = time(NULL);
    ca_fixture_plan(&f);
    ca_fixture_init(&f);
    must(ca_fixture_load(&f, &err), "no authority");
    ca_fixture_delegate(&f, kind, now - 3600, now + 86400);
    must(signer_start(f.spec, 1, NULL, &process, &err), "no signer");
    must(clock_getcpuclockid(signer_pid(process), &w.child) == 0, "no clock of the signer");
    w.lane = signer_lane(process, 0);
    struct store_options o = {
        .path = ca_fixture_path(&f, "store"), .map_size = UINT64_C(8) << 30, .create = true};
    must(store_open(&o, &w.store, &err), "no store");
    fill(w.store, f.authority, certificates, now);
    const struct authority *all[] = {f.authority};
    must(ocsp_issuers_new(all, 1, &w.issuers, &err), "no issuers");
    const unsigned char *p = f.authority->cert->der.p;
    X509 *ca = d2i_X509(NULL, &p, (long)f.authority->cert->der.n);
    w.request = calloc(w.requests, sizeof *w.request);
    for (size_t i = 0; i < w.requests; i++)
        w.request[i] = request_for(ca, i * (certificates / w.requests));
    EVP_PKEY_CTX *ctx = prepared(&f);
    measure(&w, ctx, n, certificates);
    EVP_PKEY_CTX_free(ctx);
    X509_free(ca);
    for (size_t i = 0; i < w.requests; i++)
        buf_clear(&w.request[i]);
    free(w.request);
    ocsp_issuers_free(w.issuers);
    store_close(w.store);
    signer_stop(process);
    ca_fixture_clear(&f);
}
END_TEST

int main(int argc, char **argv)
{
    certificates = argc > 1 ? strtoul(argv[1], NULL, 10) : certificates;
    n = argc > 2 ? strtoul(argv[2], NULL, 10) : n;
    kind = argc > 3 ? argv[3] : kind;
    if (certificates == 0 || n == 0)
        return 2;
    Suite *suite = suite_create("ocsp_sign");
    TCase *c = tcase_create("run");
    tcase_add_test(c, run);
    tcase_set_timeout(c, 0);
    suite_add_tcase(suite, c);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_SILENT);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
