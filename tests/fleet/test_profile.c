/* Profiles: every kind says what the wish says, in a form that its readers take, and refuses what
 * it has no words for. */
#include <jansson.h>
#include <libxml/parser.h>
#include <libxml/xpath.h>
#include <libxml/xpathInternals.h>
#include <openssl/bio.h>
#include <openssl/cms.h>
#include <openssl/pem.h>
#include <string.h>

#include "check_main.h"
#include "fleet/profile.h"
#include "test_keys.h"

#define must(expression)                             \
    do {                                             \
        struct err err = {0};                        \
        ck_assert_msg((expression), "%s", err.text); \
    } while (0)

static struct buf root, issuing;
static struct name subject;
static struct san san;
static struct eku eku;
static struct profile_wish wish;

static const char SECRET[] = "7QK4-M2XH-9RTD-VN3A";

static void set_up(void)
{
    EVP_PKEY *key = test_ec_key("P-256"), *other = test_ec_key("P-256");
    X509 *top = test_cert(key, "Example Root"), *sub = test_cert(other, "Example Device CA");
    ck_assert(X509_set_issuer_name(sub, X509_get_subject_name(top)) &&
              X509_sign(sub, key, EVP_sha256()));
    root = test_cert_der(top);
    issuing = test_cert_der(sub);
    X509_free(top);
    X509_free(sub);
    EVP_PKEY_free(key);
    EVP_PKEY_free(other);
    must(name_from_text("CN=ipad-0113,OU=Sales & <Support>,serialNumber=C02XK,O=Example", &subject,
                        &err));
    must(san_add_text(&san, "DNS:ipad-0113.example.org", &err));
    ck_assert(eku_add(&eku, "1.3.6.1.5.5.7.3.2") && eku_add(&eku, "1.3.6.1.5.5.7.3.4"));
    wish = (struct profile_wish){
        .kind = PROFILE_APPLE,
        .url = "http://scep.example.org:8080/scep/apple",
        .ca_identifier = "Example & Co",
        .ca = {buf_view(&issuing), buf_view(&root)},
        .ca_n = 2,
        .subject = &subject,
        .san = &san,
        .challenge = SECRET,
        .key_bits = 2048,
        .usage = PROFILE_SIGN | PROFILE_ENCRYPT,
        .eku = &eku,
        .retries = 5,
        .retry_delay = 90,
        .device_id = "dev_4h7t2m",
        .device_name = "Anna's iPad <13>",
        .policy_id = "pol_8k2m1c",
        .policy_name = "Wi-Fi & VPN",
        .organization = "Example \"Corp\" ]]>",
        .prefix = "org.example.scep",
    };
}

static void tear_down(void)
{
    buf_clear(&root);
    buf_clear(&issuing);
    name_clear(&subject);
    san_clear(&san);
    eku.n = 0;
}

static void subject_is(const char *text)
{
    name_clear(&subject);
    must(name_from_text(text, &subject, &err));
}

static void san_is(const char *text)
{
    san_clear(&san);
    san = (struct san){.n = 0};
    must(san_add_text(&san, text, &err));
}

static struct profile_file build(enum profile_kind kind)
{
    struct profile_file f = {0};
    wish.kind = kind;
    must(profile_build(&wish, NULL, &f, &err));
    ck_assert_uint_gt(f.content.n, 0);
    ck_assert(buf_append(&f.content, "", 1)); /* so that it may be read as text */
    f.content.n--;
    return f;
}

static void refused(enum profile_kind kind, const char *names)
{
    struct profile_file f = {0};
    struct err err = {0};
    wish.kind = kind;
    ck_assert_msg(!profile_build(&wish, NULL, &f, &err), "%s took it", profile_kind_name(kind));
    ck_assert_int_eq(err.kind, ERR_REFUSED);
    ck_assert_int_eq(err.reason, REASON_PROFILE_UNFIT);
    ck_assert_msg(strstr(err.text, names) != NULL, "\"%s\" does not name %s", err.text, names);
    ck_assert_ptr_null(f.content.p);
    ck_assert_ptr_null(strstr(err.text, SECRET));
}

/* ---- XML ---- */

static xmlDocPtr xml_of(const struct profile_file *f)
{
    xmlDocPtr d =
        xmlReadMemory((const char *)f->content.p, (int)f->content.n, NULL, NULL, XML_PARSE_NONET);
    ck_assert_ptr_nonnull(d);
    return d;
}

