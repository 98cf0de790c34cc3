/* What /overview counts of attempts, and exports: what one call may read is bounded. */
#include "api_fixture.h"
#include "check_main.h"

#include "activity.h"
#include "api/api.h"
#include "store/page.h"

#define HOUR INT64_C(3600)

static void refuse(struct store_write *w, int64_t when)
{
    struct store_attempt a = {.at = when, .result = ATTEMPT_REFUSED, .reason = "challenge.missing"};
    ck_assert_msg(store_attempt_put(w, &a, &err), "%s", err.text);
}

static void refuse_many(unsigned n, int64_t when)
{
    struct store_write *w = NULL;
    ck_assert(store_write_begin(world.store, &w, &err));
    for (unsigned i = 0; i < n; i++)
        refuse(w, when);
    ck_assert_msg(store_write_commit(w, &err), "%s", err.text);
}

static struct activity_figures look(struct activity *a, int64_t now)
{
    struct activity_figures f;
    ck_assert_msg(activity_look(a, world.store, now, &f, &err), "%s", err.text);
    return f;
}

/* What was not counted is forgotten with its hour. */
START_TEST(a_gap_ends_with_its_hour)
{
    struct activity *a = activity_new(10);
    ck_assert_ptr_nonnull(a);
    refuse_many(4, NOW - 5 * HOUR);
    refuse_many(8, NOW - 2 * HOUR);
    struct activity_figures f = look(a, NOW);
    ck_assert_uint_eq(f.refused, 10);
    ck_assert(!f.complete);
    refuse_many(3, NOW);
    ck_assert(!look(a, NOW).complete);
    ck_assert(!look(a, NOW + 18 * HOUR).complete);
    f = look(a, NOW + 19 * HOUR);
    ck_assert(f.complete);
    ck_assert_uint_eq(f.refused, 11);
    refuse_many(11, NOW + 19 * HOUR);
    f = look(a, NOW + 19 * HOUR);
    ck_assert(!f.complete);
    ck_assert_uint_eq(f.refused, 21);
    ck_assert(look(a, NOW + 43 * HOUR).complete);
    activity_free(a);
}
END_TEST

START_TEST(few_are_complete)
{
    struct activity *a = activity_new(0);
    ck_assert_ptr_nonnull(a);
    ck_assert(look(a, NOW).complete);
    refuse_many(12, NOW - HOUR);
    struct activity_figures f = look(a, NOW);
    ck_assert(f.complete);
    ck_assert_uint_eq(f.refused, 12);
    ck_assert_str_eq(f.reason[0].code, "challenge.missing");
    activity_free(a);
}
END_TEST

/* A filter that finds nothing does not read the whole log in one call. */
START_TEST(an_export_says_where_it_goes_on)
{
    struct store_audit entry = {.at = NOW, .event = "test.entry", .actor = "test"};
    struct store_write *w = NULL;
    char path[600];
    unsigned calls = 0, lines = 0;
    ck_assert(store_write_begin(world.store, &w, &err));
    for (unsigned i = 0; i < 12 * STORE_PAGE_SCAN; i++) {
        snprintf(entry.actor, sizeof entry.actor, i == 7 ? "rare" : "test");
        ck_assert_msg(store_audit_put(w, &entry, &err), "%s", err.text);
    }
    ck_assert_msg(store_write_commit(w, &err), "%s", err.text);
    snprintf(path, sizeof path, "/api/v1/audit?actor=rare");
    while (*path) {
        call_with(HTTP_GET, path, NULL, API_ACCEPT, "application/x-ndjson");
        is(200);
        ck_assert_uint_lt(++calls, 10);
        for (size_t i = 0; i < reply.body.n; i++)
            lines += reply.body.p[i] == '\n';
        const char *link = header("Link");
        path[0] = '\0';
        ck_assert(!*link || sscanf(link, "<%599[^>]>", path) == 1);
    }
    ck_assert_uint_eq(calls, 2);
    ck_assert_uint_eq(lines, 1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("api/events");
    TCase *c = tcase_create("events");
    tcase_add_checked_fixture(c, api_setup, api_teardown);
    tcase_set_timeout(c, 100);
    tcase_add_test(c, few_are_complete);
    tcase_add_test(c, a_gap_ends_with_its_hour);
    tcase_add_test(c, an_export_says_where_it_goes_on);
    suite_add_tcase(s, c);
    return check_main(s);
}
