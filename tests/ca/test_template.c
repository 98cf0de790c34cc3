#include "check_main.h"

#include <stdlib.h>
#include <string.h>

#include "ca/template.h"
#include "wish.h"

#define NOW 1800000000
#define BOTH (KU_DIGITAL_SIGNATURE | KU_KEY_ENCIPHERMENT)
#define SID_URI "URI:tag:microsoft.com,2022-09-14:sid:S-1-5-21-1-2-3-1104"

static struct err err;
static struct csr csr;
static struct cert_plan plan;
static struct template t;
static struct template_context ctx;

/* Subject by pattern, RSA 2048 and P-256, both usages, clientAuth: a device template. */
static void setup(void)
{
    static const char *const subject[] = {"CN=host-*!", "O=Example", "OU=*"};
    static const char *const san[] = {"DNS:*.example.org", "email:*@example.org", "URI:urn:uuid:*"};

    memset(&t, 0, sizeof t);
    memset(&err, 0, sizeof err);
    for (size_t i = 0; i < 3; i++) {
        t.subject[t.subject_n++] = strdup(subject[i]);
        t.san[t.san_n++] = strdup(san[i]);
    }
    t.rsa_min = 2048;
    t.rsa_max = 4096;
    t.curves = ALG_BIT(CURVE_P256);
    t.key_usage = BOTH;
    eku_add(&t.eku, "1.3.6.1.5.5.7.3.2");
    eku_add(&t.eku, "1.3.6.1.5.5.7.3.4");
    t.usage_surplus = SURPLUS_DROP;
    t.honour_requested_usage = true;
    t.validity = 365 * 86400;
    t.min_validity = 86400;
    t.backdate = 3600;
    ctx = (struct template_context){.endpoint = "/scep",
                                    .transaction = "tx-1",
                                    .challenge_label = "room 12",
                                    .challenge_id = "chl_abc",
                                    .signer_subject = "CN=old-name,O=Example",
                                    .now = NOW};
}

static void teardown(void)
{
    cert_plan_clear(&plan);
    template_clear(&t);
}

static void replace_subject(const char *const *patterns)
{
    for (size_t i = 0; i < t.subject_n; i++)
        free(t.subject[i]);
    for (t.subject_n = 0; patterns[t.subject_n]; t.subject_n++)
        t.subject[t.subject_n] = strdup(patterns[t.subject_n]);
}

static void replace_san(const char *const *patterns)
{
    for (size_t i = 0; i < t.san_n; i++)
        free(t.san[i]);
    for (t.san_n = 0; patterns[t.san_n]; t.san_n++)
        t.san[t.san_n] = strdup(patterns[t.san_n]);
}

static bool try(struct wish w)
{
    cert_plan_clear(&plan);
    wish_csr(&w, &csr);
    bool ok = template_plan(&t, &csr, &ctx, &plan, &err);
    return ok;
}

static void accept(struct wish w, const char *subject, const char *san)
{
    char text[1024];

    ck_assert_msg(try(w), "%s: %s", w.subject, err.text);
    name_text(&plan.subject, text, sizeof text);
    ck_assert_str_eq(text, subject);
    san_text(&plan.san, text, sizeof text);
    ck_assert_str_eq(text, san);
    wish_csr_clear(&csr);
}

/* `part` is something that the refusal must say. */
static void refuse(struct wish w, enum reason reason, const char *part)
{
    memset(&err, 0, sizeof err);
    ck_assert_msg(!try(w), "accepted %s", w.subject);
    ck_assert_int_eq(err.kind, ERR_REFUSED);
    ck_assert_str_eq(reason_info(err.reason)->code, reason_info(reason)->code);
    ck_assert_msg(strstr(err.text, part), "\"%s\" is not in \"%s\"", part, err.text);
    wish_csr_clear(&csr);
}

START_TEST(test_plan)
{
    accept((struct wish){.subject = "CN=host-1,O=Example,OU=b,OU=a",
                         .san = {"DNS:H1.Example.org", "URI:urn:uuid:7"},
                         .key_usage = BOTH},
           "CN=host-1,O=Example,OU=b,OU=a", "DNS:h1.example.org,URI:urn:uuid:7");
    ck_assert_ptr_eq(plan.key, &csr.key);
    ck_assert_uint_eq(plan.key_usage, BOTH);
    ck_assert_uint_eq(plan.eku.n, 2);
    ck_assert_int_eq(plan.not_before, NOW - 3600);
    ck_assert_int_eq(plan.not_after, NOW + 365 * 86400);
    ck_assert_int_eq(plan.min_not_after, NOW + 86400);
    ck_assert_uint_eq(plan.extension_n, 0);
}
END_TEST

