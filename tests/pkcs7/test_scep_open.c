/* The inner layer of pkiMessages: what clients encrypted, against OpenSSL's CMS; then forged
 * envelopes. */
#include <openssl/cms.h>
#include <openssl/err.h>
#include <openssl/provider.h>
#include <openssl/rsa.h>

#include "check_main.h"
#include "forge.h"
#include "freed.h"
#include "test_keys.h"
#include "vectors.h"

#define ALL (~0u)

static struct test_keys server;
static struct scep_keys keys;
static struct scep_message *m;
static struct err why;

static void reset(void)
{
    scep_message_free(m);
    m = NULL;
    why = (struct err){0};
}

/* ---- messages of real clients ---- */

static const struct {
    const char *file;
    enum cipher cipher;
    bool challenge;
} vectors[] = {
    {"certmonger-get-PKCSReq-1.der", CIPHER_AES256, true},
    {"jscep-get-CertPoll-1.der", CIPHER_AES128, false},
    {"jscep-get-GetCRL-1.der", CIPHER_AES128, false},
    {"jscep-get-GetCert-1.der", CIPHER_AES128, false},
    {"jscep-get-PKCSReq-1.der", CIPHER_AES128, true},
    {"jscep-post-CertPoll-1.der", CIPHER_AES128, false},
    {"jscep-post-GetCRL-1.der", CIPHER_AES128, false},
    {"jscep-post-GetCert-1.der", CIPHER_AES128, false},
    {"jscep-post-PKCSReq-1.der", CIPHER_AES128, true},
    {"micromdm-post-PKCSReq-1.der", CIPHER_DES, true},
    {"micromdm-post-RenewalReq-1.der", CIPHER_DES, true},
    {"sscep-post-CertPoll-1.der", CIPHER_AES128, false},
    {"sscep-post-GetCRL-1.der", CIPHER_AES128, false},
    {"sscep-post-GetCert-1.der", CIPHER_AES128, false},
    {"sscep-post-PKCSReq-1.der", CIPHER_AES128, true},
    {"strongswan-post-CertPoll-1.der", CIPHER_AES128, false},
    {"strongswan-post-PKCSReq-1.der", CIPHER_AES128, true},
    {"strongswan-post-RenewalReq-1.der", CIPHER_AES128, false},
    {"strongswan6-post-CertPoll-1.der", CIPHER_AES128, false},
    {"strongswan6-post-PKCSReq-1.der", CIPHER_AES128, true},
    {"strongswan6-post-RenewalReq-1.der", CIPHER_AES128, false},
};

static void setup_ca(void)
{
    test_keys_add(&server, vector_key("ca.key"), vector_cert("ca.pem"));
    keys = test_keys_scep(&server);
    ERR_clear_error(); /* of reading PEM */
}

static void parse_vector(const char *file)
{
    struct buf in = vector_load(file);
    ck_assert_msg(scep_parse(buf_view(&in), ALL, &m, &why), "%s: %s", file, why.text);
    buf_clear(&in);
}

static struct view name_view(const X509_NAME *name, uint8_t **der)
{
    *der = NULL;
    int n = i2d_X509_NAME(name, der);
    ck_assert_int_gt(n, 0);
    return view_of(*der, (size_t)n);
}

static void same_csr(struct view plain)
{
    const uint8_t *p = plain.p;
    uint8_t *der;
    X509_REQ *req = d2i_X509_REQ(NULL, &p, (long)plain.n);
    ck_assert_ptr_nonnull(req);
    ck_assert(view_eq(buf_view(&m->csr->der), plain));
    ck_assert(view_eq(m->csr->subject_der, name_view(X509_REQ_get_subject_name(req), &der)));
    OPENSSL_free(der);
    int at = X509_REQ_get_attr_by_NID(req, NID_pkcs9_challengePassword, -1);
    ck_assert_int_eq(m->csr->has_challenge, at >= 0);
    if (at >= 0) {
        ASN1_TYPE *t = X509_ATTRIBUTE_get0_type(X509_REQ_get_attr(req, at), 0);
        ASN1_STRING *s = t->value.asn1_string;
        ck_assert(view_eq(buf_view(&m->csr->challenge),
                          view_of(ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s))));
    }
    X509_REQ_free(req);
}

