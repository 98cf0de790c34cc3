#include "check_main.h"
#include "fixture.h"

static uint64_t revocations(const uint8_t authority[20])
{
    uint64_t n = 99;
    ok(store_revocation_generation(st, authority, &n, &err));
    return n;
}

static void revoke_now(uint64_t id, enum crl_reason reason, int64_t when)
{
    struct store_write *w = begin();
    ok(store_cert_revoke(w, id, reason, when, &err));
    commit(w);
}

struct revoked {
    struct store_revoked r[8];
    size_t n, stop_at;
};

static bool revoked_add(void *ctx, const struct store_revoked *r)
{
    struct revoked *l = ctx;
    ck_assert_uint_lt(l->n, 8);
    l->r[l->n++] = *r;
    return l->n != l->stop_at;
}

static struct revoked listed(const uint8_t authority[20], uint64_t *generation)
{
    struct revoked l = {.n = 0};
    ok(store_revoked_list(st, authority, false, revoked_add, &l, generation, &err));
    return l;
}

START_TEST(revoke_one)
{
    uint64_t first = put_n(1), second = put_n(2), shown = 9;
    uint64_t before = generation();
    ck_assert_uint_eq(revocations(authority_a), 0);
    revoke_now(second, CRL_KEY_COMPROMISE, 777);
    ck_assert_uint_eq(generation(), before + 1);
    ck_assert_uint_eq(revocations(authority_a), 1);
    ck_assert_uint_eq(revocations(authority_b), 0);
    revoke_now(first, CRL_UNSPECIFIED, 888);
    struct revoked l = listed(authority_a, &shown);
    ck_assert_uint_eq(l.n, 2);
    ck_assert_uint_eq(shown, 2);
    struct store_cert c = cert_of(2);
    ck_assert(view_eq(view_of(l.r[1].serial, l.r[1].serial_len), view_of(c.serial, c.serial_len)));
    ck_assert_int_eq(l.r[1].revoked_at, 777);
    ck_assert_int_eq(l.r[1].not_after, c.not_after);
    ck_assert_int_eq(l.r[1].reason, CRL_KEY_COMPROMISE);
    ck_assert_int_eq(l.r[0].revoked_at, 888); /* in order of issue, not of revocation */
    store_cert_clear(&c);
    ok(store_cert_by_id(st, second, &c, &err));
    ck_assert_int_eq(c.state, CERT_REVOKED);
    ck_assert_int_eq(c.revoked_at, 777);
    ck_assert_int_eq(c.revocation_reason, CRL_KEY_COMPROMISE);
    store_cert_clear(&c);
    struct revoked one = {.stop_at = 1};
    ok(store_revoked_list(st, authority_a, false, revoked_add, &one, &shown, &err));
    ck_assert_uint_eq(one.n, 1);
    ck_assert_uint_eq(listed(authority_b, &shown).n, 0);
    ck_assert_uint_eq(shown, 0);
    verify_clean();
}
END_TEST

START_TEST(refused)
{
    uint64_t id = put_n(1);
    revoke_now(id, CRL_KEY_COMPROMISE, 1);
    struct store_write *w = begin();
    fails(store_cert_revoke(w, 5, CRL_KEY_COMPROMISE, 1, &err), ERR_NOT_FOUND);
    fails(store_cert_revoke(w, id, CRL_SUPERSEDED, 2, &err), ERR_CONFLICT);
    fails(store_cert_revoke(w, id, CRL_HOLD, 2, &err), ERR_CONFLICT);
    fails(store_cert_revoke(w, id, CRL_REMOVE_FROM_CRL, 2, &err), ERR_CONFIG);
    fails(store_cert_revoke(w, id, (enum crl_reason)7, 2, &err), ERR_CONFIG);
    fails(store_cert_revoke(w, id, (enum crl_reason)10, 2, &err), ERR_CONFIG);
    fails(store_cert_release(w, id, &err), ERR_CONFLICT);
    fails(store_cert_release(w, 5, &err), ERR_NOT_FOUND);
    commit(w);
    ck_assert_uint_eq(revocations(authority_a), 1);
    verify_clean();
}
END_TEST

struct watching {
    uint64_t seen[8];
    enum cert_state state[8];
    size_t n;
    enum err_kind fails;
};

