/* One service: a setup, a signer with its lanes, the threads that answer SCEP and OCSP, and the thread that keeps CRLs.  The daemon
 * has one at a time; a reload, or a signer that died, makes another beside it, lets it take over, and ends the old one
 * when its last job is done.  Store, connections and log are the daemon's and stay. */
#pragma once

#include "scepd/keeper.h"
#include "scepd/metrics.h"
#include "scepd/ocsp_pool.h"
#include "scepd/service_pool.h"
#include "scepd/setup.h"
#include "scepd/upkeep.h"

struct service {
    struct setup *setup;             /* one reference */
    struct enroll_context enroll;
    struct keeper_signer signer;
    int ended;                       /* its descriptor of that name after service_end: the loop, which watched it, closes it */
    struct upkeep *upkeep;
    struct service_pool *pool;
    struct ocsp_world world;
    struct ocsp_pool *ocsp;
    unsigned workers, ocsp_threads;
};

struct service_needs {               /* all borrowed for the life of the service */
    const struct service_ops *ops;
    struct store *store;
    const struct log *log;
    struct metrics *metrics;
    void (*done)(void *ctx, struct service_job *job); /* see service_options */
    void *ctx;
    bool (*ask)(void *ask_ctx, struct service_job *job); /* see service_options; NULL: nobody can be asked */
    void *ask_ctx;
    bool (*hold)(void *hold_ctx, struct service_job *job, uint64_t cert_id); /* see service_options; NULL: nothing is held */
    void *hold_ctx;
    void (*ocsp_done)(void *ctx, struct ocsp_job *jobs); /* see ocsp_pool_options */
    void *ocsp_ctx;
};

unsigned service_workers(const struct config *c);
/* One for each worker, one for the upkeep, one for each thread that makes OCSP answers. */
unsigned service_lanes(const struct config *c);
/* Takes one reference of the setup, and the signer (which has service_lanes), also when it fails. */
bool service_new(const struct service_needs *n, struct setup *setup, struct keeper_signer *signer, struct service **out,
                 struct err *err);
/* Waits until its jobs are done, ends its threads, lets its signer go.  What it serves from stays readable. */
void service_end(struct service *s);
/* After service_end, when no job points into it any more.  NULL allowed. */
void service_free(struct service *s);
