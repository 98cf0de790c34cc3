/* The queue in front of the workers: turns, places, and who leaves when all are taken. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "check_main.h"
#include "scepd/fair_queue.h"

static struct fair_queue q;
static struct fair_job job[64];
static char peers[64][64];

static void start(size_t bound)
{
    fair_queue_init(&q, bound);
    q.secret[0] = 1; /* so that the addresses below have lanes of their own */
    q.secret[1] = 2;
    memset(job, 0, sizeof job);
}

static void teardown(void)
{
    fair_queue_clear(&q);
}

static struct fair_job *from(size_t i, const char *peer)
{
    snprintf(peers[i], sizeof peers[i], "%s", peer);
    job[i].peer = peers[i];
    return &job[i];
}

/* The number of the job that leaves; -1: none, -2: the new one found no place. */
static int push(size_t i, const char *peer)
{
    struct fair_job *displaced = &job[63];
    bool taken = fair_queue_push(&q, from(i, peer), &displaced);
    if (!taken)
        ck_assert_ptr_null(displaced);
    return !taken ? -2 : displaced ? (int)(displaced - job) : -1;
}

static int take(void)
{
    struct fair_job *j = fair_queue_take(&q);
    return j ? (int)(j - job) : -1;
}

START_TEST(one_address_is_first_in_first_out)
{
    start(10);
    for (size_t i = 0; i < 10; i++)
        ck_assert_int_eq(push(i, "192.0.2.1"), -1);
    ck_assert_int_eq(push(10, "192.0.2.1"), -2); /* its own last job is as good as this one */
    ck_assert_uint_eq(fair_queue_waiting(&q), 10);
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(take(), i);
    ck_assert_uint_eq(fair_queue_waiting(&q), 0);
    ck_assert_int_eq(push(11, "192.0.2.1"), -1);
    ck_assert_int_eq(take(), 11);
    teardown();
}
END_TEST

START_TEST(addresses_take_turns)
{
    start(16);
    for (size_t i = 0; i < 6; i++)
        push(i, "192.0.2.1");
    push(6, "192.0.2.2");
    push(7, "2001:db8::1");
    push(8, "2001:db8::2"); /* the same party */
    static const int order[] = {0, 6, 7, 1, 8, 2, 3, 4, 5};
    for (size_t i = 0; i < sizeof order / sizeof *order; i++)
        ck_assert_int_eq(take(), order[i]);
    teardown();
}
END_TEST

START_TEST(who_has_most_makes_room)
{
    start(6);
    for (size_t i = 0; i < 5; i++)
        push(i, "192.0.2.1");
    push(5, "192.0.2.2");
    ck_assert_int_eq(push(6, "192.0.2.3"), 4); /* the last of the first address */
    ck_assert_int_eq(push(7, "192.0.2.2"), 3);
    ck_assert_int_eq(push(8, "192.0.2.1"), -2); /* not at others' cost */
    ck_assert_int_eq(push(9, "192.0.2.2"), -2); /* nobody has more than one more */
    ck_assert_uint_eq(fair_queue_waiting(&q), 6);
    static const int order[] = {0, 5, 6, 1, 7, 2};
    for (size_t i = 0; i < sizeof order / sizeof *order; i++)
        ck_assert_int_eq(take(), order[i]);
    teardown();
}
END_TEST

START_TEST(a_lane_goes_on_after_its_last_job_left)
{
    start(3);
    push(0, "192.0.2.1");
    push(1, "192.0.2.1");
    push(2, "192.0.2.1");
    ck_assert_int_eq(push(3, "192.0.2.2"), 2);
    ck_assert_int_eq(take(), 0);
    ck_assert_int_eq(push(4, "192.0.2.1"), -1);
    static const int order[] = {3, 1, 4};
    for (size_t i = 0; i < sizeof order / sizeof *order; i++)
        ck_assert_int_eq(take(), order[i]);
    teardown();
}
END_TEST

START_TEST(what_returns_goes_before_and_stays)
{
    start(2);
    push(0, "192.0.2.1");
    push(1, "192.0.2.1");
    fair_queue_push_front(&q, from(2, "192.0.2.1"));
    fair_queue_push_front(&q, from(3, "192.0.2.1"));
    ck_assert_uint_eq(fair_queue_waiting(&q), 4);
    ck_assert_int_eq(push(4, "192.0.2.2"), -2); /* one leaving would not be enough */
    ck_assert_int_eq(take(), 3);
    ck_assert_int_eq(take(), 2);
    ck_assert_int_eq(take(), 0);
    ck_assert_int_eq(take(), 1);
    teardown();
}
END_TEST

START_TEST(one_of_many_addresses_finds_a_place)
{
    start(32);
    for (size_t i = 0; i < 32; i++)
        push(i, i % 2 ? "192.0.2.1" : "192.0.2.2");
    char peer[32];
    for (size_t i = 0; i < 10; i++) {
        snprintf(peer, sizeof peer, "198.51.100.%zu", i);
        ck_assert_int_ge(push(32 + i, peer), 0);
    }
    bool seen[64] = {false};
    for (int i = 0; i < 32; i++)
        seen[take()] = true;
    for (size_t i = 0; i < 10; i++)
        ck_assert(seen[32 + i]);
    teardown();
}
END_TEST

static void *wait_for_one(void *out)
{
    *(int *)out = take();
    return NULL;
}

START_TEST(takers_wait_and_are_woken)
{
    pthread_t thread[3];
    int got[3];
    start(4);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, wait_for_one, &got[i]), 0);
    push(0, "192.0.2.1");
    fair_queue_push_front(&q, from(1, "192.0.2.1"));
    while (fair_queue_waiting(&q) > 0)
        sched_yield();
    fair_queue_close(&q);
    int sum = 0;
    for (int i = 0; i < 3; i++) {
        pthread_join(thread[i], NULL);
        sum += got[i];
    }
    ck_assert_int_eq(sum, 0 + 1 - 1); /* the third one was told that there will be no more */
    ck_assert_int_eq(take(), -1);
    teardown();
}
END_TEST

START_TEST(what_is_in_it_is_handed_out_after_closing)
{
    start(4);
    push(0, "192.0.2.1");
    push(1, "192.0.2.2");
    fair_queue_close(&q);
    ck_assert_int_eq(take(), 0);
    ck_assert_int_eq(take(), 1);
    ck_assert_int_eq(take(), -1);
    teardown();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("scepd/fair_queue");
    TCase *c = tcase_create("queue");
    tcase_add_test(c, one_address_is_first_in_first_out);
    tcase_add_test(c, addresses_take_turns);
    tcase_add_test(c, who_has_most_makes_room);
    tcase_add_test(c, a_lane_goes_on_after_its_last_job_left);
    tcase_add_test(c, what_returns_goes_before_and_stays);
    tcase_add_test(c, one_of_many_addresses_finds_a_place);
    tcase_add_test(c, takers_wait_and_are_woken);
    tcase_add_test(c, what_is_in_it_is_handed_out_after_closing);
    suite_add_tcase(s, c);
    return check_main(s);
}
