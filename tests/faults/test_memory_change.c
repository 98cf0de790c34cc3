/* Memory that runs out at each allocation of a call of the API that changes something, of signing
 * in, of the page of NDES, and of a step of a job that does one thing to many.
 *
 * Nobody is told of himself or of his question what is not so, and what was asked for and told to
 * have failed can be asked for again. */
#include <openssl/evp.h>

#include "ca/crl.h"
#include "check_main.h"
#include "memory_api.h"
#include "store/job.h"

/* ---- changes ---- */

static const struct change {
    struct question q, before; /* what undoes it, asked with memory */
    int already;               /* the answer when it was done and not told; 0: as before */
} changes[] = {
    {{HTTP_PATCH, "/api/v1/devices/tablet", "{\"user\":\"user-#\"}", 200}, {.path = NULL}, 0},
    {{HTTP_PATCH, "/api/v1/groups/staff", "{\"note\":\"note-#\"}", 200}, {.path = NULL}, 0},
    {{HTTP_PATCH, "/api/v1/policies/fleet", "{\"subject\":\"CN=%devicename%,O=o-#\"}", 200},
     {.path = NULL},
     0},
    {{HTTP_PATCH, "/api/v1/admins/root", "{\"role\":\"administrator\"}", 200}, {.path = NULL}, 0},
    {{HTTP_PUT, "/api/v1/groups/staff/members/tablet", NULL, 200},
     {HTTP_DELETE, "/api/v1/groups/staff/members/tablet", NULL, 200},
     0},
    {{HTTP_DELETE, "/api/v1/policies/fleet/assignments/tablet", NULL, 200},
     {HTTP_PUT, "/api/v1/policies/fleet/assignments/tablet", NULL, 200},
     404},
    {{HTTP_POST, "/api/v1/devices/tablet/isolate", "{}", 200},
     {HTTP_POST, "/api/v1/devices/tablet/release", "{}", 200},
     409},
    {{HTTP_POST, "/api/v1/certificates/CERTIFICATE/revoke", "{\"reason\":\"hold\"}", 200},
     {HTTP_POST, "/api/v1/certificates/CERTIFICATE/release", "{}", 200},
     409},
    {{HTTP_DELETE, "/api/v1/groups/brief", NULL, 200},
     {HTTP_POST, "/api/v1/groups", "{\"name\":\"brief\"}", 201},
     404},
};

static void assert_said(const struct question *q, long n)
{
    char mark[32];
    const char *number = q->body ? strchr(q->body, '#') : NULL;
    snprintf(mark, sizeof mark, "-%ld\"", n);
    if (number)
        ck_assert_msg(reply.body.n && memmem(reply.body.p, reply.body.n, mark, strlen(mark)),
                      "%s: %.*s", q->path, (int)reply.body.n, (char *)reply.body.p);
}

static void sweep_change(const struct change *ch, bool lasting)
{
    char path[256], undo[256];
    struct question q = ch->q, before = ch->before;
    long lost = 0;
    q.path = name_it(&ch->q, path);
    if (before.path)
        before.path = name_it(&ch->before, undo);
    for (long n = 1, hits = 1; hits; n++) {
        if (before.path)
            asked(&before, n, NULL, 0, false);
        hits = asked(&q, n, NULL, n, lasting);
        bool served = assert_served(&q, n, hits, lasting);
        if (served)
            assert_said(&q, n);
        asked(&q, n, NULL, 0, false);
        ck_assert_msg(reply.status == q.wanted || reply.status == ch->already, "%s: %d %.*s",
                      q.path, reply.status, (int)reply.body.n, (char *)reply.body.p);
        lost += !served && reply.status == ch->already;
        if (reply.status == q.wanted)
            assert_said(&q, n);
        if (hits == 0)
            printf("%s: %ld allocations, %s; done and not told: %ld\n", q.path, n - 1,
                   lasting ? "for good" : "one by one", lost);
    }
    assert_whole();
}

/* _i: which, and whether one allocation fails or all from it on. */
START_TEST(changed_or_not)
{
    prepare(1, 0);
    sweep_change(&changes[_i / 2], _i % 2);
    teardown();
}
END_TEST

/* ---- signing in ---- */

