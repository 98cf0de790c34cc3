#include "scepd/outbox.h"

#include <pthread.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <time.h>

#include "enroll/audit.h"
#include "outside/webhook.h"
#include "scepd/thread.h"

/* Refusals that wait to be stored, and that are taken within a minute: nobody can fill the store
 * with them. */
#define FRESH_MAX 256
#define FRESH_PER_MINUTE 600
/* Read of one target at a time, and sent to it at a time: some places are for those that somebody
 * waits for. */
#define LOOK 64
#define FLYING 16
#define FLYING_OTHERS 12
/* So many of one target that come to nothing in a row, and it rests; it does so too when all that
 * wait were looked at, by how many they are. */
#define FAILURES FLYING_OTHERS
#define REST_MIN_MS 2000 /* doubled each time */
#define REST_MAX_MS 60000
#define LOOKED_FREE 1024
#define LOOKED_PER_MS 4
#define AGAIN_MIN 2 /* seconds; doubled with each try */
#define AGAIN_MAX 900
#define HELD_AGAIN_MIN 2 /* somebody waits */
#define HELD_AGAIN_MAX 60
/* Tries of a refusal that the other side says no to: anybody may cause them, and it will not say
 * yes. */
#define UNWANTED_TRIES 8

struct flight {
    TAILQ_ENTRY(flight) entry;
    struct outbox *outbox;
    struct store_notice notice; /* owned */
    bool back, taken, unwanted; /* under the lock; unwanted: it was understood, and not taken */
    bool not_asked;             /* under the lock; the target is not to blame */
    bool given_up;              /* the thread's */
    char text[256];
};
TAILQ_HEAD(flights, flight);

struct parked {
    TAILQ_ENTRY(parked) entry;
    struct service_job *job;
    uint64_t cert_id;
    int64_t until; /* monotonic seconds */
};
TAILQ_HEAD(parkeds, parked);

/* How far the thread has come with one target.  What waits is looked at in passes, from the first
 * to the last, as places for it get free: nothing is read again for each that is sent. */
struct place {
    LIST_ENTRY(place) entry;
    char target[64];
    uint64_t after;  /* passed over in this pass; 0: it has not begun */
    uint64_t looked; /* at so many in it */
    void *seen;      /* what they are about */
    uint64_t held;   /* looked at for those that hold a certificate, for which passes do not wait */
    int64_t held_again; /* when one of those is due once more; 0: none is */
    int64_t rest_until; /* monotonic ms: after a pass over many */
    int64_t away_until; /* monotonic ms: it fails */
    unsigned failures;  /* in a row */
};
LIST_HEAD(places, place);

struct gathered { /* what one round writes */
    struct store_notice fresh[FRESH_MAX];
    size_t fresh_n;
    struct flights back;
};

struct outbox {
    struct store *store;
    struct outside *outside;
    const struct log *log;
    pthread_t thread;
    bool running;
    struct places places;     /* the thread's */
    struct gathered gathered; /* the thread's */
    pthread_mutex_t lock;     /* of all from here on */
    pthread_cond_t news;
    bool stop, draining, stirred;
    struct store_notice fresh[FRESH_MAX];
    size_t fresh_n;
    int64_t minute;
    unsigned in_minute, left_out;
    struct flights flying;
    struct parkeds parked;
};

static int64_t monotonic(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec;
}

static int64_t monotonic_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void stir(struct outbox *o)
{
    o->stirred = true;
    pthread_cond_signal(&o->news);
}

/* ---- what comes in ---- */

void outbox_note(struct outbox *o, struct store_notice *n)
{
    int64_t minute = monotonic() / 60;
    if (!o) {
        store_notice_clear(n);
        return;
    }
    pthread_mutex_lock(&o->lock);
    if (minute != o->minute)
        o->in_minute = 0;
    o->minute = minute;
    if (o->fresh_n < FRESH_MAX && o->in_minute < FRESH_PER_MINUTE) {
        o->in_minute++;
        o->fresh[o->fresh_n++] = *n;
        *n = (struct store_notice){.id = 0};
        stir(o);
    } else {
        o->left_out++;
        store_notice_clear(n);
    }
    pthread_mutex_unlock(&o->lock);
}

