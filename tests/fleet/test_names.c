/* Names with wildcards: no value changes the structure of a name. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fleet/names.h"

static struct fleet_values values(void)
{
    return (struct fleet_values){.value = {[FLEET_DEVICENAME] = "ipad-0113",
                                           [FLEET_SERIALNUMBER] = "C02XG0FDH7JY",
                                           [FLEET_UDID] = "00008110-001A",
                                           [FLEET_USER] = "anna",
                                           [FLEET_EMAIL] = "anna@example.org",
                                           [FLEET_HOST] = "ipad-0113.example.org",
                                           [FLEET_GROUP] = "Sales",
                                           [FLEET_POLICY] = "corp"}};
}

static void fills(const char *subject, const char *san, const struct fleet_values *v,
                  const char *want_subject, const char *want_san)
{
    struct fleet_names n = {.subject = ""};
    struct err err = {0};
    ck_assert_msg(fleet_names_fill(subject, san, v, &n, &err), "%s", err.text);
    ck_assert_str_eq(n.subject, want_subject);
    ck_assert_str_eq(n.san, want_san);
}

static void refuses(const char *subject, const char *san, const struct fleet_values *v,
                    const char *part)
{
    struct fleet_names n = {.subject = "untouched"};
    struct err err = {0};
    ck_assert(!fleet_names_fill(subject, san, v, &n, &err));
    ck_assert_int_eq(err.kind, ERR_CONFIG);
    ck_assert_msg(strstr(err.text, part) != NULL, "%s", err.text);
    ck_assert_str_eq(n.subject, "untouched");
}

START_TEST(every_wildcard)
{
    struct fleet_values v = values();
    fills("CN=%devicename%,serialNumber=%SerialNumber%,UID=%user%,OU=%group%,O=%policy% 100%%",
          "DNS:%host%, email:%email%,URI:urn:udid:%UDID%", &v,
          "CN=ipad-0113,serialNumber=C02XG0FDH7JY,UID=anna,OU=Sales,O=corp 100%",
          "DNS:ipad-0113.example.org,email:anna@example.org,URI:urn:udid:00008110-001A");
    fills("CN=%devicename%", "UPN:%user%@example.org,DNS:%devicename%.mdm.example.org", &v,
          "CN=ipad-0113", "UPN:anna@example.org,DNS:ipad-0113.mdm.example.org");
}
END_TEST

START_TEST(unknown_wildcards)
{
    struct fleet_values v = values();
    refuses("CN=%ComputerName%", "", &v, "\"%ComputerName%\" is no wildcard: %devicename%");
    refuses("CN=50% of it", "", &v, "no wildcard");
    refuses("CN=x", "DNS:%devicename", &v, "san: \"%devicename\" is no wildcard");
    bool unique;
    struct err err = {0};
    ck_assert(!fleet_pattern_check("CN=%name%", "", &unique, &err));
    ck_assert(strstr(err.text, "subject: ") == err.text);
}
END_TEST

START_TEST(values_stay_values)
{
    struct fleet_values v = values();
    v.value[FLEET_DEVICENAME] = "a,O=Evil+CN=b\"<>;=\\";
    fills("CN=%devicename%,O=Example", "", &v, "CN=a\\,O=Evil\\+CN=b\\\"\\<\\>\\;=\\\\,O=Example",
          "");
    struct name subject = {0};
    struct san san = {0};
    struct err err = {0};
    ck_assert(fleet_names_build("CN=%devicename%,O=Example", "", &v, &subject, &san, &err));
    ck_assert_uint_eq(subject.n, 2);
    ck_assert_str_eq(subject.attr[0].value, v.value[FLEET_DEVICENAME]);
    name_clear(&subject);
    san_clear(&san);
    /* a wildcard in a value is not filled in again */
    v.value[FLEET_DEVICENAME] = "%user%";
    fills("CN=%devicename%", "", &v, "CN=%user%", "");
}
END_TEST

START_TEST(bindings_are_literal)
{
    struct fleet_values v = values();
    struct fleet_names n = {0};
    struct err err = {0};
    v.value[FLEET_DEVICENAME] = "a*?\\";
    ck_assert_msg(fleet_names_fill("CN=%devicename%", "URI:http://x.example.org/?q=%devicename%",
                                   &v, &n, &err),
                  "%s", err.text);
    ck_assert_str_eq(n.subject, "CN=a*?\\\\");
    ck_assert_str_eq(n.subject_binding, "CN=a\\\\*\\\\?\\\\\\\\");
    ck_assert_str_eq(n.san_binding, "URI:http://x.example.org/\\?q=a%2A%3F%5C");
    struct name back = {0};
    ck_assert(name_from_text(n.subject_binding, &back, &err));
    ck_assert_str_eq(back.attr[0].value, "a\\*\\?\\\\");
    name_clear(&back);
}
END_TEST

