/* A first-in first-out queue of jobs, from any threads to one, with a bound. */
#pragma once

#include <pthread.h>

#include "scepd/service_pool.h"

struct job_queue {
    pthread_mutex_t lock;
    pthread_cond_t ready;
    struct service_job *head, *tail;
    size_t n, bound;
    size_t wanted; /* with fewer jobs there is no use in waking who waits */
    bool closed;
};

void job_queue_init(struct job_queue *q, size_t bound);
/* Jobs still in it are forgotten, not freed. */
void job_queue_clear(struct job_queue *q);
/* How many jobs are in it now; 0 when it is full. */
size_t job_queue_push(struct job_queue *q, struct service_job *job);
/* Waits for a job and takes all that are there, up to `max`, in order.  0: closed and empty. */
size_t job_queue_take(struct job_queue *q, struct service_job **out, size_t max);
/* Waits until `n` jobs are there, at the longest until `until_us` (service_now_us); how many there are.  Also ends when
 * the queue is closed. */
size_t job_queue_wait(struct job_queue *q, size_t n, int64_t until_us);
/* All that are there now, as a list; never waits. */
struct service_job *job_queue_drain(struct job_queue *q);
/* Wakes those who wait; what is in it is still handed out. */
void job_queue_close(struct job_queue *q);
