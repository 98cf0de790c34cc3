/* scepctl device ... */
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "scepctl/ctl_fleet.h"

static const char *const state_words[] = {"active", "isolated", "retired", NULL};

/* ---- list ---- */

static const struct ctl_column list_columns[] = {
    {"ID", "id", CTL_TEXT, false},
    {"NAME", "name", CTL_TEXT, true},
    {"PLATFORM", "platform", CTL_TEXT, false},
    {"STATE", "state", CTL_TEXT, false},
    {"LAST SEEN", "seen_at", CTL_TIME, false},
    {"USER", "user", CTL_TEXT, true},
    {"SERIAL NUMBER", "serial_number", CTL_TEXT, false},
    {NULL, "udid", CTL_TEXT, false},
    {NULL, "email", CTL_TEXT, false},
    {NULL, "host", CTL_TEXT, false},
    {NULL, "created_at", CTL_TIME, false},
    {NULL, "created_by", CTL_TEXT, false},
    {NULL, "changed_at", CTL_TIME, false},
    {NULL, "version", CTL_NUMBER, false},
};

static void list_one(void *ctx, const struct store_device *d)
{
    const struct ctl_cell cells[] = {{d->id, 0},
                                     {d->name, 0},
                                     {d->platform, 0},
                                     {state_words[d->state], 0},
                                     {NULL, d->seen_at},
                                     {d->user, 0},
                                     {d->serial_number, 0},
                                     {d->udid, 0},
                                     {d->email, 0},
                                     {d->host, 0},
                                     {NULL, d->created_at},
                                     {d->created_by, 0},
                                     {NULL, d->changed_at},
                                     {NULL, (int64_t)d->version}};
    ctl_listing_row(ctx, cells);
}

static bool list_page(struct ctl_listing *l, struct store_page *page, struct err *err)
{
    return store_device_page(l->ctl->store, l->of, page, list_one, l, err);
}

static int list_filter(struct ctl *ctl, const struct ctl_args *a, const struct ctl_fleet *f,
                       struct store_device_filter *out, struct store_group *group,
                       struct store_policy *policy)
{
    int rc = ctl_arg_word(ctl, a, "state", state_words, &out->state);
    const char *of_group = ctl_arg(a, "group"), *of_policy = ctl_arg(a, "policy");
    out->text = ctl_arg(a, "search");
    out->platform = ctl_arg(a, "platform");
    out->user = ctl_arg(a, "user");
    if (rc == CTL_DONE && of_group && !(rc = ctl_find_group(ctl, f, of_group, group)))
        out->group = group->id;
    if (rc == CTL_DONE && of_policy && !(rc = ctl_find_policy(ctl, f, of_policy, policy)))
        out->policy = policy->id;
    return rc;
}

int ctl_device_list(struct ctl *ctl, const struct ctl_args *a)
{
    struct store_device_filter filter = {.state = -1};
    struct store_group group;
    struct store_policy policy;
    struct ctl_listing l = {.ctl = ctl, .args = a, .of = &filter};
    struct ctl_fleet f;
    int rc;
    if ((rc = ctl_fleet_begin(ctl, false, &f)) ||
        (rc = list_filter(ctl, a, &f, &filter, &group, &policy)) || (rc = ctl_listing_limit(&l)))
        return rc;
    return ctl_listing_show(&l, list_columns, sizeof list_columns / sizeof list_columns[0],
                            list_page, "device", "devices");
}

/* ---- show ---- */

struct gathered {
    struct ctl *ctl;
    struct ctl_words names;
    uint64_t count;
    struct store_cert newest; /* without DER */
    int64_t now;
};

static void one_group(void *ctx, const struct store_tie *t)
{
    struct gathered *g = ctx;
    struct store_group group;
    struct err ignored = {0};
    bool known = store_group_get(g->ctl->store, t->holder, &group, &ignored);
    ctl_words_add(&g->names, known ? group.name : t->holder, "");
}

static void one_policy(void *ctx, const struct store_reach *r)
{
    struct gathered *g = ctx;
    struct store_policy p;
    struct err ignored = {0};
    char how[120] = "";
    if (r->way != WAY_DEVICE)
        snprintf(how, sizeof how, " (by group %s)", r->group_name);
    bool known = store_policy_get(g->ctl->store, r->policy, &p, &ignored);
    ctl_words_add(&g->names, known ? p.name : r->policy, how);
}

static void one_cert(void *ctx, const struct store_cert *c)
{
    struct gathered *g = ctx;
    if (c->state != CERT_ACTIVE || c->not_after <= g->now)
        return;
    if (!g->count++) {
        g->newest = *c;
        g->newest.der = (struct buf){0};
    }
}

static void one_challenge(void *ctx, const struct store_challenge *c)
{
    ((struct gathered *)ctx)->count++;
}

