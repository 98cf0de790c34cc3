/* What is counted lies in a table, under a lock that is never held while something is written. What
 * is to be written leaves the table for a batch, and stays there until it is in the store: a store
 * that is full loses nothing. */
#include "reads.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api_internal.h"
#include "enroll/audit.h"

#define THINGS_WITH_SUMS (API_READS_THINGS + 100) /* there are fewer routes and pages than that */
#define PATH_LONGEST 160 /* of a thing that there can be; what is longer is summed */
#define BATCH 128        /* entries of one transaction */
#define RETRY_SECONDS 10
#define CLOCK_SLACK 60 /* calls under way may have looked at the clock before others */

struct thing {
    const char *name; /* of the route or page; static */
    const char *sum;  /* the route's path with its {parameters}; NULL for a page */
    enum http_method method;
    char *path; /* owned; NULL: the sum of those beyond the bounds */
    bool first; /* its first reading, at `at`, is to be written */
    int64_t at;
    uint64_t more; /* that came after it, from `since` until `last` */
    int64_t since, last;
    char peer[64], other[64]; /* the first address, and the last other one */
    bool others;              /* there were more than these two */
};

struct reader {
    char name[64]; /* of the administrator; "": this place is free */
    int64_t since;
    bool over; /* another one needs the place */
    struct thing *thing;
    size_t n, capacity;
};

struct api_reads {
    pthread_mutex_t lock; /* of the table */
    struct reader reader[API_READS_READERS];
    uint64_t nameless; /* for which there was no place, from `since` until `last` */
    int64_t since, last;

    pthread_mutex_t writing; /* of what follows; taken before `lock` */
    struct store_audit batch[BATCH];
    size_t batch_n;
    bool failing;
    int64_t tried_at;
};

struct api_reads *api_reads_new(void)
{
    struct api_reads *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    pthread_mutex_init(&s->lock, NULL);
    pthread_mutex_init(&s->writing, NULL);
    return s;
}

static void reader_clear(struct reader *r)
{
    for (size_t i = 0; i < r->n; i++)
        free(r->thing[i].path);
    free(r->thing);
    *r = (struct reader){.since = 0};
}

void api_reads_free(struct api_reads *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < API_READS_READERS; i++)
        reader_clear(&s->reader[i]);
    pthread_mutex_destroy(&s->lock);
    pthread_mutex_destroy(&s->writing);
    free(s);
}

/* ---- counting ---- */

/* One call, as it is counted. */
struct reading {
    const char *reader, *name, *sum, *path, *peer;
    enum http_method method;
    int64_t at;
};

static struct reader *reader_of(struct api_reads *s, const struct reading *g)
{
    struct reader *place = NULL;
    for (size_t i = 0; i < API_READS_READERS; i++) {
        if (strcmp(s->reader[i].name, g->reader) == 0)
            return &s->reader[i];
        if (!place && !s->reader[i].name[0])
            place = &s->reader[i];
    }
    if (place) {
        snprintf(place->name, sizeof place->name, "%s", g->reader);
        place->since = g->at;
    }
    return place;
}

/* The time of the one that began first is over. */
static void make_place(struct api_reads *s)
{
    struct reader *oldest = &s->reader[0];
    for (size_t i = 1; i < API_READS_READERS; i++)
        if (s->reader[i].since < oldest->since)
            oldest = &s->reader[i];
    oldest->over = true;
}

static struct thing *thing_add(struct reader *r, const struct reading *g, bool sum)
{
    if (r->n == r->capacity) {
        size_t capacity = r->capacity ? 2 * r->capacity : 8;
        struct thing *more = realloc(r->thing, capacity * sizeof *more);
        if (!more)
            return NULL;
        r->thing = more;
        r->capacity = capacity;
    }
    char *path = sum ? NULL : strdup(g->path);
    if ((!sum && !path) || r->n == THINGS_WITH_SUMS) {
        free(path);
        return NULL;
    }
    struct thing *t = &r->thing[r->n++];
    *t = (struct thing){.name = g->name, .sum = g->sum, .method = g->method, .path = path};
    snprintf(t->peer, sizeof t->peer, "%s", g->peer);
    return t;
}

