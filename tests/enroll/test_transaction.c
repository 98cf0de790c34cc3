/* A transaction ID that is known: the same request gets the same certificate, anything else is
 * refused. */
#include <string.h>

#include "check_main.h"
#include "world.h"

static struct world w;
static EVP_PKEY *key, *other;
static char secret[CHALLENGE_TEXT_MAX];
static struct buf der;
static struct wish wish;

static void setup(void)
{
    world_open(&w);
    key = new_key();
    other = new_key();
    strcpy(secret, challenge_make(&w, NULL));
    wish = (struct wish){.key = key, .challenge = secret};
    der = expect_issued(&w, &wish);
}

static void teardown(void)
{
    expect_sound(&w);
    buf_clear(&der);
    EVP_PKEY_free(key);
    EVP_PKEY_free(other);
    world_close(&w);
}

static void revoke(enum crl_reason reason)
{
    struct err err = {0};
    struct store_cert c = record_of(&w, &der);
    ck_assert(enroll_cert_revoke(w.store, c.id, reason, "anna", w.now, &err));
    store_cert_clear(&c);
}

/* RFC 8894 section 5.2 */
START_TEST(lost_reply_costs_nothing)
{
    expect_repeat(&w, &wish, &der);
    world_restart(&w);
    expect_repeat(&w, &wish, &der); /* also with a new self-signed signer, as each try has here */
    ck_assert_uint_eq(challenge_of(&w, secret).used, 1);
    ck_assert_uint_eq(challenge_of(&w, secret).refused, 0);
}
END_TEST

START_TEST(no_challenge_is_looked_at_for_a_repeat)
{
    wish.challenge = NULL;
    expect_repeat(&w, &wish, &der);
    wish.challenge = "something else";
    expect_repeat(&w, &wish, &der);
    w.now = NOW + 300 * DAY;
    expect_repeat(&w, &wish, &der);
}
END_TEST

START_TEST(other_key_is_refused_recorded_and_counted)
{
    struct wish thief = {.key = other, .challenge = challenge_make(&w, NULL)};
    expect_refused(&w, &thief, REASON_TRANSACTION_REUSED,
                   "tx-1 was used 2027-01-15T08:00:00Z for another key");
    expect_refused(&w, &thief, REASON_TRANSACTION_REUSED, NULL);
    ck_assert_uint_eq(transaction_of(&w, "tx-1").reuse_refused, 2);
    ck_assert_uint_eq(audited(&w, "transaction.refused"), 2);
    expect_repeat(&w, &wish, &der); /* the owner is not hurt */
}
END_TEST

START_TEST(flood_of_refusals_is_counted_but_not_all_written_down)
{
    struct wish thief = {.key = other, .challenge = "something else"};
    struct wish late = {
        .transaction = "tx-2", .subject = "CN=b", .key = other, .challenge = secret};
    for (int i = 0; i < 25; i++) {
        expect_refused(&w, &thief, REASON_TRANSACTION_REUSED, NULL);
        expect_refused(&w, &late, REASON_CHALLENGE_USED, NULL);
    }
    ck_assert_uint_eq(transaction_of(&w, "tx-1").reuse_refused, 25);
    ck_assert_uint_eq(challenge_of(&w, secret).refused, 25);
    ck_assert_uint_eq(audited(&w, "transaction.refused"), 10);
    ck_assert_uint_eq(audited(&w, "challenge.refused"), 10);
}
END_TEST

START_TEST(other_wish_is_refused)
{
    wish.subject = "CN=ipad-2";
    expect_refused(&w, &wish, REASON_TRANSACTION_REUSED, "another subject or extensions");
    wish.subject = NULL;
    wish.dns = "ipad-1.example.org";
    expect_refused(&w, &wish, REASON_TRANSACTION_REUSED, "another subject or extensions");
}
END_TEST

START_TEST(other_signer_is_refused)
{
    wish.signer_key = other;
    expect_refused(&w, &wish, REASON_CSR_SIGNER, NULL);
    w.policy.any_signer_key = true;
    expect_repeat(&w, &wish, &der);
}
END_TEST

START_TEST(revoked_is_not_given_again)
{
    revoke(CRL_HOLD);
    expect_refused(&w, &wish, REASON_TRANSACTION_REVOKED, "put on hold");
    revoke(CRL_REMOVE_FROM_CRL);
    expect_repeat(&w, &wish, &der);
    revoke(CRL_KEY_COMPROMISE);
    expect_refused(&w, &wish, REASON_TRANSACTION_REVOKED, "was revoked");
    expect_refused(&w, &wish, REASON_TRANSACTION_REVOKED, "(key-compromise)");
}
END_TEST

/* A device whose transaction ID is fixed has lost its certificate and got a new challenge. */
START_TEST(revoked_makes_room_for_a_new_key)
{
    struct wish next = {.key = other};
    revoke(CRL_HOLD);
    expect_refused(&w, &next, REASON_TRANSACTION_REUSED, NULL); /* it may be released */
    revoke(CRL_CESSATION);
    expect_refused(&w, &next, REASON_CHALLENGE_MISSING, NULL);
    next.challenge = secret;
    expect_refused(&w, &next, REASON_CHALLENGE_USED, NULL);
    next.challenge = challenge_make(&w, NULL);
    struct buf second = expect_issued(&w, &next);
    expect_repeat(&w, &next, &second);
    expect_refused(&w, &wish, REASON_TRANSACTION_REUSED, "another key");
    struct wish poll = {.type = SCEP_CERT_POLL, .signer_key = key};
    expect_refused(&w, &poll, REASON_TRANSACTION_REUSED, NULL);
    buf_clear(&second);
}
END_TEST

