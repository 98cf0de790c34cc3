/* The signed attributes of SCEP (RFC 8894 section 3.2.1) and of CMS (RFC 5652 section 11): their
 * OIDs, and the way from a SignerInfo into struct scep_message.  Private to pkcs7/. */
#pragma once

#include <openssl/x509.h>

#include "asn1_cms.h"
#include "pkcs7/inspect.h"

struct view scep_attribute_oid(enum scep_attribute a); /* the whole OBJECT IDENTIFIER, static */
enum scep_attribute scep_attribute_of(const ASN1_OBJECT *oid); /* ATTR_COUNT: none of them */

/* What the signature check needs of the attributes; borrowed from them. */
struct scep_signed_values {
    struct view content_type; /* the object identifier's content */
    struct view digest;
};

/* The signed attributes, which must be there, as they were signed: a SET in DER (RFC 5652 section 5.4), in the order
 * received. */
bool scep_attributes_der(const struct cms_signer_info *si, struct buf *out, struct err *err);
/* Fills `m` from the attributes in DER.  m->replyable becomes true as soon as the transactionID is known,
 * whatever else is refused. */
bool scep_attributes_read(struct view der, struct scep_message *m, struct scep_signed_values *out,
                          struct err *err);
