#include "frame.h"

#include <string.h>

#include <openssl/asn1.h>
#include <openssl/err.h>

/* X.509, PKCS#10 and CMS nest about 15 deep; more is an attack on somebody's stack. */
#define MAX_DEPTH 32

#define TAG_EOC 0
#define SEQUENCE_OCTET (V_ASN1_CONSTRUCTED | V_ASN1_SEQUENCE)

struct level {
    const uint8_t *end; /* of the content; of the whole input while all around it is indefinite */
    bool indefinite;
    bool open; /* this and all levels around it are indefinite */
};

struct walk {
    const uint8_t *p;
    struct level level[MAX_DEPTH];
    size_t depth; /* levels in use */
    enum frame_encoding encoding;
    enum reason malformed;
};

struct header {
    long length;
    int tag, class;
    bool constructed, indefinite;
};

/* Ran out of bytes: the input was cut when nothing but the input's end was in the way. */
static bool too_short(const struct walk *w, bool open, const uint8_t *start, struct err *err)
{
    if (open)
        return err_refuse(err, REASON_MESSAGE_TRUNCATED, "the input ends inside of its structure");
    return err_refuse(err, w->malformed, "a length at octet %zu reaches out of its parent",
                      (size_t)(w->p - start));
}

static bool read_header(struct walk *w, const uint8_t *start, struct header *h, struct err *err)
{
    const struct level *top = w->depth ? &w->level[w->depth - 1] : NULL;
    const uint8_t *end = top->end;
    const uint8_t *p = w->p;
    int bits = ASN1_get_object(&p, &h->length, &h->tag, &h->class, end - w->p);
    if (bits & 0x80) {
        ERR_clear_error();
        return too_short(w, top->open, start, err);
    }
    h->constructed = bits & V_ASN1_CONSTRUCTED;
    h->indefinite = bits & 1;
    size_t size = (size_t)(p - w->p);
    if (w->encoding == FRAME_DER && !h->indefinite &&
        (size_t)ASN1_object_size(0, (int)h->length, h->tag) != size + (size_t)h->length)
        return err_refuse(err, w->malformed, "the length at octet %zu is not minimal as DER wants",
                          (size_t)(w->p - start));
    w->p = p;
    return true;
}

/* X.690 section 8: only strings can be in pieces (times are strings). */
static bool is_never_constructed(int tag)
{
    switch (tag) {
    case V_ASN1_BOOLEAN:
    case V_ASN1_INTEGER:
    case V_ASN1_NULL:
    case V_ASN1_OBJECT:
    case V_ASN1_REAL:
    case V_ASN1_ENUMERATED:
    case 13: /* RELATIVE-OID */
        return true;
    default:
        return false;
    }
}

static bool check_form(const struct walk *w, const struct header *h, size_t at, struct err *err)
{
    if (w->encoding == FRAME_DER && h->indefinite)
        return err_refuse(err, w->malformed, "indefinite length (BER) at octet %zu", at);
    if (h->class != V_ASN1_UNIVERSAL)
        return true;
    bool collection = h->tag == V_ASN1_SEQUENCE || h->tag == V_ASN1_SET;
    if (collection && !h->constructed)
        return err_refuse(err, w->malformed, "primitive SEQUENCE or SET at octet %zu", at);
    if (h->constructed && is_never_constructed(h->tag))
        return err_refuse(err, w->malformed, "a number or name in pieces at octet %zu", at);
    if (w->encoding == FRAME_DER && h->constructed && !collection)
        return err_refuse(err, w->malformed, "constructed string (BER) at octet %zu", at);
    return true;
}

static bool push(struct walk *w, const struct header *h, size_t at, struct err *err)
{
    if (w->depth == MAX_DEPTH)
        return err_refuse(err, w->malformed, "nested more than %d deep at octet %zu", MAX_DEPTH,
                          at);
    const struct level *parent = &w->level[w->depth - 1];
    w->level[w->depth++] = (struct level){
        .end = h->indefinite ? parent->end : w->p + h->length,
        .indefinite = h->indefinite,
        .open = h->indefinite && parent->open,
    };
    return true;
}

