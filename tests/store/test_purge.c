/* What may be forgotten, and what never. */
#include "check_main.h"
#include "fixture.h"

static uint64_t put_cert(unsigned n, int64_t not_after, uint64_t renews)
{
    struct store_cert c = cert_of(n);
    c.not_after = not_after;
    c.renews = renews;
    snprintf(c.transaction, sizeof c.transaction, "T%u", n);
    struct store_tx tx = {.state = TX_ISSUED, .created_at = 1000, .changed_at = 1000};
    snprintf(tx.endpoint, sizeof tx.endpoint, "%s", c.endpoint);
    snprintf(tx.transaction, sizeof tx.transaction, "%s", c.transaction);
    struct store_write *w = begin();
    ok(store_cert_put(w, &c, &err));
    tx.cert_id = c.id;
    ok(store_tx_put(w, &tx, NULL, &err));
    if (renews)
        ok(store_cert_renewed(w, renews, c.id, &err));
    commit(w);
    uint64_t id = c.id;
    store_cert_clear(&c);
    return id;
}

static bool cert_there(uint64_t id)
{
    struct store_cert c = {0};
    bool found = store_cert_by_id(st, id, &c, &err);
    store_cert_clear(&c);
    return found;
}

/* Runs to the end, counting first: both must say the same. */
static uint64_t purge(enum store_purge_kind kind, int64_t before)
{
    struct store_purge count = {.kind = kind, .before = before}, really = count;
    while (!count.done)
        ok(store_purge_step(st, NULL, &count, &err));
    while (!really.done) {
        struct store_write *w = begin();
        ok(store_purge_step(st, w, &really, &err));
        commit(w);
    }
    ck_assert_uint_eq(count.found, really.found);
    verify_clean();
    return really.found;
}

START_TEST(certificates)
{
    uint64_t old = put_cert(1, 2000, 0), new = put_cert(2, 9000, 0), last = put_cert(3, 2000, 0);
    struct store_tx tx;
    ck_assert_uint_eq(purge(STORE_PURGE_CERTS, 5000), 1);
    ck_assert(!cert_there(old));
    ck_assert(cert_there(new));
    ck_assert(cert_there(last)); /* the numbers go on from it */
    fails(store_tx_get(st, "/scep", "T1", &tx, &err), ERR_NOT_FOUND);
    ok(store_tx_get(st, "/scep", "T2", &tx, &err));
    ck_assert_uint_eq(put_cert(4, 9000, 0), last + 1);
    ck_assert_uint_eq(purge(STORE_PURGE_CERTS, 5000), 1);
    ck_assert(!cert_there(last));
    ck_assert_uint_eq(purge(STORE_PURGE_CERTS, 5000), 0);
}
END_TEST

static void take_back(uint64_t id, enum crl_reason reason)
{
    struct store_write *w = begin();
    ok(store_cert_revoke(w, id, reason, 1500, &err));
    commit(w);
}

static void crl_at(int64_t this_update)
{
    struct store_crl crl = {.this_update = this_update, .next_update = this_update + 100};
    struct store_write *w = begin();
    ok(store_crl_number_next(w, authority_a, 0, &crl.number, &err));
    ok(crl_put(w, authority_a, 0, &crl, "list"));
    commit(w);
}

START_TEST(revoked)
{
    uint64_t lost = put_cert(1, 2000, 0), compromised = put_cert(2, 2000, 0);
    put_cert(3, 9000, 0);
    take_back(lost, CRL_UNSPECIFIED);
    take_back(compromised, CRL_KEY_COMPROMISE);
    ck_assert_uint_eq(purge(STORE_PURGE_CERTS, 5000), 0); /* no CRL yet */
    crl_at(2000);
    ck_assert_uint_eq(purge(STORE_PURGE_CERTS, 5000),
                      0); /* RFC 5280 section 3.3: none after its end */
    crl_at(2001);
    ck_assert_uint_eq(purge(STORE_PURGE_CERTS, 5000), 1);
    ck_assert(!cert_there(lost));
    ck_assert(cert_there(compromised)); /* its key is refused for ever */
    enum key_use use;
    uint8_t key[STORE_HASH];
    char other[STORE_SUBJECT_MAX];
    hash_of(2, 'k', key);
    ok(store_key_use(st, key, key, &use, other, &err));
    ck_assert_int_eq(use, KEY_COMPROMISED);
}
END_TEST

START_TEST(renewed)
{
    uint64_t first = put_cert(1, 9000, 0), second = put_cert(2, 2000, first);
    put_cert(3, 9000, 0);
    ck_assert_uint_eq(purge(STORE_PURGE_CERTS, 5000), 0); /* the first, still known, names it */
    ck_assert(cert_there(second));
    ck_assert_uint_eq(purge(STORE_PURGE_CERTS, 9500), 2);
    ck_assert(!cert_there(first));
    ck_assert(!cert_there(second));
}
END_TEST

