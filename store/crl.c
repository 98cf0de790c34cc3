/* The newest CRL of each scope (authority and shard), and the numbers of CRLs.  Octets: crl_file.c.
 */
#include "records.h"

#include <sys/mman.h>

#define CRL_VERSION 2
#define CRL_WITH_OCTETS 1 /* of format 4 and before: they stood in the record */
/* A file that goes between record and opening has a successor: it is looked for again. */
#define OPEN_TRIES 100

static const char what[] = "CRL";

void store_crl_clear(struct store_crl *c)
{
    if (!c)
        return;
    if (c->der.p)
        munmap((void *)(uintptr_t)c->der.p, c->der.n);
    *c = (struct store_crl){0};
}

struct key crl_scope_key(const uint8_t authority[20], uint32_t shard)
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
    write_i64(&w, c->until);
    write_u64(&w, c->base);
    write_u64(&w, c->entries);
    write_u64(&w, c->size);
    write_bytes(&w, c->sha256, sizeof c->sha256);
    write_u8(&w, (uint8_t)c->base_n);
    for (size_t i = 0; i < c->base_n; i++) {
        write_u64(&w, c->bases[i].number);
        write_u64(&w, c->bases[i].generation);
        write_i64(&w, c->bases[i].this_update);
        write_i64(&w, c->bases[i].listed_from);
        write_i64(&w, c->bases[i].free_at);
    }
    return record_written(&w, what, err);
}

static bool read_bases(struct record_reader *r, struct store_crl *out, struct err *err)
{
    out->base_n = read_u8(r);
    if (out->base_n > STORE_CRL_BASES)
        return err_set(err, ERR_STORE, "the store has a CRL with %zu bases, at most %d are known",
                       out->base_n, STORE_CRL_BASES);
    for (size_t i = 0; i < out->base_n; i++) {
        out->bases[i].number = read_u64(r);
        out->bases[i].generation = read_u64(r);
        out->bases[i].this_update = read_i64(r);
        out->bases[i].listed_from = read_i64(r);
        out->bases[i].free_at = read_i64(r);
    }
    return true;
}

/* `octets` points into the record of an older format, or is empty. */
static bool crl_open(struct view record, struct store_crl *out, struct view *octets,
                     struct err *err)
{
    struct record_reader r;
    struct store_crl c = {0};
    bool old = record.n > 0 && record.p[0] == CRL_WITH_OCTETS;
    *octets = (struct view){0};
    if (!record_open(&r, record, old ? CRL_WITH_OCTETS : CRL_VERSION, what, err))
        return false;
    c.number = read_u64(&r);
    c.generation = read_u64(&r);
    c.this_update = read_i64(&r);
    c.next_update = read_i64(&r);
    if (old) {
        c.until = c.next_update;
        *octets = read_blob(&r);
    } else {
        c.until = read_i64(&r);
        c.base = read_u64(&r);
        c.entries = read_u64(&r);
        c.size = read_u64(&r);
        read_bytes(&r, c.sha256, sizeof c.sha256);
        if (!read_bases(&r, &c, err))
            return false;
    }
    if (!record_close(&r, what, err))
        return false;
    *out = c;
    return true;
}

