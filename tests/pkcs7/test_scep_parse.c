/* The outer layer of pkiMessages: real ones against OpenSSL's CMS, then forged ones. */
#include <openssl/cms.h>
#include <openssl/err.h>

#include "check_main.h"
#include "forge.h"
#include "test_keys.h"
#include "vectors.h"

#define ALL_DIGESTS (~0u)
#define LIT(s) view_of(s, sizeof(s) - 1)

/* ---- messages of real clients ---- */

static const struct {
    const char *file;
    enum scep_type type;
    enum digest digest;
    size_t id; /* characters of the transactionID */
} vectors[] = {
    {"certmonger-get-PKCSReq-1.der", SCEP_PKCS_REQ, DIGEST_SHA256, 0},
    {"jscep-get-CertPoll-1.der", SCEP_CERT_POLL, DIGEST_SHA512, 40},
    {"jscep-get-GetCRL-1.der", SCEP_GET_CRL, DIGEST_SHA512, 1},
    {"jscep-get-GetCert-1.der", SCEP_GET_CERT, DIGEST_SHA512, 1},
    {"jscep-get-PKCSReq-1.der", SCEP_PKCS_REQ, DIGEST_SHA512, 40},
    {"jscep-post-CertPoll-1.der", SCEP_CERT_POLL, DIGEST_SHA512, 40},
    {"jscep-post-GetCRL-1.der", SCEP_GET_CRL, DIGEST_SHA512, 1},
    {"jscep-post-GetCert-1.der", SCEP_GET_CERT, DIGEST_SHA512, 1},
    {"jscep-post-PKCSReq-1.der", SCEP_PKCS_REQ, DIGEST_SHA512, 40},
    {"micromdm-post-PKCSReq-1.der", SCEP_PKCS_REQ, DIGEST_SHA1, 28},
    {"micromdm-post-RenewalReq-1.der", SCEP_RENEWAL_REQ, DIGEST_SHA1, 28},
    {"sscep-post-CertPoll-1.der", SCEP_CERT_POLL, DIGEST_SHA512, 32},
    {"sscep-post-GetCRL-1.der", SCEP_GET_CRL, DIGEST_SHA512, 19},
    {"sscep-post-GetCert-1.der", SCEP_GET_CERT, DIGEST_SHA512, 19},
    {"sscep-post-PKCSReq-1.der", SCEP_PKCS_REQ, DIGEST_SHA512, 32},
    {"strongswan-post-CertPoll-1.der", SCEP_CERT_POLL, DIGEST_SHA256, 40},
    {"strongswan-post-PKCSReq-1.der", SCEP_PKCS_REQ, DIGEST_SHA256, 40},
    {"strongswan-post-RenewalReq-1.der", SCEP_RENEWAL_REQ, DIGEST_SHA256, 40},
    {"strongswan6-post-CertPoll-1.der", SCEP_CERT_POLL, DIGEST_SHA256, 40},
    {"strongswan6-post-PKCSReq-1.der", SCEP_PKCS_REQ, DIGEST_SHA256, 40},
    {"strongswan6-post-RenewalReq-1.der", SCEP_RENEWAL_REQ, DIGEST_SHA256, 40},
};

static void same_attribute(CMS_SignerInfo *si, const char *oid, int type, struct view ours)
{
    ASN1_OBJECT *o = OBJ_txt2obj(oid, 1);
    ASN1_STRING *s = CMS_signed_get0_data_by_OBJ(si, o, -3, type);
    ck_assert_msg(s != NULL, "%s", oid);
    ck_assert(view_eq(view_of(ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s)), ours));
    ASN1_OBJECT_free(o);
}

