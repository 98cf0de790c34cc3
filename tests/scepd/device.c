#include "device.h"

#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <time.h>

#include "forge.h"

struct service_fixture pki;
int64_t pki_now;

void device_request(struct device *d, const char *subject, const char *challenge)
{
    struct name name = {0};
    must(name_from_text(subject, &name, &err));
    struct client_wish w = {.subject = &name, .challenge = view_str(challenge)};
    buf_reset(&d->content);
    must(client_csr_build(d->identity.key, &w, &d->content, &err));
    name_clear(&name);
}

struct device device_new_with_key(const char *path, const char *subject, const char *challenge,
                                  EVP_PKEY *key)
{
    struct device d = {.endpoint = service_fixture_endpoint(&pki, path),
                       .type = SCEP_PKCS_REQ,
                       .digest = DIGEST_SHA256,
                       .cipher = CIPHER_AES128,
                       .nonce = {7, 7}};
    struct name name = {0};
    must(service_fixture_ca(&pki, d.endpoint, &d.ca, &err));
    must(name_from_text(subject, &name, &err));
    must(client_identity_self_signed(key, &name, pki_now, &d.identity, &err));
    must(client_transaction_id(key, d.transaction, &err));
    name_clear(&name);
    EVP_PKEY_free(key);
    device_request(&d, subject, challenge);
    return d;
}

struct device device_new(const char *path, const char *subject, const char *challenge)
{
    return device_new_with_key(path, subject, challenge, EVP_RSA_gen(2048));
}

void device_free(struct device *d)
{
    client_ca_clear(&d->ca);
    client_identity_clear(&d->identity);
    buf_wipe(&d->content);
    buf_clear(&d->message);
}

struct scep_answer device_ask(struct device *d, struct client_result *result)
{
    struct client_message m = {d->type,   d->transaction, buf_view(&d->content),
                               d->digest, d->cipher,      d->padding};
    buf_clear(&d->message);
    must(client_message_build(&m, &d->identity, &d->ca, d->nonce, &d->message, &err));
    struct scep_call call = {.endpoint = d->endpoint,
                             .enroll = &pki.enroll,
                             .signer = pki.signer,
                             .message = buf_view(&d->message),
                             .peer = {"192.0.2.7", "test"},
                             .now = pki_now};
    struct scep_answer a;
    scep_pki_operation(&call, &a);
    ck_assert_msg(!a.fault, "%s", a.detail);
    ck_assert_int_eq(a.status, 200);
    ck_assert_str_eq(a.content_type, "application/x-pki-message");
    must(client_reply_open(buf_view(&a.body), &m, &d->identity, &d->ca, d->nonce, result, &err));
    return a;
}

struct scep_answer device_ask_oddly(struct device *d, const struct odd *odd)
{
    const uint8_t *p = d->ca.recipient->der.p, *q = d->identity.cert.p;
    X509 *recipient = d2i_X509(NULL, &p, (long)d->ca.recipient->der.n);
    X509 *signer = d2i_X509(NULL, &q, (long)d->identity.cert.n);
    struct forge_envelope e;
    struct forge m;
    forge_envelope_init(&e, recipient, buf_view(&d->content));
    e.others = odd->others;
    struct buf envelope = forge_envelope_build(&e);
    forge_init(&m, d->identity.key, signer, buf_view(&envelope));
    forge_attr_find(&m, OID_TRANSACTION_ID)->value = view_str(d->transaction);
    forge_attr_find(&m, OID_SENDER_NONCE)->value = odd->nonce;
    if (!odd->nonce.n)
        forge_attr_drop(&m, OID_SENDER_NONCE);
    if (odd->signing_time)
        forge_attr_add(&m, OID_SIGNING_TIME, DER_GENERALIZED_TIME, view_str(odd->signing_time));
    buf_clear(&d->message);
    d->message = forge_build(&m);
    buf_clear(&envelope);
    X509_free(recipient);
    X509_free(signer);
    struct scep_call call = {.endpoint = d->endpoint,
                             .enroll = &pki.enroll,
                             .signer = pki.signer,
                             .message = buf_view(&d->message),
                             .peer = {"192.0.2.7", "test"},
                             .now = pki_now};
    struct scep_answer a;
    scep_pki_operation(&call, &a);
    ck_assert_msg(!a.fault, "%s", a.detail);
    ck_assert_int_eq(a.status, 200);
    return a;
}

char *expect_issued(struct device *d, enum enroll_verdict verdict)
{
    struct client_result r = {0};
    struct scep_answer a = device_ask(d, &r);
    ck_assert_msg(r.status == SCEP_SUCCESS, "%s", r.fail_text);
    ck_assert_int_eq(a.verdict, verdict);
    ck_assert_uint_eq(r.certs.n, 1);
    struct cert *c = NULL;
    must(cert_parse(buf_view(&r.certs.der[0]), &c, &err));
    must(cert_signature_verify(c, pki.rooms.authority[0]->public_key, &err));
    char *serial = strdup(a.serial);
    ck_assert_uint_eq(strlen(serial), 32);
    cert_free(c);
    client_result_clear(&r);
    scep_answer_clear(&a);
    return serial;
}

void expect_refused(struct device *d, enum reason reason)
{
    struct client_result r = {0};
    struct scep_answer a = device_ask(d, &r);
    ck_assert_int_eq(r.status, SCEP_FAILURE);
    ck_assert_msg(a.reason == reason, "%s instead of %s: %s", reason_info(a.reason)->code,
                  reason_info(reason)->code, a.detail);
    ck_assert_int_eq(r.fail_info, reason_info(reason)->fail_info);
    ck_assert_int_eq((uint32_t)r.hresult, reason_info(reason)->hresult);
    ck_assert_ptr_nonnull(strstr(r.fail_text, reason_info(reason)->code));
    client_result_clear(&r);
    scep_answer_clear(&a);
}

void expect_pending(struct device *d)
{
    struct client_result r = {0};
    struct scep_answer a = device_ask(d, &r);
    ck_assert_int_eq(r.status, SCEP_PENDING);
    ck_assert_int_eq(a.verdict, ENROLL_PEND);
    client_result_clear(&r);
    scep_answer_clear(&a);
}

void one_time(char secret[CHALLENGE_TEXT_MAX])
{
    struct challenge_wish w = {.ttl = 3600, .uses = 1, .now = pki_now};
    struct store_challenge stored;
    must(challenge_new(pki.store, &pki.rooms.challenge_key, &w, secret, &stored, &err));
}

static bool first_request(void *ctx, const struct store_request *r)
{
    snprintf(ctx, 32, "%s", r->id);
    return false;
}

void waiting_request(char id[32])
{
    must(store_request_list(pki.store, REQUEST_PENDING, first_request, id, &err));
}

void pki_setup(void)
{
    pki_now = time(NULL);
    must(service_fixture_init(&pki, "rsa2048", &err));
}

void pki_teardown(void)
{
    service_fixture_clear(&pki);
}