static void put_request(const char *id, enum tx_state state)
{
    struct store_request r = {.state = REQUEST_PENDING, .created_at = 1000, .expires_at = 2000};
    struct store_tx tx = {.state = state, .created_at = 1000, .changed_at = 1000};
    snprintf(r.id, sizeof r.id, "%s", id);
    snprintf(r.endpoint, sizeof r.endpoint, "/scep");
    snprintf(r.transaction, sizeof r.transaction, "%s", id);
    snprintf(tx.endpoint, sizeof tx.endpoint, "/scep");
    snprintf(tx.transaction, sizeof tx.transaction, "%s", id);
    snprintf(tx.request, sizeof tx.request, "%s", id);
    struct store_write *w = begin();
    ck_assert(buf_append_str(&r.csr, "csr"));
    ok(store_request_put(w, &r, &err));
    ok(store_tx_put(w, &tx, NULL, &err));
    commit(w);
    store_request_clear(&r);
}

static void decide(const char *id, bool approve)
{
    struct store_write *w = begin();
    ok(store_request_decide(w, id, approve, "anna", "", 1500, &err));
    commit(w);
}

static void issue(const char *id)
{
    struct store_tx tx, before;
    struct store_write *w;
    uint64_t cert = put_n(77);
    decide(id, true);
    ok(store_tx_get(st, "/scep", id, &before, &err));
    tx = before;
    tx.state = TX_ISSUED;
    tx.cert_id = cert;
    w = begin();
    ok(store_request_issued(w, id, cert, &err));
    ok(store_tx_put(w, &tx, &before, &err));
    commit(w);
}

START_TEST(requests)
{
    struct store_request r = {.id = ""};
    struct store_tx tx;
    uint64_t expired = 0;
    put_request("req_pending", TX_PENDING);
    put_request("req_denied", TX_PENDING);
    put_request("req_approved", TX_PENDING);
    put_request("req_issued", TX_PENDING);
    decide("req_denied", false);
    decide("req_approved", true);
    issue("req_issued");
    ck_assert_uint_eq(purge(STORE_PURGE_REQUESTS, 1500), 0); /* ended just then */
    ck_assert_uint_eq(purge(STORE_PURGE_REQUESTS, 1501), 2);
    fails(store_request_get(st, "req_denied", &r, &err), ERR_NOT_FOUND);
    fails(store_tx_get(st, "/scep", "req_denied", &tx, &err), ERR_NOT_FOUND);
    fails(store_request_get(st, "req_issued", &r, &err), ERR_NOT_FOUND);
    ok(store_tx_get(st, "/scep", "req_issued", &tx, &err)); /* a lost reply still costs nothing */
    ck_assert_int_eq(tx.state, TX_ISSUED);
    ck_assert_str_eq(tx.request, "");
    struct store_write *w = begin();
    ok(store_request_expire(w, 3000, &expired, &err));
    commit(w);
    ck_assert_uint_eq(expired, 1);
    ck_assert_uint_eq(purge(STORE_PURGE_REQUESTS, 9000), 1);
    ok(store_request_get(st, "req_approved", &r, &err)); /* its device may still come */
    store_request_clear(&r);
}
END_TEST

START_TEST(challenges)
{
    struct store_write *w = begin();
    for (unsigned i = 0; i < 2500; i++) {
        struct store_challenge c = {
            .created_at = 1000, .expires_at = i < 2400 ? 2000 : 9000, .uses = 1};
        snprintf(c.id, sizeof c.id, "chl_%u", i);
        hash_of(i, 'c', c.hash);
        ok(store_challenge_put(w, &c, &err));
    }
    commit(w);
    ck_assert_uint_eq(purge(STORE_PURGE_CHALLENGES, 2000), 0);
    ck_assert_uint_eq(purge(STORE_PURGE_CHALLENGES, 2001), 2400);
    ck_assert_uint_eq(purge(STORE_PURGE_CHALLENGES, 2001), 0);
}
END_TEST

/* More than one step holds, and what stays in between is passed over. */
START_TEST(many)
{
    struct store_write *w = begin();
    for (unsigned i = 1; i <= 2600; i++) {
        struct store_cert c = cert_of(i);
        c.not_after = i % 2 ? 2000 : 9000;
        snprintf(c.transaction, sizeof c.transaction, "%s", "");
        ok(store_cert_put(w, &c, &err));
        store_cert_clear(&c);
    }
    commit(w);
    ck_assert_uint_eq(purge(STORE_PURGE_CERTS, 5000), 1300);
    struct store_stats stats;
    ok(store_stats(st, &stats, &err));
    ck_assert_uint_eq(stats.certificates, 1300);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("store/purge");
    TCase *c = tcase_create("purge");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, certificates);
    tcase_add_test(c, revoked);
    tcase_add_test(c, renewed);
    tcase_add_test(c, requests);
    tcase_add_test(c, challenges);
    tcase_add_test(c, many);
    suite_add_tcase(s, c);
    return check_main(s);
}