/* OpenSSL's CMS decrypts to the same octets. */
static void same_as_openssl(void)
{
    const uint8_t *p = m->content.p;
    CMS_ContentInfo *cms = d2i_CMS_ContentInfo(NULL, &p, (long)m->content.n);
    BIO *out = BIO_new(BIO_s_mem());
    char *bytes;
    ck_assert(cms && out);
    ck_assert_int_eq(CMS_decrypt(cms, server.key[0], server.cert[0], NULL, out, CMS_BINARY), 1);
    long n = BIO_get_mem_data(out, &bytes);
    ck_assert(view_eq(view_of(bytes, (size_t)n), buf_view(&m->plain)));
    if (m->csr)
        same_csr(view_of(bytes, (size_t)n));
    CMS_ContentInfo_free(cms);
    BIO_free(out);
    ERR_clear_error();
}

START_TEST(real_message)
{
    bool des = vectors[_i].cipher == CIPHER_DES;
    OSSL_PROVIDER *usual = OSSL_PROVIDER_load(NULL, "default");
    OSSL_PROVIDER *legacy = des ? OSSL_PROVIDER_load(NULL, "legacy") : NULL;
    ck_assert(usual && (!des || legacy));
    parse_vector(vectors[_i].file);
    ck_assert_msg(scep_open(m, ALL, ALL, &keys, &why), "%s: %s", vectors[_i].file, why.text);
    ck_assert_int_eq(m->cipher, vectors[_i].cipher);
    ck_assert_int_eq(m->padding, PADDING_PKCS1);
    ck_assert_int_eq(m->key, 0);
    ck_assert_uint_eq(ERR_peek_error(), 0);
    switch (m->type) {
    case SCEP_PKCS_REQ:
    case SCEP_RENEWAL_REQ:
        ck_assert_ptr_nonnull(m->csr);
        ck_assert_int_eq(m->csr->has_challenge, vectors[_i].challenge);
        break;
    case SCEP_CERT_POLL:
        ck_assert(m->issuer.n > 2 && m->subject.n > 2);
        break;
    case SCEP_GET_CERT:
    case SCEP_GET_CRL:
        ck_assert(m->issuer.n > 2 && m->serial.n > 0);
        break;
    case SCEP_CERT_REP:
        ck_abort();
    }
    same_as_openssl();
    reset();
    OSSL_PROVIDER_unload(usual);
    OSSL_PROVIDER_unload(legacy);
}
END_TEST

/* Without OpenSSL's legacy provider there is no DES: a refusal, not a failure. */
START_TEST(des_not_available)
{
    parse_vector("micromdm-post-PKCSReq-1.der");
    ck_assert(!scep_open(m, ALL, ALL, &keys, &why));
    ck_assert_int_eq(why.reason, REASON_ALGORITHM_REFUSED);
    ck_assert_uint_eq(ERR_peek_error(), 0);
    reset();
}
END_TEST

START_TEST(issuer_of_getcert)
{
    uint8_t *der;
    parse_vector("sscep-post-GetCert-1.der");
    ck_assert(scep_open(m, ALL, ALL, &keys, &why));
    ck_assert(view_eq(m->issuer, name_view(X509_get_subject_name(server.cert[0]), &der)));
    OPENSSL_free(der);
    reset();
}
END_TEST

/* ---- forged envelopes ---- */

static EVP_PKEY *device, *other;
static X509 *device_cert;
static struct buf csr;
static struct forge f;
static struct forge_envelope e;

static void setup_keys(void)
{
    EVP_PKEY *a = test_rsa_key(2048), *b = test_rsa_key(2048);
    test_keys_add(&server, a, test_cert(a, "authority"));
    test_keys_add(&server, b, test_cert(b, "registration"));
    keys = test_keys_scep(&server);
    device = test_rsa_key(2048);
    other = test_rsa_key(2048);
    device_cert = test_cert(device, "device");
    csr = test_csr(device, "device", "secret");
}

