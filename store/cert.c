/* Certificates: the changing record, the DER and two indexes. */
#include "records.h"

#include <ctype.h>

#include "base/hex.h"

#define CERT_VERSION 2 /* 1: without device and policy */
/* Four times what any real certificate has; a limit of the store, not of a protocol. */
#define CERT_DER_MAX (64u << 10)
#define SERIAL_DIGITS_MIN 6 /* fewer may be anything */

static const char what[] = "certificate";

void store_cert_clear(struct store_cert *c)
{
    if (!c)
        return;
    buf_clear(&c->der);
    *c = (struct store_cert){0};
}

/* ---- record and keys ---- */

bool cert_write(const struct store_cert *c, struct buf *out, struct err *err)
{
    struct record_writer w = record_begin(out, CERT_VERSION);
    write_u64(&w, c->id);
    write_bytes(&w, c->authority, sizeof c->authority);
    write_u8(&w, (uint8_t)c->serial_len);
    write_bytes(&w, c->serial, c->serial_len);
    write_u8(&w, (uint8_t)c->state);
    write_i64(&w, c->not_before);
    write_i64(&w, c->not_after);
    write_i64(&w, c->issued_at);
    write_i64(&w, c->revoked_at);
    write_u8(&w, (uint8_t)c->revocation_reason);
    write_bytes(&w, c->der_hash, STORE_HASH);
    write_bytes(&w, c->key_hash, STORE_HASH);
    write_bytes(&w, c->subject_hash, STORE_HASH);
    write_text(&w, c->subject, sizeof c->subject);
    write_text(&w, c->san, sizeof c->san);
    write_text(&w, c->template_name, sizeof c->template_name);
    write_text(&w, c->endpoint, sizeof c->endpoint);
    write_text(&w, c->challenge, sizeof c->challenge);
    write_text(&w, c->challenge_label, sizeof c->challenge_label);
    write_text(&w, c->transaction, sizeof c->transaction);
    write_u64(&w, c->renews);
    write_u64(&w, c->renewed_by);
    write_u32(&w, c->shard);
    write_text(&w, c->device, sizeof c->device);
    write_text(&w, c->policy, sizeof c->policy);
    return record_written(&w, what, err);
}

bool cert_read(struct view record, struct store_cert *out, struct err *err)
{
    struct record_reader r;
    struct store_cert c = {0};
    uint8_t version;
    if (!record_open_any(&r, record, CERT_VERSION, &version, what, err))
        return false;
    c.id = read_u64(&r);
    read_bytes(&r, c.authority, sizeof c.authority);
    c.serial_len = read_u8(&r);
    if (c.serial_len == 0 || c.serial_len > sizeof c.serial)
        return err_set(err, ERR_STORE, "the store has a certificate with a serial of %zu octets",
                       c.serial_len);
    read_bytes(&r, c.serial, c.serial_len);
    c.state = (enum cert_state)read_u8(&r);
    c.not_before = read_i64(&r);
    c.not_after = read_i64(&r);
    c.issued_at = read_i64(&r);
    c.revoked_at = read_i64(&r);
    c.revocation_reason = (enum crl_reason)read_u8(&r);
    read_bytes(&r, c.der_hash, STORE_HASH);
    read_bytes(&r, c.key_hash, STORE_HASH);
    read_bytes(&r, c.subject_hash, STORE_HASH);
    read_text(&r, c.subject, sizeof c.subject);
    read_text(&r, c.san, sizeof c.san);
    read_text(&r, c.template_name, sizeof c.template_name);
    read_text(&r, c.endpoint, sizeof c.endpoint);
    read_text(&r, c.challenge, sizeof c.challenge);
    read_text(&r, c.challenge_label, sizeof c.challenge_label);
    read_text(&r, c.transaction, sizeof c.transaction);
    c.renews = read_u64(&r);
    c.renewed_by = read_u64(&r);
    c.shard = read_u32(&r);
    if (version >= 2) {
        read_text(&r, c.device, sizeof c.device);
        read_text(&r, c.policy, sizeof c.policy);
    }
    if (!record_close(&r, what, err))
        return false;
    if (c.state > CERT_SUPERSEDED)
        return err_set(err, ERR_STORE, "the store has a certificate in the unknown state %d",
                       (int)c.state);
    *out = c;
    return true;
}

