/* What one complete CRL of many entries costs: crl_build [ENTRIES [KEY]].  The real signer process
 * signs, the store is on the disk of TMPDIR.  One line: entries, octets, milliseconds of the clock
 * and of CPU (here and in the signer), the anonymous memory that came on top while it was built
 * (KiB, both processes), and what OpenSSL says of the result. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <check.h>
#include <openssl/x509.h>

#include "ca/crl.h"
#include "../ca/ca_fixture.h"

#define BATCH 20000
#define ROUNDS 3
#define DAY 86400

static struct err err;

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "%s: %s\n", what, err.text);
    exit(1);
}

/* ---- cost ---- */

static double ms_of(clockid_t clock)
{
    struct timespec t;
    must(clock_gettime(clock, &t) == 0, "clock");
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static long anonymous_kib(int pid)
{
    char path[64], line[256];
    long kib = 0;
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f))
        sscanf(line, "RssAnon: %ld", &kib);
    if (f)
        fclose(f);
    return kib;
}

struct watch {
    int signer;
    long highest;
    atomic_bool stop;
};

static void *watch(void *ctx)
{
    struct watch *w = ctx;
    while (!atomic_load(&w->stop)) {
        long now = anonymous_kib(getpid()) + anonymous_kib(w->signer);
        if (now > w->highest)
            w->highest = now;
        usleep(2000);
    }
    return NULL;
}

/* ---- data ---- */

/* Serials as they are issued, each revoked; the record that a CRL reads is the same as that of a
 * stored certificate. */
static void fill(struct store *s, const uint8_t authority[20], uint32_t n, int64_t now)
{
    static const enum crl_reason reasons[] = {CRL_UNSPECIFIED, CRL_KEY_COMPROMISE, CRL_SUPERSEDED,
                                              CRL_CESSATION};
    uint64_t state = 88172645463325252u;
    for (uint32_t i = 0; i < n;) {
        struct store_write *w = NULL;
        must(store_write_begin(s, &w, &err), "begin");
        for (uint32_t end = i + BATCH < n ? i + BATCH : n; i < end; i++) {
            struct store_revoked r = {.serial_len = 16,
                                      .revoked_at = now - i % (300 * DAY),
                                      .not_after = now + 90 * DAY,
                                      .reason = reasons[i % 4]};
            for (int k = 0; k < 16; k++) {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                r.serial[k] = (uint8_t)(state >> 24);
            }
            r.serial[0] = (uint8_t)((r.serial[0] & 0x3f) | 0x40);
            must(store_serial_revoke(w, authority, &r, &err), "revoke");
        }
        must(store_write_commit(w, &err), "commit");
    }
}

/* OpenSSL's own objects: as many entries, signed by the authority, and the same octets when they
 * are written again. */
static const char *opinion(const struct authority *a, struct view der, uint32_t entries)
{
    const unsigned char *p = der.p;
    X509_CRL *crl = d2i_X509_CRL(NULL, &p, (long)der.n);
    unsigned char *again = NULL;
    if (!crl || p != der.p + der.n)
        return "unreadable";
    if (sk_X509_REVOKED_num(X509_CRL_get_REVOKED(crl)) != (int)entries)
        return "wrong_number";
    if (X509_CRL_verify(crl, a->public_key) != 1)
        return "bad_signature";
    /* d2i keeps the octets that it read; entries that are moved are written anew */
    int n = i2d_re_X509_CRL_tbs(crl, &again);
    bool same = n > 0 && (size_t)n < der.n && memmem(der.p, 64, again, 32) &&
                memcmp(memmem(der.p, 64, again, 32), again, (size_t)n) == 0;
    OPENSSL_free(again);
    X509_CRL_free(crl);
    return same ? "same" : "other_octets";
}

static void build(struct ca_fixture *ca, struct signer_process *process, struct store *s,
                  uint32_t n)
{
    struct watch w = {.signer = signer_pid(process)};
    struct store_crl crl = {0};
    clockid_t signer_clock;
    pthread_t thread;
    must(clock_getcpuclockid(w.signer, &signer_clock) == 0, "clock of the signer");
    long before = anonymous_kib(getpid()) + anonymous_kib(w.signer);
    w.highest = before;
    must(pthread_create(&thread, NULL, watch, &w) == 0, "thread");
    double wall = ms_of(CLOCK_MONOTONIC), here = ms_of(CLOCK_THREAD_CPUTIME_ID),
           there = ms_of(signer_clock);
    must(crl_publish(ca->authority, signer_lane(process, 0), s, time(NULL), NULL, &err), "publish");
    here = ms_of(CLOCK_THREAD_CPUTIME_ID) - here;
    there = ms_of(signer_clock) - there;
    wall = ms_of(CLOCK_MONOTONIC) - wall;
    atomic_store(&w.stop, true);
    pthread_join(thread, NULL);
    must(store_crl_get(s, ca->authority->key_id, STORE_CRL_COMPLETE, &crl, &err), "get");
    printf("crl entries=%u octets=%zu wall_ms=%.1f cpu_ms=%.1f signer_cpu_ms=%.1f memory_kib=%ld "
           "openssl=%s\n",
           n, crl.der.n, wall, here, there, w.highest - before, opinion(ca->authority, crl.der, n));
    fflush(stdout);
    store_crl_clear(&crl);
}

static uint32_t entries = 100000;
static const char *key = "rsa2048";

START_TEST(measure) /* the fixture's assertions need a test around them */
{
    struct ca_fixture ca;
    struct temporary dir;
    struct signer_process *process = NULL;
    struct store *s = NULL;
    ca_fixture_plan(&ca);
    ca.plan.ca_key = key;
    ca_fixture_init(&ca);
    must(ca_fixture_load(&ca, &err), "authority");
    ca.spec->confinement = CONFINE_OFF;
    must(signer_start(ca.spec, 1, NULL, &process, &err), "signer");
    temporary_make(&dir);
    struct store_options o = {.path = temporary_path(&dir, "store"), .create = true};
    must(store_open(&o, &s, &err), "store");
    fill(s, ca.authority->key_id, entries, time(NULL));
    for (int i = 0; i < ROUNDS; i++)
        build(&ca, process, s, entries);
    store_close(s);
    signer_stop(process);
    temporary_remove(&dir);
    ca_fixture_clear(&ca);
}
END_TEST

int main(int argc, char **argv)
{
    if (argc > 1)
        entries = (uint32_t)strtoul(argv[1], NULL, 10);
    if (argc > 2)
        key = argv[2];
    Suite *suite = suite_create("crl_build");
    TCase *c = tcase_create("crl_build");
    tcase_set_timeout(c, 0);
    tcase_add_test(c, measure);
    suite_add_tcase(suite, c);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_SILENT);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
