#include "asn1_pkix.h"

#include <openssl/crypto.h>

#include "asn1_text.h"
#include "frame.h"

static void wipe(struct view decoded)
{
    OPENSSL_cleanse((void *)(uintptr_t)decoded.p, decoded.n);
}

void pkix_csr_wipe(PKIX_CSR *csr, PKIX_CSR_INFO *info)
{
    if (csr)
        wipe(frame_view(csr->info));
    for (int i = 0; info && i < sk_PKIX_ATTRIBUTE_num(info->attributes); i++) {
        const PKIX_ATTRIBUTE *a = sk_PKIX_ATTRIBUTE_value(info->attributes, i);
        for (int k = 0; k < sk_ASN1_TYPE_num(a->values); k++)
            wipe(asn1_text_octets(sk_ASN1_TYPE_value(a->values, k)));
    }
    ASN1_item_free((ASN1_VALUE *)info, ASN1_ITEM_rptr(PKIX_CSR_INFO));
    ASN1_item_free((ASN1_VALUE *)csr, ASN1_ITEM_rptr(PKIX_CSR));
}

/* An INTEGER whose content octets are kept as they stand: serial numbers of 33 octets and numbers
 * of keys need no big-number work to be read. */
#define RAW_INTEGER(type, field)                                                      \
    ASN1_EX_TYPE(ASN1_TFLG_IMPTAG | ASN1_TFLG_UNIVERSAL, V_ASN1_INTEGER, type, field, \
                 ASN1_OCTET_STRING)

/* clang-format off */
ASN1_SEQUENCE(PKIX_SPKI) = {
    ASN1_SIMPLE(PKIX_SPKI, algorithm, X509_ALGOR),
    ASN1_SIMPLE(PKIX_SPKI, key, ASN1_BIT_STRING),
} ASN1_SEQUENCE_END(PKIX_SPKI)

ASN1_SEQUENCE(PKIX_RSA_KEY) = {
    RAW_INTEGER(PKIX_RSA_KEY, n),
    RAW_INTEGER(PKIX_RSA_KEY, e),
} ASN1_SEQUENCE_END(PKIX_RSA_KEY)

ASN1_SEQUENCE(PKIX_CSR) = {
    ASN1_SIMPLE(PKIX_CSR, info, ASN1_SEQUENCE),
    ASN1_SIMPLE(PKIX_CSR, sigalg, ASN1_SEQUENCE),
    ASN1_SIMPLE(PKIX_CSR, signature, ASN1_BIT_STRING),
} ASN1_SEQUENCE_END(PKIX_CSR)

ASN1_SEQUENCE(PKIX_ATTRIBUTE) = {
    ASN1_SIMPLE(PKIX_ATTRIBUTE, type, ASN1_OBJECT),
    ASN1_SET_OF(PKIX_ATTRIBUTE, values, ASN1_ANY),
} ASN1_SEQUENCE_END(PKIX_ATTRIBUTE)

ASN1_SEQUENCE(PKIX_CSR_INFO) = {
    ASN1_OPT(PKIX_CSR_INFO, version, ASN1_INTEGER), /* not optional: the reader says so */
    ASN1_SIMPLE(PKIX_CSR_INFO, subject, ASN1_SEQUENCE),
    ASN1_SIMPLE(PKIX_CSR_INFO, spki, ASN1_SEQUENCE),
    ASN1_IMP_SET_OF_OPT(PKIX_CSR_INFO, attributes, PKIX_ATTRIBUTE, 0),
} ASN1_SEQUENCE_END(PKIX_CSR_INFO)

ASN1_SEQUENCE(PKIX_EXTENSION) = {
    ASN1_SIMPLE(PKIX_EXTENSION, type, ASN1_OBJECT),
    ASN1_OPT(PKIX_EXTENSION, critical, ASN1_FBOOLEAN),
    ASN1_SIMPLE(PKIX_EXTENSION, value, ASN1_OCTET_STRING),
} ASN1_SEQUENCE_END(PKIX_EXTENSION)

ASN1_ITEM_TEMPLATE(PKIX_EXTENSIONS) =
    ASN1_EX_TEMPLATE_TYPE(ASN1_TFLG_SEQUENCE_OF, 0, extensions, PKIX_EXTENSION)
ASN1_ITEM_TEMPLATE_END(PKIX_EXTENSIONS)

ASN1_SEQUENCE(PKIX_NAME_ATTR) = {
    ASN1_SIMPLE(PKIX_NAME_ATTR, type, ASN1_OBJECT),
    ASN1_SIMPLE(PKIX_NAME_ATTR, value, ASN1_ANY),
} ASN1_SEQUENCE_END(PKIX_NAME_ATTR)

ASN1_ITEM_TEMPLATE(PKIX_RDN) =
    ASN1_EX_TEMPLATE_TYPE(ASN1_TFLG_SET_OF, 0, rdn, PKIX_NAME_ATTR)
ASN1_ITEM_TEMPLATE_END(PKIX_RDN)

ASN1_ITEM_TEMPLATE(PKIX_NAME) =
    ASN1_EX_TEMPLATE_TYPE(ASN1_TFLG_SEQUENCE_OF, 0, name, PKIX_RDN)
ASN1_ITEM_TEMPLATE_END(PKIX_NAME)
    /* clang-format on */
