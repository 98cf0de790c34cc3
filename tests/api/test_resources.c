/* Certificates, requests, challenges and what is told of them, called from memory. */
#include <openssl/evp.h>

#include "api_fixture.h"
#include "check_main.h"

#include "api/api.h"
#include "enroll/enroll.h"
#include "records.h" /* white box: damaged records */

static struct config config;
static struct config_rooms rooms;

static void setup(void)
{
    api_setup();
    config = (struct config){.url = "http://scep.example.org", .endpoint_n = 1};
    snprintf(config.endpoint[0].path, sizeof config.endpoint[0].path, "/scep");
    rooms = (struct config_rooms){.member_n = 0};
    memset(rooms.challenge_key.bytes, 7, sizeof rooms.challenge_key.bytes);
    world.config = &config;
    world.rooms = &rooms;
}

static void nothing_wrong(void *ctx, const struct store_problem *p)
{
    ck_abort_msg("%s", p->text);
}

static void teardown(void)
{
    uint64_t problems;
    ck_assert(store_verify(world.store, nothing_wrong, NULL, &problems, &err));
    api_teardown();
}

/* ---- records ---- */

static uint64_t put_cert(unsigned n)
{
    struct store_cert c = {.serial_len = 16,
                           .issued_at = NOW - 100 + n,
                           .not_before = NOW - 100,
                           .not_after = NOW + 86400 * (int64_t)(n + 1)};
    struct store_write *w = NULL;
    c.serial[0] = 0x40;
    c.serial[1] = (uint8_t)(n >> 8);
    c.serial[2] = (uint8_t)n;
    memset(c.key_hash, (int)n, sizeof c.key_hash);
    snprintf(c.subject, sizeof c.subject, "CN=device-%u", n);
    snprintf(c.template_name, sizeof c.template_name, n % 2 ? "odd" : "even");
    ck_assert(buf_append(&c.der, &n, sizeof n));
    ck_assert(EVP_Digest(c.der.p, c.der.n, c.der_hash, NULL, EVP_sha256(), NULL) == 1);
    ck_assert(store_write_begin(world.store, &w, &err));
    ck_assert_msg(store_cert_put(w, &c, &err), "%s", err.text);
    ck_assert(store_write_commit(w, &err));
    uint64_t id = c.id;
    store_cert_clear(&c);
    return id;
}

static void put_request(const char *id)
{
    struct store_request r = {
        .state = REQUEST_PENDING, .created_at = NOW - 10, .expires_at = NOW + 1000};
    struct store_tx t = {.state = TX_PENDING, .created_at = NOW - 10, .changed_at = NOW - 10};
    struct store_write *w = NULL;
    snprintf(r.id, sizeof r.id, "%s", id);
    snprintf(r.endpoint, sizeof r.endpoint, "/scep");
    snprintf(r.transaction, sizeof r.transaction, "tx-%s", id);
    snprintf(r.subject, sizeof r.subject, "CN=evil\x1b[31m\xff,O=\"<script>\"");
    ck_assert(buf_append_str(&r.csr, "none"));
    snprintf(t.endpoint, sizeof t.endpoint, "/scep");
    snprintf(t.transaction, sizeof t.transaction, "%s", r.transaction);
    snprintf(t.request, sizeof t.request, "%s", id);
    ck_assert(store_write_begin(world.store, &w, &err));
    ck_assert_msg(store_request_put(w, &r, &err) && store_tx_put(w, &t, NULL, &err), "%s",
                  err.text);
    ck_assert(store_write_commit(w, &err));
    store_request_clear(&r);
}

static size_t items(void)
{
    return json_array_size(json_object_get(answer, "items"));
}

static const char *item(size_t i, const char *name)
{
    const char *s = json_string_value(
        json_object_get(json_array_get(json_object_get(answer, "items"), i), name));
    return s ? s : "";
}

/* ---- certificates ---- */

