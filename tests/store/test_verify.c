/* White box: damage of every kind is put into a store, and store_verify must name it. */
#include "check_main.h"
#include "fixture.h"
#include "fleet_internal.h"
#include "records.h"

#define CERT_1 "\0\0\0\0\0\0\0\1"
#define CERT_9 "\0\0\0\0\0\0\0\x09"

static uint8_t authority_and_id[28], tx_of_t1[STORE_HASH];

/* Two certificates (1 revoked), a CRL, two challenges, a transaction issued, one pending with its
 * request, three audit entries. */
static void fill(void)
{
    struct store_crl crl = {.number = 1};
    struct store_challenge a = {.id = "chl_a", .hash = "a", .expires_at = 5, .uses = 1};
    struct store_challenge b = {.id = "chl_b", .hash = "b", .uses = 1};
    struct store_tx issued = {
        .endpoint = "/scep", .transaction = "T1", .state = TX_ISSUED, .cert_id = 1};
    struct store_tx waits = {
        .endpoint = "/scep", .transaction = "T2", .state = TX_PENDING, .request = "req_1"};
    struct store_request request = {
        .id = "req_1", .endpoint = "/scep", .transaction = "T2", .expires_at = 9};
    struct store_audit audit = {.event = "event", .text = "text"};
    uint64_t number;
    put_n(1);
    put_n(2);
    ck_assert(buf_append_str(&request.csr, "csr"));
    struct store_write *w = begin();
    ok(store_cert_revoke(w, 1, CRL_KEY_COMPROMISE, 1, &err) && store_cert_renewed(w, 2, 1, &err));
    ok(store_crl_number_next(w, authority_a, 0, &number, &err) &&
       crl_put(w, authority_a, 0, &crl, "crl"));
    ok(store_challenge_put(w, &a, &err) && store_challenge_put(w, &b, &err));
    ok(store_tx_put(w, &issued, NULL, &err) && store_tx_put(w, &waits, NULL, &err));
    ok(store_request_put(w, &request, &err));
    struct store_attempt attempt = {.at = 1, .peer = "192.0.2.1", .fail_info = -1};
    for (int i = 0; i < 3; i++)
        ok(store_attempt_put(w, &attempt, &err));
    for (int i = 0; i < 3; i++)
        ok(store_audit_put(w, &audit, &err));
    commit(w);
    store_request_clear(&request);
    memcpy(authority_and_id, authority_a, 20);
    memcpy(authority_and_id + 20, CERT_1, 8);
    struct key k;
    ok(tx_key(st, "/scep", "T1", &k, &err));
    memcpy(tx_of_t1, k.p, STORE_HASH);
    verify_clean();
}

static void setup_filled(void)
{
    setup();
    fill();
}

struct found {
    char all[8192];
    size_t n;
};

static void found_add(void *ctx, const struct store_problem *p)
{
    struct found *f = ctx;
    f->n++;
    strncat(f->all, p->text, sizeof f->all - strlen(f->all) - 2);
    strcat(f->all, "\n");
}

static void expect(size_t n, const char *text)
{
    struct found f = {.n = 0};
    uint64_t problems = 0;
    ok(store_verify(st, found_add, &f, &problems, &err));
    ck_assert_msg(problems == n && f.n == n, "%zu problems instead of %zu:\n%s", f.n, n, f.all);
    ck_assert_msg(strstr(f.all, text) != NULL, "not found in:\n%s", f.all);
}

static bool first_key(void *ctx, struct view key, struct view value, bool *stop, struct err *e)
{
    *stop = true;
    key_bytes(ctx, key.p, key.n);
    return true;
}

static struct key key_in(enum table table)
{
    struct key k = {.n = 0};
    ok(table_walk(st, table, view_of(NULL, 0), false, first_key, &k, &err));
    ck_assert_uint_gt(k.n, 0);
    return k;
}

static void lose(enum table table, struct view key)
{
    struct store_write *w = begin();
    ok(txn_del(&w->txn, table, key, &err));
    commit(w);
}

static void lose_first(enum table table)
{
    struct key k = key_in(table);
    lose(table, key_view(&k));
}

