#include "scepd/ocsp_pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "scepd/thread.h"

struct ocsp_thread {
    struct ocsp_pool *pool;
    struct signer *lane;
    pthread_t thread;
    _Atomic int64_t since_us; /* at its jobs, monotonic; 0: it has none */
};

struct ocsp_pool {
    struct ocsp_pool_options options; /* `lanes` is not used any more */
    struct fair_queue queue;
    struct ocsp_thread *threads;
    unsigned started;
    pthread_mutex_t lock;
    pthread_cond_t idle;
    size_t pending; /* submitted and not yet given back */
    bool stopping;
};

static int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

struct ocsp_job *ocsp_job_new(const struct ocsp_world *w, const struct authority *only,
                              struct view request, const char *peer)
{
    struct ocsp_job *job = calloc(1, sizeof *job);
    if (!job || !buf_append(&job->request, request.p, request.n)) {
        free(job);
        return NULL;
    }
    job->world = w;
    job->only = only;
    snprintf(job->peer, sizeof job->peer, "%s", peer);
    job->place.peer = job->peer;
    return job;
}

void ocsp_job_free(struct ocsp_job *job)
{
    if (!job)
        return;
    ocsp_answer_clear(&job->answer);
    buf_clear(&job->request);
    free(job);
}

static void give_back(struct ocsp_pool *p, struct ocsp_job **jobs, size_t n)
{
    for (size_t i = 0; i < n; i++)
        jobs[i]->next = i + 1 < n ? jobs[i + 1] : NULL;
    p->options.done(p->options.ctx, jobs[0]);
    pthread_mutex_lock(&p->lock);
    p->pending -= n;
    if (p->pending == 0)
        pthread_cond_signal(&p->idle);
    pthread_mutex_unlock(&p->lock);
}

/* The request was read before by whoever submitted it, so that it can be read. */
static void prepare(struct ocsp_job *job, int64_t now)
{
    struct ocsp_request request = {0};
    struct ocsp_answer *a = &job->answer;
    const struct ocsp_world *w = job->world;
    if (ocsp_request_parse(buf_view(&job->request), w->max_ids, &request, &a->err)) {
        ocsp_answer_prepare(w->store, w->issuers, job->only, &w->rules, &request, now, a);
    } else {
        uint8_t body[OCSP_ERROR_SIZE];
        a->status = a->err.kind == ERR_MEMORY ? OCSP_TRY_LATER : OCSP_INTERNAL_ERROR;
        ocsp_error(a->status, body);
        buf_append(&a->response, body, sizeof body);
    }
    ocsp_request_clear(&request);
}

static void do_jobs(struct ocsp_thread *t, struct ocsp_job **jobs, size_t n)
{
    struct ocsp_answer *answers[OCSP_POOL_BATCH];
    int64_t now = time(NULL), limit = t->since_us - (int64_t)t->pool->options.deadline_ms * 1000;
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        atomic_store(&jobs[i]->begun, true);
        jobs[i]->undone = t->pool->options.deadline_ms > 0 && jobs[i]->submitted_us < limit;
        if (jobs[i]->undone)
            continue;
        prepare(jobs[i], now);
        answers[k++] = &jobs[i]->answer;
    }
    if (k > 0)
        ocsp_answers_sign(t->lane, answers, k);
}

static void *work(void *thread)
{
    struct ocsp_thread *t = thread;
    struct fair_job *taken[OCSP_POOL_BATCH];
    struct ocsp_job *jobs[OCSP_POOL_BATCH];
    size_t n;
    while ((n = fair_queue_take_some(&t->pool->queue, taken, OCSP_POOL_BATCH)) > 0) {
        for (size_t i = 0; i < n; i++)
            jobs[i] = (struct ocsp_job *)taken[i];
        t->since_us = now_us();
        do_jobs(t, jobs, n);
        give_back(t->pool, jobs, n);
        t->since_us = 0;
    }
    return NULL;
}

bool ocsp_pool_submit(struct ocsp_pool *p, struct ocsp_job *job)
{
    struct fair_job *displaced = NULL;
    job->submitted_us = now_us();
    pthread_mutex_lock(&p->lock);
    bool taken = !p->stopping && fair_queue_push(&p->queue, &job->place, &displaced);
    p->pending += taken;
    pthread_mutex_unlock(&p->lock);
    if (displaced) {
        struct ocsp_job *left = (struct ocsp_job *)displaced;
        left->undone = true;
        give_back(p, &left, 1);
    }
    return taken;
}

size_t ocsp_pool_waiting(struct ocsp_pool *p)
{
    return fair_queue_waiting(&p->queue);
}

int64_t ocsp_pool_busy_us(struct ocsp_pool *p)
{
    int64_t now = now_us(), most = 0;
    for (unsigned i = 0; i < p->started; i++) {
        int64_t since = p->threads[i].since_us, busy = since ? now - since : 0;
        most = busy > most ? busy : most;
    }
    return most;
}

static bool start_threads(struct ocsp_pool *p, const struct ocsp_pool_options *o)
{
    for (unsigned i = 0; i < o->threads; i++) {
        p->threads[i].pool = p;
        p->threads[i].lane = o->lanes[i];
        if (!thread_start(&p->threads[i].thread, "ocsp", work, &p->threads[i]))
            return false;
        p->started++;
    }
    return true;
}

bool ocsp_pool_new(const struct ocsp_pool_options *o, struct ocsp_pool **out, struct err *err)
{
    struct ocsp_pool *p = calloc(1, sizeof *p);
    struct ocsp_thread *threads = calloc(o->threads, sizeof *threads);
    if (!p || !threads) {
        free(p);
        free(threads);
        return err_memory(err);
    }
    p->options = *o;
    p->options.lanes = NULL;
    p->threads = threads;
    fair_queue_init(&p->queue, o->queue);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->idle, NULL);
    if (!start_threads(p, o)) {
        ocsp_pool_free(p);
        return err_set(err, ERR_MEMORY, "cannot start %u threads for OCSP", o->threads);
    }
    *out = p;
    return true;
}

void ocsp_pool_free(struct ocsp_pool *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->stopping = true;
    while (p->pending > 0)
        pthread_cond_wait(&p->idle, &p->lock);
    pthread_mutex_unlock(&p->lock);
    fair_queue_close(&p->queue);
    for (unsigned i = 0; i < p->started; i++)
        pthread_join(p->threads[i].thread, NULL);
    fair_queue_clear(&p->queue);
    pthread_cond_destroy(&p->idle);
    pthread_mutex_destroy(&p->lock);
    free(p->threads);
    free(p);
}
