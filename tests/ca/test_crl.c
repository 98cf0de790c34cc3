#include "check_main.h"

#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ca/crl.h"
#include "ca_fixture.h"
#include "crl_writer.h"
#include "store/store.h"

#define DAY 86400
#define MANY 100000

static struct err err;
static struct ca_fixture ca;
static struct signer *signer;
static struct temporary store_dir;
static struct store *store;
static uint8_t next_serial;

static void authority_make(void)
{
    ca_fixture_plan(&ca);
    ca.plan.ca_key = "rsa2048";
    ca_fixture_init(&ca);
    ck_assert_msg(ca_fixture_load(&ca, &err), "%s", err.text);
    ck_assert_msg(signer_local(ca.spec, &signer, &err), "%s", err.text);
}

static void authority_free_all(void)
{
    signer_free(signer);
    ca_fixture_clear(&ca);
}

static void store_reopen(void)
{
    struct store_options o = {
        .path = temporary_path(&store_dir, "store"), .map_size = 64 << 20, .create = true};

    store_close(store);
    store = NULL;
    ck_assert_msg(store_open(&o, &store, &err), "%s", err.text);
}

static void store_make(void)
{
    temporary_make(&store_dir);
    store_reopen();
}

static void store_end(void)
{
    store_close(store);
    temporary_remove(&store_dir);
}

static struct store_write *begin(void)
{
    struct store_write *w = NULL;

    ck_assert_msg(store_write_begin(store, &w, &err), "%s", err.text);
    return w;
}

static void commit(struct store_write *w)
{
    ck_assert_msg(store_write_commit(w, &err), "%s", err.text);
}

/* A certificate of the authority that ends at `not_after`; returns its id. */
static uint64_t put(int64_t not_after)
{
    struct store_write *w = begin();
    struct store_cert c = {
        .state = CERT_ACTIVE, .not_before = 1, .not_after = not_after, .serial_len = 2};

    memcpy(c.authority, ca.authority->key_id, sizeof c.authority);
    c.serial[0] = 0x40;
    c.serial[1] = ++next_serial;
    memset(c.der_hash, next_serial, sizeof c.der_hash);
    memset(c.key_hash, next_serial, sizeof c.key_hash);
    ck_assert(buf_append(&c.der, "x", 1));
    ck_assert_msg(store_cert_put(w, &c, &err), "%s", err.text);
    commit(w);
    uint64_t id = c.id;
    store_cert_clear(&c);
    return id;
}

static uint64_t revoked(int64_t not_after, enum crl_reason reason, int64_t when)
{
    uint64_t id = put(not_after);
    struct store_write *w = begin();

    ck_assert_msg(store_cert_revoke(w, id, reason, when, &err), "%s", err.text);
    commit(w);
    return id;
}

static X509_CRL *parse(struct view der)
{
    const unsigned char *p = der.p;
    X509_CRL *crl = d2i_X509_CRL(NULL, &p, (long)der.n);

    ck_assert_ptr_nonnull(crl);
    ck_assert_ptr_eq(p, der.p + der.n);
    return crl;
}

/* C44 to C49 and C53 as OpenSSL sees them. */
static X509_CRL *published(int64_t now, struct store_crl *out)
{
    ck_assert_msg(crl_publish(ca.authority, signer, store, now, NULL, &err), "%s", err.text);
    ck_assert_msg(store_crl_get(store, ca.authority->key_id, STORE_CRL_COMPLETE, out, &err), "%s",
                  err.text);
    X509_CRL *crl = parse(out->der);
    const unsigned char *p = ca.authority->cert->der.p;
    X509 *issuer = d2i_X509(NULL, &p, (long)ca.authority->cert->der.n);

    ck_assert_int_eq(X509_CRL_get_version(crl), 1);
    ck_assert_int_eq(X509_NAME_cmp(X509_CRL_get_issuer(crl), X509_get_subject_name(issuer)), 0);
    ck_assert_int_eq(X509_CRL_verify(crl, X509_get0_pubkey(issuer)), 1);
    ck_assert_int_eq(X509_CRL_get_ext_count(crl),
                     2); /* AKI and number: nothing that a client might not know */
    for (int i = 0; i < 2; i++)
        ck_assert(!X509_EXTENSION_get_critical(X509_CRL_get_ext(crl, i)));
    ck_assert_int_lt(X509_CRL_get_ext_by_NID(crl, NID_issuing_distribution_point, -1), 0);
    AUTHORITY_KEYID *aki = X509_CRL_get_ext_d2i(crl, NID_authority_key_identifier, NULL, NULL);
    ck_assert_mem_eq(ASN1_STRING_get0_data(aki->keyid), ca.authority->key_id, 20);
    ck_assert(!aki->issuer && !aki->serial);
    AUTHORITY_KEYID_free(aki);
    X509_free(issuer);
    return crl;
}