/* The text of the only node that the expression finds. */
static char *text_at(xmlDocPtr d, const char *expression)
{
    static char text[8192];
    xmlXPathContextPtr context = xmlXPathNewContext(d);
    xmlXPathRegisterNs(context, BAD_CAST "s", BAD_CAST "SYNCML:SYNCML1.2");
    xmlXPathObjectPtr found = xmlXPathEval(BAD_CAST expression, context);
    ck_assert_ptr_nonnull(found);
    xmlChar *value = xmlXPathCastToString(found);
    snprintf(text, sizeof text, "%s", (const char *)value);
    xmlFree(value);
    xmlXPathFreeObject(found);
    xmlXPathFreeContext(context);
    return text;
}

#define SCEP "/plist/dict/array/dict[string='com.apple.security.scep']/dict"
static char *scep_value(xmlDocPtr d, const char *key)
{
    char expression[256];
    snprintf(expression, sizeof expression, SCEP "/key[.='%s']/following-sibling::*[1]", key);
    return text_at(d, expression);
}

START_TEST(apple_says_all_of_it)
{
    struct profile_file f = build(PROFILE_APPLE);
    xmlDocPtr d = xml_of(&f);
    ck_assert_str_eq(f.media_type, "application/x-apple-aspen-config");
    ck_assert_str_eq(f.name, "Anna-s-iPad-13-.mobileconfig");
    ck_assert_str_eq(scep_value(d, "URL"), wish.url);
    ck_assert_str_eq(scep_value(d, "Name"), "Example & Co");
    ck_assert_str_eq(scep_value(d, "Challenge"), SECRET);
    ck_assert_str_eq(scep_value(d, "Keysize"), "2048");
    ck_assert_str_eq(scep_value(d, "Key Type"), "RSA");
    ck_assert_str_eq(scep_value(d, "Key Usage"), "5");
    ck_assert_str_eq(scep_value(d, "Retries"), "5");
    ck_assert_str_eq(scep_value(d, "RetryDelay"), "90");
    ck_assert_str_eq(text_at(d, "string(" SCEP "/array/array[2]/array/string[2])"),
                     "Sales & <Support>");
    ck_assert_str_eq(text_at(d, "string(" SCEP "/array/array[3]/array/string[1])"), "2.5.4.5");
    ck_assert_str_eq(text_at(d, SCEP "/dict/key[.='dNSName']/following-sibling::string"),
                     "ipad-0113.example.org");
    ck_assert_str_eq(text_at(d, "string(count(/plist/dict/array/dict))"), "3");
    ck_assert_str_eq(text_at(d, "string(/plist/dict/array/dict[1]/string[1])"),
                     "com.apple.security.root");
    ck_assert_str_eq(text_at(d, "string(/plist/dict/array/dict[2]/string[1])"),
                     "com.apple.security.pkcs1");
    ck_assert_str_eq(text_at(d, "/plist/dict/key[.='PayloadOrganization']/following-sibling::*[1]"),
                     "Example \"Corp\" ]]>");
    xmlFreeDoc(d);
    profile_file_clear(&f);
}
END_TEST

/* A profile that is installed again replaces the first: same identifiers, whatever the challenge
 * is. */
START_TEST(identifiers_stay)
{
    struct profile_file a = build(PROFILE_APPLE);
    wish.challenge = "another";
    struct profile_file b = build(PROFILE_APPLE);
    wish.device_id = "dev_other";
    struct profile_file c = build(PROFILE_APPLE);
    xmlDocPtr da = xml_of(&a), db = xml_of(&b), dc = xml_of(&c);
    char first[64];
    snprintf(first, sizeof first, "%s",
             text_at(da, "/plist/dict/key[.='PayloadUUID']/following-sibling::*[1]"));
    ck_assert_uint_eq(strlen(first), 36);
    ck_assert_str_eq(first,
                     text_at(db, "/plist/dict/key[.='PayloadUUID']/following-sibling::*[1]"));
    ck_assert_str_ne(first,
                     text_at(dc, "/plist/dict/key[.='PayloadUUID']/following-sibling::*[1]"));
    ck_assert_str_eq(
        text_at(da, "string(count(//string[.=preceding::string and string-length(.)=36]))"), "0");
    xmlFreeDoc(da);
    xmlFreeDoc(db);
    xmlFreeDoc(dc);
    profile_file_clear(&a);
    profile_file_clear(&b);
    profile_file_clear(&c);
}
END_TEST

