/* PasswordRecipientInfo: OpenSSL's CMS reads what we write and writes what we read. */
#include <openssl/cms.h>
#include <openssl/err.h>

#include "check_main.h"
#include "forge.h"
#include "freed.h"
#include "test_keys.h"

#define ALL (~0u)

static const char secret[] = "7QK4-M2XH-9RTD-VN3A";
static const enum cipher ciphers[] = {CIPHER_AES128, CIPHER_AES192, CIPHER_AES256, CIPHER_DES3};

static struct test_keys server, client; /* RSA; EC */
static struct scep_keys server_keys, client_keys;
static struct scep_message *m;
static struct buf message;
static struct scep_certs certs;
static struct err why;

static void setup_keys(void)
{
    EVP_PKEY *ra = test_rsa_key(2048), *device = test_ec_key("P-256");
    test_keys_add(&server, ra, test_cert(ra, "registration"));
    test_keys_add(&client, device, test_cert(device, "device"));
    server_keys = test_keys_scep(&server);
    client_keys = test_keys_scep(&client);
}

static void teardown_keys(void)
{
    test_keys_clear(&server);
    test_keys_clear(&client);
}

static void setup(void)
{
    why = (struct err){0};
    client_keys.password = view_str(secret);
}

static void teardown(void)
{
    scep_message_free(m);
    scep_certs_clear(&certs);
    buf_clear(&message);
    m = NULL;
}

static void parse(void)
{
    scep_message_free(m);
    m = NULL;
    ck_assert_msg(scep_parse(buf_view(&message), ALL, &m, &why), "%s", why.text);
}

/* A PKCSReq of the EC key, of which nothing but the signer matters. */
static void ask(void)
{
    struct forge f;
    forge_init(&f, client.key[0], client.cert[0], view_str("not looked at"));
    f.signature_alg = sigalg_der((struct sigalg){SIG_ECDSA, DIGEST_SHA256, 0});
    message = forge_build(&f);
    parse();
}

/* The CertRep to that, with the server's certificate in it. */
static void answer(enum cipher cipher)
{
    struct certrep r = {.status = SCEP_SUCCESS,
                        .certificate = buf_view(&server.der[0]),
                        .digest = DIGEST_SHA256,
                        .cipher = cipher,
                        .password = view_str(secret),
                        .signer_cert = server.parsed[0]};
    ask();
    buf_clear(&message);
    ck_assert_msg(certrep_build(&r, m, &server_keys, &message, &why), "%s", why.text);
    parse();
}

static BIO *decrypted_by_openssl(struct view envelope, const char *password)
{
    const uint8_t *p = envelope.p;
    CMS_ContentInfo *cms = d2i_CMS_ContentInfo(NULL, &p, (long)envelope.n);
    BIO *plain = BIO_new(BIO_s_mem());
    ck_assert(cms && p == envelope.p + envelope.n);
    bool ok = CMS_decrypt_set1_password(cms, (unsigned char *)(uintptr_t)password, -1) &&
              CMS_decrypt(cms, NULL, NULL, NULL, plain, CMS_BINARY);
    CMS_ContentInfo_free(cms);
    ERR_clear_error();
    if (!ok) {
        BIO_free(plain);
        return NULL;
    }
    return plain;
}

START_TEST(openssl_opens_what_we_write)
{
    answer(ciphers[_i]);
    BIO *plain = decrypted_by_openssl(buf_view(&m->content), secret);
    ck_assert_ptr_nonnull(plain);
    CMS_ContentInfo *inner = d2i_CMS_bio(plain, NULL);
    STACK_OF(X509) *list = CMS_get1_certs(inner);
    ck_assert_int_eq(sk_X509_num(list), 1);
    ck_assert_int_eq(X509_cmp(sk_X509_value(list, 0), server.cert[0]), 0);
    sk_X509_pop_free(list, X509_free);
    CMS_ContentInfo_free(inner);
    BIO_free(plain);
    ck_assert_ptr_null(decrypted_by_openssl(buf_view(&m->content), "another"));
}
END_TEST

