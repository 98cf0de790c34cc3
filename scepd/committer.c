/* The committer: makes the changes of all jobs that wait durable in one transaction (group commit),
 * then lets their answers go. */
#include "scepd/metrics.h"
#include "scepd/service_internal.h"

static void settle(struct service_pool *p, struct service_job *job, bool committed,
                   const struct err *result)
{
    bool stored = committed && result->kind == ERR_NONE;
    uint64_t held = stored && p->options.hold ? enroll_change_held(job->answer.change) : 0;
    if (held) {
        job->held = true;
        service_park(p);
        if (!p->options.hold(p->options.hold_ctx, job, held))
            service_pool_return(job);
    } else if (stored) {
        service_finish(p, job);
    } else if (result->kind == ERR_CONFLICT && job->attempts < SERVICE_ATTEMPTS) {
        p->options.ops->clear(&job->answer);
        fair_queue_push_front(&p->work, &job->place);
    } else {
        p->options.ops->commit_failed(&job->call, result, &job->answer);
        service_finish(p, job);
    }
}

void service_commit_now(struct service_pool *p, struct service_job **jobs, size_t n)
{
    struct enroll_change *changes[SERVICE_BATCH] = {0};
    struct err results[SERVICE_BATCH] = {0};
    struct err err = {0};
    for (size_t i = 0; i < n; i++)
        changes[i] = jobs[i]->answer.change;
    int64_t begin = service_now_us();
    bool committed = p->options.ops->commit(p->options.store, changes, results, n, &err);
    metrics_commit(p->options.metrics, committed, n, (double)(service_now_us() - begin) / 1e6);
    for (size_t i = 0; i < n; i++)
        settle(p, jobs[i], committed,
               results[i].kind == ERR_NONE && !committed ? &err : &results[i]);
}

/* One sync serves many: while more jobs are on their way than wait here, the first waits for
 * others, briefly.  Never for all of them, or the workers would stand idle during the commit; and a
 * job that is alone in the house does not wait. */
#define GATHER_JOBS 32
#define GATHER_US 20000
#define GATHER_STEP_US 5000 /* to see that others ended without a change */

static size_t lacking(struct service_pool *p, size_t n)
{
    size_t half = (service_pending(p) + 1) / 2, enough = half < GATHER_JOBS ? half : GATHER_JOBS;
    return n < enough ? enough - n : 0;
}

static size_t gather(struct service_pool *p, struct service_job **jobs, size_t n)
{
    int64_t now = service_now_us(), until = now + GATHER_US;
    for (size_t lack; (lack = lacking(p, n)) > 0 && now < until; now = service_now_us())
        if (job_queue_wait(&p->commit, lack, now + GATHER_STEP_US) > 0)
            n += job_queue_take(&p->commit, jobs + n, SERVICE_BATCH - n);
    return n;
}

void *service_commit(void *pool)
{
    struct service_pool *p = pool;
    struct service_job *jobs[SERVICE_BATCH];
    size_t n;
    while ((n = job_queue_take(&p->commit, jobs, SERVICE_BATCH)) > 0) {
        p->commit_since_us = service_now_us();
        service_commit_now(p, jobs, gather(p, jobs, n));
        p->commit_since_us = 0;
    }
    return NULL;
}
