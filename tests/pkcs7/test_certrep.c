/* Answers of the server: accepted and understood by OpenSSL's CMS, byte for byte as clients need
 * them. */
#include <openssl/cms.h>
#include <openssl/err.h>

#include "check_main.h"
#include "forge.h"
#include "test_keys.h"

#define ALL (~0u)

static struct test_keys server; /* 0: RA, RSA; 1: RA, EC */
static struct scep_keys keys;
static EVP_PKEY *device, *device_ec;
static X509 *device_cert, *device_ec_cert;
static struct scep_message *request;
static struct certrep r;
static struct buf reply;
static struct err why;
static CMS_ContentInfo *cms;
static BIO *content;

static void setup_keys(void)
{
    EVP_PKEY *a = test_rsa_key(2048), *b = test_ec_key("P-256");
    test_keys_add(&server, a, test_cert(a, "registration"));
    test_keys_add(&server, b, test_cert(b, "registration ec"));
    keys = test_keys_scep(&server);
    device = test_rsa_key(2048);
    device_ec = test_ec_key("P-384");
    device_cert = test_cert(device, "device");
    device_ec_cert = test_cert(device_ec, "device ec");
}

static void teardown_keys(void)
{
    test_keys_clear(&server);
    EVP_PKEY_free(device);
    EVP_PKEY_free(device_ec);
    X509_free(device_cert);
    X509_free(device_ec_cert);
}

static void ask(EVP_PKEY *key, X509 *cert, struct view nonce)
{
    struct forge f;
    forge_init(&f, key, cert, view_str("not looked at"));
    if (EVP_PKEY_is_a(key, "EC"))
        f.signature_alg = sigalg_der((struct sigalg){SIG_ECDSA, DIGEST_SHA256, 0});
    forge_attr_find(&f, OID_SENDER_NONCE)->value = nonce;
    if (nonce.n == 0)
        forge_attr_drop(&f, OID_SENDER_NONCE);
    struct buf in = forge_build(&f);
    scep_message_free(request);
    request = NULL;
    ck_assert_msg(scep_parse(buf_view(&in), ALL, &request, &why), "%s", why.text);
    buf_clear(&in);
}

static void setup(void)
{
    why = (struct err){0};
    ask(device, device_cert, view_str("12345678"));
    r = (struct certrep){.status = SCEP_SUCCESS,
                         .certificate = buf_view(&server.der[1]),
                         .digest = DIGEST_SHA256,
                         .cipher = CIPHER_AES128,
                         .signer_cert = server.parsed[0]};
}

static void forget_reply(void)
{
    CMS_ContentInfo_free(cms);
    BIO_free(content);
    buf_clear(&reply);
    cms = NULL;
    content = NULL;
}

static void teardown(void)
{
    forget_reply();
    scep_message_free(request);
    request = NULL;
}

/* Builds, and lets OpenSSL verify. */
static CMS_SignerInfo *answered(void)
{
    forget_reply();
    ck_assert_msg(certrep_build(&r, request, &keys, &reply, &why), "%s", why.text);
    const uint8_t *p = reply.p;
    cms = d2i_CMS_ContentInfo(NULL, &p, (long)reply.n);
    content = BIO_new(BIO_s_mem());
    ck_assert(cms && content && p == reply.p + reply.n);
    BIO *data = r.absent_content ? BIO_new_mem_buf("", 0) : NULL;
    ck_assert_int_eq(
        CMS_verify(cms, NULL, NULL, data, content, CMS_BINARY | CMS_NO_SIGNER_CERT_VERIFY), 1);
    BIO_free(data);
    ck_assert_int_eq(sk_CMS_SignerInfo_num(CMS_get0_SignerInfos(cms)), 1);
    ERR_clear_error();
    return sk_CMS_SignerInfo_value(CMS_get0_SignerInfos(cms), 0);
}

/* There once, with one value of this type. */
static void has(CMS_SignerInfo *si, const char *oid, int type, struct view value)
{
    ASN1_OBJECT *o = OBJ_txt2obj(oid, 1);
    ASN1_STRING *s = CMS_signed_get0_data_by_OBJ(si, o, -3, type);
    ck_assert_msg(s != NULL, "%s", oid);
    ck_assert_msg(view_eq(value, view_of(ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s))),
                  "%s", oid);
    ASN1_OBJECT_free(o);
}

