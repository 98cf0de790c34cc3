#include "scepd/upkeep.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "api/api.h"
#include "base/text.h"
#include "enroll/enroll.h"
#include "scepd/crl_directory.h"
#include "scepd/metrics.h"
#include "scepd/thread.h"

#define TICK_SECONDS 1
#define HOUSEKEEP_SECONDS 60
/* After a CRL could not be published. */
#define RETRY_SECONDS 10
/* How far a clock falls back when it is set right by hand or by an NTP step, at most. */
#define CLOCK_SLACK 60

/* Under a stream of revocations, building lists may take one part in this of the time, but no
 * revocation waits for its list longer than that. */
#define BUILD_SHARE 5
#define BUILD_WAIT_MAX_MS 5000

struct published {
    atomic_uint references;
    struct store_crl crl; /* owned: the file of the store, mapped */
};

#define SCOPES (CRL_MAX_SHARDS + 2)

struct slot {
    struct published *current[SCOPES]; /* under the lock; one reference each */
    uint64_t number[SCOPES];           /* of `current`, 0: none */
    uint64_t written[SCOPES];          /* the same, of the file in crl_directory */
    uint64_t revocations;              /* generation that the lists show */
    int64_t due, retry;                /* Unix seconds: a period ends; not before */
    int64_t rest_until_ms; /* monotonic: another list for revocations alone not before */
    bool look;             /* the store changed, and nobody has looked yet */
    bool asked;            /* under the lock: somebody wants new lists */
    bool final;            /* of an authority that has ended or whose key is not here */
};

struct upkeep {
    struct upkeep_options options;
    pthread_mutex_t lock;
    pthread_cond_t stop_now;
    bool stop, running, asked;
    pthread_t thread;
    uint64_t generation; /* of the store when it was last looked at */
    struct brought_shelf *brought;
    int64_t brought_retry; /* Unix seconds: after a failure, not before; 0: none */
    int64_t housekept,
        latest;         /* Unix seconds: of the last tick, at first of the store's newest entry */
    struct slot slot[]; /* one for each authority */
};

/* ---- what is served ---- */

/* Complete list, partitions, delta. */
static size_t place_of(uint32_t scope)
{
    return scope == STORE_CRL_DELTA ? SCOPES - 1 : scope;
}

const struct store_crl *published_crl(const struct published *p)
{
    return &p->crl;
}

void published_release(void *published)
{
    struct published *p = published;
    if (!p || atomic_fetch_sub(&p->references, 1) > 1)
        return;
    store_crl_clear(&p->crl);
    free(p);
}

struct published *upkeep_crl_get1(struct upkeep *u, size_t authority, uint32_t scope)
{
    if (scope > CRL_MAX_SHARDS && scope != STORE_CRL_DELTA)
        return NULL;
    pthread_mutex_lock(&u->lock);
    struct published *p = u->slot[authority].current[place_of(scope)];
    if (p)
        atomic_fetch_add(&p->references, 1);
    pthread_mutex_unlock(&u->lock);
    return p;
}

struct brought *upkeep_brought_get1(struct upkeep *u, size_t authority, size_t chain, bool *known)
{
    return brought_get1(u->brought, authority, chain, known);
}

/* Takes what is in `crl`. */
static bool serve(struct upkeep *u, size_t i, uint32_t scope, struct store_crl *crl,
                  struct err *err)
{
    struct slot *slot = &u->slot[i];
    struct published *p = calloc(1, sizeof *p), *old;
    if (!p)
        return err_memory(err);
    atomic_init(&p->references, 1);
    p->crl = *crl;
    *crl = (struct store_crl){0};
    pthread_mutex_lock(&u->lock);
    old = slot->current[place_of(scope)];
    slot->current[place_of(scope)] = p;
    pthread_mutex_unlock(&u->lock);
    slot->number[place_of(scope)] = p->crl.number;
    published_release(old);
    return true;
}

/* After its end nobody signs for an authority: its last list stays what it is. */
static bool ended(const struct upkeep *u, size_t i, int64_t now)
{
    return u->options.authorities[i]->key_ca < 0 ||
           now >= u->options.authorities[i]->cert->not_after;
}

static void note_due(struct upkeep *u, size_t i, const struct store_crl *crl)
{
    struct slot *slot = &u->slot[i];
    int64_t due = crl->this_update + u->options.authorities[i]->crl_period;
    if (due > crl->next_update)
        due = crl->next_update;
    if (!slot->due || due < slot->due)
        slot->due = due;
}