static void teardown_keys(void)
{
    EVP_PKEY_free(device);
    EVP_PKEY_free(other);
    X509_free(device_cert);
    buf_clear(&csr);
    test_keys_clear(&server);
}

static void setup(void)
{
    forge_init(&f, device, device_cert, view_of(NULL, 0));
    forge_envelope_init(&e, server.cert[1], buf_view(&csr));
}

/* Signs `content` and parses the message. */
static void send(struct view content)
{
    f.content = content;
    struct buf in = forge_build(&f);
    reset();
    ck_assert_msg(scep_parse(buf_view(&in), ALL, &m, &why), "%s", why.text);
    buf_clear(&in);
}

static bool opened(unsigned ciphers)
{
    struct buf content = forge_envelope_build(&e);
    send(buf_view(&content));
    buf_clear(&content);
    bool ok = scep_open(m, ciphers, ALL, &keys, &why);
    ck_assert_uint_eq(ERR_peek_error(), 0);
    return ok;
}

static void refused(enum reason reason)
{
    ck_assert(!opened(ALL));
    ck_assert_int_eq(why.kind, ERR_REFUSED);
    ck_assert_msg(why.reason == reason, "%s: %s", reason_info(why.reason)->code, why.text);
    ck_assert_ptr_null(m->csr);
}

static void set_type(const char *number)
{
    forge_attr_find(&f, OID_MESSAGE_TYPE)->value = view_str(number);
}

START_TEST(good)
{
    ck_assert_msg(opened(ALL), "%s", why.text);
    ck_assert_int_eq(m->key, 1);
    ck_assert_int_eq(m->cipher, CIPHER_AES128);
    ck_assert_int_eq(m->padding, PADDING_PKCS1);
    ck_assert(view_eq(buf_view(&m->csr->challenge), view_str("secret")));
    ck_assert(view_eq(buf_view(&m->csr->der), buf_view(&csr)));
    reset();
}
END_TEST

START_TEST(tolerated)
{
    switch (_i) {
    case 0:
        e.recipient = server.cert[0];
        break;
    case 1:
        e.by_ski = true;
        break;
    case 2:
        e.key_params = view_of(NULL, 0);
        break;
    case 3:
        e.others = SCEP_MAX_RECIPIENTS - 1;
        break;
    case 4: /* RecipientInfos of other kinds are passed over */
        e.other_kinds = true;
        break;
    case 5:
        e.pieces = true;
        break;
    case 6:
        e.cipher = EVP_aes_192_cbc();
        break;
    case 7:
        e.cipher = EVP_aes_256_cbc();
        break;
    case 8:
        e.cipher = EVP_des_ede3_cbc();
        break;
    case 9:
        set_type("17");
        break;
    }
    ck_assert_msg(opened(ALL), "%s", why.text);
    ck_assert_ptr_nonnull(m->csr);
    reset();
}
END_TEST

/* Proxies encrypt to every certificate that GetCACert gave; an endpoint may refuse that. */
START_TEST(one_recipient)
{
    const struct scep_rules rules = {.ciphers = ALL, .csr_digests = ALL, .one_recipient = true};
    e.others = (unsigned)_i;
    struct buf content = forge_envelope_build(&e);
    send(buf_view(&content));
    buf_clear(&content);
    ck_assert_int_eq(scep_open_by(m, &rules, &keys, &why), _i == 0);
    if (_i) {
        ck_assert_int_eq(why.reason, REASON_MESSAGE_MALFORMED);
        ck_assert_ptr_nonnull(strstr(why.text, "exactly one"));
    }
    reset();
}
END_TEST

START_TEST(ber)
{
    struct buf content = forge_envelope_build(&e), indefinite = forge_ber(buf_view(&content));
    send(buf_view(&indefinite));
    ck_assert_msg(scep_open(m, ALL, ALL, &keys, &why), "%s", why.text);
    ck_assert_ptr_nonnull(m->csr);
    buf_clear(&content);
    buf_clear(&indefinite);
    reset();
}
END_TEST

