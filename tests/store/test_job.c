/* Jobs: items that are named when it is made, progress, and what becomes of it. */
#include "check_main.h"
#include "fixture.h"
#include "store/job.h"

static char names[1201 * STORE_JOB_ITEM];

/* `n` names of different lengths. */
static struct view items_of(unsigned n)
{
    size_t at = 0;
    for (unsigned i = 0; i < n; i++)
        at +=
            (size_t)snprintf(names + at, sizeof names - at, "item-%0*u", 1 + (int)(i % 20), i) + 1;
    return view_of(names, at);
}

static struct store_job job_of(const char *id, uint64_t total)
{
    struct store_job j = {.total = total, .created_at = 1000, .changed_at = 1000, .version = 1};
    snprintf(j.id, sizeof j.id, "%s", id);
    snprintf(j.action, sizeof j.action, "revoke");
    snprintf(j.parameters, sizeof j.parameters, "{\"reason\":\"superseded\"}");
    snprintf(j.created_by, sizeof j.created_by, "anna");
    return j;
}

static void put(const char *id, unsigned n)
{
    struct store_job j = job_of(id, n);
    struct store_write *w = begin();
    ok(store_job_put(w, &j, items_of(n), &err));
    commit(w);
}

START_TEST(items_in_their_order)
{
    char got[700][STORE_JOB_ITEM], wanted[STORE_JOB_ITEM];
    size_t n;
    struct store_job j;
    put("job_aaaaaa", 1201);
    ok(store_job_get(st, "job_aaaa", &j, &err));
    ck_assert_uint_eq(j.total, 1201);
    ck_assert_str_eq(j.parameters, "{\"reason\":\"superseded\"}");
    for (unsigned from = 0; from < 1201; from += (unsigned)n) {
        ok(store_job_items(st, "job_aaaaaa", from, got, from % 2 ? 7 : 700, &n, &err));
        ck_assert_uint_gt(n, 0);
        for (unsigned i = 0; i < n; i++) {
            snprintf(wanted, sizeof wanted, "item-%0*u", 1 + (int)((from + i) % 20), from + i);
            ck_assert_str_eq(got[i], wanted);
        }
    }
    ok(store_job_items(st, "job_aaaaaa", 1201, got, 10, &n, &err));
    ck_assert_uint_eq(n, 0);
    verify_clean();
}
END_TEST

START_TEST(what_cannot_be_a_job)
{
    struct store_write *w = begin();
    struct store_job j = job_of("job_aaaaaa", 3);
    fails(store_job_put(w, &j, items_of(2), &err), ERR_STORE);
    fails(store_job_put(w, &j, items_of(4), &err), ERR_STORE);
    j.total = 0;
    fails(store_job_put(w, &j, items_of(0), &err), ERR_STORE);
    j.total = STORE_JOB_ITEMS + 1;
    fails(store_job_put(w, &j, items_of(3), &err), ERR_STORE);
    j = job_of("job_aaaaaa", 3);
    ok(store_job_put(w, &j, items_of(3), &err)); /* nothing was poisoned */
    fails(store_job_put(w, &j, items_of(3), &err), ERR_EXISTS);
    commit(w);
    fails(store_job_get(st, "job_bbbbbb", &j, &err), ERR_NOT_FOUND);
    verify_clean();
}
END_TEST

START_TEST(progress_ends_when_it_is_stopped)
{
    struct store_job j, again;
    put("job_aaaaaa", 10);
    ok(store_job_get(st, "job_aaaaaa", &j, &err));
    struct store_write *w = begin();
    again = j;
    again.state = JOB_STOPPED;
    again.version++;
    ok(store_job_replace(w, &again, JOB_RUNNING, &err));
    commit(w);
    w = begin();
    j.done = 5;
    fails(store_job_replace(w, &j, JOB_RUNNING, &err), ERR_CONFLICT);
    store_write_abort(w);
    ok(store_job_get(st, "job_aaaaaa", &j, &err));
    ck_assert_uint_eq(j.done, 0);
    ck_assert_int_eq(j.state, JOB_STOPPED);
    ck_assert_uint_eq(j.version, 2);
    verify_clean();
}
END_TEST

static bool count(void *ctx, const struct store_job *j)
{
    ++*(unsigned *)ctx;
    return true;
}

START_TEST(forgotten_when_it_is_over)
{
    uint64_t purged;
    unsigned n = 0;
    struct store_job j;
    put("job_aaaaaa", 600);
    put("job_bbbbbb", 1);
    struct store_write *w = begin();
    ok(store_write_job_get(w, "job_aaaaaa", &j, &err));
    j.state = JOB_DONE;
    j.done = j.total;
    ok(store_job_replace(w, &j, JOB_RUNNING, &err));
    ok(store_job_purge(w, 1000, &purged, &err));
    ck_assert_uint_eq(purged, 0);
    ok(store_job_purge(w, 1001, &purged, &err));
    ck_assert_uint_eq(purged, 1);
    commit(w);
    ok(store_job_list(st, count, &n, &err));
    ck_assert_uint_eq(n, 1); /* the one that runs stays */
    verify_clean();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("store/job");
    TCase *c = tcase_create("job");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, items_in_their_order);
    tcase_add_test(c, what_cannot_be_a_job);
    tcase_add_test(c, progress_ends_when_it_is_stopped);
    tcase_add_test(c, forgotten_when_it_is_over);
    suite_add_tcase(s, c);
    return check_main(s);
}
