/* Devices and policies in the path of a request: what a challenge, a certificate and a waiting
 * request carry, and who wins when an administrator takes it away. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "check_main.h"
#include "enroll/assigned.h"
#include "world.h"

static struct world w;
static EVP_PKEY *key, *fresh;

static struct err err;
static struct store_write *in;

#define must(expression) ck_assert_msg((expression), "%s", err.text)

/* Each in a write of its own. */
#define written(call)                                \
    do {                                             \
        must(store_write_begin(w.store, &in, &err)); \
        must(call);                                  \
        must(store_write_commit(in, &err));          \
    } while (0)

static void put_policy(const char *id, const char *name)
{
    struct store_policy p = {.key_type = "ec", .key_size = 256, .created_at = 5};
    snprintf(p.id, sizeof p.id, "%s", id);
    snprintf(p.name, sizeof p.name, "%s", name);
    written(store_policy_put(in, &p, &err));
}

static void put_device(const char *id, const char *name)
{
    struct store_device d = {.user = "Anna"};
    snprintf(d.id, sizeof d.id, "%s", id);
    snprintf(d.name, sizeof d.name, "%s", name);
    written(store_device_put(in, &d, &err));
}

static void setup(void)
{
    world_open(&w);
    key = new_key();
    fresh = new_key();
    struct store_group sales = {.id = "grp_sales1", .name = "sales"},
                       people = {.id = "grp_people", .name = "people", .users = true};
    put_device("dev_ipad01", "ipad-0113");
    put_policy("pol_corp01", "corp");
    written(store_group_put(in, &sales, &err) && store_group_put(in, &people, &err));
    written(store_policy_assign(in, "pol_corp01", "dev_ipad01", "anna", 10, &err));
}

static void teardown(void)
{
    expect_sound(&w);
    EVP_PKEY_free(key);
    EVP_PKEY_free(fresh);
    world_close(&w);
}

static const char *challenge_for(const char *device, const char *policy)
{
    return challenge_make(&w, &(struct challenge_wish){.ttl = 400 * DAY,
                                                       .uses = 1,
                                                       .created_by = "anna",
                                                       .now = w.now,
                                                       .device = device,
                                                       .policy = policy});
}

static struct wish enrolment(void)
{
    return (struct wish){.key = key, .challenge = challenge_for("dev_ipad01", "pol_corp01")};
}

static void state(enum device_state to)
{
    struct store_device d;
    must(store_device_get(w.store, "dev_ipad01", &d, &err));
    d.state = to;
    d.changed_at = w.now;
    written(store_device_replace(in, &d, d.version, &err));
}

static void pause_policy(bool paused)
{
    struct store_policy p;
    must(store_policy_get(w.store, "pol_corp01", &p, &err));
    p.paused = paused;
    snprintf(p.changed_by, sizeof p.changed_by, "bert");
    written(store_policy_replace(in, &p, p.version, &err));
}

static void unassign(void)
{
    written(store_policy_unassign(in, "pol_corp01", "dev_ipad01", "bert", w.now, &err));
}

static void assign_again(void)
{
    written(store_policy_assign(in, "pol_corp01", "dev_ipad01", "bert", w.now, &err));
}

static void expect_owner(const struct buf *der)
{
    struct store_cert c = record_of(&w, der);
    ck_assert_str_eq(c.device, "dev_ipad01");
    ck_assert_str_eq(c.policy, "pol_corp01");
    store_cert_clear(&c);
}

static int64_t seen(void)
{
    struct store_device d;
    must(store_device_get(w.store, "dev_ipad01", &d, &err));
    return d.seen_at;
}

