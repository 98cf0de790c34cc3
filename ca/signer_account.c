#include "signer_account.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/hex.h"
#include "pkcs7/tlv.h"
#include "tbs.h"

#define TELL_SECONDS 3600 /* between lines with totals, while something happens */
#define SECOND INT64_C(1000000)
#define MINUTE (60 * SECOND)
#define SERIAL_SHOWN 20 /* octets; a CRL number has no more either */
#define HASH 32

enum { REFUSED = SIGNER_OP_OCSP + 1, CAPPED, COUNTERS };

struct signer_account {
    const struct signer_spec *spec;
    const struct log *log;
    struct signer_rate own, *rate;         /* `own` when nobody else holds one */
    atomic_uint_least64_t count[COUNTERS]; /* from SIGNER_OP_CERTIFICATE */
    _Atomic int64_t told;                  /* monotonic microseconds: totals */
    _Atomic int64_t capped_told;           /* the last line about the rate */
};

static int64_t monotonic_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * SECOND + t.tv_nsec / 1000;
}

bool signer_account_new(const struct signer_spec *spec, const struct log *log,
                        struct signer_account **out, struct err *err)
{
    struct signer_account *a = calloc(1, sizeof *a);
    if (!a)
        return err_memory(err);
    a->spec = spec;
    a->log = log;
    a->rate = spec->rate ? spec->rate : &a->own;
    a->told = monotonic_us();
    a->capped_told = a->told - SECOND;
    *out = a;
    return true;
}

void signer_account_free(struct signer_account *a)
{
    free(a);
}

/* True for one caller only, when `seconds` have gone by since the last time. */
static bool its_turn(_Atomic int64_t *last, int64_t now, int64_t us)
{
    int64_t then = *last;
    return now - then >= us && atomic_compare_exchange_strong(last, &then, now);
}

/* ---- the rate ---- */

/* Evenly spread over time, with one minute's worth at once: each certificate moves the time at
 * which the next would be due by its share of the minute, and that may be a minute ahead of the
 * clock. Signers of one daemon share it, so that asking for another signer gives nothing. */
static bool within_rate(struct signer_account *a, int64_t now)
{
    int most = a->spec->certificates_per_minute;
    if (most <= 0)
        return true;
    int64_t share = MINUTE / most, due = atomic_load(&a->rate->due), next;
    do {
        next = (due > now ? due : now) + share;
        if (next - now > MINUTE)
            return false;
    } while (!atomic_compare_exchange_weak(&a->rate->due, &due, next));
    return true;
}

static bool refuse_rate(struct signer_account *a, int64_t now, struct err *err)
{
    int most = a->spec->certificates_per_minute;
    atomic_fetch_add(&a->count[CAPPED], 1);
    if (its_turn(&a->capped_told, now, SECOND)) {
        struct log_line l;
        log_begin(&l, a->log, LOG_LEVEL_WARNING, "signer.capped");
        log_int(&l, "total", (int64_t)a->count[CAPPED]);
        log_end(&l, "more than %d certificates in a minute are asked for: refused", most);
    }
    return err_set(err, ERR_BUSY, "the signer refused: more than %d certificates in a minute",
                   most);
}

/* ---- what stands in what is signed ---- */

struct parts {
    struct view serial, algorithm, key;
};

/* RFC 5280 section 4.1: version, serialNumber, signature, issuer, validity, subject, key. */
static bool read_certificate(struct view tbs, struct parts *out)
{
    struct tlv t, version, serial, algorithm, issuer, validity, subject, key;
    if (!tlv_next_is(&tbs, DER_SEQUENCE, &t) ||
        !tlv_next_is(&t.content, DER_CONTEXT_CONSTRUCTED(0), &version) ||
        !tlv_next_is(&t.content, DER_INTEGER, &serial) ||
        !tlv_next_is(&t.content, DER_SEQUENCE, &algorithm) ||
        !tlv_next_is(&t.content, DER_SEQUENCE, &issuer) ||
        !tlv_next_is(&t.content, DER_SEQUENCE, &validity) ||
        !tlv_next_is(&t.content, DER_SEQUENCE, &subject) ||
        !tlv_next_is(&t.content, DER_SEQUENCE, &key))
        return false;
    *out = (struct parts){serial.content, algorithm.whole, key.whole};
    return true;
}

/* RFC 5280 section 5.2.3: the cRLNumber, among the extensions at the end. */
static bool read_crl_number(struct view tbs, struct view *out)
{
    static const uint8_t oid[] = {0x06, 0x03, 0x55, 0x1d, 0x14};
    struct tlv t, last = {0}, list, extension, value, number;
    if (!tlv_next_is(&tbs, DER_SEQUENCE, &t))
        return false;
    while (t.content.n > 0)
        if (!tlv_next(&t.content, &last))
            return false;
    if (last.tag != DER_CONTEXT_CONSTRUCTED(0) || !tlv_next_is(&last.content, DER_SEQUENCE, &list))
        return false;
    while (tlv_next_is(&list.content, DER_SEQUENCE, &extension))
        if (tlv_next(&extension.content, &value) &&
            view_eq(value.whole, view_of(oid, sizeof oid)) &&
            tlv_next_is(&extension.content, DER_OCTET_STRING, &value) &&
            tlv_next_is(&value.content, DER_INTEGER, &number)) {
            *out = number.content;
            return true;
        }
    return false;
}

