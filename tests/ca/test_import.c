#include "ca/import.h"

#include <openssl/asn1.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <time.h>

#include "ca/keyfile.h"
#include "ca_fixture.h"
#include "check_main.h"
#include "import_internal.h"

static struct err err;
static struct ca_fixture ca;
static EVP_PKEY *key;
static time_t now;

/* ---- lines of an index ---- */

static const char good_line[] =
    "R\t301231235959Z\t200102030405Z,keyCompromise\t0A80\tunknown\t/CN=a";

START_TEST(line_read)
{
    struct index_line l;
    ck_assert_msg(index_line_parse(view_str(good_line), &l, &err), "%s", err.text);
    ck_assert_int_eq(l.status, 'R');
    ck_assert_int_eq(l.not_after, 1924991999);
    ck_assert(l.revoked);
    ck_assert_int_eq(l.revoked_at, 1577934245);
    ck_assert_int_eq(l.reason, CRL_KEY_COMPROMISE);
    ck_assert_uint_eq(l.serial_len, 2);
    ck_assert_mem_eq(l.serial, "\x0a\x80", 2);
    ck_assert_str_eq(l.serial_text, "0A80");
    ck_assert_str_eq(l.file, "");
}
END_TEST

START_TEST(line_serials)
{
    static const struct {
        const char *text, *octets;
        size_t n;
    } serials[] = {
        {"01", "\x01", 1},
        {"7F", "\x7f", 1},
        {"80", "\x00\x80", 2},
        {"0080", "\x00\x80", 2},
        {"000001", "\x01", 1},
        {"00", "\x00", 1},
        {"-01", "\xff", 1},
        {"-80", "\x80", 1},
        {"-81", "\xff\x7f", 2},
        {"abc", "\x0a\xbc", 2},
        {"7fffffff", "\x7f\xff\xff\xff", 4},
    };
    for (size_t i = 0; i < sizeof serials / sizeof serials[0]; i++) {
        char line[200];
        struct index_line l;
        snprintf(line, sizeof line, "V\t301231235959Z\t\t%s\ta b.2.pem\t/CN=x", serials[i].text);
        ck_assert_msg(index_line_parse(view_str(line), &l, &err), "%s: %s", line, err.text);
        ck_assert_uint_eq(l.serial_len, serials[i].n);
        ck_assert_mem_eq(l.serial, serials[i].octets, serials[i].n);
        ck_assert_str_eq(l.file, "a b.2.pem");
        ck_assert(!l.revoked);
    }
}
END_TEST

START_TEST(line_reasons)
{
    static const struct {
        const char *text;
        enum crl_reason reason;
        bool revoked;
    } reasons[] = {
        {"", CRL_UNSPECIFIED, true},
        {",unspecified", CRL_UNSPECIFIED, true},
        {",KEYCOMPROMISE", CRL_KEY_COMPROMISE, true},
        {",CACompromise", CRL_CA_COMPROMISE, true},
        {",affiliationChanged", CRL_AFFILIATION_CHANGED, true},
        {",superseded", CRL_SUPERSEDED, true},
        {",cessationOfOperation", CRL_CESSATION, true},
        {",certificateHold", CRL_HOLD, true},
        {",removeFromCRL", CRL_REMOVE_FROM_CRL, false},
        {",holdInstruction,holdInstructionReject", CRL_HOLD, true},
        {",keyTime,20200101000000Z", CRL_KEY_COMPROMISE, true},
        {",CAkeyTime,20200101000000Z", CRL_CA_COMPROMISE, true},
    };
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        char line[200];
        struct index_line l;
        snprintf(line, sizeof line, "R\t20501231235959Z\t200102030405Z%s\t01\tunknown\t/CN=x",
                 reasons[i].text);
        ck_assert_msg(index_line_parse(view_str(line), &l, &err), "%s: %s", line, err.text);
        ck_assert_int_eq(l.reason, reasons[i].reason);
        ck_assert_int_eq(l.revoked, reasons[i].revoked);
        ck_assert_int_eq(l.revoked_at, 1577934245);
    }
}
END_TEST

