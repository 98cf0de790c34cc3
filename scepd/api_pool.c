#include "scepd/api_pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "scepd/thread.h"

/* How long somebody waits for a list that he wanted: one at a time, since he takes a thread. */
#define CRL_WAIT_MS 10000
#define CRL_LOOK_MS 50

struct api_pool {
    struct api_pool_options options;
    struct fair_queue queue;
    pthread_t threads[API_POOL_THREADS];
    unsigned started;
    pthread_mutex_t lock;
    pthread_cond_t idle;
    size_t pending; /* submitted and not yet given back */
    bool stopping;
    atomic_flag waits_for_crl; /* one of the threads */
};

/* A job at work. */
struct working {
    struct api_pool *pool;
    struct api_job *job;
};

static int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* ---- what is served ---- */

struct api_serving *api_serving_new(struct setup *setup)
{
    struct api_serving *s = calloc(1, sizeof *s);
    if (!s) {
        setup_release(setup);
        return NULL;
    }
    s->setup = setup;
    atomic_init(&s->references, 1);
    return s;
}

struct api_serving *api_serving_get1(struct api_serving *s)
{
    atomic_fetch_add(&s->references, 1);
    return s;
}

void api_serving_release(struct api_serving *s)
{
    if (!s || atomic_fetch_sub(&s->references, 1) > 1)
        return;
    setup_release(s->setup);
    free(s);
}

/* ---- jobs ---- */

struct api_job *api_job_new(struct api_serving *s, const char *peer)
{
    struct api_job *job = calloc(1, sizeof *job);
    if (!job)
        return NULL;
    job->serving = api_serving_get1(s);
    snprintf(job->peer, sizeof job->peer, "%s", peer);
    job->place.peer = job->peer;
    return job;
}

void api_job_free(struct api_job *job)
{
    if (!job)
        return;
    api_reply_clear(&job->reply);
    buf_wipe(&job->text);
    buf_wipe(&job->body);
    buf_clear(&job->certificate);
    api_serving_release(job->serving);
    free(job);
}

static void give_back(struct api_pool *p, struct api_job *job)
{
    p->options.done(p->options.ctx, job);
    pthread_mutex_lock(&p->lock);
    if (--p->pending == 0)
        pthread_cond_signal(&p->idle);
    pthread_mutex_unlock(&p->lock);
}

/* The health that the loop has seen: what it is made of belongs to the loop. */
static json_t *health_of(void *working)
{
    const struct api_job *job = ((struct working *)working)->job;
    return job->has_health ? health_json(&job->health, job->serving->world.version) : NULL;
}

static bool number_of(struct store *s, const struct authority *a, uint64_t *out, struct err *err)
{
    struct store_crl crl = {.number = 0};
    bool ok = store_crl_about(s, a->key_id, STORE_CRL_COMPLETE, &crl, err);
    if (!ok && err->kind == ERR_NOT_FOUND) {
        err_clear(err);
        ok = true;
    }
    *out = crl.number;
    return ok;
}

/* The list is there when the store has a higher number. */
static bool wait_for_crl(struct store *s, const struct authority *a, uint64_t before,
                         struct err *err)
{
    const struct timespec nap = {0, CRL_LOOK_MS * 1000000L};
    for (int i = 0; i < CRL_WAIT_MS / CRL_LOOK_MS; i++) {
        uint64_t now;
        if (!number_of(s, a, &now, err))
            return false;
        if (now > before)
            return true;
        nanosleep(&nap, NULL);
    }
    return err_set(err, ERR_BUSY, "no list of %s was published in %d s", a->name,
                   CRL_WAIT_MS / 1000);
}

static bool publish_and_wait(struct api_job *job, size_t i, struct err *err)
{
    const struct setup *setup = job->serving->setup;
    const struct authority *a = setup->rooms.authority[i];
    struct store *s = job->serving->world.store;
    uint64_t before;
    if (!number_of(s, a, &before, err))
        return false;
    return job->publish(job->publish_ctx, setup, i)
               ? wait_for_crl(s, a, before, err)
               : err_set(err, ERR_BUSY, "the configuration was read anew meanwhile");
}

static bool publish_crl(void *working, const char *name, struct err *err)
{
    const struct working *w = working;
    const struct setup *setup = w->job->serving->setup;
    size_t i = 0;
    while (i < setup->config->authority_n && strcmp(setup->config->authority[i].name, name) != 0)
        i++;
    if (i == setup->config->authority_n)
        return err_set(err, ERR_NOT_FOUND, "there is no authority %.63s", name);
    const struct authority *a = setup->rooms.authority[i];
    if (a->key_ca < 0)
        return err_set(err, ERR_CONFLICT, "the key of %s is not here: it signs no list", a->name);
    if (atomic_flag_test_and_set(&w->pool->waits_for_crl))
        return err_set(err, ERR_BUSY, "somebody else waits for a list");
    bool ok = publish_and_wait(w->job, i, err);
    atomic_flag_clear(&w->pool->waits_for_crl);
    return ok;
}

static void answer(struct api_pool *p, struct api_job *job)
{
    struct api_world world = job->serving->world;
    struct working w = {p, job};
    world.ops = (struct api_ops){.health = job->has_health ? health_of : NULL,
                                 .publish_crl = job->publish ? publish_crl : NULL,
                                 .ctx = &w};
    job->request.now = time(NULL);
    api_answer(&world, &job->request, &job->reply);
}

static void *work(void *pool)
{
    struct api_pool *p = pool;
    struct fair_job *taken;
    while ((taken = fair_queue_take(&p->queue))) {
        struct api_job *job = (struct api_job *)taken;
        answer(p, job);
        give_back(p, job);
    }
    return NULL;
}

/* ---- the pool ---- */

bool api_pool_submit(struct api_pool *p, struct api_job *job)
{
    struct fair_job *displaced = NULL;
    job->submitted_us = now_us();
    pthread_mutex_lock(&p->lock);
    bool taken = !p->stopping && fair_queue_push(&p->queue, &job->place, &displaced);
    p->pending += taken;
    pthread_mutex_unlock(&p->lock);
    if (displaced) {
        struct api_job *left = (struct api_job *)displaced;
        left->undone = true;
        give_back(p, left);
    }
    return taken;
}

bool api_pool_new(const struct api_pool_options *o, struct api_pool **out, struct err *err)
{
    struct api_pool *p = calloc(1, sizeof *p);
    if (!p)
        return err_memory(err);
    p->options = *o;
    atomic_flag_clear(&p->waits_for_crl);
    fair_queue_init(&p->queue, API_POOL_QUEUE);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->idle, NULL);
    while (p->started < API_POOL_THREADS && thread_start(&p->threads[p->started], "api", work, p))
        p->started++;
    if (p->started < API_POOL_THREADS) {
        api_pool_free(p);
        return err_set(err, ERR_MEMORY, "cannot start threads for the API");
    }
    *out = p;
    return true;
}

void api_pool_free(struct api_pool *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->stopping = true;
    while (p->pending > 0 && p->started > 0)
        pthread_cond_wait(&p->idle, &p->lock);
    pthread_mutex_unlock(&p->lock);
    fair_queue_close(&p->queue);
    for (unsigned i = 0; i < p->started; i++)
        pthread_join(p->threads[i], NULL);
    fair_queue_clear(&p->queue);
    pthread_cond_destroy(&p->idle);
    pthread_mutex_destroy(&p->lock);
    free(p);
}