/* One step: a child of the innermost level is entered or passed. */
static bool step(struct walk *w, const uint8_t *start, struct err *err)
{
    size_t at = (size_t)(w->p - start);
    struct header h = {0};
    if (!read_header(w, start, &h, err))
        return false;
    if (h.class == V_ASN1_UNIVERSAL && h.tag == TAG_EOC) {
        if (!w->level[w->depth - 1].indefinite || h.length != 0 || h.constructed)
            return err_refuse(err, w->malformed, "end-of-contents out of place at octet %zu", at);
        w->depth--;
        return true;
    }
    if (!check_form(w, &h, at, err))
        return false;
    if (h.constructed)
        return push(w, &h, at, err);
    w->p += h.length;
    return true;
}

static bool begin(struct walk *w, struct view in, struct err *err)
{
    if (in.p[0] != SEQUENCE_OCTET)
        return err_refuse(err, w->malformed, "begins with octet 0x%02x, not with a SEQUENCE",
                          in.p[0]);
    /* The input as a whole is the level around everything. */
    w->p = in.p;
    w->level[0] = (struct level){.end = in.p + in.n, .open = true};
    w->depth = 1;
    return step(w, in.p, err);
}

/* RFC 8894 section 7.1 */
bool frame_check(struct view in, size_t max, enum frame_encoding encoding, enum reason malformed,
                 struct err *err)
{
    if (in.n == 0)
        return err_refuse(err, REASON_MESSAGE_TRUNCATED, "the input is empty");
    if (in.n > max)
        return err_refuse(err, malformed, "%zu octets, more than the %zu allowed", in.n, max);
    struct walk w = {.encoding = encoding, .malformed = malformed};
    if (!begin(&w, in, err))
        return false;
    while (w.depth > 1) {
        const struct level *top = &w.level[w.depth - 1];
        if (!top->indefinite && w.p == top->end)
            w.depth--;
        else if (w.p == top->end)
            return too_short(&w, top->open, in.p, err);
        else if (!step(&w, in.p, err))
            return false;
    }
    size_t used = (size_t)(w.p - in.p);
    if (used != in.n)
        return err_refuse(err, REASON_MESSAGE_TRUNCATED, "%zu octets after the end", in.n - used);
    return true;
}

bool frame_check_part(struct view in, size_t max, enum reason malformed, struct err *err)
{
    if (frame_check(in, max, FRAME_DER, malformed, err))
        return true;
    err->reason = malformed;
    return false;
}

ASN1_VALUE *frame_decode(struct view in, const ASN1_ITEM *item, enum reason malformed,
                         const char *what, struct err *err)
{
    const unsigned char *p = in.p;
    ASN1_VALUE *value = ASN1_item_d2i(NULL, &p, (long)in.n, item);
    if (!value) {
        ERR_clear_error();
        err_refuse(err, malformed, "%s cannot be decoded", what);
        return NULL;
    }
    if (p != in.p + in.n) {
        ASN1_item_free(value, item);
        err_refuse(err, malformed, "%s has %zu octets after its end", what,
                   (size_t)(in.p + in.n - p));
        return NULL;
    }
    return value;
}

/* Fields follow each other directly, or stand behind a header of at most five octets: a look there
 * saves the search. */
static const uint8_t *search(struct view in, struct view bytes)
{
    for (size_t at = 0; at <= 5 && at + bytes.n <= in.n; at++)
        if (memcmp(in.p + at, bytes.p, bytes.n) == 0)
            return in.p + at;
    return memmem(in.p, in.n, bytes.p, bytes.n);
}

struct view frame_locate(struct view *rest, struct view bytes)
{
    if (bytes.n == 0)
        return (struct view){0};
    const uint8_t *p = search(*rest, bytes);
    if (!p)
        return (struct view){0};
    const uint8_t *end = rest->p + rest->n;
    *rest = view_of(p + bytes.n, (size_t)(end - p) - bytes.n);
    return view_of(p, bytes.n);
}
