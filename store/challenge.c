/* Challenges: the record by the hash of the secret, the hash by the public id, and when each ended.
 */
#include "records.h"
#include "store/page.h"

#define CHALLENGE_VERSION 2 /* 1: without device, policy and pool */
/* Forgotten in one write, so that nobody waits long for it. */
#define PURGE_MAX 1000

static const char what[] = "challenge";

/* ---- record and keys ---- */

static bool challenge_write(const struct store_challenge *c, struct buf *out, struct err *err)
{
    struct record_writer w = record_begin(out, CHALLENGE_VERSION);
    write_text(&w, c->id, sizeof c->id);
    write_bytes(&w, c->hash, STORE_HASH);
    write_i64(&w, c->created_at);
    write_i64(&w, c->expires_at);
    write_u32(&w, c->uses);
    write_u32(&w, c->used);
    write_i64(&w, c->revoked_at);
    write_text(&w, c->created_by, sizeof c->created_by);
    write_text(&w, c->endpoint, sizeof c->endpoint);
    write_text(&w, c->template_name, sizeof c->template_name);
    write_text(&w, c->subject, sizeof c->subject);
    write_text(&w, c->san, sizeof c->san);
    write_text(&w, c->label, sizeof c->label);
    write_i64(&w, c->used_at);
    write_text(&w, c->used_by_transaction, sizeof c->used_by_transaction);
    write_text(&w, c->used_by_subject, sizeof c->used_by_subject);
    write_text(&w, c->used_by_peer, sizeof c->used_by_peer);
    write_bytes(&w, c->used_by_key, STORE_HASH);
    write_u32(&w, c->refused);
    write_i64(&w, c->refused_at);
    write_text(&w, c->refused_peer, sizeof c->refused_peer);
    write_text(&w, c->device, sizeof c->device);
    write_text(&w, c->policy, sizeof c->policy);
    write_text(&w, c->pool, sizeof c->pool);
    return record_written(&w, what, err);
}

bool challenge_read(struct view record, struct store_challenge *out, struct err *err)
{
    struct record_reader r;
    struct store_challenge c = {0};
    uint8_t version;
    if (!record_open_any(&r, record, CHALLENGE_VERSION, &version, what, err))
        return false;
    read_text(&r, c.id, sizeof c.id);
    read_bytes(&r, c.hash, STORE_HASH);
    c.created_at = read_i64(&r);
    c.expires_at = read_i64(&r);
    c.uses = read_u32(&r);
    c.used = read_u32(&r);
    c.revoked_at = read_i64(&r);
    read_text(&r, c.created_by, sizeof c.created_by);
    read_text(&r, c.endpoint, sizeof c.endpoint);
    read_text(&r, c.template_name, sizeof c.template_name);
    read_text(&r, c.subject, sizeof c.subject);
    read_text(&r, c.san, sizeof c.san);
    read_text(&r, c.label, sizeof c.label);
    c.used_at = read_i64(&r);
    read_text(&r, c.used_by_transaction, sizeof c.used_by_transaction);
    read_text(&r, c.used_by_subject, sizeof c.used_by_subject);
    read_text(&r, c.used_by_peer, sizeof c.used_by_peer);
    read_bytes(&r, c.used_by_key, STORE_HASH);
    c.refused = read_u32(&r);
    c.refused_at = read_i64(&r);
    read_text(&r, c.refused_peer, sizeof c.refused_peer);
    if (version >= 2) {
        read_text(&r, c.device, sizeof c.device);
        read_text(&r, c.policy, sizeof c.policy);
        read_text(&r, c.pool, sizeof c.pool);
    }
    if (!record_close(&r, what, err))
        return false;
    *out = c;
    return true;
}

static bool used_up(const struct store_challenge *c)
{
    return c->uses != 0 && c->used >= c->uses;
}

/* One that expires keeps its place when it is used, so that using it writes one page less. */
int64_t challenge_end(const struct store_challenge *c)
{
    if (c->expires_at)
        return c->expires_at;
    if (used_up(c) && (!c->revoked_at || c->used_at < c->revoked_at))
        return c->used_at;
    return c->revoked_at;
}