/* OpenSSL's CMS accepts the message and reads the same from it. */
static void same_as_openssl(struct view in, const struct scep_message *m)
{
    const uint8_t *p = in.p;
    CMS_ContentInfo *cms = d2i_CMS_ContentInfo(NULL, &p, (long)in.n);
    BIO *content = BIO_new(BIO_s_mem());
    char *bytes;
    ck_assert(cms && content);
    ck_assert_int_eq(
        CMS_verify(cms, NULL, NULL, NULL, content, CMS_BINARY | CMS_NO_SIGNER_CERT_VERIFY), 1);
    long n = BIO_get_mem_data(content, &bytes);
    ck_assert(view_eq(view_of(bytes, (size_t)n), buf_view(&m->content)));
    CMS_SignerInfo *si = sk_CMS_SignerInfo_value(CMS_get0_SignerInfos(cms), 0);
    char type[4];
    snprintf(type, sizeof type, "%d", (int)m->type);
    same_attribute(si, OID_MESSAGE_TYPE, V_ASN1_PRINTABLESTRING, view_str(type));
    same_attribute(si, OID_TRANSACTION_ID, V_ASN1_PRINTABLESTRING, view_str(m->transaction_id));
    same_attribute(si, OID_SENDER_NONCE, V_ASN1_OCTET_STRING,
                   view_of(m->sender_nonce, m->sender_nonce_len));
    STACK_OF(X509) *signers = CMS_get0_signers(cms);
    ck_assert_int_eq(sk_X509_num(signers), 1);
    struct buf der = test_cert_der(sk_X509_value(signers, 0));
    ck_assert(view_eq(buf_view(&der), buf_view(&m->signer->der)));
    ck_assert_int_eq(EVP_PKEY_eq(m->signer_pkey, X509_get0_pubkey(sk_X509_value(signers, 0))), 1);
    buf_clear(&der);
    sk_X509_free(signers);
    CMS_ContentInfo_free(cms);
    BIO_free(content);
}

START_TEST(real_message)
{
    struct buf in = vector_load(vectors[_i].file);
    struct scep_message *m = NULL;
    struct err err = {0};
    ck_assert_msg(scep_parse(buf_view(&in), ALL_DIGESTS, &m, &err), "%s: %s", vectors[_i].file,
                  err.text);
    ck_assert(m->replyable && !m->is_reply);
    ck_assert_int_eq(m->type, vectors[_i].type);
    ck_assert_int_eq(m->digest, vectors[_i].digest);
    if (vectors[_i].id)
        ck_assert_uint_eq(strlen(m->transaction_id), vectors[_i].id);
    ck_assert_uint_eq(m->sender_nonce_len, 16);
    same_as_openssl(buf_view(&in), m);
    ck_assert_uint_eq(ERR_peek_error(), 0);
    scep_message_free(m);
    buf_clear(&in);
}
END_TEST

START_TEST(real_message_in_ber)
{
    struct buf in = vector_load("sscep-post-PKCSReq-1.der"), ber = forge_ber(buf_view(&in));
    struct scep_message *m = NULL, *n = NULL;
    struct err err = {0};
    ck_assert_msg(scep_parse(buf_view(&ber), ALL_DIGESTS, &m, &err), "%s", err.text);
    ck_assert(scep_parse(buf_view(&in), ALL_DIGESTS, &n, &err));
    ck_assert(view_eq(buf_view(&m->content), buf_view(&n->content)));
    ck_assert_str_eq(m->transaction_id, n->transaction_id);
    scep_message_free(m);
    scep_message_free(n);
    buf_clear(&in);
    buf_clear(&ber);
}
END_TEST

/* ---- forged messages ---- */

static EVP_PKEY *rsa, *ec;
static X509 *rsa_cert, *ec_cert;
static struct forge f;
static struct scep_message *got;
static struct err why;

static void setup_keys(void)
{
    rsa = test_rsa_key(2048);
    ec = test_ec_key("P-256");
    rsa_cert = test_cert(rsa, "device");
    ec_cert = test_cert(ec, "device ec");
}

static void teardown_keys(void)
{
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(ec);
    X509_free(rsa_cert);
    X509_free(ec_cert);
}

static void setup(void)
{
    forge_init(&f, rsa, rsa_cert, view_str("the envelope"));
    got = NULL;
    why = (struct err){0};
}

static void teardown(void)
{
    scep_message_free(got);
    got = NULL;
}

static bool parse(unsigned digests)
{
    struct buf in = forge_build(&f);
    bool ok = scep_parse(buf_view(&in), digests, &got, &why);
    buf_clear(&in);
    ck_assert_uint_eq(ERR_peek_error(), 0);
    return ok;
}

static void accepted(void)
{
    ck_assert_msg(parse(ALL_DIGESTS), "%s", why.text);
    ck_assert(got->replyable);
    ck_assert_ptr_nonnull(got->signer_pkey);
}