/* C63, C64: each value whole, against the patterns of its own attribute. */
START_TEST(test_subject_patterns)
{
    static const struct {
        const char *pattern, *subject;
        bool match;
    } cases[] = {
        {"CN=*", "CN=anything", true},
        {"CN=host-?", "CN=host-1", true},
        {"CN=host-?", "CN=host-12", false},
        {"CN=host-1", "CN=host-1", true},
        {"CN=host-1", "CN=host-11", false},
        {"CN=host-1", "CN=xhost-1", false},
        {"CN=a*b*c", "CN=a1b2c", true},
        {"CN=a*b*c", "CN=a1c2b", false},
        {"CN=Host", "CN=host", false},                    /* a person's or device's name has case */
        {"CN=*.Example.org", "CN=DEV.example.ORG", true}, /* a host name has none */
        {"cn=*", "CN=a", true},                           /* keys have none either */
        {"O=*", "CN=a", false},                           /* another attribute */
        {"CN=a\\*", "CN=a*", true},
        {"CN=a\\*", "CN=ab", false},
        {"CN=caf\xc3\xa9", "CN=cafe\xcc\x81", true}, /* compared in NFC */
        {"DC=Example", "DC=EXAMPLE", true},
        {"emailAddress=me@Example.org", "emailAddress=me@EXAMPLE.org", true},
        {"emailAddress=me@Example.org", "emailAddress=Me@example.org", false},
        {"emailAddress=*@example.org", "emailAddress=x@evil.org", false},
        {"emailAddress=*@example.org", "emailAddress=x@example.org.evil.org", false},
        {"OU=a,b", "OU=a\\,b", true},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        replace_subject((const char *const[]){cases[i].pattern, NULL});
        memset(&err, 0, sizeof err);
        bool ok = try((struct wish){.subject = cases[i].subject});
        ck_assert_msg(ok == cases[i].match, "%s with %s: %s", cases[i].pattern, cases[i].subject,
                      err.text);
        if (!ok)
            ck_assert_int_eq(err.reason, REASON_SUBJECT_FORBIDDEN);
        wish_csr_clear(&csr);
    }
}
END_TEST

