/* The life of all authorities of a configuration: what is due is done, told and recorded. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "config_internal.h"

/* One authority: each step changes what comes next; never so many in one go. */
#define MAX_STEPS 64

/* ---- the audit log ---- */

struct recorder {
    const struct config *config;
    struct store *store;   /* NULL: opened when there is something to record */
    struct store *own;     /* owned */
    const struct log *log; /* NULL: not told */
    const char *authority;
};

static void tell(const struct recorder *r, const struct tend_event *e)
{
    struct log_line l;
    if (!r->log)
        return;
    log_begin(&l, r->log, LOG_LEVEL_NOTICE, e->event);
    log_str(&l, "authority", r->authority);
    log_str(&l, "by", e->actor);
    log_end(&l, "%s", e->text);
}

static bool need_store(struct recorder *r, struct err *err)
{
    struct store_options o = {.path = r->config->store_path, .map_size = r->config->map_size};
    if (r->store)
        return true;
    if (!store_open(&o, &r->own, err))
        return false;
    r->store = r->own;
    return true;
}

static bool record(void *ctx, const struct tend_event *e, struct err *err)
{
    struct recorder *r = ctx;
    struct store_audit a = {.at = e->at};
    struct store_write *w = NULL;
    snprintf(a.event, sizeof a.event, "%s", e->event);
    snprintf(a.actor, sizeof a.actor, "%s", e->actor);
    snprintf(a.object, sizeof a.object, "%s", r->authority);
    snprintf(a.text, sizeof a.text, "%s", e->text);
    if (!need_store(r, err) || !store_write_begin(r->store, &w, err))
        return false;
    if (!store_audit_put(w, &a, err)) {
        store_write_abort(w);
        return false;
    }
    if (!store_write_commit(w, err))
        return false;
    tell(r, e);
    return true;
}

bool config_tend_record(const struct config *c, size_t authority, struct store *store,
                        const struct log *log, struct err *err)
{
    struct family_files files;
    struct tend_rules rules;
    struct recorder r = {
        .config = c, .store = store, .log = log, .authority = c->authority[authority].name};
    config_tend_setup(c, authority, &files, &rules);
    bool ok = tend_record(&files, record, &r, err);
    store_close(r.own);
    return ok;
}

/* ---- doing ---- */

static bool clock_believed(const struct config *c, int64_t now, struct err *err)
{
    struct recorder r = {.config = c};
    bool ok = need_store(&r, err) && config_clock_believed(r.own, now, err);
    store_close(r.own);
    return ok;
}

/* What cannot be taken back waits when the clock may be wrong; all else is done. */
static void plan_step(const struct config *c, const struct family *f, const struct tend *t,
                      struct tend_rules *rules, struct tend_step *step, struct err *doubt)
{
    tend_plan_automatic(f, rules, t->now, step);
    if (step->at > t->now || tend_can_be_taken_back(step->what) || clock_believed(c, t->now, doubt))
        return;
    rules->clock_doubted = true;
    tend_plan_automatic(f, rules, t->now, step);
}

static bool step_once(const struct config *c, const struct tend *t, struct tend_rules *rules,
                      bool *done, struct err *doubt, struct err *err)
{
    struct family *f = NULL;
    struct tend_step step;
    if (!family_load(t->files, FAMILY_LOOK, NULL, 0, NULL, &f, err))
        return false;
    plan_step(c, f, t, rules, &step, doubt);
    family_free(f);
    *done = step.at > t->now;
    return *done || tend_do(t, &step, err);
}

static bool tend_one(const struct config *c, size_t authority, int64_t now, bool *changed,
                     struct err *err)
{
    struct family_files files;
    struct tend_rules rules;
    struct tend t = {.files = &files, .rules = &rules, .actor = "scepd", .now = now};
    struct err doubt = {0};
    bool ok = true, done = false;
    config_tend_setup(c, authority, &files, &rules);
    files.now = now;
    for (int i = 0; ok && !done && i < MAX_STEPS; i++) {
        ok = step_once(c, &t, &rules, &done, &doubt, err);
        *changed |= ok && !done;
    }
    if (ok && rules.clock_doubted) {
        *err = doubt;
        ok = false;
    }
    return ok || err_prefix(err, "authority \"%s\"", c->authority[authority].name);
}

