/* Which CRLs an authority has, what each is called, and which of them are due. */
#include <stdio.h>
#include <string.h>

#include "ca/crl.h"

void crl_scope_suffix(uint32_t scope, char out[24])
{
    if (scope == STORE_CRL_COMPLETE)
        out[0] = '\0';
    else if (scope == STORE_CRL_DELTA)
        snprintf(out, 24, "-delta");
    else
        snprintf(out, 24, "-p%u", scope);
}

bool crl_scope_url(const char *crl_url, uint32_t scope, char out[CRL_URL_MAX])
{
    static const char end[] = ".crl";
    size_t n = strlen(crl_url);
    char suffix[24];
    crl_scope_suffix(scope, suffix);
    if (!suffix[0])
        return snprintf(out, CRL_URL_MAX, "%s", crl_url) > 0;
    if (n <= sizeof end || strcmp(crl_url + n - (sizeof end - 1), end) != 0)
        return false;
    int stem = (int)(n - (sizeof end - 1));
    return snprintf(out, CRL_URL_MAX, "%.*s%s%s", stem, crl_url, suffix, end) < CRL_URL_MAX;
}

/* Random octets of the serial (ca/issue.c), so that partitions grow alike whatever is issued. */
uint32_t crl_shard_of(const struct authority *a, struct view serial)
{
    uint32_t random = 0;
    char url[CRL_URL_MAX];
    if (a->crl_shards < 2 || serial.n < sizeof random || !crl_scope_url(a->crl_url, 1, url))
        return STORE_CRL_COMPLETE;
    for (size_t i = serial.n - sizeof random; i < serial.n; i++)
        random = random << 8 | serial.p[i];
    return 1 + random % a->crl_shards;
}

bool crl_scopes(const struct authority *a, struct store *store, struct crl_scopes *out,
                struct err *err)
{
    uint32_t ever, now = a->crl_shards > 1 ? a->crl_shards : 0;
    char url[CRL_URL_MAX];
    if (!store_crl_shards(store, a->key_id, &ever, err))
        return false;
    uint32_t shards = ever > now ? ever : now;
    if (shards > CRL_MAX_SHARDS || !crl_scope_url(a->crl_url, 1, url))
        shards = shards > CRL_MAX_SHARDS ? CRL_MAX_SHARDS : 0;
    out->n = 0;
    out->scope[out->n++] = STORE_CRL_COMPLETE;
    for (uint32_t i = 1; i <= shards; i++)
        out->scope[out->n++] = i;
    if (a->crl_delta)
        out->scope[out->n++] = STORE_CRL_DELTA;
    return true;
}

/* The generation up to which a scope's list must show revocations. */
static bool changed_at(const struct authority *a, struct store *store, uint32_t scope,
                       uint64_t *generation, struct err *err)
{
    return scope == STORE_CRL_COMPLETE || scope == STORE_CRL_DELTA
               ? store_revocation_generation(store, a->key_id, generation, err)
               : store_shard_generation(store, a->key_id, scope, generation, err);
}

static bool scope_due(const struct authority *a, struct store *store, uint32_t scope, int64_t now,
                      bool *due, struct err *err)
{
    struct store_crl last = {0};
    struct err why = {0};
    uint64_t generation;
    *due = true;
    if (!store_crl_about(store, a->key_id, scope, &last, &why)) {
        if (why.kind != ERR_NOT_FOUND)
            *err = why;
        return why.kind == ERR_NOT_FOUND;
    }
    if (!changed_at(a, store, scope, &generation, err))
        return false;
    *due = last.missing || generation > last.generation ||
           now >= last.this_update + a->crl_period || now >= last.next_update;
    return true;
}

bool crl_due(const struct authority *a, struct store *store, int64_t now, struct crl_scopes *out,
             struct err *err)
{
    struct crl_scopes all, found = {.n = 0};
    if (!crl_scopes(a, store, &all, err))
        return false;
    for (size_t i = 0; i < all.n; i++) {
        bool due;
        if (!scope_due(a, store, all.scope[i], now, &due, err))
            return false;
        if (due)
            found.scope[found.n++] = all.scope[i];
    }
    *out = found;
    return true;
}
