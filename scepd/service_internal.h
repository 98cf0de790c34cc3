/* What worker.c, committer.c and service_pool.c share. */
#pragma once

#include "scepd/fair_queue.h"
#include "scepd/job_queue.h"

struct service_worker {
    struct service_pool *pool;
    struct signer *lane;
    pthread_t thread;
    _Atomic int64_t since_us; /* at its job, service_now_us; 0: it has none */
};

struct service_pool {
    struct service_options options; /* `lanes` is not used any more */
    struct fair_queue work;
    struct job_queue commit;
    struct service_worker *workers;
    unsigned started;
    pthread_t committer;
    bool committing; /* its thread exists */
    _Atomic int64_t commit_since_us; /* as since_us of a worker */
    /* Jobs submitted and not yet given back: while there are any, the queues stay open, since the committer may
     * return a job to the workers. */
    pthread_mutex_t lock;
    pthread_cond_t idle;
    size_t pending;
    size_t parked; /* of them: somebody else has them, and gives them back by service_pool_return */
    bool stopping;
};

/* Gives the job back to its submitter. */
void service_finish(struct service_pool *p, struct service_job *job);
/* Jobs submitted and not yet given back, without those that are parked: nobody waits for these. */
size_t service_pending(struct service_pool *p);
/* Before a job is handed to `ask` or `hold`, which may give it back at once. */
void service_park(struct service_pool *p);
int64_t service_now_us(void);

/* In one transaction; then their answers go, or they are decided anew.  Any thread. */
void service_commit_now(struct service_pool *p, struct service_job **jobs, size_t n);

void *service_work(void *worker);
void *service_commit(void *pool);
