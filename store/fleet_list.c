/* Devices, groups, policies and ties by page. */
#include "fleet_internal.h"
#include "pager.h"

/* ---- groups and policies: by name ---- */

struct by_name {
    struct pager pager;
    const struct fleet_kind *kind;
};

static bool name_entry(void *ctx, struct view key, struct view id, bool *stop, struct err *err)
{
    struct by_name *l = ctx;
    struct view record;
    if (!pager_room(&l->pager, key, stop))
        return true;
    if (!txn_get(l->pager.t, l->kind->table, id, &record, err))
        return false;
    if (!record.p)
        return err_set(err, ERR_STORE, "the store has a name of a %s without its record",
                       l->kind->what);
    return pager_take(&l->pager, record, err);
}

static bool kind_page(struct store *s, const struct fleet_kind *kind, const char *text,
                      struct store_page *page, pager_give give, void *ctx, struct err *err)
{
    struct by_name l = {.kind = kind};
    struct key prefix = name_key(kind->letter, text ? text : "");
    if (!pager_begin(&l.pager, s, page, false, err))
        return false;
    bool ok = pager_fits(&l.pager, key_view(&prefix), err) &&
              txn_walk_on(l.pager.t, TABLE_NAME, key_view(&prefix), pager_at(&l.pager), false,
                          name_entry, &l, err);
    return pager_end(&l.pager, ok, give, ctx, err);
}

struct group_each {
    void (*each)(void *ctx, const struct store_group *g);
    void *ctx;
};

static bool group_give(void *ctx, struct view record, struct err *err)
{
    const struct group_each *e = ctx;
    struct store_group g;
    if (!group_read(record, &g, err))
        return false;
    e->each(e->ctx, &g);
    return true;
}

bool store_group_page(struct store *s, const char *text, struct store_page *page,
                      void (*each)(void *ctx, const struct store_group *g), void *ctx,
                      struct err *err)
{
    struct group_each e = {each, ctx};
    return kind_page(s, &kind_group, text, page, group_give, &e, err);
}

struct policy_each {
    void (*each)(void *ctx, const struct store_policy *p);
    void *ctx;
};

static bool policy_give(void *ctx, struct view record, struct err *err)
{
    const struct policy_each *e = ctx;
    struct store_policy p;
    if (!policy_read(record, &p, err))
        return false;
    e->each(e->ctx, &p);
    return true;
}

bool store_policy_page(struct store *s, const char *text, struct store_page *page,
                       void (*each)(void *ctx, const struct store_policy *p), void *ctx,
                       struct err *err)
{
    struct policy_each e = {each, ctx};
    return kind_page(s, &kind_policy, text, page, policy_give, &e, err);
}

/* ---- ties ---- */

struct ties {
    struct pager pager;
    bool back;     /* walks what holds something: keys of TABLE_TIE_OF */
    bool policies; /* of those, the policies and not the groups */
    size_t prefix;
    const char *held; /* as the tie's key has it */
};

static bool tie_take(struct ties *l, struct view key, struct view value, struct err *err)
{
    struct store_tie tie;
    struct buf record = {0};
    if (!tie_read(key, value, &tie, err))
        return false;
    bool ok = buf_append(&record, &tie, sizeof tie) || err_memory(err);
    ok = ok && pager_take(&l->pager, buf_view(&record), err);
    buf_clear(&record);
    return ok;
}

static bool tie_entry(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    struct ties *l = ctx;
    char holder[32];
    struct view record;
    if (!pager_room(&l->pager, key, stop))
        return true;
    if (!l->back)
        return tie_take(l, key, value, err);
    if (!tie_rest(key, l->prefix, holder, sizeof holder))
        return err_set(err, ERR_STORE, "the store has a damaged tie");
    if (l->policies != (strncmp(holder, kind_policy.prefix, 4) == 0))
        return true;
    struct key forth = tie_key(holder, l->held);
    if (!txn_get(l->pager.t, TABLE_TIE, key_view(&forth), &record, err))
        return false;
    if (!record.p)
        return err_set(err, ERR_STORE, "the store has a tie of %s in one direction only", holder);
    return tie_take(l, key_view(&forth), record, err);
}

struct tie_each {
    void (*each)(void *ctx, const struct store_tie *t);
    void *ctx;
};

static bool tie_give(void *ctx, struct view record, struct err *err)
{
    const struct tie_each *e = ctx;
    struct store_tie tie;
    memcpy(&tie, record.p, sizeof tie); /* as tie_take has put it */
    e->each(e->ctx, &tie);
    return true;
}