bool outbox_hold(void *outbox, struct service_job *job, uint64_t cert_id)
{
    struct outbox *o = outbox;
    const struct config_webhook *w = job->call.endpoint->validate;
    struct parked *p = o && o->outside && w ? calloc(1, sizeof *p) : NULL;
    if (!p)
        return false;
    p->job = job;
    p->cert_id = cert_id;
    p->until = monotonic() + w->timeout;
    pthread_mutex_lock(&o->lock);
    bool taken = !o->draining;
    if (taken) {
        TAILQ_INSERT_TAIL(&o->parked, p, entry);
        stir(o);
    }
    pthread_mutex_unlock(&o->lock);
    if (!taken)
        free(p);
    return taken;
}

static bool for_intune(const struct store_notice *n)
{
    return strncmp(n->event, "intune.", 7) == 0;
}

static bool is_refusal(const struct store_notice *n)
{
    return strcmp(n->event + (for_intune(n) ? 7 : 0), "refused") == 0;
}

/* RFC 9110 section 15.5; those of 4xx that speak of the time, not of what was sent, are none. */
static bool definite_no(const struct outside_answer *a)
{
    return a->result == OUTSIDE_ANSWERED && a->status >= 400 && a->status < 500 &&
           a->status != 408 && a->status != 425 && a->status != 429;
}

/* On the thread of outside/. */
static void on_answer(void *flight, struct outside_answer *a)
{
    struct flight *f = flight;
    struct outbox *o = f->outbox;
    char text[256];
    bool intune = for_intune(&f->notice);
    enum webhook_said said = intune                   ? intune_read(a, text)
                             : webhook_taken(a, text) ? WEBHOOK_ALLOWED
                                                      : WEBHOOK_NOTHING;
    pthread_mutex_lock(&o->lock);
    f->taken = said == WEBHOOK_ALLOWED;
    f->unwanted = said == WEBHOOK_DENIED || definite_no(a);
    f->not_asked =
        a->result == OUTSIDE_BUSY || a->result == OUTSIDE_FORBIDDEN || a->result == OUTSIDE_LOST;
    snprintf(f->text, sizeof f->text, "%s", text);
    f->back = true;
    stir(o);
    pthread_mutex_unlock(&o->lock);
}

/* ---- writing ---- */

static bool revoke_held(struct store_write *w, const struct store_notice *n, int64_t now,
                        struct err *err)
{
    struct store_audit audit;
    char object[32];
    if (!n->held)
        return true;
    snprintf(object, sizeof object, "#%llu", (unsigned long long)n->cert_id);
    audit_fill(&audit, now, "certificate.revoked", "scepd", object,
               "reason=%s: \"%s\" took no notice of it, and it was never handed out",
               crl_reason_text(CRL_CESSATION), n->target);
    struct err why = {0};
    bool ok = store_cert_revoke(w, n->cert_id, CRL_CESSATION, now, &why) ||
              why.kind == ERR_CONFLICT || why.kind == ERR_NOT_FOUND;
    if (!ok)
        *err = why;
    return ok && (why.kind != ERR_NONE || store_audit_put(w, &audit, err));
}

static bool give_up(struct store_write *w, const struct store_notice *n, int64_t now,
                    struct err *err)
{
    struct store_audit audit;
    audit_fill(&audit, now, "notice.undelivered", "scepd", n->target,
               "%s about %s, after %u tries: %s", n->event, n->about, n->tries, n->failure);
    return store_notice_del(w, n, err) && store_audit_put(w, &audit, err) &&
           revoke_held(w, n, now, err);
}

static int64_t again_after(const struct store_notice *n)
{
    int64_t least = n->held ? HELD_AGAIN_MIN : AGAIN_MIN;
    int64_t most = n->held ? HELD_AGAIN_MAX : AGAIN_MAX;
    int64_t wait = least << (n->tries < 10 ? n->tries : 10);
    return wait < most ? wait : most;
}

static bool dropped(const struct flight *f)
{
    return f->unwanted && is_refusal(&f->notice) && f->notice.tries + 1 >= UNWANTED_TRIES;
}

