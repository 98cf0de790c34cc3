/* A DER writer that fills its buffer from the end to the start, so that every length is known
 * when its header is written: children first, last child first, then der_wrap.  Failure (out of
 * memory, over the limit) is sticky and told once by der_take.  It only writes; what reads is
 * OpenSSL's template decoder, or a walk from header to header (tlv.h). */
#pragma once

#include "base/buf.h"
#include "base/err.h"

#define DER_MAX (16u << 20) /* no structure of ours comes near; a CRL is streamed otherwise */

enum {
    DER_BOOLEAN = 0x01, DER_INTEGER = 0x02, DER_BIT_STRING = 0x03, DER_OCTET_STRING = 0x04,
    DER_NULL = 0x05, DER_OID = 0x06, DER_ENUMERATED = 0x0a, DER_UTF8_STRING = 0x0c,
    DER_PRINTABLE_STRING = 0x13, DER_IA5_STRING = 0x16, DER_UTC_TIME = 0x17,
    DER_GENERALIZED_TIME = 0x18, DER_BMP_STRING = 0x1e, DER_SEQUENCE = 0x30, DER_SET = 0x31,
};
#define DER_CONTEXT(n) (0x80u | (n))             /* primitive [n] */
#define DER_CONTEXT_CONSTRUCTED(n) (0xa0u | (n)) /* constructed [n] */

struct der {
    uint8_t *start, *p, *end; /* content is [p, end) */
    bool failed;
};

void der_init(struct der *w, size_t expected);
void der_clear(struct der *w);  /* frees; safe on the zero state */
/* Where content begins now: what is written from here on (that is, before it) is wrapped by
 * der_wrap(w, tag, mark). */
size_t der_mark(const struct der *w);
void der_raw(struct der *w, struct view bytes);
void der_tlv(struct der *w, unsigned tag, struct view content);
void der_wrap(struct der *w, unsigned tag, size_t mark);
void der_oid_nid(struct der *w, int nid);          /* an OID that OpenSSL knows */
void der_oid_text(struct der *w, const char *dotted);
void der_uint(struct der *w, struct view big_endian); /* INTEGER >= 0, minimal */
void der_small(struct der *w, uint64_t value);        /* INTEGER */
void der_bool(struct der *w, bool value);
/* UTCTime through 2049, GeneralizedTime from 2050 (RFC 5280 section 4.1.2.5). */
void der_time(struct der *w, int64_t unix_seconds);
void der_generalized_time(struct der *w, int64_t unix_seconds); /* whatever the year; whole seconds */
/* BIT STRING of whole octets, no unused bits. */
void der_bits(struct der *w, struct view octets);
/* BIT STRING of named bits (bit 0 first), trailing zero bits trimmed. */
void der_named_bits(struct der *w, uint32_t bits);
/* Sorts the elements of the SET that was written since `mark` into DER order, then wraps it. */
void der_wrap_set_of(struct der *w, size_t mark);
struct view der_content(const struct der *w);      /* borrowed, valid until the next write */
/* Moves the content to `out` (owned; what it held before must have been cleared) and clears w; false with err when
 * writing had failed. */
bool der_take(struct der *w, struct buf *out, struct err *err);
