#include "record.h"

struct record_writer record_begin(struct buf *out, uint8_t version)
{
    struct record_writer w = {.out = out};
    buf_reset(out);
    write_u8(&w, version);
    return w;
}

void write_bytes(struct record_writer *w, const void *p, size_t n)
{
    if (!w->memory && !w->too_long && !buf_append(w->out, p, n))
        w->memory = true;
}

static void write_number(struct record_writer *w, uint64_t v, size_t octets)
{
    uint8_t b[8];
    for (size_t i = octets; i-- > 0; v >>= 8)
        b[i] = (uint8_t)v;
    write_bytes(w, b, octets);
}

void write_u8(struct record_writer *w, uint8_t v)
{
    write_number(w, v, 1);
}

void write_u32(struct record_writer *w, uint32_t v)
{
    write_number(w, v, 4);
}

void write_u64(struct record_writer *w, uint64_t v)
{
    write_number(w, v, 8);
}

void write_i64(struct record_writer *w, int64_t v)
{
    write_number(w, (uint64_t)v, 8);
}

void write_text(struct record_writer *w, const char *s, size_t cap)
{
    size_t n = strnlen(s, cap);
    if (n >= cap || n > UINT16_MAX)
        w->too_long = true;
    write_number(w, n, 2);
    write_bytes(w, s, n);
}

void write_blob(struct record_writer *w, struct view v)
{
    if (v.n > RECORD_BLOB_MAX)
        w->too_long = true;
    write_number(w, v.n, 4);
    write_bytes(w, v.p, v.n);
}

bool record_written(const struct record_writer *w, const char *what, struct err *err)
{
    if (w->too_long)
        return err_set(err, ERR_STORE, "a %s with a field that is too long cannot be stored", what);
    return !w->memory || err_memory(err);
}

static bool versions_open(struct record_reader *r, struct view in, uint8_t oldest, uint8_t newest,
                          const char *what, struct err *err)
{
    if (in.n == 0)
        return err_set(err, ERR_STORE, "the store has an empty %s record", what);
    if (in.p[0] < oldest || in.p[0] > newest)
        return err_set(err, ERR_STORE,
                       "the store has a %s record of version %d and this program knows version %d",
                       what, in.p[0], newest);
    *r = (struct record_reader){.rest = view_of(in.p + 1, in.n - 1)};
    return true;
}

bool record_open(struct record_reader *r, struct view in, uint8_t version, const char *what,
                 struct err *err)
{
    return versions_open(r, in, version, version, what, err);
}

bool record_open_any(struct record_reader *r, struct view in, uint8_t newest, uint8_t *version,
                     const char *what, struct err *err)
{
    if (!versions_open(r, in, 1, newest, what, err))
        return false;
    *version = in.p[0];
    return true;
}

/* The next n octets, or NULL. */
static const uint8_t *take(struct record_reader *r, size_t n)
{
    if (r->bad || n > r->rest.n) {
        r->bad = true;
        return NULL;
    }
    const uint8_t *p = r->rest.p;
    r->rest = view_of(p + n, r->rest.n - n);
    return p;
}

static uint64_t read_number(struct record_reader *r, size_t octets)
{
    const uint8_t *p = take(r, octets);
    uint64_t v = 0;
    for (size_t i = 0; p && i < octets; i++)
        v = v << 8 | p[i];
    return v;
}

uint8_t read_u8(struct record_reader *r)
{
    return (uint8_t)read_number(r, 1);
}

uint32_t read_u32(struct record_reader *r)
{
    return (uint32_t)read_number(r, 4);
}

uint64_t read_u64(struct record_reader *r)
{
    return read_number(r, 8);
}

int64_t read_i64(struct record_reader *r)
{
    return (int64_t)read_number(r, 8);
}

void read_bytes(struct record_reader *r, void *p, size_t n)
{
    const uint8_t *from = take(r, n);
    if (from)
        memcpy(p, from, n);
}

void read_text(struct record_reader *r, char *out, size_t cap)
{
    size_t n = (size_t)read_number(r, 2);
    const uint8_t *p = take(r, n);
    if (!p || n >= cap || memchr(p, 0, n)) {
        r->bad = true;
        return;
    }
    memcpy(out, p, n);
    out[n] = '\0';
}

void skip_bytes(struct record_reader *r, size_t n)
{
    take(r, n);
}

void skip_text(struct record_reader *r)
{
    take(r, (size_t)read_number(r, 2));
}

struct view read_blob(struct record_reader *r)
{
    size_t n = (size_t)read_number(r, 4);
    const uint8_t *p = take(r, n);
    return p ? view_of(p, n) : view_of(NULL, 0);
}

bool record_close(const struct record_reader *r, const char *what, struct err *err)
{
    if (!r->bad && r->rest.n == 0)
        return true;
    return err_set(err, ERR_STORE, "the store has a damaged %s record", what);
}

void text_small(char *out, size_t cap, const char *s)
{
    size_t n = 0;
    for (; s[n] && n + 1 < cap; n++)
        out[n] = s[n] >= 'A' && s[n] <= 'Z' ? (char)(s[n] - 'A' + 'a') : s[n];
    out[n] = '\0';
}

void text_put(char *out, size_t cap, const char *s)
{
    size_t n = s ? strlen(s) : 0;
    if (n >= cap)
        for (n = cap - 1; n > 0 && ((unsigned char)s[n] & 0xc0) == 0x80;)
            n--;
    if (n)
        memcpy(out, s, n);
    out[n] = '\0';
}
