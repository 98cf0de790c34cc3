/* What ties devices, groups and policies together: a group holds its members, a policy what it is
 * assigned to.  Each tie stands in both directions; who took one away is remembered, so that a
 * refusal can name him. */
#include "fleet_internal.h"

#define TIE_VERSION 1

/* ---- keys and records ---- */

struct key tie_prefix(const char *holder)
{
    struct key k = {.n = 0};
    key_bytes(&k, holder, strlen(holder) + 1); /* its NUL ends it */
    return k;
}

struct key tie_key(const char *holder, const char *held)
{
    struct key k = tie_prefix(holder);
    key_bytes(&k, held, strlen(held));
    return k;
}

struct key tie_of_prefix(bool user, const char *held)
{
    struct key k = {.n = 0};
    key_bytes(&k, user ? "u" : "i", 1);
    key_bytes(&k, held, strlen(held) + 1);
    return k;
}

struct key tie_of_key(bool user, const char *held, const char *holder)
{
    struct key k = tie_of_prefix(user, held);
    key_bytes(&k, holder, strlen(holder));
    return k;
}

bool tie_rest(struct view key, size_t prefix, char *out, size_t cap)
{
    if (key.n <= prefix || key.n - prefix >= cap || memchr(key.p + prefix, 0, key.n - prefix))
        return false;
    memcpy(out, key.p + prefix, key.n - prefix);
    out[key.n - prefix] = '\0';
    return true;
}

static bool tie_write(const char *by, int64_t at, struct buf *out, struct err *err)
{
    char who[64];
    text_put(who, sizeof who, by);
    struct record_writer w = record_begin(out, TIE_VERSION);
    write_text(&w, who, sizeof who);
    write_i64(&w, at);
    return record_written(&w, "tie", err);
}

bool tie_read(struct view key, struct view value, struct store_tie *out, struct err *err)
{
    struct record_reader r;
    struct store_tie tie = {.at = 0};
    const uint8_t *end = key.n ? memchr(key.p, 0, key.n) : NULL;
    if (!end || (size_t)(end - key.p) >= sizeof tie.holder ||
        !tie_rest(key, (size_t)(end - key.p) + 1, tie.held, sizeof tie.held))
        return err_set(err, ERR_STORE, "the store has a damaged tie");
    memcpy(tie.holder, key.p, (size_t)(end - key.p));
    if (!record_open(&r, value, TIE_VERSION, "tie", err))
        return false;
    read_text(&r, tie.by, sizeof tie.by);
    tie.at = read_i64(&r);
    if (!record_close(&r, "tie", err))
        return false;
    *out = tie;
    return true;
}

/* ---- making and taking away ---- */

static bool tie_put(struct txn *t, bool user, const char *holder, const char *held, const char *by,
                    int64_t at, struct err *err)
{
    struct key forth = tie_key(holder, held), back = tie_of_key(user, held, holder);
    struct buf record = {0};
    struct view there, gone;
    if (!txn_get(t, TABLE_TIE, key_view(&forth), &there, err) ||
        !txn_get(t, TABLE_UNTIED, key_view(&forth), &gone, err))
        return false;
    if (there.p)
        return err_set(err, ERR_EXISTS, "%s has %.127s already", holder, held);
    bool again = gone.p != NULL;
    bool ok = tie_write(by, at, &record, err) &&
              txn_put(t, TABLE_TIE, PUT_NEW, key_view(&forth), buf_view(&record), err) &&
              txn_put(t, TABLE_TIE_OF, PUT_NEW, key_view(&back), view_of(NULL, 0), err) &&
              (!again || txn_del(t, TABLE_UNTIED, key_view(&forth), err));
    buf_clear(&record);
    return ok;
}

bool tie_cut(struct txn *t, bool user, const char *holder, const char *held, const char *by,
             int64_t at, struct err *err)
{
    struct key forth = tie_key(holder, held), back = tie_of_key(user, held, holder);
    struct buf record = {0};
    struct view there;
    if (!txn_get(t, TABLE_TIE, key_view(&forth), &there, err))
        return false;
    if (!there.p)
        return err_set(err, ERR_NOT_FOUND, "%s does not have %.127s", holder, held);
    bool ok =
        txn_del(t, TABLE_TIE, key_view(&forth), err) &&
        txn_del(t, TABLE_TIE_OF, key_view(&back), err) &&
        (!by || (tie_write(by, at, &record, err) &&
                 txn_put(t, TABLE_UNTIED, PUT_REPLACE, key_view(&forth), buf_view(&record), err)));
    buf_clear(&record);
    return ok;
}

/* Keys of one prefix, collected before they are taken away. */
struct cut {
    struct key prefix;
    const char *end; /* the one whose ties they are */
    bool users;
    const char *by;
    int64_t at;
    size_t most, n;
    struct buf keys; /* each with its length in one octet before it */
};

