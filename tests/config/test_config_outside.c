/* Webhooks, upstreams and the endpoints that name them. */
#include "config_world.h"

/* A list that stands behind the last endpoint, on line 25. */
#define WEBHOOK(more) "webhooks = ( { name = \"inventory\"; " more " } );\n"
#define INTUNE "kind = \"intune\"; tenant = \"t\"; client_id = \"i\"; "
#define QUEUE(name, tenant, more)                                                                 \
    "{ name = \"" name "\"; kind = \"intune\"; tenant = \"" tenant                                \
    "\"; client_id = \"i\"; secret_file = \"keys/static-challenge\"; revocations = \"1h\"; " more \
    " }"
#define QUEUES(one, other, more) \
    "webhooks = ( " QUEUE("a", one, "") ", " QUEUE("b", other, more) " );\n"
#define UPSTREAM(more) "upstreams = ( { name = \"ndes\"; " more " } );\n"

static void refused_list(const char *list, const char *expected)
{
    char *text = NULL;
    ck_assert_int_ge(asprintf(&text, "%s%s", base, list), 0);
    refused_text(text, expected);
}

static void accepted_list(const char *list)
{
    char *text = NULL;
    ck_assert_int_ge(asprintf(&text, "%s%s", base, list), 0);
    struct config *c = load(text);
    ck_assert_ptr_nonnull(c);
    config_free(c);
    free(text);
}

START_TEST(webhooks)
{
    char *text = NULL, *named;
    ck_assert_int_ge(
        asprintf(&text, "%s%s", base, WEBHOOK("url = \"https://inventory.example.org/\";")), 0);
    named = replaced(text, "challenge = \"one-time\"",
                     "challenge = \"none\"; validate = \"inventory\"");
    struct config *c = load(named);
    ck_assert_str_eq(told, "");
    ck_assert_ptr_nonnull(c);
    const struct config_webhook *w = config_webhook_by_name(c, c->endpoint[0].validate);
    ck_assert_ptr_nonnull(w);
    ck_assert_int_eq(w->timeout, 10);
    ck_assert_int_eq(w->retries, 2);
    ck_assert(!w->insecure && !w->pass_challenge && !w->refuse_on_failure);
    ck_assert_int_eq(w->remember, 60);
    config_free(c);
    free(named);
    named = replaced(text, "challenge = \"one-time\"", "validate = \"inventry\"");
    told_n = 0;
    ck_assert_ptr_null(load(named));
    ck_assert_str_eq(told, "19: endpoint \"/scep\": there is no webhook \"inventry\" (did you mean "
                           "\"inventory\"?)\n");
    free(named);
    free(text);
    refused_list(WEBHOOK(""), "25: webhook \"inventory\" needs url\n");
    refused_list(WEBHOOK("url = \"http://10.0.0.1/\";"),
                 "25: webhook \"inventory\": url is not https and not on this machine: whoever is "
                 "between reads and forges what is said. If it must be, set insecure = true\n");
    refused_list(WEBHOOK("url = \"http://127.0.0.1.example.org/\";"),
                 "25: webhook \"inventory\": url is not https and not on this machine: whoever is "
                 "between reads and forges what is said. If it must be, set insecure = true\n");
    refused_list(WEBHOOK("url = \"https://user:secret@inventory/\";"),
                 "25: webhook \"inventory\": url has a user or a password in it: secrets stand in "
                 "files\n");
    refused_list(WEBHOOK("url = \"https://inventory/#a\";"),
                 "25: webhook \"inventory\": url has a fragment (#), which is not sent\n");
    refused_list(WEBHOOK("kind = \"intune\"; tenant = \"t\";"),
                 "25: webhook \"inventory\": kind = \"intune\" needs client_id\n"
                 "25: webhook \"inventory\": kind = \"intune\" needs secret_file, or "
                 "certificate_file and key_file, to sign in with\n");
    refused_list(
        WEBHOOK(INTUNE "secret_file = \"keys/static-challenge\"; key_file = "
                       "\"keys/static-challenge\"; certificate_file = \"keys/static-challenge\";"),
        "25: webhook \"inventory\": kind = \"intune\" needs secret_file, or "
        "certificate_file and key_file, not both\n");
    refused_list(WEBHOOK(INTUNE "key_file = \"keys/static-challenge\";"),
                 "25: webhook \"inventory\": certificate_file and key_file go together\n");
    refused_list(WEBHOOK("url = \"https://inventory/\"; key_file = \"keys/static-challenge\";"),
                 "25: webhook \"inventory\": key_file is only for kind = \"intune\"\n");
    refused_list(WEBHOOK("url = \"https://inventory/\"; tenant = \"t\";"),
                 "25: webhook \"inventory\": tenant is only for kind = \"intune\"\n");
    refused_list(QUEUES("T", "t", ""),
                 "25: webhook \"b\": webhook \"a\" has revocations already, which are those of the "
                 "whole tenant\n");
    accepted_list(QUEUES("t", "u", ""));
    accepted_list(QUEUES("t", "t", "login_url = \"https://login.example.org\";"));
    refused_list("webhooks = ( { name = \"a\"; url = \"https://a/\"; }, { name = \"a\"; url = "
                 "\"https://b/\"; } );\n",
                 "25: webhook \"a\" stands twice\n");
}
END_TEST

