/* Two administrators at once: who saw an item as it was before the other changed it changes
 * nothing. */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "check_main.h"
#include "world.h"

#define MANY 8

static struct world w;
static EVP_PKEY *key;

static void setup(void)
{
    world_open(&w);
    key = new_key();
}

static void teardown(void)
{
    expect_sound(&w);
    EVP_PKEY_free(key);
    world_close(&w);
}

/* ---- one item, many hands ---- */

struct race {
    uint64_t cert;                   /* of which every second one holds, the others revoke */
    char request[32], challenge[32]; /* or these */
    uint64_t expected;
    atomic_uint won, lost, other;
};

static bool change(struct race *r, unsigned i, struct err *err)
{
    struct enroll_act act = {
        .by = "anna", .note = "race", .now = w.now + i, .expected = r->expected};
    struct store_request out = {.id = ""};
    if (r->cert)
        return enroll_cert_change(w.store, r->cert, i % 2 ? CRL_HOLD : CRL_SUPERSEDED, &act, err);
    if (r->challenge[0])
        return enroll_challenge_change(w.store, r->challenge, &act, err);
    bool ok = enroll_request_change(w.store, r->request, i % 2 ? ENROLL_APPROVE : ENROLL_DENY, &act,
                                    &out, err);
    store_request_clear(&out);
    return ok;
}

struct hand {
    struct race *race;
    unsigned i;
};

static void *run(void *hand)
{
    struct hand *h = hand;
    struct err err = {0};
    if (change(h->race, h->i, &err))
        h->race->won++;
    else if (err.kind == ERR_CONFLICT)
        h->race->lost++;
    else
        h->race->other++;
    return NULL;
}

static void expect_one_winner(struct race *r)
{
    pthread_t thread[MANY];
    struct hand hand[MANY];
    for (unsigned i = 0; i < MANY; i++) {
        hand[i] = (struct hand){r, i};
        ck_assert_int_eq(pthread_create(&thread[i], NULL, run, &hand[i]), 0);
    }
    for (unsigned i = 0; i < MANY; i++)
        pthread_join(thread[i], NULL);
    ck_assert_uint_eq(r->won, 1);
    ck_assert_uint_eq(r->lost, MANY - 1);
    ck_assert_uint_eq(r->other, 0);
}

static struct store_cert issued(void)
{
    struct wish wish = {.key = key, .challenge = challenge_make(&w, NULL)};
    struct buf der = expect_issued(&w, &wish);
    struct store_cert c = record_of(&w, &der);
    buf_clear(&der);
    return c;
}

START_TEST(certificate_is_changed_once)
{
    struct store_cert c = issued();
    struct race r = {.cert = c.id, .expected = enroll_cert_version(&c)};
    expect_one_winner(&r);
    ck_assert_uint_eq(audited(&w, "certificate.revoked"), 1);
    store_cert_clear(&c);
}
END_TEST

START_TEST(request_is_decided_once)
{
    struct wish wish = {.key = key};
    struct race r = {.cert = 0};
    struct store_request seen = {.id = ""};
    struct err err = {0};
    w.policy.challenges = CHALLENGE_NONE;
    w.policy.manual = true;
    expect_pending(&w, &wish, r.request);
    ck_assert(store_request_get(w.store, r.request, &seen, &err));
    r.expected = enroll_request_version(&seen);
    expect_one_winner(&r); /* also though a denial may be turned into an approval */
    ck_assert_uint_eq(audited(&w, "request.approved") + audited(&w, "request.denied"), 1);
    store_request_clear(&seen);
}
END_TEST

START_TEST(challenge_is_revoked_once)
{
    struct store_challenge c = challenge_of(&w, challenge_make(&w, NULL));
    struct race r = {.expected = enroll_challenge_version(&c)};
    memcpy(r.challenge, c.id, sizeof r.challenge);
    expect_one_winner(&r);
    ck_assert_uint_eq(audited(&w, "challenge.revoked"), 1);
}
END_TEST

/* ---- versions ---- */

START_TEST(hold_released_and_held_again_is_another)
{
    struct store_cert c = issued();
    struct enroll_act act = {.by = "anna", .now = w.now, .expected = enroll_cert_version(&c)};
    struct err err = {0};
    uint64_t id = c.id;
    ck_assert(enroll_cert_change(w.store, id, CRL_HOLD, &act, &err));
    act.expected = 0;
    ck_assert(enroll_cert_change(w.store, id, CRL_REMOVE_FROM_CRL, &act, &err));
    act.expected = enroll_cert_version(&c); /* as it was before */
    ck_assert(!enroll_cert_change(w.store, id, CRL_HOLD, &act, &err));
    ck_assert_int_eq(err.kind, ERR_CONFLICT);
    store_cert_clear(&c);
}
END_TEST

START_TEST(polls_are_no_change)
{
    struct wish wish = {.key = key}, poll = {.type = SCEP_CERT_POLL, .signer_key = key};
    char id[32], again[32];
    struct store_request seen = {.id = ""}, after = {.id = ""};
    struct err err = {0};
    w.policy.challenges = CHALLENGE_NONE;
    w.policy.manual = true;
    expect_pending(&w, &wish, id);
    ck_assert(store_request_get(w.store, id, &seen, &err));
    expect_pending(&w, &poll, again);
    struct enroll_act act = {
        .by = "anna", .note = "ours", .now = w.now, .expected = enroll_request_version(&seen)};
    ck_assert(enroll_request_change(w.store, id, ENROLL_APPROVE, &act, &after, &err));
    ck_assert_uint_ne(enroll_request_version(&after), enroll_request_version(&seen));
    ck_assert_str_eq(after.note, "ours");
    store_request_clear(&seen);
    store_request_clear(&after);
}
END_TEST

static bool find_note(void *found, const struct store_audit *a)
{
    if (strcmp(a->event, "certificate.revoked") == 0 &&
        strstr(a->text, "reason=key-compromise note: stolen, ticket 4711"))
        *(bool *)found = true;
    return true;
}

START_TEST(note_is_in_the_audit_log)
{
    struct store_cert c = issued();
    struct enroll_act act = {.by = "anna", .note = "stolen, ticket 4711", .now = w.now};
    struct err err = {0};
    ck_assert(enroll_cert_change(w.store, c.id, CRL_KEY_COMPROMISE, &act, &err));
    bool found = false;
    ck_assert(store_audit_list(w.store, 1, find_note, &found, &err));
    ck_assert(found);
    store_cert_clear(&c);
    act.now++;
    ck_assert(!enroll_cert_change(w.store, 4711, CRL_KEY_COMPROMISE, &act, &err));
    ck_assert_int_eq(err.kind, ERR_NOT_FOUND);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("enroll/admin");
    TCase *t = tcase_create("admin");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, certificate_is_changed_once);
    tcase_add_test(t, request_is_decided_once);
    tcase_add_test(t, challenge_is_revoked_once);
    tcase_add_test(t, hold_released_and_held_again_is_another);
    tcase_add_test(t, polls_are_no_change);
    tcase_add_test(t, note_is_in_the_audit_log);
    suite_add_tcase(s, t);
    return check_main(s);
}
