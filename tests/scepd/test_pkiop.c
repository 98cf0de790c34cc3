/* The request path from bytes to bytes, on a whole authority with store and signer in this process.
 */
#include <stdio.h>

#include "check_main.h"
#include "device.h"

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
    must(service_fixture_restart(&pki, &err));
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
        struct scep_answer a = device_ask(&d, &r);
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

/* RFC 8894 section 2.3: the key of the certificate that ends signs. */
START_TEST(renewal_is_decided_by_who_signed)
{
    static const enum scep_type types[] = {SCEP_RENEWAL_REQ, SCEP_PKCS_REQ};
    for (size_t i = 0; i < 2; i++) {
        struct device d = device_new("/open", "CN=renewer,O=Example", "");
        struct client_result r = {0};
        struct scep_answer a = device_ask(&d, &r);
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

/* RFC 8894 section 2.3 */
START_TEST(renewal_by_a_stranger_is_refused)
{
    struct device d = device_new("/scep", "CN=stranger", "");
    d.type = SCEP_RENEWAL_REQ;
    expect_refused(&d, REASON_RENEWAL_SIGNER_UNKNOWN);
    device_free(&d);
}
END_TEST

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
    waiting_request(id);
    must(enroll_request_decide(pki.store, id, true, "test", "", pki_now, &request, &err));
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

/* RFC 8894 sections 3.2.1.4 and 4.5.1 */
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

START_TEST(what_is_no_message_is_http_400)
{
    static const char *const garbage[] = {"", "hello", "\x30\x80", "0", "\x30\x03\x02\x01\x05"};
    struct scep_call call = {.endpoint = &pki.endpoint[0],
                             .enroll = &pki.enroll,
                             .signer = pki.signer,
                             .peer = {"192.0.2.7", "test"},
                             .now = pki_now};
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

/* RFC 8894 section 3.2.1.4: badMessageCheck, in a CertRep. */
START_TEST(damaged_message_gets_a_signed_failure)
{
    struct device d = device_new("/open", "CN=damaged", "");
    struct client_result r = {0};
    struct scep_answer a = device_ask(&d, &r);
    scep_answer_clear(&a);
    client_result_clear(&r);
    d.message.p[d.message.n - 1] ^= 1; /* inside the signature */
    struct scep_call call = {.endpoint = d.endpoint,
                             .enroll = &pki.enroll,
                             .signer = pki.signer,
                             .message = buf_view(&d.message),
                             .peer = {"192.0.2.7", "test"},
                             .now = pki_now};
    scep_pki_operation(&call, &a);
    ck_assert_int_eq(a.status, 200);
    ck_assert_int_eq(a.reason, REASON_SIGNATURE_BAD);
    scep_answer_clear(&a);
    device_free(&d);
}
END_TEST

/* RFC 8894 sections 3.5.2, 4.2.1.1 and 6 */
START_TEST(capabilities)
{
    const struct scep_endpoint *e = service_fixture_endpoint(&pki, "/scep");
    ck_assert_msg(
        view_eq(buf_view(&e->caps),
                view_str("AES\nDES3\nPOSTPKIOperation\nRenewal\nSHA-1\nSHA-256\nSHA-384\nSHA-512\n"
                         "SCEPStandard\n")),
        "%.*s", (int)e->caps.n, (const char *)e->caps.p);
    ck_assert_str_eq(e->ca_cert_type, "application/x-x509-ca-ra-cert");
    e = service_fixture_endpoint(&pki, "/ca");
    ck_assert_str_eq(e->ca_cert_type, "application/x-x509-ca-cert");
    e = service_fixture_endpoint(&pki, "/legacy");
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
    tcase_add_checked_fixture(c, pki_setup, pki_teardown);
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
    tcase_add_test(c, what_is_no_message_is_http_400);
    tcase_add_test(c, damaged_message_gets_a_signed_failure);
    tcase_add_test(c, capabilities);
    suite_add_tcase(s, c);
    return check_main(s);
}
