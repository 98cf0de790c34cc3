/* scepctl store ... and audit ... */
#include <stdio.h>

#include "scepd/ctl.h"

int ctl_store_stats(struct ctl *ctl, const struct ctl_args *a)
{
    struct store_stats st;
    struct err err = {0};
    struct ctl_show s;
    int rc = ctl_need_store(ctl);
    if (rc)
        return rc;
    if (!store_stats(ctl->store, &st, &err))
        return ctl_fail_err(ctl, &err, NULL);
    ctl_show_start(&s, ctl);
    ctl_show_text(&s, "path", ctl->config->store_path);
    ctl_show_number(&s, "certificates", (int64_t)st.certificates);
    ctl_show_number(&s, "revoked", (int64_t)st.revoked);
    ctl_show_number(&s, "challenges", (int64_t)st.challenges);
    ctl_show_number(&s, "transactions", (int64_t)st.transactions);
    ctl_show_number(&s, "pending", (int64_t)st.pending);
    ctl_show_number(&s, "audit_entries", (int64_t)st.audit_entries);
    ctl_show_number(&s, "attempts", (int64_t)st.attempts);
    ctl_show_number(&s, "used_bytes", (int64_t)st.used_bytes);
    ctl_show_number(&s, "limit_bytes", (int64_t)st.map_bytes);
    ctl_show_number(&s, "file_bytes", (int64_t)st.file_bytes);
    ctl_show_number(&s, "free_disk_bytes", (int64_t)st.free_disk_bytes);
    ctl_show_end(&s);
    return CTL_DONE;
}

static const struct ctl_column problem_columns[] = {{"PROBLEM", "problem", CTL_TEXT, false}};

static void tell_problem(void *ctx, const struct store_problem *p)
{
    struct ctl_list *l = ctx;
    const struct ctl_cell cell = {p->text, 0};
    ctl_list_row(l, &cell);
}

int ctl_store_verify(struct ctl *ctl, const struct ctl_args *a)
{
    uint64_t problems = 0;
    struct err err = {0};
    int rc = ctl_need_store(ctl);
    if (rc)
        return rc;
    struct ctl_list *l = ctl_list_new(ctl, problem_columns, 1);
    bool good = store_verify(ctl->store, tell_problem, l, &problems, &err);
    ctl_list_end(l);
    if (!good)
        return ctl_fail_err(ctl, &err, NULL);
    ctl_note(ctl,
             problems ? "%llu problems" : "records, indexes and audit log agree (%llu problems)",
             (unsigned long long)problems);
    return problems ? CTL_PROBLEMS : CTL_DONE;
}

static const struct ctl_column audit_columns[] = {
    {"NUMBER", "seq", CTL_NUMBER, false}, {"TIME", "at", CTL_TIME, false},
    {"EVENT", "event", CTL_TEXT, false},  {"ACTOR", "actor", CTL_TEXT, false},
    {"OBJECT", "object", CTL_ID, false},  {"TEXT", "text", CTL_TEXT, true},
};

struct listing {
    struct ctl_list *list;
    int64_t limit;
    uint64_t shown;
    bool more;
};

static bool list_one(void *ctx, const struct store_audit *e)
{
    struct listing *l = ctx;
    if (l->limit && l->shown == (uint64_t)l->limit) {
        l->more = true;
        return false;
    }
    l->shown++;
    const struct ctl_cell cells[] = {{NULL, (int64_t)e->seq}, {NULL, e->at},  {e->event, 0},
                                     {e->actor, 0},           {e->object, 0}, {e->text, 0}};
    ctl_list_row(l->list, cells);
    return true;
}

int ctl_audit_list(struct ctl *ctl, const struct ctl_args *a)
{
    struct listing l = {0};
    struct store_stats st;
    struct err err = {0};
    int64_t from;
    int rc;
    if ((rc = ctl_arg_number(ctl, a, "limit", 0, INT32_MAX, 50, &l.limit)) ||
        (rc = ctl_arg_number(ctl, a, "from", 0, INT64_MAX, -1, &from)) ||
        (rc = ctl_need_store(ctl)))
        return rc;
    if (!store_stats(ctl->store, &st, &err))
        return ctl_fail_err(ctl, &err, NULL);
    if (from < 0) /* the newest ones, in their order */
        from = l.limit && (int64_t)st.audit_entries > l.limit
                   ? (int64_t)st.audit_entries - l.limit + 1
                   : 1;
    l.list = ctl_list_new(ctl, audit_columns, sizeof audit_columns / sizeof audit_columns[0]);
    bool good = store_audit_list(ctl->store, (uint64_t)from, list_one, &l, &err);
    ctl_list_end(l.list);
    if (!good)
        return ctl_fail_err(ctl, &err, NULL);
    ctl_note(ctl, "%llu of %llu entries%s", (unsigned long long)l.shown,
             (unsigned long long)st.audit_entries,
             l.more ? "; --from and --limit show others" : "");
    return CTL_DONE;
}
