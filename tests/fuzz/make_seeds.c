/* make_seeds DIRECTORY: messages that no recorded client sent, all for the one key of seal.h: what
 * corpus/fuzz_diff_message and corpus/fuzz_diff_reply began with.  Built by `ninja
 * tests/fuzz/make_seeds`. */
#include <check.h>
#include <stdio.h>

#include <openssl/ocsp.h>
#include <openssl/x509v3.h>

#include "forge.h"
#include "pkcs7/ocsp.h"
#include "seal.h"
#include "tbs.h"
#include "test_keys.h"

static const char *directory;
static struct test_keys keys; /* the one key, by its certificate; an EC key */
static struct buf csr;

static void save(const char *name, struct buf b)
{
    char path[600];
    snprintf(path, sizeof path, "%s/%s.der", directory, name);
    FILE *f = fopen(path, "wb");
    ck_assert(f && fwrite(b.p, 1, b.n, f) == b.n && fclose(f) == 0);
    buf_clear(&b);
}

/* ---- requests ---- */

struct variant {
    const char *name, *type, *hash, *mgf;
    const EVP_CIPHER *cipher;
    enum digest digest;
    bool ec, pss, by_ski, pieces, ber, others;
};

static void request(const struct variant *v)
{
    struct forge f;
    struct forge_envelope e;
    forge_envelope_init(&e, keys.cert[0], buf_view(&csr));
    e.cipher = v->cipher ? v->cipher : e.cipher;
    e.pieces = v->pieces;
    e.other_kinds = v->others;
    e.others = v->others;
    /* RFC 4055 section 4.1: the default, written out */
    static const char sha1[] = "\x30\x0d\xa0\x0b\x30\x09\x06\x05\x2b\x0e\x03\x02\x1a\x05\x00";
    if (v->hash) {
        e.key_oid = "1.2.840.113549.1.1.7";
        e.oaep_hash = v->hash;
        e.oaep_mgf = v->mgf;
        e.key_params = view_of(sha1, sizeof sha1 - 1);
    }
    struct buf envelope = forge_envelope_build(&e);
    int signer = v->ec ? 1 : 0;
    forge_init(&f, keys.key[signer], keys.cert[signer], buf_view(&envelope));
    f.md = digest_md(v->digest);
    f.by_ski = v->by_ski;
    f.pss = v->pss;
    if (v->ec)
        f.signature_alg = sigalg_der((struct sigalg){SIG_ECDSA, v->digest, 0});
    if (v->pss)
        f.signature_alg = sigalg_der((struct sigalg){SIG_RSA_PSS, v->digest, 32});
    if (v->type)
        forge_attr_find(&f, OID_MESSAGE_TYPE)->value = view_str(v->type);
    struct buf der = forge_build(&f);
    save(v->name, v->ber ? forge_ber(buf_view(&der)) : der);
    if (v->ber)
        buf_clear(&der);
    buf_clear(&envelope);
}

static void requests(void)
{
    static const struct variant variants[] = {
        {.name = "ec", .ec = true, .digest = DIGEST_SHA256},
        {.name = "pss", .pss = true, .digest = DIGEST_SHA256},
        {.name = "oaep", .hash = "SHA1", .mgf = "SHA1", .digest = DIGEST_SHA256},
        {.name = "ski", .by_ski = true, .digest = DIGEST_SHA384},
        {.name = "pieces", .pieces = true, .others = true, .digest = DIGEST_SHA512},
        {.name = "ber", .ber = true, .digest = DIGEST_SHA256},
    };
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++)
        request(&variants[i]);
    struct variant triple = {.name = "renewal-des3", .type = "17", .digest = DIGEST_SHA1};
    triple.cipher = EVP_des_ede3_cbc();
    request(&triple);
    triple = (struct variant){.name = "aes256-md5", .digest = DIGEST_MD5};
    triple.cipher = EVP_aes_256_cbc();
    request(&triple);
}

/* ---- answers ---- */

static struct buf crl_of(void)
{
    X509_CRL *crl = X509_CRL_new();
    ASN1_TIME *t = X509_gmtime_adj(NULL, 0);
    struct buf out = {0};
    uint8_t *der = NULL;
    ck_assert(X509_CRL_set_version(crl, 1) &&
              X509_CRL_set_issuer_name(crl, X509_get_subject_name(keys.cert[0])) &&
              X509_CRL_set1_lastUpdate(crl, t) && X509_CRL_set1_nextUpdate(crl, t) &&
              X509_CRL_sign(crl, keys.key[0], EVP_sha256()) > 0);
    int n = i2d_X509_CRL(crl, &der);
    ck_assert(n > 0 && buf_append(&out, der, (size_t)n));
    OPENSSL_free(der);
    ASN1_TIME_free(t);
    X509_CRL_free(crl);
    return out;
}

