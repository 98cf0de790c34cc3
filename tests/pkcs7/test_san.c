/* OpenSSL's GENERAL_NAMES is the oracle for what is written and for what is read. */
#include "check_main.h"
#include "oracle.h"
#include "pkcs7/san.h"

#define LIT(s) view_of(s, sizeof(s) - 1)

/* The GeneralNames that OpenSSL makes of its configuration text. */
static struct buf by_openssl(const char *conf)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, NULL, NULL, NULL, NULL, 0);
    X509V3_set_ctx_nodb(&ctx);
    X509_EXTENSION *x = X509V3_EXT_conf_nid(NULL, &ctx, NID_subject_alt_name, conf);
    ck_assert_ptr_nonnull(x);
    const ASN1_OCTET_STRING *value = X509_EXTENSION_get_data(x);
    struct buf out = {0};
    ck_assert(buf_append(&out, ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value)));
    X509_EXTENSION_free(x);
    return out;
}

static void expect_refused_as(struct buf der, enum reason reason, const char *text)
{
    struct san s = {.n = 99};
    struct err err = {0};
    ck_assert(!san_parse(buf_view(&der), &s, &err));
    ck_assert_str_eq(reason_info(err.reason)->code, reason_info(reason)->code);
    ck_assert_msg(strstr(err.text, text) != NULL, "'%s' without '%s'", err.text, text);
    ck_assert_uint_eq(s.n, 99);
    ck_assert_uint_eq(ERR_peek_error(), 0);
    buf_clear(&der);
}

static void expect_refused(struct buf der, const char *text)
{
    expect_refused_as(der, REASON_SAN_FORBIDDEN, text);
}

/* GeneralNames of one name. */
static struct buf general(unsigned tag, struct view content)
{
    struct der w = {0};
    struct buf out = {0};
    struct err err = {0};
    der_tlv(&w, tag, content);
    der_wrap(&w, DER_SEQUENCE, 0);
    ck_assert(der_take(&w, &out, &err));
    return out;
}

START_TEST(every_form_both_ways)
{
    struct buf der =
        by_openssl("DNS:Host.Example.ORG,email:a.b+c@Example.org,"
                   "URI:urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6,IP:10.0.0.1,"
                   "IP:2001:db8::1,otherName:1.3.6.1.4.1.311.20.2.3;UTF8:zoe@example.org");
    struct buf lower =
        by_openssl("DNS:host.example.org,email:a.b+c@Example.org,"
                   "URI:urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6,IP:10.0.0.1,"
                   "IP:2001:db8::1,otherName:1.3.6.1.4.1.311.20.2.3;UTF8:zoe@example.org");
    struct san s;
    struct err err = {0};
    char text[400];
    ck_assert_msg(san_parse(buf_view(&der), &s, &err), "%s", err.text);
    san_text(&s, text, sizeof text);
    ck_assert_str_eq(text, "DNS:host.example.org,email:a.b+c@Example.org,"
                           "URI:urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6,IP:10.0.0.1,"
                           "IP:2001:db8::1,UPN:zoe@example.org");
    struct der w = {0};
    san_build(&s, &w);
    ck_assert(view_eq(der_content(&w), buf_view(&lower)));
    san_text(&s, text, 9);
    ck_assert_str_eq(text, "DNS:host");
    san_clear(&s);
    der_clear(&w);
    buf_clear(&der);
    buf_clear(&lower);
}
END_TEST

START_TEST(added_by_text)
{
    struct san s = {0};
    struct err err = {0};
    static const struct {
        const char *in, *out;
    } good[] = {
        {"dns:Router", "DNS:router"},
        {"DNS:xn--mnchen-3ya.example.org", "DNS:xn--mnchen-3ya.example.org"},
        {"DNS:3com.example", "DNS:3com.example"},
        {"EMAIL:o'neil@example.org", "email:o'neil@example.org"},
        {"uri:tag:microsoft.com,2022-09-14:sid:S-1-5-21-1",
         "URI:tag:microsoft.com,2022-09-14:sid:S-1-5-21-1"},
        {"URI:IntuneDeviceId://8b3a", "URI:IntuneDeviceId://8b3a"},
        {"IP:2001:DB8:0::0001", "IP:2001:db8::1"},
        {"IP:::ffff:10.0.0.1", "IP:::ffff:10.0.0.1"},
        {"upn:Zoe\xcc\x88@example.org", "UPN:Zo\xc3\xab@example.org"},
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        char text[200];
        ck_assert_msg(san_add_text(&s, good[i].in, &err), "%s", err.text);
        san_text(&s, text, sizeof text);
        ck_assert_str_eq(text, good[i].out);
        san_clear(&s);
    }
    static const char *const unknown[] = {"", "x", "DNS", ":x", "DN:x", "RID:1.2.3", "DNSX:a"};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        ck_assert(!san_add_text(&s, unknown[i], &err));
        ck_assert_int_eq(err.kind, ERR_CONFIG);
    }
}
END_TEST

