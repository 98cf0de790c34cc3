/* /bulk makes a job of one thing done to many; /jobs tells how far each is.  They are run by
 * api_jobs_step, item by item. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api_internal.h"
#include "base/json.h"
#include "base/memory.h"
#include "bulk.h"
#include "enroll/audit.h"
#include "enroll/token.h"

#define STEP_ITEMS 20 /* between two notes of how far it is */
#define KEPT_SECONDS (30 * INT64_C(86400))

static const char *const state_words[] = {"running", "stopped", "done", NULL};

/* ---- as JSON ---- */

static json_t *job_json(const struct store_job *j)
{
    json_t *o = json_object();
    bool ok =
        api_set_text(o, "id", j->id) && api_set(o, "etag", api_json_etag(j->version)) &&
        api_set_text(o, "state", state_words[j->state]) && api_set_text(o, "action", j->action) &&
        api_set_int(o, "total", (int64_t)j->total) && api_set_int(o, "done", (int64_t)j->done) &&
        api_set_int(o, "failed", (int64_t)j->failed) && api_set_text(o, "failure", j->failure) &&
        api_set_time(o, "created_at", j->created_at) &&
        api_set_text(o, "created_by", j->created_by) &&
        api_set_time(o, "changed_at", j->changed_at) &&
        api_set_text(o, "changed_by", j->changed_by);
    return api_made(o, ok);
}

#define JOB_MEMBERS(required)                                                           \
    TEXT("id", required, "Begins with job_."),                                          \
        TEXT("etag", required, "For If-Match; progress does not change it."),           \
        WORD("state", required, state_words, "Running: or it waits for its turn."),     \
        WORD("action", required, bulk_actions, "What is done."),                        \
        NUMBER("total", required, "Items that it is about."),                           \
        NUMBER("done", required, "Those that were looked at."),                         \
        NUMBER("failed", required, "Those of them that could not be done."),            \
        TEXT("failure", (required) | API_NULLABLE, "Why the last of these could not."), \
        TIME("created_at", required, "When it was made."),                              \
        TEXT("created_by", required, "In whose name it is done."),                      \
        TIME("changed_at", required, "When it went on last."),                          \
        TEXT("changed_by", (required) | API_NULLABLE, "Who stopped it or let it go on.")

static const struct api_member job_members[] = {JOB_MEMBERS(API_REQUIRED), API_SHAPE("Job")};

/* ---- making one ---- */

static const struct api_member filter_members[] = {
    TEXT("q", API_NULLABLE, "As in the list of certificates or devices."),
    TEXT("state", API_NULLABLE, "Of certificates, devices or requests, as the action is about."),
    TEXT("endpoint", API_NULLABLE, "Of certificates and requests."),
    TEXT("template", API_NULLABLE, "Of certificates."),
    TEXT("device", API_NULLABLE, "Id; of certificates and requests."),
    TEXT("policy", API_NULLABLE, "Id."),
    TEXT("platform", API_NULLABLE, "Of devices."),
    TEXT("user", API_NULLABLE, "Of devices."),
    TEXT("group", API_NULLABLE, "Id; of devices."),
    {0},
};

static const struct api_member bulk_body[] = {
    WORD("action", API_REQUIRED, bulk_actions, "What is done to each."),
    THING("filter", 0, filter_members,
          "Which ones, as lists are filtered; an empty one means all of them: pending requests, "
          "certificates that are neither revoked nor expired."),
    {"ids", API_STRING, API_ARRAY, 1, STORE_JOB_ITEM - 1, NULL, NULL,
     "Which ones, by name, in place of a filter.", 10000},
    {"expect", API_INTEGER, API_NULLABLE, 1, STORE_JOB_ITEMS, NULL, NULL,
     "How many that are, as a dry run said; nothing is done when it is another number.", 0},
    FLAG("dry_run", 0, "Tells how many there are, and does nothing."),
    WORD("reason", 0, crl_reasons_given, "With revoke."),
    {"policy", API_STRING, API_NULLABLE, 1, 63, NULL, NULL,
     "With assign and unassign: its id or name.", 0},
    NOTE,
    {0},
};

