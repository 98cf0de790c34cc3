/* How many challenges of a pool are open: exactly, at once, whatever became of them. */
#include "check_main.h"
#include "fixture.h"
#include "records.h"

static struct store_challenge in_pool(const char *pool, unsigned n, int64_t expires)
{
    struct store_challenge c = {.created_at = 100, .expires_at = expires, .uses = 1};
    snprintf(c.id, sizeof c.id, "chl_%06u", n);
    hash_of(n, 'c', c.hash);
    ck_assert_uint_lt(strlen(pool), sizeof c.pool);
    strcpy(c.pool, pool);
    return c;
}

static struct store_challenge put(const char *pool, unsigned n, int64_t expires)
{
    struct store_challenge c = in_pool(pool, n, expires);
    struct store_write *w = begin();
    ok(store_challenge_put(w, &c, &err));
    commit(w);
    return c;
}

/* Together with one that is made, as always. */
static uint64_t open_at(const char *pool, int64_t now)
{
    static unsigned made = 100000;
    uint64_t n;
    struct store_challenge c = in_pool("", ++made, 0);
    c.created_at = now;
    struct store_write *w = begin();
    ok(store_challenge_pool_count(w, pool, now, &n, &err));
    ok(store_challenge_put(w, &c, &err));
    commit(w);
    return n;
}

static void burn(const struct store_challenge *c, int64_t at)
{
    const struct store_use use = {.at = at, .transaction = "T", .subject = "CN=x", .peer = "p"};
    struct store_write *w = begin();
    ok(store_challenge_burn(w, c->hash, &use, &err));
    commit(w);
}

static void take_back(const struct store_challenge *c, int64_t at)
{
    struct store_write *w = begin();
    ok(store_challenge_revoke(w, c->id, at, &err));
    commit(w);
}

START_TEST(counted_while_open)
{
    ck_assert_uint_eq(open_at("a", 200), 0);
    struct store_challenge one = put("a", 1, 1000), two = put("a", 2, 1000), got;
    put("b", 3, 1000);
    put("", 4, 1000);
    ck_assert_uint_eq(open_at("a", 200), 2);
    ck_assert_uint_eq(open_at("b", 200), 1);
    ck_assert_uint_eq(open_at("aa", 200), 0);
    burn(&one, 300);
    ck_assert_uint_eq(open_at("a", 300), 1);
    take_back(&two, 300);
    ck_assert_uint_eq(open_at("a", 300), 0);
    take_back(&one, 300); /* used before: nothing to leave */
    ck_assert_uint_eq(open_at("b", 300), 1);
    reopen();
    ck_assert_uint_eq(open_at("b", 300), 1);
    ok(store_challenge_by_id(st, "chl_000003", &got, &err));
    ck_assert_str_eq(got.pool, "b");
    verify_clean();
}
END_TEST

/* A write that is given up counts nothing; in one that goes on the count sees what it did. */
START_TEST(counted_in_its_write)
{
    uint64_t n;
    struct store_challenge c = in_pool("a", 1, 1000), d = in_pool("a", 2, 1000);
    struct store_write *w = begin();
    ok(store_challenge_put(w, &c, &err));
    ok(store_challenge_pool_count(w, "a", 200, &n, &err));
    ck_assert_uint_eq(n, 1);
    ok(store_challenge_put(w, &d, &err));
    ok(store_challenge_pool_count(w, "a", 200, &n, &err));
    ck_assert_uint_eq(n, 2);
    store_write_abort(w);
    ck_assert_uint_eq(open_at("a", 200), 0);
    verify_clean();
}
END_TEST

START_TEST(what_expires_leaves)
{
    struct store_challenge first = put("a", 1, 1000), late;
    put("a", 2, 1001);
    put("a", 3, 0); /* never */
    put("ab", 4, 10);
    ck_assert_uint_eq(open_at("a", 999), 3);
    ck_assert_uint_eq(open_at("a", 1000), 2);
    ck_assert_uint_eq(open_at("a", 1001), 1);
    ck_assert_uint_eq(open_at("a", INT32_MAX), 1);
    take_back(&first, 2000); /* it has left already */
    late = put("a", 5, 3000);
    ck_assert_uint_eq(open_at("a", 2999), 2);
    burn(&late, 2999);
    ck_assert_uint_eq(open_at("a", 2999), 1);
    verify_clean();
}
END_TEST

START_TEST(many_expire_at_once)
{
    for (unsigned k = 0; k < 5; k++) {
        struct store_write *w = begin();
        for (unsigned i = 0; i < 500; i++) {
            struct store_challenge c = in_pool("a", 500 * k + i + 1, 1000 + i % 7);
            ok(store_challenge_put(w, &c, &err));
        }
        commit(w);
    }
    ck_assert_uint_eq(open_at("a", 999), 2500);
    put("a", 9999, 5000);
    ck_assert_uint_eq(open_at("a", 1006), 1);
    verify_clean();
}
END_TEST

