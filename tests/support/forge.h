/* Makes pkiMessages that are right, and then wrong in exactly one place.  Written apart from
 * pkcs7/'s own writers, on the same DER primitives. */
#pragma once

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "pkcs7/scep.h"

#define OID_DATA "1.2.840.113549.1.7.1"
#define OID_SIGNED "1.2.840.113549.1.7.2"
#define OID_ENVELOPED "1.2.840.113549.1.7.3"
#define OID_CONTENT_TYPE "1.2.840.113549.1.9.3"
#define OID_MESSAGE_DIGEST "1.2.840.113549.1.9.4"
#define OID_SIGNING_TIME "1.2.840.113549.1.9.5"
#define OID_MESSAGE_TYPE "2.16.840.1.113733.1.9.2"
#define OID_PKI_STATUS "2.16.840.1.113733.1.9.3"
#define OID_FAIL_INFO "2.16.840.1.113733.1.9.4"
#define OID_SENDER_NONCE "2.16.840.1.113733.1.9.5"
#define OID_RECIPIENT_NONCE "2.16.840.1.113733.1.9.6"
#define OID_TRANSACTION_ID "2.16.840.1.113733.1.9.7"
#define OID_FAIL_TEXT "1.3.6.1.5.5.7.24.1"
#define OID_MS_ERROR "1.3.6.1.4.1.311.21.33"

struct forge_attr {
    const char *oid;
    unsigned tag;
    struct view value;
    unsigned values; /* how often the value stands in the SET */
};

struct forge {
    EVP_PKEY *key;
    X509 *cert;
    struct forge_attr attr[40]; /* besides contentType and messageDigest */
    size_t attrs;
    struct view content;
    const char *outer_oid, *content_oid;
    const char *content_type_value; /* OID; NULL leaves the attribute out */
    const EVP_MD *md;
    struct view digest_alg, signature_alg; /* replace the AlgorithmIdentifiers when not empty */
    unsigned signers;      /* SignerInfos */
    unsigned others;       /* unreadable certificates before the signer's */
    struct view other_cert; /* one more certificate before it */
    bool no_content, no_certs, no_attributes, no_message_digest;
    bool by_ski, no_sid, bad_digest, bad_signature, pss;
    bool unsorted;         /* attributes in the order given */
    bool ber_attributes;   /* indefinite length around them, signed as DER all the same */
    bool in_pieces;        /* octet strings among them constructed, signed as DER all the same: with `unsorted` */
};

/* A PKCSReq around `content`, signed with SHA-256; key and certificate are borrowed. */
void forge_init(struct forge *f, EVP_PKEY *key, X509 *cert, struct view content);
struct forge_attr *forge_attr_find(struct forge *f, const char *oid);
void forge_attr_add(struct forge *f, const char *oid, unsigned tag, struct view value);
void forge_attr_drop(struct forge *f, const char *oid);
struct buf forge_build(const struct forge *f);

struct forge_envelope {
    X509 *recipient;
    struct view plain;
    const EVP_CIPHER *cipher;
    const char *cipher_oid, *content_oid, *key_oid; /* NULL: the right ones */
    struct view key_params; /* whole TLV; empty: absent */
    const char *oaep_hash, *oaep_mgf; /* names for OpenSSL; NULL: PKCS#1 v1.5 */
    size_t iv_n;            /* 0: the cipher's */
    unsigned others;        /* recipients nobody knows, before the right one */
    bool other_kinds;       /* RecipientInfos of other kinds, before it */
    bool by_ski, no_rid, no_content, cut_block;
    bool bad_padding;       /* of the content */
    bool bad_key_padding;   /* of the content key */
    size_t sent_key_n;      /* octets of the content key that is sent; 0: the cipher's */
    bool other_key;         /* is sent than the content was encrypted with */
    bool pieces;            /* encryptedContent constructed of OCTET STRINGs */
};
void forge_envelope_init(struct forge_envelope *e, X509 *recipient, struct view plain);
struct buf forge_envelope_build(const struct forge_envelope *e);

/* The same value in BER: indefinite lengths and OCTET STRINGs in pieces, everywhere but in the certificates
 * of a SignedData. */
struct buf forge_ber(struct view der);
