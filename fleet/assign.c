/* Which devices have a policy: assigning, taking away, removing the policy itself. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "fleet_internal.h"

static const char taken[] = "the policy was taken from the device";

/* ---- targets ---- */

struct target {
    bool is_group;
    struct store_group group;
    struct store_device device;
};

static const char *id_of(const struct target *t)
{
    return t->is_group ? t->group.id : t->device.id;
}

static const char *name_of(const struct target *t)
{
    return t->is_group ? t->group.name : t->device.name;
}

/* A device or a group by its id, the beginning of one, or its name; what has one name as both has
 * to be named by id. */
static bool target_get(const struct fleet *f, const char *which, struct target *out,
                       struct err *err)
{
    struct err no_group = {0}, no_device = {0};
    struct target t = {0};
    bool device = false, group = false;
    if (strncasecmp(which, "grp_", 4) != 0)
        device = store_device_get(f->store, which, &t.device, &no_device);
    if (strncasecmp(which, "dev_", 4) != 0)
        group = store_group_get(f->store, which, &t.group, &no_group);
    if (device && group)
        return err_set(err, ERR_CONFIG, "target: \"%.64s\" is device %s and group %s, say which",
                       which, t.device.id, t.group.id);
    if (!device && !group) {
        struct err *why =
            no_device.kind == ERR_CONFLICT || no_group.kind == ERR_NONE ? &no_device : &no_group;
        *err = *why;
        return fleet_missing(why == &no_device && no_group.kind == ERR_NONE ? "device"
                             : no_device.kind == ERR_NONE                   ? "group"
                                                                            : "device or group",
                             which, err);
    }
    t.is_group = group;
    *out = t;
    return true;
}

/* ---- assigning ---- */

bool fleet_policy_assign_in(const struct fleet *f, struct store_write *w,
                            const struct store_policy *p, const char *target_id, bool *changed,
                            struct err *err)
{
    struct err why = {0};
    *changed = store_policy_assign(w, p->id, target_id, f->actor, f->now, &why);
    if (!*changed) {
        if (why.kind == ERR_EXISTS)
            return true;
        *err = why;
        return false;
    }
    return fleet_audit(f, w, err, "policy.assigned", p->id, "%s to %s", p->name, target_id) &&
           fleet_audit(f, w, err,
                       strncmp(target_id, "grp_", 4) == 0 ? "group.assigned" : "device.assigned",
                       target_id, "policy %s (%s)", p->id, p->name);
}

static bool may_assign(const struct fleet *f, const struct store_policy *p, const struct target *t,
                       bool force, struct fleet_warnings *warn, struct err *err)
{
    bool unique;
    if (!t->is_group && t->device.state == DEVICE_RETIRED)
        return err_set(err, ERR_CONFLICT, "device %s is retired", t->device.name);
    if (!fleet_pattern_check(p->subject, p->san, &unique, err))
        return false;
    if (!unique && t->is_group && !force)
        return err_set(
            err, ERR_CONFIG,
            "target: the subject of policy %s, %.80s, has nothing of the device, so that "
            "all devices of a group would get the same",
            p->name, p->subject);
    if (!unique)
        fleet_warn(warn, "the subject of policy %s has nothing of the device: %.100s", p->name,
                   p->subject);
    return (t->is_group && force) || fleet_target_fits(f, p, t->is_group ? NULL : &t->device,
                                                       t->is_group ? &t->group : NULL, err);
}

/* Challenges that name another %group% than the policy gives now. */
static bool sweep_target(const struct fleet *f, struct store_write *w, const struct store_policy *p,
                         const struct target *t, struct fleet_effects *e, struct err *err)
{
    return !fleet_uses_group(p) ||
           fleet_sweep_regrouped(f, w, t->is_group ? NULL : t->device.id, p->id, e, err);
}

bool fleet_policy_assign(const struct fleet *f, const char *policy, uint64_t version,
                         const char *target, bool force, struct fleet_warnings *warn,
                         struct fleet_effects *e, bool *changed, struct err *err)
{
    struct store_policy p;
    struct target t;
    struct store_write *w = NULL;
    if (!fleet_policy_in(f, NULL, policy, &p, err) ||
        !fleet_version("policy", p.name, p.version, version, err) ||
        !target_get(f, target, &t, err) || !may_assign(f, &p, &t, force, warn, err) ||
        !store_write_begin(f->store, &w, err))
        return false;
    bool ok = fleet_policy_assign_in(f, w, &p, id_of(&t), changed, err) &&
              (!e->dry_run || sweep_target(f, w, &p, &t, e, err));
    if (ok && (e->dry_run || !*changed))
        store_write_abort(w);
    else if (!fleet_finish(w, ok, err))
        return false;
    return e->dry_run || sweep_target(f, NULL, &p, &t, e, err);
}

