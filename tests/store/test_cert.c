#include "check_main.h"
#include "fixture.h"

static uint64_t put(struct store_cert *c)
{
    struct store_write *w = begin();
    ok(store_cert_put(w, c, &err));
    commit(w);
    uint64_t id = c->id;
    return id;
}

static void assert_same(const struct store_cert *a, const struct store_cert *b)
{
    ck_assert_uint_eq(a->id, b->id);
    ck_assert_mem_eq(a->authority, b->authority, 20);
    ck_assert(view_eq(view_of(a->serial, a->serial_len), view_of(b->serial, b->serial_len)));
    ck_assert_int_eq(a->state, b->state);
    ck_assert_int_eq(a->not_before, b->not_before);
    ck_assert_int_eq(a->not_after, b->not_after);
    ck_assert_int_eq(a->issued_at, b->issued_at);
    ck_assert_mem_eq(a->der_hash, b->der_hash, STORE_HASH);
    ck_assert_mem_eq(a->key_hash, b->key_hash, STORE_HASH);
    ck_assert_mem_eq(a->subject_hash, b->subject_hash, STORE_HASH);
    ck_assert_str_eq(a->subject, b->subject);
    ck_assert_str_eq(a->san, b->san);
    ck_assert_str_eq(a->template_name, b->template_name);
    ck_assert_str_eq(a->endpoint, b->endpoint);
    ck_assert_str_eq(a->challenge, b->challenge);
    ck_assert_str_eq(a->challenge_label, b->challenge_label);
    ck_assert_str_eq(a->transaction, b->transaction);
    ck_assert_uint_eq(a->renews, b->renews);
    ck_assert_uint_eq(a->renewed_by, b->renewed_by);
    ck_assert_uint_eq(a->shard, b->shard);
    ck_assert(view_eq(buf_view(&a->der), buf_view(&b->der)));
}

START_TEST(put_and_find)
{
    struct store_cert c = cert_of(7), got = {0};
    c.renews = 3;
    c.shard = 9;
    ck_assert_uint_eq(put(&c), 1);
    reopen();
    ok(store_cert_by_id(st, 1, &got, &err));
    assert_same(&c, &got);
    store_cert_clear(&got);
    ok(store_cert_by_serial(st, authority_a, view_of(c.serial, 16), &got, &err));
    assert_same(&c, &got);
    store_cert_clear(&got);
    ok(store_cert_by_der(st, view_of(c.serial, 16), c.der_hash, &got, &err));
    assert_same(&c, &got);
    store_cert_clear(&got);
    struct store_write *w = begin();
    ok(store_write_cert_by_id(w, 1, &got, &err));
    assert_same(&c, &got);
    store_write_abort(w);
    store_cert_clear(&got);
    store_cert_clear(&c);
}
END_TEST

START_TEST(put_exists)
{
    struct store_cert c = cert_of(1), twin = cert_of(1), other = cert_of(1);
    memcpy(other.authority, authority_b, 20);
    put(&c);
    struct store_write *w = begin();
    fails(store_cert_put(w, &twin, &err), ERR_EXISTS);
    ck_assert_uint_eq(twin.id, 0);
    ok(store_cert_put(w, &other,
                      &err)); /* the same serial from another authority; the batch goes on */
    commit(w);
    ck_assert_uint_eq(other.id, 2);
    struct store_cert got = {0};
    ok(store_cert_by_serial(st, authority_b, view_of(c.serial, 16), &got, &err));
    ck_assert_uint_eq(got.id, 2);
    store_cert_clear(&got);
    store_cert_clear(&c);
    store_cert_clear(&twin);
    store_cert_clear(&other);
}
END_TEST

START_TEST(put_refuses)
{
    struct store_cert c = cert_of(1);
    struct store_write *w = begin();
    c.serial_len = 0;
    fails(store_cert_put(w, &c, &err), ERR_STORE);
    c.serial_len = 41;
    fails(store_cert_put(w, &c, &err), ERR_STORE);
    c.serial_len = 16;
    memset(c.subject, 'x', sizeof c.subject);
    fails(store_cert_put(w, &c, &err), ERR_STORE); /* no NUL */
    strcpy(c.subject, "CN=a");
    struct buf der = c.der;
    c.der = (struct buf){0};
    fails(store_cert_put(w, &c, &err), ERR_STORE);
    c.der = der;
    ok(store_cert_put(w, &c, &err));
    commit(w);
    ck_assert_uint_eq(c.id, 1);
    store_cert_clear(&c);
}
END_TEST