static bool cut_entry(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    struct cut *c = ctx;
    uint8_t n = (uint8_t)key.n; /* below KEY_MAX */
    *stop = c->n == c->most;
    if (*stop)
        return true;
    c->n++;
    return (buf_append(&c->keys, &n, 1) && buf_append(&c->keys, key.p, key.n)) || err_memory(err);
}

static bool cut_forth(struct txn *t, const struct cut *c, struct view key, struct err *err)
{
    char held[sizeof((struct store_tie *)0)->held];
    return tie_rest(key, c->prefix.n, held, sizeof held)
               ? tie_cut(t, c->users, c->end, held, c->by, c->at, err)
               : err_set(err, ERR_STORE, "the store has a damaged tie");
}

static bool cut_back(struct txn *t, const struct cut *c, struct view key, struct err *err)
{
    char holder[sizeof((struct store_tie *)0)->holder];
    return tie_rest(key, c->prefix.n, holder, sizeof holder)
               ? tie_cut(t, c->users, holder, c->end, c->by, c->at, err)
               : err_set(err, ERR_STORE, "the store has a damaged tie");
}

static bool cut_all(struct txn *t, enum table table, struct cut *c,
                    bool (*one)(struct txn *, const struct cut *, struct view, struct err *),
                    size_t *cut, struct err *err)
{
    bool ok = txn_walk(t, table, key_view(&c->prefix), cut_entry, c, err);
    const uint8_t *p = c->keys.p;
    for (size_t i = 0; ok && i < c->n; i++, p += 1 + p[0])
        ok = one(t, c, view_of(p + 1, p[0]), err);
    buf_clear(&c->keys);
    *cut = c->n;
    return ok || txn_spoil(t, err);
}

bool ties_cut(struct txn *t, const char *holder, bool users, size_t most, const char *by,
              int64_t at, size_t *cut, struct err *err)
{
    struct cut c = {.prefix = tie_prefix(holder),
                    .end = holder,
                    .users = users,
                    .most = most,
                    .by = by,
                    .at = at};
    return cut_all(t, TABLE_TIE, &c, cut_forth, cut, err);
}

bool ties_of_cut(struct txn *t, const char *held, size_t most, const char *by, int64_t at,
                 size_t *cut, struct err *err)
{
    struct cut c = {
        .prefix = tie_of_prefix(false, held), .end = held, .most = most, .by = by, .at = at};
    return cut_all(t, TABLE_TIE_OF, &c, cut_back, cut, err);
}

/* ---- members ---- */

/* `out` gets the member as it stands in keys: the id, or the user's name in small letters. */
static bool member_of(struct txn *t, const struct store_group *g, const char *member, bool known,
                      char out[128], struct err *err)
{
    struct store_device d;
    if (!member[0] || strlen(member) >= 128)
        return err_set(err, ERR_NOT_FOUND, "a member has 1 to 127 characters");
    if (!g->users && known && !device_at(t, member, &d, err))
        return false;
    if (g->users)
        text_small(out, 128, member);
    else
        text_put(out, 128, member);
    return true;
}

bool store_group_add(struct store_write *w, const char *group, const char *member, const char *by,
                     int64_t at, struct err *err)
{
    struct txn *t = &w->txn;
    struct store_group g;
    char held[128];
    return txn_usable(t, err) && group_at(t, group, &g, err) &&
           member_of(t, &g, member, true, held, err) &&
           tie_put(t, g.users, g.id, held, by, at, err);
}

bool store_group_remove(struct store_write *w, const char *group, const char *member,
                        const char *by, int64_t at, struct err *err)
{
    struct txn *t = &w->txn;
    struct store_group g;
    char held[128];
    return txn_usable(t, err) && group_at(t, group, &g, err) &&
           member_of(t, &g, member, false, held, err) &&
           tie_cut(t, g.users, g.id, held, by, at, err);
}

/* ---- assignments ---- */

bool store_policy_assign(struct store_write *w, const char *policy, const char *target,
                         const char *by, int64_t at, struct err *err)
{
    struct txn *t = &w->txn;
    struct store_policy p;
    struct store_group g;
    struct store_device d;
    if (!txn_usable(t, err) || !policy_at(t, policy, &p, err))
        return false;
    if (strncmp(target, kind_group.prefix, 4) == 0 ? !group_at(t, target, &g, err)
                                                   : !device_at(t, target, &d, err))
        return false;
    return tie_put(t, false, p.id, target, by, at, err);
}

bool store_policy_unassign(struct store_write *w, const char *policy, const char *target,
                           const char *by, int64_t at, struct err *err)
{
    struct txn *t = &w->txn;
    struct store_policy p;
    if (!txn_usable(t, err) || !policy_at(t, policy, &p, err))
        return false;
    if (strlen(target) >= 32)
        return err_set(err, ERR_NOT_FOUND, "there is no target %.40s", target);
    return tie_cut(t, false, p.id, target, by, at, err);
}