/* NULL when there is no room. */
static struct thing *thing_of(struct reader *r, const struct reading *g)
{
    size_t objects = 0;
    struct thing *sum = NULL;
    for (size_t i = 0; i < r->n; i++) {
        struct thing *t = &r->thing[i];
        if (t->name != g->name || t->method != g->method)
            continue;
        if (t->path && strcmp(t->path, g->path) == 0)
            return t;
        objects += t->path != NULL;
        sum = t->path ? sum : t;
    }
    bool beyond =
        objects >= API_READS_OBJECTS || r->n >= API_READS_THINGS || strlen(g->path) > PATH_LONGEST;
    return beyond && sum ? sum : thing_add(r, g, beyond);
}

static void count(struct thing *t, const struct reading *g)
{
    if (t->path && !t->at) {
        t->first = true;
        t->at = g->at;
        return;
    }
    if (t->more++ == 0)
        t->since = g->at;
    t->last = g->at;
    if (strcmp(t->peer, g->peer) == 0 || strcmp(t->other, g->peer) == 0)
        return;
    t->others |= t->other[0] != '\0';
    snprintf(t->other, sizeof t->other, "%s", g->peer);
}

static bool note(struct api_reads *s, const struct reading *g, bool last_try)
{
    pthread_mutex_lock(&s->lock);
    struct reader *r = reader_of(s, g);
    struct thing *t = r ? thing_of(r, g) : NULL;
    if (t) {
        count(t, g);
    } else if (!r && !last_try) {
        make_place(s);
    } else {
        if (s->nameless++ == 0)
            s->since = g->at;
        s->last = g->at;
    }
    pthread_mutex_unlock(&s->lock);
    return t || r || last_try;
}

/* "/devices/dev_2bu9xk", decoded; nothing that does not fit can be the name of anything. */
static void path_of(const struct api_call *c, char out[PATH_LONGEST + 2])
{
    size_t n = 0, cap = PATH_LONGEST + 2;
    out[0] = '\0';
    for (size_t i = 0; c->route && i < c->priv->segment_n && n < cap; i++)
        n += (size_t)snprintf(out + n, cap - n, "/%s", c->priv->segment[i]);
    if (!c->route)
        snprintf(out, cap, "%s", c->request->path);
}

void api_reads_note(struct api_call *c, const char *name)
{
    struct api_reads *s = c->world->state->reads;
    char path[PATH_LONGEST + 2];
    path_of(c, path);
    struct reading g = {.reader = c->actor->name,
                        .name = name,
                        .sum = c->route ? c->route->path : NULL,
                        .path = path,
                        .peer = c->request->peer,
                        .method = c->route ? c->route->method : c->request->method,
                        .at = api_now(c)};
    if (note(s, &g, false))
        return;
    api_reads_write(c->world, g.at, false);
    note(s, &g, true);
}

/* ---- entries ---- */

static void span_text(int64_t since, int64_t last, char out[80])
{
    char from[32], to[32];
    text_time(since, from);
    text_time(last, to);
    snprintf(out, 80, "%s to %s", from, to);
}

/* "/devices/{device}/events" of many is the object with a star for which. */
static void object_of(const struct thing *t, char out[PATH_LONGEST + 2])
{
    size_t n = 0, cap = PATH_LONGEST + 2;
    const char *p = t->path ? t->path : t->sum ? t->sum : "*";
    for (; *p && n + 1 < cap; p++) {
        if (!t->path && *p == '{') {
            out[n++] = '*';
            p += strcspn(p, "}");
        } else {
            out[n++] = *p;
        }
    }
    out[n] = '\0';
}

/* An object's place in the entry may be too short for it. */
static const char *rest_of(const char *object)
{
    return strlen(object) < sizeof(((struct store_audit *)NULL)->object) ? "" : object;
}

static void write_first(struct api_reads *s, const struct reader *r, struct thing *t)
{
    char object[PATH_LONGEST + 2];
    object_of(t, object);
    audit_fill(&s->batch[s->batch_n++], t->at, API_READ_EVENT, r->name, object, "%s %s from %s%s%s",
               http_method_name(t->method), t->name, t->peer, *rest_of(object) ? ": " : "",
               rest_of(object));
    t->first = false;
}

static void write_more(struct api_reads *s, const struct reader *r, struct thing *t, int64_t now)
{
    char object[PATH_LONGEST + 2], span[80];
    object_of(t, object);
    span_text(t->since, t->last, span);
    audit_fill(&s->batch[s->batch_n++], now, API_READ_EVENT, r->name, object,
               "%s %s from %s%s%s%s: %llu %s, %s%s%s", http_method_name(t->method), t->name,
               t->peer, t->other[0] ? " and " : "", t->other, t->others ? " and others" : "",
               (unsigned long long)t->more, t->path ? "more" : "others", span,
               *rest_of(object) ? ": " : "", rest_of(object));
    t->more = 0;
}