static void refused_endpoint(const char *list, const char *more, const char *expected)
{
    char *text = NULL;
    ck_assert_int_ge(asprintf(&text, "%s%s", base, list), 0);
    char *named = replaced(text, "challenge = \"one-time\"", more);
    told_n = 0;
    told[0] = '\0';
    struct config *c = load(named);
    ck_assert_str_eq(told, expected);
    ck_assert(*expected ? c == NULL : c != NULL);
    config_free(c);
    free(named);
    free(text);
}

START_TEST(told_webhooks)
{
    static const char two[] =
        "webhooks = ( { name = \"a\"; kind = \"notify\"; url = \"https://a/\"; }, "
        "{ name = \"b\"; kind = \"notify\"; url = \"https://b/\"; } );\n";
    refused_endpoint(two, "notify = [\"a\", \"b\"]", "");
    refused_endpoint(two, "notify = [\"a\", \"b\", \"a\"]",
                     "19: endpoint \"/scep\": notify names webhook \"a\" twice\n");
    refused_endpoint("webhooks = ( { name = \"a\"; url = \"https://a/\"; } );\n",
                     "notify = [\"a\"]",
                     "19: endpoint \"/scep\": webhook \"a\" is not of kind notify\n");
}
END_TEST

START_TEST(upstreams)
{
    refused_list(
        UPSTREAM("url = \"http://ndes/scep\"; admin_url = \"http://ndes/admin/\";"),
        "25: upstream \"ndes\": admin_url is not https and not on this machine: whoever is "
        "between reads and forges what is said. If it must be, set insecure = true\n");
    refused_list(UPSTREAM("url = \"http://ndes/scep\"; user = \"u\";"),
                 "25: upstream \"ndes\": user and password_file go together\n");
    char *text = NULL;
    ck_assert_int_ge(
        asprintf(&text, "%s%s", base,
                 UPSTREAM("url = \"http://ndes/scep\"; user = \"u\"; password_file = "
                          "\"keys/static-challenge\"; admin_url = \"https://ndes/\";")),
        0);
    told_n = 0;
    told[0] = '\0';
    struct config *c = load(text);
    ck_assert_str_eq(told, "");
    const struct config_upstream *u = config_upstream_by_name(c, "ndes");
    ck_assert_ptr_nonnull(u);
    ck_assert(config_key_file(c, u->password_file)); /* the keeper never hands it over */
    ck_assert_ptr_null(config_upstream_by_name(c, "nde"));
    config_free(c);
    free(text);
}
END_TEST

START_TEST(relays)
{
    struct config *c = load(relay_text("ndes", ""));
    ck_assert_msg(c != NULL, "%s", told);
    ck_assert_str_eq(c->endpoint[2].upstream, "ndes");
    ck_assert_str_eq(c->endpoint[0].upstream, "");
    config_free(c);
    told_n = 0;
    told[0] = 0;
    ck_assert_ptr_null(load(relay_text("nedes", "")));
    ck_assert_str_eq(
        told, "23: endpoint \"/relay\": there is no upstream \"nedes\" (did you mean \"ndes\"?)\n");
    told_n = 0;
    told[0] = 0;
    ck_assert_ptr_null(load(relay_text("ndes", "approval = \"manual\";")));
    ck_assert_str_eq(
        told,
        "23: endpoint \"/relay\" hands everything on to an upstream: nobody can approve there\n");
    told_n = 0;
    told[0] = 0;
    c = load(relay_text("ndes", "challenge = \"none\";"));
    ck_assert_msg(c != NULL, "%s", told);
    config_free(c);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("config/outside");
    TCase *c = tcase_create("outside");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, webhooks);
    tcase_add_test(c, told_webhooks);
    tcase_add_test(c, upstreams);
    tcase_add_test(c, relays);
    suite_add_tcase(s, c);
    return check_main(s);
}
