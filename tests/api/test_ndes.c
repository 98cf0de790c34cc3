/* The page of NDES and the webhooks that answer with a challenge: what they say, who gets one, how
 * many. */
#include <openssl/evp.h>
#include <pthread.h>

#include "api_fixture.h"
#include "check_main.h"
#include "enroll/enroll.h"

#define PAGE "/certsrv/mscep_admin"
#define LABEL "The enrollment challenge password is: <B> "

static char token[sizeof bearer]; /* root's, by itself */
static char basic[1024];
static struct config config;
static struct config_rooms rooms;
static struct authority authority;
static struct cert ca;

/* Signs in by Basic from now on. */
static void basic_as(const char *user, const char *password)
{
    char plain[512];
    snprintf(plain, sizeof plain, "%s:%s", user, password);
    strcpy(basic, "Basic ");
    EVP_EncodeBlock((unsigned char *)basic + 6, (const unsigned char *)plain, (int)strlen(plain));
}

static void setup(void)
{
    api_setup();
    strcpy(token, bearer + strlen("Bearer "));
    *bearer = '\0';
    basic_as("root", token);
    config = (struct config){
        .url = "http://scep.example.org", .endpoint_n = 1, .ndes_n = 1, .challenge_hook_n = 1};
    strcpy(config.endpoint[0].path, "/scep");
    config.ndes[0] = (struct config_ndes){.path = PAGE,
                                          .endpoint = "/scep",
                                          .encoding = NDES_UTF8,
                                          .password_length = 8,
                                          .validity = 3600,
                                          .cache = 100};
    config.challenge_hook[0] = (struct config_challenge_hook){
        .name = "jamf", .endpoint = "/scep", .validity = 600, .cache = 100};
    buf_append_str(&ca.der, "the CA");
    authority.cert = &ca;
    rooms.policy[0] = (struct enroll_policy){
        .endpoint = "/scep", .authority = &authority, .challenges = CHALLENGE_ONE_TIME};
    world.config = &config;
    world.rooms = &rooms;
}

static void teardown(void)
{
    buf_wipe(&rooms.ndes_password[0]);
    buf_clear(&ca.der);
    api_teardown();
}

static void get_as(enum http_method method, const char *path, enum api_header name,
                   const char *value)
{
    struct api_request r = {.method = method, .path = path};
    if (*basic)
        r.header[API_AUTHORIZATION] = basic;
    if (value)
        r.header[name] = value;
    ask(&r);
}

static void get(const char *path)
{
    get_as(HTTP_GET, path, API_HEADERS - 1, NULL);
}

/* The body as ASCII, whatever the encoding; in a static buffer. */
static const char *shown(void)
{
    static char text[8192];
    size_t n = 0, i = reply.body.n >= 2 && reply.body.p[0] == 0xff ? 2 : 0;
    for (; i < reply.body.n; i++)
        if (reply.body.p[i])
            text[n++] = (char)reply.body.p[i];
    text[n] = '\0';
    return text;
}

/* The password that the page shows, in a static buffer; NULL when it shows none. */
static const char *password(void)
{
    static char secret[300];
    const char *at_label = strstr(shown(), LABEL);
    if (!at_label)
        return NULL;
    snprintf(secret, sizeof secret, "%.*s", (int)strcspn(at_label + strlen(LABEL), " "),
             at_label + strlen(LABEL));
    return secret;
}

static uint64_t made(void)
{
    struct store_stats s;
    ck_assert(store_stats(world.store, &s, &err));
    return s.challenges_made;
}

static void burn(const char *secret)
{
    struct store_write *w = NULL;
    uint8_t hash[STORE_HASH];
    const struct store_use use = {.at = at, .transaction = "t", .subject = "CN=x", .peer = "p"};
    challenge_hash(&rooms.challenge_key, view_str(secret), hash);
    ck_assert(store_write_begin(world.store, &w, &err));
    ck_assert_msg(store_challenge_burn(w, hash, &use, &err), "%s", err.text);
    ck_assert(store_write_commit(w, &err));
}

