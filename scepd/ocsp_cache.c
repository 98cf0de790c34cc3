#include "scepd/ocsp_cache.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/network.h"

/* How many are looked at for one that may leave: with all of them asked for lately, any is as good.
 */
#define LOOK_AT 64

struct ocsp_cache {
    size_t most, n, hand;
    size_t buckets; /* a power of two */
    uint64_t secret[2];
    struct ocsp_entry **bucket, **slot;
};

/* ---- answers ---- */

static bool etag_of(struct view body, char out[67])
{
    uint8_t hash[64];
    struct err ignored = {0};
    if (!digest_compute(DIGEST_SHA256, body, hash, &ignored))
        return false;
    *out++ = '"';
    for (size_t i = 0; i < digest_size(DIGEST_SHA256); i++, out += 2)
        snprintf(out, 3, "%02x", hash[i]);
    memcpy(out, "\"", 2);
    return true;
}

struct ocsp_kept *ocsp_kept_new(struct ocsp_answer *a)
{
    struct ocsp_kept *k = calloc(1, sizeof *k);
    if (!k || !etag_of(buf_view(&a->response), k->etag)) {
        free(k);
        return NULL;
    }
    k->users = 1;
    k->said = a->said;
    k->this_update = a->this_update;
    k->next_update = a->next_update;
    http_date(a->this_update, k->last_modified);
    http_date(a->next_update, k->expires);
    k->body = a->response;
    a->response = (struct buf){0};
    /* It is kept a hundred thousand times: no more of it than is needed. */
    uint8_t *exact = realloc(k->body.p, k->body.n);
    if (exact) {
        k->body.p = exact;
        k->body.cap = k->body.n;
    }
    return k;
}

struct ocsp_kept *ocsp_kept_get1(struct ocsp_kept *k)
{
    k->users++;
    return k;
}

void ocsp_kept_release(void *kept)
{
    struct ocsp_kept *k = kept;
    if (!k || --k->users > 0)
        return;
    buf_clear(&k->body);
    free(k);
}

/* ---- the table ---- */

/* Multipliers of splitmix64, which mixes well enough for what the secret hides. */
uint64_t ocsp_id_hash(struct view whole, const uint64_t secret[2])
{
    uint64_t h = secret[0] ^ whole.n;
    for (size_t i = 0; i < whole.n; i += 8) {
        uint64_t part = 0;
        memcpy(&part, whole.p + i, whole.n - i < 8 ? whole.n - i : 8);
        h = (h ^ part) * 0xbf58476d1ce4e5b9u;
        h ^= h >> 29;
    }
    h = (h ^ secret[1]) * 0x94d049bb133111ebu;
    return h ^ h >> 31;
}

static struct ocsp_entry **bucket_of(const struct ocsp_cache *c, struct view key)
{
    return &c->bucket[ocsp_id_hash(key, c->secret) & (c->buckets - 1)];
}

static bool make_tables(struct ocsp_cache *c, size_t most)
{
    c->most = most;
    for (c->buckets = 64; c->buckets < most; c->buckets *= 2)
        ;
    c->bucket = calloc(c->buckets, sizeof(struct ocsp_entry *));
    c->slot = calloc(most, sizeof(struct ocsp_entry *));
    return c->bucket && c->slot;
}

struct ocsp_cache *ocsp_cache_new(size_t most)
{
    struct ocsp_cache *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    network_secret(c->secret);
    if (!make_tables(c, most)) {
        ocsp_cache_free(c);
        return NULL;
    }
    return c;
}

static void entry_free(struct ocsp_entry *e)
{
    ocsp_kept_release(e->kept);
    free(e);
}

void ocsp_cache_free(struct ocsp_cache *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->n; i++)
        entry_free(c->slot[i]);
    free(c->bucket);
    free(c->slot);
    free(c);
}

static void put(struct ocsp_cache *c, struct ocsp_entry *e)
{
    struct ocsp_entry **bucket = bucket_of(c, view_of(e->key, e->key_n));
    e->chain = *bucket;
    *bucket = e;
    e->slot = c->n;
    c->slot[c->n++] = e;
}

bool ocsp_cache_resize(struct ocsp_cache *c, size_t most)
{
    struct ocsp_cache old = *c;
    if (most == c->most)
        return true;
    if (!make_tables(c, most)) {
        free(c->bucket);
        free(c->slot);
        *c = old;
        return false;
    }
    c->n = c->hand = 0;
    for (size_t i = 0; i < old.n; i++) {
        if (c->n < most)
            put(c, old.slot[i]);
        else
            entry_free(old.slot[i]);
    }
    free(old.bucket);
    free(old.slot);
    return true;
}

size_t ocsp_cache_count(const struct ocsp_cache *c)
{
    return c->n;
}

struct ocsp_entry *ocsp_cache_find(struct ocsp_cache *c, const struct ocsp_id *id)
{
    struct ocsp_entry *e = *bucket_of(c, id->whole);
    for (; e; e = e->chain)
        if (e->key_n == id->whole.n && memcmp(e->key, id->whole.p, e->key_n) == 0) {
            e->asked = true;
            return e;
        }
    return NULL;
}

void ocsp_cache_drop(struct ocsp_cache *c, struct ocsp_entry *e)
{
    struct ocsp_entry **link = bucket_of(c, view_of(e->key, e->key_n));
    while (*link != e)
        link = &(*link)->chain;
    *link = e->chain;
    c->slot[e->slot] = c->slot[--c->n];
    c->slot[e->slot]->slot = e->slot;
    entry_free(e);
}

/* The hand goes round; who was asked for since it came by last is let be once more. */
static void make_room(struct ocsp_cache *c)
{
    for (size_t i = 0; i < LOOK_AT; i++) {
        c->hand = (c->hand + 1) % c->n;
        if (!c->slot[c->hand]->asked)
            break;
        c->slot[c->hand]->asked = false;
    }
    ocsp_cache_drop(c, c->slot[c->hand]);
}

struct ocsp_entry *ocsp_cache_place(struct ocsp_cache *c, const struct ocsp_id *id)
{
    struct ocsp_entry *e = ocsp_cache_find(c, id);
    if (e || id->whole.n > OCSP_MAX_ID)
        return e;
    e = calloc(1, sizeof *e + id->whole.n);
    if (!e)
        return NULL;
    if (c->n == c->most)
        make_room(c);
    e->key_n = (uint16_t)id->whole.n;
    memcpy(e->key, id->whole.p, id->whole.n);
    e->serial_at = (uint16_t)(id->serial.p - id->whole.p);
    e->serial_n = (uint16_t)id->serial.n;
    e->asked = true;
    put(c, e);
    return e;
}

struct view ocsp_entry_serial(const struct ocsp_entry *e)
{
    return view_of(e->key + e->serial_at, e->serial_n);
}