START_TEST(apple_has_no_words_for)
{
    wish.key_bits = 3072;
    refused(PROFILE_APPLE, "RSA-3072");
    wish.key_bits = 256;
    wish.key_type = KEY_EC;
    refused(PROFILE_APPLE, "P-256");
    wish.key_type = KEY_RSA;
    wish.key_bits = 2048;
    san_is("IP:192.0.2.1");
    refused(PROFILE_APPLE, "IP address");
}
END_TEST

START_TEST(jamf_holds_no_challenge)
{
    struct profile_file f = {0};
    struct err failed = {0};
    wish.kind = PROFILE_JAMF;
    ck_assert(!profile_build(&wish, NULL, &f, &failed));
    wish.challenge = NULL;
    wish.device_id = wish.device_name = "";
    subject_is("CN=$SERIALNUMBER,O=Example");
    f = build(PROFILE_JAMF);
    xmlDocPtr d = xml_of(&f);
    ck_assert_str_eq(text_at(d, "string(" SCEP "/array/array[1]/array/string[2])"),
                     "$SERIALNUMBER");
    ck_assert_str_eq(scep_value(d, "Challenge"), "");
    ck_assert_str_eq(f.name, "Wi-Fi-VPN.jamf.mobileconfig");
    xmlFreeDoc(d);
    profile_file_clear(&f);
}
END_TEST

/* ---- Windows ---- */

static char *csp(xmlDocPtr d, const char *setting)
{
    char expression[256];
    snprintf(expression, sizeof expression,
             "//s:Atomic/s:Add[substring-after(s:Item/s:Target/s:LocURI,'/Install/')='%s']/s:Item/"
             "s:Data",
             setting);
    return text_at(d, expression);
}

START_TEST(windows_says_all_of_it)
{
    subject_is("CN=\"pc 7\\, north\",OU=a\\\"b,serialNumber=X1,ST=Hesse");
    struct profile_file f = build(PROFILE_WINDOWS);
    xmlDocPtr d = xml_of(&f);
    ck_assert_str_eq(csp(d, "ServerURL"), wish.url);
    ck_assert_str_eq(csp(d, "Challenge"), "N1FLNC1NMlhILTlSVEQtVk4zQQ==");
    ck_assert_str_eq(csp(d, "KeyUsage"), "160");
    ck_assert_str_eq(csp(d, "KeyLength"), "2048");
    ck_assert_str_eq(csp(d, "HashAlgorithm"), "SHA-2");
    ck_assert_str_eq(csp(d, "RetryCount"), "5");
    ck_assert_str_eq(csp(d, "RetryDelay"), "2");
    ck_assert_str_eq(csp(d, "EKUMapping"), "1.3.6.1.5.5.7.3.2+1.3.6.1.5.5.7.3.4");
    ck_assert_str_eq(csp(d, "SubjectAlternativeNames"), "3+ipad-0113.example.org");
    ck_assert_str_eq(csp(d, "SubjectName"),
                     "CN=\"\"\"pc 7, north\"\"\",OU=\"a\"\"b\",OID.2.5.4.5=X1,S=Hesse");
    ck_assert_uint_eq(strlen(csp(d, "CAThumbprint")), 40);
    ck_assert_str_eq(text_at(d, "string(count(//s:Atomic/s:*[last()][self::s:Exec]))"), "1");
    ck_assert_str_eq(text_at(d, "string(count(//s:CmdID[.=preceding::s:CmdID]))"), "0");
    ck_assert_str_eq(
        text_at(d, "string(count(//s:Add[contains(.,'/RootCATrustedCertificates/Root/')]))"), "1");
    ck_assert_str_eq(
        text_at(d, "string(count(//s:Add[contains(.,'/RootCATrustedCertificates/CA/')]))"), "1");
    xmlFreeDoc(d);
    profile_file_clear(&f);
}
END_TEST

START_TEST(windows_has_no_words_for)
{
    wish.key_bits = 3072;
    refused(PROFILE_WINDOWS, "RSA-3072");
    wish.key_bits = 2048;
    san_is("email:a+b@example.org");
    refused(PROFILE_WINDOWS, "a+b@example.org");
    wish.challenge = NULL;
    refused(PROFILE_WINDOWS, "challenge");
}
END_TEST