struct key challenge_end_key(const struct store_challenge *c)
{
    struct key k = {.n = 0};
    key_time(&k, challenge_end(c));
    key_bytes(&k, c->hash, STORE_HASH);
    return k;
}

struct key challenge_made_key(const struct store_challenge *c)
{
    struct key k = {.n = 0};
    key_time(&k, c->created_at);
    key_bytes(&k, c->hash, STORE_HASH);
    return k;
}

bool challenge_is_open(const struct store_challenge *c)
{
    return !c->revoked_at && !used_up(c);
}

enum challenge_state store_challenge_state(const struct store_challenge *c, int64_t now)
{
    if (!challenge_is_open(c))
        return c->revoked_at ? CHALLENGE_REVOKED : CHALLENGE_USED;
    return c->expires_at && c->expires_at <= now ? CHALLENGE_EXPIRED : CHALLENGE_OPEN;
}

static bool made_entry(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    struct store_challenge c;
    if (!challenge_read(value, &c, err))
        return false;
    struct key made = challenge_made_key(&c);
    return txn_put(ctx, TABLE_CHALLENGE_MADE, PUT_REPLACE, key_view(&made), view_of(NULL, 0), err);
}

bool challenges_made_fill(struct txn *t, struct err *err)
{
    return txn_walk(t, TABLE_CHALLENGE, view_of(NULL, 0), made_entry, t, err);
}

/* ---- reading ---- */

bool challenge_load(struct txn *t, const uint8_t hash[STORE_HASH], struct store_challenge *out,
                    struct err *err)
{
    struct view record;
    if (!txn_get(t, TABLE_CHALLENGE, view_of(hash, STORE_HASH), &record, err))
        return false;
    if (!record.p)
        return err_set(err, ERR_NOT_FOUND, "there is no such challenge");
    return challenge_read(record, out, err);
}

bool store_challenge_by_hash(struct store *s, const uint8_t hash[STORE_HASH],
                             struct store_challenge *out, struct err *err)
{
    struct txn t;
    if (!txn_read(s, &t, err))
        return false;
    bool ok = challenge_load(&t, hash, out, err);
    txn_read_end(&t);
    return ok;
}

bool store_write_challenge_by_hash(struct store_write *w, const uint8_t hash[STORE_HASH],
                                   struct store_challenge *out, struct err *err)
{
    return txn_usable(&w->txn, err) && challenge_load(&w->txn, hash, out, err);
}

/* The whole id, or a prefix of it where `exact` is false. */
static bool load_by_id(struct txn *t, const char *id, bool exact, struct store_challenge *out,
                       struct err *err)
{
    struct view hash;
    if (exact ? !txn_get(t, TABLE_CHALLENGE_ID, view_str(id), &hash, err)
              : !id_find(t, TABLE_CHALLENGE_ID, id, what, &hash, err))
        return false;
    if (!hash.p)
        return err_set(err, ERR_NOT_FOUND, "there is no challenge %.40s", id);
    if (hash.n != STORE_HASH)
        return err_set(err, ERR_STORE, "the store has a damaged challenge index entry");
    return challenge_load(t, hash.p, out, err);
}

bool store_challenge_by_id(struct store *s, const char *id_or_prefix, struct store_challenge *out,
                           struct err *err)
{
    struct txn t;
    if (!txn_read(s, &t, err))
        return false;
    bool ok = load_by_id(&t, id_or_prefix, false, out, err);
    txn_read_end(&t);
    return ok;
}

/* ---- writing ---- */

/* Device, policy and pool know those that are open. */
static bool links_move(struct txn *t, const struct store_challenge *c,
                       const struct store_challenge *old, struct err *err)
{
    bool was = old && challenge_is_open(old), is = challenge_is_open(c);
    struct key number = challenge_made_key(c);
    if (was == is)
        return true;
    return is ? links_put(t, c->device, c->policy, LINK_CHALLENGE, key_view(&number), err) &&
                    pool_enter(t, c, err)
              : links_del(t, c->device, c->policy, LINK_CHALLENGE, key_view(&number), err) &&
                    pool_leave(t, c, err);
}