static int64_t time_of(const ASN1_TIME *t)
{
    struct tm tm;

    ck_assert(ASN1_TIME_to_tm(t, &tm));
    return timegm(&tm);
}

static int reason_of(X509_REVOKED *r)
{
    int critical = -1;
    ASN1_ENUMERATED *e = X509_REVOKED_get_ext_d2i(r, NID_crl_reason, &critical, NULL);
    int reason = e ? (int)ASN1_ENUMERATED_get(e) : -1;

    ck_assert_int_ne(critical, 1);
    ASN1_ENUMERATED_free(e);
    return reason;
}

START_TEST(test_empty)
{
    int64_t now = time(NULL);
    struct store_crl crl = {0};
    X509_CRL *x = published(now, &crl);

    ck_assert_ptr_null(X509_CRL_get_REVOKED(x)); /* absent, not empty (RFC 5280 section 5.1.2.6) */
    ck_assert_int_eq(time_of(X509_CRL_get0_lastUpdate(x)), now);
    ck_assert_int_eq(time_of(X509_CRL_get0_nextUpdate(x)), now + ca.authority->crl_validity);
    ck_assert_int_eq(crl.this_update, now);
    X509_CRL_free(x);
    store_crl_clear(&crl);
}
END_TEST

START_TEST(test_entries)
{
    int64_t now = time(NULL);
    static const enum crl_reason reasons[] = {
        CRL_UNSPECIFIED, CRL_KEY_COMPROMISE, CRL_AFFILIATION_CHANGED, CRL_SUPERSEDED,
        CRL_CESSATION,   CRL_HOLD,           CRL_PRIVILEGE_WITHDRAWN};
    struct store_crl crl = {0};
    uint64_t id[7];

    put(now + DAY); /* not revoked */
    for (size_t i = 0; i < 7; i++)
        id[i] = revoked(now + DAY, reasons[i], now - 100 + (int64_t)i);
    X509_CRL *x = published(now, &crl);
    STACK_OF(X509_REVOKED) *list = X509_CRL_get_REVOKED(x);
    ck_assert_int_eq(sk_X509_REVOKED_num(list), 7);
    for (int i = 0; i < 7; i++) {
        X509_REVOKED *r = sk_X509_REVOKED_value(list, i);
        ck_assert_int_eq(ASN1_INTEGER_get(X509_REVOKED_get0_serialNumber(r)), 0x4000 + i + 2);
        ck_assert_int_eq(time_of(X509_REVOKED_get0_revocationDate(r)), now - 100 + i);
        ck_assert_int_eq(reason_of(r), reasons[i] ? (int)reasons[i] : -1);
    }
    X509_CRL_free(x);
    store_crl_clear(&crl);

    struct store_write *w = begin(); /* lifted: gone at once */
    ck_assert_msg(store_cert_release(w, id[5], &err), "%s", err.text);
    commit(w);
    x = published(now, &crl);
    ck_assert_int_eq(sk_X509_REVOKED_num(X509_CRL_get_REVOKED(x)), 6);
    X509_CRL_free(x);
    store_crl_clear(&crl);
}
END_TEST

/* C47: nothing is revoked in the future, even when a clock says so. */
START_TEST(test_revocation_date)
{
    int64_t now = time(NULL);
    struct store_crl crl = {0};

    revoked(now + DAY, CRL_KEY_COMPROMISE, now + 500);
    X509_CRL *x = published(now, &crl);
    X509_REVOKED *r = sk_X509_REVOKED_value(X509_CRL_get_REVOKED(x), 0);
    ck_assert_int_eq(time_of(X509_REVOKED_get0_revocationDate(r)), now);
    X509_CRL_free(x);
    store_crl_clear(&crl);
}
END_TEST

