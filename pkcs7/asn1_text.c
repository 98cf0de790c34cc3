#include "asn1_text.h"

#include <utf8proc.h>

#include "frame.h"

#define ESCAPE 0x1b

static void append_character(struct buf *out, uint32_t c)
{
    utf8proc_uint8_t bytes[4];
    utf8proc_ssize_t n = utf8proc_encode_char((utf8proc_int32_t)c, bytes);
    buf_append(out, bytes, (size_t)n);
}

static bool is_surrogate(uint32_t c)
{
    return c >= 0xd800 && c <= 0xdfff;
}

static bool is_utf8(struct view v)
{
    while (v.n > 0) {
        utf8proc_int32_t c;
        utf8proc_ssize_t n = utf8proc_iterate(v.p, (utf8proc_ssize_t)v.n, &c);
        if (n <= 0)
            return false;
        v = view_of(v.p + n, v.n - (size_t)n);
    }
    return true;
}

/* Each returns what is wrong, or NULL; `out` has room enough already. */
static const char *from_utf8(struct view v, struct buf *out)
{
    if (!is_utf8(v))
        return "is not valid UTF-8";
    buf_append(out, v.p, v.n);
    return NULL;
}

/* UTF-16 big-endian: devices do send surrogate pairs here.  The decoder takes no odd length. */
static const char *from_bmp(struct view v, struct buf *out)
{
    for (size_t i = 0; i + 1 < v.n; i += 2) {
        uint32_t c = (uint32_t)v.p[i] << 8 | v.p[i + 1];
        if (is_surrogate(c)) {
            uint32_t low = i + 3 < v.n ? (uint32_t)v.p[i + 2] << 8 | v.p[i + 3] : 0;
            if (c >= 0xdc00 || low < 0xdc00 || low > 0xdfff)
                return "has half of a surrogate pair";
            c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
            i += 2;
        }
        append_character(out, c);
    }
    return NULL;
}

static const char *from_universal(struct view v, struct buf *out)
{
    for (size_t i = 0; i + 3 < v.n; i += 4) {
        uint32_t c = (uint32_t)v.p[i] << 24 | (uint32_t)v.p[i + 1] << 16 |
                     (uint32_t)v.p[i + 2] << 8 | v.p[i + 3];
        if (c > 0x10ffff || is_surrogate(c))
            return "has a number that is no Unicode character";
        append_character(out, c);
    }
    return NULL;
}

/* What is written as T61String is Latin-1 in practice; octets with another meaning in real T.61 are
 * not guessed at. */
static const char *from_t61(struct view v, struct buf *out)
{
    for (size_t i = 0; i < v.n; i++) {
        if ((v.p[i] >= 0x80 && v.p[i] <= 0x9f) || v.p[i] == ESCAPE)
            return "is a T61String that is not Latin-1";
        append_character(out, v.p[i]);
    }
    return NULL;
}

struct view asn1_text_octets(const ASN1_TYPE *value)
{
    switch (value->type) { /* those whose value is no ASN1_STRING */
    case V_ASN1_BOOLEAN:
    case V_ASN1_NULL:
    case V_ASN1_OBJECT:
        return (struct view){0};
    default:
        return frame_view(value->value.asn1_string);
    }
}

bool asn1_text(const ASN1_TYPE *value, enum reason reason, const char *what, struct buf *out,
               struct err *err)
{
    const char *fault;
    /* room first: at most two octets come of one (Latin-1), three of two (BMP), four of four */
    struct view v = asn1_text_octets(value);
    if (!buf_reserve(out, 2 * v.n))
        return err_memory(err);
    switch (value->type) {
    case V_ASN1_UTF8STRING:
    case V_ASN1_PRINTABLESTRING:
    case V_ASN1_IA5STRING:
    case V_ASN1_NUMERICSTRING:
    case V_ASN1_VISIBLESTRING:
        fault = from_utf8(v, out);
        break;
    case V_ASN1_BMPSTRING:
        fault = from_bmp(v, out);
        break;
    case V_ASN1_UNIVERSALSTRING:
        fault = from_universal(v, out);
        break;
    case V_ASN1_T61STRING:
        fault = from_t61(v, out);
        break;
    default:
        return err_refuse(err, reason, "%s is of ASN.1 type %d, no string type", what, value->type);
    }
    return !fault || err_refuse(err, reason, "%s %s", what, fault);
}
