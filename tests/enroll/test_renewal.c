/* Renewals: by a certificate of ours, whatever the message calls itself. */
#include <stdio.h>
#include <string.h>

#include "check_main.h"
#include "world.h"

static struct world w;
static EVP_PKEY *key, *fresh;
static struct buf old; /* of `key`, CN=ipad-1 with a DNS name, issued at NOW */

static const struct wish first = {.transaction = "tx-1", .dns = "ipad-1.example.org"};

static void setup(void)
{
    world_open(&w);
    key = new_key();
    fresh = new_key();
    struct wish wish = first;
    wish.key = key;
    wish.challenge = challenge_make(&w, NULL);
    old = expect_issued(&w, &wish);
    w.now = NOW + 310 * DAY; /* the window of 60 days is open */
}

static void teardown(void)
{
    expect_sound(&w);
    buf_clear(&old);
    EVP_PKEY_free(key);
    EVP_PKEY_free(fresh);
    world_close(&w);
}

static struct wish renewal(const char *transaction)
{
    return (struct wish){.type = SCEP_RENEWAL_REQ,
                         .transaction = transaction,
                         .dns = "ipad-1.example.org",
                         .key = fresh,
                         .signer = &old};
}

static void revoke(const struct buf *der, enum crl_reason reason)
{
    struct err err = {0};
    struct store_cert c = record_of(&w, der);
    ck_assert(enroll_cert_revoke(w.store, c.id, reason, "anna", w.now, &err));
    store_cert_clear(&c);
}

/* RFC 8894 sections 2.4 and 2.5: the old certificate speaks. */
START_TEST(renews_without_a_challenge)
{
    struct wish wish = renewal("tx-2");
    struct buf der = expect_issued(&w, &wish);
    struct store_cert a = record_of(&w, &old), b = record_of(&w, &der);
    ck_assert_uint_eq(b.renews, a.id);
    ck_assert_uint_eq(a.renewed_by, b.id);
    ck_assert_str_eq(b.challenge, a.challenge);
    ck_assert_mem_eq(a.subject_hash, b.subject_hash, STORE_HASH);
    ck_assert_uint_eq(audited(&w, "certificate.renewed"), 1);
    expect_repeat(&w, &wish, &der);
    store_cert_clear(&a);
    store_cert_clear(&b);
    buf_clear(&der);
}
END_TEST

/* RFC 8894 section 2.3 */
START_TEST(decided_by_the_signer_not_by_the_type)
{
    /* strongSwan and certmonger: PKCSReq; the stale challenge in it is not looked at */
    struct wish wish = renewal("tx-2");
    wish.type = SCEP_PKCS_REQ;
    wish.challenge = "7QK4-M2XH-9RTD-VN3A";
    struct outcome o = ask(&w, &wish);
    ck_assert_int_eq(o.verdict, ENROLL_ISSUE);
    ck_assert(o.renewal);
    outcome_clear(&o);
}
END_TEST

START_TEST(same_transaction_and_key_gives_a_new_certificate)
{
    /* certmonger: the very CSR of the first enrolment again, under its transaction ID, signed by
     * the certificate */
    struct wish wish = renewal("tx-1");
    wish.type = SCEP_PKCS_REQ;
    wish.key = key;
    struct buf second = expect_issued(&w, &wish);
    ck_assert(!view_eq(buf_view(&second), buf_view(&old)));
    expect_repeat(&w, &wish, &second); /* its reply was lost */
    world_restart(&w);
    expect_repeat(&w, &wish, &second);
    /* and again when that one comes to its end */
    w.now += 310 * DAY;
    wish.signer = &second;
    struct buf third = expect_issued(&w, &wish);
    ck_assert(!view_eq(buf_view(&second), buf_view(&third)));
    expect_repeat(&w, &wish, &third);
    buf_clear(&second);
    buf_clear(&third);
}
END_TEST

START_TEST(same_transaction_and_another_key)
{
    /* cryptlib: the transaction ID is the user's name for ever */
    struct wish wish = renewal("tx-1");
    struct buf der = expect_issued(&w, &wish);
    expect_repeat(&w, &wish, &der);
    buf_clear(&der);
}
END_TEST