START_TEST(not_found)
{
    struct store_cert c = cert_of(1), got = {0};
    put(&c);
    fails(store_cert_by_id(st, 2, &got, &err), ERR_NOT_FOUND);
    fails(store_cert_by_id(st, 0, &got, &err), ERR_NOT_FOUND);
    fails(store_cert_by_serial(st, authority_b, view_of(c.serial, 16), &got, &err), ERR_NOT_FOUND);
    fails(store_cert_by_serial(st, authority_a, view_of(c.serial, 15), &got, &err), ERR_NOT_FOUND);
    fails(store_cert_by_serial(st, authority_a, view_of(c.serial, 0), &got, &err), ERR_NOT_FOUND);
    fails(store_cert_by_serial(st, authority_a, view_of(c.der.p, 100), &got, &err), ERR_NOT_FOUND);
    fails(store_cert_by_der(st, view_of(c.serial, 16), c.key_hash, &got, &err), ERR_NOT_FOUND);
    fails(store_cert_by_der(st, view_of(c.serial, 15), c.der_hash, &got, &err), ERR_NOT_FOUND);
    fails(store_cert_by_der(st, view_of(c.der.p, 100), c.der_hash, &got, &err), ERR_NOT_FOUND);
    struct store_write *w = begin();
    fails(store_write_cert_by_id(w, 2, &got, &err), ERR_NOT_FOUND);
    store_write_abort(w);
    store_cert_clear(&c);
}
END_TEST

/* Two authorities may give the same serial: the hash tells which certificate it is. */
START_TEST(by_der_of_two)
{
    struct store_cert a = cert_of(1), b = cert_of(1), got = {0};
    memcpy(b.authority, authority_b, 20);
    b.der.p[0] ^= 1;
    hash_of(99, 'd', b.der_hash);
    put(&a);
    put(&b);
    ok(store_cert_by_der(st, view_of(b.serial, 16), b.der_hash, &got, &err));
    ck_assert_uint_eq(got.id, b.id);
    store_cert_clear(&got);
    store_cert_clear(&a);
    store_cert_clear(&b);
}
END_TEST

START_TEST(serial_digits)
{
    static const char *const none[] = {"",       "0x",      "0x12345", "12345",
                                       "12345g", "12:34:5", "123456.."};
    char out[2 * STORE_SERIAL_MAX + 1], longest[2 * STORE_SERIAL_MAX + 2];
    ck_assert(store_serial_digits(view_str("40:A1 b2:C3"), out));
    ck_assert_str_eq(out, "40a1b2c3");
    ck_assert(store_serial_digits(view_str("0X40A1b2"), out));
    ck_assert_str_eq(out, "40a1b2");
    ck_assert(store_serial_digits(view_of("123456..", 6), out)); /* nothing behind is looked at */
    ck_assert_str_eq(out, "123456");
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        ck_assert_msg(!store_serial_digits(view_str(none[i]), out), "%s", none[i]);
    memset(longest, '1', sizeof longest);
    ck_assert(store_serial_digits(view_of(longest, 2 * STORE_SERIAL_MAX), out));
    ck_assert_uint_eq(strlen(out), 2 * STORE_SERIAL_MAX);
    ck_assert(!store_serial_digits(view_of(longest, 2 * STORE_SERIAL_MAX + 1), out));
    ck_assert(store_serial_whole(view_str("0x7F"), out));
    ck_assert_str_eq(out, "7f");
    ck_assert(store_serial_whole(view_str("1234567"), out));
    ck_assert(!store_serial_whole(view_str("7"), out) && !store_serial_whole(view_str("123"), out));
    ck_assert(!store_serial_whole(view_str(""), out) && !store_serial_whole(view_str("zz"), out));
}
END_TEST