/* RFC 5652 section 6.1: version 3; and DER all through, as OpenSSL writes it again. */
START_TEST(is_der_of_version_3)
{
    uint8_t *again = NULL;
    answer(CIPHER_AES128);
    const uint8_t *p = m->content.p;
    CMS_ContentInfo *cms = d2i_CMS_ContentInfo(NULL, &p, (long)m->content.n);
    ck_assert_ptr_nonnull(cms);
    int n = i2d_CMS_ContentInfo(cms, &again);
    ck_assert(n > 0 && view_eq(view_of(again, (size_t)n), buf_view(&m->content)));
    OPENSSL_free(again);
    CMS_ContentInfo_free(cms);
    ck_assert_ptr_nonnull(memmem(m->content.p, 40, "\x02\x01\x03", 3));
}
END_TEST

START_TEST(we_open_what_we_write)
{
    answer(ciphers[_i]);
    ck_assert_msg(certrep_open(m, &client_keys, &certs, &why), "%s", why.text);
    ck_assert_uint_eq(certs.n, 1);
    ck_assert(view_eq(buf_view(&certs.der[0]), buf_view(&server.der[0])));
    ck_assert_uint_eq(ERR_peek_error(), 0);
}
END_TEST

/* A CertRep around an envelope of somebody else's. */
static void signed_reply(struct view envelope)
{
    struct forge f;
    forge_init(&f, server.key[0], server.cert[0], envelope);
    forge_attr_find(&f, OID_MESSAGE_TYPE)->value = view_str("3");
    forge_attr_add(&f, OID_PKI_STATUS, DER_PRINTABLE_STRING, view_str("0"));
    forge_attr_add(&f, OID_RECIPIENT_NONCE, DER_OCTET_STRING, view_str("0123456789abcdef"));
    buf_clear(&message);
    message = forge_build(&f);
    parse();
}

/* An envelope under the password, by OpenSSL, with its own rounds and its own PRF. */
static struct buf by_openssl(struct view content, const EVP_CIPHER *cipher, int rounds)
{
    uint8_t *der = NULL;
    struct buf out = {0};
    BIO *in = BIO_new_mem_buf(content.p, (int)content.n);
    CMS_ContentInfo *cms = CMS_encrypt(NULL, in, cipher, CMS_BINARY | CMS_PARTIAL);
    ck_assert(in && cms);
    ck_assert_ptr_nonnull(CMS_add0_recipient_password(cms, rounds, NID_id_alg_PWRI_KEK, NID_undef,
                                                      (unsigned char *)OPENSSL_strdup(secret), -1,
                                                      NULL));
    ck_assert(CMS_final(cms, in, NULL, CMS_BINARY));
    int n = i2d_CMS_ContentInfo(cms, &der);
    ck_assert(n > 0 && buf_append(&out, der, (size_t)n));
    OPENSSL_free(der);
    CMS_ContentInfo_free(cms);
    BIO_free(in);
    ERR_clear_error();
    return out;
}

static struct buf certs_only(void)
{
    struct view cert = buf_view(&server.der[0]);
    struct buf out = {0};
    ck_assert(scep_certs_build(&cert, 1, view_of(NULL, 0), &out, &why));
    return out;
}

START_TEST(we_open_what_openssl_writes)
{
    const EVP_CIPHER *by[] = {EVP_aes_128_cbc(), EVP_aes_192_cbc(), EVP_aes_256_cbc(),
                              EVP_des_ede3_cbc()};
    struct buf plain = certs_only(), envelope = by_openssl(buf_view(&plain), by[_i], 1 + _i);
    signed_reply(buf_view(&envelope));
    ck_assert_msg(certrep_open(m, &client_keys, &certs, &why), "%s", why.text);
    ck_assert(view_eq(buf_view(&certs.der[0]), buf_view(&server.der[0])));
    buf_clear(&plain);
    buf_clear(&envelope);
}
END_TEST