START_TEST(certificates_by_page)
{
    char path[700];
    size_t seen = 0;
    for (unsigned n = 0; n < 25; n++)
        put_cert(n);
    snprintf(path, sizeof path, "/api/v1/certificates?limit=10");
    for (int pages = 0; pages < 4; pages++) {
        call(HTTP_GET, path, NULL);
        is(200);
        for (size_t i = 0; i < items(); i++) {
            char subject[64];
            snprintf(subject, sizeof subject, "CN=device-%zu", 24 - seen++);
            ck_assert_str_eq(item(i, "subject"), subject);
        }
        if (!*text("next"))
            break;
        put_cert(100 + (unsigned)pages); /* what comes meanwhile is newer, and moves nothing */
        snprintf(path, sizeof path, "/api/v1/certificates?limit=10&cursor=%s", text("next"));
    }
    ck_assert_uint_eq(seen, 25);
    call(HTTP_GET, "/api/v1/certificates?template=odd&limit=500", NULL);
    ck_assert_uint_eq(items(), 12 + 1);
    call(HTTP_GET, "/api/v1/certificates?q=DEVICE-24", NULL);
    ck_assert_uint_eq(items(), 1);
    call(HTTP_GET, "/api/v1/certificates?q=40:00:18", NULL);
    ck_assert_uint_eq(items(), 1);
    ck_assert_str_eq(item(0, "subject"), "CN=device-24");
    call(HTTP_GET, "/api/v1/certificates?cursor=nonsense", NULL);
    is_problem(422, "input.invalid");
}
END_TEST

START_TEST(certificate_is_revoked_once)
{
    char etag[40];
    const char *path = "/api/v1/certificates/400001";
    put_cert(1);
    call(HTTP_GET, path, NULL);
    is(200);
    ck_assert_str_eq(text("state"), "active");
    snprintf(etag, sizeof etag, "%s", text("etag"));
    call(HTTP_POST, "/api/v1/certificates/400001/revoke", "{\"reason\":\"key-compromise\"}");
    is_problem(428, "condition.needed");
    call_with(HTTP_POST, "/api/v1/certificates/400001/revoke", "{\"reason\":\"hold\"}",
              API_IF_MATCH, etag);
    is(200);
    ck_assert_str_eq(text("state"), "held");
    call_with(HTTP_POST, "/api/v1/certificates/400001/revoke", "{}", API_IF_MATCH, etag);
    is_problem(412, "changed");
    ck_assert_str_eq(
        json_string_value(json_object_get(json_object_get(answer, "current"), "state")), "held");
    call_with(HTTP_POST, "/api/v1/certificates/400001/release", NULL, API_IF_MATCH, "*");
    is(200);
    ck_assert_str_eq(text("state"), "active");
    call_with(HTTP_POST, "/api/v1/certificates/400001/release", NULL, API_IF_MATCH, "*");
    is_problem(409, "conflict");
    call(HTTP_GET, "/api/v1/certificates/4000ff", NULL);
    is_problem(404, "not_found");
    call(HTTP_GET, "/api/v1/certificates/zz", NULL);
    is_problem(404, "not_found");
    call(HTTP_GET, "/api/v1/audit?event=certificate.", NULL);
    ck_assert_uint_eq(items(), 2);
    ck_assert_str_eq(item(0, "event"), "certificate.released");
    ck_assert_str_eq(item(0, "actor"), "root");
}
END_TEST

/* ---- requests ---- */

START_TEST(request_is_decided_once)
{
    char etag[40];
    put_request("req_aaaaaa");
    call(HTTP_GET, "/api/v1/requests?state=pending", NULL);
    is(200);
    ck_assert_uint_eq(items(), 1);
    ck_assert_str_eq(item(0, "subject"), "CN=evil\\x1b[31m\\xff,O=\"<script>\"");
    snprintf(etag, sizeof etag, "%s", item(0, "etag"));
    call_with(HTTP_POST, "/api/v1/requests/req_aaaaaa/deny", "{\"note\":\"not ours\"}",
              API_IF_MATCH, etag);
    is(200);
    ck_assert_str_eq(text("state"), "denied");
    ck_assert_str_eq(text("note"), "not ours");
    ck_assert_str_eq(text("decided_by"), "root");
    call_with(HTTP_POST, "/api/v1/requests/req_aaaaaa/approve", NULL, API_IF_MATCH, etag);
    is_problem(412, "changed");
    call(HTTP_GET, "/api/v1/requests/req_aaaaaa", NULL);
    is(200);
    ck_assert_str_ne(text("csr"), ""); /* it cannot be read, and says so */
    call(HTTP_GET, "/api/v1/requests/req_zzzzzz", NULL);
    is_problem(404, "not_found");
}
END_TEST