START_TEST(carried_into_the_certificate)
{
    struct wish wish = enrolment();
    struct buf der = expect_issued(&w, &wish);
    expect_owner(&der);
    ck_assert_int_eq(seen(), w.now);
    expect_repeat(&w, &wish, &der);
    struct outcome o = ask(&w, &wish);
    ck_assert_str_eq(o.device, "dev_ipad01"); /* a reply that was lost is the device's, too */
    outcome_clear(&o);
    buf_clear(&der);
    /* without a device nothing is asked, and nothing written */
    struct wish plain = {.key = fresh, .transaction = "tx-2", .subject = "CN=x"};
    plain.challenge = challenge_make(&w, NULL);
    der = expect_issued(&w, &plain);
    struct store_cert c = record_of(&w, &der);
    ck_assert_str_eq(c.device, "");
    store_cert_clear(&c);
    buf_clear(&der);
}
END_TEST

static void expect_told(const struct wish *wish, enum reason reason, const char *detail)
{
    expect_refused(&w, wish, reason, detail);
    struct outcome o = ask(&w, wish);
    ck_assert_str_eq(o.device, "dev_ipad01"); /* for its history */
    ck_assert_str_eq(o.policy, "pol_corp01");
    outcome_clear(&o);
}

START_TEST(not_while_device_or_policy_say_no)
{
    struct wish wish = enrolment();
    state(DEVICE_ISOLATED);
    expect_told(&wish, REASON_DEVICE_ISOLATED, "ipad-0113");
    state(DEVICE_ACTIVE);
    pause_policy(true);
    expect_told(&wish, REASON_POLICY_PAUSED, "bert");
    pause_policy(false);
    unassign();
    expect_told(&wish, REASON_POLICY_UNASSIGNED, "bert took it away");
    assign_again();
    state(DEVICE_RETIRED);
    expect_told(&wish, REASON_DEVICE_RETIRED, NULL);
    written(store_device_forget(in, "dev_ipad01", &err));
    expect_told(&wish, REASON_DEVICE_UNKNOWN, "dev_ipad01");
    /* who takes the name of what is gone does not take its place */
    put_device("dev_other1", "dev_ipad01");
    written(store_policy_assign(in, "pol_corp01", "dev_other1", "anna", 10, &err));
    expect_told(&wish, REASON_DEVICE_UNKNOWN, "dev_ipad01");
}
END_TEST

START_TEST(a_policy_that_was_removed)
{
    struct wish wish = enrolment();
    bool done = false;
    written(store_policy_delete(in, "pol_corp01", "bert", w.now, &done, &err));
    ck_assert(done);
    expect_told(&wish, REASON_POLICY_UNASSIGNED, "was removed");
}
END_TEST

START_TEST(by_a_group_of_its_user)
{
    struct wish wish = enrolment();
    unassign();
    written(store_policy_assign(in, "pol_corp01", "grp_people", "anna", 10, &err));
    expect_told(&wish, REASON_POLICY_UNASSIGNED, NULL);
    written(store_group_add(in, "grp_people", "anna", "anna", 10, &err));
    struct buf der = expect_issued(&w, &wish);
    expect_owner(&der);
    buf_clear(&der);
}
END_TEST

START_TEST(the_key_of_the_policy)
{
    struct wish wish = enrolment();
    struct store_policy p;
    must(store_policy_get(w.store, "pol_corp01", &p, &err));
    p.key_size = 384;
    written(store_policy_replace(in, &p, p.version, &err));
    expect_told(&wish, REASON_KEY_SMALL, "384");
    snprintf(p.key_type, sizeof p.key_type, "rsa");
    written(store_policy_replace(in, &p, p.version, &err));
    expect_told(&wish, REASON_KEY_TYPE, "wants RSA");
}
END_TEST

