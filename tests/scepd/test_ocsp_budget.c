/* Who may have answers signed when more are asked for than may be. */
#include <stdio.h>

#include "check_main.h"
#include "scepd/ocsp_budget.h"

static struct ocsp_budget b;
static int64_t now_us;

static void setup(void)
{
    ocsp_budget_init(&b);
    b.secret[0] = 1; /* so that the addresses below have places of their own */
    b.secret[1] = 2;
    now_us = 5000000;
}

static bool take(const char *peer)
{
    return ocsp_budget_take(&b, peer, 100, now_us);
}

static int take_all(const char *peer, int most)
{
    int n = 0;
    while (n < most && take(peer))
        n++;
    return n;
}

/* Each of `n` addresses asks a thousand times a second, for `seconds`. */
static void flood(const char *const *peer, int n, int seconds, int *got)
{
    for (int ms = 0; ms < seconds * 1000; ms++) {
        now_us += 1000;
        for (int i = 0; i < n; i++)
            got[i] += take(peer[i]);
    }
}

START_TEST(alone)
{
    static const char *const peer[] = {"192.0.2.1"};
    int got = 0;
    flood(peer, 1, 10, &got);
    ck_assert_int_ge(got, 1000); /* all that ten seconds give */
    ck_assert_int_le(got, 1100); /* and what was saved up */
}
END_TEST

START_TEST(without_bounds)
{
    for (int i = 0; i < 100000; i++)
        ck_assert(ocsp_budget_take(&b, "192.0.2.1", 0, now_us));
}
END_TEST

/* A budget of one a second is one. */
START_TEST(one_a_second)
{
    int got = 0;
    for (int ms = 0; ms < 60000; ms++)
        got += ocsp_budget_take(&b, "192.0.2.1", 1, now_us += 1000);
    ck_assert_int_ge(got, 60);
    ck_assert_int_le(got, 62);
}
END_TEST

START_TEST(one_crowd_keeps_nobody_out)
{
    static const char *const peer[] = {"192.0.2.1"};
    int got = 0;
    for (int i = 0; i < 50; i++) {
        flood(peer, 1, 1, &got);
        ck_assert_int_eq(take_all("192.0.2.2", 10), 10);
        ck_assert_int_eq(take_all("2001:db8:1:2::3", 10), 10);
    }
    ck_assert_int_ge(got, 50 * 79); /* the others' part is all it does not get */
}
END_TEST

START_TEST(equal_shares)
{
    static const char *const peer[] = {"192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"};
    int got[4] = {0};
    flood(peer, 1, 5, got); /* it was there first */
    flood(peer, 4, 5, got);
    memset(got, 0, sizeof got);
    flood(peer, 4, 20, got);
    for (int i = 0; i < 4; i++) {
        ck_assert_int_ge(got[i], 450);
        ck_assert_int_le(got[i], 550);
    }
}
END_TEST

/* A host picks the last 64 bits itself. */
START_TEST(many_addresses_of_one_host)
{
    char peer[64];
    for (int i = 0; i < 20000; i++) {
        snprintf(peer, sizeof peer, "2001:db8:1:2::%x", i);
        now_us += 1000;
        take(peer);
    }
    ck_assert_int_eq(take_all("2001:db8:1:3::1", 20), 20);
    ck_assert_int_eq(take_all("2001:db8:1:2:ffff::1", 20), 0);
}
END_TEST

/* Who has flooded is as good as others when he has been silent for a while. */
START_TEST(it_is_forgotten)
{
    int burst = take_all("192.0.2.1", 1000);
    ck_assert_int_ge(burst, 50);
    ck_assert_int_lt(burst, 100);
    now_us += 60000000;
    ck_assert_int_ge(take_all("192.0.2.1", 1000), burst - 2);
    now_us += INT64_C(1000000) * 86400 * 365 * 100;
    ck_assert_int_eq(take_all("192.0.2.1", 1000), burst);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("scepd/ocsp_budget");
    TCase *c = tcase_create("budget");
    tcase_add_checked_fixture(c, setup, NULL);
    tcase_add_test(c, alone);
    tcase_add_test(c, without_bounds);
    tcase_add_test(c, one_a_second);
    tcase_add_test(c, one_crowd_keeps_nobody_out);
    tcase_add_test(c, equal_shares);
    tcase_add_test(c, many_addresses_of_one_host);
    tcase_add_test(c, it_is_forgotten);
    suite_add_tcase(s, c);
    return check_main(s);
}
