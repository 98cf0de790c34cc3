/* Each check of health_look: well first, then one thing wrong at a time. */
#include <string.h>

#include "ca/family.h"
#include "check_main.h"
#include "scepd/health.h"

#define NOW INT64_C(1800000000)
#define DAY INT64_C(86400)

static struct survey survey;
static struct authority authority, next;
static struct authority *authorities[] = {&authority, &next};
static struct family family;
static struct cert ca, ra, next_ca, responder;
static struct health_live live;
static struct health_sources sources;
static struct health health;

static void setup(void)
{
    ca = (struct cert){.not_before = NOW - 365 * DAY, .not_after = NOW + 3650 * DAY};
    ra = (struct cert){.not_before = NOW - 100 * DAY, .not_after = NOW + 265 * DAY};
    next_ca = ca;
    family = (struct family){.n = 1, .current = &authority};
    authority = (struct authority){
        .name = "main", .family = &family, .generation = 1, .cert = &ca, .ra = &ra};
    next = (struct authority){.name = "main",
                              .family = &family,
                              .generation = 2,
                              .role = AUTHORITY_NEXT,
                              .cert = &next_ca};
    survey = (struct survey){.at = NOW,
                             .looked_us = survey_clock_us(),
                             .readable = true,
                             .audit_at = NOW - 5,
                             .backup_at = NOW - 3600,
                             .crl_n = 1,
                             .audit = {.from = 1, .to = 7}};
    survey.stats.free_disk_bytes = UINT64_C(1) << 40;
    survey.stats.map_bytes = UINT64_C(64) << 30;
    survey.stats.used_bytes = UINT64_C(1) << 30;
    survey.stats.audit_entries = 7;
    survey.crl[0] = (struct survey_crl){.authority = "main",
                                        .generation = 1,
                                        .authority_end = ca.not_after,
                                        .number = 812,
                                        .this_update = NOW - 600,
                                        .next_update = NOW - 600 + DAY};
    live = (struct health_live){
        .signer_reached = true, .reloaded_well = true, .queue = 3, .queue_capacity = 512};
    sources = (struct health_sources){&survey, authorities, 1, &live};
}

static const struct health_check *find(const char *name)
{
    for (size_t i = 0; i < health.n; i++)
        if (strcmp(health.check[i].name, name) == 0)
            return &health.check[i];
    return NULL;
}

/* Only this check is not well, and it says so and what to do. */
static void expect(const char *name, enum health_status status, const char *text)
{
    health_look(&sources, NOW, &health);
    ck_assert_int_eq(health.status, status);
    for (size_t i = 0; i < health.n; i++) {
        const struct health_check *c = &health.check[i];
        bool it = strcmp(c->name, name) == 0;
        ck_assert_msg(c->status == (it ? status : HEALTH_PASS), "%s: %s", c->name, c->text);
        ck_assert_msg(it == (c->fix[0] != '\0') || strcmp(name, "stopping") == 0, "%s", c->name);
    }
    ck_assert_ptr_nonnull(find(name));
    ck_assert_msg(strstr(find(name)->text, text), "%s", find(name)->text);
}

START_TEST(all_is_well)
{
    health_look(&sources, NOW, &health);
    ck_assert_int_eq(health.status, HEALTH_PASS);
    ck_assert(health.ready);
    ck_assert_uint_eq(health.n, 14);
    sources.live = NULL; /* from another process */
    health_look(&sources, NOW, &health);
    ck_assert_uint_eq(health.n, 9);
    ck_assert_ptr_null(find("signer"));
}
END_TEST

START_TEST(commit)
{
    live.commit_failed_us = survey_clock_us();
    expect("commit", HEALTH_FAIL, "could not be stored, 0 s ago");
    ck_assert(!health.ready);
    live.commit_failed_us -= INT64_C(31000000);
    expect("commit", HEALTH_WARN, "31 s ago");
    ck_assert(health.ready);
}
END_TEST

START_TEST(serving)
{
    live.signer_reached = false;
    expect("signer", HEALTH_FAIL, "does not answer");
    ck_assert(!health.ready);
    setup();
    live.queue = 420;
    expect("queue", HEALTH_WARN, "420 of 512");
    ck_assert(health.ready);
    live.queue = 512;
    expect("queue", HEALTH_FAIL, "512 of 512");
    ck_assert(!health.ready);
    setup();
    live.stopping = true;
    expect("stopping", HEALTH_FAIL, "stopping");
    ck_assert(!health.ready);
    setup();
    live.reloaded_well = false;
    expect("config", HEALTH_WARN, "mistakes");
    ck_assert(health.ready);
    setup();
    live.lacks = CONFINE_LACKS_CALLS | CONFINE_LACKS_FILES;
    expect("confinement", HEALTH_WARN, "keeps seccomp, Landlock (Linux 5.13) from it");
    ck_assert(health.ready);
    live.unconfined = true; /* nobody asked for it */
    health_look(&sources, NOW, &health);
    ck_assert_int_eq(health.status, HEALTH_PASS);
}
END_TEST