static const struct api_member bulk_answer[] = {
    NUMBER("matched", API_REQUIRED, "How many it is about."),
    TEXT("sample", API_REQUIRED | API_ARRAY, "The first of them."),
    TEXT("warnings", API_REQUIRED | API_ARRAY, API_STAY_HELP),
    THING("job", NULLABLE, job_members, "That was made; null after a dry run."),
    API_SHAPE("BulkAnswer"),
};

static bool check_bulk(struct api_call *c, enum bulk_action action, struct store_policy *p)
{
    struct fleet f = api_fleet(c);
    struct err why = {0};
    bool gives = action == BULK_ASSIGN || action == BULK_UNASSIGN;
    if (api_has(c, "ids") == api_has(c, "filter"))
        api_fault(c, "/filter", "input.invalid", "give either ids or a filter");
    bulk_check_filter(c, action);
    if (gives && !api_string(c, "policy"))
        api_fault(c, "/policy", "input.invalid", "which policy?");
    else if (gives && !fleet_policy_get(&f, api_string(c, "policy"), p, &why))
        api_fault(c, "/policy", "not_found", "there is no such policy");
    if (!api_bool(c, "dry_run", false) && api_int(c, "expect", 0) == 0)
        api_fault(c, "/expect", "input.invalid", "how many do you expect?  A dry run tells");
    return !api_faulty(c);
}

/* `policy`: its id, since a name may be another's when the job runs. */
static bool fill_job(const struct api_call *c, enum bulk_action action, const char *policy,
                     uint64_t n, struct store_job *j, struct err *err)
{
    struct buf text = {0};
    *j = (struct store_job){
        .total = n, .created_at = api_now(c), .changed_at = api_now(c), .version = 1};
    json_t *o =
        json_pack("{s:i,s:s,s:s}", "reason", (int)crl_reason_given(api_enum(c, "reason", 0)),
                  "note", api_string(c, "note") ? api_string(c, "note") : "", "policy", policy);
    bool ok = whole_json_write(o, true, &text) && text.n < sizeof j->parameters;
    if (ok)
        snprintf(j->parameters, sizeof j->parameters, "%.*s", (int)text.n, (char *)text.p);
    buf_clear(&text);
    snprintf(j->action, sizeof j->action, "%s", bulk_actions[action]);
    snprintf(j->created_by, sizeof j->created_by, "%s", api_by(c));
    return (ok || err_memory(err)) && token_id("job_", j->id, err);
}

static bool put_job(struct api_call *c, const struct store_job *j, struct view items,
                    struct err *err)
{
    struct store_write *w = NULL;
    struct store_audit audit;
    uint64_t purged;
    audit_fill(&audit, api_now(c), "job.created", api_by(c), j->id, "%s of %llu", j->action,
               (unsigned long long)j->total);
    if (!store_write_begin(c->world->store, &w, err))
        return false;
    if (store_job_put(w, j, items, err) && store_audit_put(w, &audit, err) &&
        store_job_purge(w, api_now(c) - KEPT_SECONDS, &purged, err))
        return store_write_commit(w, err);
    store_write_abort(w);
    return false;
}

/* `stay`: what would be, or is, out of the job's reach. */
static bool reply_bulk(struct api_call *c, struct bulk_choice *b, const struct fleet_warnings *stay,
                       const struct store_job *j)
{
    json_t *o = json_object();
    bool ok = api_set_int(o, "matched", (int64_t)b->n) &&
              api_set(o, "sample", json_incref(b->sample)) && api_set_warnings(o, stay) &&
              api_set(o, "job", j ? job_json(j) : json_null());
    if (j)
        api_reply_header(c, "Location", "%s/jobs/%s", API_ROOT, j->id);
    api_reply_json(c, j ? 202 : 200, api_made(o, ok));
    return true;
}

