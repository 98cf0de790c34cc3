#include <stdio.h>
#include <string.h>

#include "fleet_internal.h"

#define ID_TRIES 16

static bool check(struct store_group *g, struct err *err)
{
    return fleet_name(g->name, sizeof g->name, err) &&
           fleet_text("note", g->note, sizeof g->note, false, err);
}

/* ---- new, edit ---- */

static bool add(const struct fleet *f, struct store_write *w, struct store_group *g,
                struct err *err)
{
    for (int i = 0; i < ID_TRIES; i++) {
        struct store_group other;
        struct err why = {0};
        if (!fleet_fresh_id("grp_", g->id, err))
            return false;
        if (store_write_group_get(w, g->id, &other, &why))
            continue;
        return store_group_put(w, g, err) &&
               fleet_audit(f, w, err, "group.created", g->id, "%s, of %s", g->name,
                           g->users ? "users" : "devices");
    }
    return err_set(err, ERR_BUSY, "no free id for a group after %d tries", ID_TRIES);
}

bool fleet_group_add(const struct fleet *f, struct store_write *w, struct store_group *g,
                     struct err *err)
{
    struct store_group made = *g;
    if (!check(&made, err))
        return false;
    made.created_at = made.changed_at = f->now;
    snprintf(made.created_by, sizeof made.created_by, "%s", f->actor);
    snprintf(made.changed_by, sizeof made.changed_by, "%s", f->actor);
    made.version = 1;
    if (!add(f, w, &made, err))
        return false;
    *g = made;
    return true;
}

bool fleet_group_new(const struct fleet *f, struct store_group *g, struct err *err)
{
    struct store_group made = *g;
    struct store_write *w = NULL;
    if (!store_write_begin(f->store, &w, err) ||
        !fleet_finish(w, fleet_group_add(f, w, &made, err), err))
        return false;
    *g = made;
    return true;
}

/* As it shall be, and what it is called now. */
struct edit {
    struct store_group old, new;
};

static bool change(const struct fleet *f, struct store_write *w, void *ctx, struct err *err)
{
    struct edit *x = ctx;
    bool renamed = strcmp(x->old.name, x->new.name) != 0;
    return store_group_replace(w, &x->new, x->old.version, err) &&
           fleet_audit(f, w, err, "group.edited", x->new.id, "%s%s%s%s%s", x->new.name,
                       renamed ? ", was " : "", renamed ? x->old.name : "",
                       *x->new.note ? " note: " : "", x->new.note);
}

/* Challenges that name it as %group% are bound to what it is called now. */
bool fleet_group_edit(const struct fleet *f, uint64_t version, struct store_group *g,
                      struct fleet_effects *e, struct err *err)
{
    struct edit x;
    const struct fleet_rebinding naming = {
        .group = x.old.name, .why = "its group has another name", .change = change, .ctx = &x};
    if (!fleet_group_in(f, NULL, g->id, &x.old, err) ||
        !fleet_version("group", x.old.name, x.old.version, version, err))
        return false;
    x.new = x.old;
    memcpy(x.new.name, g->name, sizeof x.new.name);
    memcpy(x.new.note, g->note, sizeof x.new.note);
    if (!check(&x.new, err))
        return false;
    x.new.changed_at = f->now;
    snprintf(x.new.changed_by, sizeof x.new.changed_by, "%s", f->actor);
    bool ok = strcmp(x.old.name, x.new.name) != 0 ? fleet_rebind(f, &naming, e, err)
                                                  : fleet_change(f, &naming, e, err);
    if (!ok)
        return false;
    *g = e && e->stopped ? x.old : x.new;
    return true;
}

/* ---- members ---- */

