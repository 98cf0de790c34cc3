/* The page of an upstream from which challenges are read: in all its encodings, and what stands in place of one. */
#include <stdio.h>

#include "check_main.h"
#include "outside/upstream.h"

#define HEAD "<HTML><Head><Meta HTTP-Equiv=\"Content-Type\" Content=\"text/html; charset=UTF-8\">" \
             "<Title>Network Device Enrollment Service</Title></Head><Body BgColor=#FFFFFF><Font ID=locPageFont Face=\"Arial\">"
#define THUMB "<P> The thumbprint (hash value) for the CA certificate is: <B> A656FA66 AB12B433 A2DA5CF7 CC153D9A </B>"
#define SECRET "<P> The enrollment challenge password is: <B> 8CE317021F690069 </B> <P> "
#define ONCE "This password can be used only once and will expire within 60 minutes."
#define TAIL "</Font></Body></HTML>"
static const char page[] = HEAD THUMB SECRET ONCE TAIL;

enum form { AS_IS, LE, LE_MARK, BE, BE_MARK, UTF8_MARK, FORMS };

static struct buf in_form(const char *text, enum form f)
{
    struct buf b = {0};
    static const char *const marks[] = {"", "", "\xff\xfe", "", "\xfe\xff", "\xef\xbb\xbf"};
    ck_assert(buf_append_str(&b, marks[f]));
    for (const char *p = text; *p; p++) {
        const char pair[2] = {f == BE || f == BE_MARK ? '\0' : *p, f == BE || f == BE_MARK ? *p : '\0'};
        ck_assert(buf_append(&b, pair, f == AS_IS || f == UTF8_MARK ? 1 : 2));
    }
    return b;
}

START_TEST(all_forms)
{
    for (enum form f = 0; f < FORMS; f++) {
        struct buf b = in_form(page, f);
        struct upstream_page got = {.secret = ""};
        struct err err = {0};
        ck_assert_msg(upstream_page_read(buf_view(&b), &got, &err), "form %d: %s", (int)f, err.text);
        ck_assert_str_eq(got.secret, "8CE317021F690069");
        ck_assert_uint_eq(got.minutes, 60);
        ck_assert(!got.reusable);
        buf_clear(&b);
    }
}
END_TEST

static void shows(const char *text, const char *secret, bool reusable)
{
    struct upstream_page got = {.secret = ""};
    struct err err = {0};
    ck_assert_msg(upstream_page_read(view_str(text), &got, &err), "%s: %s", text, err.text);
    ck_assert_str_eq(got.secret, secret);
    ck_assert(got.reusable == reusable);
}

START_TEST(other_pages)
{
    shows(HEAD THUMB SECRET "This password can be used multiple times and will not expire." TAIL, "8CE317021F690069", true);
    shows("<p>The Enrollment Challenge Password is:\r\n <b>ab12-CD34.x_y</b>", "ab12-CD34.x_y", false);
    /* another language: label and sentence are not known, the thumbprint is no word */
    shows(HEAD "<P> Der Fingerabdruck lautet: <B> A656FA66 AB12B433 A2DA5CF7 CC153D9A </B><P> Das Kennwort lautet: "
               "<B> 1ED0DD50F7459D6E </B> <P> ..." TAIL, "1ED0DD50F7459D6E", false);
}
END_TEST

static void none(struct view body, enum reason reason)
{
    struct upstream_page got = {.secret = ""};
    struct err err = {0};
    ck_assert(!upstream_page_read(body, &got, &err));
    ck_assert_int_eq(err.kind, ERR_REFUSED);
    ck_assert_int_eq(err.reason, reason);
    ck_assert_str_eq(got.secret, "");
}

START_TEST(no_password)
{
    static const char *const empty[] = {
        "",
        "<",
        "<html>404</html>",
        HEAD THUMB TAIL,
        "The enrollment challenge password is: <B> </B>",
        "The enrollment challenge password is: <B> two words </B> <B> 8CE317021F690069 </B>",
        "The enrollment challenge password is: <B> <script> </B>",
        "The enrollment challenge password is: <B> 8CE317021F690069",
        "<B> 8CE31702",
    };
    for (size_t i = 0; i < sizeof empty / sizeof *empty; i++)
        none(view_str(empty[i]), REASON_UPSTREAM_UNAVAILABLE);
    none(view_str(HEAD "<P> The password cache is full. " TAIL), REASON_UPSTREAM_REFUSED);
    none(view_str(HEAD "<P> You do not have sufficient permission to enroll with SCEP. " TAIL), REASON_UPSTREAM_REFUSED);
    struct buf b = in_form("The password cache is full.", LE);
    none(buf_view(&b), REASON_UPSTREAM_REFUSED);
    buf_reset(&b);
    for (int i = 0; i < 400; i++)
        ck_assert(buf_append_str(&b, "The enrollment challenge password is: <B> aaaaaaaaaaaaaaaaaaaaaaa"));
    none(buf_view(&b), REASON_UPSTREAM_UNAVAILABLE);
    ck_assert(buf_reserve(&b, 300000));
    memset(b.p, 'a', b.n = 300000);
    none(buf_view(&b), REASON_UPSTREAM_UNAVAILABLE);
    buf_clear(&b);
}
END_TEST

/* Cut anywhere, in any form, it is read or refused, and read only when the password is whole. */
START_TEST(cut_pages)
{
    for (enum form f = 0; f < FORMS; f++) {
        struct buf b = in_form(page, f);
        for (size_t n = 0; n <= b.n; n++) {
            struct upstream_page got = {.secret = ""};
            struct err err = {0};
            uint8_t *exact = malloc(n ? n : 1);
            memcpy(exact, b.p, n);
            if (upstream_page_read(view_of(exact, n), &got, &err))
                ck_assert_str_eq(got.secret, "8CE317021F690069");
            free(exact);
        }
        buf_clear(&b);
    }
}
END_TEST

START_TEST(nobody_to_ask)
{
    char secret[UPSTREAM_SECRET_MAX] = "";
    struct err err = {0};
    ck_assert(!upstream_challenge(NULL, "ndes", secret, sizeof secret, &err));
    ck_assert_int_eq(err.reason, REASON_UPSTREAM_UNAVAILABLE);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("upstream");
    TCase *t = tcase_create("all");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, all_forms);
    tcase_add_test(t, other_pages);
    tcase_add_test(t, no_password);
    tcase_add_test(t, cut_pages);
    tcase_add_test(t, nobody_to_ask);
    suite_add_tcase(s, t);
    return check_main(s);
}