START_TEST(signer_that_is_nobody)
{
    struct wish wish = renewal("tx-2");
    wish.signer = NULL;
    expect_refused(&w, &wish, REASON_RENEWAL_SIGNER_UNKNOWN, "self-signed");
}
END_TEST

START_TEST(signer_of_another_authority_of_ours)
{
    struct wish wish = renewal("tx-2");
    w.authority.key_id[0] ^= 1;
    expect_refused(&w, &wish, REASON_RENEWAL_SIGNER_UNKNOWN, "another authority");
}
END_TEST

START_TEST(one_kind_of_certificate_is_no_way_to_another)
{
    struct wish wish = renewal("tx-2");
    snprintf(w.policy.endpoint, sizeof w.policy.endpoint, "/vpn");
    struct buf der = expect_issued(&w, &wish); /* another endpoint, the same template */
    buf_clear(&der);
    snprintf(w.template.name, sizeof w.template.name, "vpn");
    wish.transaction = "tx-3";
    expect_refused(&w, &wish, REASON_RENEWAL_SIGNER_UNKNOWN, "issued at /scep by template device");
    snprintf(w.policy.endpoint, sizeof w.policy.endpoint, "/scep");
    der = expect_issued(&w, &wish); /* the endpoint's template has another name now */
    buf_clear(&der);
}
END_TEST

START_TEST(signer_revoked_or_on_hold)
{
    struct wish wish = renewal("tx-2");
    revoke(&old, CRL_HOLD);
    expect_refused(&w, &wish, REASON_RENEWAL_SIGNER_REVOKED, "put on hold");
    revoke(&old, CRL_REMOVE_FROM_CRL);
    struct scep_message *m = message_new(&w, &wish);
    struct half h = decide_only(&w, m);
    ck_assert_int_eq(h.outcome.verdict, ENROLL_ISSUE);
    revoke(&old, CRL_KEY_COMPROMISE);
    /* revoked between decision and commit: not issued either */
    expect_conflict(&w, &h);
    half_clear(&h);
    scep_message_free(m);
    expect_refused(&w, &wish, REASON_RENEWAL_SIGNER_REVOKED, "(key-compromise)");
    ck_assert_uint_eq(audited(&w, "certificate.revoked"), 2);
    ck_assert_uint_eq(audited(&w, "certificate.released"), 1);
}
END_TEST

START_TEST(signer_expired_and_grace)
{
    struct wish wish = renewal("tx-2");
    w.now = NOW + 365 * DAY + 10;
    expect_refused(&w, &wish, REASON_RENEWAL_SIGNER_EXPIRED, "0 s of grace");
    w.template.renew_grace = DAY;
    struct buf der = expect_issued(&w, &wish);
    buf_clear(&der);
    w.now += DAY;
    wish.transaction = "tx-3";
    expect_refused(&w, &wish, REASON_RENEWAL_SIGNER_EXPIRED, "86400 s of grace");
}
END_TEST

START_TEST(disabled)
{
    struct wish wish = renewal("tx-2");
    w.policy.renewal = false;
    expect_refused(&w, &wish, REASON_RENEWAL_DISABLED, "/scep");
    wish.type = SCEP_PKCS_REQ;
    expect_refused(&w, &wish, REASON_RENEWAL_DISABLED, NULL);
}
END_TEST

static const struct name_case {
    const char *subject, *dns;
    bool same;
} names[] = {
    {"CN=ipad-1", "ipad-1.example.org", true},
    {"CN=ipad-1", "IPAD-1.example.org", true}, /* the same once planned */
    {"CN=ipad-2", "ipad-1.example.org", false},
    {"CN=iPad-1", "ipad-1.example.org", false},
    {"CN=ipad-1,O=Example", "ipad-1.example.org", false},
    {"CN=ipad-1", NULL, false},
    {"CN=ipad-1", "ipad-2.example.org", false},
    {"CN=ipad-1", "ipad-1.example.org,DNS:ipad-2.example.org", false},
};