/* The member as the group keeps it: a device's id, or a user's name. */
static bool member_of(const struct fleet *f, struct store_write *w, const struct store_group *g,
                      const char *member, struct store_device *d, char out[128], struct err *err)
{
    if (!g->users) {
        if (!fleet_device_in(f, w, member, d, err))
            return false;
        snprintf(out, 128, "%s", d->id);
        return true;
    }
    if (strlen(member) >= 128)
        return err_set(err, ERR_CONFIG, "member: a user's name has 127 octets at most");
    snprintf(out, 128, "%s", member);
    return fleet_text("member", out, 128, true, err);
}

bool fleet_member_add_in(const struct fleet *f, struct store_write *w, const struct store_group *g,
                         const char *member, bool *changed, struct err *err)
{
    struct store_device d = {.name = ""};
    struct err why = {0};
    char held[128];
    if (!member_of(f, w, g, member, &d, held, err))
        return false;
    if (!g->users && d.state == DEVICE_RETIRED)
        return err_set(err, ERR_CONFLICT, "device %s is retired", d.name);
    *changed = store_group_add(w, g->id, held, f->actor, f->now, &why);
    if (!*changed) {
        if (why.kind == ERR_EXISTS)
            return true;
        *err = why;
        return false;
    }
    return fleet_audit(f, w, err, "group.member_added", g->id, "%s: %s %s", g->name,
                       g->users ? "user" : d.id, g->users ? held : d.name) &&
           (g->users || fleet_audit(f, w, err, "device.grouped", d.id, "%s joins group %s (%s)",
                                    d.name, g->id, g->name));
}

/* Would the member share a subject with another device, by one of the group's policies? */
static bool member_fits(const struct fleet *f, const struct store_group *g, const char *member,
                        struct err *err)
{
    struct fleet_policies all;
    struct store_device d;
    if (g->users)
        return true; /* looked at for each device when it gets its challenge */
    if (!fleet_device_in(f, NULL, member, &d, err) ||
        !fleet_policies_of_group(f, NULL, g->id, &all, err))
        return false;
    for (size_t i = 0; i < all.n; i++) {
        struct store_policy p;
        if (!fleet_policy_in(f, NULL, all.id[i], &p, err))
            return false;
        if (!fleet_subject_certain(p.subject) && !fleet_target_fits(f, &p, &d, NULL, err))
            return false;
    }
    return true;
}

/* ---- joining, and being taken out ---- */

/* The devices that a member stands for: itself, or those of the user. */
struct those {
    char (*device)[32]; /* of the page */
    size_t n;
};

static void note_device(void *ctx, const struct store_device *d)
{
    struct those *t = ctx;
    memcpy(t->device[t->n++], d->id, sizeof t->device[0]);
}

/* Calls `do_one` for every device that the member stands for. */
static bool each_device(const struct fleet *f, struct store_write *w, const struct store_group *g,
                        const char *held, const struct fleet_policies *all, struct fleet_effects *e,
                        bool (*do_one)(const struct fleet *, struct store_write *,
                                       const struct fleet_policies *, const char *,
                                       struct fleet_effects *, struct err *),
                        struct err *err)
{
    char device[STORE_PAGE_MAX][32], cursor[STORE_CURSOR_MAX] = "";
    const struct store_device_filter of_user = {.state = -1, .user = held};
    if (!g->users)
        return do_one(f, w, all, held, e, err);
    do {
        struct those t = {.device = device};
        struct store_page page = {.after = cursor, .limit = STORE_PAGE_MAX, .in = w};
        if (!store_device_page(f->store, &of_user, &page, note_device, &t, err))
            return false;
        for (size_t i = 0; i < t.n && !e->stopped; i++)
            if (!do_one(f, w, all, device[i], e, err))
                return false;
        memcpy(cursor, page.next, sizeof page.next);
    } while (*cursor && !e->stopped);
    return true;
}

/* What it had by these goes, and what names the group. */
static bool take_from(const struct fleet *f, struct store_write *w,
                      const struct fleet_policies *had, const char *device, struct fleet_effects *e,
                      struct err *err)
{
    return fleet_lost_sweep(f, w, had, device, e, err) &&
           fleet_sweep_regrouped(f, w, device, NULL, e, err);
}

