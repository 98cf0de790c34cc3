/* The request path from bytes to bytes, on a whole authority with store and signer in this process.
 */
#include <openssl/cms.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <time.h>

#include "check_main.h"
#include "forge.h"
#include "service_fixture.h"

static struct service_fixture f;
static int64_t now;

#define must(call)                             \
    do {                                       \
        struct err err = {0};                  \
        ck_assert_msg((call), "%s", err.text); \
    } while (0)

/* One device with its key, talking to one endpoint. */
struct device {
    const struct scep_endpoint *endpoint;
    struct client_ca ca;
    struct client_identity identity;
    char transaction[64];
    enum scep_type type;
    enum digest digest;
    enum cipher cipher;
    enum key_padding padding;
    struct buf content; /* PKCS#10, or what a poll says */
    struct buf message; /* the last one sent */
    uint8_t nonce[16];
};

static void device_request(struct device *d, const char *subject, const char *challenge)
{
    struct name name = {0};
    must(name_from_text(subject, &name, &err));
    struct client_wish w = {.subject = &name, .challenge = view_str(challenge)};
    buf_reset(&d->content);
    must(client_csr_build(d->identity.key, &w, &d->content, &err));
    name_clear(&name);
}

/* Takes the key. */
static struct device device_new_with_key(const char *path, const char *subject,
                                         const char *challenge, EVP_PKEY *key)
{
    struct device d = {.endpoint = service_fixture_endpoint(&f, path),
                       .type = SCEP_PKCS_REQ,
                       .digest = DIGEST_SHA256,
                       .cipher = CIPHER_AES128,
                       .nonce = {7, 7}};
    struct name name = {0};
    must(service_fixture_ca(&f, d.endpoint, &d.ca, &err));
    must(name_from_text(subject, &name, &err));
    must(client_identity_self_signed(key, &name, now, &d.identity, &err));
    must(client_transaction_id(key, d.transaction, &err));
    name_clear(&name);
    EVP_PKEY_free(key);
    device_request(&d, subject, challenge);
    return d;
}

static struct device device_new(const char *path, const char *subject, const char *challenge)
{
    return device_new_with_key(path, subject, challenge, EVP_RSA_gen(2048));
}

static void device_free(struct device *d)
{
    client_ca_clear(&d->ca);
    client_identity_clear(&d->identity);
    buf_wipe(&d->content);
    buf_clear(&d->message);
}

/* Sends what the device wants; the reply opened as the client would. */
static struct scep_answer ask(struct device *d, struct client_result *result)
{
    struct client_message m = {d->type,   d->transaction, buf_view(&d->content),
                               d->digest, d->cipher,      d->padding};
    buf_clear(&d->message);
    must(client_message_build(&m, &d->identity, &d->ca, d->nonce, &d->message, &err));
    struct scep_call call = {.endpoint = d->endpoint,
                             .enroll = &f.enroll,
                             .signer = f.signer,
                             .message = buf_view(&d->message),
                             .peer = {"192.0.2.7", "test"},
                             .now = now};
    struct scep_answer a;
    scep_pki_operation(&call, &a);
    ck_assert_msg(!a.fault, "%s", a.detail);
    ck_assert_int_eq(a.status, 200);
    ck_assert_str_eq(a.content_type, "application/x-pki-message");
    must(client_reply_open(buf_view(&a.body), &m, &d->identity, &d->ca, d->nonce, result, &err));
    return a;
}

/* The issued certificate's serial as hex; fails the test when there is none. */
static char *expect_issued(struct device *d, enum enroll_verdict verdict)
{
    struct client_result r = {0};
    struct scep_answer a = ask(d, &r);
    ck_assert_msg(r.status == SCEP_SUCCESS, "%s", r.fail_text);
    ck_assert_int_eq(a.verdict, verdict);
    ck_assert_uint_eq(r.certs.n, 1);
    struct cert *c = NULL;
    must(cert_parse(buf_view(&r.certs.der[0]), &c, &err));
    must(cert_signature_verify(c, f.rooms.authority[0]->public_key, &err));
    char *serial = strdup(a.serial);
    ck_assert_uint_eq(strlen(serial), 32);
    cert_free(c);
    client_result_clear(&r);
    scep_answer_clear(&a);
    return serial;
}

static void expect_refused(struct device *d, enum reason reason)
{
    struct client_result r = {0};
    struct scep_answer a = ask(d, &r);
    ck_assert_int_eq(r.status, SCEP_FAILURE);
    ck_assert_msg(a.reason == reason, "%s instead of %s: %s", reason_info(a.reason)->code,
                  reason_info(reason)->code, a.detail);
    ck_assert_int_eq(r.fail_info, reason_info(reason)->fail_info);
    ck_assert_int_eq((uint32_t)r.hresult, reason_info(reason)->hresult);
    ck_assert_ptr_nonnull(strstr(r.fail_text, reason_info(reason)->code));
    client_result_clear(&r);
    scep_answer_clear(&a);
}

