#include "asn1_cms.h"

#include <stddef.h>

#include <openssl/err.h>
#include <openssl/objects.h>

#include "frame.h"
#include "pkcs7/scep.h"

ASN1_VALUE *cms_decode(struct view in, int nid, const ASN1_ITEM *inner, const char *what,
                       struct err *err)
{
    if (!frame_check(in, SCEP_MAX_MESSAGE, FRAME_BER, REASON_MESSAGE_MALFORMED, err))
        return NULL;
    ASN1_VALUE *outer = frame_decode(in, ASN1_ITEM_rptr(SCEPD_CONTENT_INFO),
                                     REASON_MESSAGE_MALFORMED, "the ContentInfo", err);
    if (!outer)
        return NULL;
    const struct cms_content_info *info = (const void *)outer;
    ASN1_VALUE *value = NULL;
    int found = OBJ_obj2nid(info->type);
    if (found != nid)
        err_refuse(err, REASON_MESSAGE_MALFORMED, "the content type is %s, not %s",
                   found == NID_undef ? "unknown" : OBJ_nid2sn(found), OBJ_nid2sn(nid));
    else if (!info->content || info->content->type != V_ASN1_SEQUENCE)
        err_refuse(err, REASON_MESSAGE_MALFORMED, "%s has no content", what);
    else
        value = frame_decode(frame_view(info->content->value.sequence), inner,
                             REASON_MESSAGE_MALFORMED, what, err);
    ASN1_item_free(outer, ASN1_ITEM_rptr(SCEPD_CONTENT_INFO));
    return value;
}

bool cms_name_eq(struct view a, struct view b)
{
    if (view_eq(a, b))
        return true;
    const unsigned char *p = a.p, *q = b.p;
    X509_NAME *x = d2i_X509_NAME(NULL, &p, (long)a.n), *y = d2i_X509_NAME(NULL, &q, (long)b.n);
    bool equal = x && y && X509_NAME_cmp(x, y) == 0;
    X509_NAME_free(x);
    X509_NAME_free(y);
    ERR_clear_error();
    return equal;
}

/* clang-format off */

/* A raw SET: the "SEQUENCE left encoded" of OpenSSL under the universal tag of SET. */
#define RAW_SET(type, field) \
    ASN1_EX_TYPE(ASN1_TFLG_IMPTAG | ASN1_TFLG_UNIVERSAL, V_ASN1_SET, type, field, ASN1_SEQUENCE)

ASN1_SEQUENCE(SCEPD_CONTENT_INFO) = {
    ASN1_SIMPLE(struct cms_content_info, type, ASN1_OBJECT),
    ASN1_EXP_OPT(struct cms_content_info, content, ASN1_ANY, 0),
} ASN1_SEQUENCE_END_name(struct cms_content_info, SCEPD_CONTENT_INFO)

ASN1_SEQUENCE(SCEPD_ENCAPSULATED) = {
    ASN1_SIMPLE(struct cms_encapsulated, type, ASN1_OBJECT),
    ASN1_EXP_OPT(struct cms_encapsulated, content, ASN1_OCTET_STRING, 0),
} static_ASN1_SEQUENCE_END_name(struct cms_encapsulated, SCEPD_ENCAPSULATED)

ASN1_SEQUENCE(SCEPD_SIGNED_DATA) = {
    ASN1_SIMPLE(struct cms_signed_data, version, ASN1_INTEGER),
    RAW_SET(struct cms_signed_data, digests),
    ASN1_SIMPLE(struct cms_signed_data, encapsulated, SCEPD_ENCAPSULATED),
    ASN1_IMP_SET_OF_OPT(struct cms_signed_data, certificates, ASN1_ANY, 0),
    ASN1_IMP_SET_OF_OPT(struct cms_signed_data, crls, ASN1_ANY, 1),
    ASN1_SET_OF(struct cms_signed_data, signer_infos, ASN1_ANY),
} ASN1_SEQUENCE_END_name(struct cms_signed_data, SCEPD_SIGNED_DATA)

ASN1_SEQUENCE(SCEPD_ISSUER_SERIAL) = {
    ASN1_SIMPLE(struct cms_issuer_serial, issuer, ASN1_SEQUENCE),
    ASN1_EX_TYPE(ASN1_TFLG_IMPTAG | ASN1_TFLG_UNIVERSAL, V_ASN1_INTEGER,
                 struct cms_issuer_serial, serial, ASN1_OCTET_STRING),
} ASN1_SEQUENCE_END_name(struct cms_issuer_serial, SCEPD_ISSUER_SERIAL)