bool fleet_member_add(const struct fleet *f, const char *group, uint64_t version,
                      const char *member, struct fleet_effects *e, bool *changed, struct err *err)
{
    static const struct fleet_policies none;
    struct store_write *w = NULL;
    struct store_group g;
    struct store_device d;
    char held[128];
    if (!fleet_group_in(f, NULL, group, &g, err) ||
        !fleet_version("group", g.name, g.version, version, err) ||
        !member_of(f, NULL, &g, member, &d, held, err) || !member_fits(f, &g, held, err) ||
        !store_write_begin(f->store, &w, err))
        return false;
    bool ok = fleet_member_add_in(f, w, &g, held, changed, err) &&
              (!e->dry_run || each_device(f, w, &g, held, &none, e, take_from, err));
    if (ok && (e->dry_run || !*changed))
        store_write_abort(w);
    else if (!fleet_finish(w, ok, err))
        return false;
    return e->dry_run || each_device(f, NULL, &g, held, &none, e, take_from, err);
}

static bool take_out_in(const struct fleet *f, struct store_write *w, const struct store_group *g,
                        const char *held, const struct fleet_policies *all, struct fleet_effects *e,
                        bool *changed, struct err *err)
{
    struct err why = {0};
    *changed = store_group_remove(w, g->id, held, f->actor, f->now, &why);
    if (!*changed && why.kind != ERR_NOT_FOUND) {
        *err = why;
        return false;
    }
    if (*changed &&
        (!fleet_audit(f, w, err, "group.member_removed", g->id, "%s: %s", g->name, held) ||
         (!g->users && !fleet_audit(f, w, err, "device.ungrouped", held, "leaves group %s (%s)",
                                    g->id, g->name)) ||
         !each_device(f, w, g, held, all, e, fleet_lost_count, err)))
        return false;
    return !e->dry_run || each_device(f, w, g, held, all, e, take_from, err);
}

bool fleet_member_remove(const struct fleet *f, const char *group, uint64_t version,
                         const char *member, struct fleet_effects *e, bool *changed,
                         struct err *err)
{
    struct store_write *w = NULL;
    struct store_group g;
    struct store_device d;
    struct fleet_policies all;
    char held[128];
    if (!fleet_group_in(f, NULL, group, &g, err) ||
        !fleet_version("group", g.name, g.version, version, err) ||
        !member_of(f, NULL, &g, member, &d, held, err) ||
        !fleet_policies_of_group(f, NULL, g.id, &all, err) || !store_write_begin(f->store, &w, err))
        return false;
    bool ok = take_out_in(f, w, &g, held, &all, e, changed, err);
    if (!ok || e->dry_run || !*changed) {
        store_write_abort(w);
        if (!ok || e->dry_run)
            return ok;
    } else if (!store_write_commit(w, err)) {
        return false;
    }
    /* also when it was out already: what an interruption left over */
    return each_device(f, NULL, &g, held, &all, e, take_from, err);
}

/* ---- removing a group ---- */

struct members {
    char held[FLEET_BATCH][128];
    size_t n;
};

static void note_member(void *ctx, const struct store_tie *t)
{
    struct members *m = ctx;
    memcpy(m->held[m->n++], t->held, sizeof m->held[0]);
}

/* The next members go; *left: there were some. */
static bool empty_some(const struct fleet *f, struct store_write *w, const struct store_group *g,
                       const struct fleet_policies *all, struct fleet_effects *e, bool *left,
                       struct err *err)
{
    struct members some = {.n = 0};
    struct store_page page = {.limit = FLEET_BATCH, .in = w};
    if (!store_group_members(f->store, g->id, &page, note_member, &some, err))
        return false;
    for (size_t i = 0; i < some.n; i++)
        if (!store_group_remove(w, g->id, some.held[i], f->actor, f->now, err) ||
            !each_device(f, w, g, some.held[i], all, e, fleet_lost_count, err))
            return false;
    *left = some.n > 0;
    return true;
}

