/* Jobs of any kind that wait for a thread, shared out by the address that sent them (stochastic fairness queueing): each address has a
 * lane, lanes take turns, and who comes when all places are taken gets that of the last job of the longest lane, if
 * that lane is longer than his own.  An address that floods the queue delays and displaces nobody but itself.  Many devices
 * behind one address (NAT, a proxy) share a lane; as long as nobody else comes, they have all places, first in first out. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

/* Addresses share lanes by chance, and nobody outside knows which.  A power of two. */
#define FAIR_LANES 1024

/* What a job begins with. */
struct fair_job {
    struct fair_job *next, *before; /* while it waits */
    const char *peer;               /* whose it is; borrowed */
};

struct fair_lane {
    struct fair_job *head, *tail;
    size_t n;
    TAILQ_ENTRY(fair_lane) turn; /* while there is something in it */
};
TAILQ_HEAD(fair_turns, fair_lane);

struct fair_queue {
    pthread_mutex_t lock;
    pthread_cond_t ready;
    uint64_t secret[2];          /* of the hash that finds the lane */
    struct fair_job *front;   /* those that come back: before all others */
    struct fair_turns turns;     /* the first one is next */
    size_t n, bound;
    bool closed;
    struct fair_lane lane[FAIR_LANES];
};

void fair_queue_init(struct fair_queue *q, size_t bound);
/* Jobs still in it are forgotten, not freed. */
void fair_queue_clear(struct fair_queue *q);
/* False when there is no place for it.  *displaced: NULL, or a job that had to leave for it, now the caller's. */
bool fair_queue_push(struct fair_queue *q, struct fair_job *job, struct fair_job **displaced);
/* For a job that was in the system already: before the others, whatever the bound; never displaced. */
void fair_queue_push_front(struct fair_queue *q, struct fair_job *job);
/* Waits for a job.  NULL: closed and empty. */
struct fair_job *fair_queue_take(struct fair_queue *q);
/* Waits for a job and takes up to `most` that are there, in turn.  0: closed and empty. */
size_t fair_queue_take_some(struct fair_queue *q, struct fair_job **out, size_t most);
/* Jobs that wait now. */
size_t fair_queue_waiting(struct fair_queue *q);
/* Wakes those who wait; what is in it is still handed out. */
void fair_queue_close(struct fair_queue *q);
