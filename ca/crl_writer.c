#include "crl_writer.h"

#include <string.h>
#include <time.h>

#include "pkcs7/der.h"
#include "pkcs7/ext.h"
#include "tbs.h"

#define HEAD_ROOM 256        /* around the issuer's name: lengths, version, algorithm, two times */
#define ENTRY_MAX 128        /* serial of STORE_SERIAL_MAX octets, time, reason */
#define HEADER_MAX 6         /* tag and a length of up to four octets */
#define REASON_ENTRY_SIZE 14 /* crlEntryExtensions with a reasonCode */
#define LAST_SECOND INT64_C(253402300799) /* of 9999: a GeneralizedTime has four digits */
#define CRL_MAX (1u << 31)                /* some 40 million entries: no client would read it */

/* Tag and length, forwards. */
static size_t header(uint8_t out[HEADER_MAX], unsigned tag, size_t n)
{
    size_t octets = n < 0x80 ? 0 : n < 0x100 ? 1 : n < 0x10000 ? 2 : n < 0x1000000 ? 3 : 4;

    out[0] = (uint8_t)tag;
    out[1] = (uint8_t)(octets ? 0x80 | octets : n);
    for (size_t i = 0; i < octets; i++)
        out[2 + i] = (uint8_t)(n >> 8 * (octets - 1 - i));
    return 2 + octets;
}

bool crl_writer_init(struct crl_writer *w, size_t issuer_size, struct err *err)
{
    *w = (struct crl_writer){.room = issuer_size + HEAD_ROOM};
    if (!buf_reserve(&w->buf, w->room + ENTRY_MAX))
        return err_memory(err);
    memset(w->buf.p, 0, w->room);
    w->buf.n = w->start = w->room;
    return true;
}

void crl_writer_clear(struct crl_writer *w)
{
    buf_clear(&w->buf);
    *w = (struct crl_writer){.room = 0};
}

static uint8_t *put_digits(uint8_t *p, int value)
{
    p[0] = (uint8_t)('0' + value / 10 % 10);
    p[1] = (uint8_t)('0' + value % 10);
    return p + 2;
}

/* RFC 5280 section 5.1.2.6: as in certificates, UTCTime through 2049.  By hand: once for every
 * entry. */
static size_t put_time(uint8_t *p, int64_t t)
{
    struct tm tm = {0};
    time_t when = (time_t)(t < 0 ? 0 : t > LAST_SECOND ? LAST_SECOND : t);

    gmtime_r(&when, &tm);
    int year = tm.tm_year + 1900;
    bool utc = year >= 1950 && year < 2050;
    uint8_t *at = p + 2;
    if (!utc)
        at = put_digits(at, year / 100);
    at = put_digits(at, year);
    at = put_digits(at, tm.tm_mon + 1);
    at = put_digits(at, tm.tm_mday);
    at = put_digits(at, tm.tm_hour);
    at = put_digits(at, tm.tm_min);
    at = put_digits(at, tm.tm_sec);
    *at++ = 'Z';
    p[0] = utc ? DER_UTC_TIME : DER_GENERALIZED_TIME;
    p[1] = (uint8_t)(at - p - 2);
    return (size_t)(at - p);
}

/* The same INTEGER, minimal, whatever padding the store's octets have.  An imported certificate may
 * have a negative one, and verifiers look for just that. */
static size_t put_serial(uint8_t *p, struct view serial)
{
    while (serial.n > 1 && ((serial.p[0] == 0 && !(serial.p[1] & 0x80)) ||
                            (serial.p[0] == 0xff && (serial.p[1] & 0x80)))) {
        serial.p++;
        serial.n--;
    }
    if (serial.n == 0)
        serial = view_of("", 1);
    p[0] = DER_INTEGER;
    p[1] = (uint8_t)serial.n;
    memcpy(p + 2, serial.p, serial.n);
    return 2 + serial.n;
}

/* RFC 5280 section 5.3.1: not critical; absent for "unspecified"; removeFromCRL is for deltas. */
static size_t put_reason(uint8_t *p, enum crl_reason reason)
{
    static const uint8_t extensions[REASON_ENTRY_SIZE - 1] = {0x30, 12,   0x30, 10, 0x06, 3,   0x55,
                                                              0x1d, 0x15, 0x04, 3,  0x0a, 0x01};

    if (reason == CRL_UNSPECIFIED || reason == CRL_REMOVE_FROM_CRL)
        return 0;
    memcpy(p, extensions, sizeof extensions);
    p[sizeof extensions] = (uint8_t)reason;
    return REASON_ENTRY_SIZE;
}

