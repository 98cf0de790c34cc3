/* Devices by page.  What leads is walked in its own order: names, devices of a user, members of a
 * group, what a policy is assigned to; the rest of the filter is held against each. */
#include "fleet_internal.h"

#include <stdlib.h>

#include "pager.h"

/* Where a walk by ties is: what the policy holds, what the group holds, the device of the user. */
struct place {
    char target[32], member[128], device[32];
};

struct devices {
    struct pager pager;
    const struct store_device_filter *f;
    char text[128], serial[128], user[128]; /* of the filter, in small letters */
    bool serials;        /* the walk is by serial number: names that begin so were shown */
    struct place resume; /* of the cursor; each part is emptied when the walk has come there */
    struct place at;
    bool users; /* the members of the group that is walked are users */
};

/* ---- is it wanted? ---- */

static bool begins(const char *value, const char *text)
{
    char small[128];
    text_small(small, sizeof small, value);
    return strncmp(small, text, strlen(text)) == 0;
}

static bool is(const char *value, const char *text)
{
    char small[128];
    text_small(small, sizeof small, value);
    return strcmp(small, text) == 0;
}

static bool tied(struct txn *t, const char *holder, const char *held, bool *yes, struct err *err)
{
    struct key k = tie_key(holder, held);
    struct view there;
    if (!txn_get(t, TABLE_TIE, key_view(&k), &there, err))
        return false;
    *yes = there.p != NULL;
    return true;
}

static bool in_group(struct txn *t, const char *group, const struct store_device *d, bool *yes,
                     struct err *err)
{
    char user[128];
    struct store_group g;
    struct view record;
    *yes = false;
    if (!fleet_at(t, &kind_group, group, &record, err))
        return false;
    if (!record.p)
        return true;
    if (!group_read(record, &g, err))
        return false;
    text_small(user, sizeof user, d->user);
    if (g.users && !user[0])
        return true;
    return tied(t, group, g.users ? user : d->id, yes, err);
}

static bool by_ties(const struct devices *l, const struct store_device *d, bool *yes,
                    struct err *err)
{
    char target[32] = "";
    bool users;
    if (l->f->policy) {
        if (!reach_target(l->pager.t, l->f->policy, d, target, &users, err))
            return false;
        /* by several ways: shown at the first of them */
        *yes = target[0] && strcmp(target, l->at.target) == 0;
    }
    if (*yes && l->f->group)
        return in_group(l->pager.t, l->f->group, d, yes, err);
    return true;
}

static bool wanted(const struct devices *l, const struct store_device *d, bool *yes,
                   struct err *err)
{
    const struct store_device_filter *f = l->f;
    *yes = (f->state < 0 || (int)d->state == f->state) &&
           (!f->platform || strcmp(f->platform, d->platform) == 0) &&
           (!f->user || is(d->user, l->user)) &&
           (!f->serial_number || is(d->serial_number, l->serial)) &&
           (!f->text || begins(d->name, l->text) || begins(d->serial_number, l->text)) &&
           !(l->serials && begins(d->name, l->text));
    return !*yes || by_ties(l, d, yes, err);
}

/* `key` is the place of the device in the walk. */
static bool visit(struct devices *l, const char *id, struct view key, bool *stop, struct err *err)
{
    struct store_device d;
    struct view record;
    bool yes;
    if (!pager_room(&l->pager, key, stop))
        return true;
    if (!fleet_at(l->pager.t, &kind_device, id, &record, err))
        return false;
    if (!record.p)
        return err_set(err, ERR_STORE, "the store names device %s, which does not exist", id);
    return device_read(record, &d, err) && wanted(l, &d, &yes, err) &&
           (!yes || pager_take(&l->pager, record, err));
}

/* ---- by name ---- */

static bool name_entry(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    char id[32];
    return tie_rest(value, 0, id, sizeof id)
               ? visit(ctx, id, key, stop, err)
               : err_set(err, ERR_STORE, "the store has a damaged name");
}

/* Keys of handles end in NUL and the id. */
static bool handle_id(struct view key, char out[32])
{
    const uint8_t *end = key.n ? memchr(key.p, 0, key.n) : NULL;
    return end && tie_rest(key, (size_t)(end - key.p) + 1, out, 32);
}

