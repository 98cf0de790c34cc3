#include "scepd/attempts.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "scepd/thread.h"
#include "store/fleet.h"

/* Peers that are remembered at a time, in sets whose oldest member leaves for a new one. */
#define PEER_SETS 512
#define PEER_WAYS 4
#define WINDOW 60
#define FORGET_SECONDS 60
#define FORGET_STEPS 100
/* Fetches without a message after them are told about so often for one peer. */
#define SILENCE_TOLD 600

struct sample {
    int64_t begun; /* of its minute; 0: none */
    uint32_t kept, left_out;
    struct store_attempt *last; /* of those left out; owned */
};

struct peer {
    char name[64];
    int64_t seen; /* 0: the place is free */
    struct sample sample;
    int64_t fetched, silence_told; /* 0: not */
    uint32_t fetches;
    struct store_attempt *fetch; /* the last one; owned */
};

struct attempts {
    struct attempts_options options; /* but for these two: */
    _Atomic int64_t keep;
    _Atomic uint64_t most;
    pthread_mutex_t lock;
    pthread_cond_t stop_now;
    bool stop, running;
    pthread_t thread;
    struct store_attempt *waiting[2 * ATTEMPTS_BUFFER]; /* owned; the second half is for counts */
    size_t waiting_n;
    struct sample all; /* whoever it was */
    struct peer peer[PEER_SETS][PEER_WAYS];
    int64_t forgotten, complained; /* when last */
};

/* ---- gathering; everything here under the lock ---- */

static bool keep(struct attempts *a, const struct store_attempt *attempt, size_t most)
{
    struct store_attempt *copy = a->waiting_n < most ? malloc(sizeof *copy) : NULL;
    if (!copy)
        return false;
    *copy = *attempt;
    a->waiting[a->waiting_n++] = copy;
    return true;
}

static void leave_out(struct sample *s, const struct store_attempt *attempt)
{
    if (!s->begun)
        s->begun = attempt->at;
    if (!s->last)
        s->last = malloc(sizeof *s->last);
    if (s->last)
        *s->last = *attempt;
    if (s->left_out < UINT32_MAX)
        s->left_out++;
}

/* A minute is over: one record stands for those that were left out. */
static void sample_end(struct attempts *a, struct sample *s, const char *whose)
{
    if (s->left_out && s->last) {
        struct store_attempt *c = s->last;
        c->result = ATTEMPT_COUNTED;
        c->more = s->left_out;
        snprintf(c->peer, sizeof c->peer, "%s", whose);
        snprintf(c->detail, sizeof c->detail,
                 "%u more within a minute that are not kept one by one; this is the last",
                 s->left_out);
        if (!keep(a, c, 2 * ATTEMPTS_BUFFER) && s != &a->all)
            a->all.left_out += s->left_out;
    }
    free(s->last);
    *s = (struct sample){0};
}

/* The network of an IPv6 address, since its owner has all the others in it. */
static void peer_name(const char *peer, char out[64])
{
    struct in6_addr v6;
    snprintf(out, 64, "%s", peer);
    if (inet_pton(AF_INET6, peer, &v6) == 1) {
        memset(v6.s6_addr + 8, 0, 8);
        if (inet_ntop(AF_INET6, &v6, out, 60))
            strcat(out, "/64");
    }
}

static void peer_leave(struct attempts *a, struct peer *p)
{
    sample_end(a, &p->sample, p->name);
    free(p->fetch);
    *p = (struct peer){0};
}

static struct peer *peer_set(struct attempts *a, const char *name)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (const char *c = name; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 16777619u;
    return a->peer[hash % PEER_SETS];
}

static struct peer *peer_find(struct attempts *a, const char *name)
{
    struct peer *set = peer_set(a, name);
    for (size_t i = 0; i < PEER_WAYS; i++)
        if (set[i].seen && strcmp(set[i].name, name) == 0)
            return &set[i];
    return NULL;
}

static struct peer *peer_get(struct attempts *a, const char *peer, int64_t now)
{
    char name[64];
    peer_name(peer, name);
    struct peer *p = peer_find(a, name);
    if (!p) {
        struct peer *set = p = peer_set(a, name);
        for (size_t i = 1; i < PEER_WAYS; i++)
            p = set[i].seen < p->seen ? &set[i] : p;
        peer_leave(a, p);
        memcpy(p->name, name, sizeof p->name);
    }
    p->seen = now;
    return p;
}

static bool in_window(const struct sample *s, int64_t now)
{
    return s->begun && now >= s->begun && now < s->begun + WINDOW;
}

