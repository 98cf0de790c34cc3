/* What is taken for a certificate that Intune wants revoked, and what is said of it. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "check_main.h"
#include "outside/revocations.h"

static struct err err;
static struct intune_revocations list;

static bool read_answer(int status, const char *body, size_t n)
{
    struct outside_answer a = {.result = OUTSIDE_ANSWERED, .status = status};
    intune_revocations_clear(&list);
    ck_assert(buf_append(&a.body, body, n));
    err = (struct err){0};
    bool ok = intune_queue_read(&a, INTUNE_QUEUE_MAX, &list, &err);
    outside_answer_clear(&a);
    ck_assert(ok || (err.kind == ERR_IO && err.text[0] && list.n == 0 && !list.item));
    return ok;
}

static bool read_text(const char *body)
{
    return read_answer(200, body, strlen(body));
}

static const char *serial_of(const char *text)
{
    static char out[2 * INTUNE_SERIAL_MAX + 1];
    char body[512];
    snprintf(body, sizeof body, "{\"value\":[{\"requestContext\":\"c\",\"serialNumber\":\"%s\"}]}",
             text);
    ck_assert(read_text(body));
    ck_assert_uint_eq(list.n, 1);
    hex_encode(view_of(list.item[0].serial, list.item[0].serial_len), out);
    return out;
}

static void teardown(void)
{
    intune_revocations_clear(&list);
}

START_TEST(serials)
{
    char digits[2 * INTUNE_SERIAL_MAX + 3];
    ck_assert_str_eq(serial_of("0a1b"), "0a1b");
    ck_assert_str_eq(serial_of("A1B"), "0a1b");
    ck_assert_str_eq(serial_of("0A:1B:2c"), "0a1b2c");
    ck_assert_str_eq(serial_of("00000a1b"), "0a1b");
    ck_assert_str_eq(serial_of("0"), "00");
    /* a positive INTEGER, X.690 section 8.3 */
    ck_assert_str_eq(serial_of("80"), "0080");
    ck_assert_str_eq(serial_of("000080"), "0080");
    static const char *const none[] = {"", ":", "x", "0x1b", "1b ", "-1", "1g", "1.5"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        ck_assert_str_eq(serial_of(none[i]), "");
    memset(digits, '7', sizeof digits);
    digits[2 * INTUNE_SERIAL_MAX] = '\0';
    ck_assert_str_eq(serial_of(digits), digits);
    ck_assert_uint_eq(INTUNE_SERIAL_MAX, STORE_SERIAL_MAX); /* what the store has can be named */
    char padded[8 * INTUNE_SERIAL_MAX];
    snprintf(padded, sizeof padded, "%0*d%s", 3 * INTUNE_SERIAL_MAX, 0, digits);
    ck_assert_str_eq(serial_of(padded), digits);
    ck_assert_str_eq(serial_of(":0:"), "00");
    digits[0] = '8'; /* one octet more with its sign */
    ck_assert_str_eq(serial_of(digits), "");
    digits[2 * INTUNE_SERIAL_MAX] = '7';
    digits[2 * INTUNE_SERIAL_MAX + 1] = '\0';
    ck_assert_str_eq(serial_of(digits), "");
}
END_TEST

