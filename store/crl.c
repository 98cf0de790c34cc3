/* The newest CRL of each scope (authority and shard), and the numbers of CRLs. */
#include "records.h"

#define CRL_VERSION 1

static const char what[] = "CRL";

void store_crl_clear(struct store_crl *c)
{
    if (!c)
        return;
    buf_clear(&c->der);
    *c = (struct store_crl){0};
}

static struct key scope_key(const uint8_t authority[20], uint32_t shard)
{
    struct key k = {.n = 0};
    key_bytes(&k, authority, 20);
    key_u32(&k, shard);
    return k;
}

static bool crl_write(const struct store_crl *c, struct buf *out, struct err *err)
{
    struct record_writer w = record_begin(out, CRL_VERSION);
    write_u64(&w, c->number);
    write_u64(&w, c->generation);
    write_i64(&w, c->this_update);
    write_i64(&w, c->next_update);
    write_blob(&w, buf_view(&c->der));
    return record_written(&w, what, err);
}

/* `der` points into the record. */
static bool crl_open(struct view record, struct store_crl *out, struct view *der, struct err *err)
{
    struct record_reader r;
    if (!record_open(&r, record, CRL_VERSION, what, err))
        return false;
    out->number = read_u64(&r);
    out->generation = read_u64(&r);
    out->this_update = read_i64(&r);
    out->next_update = read_i64(&r);
    *der = read_blob(&r);
    return record_close(&r, what, err);
}

bool crl_read(struct view record, struct store_crl *out, struct err *err)
{
    struct store_crl c = {0};
    struct view der;
    if (!crl_open(record, &c, &der, err))
        return false;
    if (!buf_append(&c.der, der.p, der.n))
        return err_memory(err);
    *out = c;
    return true;
}

bool store_crl_number_next(struct store_write *w, const uint8_t authority[20], uint32_t shard,
                           uint64_t *out, struct err *err)
{
    struct key k = meta_crl_number(authority, shard), floor = meta_crl_floor();
    uint64_t last, least;
    if (!txn_usable(&w->txn, err) || !txn_counter(&w->txn, key_view(&k), &last, err) ||
        !txn_counter(&w->txn, key_view(&floor), &least, err))
        return false;
    uint64_t next = (last > least ? last : least) + 1;
    if (!txn_counter_set(&w->txn, key_view(&k), next, err))
        return false;
    *out = next;
    return true;
}

bool store_crl_number(struct store *s, const uint8_t authority[20], uint32_t shard, uint64_t *out,
                      struct err *err)
{
    struct key k = meta_crl_number(authority, shard);
    struct txn t;
    if (!txn_read(s, &t, err))
        return false;
    bool ok = txn_counter(&t, key_view(&k), out, err);
    txn_read_end(&t);
    return ok;
}

bool store_crl_number_raise(struct store_write *w, const uint8_t authority[20], uint32_t shard,
                            uint64_t least, struct err *err)
{
    struct key k = meta_crl_number(authority, shard);
    uint64_t number;
    uint8_t octets[8];
    if (!txn_usable(&w->txn, err) || !txn_counter(&w->txn, key_view(&k), &number, err))
        return false;
    if (least <= number)
        return true;
    if (least > INT64_MAX)
        return err_set(err, ERR_CONFIG, "CRL number %llu leaves no room for others",
                       (unsigned long long)least);
    u64_octets(least, octets);
    return txn_put(&w->txn, TABLE_META, PUT_REPLACE, key_view(&k), view_of(octets, sizeof octets),
                   err);
}

bool store_crl_put(struct store_write *w, const uint8_t authority[20], uint32_t shard,
                   const struct store_crl *crl, struct err *err)
{
    struct txn *t = &w->txn;
    struct key k = scope_key(authority, shard);
    struct view there, der;
    struct store_crl newest = {0};
    struct buf record = {0};
    if (!txn_usable(t, err) || !txn_get(t, TABLE_CRL, key_view(&k), &there, err) ||
        (there.p && !crl_open(there, &newest, &der, err)))
        return false;
    if (there.p && crl->number <= newest.number)
        return err_set(err, ERR_CONFLICT, "CRL %llu is stored already, %llu is older",
                       (unsigned long long)newest.number, (unsigned long long)crl->number);
    bool ok = crl_write(crl, &record, err) &&
              txn_put(t, TABLE_CRL, PUT_REPLACE, key_view(&k), buf_view(&record), err);
    buf_clear(&record);
    return ok;
}

bool crl_made_at(struct txn *t, const uint8_t authority[20], uint32_t shard, int64_t *at,
                 struct err *err)
{
    struct key k = scope_key(authority, shard);
    struct store_crl newest = {0};
    struct view record, der;
    if (!txn_get(t, TABLE_CRL, key_view(&k), &record, err) ||
        (record.p && !crl_open(record, &newest, &der, err)))
        return false;
    *at = newest.this_update;
    return true;
}

bool store_crl_get(struct store *s, const uint8_t authority[20], uint32_t shard,
                   struct store_crl *out, struct err *err)
{
    struct key k = scope_key(authority, shard);
    struct view record;
    struct txn t;
    if (!txn_read(s, &t, err))
        return false;
    bool ok = txn_get(&t, TABLE_CRL, key_view(&k), &record, err);
    if (ok && !record.p)
        ok = err_set(err, ERR_NOT_FOUND, "there is no CRL yet");
    ok = ok && crl_read(record, out, err);
    txn_read_end(&t);
    return ok;
}

bool store_crl_about(struct store *s, const uint8_t authority[20], uint32_t shard,
                     struct store_crl *out, size_t *size, struct err *err)
{
    struct key k = scope_key(authority, shard);
    struct view record, der = {NULL, 0};
    struct store_crl about = {0};
    struct txn t;
    if (!txn_read(s, &t, err))
        return false;
    bool ok = txn_get(&t, TABLE_CRL, key_view(&k), &record, err);
    if (ok && !record.p)
        ok = err_set(err, ERR_NOT_FOUND, "there is no CRL yet");
    ok = ok && crl_open(record, &about, &der, err);
    txn_read_end(&t);
    if (ok) {
        *out = about;
        *size = der.n;
    }
    return ok;
}