/* ---- JSON ---- */

static json_t *json_of(const struct profile_file *f)
{
    json_error_t why;
    json_t *j = json_loadb((const char *)f->content.p, f->content.n, JSON_REJECT_DUPLICATES, &why);
    ck_assert_msg(j != NULL, "%s", why.text);
    return j;
}

static const char *member(json_t *j, const char *key)
{
    const char *s = json_string_value(json_object_get(j, key));
    return s ? s : "";
}

START_TEST(android_says_all_of_it)
{
    wish.key_type = KEY_EC;
    wish.key_bits = 384;
    struct profile_file f = build(PROFILE_ANDROID);
    json_t *j = json_of(&f), *key = json_object_get(j, "key");
    ck_assert_str_eq(member(j, "url"), wish.url);
    ck_assert_str_eq(member(j, "challenge"), SECRET);
    ck_assert_str_eq(member(j, "device"), wish.device_name);
    ck_assert_str_eq(member(j, "subject"),
                     "CN=ipad-0113,OU=Sales & \\<Support\\>,serialNumber=C02XK,O=Example");
    ck_assert_str_eq(member(key, "curve"), "P-384");
    ck_assert_uint_eq(json_array_size(json_object_get(key, "usage")), 2);
    ck_assert_uint_eq(json_array_size(json_object_get(j, "ca_certificates")), 2);
    ck_assert_uint_eq(json_array_size(json_object_get(j, "subject_attributes")), 4);
    ck_assert_str_eq(
        member(json_array_get(json_object_get(j, "subject_alternative_names"), 0), "type"), "DNS");
    ck_assert_uint_eq(strlen(member(j, "ca_fingerprint_sha256")), 64);
    json_decref(j);
    profile_file_clear(&f);
    wish.challenge = NULL;
    f = build(PROFILE_ANDROID);
    j = json_of(&f);
    ck_assert(json_is_null(json_object_get(j, "challenge")));
    json_decref(j);
    profile_file_clear(&f);
}
END_TEST

START_TEST(chromeos_says_all_of_it)
{
    subject_is("CN=book-7,OU=Sales,OU=North,O=Example,C=DE");
    struct profile_file f = build(PROFILE_CHROMEOS);
    json_t *j = json_of(&f), *scep = json_object_get(j, "scepProfile"),
           *server = json_object_get(j, "scepServer");
    ck_assert_str_eq(member(scep, "subjectCommonName"), "book-7");
    ck_assert_str_eq(member(scep, "country"), "DE");
    ck_assert_uint_eq(json_array_size(json_object_get(scep, "organizationalUnits")), 2);
    ck_assert_uint_eq(json_array_size(json_object_get(scep, "keyUsages")), 2);
    ck_assert_str_eq(member(json_array_get(json_object_get(scep, "subjectAltNames"), 0), "type"),
                     "DNS_NAME");
    ck_assert_str_eq(member(server, "challenge"), SECRET);
    ck_assert_ptr_nonnull(
        strstr(json_string_value(json_array_get(json_object_get(server, "caCertificates"), 0)),
               "-----BEGIN CERTIFICATE-----"));
    json_decref(j);
    profile_file_clear(&f);
    subject_is("CN=a,serialNumber=X1");
    refused(PROFILE_CHROMEOS, "serialNumber=X1");
    subject_is("CN=a,CN=b");
    refused(PROFILE_CHROMEOS, "CN=b");
    subject_is("CN=a");
    san_is("IP:192.0.2.1");
    refused(PROFILE_CHROMEOS, "192.0.2.1");
    wish.key_bits = 1024;
    refused(PROFILE_CHROMEOS, "RSA-1024");
}
END_TEST

/* ---- text ---- */

static bool has_line(const struct profile_file *f, const char *line)
{
    size_t n = strlen(line);
    for (const char *p = (const char *)f->content.p; p; p = strchr(p, '\n'), p = p ? p + 1 : NULL)
        if (strncmp(p, line, n) == 0 && (p[n] == '\n' || !p[n]))
            return true;
    return false;
}