static int by_hash(const void *a, const void *b)
{
    return memcmp(a, b, HASH);
}

static bool banned(const struct signer_spec *spec, struct view tbs)
{
    struct parts parts;
    struct err ignored = {0};
    uint8_t hash[HASH];
    if (spec->banned_n == 0 || !read_certificate(tbs, &parts)) /* the lint says what it is */
        return false;
    if (!digest_compute(DIGEST_SHA256, parts.key, hash, &ignored))
        return true; /* rather none than a wrong one */
    return bsearch(hash, spec->banned, spec->banned_n, HASH, by_hash) != NULL;
}

bool signer_account_admit(struct signer_account *a, const struct signer_request *r, struct err *err)
{
    if (r->op != SIGNER_OP_CERTIFICATE)
        return true;
    if (banned(a->spec, r->data))
        return err_refuse(err, REASON_KEY_BANNED, "the signer refused: the key is banned");
    return true;
}

bool signer_account_take(void *account, struct err *err)
{
    struct signer_account *a = account;
    int64_t now = monotonic_us();
    return within_rate(a, now) || refuse_rate(a, now, err);
}

/* ---- telling ---- */

static void log_octets(struct log_line *l, const char *key, struct view octets)
{
    char text[2 * HASH + 1];
    if (octets.n > SERIAL_SHOWN)
        octets.n = SERIAL_SHOWN;
    hex_encode(octets, text);
    log_str(l, key, text);
}

static void log_hash(struct log_line *l, struct view whole)
{
    uint8_t hash[HASH];
    char text[2 * HASH + 1];
    struct err ignored = {0};
    if (!digest_compute(DIGEST_SHA256, whole, hash, &ignored))
        return;
    hex_encode(view_of(hash, sizeof hash), text);
    log_str(l, "sha256", text);
}

/* The fingerprint of the certificate that will come of it, as openssl x509 -fingerprint -sha256 has
 * it. */
static void tell_certificate(struct signer_account *a, const struct signer_request *r,
                             struct view signature)
{
    struct log_line l;
    struct parts parts;
    struct sigalg alg;
    struct err ignored = {0};
    struct buf der = {0};
    log_begin(&l, a->log, LOG_LEVEL_INFO, "signer.certificate");
    log_int(&l, "key", r->key);
    if (read_certificate(r->data, &parts)) {
        log_octets(&l, "serial", parts.serial);
        if (sigalg_parse(parts.algorithm, DIGEST_SHA256, &alg, &ignored) &&
            certificate_assemble(r->data, alg, signature, &der, &ignored))
            log_hash(&l, buf_view(&der));
    }
    log_end(&l, "signed");
    buf_clear(&der);
}

static void tell_crl(struct signer_account *a, const struct signer_request *r)
{
    struct log_line l;
    struct view number;
    log_begin(&l, a->log, LOG_LEVEL_INFO, "signer.crl");
    log_int(&l, "key", r->key);
    if (read_crl_number(r->data, &number))
        log_octets(&l, "number", number);
    log_hash(&l, r->data);
    log_end(&l, "signed; sha256 is of its TBSCertList");
}

void signer_account_tell(struct signer_account *a)
{
    static const char *const names[COUNTERS] = {[SIGNER_OP_CERTIFICATE] = "certificates",
                                                [SIGNER_OP_CRL] = "crls",
                                                [SIGNER_OP_ATTRIBUTES] = "messages",
                                                [SIGNER_OP_DECRYPT] = "decryptions",
                                                [SIGNER_OP_OCSP] = "ocsp_answers",
                                                [REFUSED] = "refused",
                                                [CAPPED] = "capped"};
    struct log_line l;
    log_begin(&l, a->log, LOG_LEVEL_INFO, "signer.totals");
    for (int i = SIGNER_OP_CERTIFICATE; i < COUNTERS; i++)
        log_int(&l, names[i], (int64_t)a->count[i]);
    log_end(&l, "since the signer process started");
}

static uint64_t signatures_in(const struct signer_request *r)
{
    struct view data[SIGNER_MAX_BATCH];
    size_t n;
    return r->op == SIGNER_OP_OCSP && batch_unpack(r->data, data, SIGNER_MAX_BATCH, &n) ? n : 1;
}

void signer_account_done(struct signer_account *a, const struct signer_request *r,
                         struct view result, const struct err *err)
{
    if (err) {
        if (err->kind != ERR_BUSY)
            atomic_fetch_add(&a->count[REFUSED], 1);
    } else {
        atomic_fetch_add_explicit(&a->count[r->op], signatures_in(r), memory_order_relaxed);
        if (r->op == SIGNER_OP_CERTIFICATE)
            tell_certificate(a, r, result);
        else if (r->op == SIGNER_OP_CRL)
            tell_crl(a, r);
    }
    if (r->op == SIGNER_OP_CERTIFICATE || r->op == SIGNER_OP_CRL || r->op == SIGNER_OP_OCSP) {
        int64_t now = monotonic_us();
        if (its_turn(&a->told, now, TELL_SECONDS * SECOND))
            signer_account_tell(a);
    }
}
