#include "scepd/daemon.h"

#include <errno.h>
#include <event2/event.h>
#include <grp.h>
#include <openssl/crypto.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "scepd/admin_http.h"
#include "scepd/scep_http.h"

/* How long the end waits for requests in flight. */
#define DRAIN_SECONDS 10
#define DRAIN_LOOK_MS 50
/* Descriptors beside the connections: store, signer, log, what libraries open. */
#define OTHER_DESCRIPTORS 128

static const struct service_ops scep_ops = {scep_pki_prepare, scep_pki_commit_failed, enroll_commit,
                                            scep_answer_clear};

enum { ON_TERM, ON_INT, ON_HUP, ON_CHILD, ON_TICK, ON_DRAIN, EVENTS };

struct daemon {
    const struct config *config;
    const char *version;
    struct logger logger;
    struct config_rooms rooms;
    struct scep_endpoint endpoint[CONFIG_MAX_ENDPOINTS];
    struct enroll_context enroll;
    struct routes *routes;
    int fd, admin_fd; /* bound, until the servers have them */
    struct metrics *metrics;
    struct admin *admin; /* NULL: no admin listener */
    struct signer_process *signer;
    struct store *store;
    struct upkeep *upkeep;
    struct attempts *attempts;
    struct event_base *base;
    struct scep_http http;
    struct http_server *server;
    struct service_pool *pool;
    struct event *event[EVENTS];
    unsigned workers;
    int64_t drain_until; /* monotonic seconds, 0: not draining */
    bool failed, cut_short;
};

/* ---- putting together ---- */

static unsigned worker_count(const struct config *c)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return c->workers > 0 ? (unsigned)c->workers : cores > 0 ? (unsigned)cores : 1;
}

static bool load_rooms(struct daemon *d, struct err *err)
{
    const struct config *c = d->config;
    if (!config_rooms_load(c, &d->rooms, err) ||
        !routes_new(c, d->rooms.member, d->rooms.member_n, &d->routes, err))
        return false;
    for (size_t i = 0; i < c->endpoint_n; i++)
        if (!scep_endpoint_init(&d->endpoint[i], &c->endpoint[i], &d->rooms.policy[i], err))
            return err_prefix(err, "endpoint \"%s\"", c->endpoint[i].path);
    return true;
}

static void raise_descriptors(struct daemon *d)
{
    rlim_t wanted = (rlim_t)d->config->max_connections + OTHER_DESCRIPTORS;
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
        return;
    limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < wanted)
        log_event(
            &d->logger.log, LOG_LEVEL_WARNING, "daemon.descriptors",
            "%d connections are allowed, but only %llu descriptors: raise the limit (LimitNOFILE=)",
            d->config->max_connections, (unsigned long long)limit.rlim_cur);
}

static bool drop_privileges(const struct config *c, struct err *err)
{
    if (geteuid() != 0 || !*c->user)
        return true;
    const struct passwd *p = getpwnam(c->user);
    if (!p)
        return err_set(err, ERR_CONFIG, "there is no user \"%s\" to run as", c->user);
    if (setgroups(1, &p->pw_gid) != 0 || setgid(p->pw_gid) != 0 || setuid(p->pw_uid) != 0)
        return err_errno(err, "cannot become user \"%s\"", c->user);
    if (p->pw_uid != 0 && setuid(0) == 0)
        return err_set(err, ERR_CONFIG, "user \"%s\" could become root again", c->user);
    return true;
}

static bool start_upkeep(struct daemon *d, struct err *err)
{
    struct upkeep_options o = {.authorities = d->rooms.member,
                               .authority_n = d->rooms.member_n,
                               .lane = signer_lane(d->signer, d->workers),
                               .store = d->store,
                               .log = &d->logger.log,
                               .metrics = d->metrics};
    metrics_watch_signer(d->metrics, o.lane, d->rooms.spec);
    return upkeep_new(&o, &d->upkeep, err);
}

static bool start_attempts(struct daemon *d, struct err *err)
{
    struct attempts_options o = {.store = d->store,
                                 .log = &d->logger.log,
                                 .keep = d->config->attempts_keep,
                                 .most = (uint64_t)d->config->attempts_max};
    return attempts_new(&o, &d->attempts, err);
}