/* The same record, but only what is asked for with every answer. */
static bool status_read(struct view record, struct store_cert_status *out, struct err *err)
{
    struct record_reader r;
    struct store_cert_status c = {.known = true, .stored = true};
    uint8_t version;
    if (!record_open_any(&r, record, CERT_VERSION, &version, what, err))
        return false;
    skip_bytes(&r, sizeof(uint64_t) + 20); /* id, authority */
    skip_bytes(&r, read_u8(&r));           /* serial */
    c.state = (enum cert_state)read_u8(&r);
    c.not_before = read_i64(&r);
    c.not_after = read_i64(&r);
    c.issued_at = read_i64(&r);
    c.revoked_at = read_i64(&r);
    c.reason = (enum crl_reason)read_u8(&r);
    skip_bytes(&r, 3 * STORE_HASH);
    for (int texts = 7; texts > 0; texts--) /* subject to transaction */
        skip_text(&r);
    skip_bytes(&r, 2 * sizeof(uint64_t)); /* renews, renewed_by */
    c.shard = read_u32(&r);
    for (int texts = version >= 2 ? 2 : 0; texts > 0; texts--) /* device, policy */
        skip_text(&r);
    if (!record_close(&r, what, err))
        return false;
    if (c.state > CERT_SUPERSEDED)
        return err_set(err, ERR_STORE, "the store has a certificate in the unknown state %d",
                       (int)c.state);
    *out = c;
    return true;
}

/* How keys of certificates with this serial, or with a serial of `length` octets that begins so,
 * begin. The length comes first, so that a short serial is no prefix of all the longer ones. */
static struct key serial_prefix(size_t length, const uint8_t *p, size_t n)
{
    struct key k = {.n = 0};
    uint8_t octet = (uint8_t)length;
    key_bytes(&k, &octet, 1);
    key_bytes(&k, p, n);
    return k;
}

/* The serial before the authority: it finds a certificate whichever authority gave it. */
struct key cert_serial_key(struct view serial, const uint8_t authority[20])
{
    struct key k = serial_prefix(serial.n, serial.p, serial.n);
    key_bytes(&k, authority, 20);
    return k;
}

struct key cert_key_key(const uint8_t key_hash[STORE_HASH], uint64_t id)
{
    struct key k = {.n = 0};
    key_bytes(&k, key_hash, STORE_HASH);
    key_u64(&k, id);
    return k;
}

struct key cert_subject_key(const uint8_t subject_hash[STORE_HASH], uint64_t id)
{
    return cert_key_key(subject_hash, id);
}

/* ---- reading ---- */

bool cert_load(struct txn *t, uint64_t id, struct store_cert *out, struct err *err)
{
    struct key k = key_id(id);
    struct view record;
    if (!txn_get(t, TABLE_CERT, key_view(&k), &record, err))
        return false;
    if (!record.p)
        return err_set(err, ERR_NOT_FOUND, "there is no certificate %llu", (unsigned long long)id);
    return cert_read(record, out, err);
}

static bool load_with_der(struct txn *t, uint64_t id, struct store_cert *out, struct err *err)
{
    struct store_cert c;
    struct key k = key_id(id);
    struct view der;
    if (!cert_load(t, id, &c, err) || !txn_get(t, TABLE_CERT_DER, key_view(&k), &der, err))
        return false;
    if (!der.p)
        return err_set(err, ERR_STORE, "the store has certificate %llu without its DER",
                       (unsigned long long)id);
    if (!buf_append(&c.der, der.p, der.n))
        return err_memory(err);
    *out = c;
    return true;
}

static bool id_of(struct view value, uint64_t *id, struct err *err)
{
    if (value.n != 8)
        return err_set(err, ERR_STORE, "the store has a serial index entry of %zu octets", value.n);
    *id = octets_u64(value.p);
    return true;
}

bool store_cert_by_id(struct store *s, uint64_t id, struct store_cert *out, struct err *err)
{
    struct txn t;
    if (!txn_read(s, &t, err))
        return false;
    bool ok = load_with_der(&t, id, out, err);
    txn_read_end(&t);
    return ok;
}

bool store_write_cert_by_id(struct store_write *w, uint64_t id, struct store_cert *out,
                            struct err *err)
{
    return txn_usable(&w->txn, err) && load_with_der(&w->txn, id, out, err);
}

