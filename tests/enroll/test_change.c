/* Changes when the world moved between decision and commit, and many at once. */
#include <pthread.h>
#include <string.h>

#include "check_main.h"
#include "world.h"

static struct world w;
static EVP_PKEY *key, *other;

static void setup(void)
{
    world_open(&w);
    key = new_key();
    other = new_key();
}

static void teardown(void)
{
    expect_sound(&w);
    EVP_PKEY_free(key);
    EVP_PKEY_free(other);
    world_close(&w);
}

static enum err_kind commit_one(struct half *h)
{
    struct err result = {0}, err = {0};
    ck_assert_msg(enroll_commit(w.store, &h->change, &result, 1, &err), "%s", err.text);
    return result.kind;
}

static unsigned audits(void)
{
    return audited(&w, "certificate.issued") + audited(&w, "request.pending");
}

START_TEST(same_request_twice_gives_one_certificate)
{
    struct wish wish = {.key = key, .challenge = challenge_make(&w, NULL)};
    struct scep_message *m = message_new(&w, &wish);
    struct half a = decide_only(&w, m), b = decide_only(&w, m);
    ck_assert_int_eq(a.outcome.verdict, ENROLL_ISSUE);
    ck_assert_int_eq(b.outcome.verdict, ENROLL_ISSUE);
    ck_assert_int_eq(commit_one(&a), ERR_NONE);
    expect_conflict(&w, &b);
    ck_assert_uint_eq(certificates(&w), 1);
    expect_repeat(&w, &wish, &a.outcome.certificate);
    half_clear(&a);
    half_clear(&b);
    scep_message_free(m);
}
END_TEST

START_TEST(same_request_twice_without_a_challenge)
{
    w.policy.challenges = CHALLENGE_NONE;
    struct wish wish = {.key = key};
    struct scep_message *m = message_new(&w, &wish);
    struct half a = decide_only(&w, m), b = decide_only(&w, m);
    ck_assert_int_eq(commit_one(&a), ERR_NONE);
    expect_conflict(&w, &b);
    half_clear(&a);
    half_clear(&b);
    scep_message_free(m);
}
END_TEST

START_TEST(batch_with_the_same_request_twice)
{
    struct wish wish = {.key = key, .challenge = challenge_make(&w, NULL)};
    struct wish separate = {.transaction = "tx-2", .subject = "CN=b", .key = other};
    char secret[CHALLENGE_TEXT_MAX];
    char first[CHALLENGE_TEXT_MAX];
    strcpy(first, wish.challenge);
    wish.challenge = first;
    strcpy(secret, challenge_make(&w, NULL));
    separate.challenge = secret;
    struct scep_message *m = message_new(&w, &wish), *n = message_new(&w, &separate);
    struct half h[3] = {decide_only(&w, m), decide_only(&w, m), decide_only(&w, n)};
    /* NULL: an answer that stores nothing */
    struct enroll_change *changes[] = {h[0].change, h[1].change, NULL, h[2].change};
    struct err results[4] = {{0}}, err = {0};
    ck_assert(enroll_commit(w.store, changes, results, 4, &err));
    ck_assert_int_eq(results[0].kind, ERR_NONE);
    ck_assert_int_eq(results[1].kind, ERR_CONFLICT);
    ck_assert_int_eq(results[2].kind, ERR_NONE);
    ck_assert_int_eq(results[3].kind, ERR_NONE);
    ck_assert_uint_eq(certificates(&w), 2);
    ck_assert_uint_eq(audits(), 2);
    expect_repeat(&w, &wish, &h[0].outcome.certificate);
    expect_repeat(&w, &separate, &h[2].outcome.certificate);
    for (int i = 0; i < 3; i++)
        half_clear(&h[i]);
    scep_message_free(m);
    scep_message_free(n);
}
END_TEST

/* Both decided to issue by the same one-time challenge: the second finds it burnt, writes nothing,
 * and learns why when it is decided anew. */
START_TEST(one_challenge_for_two)
{
    char secret[CHALLENGE_TEXT_MAX];
    strcpy(secret, challenge_make(&w, NULL));
    struct wish a = {.transaction = "a", .subject = "CN=a", .key = key, .challenge = secret};
    struct wish b = {.transaction = "b", .subject = "CN=b", .key = other, .challenge = secret};
    struct scep_message *m = message_new(&w, &a), *n = message_new(&w, &b);
    struct half x = decide_only(&w, m), y = decide_only(&w, n);
    struct enroll_change *changes[] = {x.change, y.change};
    struct err results[2] = {{0}}, err = {0};
    ck_assert(enroll_commit(w.store, changes, results, 2, &err));
    ck_assert_int_eq(results[0].kind, ERR_NONE);
    ck_assert_int_eq(results[1].kind, ERR_CONFLICT);
    expect_conflict(&w, &y);
    ck_assert_uint_eq(certificates(&w), 1);
    ck_assert_uint_eq(challenge_of(&w, secret).used, 1);
    struct store_tx none;
    ck_assert(!store_tx_get(w.store, "/scep", "b", &none, &err));
    ck_assert_int_eq(err.kind, ERR_NOT_FOUND);
    expect_refused(&w, &b, REASON_CHALLENGE_USED, "by transaction a");
    half_clear(&x);
    half_clear(&y);
    scep_message_free(m);
    scep_message_free(n);
}
END_TEST