START_TEST(lists)
{
    static const char *const none[] = {"",
                                       "[]",
                                       "{}",
                                       "null",
                                       "{\"value\":null}",
                                       "{\"value\":{}}",
                                       "{\"value\":true}",
                                       "{\"value\":[]",
                                       "{\"value\":[]}x",
                                       "{\"value\":[],\"value\":[]}",
                                       "{\"value\":[{\"requestContext\":\"a\\u0000b\"}]}",
                                       "{\"value\":[\"\xff\"]}"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        ck_assert_msg(!read_text(none[i]), "%s", none[i]);
    ck_assert(!read_answer(404, "{\"value\":[]}", 12));
    ck_assert(!read_answer(302, "{\"value\":[]}", 12));
    ck_assert(read_answer(200, "{\"value\":[]}", 12));
    ck_assert_uint_eq(list.n, 0);
    ck_assert(
        read_text("{\"@odata.context\":\"x\",\"value\":[1,null,[],{},{\"requestContext\":7},"
                  "{\"requestContext\":\"\"},{\"requestContext\":\"a\",\"serialNumber\":7,"
                  "\"issuerName\":[]},{\"requestContext\":\"a\",\"serialNumber\":\"01\"},"
                  "{\"requestContext\":\"b\",\"serialNumber\":\"01\",\"issuerName\":\"CN=X\"}]}"));
    ck_assert_uint_eq(list.given, 9);
    ck_assert_uint_eq(list.n, 2);
    ck_assert_str_eq(list.item[0].context, "a");
    ck_assert_uint_eq(list.item[0].serial_len, 0);
    ck_assert_str_eq(list.item[1].issuer, "CN=X");
    struct outside_answer late = {.result = OUTSIDE_TIMEOUT, .text = "its time is over"};
    intune_revocations_clear(&list);
    ck_assert(!intune_queue_read(&late, 1, &list, &err));
    ck_assert_str_eq(err.text, "its time is over");
}
END_TEST

START_TEST(too_many)
{
    struct buf b = {0};
    ck_assert(buf_append_str(&b, "{\"value\":[1"));
    for (int i = 0; i < INTUNE_QUEUE_MAX - 1; i++)
        ck_assert(buf_append_str(&b, ",1"));
    ck_assert(buf_append_str(&b, "]}"));
    ck_assert(read_answer(200, (char *)b.p, b.n));
    b.n -= 2;
    ck_assert(buf_append_str(&b, ",1]}"));
    ck_assert(!read_answer(200, (char *)b.p, b.n));
    buf_clear(&b);
}
END_TEST

/* Only what is answered, word for word; the same context again. */
START_TEST(reports)
{
    struct buf b = {0};
    json_error_t why;
    ck_assert(
        read_text("{\"value\":[{\"requestContext\":\"a\\n\\u00fc\\\"\"},{\"requestContext\":\"b\"},"
                  "{\"requestContext\":\"c\"}]}"));
    list.item[0].answered = list.item[2].answered = true;
    list.item[2].code = INTUNE_CODE_NOT_FOUND;
    snprintf(list.item[2].text, sizeof list.item[2].text, "none");
    ck_assert(intune_queue_report_json(&list, &b, &err));
    json_t *o = json_loadb((char *)b.p, b.n, 0, &why);
    json_t *wanted = json_pack("{s:[{s:s,s:b,s:s,s:s},{s:s,s:b,s:s,s:s}]}", "results",
                               "requestContext", "a\n\xc3\xbc\"", "succeeded", 1, "errorCode", "0",
                               "errorMessage", "", "requestContext", "c", "succeeded", 0,
                               "errorCode", "4004", "errorMessage", "none");
    ck_assert(wanted && json_equal(o, wanted));
    json_decref(o);
    json_decref(wanted);
    buf_clear(&b);
    ck_assert(intune_queue_fetch_json(5, &b, &err) && buf_append(&b, "", 1));
    ck_assert_str_eq((char *)b.p,
                     "{\"downloadParameters\":{\"maxRequests\":5,\"issuerName\":null}}");
    buf_clear(&b);
}
END_TEST

START_TEST(taken)
{
    static const char *const not [] = {
        "", "{}", "{\"value\":1}", "{\"value\":\"true\"}", "{\"value\":false}", "[true]", "true"};
    struct outside_answer a = {.result = OUTSIDE_ANSWERED, .status = 200};
    for (size_t i = 0; i < sizeof not / sizeof *not ; i++) {
        buf_reset(&a.body);
        ck_assert(buf_append_str(&a.body, not [i]));
        ck_assert_msg(!intune_queue_taken(&a, &err), "%s", not [i]);
    }
    buf_reset(&a.body);
    ck_assert(buf_append_str(&a.body, "{\"value\":true}"));
    ck_assert(intune_queue_taken(&a, &err));
    a.status = 400;
    ck_assert(!intune_queue_taken(&a, &err));
    outside_answer_clear(&a);
}
END_TEST

/* A good answer with octets changed, taken away and doubled: an answer, or none, and no crash. */
START_TEST(changed)
{
    static const char good[] =
        "{\"value\":[{\"requestContext\":\"eyJ\\u00e4\",\"serialNumber\":\"00:80ab\","
        "\"issuerName\":"
        "\"CN=Test "
        "CA\",\"caConfiguration\":\"/intune\"},{\"requestContext\":\"b\",\"serialNumber\":"
        "\"7f\"}]}";
    char body[2 * sizeof good];
    unsigned believed = 0;
    srandom(7);
    for (int i = 0; i < 50000; i++) {
        size_t n = sizeof good - 1;
        memcpy(body, good, n);
        for (long k = random() % 4; k >= 0; k--) {
            size_t at = (size_t)random() % n, more = (size_t)random() % 8;
            if (random() % 3 == 0) {
                body[at] = (char)random();
            } else if (random() % 2 && n + more < sizeof body && at + more < n) {
                memmove(body + at + more, body + at, n - at);
                n += more;
            } else if (at + more < n) {
                memmove(body + at, body + at + more, n - at - more);
                n -= more;
            }
        }
        believed += read_answer(200, body, n);
        ck_assert_uint_le(list.n, list.given);
        for (size_t k = 0; k < list.n; k++)
            ck_assert(list.item[k].context[0] &&
                      list.item[k].serial_len <= sizeof list.item[k].serial);
    }
    ck_assert_uint_gt(believed, 100);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("outside/revocations");
    TCase *t = tcase_create("revocations");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, NULL, teardown);
    tcase_add_test(t, serials);
    tcase_add_test(t, lists);
    tcase_add_test(t, too_many);
    tcase_add_test(t, reports);
    tcase_add_test(t, taken);
    tcase_add_test(t, changed);
    suite_add_tcase(s, t);
    return check_main(s);
}