static bool start_pool(struct daemon *d, struct err *err)
{
    struct signer **lanes = calloc(d->workers, sizeof(struct signer *));
    if (!lanes)
        return err_memory(err);
    for (unsigned i = 0; i < d->workers; i++) {
        lanes[i] = signer_lane(d->signer, i);
        metrics_watch_signer(d->metrics, lanes[i], d->rooms.spec);
    }
    struct service_options o = {.ops = &scep_ops,
                                .store = d->store,
                                .lanes = lanes,
                                .workers = d->workers,
                                .queue = (size_t)d->config->queue,
                                .deadline_ms = d->config->request_timeout * 1000,
                                .done = scep_http_done,
                                .ctx = &d->http,
                                .metrics = d->metrics};
    bool ok = service_pool_new(&o, &d->pool, err);
    free(lanes);
    d->http.pool = d->pool;
    return ok;
}

static void on_replied(void *daemon, int status)
{
    struct daemon *d = daemon;
    metrics_http(d->metrics, METRIC_SCEP, status);
}

static bool start_http(struct daemon *d, struct err *err)
{
    const struct config *c = d->config;
    struct http_limits limits = {c->max_connections, c->request_timeout, c->max_header,
                                 c->max_body};
    d->http = (struct scep_http){.routes = d->routes,
                                 .endpoints = d->endpoint,
                                 .authorities = d->rooms.member,
                                 .enroll = &d->enroll,
                                 .ops = &scep_ops,
                                 .upkeep = d->upkeep,
                                 .attempts = d->attempts,
                                 .log = &d->logger.log,
                                 .metrics = d->metrics};
    if (!scep_http_init(&d->http, d->base, err))
        return false;
    if (!http_server_new(d->base, &limits, scep_http_request, scep_http_refused, &d->http,
                         &d->logger.log, &d->server, err))
        return false;
    http_server_watch(d->server, on_replied, d);
    return true;
}

static bool start_admin(struct daemon *d, struct err *err)
{
    const struct admin_options o = {d->base, d->store, d->metrics, &d->logger.log, d->version};
    const struct admin_sources s = {d->config, d->rooms.member, d->rooms.member_n, d->pool,
                                    d->server};
    int fd = d->admin_fd;
    d->admin_fd = -1;
    return fd < 0 || admin_new(&o, &s, fd, &d->admin, err);
}

/* ---- stopping ---- */

/* The time of day may jump while the end waits. */
static int64_t monotonic(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec;
}

static void begin_drain(struct daemon *d, const char *why)
{
    struct timeval look = {0, DRAIN_LOOK_MS * 1000};
    if (d->drain_until) { /* told twice: at once */
        d->cut_short = true;
        event_base_loopbreak(d->base);
        return;
    }
    log_event(&d->logger.log, LOG_LEVEL_NOTICE, "daemon.stopping", "%s: finishing %u requests", why,
              http_server_in_flight(d->server));
    d->drain_until = monotonic() + DRAIN_SECONDS;
    http_server_drain(d->server);
    if (d->admin)
        admin_drain(d->admin);
    event_add(d->event[ON_DRAIN], &look);
}

static void on_signal(evutil_socket_t signal, short what, void *daemon)
{
    begin_drain(daemon, strsignal((int)signal));
}