static struct store_challenge record_of(const char *secret)
{
    struct store_challenge c;
    uint8_t hash[STORE_HASH];
    challenge_hash(&rooms.challenge_key, view_str(secret), hash);
    ck_assert_msg(store_challenge_by_hash(world.store, hash, &c, &err), "%s: %s", secret, err.text);
    return c;
}

struct audited {
    const char *event, *part;
    unsigned n;
};

static bool count_audit(void *ctx, const struct store_audit *a)
{
    struct audited *wanted = ctx;
    wanted->n += strcmp(a->event, wanted->event) == 0 && strstr(a->text, wanted->part) != NULL;
    return true;
}

static unsigned audited(const char *event, const char *part)
{
    struct audited wanted = {event, part, 0};
    ck_assert(store_audit_list(world.store, 0, count_audit, &wanted, &err));
    return wanted.n;
}

/* ---- the page ---- */

/* Word for word: programs compare it so. */
START_TEST(the_page)
{
    static const char before[] =
        " <P> To complete certificate enrollment for your network device you will need the "
        "following information:"
        " <P> The thumbprint (hash value) for the CA certificate is: <B> "
        "EB8E7343 EDA53A3B D506C2CF 8FC13FEA </B> <P> " LABEL;
    static const char after[] = " </B> <P> This password can be used only once and will expire "
                                "within 60 minutes. <P> Each enrollment requires a new challenge "
                                "password. You can refresh this web page to obtain a new challenge "
                                "password. </Body></HTML>";
    char expected[2048];
    get(PAGE);
    is(200);
    ck_assert_str_eq(reply.content_type, "text/html");
    ck_assert_str_eq(header("Cache-Control"), "no-store");
    ck_assert_str_eq(header("Pragma"), "no-cache");
    const char *secret = password();
    ck_assert_ptr_nonnull(secret);
    ck_assert_uint_eq(strlen(secret), 16);
    ck_assert_uint_eq(strspn(secret, "0123456789ABCDEF"), 16);
    snprintf(expected, sizeof expected, "%s%s%s", before, secret, after);
    const char *found = strstr(shown(), " <P> To complete");
    ck_assert_ptr_nonnull(found);
    ck_assert_str_eq(found, expected);
    ck_assert_ptr_null(strchr(shown(), '\n'));
    struct store_challenge c = record_of(secret);
    ck_assert_str_eq(c.endpoint, "/scep");
    ck_assert_str_eq(c.label, "ndes " PAGE);
    ck_assert_str_eq(c.created_by, "root");
    ck_assert_uint_eq(c.uses, 1);
    ck_assert_int_eq(c.expires_at, NOW + 3600);
    ck_assert_uint_eq(audited("challenge.created", "label=ndes " PAGE), 1);
    ck_assert(api_reads_write(&world, at, false)); /* that the page was read, too */
    ck_assert_uint_eq(audited("api.read", "GET ndes_admin from "), 1);
    ck_assert_uint_eq(audited("challenge.created", secret), 0);
}
END_TEST

START_TEST(encodings)
{
    static const enum ndes_encoding all[] = {NDES_UTF8, NDES_UTF16LE, NDES_UTF16};
    char first[8192] = "";
    for (size_t i = 0; i < 3; i++) {
        config.ndes[0].encoding = all[i];
        get(PAGE);
        is(200);
        ck_assert_str_eq(reply.content_type, "text/html");
        size_t n = strlen(shown()), mark = all[i] == NDES_UTF16 ? 2 : 0;
        ck_assert_uint_eq(reply.body.n, all[i] == NDES_UTF8 ? n : 2 * n + mark);
        if (mark)
            ck_assert_mem_eq(reply.body.p, "\xff\xfe", 2);
        else
            ck_assert_int_eq(reply.body.p[0], '<');
        for (size_t k = mark + 1; all[i] != NDES_UTF8 && k < reply.body.n; k += 2)
            ck_assert_int_eq(reply.body.p[k], 0);
        char text[8192];
        strcpy(text, shown());
        memset(strstr(text, password()), 'x', 16);
        if (i == 0)
            strcpy(first, text);
        ck_assert_str_eq(text, first);
    }
}
END_TEST

