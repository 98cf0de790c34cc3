/* A worker: one job after the other, from bytes to an answer. */
#include <time.h>

#include "scepd/metrics.h"
#include "scepd/service_internal.h"

static bool too_old(const struct service_pool *p, const struct service_job *job)
{
    return job->attempts == 0 && p->options.deadline_ms > 0 &&
           service_now_us() - job->submitted_us > (int64_t)p->options.deadline_ms * 1000;
}

/* A webhook has to be asked first: the job is parked, or goes on at once with what is known. */
static void ask(struct service_pool *p, struct service_job *job)
{
    service_park(p);
    if (p->options.ask && p->options.ask(p->options.ask_ctx, job))
        return; /* and may be back already: it is not ours any more */
    if (job->asked.state == ENROLL_NOT_ASKED)
        job->asked.state = ENROLL_NO_ANSWER;
    service_pool_return(job);
}

void *service_work(void *worker)
{
    struct service_worker *w = worker;
    struct service_pool *p = w->pool;
    struct service_job *job;
    while ((job = (struct service_job *)fair_queue_take(&p->work)) != NULL) {
        if (job->attempts == 0)
            metrics_queue_wait(p->options.metrics, service_job_ms(job) / 1000);
        if (too_old(p, job)) {
            job->expired = true;
            service_finish(p, job);
            continue;
        }
        w->since_us = service_now_us();
        job->attempts++;
        job->call.signer = w->lane;
        job->call.now = time(NULL);
        p->options.ops->prepare(&job->call, &job->answer);
        if (job->held &&
            job->answer.verdict == ENROLL_REPEAT) { /* for counts and log: the first answer */
            job->answer.verdict = ENROLL_ISSUE;
            job->answer.recorded = true;
        }
        if (job->answer.verdict == ENROLL_ASK && !job->answer.fault)
            ask(p, job);
        else if (!job->answer.change)
            service_finish(p, job);
        else if (service_pending(p) == 1) /* alone in the house: nobody to share a commit with */
            service_commit_now(p, &job, 1);
        else
            job_queue_push(&p->commit, job);
        w->since_us = 0;
    }
    return NULL;
}
