#include "check_main.h"
#include "oracle.h"
#include "pkcs7/cert.h"

#define REASON REASON_CSR_MALFORMED

/* The extensions that OpenSSL makes of (nid, configuration text) pairs, ended by nid 0. */
struct conf {
    int nid;
    const char *value;
};

static struct buf by_openssl(const struct conf *conf)
{
    STACK_OF(X509_EXTENSION) *exts = NULL;
    for (; conf->nid; conf++)
        oracle_add_ext(&exts, conf->nid, conf->value);
    struct buf out = oracle_X509_EXTENSIONS(exts);
    sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
    return out;
}

/* A SEQUENCE OF Extension of one, with the given DER inside. */
static struct buf single(const char *oid, bool critical, const void *value, size_t n)
{
    struct der w = {0};
    struct buf out = {0};
    struct err err = {0};
    extension_build(&w, oid, critical, view_of(value, n));
    der_wrap(&w, DER_SEQUENCE, 0);
    ck_assert(der_take(&w, &out, &err));
    return out;
}

#define SINGLE(oid, lit) single(oid, false, lit, sizeof(lit) - 1)

static void expect_refused_as(struct buf der, enum reason reason, const char *text)
{
    struct extensions x = {.unknown_n = 99};
    struct err err = {0};
    ck_assert(!extensions_parse(buf_view(&der), REASON, &x, &err));
    ck_assert_str_eq(reason_info(err.reason)->code, reason_info(reason)->code);
    ck_assert_msg(strstr(err.text, text) != NULL, "'%s' without '%s'", err.text, text);
    ck_assert_uint_eq(x.unknown_n, 99);
    ck_assert_uint_eq(ERR_peek_error(), 0);
    buf_clear(&der);
}

static void expect_refused(struct buf der, const char *text)
{
    expect_refused_as(der, REASON, text);
}

START_TEST(what_requests_ask_for)
{
    static const struct conf conf[] = {
        {NID_basic_constraints, "CA:FALSE"},
        {NID_key_usage, "critical,digitalSignature,keyEncipherment,decipherOnly"},
        {NID_ext_key_usage, "clientAuth,1.3.6.1.5.5.7.3.17"},
        {NID_subject_alt_name, "DNS:a.example,IP:10.0.0.1"},
        {NID_netscape_comment, "x"},
        {NID_tlsfeature, "critical,status_request"},
        {0, NULL},
    };
    struct buf der = by_openssl(conf);
    struct extensions x;
    struct err err = {0};
    ck_assert_msg(extensions_parse(buf_view(&der), REASON, &x, &err), "%s", err.text);
    ck_assert(view_eq(x.der, buf_view(&der)) && x.der.p == der.p);
    ck_assert(x.has_basic_constraints && !x.is_ca && !x.basic_constraints_critical);
    ck_assert_int_eq(x.path_len, -1);
    ck_assert(x.has_key_usage && x.key_usage_critical);
    ck_assert_uint_eq(x.key_usage, KU_DIGITAL_SIGNATURE | KU_KEY_ENCIPHERMENT | KU_DECIPHER_ONLY);
    ck_assert(x.has_eku && x.eku.n == 2);
    ck_assert(eku_has(&x.eku, "1.3.6.1.5.5.7.3.2") && eku_has(&x.eku, "1.3.6.1.5.5.7.3.17"));
    ck_assert(x.has_san && !x.san_critical && x.san.n == 2);
    ck_assert_str_eq(x.unknown, "2.16.840.1.113730.1.13 1.3.6.1.5.5.7.1.24");
    ck_assert_uint_eq(x.unknown_n, 2);
    ck_assert(x.unknown_critical);
    ck_assert_uint_eq(x.ski.n + x.aki.n + x.ms_sid.n, 0);
    extensions_clear(&x);
    extensions_clear(&x);
    buf_clear(&der);
}
END_TEST

START_TEST(what_certificates_carry)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x509 = oracle_cert(key);
    X509_sign(x509, key, EVP_sha256());
    struct buf der = oracle_X509(x509);
    struct cert *c = NULL;
    struct extensions x;
    struct err err = {0};
    ck_assert(cert_parse(buf_view(&der), &c, &err));
    ck_assert_msg(extensions_parse(c->extensions, REASON, &x, &err), "%s", err.text);
    const ASN1_OCTET_STRING *ski = X509_get0_subject_key_id(x509),
                            *aki = X509_get0_authority_key_id(x509);
    ck_assert(view_eq(x.ski, view_of(ASN1_STRING_get0_data(ski), (size_t)ASN1_STRING_length(ski))));
    ck_assert(view_eq(x.aki, view_of(ASN1_STRING_get0_data(aki), (size_t)ASN1_STRING_length(aki))));
    ck_assert(x.ski.p > c->der.p && x.ski.p < c->der.p + c->der.n);
    ck_assert(x.aki.p > x.ski.p && x.aki.p < c->der.p + c->der.n);
    ck_assert(!x.aki_other && x.unknown_n == 0);
    extensions_clear(&x);
    cert_free(c);
    buf_clear(&der);
    X509_free(x509);
    EVP_PKEY_free(key);
}
END_TEST

