/* The first two floors for untrusted bytes: is it one TLV of a sane size with nothing behind it, and does
 * OpenSSL's template decoder read it?  Private to pkcs7/. */
#pragma once

#include <openssl/asn1t.h>

#include "base/err.h"
#include "base/view.h"

enum frame_encoding { FRAME_DER, FRAME_BER }; /* BER: indefinite lengths and constructed strings too */

/* Size 1..max, outer tag SEQUENCE, nesting at most 32 deep, every length inside its parent, nothing behind the
 * end.  REASON_MESSAGE_TRUNCATED when it ends too early or has a tail, else `malformed`. */
bool frame_check(struct view in, size_t max, enum frame_encoding encoding, enum reason malformed, struct err *err);

/* The same in DER for a part of something larger: a cut or a tail is `malformed`, too. */
bool frame_check_part(struct view in, size_t max, enum reason malformed, struct err *err);

/* Decodes one whole value; every byte must be consumed.  Returns owned (ASN1_item_free), or NULL with `malformed`. */
ASN1_VALUE *frame_decode(struct view in, const ASN1_ITEM *item, enum reason malformed, const char *what,
                         struct err *err);

/* The bytes of a raw field (ASN1_SEQUENCE kept encoded) or of a string. */
static inline struct view frame_view(const ASN1_STRING *s)
{
    return s ? view_of(ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s)) : view_of(NULL, 0);
}

/* Where `bytes`, decoded from *rest, stand in it: *rest goes on behind them.  Decoded values are copies; this
 * gives views that live as long as the input.  Empty when `bytes` is. */
struct view frame_locate(struct view *rest, struct view bytes);
