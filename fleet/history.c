/* What happened to a device, group or policy: attempts and audit entries, merged by time. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fleet_internal.h"

#define AT_ONCE 32 /* records of each kind in memory */

struct attempts {
    struct store_attempt *record; /* AT_ONCE */
    size_t n, at;
    uint64_t cursor; /* of the last one that was read; 0: from the newest */
    bool ended;
};

struct audits {
    struct store_audit *record;
    size_t n, at;
    uint64_t cursor;
    bool ended;
};

static void keep_attempt(void *ctx, const struct store_attempt *a)
{
    struct attempts *s = ctx;
    s->record[s->n++] = *a;
}

static void keep_audit(void *ctx, const struct store_audit *a)
{
    struct audits *s = ctx;
    s->record[s->n++] = *a;
}

static struct store_page page_from(uint64_t cursor, char text[32])
{
    snprintf(text, 32, "%" PRIu64, cursor);
    return (struct store_page){.after = cursor ? text : NULL, .limit = AT_ONCE};
}

/* Reads on until there is a record, or none are left. */
static bool refill_attempts(const struct fleet *f, const char *id, struct attempts *s,
                            struct err *err)
{
    const bool device = strncmp(id, "dev_", 4) == 0, policy = strncmp(id, "pol_", 4) == 0;
    const struct store_attempt_filter filter = {
        .device = device ? id : NULL, .policy = policy ? id : NULL, .result = -1};
    while (s->at == s->n && !s->ended) {
        char text[32];
        struct store_page page = page_from(s->cursor, text);
        s->at = s->n = 0;
        s->ended = !device && !policy;
        if (s->ended)
            return true;
        if (!store_attempt_page(f->store, &filter, &page, keep_attempt, s, err))
            return false;
        s->ended = !*page.next;
        s->cursor = strtoull(page.next, NULL, 10);
    }
    return true;
}

static bool refill_audits(const struct fleet *f, const char *id, struct audits *s, struct err *err)
{
    const struct store_audit_filter filter = {.object = id};
    while (s->at == s->n && !s->ended) {
        char text[32];
        struct store_page page = page_from(s->cursor, text);
        s->at = s->n = 0;
        if (!store_audit_page(f->store, &filter, &page, keep_audit, s, err))
            return false;
        s->ended = !*page.next;
        s->cursor = strtoull(page.next, NULL, 10);
    }
    return true;
}

static bool merge(const struct fleet *f, const char *id, struct fleet_cursor from,
                  struct attempts *tried, struct audits *done,
                  bool (*each)(void *ctx, const struct fleet_event *e), void *ctx, struct err *err)
{
    struct fleet_event e = {.attempt_next = from.attempt, .audit_next = from.audit};
    for (bool go_on = true; go_on;) {
        if (!refill_attempts(f, id, tried, err) || !refill_audits(f, id, done, err))
            return false;
        const struct store_attempt *a = tried->at < tried->n ? &tried->record[tried->at] : NULL;
        const struct store_audit *d = done->at < done->n ? &done->record[done->at] : NULL;
        if (!a && !d)
            break;
        bool attempt = a && (!d || a->at >= d->at);
        e.at = attempt ? a->at : d->at;
        e.attempt = attempt ? a : NULL;
        e.audit = attempt ? NULL : d;
        if (attempt) {
            e.attempt_next = a->seq;
            tried->at++;
        } else {
            e.audit_next = d->seq;
            done->at++;
        }
        go_on = each(ctx, &e);
    }
    return true;
}

bool fleet_history(const struct fleet *f, const char *id, struct fleet_cursor from,
                   bool (*each)(void *ctx, const struct fleet_event *e), void *ctx, struct err *err)
{
    struct attempts tried = {.cursor = from.attempt};
    struct audits done = {.cursor = from.audit};
    tried.record = calloc(AT_ONCE, sizeof *tried.record);
    done.record = calloc(AT_ONCE, sizeof *done.record);
    bool ok = (tried.record && done.record) || err_memory(err);
    ok = ok && merge(f, id, from, &tried, &done, each, ctx, err);
    free(tried.record);
    free(done.record);
    return ok;
}