/* OAEP as OpenSSL writes it. */
static struct buf cms_oaep(const EVP_MD *hash, const EVP_MD *mgf, const char *label)
{
    uint8_t *der = NULL;
    struct buf out = {0};
    BIO *in = BIO_new_mem_buf(csr.p, (int)csr.n);
    CMS_ContentInfo *cms = CMS_encrypt(NULL, in, EVP_aes_128_cbc(), CMS_BINARY | CMS_PARTIAL);
    ck_assert(in && cms);
    CMS_RecipientInfo *ri = CMS_add1_recipient_cert(cms, server.cert[0], CMS_KEY_PARAM);
    EVP_PKEY_CTX *c = CMS_RecipientInfo_get0_pkey_ctx(ri);
    ck_assert(c && EVP_PKEY_CTX_set_rsa_padding(c, RSA_PKCS1_OAEP_PADDING) > 0);
    ck_assert(EVP_PKEY_CTX_set_rsa_oaep_md(c, hash) > 0 &&
              EVP_PKEY_CTX_set_rsa_mgf1_md(c, mgf) > 0);
    if (label)
        ck_assert(EVP_PKEY_CTX_set0_rsa_oaep_label(c, OPENSSL_strdup(label), (int)strlen(label)) >
                  0);
    ck_assert(CMS_final(cms, in, NULL, CMS_BINARY));
    int n = i2d_CMS_ContentInfo(cms, &der);
    ck_assert(n > 0 && buf_append(&out, der, (size_t)n));
    OPENSSL_free(der);
    CMS_ContentInfo_free(cms);
    BIO_free(in);
    ERR_clear_error();
    return out;
}

START_TEST(oaep)
{
    const EVP_MD *const hashes[] = {EVP_sha1(), EVP_sha224(), EVP_sha256(), EVP_sha384(),
                                    EVP_sha512()};
    /* The same hash twice; then MGF1 on SHA-1, as Java does it unless told otherwise. */
    const EVP_MD *mgf = _i < 5 ? hashes[_i] : hashes[0];
    struct buf content = cms_oaep(hashes[_i % 5], mgf, NULL);
    send(buf_view(&content));
    ck_assert_msg(scep_open(m, ALL, ALL, &keys, &why), "%s", why.text);
    ck_assert_int_eq(m->padding, PADDING_OAEP);
    ck_assert_ptr_nonnull(m->csr);
    buf_clear(&content);
    reset();
}
END_TEST

START_TEST(oaep_refused)
{
    struct buf content = _i == 0   ? cms_oaep(EVP_sha256(), EVP_md5(), NULL)
                         : _i == 1 ? cms_oaep(EVP_sha256(), EVP_sha256(), "label")
                                   : cms_oaep(EVP_md5(), EVP_md5(), NULL);
    send(buf_view(&content));
    ck_assert(!scep_open(m, ALL, ALL, &keys, &why));
    ck_assert_int_eq(why.reason, REASON_ALGORITHM_REFUSED);
    buf_clear(&content);
    reset();
}
END_TEST

START_TEST(oaep_params_absent)
{
    e.key_oid = "1.2.840.113549.1.1.7";
    e.key_params = view_of(NULL, 0);
    e.oaep_hash = e.oaep_mgf = "SHA1";
    ck_assert_msg(opened(ALL), "%s", why.text);
    reset();
    e.key_params = view_of("\x02\x01\x00", 3);
    refused(REASON_MESSAGE_MALFORMED);
    reset();
}
END_TEST

/* ---- what anybody can see is told exactly ---- */

START_TEST(malformed)
{
    switch (_i) {
    case 0:
        e.no_content = true;
        break;
    case 1:
        e.cut_block = true;
        break;
    case 2:
        e.iv_n = 8;
        break;
    case 3: /* RFC 8894 section 3.2.2 */
        e.content_oid = OID_SIGNED;
        break;
    case 4:
        e.others = SCEP_MAX_RECIPIENTS;
        break;
    }
    refused(REASON_MESSAGE_MALFORMED);
    reset();
}
END_TEST

