/* Which certificate somebody means who asks, and who revoked it. */
#include "../store/fixture.h"
#include "check_main.h"
#include "base/hex.h"
#include "enroll/enroll.h"
#include "enroll/audit.h"
#include "enroll/explain.h"
#include "pkcs7/name.h"
#include "store/page.h"

#define REVOKED_AT 1500

static uint64_t put_named(unsigned n, const char *subject, const char *san, const char *device)
{
    struct store_cert c = cert_of(n);
    struct name name = {0};
    snprintf(c.subject, sizeof c.subject, "%s", subject);
    snprintf(c.san, sizeof c.san, "%s", san);
    snprintf(c.device, sizeof c.device, "%s", device);
    ok(name_from_text(subject, &name, &err) && name_hash(&name, c.subject_hash, &err));
    name_clear(&name);
    struct store_write *w = begin();
    ok(store_cert_put(w, &c, &err));
    commit(w);
    uint64_t id = c.id;
    store_cert_clear(&c);
    return id;
}

static uint64_t meant(enum explain_kind kind, const char *value)
{
    struct explain_candidate c = {.kind = kind};
    struct store_cert cert;
    snprintf(c.value, sizeof c.value, "%s", value);
    ok(explain_certificate(st, &c, &cert, &err));
    uint64_t id = cert.id;
    store_cert_clear(&cert);
    return id;
}

static void take_back(uint64_t id, int64_t at)
{
    const struct enroll_act act = {.by = "anna", .now = at};
    ok(enroll_cert_change(st, id, CRL_KEY_COMPROMISE, &act, &err));
}

START_TEST(the_newest_that_stands)
{
    uint64_t old = put_named(1, "CN=ipad-1", "", "dev_aaaaaa"),
             now = put_named(2, "CN=ipad-1", "", "dev_aaaaaa"),
             more = put_named(3, "CN=ipad-1,O=Example", "DNS:ipad.example", "");
    put_named(4, "CN=ipad-10", "DNS:ipad.example.org", "");
    ck_assert_uint_eq(meant(EXPLAIN_DEVICE, "dev_aaaaaa"), now);
    ck_assert_uint_eq(meant(EXPLAIN_SUBJECT, "CN=ipad-1"), now);
    ck_assert_uint_eq(meant(EXPLAIN_SUBJECT, "O=Example"), more); /* a part of it */
    ck_assert_uint_eq(meant(EXPLAIN_SUBJECT, "DNS:ipad.example"), more);
    ck_assert_uint_eq(meant(EXPLAIN_SUBJECT, "CN=ipad"), 0); /* the beginning of others */
    ck_assert_uint_eq(meant(EXPLAIN_ADDRESS, "10.0.0.1"), 0);
    ck_assert_uint_eq(meant(EXPLAIN_SERIAL, "99"), 0);
    take_back(now, REVOKED_AT);
    ck_assert_uint_eq(meant(EXPLAIN_DEVICE, "dev_aaaaaa"), old);
    take_back(old, REVOKED_AT);
    ck_assert_uint_eq(meant(EXPLAIN_DEVICE, "dev_aaaaaa"), now); /* what it held last */
    ck_assert_uint_eq(meant(EXPLAIN_SUBJECT, "CN=ipad-1"), now);
    ck_assert_uint_eq(meant(EXPLAIN_DEVICE, "dev_bbbbbb"), 0);
}
END_TEST

static void put_others(unsigned n, const char *subject)
{
    struct store_write *w = begin();
    for (unsigned i = 2; i < n + 2; i++) {
        struct store_cert c = cert_of(i);
        snprintf(c.subject, sizeof c.subject, "%s%u", subject, i);
        buf_clear(&c.der);
        ok(buf_append(&c.der, &i, sizeof i));
        ok(EVP_Q_digest(NULL, "SHA256", NULL, c.der.p, c.der.n, c.der_hash, NULL) == 1);
        ok(store_cert_put(w, &c, &err));
        store_cert_clear(&c);
    }
    commit(w);
}