static const char *sign_in_body(const char *member, const char *secret)
{
    static char body[256];
    snprintf(body, sizeof body, "{\"%s\":\"%.200s\"}", member, secret);
    return body;
}

/* By the cookie of the last answer, which is presented from now on. */
static void assert_signed_in(void)
{
    static char value[256];
    const struct question q = {HTTP_GET, "/api/v1/session", NULL, 200};
    snprintf(value, sizeof value, "%.*s", (int)strcspn(header("Set-Cookie"), ";"),
             header("Set-Cookie"));
    cookie = value;
    asked(&q, 0, NULL, 0, false);
    is(200);
    ck_assert_str_eq(text("name"), "root");
}

/* A link is good once; whoever was sent away may have lost it, and gets another. */
START_TEST(links)
{
    long lost = 0;
    prepare(0, 0);
    presented = NULL;
    for (long n = 1, hits = 1; hits; n++) {
        struct store_token t;
        char code[API_TOKEN_MAX];
        must(api_token_new(world.store, "root", TOKEN_LINK, "", API_LINK_TTL, "test", at, code, &t,
                           &err));
        struct question q = {HTTP_POST, "/api/v1/session", sign_in_body("code", code), 201};
        cookie = NULL;
        hits = asked(&q, n, NULL, n, _i);
        bool served = assert_served(&q, n, hits, _i);
        if (!served) {
            asked(&q, n, NULL, 0, false);
            served = reply.status == 201;
            ck_assert_int_eq(reply.status, served ? 201 : 401);
            lost += !served;
        }
        if (served)
            assert_signed_in();
        at += 60; /* what was refused is forgiven */
    }
    printf("links used and not told: %ld\n", lost);
    assert_whole();
    teardown();
}
END_TEST

/* However many were sent away: nothing wrong was presented, and nobody is slowed down. */
START_TEST(sessions)
{
    prepare(0, 0);
    const struct question in = {HTTP_POST, "/api/v1/session", sign_in_body("token", bearer + 7),
                                201};
    const struct question q = {HTTP_GET, "/api/v1/devices", NULL, 200};
    presented = NULL;
    for (long n = 1, hits = 1; hits; n++) {
        cookie = NULL;
        hits = asked(&in, n, NULL, n, _i);
        if (assert_served(&in, n, hits, _i))
            assert_signed_in();
    }
    for (long n = 1, hits = 1; hits; n++) {
        hits = asked(&q, n, NULL, n, _i);
        assert_served(&q, n, hits, _i);
    }
    cookie = NULL;
    presented = "Bearer wrong";
    asked(&q, 0, NULL, 0, false);
    is_problem(401, "sign_in.refused");
    assert_whole();
    teardown();
}
END_TEST

/* ---- the page of NDES, and the webhook that answers with a challenge ---- */

#define PAGE "/certsrv/mscep_admin"
#define LABEL "The enrollment challenge password is: <B> "

static uint64_t challenges_made(void)
{
    struct store_stats stats;
    must(store_stats(world.store, &stats, &err));
    return stats.challenges_made;
}

static const char *basic(void)
{
    static char value[1024];
    char plain[512];
    snprintf(plain, sizeof plain, "root:%s", bearer + strlen("Bearer "));
    strcpy(value, "Basic ");
    EVP_EncodeBlock((unsigned char *)value + 6, (const unsigned char *)plain, (int)strlen(plain));
    return value;
}

static void serve_page(void)
{
    f.config->ndes_n = 1;
    f.config->ndes[0] = (struct config_ndes){.path = PAGE,
                                             .endpoint = "/scep",
                                             .encoding = NDES_UTF8,
                                             .password_length = 8,
                                             .validity = 3600,
                                             .cache = 100000};
}

static void assert_password_good(void)
{
    const char *page = memmem(reply.body.p, reply.body.n, LABEL, strlen(LABEL));
    uint8_t hash[STORE_HASH];
    struct store_challenge c;
    ck_assert_msg(page, "%.*s", (int)reply.body.n, (char *)reply.body.p);
    page += strlen(LABEL);
    struct view secret = view_of(page, strcspn(page, " "));
    ck_assert(challenge_hash(&f.rooms.challenge_key, secret, hash));
    must(store_challenge_by_hash(world.store, hash, &c, &err));
    ck_assert(memmem(reply.body.p, reply.body.n, "</HTML>", 7));
}

