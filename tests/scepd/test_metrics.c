/* Counting from many threads, and labels that cannot grow or break out. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "check_main.h"
#include "scepd/metrics.h"
#include "scepd/survey.h"

static struct metrics *m;
static struct survey survey;
static struct buf text;
static struct err err;

static void setup(void)
{
    ck_assert(metrics_new("1.2.3", 1800000000, &m, &err));
}

static void teardown(void)
{
    metrics_free(m);
    buf_clear(&text);
}

static const char *told(void)
{
    struct metrics_gauges g = {.survey = &survey, .queue_capacity = 512, .admin = true};
    buf_reset(&text);
    ck_assert(metrics_write(m, &g, &text));
    ck_assert(buf_append(&text, "", 1));
    return (const char *)text.p;
}

static void has(const char *line)
{
    char whole[512];
    snprintf(whole, sizeof whole, "\n%s\n", line);
    ck_assert_msg(strstr(told(), whole), "%s", line);
}

static void request_at(const char *endpoint, enum metric_result result, enum reason reason)
{
    const struct metric_request r = {.endpoint = endpoint,
                                     .template_name = "device",
                                     .operation = METRIC_PKCS_REQ,
                                     .result = result,
                                     .reason = reason,
                                     .seconds = 0.004};
    metrics_request(m, &r);
}

START_TEST(a_request)
{
    request_at("/scep", METRIC_RENEWED, REASON_NONE);
    request_at("/scep", METRIC_REFUSED, REASON_KEY_SMALL);
    request_at("", METRIC_FAILED, REASON_BUSY);
    has("scepd_scep_requests_total{endpoint=\"/scep\",operation=\"PKCSReq\",result=\"renewed\"} 1");
    has("scepd_scep_requests_total{endpoint=\"none\",operation=\"PKCSReq\",result=\"failed\"} 1");
    has("scepd_scep_refusals_total{endpoint=\"/scep\",reason=\"key.small\"} 1");
    has("scepd_scep_refusals_total{endpoint=\"none\",reason=\"busy\"} 1");
    has("scepd_certificates_issued_total{template=\"device\",kind=\"renewal\"} 1");
    has("scepd_certificates_issued_total{template=\"device\",kind=\"initial\"} 0");
    has("scepd_scep_request_duration_seconds_bucket{operation=\"PKCSReq\",le=\"0.0025\"} 0");
    has("scepd_scep_request_duration_seconds_bucket{operation=\"PKCSReq\",le=\"0.005\"} 3");
    has("scepd_scep_request_duration_seconds_bucket{operation=\"PKCSReq\",le=\"+Inf\"} 3");
    has("scepd_scep_request_duration_seconds_count{operation=\"PKCSReq\"} 3");
    has("scepd_scep_request_duration_seconds_sum{operation=\"PKCSReq\"} 0.012");
}
END_TEST

/* Alerts ask how much these grow: a line that first appears with 1 would not have grown. */
START_TEST(alarming_reasons_begin_with_0)
{
    metrics_endpoint(m, "/scep");
    has("scepd_scep_refusals_total{endpoint=\"/scep\",reason=\"usage.forbidden\"} 0");
    has("scepd_scep_refusals_total{endpoint=\"/scep\",reason=\"challenge.used\"} 0");
    ck_assert_ptr_null(strstr(told(), "key.small"));
}
END_TEST

START_TEST(names_are_quoted)
{
    request_at("/a\"b\\c\nd", METRIC_ISSUED, REASON_NONE);
    has("scepd_scep_requests_total{endpoint=\"/a\\\"b\\\\c\\nd\",operation=\"PKCSReq\",result="
        "\"issued\"} 1");
}
END_TEST

