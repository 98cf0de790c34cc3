/* A subject that has a certificate already, and a key that has one: by the endpoint's and the
 * template's rules. */
#include <stdio.h>
#include <string.h>

#include "check_main.h"
#include "world.h"

static struct world w;
static EVP_PKEY *key, *fresh;
static struct buf held; /* of `key`, CN=ipad-1 */

static void setup(void)
{
    world_open(&w);
    key = new_key();
    fresh = new_key();
    struct wish wish = {.key = key, .challenge = challenge_make(&w, NULL)};
    held = expect_issued(&w, &wish);
}

static void teardown(void)
{
    expect_sound(&w);
    buf_clear(&held);
    EVP_PKEY_free(key);
    EVP_PKEY_free(fresh);
    world_close(&w);
}

/* The same subject, by a new transaction and a new key. */
static struct wish second(void)
{
    return (struct wish){
        .transaction = "tx-2", .key = fresh, .challenge = challenge_make(&w, NULL)};
}

static enum cert_state state_of(const struct buf *der)
{
    struct store_cert c = record_of(&w, der);
    enum cert_state state = c.state;
    store_cert_clear(&c);
    return state;
}

static void revoke(enum crl_reason reason)
{
    struct err err = {0};
    struct store_cert c = record_of(&w, &held);
    ck_assert(enroll_cert_revoke(w.store, c.id, reason, "anna", w.now, &err));
    store_cert_clear(&c);
}

START_TEST(allowed)
{
    struct wish wish = second();
    struct buf der = expect_issued(&w, &wish);
    ck_assert_int_eq(state_of(&held), CERT_ACTIVE);
    ck_assert_int_eq(state_of(&der), CERT_ACTIVE);
    buf_clear(&der);
}
END_TEST

START_TEST(refused)
{
    w.policy.duplicates = DUPLICATES_REFUSE;
    struct wish wish = second();
    expect_refused(&w, &wish, REASON_DUPLICATE_SUBJECT, "CN=ipad-1");
    struct wish lost = {.key = key, .challenge = wish.challenge};
    expect_repeat(&w, &lost, &held); /* a lost reply is no duplicate */
    wish.subject = "CN=ipad-2";
    struct buf der = expect_issued(&w, &wish);
    buf_clear(&der);
}
END_TEST

/* Who has no valid challenge is not told who has a certificate. */
START_TEST(strangers_learn_nothing)
{
    w.policy.duplicates = DUPLICATES_REFUSE;
    struct wish wish = second();
    wish.challenge = "wrong";
    expect_refused(&w, &wish, REASON_CHALLENGE_UNKNOWN, NULL);
}
END_TEST

START_TEST(refused_until_its_end_or_its_revocation)
{
    w.policy.duplicates = DUPLICATES_REFUSE;
    struct wish wish = second();
    if (_i == 0)
        revoke(CRL_UNSPECIFIED);
    else
        w.now = NOW + 366 * DAY;
    wish.challenge = challenge_make(&w, NULL);
    struct buf der = expect_issued(&w, &wish);
    buf_clear(&der);
}
END_TEST

/* Another kind of certificate for the same device is no duplicate. */
START_TEST(of_another_template)
{
    w.policy.duplicates = DUPLICATES_REFUSE;
    snprintf(w.template.name, sizeof w.template.name, "other");
    struct wish wish = second();
    struct buf der = expect_issued(&w, &wish);
    buf_clear(&der);
}
END_TEST

START_TEST(replaced)
{
    w.policy.duplicates = DUPLICATES_REPLACE;
    struct wish wish = second();
    struct buf der = expect_issued(&w, &wish);
    struct store_cert c = record_of(&w, &held);
    ck_assert_int_eq(c.state, CERT_REVOKED);
    ck_assert_int_eq(c.revocation_reason, CRL_SUPERSEDED);
    store_cert_clear(&c);
    ck_assert_int_eq(state_of(&der), CERT_ACTIVE);
    ck_assert_uint_eq(audited(&w, "certificate.revoked"), 1);
    expect_repeat(&w, &wish, &der);
    buf_clear(&der);
}
END_TEST

/* What was put on hold is not freed by asking again. */
START_TEST(on_hold)
{
    w.policy.duplicates = _i == 0 ? DUPLICATES_REFUSE : DUPLICATES_REPLACE;
    revoke(CRL_HOLD);
    struct wish wish = second();
    expect_refused(&w, &wish, REASON_DUPLICATE_SUBJECT, "on hold");
    ck_assert_int_eq(state_of(&held), CERT_HELD);
}
END_TEST

