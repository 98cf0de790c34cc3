/* White box: the bounded reader and writer, and every record cut and altered at every place. */
#include "check_main.h"
#include "fixture.h"
#include "records.h"
#include "store/account.h"

START_TEST(fields)
{
    struct buf b = {0};
    uint8_t raw[3] = {0};
    char text[8] = "";
    struct record_writer w = record_begin(&b, 7);
    write_u8(&w, 200);
    write_u32(&w, 0x12345678);
    write_u64(&w, UINT64_MAX - 1);
    write_i64(&w, -5);
    write_bytes(&w, "abc", 3);
    write_text(&w, "text", sizeof text);
    write_blob(&w, view_str("blob"));
    ok(record_written(&w, "test", &err));
    struct record_reader r;
    ok(record_open(&r, buf_view(&b), 7, "test", &err));
    ck_assert_uint_eq(read_u8(&r), 200);
    ck_assert_uint_eq(read_u32(&r), 0x12345678);
    ck_assert_uint_eq(read_u64(&r), UINT64_MAX - 1);
    ck_assert_int_eq(read_i64(&r), -5);
    read_bytes(&r, raw, 3);
    ck_assert_mem_eq(raw, "abc", 3);
    fails(record_close(&r, "test", &err), ERR_STORE); /* something is left */
    read_text(&r, text, sizeof text);
    ck_assert_str_eq(text, "text");
    ck_assert(view_eq(read_blob(&r), view_str("blob")));
    ok(record_close(&r, "test", &err));
    ck_assert_uint_eq(read_u64(&r), 0); /* behind the end: nothing, and bad from here on */
    fails(record_close(&r, "test", &err), ERR_STORE);
    fails(record_open(&r, buf_view(&b), 6, "test", &err), ERR_STORE);
    fails(record_open(&r, view_of(NULL, 0), 7, "test", &err), ERR_STORE);
    buf_clear(&b);
}
END_TEST

START_TEST(texts)
{
    struct buf b = {0};
    char full[4] = {'a', 'b', 'c', 'd'}, out[4] = "old";
    struct record_writer w = record_begin(&b, 1);
    write_text(&w, full, sizeof full);
    fails(record_written(&w, "test", &err), ERR_STORE);
    static const uint8_t too_long[] = {1, 0, 4, 'a', 'b', 'c', 'd'}, with_nul[] = {1, 0, 2, 'a', 0},
                         cut[] = {1, 0, 3, 'a', 'b'};
    static const struct view bad[] = {
        {too_long, sizeof too_long}, {with_nul, sizeof with_nul}, {cut, sizeof cut}};
    for (size_t i = 0; i < 3; i++) {
        struct record_reader r;
        ok(record_open(&r, bad[i], 1, "test", &err));
        read_text(&r, out, sizeof out);
        fails(record_close(&r, "test", &err), ERR_STORE);
        ck_assert_str_eq(out, "old");
    }
    buf_clear(&b);
    text_put(out, sizeof out, "a\u00e9\u00e9");
    ck_assert_str_eq(out, "a\u00e9");
    text_put(out, sizeof out, NULL);
    ck_assert_str_eq(out, "");
}
END_TEST

/* Every reader of records in one form. */
static bool cert_any(struct view v)
{
    struct store_cert c = {0};
    return cert_read(v, &c, &err);
}

static bool revoked_any(struct view v)
{
    struct store_revoked r = {.serial_len = 0};
    return revoked_read(v, &r, &err);
}

static bool crl_any(struct view v)
{
    struct store_crl c = {0};
    bool read = crl_read(v, &c, &err);
    store_crl_clear(&c);
    return read;
}

static bool challenge_any(struct view v)
{
    struct store_challenge c;
    return challenge_read(v, &c, &err);
}

static bool tx_any(struct view v)
{
    struct store_tx t;
    return tx_read(v, &t, &err);
}

static bool request_any(struct view v)
{
    struct store_request r;
    return request_read(v, &r, &err);
}

static bool data_any(struct view v)
{
    struct store_request r = {.id = ""};
    bool read = request_data_read(v, &r, &err);
    store_request_clear(&r);
    return read;
}

static bool audit_any(struct view v)
{
    struct store_audit a;
    return audit_read(v, &a, &err);
}

static const struct {
    enum table table;
    bool (*read)(struct view v);
} kinds[] = {
    {TABLE_CERT, cert_any},           {TABLE_REVOKED, revoked_any}, {TABLE_CRL, crl_any},
    {TABLE_CHALLENGE, challenge_any}, {TABLE_TX, tx_any},           {TABLE_REQUEST, request_any},
    {TABLE_REQUEST_DATA, data_any},   {TABLE_AUDIT, audit_any},
};

