#include "pkcs7/cert.h"

#include <stdio.h>
#include <stdlib.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include "frame.h"
#include "pkcs7/tlv.h"

/* RFC 5280 section 4.1.2.2 allows 20 octets, clients sign with up to 33; longer is no number that
 * anybody counts with. */
#define SERIAL_MAX 64
#define FILE_MAX (1u << 20) /* a certificate with its chain and text is far below */

static bool malformed(struct err *err, const char *what)
{
    return err_refuse(err, REASON_MESSAGE_MALFORMED, "%s cannot be decoded", what);
}

static bool read_version(struct view *rest, int *out, struct err *err)
{
    struct tlv t, number;
    *out = 1;
    if (!tlv_next_is(rest, DER_CONTEXT_CONSTRUCTED(0), &t))
        return true;
    if (!tlv_next_is(&t.content, DER_INTEGER, &number) || t.content.n > 0)
        return malformed(err, "TBSCertificate");
    if (number.content.n != 1 || number.content.p[0] > 2)
        return err_refuse(err, REASON_MESSAGE_MALFORMED, "the certificate's version is unknown");
    *out = number.content.p[0] + 1;
    return true;
}

static bool read_serial(struct view *rest, struct cert *c, struct err *err)
{
    struct tlv t;
    if (!tlv_next_is(rest, DER_INTEGER, &t))
        return malformed(err, "TBSCertificate");
    if (t.content.n == 0 || t.content.n > SERIAL_MAX)
        return err_refuse(err, REASON_MESSAGE_MALFORMED,
                          "serial number of %zu octets, at most %d are read", t.content.n,
                          SERIAL_MAX);
    c->serial_tlv = t.whole;
    c->serial = t.content;
    return true;
}

/* One instant, whatever form it has: GeneralizedTime is read for any year. */
static bool read_time(struct view *rest, const char *what, int64_t *out, struct err *err)
{
    struct tlv t;
    return (tlv_next(rest, &t) && tlv_time(&t, out)) ||
           err_refuse(err, REASON_MESSAGE_MALFORMED, "%s of the certificate is no time", what);
}

static bool read_validity(struct view *rest, struct cert *c, struct err *err)
{
    struct tlv t;
    if (!tlv_next_is(rest, DER_SEQUENCE, &t))
        return malformed(err, "TBSCertificate");
    return read_time(&t.content, "notBefore", &c->not_before, err) &&
           read_time(&t.content, "notAfter", &c->not_after, err) &&
           (t.content.n == 0 || malformed(err, "TBSCertificate"));
}

static bool read_sequence(struct view *rest, struct view *out, struct err *err)
{
    struct tlv t;
    if (!tlv_next_is(rest, DER_SEQUENCE, &t))
        return malformed(err, "TBSCertificate");
    *out = t.whole;
    return true;
}

/* Read and forgotten: nobody has issued one in this century. */
static bool pass_unique_id(struct view *rest, unsigned number, struct err *err)
{
    struct tlv t;
    struct view octets;
    unsigned unused;
    if (tlv_ahead(*rest, DER_CONTEXT_CONSTRUCTED(number)))
        return err_refuse(err, REASON_MESSAGE_MALFORMED,
                          "a unique identifier that is a constructed string (BER)");
    return !tlv_ahead(*rest, DER_CONTEXT(number)) ||
           (tlv_next(rest, &t) && tlv_bits(&t, &octets, &unused)) ||
           malformed(err, "TBSCertificate");
}

static bool read_extensions(struct view *rest, struct cert *c, struct err *err)
{
    struct tlv t;
    if (!tlv_next_is(rest, DER_CONTEXT_CONSTRUCTED(3), &t))
        return true;
    return read_sequence(&t.content, &c->extensions, err) &&
           (t.content.n == 0 || malformed(err, "TBSCertificate"));
}

/* RFC 5280 section 4.1 */
static bool read_tbs(struct cert *c, struct err *err)
{
    struct view der = c->tbs;
    struct tlv t;
    if (!tlv_next_is(&der, DER_SEQUENCE, &t) || der.n > 0)
        return malformed(err, "TBSCertificate");
    struct view rest = t.content;
    return read_version(&rest, &c->version, err) && read_serial(&rest, c, err) &&
           read_sequence(&rest, &c->tbs_sigalg, err) && read_sequence(&rest, &c->issuer, err) &&
           read_validity(&rest, c, err) && read_sequence(&rest, &c->subject, err) &&
           read_sequence(&rest, &c->spki, err) && pass_unique_id(&rest, 1, err) &&
           pass_unique_id(&rest, 2, err) && read_extensions(&rest, c, err) &&
           (rest.n == 0 || malformed(err, "TBSCertificate"));
}

static bool read_whole(struct cert *c, struct err *err)
{
    struct view der = buf_view(&c->der);
    struct tlv t, tbs, sigalg, signature;
    unsigned unused;
    if (!tlv_next_is(&der, DER_SEQUENCE, &t) || der.n > 0 ||
        !tlv_next_is(&t.content, DER_SEQUENCE, &tbs) ||
        !tlv_next_is(&t.content, DER_SEQUENCE, &sigalg) ||
        !tlv_next_is(&t.content, DER_BIT_STRING, &signature) || t.content.n > 0 ||
        !tlv_bits(&signature, &c->signature, &unused))
        return malformed(err, "Certificate");
    if (unused)
        return err_refuse(err, REASON_MESSAGE_MALFORMED,
                          "the certificate's signature is not of whole octets");
    c->tbs = tbs.whole;
    c->sigalg_der = sigalg.whole;
    return read_tbs(c, err);
}