static bool handle_entry(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    char id[32];
    return handle_id(key, id) ? visit(ctx, id, key, stop, err)
                              : err_set(err, ERR_STORE, "the store has a damaged handle");
}

/* Names first, then serial numbers. */
static bool walk_text(struct devices *l, struct err *err)
{
    struct key names = name_key(kind_device.letter, l->text),
               serials = name_key(NAME_SERIAL, l->text);
    struct view at = pager_at(&l->pager);
    l->serials = l->f->text && at.n && at.p[0] == NAME_SERIAL;
    if (!l->serials) {
        if (!pager_fits(&l->pager, key_view(&names), err) ||
            !txn_walk_on(l->pager.t, TABLE_NAME, key_view(&names), at, false, name_entry, l, err))
            return false;
        if (!l->f->text || !l->text[0] || l->pager.more)
            return true;
        l->serials = true;
        at = view_of(NULL, 0);
    } else if (!pager_fits(&l->pager, key_view(&serials), err)) {
        return false;
    }
    return txn_walk_on(l->pager.t, TABLE_NAME, key_view(&serials), at, false, handle_entry, l, err);
}

static bool walk_handle(struct devices *l, char letter, const char *value, struct err *err)
{
    struct key prefix = handle_key(letter, value, "");
    return pager_fits(&l->pager, key_view(&prefix), err) &&
           txn_walk_on(l->pager.t, TABLE_NAME, key_view(&prefix), pager_at(&l->pager), false,
                       handle_entry, l, err);
}

/* ---- by ties ---- */

/* Three texts with a NUL between. */
static bool place_key(const struct devices *l, struct key *out, struct err *err)
{
    *out = tie_prefix(l->at.target);
    key_bytes(out, l->at.member, strlen(l->at.member) + 1);
    key_bytes(out, l->at.device, strlen(l->at.device));
    return !out->too_long || err_set(err, ERR_STORE, "the store has a tie that is too long");
}

static bool visit_at(struct devices *l, const char *id, bool *stop, struct err *err)
{
    struct key k;
    return place_key(l, &k, err) && visit(l, id, key_view(&k), stop, err);
}

static bool user_entry(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    struct devices *l = ctx;
    if (!handle_id(key, l->at.device))
        return err_set(err, ERR_STORE, "the store has a damaged handle");
    return visit_at(l, l->at.device, stop, err);
}

static bool walk_member(struct devices *l, bool *stop, struct err *err)
{
    if (!l->users)
        return visit_at(l, l->at.member, stop, err);
    struct key prefix = handle_key(NAME_USER, l->at.member, ""),
               from = handle_key(NAME_USER, l->at.member, l->resume.device);
    bool on = l->resume.device[0];
    l->resume.device[0] = '\0';
    bool ok = txn_walk_on(l->pager.t, TABLE_NAME, key_view(&prefix),
                          on ? key_view(&from) : view_of(NULL, 0), false, user_entry, l, err);
    l->at.device[0] = '\0';
    *stop = l->pager.more;
    return ok;
}

static bool member_entry(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    struct devices *l = ctx;
    struct store_tie tie;
    if (!tie_read(key, value, &tie, err))
        return false;
    memcpy(l->at.member, tie.held, sizeof l->at.member);
    if (!l->users)
        return walk_member(l, stop, err);
    /* he counts as looked at, since he may have no device */
    struct key k;
    if (!place_key(l, &k, err))
        return false;
    return !pager_room(&l->pager, key_view(&k), stop) || walk_member(l, stop, err);
}

static bool walk_group(struct devices *l, const char *group, bool *stop, struct err *err)
{
    struct store_group g;
    struct view record;
    if (!fleet_at(l->pager.t, &kind_group, group, &record, err))
        return false;
    if (!record.p) /* no group, no members */
        return true;
    if (!group_read(record, &g, err))
        return false;
    l->users = g.users;
    struct key prefix = tie_prefix(group), from = tie_key(group, l->resume.member);
    bool on = l->resume.member[0], there = false, ok = true;
    memcpy(l->at.member, l->resume.member, sizeof l->at.member);
    l->resume.member[0] = '\0';
    if (on && g.users) /* perhaps not all of his devices were shown */
        ok = tied(l->pager.t, group, l->at.member, &there, err) &&
             (!there || walk_member(l, stop, err));
    l->resume.device[0] = '\0';
    if (ok && !*stop)
        ok = txn_walk_on(l->pager.t, TABLE_TIE, key_view(&prefix),
                         on ? key_view(&from) : view_of(NULL, 0), false, member_entry, l, err);
    l->at.member[0] = '\0';
    *stop = l->pager.more;
    return ok;
}

