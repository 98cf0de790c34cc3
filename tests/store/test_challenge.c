#include "check_main.h"
#include "fixture.h"

static struct store_challenge challenge_of(unsigned n)
{
    struct store_challenge c = {.created_at = 100, .expires_at = 1000, .uses = 1};
    snprintf(c.id, sizeof c.id, "chl_%06u", n);
    hash_of(n, 'c', c.hash);
    strcpy(c.created_by, "root");
    strcpy(c.endpoint, "/scep");
    strcpy(c.template_name, "device");
    strcpy(c.subject, "CN=*");
    strcpy(c.san, "DNS:a.example");
    strcpy(c.label, "label");
    return c;
}

static void put(const struct store_challenge *c)
{
    struct store_write *w = begin();
    ok(store_challenge_put(w, c, &err));
    commit(w);
}

static const uint8_t key[STORE_HASH] = "key of the device";
static const struct store_use use = {500, "T1", "CN=device", "192.0.2.1", key};

static void burn(const struct store_challenge *c, const struct store_use *u)
{
    struct store_write *w = begin();
    ok(store_challenge_burn(w, c->hash, u, &err));
    commit(w);
}

START_TEST(put_and_find)
{
    struct store_challenge c = challenge_of(1), got;
    put(&c);
    reopen();
    ok(store_challenge_by_hash(st, c.hash, &got, &err));
    ck_assert_mem_eq(&got, &c, sizeof c);
    ok(store_challenge_by_id(st, "chl_000001", &got, &err));
    ck_assert_mem_eq(&got, &c, sizeof c);
    ok(store_challenge_by_id(st, "chl_0", &got, &err));
    struct store_write *w = begin();
    ok(store_write_challenge_by_hash(w, c.hash, &got, &err));
    store_write_abort(w);
    verify_clean();
}
END_TEST

static uint64_t made(void)
{
    struct store_stats stats;
    ok(store_stats(st, &stats, &err));
    return stats.challenges_made;
}

START_TEST(counted_when_made)
{
    ck_assert_uint_eq(made(), 0);
    struct store_challenge c = challenge_of(1), d = challenge_of(2);
    put(&c);
    put(&d);
    burn(&c, &use); /* none is made by that */
    struct store_write *w = begin();
    fails(store_challenge_put(w, &d, &err), ERR_EXISTS);
    store_write_abort(w);
    reopen();
    ck_assert_uint_eq(made(), 2);
    verify_clean();
}
END_TEST

START_TEST(by_id)
{
    struct store_challenge a = challenge_of(1), b = challenge_of(12), got;
    strcpy(a.id, "chl_1");
    strcpy(b.id, "chl_12");
    put(&a);
    put(&b);
    ok(store_challenge_by_id(st, "chl_1", &got, &err)); /* exact wins over prefix */
    ck_assert_str_eq(got.id, "chl_1");
    fails(store_challenge_by_id(st, "chl", &got, &err), ERR_CONFLICT);
    fails(store_challenge_by_id(st, "chl_13", &got, &err), ERR_NOT_FOUND);
    fails(store_challenge_by_id(st, "", &got, &err), ERR_NOT_FOUND);
    char longest[1000];
    memset(longest, 'c', sizeof longest);
    longest[999] = '\0';
    fails(store_challenge_by_id(st, longest, &got, &err), ERR_NOT_FOUND);
    fails(store_challenge_by_hash(st, key, &got, &err), ERR_NOT_FOUND);
}
END_TEST

START_TEST(put_refuses)
{
    struct store_challenge c = challenge_of(1), same_id = challenge_of(2),
                           same_hash = challenge_of(3);
    put(&c);
    strcpy(same_id.id, c.id);
    memcpy(same_hash.hash, c.hash, STORE_HASH);
    struct store_write *w = begin();
    fails(store_challenge_put(w, &same_id, &err), ERR_EXISTS);
    fails(store_challenge_put(w, &same_hash, &err), ERR_EXISTS);
    struct store_challenge bad = challenge_of(4);
    bad.id[0] = '\0';
    fails(store_challenge_put(w, &bad, &err), ERR_STORE);
    memset(bad.id, 'x', sizeof bad.id);
    fails(store_challenge_put(w, &bad, &err), ERR_STORE);
    bad = challenge_of(4);
    memset(bad.label, 'x', sizeof bad.label);
    fails(store_challenge_put(w, &bad, &err), ERR_STORE);
    bad = challenge_of(4);
    ok(store_challenge_put(w, &bad, &err));
    commit(w);
    verify_clean();
}
END_TEST