START_TEST(length_and_validity)
{
    config.ndes[0].password_length = 31;
    config.ndes[0].validity = 3601;
    get(PAGE);
    ck_assert_uint_eq(strlen(password()), 62);
    ck_assert_ptr_nonnull(strstr(shown(), "will expire within 61 minutes."));
    ck_assert_int_eq(record_of(password()).expires_at, NOW + 3601);
}
END_TEST

START_TEST(paths)
{
    static const char *const good[] = {PAGE,
                                       PAGE "/",
                                       PAGE "/mscep.dll",
                                       "/CertSrv/MSCEP_Admin/",
                                       "/certsrv/mscep_admin/MSCEP.DLL",
                                       "/certsrv/mscep%5Fadmin"};
    static const char *const bad[] = {PAGE "x",           PAGE "//",
                                      PAGE "/mscep.dllx", "/certsrv",
                                      "/x" PAGE,          "/hooks/../certsrv/mscep_admin",
                                      PAGE "%00",         PAGE "/%2e%2e/mscep_admin"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        get(good[i]);
        is(200);
        ck_assert_ptr_nonnull(password());
    }
    uint64_t before = made();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        get(bad[i]);
        ck_assert_msg(reply.status == 404 || reply.status == 400, "%s: %d", bad[i], reply.status);
    }
    ck_assert_uint_eq(made(), before);
}
END_TEST

/* ---- who ---- */

START_TEST(names_as_products_write_them)
{
    static const char *const names[] = {"root", "ROOT", "EXAMPLE\\root", "root@example.org",
                                        "EXAMPLE\\Root@example.org"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        basic_as(names[i], token);
        get(PAGE);
        is(200);
    }
}
END_TEST

START_TEST(nobody_else_causes_one)
{
    static const enum http_method methods[] = {HTTP_HEAD, HTTP_POST, HTTP_PUT, HTTP_PATCH,
                                               HTTP_DELETE};
    static const char *const strangers[] = {"",       "root\r\nX: y", "root\"",
                                            "<B>",    "\xff\xfe",     "ro ot",
                                            "root\\", "@root",        "EXAMPLE/root"};
    char no_one[sizeof basic] = "";
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        get_as(methods[i], PAGE, API_HEADERS - 1, NULL);
        is(methods[i] == HTTP_HEAD ? 200 : 405);
        if (methods[i] == HTTP_HEAD)
            ck_assert_uint_eq(reply.body.n, 0);
        else
            ck_assert_str_eq(header("Allow"), "GET, HEAD");
    }
    for (size_t i = 0; i < sizeof methods / sizeof *methods + 1; i++) {
        strcpy(no_one, basic);
        *basic = '\0';
        get_as(i ? methods[i - 1] : HTTP_GET, PAGE, API_HEADERS - 1, NULL);
        is(401);
        ck_assert_str_eq(header("WWW-Authenticate"), "Basic realm=\"scepd\", charset=\"UTF-8\"");
        ck_assert_ptr_null(password());
        strcpy(basic, no_one);
    }
    get_as(HTTP_GET, PAGE, API_FETCH_SITE, "cross-site");
    is(403);
    get_as(HTTP_GET, PAGE, API_FETCH_SITE, "same-site");
    is(403);
    get_as(HTTP_GET, PAGE, API_FETCH_SITE, "none");
    is(200);
    uint64_t before = made();
    ck_assert_uint_eq(before, 1);
    for (size_t i = 0; i < sizeof strangers / sizeof *strangers; i++) {
        basic_as(strangers[i], token);
        get(PAGE);
        ck_assert_msg(reply.status == 401 || reply.status == 429, "%zu: %d", i, reply.status);
    }
    basic_as("root", "scepd_tok_0000000000000000");
    get(PAGE);
    ck_assert(reply.status == 401 || reply.status == 429);
    ck_assert_uint_eq(made(), before);
}
END_TEST