/* RFC 5280 section 3.3: an entry goes only after one CRL issued past the certificate's end has
 * carried it. */
START_TEST(test_expired_entries)
{
    static const int expected[] = {1, 1, 0};
    int64_t now = time(NULL);
    struct store_crl crl = {0};

    revoked(now + 50, CRL_SUPERSEDED, now);
    for (int i = 0; i < 3; i++) { /* before the end, after it, after that */
        X509_CRL *x = published(now + 60 * i, &crl);
        STACK_OF(X509_REVOKED) *list = X509_CRL_get_REVOKED(x);
        ck_assert_int_eq(list ? sk_X509_REVOKED_num(list) : 0, expected[i]);
        X509_CRL_free(x);
        store_crl_clear(&crl);
    }
}
END_TEST

/* C52 and V42: numbers grow, over a restart too; thisUpdate never goes back. */
START_TEST(test_numbers_and_clock)
{
    int64_t now = time(NULL);
    struct store_crl first = {0}, second = {0}, kept = {0};

    X509_CRL_free(published(now, &first));
    store_reopen();
    X509_CRL *x = published(now - 1000, &second);
    ck_assert_uint_gt(second.number, first.number);
    ck_assert_int_eq(second.this_update, now);
    ASN1_INTEGER *number = X509_CRL_get_ext_d2i(x, NID_crl_number, NULL, NULL);
    ck_assert_uint_eq((uint64_t)ASN1_INTEGER_get(number), second.number);
    ASN1_INTEGER_free(number);
    ck_assert(store_crl_get(store, ca.authority->key_id, 0, &kept, &err));
    ck_assert(view_eq(kept.der, second.der));
    X509_CRL_free(x);
    store_crl_clear(&first);
    store_crl_clear(&second);
    store_crl_clear(&kept);
}
END_TEST

START_TEST(test_authority_end)
{
    int64_t now = time(NULL), end = ca.authority->cert->not_after;
    struct store_crl crl = {0};

    ca.authority->cert->not_after = now + 100;
    X509_CRL *x = published(now, &crl);
    ck_assert_int_eq(time_of(X509_CRL_get0_nextUpdate(x)), now + 100);
    X509_CRL_free(x);
    store_crl_clear(&crl);
    ck_assert(!crl_publish(ca.authority, signer, store, now + 100, NULL, &err));
    ck_assert_int_eq(err.reason, REASON_AUTHORITY_EXPIRED);
    ca.authority->cert->not_after = end;
}
END_TEST

static bool due(int64_t now)
{
    struct crl_scopes due;

    ck_assert_msg(crl_due(ca.authority, store, now, &due, &err), "%s", err.text);
    return due.n > 0;
}

START_TEST(test_due)
{
    int64_t now = time(NULL);
    struct store_crl crl = {0};

    ck_assert(due(now)); /* none yet */
    X509_CRL_free(published(now, &crl));
    store_crl_clear(&crl);
    ck_assert(!due(now));
    put(now + DAY);
    ck_assert(!due(now)); /* an enrolment changes nothing */
    ck_assert(!due(now + ca.authority->crl_period - 1));
    ck_assert(due(now + ca.authority->crl_period));
    revoked(now + DAY, CRL_SUPERSEDED, now);
    ck_assert(due(now));
    X509_CRL_free(published(now, &crl));
    store_crl_clear(&crl);
    ck_assert(!due(now));
}
END_TEST

/* ---- the writer beside OpenSSL's objects: the same octets ---- */

