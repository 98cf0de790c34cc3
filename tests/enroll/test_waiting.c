/* Manual approval: requests that wait, polls, and what becomes of them. */
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <stdlib.h>
#include <string.h>

#include "check_main.h"
#include "world.h"

static struct world w;
static EVP_PKEY *key, *other;
static struct wish wish, poll;

static void setup(void)
{
    world_open(&w);
    w.policy.challenges = CHALLENGE_NONE;
    w.policy.manual = true;
    key = new_key();
    other = new_key();
    wish =
        (struct wish){.key = key, .dns = "ipad-1.example.org", .challenge = "never to be stored"};
    poll = (struct wish){.type = SCEP_CERT_POLL, .signer_key = key};
}

static void teardown(void)
{
    expect_sound(&w);
    EVP_PKEY_free(key);
    EVP_PKEY_free(other);
    world_close(&w);
}

static struct store_request request_of(const char *id)
{
    struct store_request r = {0};
    struct err err = {0};
    ck_assert_msg(store_request_get(w.store, id, &r, &err), "%s", err.text);
    return r;
}

static void decide(const char *id, bool approve, const char *note)
{
    struct store_request r = {0};
    struct err err = {0};
    ck_assert_msg(enroll_request_decide(w.store, id, approve, "anna", note, w.now, &r, &err), "%s",
                  err.text);
    ck_assert_int_eq(r.state, approve ? REQUEST_APPROVED : REQUEST_DENIED);
    ck_assert_str_eq(r.decided_by, "anna");
    store_request_clear(&r);
}

START_TEST(waits_with_what_people_need_to_know)
{
    char id[32];
    expect_pending(&w, &wish, id);
    struct store_request r = request_of(id);
    ck_assert_int_eq(strncmp(id, "req_", 4), 0);
    ck_assert_int_eq(r.state, REQUEST_PENDING);
    ck_assert_str_eq(r.subject, "CN=ipad-1");
    ck_assert_str_eq(r.san, "DNS:ipad-1.example.org");
    ck_assert_str_eq(r.key, "P-256");
    ck_assert_str_eq(r.peer, "10.20.4.9");
    ck_assert_str_eq(r.template_name, "device");
    ck_assert_int_eq(r.expires_at, NOW + 7 * DAY);
    ck_assert_uint_eq(r.polls, 0);
    ck_assert_uint_gt(r.signer.n, 0);
    ck_assert_int_eq(transaction_of(&w, "tx-1").state, TX_PENDING);
    ck_assert_uint_eq(audited(&w, "request.pending"), 1);
    store_request_clear(&r);
}
END_TEST

START_TEST(challenge_of_the_request_is_not_kept)
{
    char id[32];
    expect_pending(&w, &wish, id);
    struct store_request r = request_of(id);
    ck_assert_ptr_null(memmem(r.csr.p, r.csr.n, "never to be stored", 18));
    struct csr *kept = NULL;
    struct err err = {0};
    ck_assert_msg(csr_parse_trusted(buf_view(&r.csr), &kept, &err), "%s", err.text);
    ck_assert(!kept->has_challenge);
    struct scep_message *m = message_new(&w, &wish);
    ck_assert_mem_eq(kept->identity, m->csr->identity, sizeof kept->identity);
    ck_assert_mem_eq(kept->key.sha256, m->csr->key.sha256, 32);
    scep_message_free(m);
    csr_free(kept);
    store_request_clear(&r);
}
END_TEST

/* RFC 8894 section 5.2 */
START_TEST(polls_and_repeated_requests_wait_and_count)
{
    char id[32], again[32];
    expect_pending(&w, &wish, id);
    w.now += 60;
    expect_pending(&w, &poll, again);
    ck_assert_str_eq(id, again);
    w.now += 60;
    expect_pending(&w, &wish, again); /* certmonger and others: the PKCSReq again */
    ck_assert_str_eq(id, again);
    struct store_request r = request_of(id);
    ck_assert_uint_eq(r.polls, 2);
    ck_assert_int_eq(r.polled_at, NOW + 120);
    store_request_clear(&r);
    ck_assert_uint_eq(audited(&w, "request.pending"), 1);
}
END_TEST