static void plant(enum table table, struct view key, struct view value)
{
    struct store_write *w = begin();
    ok(txn_put(&w->txn, table, PUT_REPLACE, key, value, &err));
    commit(w);
}

/* Flips the octet `at`, counted from the end, of a record. */
static void alter(enum table table, struct view key, size_t at)
{
    struct view v;
    struct buf copy = {0};
    struct store_write *w = begin();
    ok(txn_get(&w->txn, table, key, &v, &err));
    ck_assert_ptr_nonnull(v.p);
    ck_assert(buf_append(&copy, v.p, v.n));
    copy.p[copy.n - 1 - at] ^= 1;
    ok(txn_put(&w->txn, table, PUT_REPLACE, key, buf_view(&copy), &err));
    commit(w);
    buf_clear(&copy);
}

static const struct view cert_1 = {(const uint8_t *)CERT_1, 8},
                         cert_9 = {(const uint8_t *)CERT_9, 8};

/* The revocation of certificate 1, put under a serial as well. */
static void plant_serial(struct view serial)
{
    struct view v;
    struct buf copy = {0};
    struct store_write *w = begin();
    ok(txn_get(&w->txn, TABLE_REVOKED, view_of(authority_and_id, 28), &v, &err));
    ck_assert(v.p && buf_append(&copy, v.p, v.n));
    store_write_abort(w);
    struct key k = revoked_serial_key(authority_a, serial);
    plant(TABLE_REVOKED, key_view(&k), buf_view(&copy));
    buf_clear(&copy);
}

START_TEST(certificates)
{
    static const char serial_9[] = "\1\5....................";
    switch (_i) {
    case 0:
        lose(TABLE_CERT_DER, cert_1);
        expect(1, "certificate 1 has no DER");
        break;
    case 1:
        alter(TABLE_CERT_DER, cert_1, 3);
        expect(1, "certificate 1: its DER does not have the hash");
        break;
    case 2:
        lose_first(TABLE_CERT_SERIAL);
        expect(1, "is not found by its serial");
        break;
    case 3:
        lose_first(TABLE_CERT_KEY);
        expect(1, "is not found by its key");
        break;
    case 4:
        lose_first(TABLE_REVOKED);
        expect(1, "certificate 1 is revoked and does not stand among the revoked ones");
        break;
    case 5:
        authority_and_id[27] = 2;
        plant(TABLE_REVOKED, view_of(authority_and_id, 28), view_str("\1"));
        expect(1, "certificate 2 is not revoked and stands among the revoked ones");
        break;
    case 6:
        alter(TABLE_REVOKED, view_of(authority_and_id, 28), 12); /* its reason */
        expect(1, "certificate 1 differs from its revocation");
        break;
    case 7:
        plant(TABLE_REVOKED, view_of(authority_and_id, 28), view_str("\1"));
        expect(1, "revocation with key");
        break;
    case 8:
        alter(TABLE_CERT, cert_1, 11); /* renewed_by */
        expect(1, "certificate 1 was renewed by one that does not exist");
        break;
    case 9:
        plant(TABLE_CERT, cert_1, view_str("\x09"));
        expect(1, "version 9");
        break;
    case 10:
        plant(TABLE_CERT_DER, cert_9, view_str("der"));
        expect(1, "a DER belongs to certificate 9, which does not exist");
        break;
    case 11:
        plant(TABLE_CERT_SERIAL, view_of(serial_9, 22), cert_9);
        expect(1, "a serial belongs to certificate 9, which does not exist");
        break;
    case 12:
        plant(TABLE_CERT_SERIAL, view_of(serial_9, 22), cert_1);
        expect(1, "certificate 1 has a second serial entry");
        break;
    case 13:
        plant(TABLE_CERT_KEY, view_of(authority_and_id, 28), view_str("subject"));
        expect(1, "certificate 1 has a second key entry");
        break;
    case 14:
        authority_and_id[27] = 9;
        plant(TABLE_REVOKED, view_of(authority_and_id, 28), view_str("\1"));
        expect(1, "a revocation belongs to certificate 9, which does not exist");
        break;
    case 15: {
        struct key k = key_in(TABLE_CRL);
        struct key number = meta_crl_number(authority_a, 0);
        lose(TABLE_META, key_view(&number));
        expect(1, "CRL 1 has a number above 0");
        plant(TABLE_CRL, key_view(&k), view_str("\1x"));
        expect(1, "damaged CRL");
        break;
    }
    case 16: /* a copy of certificate 1 under another number */
    {
        struct store_cert c = {0};
        struct buf record = {0};
        ok(store_cert_by_id(st, 1, &c, &err));
        ok(cert_write(&c, &record, &err));
        plant(TABLE_CERT, cert_9, buf_view(&record));
        expect(1, "certificate 1 stands under another number");
        store_cert_clear(&c);
        buf_clear(&record);
        break;
    }
    case 17: { /* certificate 1 is revoked: the same again under its serial */
        struct store_cert c = {0};
        ok(store_cert_by_id(st, 1, &c, &err));
        plant_serial(view_of(c.serial, c.serial_len));
        expect(1, "is revoked beside its certificate");
        store_cert_clear(&c);
        break;
    }
    case 18:
        plant_serial(view_str("other"));
        expect(2, "stands under another serial"); /* and beside its certificate */
        break;
    case 19: {
        struct key k = revoked_serial_key(authority_a, view_str("other"));
        plant(TABLE_REVOKED, key_view(&k), view_str("\1"));
        expect(1, "revocation with key");
        break;
    }
    case 20:
        lose_first(TABLE_CERT_SUBJECT);
        expect(1, "is not found by its subject");
        break;
    }
}
END_TEST