/* Replaces `old` (NULL: new) by `c`, and its place among the ends when that moved. */
static bool challenge_save(struct txn *t, const struct store_challenge *c,
                           const struct store_challenge *old, struct err *err)
{
    int64_t end = challenge_end(c), old_end = old ? challenge_end(old) : 0;
    struct key k = challenge_end_key(c);
    struct buf record = {0};
    bool ok = challenge_write(c, &record, err) &&
              txn_put(t, TABLE_CHALLENGE, PUT_REPLACE, view_of(c->hash, STORE_HASH),
                      buf_view(&record), err);
    buf_clear(&record);
    ok = ok && links_move(t, c, old, err);
    if (!ok || end == old_end)
        return ok;
    if (old_end) {
        struct key gone = challenge_end_key(old);
        ok = txn_del(t, TABLE_CHALLENGE_END, key_view(&gone), err);
    }
    return ok &&
           (!end || txn_put(t, TABLE_CHALLENGE_END, PUT_NEW, key_view(&k), view_of(NULL, 0), err));
}

bool store_challenge_put(struct store_write *w, const struct store_challenge *c, struct err *err)
{
    struct txn *t = &w->txn;
    struct view by_hash, by_id;
    if (!txn_usable(t, err) ||
        !txn_get(t, TABLE_CHALLENGE, view_of(c->hash, STORE_HASH), &by_hash, err))
        return false;
    if (strnlen(c->id, sizeof c->id) == sizeof c->id || !c->id[0])
        return err_set(err, ERR_STORE, "a challenge needs an id of 1 to %zu characters",
                       sizeof c->id - 1);
    if (!txn_get(t, TABLE_CHALLENGE_ID, view_str(c->id), &by_id, err))
        return false;
    if (by_hash.p || by_id.p)
        return err_set(err, ERR_EXISTS, "there is a challenge with this %s already",
                       by_id.p ? "id" : "secret");
    struct key made = meta_challenges_made(), at = challenge_made_key(c);
    uint64_t n;
    return challenge_save(t, c, NULL, err) &&
           txn_put(t, TABLE_CHALLENGE_MADE, PUT_NEW, key_view(&at), view_of(NULL, 0), err) &&
           txn_put(t, TABLE_CHALLENGE_ID, PUT_NEW, view_str(c->id), view_of(c->hash, STORE_HASH),
                   err) &&
           txn_counter_next(t, key_view(&made), &n, err);
}

bool store_write_challenges_made(struct store_write *w, uint64_t *n, struct err *err)
{
    struct key made = meta_challenges_made();
    return txn_usable(&w->txn, err) && txn_counter(&w->txn, key_view(&made), n, err);
}

/* ERR_CONFLICT with the reason when it cannot be used at `at`. */
static bool burnable(const struct store_challenge *c, int64_t at, struct err *err)
{
    if (c->revoked_at)
        return err_set(err, ERR_CONFLICT, "challenge %s was revoked", c->id);
    if (c->expires_at && at >= c->expires_at)
        return err_set(err, ERR_CONFLICT, "challenge %s has expired", c->id);
    if (used_up(c))
        return err_set(err, ERR_CONFLICT, "challenge %s is used up (%u of %u)", c->id, c->used,
                       c->uses);
    return true;
}

bool store_challenge_burn(struct store_write *w, const uint8_t hash[STORE_HASH],
                          const struct store_use *use, struct err *err)
{
    struct txn *t = &w->txn;
    struct store_challenge c, old;
    if (!txn_usable(t, err) || !challenge_load(t, hash, &old, err) || !burnable(&old, use->at, err))
        return false;
    c = old;
    if (c.used < UINT32_MAX)
        c.used++;
    c.used_at = use->at;
    text_put(c.used_by_transaction, sizeof c.used_by_transaction, use->transaction);
    text_put(c.used_by_subject, sizeof c.used_by_subject, use->subject);
    text_put(c.used_by_peer, sizeof c.used_by_peer, use->peer);
    if (use->key_hash)
        memcpy(c.used_by_key, use->key_hash, STORE_HASH);
    else
        memset(c.used_by_key, 0, STORE_HASH);
    return challenge_save(t, &c, &old, err);
}