/* One record of each kind. */
static void fill(void)
{
    struct store_write *w = NULL;
    struct store_crl crl = {.number = 1};
    struct store_challenge challenge = {.id = "chl_1", .expires_at = 5, .label = "label"};
    struct store_tx tx = {.endpoint = "/scep", .transaction = "T"};
    struct store_request request = {.id = "req_1", .endpoint = "/scep", .transaction = "T"};
    struct store_audit audit = {.event = "event", .text = "text"};
    uint64_t number;
    put_n(1);
    ck_assert(buf_append_str(&request.csr, "csr"));
    w = begin();
    ok(store_cert_revoke(w, 1, CRL_HOLD, 1, &err) &&
       store_crl_number_next(w, authority_a, 0, &number, &err) &&
       crl_put(w, authority_a, 0, &crl, "crl") && store_challenge_put(w, &challenge, &err) &&
       store_tx_put(w, &tx, NULL, &err) && store_request_put(w, &request, &err) &&
       store_audit_put(w, &audit, &err));
    commit(w);
    store_request_clear(&request);
}

static bool first(void *ctx, struct view key, struct view value, bool *stop, struct err *e)
{
    *stop = true;
    return buf_append(ctx, value.p, value.n);
}

static struct buf record_of(enum table table)
{
    struct buf b = {0};
    ok(table_walk(st, table, view_of(NULL, 0), false, first, &b, &err));
    ck_assert_uint_gt(b.n, 1);
    return b;
}

/* A copy of exactly the size, so that a sanitizer sees every octet read too far. */
static bool read_copy(bool (*read)(struct view v), const uint8_t *p, size_t n)
{
    uint8_t *copy = malloc(n ? n : 1);
    if (n)
        memcpy(copy, p, n);
    err_clear(&err);
    bool done = read(view_of(copy, n));
    free(copy);
    return done;
}

START_TEST(cut_anywhere)
{
    struct buf b = record_of(kinds[_i].table);
    ck_assert(read_copy(kinds[_i].read, b.p, b.n));
    for (size_t n = 0; n < b.n; n++) {
        ck_assert(!read_copy(kinds[_i].read, b.p, n));
        ck_assert_int_eq(err.kind, ERR_STORE);
    }
    ck_assert(buf_append(&b, "x", 1));
    ck_assert(!read_copy(kinds[_i].read, b.p, b.n));
    ck_assert_int_eq(err.kind, ERR_STORE);
    buf_clear(&b);
}
END_TEST

START_TEST(altered_anywhere)
{
    struct buf b = record_of(kinds[_i].table);
    for (size_t i = 0; i < b.n; i++) {
        static const uint8_t values[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
        uint8_t was = b.p[i];
        for (size_t v = 0; v < sizeof values; v++) {
            b.p[i] = values[v];
            if (!read_copy(kinds[_i].read, b.p, b.n))
                ck_assert_int_eq(err.kind, ERR_STORE);
        }
        b.p[i] = was;
    }
    b.p[0]++;
    ck_assert(!read_copy(kinds[_i].read, b.p, b.n));
    ck_assert_ptr_nonnull(strstr(err.text, "version 2"));
    buf_clear(&b);
}
END_TEST

/* As the first stores with tokens have it: without the one that made it. */
START_TEST(a_token_of_version_1)
{
    struct store_token got;
    const uint8_t hash[STORE_HASH] = {7};
    struct buf b = {0};
    struct record_writer w = record_begin(&b, 1);
    write_text(&w, "tok_00000001", 32);
    write_u8(&w, TOKEN_SESSION);
    write_bytes(&w, hash, sizeof hash);
    write_text(&w, "adm_000001", 32);
    write_text(&w, "a label", 128);
    for (int64_t i = 1; i <= 3; i++)
        write_i64(&w, i);
    write_text(&w, "192.0.2.1", 64);
    write_text(&w, "root", 64);
    write_u64(&w, 5);
    ck_assert(record_written(&w, "token", &err));
    ck_assert_msg(token_read(buf_view(&b), &got, &err), "%s", err.text);
    ck_assert_str_eq(got.parent, "");
    ck_assert_int_eq(got.expires_at, 2);
    ck_assert_uint_eq(got.version, 5);
    ck_assert_mem_eq(got.hash, hash, sizeof hash);
    b.p[0] = 2; /* which has one member more */
    ck_assert(!token_read(buf_view(&b), &got, &err));
    buf_clear(&b);
}
END_TEST

static void setup_filled(void)
{
    setup();
    fill();
}

int main(void)
{
    Suite *s = suite_create("store/record");
    TCase *c = tcase_create("record");
    tcase_add_checked_fixture(c, setup_filled, teardown);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, fields);
    tcase_add_test(c, texts);
    tcase_add_loop_test(c, cut_anywhere, 0, sizeof kinds / sizeof kinds[0]);
    tcase_add_loop_test(c, altered_anywhere, 0, sizeof kinds / sizeof kinds[0]);
    tcase_add_test(c, a_token_of_version_1);
    suite_add_tcase(s, c);
    return check_main(s);
}
