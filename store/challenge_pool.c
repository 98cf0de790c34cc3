/* Pools of challenges: of each, those that are open stand in one index by their expiry, and their
 * number is kept beside it, so that who may have only so many is told in the same time however many
 * there are.  What expires unused leaves when the pool is counted next. */
#include "verify.h"

/* Taken out in one walk. */
#define SWEEP_MAX 1000
/* Behind the pool's name: its NUL, the time, the hash. */
#define PLACE_OCTETS (8 + STORE_HASH)

static struct key pool_prefix(const char *pool)
{
    struct key k = {.n = 0};
    key_bytes(&k, pool, strlen(pool) + 1);
    return k;
}

struct key pool_key(const struct store_challenge *c)
{
    struct key k = pool_prefix(c->pool);
    key_time(&k, c->expires_at ? c->expires_at : INT64_MAX);
    key_bytes(&k, c->hash, STORE_HASH);
    return k;
}

bool pool_parts(struct view key, char pool[64], const uint8_t **hash)
{
    size_t n = key.n ? strnlen((const char *)key.p, key.n) : 0;
    if (n == 0 || n >= 64 || key.n != n + 1 + PLACE_OCTETS)
        return false;
    memcpy(pool, key.p, n + 1);
    *hash = key.p + n + 1 + 8;
    return true;
}

static bool leave(struct txn *t, struct view key, const char *pool, struct err *err)
{
    struct key count = meta_pool(pool);
    return txn_del(t, TABLE_CHALLENGE_POOL, key, err) && txn_counter_less(t, key_view(&count), err);
}

/* It may have left already, when its time was over. */
bool pool_leave(struct txn *t, const struct store_challenge *c, struct err *err)
{
    struct key k = pool_key(c);
    struct view found;
    if (!c->pool[0])
        return true;
    if (!txn_get(t, TABLE_CHALLENGE_POOL, key_view(&k), &found, err))
        return false;
    return !found.p || leave(t, key_view(&k), c->pool, err);
}

bool pool_enter(struct txn *t, const struct store_challenge *c, struct err *err)
{
    struct key k = pool_key(c), count = meta_pool(c->pool);
    uint64_t n;
    if (!c->pool[0])
        return true;
    return txn_put(t, TABLE_CHALLENGE_POOL, PUT_NEW, key_view(&k), view_of(NULL, 0), err) &&
           txn_counter_next(t, key_view(&count), &n, err);
}

struct sweep {
    struct key until; /* of the pool, and the first moment that is not over */
    struct buf keys;  /* all of the same length */
    size_t n;
};

static bool sweep_entry(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    struct sweep *s = ctx;
    *stop = s->n == SWEEP_MAX || key.n < s->until.n || memcmp(key.p, s->until.p, s->until.n) >= 0;
    if (*stop)
        return true;
    s->n++;
    return buf_append(&s->keys, key.p, key.n) || err_memory(err);
}

/* *more: there may be others. */
static bool sweep(struct txn *t, const char *pool, int64_t now, bool *more, struct err *err)
{
    struct key prefix = pool_prefix(pool);
    struct sweep s = {.until = prefix};
    key_time(&s.until, now + 1); /* one that expires now has expired */
    bool ok = txn_walk(t, TABLE_CHALLENGE_POOL, key_view(&prefix), sweep_entry, &s, err);
    size_t length = s.n ? s.keys.n / s.n : 0;
    for (size_t i = 0; ok && i < s.n; i++)
        ok = leave(t, view_of(s.keys.p + i * length, length), pool, err);
    *more = s.n == SWEEP_MAX;
    buf_clear(&s.keys);
    return ok;
}