ASN1_SEQUENCE(SCEPD_SIGNER_INFO) = {
    ASN1_SIMPLE(struct cms_signer_info, version, ASN1_INTEGER),
    ASN1_OPT(struct cms_signer_info, issuer_serial, SCEPD_ISSUER_SERIAL),
    ASN1_IMP_OPT(struct cms_signer_info, ski, ASN1_OCTET_STRING, 0),
    ASN1_SIMPLE(struct cms_signer_info, digest, X509_ALGOR),
    ASN1_IMP_OPT(struct cms_signer_info, signed_attributes, ASN1_SEQUENCE, 0),
    ASN1_SIMPLE(struct cms_signer_info, signature_algorithm, ASN1_SEQUENCE),
    ASN1_SIMPLE(struct cms_signer_info, signature, ASN1_OCTET_STRING),
    ASN1_IMP_OPT(struct cms_signer_info, unsigned_attributes, ASN1_SEQUENCE, 1),
} ASN1_SEQUENCE_END_name(struct cms_signer_info, SCEPD_SIGNER_INFO)

ASN1_ITEM_TEMPLATE(SCEPD_SIGNED_ATTRIBUTES) =
    ASN1_EX_TEMPLATE_TYPE(ASN1_TFLG_SEQUENCE_OF | ASN1_TFLG_IMPTAG | ASN1_TFLG_UNIVERSAL,
                          V_ASN1_SET, attributes, X509_ATTRIBUTE)
ASN1_ITEM_TEMPLATE_END(SCEPD_SIGNED_ATTRIBUTES)

ASN1_SEQUENCE(SCEPD_ENCRYPTED) = {
    ASN1_SIMPLE(struct cms_encrypted, type, ASN1_OBJECT),
    ASN1_SIMPLE(struct cms_encrypted, cipher, X509_ALGOR),
    ASN1_IMP_OPT(struct cms_encrypted, content, ASN1_OCTET_STRING, 0),
} static_ASN1_SEQUENCE_END_name(struct cms_encrypted, SCEPD_ENCRYPTED)

ASN1_SEQUENCE(SCEPD_ENVELOPED_DATA) = {
    ASN1_SIMPLE(struct cms_enveloped_data, version, ASN1_INTEGER),
    ASN1_IMP_OPT(struct cms_enveloped_data, originator, ASN1_SEQUENCE, 0),
    ASN1_SET_OF(struct cms_enveloped_data, recipients, ASN1_ANY),
    ASN1_SIMPLE(struct cms_enveloped_data, encrypted, SCEPD_ENCRYPTED),
    ASN1_IMP_OPT(struct cms_enveloped_data, unprotected, ASN1_SEQUENCE, 1),
} ASN1_SEQUENCE_END_name(struct cms_enveloped_data, SCEPD_ENVELOPED_DATA)

ASN1_SEQUENCE(SCEPD_KEY_TRANS) = {
    ASN1_SIMPLE(struct cms_key_trans, version, ASN1_INTEGER),
    ASN1_OPT(struct cms_key_trans, issuer_serial, SCEPD_ISSUER_SERIAL),
    ASN1_IMP_OPT(struct cms_key_trans, ski, ASN1_OCTET_STRING, 0),
    ASN1_SIMPLE(struct cms_key_trans, algorithm, X509_ALGOR),
    ASN1_SIMPLE(struct cms_key_trans, key, ASN1_OCTET_STRING),
} ASN1_SEQUENCE_END_name(struct cms_key_trans, SCEPD_KEY_TRANS)

ASN1_SEQUENCE(SCEPD_PASSWORD) = {
    ASN1_SIMPLE(struct cms_password, version, ASN1_INTEGER),
    ASN1_IMP_OPT(struct cms_password, derivation, X509_ALGOR, 0),
    ASN1_SIMPLE(struct cms_password, wrapping, X509_ALGOR),
    ASN1_SIMPLE(struct cms_password, key, ASN1_OCTET_STRING),
} ASN1_SEQUENCE_END_name(struct cms_password, SCEPD_PASSWORD)

ASN1_ITEM_TEMPLATE(SCEPD_PASSWORD_CHOICE) =
    ASN1_EX_TEMPLATE_TYPE(ASN1_TFLG_IMPTAG | ASN1_TFLG_CONTEXT, 3, password, SCEPD_PASSWORD)
ASN1_ITEM_TEMPLATE_END(SCEPD_PASSWORD_CHOICE)

ASN1_SEQUENCE(SCEPD_ISSUER_SUBJECT) = {
    ASN1_SIMPLE(struct scep_issuer_subject, issuer, ASN1_SEQUENCE),
    ASN1_SIMPLE(struct scep_issuer_subject, subject, ASN1_SEQUENCE),
} ASN1_SEQUENCE_END_name(struct scep_issuer_subject, SCEPD_ISSUER_SUBJECT)
    /* clang-format on */