START_TEST(challenge_revoked_meanwhile)
{
    struct wish wish = {.key = key, .challenge = challenge_make(&w, NULL)};
    struct scep_message *m = message_new(&w, &wish);
    struct half h = decide_only(&w, m);
    struct err err = {0};
    ck_assert(
        enroll_challenge_revoke(w.store, challenge_of(&w, wish.challenge).id, "anna", NOW, &err));
    expect_conflict(&w, &h);
    ck_assert_uint_eq(certificates(&w), 0);
    half_clear(&h);
    scep_message_free(m);
}
END_TEST

START_TEST(one_key_for_two_subjects)
{
    w.policy.challenges = CHALLENGE_NONE;
    struct wish a = {.transaction = "a", .subject = "CN=a", .key = key};
    struct wish b = {.transaction = "b", .subject = "CN=b", .key = key};
    struct scep_message *m = message_new(&w, &a), *n = message_new(&w, &b);
    struct half x = decide_only(&w, m), y = decide_only(&w, n);
    ck_assert_int_eq(commit_one(&x), ERR_NONE);
    expect_conflict(&w, &y);
    expect_refused(&w, &b, REASON_KEY_REUSED, "CN=a");
    half_clear(&x);
    half_clear(&y);
    scep_message_free(m);
    scep_message_free(n);
}
END_TEST

START_TEST(request_to_wait_twice)
{
    w.policy.manual = true;
    w.policy.challenges = CHALLENGE_NONE;
    struct wish wish = {.key = key};
    struct scep_message *m = message_new(&w, &wish);
    struct half a = decide_only(&w, m), b = decide_only(&w, m);
    ck_assert_int_eq(commit_one(&a), ERR_NONE);
    expect_conflict(&w, &b);
    ck_assert_uint_eq(audits(), 1);
    half_clear(&a);
    half_clear(&b);
    scep_message_free(m);
}
END_TEST

START_TEST(approved_and_fetched_twice)
{
    w.policy.manual = true;
    w.policy.challenges = CHALLENGE_NONE;
    struct wish wish = {.key = key}, poll = {.type = SCEP_CERT_POLL, .signer_key = key};
    char id[32];
    struct store_request r = {0};
    struct err err = {0};
    expect_pending(&w, &wish, id);
    ck_assert(enroll_request_decide(w.store, id, true, "anna", NULL, NOW, &r, &err));
    store_request_clear(&r);
    struct scep_message *m = message_new(&w, &poll);
    struct half a = decide_only(&w, m), b = decide_only(&w, m);
    ck_assert_int_eq(a.outcome.verdict, ENROLL_ISSUE);
    ck_assert_int_eq(commit_one(&a), ERR_NONE);
    expect_conflict(&w, &b);
    ck_assert_uint_eq(certificates(&w), 1);
    expect_repeat(&w, &poll, &a.outcome.certificate);
    half_clear(&a);
    half_clear(&b);
    scep_message_free(m);
}
END_TEST

START_TEST(change_not_committed_leaves_nothing)
{
    struct wish wish = {.key = key, .challenge = challenge_make(&w, NULL)};
    struct scep_message *m = message_new(&w, &wish);
    struct half h = decide_only(&w, m);
    struct store_write *write = NULL;
    struct err err = {0};
    ck_assert(store_write_begin(w.store, &write, &err));
    ck_assert(enroll_change_apply(h.change, write, &err));
    store_write_abort(write); /* as if the power had failed */
    world_restart(&w);
    ck_assert_uint_eq(certificates(&w), 0);
    ck_assert_uint_eq(challenge_of(&w, wish.challenge).used, 0);
    ck_assert_int_eq(commit_one(&h), ERR_NONE); /* the same change may be tried again */
    expect_repeat(&w, &wish, &h.outcome.certificate);
    half_clear(&h);
    scep_message_free(m);
}
END_TEST

/* Of one request sent twice at once, one may look for the transaction before the other has
 * committed and at the challenge after it: it must not learn that its own challenge is used. */