static void write_nameless(struct api_reads *s, int64_t now)
{
    char span[80];
    span_text(s->since, s->last, span);
    audit_fill(&s->batch[s->batch_n++], now, API_READ_EVENT, "nobody", "*",
               "from many: %llu by whom and of what could not be remembered, %s",
               (unsigned long long)s->nameless, span);
    s->nameless = 0;
}

static bool is_over(const struct reader *r, int64_t now)
{
    return r->over || now >= r->since + API_READS_WINDOW || now < r->since - CLOCK_SLACK;
}

/* False: there was no room for all. */
static bool take_reader(struct api_reads *s, struct reader *r, int64_t now, bool all)
{
    bool over = all || is_over(r, now);
    for (size_t i = 0; i < r->n; i++) {
        struct thing *t = &r->thing[i];
        if (t->first && s->batch_n < BATCH)
            write_first(s, r, t);
        if (over && t->more && s->batch_n < BATCH)
            write_more(s, r, t, now);
        if (t->first || (over && t->more))
            return false;
    }
    if (over)
        reader_clear(r);
    return true;
}

/* Fills the batch with what is due; false: nothing is. */
static bool take(struct api_reads *s, int64_t now, bool all)
{
    pthread_mutex_lock(&s->lock);
    if (s->nameless)
        write_nameless(s, now);
    for (size_t i = 0; i < API_READS_READERS; i++)
        if (s->reader[i].name[0] && !take_reader(s, &s->reader[i], now, all))
            break;
    pthread_mutex_unlock(&s->lock);
    return s->batch_n > 0;
}

/* The log is read back from its end until entries are too old: one that comes late is of the time
 * when it comes, and says of when it is. */
static void come_late(struct store_audit *a, int64_t now)
{
    char at[32];
    size_t n = strlen(a->text);
    if (now - a->at <= CLOCK_SLACK)
        return;
    text_time(a->at, at);
    snprintf(a->text + n, sizeof a->text - n, ", at %s", at);
    a->at = now;
}

static bool commit(struct api_reads *s, struct store *store, int64_t now, struct err *err)
{
    struct store_write *w = NULL;
    bool ok = store_write_begin(store, &w, err);
    for (size_t i = 0; ok && i < s->batch_n; i++) {
        struct store_audit a = s->batch[i]; /* this try may fail, and the next one is later */
        come_late(&a, now);
        ok = store_audit_put(w, &a, err);
    }
    if (!ok) {
        store_write_abort(w);
        return false;
    }
    if (!store_write_commit(w, err))
        return false;
    s->batch_n = 0;
    return true;
}

/* Told once, however long it lasts. */
static void tell(struct api_reads *s, const struct log *log, bool ok, const struct err *err)
{
    if (!ok && !s->failing)
        log_event(log, LOG_LEVEL_ERROR, "api.audit",
                  "what is read is not in the audit log for now, and is counted: %s", err->text);
    if (ok && s->failing)
        log_event(log, LOG_LEVEL_NOTICE, "api.audit",
                  "what was read meanwhile is in the audit log now");
    s->failing = !ok;
}

static bool write_due(const struct api_world *w, int64_t now, bool all)
{
    struct api_reads *s = w->state->reads;
    struct err err = {0};
    bool ok = true, any = false;
    while (ok && (s->batch_n > 0 || take(s, now, all))) {
        ok = commit(s, w->store, now, &err);
        any = true;
    }
    if (any)
        tell(s, w->log, ok, &err);
    s->tried_at = now;
    return ok;
}

bool api_reads_write(const struct api_world *w, int64_t now, bool all)
{
    struct api_reads *s = w->state->reads;
    pthread_mutex_lock(&s->writing);
    bool waits = s->failing && !all && now >= s->tried_at && now < s->tried_at + RETRY_SECONDS;
    bool ok = !waits && write_due(w, now, all);
    pthread_mutex_unlock(&s->writing);
    return ok;
}

void api_reads_settle(const struct api_call *c)
{
    struct api_reads *s = c->world->state->reads;
    pthread_mutex_lock(&s->writing);
    write_due(c->world, api_now(c), false);
    pthread_mutex_unlock(&s->writing);
}
