/* Who may call: tokens, links, sessions, roles, guessing. */
#include <openssl/evp.h>

#include "api_fixture.h"
#include "check_main.h"

static char own[sizeof bearer]; /* root's */

static void setup(void)
{
    api_setup();
    strcpy(own, bearer);
}

/* A token of another administrator in this role; `bearer` is it then. */
static void become(const char *name, enum account_role role)
{
    struct api_admin_wish wish = {.name = name, .role = role, .disabled = 0};
    struct store_admin a;
    struct store_token t;
    char secret[API_TOKEN_MAX];
    ck_assert(api_admin_new(world.store, &wish, "test", NOW, &a, &err));
    ck_assert(
        api_token_new(world.store, name, TOKEN_API, "", 86400, "test", NOW, secret, &t, &err));
    snprintf(bearer, sizeof bearer, "Bearer %s", secret);
}

START_TEST(nobody_is_asked_to_sign_in)
{
    *bearer = '\0';
    call(HTTP_GET, "/api/v1/admins", NULL);
    is_problem(401, "sign_in.needed");
    ck_assert_str_eq(header("WWW-Authenticate"), "Bearer realm=\"scepd\"");
    call(HTTP_GET, "/api/v1/openapi.json", NULL);
    is(200);
}
END_TEST

START_TEST(who_asks_whether_somebody_is_signed_in_is_told)
{
    *bearer = '\0';
    call(HTTP_GET, "/api/v1/session", NULL);
    is(204);
    strcpy(bearer, "Bearer scepd_tok_000000_wrong");
    call(HTTP_GET, "/api/v1/session", NULL);
    is_problem(401, "sign_in.refused");
}
END_TEST

START_TEST(roles)
{
    become("anna", ROLE_AUDITOR);
    call(HTTP_GET, "/api/v1/admins", NULL);
    is_problem(403, "role.missing");
    ck_assert_ptr_nonnull(strstr(text("detail"), "administrator"));
    call(HTTP_GET, "/api/v1/session", NULL);
    is(200);
    ck_assert_str_eq(text("role"), "auditor");
    call(HTTP_POST, "/api/v1/tokens", "{\"admin\":\"root\"}");
    is_problem(403, "role.missing");
    call(HTTP_POST, "/api/v1/tokens", "{}");
    is(201);
}
END_TEST

START_TEST(tokens_end)
{
    at = NOW + 86399;
    call(HTTP_GET, "/api/v1/session", NULL);
    is(200);
    at = NOW + 86400;
    call(HTTP_GET, "/api/v1/session", NULL);
    is_problem(401, "sign_in.ended");
}
END_TEST

START_TEST(a_disabled_one_is_out_at_once)
{
    become("anna", ROLE_OPERATOR);
    call(HTTP_GET, "/api/v1/session", NULL);
    is(200);
    struct api_admin_wish wish = {.disabled = 1};
    struct store_admin a;
    ck_assert(api_admin_edit(world.store, "anna", &wish, 0, "test", NOW, &a, &err));
    call(HTTP_GET, "/api/v1/session", NULL);
    is_problem(401, "sign_in.disabled");
}
END_TEST

START_TEST(the_last_administrator_stays)
{
    call_with(HTTP_PATCH, "/api/v1/admins/root", "{\"disabled\":true}", API_IF_MATCH, "\"1\"");
    is_problem(409, "conflict");
    call_with(HTTP_PATCH, "/api/v1/admins/root", "{\"role\":\"operator\"}", API_IF_MATCH, "\"1\"");
    is_problem(409, "conflict");
    call_with(HTTP_DELETE, "/api/v1/admins/root", NULL, API_IF_MATCH, "\"1\"");
    is_problem(409, "conflict");
    become("anna", ROLE_ADMINISTRATOR);
    call_with(HTTP_DELETE, "/api/v1/admins/root", NULL, API_IF_MATCH, "\"1\"");
    is(204);
    strcpy(bearer, own);
    call(HTTP_GET, "/api/v1/session", NULL);
    is_problem(401, "sign_in.refused");
}
END_TEST

/* ---- guessing ---- */

static void guess(const char *peer, int expected)
{
    struct api_request r = {.method = HTTP_GET, .path = "/api/v1/session", .peer = peer};
    r.header[API_AUTHORIZATION] = "Bearer scepd_aaaaaaaa_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    ask(&r);
    is(expected);
}

START_TEST(guessing_is_slowed_down)
{
    for (int i = 0; i < 10; i++)
        guess("192.0.2.9", 401);
    guess("192.0.2.9", 429);
    int wait = atoi(header("Retry-After"));
    ck_assert_int_gt(wait, 0);
    ck_assert_int_le(wait, 30);
    /* from elsewhere nobody is locked out */
    call(HTTP_GET, "/api/v1/session", NULL);
    is(200);
    at += wait;
    guess("192.0.2.9", 401);
    guess("192.0.2.9", 429);
}
END_TEST