START_TEST(names_do_not_grow_without_end)
{
    for (int i = 0; i < 1000; i++) {
        char name[32];
        snprintf(name, sizeof name, "/e%d", i);
        request_at(name, METRIC_ISSUED, REASON_NONE);
    }
    request_at("/e3", METRIC_ISSUED, REASON_NONE);
    has("scepd_scep_requests_total{endpoint=\"/e3\",operation=\"PKCSReq\",result=\"issued\"} 2");
    has("scepd_scep_requests_total{endpoint=\"other\",operation=\"PKCSReq\",result=\"issued\"} "
        "921");
    ck_assert_ptr_null(strstr(told(), "/e79\""));
}
END_TEST

START_TEST(codes_are_a_closed_set)
{
    metrics_http(m, METRIC_SCEP, 404);
    metrics_http(m, METRIC_SCEP, 799);
    metrics_http(m, METRIC_ADMIN, -1);
    has("scepd_http_requests_total{listener=\"scep\",code=\"404\"} 1");
    has("scepd_http_requests_total{listener=\"scep\",code=\"other\"} 1");
    has("scepd_http_requests_total{listener=\"admin\",code=\"other\"} 1");
    has("scepd_http_requests_total{listener=\"admin\",code=\"200\"} 0");
}
END_TEST

START_TEST(the_signer)
{
    ck_assert(metrics_signer_reached(m));
    metrics_signer_lost(m);
    ck_assert(!metrics_signer_reached(m));
    metrics_signer_restarted(m);
    has("scepd_signer_restarts_total 1");
}
END_TEST

START_TEST(ocsp)
{
    has("scepd_ocsp_responses_total{status=\"revoked\"} 0"); /* all are there from the start */
    metrics_ocsp_request(m, true, METRIC_OCSP_SHA256);
    metrics_ocsp_request(m, false, METRIC_OCSP_NO_HASH);
    metrics_ocsp_response(m, OCSP_SUCCESSFUL, OCSP_REVOKED);
    metrics_ocsp_response(m, OCSP_MALFORMED_REQUEST, OCSP_GOOD);
    metrics_ocsp_response(m, OCSP_UNAUTHORIZED, OCSP_GOOD);
    metrics_ocsp_cache(m, METRIC_OCSP_CONFIRMED);
    metrics_ocsp_later(m, METRIC_OCSP_QUEUE);
    metrics_ocsp_signed(m, 0.0002);
    metrics_ocsp_cached(m, 7);
    has("scepd_ocsp_requests_total{method=\"POST\",hash=\"SHA-256\"} 1");
    has("scepd_ocsp_requests_total{method=\"GET\",hash=\"none\"} 1");
    has("scepd_ocsp_responses_total{status=\"good\"} 0");
    has("scepd_ocsp_responses_total{status=\"revoked\"} 1");
    has("scepd_ocsp_responses_total{status=\"malformed_request\"} 1");
    has("scepd_ocsp_responses_total{status=\"unauthorized\"} 1");
    has("scepd_ocsp_cache_total{result=\"confirmed\"} 1");
    has("scepd_ocsp_try_later_total{cause=\"queue\"} 1");
    has("scepd_ocsp_signed_duration_seconds_bucket{le=\"0.00025\"} 1");
    has("scepd_ocsp_cached_answers 7");
}
END_TEST

START_TEST(reloads)
{
    has("scepd_config_last_reload_successful 1");
    has("scepd_config_last_reload_timestamp_seconds 1800000000");
    metrics_reloaded(m, false, 1800000001);
    has("scepd_config_last_reload_successful 0");
    has("scepd_config_last_reload_timestamp_seconds 1800000000");
    metrics_reloaded(m, true, 1800000002);
    has("scepd_config_last_reload_timestamp_seconds 1800000002");
}
END_TEST

START_TEST(commits_that_fail)
{
    ck_assert_int_eq(metrics_commit_failed_us(m), 0);
    metrics_commit(m, false, 1, 0.1);
    ck_assert_int_gt(metrics_commit_failed_us(m), 0);
    metrics_commit(m, true, 1, 0.1);
    ck_assert_int_eq(metrics_commit_failed_us(m), 0);
}
END_TEST