static uint64_t id_by_prefix(const char *hex)
{
    struct store_cert got = {0};
    ok(store_cert_by_prefix(st, hex, &got, &err));
    uint64_t id = got.id;
    store_cert_clear(&got);
    return id;
}

START_TEST(by_prefix)
{
    static const struct {
        const char *octets;
        size_t n;
    } serials[] = {
        {"\x12\x34\x56\x78\x01", 5}, {"\x12\x34\x56\x79\x01", 5}, {"\x00\xab\xcd\xef\x02\x03", 6},
        {"\x12\x34\x57", 3},         {"\xab\xcd\xef\x02\x04", 5},
    };
    for (unsigned i = 0; i < 5; i++) {
        struct store_cert c = cert_of(i);
        memcpy(c.serial, serials[i].octets, serials[i].n);
        c.serial_len = serials[i].n;
        put(&c);
        store_cert_clear(&c);
    }
    ck_assert_uint_eq(id_by_prefix("12345678"), 1);
    ck_assert_uint_eq(id_by_prefix("12:34:56:79"), 2);
    ck_assert_uint_eq(id_by_prefix("1234567901"), 2);
    ck_assert_uint_eq(id_by_prefix("123457"), 4);
    ck_assert_uint_eq(id_by_prefix("00ABCDEF0"), 3);
    ck_assert_uint_eq(id_by_prefix("abcdef0203"), 3); /* as tools show it: without the leading 00 */
    ck_assert_uint_eq(id_by_prefix("abcdef0204"), 5);
    struct store_cert got = {0};
    fails(store_cert_by_prefix(st, "1234567", &got, &err), ERR_CONFLICT);
    fails(store_cert_by_prefix(st, "abcdef", &got, &err), ERR_CONFLICT);
    fails(store_cert_by_prefix(st, "12345", &got, &err), ERR_NOT_FOUND);
    fails(store_cert_by_prefix(st, "", &got, &err), ERR_NOT_FOUND);
    fails(store_cert_by_prefix(st, "123458", &got, &err), ERR_NOT_FOUND);
    fails(store_cert_by_prefix(st, "1234570", &got, &err),
          ERR_NOT_FOUND); /* one digit more than it has */
    fails(store_cert_by_prefix(st, "12345x", &got, &err), ERR_NOT_FOUND);
    char longest[83];
    memset(longest, '1', 82);
    longest[82] = '\0';
    fails(store_cert_by_prefix(st, longest, &got, &err), ERR_NOT_FOUND);
    longest[80] = '\0';
    fails(store_cert_by_prefix(st, longest, &got, &err), ERR_NOT_FOUND);
}
END_TEST

/* Short ones are found by all of their digits, and a whole one before those that begin so. */
START_TEST(whole_serials)
{
    static const struct {
        const char *octets;
        size_t n;
    } serials[] = {{"\x01", 1}, {"\x01\x02", 2}, {"\x00\x9f", 2}, {"\x12\x34\x56", 3}, {"\x12\x34\x56\x78", 4}};
    for (unsigned i = 0; i < 5; i++) {
        struct store_cert c = cert_of(i);
        memcpy(c.serial, serials[i].octets, serials[i].n);
        c.serial_len = serials[i].n;
        put(&c);
        store_cert_clear(&c);
    }
    ck_assert_uint_eq(id_by_prefix("01"), 1);
    ck_assert_uint_eq(id_by_prefix("0x0102"), 2);
    ck_assert_uint_eq(id_by_prefix("9F"), 3);
    ck_assert_uint_eq(id_by_prefix("00:9f"), 3);
    ck_assert_uint_eq(id_by_prefix("123456"), 4);
    ck_assert_uint_eq(id_by_prefix("12345678"), 5);
    struct store_cert got = {0}, twin = cert_of(7);
    fails(store_cert_by_prefix(st, "1234", &got, &err), ERR_NOT_FOUND);
    fails(store_cert_by_prefix(st, "1", &got, &err), ERR_NOT_FOUND);
    twin.serial[0] = 1;
    twin.serial_len = 1;
    twin.authority[0] ^= 1;
    put(&twin); /* another authority's */
    store_cert_clear(&twin);
    fails(store_cert_by_prefix(st, "01", &got, &err), ERR_CONFLICT);
}
END_TEST

