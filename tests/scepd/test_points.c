/* Points of RFC 8894 that are about an endpoint as a whole (docs/scep.md). */
#include <openssl/rsa.h>
#include <stdio.h>
#include <time.h>

#include "ca/crl.h"
#include "ca/family.h"
#include "check_main.h"
#include "service_fixture.h"

static struct service_fixture f;
static int64_t now;
static struct client_identity who;

#define must(call)                             \
    do {                                       \
        struct err err = {0};                  \
        ck_assert_msg((call), "%s", err.text); \
    } while (0)

static void setup(void)
{
    struct name name = {0};
    EVP_PKEY *key = EVP_RSA_gen(2048);
    now = time(NULL);
    must(service_fixture_init(&f, "rsa2048", &err));
    must(name_from_text("CN=device", &name, &err));
    must(client_identity_self_signed(key, &name, now, &who, &err));
    name_clear(&name);
    EVP_PKEY_free(key);
}

static void teardown(void)
{
    client_identity_clear(&who);
    service_fixture_clear(&f);
}

/* The configuration is the fixture's own, and no other thread reads it. */
static struct config_endpoint *settings(const char *path)
{
    return (struct config_endpoint *)(uintptr_t)service_fixture_endpoint(&f, path)->config;
}

/* The endpoint as it would be after a start with its settings. */
static struct scep_endpoint started(const char *path)
{
    struct scep_endpoint e;
    const struct scep_endpoint *old = service_fixture_endpoint(&f, path);
    must(scep_endpoint_init(&e, old->config, old->policy, &err));
    return e;
}

static bool announces(const char *path, const char *word)
{
    struct scep_endpoint e = started(path);
    char line[64];
    snprintf(line, sizeof line, "%s\n", word);
    const char *at = memmem(e.caps.p, e.caps.n, line, strlen(line));
    bool found = at && (at == (char *)e.caps.p || at[-1] == '\n');
    scep_endpoint_clear(&e);
    return found;
}

/* One message of the device; the answer, and what the client reads in it. */
static struct scep_answer ask(const char *path, struct client_message m,
                              struct client_result *result)
{
    const struct scep_endpoint *e = service_fixture_endpoint(&f, path);
    const uint8_t nonce[16] = "sixteen octets!";
    struct client_ca ca = {0};
    struct buf message = {0};
    struct scep_answer a;
    must(service_fixture_ca(&f, e, &ca, &err));
    must(client_message_build(&m, &who, &ca, nonce, &message, &err));
    struct scep_call call = {.endpoint = e,
                             .enroll = &f.enroll,
                             .signer = f.signer,
                             .message = buf_view(&message),
                             .peer = {"192.0.2.7", "test"},
                             .now = now};
    scep_pki_operation(&call, &a);
    ck_assert_msg(!a.fault, "%s", a.detail);
    must(client_reply_open(buf_view(&a.body), &m, &who, &ca, nonce, result, &err));
    buf_clear(&message);
    client_ca_clear(&ca);
    return a;
}

static struct buf request_for(const char *challenge)
{
    struct name name = {0};
    struct buf csr = {0};
    must(name_from_text("CN=device", &name, &err));
    struct client_wish w = {.subject = &name, .challenge = view_str(challenge)};
    must(client_csr_build(who.key, &w, &csr, &err));
    name_clear(&name);
    return csr;
}

/* Is a PKCSReq with these algorithms answered by a certificate?  If not, then by badAlg. */
static bool accepts(const char *path, enum digest digest, enum cipher cipher)
{
    struct buf csr = request_for("");
    struct client_result r = {0};
    char transaction[32];
    snprintf(transaction, sizeof transaction, "%d-%d", (int)digest, (int)cipher);
    struct scep_answer a = ask(path,
                               (struct client_message){.type = SCEP_PKCS_REQ,
                                                       .transaction_id = transaction,
                                                       .content = buf_view(&csr),
                                                       .digest = digest,
                                                       .cipher = cipher},
                               &r);
    bool issued = r.status == SCEP_SUCCESS;
    if (!issued) {
        ck_assert_int_eq(r.status, SCEP_FAILURE);
        ck_assert_int_eq(r.fail_info, FAIL_BAD_ALG);
    }
    client_result_clear(&r);
    scep_answer_clear(&a);
    buf_clear(&csr);
    return issued;
}

