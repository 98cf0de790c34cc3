/* ETag, If-Match, If-None-Match, Idempotency-Key, pages of lists; also when several ask at once. */
#include <pthread.h>

#include "api_fixture.h"
#include "api_internal.h" /* white box: an answer without a call */
#include "base/memory.h"
#include "check_main.h"

static void make(const char *name)
{
    char body[256];
    snprintf(body, sizeof body, "{\"name\":\"%s\",\"role\":\"operator\"}", name);
    call(HTTP_POST, "/api/v1/admins", body);
    is(201);
}

START_TEST(an_item_has_a_strong_tag)
{
    make("anna");
    char tag[64], location[128];
    snprintf(tag, sizeof tag, "%s", header("ETag"));
    snprintf(location, sizeof location, "%s", header("Location"));
    ck_assert_str_eq(tag, "\"1\"");
    ck_assert_str_eq(header("Cache-Control"), "no-store");
    ck_assert_str_eq(text("etag"), tag);
    call(HTTP_GET, location, NULL);
    is(200);
    ck_assert_str_eq(header("ETag"), tag);
    call_with(HTTP_GET, location, NULL, API_IF_NONE_MATCH, "\"7\", W/\"1\"");
    is(304);
    ck_assert_uint_eq(reply.body.n, 0);
    call_with(HTTP_GET, location, NULL, API_IF_NONE_MATCH, "\"11\"");
    is(200);
}
END_TEST

START_TEST(a_change_needs_if_match)
{
    make("anna");
    call(HTTP_PATCH, "/api/v1/admins/anna", "{\"disabled\":true}");
    is_problem(428, "condition.needed");
    call_with(HTTP_PATCH, "/api/v1/admins/anna", "{\"disabled\":true}", API_IF_MATCH, "\"2\"");
    is_problem(412, "changed");
    ck_assert_str_eq(json_string_value(json_object_get(json_object_get(answer, "current"), "etag")),
                     "\"1\"");
    call_with(HTTP_PATCH, "/api/v1/admins/anna", "{\"disabled\":true}", API_IF_MATCH, "W/\"1\"");
    is_problem(412, "changed");
    call_with(HTTP_PATCH, "/api/v1/admins/anna", "{\"disabled\":true}", API_IF_MATCH, "\"1\"");
    is(200);
    ck_assert_str_eq(header("ETag"), "\"2\"");
    ck_assert(json_is_true(json_object_get(answer, "disabled")));
    call_with(HTTP_DELETE, "/api/v1/admins/anna", NULL, API_IF_MATCH, "*");
    is(204);
    call(HTTP_GET, "/api/v1/admins/anna", NULL);
    is_problem(404, "not_found");
}
END_TEST

START_TEST(a_list_has_a_weak_tag)
{
    char tag[80];
    call(HTTP_GET, "/api/v1/admins", NULL);
    snprintf(tag, sizeof tag, "%s", header("ETag"));
    ck_assert_int_eq(strncmp(tag, "W/", 2), 0);
    call_with(HTTP_GET, "/api/v1/admins", NULL, API_IF_NONE_MATCH, tag);
    is(304);
    make("anna");
    call_with(HTTP_GET, "/api/v1/admins", NULL, API_IF_NONE_MATCH, tag);
    is(200);
}
END_TEST

/* Items that come and go meanwhile: none that stood all the time is missed or told twice. */
START_TEST(pages_are_stable)
{
    char path[600] = "/api/v1/admins?limit=3", seen[64][32];
    size_t n = 0;
    for (int i = 0; i < 10; i++) {
        char name[32];
        snprintf(name, sizeof name, "anna%d", i);
        make(name);
    }
    for (int page = 0; *path; page++) {
        char next[512];
        call(HTTP_GET, path, NULL);
        is(200);
        json_t *items = json_object_get(answer, "items");
        for (size_t i = 0; i < json_array_size(items); i++)
            snprintf(seen[n++], 32, "%s",
                     json_string_value(json_object_get(json_array_get(items, i), "name")));
        snprintf(next, sizeof next, "%s", text("next"));
        if (*next)
            ck_assert_ptr_nonnull(strstr(header("Link"), next));
        snprintf(path, sizeof path, *next ? "/api/v1/admins?limit=3&cursor=%s" : "", next);
        char name[32];
        snprintf(name, sizeof name, "late%d", page);
        make(name);
    }
    for (int i = 0; i < 10; i++) {
        char name[32];
        size_t times = 0;
        snprintf(name, sizeof name, "anna%d", i);
        for (size_t k = 0; k < n; k++)
            times += strcmp(seen[k], name) == 0;
        ck_assert_uint_eq(times, 1);
    }
}
END_TEST

