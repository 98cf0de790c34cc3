#include "scepd/brought.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "pkcs7/pubkey.h"

struct brought {
    atomic_uint references;
    struct store_offline crl; /* owned */
    uint8_t sha256[64];
};

/* Of one issuer, who may be above several authorities. */
struct place {
    uint8_t id[STORE_HASH];
    struct brought *current; /* under the lock; one reference */
    bool known;              /* under the lock: the store was read for it */
};

struct brought_shelf {
    struct store *store;
    pthread_mutex_t lock;
    size_t n;
    struct place *place;
    size_t (*of)[AUTHORITY_MAX_CHAIN]; /* of each authority: the places of those above it */
};

const struct store_offline *brought_crl(const struct brought *b)
{
    return &b->crl;
}

const uint8_t *brought_sha256(const struct brought *b)
{
    return b->sha256;
}

void brought_release(void *brought)
{
    struct brought *b = brought;
    if (!b || atomic_fetch_sub(&b->references, 1) > 1)
        return;
    store_offline_clear(&b->crl);
    free(b);
}

/* ---- issuers ---- */

static bool find_place(struct brought_shelf *s, const struct cert *issuer, size_t *at,
                       struct err *err)
{
    struct pubkey key;
    if (!pubkey_parse(issuer->spki, &key, err))
        return false;
    for (*at = 0; *at < s->n; ++*at)
        if (memcmp(s->place[*at].id, key.sha256, STORE_HASH) == 0)
            return true;
    memcpy(s->place[s->n++].id, key.sha256, STORE_HASH);
    return true;
}

static bool find_places(struct brought_shelf *s, struct authority *const *authorities, size_t n,
                        struct err *err)
{
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < authorities[i]->chain_n; k++)
            if (!find_place(s, authorities[i]->chain[k], &s->of[i][k], err))
                return false;
    return true;
}

bool brought_shelf_new(struct authority *const *authorities, size_t n, struct store *store,
                       struct brought_shelf **out, struct err *err)
{
    struct brought_shelf *s = calloc(1, sizeof *s);
    size_t most = 1;
    for (size_t i = 0; i < n; i++)
        most += authorities[i]->chain_n;
    if (!s)
        return err_memory(err);
    pthread_mutex_init(&s->lock, NULL);
    s->store = store;
    s->place = calloc(most, sizeof *s->place);
    s->of = calloc(n + 1, sizeof *s->of);
    bool ok = (s->place && s->of) || err_memory(err);
    if (ok && find_places(s, authorities, n, err)) {
        *out = s;
        return true;
    }
    brought_shelf_free(s);
    return false;
}

void brought_shelf_free(struct brought_shelf *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n; i++)
        brought_release(s->place[i].current);
    pthread_mutex_destroy(&s->lock);
    free(s->place);
    free(s->of);
    free(s);
}

/* ---- what the store has ---- */

static bool is_same(const struct store_offline *a, const struct store_offline *b)
{
    return a->number == b->number && a->this_update == b->this_update &&
           a->next_update == b->next_update && a->taken_at == b->taken_at;
}

/* `b` NULL: there is none. */
static void set(struct brought_shelf *s, struct place *p, struct brought *b)
{
    pthread_mutex_lock(&s->lock);
    struct brought *old = p->current;
    p->current = b;
    p->known = true;
    pthread_mutex_unlock(&s->lock);
    brought_release(old);
}

static bool take(struct brought_shelf *s, struct place *p, struct err *err)
{
    struct brought *b = calloc(1, sizeof *b);
    if (!b)
        return err_memory(err);
    atomic_init(&b->references, 1);
    if (!store_offline_get(s->store, STORE_OFFLINE_CRL, p->id, &b->crl, err) ||
        !digest_compute(DIGEST_SHA256, buf_view(&b->crl.der), b->sha256, err)) {
        brought_release(b);
        return false;
    }
    set(s, p, b);
    return true;
}

static bool look(struct brought_shelf *s, struct place *p, struct err *err)
{
    struct store_offline there;
    struct err why = {0};
    if (!store_offline_about(s->store, STORE_OFFLINE_CRL, p->id, &there, &why)) {
        if (why.kind == ERR_NOT_FOUND)
            set(s, p, NULL);
        else
            *err = why;
        return why.kind == ERR_NOT_FOUND;
    }
    return (p->current && is_same(&p->current->crl, &there)) || take(s, p, err);
}

bool brought_shelf_look(struct brought_shelf *s, struct err *err)
{
    bool ok = true;
    for (size_t i = 0; i < s->n; i++)
        ok = look(s, &s->place[i], err) && ok;
    return ok;
}

struct brought *brought_get1(struct brought_shelf *s, size_t authority, size_t chain, bool *known)
{
    const struct place *p = &s->place[s->of[authority][chain - 1]];
    pthread_mutex_lock(&s->lock);
    struct brought *b = p->current;
    *known = p->known;
    if (b)
        atomic_fetch_add(&b->references, 1);
    pthread_mutex_unlock(&s->lock);
    return b;
}
