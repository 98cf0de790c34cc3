#include "pkcs7/cert.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include "asn1_pkix.h"
#include "frame.h"

/* RFC 5280 section 4.1.2.2 allows 20 octets, clients sign with up to 33; longer is no number that
 * anybody counts with. */
#define SERIAL_MAX 64
#define FILE_MAX (1u << 20) /* a certificate with its chain and text is far below */

/* One instant, whatever form it has: GeneralizedTime is read for any year. */
static bool read_time(const ASN1_TIME *t, const char *what, int64_t *out, struct err *err)
{
    struct tm tm;
    if (ASN1_TIME_to_tm(t, &tm) != 1) {
        ERR_clear_error();
        return err_refuse(err, REASON_MESSAGE_MALFORMED, "%s of the certificate is no time", what);
    }
    *out = (int64_t)timegm(&tm);
    return true;
}

static bool read_version(const ASN1_INTEGER *version, int *out, struct err *err)
{
    int64_t v = 0;
    if (version && (ASN1_INTEGER_get_int64(&v, version) != 1 || v < 0 || v > 2)) {
        ERR_clear_error();
        return err_refuse(err, REASON_MESSAGE_MALFORMED, "the certificate's version is unknown");
    }
    *out = (int)v + 1;
    return true;
}

/* The serial number's place: its header and content as they stand in the TBSCertificate. */
static bool find_serial(const ASN1_OCTET_STRING *serial, struct view *rest, struct cert *c,
                        struct err *err)
{
    struct view content = frame_view(serial);
    if (content.n == 0 || content.n > SERIAL_MAX)
        return err_refuse(err, REASON_MESSAGE_MALFORMED,
                          "serial number of %zu octets, at most %d are read", content.n,
                          SERIAL_MAX);
    uint8_t tlv[2 + SERIAL_MAX] = {DER_INTEGER, (uint8_t)content.n};
    memcpy(tlv + 2, content.p, content.n);
    c->serial_tlv = frame_locate(rest, view_of(tlv, 2 + content.n));
    c->serial = view_of(c->serial_tlv.p + 2, content.n);
    return true;
}

static bool tbs_meaning(const PKIX_TBS_CERT *tbs, struct cert *c, struct err *err)
{
    struct view rest = c->tbs;
    if (!read_version(tbs->version, &c->version, err) || !find_serial(tbs->serial, &rest, c, err) ||
        !read_time(tbs->validity->not_before, "notBefore", &c->not_before, err) ||
        !read_time(tbs->validity->not_after, "notAfter", &c->not_after, err))
        return false;
    c->tbs_sigalg = frame_locate(&rest, frame_view(tbs->sigalg));
    c->issuer = frame_locate(&rest, frame_view(tbs->issuer));
    c->subject = frame_locate(&rest, frame_view(tbs->subject));
    c->spki = frame_locate(&rest, frame_view(tbs->spki));
    c->extensions = frame_locate(&rest, frame_view(tbs->extensions));
    return true;
}

static bool cert_meaning(const PKIX_CERT *cert, struct cert *c, struct err *err)
{
    if (cert->signature->flags & 0x07)
        return err_refuse(err, REASON_MESSAGE_MALFORMED,
                          "the certificate's signature is not of whole octets");
    struct view rest = buf_view(&c->der);
    c->tbs = frame_locate(&rest, frame_view(cert->tbs));
    c->sigalg_der = frame_locate(&rest, frame_view(cert->sigalg));
    c->signature = frame_locate(&rest, frame_view(cert->signature));
    PKIX_TBS_CERT *tbs = (PKIX_TBS_CERT *)frame_decode(
        c->tbs, ASN1_ITEM_rptr(PKIX_TBS_CERT), REASON_MESSAGE_MALFORMED, "TBSCertificate", err);
    if (!tbs)
        return false;
    bool ok = tbs_meaning(tbs, c, err);
    ASN1_item_free((ASN1_VALUE *)tbs, ASN1_ITEM_rptr(PKIX_TBS_CERT));
    return ok;
}

bool cert_parse(struct view der, struct cert **out, struct err *err)
{
    if (!frame_check_part(der, CERT_MAX_SIZE, REASON_MESSAGE_MALFORMED, err))
        return err_prefix(err, "certificate");
    PKIX_CERT *decoded = (PKIX_CERT *)frame_decode(der, ASN1_ITEM_rptr(PKIX_CERT),
                                                   REASON_MESSAGE_MALFORMED, "Certificate", err);
    if (!decoded)
        return false;
    struct cert *c = calloc(1, sizeof *c);
    bool ok = c && buf_append(&c->der, der.p, der.n);
    ok = ok ? cert_meaning(decoded, c, err) && digest_compute(DIGEST_SHA256, der, c->sha256, err)
            : err_memory(err);
    ASN1_item_free((ASN1_VALUE *)decoded, ASN1_ITEM_rptr(PKIX_CERT));
    if (!ok) {
        cert_free(c);
        return false;
    }
    *out = c;
    return true;
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

bool cert_signature_verify(const struct cert *c, EVP_PKEY *issuer_key, struct err *err)
{
    /* RFC 5280 section 4.1.1.2: both algorithm fields are the same */
    if (!view_eq(c->tbs_sigalg, c->sigalg_der))
        return err_refuse(err, REASON_SIGNATURE_BAD,
                          "the certificate's two signature algorithms differ");
    struct sigalg alg;
    return sigalg_parse(c->sigalg_der, DIGEST_COUNT, &alg, err) &&
           pubkey_verify(issuer_key, alg, c->tbs, c->signature, err);
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