static bool by_serial(struct txn *t, struct key key, struct store_cert *out, struct err *err)
{
    struct view value;
    uint64_t id = 0;
    if (!txn_get(t, TABLE_CERT_SERIAL, key_view(&key), &value, err))
        return false;
    if (!value.p)
        return err_set(err, ERR_NOT_FOUND, "there is no certificate with this serial");
    return id_of(value, &id, err) && load_with_der(t, id, out, err);
}

bool store_cert_by_serial(struct store *s, const uint8_t authority[20], struct view serial,
                          struct store_cert *out, struct err *err)
{
    struct txn t;
    if (serial.n == 0 || serial.n > STORE_SERIAL_MAX)
        return err_set(err, ERR_NOT_FOUND, "there is no certificate with a serial of %zu octets",
                       serial.n);
    if (!txn_read(s, &t, err))
        return false;
    bool ok = by_serial(&t, cert_serial_key(serial, authority), out, err);
    txn_read_end(&t);
    return ok;
}

bool store_write_cert_by_serial(struct store_write *w, const uint8_t authority[20],
                                struct view serial, struct store_cert *out, struct err *err)
{
    if (serial.n == 0 || serial.n > STORE_SERIAL_MAX)
        return err_set(err, ERR_NOT_FOUND, "there is no certificate with a serial of %zu octets",
                       serial.n);
    return txn_usable(&w->txn, err) &&
           by_serial(&w->txn, cert_serial_key(serial, authority), out, err);
}

static bool status_find(struct txn *t, const uint8_t authority[20], struct view serial,
                        struct store_cert_status *out, struct err *err)
{
    struct key index = cert_serial_key(serial, authority);
    struct view value, record;
    uint64_t id = 0;
    if (!txn_get(t, TABLE_CERT_SERIAL, key_view(&index), &value, err))
        return false;
    if (!value.p)
        return revoked_serial_status(t, authority, serial, out, err);
    if (!id_of(value, &id, err))
        return false;
    struct key k = key_id(id);
    if (!txn_get(t, TABLE_CERT, key_view(&k), &record, err))
        return false;
    if (!record.p)
        return err_set(err, ERR_STORE, "the store has a serial without its certificate %llu",
                       (unsigned long long)id);
    return status_read(record, out, err);
}

bool store_cert_status(struct store *s, const uint8_t authority[20], struct view serial,
                       struct store_cert_status *out, struct err *err)
{
    struct txn t;
    struct store_cert_status c = {.known = false};
    struct key moved = meta_revocations(authority);
    uint64_t generation = 0;
    if (!txn_read(s, &t, err))
        return false;
    bool ok = txn_counter(&t, key_view(&moved), &generation, err) &&
              (serial.n == 0 || serial.n > STORE_SERIAL_MAX ||
               status_find(&t, authority, serial, &c, err));
    txn_read_end(&t);
    if (!ok)
        return false;
    c.generation = generation;
    *out = c;
    return true;
}

/* A walk over entries of the serial index that begin alike, whichever the authority. */
struct serial_search {
    struct txn *t;
    const uint8_t *der_hash; /* NULL: any */
    bool half; /* the digit below must follow in the upper half of the octet at `octets` */
    uint8_t digit;
    size_t octets; /* whole ones of the prefix */
    uint64_t id;   /* found, 0: none */
    bool several;
};

static bool serial_entry(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    struct serial_search *search = ctx;
    struct store_cert c;
    uint64_t id = 0;
    if (search->half && key.p[1 + search->octets] >> 4 != search->digit)
        return true;
    if (!id_of(value, &id, err) || (search->der_hash && !cert_load(search->t, id, &c, err)))
        return false;
    if (search->der_hash && memcmp(c.der_hash, search->der_hash, STORE_HASH) != 0)
        return true;
    search->several = search->id != 0 && search->id != id;
    search->id = id;
    *stop = search->several || search->der_hash;
    return true;
}

