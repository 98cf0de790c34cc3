/* Requests, as a client writes them (RFC 8894 section 3.3). */
#include "pkcs7/scep.h"

#include <stdio.h>

#include <openssl/err.h>
#include <openssl/pkcs7.h>

#include "scep_write.h"

/* The same structure with indefinite lengths; what is signed in it keeps its bytes. */
static bool to_ber(struct buf *b, struct err *err)
{
    const unsigned char *p = b->p;
    unsigned char *ber = NULL;
    PKCS7 *p7 = d2i_PKCS7(NULL, &p, (long)b->n);
    int n = p7 ? i2d_PKCS7_NDEF(p7, &ber) : -1;
    bool ok = n > 0;
    if (ok) {
        buf_reset(b);
        ok = buf_append(b, ber, (size_t)n) || err_memory(err);
    } else {
        ERR_clear_error();
        err_set(err, ERR_CRYPTO, "the message cannot be written as BER");
    }
    OPENSSL_free(ber);
    PKCS7_free(p7);
    return ok;
}

static bool build_envelope(const struct scep_request *r, struct buf *out, struct err *err)
{
    struct pubkey key;
    EVP_PKEY *pkey = NULL;
    struct envelope_parts p = {.content = r->content,
                               .cipher = r->cipher,
                               .issuer = r->recipient->issuer,
                               .serial_tlv = r->recipient->serial_tlv,
                               .padding = r->padding,
                               .oaep = r->digest};
    if (!pubkey_parse(r->recipient->spki, &key, err))
        return false;
    if (key.type != KEY_RSA)
        return err_refuse(err, REASON_ALGORITHM_REFUSED,
                          "the server's certificate has an EC key, to which nothing can be "
                          "encrypted");
    if (!pubkey_load(&key, &pkey, err))
        return false;
    p.key = EVP_PKEY_CTX_new(pkey, NULL);
    bool ok =
        (p.key || err_memory(err)) && envelope_build(&p, out, err) && (!r->ber || to_ber(out, err));
    EVP_PKEY_CTX_free(p.key);
    EVP_PKEY_free(pkey);
    return ok;
}

bool scep_request_build(const struct scep_request *r, const struct scep_keys *keys, struct buf *out,
                        struct err *err)
{
    char type[12];
    struct buf envelope = {0};
    struct cert *signer = NULL;
    bool ok = cert_parse(r->signer_cert, &signer, err) && build_envelope(r, &envelope, err);
    if (!ok) {
        cert_free(signer);
        return false;
    }
    struct signed_parts p = {.content = buf_view(&envelope),
                             .digest = r->digest,
                             .signer = signer,
                             .signer_key = r->signer_key,
                             .signing_time = r->signing_time};
    snprintf(type, sizeof type, "%d", (int)r->type);
    signed_parts_add(&p, ATTR_MESSAGE_TYPE, DER_PRINTABLE_STRING, view_str(type));
    signed_parts_add(&p, ATTR_TRANSACTION_ID, DER_PRINTABLE_STRING, view_str(r->transaction_id));
    signed_parts_add(&p, ATTR_SENDER_NONCE, DER_OCTET_STRING, view_of(r->nonce, SCEP_NONCE_SIZE));
    ok = signed_data_build(&p, keys, out, err) && (!r->ber || to_ber(out, err));
    buf_clear(&envelope);
    cert_free(signer);
    return ok;
}

bool scep_issuer_and_subject_build(struct view issuer, struct view subject, struct buf *out,
                                   struct err *err)
{
    struct der w;
    der_init(&w, issuer.n + subject.n + 16);
    size_t all = der_mark(&w);
    der_raw(&w, subject);
    der_raw(&w, issuer);
    der_wrap(&w, DER_SEQUENCE, all);
    return der_take(&w, out, err);
}

bool scep_issuer_and_serial_build(struct view issuer, struct view serial, struct buf *out,
                                  struct err *err)
{
    struct der w;
    der_init(&w, issuer.n + serial.n + 16);
    size_t all = der_mark(&w);
    der_tlv(&w, DER_INTEGER, serial);
    der_raw(&w, issuer);
    der_wrap(&w, DER_SEQUENCE, all);
    return der_take(&w, out, err);
}
