#include "scepd/service.h"

#include <stdlib.h>
#include <unistd.h>

unsigned service_workers(const struct config *c)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return c->workers > 0 ? (unsigned)c->workers : cores > 0 ? (unsigned)cores : 1;
}

unsigned service_lanes(const struct config *c)
{
    return service_workers(c) + 1;
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
                                .metrics = n->metrics};
    bool ok = service_pool_new(&o, &s->pool, err);
    free(lanes);
    return ok;
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
    s->signer = *signer;
    *signer = (struct keeper_signer)KEEPER_NO_SIGNER;
    s->workers = service_workers(setup->config);
    s->enroll =
        (struct enroll_context){.store = n->store, .challenge_key = &setup->rooms.challenge_key};
    if (!start_upkeep(s, n, err) || !start_pool(s, n, err)) {
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
    upkeep_free(s->upkeep);
    s->upkeep = NULL;
    keeper_signer_clear(&s->signer);
}

void service_free(struct service *s)
{
    if (!s)
        return;
    setup_release(s->setup);
    free(s);
}
