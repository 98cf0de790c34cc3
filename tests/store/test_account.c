#include "check_main.h"
#include "fixture.h"
#include "store/account.h"

static struct store_admin admin_of(unsigned n, enum account_role role)
{
    struct store_admin a = {.role = role, .created_at = 100, .changed_at = 100, .version = 1};
    snprintf(a.id, sizeof a.id, "adm_%06u", n);
    snprintf(a.name, sizeof a.name, "Anna.%u", n);
    strcpy(a.created_by, "root");
    return a;
}

static struct store_token token_of(unsigned n, const struct store_admin *owner)
{
    struct store_token k = {
        .kind = TOKEN_API, .created_at = 100, .expires_at = 1000 + n, .version = 1};
    snprintf(k.id, sizeof k.id, "tok_%06u", n);
    hash_of(n, 't', k.hash);
    strcpy(k.admin, owner->id);
    strcpy(k.label, "a program");
    strcpy(k.created_by, "root");
    strcpy(k.parent, n % 2 ? "tok_000000" : "");
    return k;
}

static struct store_admin put_admin(unsigned n, enum account_role role)
{
    struct store_admin a = admin_of(n, role);
    struct store_write *w = begin();
    ok(store_admin_put(w, &a, &err));
    commit(w);
    return a;
}

static void put_token(const struct store_token *k)
{
    struct store_write *w = begin();
    ok(store_token_put(w, k, &err));
    commit(w);
}

START_TEST(found_by_id_prefix_name_and_certificate)
{
    struct store_admin a = admin_of(1, ROLE_OPERATOR), got;
    a.has_certificate = true;
    hash_of(1, 'c', a.certificate);
    a.seen_at = 77;
    struct store_write *w = begin();
    ok(store_admin_put(w, &a, &err));
    commit(w);
    reopen();
    ok(store_admin_get(st, "adm_000001", &got, &err));
    ck_assert_str_eq(got.name, "Anna.1");
    ck_assert_int_eq(got.role, ROLE_OPERATOR);
    ck_assert_int_eq(got.seen_at, 77);
    ck_assert_str_eq(got.created_by, "root");
    ok(store_admin_get(st, "adm_0", &got, &err));
    ok(store_admin_get(st, "aNNA.1", &got, &err));
    ok(store_admin_by_certificate(st, a.certificate, &got, &err));
    ck_assert_str_eq(got.id, a.id);
    fails(store_admin_get(st, "anna", &got, &err), ERR_NOT_FOUND);
    fails(store_admin_get(st, "", &got, &err), ERR_NOT_FOUND);
    hash_of(2, 'c', a.certificate);
    fails(store_admin_by_certificate(st, a.certificate, &got, &err), ERR_NOT_FOUND);
    verify_clean();
}
END_TEST

/* Names such as these are not given any more, but stand in stores. */
START_TEST(an_id_is_found_before_a_name)
{
    struct store_admin anna = put_admin(1, ROLE_OPERATOR), other = admin_of(2, ROLE_ADMINISTRATOR);
    struct store_admin got;
    strcpy(other.name, "ADM_000001");
    struct store_write *w = begin();
    ok(store_admin_put(w, &other, &err));
    ok(store_write_admin_get(w, anna.id, &got, &err));
    ck_assert_str_eq(got.id, anna.id);
    commit(w);
    ok(store_admin_get(st, anna.id, &got, &err));
    ck_assert_str_eq(got.id, anna.id);
    ok(store_admin_get(st, "ADM_000001", &got, &err));
    ck_assert_str_eq(got.id, other.id);
    verify_clean();
}
END_TEST

START_TEST(names_and_certificates_are_unique)
{
    struct store_admin a = put_admin(1, ROLE_ADMINISTRATOR), b = admin_of(2, ROLE_AUDITOR);
    struct store_write *w = begin();
    strcpy(b.name, "ANNA.1");
    fails(store_admin_put(w, &b, &err), ERR_EXISTS);
    strcpy(b.name, "ben");
    ok(store_admin_put(w, &b, &err));
    strcpy(b.name, "anna.1");
    fails(store_admin_replace(w, &b, 1, &err), ERR_EXISTS);
    a.has_certificate = true;
    hash_of(7, 'c', a.certificate);
    a.version = 2;
    ok(store_admin_replace(w, &a, 1, &err));
    strcpy(b.name, "ben");
    b.has_certificate = true;
    hash_of(7, 'c', b.certificate);
    fails(store_admin_replace(w, &b, 1, &err), ERR_EXISTS);
    commit(w);
    verify_clean();
}
END_TEST

START_TEST(a_change_needs_the_version_that_was_read)
{
    struct store_admin a = put_admin(1, ROLE_ADMINISTRATOR), got;
    struct store_write *w = begin();
    strcpy(a.name, "carla");
    a.version = 2;
    ok(store_admin_replace(w, &a, 1, &err));
    fails(store_admin_replace(w, &a, 1, &err), ERR_CONFLICT);
    fails(store_admin_del(w, a.id, 1, &err), ERR_CONFLICT);
    commit(w);
    ok(store_admin_get(st, "carla", &got, &err));
    ck_assert_uint_eq(got.version, 2);
    fails(store_admin_get(st, "anna.1", &got, &err), ERR_NOT_FOUND);
    verify_clean();
}
END_TEST