static bool lacks(CMS_SignerInfo *si, const char *oid)
{
    ASN1_OBJECT *o = OBJ_txt2obj(oid, 1);
    bool absent = CMS_signed_get_attr_by_OBJ(si, o, -1) < 0;
    ASN1_OBJECT_free(o);
    return absent;
}

/* RFC 8894 section 3.2.1: types and values of what every CertRep has. */
static void common(CMS_SignerInfo *si, const char *status)
{
    ASN1_OBJECT *nonce = OBJ_txt2obj(OID_SENDER_NONCE, 1);
    has(si, OID_MESSAGE_TYPE, V_ASN1_PRINTABLESTRING, view_str("3"));
    has(si, OID_PKI_STATUS, V_ASN1_PRINTABLESTRING, view_str(status));
    has(si, OID_TRANSACTION_ID, V_ASN1_PRINTABLESTRING, view_str("A1B2 +/="));
    has(si, OID_RECIPIENT_NONCE, V_ASN1_OCTET_STRING, view_str("12345678"));
    ck_assert_int_eq(
        ASN1_STRING_length(CMS_signed_get0_data_by_OBJ(si, nonce, -3, V_ASN1_OCTET_STRING)), 16);
    ck_assert(!lacks(si, OID_CONTENT_TYPE) && !lacks(si, OID_MESSAGE_DIGEST));
    ASN1_OBJECT_free(nonce);
}

/* What the device reads: the certificates, in order, and the CRLs. */
static CMS_ContentInfo *decrypted(EVP_PKEY *key, X509 *cert)
{
    BIO *plain = BIO_new(BIO_s_mem());
    CMS_ContentInfo *envelope = d2i_CMS_bio(content, NULL);
    ck_assert(envelope && plain);
    ck_assert_int_eq(CMS_decrypt(envelope, key, cert, NULL, plain, CMS_BINARY), 1);
    CMS_ContentInfo *certs = d2i_CMS_bio(plain, NULL);
    ck_assert_ptr_nonnull(certs);
    CMS_ContentInfo_free(envelope);
    BIO_free(plain);
    return certs;
}

START_TEST(success)
{
    CMS_SignerInfo *si = answered();
    X509_ALGOR *digest, *signature;
    common(si, "0");
    ck_assert(lacks(si, OID_FAIL_INFO) && lacks(si, OID_FAIL_TEXT) && lacks(si, OID_MS_ERROR));
    /* strongSwan takes nothing but rsaEncryption */
    CMS_SignerInfo_get0_algs(si, NULL, NULL, &digest, &signature);
    ck_assert_int_eq(OBJ_obj2nid(signature->algorithm), NID_rsaEncryption);
    ck_assert_int_eq(signature->parameter->type, V_ASN1_NULL);
    ck_assert_int_eq(OBJ_obj2nid(digest->algorithm), NID_sha256);
    /* the signer's certificate is in the answer */
    STACK_OF(X509) *signers = CMS_get1_certs(cms);
    ck_assert_int_eq(sk_X509_num(signers), 1);
    ck_assert_int_eq(X509_cmp(sk_X509_value(signers, 0), server.cert[0]), 0);
    sk_X509_pop_free(signers, X509_free);
    CMS_ContentInfo *inner = decrypted(device, device_cert);
    STACK_OF(X509) *certs = CMS_get1_certs(inner);
    ck_assert_int_eq(sk_X509_num(certs), 1);
    ck_assert_int_eq(X509_cmp(sk_X509_value(certs, 0), server.cert[1]), 0);
    sk_X509_pop_free(certs, X509_free);
    CMS_ContentInfo_free(inner);
}
END_TEST

/* RFC 5652 section 5.4: what OpenSSL writes of it again is the same, so it is DER with the
 * attributes in order. */
START_TEST(is_der)
{
    uint8_t *again = NULL;
    r.status = _i == 0 ? SCEP_SUCCESS : SCEP_FAILURE;
    r.fail_text = "no";
    r.hresult = 0x80070057;
    answered();
    int n = i2d_CMS_ContentInfo(cms, &again);
    ck_assert(n > 0 && view_eq(view_of(again, (size_t)n), buf_view(&reply)));
    OPENSSL_free(again);
}
END_TEST

START_TEST(algorithms)
{
    static const enum cipher ciphers[] = {CIPHER_AES128, CIPHER_AES192, CIPHER_AES256, CIPHER_DES3};
    static const enum digest digests[] = {DIGEST_SHA512, DIGEST_SHA384, DIGEST_SHA224, DIGEST_SHA1};
    r.cipher = ciphers[_i];
    r.digest = digests[_i];
    answered();
    CMS_ContentInfo_free(decrypted(device, device_cert));
}
END_TEST