static void answer(const char *name, struct certrep *r, int signer)
{
    struct forge f;
    struct err err = {0};
    struct scep_message *m = NULL;
    struct buf out = {0};
    struct scep_keys ours = test_keys_scep(&keys);
    forge_init(&f, keys.key[signer], keys.cert[signer], view_str("not looked at"));
    if (signer)
        f.signature_alg = sigalg_der((struct sigalg){SIG_ECDSA, DIGEST_SHA256, 0});
    struct buf in = forge_build(&f);
    r->digest = DIGEST_SHA256;
    r->cipher = CIPHER_AES128;
    r->signer_cert = keys.parsed[0];
    ck_assert_msg(scep_parse(buf_view(&in), ~0u, &m, &err), "%s", err.text);
    ck_assert_msg(certrep_build(r, m, &ours, &out, &err), "%s", err.text);
    save(name, out);
    scep_message_free(m);
    buf_clear(&in);
}

static void answers(void)
{
    struct buf crl = crl_of(), list = {0};
    struct err err = {0};
    struct view both[] = {buf_view(&keys.der[0]), buf_view(&keys.der[1])};
    struct certrep r = {.status = SCEP_SUCCESS, .certificate = both[1]};
    answer("answer", &r, 0);
    r.password = view_str("7QK4-M2XH-9RTD-VN3A");
    answer("answer-password", &r, 1);
    r = (struct certrep){.status = SCEP_SUCCESS,
                         .certificate = both[1],
                         .extra_certificates = {both[0]},
                         .extra_n = 1};
    answer("answer-chain", &r, 0);
    r = (struct certrep){.status = SCEP_SUCCESS, .crl = buf_view(&crl)};
    answer("answer-crl", &r, 0);
    r = (struct certrep){.status = SCEP_PENDING, .absent_content = true};
    answer("answer-pending", &r, 0);
    r = (struct certrep){.status = SCEP_FAILURE,
                         .fail_info = FAIL_BAD_REQUEST,
                         .fail_text = "no",
                         .hresult = 0x80180007};
    answer("answer-failure", &r, 0);
    ck_assert(scep_certs_build(both, 2, buf_view(&crl), &list, &err));
    save("certs", list);
    buf_clear(&crl);
}

/* ---- what the signer is asked ---- */

/* Operation (with fresh dates), key, digest and padding, hashes, length of a content key. */
static void ask(const char *name, uint8_t op, uint8_t key, uint8_t key_len, struct view data)
{
    const uint8_t head[] = {(uint8_t)(op | 0x80), key, DIGEST_SHA256, 0x11, key_len};
    struct buf b = {0};
    ck_assert(buf_append(&b, head, sizeof head) && buf_append(&b, data.p, data.n));
    save(name, b);
}

static OCSP_CERTID *certid(const EVP_MD *md, X509_NAME *issuer, long serial)
{
    EVP_PKEY *key = seal_get()->rsa;
    X509 *x = X509_new();
    ASN1_INTEGER *number = ASN1_INTEGER_new();
    ck_assert(X509_set_pubkey(x, key) && ASN1_INTEGER_set(number, serial));
    OCSP_CERTID *id = OCSP_cert_id_new(md, issuer, X509_get0_pubkey_bitstr(x), number);
    ck_assert_ptr_nonnull(id);
    ASN1_INTEGER_free(number);
    X509_free(x);
    return id;
}

static void save_request(const char *name, OCSP_REQUEST *q)
{
    struct buf b = {0};
    uint8_t *der = NULL;
    int n = i2d_OCSP_REQUEST(q, &der);
    ck_assert(n > 0 && buf_append(&b, der, (size_t)n));
    save(name, b);
    OPENSSL_free(der);
    OCSP_REQUEST_free(q);
}

