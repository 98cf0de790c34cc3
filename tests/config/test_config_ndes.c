/* Pages of ndes and challenge hooks: what they need, what each is refused for. */
#include "config_world.h"

START_TEST(ndes_pages)
{
    write_file("keys/static-challenge", "8CE317021F690069\n", 0600);
    struct config *c = behind_accepted(
        "ndes = ( { endpoint = \"/scep\"; }, { endpoint = \"/two\"; path = \"/pages/two\"; "
        "encoding = \"utf-8\"; password_length = 16; validity = \"10m\"; cache = 5; "
        "single_password = true; } );");
    ck_assert_uint_eq(c->ndes_n, 2);
    ck_assert_str_eq(c->ndes[0].path, "/certsrv/mscep_admin");
    ck_assert_int_eq(c->ndes[0].encoding, NDES_UTF16);
    ck_assert_int_eq(c->ndes[0].password_length, 8);
    ck_assert_int_eq(c->ndes[0].validity, 3600);
    ck_assert_int_eq(c->ndes[0].cache, 10000);
    ck_assert(!c->ndes[0].single_password && c->ndes[1].single_password);
    ck_assert_int_eq(c->ndes[1].encoding, NDES_UTF8);
    config_free(c);
    behind_refused("ndes = { };",
                   "25: ndes must be a list of one or more groups: ndes = ( { ... }, "
                   "{ ... } );\n");
    behind_refused("ndes = ( { } );", "25: ndes page needs \"endpoint\"\n");
    behind_refused(
        "ndes = ( { endpoint = \"/skep\"; } );",
        "25: ndes page \"/certsrv/mscep_admin\": there is no endpoint \"/skep\" (did you "
        "mean \"/scep\"?)\n");
    behind_refused("ndes = ( { endpoint = \"/two\"; } );",
                   "25: ndes page \"/certsrv/mscep_admin\": endpoint \"/two\" takes no one-time "
                   "challenges\n");
    behind_refused("ndes = ( { endpoint = \"/scep\"; single_password = true; } );",
                   "25: ndes page \"/certsrv/mscep_admin\": single_password needs challenge = "
                   "\"static\" at endpoint \"/scep\"\n");
    behind_refused(
        "ndes = ( { endpoint = \"/scep\"; }, { endpoint = \"/scep\"; path = "
        "\"/CertSrv/mscep_admin\"; } );",
        "25: ndes page \"/CertSrv/mscep_admin\" stands twice: give each page a path of its "
        "own\n");
    behind_refused("ndes = ( { endpoint = \"/scep\"; path = \"/API/v1\"; } );",
                   "25: ndes page \"/API/v1\": the API itself has that path\n");
    behind_refused(
        "ndes = ( { endpoint = \"/scep\"; path = \"/a b\"; } );",
        "25: path \"/a b\" must begin with /, must not end in / and has only characters of "
        "a plain URL path\n");
    behind_refused("ndes = ( { endpoint = \"/scep\"; password_length = 4; } );",
                   "25: password_length = 4 is out of range: 8 to 31\n");
    behind_refused("ndes = ( { endpoint = \"/scep\"; encoding = \"utf-32\"; } );",
                   "25: encoding = \"utf-32\" is none of: utf-16, utf-16le, utf-8 (did you mean "
                   "\"utf-16\"?)\n");
}
END_TEST

START_TEST(they_need_the_api)
{
    refused(BEHIND_THE_LAST, BEHIND_THE_LAST "ndes = ( { endpoint = \"/scep\"; } );\n",
            "25: pages of ndes are served at the listener of the API: set api.port, and a "
            "certificate for it\n");
    refused(BEHIND_THE_LAST,
            BEHIND_THE_LAST "challenge_hooks = ( { name = \"a\"; endpoint = \"/scep\"; } );\n",
            "25: challenge_hooks are served at the listener of the API: set api.port, and a "
            "certificate for it\n");
}
END_TEST

START_TEST(a_relay_knows_no_challenge_of_ours)
{
    static char text[8192];
    snprintf(text, sizeof text, "%s" API "ndes = ( { endpoint = \"/relay\"; } );\n",
             relay_text("ndes", ""));
    ck_assert_ptr_null(load(text));
    ck_assert_msg(strstr(told,
                         "ndes page \"/certsrv/mscep_admin\": endpoint \"/relay\" hands "
                         "everything on to an upstream, which knows none of our challenges\n"),
                  "%s", told);
    told_n = 0;
    told[0] = 0;
    write_file("keys/static-challenge", "8CE317021F690069\n", 0600);
    snprintf(
        text, sizeof text,
        "%s" API "ndes = ( { endpoint = \"/relay\"; single_password = true; } );\n",
        relay_text("ndes",
                   "challenge = \"static\"; static_challenge_file = \"keys/static-challenge\";"));
    ck_assert_ptr_null(load(text));
    ck_assert_msg(strstr(told,
                         "ndes page \"/certsrv/mscep_admin\": endpoint \"/relay\" hands "
                         "everything on to an upstream, which knows none of our challenges\n"),
                  "%s", told);
}
END_TEST

/* Programs cut it out between tags and blanks. */
START_TEST(what_no_page_can_show)
{
    static const char page[] = "ndes = ( { endpoint = \"/two\"; single_password = true; } );";
    static const char *const bad[] = {"a secret word", "secret<B>", "a&secret", "\"secretly\"",
                                      "s\xc3\xa9"
                                      "cretly"};
    write_file("keys/static-challenge", "8CE317021F690069\n", 0600);
    config_free(behind_accepted(page));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        write_file("keys/static-challenge", bad[i], 0600);
        behind_refused(page,
                       "25: ndes page \"/certsrv/mscep_admin\": the static challenge of "
                       "endpoint \"/two\" has characters that the page cannot show: only ASCII "
                       "without blanks, <, >, &, \" and '\n");
    }
}
END_TEST

START_TEST(challenge_hooks)
{
    struct config *c =
        behind_accepted("challenge_hooks = ( { name = \"jamf\"; endpoint = \"/scep\"; } );");
    ck_assert_uint_eq(c->challenge_hook_n, 1);
    ck_assert_str_eq(c->challenge_hook[0].name, "jamf");
    ck_assert_int_eq(c->challenge_hook[0].validity, 3600);
    ck_assert_int_eq(c->challenge_hook[0].cache, 10000);
    config_free(c);
    behind_refused("challenge_hooks = ( { name = \"../x\"; endpoint = \"/scep\"; } );",
                   "25: challenge hook \"../x\": a name has letters, digits, - and _ only\n");
    behind_refused("challenge_hooks = ( { name = \"a\"; endpoint = \"/scep\"; }, { name = \"A\"; "
                   "endpoint = \"/scep\"; } );",
                   "25: challenge hook \"A\" stands twice\n");
    behind_refused("challenge_hooks = ( { name = \"a\"; endpoint = \"/two\"; } );",
                   "25: challenge hook \"a\": endpoint \"/two\" takes no one-time challenges\n");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("config/ndes");
    TCase *c = tcase_create("ndes");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, ndes_pages);
    tcase_add_test(c, they_need_the_api);
    tcase_add_test(c, a_relay_knows_no_challenge_of_ours);
    tcase_add_test(c, what_no_page_can_show);
    tcase_add_test(c, challenge_hooks);
    suite_add_tcase(s, c);
    return check_main(s);
}
