#include "load.h"

#include <stdlib.h>
#include <time.h>

#define MAX_ROUNDS 64

struct rounds {
    double server[MAX_ROUNDS], client[MAX_ROUNDS], floor[MAX_ROUNDS], beside[MAX_ROUNDS];
    double over_floor[MAX_ROUNDS], over_beside[MAX_ROUNDS];
};

static double own_cpu_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* One round with all clocks read around it; `before`: the floor alone, of just now. */
static bool measured_round(struct load *l, size_t n, int pid, struct load_floor *f, double *before,
                           struct rounds *r, size_t i, struct load_cost *out, struct err *err)
{
    double wall, beside_used, own = own_cpu_us();
    double idle = load_idle_seconds(pid), server = load_cpu_seconds(pid);
    load_floor_beside_start(f);
    bool ok = load_fire(l, l->end + n, &wall, err);
    r->beside[i] = load_floor_beside_stop(f, &beside_used);
    server = load_cpu_seconds(pid) - server;
    out->idle_s += load_idle_seconds(pid) - idle;
    out->busy_s += server;
    out->wall_s += wall;
    r->client[i] = (own_cpu_us() - own - beside_used) / (double)n;
    double after = load_floor_alone(f);
    r->floor[i] = after < *before ? after : *before;
    *before = after;
    r->server[i] = server * 1e6 / (double)n;
    r->over_floor[i] = r->server[i] / r->floor[i];
    r->over_beside[i] = r->server[i] / r->beside[i];
    return ok;
}

static bool measure(struct load *l, size_t rounds, int pid, struct load_floor *f,
                    struct load_cost *out, struct err *err)
{
    struct rounds *r = calloc(1, sizeof *r);
    if (!r)
        return err_memory(err);
    double before = load_floor_alone(f);
    bool ok = true;
    for (size_t i = 0; ok && i < rounds; i++) {
        size_t n = l->n * (i + 1) / rounds - l->n * i / rounds;
        ok = measured_round(l, n, pid, f, &before, r, i, out, err);
    }
    out->server_us = load_quantile(r->server, rounds, 0.5);
    out->client_us = load_quantile(r->client, rounds, 0.5);
    out->floor_us = load_quantile(r->floor, rounds, 0.5);
    out->beside_us = load_quantile(r->beside, rounds, 0.5);
    out->over_floor = load_quantile(r->over_floor, rounds, 0.5);
    out->over_beside = load_quantile(r->over_beside, rounds, 0.5);
    free(r);
    return ok;
}

bool load_rounds(struct load *l, size_t rounds, int pid, const char *ca_key, struct load_cost *out,
                 struct err *err)
{
    *out = (struct load_cost){0};
    l->end = 0;
    if (pid == 0)
        return load_fire(l, l->n, &out->wall_s, err);
    struct load_floor *f = NULL;
    rounds = rounds > MAX_ROUNDS ? MAX_ROUNDS : rounds > l->n ? l->n : rounds;
    bool ok = load_floor_new(ca_key, pid, &f, err) && measure(l, rounds, pid, f, out, err);
    load_floor_free(f);
    return ok;
}
