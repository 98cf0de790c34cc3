#include "scepd/survey.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "scepd/thread.h"
#include "store/notice.h"

#define SURVEY_SECONDS 2
/* What is counted one by one may take a hundredth of the time. */
#define COUNT_SHARE 100
/* Entries of the audit log that are checked each time. */
#define AUDIT_STEP 2000
/* How long health tells of an OCSP answer from elsewhere that has ended. */
#define MISSED_SECONDS (30 * INT64_C(86400))

int64_t survey_clock_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static bool is_watched(const struct survey *s, const uint8_t key[STORE_HASH])
{
    for (size_t i = 0; i < s->above_n; i++)
        if (memcmp(s->above[i].key, key, sizeof s->above[i].key) == 0)
            return true;
    return false;
}

static void configure_above(struct survey *s, const struct authority *a)
{
    for (size_t i = 0; i < a->chain_n; i++) {
        struct pubkey key;
        struct err ignored = {0};
        if (s->above_n == SURVEY_ABOVE || !pubkey_parse(a->chain[i]->spki, &key, &ignored) ||
            is_watched(s, key.sha256))
            continue;
        struct survey_above *n = &s->above[s->above_n++];
        *n = (struct survey_above){.any = false};
        snprintf(n->authority, sizeof n->authority, "%s", a->name);
        memcpy(n->key, key.sha256, sizeof n->key);
    }
}

/* Names that a survey asks about: a copy, since a reload frees the configuration. */
static void configure(struct survey *s, const struct survey_options *o)
{
    s->pending_n = o->config->endpoint_n;
    for (size_t i = 0; i < s->pending_n; i++)
        snprintf(s->pending[i].endpoint, sizeof s->pending[i].endpoint, "%.63s",
                 o->config->endpoint[i].path);
    s->crl_n = o->authority_n < SURVEY_CRLS ? o->authority_n : SURVEY_CRLS;
    for (size_t i = 0; i < s->crl_n; i++) {
        struct survey_crl *crl = &s->crl[i];
        *crl = (struct survey_crl){.generation = o->authorities[i]->generation,
                                   .role = o->authorities[i]->role,
                                   .authority_end = o->authorities[i]->cert->not_after};
        snprintf(crl->authority, sizeof crl->authority, "%s", o->authorities[i]->name);
        memcpy(crl->key_id, o->authorities[i]->key_id, sizeof crl->key_id);
    }
    s->above_n = 0;
    for (size_t i = 0; i < o->authority_n; i++)
        configure_above(s, o->authorities[i]);
}

/* An answer about a certificate that nobody asks for any more is not missed for ever. */
static void look_at_offline(void *ctx, const struct store_offline *o)
{
    struct survey *s = ctx;
    if (o->kind == STORE_OFFLINE_LAST)
        return;
    if (o->kind == STORE_OFFLINE_OCSP && o->next_update + MISSED_SECONDS < s->at)
        return;
    for (size_t i = 0; i < s->above_n; i++) {
        struct survey_above *a = &s->above[i];
        if (memcmp(a->key, o->issuer, sizeof a->key) != 0 ||
            (a->any && a->next_update <= o->next_update))
            continue;
        a->any = true;
        a->kind = o->kind;
        a->this_update = o->this_update;
        a->next_update = o->next_update;
    }
}

static bool look_above(struct survey *s, struct store *store, int64_t now, struct err *err)
{
    s->at = now;
    for (size_t i = 0; i < s->above_n; i++)
        s->above[i].any = false;
    return s->above_n == 0 || store_offline_list(store, look_at_offline, s, err);
}

static bool look_at_pending(struct survey *s, struct store *store, struct err *err)
{
    for (size_t i = 0; i < s->pending_n; i++)
        if (!store_request_pending(store, s->pending[i].endpoint, &s->pending[i].pending, err))
            return false;
    return store_request_oldest(store, &s->oldest_pending_at, err);
}

static bool look_at_crl(struct survey_crl *out, struct store *store, struct err *err)
{
    struct store_crl crl = {0};
    struct err missing = {0};
    bool found = store_crl_about(store, out->key_id, STORE_CRL_COMPLETE, &crl, &missing);
    if (!found && missing.kind != ERR_NOT_FOUND)
        return err_set(err, missing.kind, "%s", missing.text);
    out->number = crl.missing ? 0 : crl.number;
    out->this_update = crl.this_update;
    out->next_update = crl.next_update;
    out->size = crl.size;
    out->entries = crl.entries;
    return true;
}

/* A reader that is the same as at the last look has been there since it was first seen. */
static bool look_at_readers(struct survey *s, struct store *store, int64_t now_us, struct err *err)
{
    struct store_reader now[SURVEY_READERS];
    struct survey_reader before[SURVEY_READERS];
    size_t n, before_n = s->reader_n;
    if (!store_readers(store, now, SURVEY_READERS, &n, err))
        return false;
    memcpy(before, s->reader, sizeof before);
    s->oldest_reader_us = 0;
    s->reader_n = n;
    for (size_t i = 0; i < n; i++) {
        int64_t since = now_us;
        for (size_t j = 0; j < before_n; j++)
            if (before[j].who.pid == now[i].pid && before[j].who.thread == now[i].thread &&
                before[j].who.snapshot == now[i].snapshot)
                since = before[j].since_us;
        s->reader[i] = (struct survey_reader){now[i], since};
        if (now_us - since > s->oldest_reader_us)
            s->oldest_reader_us = now_us - since;
    }
    return true;
}