START_TEST(counts)
{
    struct key k = meta_cert_count(), first, two = key_id(2);
    struct store_cert c = {0};
    ok(store_cert_by_id(st, 1, &c, &err));
    uint8_t at[3] = {(uint8_t)c.state, 0, 0}; /* 1970: the fixture's end in seconds of that day */
    store_cert_clear(&c);
    key_bytes(&k, at, sizeof at);
    first = k;
    switch (_i) {
    case 0:
        lose(TABLE_META, key_view(&first));
        break;
    case 1: /* another number; both are no count that the fixture has */
        two = key_id(99);
        plant(TABLE_META, key_view(&first), key_view(&two));
        break;
    case 2:
        first.p[3]++;
        plant(TABLE_META, key_view(&first), key_view(&two));
        break;
    case 3:
        first.p[1] = 9; /* a state that does not exist */
        plant(TABLE_META, key_view(&first), key_view(&two));
        break;
    }
    expect(1, "the counts of certificates are not those of the certificates");
}
END_TEST

START_TEST(challenges)
{
    uint8_t a[STORE_HASH] = "a", z[STORE_HASH] = "z";
    switch (_i) {
    case 0:
        lose(TABLE_CHALLENGE_ID, view_str("chl_a"));
        expect(1, "challenge chl_a is not found by its id");
        break;
    case 1:
        lose_first(TABLE_CHALLENGE_END);
        expect(1, "challenge chl_a is not found by its end");
        break;
    case 2:
        plant(TABLE_CHALLENGE_ID, view_str("chl_z"), view_of(z, STORE_HASH));
        expect(1, "an entry by id belongs to a challenge that does not exist");
        break;
    case 3:
        plant(TABLE_CHALLENGE_ID, view_str("chl_z"), view_of(a, STORE_HASH));
        expect(1, "challenge chl_a has a second id");
        break;
    case 4: {
        struct key k = {.n = 0};
        key_time(&k, 77);
        key_bytes(&k, a, STORE_HASH);
        plant(TABLE_CHALLENGE_END, key_view(&k), view_of(NULL, 0));
        expect(1, "challenge chl_a has a second end");
        break;
    }
    case 5:
        lose(TABLE_CHALLENGE, view_of(a, STORE_HASH));
        expect(3, "an entry by end belongs to a challenge that does not exist");
        break;
    case 6:
        plant(TABLE_CHALLENGE, view_of(a, STORE_HASH), view_str("\1no challenge"));
        expect(1, "damaged challenge");
        break;
    }
}
END_TEST

