/* The service pool with made-up operations: no cryptography, no store.  A message of three octets
 * says what happens to its job: what, which one, how often. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "check_main.h"
#include "scepd/service_pool.h"

#define JOBS 250

enum { ISSUE = 'i', REJECT = 'r', CONFLICT = 'c', FAIL = 'f', ASK = 'a' };

/* Opaque to the pool. */
struct enroll_change {
    uint8_t what, id, times;
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t moved;
    bool hold_prepare, hold_commit, commit_breaks;
    void (*on_done)(uint8_t id); /* NULL: nothing */
    unsigned held_from;          /* of those with smaller numbers none is held in prepare */
    pthread_t prepares_on, commits_on;
    struct service_job *parked; /* its webhook is being asked */
    unsigned asked;
    unsigned preparing, waiting_commit; /* entered so far */
    unsigned batch[JOBS], batches;
    unsigned prepared[256], committed[256], failed[256], done[256], expired;
    enum err_kind why[256];
    unsigned displaced[256];
    unsigned done_all, changes_alive;
} w = {.lock = PTHREAD_MUTEX_INITIALIZER, .moved = PTHREAD_COND_INITIALIZER};

static void lock(void)
{
    pthread_mutex_lock(&w.lock);
}

static void unlock(void)
{
    pthread_cond_broadcast(&w.moved);
    pthread_mutex_unlock(&w.lock);
}

static void wait_moved(void)
{
    pthread_cond_wait(&w.moved, &w.lock);
}

static void fake_prepare(const struct scep_call *call, struct scep_answer *out)
{
    ck_assert_ptr_nonnull(call->signer);
    ck_assert_int_gt(call->now, 0);
    ck_assert_int_eq(strncmp(call->peer.address, "192.0.2.", 8), 0);
    const uint8_t *m = call->message.p;
    *out = (struct scep_answer){.status = 200};
    lock();
    w.preparing++;
    unlock();
    lock();
    while (w.hold_prepare && m[1] >= w.held_from)
        wait_moved();
    w.prepared[m[1]]++;
    w.prepares_on = pthread_self();
    if (m[0] == ASK && !call->asked) {
        out->verdict = ENROLL_ASK;
    } else if (m[0] != REJECT) {
        out->change = malloc(sizeof *out->change);
        *out->change = (struct enroll_change){m[0], m[1], m[2]};
        w.changes_alive++;
    }
    unlock();
}

static void settle(const struct enroll_change *c, struct err *result)
{
    if (c->what == FAIL)
        err_set(result, ERR_STORE, "broken");
    else if (c->what == CONFLICT && w.prepared[c->id] <= c->times)
        err_set(result, ERR_CONFLICT, "changed meanwhile");
    else
        w.committed[c->id]++;
}

static bool fake_commit(struct store *s, struct enroll_change *const *changes, struct err *results,
                        size_t n, struct err *err)
{
    lock();
    w.commits_on = pthread_self();
    w.waiting_commit++;
    unlock();
    lock();
    w.batch[w.batches++] = (unsigned)n;
    while (w.hold_commit)
        wait_moved();
    bool breaks = w.commit_breaks;
    for (size_t i = 0; i < n && !breaks; i++)
        settle(changes[i], &results[i]);
    unlock();
    return breaks ? err_set(err, ERR_FULL, "no room") : true;
}

static void fake_failed(const struct scep_call *call, const struct err *why,
                        struct scep_answer *out)
{
    lock();
    w.failed[call->message.p[1]]++;
    w.why[call->message.p[1]] = why->kind;
    out->status = 503;
    unlock();
}

static void fake_clear(struct scep_answer *a)
{
    lock();
    w.changes_alive -= a->change != NULL;
    free(a->change);
    *a = (struct scep_answer){0};
    unlock();
}

static const struct service_ops ops = {fake_prepare, fake_failed, fake_commit, fake_clear};

static void on_done(void *ctx, struct service_job *job)
{
    uint8_t id = job->message.p[1];
    lock();
    ck_assert_ptr_eq(job->tag, &w);
    w.displaced[id] += job->displaced;
    if (job->expired)
        w.expired++;
    else if (job->answer.change && job->answer.status == 200)
        ck_assert_uint_ge(w.committed[id], 1); /* durable before visible */
    w.done[id]++;
    w.done_all++;
    unlock();
    service_job_free(job, &ops);
    if (w.on_done)
        w.on_done(id);
}

static bool fake_ask(void *unused, struct service_job *job)
{
    lock();
    w.parked = job;
    w.asked++;
    unlock();
    return true;
}

static struct service_pool *pool;