static void refused(enum reason reason, bool replyable)
{
    ck_assert(!parse(ALL_DIGESTS));
    ck_assert_int_eq(why.kind, ERR_REFUSED);
    ck_assert_msg(why.reason == reason, "%s: %s", reason_info(why.reason)->code, why.text);
    ck_assert(replyable == (got != NULL));
    if (got) {
        ck_assert(got->replyable);
        ck_assert_str_eq(got->transaction_id, "A1B2 +/=");
    }
}

START_TEST(good)
{
    accepted();
    ck_assert_int_eq(got->type, SCEP_PKCS_REQ);
    ck_assert_str_eq(got->transaction_id, "A1B2 +/=");
    ck_assert(
        view_eq(view_of(got->sender_nonce, got->sender_nonce_len), view_str("0123456789abcdef")));
    ck_assert(view_eq(buf_view(&got->content), view_str("the envelope")));
    ck_assert_int_eq(got->digest, DIGEST_SHA256);
    ck_assert_int_eq(got->signer_key.type, KEY_RSA);
    ck_assert(got->self_signed);
    ck_assert_int_eq(got->signing_time, 0);
}
END_TEST

START_TEST(tolerated)
{
    switch (_i) {
    case 0: /* any string type for text (RFC 8894 section 3.2.1 wants PrintableString) */
        forge_attr_find(&f, OID_TRANSACTION_ID)->tag = DER_UTF8_STRING;
        forge_attr_find(&f, OID_MESSAGE_TYPE)->tag = DER_IA5_STRING;
        break;
    case 1:
        forge_attr_find(&f, OID_TRANSACTION_ID)->tag = V_ASN1_T61STRING;
        forge_attr_find(&f, OID_MESSAGE_TYPE)->tag = V_ASN1_NUMERICSTRING;
        break;
    case 2: /* no nonce */
        forge_attr_drop(&f, OID_SENDER_NONCE);
        break;
    case 3: /* attributes nobody here knows, with several values */
        forge_attr_add(&f, "1.2.840.113549.1.9.52", DER_SEQUENCE, view_of(NULL, 0));
        forge_attr_add(&f, "1.2.840.113549.1.9.15", DER_SEQUENCE, view_of(NULL, 0));
        forge_attr_find(&f, "1.2.840.113549.1.9.15")->values = 3;
        break;
    case 4: /* signed in an order that is not DER's */
        f.unsorted = true;
        break;
    case 5: /* sent as BER, signed as DER */
        f.ber_attributes = true;
        break;
    case 6: /* digest parameters absent */
        f.digest_alg = view_of("\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01", 13);
        break;
    case 7: /* sha256WithRSAEncryption */
        f.signature_alg = sigalg_der((struct sigalg){SIG_RSA_PKCS1, DIGEST_SHA256, 0});
        break;
    case 8: /* other certificates, even unreadable ones */
        f.others = SCEP_MAX_CERTS - 1;
        break;
    case 9:
        f.by_ski = true;
        break;
    case 10: /* a time that no clock shows is no time */
        forge_attr_add(&f, OID_SIGNING_TIME, DER_UTC_TIME, view_str("yesterday"));
        break;
    case 11:
        f.no_content = true;
        break;
    case 12:
        forge_attr_find(&f, OID_SENDER_NONCE)->value = view_of(NULL, 0);
        break;
    case 13: /* values in pieces */
        f.unsorted = f.in_pieces = true;
        break;
    }
    accepted();
    if (_i == 2 || _i == 12)
        ck_assert_uint_eq(got->sender_nonce_len, 0);
    ck_assert_int_eq(got->signing_time, 0);
}
END_TEST

/* RFC 8894 section 3.2.1.1: it goes back as it came, so its type is kept. */
START_TEST(transaction_id_keeps_its_type)
{
    static const unsigned tags[] = {DER_PRINTABLE_STRING, DER_UTF8_STRING,
                                    DER_IA5_STRING,       V_ASN1_T61STRING,
                                    V_ASN1_NUMERICSTRING, V_ASN1_VISIBLESTRING};
    forge_attr_find(&f, OID_TRANSACTION_ID)->tag = tags[_i];
    accepted();
    ck_assert_uint_eq(got->transaction_tag, tags[_i]);
    ck_assert_str_eq(got->transaction_id, "A1B2 +/=");
}
END_TEST

