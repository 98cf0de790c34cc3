#include "crl_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "pkcs7/der.h"
#include "pkcs7/ext.h"
#include "signer_wire.h"
#include "tbs.h"

#define HEAD_ROOM 256        /* around the issuer's name: lengths, version, algorithm, two times */
#define ENTRY_MAX 128        /* serial of STORE_SERIAL_MAX octets, time, reason */
#define HEADER_MAX 6         /* tag and a length of up to four octets */
#define REASON_ENTRY_SIZE 14 /* crlEntryExtensions with a reasonCode */
#define LAST_SECOND INT64_C(253402300799) /* of 9999: a GeneralizedTime has four digits */
#define CHUNK (64u << 10)

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

static bool write_all(int fd, struct view v, off_t at, struct err *err)
{
    while (v.n > 0) {
        ssize_t n = pwrite(fd, v.p, v.n, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return err_errno(err, "cannot write a memory file");
        v = view_of(v.p + n, v.n - (size_t)n);
        at += n;
    }
    return true;
}

static bool flush(struct crl_writer *w, struct err *err)
{
    off_t at = (off_t)(w->room + w->length - w->chunk_n);
    bool ok = write_all(w->fd, view_of(w->chunk, w->chunk_n), at, err);
    w->chunk_n = 0;
    return ok;
}

bool crl_writer_init(struct crl_writer *w, size_t issuer_size, struct err *err)
{
    *w = (struct crl_writer){.fd = -1, .room = issuer_size + HEAD_ROOM};
    w->chunk = calloc(1, CHUNK);
    if (!w->chunk)
        return err_memory(err);
    w->fd = memfd_create("crl", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    bool ok = w->fd >= 0 || err_errno(err, "cannot create a memory file");
    /* no hole: the signer reads what cannot fail to be there */
    for (size_t done = 0; ok && done < w->room; done += CHUNK)
        ok = write_all(w->fd,
                       view_of(w->chunk, w->room - done < CHUNK ? w->room - done : (size_t)CHUNK),
                       (off_t)done, err);
    if (!ok)
        crl_writer_clear(w);
    return ok;
}

void crl_writer_clear(struct crl_writer *w)
{
    free(w->chunk);
    if (w->map.p)
        munmap((void *)(uintptr_t)w->map.p, w->map.n);
    if (w->fd >= 0)
        close(w->fd);
    *w = (struct crl_writer){.fd = -1};
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

/* RFC 5280 section 5.3.1: not critical; absent for "unspecified". */
static size_t put_reason(uint8_t *p, enum crl_reason reason)
{
    static const uint8_t extensions[REASON_ENTRY_SIZE - 1] = {0x30, 12,   0x30, 10, 0x06, 3,   0x55,
                                                              0x1d, 0x15, 0x04, 3,  0x0a, 0x01};

    if (reason == CRL_UNSPECIFIED)
        return 0;
    memcpy(p, extensions, sizeof extensions);
    p[sizeof extensions] = (uint8_t)reason;
    return REASON_ENTRY_SIZE;
}

bool crl_writer_add(struct crl_writer *w, struct view serial, int64_t revoked_at,
                    enum crl_reason reason, struct err *err)
{
    uint8_t *p = w->chunk + w->chunk_n, content[ENTRY_MAX];

    if (serial.n > STORE_SERIAL_MAX || w->length > SIGNER_MAX_CRL)
        return err_set(err, ERR_STORE, "the CRL is too long for any client");
    size_t n = put_serial(content, serial);
    n += put_time(content + n, revoked_at);
    n += put_reason(content + n, reason);
    size_t head = header(p, DER_SEQUENCE, n);
    memcpy(p + head, content, n);
    w->chunk_n += head + n;
    w->length += head + n;
    w->entries++;
    return w->chunk_n <= CHUNK - ENTRY_MAX - HEADER_MAX || flush(w, err);
}

/* ---- crlExtensions ---- */

/* DistributionPoint and IssuingDistributionPoint with nothing but a URL have one form. */
static void put_point(struct der *v, const char *url)
{
    size_t mark = der_mark(v);
    der_tlv(v, DER_CONTEXT(6), view_str(url));     /* uniformResourceIdentifier */
    der_wrap(v, DER_CONTEXT_CONSTRUCTED(0), mark); /* fullName */
    der_wrap(v, DER_CONTEXT_CONSTRUCTED(0), mark); /* distributionPoint */
    der_wrap(v, DER_SEQUENCE, mark);
}

static void put_extension(struct der *w, const char *oid, bool critical, struct der *value)
{
    extension_build(w, oid, critical, der_content(value));
    w->failed = w->failed || value->failed;
    der_clear(value);
}

static void put_number(struct der *w, const char *oid, bool critical, uint64_t number)
{
    struct der v;
    der_init(&v, 16);
    der_small(&v, number);
    put_extension(w, oid, critical, &v);
}

static void put_url(struct der *w, const char *oid, bool critical, bool list, const char *url)
{
    struct der v;
    der_init(&v, 300);
    size_t mark = der_mark(&v);
    put_point(&v, url);
    if (list)
        der_wrap(&v, DER_SEQUENCE, mark);
    put_extension(w, oid, critical, &v);
}

static void put_authority(struct der *w, struct view key_id)
{
    struct der v;
    der_init(&v, 64);
    size_t mark = der_mark(&v);
    der_tlv(&v, DER_CONTEXT(0), key_id);
    der_wrap(&v, DER_SEQUENCE, mark);
    put_extension(w, OID_AUTHORITY_KEY_ID, false, &v);
}

/* authorityKeyIdentifier and cRLNumber (RFC 5280 sections 5.2.1 and 5.2.3) always; the complete
 * list has nothing else that a client might not know.  The last one first, as the writer has it. */
static bool build_tail(const struct crl_head *head, struct buf *out, struct err *err)
{
    struct der w;

    der_init(&w, 512);
    size_t mark = der_mark(&w);
    if (head->freshest_url)
        put_url(&w, OID_FRESHEST_CRL, false, true, head->freshest_url);
    if (head->partition_url)
        put_url(&w, OID_ISSUING_POINT, true, false, head->partition_url);
    if (head->delta)
        put_number(&w, OID_DELTA_INDICATOR, true, head->base);
    put_number(&w, OID_CRL_NUMBER, false, head->number);
    put_authority(&w, head->authority_key_id);
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

/* Whoever signs it reads it in a process of its own: from now on nobody can change it. */
static bool seal_file(struct crl_writer *w, size_t size, struct err *err)
{
    if (fcntl(w->fd, F_ADD_SEALS, SIGNER_SEALS | F_SEAL_SEAL) != 0)
        return err_errno(err, "cannot seal a memory file");
    void *p = mmap(NULL, size, PROT_READ, MAP_PRIVATE, w->fd, 0);
    if (p == MAP_FAILED)
        return err_errno(err, "cannot map a memory file");
    w->map = view_of(p, size);
    return true;
}

bool crl_writer_finish(struct crl_writer *w, const struct crl_head *head, struct view *tbs,
                       struct err *err)
{
    struct buf front = {0}, tail = {0};
    size_t end = w->room + w->length;
    bool ok = false;

    if (!build_tail(head, &tail, err) || !build_front(head, w->length, tail.n, &front, err))
        goto out;
    if (front.n > w->room) {
        err_set(err, ERR_CONFIG, "the issuer's name is too long for a CRL");
        goto out;
    }
    size_t start = w->room - front.n;
    ok = flush(w, err) && write_all(w->fd, buf_view(&tail), (off_t)end, err) &&
         write_all(w->fd, buf_view(&front), (off_t)start, err) && seal_file(w, end + tail.n, err);
    if (ok) {
        *tbs = view_of(w->map.p + start, w->map.n - start);
        w->file = (struct signer_file){w->fd, (uint32_t)start};
    }
out:
    buf_clear(&front);
    buf_clear(&tail);
    return ok;
}

bool crl_writer_seal(struct view tbs, struct sigalg alg, struct view signature, struct buf *before,
                     struct buf *behind, struct err *err)
{
    uint8_t bytes[HEADER_MAX];
    struct der d;
    struct buf end = {0};

    der_init(&d, signature.n + 64);
    der_bits(&d, signature);
    der_raw(&d, sigalg_der(alg));
    if (!der_take(&d, &end, err))
        return false;
    if (!buf_append(before, bytes, header(bytes, DER_SEQUENCE, tbs.n + end.n))) {
        buf_clear(&end);
        return err_memory(err);
    }
    *behind = end;
    return true;
}
