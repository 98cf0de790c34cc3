#include "load.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define EVERY_MS 4
#define MAX_SAMPLES 65536

struct get {
    const struct load *l;
    const char *path;
    atomic_bool *stop;
    pthread_t thread;
    double *ms;
    size_t n, failed;
};

struct load_gets {
    atomic_bool stop;
    size_t n;
    struct get get[8];
};

static void *run(void *ctx)
{
    struct get *g = ctx;
    struct buf request = {0}, in = {0}, body = {0};
    int fd = -1;
    if (!buf_printf(&request, "GET %s HTTP/1.1\r\nHost: %s:%d\r\n\r\n", g->path, g->l->host,
                    g->l->port))
        return NULL;
    while (!atomic_load(g->stop) && g->n < MAX_SAMPLES) {
        const struct timespec pause = {0, EVERY_MS * 1000000L};
        double begun = load_now_ms();
        if (fd < 0)
            fd = load_connect(g->l);
        if (fd >= 0 && load_send(fd, buf_view(&request)) && load_receive(fd, &in, &body) == 200) {
            g->ms[g->n++] = load_now_ms() - begun;
        } else {
            g->failed++;
            if (fd >= 0)
                close(fd);
            fd = -1;
        }
        nanosleep(&pause, NULL);
    }
    if (fd >= 0)
        close(fd);
    buf_clear(&request);
    buf_clear(&in);
    buf_clear(&body);
    return NULL;
}

bool load_gets_start(const struct load *l, const char *const *path, size_t path_n,
                     struct load_gets **out, struct err *err)
{
    struct load_gets *g = calloc(1, sizeof *g);
    *out = g;
    if (!g)
        return err_memory(err);
    for (; g->n < path_n && g->n < sizeof g->get / sizeof *g->get; g->n++) {
        struct get *one = &g->get[g->n];
        *one = (struct get){.l = l, .path = path[g->n], .stop = &g->stop};
        one->ms = calloc(MAX_SAMPLES, sizeof *one->ms);
        if (!one->ms || pthread_create(&one->thread, NULL, run, one) != 0)
            return err_memory(err);
    }
    return true;
}

void load_gets_stop(struct load_gets *g)
{
    atomic_store(&g->stop, true);
    for (size_t i = 0; i < g->n; i++) {
        struct get *one = &g->get[i];
        pthread_join(one->thread, NULL);
        double p50 = load_quantile(one->ms, one->n, 0.5),
               p99 = load_quantile(one->ms, one->n, 0.99);
        printf("get path=%s n=%zu failures=%zu p50_ms=%.2f p99_ms=%.2f max_ms=%.2f\n", one->path,
               one->n, one->failed, p50, p99, load_quantile(one->ms, one->n, 1));
        free(one->ms);
    }
    free(g);
}