START_TEST(ca_and_path_length)
{
    static const struct conf conf[] = {{NID_basic_constraints, "critical,CA:TRUE,pathlen:3"},
                                       {0, NULL}};
    struct buf der = by_openssl(conf);
    struct extensions x;
    struct err err = {0};
    ck_assert(extensions_parse(buf_view(&der), REASON, &x, &err));
    ck_assert(x.is_ca && x.basic_constraints_critical && x.path_len == 3);
    extensions_clear(&x);
    buf_clear(&der);
    expect_refused(SINGLE("2.5.29.19", "\x30\x06\x01\x01\xff\x02\x01\xff"), "impossible pathLen");
    expect_refused(SINGLE("2.5.29.19", "\x30\x0e\x01\x01\xff\x02\x09\x01\0\0\0\0\0\0\0\0"),
                   "impossible pathLen");
}
END_TEST

START_TEST(authority_by_name)
{
    struct buf der = SINGLE("2.5.29.35", "\x30\x09\x80\x04"
                                         "abcd"
                                         "\x82\x01\x05");
    struct extensions x;
    struct err err = {0};
    ck_assert_msg(extensions_parse(buf_view(&der), REASON, &x, &err), "%s", err.text);
    ck_assert(view_eq(x.aki, view_str("abcd")) && x.aki_other);
    extensions_clear(&x);
    buf_clear(&der);
}
END_TEST

/* DER has no strings in pieces, and an identifier in pieces stands nowhere as a whole: not to be
 * taken for none. */
START_TEST(identifiers_in_pieces)
{
    expect_refused(SINGLE("2.5.29.14", "\x24\x08\x04\x02"
                                       "ab"
                                       "\x04\x02"
                                       "cd"),
                   "subjectKeyIdentifier has a string in pieces (BER)");
    expect_refused(SINGLE("2.5.29.35", "\x30\x0a\xa0\x08\x04\x02"
                                       "ab"
                                       "\x04\x02"
                                       "cd"),
                   "authorityKeyIdentifier has a string in pieces (BER)");
}
END_TEST

START_TEST(sid_is_kept_raw)
{
    struct buf der = SINGLE("1.3.6.1.4.1.311.25.2", "\x30\x03\x02\x01\x05");
    struct extensions x;
    struct err err = {0};
    ck_assert(extensions_parse(buf_view(&der), REASON, &x, &err));
    ck_assert(view_eq(x.ms_sid, view_of("\x30\x03\x02\x01\x05", 5)));
    ck_assert_uint_eq(x.unknown_n, 0);
    extensions_clear(&x);
    buf_clear(&der);
}
END_TEST

START_TEST(those_that_do_not_parse)
{
    expect_refused(SINGLE("2.5.29.19", "\x04\x00"), "basicConstraints cannot be decoded");
    expect_refused(SINGLE("2.5.29.19", "\x30\x00\x00"),
                   "basicConstraints has 1 octets after its end");
    expect_refused(SINGLE("2.5.29.15", ""), "keyUsage cannot be decoded");
    expect_refused(SINGLE("2.5.29.15", "\x30\x00"), "keyUsage cannot be decoded");
    expect_refused(SINGLE("2.5.29.15", "\x03\x06\x00\x80\0\0\0\x01"), "more than 4 octets");
    expect_refused(SINGLE("2.5.29.37", "\x30\x00"), "extendedKeyUsage is empty");
    expect_refused(SINGLE("2.5.29.37", "\x30\x02\x05\x00"), "extendedKeyUsage cannot be decoded");
    expect_refused(SINGLE("2.5.29.14", "\x30\x00"), "subjectKeyIdentifier cannot be decoded");
    expect_refused(SINGLE("2.5.29.35", "\x04\x00"), "authorityKeyIdentifier cannot be decoded");
    expect_refused(SINGLE("1.3.6.1.4.1.311.25.2", ""), "SID extension is empty");
    expect_refused_as(SINGLE("2.5.29.17", "\x30\x00"), REASON_SAN_FORBIDDEN,
                      "subjectAltName is empty");
    expect_refused_as(SINGLE("2.5.29.17", "\x04\x00"), REASON_SAN_FORBIDDEN, "subjectAltName");
}
END_TEST

