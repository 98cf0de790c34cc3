#include <openssl/asn1.h>
#include <openssl/err.h>
#include <openssl/pkcs7.h>
#include <openssl/x509.h>

#include "pkcs7/tlv.h"
#include "signer_internal.h"

/* What is about to be signed, read by the process that holds the key.  The three kinds cannot be
 * taken for each other: attributes are a SET; a TBSCertList has a Time where a TBSCertificate of
 * version 1 has its Validity SEQUENCE, and a TBSCertificate of ours begins with [0]. */

static bool next_is_time(struct view *rest)
{
    struct tlv t;
    return tlv_next(rest, &t) && (t.tag == DER_UTC_TIME || t.tag == DER_GENERALIZED_TIME);
}

static enum digest curve_digest(enum key_curve curve)
{
    switch (curve) {
    case CURVE_P256:
        return DIGEST_SHA256;
    case CURVE_P384:
        return DIGEST_SHA384;
    case CURVE_P521:
        return DIGEST_SHA512;
    }
    return DIGEST_SHA512;
}

/* certificates.md's C5: the algorithm fits the key, its parameters are right, SHA-1 never. */
static bool algorithm_fits(struct view der, const struct pubkey *key, struct sigalg *out,
                           struct err *err)
{
    struct sigalg a;
    if (!sigalg_parse(der, DIGEST_SHA256, &a, err))
        return err_set(err, ERR_SIGNER, "the signer refused: unknown signature algorithm");
    bool fits =
        key->type == KEY_RSA
            ? a.scheme == SIG_RSA_PKCS1 && (a.digest == DIGEST_SHA256 ||
                                            a.digest == DIGEST_SHA384 || a.digest == DIGEST_SHA512)
            : a.scheme == SIG_ECDSA && a.digest == curve_digest(key->curve);
    if (!fits || !view_eq(der, sigalg_der(a)))
        return err_set(err, ERR_SIGNER,
                       "the signer refused: the signature algorithm does not fit the key");
    *out = a;
    return true;
}

bool check_certificate_algorithm(struct view tbs, const struct pubkey *key, struct sigalg *out,
                                 struct err *err)
{
    struct tlv t, version, serial, algorithm;
    if (!tlv_next_is(&tbs, DER_SEQUENCE, &t) || tbs.n != 0 ||
        !tlv_next_is(&t.content, DER_CONTEXT_CONSTRUCTED(0), &version) ||
        !tlv_next_is(&t.content, DER_INTEGER, &serial) ||
        !tlv_next_is(&t.content, DER_SEQUENCE, &algorithm))
        return err_set(err, ERR_SIGNER, "the signer refused: not a TBSCertificate of version 3");
    return algorithm_fits(algorithm.whole, key, out, err);
}

/* RFC 5280 section 5.1.2: version 2, algorithm, issuer, thisUpdate, nextUpdate (ours always),
 * entries (absent when there are none), extensions (ours always: AKI and number). */
bool check_crl(struct view tbs, struct view subject, const struct pubkey *key, struct sigalg *out,
               struct err *err)
{
    struct tlv t, version, algorithm, issuer, list;
    if (!tlv_next_is(&tbs, DER_SEQUENCE, &t) || tbs.n != 0)
        return err_set(err, ERR_SIGNER, "the signer refused: not a TBSCertList");
    struct view rest = t.content;
    if (!tlv_next_is(&rest, DER_INTEGER, &version) || version.content.n != 1 ||
        version.content.p[0] != 1)
        return err_set(err, ERR_SIGNER, "the signer refused: a CRL of another version than 2");
    if (!tlv_next_is(&rest, DER_SEQUENCE, &algorithm) || !tlv_next_is(&rest, DER_SEQUENCE, &issuer))
        return err_set(err, ERR_SIGNER, "the signer refused: not a TBSCertList");
    if (!view_eq(issuer.whole, subject))
        return err_set(err, ERR_SIGNER, "the signer refused: a CRL in the name of another issuer");
    if (!next_is_time(&rest) || !next_is_time(&rest))
        return err_set(err, ERR_SIGNER, "the signer refused: a CRL without both its times");
    if (!tlv_next(&rest, &list) ||
        (list.tag == DER_SEQUENCE && (list.content.n == 0 || !tlv_next(&rest, &list))) ||
        list.tag != DER_CONTEXT_CONSTRUCTED(0) || rest.n != 0)
        return err_set(err, ERR_SIGNER,
                       "the signer refused: a CRL whose entries or extensions are "
                       "missing or malformed");
    return algorithm_fits(algorithm.whole, key, out, err);
}

bool check_attributes(struct view attributes, struct err *err)
{
    const unsigned char *p = attributes.p;
    STACK_OF(X509_ATTRIBUTE) *set = NULL;
    if (attributes.n > 0 && attributes.n <= SIGNER_MAX_PACKET && attributes.p[0] == DER_SET)
        set = (STACK_OF(X509_ATTRIBUTE) *)ASN1_item_d2i(NULL, &p, (long)attributes.n,
                                                        ASN1_ITEM_rptr(PKCS7_ATTR_SIGN));
    /* RFC 5652 section 5.3: both MUST be among signed attributes */
    bool ok = set && p == attributes.p + attributes.n &&
              X509at_get_attr_by_NID(set, NID_pkcs9_contentType, -1) >= 0 &&
              X509at_get_attr_by_NID(set, NID_pkcs9_messageDigest, -1) >= 0;
    sk_X509_ATTRIBUTE_pop_free(set, X509_ATTRIBUTE_free);
    ERR_clear_error();
    return ok ||
           err_set(err, ERR_SIGNER, "the signer refused: not the signed attributes of a message");
}