/* May this one be kept by itself? */
static bool sample_pass(struct attempts *a, struct sample *s, const char *whose, uint32_t most,
                        int64_t now)
{
    if (!in_window(s, now)) {
        sample_end(a, s, whose);
        s->begun = now;
    }
    return s->kept < most;
}

void attempts_note(struct attempts *a, const struct store_attempt *attempt)
{
    if (!a)
        return;
    pthread_mutex_lock(&a->lock);
    struct peer *p = peer_get(a, attempt->peer, attempt->at);
    if (!sample_pass(a, &p->sample, p->name, ATTEMPTS_PER_PEER, attempt->at)) {
        leave_out(&p->sample, attempt);
    } else if (!sample_pass(a, &a->all, "", ATTEMPTS_PER_MINUTE, attempt->at) ||
               !keep(a, attempt, ATTEMPTS_BUFFER)) {
        leave_out(&a->all, attempt);
    } else {
        p->sample.kept++;
        a->all.kept++;
    }
    pthread_mutex_unlock(&a->lock);
}

void attempts_fetched(struct attempts *a, const struct store_attempt *attempt)
{
    if (!a)
        return;
    pthread_mutex_lock(&a->lock);
    struct peer *p = peer_get(a, attempt->peer, attempt->at);
    p->fetched = attempt->at;
    if (!p->fetch)
        p->fetch = malloc(sizeof *p->fetch);
    if (p->fetch)
        *p->fetch = *attempt;
    if (p->fetches < UINT32_MAX)
        p->fetches++;
    pthread_mutex_unlock(&a->lock);
}

void attempts_followed(struct attempts *a, const char *peer)
{
    if (!a)
        return;
    char name[64];
    peer_name(peer, name);
    pthread_mutex_lock(&a->lock);
    struct peer *p = peer_find(a, name);
    if (p) {
        p->fetched = p->silence_told = 0;
        p->fetches = 0;
    }
    pthread_mutex_unlock(&a->lock);
}

/* It fetched the CA certificate and went away: it does not trust what it got, or lost its way. */
static void silence(struct attempts *a, struct peer *p, int64_t now)
{
    if (!p->fetched || now < p->fetched + ATTEMPTS_SILENCE)
        return;
    p->fetched = 0;
    if (!p->fetch ||
        (p->silence_told && now >= p->silence_told && now < p->silence_told + SILENCE_TOLD))
        return;
    p->silence_told = now;
    p->fetch->result = ATTEMPT_SILENT;
    p->fetch->more = p->fetches;
    snprintf(p->fetch->reason, sizeof p->fetch->reason, "%s",
             reason_info(REASON_CA_THUMBPRINT)->code);
    snprintf(p->fetch->detail, sizeof p->fetch->detail,
             "the CA certificate was fetched %u time%s and no message followed within %d s",
             p->fetches, p->fetches == 1 ? "" : "s", ATTEMPTS_SILENCE);
    if (a->all.kept < ATTEMPTS_PER_MINUTE && keep(a, p->fetch, ATTEMPTS_BUFFER))
        a->all.kept++;
    p->fetches = 0;
}

static void minutes_end(struct attempts *a, int64_t now, bool at_once)
{
    for (size_t i = 0; i < PEER_SETS * PEER_WAYS; i++) {
        struct peer *p = &a->peer[i / PEER_WAYS][i % PEER_WAYS];
        if (p->sample.begun && (at_once || !in_window(&p->sample, now)))
            sample_end(a, &p->sample, p->name);
        silence(a, p, now);
    }
    if (a->all.begun && (at_once || !in_window(&a->all, now)))
        sample_end(a, &a->all, "");
}

/* ---- writing ---- */

/* What was refused changes nothing else, so that only this tells of the device.  One that was
 * forgotten is nobody. */
static bool device_seen(struct store_write *w, const struct store_attempt *a, struct err *err)
{
    struct err why = {0};
    if (!*a->device || store_device_seen(w, a->device, a->at, &why) || why.kind == ERR_NOT_FOUND)
        return true;
    *err = why;
    return false;
}

static bool write_all(struct attempts *a, struct store_attempt *const *attempt, size_t n,
                      struct err *err)
{
    struct store_write *w = NULL;
    if (!store_write_begin(a->options.store, &w, err))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!store_attempt_put(w, attempt[i], err) || !device_seen(w, attempt[i], err)) {
            store_write_abort(w);
            return false;
        }
    return store_write_commit(w, err);
}