struct seen {
    unsigned n;
    char last[32];
};

static bool see_token(void *ctx, const struct store_token *k)
{
    struct seen *s = ctx;
    s->n++;
    strcpy(s->last, k->id);
    return true;
}

START_TEST(tokens_go_with_their_owner)
{
    struct store_admin a = put_admin(1, ROLE_ADMINISTRATOR), b = put_admin(2, ROLE_AUDITOR);
    for (unsigned i = 0; i < 5; i++) {
        struct store_token k = token_of(i, i == 3 ? &b : &a);
        put_token(&k);
    }
    struct seen all = {0}, of_a = {0}, later = {0};
    ok(store_token_list(st, NULL, "", see_token, &all, &err));
    ok(store_token_list(st, a.id, "", see_token, &of_a, &err));
    ok(store_token_list(st, NULL, "tok_000002", see_token, &later, &err));
    ck_assert_uint_eq(all.n, 5);
    ck_assert_uint_eq(of_a.n, 4);
    ck_assert_uint_eq(later.n, 2);
    struct store_write *w = begin();
    ok(store_admin_del(w, a.id, 1, &err));
    commit(w);
    struct seen left = {0};
    ok(store_token_list(st, NULL, "", see_token, &left, &err));
    ck_assert_uint_eq(left.n, 1);
    ck_assert_str_eq(left.last, "tok_000003");
    struct store_token orphan = token_of(9, &a);
    w = begin();
    fails(store_token_put(w, &orphan, &err), ERR_NOT_FOUND);
    store_write_abort(w);
    verify_clean();
}
END_TEST

START_TEST(tokens_are_used_and_end)
{
    struct store_admin a = put_admin(1, ROLE_OPERATOR);
    struct store_token k = token_of(1, &a), got;
    put_token(&k);
    struct store_write *w = begin();
    ok(store_token_used(w, k.id, 500, "192.0.2.7", &err));
    fails(store_token_put(w, &k, &err), ERR_EXISTS);
    commit(w);
    ok(store_token_get(st, "tok_00", &got, &err));
    ck_assert_int_eq(got.used_at, 500);
    ck_assert_str_eq(got.used_from, "192.0.2.7");
    ck_assert_int_eq(memcmp(got.hash, k.hash, STORE_HASH), 0);
    uint64_t purged;
    w = begin();
    ok(store_token_purge(w, k.expires_at, &purged, &err));
    ck_assert_uint_eq(purged, 0);
    ok(store_token_purge(w, k.expires_at + 1, &purged, &err));
    ck_assert_uint_eq(purged, 1);
    fails(store_token_del(w, k.id, &err), ERR_NOT_FOUND);
    commit(w);
    verify_clean();
}
END_TEST

START_TEST(only_those_who_may_sign_in_are_counted)
{
    struct store_admin a = put_admin(1, ROLE_ADMINISTRATOR);
    put_admin(2, ROLE_AUDITOR);
    struct store_write *w = begin();
    uint64_t n;
    ok(store_write_admin_count(w, ROLE_ADMINISTRATOR, &n, &err));
    ck_assert_uint_eq(n, 1);
    ok(store_write_admin_count(w, ROLE_AUDITOR, &n, &err));
    ck_assert_uint_eq(n, 2);
    a.disabled = true;
    a.version = 2;
    ok(store_admin_replace(w, &a, 1, &err));
    ok(store_write_admin_count(w, ROLE_ADMINISTRATOR, &n, &err));
    ck_assert_uint_eq(n, 0);
    commit(w);
}
END_TEST

START_TEST(answers_are_kept)
{
    struct store_kept k = {.at = 1000}, got = {.at = 0};
    uint64_t purged;
    hash_of(1, 'k', k.key);
    hash_of(1, 'q', k.question);
    struct store_write *w = begin();
    ok(store_kept_put(w, &k, &err));
    fails(store_kept_put(w, &k, &err), ERR_EXISTS);
    commit(w);
    ok(store_kept_get(st, k.key, &got, &err));
    ck_assert(!got.answered);
    store_kept_clear(&got);
    w = begin();
    ok(store_kept_answer(w, k.key, view_str("sealed"), &err));
    commit(w);
    ok(store_kept_get(st, k.key, &got, &err));
    ck_assert(got.answered);
    ck_assert(view_eq(buf_view(&got.answer), view_str("sealed")));
    ck_assert_int_eq(memcmp(got.question, k.question, STORE_HASH), 0);
    store_kept_clear(&got);
    verify_clean();
    w = begin();
    ok(store_kept_purge(w, 1001, &purged, &err));
    ck_assert_uint_eq(purged, 1);
    fails(store_kept_del(w, k.key, &err), ERR_NOT_FOUND);
    commit(w);
    verify_clean();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("account");
    TCase *c = tcase_create("account");
    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, found_by_id_prefix_name_and_certificate);
    tcase_add_test(c, an_id_is_found_before_a_name);
    tcase_add_test(c, names_and_certificates_are_unique);
    tcase_add_test(c, a_change_needs_the_version_that_was_read);
    tcase_add_test(c, tokens_go_with_their_owner);
    tcase_add_test(c, tokens_are_used_and_end);
    tcase_add_test(c, only_those_who_may_sign_in_are_counted);
    tcase_add_test(c, answers_are_kept);
    suite_add_tcase(s, c);
    return check_main(s);
}