START_TEST(store)
{
    survey.readable = false;
    strcpy(survey.error, "input/output error");
    expect("store", HEALTH_FAIL, "input/output error");
    ck_assert(!health.ready);
    setup();
    survey.looked_us -= 31 * 1000000;
    expect("store", HEALTH_FAIL, "31 s");
    setup();
    survey.stats.free_disk_bytes = UINT64_C(255) << 20;
    expect("disk", HEALTH_WARN, "255 MiB");
    ck_assert(health.ready);
    survey.stats.free_disk_bytes = UINT64_C(15) << 20;
    expect("disk", HEALTH_FAIL, "15 MiB");
    ck_assert(!health.ready);
    setup();
    survey.stats.used_bytes = UINT64_C(52) << 30;
    expect("map", HEALTH_WARN, "81 %");
    setup();
    survey.audit_at = NOW + 61;
    expect("clock", HEALTH_WARN, "behind");
    survey.audit_at = NOW + 60;
    health_look(&sources, NOW, &health);
    ck_assert_int_eq(health.status, HEALTH_PASS);
    survey.audit.broken = true;
    expect("audit_chain", HEALTH_FAIL, "entry 8");
    ck_assert(health.ready);
}
END_TEST

START_TEST(backups)
{
    survey.backup_at = 0;
    survey.stats.certificates = 1;
    expect("backup", HEALTH_WARN, "there was never a backup");
    survey.stats.certificates = 0; /* nothing to lose */
    health_look(&sources, NOW, &health);
    ck_assert_int_eq(health.status, HEALTH_PASS);
    survey.backup_at = NOW - 27 * 3600;
    expect("backup", HEALTH_WARN, "27 hours ago");
    ck_assert(health.ready);
    survey.backup_at = NOW + 99; /* the clock fell back */
    health_look(&sources, NOW, &health);
    ck_assert_int_eq(health.status, HEALTH_PASS);
}
END_TEST

START_TEST(ca_ends)
{
    ca.not_before = NOW - 3471 * DAY;
    ca.not_after = NOW + 179 * DAY;
    expect("ca_expiry", HEALTH_WARN, "in 179 days");
    ck_assert_int_eq(find("ca_expiry")->value, 179);
    ck_assert_int_eq(find("ca_expiry")->limit, 180);
    ca.not_after = NOW - 3600;
    expect("ca_expiry", HEALTH_FAIL, "expired 1 hour ago");
    ck_assert(!health.ready);
    ck_assert_int_eq(find("ca_expiry")->value, -1);
    setup();
    ca.not_before = NOW - 365 * DAY; /* a short life: a quarter of it */
    ca.not_after = NOW + 120 * DAY;
    expect("ca_expiry", HEALTH_WARN, "in 120 days");
    ck_assert_int_eq(find("ca_expiry")->limit, 121);
}
END_TEST

START_TEST(a_successor_is_enough)
{
    ca.not_after = NOW + 30 * DAY;
    family.next = &next;
    sources.authority_n = 2;
    expect("ca_expiry", HEALTH_WARN, "in 30 days"); /* nobody said when */
    family.activates_at = NOW + 40 * DAY;
    expect("ca_expiry", HEALTH_WARN, "in 30 days"); /* too late */
    family.activates_at = NOW + 10 * DAY;
    health_look(&sources, NOW, &health);
    ck_assert_int_eq(health.status, HEALTH_PASS);
    ck_assert_str_eq(find("ca_expiry")->text,
                     "the next CA certificate of \"main\" takes over in 10 days");
}
END_TEST

START_TEST(ra_ends)
{
    ra.not_after = NOW + 23 * DAY;
    expect("ra_expiry", HEALTH_WARN, "the RA certificate of \"main\" expires in 23 days");
    ck_assert_int_eq(find("ra_expiry")->limit, 30);
    ra.not_after = NOW;
    expect("ra_expiry", HEALTH_FAIL, "expired");
    setup();
    ra.not_before = NOW - DAY; /* a life of ten days: a quarter is left */
    ra.not_after = NOW + 9 * DAY;
    health_look(&sources, NOW, &health);
    ck_assert_int_eq(health.status, HEALTH_PASS);
    setup();
    authority.ra = NULL;
    health_look(&sources, NOW, &health);
    ck_assert_ptr_null(find("ra_expiry"));
}
END_TEST

