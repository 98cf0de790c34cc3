/* The client's half, and the whole way round: request, parse, open, answer, parse, open. */
#include <openssl/cms.h>
#include <openssl/err.h>

#include "check_main.h"
#include "forge.h"
#include "test_keys.h"

#define ALL (~0u)

static struct test_keys server, client; /* client: 0 RSA, 1 EC */
static struct scep_keys server_keys, client_keys;
static struct cert *recipient;
static struct scep_request q;
static struct buf csr, message, answer;
static struct scep_message *m, *reply;
static struct scep_certs certs;
static struct err why;

static const uint8_t nonce[16] = "sixteen octets!";

static void setup_keys(void)
{
    EVP_PKEY *ra = test_rsa_key(2048), *device = test_rsa_key(2048), *ec = test_ec_key("P-256");
    test_keys_add(&server, ra, test_cert(ra, "registration"));
    test_keys_add(&client, device, test_cert(device, "device"));
    test_keys_add(&client, ec, test_cert(ec, "device ec"));
    server_keys = test_keys_scep(&server);
    client_keys = test_keys_scep(&client);
    csr = test_csr(device, "device", "secret");
    ck_assert(cert_parse(buf_view(&server.der[0]), &recipient, &why));
}

static void teardown_keys(void)
{
    cert_free(recipient);
    buf_clear(&csr);
    test_keys_clear(&server);
    test_keys_clear(&client);
}

static void setup(void)
{
    why = (struct err){0};
    q = (struct scep_request){.type = SCEP_PKCS_REQ,
                              .transaction_id = "T-1",
                              .nonce = nonce,
                              .digest = DIGEST_SHA256,
                              .cipher = CIPHER_AES128,
                              .padding = PADDING_PKCS1,
                              .content = buf_view(&csr),
                              .signer_cert = buf_view(&client.der[0]),
                              .recipient = recipient};
}

static void teardown(void)
{
    scep_message_free(m);
    scep_message_free(reply);
    scep_certs_clear(&certs);
    buf_clear(&message);
    buf_clear(&answer);
    m = reply = NULL;
}

static void ask(void)
{
    ck_assert_msg(scep_request_build(&q, &client_keys, &message, &why), "%s", why.text);
    ck_assert_msg(scep_parse(buf_view(&message), ALL, &m, &why), "%s", why.text);
    ck_assert_int_eq(m->type, q.type);
    ck_assert_str_eq(m->transaction_id, "T-1");
    ck_assert(view_eq(view_of(m->sender_nonce, m->sender_nonce_len), view_of(nonce, 16)));
    ck_assert_int_eq(m->digest, q.digest);
    ck_assert_int_eq(m->signing_time, q.signing_time);
    ck_assert_msg(scep_open(m, ALL, ALL, &server_keys, &why), "%s", why.text);
    ck_assert_int_eq(m->cipher, q.cipher);
    ck_assert_int_eq(m->padding, q.padding);
}

static void answered(struct certrep *r)
{
    r->digest = m->digest;
    r->cipher = m->cipher;
    r->signer_cert = server.parsed[0];
    ck_assert_msg(certrep_build(r, m, &server_keys, &answer, &why), "%s", why.text);
    ck_assert_msg(scep_parse(buf_view(&answer), ALL, &reply, &why), "%s", why.text);
    ck_assert(reply->is_reply);
    ck_assert_int_eq(reply->type, SCEP_CERT_REP);
    ck_assert_int_eq(reply->status, r->status);
    ck_assert_str_eq(reply->transaction_id, "T-1");
    ck_assert(
        view_eq(view_of(reply->recipient_nonce, reply->recipient_nonce_len), view_of(nonce, 16)));
    ck_assert_uint_eq(reply->sender_nonce_len, 16);
    ck_assert(view_eq(buf_view(&reply->signer->der), buf_view(&server.der[0])));
}

START_TEST(round_trip)
{
    static const struct {
        enum digest digest;
        enum cipher cipher;
        enum key_padding padding;
    } with[] = {
        {DIGEST_SHA256, CIPHER_AES128, PADDING_PKCS1}, {DIGEST_SHA512, CIPHER_AES256, PADDING_OAEP},
        {DIGEST_SHA1, CIPHER_DES3, PADDING_OAEP},      {DIGEST_SHA384, CIPHER_AES192, PADDING_OAEP},
        {DIGEST_SHA224, CIPHER_AES128, PADDING_OAEP},
    };
    q.digest = with[_i].digest;
    q.cipher = with[_i].cipher;
    q.padding = with[_i].padding;
    q.signing_time = 1795305600;
    ask();
    ck_assert(view_eq(buf_view(&m->csr->der), buf_view(&csr)));
    struct certrep r = {.status = SCEP_SUCCESS,
                        .certificate = buf_view(&client.der[1]),
                        .extra_certificates = {buf_view(&server.der[0])},
                        .extra_n = 1};
    answered(&r);
    ck_assert_msg(certrep_open(reply, &client_keys, &certs, &why), "%s", why.text);
    ck_assert_uint_eq(certs.n, 2);
    ck_assert(view_eq(buf_view(&certs.der[0]), buf_view(&client.der[1])));
    ck_assert(view_eq(buf_view(&certs.der[1]), buf_view(&server.der[0])));
    ck_assert_uint_eq(certs.crl.n, 0);
    ck_assert_uint_eq(ERR_peek_error(), 0);
}
END_TEST