START_TEST(compromised_key_never_comes_back)
{
    struct wish next = {.transaction = "tx-2", .key = key};
    next.challenge = challenge_make(&w, NULL);
    struct scep_message *m = message_new(&w, &next);
    struct half h = decide_only(&w, m);
    ck_assert_int_eq(h.outcome.verdict, ENROLL_ISSUE); /* the same subject */
    revoke(CRL_KEY_COMPROMISE);
    expect_conflict(&w, &h);
    half_clear(&h);
    scep_message_free(m);
    expect_refused(&w, &next, REASON_KEY_COMPROMISED, "CN=ipad-1");
    next.subject = "CN=ipad-2";
    expect_refused(&w, &next, REASON_KEY_COMPROMISED, NULL);
}
END_TEST

START_TEST(revoked_may_sign_but_not_renew)
{
    struct wish next = {.key = other, .signer = &der};
    revoke(CRL_CESSATION);
    expect_refused(&w, &next, REASON_RENEWAL_SIGNER_REVOKED, NULL);
    next.challenge = challenge_make(&w, NULL);
    struct outcome o = ask(&w, &next);
    ck_assert_int_eq(o.verdict, ENROLL_ISSUE);
    ck_assert(!o.renewal);
    outcome_clear(&o);
}
END_TEST

START_TEST(expired_makes_room)
{
    w.now = NOW + 366 * DAY;
    expect_refused(&w, &wish, REASON_CHALLENGE_USED, "the same key");
    struct wish again = {.key = other, .challenge = challenge_make(&w, NULL)};
    struct buf next = expect_issued(&w, &again);
    expect_repeat(&w, &again, &next);
    expect_refused(&w, &wish, REASON_TRANSACTION_REUSED, NULL);
    buf_clear(&next);
}
END_TEST

START_TEST(endpoints_do_not_share_transactions)
{
    snprintf(w.policy.endpoint, sizeof w.policy.endpoint, "/other");
    expect_refused(&w, &wish, REASON_CHALLENGE_USED, NULL);
    wish.challenge = challenge_make(&w, NULL);
    struct buf next = expect_issued(&w, &wish);
    expect_repeat(&w, &wish, &next);
    buf_clear(&next);
}
END_TEST

START_TEST(poll_of_what_was_issued)
{
    struct wish poll = {.type = SCEP_CERT_POLL, .signer_key = key};
    expect_repeat(&w, &poll, &der);
    poll.signer_key = other;
    expect_refused(&w, &poll, REASON_TRANSACTION_REUSED, "signed with another key");
    poll.signer_key = key;
    revoke(CRL_SUPERSEDED);
    expect_refused(&w, &poll, REASON_TRANSACTION_REVOKED, NULL);
}
END_TEST

START_TEST(poll_after_its_end)
{
    struct wish poll = {.type = SCEP_CERT_POLL, .signer_key = key};
    w.now = NOW + 366 * DAY;
    expect_refused(&w, &poll, REASON_REQUEST_EXPIRED, "expired 2028-01-15T08:00:00Z");
}
END_TEST

START_TEST(transaction_ids_are_opaque)
{
    static const char *const ids[] = {
        "a+b/c=", "SSCEP transactionId", "0",
        "7777777777777777777777777777777777777777777777777777777777777777777777777"};
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        EVP_PKEY *k = new_key();
        struct wish any = {.transaction = ids[i], .key = k, .challenge = challenge_make(&w, NULL)};
        struct buf b = expect_issued(&w, &any);
        expect_repeat(&w, &any, &b);
        buf_clear(&b);
        EVP_PKEY_free(k);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("enroll/transaction");
    TCase *c = tcase_create("transaction");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, lost_reply_costs_nothing);
    tcase_add_test(c, no_challenge_is_looked_at_for_a_repeat);
    tcase_add_test(c, other_key_is_refused_recorded_and_counted);
    tcase_add_test(c, flood_of_refusals_is_counted_but_not_all_written_down);
    tcase_add_test(c, other_wish_is_refused);
    tcase_add_test(c, other_signer_is_refused);
    tcase_add_test(c, revoked_is_not_given_again);
    tcase_add_test(c, revoked_makes_room_for_a_new_key);
    tcase_add_test(c, compromised_key_never_comes_back);
    tcase_add_test(c, revoked_may_sign_but_not_renew);
    tcase_add_test(c, expired_makes_room);
    tcase_add_test(c, endpoints_do_not_share_transactions);
    tcase_add_test(c, poll_of_what_was_issued);
    tcase_add_test(c, poll_after_its_end);
    tcase_add_test(c, transaction_ids_are_opaque);
    suite_add_tcase(s, c);
    return check_main(s);
}