START_TEST(key_reuse)
{
    struct store_cert first = cert_of(1), renewal = cert_of(2);
    memcpy(renewal.key_hash, first.key_hash, STORE_HASH);
    memcpy(renewal.subject_hash, first.subject_hash, STORE_HASH);
    put(&first);
    put(&renewal);
    enum key_use use = KEY_ELSEWHERE;
    char other[STORE_SUBJECT_MAX] = "?";
    ok(store_key_use(st, first.key_hash, first.subject_hash, &use, other, &err));
    ck_assert_int_eq(use, KEY_SAME);
    ck_assert_str_eq(other, "");
    uint8_t subject[STORE_HASH];
    hash_of(5, 'n', subject);
    ok(store_key_use(st, first.key_hash, subject, &use, other, &err));
    ck_assert_int_eq(use, KEY_ELSEWHERE);
    ck_assert_str_eq(other, "CN=device-1");
    ok(store_key_use(st, subject, subject, &use, other, &err)); /* no such key */
    ck_assert_int_eq(use, KEY_FREE);
    struct store_write *w = begin();
    struct store_cert third = cert_of(3);
    ok(store_cert_put(w, &third, &err));
    ok(store_write_key_use(w, third.key_hash, subject, &use, other, &err));
    ck_assert_int_eq(use, KEY_ELSEWHERE); /* seen inside the write, before it is committed */
    ok(store_key_use(st, third.key_hash, subject, &use, other, &err));
    ck_assert_int_eq(use, KEY_FREE);
    store_write_abort(w);
    store_cert_clear(&first);
    store_cert_clear(&renewal);
    store_cert_clear(&third);
}
END_TEST

START_TEST(key_compromised)
{
    struct store_cert first = cert_of(1), renewal = cert_of(2);
    memcpy(renewal.key_hash, first.key_hash, STORE_HASH);
    put(&first);
    put(&renewal);
    enum key_use use;
    char other[STORE_SUBJECT_MAX];
    struct store_write *w = begin();
    ok(store_cert_revoke(w, renewal.id, CRL_SUPERSEDED, 7, &err));
    ok(store_write_key_use(w, first.key_hash, renewal.subject_hash, &use, other, &err));
    ck_assert_int_eq(use, KEY_ELSEWHERE);
    store_write_abort(w);
    w = begin();
    ok(store_cert_revoke(w, renewal.id, CRL_KEY_COMPROMISE, 7, &err));
    commit(w);
    ok(store_key_use(st, first.key_hash, renewal.subject_hash, &use, other, &err));
    ck_assert_int_eq(use, KEY_COMPROMISED); /* also where another certificate has another subject */
    ck_assert_str_eq(other, "CN=device-2");
    ok(store_key_use(st, first.key_hash, first.subject_hash, &use, other, &err));
    ck_assert_int_eq(use, KEY_COMPROMISED);
    store_cert_clear(&first);
    store_cert_clear(&renewal);
}
END_TEST

START_TEST(renewed)
{
    uint64_t old = put_n(1), new = put_n(2), newer = put_n(3);
    struct store_cert got = {0};
    struct store_write *w = begin();
    fails(store_cert_renewed(w, 9, new, &err), ERR_NOT_FOUND);
    fails(store_cert_renewed(w, old, 9, &err), ERR_NOT_FOUND);
    fails(store_cert_renewed(w, old, old, &err), ERR_CONFLICT);
    ok(store_cert_renewed(w, old, new, &err));
    ok(store_cert_renewed(w, old, newer, &err)); /* again while it is valid: the newest counts */
    ok(store_cert_revoke(w, new, CRL_SUPERSEDED, 5, &err));
    fails(store_cert_renewed(w, new, newer, &err), ERR_CONFLICT);
    ok(store_cert_revoke(w, newer, CRL_HOLD, 5, &err));
    fails(store_cert_renewed(w, newer, old, &err), ERR_CONFLICT);
    commit(w);
    ok(store_cert_by_id(st, old, &got, &err));
    ck_assert_int_eq(got.state, CERT_SUPERSEDED);
    ck_assert_uint_eq(got.renewed_by, newer);
    store_cert_clear(&got);
}
END_TEST