/* Ways of Google's connector for ChromeOS, by their rule only. */
START_TEST(odd_message_digest)
{
    const struct scep_rules tolerant = {.digests = ALL_DIGESTS, .odd_message_digest = true};
    uint8_t digest[EVP_MAX_MD_SIZE];
    struct view content = LIT("\x30\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01\xa0\x80"
                              "\x24\x80\x04\x03the\x04\x05 text\0\0\0\0\0\0");
    struct view der = LIT("\x30\x17\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01\xa0\x0a"
                          "\x04\x08the text");
    struct view tlv = LIT("\x04\x0cthe envelope");
    struct view digested = _i == 0 ? tlv : _i == 1 ? view_of(der.p + 2, der.n - 2) : der;
    struct view contents[] = {view_str("the envelope"), der, content};
    f.content = contents[_i % 3];
    f.no_message_digest = true;
    if (_i == 3) { /* of something else altogether */
        f.content = der;
        digested = view_str("another text");
    }
    ck_assert(digest_compute(DIGEST_SHA256, digested, digest, &why));
    forge_attr_add(&f, OID_MESSAGE_DIGEST, DER_OCTET_STRING, view_of(digest, 32));
    refused(REASON_SIGNATURE_BAD, true);
    scep_message_free(got);
    got = NULL;
    struct buf in = forge_build(&f);
    ck_assert_int_eq(scep_parse_by(buf_view(&in), &tolerant, &got, &why), _i != 3);
    ck_assert_int_eq(got->odd_message_digest, _i != 3);
    ck_assert_uint_eq(ERR_peek_error(), 0);
    buf_clear(&in);
}
END_TEST

static bool append_content(struct buf *b, const char *head, size_t head_n, size_t n,
                           const char *tail, size_t tail_n)
{
    static const char blank[32];
    bool ok = buf_append(b, head, head_n);
    for (; ok && n > 0; n -= n < sizeof blank ? n : sizeof blank)
        ok = buf_append(b, blank, n < sizeof blank ? n : sizeof blank);
    return ok && buf_append(b, tail, tail_n);
}

/* What is encoded anew for it is bounded: decoding can take OpenSSL a tenth of a second. */
START_TEST(odd_message_digest_of_a_large_one)
{
    static const char ber[] =
        "\x30\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01\xa0\x80\x24\x80\x04\x82";
    static const char end[] = "\0\0\0\0\0";
    static const char der[] = "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01";
    const struct scep_rules tolerant = {.digests = ALL_DIGESTS, .odd_message_digest = true};
    const size_t n = _i == 0 ? 16000 : 17000;
    uint8_t digest[EVP_MAX_MD_SIZE], head[40];
    struct buf content = {0}, anew = {0};
    size_t at = sizeof ber - 1;
    memcpy(head, ber, at);
    head[at++] = (uint8_t)(n >> 8);
    head[at++] = (uint8_t)n;
    ck_assert(append_content(&content, (char *)head, at, n, end, sizeof end)); /* with its NUL */
    at = 0;
    for (size_t more = n + 4 + 4 + sizeof der - 1, i = 0; i < 3; i++) {
        static const uint8_t tags[] = {0x30, 0xa0, 0x04};
        if (i == 1) {
            memcpy(head + at, der, sizeof der - 1);
            at += sizeof der - 1;
            more = n + 4;
        } else if (i == 2) {
            more = n;
        }
        head[at++] = tags[i];
        head[at++] = 0x82;
        head[at++] = (uint8_t)(more >> 8);
        head[at++] = (uint8_t)more;
    }
    ck_assert(append_content(&anew, (char *)head, at, n, "", 0));
    f.content = buf_view(&content);
    f.no_message_digest = true;
    ck_assert(digest_compute(DIGEST_SHA256, buf_view(&anew), digest, &why));
    forge_attr_add(&f, OID_MESSAGE_DIGEST, DER_OCTET_STRING, view_of(digest, 32));
    struct buf in = forge_build(&f);
    ck_assert_int_eq(scep_parse_by(buf_view(&in), &tolerant, &got, &why), _i == 0);
    if (_i == 1)
        ck_assert_int_eq(why.reason, REASON_SIGNATURE_BAD);
    buf_clear(&in);
    buf_clear(&content);
    buf_clear(&anew);
}
END_TEST