START_TEST(transactions)
{
    struct key count = meta_pending("/scep"), two = key_id(2);
    switch (_i) {
    case 0:
        alter(TABLE_TX, view_of(tx_of_t1, STORE_HASH), 7); /* certificate 1 becomes 0 or another */
        expect(1, "transaction T1 was answered with certificate");
        break;
    case 1:
        plant(TABLE_TX, view_of(tx_of_t1, STORE_HASH), view_str("\1"));
        expect(1, "damaged transaction");
        break;
    case 2: {
        struct store_tx tx;
        struct buf record = {0};
        ok(store_tx_get(st, "/scep", "T1", &tx, &err));
        ok(tx_write(&tx, &record, &err));
        tx_of_t1[0] ^= 1;
        plant(TABLE_TX, view_of(tx_of_t1, STORE_HASH), buf_view(&record));
        expect(1, "transaction T1 stands under another key");
        buf_clear(&record);
        break;
    }
    case 3:
        lose(TABLE_REQUEST_DATA, view_str("req_1"));
        expect(1, "request req_1 has no data");
        break;
    case 4:
        lose_first(TABLE_PENDING);
        expect(1, "request req_1 is pending and does not stand in the queue");
        break;
    case 5:
        lose(TABLE_REQUEST, view_str("req_1"));
        expect(5, "transaction T2 waits for request req_1, which does not exist");
        break;
    case 6: {
        struct key k = {.n = 0};
        key_time(&k, 9);
        key_bytes(&k, "req_2", 5);
        plant(TABLE_PENDING, key_view(&k), view_of(NULL, 0));
        expect(1, "the queue of pending requests names req_2 wrongly");
        break;
    }
    case 7: {
        struct key k;
        ok(tx_key(st, "/scep", "T2", &k, &err));
        lose(TABLE_TX, key_view(&k));
        expect(1, "request req_1 is pending and its transaction is not");
        break;
    }
    case 8:
        plant(TABLE_REQUEST_DATA, view_str("req_1"), view_str("\1"));
        expect(1, "damaged request data");
        break;
    case 9:
        plant(TABLE_META, key_view(&count), key_view(&two));
        expect(1, "1 requests are pending at /scep and 2 are counted");
        break;
    case 10:
        lose(TABLE_META, key_view(&count));
        expect(1, "1 requests are pending, 0 of them at endpoints that count them");
        break;
    }
}
END_TEST

START_TEST(audit)
{
    struct key first = key_id(1), second = key_id(2), last = key_id(3), head = meta_audit_head();
    switch (_i) {
    case 0: /* the text of an entry */
        alter(TABLE_AUDIT, key_view(&second), STORE_HASH + 1);
        expect(1, "the audit chain is broken at entry 2");
        break;
    case 1: /* its chain value: the next does not follow either */
        alter(TABLE_AUDIT, key_view(&second), 0);
        expect(2, "the audit chain is broken at entry 3");
        break;
    case 2:
        lose(TABLE_AUDIT, key_view(&first));
        expect(2, "audit entry 1 is missing");
        break;
    case 3:
        lose(TABLE_AUDIT, key_view(&second));
        expect(2, "audit entry 2 is missing");
        break;
    case 4:
        lose(TABLE_AUDIT, key_view(&last));
        expect(1, "the audit log ends at entry 2 and should end at 3");
        break;
    case 5:
        plant(TABLE_AUDIT, key_view(&last), view_str("\1"));
        expect(2, "damaged audit record");
        break;
    case 6:
        plant(TABLE_META, key_view(&head), view_str("x"));
        expect(1, "damaged head of the audit chain");
        break;
    }
}
END_TEST

START_TEST(attempts)
{
    static const struct view first = {(const uint8_t *)CERT_1, 8},
                             ninth = {(const uint8_t *)CERT_9, 8};
    struct key counter = meta_attempts();
    struct view record;
    struct buf copy = {0};
    switch (_i) {
    case 0: /* forgetting is no damage */
        lose_first(TABLE_ATTEMPT);
        verify_clean();
        break;
    case 1:
        alter(TABLE_ATTEMPT, first, 0);
        expect(1, "attempt with key 0000000000000001: the store has a damaged attempt record");
        break;
    case 2: {
        struct store_write *w = begin();
        ok(txn_get(&w->txn, TABLE_ATTEMPT, first, &record, &err));
        ck_assert(buf_append(&copy, record.p, record.n));
        ok(txn_put(&w->txn, TABLE_ATTEMPT, PUT_REPLACE, ninth, buf_view(&copy), &err));
        commit(w);
        buf_clear(&copy);
        expect(1, "attempt 1 stands under another number");
        break;
    }
    case 3:
        plant(TABLE_META, key_view(&counter), view_of(CERT_1, 8));
        expect(1, "attempts end at 3 and are counted to 1");
        break;
    default:
        plant(TABLE_META, key_view(&counter), view_str("short"));
        expect(1, "a counter has 5 octets");
    }
}
END_TEST