bool store_cert_by_der(struct store *s, struct view serial, const uint8_t der_hash[STORE_HASH],
                       struct store_cert *out, struct err *err)
{
    struct txn t;
    struct serial_search search = {.t = &t, .der_hash = der_hash};
    if (serial.n == 0 || serial.n > STORE_SERIAL_MAX)
        return err_set(err, ERR_NOT_FOUND, "there is no certificate with a serial of %zu octets",
                       serial.n);
    struct key k = serial_prefix(serial.n, serial.p, serial.n);
    if (!txn_read(s, &t, err))
        return false;
    bool ok = txn_walk(&t, TABLE_CERT_SERIAL, key_view(&k), serial_entry, &search, err);
    if (ok && !search.id)
        ok = err_set(err, ERR_NOT_FOUND, "the certificate was not issued here");
    ok = ok && load_with_der(&t, search.id, out, err);
    txn_read_end(&t);
    return ok;
}

/* Lower-case hex digits without separators; the number of them, or 0 when there is anything else or
 * too much. */
static size_t digits_of(struct view hex, char out[2 * STORE_SERIAL_MAX + 1])
{
    size_t n = 0;
    for (size_t i = 0; i < hex.n; i++) {
        if (hex.p[i] == ':' || hex.p[i] == ' ')
            continue;
        if (!isxdigit(hex.p[i]) || n == 2 * STORE_SERIAL_MAX)
            return 0;
        out[n++] = (char)tolower(hex.p[i]);
    }
    out[n] = '\0';
    return n;
}

static struct view without_0x(struct view text)
{
    bool has = text.n > 2 && text.p[0] == '0' && (text.p[1] == 'x' || text.p[1] == 'X');
    return has ? view_of(text.p + 2, text.n - 2) : text;
}

bool store_serial_digits(struct view text, char out[2 * STORE_SERIAL_MAX + 1])
{
    return digits_of(without_0x(text), out) >= SERIAL_DIGITS_MIN;
}

bool store_serial_whole(struct view text, char out[2 * STORE_SERIAL_MAX + 1])
{
    size_t n = digits_of(without_0x(text), out);
    return n >= SERIAL_DIGITS_MIN || (n > 0 && n % 2 == 0);
}

/* Serials of every length that begin with these octets. */
static bool prefix_walk(struct serial_search *search, const uint8_t *octets, struct err *err)
{
    bool ok = true;
    for (size_t n = search->octets + search->half; ok && !search->several && n <= STORE_SERIAL_MAX;
         n++) {
        struct key k = serial_prefix(n, octets, search->octets);
        ok = txn_walk(search->t, TABLE_CERT_SERIAL, key_view(&k), serial_entry, search, err);
    }
    return ok;
}

/* Serials that are these octets, with the 0 that tools do not show or without. */
static bool whole_search(struct serial_search *search, const char *digits, size_t n,
                         struct err *err)
{
    uint8_t octets[STORE_SERIAL_MAX + 1] = {0};
    if (n == 0 || n % 2)
        return true;
    hex_decode(digits, octets + 1, STORE_SERIAL_MAX);
    struct key k = serial_prefix(n / 2, octets + 1, n / 2);
    if (!txn_walk(search->t, TABLE_CERT_SERIAL, key_view(&k), serial_entry, search, err))
        return false;
    if (search->several || octets[1] < 0x80 || n / 2 == STORE_SERIAL_MAX)
        return true;
    k = serial_prefix(n / 2 + 1, octets, n / 2 + 1);
    return txn_walk(search->t, TABLE_CERT_SERIAL, key_view(&k), serial_entry, search, err);
}

/* An INTEGER whose first octet is 0x80 or more has a 0 before it, which tools do not show. */
static bool prefix_search(struct serial_search *search, const char *digits, size_t n,
                          struct err *err)
{
    uint8_t octets[STORE_SERIAL_MAX + 1] = {0};
    char even[2 * STORE_SERIAL_MAX + 1];
    snprintf(even, sizeof even, "%.*s", (int)(n - n % 2), digits);
    hex_decode(even, octets + 1, STORE_SERIAL_MAX);
    if (n % 2) {
        char last[3] = {'0', digits[n - 1], '\0'};
        hex_decode(last, &search->digit, 1);
        search->half = true;
    }
    search->octets = n / 2;
    if (!prefix_walk(search, octets + 1, err))
        return false;
    if (search->several || octets[1] < 0x80)
        return true;
    search->octets++;
    return prefix_walk(search, octets, err);
}