static void approve_and_fetch(const struct wish *by)
{
    char id[32];
    expect_pending(&w, &wish, id);
    world_restart(&w);
    decide(id, true, "ours");
    w.now += 60;
    struct buf der = expect_issued(&w, by);
    struct store_cert c = record_of(&w, &der);
    struct store_request r = request_of(id);
    struct store_tx tx = transaction_of(&w, "tx-1");
    ck_assert_str_eq(c.subject, "CN=ipad-1");
    ck_assert_str_eq(c.san, "DNS:ipad-1.example.org");
    ck_assert_int_eq(r.state, REQUEST_ISSUED);
    ck_assert_uint_eq(r.cert_id, c.id);
    ck_assert_int_eq(tx.state, TX_ISSUED);
    ck_assert_int_eq(tx.created_at, NOW);
    ck_assert_uint_eq(tx.cert_id, c.id);
    ck_assert_str_eq(tx.request, id);
    ck_assert_uint_eq(audited(&w, "request.approved"), 1);
    world_restart(&w);
    expect_repeat(&w, &poll, &der);
    expect_repeat(&w, &wish, &der);
    store_cert_clear(&c);
    store_request_clear(&r);
    buf_clear(&der);
}

START_TEST(approved_by_poll)
{
    approve_and_fetch(&poll);
}
END_TEST

START_TEST(approved_by_repeated_request)
{
    approve_and_fetch(&wish);
}
END_TEST

START_TEST(denied_with_the_note)
{
    char id[32];
    expect_pending(&w, &wish, id);
    decide(id, false, "not our device");
    expect_refused(&w, &poll, REASON_REQUEST_DENIED,
                   "by anna 2027-01-15T08:00:00Z: not our device");
    expect_refused(&w, &wish, REASON_REQUEST_DENIED, "not our device");
    ck_assert_uint_eq(audited(&w, "request.denied"), 1);
    struct wish thief = wish;
    thief.key = other;
    expect_refused(&w, &thief, REASON_TRANSACTION_REUSED, "another key");
    /* the ID is often made of the key: a corrected request is a new one */
    wish.subject = "CN=ipad-1b";
    char second[32];
    expect_pending(&w, &wish, second);
    ck_assert_str_ne(id, second);
}
END_TEST

START_TEST(denied_by_mistake)
{
    char id[32], second[32];
    struct store_request r = {0};
    struct err err = {0};
    expect_pending(&w, &wish, id);
    decide(id, false, "not our device");
    expect_refused(&w, &poll, REASON_REQUEST_DENIED, NULL);
    w.now = NOW + 30 * DAY; /* whoever denied it stopped its clock, too */
    decide(id, true, "it is");
    world_restart(&w);
    struct buf der = expect_issued(&w, &wish);
    expect_repeat(&w, &poll, &der);
    ck_assert_uint_eq(audited(&w, "request.approved"), 1);
    ck_assert(!enroll_request_decide(w.store, id, true, "bert", NULL, w.now, &r, &err));
    ck_assert_int_eq(err.kind, ERR_CONFLICT);
    buf_clear(&der);
    /* once the device asks for something else, that is what people decide about */
    wish = (struct wish){.transaction = "tx-2", .key = other};
    expect_pending(&w, &wish, id);
    decide(id, false, NULL);
    wish.subject = "CN=ipad-1b";
    expect_pending(&w, &wish, second);
    ck_assert(!enroll_request_decide(w.store, id, true, "bert", NULL, w.now, &r, &err));
    ck_assert_int_eq(err.kind, ERR_CONFLICT);
    ck_assert_ptr_nonnull(strstr(err.text, "asked for something else"));
    r = request_of(id);
    ck_assert_int_eq(r.state, REQUEST_DENIED);
    store_request_clear(&r);
}
END_TEST