START_TEST(renewals_are_no_duplicates)
{
    w.policy.duplicates = DUPLICATES_REFUSE;
    w.now = NOW + 310 * DAY;
    struct wish wish = {
        .type = SCEP_RENEWAL_REQ, .transaction = "tx-2", .key = fresh, .signer = &held};
    struct buf der = expect_issued(&w, &wish);
    ck_assert_int_ne(state_of(&held), CERT_REVOKED);
    buf_clear(&der);
}
END_TEST

/* Two at once: the second finds the world changed and is refused. */
START_TEST(two_at_once)
{
    w.policy.duplicates = DUPLICATES_REFUSE;
    struct wish a = {.transaction = "tx-a", .subject = "CN=twin", .key = key},
                b = {.transaction = "tx-b", .subject = "CN=twin", .key = fresh};
    EVP_PKEY *third = new_key();
    a.key = third;
    a.challenge = strdup(challenge_make(&w, NULL));
    b.challenge = strdup(challenge_make(&w, NULL));
    struct scep_message *m = message_new(&w, &b);
    struct half half = decide_only(&w, m);
    struct buf der = expect_issued(&w, &a);
    expect_conflict(&w, &half);
    half_clear(&half);
    expect_refused(&w, &b, REASON_DUPLICATE_SUBJECT, "CN=twin");
    scep_message_free(m);
    buf_clear(&der);
    free((char *)(uintptr_t)a.challenge);
    free((char *)(uintptr_t)b.challenge);
    EVP_PKEY_free(third);
}
END_TEST

/* ---- the same key under the same subject ---- */

static struct wish same_key(enum scep_type type)
{
    return (struct wish){.type = type,
                         .transaction = "tx-2",
                         .key = key,
                         .challenge = type == SCEP_PKCS_REQ ? challenge_make(&w, NULL) : NULL,
                         .signer = type == SCEP_PKCS_REQ ? NULL : &held};
}

START_TEST(key_reuse_same_subject)
{
    struct wish again = same_key(SCEP_PKCS_REQ), renewal = same_key(SCEP_RENEWAL_REQ);
    struct buf x = expect_issued(&w, &again);
    w.now = NOW + 310 * DAY;
    renewal.transaction = "tx-3";
    struct buf y = expect_issued(&w, &renewal);
    buf_clear(&x);
    buf_clear(&y);
}
END_TEST

START_TEST(key_reuse_renewal)
{
    w.template.key_reuse = KEY_REUSE_RENEWAL;
    struct wish again = same_key(SCEP_PKCS_REQ), renewal = same_key(SCEP_RENEWAL_REQ);
    expect_refused(&w, &again, REASON_KEY_AGAIN, "each enrolment");
    w.now = NOW + 310 * DAY;
    struct buf der = expect_issued(&w, &renewal);
    buf_clear(&der);
}
END_TEST

START_TEST(key_reuse_never)
{
    w.template.key_reuse = KEY_REUSE_NEVER;
    struct wish again = same_key(SCEP_PKCS_REQ), renewal = same_key(SCEP_RENEWAL_REQ);
    expect_refused(&w, &again, REASON_KEY_AGAIN, "each certificate");
    w.now = NOW + 310 * DAY;
    expect_refused(&w, &renewal, REASON_KEY_AGAIN, "each certificate");
    renewal.key = fresh;
    struct buf der = expect_issued(&w, &renewal);
    buf_clear(&der);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("enroll/duplicates");
    TCase *c = tcase_create("duplicates");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, allowed);
    tcase_add_test(c, refused);
    tcase_add_test(c, strangers_learn_nothing);
    tcase_add_loop_test(c, refused_until_its_end_or_its_revocation, 0, 2);
    tcase_add_test(c, of_another_template);
    tcase_add_test(c, replaced);
    tcase_add_loop_test(c, on_hold, 0, 2);
    tcase_add_test(c, renewals_are_no_duplicates);
    tcase_add_test(c, two_at_once);
    tcase_add_test(c, key_reuse_same_subject);
    tcase_add_test(c, key_reuse_renewal);
    tcase_add_test(c, key_reuse_never);
    suite_add_tcase(s, c);
    return check_main(s);
}