START_TEST(not_an_envelope)
{
    send(buf_view(&csr)); /* RFC 8894 section 3.1: never unencrypted */
    ck_assert(!scep_open(m, ALL, ALL, &keys, &why));
    ck_assert_int_eq(why.reason, REASON_MESSAGE_MALFORMED);
    f.no_content = true;
    send(view_of(NULL, 0));
    ck_assert(!scep_open(m, ALL, ALL, &keys, &why));
    ck_assert_int_eq(why.reason, REASON_MESSAGE_MALFORMED);
    ck_assert_str_eq(why.text, "the message has no envelope");
    reset();
}
END_TEST

START_TEST(algorithms)
{
    switch (_i) {
    case 0: /* RC2 */
        e.cipher_oid = "1.2.840.113549.3.2";
        break;
    case 1: /* AES-GCM */
        e.cipher_oid = "2.16.840.1.101.3.4.1.6";
        break;
    case 2: /* key transport by ElGamal */
        e.key_oid = "1.3.14.7.2.1.1";
        break;
    }
    refused(REASON_ALGORITHM_REFUSED);
    reset();
}
END_TEST

START_TEST(cipher_policy)
{
    e.cipher = EVP_des_ede3_cbc();
    ck_assert(!opened(ALG_BIT(CIPHER_AES128) | ALG_BIT(CIPHER_AES256)));
    ck_assert_int_eq(why.reason, REASON_ALGORITHM_REFUSED);
    ck_assert_str_eq(why.text, "cipher DES3; accepted: AES-128 AES-256");
    ck_assert_int_eq(m->cipher, CIPHER_AES128); /* no answer in what is refused */
    reset();
}
END_TEST

START_TEST(for_somebody_else)
{
    X509 *stranger = test_cert(other, "stranger");
    e.recipient = stranger;
    refused(REASON_MESSAGE_NOT_FOR_US);
    ck_assert_ptr_nonnull(strstr(why.text, "stranger"));
    X509_free(stranger);
    e.recipient = server.cert[0];
    e.no_rid = true; /* then the key's algorithm stands in its place */
    refused(REASON_MESSAGE_MALFORMED);
    reset();
}
END_TEST

START_TEST(signer_gone)
{
    server.out_of_reach = true;
    ck_assert(!opened(ALL));
    ck_assert_int_eq(why.kind, ERR_SIGNER);
    server.out_of_reach = false;
    reset();
}
END_TEST

START_TEST(reply_is_no_request)
{
    set_type("3");
    forge_attr_add(&f, OID_PKI_STATUS, DER_PRINTABLE_STRING, view_str("0"));
    ck_assert(!opened(ALL));
    ck_assert_int_eq(why.reason, REASON_MESSAGE_UNSUPPORTED);
    reset();
}
END_TEST

/* ---- what only the key can see is never told apart ---- */

static void indistinguishable(void)
{
    static const char text[] = "the envelope does not open with our key to what its type says";
    refused(REASON_MESSAGE_NOT_FOR_US);
    ck_assert_str_eq(why.text, text);
    reset();
}

/* RFC 8894 sections 3.2 and 7.1: what is no such message is refused, and is no oracle. */
START_TEST(one_answer)
{
    struct buf tail = {0}, strange = {0};
    switch (_i) {
    case 0:
        e.bad_padding = true;
        break;
    case 1:
        e.bad_key_padding = true;
        break;
    case 2: /* a content key of another size, rightly padded */
        e.cipher_oid = "2.16.840.1.101.3.4.1.42";
        break;
    case 3: /* right padding, no PKCS#10 */
        e.plain = view_str("hello");
        break;
    case 4:
        e.plain = view_of("\x30\x03\x02\x01\x00", 5);
        break;
    case 5:
        e.plain = view_of(NULL, 0);
        break;
    case 6: /* a PKCS#10 with something behind it */
        ck_assert(buf_append(&tail, csr.p, csr.n) && buf_append(&tail, "x", 1));
        e.plain = buf_view(&tail);
        break;
    case 7:
        e.plain = view_of(csr.p, csr.n - 1);
        break;
    case 8: /* a request that does not verify, of another key than the message's signer: this is
               what cutting and pasting in somebody else's envelope gives */
        strange = test_csr(other, "device", "secret");
        strange.p[strange.n - 1] ^= 1;
        e.plain = buf_view(&strange);
        break;
    case 9: /* the same with a challenge that cannot be read */
        strange = test_csr(other, "device", "secret");
        uint8_t *at = memmem(strange.p, strange.n, "secret", 6);
        ck_assert_ptr_nonnull(at);
        *at = 0xff;
        e.plain = buf_view(&strange);
        break;
    }
    indistinguishable();
    buf_clear(&tail);
    buf_clear(&strange);
}
END_TEST