START_TEST(malformed_values)
{
    static const struct {
        enum san_kind kind;
        const char *value, *fault;
    } cases[] = {
        {SAN_DNS, "", "empty label"},
        {SAN_DNS, "example.org.", "empty label"},
        {SAN_DNS, "a..b", "empty label"},
        {SAN_DNS, "*.example.org", "no host name has"},
        {SAN_DNS, "a_b.example.org", "no host name has"},
        {SAN_DNS, "m\xc3\xbcnchen.example", "no host name has"},
        {SAN_DNS, "a b", "no host name has"},
        {SAN_DNS, "-a.example", "hyphen"},
        {SAN_DNS, "a-.example", "hyphen"},
        {SAN_DNS, "10.0.0.1", "looks like one"},
        {SAN_DNS, "2001:db8::1", "no host name has"},
        {SAN_DNS, "a23456789012345678901234567890123456789012345678901234567890abcd", "63"},
        {SAN_EMAIL, "example.org", "user@host"},
        {SAN_EMAIL, "@example.org", "user@host"},
        {SAN_EMAIL, "a@", "empty label"},
        {SAN_EMAIL, "a@b@c", "no host name has"},
        {SAN_EMAIL, "a..b@example.org", "dot out of place"},
        {SAN_EMAIL, ".a@example.org", "dot out of place"},
        {SAN_EMAIL, "a.@example.org", "dot out of place"},
        {SAN_EMAIL, "a b@example.org", "no mailbox has"},
        {SAN_EMAIL, "\"a\"@example.org", "no mailbox has"},
        {SAN_EMAIL, "zo\xc3\xab@example.org", "no mailbox has"},
        {SAN_URI, "example.org/x", "absolute URI"},
        {SAN_URI, "https:", "absolute URI"},
        {SAN_URI, "1http://x", "absolute URI"},
        {SAN_URI, "urn:a b", "no URI has"},
        {SAN_URI, "urn:\xc3\xab", "no URI has"},
        {SAN_URI, "urn:a\"", "no URI has"},
        {SAN_IP, "10.0.0", "no address"},
        {SAN_IP, "10.0.0.1/24", "no address"},
        {SAN_IP, "", "no address"},
        {SAN_UPN, "zoe", "user@realm"},
        {SAN_UPN, "@realm", "user@realm"},
        {SAN_UPN, "zoe@", "user@realm"},
        {SAN_UPN, "zoe@a@b", "user@realm"},
        {SAN_UPN, "zoe\n@a", "control character"},
        {SAN_UPN, "", "empty"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct san s = {0};
        struct err err = {0};
        ck_assert_msg(!san_add(&s, cases[i].kind, cases[i].value, &err), "%s", cases[i].value);
        ck_assert_int_eq(err.reason, REASON_SAN_FORBIDDEN);
        ck_assert_msg(strstr(err.text, cases[i].fault) != NULL, "'%s' without '%s'", err.text,
                      cases[i].fault);
        ck_assert_uint_eq(s.n, 0);
    }
}
END_TEST

START_TEST(placeholders_are_named_as_such)
{
    static const struct {
        enum san_kind kind;
        const char *value;
    } cases[] = {
        {SAN_DNS, "%ComputerName%"},      {SAN_DNS, "{{DeviceName}}.example.org"},
        {SAN_DNS, "$SERIAL.example.org"}, {SAN_UPN, "%UserPrincipalName%"},
        {SAN_URI, "urn:x:{{DeviceId}}"},  {SAN_EMAIL, "${MAIL}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct san s = {0};
        struct err err = {0};
        ck_assert(!san_add(&s, cases[i].kind, cases[i].value, &err));
        ck_assert_str_eq(reason_info(err.reason)->code, "subject.placeholder");
    }
}
END_TEST

START_TEST(nul_inside)
{
    expect_refused(general(DER_CONTEXT(2), LIT("good.example\0.evil.example")),
                   "DNS:good.example\\x00");
    expect_refused(general(DER_CONTEXT(1), LIT("a\0b@example.org")), "no mailbox has");
    expect_refused(general(DER_CONTEXT(6), LIT("urn:a\0b")), "no URI has");
}
END_TEST

START_TEST(lengths)
{
    char long_name[1100] = "urn:";
    memset(long_name + 4, 'x', sizeof long_name - 4);
    struct san s = {0};
    struct err err = {0};
    long_name[1024] = '\0';
    ck_assert(san_add(&s, SAN_URI, long_name, &err));
    long_name[1024] = 'x';
    long_name[1025] = '\0';
    ck_assert(!san_add(&s, SAN_URI, long_name, &err));
    char host[260];
    for (size_t i = 0; i < sizeof host; i++)
        host[i] = i % 2 ? '.' : 'a';
    host[253] = '\0';
    ck_assert(san_add(&s, SAN_DNS, host, &err));
    host[253] = '.';
    host[255] = '\0';
    ck_assert(!san_add(&s, SAN_DNS, host, &err));
    ck_assert_msg(strstr(err.text, "253") != NULL, "%s", err.text);
    san_clear(&s);
    expect_refused(general(DER_CONTEXT(7), LIT("\1\2\3")), "IP address of 3 octets, not 4 or 16");
    expect_refused(general(DER_CONTEXT(7), LIT("\1\2\3\4\5\6\7\10")), "8 octets");
}
END_TEST

START_TEST(other_forms)
{
    expect_refused(by_openssl("RID:1.2.3.4"), "form registeredID is not issued");
    expect_refused(by_openssl("otherName:1.2.3.4;UTF8:x"), "otherName of type 1.2.3.4");
    expect_refused(by_openssl("otherName:1.3.6.1.4.1.311.20.2.3;IA5:a@b"), "not UTF8String");
    expect_refused(general(DER_CONTEXT_CONSTRUCTED(4), LIT("\x30\x00")), "form directoryName");
    expect_refused(general(DER_CONTEXT(2), LIT("")), "empty label");
    expect_refused(general(DER_CONTEXT(9), LIT("x")), "cannot be decoded");
    struct buf der = {0};
    ck_assert(buf_append(&der, "\x30\x00", 2));
    expect_refused(der, "subjectAltName is empty");
    expect_refused((struct buf){0}, "subjectAltName: the input is empty");
    der = by_openssl("DNS:a.example");
    ck_assert(buf_append(&der, "", 1));
    expect_refused(der, "1 octets after the end");
}
END_TEST

START_TEST(none_twice_and_not_too_many)
{
    expect_refused(by_openssl("DNS:a.example,DNS:A.EXAMPLE"), "DNS:a.example is given twice");
    expect_refused(by_openssl("email:a@example.org,email:a@EXAMPLE.org"), "given twice");
    struct san s = {0};
    struct err err = {0};
    ck_assert(san_add(&s, SAN_EMAIL, "a@example.org", &err));
    ck_assert(san_add(&s, SAN_EMAIL, "A@example.org", &err)); /* another mailbox */
    for (int i = 2; i < SAN_MAX; i++) {
        char name[32];
        snprintf(name, sizeof name, "h%d.example", i);
        ck_assert(san_add(&s, SAN_DNS, name, &err));
    }
    struct der w = {0};
    san_build(&s, &w);
    struct san back;
    ck_assert(san_parse(der_content(&w), &back, &err));
    ck_assert_uint_eq(back.n, SAN_MAX);
    san_clear(&back);
    ck_assert(!san_add(&s, SAN_DNS, "more.example", &err));
    ck_assert_str_eq(err.text, "more than 32 subject alternative names");
    ck_assert_uint_eq(s.n, SAN_MAX);
    san_clear(&s);
    der_clear(&w);
}
END_TEST

START_TEST(equal_as_sets)
{
    struct san a = {0}, b = {0};
    struct err err = {0};
    ck_assert(san_add_text(&a, "DNS:a.example", &err) && san_add_text(&a, "IP:10.0.0.1", &err));
    ck_assert(san_add_text(&b, "IP:10.0.0.1", &err) && san_add_text(&b, "DNS:A.example", &err));
    ck_assert(san_eq(&a, &b));
    ck_assert(san_add_text(&a, "URI:urn:x", &err));
    ck_assert(!san_eq(&a, &b));
    ck_assert(san_add_text(&b, "URI:urn:X", &err)); /* case matters here */
    ck_assert(!san_eq(&a, &b));
    san_clear(&a);
    san_clear(&b);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("pkcs7/san");
    TCase *c = tcase_create("san");
    tcase_add_test(c, every_form_both_ways);
    tcase_add_test(c, added_by_text);
    tcase_add_test(c, malformed_values);
    tcase_add_test(c, placeholders_are_named_as_such);
    tcase_add_test(c, nul_inside);
    tcase_add_test(c, lengths);
    tcase_add_test(c, other_forms);
    tcase_add_test(c, none_twice_and_not_too_many);
    tcase_add_test(c, equal_as_sets);
    suite_add_tcase(s, c);
    return check_main(s);
}
