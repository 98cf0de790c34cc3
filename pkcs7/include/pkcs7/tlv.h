/* Walks over DER without copying it: OpenSSL reads each header (ASN1_get_object), the caller says what must come next.
 * For what is read often or is too large for a tree of objects; everything else goes through ASN.1 templates. */
#pragma once

#include "base/view.h"
#include "pkcs7/der.h"

struct tlv {
    unsigned tag;              /* the identifier octet; 0x1f and more in its low bits never match anything here */
    struct view whole, content; /* borrowed */
};

/* Takes one TLV of definite length off the front of `rest`; false at its end, or where it is malformed. */
bool tlv_next(struct view *rest, struct tlv *out);
/* The same, and it has this tag. */
bool tlv_next_is(struct view *rest, unsigned tag, struct tlv *out);
/* Whether the next one has this tag; nothing is taken. */
bool tlv_ahead(struct view rest, unsigned tag);
/* A UTCTime or GeneralizedTime as Unix seconds. */
bool tlv_time(const struct tlv *t, int64_t *out);
/* The octets of a BIT STRING; `unused` bits (0 to 7) in the last of them. */
bool tlv_bits(const struct tlv *t, struct view *octets, unsigned *unused);