/* Each page names the next one of the same question, however long it is and whatever it has
 * unescaped. */
static void two_pages(const char *path)
{
    char next[2000] = "";
    call(HTTP_GET, path, NULL);
    is(200);
    char first[64];
    snprintf(first, sizeof first, "%s",
             json_string_value(
                 json_object_get(json_array_get(json_object_get(answer, "items"), 0), "id")));
    ck_assert_msg(sscanf(header("Link"), "<%1999[^>]>; rel=\"next\"", next) == 1, "%s: %s", path,
                  header("Link"));
    ck_assert_ptr_null(strpbrk(next, ",\""));
    call(HTTP_GET, next, NULL);
    is(200);
    const json_t *items = json_object_get(answer, "items");
    ck_assert_uint_eq(json_array_size(items), 1);
    ck_assert_str_ne(json_string_value(json_object_get(json_array_get(items, 0), "id")), first);
}

START_TEST(a_link_asks_the_same)
{
    char name[128], body[300], path[1000] = "/api/v1/devices/";
    memset(name, 'n', 127);
    name[127] = '\0';
    const char *const names[] = {name, "a,1", "a,2"};
    for (size_t i = 0; i < 3; i++) {
        snprintf(body, sizeof body, "{\"name\":\"%s\"}", names[i]);
        call(HTTP_POST, "/api/v1/devices", body);
        is(201);
    }
    two_pages("/api/v1/devices?q=a,&limit=1");
    for (size_t i = 0; i < 127; i++)
        strcat(path, "%6E");
    call_with(HTTP_PATCH, path, "{\"user\":\"bert\"}", API_IF_MATCH, "*");
    is(200);
    two_pages(strcat(path, "/events?limit=1"));
}
END_TEST

/* ---- Idempotency-Key ---- */

START_TEST(the_same_question_gets_the_same_answer)
{
    static const char body[] = "{\"label\":\"ci\"}";
    char secret[128], id[64];
    call_with(HTTP_POST, "/api/v1/tokens", body, API_IDEMPOTENCY_KEY, "key-1");
    is(201);
    snprintf(secret, sizeof secret, "%s", text("secret"));
    snprintf(id, sizeof id, "%s", text("id"));
    ck_assert_uint_gt(strlen(secret), 30);
    at += 3600;
    call_with(HTTP_POST, "/api/v1/tokens", body, API_IDEMPOTENCY_KEY, "key-1");
    is(201);
    ck_assert_str_eq(text("secret"), secret);
    ck_assert_str_eq(text("id"), id);
    ck_assert_str_eq(header("Idempotency-Replayed"), "true");
    ck_assert_ptr_nonnull(strstr(header("Location"), id));
    call_with(HTTP_POST, "/api/v1/tokens", "{\"label\":\"other\"}", API_IDEMPOTENCY_KEY, "key-1");
    is_problem(422, "repeat.other");
    call_with(HTTP_POST, "/api/v1/tokens", body, API_IDEMPOTENCY_KEY, "key-2");
    is(201);
    ck_assert_str_ne(text("id"), id);
    call_with(HTTP_POST, "/api/v1/tokens", body, API_IDEMPOTENCY_KEY, "two words");
    is_problem(422, "repeat.malformed");
}
END_TEST

/* What lies in the store must not hold the secret that was answered. */
START_TEST(kept_answers_hold_no_secret)
{
    char secret[128], file[600];
    call_with(HTTP_POST, "/api/v1/tokens", "{}", API_IDEMPOTENCY_KEY, "key-1");
    is(201);
    snprintf(secret, sizeof secret, "%s", text("secret"));
    snprintf(file, sizeof file, "%s/data.mdb", dir);
    FILE *f = fopen(file, "r");
    ck_assert_ptr_nonnull(f);
    static char all[8 << 20];
    size_t n = fread(all, 1, sizeof all, f);
    fclose(f);
    ck_assert_ptr_nonnull(memmem(all, n, "tok_", 4));
    ck_assert_ptr_null(memmem(all, n, strrchr(secret, '_') + 1, 20));
}
END_TEST

