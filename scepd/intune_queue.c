#include "scepd/intune_queue.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/hex.h"
#include "outside/revocations.h"
#include "scepd/thread.h"

#define AGAIN_MIN 30 /* seconds after a failure; doubled with each one more, up to the interval */
#define AGAIN_DOUBLED 10
#define AGAIN_MAX 86400

/* One webhook.  The thread's. */
struct place {
    char name[64];
    int64_t next_at; /* monotonic seconds */
    unsigned failures;
    size_t most;          /* to be asked for; fewer when an answer was too long */
    bool more;            /* it had as many as were asked for */
    struct buf report;    /* what is durable and not yet reported; empty: nothing */
    int64_t report_until; /* monotonic seconds: Intune gives it out again then */
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
    size_t count[METRIC_REVOCATIONS];
};

static int64_t monotonic(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec;
}

/* ---- whose it is ---- */

static bool of_webhook(const struct look *l, const struct scep_endpoint *e)
{
    return e->config && e->policy && e->validate == l->webhook;
}

static bool asks_it(const struct look *l, const struct authority *a)
{
    for (size_t i = 0; i < l->setup->config->endpoint_n; i++) {
        const struct scep_endpoint *e = &l->setup->endpoint[i];
        if (of_webhook(l, e) && strcmp(e->policy->authority->name, a->name) == 0)
            return true;
    }
    return false;
}

/* A record keeps as much of a path as it has room for. */
static bool issued_there(const struct look *l, const struct store_cert *c)
{
    for (size_t i = 0; i < l->setup->config->endpoint_n; i++) {
        const struct scep_endpoint *e = &l->setup->endpoint[i];
        if (of_webhook(l, e) && strncmp(e->config->path, c->endpoint, sizeof c->endpoint - 1) == 0)
            return true;
    }
    return false;
}

/* `ours`: an authority that asks this webhook has the issuer's name, or has issued it; then it is
 * for us to answer.  `out`->id is 0 when there is no such certificate. */
static bool find(const struct look *l, const struct intune_revocation *r, bool *ours,
                 struct store_cert *out, struct err *err)
{
    const struct config_rooms *rooms = &l->setup->rooms;
    char name[sizeof r->issuer];
    *ours = false;
    for (size_t i = 0; i < rooms->member_n; i++) {
        const struct authority *a = rooms->member[i];
        struct err why = {0};
        name_text(&a->subject, name, sizeof name);
        if (!asks_it(l, a) || (r->issuer[0] && strcmp(r->issuer, name) != 0))
            continue;
        *ours = *ours || r->issuer[0];
        if (r->serial_len == 0)
            continue;
        if (store_write_cert_by_serial(l->write, a->key_id, view_of(r->serial, r->serial_len), out,
                                       &why)) {
            *ours = true;
            return true;
        }
        if (why.kind != ERR_NOT_FOUND) {
            *err = why;
            return false;
        }
    }
    return true;
}

/* ---- revoking ---- */

static void not_revoked(struct look *l, struct intune_revocation *r, enum intune_code code,
                        const char *why)
{
    char serial[2 * INTUNE_SERIAL_MAX + 1];
    struct log_line line;
    r->code = code;
    snprintf(r->text, sizeof r->text, "%s", why);
    hex_encode(view_of(r->serial, r->serial_len), serial);
    log_begin(&line, l->queue->options.log, LOG_LEVEL_NOTICE, "intune.not_revoked");
    log_str(&line, "webhook", l->webhook->name);
    log_str(&line, "serial", serial);
    log_view(&line, "issuer", view_str(r->issuer));
    log_end(&line, "Intune wants it revoked: %s", why);
}

static bool revoke_found(struct look *l, const struct store_cert *c, struct err *err)
{
    const struct enroll_act act = {
        .by = l->webhook->name, .note = "Intune wants it revoked", .now = time(NULL)};
    bool known = c->state == CERT_REVOKED;
    l->count[known ? METRIC_REVOKED_BEFORE : METRIC_REVOKED]++;
    return known || enroll_cert_change_in(l->write, c->id, CRL_CESSATION, &act, err);
}

