/* Templates for OpenSSL's ASN.1 decoder, in which names, keys, algorithms and extensions stay raw: fields marked
 * "TLV" hold the whole encoding, "content" an INTEGER's octets as they stand.  All of it in asn1_pkix.c.
 * Private to pkcs7/. */
#pragma once

#include <openssl/asn1t.h>
#include <openssl/safestack.h>
#include <openssl/x509.h>

typedef struct {
    X509_ALGOR *algorithm;
    ASN1_BIT_STRING *key;
} PKIX_SPKI;
DECLARE_ASN1_ITEM(PKIX_SPKI)

/* RFC 8017 appendix A.1.1 */
typedef struct {
    ASN1_OCTET_STRING *n, *e; /* content */
} PKIX_RSA_KEY;
DECLARE_ASN1_ITEM(PKIX_RSA_KEY)

/* RFC 2986 section 4 */
typedef struct {
    ASN1_STRING *info;   /* TLV */
    ASN1_STRING *sigalg; /* TLV */
    ASN1_BIT_STRING *signature;
} PKIX_CSR;
DECLARE_ASN1_ITEM(PKIX_CSR)

typedef struct {
    ASN1_OBJECT *type;
    STACK_OF(ASN1_TYPE) *values;
} PKIX_ATTRIBUTE;
DECLARE_ASN1_ITEM(PKIX_ATTRIBUTE)
DEFINE_STACK_OF(PKIX_ATTRIBUTE)

typedef struct {
    ASN1_INTEGER *version;      /* NULL: absent, which the reader refuses */
    ASN1_STRING *subject; /* TLV */
    ASN1_STRING *spki;    /* TLV */
    STACK_OF(PKIX_ATTRIBUTE) *attributes; /* NULL when left out, as some devices do */
} PKIX_CSR_INFO;
DECLARE_ASN1_ITEM(PKIX_CSR_INFO)
/* Frees both, either may be NULL, after overwriting what may hold the challenge password. */
void pkix_csr_wipe(PKIX_CSR *csr, PKIX_CSR_INFO *info);

typedef struct {
    ASN1_OBJECT *type;
    ASN1_BOOLEAN critical;
    ASN1_OCTET_STRING *value;
} PKIX_EXTENSION;
DECLARE_ASN1_ITEM(PKIX_EXTENSION)
DEFINE_STACK_OF(PKIX_EXTENSION)

typedef STACK_OF(PKIX_EXTENSION) PKIX_EXTENSIONS;
DECLARE_ASN1_ITEM(PKIX_EXTENSIONS)

typedef struct {
    ASN1_OBJECT *type;
    ASN1_TYPE *value;
} PKIX_NAME_ATTR;
DECLARE_ASN1_ITEM(PKIX_NAME_ATTR)
DEFINE_STACK_OF(PKIX_NAME_ATTR)

typedef STACK_OF(PKIX_NAME_ATTR) PKIX_RDN;
DECLARE_ASN1_ITEM(PKIX_RDN)
DEFINE_STACK_OF(PKIX_RDN)

typedef STACK_OF(PKIX_RDN) PKIX_NAME;
DECLARE_ASN1_ITEM(PKIX_NAME)