/* For fuzz_ocsp's authority, with the serials that it knows and one that it does not. */
static void ocsp_requests(X509_NAME *issuer)
{
    const EVP_MD *const hashes[] = {EVP_sha1(), EVP_sha256(), EVP_sha384(), EVP_sha512(),
                                    EVP_sha224()};
    OCSP_REQUEST *q = OCSP_REQUEST_new(), *one;
    for (long serial = 0x0f; serial <= 0x14; serial++) {
        char name[32];
        one = OCSP_REQUEST_new();
        OCSP_request_add0_id(one, certid(EVP_sha1(), issuer, serial));
        snprintf(name, sizeof name, "ocsp-%02lx", serial);
        save_request(name, one);
        OCSP_request_add0_id(q, certid(hashes[serial % 5], issuer, serial));
    }
    OCSP_request_add1_nonce(q, NULL, 16);
    OCSP_request_set1_name(q, issuer);
    save_request("ocsp-many", q);
    one = OCSP_REQUEST_new();
    OCSP_ONEREQ *entry = OCSP_request_add0_id(one, certid(EVP_sha256(), issuer, 0x10));
    static const char *urls[] = {"http://ocsp.example.org", NULL};
    X509_EXTENSION *x = OCSP_url_svcloc_new(issuer, urls);
    ck_assert(OCSP_ONEREQ_add_ext(entry, x, -1) &&
              OCSP_request_sign(one, keys.cert[0], keys.key[0], EVP_sha256(), NULL, 0));
    X509_EXTENSION_free(x);
    save_request("ocsp-signed", one);
}

/* A ResponseData of the responder that fuzz_signer has. */
static void ask_ocsp(X509_NAME *issuer)
{
    struct pubkey key;
    struct err err = {0};
    uint8_t hash[64], *der = NULL;
    OCSP_CERTID *id = certid(EVP_sha1(), issuer, 0x10);
    int n = i2d_OCSP_CERTID(id, &der);
    ck_assert(pubkey_parse(buf_view(&seal_get()->ec_spki), &key, &err) &&
              digest_compute(DIGEST_SHA1, key.bits_content, hash, &err));
    struct ocsp_single s[3];
    for (size_t i = 0; i < 3; i++)
        s[i] = (struct ocsp_single){.id = view_of(der, (size_t)n),
                                    .status = (enum ocsp_cert_status)i,
                                    .this_update = 1,
                                    .next_update = 2,
                                    .revoked_at = 1700000000,
                                    .reason = 1,
                                    .archive_cutoff = i ? 0 : 1600000000};
    struct ocsp_data d = {.responder_key = view_of(hash, OCSP_KEY_HASH), .single = s};
    for (d.n = 1; d.n <= 3; d.n += 2) {
        struct buf data = {0};
        ck_assert(ocsp_data_build(&d, &data, &err));
        ask(d.n == 1 ? "ocsp-answer" : "ocsp-answers", 5, 2, 1, buf_view(&data));
        buf_clear(&data);
        d.nonce = view_str("0123456789abcdef");
        d.extended_revoke = true;
    }
    OPENSSL_free(der);
    OCSP_CERTID_free(id);
}

static void ask_certificate(struct view issuer, struct view key_id, const struct pubkey *key)
{
    struct err err = {0};
    struct name subject = {0};
    struct eku eku = {.n = 0};
    struct san san = {.n = 0};
    struct buf der = {0};
    ck_assert(
        name_add(&subject, name_type_by_key("CN"), "device", REASON_SUBJECT_FORBIDDEN, &err) &&
        name_add(&subject, name_type_by_key("O"), "Example", REASON_SUBJECT_FORBIDDEN, &err) &&
        san_add(&san, SAN_DNS, "device.example.org", &err) && eku_add(&eku, EKU_CLIENT_AUTH));
    const struct tbs tbs = {.serial = view_str("Aerial-number-16"),
                            .sigalg = {SIG_RSA_PKCS1, DIGEST_SHA256, 0},
                            .issuer = issuer,
                            .not_before = 1795000000,
                            .not_after = 1805000000,
                            .subject = &subject,
                            .key = key,
                            .path_len = -1,
                            .key_usage = KU_DIGITAL_SIGNATURE,
                            .eku = &eku,
                            .authority_key_id = key_id,
                            .san = &san,
                            .crl_url = "http://ca.example.org/a.crl",
                            .issuer_url = "http://ca.example.org/a.crt"};
    ck_assert_msg(tbs_build(&tbs, &der, &err), "%s", err.text);
    ask("certificate", 1, 0, 0, buf_view(&der));
    name_clear(&subject);
    san_clear(&san);
    buf_clear(&der);
}

