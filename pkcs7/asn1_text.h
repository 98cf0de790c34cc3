/* Strings of any ASN.1 type as UTF-8.  Private to pkcs7/. */
#pragma once

#include <openssl/asn1.h>

#include "base/buf.h"
#include "base/err.h"

/* UTF8String, PrintableString, IA5String, NumericString and VisibleString are taken as they are when they are valid
 * UTF-8 (old devices put UTF-8 and characters outside of the alphabet into PrintableString); BMPString,
 * UniversalString and T61String (as Latin-1) are converted.  `out` is appended to and may hold a part on failure.
 * The refusal begins with `what`. */
bool asn1_text(const ASN1_TYPE *value, enum reason reason, const char *what, struct buf *out, struct err *err);

/* The octets as encoded; empty when the value is no kind of string. */
struct view asn1_text_octets(const ASN1_TYPE *value);
