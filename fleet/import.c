#include "fleet/import.h"

#include <stdlib.h>
#include <string.h>

#include "import_internal.h"

#define BATCH 250 /* devices of one write: some hundredths of a second, since enrolments wait */
#define PROGRESS 500

/* ---- one reading of the file ---- */

/* What is done with a row that is right. */
typedef bool (*row_verb)(struct importing *i, struct import_row *r, struct err *err);

struct pass {
    struct importing *i;
    row_verb verb;
    uint64_t rows, of, bad;
    bool telling;          /* mistakes are told: the first reading */
    struct import_row row; /* too large for the stack of a callback */
};

static bool fail(struct importing *i, const struct err *err)
{
    i->failed = true;
    i->err = *err;
    return false;
}

/* What cannot be done with this row keeps no other from being looked at. */
static bool is_of_row(const struct err *err)
{
    return err->kind == ERR_CONFIG || err->kind == ERR_CONFLICT || err->kind == ERR_EXISTS ||
           err->kind == ERR_NOT_FOUND || err->kind == ERR_REFUSED;
}

/* What was told as left out is left out by the second reading too, unread: its write holds other
 * rows as well, and what stood in its way may stand there no more. */
static bool leave_out(struct importing *i, uint64_t line, struct err *err)
{
    char text[32], nobody[32];
    snprintf(text, sizeof text, "%llu", (unsigned long long)line);
    return fleet_subjects_add(i->left, text, text, nobody, err);
}

static bool mistake(struct pass *p, uint64_t line, struct err *err)
{
    p->bad++;
    if (!p->telling)
        return true;
    p->i->n.bad++;
    if (p->i->o->problem)
        p->i->o->problem(p->i->o->ctx, line, err->text);
    return leave_out(p->i, line, err) || fail(p->i, err);
}

static bool left_out(const struct importing *i, uint64_t line)
{
    char text[32];
    snprintf(text, sizeof text, "%llu", (unsigned long long)line);
    return fleet_subjects_has(i->left, text);
}

static bool one_row(void *ctx, const struct table_row *row)
{
    struct pass *p = ctx;
    struct importing *i = p->i;
    struct err err = {0};
    if (!i->header) {
        i->header = true;
        if (import_header(i, row, &err))
            return true;
        err_prefix(&err, "line %llu", (unsigned long long)row->line);
        return fail(i, &err);
    }
    p->rows++;
    const struct fleet_import_counts before = i->n;
    bool good = true;
    if (!p->telling && left_out(i, row->line)) {
        good = false;
    } else if (!import_row_read(i, row, &p->row, &err)) {
        if (err.kind != ERR_CONFIG)
            return fail(i, &err);
        good = false;
    } else if (!p->verb(i, &p->row, &err)) {
        if (!p->telling || !is_of_row(&err))
            return fail(i, &err);
        i->n = before;
        good = false;
    }
    if (!good && !mistake(p, row->line, &err))
        return false;
    if (p->rows % PROGRESS == 0 && i->o->progress)
        i->n.stopped = !i->o->progress(i->o->ctx, p->rows, p->of);
    return !i->n.stopped;
}

static bool forget(struct importing *i, struct err *err)
{
    fleet_subjects_free(i->names);
    fleet_subjects_free(i->subjects);
    fleet_subjects_free(i->groups);
    i->names = i->subjects = i->groups = NULL;
    i->header = false;
    if (!(i->names = fleet_subjects_new()) || !(i->groups = fleet_subjects_new()))
        return err_memory(err);
    if (!i->o->policy || fleet_subject_certain(i->policy.subject))
        return true;
    return ((i->subjects = fleet_subjects_new()) || err_memory(err)) &&
           fleet_subjects_seed(i->f, &i->policy, i->subjects, err);
}

static bool read_file(struct pass *p, struct err *err)
{
    struct importing *i = p->i;
    struct err why = {0};
    i->failed = false;
    rewind(i->o->in);
    if (!forget(i, err))
        return false;
    bool ok = table_read(i->o->in, one_row, p, &why);
    if (i->failed) {
        *err = i->err;
        return false;
    }
    if (!ok) {
        *err = why;
        return false;
    }
    return i->header || i->n.stopped ||
           err_set(err, ERR_CONFIG, "the file is empty: its first line names the columns");
}

/* ---- a row in a write ---- */

struct batch {
    struct importing i; /* first, so that a row's verb finds it */
    struct store_write *w;
    size_t rows;
    struct fleet_import_counts before; /* as it was at the last commit */
    struct import_out *out;
};

static bool put_device(struct batch *b, struct import_row *r, struct fleet_edit *edit,
                       struct err *err)
{
    bool changed;
    if (!r->exists) {
        b->i.n.made++;
        return fleet_device_add(b->i.f, b->w, &r->device, err);
    }
    if (!fleet_device_edit_begin(b->i.f, b->w, 0, &r->device, edit, &changed, err))
        return false;
    *(changed ? &b->i.n.updated : &b->i.n.same) += 1;
    return true;
}

