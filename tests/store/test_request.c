/* Transactions and the requests that wait behind them. */
#include "check_main.h"
#include "fixture.h"

static struct store_tx tx_of(const char *transaction, enum tx_state state)
{
    struct store_tx t = {.state = state, .created_at = 10, .changed_at = 10};
    strcpy(t.endpoint, "/scep");
    strcpy(t.transaction, transaction);
    hash_of(1, 'i', t.identity);
    hash_of(1, 'k', t.key_hash);
    hash_of(1, 's', t.signer_hash);
    hash_of(1, 't', t.signer_key_hash);
    return t;
}

static void put_tx(const struct store_tx *t)
{
    struct store_write *w = begin();
    ok(store_tx_put(w, t, NULL, &err));
    commit(w);
}

START_TEST(tx_put_and_get)
{
    struct store_tx t = tx_of("T1", TX_ISSUED), got;
    t.cert_id = put_n(1);
    put_tx(&t);
    reopen();
    ok(store_tx_get(st, "/scep", "T1", &got, &err));
    ck_assert_mem_eq(&got, &t, sizeof t);
    fails(store_tx_get(st, "/scep", "T2", &got, &err), ERR_NOT_FOUND);
    fails(store_tx_get(st, "/scep/", "T1", &got, &err), ERR_NOT_FOUND);
    fails(store_tx_get(st, "/scepT", "1", &got, &err), ERR_NOT_FOUND);
    fails(store_tx_get(st, "/scep", "", &got, &err), ERR_NOT_FOUND);
    char longest[600];
    memset(longest, 'T', sizeof longest);
    longest[599] = '\0';
    fails(store_tx_get(st, "/scep", longest, &got, &err), ERR_NOT_FOUND);
    memset(t.transaction, 'T', 259); /* the longest that fits */
    put_tx(&t);
    ok(store_tx_get(st, "/scep", t.transaction, &got, &err));
    verify_clean();
}
END_TEST

START_TEST(tx_replace)
{
    struct store_tx t = tx_of("T1", TX_PENDING), got, other = tx_of("T2", TX_ISSUED);
    put_tx(&t);
    struct store_write *w = begin();
    fails(store_tx_put(w, &t, NULL, &err), ERR_EXISTS);
    fails(store_tx_put(w, &other, &t, &err), ERR_CONFLICT); /* none there */
    struct store_tx next = t, wrong = t;
    next.state = TX_DENIED;
    next.changed_at = 20;
    wrong.state = TX_APPROVED;
    fails(store_tx_put(w, &next, &wrong, &err), ERR_CONFLICT);
    wrong = t;
    wrong.changed_at++;
    fails(store_tx_put(w, &next, &wrong, &err), ERR_CONFLICT);
    wrong = t;
    wrong.cert_id++;
    fails(store_tx_put(w, &next, &wrong, &err), ERR_CONFLICT);
    ok(store_write_tx_get(w, "/scep", "T1", &got, &err));
    ck_assert_int_eq(got.state, TX_PENDING);
    ok(store_tx_put(w, &next, &t, &err));
    fails(store_tx_put(w, &next, &t, &err), ERR_CONFLICT);
    ok(store_write_tx_get(w, "/scep", "T1", &got, &err));
    ck_assert_int_eq(got.state, TX_DENIED); /* seen inside the write */
    commit(w);
}
END_TEST

START_TEST(tx_reuse_counted)
{
    struct store_tx t = tx_of("T1", TX_PENDING), got;
    put_tx(&t);
    struct store_write *w = begin();
    ok(store_tx_reuse_refused(w, "/scep", "T1", &err));
    ok(store_tx_reuse_refused(w, "/scep", "T1", &err));
    fails(store_tx_reuse_refused(w, "/scep", "T9", &err), ERR_NOT_FOUND);
    struct store_tx next = t;
    next.changed_at = 11;
    ok(store_tx_put(w, &next, &t, &err)); /* counting is no conflict, and the count is kept */
    commit(w);
    ok(store_tx_get(st, "/scep", "T1", &got, &err));
    ck_assert_uint_eq(got.reuse_refused, 2);
}
END_TEST

static struct store_request request_of(unsigned n)
{
    struct store_request r = {.state = REQUEST_PENDING, .created_at = 10, .expires_at = 100 + n};
    snprintf(r.id, sizeof r.id, "req_%06u", n);
    strcpy(r.endpoint, "/scep");
    snprintf(r.transaction, sizeof r.transaction, "T%u", n);
    strcpy(r.template_name, "device");
    strcpy(r.subject, "CN=device");
    strcpy(r.san, "DNS:a.example");
    strcpy(r.key, "RSA-2048");
    strcpy(r.peer, "192.0.2.1");
    strcpy(r.challenge, "chl_1");
    hash_of(n, 'c', r.challenge_hash);
    ck_assert(buf_append_str(&r.csr, "the request"));
    for (int i = 0; i < 800; i++)
        ck_assert(buf_append_str(&r.signer, "signer"));
    return r;
}

