/* scepload: enrols many devices at once and says what each cost.
 *
 *   scepload --port P [--host A] [--path /scep] [-n 5000] [--connections 64] [--challenges FILE]
 *            [--pid PID] [--ca-key rsa2048] [--prefix load] [--retry 60] [--start-file F]
 *
 * Prepares everything (keys, requests, messages), then fires, then opens and verifies every reply.
 * With --pid it prints the CPU of that process and its children while firing, beside the sum of the
 * raw private-key operations of one enrolment timed in the same run.  --start-file is created when
 * firing begins, so that a test can kill the server in the middle.  The last line is key=value.
 * Exit 0 when every device got its certificate. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"

static void fail(const struct err *err)
{
    fprintf(stderr, "scepload: %s\n", err->text);
    exit(2);
}

static char **read_lines(const char *path, size_t *n)
{
    FILE *f = fopen(path, "r");
    char **lines = NULL, *line = NULL;
    size_t cap = 0;
    ssize_t len;
    *n = 0;
    while (f && (len = getline(&line, &cap, f)) > 0) {
        line[strcspn(line, "\r\n")] = '\0';
        lines = realloc(lines, (*n + 1) * sizeof *lines);
        if (!lines || !(lines[(*n)++] = strdup(line)))
            abort();
    }
    free(line);
    if (f)
        fclose(f);
    return lines;
}

static int by_ms(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double percentile(double *sorted, size_t n, double p)
{
    return n ? sorted[(size_t)(p * (double)(n - 1))] : 0;
}

static void get_server(struct load *l)
{
    struct err err = {0};
    char url[512];
    snprintf(url, sizeof url, "http://%s:%d%s", l->host, l->port, l->path);
    struct client_options o = {.url = url, .timeout = 30};
    struct client *c = NULL;
    if (!client_new(&o, &c, &err) || !client_get_caps(c, &l->caps, &err) ||
        !client_get_ca(c, &l->ca, &err))
        fail(&err);
    client_free(c);
}

static void report(struct load *l, const struct load_result *r, double wall, double cpu,
                   const char *ca_key)
{
    double *ms = calloc(l->n, sizeof *ms);
    size_t n = 0;
    for (size_t i = 0; i < l->n; i++)
        if (l->device[i].reply.n)
            ms[n++] = l->device[i].ms;
    qsort(ms, n, sizeof *ms, by_ms);
    if (*r->first_problem)
        printf("first problem: %s\n", r->first_problem);
    printf("load n=%zu connections=%zu issued=%zu pending=%zu failed=%zu bad=%zu none=%zu "
           "retries=%zu wall_s=%.2f rps=%.0f "
           "p50_ms=%.1f p99_ms=%.1f max_ms=%.1f",
           l->n, l->connections, r->issued, r->pending, r->failed, r->bad, r->none,
           atomic_load(&l->retries), wall, (double)n / wall, percentile(ms, n, 0.5),
           percentile(ms, n, 0.99), percentile(ms, n, 1.0));
    if (cpu >= 0) {
        double raw = load_time_sign(ca_key) + load_time_sign("rsa2048") + load_time_decrypt();
        double each = cpu * 1e6 / (double)l->n;
        printf(" server_cpu_us=%.0f raw_private_us=%.0f ratio=%.3f", each, raw, each / raw);
    }
    putchar('\n');
    free(ms);
}

int main(int argc, char **argv)
{
    struct load l = {.host = "127.0.0.1",
                     .path = "/scep",
                     .n = 5000,
                     .connections = 64,
                     .retry_seconds = 60,
                     .prefix = "load"};
    const char *challenges_file = NULL, *ca_key = "rsa2048", *start_file = NULL;
    int pid = 0, opt;
    static const struct option options[] = {
        {"host", 1, NULL, 'h'},        {"port", 1, NULL, 'p'},       {"path", 1, NULL, 'u'},
        {"connections", 1, NULL, 'c'}, {"challenges", 1, NULL, 'f'}, {"pid", 1, NULL, 'i'},
        {"ca-key", 1, NULL, 'k'},      {"prefix", 1, NULL, 'x'},     {"retry", 1, NULL, 'r'},
        {"start-file", 1, NULL, 's'},  {NULL, 0, NULL, 0},
    };
    while ((opt = getopt_long(argc, argv, "n:", options, NULL)) != -1)
        switch (opt) {
        case 'n':
            l.n = strtoul(optarg, NULL, 10);
            break;
        case 'h':
            snprintf(l.host, sizeof l.host, "%s", optarg);
            break;
        case 'p':
            l.port = atoi(optarg);
            break;
        case 'u':
            snprintf(l.path, sizeof l.path, "%s", optarg);
            break;
        case 'c':
            l.connections = strtoul(optarg, NULL, 10);
            break;
        case 'f':
            challenges_file = optarg;
            break;
        case 'i':
            pid = atoi(optarg);
            break;
        case 'k':
            ca_key = optarg;
            break;
        case 'x':
            l.prefix = optarg;
            break;
        case 'r':
            l.retry_seconds = (unsigned)atoi(optarg);
            break;
        case 's':
            start_file = optarg;
            break;
        default:
            return 2;
        }
    if (l.port == 0 || l.n == 0 || l.connections == 0) {
        fprintf(stderr, "scepload: --port, -n and --connections are needed\n");
        return 2;
    }
    struct err err = {0};
    size_t challenges_n = 0;
    char **challenges = challenges_file ? read_lines(challenges_file, &challenges_n) : NULL;
    get_server(&l);
    if (!load_prepare(&l, challenges, challenges_n, &err))
        fail(&err);
    if (start_file) {
        FILE *f = fopen(start_file, "w");
        if (f)
            fclose(f);
    }
    double wall = 0, before = pid ? load_cpu_seconds(pid) : 0;
    if (!load_fire(&l, &wall, &err))
        fail(&err);
    double cpu = pid ? load_cpu_seconds(pid) - before : -1;
    struct load_result r;
    load_verify(&l, &r);
    report(&l, &r, wall, cpu, ca_key);
    for (size_t i = 0; i < l.n; i++) {
        client_identity_clear(&l.device[i].identity);
        buf_clear(&l.device[i].message);
        buf_clear(&l.device[i].reply);
    }
    free(l.device);
    client_ca_clear(&l.ca);
    for (size_t i = 0; i < challenges_n; i++)
        free(challenges[i]);
    free(challenges);
    return r.issued == l.n ? 0 : 1;
}