/* More certificates than one page looks at were issued since. */
START_TEST(behind_many_others)
{
    uint64_t id = put_named(1, "CN=oldest", "DNS:oldest.example", "dev_aaaaaa");
    put_others(STORE_PAGE_SCAN + 100, "CN=device-");
    ck_assert_uint_eq(meant(EXPLAIN_SUBJECT, "CN=oldest"), id);
    ck_assert_uint_eq(meant(EXPLAIN_SUBJECT, "DNS:oldest.example"), id);
    ck_assert_uint_eq(meant(EXPLAIN_DEVICE, "dev_aaaaaa"), id);
}
END_TEST

/* A page of what looks alike is soon full. */
START_TEST(behind_many_that_look_alike)
{
    uint64_t id = put_named(1, "CN=ipad-1,O=Example", "", "");
    put_others(10 * STORE_PAGE_MAX, "CN=ipad-1");
    ck_assert_uint_eq(meant(EXPLAIN_SUBJECT, "CN=ipad-1"), id);
}
END_TEST

static void expect_by(uint64_t id, const char *who)
{
    struct store_cert c = {0};
    char by[64];
    ok(store_cert_by_id(st, id, &c, &err));
    ok(explain_revoked_by(st, &c, by, &err));
    ck_assert_str_eq(by, who);
    store_cert_clear(&c);
}

/* As the commit of a duplicate and the outbox write it: the device's history has nothing of it. */
static void revoke_alone(uint64_t id, const char *object, const char *by)
{
    struct store_audit audit;
    struct store_write *w = begin();
    audit_fill(&audit, REVOKED_AT, "certificate.revoked", by, object, "reason=superseded");
    ok(store_cert_revoke(w, id, CRL_SUPERSEDED, REVOKED_AT, &err));
    ok(store_audit_put(w, &audit, &err));
    commit(w);
}

START_TEST(who_revoked_it)
{
    uint64_t of_device = put_named(1, "CN=a", "", "dev_aaaaaa"),
             plain = put_named(2, "CN=b", "", ""),
             duplicate = put_named(3, "CN=c", "", "dev_aaaaaa"),
             unwanted = put_named(4, "CN=d", "", "dev_aaaaaa"),
             unwanted_plain = put_named(5, "CN=e", "", ""), stands = put_named(6, "CN=f", "", "");
    char serial[2 * STORE_SERIAL_MAX + 1], number[32];
    struct store_cert c = {0};
    take_back(of_device, REVOKED_AT);
    take_back(plain, REVOKED_AT);
    ok(store_cert_by_id(st, duplicate, &c, &err));
    hex_encode(view_of(c.serial, c.serial_len), serial);
    store_cert_clear(&c);
    revoke_alone(duplicate, serial, "/scep");
    snprintf(number, sizeof number, "#%llu", (unsigned long long)unwanted);
    revoke_alone(unwanted, number, "scepd");
    snprintf(number, sizeof number, "#%llu", (unsigned long long)unwanted_plain);
    revoke_alone(unwanted_plain, number, "scepd");
    expect_by(of_device, "anna");
    expect_by(plain, "anna");
    expect_by(duplicate, "/scep");
    expect_by(unwanted, "scepd");
    expect_by(unwanted_plain, "scepd");
    expect_by(stands, "");
}
END_TEST

START_TEST(who_revoked_one_of_many_in_a_second)
{
    const unsigned others = 10 * STORE_PAGE_MAX + 1;
    uint64_t plain = put_named(1, "CN=b", "", ""), unwanted = put_named(2, "CN=d", "", "");
    char object[32];
    take_back(plain, REVOKED_AT);
    snprintf(object, sizeof object, "#%llu", (unsigned long long)unwanted);
    revoke_alone(unwanted, object, "scepd");
    struct store_write *w = begin();
    for (unsigned i = 0; i < others; i++) {
        struct store_audit audit;
        snprintf(object, sizeof object, "%08x", i);
        audit_fill(&audit, REVOKED_AT, "certificate.revoked", "ben", object, "reason=superseded");
        ok(store_audit_put(w, &audit, &err));
    }
    commit(w);
    expect_by(plain, "anna");
    expect_by(unwanted, "scepd");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("enroll/explain");
    TCase *c = tcase_create("explain");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 120);
    tcase_add_test(c, the_newest_that_stands);
    tcase_add_test(c, behind_many_others);
    tcase_add_test(c, behind_many_that_look_alike);
    tcase_add_test(c, who_revoked_it);
    tcase_add_test(c, who_revoked_one_of_many_in_a_second);
    suite_add_tcase(s, c);
    return check_main(s);
}
