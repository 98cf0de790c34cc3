/* By which way a device has a policy: assigned to it, to a group in which it is, or to a group in
 * which its user is.  And when it has none any more: who took it away. */
#include "fleet_internal.h"
#include "pager.h"

/* Targets of a policy that are looked at to say who took it away: for people, and bounded. */
#define BLAME_MAX 1000

/* Does the policy hold what holds the device?  Both walks are in order of id. */
struct search {
    struct txn *t;
    const char *policy;
    size_t prefix;   /* of the walk's keys */
    bool users;      /* the groups walked are those of its user */
    char target[32]; /* found first, "" none yet */
    bool target_users;
};

static bool holds(struct txn *t, const char *holder, const char *held, bool *yes, struct err *err)
{
    struct key k = tie_key(holder, held);
    struct view there;
    if (!txn_get(t, TABLE_TIE, key_view(&k), &there, err))
        return false;
    *yes = there.p != NULL;
    return true;
}

static bool group_entry(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    struct search *s = ctx;
    char holder[32];
    bool yes;
    if (!tie_rest(key, s->prefix, holder, sizeof holder))
        return err_set(err, ERR_STORE, "the store has a damaged tie");
    if (strncmp(holder, kind_group.prefix, 4) != 0) /* a policy, assigned to it itself */
        return true;
    if (!holds(s->t, s->policy, holder, &yes, err))
        return false;
    if (yes && (!s->target[0] || strcmp(holder, s->target) < 0)) {
        text_put(s->target, sizeof s->target, holder);
        s->target_users = s->users;
    }
    *stop = yes;
    return true;
}

bool reach_target(struct txn *t, const char *policy, const struct store_device *d, char target[32],
                  bool *users, struct err *err)
{
    struct search s = {.t = t, .policy = policy};
    char user[128];
    bool direct;
    if (!holds(t, policy, d->id, &direct, err))
        return false;
    if (direct) {
        text_put(target, 32, d->id);
        *users = false;
        return true;
    }
    struct key of = tie_of_prefix(false, d->id);
    s.prefix = of.n;
    if (!txn_walk(t, TABLE_TIE_OF, key_view(&of), group_entry, &s, err))
        return false;
    text_small(user, sizeof user, d->user);
    of = tie_of_prefix(true, user);
    s.prefix = of.n;
    s.users = true;
    if (user[0] && !txn_walk(t, TABLE_TIE_OF, key_view(&of), group_entry, &s, err))
        return false;
    memcpy(target, s.target, 32);
    *users = s.target_users;
    return true;
}

/* ---- who took it away ---- */

struct blame {
    struct txn *t;
    const struct store_device *d;
    struct store_reach *out;
    size_t looked;
};

static bool blame_take(struct blame *b, const struct store_tie *tie, const char *group,
                       struct err *err)
{
    struct store_group g;
    struct err ignored;
    if (tie->at < b->out->at || (tie->at == b->out->at && b->out->by[0]))
        return true;
    b->out->at = tie->at;
    memcpy(b->out->by, tie->by, sizeof b->out->by);
    text_put(b->out->group, sizeof b->out->group, group);
    bool named = group[0] && group_at(b->t, group, &g, &ignored);
    text_put(b->out->group_name, sizeof b->out->group_name, named ? g.name : "");
    return true;
}

/* The device, or its user, was in this group once. */
static bool blame_member(struct blame *b, const char *group, const char *member, struct err *err)
{
    struct key k = tie_key(group, member);
    struct view value;
    struct store_tie tie;
    if (!member[0])
        return true;
    if (!txn_get(b->t, TABLE_UNTIED, key_view(&k), &value, err))
        return false;
    return !value.p ||
           (tie_read(key_view(&k), value, &tie, err) && blame_take(b, &tie, group, err));
}

