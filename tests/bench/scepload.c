/* scepload: enrols many devices at once and says what each cost.
 *
 *   scepload --port P [--host A] [--path /scep] [-n 5000] [--connections 64] [--challenges FILE]
 *            [--pid PID] [--ca-key rsa2048] [--rounds 1] [--get PATH]... [--prefix load]
 *            [--retry 60] [--start-file F] [--hold F] [--list F] [--acks F] [--again] [--legacy]
 *
 * Prepares everything (keys, requests, messages), then fires, then opens and verifies every reply.
 * With --pid it prints the CPU of that process and its children while firing, beside the floor of
 * one enrolment (load_floor.c), which is timed alone before and after each of --rounds and in
 * slices meanwhile; --ca-key says what the CA signs with.  --get asks for a path meanwhile, over
 * and over, and tells how long that took.  --start-file is created when firing begins, so that a
 * test can kill the server in the middle.  --list writes common name and serial of every
 * certificate that a device got.  --again sends the same messages once more, which must bring the
 * same certificates.  --acks gets a line with the common name at every reply, while it fires; a 503
 * without Retry-After is a failure then.  --hold: when all is prepared, waits until that file
 * exists.  --legacy reads answers in DES.
 * The last line is key=value, or the last two with --again.
 * Exit 0 when every device got its certificate. */
#include <fcntl.h>
#include <getopt.h>
#include <openssl/provider.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hex.h"
#include "load.h"
#include "pkcs7/alg.h"

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

static void write_list(const struct load *l, const char *path)
{
    FILE *f = fopen(path, "w");
    bool ok = f != NULL;
    for (size_t i = 0; ok && i < l->n; i++) {
        const struct load_device *d = &l->device[i];
        struct cert *c = NULL;
        struct err err = {0};
        char serial[2 * 64 + 1];
        if (!d->cert.n)
            continue;
        ok = cert_parse(buf_view(&d->cert), &c, &err) && c->serial.n <= 64;
        if (ok) {
            hex_encode(c->serial, serial);
            fprintf(f, "%s %s\n", d->subject, serial);
        }
        cert_free(c);
    }
    if (f && fclose(f) != 0)
        ok = false;
    if (!ok) {
        fprintf(stderr, "scepload: cannot write %s\n", path);
        exit(2);
    }
}

/* As if every reply had been lost. */
static void lose_replies(struct load *l)
{
    for (size_t i = 0; i < l->n; i++) {
        buf_reset(&l->device[i].reply);
        l->device[i].tries = 0;
    }
    l->end = 0;
    atomic_store(&l->done, 0);
    atomic_store(&l->gave_up, 0);
    atomic_store(&l->retries, 0);
}

static void report_cost(const struct load_cost *c)
{
    printf(" server_cpu_us=%.0f client_cpu_us=%.0f floor_us=%.0f floor_beside_us=%.0f "
           "over_floor=%.3f over_floor_beside=%.3f server_s=%.2f idle_s=%.2f",
           c->server_us, c->client_us, c->floor_us, c->beside_us, c->over_floor, c->over_beside,
           c->busy_s, c->idle_s);
}

static void report(struct load *l, const struct load_result *r, const struct load_cost *cost,
                   bool with_cost)
{
    double *ms = calloc(l->n, sizeof *ms);
    size_t n = 0;
    double sum = 0;
    for (size_t i = 0; i < l->n; i++)
        if (l->device[i].reply.n)
            sum += ms[n++] = l->device[i].ms;
    if (*r->first_problem)
        printf("first problem: %s\n", r->first_problem);
    double p50 = load_quantile(ms, n, 0.5), p99 = load_quantile(ms, n, 0.99);
    printf("load n=%zu connections=%zu issued=%zu pending=%zu failed=%zu bad=%zu none=%zu "
           "retries=%zu wall_s=%.2f rps=%.0f mean_ms=%.2f p50_ms=%.1f p99_ms=%.1f max_ms=%.1f",
           l->n, l->connections, r->issued, r->pending, r->failed, r->bad, r->none,
           atomic_load(&l->retries), cost->wall_s, (double)n / cost->wall_s,
           n ? sum / (double)n : -1, p50, p99, load_quantile(ms, n, 1));
    if (with_cost)
        report_cost(cost);
    putchar('\n');
    free(ms);
}

struct options {
    const char *challenges_file, *ca_key, *start_file, *hold_file, *list_file, *get[8];
    size_t get_n, rounds;
    int pid;
    bool again, legacy;
};

