#include "scepd/intune_queue.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/hex.h"
#include "outside/revocations.h"
#include "pkcs7/alg.h"
#include "scepd/thread.h"

#define AGAIN_MIN 30 /* seconds after a failure; doubled with each one more, up to the interval */
#define AGAIN_DOUBLED 10
#define AGAIN_MAX 86400
#define IDLE_MAX \
    10 /* full answers in a row with nothing new, before it is left until the next time */
#define ELSEWHERE_MAX 64
/* What is not revoked, and why, is said once while it is among so many; so many lines a look. */
#define SAID_MAX 512
#define LINES_MAX 16

/* One webhook.  The thread's. */
struct place {
    char name[64];
    int64_t interval; /* by which next_at was found; 0: it was not */
    int64_t next_at;  /* monotonic seconds */
    unsigned failures;
    size_t most;                       /* to be asked for; fewer when an answer was too long */
    bool more;                         /* it had as many as were asked for */
    unsigned idle;                     /* answers in a row with nothing new */
    uint64_t elsewhere[ELSEWHERE_MAX]; /* ids of what stands though Intune wants it revoked */
    size_t elsewhere_n;
    uint8_t said[SAID_MAX][8]; /* hashes of issuer, serial number and reason */
    size_t said_n;             /* all in all: the oldest are overwritten */
    struct buf report;         /* what is durable and not yet reported; empty: nothing */
    int64_t report_until;      /* monotonic seconds: Intune gives it out again then */
};

struct intune_queue {
    struct intune_queue_options options;
    pthread_t thread;
    bool running;
    struct place place[CONFIG_MAX_WEBHOOKS];
    pthread_mutex_t lock; /* of all from here on */
    pthread_cond_t news;
    bool stop;
    struct setup *setup; /* NULL: none yet */
};

/* One look at one queue. */
struct look {
    struct intune_queue *queue;
    const struct setup *setup;
    const struct config_webhook *webhook;
    struct place *place;
    struct store_write *write;
    unsigned retry_after;
    size_t lines, unsaid; /* of what is not revoked */
    size_t count[METRIC_REVOCATIONS];
};

static int64_t monotonic(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec;
}

/* ---- whose it is ---- */

/* Whose certificate it is that Intune wants revoked. */
enum owner {
    OWNER_FOREIGN,   /* of no authority that asks this tenant: whose it is will answer */
    OWNER_NONE,      /* of one that does, which never issued it */
    OWNER_TENANT,    /* an endpoint that asks this tenant issued it */
    OWNER_ELSEWHERE, /* we did, but where this tenant is not asked: it is not for it to decide */
};

/* A tenant has one queue, whichever of its webhooks is the one that looks into it. */
static bool of_tenant(const struct look *l, const struct scep_endpoint *e)
{
    return e->config && e->policy && e->validate && config_same_tenant(e->validate, l->webhook);
}

static bool asks_it(const struct look *l, const struct authority *a)
{
    for (size_t i = 0; i < l->setup->config->endpoint_n; i++) {
        const struct scep_endpoint *e = &l->setup->endpoint[i];
        if (of_tenant(l, e) && strcmp(e->policy->authority->name, a->name) == 0)
            return true;
    }
    return false;
}

/* A record keeps as much of a path as it has room for: two that begin alike are both meant. */
static bool issued_there(const struct look *l, const struct store_cert *c)
{
    bool there = false;
    for (size_t i = 0; i < l->setup->config->endpoint_n; i++) {
        const struct scep_endpoint *e = &l->setup->endpoint[i];
        if (!e->config || strncmp(e->config->path, c->endpoint, sizeof c->endpoint - 1) != 0)
            continue;
        if (!of_tenant(l, e))
            return false;
        there = true;
    }
    return there;
}

static bool stands(const struct store_cert *c)
{
    return c->state != CERT_REVOKED && c->not_after >= (int64_t)time(NULL);
}

/* What was found goes to `out`, if it says more than what is there. */
static void weigh(const struct look *l, struct store_cert *found, enum owner *owner,
                  struct store_cert *out)
{
    bool theirs = issued_there(l, found);
    if (theirs || *owner != OWNER_ELSEWHERE || !stands(out)) {
        store_cert_clear(out);
        *out = *found;
        *owner = theirs ? OWNER_TENANT : OWNER_ELSEWHERE;
    } else {
        store_cert_clear(found);
    }
}

