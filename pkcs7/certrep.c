/* CertRep (RFC 8894 section 3.3.2), as the server writes and a client reads it. */
#include "pkcs7/scep.h"

#include <inttypes.h>
#include <stdio.h>

#include <openssl/err.h>
#include <openssl/rand.h>

#include "envelope.h"
#include "scep_write.h"

/* ---- the server's side ---- */

/* RFC 8894 section 3.3.2.1: the certificate asked for, or only a CRL; leaf first. */
static bool build_certs(const struct certrep *r, struct buf *out, struct err *err)
{
    if (r->crl.n)
        return scep_certs_build(NULL, 0, r->crl, out, err);
    struct view certs[1 + SCEP_MAX_CERTS];
    size_t n = 0;
    certs[n++] = r->certificate;
    for (size_t i = 0; i < r->extra_n && i < SCEP_MAX_CERTS; i++)
        certs[n++] = r->extra_certificates[i];
    return scep_certs_build(certs, n, view_of(NULL, 0), out, err);
}

/* To the key that signed the request, named by its certificate as the client itself encoded it
 * (RFC 8894 section 2.3). */
static bool build_envelope(const struct certrep *r, const struct scep_message *m, struct buf *out,
                           struct err *err)
{
    struct buf certs = {0};
    if (!m->signer || !m->signer_ctx)
        return err_set(err, ERR_CRYPTO, "no signer to encrypt the answer to");
    bool rsa = m->signer_key.type == KEY_RSA;
    if (!rsa && !r->password.n)
        return err_refuse(err, REASON_ALGORITHM_REFUSED,
                          "the message is signed with an EC key, to which no answer can be "
                          "encrypted: sign it with an RSA key");
    struct envelope_parts p = {.cipher = r->cipher,
                               .key = m->signer_ctx,
                               .issuer = m->signer->issuer,
                               .serial_tlv = m->signer->serial_tlv,
                               .padding = PADDING_PKCS1,
                               .password = rsa ? view_of(NULL, 0) : r->password};
    bool ok = build_certs(r, &certs, err);
    p.content = buf_view(&certs);
    ok = ok && envelope_build(&p, out, err);
    buf_clear(&certs);
    return ok;
}

struct numbers {
    char type[4], status[4], fail_info[4], hresult[16];
};

static void add_number(struct signed_parts *p, enum scep_attribute a, char *text, size_t cap,
                       int32_t value)
{
    snprintf(text, cap, "%" PRId32, value);
    signed_parts_add(p, a, DER_PRINTABLE_STRING, view_str(text));
}

/* RFC 8894 sections 3.2.1 and 3.2.1.5; the numbers' text lives in `t`. */
static void add_attributes(struct signed_parts *p, const struct certrep *r,
                           const struct scep_message *m, const uint8_t *nonce, struct numbers *t)
{
    add_number(p, ATTR_MESSAGE_TYPE, t->type, sizeof t->type, SCEP_CERT_REP);
    add_number(p, ATTR_PKI_STATUS, t->status, sizeof t->status, (int32_t)r->status);
    signed_parts_add(p, ATTR_TRANSACTION_ID,
                     m->transaction_tag ? m->transaction_tag : DER_PRINTABLE_STRING,
                     view_str(m->transaction_id));
    signed_parts_add(p, ATTR_SENDER_NONCE, DER_OCTET_STRING, view_of(nonce, SCEP_NONCE_SIZE));
    if (m->sender_nonce_len)
        signed_parts_add(p, ATTR_RECIPIENT_NONCE, DER_OCTET_STRING,
                         view_of(m->sender_nonce, m->sender_nonce_len));
    if (r->status != SCEP_FAILURE)
        return;
    add_number(p, ATTR_FAIL_INFO, t->fail_info, sizeof t->fail_info, (int32_t)r->fail_info);
    if (r->fail_text)
        signed_parts_add(p, ATTR_FAIL_TEXT, DER_UTF8_STRING, view_str(r->fail_text));
    if (r->hresult) /* a signed number, as NDES writes it */
        add_number(p, ATTR_MS_ERROR, t->hresult, sizeof t->hresult, (int32_t)r->hresult);
}

bool certrep_build(const struct certrep *r, const struct scep_message *m,
                   const struct scep_keys *keys, struct buf *out, struct err *err)
{
    uint8_t drawn[SCEP_NONCE_SIZE];
    const uint8_t *nonce = r->nonce;
    struct numbers texts;
    struct buf envelope = {0};
    struct signed_parts p = {
        .digest = r->digest, .signer = r->signer_cert, .signer_key = r->signer_key};
    if (!nonce) {
        if (RAND_bytes(drawn, sizeof drawn) != 1) {
            ERR_clear_error();
            return err_set(err, ERR_CRYPTO, "no random numbers");
        }
        nonce = drawn;
    }
    add_attributes(&p, r, m, nonce, &texts);
    if (r->status == SCEP_SUCCESS) {
        if (!build_envelope(r, m, &envelope, err))
            return false;
        p.content = buf_view(&envelope);
    } else {
        /* RFC 8894 sections 3, 3.3.2.2 and 3.3.2.3 want nothing there; some clients only read an
         * answer with content. */
        p.absent_content = r->absent_content;
    }
    bool ok = signed_data_build(&p, keys, out, err);
    buf_clear(&envelope);
    return ok;
}

/* ---- the client's side ---- */

bool certrep_open(struct scep_message *m, const struct scep_keys *keys, struct scep_certs *out,
                  struct err *err)
{
    const struct scep_rules any = {.ciphers = ~0u};
    bool intact = false;
    struct err why = {0};
    if (!m->is_reply || m->status != SCEP_SUCCESS)
        return err_refuse(err, REASON_MESSAGE_UNSUPPORTED, "only a CertRep SUCCESS can be opened");
    if (!envelope_open(m, &any, keys, &intact, err))
        return false;
    bool parsed = scep_certs_parse(buf_view(&m->plain), out, &why);
    if (parsed && intact)
        return true;
    if (parsed)
        scep_certs_clear(out);
    if (why.kind == ERR_MEMORY) {
        *err = why;
        return false;
    }
    return envelope_refuse(err);
}