/* A group that the policy holds, or held: `gone`. */
static bool blame_target(struct blame *b, const struct store_tie *tie, bool gone, struct err *err)
{
    char user[128];
    bool member = false, as_user = false;
    text_small(user, sizeof user, b->d->user);
    if (gone && (!holds(b->t, tie->held, b->d->id, &member, err) ||
                 (user[0] && !holds(b->t, tie->held, user, &as_user, err))))
        return false;
    if ((member || as_user) && !blame_take(b, tie, tie->held, err))
        return false;
    return blame_member(b, tie->held, b->d->id, err) && blame_member(b, tie->held, user, err);
}

static bool tied_entry(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    struct blame *b = ctx;
    struct store_tie tie;
    *stop = ++b->looked > BLAME_MAX;
    return *stop || (tie_read(key, value, &tie, err) && blame_target(b, &tie, false, err));
}

static bool untied_entry(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    struct blame *b = ctx;
    struct store_tie tie;
    *stop = ++b->looked > BLAME_MAX;
    return *stop || (tie_read(key, value, &tie, err) && blame_target(b, &tie, true, err));
}

static bool blame_find(struct txn *t, const char *policy, const struct store_device *d,
                       struct store_reach *out, struct err *err)
{
    struct blame b = {.t = t, .d = d, .out = out};
    struct key direct = tie_key(policy, d->id);
    struct view value;
    struct store_tie tie;
    if (!txn_get(t, TABLE_UNTIED, key_view(&direct), &value, err) ||
        (value.p &&
         !(tie_read(key_view(&direct), value, &tie, err) && blame_take(&b, &tie, "", err))))
        return false;
    /* groups stand behind devices: those are not walked */
    struct key groups = tie_key(policy, kind_group.prefix);
    b.looked = 0;
    if (!txn_walk(t, TABLE_TIE, key_view(&groups), tied_entry, &b, err))
        return false;
    b.looked = 0;
    return txn_walk(t, TABLE_UNTIED, key_view(&groups), untied_entry, &b, err);
}

/* ---- the answer ---- */

static bool reach_fill(struct txn *t, const struct store_device *d, const char *target, bool users,
                       struct store_reach *out, struct err *err)
{
    struct key k = tie_key(out->policy, target);
    struct view value;
    struct store_tie tie;
    struct store_group g;
    if (!txn_get(t, TABLE_TIE, key_view(&k), &value, err) ||
        !tie_read(key_view(&k), value, &tie, err))
        return false;
    out->at = tie.at;
    memcpy(out->by, tie.by, sizeof out->by);
    out->way = strcmp(target, d->id) == 0 ? WAY_DEVICE : users ? WAY_USER_GROUP : WAY_GROUP;
    if (out->way == WAY_DEVICE)
        return true;
    if (!group_at(t, target, &g, err))
        return false;
    memcpy(out->group, g.id, sizeof out->group);
    memcpy(out->group_name, g.name, sizeof out->group_name);
    return true;
}

bool reach_at(struct txn *t, const char *policy, const char *device, struct store_reach *out,
              struct err *err)
{
    struct store_reach r = {.way = WAY_NONE};
    struct store_device d;
    struct view record;
    char target[32] = "";
    bool users = false;
    text_put(r.policy, sizeof r.policy, policy);
    if (!fleet_at(t, &kind_device, device, &record, err))
        return false;
    if (record.p &&
        (!device_read(record, &d, err) || !reach_target(t, r.policy, &d, target, &users, err)))
        return false;
    if (target[0] ? !reach_fill(t, &d, target, users, &r, err)
                  : record.p && !blame_find(t, r.policy, &d, &r, err))
        return false;
    *out = r;
    return true;
}

bool store_policy_reach(struct store *s, const char *policy, const char *device,
                        struct store_reach *out, struct err *err)
{
    struct txn t;
    if (!txn_read(s, &t, err))
        return false;
    bool ok = reach_at(&t, policy, device, out, err);
    txn_read_end(&t);
    return ok;
}

bool store_write_policy_reach(struct store_write *w, const char *policy, const char *device,
                              struct store_reach *out, struct err *err)
{
    return txn_usable(&w->txn, err) && reach_at(&w->txn, policy, device, out, err);
}