/* RFC 8894 section 2.9: Triple DES and SHA-1 are optional, and may be on or off. */
START_TEST(optional_algorithms_can_be_switched_off)
{
    ck_assert(accepts("/open", DIGEST_SHA1, CIPHER_DES3));
    settings("/open")->ciphers &= ~ALG_BIT(CIPHER_DES3);
    ck_assert(!accepts("/open", DIGEST_SHA256, CIPHER_DES3));
    ck_assert(accepts("/open", DIGEST_SHA1, CIPHER_AES128));
    settings("/open")->digests &= ~ALG_BIT(DIGEST_SHA1);
    ck_assert(!accepts("/open", DIGEST_SHA1, CIPHER_AES128));
    ck_assert(accepts("/open", DIGEST_SHA256, CIPHER_AES128));
}
END_TEST

/* RFC 8894 sections 2.5 and 3.5.2 */
START_TEST(capabilities_follow_the_settings)
{
    struct config_endpoint *c = settings("/open");
    ck_assert(announces("/open", "SCEPStandard") && announces("/open", "Renewal"));
    c->renewal = false;
    ck_assert(!announces("/open", "Renewal"));
    c->ciphers = ALG_BIT(CIPHER_AES256) | ALG_BIT(CIPHER_DES3);
    ck_assert(announces("/open", "AES") && !announces("/open", "SCEPStandard"));
    c->ciphers = ALG_BIT(CIPHER_AES128);
    ck_assert(announces("/open", "SCEPStandard") && !announces("/open", "DES3"));
    c->digests = ALG_BIT(DIGEST_SHA512);
    ck_assert(announces("/open", "SHA-512") && !announces("/open", "SHA-256"));
    ck_assert(!announces("/open", "SCEPStandard"));
}
END_TEST

/* RFC 8894 section 4.7: clients that read the word ask again and again. */
START_TEST(next_ca_is_announced_while_there_is_one)
{
    const struct scep_endpoint *now_served = service_fixture_endpoint(&f, "/open");
    struct enroll_policy policy = *now_served->policy;
    struct authority authority = *policy.authority;
    struct family family = {.next = &authority};
    struct scep_endpoint e;
    ck_assert(!announces("/open", "GetNextCACert"));
    ck_assert(buf_append_str(&family.announcement[RA_SINGLE], "the announcement"));
    authority.family = &family;
    policy.authority = &authority;
    must(scep_endpoint_init(&e, now_served->config, &policy, &err));
    ck_assert_ptr_nonnull(memmem(e.caps.p, e.caps.n, "\nGetNextCACert\n", 15));
    ck_assert(view_eq(e.next_ca_cert, view_str("the announcement")));
    scep_endpoint_clear(&e);
    buf_clear(&family.announcement[RA_SINGLE]);
}
END_TEST

/* RFC 8894 section 3.5.2: clients act on what they read there. */
START_TEST(announced_is_accepted_and_the_rest_refused)
{
    static const enum digest digests[] = {DIGEST_SHA1, DIGEST_SHA256, DIGEST_SHA384, DIGEST_SHA512};
    struct config_endpoint *c = settings("/open");
    for (int i = 0; i < 3; i++) {
        c->digests = i == 0 ? c->digests : ALG_BIT(DIGEST_SHA256) | ALG_BIT(digests[i]);
        c->ciphers = i == 1 ? ALG_BIT(CIPHER_AES128) : c->ciphers | ALG_BIT(CIPHER_DES3);
        for (size_t k = 0; k < 4; k++)
            ck_assert_int_eq(accepts("/open", digests[k], CIPHER_AES128),
                             announces("/open", digest_name(digests[k])));
        ck_assert_int_eq(accepts("/open", DIGEST_SHA256, CIPHER_DES3), announces("/open", "DES3"));
        ck_assert_int_eq(accepts("/open", DIGEST_SHA256, CIPHER_AES128), announces("/open", "AES"));
    }
    ck_assert(!announces("/open", "MD5") && !accepts("/open", DIGEST_MD5, CIPHER_AES128));
}
END_TEST

static void publish(void)
{
    must(crl_publish(f.rooms.authority[0], f.signer, f.store, now, NULL, &err));
}

/* RFC 8894 sections 2.7 and 4.6.1: the certificate to be checked is named (sscep names the CA's
 * own), and the CRL comes alone. */