bool store_cert_by_prefix(struct store *s, const char *hex, struct store_cert *out, struct err *err)
{
    struct txn t;
    struct serial_search search = {.t = &t};
    char digits[2 * STORE_SERIAL_MAX + 1];
    size_t n = digits_of(without_0x(view_str(hex)), digits);
    if (n == 0)
        return err_set(err, ERR_NOT_FOUND, "a serial is given by up to %d hex digits",
                       2 * STORE_SERIAL_MAX);
    if (!txn_read(s, &t, err))
        return false;
    bool ok = whole_search(&search, digits, n, err);
    if (ok && !search.id && n >= SERIAL_DIGITS_MIN)
        ok = prefix_search(&search, digits, n, err);
    if (ok && search.several)
        ok = err_set(err, ERR_CONFLICT, "several serials begin with %s", digits);
    if (ok && !search.id)
        ok = err_set(err, ERR_NOT_FOUND, "no serial begins with %s", digits);
    ok = ok && load_with_der(&t, search.id, out, err);
    txn_read_end(&t);
    return ok;
}

/* ---- reuse of keys ---- */

struct key_search {
    struct txn *t;
    const uint8_t *subject_hash;
    enum key_use use;
    char *other;
};

static bool key_entry(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    struct key_search *search = ctx;
    struct store_cert c;
    if (key.n != STORE_HASH + 8 || value.n != STORE_HASH)
        return err_set(err, ERR_STORE, "the store has a damaged key index entry");
    bool elsewhere = memcmp(value.p, search->subject_hash, STORE_HASH) != 0;
    if (!cert_load(search->t, octets_u64(key.p + STORE_HASH), &c, err))
        return false;
    *stop = c.state == CERT_REVOKED && c.revocation_reason == CRL_KEY_COMPROMISE;
    if (!elsewhere && search->use == KEY_FREE)
        search->use = KEY_SAME;
    if (*stop || (elsewhere && search->use <= KEY_SAME)) {
        search->use = *stop ? KEY_COMPROMISED : KEY_ELSEWHERE;
        memcpy(search->other, c.subject, sizeof c.subject);
    }
    return true;
}

static bool key_use(struct txn *t, const uint8_t key_hash[STORE_HASH],
                    const uint8_t subject_hash[STORE_HASH], enum key_use *out,
                    char other[STORE_SUBJECT_MAX], struct err *err)
{
    struct key_search search = {.t = t, .subject_hash = subject_hash, .other = other};
    other[0] = '\0';
    if (!txn_walk(t, TABLE_CERT_KEY, view_of(key_hash, STORE_HASH), key_entry, &search, err))
        return false;
    *out = search.use;
    return true;
}

bool store_key_use(struct store *s, const uint8_t key_hash[STORE_HASH],
                   const uint8_t subject_hash[STORE_HASH], enum key_use *out,
                   char other[STORE_SUBJECT_MAX], struct err *err)
{
    struct txn t;
    if (!txn_read(s, &t, err))
        return false;
    bool ok = key_use(&t, key_hash, subject_hash, out, other, err);
    txn_read_end(&t);
    return ok;
}

bool store_write_key_use(struct store_write *w, const uint8_t key_hash[STORE_HASH],
                         const uint8_t subject_hash[STORE_HASH], enum key_use *out,
                         char other[STORE_SUBJECT_MAX], struct err *err)
{
    return txn_usable(&w->txn, err) && key_use(&w->txn, key_hash, subject_hash, out, other, err);
}

/* ---- certificates of a subject ---- */

struct subject_search {
    struct txn *t;
    const char *template_name;
    int64_t now;
    uint64_t except;
    struct store_cert *out;
    bool found;
};

static bool subject_entry(void *ctx, struct view key, struct view value, bool *stop,
                          struct err *err)
{
    struct subject_search *search = ctx;
    struct store_cert c;
    if (key.n != STORE_HASH + 8)
        return err_set(err, ERR_STORE, "the store has a damaged subject index entry");
    if (!cert_load(search->t, octets_u64(key.p + STORE_HASH), &c, err))
        return false;
    bool stands = (c.state == CERT_ACTIVE && search->now <= c.not_after) || c.state == CERT_HELD;
    if (stands && c.id != search->except && strcmp(c.template_name, search->template_name) == 0) {
        *search->out = c;
        search->found = *stop = true;
    }
    return true;
}