START_TEST(a_network_of_addresses_is_one)
{
    char peer[64];
    for (int i = 0; i < 10; i++) {
        snprintf(peer, sizeof peer, "2001:db8::%d", i + 1);
        guess(peer, 401);
    }
    guess("2001:db8::ffff", 429);
    guess("2001:db8:1::1", 401);
}
END_TEST

START_TEST(a_name_that_everybody_tries_is_not_locked)
{
    char basic[256], text[256], plain[256];
    for (int i = 0; i < 40; i++) {
        char peer[64];
        struct api_request r = {.method = HTTP_GET, .path = "/api/v1/session", .peer = peer};
        snprintf(peer, sizeof peer, "198.51.100.%d", i);
        EVP_EncodeBlock((uint8_t *)text, (const uint8_t *)"root:wrong", 10);
        snprintf(basic, sizeof basic, "Basic %.200s", text);
        r.header[API_AUTHORIZATION] = basic;
        ask(&r);
        ck_assert_int_eq(reply.status, i < 30 ? 401 : 429);
    }
    int n = snprintf(plain, sizeof plain, "CORP\\ROOT:%s", own + 7);
    EVP_EncodeBlock((uint8_t *)text, (const uint8_t *)plain, n);
    snprintf(basic, sizeof basic, "Basic %.200s", text);
    memcpy(bearer, basic, strlen(basic) + 1);
    call(HTTP_GET, "/api/v1/session", NULL);
    is(200);
    n = snprintf(plain, sizeof plain, "anna:%s", own + 7); /* another's name with root's token */
    EVP_EncodeBlock((uint8_t *)text, (const uint8_t *)plain, n);
    snprintf(bearer, sizeof bearer, "Basic %.200s", text);
    call(HTTP_GET, "/api/v1/session", NULL);
    ck_assert(reply.status == 401 || reply.status == 429);
}
END_TEST

START_TEST(odd_words_are_refused)
{
    static const char *const odd[] = {
        "Bearer ",    "Bearer scepd_", "Bearer scepd_aaaaaaaa",  "Basic",      "Basic !!!!",
        "Basic Og==", "Digest x",      "Bearer scepd_aaaaaaaa_", "Basic YWJj",
    };
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        struct api_request r = {.method = HTTP_GET, .path = "/api/v1/session"};
        r.header[API_AUTHORIZATION] = odd[i];
        ask(&r);
        is_problem(401, "sign_in.refused");
    }
}
END_TEST

/* ---- links, sessions, other sites ---- */

static char cookie[256];

static void sign_in_by_link(void)
{
    struct store_token t;
    char code[API_TOKEN_MAX], body[256];
    ck_assert(api_token_new(world.store, "root", TOKEN_LINK, "", API_LINK_TTL, "test", at, code, &t,
                            &err));
    snprintf(body, sizeof body, "{\"code\":\"%s\"}", code);
    *bearer = '\0';
    call(HTTP_POST, "/api/v1/session", body);
    is(201);
    const char *set = header("Set-Cookie");
    ck_assert_ptr_nonnull(strstr(set, "HttpOnly"));
    ck_assert_ptr_nonnull(strstr(set, "SameSite=Strict"));
    snprintf(cookie, sizeof cookie, "other=1; %.*s", (int)strcspn(set, ";"), set);
    call(HTTP_POST, "/api/v1/session", body); /* it works once */
    is_problem(401, "sign_in.refused");
}

static void with_cookie(enum http_method method, const char *path, const char *origin,
                        const char *site)
{
    struct api_request r = {.method = method, .path = path};
    r.header[API_COOKIE] = cookie;
    r.header[API_ORIGIN] = origin;
    r.header[API_FETCH_SITE] = site;
    if (method == HTTP_POST) {
        r.body = view_str("{}");
        r.header[API_CONTENT_TYPE] = "application/json";
    }
    ask(&r);
}

START_TEST(a_session_ends)
{
    sign_in_by_link();
    with_cookie(HTTP_GET, "/api/v1/session", NULL, NULL);
    is(200);
    for (int64_t end = at + API_SESSION_TTL; at + API_SESSION_IDLE < end;) {
        at += API_SESSION_IDLE - 60;
        with_cookie(HTTP_GET, "/api/v1/session", NULL, NULL);
        is(200);
    }
    at = NOW + API_SESSION_TTL;
    with_cookie(HTTP_GET, "/api/v1/session", NULL, NULL);
    is_problem(401, "sign_in.ended");
}
END_TEST

START_TEST(an_idle_session_ends)
{
    sign_in_by_link();
    at += API_SESSION_IDLE;
    with_cookie(HTTP_GET, "/api/v1/session", NULL, NULL);
    is(200);
    at += API_SESSION_IDLE + 1;
    with_cookie(HTTP_GET, "/api/v1/session", NULL, NULL);
    is_problem(401, "sign_in.ended");
}
END_TEST

