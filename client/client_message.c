/* The client's side of a message: key, request, signer certificate, and what the answer must be. */
#include "client/client.h"

#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

static bool crypto_failed(struct err *err, const char *what)
{
    unsigned long code = ERR_get_error();
    ERR_clear_error();
    return err_set(err, ERR_CRYPTO, "%s: %s", what,
                   code ? ERR_reason_error_string(code) : "failed");
}

/* ---- struct scep_keys of one identity ---- */

/* Whatever recipient is named: a client has but one key. */
static int find_key(void *ctx, const struct scep_recipient *who)
{
    return 0;
}

static bool decrypt_key(void *ctx, int key, struct key_wrap wrap, struct view encrypted,
                        uint8_t *content_key, size_t key_len, struct err *err)
{
    struct client_identity *i = ctx;
    uint8_t plain[1024];
    size_t n = sizeof plain;
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(i->key, NULL);
    bool oaep = wrap.padding == PADDING_OAEP;
    bool ready =
        c && EVP_PKEY_decrypt_init(c) > 0 &&
        EVP_PKEY_CTX_set_rsa_padding(c, oaep ? RSA_PKCS1_OAEP_PADDING : RSA_PKCS1_PADDING) > 0 &&
        (!oaep || (EVP_PKEY_CTX_set_rsa_oaep_md(c, digest_md(wrap.hash)) > 0 &&
                   EVP_PKEY_CTX_set_rsa_mgf1_md(c, digest_md(wrap.mgf)) > 0));
    bool ok = ready && EVP_PKEY_decrypt(c, plain, &n, encrypted.p, encrypted.n) > 0 && n == key_len;
    if (ok)
        memcpy(content_key, plain, key_len);
    EVP_PKEY_CTX_free(c);
    OPENSSL_cleanse(plain, sizeof plain);
    return ok || crypto_failed(err, "decrypting the reply's key");
}

static bool sign_attributes(void *ctx, int key, enum digest digest, struct view attributes,
                            struct buf *signature, struct err *err)
{
    struct client_identity *i = ctx;
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    size_t n = (size_t)EVP_PKEY_get_size(i->key);
    bool ok = c && buf_reserve(signature, n) &&
              EVP_DigestSignInit(c, NULL, digest_md(digest), NULL, i->key) > 0 &&
              EVP_DigestSign(c, signature->p, &n, attributes.p, attributes.n) > 0;
    if (ok)
        signature->n = n;
    EVP_MD_CTX_free(c);
    return ok || crypto_failed(err, "signing the message");
}

struct scep_keys client_keys(struct client_identity *i)
{
    return (struct scep_keys){.ctx = i,
                              .find = find_key,
                              .decrypt = decrypt_key,
                              .sign = sign_attributes,
                              .password = i->password};
}

void client_identity_clear(struct client_identity *i)
{
    EVP_PKEY_free(i->key);
    buf_clear(&i->cert);
    *i = (struct client_identity){0};
}

/* ---- requests and throw-away certificates ---- */

static X509_NAME *to_x509_name(const struct name *name, struct err *err)
{
    struct der w;
    struct buf der = {0};
    der_init(&w, 256);
    name_build(name, &w);
    if (!der_take(&w, &der, err))
        return NULL;
    const unsigned char *p = der.p;
    X509_NAME *x = d2i_X509_NAME(NULL, &p, (long)der.n);
    if (!x)
        crypto_failed(err, "subject");
    buf_clear(&der);
    return x;
}

/* SHA-256 for RSA and P-256, SHA-384 for P-384. */
static const EVP_MD *signing_digest(EVP_PKEY *key)
{
    return EVP_PKEY_get_id(key) == EVP_PKEY_EC && EVP_PKEY_get_bits(key) > 256 ? EVP_sha384()
                                                                               : EVP_sha256();
}

