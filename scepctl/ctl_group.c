/* scepctl group ... */
#include <string.h>

#include "scepctl/ctl_fleet.h"

static const char *const kind_words[] = {"devices", "users", NULL};

static const struct ctl_column list_columns[] = {
    {"ID", "id", CTL_TEXT, false},         {"NAME", "name", CTL_TEXT, true},
    {"OF", "of", CTL_TEXT, false},         {"NOTE", "note", CTL_TEXT, true},
    {NULL, "created_at", CTL_TIME, false}, {NULL, "created_by", CTL_TEXT, false},
    {NULL, "changed_at", CTL_TIME, false}, {NULL, "changed_by", CTL_TEXT, false},
    {NULL, "version", CTL_NUMBER, false},
};

static const struct ctl_column member_columns[] = {
    {"MEMBER", "member", CTL_TEXT, false},
    {"NAME", "name", CTL_TEXT, true},
    {"SINCE", "at", CTL_TIME, false},
    {"BY", "by", CTL_TEXT, false},
};

#define COLUMNS (sizeof list_columns / sizeof list_columns[0])

static void cells_of(const struct store_group *g, struct ctl_cell out[COLUMNS])
{
    const struct ctl_cell cells[COLUMNS] = {{g->id, 0},
                                            {g->name, 0},
                                            {kind_words[g->users], 0},
                                            {g->note, 0},
                                            {NULL, g->created_at},
                                            {g->created_by, 0},
                                            {NULL, g->changed_at},
                                            {g->changed_by, 0},
                                            {NULL, (int64_t)g->version}};
    memcpy(out, cells, sizeof cells);
}

static void list_one(void *ctx, const struct store_group *g)
{
    struct ctl_cell cells[COLUMNS];
    cells_of(g, cells);
    ctl_listing_row(ctx, cells);
}

static bool list_page(struct ctl_listing *l, struct store_page *page, struct err *err)
{
    return store_group_page(l->ctl->store, ctl_arg(l->args, "search"), page, list_one, l, err);
}

static void member_one(void *ctx, const struct store_tie *t)
{
    struct ctl_listing *l = ctx;
    struct store_device d;
    struct err ignored = {0};
    bool device =
        strncmp(t->held, "dev_", 4) == 0 && store_device_get(l->ctl->store, t->held, &d, &ignored);
    const struct ctl_cell cells[] = {
        {t->held, 0}, {device ? d.name : t->held, 0}, {NULL, t->at}, {t->by, 0}};
    ctl_listing_row(l, cells);
}

static bool member_page(struct ctl_listing *l, struct store_page *page, struct err *err)
{
    const struct store_group *g = l->of;
    return store_group_members(l->ctl->store, g->id, page, member_one, l, err);
}

int ctl_group_list(struct ctl *ctl, const struct ctl_args *a)
{
    struct ctl_listing l = {.ctl = ctl, .args = a};
    int rc;
    if ((rc = ctl_listing_limit(&l)) || (rc = ctl_need_store(ctl)))
        return rc;
    return ctl_listing_show(&l, list_columns, COLUMNS, list_page, "group", "groups");
}

int ctl_group_members(struct ctl *ctl, const struct ctl_args *a)
{
    struct ctl_fleet f;
    struct store_group g;
    struct ctl_listing l = {.ctl = ctl, .args = a, .of = &g};
    int rc;
    if ((rc = ctl_listing_limit(&l)) || (rc = ctl_fleet_begin(ctl, false, &f)) ||
        (rc = ctl_find_group(ctl, &f, a->id[0], &g)))
        return rc;
    return ctl_listing_show(&l, member_columns, sizeof member_columns / sizeof member_columns[0],
                            member_page, "member", "members");
}

/* ---- one group ---- */

struct policies {
    struct ctl *ctl;
    struct ctl_words names;
};

static void one_policy(void *ctx, const struct store_tie *t)
{
    struct policies *all = ctx;
    struct store_policy p;
    struct err ignored = {0};
    bool known = store_policy_get(all->ctl->store, t->holder, &p, &ignored);
    ctl_words_add(&all->names, known ? p.name : t->holder, "");
}