/* A person has to bring the next one. */
START_TEST(the_listener_of_the_api)
{
    health_look(&sources, NOW, &health);
    ck_assert_ptr_null(find("tls_expiry"));
    live.tls_from = NOW - 76 * DAY;
    live.tls_until = NOW + 14 * DAY;
    health_look(&sources, NOW, &health);
    ck_assert_int_eq(find("tls_expiry")->status, HEALTH_PASS);
    live.tls_until = NOW + 13 * DAY;
    expect("tls_expiry", HEALTH_WARN, "expires in 13 days");
    live.tls_until = NOW - DAY;
    expect("tls_expiry", HEALTH_WARN, "expired"); /* devices do not need it */
    ck_assert(health.ready);
}
END_TEST

/* Nobody is asked for a new one but a person. */
START_TEST(what_signs_in_elsewhere)
{
    health_look(&sources, NOW, &health);
    ck_assert_ptr_null(find("credential_expiry"));
    live.credential = (struct outside_credential){
        .webhook = "intune", .not_before = NOW - 300 * DAY, .not_after = NOW + 30 * DAY};
    health_look(&sources, NOW, &health);
    ck_assert_int_eq(find("credential_expiry")->status, HEALTH_PASS);
    live.credential.not_after--;
    expect("credential_expiry", HEALTH_WARN, "\"intune\" signs in expires in 29 days");
    ck_assert(health_credential_ends(&live.credential, NOW));
    live.credential.not_after = NOW;
    expect("credential_expiry", HEALTH_FAIL, "expired");
    ck_assert(health.ready); /* at other endpoints devices enrol */
    live.credential = (struct outside_credential){
        .webhook = "intune", .not_before = NOW - 8 * DAY, .not_after = NOW + 3 * DAY};
    health_look(&sources, NOW, &health);
    ck_assert_int_eq(find("credential_expiry")->status, HEALTH_PASS); /* a short life */
    live.credential.webhook[0] = '\0';
    ck_assert(!health_credential_ends(&live.credential, NOW));
}
END_TEST

START_TEST(notices_that_nobody_takes)
{
    live.webhooks = true;
    survey.notices = 10000;
    health_look(&sources, NOW, &health);
    ck_assert_int_eq(find("webhooks")->status, HEALTH_PASS);
    survey.notices++;
    expect("webhooks", HEALTH_WARN, "10001 notices wait to be taken");
    ck_assert(health.ready);
    live.webhook_failing = "mdm";
    live.webhook_failed = 3;
    expect("webhooks", HEALTH_WARN, "\"mdm\" has not answered 3 times");
}
END_TEST

START_TEST(offline_ends)
{
    health_look(&sources, NOW, &health);
    ck_assert_ptr_null(find("offline")); /* nobody brought any */
    survey.above_n = 2;
    survey.above[0] = (struct survey_above){.authority = "main",
                                            .any = true,
                                            .kind = STORE_OFFLINE_CRL,
                                            .this_update = NOW - 170 * DAY,
                                            .next_update = NOW + 29 * DAY};
    survey.above[1] = (struct survey_above){.authority = "other"};
    expect("offline", HEALTH_WARN,
           "the CRL of the issuer above \"main\" is good, its end comes in 29 days");
    ck_assert(health.ready);
    ck_assert_int_eq(find("offline")->limit, 30);
    survey.above[1] = (struct survey_above){.authority = "other",
                                            .any = true,
                                            .kind = STORE_OFFLINE_OCSP,
                                            .this_update = NOW - 9 * DAY,
                                            .next_update = NOW - DAY / 2};
    expect("offline", HEALTH_FAIL,
           "the OCSP answer of the issuer above \"other\" ended 12 hours ago");
    ck_assert(health.ready); /* devices enrol */
    survey.above[0].next_update = survey.above[1].next_update = NOW + 60 * DAY;
    health_look(&sources, NOW, &health);
    ck_assert_int_eq(health.status, HEALTH_PASS);
    ck_assert_int_eq(find("offline")->status, HEALTH_PASS);
    survey.above_n = 0;
}
END_TEST