/* One line a minute at most. */
static void complain(struct attempts *a, int64_t now, const char *what, const struct err *err)
{
    if (a->complained && now >= a->complained && now < a->complained + WINDOW)
        return;
    a->complained = now;
    log_event(a->options.log, LOG_LEVEL_ERROR, "attempts.failed", "%s: %s", what, err->text);
}

static void tick(struct attempts *a, int64_t now, bool at_once)
{
    struct store_attempt *taken[2 * ATTEMPTS_BUFFER];
    struct err err = {0};
    pthread_mutex_lock(&a->lock);
    minutes_end(a, now, at_once);
    size_t n = a->waiting_n;
    memcpy(taken, a->waiting, n * sizeof *taken);
    a->waiting_n = 0;
    pthread_mutex_unlock(&a->lock);
    bool ok = n == 0 || write_all(a, taken, n, &err);
    if (!ok && err.kind == ERR_FULL) { /* a full map was enlarged when the write ended */
        err = (struct err){0};
        ok = write_all(a, taken, n, &err);
    }
    if (!ok)
        complain(a, now, "attempts could not be stored and are lost", &err);
    for (size_t i = 0; i < n; i++)
        free(taken[i]);
}

void attempts_tick(struct attempts *a, int64_t now)
{
    if (a)
        tick(a, now, false);
}

static bool forget_some(struct attempts *a, int64_t before, uint64_t *n, struct err *err)
{
    struct store_write *w = NULL;
    bool some = false;
    *n = 0;
    if (!store_attempt_purgeable(a->options.store, before, a->most, &some, err))
        return false;
    if (!some)
        return true;
    if (!store_write_begin(a->options.store, &w, err))
        return false;
    if (store_attempt_purge(w, before, a->most, n, err))
        return store_write_commit(w, err);
    store_write_abort(w);
    return false;
}

void attempts_forget(struct attempts *a, int64_t now)
{
    struct err err = {0};
    uint64_t n = 1;
    for (int i = 0; a && n && i < FORGET_STEPS; i++)
        if (!forget_some(a, now - a->keep, &n, &err)) {
            complain(a, now, "old attempts could not be forgotten", &err);
            return;
        }
}

/* ---- the thread ---- */

static void *run(void *attempts)
{
    struct attempts *a = attempts;
    struct timespec next;
    clock_gettime(CLOCK_MONOTONIC, &next);
    pthread_mutex_lock(&a->lock);
    while (!a->stop) {
        next.tv_sec++;
        while (!a->stop && pthread_cond_timedwait(&a->stop_now, &a->lock, &next) == 0)
            ;
        if (a->stop)
            break;
        pthread_mutex_unlock(&a->lock);
        int64_t now = time(NULL);
        attempts_tick(a, now);
        if (now - a->forgotten >= FORGET_SECONDS || now < a->forgotten) {
            a->forgotten = now;
            attempts_forget(a, now);
        }
        clock_gettime(CLOCK_MONOTONIC, &next);
        pthread_mutex_lock(&a->lock);
    }
    pthread_mutex_unlock(&a->lock);
    return NULL;
}

void attempts_limits(struct attempts *a, int64_t keep, uint64_t most)
{
    if (!a)
        return;
    a->keep = keep;
    a->most = most;
}

bool attempts_new(const struct attempts_options *o, struct attempts **out, struct err *err)
{
    struct attempts *a = calloc(1, sizeof *a);
    pthread_condattr_t monotonic;
    if (!a)
        return err_memory(err);
    a->options = *o;
    attempts_limits(a, o->keep, o->most);
    pthread_mutex_init(&a->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&a->stop_now, &monotonic);
    pthread_condattr_destroy(&monotonic);
    a->running = !o->no_thread && thread_start(&a->thread, "attempts", run, a);
    if (!a->running && !o->no_thread) {
        attempts_free(a);
        return err_set(err, ERR_MEMORY, "cannot start a thread");
    }
    *out = a;
    return true;
}

void attempts_free(struct attempts *a)
{
    if (!a)
        return;
    pthread_mutex_lock(&a->lock);
    a->stop = true;
    pthread_cond_signal(&a->stop_now);
    pthread_mutex_unlock(&a->lock);
    if (a->running)
        pthread_join(a->thread, NULL);
    tick(a, time(NULL), true);
    for (size_t i = 0; i < PEER_SETS * PEER_WAYS; i++)
        free(a->peer[i / PEER_WAYS][i % PEER_WAYS].fetch);
    pthread_cond_destroy(&a->stop_now);
    pthread_mutex_destroy(&a->lock);
    free(a);
}
