/* Batches in which one change fails half-way, and a store that is full.  White-box: spoils a change
 * from inside, since no message can. */
#include <string.h>

#include "change.h"
#include "check_main.h"
#include "world.h"

#define BATCH 3

static struct world w;
static EVP_PKEY *keys[BATCH];
static struct scep_message *messages[BATCH];
static struct half halves[BATCH];
static struct enroll_change *changes[BATCH];
static char secrets[BATCH][CHALLENGE_TEXT_MAX];

static void setup(void)
{
    world_open(&w);
    for (int i = 0; i < BATCH; i++) {
        char transaction[16], subject[32];
        snprintf(transaction, sizeof transaction, "tx-%d", i);
        snprintf(subject, sizeof subject, "CN=device-%d", i);
        strcpy(secrets[i], challenge_make(&w, NULL));
        keys[i] = new_key();
        struct wish wish = {.transaction = transaction,
                            .subject = subject,
                            .key = keys[i],
                            .challenge = secrets[i]};
        messages[i] = message_new(&w, &wish);
        halves[i] = decide_only(&w, messages[i]);
        changes[i] = halves[i].change;
    }
}

static void teardown(void)
{
    expect_sound(&w);
    for (int i = 0; i < BATCH; i++) {
        half_clear(&halves[i]);
        scep_message_free(messages[i]);
        EVP_PKEY_free(keys[i]);
    }
    world_close(&w);
}

START_TEST(fault_in_one_leaves_the_others)
{
    struct err results[BATCH] = {{0}}, err = {0};
    int bad = _i;
    memset(changes[bad]->audit.text, 'x',
           sizeof changes[bad]->audit.text); /* no end: cannot be stored */
    ck_assert_msg(enroll_commit(w.store, changes, results, BATCH, &err), "%s", err.text);
    for (int i = 0; i < BATCH; i++) {
        ck_assert_int_eq(results[i].kind, i == bad ? ERR_STORE : ERR_NONE);
        ck_assert_uint_eq(challenge_of(&w, secrets[i]).used, i == bad ? 0 : 1);
    }
    ck_assert_uint_eq(certificates(&w), BATCH - 1);
    ck_assert_uint_eq(audited(&w, "certificate.issued"), BATCH - 1);
}
END_TEST

START_TEST(all_at_fault_store_nothing)
{
    uint64_t before, after;
    struct err results[BATCH] = {{0}}, err = {0};
    for (int i = 0; i < BATCH; i++)
        memset(changes[i]->audit.text, 'x', sizeof changes[i]->audit.text);
    ck_assert(store_generation(w.store, &before, &err));
    ck_assert(enroll_commit(w.store, changes, results, BATCH, &err));
    ck_assert(store_generation(w.store, &after, &err));
    for (int i = 0; i < BATCH; i++)
        ck_assert_int_eq(results[i].kind, ERR_STORE);
    ck_assert_uint_eq(before, after);
    ck_assert_uint_eq(certificates(&w), 0);
}
END_TEST

/* A small map fills up; it grows and nobody notices. */
START_TEST(full_map_is_enlarged)
{
    struct world small;
    struct store_stats first, last;
    struct err err = {0};
    EVP_PKEY *key = new_key();
    world_open_sized(&small, 256u << 10);
    small.policy.challenges = CHALLENGE_NONE;
    ck_assert(store_stats(small.store, &first, &err));
    for (int i = 0; i < 400; i++) {
        char transaction[16];
        snprintf(transaction, sizeof transaction, "full-%d", i);
        struct wish wish = {.transaction = transaction, .key = key};
        struct buf der = expect_issued(&small, &wish);
        buf_clear(&der);
    }
    ck_assert(store_stats(small.store, &last, &err));
    ck_assert_uint_gt(last.map_bytes, first.map_bytes);
    expect_sound(&small);
    world_close(&small);
    EVP_PKEY_free(key);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("enroll/commit");
    TCase *c = tcase_create("commit");
    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_loop_test(c, fault_in_one_leaves_the_others, 0, BATCH);
    tcase_add_test(c, all_at_fault_store_nothing);
    tcase_add_test(c, full_map_is_enlarged);
    suite_add_tcase(s, c);
    return check_main(s);
}