static bool revoke_one(struct look *l, struct intune_revocation *r, struct err *err)
{
    struct store_cert c = {.id = 0};
    if (!find(l, r, &r->answered, &c, err))
        return false;
    bool ok = true;
    if (!r->answered) {
        l->count[METRIC_REVOKE_FOREIGN]++; /* whose authority it is will answer */
    } else if (c.id && issued_there(l, &c)) {
        ok = revoke_found(l, &c, err);
    } else {
        l->count[METRIC_REVOKE_UNKNOWN]++;
        if (r->serial_len == 0)
            not_revoked(l, r, INTUNE_CODE_INVALID, "the serial number is none");
        else
            not_revoked(l, r, INTUNE_CODE_NOT_FOUND,
                        c.id ? "it was issued where Intune is not asked"
                             : "this authority has issued none with this serial number");
    }
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
    log_int(&line, "foreign", (int64_t)l->count[METRIC_REVOKE_FOREIGN]);
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
    size_t answered = list.n - l->count[METRIC_REVOKE_FOREIGN];
    if (ok) {
        tell(l, &list);
        p->more = answered && list.given == p->most;
        p->report_until = monotonic() + l->webhook->revocations;
        ok = !answered || intune_queue_report_json(&list, &p->report, err);
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
    if (p->report.n && monotonic() >= p->report_until)
        buf_clear(&p->report);
    bool ok = (p->report.n || fetch(l, &err)) && (!p->report.n || report(l, &err));
    p->next_at = monotonic() + (!ok ? again_after(l) : p->more ? 0 : l->webhook->revocations);
    p->failures = ok ? 0 : p->failures + 1;
    if (!ok && !stopped(l->queue))
        log_event(l->queue->options.log, LOG_LEVEL_WARNING, "intune.queue_failed",
                  "webhook \"%s\": %s", l->webhook->name, err.text);
}

/* A name that the configuration does not have any more makes room for a new one. */
static struct place *place_of(struct intune_queue *q, const struct config *c, const char *name)
{
    struct place *empty = NULL;
    for (size_t i = 0; i < CONFIG_MAX_WEBHOOKS; i++) {
        struct place *p = &q->place[i];
        if (strcmp(p->name, name) == 0)
            return p;
        if (!p->name[0] || !config_webhook_by_name(c, p->name))
            empty = p;
    }
    if (!empty)
        return NULL;
    buf_clear(&empty->report);
    *empty = (struct place){.most = INTUNE_QUEUE_MAX};
    snprintf(empty->name, sizeof empty->name, "%s", name);
    return empty;
}

static void look_at_all(struct intune_queue *q, const struct setup *setup)
{
    const struct config *c = setup->config;
    unsigned worst = 0, good = 0, bad = 0;
    for (size_t i = 0; i < c->webhook_n && !stopped(q); i++) {
        const struct config_webhook *w = &c->webhook[i];
        struct place *p = w->revocations ? place_of(q, c, w->name) : NULL;
        if (!p)
            continue;
        if (monotonic() >= p->next_at) {
            struct look l = {.queue = q, .setup = setup, .webhook = w, .place = p};
            look_at(&l);
            good += p->failures == 0;
            bad += p->failures != 0;
        }
        worst = p->failures > worst ? p->failures : worst;
    }
    if (good + bad)
        metrics_intune_queue(q->options.metrics, good, bad, worst);
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
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 1;
    pthread_mutex_lock(&q->lock);
    if (has_work(q) && !q->stop)
        pthread_cond_timedwait(&q->news, &q->lock, &until);
    while (!has_work(q) && !q->stop)
        pthread_cond_wait(&q->news, &q->lock);
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
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->news, NULL);
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
    for (size_t i = 0; i < CONFIG_MAX_WEBHOOKS; i++)
        buf_clear(&q->place[i].report);
    setup_release(q->setup);
    pthread_cond_destroy(&q->news);
    pthread_mutex_destroy(&q->lock);
    free(q);
}