static bool show_belongings(struct ctl *ctl, struct ctl_show *s, const struct store_device *d,
                            struct err *err)
{
    struct gathered groups = {.ctl = ctl}, policies = {.ctl = ctl},
                    certs = {.ctl = ctl, .now = ctl->now}, challenges = {.ctl = ctl};
    struct store_page page = {.limit = 100}, more = page, held = page, open = page;
    const struct store_cert_filter of_device = {.state = -1, .device = d->id};
    const struct store_challenge_filter theirs = {
        .device = d->id, .state = CHALLENGE_OPEN, .now = ctl->now};
    char serial[2 * STORE_SERIAL_MAX + 1];
    if (!store_device_groups(ctl->store, d->id, &page, one_group, &groups, err) ||
        !store_device_policies(ctl->store, d->id, &more, one_policy, &policies, err) ||
        !store_cert_page(ctl->store, &of_device, &held, one_cert, &certs, err) ||
        !store_challenge_page(ctl->store, &theirs, &open, one_challenge, &challenges, err))
        return false;
    ctl_show_text(s, "groups", groups.names.text);
    ctl_show_text(s, "policies", policies.names.text);
    ctl_show_number(s, "certificates", (int64_t)certs.count);
    if (certs.count) {
        hex_encode(view_of(certs.newest.serial, certs.newest.serial_len), serial);
        ctl_show_text(s, "certificate", serial);
        ctl_show_time(s, "certificate_not_after", certs.newest.not_after);
    }
    ctl_show_number(s, "challenges", (int64_t)challenges.count);
    return true;
}

static void show_device(struct ctl_show *s, const struct store_device *d)
{
    ctl_show_text(s, "id", d->id);
    ctl_show_text(s, "name", d->name);
    ctl_show_text(s, "state", state_words[d->state]);
    ctl_show_text(s, "platform", d->platform);
    ctl_show_text(s, "serial_number", d->serial_number);
    ctl_show_text(s, "udid", d->udid);
    ctl_show_text(s, "user", d->user);
    ctl_show_text(s, "email", d->email);
    ctl_show_text(s, "host", d->host);
    ctl_show_time(s, "created_at", d->created_at);
    ctl_show_text(s, "created_by", d->created_by);
    ctl_show_time(s, "changed_at", d->changed_at);
    ctl_show_time(s, "seen_at", d->seen_at);
    ctl_show_number(s, "version", (int64_t)d->version);
}

int ctl_device_show(struct ctl *ctl, const struct ctl_args *a)
{
    struct ctl_fleet f;
    struct store_device d;
    struct ctl_show s;
    struct err err = {0};
    int rc;
    if ((rc = ctl_fleet_begin(ctl, false, &f)) || (rc = ctl_find_device(ctl, &f, a->id[0], &d)))
        return rc;
    ctl_show_start(&s, ctl);
    show_device(&s, &d);
    bool good = show_belongings(ctl, &s, &d, &err);
    ctl_show_end(&s);
    return good ? CTL_DONE : ctl_fail_err(ctl, &err, NULL);
}

/* ---- new, edit ---- */

static int read_members(struct ctl *ctl, const struct ctl_args *a, struct store_device *d)
{
    const struct {
        const char *flag;
        char *to;
        size_t cap;
    } member[] = {{"platform", d->platform, sizeof d->platform},
                  {"serial-number", d->serial_number, sizeof d->serial_number},
                  {"udid", d->udid, sizeof d->udid},
                  {"user", d->user, sizeof d->user},
                  {"email", d->email, sizeof d->email},
                  {"host", d->host, sizeof d->host}};
    int rc = CTL_DONE;
    for (size_t i = 0; i < sizeof member / sizeof *member && rc == CTL_DONE; i++)
        rc = ctl_arg_text(ctl, a, member[i].flag, member[i].to, member[i].cap);
    return rc;
}

int ctl_device_new(struct ctl *ctl, const struct ctl_args *a)
{
    struct store_device d = {.id = ""};
    struct ctl_fleet f;
    struct ctl_show s;
    struct err err = {0};
    int rc;
    if ((rc = ctl_name_text(ctl, a->id[0], d.name, sizeof d.name)) ||
        (rc = read_members(ctl, a, &d)) || (rc = ctl_fleet_begin(ctl, false, &f)))
        return rc;
    if (ctl->dry_run) {
        ctl_note(ctl, "would make device %s", d.name);
        return CTL_DONE;
    }
    if (!fleet_device_new(&f.fleet, &d, &err))
        return ctl_fail_err(ctl, &err, NULL);
    if (ctl_show_made(&s, ctl, d.id)) {
        show_device(&s, &d);
        ctl_show_end(&s);
    }
    ctl_note(ctl, "device %s  next: scepctl policy assign POLICY %s", d.name, d.id);
    return CTL_DONE;
}

