/* Writes a TBSCertificate: the one place that decides encoding and order.  What the authority plans is
 * written with it, and what the signer is shown is read and written again with it, so that any octet which
 * differs from our own encoding is noticed (C1, C22).  Private to ca/. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "pkcs7/alg.h"
#include "pkcs7/ext.h"
#include "pkcs7/name.h"
#include "pkcs7/pubkey.h"

#define TBS_MAX_EXTRA (EKU_MAX + 2) /* what a template passes on, and nocheck */
#define KEY_ID_SIZE 20              /* RFC 5280 section 4.2.1.2, method 1 */

#define OID_BASIC_CONSTRAINTS "2.5.29.19"
#define OID_KEY_USAGE "2.5.29.15"
#define OID_EXT_KEY_USAGE "2.5.29.37"
#define OID_SUBJECT_KEY_ID "2.5.29.14"
#define OID_AUTHORITY_KEY_ID "2.5.29.35"
#define OID_SUBJECT_ALT_NAME "2.5.29.17"
#define OID_CRL_POINTS "2.5.29.31"
#define OID_FRESHEST_CRL "2.5.29.46"
#define OID_CRL_NUMBER "2.5.29.20"
#define OID_DELTA_INDICATOR "2.5.29.27"
#define OID_ISSUING_POINT "2.5.29.28"
#define OID_AUTHORITY_INFO "1.3.6.1.5.5.7.1.1"
#define OID_POLICIES "2.5.29.32"
#define OID_NAME_CONSTRAINTS "2.5.29.30"
#define OID_OCSP_NOCHECK "1.3.6.1.5.5.7.48.1.5"
#define OID_MS_TEMPLATE_NAME "1.3.6.1.4.1.311.20.2"
#define OID_MS_TEMPLATE "1.3.6.1.4.1.311.21.7"
#define OID_MS_SID "1.3.6.1.4.1.311.25.2"

#define EKU_SERVER_AUTH "1.3.6.1.5.5.7.3.1"
#define EKU_CLIENT_AUTH "1.3.6.1.5.5.7.3.2"
#define EKU_CODE_SIGNING "1.3.6.1.5.5.7.3.3"
#define EKU_EMAIL "1.3.6.1.5.5.7.3.4"
#define EKU_TIME_STAMPING "1.3.6.1.5.5.7.3.8"
#define EKU_OCSP_SIGNING "1.3.6.1.5.5.7.3.9"
#define EKU_ANY "2.5.29.37.0"
#define EKU_MS_REQUEST_AGENT "1.3.6.1.4.1.311.20.2.1"

/* An extension beside the fixed set, never critical.  `oid` and `value` are borrowed. */
struct tbs_extra {
    const char *oid;
    struct view value;
};

/* Everything borrowed. */
struct tbs {
    struct view serial; /* unsigned, big-endian */
    struct sigalg sigalg;
    struct view issuer; /* the Name, whole TLV, copied as bytes */
    int64_t not_before, not_after;
    const struct name *subject;
    const struct pubkey *key;
    bool is_ca;
    int64_t path_len; /* -1: none */
    uint32_t key_usage;
    const struct eku *eku;           /* NULL or empty: no extension */
    struct view authority_key_id;    /* empty: no extension */
    const struct san *san;           /* NULL or empty: no extension; critical iff the subject is empty */
    const char *crl_url, *issuer_url, *ocsp_url; /* NULL or "": not in it */
    struct tbs_extra extra[TBS_MAX_EXTRA]; /* in order: tbs_extra_add */
    size_t extra_n;
};

/* The place of an extension in the fixed order, from 0; -1 when it is not one of the set. */
int tbs_extension_rank(const char *oid);
/* Does `a` stand before `b`?  Those outside the set come last, by their dotted text. */
bool tbs_extension_before(const char *a, const char *b);
/* Keeps the order.  False when the list is full or has the OID. */
bool tbs_extra_add(struct tbs *t, const char *oid, struct view value);
bool tbs_build(const struct tbs *t, struct buf *out, struct err *err);

/* SHA-1 of the BIT STRING's content (RFC 5280 section 4.2.1.2, method 1): a name, not a protection. */
bool key_identifier(const struct pubkey *key, uint8_t out[KEY_ID_SIZE], struct err *err);

/* SEQUENCE { tbs, AlgorithmIdentifier, BIT STRING signature }: a Certificate. */
bool certificate_assemble(struct view tbs, struct sigalg alg, struct view signature, struct buf *out,
                          struct err *err);