/* What the store has of one scope, whoever has put it there. */
static bool take(struct upkeep *u, size_t i, uint32_t scope, struct err *err)
{
    const struct authority *a = u->options.authorities[i];
    struct store_crl crl = {0};
    struct err why = {0};
    if (!store_crl_about(u->options.store, a->key_id, scope, &crl, &why)) {
        if (why.kind != ERR_NOT_FOUND)
            *err = why;
        return why.kind == ERR_NOT_FOUND;
    }
    note_due(u, i, &crl);
    if (crl.number == u->slot[i].number[place_of(scope)])
        return true;
    bool ok = store_crl_get(u->options.store, a->key_id, scope, &crl, &why);
    if (ok)
        ok = serve(u, i, scope, &crl, err);
    else if (!(ok = why.kind == ERR_NOT_FOUND)) /* a store that was restored */
        *err = why;
    store_crl_clear(&crl);
    return ok;
}

/* For another web server; what is served here does not wait for it. */
static bool write_out(struct upkeep *u, size_t i, uint32_t scope, struct err *err)
{
    struct slot *slot = &u->slot[i];
    const struct published *p = slot->current[place_of(scope)];
    const char *directory = u->options.crl_directory;
    if (!directory || !directory[0] || !p || slot->written[place_of(scope)] == p->crl.number)
        return true;
    if (!crl_directory_write(directory, u->options.authorities[i], scope, p->crl.der, err))
        return false;
    slot->written[place_of(scope)] = p->crl.number;
    return true;
}

static bool take_all(struct upkeep *u, size_t i, struct err *err)
{
    struct crl_scopes all;
    u->slot[i].due = 0;
    if (!crl_scopes(u->options.authorities[i], u->options.store, &all, err))
        return false;
    for (size_t k = 0; k < all.n; k++)
        if (!take(u, i, all.scope[k], err))
            return false;
    for (size_t k = 0; k < all.n; k++)
        if (!write_out(u, i, all.scope[k], err))
            return false;
    return true;
}

/* ---- when ---- */

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void rest(struct slot *slot, int64_t began_ms)
{
    int64_t now = now_ms(), wait = (now - began_ms) * (BUILD_SHARE - 1);
    slot->rest_until_ms = now + (wait < BUILD_WAIT_MAX_MS ? wait : BUILD_WAIT_MAX_MS);
}

static bool take_asked(struct upkeep *u, struct slot *slot)
{
    pthread_mutex_lock(&u->lock);
    bool asked = slot->asked;
    slot->asked = false;
    pthread_mutex_unlock(&u->lock);
    return asked;
}

static bool is_asked(struct upkeep *u, const struct slot *slot)
{
    pthread_mutex_lock(&u->lock);
    bool asked = slot->asked;
    pthread_mutex_unlock(&u->lock);
    return asked;
}

/* Another process may have published one, which then is only taken over. */
static bool renew(struct upkeep *u, size_t i, int64_t now, bool asked, struct crl_scopes *made,
                  struct err *err)
{
    const struct authority *a = u->options.authorities[i];
    struct slot *slot = &u->slot[i];
    uint64_t generation;
    int64_t began = now_ms();
    slot->final = ended(u, i, now);
    if (slot->final)
        return crl_keep_last(a, u->options.store, now, err) && take_all(u, i, err);
    if (!store_revocation_generation(u->options.store, a->key_id, &generation, err) ||
        !(asked ? crl_scopes(a, u->options.store, made, err)
                : crl_due(a, u->options.store, now, made, err)))
        return false;
    if (made->n && !crl_publish(a, u->options.lane, u->options.store, now, made, err))
        return false;
    if (!take_all(u, i, err))
        return false;
    slot->revocations = generation; /* or later: then one look too many */
    if (made->n)
        rest(slot, began);
    return true;
}

static void tell(struct upkeep *u, size_t i, const struct crl_scopes *made)
{
    for (size_t k = 0; k < made->n; k++) {
        const struct published *p = u->slot[i].current[place_of(made->scope[k])];
        struct log_line l;
        char suffix[24];
        if (!p)
            continue;
        crl_scope_suffix(made->scope[k], suffix);
        log_begin(&l, u->options.log, LOG_LEVEL_INFO, "crl.published");
        log_str(&l, "authority", u->options.authorities[i]->name);
        if (suffix[0])
            log_str(&l, "scope", suffix + 1);
        log_int(&l, "number", (int64_t)p->crl.number);
        log_int(&l, "entries", (int64_t)p->crl.entries);
        log_int(&l, "out", (int64_t)p->crl.size);
        log_end(&l, "%s", "");
    }
}

