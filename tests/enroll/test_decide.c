/* First enrolments: who may have a certificate, and why not. */
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

START_TEST(one_time_challenge_enrols)
{
    const char *secret = challenge_make(&w, NULL);
    struct wish wish = {.key = key, .challenge = secret, .dns = "ipad-1.example.org"};
    struct buf der = expect_issued(&w, &wish);
    struct store_cert c = record_of(&w, &der);
    struct store_challenge used = challenge_of(&w, secret);
    struct store_tx tx = transaction_of(&w, "tx-1");
    ck_assert_str_eq(c.subject, "CN=ipad-1");
    ck_assert_str_eq(c.san, "DNS:ipad-1.example.org");
    ck_assert_str_eq(c.endpoint, "/scep");
    ck_assert_str_eq(c.template_name, "device");
    ck_assert_str_eq(c.transaction, "tx-1");
    ck_assert_str_eq(c.challenge, used.id);
    ck_assert_uint_eq(c.renews, 0);
    ck_assert_uint_eq(used.used, 1);
    ck_assert_str_eq(used.used_by_transaction, "tx-1");
    ck_assert_str_eq(used.used_by_subject, "CN=ipad-1");
    ck_assert_str_eq(used.used_by_peer, "10.20.4.9");
    ck_assert_mem_eq(used.used_by_key, c.key_hash, STORE_HASH);
    ck_assert_int_eq(tx.state, TX_ISSUED);
    ck_assert_uint_eq(tx.cert_id, c.id);
    ck_assert_uint_eq(audited(&w, "certificate.issued"), 1);
    store_cert_clear(&c);
    buf_clear(&der);
}
END_TEST

START_TEST(challenge_with_several_uses)
{
    struct challenge_wish plan = {.ttl = DAY, .uses = 2, .now = NOW};
    const char *secret = challenge_make(&w, &plan);
    EVP_PKEY *third = new_key();
    struct wish a = {.transaction = "a", .subject = "CN=a", .key = key, .challenge = secret};
    struct wish b = {.transaction = "b", .subject = "CN=b", .key = other, .challenge = secret};
    struct wish c = {.transaction = "c", .subject = "CN=c", .key = third, .challenge = secret};
    struct buf x = expect_issued(&w, &a), y = expect_issued(&w, &b);
    expect_refused(&w, &c, REASON_CHALLENGE_USED, "2 of 2 uses");
    buf_clear(&x);
    buf_clear(&y);
    EVP_PKEY_free(third);
}
END_TEST

START_TEST(typed_in_lower_case_without_dashes)
{
    const char *secret = challenge_make(&w, NULL);
    char typed[CHALLENGE_TEXT_MAX];
    size_t n = 0;
    for (; *secret; secret++)
        if (*secret != '-')
            typed[n++] = (char)(*secret | (*secret >= 'A' ? 0x20 : 0));
    typed[n] = '\0';
    struct wish wish = {.key = key, .challenge = typed};
    struct buf der = expect_issued(&w, &wish);
    buf_clear(&der);
}
END_TEST

/* RFC 8894 section 2.4: a self-signed certificate proves nothing by itself. */
START_TEST(challenge_missing_empty_or_unknown)
{
    struct wish wish = {.key = key};
    expect_refused(&w, &wish, REASON_CHALLENGE_MISSING, "/scep");
    wish.challenge = "";
    expect_refused(&w, &wish, REASON_CHALLENGE_MISSING, NULL);
    wish.challenge = "7QK4-M2XH-9RTD-VN3A";
    expect_refused(&w, &wish, REASON_CHALLENGE_UNKNOWN, NULL);
}
END_TEST

START_TEST(challenge_used_by_another)
{
    const char *secret = challenge_make(&w, NULL);
    struct wish wish = {.key = key, .challenge = secret};
    struct buf der = expect_issued(&w, &wish);
    struct wish thief = {
        .transaction = "tx-2", .subject = "CN=thief", .key = other, .challenge = secret};
    expect_refused(&w, &thief, REASON_CHALLENGE_USED,
                   "by transaction tx-1 from 10.20.4.9 for CN=ipad-1 (another key)");
    expect_refused(&w, &thief, REASON_CHALLENGE_USED, NULL);
    struct store_challenge c = challenge_of(&w, secret);
    ck_assert_uint_eq(c.refused, 2);
    ck_assert_str_eq(c.refused_peer, "10.20.4.9");
    ck_assert_int_eq(c.refused_at, NOW);
    ck_assert_uint_eq(audited(&w, "challenge.refused"), 2);
    buf_clear(&der);
}
END_TEST

