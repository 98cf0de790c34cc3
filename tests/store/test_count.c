/* Counts that are kept along with every change. */
#include "check_main.h"
#include "fixture.h"

#define DAY INT64_C(86400)
#define TODAY (INT64_C(20000) * DAY) /* its first second */

static uint64_t put_until(unsigned n, int64_t not_after)
{
    struct store_cert c = cert_of(n);
    struct store_write *w = begin();
    c.not_after = not_after;
    ok(store_cert_put(w, &c, &err));
    commit(w);
    uint64_t id = c.id;
    store_cert_clear(&c);
    return id;
}

static void expect(int64_t now, const uint64_t state[4], uint64_t expired, uint64_t week,
                   uint64_t month)
{
    struct store_cert_counts n;
    ok(store_cert_counts(st, now, &n, &err));
    for (int i = 0; i < 4; i++)
        ck_assert_msg(n.state[i] == state[i], "state %d: %llu", i, (unsigned long long)n.state[i]);
    ck_assert_uint_eq(n.expired, expired);
    ck_assert_uint_eq(n.within_7_days, week);
    ck_assert_uint_eq(n.within_30_days, month);
}

static uint64_t revoked_for(enum crl_reason reason)
{
    struct store_cert_counts n;
    ok(store_cert_counts(st, TODAY, &n, &err));
    return n.revocations[reason];
}

START_TEST(nothing)
{
    expect(TODAY, (uint64_t[]){0, 0, 0, 0}, 0, 0, 0);
}
END_TEST

START_TEST(days)
{
    put_until(1, TODAY - 1);           /* yesterday */
    put_until(2, TODAY);               /* today */
    put_until(3, TODAY + 7 * DAY - 1); /* the last of seven days */
    put_until(4, TODAY + 7 * DAY);
    put_until(5, TODAY + 30 * DAY - 1);
    put_until(6, TODAY + 30 * DAY);
    put_until(7, INT64_MAX);
    put_until(8, -5);
    expect(TODAY, (uint64_t[]){6, 0, 0, 0}, 2, 2, 4);
    expect(TODAY + DAY - 1, (uint64_t[]){6, 0, 0, 0}, 2, 2, 4);
    expect(TODAY + DAY, (uint64_t[]){5, 0, 0, 0}, 3, 2, 4);
    expect(INT64_C(1) << 50, (uint64_t[]){1, 0, 0, 0}, 7, 1, 1);
    verify_clean();
}
END_TEST

START_TEST(states)
{
    uint64_t a = put_until(1, TODAY + DAY), b = put_until(2, TODAY + 300 * DAY),
             c = put_until(3, TODAY + 300 * DAY), d = put_until(4, TODAY - DAY);
    struct store_write *w = begin();
    ok(store_cert_renewed(w, a, b, &err));
    ok(store_cert_revoke(w, c, CRL_HOLD, 5, &err));
    ok(store_cert_revoke(w, d, CRL_KEY_COMPROMISE, 5, &err));
    commit(w);
    expect(TODAY, (uint64_t[]){1, 1, 1, 1}, 0, 0, 0);
    verify_clean();
    expect(TODAY + 2 * DAY, (uint64_t[]){1, 1, 1, 0}, 1, 0, 0); /* the renewed one has ended */
    w = begin();
    ok(store_cert_release(w, c, &err));
    ok(store_cert_revoke(w, a, CRL_SUPERSEDED, 5, &err));
    commit(w);
    expect(TODAY, (uint64_t[]){2, 2, 0, 0}, 0, 0, 0);
    verify_clean();
    ck_assert_uint_eq(revoked_for(CRL_HOLD), 1); /* ever */
    ck_assert_uint_eq(revoked_for(CRL_KEY_COMPROMISE), 1);
    ck_assert_uint_eq(revoked_for(CRL_SUPERSEDED), 1);
    ck_assert_uint_eq(revoked_for(CRL_UNSPECIFIED), 0);
}
END_TEST

START_TEST(what_is_undone_is_not_counted)
{
    struct store_cert c = cert_of(1);
    struct store_write *w = begin();
    ok(store_cert_put(w, &c, &err));
    store_write_abort(w);
    store_cert_clear(&c);
    expect(0, (uint64_t[]){0, 0, 0, 0}, 0, 0, 0);
    uint64_t id = put_until(1, TODAY);
    w = begin();
    fails(store_cert_revoke(w, id, CRL_REMOVE_FROM_CRL, 5, &err), ERR_CONFIG);
    fails(store_cert_release(w, id, &err), ERR_CONFLICT);
    commit(w);
    expect(TODAY, (uint64_t[]){1, 0, 0, 0}, 0, 1, 1);
    verify_clean();
}
END_TEST

START_TEST(serials_without_certificates)
{
    struct store_revoked r = {.serial_len = 2, .serial = {1, 2}, .reason = CRL_CESSATION};
    struct store_write *w = begin();
    ok(store_serial_revoke(w, authority_a, &r, &err));
    commit(w);
    ck_assert_uint_eq(revoked_for(CRL_CESSATION), 1);
    expect(TODAY, (uint64_t[]){0, 0, 0, 0}, 0, 0, 0);
    verify_clean();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("store/count");
    TCase *c = tcase_create("count");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, nothing);
    tcase_add_test(c, days);
    tcase_add_test(c, states);
    tcase_add_test(c, what_is_undone_is_not_counted);
    tcase_add_test(c, serials_without_certificates);
    suite_add_tcase(s, c);
    return check_main(s);
}