static void expect_pending(struct device *d)
{
    struct client_result r = {0};
    struct scep_answer a = ask(d, &r);
    ck_assert_int_eq(r.status, SCEP_PENDING);
    ck_assert_int_eq(a.verdict, ENROLL_PEND);
    client_result_clear(&r);
    scep_answer_clear(&a);
}

static void one_time(char secret[CHALLENGE_TEXT_MAX])
{
    struct challenge_wish w = {.ttl = 3600, .uses = 1, .now = now};
    struct store_challenge stored;
    must(challenge_new(f.store, &f.rooms.challenge_key, &w, secret, &stored, &err));
}

static void setup(void)
{
    now = time(NULL);
    must(service_fixture_init(&f, "rsa2048", &err));
}

static void teardown(void)
{
    service_fixture_clear(&f);
}

/* RFC 8894 section 4.3.1 */
START_TEST(one_time_challenge_issues_once)
{
    char secret[CHALLENGE_TEXT_MAX];
    one_time(secret);
    struct device d = device_new("/scep", "CN=one", secret),
                  other = device_new("/scep", "CN=two", secret);
    char *first = expect_issued(&d, ENROLL_ISSUE);
    /* RFC 8894 section 5.2: a lost reply costs nothing, not even over a restart. */
    char *again = expect_issued(&d, ENROLL_REPEAT);
    ck_assert_str_eq(first, again);
    must(service_fixture_restart(&f, &err));
    char *later = expect_issued(&d, ENROLL_REPEAT);
    ck_assert_str_eq(first, later);
    expect_refused(&other, REASON_CHALLENGE_USED);
    free(first);
    free(again);
    free(later);
    device_free(&d);
    device_free(&other);
}
END_TEST

START_TEST(every_shape_of_authority_answers)
{
    static const char *const paths[] = {"/scep", "/ca", "/pair", "/legacy"};
    for (size_t i = 0; i < 4; i++) {
        char secret[CHALLENGE_TEXT_MAX];
        one_time(secret);
        struct device d = device_new(paths[i], "CN=shape", secret);
        free(expect_issued(&d, ENROLL_ISSUE));
        device_free(&d);
    }
    struct device s = device_new("/static", "CN=static", "static-secret");
    free(expect_issued(&s, ENROLL_ISSUE));
    device_free(&s);
}
END_TEST

START_TEST(message_to_the_ca_certificate_is_opened_too)
{
    char secret[CHALLENGE_TEXT_MAX];
    one_time(secret);
    struct device d = device_new("/scep", "CN=pyscep", secret);
    cert_free(d.ca.recipient);
    must(cert_parse(buf_view(&d.ca.issuer->der), &d.ca.recipient, &err));
    free(expect_issued(&d, ENROLL_ISSUE));
    device_free(&d);
}
END_TEST

START_TEST(algorithms_follow_the_request_within_policy)
{
    static const enum digest digests[] = {DIGEST_SHA1, DIGEST_SHA256, DIGEST_SHA384, DIGEST_SHA512};
    static const enum cipher ciphers[] = {CIPHER_DES3, CIPHER_AES128, CIPHER_AES192, CIPHER_AES256};
    for (size_t i = 0; i < 4; i++) {
        struct device d = device_new("/open", "CN=alg", "");
        d.digest = digests[i];
        d.cipher = ciphers[i];
        d.padding = i % 2 ? PADDING_OAEP : PADDING_PKCS1;
        struct client_result r = {0};
        struct scep_answer a = ask(&d, &r);
        ck_assert_int_eq(r.status, SCEP_SUCCESS);
        struct scep_message *m = NULL;
        must(scep_parse(buf_view(&a.body), ~0u, &m, &err));
        ck_assert_int_eq(m->digest, d.digest);
        scep_message_free(m);
        client_result_clear(&r);
        scep_answer_clear(&a);
        device_free(&d);
    }
    struct device md5 = device_new("/open", "CN=md5", "");
    md5.digest = DIGEST_MD5;
    expect_refused(&md5, REASON_ALGORITHM_REFUSED);
    device_free(&md5);
}
END_TEST

START_TEST(refusals_burn_nothing)
{
    char secret[CHALLENGE_TEXT_MAX];
    one_time(secret);
    struct device d = device_new("/scep", "CN=%ComputerName%", secret);
    expect_refused(&d, REASON_SUBJECT_PLACEHOLDER);
    device_request(&d, "O=no common name", secret);
    expect_refused(&d, REASON_SUBJECT_MISSING);
    device_request(&d, "CN=x,title=boss", secret);
    expect_refused(&d, REASON_SUBJECT_FORBIDDEN);
    device_request(&d, "CN=x", "wrong");
    expect_refused(&d, REASON_CHALLENGE_UNKNOWN);
    device_request(&d, "CN=x", "");
    expect_refused(&d, REASON_CHALLENGE_MISSING);
    device_request(&d, "CN=x", secret);
    free(expect_issued(&d, ENROLL_ISSUE));
    device_free(&d);
}
END_TEST