/* Of what came back: nothing is lost when this fails, it is tried again. */
static bool settle(struct store_write *w, struct flight *f, int64_t now, struct err *err)
{
    struct store_notice n = f->notice; /* the body stays the flight's */
    if (f->taken || dropped(f))
        return store_notice_del(w, &n, err);
    n.next_at = now + again_after(&n);
    n.tries++;
    snprintf(n.failure, sizeof n.failure, "%.127s", f->text);
    f->given_up = now - n.created_at > OUTBOX_GIVE_UP;
    if (f->given_up)
        return give_up(w, &n, now, err);
    return store_notice_failed(w, &n, err);
}

static void tell_flight(const struct outbox *o, const struct flight *f)
{
    struct log_line l;
    log_begin(&l, o->log, f->taken ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING, "webhook.notice");
    log_str(&l, "webhook", f->notice.target);
    log_str(&l, "notice", f->notice.event);
    log_str(&l, "about", f->notice.about);
    log_int(&l, "tries", f->notice.tries + !f->taken);
    log_end(&l, "%s%s", f->taken ? "taken" : f->text, dropped(f) ? "; it is dropped" : "");
}

static bool write_all(struct outbox *o, struct gathered *g, int64_t now)
{
    struct store_write *w = NULL;
    struct flight *f;
    struct err err = {0};
    if (g->fresh_n == 0 && TAILQ_EMPTY(&g->back))
        return true;
    bool ok = store_write_begin(o->store, &w, &err);
    for (size_t i = 0; ok && i < g->fresh_n; i++)
        ok = store_notice_put(w, &g->fresh[i], &err);
    TAILQ_FOREACH(f, &g->back, entry)
    {
        struct err why = {0};
        if (ok && !settle(w, f, now, &why) && why.kind != ERR_NOT_FOUND) {
            ok = false;
            err = why;
        }
    }
    if (w)
        ok = ok ? store_write_commit(w, &err) : (store_write_abort(w), false);
    if (!ok)
        log_event(o->log, LOG_LEVEL_ERROR, "webhook.store", "notices cannot be stored: %s",
                  err.text);
    return ok;
}

/* How many refusals have no room; they are dropped. */
static unsigned without_room(struct outbox *o, struct gathered *g)
{
    struct err ignored = {0};
    uint64_t waiting = 0;
    unsigned dropped = 0;
    if (g->fresh_n == 0 || !store_notice_count(o->store, &waiting, &ignored))
        return 0;
    while (g->fresh_n && waiting + g->fresh_n > OUTBOX_WAITING_MAX) {
        store_notice_clear(&g->fresh[--g->fresh_n]);
        dropped++;
    }
    return dropped;
}

static unsigned gather(struct outbox *o, struct gathered *g)
{
    struct flight *f, *next;
    pthread_mutex_lock(&o->lock);
    g->fresh_n = o->fresh_n;
    memcpy(g->fresh, o->fresh, o->fresh_n * sizeof *o->fresh);
    o->fresh_n = 0;
    unsigned left_out = o->left_out;
    o->left_out = 0;
    TAILQ_INIT(&g->back);
    for (f = TAILQ_FIRST(&o->flying); f; f = next) {
        next = TAILQ_NEXT(f, entry);
        if (!f->back)
            continue;
        TAILQ_REMOVE(&o->flying, f, entry);
        TAILQ_INSERT_TAIL(&g->back, f, entry);
    }
    pthread_mutex_unlock(&o->lock);
    return left_out;
}

/* Nothing could be written.  What was sent stays among what is on its way, or it would be sent
 * again at once; it is written when that is possible again. */
static void put_back(struct outbox *o, struct gathered *g)
{
    pthread_mutex_lock(&o->lock);
    TAILQ_CONCAT(&o->flying, &g->back, entry);
    if (o->fresh_n + g->fresh_n <= FRESH_MAX) {
        memmove(o->fresh + g->fresh_n, o->fresh, o->fresh_n * sizeof *o->fresh);
        memcpy(o->fresh, g->fresh, g->fresh_n * sizeof *g->fresh);
        o->fresh_n += g->fresh_n;
    } else {
        o->left_out += (unsigned)g->fresh_n;
        for (size_t i = 0; i < g->fresh_n; i++)
            store_notice_clear(&g->fresh[i]);
    }
    g->fresh_n = 0;
    pthread_mutex_unlock(&o->lock);
}