static void refused(enum reason reason)
{
    ck_assert(!certrep_open(m, &client_keys, &certs, &why));
    ck_assert_int_eq(why.kind, ERR_REFUSED);
    ck_assert_msg(why.reason == reason, "%s: %s", reason_info(why.reason)->code, why.text);
    ck_assert_uint_eq(certs.n, 0);
    ck_assert_uint_eq(ERR_peek_error(), 0);
}

START_TEST(wrong_password)
{
    answer(CIPHER_AES128);
    client_keys.password = view_str("7QK4-M2XH-9RTD-VN3B");
    refused(REASON_MESSAGE_NOT_FOR_US);
}
END_TEST

START_TEST(without_a_password)
{
    answer(CIPHER_AES128);
    client_keys.password = view_of(NULL, 0);
    refused(REASON_MESSAGE_UNSUPPORTED);
}
END_TEST

START_TEST(too_many_rounds)
{
    struct buf plain = certs_only(),
               envelope = by_openssl(buf_view(&plain), EVP_aes_128_cbc(), 1000001);
    signed_reply(buf_view(&envelope));
    refused(REASON_ALGORITHM_REFUSED);
    ck_assert_ptr_nonnull(strstr(why.text, "rounds"));
    buf_clear(&plain);
    buf_clear(&envelope);
}
END_TEST

static size_t length_of(const uint8_t *header, size_t *octets)
{
    size_t n = 0;
    *octets = header[1] & 0x80 ? header[1] & 0x7f : 0;
    for (size_t i = 0; i < *octets; i++)
        n = n << 8 | header[2 + i];
    return *octets ? n : header[1];
}

/* Puts an INTEGER of one octet behind a part, and makes all that is around the part longer. */
static struct buf with_integer(struct view der, size_t part, size_t part_n, uint8_t value)
{
    const uint8_t integer[] = {DER_INTEGER, 1, value};
    size_t at = part + part_n, pos = 0, octets;
    struct buf out = {0};
    ck_assert(buf_append(&out, der.p, at) && buf_append(&out, integer, sizeof integer) &&
              buf_append(&out, der.p + at, der.n - at));
    while (pos < part) {
        size_t n = length_of(der.p + pos, &octets), content = pos + 2 + octets;
        pos = content;
        if (content + n <= part) { /* stands before it */
            pos += n;
            continue;
        }
        n += sizeof integer;
        ck_assert_uint_lt(n, octets ? (size_t)1 << 8 * octets : 128);
        for (size_t i = 1; i <= (octets ? octets : 1); i++, n >>= 8)
            out.p[content - i] = (uint8_t)n;
    }
    return out;
}

/* RFC 8018 appendix A.2: the length of the derived key may be said, and is then that of the key. */
START_TEST(length_of_the_derived_key)
{
    static const struct {
        uint8_t said;
        bool good;
    } lengths[] = {{16, true}, {17, false}, {32, false}, {0, false}, {0xf0, false}};
    static const uint8_t rounds[] = {DER_INTEGER, 2, 0x12, 0x34};
    struct buf plain = certs_only(),
               envelope = by_openssl(buf_view(&plain), EVP_aes_128_cbc(), 0x1234);
    const uint8_t *found = memmem(envelope.p, envelope.n, rounds, sizeof rounds);
    ck_assert_ptr_nonnull(found);
    struct buf longer = with_integer(buf_view(&envelope), (size_t)(found - envelope.p),
                                     sizeof rounds, lengths[_i].said);
    signed_reply(buf_view(&longer));
    if (lengths[_i].good)
        ck_assert_msg(certrep_open(m, &client_keys, &certs, &why), "%s", why.text);
    else
        refused(REASON_ALGORITHM_REFUSED);
    buf_clear(&longer);
    buf_clear(&plain);
    buf_clear(&envelope);
}
END_TEST