START_TEST(transaction_id_with_another_key_is_refused)
{
    char one[CHALLENGE_TEXT_MAX], two[CHALLENGE_TEXT_MAX];
    one_time(one);
    one_time(two);
    struct device d = device_new("/scep", "CN=first", one),
                  thief = device_new("/scep", "CN=first", two);
    snprintf(d.transaction, sizeof d.transaction, "same transaction +/=");
    snprintf(thief.transaction, sizeof thief.transaction, "same transaction +/=");
    free(expect_issued(&d, ENROLL_ISSUE));
    expect_refused(&thief, REASON_TRANSACTION_REUSED);
    snprintf(thief.transaction, sizeof thief.transaction, "its own");
    free(expect_issued(&thief, ENROLL_ISSUE));
    device_free(&d);
    device_free(&thief);
}
END_TEST

START_TEST(renewal_is_decided_by_who_signed)
{
    static const enum scep_type types[] = {SCEP_RENEWAL_REQ, SCEP_PKCS_REQ};
    for (size_t i = 0; i < 2; i++) {
        struct device d = device_new("/open", "CN=renewer,O=Example", "");
        struct client_result r = {0};
        struct scep_answer a = ask(&d, &r);
        ck_assert_int_eq(r.status, SCEP_SUCCESS);
        struct device n = device_new("/scep", "CN=renewer,O=Example", "");
        n.type = types[i];
        /* the new key's request, signed by the old certificate */
        EVP_PKEY_free(n.identity.key);
        n.identity.key = d.identity.key;
        d.identity.key = NULL;
        buf_reset(&n.identity.cert);
        buf_append(&n.identity.cert, r.certs.der[0].p, r.certs.der[0].n);
        char *first = expect_issued(&n, ENROLL_ISSUE), *again = expect_issued(&n, ENROLL_REPEAT);
        ck_assert_str_eq(first, again);
        ck_assert_str_ne(first, a.serial);
        free(first);
        free(again);
        client_result_clear(&r);
        scep_answer_clear(&a);
        device_free(&d);
        device_free(&n);
    }
}
END_TEST

START_TEST(renewal_by_a_stranger_is_refused)
{
    struct device d = device_new("/scep", "CN=stranger", "");
    d.type = SCEP_RENEWAL_REQ;
    expect_refused(&d, REASON_RENEWAL_SIGNER_UNKNOWN);
    device_free(&d);
}
END_TEST

static bool first_request(void *ctx, const struct store_request *r)
{
    snprintf(ctx, 32, "%s", r->id);
    return false;
}

/* RFC 8894 sections 3.3.2 and 4.4.1: a poll has nonces of its own, and SUCCESS comes again. */
START_TEST(manual_approval)
{
    struct device d = device_new("/manual", "CN=patient", "");
    expect_pending(&d);
    expect_pending(&d); /* the same PKCSReq is a poll */
    struct buf csr = d.content;
    d.content = (struct buf){0};
    struct cert *own = NULL;
    must(cert_parse(buf_view(&d.identity.cert), &own, &err));
    must(scep_issuer_and_subject_build(d.ca.issuer->subject, own->subject, &d.content, &err));
    d.type = SCEP_CERT_POLL;
    expect_pending(&d);
    char id[32];
    struct store_request request = {0};
    must(store_request_list(f.store, REQUEST_PENDING, first_request, id, &err));
    must(enroll_request_decide(f.store, id, true, "test", "", now, &request, &err));
    char *one = expect_issued(&d, ENROLL_ISSUE), *two = expect_issued(&d, ENROLL_REPEAT);
    ck_assert_str_eq(one, two);
    d.type = SCEP_PKCS_REQ;
    buf_clear(&d.content);
    d.content = csr;
    char *three = expect_issued(&d, ENROLL_REPEAT);
    ck_assert_str_eq(one, three);
    free(one);
    free(two);
    free(three);
    store_request_clear(&request);
    cert_free(own);
    device_free(&d);
}
END_TEST

START_TEST(poll_without_request)
{
    struct device d = device_new("/manual", "CN=nobody", "");
    d.type = SCEP_CERT_POLL;
    expect_refused(&d, REASON_REQUEST_UNKNOWN);
    device_free(&d);
}
END_TEST

/* RFC 8894 section 4.5.1 */
START_TEST(get_cert_and_unknown_serial)
{
    struct device d = device_new("/open", "CN=getcert", "");
    char *serial = expect_issued(&d, ENROLL_ISSUE);
    uint8_t octets[20];
    long n = 0;
    for (; serial[2 * n]; n++)
        sscanf(serial + 2 * n, "%2hhx", &octets[n]);
    d.type = SCEP_GET_CERT;
    buf_clear(&d.content);
    must(scep_issuer_and_serial_build(d.ca.issuer->subject, view_of(octets, (size_t)n), &d.content,
                                      &err));
    char *same = expect_issued(&d, ENROLL_REPEAT);
    ck_assert_str_eq(same, serial);
    octets[5] ^= 1;
    buf_clear(&d.content);
    must(scep_issuer_and_serial_build(d.ca.issuer->subject, view_of(octets, (size_t)n), &d.content,
                                      &err));
    expect_refused(&d, REASON_CERTIFICATE_UNKNOWN);
    free(serial);
    free(same);
    device_free(&d);
}
END_TEST

/* ---- switches of an endpoint: the same message with the switch off and on ---- */

