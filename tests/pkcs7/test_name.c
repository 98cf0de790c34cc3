/* OpenSSL's X509_NAME is the oracle for what is written and for what is read. */
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/objects.h>

#include "check_main.h"
#include "oracle.h"
#include "pkcs7/name.h"

#define REASON REASON_SUBJECT_FORBIDDEN

#define LIT(s) view_of(s, sizeof(s) - 1)

/* Name of one attribute with this string type and content. */
static struct buf one(const char *oid, unsigned tag, struct view content)
{
    struct der w = {0};
    struct buf out = {0};
    struct err err = {0};
    der_tlv(&w, tag, content);
    der_oid_text(&w, oid);
    der_wrap(&w, DER_SEQUENCE, 0);
    der_wrap(&w, DER_SET, 0);
    der_wrap(&w, DER_SEQUENCE, 0);
    ck_assert(der_take(&w, &out, &err));
    return out;
}

static void expect_text(struct buf der, const char *text)
{
    struct name n = {0};
    struct err err = {0};
    char got[NAME_TEXT_MAX];
    ck_assert_msg(name_parse(buf_view(&der), REASON, &n, &err), "%s", err.text);
    name_text(&n, got, sizeof got);
    ck_assert_str_eq(got, text);
    name_der_text(buf_view(&der), got, sizeof got);
    ck_assert_str_eq(got, text);
    name_clear(&n);
    buf_clear(&der);
}

static void expect_refused(struct buf der, const char *text)
{
    struct name n = {.n = 77};
    struct err err = {0};
    ck_assert(!name_parse(buf_view(&der), REASON_RENEWAL_SUBJECT, &n, &err));
    ck_assert_int_eq(err.reason, REASON_RENEWAL_SUBJECT);
    ck_assert_msg(strstr(err.text, text) != NULL, "'%s' without '%s'", err.text, text);
    ck_assert_uint_eq(n.n, 77);
    ck_assert_uint_eq(ERR_peek_error(), 0);
    buf_clear(&der);
}

static struct buf cn(unsigned tag, struct view content)
{
    return one("2.5.4.3", tag, content);
}

enum { T61 = 0x14, NUMERIC = 0x12, VISIBLE = 0x1a, UNIVERSAL = 0x1c };

START_TEST(every_string_type)
{
    expect_text(cn(DER_UTF8_STRING, LIT("Zo\xc3\xab")), "CN=Zo\xc3\xab");
    expect_text(cn(DER_PRINTABLE_STRING, LIT("ipad-0113")), "CN=ipad-0113");
    expect_text(cn(DER_IA5_STRING, LIT("a@b")), "CN=a@b");
    expect_text(cn(VISIBLE, LIT("visible")), "CN=visible");
    expect_text(cn(NUMERIC, LIT("0123 4")), "CN=0123 4");
    expect_text(cn(T61, LIT("Zo\xeb")), "CN=Zo\xc3\xab");
    expect_text(cn(DER_BMP_STRING, LIT("\0Z\0o\0\xeb")), "CN=Zo\xc3\xab");
    expect_text(cn(DER_BMP_STRING, LIT("\xd8\x3d\xde\x00")), "CN=\xf0\x9f\x98\x80");
    expect_text(cn(UNIVERSAL, LIT("\0\0\0Z\0\x01\xf6\x00")), "CN=Z\xf0\x9f\x98\x80");
}
END_TEST

START_TEST(printable_string_as_old_devices_fill_it)
{
    expect_text(cn(DER_PRINTABLE_STRING, LIT("a@b_c*d&e")), "CN=a@b_c*d&e");
    expect_text(cn(DER_PRINTABLE_STRING, LIT("Zo\xc3\xab")), "CN=Zo\xc3\xab");
    expect_refused(cn(DER_PRINTABLE_STRING, LIT("Zo\xeb")), "CN is not valid UTF-8");
}
END_TEST

