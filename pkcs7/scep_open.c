/* What a client encrypted (RFC 8894 sections 3.3.1, 3.3.3 and 3.3.4), by message type.
 *
 * Why this is no oracle (RFC 8894 section 7.1).  Anybody who recorded a message can sign its
 * envelope anew, changed as he likes, and watch the answers; inside is a challenge password.  RSA
 * tells him nothing, since keys->decrypt puts other octets in place of a key it could not decode.
 * CBC lets him cut, paste and flip, so any answer that depends on the form of the plaintext
 * (padding, a tag, a length, a character out of range) would in time spell it out.  Therefore an
 * answer may depend on it only where the sender is shown to have written the plaintext himself:
 *
 * PKCSReq and RenewalReq: a PKCS#10 passes only with its self-signature, which none but its author
 * could make; changed anywhere it does not verify.  One that is refused keeps its reason only if
 * its key is that of the message's signer (who has then signed envelope and request with one key,
 * and nobody can put a key of his own into a plaintext that he cannot read), or if its
 * self-signature verifies (as in a renewal, with a new key), be it of a kind that is not taken
 * here.  All else, from a wrong padding to a wrong tag, is one reason and one text.
 *
 * The clock tells as much as the text: a plaintext that still has the form of a request costs the
 * verification of a signature.  So every request that is refused here has cost one.
 *
 * GetCert and GetCRL carry no proof.  An unreadable one gets the reason of an unknown certificate,
 * as one does that reads but names nothing here; to be told apart it must hold a whole issuer name
 * of ours.
 *
 * A CertPoll is accepted whatever it holds, and the transaction says what it asks for.  Issuer and
 * subject are for the log: no answer may depend on them. */
#include "pkcs7/scep.h"

#include <string.h>

#include <openssl/err.h>
#include <openssl/x509.h>

#include "asn1_cms.h"
#include "asn1_pkix.h"
#include "envelope.h"
#include "frame.h"

/* Of a key that is refused anyway: verifying with a larger one takes too long. */
#define FOREIGN_KEY_MAX_BITS 8192

/* ---- PKCSReq and RenewalReq ---- */

/* What OpenSSL can verify and we do not take: its sender is told so. */
static bool openssl_verifies(const PKIX_CSR *csr, struct view spki, bool *tried)
{
    struct view der = frame_view(csr->sigalg);
    const uint8_t *p = spki.p, *q = der.p;
    EVP_PKEY *key = d2i_PUBKEY(NULL, &p, (long)spki.n);
    X509_ALGOR *alg = d2i_X509_ALGOR(NULL, &q, (long)der.n);
    bool ok = key && alg && EVP_PKEY_get_bits(key) <= FOREIGN_KEY_MAX_BITS;
    *tried = *tried || ok;
    ok = ok &&
         ASN1_item_verify(ASN1_ITEM_rptr(ASN1_SEQUENCE), alg, csr->signature, csr->info, key) == 1;
    EVP_PKEY_free(key);
    X509_ALGOR_free(alg);
    ERR_clear_error();
    return ok;
}

static bool self_signature_verifies(const PKIX_CSR *csr, struct view spki, bool *tried)
{
    struct err ignored;
    struct sigalg alg;
    struct pubkey key;
    EVP_PKEY *pkey = NULL;
    bool ok = sigalg_parse(frame_view(csr->sigalg), DIGEST_SHA256, &alg, &ignored) &&
              pubkey_parse(spki, &key, &ignored) && pubkey_load(&key, &pkey, &ignored);
    if (!ok)
        return openssl_verifies(csr, spki, tried);
    *tried = true;
    ok = pubkey_verify(pkey, alg, frame_view(csr->info), frame_view(csr->signature), &ignored);
    EVP_PKEY_free(pkey);
    return ok;
}

/* What a signature by an RSA-2048 key costs, which most devices have. */
static void verify_in_vain(struct view plain)
{
    static const uint8_t e[] = {1, 0, 1};
    uint8_t n[256];
    memset(n, 0xc5, sizeof n);
    struct err ignored;
    struct pubkey key = {
        .type = KEY_RSA, .bits = 2048, .n = view_of(n, sizeof n), .e = view_of(e, sizeof e)};
    EVP_PKEY *pkey = NULL;
    const struct sigalg alg = {SIG_RSA_PKCS1, DIGEST_SHA256, 0};
    n[0] = 0xc6; /* the signature, n itself but for this octet, is below the modulus */
    if (pubkey_load(&key, &pkey, &ignored)) {
        n[0] = 0xc5;
        pubkey_verify(pkey, alg, plain, view_of(n, sizeof n), &ignored);
    }
    EVP_PKEY_free(pkey);
}

/* Did whoever signed the message, or holds the key of the request, write this plaintext?  `tried`:
 * its self-signature has been looked at, and is wrong if it was so before. */
static bool sender_wrote(const struct scep_message *m, struct view plain, bool *tried)
{
    struct err ignored;
    PKIX_CSR *csr = NULL;
    PKIX_CSR_INFO *info = NULL;
    bool yes = false;
    if (!frame_check(plain, CSR_MAX_SIZE, FRAME_BER, REASON_CSR_MALFORMED, &ignored))
        return false;
    csr = (void *)frame_decode(plain, ASN1_ITEM_rptr(PKIX_CSR), REASON_CSR_MALFORMED, "the request",
                               &ignored);
    if (csr)
        info = (void *)frame_decode(frame_view(csr->info), ASN1_ITEM_rptr(PKIX_CSR_INFO),
                                    REASON_CSR_MALFORMED, "the request", &ignored);
    if (info) {
        struct view spki = frame_view(info->spki);
        yes = view_eq(spki, m->signer_key.spki) ||
              (!*tried && self_signature_verifies(csr, spki, tried));
    }
    pkix_csr_wipe(csr, info);
    return yes;
}