/* The configuration is the fixture's own, and no other thread reads it. */
static struct config_endpoint *settings(const struct device *d)
{
    return (struct config_endpoint *)(uintptr_t)d->endpoint->config;
}

static struct template *template_of(const struct device *d)
{
    return (struct template *)(uintptr_t)d->endpoint->policy->template;
}

/* The same device's message, with other attributes than our client sends. */
struct odd {
    struct view nonce;
    const char *signing_time; /* GeneralizedTime; NULL: none */
    unsigned others;          /* recipients besides the right one */
};

static struct scep_answer ask_oddly(struct device *d, const struct odd *odd)
{
    const uint8_t *p = d->ca.recipient->der.p, *q = d->identity.cert.p;
    X509 *recipient = d2i_X509(NULL, &p, (long)d->ca.recipient->der.n);
    X509 *signer = d2i_X509(NULL, &q, (long)d->identity.cert.n);
    struct forge_envelope e;
    struct forge m;
    forge_envelope_init(&e, recipient, buf_view(&d->content));
    e.others = odd->others;
    struct buf envelope = forge_envelope_build(&e);
    forge_init(&m, d->identity.key, signer, buf_view(&envelope));
    forge_attr_find(&m, OID_TRANSACTION_ID)->value = view_str(d->transaction);
    forge_attr_find(&m, OID_SENDER_NONCE)->value = odd->nonce;
    if (!odd->nonce.n)
        forge_attr_drop(&m, OID_SENDER_NONCE);
    if (odd->signing_time)
        forge_attr_add(&m, OID_SIGNING_TIME, DER_GENERALIZED_TIME, view_str(odd->signing_time));
    buf_clear(&d->message);
    d->message = forge_build(&m);
    buf_clear(&envelope);
    X509_free(recipient);
    X509_free(signer);
    struct scep_call call = {.endpoint = d->endpoint,
                             .enroll = &f.enroll,
                             .signer = f.signer,
                             .message = buf_view(&d->message),
                             .peer = {"192.0.2.7", "test"},
                             .now = now};
    struct scep_answer a;
    scep_pki_operation(&call, &a);
    ck_assert_msg(!a.fault, "%s", a.detail);
    ck_assert_int_eq(a.status, 200);
    return a;
}

static void expect_oddly(struct device *d, const struct odd *odd, enum reason reason)
{
    struct scep_answer a = ask_oddly(d, odd);
    ck_assert_msg(a.reason == reason, "%s: %s", reason_info(a.reason)->code, a.detail);
    ck_assert_int_eq(a.verdict == ENROLL_REJECT, reason != REASON_NONE);
    scep_answer_clear(&a);
}

static const struct view sixteen = {(const uint8_t *)"0123456789abcdef", 16};

START_TEST(switch_strict_nonces)
{
    const struct odd good = {sixteen, NULL, 0}, none = {{0}, NULL, 0},
                     apple = {view_of(sixteen.p, 8), NULL, 0};
    struct device d = device_new("/open", "CN=nonce", "");
    expect_oddly(&d, &none, REASON_NONE);
    expect_oddly(&d, &apple, REASON_NONE);
    settings(&d)->strict_nonces = true;
    expect_oddly(&d, &none, REASON_MESSAGE_NONCE);
    expect_oddly(&d, &apple, REASON_MESSAGE_NONCE);
    expect_oddly(&d, &good, REASON_NONE);
    device_free(&d);
}
END_TEST

/* RFC 8894 section 3.2.1.4: badTime, where the check is on. */
START_TEST(switch_max_clock_difference)
{
    char at[20], late[20];
    time_t t = (time_t)now - 120, u = (time_t)now - 7200;
    struct tm tm;
    strftime(at, sizeof at, "%Y%m%d%H%M%SZ", gmtime_r(&t, &tm));
    strftime(late, sizeof late, "%Y%m%d%H%M%SZ", gmtime_r(&u, &tm));
    const struct odd good = {sixteen, at, 0}, old = {sixteen, late, 0}, none = {sixteen, NULL, 0};
    struct device d = device_new("/open", "CN=time", "");
    expect_oddly(&d, &old, REASON_NONE);
    settings(&d)->max_clock_difference = 3600;
    expect_oddly(&d, &old, REASON_MESSAGE_TIME);
    ck_assert_int_eq(reason_info(REASON_MESSAGE_TIME)->fail_info, FAIL_BAD_TIME);
    expect_oddly(&d, &good, REASON_NONE);
    expect_oddly(&d, &none, REASON_NONE);
    now -= 7200 + 3601; /* and ahead of it */
    expect_oddly(&d, &old, REASON_MESSAGE_TIME);
    device_free(&d);
}
END_TEST

START_TEST(switch_one_recipient)
{
    const struct odd several = {sixteen, NULL, 2}, one = {sixteen, NULL, 0};
    struct device d = device_new("/open", "CN=recipients", "");
    expect_oddly(&d, &several, REASON_NONE);
    settings(&d)->one_recipient = true;
    expect_oddly(&d, &several, REASON_MESSAGE_MALFORMED);
    expect_oddly(&d, &one, REASON_NONE);
    device_free(&d);
}
END_TEST

