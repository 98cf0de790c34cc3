/* Answers that are kept for a repeated question. */
#include "records.h"
#include "store/account.h"

#define KEPT_VERSION 1
#define PURGE_MAX 1000
/* Key of an end: 8 octets of time, then the hash. */
#define END_KEY (8 + STORE_HASH)

void store_kept_clear(struct store_kept *k)
{
    if (!k)
        return;
    buf_clear(&k->answer);
    *k = (struct store_kept){.at = 0};
}

bool kept_read(struct view key, struct view record, struct store_kept *out, struct err *err)
{
    struct record_reader r;
    struct store_kept k = {.at = 0};
    if (!record_open(&r, record, KEPT_VERSION, "kept answer", err))
        return false;
    read_bytes(&r, k.question, STORE_HASH);
    k.at = read_i64(&r);
    k.answered = read_u8(&r) != 0;
    struct view answer = read_blob(&r);
    if (!record_close(&r, "kept answer", err))
        return false;
    if (key.n != STORE_HASH)
        return err_set(err, ERR_STORE, "the store has a kept answer under a damaged key");
    memcpy(k.key, key.p, STORE_HASH);
    if (!buf_append(&k.answer, answer.p, answer.n))
        return err_memory(err);
    *out = k;
    return true;
}

static bool kept_save(struct txn *t, const struct store_kept *k, struct view answer,
                      enum put_mode mode, struct err *err)
{
    struct buf record = {0};
    struct record_writer w = record_begin(&record, KEPT_VERSION);
    write_bytes(&w, k->question, STORE_HASH);
    write_i64(&w, k->at);
    write_u8(&w, k->answered);
    write_blob(&w, answer);
    bool ok = record_written(&w, "kept answer", err) &&
              txn_put(t, TABLE_KEPT, mode, view_of(k->key, STORE_HASH), buf_view(&record), err);
    buf_clear(&record);
    return ok;
}

struct key kept_end_key(const struct store_kept *k)
{
    struct key key = {.n = 0};
    key_time(&key, k->at);
    key_bytes(&key, k->key, STORE_HASH);
    return key;
}

static bool kept_load(struct txn *t, const uint8_t key[STORE_HASH], struct store_kept *out,
                      struct err *err)
{
    struct view record, k = view_of(key, STORE_HASH);
    if (!txn_get(t, TABLE_KEPT, k, &record, err))
        return false;
    if (!record.p)
        return err_set(err, ERR_NOT_FOUND, "no answer is kept for this question");
    return kept_read(k, record, out, err);
}

bool store_kept_put(struct store_write *w, const struct store_kept *k, struct err *err)
{
    struct txn *t = &w->txn;
    struct view there;
    struct key end = kept_end_key(k);
    if (!txn_usable(t, err) || !txn_get(t, TABLE_KEPT, view_of(k->key, STORE_HASH), &there, err))
        return false;
    if (there.p)
        return err_set(err, ERR_EXISTS, "this question was asked before");
    return kept_save(t, k, buf_view(&k->answer), PUT_NEW, err) &&
           txn_put(t, TABLE_KEPT_END, PUT_NEW, key_view(&end), view_of(NULL, 0), err);
}

bool store_kept_get(struct store *s, const uint8_t key[STORE_HASH], struct store_kept *out,
                    struct err *err)
{
    struct txn t;
    if (!txn_read(s, &t, err))
        return false;
    bool ok = kept_load(&t, key, out, err);
    txn_read_end(&t);
    return ok;
}

bool store_kept_answer(struct store_write *w, const uint8_t key[STORE_HASH], struct view answer,
                       struct err *err)
{
    struct store_kept k = {.at = 0};
    if (!txn_usable(&w->txn, err) || !kept_load(&w->txn, key, &k, err))
        return false;
    k.answered = true;
    bool ok = kept_save(&w->txn, &k, answer, PUT_REPLACE, err);
    store_kept_clear(&k);
    return ok;
}

bool store_kept_del(struct store_write *w, const uint8_t key[STORE_HASH], struct err *err)
{
    struct store_kept k = {.at = 0};
    if (!txn_usable(&w->txn, err) || !kept_load(&w->txn, key, &k, err))
        return false;
    struct key end = kept_end_key(&k);
    bool ok = txn_del(&w->txn, TABLE_KEPT, view_of(key, STORE_HASH), err) &&
              txn_del(&w->txn, TABLE_KEPT_END, key_view(&end), err);
    store_kept_clear(&k);
    return ok;
}

struct kept_purge {
    struct key before;
    struct buf keys; /* of the entries in question, all of the same length */
    size_t n;
};

static bool purge_entry(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    struct kept_purge *p = ctx;
    if (key.n != END_KEY)
        return err_set(err, ERR_STORE, "the store has a damaged index of kept answers");
    *stop = p->n == PURGE_MAX || memcmp(key.p, p->before.p, 8) >= 0;
    if (*stop)
        return true;
    p->n++;
    return buf_append(&p->keys, key.p, key.n) || err_memory(err);
}

bool store_kept_purge(struct store_write *w, int64_t before, uint64_t *purged, struct err *err)
{
    struct kept_purge p = {.before = {.n = 0}};
    key_time(&p.before, before);
    bool ok = txn_usable(&w->txn, err) &&
              txn_walk(&w->txn, TABLE_KEPT_END, view_of(NULL, 0), purge_entry, &p, err);
    for (size_t i = 0; ok && i < p.n; i++)
        ok = store_kept_del(w, p.keys.p + i * END_KEY + 8, err);
    buf_clear(&p.keys);
    if (ok)
        *purged = p.n;
    return ok;
}
