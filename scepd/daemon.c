#include <errno.h>
#include <event2/event.h>
#include <grp.h>
#include <openssl/crypto.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ca/keyfile.h"
#include "config/config_live.h"
#include "console/console.h"
#include "scepd/confinement.h"
#include "scepd/daemon_internal.h"
#include "scepd/notify.h"

/* How long the end waits for requests in flight. */
#define DRAIN_SECONDS 10
#define DRAIN_LOOK_MS 50
/* As scepctl's: starting again does not help (scepd.service). */
#define EXIT_DAMAGED 8
/* How often the service manager gets a status line. */
#define STATUS_SECONDS 5

static const struct service_ops scep_ops = {scep_pki_prepare, scep_pki_commit_failed, enroll_commit,
                                            scep_answer_clear};

/* ---- putting together ---- */

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

/* A file that a reload wants. */
static int open_by_keeper(void *daemon, const char *path)
{
    return keeper_open(((struct daemon *)daemon)->keeper, path);
}

static bool confine(struct daemon *d, const struct config *c, const char **fix, struct err *err)
{
    *fix = "set confinement to \"auto\" (as far as this kernel can) or \"off\"";
    file_open_through(open_by_keeper, d);
    return confinement_front(c, keeper_pid(d->keeper), &d->logger.log, &d->lacks, err);
}

/* One that is damaged would end each daemon that is started on it, its keeper first. */
static bool look_at_store(const struct config *c, const char **fix, struct err *err)
{
    if (store_look(c->store_path, err))
        return true;
    if (err->kind == ERR_DAMAGED)
        *fix = "move the store away, restore the last backup: scepctl store restore FILE";
    return false;
}

static bool start_store(struct daemon *d, const struct config *c, const char **fix, struct err *err)
{
    struct store_options so = {
        .path = c->store_path, .map_size = c->map_size, .alone = true, .log = &d->logger.log};
    *fix = "scepctl init makes a store; store.path must belong to the user that scepd runs as";
    if (store_open(&so, &d->store, err)) {
        store_watch_revocations(d->store, teller_tell, d->teller);
        return true;
    }
    if (err->kind == ERR_BUSY)
        *fix = "stop the other scepd, or give each a store of its own: store.path";
    return false;
}

static void on_replied(void *daemon, int status)
{
    struct daemon *d = daemon;
    metrics_http(d->metrics, METRIC_SCEP, status);
}

static bool start_attempts(struct daemon *d, const struct config *c, struct err *err)
{
    struct attempts_options o = {.store = d->store,
                                 .log = &d->logger.log,
                                 .keep = c->attempts_keep,
                                 .most = (uint64_t)c->attempts_max};
    return attempts_new(&o, &d->attempts, err);
}

/* evhttp turns reading and writing of a connection on and off several times for each request; what
 * is back as it was when the loop waits again costs no system call.  So what was closed is
 * forgotten a little later, when its number may be a file of another thread: epoll finds nothing to
 * do there, but ThreadSanitizer takes it for a race. */