START_TEST(refusal_that_was_answered_meanwhile)
{
    char secret[CHALLENGE_TEXT_MAX];
    strcpy(secret, challenge_make(&w, NULL));
    struct wish wish = {.key = key, .challenge = secret};
    struct wish twin = {
        .transaction = "tx-2", .subject = "CN=b", .key = other, .challenge = secret};
    struct buf used = expect_issued(&w, &twin);
    struct scep_message *m = message_new(&w, &wish);
    struct half h = decide_only(&w, m);
    ck_assert_int_eq(h.outcome.reason, REASON_CHALLENGE_USED);
    wish.challenge = challenge_make(&w, NULL);
    struct buf der = expect_issued(&w, &wish);
    expect_conflict(&w, &h);
    ck_assert_uint_eq(challenge_of(&w, secret).refused, 0);
    struct outcome o = ask_message(&w, m);
    ck_assert_int_eq(o.verdict, ENROLL_REPEAT);
    ck_assert(view_eq(buf_view(&o.certificate), buf_view(&der)));
    outcome_clear(&o);
    half_clear(&h);
    scep_message_free(m);
    buf_clear(&used);
    buf_clear(&der);
}
END_TEST

START_TEST(nothing_to_commit)
{
    struct err err = {0};
    ck_assert(enroll_commit(w.store, NULL, NULL, 0, &err));
}
END_TEST

/* ---- threads ---- */

#define THREADS 8

struct racer {
    pthread_t thread;
    pthread_barrier_t *start;
    struct scep_message *m;
    struct outcome outcome;
};

static void *race(void *arg)
{
    struct racer *r = arg;
    pthread_barrier_wait(r->start);
    r->outcome = ask_message(&w, r->m);
    return NULL;
}

static void run(struct racer racers[THREADS])
{
    pthread_barrier_t start;
    pthread_barrier_init(&start, NULL, THREADS);
    for (int i = 0; i < THREADS; i++) {
        racers[i].start = &start;
        ck_assert_int_eq(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(racers[i].thread, NULL);
    pthread_barrier_destroy(&start);
}

START_TEST(one_wins_a_challenge)
{
    char secret[CHALLENGE_TEXT_MAX];
    struct racer racers[THREADS] = {{0}};
    EVP_PKEY *keys[THREADS];
    strcpy(secret, challenge_make(&w, NULL));
    for (int i = 0; i < THREADS; i++) {
        char transaction[16], subject[32];
        snprintf(transaction, sizeof transaction, "tx-%d", i);
        snprintf(subject, sizeof subject, "CN=racer-%d", i);
        keys[i] = new_key();
        struct wish wish = {
            .transaction = transaction, .subject = subject, .key = keys[i], .challenge = secret};
        racers[i].m = message_new(&w, &wish);
    }
    run(racers);
    int issued = 0;
    for (int i = 0; i < THREADS; i++) {
        issued += racers[i].outcome.verdict == ENROLL_ISSUE;
        if (racers[i].outcome.verdict != ENROLL_ISSUE)
            ck_assert_int_eq(racers[i].outcome.reason, REASON_CHALLENGE_USED);
        outcome_clear(&racers[i].outcome);
        scep_message_free(racers[i].m);
        EVP_PKEY_free(keys[i]);
    }
    ck_assert_int_eq(issued, 1);
    ck_assert_uint_eq(certificates(&w), 1);
    ck_assert_uint_eq(challenge_of(&w, secret).used, 1);
    ck_assert_uint_eq(challenge_of(&w, secret).refused, THREADS - 1);
}
END_TEST

START_TEST(impatient_client_gets_one_certificate)
{
    char secret[CHALLENGE_TEXT_MAX];
    struct racer racers[THREADS] = {{0}};
    strcpy(secret, challenge_make(&w, NULL));
    struct wish wish = {.key = key, .challenge = secret};
    for (int i = 0; i < THREADS; i++)
        racers[i].m = message_new(&w, &wish);
    run(racers);
    for (int i = 0; i < THREADS; i++) {
        struct outcome *o = &racers[i].outcome;
        ck_assert_msg(o->verdict == ENROLL_ISSUE || o->verdict == ENROLL_REPEAT, "%s", o->detail);
        ck_assert(view_eq(buf_view(&o->certificate), buf_view(&racers[0].outcome.certificate)));
    }
    ck_assert_uint_eq(certificates(&w), 1);
    for (int i = 0; i < THREADS; i++) {
        outcome_clear(&racers[i].outcome);
        scep_message_free(racers[i].m);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("enroll/change");
    TCase *c = tcase_create("change");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, same_request_twice_gives_one_certificate);
    tcase_add_test(c, same_request_twice_without_a_challenge);
    tcase_add_test(c, batch_with_the_same_request_twice);
    tcase_add_test(c, one_challenge_for_two);
    tcase_add_test(c, challenge_revoked_meanwhile);
    tcase_add_test(c, one_key_for_two_subjects);
    tcase_add_test(c, request_to_wait_twice);
    tcase_add_test(c, approved_and_fetched_twice);
    tcase_add_test(c, change_not_committed_leaves_nothing);
    tcase_add_test(c, refusal_that_was_answered_meanwhile);
    tcase_add_test(c, nothing_to_commit);
    TCase *t = tcase_create("threads");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, one_wins_a_challenge);
    tcase_add_test(t, impatient_client_gets_one_certificate);
    suite_add_tcase(s, c);
    suite_add_tcase(s, t);
    return check_main(s);
}
