#include "scepd/upkeep.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "base/text.h"
#include "enroll/enroll.h"
#include "scepd/metrics.h"
#include "scepd/thread.h"

#define TICK_SECONDS 1
#define HOUSEKEEP_SECONDS 60
/* After a CRL could not be published. */
#define RETRY_SECONDS 10
/* How far a clock falls back when it is set right by hand or by an NTP step, at most. */
#define CLOCK_SLACK 60

struct published {
    atomic_uint references;
    struct buf der;
};

struct slot {
    struct published *current; /* under the lock; one reference */
    uint64_t revocations;      /* that `current` shows */
    uint64_t number;           /* of `current` */
    int64_t due, retry;        /* Unix seconds: its period ends; not before */
    bool final;                /* of an authority that has ended */
};

struct upkeep {
    struct upkeep_options options;
    pthread_mutex_t lock;
    pthread_cond_t stop_now;
    bool stop, running;
    pthread_t thread;
    uint64_t generation; /* of the store when it was last looked at */
    int64_t housekept,
        latest;         /* Unix seconds: of the last tick, at first of the store's newest entry */
    struct slot slot[]; /* one for each authority */
};

struct view published_view(const struct published *p)
{
    return buf_view(&p->der);
}

void published_release(void *published)
{
    struct published *p = published;
    if (!p || atomic_fetch_sub(&p->references, 1) > 1)
        return;
    buf_clear(&p->der);
    free(p);
}

struct published *upkeep_crl_get1(struct upkeep *u, size_t authority)
{
    pthread_mutex_lock(&u->lock);
    struct published *p = u->slot[authority].current;
    if (p)
        atomic_fetch_add(&p->references, 1);
    pthread_mutex_unlock(&u->lock);
    return p;
}

/* Takes the bytes out of `crl`. */
static bool serve(struct upkeep *u, size_t i, struct store_crl *crl, struct err *err)
{
    struct slot *slot = &u->slot[i];
    struct published *p = calloc(1, sizeof *p), *old;
    if (!p)
        return err_memory(err);
    atomic_init(&p->references, 1);
    p->der = crl->der;
    crl->der = (struct buf){0};
    slot->revocations = crl->generation;
    slot->number = crl->number;
    slot->final = false;
    slot->due = crl->this_update + u->options.authorities[i]->crl_period;
    if (slot->due > crl->next_update)
        slot->due = crl->next_update;
    pthread_mutex_lock(&u->lock);
    old = slot->current;
    slot->current = p;
    pthread_mutex_unlock(&u->lock);
    published_release(old);
    return true;
}

/* After its end nobody signs for an authority: its last list stays what it is. */
static bool ended(const struct upkeep *u, size_t i, int64_t now)
{
    return u->options.authorities[i]->key_ca < 0 ||
           now >= u->options.authorities[i]->cert->not_after;
}

static bool take_last(struct upkeep *u, size_t i, struct err *err)
{
    struct store_crl crl = {0};
    struct err why = {0};
    bool found = store_crl_get(u->options.store, u->options.authorities[i]->key_id, 0, &crl, &why);
    bool ok = found ? serve(u, i, &crl, err) : why.kind == ERR_NOT_FOUND;
    if (!ok && !found)
        *err = why;
    store_crl_clear(&crl);
    u->slot[i].final = ok;
    return ok;
}

/* Another process may have published one, which then is only taken over. */
static bool renew(struct upkeep *u, size_t i, int64_t now, bool *published, struct err *err)
{
    const struct authority *a = u->options.authorities[i];
    struct store_crl crl = {0};
    bool due;
    if (ended(u, i, now))
        return take_last(u, i, err);
    bool ok = crl_due(a, u->options.store, now, &due, err) &&
              (due ? crl_publish(a, u->options.lane, u->options.store, now, &crl, err)
                   : store_crl_get(u->options.store, a->key_id, 0, &crl, err));
    if (ok) {
        *published = due;
        ok = serve(u, i, &crl, err);
    }
    store_crl_clear(&crl);
    return ok;
}

static void renew_and_tell(struct upkeep *u, size_t i, int64_t now)
{
    struct log_line l;
    struct err err = {0};
    bool published = false;
    bool ok = renew(u, i, now, &published, &err);
    u->slot[i].retry = ok ? 0 : now + RETRY_SECONDS;
    if (!ok)
        metrics_crl_failed(u->options.metrics);
    if (ok && !published)
        return;
    log_begin(&l, u->options.log, ok ? LOG_LEVEL_INFO : LOG_LEVEL_ERROR,
              ok ? "crl.published" : "crl.failed");
    log_str(&l, "authority", u->options.authorities[i]->name);
    if (ok) {
        log_int(&l, "out", (int64_t)u->slot[i].current->der.n);
        log_end(&l, "%s", "");
    } else {
        log_end(&l, "no CRL could be published, the next try is in %d s: %s", RETRY_SECONDS,
                err.text);
    }
}

