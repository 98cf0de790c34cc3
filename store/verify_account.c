/* Administrators, tokens and kept answers: records and indexes, in both directions. */
#include "store/account.h"
#include "verify.h"

static bool admin_check(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    struct verify *v = ctx;
    struct store_admin a;
    bool named = true, certified = true;
    if (!admin_read(value, &a, err))
        return verify_unreadable(v, TABLE_ADMIN, key, err);
    if (!view_eq(key, view_str(a.id)))
        verify_problem(v, "administrator %s stands under another id", a.id);
    if (!verify_index_has(v, TABLE_ADMIN_INDEX, admin_name_key(a.name), view_str(a.id), &named,
                          err) ||
        (a.has_certificate &&
         !verify_index_has(v, TABLE_ADMIN_INDEX, admin_certificate_key(a.certificate),
                           view_str(a.id), &certified, err)))
        return false;
    if (!named || !certified)
        verify_problem(v, "administrator %s is not found by its %s", a.id,
                       named ? "certificate" : "name");
    return true;
}

static bool admin_index_entry(void *ctx, struct view key, struct view value, bool *stop,
                              struct err *err)
{
    struct verify *v = ctx;
    struct store_admin a;
    struct view record;
    if (!txn_get(&v->t, TABLE_ADMIN, value, &record, err))
        return false;
    if (!record.p || !admin_read(record, &a, err)) {
        verify_problem(v, "the index of administrators names one that cannot be read");
        return true;
    }
    struct key name = admin_name_key(a.name), cert = admin_certificate_key(a.certificate);
    if (!view_eq(key, key_view(&name)) && !(a.has_certificate && view_eq(key, key_view(&cert))))
        verify_problem(v, "the index of administrators has an entry that is not of %s", a.id);
    return true;
}

static bool token_check(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    struct verify *v = ctx;
    struct store_token k;
    bool ends, owned;
    if (!token_read(value, &k, err))
        return verify_unreadable(v, TABLE_TOKEN, key, err);
    struct key end = token_end_key(&k);
    if (!verify_exists(v, TABLE_TOKEN_END, key_view(&end), &ends, err) ||
        !verify_exists(v, TABLE_ADMIN, view_str(k.admin), &owned, err))
        return false;
    if (!ends || !owned || !view_eq(key, view_str(k.id)))
        verify_problem(v, "token %s %s", k.id,
                       !owned ? "is nobody's"
                       : ends ? "stands under another id"
                              : "is not in the index of ends");
    return true;
}

static bool token_end_entry(void *ctx, struct view key, struct view value, bool *stop,
                            struct err *err)
{
    struct verify *v = ctx;
    bool there = false;
    if (key.n > 8 && !verify_exists(v, TABLE_TOKEN, view_of(key.p + 8, key.n - 8), &there, err))
        return false;
    if (!there)
        verify_problem(v, "the index of ending tokens names one that is not there");
    return true;
}

static bool kept_check(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    struct verify *v = ctx;
    struct store_kept k = {.at = 0};
    bool ends;
    if (!kept_read(key, value, &k, err))
        return verify_unreadable(v, TABLE_KEPT, key, err);
    struct key end = kept_end_key(&k);
    store_kept_clear(&k);
    if (!verify_exists(v, TABLE_KEPT_END, key_view(&end), &ends, err))
        return false;
    if (!ends)
        verify_problem(v, "a kept answer is not in the index of ends");
    return true;
}

static bool kept_end_entry(void *ctx, struct view key, struct view value, bool *stop,
                           struct err *err)
{
    struct verify *v = ctx;
    bool there = false;
    if (key.n > 8 && !verify_exists(v, TABLE_KEPT, view_of(key.p + 8, key.n - 8), &there, err))
        return false;
    if (!there)
        verify_problem(v, "the index of kept answers names one that is not there");
    return true;
}

bool verify_accounts(struct verify *v, struct err *err)
{
    static const struct {
        enum table table;
        walk_fn check;
    } steps[] = {
        {TABLE_ADMIN, admin_check}, {TABLE_ADMIN_INDEX, admin_index_entry},
        {TABLE_TOKEN, token_check}, {TABLE_TOKEN_END, token_end_entry},
        {TABLE_KEPT, kept_check},   {TABLE_KEPT_END, kept_end_entry},
    };
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++)
        if (!txn_walk(&v->t, steps[i].table, view_of(NULL, 0), steps[i].check, v, err))
            return false;
    return true;
}