/* Without its signer the daemon can do nothing; whoever started it starts both anew. */
static void on_child(evutil_socket_t signal, short what, void *daemon)
{
    struct daemon *d = daemon;
    siginfo_t info = {0};
    if (waitid(P_PID, (id_t)signer_pid(d->signer), &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
        info.si_pid == 0 || d->drain_until)
        return;
    d->failed = true;
    log_event(&d->logger.log, LOG_LEVEL_ERROR, "signer.ended", "the signer process ended (%s %d)",
              info.si_code == CLD_EXITED ? "exit code" : "signal", info.si_status);
    begin_drain(d, "no signer");
}

static void on_tick(evutil_socket_t fd, short what, void *daemon)
{
    struct daemon *d = daemon;
    scep_http_tick(&d->http, time(NULL));
}

static void on_drain(evutil_socket_t fd, short what, void *daemon)
{
    struct daemon *d = daemon;
    unsigned left = http_server_in_flight(d->server);
    d->cut_short = left > 0 && monotonic() >= d->drain_until;
    if (left == 0 || d->cut_short)
        event_base_loopbreak(d->base);
}

static bool watch(struct daemon *d, struct err *err)
{
    struct timeval second = {1, 0};
    d->event[ON_TERM] = evsignal_new(d->base, SIGTERM, on_signal, d);
    d->event[ON_INT] = evsignal_new(d->base, SIGINT, on_signal, d);
    d->event[ON_HUP] = evsignal_new(d->base, SIGHUP, on_signal, d);
    d->event[ON_CHILD] = evsignal_new(d->base, SIGCHLD, on_child, d);
    d->event[ON_TICK] = event_new(d->base, -1, EV_PERSIST, on_tick, d);
    d->event[ON_DRAIN] = event_new(d->base, -1, EV_PERSIST, on_drain, d);
    for (int i = 0; i < EVENTS; i++)
        if (!d->event[i] ||
            (i != ON_DRAIN && event_add(d->event[i], i == ON_TICK ? &second : NULL) != 0))
            return err_memory(err);
    return true;
}

static void stop(struct daemon *d)
{
    admin_free(d->admin);
    service_pool_free(d->pool);
    for (int i = 0; i < EVENTS; i++)
        if (d->event[i])
            event_free(d->event[i]);
    http_server_free(d->server);
    if (d->http.woken)
        scep_http_clear(&d->http);
    upkeep_free(d->upkeep);
    attempts_free(d->attempts);
    log_take_libevent(NULL);
    if (d->base)
        event_base_free(d->base);
    store_close(d->store);
    signer_stop(d->signer);
    if (d->fd >= 0)
        close(d->fd);
    if (d->admin_fd >= 0)
        close(d->admin_fd);
    metrics_free(d->metrics);
    routes_free(d->routes);
    for (size_t i = 0; i < d->config->endpoint_n; i++)
        scep_endpoint_clear(&d->endpoint[i]);
    config_rooms_clear(d->config, &d->rooms);
}

/* ---- the whole ---- */

/* The order matters: the port is bound as root, the signer is forked before threads, store and
 * libevent exist. */
static bool start(struct daemon *d, const char **fix, struct err *err)
{
    const struct config *c = d->config;
    struct store_options so = {
        .path = c->store_path, .map_size = c->map_size, .alone = true, .log = &d->logger.log};
    *fix = "scepd --check-config shows all that is wrong with the configuration";
    if (!load_rooms(d, err))
        return false;
    raise_descriptors(d);
    *fix = "\"ss -ltnp\" shows who has the port; or set another listen.address or listen.port";
    if (!http_bind(c->address, c->port, &d->fd, err))
        return false;
    *fix = "\"ss -ltnp\" shows who has the port; or set another admin.port, 0 for none";
    if (c->admin_port && !http_bind(c->admin_address, c->admin_port, &d->admin_fd, err))
        return false;
    *fix = "set user to one that exists, or start as that user";
    if (!drop_privileges(c, err))
        return false;
    *fix = "the key files must belong to the user that scepd runs as, mode 0600";
    if (!signer_start(d->rooms.spec, d->workers + 1, &d->logger.log, &d->signer, err))
        return false;
    *fix = "scepctl init makes a store; store.path must belong to the user that scepd runs as";
    if (!store_open(&so, &d->store, err)) {
        if (err->kind == ERR_BUSY)
            *fix = "stop the other scepd, or give each a store of its own: store.path";
        return false;
    }
    *fix = NULL;
    if (!metrics_new(d->version, time(NULL), &d->metrics, err))
        return false;
    d->enroll =
        (struct enroll_context){.store = d->store, .challenge_key = &d->rooms.challenge_key};
    if (!start_upkeep(d, err) || !start_attempts(d, err))
        return false;
    log_take_libevent(&d->logger.log);
    d->base = event_base_new();
    if (!d->base)
        return err_memory(err);
    if (!start_http(d, err) || !start_pool(d, err) || !start_admin(d, err) || !watch(d, err))
        return false;
    int fd = d->fd;
    d->fd = -1;
    return http_server_listen_fd(d->server, fd, err);
}

static void address_text(const char *address, int port, char out[128])
{
    bool v6 = strchr(address, ':') != NULL;
    snprintf(out, 128, "http://%s%s%s:%d", v6 ? "[" : "", address, v6 ? "]" : "", port);
}

static void tell_started(const struct daemon *d)
{
    struct log_line l;
    struct buf paths = {0};
    const struct config *c = d->config;
    char address[128], admin_address[128];
    address_text(c->address, http_server_port(d->server), address);
    address_text(c->admin_address, d->admin ? admin_port(d->admin) : 0, admin_address);
    for (size_t i = 0; i < c->endpoint_n; i++)
        buf_printf(&paths, "%s%s", i ? " " : "", c->endpoint[i].path);
    log_begin(&l, &d->logger.log, LOG_LEVEL_NOTICE, "daemon.started");
    log_str(&l, "address", address);
    if (d->admin)
        log_str(&l, "admin", admin_address);
    log_view(&l, "endpoints", buf_view(&paths));
    log_str(&l, "version", d->version);
    log_int(&l, "workers", d->workers);
    log_int(&l, "signer", signer_pid(d->signer));
    log_end(&l, "scepd %s (OpenSSL %s, libevent %s) answers", d->version,
            OpenSSL_version(OPENSSL_VERSION_STRING), event_get_version());
    buf_clear(&paths);
}

static int serve(struct daemon *d)
{
    tell_started(d);
    event_base_dispatch(d->base);
    if (d->cut_short) {
        log_event(&d->logger.log, LOG_LEVEL_ERROR, "daemon.stopped",
                  "%u requests were not finished", http_server_in_flight(d->server));
        _exit(EXIT_FAILURE); /* what was answered is durable; the rest hangs */
    }
    scep_http_tick(&d->http, INT64_MAX);
    stop(d);
    log_event(&d->logger.log, LOG_LEVEL_NOTICE, "daemon.stopped", "all requests were finished");
    return d->failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

static struct daemon *daemon_new(const struct config *c, const char *version)
{
    struct daemon *d = calloc(1, sizeof *d);
    if (!d)
        return NULL;
    d->config = c;
    d->version = version;
    d->fd = d->admin_fd = -1;
    d->workers = worker_count(c);
    logger_init(&d->logger, STDERR_FILENO, c->log_level, c->log_json);
    return d;
}

static bool check_keys(const struct config_rooms *rooms, struct err *err)
{
    struct signer *signer = NULL;
    bool ok = signer_local(rooms->spec, &signer, err);
    signer_free(signer);
    return ok;
}

static bool check_user(const struct config *c, struct err *err)
{
    return !*c->user || getpwnam(c->user) ||
           err_set(err, ERR_CONFIG, "there is no user \"%s\" to run as", c->user);
}

static bool check_store(const struct config *c, struct err *err)
{
    struct stat st;
    if (stat(c->store_path, &st) != 0)
        return err_errno(err, "store %s", c->store_path);
    return S_ISDIR(st.st_mode) ||
           err_set(err, ERR_CONFIG, "store %s is not a directory", c->store_path);
}

void daemon_check(const struct config *c, config_complain complain, void *ctx)
{
    struct err err[3] = {0};
    struct daemon *d = daemon_new(c, "");
    if (!d) {
        complain(ctx, "out of memory");
        return;
    }
    if (load_rooms(d, &err[0]))
        check_keys(&d->rooms, &err[0]);
    check_user(c, &err[1]);
    check_store(c, &err[2]);
    for (size_t i = 0; i < sizeof err / sizeof *err; i++)
        if (err[i].kind != ERR_NONE)
            complain(ctx, err[i].text);
    stop(d);
    free(d);
}

int daemon_run(const struct config *c, const char *version)
{
    struct err err = {0};
    const char *fix = NULL;
    int code = EXIT_FAILURE;
    struct daemon *d = daemon_new(c, version);
    if (!d) {
        fprintf(stderr, "scepd: out of memory\n");
        return code;
    }
    signal(SIGPIPE, SIG_IGN);
    if (start(d, &fix, &err)) {
        code = serve(d);
    } else {
        fprintf(stderr, "scepd: %s (%s)\n", err.text, c->file);
        if (fix)
            fprintf(stderr, "fix: %s\n", fix);
        stop(d);
    }
    free(d);
    return code;
}