static bool start(struct api_call *c, enum bulk_action action, const char *policy,
                  struct bulk_choice *b, struct err *err)
{
    struct fleet_warnings stay = {.n = 0};
    struct store_job j;
    if (b->too_many)
        return err_set(err, ERR_CONFIG, "more than %d at once: narrow the filter", STORE_JOB_ITEMS);
    if (api_bool(c, "dry_run", false)) {
        bulk_outside(c, action, policy, b, &stay);
        return reply_bulk(c, b, &stay, NULL);
    }
    if (b->n != (uint64_t)api_int(c, "expect", 0))
        return err_set(err, ERR_CONFLICT,
                       "there are %llu, and %lld were expected: nothing was done",
                       (unsigned long long)b->n, (long long)api_int(c, "expect", 0));
    bulk_outside(c, action, policy, b, &stay);
    return fill_job(c, action, policy, b->n, &j, err) && put_job(c, &j, buf_view(&b->names), err) &&
           reply_bulk(c, b, &stay, &j);
}

static bool bulk(struct api_call *c, struct err *err)
{
    enum bulk_action action = (enum bulk_action)api_enum(c, "action", 0);
    struct store_policy p = {.id = ""};
    struct bulk_choice choice;
    if (!check_bulk(c, action, &p))
        return true;
    bool ok = bulk_choose(c, action, &choice, err) && start(c, action, p.id, &choice, err);
    bulk_choice_clear(&choice);
    return ok;
}

/* ---- telling of them ---- */

/* Those of a page, and one more that tells whether there is a next. */
struct jobs {
    struct store_job *job;
    size_t n, cap, oldest;  /* oldest: its place, when they are `cap` */
    struct store_job after; /* id "": from the newest on */
};

static int newest_first(const void *a, const void *b)
{
    const struct store_job *x = a, *y = b;
    return x->created_at != y->created_at ? x->created_at < y->created_at ? 1 : -1
                                          : strcmp(x->id, y->id);
}

static void find_oldest(struct jobs *all)
{
    all->oldest = 0;
    for (size_t i = 1; i < all->n; i++)
        if (newest_first(&all->job[all->oldest], &all->job[i]) < 0)
            all->oldest = i;
}

/* They come in the order of ids: the newest behind `after` are kept. */
static bool take_job(void *ctx, const struct store_job *j)
{
    struct jobs *all = ctx;
    if (all->after.id[0] && newest_first(&all->after, j) >= 0)
        return true;
    if (all->n < all->cap)
        all->job[all->n++] = *j;
    else if (newest_first(j, &all->job[all->oldest]) < 0)
        all->job[all->oldest] = *j;
    else
        return true;
    if (all->n == all->cap)
        find_oldest(all);
    return true;
}

/* "1800000000.job_4h7t2m": the last one that was told. */
static bool read_cursor(struct api_call *c, struct store_job *after)
{
    long long at = 0;
    int n = 0;
    bool good =
        !c->cursor[0] ||
        (sscanf(c->cursor, "%19lld.%31[a-z0-9_]%n", &at, after->id, &n) == 2 && !c->cursor[n]);
    after->created_at = at;
    if (!good)
        api_cursor_unknown(c);
    return good;
}

static bool list(struct api_call *c, struct err *err)
{
    struct jobs all = {.cap = (size_t)c->limit + 1};
    char cursor[64];
    if (!read_cursor(c, &all.after))
        return true;
    all.job = calloc(all.cap, sizeof *all.job);
    if (!all.job)
        return err_memory(err);
    bool ok = store_job_list(c->world->store, take_job, &all, err);
    if (ok) {
        qsort(all.job, all.n, sizeof *all.job, newest_first);
        for (size_t i = 0; i < all.n; i++) {
            snprintf(cursor, sizeof cursor, "%lld.%s", (long long)all.job[i].created_at,
                     all.job[i].id);
            api_list_add(c, job_json(&all.job[i]), cursor);
        }
        api_list_reply(c);
    }
    free(all.job);
    return ok;
}