static void start(unsigned workers, size_t queue, int deadline_ms)
{
    struct signer *lanes[8];
    struct err err = {0};
    for (unsigned i = 0; i < workers; i++)
        lanes[i] = (struct signer *)&w; /* never looked into */
    struct service_options o = {.ops = &ops,
                                .lanes = lanes,
                                .workers = workers,
                                .queue = queue,
                                .deadline_ms = deadline_ms,
                                .done = on_done,
                                .ask = fake_ask};
    ck_assert_msg(service_pool_new(&o, &pool, &err), "%s", err.text);
}

static bool submit_from(const char *peer, uint8_t what, uint8_t id, uint8_t times)
{
    struct service_job *job = service_job_new(NULL, NULL, peer, NULL, &w);
    uint8_t message[3] = {what, id, times};
    ck_assert(buf_append(&job->message, message, sizeof message));
    bool taken = service_pool_submit(pool, job);
    if (!taken)
        service_job_free(job, &ops);
    return taken;
}

static bool submit(uint8_t what, uint8_t id, uint8_t times)
{
    return submit_from("192.0.2.1", what, id, times);
}

static void stop(void)
{
    service_pool_free(pool);
    ck_assert_uint_eq(w.changes_alive, 0);
}

static void hold(bool prepare, bool commit)
{
    lock();
    w.hold_prepare = prepare;
    w.hold_commit = commit;
    unlock();
}

static void wait_for(const unsigned *counter, unsigned n)
{
    lock();
    while (*counter < n)
        wait_moved();
    unlock();
}

/* The committer has the first job and is held; the second, with a larger number, is held in
 * prepare: alone the first would be committed by its worker. */
static void hold_committer(uint8_t what, uint8_t first, uint8_t times, uint8_t second)
{
    hold(true, true);
    ck_assert(submit(what, first, times));
    ck_assert(submit(ISSUE, second, 0));
    lock();
    w.held_from = second;
    unlock();
    wait_for(&w.waiting_commit, 1);
}

START_TEST(every_job_is_done_once)
{
    start(3, JOBS, 0);
    for (unsigned i = 0; i < JOBS; i++)
        ck_assert(submit(i % 3 ? ISSUE : REJECT, (uint8_t)i, 0));
    stop();
    for (unsigned i = 0; i < JOBS; i++) {
        ck_assert_uint_eq(w.done[i], 1);
        ck_assert_uint_eq(w.prepared[i], 1);
        ck_assert_uint_eq(w.committed[i], i % 3 ? 1 : 0);
    }
}
END_TEST

START_TEST(a_full_queue_refuses_at_once)
{
    hold(true, false);
    start(1, 3, 0);
    ck_assert(submit(ISSUE, 0, 0));
    wait_for(&w.preparing, 1); /* the worker has it: three may wait behind */
    for (uint8_t i = 1; i <= 3; i++)
        ck_assert(submit(ISSUE, i, 0));
    ck_assert(!submit(ISSUE, 4, 0));
    hold(false, false);
    wait_for(&w.done_all, 4);
    ck_assert(submit(ISSUE, 5, 0)); /* room again */
    stop();
    ck_assert_uint_eq(w.done_all, 5);
    ck_assert_uint_eq(w.prepared[4], 0);
}
END_TEST

START_TEST(an_address_that_floods_makes_room_for_others)
{
    hold(true, false);
    start(1, 3, 0);
    ck_assert(submit(ISSUE, 0, 0));
    wait_for(&w.preparing, 1);
    for (uint8_t i = 1; i <= 3; i++)
        ck_assert(submit(ISSUE, i, 0));
    /* Two addresses share a lane once in a thousand times. */
    static const char *const others[] = {"192.0.2.2", "192.0.2.3", "192.0.2.4"};
    size_t i = 0;
    while (i < 3 && !submit_from(others[i], ISSUE, 4, 0))
        i++;
    ck_assert_uint_lt(i, 3);
    ck_assert_uint_eq(w.done[3], 1); /* given back before submit returned */
    ck_assert_uint_eq(w.displaced[3], 1);
    ck_assert(!submit(ISSUE, 5, 0));
    hold(false, false);
    stop();
    ck_assert_uint_eq(w.prepared[3], 0);
    for (uint8_t k = 0; k <= 4; k++)
        ck_assert_uint_eq(w.done[k], 1);
    ck_assert_uint_eq(w.prepared[4], 1);
    ck_assert_uint_eq(w.done_all, 5);
}
END_TEST

START_TEST(old_jobs_are_not_begun)
{
    hold(true, false);
    start(1, 10, 1000); /* long enough for a worker to begin on a busy machine */
    ck_assert(submit(ISSUE, 0, 0));
    wait_for(&w.preparing, 1);
    ck_assert(submit(ISSUE, 1, 0));
    usleep(1100000);
    hold(false, false);
    stop();
    ck_assert_uint_eq(w.expired, 1);
    ck_assert_uint_eq(w.prepared[1], 0);
    ck_assert_uint_eq(w.done[1], 1);
    ck_assert_uint_eq(w.committed[0], 1); /* begun in time: finished, however long it took */
}
END_TEST