bool crl_read(struct view record, struct store_crl *out, struct err *err)
{
    struct view octets;
    return crl_open(record, out, &octets, err);
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

bool store_crl_write(struct store *s, const uint8_t authority[20], uint32_t shard,
                     struct store_crl *crl, const struct view *parts, size_t parts_n,
                     struct err *err)
{
    return crl_file_write(s, authority, shard, crl, parts, parts_n, err);
}

static bool crl_load(struct txn *t, const uint8_t authority[20], uint32_t shard, bool *found,
                     struct store_crl *out, struct err *err)
{
    struct key k = crl_scope_key(authority, shard);
    struct view record;
    if (!txn_get(t, TABLE_CRL, key_view(&k), &record, err) ||
        (record.p && !crl_read(record, out, err)))
        return false;
    *found = record.p != NULL;
    return true;
}

/* What changed since the oldest base is still told by deltas; without bases nothing is. */
static bool releases_outlived(struct txn *t, const uint8_t authority[20],
                              const struct store_crl *crl, struct err *err)
{
    return released_forget(t, authority, crl->base_n ? crl->bases[0].generation : crl->generation,
                           err);
}

static bool crl_save(struct txn *t, const uint8_t authority[20], uint32_t shard,
                     const struct store_crl *crl, struct err *err)
{
    struct key k = crl_scope_key(authority, shard);
    struct buf record = {0};
    bool ok = crl_write(crl, &record, err) &&
              txn_put(t, TABLE_CRL, PUT_REPLACE, key_view(&k), buf_view(&record), err);
    buf_clear(&record);
    return ok;
}

bool store_crl_put(struct store_write *w, const uint8_t authority[20], uint32_t shard,
                   const struct store_crl *crl, struct err *err)
{
    struct txn *t = &w->txn;
    struct store_crl newest = {0};
    bool found;
    if (!txn_usable(t, err) || !crl_load(t, authority, shard, &found, &newest, err))
        return false;
    if (found && crl->number <= newest.number)
        return err_set(err, ERR_CONFLICT, "CRL %llu is stored already, %llu is older",
                       (unsigned long long)newest.number, (unsigned long long)crl->number);
    if (crl->base_n > STORE_CRL_BASES || !crl_file_there(t->s, authority, shard, crl))
        return err_set(err, ERR_CONFLICT, "the octets of CRL %llu were not written",
                       (unsigned long long)crl->number);
    return crl_save(t, authority, shard, crl, err) &&
           (shard != STORE_CRL_COMPLETE || releases_outlived(t, authority, crl, err));
}

bool crl_made_at(struct txn *t, const uint8_t authority[20], uint32_t shard, int64_t *at,
                 struct err *err)
{
    struct store_crl newest = {0};
    bool found;
    if (!crl_load(t, authority, shard, &found, &newest, err))
        return false;
    *at = newest.this_update;
    return true;
}

bool store_crl_about(struct store *s, const uint8_t authority[20], uint32_t shard,
                     struct store_crl *out, struct err *err)
{
    struct store_crl about = {0};
    struct txn t;
    bool found;
    if (!txn_read(s, &t, err))
        return false;
    bool ok = crl_load(&t, authority, shard, &found, &about, err) &&
              (found || err_set(err, ERR_NOT_FOUND, "there is no CRL yet"));
    txn_read_end(&t);
    if (!ok)
        return false;
    about.missing = !crl_file_there(s, authority, shard, &about);
    *out = about;
    return true;
}

bool store_crl_get(struct store *s, const uint8_t authority[20], uint32_t shard,
                   struct store_crl *out, struct err *err)
{
    struct store_crl crl = {0};
    uint64_t seen = 0;
    for (int i = 0; i < OPEN_TRIES; i++) {
        bool found;
        if (!store_crl_about(s, authority, shard, &crl, err))
            return false;
        if (!crl.missing) {
            if (!crl_file_map(s, authority, shard, &crl, &found, err))
                return false;
            if (found) {
                *out = crl;
                return true;
            }
        }
        if (crl.number == seen)
            break;
        seen = crl.number;
    }
    return err_set(err, ERR_NOT_FOUND, "the file of CRL %llu is missing or damaged",
                   (unsigned long long)crl.number);
}

void store_crl_tidy(struct store *s, const uint8_t authority[20], uint32_t shard)
{
    struct store_crl newest = {0};
    struct err ignored = {0};
    if (store_crl_about(s, authority, shard, &newest, &ignored) && !newest.missing)
        crl_file_tidy(s, authority, shard, newest.number);
}

/* ---- all scopes ---- */

static bool highest_entry(void *ctx, struct view key, struct view value, bool *stop,
                          struct err *err)
{
    uint32_t *highest = ctx;
    uint32_t shard = key.n == 24 ? octets_u32(key.p + 20) : 0;
    if (shard != STORE_CRL_DELTA && shard > *highest)
        *highest = shard;
    return true;
}

bool store_crl_shards(struct store *s, const uint8_t authority[20], uint32_t *out, struct err *err)
{
    struct txn t;
    uint32_t highest = 0;
    if (!txn_read(s, &t, err))
        return false;
    bool ok = txn_walk(&t, TABLE_CRL, view_of(authority, 20), highest_entry, &highest, err);
    txn_read_end(&t);
    if (ok)
        *out = highest;
    return ok;
}

#define MOVE_MAX 256 /* scopes of format 4, which had one for each authority's key */

struct moving {
    struct txn *t;
    struct key key[MOVE_MAX];
    size_t n;
};

static bool move_entry(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    struct moving *m = ctx;
    if (key.n != 24 || m->n == MOVE_MAX)
        return err_set(err, ERR_STORE, "the store has CRLs that cannot be moved into files");
    key_bytes(&m->key[m->n++], key.p, key.n);
    return true;
}

/* The file first, as always: a migration that ends half-way finds it in its place the next time. */
bool crls_move_out(struct txn *t, struct err *err)
{
    struct moving m = {.t = t};
    bool ok = txn_walk(t, TABLE_CRL, (struct view){0}, move_entry, &m, err);
    for (size_t i = 0; ok && i < m.n; i++) {
        struct view key = key_view(&m.key[i]), record, octets;
        struct store_crl crl = {0};
        ok = txn_get(t, TABLE_CRL, key, &record, err) && crl_open(record, &crl, &octets, err);
        if (!ok || !octets.p)
            continue;
        ok = crl_file_write(t->s, key.p, octets_u32(key.p + 20), &crl, &octets, 1, err) &&
             crl_save(t, key.p, octets_u32(key.p + 20), &crl, err);
    }
    return ok;
}
