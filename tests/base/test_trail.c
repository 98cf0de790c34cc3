#include <string.h>

#include "base/trail.h"
#include "check_main.h"

START_TEST(a_path)
{
    struct trail t = {.n = 0};
    trail_begin(&t, CHECK_MESSAGE);
    trail_begin(&t, CHECK_TRANSACTION);
    trail_pass(&t, "new");
    trail_begin(&t, CHECK_RENEWAL);
    trail_pass_over(&t, "expired %d d ago", 3);
    trail_begin(&t, CHECK_KEY);
    trail_stop(&t, "RSA-1024");
    ck_assert_uint_eq(t.n, 4);
    ck_assert_int_eq(t.step[0].state, TRAIL_PASSED);
    ck_assert_str_eq(t.step[0].text, "");
    ck_assert_int_eq(t.step[2].state, TRAIL_PASSED_OVER);
    ck_assert_str_eq(t.step[2].text, "expired 3 d ago");
    ck_assert_int_eq(t.step[3].state, TRAIL_STOPPED);
    ck_assert_str_eq(check_text(t.step[3].check), "key");
}
END_TEST

START_TEST(bounded)
{
    struct trail t = {.n = 0}, more = {.n = 0};
    char longer[1000];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    for (int i = 0; i < 3 * TRAIL_STEPS; i++) {
        trail_begin(&t, CHECK_KEY);
        trail_pass(&t, "%s", longer);
    }
    ck_assert_uint_eq(t.n, TRAIL_STEPS);
    ck_assert_uint_eq(strlen(t.step[0].text), TRAIL_TEXT - 1);
    trail_append(&more, &t);
    trail_append(&more, &t);
    ck_assert_uint_eq(more.n, TRAIL_STEPS);
}
END_TEST

START_TEST(nothing_to_write_to)
{
    struct trail none = {.n = 0};
    trail_pass(&none, "no check has begun");
    ck_assert_uint_eq(none.n, 0);
    trail_begin(NULL, CHECK_KEY);
    trail_pass(NULL, "x");
    trail_stop(NULL, "x");
    trail_append(NULL, &none);
    ck_assert_str_eq(check_text((enum check)99), "?");
    ck_assert_str_eq(check_text(CHECK_NONE), "?");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("trail");
    TCase *c = tcase_create("trail");
    tcase_add_test(c, a_path);
    tcase_add_test(c, bounded);
    tcase_add_test(c, nothing_to_write_to);
    suite_add_tcase(s, c);
    return check_main(s);
}