START_TEST(test_subject_refused)
{
    refuse((struct wish){.subject = "CN=other"}, REASON_SUBJECT_FORBIDDEN,
           "CN=other matches none of the template's patterns: CN=host-*!");
    refuse((struct wish){.subject = "CN=host-1,L=Berlin"}, REASON_SUBJECT_FORBIDDEN,
           "L=Berlin: the template allows no L");
    refuse((struct wish){.subject = "O=Example"}, REASON_SUBJECT_MISSING, "CN=host-*");
    refuse((struct wish){.subject = NULL}, REASON_SUBJECT_MISSING, "CN=host-*");
    /* C13: refused with both numbers, never cut */
    refuse(
        (struct wish){
            .subject =
                "CN=host-1,OU=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
        REASON_SUBJECT_FORBIDDEN, "64");
}
END_TEST

START_TEST(test_subject_dropped)
{
    t.subject_surplus = SURPLUS_DROP;
    accept((struct wish){.subject = "L=Berlin,CN=host-1,CN=other,O=Evil"}, "CN=host-1", "");
    refuse((struct wish){.subject = "CN=other"}, REASON_SUBJECT_MISSING, "CN=host-*");
}
END_TEST

/* C66 */
/* RFC 8894 section 3.3.1 wants a subject; a template may let names stand for it. */
START_TEST(test_empty_subject)
{
    replace_subject((const char *const[]){"CN=*", NULL});
    refuse((struct wish){.subject = NULL, .san = {"DNS:a.example.org"}}, REASON_SUBJECT_MISSING,
           "empty");
    t.empty_subject = true;
    accept((struct wish){.subject = NULL, .san = {"DNS:a.example.org"}}, "", "DNS:a.example.org");
    refuse((struct wish){.subject = NULL}, REASON_SUBJECT_MISSING, "neither");
}
END_TEST

/* C65 */
START_TEST(test_san_patterns)
{
    static const struct {
        const char *pattern, *name;
        bool match;
    } cases[] = {
        {"DNS:*.example.org", "DNS:a.b.example.org", true},
        {"DNS:*.Example.ORG", "DNS:a.example.org", true},
        {"DNS:*.example.org", "DNS:example.org", false},
        {"DNS:*.example.org", "DNS:a.example.org.evil.net", false},
        {"dns:*", "DNS:a", true},
        {"DNS:*", "URI:urn:a", false},
        {"IP:10.*", "IP:10.1.2.3", true},
        {"IP:10.*", "IP:110.1.2.3", false},
        {"UPN:*@example.org", "UPN:me@EXAMPLE.ORG", true},
        {"UPN:me@example.org", "UPN:ME@example.org", false},
        {"email:*@example.org", "email:a@example.org", true},
        {"email:*@example.org", "email:a@example.com", false},
        {"URI:urn:uuid:*", "URI:urn:uuid:1234", true},
        {"URI:urn:uuid:*", "URI:urn:other:1234", false},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        replace_san((const char *const[]){cases[i].pattern, NULL});
        memset(&err, 0, sizeof err);
        bool ok = try((struct wish){.subject = "CN=host-1", .san = {cases[i].name}});
        ck_assert_msg(ok == cases[i].match, "%s with %s: %s", cases[i].pattern, cases[i].name,
                      err.text);
        if (!ok)
            ck_assert_int_eq(err.reason, REASON_SAN_FORBIDDEN);
        wish_csr_clear(&csr);
    }
}
END_TEST

START_TEST(test_san_refused_dropped_required)
{
    refuse((struct wish){.subject = "CN=host-1", .san = {"DNS:a.example.org", "DNS:a.evil.org"}},
           REASON_SAN_FORBIDDEN,
           "DNS:a.evil.org matches none of the template's patterns: DNS:*.example.org");
    refuse((struct wish){.subject = "CN=host-1", .san = {"IP:10.0.0.1"}}, REASON_SAN_FORBIDDEN,
           "IP:10.0.0.1: the template allows no IP");
    t.san_surplus = SURPLUS_DROP;
    accept((struct wish){.subject = "CN=host-1", .san = {"DNS:a.example.org", "DNS:a.evil.org"}},
           "CN=host-1", "DNS:a.example.org");
    replace_san((const char *const[]){"DNS:*.example.org!", NULL});
    refuse((struct wish){.subject = "CN=host-1", .san = {"DNS:a.evil.org"}}, REASON_SAN_MISSING,
           "DNS:*.example.org");
    replace_san((const char *const[]){NULL});
    t.san_surplus = SURPLUS_REFUSE;
    refuse((struct wish){.subject = "CN=host-1", .san = {"DNS:a.example.org"}},
           REASON_SAN_FORBIDDEN, "allows no DNS");
}
END_TEST

/* Every variable that MDM products are known to leave behind, and what only looks like one. */
START_TEST(test_placeholders)
{
    static const char *const left[] = {
        "%ComputerName%",
        "host-%SerialNumber%",
        "{{DeviceName}}",
        "x{{AAD_Device_ID}}y",
        "$SERIALNUMBER",
        "$COMPUTERNAME.corp",
        "${DEVICE_SERIAL_NUMBER}",
        "${USER_EMAIL}",
        "%devicename%",
        "$FLEET_VAR_SCEP_RENEWAL_ID",
        "%MACAddress%",
        "$UDID",
    };
    static const char *const fine[] = {"host-100%", "50% of 100%", "HOST$", "US$1",  "$a", "a{b}",
                                       "{{}}",      "${}",         "A$B",   "100%%", "%1%"};
    char subject[128];

    replace_subject((const char *const[]){"OU=*", NULL});
    for (size_t i = 0; i < sizeof left / sizeof left[0]; i++) {
        snprintf(subject, sizeof subject, "OU=%s", left[i]);
        refuse((struct wish){.subject = subject}, REASON_SUBJECT_PLACEHOLDER, "was not replaced");
    }
    for (size_t i = 0; i < sizeof fine / sizeof fine[0]; i++) {
        snprintf(subject, sizeof subject, "OU=%s", fine[i]);
        memset(&err, 0, sizeof err);
        ck_assert_msg(try((struct wish){.subject = subject}), "%s: %s", subject, err.text);
        wish_csr_clear(&csr);
    }
    refuse((struct wish){.subject = "OU=a", .san = {"URI:urn:$SERIALNUMBER"}},
           REASON_SUBJECT_PLACEHOLDER, "$SERIALNUMBER of URI");
    replace_san((const char *const[]){"URI:*", NULL});
    accept((struct wish){.subject = "OU=a", .san = {"URI:http://a.example.org/%C3%A9%20b"}}, "OU=a",
           "URI:http://a.example.org/%C3%A9%20b");
    /* also in what would be dropped: the profile is broken, and somebody must know */
    t.subject_surplus = SURPLUS_DROP;
    refuse((struct wish){.subject = "OU=a,L=%City%"}, REASON_SUBJECT_PLACEHOLDER, "%City% of L");
}
END_TEST

START_TEST(test_subject_build)
{
    static const struct {
        const char *build, *subject;
    } cases[] = {
        {"CN=${csr.cn},O=Example", "CN=host-1,O=Example"},
        {"CN=${csr.serialnumber}", "CN=S1"},
        {"CN=${csr.ou}", "CN=first"}, /* the first of several */
        {"CN=${csr.san.dns}", "CN=a.example.org"},
        {"CN=${csr.san.email}", "CN=m@example.org"},
        {"CN=${csr.san.uri}", "CN=urn:uuid:7"},
        {"CN=${csr.san.ip}", "CN=10.0.0.1"},
        {"CN=${challenge.label}", "CN=room 12"},
        {"CN=${challenge.id}", "CN=chl_abc"},
        {"CN=x${endpoint}", "CN=x/scep"},
        {"CN=${transaction}", "CN=tx-1"},
        {"CN=${signer.cn}", "CN=old-name"},
        {"CN=a$$b", "CN=a$b"},
        {"CN=a\\,b, O=c", "CN=a\\,b,O=c"},
        {"CN=fixed", "CN=fixed"},
        {"OU=x,OU=y,CN=${csr.cn}-${challenge.id}", "OU=x,OU=y,CN=host-1-chl_abc"},
    };
    struct wish w = {
        .subject = "CN=host-1,serialNumber=S1,OU=first,OU=second",
        .san = {"DNS:a.example.org", "email:m@example.org", "URI:urn:uuid:7", "IP:10.0.0.1"}};

    replace_san((const char *const[]){"DNS:*", "email:*", "URI:*", "IP:*", NULL});
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        t.subject_build = strdup(cases[i].build);
        accept(w, cases[i].subject,
               "DNS:a.example.org,email:m@example.org,URI:urn:uuid:7,IP:10.0.0.1");
        free(t.subject_build);
        t.subject_build = NULL;
    }
    t.subject_build = strdup("UID=${key.sha256}");
    ck_assert(try(w));
    ck_assert_uint_eq(strlen(plan.subject.attr[0].value), 64);
    wish_csr_clear(&csr);
}
END_TEST