START_TEST(page_of_ndes)
{
    prepare(0, 0);
    serve_page();
    const struct question q = {HTTP_GET, PAGE, NULL, 200};
    presented = basic();
    for (long n = 1, hits = 1; hits; n++) {
        uint64_t before = challenges_made();
        hits = asked(&q, n, NULL, n, _i);
        if (assert_served(&q, n, hits, _i)) {
            assert_password_good();
            ck_assert_uint_eq(challenges_made(), before + 1);
        }
        ck_assert_uint_le(challenges_made(), before + 1);
        if (hits == 0)
            printf(PAGE ": %ld allocations, %s\n", n - 1, _i ? "for good" : "one by one");
    }
    assert_whole();
    teardown();
}
END_TEST

/* ---- one thing done to many ---- */

static const struct bulk {
    const char *path; /* ends with the item */
    struct question undo;
    const char *action, *more; /* the item stands between them */
} bulks[] = {
    {"/api/v1/certificates/CERTIFICATE",
     {HTTP_POST, "/api/v1/certificates/CERTIFICATE/release", "{}", 200},
     "revoke",
     "\"reason\":\"hold\""},
    {"/api/v1/devices/DEVICE",
     {HTTP_DELETE, "/api/v1/policies/fleet/assignments/tablet", NULL, 200},
     "assign",
     "\"policy\":\"fleet\""},
};

/* The question that makes the job, and the one that undoes what it did. */
static struct question named(const struct bulk *b, struct question *undo)
{
    static char path[256], item[256], body[256];
    struct question about = {HTTP_GET, b->path, NULL, 200};
    *undo = b->undo;
    undo->path = name_it(&b->undo, path);
    snprintf(body, sizeof body, "{\"action\":\"%s\",\"ids\":[\"%.60s\"],\"expect\":1,%s}",
             b->action, strrchr(name_it(&about, item), '/') + 1, b->more);
    return (struct question){HTTP_POST, "/api/v1/bulk", body, 202};
}

static bool count_job(void *ctx, const struct store_job *j)
{
    ++*(uint64_t *)ctx;
    return true;
}

static uint64_t jobs(void)
{
    uint64_t n = 0;
    must(store_job_list(world.store, count_job, &n, &err));
    return n;
}

static bool not_done_well(void *ctx, const struct store_job *j)
{
    if (j->state != JOB_DONE || j->failed)
        *(struct store_job *)ctx = *j;
    return true;
}

/* All jobs are done, nothing of any failed, and the last one has had its effect. */
static void assert_jobs_done(const struct question *undo)
{
    struct store_job bad = {.id = ""};
    for (bool more = true; more;)
        must(api_jobs_step(&world, at, &more, &err));
    must(store_job_list(world.store, not_done_well, &bad, &err));
    ck_assert_msg(!*bad.id, "%llu of %llu, %s", (unsigned long long)bad.done,
                  (unsigned long long)bad.total, bad.failure);
    asked(undo, 0, NULL, 0, false);
    is(undo->wanted);
}

/* _i: which, and whether one allocation fails or all from it on. */
START_TEST(jobs_made)
{
    char key[32];
    prepare(1, 0);
    struct question undo, q = named(&bulks[_i / 2], &undo);
    asked(&undo, 0, NULL, 0, false);
    for (long n = 1, hits = 1; hits; n++) {
        uint64_t before = jobs();
        snprintf(key, sizeof key, "key-%ld", n);
        hits = asked(&q, n, key, n, _i % 2);
        if (assert_served(&q, n, hits, _i % 2))
            ck_assert_uint_eq(jobs(), before + 1);
        asked(&q, n, key, 0, false);
        ck_assert_msg(reply.status == q.wanted || strcmp(text("code"), "repeat.unknown") == 0,
                      "%d: %.*s", reply.status, (int)reply.body.n, (char *)reply.body.p);
        ck_assert_uint_le(jobs(), before + 1);
    }
    assert_jobs_done(&undo);
    assert_whole();
    teardown();
}
END_TEST