START_TEST(burnt_once)
{
    struct store_challenge c = challenge_of(1), got;
    put(&c);
    burn(&c, &use);
    ok(store_challenge_by_hash(st, c.hash, &got, &err));
    ck_assert_uint_eq(got.used, 1);
    ck_assert_int_eq(got.used_at, 500);
    ck_assert_str_eq(got.used_by_transaction, "T1");
    ck_assert_str_eq(got.used_by_subject, "CN=device");
    ck_assert_str_eq(got.used_by_peer, "192.0.2.1");
    ck_assert_mem_eq(got.used_by_key, key, STORE_HASH);
    struct store_write *w = begin();
    fails(store_challenge_burn(w, c.hash, &use, &err), ERR_CONFLICT);
    ok(store_challenge_refused(w, c.hash, 600, "192.0.2.9", &err));
    commit(w);
    ok(store_challenge_by_hash(st, c.hash, &got, &err));
    ck_assert_uint_eq(got.used, 1);
    ck_assert_uint_eq(got.refused, 1);
    ck_assert_int_eq(got.refused_at, 600);
    ck_assert_str_eq(got.refused_peer, "192.0.2.9");
    verify_clean();
}
END_TEST

/* Two requests with one challenge in the same batch: one gets it, the others of the batch are
 * untouched. */
START_TEST(burnt_in_a_batch)
{
    struct store_challenge a = challenge_of(1), b = challenge_of(2), got;
    put(&a);
    put(&b);
    struct store_write *w = begin();
    ok(store_challenge_burn(w, a.hash, &use, &err));
    fails(store_challenge_burn(w, a.hash, &use, &err), ERR_CONFLICT);
    ok(store_challenge_burn(w, b.hash, &use, &err));
    commit(w);
    ok(store_challenge_by_hash(st, a.hash, &got, &err));
    ck_assert_uint_eq(got.used, 1);
    ok(store_challenge_by_hash(st, b.hash, &got, &err));
    ck_assert_uint_eq(got.used, 1);
}
END_TEST

START_TEST(burn_refuses)
{
    struct store_challenge c = challenge_of(1), gone = challenge_of(2);
    struct store_use late = use;
    put(&c);
    put(&gone);
    late.at = 1000;
    struct store_write *w = begin();
    fails(store_challenge_burn(w, key, &use, &err), ERR_NOT_FOUND);
    fails(store_challenge_burn(w, c.hash, &late, &err), ERR_CONFLICT);
    late.at = 999;
    ok(store_challenge_burn(w, c.hash, &late, &err));
    fails(store_challenge_revoke(w, "chl_0", 5, &err), ERR_NOT_FOUND); /* no prefix here */
    fails(store_challenge_revoke(w, "", 5, &err), ERR_NOT_FOUND);
    ok(store_challenge_revoke(w, gone.id, 5, &err));
    fails(store_challenge_revoke(w, gone.id, 6, &err), ERR_CONFLICT);
    fails(store_challenge_burn(w, gone.hash, &use, &err), ERR_CONFLICT);
    fails(store_challenge_refused(w, key, 5, "p", &err), ERR_NOT_FOUND);
    commit(w);
    verify_clean();
}
END_TEST

START_TEST(many_uses)
{
    struct store_challenge three = challenge_of(1), any = challenge_of(2), got;
    three.uses = 3;
    any.uses = 0;
    any.expires_at = 0;
    put(&three);
    put(&any);
    struct store_use bare = {500, NULL, NULL, NULL, NULL};
    struct store_write *w = begin();
    for (int i = 0; i < 3; i++)
        ok(store_challenge_burn(w, three.hash, &bare, &err));
    fails(store_challenge_burn(w, three.hash, &bare, &err), ERR_CONFLICT);
    bare.at = INT64_MAX;
    for (int i = 0; i < 5; i++)
        ok(store_challenge_burn(w, any.hash, &bare, &err));
    commit(w);
    ok(store_challenge_by_hash(st, any.hash, &got, &err));
    ck_assert_uint_eq(got.used, 5);
    verify_clean();
}
END_TEST