START_TEST(each_once)
{
    static const int nids[] = {NID_key_usage, NID_tlsfeature};
    for (int i = 0; i < 2; i++) {
        struct conf once[] = {{nids[i], i ? "status_request" : "digitalSignature"}, {0, NULL}};
        struct buf one = by_openssl(once), two = {0};
        struct der w = {0};
        struct err err = {0};
        struct view content = view_of(one.p + 2, one.n - 2);
        der_raw(&w, content);
        der_raw(&w, content);
        der_wrap(&w, DER_SEQUENCE, 0);
        ck_assert(der_take(&w, &two, &err));
        expect_refused(two, i ? "1.3.6.1.5.5.7.1.24 is there twice" : "2.5.29.15 is there twice");
        buf_clear(&one);
    }
}
END_TEST

START_TEST(counts)
{
    struct der w = {0};
    struct buf der = {0};
    struct err err = {0};
    struct extensions x;
    for (int i = 0; i < 64; i++) {
        char oid[32];
        snprintf(oid, sizeof oid, "1.2.3.4.%d", i);
        extension_build(&w, oid, false, view_str("x"));
    }
    der_wrap(&w, DER_SEQUENCE, 0);
    ck_assert(extensions_parse(der_content(&w), REASON, &x, &err));
    ck_assert_uint_eq(x.unknown_n, 64);
    ck_assert_uint_lt(strlen(x.unknown), sizeof x.unknown); /* cut between two */
    ck_assert_str_eq(x.unknown + strlen(x.unknown) - 11, " 1.2.3.4.41");
    extensions_clear(&x);
    der_clear(&w);
    for (int i = 0; i < 65; i++)
        extension_build(&w, "1.2.3.4", false, view_str("x"));
    der_wrap(&w, DER_SEQUENCE, 0);
    ck_assert(der_take(&w, &der, &err));
    expect_refused(der, "65 extensions, at most 64");
    for (int i = 0; i <= EKU_MAX; i++)
        der_oid_text(&w,
                     (char[]){'1', '.', '2', '.', (char)('1' + i / 9), (char)('1' + i % 9), '\0'});
    der_wrap(&w, DER_SEQUENCE, 0);
    struct view value = der_content(&w);
    expect_refused(single("2.5.29.37", false, value.p, value.n), "more than 16 purposes");
    der_clear(&w);
    expect_refused((struct buf){0}, "extensions: the input is empty");
}
END_TEST

START_TEST(written_as_openssl_does)
{
    static const struct conf conf[] = {{NID_key_usage, "critical,digitalSignature"}, {0, NULL}};
    struct buf expected = by_openssl(conf);
    struct buf der = single("2.5.29.15", true, "\x03\x02\x07\x80", 4);
    ck_assert(view_eq(buf_view(&der), buf_view(&expected)));
    buf_clear(&der);
    buf_clear(&expected);
}
END_TEST

START_TEST(names)
{
    char text[200], oid[OID_TEXT_MAX];
    key_usage_text(KU_DIGITAL_SIGNATURE | KU_CRL_SIGN, text, sizeof text);
    ck_assert_str_eq(text, "digitalSignature,cRLSign");
    key_usage_text(KU_DIGITAL_SIGNATURE | KU_CRL_SIGN, text, 5);
    ck_assert_str_eq(text, "digi");
    key_usage_text(0, text, sizeof text);
    ck_assert_str_eq(text, "");
    ck_assert(eku_by_name("clientauth", oid));
    ck_assert_str_eq(oid, "1.3.6.1.5.5.7.3.2");
    ck_assert_str_eq(eku_name(oid), "clientAuth");
    ck_assert(eku_by_name("1.2.3.4", oid));
    ck_assert_str_eq(eku_name(oid), "1.2.3.4");
    ck_assert(!eku_by_name("1.2.", oid));
    ck_assert(!eku_by_name("1.02", oid));
    ck_assert(!eku_by_name("9.9", oid));
    ck_assert(!eku_by_name("noPurpose", oid));
    ck_assert(!eku_by_name("", oid));
    ck_assert_uint_eq(ERR_peek_error(), 0);
    struct eku e = {0};
    ck_assert(eku_add(&e, "1.2.3") && eku_add(&e, "1.2.3"));
    ck_assert_uint_eq(e.n, 1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("pkcs7/ext");
    TCase *c = tcase_create("ext");
    tcase_add_test(c, what_requests_ask_for);
    tcase_add_test(c, what_certificates_carry);
    tcase_add_test(c, ca_and_path_length);
    tcase_add_test(c, authority_by_name);
    tcase_add_test(c, identifiers_in_pieces);
    tcase_add_test(c, sid_is_kept_raw);
    tcase_add_test(c, those_that_do_not_parse);
    tcase_add_test(c, each_once);
    tcase_add_test(c, counts);
    tcase_add_test(c, written_as_openssl_does);
    tcase_add_test(c, names);
    suite_add_tcase(s, c);
    return check_main(s);
}