/* Grows while a thread is at the same thing, and says nothing of jobs that wait. */
START_TEST(how_long_somebody_is_at_something)
{
    start(2, 10, 0);
    ck_assert_int_eq(service_pool_busy_us(pool), 0);
    hold(true, false);
    ck_assert(submit(ISSUE, 0, 0));
    wait_for(&w.preparing, 1);
    usleep(20000);
    ck_assert_int_ge(service_pool_busy_us(pool), 20000);
    hold(false, true);
    wait_for(&w.waiting_commit, 1);
    usleep(20000);
    ck_assert_int_ge(service_pool_busy_us(pool), 20000); /* the committer */
    hold(false, false);
    wait_for(&w.done_all, 1);
    while (service_pool_busy_us(pool) > 0)
        usleep(1000);
    stop();
}
END_TEST

START_TEST(a_conflict_is_decided_anew)
{
    start(2, 10, 0);
    ck_assert(submit(CONFLICT, 1, 2));
    stop();
    ck_assert_uint_eq(w.prepared[1], 3);
    ck_assert_uint_eq(w.committed[1], 1);
    ck_assert_uint_eq(w.failed[1], 0);
    ck_assert_uint_eq(w.done[1], 1);
}
END_TEST

START_TEST(but_not_for_ever)
{
    start(2, 10, 0);
    ck_assert(submit(CONFLICT, 1, 200));
    stop();
    ck_assert_uint_eq(w.prepared[1], SERVICE_ATTEMPTS);
    ck_assert_uint_eq(w.committed[1], 0);
    ck_assert_uint_eq(w.failed[1], 1);
    ck_assert_int_eq(w.why[1], ERR_CONFLICT);
    ck_assert_uint_eq(w.done[1], 1);
}
END_TEST

START_TEST(a_conflict_returns_even_to_a_full_queue)
{
    start(1, 2, 0);
    hold_committer(CONFLICT, 1, 1, 2);
    wait_for(&w.preparing, 2);
    ck_assert(submit(ISSUE, 3, 0));
    ck_assert(submit(ISSUE, 4, 0));
    ck_assert(!submit(ISSUE, 5, 0));
    hold(false, false);
    stop();
    ck_assert_uint_eq(w.prepared[1], 2);
    ck_assert_uint_eq(w.done_all, 4);
}
END_TEST

START_TEST(what_waits_is_committed_together)
{
    start(2, JOBS, 0);
    hold_committer(ISSUE, 0, 0, 1);
    hold(false, true);
    for (unsigned i = 2; i <= SERVICE_BATCH + 6; i++)
        ck_assert(submit(ISSUE, (uint8_t)i, 0));
    wait_for(&w.preparing, SERVICE_BATCH + 7);
    usleep(50000); /* the last ones are on their way into the queue */
    ck_assert_uint_eq(w.done_all, 0);
    hold(false, false);
    stop();
    ck_assert_uint_eq(w.batch[0], 1);
    ck_assert_uint_eq(w.batch[1], SERVICE_BATCH);
    ck_assert_uint_eq(w.batches, 3);
    ck_assert_uint_eq(w.done_all, SERVICE_BATCH + 7);
}
END_TEST

static pthread_t worker_of_lone_job(void)
{
    unsigned n = w.batches;
    ck_assert(submit(ISSUE, 0, 0));
    wait_for(&w.done_all, n + 1);
    while (service_pool_busy_us(pool) > 0) /* only then the pool counts it no more */
        usleep(1000);
    return w.commits_on;
}

/* Nobody to share a commit with: no hand-over either.  With one worker there is one thread that
 * does it. */
START_TEST(a_lone_job_is_committed_by_its_worker)
{
    start(1, JOBS, 0);
    pthread_t worker = worker_of_lone_job();
    ck_assert(pthread_equal(worker, worker_of_lone_job()));
    w.waiting_commit = 0;
    hold_committer(ISSUE, 1, 0, 2);
    ck_assert(!pthread_equal(worker, w.commits_on));
    hold(false, false);
    stop();
    ck_assert_uint_eq(w.done_all, 4);
}
END_TEST

static void comes_again(uint8_t id)
{
    if (id > 1)
        return;
    ck_assert(submit(ISSUE, 2, 0));
    wait_for(&w.committed[2], 1);
}

/* A client that asks again as soon as it has its answer, before the pool's thread has gone on. */
START_TEST(what_is_done_is_no_company)
{
    w.on_done = comes_again;
    start(2, JOBS, 0);
    ck_assert(submit(ISSUE, 1, 0));
    wait_for(&w.done[2], 1);
    ck_assert(pthread_equal(w.prepares_on, w.commits_on));
    stop();
    ck_assert_uint_eq(w.done_all, 2);
}
END_TEST