START_TEST(refusals_are_kept_too)
{
    make("anna");
    call_with(HTTP_POST, "/api/v1/admins", "{\"name\":\"anna\",\"role\":\"auditor\"}",
              API_IDEMPOTENCY_KEY, "key-1");
    is_problem(409, "exists");
    call_with(HTTP_DELETE, "/api/v1/admins/anna", NULL, API_IF_MATCH, "\"1\"");
    is(204);
    call_with(HTTP_POST, "/api/v1/admins", "{\"name\":\"anna\",\"role\":\"auditor\"}",
              API_IDEMPOTENCY_KEY, "key-1");
    is_problem(409, "exists");
    ck_assert_str_eq(header("Idempotency-Replayed"), "true");
}
END_TEST

/* ---- when memory runs out ---- */

static unsigned allocations_left;

static void *scarce(size_t n)
{
    return allocations_left == 0 || --allocations_left == 0 ? NULL : malloc(n);
}

static bool count_key_tokens(void *count, const struct store_token *t)
{
    *(unsigned *)count += strcmp(t->label, "scarce") == 0;
    return true;
}

static unsigned key_tokens(void)
{
    unsigned n = 0;
    ck_assert(store_token_list(world.store, NULL, "", count_key_tokens, &n, &err));
    return n;
}

/* The n-th allocation and all behind it fail, for every n: whatever was left undone is done by the
 * second try, and what was done is not done again. */
START_TEST(nothing_is_done_twice_for_want_of_memory)
{
    unsigned unknown = 0, done = 0;
    for (unsigned n = 1; !done; n++) {
        char key[32];
        unsigned before = key_tokens();
        snprintf(key, sizeof key, "scarce-%u", n);
        allocations_left = n;
        json_set_alloc_funcs(scarce, free);
        call_with(HTTP_POST, "/api/v1/tokens", "{\"label\":\"scarce\"}", API_IDEMPOTENCY_KEY, key);
        json_set_alloc_funcs(malloc, free);
        done = reply.status == 201;
        call_with(HTTP_POST, "/api/v1/tokens", "{\"label\":\"scarce\"}", API_IDEMPOTENCY_KEY, key);
        ck_assert_msg(key_tokens() == before + 1, "allocation %u: %u tokens", n,
                      key_tokens() - before);
        if (reply.status != 201)
            is_problem(409, "repeat.unknown");
        unknown += reply.status == 409;
        ck_assert_uint_lt(n, 1000);
    }
    ck_assert_uint_gt(unknown, 0);
}
END_TEST

/* An answer whose headers lack one that could not be made is none: before the body or behind it. */
START_TEST(no_answer_lacks_a_header)
{
    static const wchar_t never[] = {0x7fffffff, 0}; /* has no text, which fails as memory does */
    static const struct api_request request = {.path = "/", .query = ""};
    enum { JSON, BYTES, JSON_BEFORE, NONE_BEFORE, ORDERS };
    for (int order = 0; order < ORDERS; order++) {
        struct api_reply r = {.status = 0};
        struct api_call_private priv = {.out = &r};
        struct api_call c = {.world = &world, .request = &request, .priv = &priv};
        memory_forget();
        if (order == JSON_BEFORE)
            api_reply_json(&c, 201, json_pack("{s:s}", "name", "anna"));
        if (order == NONE_BEFORE)
            api_reply_none(&c);
        api_reply_header(&c, "Set-Cookie", "%ls", never);
        if (order == JSON)
            api_reply_json(&c, 201, json_pack("{s:s}", "name", "anna"));
        if (order == BYTES)
            api_reply_bytes(&c, 200, "text/plain", view_str("x"));
        ck_assert(memory_failed());
        ck_assert_int_eq(r.status, 503);
        ck_assert_uint_eq(r.header_n, 1);
        ck_assert_str_eq(r.header[0].name, "Retry-After");
        api_reply_clear(&r);
    }
    memory_forget();
}
END_TEST

START_TEST(kept_for_a_day)
{
    call_with(HTTP_POST, "/api/v1/tokens", "{}", API_IDEMPOTENCY_KEY, "key-1");
    is(201);
    char id[64];
    snprintf(id, sizeof id, "%s", text("id"));
    ck_assert(api_housekeep(world.store, NOW + 86400, &err));
    call_with(HTTP_POST, "/api/v1/tokens", "{}", API_IDEMPOTENCY_KEY, "key-1");
    ck_assert_str_eq(text("id"), id);
    ck_assert(api_housekeep(world.store, NOW + 86401, &err));
    call_with(HTTP_POST, "/api/v1/tokens", "{}", API_IDEMPOTENCY_KEY, "key-1");
    is(201);
    ck_assert_str_ne(text("id"), id);
}
END_TEST

