#include "scepd/notify.h"

#include <string.h>

#include "check_main.h"

/* The rest of notify.h is tested from outside: tests/scepd/test_service_manager.py. */

START_TEST(numbers_for_people)
{
    static const struct {
        uint64_t n;
        const char *text;
    } cases[] = {{0, "0"},
                 {7, "7"},
                 {999, "999"},
                 {1000, "1,000"},
                 {1284, "1,284"},
                 {100000, "100,000"},
                 {1000000, "1,000,000"},
                 {UINT64_MAX, "18,446,744,073,709,551,615"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[NOTIFY_NUMBER];
        ck_assert_str_eq(notify_number(cases[i].n, text), cases[i].text);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("scepd/notify");
    TCase *c = tcase_create("notify");
    tcase_add_test(c, numbers_for_people);
    suite_add_tcase(s, c);
    return check_main(s);
}