static const struct {
    const char *serial; /* as stored */
    size_t n;
    int64_t when;
    enum crl_reason reason;
} samples[] = {
    {"\x01", 1, 0, CRL_UNSPECIFIED},
    {"\x02", 1, 253402300799, CRL_UNSPECIFIED},
    {"\x7f", 1, 1800000000, CRL_KEY_COMPROMISE},
    {"\x00\x80", 2, 1800000001, CRL_SUPERSEDED},
    {"\x80", 1, 2524607999, CRL_HOLD},                /* -128; the last second of 2049 */
    {"\xff\xff\x7f", 3, 1800000002, CRL_UNSPECIFIED}, /* -129, padded */
    {"\x00\x00\x41", 3, 2524608000, CRL_CESSATION},   /* padded too much; 2050 */
    {"\x55\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f", 16, 4102444800,
     CRL_AFFILIATION_CHANGED},
};
#define SAMPLES_N (sizeof samples / sizeof samples[0])

static void oracle_entry(X509_CRL *crl, size_t i)
{
    X509_REVOKED *r = X509_REVOKED_new();
    BIGNUM *serial = BN_bin2bn((const uint8_t *)samples[i].serial, (int)samples[i].n, NULL);
    if (samples[i].serial[0] & 0x80) { /* two's complement */
        BIGNUM *whole = BN_new();
        BN_set_bit(whole, 8 * (int)samples[i].n);
        BN_sub(serial, serial, whole);
        BN_free(whole);
    }
    ASN1_INTEGER *number = BN_to_ASN1_INTEGER(serial, NULL);
    ASN1_TIME *when = ASN1_TIME_set(NULL, samples[i].when);

    X509_REVOKED_set_serialNumber(r, number);
    X509_REVOKED_set_revocationDate(r, when);
    if (samples[i].reason != CRL_UNSPECIFIED) {
        ASN1_ENUMERATED *reason = ASN1_ENUMERATED_new();
        ASN1_ENUMERATED_set(reason, samples[i].reason);
        X509_REVOKED_add1_ext_i2d(r, NID_crl_reason, reason, 0, 0);
        ASN1_ENUMERATED_free(reason);
    }
    X509_CRL_add0_revoked(crl, r);
    ASN1_TIME_free(when);
    ASN1_INTEGER_free(number);
    BN_free(serial);
}

static void oracle_time(X509_CRL *crl, int (*set)(X509_CRL *, const ASN1_TIME *), int64_t t)
{
    ASN1_TIME *time_value = ASN1_TIME_set(NULL, t);

    ck_assert(set(crl, time_value));
    ASN1_TIME_free(time_value);
}

/* `times` rounds of the samples. */
static struct buf oracle(const struct crl_head *head, size_t times, EVP_PKEY *key)
{
    X509_CRL *crl = X509_CRL_new();
    const unsigned char *p = head->issuer.p;
    X509_NAME *issuer = d2i_X509_NAME(NULL, &p, (long)head->issuer.n);
    AUTHORITY_KEYID *aki = AUTHORITY_KEYID_new();
    ASN1_INTEGER *number = ASN1_INTEGER_new();
    struct buf out = {0};
    uint8_t *der = NULL;

    X509_CRL_set_version(crl, 1);
    X509_CRL_set_issuer_name(crl, issuer);
    oracle_time(crl, X509_CRL_set1_lastUpdate, head->this_update);
    oracle_time(crl, X509_CRL_set1_nextUpdate, head->next_update);
    for (size_t i = 0; i < times * SAMPLES_N; i++)
        oracle_entry(crl, i % SAMPLES_N);
    aki->keyid = ASN1_OCTET_STRING_new();
    ASN1_OCTET_STRING_set(aki->keyid, head->authority_key_id.p, (int)head->authority_key_id.n);
    X509_CRL_add1_ext_i2d(crl, NID_authority_key_identifier, aki, 0, 0);
    ASN1_INTEGER_set_uint64(number, head->number);
    X509_CRL_add1_ext_i2d(crl, NID_crl_number, number, 0, 0);
    ck_assert(X509_CRL_sign(crl, key, EVP_sha256()) > 0);
    int n = i2d_re_X509_CRL_tbs(crl, &der);
    ck_assert(n > 0 && buf_append(&out, der, (size_t)n));
    OPENSSL_free(der);
    ASN1_INTEGER_free(number);
    AUTHORITY_KEYID_free(aki);
    X509_NAME_free(issuer);
    X509_CRL_free(crl);
    return out;
}