START_TEST(broken_strings)
{
    expect_refused(cn(DER_UTF8_STRING, LIT("a\xff")), "CN is not valid UTF-8");
    expect_refused(cn(DER_UTF8_STRING, LIT("\xc0\x80")), "CN is not valid UTF-8");
    expect_refused(cn(DER_UTF8_STRING, LIT("\xed\xa0\x80")), "CN is not valid UTF-8");
    expect_refused(cn(DER_BMP_STRING, LIT("\0a\0")), "cannot be decoded");
    expect_refused(cn(DER_BMP_STRING, LIT("\xd8\x3d")), "surrogate");
    expect_refused(cn(DER_BMP_STRING, LIT("\xd8\x3d\0a")), "surrogate");
    expect_refused(cn(DER_BMP_STRING, LIT("\xde\x00\xd8\x3d")), "surrogate");
    expect_refused(cn(UNIVERSAL, LIT("\0\0\0")), "cannot be decoded");
    expect_refused(cn(UNIVERSAL, LIT("\0\x11\0\0")), "no Unicode character");
    expect_refused(cn(UNIVERSAL, LIT("\0\0\xd8\0")), "no Unicode character");
    expect_refused(cn(T61, LIT("a\x8e")), "not Latin-1");
    expect_refused(cn(T61, LIT("a\x1b")), "not Latin-1");
    expect_refused(cn(DER_INTEGER, LIT("\x05")), "CN is of ASN.1 type 2, no string type");
    expect_refused(cn(DER_BOOLEAN, LIT("\xff")), "type 1, no string type");
    expect_refused(cn(DER_NULL, LIT("")), "type 5, no string type");
    expect_refused(cn(DER_OID, LIT("\x55\x04\x03")), "type 6, no string type");
    expect_refused(cn(DER_OCTET_STRING, LIT("abc")), "type 4, no string type");
}
END_TEST

START_TEST(characters_that_deceive)
{
    expect_refused(cn(DER_UTF8_STRING, LIT("")), "CN is empty");
    expect_refused(cn(DER_UTF8_STRING, LIT("a\0b")), "CN: character 2, U+0000, is NUL");
    expect_refused(cn(DER_UTF8_STRING, LIT("a\nb")), "U+000A, is a control character");
    expect_refused(cn(DER_UTF8_STRING, LIT("a\x7f")), "U+007F, is a control character");
    expect_refused(cn(DER_UTF8_STRING, LIT("a\xc2\x85")), "U+0085, is a control character");
    expect_refused(cn(DER_UTF8_STRING, LIT("\xc3\xab\xe2\x80\xae"
                                           "b")),
                   "character 2, U+202E, is a bidirectional control");
    expect_refused(cn(DER_UTF8_STRING, LIT("a\xe2\x80\x8b")), "U+200B, is an invisible");
    expect_refused(cn(DER_UTF8_STRING, LIT("a\xe2\x80\xa8"
                                           "b")),
                   "U+2028, is a line separator");
    expect_refused(cn(DER_UTF8_STRING, LIT("a\xee\x80\x80")), "U+E000, is for private use");
    expect_refused(cn(DER_UTF8_STRING, LIT("a\xcd\xb8")), "U+0378, is not assigned");
    expect_refused(cn(DER_UTF8_STRING, LIT("a\xef\xbf\xbe")), "U+FFFE, is not assigned");
    expect_refused(cn(DER_UTF8_STRING, LIT(" a")), "begins or ends with a blank");
    expect_refused(cn(DER_UTF8_STRING, LIT("a ")), "begins or ends with a blank");
    expect_refused(cn(DER_UTF8_STRING, LIT("a\xe3\x80\x80")), "begins or ends with a blank");
    expect_refused(cn(DER_UTF8_STRING, LIT("\xe3\x80\x80"
                                           "a")),
                   "begins or ends with a blank");
    expect_text(cn(DER_UTF8_STRING, LIT("a\xe3\x80\x80"
                                        "b")),
                "CN=a\xe3\x80\x80"
                "b");
}
END_TEST

START_TEST(one_form_for_one_name)
{
    struct name a = {0}, b = {0};
    struct err err = {0};
    struct buf decomposed = cn(DER_UTF8_STRING, LIT("Zoe\xcc\x88"));
    struct buf composed = cn(DER_BMP_STRING, LIT("\0Z\0o\0\xeb"));
    ck_assert(name_parse(buf_view(&decomposed), REASON, &a, &err));
    ck_assert(name_parse(buf_view(&composed), REASON, &b, &err));
    ck_assert_str_eq(a.attr[0].value, "Zo\xc3\xab");
    ck_assert(name_eq(&a, &b));
    name_clear(&a);
    name_clear(&b);
    buf_clear(&decomposed);
    buf_clear(&composed);
}
END_TEST

START_TEST(value_length)
{
    static char longest[NAME_MAX_VALUE + 1];
    memset(longest, 'x', sizeof longest);
    struct buf good = cn(DER_UTF8_STRING, view_of(longest, NAME_MAX_VALUE));
    struct name n;
    struct err err = {0};
    ck_assert(name_parse(buf_view(&good), REASON, &n, &err));
    name_clear(&n);
    buf_clear(&good);
    expect_refused(cn(DER_UTF8_STRING, view_of(longest, sizeof longest)),
                   "CN has 1025 octets, at most 1024");
}
END_TEST

