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

struct listing {
    struct ctl *ctl;
    struct ctl_list *list;
    struct ctl_paging page;
};

static void list_one(void *ctx, const struct store_group *g)
{
    struct listing *l = ctx;
    l->page.shown++;
    const struct ctl_cell cells[] = {{g->id, 0},
                                     {g->name, 0},
                                     {kind_words[g->users], 0},
                                     {g->note, 0},
                                     {NULL, g->created_at},
                                     {g->created_by, 0},
                                     {NULL, g->changed_at},
                                     {g->changed_by, 0},
                                     {NULL, (int64_t)g->version}};
    ctl_list_row(l->list, cells);
}

static void member_one(void *ctx, const struct store_tie *t)
{
    struct listing *l = ctx;
    struct store_device d;
    struct err ignored = {0};
    bool device =
        strncmp(t->held, "dev_", 4) == 0 && store_device_get(l->ctl->store, t->held, &d, &ignored);
    l->page.shown++;
    const struct ctl_cell cells[] = {
        {t->held, 0}, {device ? d.name : t->held, 0}, {NULL, t->at}, {t->by, 0}};
    ctl_list_row(l->list, cells);
}

int ctl_group_list(struct ctl *ctl, const struct ctl_args *a)
{
    struct listing l = {.ctl = ctl};
    struct err err = {0};
    char cursor[STORE_CURSOR_MAX] = "";
    bool good = true;
    int rc;
    if ((rc = ctl_arg_number(ctl, a, "limit", 0, INT32_MAX, 50, &l.page.limit)) ||
        (rc = ctl_need_store(ctl)))
        return rc;
    l.list = ctl_list_new(ctl, list_columns, sizeof list_columns / sizeof list_columns[0]);
    do {
        struct store_page page = {.after = cursor, .limit = ctl_page_size(&l.page)};
        good = store_group_page(ctl->store, ctl_arg(a, "search"), &page, list_one, &l, &err);
        memcpy(cursor, page.next, sizeof page.next);
        l.page.more = good && *cursor;
    } while (l.page.more && ctl_page_size(&l.page) > 0);
    ctl_list_end(l.list);
    if (!good)
        return ctl_fail_err(ctl, &err, NULL);
    ctl_paging_note(ctl, &l.page, "group", "groups");
    return CTL_DONE;
}

int ctl_group_members(struct ctl *ctl, const struct ctl_args *a)
{
    struct listing l = {.ctl = ctl};
    struct ctl_fleet f;
    struct store_group g;
    struct err err = {0};
    char cursor[STORE_CURSOR_MAX] = "";
    bool good = true;
    int rc;
    if ((rc = ctl_arg_number(ctl, a, "limit", 0, INT32_MAX, 50, &l.page.limit)) ||
        (rc = ctl_fleet_begin(ctl, false, &f)) || (rc = ctl_find_group(ctl, &f, a->id[0], &g)))
        return rc;
    l.list = ctl_list_new(ctl, member_columns, sizeof member_columns / sizeof member_columns[0]);
    do {
        struct store_page page = {.after = cursor, .limit = ctl_page_size(&l.page)};
        good = store_group_members(ctl->store, g.id, &page, member_one, &l, &err);
        memcpy(cursor, page.next, sizeof page.next);
        l.page.more = good && *cursor;
    } while (l.page.more && ctl_page_size(&l.page) > 0);
    ctl_list_end(l.list);
    if (!good)
        return ctl_fail_err(ctl, &err, NULL);
    ctl_paging_note(ctl, &l.page, "member", "members");
    return CTL_DONE;
}

/* ---- one group ---- */

struct policies {
    struct ctl *ctl;
    char text[1024];
    size_t n;
};

static void one_policy(void *ctx, const struct store_tie *t)
{
    struct policies *all = ctx;
    struct store_policy p;
    struct err ignored = {0};
    bool known = store_policy_get(all->ctl->store, t->holder, &p, &ignored);
    if (all->n < sizeof all->text)
        all->n += (size_t)snprintf(all->text + all->n, sizeof all->text - all->n, "%s%s",
                                   all->n ? ", " : "", known ? p.name : t->holder);
}

static void show_group(struct ctl_show *s, const struct store_group *g)
{
    ctl_show_text(s, "id", g->id);
    ctl_show_text(s, "name", g->name);
    ctl_show_text(s, "of", kind_words[g->users]);
    ctl_show_text(s, "note", g->note);
    ctl_show_time(s, "created_at", g->created_at);
    ctl_show_text(s, "created_by", g->created_by);
    ctl_show_time(s, "changed_at", g->changed_at);
    ctl_show_text(s, "changed_by", g->changed_by);
    ctl_show_number(s, "version", (int64_t)g->version);
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
    ctl_show_text(&s, "policies", all.text);
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
    if (strlen(a->id[0]) >= sizeof g.name)
        return ctl_fail(ctl, CTL_USAGE, NULL, "the name has %zu octets, %zu at most",
                        strlen(a->id[0]), sizeof g.name - 1);
    memcpy(g.name, a->id[0], strlen(a->id[0]) + 1);
    if ((rc = ctl_arg_text(ctl, a, "note", g.note, sizeof g.note)) ||
        (rc = ctl_fleet_begin(ctl, false, &f)))
        return rc;
    if (ctl->dry_run) {
        ctl_note(ctl, "would make group %s", g.name);
        return CTL_DONE;
    }
    if (!fleet_group_new(&f.fleet, &g, &err))
        return ctl_fail_err(ctl, &err, NULL);
    if (ctl->json || ctl->csv) {
        ctl_show_start(&s, ctl);
        show_group(&s, &g);
        ctl_show_end(&s);
    } else {
        printf("%s\n", g.id);
    }
    ctl_note(ctl, "group %s, of %s  next: scepctl group add %s %s", g.name, kind_words[g.users],
             g.id, g.users ? "USER..." : "DEVICE...");
    return CTL_DONE;
}