static void renew_and_tell(struct upkeep *u, size_t i, int64_t now)
{
    struct log_line l;
    struct err err = {0};
    struct crl_scopes made = {.n = 0};
    bool asked = take_asked(u, &u->slot[i]);
    bool ok = renew(u, i, now, asked, &made, &err);
    u->slot[i].retry = ok ? 0 : now + RETRY_SECONDS;
    if (ok) {
        tell(u, i, &made);
        return;
    }
    if (asked)
        upkeep_publish(u, i);
    metrics_crl_failed(u->options.metrics);
    log_begin(&l, u->options.log, LOG_LEVEL_ERROR, "crl.failed");
    log_str(&l, "authority", u->options.authorities[i]->name);
    log_end(&l, "no CRL could be published, the next try is in %d s: %s", RETRY_SECONDS, err.text);
}

/* scepctl has published or imported one meanwhile, or that cannot be seen now. */
static bool other_is_stored(const struct upkeep *u, size_t i)
{
    const struct authority *a = u->options.authorities[i];
    struct crl_scopes all;
    struct store_crl crl = {0};
    struct err err = {0};
    if (!crl_scopes(a, u->options.store, &all, &err))
        return true;
    for (size_t k = 0; k < all.n; k++) {
        err_clear(&err);
        bool there = store_crl_about(u->options.store, a->key_id, all.scope[k], &crl, &err);
        if (there ? !crl.missing && crl.number != u->slot[i].number[place_of(all.scope[k])]
                  : err.kind != ERR_NOT_FOUND)
            return true;
    }
    return false;
}

static bool revoked_since(const struct upkeep *u, size_t i)
{
    struct err err = {0};
    uint64_t revocations;
    return !store_revocation_generation(u->options.store, u->options.authorities[i]->key_id,
                                        &revocations, &err) ||
           revocations != u->slot[i].revocations;
}

static bool wants_renewal(struct upkeep *u, size_t i, bool store_changed, int64_t now)
{
    struct slot *slot = &u->slot[i];
    slot->look = slot->look || store_changed;
    if (slot->retry) /* a clock that was set back must not make it wait for longer */
        return now >= slot->retry || now < slot->retry - RETRY_SECONDS;
    if (slot->final)
        return !ended(u, i, now) /* the clock was set back */ ||
               (store_changed && other_is_stored(u, i));
    if (!slot->current[0] || now >= slot->due || is_asked(u, slot))
        return true;
    if (!slot->look || now_ms() < slot->rest_until_ms) /* a burst is one list */
        return false;
    slot->look = false;
    return revoked_since(u, i) || other_is_stored(u, i);
}

static void housekeep(struct upkeep *u, int64_t now)
{
    struct err err = {0};
    u->housekept = now;
    if (!store_housekeep(u->options.store, &err) ||
        !enroll_housekeep(u->options.store, now, &err) ||
        !api_housekeep(u->options.store, now, &err))
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

/* What was served goes on being served. */
static void look_at_brought(struct upkeep *u, bool store_changed, int64_t now)
{
    struct err err = {0};
    bool due = u->brought_retry ? now >= u->brought_retry || now < u->brought_retry - RETRY_SECONDS
                                : store_changed;
    if (!due)
        return;
    bool ok = brought_shelf_look(u->brought, &err);
    u->brought_retry = ok ? 0 : now + RETRY_SECONDS;
    if (!ok)
        log_event(u->options.log, LOG_LEVEL_ERROR, "crl.brought",
                  "a CRL that was brought cannot be read, the next try is in %d s: %s",
                  RETRY_SECONDS, err.text);
}

static void tick(struct upkeep *u, int64_t now)
{
    struct err err = {0};
    uint64_t generation = 0;
    watch_clock(u, now);
    bool changed =
        !store_generation(u->options.store, &generation, &err) || generation != u->generation;
    look_at_brought(u, changed, now);
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
        while (!u->stop && !u->asked && pthread_cond_timedwait(&u->stop_now, &u->lock, &next) == 0)
            ;
        if (u->stop)
            break;
        u->asked = false;
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
    if (!brought_shelf_new(o->authorities, o->authority_n, o->store, &u->brought, err)) {
        upkeep_free(u);
        return false;
    }
    u->brought_retry = 1; /* nobody has looked yet */
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

bool upkeep_publish(struct upkeep *u, size_t authority)
{
    if (authority >= u->options.authority_n)
        return false;
    pthread_mutex_lock(&u->lock);
    u->slot[authority].asked = true;
    u->asked = true;
    pthread_cond_signal(&u->stop_now);
    pthread_mutex_unlock(&u->lock);
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
        for (size_t k = 0; k < SCOPES; k++)
            published_release(u->slot[i].current[k]);
    brought_shelf_free(u->brought);
    pthread_cond_destroy(&u->stop_now);
    pthread_mutex_destroy(&u->lock);
    free(u);
}
