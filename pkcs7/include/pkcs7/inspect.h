/* What an answer of a SCEP server looks like from outside, faults and all.  scep_parse reads what is right and refuses the
 * rest; this tells what is there, so that `scepctl probe` can say which client will stumble over what. */
#pragma once

#include "pkcs7/scep.h"

enum scep_attribute { /* the signed attributes of SCEP (RFC 8894 section 3.2.1) and of CMS (RFC 5652 section 11) */
    ATTR_CONTENT_TYPE,
    ATTR_MESSAGE_DIGEST,
    ATTR_SIGNING_TIME,
    ATTR_TRANSACTION_ID,
    ATTR_MESSAGE_TYPE,
    ATTR_SENDER_NONCE,
    ATTR_RECIPIENT_NONCE,
    ATTR_PKI_STATUS,
    ATTR_FAIL_INFO,
    ATTR_FAIL_TEXT,
    ATTR_MS_ERROR,
    ATTR_COUNT
};
const char *scep_attribute_name(enum scep_attribute a); /* "transactionID" */

#define INSPECT_MAX_VALUE 512 /* octets of an attribute's value that are kept */
#define INSPECT_MAX_NAME 96   /* characters of an algorithm's name */

struct inspected_attribute {
    unsigned times;           /* how often it stands there; the rest is about the first */
    int values;
    int tag;                  /* V_ASN1_PRINTABLESTRING ... of its first value, -1: no value */
    uint8_t value[INSPECT_MAX_VALUE + 1]; /* of a string, with a zero behind it; empty for other types */
    size_t n;
    bool cut;                 /* it was longer */
};

struct inspected_signed {
    bool der;
    char not_der[320];        /* why it is BER only */
    int certificates, crls, signers;
    bool has_content, content_is_data;
    struct buf content;       /* owned: the eContent */
    /* Of the first SignerInfo; without one everything below is zero. */
    char digest[INSPECT_MAX_NAME], signature[INSPECT_MAX_NAME]; /* "SHA256", "rsaEncryption", or dotted */
    struct inspected_attribute attribute[ATTR_COUNT];
    bool signer_included;     /* its certificate is in the message */
    struct cert *signer;      /* owned: that one, or the candidate that was named; NULL: unknown */
    int candidate;            /* index among the candidates with the same bytes, -1: none of them */
    bool verified;            /* messageDigest and signature are right */
    char not_verified[320];
};

/* Reads a whole ContentInfo with SignedData.  `candidates` may be the signer's certificate when the message brings none.
 * False (REASON_MESSAGE_MALFORMED ...) only when it is no SignedData at all. */
bool inspect_signed(struct view in, struct cert *const *candidates, size_t n, struct inspected_signed *out,
                    struct err *err);
void inspected_signed_clear(struct inspected_signed *i);

struct inspected_envelope {
    bool der;
    char not_der[320];
    char cipher[INSPECT_MAX_NAME]; /* "AES-128-CBC" or dotted */
    char key_transport[INSPECT_MAX_NAME]; /* of the first recipient; "" when it is no RSA one */
    int recipients;
    bool by_key_identifier;   /* and not by issuer and serial number */
    bool in_pieces;           /* encryptedContent is constructed: some clients read the primitive form only */
};

/* Reads a whole ContentInfo with EnvelopedData, without any key. */
bool inspect_envelope(struct view in, struct inspected_envelope *out, struct err *err);