bool client_identity_self_signed(EVP_PKEY *key, const struct name *subject, int64_t now,
                                 struct client_identity *out, struct err *err)
{
    X509 *x = X509_new();
    X509_NAME *name = to_x509_name(subject, err);
    uint8_t random[16];
    unsigned char *der = NULL;
    BIGNUM *serial = NULL;
    struct client_identity i = {0};
    bool ok = false;
    if (!name)
        goto out;
    int n = -1;
    if (x && RAND_bytes(random, sizeof random) == 1 &&
        (serial = BN_bin2bn(random, sizeof random, NULL)) && BN_set_bit(serial, 126) &&
        BN_to_ASN1_INTEGER(serial, X509_get_serialNumber(x)) &&
        X509_set_version(x, X509_VERSION_3) &&
        ASN1_TIME_set(X509_getm_notBefore(x), (time_t)now - 3600) &&
        ASN1_TIME_set(X509_getm_notAfter(x), (time_t)now + 7 * 86400) &&
        X509_set_subject_name(x, name) && X509_set_issuer_name(x, name) &&
        X509_set_pubkey(x, key) && X509_sign(x, key, signing_digest(key)))
        n = i2d_X509(x, &der);
    if (n <= 0) {
        crypto_failed(err, "self-signed certificate");
        goto out;
    }
    if (!buf_append(&i.cert, der, (size_t)n) || !EVP_PKEY_up_ref(key)) {
        err_memory(err);
        goto out;
    }
    i.key = key;
    *out = i;
    i = (struct client_identity){0};
    ok = true;
out:
    buf_clear(&i.cert);
    OPENSSL_free(der);
    BN_free(serial);
    X509_NAME_free(name);
    X509_free(x);
    return ok;
}

static bool add_extension(STACK_OF(X509_EXTENSION) * list, int nid, bool critical, struct der *w,
                          struct err *err)
{
    struct buf value = {0};
    if (!der_take(w, &value, err))
        return false;
    ASN1_OCTET_STRING *os = ASN1_OCTET_STRING_new();
    X509_EXTENSION *e = NULL;
    bool ok = os && ASN1_OCTET_STRING_set(os, value.p, (int)value.n) &&
              (e = X509_EXTENSION_create_by_NID(NULL, nid, critical, os)) &&
              sk_X509_EXTENSION_push(list, e);
    if (!ok)
        X509_EXTENSION_free(e);
    ASN1_OCTET_STRING_free(os);
    buf_clear(&value);
    return ok || err_memory(err);
}

static bool wished_extensions(const struct client_wish *w, STACK_OF(X509_EXTENSION) * list,
                              struct err *err)
{
    struct der d;
    if (w->key_usage) {
        der_init(&d, 16);
        der_named_bits(&d, w->key_usage);
        if (!add_extension(list, NID_key_usage, true, &d, err))
            return false;
    }
    if (w->eku && w->eku->n) {
        der_init(&d, 64);
        size_t mark = der_mark(&d);
        for (size_t i = w->eku->n; i-- > 0;)
            der_oid_text(&d, w->eku->oid[i]);
        der_wrap(&d, DER_SEQUENCE, mark);
        if (!add_extension(list, NID_ext_key_usage, false, &d, err))
            return false;
    }
    if (w->san && w->san->n) {
        der_init(&d, 256);
        san_build(w->san, &d);
        if (!add_extension(list, NID_subject_alt_name, false, &d, err))
            return false;
    }
    return true;
}

bool client_csr_build(EVP_PKEY *key, const struct client_wish *w, struct buf *out, struct err *err)
{
    X509_REQ *q = X509_REQ_new();
    X509_NAME *name = to_x509_name(w->subject, err);
    STACK_OF(X509_EXTENSION) *list = sk_X509_EXTENSION_new_null();
    unsigned char *der = NULL;
    int n = -1;
    bool ok = false;
    if (!name || !list || !q || !wished_extensions(w, list, err))
        goto out;
    int type = ASN1_PRINTABLE_type(w->challenge.p, (int)w->challenge.n) == V_ASN1_PRINTABLESTRING
                   ? V_ASN1_PRINTABLESTRING
                   : V_ASN1_UTF8STRING;
    if (X509_REQ_set_version(q, X509_REQ_VERSION_1) && X509_REQ_set_subject_name(q, name) &&
        X509_REQ_set_pubkey(q, key) &&
        (w->challenge.n == 0 || X509_REQ_add1_attr_by_NID(q, NID_pkcs9_challengePassword, type,
                                                          w->challenge.p, (int)w->challenge.n)) &&
        (sk_X509_EXTENSION_num(list) == 0 || X509_REQ_add_extensions(q, list)) &&
        X509_REQ_sign(q, key, signing_digest(key)))
        n = i2d_X509_REQ(q, &der);
    if (n <= 0)
        crypto_failed(err, "certification request");
    else
        ok = buf_append(out, der, (size_t)n) || err_memory(err);
out:
    OPENSSL_clear_free(der, der ? (size_t)n : 0);
    sk_X509_EXTENSION_pop_free(list, X509_EXTENSION_free);
    X509_NAME_free(name);
    X509_REQ_free(q);
    return ok;
}