static bool target_entry(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    struct devices *l = ctx;
    struct store_tie tie;
    if (!tie_read(key, value, &tie, err))
        return false;
    text_put(l->at.target, sizeof l->at.target, tie.held);
    if (strncmp(tie.held, kind_group.prefix, 4) == 0)
        return walk_group(l, l->at.target, stop, err);
    return visit_at(l, l->at.target, stop, err);
}

static bool walk_policy(struct devices *l, struct err *err)
{
    struct key prefix = tie_prefix(l->f->policy), from = tie_key(l->f->policy, l->resume.target);
    bool on = l->resume.target[0], there = false, stop = false, ok = true;
    memcpy(l->at.target, l->resume.target, sizeof l->at.target);
    if (on && l->resume.member[0]) /* in the middle of a group */
        ok = tied(l->pager.t, l->f->policy, l->at.target, &there, err) &&
             (!there || walk_group(l, l->at.target, &stop, err));
    l->resume = (struct place){.target = ""};
    return ok && (stop || txn_walk_on(l->pager.t, TABLE_TIE, key_view(&prefix),
                                      on ? key_view(&from) : view_of(NULL, 0), false, target_entry,
                                      l, err));
}

/* Three texts with a NUL between. */
static bool place_read(struct view at, struct place *out, struct err *err)
{
    char *const texts[] = {out->target, out->member, out->device};
    const size_t caps[] = {sizeof out->target, sizeof out->member, sizeof out->device};
    for (size_t i = 0; i < 3 && at.n; i++) {
        const uint8_t *end = memchr(at.p, 0, at.n);
        size_t n = end ? (size_t)(end - at.p) : at.n;
        if (n >= caps[i] || (i < 2) != (end != NULL))
            return err_set(err, ERR_NOT_FOUND, "this list has no such cursor");
        memcpy(texts[i], at.p, n);
        texts[i][n] = '\0';
        at = end ? view_of(end + 1, at.n - n - 1) : view_of(NULL, 0);
    }
    return true;
}

/* ---- the list ---- */

struct device_each {
    void (*each)(void *ctx, const struct store_device *d);
    void *ctx;
};

static bool device_give(void *ctx, struct view record, struct err *err)
{
    const struct device_each *e = ctx;
    struct store_device d;
    if (!device_read(record, &d, err))
        return false;
    e->each(e->ctx, &d);
    return true;
}

static bool devices_walk(struct devices *l, struct err *err)
{
    bool stop = false;
    if ((l->f->policy || l->f->group) && !place_read(pager_at(&l->pager), &l->resume, err))
        return false;
    if (l->f->policy)
        return walk_policy(l, err);
    if (l->f->group)
        return walk_group(l, l->f->group, &stop, err);
    if (l->f->user)
        return walk_handle(l, NAME_USER, l->user, err);
    return l->f->serial_number ? walk_handle(l, NAME_SERIAL, l->serial, err) : walk_text(l, err);
}

bool store_device_page(struct store *s, const struct store_device_filter *f,
                       struct store_page *page,
                       void (*each)(void *ctx, const struct store_device *d), void *ctx,
                       struct err *err)
{
    struct devices l = {.f = f};
    struct device_each e = {each, ctx};
    const char *given[] = {f->text, f->serial_number, f->user, f->group, f->policy};
    const size_t caps[] = {sizeof l.text, sizeof l.serial, sizeof l.user, 32, 32};
    for (size_t i = 0; i < sizeof given / sizeof *given; i++)
        if (given[i] && strlen(given[i]) >= caps[i])
            return err_set(err, ERR_NOT_FOUND, "nothing is called %.40s...", given[i]);
    text_small(l.text, sizeof l.text, f->text ? f->text : "");
    text_small(l.serial, sizeof l.serial, f->serial_number ? f->serial_number : "");
    text_small(l.user, sizeof l.user, f->user ? f->user : "");
    if (!pager_begin(&l.pager, s, page, false, err))
        return false;
    bool ok = devices_walk(&l, err);
    return pager_end(&l.pager, ok, device_give, &e, err);
}