START_TEST(an_auditor_sees_why)
{
    struct api_admin_wish wish = {.name = "anna", .role = ROLE_AUDITOR};
    struct store_admin a;
    struct store_token t;
    char secret[API_TOKEN_MAX];
    ck_assert(api_admin_new(world.store, &wish, "test", NOW, &a, &err));
    ck_assert(
        api_token_new(world.store, "anna", TOKEN_API, "", 86400, "test", NOW, secret, &t, &err));
    basic_as("anna", secret);
    get(PAGE);
    is(200);
    ck_assert_ptr_nonnull(
        strstr(shown(), " <P> You do not have sufficient permission to enroll with SCEP."));
    ck_assert_ptr_null(password());
    ck_assert_uint_eq(made(), 0);
    ck_assert_str_eq(reply.code, "role.missing");
    ck_assert_uint_eq(audited("api.refused", "role.missing"), 1);
    for (int i = 1; i < 12; i++) /* of which the log has 10 a minute */
        get(PAGE);
    at += 60;
    get(PAGE);
    ck_assert_uint_eq(audited("api.refused", "role.missing"), 11);
    ck_assert_uint_eq(audited("api.refused", "2 others before it are not recorded"), 1);
}
END_TEST

/* ---- how many ---- */

static void is_full(void)
{
    get(PAGE);
    is(200);
    ck_assert_msg(strstr(shown(), " <P> The password cache is full.") != NULL, "%s", shown());
    ck_assert_ptr_null(password());
}

static void is_free(char secret[300])
{
    get(PAGE);
    is(200);
    ck_assert_msg(password() != NULL, "%s", shown());
    strcpy(secret, password());
}

START_TEST(slots_are_free_at_once)
{
    char first[300], second[300], third[300], fourth[300];
    struct store_options o = {.path = dir, .map_size = UINT64_C(64) << 20};
    config.ndes[0].cache = 2;
    is_free(first);
    at += 60;
    is_free(second);
    is_full();
    burn(first);
    is_free(third);
    is_full();
    store_close(world.store); /* a restart */
    ck_assert(store_open(&o, &world.store, &err));
    is_full();
    ck_assert(enroll_challenge_revoke(world.store, record_of(third).id, "test", at, &err));
    is_free(fourth);
    is_full();
    at = NOW + 60 + 3599; /* the second one's last second */
    is_full();
    at++; /* its end, and the fourth's, which was made in the same second */
    is_free(first);
    is_free(second);
    is_full();
    ck_assert_uint_eq(made(), 6);
}
END_TEST

START_TEST(pages_count_their_own)
{
    char secret[300];
    config.ndes[0].cache = 1;
    config.ndes[1] = config.ndes[0];
    strcpy(config.ndes[1].path, PAGE "2");
    config.ndes_n = 2;
    is_free(secret);
    is_full();
    get(PAGE "2");
    ck_assert_ptr_nonnull(password());
    ck_assert_str_eq(record_of(password()).label, "ndes " PAGE "2");
}
END_TEST

#define THREADS 8
#define EACH 25
static char taken[THREADS][EACH][20];

static void *fetch(void *ctx)
{
    char(*mine)[20] = ctx;
    for (int i = 0; i < EACH; i++) {
        struct api_request r = {
            .method = HTTP_GET, .path = PAGE, .query = "", .peer = "192.0.2.1", .now = NOW};
        struct api_reply got = {0};
        r.header[API_AUTHORIZATION] = basic;
        r.header[API_HOST] = "x";
        api_answer(&world, &r, &got);
        char text[8192];
        snprintf(text, sizeof text, "%.*s", (int)got.body.n, (const char *)got.body.p);
        const char *label = strstr(text, LABEL);
        if (label)
            snprintf(mine[i], sizeof mine[i], "%.16s", label + strlen(LABEL));
        else
            strcpy(mine[i], got.status == 200 && strstr(text, "cache is full") ? "full" : "?");
        api_reply_clear(&got);
    }
    return NULL;
}

/* Two hundred at once for a hundred slots: exactly that many, each another one, each good. */
START_TEST(many_at_once)
{
    pthread_t thread[THREADS];
    unsigned got = 0, full = 0;
    memset(taken, 0, sizeof taken);
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, fetch, taken[i]), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    char(*all)[20] = taken[0];
    for (int i = 0; i < THREADS * EACH; i++) {
        full += strcmp(all[i], "full") == 0;
        if (strlen(all[i]) != 16)
            continue;
        got++;
        ck_assert_str_eq(record_of(all[i]).endpoint, "/scep");
        for (int k = 0; k < i; k++)
            ck_assert_str_ne(all[i], all[k]);
    }
    ck_assert_uint_eq(got, 100);
    ck_assert_uint_eq(full, THREADS * EACH - 100);
    ck_assert_uint_eq(made(), 100);
}
END_TEST

