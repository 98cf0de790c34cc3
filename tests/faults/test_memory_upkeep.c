/* Memory that runs out in the thread that publishes lists of revoked certificates: whatever makes a
 * list due, it is made and served all the same, a little later. */
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ca/crl.h"
#include "check_main.h"
#include "faultmem.h"
#include "scepd/memory.h"
#include "scepd/upkeep.h"
#include "service_fixture.h"

#define must(call) ck_assert_msg((call), "%s", err.text)

static struct service_fixture f;
static struct upkeep *upkeep;
static struct err err;
static atomic_long later;    /* seconds by which time() is ahead */
static atomic_uint failures; /* lists that could not be published, by the log */

/* ---- clocks: a tick is 20 ms, and what is tried again in 10 s is so at once ---- */

time_t time(time_t *out)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    time_t now = t.tv_sec + atomic_load(&later);
    if (out)
        *out = now;
    return now;
}

int clock_gettime(clockid_t clock, struct timespec *out)
{
    static int (*real)(clockid_t, struct timespec *);
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
    int rc = real(clock, out);
    if (clock == CLOCK_MONOTONIC) {
        out->tv_sec -= out->tv_nsec < 980000000 ? 1 : 0;
        out->tv_nsec += out->tv_nsec < 980000000 ? 20000000 : -980000000;
    }
    return rc;
}

static void take_line(void *ctx, enum log_level level, const char *line, size_t n)
{
    if (memmem(line, n, "event=crl.failed", 16))
        atomic_fetch_add(&failures, 1);
}

/* ---- what makes a list due ---- */

static void asked(long n)
{
    ck_assert(upkeep_publish(upkeep, 0));
}

static void revoked(long n)
{
    struct store_write *w = NULL;
    struct store_cert c = {
        .state = CERT_ACTIVE, .serial_len = 2, .not_before = 1, .not_after = time(NULL) + 86400};
    c.serial[0] = (uint8_t)(n >> 8 | 0x10);
    c.serial[1] = (uint8_t)n;
    memcpy(c.authority, f.rooms.authority[0]->key_id, sizeof c.authority);
    memcpy(c.der_hash, c.serial, 2);
    memcpy(c.key_hash, c.serial, 2);
    must(buf_append(&c.der, "x", 1));
    must(store_write_begin(f.store, &w, &err));
    must(store_cert_put(w, &c, &err));
    must(store_cert_revoke(w, c.id, CRL_KEY_COMPROMISE, time(NULL), &err));
    must(store_write_commit(w, &err));
    store_cert_clear(&c);
}

/* As scepctl does it. */
static void published_elsewhere(long n)
{
    struct crl_scopes all;
    must(crl_scopes(f.rooms.authority[0], f.store, &all, &err));
    must(crl_publish(f.rooms.authority[0], f.signer, f.store, time(NULL), &all, &err));
}

static const struct {
    const char *name;
    void (*make_due)(long n);
} cases[] = {
    {"asked for", asked}, {"revoked", revoked}, {"published elsewhere", published_elsewhere}};

/* ---- what is served ---- */

static uint64_t served(void)
{
    struct published *p = upkeep_crl_get1(upkeep, 0, STORE_CRL_COMPLETE);
    uint64_t number = p ? published_crl(p)->number : 0;
    published_release(p);
    return number;
}

/* When a list could not be made, its time comes at once. */
static bool newer_than(uint64_t before)
{
    unsigned seen = atomic_load(&failures);
    for (int i = 0; i < 2000; i++) {
        if (served() > before)
            return true;
        if (atomic_load(&failures) != seen) {
            seen = atomic_load(&failures);
            atomic_fetch_add(&later, 11);
        }
        usleep(5000);
    }
    return false;
}

/* _i: why a list is due. */
START_TEST(published_in_the_end)
{
    const struct log log = {LOG_LEVEL_INFO, take_line, NULL};
    long n, hits = 1;
    err_clear(&err);
    must(service_fixture_init(&f, "p256", &err));
    const struct upkeep_options o = {.authorities = f.rooms.authority,
                                     .authority_n = f.config->authority_n,
                                     .lane = f.signer,
                                     .store = f.store,
                                     .log = &log};
    must(upkeep_new(&o, &upkeep, &err));
    for (n = 1; hits; n++) {
        uint64_t before = served();
        faultmem_arm_thread("upkeep", n);
        cases[_i].make_due(n);
        bool newer = newer_than(before);
        hits = faultmem_thread_hits();
        faultmem_disarm_thread();
        ck_assert_msg(newer, "%s, allocation %ld: no new list is served", cases[_i].name, n);
    }
    printf("a list, %s: %ld allocations, %u failed\n", cases[_i].name, n - 2,
           atomic_load(&failures));
    upkeep_free(upkeep);
    service_fixture_clear(&f);
}
END_TEST

int main(void)
{
    if (!memory_watch())
        return EXIT_FAILURE;
    Suite *s = suite_create("faults/memory_upkeep");
    TCase *c = tcase_create("lists");
    tcase_set_timeout(c, 300);
    tcase_add_loop_test(c, published_in_the_end, 0, sizeof cases / sizeof *cases);
    suite_add_tcase(s, c);
    return check_main(s);
}