static void put_request(unsigned n)
{
    struct store_request r = request_of(n);
    struct store_tx t = tx_of(r.transaction, TX_PENDING);
    strcpy(t.request, r.id);
    struct store_write *w = begin();
    ok(store_request_put(w, &r, &err));
    ok(store_tx_put(w, &t, NULL, &err));
    commit(w);
    store_request_clear(&r);
}

static struct store_request get(const char *id)
{
    struct store_request r;
    ok(store_request_get(st, id, &r, &err));
    return r;
}

static enum tx_state tx_state(const char *transaction)
{
    struct store_tx t;
    ok(store_tx_get(st, "/scep", transaction, &t, &err));
    return t.state;
}

static uint64_t pending(void)
{
    struct store_stats stats;
    ok(store_stats(st, &stats, &err));
    return stats.pending;
}

START_TEST(request_put_and_get)
{
    put_request(1);
    reopen();
    struct store_request r = request_of(1), got = get("req_000001");
    ck_assert(view_eq(buf_view(&r.csr), buf_view(&got.csr)));
    ck_assert(view_eq(buf_view(&r.signer), buf_view(&got.signer)));
    ck_assert_mem_eq(&r, &got, offsetof(struct store_request, csr));
    store_request_clear(&got);
    got = get("req_");
    ck_assert_str_eq(got.id, "req_000001");
    store_request_clear(&got);
    struct store_write *w = begin();
    fails(store_request_put(w, &r, &err), ERR_EXISTS);
    ok(store_write_request_get(w, "req_000001", &got, &err));
    store_request_clear(&got);
    r.id[0] = '\0';
    fails(store_request_put(w, &r, &err), ERR_STORE);
    strcpy(r.id, "req_2");
    ck_assert(buf_reserve(&r.csr, 300u << 10));
    size_t n = r.csr.n;
    memset(r.csr.p + n, 0, (300u << 10));
    r.csr.n += 300u << 10;
    fails(store_request_put(w, &r, &err), ERR_STORE);
    store_write_abort(w);
    store_request_clear(&r);
    put_request(2);
    fails(store_request_get(st, "req_", &got, &err), ERR_CONFLICT);
    fails(store_request_get(st, "req_3", &got, &err), ERR_NOT_FOUND);
    fails(store_request_get(st, "", &got, &err), ERR_NOT_FOUND);
    ck_assert_uint_eq(pending(), 2);
    verify_clean();
}
END_TEST

START_TEST(approved_and_issued)
{
    put_request(1);
    struct store_write *w = begin();
    fails(store_request_decide(w, "req_9", true, "root", "", 50, &err), ERR_NOT_FOUND);
    fails(store_request_issued(w, "req_000001", 7, &err), ERR_CONFLICT);
    ok(store_request_decide(w, "req_000001", true, "root", "known device", 50, &err));
    fails(store_request_decide(w, "req_000001", false, "root", NULL, 50, &err), ERR_CONFLICT);
    commit(w);
    struct store_request r = get("req_000001");
    ck_assert_int_eq(r.state, REQUEST_APPROVED);
    ck_assert_int_eq(r.decided_at, 50);
    ck_assert_str_eq(r.decided_by, "root");
    ck_assert_str_eq(r.note, "known device");
    store_request_clear(&r);
    ck_assert_int_eq(tx_state("T1"), TX_APPROVED);
    ck_assert_uint_eq(pending(), 0);
    verify_clean();
    uint64_t id = put_n(1);
    w = begin();
    ok(store_request_polled(w, "req_000001", 60, &err));
    ok(store_request_polled(w, "req_000001", 61, &err));
    fails(store_request_polled(w, "req_9", 61, &err), ERR_NOT_FOUND);
    ok(store_request_issued(w, "req_000001", id, &err));
    fails(store_request_issued(w, "req_000001", id, &err), ERR_CONFLICT);
    fails(store_request_issued(w, "req_9", id, &err), ERR_NOT_FOUND);
    commit(w);
    r = get("req_000001");
    ck_assert_int_eq(r.state, REQUEST_ISSUED);
    ck_assert_uint_eq(r.cert_id, id);
    ck_assert_uint_eq(r.polls, 2);
    ck_assert_int_eq(r.polled_at, 61);
    ck_assert_uint_gt(r.signer.n, 0);
    store_request_clear(&r);
    verify_clean();
}
END_TEST

START_TEST(denied)
{
    put_request(1);
    put_request(2);
    struct store_write *w = begin();
    ok(store_request_decide(w, "req_000001", false, "root", NULL, 50, &err));
    fails(store_request_decide(w, "req_000002", true, "root", NULL, 102, &err),
          ERR_CONFLICT); /* time is over */
    commit(w);
    ck_assert_int_eq(tx_state("T1"), TX_DENIED);
    ck_assert_int_eq(tx_state("T2"), TX_PENDING);
    verify_clean();
}
END_TEST

