/* The signed attributes of SCEP (RFC 8894 section 3.2.1) and of CMS (RFC 5652 section 11): their
 * OIDs, and the way from a SignerInfo into struct scep_message.  Private to pkcs7/. */
#pragma once

#include <openssl/x509.h>

#include "pkcs7/scep.h"

enum scep_attribute {
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

struct view scep_attribute_oid(enum scep_attribute a); /* the whole OBJECT IDENTIFIER, static */

/* What the signature check needs of the attributes; borrowed from them. */
struct scep_signed_values {
    const ASN1_OBJECT *content_type;
    struct view digest;
};

/* Fills `m` from the attributes.  m->replyable becomes true as soon as the transactionID is known,
 * whatever else is refused. */
bool scep_attributes_read(const STACK_OF(X509_ATTRIBUTE) *attributes, struct scep_message *m,
                          struct scep_signed_values *out, struct err *err);