/* The signer of the message wrote the request: he is told what is wrong. */
START_TEST(own_request_refused)
{
    csr.p[csr.n - 1] ^= 1;
    e.plain = buf_view(&csr);
    refused(REASON_CSR_SIGNATURE);
    csr.p[csr.n - 1] ^= 1;
    uint8_t *at = memmem(csr.p, csr.n, "device", 6);
    ck_assert_ptr_nonnull(at);
    *at = '\n';
    refused(REASON_CSR_SIGNATURE);
    *at = 'd';
    reset();
}
END_TEST

/* Also when the request verifies under a key of its own, as a renewal's does. */
START_TEST(new_key_refused)
{
    struct buf strange = test_csr(other, "dev\nice", NULL);
    e.plain = buf_view(&strange);
    refused(REASON_SUBJECT_FORBIDDEN);
    buf_clear(&strange);
    strange = test_csr(other, "device", NULL);
    e.plain = buf_view(&strange);
    ck_assert_msg(opened(ALL), "%s", why.text);
    ck_assert_ptr_nonnull(m->csr);
    buf_clear(&strange);
    reset();
}
END_TEST

/* The same with a key, or an algorithm, that is of no kind that is taken: OpenSSL verifies what we
 * do not. */
START_TEST(new_key_of_another_kind)
{
    static const struct {
        const char *type, *group;
        enum reason reason;
    } kinds[] = {{"ED25519", NULL, REASON_KEY_TYPE},
                 {"ED448", NULL, REASON_KEY_TYPE},
                 {"EC", "secp256k1", REASON_KEY_TYPE},
                 {"EC", "P-224", REASON_KEY_TYPE}};
    EVP_PKEY *key = kinds[_i].group ? EVP_EC_gen(kinds[_i].group)
                                    : EVP_PKEY_Q_keygen(NULL, NULL, kinds[_i].type);
    ck_assert_ptr_nonnull(key);
    struct buf strange = test_csr(key, "device", "secret");
    e.plain = buf_view(&strange);
    refused(kinds[_i].reason);
    strange.p[strange.n - 1] ^= 1; /* nobody is shown to have written this one */
    indistinguishable();
    buf_clear(&strange);
    EVP_PKEY_free(key);
    reset();
}
END_TEST

/* RSA with SHA-3, which nobody asks for here. */
START_TEST(new_key_with_another_algorithm)
{
    X509_REQ *req = X509_REQ_new();
    uint8_t *der = NULL;
    ck_assert(X509_REQ_set_pubkey(req, other) && X509_REQ_sign(req, other, EVP_sha3_256()) > 0);
    int n = i2d_X509_REQ(req, &der);
    ck_assert_int_gt(n, 0);
    e.plain = view_of(der, (size_t)n);
    refused(REASON_ALGORITHM_REFUSED);
    der[n - 1] ^= 1;
    indistinguishable();
    OPENSSL_free(der);
    X509_REQ_free(req);
    reset();
}
END_TEST

/* Every change of one octet of the envelope's last part (IV and content) gives one answer, or the
 * request as it was. */
START_TEST(changed_content)
{
    struct buf content = forge_envelope_build(&e);
    for (size_t at = content.n - csr.n - 40; at < content.n; at += 7) {
        content.p[at] ^= 0x20;
        send(buf_view(&content));
        bool ok = scep_open(m, ALL, ALL, &keys, &why);
        bool structure = why.reason == REASON_MESSAGE_MALFORMED ||
                         why.reason == REASON_MESSAGE_TRUNCATED ||
                         why.reason == REASON_ALGORITHM_REFUSED;
        bool own = why.reason == REASON_CSR_SIGNATURE || why.reason == REASON_CSR_MALFORMED ||
                   why.reason == REASON_SUBJECT_FORBIDDEN || why.reason == REASON_KEY_TYPE;
        ck_assert_msg(!ok, "octet %zu", at);
        ck_assert_msg(structure || own || why.reason == REASON_MESSAGE_NOT_FOR_US, "octet %zu: %s",
                      at, why.text);
        content.p[at] ^= 0x20;
    }
    buf_clear(&content);
    reset();
}
END_TEST

