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

/* It could be the id of another, in capitals. */
START_TEST(no_name_looks_like_an_id)
{
    static const char *const names[] = {"adm_fvvgra", "ADM_FVVGRA", "Adm_fvvgra", "aDM_"};
    char body[128];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(body, sizeof body, "{\"name\":\"%s\",\"role\":\"auditor\"}", names[i]);
        call(HTTP_POST, "/api/v1/admins", body);
        is_problem(422, "input.invalid");
    }
    call(HTTP_POST, "/api/v1/admins", "{\"name\":\"adm\",\"role\":\"auditor\"}");
    is(201);
}
END_TEST

/* A tag is of what was asked for. */
START_TEST(a_refusal_has_no_tag)
{
    call(HTTP_GET, "/api/v1/admins", NULL);
    is(200);
    ck_assert_str_ne(header("ETag"), "");
    call(HTTP_GET, "/api/v1/admins?rule=auditor", NULL);
    is_problem(422, "input.invalid");
    ck_assert_str_eq(header("ETag"), "");
    ck_assert_str_eq(header("Cache-Control"), "no-store");
}
END_TEST

/* ---- what a token makes ends with it ---- */

static char cookie[300];

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

static void keep_cookie(void)
{
    const char *set = header("Set-Cookie");
    ck_assert_ptr_nonnull(strstr(set, "HttpOnly"));
    ck_assert_ptr_nonnull(strstr(set, "SameSite=Strict"));
    snprintf(cookie, sizeof cookie, "other=1; %.*s", (int)strcspn(set, ";"), set);
}

/* A session by the token in `bearer`. */
static void sign_in_by_token(void)
{
    char body[300];
    snprintf(body, sizeof body, "{\"token\":\"%s\"}", bearer + 7);
    *bearer = '\0';
    call(HTTP_POST, "/api/v1/session", body);
    is(201);
    keep_cookie();
}

/* The token that was just made; `bearer` is it then. */
static struct store_token made_token(void)
{
    struct store_token t;
    is(201);
    ck_assert(store_token_get(world.store, text("id"), &t, &err));
    snprintf(bearer, sizeof bearer, "Bearer %s", text("secret"));
    return t;
}

START_TEST(a_token_does_not_outlive_the_one_that_made_it)
{
    call(HTTP_POST, "/api/v1/tokens", "{\"valid_seconds\":3600}");
    ck_assert_int_eq(made_token().expires_at, NOW + 3600);
    call(HTTP_POST, "/api/v1/tokens", "{\"valid_seconds\":63072000}");
    ck_assert_int_eq(made_token().expires_at, NOW + 3600);
    call(HTTP_POST, "/api/v1/tokens", "{}");
    ck_assert_int_eq(made_token().expires_at, NOW + 3600);
    call(HTTP_POST, "/api/v1/tokens", "{\"valid_seconds\":60}");
    ck_assert_int_eq(made_token().expires_at, NOW + 60);
    strcpy(bearer, own);
    call(HTTP_POST, "/api/v1/tokens", "{\"valid_seconds\":3600}");
    made_token();
    sign_in_by_token();
    with_cookie(HTTP_POST, "/api/v1/tokens", NULL, "same-origin"); /* nor by way of a session */
    ck_assert_int_eq(made_token().expires_at, NOW + 3600);
}
END_TEST

START_TEST(what_a_token_made_ends_when_it_is_revoked)
{
    char first[40], second[sizeof bearer];
    call(HTTP_POST, "/api/v1/tokens", "{}");
    snprintf(first, sizeof first, "%s", made_token().id);
    call(HTTP_POST, "/api/v1/tokens", "{}");
    made_token();
    strcpy(second, bearer);
    sign_in_by_token();
    with_cookie(HTTP_POST, "/api/v1/tokens", NULL, "same-origin");
    made_token();
    call(HTTP_GET, "/api/v1/session", NULL);
    is(200);
    ck_assert(api_token_revoke(world.store, first, "test", NOW, &err));
    call(HTTP_GET, "/api/v1/session", NULL);
    is_problem(401, "sign_in.refused");
    strcpy(bearer, second);
    call(HTTP_GET, "/api/v1/session", NULL);
    is_problem(401, "sign_in.refused");
    with_cookie(HTTP_GET, "/api/v1/session", NULL, NULL);
    is_problem(401, "sign_in.refused");
    strcpy(bearer, own); /* itself it was made by this one, which stands */
    call(HTTP_GET, "/api/v1/session", NULL);
    is(200);
}
END_TEST

/* Who has found a token cannot keep what it made for others when its owner is disabled. */
START_TEST(what_a_token_made_for_others_ends_when_its_owner_is_disabled)
{
    struct api_admin_wish wish = {.name = "bob", .role = ROLE_OPERATOR, .disabled = 0};
    struct api_admin_wish off = {.disabled = 1}, on = {.disabled = 0};
    struct store_admin a;
    ck_assert(api_admin_new(world.store, &wish, "test", NOW, &a, &err));
    become("anna", ROLE_ADMINISTRATOR);
    call(HTTP_POST, "/api/v1/tokens", "{\"admin\":\"bob\"}");
    made_token();
    call(HTTP_GET, "/api/v1/session", NULL);
    is(200);
    off.role = on.role = ROLE_ADMINISTRATOR;
    ck_assert(api_admin_edit(world.store, "anna", &off, 0, "test", NOW, &a, &err));
    call(HTTP_GET, "/api/v1/session", NULL);
    is_problem(401, "sign_in.refused");
    ck_assert(api_admin_edit(world.store, "anna", &on, 0, "test", NOW, &a, &err));
    call(HTTP_GET, "/api/v1/session", NULL);
    is(200);
}
END_TEST