START_TEST(challenge_expires_to_the_second)
{
    const char *secret = challenge_make(&w, NULL);
    struct wish wish = {.key = key, .challenge = secret};
    w.now = NOW + DAY;
    expect_refused(&w, &wish, REASON_CHALLENGE_EXPIRED, "expired 2027-01-16T08:00:00Z");
    ck_assert_uint_eq(challenge_of(&w, secret).refused, 1);
    w.now = NOW + DAY - 1;
    struct buf der = expect_issued(&w, &wish);
    buf_clear(&der);
}
END_TEST

START_TEST(challenge_revoked)
{
    const char *secret = challenge_make(&w, NULL);
    struct store_challenge c = challenge_of(&w, secret);
    struct err err = {0};
    ck_assert(enroll_challenge_revoke(w.store, c.id, "anna", NOW, &err));
    struct wish wish = {.key = key, .challenge = secret};
    expect_refused(&w, &wish, REASON_CHALLENGE_REVOKED, c.id);
    ck_assert_uint_eq(challenge_of(&w, secret).refused, 1);
    ck_assert_uint_eq(audited(&w, "challenge.revoked"), 1);
}
END_TEST

static const struct binding {
    const char *endpoint, *template_name, *subject, *san; /* of the challenge */
    const char *asks, *dns;                               /* of the request */
    const char *refused;                                  /* in the detail; NULL: issued */
} bindings[] = {
    {.endpoint = "/scep"},
    {.endpoint = "/other", .refused = "is for endpoint /other, used at /scep"},
    {.template_name = "device"},
    {.template_name = "server", .refused = "is for template server"},
    {.subject = "ipad-1"},
    {.subject = "ipad-*"},
    {.subject = "ipad-2", .refused = "is for subject \"ipad-2\", the request has \"CN=ipad-1\""},
    {.subject = "IPAD-1", .refused = "is for subject"},
    {.subject = "ipad-1", .asks = "CN=ipad-1,O=Example"},
    {.subject = "ipad-1", .asks = "O=ipad-1,CN=ipad-2", .refused = "is for subject"},
    {.subject = "ipad-1", .asks = "CN=ipad-1,CN=ipad-2", .refused = "is for subject"},
    {.subject = "CN=ipad-1"},
    {.subject = "CN=ipad-1", .asks = "O=Example,CN=ipad-1"},
    {.subject = "CN=ipad-*,O=Example", .asks = "CN=ipad-1,O=Example"},
    {.subject = "CN=ipad-*,O=Example", .refused = "is for subject"},
    {.subject = "CN=ipad-*,O=Example", .asks = "CN=ipad-1,O=Other", .refused = "is for subject"},
    {.subject = "CN=ipad-1", .asks = "CN=ipad-1,CN=admin", .refused = "is for subject"},
    /* a wildcard stays inside its value */
    {.subject = "CN=ipad-*,O=Example",
     .asks = "CN=ipad-1\\,O\\=Example",
     .refused = "is for subject"},
    {.san = "DNS:a.example.org", .dns = "a.example.org"},
    {.san = "dns:*.example.org", .dns = "A.Example.Org"},
    {.san = "DNS:a.example.org", .refused = "is for \"DNS:a.example.org\""},
    {.san = "DNS:a.example.org", .dns = "b.example.org", .refused = "is for \"DNS:a.example.org\""},
    {.san = "DNS:a.example.org", .dns = "a.example.org,DNS:b.example.org", .refused = "is for"},
    {.san = "DNS:a.example.org, DNS:b.example.org", .dns = "b.example.org,DNS:a.example.org"},
    {.san = "DNS:a.example.org,DNS:b.example.org", .dns = "a.example.org", .refused = "is for"},
    {.san = "email:a.example.org", .dns = "a.example.org", .refused = "is for"},
};