static bool watcher(void *ctx, struct store_write *w, uint64_t cert_id, struct err *e)
{
    struct watching *a = ctx;
    struct store_cert c = {0};
    if (a->fails != ERR_NONE)
        return err_set(e, a->fails, "no");
    ok(store_write_cert_by_id(w, cert_id, &c, e));
    ck_assert_uint_gt(c.der.n, 0);
    a->seen[a->n] = cert_id;
    a->state[a->n++] = c.state;
    store_cert_clear(&c);
    return true;
}

/* Each revocation, hold and release, as it became; and none that did not come about. */
START_TEST(watched)
{
    struct watching a = {.n = 0};
    uint64_t one = put_n(1), other = put_n(2);
    store_watch_revocations(st, watcher, &a);
    revoke_now(one, CRL_HOLD, 5);
    struct store_write *w = begin();
    ok(store_cert_release(w, one, &err));
    ok(store_cert_revoke(w, one, CRL_CESSATION, 6, &err));
    fails(store_cert_revoke(w, one, CRL_CESSATION, 7, &err), ERR_CONFLICT);
    fails(store_cert_release(w, one, &err), ERR_CONFLICT);
    commit(w);
    ck_assert_uint_eq(a.n, 3);
    ck_assert(a.seen[0] == one && a.seen[1] == one && a.seen[2] == one);
    ck_assert(a.state[0] == CERT_HELD && a.state[1] == CERT_ACTIVE && a.state[2] == CERT_REVOKED);
    /* whoever goes on after "it was so already" must not take this for it */
    a.fails = ERR_CONFLICT;
    w = begin();
    fails(store_cert_revoke(w, other, CRL_CESSATION, 8, &err), ERR_STORE);
    store_write_abort(w);
    store_watch_revocations(st, NULL, NULL);
    revoke_now(other, CRL_CESSATION, 9);
    ck_assert_uint_eq(a.n, 3);
    verify_clean();
}
END_TEST

START_TEST(hold_and_release)
{
    uint64_t id = put_n(1), newer = put_n(2), shown;
    struct store_cert c = {0};
    revoke_now(id, CRL_HOLD, 5);
    ok(store_cert_by_id(st, id, &c, &err));
    ck_assert_int_eq(c.state, CERT_HELD);
    store_cert_clear(&c);
    ck_assert_uint_eq(listed(authority_a, &shown).n, 1);
    struct store_write *w = begin();
    fails(store_cert_revoke(w, id, CRL_HOLD, 6, &err), ERR_CONFLICT);
    ok(store_cert_release(w, id, &err));
    commit(w);
    ok(store_cert_by_id(st, id, &c, &err));
    ck_assert_int_eq(c.state, CERT_ACTIVE);
    ck_assert_int_eq(c.revoked_at, 0);
    ck_assert_int_eq(c.revocation_reason, CRL_REMOVE_FROM_CRL);
    store_cert_clear(&c);
    ck_assert_uint_eq(listed(authority_a, &shown).n, 0);
    ck_assert_uint_eq(shown, 2);
    verify_clean();

    w = begin(); /* a renewed one is superseded again after its release */
    ok(store_cert_renewed(w, id, newer, &err));
    ok(store_cert_revoke(w, id, CRL_HOLD, 7, &err));
    ok(store_cert_release(w, id, &err));
    ok(store_cert_revoke(w, id, CRL_HOLD, 8, &err));
    ok(store_cert_revoke(w, id, CRL_KEY_COMPROMISE, 9, &err)); /* from hold for good */
    fails(store_cert_release(w, id, &err), ERR_CONFLICT);
    commit(w);
    struct revoked l = listed(authority_a, &shown);
    ck_assert_uint_eq(l.n, 1);
    ck_assert_int_eq(l.r[0].revoked_at, 9);
    ck_assert_int_eq(l.r[0].reason, CRL_KEY_COMPROMISE);
    verify_clean();
}
END_TEST

/* ---- known by serial alone ---- */

static struct store_revoked entry(const char *serial, enum crl_reason reason, int64_t when)
{
    struct store_revoked r = {
        .serial_len = strlen(serial), .revoked_at = when, .not_after = 5000, .reason = reason};
    memcpy(r.serial, serial, r.serial_len);
    return r;
}