static bool empty(const struct fleet *f, const struct store_group *g,
                  const struct fleet_policies *all, struct fleet_effects *e, struct err *err)
{
    for (bool left = true; left && !e->stopped;) {
        struct store_write *w = NULL;
        if (!store_write_begin(f->store, &w, err) ||
            !fleet_finish(w, empty_some(f, w, g, all, e, &left, err), err))
            return false;
        if (left && e->step)
            e->stopped = !e->step(e->ctx, e);
    }
    return true;
}

static bool sweep_policies(const struct fleet *f, struct store_write *w,
                           const struct fleet_policies *all, struct fleet_effects *e,
                           struct err *err)
{
    for (size_t i = 0; i < all->n && !e->stopped; i++) {
        struct store_policy p;
        if (!fleet_policy_in(f, w, all->id[i], &p, err))
            return false;
        const struct fleet_sweep what = {.policy = p.id,
                                         .revoke = p.revoke_on_removal,
                                         .why = "the policy was taken from the device"};
        if (!fleet_sweep(f, w, &what, e, err))
            return false;
    }
    return fleet_sweep_all_regrouped(f, w, e, err);
}

/* Everything in one write that is thrown away. */
static bool remove_dry(const struct fleet *f, const struct store_group *g,
                       const struct fleet_policies *all, struct fleet_effects *e, struct err *err)
{
    struct store_write *w = NULL;
    bool ok = true, left = true;
    if (!store_write_begin(f->store, &w, err))
        return false;
    while (ok && left)
        ok = empty_some(f, w, g, all, e, &left, err);
    ok = ok && sweep_policies(f, w, all, e, err);
    store_write_abort(w);
    return ok;
}

/* *done: it is gone; not while somebody is in it, whom another administrator added meanwhile. */
static bool delete (const struct fleet *f, const struct store_group *g, bool *done, struct err *err)
{
    struct members some = {.n = 0};
    struct store_write *w = NULL;
    if (!store_write_begin(f->store, &w, err))
        return false;
    struct store_page page = {.limit = 1, .in = w};
    bool ok = store_group_members(f->store, g->id, &page, note_member, &some, err);
    if (!ok || some.n) {
        store_write_abort(w);
        return ok;
    }
    ok = store_group_delete(w, g->id, f->actor, f->now, done, err) &&
         (!*done || fleet_audit(f, w, err, "group.removed", g->id, "%s", g->name));
    return fleet_finish(w, ok, err);
}

/* The policies are asked for anew when the group is empty: one that it was given meanwhile is lost
 * with the others. */
static bool remove_all(const struct fleet *f, const struct store_group *g, struct fleet_effects *e,
                       struct err *err)
{
    struct fleet_policies all;
    for (bool done = false; !done && !e->stopped;)
        if (!fleet_policies_of_group(f, NULL, g->id, &all, err) || !empty(f, g, &all, e, err) ||
            (!e->stopped && !(fleet_policies_of_group(f, NULL, g->id, &all, err) &&
                              sweep_policies(f, NULL, &all, e, err))) ||
            (!e->stopped && !delete (f, g, &done, err)))
            return false;
    return true;
}

bool fleet_group_remove(const struct fleet *f, const char *which, uint64_t version,
                        struct fleet_effects *e, struct err *err)
{
    struct store_group g;
    struct fleet_policies all;
    if (!fleet_group_in(f, NULL, which, &g, err) ||
        !fleet_version("group", g.name, g.version, version, err) ||
        !fleet_policies_of_group(f, NULL, g.id, &all, err))
        return false;
    return e->dry_run ? remove_dry(f, &g, &all, e, err) : remove_all(f, &g, e, err);
}
