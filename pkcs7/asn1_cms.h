/* The structures of CMS (RFC 5652) that SCEP uses, as OpenSSL templates of our own: certificates,
 * names and whole algorithm identifiers stay the bytes that came (OpenSSL's own CMS decoder loads
 * every public key on the way, at 100 us each).  Private to pkcs7/; values are decoded by
 * frame_decode and freed by ASN1_item_free, which takes NULL. */
#pragma once

#include <openssl/asn1t.h>
#include <openssl/x509.h>

#include "base/err.h"
#include "base/view.h"
#include "pkcs7/cert.h"

struct cms_content_info {
    ASN1_OBJECT *type;
    ASN1_TYPE *content; /* [0], NULL if absent */
};

struct cms_encapsulated {
    ASN1_OBJECT *type;
    ASN1_OCTET_STRING *content; /* [0], NULL if absent; BER's pieces are joined */
};

struct cms_signed_data {
    ASN1_INTEGER *version;
    ASN1_STRING *digests; /* raw SET, for one-pass readers only */
    struct cms_encapsulated *encapsulated;
    STACK_OF(ASN1_TYPE) *certificates; /* [0], NULL if absent; a certificate is a raw SEQUENCE */
    STACK_OF(ASN1_TYPE) *crls;         /* [1], NULL if absent */
    STACK_OF(ASN1_TYPE) *signer_infos;
};

struct cms_issuer_serial {
    ASN1_STRING *issuer;       /* raw Name */
    ASN1_OCTET_STRING *serial; /* the INTEGER's content as it stands */
};

/* The CHOICE of SignerIdentifier and RecipientIdentifier is written as two OPTIONALs: their tags
 * differ, and the reader checks that one is there. */
struct cms_signer_info {
    ASN1_INTEGER *version;
    struct cms_issuer_serial *issuer_serial;
    ASN1_OCTET_STRING *ski; /* [0] */
    X509_ALGOR *digest;
    ASN1_STRING *signed_attributes;              /* [0], raw, NULL if absent: scep_attributes_der */
    ASN1_STRING *signature_algorithm;            /* raw */
    ASN1_OCTET_STRING *signature;
    ASN1_STRING *unsigned_attributes; /* [1], raw */
};

struct cms_encrypted {
    ASN1_OBJECT *type;
    X509_ALGOR *cipher;
    ASN1_OCTET_STRING *content; /* [0], NULL if absent; BER's pieces are joined */
};

struct cms_enveloped_data {
    ASN1_INTEGER *version;
    ASN1_STRING *originator;         /* [0], raw */
    STACK_OF(ASN1_TYPE) *recipients; /* KeyTransRecipientInfo is the only SEQUENCE among them */
    struct cms_encrypted *encrypted;
    ASN1_STRING *unprotected; /* [1], raw */
};

struct cms_key_trans {
    ASN1_INTEGER *version;
    struct cms_issuer_serial *issuer_serial;
    ASN1_OCTET_STRING *ski; /* [0] */
    X509_ALGOR *algorithm;
    ASN1_OCTET_STRING *key;
};

/* PasswordRecipientInfo (RFC 5652 section 6.2.4). */
struct cms_password {
    ASN1_INTEGER *version;
    X509_ALGOR *derivation; /* [0], NULL if absent */
    X509_ALGOR *wrapping;
    ASN1_OCTET_STRING *key;
};

/* RFC 8894 section 3.3.3: what CertPoll sends. */
struct scep_issuer_subject {
    ASN1_STRING *issuer, *subject; /* raw Names */
};

DECLARE_ASN1_ITEM(SCEPD_CONTENT_INFO)
DECLARE_ASN1_ITEM(SCEPD_SIGNED_DATA)
DECLARE_ASN1_ITEM(SCEPD_SIGNER_INFO)
DECLARE_ASN1_ITEM(SCEPD_ENVELOPED_DATA)
DECLARE_ASN1_ITEM(SCEPD_KEY_TRANS)
DECLARE_ASN1_ITEM(SCEPD_PASSWORD)
/* The same as [3] of the CHOICE RecipientInfo. */
DECLARE_ASN1_ITEM(SCEPD_PASSWORD_CHOICE)
DECLARE_ASN1_ITEM(SCEPD_ISSUER_SERIAL)
DECLARE_ASN1_ITEM(SCEPD_ISSUER_SUBJECT)
/* STACK_OF(X509_ATTRIBUTE) as the SET that was signed, order kept. */
DECLARE_ASN1_ITEM(SCEPD_SIGNED_ATTRIBUTES)

/* Frame and decode of a whole ContentInfo (DER or BER) that holds `nid`; `inner` is the item of what
 * is inside, `what` its name.  Returns owned, or NULL. */
ASN1_VALUE *cms_decode(struct view in, int nid, const ASN1_ITEM *inner, const char *what,
                       struct err *err);
/* Does the SignerInfo name this certificate?  (scep_parse.c) */
bool cms_names_signer(const struct cms_signer_info *si, const struct cert *c);
/* The signature over the signed attributes (scep_attributes_der), whose digest is `digest`.  (scep_parse.c) */
bool cms_signature_verify(const struct cms_signer_info *si, struct view attributes, EVP_PKEY_CTX *key,
                          enum digest digest, struct err *err);
/* Equal as bytes, or as names: some libraries encode a name anew with other string types. */
bool cms_name_eq(struct view a, struct view b);