START_TEST(one_password_for_all)
{
    config.ndes[0].single_password = true;
    buf_append_str(&rooms.ndes_password[0], "8CE317021F6900698CE317021F690069");
    for (int i = 0; i < 3; i++) {
        get(PAGE);
        is(200);
        ck_assert_str_eq(password(), "8CE317021F6900698CE317021F690069");
        ck_assert_ptr_nonnull(strstr(
            shown(), " </B> <P> This password can be used multiple times and will not expire."));
        ck_assert_ptr_null(strstr(shown(), "only once"));
    }
    ck_assert_uint_eq(made(), 0);
    ck_assert_uint_eq(audited("challenge.shown", "page of NDES"), 3);
    ck_assert_uint_eq(audited("challenge.shown", "8CE3"), 0);
}
END_TEST

/* ---- webhooks ---- */

#define HOOK "/hooks/challenge/jamf"
#define EVENT                                                                             \
    "{\"webhook\":{\"id\":1,\"name\":\"SCEP\",\"eventTimestamp\":1553550275590,"          \
    "\"webhookEvent\":\"SCEPChallenge\"},\"event\":{\"scepServerUrl\":\"http://x/scep\"," \
    "\"payloadIdentifier\":\"com.example\",\"payloadTypes\":[\"com.apple.security.scep\"]}}"

static void post(const char *path, const char *type, struct view body)
{
    struct api_request r = {.method = HTTP_POST, .path = path, .body = body};
    r.header[API_CONTENT_TYPE] = type;
    if (*basic)
        r.header[API_AUTHORIZATION] = basic;
    ask(&r);
}

static void post_json(const char *path, const char *body)
{
    post(path, "application/json", view_str(body));
}

START_TEST(the_bare_challenge)
{
    char first[64];
    post_json(HOOK, EVENT);
    is(200);
    ck_assert_str_eq(reply.content_type, "text/plain");
    ck_assert_str_eq(header("Cache-Control"), "no-store");
    ck_assert_uint_eq(reply.body.n, 19); /* four groups of four, and nothing behind them */
    snprintf(first, sizeof first, "%.*s", (int)reply.body.n, (char *)reply.body.p);
    struct store_challenge c = record_of(first);
    ck_assert_str_eq(c.endpoint, "/scep");
    ck_assert_str_eq(c.label, "hook jamf");
    ck_assert_uint_eq(c.uses, 1);
    ck_assert_int_eq(c.expires_at, NOW + 600);
    ck_assert_uint_eq(audited("challenge.created", "label=hook jamf"), 1);
    post_json(HOOK, EVENT); /* once more: another one */
    is(200);
    ck_assert(memcmp(first, reply.body.p, reply.body.n) != 0);
    post(HOOK, "application/json; charset=utf-8", view_str("{}"));
    is(200);
    post(HOOK, NULL, view_str(""));
    is(200);
    snprintf(basic, sizeof basic, "Bearer %s", token);
    post_json(HOOK, EVENT);
    is(200);
    ck_assert_uint_eq(made(), 5);
}
END_TEST

START_TEST(a_challenge_for_programs)
{
    char secret[64];
    post_json(HOOK "/json", EVENT);
    is(200);
    ck_assert_str_eq(reply.content_type, "application/json");
    ck_assert_uint_eq(json_object_size(answer), 4);
    snprintf(secret, sizeof secret, "%s", text("challenge"));
    ck_assert_str_eq(record_of(secret).id, text("id"));
    ck_assert_str_eq(text("expires_at"), "2027-01-15T08:10:00Z");
    ck_assert_str_eq(text("url"), "http://scep.example.org/scep");
}
END_TEST