static void check_span(struct store_audit_span *span, uint64_t most)
{
    ok(store_audit_check(st, span, most, &err));
}

START_TEST(audit_bit_by_bit)
{
    struct store_audit_span all = {0}, slow = {0}, late = {0};
    check_span(&all, 100);
    ck_assert(!all.broken);
    ck_assert_uint_eq(all.from, 1);
    ck_assert_uint_eq(all.to, 3);
    check_span(&late, 1); /* begins one before the newest */
    ck_assert(!late.broken);
    ck_assert_uint_eq(late.from, 2);
    ck_assert_uint_eq(late.to, 3);
    check_span(&slow, 2);
    ck_assert_uint_eq(slow.from, 1);
    ck_assert_uint_eq(slow.to, 3);
    check_span(&slow, 2); /* nothing is left */
    ck_assert(!slow.broken);
    ck_assert_uint_eq(slow.to, 3);
    ck_assert_mem_eq(slow.chain, all.chain, STORE_HASH);
}
END_TEST

START_TEST(audit_bit_by_bit_broken)
{
    struct key first = key_id(1), second = key_id(2), last = key_id(3), head = meta_audit_head();
    struct store_audit_span before = {0}, span = {0};
    struct key one = key_id(1);
    uint64_t to = 0;
    check_span(&before, 100);
    switch (_i) {
    case 0:
        alter(TABLE_AUDIT, key_view(&second), STORE_HASH + 1);
        to = 1;
        break;
    case 1:
        alter(TABLE_AUDIT, key_view(&second), 0);
        to = 1;
        break;
    case 2:
        lose(TABLE_AUDIT, key_view(&first));
        break;
    case 3:
        lose(TABLE_AUDIT, key_view(&last));
        to = 2;
        break;
    case 4:
        plant(TABLE_AUDIT, key_view(&last), view_str("\1"));
        to = 2;
        break;
    case 5: /* the newest entries were cut off, and their head with them */
        key_bytes(&one, before.chain, STORE_HASH);
        plant(TABLE_META, key_view(&head), key_view(&one));
        check_span(&before, 100);
        ck_assert(before.broken);
        to = 1;
        break;
    }
    check_span(&span, 100);
    ck_assert(span.broken);
    ck_assert_uint_eq(span.to, to);
    check_span(&span, 100); /* and stays so */
    ck_assert(span.broken);
    ck_assert_uint_eq(span.to, to);
}
END_TEST

/* A device in two ways in a policy, and one thing of each kind that is its own. */
static void fill_fleet(void)
{
    struct store_device d = {.id = "dev_1", .name = "iPad", .serial_number = "SN1", .user = "Anna"};
    struct store_group g = {.id = "grp_1", .name = "Sales"},
                       u = {.id = "grp_2", .name = "People", .users = true};
    struct store_policy p = {.id = "pol_1", .name = "Corp"};
    struct store_challenge c = {.id = "chl_d",
                                .hash = "d",
                                .uses = 1,
                                .created_at = 3,
                                .device = "dev_1",
                                .policy = "pol_1"};
    struct store_tx waits = {
        .endpoint = "/scep", .transaction = "T9", .state = TX_PENDING, .request = "req_9"};
    struct store_request r = {.id = "req_9",
                              .endpoint = "/scep",
                              .transaction = "T9",
                              .created_at = 4,
                              .device = "dev_1"};
    struct store_attempt t = {.at = 1, .fail_info = -1, .policy = "pol_1"};
    struct store_audit a = {.event = "device.created", .object = "dev_1"};
    struct store_cert cert = cert_of(3);
    strcpy(cert.device, "dev_1");
    struct store_write *w = begin();
    ok(store_device_put(w, &d, &err) && store_group_put(w, &g, &err) &&
       store_group_put(w, &u, &err) && store_policy_put(w, &p, &err));
    ok(store_group_add(w, "grp_1", "dev_1", "anna", 1, &err) &&
       store_group_add(w, "grp_2", "Anna", "anna", 1, &err));
    ok(store_policy_assign(w, "pol_1", "dev_1", "anna", 1, &err) &&
       store_policy_assign(w, "pol_1", "grp_2", "anna", 1, &err));
    ok(store_policy_assign(w, "pol_1", "grp_1", "anna", 1, &err) &&
       store_policy_unassign(w, "pol_1", "grp_1", "anna", 1, &err));
    ok(store_challenge_put(w, &c, &err) && store_tx_put(w, &waits, NULL, &err) &&
       store_request_put(w, &r, &err));
    ok(store_attempt_put(w, &t, &err) && store_audit_put(w, &a, &err) &&
       store_cert_put(w, &cert, &err));
    commit(w);
    store_cert_clear(&cert);
    verify_clean();
}

