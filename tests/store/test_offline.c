/* What was signed elsewhere: kept, replaced by what is newer only, and in the database itself. */
#include "check_main.h"
#include "fixture.h"
#include "store/offline.h"

static struct store_offline one(enum store_offline_kind kind, uint8_t id, int64_t number,
                                int64_t at)
{
    struct store_offline o = {.kind = kind,
                              .said = 1,
                              .number = number,
                              .this_update = at,
                              .next_update = at + 1000,
                              .taken_at = at + 1};
    memset(o.id, id, sizeof o.id);
    memset(o.issuer, 7, sizeof o.issuer);
    ck_assert(buf_append_str(&o.der, "octets"));
    return o;
}

/* Takes it.  A refusal changes nothing, and keeps nothing else from being changed. */
static bool put(struct store_offline o)
{
    struct store_write *w = begin();
    struct err why = {0};
    bool taken = store_offline_put(w, &o, &why);
    commit(w);
    store_offline_clear(&o);
    err = why;
    return taken;
}

static struct store_offline get(enum store_offline_kind kind, uint8_t id)
{
    struct store_offline o = {0};
    uint8_t key[STORE_HASH];
    memset(key, id, sizeof key);
    err_clear(&err);
    store_offline_get(st, kind, key, &o, &err);
    return o;
}

START_TEST(kept)
{
    struct store_offline o = get(STORE_OFFLINE_CRL, 1);
    ck_assert_int_eq(err.kind, ERR_NOT_FOUND);
    ck_assert(put(one(STORE_OFFLINE_CRL, 1, 5, 100)));
    ck_assert(put(one(STORE_OFFLINE_OCSP, 1, -1, 200))); /* the same id, of another kind */
    reopen();
    o = get(STORE_OFFLINE_CRL, 1);
    ck_assert_int_eq(err.kind, ERR_NONE);
    ck_assert_int_eq(o.kind, STORE_OFFLINE_CRL);
    ck_assert_uint_eq(o.said, 1);
    ck_assert_int_eq(o.number, 5);
    ck_assert_int_eq(o.this_update, 100);
    ck_assert_int_eq(o.next_update, 1100);
    ck_assert_int_eq(o.taken_at, 101);
    ck_assert_int_eq(o.issuer[31], 7);
    ck_assert(view_eq(buf_view(&o.der), view_str("octets")));
    uint8_t same[STORE_HASH];
    struct store_offline about;
    memset(same, 1, sizeof same);
    ck_assert(store_offline_about(st, STORE_OFFLINE_CRL, same, &about, &err));
    ck_assert_uint_eq(about.der.n, 0);
    ck_assert_int_eq(about.number, o.number);
    ck_assert_int_eq(about.taken_at, o.taken_at);
    store_offline_clear(&o);
    o = get(STORE_OFFLINE_OCSP, 1);
    ck_assert_int_eq(o.this_update, 200);
    store_offline_clear(&o);
    o = get(STORE_OFFLINE_CRL, 2);
    ck_assert_int_eq(err.kind, ERR_NOT_FOUND);
}
END_TEST

/* RFC 5280 section 5.2.3 */
START_TEST(never_back)
{
    ck_assert(put(one(STORE_OFFLINE_CRL, 1, 5, 100)));
    ck_assert(put(one(STORE_OFFLINE_CRL, 1, 5, 100))); /* the same again */
    ck_assert(!put(one(STORE_OFFLINE_CRL, 1, 4, 200)));
    ck_assert_int_eq(err.kind, ERR_CONFLICT);
    ck_assert(!put(one(STORE_OFFLINE_CRL, 1, 6, 99)));
    ck_assert_int_eq(err.kind, ERR_CONFLICT);
    ck_assert(!put(one(STORE_OFFLINE_CRL, 1, -1, 300))); /* it had numbers */
    ck_assert(put(one(STORE_OFFLINE_CRL, 1, 6, 101)));
    struct store_offline o = get(STORE_OFFLINE_CRL, 1);
    ck_assert_int_eq(o.number, 6);
    store_offline_clear(&o);
}
END_TEST

static unsigned listed;

static void count(void *ctx, const struct store_offline *o)
{
    ck_assert_uint_eq(o->der.n, 0);
    listed++;
}

START_TEST(all_of_them)
{
    for (uint8_t id = 0; id < 10; id++)
        ck_assert(put(one(id & 1 ? STORE_OFFLINE_CRL : STORE_OFFLINE_OCSP, id, -1, 100)));
    listed = 0;
    ck_assert_msg(store_offline_list(st, count, NULL, &err), "%s", err.text);
    ck_assert_uint_eq(listed, 10);
    verify_clean();
}
END_TEST

static struct store_offline of_size(size_t n)
{
    struct store_offline o = one(STORE_OFFLINE_CRL, 1, 1, 100);
    ck_assert(buf_reserve(&o.der, n));
    memset(o.der.p, 1, n);
    o.der.n = n;
    return o;
}

START_TEST(sizes)
{
    ck_assert(!put(of_size(0)));
    ck_assert_int_eq(err.kind, ERR_CONFIG);
    ck_assert(!put(of_size(STORE_OFFLINE_MAX + 1)));
    ck_assert_int_eq(err.kind, ERR_CONFIG);
    ck_assert_msg(put(of_size(STORE_OFFLINE_MAX)), "%s", err.text);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("store/offline");
    TCase *tc = tcase_create("offline");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, kept);
    tcase_add_test(tc, never_back);
    tcase_add_test(tc, all_of_them);
    tcase_add_test(tc, sizes);
    suite_add_tcase(s, tc);
    return check_main(s);
}