static bool look(struct survey *s, struct store *store, int64_t now, struct err *err)
{
    bool ok = store_stats(store, &s->stats, err) && store_cert_counts(store, now, &s->certs, err) &&
              store_device_counts(store, s->devices, err) &&
              store_notice_count(store, &s->notices, err) &&
              store_backup_last(store, &s->backup_at, err) &&
              store_audit_newest(store, &s->audit_at, err) && look_at_pending(s, store, err) &&
              look_above(s, store, now, err) && look_at_readers(s, store, survey_clock_us(), err) &&
              store_audit_check(store, &s->audit, AUDIT_STEP, err);
    for (size_t i = 0; ok && i < s->crl_n; i++)
        ok = look_at_crl(&s->crl[i], store, err);
    s->at = now;
    s->looked_us = survey_clock_us();
    s->readable = ok;
    s->gone = !ok && err->kind == ERR_GONE;
    snprintf(s->error, sizeof s->error, "%.159s", ok ? "" : err->text);
    return ok;
}

/* ---- counting one by one ---- */

struct tally {
    int64_t now;
    uint64_t n[SURVEY_CHALLENGES];
    const atomic_bool *stop;
};

static bool tally_challenge(void *ctx, const struct store_challenge *c)
{
    struct tally *t = ctx;
    enum survey_challenge state = c->revoked_at                              ? SURVEY_REVOKED
                                  : c->uses && c->used >= c->uses            ? SURVEY_USED
                                  : c->expires_at && c->expires_at <= t->now ? SURVEY_EXPIRED
                                                                             : SURVEY_ACTIVE;
    t->n[state]++;
    return !t->stop || !*t->stop;
}

static bool count_challenges(struct survey *s, struct store *store, int64_t now,
                             const atomic_bool *stop, struct err *err)
{
    struct tally t = {.now = now, .stop = stop};
    if (!store_challenge_list(store, tally_challenge, &t, err))
        return false;
    if (!stop || !*stop)
        memcpy(s->challenges, t.n, sizeof s->challenges);
    return true;
}

bool survey_take(const struct survey_options *o, int64_t now, struct survey *out, struct err *err)
{
    struct survey s = {.at = 0};
    configure(&s, o);
    if (!look(&s, o->store, now, err) || !count_challenges(&s, o->store, now, NULL, err))
        return false;
    *out = s;
    return true;
}

/* ---- the thread ---- */

struct surveyor {
    struct store *store;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool running;
    atomic_bool stop;
    pthread_t thread;
    struct survey survey; /* under the lock */
    /* under the lock: how often it was, and at the last look; one that began before a change is
     * thrown away */
    unsigned configured, seen;
    /* the thread's own */
    uint64_t generation;   /* of the store when challenges were counted */
    int64_t next_count_us; /* monotonic */
    int64_t counted_at;    /* Unix seconds: expiry moves challenges too */
};

static void count(struct surveyor *s, struct survey *survey, int64_t now)
{
    struct err ignored = {0};
    uint64_t generation = 0;
    int64_t begin = survey_clock_us();
    if (begin < s->next_count_us ||
        (store_generation(s->store, &generation, &ignored) && generation == s->generation &&
         now - s->counted_at < 60 && now >= s->counted_at))
        return;
    if (!count_challenges(survey, s->store, now, &s->stop, &ignored))
        return;
    s->generation = generation;
    s->counted_at = now;
    s->next_count_us = begin + COUNT_SHARE * (survey_clock_us() - begin);
}

static void survey_again(struct surveyor *s)
{
    struct err err = {0};
    struct survey next;
    int64_t now = time(NULL);
    pthread_mutex_lock(&s->lock);
    next = s->survey;
    unsigned configured = s->configured;
    pthread_mutex_unlock(&s->lock);
    if (look(&next, s->store, now, &err))
        count(s, &next, now);
    pthread_mutex_lock(&s->lock);
    if (configured == s->configured)
        s->survey = next;
    s->seen = configured;
    pthread_mutex_unlock(&s->lock);
}

static void *run(void *surveyor)
{
    struct surveyor *s = surveyor;
    while (!s->stop) {
        struct timespec next;
        survey_again(s);
        clock_gettime(CLOCK_MONOTONIC, &next);
        next.tv_sec += SURVEY_SECONDS;
        pthread_mutex_lock(&s->lock);
        while (!s->stop && s->seen == s->configured &&
               pthread_cond_timedwait(&s->wake, &s->lock, &next) == 0)
            ;
        pthread_mutex_unlock(&s->lock);
    }
    return NULL;
}

bool surveyor_new(const struct survey_options *o, struct surveyor **out, struct err *err)
{
    struct surveyor *s = calloc(1, sizeof *s);
    pthread_condattr_t monotonic;
    if (!s)
        return err_memory(err);
    s->store = o->store;
    configure(&s->survey, o);
    pthread_mutex_init(&s->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&s->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    s->next_count_us = INT64_MAX; /* the first look is quick; who asks first gets an answer */
    survey_again(s);
    s->next_count_us = 0;
    s->running = thread_start(&s->thread, "surveyor", run, s);
    if (!s->running) {
        surveyor_free(s);
        return err_set(err, ERR_MEMORY, "cannot start a thread");
    }
    *out = s;
    return true;
}

void surveyor_free(struct surveyor *s)
{
    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    s->stop = true;
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->lock);
    if (s->running)
        pthread_join(s->thread, NULL);
    pthread_cond_destroy(&s->wake);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

void surveyor_configure(struct surveyor *s, const struct survey_options *o)
{
    pthread_mutex_lock(&s->lock);
    configure(&s->survey, o);
    s->configured++;
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->lock);
}

void surveyor_get(struct surveyor *s, struct survey *out)
{
    pthread_mutex_lock(&s->lock);
    *out = s->survey;
    pthread_mutex_unlock(&s->lock);
}