/* With another user it may lose a policy, and certificates with it: asked before. */
static int edit_plan(struct ctl *ctl, const struct ctl_fleet *f, struct store_device d)
{
    struct fleet_effects plan = {.dry_run = true};
    struct err err = {0};
    char what[160];
    if (!fleet_device_edit(&f->fleet, d.version, &d, &plan, &err))
        return ctl_fail_err(ctl, &err, NULL);
    if (!plan.devices)
        return CTL_DONE;
    snprintf(what, sizeof what, "change device %s", d.name);
    ctl_plan_note(ctl, &plan, what, "would lose a policy");
    return ctl->dry_run ? CTL_DONE : ctl_effects_confirm(ctl, &plan, "Change it?");
}

int ctl_device_edit(struct ctl *ctl, const struct ctl_args *a)
{
    struct fleet_effects e = {.dry_run = false};
    struct store_device d;
    struct ctl_fleet f;
    struct err err = {0};
    const char *name = ctl_arg(a, "name");
    int rc;
    if ((rc = ctl_fleet_begin(ctl, false, &f)) || (rc = ctl_find_device(ctl, &f, a->id[0], &d)) ||
        (name && (rc = ctl_name_text(ctl, name, d.name, sizeof d.name))) ||
        (rc = read_members(ctl, a, &d)) || (rc = edit_plan(ctl, &f, d)))
        return rc;
    if (ctl->dry_run) {
        ctl_note(ctl, "would change device %s", d.name);
        return CTL_DONE;
    }
    if (!fleet_device_edit(&f.fleet, d.version, &d, &e, &err))
        return ctl_fail_err(ctl, &err, NULL);
    ctl_note(ctl, "device %s (%s), version %llu", d.name, d.id, (unsigned long long)d.version);
    if (e.devices) {
        char text[400];
        ctl_effects_text(&e, "lost a policy", text, sizeof text);
        ctl_note(ctl, "%s", text);
    }
    return CTL_DONE;
}

/* ---- isolate, release ---- */

static int change_each(struct ctl *ctl, const struct ctl_args *a, const char *would,
                       const char *done,
                       bool (*verb)(const struct fleet *, const char *, uint64_t, const char *,
                                    struct store_device *, struct err *))
{
    struct ctl_fleet f;
    const char *note = ctl_arg(a, "note");
    int rc = ctl_fleet_begin(ctl, false, &f);
    for (size_t i = 0; i < a->id_n && rc == CTL_DONE; i++) {
        struct store_device d;
        struct err err = {0};
        if ((rc = ctl_find_device(ctl, &f, a->id[i], &d)))
            return rc;
        if (ctl->dry_run)
            ctl_note(ctl, "would %s %s", would, d.name);
        else if (!verb(&f.fleet, d.id, 0, note ? note : "", &d, &err))
            return ctl_fail_err(ctl, &err, NULL);
        else
            ctl_note(ctl, "%s %s", done, d.name);
    }
    return rc;
}

int ctl_device_isolate(struct ctl *ctl, const struct ctl_args *a)
{
    return change_each(ctl, a, "isolate", "isolated", fleet_device_isolate);
}

int ctl_device_release(struct ctl *ctl, const struct ctl_args *a)
{
    return change_each(ctl, a, "release", "released", fleet_device_release);
}

/* ---- retire ---- */

struct retiring {
    struct ctl *ctl;
    struct ctl_fleet f;
    const char *note;
    char (*id)[32]; /* owned */
    size_t n;
    struct ctl_progress progress;
    uint64_t done; /* devices */
};

static bool retire_step(void *ctx, const struct fleet_effects *e)
{
    return !ctl_interrupted();
}

static void add_effects(struct fleet_effects *sum, const struct fleet_effects *e)
{
    sum->devices += e->devices;
    sum->certificates += e->certificates;
    sum->requests += e->requests;
    sum->challenges += e->challenges;
}