/* Texts of clients that do not fit are cut at a character, not in it. */
START_TEST(long_texts)
{
    struct store_challenge c = challenge_of(1), got;
    put(&c);
    char peer[200] = "";
    for (int i = 0; i < 40; i++)
        strcat(peer, "a\u00e9");
    struct store_use u = {500, peer, peer, peer, key};
    burn(&c, &u);
    ok(store_challenge_by_hash(st, c.hash, &got, &err));
    ck_assert_uint_eq(strlen(got.used_by_peer), 63);
    ck_assert_mem_eq(got.used_by_peer, peer, 63);
    ck_assert_str_eq(got.used_by_transaction, peer);
    u.peer = peer + 1;
    struct store_write *w = begin();
    ok(store_challenge_refused(w, c.hash, 5, u.peer, &err));
    commit(w);
    ok(store_challenge_by_hash(st, c.hash, &got, &err));
    ck_assert_uint_eq(strlen(got.refused_peer), 63);
}
END_TEST

static bool count(void *ctx, const struct store_challenge *c)
{
    size_t *n = ctx;
    return ++*n != 200;
}

START_TEST(listing)
{
    size_t n = 0;
    struct store_write *w = begin();
    for (unsigned i = 0; i < 150; i++) {
        struct store_challenge c = challenge_of(i);
        ok(store_challenge_put(w, &c, &err));
    }
    commit(w);
    ok(store_challenge_list(st, count, &n, &err));
    ck_assert_uint_eq(n, 150);
    n = 180;
    ok(store_challenge_list(st, count, &n, &err));
    ck_assert_uint_eq(n, 200); /* stopped */
}
END_TEST

START_TEST(purge)
{
    struct store_challenge c[6], got;
    for (unsigned i = 0; i < 6; i++) {
        c[i] = challenge_of(i);
        if (i == 1 || i == 2 || i == 5)
            c[i].expires_at = 0;
        if (i == 5)
            c[i].uses = 0;
        put(&c[i]);
    }
    burn(&c[1], &use); /* ends at 500 */
    struct store_write *w = begin();
    ok(store_challenge_revoke(w, c[2].id, 800, &err));
    commit(w);
    uint64_t n = 9;
    w = begin();
    ok(store_challenge_purge(w, 500, &n, &err));
    ck_assert_uint_eq(n, 0);
    ok(store_challenge_purge(w, 501, &n, &err));
    ck_assert_uint_eq(n, 1);
    ok(store_challenge_purge(w, 801, &n, &err));
    ck_assert_uint_eq(n, 1);
    commit(w);
    fails(store_challenge_by_hash(st, c[1].hash, &got, &err), ERR_NOT_FOUND);
    fails(store_challenge_by_id(st, c[1].id, &got, &err), ERR_NOT_FOUND);
    fails(store_challenge_by_hash(st, c[2].hash, &got, &err), ERR_NOT_FOUND);
    verify_clean();
    w = begin();
    ok(store_challenge_purge(w, 5000, &n, &err));
    ck_assert_uint_eq(n, 3);
    commit(w);
    ok(store_challenge_by_hash(st, c[5].hash, &got, &err)); /* never ends */
    verify_clean();
    put(&c[1]); /* forgotten: it may come again */
    verify_clean();
}
END_TEST

START_TEST(purge_in_portions)
{
    struct store_write *w = begin();
    for (unsigned i = 0; i < 1100; i++) {
        struct store_challenge c = challenge_of(i);
        ok(store_challenge_put(w, &c, &err));
    }
    commit(w);
    uint64_t n = 0;
    w = begin();
    ok(store_challenge_purge(w, 1001, &n, &err));
    ck_assert_uint_eq(n, 1000);
    ok(store_challenge_purge(w, 1001, &n, &err));
    ck_assert_uint_eq(n, 100);
    commit(w);
    verify_clean();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("store/challenge");
    TCase *c = tcase_create("challenge");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, put_and_find);
    tcase_add_test(c, counted_when_made);
    tcase_add_test(c, by_id);
    tcase_add_test(c, put_refuses);
    tcase_add_test(c, burnt_once);
    tcase_add_test(c, burnt_in_a_batch);
    tcase_add_test(c, burn_refuses);
    tcase_add_test(c, many_uses);
    tcase_add_test(c, long_texts);
    tcase_add_test(c, listing);
    tcase_add_test(c, purge);
    tcase_add_test(c, purge_in_portions);
    suite_add_tcase(s, c);
    return check_main(s);
}