static bool tie_page(struct store *s, const char *holder, struct store_page *page,
                     void (*each)(void *ctx, const struct store_tie *t), void *ctx, struct err *err)
{
    struct ties l = {.back = false};
    struct tie_each e = {each, ctx};
    struct key prefix = tie_prefix(holder);
    if (!pager_begin(&l.pager, s, page, false, err))
        return false;
    bool ok = pager_fits(&l.pager, key_view(&prefix), err) &&
              txn_walk_on(l.pager.t, TABLE_TIE, key_view(&prefix), pager_at(&l.pager), false,
                          tie_entry, &l, err);
    return pager_end(&l.pager, ok, tie_give, &e, err);
}

/* Goes on in `l` if the place is in this walk or before it. */
static bool back_walk(struct ties *l, bool user, const char *held, struct err *err)
{
    struct key prefix = tie_of_prefix(user, held);
    struct view at = pager_at(&l->pager);
    l->prefix = prefix.n;
    l->held = held;
    bool inside = at.n > prefix.n && memcmp(at.p, prefix.p, prefix.n) == 0;
    return txn_walk_on(l->pager.t, TABLE_TIE_OF, key_view(&prefix), inside ? at : view_of(NULL, 0),
                       false, tie_entry, l, err);
}

static bool back_page(struct store *s, bool user, const char *held, bool policies,
                      struct store_page *page, void (*each)(void *ctx, const struct store_tie *t),
                      void *ctx, struct err *err)
{
    struct ties l = {.back = true, .policies = policies};
    struct tie_each e = {each, ctx};
    struct key prefix = tie_of_prefix(user, held);
    if (!pager_begin(&l.pager, s, page, false, err))
        return false;
    bool ok = pager_fits(&l.pager, key_view(&prefix), err) && back_walk(&l, user, held, err);
    return pager_end(&l.pager, ok, tie_give, &e, err);
}

/* Names and ids that are too long are in no key. */
static bool id_fits(const char *id, struct err *err)
{
    return (id[0] && strlen(id) < 32) || err_set(err, ERR_NOT_FOUND, "there is no %.40s", id);
}

bool store_group_members(struct store *s, const char *group, struct store_page *page,
                         void (*each)(void *ctx, const struct store_tie *t), void *ctx,
                         struct err *err)
{
    return id_fits(group, err) && tie_page(s, group, page, each, ctx, err);
}

bool store_policy_targets(struct store *s, const char *policy, struct store_page *page,
                          void (*each)(void *ctx, const struct store_tie *t), void *ctx,
                          struct err *err)
{
    return id_fits(policy, err) && tie_page(s, policy, page, each, ctx, err);
}

bool store_user_groups(struct store *s, const char *user, struct store_page *page,
                       void (*each)(void *ctx, const struct store_tie *t), void *ctx,
                       struct err *err)
{
    char small[128];
    if (!user[0] || strlen(user) >= sizeof small)
        return err_set(err, ERR_NOT_FOUND, "there is no user %.40s", user);
    text_small(small, sizeof small, user);
    return back_page(s, true, small, false, page, each, ctx, err);
}

bool store_group_policies(struct store *s, const char *group, struct store_page *page,
                          void (*each)(void *ctx, const struct store_tie *t), void *ctx,
                          struct err *err)
{
    return id_fits(group, err) && back_page(s, false, group, true, page, each, ctx, err);
}

bool store_device_groups(struct store *s, const char *device, struct store_page *page,
                         void (*each)(void *ctx, const struct store_tie *t), void *ctx,
                         struct err *err)
{
    struct ties l = {.back = true};
    struct tie_each e = {each, ctx};
    struct store_device d;
    char user[128];
    if (!id_fits(device, err) || !pager_begin(&l.pager, s, page, false, err))
        return false;
    bool ok = device_at(l.pager.t, device, &d, err);
    text_small(user, sizeof user, ok ? d.user : "");
    struct key of_user = tie_of_prefix(true, user), own = tie_of_prefix(false, device);
    struct view at = pager_at(&l.pager);
    struct err ignored;
    bool second = at.n && pager_fits(&l.pager, key_view(&of_user), &ignored);
    ok = ok && (second || pager_fits(&l.pager, key_view(&own), err)) &&
         (second || back_walk(&l, false, device, err));
    if (ok && user[0] && !l.pager.more)
        ok = back_walk(&l, true, user, err);
    return pager_end(&l.pager, ok, tie_give, &e, err);
}

struct count {
    uint64_t n, most;
};

static bool count_entry(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    struct count *c = ctx;
    c->n++;
    *stop = c->n == c->most;
    return true;
}

bool store_group_size(struct store *s, const char *group, uint64_t most, uint64_t *out,
                      struct err *err)
{
    struct count c = {.most = most};
    struct txn t;
    if (!id_fits(group, err) || !txn_read(s, &t, err))
        return false;
    struct key prefix = tie_prefix(group);
    bool ok = txn_walk(&t, TABLE_TIE, key_view(&prefix), count_entry, &c, err);
    txn_read_end(&t);
    if (ok)
        *out = c.n;
    return ok;
}