static struct cert *copied(struct view der)
{
    struct cert *c = calloc(1, sizeof *c);
    if (c && buf_append(&c->der, der.p, der.n))
        return c;
    cert_free(c);
    return NULL;
}

bool cert_parse(struct view der, struct cert **out, struct err *err)
{
    if (!frame_check_part(der, CERT_MAX_SIZE, REASON_MESSAGE_MALFORMED, err))
        return err_prefix(err, "certificate");
    struct cert *c = copied(der);
    bool ok = c ? read_whole(c, err) && digest_compute(DIGEST_SHA256, der, c->sha256, err)
                : err_memory(err);
    if (ok)
        *out = c;
    else
        cert_free(c);
    return ok;
}

bool cert_parse_tbs(struct view tbs, struct cert **out, struct err *err)
{
    if (!frame_check_part(tbs, CERT_MAX_SIZE, REASON_MESSAGE_MALFORMED, err))
        return err_prefix(err, "TBSCertificate");
    struct cert *c = copied(tbs);
    if (c)
        c->tbs = buf_view(&c->der);
    bool ok = c ? read_tbs(c, err) : err_memory(err);
    if (ok)
        *out = c;
    else
        cert_free(c);
    return ok;
}

/* The first block named CERTIFICATE; encrypted ones are passed over, so that nobody is asked for a
 * passphrase. */
static bool pem_decode(BIO *bio, unsigned char **der, long *n)
{
    char *name = NULL, *header = NULL;
    while (PEM_read_bio(bio, &name, &header, der, n) == 1) {
        bool found = strcmp(name, PEM_STRING_X509) == 0 && header[0] == '\0';
        OPENSSL_free(name);
        OPENSSL_free(header);
        if (found)
            return true;
        OPENSSL_clear_free(*der, (size_t)*n); /* may have been a private key */
    }
    ERR_clear_error();
    return false;
}

bool cert_parse_any(struct view in, struct cert **out, struct err *err)
{
    if (in.n > FILE_MAX)
        return err_refuse(err, REASON_MESSAGE_MALFORMED, "%zu octets are no certificate", in.n);
    static const char begin[] = "-----BEGIN";
    if (in.n == 0 || !memmem(in.p, in.n, begin, sizeof begin - 1))
        return cert_parse(in, out, err);
    BIO *bio = BIO_new_mem_buf(in.p, (int)in.n);
    if (!bio)
        return err_memory(err);
    unsigned char *der = NULL;
    long n = 0;
    bool ok = pem_decode(bio, &der, &n);
    BIO_free(bio);
    if (!ok)
        return err_refuse(err, REASON_MESSAGE_MALFORMED, "no certificate in the PEM text");
    ok = cert_parse(view_of(der, (size_t)n), out, err);
    OPENSSL_free(der);
    return ok;
}

void cert_free(struct cert *c)
{
    if (!c)
        return;
    buf_clear(&c->der);
    free(c);
}

bool cert_signature_verify_by(const struct cert *c, EVP_PKEY_CTX *issuer_key, struct err *err)
{
    /* RFC 5280 section 4.1.1.2: both algorithm fields are the same */
    if (!view_eq(c->tbs_sigalg, c->sigalg_der))
        return err_refuse(err, REASON_SIGNATURE_BAD,
                          "the certificate's two signature algorithms differ");
    struct sigalg alg;
    return sigalg_parse(c->sigalg_der, DIGEST_COUNT, &alg, err) &&
           pubkey_verify_by(issuer_key, alg, c->tbs, c->signature, err);
}

bool cert_signature_verify(const struct cert *c, EVP_PKEY *issuer_key, struct err *err)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(issuer_key, NULL);
    if (!ctx)
        return err_memory(err);
    bool good = cert_signature_verify_by(c, ctx, err);
    EVP_PKEY_CTX_free(ctx);
    return good;
}

/* RFC 8894 section 2.2 */
bool cert_fingerprint(const struct cert *c, enum digest d, char *out, struct err *err)
{
    uint8_t hash[EVP_MAX_MD_SIZE];
    if (!digest_compute(d, buf_view(&c->der), hash, err))
        return false;
    for (size_t i = 0; i < digest_size(d); i++)
        out += sprintf(out, i ? ":%02X" : "%02X", hash[i]);
    return true;
}

bool cert_pem(struct view der, struct buf *out, struct err *err)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;
    bool ok = bio && PEM_write_bio(bio, PEM_STRING_X509, "", der.p, (long)der.n) > 0;
    long n = ok ? BIO_get_mem_data(bio, &text) : 0;
    struct buf pem = {0};
    ok = ok && buf_append(&pem, text, (size_t)n);
    BIO_free(bio);
    if (!ok) {
        ERR_clear_error();
        return err_memory(err);
    }
    *out = pem;
    return true;
}