START_TEST(round_trip_failure)
{
    ask();
    struct certrep r = {.status = SCEP_FAILURE,
                        .fail_info = FAIL_BAD_REQUEST,
                        .fail_text = "no (challenge.used)",
                        .hresult = 0x80094011,
                        .absent_content = _i == 1};
    answered(&r);
    ck_assert_int_eq(reply->fail_info, FAIL_BAD_REQUEST);
    ck_assert_str_eq(reply->fail_text, "no (challenge.used)");
    ck_assert_int_eq(reply->hresult, (int32_t)0x80094011);
    ck_assert(!certrep_open(reply, &client_keys, &certs, &why));
    ck_assert_int_eq(why.reason, REASON_MESSAGE_UNSUPPORTED);
}
END_TEST

START_TEST(round_trip_pending)
{
    struct buf pair = {0};
    ck_assert(scep_issuer_and_subject_build(recipient->subject, recipient->subject, &pair, &why));
    q.type = SCEP_CERT_POLL;
    q.content = buf_view(&pair);
    ask();
    ck_assert(view_eq(m->subject, recipient->subject));
    struct certrep r = {.status = SCEP_PENDING};
    answered(&r);
    ck_assert_uint_eq(reply->content.n, 0);
    buf_clear(&pair);
}
END_TEST

START_TEST(round_trip_get_crl)
{
    struct buf pair = {0};
    ck_assert(scep_issuer_and_serial_build(recipient->issuer, recipient->serial, &pair, &why));
    q.type = SCEP_GET_CRL;
    q.content = buf_view(&pair);
    ask();
    ck_assert(view_eq(m->serial, recipient->serial));
    struct certrep r = {.status = SCEP_SUCCESS, .crl = view_of("\x30\x02\x05\x00", 4)};
    answered(&r);
    ck_assert_msg(certrep_open(reply, &client_keys, &certs, &why), "%s", why.text);
    ck_assert_uint_eq(certs.n, 0);
    ck_assert(view_eq(buf_view(&certs.crl), r.crl));
    buf_clear(&pair);
}
END_TEST

/* OpenSSL reads what is sent. */
START_TEST(request_as_openssl_sees_it)
{
    ask();
    const uint8_t *p = message.p;
    uint8_t *again = NULL;
    CMS_ContentInfo *cms = d2i_CMS_ContentInfo(NULL, &p, (long)message.n);
    BIO *content = BIO_new(BIO_s_mem()), *plain = BIO_new(BIO_s_mem());
    char *bytes;
    ck_assert(cms && content && plain);
    ck_assert_int_eq(
        CMS_verify(cms, NULL, NULL, NULL, content, CMS_BINARY | CMS_NO_SIGNER_CERT_VERIFY), 1);
    CMS_ContentInfo *envelope = d2i_CMS_bio(content, NULL);
    ck_assert_int_eq(CMS_decrypt(envelope, server.key[0], server.cert[0], NULL, plain, CMS_BINARY),
                     1);
    long n = BIO_get_mem_data(plain, &bytes);
    ck_assert(view_eq(view_of(bytes, (size_t)n), buf_view(&csr)));
    int len = i2d_CMS_ContentInfo(cms, &again);
    ck_assert(len > 0 && view_eq(view_of(again, (size_t)len), buf_view(&message)));
    OPENSSL_free(again);
    CMS_ContentInfo_free(cms);
    CMS_ContentInfo_free(envelope);
    BIO_free(content);
    BIO_free(plain);
    ERR_clear_error();
}
END_TEST

/* As BouncyCastle writes: nothing of the meaning changes. */
START_TEST(request_in_ber)
{
    q.ber = true;
    ask();
    ck_assert(view_eq(buf_view(&m->csr->der), buf_view(&csr)));
    ck_assert_uint_eq(message.p[1], 0x80);
    ck_assert_uint_eq(m->content.p[1], 0x80);
}
END_TEST

START_TEST(ec_signed_request)
{
    q.signer_cert = buf_view(&client.der[1]);
    q.signer_key = 1;
    ask();
    ck_assert_int_eq(m->signer_key.type, KEY_EC);
}
END_TEST

START_TEST(ec_recipient)
{
    struct cert *ec = NULL;
    ck_assert(cert_parse(buf_view(&client.der[1]), &ec, &why));
    q.recipient = ec;
    ck_assert(!scep_request_build(&q, &client_keys, &message, &why));
    ck_assert_int_eq(why.reason, REASON_ALGORITHM_REFUSED);
    cert_free(ec);
}
END_TEST