/* scepctl crl publish has made one meanwhile. */
static bool other_is_stored(const struct upkeep *u, size_t i)
{
    struct store_crl crl = {0};
    struct err err = {0};
    size_t bytes;
    bool found =
        store_crl_about(u->options.store, u->options.authorities[i]->key_id, 0, &crl, &bytes, &err);
    return found && crl.number != u->slot[i].number;
}

static bool wants_renewal(struct upkeep *u, size_t i, bool store_changed, int64_t now)
{
    struct slot *slot = &u->slot[i];
    struct err err = {0};
    uint64_t revocations;
    if (slot->final)
        return !ended(u, i, now); /* the clock was set back */
    if (slot->retry)              /* a clock that was set back must not make it wait for longer */
        return now >= slot->retry || now < slot->retry - RETRY_SECONDS;
    if (!slot->current || now >= slot->due)
        return true;
    return store_changed &&
           (!store_revocation_generation(u->options.store, u->options.authorities[i]->key_id,
                                         &revocations, &err) ||
            revocations != slot->revocations || other_is_stored(u, i));
}

static void housekeep(struct upkeep *u, int64_t now)
{
    struct err err = {0};
    u->housekept = now;
    if (!store_housekeep(u->options.store, &err) || !enroll_housekeep(u->options.store, now, &err))
        log_event(u->options.log, LOG_LEVEL_ERROR, "store.housekeep", "%s", err.text);
}

/* Expiry of challenges, certificates and CRLs hangs on the clock, and a CRL is never earlier than
 * the one before: an alarm, once for each time that it falls back. */
static void watch_clock(struct upkeep *u, int64_t now)
{
    char then[32], here[32];
    if (now + CLOCK_SLACK < u->latest) {
        text_time(u->latest, then);
        text_time(now, here);
        log_event(u->options.log, LOG_LEVEL_WARNING, "clock.behind",
                  "the clock says %s, and it was %s already: set it right, or what is issued now "
                  "ends too early",
                  here, then);
    }
    u->latest = now;
}

static void tick(struct upkeep *u, int64_t now)
{
    struct err err = {0};
    uint64_t generation = 0;
    watch_clock(u, now);
    bool changed =
        !store_generation(u->options.store, &generation, &err) || generation != u->generation;
    for (size_t i = 0; i < u->options.authority_n; i++)
        if (wants_renewal(u, i, changed, now))
            renew_and_tell(u, i, now);
    u->generation = generation;
    if (now - u->housekept >= HOUSEKEEP_SECONDS || now < u->housekept)
        housekeep(u, now);
}

static void *run(void *upkeep)
{
    struct upkeep *u = upkeep;
    struct timespec next;
    clock_gettime(CLOCK_MONOTONIC, &next);
    pthread_mutex_lock(&u->lock);
    while (!u->stop) {
        next.tv_sec += TICK_SECONDS;
        while (!u->stop && pthread_cond_timedwait(&u->stop_now, &u->lock, &next) == 0)
            ;
        if (u->stop)
            break;
        pthread_mutex_unlock(&u->lock);
        tick(u, time(NULL));
        clock_gettime(CLOCK_MONOTONIC, &next);
        pthread_mutex_lock(&u->lock);
    }
    pthread_mutex_unlock(&u->lock);
    return NULL;
}

bool upkeep_new(const struct upkeep_options *o, struct upkeep **out, struct err *err)
{
    struct upkeep *u = calloc(1, sizeof *u + o->authority_n * sizeof u->slot[0]);
    pthread_condattr_t monotonic;
    if (!u)
        return err_memory(err);
    u->options = *o;
    pthread_mutex_init(&u->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&u->stop_now, &monotonic);
    pthread_condattr_destroy(&monotonic);
    struct err ignored = {0};
    store_audit_newest(o->store, &u->latest, &ignored); /* 0 when it cannot be read */
    tick(u, time(NULL));
    u->running = thread_start(&u->thread, "upkeep", run, u);
    if (!u->running) {
        upkeep_free(u);
        return err_set(err, ERR_MEMORY, "cannot start a thread");
    }
    *out = u;
    return true;
}

void upkeep_free(struct upkeep *u)
{
    if (!u)
        return;
    pthread_mutex_lock(&u->lock);
    u->stop = true;
    pthread_cond_signal(&u->stop_now);
    pthread_mutex_unlock(&u->lock);
    if (u->running)
        pthread_join(u->thread, NULL);
    for (size_t i = 0; i < u->options.authority_n; i++)
        published_release(u->slot[i].current);
    pthread_cond_destroy(&u->stop_now);
    pthread_mutex_destroy(&u->lock);
    free(u);
}