/* By issuer, if it names one, and serial number.  `out` is for the caller to clear. */
static bool find(const struct look *l, const struct intune_revocation *r, enum owner *owner,
                 struct store_cert *out, struct err *err)
{
    const struct config_rooms *rooms = &l->setup->rooms;
    char name[sizeof r->issuer];
    *owner = OWNER_FOREIGN;
    for (size_t i = 0; i < rooms->member_n && *owner != OWNER_TENANT; i++) {
        const struct authority *a = rooms->member[i];
        struct store_cert c = {.id = 0};
        struct err why = {0};
        name_text(&a->subject, name, sizeof name);
        if (r->issuer[0] && strcmp(r->issuer, name) != 0)
            continue;
        if (*owner == OWNER_FOREIGN && r->issuer[0] && asks_it(l, a))
            *owner = OWNER_NONE;
        if (r->serial_len == 0)
            continue;
        if (store_write_cert_by_serial(l->write, a->key_id, view_of(r->serial, r->serial_len), &c,
                                       &why)) {
            weigh(l, &c, owner, out);
        } else if (why.kind != ERR_NOT_FOUND) {
            *err = why;
            return false;
        }
    }
    return true;
}

/* ---- revoking ---- */

/* Was this said before?  It is remembered, if there is a line left for it.  Out of memory: no. */
static bool said(struct look *l, const struct intune_revocation *r, const char *why)
{
    struct place *p = l->place;
    size_t n = p->said_n < SAID_MAX ? p->said_n : SAID_MAX;
    struct buf all = {0};
    uint8_t hash[32];
    struct err ignored = {0};
    bool ok = buf_append(&all, r->issuer, strlen(r->issuer) + 1) &&
              buf_append(&all, r->serial, r->serial_len) && buf_append_str(&all, why) &&
              digest_compute(DIGEST_SHA256, buf_view(&all), hash, &ignored);
    buf_clear(&all);
    for (size_t i = 0; ok && i < n; i++)
        if (memcmp(p->said[i], hash, sizeof *p->said) == 0)
            return true;
    if (ok && l->lines < LINES_MAX)
        memcpy(p->said[p->said_n++ % SAID_MAX], hash, sizeof *p->said);
    return false;
}

static void log_not_revoked(struct look *l, const struct intune_revocation *r, enum log_level level,
                            const char *why)
{
    char serial[2 * INTUNE_SERIAL_MAX + 1];
    struct log_line line;
    if (said(l, r, why))
        return;
    if (l->lines == LINES_MAX) {
        l->unsaid++;
        return;
    }
    l->lines++;
    hex_encode(view_of(r->serial, r->serial_len), serial);
    log_begin(&line, l->queue->options.log, level, "intune.not_revoked");
    log_str(&line, "webhook", l->webhook->name);
    log_str(&line, "serial", serial);
    log_view(&line, "issuer", view_str(r->issuer));
    log_end(&line, "Intune wants it revoked: %s", why);
}

static void refuse(struct look *l, struct intune_revocation *r, enum intune_code code,
                   const char *why)
{
    l->count[METRIC_REVOKE_UNKNOWN]++;
    r->answered = true;
    r->code = code;
    snprintf(r->text, sizeof r->text, "%s", why);
    log_not_revoked(l, r, LOG_LEVEL_NOTICE, why);
}

/* Nothing that Intune could be told is true for good: it stands, and somebody has to decide. */
static void leave(struct look *l, const struct intune_revocation *r, const struct store_cert *c)
{
    struct place *p = l->place;
    char why[160];
    l->count[METRIC_REVOKE_ELSEWHERE]++;
    snprintf(why, sizeof why, "%s%s, which does not ask this tenant: it stands",
             c->endpoint[0] ? "it was issued at " : "it was not issued at an endpoint",
             c->endpoint);
    log_not_revoked(l, r, LOG_LEVEL_WARNING, why);
    for (size_t i = 0; i < p->elsewhere_n; i++)
        if (p->elsewhere[i] == c->id)
            return;
    if (p->elsewhere_n < ELSEWHERE_MAX)
        p->elsewhere[p->elsewhere_n++] = c->id;
}

