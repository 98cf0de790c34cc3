/* Memory that runs out at each allocation of the request path in turn, once or for good.
 *
 * Whatever fails, the device is sent away with 503 (or served, where it did not matter), nothing of
 * it is stored, its challenge is not burnt, and the same message is served when there is memory
 * again.  The signer is a process of its own, as in the daemon. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../bench/load.h"
#include "check_main.h"
#include "faultmem.h"
#include "scepd/memory.h"
#include "service_fixture.h"

/* More than there are allocations that a request survives. */
#define DEVICES 120

static struct service_fixture f;
static struct load l;
static struct signer_process *signers; /* as the daemon has it: its memory is its own */

#define must(call)                             \
    do {                                       \
        struct err err = {0};                  \
        ck_assert_msg((call), "%s", err.text); \
    } while (0)

static void prepare(const char *path)
{
    static char secret[DEVICES][CHALLENGE_TEXT_MAX];
    char *challenges[DEVICES];
    struct challenge_wish wish = {.uses = 1, .now = time(NULL)};
    struct store_challenge made;
    must(service_fixture_init(&f, "rsa2048", &err));
    must(signer_start(f.rooms.spec, 1, NULL, &signers, &err));
    l = (struct load){.n = DEVICES, .prefix = "device"};
    l.caps =
        (struct client_caps){.digests = ALG_BIT(DIGEST_SHA256), .ciphers = ALG_BIT(CIPHER_AES128)};
    must(service_fixture_ca(&f, service_fixture_endpoint(&f, path), &l.ca, &err));
    for (size_t i = 0; i < DEVICES; i++) {
        must(challenge_new(f.store, f.enroll.challenge_key, &wish, secret[i], &made, &err));
        challenges[i] = secret[i];
    }
    must(load_prepare(&l, challenges, DEVICES, &err));
}

static void teardown(void)
{
    for (size_t i = 0; i < l.n; i++) {
        client_identity_clear(&l.device[i].identity);
        buf_clear(&l.device[i].message);
    }
    free(l.device);
    client_ca_clear(&l.ca);
    signer_stop(signers);
    service_fixture_clear(&f);
}

static struct scep_answer ask(const char *path, size_t device)
{
    struct scep_answer a;
    struct scep_call call = {.endpoint = service_fixture_endpoint(&f, path),
                             .enroll = &f.enroll,
                             .signer = signer_lane(signers, 0),
                             .message = buf_view(&l.device[device].message),
                             .peer = {"192.0.2.7", "test"},
                             .now = time(NULL)};
    scep_pki_operation(&call, &a);
    return a;
}

static uint64_t stored(void)
{
    struct store_stats stats;
    must(store_stats(f.store, &stats, &err));
    ck_assert_uint_eq(stats.transactions, stats.certificates + stats.pending);
    return stats.transactions;
}

static bool count_used(void *ctx, const struct store_challenge *c)
{
    *(uint64_t *)ctx += c->used;
    return true;
}

static void no_problem(void *ctx, const struct store_problem *p)
{
    ck_abort_msg("%s", p->text);
}

/* Every served device has used its challenge, and nobody else. */
static void assert_whole(uint64_t served, bool one_time)
{
    uint64_t used = 0, problems = 1;
    ck_assert_uint_eq(stored(), served);
    must(store_challenge_list(f.store, count_used, &used, &err));
    ck_assert_uint_eq(used, one_time ? served : 0);
    must(store_verify(f.store, no_problem, NULL, &problems, &err));
    ck_assert_uint_eq(problems, 0);
}

/* From the first allocation to the last: one device after the other, as they are served. */
static size_t sweep(const char *path, enum enroll_verdict wanted, size_t device, bool lasting)
{
    for (long n = 1;; n++) {
        faultmem_arm(n, lasting);
        struct scep_answer a = ask(path, device);
        long hits = faultmem_disarm();
        bool served = a.status == 200 && !a.fault && a.verdict == wanted;
        if (!served) {
            ck_assert_msg(a.fault && a.status == 503, "allocation %ld: status %d, %s: %s", n,
                          a.status, reason_info(a.reason)->code, a.detail);
            ck_assert_msg(hits > 0, "%s", a.detail);
        }
        scep_answer_clear(&a);
        device += served;
        ck_assert_uint_lt(device, DEVICES);
        ck_assert_msg(stored() == device, "allocation %ld: stored, and not told", n);
        if (hits == 0) {
            printf("%s: %ld allocations, %s\n", path, n - 1, lasting ? "for good" : "one by one");
            return device;
        }
    }
}

/* _i: one allocation fails, or all from it on. */
START_TEST(enrolment)
{
    prepare("/scep");
    struct scep_answer first = ask("/scep", 0); /* what is made once and kept */
    ck_assert_int_eq(first.verdict, ENROLL_ISSUE);
    scep_answer_clear(&first);
    assert_whole(sweep("/scep", ENROLL_ISSUE, 1, _i), true);
    teardown();
}
END_TEST

START_TEST(waiting)
{
    prepare("/manual");
    struct scep_answer first = ask("/manual", 0);
    ck_assert_int_eq(first.verdict, ENROLL_PEND);
    scep_answer_clear(&first);
    assert_whole(sweep("/manual", ENROLL_PEND, 1, _i), false);
    teardown();
}
END_TEST

int main(void)
{
    if (!memory_watch())
        return EXIT_FAILURE;
    Suite *s = suite_create("faults/memory");
    TCase *c = tcase_create("memory");
    tcase_set_timeout(c, 300);
    tcase_add_loop_test(c, enrolment, 0, 2);
    tcase_add_loop_test(c, waiting, 0, 2);
    suite_add_tcase(s, c);
    return check_main(s);
}
