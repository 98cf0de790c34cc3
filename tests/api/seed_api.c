/* seed_api STORE: makes an administrator and a token of each role, and those that must be refused; prints the tokens as JSON. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "api/account.h"

static bool make(struct store *s, const char *name, enum account_role role, int disabled, int64_t when, int64_t ttl,
                 json_t *out, struct err *err)
{
    struct api_admin_wish wish = {.name = name, .role = role};
    struct api_admin_wish edit = {.disabled = 1};
    struct store_admin a;
    struct store_token t;
    char text[API_TOKEN_MAX];
    bool ok = api_admin_new(s, &wish, "seed", when, &a, err) &&
              api_token_new(s, a.id, TOKEN_API, "seed", ttl, "seed", when, text, &t, err) &&
              (!disabled || api_admin_edit(s, a.id, &edit, 0, "seed", when, &a, err));
    if (ok)
        json_object_set_new(out, name, json_string(text));
    return ok;
}

int main(int argc, char **argv)
{
    struct store *s = NULL;
    struct err err = {0};
    json_t *out = json_object();
    int64_t now = time(NULL);
    struct store_options o = {.path = argc > 1 ? argv[1] : ""};
    bool ok = store_open(&o, &s, &err) &&
              make(s, "administrator", ROLE_ADMINISTRATOR, 0, now, 86400, out, &err) &&
              make(s, "operator", ROLE_OPERATOR, 0, now, 86400, out, &err) &&
              make(s, "auditor", ROLE_AUDITOR, 0, now, 86400, out, &err) &&
              make(s, "disabled", ROLE_ADMINISTRATOR, 1, now, 86400, out, &err) &&
              make(s, "expired", ROLE_ADMINISTRATOR, 0, now - 7200, 3600, out, &err);
    if (ok) {
        json_dumpf(out, stdout, JSON_COMPACT);
        putchar('\n');
    } else {
        fprintf(stderr, "seed_api: %s\n", err.text);
    }
    json_decref(out);
    store_close(s);
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