static bool revoke_found(struct look *l, struct intune_revocation *r, const struct store_cert *c,
                         struct err *err)
{
    const struct enroll_act act = {
        .by = l->webhook->name, .note = "Intune wants it revoked", .now = time(NULL)};
    bool known = c->state == CERT_REVOKED;
    r->answered = true;
    l->count[known ? METRIC_REVOKED_BEFORE : METRIC_REVOKED]++;
    return known || enroll_cert_change_in(l->write, c->id, CRL_CESSATION, &act, err);
}

static bool revoke_one(struct look *l, struct intune_revocation *r, struct err *err)
{
    struct store_cert c = {.id = 0};
    enum owner owner;
    bool ok = find(l, r, &owner, &c, err);
    if (!ok)
        ; /* said already */
    else if (owner == OWNER_FOREIGN)
        l->count[METRIC_REVOKE_FOREIGN]++;
    else if (owner == OWNER_TENANT || (owner == OWNER_ELSEWHERE && c.state == CERT_REVOKED))
        ok = revoke_found(l, r, &c, err);
    else if (owner == OWNER_ELSEWHERE && stands(&c))
        leave(l, r, &c);
    else if (r->serial_len == 0)
        refuse(l, r, INTUNE_CODE_INVALID, "the serial number is none");
    else
        refuse(l, r, INTUNE_CODE_NOT_FOUND,
               owner == OWNER_ELSEWHERE ? "it was issued where Intune is not asked, and has ended"
                                        : "this authority has issued none with this serial number");
    store_cert_clear(&c);
    return ok;
}

static bool revoke_all(struct look *l, struct intune_revocations *list, struct err *err)
{
    if (list->n == 0)
        return true;
    bool ok = store_write_begin(l->queue->options.store, &l->write, err);
    for (size_t i = 0; ok && i < list->n; i++)
        ok = revoke_one(l, &list->item[i], err);
    if (l->write && (!ok || l->count[METRIC_REVOKED] == 0))
        store_write_abort(l->write); /* nothing was written */
    else if (ok)
        ok = store_write_commit(l->write, err);
    l->write = NULL;
    return ok || err_prefix(err, "the store");
}

static void tell_unsaid(const struct look *l)
{
    if (l->unsaid)
        log_event(l->queue->options.log, LOG_LEVEL_WARNING, "intune.not_revoked",
                  "webhook \"%s\": and %zu more that Intune wants revoked", l->webhook->name,
                  l->unsaid);
}

static void tell(const struct look *l, const struct intune_revocations *list)
{
    struct log_line line;
    for (int i = 0; i < METRIC_REVOCATIONS; i++)
        metrics_revocations(l->queue->options.metrics, (enum metric_revocation)i, l->count[i]);
    log_begin(&line, l->queue->options.log, list->given ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG,
              "intune.queue");
    log_str(&line, "webhook", l->webhook->name);
    log_int(&line, "given", (int64_t)list->given);
    log_int(&line, "revoked", (int64_t)l->count[METRIC_REVOKED]);
    log_int(&line, "known", (int64_t)l->count[METRIC_REVOKED_BEFORE]);
    log_int(&line, "unknown", (int64_t)l->count[METRIC_REVOKE_UNKNOWN]);
    log_int(&line, "elsewhere", (int64_t)l->count[METRIC_REVOKE_ELSEWHERE]);
    log_int(&line, "foreign", (int64_t)l->count[METRIC_REVOKE_FOREIGN]);
    log_str(&line, "more", l->place->more ? "yes" : "no");
    log_end(&line, "Intune was asked what it wants revoked");
}

/* ---- asking and reporting ---- */

static bool ask(struct look *l, const char *suffix, const struct buf *body,
                struct outside_answer *out, struct err *err)
{
    const struct outside_ask q = {.kind = OUTSIDE_INTUNE_QUEUE,
                                  .name = l->webhook->name,
                                  .post = true,
                                  .suffix = suffix,
                                  .body = buf_view(body),
                                  .repeatable = true};
    bool ok = outside_wait(l->queue->options.outside, &q, out, err);
    l->retry_after = ok ? out->retry_after : 0;
    return ok;
}

/* A full answer may not be all there is; one that brings nothing new again and again is all that
 * will come. */
static void go_on(const struct look *l, const struct intune_revocations *list)
{
    struct place *p = l->place;
    bool full = list->given == p->most;
    p->idle = l->count[METRIC_REVOKED] ? 0 : p->idle + 1;
    p->more = full && p->idle < IDLE_MAX;
    if (!p->more)
        p->idle = 0;
    if (!full && p->most < INTUNE_QUEUE_MAX)
        p->most = 2 * p->most < INTUNE_QUEUE_MAX ? 2 * p->most : INTUNE_QUEUE_MAX;
}

