/* What is called otherwise: challenges that are bound to the old name go before it does. */
#include <string.h>

#include "fleet_internal.h"

/* While challenges are made all the time; then the last ones go in the write of the change.  Few
 * are left by then, but all open ones are looked at: some tenths of a second for 50,000, once. */
#define ROUNDS 8

struct using
{
    char id[STORE_PAGE_MAX][32];
    size_t n;
};

static void note_using(void *ctx, const struct store_policy *p)
{
    struct using *u = ctx;
    if (fleet_uses_group(p))
        memcpy(u->id[u->n++], p->id, sizeof u->id[0]);
}

static bool of_policy(const struct fleet *f, struct store_write *w, const struct fleet_rebinding *r,
                      const char *id, struct fleet_effects *e, struct err *err)
{
    const struct fleet_sweep what = {.policy = id, .names = true, .group = r->group, .why = r->why};
    return fleet_sweep(f, w, &what, e, err);
}

static bool of_group(const struct fleet *f, struct store_write *w, const struct fleet_rebinding *r,
                     struct fleet_effects *e, struct err *err)
{
    char cursor[STORE_CURSOR_MAX] = "";
    do {
        struct using u = {.n = 0};
        struct store_page page = {.after = cursor, .limit = STORE_PAGE_MAX, .in = w};
        if (!store_policy_page(f->store, NULL, &page, note_using, &u, err))
            return false;
        for (size_t i = 0; i < u.n && !e->stopped; i++)
            if (!of_policy(f, w, r, u.id[i], e, err))
                return false;
        memcpy(cursor, page.next, sizeof page.next);
    } while (*cursor && !e->stopped);
    return true;
}

bool fleet_sweep_all_regrouped(const struct fleet *f, struct store_write *w,
                               struct fleet_effects *e, struct err *err)
{
    const struct fleet_rebinding r = {.group = "", .why = fleet_regrouped};
    return e->stopped || of_group(f, w, &r, e, err);
}

/* In writes of its own when `w` is NULL. */
static bool sweep(const struct fleet *f, struct store_write *w, const struct fleet_rebinding *r,
                  struct fleet_effects *e, struct err *err)
{
    return r->policy ? of_policy(f, w, r, r->policy, e, err) : of_group(f, w, r, e, err);
}

/* Would it be done?  In a write that is thrown away; *made: challenges that there ever were. */
static bool try_it(const struct fleet *f, const struct fleet_rebinding *r, struct fleet_effects *e,
                   uint64_t *made, struct err *err)
{
    const struct fleet_effects before = *e;
    struct store_write *w = NULL;
    if (!store_write_begin(f->store, &w, err))
        return false;
    bool ok = store_write_challenges_made(w, made, err) &&
              (!e->dry_run || sweep(f, w, r, e, err)) && r->change(f, w, r->ctx, err);
    store_write_abort(w);
    if (!ok)
        *e = before;
    return ok;
}

/* The change, if none was made since `made` were there; else *done is false, unless it is the
 * `last` time. */
static bool do_it(const struct fleet *f, const struct fleet_rebinding *r, uint64_t made, bool last,
                  struct fleet_effects *e, bool *done, struct err *err)
{
    const struct fleet_effects before = *e;
    struct store_write *w = NULL;
    uint64_t now = 0;
    if (!store_write_begin(f->store, &w, err))
        return false;
    bool ok = store_write_challenges_made(w, &now, err);
    *done = last || now == made;
    if (ok && !*done) {
        store_write_abort(w);
        return true;
    }
    ok = fleet_finish(
        w, ok && (now == made || sweep(f, w, r, e, err)) && r->change(f, w, r->ctx, err), err);
    if (!ok)
        *e = before;
    return ok;
}

bool fleet_change(const struct fleet *f, const struct fleet_rebinding *r,
                  const struct fleet_effects *e, struct err *err)
{
    struct store_write *w = NULL;
    if (!store_write_begin(f->store, &w, err))
        return false;
    bool ok = r->change(f, w, r->ctx, err);
    if (!ok || !e || !e->dry_run)
        return fleet_finish(w, ok, err);
    store_write_abort(w);
    return true;
}

bool fleet_rebind(const struct fleet *f, const struct fleet_rebinding *r, struct fleet_effects *e,
                  struct err *err)
{
    struct fleet_effects own = {.dry_run = false};
    bool done = false;
    if (!e)
        e = &own;
    for (int round = 1; !done; round++) {
        uint64_t made;
        if (!try_it(f, r, e, &made, err))
            return false;
        if (e->dry_run)
            return true;
        if (!sweep(f, NULL, r, e, err))
            return false;
        if (e->stopped)
            return true;
        if (!do_it(f, r, made, round == ROUNDS, e, &done, err))
            return false;
    }
    return true;
}