START_TEST(cisco_says_all_of_it)
{
    subject_is("CN=rtr-1 north,OU=Net");
    struct profile_file f = build(PROFILE_CISCO);
    ck_assert(has_line(&f, "crypto pki trustpoint SCEP-WI-FI-VPN"));
    ck_assert(has_line(&f, " enrollment url http://scep.example.org:8080/scep/apple"));
    ck_assert(has_line(&f, " enrollment retry count 5"));
    ck_assert(has_line(&f, " enrollment retry period 2"));
    ck_assert(has_line(&f, " subject-name CN=rtr-1 north,OU=Net"));
    ck_assert(has_line(&f, " fqdn ipad-0113.example.org"));
    ck_assert(has_line(&f, " password 7QK4-M2XH-9RTD-VN3A"));
    ck_assert(has_line(&f, " rsakeypair SCEP-WI-FI-VPN 2048"));
    ck_assert(has_line(&f, "crypto pki enroll SCEP-WI-FI-VPN"));
    profile_file_clear(&f);
}
END_TEST

START_TEST(cisco_has_no_words_for)
{
    subject_is("CN=what?");
    refused(PROFILE_CISCO, "?");
    subject_is("CN=caf\xc3\xa9");
    refused(PROFILE_CISCO, "ASCII");
    subject_is("CN=a\\,b");
    refused(PROFILE_CISCO, ",");
    subject_is("CN=a+OU=b");
    refused(PROFILE_CISCO, "OU=b");
    subject_is("CN=a,UID=b");
    refused(PROFILE_CISCO, "UID=b");
    subject_is("CN=a");
    wish.challenge = "two words";
    refused(PROFILE_CISCO, "challenge");
    wish.challenge = SECRET;
    san_is("IP:192.0.2.1");
    refused(PROFILE_CISCO, "192.0.2.1");
    san_is("DNS:a.example.org");
    must(san_add_text(&san, "DNS:b.example.org", &err));
    refused(PROFILE_CISCO, "b.example.org");
}
END_TEST

START_TEST(scripts_say_all_of_it)
{
    subject_is("CN=it's $(reboot) `x`,O=Example");
    struct profile_file f = build(PROFILE_STRONGSWAN);
    ck_assert_ptr_nonnull(
        strstr((char *)f.content.p, "--dn 'CN=it'\\''s $(reboot) `x`, O=Example' "));
    ck_assert_ptr_nonnull(strstr((char *)f.content.p, "--san 'ipad-0113.example.org' "));
    ck_assert_ptr_nonnull(strstr((char *)f.content.p, "--size 2048 "));
    ck_assert_ptr_null(strstr((char *)f.content.p, "Anna"));
    ck_assert_ptr_nonnull(
        strstr((char *)f.content.p,
               "printf '%s\\n' --password\\ \\\"'7QK4-M2XH-9RTD-VN3A'\\\" >challenge.opt"));
    profile_file_clear(&f);
    f = build(PROFILE_CERTMONGER);
    ck_assert_ptr_nonnull(strstr((char *)f.content.p, "-N 'CN=it'\\''s $(reboot) `x`,O=Example' "));
    ck_assert_ptr_nonnull(strstr((char *)f.content.p, "-D 'ipad-0113.example.org' "));
    ck_assert_ptr_nonnull(strstr((char *)f.content.p, "-i 'Example & Co' "));
    ck_assert_ptr_nonnull(strstr((char *)f.content.p, "-U '1.3.6.1.5.5.7.3.4' "));
    profile_file_clear(&f);
}
END_TEST

START_TEST(scripts_have_no_words_for)
{
    subject_is("CN=a;b");
    refused(PROFILE_STRONGSWAN, ";");
    refused(PROFILE_CERTMONGER, ";");
    subject_is("CN=a");
    san_is("URI:urn:x");
    refused(PROFILE_STRONGSWAN, "urn:x");
    refused(PROFILE_CERTMONGER, "urn:x");
    wish.key_type = KEY_EC;
    wish.key_bits = 256;
    refused(PROFILE_STRONGSWAN, "P-256");
    refused(PROFILE_CERTMONGER, "P-256");
    wish.key_type = KEY_RSA;
    wish.key_bits = 2048;
    san_is("DNS:a.example.org");
    wish.challenge = "a \"word\"";
    refused(PROFILE_STRONGSWAN, "'\"' in the challenge");
    wish.challenge = "it's 'a # word\\";
    struct profile_file f = build(PROFILE_STRONGSWAN);
    profile_file_clear(&f);
}
END_TEST