static void revoke_serial(const char *serial, enum crl_reason reason, int64_t when)
{
    struct store_revoked r = entry(serial, reason, when);
    struct store_write *w = begin();
    ok(store_serial_revoke(w, authority_a, &r, &err));
    commit(w);
}

START_TEST(serial_alone)
{
    uint64_t id = put_n(1), shown;
    struct store_revoked got;
    struct store_stats stats;
    revoke_serial("old", CRL_KEY_COMPROMISE, 70);
    revoke_now(id, CRL_SUPERSEDED, 80);
    reopen();
    struct revoked l = listed(authority_a, &shown);
    ck_assert_uint_eq(l.n, 2);
    ck_assert_uint_eq(shown, 2);
    ck_assert_int_eq(l.r[0].revoked_at, 80); /* behind those with a certificate */
    ck_assert(view_eq(view_of(l.r[1].serial, l.r[1].serial_len), view_str("old")));
    ck_assert_int_eq(l.r[1].revoked_at, 70);
    ck_assert_int_eq(l.r[1].not_after, 5000);
    ck_assert_int_eq(l.r[1].reason, CRL_KEY_COMPROMISE);
    ck_assert_uint_eq(listed(authority_b, &shown).n, 0);
    ok(store_serial_revoked(st, authority_a, view_str("old"), &got, &err));
    ck_assert_int_eq(got.revoked_at, 70);
    fails(store_serial_revoked(st, authority_b, view_str("old"), &got, &err), ERR_NOT_FOUND);
    fails(store_serial_revoked(st, authority_a, view_str("ol"), &got, &err), ERR_NOT_FOUND);
    ok(store_stats(st, &stats, &err));
    ck_assert_uint_eq(stats.revoked, 2);
    verify_clean();
}
END_TEST

START_TEST(serial_refused)
{
    struct store_cert c = cert_of(1);
    put_n(1);
    revoke_serial("old", CRL_HOLD, 70);
    struct store_write *w = begin();
    struct store_revoked r = entry("old", CRL_HOLD, 71);
    fails(store_serial_revoke(w, authority_a, &r, &err), ERR_EXISTS);
    r.reason = CRL_CESSATION;
    ok(store_serial_revoke(w, authority_a, &r, &err)); /* from hold for good */
    fails(store_serial_revoke(w, authority_a, &r, &err), ERR_EXISTS);
    r = entry("x", CRL_REMOVE_FROM_CRL, 1);
    fails(store_serial_revoke(w, authority_a, &r, &err), ERR_CONFIG);
    r = entry("", CRL_UNSPECIFIED, 1);
    fails(store_serial_revoke(w, authority_a, &r, &err), ERR_CONFIG);
    r = entry("x", CRL_UNSPECIFIED, 1);
    memcpy(r.serial, c.serial, r.serial_len = c.serial_len);
    fails(store_serial_revoke(w, authority_a, &r, &err), ERR_CONFLICT); /* it is stored */
    commit(w);
    struct store_revoked got;
    ok(store_serial_revoked(st, authority_a, view_str("old"), &got, &err));
    ck_assert_int_eq(got.reason, CRL_CESSATION);
    store_cert_clear(&c);
    verify_clean();
}
END_TEST

/* The certificate turns up later: it is stored as revoked, and listed once. */
START_TEST(serial_gets_its_certificate)
{
    static const enum crl_reason reasons[] = {CRL_AFFILIATION_CHANGED, CRL_HOLD};
    for (unsigned i = 0; i < 2; i++) {
        struct store_cert c = cert_of(i + 1), got = {0};
        struct store_revoked r = entry("x", reasons[i], 70);
        uint64_t shown;
        memcpy(r.serial, c.serial, r.serial_len = c.serial_len);
        struct store_write *w = begin();
        ok(store_serial_revoke(w, authority_a, &r, &err));
        commit(w);
        w = begin();
        ok(store_cert_put(w, &c, &err));
        ck_assert_int_eq(c.state, i ? CERT_HELD : CERT_REVOKED);
        ok(store_write_cert_by_serial(w, authority_a, view_of(c.serial, c.serial_len), &got, &err));
        commit(w);
        ck_assert_int_eq(got.state, i ? CERT_HELD : CERT_REVOKED);
        ck_assert_int_eq(got.revoked_at, 70);
        ck_assert_int_eq(got.revocation_reason, reasons[i]);
        struct revoked l = listed(authority_a, &shown);
        ck_assert_uint_eq(l.n, i + 1);
        ck_assert_int_eq(l.r[i].not_after, c.not_after); /* known now */
        store_cert_clear(&c);
        store_cert_clear(&got);
        verify_clean();
    }
}
END_TEST