static bool put_groups(struct batch *b, const struct import_row *r, struct err *err)
{
    for (size_t k = 0; k < r->group_n; k++) {
        struct store_group g;
        struct err why = {0};
        bool changed;
        if (!store_write_group_get(b->w, r->group[k], &g, &why)) {
            if (why.kind != ERR_NOT_FOUND) {
                *err = why;
                return false;
            }
            g = (struct store_group){.users = false};
            memcpy(g.name, r->group[k], sizeof g.name);
            if (!fleet_group_add(b->i.f, b->w, &g, err))
                return false;
            b->i.n.groups++;
        }
        if (!fleet_member_add_in(b->i.f, b->w, &g, r->device.id, &changed, err))
            return false;
    }
    return true;
}

/* One that has the policy by a group already needs it not twice. */
static bool put_policy(struct batch *b, const struct import_row *r, struct err *err)
{
    struct store_reach reach;
    bool changed = false;
    if (!b->i.o->policy)
        return true;
    if (!fleet_reach_in(b->i.f, b->w, b->i.policy.id, r->device.id, &reach, err))
        return false;
    if (reach.way == WAY_NONE &&
        !fleet_policy_assign_in(b->i.f, b->w, &b->i.policy, r->device.id, &changed, err))
        return false;
    b->i.n.assigned += changed;
    return true;
}

/* What the device lost with its old user is looked for when it has what the row gives it: a policy
 * that it has again was never gone. */
static bool put_row(struct batch *b, struct import_row *r, struct err *err)
{
    struct fleet_edit edit = {.names = false};
    return put_device(b, r, &edit, err) && put_groups(b, r, err) && put_policy(b, r, err) &&
           fleet_device_edit_end(b->i.f, b->w, &edit, r->device.id, &b->i.n.lost, err);
}

/* ---- the first: what would be done ---- */

/* What a change takes away is known when it is done: in a write that is thrown away. */
static bool try_row(struct importing *i, struct import_row *r, struct err *err)
{
    struct batch b = {.i = *i};
    if (!store_write_begin(i->f->store, &b.w, err))
        return false;
    bool ok = put_row(&b, r, err);
    store_write_abort(b.w);
    i->n.assigned = b.i.n.assigned;
    i->n.lost = b.i.n.lost;
    return ok;
}

/* Groups that are not there are made by the first row that names them and is done: it is the last
 * that is asked of a row. */
static bool plan_groups(struct importing *i, const struct import_row *r, struct err *err)
{
    for (size_t k = 0; k < r->group_n; k++) {
        struct store_group g;
        struct err why = {0};
        char nobody[32];
        if (store_group_get(i->f->store, r->group[k], &g, &why))
            continue;
        if (why.kind != ERR_NOT_FOUND) {
            *err = why;
            return false;
        }
        if (fleet_subjects_has(i->groups, r->group[k]))
            continue;
        if (!fleet_subjects_add(i->groups, r->group[k], "new", nobody, err))
            return false;
        i->n.groups++;
    }
    return true;
}

static bool plan_challenge(struct importing *i, const struct import_row *r, struct err *err)
{
    bool holds = false;
    if (!import_challenges(i))
        return true;
    if (r->exists && !import_has_certificate(i, NULL, r->device.id, &holds, err))
        return false;
    *(holds ? &i->n.had : &i->n.challenges) += 1;
    return true;
}

static bool plan_row(struct importing *i, struct import_row *r, struct err *err)
{
    struct store_reach reach = {.way = WAY_NONE};
    i->n.rows++;
    if (!plan_challenge(i, r, err))
        return false;
    *(!r->exists ? &i->n.made : r->same ? &i->n.same : &i->n.updated) += 1;
    if (r->exists && (!r->same || r->group_n > 0))
        return try_row(i, r, err) && plan_groups(i, r, err);
    if (r->exists && i->o->policy &&
        !fleet_reach_in(i->f, NULL, i->policy.id, r->device.id, &reach, err))
        return false;
    i->n.assigned += i->o->policy && reach.way == WAY_NONE;
    return plan_groups(i, r, err);
}

/* ---- the second: doing it, in batches ---- */

static bool open_batch(struct batch *b, struct err *err)
{
    b->before = b->i.n;
    b->rows = 0;
    return b->w || store_write_begin(b->i.f->store, &b->w, err);
}

static bool close_batch(struct batch *b, struct err *err)
{
    struct store_write *w = b->w;
    if (!w)
        return true;
    b->w = NULL;
    if (b->out && !import_out_flush(b->out, err)) {
        store_write_abort(w);
        b->i.n = b->before;
        return false;
    }
    if (store_write_commit(w, err))
        return true;
    b->i.n = b->before;
    return false;
}

