#include "scepd/job_queue.h"

#include <time.h>

void job_queue_init(struct job_queue *q, size_t bound)
{
    *q = (struct job_queue){.bound = bound};
    pthread_mutex_init(&q->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&q->ready, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

void job_queue_clear(struct job_queue *q)
{
    pthread_cond_destroy(&q->ready);
    pthread_mutex_destroy(&q->lock);
}

/* The signal comes after the unlocking: who wakes up would only wait for the lock. */
size_t job_queue_push(struct job_queue *q, struct service_job *job)
{
    size_t n = 0;
    bool wake = false;
    pthread_mutex_lock(&q->lock);
    if (q->n < q->bound) {
        job->next = NULL;
        if (q->tail)
            q->tail->next = job;
        else
            q->head = job;
        q->tail = job;
        n = ++q->n;
        wake = n >= q->wanted;
    }
    pthread_mutex_unlock(&q->lock);
    if (wake)
        pthread_cond_signal(&q->ready);
    return n;
}

size_t job_queue_take(struct job_queue *q, struct service_job **out, size_t max)
{
    size_t n = 0;
    pthread_mutex_lock(&q->lock);
    q->wanted = 1;
    while (!q->head && !q->closed)
        pthread_cond_wait(&q->ready, &q->lock);
    while (q->head && n < max) {
        out[n++] = q->head;
        q->head = q->head->next;
    }
    if (!q->head)
        q->tail = NULL;
    q->n -= n;
    pthread_mutex_unlock(&q->lock);
    return n;
}

size_t job_queue_wait(struct job_queue *q, size_t n, int64_t until_us)
{
    struct timespec until = {until_us / 1000000, (long)(until_us % 1000000) * 1000};
    int rc = 0;
    pthread_mutex_lock(&q->lock);
    q->wanted = n;
    while (q->n < n && !q->closed && rc == 0)
        rc = pthread_cond_timedwait(&q->ready, &q->lock, &until);
    size_t have = q->n;
    pthread_mutex_unlock(&q->lock);
    return have;
}

struct service_job *job_queue_drain(struct job_queue *q)
{
    pthread_mutex_lock(&q->lock);
    struct service_job *all = q->head;
    q->head = q->tail = NULL;
    q->n = 0;
    pthread_mutex_unlock(&q->lock);
    return all;
}

void job_queue_close(struct job_queue *q)
{
    pthread_mutex_lock(&q->lock);
    q->closed = true;
    pthread_cond_broadcast(&q->ready);
    pthread_mutex_unlock(&q->lock);
}