START_TEST(tokens_make_tokens_eight_times)
{
    char first[40];
    snprintf(first, sizeof first, "tok_%.8s", own + 13);
    for (int i = 0; i < 8; i++) {
        call(HTTP_POST, "/api/v1/tokens", "{}");
        made_token();
    }
    call(HTTP_GET, "/api/v1/session", NULL);
    is(200);
    call(HTTP_POST, "/api/v1/tokens", "{}");
    is_problem(409, "conflict");
    ck_assert(api_token_revoke(world.store, first, "test", NOW, &err));
    call(HTTP_GET, "/api/v1/session", NULL);
    is_problem(401, "sign_in.refused");
}
END_TEST

/* Revoked between its check and the session. */
START_TEST(a_revoked_token_gets_no_session)
{
    enum api_token_verdict verdict;
    struct store_token t, session;
    struct store_admin a;
    char secret[API_TOKEN_MAX];
    ck_assert(api_token_check(world.store, own + 7, NOW, &verdict, &t, &a, &err));
    ck_assert_int_eq(verdict, API_TOKEN_GOOD);
    ck_assert(api_token_revoke(world.store, t.id, "test", NOW, &err));
    ck_assert(!api_session_new(world.store, &t, &a, "192.0.2.1", NOW, secret, &session, &err));
    ck_assert_int_eq(err.kind, ERR_CONFLICT);
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

/* Many are behind one address: who has the right words is served. */
START_TEST(who_guesses_keeps_no_neighbour_out)
{
    char body[300];
    snprintf(body, sizeof body, "{\"token\":\"%s\"}", own + 7);
    struct api_request link = {.method = HTTP_POST, .path = "/api/v1/session", .peer = "192.0.2.9"};
    link.header[API_CONTENT_TYPE] = "application/json";
    for (int i = 0; i < 10; i++)
        guess("192.0.2.9", 401);
    guess("192.0.2.9", 429);
    struct api_request r = {.method = HTTP_GET, .path = "/api/v1/admins", .peer = "192.0.2.9"};
    r.header[API_AUTHORIZATION] = own;
    ask(&r);
    is(200);
    link.body = view_str(body);
    ask(&link);
    is(201);
    link.body = view_str("{\"code\":\"scepd_aaaaaaaa_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}");
    ask(&link);
    is_problem(429, "sign_in.too_many");
    ck_assert_int_gt(atoi(header("Retry-After")), 0);
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
    keep_cookie();
    call(HTTP_POST, "/api/v1/session", body); /* it works once */
    is_problem(401, "sign_in.refused");
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

static void from_site(const char *authorization, struct view certificate, const char *origin,
                      const char *site)
{
    struct api_request r = {
        .method = HTTP_POST, .path = "/api/v1/tokens", .certificate = certificate};
    r.header[API_AUTHORIZATION] = authorization;
    r.header[API_ORIGIN] = origin;
    r.header[API_FETCH_SITE] = site;
    ask(&r);
}

/* A browser keeps a name with its password, and a certificate, as it keeps a cookie, and sends
 * them along with a form of anybody's, which needs no body. */
START_TEST(other_sites_change_nothing_by_what_browsers_send_along)
{
    static const struct {
        const char *origin, *site;
        bool good;
    } cases[] = {
        {NULL, NULL, true}, /* no browser */
        {"http://scepd.example.org", "same-origin", true},
        {NULL, "same-origin", true},
        {"http://scepd.example.org", NULL, true},
        {"http://evil.example.org", NULL, false},
        {"null", NULL, false},
        {NULL, "cross-site", false},
        {NULL, "same-site", false},
        {"http://evil.example.org", "cross-site", false},
    };
    const struct view certificate = view_str("none of ours");
    char plain[256], base64[300], basic[320];
    int n = snprintf(plain, sizeof plain, "root:%s", own + 7);
    EVP_EncodeBlock((uint8_t *)base64, (const uint8_t *)plain, n);
    snprintf(basic, sizeof basic, "Basic %.290s", base64);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        from_site(basic, view_of(NULL, 0), cases[i].origin, cases[i].site);
        if (cases[i].good)
            is(201);
        else
            is_problem(403, "origin.foreign");
        from_site(NULL, certificate, cases[i].origin, cases[i].site);
        if (cases[i].good)
            is_problem(401, "sign_in.certificate");
        else
            is_problem(403, "origin.foreign");
        from_site(own, view_of(NULL, 0), cases[i].origin, cases[i].site);
        is(201); /* nothing sends a token along by itself */
    }
    from_site(NULL, view_of(NULL, 0), "http://evil.example.org", "cross-site");
    is_problem(401, "sign_in.needed");
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
    tcase_add_test(c, other_sites_change_nothing_by_what_browsers_send_along);
    tcase_add_test(c, a_session_is_no_bearer);
    tcase_add_test(c, no_name_looks_like_an_id);
    tcase_add_test(c, a_token_does_not_outlive_the_one_that_made_it);
    tcase_add_test(c, what_a_token_made_ends_when_it_is_revoked);
    tcase_add_test(c, what_a_token_made_for_others_ends_when_its_owner_is_disabled);
    tcase_add_test(c, tokens_make_tokens_eight_times);
    tcase_add_test(c, a_revoked_token_gets_no_session);
    tcase_add_test(c, who_guesses_keeps_no_neighbour_out);
    tcase_add_test(c, a_refusal_has_no_tag);
    tcase_add_test(c, calls_are_recorded);
    suite_add_tcase(s, c);
    return check_main(s);
}