START_TEST(same_names)
{
    const struct name_case *n = &names[_i];
    struct wish wish = renewal("tx-2");
    wish.subject = n->subject;
    wish.dns = n->dns;
    if (n->same) {
        struct buf der = expect_issued(&w, &wish);
        buf_clear(&der);
    } else {
        expect_refused(&w, &wish, REASON_RENEWAL_SUBJECT, "the old certificate has");
    }
}
END_TEST

START_TEST(window)
{
    struct wish wish = renewal("tx-2");
    w.now = NOW + 304 * DAY;
    expect_refused(&w, &wish, REASON_RENEWAL_TOO_EARLY, "opens 2027-11-");
    w.template.renew_before = 0; /* always */
    struct buf der = expect_issued(&w, &wish);
    buf_clear(&der);
}
END_TEST

START_TEST(window_opens_to_the_second)
{
    struct store_cert c = record_of(&w, &old);
    struct wish wish = renewal("tx-2");
    w.now = c.not_after - 60 * DAY - 1;
    expect_refused(&w, &wish, REASON_RENEWAL_TOO_EARLY, NULL);
    w.now++;
    struct buf der = expect_issued(&w, &wish);
    buf_clear(&der);
    store_cert_clear(&c);
}
END_TEST

START_TEST(renewed_before_may_renew_again)
{
    struct wish wish = renewal("tx-2");
    struct buf a = expect_issued(&w, &wish);
    wish.transaction = "tx-3";
    struct buf b = expect_issued(&w, &wish); /* the device lost what it got, transaction and all */
    ck_assert(!view_eq(buf_view(&a), buf_view(&b)));
    ck_assert_uint_eq(audited(&w, "certificate.renewed"), 2);
    buf_clear(&a);
    buf_clear(&b);
}
END_TEST

/* RFC 8894 section 7.6 */
START_TEST(key_of_somebody_else)
{
    struct wish stranger = {.transaction = "tx-9",
                            .subject = "CN=other",
                            .key = fresh,
                            .challenge = challenge_make(&w, NULL)};
    struct buf der;
    stranger.challenge = NULL;
    w.policy.challenges = CHALLENGE_NONE;
    der = expect_issued(&w, &stranger);
    w.policy.challenges = CHALLENGE_ONE_TIME;
    struct wish wish = renewal("tx-2");
    expect_refused(&w, &wish, REASON_KEY_REUSED, "CN=other");
    buf_clear(&der);
}
END_TEST

/* ---- challenges on renewals ---- */

START_TEST(challenge_checked_if_present)
{
    w.policy.renewal_challenge = RENEWAL_CHALLENGE_CHECK;
    struct wish wish = renewal("tx-2");
    wish.challenge = "7QK4-M2XH-9RTD-VN3A";
    expect_refused(&w, &wish, REASON_CHALLENGE_UNKNOWN, NULL);
    wish.challenge = NULL;
    struct buf der = expect_issued(&w, &wish);
    buf_clear(&der);
}
END_TEST

START_TEST(challenge_required_and_burnt)
{
    w.policy.renewal_challenge = RENEWAL_CHALLENGE_REQUIRE;
    struct wish wish = renewal("tx-2");
    expect_refused(&w, &wish, REASON_CHALLENGE_MISSING, NULL);
    const char *secret = challenge_make(&w, NULL);
    wish.challenge = secret;
    struct buf der = expect_issued(&w, &wish);
    ck_assert_uint_eq(challenge_of(&w, secret).used, 1);
    buf_clear(&der);
}
END_TEST