/* Whoever waits for a webhook is no company: nobody waits for such a job to commit with it. */
START_TEST(nor_does_one_that_is_parked_make_company)
{
    start(1, JOBS, 0);
    ck_assert(submit(ASK, 1, 0));
    wait_for(&w.asked, 1);
    while (service_pool_busy_us(pool) > 0)
        usleep(1000);
    pthread_t worker = worker_of_lone_job();
    ck_assert(pthread_equal(worker, w.prepares_on));
    service_pool_return(w.parked);
    wait_for(&w.done_all, 2);
    ck_assert(pthread_equal(worker, w.commits_on));
    while (service_pool_busy_us(pool) > 0)
        usleep(1000);
    w.waiting_commit = 0;
    hold_committer(ISSUE, 2, 0, 3); /* and it counts again */
    ck_assert(!pthread_equal(worker, w.commits_on));
    hold(false, false);
    stop();
    ck_assert_uint_eq(w.prepared[1], 2);
    ck_assert_uint_eq(w.done_all, 4);
}
END_TEST

START_TEST(one_item_does_not_poison_the_others)
{
    start(1, JOBS, 0);
    hold_committer(ISSUE, 0, 0, 1);
    hold(false, true);
    for (uint8_t i = 2; i <= 10; i++)
        ck_assert(submit(i == 5 ? FAIL : i == 6 ? CONFLICT : ISSUE, i, 1));
    wait_for(&w.preparing, 11);
    hold(false, false);
    stop();
    for (uint8_t i = 1; i <= 10; i++) {
        ck_assert_uint_eq(w.committed[i], i == 5 ? 0 : 1);
        ck_assert_uint_eq(w.done[i], 1);
    }
    ck_assert_uint_eq(w.failed[5], 1);
    ck_assert_int_eq(w.why[5], ERR_STORE);
}
END_TEST

START_TEST(a_failed_commit_fails_all_of_it)
{
    w.commit_breaks = true;
    start(2, JOBS, 0);
    for (uint8_t i = 0; i < 20; i++)
        ck_assert(submit(i % 2 ? ISSUE : REJECT, i, 0));
    stop();
    for (uint8_t i = 0; i < 20; i++) {
        ck_assert_uint_eq(w.committed[i], 0);
        ck_assert_uint_eq(w.failed[i], i % 2 ? 1 : 0);
        ck_assert_int_eq(w.why[i], i % 2 ? ERR_FULL : ERR_NONE);
        ck_assert_uint_eq(w.done[i], 1);
    }
}
END_TEST

static void *submit_many(void *ctx)
{
    for (unsigned i = 0; i < 50; i++)
        while (!submit(i % 5 ? ISSUE : CONFLICT, (uint8_t)(*(uint8_t *)ctx * 50 + i), 2))
            usleep(100);
    return NULL;
}

START_TEST(several_submit_and_free_drains)
{
    pthread_t thread[5];
    uint8_t number[5];
    start(4, 8, 0);
    for (uint8_t i = 0; i < 5; i++) {
        number[i] = i;
        ck_assert_int_eq(pthread_create(&thread[i], NULL, submit_many, &number[i]), 0);
    }
    for (unsigned i = 0; i < 5; i++)
        pthread_join(thread[i], NULL);
    stop(); /* with jobs in all places, some on their way back */
    ck_assert_uint_eq(w.done_all, 250);
    for (unsigned i = 0; i < 250; i++) {
        ck_assert_uint_eq(w.done[i], 1);
        ck_assert_uint_eq(w.committed[i], 1);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("scepd/pool");
    TCase *c = tcase_create("pool");
    tcase_set_timeout(c, 60);
    tcase_add_test(c, every_job_is_done_once);
    tcase_add_test(c, a_full_queue_refuses_at_once);
    tcase_add_test(c, an_address_that_floods_makes_room_for_others);
    tcase_add_test(c, old_jobs_are_not_begun);
    tcase_add_test(c, how_long_somebody_is_at_something);
    tcase_add_test(c, a_conflict_is_decided_anew);
    tcase_add_test(c, but_not_for_ever);
    tcase_add_test(c, a_conflict_returns_even_to_a_full_queue);
    tcase_add_test(c, what_waits_is_committed_together);
    tcase_add_test(c, a_lone_job_is_committed_by_its_worker);
    tcase_add_test(c, what_is_done_is_no_company);
    tcase_add_test(c, nor_does_one_that_is_parked_make_company);
    tcase_add_test(c, one_item_does_not_poison_the_others);
    tcase_add_test(c, a_failed_commit_fails_all_of_it);
    tcase_add_test(c, several_submit_and_free_drains);
    suite_add_tcase(s, c);
    return check_main(s);
}
