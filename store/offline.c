/* What was signed by a key that is not here. */
#include "store/offline.h"

#include "records.h"

#define OFFLINE_VERSION 1

static const char what[] = "CRL or OCSP answer from elsewhere";

void store_offline_clear(struct store_offline *o)
{
    if (!o)
        return;
    buf_clear(&o->der);
    *o = (struct store_offline){0};
}

static struct key offline_key(enum store_offline_kind kind, const uint8_t id[STORE_HASH])
{
    struct key k = meta_offline();
    const uint8_t letter = (uint8_t)kind;
    key_bytes(&k, &letter, 1);
    key_bytes(&k, id, STORE_HASH);
    return k;
}

static bool offline_write(const struct store_offline *o, struct buf *out, struct err *err)
{
    struct record_writer w = record_begin(out, OFFLINE_VERSION);
    write_bytes(&w, o->issuer, sizeof o->issuer);
    write_u8(&w, o->said);
    write_i64(&w, o->number);
    write_i64(&w, o->this_update);
    write_i64(&w, o->next_update);
    write_i64(&w, o->taken_at);
    write_blob(&w, buf_view(&o->der));
    return record_written(&w, what, err);
}

/* `der` points into the record. */
static bool offline_open(struct view key, struct view record, struct store_offline *out,
                         struct view *der, struct err *err)
{
    struct record_reader r;
    struct store_offline o = {0};
    if (key.n != 2 + STORE_HASH || !memchr("COL", key.p[1], 3))
        return err_set(err, ERR_STORE, "the store has a %s under a wrong key", what);
    if (!record_open(&r, record, OFFLINE_VERSION, what, err))
        return false;
    o.kind = (enum store_offline_kind)key.p[1];
    memcpy(o.id, key.p + 2, STORE_HASH);
    read_bytes(&r, o.issuer, sizeof o.issuer);
    o.said = read_u8(&r);
    o.number = read_i64(&r);
    o.this_update = read_i64(&r);
    o.next_update = read_i64(&r);
    o.taken_at = read_i64(&r);
    *der = read_blob(&r);
    if (!record_close(&r, what, err))
        return false;
    *out = o;
    return true;
}

/* RFC 5280 section 5.2.3: numbers go upwards; where there are none, times do. */
static bool check_newer(const struct store_offline *now, const struct store_offline *there,
                        struct err *err)
{
    if (now->number < there->number)
        return err_set(err, ERR_CONFLICT, "number %lld is older than number %lld, which is here",
                       (long long)now->number, (long long)there->number);
    return now->this_update >= there->this_update ||
           err_set(err, ERR_CONFLICT, "it is older than the one that is here");
}

bool store_offline_put(struct store_write *w, const struct store_offline *o, struct err *err)
{
    struct key k = offline_key(o->kind, o->id);
    struct txn *t = &w->txn;
    struct view record, der;
    struct store_offline there;
    struct buf bytes = {0};
    if (!txn_usable(t, err))
        return false;
    if (o->der.n == 0 || o->der.n > STORE_OFFLINE_MAX)
        return err_set(err, ERR_CONFIG, "it has %zu octets, at most %u are kept", o->der.n,
                       STORE_OFFLINE_MAX);
    if (!txn_get(t, TABLE_META, key_view(&k), &record, err) ||
        (record.p &&
         (!offline_open(key_view(&k), record, &there, &der, err) || !check_newer(o, &there, err))))
        return false;
    bool ok = offline_write(o, &bytes, err) &&
              txn_put(t, TABLE_META, PUT_REPLACE, key_view(&k), buf_view(&bytes), err);
    buf_clear(&bytes);
    return ok;
}

static bool look_up(struct store *s, enum store_offline_kind kind, const uint8_t id[STORE_HASH],
                    bool octets, struct store_offline *out, struct err *err)
{
    struct key k = offline_key(kind, id);
    struct store_offline o = {0};
    struct view record, der;
    struct txn t;
    if (!txn_read(s, &t, err))
        return false;
    bool ok = txn_get(&t, TABLE_META, key_view(&k), &record, err) &&
              (record.p || err_set(err, ERR_NOT_FOUND, "nothing of it was brought here")) &&
              offline_open(key_view(&k), record, &o, &der, err) &&
              (!octets || buf_append(&o.der, der.p, der.n) || err_memory(err));
    txn_read_end(&t);
    if (ok)
        *out = o;
    return ok;
}

bool store_offline_get(struct store *s, enum store_offline_kind kind, const uint8_t id[STORE_HASH],
                       struct store_offline *out, struct err *err)
{
    return look_up(s, kind, id, true, out, err);
}

bool store_offline_about(struct store *s, enum store_offline_kind kind,
                         const uint8_t id[STORE_HASH], struct store_offline *out, struct err *err)
{
    return look_up(s, kind, id, false, out, err);
}

struct listing {
    void (*each)(void *ctx, const struct store_offline *o);
    void *ctx;
};

static bool list_entry(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    const struct listing *l = ctx;
    struct store_offline o;
    struct view der;
    if (!offline_open(key, value, &o, &der, err))
        return false;
    l->each(l->ctx, &o);
    return true;
}

bool store_offline_list(struct store *s, void (*each)(void *ctx, const struct store_offline *o),
                        void *ctx, struct err *err)
{
    struct listing l = {each, ctx};
    struct key prefix = meta_offline();
    struct txn t;
    if (!txn_read(s, &t, err))
        return false;
    bool ok = txn_walk(&t, TABLE_META, key_view(&prefix), list_entry, &l, err);
    txn_read_end(&t);
    return ok;
}

bool offline_check(struct view key, struct view record, struct err *err)
{
    struct store_offline o;
    struct view der;
    return offline_open(key, record, &o, &der, err);
}