START_TEST(test_oracle)
{
    static const size_t times[] = {0, 1, 3, 50, 2000}; /* every length of a length */
    EVP_PKEY *key = ca.device_key;
    struct crl_head head = {
        .issuer = ca.authority->cert->subject,
        .sigalg = {SIG_RSA_PKCS1, DIGEST_SHA256, 0},
        .this_update = 2524607000,
        .next_update = 2524609000,
        .authority_key_id = view_of(ca.authority->key_id, 20),
        .number = (uint64_t)1 << (_i * 15),
    };
    struct crl_writer w;
    struct view tbs;

    ck_assert(crl_writer_init(&w, head.issuer.n, &err));
    for (size_t i = 0; i < times[_i] * SAMPLES_N; i++)
        ck_assert(crl_writer_add(&w,
                                 view_of(samples[i % SAMPLES_N].serial, samples[i % SAMPLES_N].n),
                                 samples[i % SAMPLES_N].when, samples[i % SAMPLES_N].reason, &err));
    ck_assert(crl_writer_finish(&w, &head, &tbs, &err));
    struct buf expected = oracle(&head, times[_i], key);
    ck_assert_uint_eq(tbs.n, expected.n);
    ck_assert_mem_eq(tbs.p, expected.p, tbs.n);
    buf_clear(&expected);
    crl_writer_clear(&w);
}
END_TEST

/* Large enough for lengths of three octets, sealed and parsed. */
START_TEST(test_many)
{
    struct crl_head head = {.issuer = ca.authority->cert->subject,
                            .sigalg = ca.authority->sigalg,
                            .this_update = 1800000000,
                            .next_update = 1800086400,
                            .authority_key_id = view_of(ca.authority->key_id, 20),
                            .number = 7};
    struct crl_writer w;
    struct buf signature = {0}, der = {0}, behind = {0};
    struct view tbs;
    uint8_t serial[16] = {0x40};

    ck_assert(crl_writer_init(&w, head.issuer.n, &err));
    for (uint32_t i = 0; i < MANY; i++) {
        memcpy(serial + 4, &i, sizeof i);
        ck_assert(crl_writer_add(&w, view_of(serial, sizeof serial), 1799999999, CRL_KEY_COMPROMISE,
                                 &err));
    }
    ck_assert(crl_writer_finish(&w, &head, &tbs, &err));
    ck_assert_msg(
        signer_sign_crl(signer, (unsigned)ca.authority->key_ca, tbs, &w.file, &signature, &err),
        "%s", err.text);
    ck_assert(crl_writer_seal(tbs, head.sigalg, buf_view(&signature), &der, &behind, &err));
    ck_assert(buf_append(&der, tbs.p, tbs.n) && buf_append(&der, behind.p, behind.n));
    X509_CRL *crl = parse(buf_view(&der));
    ck_assert_int_eq(sk_X509_REVOKED_num(X509_CRL_get_REVOKED(crl)), MANY);
    ck_assert_int_eq(X509_CRL_verify(crl, ca.authority->public_key), 1);
    ck_assert_uint_eq(w.entries, MANY);
    X509_CRL_free(crl);
    buf_clear(&der);
    buf_clear(&behind);
    buf_clear(&signature);
    crl_writer_clear(&w);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("crl");
    TCase *tc = tcase_create("published"), *writer = tcase_create("writer");

    tcase_add_unchecked_fixture(tc, authority_make, authority_free_all);
    tcase_add_checked_fixture(tc, store_make, store_end);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, test_empty);
    tcase_add_test(tc, test_entries);
    tcase_add_test(tc, test_revocation_date);
    tcase_add_test(tc, test_expired_entries);
    tcase_add_test(tc, test_numbers_and_clock);
    tcase_add_test(tc, test_authority_end);
    tcase_add_test(tc, test_due);
    suite_add_tcase(suite, tc);
    tcase_add_unchecked_fixture(writer, authority_make, authority_free_all);
    tcase_set_timeout(writer, 60);
    tcase_add_loop_test(writer, test_oracle, 0, 5);
    tcase_add_test(writer, test_many);
    suite_add_tcase(suite, writer);
    return check_main(suite);
}
