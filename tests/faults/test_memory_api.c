/* Memory that runs out at each allocation of a call of the API in turn, once or for good.
 *
 * Whatever fails, the answer is the one that would have been given, or 503: never a refusal that
 * says something of the caller or of the question.  The same question with the same Idempotency-Key
 * is then answered, or its answer is told to be unknown, and nothing is done twice. */
#include "check_main.h"
#include "enroll/explain.h"
#include "memory_api.h"

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

/* A challenge that was told can be used. */
static void assert_usable(void)
{
    uint8_t hash[STORE_HASH];
    struct store_challenge c;
    const char *secret = json_string_value(json_object_get(answer, "secret"));
    if (secret) {
        ck_assert(challenge_hash(&f.rooms.challenge_key, view_str(secret), hash));
        must(store_challenge_by_hash(world.store, hash, &c, &err));
    }
    ck_assert_msg(answer && (secret || !json_object_get(answer, "uses")), "%.*s", (int)reply.body.n,
                  reply.body.p ? (char *)reply.body.p : "");
}

static void sweep(const struct question *q, bool lasting)
{
    char key[32];
    long unknown = 0, lost = 0;
    for (long n = 1, hits = 1; hits; n++) {
        uint64_t before = things();
        snprintf(key, sizeof key, "key-%ld", n);
        hits = asked(q, n, key, n, lasting);
        bool served = assert_served(q, n, hits, lasting);
        if (served) {
            ck_assert_uint_eq(things(), before + 1);
            assert_usable();
        }
        lost += !served && things() > before;
        asked(q, n, key, 0, false);
        if (reply.status == 409) {
            ck_assert_str_eq(text("code"), "repeat.unknown");
            ck_assert_msg(things() > before,
                          "allocation %ld: nothing was done, and it is not known", n);
            unknown++;
        } else {
            is(q->wanted);
            ck_assert_uint_eq(things() - before, 1);
        }
        ck_assert_uint_le(things() - before, 1);
        if (hits == 0)
            printf("%s: %ld allocations, %s; done and not told: %ld, unknown: %ld\n", q->path,
                   n - 1, lasting ? "for good" : "one by one", lost, unknown);
    }
    assert_whole();
}

/* ---- what is made ---- */

static const struct question makes[] = {
    {HTTP_POST, "/api/v1/challenges",
     "{\"label\":\"l-#\",\"endpoint\":\"/scep\",\"subject\":\"CN=tablet-7\"}", 201},
    {HTTP_POST, "/api/v1/devices/tablet/challenges", "{\"policy\":\"fleet\"}", 201},
    {HTTP_POST, "/api/v1/devices",
     "{\"name\":\"phone-#\",\"platform\":\"apple\",\"user\":\"anna\"}", 201},
};

/* _i: which, and whether one allocation fails or all from it on. */
START_TEST(made_once)
{
    prepare(0, 0);
    sweep(&makes[_i / 2], _i % 2);
    teardown();
}
END_TEST

/* ---- what failed while memory was out ---- */

/* With memory out for good from that allocation on.  Was it done? */
static bool starved(const char *key, long allocation)
{
    uint64_t before = things();
    asked(&makes[0], 0, key, allocation, true);
    return things() > before;
}

static void repeated(const char *key)
{
    asked(&makes[0], 0, key, 0, false);
}

static uint64_t forget_kept(void)
{
    uint64_t n = 0;
    written(store_kept_purge(in, at + 1, &n, &err));
    return n;
}

/* Which allocation is the n-th differs by a few from call to call. */
#define JITTER 8

/* An allocation whose lack leaves a question done and its answer lost. */
static long loses_the_answer(void)
{
    char key[32];
    for (long n = 1; n < 10000; n++) {
        snprintf(key, sizeof key, "lost-%ld", n);
        if (!starved(key, n))
            continue;
        repeated(key);
        if (reply.status == 409)
            return n + JITTER;
    }
    ck_abort_msg("no answer is ever lost");
}

/* The first whose lack leaves a question kept as begun that is known to have failed. */
static long leaves_undone(void)
{
    char key[32];
    forget_kept();
    for (long n = 1; n < 10000; n++) {
        snprintf(key, sizeof key, "begun-%ld", n);
        if (!starved(key, n) && forget_kept() == 1)
            return n;
    }
    ck_abort_msg("no question is ever left undone");
}

/* What is known of a question ends with its record: a later one of the same key is another. */
START_TEST(undone_is_forgotten)
{
    char key[32];
    unsigned lost_again = 0;
    prepare(0, 0);
    long undone = leaves_undone(), lost = loses_the_answer();
    for (long n = undone; n < lost; n++) {
        snprintf(key, sizeof key, "key-%ld", n);
        starved(key, n);
        forget_kept();
        uint64_t before = things();
        bool done = starved(key, lost);
        lost_again += done && reply.status != 201;
        repeated(key);
        ck_assert_msg(things() <= before + 1, "allocation %ld: it was done twice", n);
    }
    ck_assert_uint_gt(lost_again, 0);
    teardown();
}
END_TEST

/* An allocation whose lack leaves such a question undone once more. */
static long fails_again(long undone)
{
    long n = 1;
    starved("again", undone + JITTER);
    while (n < 10000 && !starved("again", n))
        n++;
    return n - JITTER;
}