static bool of_subject(struct txn *t, const uint8_t subject_hash[STORE_HASH],
                       const char *template_name, int64_t now, uint64_t except,
                       struct store_cert *out, struct err *err)
{
    struct subject_search search = {t, template_name, now, except, out, false};
    if (!txn_walk(t, TABLE_CERT_SUBJECT, view_of(subject_hash, STORE_HASH), subject_entry, &search,
                  err))
        return false;
    return search.found ||
           err_set(err, ERR_NOT_FOUND, "no certificate of template %s stands for this subject",
                   template_name);
}

bool store_cert_of_subject(struct store *s, const uint8_t subject_hash[STORE_HASH],
                           const char *template_name, int64_t now, uint64_t except,
                           struct store_cert *out, struct err *err)
{
    struct txn t;
    if (!txn_read(s, &t, err))
        return false;
    bool ok = of_subject(&t, subject_hash, template_name, now, except, out, err);
    txn_read_end(&t);
    return ok;
}

bool store_write_cert_of_subject(struct store_write *w, const uint8_t subject_hash[STORE_HASH],
                                 const char *template_name, int64_t now, uint64_t except,
                                 struct store_cert *out, struct err *err)
{
    return txn_usable(&w->txn, err) &&
           of_subject(&w->txn, subject_hash, template_name, now, except, out, err);
}

static bool fill_entry(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    struct store_cert c;
    if (!cert_read(value, &c, err))
        return false;
    struct key k = cert_subject_key(c.subject_hash, c.id);
    return txn_put(ctx, TABLE_CERT_SUBJECT, PUT_NEW, key_view(&k), view_of(NULL, 0), err);
}

bool cert_subject_fill(struct txn *t, struct err *err)
{
    return txn_walk(t, TABLE_CERT, view_of(NULL, 0), fill_entry, t, err);
}

/* ---- writing ---- */

bool cert_save(struct txn *t, const struct store_cert *c, struct err *err)
{
    struct buf record = {0};
    struct key k = key_id(c->id);
    struct store_cert was;
    if (!cert_load(t, c->id, &was, err))
        return txn_spoil(t, err);
    bool ok = cert_count_move(t, &was, c, err) && cert_write(c, &record, err)
                  ? txn_put(t, TABLE_CERT, PUT_REPLACE, key_view(&k), buf_view(&record), err)
                  : txn_spoil(t, err);
    buf_clear(&record);
    return ok;
}

static bool storable(const struct store_cert *c, struct err *err)
{
    if (c->serial_len == 0 || c->serial_len > STORE_SERIAL_MAX)
        return err_set(err, ERR_STORE, "a certificate with a serial of %zu octets cannot be stored",
                       c->serial_len);
    if (c->der.n == 0 || c->der.n > CERT_DER_MAX)
        return err_set(err, ERR_STORE, "a certificate of %zu octets cannot be stored", c->der.n);
    return true;
}

static bool serial_free(struct txn *t, struct view key, struct err *err)
{
    struct view there;
    if (!txn_get(t, TABLE_CERT_SERIAL, key, &there, err))
        return false;
    return !there.p ||
           err_set(err, ERR_EXISTS, "the authority has a certificate with this serial already");
}

static bool next_id(struct txn *t, uint64_t *out, struct err *err)
{
    struct view last;
    if (!txn_last_key(t, TABLE_CERT, &last, err))
        return false;
    if (last.p && last.n != 8)
        return err_set(err, ERR_STORE, "the store has a certificate with a key of %zu octets",
                       last.n);
    *out = last.p ? octets_u64(last.p) + 1 : 1;
    return true;
}