START_TEST(signers)
{
    static const char pss[] =
        "\x30\x41\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a\x30\x34\xa0\x0f\x30\x0d\x06\x09\x60"
        "\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\xa1\x1c\x30\x1a\x06\x09\x2a\x86\x48\x86\xf7\x0d"
        "\x01\x01\x08\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\xa2\x03\x02\x01"
        "\x20";
    switch (_i) {
    case 0:
        f.pss = true;
        f.signature_alg = view_of(pss, sizeof pss - 1);
        break;
    case 1:
        f.key = ec;
        f.cert = ec_cert;
        f.signature_alg = sigalg_der((struct sigalg){SIG_ECDSA, DIGEST_SHA256, 0});
        break;
    case 2:
        f.md = EVP_sha1();
        break;
    case 3:
        f.md = EVP_sha384();
        break;
    case 4:
        f.md = EVP_sha512();
        break;
    case 5:
        f.md = EVP_md5();
        break;
    }
    accepted();
}
END_TEST

START_TEST(limits_reached)
{
    char id[SCEP_MAX_TRANSACTION_ID];
    uint8_t nonce[SCEP_MAX_NONCE] = {0};
    memset(id, 'x', sizeof id);
    forge_attr_find(&f, OID_TRANSACTION_ID)->value = view_of(id, sizeof id);
    forge_attr_find(&f, OID_SENDER_NONCE)->value = view_of(nonce, sizeof nonce);
    accepted();
    ck_assert_uint_eq(strlen(got->transaction_id), sizeof id);
    ck_assert_uint_eq(got->sender_nonce_len, sizeof nonce);
}
END_TEST

START_TEST(signing_time)
{
    forge_attr_add(&f, OID_SIGNING_TIME, DER_UTC_TIME, view_str("261122000000Z"));
    accepted();
    ck_assert_int_eq(got->signing_time, 1795305600);
}
END_TEST

/* ---- refused, and nothing to answer ---- */

START_TEST(no_answer)
{
    char id[SCEP_MAX_TRANSACTION_ID + 1];
    memset(id, 'x', sizeof id);
    struct forge_attr *t = forge_attr_find(&f, OID_TRANSACTION_ID);
    switch (_i) {
    case 0:
        f.outer_oid = OID_ENVELOPED;
        break;
    case 1: /* exactly one SignerInfo */
        f.signers = 0;
        break;
    case 2:
        f.signers = 2;
        break;
    case 3: /* RFC 8894 section 3.2 */
        f.no_attributes = true;
        break;
    case 4:
        forge_attr_drop(&f, OID_TRANSACTION_ID);
        break;
    case 5:
        t->value = view_of(NULL, 0);
        break;
    case 6:
        t->value = view_of(id, sizeof id);
        break;
    case 7:
        t->value = view_of("a\0b", 3);
        break;
    case 8:
        t->value = view_str("a\nb");
        break;
    case 9:
        t->value = view_str("J\xc3\xb6rg");
        break;
    case 10:
        t->tag = DER_OCTET_STRING;
        break;
    case 11:
        t->values = 2;
        break;
    case 12:
        f.no_sid = true; /* the digest's AlgorithmIdentifier in its place */
        break;
    }
    refused(REASON_MESSAGE_MALFORMED, false);
}
END_TEST

/* ---- refused with an answer ---- */