static void lose_link(const char *owner, enum link_kind kind, const char *gone)
{
    struct key prefix = link_prefix(owner, kind), k = {.n = 0};
    struct store_write *w = begin();
    ok(txn_walk(&w->txn, TABLE_LINK, key_view(&prefix), first_key, &k, &err));
    ck_assert_uint_gt(k.n, 0);
    ok(txn_del(&w->txn, TABLE_LINK, key_view(&k), &err));
    commit(w);
    expect(1, gone);
}

static void plant_link(const char *owner, enum link_kind kind, struct view number)
{
    struct key k = link_prefix(owner, kind);
    key_bytes(&k, number.p, number.n);
    plant(TABLE_LINK, key_view(&k), view_of(NULL, 0));
    expect(1, "that is not its own");
}

START_TEST(links)
{
    uint8_t made[8 + STORE_HASH] = {0x80, [7] = 3, [8] = 'd'};
    fill_fleet();
    switch (_i) {
    case 0:
        lose_link("dev_1", LINK_CERT, "a record of kind C is not found by dev_1");
        break;
    case 1:
        lose_link("dev_1", LINK_CHALLENGE, "a record of kind H is not found by dev_1 or pol_1");
        break;
    case 2:
        lose_link("pol_1", LINK_CHALLENGE, "a record of kind H is not found by dev_1 or pol_1");
        break;
    case 3:
        lose_link("dev_1", LINK_REQUEST, "a record of kind Q is not found by dev_1");
        break;
    case 4:
        lose_link("pol_1", LINK_ATTEMPT, "a record of kind A is not found by pol_1");
        break;
    case 5:
        lose_link("dev_1", LINK_AUDIT, "a record of kind U is not found by dev_1");
        break;
    case 6:
        plant_link("dev_2", LINK_CERT, view_of("\0\0\0\0\0\0\0\3", 8));
        break;
    case 7:
        plant_link("dev_1", LINK_CERT, cert_9); /* there is none */
        break;
    case 8:
        plant_link("dev_2", LINK_CHALLENGE, view_of(made, sizeof made));
        break;
    case 9:
        made[7] = 4; /* made then it was not */
        plant_link("dev_1", LINK_CHALLENGE, view_of(made, sizeof made));
        break;
    case 10:
        plant_link("pol_1", LINK_REQUEST, view_of("\x80\0\0\0\0\0\0\4req_9", 13));
        break;
    case 11:
        plant_link("dev_1", LINK_ATTEMPT, view_of("\0\0\0\0\0\0\0\4", 8));
        break;
    case 12:
        plant_link("pol_1", LINK_AUDIT, view_of("\0\0\0\0\0\0\0\4", 8));
        break;
    case 13:
        plant_link("dev_1", (enum link_kind)'Z', view_str("1"));
        break;
    case 14:
        plant(TABLE_LINK, view_str("dev_1"), view_of(NULL, 0));
        expect(1, "a link of 5 octets is damaged");
        break;
    }
}
END_TEST