/* RFC 8894 section 3.3.2.1: the leaf first, and the order given is kept although DER would sort. */
START_TEST(chain_in_order)
{
    struct buf longer = test_cert_der(device_cert);
    for (int i = 0; i < 2; i++) {
        r.certificate = i == 0 ? buf_view(&longer) : buf_view(&server.der[1]);
        r.extra_certificates[0] = i == 0 ? buf_view(&server.der[1]) : buf_view(&longer);
        r.extra_n = 1;
        answered();
        CMS_ContentInfo *inner = decrypted(device, device_cert);
        STACK_OF(X509) *certs = CMS_get1_certs(inner);
        ck_assert_int_eq(sk_X509_num(certs), 2);
        ck_assert_int_eq(X509_cmp(sk_X509_value(certs, i), device_cert), 0);
        sk_X509_pop_free(certs, X509_free);
        CMS_ContentInfo_free(inner);
    }
    buf_clear(&longer);
}
END_TEST

static struct buf make_crl(void)
{
    X509_CRL *crl = X509_CRL_new();
    ASN1_TIME *now = X509_gmtime_adj(NULL, 0);
    struct buf out = {0};
    uint8_t *bytes = NULL;
    ck_assert(X509_CRL_set_issuer_name(crl, X509_get_subject_name(server.cert[0])) &&
              X509_CRL_set1_lastUpdate(crl, now) && X509_CRL_set1_nextUpdate(crl, now) &&
              X509_CRL_sign(crl, server.key[0], EVP_sha256()) > 0);
    int n = i2d_X509_CRL(crl, &bytes);
    ck_assert(n > 0 && buf_append(&out, bytes, (size_t)n));
    OPENSSL_free(bytes);
    ASN1_TIME_free(now);
    X509_CRL_free(crl);
    return out;
}

/* RFC 8894 section 3.3.2.1: a GetCRL is answered by the CRL alone. */
START_TEST(crl)
{
    struct buf der = make_crl();
    r.crl = buf_view(&der);
    answered();
    CMS_ContentInfo *inner = decrypted(device, device_cert);
    STACK_OF(X509_CRL) *crls = CMS_get1_crls(inner);
    STACK_OF(X509) *certs = CMS_get1_certs(inner);
    ck_assert_int_eq(sk_X509_CRL_num(crls), 1);
    ck_assert(sk_X509_num(certs) <= 0);
    sk_X509_CRL_pop_free(crls, X509_CRL_free);
    sk_X509_pop_free(certs, X509_free);
    CMS_ContentInfo_free(inner);
    buf_clear(&der);
}
END_TEST

static bool content_is_there(void)
{
    ASN1_OCTET_STRING **s = CMS_get0_content(cms);
    return s && *s;
}

START_TEST(failure)
{
    r.status = SCEP_FAILURE;
    r.fail_info = FAIL_BAD_TIME;
    r.fail_text = "zu sp\xc3\xa4t";
    r.hresult = 0x80070057;
    CMS_SignerInfo *si = answered();
    common(si, "2");
    has(si, OID_FAIL_INFO, V_ASN1_PRINTABLESTRING, view_str("3"));
    has(si, OID_FAIL_TEXT, V_ASN1_UTF8STRING, view_str("zu sp\xc3\xa4t"));
    has(si, OID_MS_ERROR, V_ASN1_PRINTABLESTRING, view_str("-2147024809"));
    ck_assert(content_is_there());
    ck_assert_uint_eq(BIO_pending(content), 0);
}
END_TEST

/* RFC 8894 section 3.3.2.2 */
START_TEST(failure_bare)
{
    r.status = SCEP_FAILURE;
    r.fail_info = FAIL_BAD_ALG;
    CMS_SignerInfo *si = answered();
    has(si, OID_FAIL_INFO, V_ASN1_PRINTABLESTRING, view_str("0"));
    ck_assert(lacks(si, OID_FAIL_TEXT) && lacks(si, OID_MS_ERROR));
}
END_TEST

/* Nothing is encrypted then (RFC 8894 section 3.3.2.3), so it may go to whoever signed, with
 * whatever key. */