START_TEST(malformed)
{
    uint8_t nonce[SCEP_MAX_NONCE + 1] = {0};
    switch (_i) {
    case 0:
        forge_attr_drop(&f, OID_MESSAGE_TYPE);
        break;
    case 1:
        forge_attr_find(&f, OID_SENDER_NONCE)->value = view_of(nonce, sizeof nonce);
        break;
    case 2:
        forge_attr_find(&f, OID_SENDER_NONCE)->tag = DER_PRINTABLE_STRING;
        break;
    case 3:
        forge_attr_find(&f, OID_SENDER_NONCE)->values = 2;
        break;
    case 4:
        forge_attr_find(&f, OID_MESSAGE_TYPE)->values = 0;
        break;
    case 5: /* twice */
        forge_attr_add(&f, OID_MESSAGE_TYPE, DER_PRINTABLE_STRING, view_str("19"));
        break;
    case 6:
        forge_attr_add(&f, OID_TRANSACTION_ID, DER_PRINTABLE_STRING, view_str("A1B2 +/="));
        break;
    case 7:
        forge_attr_add(&f, OID_SIGNING_TIME, DER_OCTET_STRING, view_str("x"));
        break;
    case 8: /* RFC 5652 section 11.1 */
        f.content_type_value = NULL;
        break;
    case 9:
        f.content_type_value = OID_ENVELOPED;
        break;
    case 10: /* RFC 5652 section 11.2 */
        f.no_message_digest = true;
        break;
    case 11: /* RFC 8894 section 3.2: id-data */
        f.content_oid = f.content_type_value = OID_ENVELOPED;
        break;
    case 12:
        f.others = SCEP_MAX_CERTS;
        break;
    case 13: /* digestAlgorithm SHA-256, signatureAlgorithm sha1WithRSAEncryption */
        f.signature_alg = sigalg_der((struct sigalg){SIG_RSA_PKCS1, DIGEST_SHA1, 0});
        break;
    }
    refused(REASON_MESSAGE_MALFORMED, true);
    if (_i == 5 || _i == 8)
        ck_assert_uint_eq(got->sender_nonce_len, 16);
}
END_TEST

/* Also in attributes that nobody here knows. */
START_TEST(attributes_that_are_no_der)
{
    static const struct {
        const char *oid;
        unsigned tag;
        const char *value;
    } wrong[] = {{"1.2.3.4", DER_BMP_STRING, "x"},
                 {"1.2.3.4", DER_INTEGER, "\xff\xff"},
                 {"1.2.3.4", DER_OID, "\xaa\x80"},
                 {OID_SIGNING_TIME, DER_BMP_STRING, "x"}};
    forge_attr_add(&f, wrong[_i].oid, wrong[_i].tag, view_str(wrong[_i].value));
    refused(REASON_MESSAGE_MALFORMED, false);
    ck_assert_str_eq(why.text, "the signed attributes cannot be decoded");
}
END_TEST

START_TEST(too_many_attributes)
{
    for (int i = 0; i < SCEP_MAX_ATTRIBUTES - 5; i++)
        forge_attr_add(&f, "1.2.3.4", DER_NULL, view_of(NULL, 0));
    accepted();
    teardown();
    forge_attr_add(&f, "1.2.3.4", DER_NULL, view_of(NULL, 0));
    refused(REASON_MESSAGE_MALFORMED, false);
    ck_assert_str_eq(why.text, "33 signed attributes, at most 32 allowed");
}
END_TEST

/* RFC 8894 section 3.2.1.2 */
START_TEST(unknown_type)
{
    static const char *const types[] = {"0", "18", "23", "019", "19 ", "-3", "", "x"};
    forge_attr_find(&f, OID_MESSAGE_TYPE)->value = view_str(types[_i]);
    refused(REASON_MESSAGE_UNSUPPORTED, true);
    ck_assert_str_eq(scep_type_name(got->type), "unknown");
}
END_TEST

START_TEST(bad_signature)
{
    switch (_i) {
    case 0:
        f.bad_signature = true;
        break;
    case 1:
        f.bad_digest = true;
        break;
    case 2: /* RFC 8894 section 2.3: the signer's certificate belongs to the message */
        f.no_certs = true;
        break;
    case 3: /* the key of somebody else */
        f.key = test_rsa_key(2048);
        break;
    case 4: /* ECDSA said, RSA done */
        f.signature_alg = sigalg_der((struct sigalg){SIG_ECDSA, DIGEST_SHA256, 0});
        break;
    }
    refused(REASON_SIGNATURE_BAD, true);
    if (_i == 3)
        EVP_PKEY_free(f.key);
}
END_TEST