START_TEST(jobs_run)
{
    prepare(1, 0);
    struct question undo, q = named(&bulks[_i / 2], &undo);
    asked(&undo, 0, NULL, 0, false);
    for (long n = 1, hits = 1; hits; n++) {
        struct err why = {0};
        bool more;
        asked(&q, n, NULL, 0, false);
        is(q.wanted);
        faultmem_arm(n, _i % 2);
        bool ok = api_jobs_step(&world, at, &more, &why);
        hits = faultmem_disarm();
        ck_assert_msg(ok || hits, "%s", why.text);
        assert_jobs_done(&undo);
        if (hits == 0)
            printf("a step of a job: %ld allocations\n", n - 1);
    }
    assert_whole();
    teardown();
}
END_TEST

/* ---- revocation lists ---- */

static void assert_shown(uint64_t entries)
{
    const uint8_t *key = f.rooms.authority[0]->key_id;
    struct store_crl crl = {0};
    uint64_t generation;
    must(store_crl_get(f.store, key, STORE_CRL_COMPLETE, &crl, &err));
    must(store_revocation_generation(f.store, key, &generation, &err));
    ck_assert_uint_eq(crl.generation, generation);
    ck_assert_uint_eq(crl.entries, entries);
    store_crl_clear(&crl);
}

/* A revocation, or its end, is on the list, however often there was no memory for it. */
START_TEST(lists_of_revocations)
{
    struct signer_process *signers; /* as the daemon has it: its memory is its own */
    char path[2][256];
    prepare(1, 0);
    must(signer_start(f.rooms.spec, 1, NULL, &signers, &err));
    struct question hold = changes[7].q, release = changes[7].before;
    hold.path = name_it(&hold, path[0]);
    release.path = name_it(&release, path[1]);
    const struct authority *a = f.rooms.authority[0];
    struct signer *lane = signer_lane(signers, 0);
    for (long n = 1, hits = 1; hits; n++) {
        struct crl_scopes due = {.n = 0};
        const struct question *q = n % 2 ? &hold : &release;
        asked(q, n, NULL, 0, false);
        is(q->wanted);
        faultmem_arm(n, _i);
        bool looked = crl_due(a, f.store, at, &due, &err);
        bool ok = looked && crl_publish(a, lane, f.store, at, &due, &err);
        hits = faultmem_disarm();
        ck_assert_msg(ok || hits, "%s", err.text);
        ck_assert_msg(!looked || due.n, "allocation %ld: the revocation is forgotten", n);
        if (!ok) {
            must(crl_due(a, f.store, at, &due, &err));
            must(!due.n || crl_publish(a, lane, f.store, at, &due, &err));
        }
        assert_shown((uint64_t)n % 2);
        if (hits == 0)
            printf("a list of revocations: %ld allocations\n", n - 1);
    }
    signer_stop(signers);
    assert_whole();
    teardown();
}
END_TEST

int main(void)
{
    if (!memory_watch())
        return EXIT_FAILURE;
    Suite *s = suite_create("faults/memory_change");
    TCase *change = tcase_create("change"), *sign_in = tcase_create("sign_in");
    TCase *job = tcase_create("job"), *crl = tcase_create("crl");
    tcase_set_timeout(change, 300);
    tcase_set_timeout(sign_in, 300);
    tcase_set_timeout(job, 300);
    tcase_set_timeout(crl, 300);
    tcase_add_loop_test(crl, lists_of_revocations, 0, 2);
    tcase_add_loop_test(change, changed_or_not, 0, 2 * sizeof changes / sizeof *changes);
    tcase_add_loop_test(sign_in, links, 0, 2);
    tcase_add_loop_test(sign_in, sessions, 0, 2);
    tcase_add_loop_test(sign_in, page_of_ndes, 0, 2);
    tcase_add_loop_test(job, jobs_made, 0, 2 * sizeof bulks / sizeof *bulks);
    tcase_add_loop_test(job, jobs_run, 0, 2 * sizeof bulks / sizeof *bulks);
    suite_add_tcase(s, change);
    suite_add_tcase(s, sign_in);
    suite_add_tcase(s, job);
    suite_add_tcase(s, crl);
    return check_main(s);
}