START_TEST(crl_ends)
{
    survey.crl[0].next_update = NOW + 5 * 3600;
    survey.crl[0].this_update = NOW - 19 * 3600;
    expect("crl", HEALTH_WARN, "in 5 hours");
    survey.crl[0].next_update = NOW - 1;
    expect("crl", HEALTH_FAIL, "CRL 812 of \"main\" ended");
    ck_assert(health.ready); /* who has a certificate suffers, not who wants one */
    survey.crl[0].number = 0;
    expect("crl", HEALTH_FAIL, "no CRL of \"main\"");
    setup(); /* former ones until they end, next ones not yet */
    survey.crl_n = 3;
    survey.crl[1] = survey.crl[2] = survey.crl[0];
    survey.crl[1].role = AUTHORITY_NEXT;
    survey.crl[1].number = 0;
    survey.crl[2].role = AUTHORITY_FORMER;
    survey.crl[2].next_update = survey.crl[2].authority_end = NOW;
    health_look(&sources, NOW, &health);
    ck_assert_int_eq(health.status, HEALTH_PASS);
    survey.crl[2].authority_end = NOW + DAY;
    expect("crl", HEALTH_FAIL, "ended");
}
END_TEST

START_TEST(crl_is_large)
{
    survey.crl[0].size = 5000001;
    expect("crl_size", HEALTH_WARN, "the CRL of \"main\" has 5 MB, and 10 are more");
    ck_assert(health.ready);
    survey.crl[0].size = 45500432;
    expect("crl_size", HEALTH_WARN, "has 45 MB, more than many relying parties read");
    survey.crl[0].size = 5000000;
    health_look(&sources, NOW, &health);
    ck_assert_int_eq(health.status, HEALTH_PASS);
}
END_TEST

/* Renewed at half of its life: with a quarter left, that did not work.  Nobody is kept from
 * enrolling. */
START_TEST(an_ocsp_responder_ends)
{
    responder = (struct cert){.not_before = NOW - 20 * DAY, .not_after = NOW + 10 * DAY};
    authority.ocsp.cert = &responder;
    health_look(&sources, NOW, &health);
    ck_assert_int_eq(health.status, HEALTH_PASS);
    ck_assert_ptr_nonnull(find("ocsp"));
    responder.not_before = NOW - 23 * DAY;
    responder.not_after = NOW + 7 * DAY;
    expect("ocsp", HEALTH_WARN, "responder's certificate of \"main\" expires in 7 days");
    ck_assert(health.ready);
    responder.not_after = NOW;
    expect("ocsp", HEALTH_FAIL, "expired");
    ck_assert(health.ready);
    authority.role = AUTHORITY_NEXT; /* nobody asks it yet */
    health_look(&sources, NOW, &health);
    ck_assert_ptr_null(find("ocsp"));
    authority.role = AUTHORITY_CURRENT; /* there should be one */
    authority.ocsp.cert = NULL;
    snprintf(authority.ocsp.fault, sizeof authority.ocsp.fault, "ocsp-1.pem is damaged");
    expect("ocsp", HEALTH_WARN, "\"main\" answers no OCSP: ocsp-1.pem is damaged");
    ck_assert(health.ready);
}
END_TEST

START_TEST(as_json)
{
    ra.not_after = NOW + 23 * DAY;
    health_look(&sources, NOW, &health);
    json_t *o = health_json(&health, "1.2.3");
    ck_assert_str_eq(json_string_value(json_object_get(o, "status")), "warn");
    ck_assert_str_eq(json_string_value(json_object_get(o, "version")), "1.2.3");
    json_t *checks = json_object_get(o, "checks"), *c;
    ck_assert_uint_eq(json_array_size(checks), 14);
    size_t i;
    json_array_foreach(checks, i, c)
    {
        if (strcmp(json_string_value(json_object_get(c, "name")), "ra_expiry"))
            continue;
        ck_assert_int_eq(json_integer_value(json_object_get(c, "value")), 23);
        ck_assert_int_eq(json_integer_value(json_object_get(c, "limit")), 30);
        ck_assert_str_eq(json_string_value(json_object_get(c, "unit")), "days");
        ck_assert_str_eq(json_string_value(json_object_get(c, "fix")),
                         "scepctl ca rollover status");
    }
    json_decref(o);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("scepd/health");
    TCase *c = tcase_create("health");
    tcase_add_checked_fixture(c, setup, NULL);
    tcase_add_test(c, all_is_well);
    tcase_add_test(c, commit);
    tcase_add_test(c, serving);
    tcase_add_test(c, store);
    tcase_add_test(c, backups);
    tcase_add_test(c, ca_ends);
    tcase_add_test(c, a_successor_is_enough);
    tcase_add_test(c, ra_ends);
    tcase_add_test(c, the_listener_of_the_api);
    tcase_add_test(c, what_signs_in_elsewhere);
    tcase_add_test(c, notices_that_nobody_takes);
    tcase_add_test(c, offline_ends);
    tcase_add_test(c, crl_ends);
    tcase_add_test(c, crl_is_large);
    tcase_add_test(c, an_ocsp_responder_ends);
    tcase_add_test(c, as_json);
    suite_add_tcase(s, c);
    return check_main(s);
}