/* ---- taking away ---- */

struct counting {
    const struct fleet *f;
    struct store_write *w;
    const char *policy;
    uint64_t lost;
    struct err err;
};

static void count_lost(void *ctx, const struct store_device *d)
{
    struct counting *c = ctx;
    struct store_reach reach;
    if (c->err.kind == ERR_NONE && d->state != DEVICE_RETIRED &&
        fleet_reach_in(c->f, c->w, c->policy, d->id, &reach, &c->err))
        c->lost += reach.way == WAY_NONE;
}

/* How many devices of the target have the policy no more, now that the assignment is gone in `w`.
 */
static bool lost_by(const struct fleet *f, struct store_write *w, const struct store_policy *p,
                    const struct target *t, uint64_t *out, struct err *err)
{
    struct counting c = {.f = f, .w = w, .policy = p->id};
    const struct store_device_filter members = {.state = -1, .group = t->group.id};
    char cursor[STORE_CURSOR_MAX] = "";
    if (!t->is_group)
        count_lost(&c, &t->device);
    while (t->is_group) {
        struct store_page page = {.after = cursor, .limit = STORE_PAGE_MAX, .in = w};
        if (!store_device_page(f->store, &members, &page, count_lost, &c, err))
            return false;
        memcpy(cursor, page.next, sizeof page.next);
        if (!*cursor || c.err.kind != ERR_NONE)
            break;
    }
    if (c.err.kind != ERR_NONE) {
        *err = c.err;
        return false;
    }
    *out = c.lost;
    return true;
}

static bool unassign_in(const struct fleet *f, struct store_write *w, const struct store_policy *p,
                        const char *target, bool *had, struct err *err)
{
    struct err why = {0};
    *had = store_policy_unassign(w, p->id, target, f->actor, f->now, &why);
    if (!*had) {
        if (why.kind == ERR_NOT_FOUND)
            return true;
        *err = why;
        return false;
    }
    return fleet_audit(f, w, err, "policy.unassigned", p->id, "%s from %s", p->name, target) &&
           fleet_audit(f, w, err,
                       strncmp(target, "grp_", 4) == 0 ? "group.unassigned" : "device.unassigned",
                       target, "policy %s (%s)", p->id, p->name);
}

static struct fleet_sweep sweep_of(const struct store_policy *p, const struct target *t)
{
    return (struct fleet_sweep){.device = t->is_group ? NULL : t->device.id,
                                .policy = p->id,
                                .revoke = p->revoke_on_removal,
                                .why = taken};
}

/* What goes when the target has the policy no more. */
static bool take_from(const struct fleet *f, struct store_write *w, const struct store_policy *p,
                      const struct target *t, struct fleet_effects *e, struct err *err)
{
    const struct fleet_sweep what = sweep_of(p, t);
    return fleet_sweep(f, w, &what, e, err) &&
           (!fleet_uses_group(p) || fleet_sweep_regrouped(f, w, what.device, what.policy, e, err));
}

static bool unassign(const struct fleet *f, const struct store_policy *p, const struct target *t,
                     struct fleet_effects *e, bool *had, struct err *err)
{
    struct store_write *w = NULL;
    if (!store_write_begin(f->store, &w, err))
        return false;
    bool ok = unassign_in(f, w, p, id_of(t), had, err) &&
              (!*had || lost_by(f, w, p, t, &e->devices, err)) &&
              (!e->dry_run || take_from(f, w, p, t, e, err));
    if (!ok || e->dry_run || !*had)
        store_write_abort(w);
    else
        ok = store_write_commit(w, err);
    if (!ok || e->dry_run)
        return ok;
    return take_from(f, NULL, p, t, e, err);
}

bool fleet_policy_unassign(const struct fleet *f, const char *policy, uint64_t version,
                           const char *target, struct fleet_effects *e, struct err *err)
{
    struct store_policy p;
    struct target t;
    bool had = false;
    if (!fleet_policy_in(f, NULL, policy, &p, err) ||
        !fleet_version("policy", p.name, p.version, version, err) ||
        !target_get(f, target, &t, err) || !unassign(f, &p, &t, e, &had, err))
        return false;
    if (!had && e->certificates + e->requests + e->challenges == 0)
        return err_set(err, ERR_NOT_FOUND, "policy %s is not assigned to %.64s", p.name,
                       name_of(&t));
    return true;
}

/* ---- removing a policy ---- */