START_TEST(crl_by_any_serial_of_the_issuer)
{
    const struct cert *ca = f.rooms.authority[0]->cert;
    const uint8_t unknown[] = {0x11, 0x22, 0x33};
    publish();
    for (int i = 0; i < 3; i++) {
        struct buf content = {0};
        struct client_result r = {0};
        struct view serial = i == 0 ? ca->serial : view_of(unknown, sizeof unknown);
        struct view issuer = i < 2 ? ca->subject : view_str("\x30\x00");
        if (i == 2)
            issuer.n = 2;
        must(scep_issuer_and_serial_build(issuer, serial, &content, &err));
        struct scep_answer a = ask("/scep",
                                   (struct client_message){.type = SCEP_GET_CRL,
                                                           .transaction_id = "SSCEP transactionId",
                                                           .content = buf_view(&content),
                                                           .digest = DIGEST_SHA256,
                                                           .cipher = CIPHER_AES128},
                                   &r);
        ck_assert_int_eq(r.status, i < 2 ? SCEP_SUCCESS : SCEP_FAILURE);
        ck_assert_uint_eq(r.certs.n, 0);
        ck_assert_int_eq(r.certs.crl.n > 0, i < 2);
        if (i == 2)
            ck_assert_int_eq(r.fail_info, FAIL_BAD_CERT_ID);
        client_result_clear(&r);
        scep_answer_clear(&a);
        buf_clear(&content);
    }
}
END_TEST

static char told[8192];

static void keep(void *ctx, enum log_level level, const char *line, size_t n)
{
    size_t at = strlen(told);
    ck_assert_uint_lt(at + n + 2, sizeof told);
    memcpy(told + at, line, n);
    memcpy(told + at + n, "\n", 2);
}

static bool found_secret(void *ctx, const struct store_audit *a)
{
    ck_assert_ptr_null(strstr(a->text, ctx));
    return true;
}

/* RFC 8894 section 7.7: who reads a log, or the store, must not learn how to enrol. */
START_TEST(no_challenge_in_the_log)
{
    static char wrong[] = "wrong-SESAME";
    const struct log log = {LOG_LEVEL_DEBUG, keep, NULL};
    char secret[CHALLENGE_TEXT_MAX];
    struct store_challenge stored;
    struct challenge_wish wish = {.ttl = 3600, .uses = 1, .now = now};
    must(challenge_new(f.store, &f.rooms.challenge_key, &wish, secret, &stored, &err));
    const char *const tried[] = {wrong, secret, "static-secret"};
    for (size_t i = 0; i < 3; i++) {
        const char *path = i == 2 ? "/static" : "/scep";
        struct buf csr = request_for(tried[i]);
        struct client_result r = {0};
        struct scep_answer a = ask(path,
                                   (struct client_message){.type = SCEP_PKCS_REQ,
                                                           .transaction_id = "log",
                                                           .content = buf_view(&csr),
                                                           .digest = DIGEST_SHA256,
                                                           .cipher = CIPHER_AES128},
                                   &r);
        struct scep_call call = {.endpoint = service_fixture_endpoint(&f, path),
                                 .peer = {"192.0.2.7", "test"}};
        scep_answer_log(&a, &call, &log, 1.0);
        ck_assert_int_eq(r.status, i == 0 ? SCEP_FAILURE : SCEP_SUCCESS);
        ck_assert_ptr_nonnull(strstr(told, "event=scep.request"));
        ck_assert_ptr_null(strstr(told, tried[i]));
        ck_assert_ptr_null(strstr(r.fail_text, tried[i]));
        must(store_audit_list(f.store, 0, found_secret, (void *)(uintptr_t)tried[i], &err));
        client_result_clear(&r);
        scep_answer_clear(&a);
        buf_wipe(&csr);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("scepd/points");
    TCase *c = tcase_create("points");
    tcase_set_timeout(c, 120);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, optional_algorithms_can_be_switched_off);
    tcase_add_test(c, capabilities_follow_the_settings);
    tcase_add_test(c, next_ca_is_announced_while_there_is_one);
    tcase_add_test(c, announced_is_accepted_and_the_rest_refused);
    tcase_add_test(c, crl_by_any_serial_of_the_issuer);
    tcase_add_test(c, no_challenge_in_the_log);
    suite_add_tcase(s, c);
    return check_main(s);
}