START_TEST(test_build_refused)
{
    t.subject_build = strdup("CN=${csr.san.upn}");
    refuse((struct wish){.subject = "CN=host-1"}, REASON_SAN_MISSING, "${csr.san.upn}");
    free(t.subject_build);
    t.subject_build = strdup("CN=${csr.o}");
    refuse((struct wish){.subject = "CN=host-1"}, REASON_SUBJECT_MISSING, "${csr.o}");
    free(t.subject_build);
    /* the patterns of the attribute limit what the wildcard takes */
    t.subject_build = strdup("CN=${csr.cn},O=Example");
    refuse((struct wish){.subject = "CN=other"}, REASON_SUBJECT_FORBIDDEN, "CN=host-*!");
    free(t.subject_build);
    ctx.challenge_label = "";
    t.subject_build = strdup("CN=${challenge.label}");
    refuse((struct wish){.subject = "CN=host-1"}, REASON_SUBJECT_MISSING, "${challenge.label}");
    free(t.subject_build);
    ctx.signer_subject = NULL;
    t.subject_build = strdup("CN=${signer.cn}");
    refuse((struct wish){.subject = "CN=host-1"}, REASON_SUBJECT_MISSING, "${signer.cn}");
    free(t.subject_build);
    t.subject_build = strdup("CN=${csr.cn}${csr.cn}${csr.cn}${csr.cn}${csr.cn}${csr.cn}${csr.cn}");
    refuse((struct wish){.subject = "CN=host-1234567890"}, REASON_SUBJECT_FORBIDDEN, "64");
}
END_TEST