static int by_id(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* Each once, whatever it was called by. */
static int retire_find(struct retiring *r, const struct ctl_ids *ids)
{
    size_t n = 0;
    for (size_t i = 0; i < ids->n; i++) {
        struct store_device d;
        int rc = ctl_find_device(r->ctl, &r->f, ids->id[i], &d);
        if (rc)
            return rc;
        memcpy(r->id[i], d.id, sizeof r->id[0]);
    }
    qsort(r->id, ids->n, sizeof r->id[0], by_id);
    for (size_t i = 0; i < ids->n; i++)
        if (!n || strcmp(r->id[n - 1], r->id[i]) != 0)
            memmove(r->id[n++], r->id[i], sizeof r->id[0]);
    r->n = n;
    return CTL_DONE;
}

/* Every device is looked up, and what it would lose, before anything is changed.  Those that are
 * retired with all that was theirs are passed over: the same command goes on. */
static int retire_plan(struct retiring *r, const struct ctl_ids *ids, struct fleet_effects *sum)
{
    struct err err = {0};
    int rc = retire_find(r, ids);
    size_t n = 0;
    if (rc)
        return rc;
    for (size_t i = 0; i < r->n; i++) {
        struct store_device d;
        struct fleet_effects e = {.dry_run = true};
        struct fleet_warnings stay = {.n = 0};
        err = (struct err){0};
        if (fleet_device_retire(&r->f.fleet, r->id[i], 0, r->note, &e, &d, &err)) {
            e.devices = 1;
            add_effects(sum, &e);
            memmove(r->id[n++], r->id[i], sizeof r->id[0]);
            fleet_outside(&r->f.fleet, &(struct fleet_leaving){.target = d.id}, &stay);
            ctl_warn(r->ctl, &stay); /* of each by itself: there is room for few at a time */
        } else if (err.kind != ERR_CONFLICT) {
            return ctl_fail_err(r->ctl, &err, NULL);
        } else if (r->n > 1) {
            ctl_note(r->ctl, "%s", err.text);
        }
    }
    r->n = n;
    return n ? CTL_DONE : ctl_fail_err(r->ctl, &err, NULL);
}

static int retire_all(struct retiring *r, struct fleet_effects *sum)
{
    for (size_t i = 0; i < r->n; i++) {
        struct store_device d;
        struct fleet_effects e = {.step = retire_step, .ctx = r};
        struct err err = {0};
        bool ok = !ctl_interrupted() &&
                  fleet_device_retire(&r->f.fleet, r->id[i], 0, r->note, &e, &d, &err);
        add_effects(sum, &e);
        if (e.stopped || ctl_interrupted()) {
            ctl_progress_end(&r->progress);
            return ctl_fail(r->ctl, CTL_INTERRUPTED, "the same command goes on",
                            "interrupted after %zu of %zu devices", i, r->n);
        }
        if (!ok && err.kind != ERR_CONFLICT) { /* that: somebody else was quicker */
            ctl_progress_end(&r->progress);
            return ctl_fail_err(r->ctl, &err, NULL);
        }
        ctl_progress_show(&r->progress, i + 1, r->n);
    }
    ctl_progress_end(&r->progress);
    return CTL_DONE;
}

static int retire(struct retiring *r, const struct ctl_ids *ids)
{
    struct fleet_effects plan = {.dry_run = true}, done = {.dry_run = false};
    char text[400], told[440];
    int rc = retire_plan(r, ids, &plan);
    if (rc)
        return rc;
    ctl_effects_text(&plan, plan.devices == 1 ? "retires" : "retire", text, sizeof text);
    ctl_note(r->ctl, "%s%s.  Cannot be undone.", r->ctl->dry_run ? "would: " : "", text);
    if (r->ctl->dry_run)
        return CTL_DONE;
    snprintf(told, sizeof told, "Really retire %zu?", r->n);
    if (r->n > 1)
        rc = ctl_effects_confirm(r->ctl, &plan, told);
    else
        rc = ctl_confirm(r->ctl, "Retire?");
    if (rc)
        return rc;
    ctl_interrupts_watch();
    r->progress = ctl_progress_start(r->ctl, "devices");
    rc = retire_all(r, &done);
    ctl_effects_text(&done, "retired", text, sizeof text);
    ctl_note(r->ctl, "%s", text);
    return rc;
}

int ctl_device_retire(struct ctl *ctl, const struct ctl_args *a)
{
    struct retiring r = {.ctl = ctl, .note = ctl_arg(a, "note")};
    struct ctl_ids ids = {0};
    int rc = ctl_ids_gather(ctl, a, &ids);
    if (rc == CTL_DONE && !ids.n && !ctl_arg(a, "from"))
        rc = ctl_fail(ctl, CTL_USAGE, NULL, "device retire needs ID or --from FILE");
    if (rc == CTL_DONE && ids.n == 0)
        ctl_note(ctl, "nothing to retire");
    if (rc == CTL_DONE && ids.n && !(rc = ctl_fleet_begin(ctl, false, &r.f))) {
        r.id = calloc(ids.n, sizeof *r.id);
        rc = r.id ? retire(&r, &ids) : ctl_fail(ctl, CTL_FAILED, NULL, "out of memory");
    }
    free(r.id);
    ctl_ids_clear(&ids);
    return rc;
}

int ctl_device_history(struct ctl *ctl, const struct ctl_args *a)
{
    struct ctl_fleet f;
    struct store_device d;
    int rc;
    if ((rc = ctl_fleet_begin(ctl, false, &f)) || (rc = ctl_find_device(ctl, &f, a->id[0], &d)))
        return rc;
    return ctl_history(ctl, a, &f, d.id);
}
