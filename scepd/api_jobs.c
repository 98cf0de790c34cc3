#include "scepd/api_jobs.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "scepd/thread.h"

#define LOOK_MS 500      /* how long a new job may wait */
#define AFTER_FAILURE 20 /* looks */

struct api_jobs {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_t thread;
    bool stop, running;
    const struct log *log;
    struct api_serving *serving; /* one reference; under the lock */
    uint64_t generation;         /* the thread's: of the store when nothing was to be done */
    int pause;                   /* the thread's: looks to leave out after a failure */
};

/* Is there anything new since there was nothing to do? */
static bool changed(struct api_jobs *j, struct store *s)
{
    struct err ignored = {0};
    uint64_t now;
    bool is = !store_generation(s, &now, &ignored) || now != j->generation;
    if (is)
        j->generation = now;
    return is;
}

/* *wait_ms: until the next look. */
static void step(struct api_jobs *j, const struct api_world *world, int *wait_ms)
{
    struct err err = {0};
    bool more = false;
    *wait_ms = LOOK_MS;
    api_reads_write(world, time(NULL), false);
    if (j->pause > 0) {
        j->pause--;
        return;
    }
    if (!changed(j, world->store))
        return;
    if (!api_jobs_step(world, time(NULL), &more, &err)) {
        log_event(j->log, LOG_LEVEL_ERROR, "api.job", "a job waits: %s", err.text);
        j->generation = 0;
        j->pause = AFTER_FAILURE;
    } else if (more) {
        j->generation = 0;
        *wait_ms = 0;
    }
}

static struct timespec after(int ms)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += ms / 1000;
    t.tv_nsec += (long)(ms % 1000) * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000;
    }
    return t;
}

static void *run(void *jobs)
{
    struct api_jobs *j = jobs;
    pthread_mutex_lock(&j->lock);
    while (!j->stop) {
        struct api_serving *serving = api_serving_get1(j->serving);
        int wait_ms;
        pthread_mutex_unlock(&j->lock);
        step(j, &serving->world, &wait_ms);
        api_serving_release(serving);
        struct timespec until = after(wait_ms);
        pthread_mutex_lock(&j->lock);
        while (wait_ms && !j->stop && pthread_cond_timedwait(&j->wake, &j->lock, &until) == 0)
            ;
    }
    pthread_mutex_unlock(&j->lock);
    return NULL;
}

bool api_jobs_new(struct api_serving *serving, const struct log *log, struct api_jobs **out,
                  struct err *err)
{
    struct api_jobs *j = calloc(1, sizeof *j);
    pthread_condattr_t monotonic;
    if (!j)
        return err_memory(err);
    j->log = log;
    j->serving = api_serving_get1(serving);
    pthread_mutex_init(&j->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&j->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    j->running = thread_start(&j->thread, "api-jobs", run, j);
    if (!j->running) {
        api_jobs_free(j);
        return err_set(err, ERR_MEMORY, "cannot start a thread");
    }
    *out = j;
    return true;
}

void api_jobs_use(struct api_jobs *j, struct api_serving *serving)
{
    pthread_mutex_lock(&j->lock);
    struct api_serving *old = j->serving;
    j->serving = api_serving_get1(serving);
    pthread_mutex_unlock(&j->lock);
    api_serving_release(old);
}

void api_jobs_free(struct api_jobs *j)
{
    if (!j)
        return;
    pthread_mutex_lock(&j->lock);
    j->stop = true;
    pthread_cond_signal(&j->wake);
    pthread_mutex_unlock(&j->lock);
    if (j->running)
        pthread_join(j->thread, NULL);
    api_serving_release(j->serving);
    pthread_cond_destroy(&j->wake);
    pthread_mutex_destroy(&j->lock);
    free(j);
}