START_TEST(decided_once)
{
    char id[32];
    struct store_request r = {0};
    struct err err = {0};
    expect_pending(&w, &wish, id);
    decide(id, true, NULL);
    ck_assert(!enroll_request_decide(w.store, id, false, "bert", NULL, w.now, &r, &err));
    ck_assert_int_eq(err.kind, ERR_CONFLICT);
    ck_assert_ptr_nonnull(strstr(err.text, "approved by anna"));
    ck_assert(!enroll_request_decide(w.store, "req_nosuch", true, "bert", NULL, w.now, &r, &err));
    ck_assert_int_eq(err.kind, ERR_NOT_FOUND);
}
END_TEST

START_TEST(expires)
{
    char id[32];
    struct store_request r = {0};
    struct err err = {0};
    expect_pending(&w, &wish, id);
    w.now = NOW + 7 * DAY;
    expect_refused(&w, &poll, REASON_REQUEST_EXPIRED, id); /* before housekeeping came by */
    ck_assert(!enroll_request_decide(w.store, id, true, "anna", NULL, w.now, &r, &err));
    ck_assert_int_eq(err.kind, ERR_CONFLICT);
    ck_assert(enroll_housekeep(w.store, w.now, &err));
    ck_assert_int_eq(transaction_of(&w, "tx-1").state, TX_EXPIRED);
    ck_assert_uint_eq(audited(&w, "request.expired"), 1);
    expect_refused(&w, &poll, REASON_REQUEST_EXPIRED, "nobody approved");
    char second[32];
    expect_pending(&w, &wish, second); /* asked anew */
    ck_assert_str_ne(id, second);
    ck_assert(enroll_housekeep(w.store, w.now, &err));
    expect_pending(&w, &poll, NULL);
}
END_TEST

START_TEST(housekeeping_without_work_writes_nothing)
{
    uint64_t before, after;
    struct err err = {0};
    expect_pending(&w, &wish, NULL);
    ck_assert(store_generation(w.store, &before, &err));
    ck_assert(enroll_housekeep(w.store, w.now, &err));
    ck_assert(store_generation(w.store, &after, &err));
    ck_assert_uint_eq(before, after);
}
END_TEST

START_TEST(only_the_key_that_asked_may_poll)
{
    expect_pending(&w, &wish, NULL);
    poll.signer_key = other;
    expect_refused(&w, &poll, REASON_TRANSACTION_REUSED, "signed with another key");
    ck_assert_uint_eq(transaction_of(&w, "tx-1").reuse_refused, 1);
    struct wish thief = wish;
    thief.key = other;
    expect_refused(&w, &thief, REASON_TRANSACTION_REUSED, "another key");
    thief = wish;
    thief.signer_key = other;
    expect_refused(&w, &thief, REASON_TRANSACTION_REUSED, "another signer");
    w.policy.any_signer_key = true; /* a proxy signs each message with another key */
    expect_pending(&w, &thief, NULL);
    expect_pending(&w, &poll, NULL);
}
END_TEST