/* The same under another signer, as an attacker would: never anything about the plaintext. */
START_TEST(changed_content_by_another)
{
    X509 *attacker = test_cert(other, "attacker");
    struct buf content = forge_envelope_build(&e);
    f.key = other;
    f.cert = attacker;
    for (size_t at = content.n - csr.n + 16; at < content.n; at += 5) {
        content.p[at] ^= 0x20;
        send(buf_view(&content));
        ck_assert(!scep_open(m, ALL, ALL, &keys, &why));
        ck_assert_msg(why.reason == REASON_MESSAGE_NOT_FOR_US, "octet %zu: %s", at, why.text);
        content.p[at] ^= 0x20;
    }
    buf_clear(&content);
    X509_free(attacker);
    reset();
}
END_TEST

/* ---- CertPoll, GetCert, GetCRL ---- */

START_TEST(poll)
{
    struct buf pair = {0};
    struct view issuer = view_of("\x30\x02\x31\x00", 4), subject = view_of("\x30\x00", 2);
    ck_assert(scep_issuer_and_subject_build(issuer, subject, &pair, &why));
    set_type("20");
    e.plain = buf_view(&pair);
    ck_assert_msg(opened(ALL), "%s", why.text);
    ck_assert(view_eq(m->issuer, issuer) && view_eq(m->subject, subject));
    /* RFC 8894 section 3.3.3: the transaction is what counts.  Whatever was sent is accepted, and a
     * wrong padding looks like any other nonsense. */
    e.plain = view_str("CN=old sscep");
    ck_assert(opened(ALL) && m->issuer.n == 0 && m->subject.n == 0);
    e.plain = buf_view(&pair);
    e.bad_padding = true;
    ck_assert(opened(ALL) && m->issuer.n == 0 && m->subject.n == 0);
    e.bad_padding = false;
    e.bad_key_padding = true;
    ck_assert(opened(ALL) && m->issuer.n == 0 && m->subject.n == 0);
    buf_clear(&pair);
    reset();
}
END_TEST

/* RFC 8894 section 3.3.4 */
START_TEST(get)
{
    struct buf pair = {0};
    struct view issuer = view_of("\x30\x02\x31\x00", 4), serial = view_of("\x00\x8f\x01", 3);
    ck_assert(scep_issuer_and_serial_build(issuer, serial, &pair, &why));
    set_type(_i == 0 ? "21" : "22");
    e.plain = buf_view(&pair);
    ck_assert_msg(opened(ALL), "%s", why.text);
    ck_assert(view_eq(m->issuer, issuer) && view_eq(m->serial, serial));
    /* unreadable is unknown */
    e.plain = view_str("hello");
    refused(REASON_CERTIFICATE_UNKNOWN);
    ck_assert_uint_eq(m->issuer.n, 0);
    e.plain = buf_view(&pair);
    e.bad_padding = true;
    refused(REASON_CERTIFICATE_UNKNOWN);
    ck_assert_uint_eq(m->serial.n, 0);
    buf_clear(&pair);
    reset();
}
END_TEST

/* ---- everything cut and everything changed ---- */

/* Signed anew each time, so that the change reaches the envelope. */
static void abuse(struct view content)
{
    send(content);
    bool ok = scep_open(m, ALL, ALL, &keys, &why);
    ck_assert(ok || why.kind == ERR_REFUSED);
    ck_assert_uint_eq(ERR_peek_error(), 0);
}