/* A challenge with only one of the two. */
/* What a policy says of names is all that they may be: no further attribute, no further name. */
START_TEST(the_names_of_the_policy)
{
    struct challenge_wish bound = {.ttl = DAY,
                                   .uses = 1,
                                   .now = w.now,
                                   .subject = "CN=ipad-1",
                                   .device = "dev_ipad01",
                                   .policy = "pol_corp01"};
    struct wish wish = {.key = key, .challenge = challenge_make(&w, &bound)};
    wish.subject = "CN=ipad-1,O=Example";
    expect_refused(&w, &wish, REASON_CHALLENGE_BOUND, "no more than \"CN=ipad-1\"");
    wish.subject = "CN=ipad-1";
    wish.dns = "www.example.org";
    expect_refused(&w, &wish, REASON_CHALLENGE_BOUND, "no alternative name");
    wish.dns = NULL;
    struct buf der = expect_issued(&w, &wish);
    buf_clear(&der);
    /* a challenge of nobody binds what it names */
    bound.device = bound.policy = NULL;
    struct wish plain = {.key = fresh,
                         .transaction = "tx-2",
                         .subject = "CN=ipad-1,O=Example",
                         .dns = "www.example.org",
                         .challenge = challenge_make(&w, &bound)};
    der = expect_issued(&w, &plain);
    buf_clear(&der);
}
END_TEST

START_TEST(half_of_it)
{
    struct wish of_device = {.key = key, .challenge = challenge_for("dev_ipad01", NULL)};
    unassign();
    struct buf der = expect_issued(&w, &of_device);
    buf_clear(&der);
    struct wish of_policy = {.key = fresh, .transaction = "tx-2", .subject = "CN=x"};
    of_policy.challenge = challenge_for(NULL, "pol_corp01");
    pause_policy(true);
    expect_refused(&w, &of_policy, REASON_POLICY_PAUSED, NULL);
    pause_policy(false);
    der = expect_issued(&w, &of_policy);
    struct store_cert c = record_of(&w, &der);
    ck_assert_str_eq(c.policy, "pol_corp01");
    store_cert_clear(&c);
    buf_clear(&der);
}
END_TEST

/* ---- renewal ---- */

static struct buf old;

static struct wish renewal(void)
{
    struct wish wish = enrolment();
    old = expect_issued(&w, &wish);
    w.now = NOW + 310 * DAY;
    return (struct wish){
        .type = SCEP_RENEWAL_REQ, .transaction = "tx-2", .key = fresh, .signer = &old};
}

START_TEST(renews_while_assigned)
{
    struct wish wish = renewal();
    state(DEVICE_ISOLATED); /* that is allowed */
    struct buf der = expect_issued(&w, &wish);
    expect_owner(&der);
    ck_assert_int_eq(seen(), w.now);
    buf_clear(&der);
    buf_clear(&old);
}
END_TEST

START_TEST(no_renewal_without_policy_or_device)
{
    struct wish wish = renewal();
    unassign();
    expect_told(&wish, REASON_RENEWAL_UNASSIGNED, "bert took it away");
    written(store_policy_assign(in, "pol_corp01", "grp_sales1", "anna", 10, &err));
    written(store_group_add(in, "grp_sales1", "dev_ipad01", "anna", 10, &err));
    pause_policy(true);
    expect_told(&wish, REASON_POLICY_PAUSED, NULL);
    pause_policy(false);
    written(store_group_remove(in, "grp_sales1", "dev_ipad01", "carl", w.now + 1, &err));
    expect_told(&wish, REASON_RENEWAL_UNASSIGNED, "carl took it away");
    expect_told(&wish, REASON_RENEWAL_UNASSIGNED, "by group sales");
    state(DEVICE_RETIRED);
    expect_told(&wish, REASON_DEVICE_RETIRED, NULL);
    buf_clear(&old);
}
END_TEST

/* What was taken away does not come back by a static challenge, or none; by a new one of its own it
 * does. */