START_TEST(structure)
{
    expect_text(one("1.2.3.4", DER_UTF8_STRING, LIT("x")), "1.2.3.4=x");
    expect_refused((struct buf){0}, "name: the input is empty");
    struct buf der = {0};
    ck_assert(buf_append(&der, "\x30\x02\x31\x00", 4));
    expect_refused(der, "empty RDN");
    der = (struct buf){0};
    ck_assert(buf_append(&der, "\x30\x03\x02\x01\x05", 5));
    expect_refused(der, "the name cannot be decoded");
    der = cn(DER_UTF8_STRING, LIT("x"));
    ck_assert(buf_append(&der, "", 1));
    expect_refused(der, "1 octets after the end");
    der = (struct buf){0};
    ck_assert(buf_append(&der, "\x30\x00", 2));
    expect_text(der, "");
    expect_refused(one("2.999.1234567890.1234567890.1234567890.1234567890.1234567890.1234567890",
                       DER_UTF8_STRING, LIT("x")),
                   "an attribute type is longer than 63 characters");
}
END_TEST

/* Every type that is issued: the same octets as OpenSSL writes with the string type that we chose.
 */
START_TEST(written_as_openssl_does)
{
    static const struct {
        const char *key, *value;
        int type;
    } attrs[] = {
        {"C", "DE", V_ASN1_PRINTABLESTRING},
        {"ST", "Bayern", V_ASN1_UTF8STRING},
        {"L", "M\xc3\xbcnchen", V_ASN1_UTF8STRING},
        {"street", "Am Platz 1", V_ASN1_UTF8STRING},
        {"postalCode", "80331", V_ASN1_UTF8STRING},
        {"O", "Example", V_ASN1_UTF8STRING},
        {"OU", "one", V_ASN1_UTF8STRING},
        {"OU", "two", V_ASN1_UTF8STRING},
        {"title", "Dr.", V_ASN1_UTF8STRING},
        {"serialNumber", "DMPX-17", V_ASN1_PRINTABLESTRING},
        {"dnQualifier", "7", V_ASN1_PRINTABLESTRING},
        {"DC", "example", V_ASN1_IA5STRING},
        {"UID", "u17", V_ASN1_UTF8STRING},
        {"emailAddress", "a@example.org", V_ASN1_IA5STRING},
        {"unstructuredName", "router", V_ASN1_UTF8STRING},
        {"givenName", "Zoe", V_ASN1_UTF8STRING},
        {"surname", "Muster", V_ASN1_UTF8STRING},
        {"initials", "ZM", V_ASN1_UTF8STRING},
        {"pseudonym", "z", V_ASN1_UTF8STRING},
        {"CN", "ipad-0113", V_ASN1_UTF8STRING},
    };
    X509_NAME *x = X509_NAME_new();
    struct name n = {0}, back;
    struct err err = {0};
    for (size_t i = 0; i < sizeof attrs / sizeof *attrs; i++) {
        const struct name_type *type = name_type_by_key(attrs[i].key);
        ck_assert_ptr_nonnull(type);
        ck_assert_str_eq(type->key, attrs[i].key);
        ck_assert_int_eq(X509_NAME_add_entry_by_NID(x, type->nid, attrs[i].type,
                                                    (const unsigned char *)attrs[i].value, -1, -1,
                                                    0),
                         1);
        ck_assert_msg(name_add(&n, type, attrs[i].value, REASON, &err), "%s", err.text);
    }
    ck_assert_msg(name_check(&n, REASON, &err), "%s", err.text);
    ck_assert(!name_add(&n, name_type_by_key("CN"), "too much", REASON, &err));
    ck_assert_str_eq(err.text, "the name has more than 20 attributes");
    struct buf expected = oracle_X509_NAME(x);
    struct der w = {0};
    name_build(&n, &w);
    ck_assert(view_eq(der_content(&w), buf_view(&expected)));
    ck_assert(name_parse(der_content(&w), REASON, &back, &err));
    ck_assert(name_eq(&n, &back));
    X509_NAME_free(x);
    name_clear(&n);
    name_clear(&back);
    der_clear(&w);
    buf_clear(&expected);
}
END_TEST