/* What there is gets revoked, and what is to be said of it stands in the place's report. */
static bool fetch(struct look *l, struct err *err)
{
    struct place *p = l->place;
    struct outside_answer a = {.status = 0};
    struct intune_revocations list = {.n = 0};
    struct buf body = {0};
    bool ok = intune_queue_fetch_json(p->most, &body, err) &&
              ask(l, INTUNE_QUEUE_FETCH, &body, &a, err) &&
              intune_queue_read(&a, p->most, &list, err) && revoke_all(l, &list, err);
    if (a.result == OUTSIDE_TOO_LARGE && p->most > 1)
        p->most /= 2;
    size_t left = l->count[METRIC_REVOKE_FOREIGN] + l->count[METRIC_REVOKE_ELSEWHERE];
    if (ok) {
        go_on(l, &list);
        tell_unsaid(l);
        tell(l, &list);
        p->report_until = monotonic() + l->webhook->revocations;
        ok = list.n == left || intune_queue_report_json(&list, &p->report, err);
    }
    intune_revocations_clear(&list);
    outside_answer_clear(&a);
    buf_clear(&body);
    return ok;
}

static bool report(struct look *l, struct err *err)
{
    struct outside_answer a = {.status = 0};
    bool ok =
        ask(l, INTUNE_QUEUE_REPORT, &l->place->report, &a, err) && intune_queue_taken(&a, err);
    if (ok)
        buf_clear(&l->place->report);
    else
        err_prefix(err, "what was revoked cannot be reported");
    outside_answer_clear(&a);
    return ok;
}

/* ---- when ---- */

static bool stopped(struct intune_queue *q)
{
    pthread_mutex_lock(&q->lock);
    bool stop = q->stop;
    pthread_mutex_unlock(&q->lock);
    return stop;
}

static int64_t again_after(const struct look *l)
{
    unsigned times = l->place->failures < AGAIN_DOUBLED ? l->place->failures : AGAIN_DOUBLED;
    int64_t wait = (int64_t)AGAIN_MIN << times;
    wait = wait < l->webhook->revocations ? wait : l->webhook->revocations;
    wait = wait > (int64_t)l->retry_after ? wait : (int64_t)l->retry_after;
    return wait < AGAIN_MAX ? wait : AGAIN_MAX;
}

static void look_at(struct look *l)
{
    struct place *p = l->place;
    struct err err = {0};
    if (monotonic() < p->next_at)
        return;
    if (p->report.n && monotonic() >= p->report_until)
        buf_clear(&p->report);
    bool ok = (p->report.n || fetch(l, &err)) && (!p->report.n || report(l, &err));
    p->next_at = monotonic() + (!ok ? again_after(l) : p->more ? 0 : l->webhook->revocations);
    p->failures = ok ? 0 : p->failures + 1;
    metrics_intune_look(l->queue->options.metrics, ok);
    if (!ok && !stopped(l->queue))
        log_event(l->queue->options.log, LOG_LEVEL_WARNING, "intune.queue_failed",
                  "webhook \"%s\": %s", l->webhook->name, err.text);
}

/* Somebody may not want to wait as long any more as when the last look was made. */
static void heed_interval(struct look *l)
{
    struct place *p = l->place;
    int64_t latest = monotonic() + l->webhook->revocations;
    if (p->interval != l->webhook->revocations && p->next_at > latest)
        p->next_at = latest;
    p->interval = l->webhook->revocations;
}

/* What was revoked or has ended since, or is this tenant's now, is warned of no more. */
static void forget_settled(struct look *l)
{
    struct place *p = l->place;
    size_t kept = 0;
    for (size_t i = 0; i < p->elsewhere_n; i++) {
        struct store_cert c = {.id = 0};
        struct err err = {0};
        bool there = store_cert_by_id(l->queue->options.store, p->elsewhere[i], &c, &err);
        if (there ? stands(&c) && !issued_there(l, &c) : err.kind != ERR_NOT_FOUND)
            p->elsewhere[kept++] = p->elsewhere[i];
        store_cert_clear(&c);
    }
    p->elsewhere_n = kept;
}