/* A change that cannot be recorded now stays noted beside the keys, and is recorded another time.
 */
static void record_or_tell(const struct config *c, size_t authority, const struct log *log)
{
    struct err err = {0};
    if (!config_tend_record(c, authority, NULL, log, &err) && log)
        log_event(log, LOG_LEVEL_WARNING, "authority.unrecorded",
                  "a change of authority \"%s\" is not in the audit log yet: %s",
                  c->authority[authority].name, err.text);
}

bool config_tend(const struct config *c, int64_t now, const struct log *log, bool *changed,
                 struct err *err)
{
    bool ok = true;
    *changed = false;
    for (size_t i = 0; i < c->authority_n; i++) {
        struct err why = {0};
        bool one = tend_one(c, i, now, changed, &why);
        record_or_tell(c, i, log);
        if (!one && log)
            log_event(log, LOG_LEVEL_ERROR, "authority.untended", "%s", why.text);
        if (!one && ok)
            *err = why;
        ok = ok && one;
    }
    return ok;
}

/* ---- the years ahead ---- */

static void warn_missing(const struct config_authority *a, int64_t missing, config_complain warn,
                         void *ctx)
{
    char text[400];
    snprintf(
        text, sizeof text,
        "authority \"%s\": the next CA takes over up to %lld days too late for the longest "
        "template: certificates issued before are shorter; give its certificate a longer life, or "
        "the template a shorter validity",
        a->name, (long long)((missing + 86399) / 86400));
    warn(ctx, text);
}

static void warn_by_hand(const struct config_authority *a, const struct family *f,
                         const struct tend_step *step, config_complain warn, void *ctx)
{
    char text[400], when[32];
    text_time(step->at, when);
    if (step->what == TEND_RENEW_RA)
        snprintf(text, sizeof text,
                 "authority \"%s\": an RA certificate is to be renewed by %s, and ra_automatic is "
                 "false: scepctl ca rollover new --ra %s",
                 a->name, when, a->name);
    else
        snprintf(
            text, sizeof text,
            "authority \"%s\": the next CA is to be made by %s, and not by itself (%s): scepctl "
            "ca rollover new %s",
            a->name, when,
            !a->rollover_automatic ? "rollover.automatic is false"
            : f->current->chain_n  ? "the CA above has its key elsewhere, or ends too soon"
                                   : "its key is missing",
            a->name);
    warn(ctx, text);
}

bool config_tend_due(const struct config *c, int64_t now)
{
    bool due = false;
    for (size_t i = 0; i < c->authority_n; i++) {
        struct family_files files;
        struct tend_rules rules;
        struct tend_step step;
        struct family *f = NULL;
        struct err ignored = {0};
        if (!config_family_look(c, i, &f, &ignored))
            return false;
        config_tend_setup(c, i, &files, &rules);
        tend_plan_automatic(f, &rules, now, &step);
        due |= step.at <= now && step.what != TEND_RENEW_OCSP; /* nothing fails for want of one */
        family_free(f);
    }
    return due;
}

void config_tend_warn(const struct config *c, int64_t now, config_complain warn, void *ctx)
{
    for (size_t i = 0; i < c->authority_n; i++) {
        struct family_files files;
        struct tend_rules rules;
        struct tend_step step;
        struct family *f = NULL;
        struct err ignored = {0};
        if (!config_family_look(c, i, &f, &ignored))
            continue; /* loading says why */
        config_tend_setup(c, i, &files, &rules);
        int64_t missing = tend_missing(f, &rules);
        if (missing > 0)
            warn_missing(&c->authority[i], missing, warn, ctx);
        tend_plan(f, &rules, now, &step);
        if (step.by_hand && step.at <= now)
            warn_by_hand(&c->authority[i], f, &step, warn, ctx);
        family_free(f);
    }
}