/* Values are put in after the text was taken apart. */
START_TEST(test_values_never_split)
{
    t.subject_build = strdup("O=Example,CN=${csr.cn}");
    accept((struct wish){.subject = "CN=host-1\\,OU=admin\\+L=x"},
           "O=Example,CN=host-1\\,OU=admin\\+L=x", "");
    ck_assert_uint_eq(plan.subject.n, 2);
    ctx.challenge_label = "a,O=Evil";
    free(t.subject_build);
    t.subject_build = strdup("OU=${challenge.label},CN=${csr.cn}");
    accept((struct wish){.subject = "CN=host-2"}, "OU=a\\,O=Evil,CN=host-2", "");
}
END_TEST

START_TEST(test_san_build)
{
    t.san_build[t.san_build_n++] = strdup("DNS:${csr.cn}.example.org");
    t.san_build[t.san_build_n++] = strdup("UPN:${csr.cn}@example.org");
    /* with patterns besides: what they let through follows, nothing twice */
    accept(
        (struct wish){.subject = "CN=host-1", .san = {"DNS:host-1.example.org", "URI:urn:uuid:7"}},
        "CN=host-1", "DNS:host-1.example.org,UPN:host-1@example.org,URI:urn:uuid:7");
    refuse((struct wish){.subject = "CN=host-1", .san = {"DNS:evil.org"}}, REASON_SAN_FORBIDDEN,
           "DNS:evil.org");
    /* without: the request's own names are not even looked at */
    replace_san((const char *const[]){NULL});
    accept((struct wish){.subject = "CN=host-1", .san = {"DNS:evil.org"}}, "CN=host-1",
           "DNS:host-1.example.org,UPN:host-1@example.org");
    /* a value that makes no host name */
    refuse((struct wish){.subject = "CN=host-1 x"}, REASON_SAN_FORBIDDEN, "host-1 x.example.org");
}
END_TEST

/* C19, C57 */
START_TEST(test_keys)
{
    struct wish w = {.subject = "CN=host-1"};

    w.key = "p256";
    accept(w, "CN=host-1", "");
    w.key = "rsa1024";
    refuse(w, REASON_KEY_SMALL, "RSA-1024; the template takes RSA 2048 to 4096, P-256");
    w.key = "p384";
    refuse(w, REASON_KEY_TYPE, "P-384; the template takes RSA 2048 to 4096, P-256");
    w.key = "rsa2048";
    t.rsa_min = 3072;
    refuse(w, REASON_KEY_SMALL, "RSA 3072 to 4096");
    t.rsa_min = t.rsa_max = 0;
    refuse(w, REASON_KEY_TYPE, "RSA-2048; the template takes P-256");
}
END_TEST

/* C62: the wish narrows, never widens. */
START_TEST(test_key_usage)
{
    static const struct {
        uint32_t asked;
        const char *key;
        enum template_surplus surplus;
        bool honour;
        uint32_t given; /* 0: refused */
    } cases[] = {
        {0, "rsa2048", SURPLUS_REFUSE, true, BOTH},
        {BOTH, "rsa2048", SURPLUS_REFUSE, true, BOTH},
        {KU_DIGITAL_SIGNATURE, "rsa2048", SURPLUS_REFUSE, true, KU_DIGITAL_SIGNATURE},
        {KU_DIGITAL_SIGNATURE, "rsa2048", SURPLUS_REFUSE, false, BOTH},
        {BOTH | KU_NON_REPUDIATION, "rsa2048", SURPLUS_REFUSE, true, 0},
        {BOTH | KU_NON_REPUDIATION, "rsa2048", SURPLUS_REFUSE, false, 0},
        {BOTH | KU_NON_REPUDIATION, "rsa2048", SURPLUS_DROP, true, BOTH},
        {KU_NON_REPUDIATION, "rsa2048", SURPLUS_DROP, true, BOTH}, /* nothing in common: surplus */
        {KU_NON_REPUDIATION, "rsa2048", SURPLUS_REFUSE, true, 0},
        {KU_NON_REPUDIATION, "rsa2048", SURPLUS_DROP, false, BOTH},
        {0, "p256", SURPLUS_REFUSE, true, KU_DIGITAL_SIGNATURE}, /* C25 */
        {BOTH, "p256", SURPLUS_REFUSE, true, KU_DIGITAL_SIGNATURE},
        {KU_KEY_ENCIPHERMENT, "p256", SURPLUS_REFUSE, true, 0},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct wish w = {.subject = "CN=host-1", .key_usage = cases[i].asked, .key = cases[i].key};
        t.usage_surplus = cases[i].surplus;
        t.honour_requested_usage = cases[i].honour;
        memset(&err, 0, sizeof err);
        bool ok = try(w);
        ck_assert_msg(ok == (cases[i].given != 0), "case %zu: %s", i, err.text);
        if (ok)
            ck_assert_uint_eq(plan.key_usage, cases[i].given);
        else
            ck_assert_int_eq(err.reason, REASON_USAGE_FORBIDDEN);
        wish_csr_clear(&csr);
    }
    t.key_usage = KU_KEY_ENCIPHERMENT;
    refuse((struct wish){.subject = "CN=host-1", .key = "p256"}, REASON_USAGE_FORBIDDEN,
           "fits the type of the key");
}
END_TEST