static bool show(struct api_call *c, struct err *err)
{
    struct store_job j;
    if (!store_job_get(c->world->store, api_param(c, "job"), &j, err))
        return false;
    api_reply_json(c, 200, job_json(&j)); /* its progress is no version */
    return true;
}

static bool change_in(struct api_call *c, struct store_write *w, const struct store_job *seen,
                      enum job_state to, struct store_job *out, struct err *err)
{
    struct store_audit audit;
    enum job_state from = to == JOB_STOPPED ? JOB_RUNNING : JOB_STOPPED;
    if (!store_write_job_get(w, seen->id, out, err))
        return false;
    if (out->state != from)
        return err_set(err, ERR_CONFLICT, "job %s is %s", out->id, state_words[out->state]);
    if (out->version != seen->version)
        return err_set(err, ERR_CONFLICT, "job %s was changed meanwhile", out->id);
    out->state = to;
    out->version++;
    out->changed_at = api_now(c);
    snprintf(out->changed_by, sizeof out->changed_by, "%s", api_by(c));
    audit_fill(&audit, api_now(c), to == JOB_STOPPED ? "job.stopped" : "job.resumed", api_by(c),
               out->id, "%llu of %llu done", (unsigned long long)out->done,
               (unsigned long long)out->total);
    return store_job_replace(w, out, from, err) && store_audit_put(w, &audit, err);
}

static bool change(struct api_call *c, enum job_state to, struct err *err)
{
    struct store_job seen, j;
    struct store_write *w = NULL;
    if (!store_job_get(c->world->store, api_param(c, "job"), &seen, err))
        return false;
    if (!api_match(c, seen.version, job_json(&seen)))
        return true;
    if (!store_write_begin(c->world->store, &w, err))
        return false;
    if (!change_in(c, w, &seen, to, &j, err)) {
        store_write_abort(w);
        return false;
    }
    if (!store_write_commit(w, err))
        return false;
    api_reply_item(c, job_json(&j), j.version, NULL);
    return true;
}

static bool stop(struct api_call *c, struct err *err)
{
    return change(c, JOB_STOPPED, err);
}

static bool resume(struct api_call *c, struct err *err)
{
    return change(c, JOB_RUNNING, err);
}

/* ---- running ---- */

static bool oldest_running(void *ctx, const struct store_job *j)
{
    struct store_job *found = ctx;
    if (j->state == JOB_RUNNING && (!found->id[0] || j->created_at < found->created_at))
        *found = *j;
    return true;
}

static bool act_of(const struct api_world *w, const struct store_job *j, int64_t now,
                   const json_t *parameters, struct bulk_act *out)
{
    const char *note = json_string_value(json_object_get(parameters, "note"));
    const char *policy = json_string_value(json_object_get(parameters, "policy"));
    *out = (struct bulk_act){
        .note = note ? note : "",
        .policy = policy ? policy : "",
        .reason = (enum crl_reason)json_integer_value(json_object_get(parameters, "reason")),
        .fleet = {.store = w->store,
                  .config = w->config,
                  .key = &w->rooms->challenge_key,
                  .actor = j->created_by,
                  .now = now}};
    for (int i = 0; bulk_actions[i]; i++)
        if (strcmp(bulk_actions[i], j->action) == 0) {
            out->action = (enum bulk_action)i;
            return true;
        }
    return false;
}

/* What cannot be done to one item does not keep the others waiting; what is no fault of the item
 * does. */