START_TEST(no_more_may_wait_than_the_limit)
{
    char id[32];
    struct err err = {0};
    w.policy.max_pending = 2;
    struct wish second = {.transaction = "tx-2", .subject = "CN=b", .key = other};
    struct wish third = {.transaction = "tx-3", .subject = "CN=c", .key = new_key()};
    expect_pending(&w, &wish, id);
    struct scep_message *m = message_new(&w, &third);
    struct half late = decide_only(&w, m); /* while there was room */
    expect_pending(&w, &second, NULL);
    expect_conflict(&w, &late);
    half_clear(&late);
    scep_message_free(m);
    expect_refused(&w, &third, REASON_REQUEST_TOO_MANY, "2 requests wait at endpoint /scep, 2 may");
    expect_pending(&w, &wish, NULL); /* who waits already goes on waiting */
    snprintf(w.policy.endpoint, sizeof w.policy.endpoint, "/other");
    expect_pending(&w, &third, NULL);
    snprintf(w.policy.endpoint, sizeof w.policy.endpoint, "/scep");
    expect_refused(&w, &third, REASON_REQUEST_TOO_MANY, NULL);
    decide(id, false, NULL);
    expect_pending(&w, &third, NULL);
    wish.subject = "CN=ipad-1b";
    expect_refused(&w, &wish, REASON_REQUEST_TOO_MANY, NULL);
    decide(id, true, NULL); /* it does not wait in the queue again */
    w.now += 8 * DAY;
    ck_assert(enroll_housekeep(w.store, w.now, &err));
    EVP_PKEY *keys[] = {new_key(), new_key()};
    struct wish later[] = {{.transaction = "tx-4", .subject = "CN=d", .key = keys[0]},
                           {.transaction = "tx-5", .subject = "CN=e", .key = keys[1]}};
    expect_pending(&w, &later[0], NULL);
    expect_pending(&w, &later[1], NULL);
    EVP_PKEY_free(keys[0]);
    EVP_PKEY_free(keys[1]);
    EVP_PKEY_free(third.key);
}
END_TEST

/* RFC 8894 section 4.4 */
START_TEST(poll_of_nothing)
{
    expect_refused(&w, &poll, REASON_REQUEST_UNKNOWN, "tx-1");
}
END_TEST

START_TEST(template_is_asked_before_people_are)
{
    wish.subject = "CN=ipad-1,L=Bern";
    expect_refused(&w, &wish, REASON_SUBJECT_FORBIDDEN, NULL);
    ck_assert_uint_eq(audited(&w, "request.pending"), 0);
}
END_TEST

START_TEST(template_changed_while_it_waited)
{
    char id[32];
    expect_pending(&w, &wish, id);
    decide(id, true, NULL);
    free(w.template.san[0]);
    w.template.san[0] = strdup("DNS:*.example.net");
    expect_refused(&w, &poll, REASON_SAN_FORBIDDEN, NULL);
    free(w.template.san[0]);
    w.template.san[0] = strdup("DNS:*.example.org");
    struct buf der = expect_issued(&w, &poll);
    buf_clear(&der);
}
END_TEST

static BIGNUM *next_prime(const BIGNUM *from)
{
    BIGNUM *p = BN_dup(from);
    do
        BN_add_word(p, 2);
    while (BN_check_prime(p, NULL, NULL) != 1);
    return p;
}

/* RSA-2048 whose primes are neighbours. */
static EVP_PKEY *weak_key(void)
{
    BN_CTX *ctx = BN_CTX_new();
    BIGNUM *p = BN_new(), *n = BN_new(), *phi = BN_new(), *e = BN_new(), *d = NULL;
    BN_generate_prime_ex(p, 1024, 0, NULL, NULL, NULL);
    BIGNUM *q = next_prime(p);
    BN_mul(n, p, q, ctx);
    BN_copy(phi, n);
    BN_sub(phi, phi, p);
    BN_sub(phi, phi, q);
    BN_add_word(phi, 1);
    BN_set_word(e, 65537);
    d = BN_mod_inverse(NULL, e, phi, ctx);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n);
    OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e);
    OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_D, d);
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
    EVP_PKEY_CTX *make = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    EVP_PKEY *made = NULL;
    EVP_PKEY_fromdata_init(make);
    ck_assert_int_eq(EVP_PKEY_fromdata(make, &made, EVP_PKEY_KEYPAIR, params), 1);
    EVP_PKEY_CTX_free(make);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    BIGNUM *numbers[] = {p, q, n, phi, e, d};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        BN_free(numbers[i]);
    BN_CTX_free(ctx);
    return made;
}

START_TEST(weak_key_is_refused_before_people_are_asked)
{
    wish.key = weak_key();
    expect_refused(&w, &wish, REASON_KEY_WEAK, NULL);
    EVP_PKEY_free(wish.key);
}
END_TEST

/* ---- with a challenge besides ---- */