START_TEST(line_refused)
{
    static const struct {
        const char *line, *text;
    } bad[] = {
        {"", "6 fields"},
        {"V\t301231235959Z\t\t01\tunknown", "6 fields"},
        {"V\t301231235959Z\t\t01\tunknown\t/CN=x\tmore", "6 fields"},
        {"W\t301231235959Z\t\t01\tunknown\t/CN=x", "status"},
        {"VV\t301231235959Z\t\t01\tunknown\t/CN=x", "status"},
        {"\t301231235959Z\t\t01\tunknown\t/CN=x", "status"},
        {"V\t\t\t01\tunknown\t/CN=x", "its end is no time"},
        {"V\t301331235959Z\t\t01\tunknown\t/CN=x", "its end is no time"},
        {"V\t301231235959\t\t01\tunknown\t/CN=x", "its end is no time"},
        {"V\t301231235959Z\t200102030405Z\t01\tunknown\t/CN=x", "a revocation and status V"},
        {"R\t301231235959Z\t\t01\tunknown\t/CN=x", "its revocation has no time"},
        {"R\t301231235959Z\t200102030405Z,\t01\tunknown\t/CN=x", "unknown reason \"\""},
        {"R\t301231235959Z\t200102030405Z,x\t01\tunknown\t/CN=x", "unknown reason \"x\""},
        {"V\t301231235959Z\t\t\tunknown\t/CN=x", "its serial"},
        {"V\t301231235959Z\t\t-\tunknown\t/CN=x", "its serial"},
        {"V\t301231235959Z\t\t0x1\tunknown\t/CN=x", "its serial"},
        {"V\t301231235959Z\t\t1 2\tunknown\t/CN=x", "its serial"},
        {"V\t301231235959Z\t\t"
         "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff\tunknown"
         "\t/CN=x",
         "at most 40 octets"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct index_line l;
        ck_assert_msg(!index_line_parse(view_str(bad[i].line), &l, &err), "%s", bad[i].line);
        ck_assert_int_eq(err.kind, ERR_CONFIG);
        ck_assert_msg(strstr(err.text, bad[i].text) != NULL, "%s: %s", bad[i].line, err.text);
        err = (struct err){0};
    }
    static const char with_nul[] = "V\t301231235959Z\t\t0\0001\tunknown\t/CN=x";
    struct index_line l;
    ck_assert(!index_line_parse(view_of(with_nul, sizeof with_nul - 1), &l, &err));
    ck_assert_uint_eq(ERR_peek_error(), 0);
}
END_TEST

/* A file is one by the shape of its first line: what is wrong in it is told with its number then.
 */
START_TEST(a_file_that_is_an_index)
{
    static const struct {
        const char *text;
        enum import_kind kind;
    } files[] = {
        {"V\t301231235959Z\t\t01\tunknown\t/CN=x\n", IMPORT_INDEX},
        {"X\t301231235959Z\t\t01\tunknown\t/CN=x\n", IMPORT_INDEX},
        {"V\tsoon\t\t01\tunknown\t/CN=x\nV\n", IMPORT_INDEX},
        {"\n# mine\nR\t301231235959Z\t\t01\tunknown\t/CN=x\n", IMPORT_INDEX},
        {"", IMPORT_FILE},
        {"\n#\n", IMPORT_FILE},
        {"a\tb\tc\n", IMPORT_FILE},
        {"subject\ta\tb\tc\td\te\n", IMPORT_FILE},
        {"0\x82\t\t\t\t\t\n", IMPORT_FILE}, /* DER */
        {"-----BEGIN CERTIFICATE-----\n", IMPORT_FILE},
    };
    struct temporary t;
    temporary_make(&t);
    const char *path = temporary_path(&t, "index.old");
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        enum import_kind kind;
        FILE *f = fopen(path, "w");
        ck_assert_ptr_nonnull(f);
        fputs(files[i].text, f);
        fclose(f);
        ck_assert_msg(import_kind_of(path, &kind, &err), "%s", err.text);
        ck_assert_msg(kind == files[i].kind, "%s", files[i].text);
    }
    temporary_remove(&t);
}
END_TEST

/* ---- CRLs, made by OpenSSL's objects ---- */

static void authority_make(void)
{
    now = time(NULL);
    err = (struct err){0};
    ca_fixture_plan(&ca);
    ca_fixture_init(&ca);
    ck_assert_msg(ca_fixture_load(&ca, &err), "%s", err.text);
    ck_assert(key_load(ca.files.key, NULL, &key, &err));
}

static void authority_end(void)
{
    EVP_PKEY_free(key);
    key = NULL;
    ca_fixture_clear(&ca);
}

static X509_CRL *crl_new(void)
{
    const unsigned char *p = ca.authority->cert->subject.p;
    X509_CRL *crl = X509_CRL_new();
    X509_NAME *issuer = d2i_X509_NAME(NULL, &p, (long)ca.authority->cert->subject.n);
    ASN1_TIME *t = ASN1_TIME_set(NULL, now);
    X509_CRL_set_version(crl, X509_CRL_VERSION_2);
    X509_CRL_set_issuer_name(crl, issuer);
    X509_CRL_set1_lastUpdate(crl, t);
    X509_CRL_set1_nextUpdate(crl, t);
    X509_NAME_free(issuer);
    ASN1_TIME_free(t);
    return crl;
}

