/* The client against answers that it must not take. */
#include <openssl/x509v3.h>

#include "check_main.h"
#include "forge.h"
#include "client/client.h"
#include "test_keys.h"

static struct test_keys server, stranger;
static struct scep_keys server_keys, stranger_keys;
static struct client_identity who;
static struct client_ca ca;
static struct client_message asked;
static struct buf request, csr;
static struct client_result result;
static struct err why;
static const uint8_t nonce[16] = "sixteen octets!";

static void setup(void)
{
    EVP_PKEY *key = test_rsa_key(2048), *other = test_rsa_key(2048), *device = test_rsa_key(2048);
    struct name name = {0};
    why = (struct err){0};
    test_keys_add(&server, key, test_cert(key, "CA"));
    test_keys_add(&stranger, other, test_cert(other, "CA"));
    server_keys = test_keys_scep(&server);
    stranger_keys = test_keys_scep(&stranger);
    ck_assert(name_from_text("CN=device", &name, &why));
    ck_assert(client_identity_self_signed(device, &name, 1795305600, &who, &why));
    csr = test_csr(device, "device", "secret");
    ck_assert(cert_parse(buf_view(&server.der[0]), &ca.issuer, &why) &&
              cert_parse(buf_view(&server.der[0]), &ca.recipient, &why) &&
              cert_parse(buf_view(&server.der[0]), &ca.reply_signer, &why));
    asked = (struct client_message){.type = SCEP_PKCS_REQ,
                                    .transaction_id = "T-1",
                                    .content = buf_view(&csr),
                                    .digest = DIGEST_SHA256,
                                    .cipher = CIPHER_AES128};
    ck_assert(client_message_build(&asked, &who, &ca, nonce, &request, &why));
    name_clear(&name);
    EVP_PKEY_free(device);
}

static void teardown(void)
{
    client_result_clear(&result);
    client_ca_clear(&ca);
    client_identity_clear(&who);
    test_keys_clear(&server);
    test_keys_clear(&stranger);
    buf_clear(&request);
    buf_clear(&csr);
}

/* The server's answer, for the client to read under what it sent. */
static bool answered(const struct certrep *how, const struct scep_keys *by)
{
    struct scep_message *m = NULL;
    struct buf reply = {0};
    ck_assert(scep_parse(buf_view(&request), ~0u, &m, &why));
    ck_assert_msg(certrep_build(how, m, by, &reply, &why), "%s", why.text);
    bool ok = client_reply_open(buf_view(&reply), &asked, &who, &ca, nonce, &result, &why);
    scep_message_free(m);
    buf_clear(&reply);
    return ok;
}

static struct certrep success(void)
{
    return (struct certrep){.status = SCEP_SUCCESS,
                            .certificate = buf_view(&server.der[0]),
                            .digest = DIGEST_SHA256,
                            .cipher = CIPHER_AES128,
                            .signer_cert = server.parsed[0]};
}

static void refused(const char *text)
{
    ck_assert_msg(strstr(why.text, text) != NULL, "'%s' without '%s'", why.text, text);
}

START_TEST(good)
{
    struct certrep r = success();
    ck_assert_msg(answered(&r, &server_keys), "%s", why.text);
    ck_assert_int_eq(result.status, SCEP_SUCCESS);
    ck_assert_uint_eq(result.certs.n, 1);
}
END_TEST

/* RFC 8894 section 3.2.1.5 */
START_TEST(recipient_nonce_of_another_message)
{
    struct certrep r = success();
    uint8_t *at = memmem(request.p, request.n, nonce, 16);
    ck_assert_ptr_nonnull(at);
    struct buf other = {0};
    uint8_t another[16] = "another sixteen";
    ck_assert(client_message_build(&asked, &who, &ca, another, &other, &why));
    buf_clear(&request);
    request = other;
    ck_assert(!answered(&r, &server_keys));
    refused("recipientNonce");
}
END_TEST

/* RFC 8894 section 3.2.1.1 */
START_TEST(another_transaction)
{
    struct certrep r = success();
    asked.transaction_id = "T-2";
    ck_assert(!answered(&r, &server_keys));
    refused("another transactionID");
}
END_TEST

START_TEST(signed_by_a_stranger_of_the_same_name)
{
    struct certrep r = success();
    r.signer_cert = stranger.parsed[0];
    ck_assert(!answered(&r, &stranger_keys));
    refused("not signed by a certificate that GetCACert gave");
}
END_TEST

/* RFC 8894 section 3.5.2: SHA-256 before SHA-1, AES before Triple DES, and what old servers have.
 */
START_TEST(choice_of_algorithms)
{
    static const struct {
        unsigned digests, ciphers;
        enum digest digest;
        enum cipher cipher;
    } from[] = {
        {ALG_BIT(DIGEST_SHA1) | ALG_BIT(DIGEST_SHA256) | ALG_BIT(DIGEST_SHA512),
         ALG_BIT(CIPHER_DES3) | ALG_BIT(CIPHER_AES128), DIGEST_SHA256, CIPHER_AES128},
        {ALG_BIT(DIGEST_SHA1) | ALG_BIT(DIGEST_SHA512), ALG_BIT(CIPHER_AES128), DIGEST_SHA512,
         CIPHER_AES128},
        {ALG_BIT(DIGEST_SHA1), ALG_BIT(CIPHER_DES3), DIGEST_SHA1, CIPHER_DES3},
        {0, 0, DIGEST_SHA1, CIPHER_DES3},
    };
    for (size_t i = 0; i < sizeof from / sizeof *from; i++) {
        struct client_caps caps = {.digests = from[i].digests, .ciphers = from[i].ciphers};
        enum digest d;
        enum cipher c;
        client_choose(&caps, &d, &c);
        ck_assert_int_eq(d, from[i].digest);
        ck_assert_int_eq(c, from[i].cipher);
    }
}
END_TEST

/* RFC 8894 section 2.2: an RA that the CA did not sign is nobody. */
START_TEST(intermediate_certificates_are_verified)
{
    ck_assert_msg(client_ca_verify(&ca, &why), "%s", why.text);
    cert_free(ca.recipient);
    ck_assert(cert_parse(buf_view(&stranger.der[0]), &ca.recipient, &why));
    ck_assert(!client_ca_verify(&ca, &why));
    refused("not signed by a CA that came with it");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("client/client");
    TCase *c = tcase_create("client");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, good);
    tcase_add_test(c, recipient_nonce_of_another_message);
    tcase_add_test(c, another_transaction);
    tcase_add_test(c, signed_by_a_stranger_of_the_same_name);
    tcase_add_test(c, choice_of_algorithms);
    tcase_add_test(c, intermediate_certificates_are_verified);
    suite_add_tcase(s, c);
    return check_main(s);
}