static void forget(struct place *p)
{
    buf_clear(&p->report);
    *p = (struct place){.most = INTUNE_QUEUE_MAX};
}

/* What is not looked into any more; NULL: nothing is.  Switched on again, it is new. */
static void forget_places(struct intune_queue *q, const struct config *c)
{
    for (size_t i = 0; i < CONFIG_MAX_WEBHOOKS; i++) {
        const struct config_webhook *w = c ? config_webhook_by_name(c, q->place[i].name) : NULL;
        if (!w || !w->revocations)
            forget(&q->place[i]);
    }
}

/* There are as many places as there can be webhooks. */
static struct place *place_of(struct intune_queue *q, const char *name)
{
    struct place *empty = NULL;
    for (size_t i = 0; i < CONFIG_MAX_WEBHOOKS; i++) {
        if (strcmp(q->place[i].name, name) == 0)
            return &q->place[i];
        if (!q->place[i].name[0])
            empty = &q->place[i];
    }
    if (empty)
        snprintf(empty->name, sizeof empty->name, "%s", name);
    return empty;
}

static void look_at_all(struct intune_queue *q, const struct setup *setup)
{
    const struct config *c = setup->config;
    size_t worst = 0, elsewhere = 0;
    forget_places(q, c);
    for (size_t i = 0; i < c->webhook_n && !stopped(q); i++) {
        const struct config_webhook *w = &c->webhook[i];
        struct look l = {.queue = q, .setup = setup, .webhook = w};
        if (!w->revocations || !(l.place = place_of(q, w->name)))
            continue;
        heed_interval(&l);
        look_at(&l);
        forget_settled(&l);
        worst = l.place->failures > worst ? l.place->failures : worst;
        elsewhere += l.place->elsewhere_n;
    }
    metrics_intune_queues(q->options.metrics, worst, elsewhere);
}

/* ---- the thread ---- */

static bool has_work(const struct intune_queue *q)
{
    return q->setup && config_revocations(q->setup->config);
}

/* The configuration to go by, to be released; NULL: there is nothing to do any more. */
static struct setup *wait_for_time(struct intune_queue *q)
{
    struct timespec until;
    struct setup *setup = NULL;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += 1;
    pthread_mutex_lock(&q->lock);
    if (has_work(q) && !q->stop)
        pthread_cond_timedwait(&q->news, &q->lock, &until);
    while (!has_work(q) && !q->stop) {
        forget_places(q, NULL);
        metrics_intune_queues(q->options.metrics, 0, 0);
        pthread_cond_wait(&q->news, &q->lock);
    }
    if (!q->stop)
        setup = setup_get1(q->setup);
    pthread_mutex_unlock(&q->lock);
    return setup;
}

static void *run(void *queue)
{
    struct intune_queue *q = queue;
    struct setup *setup;
    while ((setup = wait_for_time(q))) {
        look_at_all(q, setup);
        setup_release(setup);
    }
    return NULL;
}

bool intune_queue_new(const struct intune_queue_options *o, struct intune_queue **out,
                      struct err *err)
{
    struct intune_queue *q = calloc(1, sizeof *q);
    if (!q)
        return err_memory(err);
    q->options = *o;
    forget_places(q, NULL);
    pthread_mutex_init(&q->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&q->news, &monotonic);
    pthread_condattr_destroy(&monotonic);
    q->running = thread_start(&q->thread, "intune", run, q);
    if (!q->running) {
        intune_queue_free(q);
        return err_set(err, ERR_MEMORY, "cannot start the thread that asks Intune");
    }
    *out = q;
    return true;
}

void intune_queue_use(struct intune_queue *q, struct setup *setup)
{
    if (!q)
        return;
    pthread_mutex_lock(&q->lock);
    struct setup *before = q->setup;
    q->setup = setup_get1(setup);
    pthread_cond_signal(&q->news);
    pthread_mutex_unlock(&q->lock);
    setup_release(before);
}

void intune_queue_free(struct intune_queue *q)
{
    if (!q)
        return;
    pthread_mutex_lock(&q->lock);
    q->stop = true;
    pthread_cond_signal(&q->news);
    pthread_mutex_unlock(&q->lock);
    if (q->running)
        pthread_join(q->thread, NULL);
    forget_places(q, NULL);
    setup_release(q->setup);
    pthread_cond_destroy(&q->news);
    pthread_mutex_destroy(&q->lock);
    free(q);
}