static struct store_cert_status status_of(const uint8_t authority[20], struct view serial)
{
    struct store_cert_status got;
    memset(&got, 0xaa, sizeof got);
    ok(store_cert_status(st, authority, serial, &got, &err));
    return got;
}

/* The few fields of a status are those of the whole record, in every state. */
START_TEST(status)
{
    uint64_t id = put_n(1), newer = put_n(2), third = put_n(3);
    struct store_cert c = cert_of(1);
    struct view serial = view_of(c.serial, c.serial_len);
    struct store_cert_status got = status_of(authority_a, serial);
    ck_assert(got.known && got.stored);
    ck_assert_int_eq(got.state, CERT_ACTIVE);
    ck_assert_int_eq(got.not_before, c.not_before);
    ck_assert_int_eq(got.not_after, c.not_after);
    ck_assert_int_eq(got.issued_at, c.issued_at);
    ck_assert_int_eq(got.revoked_at, 0);
    ck_assert_uint_eq(got.shard, c.shard);
    ck_assert_uint_eq(got.generation, 0);

    revoke_now(id, CRL_HOLD, 70);
    got = status_of(authority_a, serial);
    ck_assert_int_eq(got.state, CERT_HELD);
    ck_assert_int_eq(got.revoked_at, 70);
    ck_assert_int_eq(got.reason, CRL_HOLD);
    ck_assert_uint_eq(got.generation, 1);
    revoke_now(id, CRL_KEY_COMPROMISE, 80);
    got = status_of(authority_a, serial);
    ck_assert_int_eq(got.state, CERT_REVOKED);
    ck_assert_int_eq(got.revoked_at, 80);
    ck_assert_int_eq(got.reason, CRL_KEY_COMPROMISE);
    ck_assert_uint_eq(got.generation, 2);

    struct store_write *w = begin();
    ok(store_cert_renewed(w, newer, third, &err));
    commit(w);
    store_cert_clear(&c);
    c = cert_of(2);
    got = status_of(authority_a, view_of(c.serial, c.serial_len));
    ck_assert_int_eq(got.state, CERT_SUPERSEDED);
    ck_assert_uint_eq(got.generation, 2);
    ck_assert(!status_of(authority_b, view_of(c.serial, c.serial_len)).known);
    store_cert_clear(&c);
}
END_TEST

START_TEST(status_without_certificate)
{
    uint8_t long_one[STORE_SERIAL_MAX + 1] = {1};
    revoke_serial("old", CRL_HOLD, 70);
    struct store_cert_status got = status_of(authority_a, view_str("old"));
    ck_assert(got.known && !got.stored);
    ck_assert_int_eq(got.state, CERT_HELD);
    ck_assert_int_eq(got.revoked_at, 70);
    ck_assert_int_eq(got.reason, CRL_HOLD);
    ck_assert_int_eq(got.not_after, 5000);
    ck_assert_uint_eq(got.generation, 1);
    got = status_of(authority_a, view_str("ol"));
    ck_assert(!got.known && !got.stored);
    ck_assert_uint_eq(got.generation, 1); /* an answer about it rests on that, too */
    ck_assert(!status_of(authority_b, view_str("old")).known);
    ck_assert(!status_of(authority_a, view_of(NULL, 0)).known);
    ck_assert(!status_of(authority_a, view_of(long_one, sizeof long_one)).known);
}
END_TEST