static bool is_of_item(const struct err *err)
{
    return err->kind == ERR_NOT_FOUND || err->kind == ERR_CONFLICT || err->kind == ERR_EXISTS ||
           err->kind == ERR_REFUSED || err->kind == ERR_CONFIG;
}

static bool note_progress(struct store *s, struct store_job *j, int64_t now, struct err *err)
{
    struct store_write *w = NULL;
    struct store_audit audit;
    if (j->done >= j->total)
        j->state = JOB_DONE;
    j->changed_at = now;
    audit_fill(&audit, now, "job.done", j->created_by, j->id,
               "%s of %llu, of which %llu could not be done", j->action,
               (unsigned long long)j->total, (unsigned long long)j->failed);
    if (!store_write_begin(s, &w, err))
        return false;
    if (store_job_replace(w, j, JOB_RUNNING, err) &&
        (j->state != JOB_DONE || store_audit_put(w, &audit, err)))
        return store_write_commit(w, err);
    store_write_abort(w);
    return false;
}

static bool run_items(const struct api_world *w, struct store_job *j, int64_t now, struct err *err)
{
    char item[STEP_ITEMS][STORE_JOB_ITEM];
    json_error_t where;
    memory_forget();
    json_t *parameters = whole_json_read(view_str(j->parameters), &where);
    struct bulk_act act;
    size_t n = 0;
    bool known = act_of(w, j, now, parameters, &act);
    bool ok = store_job_items(w->store, j->id, j->done, item, STEP_ITEMS, &n, err);
    if (memory_failed()) /* what is to be done may have lost its reason */
        ok = err_memory(err);
    for (size_t i = 0; ok && i < n; i++) {
        struct err why = {0};
        if (known ? bulk_do(&act, item[i], &why)
                  : err_set(&why, ERR_CONFIG, "this version knows no such action")) {
            j->done++;
        } else if (is_of_item(&why) && !memory_failed()) {
            j->done++;
            j->failed++;
            snprintf(j->failure, sizeof j->failure, "%.90s: %.220s", item[i], why.text);
        } else {
            *err = why;
            ok = false;
        }
    }
    if (ok && n == 0)
        j->done = j->total;
    json_decref(parameters);
    return ok;
}

bool api_jobs_step(const struct api_world *w, int64_t now, bool *more, struct err *err)
{
    struct store_job j = {.id = ""};
    struct err why = {0};
    *more = false;
    if (!store_job_list(w->store, oldest_running, &j, err))
        return false;
    if (!j.id[0])
        return true;
    uint64_t had = j.done;
    bool ok = run_items(w, &j, now, err);
    if ((ok || j.done > had) && !note_progress(w->store, &j, now, &why) &&
        why.kind != ERR_CONFLICT) {
        *err = why;
        ok = false;
    }
    *more = ok;
    return ok;
}

const struct api_route api_routes_jobs[] = {
    {HTTP_POST, "/bulk", ROLE_ADMINISTRATOR, "bulk",
     "Does one thing to many, as a job; with dry_run it tells to how many.", NULL, bulk_body,
     bulk_answer, API_LARGE | API_ACCEPTED, NULL, bulk},
    {HTTP_GET, "/jobs", ROLE_AUDITOR, "job_list", "Jobs of the last 30 days, newest first.", NULL,
     NULL, job_members, API_LIST, NULL, list},
    {HTTP_GET, "/jobs/{job}", ROLE_AUDITOR, "job_show", "One job, and how far it is.", NULL, NULL,
     job_members, 0, NULL, show},
    {HTTP_POST, "/jobs/{job}/stop", ROLE_ADMINISTRATOR, "job_stop",
     "It stops behind the items under way.", NULL, NULL, job_members, API_CONDITIONAL, NULL, stop},
    {HTTP_POST, "/jobs/{job}/resume", ROLE_ADMINISTRATOR, "job_resume",
     "It goes on where it was stopped.", NULL, NULL, job_members, API_CONDITIONAL, NULL, resume},
    {0},
};