static bool open_csr(struct scep_message *m, const struct scep_rules *rules, bool intact,
                     struct err *err)
{
    struct view plain = buf_view(&m->plain);
    struct csr *csr = NULL;
    struct err why = {0};
    const struct csr_rules as = {rules->csr_digests, rules->any_csr_version};
    bool parsed = csr_parse_by(plain, &as, m->signer_ctx, m->signer_key.spki, &csr, &why);
    if (parsed && intact) {
        m->csr = csr;
        return true;
    }
    csr_free(csr);
    bool tried = parsed || why.reason == REASON_CSR_SIGNATURE;
    bool wrote = !parsed && sender_wrote(m, plain, &tried); /* before the padding: the same road */
    if (!parsed && (why.kind == ERR_MEMORY || (intact && wrote))) {
        *err = why;
        return false;
    }
    if (!tried)
        verify_in_vain(plain);
    return envelope_refuse(err);
}

/* ---- CertPoll, GetCert and GetCRL ---- */

/* `built` becomes the plaintext, so that the views point into DER: it ends with `second`, and
 * `issuer` begins where the SEQUENCE's content does. */
static void keep_pair(struct scep_message *m, struct buf *built, size_t issuer_n, size_t second_n,
                      struct view *second)
{
    buf_wipe(&m->plain);
    m->plain = *built;
    *built = (struct buf){0};
    const uint8_t *p = m->plain.p, *end = p + m->plain.n;
    long length;
    int tag, class;
    ASN1_get_object(&p, &length, &tag, &class, (long)m->plain.n);
    m->issuer = view_of(p, issuer_n);
    *second = view_of(end - second_n, second_n);
}

static bool read_issuer_subject(struct scep_message *m, struct err *err)
{
    struct view plain = buf_view(&m->plain);
    struct buf built = {0};
    if (!frame_check(plain, SCEP_MAX_MESSAGE, FRAME_BER, REASON_MESSAGE_MALFORMED, err))
        return false;
    struct scep_issuer_subject *v =
        (void *)frame_decode(plain, ASN1_ITEM_rptr(SCEPD_ISSUER_SUBJECT), REASON_MESSAGE_MALFORMED,
                             "the IssuerAndSubject", err);
    if (!v)
        return false;
    struct view issuer = frame_view(v->issuer), subject = frame_view(v->subject);
    bool ok = scep_issuer_and_subject_build(issuer, subject, &built, err);
    if (ok)
        keep_pair(m, &built, issuer.n, subject.n, &m->subject);
    ASN1_item_free((ASN1_VALUE *)v, ASN1_ITEM_rptr(SCEPD_ISSUER_SUBJECT));
    return ok;
}

static bool read_issuer_serial(struct scep_message *m, struct err *err)
{
    struct view plain = buf_view(&m->plain);
    struct buf built = {0};
    if (!frame_check(plain, SCEP_MAX_MESSAGE, FRAME_BER, REASON_MESSAGE_MALFORMED, err))
        return false;
    struct cms_issuer_serial *v =
        (void *)frame_decode(plain, ASN1_ITEM_rptr(SCEPD_ISSUER_SERIAL), REASON_MESSAGE_MALFORMED,
                             "the IssuerAndSerialNumber", err);
    if (!v)
        return false;
    struct view issuer = frame_view(v->issuer), serial = frame_view(v->serial);
    bool ok = scep_issuer_and_serial_build(issuer, serial, &built, err);
    if (ok)
        keep_pair(m, &built, issuer.n, serial.n, &m->serial);
    ASN1_item_free((ASN1_VALUE *)v, ASN1_ITEM_rptr(SCEPD_ISSUER_SERIAL));
    return ok;
}

static bool open_certificate_name(struct scep_message *m, bool intact, struct err *err)
{
    struct err ignored;
    if (read_issuer_serial(m, &ignored) && intact)
        return true;
    m->issuer = m->serial = view_of(NULL, 0);
    return err_refuse(err, REASON_CERTIFICATE_UNKNOWN,
                      "the content of %s names no issuer and serial number",
                      scep_type_name(m->type));
}

static void open_poll(struct scep_message *m, bool intact)
{
    struct err ignored;
    if (!read_issuer_subject(m, &ignored) || !intact)
        m->issuer = m->subject = view_of(NULL, 0);
}

/* RFC 8894 section 3.2 */
bool scep_open_by(struct scep_message *m, const struct scep_rules *rules,
                  const struct scep_keys *keys, struct err *err)
{
    bool intact = false;
    if (m->is_reply)
        return err_refuse(err, REASON_MESSAGE_UNSUPPORTED, "a CertRep is no request");
    if (!envelope_open(m, rules, keys, &intact, err))
        return false;
    switch (m->type) {
    case SCEP_PKCS_REQ:
    case SCEP_RENEWAL_REQ:
        return open_csr(m, rules, intact, err);
    case SCEP_CERT_POLL:
        open_poll(m, intact);
        return true;
    case SCEP_GET_CERT:
    case SCEP_GET_CRL:
        return open_certificate_name(m, intact, err);
    case SCEP_CERT_REP:
        break;
    }
    return err_refuse(err, REASON_MESSAGE_UNSUPPORTED, "messageType %d", (int)m->type);
}

bool scep_open(struct scep_message *m, unsigned ciphers, unsigned csr_digests,
               const struct scep_keys *keys, struct err *err)
{
    const struct scep_rules rules = {.ciphers = ciphers, .csr_digests = csr_digests};
    return scep_open_by(m, &rules, keys, err);
}
