/* Attempts: written at one end, read newest first, forgotten at the other. */
#include <string.h>

#include "check_main.h"
#include "fixture.h"

static struct store_attempt attempt_of(unsigned n)
{
    struct store_attempt a = {
        .at = 1000 + n, .result = ATTEMPT_REFUSED, .status = 200, .fail_info = 2, .ms = 4};
    snprintf(a.peer, sizeof a.peer, "192.0.2.%u", n % 250);
    snprintf(a.transaction, sizeof a.transaction, "T%u", n);
    strcpy(a.agent, "agent/1.0");
    strcpy(a.endpoint, "/scep");
    strcpy(a.method, "POST");
    strcpy(a.operation, "PKCSReq");
    strcpy(a.digest, "SHA-256");
    strcpy(a.cipher, "AES-128");
    strcpy(a.subject, "CN=x");
    strcpy(a.san, "DNS:x");
    strcpy(a.key, "RSA-2048");
    hash_of(n, 'k', a.key_hash);
    strcpy(a.challenge, "chl_4h7t2m");
    strcpy(a.reason, "challenge.used");
    strcpy(a.detail, "chl_4h7t2m was used");
    trail_begin(&a.trail, CHECK_MESSAGE);
    trail_pass(&a.trail, "CMS, %s", "SHA-256");
    trail_begin(&a.trail, CHECK_CHALLENGE);
    trail_stop(&a.trail, "used");
    return a;
}

static void put(unsigned from, unsigned to)
{
    struct store_write *w = begin();
    for (unsigned i = from; i < to; i++) {
        struct store_attempt a = attempt_of(i);
        ok(store_attempt_put(w, &a, &err));
    }
    commit(w);
}

struct seen {
    unsigned n, stop_at;
    uint64_t first, last;
    struct store_attempt newest;
};

static bool see(void *ctx, const struct store_attempt *a)
{
    struct seen *s = ctx;
    if (s->n == 0) {
        s->first = a->seq;
        s->newest = *a;
    } else {
        ck_assert_uint_lt(a->seq, s->last);
    }
    s->last = a->seq;
    return ++s->n != s->stop_at;
}

static struct seen list(uint64_t before, unsigned stop_at)
{
    struct seen s = {.stop_at = stop_at};
    ok(store_attempt_list(st, before, see, &s, &err));
    return s;
}

START_TEST(every_field_comes_back)
{
    put(1, 2);
    struct seen s = list(0, 0);
    struct store_attempt a = attempt_of(1);
    a.seq = 1;
    ck_assert_uint_eq(s.n, 1);
    ck_assert_int_eq(s.newest.at, a.at);
    ck_assert_int_eq(s.newest.result, a.result);
    ck_assert_str_eq(s.newest.peer, a.peer);
    ck_assert_str_eq(s.newest.agent, a.agent);
    ck_assert_str_eq(s.newest.endpoint, a.endpoint);
    ck_assert_str_eq(s.newest.operation, a.operation);
    ck_assert_str_eq(s.newest.transaction, a.transaction);
    ck_assert_str_eq(s.newest.subject, a.subject);
    ck_assert_str_eq(s.newest.san, a.san);
    ck_assert_mem_eq(s.newest.key_hash, a.key_hash, STORE_HASH);
    ck_assert_str_eq(s.newest.reason, a.reason);
    ck_assert_str_eq(s.newest.detail, a.detail);
    ck_assert_int_eq(s.newest.fail_info, 2);
    ck_assert_uint_eq(s.newest.trail.n, 2);
    ck_assert_int_eq(s.newest.trail.step[0].state, TRAIL_PASSED);
    ck_assert_str_eq(s.newest.trail.step[0].text, "CMS, SHA-256");
    ck_assert_int_eq(s.newest.trail.step[1].check, CHECK_CHALLENGE);
    ck_assert_int_eq(s.newest.trail.step[1].state, TRAIL_STOPPED);
    verify_clean();
}
END_TEST

START_TEST(newest_first)
{
    put(0, 300);
    reopen();
    struct seen all = list(0, 0), some = list(101, 5);
    ck_assert_uint_eq(all.n, 300);
    ck_assert_uint_eq(all.first, 300);
    ck_assert_uint_eq(all.last, 1);
    ck_assert_uint_eq(some.n, 5);
    ck_assert_uint_eq(some.first, 100);
    struct store_stats stats;
    ok(store_stats(st, &stats, &err));
    ck_assert_uint_eq(stats.attempts, 300);
}
END_TEST

static uint64_t purge(int64_t before, uint64_t most)
{
    bool some = false;
    uint64_t n = 0;
    ok(store_attempt_purgeable(st, before, most, &some, &err));
    struct store_write *w = begin();
    ok(store_attempt_purge(w, before, most, &n, &err));
    commit(w);
    ck_assert_int_eq(some, n > 0);
    return n;
}

START_TEST(forgotten_by_age_and_number)
{
    put(0, 100); /* at 1000 to 1099 */
    ck_assert_uint_eq(purge(0, 0), 0);
    ck_assert_uint_eq(purge(1000, 100), 0);
    ck_assert_uint_eq(purge(1010, 0), 10);
    ck_assert_uint_eq(list(0, 0).last, 11);
    ck_assert_uint_eq(purge(1010, 80), 10);
    ck_assert_uint_eq(list(0, 0).n, 80);
    ck_assert_uint_eq(list(0, 0).last, 21);
    verify_clean();
    /* numbers are never given again, also when all are gone */
    ck_assert_uint_eq(purge(INT64_MAX, 0), 80);
    put(1, 2);
    ck_assert_uint_eq(list(0, 0).first, 101);
    verify_clean();
}
END_TEST

START_TEST(forgotten_in_bounded_steps)
{
    put(0, 2500);
    ck_assert_uint_eq(purge(0, 100), 1000);
    ck_assert_uint_eq(purge(0, 100), 1000);
    ck_assert_uint_eq(purge(0, 100), 400);
    ck_assert_uint_eq(purge(0, 100), 0);
    ck_assert_uint_eq(list(0, 0).n, 100);
}
END_TEST

START_TEST(an_aborted_write_leaves_nothing)
{
    struct store_attempt a = attempt_of(1);
    struct store_write *w = begin();
    ok(store_attempt_put(w, &a, &err));
    store_write_abort(w);
    ck_assert_uint_eq(list(0, 0).n, 0);
    put(1, 2);
    ck_assert_uint_eq(list(0, 0).first, 1);
}
END_TEST

START_TEST(a_text_without_its_end_is_refused)
{
    struct store_attempt a = attempt_of(1);
    memset(a.agent, 'x', sizeof a.agent);
    struct store_write *w = begin();
    fails(store_attempt_put(w, &a, &err), ERR_STORE);
    struct store_attempt good = attempt_of(2);
    ok(store_attempt_put(w, &good, &err)); /* the write is still good */
    commit(w);
    ck_assert_uint_eq(list(0, 0).n, 1);
    verify_clean();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("attempt");
    TCase *c = tcase_create("attempt");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, every_field_comes_back);
    tcase_add_test(c, newest_first);
    tcase_add_test(c, forgotten_by_age_and_number);
    tcase_add_test(c, forgotten_in_bounded_steps);
    tcase_add_test(c, an_aborted_write_leaves_nothing);
    tcase_add_test(c, a_text_without_its_end_is_refused);
    suite_add_tcase(s, c);
    return check_main(s);
}