bool store_challenge_pool_count(struct store_write *w, const char *pool, int64_t now,
                                uint64_t *open, struct err *err)
{
    struct txn *t = &w->txn;
    struct key count = meta_pool(pool);
    bool more = true;
    if (!txn_usable(t, err))
        return false;
    if (!*pool || strlen(pool) >= sizeof((struct store_challenge *)0)->pool)
        return err_set(err, ERR_STORE, "a pool has a name of 1 to %zu octets",
                       sizeof((struct store_challenge *)0)->pool - 1);
    while (more)
        if (!sweep(t, pool, now, &more, err))
            return false;
    return txn_counter(t, key_view(&count), open, err);
}

/* ---- verifying ---- */

struct tally {
    struct verify *v;
    char pool[64];
    uint64_t n, all;   /* entries of this pool so far, and of all */
    uint64_t counters; /* what all counters say */
};

static bool tally_close(struct tally *t, struct err *err)
{
    struct key count = meta_pool(t->pool);
    uint64_t counted = 0;
    if (t->n && !txn_counter(&t->v->t, key_view(&count), &counted, err))
        return false;
    if (counted != t->n)
        verify_problem(t->v, "pool %s counts %llu challenges, %llu are in it", t->pool,
                       (unsigned long long)counted, (unsigned long long)t->n);
    t->n = 0;
    return true;
}

static bool pool_entry(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    struct tally *t = ctx;
    struct store_challenge c;
    char pool[64];
    const uint8_t *hash;
    struct err why = {0};
    struct key expected;
    if (!pool_parts(key, pool, &hash)) {
        verify_problem(t->v, "an entry of a pool of challenges is damaged");
        return true;
    }
    if (strcmp(pool, t->pool) != 0 && !tally_close(t, err))
        return false;
    memcpy(t->pool, pool, sizeof pool);
    t->n++;
    t->all++;
    if (!challenge_load(&t->v->t, hash, &c, &why)) {
        if (why.kind != ERR_NOT_FOUND && why.kind != ERR_STORE) {
            *err = why;
            return false;
        }
        verify_problem(t->v, "an entry of pool %s belongs to a challenge that cannot be read",
                       pool);
    } else if (expected = pool_key(&c),
               !view_eq(key, key_view(&expected)) || !challenge_is_open(&c)) {
        verify_problem(t->v, "challenge %s is in pool %s and does not belong there", c.id, pool);
    }
    return true;
}

static bool counter_entry(void *ctx, struct view key, struct view value, bool *stop,
                          struct err *err)
{
    struct tally *t = ctx;
    t->counters += value.n == 8 ? octets_u64(value.p) : 1;
    return true;
}

bool verify_pools(struct verify *v, struct err *err)
{
    struct tally t = {.v = v};
    const struct key counters = meta_pool("");
    if (!txn_walk(&v->t, TABLE_CHALLENGE_POOL, view_of(NULL, 0), pool_entry, &t, err) ||
        !tally_close(&t, err) ||
        !txn_walk(&v->t, TABLE_META, key_view(&counters), counter_entry, &t, err))
        return false;
    if (t.counters != t.all)
        verify_problem(v, "%llu challenges are in pools, which count %llu",
                       (unsigned long long)t.all, (unsigned long long)t.counters);
    return true;
}

/* Whoever puts away what has expired makes a challenge in the same write: what expires after the
 * newest one was made has not been put away. */
bool verify_pool_of(struct verify *v, const struct store_challenge *c, struct err *err)
{
    struct key until = {.n = 0};
    struct view newest;
    bool there;
    if (!c->pool[0])
        return true;
    if (!verify_index_has(v, TABLE_CHALLENGE_POOL, pool_key(c), view_of(NULL, 0), &there, err) ||
        !txn_last_key(&v->t, TABLE_CHALLENGE_MADE, &newest, err))
        return false;
    key_time(&until, c->expires_at ? c->expires_at : INT64_MAX);
    if (!there && newest.n > until.n && memcmp(until.p, newest.p, until.n) > 0)
        verify_problem(v, "challenge %s is open and not in pool %s", c->id, c->pool);
    return true;
}