static void show_group(struct ctl_show *s, const struct store_group *g)
{
    struct ctl_cell cells[COLUMNS];
    cells_of(g, cells);
    ctl_show_cells(s, list_columns, COLUMNS, cells);
}

int ctl_group_show(struct ctl *ctl, const struct ctl_args *a)
{
    struct policies all = {.ctl = ctl};
    struct store_page page = {.limit = 100};
    struct ctl_fleet f;
    struct store_group g;
    struct ctl_show s;
    struct err err = {0};
    uint64_t members = 0;
    int rc;
    if ((rc = ctl_fleet_begin(ctl, false, &f)) || (rc = ctl_find_group(ctl, &f, a->id[0], &g)))
        return rc;
    if (!store_group_size(ctl->store, g.id, 0, &members, &err) ||
        !store_group_policies(ctl->store, g.id, &page, one_policy, &all, &err))
        return ctl_fail_err(ctl, &err, NULL);
    ctl_show_start(&s, ctl);
    show_group(&s, &g);
    ctl_show_number(&s, "members", (int64_t)members);
    ctl_show_text(&s, "policies", all.names.text);
    ctl_show_end(&s);
    return CTL_DONE;
}

int ctl_group_new(struct ctl *ctl, const struct ctl_args *a)
{
    struct store_group g = {.users = ctl_arg(a, "users") != NULL};
    struct ctl_fleet f;
    struct ctl_show s;
    struct err err = {0};
    int rc;
    if ((rc = ctl_name_text(ctl, a->id[0], g.name, sizeof g.name)) ||
        (rc = ctl_arg_text(ctl, a, "note", g.note, sizeof g.note)) ||
        (rc = ctl_fleet_begin(ctl, false, &f)))
        return rc;
    if (ctl->dry_run) {
        ctl_note(ctl, "would make group %s", g.name);
        return CTL_DONE;
    }
    if (!fleet_group_new(&f.fleet, &g, &err))
        return ctl_fail_err(ctl, &err, NULL);
    if (ctl_show_made(&s, ctl, g.id)) {
        show_group(&s, &g);
        ctl_show_end(&s);
    }
    ctl_note(ctl, "group %s, of %s  next: scepctl group add %s %s", g.name, kind_words[g.users],
             g.id, g.users ? "USER..." : "DEVICE...");
    return CTL_DONE;
}

int ctl_group_edit(struct ctl *ctl, const struct ctl_args *a)
{
    struct ctl_fleet f;
    struct store_group g;
    struct fleet_effects e = {.dry_run = ctl->dry_run};
    struct err err = {0};
    int rc;
    if ((rc = ctl_fleet_begin(ctl, false, &f)) || (rc = ctl_find_group(ctl, &f, a->id[0], &g)) ||
        (rc = ctl_arg_text(ctl, a, "name", g.name, sizeof g.name)) ||
        (rc = ctl_arg_text(ctl, a, "note", g.note, sizeof g.note)))
        return rc;
    if (!fleet_group_edit(&f.fleet, g.version, &g, &e, &err)) {
        ctl_void_note(ctl, &e); /* somebody else was quicker, after some went */
        return ctl_fail_err(ctl, &err, NULL);
    }
    if (ctl->dry_run)
        ctl_note(ctl, "would change group %s", g.name);
    else
        ctl_note(ctl, "group %s (%s), version %llu", g.name, g.id, (unsigned long long)g.version);
    ctl_void_note(ctl, &e);
    return CTL_DONE;
}

/* ---- what takes something away ---- */

