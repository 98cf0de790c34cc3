/* Notices: kept until they were taken, each target's in their order, and what they hold back. */
#include "check_main.h"
#include "fixture.h"
#include "store/notice.h"

static struct store_notice one(const char *target, const char *about, uint64_t cert_id, bool held)
{
    struct store_notice n = {.cert_id = cert_id, .held = held, .created_at = 1000, .next_at = 1000};
    snprintf(n.target, sizeof n.target, "%s", target);
    snprintf(n.event, sizeof n.event, "issued");
    snprintf(n.about, sizeof n.about, "%s", about);
    ck_assert(buf_append_str(&n.body, "{\"event\":\"issued\"}"));
    return n;
}

static uint64_t put(struct store_notice n)
{
    struct store_write *w = begin();
    ck_assert_msg(store_notice_put(w, &n, &err), "%s", err.text);
    commit(w);
    uint64_t id = n.id;
    store_notice_clear(&n);
    return id;
}

static size_t list(const char *target, struct store_notice out[4])
{
    size_t n = 0;
    ck_assert_msg(store_notices(st, target, 0, out, 4, &n, &err), "%s", err.text);
    for (size_t i = 0; i < n; i++)
        ck_assert_msg(store_notice_body(st, &out[i], &err), "%s", err.text);
    return n;
}

static void forget(struct store_notice *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        store_notice_clear(&list[i]);
}

static bool holds(uint64_t cert_id)
{
    bool held;
    ck_assert(store_notice_holds(st, cert_id, &held, &err));
    return held;
}

static void tell(void *ctx, const struct store_problem *p)
{
    ck_abort_msg("%s", p->text);
}

static void expect_sound(void)
{
    uint64_t problems;
    ck_assert_msg(store_verify(st, tell, NULL, &problems, &err), "%s", err.text);
    ck_assert_uint_eq(problems, 0);
}

START_TEST(in_order)
{
    struct store_notice got[4];
    uint64_t a = put(one("mdm", "x", 1, false)), b = put(one("mdm", "y", 2, false));
    uint64_t c = put(one("md", "x", 1, false));
    ck_assert(a < b && b < c);
    reopen();
    ck_assert_uint_eq(list("mdm", got), 2);
    ck_assert_uint_eq(got[0].id, a);
    ck_assert_uint_eq(got[1].id, b);
    ck_assert_str_eq(got[0].about, "x");
    ck_assert_uint_eq(got[0].body.n, strlen("{\"event\":\"issued\"}"));
    forget(got, 2);
    size_t n = 0;
    ck_assert(store_notices(st, "mdm", a, got, 4, &n, &err));
    ck_assert_uint_eq(n, 1);
    ck_assert_uint_eq(got[0].id, b);
    ck_assert_ptr_null(got[0].body.p);
    ck_assert(store_notices(st, "mdm", b, got, 4, &n, &err));
    ck_assert_uint_eq(n, 0);
    got[0] = (struct store_notice){.id = 99, .target = "mdm"};
    ck_assert(!store_notice_body(st, &got[0], &err));
    ck_assert_int_eq(err.kind, ERR_NOT_FOUND);
    err_clear(&err);
    ck_assert_uint_eq(list("md", got), 1);
    ck_assert_uint_eq(got[0].id, c);
    forget(got, 1);
    ck_assert_uint_eq(list("m", got), 0);
    char target[64] = "";
    ck_assert(store_notice_target(st, target, target, &err));
    ck_assert_str_eq(target, "md");
    ck_assert(store_notice_target(st, target, target, &err));
    ck_assert_str_eq(target, "mdm");
    ck_assert(store_notice_target(st, target, target, &err));
    ck_assert_str_eq(target, "");
}
END_TEST

START_TEST(holding)
{
    struct store_notice got[4];
    put(one("intune", "x", 7, true));
    put(one("mdm", "x", 7, false));
    ck_assert(holds(7) && !holds(8));
    uint64_t held;
    ck_assert(store_notice_held(st, &held, &err));
    ck_assert_uint_eq(held, 1);
    expect_sound();
    ck_assert_uint_eq(list("intune", got), 1);
    struct store_write *w = begin();
    got[0].tries = 3;
    got[0].next_at = 2000;
    snprintf(got[0].failure, sizeof got[0].failure, "HTTP 503");
    ck_assert(store_notice_failed(w, &got[0], &err));
    commit(w);
    forget(got, 1);
    ck_assert(holds(7));
    ck_assert_uint_eq(list("intune", got), 1);
    ck_assert_uint_eq(got[0].tries, 3);
    ck_assert_int_eq(got[0].next_at, 2000);
    ck_assert_str_eq(got[0].failure, "HTTP 503");
    w = begin();
    ck_assert(store_notice_del(w, &got[0], &err));
    commit(w);
    ck_assert(!holds(7));
    w = begin();
    ck_assert(!store_notice_del(w, &got[0], &err));
    ck_assert_int_eq(err.kind, ERR_NOT_FOUND);
    err_clear(&err);
    ck_assert(!store_notice_failed(w, &got[0], &err));
    ck_assert_int_eq(err.kind, ERR_NOT_FOUND);
    store_write_abort(w);
    forget(got, 1);
    uint64_t left;
    ck_assert(store_notice_count(st, &left, &err));
    ck_assert_uint_eq(left, 1);
    ck_assert(store_notice_held(st, &left, &err));
    ck_assert_uint_eq(left, 0);
    expect_sound();
}
END_TEST

START_TEST(refused)
{
    struct store_write *w = begin();
    struct store_notice n = one("", "x", 1, false), m = one("mdm", "x", 0, true);
    struct store_notice big = one("mdm", "x", 1, false);
    ck_assert(!store_notice_put(w, &n, &err) && err.kind == ERR_CONFIG);
    err_clear(&err);
    ck_assert(!store_notice_put(w, &m, &err) && err.kind == ERR_CONFIG);
    err_clear(&err);
    ck_assert(buf_reserve(&big.body, NOTICE_MAX_BODY + 1));
    memset(big.body.p, ' ', NOTICE_MAX_BODY + 1);
    big.body.n = NOTICE_MAX_BODY + 1;
    ck_assert(!store_notice_put(w, &big, &err) && err.kind == ERR_CONFIG);
    store_write_abort(w);
    store_notice_clear(&n);
    store_notice_clear(&m);
    store_notice_clear(&big);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("store/notice");
    TCase *c = tcase_create("notice");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, in_order);
    tcase_add_test(c, holding);
    tcase_add_test(c, refused);
    suite_add_tcase(s, c);
    return check_main(s);
}
