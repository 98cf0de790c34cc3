#include <openssl/objects.h>

#include "pkcs7/tlv.h"
#include "signer_internal.h"

/* What is about to be signed, read by the process that holds the key.  The three kinds cannot be
 * taken for each other: attributes are a SET; a TBSCertList has a Time where a TBSCertificate of
 * version 1 has its Validity SEQUENCE, and a TBSCertificate of ours begins with [0]. */

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
bool check_algorithm(struct view der, const struct pubkey *key, struct sigalg *out, struct err *err)
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
    return check_algorithm(algorithm.whole, key, out, err);
}

/* One Attribute of `set` (RFC 5652 section 5.3): its type; false if it has not that form. */
static bool next_attribute(struct view *set, struct view *type)
{
    struct tlv attribute, oid, values;
    if (!tlv_next_is(set, DER_SEQUENCE, &attribute) ||
        !tlv_next_is(&attribute.content, DER_OID, &oid) ||
        !tlv_next_is(&attribute.content, DER_SET, &values) || attribute.content.n > 0)
        return false;
    *type = oid.content;
    return true;
}

static bool is_nid(struct view oid, int nid)
{
    const ASN1_OBJECT *o = OBJ_nid2obj(nid);
    return view_eq(oid, view_of(OBJ_get0_data(o), OBJ_length(o)));
}

bool check_attributes(struct view attributes, struct err *err)
{
    struct tlv set;
    bool content_type = false, digest = false;
    bool ok = tlv_next_is(&attributes, DER_SET, &set) && attributes.n == 0;
    while (ok && set.content.n > 0) {
        struct view type;
        ok = next_attribute(&set.content, &type);
        content_type = content_type || (ok && is_nid(type, NID_pkcs9_contentType));
        digest = digest || (ok && is_nid(type, NID_pkcs9_messageDigest));
    }
    /* RFC 5652 section 5.3: both MUST be among signed attributes */
    return (ok && content_type && digest) ||
           err_set(err, ERR_SIGNER, "the signer refused: not the signed attributes of a message");
}