bool crl_writer_add(struct crl_writer *w, struct view serial, int64_t revoked_at,
                    enum crl_reason reason)
{
    uint8_t content[ENTRY_MAX], head[HEADER_MAX];
    size_t n;

    if (serial.n > STORE_SERIAL_MAX || w->buf.n > CRL_MAX)
        return false;
    n = put_serial(content, serial);
    n += put_time(content + n, revoked_at);
    n += put_reason(content + n, reason);
    return buf_append(&w->buf, head, header(head, DER_SEQUENCE, n)) &&
           buf_append(&w->buf, content, n);
}

/* crlExtensions: authorityKeyIdentifier and cRLNumber (RFC 5280 sections 5.2.1 and 5.2.3), nothing
 * that a client might not know. */
static bool build_tail(const struct crl_head *head, struct buf *out, struct err *err)
{
    struct der w, v;

    der_init(&w, 128);
    size_t mark = der_mark(&w);
    der_init(&v, 16);
    der_small(&v, head->number);
    extension_build(&w, "2.5.29.20", false, der_content(&v));
    w.failed = w.failed || v.failed;
    der_clear(&v);
    der_init(&v, 64);
    size_t id = der_mark(&v);
    der_tlv(&v, DER_CONTEXT(0), head->authority_key_id);
    der_wrap(&v, DER_SEQUENCE, id);
    extension_build(&w, OID_AUTHORITY_KEY_ID, false, der_content(&v));
    w.failed = w.failed || v.failed;
    der_clear(&v);
    der_wrap(&w, DER_SEQUENCE, mark);
    der_wrap(&w, DER_CONTEXT_CONSTRUCTED(0), mark);
    return der_take(&w, out, err);
}

/* All that stands before the first entry.  revokedCertificates is absent when it would be empty
 * (RFC 5280 section 5.1.2.6). */
static bool build_front(const struct crl_head *head, size_t entries_n, size_t tail_n,
                        struct buf *out, struct err *err)
{
    uint8_t bytes[HEADER_MAX];
    struct der w;

    der_init(&w, head->issuer.n + HEAD_ROOM);
    if (entries_n > 0)
        der_raw(&w, view_of(bytes, header(bytes, DER_SEQUENCE, entries_n)));
    der_time(&w, head->next_update);
    der_time(&w, head->this_update);
    der_raw(&w, head->issuer);
    der_raw(&w, sigalg_der(head->sigalg));
    der_small(&w, 1); /* v2 */
    der_raw(&w,
            view_of(bytes, header(bytes, DER_SEQUENCE, der_content(&w).n + entries_n + tail_n)));
    return der_take(&w, out, err);
}

/* Puts bytes into the room in front of the content. */
static bool prepend(struct crl_writer *w, struct view bytes, struct err *err)
{
    if (bytes.n > w->start)
        return err_set(err, ERR_CONFIG, "the issuer's name is too long for a CRL");
    w->start -= bytes.n;
    memcpy(w->buf.p + w->start, bytes.p, bytes.n);
    return true;
}

bool crl_writer_finish(struct crl_writer *w, const struct crl_head *head, struct view *tbs,
                       struct err *err)
{
    struct buf front = {0}, tail = {0};
    bool ok = false;

    if (!build_tail(head, &tail, err) ||
        !build_front(head, w->buf.n - w->room, tail.n, &front, err))
        goto out;
    if (!buf_append(&w->buf, tail.p, tail.n)) {
        err_memory(err);
        goto out;
    }
    ok = prepend(w, buf_view(&front), err);
    if (ok)
        *tbs = view_of(w->buf.p + w->start, w->buf.n - w->start);
out:
    buf_clear(&front);
    buf_clear(&tail);
    return ok;
}

bool crl_writer_seal(struct crl_writer *w, struct sigalg alg, struct view signature,
                     struct buf *out, struct err *err)
{
    uint8_t bytes[HEADER_MAX];
    struct der d;
    struct buf end = {0};
    bool ok = false;

    der_init(&d, signature.n + 64);
    der_bits(&d, signature);
    der_raw(&d, sigalg_der(alg));
    if (!der_take(&d, &end, err))
        return false;
    if (!buf_append(&w->buf, end.p, end.n))
        err_memory(err);
    else
        ok = prepend(w, view_of(bytes, header(bytes, DER_SEQUENCE, w->buf.n - w->start)), err);
    buf_clear(&end);
    if (!ok)
        return false;
    memmove(w->buf.p, w->buf.p + w->start, w->buf.n - w->start);
    w->buf.n -= w->start;
    *out = w->buf;
    *w = (struct crl_writer){.room = 0};
    return true;
}