/* ---- challenges ---- */

START_TEST(secret_is_shown_once)
{
    char id[64], secret[128], path[128], etag[40];
    call(HTTP_POST, "/api/v1/challenges", "{\"label\":\"ipad\",\"uses\":3,\"endpoint\":\"/scep\"}");
    is(201);
    snprintf(id, sizeof id, "%s", text("id"));
    snprintf(secret, sizeof secret, "%s", text("secret"));
    ck_assert_uint_eq(strlen(secret), 19);
    ck_assert_str_eq(text("url"), "http://scep.example.org/scep");
    ck_assert_str_eq(header("Cache-Control"), "no-store");
    snprintf(path, sizeof path, "/api/v1/challenges/%s", id);
    ck_assert_str_eq(header("Location"), path);
    call(HTTP_GET, path, NULL);
    is(200);
    ck_assert_ptr_null(memmem(reply.body.p, reply.body.n, secret, strlen(secret)));
    ck_assert_str_eq(text("state"), "active");
    ck_assert_str_eq(text("used"), "0 of 3");
    snprintf(etag, sizeof etag, "%s", text("etag"));
    call_with(HTTP_DELETE, path, NULL, API_IF_MATCH, etag);
    is(204);
    call(HTTP_GET, "/api/v1/challenges?state=revoked", NULL);
    ck_assert_uint_eq(items(), 1);
    call(HTTP_GET, "/api/v1/challenges?state=active", NULL);
    ck_assert_uint_eq(items(), 0);
    call(HTTP_POST, "/api/v1/challenges", "{\"endpoint\":\"/scap\",\"template\":\"none\"}");
    is_problem(422, "input.invalid");
    ck_assert_uint_eq(json_array_size(json_object_get(answer, "errors")), 2);
}
END_TEST

START_TEST(challenge_for_ever_must_be_said)
{
    call(HTTP_POST, "/api/v1/challenges", NULL);
    is(201);
    ck_assert_str_ne(text("expires_at"), "");
    call(HTTP_POST, "/api/v1/challenges", "{\"expires_seconds\":null}");
    is(201);
    ck_assert(json_is_null(json_object_get(answer, "expires_at")));
    call(HTTP_POST, "/api/v1/challenges", "{\"expires_seconds\":0}");
    is_problem(422, "input.invalid");
    call(HTTP_POST, "/api/v1/challenges", "{\"format\":\"hex16\"}");
    is(201);
    ck_assert_uint_eq(strlen(text("secret")), 16);
}
END_TEST

/* ---- what is told of all of it ---- */

static void put_attempts(unsigned n, enum attempt_result result, const char *reason, int64_t when)
{
    struct store_write *w = NULL;
    ck_assert(store_write_begin(world.store, &w, &err));
    for (unsigned i = 0; i < n; i++) {
        struct store_attempt a = {.at = when, .result = result, .fail_info = -1, .status = 200};
        snprintf(a.transaction, sizeof a.transaction, "TX-%s-%u", reason, i);
        snprintf(a.subject, sizeof a.subject, "CN=ipad-%u", i);
        snprintf(a.peer, sizeof a.peer, "192.0.2.9");
        snprintf(a.reason, sizeof a.reason, "%s", reason);
        ck_assert(store_attempt_put(w, &a, &err));
    }
    ck_assert(store_write_commit(w, &err));
}

static json_int_t number(const char *name)
{
    return json_integer_value(json_object_get(answer, name));
}