/* ---- what no kind takes ---- */

START_TEST(hostile_texts)
{
    static const char *const bad[] = {"a\nb",
                                      "a\rb",
                                      "a\x01"
                                      "b",
                                      "a\x7f"
                                      "b",
                                      "\xc3\x28",
                                      "\xed\xa0\x80",
                                      "\xef\xbf\xbe",
                                      "a\xe2\x80\xae"
                                      "b"};
    static char long_one[300];
    memset(long_one, 'a', sizeof long_one - 1);
    for (enum profile_kind k = 0; k < PROFILE_KINDS; k++) {
        wish.challenge = profile_kind_has_device(k) ? SECRET : NULL;
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
            const char *name = wish.device_name, *policy = wish.policy_name,
                       *organization = wish.organization;
            wish.device_name = bad[i];
            refused(k, "name of the device");
            wish.device_name = name;
            wish.policy_name = bad[i];
            refused(k, "name of the policy");
            wish.policy_name = policy;
            wish.organization = bad[i];
            refused(k, "organization");
            wish.organization = long_one;
            refused(k, "organization");
            wish.organization = organization;
            if (!profile_kind_has_device(k))
                continue;
            wish.challenge = bad[i];
            refused(k, "challenge");
            wish.challenge = SECRET;
        }
    }
}
END_TEST

START_TEST(wrong_facts)
{
    static const char *const urls[] = {"",
                                       "ftp://a/b",
                                       "http://",
                                       "http://a b/",
                                       "http://a/\"",
                                       "http://a/\n",
                                       "http://a/?operation=x",
                                       "http://a/#b",
                                       "http://\xc3\xa9/"};
    struct profile_file f = {0};
    struct err failed = {0};
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        err_clear(&failed);
        wish.url = urls[i];
        ck_assert_msg(!profile_build(&wish, NULL, &f, &failed), "%s", urls[i]);
        ck_assert_int_eq(failed.kind, ERR_CONFIG);
    }
    wish.url = "https://scep.example.org/scep";
    err_clear(&failed);
    wish.device_id = "dev_1' x";
    ck_assert(!profile_build(&wish, NULL, &f, &failed));
    wish.device_id = "dev_1";
    wish.prefix = "";
    ck_assert(!profile_build(&wish, NULL, &f, &failed));
    wish.prefix = "org.example";
    wish.ca_n = 0;
    ck_assert(!profile_build(&wish, NULL, &f, &failed));
    wish.ca_n = 1;
    wish.retries = 31;
    ck_assert(!profile_build(&wish, NULL, &f, &failed));
    wish.retries = 30;
    must(profile_build(&wish, NULL, &f, &err));
    ck_assert_str_eq(f.warning, "");
    profile_file_clear(&f);
    wish.key_bits = 1024;
    must(profile_build(&wish, NULL, &f, &err));
    ck_assert_ptr_nonnull(strstr(f.warning, "RSA-1024"));
    profile_file_clear(&f);
}
END_TEST

START_TEST(a_url_of_this_machine_alone_is_told)
{
    static const struct {
        const char *url;
        bool own;
    } c[] = {
        {"http://127.0.0.1:8080/scep", true},   {"https://127.8.9.1/scep", true},
        {"http://[::1]:8080/scep", true},       {"http://LocalHost/scep", true},
        {"http://localhost:80/scep", true},     {"http://127.0.0.1", true},
        {"http://192.0.2.1:8080/scep", false},  {"http://[2001:db8::1]/scep", false},
        {"http://localhost.example/sc", false}, {"http://127.0.0.1.example.org/scep", false},
        {"http://vm/127.0.0.1/scep", false},
    };
    struct profile_file f;
    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
        wish.url = c[i].url;
        must(profile_build(&wish, NULL, &f, &err));
        ck_assert_msg((strstr(f.warning, "only this machine") != NULL) == c[i].own, "%s: \"%s\"",
                      c[i].url, f.warning);
        profile_file_clear(&f);
    }
    wish.url = "http://127.0.0.1:8080/scep";
    wish.key_bits = 1024; /* both are told, whole */
    must(profile_build(&wish, NULL, &f, &err));
    ck_assert_ptr_nonnull(strstr(f.warning, "RSA-1024"));
    ck_assert_ptr_nonnull(strstr(f.warning, "in the configuration"));
    profile_file_clear(&f);
}
END_TEST