START_TEST(crl_numbers_raised)
{
    uint64_t n;
    struct store_write *w = begin();
    ok(store_crl_number_raise(w, authority_a, 0, 4711, &err));
    ok(store_crl_number_raise(w, authority_a, 0, 12, &err)); /* lower: nothing to do */
    ok(store_crl_number_next(w, authority_a, 0, &n, &err));
    ck_assert_uint_eq(n, 4712);
    fails(store_crl_number_raise(w, authority_a, 0, UINT64_MAX, &err), ERR_CONFIG);
    ok(store_crl_number_next(w, authority_b, 0, &n, &err));
    ck_assert_uint_eq(n, 1);
    commit(w);
    ok(store_crl_number(st, authority_a, 0, &n, &err));
    ck_assert_uint_eq(n, 4712);
    ok(store_crl_number(st, authority_a, 1, &n, &err));
    ck_assert_uint_eq(n, 0);
    verify_clean();
}
END_TEST

START_TEST(crl_numbers)
{
    uint64_t n = 0;
    struct store_write *w = begin();
    ok(store_crl_number_next(w, authority_a, 0, &n, &err));
    ck_assert_uint_eq(n, 1);
    ok(store_crl_number_next(w, authority_a, 0, &n, &err));
    ck_assert_uint_eq(n, 2);
    ok(store_crl_number_next(w, authority_a, 1, &n, &err));
    ck_assert_uint_eq(n, 1);
    ok(store_crl_number_next(w, authority_b, 0, &n, &err));
    ck_assert_uint_eq(n, 1);
    commit(w);
    w = begin();
    ok(store_crl_number_next(w, authority_a, 0, &n, &err));
    store_write_abort(w);
    reopen();
    w = begin();
    ok(store_crl_number_next(w, authority_a, 0, &n, &err));
    ck_assert_uint_eq(n, 3); /* the aborted one was never given */
    commit(w);
}
END_TEST

static void crl_is(const char *octets, uint64_t number)
{
    struct store_crl got = {0};
    ok(store_crl_get(st, authority_a, 0, &got, &err));
    ck_assert_uint_eq(got.number, number);
    ck_assert_uint_eq(got.generation, 7);
    ck_assert_int_eq(got.this_update, 10);
    ck_assert_int_eq(got.next_update, 20);
    ck_assert_uint_eq(got.entries, 5);
    ck_assert_uint_eq(got.size, strlen(octets));
    ck_assert(view_eq(got.der, view_str(octets)));
    store_crl_clear(&got);
}

START_TEST(crl_kept)
{
    struct store_crl crl = {.number = 2,
                            .generation = 7,
                            .this_update = 10,
                            .next_update = 20,
                            .entries = 5},
                     got = {0};
    fails(store_crl_get(st, authority_a, 0, &got, &err), ERR_NOT_FOUND);
    struct store_write *w = begin();
    uint64_t n;
    for (int i = 0; i < 3; i++)
        ok(store_crl_number_next(w, authority_a, 0, &n, &err));
    fails(store_crl_put(w, authority_a, 0, &crl, &err), ERR_CONFLICT); /* without octets */
    ok(crl_put(w, authority_a, 0, &crl, "second"));
    fails(store_crl_put(w, authority_a, 0, &crl, &err), ERR_CONFLICT);
    crl.number = 1;
    fails(crl_put(w, authority_a, 0, &crl, "first"), ERR_CONFLICT);
    crl.number = 3;
    ok(crl_put(w, authority_a, 0, &crl, "third"));
    commit(w);
    reopen();
    crl_is("third", 3);
    fails(store_crl_get(st, authority_a, 1, &got, &err), ERR_NOT_FOUND);
    fails(store_crl_get(st, authority_b, 0, &got, &err), ERR_NOT_FOUND);
    store_crl_clear(NULL);
    verify_clean();
}
END_TEST

static void crl_file(uint64_t number, char out[512])
{
    char hex[41];
    for (size_t i = 0; i < 20; i++)
        snprintf(hex + 2 * i, 3, "%02x", authority_a[i]);
    snprintf(out, 512, "%s/crl/%s-0-%llu.crl", dir, hex, (unsigned long long)number);
}

static bool crl_file_there(uint64_t number)
{
    char path[512];
    crl_file(number, path);
    return access(path, F_OK) == 0;
}

static void altered_file(void *ctx, const struct store_problem *p)
{
    ck_assert_str_eq(p->text, "the file of CRL 3 is not what was written");
}

/* Until the commit the old one is the newest, and has its file; what is left over goes with the
 * next one. */
