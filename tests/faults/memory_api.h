/* An API over an authority whose store holds some of everything, asked while memory runs out. */
#pragma once

#include "../api/api_fixture.h"
#include "../bench/load.h"
#include "faultmem.h"
#include "scepd/memory.h"
#include "service_fixture.h"
#include "store/fleet.h"

#define must(call) ck_assert_msg((call), "%s", err.text)

static struct service_fixture f;
static struct store *own_store; /* the one of api_setup */

/* One question; # in its body is where the number of the try belongs. */
struct question {
    enum http_method method;
    const char *path, *body;
    int wanted;                 /* the answer that there would be */
};
static const char *presented, *cookie; /* by who asks; NULL: nothing */

static inline void make(const char *path, const char *body)
{
    call(HTTP_POST, path, body);
    is(201);
}

/* Sends devices to an endpoint: certificates, or requests that wait. */
static inline void send_devices(const char *path, const char *prefix, size_t n, enum enroll_verdict verdict)
{
    struct load l = {.n = n, .prefix = prefix};
    l.caps = (struct client_caps){.digests = ALG_BIT(DIGEST_SHA256), .ciphers = ALG_BIT(CIPHER_AES128)};
    must(service_fixture_ca(&f, service_fixture_endpoint(&f, path), &l.ca, &err));
    must(load_prepare(&l, NULL, 0, &err));
    for (size_t i = 0; i < n; i++) {
        struct scep_answer a;
        struct scep_call c = {.endpoint = service_fixture_endpoint(&f, path), .enroll = &f.enroll, .signer = f.signer,
                              .message = buf_view(&l.device[i].message), .peer = {"192.0.2.7", "test"}, .now = time(NULL)};
        scep_pki_operation(&c, &a);
        ck_assert_msg(a.verdict == verdict, "%s", a.detail);
        scep_answer_clear(&a);
        client_identity_clear(&l.device[i].identity);
        buf_clear(&l.device[i].message);
    }
    free(l.device);
    client_ca_clear(&l.ca);
}

static inline void prepare(size_t certificates, size_t requests)
{
    struct api_admin_wish wish = {.name = "root", .role = ROLE_ADMINISTRATOR};
    struct store_admin a;
    struct store_token t;
    char text_of[API_TOKEN_MAX];
    api_setup();
    at = time(NULL); /* as the certificates */
    must(service_fixture_init(&f, "p256", &err));
    must(api_admin_new(f.store, &wish, "test", at, &a, &err));
    must(api_token_new(f.store, a.id, TOKEN_API, "test", 86400, "test", at, text_of, &t, &err));
    snprintf(bearer, sizeof bearer, "Bearer %s", text_of);
    presented = bearer;
    own_store = world.store;
    world.store = f.store;
    world.config = f.config;
    world.rooms = &f.rooms;
    world.log = NULL;
    make("/api/v1/devices", "{\"name\":\"tablet\",\"user\":\"anna\"}");
    make("/api/v1/groups", "{\"name\":\"staff\"}");
    make("/api/v1/policies", "{\"name\":\"fleet\",\"endpoint\":\"/scep\",\"subject\":\"CN=%devicename%\"}");
    call_with(HTTP_PUT, "/api/v1/policies/fleet/assignments/tablet", NULL, API_IF_MATCH, "*");
    ck_assert_int_lt(reply.status, 300);
    if (certificates)
        send_devices("/open", "served", certificates, ENROLL_ISSUE);
    if (requests)
        send_devices("/manual", "waiting", requests, ENROLL_PEND);
}

static inline void teardown(void)
{
    world.store = own_store;
    service_fixture_clear(&f);
    api_teardown();
}

static inline void no_problem(void *ctx, const struct store_problem *p)
{
    ck_abort_msg("%s", p->text);
}

static inline void assert_whole(void)
{
    uint64_t problems = 1;
    must(store_verify(world.store, no_problem, NULL, &problems, &err));
    ck_assert_uint_eq(problems, 0);
}

static inline int times_said(const char *name)
{
    int n = 0;
    for (size_t i = 0; i < reply.header_n; i++)
        n += strcmp(reply.header[i].name, name) == 0;
    return n;
}

/* `fail`: that allocation of the answer fails, and with `lasting` all behind it; 0: none.  How many failed. */
static inline long asked(const struct question *q, long n, const char *key, long fail, bool lasting)
{
    char path[256], body[256];
    const char *number = q->body ? strchr(q->body, '#') : NULL;
    snprintf(path, sizeof path, "%.*s", (int)strcspn(q->path, "?"), q->path);
    struct api_request r = {.method = q->method, .path = path, .peer = "192.0.2.1", .now = at};
    r.query = q->path[strlen(path)] ? q->path + strlen(path) + 1 : "";
    if (number)
        snprintf(body, sizeof body, "%.*s%ld%s", (int)(number - q->body), q->body, n, number + 1);
    else
        snprintf(body, sizeof body, "%s", q->body ? q->body : "");
    if (q->body) {
        r.body = view_str(body);
        r.header[API_CONTENT_TYPE] = "application/json";
    }
    r.header[API_AUTHORIZATION] = presented;
    r.header[API_COOKIE] = cookie;
    r.header[API_IDEMPOTENCY_KEY] = key;
    r.header[API_IF_MATCH] = "*";
    r.header[API_HOST] = "scepd.example.org";
    forget();
    if (fail)
        faultmem_arm(fail, lasting);
    api_answer(&world, &r, &reply);
    long hits = fail ? faultmem_disarm() : 0;
    answer = json_loadb(reply.body.n ? (char *)reply.body.p : "", reply.body.n, JSON_REJECT_DUPLICATES, NULL);
    return hits;
}

/* As it would have been, or 503: nothing that says something of who asks, or of what. */
static inline bool assert_served(const struct question *q, long n, long hits, bool lasting)
{
    bool served = reply.status == q->wanted;
    ck_assert_msg(served || reply.status == 503, "%s, allocation %ld: %d %.*s", q->path, n, reply.status,
                  (int)reply.body.n, reply.body.p ? (char *)reply.body.p : "");
    ck_assert_msg(served || hits > 0, "%s: %.*s", q->path, (int)reply.body.n, (char *)reply.body.p);
    if (!served && !lasting)
        ck_assert_str_ne(header("Retry-After"), "");
    ck_assert_int_le(times_said("Retry-After"), 1);
    return served;
}

/* The id of the first item of a list. */
static inline void first_of(const char *list, char out[128])
{
    call(HTTP_GET, list, NULL);
    is(200);
    const char *id = json_string_value(json_object_get(json_array_get(json_object_get(answer, "items"), 0), "id"));
    ck_assert_ptr_nonnull(id);
    snprintf(out, 128, "%s", id);
}

/* The path of a question, in which a word in capitals stands for an id that nobody knows before. */
static inline const char *name_it(const struct question *q, char path[256])
{
    static const struct {
        const char *word, *list;
    } lists[] = {{"CERTIFICATE", "/api/v1/certificates"}, {"REQUEST", "/api/v1/requests"},
                 {"DEVICE", "/api/v1/devices"}, {"POLICY", "/api/v1/policies"}};
    char id[128];
    snprintf(path, 256, "%s", q->path);
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        const char *word = strstr(q->path, lists[i].word);
        if (!word)
            continue;
        first_of(lists[i].list, id);
        snprintf(path + (word - q->path), 256 - (size_t)(word - q->path), "%s%s", id, word + strlen(lists[i].word));
    }
    return path;
}