struct listed {
    uint64_t ids[64];
    size_t n, stop_at;
    bool read_inside;
};

static bool listed_add(void *ctx, const struct store_cert *c)
{
    struct listed *l = ctx;
    if (l->read_inside) { /* no transaction is open while the caller works */
        struct store_cert got = {0};
        ok(store_cert_by_id(st, c->id, &got, &err));
        store_cert_clear(&got);
    }
    l->ids[l->n++ % 64] = c->id;
    return l->n != l->stop_at;
}

static size_t list(const struct store_cert_filter *f, struct listed *l)
{
    l->n = 0;
    ok(store_cert_list(st, f, listed_add, l, &err));
    return l->n;
}

START_TEST(listing)
{
    struct listed l = {.read_inside = true};
    struct store_cert_filter f = {.state = -1};
    ck_assert_uint_eq(list(&f, &l), 0);
    struct store_write *w = begin();
    for (unsigned i = 1; i <= 300; i++) { /* more than one portion */
        struct store_cert c = cert_of(i);
        if (i % 100 == 0)
            strcpy(c.endpoint, "/other");
        if (i == 7)
            strcpy(c.template_name, "seven");
        ok(store_cert_put(w, &c, &err));
        store_cert_clear(&c);
    }
    ok(store_cert_revoke(w, 5, CRL_KEY_COMPROMISE, 9, &err));
    commit(w);
    ck_assert_uint_eq(list(&f, &l), 300);
    ck_assert_uint_eq(l.ids[0 + (256 % 64)], 300 - 256); /* newest first: the 257th is 44 */
    f.limit = 3;
    ck_assert_uint_eq(list(&f, &l), 3);
    ck_assert_uint_eq(l.ids[0], 300);
    f.after_id = l.ids[2];
    ck_assert_uint_eq(list(&f, &l), 3);
    ck_assert_uint_eq(l.ids[0], 297);
    f.after_id = 1;
    ck_assert_uint_eq(list(&f, &l), 0);
    f.after_id = 1000;
    ck_assert_uint_eq(list(&f, &l), 3);
    ck_assert_uint_eq(l.ids[0], 300);
    f = (struct store_cert_filter){.state = CERT_REVOKED};
    ck_assert_uint_eq(list(&f, &l), 1);
    ck_assert_uint_eq(l.ids[0], 5);
    f = (struct store_cert_filter){.state = -1, .endpoint = "/other"};
    ck_assert_uint_eq(list(&f, &l), 3);
    f = (struct store_cert_filter){.state = -1, .template_name = "seven"};
    ck_assert_uint_eq(list(&f, &l), 1);
    f = (struct store_cert_filter){.state = -1, .expires_before = 2003};
    ck_assert_uint_eq(list(&f, &l), 2);
    f = (struct store_cert_filter){.state = -1,
                                   .text = "DEVICE-30"}; /* 30, 300, by subject and by SAN */
    ck_assert_uint_eq(list(&f, &l), 2);
    f = (struct store_cert_filter){.state = -1, .text = "299.EXAMPLE"};
    ck_assert_uint_eq(list(&f, &l), 1);
    f = (struct store_cert_filter){.state = -1};
    l.stop_at = 150;
    ck_assert_uint_eq(list(&f, &l), 150);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("store/cert");
    TCase *c = tcase_create("cert");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, put_and_find);
    tcase_add_test(c, put_exists);
    tcase_add_test(c, put_refuses);
    tcase_add_test(c, not_found);
    tcase_add_test(c, by_der_of_two);
    tcase_add_test(c, serial_digits);
    tcase_add_test(c, by_prefix);
    tcase_add_test(c, whole_serials);
    tcase_add_test(c, key_reuse);
    tcase_add_test(c, key_compromised);
    tcase_add_test(c, renewed);
    tcase_add_test(c, listing);
    suite_add_tcase(s, c);
    return check_main(s);
}