struct targets {
    char id[FLEET_BATCH][32];
    size_t n;
};

static void note_target(void *ctx, const struct store_tie *t)
{
    struct targets *all = ctx;
    snprintf(all->id[all->n++], sizeof all->id[0], "%.31s", t->held);
}

static bool unassign_some(const struct fleet *f, struct store_write *w,
                          const struct store_policy *p, bool *left, struct err *err)
{
    struct targets some = {.n = 0};
    struct store_page page = {.limit = FLEET_BATCH, .in = w};
    bool had, ok = store_policy_targets(f->store, p->id, &page, note_target, &some, err);
    for (size_t i = 0; ok && i < some.n; i++)
        ok = unassign_in(f, w, p, some.id[i], &had, err);
    *left = ok && some.n > 0;
    return ok;
}

/* From here on nothing is issued by it, whoever still has it. */
static bool pause_in(const struct fleet *f, struct store_write *w, struct store_policy *p,
                     struct err *err)
{
    if (p->paused)
        return true;
    p->paused = true;
    p->changed_at = f->now;
    snprintf(p->changed_by, sizeof p->changed_by, "%s", f->actor);
    return store_policy_replace(w, p, p->version, err) &&
           fleet_audit(f, w, err, "policy.paused", p->id, "%s: it is being removed", p->name);
}

static void count_one(void *ctx, const struct store_device *d)
{
    (*(uint64_t *)ctx)++;
}

static bool count_devices(const struct fleet *f, const struct store_policy *p, uint64_t *out,
                          struct err *err)
{
    const struct store_device_filter having = {.state = -1, .policy = p->id};
    char cursor[STORE_CURSOR_MAX] = "";
    do {
        struct store_page page = {.after = cursor, .limit = STORE_PAGE_MAX};
        if (!store_device_page(f->store, &having, &page, count_one, out, err))
            return false;
        memcpy(cursor, page.next, sizeof page.next);
    } while (*cursor);
    return true;
}

static bool remove_dry(const struct fleet *f, const struct store_policy *p,
                       const struct fleet_sweep *what, struct fleet_effects *e, struct err *err)
{
    struct store_write *w = NULL;
    bool ok = true, left = true;
    if (!store_write_begin(f->store, &w, err))
        return false;
    while (ok && left)
        ok = unassign_some(f, w, p, &left, err);
    ok = ok && fleet_sweep(f, w, what, e, err);
    store_write_abort(w);
    return ok;
}

static bool take_from_all(const struct fleet *f, struct store_policy *p, struct fleet_effects *e,
                          struct err *err)
{
    for (bool left = true; left && !e->stopped;) {
        struct store_write *w = NULL;
        if (!store_write_begin(f->store, &w, err) ||
            !fleet_finish(w, pause_in(f, w, p, err) && unassign_some(f, w, p, &left, err), err))
            return false;
        if (left && e->step)
            e->stopped = !e->step(e->ctx, e);
    }
    return true;
}

/* *done: it is gone; not while somebody has it, whom another administrator gave it meanwhile. */
static bool delete (const struct fleet *f, const struct store_policy *p, bool *done,
                    struct err *err)
{
    struct targets some = {.n = 0};
    struct store_write *w = NULL;
    if (!store_write_begin(f->store, &w, err))
        return false;
    struct store_page page = {.limit = 1, .in = w};
    bool ok = store_policy_targets(f->store, p->id, &page, note_target, &some, err);
    if (!ok || some.n) {
        store_write_abort(w);
        return ok;
    }
    ok = store_policy_delete(w, p->id, f->actor, f->now, done, err) &&
         (!*done || fleet_audit(f, w, err, "policy.removed", p->id, "%s", p->name));
    return fleet_finish(w, ok, err);
}

bool fleet_policy_remove(const struct fleet *f, const char *which, uint64_t version,
                         struct fleet_effects *e, struct err *err)
{
    struct store_policy p;
    if (!fleet_policy_in(f, NULL, which, &p, err) ||
        !fleet_version("policy", p.name, p.version, version, err) ||
        !count_devices(f, &p, &e->devices, err))
        return false;
    const struct fleet_sweep what = {
        .policy = p.id, .revoke = p.revoke_on_removal, .why = "the policy was removed"};
    if (e->dry_run)
        return remove_dry(f, &p, &what, e, err);
    for (bool done = false; !done && !e->stopped;)
        if (!take_from_all(f, &p, e, err) ||
            (!e->stopped && !fleet_sweep(f, NULL, &what, e, err)) ||
            (!e->stopped && !delete (f, &p, &done, err)))
            return false;
    return true;
}
