/* The query strings of real clients: each encodes the same message its own way. */
#include <openssl/evp.h>
#include <stdio.h>

#include "check_main.h"
#include "http/http.h"

#define MESSAGE_SIZE 1501 /* leaves one octet over: "==" stands at the end */

static uint8_t message[MESSAGE_SIZE];
static char plain[2100]; /* base64 in one line */

static void setup(void)
{
    for (size_t i = 0; i < MESSAGE_SIZE; i++)
        message[i] = (uint8_t)(i * 37 + i / 256 * 11 + (i % 7 ? 0xf8 : 0));
    EVP_EncodeBlock((unsigned char *)plain, message, MESSAGE_SIZE);
    ck_assert_ptr_nonnull(strchr(plain, '+'));
    ck_assert_ptr_nonnull(strchr(plain, '/'));
    ck_assert_str_eq(plain + strlen(plain) - 2, "==");
}

struct style {
    const char *name, *before, *after;
    size_t line; /* 0: one line */
    const char *newline;
    const char *escape; /* characters written as %XX */
    bool url_alphabet, no_padding, plus_is_blank;
};

static const struct style styles[] = {
    {"sscep", "operation=PKIOperation&message=", "", 64, "%0A", "+=", false, false, false},
    {"strongswan", "operation=PKIOperation&message=", "", 64, "%0A", "+", false, false, false},
    {"certmonger", "operation=PKIOperation&message=", "", 0, "", "+/=", false, false, false},
    {"micromdm", "message=", "&operation=PKIOperation", 0, "", "=", true, false, false},
    {"jscep", "operation=PKIOperation&message=", "", 0, "", "", false, false, false},
    {"apple", "operation=PKIOperation&message=", "", 0, "", "+/=", false, false, false},
    {"without padding", "operation=PKIOperation&message=", "", 0, "", "+/", false, true, false},
    {"blanks for plus", "operation=PKIOperation&message=", "", 0, "", "/=", false, false, true},
    {"CR LF lines", "operation=PKIOperation&message=", "", 76, "%0D%0A", "+/=", false, false,
     false},
};

static void encode(const struct style *s, struct buf *out)
{
    buf_append_str(out, s->before);
    for (size_t i = 0; plain[i]; i++) {
        char c = plain[i];
        if (c == '=' && s->no_padding)
            break;
        if (s->url_alphabet)
            c = c == '+' ? '-' : c == '/' ? '_' : c;
        if (s->plus_is_blank && c == '+')
            c = ' ';
        if (c == ' ')
            buf_append_str(out, "%20");
        else if (strchr(s->escape, c))
            buf_printf(out, "%%%02X", (unsigned char)c);
        else
            buf_append(out, &c, 1);
        if (s->line && i % s->line == s->line - 1)
            buf_append_str(out, s->newline);
    }
    if (s->line)
        buf_append_str(out, s->newline);
    buf_append_str(out, s->after);
    buf_append(out, "", 1);
}

/* RFC 8894 section 4.1 */
START_TEST(every_client)
{
    const struct style *s = &styles[_i];
    struct buf query = {0}, text = {0}, operation = {0}, out = {0};
    struct err err = {0};
    encode(s, &query);
    const char *q = (const char *)query.p;
    ck_assert_msg(http_query_get(q, "operation", &operation), "%s", s->name);
    ck_assert(view_eq(buf_view(&operation), view_str("PKIOperation")));
    ck_assert(http_query_get(q, "message", &text));
    ck_assert_msg(http_query_base64(buf_view(&text), &out, &err), "%s: %s", s->name, err.text);
    ck_assert_msg(view_eq(buf_view(&out), view_of(message, MESSAGE_SIZE)), "%s", s->name);
    buf_clear(&query);
    buf_clear(&text);
    buf_clear(&operation);
    buf_clear(&out);
}
END_TEST

static bool get(const char *query, const char *name, char *out)
{
    struct buf b = {0};
    bool found = http_query_get(query, name, &b);
    memcpy(out, b.p ? b.p : (const uint8_t *)"", b.n);
    out[b.n] = '\0';
    buf_clear(&b);
    return found;
}

START_TEST(parameters)
{
    char v[64];
    ck_assert(get("operation=GetCACert&message=CAIdentifier", "message", v));
    ck_assert_str_eq(v, "CAIdentifier");
    ck_assert(get("operation=GetCACaps&message=", "message", v));
    ck_assert_str_eq(v, "");
    ck_assert(get("operation=GetCACaps&message", "message", v)); /* without '=' */
    ck_assert_str_eq(v, "");
    ck_assert(get("&&x=1&operation=a%2Fb+c", "operation", v)); /* '+' stays */
    ck_assert_str_eq(v, "a/b+c");
    ck_assert(get("m=1&m=2", "m", v)); /* the first wins */
    ck_assert_str_eq(v, "1");
    ck_assert(get("m=a=b", "m", v));
    ck_assert_str_eq(v, "a=b");
}
END_TEST

