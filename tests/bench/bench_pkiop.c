/* What one enrolment costs inside the request function, without HTTP: read, decide, issue, answer
 * (signer in this process), then the commit in batches, beside the floor timed in the same run.
 * bench_pkiop [rsa2048|p256] [n] */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "load.h"
#include "service_fixture.h"

#define BATCH 32

static double cpu_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void must(bool ok, const struct err *err)
{
    if (ok)
        return;
    fprintf(stderr, "bench_pkiop: %s\n", err->text);
    exit(1);
}

static void commit(struct service_fixture *f, struct scep_answer *answers, size_t n)
{
    struct enroll_change *changes[BATCH];
    struct err results[BATCH] = {{0}}, err = {0};
    for (size_t i = 0; i < n; i++)
        changes[i] = answers[i].change;
    must(enroll_commit(f->store, changes, results, n, &err), &err);
    for (size_t i = 0; i < n; i++) {
        must(results[i].kind == ERR_NONE, &results[i]);
        scep_answer_clear(&answers[i]);
    }
}

int main(int argc, char **argv)
{
    const char *key = argc > 1 ? argv[1] : "rsa2048";
    struct load l = {.n = argc > 2 ? strtoul(argv[2], NULL, 10) : 1000, .prefix = "bench"};
    struct service_fixture f;
    struct err err = {0};
    must(service_fixture_init(&f, key, &err), &err);
    const struct scep_endpoint *e = service_fixture_endpoint(&f, "/open");
    l.caps =
        (struct client_caps){.digests = ALG_BIT(DIGEST_SHA256), .ciphers = ALG_BIT(CIPHER_AES128)};
    must(service_fixture_ca(&f, e, &l.ca, &err), &err);
    must(load_prepare(&l, NULL, 0, &err), &err);
    double prepare = 0, committing = 0;
    struct load_floor *floor;
    must(load_floor_new(key, 0, &floor, &err), &err);
    double floor_us = load_floor_alone(floor);
    struct scep_answer answers[BATCH];
    for (size_t i = 0; i < l.n;) {
        size_t n = 0;
        double t = cpu_us();
        for (; n < BATCH && i < l.n; n++, i++) {
            struct scep_call call = {.endpoint = e,
                                     .enroll = &f.enroll,
                                     .signer = f.signer,
                                     .message = buf_view(&l.device[i].message),
                                     .peer = {"192.0.2.1", "bench"},
                                     .now = time(NULL)};
            scep_pki_prepare(&call, &answers[n]);
            if (answers[n].verdict != ENROLL_ISSUE || answers[n].fault) {
                fprintf(stderr, "bench_pkiop: %s\n", answers[n].detail);
                return 1;
            }
        }
        prepare += cpu_us() - t;
        t = cpu_us();
        commit(&f, answers, n);
        committing += cpu_us() - t;
    }
    double after = load_floor_alone(floor);
    floor_us = after < floor_us ? after : floor_us;
    load_floor_free(floor);
    double each = (prepare + committing) / (double)l.n;
    printf("pkiop ca=%s n=%zu prepare_us=%.0f commit_us=%.0f floor_us=%.0f over_floor=%.3f\n", key,
           l.n, prepare / (double)l.n, committing / (double)l.n, floor_us, each / floor_us);
    service_fixture_clear(&f);
    return 0;
}