START_TEST(crl_files)
{
    struct store_crl crl = {.generation = 7, .this_update = 10, .next_update = 20, .entries = 5},
                     held = {0};
    char path[512];
    for (crl.number = 1; crl.number <= 3; crl.number++) {
        struct store_write *w = begin();
        uint64_t n;
        ok(store_crl_number_next(w, authority_a, 0, &n, &err));
        ok(crl_put(w, authority_a, 0, &crl, crl.number == 1 ? "one" : "later"));
        if (crl.number == 2) {
            store_write_abort(w); /* as after kill -9; its number is drawn anew */
            w = begin();
            ok(store_crl_number_next(w, authority_a, 0, &n, &err));
            commit(w);
            crl_is("one", 1);
            ok(store_crl_get(st, authority_a, 0, &held, &err));
            store_crl_tidy(st, authority_a, 0);
            ck_assert(crl_file_there(1) && crl_file_there(2));
        } else {
            commit(w);
        }
    }
    store_crl_tidy(st, authority_a, 0);
    ck_assert(!crl_file_there(1) && !crl_file_there(2) && crl_file_there(3));
    ck_assert(view_eq(held.der, view_str("one"))); /* who has it mapped keeps it */
    store_crl_clear(&held);
    crl_is("later", 3);
    crl_file(3, path);
    FILE *f = fopen(path, "r+");
    ck_assert_ptr_nonnull(f);
    fputc('L', f);
    fclose(f);
    fails(store_crl_get(st, authority_a, 0, &crl, &err), ERR_NOT_FOUND);
    uint64_t problems = 0;
    ok(store_verify(st, altered_file, NULL, &problems, &err));
    ck_assert_uint_eq(problems, 1);
    unlink(path); /* as in a restored store: no damage, a new one is made */
    ok(store_crl_about(st, authority_a, 0, &crl, &err));
    ck_assert(crl.missing);
    fails(store_crl_get(st, authority_a, 0, &crl, &err), ERR_NOT_FOUND);
    verify_clean();
}
END_TEST

/* RFC 5280 section 5.3.1 */
START_TEST(reasons_have_one_name_each)
{
    static const char *const standard[] = {
        "unspecified",   "keyCompromise",        "cACompromise",    "affiliationChanged",
        "superseded",    "cessationOfOperation", "certificateHold", NULL,
        "removeFromCRL", "privilegeWithdrawn"};
    size_t given = 0, told = 0;
    for (int i = 0; i < STORE_CRL_REASONS; i++) {
        enum crl_reason found;
        if (!standard[i])
            continue;
        ck_assert_str_eq(crl_reason_standard((enum crl_reason)i), standard[i]);
        ck_assert(crl_reason_by_standard(standard[i], &found) && (int)found == i);
    }
    enum crl_reason none;
    ck_assert(!crl_reason_by_standard("key-compromise", &none));
    ck_assert_str_eq(crl_reason_text((enum crl_reason)7), "other");
    ck_assert_str_eq(crl_reason_text(CRL_REMOVE_FROM_CRL), "other");
    ck_assert_str_eq(crl_reason_standard((enum crl_reason)7), "unspecified");
    for (; crl_reasons_given[given]; given++) {
        ck_assert_str_eq(crl_reason_text(crl_reason_given((int)given)), crl_reasons_given[given]);
        ck_assert_str_eq(crl_reasons_told[given], crl_reasons_given[given]);
    }
    ck_assert_uint_eq(given, 7);
    while (crl_reasons_told[told])
        told++;
    ck_assert_uint_eq(told, 9);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("store/revoked");
    TCase *c = tcase_create("revoked");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, revoke_one);
    tcase_add_test(c, refused);
    tcase_add_test(c, hold_and_release);
    tcase_add_test(c, watched);
    tcase_add_test(c, serial_alone);
    tcase_add_test(c, serial_refused);
    tcase_add_test(c, serial_gets_its_certificate);
    tcase_add_test(c, status);
    tcase_add_test(c, status_without_certificate);
    tcase_add_test(c, crl_numbers);
    tcase_add_test(c, crl_numbers_raised);
    tcase_add_test(c, crl_kept);
    tcase_add_test(c, crl_files);
    tcase_add_test(c, reasons_have_one_name_each);
    suite_add_tcase(s, c);
    return check_main(s);
}
