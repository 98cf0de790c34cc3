/* Frames between who asks and who knows how: whole ones, and everything else. */
#include <stdio.h>

#include "check_main.h"
#include "wire.h"

static struct err err;

static const struct outside_ask question = {.kind = OUTSIDE_UPSTREAM,
                                            .name = "ndes",
                                            .post = true,
                                            .suffix = "?operation=PKIOperation",
                                            .content_type = "application/x-pki-message",
                                            .body = {(const uint8_t *)"body", 4},
                                            .repeatable = true};

START_TEST(question_and_back)
{
    struct buf b = {0};
    struct wire_question q;
    ck_assert(wire_put_ask(&b, 42, &question, &err));
    ck_assert_int_eq(wire_frame(&b), (ssize_t)b.n);
    ck_assert(wire_read_ask(buf_view(&b), &q));
    ck_assert_uint_eq(q.number, 42);
    ck_assert_int_eq(q.kind, OUTSIDE_UPSTREAM);
    ck_assert(q.post && q.repeatable);
    ck_assert(view_eq(q.name, view_str("ndes")) && view_eq(q.body, view_str("body")));
    ck_assert(view_eq(q.suffix, view_str(question.suffix)));
    ck_assert(view_eq(q.type, view_str(question.content_type)));
    buf_clear(&b);
}
END_TEST

START_TEST(answer_and_back)
{
    struct buf b = {0};
    struct outside_answer a = {.result = OUTSIDE_ANSWERED,
                               .status = 200,
                               .content_type = "application/json",
                               .text = "",
                               .retry_after = 7,
                               .seconds = 0.5},
                          got = {0};
    uint64_t number = 0;
    ck_assert(buf_append_str(&a.body, "{}"));
    ck_assert(wire_put_answer(&b, 9, &a));
    ck_assert(wire_read_answer(buf_view(&b), &number, &got));
    ck_assert_uint_eq(number, 9);
    ck_assert_int_eq(got.status, 200);
    ck_assert_uint_eq(got.retry_after, 7);
    ck_assert_str_eq(got.content_type, "application/json");
    ck_assert(view_eq(buf_view(&got.body), view_str("{}")));
    outside_answer_clear(&got);
    outside_answer_clear(&a);
    buf_clear(&b);
}
END_TEST

/* Cut at every octet, and every octet of the head turned over: no frame, or one whose parts lie in
 * it. */
START_TEST(damaged)
{
    struct buf b = {0};
    struct wire_question q;
    ck_assert(wire_put_ask(&b, 1, &question, &err));
    for (size_t n = 0; n < b.n; n++) {
        struct buf cut = {.p = b.p, .n = n, .cap = n};
        ck_assert_int_eq(wire_frame(&cut), 0);
        ck_assert(!wire_read_ask(view_of(b.p, n), &q));
    }
    for (size_t i = 0; i < sizeof(struct wire_ask); i++)
        for (int bit = 0; bit < 8; bit++) {
            struct outside_answer a = {0};
            uint64_t number;
            b.p[i] ^= (uint8_t)(1 << bit);
            ssize_t n = wire_frame(&b);
            if (n > 0 && wire_read_ask(view_of(b.p, (size_t)n), &q))
                ck_assert(q.body.p + q.body.n <= b.p + b.n);
            if (n > 0 && wire_read_answer(view_of(b.p, (size_t)n), &number, &a))
                outside_answer_clear(&a);
            b.p[i] ^= (uint8_t)(1 << bit);
        }
    buf_clear(&b);
}
END_TEST

static void refused(struct outside_ask q)
{
    struct buf b = {0};
    err_clear(&err);
    ck_assert(!wire_put_ask(&b, 1, &q, &err));
    ck_assert_int_eq(err.kind, ERR_CONFIG);
    buf_clear(&b);
}

/* What would become another header or another request never leaves. */
START_TEST(odd_questions)
{
    static const char *const suffixes[] = {" HTTP/1.1\r\nX: y", "?a b", "\x7f", "\xc3\xa4", "?a\n"};
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        struct outside_ask q = question;
        q.suffix = suffixes[i];
        refused(q);
    }
    struct outside_ask type = question, body = question;
    type.content_type = "text/plain\r\nX: y";
    refused(type);
    body.body.n = OUTSIDE_MAX_BODY + 1;
    refused(body);
}
END_TEST

/* Nor does it when the other side of the socket is not what it was. */
START_TEST(odd_frames)
{
    struct buf b = {0};
    struct wire_question q;
    size_t type = sizeof(struct wire_ask) + strlen(question.name);
    size_t suffix = type + strlen(question.content_type);
    ck_assert(wire_put_ask(&b, 1, &question, &err));
    const size_t at[] = {type + 3, suffix + 3};
    for (size_t i = 0; i < 2; i++) {
        uint8_t before = b.p[at[i]];
        b.p[at[i]] = '\n';
        ck_assert(!wire_read_ask(buf_view(&b), &q));
        b.p[at[i]] = before;
        ck_assert(wire_read_ask(buf_view(&b), &q));
    }
    buf_clear(&b);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("outside/wire");
    TCase *c = tcase_create("wire");
    tcase_add_test(c, question_and_back);
    tcase_add_test(c, answer_and_back);
    tcase_add_test(c, damaged);
    tcase_add_test(c, odd_questions);
    tcase_add_test(c, odd_frames);
    suite_add_tcase(s, c);
    return check_main(s);
}