START_TEST(challenge_burnt_with_the_certificate)
{
    char id[32];
    w.policy.challenges = CHALLENGE_ONE_TIME;
    expect_refused(&w, &wish, REASON_CHALLENGE_UNKNOWN, NULL);
    const char *secret = challenge_make(&w, NULL);
    wish.challenge = secret;
    expect_pending(&w, &wish, id);
    ck_assert_uint_eq(challenge_of(&w, secret).used, 0);
    w.now += 2 * DAY; /* it expired while the request waited: not the device's fault */
    decide(id, true, NULL);
    struct buf der = expect_issued(&w, &poll);
    struct store_challenge c = challenge_of(&w, secret);
    struct store_cert record = record_of(&w, &der);
    ck_assert_uint_eq(c.used, 1);
    ck_assert_str_eq(record.challenge, c.id);
    store_cert_clear(&record);
    buf_clear(&der);
}
END_TEST

START_TEST(challenge_used_by_another_while_it_waited)
{
    char first[32], second[32];
    w.policy.challenges = CHALLENGE_ONE_TIME;
    wish.challenge = challenge_make(&w, NULL);
    expect_pending(&w, &wish, first);
    struct wish twin = {
        .transaction = "tx-2", .subject = "CN=ipad-2", .key = other, .challenge = wish.challenge};
    expect_pending(&w, &twin, second);
    decide(first, true, NULL);
    decide(second, true, NULL);
    struct wish fetch = {.type = SCEP_CERT_POLL, .transaction = "tx-2", .signer_key = other};
    struct buf der = expect_issued(&w, &fetch);
    expect_refused(&w, &poll, REASON_CHALLENGE_USED, "by transaction tx-2");
    buf_clear(&der);
}
END_TEST

START_TEST(static_challenge_waits_too)
{
    char id[32];
    w.policy.challenges = CHALLENGE_STATIC;
    challenge_hash(&w.challenge_key, view_str("Swordfish!"), w.policy.static_hash);
    expect_refused(&w, &wish, REASON_CHALLENGE_UNKNOWN, NULL);
    wish.challenge = "Swordfish!";
    expect_pending(&w, &wish, id);
    decide(id, true, NULL);
    struct buf der = expect_issued(&w, &poll);
    buf_clear(&der);
}
END_TEST

START_TEST(renewals_do_not_wait)
{
    char id[32];
    expect_pending(&w, &wish, id);
    decide(id, true, NULL);
    struct buf der = expect_issued(&w, &poll);
    w.now += 310 * DAY;
    struct wish renewal = {
        .transaction = "tx-2", .dns = "ipad-1.example.org", .key = other, .signer = &der};
    struct buf next = expect_issued(&w, &renewal);
    buf_clear(&der);
    buf_clear(&next);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("enroll/waiting");
    TCase *c = tcase_create("waiting");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, waits_with_what_people_need_to_know);
    tcase_add_test(c, challenge_of_the_request_is_not_kept);
    tcase_add_test(c, polls_and_repeated_requests_wait_and_count);
    tcase_add_test(c, approved_by_poll);
    tcase_add_test(c, approved_by_repeated_request);
    tcase_add_test(c, denied_with_the_note);
    tcase_add_test(c, denied_by_mistake);
    tcase_add_test(c, decided_once);
    tcase_add_test(c, expires);
    tcase_add_test(c, housekeeping_without_work_writes_nothing);
    tcase_add_test(c, only_the_key_that_asked_may_poll);
    tcase_add_test(c, no_more_may_wait_than_the_limit);
    tcase_add_test(c, poll_of_nothing);
    tcase_add_test(c, template_is_asked_before_people_are);
    tcase_add_test(c, template_changed_while_it_waited);
    tcase_add_test(c, weak_key_is_refused_before_people_are_asked);
    tcase_add_test(c, challenge_burnt_with_the_certificate);
    tcase_add_test(c, challenge_used_by_another_while_it_waited);
    tcase_add_test(c, static_challenge_waits_too);
    tcase_add_test(c, renewals_do_not_wait);
    suite_add_tcase(s, c);
    return check_main(s);
}
