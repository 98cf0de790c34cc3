#include "base/text.h"
#include "check_main.h"

START_TEST(match_stars)
{
    ck_assert(text_match("*", "", false));
    ck_assert(text_match("*", "anything", false));
    ck_assert(text_match("ipad-*", "ipad-0113", false));
    ck_assert(!text_match("ipad-*", "xipad-0113", false));
    ck_assert(text_match("*.example.org", "a.b.example.org", false));
    ck_assert(!text_match("*.example.org", "example.org", false));
    ck_assert(text_match("a*b*c", "aXbbYc", false));
    ck_assert(!text_match("a*b*c", "aXbbY", false));
    ck_assert(text_match("r?r", "rtr", false));
    ck_assert(!text_match("r?r", "rr", false));
}
END_TEST

START_TEST(match_escapes_and_case)
{
    ck_assert(text_match("a\\*b", "a*b", false));
    ck_assert(!text_match("a\\*b", "axb", false));
    ck_assert(!text_match("Sales", "sales", false));
    ck_assert(text_match("Sales", "sALES", true));
}
END_TEST

START_TEST(match_is_not_exponential)
{
    char text[4001];
    memset(text, 'a', 4000);
    text[4000] = '\0';
    ck_assert(!text_match("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", text, false));
}
END_TEST

START_TEST(printable)
{
    char out[64];
    text_printable(view_str("a\nb\x1b[31m\xc3\xa9"), out, sizeof out);
    ck_assert_str_eq(out, "a\\x0ab\\x1b[31m\xc3\xa9");
    text_printable(view_of("x\xff\xc2\x85", 4), out, sizeof out);
    ck_assert_str_eq(out, "x\\xff\\xc2\\x85");
    /* what turns the rest of a line around, or ends it for some */
    text_printable(view_str("\xe2\x80\xae\xe2\x81\xa6\xd8\x9c\xe2\x80\xa8\xe2\x80\xa6"), out, sizeof out);
    ck_assert_str_eq(out, "\\u202e\\u2066\\u061c\\u2028\xe2\x80\xa6");
    text_printable(view_str("abcdefgh"), out, 5);
    ck_assert_str_eq(out, "abcd");
    text_printable(view_str("abc\n"), out, 6);
    ck_assert_str_eq(out, "abc");
}
END_TEST

START_TEST(durations)
{
    ck_assert_int_eq(text_duration("30d"), 30 * 86400);
    ck_assert_int_eq(text_duration("90m"), 5400);
    ck_assert_int_eq(text_duration("0s"), 0);
    ck_assert_int_eq(text_duration("30"), -1);
    ck_assert_int_eq(text_duration("d"), -1);
    ck_assert_int_eq(text_duration("1d2h"), -1);
    ck_assert_int_eq(text_duration("-1d"), -1);
    ck_assert_int_eq(text_duration("99999999999999999999d"), -1);
    ck_assert_int_eq(text_duration("101y"), -1);
}
END_TEST

START_TEST(times)
{
    char out[32];
    text_time(0, out);
    ck_assert_str_eq(out, "1970-01-01T00:00:00Z");
    text_time(253402300799, out);
    ck_assert_str_eq(out, "9999-12-31T23:59:59Z");
}
END_TEST

START_TEST(secrets)
{
    ck_assert(text_secret_eq(view_str("abc"), view_str("abc")));
    ck_assert(!text_secret_eq(view_str("abc"), view_str("abd")));
    ck_assert(!text_secret_eq(view_str("abc"), view_str("ab")));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("base/text");
    TCase *c = tcase_create("text");
    tcase_add_test(c, match_stars);
    tcase_add_test(c, match_escapes_and_case);
    tcase_add_test(c, match_is_not_exponential);
    tcase_add_test(c, printable);
    tcase_add_test(c, durations);
    tcase_add_test(c, times);
    tcase_add_test(c, secrets);
    suite_add_tcase(s, c);
    return check_main(s);
}