START_TEST(pending)
{
    r.status = SCEP_PENDING;
    CMS_SignerInfo *si = answered();
    common(si, "3");
    ck_assert(lacks(si, OID_FAIL_INFO));
    ck_assert(content_is_there());
    r.absent_content = true; /* the letter of RFC 8894 section 3 */
    common(answered(), "3");
    ck_assert(!content_is_there());
    r.absent_content = false;
    ask(device_ec, device_ec_cert, view_str("12345678"));
    common(answered(), "3");
}
END_TEST

/* RFC 8894 section 3.2.1.5 */
START_TEST(nonces)
{
    uint8_t nonce[16], longest[SCEP_MAX_NONCE];
    memset(nonce, 'n', sizeof nonce);
    memset(longest, 'l', sizeof longest);
    r.nonce = nonce;
    has(answered(), OID_SENDER_NONCE, V_ASN1_OCTET_STRING, view_of(nonce, sizeof nonce));
    ask(device, device_cert, view_of(longest, sizeof longest));
    has(answered(), OID_RECIPIENT_NONCE, V_ASN1_OCTET_STRING, view_of(longest, sizeof longest));
    ask(device, device_cert, view_of(NULL, 0));
    ck_assert(lacks(answered(), OID_RECIPIENT_NONCE));
    /* drawn anew each time */
    struct buf first = {0};
    r.nonce = NULL;
    r.status = SCEP_PENDING;
    answered();
    first = reply;
    reply = (struct buf){0};
    answered();
    ck_assert(!view_eq(buf_view(&first), buf_view(&reply)));
    buf_clear(&first);
}
END_TEST

START_TEST(ec_signer)
{
    X509_ALGOR *signature;
    r.signer_cert = server.parsed[1];
    r.signer_key = 1;
    CMS_SignerInfo_get0_algs(answered(), NULL, NULL, NULL, &signature);
    ck_assert_int_eq(OBJ_obj2nid(signature->algorithm), NID_ecdsa_with_SHA256);
    ck_assert_ptr_null(signature->parameter);
}
END_TEST

START_TEST(ec_device)
{
    ask(device_ec, device_ec_cert, view_str("12345678"));
    ck_assert(!certrep_build(&r, request, &keys, &reply, &why));
    ck_assert_int_eq(why.reason, REASON_ALGORITHM_REFUSED);
    ck_assert_ptr_nonnull(strstr(why.text, "EC key"));
    ck_assert_uint_eq(reply.n, 0);
}
END_TEST

START_TEST(signer_gone)
{
    server.out_of_reach = true;
    ck_assert(!certrep_build(&r, request, &keys, &reply, &why));
    ck_assert_int_eq(why.kind, ERR_SIGNER);
    ck_assert_uint_eq(reply.n, 0);
    server.out_of_reach = false;
}
END_TEST

/* A refused message is answered although nothing of its signature holds. */
START_TEST(answer_to_refused)
{
    struct forge f;
    forge_init(&f, device, device_cert, view_str("x"));
    forge_attr_find(&f, OID_SENDER_NONCE)->value = view_str("12345678");
    f.no_certs = true;
    struct buf in = forge_build(&f);
    scep_message_free(request);
    ck_assert(!scep_parse(buf_view(&in), ALL, &request, &why));
    buf_clear(&in);
    r.status = SCEP_FAILURE;
    r.fail_info = FAIL_BAD_MESSAGE_CHECK;
    common(answered(), "2");
    r.status = SCEP_SUCCESS; /* but never with a certificate */
    ck_assert(!certrep_build(&r, request, &keys, &reply, &why));
    ck_assert_int_eq(why.kind, ERR_CRYPTO);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("pkcs7/certrep");
    TCase *c = tcase_create("certrep");
    tcase_add_unchecked_fixture(c, setup_keys, teardown_keys);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 30);
    tcase_add_test(c, success);
    tcase_add_loop_test(c, is_der, 0, 2);
    tcase_add_loop_test(c, algorithms, 0, 4);
    tcase_add_test(c, chain_in_order);
    tcase_add_test(c, crl);
    tcase_add_test(c, failure);
    tcase_add_test(c, failure_bare);
    tcase_add_test(c, pending);
    tcase_add_test(c, nonces);
    tcase_add_test(c, ec_signer);
    tcase_add_test(c, ec_device);
    tcase_add_test(c, signer_gone);
    tcase_add_test(c, answer_to_refused);
    suite_add_tcase(s, c);
    return check_main(s);
}