START_TEST(overview_counts_what_came_since)
{
    put_attempts(2, ATTEMPT_REFUSED, "challenge.used", NOW - 25 * 3600);
    put_attempts(5, ATTEMPT_REFUSED, "challenge.used", NOW - 7200);
    put_attempts(3, ATTEMPT_ISSUED, "", NOW - 60);
    call(HTTP_GET, "/api/v1/overview", NULL);
    is(200);
    ck_assert_int_eq(number("issued_24h"), 3);
    ck_assert_int_eq(number("refused_24h"), 5);
    ck_assert_uint_eq(json_array_size(json_object_get(answer, "last_24h")), 24);
    ck_assert_uint_eq(json_array_size(json_object_get(answer, "attention")), 1);
    put_attempts(4, ATTEMPT_RENEWED, "", NOW);
    at = NOW + 60;
    call(HTTP_GET, "/api/v1/overview", NULL);
    ck_assert_int_eq(number("issued_24h"), 7);
    at = NOW + 23 * 3600; /* the refusals are older than a day then */
    put_attempts(1, ATTEMPT_REFUSED, "key.small", at);
    call(HTTP_GET, "/api/v1/overview", NULL);
    ck_assert_int_eq(number("issued_24h"), 4); /* the hour of the first three is over */
    ck_assert_int_eq(number("refused_24h"), 1);
    at = NOW + 60 * 3600;
    call(HTTP_GET, "/api/v1/overview", NULL);
    ck_assert_int_eq(number("issued_24h"), 0);
    ck_assert_int_eq(number("refused_24h"), 0);
}
END_TEST

START_TEST(overview_is_not_sent_twice)
{
    char etag[128];
    call(HTTP_GET, "/api/v1/overview", NULL);
    is(200);
    snprintf(etag, sizeof etag, "%s", header("ETag"));
    call_with(HTTP_GET, "/api/v1/overview", NULL, API_IF_NONE_MATCH, etag);
    is(304);
    put_cert(1);
    call_with(HTTP_GET, "/api/v1/overview", NULL, API_IF_NONE_MATCH, etag);
    is(200);
    call(HTTP_GET, "/api/v1/status", NULL); /* nobody looks here */
    is(503);
}
END_TEST

START_TEST(events_and_why)
{
    put_attempts(3, ATTEMPT_REFUSED, "challenge.used", NOW - 10);
    put_attempts(2, ATTEMPT_ISSUED, "", NOW - 5);
    call(HTTP_GET, "/api/v1/events?code=challenge.&result=refused", NULL);
    is(200);
    ck_assert_uint_eq(items(), 3);
    ck_assert_str_eq(item(0, "who"), "CN=ipad-2");
    ck_assert_str_ne(item(0, "fix"), "");
    call_with(HTTP_GET, "/api/v1/events?limit=1", NULL, API_ACCEPT, "application/x-ndjson");
    is(200);
    ck_assert_str_eq(reply.content_type, "application/x-ndjson");
    size_t lines = 0;
    for (size_t i = 0; i < reply.body.n; i++)
        lines += reply.body.p[i] == '\n';
    ck_assert_uint_eq(lines, 5);
    call(HTTP_GET, "/api/v1/explain?what=TX-challenge.used-1", NULL);
    is(200);
    ck_assert_str_eq(text("kind"), "transaction");
    ck_assert_str_eq(json_string_value(json_object_get(json_object_get(answer, "reason"), "code")),
                     "challenge.used");
    ck_assert_int_eq(number("same_reason_24h"), 3);
    call(HTTP_GET, "/api/v1/explain?what=CN%3Dipad", NULL); /* of three */
    is(200);
    ck_assert(json_is_null(json_object_get(answer, "kind")));
    ck_assert_uint_eq(json_array_size(json_object_get(answer, "candidates")), 3);
    struct store_attempt of_device = {
        .at = NOW - 1, .fail_info = -1, .device = "dev_aaaaaa", .subject = "CN=it"};
    struct store_write *w = NULL;
    ck_assert(store_write_begin(world.store, &w, &err) && store_attempt_put(w, &of_device, &err) &&
              store_write_commit(w, &err));
    call(HTTP_GET, "/api/v1/explain?what=dev_aaaaaa", NULL);
    is(200);
    ck_assert_str_eq(text("kind"), "device");
    ck_assert_int_eq(number("matched"), 1);
    call(HTTP_GET, "/api/v1/explain?what=nobody-knows", NULL);
    is_problem(404, "not_found");
    call(HTTP_GET, "/api/v1/explain", NULL);
    is_problem(422, "input.invalid");
}
END_TEST