/* Forgotten 90 days after its end: whether somebody counted meanwhile or not. */
START_TEST(forgotten)
{
    uint64_t purged;
    put("a", 1, 1000);
    put("b", 2, 1000);
    ck_assert_uint_eq(open_at("b", 1000), 0);
    struct store_write *w = begin();
    ok(store_challenge_purge(w, 2000, &purged, &err));
    ck_assert_uint_eq(purged, 2);
    commit(w);
    verify_clean();
    ck_assert_uint_eq(open_at("a", 500), 0);
    verify_clean();
}
END_TEST

START_TEST(names)
{
    uint64_t n;
    char name[70];
    memset(name, 'x', sizeof name);
    struct store_write *w = begin();
    name[64] = '\0';
    fails(store_challenge_pool_count(w, name, 1, &n, &err), ERR_STORE);
    fails(store_challenge_pool_count(w, "", 1, &n, &err), ERR_STORE);
    name[63] = '\0';
    struct store_challenge c = in_pool(name, 1, 1000);
    ok(store_challenge_put(w, &c, &err));
    ok(store_challenge_pool_count(w, name, 1, &n, &err));
    ck_assert_uint_eq(n, 1);
    commit(w);
    verify_clean();
}
END_TEST

/* ---- damage is found ---- */

static char found[1024];

static void note(void *ctx, const struct store_problem *p)
{
    snprintf(found + strlen(found), sizeof found - strlen(found), "%s\n", p->text);
}

static void damaged(const char *part)
{
    uint64_t problems;
    found[0] = '\0';
    ok(store_verify(st, note, NULL, &problems, &err));
    ck_assert_uint_eq(problems, 1);
    ck_assert_msg(strstr(found, part) != NULL, "%s", found);
}

static void change(struct view key, bool plant)
{
    struct txn t;
    ok(txn_write(st, &t, &err));
    if (plant)
        ok(txn_put(&t, TABLE_CHALLENGE_POOL, PUT_NEW, key, view_of(NULL, 0), &err));
    else
        ok(txn_del(&t, TABLE_CHALLENGE_POOL, key, &err));
    ok(txn_write_commit(&t, &err));
}

static void count_is(const char *pool, uint64_t n)
{
    struct txn t;
    struct key k = meta_pool(pool);
    ok(txn_write(st, &t, &err));
    ok(txn_counter_set(&t, key_view(&k), n, &err));
    ok(txn_write_commit(&t, &err));
}

START_TEST(damage)
{
    struct store_challenge one = put("a", 1, 1000), two = put("a", 2, 1000), other;
    struct key k = pool_key(&one);
    switch (_i) {
    case 0:
        count_is("a", 3);
        change(key_view(&k), false);
        change(key_view(&k), true);
        found[0] = '\0';
        uint64_t problems;
        ok(store_verify(st, note, NULL, &problems, &err));
        ck_assert_msg(strstr(found, "pool a counts 3 challenges, 2 are in it"), "%s", found);
        ck_assert_msg(strstr(found, "2 challenges are in pools, which count 3"), "%s", found);
        break;
    case 1:
        count_is("b", 1);
        damaged("2 challenges are in pools, which count 3");
        break;
    case 2:
        burn(&two, 200);
        k = pool_key(&two);
        change(key_view(&k), true);
        count_is("a", 2);
        damaged("challenge chl_000002 is in pool a and does not belong there");
        break;
    case 3:
        other = one;
        strcpy(other.pool, "b");
        k = pool_key(&other);
        change(key_view(&k), true);
        count_is("b", 1);
        damaged("challenge chl_000001 is in pool b and does not belong there");
        break;
    case 4:
        other = in_pool("a", 7, 1000);
        k = pool_key(&other);
        change(key_view(&k), true);
        count_is("a", 3);
        damaged("an entry of pool a belongs to a challenge that cannot be read");
        break;
    case 5:
        change(view_str("nonsense"), true);
        damaged("an entry of a pool of challenges is damaged");
        break;
    case 6: /* with its count */
        change(key_view(&k), false);
        count_is("a", 1);
        damaged("challenge chl_000001 is open and not in pool a");
        break;
    case 7: /* one that never expires: even then */
        other = put("a", 8, 0);
        k = pool_key(&other);
        change(key_view(&k), false);
        count_is("a", 2);
        damaged("challenge chl_000008 is open and not in pool a");
        break;
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("store/challenge_pool");
    TCase *c = tcase_create("challenge_pool");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, counted_while_open);
    tcase_add_test(c, counted_in_its_write);
    tcase_add_test(c, what_expires_leaves);
    tcase_add_test(c, many_expire_at_once);
    tcase_add_test(c, forgotten);
    tcase_add_test(c, names);
    tcase_add_loop_test(c, damage, 0, 8);
    suite_add_tcase(s, c);
    return check_main(s);
}