int ctl_group_edit(struct ctl *ctl, const struct ctl_args *a)
{
    struct ctl_fleet f;
    struct store_group g;
    struct err err = {0};
    int rc;
    if ((rc = ctl_fleet_begin(ctl, false, &f)) || (rc = ctl_find_group(ctl, &f, a->id[0], &g)) ||
        (rc = ctl_arg_text(ctl, a, "name", g.name, sizeof g.name)) ||
        (rc = ctl_arg_text(ctl, a, "note", g.note, sizeof g.note)))
        return rc;
    if (ctl->dry_run) {
        ctl_note(ctl, "would change group %s", g.name);
        return CTL_DONE;
    }
    if (!fleet_group_edit(&f.fleet, g.version, &g, &err))
        return ctl_fail_err(ctl, &err, NULL);
    ctl_note(ctl, "group %s (%s), version %llu", g.name, g.id, (unsigned long long)g.version);
    return CTL_DONE;
}

/* ---- what takes something away ---- */

struct taking {
    struct ctl *ctl;
    struct ctl_progress progress;
};

static bool step(void *ctx, const struct fleet_effects *e)
{
    struct taking *t = ctx;
    ctl_progress_show(&t->progress, e->certificates + e->requests + e->challenges, 0);
    return !ctl_interrupted();
}

static int tell_end(struct taking *t, const struct fleet_effects *e, const char *lost,
                    const char *what)
{
    char text[400];
    ctl_progress_end(&t->progress);
    ctl_effects_text(e, lost, text, sizeof text);
    if (e->stopped)
        return ctl_fail(t->ctl, CTL_INTERRUPTED, "the same command goes on", "interrupted: %s",
                        text);
    ctl_note(t->ctl, "%s: %s", what, text);
    return CTL_DONE;
}

int ctl_group_remove(struct ctl *ctl, const struct ctl_args *a)
{
    struct taking t = {.ctl = ctl};
    struct fleet_effects plan = {.dry_run = true}, done = {.step = step, .ctx = &t};
    struct ctl_fleet f;
    struct store_group g;
    struct err err = {0};
    char text[400], what[120];
    int rc;
    if ((rc = ctl_fleet_begin(ctl, false, &f)) || (rc = ctl_find_group(ctl, &f, a->id[0], &g)))
        return rc;
    if (!fleet_group_remove(&f.fleet, g.id, 0, &plan, &err))
        return ctl_fail_err(ctl, &err, NULL);
    ctl_effects_text(&plan, "would lose a policy", text, sizeof text);
    ctl_note(ctl, "%sremove group %s: %s", ctl->dry_run ? "would " : "to ", g.name, text);
    if (ctl->dry_run)
        return CTL_DONE;
    if ((rc = ctl_effects_confirm(ctl, &plan, "Remove?")))
        return rc;
    ctl_interrupts_watch();
    t.progress = ctl_progress_start(ctl, "taken back");
    if (!fleet_group_remove(&f.fleet, g.id, 0, &done, &err)) {
        ctl_progress_end(&t.progress);
        return ctl_fail_err(ctl, &err, NULL);
    }
    snprintf(what, sizeof what, "removed group %s", g.name);
    return tell_end(&t, &done, "lost a policy", what);
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
        struct err err = {0};
        bool changed = false;
        if (ctl->dry_run) {
            ctl_note(ctl, "would add %s to %s", a->id[i], g.name);
            continue;
        }
        if (!fleet_member_add(&f.fleet, g.id, 0, a->id[i], &changed, &err))
            return ctl_fail_err(ctl, &err, NULL);
        ctl_note(ctl, changed ? "added %s to %s" : "%s is in %s already", a->id[i], g.name);
    }
    return CTL_DONE;
}

static int drop_one(struct ctl *ctl, const struct ctl_fleet *f, const struct store_group *g,
                    const char *member)
{
    struct taking t = {.ctl = ctl};
    struct fleet_effects plan = {.dry_run = true}, done = {.step = step, .ctx = &t};
    struct err err = {0};
    char text[400], what[320];
    bool changed;
    int rc;
    if (!fleet_member_remove(&f->fleet, g->id, 0, member, &plan, &changed, &err))
        return ctl_fail_err(ctl, &err, NULL);
    ctl_effects_text(&plan, "would lose a policy", text, sizeof text);
    if (ctl->dry_run || plan.devices)
        ctl_note(ctl, "%stake %s out of %s: %s", ctl->dry_run ? "would " : "to ", member, g->name,
                 text);
    if (ctl->dry_run)
        return CTL_DONE;
    if ((rc = ctl_effects_confirm(ctl, &plan, "Take it out?")))
        return rc;
    t.progress = ctl_progress_start(ctl, "taken back");
    if (!fleet_member_remove(&f->fleet, g->id, 0, member, &done, &changed, &err)) {
        ctl_progress_end(&t.progress);
        return ctl_fail_err(ctl, &err, NULL);
    }
    snprintf(what, sizeof what, changed ? "%s is out of %s" : "%s was not in %s", member, g->name);
    return tell_end(&t, &done, "lost a policy", what);
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