START_TEST(what_is_no_webhook)
{
    static const struct {
        const char *type, *body;
        int status;
        const char *code;
    } bad[] = {
        {"text/plain", EVENT, 415, "body.type"},
        {"application/jsonx", EVENT, 415, "body.type"},
        {NULL, EVENT, 415, "body.type"},
        {"application/json", "[]", 400, "body.malformed"},
        {"application/json", "\"SCEPChallenge\"", 400, "body.malformed"},
        {"application/json", "{", 400, "body.malformed"},
        {"application/json", "{}{}", 400, "body.malformed"},
        {"application/json", "{\"a\":1,\"a\":2}", 400, "body.malformed"},
        {"application/json", "{\"a\":\"\xff\"}", 400, "body.malformed"},
        {"application/json", "{\"a\":[[[[[[[[[[1]]]]]]]]]]}", 400, "body.malformed"},
        {"application/json", "{\"webhook\":{\"webhookEvent\":\"ComputerAdded\"}}", 422,
         "input.invalid"},
        {"application/json", "{\"webhook\":{\"webhookEvent\":7}}", 422, "input.invalid"},
        {"application/json", "{\"webhook\":[]}", 422, "input.invalid"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        post(HOOK, bad[i].type, view_str(bad[i].body));
        ck_assert_msg(reply.status == bad[i].status, "%s: %d", bad[i].body, reply.status);
        ck_assert_str_eq(text("code"), bad[i].code);
    }
    struct buf deep = {0};
    for (int i = 0; i < 100000; i++)
        buf_append_str(&deep, "[");
    post(HOOK, "application/json", buf_view(&deep));
    is_problem(400, "body.malformed");
    buf_reset(&deep);
    buf_append_str(&deep, "{\"a\":\"");
    while (deep.n < API_MAX_BODY)
        buf_append_str(&deep, "xxxxxxxxxxxxxxxx");
    buf_append_str(&deep, "\"}");
    post(HOOK, "application/json", buf_view(&deep));
    ck_assert_int_eq(reply.status, 413);
    buf_clear(&deep);
    ck_assert_uint_eq(made(), 0);
}
END_TEST

START_TEST(who_may_call_a_hook)
{
    static const char *const elsewhere[] = {
        "/hooks/challenge/",      "/hooks/challenge/JAMF",        "/hooks/challenge/jam",
        "/hooks/challenge/jamf/", "/hooks/challenge/jamf/json/x", "/hooks/challenge/jamf%2fjson"};
    for (size_t i = 0; i < sizeof elsewhere / sizeof *elsewhere; i++) {
        post_json(elsewhere[i], EVENT);
        if (i < 5)
            is(404);
    }
    uint64_t before = made();
    get(HOOK);
    is_problem(405, "method.forbidden");
    ck_assert_str_eq(header("Allow"), "POST");
    *basic = '\0';
    post_json(HOOK, EVENT);
    is_problem(401, "sign_in.needed");
    ck_assert_str_eq(header("WWW-Authenticate"), "Basic realm=\"scepd\", charset=\"UTF-8\"");
    basic_as("jamf", token); /* another's */
    post_json(HOOK, EVENT);
    is_problem(401, "sign_in.refused");
    ck_assert_uint_eq(made(), before);
}
END_TEST

START_TEST(a_hook_that_is_full)
{
    config.challenge_hook[0].cache = 2;
    post_json(HOOK, EVENT);
    post_json(HOOK, EVENT);
    is(200);
    post_json(HOOK, EVENT);
    ck_assert_int_eq(reply.status, 503);
    ck_assert_uint_eq(made(), 2);
    at += 600;
    basic_as("root", token);
    post_json(HOOK, EVENT);
    is(200);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {the_page,
                                  encodings,
                                  length_and_validity,
                                  paths,
                                  names_as_products_write_them,
                                  nobody_else_causes_one,
                                  an_auditor_sees_why,
                                  slots_are_free_at_once,
                                  pages_count_their_own,
                                  many_at_once,
                                  one_password_for_all,
                                  the_bare_challenge,
                                  a_challenge_for_programs,
                                  what_is_no_webhook,
                                  who_may_call_a_hook,
                                  a_hook_that_is_full};
    Suite *s = suite_create("api/ndes");
    TCase *c = tcase_create("ndes");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 120);
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++)
        tcase_add_test(c, tests[i]);
    suite_add_tcase(s, c);
    return check_main(s);
}