/* However often another question fails. */
START_TEST(undone_is_known_beside_others)
{
    prepare(0, 0);
    long undone = leaves_undone(), again = fails_again(undone);
    ck_assert(!starved("key", undone + JITTER));
    ck_assert(!starved("other", undone + JITTER));
    for (int i = 0; i < 200; i++)
        ck_assert(!starved("other", again));
    repeated("key");
    is(201);
    repeated("other");
    is(201);
    teardown();
}
END_TEST

/* ---- what is read ---- */

static const struct question reads[] = {
    {HTTP_GET, "/api/v1/devices", NULL, 200},
    {HTTP_GET, "/api/v1/devices/tablet", NULL, 200},
    {HTTP_GET, "/api/v1/devices/tablet/certificates", NULL, 200},
    {HTTP_GET, "/api/v1/devices/tablet/policies", NULL, 200},
    {HTTP_GET, "/api/v1/devices/tablet/events", NULL, 200},
    {HTTP_GET, "/api/v1/groups/staff", NULL, 200},
    {HTTP_GET, "/api/v1/groups/staff/members", NULL, 200},
    {HTTP_GET, "/api/v1/policies/fleet", NULL, 200},
    {HTTP_GET, "/api/v1/policies/fleet/assignments", NULL, 200},
    {HTTP_GET, "/api/v1/certificates?limit=1", NULL, 200},
    {HTTP_GET, "/api/v1/certificates/CERTIFICATE", NULL, 200},
    {HTTP_GET, "/api/v1/requests", NULL, 200},
    {HTTP_GET, "/api/v1/requests/REQUEST", NULL, 200},
    {HTTP_GET, "/api/v1/explain?what=DEVICE", NULL, 200},
    {HTTP_GET, "/api/v1/explain?what=tablet", NULL, 200},
    {HTTP_GET, "/api/v1/explain?what=POLICY", NULL, 200},
    {HTTP_GET, "/api/v1/explain?what=CERTIFICATE", NULL, 200},
    {HTTP_GET, "/api/v1/explain?what=REQUEST", NULL, 200},
    {HTTP_GET, "/api/v1/overview", NULL, 200},
    {HTTP_GET, "/api/v1/authorities", NULL, 200},
    {HTTP_GET, "/api/v1/endpoints", NULL, 200},
    {HTTP_GET, "/api/v1/templates", NULL, 200},
    {HTTP_GET, "/api/v1/session", NULL, 200},
    {HTTP_GET, "/api/v1/tokens", NULL, 200},
    {HTTP_GET, "/api/v1/openapi.json", NULL, 200},
};

/* An answer is the whole of it. */
static void sweep_read(const struct question *q, bool lasting)
{
    char path[256], *whole, *link;
    name_it(q, path);
    struct question named = {HTTP_GET, path, NULL, q->wanted};
    asked(&named, 0, NULL, 0, false); /* what is made once and kept */
    asked(&named, 0, NULL, 0, false);
    is(q->wanted);
    ck_assert_ptr_nonnull(whole = strndup((char *)reply.body.p, reply.body.n));
    ck_assert_ptr_nonnull(link = strdup(header("Link")));
    for (long n = 1, hits = 1; hits; n++) {
        hits = asked(&named, 0, NULL, n, lasting);
        if (!assert_served(&named, n, hits, lasting))
            continue;
        ck_assert_msg(
            strlen(whole) == reply.body.n && memcmp(whole, reply.body.p, reply.body.n) == 0,
            "%s, allocation %ld:\n%.*s%s", path, n, (int)reply.body.n, (char *)reply.body.p, whole);
        ck_assert_str_eq(header("Link"), link);
    }
    free(whole);
    free(link);
}

START_TEST(read_whole)
{
    prepare(2, 1);
    for (size_t i = 0; i < sizeof reads / sizeof *reads; i++)
        sweep_read(&reads[i], _i);
    teardown();
}
END_TEST

/* Known by its record alone: what cannot be looked up is not unknown. */
START_TEST(searched_whole)
{
    static struct explain_search found;
    char id[128];
    prepare(0, 0);
    first_of("/api/v1/devices", id);
    for (long n = 1, hits = 1; hits; n++) {
        err_clear(&err);
        faultmem_arm(n, _i);
        bool ok = explain_search(world.store, id, 0, &found, &err);
        hits = faultmem_disarm();
        ck_assert_int_eq(ok ? ERR_NONE : err.kind, hits ? ERR_MEMORY : ERR_NONE);
        ck_assert_uint_eq(found.found_n, ok);
    }
    teardown();
}
END_TEST

int main(void)
{
    if (!memory_watch())
        return EXIT_FAILURE;
    Suite *s = suite_create("faults/memory_api");
    TCase *made = tcase_create("made"), *read = tcase_create("read");
    tcase_set_timeout(made, 300);
    tcase_set_timeout(read, 300);
    tcase_add_loop_test(made, made_once, 0, 2 * sizeof makes / sizeof *makes);
    tcase_add_test(made, undone_is_forgotten);
    tcase_add_test(made, undone_is_known_beside_others);
    tcase_add_loop_test(read, read_whole, 0, 2);
    tcase_add_loop_test(read, searched_whole, 0, 2);
    suite_add_tcase(s, made);
    suite_add_tcase(s, read);
    return check_main(s);
}