START_TEST(challenge_bindings)
{
    const struct binding *b = &bindings[_i];
    struct challenge_wish plan = {.ttl = DAY,
                                  .uses = 1,
                                  .endpoint = b->endpoint,
                                  .template_name = b->template_name,
                                  .subject = b->subject,
                                  .san = b->san,
                                  .now = NOW};
    struct wish wish = {
        .key = key, .subject = b->asks, .dns = b->dns, .challenge = challenge_make(&w, &plan)};
    if (b->refused) {
        expect_refused(&w, &wish, REASON_CHALLENGE_BOUND, b->refused);
    } else {
        struct buf der = expect_issued(&w, &wish);
        buf_clear(&der);
    }
}
END_TEST

START_TEST(static_challenge)
{
    w.policy.challenges = CHALLENGE_STATIC;
    challenge_hash(&w.challenge_key, view_str("Swordfish!"), w.policy.static_hash);
    struct wish wish = {.key = key, .challenge = "Swordfish?"};
    expect_refused(&w, &wish, REASON_CHALLENGE_UNKNOWN, NULL);
    wish.challenge = challenge_make(&w, NULL); /* one-time ones are not taken here */
    expect_refused(&w, &wish, REASON_CHALLENGE_UNKNOWN, NULL);
    wish.challenge = "Swordfish!";
    struct buf der = expect_issued(&w, &wish);
    struct store_cert c = record_of(&w, &der);
    ck_assert_str_eq(c.challenge, "static");
    store_cert_clear(&c);
    buf_clear(&der);
    struct wish second = {
        .transaction = "tx-2", .subject = "CN=b", .key = other, .challenge = "Swordfish!"};
    der = expect_issued(&w, &second);
    buf_clear(&der);
}
END_TEST

START_TEST(static_and_one_time_together)
{
    w.policy.challenges = CHALLENGE_STATIC | CHALLENGE_ONE_TIME;
    challenge_hash(&w.challenge_key, view_str("Swordfish!"), w.policy.static_hash);
    struct wish a = {.transaction = "a", .subject = "CN=a", .key = key, .challenge = "Swordfish!"};
    struct wish b = {
        .transaction = "b", .subject = "CN=b", .key = other, .challenge = challenge_make(&w, NULL)};
    struct buf x = expect_issued(&w, &a), y = expect_issued(&w, &b);
    struct wish c = {
        .transaction = "c", .subject = "CN=c", .key = new_key(), .challenge = "neither"};
    expect_refused(&w, &c, REASON_CHALLENGE_UNKNOWN, NULL);
    EVP_PKEY_free(c.key);
    buf_clear(&x);
    buf_clear(&y);
}
END_TEST

START_TEST(anyone_where_the_configuration_says_so)
{
    w.policy.challenges = CHALLENGE_NONE;
    struct wish wish = {.key = key, .challenge = "whatever the client's profile holds"};
    struct buf der = expect_issued(&w, &wish);
    buf_clear(&der);
}
END_TEST

START_TEST(signer_has_the_key_of_the_request)
{
    const char *secret = challenge_make(&w, NULL);
    struct wish wish = {.key = key, .signer_key = other, .challenge = secret};
    expect_refused(&w, &wish, REASON_CSR_SIGNER, NULL);
    w.policy.any_signer_key = true;
    struct buf der = expect_issued(&w, &wish);
    buf_clear(&der);
}
END_TEST

START_TEST(signer_of_another_authority_is_nobody)
{
    /* its issuer has the name of ours: the name proves nothing */
    struct world elsewhere;
    world_open(&elsewhere);
    struct wish wish = {.key = key, .challenge = challenge_make(&elsewhere, NULL)};
    struct buf foreign = expect_issued(&elsewhere, &wish);
    world_close(&elsewhere);
    struct wish here = {.key = key, .signer = &foreign};
    expect_refused(&w, &here, REASON_CHALLENGE_MISSING, NULL);
    here.type = SCEP_RENEWAL_REQ;
    expect_refused(&w, &here, REASON_RENEWAL_SIGNER_UNKNOWN, "from another authority");
    here = (struct wish){.key = key, .signer = &foreign, .challenge = challenge_make(&w, NULL)};
    struct buf der = expect_issued(&w, &here);
    buf_clear(&der);
    buf_clear(&foreign);
}
END_TEST

