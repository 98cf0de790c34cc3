/* The threads behind PKIOperations: workers do the cryptography and decide, one committer makes what they decided
 * durable in common transactions, and only then is a job done.  Knows no HTTP: the daemon, tests and benches use it
 * alike. */
#pragma once

#include "scepd/fair_queue.h"
#include "scepd/scep_service.h"

struct metrics;

/* Most jobs that share one transaction. */
#define SERVICE_BATCH 64
/* How often a job is decided anew because another changed the store in between. */
#define SERVICE_ATTEMPTS 4

struct service_job {
    struct fair_job place;     /* among those that wait for a worker; must be first */
    struct service_job *next;  /* in the job_queue that holds it */
    void *tag;                 /* the submitter's */
    struct buf message;        /* owned; the pkiMessage */
    char peer[64], agent[160]; /* cut if longer */
    struct scep_call call;     /* points into this job */
    struct scep_answer answer; /* of a job that is done */
    struct enroll_asked asked; /* what a webhook said; NOT_ASKED at first */
    struct service_pool *pool; /* that it was submitted to */
    void *asking;              /* whoever has it while it is parked */
    bool held;                 /* its certificate was stored and held back */
    unsigned attempts;
    bool expired;              /* waited too long; nothing was done, `answer` is empty */
    bool displaced;            /* made room for a job of another address; as above */
    int64_t submitted_us;      /* monotonic */
};
/* `message` is to be filled in by the caller; peer and agent may be NULL.  NULL when out of memory. */
struct service_job *service_job_new(const struct scep_endpoint *endpoint, const struct enroll_context *enroll,
                                    const char *peer, const char *agent, void *tag);
double service_job_ms(const struct service_job *job); /* since it was submitted */

/* What is done with a job; see scep_service.h and enroll.h.  Tests put their own in. */
struct service_ops {
    void (*prepare)(const struct scep_call *call, struct scep_answer *out);
    void (*commit_failed)(const struct scep_call *call, const struct err *why, struct scep_answer *out);
    bool (*commit)(struct store *s, struct enroll_change *const *changes, struct err *results, size_t n,
                   struct err *err);
    void (*clear)(struct scep_answer *a);
};
void service_job_free(struct service_job *job, const struct service_ops *ops);

struct service_options {
    const struct service_ops *ops;  /* borrowed */
    struct store *store;            /* borrowed */
    struct signer *const *lanes;    /* one for each worker; borrowed during service_pool_new only */
    unsigned workers;               /* at least 1 */
    size_t queue;                   /* jobs that may wait for a worker */
    int deadline_ms;                /* older ones are not begun; 0: none */
    /* Gives the job back; called on threads of the pool and in service_pool_submit, exactly once for each submitted job. */
    void (*done)(void *ctx, struct service_job *job);
    void *ctx;
    /* Takes a job whose verdict is ENROLL_ASK, and gives it back by service_pool_return, with `asked` filled in; false: it has
     * filled that in at once.  NULL: nobody can be asked. */
    bool (*ask)(void *ask_ctx, struct service_job *job);
    void *ask_ctx;
    /* Takes a job whose certificate is stored and not to be handed out yet (its id), and gives it back by service_pool_return.
     * NULL: what is stored goes. */
    bool (*hold)(void *hold_ctx, struct service_job *job, uint64_t cert_id);
    void *hold_ctx;
    struct metrics *metrics;        /* borrowed; NULL: nothing is counted */
};

struct service_pool;
/* All signals are blocked in its threads. */
bool service_pool_new(const struct service_options *o, struct service_pool **out, struct err *err);
/* Takes the job.  False, and the job stays the caller's, when the queue is full or the pool stops.  Of a full queue a job
 * of an address that has more of them there may be given back, displaced, before this returns: see fair_queue.h. */
bool service_pool_submit(struct service_pool *p, struct service_job *job);
/* A job that was taken by `ask` or `hold`: it is prepared anew, before the others.  Any thread. */
void service_pool_return(struct service_job *job);
/* Jobs that wait for a worker now. */
size_t service_pool_waiting(struct service_pool *p);
/* How long the thread that has been longest at its job, or at its commit, is at it, in microseconds: above what any job
 * takes, something hangs. */
int64_t service_pool_busy_us(struct service_pool *p);
/* Takes no more jobs, finishes those it has, ends the threads. */
void service_pool_free(struct service_pool *p);