int ctl_group_remove(struct ctl *ctl, const struct ctl_args *a)
{
    struct ctl_taking t;
    struct fleet_effects plan = {.dry_run = true}, done;
    struct fleet_warnings stay = {.n = 0};
    struct ctl_fleet f;
    struct store_group g;
    struct err err = {0};
    char what[120];
    int rc;
    if ((rc = ctl_fleet_begin(ctl, false, &f)) || (rc = ctl_find_group(ctl, &f, a->id[0], &g)))
        return rc;
    if (!fleet_group_remove(&f.fleet, g.id, 0, &plan, &err))
        return ctl_fail_err(ctl, &err, NULL);
    snprintf(what, sizeof what, "remove group %s", g.name);
    ctl_plan_note(ctl, &plan, what, "would lose a policy");
    fleet_outside(&f.fleet, &(struct fleet_leaving){.target = g.id}, &stay);
    ctl_warn(ctl, &stay);
    if (ctl->dry_run)
        return CTL_DONE;
    if ((rc = ctl_effects_confirm(ctl, &plan, "Remove?")))
        return rc;
    done = ctl_taking_begin(&t, ctl, 0);
    bool good = fleet_group_remove(&f.fleet, g.id, 0, &done, &err);
    snprintf(what, sizeof what, "removed group %s", g.name);
    return ctl_taking_end(&t, good ? NULL : &err, &done, what, "lost a policy");
}

/* ---- members ---- */

int ctl_group_add(struct ctl *ctl, const struct ctl_args *a)
{
    struct ctl_fleet f;
    struct store_group g;
    int rc;
    if ((rc = ctl_fleet_begin(ctl, false, &f)) || (rc = ctl_find_group(ctl, &f, a->id[0], &g)))
        return rc;
    for (size_t i = 1; i < a->id_n; i++) {
        struct fleet_effects e = {.dry_run = ctl->dry_run};
        struct err err = {0};
        bool changed = false;
        if (!fleet_member_add(&f.fleet, g.id, 0, a->id[i], &e, &changed, &err))
            return ctl_fail_err(ctl, &err, NULL);
        ctl_note(ctl,
                 !changed       ? "%s is in %s already"
                 : ctl->dry_run ? "would add %s to %s"
                                : "added %s to %s",
                 a->id[i], g.name);
        ctl_void_note(ctl, &e);
    }
    return CTL_DONE;
}

static int drop_one(struct ctl *ctl, const struct ctl_fleet *f, const struct store_group *g,
                    const char *member)
{
    struct ctl_taking t;
    const struct fleet_leaving goes = {.target = g->id, .member = member};
    struct fleet_effects plan = {.dry_run = true}, done;
    struct fleet_warnings stay = {.n = 0};
    struct err err = {0};
    char what[320];
    bool changed;
    int rc;
    if (!fleet_member_remove(&f->fleet, g->id, 0, member, &plan, &changed, &err))
        return ctl_fail_err(ctl, &err, NULL);
    snprintf(what, sizeof what, "take %s out of %s", member, g->name);
    if (ctl->dry_run || plan.devices)
        ctl_plan_note(ctl, &plan, what, "would lose a policy");
    if (changed)
        fleet_outside(&f->fleet, &goes, &stay);
    ctl_warn(ctl, &stay);
    if (ctl->dry_run)
        return CTL_DONE;
    if ((rc = ctl_effects_confirm(ctl, &plan, "Take it out?")))
        return rc;
    done = ctl_taking_begin(&t, ctl, 0);
    bool good = fleet_member_remove(&f->fleet, g->id, 0, member, &done, &changed, &err);
    snprintf(what, sizeof what, good && changed ? "%s is out of %s" : "%s was not in %s", member,
             g->name);
    return ctl_taking_end(&t, good ? NULL : &err, &done, what, "lost a policy");
}

int ctl_group_drop(struct ctl *ctl, const struct ctl_args *a)
{
    struct ctl_fleet f;
    struct store_group g;
    int rc;
    if ((rc = ctl_fleet_begin(ctl, false, &f)) || (rc = ctl_find_group(ctl, &f, a->id[0], &g)))
        return rc;
    ctl_interrupts_watch();
    for (size_t i = 1; i < a->id_n && rc == CTL_DONE; i++)
        rc = drop_one(ctl, &f, &g, a->id[i]);
    return rc;
}

int ctl_group_history(struct ctl *ctl, const struct ctl_args *a)
{
    struct ctl_fleet f;
    struct store_group g;
    int rc;
    if ((rc = ctl_fleet_begin(ctl, false, &f)) || (rc = ctl_find_group(ctl, &f, a->id[0], &g)))
        return rc;
    return ctl_history(ctl, a, &f, g.id);
}
