/* scepctl store stats and verify; the other verbs of the noun are in ctl_backup.c. */
#include <stdio.h>

#include "scepctl/ctl.h"

int ctl_store_stats(struct ctl *ctl, const struct ctl_args *a)
{
    struct store_stats st;
    struct err err = {0};
    struct ctl_show s;
    int64_t backup;
    int rc = ctl_need_store(ctl);
    if (rc)
        return rc;
    if (!store_stats(ctl->store, &st, &err) || !store_backup_last(ctl->store, &backup, &err))
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
    ctl_show_time(&s, "backup_last_success", backup);
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