START_TEST(test_ext_key_usage)
{
    struct wish w = {.subject = "CN=host-1", .purpose = {"clientAuth"}};

    accept(w, "CN=host-1", "");
    ck_assert_uint_eq(plan.eku.n, 1);
    w.purpose[1] = "codeSigning"; /* dropped */
    accept(w, "CN=host-1", "");
    ck_assert_uint_eq(plan.eku.n, 1);
    w.purpose[1] = "OCSPSigning"; /* P19: never unless the template lists it */
    accept(w, "CN=host-1", "");
    ck_assert(!eku_has(&plan.eku, "1.3.6.1.5.5.7.3.9"));
    t.usage_surplus = SURPLUS_REFUSE;
    refuse(w, REASON_USAGE_FORBIDDEN, "OCSPSigning");
    w.purpose[1] = "anyExtendedKeyUsage";
    refuse(w, REASON_USAGE_FORBIDDEN, "anyExtendedKeyUsage");
    t.usage_surplus = SURPLUS_DROP;
    accept(w, "CN=host-1", "");
    ck_assert_uint_eq(plan.eku.n, 2); /* "any" narrows nothing, and is not given */
    ck_assert(!eku_has(&plan.eku, "2.5.29.37.0"));
    /* Nothing in common with the template is surplus as a whole. */
    accept((struct wish){.subject = "CN=host-1", .purpose = {"codeSigning"}}, "CN=host-1", "");
    ck_assert_uint_eq(plan.eku.n, 2);
    ck_assert(!eku_has(&plan.eku, "1.3.6.1.5.5.7.3.3"));
    t.usage_surplus = SURPLUS_REFUSE;
    refuse((struct wish){.subject = "CN=host-1", .purpose = {"codeSigning"}},
           REASON_USAGE_FORBIDDEN, "codeSigning");
    t.usage_surplus = SURPLUS_DROP;
    t.honour_requested_usage = false;
    accept((struct wish){.subject = "CN=host-1", .purpose = {"clientAuth"}}, "CN=host-1", "");
    ck_assert_uint_eq(plan.eku.n, 2);
}
END_TEST

/* C27: clientAuth cannot be served by keyEncipherment alone; mail can. */
START_TEST(test_usage_consistent)
{
    struct wish w = {.subject = "CN=host-1", .key_usage = KU_KEY_ENCIPHERMENT};

    accept(w, "CN=host-1", "");
    ck_assert_uint_eq(plan.eku.n, 1);
    ck_assert(eku_has(&plan.eku, "1.3.6.1.5.5.7.3.4"));
    w.purpose[0] = "clientAuth";
    t.usage_surplus = SURPLUS_REFUSE;
    refuse(w, REASON_USAGE_FORBIDDEN, "keyEncipherment");
    t.usage_surplus = SURPLUS_DROP; /* the wish contradicts itself: the template decides */
    accept(w, "CN=host-1", "");
    ck_assert_uint_eq(plan.key_usage, BOTH);
}
END_TEST

START_TEST(test_server_needs_a_name)
{
    t.eku.n = 0;
    eku_add(&t.eku, "1.3.6.1.5.5.7.3.1");
    refuse((struct wish){.subject = "CN=host-1"}, REASON_SAN_MISSING, "serverAuth");
    accept((struct wish){.subject = "CN=host-1", .san = {"DNS:a.example.org"}}, "CN=host-1",
           "DNS:a.example.org");
}
END_TEST

/* SEQUENCE of one Extension. */
static struct buf one_extension(const char *oid, const void *value, size_t n)
{
    struct buf out = {0};
    struct der w;

    der_init(&w, 256);
    size_t mark = der_mark(&w);
    extension_build(&w, oid, false, view_of(value, n));
    der_wrap(&w, DER_SEQUENCE, mark);
    ck_assert(der_take(&w, &out, &err));
    return out;
}