/* NULL: out of memory. */
static struct place *place_of(struct outbox *o, const char *target)
{
    struct place *p;
    LIST_FOREACH(p, &o->places, entry)
    if (strcmp(p->target, target) == 0)
        return p;
    p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    snprintf(p->target, sizeof p->target, "%s", target);
    LIST_INSERT_HEAD(&o->places, p, entry);
    return p;
}

static void look_again(struct place *p, int64_t at)
{
    if (!p->held_again || at < p->held_again)
        p->held_again = at;
}

/* A server that is away takes none of the others either.  One that says no to this one may well
 * take the next. */
static void learn(struct outbox *o, const struct flight *f, int64_t now)
{
    struct place *p = place_of(o, f->notice.target);
    if (!p || f->given_up)
        return;
    if (f->notice.held && !f->taken)
        look_again(p, now + again_after(&f->notice));
    if (f->not_asked)
        return;
    if (f->taken || f->unwanted) {
        p->failures = 0;
        p->away_until = 0;
    } else if (++p->failures % FAILURES == 0) {
        unsigned times = p->failures / FAILURES - 1;
        int64_t ms = (int64_t)REST_MIN_MS << (times < 5 ? times : 5);
        p->away_until = monotonic_ms() + (ms < REST_MAX_MS ? ms : REST_MAX_MS);
    }
}

static void write_news(struct outbox *o, struct gathered *g, int64_t now)
{
    struct flight *f;
    unsigned left_out = gather(o, g);
    left_out += without_room(o, g);
    if (!write_all(o, g, now))
        put_back(o, g);
    if (left_out)
        log_event(o->log, LOG_LEVEL_WARNING, "webhook.left_out",
                  "%u refusals are too many for webhooks to be told of each", left_out);
    while (g->fresh_n)
        store_notice_clear(&g->fresh[--g->fresh_n]);
    while ((f = TAILQ_FIRST(&g->back))) {
        TAILQ_REMOVE(&g->back, f, entry);
        tell_flight(o, f);
        learn(o, f, now);
        store_notice_clear(&f->notice);
        free(f);
    }
}

/* ---- jobs that wait ---- */

static bool held_still(struct outbox *o, uint64_t cert_id)
{
    struct err ignored = {0};
    bool held = true;
    return !store_notice_holds(o->store, cert_id, &held, &ignored) || held;
}

/* Whoever is not held back any more, and whoever has waited long enough.  The list is taken away
 * while the store is read: whoever adds to it does not wait for that. */
static void let_go(struct outbox *o)
{
    struct parkeds waiting = TAILQ_HEAD_INITIALIZER(waiting);
    struct parkeds staying = TAILQ_HEAD_INITIALIZER(staying);
    struct parked *p;
    int64_t now = monotonic();
    pthread_mutex_lock(&o->lock);
    TAILQ_CONCAT(&waiting, &o->parked, entry);
    bool draining = o->draining;
    pthread_mutex_unlock(&o->lock);
    while ((p = TAILQ_FIRST(&waiting))) {
        TAILQ_REMOVE(&waiting, p, entry);
        if (now < p->until && !draining && held_still(o, p->cert_id)) {
            TAILQ_INSERT_TAIL(&staying, p, entry);
        } else {
            service_pool_return(p->job);
            free(p);
        }
    }
    pthread_mutex_lock(&o->lock);
    TAILQ_CONCAT(&staying, &o->parked, entry); /* those that came meanwhile are behind */
    TAILQ_CONCAT(&o->parked, &staying, entry);
    pthread_mutex_unlock(&o->lock);
}

/* ---- sending ---- */

/* Is it on its way itself, or another one about the same that it waits for? */
static bool on_its_way(struct outbox *o, const struct store_notice *n, size_t *of_target)
{
    const struct flight *f;
    bool found = false;
    *of_target = 0;
    pthread_mutex_lock(&o->lock);
    TAILQ_FOREACH(f, &o->flying, entry)
    {
        if (strcmp(f->notice.target, n->target) != 0)
            continue;
        ++*of_target;
        found =
            found || f->notice.id == n->id || (!n->held && strcmp(f->notice.about, n->about) == 0);
    }
    pthread_mutex_unlock(&o->lock);
    return found;
}

static void came_to_nothing(struct outbox *o, struct flight *f, const char *why)
{
    pthread_mutex_lock(&o->lock);
    f->back = f->not_asked = true;
    snprintf(f->text, sizeof f->text, "%.255s", why);
    stir(o);
    pthread_mutex_unlock(&o->lock);
}