START_TEST(values_that_break_names)
{
    struct fleet_values v = values();
    v.value[FLEET_USER] = "anna@example.org";
    refuses("CN=x", "UPN:%user%@example.org", &v, "has an \"@\"");
    fills("CN=x", "UPN:%user%", &v, "CN=x", "UPN:anna@example.org");
    v.value[FLEET_DEVICENAME] = "www.example.com";
    refuses("CN=x", "DNS:%devicename%.example.org", &v, "has a dot");
    fills("CN=x", "DNS:%devicename%", &v, "CN=x", "DNS:www.example.com");
    v.value[FLEET_DEVICENAME] = "a,b";
    refuses("CN=x", "DNS:%devicename%", &v, "comma");
    fills("CN=x", "URI:urn:%devicename%", &v, "CN=x", "URI:urn:a%2Cb");
    v.value[FLEET_DEVICENAME] = "../../admin?x#y";
    fills("CN=x", "URI:http://x.example.org/d/%devicename%", &v, "CN=x",
          "URI:http://x.example.org/d/..%2F..%2Fadmin%3Fx%23y");
    v.value[FLEET_DEVICENAME] = "two words";
    refuses("CN=x", "DNS:%devicename%.example.org", &v, "san: ");
}
END_TEST

START_TEST(missing_and_hostile_values)
{
    struct fleet_values v = values();
    v.value[FLEET_SERIALNUMBER] = "";
    refuses("CN=%serialnumber%", "", &v, "%serialnumber% has no value");
    v.value[FLEET_EMAIL] = NULL;
    refuses("CN=x", "email:%email%", &v, "%email% has no value");
    static const char *const bad[] = {"a\x01",
                                      "line\nbreak",
                                      "\xe2\x80\xae"
                                      "abc",
                                      "\xff\xfe",
                                      " ",
                                      "tab\there",
                                      "\xc2\x85"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        v.value[FLEET_DEVICENAME] = bad[i];
        refuses("CN=%devicename%", "", &v, "subject: ");
    }
    char longer[66];
    memset(longer, 'a', sizeof longer);
    longer[65] = '\0';
    v.value[FLEET_DEVICENAME] = longer;
    refuses("CN=%devicename%", "", &v, "at most 64");
}
END_TEST

START_TEST(patterns)
{
    bool unique = false;
    struct err err = {0};
    ck_assert(fleet_pattern_check("CN=%devicename%,O=Example", "DNS:%host%", &unique, &err));
    ck_assert(unique);
    ck_assert(fleet_pattern_check("CN=%user%,O=Example", "", &unique, &err));
    ck_assert(!unique);
    ck_assert(fleet_pattern_check("CN=%devicename%", "IP:%host%", &unique, &err));
    static const struct {
        const char *subject, *san, *part;
    } bad[] = {
        {"", "", "subject: it is missing"},
        {"devicename", "", "subject: "},
        {"CN=", "", "subject: "},
        {"XX=%devicename%", "", "unknown attribute"},
        {"C=%devicename%", "", "subject: "},
        {"CN=%devicename%", "FOO:x", "san: "},
        {"CN=%devicename%", "DNS:", "san: "},
        {"CN=%devicename%", "DNS:a,,DNS:b", "san: "},
        {"CN=%devicename%", "DNS:under score.example.org", "san: "},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        err = (struct err){0};
        ck_assert_msg(!fleet_pattern_check(bad[i].subject, bad[i].san, &unique, &err), "%zu", i);
        ck_assert_int_eq(err.kind, ERR_CONFIG);
        ck_assert_msg(strstr(err.text, bad[i].part) != NULL, "%zu: %s", i, err.text);
    }
    ck_assert_uint_eq(fleet_pattern_uses("CN=%user%", "DNS:%host%"),
                      1u << FLEET_USER | 1u << FLEET_HOST);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("fleet-names");
    TCase *t = tcase_create("names");
    tcase_add_test(t, every_wildcard);
    tcase_add_test(t, unknown_wildcards);
    tcase_add_test(t, values_stay_values);
    tcase_add_test(t, bindings_are_literal);
    tcase_add_test(t, values_that_break_names);
    tcase_add_test(t, missing_and_hostile_values);
    tcase_add_test(t, patterns);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
