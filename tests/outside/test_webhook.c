/* What is said to webhooks, and what is taken for an answer. */
#include <jansson.h>

#include "check_main.h"
#include "outside/webhook.h"

static struct err err;

static enum webhook_said read_as(enum webhook_said (*f)(const struct outside_answer *, char[256]),
                                 int status, const char *body, char text[256])
{
    struct outside_answer a = {.result = OUTSIDE_ANSWERED, .status = status};
    ck_assert(buf_append_str(&a.body, body));
    enum webhook_said said = f(&a, text);
    ck_assert_uint_lt(strlen(text), 256);
    outside_answer_clear(&a);
    return said;
}

START_TEST(verdicts)
{
    static const char *const none[] = {"",
                                       "{}",
                                       "[]",
                                       "null",
                                       "true",
                                       "{\"allow\":1}",
                                       "{\"allow\":\"true\"}",
                                       "{\"allow\":null}",
                                       "{\"allow\":true,\"allow\":true}",
                                       "{\"allow\":true}x",
                                       "{\"allow\":true",
                                       "\xff"};
    char text[256];
    ck_assert_int_eq(read_as(webhook_read, 200, "{\"allow\":true}", text), WEBHOOK_ALLOWED);
    ck_assert_int_eq(read_as(webhook_read, 200, "{\"allow\":false,\"reason\":\"a\\nb\"}", text),
                     WEBHOOK_DENIED);
    ck_assert_str_eq(text, "a\\x0ab");
    ck_assert_int_eq(read_as(webhook_read, 200, "{\"allow\":false,\"reason\":7}", text),
                     WEBHOOK_DENIED);
    ck_assert_str_eq(text, "no reason was given");
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        ck_assert_int_eq(read_as(webhook_read, 200, none[i], text), WEBHOOK_NOTHING);
    ck_assert_int_eq(read_as(webhook_read, 201, "{\"allow\":true}", text), WEBHOOK_NOTHING);
    struct outside_answer late = {.result = OUTSIDE_TIMEOUT, .text = "its time is over"};
    ck_assert_int_eq(webhook_read(&late, text), WEBHOOK_NOTHING);
    ck_assert_str_eq(text, "its time is over");
}
END_TEST

START_TEST(codes)
{
    char text[256];
    ck_assert_int_eq(read_as(intune_read, 200, "{\"code\":\"Success\"}", text), WEBHOOK_ALLOWED);
    ck_assert_int_eq(read_as(intune_read, 200,
                             "{\"code\":\"ChallengeExpired\",\"errorDescription\":\"old\"}", text),
                     WEBHOOK_DENIED);
    ck_assert_str_eq(text, "ChallengeExpired: old");
    ck_assert_int_eq(read_as(intune_read, 200, "{\"code\":\"success\"}", text), WEBHOOK_DENIED);
    ck_assert_int_eq(read_as(intune_read, 200, "{\"code\":\"\"}", text), WEBHOOK_NOTHING);
    ck_assert_int_eq(read_as(intune_read, 500, "{\"code\":\"Success\"}", text), WEBHOOK_NOTHING);
}
END_TEST

/* Names of devices are written by their owners. */
START_TEST(hostile_names)
{
    struct buf out = {0};
    json_error_t why;
    const struct webhook_facts f = {.event = "issued",
                                    .id = "evt_1",
                                    .at = 1700000000,
                                    .subject = "CN=\"},{\"allow\":true,\xff\xfe\r\n",
                                    .challenge = {(const uint8_t *)"\"\\", 2},
                                    .serial = "0a",
                                    .certificate = {(const uint8_t *)"der", 3}};
    ck_assert(webhook_json(&f, &out, &err));
    json_t *o = json_loadb((char *)out.p, out.n, JSON_REJECT_DUPLICATES, &why);
    ck_assert_msg(o != NULL, "%s", why.text);
    ck_assert_str_eq(json_string_value(json_object_get(o, "subject")),
                     "CN=\"},{\"allow\":true,\\xff\\xfe\\x0d\\x0a");
    ck_assert_str_eq(json_string_value(json_object_get(o, "challenge")), "\"\\");
    ck_assert_str_eq(json_string_value(json_object_get(o, "certificate")), "ZGVy");
    ck_assert_str_eq(json_string_value(json_object_get(o, "at")), "2023-11-14T22:13:20Z");
    ck_assert(json_is_null(json_object_get(o, "device")));
    ck_assert_ptr_null(json_object_get(o, "allow"));
    json_decref(o);
    buf_clear(&out);
}
END_TEST

START_TEST(failure_of_intune)
{
    struct buf out = {0};
    char detail[600];
    memset(detail, 'x', sizeof detail - 1);
    detail[sizeof detail - 1] = '\0';
    const struct webhook_facts f = {.event = "refused",
                                    .transaction = "T1",
                                    .csr = {(const uint8_t *)"csr", 3},
                                    .reason = "subject.forbidden",
                                    .detail = detail,
                                    .hresult = 0x80094001};
    ck_assert(intune_failure_json(&f, &out, &err));
    json_t *o = json_loadb((char *)out.p, out.n, 0, NULL), *n = json_object_get(o, "notification");
    ck_assert_int_eq(json_integer_value(json_object_get(n, "hResult")), (int32_t)0x80094001);
    ck_assert_uint_le(strlen(json_string_value(json_object_get(n, "errorDescription"))), 255);
    json_decref(o);
    buf_clear(&out);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("outside/webhook");
    TCase *c = tcase_create("webhook");
    tcase_add_test(c, verdicts);
    tcase_add_test(c, codes);
    tcase_add_test(c, hostile_names);
    tcase_add_test(c, failure_of_intune);
    suite_add_tcase(s, c);
    return check_main(s);
}