static void send(struct outbox *o, const struct store_notice *n)
{
    struct err err = {0};
    struct flight *f = calloc(1, sizeof *f);
    if (!f)
        return;
    f->outbox = o;
    f->notice = *n;
    if (!store_notice_body(o->store, &f->notice, &err)) {
        log_event(o->log, LOG_LEVEL_ERROR, "webhook.store", "a notice cannot be read: %s",
                  err.text);
        free(f);
        return;
    }
    bool intune = for_intune(n);
    struct outside_ask q = {.kind = intune ? OUTSIDE_INTUNE : OUTSIDE_WEBHOOK,
                            .name = f->notice.target,
                            .post = true,
                            .suffix = !intune         ? NULL
                                      : is_refusal(n) ? INTUNE_FAILURE
                                                      : INTUNE_SUCCESS,
                            .body = buf_view(&f->notice.body),
                            .repeatable = true};
    pthread_mutex_lock(&o->lock);
    TAILQ_INSERT_TAIL(&o->flying, f, entry);
    pthread_mutex_unlock(&o->lock);
    if (!o->outside)
        came_to_nothing(o, f, "the configuration names no webhook any more");
    else if (!outside_call(o->outside, &q, on_answer, f, &err))
        came_to_nothing(o, f, err.text);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* False: out of memory. */
static bool keep_about(void **seen, const struct store_notice *n)
{
    if (tfind(n->about, seen, by_text))
        return true;
    char *about = strdup(n->about);
    bool ok = about && tsearch(about, seen, by_text);
    if (!ok)
        free(about);
    return ok;
}

static size_t on_their_way(struct outbox *o, const char *target)
{
    const struct flight *f;
    size_t n = 0;
    pthread_mutex_lock(&o->lock);
    TAILQ_FOREACH(f, &o->flying, entry)
    n += strcmp(f->notice.target, target) == 0;
    pthread_mutex_unlock(&o->lock);
    return n;
}

/* Nothing can be sent, and it is not yet to be given up. */
static bool useless(const struct outbox *o, const struct store_notice *n, int64_t now)
{
    return !o->outside && now - n->created_at <= OUTBOX_GIVE_UP;
}

/* False: it is to be sent, and there is no place for it. */
static bool send_if_due(struct outbox *o, struct place *p, const struct store_notice *n,
                        int64_t now)
{
    size_t flying = 0;
    bool due = n->next_at <= now && !useless(o, n, now) && !on_its_way(o, n, &flying);
    bool first = n->held || !tfind(n->about, &p->seen, by_text); /* somebody waits: it does not */
    if (due && first && flying >= (n->held ? FLYING : FLYING_OTHERS))
        return false;
    if (!keep_about(&p->seen, n))
        return false; /* or the next one about the same would go first */
    if (due && first)
        send(o, n);
    return true;
}

static void end_pass(struct place *p)
{
    tdestroy(p->seen, free);
    p->seen = NULL;
    int64_t ms = (int64_t)(p->looked < LOOKED_FREE ? 0 : p->looked / LOOKED_PER_MS);
    p->rest_until = monotonic_ms() + (ms < REST_MAX_MS ? ms : REST_MAX_MS);
    p->after = p->looked = 0;
}

static bool page(struct outbox *o, const struct place *p, uint64_t after, struct store_notice *list,
                 size_t *n)
{
    struct err err = {0};
    bool ok = store_notices(o->store, p->target, after, list, LOOK, n, &err);
    if (!ok)
        log_event(o->log, LOG_LEVEL_ERROR, "webhook.store", "notices cannot be read: %s", err.text);
    return ok;
}

/* Goes on with the pass until there is no place.  Those that are never taken keep nothing back that
 * is about something else. */
static void go_on(struct outbox *o, struct place *p, int64_t now)
{
    struct store_notice list[LOOK];
    size_t n = LOOK;
    while (n == LOOK && on_their_way(o, p->target) < FLYING_OTHERS) {
        if (!page(o, p, p->after, list, &n))
            return;
        for (size_t i = 0; i < n; i++) {
            if (!send_if_due(o, p, &list[i], now))
                return;
            p->after = list[i].id;
            p->looked++;
        }
    }
    if (n < LOOK)
        end_pass(p);
}

/* Those that hold a certificate, also while the others rest: new ones, and all when one of them is
 * due once more. */
static void send_held(struct outbox *o, struct place *p, int64_t now)
{
    struct store_notice list[LOOK];
    size_t n = LOOK, flying = 0;
    if (p->held_again && p->held_again <= now) {
        p->held = 0;
        p->held_again = 0;
    }
    while (n == LOOK && page(o, p, p->held, list, &n)) {
        for (size_t i = 0; i < n; i++) {
            bool due = list[i].held && list[i].next_at <= now && !useless(o, &list[i], now) &&
                       !on_its_way(o, &list[i], &flying);
            if (due && flying >= FLYING)
                return;
            if (due)
                send(o, &list[i]);
            else if (list[i].held && list[i].next_at > now)
                look_again(p, list[i].next_at);
            p->held = list[i].id;
        }
    }
}

static void send_due(struct outbox *o, int64_t now)
{
    char target[64] = "";
    struct err ignored = {0};
    struct place *p;
    uint64_t n = 0, held = 0;
    if (!store_notice_count(o->store, &n, &ignored) || n == 0 ||
        !store_notice_held(o->store, &held, &ignored))
        return;
    while (store_notice_target(o->store, target, target, &ignored) && *target &&
           (p = place_of(o, target))) {
        if (held)
            send_held(o, p, now);
        if (monotonic_ms() >= p->rest_until && monotonic_ms() >= p->away_until)
            go_on(o, p, now);
    }
}

/* ---- the thread ---- */

static bool wait_for_news(struct outbox *o)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += 1;
    pthread_mutex_lock(&o->lock);
    if (!o->stirred && !o->stop)
        pthread_cond_timedwait(&o->news, &o->lock, &until);
    o->stirred = false;
    bool go_on = !o->stop;
    pthread_mutex_unlock(&o->lock);
    return go_on;
}