static void ask_crl(X509_NAME *issuer)
{
    X509_CRL *crl = X509_CRL_new();
    ASN1_TIME *t = X509_gmtime_adj(NULL, 0);
    ASN1_INTEGER *number = ASN1_INTEGER_new();
    uint8_t *der = NULL;
    ck_assert(X509_CRL_set_version(crl, 1) && X509_CRL_set_issuer_name(crl, issuer) &&
              X509_CRL_set1_lastUpdate(crl, t) && X509_CRL_set1_nextUpdate(crl, t) &&
              X509_CRL_add1_ext_i2d(crl, NID_crl_number, number, 0, 0) == 1 &&
              X509_CRL_sign(crl, keys.key[0], EVP_sha256()) > 0);
    int n = i2d_re_X509_CRL_tbs(crl, &der);
    ask("crl", 2, 0, 0, view_of(der, (size_t)n));
    OPENSSL_free(der);
    ASN1_INTEGER_free(number);
    ASN1_TIME_free(t);
    X509_CRL_free(crl);
}

static void ask_decrypt(void)
{
    uint8_t wrapped[512];
    size_t n = sizeof wrapped;
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(keys.key[0], NULL);
    ck_assert(c && EVP_PKEY_encrypt_init(c) > 0 &&
              EVP_PKEY_encrypt(c, wrapped, &n, (const uint8_t *)"0123456789abcdef", 16) > 0);
    ask("decrypt", 4, 1, 16, view_of(wrapped, n));
    EVP_PKEY_CTX_free(c);
}

static void signer_requests(void)
{
    static const char attributes[] =
        "\x31\x4b\x30\x18\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x03\x31\x0b\x06\x09"
        "\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01\x30\x2f\x06\x09\x2a\x86\x48\x86\xf7\x0d"
        "\x01\x09\x04\x31\x22\x04\x20"
        "the digest of a test and no more";
    struct err err = {0};
    struct pubkey ours, device;
    uint8_t key_id[KEY_ID_SIZE], *der = NULL;
    const struct seal *s = seal_get();
    X509_NAME *issuer = X509_NAME_new();
    ck_assert(X509_NAME_add_entry_by_txt(issuer, "CN", MBSTRING_ASC, (const uint8_t *)"Fuzz CA", -1,
                                         -1, 0));
    int n = i2d_X509_NAME(issuer, &der);
    ck_assert(pubkey_parse(buf_view(&s->rsa_spki), &ours, &err) &&
              pubkey_parse(buf_view(&s->ec_spki), &device, &err) &&
              key_identifier(&ours, key_id, &err));
    ask_certificate(view_of(der, (size_t)n), view_of(key_id, sizeof key_id), &device);
    ask_crl(issuer);
    ask("attributes", 3, 1, 0, view_of(attributes, sizeof attributes - 1));
    ask_decrypt();
    ask_ocsp(issuer);
    ocsp_requests(issuer);
    OPENSSL_free(der);
    X509_NAME_free(issuer);
}

/* ---- what the whole request path grants ---- */

static void operation(const char *name, uint8_t endpoint, const char *challenge)
{
    struct buf b = {0}, request = test_csr(seal_get()->rsa, "device", challenge);
    ck_assert(buf_append(&b, (uint8_t[]){0, endpoint}, 2) && buf_append(&b, request.p, request.n));
    save(name, b);
    buf_clear(&request);
}

START_TEST(all)
{
    const struct seal *s = seal_get();
    EVP_PKEY *ec = test_ec_key("P-256");
    EVP_PKEY_up_ref(s->rsa);
    X509_up_ref(s->cert);
    test_keys_add(&keys, s->rsa, s->cert);
    test_keys_add(&keys, ec, test_cert(ec, "ec"));
    csr = test_csr(s->rsa, "seed", "7QK4-M2XH-9RTD-VN3A");
    requests();
    answers();
    signer_requests();
    operation("granted-static", 1, "static-secret");
    operation("granted-open", 2, NULL);
    operation("waiting", 3, NULL);
    buf_clear(&csr);
    test_keys_clear(&keys);
}
END_TEST

/* The helpers that it shares with tests can be called in a test only. */
int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    directory = argv[1];
    Suite *suite = suite_create("seeds");
    TCase *c = tcase_create("all");
    tcase_add_test(c, all);
    suite_add_tcase(suite, c);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