bool client_renewal_csr_build(EVP_PKEY *key, const struct cert *old, struct view challenge,
                              struct buf *out, struct err *err)
{
    struct name name = {0};
    struct extensions x = {0};
    bool ok = name_parse(old->subject, REASON_SUBJECT_FORBIDDEN, &name, err) &&
              (old->extensions.n == 0 ||
               extensions_parse(old->extensions, REASON_MESSAGE_MALFORMED, &x, err));
    struct client_wish wish = {
        .subject = &name, .san = x.has_san ? &x.san : NULL, .challenge = challenge};
    ok = ok && client_csr_build(key, &wish, out, err);
    name_clear(&name);
    extensions_clear(&x);
    return ok;
}

bool client_transaction_id(EVP_PKEY *key, char out[41], struct err *err)
{
    unsigned char *der = NULL;
    uint8_t hash[64];
    int n = i2d_PUBKEY(key, &der);
    bool ok = n > 0 && digest_compute(DIGEST_SHA256, view_of(der, (size_t)n), hash, err);
    for (int i = 0; ok && i < 20; i++)
        snprintf(out + 2 * i, 3, "%02X", hash[i]);
    OPENSSL_free(der);
    return n > 0 ? ok : crypto_failed(err, "public key");
}

/* ---- messages ---- */

bool client_message_build(const struct client_message *m, struct client_identity *who,
                          const struct client_ca *ca, const uint8_t nonce[16], struct buf *out,
                          struct err *err)
{
    struct scep_keys keys = client_keys(who);
    struct scep_request r = {
        .type = m->type,
        .transaction_id = m->transaction_id,
        .nonce = nonce,
        .digest = m->digest,
        .cipher = m->cipher,
        .padding = m->padding,
        .content = m->content,
        .signer_cert = buf_view(&who->cert),
        .recipient = ca->recipient,
    };
    return scep_request_build(&r, &keys, out, err);
}

/* RFC 8894 sections 3.2.1 and 3.2.1.5: what a CertRep must carry to be the answer to our message.
 */
static bool check_reply(const struct scep_message *reply, const struct client_message *m,
                        const struct client_ca *ca, const uint8_t nonce[16], struct err *err)
{
    if (!reply->is_reply)
        return err_set(err, ERR_IO, "the answer is no CertRep but messageType %d",
                       (int)reply->type);
    if (!view_eq(buf_view(&reply->signer->der), buf_view(&ca->reply_signer->der)) &&
        !view_eq(buf_view(&reply->signer->der), buf_view(&ca->issuer->der)))
        return err_set(err, ERR_IO,
                       "the answer is not signed by a certificate that GetCACert gave");
    if (strcmp(reply->transaction_id, m->transaction_id) != 0)
        return err_set(err, ERR_IO, "the answer has another transactionID");
    if (reply->recipient_nonce_len != 16 || memcmp(reply->recipient_nonce, nonce, 16) != 0)
        return err_set(err, ERR_IO, "the answer's recipientNonce is not our senderNonce");
    return true;
}

bool client_reply_open(struct view reply, const struct client_message *m,
                       struct client_identity *who, const struct client_ca *ca,
                       const uint8_t nonce[16], struct client_result *out, struct err *err)
{
    struct scep_message *r = NULL;
    struct client_result result = {0};
    struct scep_keys keys = client_keys(who);
    bool ok = scep_parse(reply, ~0u, &r, err) && check_reply(r, m, ca, nonce, err);
    if (ok) {
        result.status = r->status;
        result.fail_info = r->fail_info;
        result.hresult = r->hresult;
        snprintf(result.fail_text, sizeof result.fail_text, "%s", r->fail_text);
        ok = r->status != SCEP_SUCCESS || certrep_open(r, &keys, &result.certs, err);
    }
    scep_message_free(r);
    if (!ok) {
        client_result_clear(&result);
        return err_prefix(err, "reply");
    }
    *out = result;
    return true;
}

void client_result_clear(struct client_result *r)
{
    scep_certs_clear(&r->certs);
    *r = (struct client_result){0};
}