static X509_REVOKED *crl_add(X509_CRL *crl, const char *hex, time_t when, int reason)
{
    X509_REVOKED *r = X509_REVOKED_new();
    BIGNUM *n = NULL;
    ck_assert(BN_hex2bn(&n, hex));
    ASN1_INTEGER *serial = BN_to_ASN1_INTEGER(n, NULL);
    ASN1_TIME *t = ASN1_TIME_set(NULL, when);
    X509_REVOKED_set_serialNumber(r, serial);
    X509_REVOKED_set_revocationDate(r, t);
    if (reason >= 0) {
        ASN1_ENUMERATED *e = ASN1_ENUMERATED_new();
        ASN1_ENUMERATED_set(e, reason);
        X509_REVOKED_add1_ext_i2d(r, NID_crl_reason, e, 0, 0);
        ASN1_ENUMERATED_free(e);
    }
    X509_CRL_add0_revoked(crl, r);
    BN_free(n);
    ASN1_INTEGER_free(serial);
    ASN1_TIME_free(t);
    return r;
}

static void crl_extension(X509_CRL *crl, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, NULL, NULL, NULL, crl, 0);
    X509_EXTENSION *x = X509V3_EXT_nconf_nid(NULL, &ctx, nid, value);
    ck_assert_ptr_nonnull(x);
    X509_CRL_add_ext(crl, x, -1);
    X509_EXTENSION_free(x);
}

static void crl_number(X509_CRL *crl, const char *hex)
{
    BIGNUM *n = NULL;
    BN_hex2bn(&n, hex);
    ASN1_INTEGER *number = BN_to_ASN1_INTEGER(n, NULL);
    X509_CRL_add1_ext_i2d(crl, NID_crl_number, number, 0, 0);
    ASN1_INTEGER_free(number);
    BN_free(n);
}

static struct buf crl_done(X509_CRL *crl, EVP_PKEY *with)
{
    struct buf out = {0};
    unsigned char *der = NULL;
    ck_assert(X509_CRL_sign(crl, with, EVP_sha256()) > 0);
    int n = i2d_X509_CRL(crl, &der);
    ck_assert(n > 0 && buf_append(&out, der, (size_t)n));
    OPENSSL_free(der);
    X509_CRL_free(crl);
    return out;
}

struct seen {
    struct crl_entry e[8];
    size_t n;
};

static bool see(void *ctx, const struct crl_entry *e, struct err *ignored)
{
    struct seen *s = ctx;
    ck_assert_uint_lt(s->n, 8);
    s->e[s->n++] = *e;
    return true;
}

START_TEST(crl_read)
{
    X509_CRL *crl = crl_new();
    struct seen s = {.n = 0};
    struct crl_info info;
    crl_add(crl, "05", 1000, -1);
    crl_add(crl, "80", 2000, CRL_KEY_COMPROMISE);
    crl_add(crl, "-80", 3000, CRL_HOLD);
    crl_add(crl, "0102030405060708090A0B0C0D0E0F1011121314", now, 10);
    crl_number(crl, "1234");
    struct buf der = crl_done(crl, key);
    ck_assert_msg(crl_read_entries(buf_view(&der), key, &info, see, &s, &err), "%s", err.text);
    ck_assert_uint_eq(s.n, 4);
    ck_assert(view_eq(view_of(s.e[0].serial, s.e[0].serial_len), view_of("\5", 1)));
    ck_assert(view_eq(view_of(s.e[1].serial, s.e[1].serial_len), view_of("\0\x80", 2)));
    ck_assert(view_eq(view_of(s.e[2].serial, s.e[2].serial_len), view_of("\x80", 1)));
    ck_assert_uint_eq(s.e[3].serial_len, 20);
    ck_assert_int_eq(s.e[0].revoked_at, 1000);
    ck_assert_int_eq(s.e[0].reason, CRL_UNSPECIFIED);
    ck_assert_int_eq(s.e[1].reason, CRL_KEY_COMPROMISE);
    ck_assert_int_eq(s.e[2].reason, CRL_HOLD);
    ck_assert_int_eq(s.e[3].reason, CRL_UNSPECIFIED);
    ck_assert(info.has_number);
    ck_assert_uint_eq(info.number, 0x1234);
    ck_assert_int_eq(info.this_update, now);
    ck_assert(view_eq(info.issuer, ca.authority->cert->subject));
    buf_clear(&der);
}
END_TEST