/* RFC 8894 section 3.1 has passwords both ways; a server that keeps hashes of them reads none. */
START_TEST(server_refuses_a_request_under_a_password)
{
    struct forge f;
    struct buf csr = test_csr(client.key[0], "device", secret),
               envelope = by_openssl(buf_view(&csr), EVP_aes_128_cbc(), 1000);
    forge_init(&f, client.key[0], client.cert[0], buf_view(&envelope));
    f.signature_alg = sigalg_der((struct sigalg){SIG_ECDSA, DIGEST_SHA256, 0});
    message = forge_build(&f);
    parse();
    ck_assert(!scep_open(m, ALL, ALL, &server_keys, &why));
    ck_assert_int_eq(why.reason, REASON_MESSAGE_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(why.text, "under a password"));
    buf_clear(&csr);
    buf_clear(&envelope);
}
END_TEST

START_TEST(an_ec_key_without_a_password)
{
    struct certrep r = {.status = SCEP_SUCCESS,
                        .certificate = buf_view(&server.der[0]),
                        .signer_cert = server.parsed[0]};
    struct buf none = {0};
    ask();
    ck_assert(!certrep_build(&r, m, &server_keys, &none, &why));
    ck_assert_int_eq(why.reason, REASON_ALGORITHM_REFUSED);
    ck_assert_uint_eq(none.n, 0);
}
END_TEST

/* Whatever octet is another: an answer, and no crash. */
START_TEST(no_change_of_an_octet_crashes)
{
    struct buf plain = certs_only(), envelope = by_openssl(buf_view(&plain), EVP_aes_128_cbc(), 1);
    for (size_t at = 0; at < 200; at++) {
        uint8_t was = envelope.p[at];
        envelope.p[at] ^= (uint8_t)(1u << (at % 8));
        signed_reply(buf_view(&envelope));
        if (certrep_open(m, &client_keys, &certs, &why))
            scep_certs_clear(&certs);
        else
            ck_assert_int_eq(why.kind, ERR_REFUSED);
        why = (struct err){0};
        envelope.p[at] = was;
    }
    buf_clear(&plain);
    buf_clear(&envelope);
}
END_TEST

START_TEST(nothing_given_back_holds_the_password)
{
    answer(CIPHER_AES128);
    ck_assert(certrep_open(m, &client_keys, &certs, &why));
    teardown();
    freed_secret = secret;
    answer(CIPHER_AES128);
    ck_assert(certrep_open(m, &client_keys, &certs, &why));
    teardown();
    freed_secret = NULL;
    ck_assert_int_eq(freed_with_secret, 0);
}
END_TEST

int main(void)
{
    if (!freed_watch())
        return EXIT_FAILURE;
    Suite *s = suite_create("pkcs7/password");
    TCase *c = tcase_create("password");
    tcase_add_unchecked_fixture(c, setup_keys, teardown_keys);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 120);
    tcase_add_loop_test(c, openssl_opens_what_we_write, 0, 4);
    tcase_add_test(c, is_der_of_version_3);
    tcase_add_loop_test(c, we_open_what_we_write, 0, 4);
    tcase_add_loop_test(c, we_open_what_openssl_writes, 0, 4);
    tcase_add_test(c, wrong_password);
    tcase_add_test(c, without_a_password);
    tcase_add_test(c, too_many_rounds);
    tcase_add_loop_test(c, length_of_the_derived_key, 0, 5);
    tcase_add_test(c, server_refuses_a_request_under_a_password);
    tcase_add_test(c, an_ec_key_without_a_password);
    tcase_add_test(c, no_change_of_an_octet_crashes);
    tcase_add_test(c, nothing_given_back_holds_the_password);
    suite_add_tcase(s, c);
    return check_main(s);
}
