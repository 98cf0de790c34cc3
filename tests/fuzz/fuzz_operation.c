/* A whole PKIOperation with a good signature and envelope around any content: first octet the
 * message type, second the endpoint, the rest what a client encrypted.  Every answer must be HTTP
 * 200 with a CertRep that the client can open. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/crypto.h>
#include <openssl/rsa.h>

#include "fuzz.h"
#include "scepd/client.h"
#include "service_fixture.h"

static struct service_fixture fixture;
static struct client_identity identity;
static struct client_ca ca;

static void must(bool ok, const struct err *err)
{
    if (ok)
        return;
    fprintf(stderr, "%s\n", err->text);
    abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct err err = {0};
    struct name subject = {0};
    /* What the fixture keeps stays reachable to the end, so that only real leaks are told. */
    OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL);
    EVP_PKEY *key = EVP_RSA_gen(2048);
    must(service_fixture_init(&fixture, "rsa2048", &err), &err);
    must(name_add(&subject, name_type_by_key("CN"), "fuzz", REASON_SUBJECT_FORBIDDEN, &err), &err);
    must(client_identity_self_signed(key, &subject, time(NULL), &identity, &err), &err);
    must(service_fixture_ca(&fixture, &fixture.endpoint[0], &ca, &err), &err);
    name_clear(&subject);
    EVP_PKEY_free(key);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum scep_type types[] = {SCEP_PKCS_REQ, SCEP_RENEWAL_REQ, SCEP_CERT_POLL,
                                           SCEP_GET_CERT, SCEP_GET_CRL};
    static const uint8_t nonce[16] = {1, 2, 3};
    if (size < 2)
        return 0;
    struct client_message m = {.type = types[data[0] % 5],
                               .transaction_id = "fuzz",
                               .content = view_of(data + 2, size - 2),
                               .digest = DIGEST_SHA256,
                               .cipher = CIPHER_AES128};
    struct buf message = {0};
    struct err err = {0};
    must(client_message_build(&m, &identity, &ca, nonce, &message, &err), &err);
    const struct scep_call call = {.endpoint =
                                       &fixture.endpoint[data[1] % fixture.config->endpoint_n],
                                   .enroll = &fixture.enroll,
                                   .signer = fixture.signer,
                                   .message = buf_view(&message),
                                   .peer = {"192.0.2.1", "fuzz"},
                                   .now = time(NULL)};
    struct scep_answer answer;
    struct client_result result = {0};
    scep_pki_operation(&call, &answer);
    if (answer.status == 200) /* signed by RA or CA, by endpoint */
        client_reply_open(buf_view(&answer.body), &m, &identity, &ca, nonce, &result, &err);
    if (answer.status != 200 || answer.fault)
        abort();
    client_result_clear(&result);
    scep_answer_clear(&answer);
    buf_clear(&message);
    return 0;
}