/* RFC 8894 section 2.3: SHOULD, and Apple's, micromdm's and Cisco's differ. */
START_TEST(switch_same_signer_subject)
{
    struct device d = device_new("/open", "CN=MDM SCEP SIGNER", "");
    device_request(&d, "CN=the device", "");
    free(expect_issued(&d, ENROLL_ISSUE));
    settings(&d)->same_signer_subject = true;
    expect_refused(&d, REASON_CSR_SIGNER_SUBJECT);
    struct device same = device_new("/open", "CN=the same", "");
    free(expect_issued(&same, ENROLL_ISSUE));
    device_free(&d);
    device_free(&same);
}
END_TEST

START_TEST(switch_microsoft_error)
{
    struct device d = device_new("/scep", "CN=windows", "wrong");
    expect_refused(&d, REASON_CHALLENGE_UNKNOWN); /* with the number */
    settings(&d)->microsoft_error = false;
    struct client_result r = {0};
    struct scep_answer a = ask(&d, &r);
    ck_assert_int_eq(r.status, SCEP_FAILURE);
    ck_assert_int_eq(r.hresult, 0);
    client_result_clear(&r);
    scep_answer_clear(&a);
    device_free(&d);
}
END_TEST

/* The chain behind the issued certificate, for Cisco's VPN client; not for Juniper. */
START_TEST(switch_include_chain)
{
    struct device d = device_new("/open", "CN=chain", "");
    free(expect_issued(&d, ENROLL_ISSUE));
    settings(&d)->include_chain = true;
    struct client_result r = {0};
    struct scep_answer a = ask(&d, &r);
    ck_assert_uint_eq(r.certs.n, 2);
    ck_assert(view_eq(buf_view(&r.certs.der[1]), buf_view(&f.rooms.authority[0]->cert->der)));
    client_result_clear(&r);
    scep_answer_clear(&a);
    device_free(&d);
}
END_TEST

START_TEST(switch_absent_content)
{
    for (int absent = 0; absent < 2; absent++) {
        struct device d = device_new("/manual", "CN=content", "");
        settings(&d)->absent_content = absent;
        struct client_result r = {0};
        struct scep_answer a = ask(&d, &r);
        ck_assert_int_eq(r.status, SCEP_PENDING);
        const uint8_t *p = a.body.p;
        CMS_ContentInfo *cms = d2i_CMS_ContentInfo(NULL, &p, (long)a.body.n);
        ASN1_OCTET_STRING **content = CMS_get0_content(cms);
        ck_assert_int_eq(content && *content, !absent);
        CMS_ContentInfo_free(cms);
        client_result_clear(&r);
        scep_answer_clear(&a);
        device_free(&d);
    }
}
END_TEST

START_TEST(switch_odd_message_digest)
{
    for (int on = 0; on < 2; on++) {
        struct device d = device_new("/open", "CN=chromeos", "");
        settings(&d)->odd_message_digest = on;
        const uint8_t *p = d.ca.recipient->der.p, *q = d.identity.cert.p;
        X509 *recipient = d2i_X509(NULL, &p, (long)d.ca.recipient->der.n);
        X509 *signer = d2i_X509(NULL, &q, (long)d.identity.cert.n);
        struct forge_envelope e;
        struct forge m;
        struct der w;
        struct buf tlv = {0};
        uint8_t digest[64];
        forge_envelope_init(&e, recipient, buf_view(&d.content));
        struct buf envelope = forge_envelope_build(&e);
        forge_init(&m, d.identity.key, signer, buf_view(&envelope));
        der_init(&w, 8192);
        der_tlv(&w, DER_OCTET_STRING, buf_view(&envelope));
        must(der_take(&w, &tlv, &err));
        must(digest_compute(DIGEST_SHA256, buf_view(&tlv), digest, &err));
        m.no_message_digest = true;
        forge_attr_add(&m, OID_MESSAGE_DIGEST, DER_OCTET_STRING, view_of(digest, 32));
        d.message = forge_build(&m);
        struct scep_call call = {.endpoint = d.endpoint,
                                 .enroll = &f.enroll,
                                 .signer = f.signer,
                                 .message = buf_view(&d.message),
                                 .peer = {"192.0.2.7", "test"},
                                 .now = now};
        struct scep_answer a;
        scep_pki_operation(&call, &a);
        ck_assert_int_eq(a.reason, on ? REASON_NONE : REASON_SIGNATURE_BAD);
        ck_assert_int_eq(a.odd_message_digest, on); /* the log tells */
        scep_answer_clear(&a);
        buf_clear(&tlv);
        buf_clear(&envelope);
        X509_free(recipient);
        X509_free(signer);
        device_free(&d);
    }
}
END_TEST

/* A request of version 1, signed anew. */
static void make_version_1(struct device *d)
{
    const uint8_t *p = d->content.p;
    uint8_t *der = NULL;
    X509_REQ *q = d2i_X509_REQ(NULL, &p, (long)d->content.n);
    ck_assert(q && X509_REQ_set_version(q, 1) && X509_REQ_sign(q, d->identity.key, EVP_sha256()));
    int n = i2d_X509_REQ(q, &der);
    buf_reset(&d->content);
    ck_assert(n > 0 && buf_append(&d->content, der, (size_t)n));
    OPENSSL_free(der);
    X509_REQ_free(q);
}