/* However its strings are written, a name is the same one. */
START_TEST(hashed)
{
    uint8_t hash[3][32], expected[32];
    static const unsigned tags[] = {DER_UTF8_STRING, DER_PRINTABLE_STRING};
    struct err err = {0};
    struct name n;
    for (size_t i = 0; i < 2; i++) {
        struct buf der = one("2.5.4.3", tags[i], LIT("pump"));
        ck_assert_msg(name_parse(buf_view(&der), REASON, &n, &err), "%s", err.text);
        ck_assert_msg(name_hash(&n, hash[i], &err), "%s", err.text);
        if (i == 0)
            ck_assert_int_eq(EVP_Digest(der.p, der.n, expected, NULL, EVP_sha256(), NULL), 1);
        name_clear(&n);
        buf_clear(&der);
    }
    ck_assert(name_from_text("CN=pumps", &n, &err));
    ck_assert(name_hash(&n, hash[2], &err));
    ck_assert_mem_eq(hash[0], expected, 32);
    ck_assert_mem_eq(hash[1], expected, 32);
    ck_assert_mem_ne(hash[2], expected, 32);
    name_clear(&n);
}
END_TEST

START_TEST(several_values_in_one_rdn)
{
    X509_NAME *x = X509_NAME_new();
    struct name n = {0}, back;
    struct err err = {0};
    char text[64];
    X509_NAME_add_entry_by_NID(x, NID_organizationName, V_ASN1_UTF8STRING,
                               (const unsigned char *)"Example", -1, -1, 0);
    X509_NAME_add_entry_by_NID(x, NID_organizationalUnitName, V_ASN1_UTF8STRING,
                               (const unsigned char *)"b", -1, -1, 0);
    X509_NAME_add_entry_by_NID(x, NID_commonName, V_ASN1_UTF8STRING, (const unsigned char *)"a", -1,
                               -1, -1);
    ck_assert(name_from_text("O=Example, OU=b+CN=a", &n, &err));
    ck_assert(!n.attr[1].multi && n.attr[2].multi);
    struct buf expected = oracle_X509_NAME(x);
    struct der w = {0};
    name_build(&n, &w);
    ck_assert(view_eq(der_content(&w), buf_view(&expected)));
    ck_assert(name_parse(der_content(&w), REASON, &back, &err));
    name_text(&back, text, sizeof text);
    ck_assert_str_eq(text, "O=Example,CN=a+OU=b"); /* in DER's order */
    ck_assert(!name_eq(&n, &back));
    X509_NAME_free(x);
    name_clear(&n);
    name_clear(&back);
    der_clear(&w);
    buf_clear(&expected);
}
END_TEST

static void expect_check(const char *text, const char *fault)
{
    struct name n = {0};
    struct err err = {0};
    ck_assert_msg(name_from_text(text, &n, &err), "%s", err.text);
    ck_assert_int_eq(name_check(&n, REASON_RENEWAL_SUBJECT, &err), fault == NULL);
    if (fault) {
        ck_assert_int_eq(err.reason, REASON_RENEWAL_SUBJECT);
        ck_assert_str_eq(err.text, fault);
    }
    name_clear(&n);
}

START_TEST(what_may_be_issued)
{
    char text[512] = "CN=";
    memset(text + 3, 'x', 64);
    expect_check(text, NULL);
    text[67] = 'x';
    expect_check(text, "CN has 65 characters, at most 64");
    for (int i = 0; i < 64; i++)
        memcpy(text + 3 + 2 * i, "\xc3\xab", 3); /* characters are counted, not octets */
    expect_check(text, NULL);
    expect_check("C=DE", NULL);
    expect_check("C=de", "C 'de' is not two capital letters");
    expect_check("C=D", "C 'D' is not two capital letters");
    expect_check("C=DEU", "C has 3 characters, at most 2");
    expect_check("serialNumber=a/b-1", NULL);
    expect_check("serialNumber=a_b",
                 "serialNumber 'a_b' has a character outside of PrintableString");
    expect_check("DC=example", NULL);
    expect_check("DC=example.org", "DC 'example.org' is not one label of a domain name");
    expect_check("emailAddress=\xc3\xab@example.org",
                 "emailAddress '\xc3\xab@example.org' has a character outside of ASCII");
    expect_check("OU=a,OU=b,CN=a", NULL);
    expect_check("OU=a,OU=b,OU=a", "OU 'a' is given twice");
    struct buf der = one("1.2.3.4", DER_UTF8_STRING, LIT("x"));
    struct name n;
    struct err err = {0};
    ck_assert(name_parse(buf_view(&der), REASON, &n, &err));
    ck_assert(!name_check(&n, REASON, &err));
    ck_assert_str_eq(err.text, "attribute type 1.2.3.4 is not issued");
    name_clear(&n);
    buf_clear(&der);
}
END_TEST