static const struct option option_names[] = {
    {"host", 1, NULL, 'h'},        {"port", 1, NULL, 'p'},       {"path", 1, NULL, 'u'},
    {"connections", 1, NULL, 'c'}, {"challenges", 1, NULL, 'f'}, {"pid", 1, NULL, 'i'},
    {"ca-key", 1, NULL, 'k'},      {"prefix", 1, NULL, 'x'},     {"retry", 1, NULL, 'r'},
    {"start-file", 1, NULL, 's'},  {"list", 1, NULL, 'l'},       {"again", 0, NULL, 'a'},
    {"rounds", 1, NULL, 'R'},      {"get", 1, NULL, 'g'},        {"acks", 1, NULL, 'A'},
    {"hold", 1, NULL, 'H'},        {"legacy", 0, NULL, 'D'},     {NULL, 0, NULL, 0},
};

static bool take_option(int opt, struct load *l, struct options *o)
{
    switch (opt) {
    case 'n':
        l->n = strtoul(optarg, NULL, 10);
        return true;
    case 'h':
        snprintf(l->host, sizeof l->host, "%s", optarg);
        return true;
    case 'p':
        l->port = atoi(optarg);
        return true;
    case 'u':
        snprintf(l->path, sizeof l->path, "%s", optarg);
        return true;
    case 'c':
        l->connections = strtoul(optarg, NULL, 10);
        return true;
    case 'f':
        o->challenges_file = optarg;
        return true;
    case 'i':
        o->pid = atoi(optarg);
        return true;
    case 'k':
        o->ca_key = optarg;
        return true;
    case 'x':
        l->prefix = optarg;
        return true;
    case 'r':
        l->retry_seconds = (unsigned)atoi(optarg);
        return true;
    case 's':
        o->start_file = optarg;
        return true;
    case 'l':
        o->list_file = optarg;
        return true;
    case 'A':
        l->acks = open(optarg, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
        l->strict = true;
        return l->acks > 0;
    case 'H':
        o->hold_file = optarg;
        return true;
    case 'D':
        o->legacy = true;
        return true;
    case 'a':
        o->again = true;
        return true;
    case 'R':
        o->rounds = strtoul(optarg, NULL, 10);
        return o->rounds > 0;
    case 'g':
        if (o->get_n == sizeof o->get / sizeof *o->get)
            return false;
        o->get[o->get_n++] = optarg;
        return true;
    }
    return false;
}

static void prepare(struct load *l, const char *challenges_file)
{
    struct err err = {0};
    size_t n = 0;
    char **challenges = challenges_file ? read_lines(challenges_file, &n) : NULL;
    get_server(l);
    if (!load_prepare(l, challenges, n, &err))
        fail(&err);
    for (size_t i = 0; i < n; i++)
        free(challenges[i]);
    free(challenges);
}

static void touch(const char *path)
{
    FILE *f = fopen(path, "w");
    if (f)
        fclose(f);
}

/* Did every device get its certificate? */
static bool fire_and_tell(struct load *l, const struct options *o, int pid)
{
    struct load_result r;
    struct err err = {0};
    struct load_cost cost;
    struct load_gets *gets = NULL;
    if (o->get_n && !load_gets_start(l, o->get, o->get_n, &gets, &err))
        fail(&err);
    if (!load_rounds(l, o->rounds, pid, o->ca_key, &cost, &err))
        fail(&err);
    if (gets)
        load_gets_stop(gets);
    load_verify(l, &r);
    report(l, &r, &cost, pid != 0);
    return r.issued == l->n;
}

int main(int argc, char **argv)
{
    struct load l = {.host = "127.0.0.1",
                     .path = "/scep",
                     .n = 5000,
                     .connections = 64,
                     .retry_seconds = 60,
                     .prefix = "load"};
    struct options o = {.ca_key = "rsa2048", .rounds = 1};
    int opt;
    while ((opt = getopt_long(argc, argv, "n:", option_names, NULL)) != -1)
        if (!take_option(opt, &l, &o))
            return 2;
    if (l.port == 0 || l.n == 0 || l.connections == 0) {
        fprintf(stderr, "scepload: --port, -n and --connections are needed\n");
        return 2;
    }
    OSSL_PROVIDER *legacy = NULL;
    struct err err = {0};
    if (o.legacy && !cipher_legacy_load(&legacy, &err))
        fail(&err);
    prepare(&l, o.challenges_file);
    if (o.start_file)
        touch(o.start_file);
    while (o.hold_file && access(o.hold_file, F_OK) != 0)
        usleep(10000);
    bool all = fire_and_tell(&l, &o, o.pid);
    if (o.list_file)
        write_list(&l, o.list_file);
    if (o.again) {
        lose_replies(&l);
        all = fire_and_tell(&l, &o, 0) && all;
    }
    load_fire_close(&l);
    for (size_t i = 0; i < l.n; i++) {
        client_identity_clear(&l.device[i].identity);
        buf_clear(&l.device[i].message);
        buf_clear(&l.device[i].reply);
        buf_clear(&l.device[i].cert);
    }
    free(l.device);
    client_ca_clear(&l.ca);
    if (legacy)
        OSSL_PROVIDER_unload(legacy);
    return all ? 0 : 1;
}