/* ---- several at once ---- */

#define THREADS 8

struct racer {
    pthread_t thread;
    struct api_reply reply;
    const char *path, *body, *if_match, *key;
    enum http_method method;
};

static void *race(void *racer)
{
    struct racer *r = racer;
    struct api_request q = {.method = r->method,
                            .path = r->path,
                            .query = "",
                            .peer = "192.0.2.1",
                            .body = view_str(r->body),
                            .now = NOW};
    q.header[API_CONTENT_TYPE] = "application/json";
    q.header[API_AUTHORIZATION] = bearer;
    q.header[API_IF_MATCH] = r->if_match;
    q.header[API_IDEMPOTENCY_KEY] = r->key;
    api_answer(&world, &q, &r->reply);
    return NULL;
}

static size_t run_race(struct racer *r, int good, int other)
{
    size_t won = 0;
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&r[i].thread, NULL, race, &r[i]), 0);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(r[i].thread, NULL);
        ck_assert_msg(r[i].reply.status == good || r[i].reply.status == other, "%d: %.*s",
                      r[i].reply.status, (int)r[i].reply.body.n, r[i].reply.body.p);
        won += r[i].reply.status == good;
    }
    return won;
}

/* All know the same version: one wins, and all others are told of it. */
START_TEST(one_change_of_many_wins)
{
    struct racer r[THREADS] = {0};
    make("anna");
    for (int round = 1; round <= 5; round++) {
        char tag[32];
        snprintf(tag, sizeof tag, "\"%d\"", round);
        for (int i = 0; i < THREADS; i++)
            r[i] =
                (struct racer){.method = HTTP_PATCH,
                               .path = "/api/v1/admins/anna",
                               .body = i % 2 ? "{\"role\":\"auditor\"}" : "{\"role\":\"operator\"}",
                               .if_match = tag};
        ck_assert_uint_eq(run_race(r, 200, 412), 1);
        for (int i = 0; i < THREADS; i++)
            api_reply_clear(&r[i].reply);
    }
}
END_TEST

/* The same question from all at once is done once: the others are told to wait, or get the answer.
 */
START_TEST(one_question_of_many_is_done)
{
    struct racer r[THREADS] = {0};
    for (int round = 0; round < 5; round++) {
        char key[32];
        snprintf(key, sizeof key, "round-%d", round);
        for (int i = 0; i < THREADS; i++)
            r[i] = (struct racer){.method = HTTP_POST,
                                  .path = "/api/v1/tokens",
                                  .body = "{\"label\":\"race\"}",
                                  .key = key};
        size_t answered = run_race(r, 201, 409);
        ck_assert_uint_ge(answered, 1);
        for (int i = 0; i < THREADS; i++)
            api_reply_clear(&r[i].reply);
    }
    call(HTTP_GET, "/api/v1/tokens?kind=api", NULL);
    ck_assert_uint_eq(json_array_size(json_object_get(answer, "items")), 1 + 5);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("conditions");
    TCase *c = tcase_create("conditions");
    tcase_add_checked_fixture(c, api_setup, api_teardown);
    tcase_add_test(c, an_item_has_a_strong_tag);
    tcase_add_test(c, a_change_needs_if_match);
    tcase_add_test(c, a_list_has_a_weak_tag);
    tcase_add_test(c, pages_are_stable);
    tcase_add_test(c, a_link_asks_the_same);
    tcase_add_test(c, the_same_question_gets_the_same_answer);
    tcase_add_test(c, kept_answers_hold_no_secret);
    tcase_add_test(c, refusals_are_kept_too);
    tcase_add_test(c, nothing_is_done_twice_for_want_of_memory);
    tcase_add_test(c, no_answer_lacks_a_header);
    tcase_add_test(c, kept_for_a_day);
    tcase_add_test(c, one_change_of_many_wins);
    tcase_add_test(c, one_question_of_many_is_done);
    tcase_set_timeout(c, 60);
    suite_add_tcase(s, c);
    return check_main(s);
}
