#include "pkcs7/der.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <openssl/asn1.h>
#include <openssl/err.h>
#include <openssl/objects.h>

#include "base/memory.h"

#define START_SIZE 256
#define OID_MAX_OCTETS 64

static void starve(struct der *w)
{
    memory_missed();
    w->failed = true;
}

void der_init(struct der *w, size_t expected)
{
    *w = (struct der){0};
    w->start = malloc(expected ? expected : START_SIZE);
    if (!w->start) {
        starve(w);
        return;
    }
    w->p = w->end = w->start + (expected ? expected : START_SIZE);
}

void der_clear(struct der *w)
{
    free(w->start);
    *w = (struct der){0};
}

size_t der_mark(const struct der *w)
{
    return w->p ? (size_t)(w->end - w->p) : 0;
}

/* Makes room for n octets in front and steps back over them; NULL once failed. */
static uint8_t *front(struct der *w, size_t n)
{
    if (w->failed)
        return NULL;
    size_t used = der_mark(w), room = w->start ? (size_t)(w->p - w->start) : 0;
    if (n > DER_MAX || used + n > DER_MAX) {
        w->failed = true;
        return NULL;
    }
    if (n > room || !w->start) {
        size_t size = 2 * (used + n) + START_SIZE;
        uint8_t *grown = malloc(size);
        if (!grown) {
            starve(w);
            return NULL;
        }
        if (used)
            memcpy(grown + size - used, w->p, used);
        free(w->start);
        w->start = grown;
        w->end = grown + size;
        w->p = w->end - used;
    }
    w->p -= n;
    return w->p;
}

static void octet(struct der *w, unsigned value)
{
    uint8_t *p = front(w, 1);
    if (p)
        *p = (uint8_t)value;
}

static void header(struct der *w, unsigned tag, size_t length)
{
    if (length < 0x80) {
        octet(w, (unsigned)length);
    } else {
        unsigned octets = 0;
        for (size_t rest = length; rest; rest >>= 8, octets++)
            octet(w, rest & 0xff);
        octet(w, 0x80 | octets);
    }
    octet(w, tag);
}

void der_raw(struct der *w, struct view bytes)
{
    uint8_t *p = front(w, bytes.n);
    if (p && bytes.n)
        memcpy(p, bytes.p, bytes.n);
}

void der_tlv(struct der *w, unsigned tag, struct view content)
{
    der_raw(w, content);
    header(w, tag, content.n);
}

void der_wrap(struct der *w, unsigned tag, size_t mark)
{
    header(w, tag, der_mark(w) - mark);
}

void der_oid_nid(struct der *w, int nid)
{
    const ASN1_OBJECT *oid = OBJ_nid2obj(nid);
    if (!oid || OBJ_length(oid) == 0) {
        ERR_clear_error();
        w->failed = true;
        return;
    }
    der_tlv(w, DER_OID, view_of(OBJ_get0_data(oid), OBJ_length(oid)));
}

void der_oid_text(struct der *w, const char *dotted)
{
    uint8_t octets[OID_MAX_OCTETS];
    int n = a2d_ASN1_OBJECT(octets, sizeof octets, dotted, -1);
    if (n <= 0) {
        ERR_clear_error();
        w->failed = true;
        return;
    }
    der_tlv(w, DER_OID, view_of(octets, (size_t)n));
}

void der_uint(struct der *w, struct view v)
{
    while (v.n > 0 && v.p[0] == 0) {
        v.p++;
        v.n--;
    }
    size_t mark = der_mark(w);
    der_raw(w, v);
    if (v.n == 0 || (v.p[0] & 0x80))
        octet(w, 0);
    der_wrap(w, DER_INTEGER, mark);
}

void der_small(struct der *w, uint64_t value)
{
    uint8_t octets[8];
    for (int i = 0; i < 8; i++)
        octets[i] = (uint8_t)(value >> (56 - 8 * i));
    der_uint(w, view_of(octets, sizeof octets));
}

void der_bool(struct der *w, bool value)
{
    uint8_t content = value ? 0xff : 0;
    der_tlv(w, DER_BOOLEAN, view_of(&content, 1));
}

/* False when the year needs other than four digits. */
static bool broken_down(int64_t unix_seconds, struct tm *tm)
{
    time_t t = (time_t)unix_seconds;
    return gmtime_r(&t, tm) && tm->tm_year >= -1900 && tm->tm_year <= 9999 - 1900;
}

