/* The threads that make OCSP answers: each takes what waits, up to a packet full, looks the certificates up and has all
 * signed in one go, by a lane of its own.  Neither enrolments wait for them, nor they for enrolments.  Knows no HTTP. */
#pragma once

#include <stdatomic.h>

#include "ca/ocsp.h"
#include "scepd/fair_queue.h"

/* Jobs that one thread does together: as many answers as fit into one packet to the signer. */
#define OCSP_POOL_BATCH 16

/* What one setup answers by; immutable, outlives its jobs. */
struct ocsp_world {
    struct store *store;               /* borrowed */
    struct ocsp_issuers *issuers;      /* owned */
    struct ocsp_rules rules;
    size_t max_ids;
};

struct ocsp_job {
    struct fair_job place;             /* must be first */
    struct ocsp_job *next;             /* among those that are done */
    char peer[64];
    const struct ocsp_world *world;
    const struct authority *only;      /* whose certificates may be asked for; NULL: all */
    struct buf request;                /* owned: the OCSPRequest */
    int64_t submitted_us;              /* monotonic */
    atomic_bool begun;                 /* its certificates are being looked up: what happens now it may not show */
    bool undone;                       /* displaced, or waited too long: nothing was done */
    struct ocsp_answer answer;
    void *tag;                         /* the submitter's */
};
/* Copies the request.  NULL when out of memory. */
struct ocsp_job *ocsp_job_new(const struct ocsp_world *w, const struct authority *only, struct view request,
                              const char *peer);
void ocsp_job_free(struct ocsp_job *job);

struct ocsp_pool_options {
    struct signer *const *lanes;       /* one for each thread; borrowed during ocsp_pool_new only */
    unsigned threads;                  /* at least 1 */
    size_t queue;                      /* jobs that may wait */
    int deadline_ms;                   /* older ones are not begun; 0: none */
    /* Gives jobs back, as a list; on threads of the pool and in ocsp_pool_submit, exactly once for each. */
    void (*done)(void *ctx, struct ocsp_job *jobs);
    void *ctx;
};

struct ocsp_pool;
/* All signals are blocked in its threads. */
bool ocsp_pool_new(const struct ocsp_pool_options *o, struct ocsp_pool **out, struct err *err);
/* Takes the job.  False, and it stays the caller's, when the queue is full or the pool stops.  Of a full queue a job of an
 * address that has more of them there may be given back undone before this returns: see fair_queue.h. */
bool ocsp_pool_submit(struct ocsp_pool *p, struct ocsp_job *job);
size_t ocsp_pool_waiting(struct ocsp_pool *p);
/* How long the thread that has been longest at its jobs is at them, in microseconds. */
int64_t ocsp_pool_busy_us(struct ocsp_pool *p);
/* Takes no more jobs, finishes those it has, ends the threads.  NULL allowed. */
void ocsp_pool_free(struct ocsp_pool *p);