START_TEST(no_way_around)
{
    struct wish wish = renewal();
    wish.type = SCEP_PKCS_REQ;
    unassign();
    challenge_hash(&w.challenge_key, view_str("the static one"), w.policy.static_hash);
    w.policy.challenges |= CHALLENGE_STATIC;
    wish.challenge = "the static one";
    expect_refused(&w, &wish, REASON_RENEWAL_UNASSIGNED, NULL);
    w.policy.challenges = CHALLENGE_NONE;
    expect_refused(&w, &wish, REASON_RENEWAL_UNASSIGNED, NULL);
    w.policy.challenges = CHALLENGE_ONE_TIME;
    put_policy("pol_other1", "other");
    written(store_policy_assign(in, "pol_other1", "dev_ipad01", "anna", 10, &err));
    wish.challenge = challenge_for("dev_ipad01", "pol_other1");
    struct buf der = expect_issued(&w, &wish);
    struct store_cert c = record_of(&w, &der);
    ck_assert_str_eq(c.policy, "pol_other1");
    ck_assert_uint_eq(c.renews, 0);
    store_cert_clear(&c);
    buf_clear(&der);
    buf_clear(&old);
}
END_TEST

/* ---- requests that wait ---- */

static struct wish poll(void)
{
    return (struct wish){.type = SCEP_CERT_POLL, .signer_key = key};
}

START_TEST(a_waiting_request)
{
    struct wish wish = enrolment(), again = poll();
    struct store_request r = {0};
    char id[32];
    w.policy.manual = true;
    expect_pending(&w, &wish, id);
    must(store_request_get(w.store, id, &r, &err));
    ck_assert_str_eq(r.device, "dev_ipad01");
    ck_assert_str_eq(r.policy, "pol_corp01");
    store_request_clear(&r);
    state(DEVICE_ISOLATED); /* for a while: it waits on */
    expect_pending(&w, &again, NULL);
    state(DEVICE_ACTIVE);
    pause_policy(true);
    expect_pending(&w, &again, NULL);
    pause_policy(false);
    unassign();
    expect_told(&again, REASON_POLICY_UNASSIGNED, NULL);
    assign_again();
    w.now += 100;
    expect_pending(&w, &again, NULL);
    ck_assert_int_eq(seen(), w.now);
    must(enroll_request_decide(w.store, id, true, "anna", NULL, w.now, &r, &err));
    store_request_clear(&r);
    state(DEVICE_RETIRED);
    expect_told(&again, REASON_DEVICE_RETIRED, NULL);
    state(DEVICE_ACTIVE);
    struct buf der = expect_issued(&w, &again);
    expect_owner(&der);
    buf_clear(&der);
}
END_TEST

/* ---- between decision and commit ---- */

START_TEST(taken_away_in_between)
{
    static void (*const changes[])(void) = {unassign, NULL, NULL};
    struct wish wish = enrolment();
    struct scep_message *m = message_new(&w, &wish);
    struct half h = decide_only(&w, m);
    ck_assert_int_eq(h.outcome.verdict, ENROLL_ISSUE);
    if (changes[_i])
        changes[_i]();
    else if (_i == 1)
        state(DEVICE_RETIRED);
    else
        pause_policy(true);
    expect_conflict(&w, &h);
    half_clear(&h);
    struct outcome o = ask_message(&w, m);
    ck_assert_int_eq(o.verdict, ENROLL_REJECT);
    ck_assert_int_eq(o.reason, _i == 0   ? REASON_POLICY_UNASSIGNED
                               : _i == 1 ? REASON_DEVICE_RETIRED
                                         : REASON_POLICY_PAUSED);
    outcome_clear(&o);
    scep_message_free(m);
}
END_TEST

START_TEST(a_renewal_in_between)
{
    struct wish wish = renewal();
    struct scep_message *m = message_new(&w, &wish);
    struct half h = decide_only(&w, m);
    ck_assert_int_eq(h.outcome.verdict, ENROLL_ISSUE);
    unassign();
    expect_conflict(&w, &h);
    half_clear(&h);
    assign_again();
    h = decide_only(&w, m);
    state(DEVICE_ISOLATED); /* is no reason against a renewal */
    struct err result = {0};
    must(enroll_commit(w.store, &h.change, &result, 1, &err));
    ck_assert_int_eq(result.kind, ERR_NONE);
    half_clear(&h);
    scep_message_free(m);
    buf_clear(&old);
}
END_TEST