START_TEST(template_refuses_before_the_challenge_is_looked_at)
{
    const char *secret = challenge_make(&w, NULL);
    struct wish wish = {.key = key, .subject = "CN=ipad-1,L=Bern", .challenge = secret};
    expect_refused(&w, &wish, REASON_SUBJECT_FORBIDDEN, NULL);
    wish.subject = "CN=%ComputerName%";
    expect_refused(&w, &wish, REASON_SUBJECT_PLACEHOLDER, NULL);
    wish.subject = "O=Example";
    expect_refused(&w, &wish, REASON_SUBJECT_MISSING, NULL);
    EVP_PKEY *p384 = EVP_EC_gen("P-384");
    struct wish type = {.key = p384, .challenge = secret};
    expect_refused(&w, &type, REASON_KEY_TYPE, "P-384");
    EVP_PKEY_free(p384);
    ck_assert_uint_eq(challenge_of(&w, secret).used, 0);
}
END_TEST

START_TEST(key_of_another_subject_or_of_the_authority)
{
    struct wish wish = {.key = key, .challenge = challenge_make(&w, NULL)};
    struct buf der = expect_issued(&w, &wish);
    const char *secret = challenge_make(&w, NULL);
    struct wish twin = {
        .transaction = "tx-2", .subject = "CN=ipad-2", .key = key, .challenge = secret};
    expect_refused(&w, &twin, REASON_KEY_REUSED, "CN=ipad-1");
    twin.key = w.ca_key;
    expect_refused(&w, &twin, REASON_KEY_REUSED, "authority demo");
    twin.key = w.ra_key;
    expect_refused(&w, &twin, REASON_KEY_REUSED, "authority demo");
    twin.key = key;
    twin.subject = "CN=ipad-1"; /* the same subject may have its key again */
    struct buf again = expect_issued(&w, &twin);
    buf_clear(&der);
    buf_clear(&again);
}
END_TEST

START_TEST(label_of_the_challenge_names_the_device)
{
    struct challenge_wish plan = {.ttl = DAY, .uses = 1, .label = "asset-0113", .now = NOW};
    w.template.subject_build = strdup("CN=${challenge.label}");
    struct wish wish = {
        .key = key, .subject = "CN=whatever", .challenge = challenge_make(&w, &plan)};
    struct buf der = expect_issued(&w, &wish);
    struct store_cert c = record_of(&w, &der);
    ck_assert_str_eq(c.subject, "CN=asset-0113");
    ck_assert_str_eq(c.challenge_label, "asset-0113");
    store_cert_clear(&c);
    buf_clear(&der);
}
END_TEST

START_TEST(other_messages_are_not_ours_to_decide)
{
    struct wish wish = {.key = key};
    struct scep_message *m = message_new(&w, &wish);
    m->type = SCEP_GET_CERT;
    struct outcome o = ask_message(&w, m);
    ck_assert_int_eq(o.verdict, ENROLL_REJECT);
    ck_assert_int_eq(o.reason, REASON_MESSAGE_UNSUPPORTED);
    outcome_clear(&o);
    scep_message_free(m);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("enroll/decide");
    TCase *c = tcase_create("initial");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, one_time_challenge_enrols);
    tcase_add_test(c, challenge_with_several_uses);
    tcase_add_test(c, typed_in_lower_case_without_dashes);
    tcase_add_test(c, challenge_missing_empty_or_unknown);
    tcase_add_test(c, challenge_used_by_another);
    tcase_add_test(c, challenge_expires_to_the_second);
    tcase_add_test(c, challenge_revoked);
    tcase_add_loop_test(c, challenge_bindings, 0, sizeof bindings / sizeof bindings[0]);
    tcase_add_test(c, static_challenge);
    tcase_add_test(c, static_and_one_time_together);
    tcase_add_test(c, anyone_where_the_configuration_says_so);
    tcase_add_test(c, signer_has_the_key_of_the_request);
    tcase_add_test(c, signer_of_another_authority_is_nobody);
    tcase_add_test(c, template_refuses_before_the_challenge_is_looked_at);
    tcase_add_test(c, key_of_another_subject_or_of_the_authority);
    tcase_add_test(c, label_of_the_challenge_names_the_device);
    tcase_add_test(c, other_messages_are_not_ours_to_decide);
    suite_add_tcase(s, c);
    return check_main(s);
}