START_TEST(without_metrics_nothing_is_counted)
{
    struct metrics *none = NULL;
    metrics_http(none, METRIC_SCEP, 200);
    metrics_commit(none, true, 1, 0.1);
    metrics_queue_wait(none, 1);
    metrics_queue_rejected(none);
    metrics_http_limited(none, METRIC_MAX_BODY);
    metrics_crl_failed(none);
    metrics_log_dropped(none, 1);
    metrics_signer_lost(none);
    metrics_endpoint(none, "/scep");
    ck_assert(metrics_signer_reached(none));
    ck_assert(metrics_reloaded_well(none));
    ck_assert_int_eq(metrics_commit_failed_us(none), 0);
}
END_TEST

#define THREADS 4
#define EACH 20000

static void *count(void *unused)
{
    for (int i = 0; i < EACH; i++) {
        metrics_commit(m, i % 4 != 0, 3, 0.002);
        metrics_queue_wait(m, 0.0001);
        metrics_log_dropped(m, 2);
    }
    return NULL;
}

/* Of those that a reload took out of the configuration nobody is warned. */
START_TEST(webhooks_that_fail)
{
    struct config c = {.webhook_n = 1, .upstream_n = 1};
    unsigned times = 0;
    snprintf(c.webhook[0].name, sizeof c.webhook[0].name, "mdm");
    snprintf(c.upstream[0].name, sizeof c.upstream[0].name, "other");
    for (int i = 0; i < 5; i++)
        metrics_webhook(m, "gone", OUTSIDE_TIMEOUT, 0, 1);
    metrics_webhook(m, "mdm", OUTSIDE_ANSWERED, 500, 1);
    ck_assert_ptr_null(metrics_webhook_failing(m, &c, &times));
    metrics_webhook(m, "mdm", OUTSIDE_UNREACHABLE, 0, 1);
    ck_assert_str_eq(metrics_webhook_failing(m, &c, &times), "mdm");
    ck_assert_uint_eq(times, 2);
    for (int i = 0; i < 3; i++)
        metrics_webhook(m, "other", OUTSIDE_TIMEOUT, 0, 1);
    ck_assert_str_eq(metrics_webhook_failing(m, &c, &times), "other");
    ck_assert_uint_eq(times, 3);
    metrics_webhook(m, "other", OUTSIDE_ANSWERED, 200, 1);
    ck_assert_str_eq(metrics_webhook_failing(m, &c, &times), "mdm");
    snprintf(c.webhook[0].name, sizeof c.webhook[0].name, "gone");
    ck_assert_str_eq(metrics_webhook_failing(m, &c, &times), "gone");
    ck_assert_uint_eq(times, 5);
}
END_TEST

START_TEST(many_threads)
{
    pthread_t thread[THREADS];
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, count, NULL), 0);
    for (int i = 0; i < 20; i++)
        told(); /* meanwhile */
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    has("scepd_store_commits_total 60000");
    has("scepd_store_commit_failures_total 20000");
    has("scepd_store_commit_records_bucket{le=\"2\"} 0");
    has("scepd_store_commit_records_bucket{le=\"4\"} 80000");
    has("scepd_store_commit_records_sum 240000");
    has("scepd_store_commit_duration_seconds_sum 160");
    has("scepd_queue_wait_seconds_count{queue=\"requests\"} 80000");
    has("scepd_log_dropped_total 160000");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("scepd/metrics");
    TCase *c = tcase_create("metrics");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, a_request);
    tcase_add_test(c, alarming_reasons_begin_with_0);
    tcase_add_test(c, names_are_quoted);
    tcase_add_test(c, names_do_not_grow_without_end);
    tcase_add_test(c, codes_are_a_closed_set);
    tcase_add_test(c, the_signer);
    tcase_add_test(c, ocsp);
    tcase_add_test(c, reloads);
    tcase_add_test(c, commits_that_fail);
    tcase_add_test(c, without_metrics_nothing_is_counted);
    tcase_add_test(c, webhooks_that_fail);
    tcase_add_test(c, many_threads);
    suite_add_tcase(s, c);
    return check_main(s);
}