/* Writes `bad` over the record that `key` leads to, and what was there into `kept`. */
static void replace_record(enum table table, struct view key, struct view bad, struct buf *kept)
{
    struct store_write *w = NULL;
    struct view old;
    ck_assert(store_write_begin(world.store, &w, &err));
    ck_assert(txn_get(&w->txn, table, key, &old, &err) && old.p);
    ck_assert(buf_append(kept, old.p, old.n));
    ck_assert(txn_put(&w->txn, table, PUT_REPLACE, key, bad, &err));
    ck_assert(store_write_commit(w, &err));
}

/* "There is none" is said only of what is not there. */
START_TEST(what_cannot_be_read_is_no_answer)
{
    struct key cert = key_id(put_cert(1));
    static const char *const paths[] = {"/api/v1/explain?what=40000100000000000000000000000000",
                                        "/api/v1/explain?what=req_aaaaaa"};
    const struct store_attempt a[] = {
        {.at = NOW - 2, .fail_info = -1, .serial = "40000100000000000000000000000000"},
        {.at = NOW - 1, .fail_info = -1, .request = "req_aaaaaa"}};
    static const char *const members[] = {"certificate", "request"};
    const enum table tables[] = {TABLE_CERT, TABLE_REQUEST};
    const struct view keys[] = {key_view(&cert), view_str("req_aaaaaa")};
    put_request("req_aaaaaa");
    for (size_t i = 0; i < 2; i++) {
        struct store_attempt attempt = a[i];
        struct buf good = {0}, bad = {0};
        struct store_write *w = NULL;
        ck_assert(store_write_begin(world.store, &w, &err) &&
                  store_attempt_put(w, &attempt, &err) && store_write_commit(w, &err));
        call(HTTP_GET, paths[i], NULL);
        is(200);
        ck_assert(json_is_object(json_object_get(answer, members[i])));
        replace_record(tables[i], keys[i], view_str("bad"), &good);
        call(HTTP_GET, paths[i], NULL);
        is_problem(500, "internal");
        replace_record(tables[i], keys[i], buf_view(&good), &bad);
        buf_clear(&good);
        buf_clear(&bad);
    }
    call(HTTP_GET, "/api/v1/explain?what=TX", NULL);
    is_problem(404, "not_found");
}
END_TEST

START_TEST(reasons_by_page_and_code)
{
    size_t all = 0;
    char path[200] = "/api/v1/reasons?limit=20";
    for (;;) {
        call(HTTP_GET, path, NULL);
        is(200);
        all += items();
        if (!*text("next"))
            break;
        snprintf(path, sizeof path, "/api/v1/reasons?limit=20&cursor=%s", text("next"));
    }
    ck_assert_uint_eq(all, REASON_COUNT - 1);
    call(HTTP_GET, "/api/v1/reasons/challenge.used", NULL);
    is(200);
    ck_assert_str_ne(text("cause"), "");
    call(HTTP_GET, "/api/v1/reasons/no.such", NULL);
    is_problem(404, "not_found");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("api/resources");
    TCase *c = tcase_create("resources");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, certificates_by_page);
    tcase_add_test(c, certificate_is_revoked_once);
    tcase_add_test(c, request_is_decided_once);
    tcase_add_test(c, secret_is_shown_once);
    tcase_add_test(c, challenge_for_ever_must_be_said);
    tcase_add_test(c, overview_counts_what_came_since);
    tcase_add_test(c, overview_is_not_sent_twice);
    tcase_add_test(c, events_and_why);
    tcase_add_test(c, what_cannot_be_read_is_no_answer);
    tcase_add_test(c, reasons_by_page_and_code);
    suite_add_tcase(s, c);
    return check_main(s);
}
