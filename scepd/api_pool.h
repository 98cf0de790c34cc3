/* The threads that answer the API: few, since administrators are, and apart from those of devices, so that neither waits for the
 * other.  Addresses take turns (fair_queue.h).  Knows no HTTP. */
#pragma once

#include <stdatomic.h>

#include "api/api.h"
#include "scepd/fair_queue.h"
#include "scepd/health.h"
#include "scepd/setup.h"

#define API_POOL_THREADS 2
#define API_POOL_QUEUE 256

/* What one setup answers by; counted. */
struct api_serving {
    struct setup *setup;         /* one reference */
    struct api_world world;
    atomic_uint references;
};
/* Takes the reference of the setup.  NULL when out of memory (the reference is released then). */
struct api_serving *api_serving_new(struct setup *setup);
struct api_serving *api_serving_get1(struct api_serving *s);
void api_serving_release(struct api_serving *s); /* NULL allowed */

struct api_job {
    struct fair_job place;       /* must be first */
    struct api_job *next;        /* among those that are done */
    struct api_serving *serving; /* one reference */
    struct api_request request;  /* of what follows */
    struct buf text, body, certificate; /* owned; text: path, query and headers */
    char peer[64];
    struct health health;        /* as the loop saw it when the job came */
    bool has_health;
    /* Has new CRLs made of the authority at this place; false: another setup is served meanwhile. */
    bool (*publish)(void *ctx, const struct setup *setup, size_t authority);
    void *publish_ctx;
    bool undone;                 /* displaced, or the pool stops: there is no reply */
    int64_t submitted_us;        /* monotonic */
    struct api_reply reply;
    void *tag;                   /* the submitter's */
};
/* NULL when out of memory.  Takes one reference of its own. */
struct api_job *api_job_new(struct api_serving *s, const char *peer);
void api_job_free(struct api_job *job); /* wipes what was sent and answered; NULL allowed */

struct api_pool_options {
    /* Gives a job back; on threads of the pool and in api_pool_submit, exactly once for each. */
    void (*done)(void *ctx, struct api_job *job);
    void *ctx;
};
struct api_pool;
bool api_pool_new(const struct api_pool_options *o, struct api_pool **out, struct err *err);
/* Takes the job.  False, and it stays the caller's, when the queue is full or the pool stops. */
bool api_pool_submit(struct api_pool *p, struct api_job *job);
/* Takes no more jobs, finishes those it has, ends the threads.  NULL allowed. */
void api_pool_free(struct api_pool *p);