START_TEST(fleet)
{
    fill_fleet();
    struct key k = name_key('d', "iPad"), tie = tie_key("pol_1", "dev_1"),
               untied = tie_key("pol_1", "grp_1");
    struct key count = meta_device_count(0);
    switch (_i) {
    case 0:
        lose(TABLE_NAME, key_view(&k));
        expect(1, "device dev_1 is not found by its name");
        break;
    case 1:
        plant(TABLE_NAME, view_str("dother"), view_str("dev_1"));
        expect(1, "a name of kind d names dev_1 wrongly");
        break;
    case 2:
        plant(TABLE_NAME, view_str("gother"), view_str("grp_9"));
        expect(1, "a name of kind g names grp_9 wrongly");
        break;
    case 3:
        k = handle_key(NAME_USER, "anna", "dev_1");
        lose(TABLE_NAME, key_view(&k));
        expect(1, "device dev_1 is not found by its user");
        break;
    case 4:
        k = handle_key(NAME_SERIAL, "other", "dev_1");
        plant(TABLE_NAME, key_view(&k), view_of(NULL, 0));
        expect(1, "a name of kind s names dev_1 wrongly");
        break;
    case 5:
        plant(TABLE_DEVICE, view_str("dev_1"), view_str("\1x"));
        expect(4, "damaged device"); /* name and handles lead nowhere */
        break;
    case 6:
        k = tie_of_key(false, "dev_1", "pol_1");
        lose(TABLE_TIE_OF, key_view(&k));
        expect(1, "dev_1 does not know that pol_1 holds it");
        break;
    case 7:
        lose(TABLE_TIE, key_view(&tie));
        expect(1, "pol_1 does not know that it holds dev_1");
        break;
    case 8:
        plant(TABLE_TIE, key_view(&untied), view_str("\1x"));
        expect(1, "damaged tie");
        break;
    case 9: {
        struct view v;
        struct buf copy = {0};
        struct store_write *w = begin();
        ok(txn_get(&w->txn, TABLE_TIE, key_view(&tie), &v, &err));
        ck_assert(buf_append(&copy, v.p, v.n));
        store_write_abort(w);
        plant(TABLE_UNTIED, key_view(&tie), buf_view(&copy));
        expect(1, "pol_1 holds dev_1 and remembers that it does not");
        buf_clear(&copy);
        break;
    }
    case 10:
        plant(TABLE_UNTIED, key_view(&untied), view_str("\7"));
        expect(1, "version 7");
        break;
    case 11: {
        uint8_t five[8] = {[7] = 5};
        plant(TABLE_META, key_view(&count), view_of(five, 8));
        expect(1, "the counts of devices are not those of the devices");
        break;
    }
    case 12: /* the group is gone, its ties are not */
        lose(TABLE_GROUP, view_str("grp_2"));
        k = name_key('g', "People");
        lose(TABLE_NAME, key_view(&k));
        expect(3, "grp_2 holds anna, and it does not exist");
        break;
    case 13:
        lose_first(TABLE_CHALLENGE_MADE);
        expect(1, "is not found by the time it was made");
        break;
    case 14:
        lose_first(TABLE_REQUEST_MADE);
        expect(1, "is not found by the time it was made");
        break;
    case 15:
        plant(TABLE_REQUEST_MADE, view_of("\x80\0\0\0\0\0\0\7req_9", 13), view_of(NULL, 0));
        expect(1, "the requests by time name req_9 wrongly");
        break;
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("store/verify");
    TCase *c = tcase_create("verify");
    tcase_add_checked_fixture(c, setup_filled, teardown);
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, certificates, 0, 21);
    tcase_add_loop_test(c, counts, 0, 4);
    tcase_add_loop_test(c, challenges, 0, 7);
    tcase_add_loop_test(c, transactions, 0, 11);
    tcase_add_loop_test(c, audit, 0, 7);
    tcase_add_loop_test(c, attempts, 0, 5);
    tcase_add_test(c, audit_bit_by_bit);
    tcase_add_loop_test(c, audit_bit_by_bit_broken, 0, 6);
    tcase_add_loop_test(c, links, 0, 15);
    tcase_add_loop_test(c, fleet, 0, 16);
    suite_add_tcase(s, c);
    return check_main(s);
}