START_TEST(refused_algorithm)
{
    switch (_i) {
    case 0: /* SHA-256 with parameters that are an INTEGER */
        f.digest_alg =
            view_of("\x30\x0e\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x02\x01\x00", 16);
        break;
    case 1: /* RIPEMD-160 */
        f.digest_alg = view_of("\x30\x07\x06\x05\x2b\x24\x03\x02\x01", 9);
        break;
    case 2: /* id-ecPublicKey as a signature */
        f.signature_alg = view_of("\x30\x09\x06\x07\x2a\x86\x48\xce\x3d\x02\x01", 11);
        break;
    }
    refused(REASON_ALGORITHM_REFUSED, true);
}
END_TEST

START_TEST(digest_policy)
{
    f.md = EVP_md5();
    ck_assert(!parse(ALG_BIT(DIGEST_SHA256) | ALG_BIT(DIGEST_SHA512)));
    ck_assert_int_eq(why.reason, REASON_ALGORITHM_REFUSED);
    ck_assert_str_eq(why.text, "digest MD5; accepted: SHA-256 SHA-512");
    ck_assert(got && got->replyable);
    ck_assert_int_eq(got->digest, DIGEST_SHA256); /* no answer in what is refused */
}
END_TEST

START_TEST(unsupported_signer_key)
{
    f.key = test_ec_key("secp256k1");
    f.cert = test_cert(f.key, "k1");
    f.signature_alg = sigalg_der((struct sigalg){SIG_ECDSA, DIGEST_SHA256, 0});
    refused(REASON_ALGORITHM_REFUSED, true);
    EVP_PKEY_free(f.key);
    X509_free(f.cert);
}
END_TEST

START_TEST(not_a_message)
{
    static const struct {
        const char *bytes;
        size_t n;
        enum reason reason;
    } in[] = {
        {"", 0, REASON_MESSAGE_TRUNCATED},
        {"hello", 5, REASON_MESSAGE_MALFORMED},
        {"\x30\x05\x02\x01\x00", 5, REASON_MESSAGE_TRUNCATED},
        {"\x30\x00\x00", 3, REASON_MESSAGE_TRUNCATED},
        {"\x30\x00", 2, REASON_MESSAGE_MALFORMED},
        {"\x30\x0b\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02", 13, REASON_MESSAGE_MALFORMED},
    };
    ck_assert(!scep_parse(view_of(in[_i].bytes, in[_i].n), ALL_DIGESTS, &got, &why));
    ck_assert_msg(why.reason == in[_i].reason, "%s", why.text);
    ck_assert_ptr_null(got);
}
END_TEST

START_TEST(too_long)
{
    struct buf in = {0};
    ck_assert(buf_reserve(&in, SCEP_MAX_MESSAGE + 1));
    memset(in.p, 0x30, SCEP_MAX_MESSAGE + 1);
    ck_assert(!scep_parse(view_of(in.p, SCEP_MAX_MESSAGE + 1), ALL_DIGESTS, &got, &why));
    ck_assert_int_eq(why.reason, REASON_MESSAGE_MALFORMED);
    buf_clear(&in);
}
END_TEST

/* ---- CertRep, as a client reads it ---- */

static void make_reply(const char *status)
{
    forge_attr_find(&f, OID_MESSAGE_TYPE)->value = view_str("3");
    forge_attr_add(&f, OID_PKI_STATUS, DER_PRINTABLE_STRING, view_str(status));
    forge_attr_add(&f, OID_RECIPIENT_NONCE, DER_OCTET_STRING, view_str("recipient nonce!"));
}

START_TEST(reply_failure)
{
    make_reply("2");
    forge_attr_add(&f, OID_FAIL_INFO, DER_PRINTABLE_STRING, view_str("4"));
    forge_attr_add(&f, OID_FAIL_TEXT, DER_UTF8_STRING, view_str("no\nway"));
    forge_attr_add(&f, OID_MS_ERROR, DER_PRINTABLE_STRING, view_str("-2147024809"));
    accepted();
    ck_assert(got->is_reply);
    ck_assert_int_eq(got->status, SCEP_FAILURE);
    ck_assert_int_eq(got->fail_info, FAIL_BAD_CERT_ID);
    ck_assert_str_eq(got->fail_text, "no\\x0away");
    ck_assert_int_eq(got->hresult, (int32_t)0x80070057);
    ck_assert(view_eq(view_of(got->recipient_nonce, got->recipient_nonce_len),
                      view_str("recipient nonce!")));
}
END_TEST

