/* An API over a store in a directory of its own, called from memory. */
#pragma once

#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/account.h"
#include "api/api.h"

#define NOW 1800000000

static char dir[256];
static const struct config no_settings; /* until a test has its own */
static const struct config_rooms no_rooms;
static struct api_world world;
static struct err err;
static int64_t at = NOW;      /* the time of the next call */
static struct api_reply reply; /* of the last call */
static json_t *answer;        /* its body; NULL if it was no JSON */
static char bearer[256]; /* "Bearer ..." of the administrator "root"; "" sends none */

static inline void api_setup(void)
{
    const char *tmp = getenv("TMPDIR");
    struct api_admin_wish wish = {.name = "root", .role = ROLE_ADMINISTRATOR, .disabled = 0};
    struct store_admin a;
    struct store_token t;
    char text[API_TOKEN_MAX];
    snprintf(dir, sizeof dir, "%s/api-XXXXXX", tmp ? tmp : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    struct store_options o = {.path = dir, .map_size = UINT64_C(64) << 20, .create = true};
    world = (struct api_world){.version = "test", .config = &no_settings, .rooms = &no_rooms, .state = api_state_new(), .epoch = 1};
    ck_assert_ptr_nonnull(world.state);
    ck_assert_msg(store_open(&o, &world.store, &err), "%s", err.text);
    ck_assert_msg(api_admin_new(world.store, &wish, "test", NOW, &a, &err), "%s", err.text);
    ck_assert_msg(api_token_new(world.store, a.id, TOKEN_API, "test", 86400, "test", NOW, text, &t,
                                &err),
                  "%s", err.text);
    snprintf(bearer, sizeof bearer, "Bearer %s", text);
    at = NOW;
}

static inline void forget(void)
{
    api_reply_clear(&reply);
    json_decref(answer);
    answer = NULL;
}

static inline void api_teardown(void)
{
    char file[600];
    forget();
    store_close(world.store);
    api_state_free(world.state);
    DIR *d = opendir(dir);
    for (const struct dirent *e; d && (e = readdir(d));)
        unlinkat(dirfd(d), e->d_name, 0);
    if (d)
        closedir(d);
    snprintf(file, sizeof file, "%s/crl", dir);
    rmdir(file);
    rmdir(dir);
}

static inline void ask(struct api_request *r)
{
    forget();
    r->now = at;
    if (!r->peer)
        r->peer = "192.0.2.1";
    if (!r->query)
        r->query = "";
    if (!r->header[API_HOST])
        r->header[API_HOST] = "scepd.example.org";
    api_answer(&world, r, &reply);
    answer = reply.body.n ? json_loadb((char *)reply.body.p, reply.body.n, JSON_REJECT_DUPLICATES, NULL)
                          : NULL;
}

/* `path` with its query; `body` NULL: none. */
static inline void call_with(enum http_method method, const char *path, const char *body,
                             enum api_header name, const char *value)
{
    char plain[2048];
    const char *query = strchr(path, '?');
    snprintf(plain, sizeof plain, "%.*s", (int)strcspn(path, "?"), path);
    struct api_request r = {.method = method, .path = plain, .query = query ? query + 1 : ""};
    if (body) {
        r.body = view_str(body);
        r.header[API_CONTENT_TYPE] = "application/json";
    }
    if (*bearer)
        r.header[API_AUTHORIZATION] = bearer;
    if (value)
        r.header[name] = value;
    ask(&r);
}

static inline void call(enum http_method method, const char *path, const char *body)
{
    call_with(method, path, body, API_HEADERS - 1, NULL);
}

static inline const char *text(const char *name)
{
    const char *s = json_string_value(json_object_get(answer, name));
    return s ? s : "";
}

static inline const char *header(const char *name)
{
    for (size_t i = 0; i < reply.header_n; i++)
        if (strcmp(reply.header[i].name, name) == 0)
            return reply.header[i].value;
    return "";
}

static inline struct store_write *api_begin(void)
{
    struct store_write *w = NULL;
    ck_assert(store_write_begin(world.store, &w, &err));
    return w;
}

/* In a write of its own, which the expression calls `in`. */
#define written(expression)                                          \
    do {                                                             \
        struct store_write *in = api_begin();                        \
        ck_assert_msg(expression, "%s", err.text);                   \
        ck_assert_msg(store_write_commit(in, &err), "%s", err.text); \
    } while (0)

#define is(expected)                                                                               \
    ck_assert_msg(reply.status == (expected), "%d: %.*s", reply.status, (int)reply.body.n,         \
                  reply.body.p ? (char *)reply.body.p : "")
#define is_problem(expected, expected_code)                                                        \
    do {                                                                                           \
        is(expected);                                                                              \
        ck_assert_str_eq(reply.content_type, "application/problem+json");                          \
        ck_assert_str_eq(text("code"), expected_code);                                             \
        ck_assert_str_ne(text("fix"), "");                                                         \
    } while (0)