START_TEST(test_extensions_passed_on)
{
    static const uint8_t value[] = {0x0c, 2, 'h', 'i'};
    struct buf x = one_extension("1.2.3.4", value, sizeof value);
    struct wish w = {.subject = "CN=host-1", .extensions = buf_view(&x)};

    accept(w, "CN=host-1", ""); /* C37: the template does not name it */
    ck_assert_uint_eq(plan.extension_n, 0);
    eku_add(&t.extensions, "1.2.3.4");
    accept(w, "CN=host-1", "");
    ck_assert_uint_eq(plan.extension_n, 1);
    ck_assert_str_eq(plan.extension[0].oid, "1.2.3.4");
    ck_assert(view_eq(plan.extension[0].value, view_of(value, sizeof value)));
    ck_assert(plan.extension[0].value.p > x.p && plan.extension[0].value.p < x.p + x.n);
    buf_clear(&x);

    static const uint8_t tail[] = {0x0c, 2, 'h', 'i', 0};
    x = one_extension("1.2.3.4", tail, sizeof tail);
    w.extensions = buf_view(&x);
    refuse(w, REASON_CSR_MALFORMED, "1.2.3.4");
    buf_clear(&x);
    /* C35: the Microsoft template name is a BMPString */
    eku_add(&t.extensions, "1.3.6.1.4.1.311.20.2");
    x = one_extension("1.3.6.1.4.1.311.20.2", value, sizeof value);
    w.extensions = buf_view(&x);
    refuse(w, REASON_CSR_MALFORMED, "C35");
    buf_clear(&x);
}
END_TEST

/* GeneralNames { otherName { 1.3.6.1.4.1.311.25.2.1, OCTET STRING sid } } */
static struct buf sid_extension(const char *sid)
{
    struct der w;
    struct buf value = {0}, out;

    der_init(&w, 128);
    size_t mark = der_mark(&w);
    der_tlv(&w, DER_OCTET_STRING, view_str(sid));
    der_wrap(&w, DER_CONTEXT_CONSTRUCTED(0), mark);
    der_oid_text(&w, "1.3.6.1.4.1.311.25.2.1");
    der_wrap(&w, DER_CONTEXT_CONSTRUCTED(0), mark);
    der_wrap(&w, DER_SEQUENCE, mark);
    ck_assert(der_take(&w, &value, &err));
    out = one_extension("1.3.6.1.4.1.311.25.2", value.p, value.n);
    buf_clear(&value);
    return out;
}

/* Whoever carries a SID is that account. */
START_TEST(test_sid)
{
    struct buf same = sid_extension("S-1-5-21-1-2-3-1104"),
               other = sid_extension("S-1-5-21-9-9-9-500"), bad = sid_extension("S-1-5-21-x");
    struct wish w = {.subject = "CN=host-1", .extensions = buf_view(&same)};

    accept(w, "CN=host-1", "");
    ck_assert_uint_eq(plan.extension_n, 0); /* never copied unasked */
    replace_san((const char *const[]){"URI:*", NULL});
    w.san[0] = SID_URI;
    refuse(w, REASON_SAN_FORBIDDEN, "claims a SID");
    t.san_surplus = SURPLUS_DROP; /* not dropped silently either */
    refuse(w, REASON_SAN_FORBIDDEN, "claims a SID");
    t.ms_sid = true;
    accept(w, "CN=host-1", SID_URI);
    ck_assert_uint_eq(plan.extension_n, 1);
    w.extensions = buf_view(&other);
    refuse(w, REASON_SAN_FORBIDDEN, "two SIDs");
    w.extensions = buf_view(&bad);
    refuse(w, REASON_CSR_MALFORMED, "malformed");
    w.extensions = view_of(NULL, 0);
    w.san[0] = "URI:tag:microsoft.com,2022-09-14:sid:S-1-x";
    refuse(w, REASON_SAN_FORBIDDEN, "malformed");
    /* through a wildcard it is still a claim */
    t.ms_sid = false;
    replace_san((const char *const[]){NULL});
    t.san_build[t.san_build_n++] = strdup("URI:tag:microsoft.com,2022-09-14:sid:${csr.cn}");
    refuse((struct wish){.subject = "CN=host-S-1-5-21-1"}, REASON_SAN_FORBIDDEN, "claims a SID");
    buf_clear(&same);
    buf_clear(&other);
    buf_clear(&bad);
}
END_TEST