START_TEST(kinds_have_names)
{
    enum profile_kind got;
    for (enum profile_kind k = 0; k < PROFILE_KINDS; k++) {
        ck_assert(profile_kind_by_name(profile_kind_name(k), &got));
        ck_assert_int_eq(got, k);
    }
    ck_assert(!profile_kind_by_name("", &got) && !profile_kind_by_name("nokia", &got));
}
END_TEST

/* ---- signatures ---- */

static void write_pem(X509 *x, struct buf *out)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *p;
    ck_assert(PEM_write_bio_X509(bio, x));
    long n = BIO_get_mem_data(bio, &p);
    ck_assert(buf_append(out, p, (size_t)n));
    BIO_free(bio);
}

START_TEST(signed_profiles)
{
    EVP_PKEY *key = test_rsa_key(2048), *other = test_ec_key("P-256");
    X509 *x = test_cert(key, "Signer"), *above = test_cert(other, "Above");
    struct buf certificates = {0};
    struct profile_signer s = {0};
    struct profile_file plain = {0}, f = {0};
    struct err failed = {0};
    write_pem(x, &certificates);
    write_pem(above, &certificates);
    ck_assert(!profile_signer_load(buf_view(&certificates), other, &s, &failed)); /* taken */
    ck_assert(EVP_PKEY_up_ref(key));
    ck_assert(!profile_signer_load(view_str("-----BEGIN NOTHING-----"), key, &s, &failed));
    ck_assert(EVP_PKEY_up_ref(key));
    must(profile_signer_load(buf_view(&certificates), key, &s, &err));
    must(profile_build(&wish, NULL, &plain, &err));
    must(profile_build(&wish, &s, &f, &err));
    const unsigned char *p = f.content.p;
    CMS_ContentInfo *cms = d2i_CMS_ContentInfo(NULL, &p, (long)f.content.n);
    X509_STORE *trusted = X509_STORE_new();
    BIO *content = BIO_new(BIO_s_mem());
    char *text;
    ck_assert_ptr_nonnull(cms);
    X509_STORE_add_cert(trusted, x);
    X509_STORE_set_flags(trusted, X509_V_FLAG_PARTIAL_CHAIN);
    ck_assert_int_eq(
        CMS_verify(cms, NULL, trusted, NULL, content, CMS_BINARY | CMS_NO_SIGNER_CERT_VERIFY), 1);
    long n = BIO_get_mem_data(content, &text);
    ck_assert(view_eq(view_of(text, (size_t)n), buf_view(&plain.content)));
    STACK_OF(X509) *inside = CMS_get1_certs(cms);
    ck_assert_int_eq(sk_X509_num(inside), 2);
    sk_X509_pop_free(inside, X509_free);
    profile_file_clear(&f);
    wish.kind = PROFILE_WINDOWS; /* nothing there reads a signature */
    must(profile_build(&wish, &s, &f, &err));
    ck_assert_int_eq(f.content.p[0], '<');
    BIO_free(content);
    CMS_ContentInfo_free(cms);
    X509_STORE_free(trusted);
    profile_file_clear(&f);
    profile_file_clear(&plain);
    profile_signer_clear(&s);
    buf_clear(&certificates);
    X509_free(x);
    X509_free(above);
    EVP_PKEY_free(key);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("profile");
    TCase *t = tcase_create("all");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, apple_says_all_of_it);
    tcase_add_test(t, identifiers_stay);
    tcase_add_test(t, apple_has_no_words_for);
    tcase_add_test(t, jamf_holds_no_challenge);
    tcase_add_test(t, windows_says_all_of_it);
    tcase_add_test(t, windows_has_no_words_for);
    tcase_add_test(t, android_says_all_of_it);
    tcase_add_test(t, chromeos_says_all_of_it);
    tcase_add_test(t, cisco_says_all_of_it);
    tcase_add_test(t, cisco_has_no_words_for);
    tcase_add_test(t, scripts_say_all_of_it);
    tcase_add_test(t, scripts_have_no_words_for);
    tcase_add_test(t, hostile_texts);
    tcase_add_test(t, wrong_facts);
    tcase_add_test(t, a_url_of_this_machine_alone_is_told);
    tcase_add_test(t, kinds_have_names);
    tcase_add_test(t, signed_profiles);
    suite_add_tcase(s, t);
    return check_main(s);
}
