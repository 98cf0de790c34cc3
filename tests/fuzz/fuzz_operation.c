/* A whole PKIOperation with a good signature and envelope around any content: first octet the
 * message type, second the endpoint (and its first bit whether the transaction is known), the rest
 * what a client encrypted, requests signed by the client's key.  Every answer must be HTTP 200 with
 * a CertRep that the client can open, and what it brings a certificate of this CA and none itself.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "fuzz.h"
#include "client/client.h"
#include "seal.h"
#include "service_fixture.h"

#define KNOWN 0x80
#define STORE_MAX 20000 /* messages to one store */

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
    EVP_PKEY *key = seal_get()->rsa;
    must(service_fixture_init(&fixture, "rsa2048", &err), &err);
    must(name_add(&subject, name_type_by_key("CN"), "fuzz", REASON_SUBJECT_FORBIDDEN, &err), &err);
    must(client_identity_self_signed(key, &subject, time(NULL), &identity, &err), &err);
    must(service_fixture_ca(&fixture, &fixture.endpoint[0], &ca, &err), &err);
    name_clear(&subject);
    return 0;
}

/* OpenSSL's opinion of what was issued. */
static void judge(struct view der)
{
    const uint8_t *p = der.p, *q = fixture.rooms.authority[0]->cert->der.p;
    X509 *x = d2i_X509(NULL, &p, (long)der.n);
    X509 *issuer = d2i_X509(NULL, &q, (long)fixture.rooms.authority[0]->cert->der.n);
    if (!x || !issuer || X509_check_ca(x) != 0 || X509_verify(x, X509_get0_pubkey(issuer)) != 1 ||
        X509_check_issued(issuer, x) != X509_V_OK)
        abort();
    X509_free(x);
    X509_free(issuer);
    ERR_clear_error();
}

bool fuzz_change(struct view in, struct random *r, struct buf *out)
{
    struct buf csr = {0};
    if (in.n < 2 || !seal_csr(seal_get(), view_of(in.p + 2, in.n - 2), r, &csr))
        return false;
    bool ok = buf_append(out, in.p, 2) && buf_append(out, csr.p, csr.n);
    if (ok && random_one_in(r, 10))
        out->p[random_below(r, 2)] = (uint8_t)random_below(r, 256);
    buf_clear(&csr);
    return ok;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum scep_type types[] = {SCEP_PKCS_REQ, SCEP_RENEWAL_REQ, SCEP_CERT_POLL,
                                           SCEP_GET_CERT, SCEP_GET_CRL};
    static const uint8_t nonce[16] = {1, 2, 3};
    static unsigned long number;
    char transaction[32] = "fuzz";
    struct err err = {0};
    if (size < 2)
        return 0;
    if (++number % STORE_MAX == 0) {
        must(service_fixture_fresh_store(&fixture, &err), &err);
        fixture.enroll.store = fixture.store;
    }
    if (!(data[1] & KNOWN))
        snprintf(transaction, sizeof transaction, "fuzz-%lu", number);
    struct client_message m = {.type = types[data[0] % 5],
                               .transaction_id = transaction,
                               .content = view_of(data + 2, size - 2),
                               .digest = DIGEST_SHA256,
                               .cipher = CIPHER_AES128};
    struct buf message = {0};
    must(client_message_build(&m, &identity, &ca, nonce, &message, &err), &err);
    const struct scep_call call = {
        .endpoint = &fixture.endpoint[(data[1] & ~KNOWN) % fixture.config->endpoint_n],
        .enroll = &fixture.enroll,
        .signer = fixture.signer,
        .message = buf_view(&message),
        .peer = {"192.0.2.1", "fuzz"},
        .now = time(NULL)};
    struct scep_answer answer;
    struct client_result result = {0};
    scep_pki_operation(&call, &answer);
    if (answer.status == 200 && /* signed by RA or CA, by endpoint */
        client_reply_open(buf_view(&answer.body), &m, &identity, &ca, nonce, &result, &err) &&
        result.status == SCEP_SUCCESS && result.certs.n && m.type != SCEP_GET_CERT)
        judge(buf_view(&result.certs.der[0]));
    if (answer.status != 200 || answer.fault)
        abort();
    client_result_clear(&result);
    scep_answer_clear(&answer);
    buf_clear(&message);
    return 0;
}