/* One takes the policy away and gives it back, others enrol: whoever has a certificate had the
 * policy when it was stored. */
#define RACERS 4
#define ROUNDS 12

struct racer {
    pthread_t thread;
    struct wish wish[ROUNDS];
    struct scep_message *message[ROUNDS];
    char subject[ROUNDS][32], transaction[ROUNDS][32], secret[ROUNDS][CHALLENGE_TEXT_MAX];
    unsigned issued, refused;
    bool odd;
};

static void *race(void *arg)
{
    struct racer *r = arg;
    for (int i = 0; i < ROUNDS; i++) {
        struct outcome o = ask_message(&w, r->message[i]);
        r->issued += o.verdict == ENROLL_ISSUE;
        r->refused += o.verdict == ENROLL_REJECT && o.reason == REASON_POLICY_UNASSIGNED;
        outcome_clear(&o);
    }
    r->odd = r->issued + r->refused != ROUNDS;
    return NULL;
}

static void flip(bool assigned)
{
    if (assigned)
        unassign();
    else
        assign_again();
}

START_TEST(races)
{
    static struct racer racers[RACERS];
    EVP_PKEY *keys[RACERS][ROUNDS];
    unsigned issued = 0;
    memset(racers, 0, sizeof racers);
    for (int t = 0; t < RACERS; t++)
        for (int i = 0; i < ROUNDS; i++) {
            struct racer *r = &racers[t];
            keys[t][i] = new_key();
            snprintf(r->subject[i], sizeof r->subject[i], "CN=racer-%d-%d", t, i);
            snprintf(r->transaction[i], sizeof r->transaction[i], "tx-%d-%d", t, i);
            snprintf(r->secret[i], sizeof r->secret[i], "%s",
                     challenge_for("dev_ipad01", "pol_corp01"));
            r->wish[i] = (struct wish){.key = keys[t][i],
                                       .subject = r->subject[i],
                                       .transaction = r->transaction[i],
                                       .challenge = r->secret[i]};
            r->message[i] = message_new(&w, &r->wish[i]);
        }
    for (int t = 0; t < RACERS; t++)
        ck_assert_int_eq(pthread_create(&racers[t].thread, NULL, race, &racers[t]), 0);
    for (int i = 0; i < 40; i++)
        flip(i % 2 == 0);
    for (int t = 0; t < RACERS; t++) {
        pthread_join(racers[t].thread, NULL);
        ck_assert(!racers[t].odd);
        issued += racers[t].issued;
        for (int i = 0; i < ROUNDS; i++) {
            scep_message_free(racers[t].message[i]);
            EVP_PKEY_free(keys[t][i]);
        }
    }
    ck_assert_uint_eq(certificates(&w), issued);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("enroll/assigned");
    TCase *c = tcase_create("assigned");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 120);
    tcase_add_test(c, carried_into_the_certificate);
    tcase_add_test(c, not_while_device_or_policy_say_no);
    tcase_add_test(c, a_policy_that_was_removed);
    tcase_add_test(c, by_a_group_of_its_user);
    tcase_add_test(c, the_key_of_the_policy);
    tcase_add_test(c, the_names_of_the_policy);
    tcase_add_test(c, half_of_it);
    tcase_add_test(c, the_names_of_the_policy);
    tcase_add_test(c, renews_while_assigned);
    tcase_add_test(c, no_renewal_without_policy_or_device);
    tcase_add_test(c, no_way_around);
    tcase_add_test(c, a_waiting_request);
    tcase_add_loop_test(c, taken_away_in_between, 0, 3);
    tcase_add_test(c, a_renewal_in_between);
    tcase_add_test(c, races);
    suite_add_tcase(s, c);
    return check_main(s);
}