START_TEST(test_passes)
{
    struct eku all = {.n = 0};

    eku_add(&t.extensions, "1.2.3.4");
    eku_add(&t.extensions, "2.5.29.19"); /* basicConstraints are never the request's */
    ck_assert(template_passes(&t, &all));
    ck_assert_uint_eq(all.n, 1);
    t.ms_sid = true;
    ck_assert(template_passes(&t, &all) && all.n == 2);
    ck_assert(eku_has(&all, "1.3.6.1.4.1.311.25.2"));
}
END_TEST

static void check_refuses(const char *part)
{
    memset(&err, 0, sizeof err);
    ck_assert_msg(!template_check(&t, &err), "accepted; expected %s", part);
    ck_assert_int_eq(err.kind, ERR_CONFIG);
    ck_assert_msg(strstr(err.text, part), "\"%s\" is not in \"%s\"", part, err.text);
}

static void check_value(int64_t *value, int64_t wrong, const char *part)
{
    int64_t right = *value;

    *value = wrong;
    check_refuses(part);
    *value = right;
}

START_TEST(test_check)
{
    static const char *const bad_build[] = {
        "CN",          "=x",    "Nothing=x", "CN=${csr.nothing}", "CN=${unknown}",
        "CN=${csr.cn", "CN=$x", "CN=",       "CN=${csr.san.mac}"};
    static const char *const bad_san_build[] = {"x", "MAC:1", "DNS:${nothing}", "DNS:"};

    ck_assert_msg(template_check(&t, &err), "%s", err.text);
    for (size_t i = 0; i < sizeof bad_build / sizeof bad_build[0]; i++) {
        t.subject_build = strdup(bad_build[i]);
        check_refuses(strstr(bad_build[i], "$") ? "wildcard" : "attribute");
        free(t.subject_build);
        t.subject_build = NULL;
    }
    for (size_t i = 0; i < sizeof bad_san_build / sizeof bad_san_build[0]; i++) {
        t.san_build[0] = strdup(bad_san_build[i]);
        t.san_build_n = 1;
        check_refuses("");
        free(t.san_build[0]);
        t.san_build_n = 0;
    }
    check_value(&t.validity, 0, "validity");
    check_value(&t.min_validity, t.validity + 1, "min_validity");
    check_value(&t.backdate, 86401, "backdate");
    check_value(&t.renew_grace, -1, "renew_grace");
    t.rsa_min = 512;
    check_refuses("RSA keys of 512");
    t.rsa_min = 2048;
    t.key_usage |= KU_KEY_CERT_SIGN;
    check_refuses("keyCertSign");
    t.key_usage = KU_KEY_ENCIPHERMENT;
    check_refuses("cannot serve clientAuth");
    t.key_usage = 0;
    check_refuses("empty");
    t.key_usage = BOTH;
    eku_add(&t.eku, "1.3.6.1.5.5.7.3.9");
    check_refuses("OCSPSigning");
    t.eku.n = 0;
    eku_add(&t.eku, "2.5.29.37.0");
    check_refuses("anyExtendedKeyUsage");
    t.eku.n = 0;
    eku_add(&t.extensions, "2.5.29.19");
    check_refuses("never passed on");
    t.extensions.n = 0;
    replace_subject((const char *const[]){"CN", NULL});
    check_refuses("pattern");
    replace_subject((const char *const[]){NULL});
    check_refuses("no subject is possible");
    t.empty_subject = true;
    replace_san((const char *const[]){"MAC:*", NULL});
    check_refuses("kind");
    replace_san((const char *const[]){"DNS:*", NULL});
    ck_assert(template_check(&t, &err));
    t.rsa_min = t.rsa_max = t.curves = 0;
    check_refuses("key type");
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        test_plan,
        test_subject_patterns,
        test_subject_refused,
        test_subject_dropped,
        test_empty_subject,
        test_san_patterns,
        test_san_refused_dropped_required,
        test_placeholders,
        test_subject_build,
        test_build_refused,
        test_values_never_split,
        test_san_build,
        test_keys,
        test_key_usage,
        test_ext_key_usage,
        test_usage_consistent,
        test_server_needs_a_name,
        test_extensions_passed_on,
        test_sid,
        test_passes,
        test_check,
    };
    Suite *suite = suite_create("template");
    TCase *tc = tcase_create("template");

    tcase_add_unchecked_fixture(tc, wish_keys_make, wish_keys_free);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++)
        tcase_add_test(tc, tests[i]);
    suite_add_tcase(suite, tc);
    return check_main(suite);
}