START_TEST(switch_any_csr_version)
{
    struct device d = device_new("/open", "CN=version", "");
    make_version_1(&d);
    expect_refused(&d, REASON_CSR_MALFORMED);
    settings(&d)->any_csr_version = true;
    free(expect_issued(&d, ENROLL_ISSUE));
    device_free(&d);
}
END_TEST

/* C56: a request signed with SHA-1, as old Apple and Cisco devices have it, by template. */
START_TEST(switch_csr_digests)
{
    struct device d = device_new("/open", "CN=sha1", "");
    const uint8_t *p = d.content.p;
    uint8_t *der = NULL;
    X509_REQ *q = d2i_X509_REQ(NULL, &p, (long)d.content.n);
    ck_assert(q && X509_REQ_sign(q, d.identity.key, EVP_sha1()));
    int n = i2d_X509_REQ(q, &der);
    buf_reset(&d.content);
    ck_assert(n > 0 && buf_append(&d.content, der, (size_t)n));
    OPENSSL_free(der);
    X509_REQ_free(q);
    template_of(&d)->csr_digests = ALG_BIT(DIGEST_SHA256);
    expect_refused(&d, REASON_ALGORITHM_REFUSED);
    template_of(&d)->csr_digests |= ALG_BIT(DIGEST_SHA1);
    free(expect_issued(&d, ENROLL_ISSUE));
    settings(&d)->digests = ALG_BIT(DIGEST_SHA256); /* the endpoint's have the last word */
    expect_refused(&d, REASON_ALGORITHM_REFUSED);
    device_free(&d);
}
END_TEST