static void expect_round_trip(const char *text, const char *shown)
{
    struct name n = {0}, again = {0};
    struct err err = {0};
    char got[NAME_TEXT_MAX];
    ck_assert_msg(name_from_text(text, &n, &err), "%s", err.text);
    name_text(&n, got, sizeof got);
    ck_assert_str_eq(got, shown);
    ck_assert_msg(name_from_text(got, &again, &err), "%s", err.text);
    ck_assert(name_eq(&n, &again));
    name_clear(&n);
    name_clear(&again);
}

START_TEST(text)
{
    expect_round_trip("", "");
    expect_round_trip("CN=ipad-0113,O=Example", "CN=ipad-0113,O=Example");
    expect_round_trip(" cn = ipad 0113 , e=a@example.org",
                      "CN=ipad 0113,emailAddress=a@example.org");
    expect_round_trip("SN=a,GN=b,STREET=c", "surname=a,givenName=b,street=c");
    expect_round_trip("CN=Sue\\, Grabbit and Runn",
                      "CN=Sue\\, Grabbit and Runn"); /* RFC 4514 section 4 */
    expect_round_trip("CN=a\\2Cb\\2b", "CN=a\\,b\\+");
    expect_round_trip("CN=Lu\\C4\\8Di\\C4\\87", "CN=Lu\xc4\x8di\xc4\x87");
    expect_round_trip("CN=\\#1=2", "CN=\\#1=2");
    expect_round_trip("CN=a=b\\\\\\\"\\<\\>\\;", "CN=a=b\\\\\\\"\\<\\>\\;");
}
END_TEST

START_TEST(text_refused)
{
    static const struct {
        const char *text, *fault;
        enum err_kind kind;
    } cases[] = {
        {"ipad", "TYPE=value expected at 'ipad'", ERR_CONFIG},
        {"CN=a,", "TYPE=value expected at ''", ERR_CONFIG},
        {"CN=a,,O=b", "TYPE=value expected", ERR_CONFIG},
        {"XY=a", "unknown attribute type 'XY'", ERR_CONFIG},
        {"CN=a\\", "wrong escape", ERR_CONFIG},
        {"CN=a\\x", "wrong escape", ERR_CONFIG},
        {"CN=a\\00", "wrong escape", ERR_CONFIG},
        {"CN=", "CN is empty", ERR_REFUSED},
        {"O=x,CN=a\\0a", "control character", ERR_REFUSED},
        {"CN=a\\ ", "begins or ends with a blank", ERR_REFUSED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct name n = {0};
        struct err err = {0};
        ck_assert_msg(!name_from_text(cases[i].text, &n, &err), "%s", cases[i].text);
        ck_assert_int_eq(err.kind, cases[i].kind);
        ck_assert_msg(strstr(err.text, cases[i].fault) != NULL, "'%s' without '%s'", err.text,
                      cases[i].fault);
        ck_assert_uint_eq(n.n, 0);
    }
}
END_TEST

START_TEST(shown_never_fails)
{
    char got[32];
    name_der_text(LIT("rubbish"), got, sizeof got);
    ck_assert_str_eq(got, "?");
    name_der_text(view_of(NULL, 0), got, sizeof got);
    ck_assert_str_eq(got, "?");
    struct buf der = cn(DER_UTF8_STRING, LIT("a\nb\xff"));
    name_der_text(buf_view(&der), got, sizeof got);
    ck_assert_str_eq(got, "CN=?");
    buf_clear(&der);
    der = cn(DER_UTF8_STRING, LIT("a\nb,c"));
    name_der_text(buf_view(&der), got, sizeof got);
    ck_assert_str_eq(got, "CN=a\\x0ab\\,c");
    name_der_text(buf_view(&der), got, 5);
    ck_assert_str_eq(got, "CN=a");
    buf_clear(&der);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("pkcs7/name");
    TCase *c = tcase_create("name");
    tcase_add_test(c, every_string_type);
    tcase_add_test(c, printable_string_as_old_devices_fill_it);
    tcase_add_test(c, broken_strings);
    tcase_add_test(c, characters_that_deceive);
    tcase_add_test(c, one_form_for_one_name);
    tcase_add_test(c, value_length);
    tcase_add_test(c, structure);
    tcase_add_test(c, written_as_openssl_does);
    tcase_add_test(c, hashed);
    tcase_add_test(c, several_values_in_one_rdn);
    tcase_add_test(c, what_may_be_issued);
    tcase_add_test(c, text);
    tcase_add_test(c, text_refused);
    tcase_add_test(c, shown_never_fails);
    suite_add_tcase(s, c);
    return check_main(s);
}
