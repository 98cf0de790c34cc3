#include "scepd/service_pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "scepd/service_internal.h"
#include "scepd/thread.h"

int64_t service_now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

struct service_job *service_job_new(const struct scep_endpoint *endpoint,
                                    const struct enroll_context *enroll, const char *peer,
                                    const char *agent, void *tag)
{
    struct service_job *job = calloc(1, sizeof *job);
    if (!job)
        return NULL;
    snprintf(job->peer, sizeof job->peer, "%s", peer ? peer : "");
    snprintf(job->agent, sizeof job->agent, "%s", agent ? agent : "");
    job->place.peer = job->peer;
    job->tag = tag;
    job->call =
        (struct scep_call){.endpoint = endpoint, .enroll = enroll, .peer = {job->peer, job->agent}};
    return job;
}

void service_job_free(struct service_job *job, const struct service_ops *ops)
{
    if (!job)
        return;
    ops->clear(&job->answer);
    buf_clear(&job->message);
    free(job);
}

double service_job_ms(const struct service_job *job)
{
    return (double)(service_now_us() - job->submitted_us) / 1000;
}

/* It leaves the house first: what comes because it was done may be alone there. */
void service_finish(struct service_pool *p, struct service_job *job)
{
    const struct service_options o = p->options; /* the pool may end with its last job */
    pthread_mutex_lock(&p->lock);
    if (--p->pending == 0)
        pthread_cond_signal(&p->idle);
    pthread_mutex_unlock(&p->lock);
    o.done(o.ctx, job);
}

size_t service_pending(struct service_pool *p)
{
    pthread_mutex_lock(&p->lock);
    size_t n = p->pending - p->parked;
    pthread_mutex_unlock(&p->lock);
    return n;
}

void service_park(struct service_pool *p)
{
    pthread_mutex_lock(&p->lock);
    p->parked++;
    pthread_mutex_unlock(&p->lock);
}

size_t service_pool_waiting(struct service_pool *p)
{
    return fair_queue_waiting(&p->work);
}

bool service_pool_submit(struct service_pool *p, struct service_job *job)
{
    struct fair_job *displaced = NULL;
    job->call.message = buf_view(&job->message);
    job->pool = p;
    job->submitted_us = job->call.started_us = service_now_us();
    pthread_mutex_lock(&p->lock);
    bool taken = !p->stopping && fair_queue_push(&p->work, &job->place, &displaced);
    p->pending += taken;
    pthread_mutex_unlock(&p->lock);
    if (displaced) {
        struct service_job *left = (struct service_job *)displaced;
        left->displaced = true;
        service_finish(p, left);
    }
    return taken;
}

void service_pool_return(struct service_job *job)
{
    struct service_pool *p = job->pool;
    pthread_mutex_lock(&p->lock);
    p->parked--;
    pthread_mutex_unlock(&p->lock);
    p->options.ops->clear(&job->answer);
    job->call.asked = &job->asked;
    fair_queue_push_front(&p->work, &job->place);
}

static int64_t busy_us(int64_t since_us, int64_t now_us, int64_t most)
{
    int64_t busy = since_us ? now_us - since_us : 0;
    return busy > most ? busy : most;
}

int64_t service_pool_busy_us(struct service_pool *p)
{
    int64_t now = service_now_us(), most = busy_us(p->commit_since_us, now, 0);
    for (unsigned i = 0; i < p->started; i++)
        most = busy_us(p->workers[i].since_us, now, most);
    return most;
}

static bool start_threads(struct service_pool *p, const struct service_options *o)
{
    for (unsigned i = 0; i < o->workers; i++) {
        p->workers[i] = (struct service_worker){.pool = p, .lane = o->lanes[i]};
        if (!thread_start(&p->workers[i].thread, "worker", service_work, &p->workers[i]))
            return false;
        p->started++;
    }
    p->committing = thread_start(&p->committer, "committer", service_commit, p);
    return p->committing;
}

bool service_pool_new(const struct service_options *o, struct service_pool **out, struct err *err)
{
    struct service_pool *p = calloc(1, sizeof *p);
    struct service_worker *workers = calloc(o->workers, sizeof *workers);
    if (!p || !workers) {
        free(p);
        free(workers);
        return err_memory(err);
    }
    p->options = *o;
    p->options.lanes = NULL;
    p->workers = workers;
    fair_queue_init(&p->work, o->queue);
    job_queue_init(&p->commit, SIZE_MAX);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->idle, NULL);
    if (!start_threads(p, o)) {
        service_pool_free(p);
        return err_set(err, ERR_MEMORY, "cannot start %u worker threads", o->workers);
    }
    *out = p;
    return true;
}

void service_pool_free(struct service_pool *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->stopping = true;
    while (p->pending > 0)
        pthread_cond_wait(&p->idle, &p->lock);
    pthread_mutex_unlock(&p->lock);
    fair_queue_close(&p->work);
    job_queue_close(&p->commit);
    for (unsigned i = 0; i < p->started; i++)
        pthread_join(p->workers[i].thread, NULL);
    if (p->committing)
        pthread_join(p->committer, NULL);
    fair_queue_clear(&p->work);
    job_queue_clear(&p->commit);
    pthread_cond_destroy(&p->idle);
    pthread_mutex_destroy(&p->lock);
    free(p->workers);
    free(p);
}