START_TEST(signing_out)
{
    sign_in_by_link();
    with_cookie(HTTP_DELETE, "/api/v1/session", "http://scepd.example.org", NULL);
    is(204);
    ck_assert_ptr_nonnull(strstr(header("Set-Cookie"), "Max-Age=0"));
    with_cookie(HTTP_GET, "/api/v1/session", NULL, NULL);
    is_problem(401, "sign_in.refused");
}
END_TEST

START_TEST(other_sites_change_nothing)
{
    sign_in_by_link();
    static const struct {
        const char *origin, *site;
        bool good;
    } cases[] = {
        {"http://scepd.example.org", "same-origin", true},
        {"http://scepd.example.org", NULL, true},
        {NULL, "same-origin", true},
        {NULL, NULL, false},
        {"null", NULL, false},
        {"http://evil.example.org", NULL, false},
        {"http://scepd.example.org.evil.example", NULL, false},
        {"https://scepd.example.org", NULL, false},
        {"http://scepd.example.org:8443", NULL, false},
        {"http://scepd.example.org", "same-site", false},
        {"http://scepd.example.org", "cross-site", false},
        {"http://evil.example.org", "same-origin", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        with_cookie(HTTP_POST, "/api/v1/tokens", cases[i].origin, cases[i].site);
        if (cases[i].good)
            is(201);
        else
            is_problem(403, "origin.foreign");
    }
}
END_TEST

START_TEST(a_session_is_no_bearer)
{
    sign_in_by_link();
    snprintf(bearer, sizeof bearer, "Bearer %s", strstr(cookie, "scepd=") + 6);
    call(HTTP_GET, "/api/v1/session", NULL);
    is_problem(401, "sign_in.refused");
    snprintf(cookie, sizeof cookie, "scepd=%s", own + 7); /* nor a token a cookie */
    *bearer = '\0';
    with_cookie(HTTP_GET, "/api/v1/session", NULL, NULL);
    is_problem(401, "sign_in.refused");
}
END_TEST

/* ---- the audit log ---- */

struct found {
    const char *event, *text;
    size_t n;
};

static bool find_entry(void *ctx, const struct store_audit *a)
{
    struct found *f = ctx;
    f->n += strcmp(a->event, f->event) == 0 && strstr(a->text, f->text);
    return true;
}

static size_t entries(const char *event, const char *words)
{
    struct found f = {event, words, 0};
    ck_assert(store_audit_list(world.store, 1, find_entry, &f, &err));
    return f.n;
}

START_TEST(calls_are_recorded)
{
    call(HTTP_POST, "/api/v1/tokens", "{}");
    ck_assert_uint_eq(entries("api.called", "POST token_create from 192.0.2.1: 201"), 1);
    call(HTTP_POST, "/api/v1/admins", "{\"name\":\"root\",\"role\":\"auditor\"}");
    ck_assert_uint_eq(entries("api.called", "POST admin_create from 192.0.2.1: 409 exists"), 1);
    call(HTTP_GET, "/api/v1/admins", NULL);
    ck_assert_uint_eq(entries("api.called", "GET"), 0);
    become("anna", ROLE_AUDITOR);
    call(HTTP_GET, "/api/v1/admins", NULL);
    ck_assert_uint_eq(entries("api.refused", "GET admins_list from 192.0.2.1: 403 role.missing"),
                      1);
    for (int i = 0; i < 50; i++) /* a flood is counted, not kept */
        call(HTTP_GET, "/api/v1/admins", NULL);
    ck_assert_uint_eq(entries("api.refused", "admins_list"), 10);
    at += 60;
    call(HTTP_GET, "/api/v1/admins", NULL);
    ck_assert_uint_eq(entries("api.refused", "41 others before it are not recorded"), 1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("sign_in");
    TCase *c = tcase_create("sign_in");
    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, setup, api_teardown);
    tcase_add_test(c, nobody_is_asked_to_sign_in);
    tcase_add_test(c, who_asks_whether_somebody_is_signed_in_is_told);
    tcase_add_test(c, roles);
    tcase_add_test(c, tokens_end);
    tcase_add_test(c, a_disabled_one_is_out_at_once);
    tcase_add_test(c, the_last_administrator_stays);
    tcase_add_test(c, guessing_is_slowed_down);
    tcase_add_test(c, a_network_of_addresses_is_one);
    tcase_add_test(c, a_name_that_everybody_tries_is_not_locked);
    tcase_add_test(c, odd_words_are_refused);
    tcase_add_test(c, a_session_ends);
    tcase_add_test(c, an_idle_session_ends);
    tcase_add_test(c, signing_out);
    tcase_add_test(c, other_sites_change_nothing);
    tcase_add_test(c, a_session_is_no_bearer);
    tcase_add_test(c, calls_are_recorded);
    suite_add_tcase(s, c);
    return check_main(s);
}