START_TEST(reply_malformed)
{
    make_reply(_i == 1 ? "1" : "2"); /* RFC 8894 section 3.2.1.3 */
    if (_i == 0)
        forge_attr_drop(&f, OID_PKI_STATUS);
    if (_i == 2) /* RFC 8894 section 3.2.1.4 */
        forge_attr_add(&f, OID_FAIL_INFO, DER_PRINTABLE_STRING, view_str("5"));
    refused(REASON_MESSAGE_MALFORMED, true);
}
END_TEST

/* ---- everything cut and everything changed ---- */

static const char *const abused[] = {"micromdm-post-PKCSReq-1.der", "jscep-post-CertPoll-1.der"};

/* A copy on the heap, so that the sanitizer sees a read beyond its end. */
static void abuse(struct view v)
{
    uint8_t *copy = malloc(v.n ? v.n : 1);
    ck_assert_ptr_nonnull(copy);
    if (v.n)
        memcpy(copy, v.p, v.n);
    struct scep_message *m = NULL;
    struct err err = {0};
    bool ok = scep_parse(view_of(copy, v.n), ALL_DIGESTS, &m, &err);
    ck_assert(ok ? m != NULL : err.kind == ERR_REFUSED);
    ck_assert(!m || m->replyable);
    ck_assert_uint_eq(ERR_peek_error(), 0);
    scep_message_free(m);
    free(copy);
}

START_TEST(truncated)
{
    struct buf in = vector_load(abused[_i]);
    for (size_t n = 0; n < in.n; n++)
        abuse(view_of(in.p, n));
    buf_clear(&in);
}
END_TEST

START_TEST(changed)
{
    struct buf in = vector_load(abused[_i]);
    for (size_t at = 0; at < in.n; at++) {
        uint8_t was = in.p[at];
        in.p[at] = (uint8_t)(was ^ (1u << (at % 8)));
        abuse(buf_view(&in));
        in.p[at] = 0xff;
        abuse(buf_view(&in));
        in.p[at] = was;
    }
    buf_clear(&in);
}
END_TEST

static TCase *forged_case(void)
{
    TCase *c = tcase_create("forged");
    tcase_add_unchecked_fixture(c, setup_keys, teardown_keys);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, good);
    tcase_add_loop_test(c, tolerated, 0, 14);
    tcase_add_loop_test(c, transaction_id_keeps_its_type, 0, 6);
    tcase_add_loop_test(c, odd_message_digest, 0, 4);
    tcase_add_loop_test(c, odd_message_digest_of_a_large_one, 0, 2);
    tcase_add_loop_test(c, signers, 0, 6);
    tcase_add_test(c, limits_reached);
    tcase_add_test(c, signing_time);
    tcase_add_loop_test(c, no_answer, 0, 13);
    tcase_add_loop_test(c, malformed, 0, 14);
    tcase_add_loop_test(c, attributes_that_are_no_der, 0, 4);
    tcase_add_test(c, too_many_attributes);
    tcase_add_loop_test(c, unknown_type, 0, 8);
    tcase_add_loop_test(c, bad_signature, 0, 5);
    tcase_add_loop_test(c, refused_algorithm, 0, 3);
    tcase_add_test(c, digest_policy);
    tcase_add_test(c, unsupported_signer_key);
    tcase_add_loop_test(c, not_a_message, 0, 6);
    tcase_add_test(c, too_long);
    tcase_add_test(c, reply_failure);
    tcase_add_loop_test(c, reply_malformed, 0, 4);
    return c;
}

int main(void)
{
    Suite *s = suite_create("pkcs7/scep_parse");
    TCase *c = tcase_create("vectors");
    tcase_add_loop_test(c, real_message, 0, sizeof vectors / sizeof vectors[0]);
    tcase_add_test(c, real_message_in_ber);
    suite_add_tcase(s, c);
    suite_add_tcase(s, forged_case());
    c = tcase_create("abused");
    tcase_set_timeout(c, 120);
    tcase_add_loop_test(c, truncated, 0, 2);
    tcase_add_loop_test(c, changed, 0, 2);
    suite_add_tcase(s, c);
    return check_main(s);
}