START_TEST(names_built_from_the_first_challenge_stay)
{
    struct challenge_wish plan = {.ttl = DAY, .uses = 1, .label = "asset-7", .now = w.now};
    w.template.subject_build = strdup("CN=${challenge.label}");
    struct wish wish = {
        .transaction = "tx-5", .key = fresh, .challenge = challenge_make(&w, &plan)};
    struct buf der = expect_issued(&w, &wish);
    for (int i = 0; i < 2;
         i++) { /* also through a renewal of a renewal, when the challenge is forgotten */
        w.now += 310 * DAY;
        struct err err = {0};
        ck_assert(enroll_housekeep(w.store, w.now, &err));
        struct wish again = {.transaction = "tx-6", .key = fresh, .signer = &der};
        struct buf next = expect_issued(&w, &again);
        struct store_cert c = record_of(&w, &next);
        ck_assert_str_eq(c.subject, "CN=asset-7");
        store_cert_clear(&c);
        buf_clear(&der);
        der = next;
    }
    buf_clear(&der);
}
END_TEST

/* ---- when it is no renewal, a challenge may speak ---- */

START_TEST(challenge_instead_of_a_renewal)
{
    struct wish wish = renewal("tx-2");
    wish.type = SCEP_PKCS_REQ;
    revoke(&old, CRL_SUPERSEDED);
    expect_refused(&w, &wish, REASON_RENEWAL_SIGNER_REVOKED, NULL);
    wish.challenge = "7QK4-M2XH-9RTD-VN3A"; /* the renewal's reason, not the challenge's */
    expect_refused(&w, &wish, REASON_RENEWAL_SIGNER_REVOKED, NULL);
    wish.challenge = challenge_make(&w, NULL);
    wish.subject = "CN=ipad-1b"; /* an enrolment is free to have another name */
    struct outcome o = ask(&w, &wish);
    ck_assert_int_eq(o.verdict, ENROLL_ISSUE);
    ck_assert(!o.renewal);
    struct store_cert c = record_of(&w, &o.certificate);
    ck_assert_uint_eq(c.renews, 0);
    expect_repeat(&w, &wish, &o.certificate);
    store_cert_clear(&c);
    outcome_clear(&o);
}
END_TEST

START_TEST(no_challenge_for_a_renewal_request)
{
    struct wish wish = renewal("tx-2");
    w.now = NOW + DAY / 2;
    wish.challenge = challenge_make(&w, NULL);
    expect_refused(&w, &wish, REASON_RENEWAL_TOO_EARLY, NULL);
}
END_TEST

START_TEST(no_second_certificate_by_challenge_in_one_transaction)
{
    struct wish wish = renewal("tx-1");
    wish.type = SCEP_PKCS_REQ;
    w.now = NOW + DAY / 2;
    wish.challenge = challenge_make(&w, NULL);
    expect_refused(&w, &wish, REASON_RENEWAL_TOO_EARLY, NULL);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("enroll/renewal");
    TCase *c = tcase_create("renewal");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, renews_without_a_challenge);
    tcase_add_test(c, decided_by_the_signer_not_by_the_type);
    tcase_add_test(c, same_transaction_and_key_gives_a_new_certificate);
    tcase_add_test(c, same_transaction_and_another_key);
    tcase_add_test(c, signer_that_is_nobody);
    tcase_add_test(c, signer_of_another_authority_of_ours);
    tcase_add_test(c, one_kind_of_certificate_is_no_way_to_another);
    tcase_add_test(c, signer_revoked_or_on_hold);
    tcase_add_test(c, signer_expired_and_grace);
    tcase_add_test(c, disabled);
    tcase_add_loop_test(c, same_names, 0, sizeof names / sizeof names[0]);
    tcase_add_test(c, window);
    tcase_add_test(c, window_opens_to_the_second);
    tcase_add_test(c, renewed_before_may_renew_again);
    tcase_add_test(c, key_of_somebody_else);
    tcase_add_test(c, challenge_checked_if_present);
    tcase_add_test(c, challenge_required_and_burnt);
    tcase_add_test(c, names_built_from_the_first_challenge_stay);
    tcase_add_test(c, challenge_instead_of_a_renewal);
    tcase_add_test(c, no_challenge_for_a_renewal_request);
    tcase_add_test(c, no_second_certificate_by_challenge_in_one_transaction);
    suite_add_tcase(s, c);
    return check_main(s);
}