START_TEST(abused)
{
    static const char *const files[] = {"sscep-post-GetCert-1.der", "jscep-post-CertPoll-1.der"};
    setup_ca();
    device = test_rsa_key(2048);
    device_cert = test_cert(device, "device");
    forge_init(&f, device, device_cert, view_of(NULL, 0));
    set_type(_i == 0 ? "21" : "20");
    parse_vector(files[_i]);
    struct buf content = m->content;
    m->content = (struct buf){0};
    for (size_t n = 0; n < content.n; n += 3)
        abuse(view_of(content.p, n));
    for (size_t at = 0; at < content.n; at++) {
        content.p[at] ^= (uint8_t)(1u << (at % 8));
        abuse(buf_view(&content));
        content.p[at] ^= (uint8_t)(1u << (at % 8));
    }
    buf_clear(&content);
    reset();
    EVP_PKEY_free(device);
    X509_free(device_cert);
    test_keys_clear(&server);
}
END_TEST

/* Opened; refused because of the CSR; refused because nothing shows who wrote it. */
START_TEST(nothing_given_back_holds_the_challenge)
{
    EVP_PKEY *signer = _i == 2 ? other : device;
    X509 *cert = test_cert(signer, "device");
    struct buf plain = test_csr(device, "device", "SESAME-SESAME");
    if (_i > 0)
        plain.p[plain.n - 9] ^= 1; /* in its signature */
    forge_init(&f, signer, cert, view_of(NULL, 0));
    forge_envelope_init(&e, server.cert[1], buf_view(&plain));
    struct buf content = forge_envelope_build(&e);
    send(buf_view(&content));
    freed_secret = "SESAME-SESAME";
    ck_assert_int_eq(scep_open(m, ALL, ALL, &keys, &why), _i == 0);
    reset();
    freed_secret = NULL;
    ck_assert_int_eq(freed_with_secret, 0);
    buf_clear(&content);
    buf_clear(&plain);
    X509_free(cert);
}
END_TEST

static TCase *forged_case(void)
{
    TCase *c = tcase_create("forged");
    tcase_add_unchecked_fixture(c, setup_keys, teardown_keys);
    tcase_add_checked_fixture(c, setup, NULL);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, good);
    tcase_add_loop_test(c, tolerated, 0, 10);
    tcase_add_loop_test(c, one_recipient, 0, 2);
    tcase_add_test(c, ber);
    tcase_add_loop_test(c, oaep, 0, 10);
    tcase_add_loop_test(c, oaep_refused, 0, 3);
    tcase_add_test(c, oaep_params_absent);
    tcase_add_loop_test(c, malformed, 0, 5);
    tcase_add_test(c, not_an_envelope);
    tcase_add_loop_test(c, algorithms, 0, 3);
    tcase_add_test(c, cipher_policy);
    tcase_add_test(c, for_somebody_else);
    tcase_add_test(c, signer_gone);
    tcase_add_test(c, reply_is_no_request);
    tcase_add_loop_test(c, one_answer, 0, 10);
    tcase_add_test(c, own_request_refused);
    tcase_add_test(c, new_key_refused);
    tcase_add_loop_test(c, new_key_of_another_kind, 0, 4);
    tcase_add_test(c, new_key_with_another_algorithm);
    tcase_add_test(c, changed_content);
    tcase_add_test(c, changed_content_by_another);
    tcase_add_loop_test(c, nothing_given_back_holds_the_challenge, 0, 3);
    tcase_add_test(c, poll);
    tcase_add_loop_test(c, get, 0, 2);
    return c;
}

static void teardown_ca(void)
{
    test_keys_clear(&server);
}

int main(void)
{
    if (!freed_watch())
        return EXIT_FAILURE;
    Suite *s = suite_create("pkcs7/scep_open");
    TCase *c = tcase_create("vectors");
    tcase_add_checked_fixture(c, setup_ca, teardown_ca);
    tcase_add_loop_test(c, real_message, 0, sizeof vectors / sizeof vectors[0]);
    tcase_add_test(c, des_not_available);
    tcase_add_test(c, issuer_of_getcert);
    suite_add_tcase(s, c);
    suite_add_tcase(s, forged_case());
    c = tcase_create("abused");
    tcase_set_timeout(c, 240);
    tcase_add_loop_test(c, abused, 0, 2);
    suite_add_tcase(s, c);
    return check_main(s);
}
