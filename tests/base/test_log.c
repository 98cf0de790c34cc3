#include <stdio.h>

#include "base/log.h"
#include "base/reason.h"
#include "check_main.h"

static char seen[8192];
static unsigned lines;

static void keep(void *ctx, enum log_level level, const char *line, size_t n)
{
    memcpy(seen, line, n);
    seen[n] = '\0';
    lines++;
}

static const struct log sink = {LOG_LEVEL_INFO, keep, NULL};

START_TEST(fields)
{
    struct log_line l;
    log_begin(&l, &sink, LOG_LEVEL_NOTICE, "scep.request");
    log_str(&l, "endpoint", "/scep");
    log_str(&l, "empty", "");
    log_int(&l, "status", 200);
    log_end(&l, "hello %s", "world");
    ck_assert_str_eq(seen, "level=notice event=scep.request endpoint=/scep status=200 msg=\"hello world\"");
}
END_TEST

START_TEST(no_value_begins_a_field_or_a_line)
{
    struct log_line l;
    log_begin(&l, &sink, LOG_LEVEL_NOTICE, "e");
    log_str(&l, "subject", "CN=x\" result=issued\nlevel=error");
    log_end(&l, "%s", "");
    ck_assert_str_eq(seen, "level=notice event=e subject=\"CN=x\\\" result=issued\\\\x0alevel=error\"");
}
END_TEST

START_TEST(level_drops)
{
    lines = 0;
    log_event(&sink, LOG_LEVEL_DEBUG, "e", "x");
    log_event(NULL, LOG_LEVEL_ERROR, "e", "x");
    ck_assert_uint_eq(lines, 0);
    log_event(&sink, LOG_LEVEL_INFO, "e", "x");
    ck_assert_uint_eq(lines, 1);
}
END_TEST

START_TEST(long_values_leave_room_for_the_message)
{
    char big[3000];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    struct log_line l;
    log_begin(&l, &sink, LOG_LEVEL_NOTICE, "e");
    for (int i = 0; i < 10; i++)
        log_str(&l, "k", big);
    log_end(&l, "the end");
    ck_assert_uint_lt(strlen(seen), sizeof l.text);
    ck_assert_ptr_nonnull(strstr(seen, "msg=\"the end\""));
}
END_TEST

START_TEST(reasons_are_complete_and_unique)
{
    for (int i = 1; i < REASON_COUNT; i++) {
        const struct reason_info *r = reason_info((enum reason)i);
        ck_assert_uint_gt(strlen(r->code), 0);
        ck_assert_uint_gt(strlen(r->text), 0);
        ck_assert_int_eq(reason_by_code(r->code), i);
    }
    ck_assert_int_eq(reason_by_code("no.such"), REASON_NONE);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("base/log");
    TCase *c = tcase_create("log");
    tcase_add_test(c, fields);
    tcase_add_test(c, no_value_begins_a_field_or_a_line);
    tcase_add_test(c, level_drops);
    tcase_add_test(c, long_values_leave_room_for_the_message);
    tcase_add_test(c, reasons_are_complete_and_unique);
    suite_add_tcase(s, c);
    return check_main(s);
}
