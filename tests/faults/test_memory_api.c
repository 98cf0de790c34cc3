/* Memory that runs out at each allocation of a call of the API in turn, once or for good.
 *
 * Whatever fails, the answer is the one that would have been given, or 503: never a refusal that
 * says something of the caller or of the question.  The same question with the same Idempotency-Key
 * is then answered, or its answer is told to be unknown, and nothing is done twice. */
#include "../api/api_fixture.h"
#include "check_main.h"
#include "faultmem.h"
#include "scepd/memory.h"
#include "service_fixture.h"
#include "store/fleet.h"

static struct service_fixture f;

#define must(call) ck_assert_msg((call), "%s", err.text)

static void prepare(void)
{
    api_setup();
    must(service_fixture_init(&f, "p256", &err));
    world.config = f.config;
    world.rooms = &f.rooms;
    world.log = NULL;
    call(HTTP_POST, "/api/v1/devices", "{\"name\":\"tablet\"}");
    is(201);
    call(HTTP_POST, "/api/v1/policies",
         "{\"name\":\"fleet\",\"endpoint\":\"/scep\",\"subject\":\"CN=%devicename%\"}");
    is(201);
    call_with(HTTP_PUT, "/api/v1/policies/fleet/assignments/tablet", NULL, API_IF_MATCH, "*");
    ck_assert_int_lt(reply.status, 300);
}

static void teardown(void)
{
    service_fixture_clear(&f);
    api_teardown();
}

static bool count(void *ctx, const struct store_challenge *c)
{
    ++*(uint64_t *)ctx;
    return true;
}

/* Everything that calls of this test make. */
static uint64_t things(void)
{
    uint64_t n[DEVICE_STATES] = {0}, all = 0;
    must(store_challenge_list(world.store, count, &all, &err));
    must(store_device_counts(world.store, n, &err));
    for (size_t i = 0; i < DEVICE_STATES; i++)
        all += n[i];
    return all;
}

static void no_problem(void *ctx, const struct store_problem *p)
{
    ck_abort_msg("%s", p->text);
}

static void assert_whole(void)
{
    uint64_t problems = 1;
    must(store_verify(world.store, no_problem, NULL, &problems, &err));
    ck_assert_uint_eq(problems, 0);
}

/* Without memory; how many allocations failed. */
static long starved(long n, bool lasting, enum http_method method, const char *path,
                    const char *body, const char *key)
{
    struct api_request r = {.method = method, .path = path, .query = "", .body = view_str(body)};
    r.header[API_CONTENT_TYPE] = "application/json";
    r.header[API_AUTHORIZATION] = bearer;
    r.header[API_IDEMPOTENCY_KEY] = key;
    r.header[API_HOST] = "scepd.example.org";
    r.peer = "192.0.2.1";
    r.now = at;
    forget();
    faultmem_arm(n, lasting);
    api_answer(&world, &r, &reply);
    return faultmem_disarm();
}

/* A challenge that was told can be used. */
static int times_said(const char *name)
{
    int n = 0;
    for (size_t i = 0; i < reply.header_n; i++)
        n += strcmp(reply.header[i].name, name) == 0;
    return n;
}

static void assert_usable(void)
{
    uint8_t hash[STORE_HASH];
    struct store_challenge c;
    json_t *told = json_loadb((char *)reply.body.p, reply.body.n, 0, NULL);
    const char *secret = json_string_value(json_object_get(told, "secret"));
    if (secret) {
        ck_assert(challenge_hash(&f.rooms.challenge_key, view_str(secret), hash));
        must(store_challenge_by_hash(world.store, hash, &c, &err));
    }
    ck_assert_msg(told && (secret || !json_object_get(told, "uses")), "%.*s", (int)reply.body.n,
                  reply.body.p ? (char *)reply.body.p : "");
    json_decref(told);
}

/* `body` has a # where the number of the try belongs. */
static void number(const char *body, long n, char out[256])
{
    size_t before = strcspn(body, "#");
    if (body[before])
        snprintf(out, 256, "%.*s%ld%s", (int)before, body, n, body + before + 1);
    else
        snprintf(out, 256, "%s", body);
}

static void sweep(enum http_method method, int wanted, const char *path, const char *body,
                  bool lasting)
{
    char asked[256], key[32];
    long unknown = 0, lost = 0;
    for (long n = 1;; n++) {
        uint64_t before = things();
        number(body, n, asked);
        snprintf(key, sizeof key, "key-%ld", n);
        long hits = starved(n, lasting, method, path, asked, key);
        ck_assert_msg(reply.status == wanted || reply.status == 503, "allocation %ld: %d %.*s", n,
                      reply.status, (int)reply.body.n, reply.body.p ? (char *)reply.body.p : "");
        if (reply.status == wanted && method == HTTP_POST) {
            ck_assert_uint_eq(things(), before + 1);
            assert_usable();
        }
        if (reply.status != wanted)
            ck_assert_int_gt(hits, 0);
        if (reply.status != wanted && !lasting)
            ck_assert_str_ne(header("Retry-After"), "");
        ck_assert_int_le(times_said("Retry-After"), 1);
        lost += reply.status != wanted && things() > before;
        call_with(method, path, method == HTTP_POST ? asked : NULL, API_IDEMPOTENCY_KEY, key);
        if (reply.status == 409) {
            ck_assert_str_eq(text("code"), "repeat.unknown");
            unknown++;
        } else {
            is(wanted);
        }
        if (method == HTTP_POST)
            ck_assert_uint_le(things() - before, 1);
        if (method == HTTP_POST && reply.status == wanted)
            ck_assert_uint_eq(things() - before, 1);
        if (hits == 0) {
            printf("%s: %ld allocations, %s; done and not told: %ld, unknown: %ld\n", path, n - 1,
                   lasting ? "for good" : "one by one", lost, unknown);
            break;
        }
    }
    assert_whole();
}

/* _i: one allocation fails, or all from it on. */
START_TEST(a_challenge)
{
    prepare();
    sweep(HTTP_POST, 201, "/api/v1/challenges",
          "{\"label\":\"l-#\",\"endpoint\":\"/scep\",\"subject\":\"CN=tablet-7\"}", _i);
    teardown();
}
END_TEST

START_TEST(a_challenge_of_a_device)
{
    prepare();
    sweep(HTTP_POST, 201, "/api/v1/devices/tablet/challenges", "{\"policy\":\"fleet\"}", _i);
    teardown();
}
END_TEST

START_TEST(a_device)
{
    prepare();
    sweep(HTTP_POST, 201, "/api/v1/devices",
          "{\"name\":\"phone-#\",\"platform\":\"apple\",\"user\":\"anna\"}", _i);
    teardown();
}
END_TEST

START_TEST(a_list)
{
    prepare();
    sweep(HTTP_GET, 200, "/api/v1/devices", "", _i);
    teardown();
}
END_TEST

int main(void)
{
    if (!memory_watch())
        return EXIT_FAILURE;
    Suite *s = suite_create("faults/memory_api");
    TCase *c = tcase_create("memory");
    tcase_set_timeout(c, 300);
    tcase_add_loop_test(c, a_challenge, 0, 2);
    tcase_add_loop_test(c, a_challenge_of_a_device, 0, 2);
    tcase_add_loop_test(c, a_device, 0, 2);
    tcase_add_loop_test(c, a_list, 0, 2);
    suite_add_tcase(s, c);
    return check_main(s);
}