/* Something happened between the readings: of this device only, so that the others go on. */
static bool no_challenge(struct importing *i, const struct import_row *r, const struct err *why,
                         struct err *err)
{
    if (why->kind != ERR_REFUSED && why->kind != ERR_EXISTS && why->kind != ERR_CONFIG) {
        *err = *why;
        return false;
    }
    i->n.bad++;
    if (i->o->problem)
        i->o->problem(i->o->ctx, r->line, why->text);
    return true;
}

static bool put_challenge(struct batch *b, const struct import_row *r, struct err *err)
{
    const struct fleet_challenge_wish wish = {
        .device = r->device.id, .policy = b->i.policy.id, .ttl = b->i.o->ttl, .hex = b->i.o->hex};
    struct fleet_challenge c = {.secret = ""};
    struct err why = {0};
    bool holds = false;
    if (!import_out_has(b->out, r->device.id)) {
        if (r->exists && !import_has_certificate(&b->i, b->w, r->device.id, &holds, err))
            return false;
    } else {
        holds = true;
    }
    if (holds) {
        b->i.n.had++;
        return true;
    }
    if (!fleet_challenge_add(b->i.f, b->w, &wish, &c, &why))
        return no_challenge(&b->i, r, &why, err);
    bool ok = import_out_add(b->out, b->i.f, &c, err);
    fleet_challenge_wipe(&c);
    b->i.n.challenges += ok;
    return ok;
}

static bool do_row(struct importing *i, struct import_row *r, struct err *err)
{
    struct batch *b = (struct batch *)i;
    if (!b->w && !open_batch(b, err))
        return false;
    b->i.n.rows++;
    bool ok = put_row(b, r, err) && (!b->out || put_challenge(b, r, err));
    if (!ok) {
        err_prefix(err, "line %llu", (unsigned long long)r->line);
        store_write_abort(b->w);
        b->w = NULL;
        b->i.n = b->before;
        return false;
    }
    return ++b->rows < BATCH || close_batch(b, err);
}

/* ---- together ---- */

static bool ready(struct importing *i, struct err *err)
{
    if (!i->o->policy)
        return !import_challenges(i) ||
               err_set(err, ERR_CONFIG, "challenges are made for a policy: say which");
    if (!fleet_policy_in(i->f, NULL, i->o->policy, &i->policy, err))
        return false;
    if (!import_challenges(i))
        return true;
    if (i->policy.paused)
        return err_refuse(err, REASON_POLICY_PAUSED, "policy %s is paused", i->policy.name);
    if (i->policy.challenge != POLICY_ONE_TIME)
        return err_set(err, ERR_CONFLICT, "policy %s has no one-time challenges", i->policy.name);
    return i->f->key || !i->o->challenges ||
           err_set(err, ERR_CONFIG, "no challenge can be made without the challenge key");
}

static bool do_all(struct importing *i, uint64_t rows, struct err *err)
{
    struct batch b = {.i = *i};
    struct pass second = {.i = &b.i, .verb = do_row, .of = rows};
    bool ok = true;
    b.i.n = (struct fleet_import_counts){.bad = i->n.bad};
    if (i->o->challenges)
        ok = import_out_open(i->f, i->o->challenges, &b.out, err);
    ok = ok && read_file(&second, err);
    if (ok)
        ok = close_batch(&b, err);
    else if (b.w)
        store_write_abort(b.w);
    import_out_close(b.out);
    if (ok && second.bad > i->n.bad) /* lines that were right before */
        b.i.n.bad += second.bad - i->n.bad;
    *i = b.i;
    return ok;
}

bool fleet_import_run(const struct fleet *f, const struct fleet_import *o,
                      struct fleet_import_counts *out, struct err *err)
{
    struct importing i = {.f = f, .o = o};
    struct pass *first = calloc(1, sizeof *first);
    i.left = fleet_subjects_new();
    bool ok = ((first && i.left) || err_memory(err)) && ready(&i, err);
    if (ok) {
        *first = (struct pass){.i = &i, .verb = plan_row, .telling = true};
        ok = read_file(first, err);
    }
    const uint64_t bad = i.n.bad;
    if (ok && bad && !o->partial)
        ok = err_set(err, ERR_CONFIG, "%llu of %llu lines have a mistake: nothing was imported",
                     (unsigned long long)i.n.bad, (unsigned long long)(i.n.bad + i.n.rows));
    if (ok && !o->dry_run && !i.n.stopped) {
        if (o->confirm && !o->confirm(o->ctx, &i.n))
            ok = err_set(err, ERR_CONFLICT, "not confirmed: nothing was changed");
        else
            ok = do_all(&i, first->rows, err);
    }
    if (ok && i.n.bad > bad && !o->partial)
        ok = err_set(err, ERR_CONFLICT,
                     "%llu lines were right and are so no more, by what happened meanwhile: all "
                     "else is done, and the same command tells what is wrong",
                     (unsigned long long)(i.n.bad - bad));
    fleet_subjects_free(i.names);
    fleet_subjects_free(i.subjects);
    fleet_subjects_free(i.groups);
    fleet_subjects_free(i.left);
    free(first);
    *out = i.n;
    return ok;
}
