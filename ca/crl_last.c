/* The last list of a key that signs no more.  Lists are files beside the database, since a new one
 * can be made at any time: this one cannot, so the database has it, too, and with it every backup.
 */
#include <string.h>

#include "ca/crl.h"
#include "store/offline.h"

static bool id_of(const struct authority *a, uint32_t scope, uint8_t out[STORE_HASH],
                  struct err *err)
{
    uint8_t all[STORE_HASH + sizeof scope];
    memcpy(all, a->key_hash[0], STORE_HASH);
    for (size_t i = 0; i < sizeof scope; i++)
        all[STORE_HASH + i] = (uint8_t)(scope >> (8 * i));
    return digest_compute(DIGEST_SHA256, view_of(all, sizeof all), out, err);
}

static bool keep(const struct authority *a, struct store *store, uint32_t scope,
                 struct store_offline *o, struct err *err)
{
    struct store_crl crl = {0};
    struct store_write *w = NULL;
    if (!store_crl_get(store, a->key_id, scope, &crl, err))
        return false;
    o->number = (int64_t)crl.number;
    o->this_update = crl.this_update;
    o->next_update = crl.next_update;
    bool ok = (buf_append(&o->der, crl.der.p, crl.der.n) || err_memory(err)) &&
              store_write_begin(store, &w, err);
    if (ok && !store_offline_put(w, o, err)) {
        store_write_abort(w);
        ok = false;
    } else if (ok) {
        ok = store_write_commit(w, err);
    }
    store_crl_clear(&crl);
    return ok;
}

/* The record of the list is there, its file is not. */
static bool put_back(const struct authority *a, struct store *store, uint32_t scope,
                     const struct store_crl *about, const struct store_offline *o, struct err *err)
{
    struct store_crl crl = *about;
    uint8_t sha256[STORE_HASH];
    const struct view der = buf_view(&o->der);
    if ((uint64_t)o->number != about->number || !digest_compute(DIGEST_SHA256, der, sha256, err) ||
        memcmp(sha256, about->sha256, sizeof sha256) != 0)
        return true; /* of another list: it stays missing */
    return store_crl_write(store, a->key_id, scope, &crl, &der, 1, err);
}

static bool keep_scope(const struct authority *a, struct store *store, uint32_t scope, int64_t now,
                       struct err *err)
{
    struct store_crl about = {0};
    struct store_offline there = {0}, o = {.kind = STORE_OFFLINE_LAST, .taken_at = now};
    struct err why = {0};
    if (!id_of(a, scope, o.id, err))
        return false;
    memcpy(o.issuer, a->key_hash[0], sizeof o.issuer);
    if (!store_crl_about(store, a->key_id, scope, &about, &why)) {
        if (why.kind == ERR_NOT_FOUND) /* it never had one */
            return true;
        *err = why;
        return false;
    }
    bool found = store_offline_get(store, STORE_OFFLINE_LAST, o.id, &there, &why), ok = true;
    if (!found && why.kind != ERR_NOT_FOUND) {
        *err = why;
        ok = false;
    } else if (about.missing) {
        ok = !found || put_back(a, store, scope, &about, &there, err);
    } else if ((!found || there.number != (int64_t)about.number) &&
               about.size <= STORE_OFFLINE_MAX) {
        ok = keep(a, store, scope, &o, err);
    }
    store_offline_clear(&there);
    store_offline_clear(&o);
    return ok;
}

bool crl_keep_last(const struct authority *a, struct store *store, int64_t now, struct err *err)
{
    struct crl_scopes all;
    bool ok = crl_scopes(a, store, &all, err);
    for (size_t i = 0; ok && i < all.n; i++)
        ok = keep_scope(a, store, all.scope[i], now, err);
    return ok;
}