static struct event_base *make_base(void)
{
    struct event_config *c = event_config_new();
    if (!c)
        return NULL;
#ifndef __SANITIZE_THREAD__
    event_config_set_flag(c, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
#endif
    struct event_base *base = http_base_new(c);
    event_config_free(c);
    return base;
}

static void on_outside_answer(void *daemon, enum outside_kind kind, const char *name,
                              const struct outside_answer *a)
{
    const struct daemon *d = daemon;
    if (kind != OUTSIDE_INTUNE_QUEUE) /* intune_queue.c counts its own */
        metrics_webhook(d->metrics, name, a->result, a->status, a->seconds);
}

static bool connect_outside(void *daemon, int *socket, struct err *err)
{
    return outsider_connect(((struct daemon *)daemon)->outsider, socket, err);
}

static bool start_outside(struct daemon *d, struct err *err)
{
    struct outside_options o = {
        .connect = connect_outside, .watch = on_outside_answer, .ctx = d, .log = &d->logger.log};
    if (d->outsider && !outside_new(&o, &d->outside, err))
        return false;
    const struct intune_queue_options queue = {
        .store = d->store, .outside = d->outside, .metrics = d->metrics, .log = &d->logger.log};
    return asking_new(d->outside, &d->logger.log, &d->asking, err) &&
           outbox_new(d->store, d->outside, &d->logger.log, &d->outbox, err) &&
           (!d->outside || intune_queue_new(&queue, &d->intune_queue, err));
}

static bool start_http(struct daemon *d, const struct config *c, struct err *err)
{
    struct http_limits limits = {c->max_connections, c->request_timeout, c->max_header, c->max_body,
                                 c->max_buffered};
    log_take_libevent(&d->logger.log);
    d->base = make_base();
    if (!d->base)
        return err_memory(err);
    d->http = (struct scep_http){.ops = &scep_ops,
                                 .outbox = d->outbox,
                                 .attempts = d->attempts,
                                 .log = &d->logger.log,
                                 .metrics = d->metrics};
    d->needs = (struct service_needs){.ops = &scep_ops,
                                      .store = d->store,
                                      .log = &d->logger.log,
                                      .metrics = d->metrics,
                                      .done = scep_http_done,
                                      .ctx = &d->http,
                                      .ask = asking_ask,
                                      .ask_ctx = d->asking,
                                      .hold = outbox_hold,
                                      .hold_ctx = d->outbox,
                                      .ocsp_done = ocsp_http_done,
                                      .ocsp_ctx = &d->ocsp};
    d->ocsp.log = &d->logger.log;
    d->ocsp.metrics = d->metrics;
    const struct relay_needs relay = {.base = d->base,
                                      .outside = d->outside,
                                      .attempts = d->attempts,
                                      .log = &d->logger.log,
                                      .metrics = d->metrics};
    if (!scep_relay_new(&relay, &d->relay, err))
        return false;
    d->http.relay = d->relay;
    if (!scep_http_init(&d->http, d->base, err) || !ocsp_http_init(&d->ocsp, d->base, err) ||
        !http_server_new(d->base, &limits, scep_http_request, scep_http_refused, &d->http,
                         &d->logger.log, &d->server, err))
        return false;
    http_server_watch(d->server, on_replied, d);
    http_server_first(d->server, ocsp_http_request, &d->ocsp);
    return errands_new(d->base, &d->errands, err);
}

static bool start_admin(struct daemon *d, const struct service *s, struct err *err)
{
    const struct admin_options o = {d->base,        d->store,           d->metrics,
                                    &d->logger.log, d->options.version, d->lacks};
    const struct admin_sources sources = daemon_admin_sources(d, s);
    int fd = d->admin_fd;
    d->admin_fd = -1;
    return (fd < 0 && d->api_fd < 0) || admin_new(&o, &sources, fd, &d->admin, err);
}

static bool start_api(struct daemon *d, struct err *err)
{
    const struct api_http_options o = {.base = d->base,
                                       .store = d->store,
                                       .metrics = d->metrics,
                                       .log = &d->logger.log,
                                       .version = d->options.version,
                                       .admin = d->admin,
                                       .outside = d->outside,
                                       .console = d->options.console ? d->options.console
                                                                     : console_bundled()};
    int fd = d->api_fd;
    d->api_fd = -1;
    return fd < 0 || api_http_new(&o, fd, &d->api, err);
}

/* ---- stopping ---- */

static unsigned in_flight(const struct daemon *d)
{
    return http_server_in_flight(d->server) + (d->api ? api_http_in_flight(d->api) : 0);
}

static void begin_drain(struct daemon *d, const char *why)
{
    struct timeval look = {0, DRAIN_LOOK_MS * 1000};
    if (d->drain_until) { /* told twice: at once */
        d->cut_short = in_flight(d) > 0;
        event_base_loopbreak(d->base);
        return;
    }
    log_event(&d->logger.log, LOG_LEVEL_NOTICE, "daemon.stopping", "%s: finishing %u requests", why,
              in_flight(d));
    notify_stopping();
    d->drain_until = daemon_monotonic() + DRAIN_SECONDS;
    http_server_drain(d->server);
    if (d->admin)
        admin_drain(d->admin);
    if (d->api)
        api_http_drain(d->api);
    event_add(d->event[ON_DRAIN], &look);
}

static void on_signal(evutil_socket_t signal, short what, void *daemon)
{
    begin_drain(daemon, strsignal((int)signal));
}

static void on_reload(evutil_socket_t signal, short what, void *daemon)
{
    daemon_reload(daemon);
}

static bool has_ended(int pid, siginfo_t *info)
{
    *info = (siginfo_t){0};
    return waitid(P_PID, (id_t)pid, info, WEXITED | WNOHANG | WNOWAIT) == 0 && info->si_pid != 0;
}

/* Without its keeper the daemon gets no signer any more, without its outsider nobody to ask;
 * whoever started it starts all anew. */
static void on_child(evutil_socket_t signal, short what, void *daemon)
{
    struct daemon *d = daemon;
    siginfo_t info;
    const char *who = has_ended(keeper_pid(d->keeper), &info)                      ? "keeper"
                      : d->outsider && has_ended(outsider_pid(d->outsider), &info) ? "outsider"
                                                                                   : NULL;
    if (!who || d->drain_until)
        return;
    char event[32];
    d->failed = true;
    snprintf(event, sizeof event, "%s.ended", who);
    log_event(&d->logger.log, LOG_LEVEL_ERROR, event, "the %s process ended (%s %d)", who,
              info.si_code == CLD_EXITED ? "exit code" : "signal", info.si_status);
    begin_drain(d, who);
}

static void tell_status(struct daemon *d, int64_t now)
{
    struct store_cert_counts certs;
    struct store_stats stats;
    struct err ignored = {0};
    char active[NOTIFY_NUMBER], pending[NOTIFY_NUMBER];
    if (d->status_in-- > 0)
        return;
    d->status_in = STATUS_SECONDS - 1;
    if (store_cert_counts(d->store, now, &certs, &ignored) &&
        store_stats(d->store, &stats, &ignored))
        notify_status("%s active, %s pending, queue %zu/%d",
                      notify_number(certs.state[CERT_ACTIVE], active),
                      notify_number(stats.pending, pending), service_pool_waiting(d->service->pool),
                      d->service->setup->config->queue);
}

/* That this runs shows that the loop does; a worker or the committer that hangs at one thing for
 * half of the time makes the service manager start all anew. */
static void tell_alive(struct daemon *d)
{
    if (d->watchdog_us > 0 && service_pool_busy_us(d->service->pool) < d->watchdog_us / 2 &&
        ocsp_pool_busy_us(d->service->ocsp) < d->watchdog_us / 2)
        notify_alive();
}

static void on_tick(evutil_socket_t fd, short what, void *daemon)
{
    struct daemon *d = daemon;
    int64_t now = time(NULL);
    /* Or what is only read would still be told from a file that is gone. */
    store_in_place(d->store);
    scep_http_tick(&d->http, now);
    scep_relay_tick(d->relay, now);
    ocsp_http_tick(&d->ocsp, now);
    daemon_tend(d, now);
    tell_alive(d);
    if (notify_wanted())
        tell_status(d, now);
}

static void on_drain(evutil_socket_t fd, short what, void *daemon)
{
    struct daemon *d = daemon;
    unsigned left = in_flight(d);
    if (daemon_monotonic() >= d->drain_until - DRAIN_SECONDS / 2) { /* others have had their time */
        if (d->outside)
            outside_stop(d->outside);
        outbox_drain(d->outbox);
    }
    d->cut_short = left > 0 && daemon_monotonic() >= d->drain_until;
    if (left == 0 || d->cut_short)
        event_base_loopbreak(d->base);
}

static bool watch(struct daemon *d, struct err *err)
{
    struct timeval second = {1, 0};
    d->event[ON_TERM] = evsignal_new(d->base, SIGTERM, on_signal, d);
    d->event[ON_INT] = evsignal_new(d->base, SIGINT, on_signal, d);
    d->event[ON_HUP] = evsignal_new(d->base, SIGHUP, on_reload, d);
    d->event[ON_CHILD] = evsignal_new(d->base, SIGCHLD, on_child, d);
    d->event[ON_TICK] = event_new(d->base, -1, EV_PERSIST, on_tick, d);
    d->event[ON_DRAIN] = event_new(d->base, -1, EV_PERSIST, on_drain, d);
    d->event[ON_RESTART] = evtimer_new(d->base, daemon_restart_signer, d);
    for (int i = 0; i < EVENTS; i++) {
        bool later = i == ON_DRAIN || i == ON_RESTART;
        if (!d->event[i] || (!later && event_add(d->event[i], i == ON_TICK ? &second : NULL) != 0))
            return err_memory(err);
    }
    event_active(d->event[ON_CHILD], EV_SIGNAL, 1); /* of a child that ended before, nobody heard */
    return true;
}

static void stop(struct daemon *d)
{
    errands_free(d->errands);
    api_http_free(d->api);
    admin_free(d->admin);
    if (d->service)
        service_end(d->service);
    for (int i = 0; i < EVENTS; i++)
        if (d->event[i])
            event_free(d->event[i]);
    if (d->signer_ended)
        event_free(d->signer_ended);
    http_server_free(d->server);
    if (d->http.woken)
        scep_http_clear(&d->http);
    if (d->ocsp.woken)
        ocsp_http_clear(&d->ocsp);
    service_free(d->service);
    outbox_stop(d->outbox);
    if (d->outside)
        outside_stop(d->outside);
    intune_queue_free(d->intune_queue);
    outside_free(d->outside);
    outbox_free(d->outbox);
    asking_free(d->asking);
    scep_relay_free(d->relay);
    attempts_free(d->attempts);
    log_take_libevent(NULL);
    if (d->base)
        event_base_free(d->base);
    store_close(d->store);
    teller_free(d->teller);
    file_open_through(NULL, NULL);
    outsider_stop(d->outsider);
    keeper_stop(d->keeper);
    if (d->fd >= 0)
        close(d->fd);
    if (d->admin_fd >= 0)
        close(d->admin_fd);
    if (d->api_fd >= 0)
        close(d->api_fd);
    metrics_free(d->metrics);
}

/* ---- the whole ---- */

static void tell_again(void *daemon, const char *message)
{
    struct daemon *d = daemon;
    log_event(&d->logger.log, LOG_LEVEL_ERROR, "config.mistake", "%s", message);
}

/* Takes the configuration. */
static bool prepare(struct daemon *d, struct config *c, struct setup **setup,
                    struct keeper_signer *signer, struct err *err)
{
    for (int i = 1;; i++) {
        if (daemon_prepare(d, c, setup, signer, err))
            return true;
        if (err->kind != ERR_CONFLICT || i == DAEMON_READ_ATTEMPTS ||
            !(c = config_load(d->file, tell_again, d)))
            return false;
        if (d->options.listen)
            config_set_listen(c, d->options.listen);
        err_clear(err);
    }
}

/* The order matters: the port is bound as root, the keeper is forked before threads, store and
 * libevent exist.  Takes the configuration. */
static bool start(struct daemon *d, struct config *c, const char **fix, struct err *err)
{
    struct setup *setup = NULL;
    struct keeper_signer signer = KEEPER_NO_SIGNER;
    struct service *service = NULL;
    daemon_descriptors(d, c);
    *fix = "\"ss -ltnp\" shows who has the port; or set another listen.address or listen.port";
    bool ok =
        notify_socket(&d->fd, err) && (d->fd >= 0 || http_bind(c->address, c->port, &d->fd, err));
    if (ok && c->admin_port) {
        *fix = "\"ss -ltnp\" shows who has the port; or set another admin.port, 0 for none";
        ok = http_bind(c->admin_address, c->admin_port, &d->admin_fd, err);
    }
    if (ok && c->api_port) {
        *fix = "\"ss -ltnp\" shows who has the port; or set another api.port, 0 for none";
        ok = http_bind(c->api_address, c->api_port, &d->api_fd, err);
    }
    if (ok) {
        *fix = "set user to one that exists, or start as that user";
        ok = drop_privileges(c, err) && look_at_store(c, fix, err) &&
             keeper_start(c, &d->keeper, err);
    }
    if (ok) {
        *fix = "the secrets of webhooks and upstreams belong to the user that scepd runs as, with "
               "mode 0600";
        ok = outsider_start(c, &d->outsider, err);
    }
    if (!ok) {
        config_free(c);
        return false;
    }
    *fix = "scepd --check-config shows all that is wrong with the configuration; the files that it "
           "names must belong to the user that scepd runs as, keys with mode 0600";
    if (!prepare(d, c, &setup, &signer, err))
        return false;
    c = NULL; /* the setup has it */
    if (!confine(d, setup->config, fix, err) || !teller_new(&d->teller, err) ||
        !start_store(d, setup->config, fix, err)) {
        keeper_signer_clear(&signer);
        setup_release(setup);
        return false;
    }
    *fix = NULL;
    if (!metrics_new(d->options.version, time(NULL), &d->metrics, err) ||
        !start_attempts(d, setup->config, err) || !start_outside(d, err) ||
        !start_http(d, setup->config, err)) {
        keeper_signer_clear(&signer);
        setup_release(setup);
        return false;
    }
    if (!service_new(&d->needs, setup, &signer, &service, err))
        return false;
    if (!start_admin(d, service, err) || !start_api(d, err) || !watch(d, err) ||
        !keeper_keep(d->keeper, err)) {
        service_end(service);
        service_free(service);
        return false;
    }
    daemon_serve(d, service);
    int fd = d->fd;
    d->fd = -1;
    return http_server_listen_fd(d->server, fd, err);
}

static void address_text(const char *address, int port, bool tls, char out[128])
{
    bool v6 = strchr(address, ':') != NULL;
    snprintf(out, 128, "http%s://%s%s%s:%d", tls ? "s" : "", v6 ? "[" : "", address, v6 ? "]" : "",
             port);
}

static void tell_started(const struct daemon *d)
{
    struct log_line l;
    struct buf paths = {0};
    const struct config *c = d->service->setup->config;
    char address[128], admin_address[128], api_address[128];
    address_text(c->address, http_server_port(d->server), false, address);
    address_text(c->admin_address, d->admin ? admin_port(d->admin) : 0, false, admin_address);
    address_text(c->api_address, d->api ? api_http_port(d->api) : 0,
                 d->service->setup->api_tls != NULL, api_address);
    for (size_t i = 0; i < c->endpoint_n; i++)
        buf_printf(&paths, "%s%s", i ? " " : "", c->endpoint[i].path);
    log_begin(&l, &d->logger.log, LOG_LEVEL_NOTICE, "daemon.started");
    log_str(&l, "address", address);
    if (d->admin && admin_port(d->admin) >= 0)
        log_str(&l, "admin", admin_address);
    if (d->api)
        log_str(&l, "api", api_address);
    log_view(&l, "endpoints", buf_view(&paths));
    log_str(&l, "version", d->options.version);
    log_int(&l, "workers", d->service->workers);
    log_int(&l, "keeper", keeper_pid(d->keeper));
    log_int(&l, "signer", signer_pid(d->service->signer.process));
    log_end(&l, "scepd %s (OpenSSL %s, libevent %s) answers", d->options.version,
            OpenSSL_version(OPENSSL_VERSION_STRING), event_get_version());
    buf_clear(&paths);
}

static int serve(struct daemon *d)
{
    tell_started(d);
    d->watchdog_us = notify_watchdog_us();
    notify_ready();
    event_base_dispatch(d->base);
    if (d->cut_short) {
        log_event(&d->logger.log, LOG_LEVEL_ERROR, "daemon.stopped",
                  "%u requests were not finished", in_flight(d));
        _exit(EXIT_FAILURE); /* what was answered is durable; the rest hangs */
    }
    scep_http_tick(&d->http, INT64_MAX);
    scep_relay_tick(d->relay, INT64_MAX);
    ocsp_http_tick(&d->ocsp, INT64_MAX);
    stop(d);
    log_event(&d->logger.log, LOG_LEVEL_NOTICE, "daemon.stopped", "all requests were finished");
    return d->failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* Those that whoever started us left blocked would never be heard: not the end, not a reload, not
 * the death of the keeper.  A write above RLIMIT_FSIZE fails like one on a full disk. */
static void take_signals(void)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
}

int daemon_run(struct config *c, const struct daemon_options *options)
{
    struct err err = {0};
    const char *fix = NULL;
    int code = EXIT_FAILURE;
    struct daemon *d = calloc(1, sizeof *d);
    if (!d) {
        fprintf(stderr, "scepd: out of memory\n");
        config_free(c);
        return code;
    }
    d->options = *options;
    d->fd = d->admin_fd = d->api_fd = -1;
    snprintf(d->file, sizeof d->file, "%s", c->file);
    logger_init(&d->logger, STDERR_FILENO, c->log_level, c->log_json);
    logger_wait_for_nobody(&d->logger);
    take_signals();
    if (start(d, c, &fix, &err)) {
        code = serve(d);
    } else {
        fprintf(stderr, "scepd: %s (%s)\n", err.text, d->file);
        if (fix)
            fprintf(stderr, "fix: %s\n", fix);
        if (err.kind == ERR_DAMAGED)
            code = EXIT_DAMAGED;
        stop(d);
    }
    free(d);
    return code;
}