/* RFC 8894 section 3.1: what nothing can be encrypted to gets its answer under the challenge. */
START_TEST(switch_password_recipient)
{
    struct device d = device_new_with_key("/static", "CN=ec", "static-secret",
                                          EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256"));
    d.identity.password = view_str("static-secret");
    expect_refused(&d, REASON_ALGORITHM_REFUSED);
    settings(&d)->password_recipient = true;
    char *first = expect_issued(&d, ENROLL_ISSUE), *again = expect_issued(&d, ENROLL_REPEAT);
    ck_assert_str_eq(first, again);
    device_request(&d, "CN=ec", "");
    snprintf(d.transaction, sizeof d.transaction, "without");
    expect_refused(&d, REASON_CHALLENGE_MISSING);
    d.type = SCEP_RENEWAL_REQ; /* nothing to encrypt it under either */
    expect_refused(&d, REASON_CHALLENGE_MISSING);
    d.type = SCEP_GET_CRL;
    buf_clear(&d.content);
    must(scep_issuer_and_serial_build(d.ca.issuer->subject, d.ca.issuer->serial, &d.content, &err));
    expect_refused(&d, REASON_CHALLENGE_MISSING);
    free(first);
    free(again);
    device_free(&d);
}
END_TEST

/* A poll has no challenge: PENDING and FAILURE still reach it, the certificate by the PKCSReq. */
START_TEST(ec_key_waits_for_approval)
{
    struct device d = device_new_with_key("/manual", "CN=ec", "any secret of its own",
                                          EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256"));
    settings(&d)->password_recipient = true;
    d.identity.password = view_str("any secret of its own");
    expect_pending(&d);
    struct buf csr = d.content;
    d.content = (struct buf){0};
    must(scep_issuer_and_subject_build(d.ca.issuer->subject, d.ca.issuer->subject, &d.content,
                                       &err));
    d.type = SCEP_CERT_POLL;
    expect_pending(&d);
    char id[32];
    struct store_request request = {0};
    must(store_request_list(f.store, REQUEST_PENDING, first_request, id, &err));
    must(enroll_request_decide(f.store, id, true, "test", "", now, &request, &err));
    expect_refused(&d, REASON_CHALLENGE_MISSING);
    d.type = SCEP_PKCS_REQ;
    buf_clear(&d.content);
    d.content = csr;
    free(expect_issued(&d, ENROLL_ISSUE));
    store_request_clear(&request);
    device_free(&d);
}
END_TEST

START_TEST(what_is_no_message_is_http_400)
{
    static const char *const garbage[] = {"", "hello", "\x30\x80", "0", "\x30\x03\x02\x01\x05"};
    struct scep_call call = {.endpoint = &f.endpoint[0],
                             .enroll = &f.enroll,
                             .signer = f.signer,
                             .peer = {"192.0.2.7", "test"},
                             .now = now};
    for (size_t i = 0; i < sizeof garbage / sizeof *garbage; i++) {
        struct scep_answer a;
        call.message = view_str(garbage[i]);
        scep_pki_operation(&call, &a);
        ck_assert_int_eq(a.status, 400);
        ck_assert_str_eq(a.content_type, "text/plain");
        ck_assert(a.body.n > 0 && a.body.p[a.body.n - 1] == '\n');
        ck_assert_int_ne(a.reason, REASON_NONE);
        scep_answer_clear(&a);
    }
}
END_TEST

START_TEST(damaged_message_gets_a_signed_failure)
{
    struct device d = device_new("/open", "CN=damaged", "");
    struct client_result r = {0};
    struct scep_answer a = ask(&d, &r);
    scep_answer_clear(&a);
    client_result_clear(&r);
    d.message.p[d.message.n - 1] ^= 1; /* inside the signature */
    struct scep_call call = {.endpoint = d.endpoint,
                             .enroll = &f.enroll,
                             .signer = f.signer,
                             .message = buf_view(&d.message),
                             .peer = {"192.0.2.7", "test"},
                             .now = now};
    scep_pki_operation(&call, &a);
    ck_assert_int_eq(a.status, 200);
    ck_assert_int_eq(a.reason, REASON_SIGNATURE_BAD);
    scep_answer_clear(&a);
    device_free(&d);
}
END_TEST

/* ---- attempts ---- */

static bool take_newest(void *ctx, const struct store_attempt *a)
{
    *(struct store_attempt *)ctx = *a;
    return false;
}

static const struct trail_step *step_of(const struct store_attempt *a, enum check check)
{
    const struct trail_step *found = NULL;
    for (size_t i = 0; i < a->trail.n; i++)
        if (a->trail.step[i].check == check)
            found = &a->trail.step[i];
    ck_assert_msg(found != NULL, "no step of %s", check_text(check));
    return found;
}

static uint64_t attempts_n(void)
{
    struct store_stats stats;
    must(store_stats(f.store, &stats, &err));
    return stats.attempts;
}

/* The attempt is in the store as soon as the certificate is: in one transaction. */
START_TEST(an_issue_takes_its_attempt_along)
{
    char secret[CHALLENGE_TEXT_MAX];
    one_time(secret);
    struct device d = device_new("/scep", "CN=kept", secret);
    char *serial = expect_issued(&d, ENROLL_ISSUE);
    struct store_attempt a = {.seq = 0};
    must(store_attempt_list(f.store, 0, take_newest, &a, &err));
    ck_assert_int_eq(a.result, ATTEMPT_ISSUED);
    ck_assert_str_eq(a.serial, serial);
    ck_assert_str_eq(a.peer, "192.0.2.7");
    ck_assert_str_eq(a.agent, "test");
    ck_assert_str_eq(a.endpoint, "/scep");
    ck_assert_str_eq(a.operation, "PKCSReq");
    ck_assert_str_eq(a.transaction, d.transaction);
    ck_assert_str_eq(a.subject, "CN=kept");
    ck_assert_str_eq(a.key, "RSA-2048");
    ck_assert_str_eq(a.digest, "SHA-256");
    ck_assert_str_eq(a.cipher, "AES-128");
    ck_assert_str_eq(a.template_name, "device");
    ck_assert_int_eq(strncmp(a.challenge, "chl_", 4), 0);
    ck_assert_str_eq(a.reason, "");
    ck_assert_int_eq(a.fail_info, -1);
    for (size_t i = 0; i < a.trail.n; i++)
        ck_assert_int_eq(a.trail.step[i].state, TRAIL_PASSED);
    ck_assert_ptr_nonnull(strstr(step_of(&a, CHECK_CHALLENGE)->text, "use 1 of 1"));
    ck_assert_ptr_nonnull(strstr(step_of(&a, CHECK_SIGNING)->text, serial));
    ck_assert_int_eq(a.trail.step[a.trail.n - 1].check, CHECK_STORING);
    /* never the password */
    ck_assert_ptr_null(strstr(a.detail, secret));
    for (size_t i = 0; i < a.trail.n; i++)
        ck_assert_ptr_null(strstr(a.trail.step[i].text, secret));
    free(serial);
    device_free(&d);
}
END_TEST

/* A refusal is given to the front end, which samples; where it stopped is told, with the values. */
START_TEST(a_refusal_tells_where_it_stopped)
{
    char secret[CHALLENGE_TEXT_MAX];
    one_time(secret);
    struct device first = device_new("/scep", "CN=first", secret),
                  second = device_new("/scep", "CN=second", secret);
    free(expect_issued(&first, ENROLL_ISSUE));
    uint64_t before = attempts_n();
    struct client_result r = {0};
    struct scep_answer answer = ask(&second, &r);
    struct scep_call call = {
        .endpoint = second.endpoint, .peer = {"192.0.2.7", "test"}, .now = now};
    struct store_attempt a;
    ck_assert(!answer.recorded);
    ck_assert_uint_eq(attempts_n(), before);
    scep_answer_attempt(&answer, &call, 4.4, &a);
    ck_assert_int_eq(a.result, ATTEMPT_REFUSED);
    ck_assert_str_eq(a.reason, "challenge.used");
    ck_assert_int_eq(a.fail_info, FAIL_BAD_REQUEST);
    ck_assert_uint_eq(a.status, 200);
    ck_assert_uint_eq(a.ms, 4);
    const struct trail_step *last = &a.trail.step[a.trail.n - 1];
    ck_assert_int_eq(last->check, CHECK_CHALLENGE);
    ck_assert_int_eq(last->state, TRAIL_STOPPED);
    ck_assert_ptr_nonnull(strstr(last->text, "was used"));
    ck_assert_int_eq(step_of(&a, CHECK_KEY)->state, TRAIL_PASSED);
    scep_answer_clear(&answer);
    client_result_clear(&r);
    device_free(&first);
    device_free(&second);
}
END_TEST

START_TEST(only_the_first_polls_are_kept)
{
    struct device d = device_new("/manual", "CN=waits for long", "");
    expect_pending(&d);
    uint64_t before = attempts_n();
    for (int i = 0; i < 15; i++)
        expect_pending(&d);
    ck_assert_uint_eq(attempts_n(), before + 10);
    device_free(&d);
}
END_TEST

/* The certificate is issued all the same; what it says about the device's clock is kept. */
START_TEST(a_slow_clock_shows)
{
    const struct view nonce = view_str("0123456789abcdef");
    struct device d = device_new("/open", "CN=slow clock", "");
    struct odd right = {nonce, "20990101000000Z", 0}, slow = {nonce, "20200101000000Z", 0};
    struct store_attempt kept = {.seq = 0};
    struct scep_answer a = ask_oddly(&d, &slow);
    ck_assert_int_eq(a.verdict, ENROLL_ISSUE);
    must(store_attempt_list(f.store, 0, take_newest, &kept, &err));
    ck_assert_int_eq(kept.result, ATTEMPT_ISSUED);
    ck_assert_str_eq(kept.reason, "clock.skew");
    ck_assert_ptr_nonnull(strstr(kept.detail, "the device's clock said 2020-01-01T00:00:00Z"));
    scep_answer_clear(&a);
    device_free(&d);
    d = device_new("/open", "CN=fast clock", "");
    a = ask_oddly(&d, &right);
    must(store_attempt_list(f.store, 0, take_newest, &kept, &err));
    ck_assert_str_eq(kept.subject, "CN=fast clock");
    ck_assert_str_eq(kept.reason, "");
    scep_answer_clear(&a);
    device_free(&d);
}
END_TEST

/* RFC 8894 sections 3.5.2, 4.2.1.1 and 6 */
START_TEST(capabilities)
{
    const struct scep_endpoint *e = service_fixture_endpoint(&f, "/scep");
    ck_assert_msg(
        view_eq(buf_view(&e->caps),
                view_str("AES\nDES3\nPOSTPKIOperation\nRenewal\nSHA-1\nSHA-256\nSHA-384\nSHA-512\n"
                         "SCEPStandard\n")),
        "%.*s", (int)e->caps.n, (const char *)e->caps.p);
    ck_assert_str_eq(e->ca_cert_type, "application/x-x509-ca-ra-cert");
    e = service_fixture_endpoint(&f, "/ca");
    ck_assert_str_eq(e->ca_cert_type, "application/x-x509-ca-cert");
    e = service_fixture_endpoint(&f, "/legacy");
    ck_assert(
        view_eq(buf_view(&e->caps),
                view_str("AES\nDES3\nPOSTPKIOperation\nRenewal\nSHA-1\nSHA-256\nSCEPStandard\n")));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("scepd/pkiop");
    TCase *c = tcase_create("pkiop");
    tcase_set_timeout(c, 120);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, one_time_challenge_issues_once);
    tcase_add_test(c, every_shape_of_authority_answers);
    tcase_add_test(c, message_to_the_ca_certificate_is_opened_too);
    tcase_add_test(c, algorithms_follow_the_request_within_policy);
    tcase_add_test(c, refusals_burn_nothing);
    tcase_add_test(c, transaction_id_with_another_key_is_refused);
    tcase_add_test(c, renewal_is_decided_by_who_signed);
    tcase_add_test(c, renewal_by_a_stranger_is_refused);
    tcase_add_test(c, manual_approval);
    tcase_add_test(c, poll_without_request);
    tcase_add_test(c, get_cert_and_unknown_serial);
    tcase_add_test(c, switch_strict_nonces);
    tcase_add_test(c, switch_max_clock_difference);
    tcase_add_test(c, switch_one_recipient);
    tcase_add_test(c, switch_same_signer_subject);
    tcase_add_test(c, switch_microsoft_error);
    tcase_add_test(c, switch_include_chain);
    tcase_add_test(c, switch_absent_content);
    tcase_add_test(c, switch_odd_message_digest);
    tcase_add_test(c, switch_any_csr_version);
    tcase_add_test(c, switch_csr_digests);
    tcase_add_test(c, switch_password_recipient);
    tcase_add_test(c, ec_key_waits_for_approval);
    tcase_add_test(c, what_is_no_message_is_http_400);
    tcase_add_test(c, damaged_message_gets_a_signed_failure);
    tcase_add_test(c, an_issue_takes_its_attempt_along);
    tcase_add_test(c, a_refusal_tells_where_it_stopped);
    tcase_add_test(c, only_the_first_polls_are_kept);
    tcase_add_test(c, a_slow_clock_shows);
    tcase_add_test(c, capabilities);
    suite_add_tcase(s, c);
    return check_main(s);
}