/* ---- the policies of a device ---- */

/* Candidates: what holds it, its groups or its user's groups; few, so that they are collected
 * first. */
#define POLICIES_MAX 1000

struct candidates {
    struct txn *t;
    char (*ids)[32];
    size_t n;
};

static bool candidate_add(struct candidates *c, const char *id)
{
    size_t at = 0;
    while (at < c->n && strcmp(c->ids[at], id) < 0)
        at++;
    if ((at < c->n && strcmp(c->ids[at], id) == 0) || c->n == POLICIES_MAX)
        return true;
    memmove(c->ids[at + 1], c->ids[at], (c->n - at) * sizeof c->ids[0]);
    text_put(c->ids[at], sizeof c->ids[at], id);
    c->n++;
    return true;
}

static bool candidates_of(struct candidates *c, bool user, const char *held, struct err *err);

static bool holder_entry(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    struct candidates *c = ctx;
    const uint8_t *end = memchr(key.p, 0, key.n);
    char holder[32];
    if (!end || !tie_rest(key, (size_t)(end - key.p) + 1, holder, sizeof holder))
        return err_set(err, ERR_STORE, "the store has a damaged tie");
    if (strncmp(holder, kind_policy.prefix, 4) == 0)
        return candidate_add(c, holder);
    /* groups hold no groups: this ends */
    return key.p[0] == 'i' && view_eq(view_of(key.p + 1, 4), view_str(kind_group.prefix))
               ? err_set(err, ERR_STORE, "the store has a group in a group")
               : candidates_of(c, false, holder, err);
}

static bool candidates_of(struct candidates *c, bool user, const char *held, struct err *err)
{
    struct key prefix = tie_of_prefix(user, held);
    return txn_walk(c->t, TABLE_TIE_OF, key_view(&prefix), holder_entry, c, err);
}

struct reach_each {
    void (*each)(void *ctx, const struct store_reach *r);
    void *ctx;
};

static bool reach_give(void *ctx, struct view record, struct err *err)
{
    const struct reach_each *e = ctx;
    struct store_reach r;
    memcpy(&r, record.p, sizeof r); /* as policies_take has put it */
    e->each(e->ctx, &r);
    return true;
}

static bool policies_take(struct pager *p, const struct candidates *c, const char *device,
                          struct err *err)
{
    bool stop = false;
    char after[32] = "";
    if (p->at_n && !tie_rest(pager_at(p), 0, after, sizeof after))
        return err_set(err, ERR_NOT_FOUND, "this list has no such cursor");
    for (size_t i = 0; i < c->n; i++) {
        struct store_reach r;
        if (after[0] && strcmp(c->ids[i], after) <= 0)
            continue;
        if (!pager_room(p, view_str(c->ids[i]), &stop))
            return true;
        if (!reach_at(p->t, c->ids[i], device, &r, err) ||
            !pager_take(p, view_of((const uint8_t *)&r, sizeof r), err))
            return false;
    }
    return true;
}

bool store_device_policies(struct store *s, const char *device, struct store_page *page,
                           void (*each)(void *ctx, const struct store_reach *r), void *ctx,
                           struct err *err)
{
    struct pager p;
    struct reach_each e = {each, ctx};
    struct candidates c = {.n = 0};
    struct store_device d;
    char user[128];
    if (!pager_begin(&p, s, page, false, err))
        return false;
    c.t = p.t;
    c.ids = calloc(POLICIES_MAX + 1, sizeof c.ids[0]);
    bool ok = (c.ids || err_memory(err)) && device_at(p.t, device, &d, err);
    text_small(user, sizeof user, ok ? d.user : "");
    ok = ok && candidates_of(&c, false, d.id, err) &&
         (!user[0] || candidates_of(&c, true, user, err)) && policies_take(&p, &c, d.id, err);
    free(c.ids);
    return pager_end(&p, ok, reach_give, &e, err);
}