bool store_cert_put(struct store_write *w, struct store_cert *c, struct err *err)
{
    struct txn *t = &w->txn;
    struct buf record = {0};
    struct store_cert numbered = *c;
    if (!txn_usable(t, err) || !storable(c, err))
        return false;
    struct key serial = cert_serial_key(view_of(c->serial, c->serial_len), c->authority);
    if (!serial_free(t, key_view(&serial), err) || !next_id(t, &numbered.id, err))
        return false;
    struct key id = key_id(numbered.id);
    struct key key = cert_key_key(c->key_hash, numbered.id);
    struct key subject = cert_subject_key(c->subject_hash, numbered.id);
    bool revoked = false;
    bool ok = revoked_serial_find(t, &numbered, &revoked, err) &&
              cert_write(&numbered, &record, err) &&
              (!revoked || revoked_serial_move(t, &numbered, err)) &&
              txn_put(t, TABLE_CERT, PUT_LAST, key_view(&id), buf_view(&record), err) &&
              txn_put(t, TABLE_CERT_DER, PUT_LAST, key_view(&id), buf_view(&c->der), err) &&
              txn_put(t, TABLE_CERT_SERIAL, PUT_NEW, key_view(&serial), key_view(&id), err) &&
              txn_put(t, TABLE_CERT_KEY, PUT_NEW, key_view(&key),
                      view_of(c->subject_hash, STORE_HASH), err) &&
              txn_put(t, TABLE_CERT_SUBJECT, PUT_NEW, key_view(&subject), view_of(NULL, 0), err) &&
              links_put(t, c->device, c->policy, LINK_CERT, key_view(&id), err) &&
              cert_count_move(t, NULL, &numbered, err);
    buf_clear(&record);
    if (ok) {
        c->id = numbered.id;
        c->state = numbered.state;
        c->revoked_at = numbered.revoked_at;
        c->revocation_reason = numbered.revocation_reason;
    }
    return ok;
}

bool store_cert_renewed(struct store_write *w, uint64_t old_id, uint64_t new_id, struct err *err)
{
    struct store_cert old, new;
    if (!txn_usable(&w->txn, err) || !cert_load(&w->txn, old_id, &old, err) ||
        !cert_load(&w->txn, new_id, &new, err))
        return false;
    if (old.state == CERT_REVOKED || old.state == CERT_HELD)
        return err_set(err, ERR_CONFLICT, "certificate %llu is revoked",
                       (unsigned long long)old_id);
    if (old_id == new_id)
        return err_set(err, ERR_CONFLICT, "certificate %llu cannot renew itself",
                       (unsigned long long)old_id);
    old.state = CERT_SUPERSEDED;
    old.renewed_by = new_id;
    return cert_save(&w->txn, &old, err);
}

/* ---- listing ---- */

struct listing {
    const struct store_cert_filter *f;
    bool (*each)(void *ctx, const struct store_cert *c);
    void *ctx;
    size_t given;
};

static bool in_range(int64_t at, int64_t from, int64_t before)
{
    return (!from || at >= from) && (!before || at < before);
}

bool store_cert_passes(const struct store_cert_filter *f, const struct store_cert *c)
{
    if (f->device && strcmp(f->device, c->device) != 0)
        return false;
    if (f->policy && strcmp(f->policy, c->policy) != 0)
        return false;
    if (f->subject_hash && memcmp(f->subject_hash, c->subject_hash, STORE_HASH) != 0)
        return false;
    if (f->state >= 0 && (int)c->state != f->state)
        return false;
    if (f->endpoint && strcmp(f->endpoint, c->endpoint) != 0)
        return false;
    if (f->template_name && strcmp(f->template_name, c->template_name) != 0)
        return false;
    if (f->challenge && strcmp(f->challenge, c->challenge) != 0)
        return false;
    if (!in_range(c->not_after, f->expires_from, f->expires_before) ||
        !in_range(c->issued_at, f->issued_from, f->issued_before))
        return false;
    return !f->text || strcasestr(c->subject, f->text) || strcasestr(c->san, f->text);
}

static bool list_entry(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    struct listing *l = ctx;
    struct store_cert c;
    if (!cert_read(value, &c, err))
        return false;
    if (!store_cert_passes(l->f, &c))
        return true;
    l->given++;
    *stop = !l->each(l->ctx, &c) || l->given == l->f->limit;
    return true;
}

bool store_cert_list(struct store *s, const struct store_cert_filter *f,
                     bool (*each)(void *ctx, const struct store_cert *c), void *ctx,
                     struct err *err)
{
    struct listing l = {.f = f, .each = each, .ctx = ctx};
    struct key from = key_id(f->oldest_first ? f->after_id + 1 : f->after_id);
    struct view start = f->after_id ? key_view(&from) : view_of(NULL, 0);
    return table_walk(s, TABLE_CERT, start, !f->oldest_first, list_entry, &l, err);
}