bool store_challenge_refused(struct store_write *w, const uint8_t hash[STORE_HASH], int64_t at,
                             const char *peer, struct err *err)
{
    struct txn *t = &w->txn;
    struct store_challenge c, old;
    if (!txn_usable(t, err) || !challenge_load(t, hash, &old, err))
        return false;
    c = old;
    if (c.refused < UINT32_MAX)
        c.refused++;
    c.refused_at = at;
    text_put(c.refused_peer, sizeof c.refused_peer, peer);
    return challenge_save(t, &c, &old, err);
}

bool store_challenge_revoke(struct store_write *w, const char *id, int64_t at, struct err *err)
{
    struct txn *t = &w->txn;
    struct store_challenge c, old;
    if (!txn_usable(t, err) || !load_by_id(t, id, true, &old, err))
        return false;
    if (old.revoked_at)
        return err_set(err, ERR_CONFLICT, "challenge %s is revoked already", old.id);
    c = old;
    c.revoked_at = at;
    return challenge_save(t, &c, &old, err);
}

/* ---- listing and purging ---- */

struct listing {
    bool (*each)(void *ctx, const struct store_challenge *c);
    void *ctx;
};

static bool list_entry(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    struct listing *l = ctx;
    struct store_challenge c;
    if (!challenge_read(value, &c, err))
        return false;
    *stop = !l->each(l->ctx, &c);
    return true;
}

bool store_challenge_list(struct store *s, bool (*each)(void *ctx, const struct store_challenge *c),
                          void *ctx, struct err *err)
{
    struct listing l = {each, ctx};
    return table_walk(s, TABLE_CHALLENGE, view_of(NULL, 0), false, list_entry, &l, err);
}

struct purge {
    struct key before;
    struct buf keys; /* of the entries in question, all of the same length */
    size_t n;
};

/* Key of an end: 8 octets of time, then the hash. */
#define END_KEY (8 + STORE_HASH)

static bool purge_entry(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    struct purge *p = ctx;
    if (key.n != END_KEY)
        return err_set(err, ERR_STORE, "the store has a damaged index of ended challenges");
    *stop = p->n == PURGE_MAX || memcmp(key.p, p->before.p, 8) >= 0;
    if (*stop)
        return true;
    p->n++;
    return buf_append(&p->keys, key.p, key.n) || err_memory(err);
}

bool challenge_forget(struct txn *t, struct view end_key, struct err *err)
{
    struct store_challenge c;
    if (end_key.n != END_KEY || !challenge_load(t, end_key.p + 8, &c, err)) {
        err_set(err, ERR_STORE, "the store has a damaged index of ended challenges");
        return txn_spoil(t, err); /* the index names it, so it must be there */
    }
    struct key made = challenge_made_key(&c);
    return txn_del(t, TABLE_CHALLENGE_END, end_key, err) &&
           txn_del(t, TABLE_CHALLENGE_MADE, key_view(&made), err) &&
           (!challenge_is_open(&c) ||
            (links_del(t, c.device, c.policy, LINK_CHALLENGE, key_view(&made), err) &&
             pool_leave(t, &c, err))) &&
           txn_del(t, TABLE_CHALLENGE_ID, view_str(c.id), err) &&
           txn_del(t, TABLE_CHALLENGE, view_of(c.hash, STORE_HASH), err);
}

bool store_challenge_purge(struct store_write *w, int64_t before, uint64_t *purged, struct err *err)
{
    struct txn *t = &w->txn;
    struct purge p = {.before = {.n = 0}};
    key_time(&p.before, before);
    bool ok = txn_usable(t, err) &&
              txn_walk(t, TABLE_CHALLENGE_END, view_of(NULL, 0), purge_entry, &p, err);
    for (size_t i = 0; ok && i < p.n; i++)
        ok = challenge_forget(t, view_of(p.keys.p + i * END_KEY, END_KEY), err);
    buf_clear(&p.keys);
    if (ok)
        *purged = p.n;
    return ok;
}