static void write_time(struct der *w, unsigned tag, const struct tm *tm)
{
    char text[80];
    int n = snprintf(text, sizeof text, "%04d%02d%02d%02d%02d%02dZ", tm->tm_year + 1900,
                     tm->tm_mon + 1, tm->tm_mday, tm->tm_hour, tm->tm_min, tm->tm_sec);
    int century = tag == DER_UTC_TIME ? 2 : 0; /* digits that UTCTime leaves out */
    der_tlv(w, tag, view_of(text + century, (size_t)(n - century)));
}

void der_time(struct der *w, int64_t unix_seconds)
{
    struct tm tm;
    if (broken_down(unix_seconds, &tm))
        write_time(w, tm.tm_year >= 50 && tm.tm_year < 150 ? DER_UTC_TIME : DER_GENERALIZED_TIME,
                   &tm);
    else
        w->failed = true;
}

void der_generalized_time(struct der *w, int64_t unix_seconds)
{
    struct tm tm;
    if (broken_down(unix_seconds, &tm))
        write_time(w, DER_GENERALIZED_TIME, &tm);
    else
        w->failed = true;
}

void der_bits(struct der *w, struct view octets)
{
    size_t mark = der_mark(w);
    der_raw(w, octets);
    octet(w, 0);
    der_wrap(w, DER_BIT_STRING, mark);
}

void der_named_bits(struct der *w, uint32_t bits)
{
    uint8_t content[5] = {
        0}; /* number of unused bits, then bit 0 as the highest of the first octet */
    size_t n = 1;
    for (unsigned i = 0; i < 32; i++) {
        if (!(bits & (1u << i)))
            continue;
        content[1 + i / 8] |= (uint8_t)(0x80 >> (i % 8));
        content[0] = (uint8_t)(7 - i % 8);
        n = 2 + i / 8;
    }
    der_tlv(w, DER_BIT_STRING, view_of(content, n));
}

/* X.690 section 11.6: ascending, the shorter padded with zero octets at its end. */
static int compare_elements(const void *a, const void *b)
{
    const struct view *x = a, *y = b;
    size_t n = x->n < y->n ? x->n : y->n;
    int order = memcmp(x->p, y->p, n);
    return order ? order : (x->n > y->n) - (x->n < y->n);
}

/* The elements that were written since `mark`; their number, or 0. */
static size_t split(const struct der *w, size_t mark, struct view *out, size_t cap)
{
    const uint8_t *p = w->p, *end = w->end - mark;
    size_t n = 0;
    while (p < end && n < cap) {
        const uint8_t *content = p;
        long length;
        int tag, class;
        if (ASN1_get_object(&content, &length, &tag, &class, end - p) & 0x80) {
            ERR_clear_error();
            return 0;
        }
        out[n++] = view_of(p, (size_t)(content - p) + (size_t)length);
        p = content + length;
    }
    return n;
}

void der_wrap_set_of(struct der *w, size_t mark)
{
    size_t size = der_mark(w) - mark;
    if (w->failed || size == 0) {
        der_wrap(w, DER_SET, mark);
        return;
    }
    size_t cap = size / 2; /* no element is shorter than two octets */
    struct view *element = malloc((cap + 1) * sizeof *element);
    uint8_t *sorted = malloc(size);
    size_t n = element && sorted ? split(w, mark, element, cap) : 0;
    if (!element || !sorted) {
        starve(w);
    } else if (n == 0) {
        w->failed = true;
    } else {
        qsort(element, n, sizeof *element, compare_elements);
        uint8_t *p = sorted;
        for (size_t i = 0; i < n; i++) {
            memcpy(p, element[i].p, element[i].n);
            p += element[i].n;
        }
        memcpy(w->p, sorted, size);
        der_wrap(w, DER_SET, mark);
    }
    free(sorted);
    free(element);
}

struct view der_content(const struct der *w)
{
    return view_of(w->p, der_mark(w));
}

bool der_take(struct der *w, struct buf *out, struct err *err)
{
    if (w->failed) {
        der_clear(w);
        return err_set(err, ERR_MEMORY,
                       "DER not written: out of memory, over %u octets, or an unknown value",
                       DER_MAX);
    }
    size_t n = der_mark(w), cap = (size_t)(w->end - w->start);
    if (n)
        memmove(w->start, w->p, n);
    *out = (struct buf){w->start, n, cap};
    *w = (struct der){0};
    return true;
}