START_TEST(crl_without_anything)
{
    X509_CRL *crl = crl_new();
    struct seen s = {.n = 0};
    struct crl_info info;
    X509_CRL_set_version(crl, X509_CRL_VERSION_1);
    struct buf der = crl_done(crl, key);
    ck_assert_msg(crl_read_entries(buf_view(&der), key, &info, see, &s, &err), "%s", err.text);
    ck_assert_uint_eq(s.n, 0);
    ck_assert(!info.has_number);
    for (size_t n = 0; n < der.n; n++) { /* cut anywhere */
        ck_assert(!crl_read_entries(view_of(der.p, n), key, &info, see, &s, &err));
        err = (struct err){0};
    }
    ck_assert_uint_eq(ERR_peek_error(), 0);
    buf_clear(&der);
}
END_TEST

static void crl_fails(X509_CRL *crl, EVP_PKEY *with, const char *text)
{
    struct crl_info info;
    struct seen s = {.n = 0};
    struct buf der = crl_done(crl, with);
    ck_assert(!crl_read_entries(buf_view(&der), key, &info, see, &s, &err));
    ck_assert_int_eq(err.kind, ERR_CONFIG);
    ck_assert_msg(strstr(err.text, text) != NULL, "%s", err.text);
    err = (struct err){0};
    buf_clear(&der);
}

START_TEST(crl_refused)
{
    crl_fails(crl_new(), ca.device_key, "signature is not by this authority");
    X509_CRL *crl = crl_new();
    crl_add(crl, "01", 1, 7);
    crl_fails(crl, key, "entry 1 is malformed");
    crl = crl_new();
    crl_add(crl, "01", 1, -1);
    X509_REVOKED *r = crl_add(crl, "02", 1, -1);
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    GENERAL_NAME *name = a2i_GENERAL_NAME(NULL, NULL, NULL, GEN_DNS, "other", 0);
    sk_GENERAL_NAME_push(names, name);
    X509_REVOKED_add1_ext_i2d(r, NID_certificate_issuer, names, 1, 0);
    GENERAL_NAMES_free(names);
    crl_fails(crl, key, "entry 2 is malformed");
    crl = crl_new();
    ASN1_INTEGER *base = ASN1_INTEGER_new();
    ASN1_INTEGER_set(base, 1);
    X509_CRL_add1_ext_i2d(crl, NID_delta_crl, base, 1, 0);
    ASN1_INTEGER_free(base);
    crl_fails(crl, key, "delta CRL");
    crl = crl_new();
    crl_extension(crl, NID_issuing_distribution_point, "critical,indirectCRL:TRUE");
    crl_fails(crl, key, "indirect CRL");
    crl = crl_new();
    crl_number(crl, "8000000000000000");
    crl_fails(crl, key, "more than 63 bits");
}
END_TEST

/* ---- the set of serials ---- */

START_TEST(serials_seen)
{
    struct serial_set s = {.n = 0};
    uint8_t a[20] = {1}, b[20] = {2};
    for (int round = 0; round < 2; round++)
        for (uint32_t i = 0; i < 5000; i++)
            ck_assert_int_eq(serial_set_mark(&s, a, view_of(&i, sizeof i), SERIAL_CERTIFICATE),
                             round ? SERIAL_CERTIFICATE : 0);
    uint32_t one = 1;
    ck_assert_int_eq(serial_set_mark(&s, b, view_of(&one, sizeof one), SERIAL_REVOKED), 0);
    ck_assert_int_eq(serial_set_mark(&s, a, view_of(&one, sizeof one), SERIAL_REVOKED),
                     SERIAL_CERTIFICATE);
    ck_assert_int_eq(serial_set_mark(&s, a, view_of(&one, sizeof one), 0),
                     SERIAL_CERTIFICATE | SERIAL_REVOKED);
    ck_assert_uint_eq(s.n, 5001);
    serial_set_clear(&s);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("import");
    TCase *lines = tcase_create("lines"), *crls = tcase_create("crls");
    tcase_add_test(lines, line_read);
    tcase_add_test(lines, line_serials);
    tcase_add_test(lines, line_reasons);
    tcase_add_test(lines, line_refused);
    tcase_add_test(lines, a_file_that_is_an_index);
    tcase_add_test(lines, serials_seen);
    suite_add_tcase(s, lines);
    tcase_add_checked_fixture(crls, authority_make, authority_end);
    tcase_set_timeout(crls, 60);
    tcase_add_test(crls, crl_read);
    tcase_add_test(crls, crl_without_anything);
    tcase_add_test(crls, crl_refused);
    suite_add_tcase(s, crls);
    return check_main(s);
}