static void *run(void *outbox)
{
    struct outbox *o = outbox;
    bool go_on = true;
    while (go_on) {
        go_on = wait_for_news(o);
        write_news(o, &o->gathered, time(NULL));
        let_go(o);
        if (go_on)
            send_due(o, time(NULL));
    }
    return NULL;
}

bool outbox_new(struct store *store, struct outside *outside, const struct log *log,
                struct outbox **out, struct err *err)
{
    struct outbox *o = calloc(1, sizeof *o);
    if (!o)
        return err_memory(err);
    o->store = store;
    o->outside = outside;
    o->log = log;
    pthread_mutex_init(&o->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&o->news, &monotonic);
    pthread_condattr_destroy(&monotonic);
    TAILQ_INIT(&o->flying);
    TAILQ_INIT(&o->parked);
    LIST_INIT(&o->places);
    o->running = thread_start(&o->thread, "outbox", run, o);
    if (!o->running) {
        outbox_free(o);
        return err_set(err, ERR_MEMORY, "cannot start the thread that tells webhooks");
    }
    *out = o;
    return true;
}

void outbox_drain(struct outbox *o)
{
    if (!o)
        return;
    pthread_mutex_lock(&o->lock);
    o->draining = true;
    stir(o);
    pthread_mutex_unlock(&o->lock);
}

void outbox_stop(struct outbox *o)
{
    if (!o || !o->running)
        return;
    pthread_mutex_lock(&o->lock);
    o->stop = true;
    stir(o);
    pthread_mutex_unlock(&o->lock);
    pthread_join(o->thread, NULL);
    o->running = false;
}

void outbox_free(struct outbox *o)
{
    struct flight *f;
    struct place *p;
    if (!o)
        return;
    outbox_stop(o);
    while ((p = LIST_FIRST(&o->places))) {
        LIST_REMOVE(p, entry);
        tdestroy(p->seen, free);
        free(p);
    }
    while ((f = TAILQ_FIRST(&o->flying))) {
        TAILQ_REMOVE(&o->flying, f, entry);
        store_notice_clear(&f->notice);
        free(f);
    }
    while (o->fresh_n)
        store_notice_clear(&o->fresh[--o->fresh_n]);
    pthread_cond_destroy(&o->news);
    pthread_mutex_destroy(&o->lock);
    free(o);
}
