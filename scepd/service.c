#include "scepd/service.h"

#include <stdlib.h>
#include <unistd.h>

unsigned service_workers(const struct config *c)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return c->workers > 0 ? (unsigned)c->workers : cores > 0 ? (unsigned)cores : 1;
}

/* One per core, but for machines so large that the loop could not keep up with them. */
#define OCSP_THREADS_MOST 8

static unsigned ocsp_threads(void)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return cores < 1 ? 1 : cores < OCSP_THREADS_MOST ? (unsigned)cores : OCSP_THREADS_MOST;
}

unsigned service_lanes(const struct config *c)
{
    return service_workers(c) + 1 + ocsp_threads();
}

static bool start_upkeep(struct service *s, const struct service_needs *n, struct err *err)
{
    struct upkeep_options o = {.authorities = s->setup->rooms.member,
                               .authority_n = s->setup->rooms.member_n,
                               .lane = signer_lane(s->signer.process, s->workers),
                               .store = n->store,
                               .crl_directory = s->setup->config->crl_directory,
                               .log = n->log,
                               .metrics = n->metrics};
    metrics_watch_signer(n->metrics, o.lane, s->setup->rooms.spec);
    return upkeep_new(&o, &s->upkeep, err);
}

static bool start_pool(struct service *s, const struct service_needs *n, struct err *err)
{
    struct signer **lanes = calloc(s->workers, sizeof(struct signer *));
    if (!lanes)
        return err_memory(err);
    for (unsigned i = 0; i < s->workers; i++) {
        lanes[i] = signer_lane(s->signer.process, i);
        metrics_watch_signer(n->metrics, lanes[i], s->setup->rooms.spec);
    }
    struct service_options o = {.ops = n->ops,
                                .store = n->store,
                                .lanes = lanes,
                                .workers = s->workers,
                                .queue = (size_t)s->setup->config->queue,
                                .deadline_ms = s->setup->config->request_timeout * 1000,
                                .done = n->done,
                                .ctx = n->ctx,
                                .ask = n->ask,
                                .ask_ctx = n->ask_ctx,
                                .hold = n->hold,
                                .hold_ctx = n->hold_ctx,
                                .metrics = n->metrics};
    bool ok = service_pool_new(&o, &s->pool, err);
    free(lanes);
    return ok;
}

static bool start_ocsp(struct service *s, const struct service_needs *n, struct err *err)
{
    const struct config *c = s->setup->config;
    const struct config_rooms *rooms = &s->setup->rooms;
    struct signer *lanes[OCSP_THREADS_MOST];
    s->world.store = n->store;
    s->world.rules = c->ocsp.rules;
    s->world.max_ids = (size_t)c->ocsp.max_ids;
    s->ocsp_threads = ocsp_threads();
    for (unsigned i = 0; i < s->ocsp_threads; i++) {
        lanes[i] = signer_lane(s->signer.process, s->workers + 1 + i);
        metrics_watch_signer(n->metrics, lanes[i], rooms->spec);
    }
    struct ocsp_pool_options o = {.lanes = lanes,
                                  .threads = s->ocsp_threads,
                                  .queue = (size_t)c->queue,
                                  .deadline_ms = c->request_timeout * 1000,
                                  .done = n->ocsp_done,
                                  .ctx = n->ocsp_ctx};
    return ocsp_issuers_new((const struct authority *const *)rooms->authority, c->authority_n,
                            &s->world.issuers, err) &&
           ocsp_pool_new(&o, &s->ocsp, err);
}

bool service_new(const struct service_needs *n, struct setup *setup, struct keeper_signer *signer,
                 struct service **out, struct err *err)
{
    struct service *s = calloc(1, sizeof *s);
    if (!s) {
        keeper_signer_clear(signer);
        setup_release(setup);
        return err_memory(err);
    }
    s->setup = setup;
    s->ended = -1;
    s->signer = *signer;
    *signer = (struct keeper_signer)KEEPER_NO_SIGNER;
    s->workers = service_workers(setup->config);
    s->enroll =
        (struct enroll_context){.store = n->store, .challenge_key = &setup->rooms.challenge_key};
    if (!start_upkeep(s, n, err) || !start_pool(s, n, err) || !start_ocsp(s, n, err)) {
        service_end(s);
        service_free(s);
        return false;
    }
    *out = s;
    return true;
}

void service_end(struct service *s)
{
    service_pool_free(s->pool);
    s->pool = NULL;
    ocsp_pool_free(s->ocsp);
    s->ocsp = NULL;
    upkeep_free(s->upkeep);
    s->upkeep = NULL;
    s->ended = s->signer.ended;
    s->signer.ended = -1;
    keeper_signer_clear(&s->signer);
}

void service_free(struct service *s)
{
    if (!s)
        return;
    if (s->ended >= 0)
        close(s->ended);
    ocsp_issuers_free(s->world.issuers);
    setup_release(s->setup);
    free(s);
}