START_TEST(no_such_parameter)
{
    char v[64];
    ck_assert(!get("", "operation", v));
    ck_assert(!get("?(null)", "operation", v)); /* certmonger's helper run by hand */
    ck_assert(!get("operations=1&xoperation=2", "operation", v));
    ck_assert(!get("operation%3d=1", "operation", v));
}
END_TEST

START_TEST(bad_escapes)
{
    static const char *const bad[] = {"m=%", "m=%4", "m=%4g", "m=ab%zz", "m=a%2&x=41"};
    char v[64];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ck_assert_msg(!get(bad[i], "m", v), "%s", bad[i]);
        ck_assert_str_eq(v, "");
    }
}
END_TEST

START_TEST(a_nul_is_a_byte)
{
    struct buf b = {0}, out = {0};
    struct err err = {0};
    ck_assert(http_query_get("m=TUl%00J", "m", &b));
    ck_assert_uint_eq(b.n, 5);
    ck_assert(!http_query_base64(buf_view(&b), &out, &err));
    ck_assert_int_eq(err.reason, REASON_HTTP_MALFORMED);
    buf_clear(&b);
    buf_clear(&out);
}
END_TEST

START_TEST(base64_by_length)
{
    struct buf out = {0};
    struct err err = {0};
    ck_assert(http_query_base64(view_str("TWFu"), &out, &err));
    ck_assert(view_eq(buf_view(&out), view_str("Man")));
    ck_assert(http_query_base64(view_str("TWE="), &out, &err));
    ck_assert(view_eq(buf_view(&out), view_str("Ma")));
    ck_assert(http_query_base64(view_str("TQ==\r\n \n"), &out, &err));
    ck_assert(view_eq(buf_view(&out), view_str("M")));
    ck_assert(http_query_base64(view_str("TQ"), &out, &err));
    ck_assert(view_eq(buf_view(&out), view_str("M")));
    buf_clear(&out);
}
END_TEST

START_TEST(base64_refused)
{
    static const char *const bad[] = {"",     "\n\n",  "====", "T",         "TWFuT",
                                      "TW=u", "TQ===", "TWF*", "0\x82\x01", "{}"};
    struct buf out = {0};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err err = {0};
        ck_assert_msg(!http_query_base64(view_str(bad[i]), &out, &err), "\"%s\"", bad[i]);
        ck_assert_int_eq(err.kind, ERR_REFUSED);
        ck_assert_int_eq(err.reason, REASON_HTTP_MALFORMED);
    }
    buf_clear(&out);
}
END_TEST

/* RFC 9110 sections 12.4.2 and 12.5.3 */
START_TEST(codings_that_are_accepted)
{
    static const struct {
        const char *says;
        bool gzip;
    } c[] = {
        {NULL, false},
        {"", false},
        {",,", false},
        {"identity", false},
        {"gzip", true},
        {"GZIP", true},
        {"gzip, deflate, br, zstd", true},
        {"br;q=1.0,gzip;q=0.001", true},
        {"deflate ,\tgzip ; q=0.5", true},
        {"gzip;q=0", false},
        {"gzip; q=0.000, br", false},
        {"gzip;Q=0", false},
        {"gzip;q=0, *", false},
        {"*", true},
        {"*;q=0", false},
        {"*;q=0, gzip", true},
        {"identity;q=1, *;q=0", false},
        {"xgzip, gzipped, x-gzip", false},
        {"br;q=1;gzip", false},
        {"gzip;", true},
        {"gzip;q", true},
        {"gzip;q=", false},
        {"*gzip", false},
    };
    for (size_t i = 0; i < sizeof c / sizeof *c; i++)
        ck_assert_msg(http_accepts(c[i].says, "gzip") == c[i].gzip, "\"%s\"",
                      c[i].says ? c[i].says : "no header");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("http/http_query");
    TCase *c = tcase_create("query");
    tcase_add_checked_fixture(c, setup, NULL);
    tcase_add_loop_test(c, every_client, 0, sizeof styles / sizeof *styles);
    tcase_add_test(c, parameters);
    tcase_add_test(c, no_such_parameter);
    tcase_add_test(c, bad_escapes);
    tcase_add_test(c, a_nul_is_a_byte);
    tcase_add_test(c, base64_by_length);
    tcase_add_test(c, base64_refused);
    tcase_add_test(c, codings_that_are_accepted);
    suite_add_tcase(s, c);
    return check_main(s);
}