START_TEST(cancelled)
{
    put_request(1);
    put_request(2);
    struct store_write *w = begin();
    ok(store_request_cancel(w, "req_000001", "anna", "wrong device", 50, &err));
    ok(store_request_decide(w, "req_000002", true, "anna", NULL, 50, &err));
    ok(store_request_cancel(w, "req_000002", "anna", NULL, 51, &err)); /* not fetched yet */
    fails(store_request_cancel(w, "req_000002", "anna", NULL, 52, &err), ERR_CONFLICT);
    fails(store_request_cancel(w, "req_000003", "anna", NULL, 52, &err), ERR_NOT_FOUND);
    fails(store_request_issued(w, "req_000002", 1, &err),
          ERR_CONFLICT); /* who fetches it now comes too late */
    commit(w);
    struct store_request r = get("req_000001");
    ck_assert_int_eq(r.state, REQUEST_DENIED);
    ck_assert_str_eq(r.note, "wrong device");
    store_request_clear(&r);
    ck_assert_int_eq(tx_state("T1"), TX_DENIED);
    ck_assert_int_eq(tx_state("T2"), TX_DENIED);
    ck_assert_uint_eq(pending(), 0);
    verify_clean();
}
END_TEST

START_TEST(expired)
{
    for (unsigned i = 1; i <= 3; i++)
        put_request(i); /* until 101, 102, 103 */
    struct store_request never = request_of(4);
    never.expires_at = 0;
    struct store_tx t = tx_of("T4", TX_PENDING);
    strcpy(t.request, never.id);
    struct store_write *w = begin();
    ok(store_request_put(w, &never, &err));
    ok(store_tx_put(w, &t, NULL, &err));
    ok(store_request_decide(w, "req_000001", true, "root", NULL, 50, &err));
    commit(w);
    store_request_clear(&never);
    uint64_t n = 9;
    w = begin();
    ok(store_request_expire(w, 101, &n, &err));
    ck_assert_uint_eq(n, 0); /* the first is approved */
    ok(store_request_expire(w, 102, &n, &err));
    ck_assert_uint_eq(n, 1);
    commit(w);
    struct store_request r = get("req_000002");
    ck_assert_int_eq(r.state, REQUEST_EXPIRED);
    store_request_clear(&r);
    ck_assert_int_eq(tx_state("T2"), TX_EXPIRED);
    ck_assert_int_eq(tx_state("T1"), TX_APPROVED);
    ck_assert_uint_eq(pending(), 2);
    verify_clean();
    w = begin();
    ok(store_request_expire(w, INT64_MAX - 1, &n, &err));
    ck_assert_uint_eq(n, 1);
    commit(w);
    ck_assert_uint_eq(pending(), 1);
    verify_clean();
}
END_TEST

START_TEST(oldest_that_waits)
{
    int64_t at = 9;
    ok(store_request_oldest(st, &at, &err));
    ck_assert_int_eq(at, 0);
    for (unsigned i = 3; i >= 1; i--)
        put_request(i);
    ok(store_request_oldest(st, &at, &err));
    ck_assert_int_eq(at, 10);
    struct store_request older = request_of(4); /* which ends last */
    struct store_tx t = tx_of("T4", TX_PENDING);
    strcpy(t.request, older.id);
    older.created_at = 7;
    struct store_write *w = begin();
    ok(store_request_put(w, &older, &err));
    ok(store_tx_put(w, &t, NULL, &err));
    commit(w);
    store_request_clear(&older);
    ok(store_request_oldest(st, &at, &err));
    ck_assert_int_eq(at, 7);
    w = begin();
    for (unsigned i = 1; i <= 4; i++) {
        char id[16];
        snprintf(id, sizeof id, "req_%06u", i);
        ok(store_request_decide(w, id, true, "root", NULL, 50, &err));
    }
    commit(w);
    ok(store_request_oldest(st, &at, &err));
    ck_assert_int_eq(at, 0);
}
END_TEST

static bool count(void *ctx, const struct store_request *r)
{
    ++*(size_t *)ctx;
    return *(size_t *)ctx < 100;
}

START_TEST(listing)
{
    for (unsigned i = 1; i <= 5; i++)
        put_request(i);
    struct store_write *w = begin();
    ok(store_request_decide(w, "req_000002", false, "root", NULL, 50, &err));
    commit(w);
    size_t n = 0;
    ok(store_request_list(st, -1, count, &n, &err));
    ck_assert_uint_eq(n, 5);
    n = 0;
    ok(store_request_list(st, REQUEST_PENDING, count, &n, &err));
    ck_assert_uint_eq(n, 4);
    n = 99;
    ok(store_request_list(st, -1, count, &n, &err));
    ck_assert_uint_eq(n, 100);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("store/request");
    TCase *c = tcase_create("request");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, oldest_that_waits);
    tcase_add_test(c, tx_put_and_get);
    tcase_add_test(c, tx_replace);
    tcase_add_test(c, tx_reuse_counted);
    tcase_add_test(c, request_put_and_get);
    tcase_add_test(c, approved_and_issued);
    tcase_add_test(c, denied);
    tcase_add_test(c, cancelled);
    tcase_add_test(c, expired);
    tcase_add_test(c, listing);
    suite_add_tcase(s, c);
    return check_main(s);
}
