/* The list of reasons is whole: each can be found by its code, and explains itself. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/reason_help.h"
#include "check_main.h"

START_TEST(each_has_its_words)
{
    const struct reason_info *info = reason_info((enum reason)_i);
    const struct reason_help *help = reason_help((enum reason)_i);
    char screen[1024];
    ck_assert_int_eq(reason_by_code(info->code), _i);
    ck_assert_uint_gt(strlen(info->text), 10);
    ck_assert_msg(*help->cause != '\0', "%s has no row in base/reason_help.c", info->code);
    ck_assert_uint_gt(strlen(help->cause), 20);
    ck_assert_uint_gt(strlen(help->fix), 20);
    ck_assert_int_eq(help->cause[strlen(help->cause) - 1], '.');
    reason_screen((enum reason)_i, screen, sizeof screen);
    ck_assert_uint_gt(strlen(screen), 20);
    ck_assert_uint_lt(strlen(screen), sizeof screen - 1);
}
END_TEST

/* Two words with a dot between: what logs, metrics and manuals rely on. */
START_TEST(each_code_has_one_form)
{
    const char *code = reason_info((enum reason)_i)->code;
    ck_assert_uint_lt(strlen(code), 32); /* the field of an attempt */
    for (const char *p = code; *p; p++)
        ck_assert(islower((unsigned char)*p) || *p == '_' || *p == '.');
    for (int i = 1; i < _i; i++)
        ck_assert_str_ne(reason_info((enum reason)i)->code, code);
}
END_TEST

/* Windows shows the text of the HRESULT: one that it does not have would show as a number. */
START_TEST(each_hresult_has_a_text)
{
    const struct reason_info *info = reason_info((enum reason)_i);
    if (info->hresult)
        ck_assert_msg(reason_hresult_text(info->hresult) != NULL, "%s: 0x%08x", info->code,
                      (unsigned)info->hresult);
    else
        ck_assert_msg(reason_help((enum reason)_i)->screen != NULL, "%s has no screen", info->code);
}
END_TEST

/* Only names of values that explain can put in. */
START_TEST(each_placeholder_is_known)
{
    static const char *const known[] = {"{subject}",     "{endpoint}",  "{peer}",
                                        "{transaction}", "{challenge}", "{request}",
                                        "{signer}",      "{key}",       "{template}",
                                        "{device}",      "{policy}",    "{for}"};
    const struct reason_help *help = reason_help((enum reason)_i);
    const char *texts[] = {help->cause, help->fix};
    for (size_t t = 0; t < 2; t++)
        for (const char *p = strchr(texts[t], '{'); p; p = strchr(p + 1, '{')) {
            bool found = false;
            for (size_t i = 0; i < sizeof known / sizeof *known; i++)
                found = found || strncmp(p, known[i], strlen(known[i])) == 0;
            ck_assert_msg(found, "%s", p);
        }
}
END_TEST

START_TEST(none)
{
    char screen[16] = "x";
    reason_screen(REASON_NONE, screen, sizeof screen);
    ck_assert_str_eq(screen, "");
    ck_assert_str_eq(reason_help(REASON_NONE)->cause, "");
    ck_assert_str_eq(reason_help((enum reason)REASON_COUNT)->cause, "");
    ck_assert_int_eq(reason_by_code("no.such_reason"), REASON_NONE);
    ck_assert_int_eq(reason_by_code(""), REASON_NONE);
    ck_assert_ptr_null(reason_hresult_text(1));
    ck_assert_str_eq(fail_info_name(FAIL_BAD_CERT_ID), "badCertId");
    ck_assert_ptr_null(fail_info_name(5));
    ck_assert_ptr_null(fail_info_name(-1));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("reason");
    TCase *c = tcase_create("reason");
    tcase_add_loop_test(c, each_has_its_words, 1, REASON_COUNT);
    tcase_add_loop_test(c, each_code_has_one_form, 1, REASON_COUNT);
    tcase_add_loop_test(c, each_hresult_has_a_text, 1, REASON_COUNT);
    tcase_add_loop_test(c, each_placeholder_is_known, 1, REASON_COUNT);
    tcase_add_test(c, none);
    suite_add_tcase(s, c);
    return check_main(s);
}
