/* Switches of an endpoint: the same message with the switch off and on. */
#include <openssl/cms.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <time.h>

#include "check_main.h"
#include "device.h"
#include "forge.h"

/* The configuration is the fixture's own, and no other thread reads it. */
static struct config_endpoint *settings(const struct device *d)
{
    return (struct config_endpoint *)(uintptr_t)d->endpoint->config;
}

static struct template *template_of(const struct device *d)
{
    return (struct template *)(uintptr_t)d->endpoint->policy->template;
}

static void expect_oddly(struct device *d, const struct odd *odd, enum reason reason)
{
    struct scep_answer a = device_ask_oddly(d, odd);
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
    time_t t = (time_t)pki_now - 120, u = (time_t)pki_now - 7200;
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
    pki_now -= 7200 + 3601; /* and ahead of it */
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
    struct scep_answer a = device_ask(&d, &r);
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
    struct scep_answer a = device_ask(&d, &r);
    ck_assert_uint_eq(r.certs.n, 2);
    ck_assert(view_eq(buf_view(&r.certs.der[1]), buf_view(&pki.rooms.authority[0]->cert->der)));
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
        struct scep_answer a = device_ask(&d, &r);
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
                                 .enroll = &pki.enroll,
                                 .signer = pki.signer,
                                 .message = buf_view(&d.message),
                                 .peer = {"192.0.2.7", "test"},
                                 .now = pki_now};
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
    waiting_request(id);
    must(enroll_request_decide(pki.store, id, true, "test", "", pki_now, &request, &err));
    expect_refused(&d, REASON_CHALLENGE_MISSING);
    d.type = SCEP_PKCS_REQ;
    buf_clear(&d.content);
    d.content = csr;
    free(expect_issued(&d, ENROLL_ISSUE));
    store_request_clear(&request);
    device_free(&d);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("scepd/endpoint_switches");
    TCase *c = tcase_create("endpoint_switches");
    tcase_set_timeout(c, 120);
    tcase_add_checked_fixture(c, pki_setup, pki_teardown);
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
    suite_add_tcase(s, c);
    return check_main(s);
}
