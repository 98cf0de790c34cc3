/* A certificate read without copying: names, key and extensions stay raw bytes until
 * asked for.  Used for the signers of messages (which may be X.509 v1, have 33-octet serials or odd
 * extensions: no policy is applied here) and to compare what was issued with its plan. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "pkcs7/ext.h"
#include "pkcs7/pubkey.h"

#define CERT_MAX_SIZE (32u << 10)

struct cert {
    struct buf der;            /* owned copy; all views point into it */
    struct view tbs;           /* the whole TBSCertificate TLV */
    int version;               /* 1, 2 or 3 */
    struct view serial;        /* INTEGER content octets as encoded */
    struct view serial_tlv;    /* the whole INTEGER TLV */
    struct view issuer, subject, spki; /* whole TLVs */
    struct view tbs_sigalg, sigalg_der, signature;
    struct view extensions;    /* the SEQUENCE OF Extension TLV; empty if none */
    int64_t not_before, not_after; /* Unix seconds */
    uint8_t sha256[32];        /* over der */
};

/* Only a well-formed Certificate of at most CERT_MAX_SIZE with nothing behind it passes;
 * REASON_MESSAGE_MALFORMED otherwise. */
bool cert_parse(struct view der, struct cert **out, struct err *err);
/* A TBSCertificate alone: `der` and `tbs` are it, the signature with its algorithm and sha256 stay empty. */
bool cert_parse_tbs(struct view tbs, struct cert **out, struct err *err);
/* First certificate of a PEM or DER file's bytes. */
bool cert_parse_any(struct view pem_or_der, struct cert **out, struct err *err);
void cert_free(struct cert *c);
bool cert_signature_verify(const struct cert *c, EVP_PKEY *issuer_key, struct err *err);
/* The same by a context that is used again (pubkey_verify_by). */
bool cert_signature_verify_by(const struct cert *c, EVP_PKEY_CTX *issuer_key, struct err *err);
/* Fingerprint as "5D:1C:..." of any digest; out has 3 * 64 bytes. */
bool cert_fingerprint(const struct cert *c, enum digest d, char *out, struct err *err);
/* PEM text, owned. */
bool cert_pem(struct view der, struct buf *out, struct err *err);