/* A CertRep of somebody else, or with nonsense inside, is one refusal. */
START_TEST(reply_that_does_not_open)
{
    struct buf nonsense = {0};
    struct forge f;
    struct forge_envelope e;
    X509 *to = _i == 0 ? server.cert[0] : client.cert[0];
    forge_envelope_init(&e, to, view_str("hello"));
    e.bad_padding = _i == 2;
    nonsense = forge_envelope_build(&e);
    forge_init(&f, server.key[0], server.cert[0], buf_view(&nonsense));
    forge_attr_find(&f, OID_MESSAGE_TYPE)->value = view_str("3");
    forge_attr_add(&f, OID_PKI_STATUS, DER_PRINTABLE_STRING, view_str("0"));
    message = forge_build(&f);
    ck_assert_msg(scep_parse(buf_view(&message), ALL, &reply, &why), "%s", why.text);
    ck_assert(!certrep_open(reply, &client_keys, &certs, &why));
    ck_assert_int_eq(why.reason, REASON_MESSAGE_NOT_FOR_US);
    buf_clear(&nonsense);
}
END_TEST

/* ---- certificates only (RFC 8894 section 3.4) ---- */

START_TEST(certs_only)
{
    struct view list[] = {buf_view(&server.der[0]), buf_view(&client.der[1]),
                          buf_view(&client.der[0])};
    ck_assert(scep_certs_build(list, 3, view_of(NULL, 0), &message, &why));
    ck_assert_msg(scep_certs_parse(buf_view(&message), &certs, &why), "%s", why.text);
    ck_assert_uint_eq(certs.n, 3);
    for (size_t i = 0; i < 3; i++)
        ck_assert(view_eq(buf_view(&certs.der[i]), list[i]));
    const uint8_t *p = message.p;
    PKCS7 *p7 = d2i_PKCS7(NULL, &p, (long)message.n);
    ck_assert(p7 && PKCS7_type_is_signed(p7));
    ck_assert_int_eq(sk_X509_num(p7->d.sign->cert), 3);
    ck_assert_int_eq(X509_cmp(sk_X509_value(p7->d.sign->cert, 1), client.cert[1]), 0);
    ck_assert_int_eq(sk_PKCS7_SIGNER_INFO_num(p7->d.sign->signer_info), 0);
    PKCS7_free(p7);
    ERR_clear_error();
}
END_TEST

START_TEST(certs_only_in_ber)
{
    struct view one = buf_view(&server.der[0]);
    ck_assert(scep_certs_build(&one, 1, view_of(NULL, 0), &message, &why));
    answer = forge_ber(buf_view(&message));
    ck_assert_msg(scep_certs_parse(buf_view(&answer), &certs, &why), "%s", why.text);
    ck_assert(certs.n == 1 && view_eq(buf_view(&certs.der[0]), one));
}
END_TEST

START_TEST(certs_only_refused)
{
    struct view list[SCEP_MAX_CERTS + 1];
    for (size_t i = 0; i <= SCEP_MAX_CERTS; i++)
        list[i] = buf_view(&server.der[0]);
    ck_assert(scep_certs_build(list, SCEP_MAX_CERTS, view_of(NULL, 0), &message, &why));
    ck_assert(scep_certs_parse(buf_view(&message), &certs, &why));
    ck_assert_uint_eq(certs.n, SCEP_MAX_CERTS);
    scep_certs_clear(&certs);
    buf_clear(&message);
    ck_assert(scep_certs_build(list, SCEP_MAX_CERTS + 1, view_of(NULL, 0), &message, &why));
    ck_assert(!scep_certs_parse(buf_view(&message), &certs, &why));
    ck_assert_int_eq(why.reason, REASON_MESSAGE_MALFORMED);
    ck_assert_str_eq(why.text, "9 certificates, at most 8 allowed");
    /* a single certificate is no list */
    ck_assert(!scep_certs_parse(buf_view(&server.der[0]), &certs, &why));
    ck_assert_int_eq(why.reason, REASON_MESSAGE_MALFORMED);
    ck_assert(!scep_certs_parse(view_of(message.p, message.n - 1), &certs, &why));
    ck_assert_int_eq(why.reason, REASON_MESSAGE_TRUNCATED);
    ck_assert_uint_eq(certs.n, 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("pkcs7/scep_client");
    TCase *c = tcase_create("client");
    tcase_add_unchecked_fixture(c, setup_keys, teardown_keys);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 30);
    tcase_add_loop_test(c, round_trip, 0, 5);
    tcase_add_loop_test(c, round_trip_failure, 0, 2);
    tcase_add_test(c, round_trip_pending);
    tcase_add_test(c, round_trip_get_crl);
    tcase_add_test(c, request_as_openssl_sees_it);
    tcase_add_test(c, request_in_ber);
    tcase_add_test(c, ec_signed_request);
    tcase_add_test(c, ec_recipient);
    tcase_add_loop_test(c, reply_that_does_not_open, 0, 3);
    tcase_add_test(c, certs_only);
    tcase_add_test(c, certs_only_in_ber);
    tcase_add_test(c, certs_only_refused);
    suite_add_tcase(s, c);
    return check_main(s);
}
