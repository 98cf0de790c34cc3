/* A service takes over from another while the daemon runs: because the configuration is to be read
 * anew, or because the signer has died.  It is put together on the thread for errands; the loop
 * only lets it take over. */
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "base/text.h"
#include "config/config_live.h"
#include "outside/outside_child.h"
#include "scepd/daemon_internal.h"
#include "scepd/notify.h"

/* After something that was due was tried, and could be due still. */
#define TEND_PAUSE 60
/* The same when something was done: time has passed by, and there may be more. */
#define TEND_AGAIN 5
/* A signer that lived for this long is started again at once; others after 1, 2, 4 ... seconds. */
#define SIGNER_STABLE 60
#define RESTART_MAX 30
/* Descriptors beside connections and lanes: store, log, what libraries open. */
#define OTHER_DESCRIPTORS 512 /* those of the API are 256 */

struct change {
    struct errand errand;
    struct daemon *daemon;
    struct setup *of;        /* one reference: what was served when it was asked for */
    struct service *service; /* the result; NULL: it failed, and `err` says why */
    unsigned problems;
    bool tended; /* the keeper has done something */
    bool anew;   /* the configuration was read again */
    struct err err;
};

int64_t daemon_monotonic(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec;
}

void daemon_descriptors(struct daemon *d, const struct config *c)
{
    rlim_t wanted = (rlim_t)c->max_connections + 2 * (rlim_t)service_lanes(c) + OTHER_DESCRIPTORS;
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
        return;
    limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < wanted)
        log_event(
            &d->logger.log, LOG_LEVEL_WARNING, "daemon.descriptors",
            "%d connections are allowed, but only %llu descriptors: raise the limit (LimitNOFILE=)",
            c->max_connections, (unsigned long long)limit.rlim_cur);
}

/* Takes both; gives them back if the keeper has started a signer for the very same. */
static bool agree(bool ok, struct setup *s, struct keeper_signer *k, struct setup **setup,
                  struct keeper_signer *signer, struct err *err)
{
    if (ok && memcmp(k->digest, s->digest, sizeof k->digest) != 0)
        ok = err_set(err, ERR_CONFLICT,
                     "the configuration, or a file that it names, changed while it was read");
    if (!ok) {
        keeper_signer_clear(k);
        setup_release(s);
        return false;
    }
    *setup = s;
    *signer = *k;
    return true;
}

/* An RA that has ended is not served, but the keeper may be able to renew it. */
static bool could_tend(struct daemon *d)
{
    struct err ignored = {0};
    bool changed;
    keeper_tend(d->keeper, KEEPER_FILE, &changed, &ignored);
    return changed;
}

/* What is due at the start, the first OCSP responder of a new authority above all, is done before
 * anybody asks for it. What cannot be done does not keep the daemon from serving.  Takes the
 * configuration. */
static bool load_tended(struct daemon *d, struct config *c, struct setup **out, struct err *err)
{
    struct setup *s = NULL, *again = NULL;
    if (!setup_load(c, &s, err))
        return false;
    if (!d->service && s->rooms.due <= time(NULL) && could_tend(d)) {
        bool ok = setup_refresh(s, &again, err);
        setup_release(s);
        if (!ok)
            return false;
        s = again;
    }
    *out = s;
    return true;
}

bool daemon_prepare(struct daemon *d, struct config *c, struct setup **setup,
                    struct keeper_signer *signer, struct err *err)
{
    struct setup *s = NULL;
    struct keeper_signer k = KEEPER_NO_SIGNER;
    if (!load_tended(d, c, &s, err)) {
        if (could_tend(d))
            err->kind = ERR_CONFLICT;
        return false;
    }
    bool ok = keeper_signer(d->keeper, KEEPER_FILE, service_lanes(s->config), &k, err);
    return agree(ok, s, &k, setup, signer, err);
}

/* ---- taking over ---- */

struct retirement {
    struct errand errand;
    struct daemon *daemon;
    struct service *service;
};

static void end_service(struct errand *e)
{
    service_end(((struct retirement *)e)->service);
}

/* Its last answers may still wait to be sent, and point into it. */
static void forget_service(struct errand *e)
{
    struct retirement *r = (struct retirement *)e;
    scep_http_answer(&r->daemon->http);
    ocsp_http_answer(&r->daemon->ocsp);
    service_free(r->service);
    free(r);
}

static void retire(struct daemon *d, struct service *s)
{
    struct retirement *r = calloc(1, sizeof *r);
    if (!r) { /* then the loop has to wait */
        service_end(s);
        scep_http_answer(&d->http);
        ocsp_http_answer(&d->ocsp);
        service_free(s);
        return;
    }
    r->errand = (struct errand){.run = end_service, .done = forget_service};
    r->daemon = d;
    r->service = s;
    errands_add(d->errands, &r->errand);
}

/* Requests are answered with 503 meanwhile: the lanes are dead. */
static void on_signer_ended(evutil_socket_t fd, short what, void *daemon)
{
    struct daemon *d = daemon;
    event_free(d->signer_ended);
    d->signer_ended = NULL;
    metrics_signer_lost(d->metrics);
    if (d->drain_until)
        return;
    bool stable = daemon_monotonic() - d->signer_since >= SIGNER_STABLE;
    d->restart_wait = stable ? 0 : d->restart_wait ? d->restart_wait * 2 : 1;
    if (d->restart_wait > RESTART_MAX)
        d->restart_wait = RESTART_MAX;
    struct timeval wait = {d->restart_wait, 0};
    log_event(&d->logger.log, LOG_LEVEL_ERROR, "signer.lost",
              "requests are answered with 503 until another signer serves; it is started in %d s",
              d->restart_wait);
    event_add(d->event[ON_RESTART], &wait);
}

static void watch_signer(struct daemon *d)
{
    if (d->signer_ended)
        event_free(d->signer_ended);
    d->signer_ended = event_new(d->base, d->service->signer.ended, EV_READ, on_signer_ended, d);
    if (!d->signer_ended || event_add(d->signer_ended, NULL) != 0)
        log_event(&d->logger.log, LOG_LEVEL_ERROR, "signer.lost",
                  "the signer process cannot be watched: out of memory");
    d->signer_since = daemon_monotonic();
    event_del(d->event[ON_RESTART]);
}

struct admin_sources daemon_admin_sources(const struct daemon *d, const struct service *s)
{
    struct outside_credential credential;
    outsider_credential(d->outsider, &credential);
    return (struct admin_sources){.credential = credential,
                                  .config = s->setup->config,
                                  .authorities = s->setup->rooms.member,
                                  .authority_n = s->setup->rooms.member_n,
                                  .pool = s->pool,
                                  .ocsp = s->ocsp,
                                  .scep = d->server,
                                  .api = d->api,
                                  .tls_from = s->setup->api_tls_from,
                                  .tls_until = s->setup->api_tls_until};
}

/* It goes on without: devices enrol, and the CRL is there. */
static void tell_responders(const struct daemon *d, const struct config_rooms *r)
{
    for (size_t i = 0; i < r->member_n; i++) {
        const struct authority *a = r->member[i];
        struct log_line l;
        if (!a->ocsp.fault[0])
            continue;
        log_begin(&l, &d->logger.log, LOG_LEVEL_WARNING, "ocsp.responder");
        log_str(&l, "authority", a->name);
        log_int(&l, "generation", a->generation);
        log_end(&l, "%s: %s", a->ocsp.cert ? "an older responder answers" : "no OCSP is answered",
                a->ocsp.fault);
    }
}

/* Nobody else watches its end. */
static void tell_credential(const struct daemon *d)
{
    struct outside_credential c;
    char end[32];
    struct log_line l;
    outsider_credential(d->outsider, &c);
    if (!health_credential_ends(&c, time(NULL)))
        return;
    text_time(c.not_after, end);
    log_begin(&l, &d->logger.log, LOG_LEVEL_WARNING, "webhook.credential");
    log_str(&l, "webhook", c.webhook);
    log_end(&l, "the certificate with which it signs in ends at %s", end);
}

void daemon_serve(struct daemon *d, struct service *s)
{
    struct service *old = d->service;
    const struct config *c = s->setup->config;
    struct http_limits limits = {c->max_connections, c->request_timeout, c->max_header, c->max_body,
                                 c->max_buffered};
    d->service = s;
    d->http.routes = s->setup->routes;
    d->http.endpoints = s->setup->endpoint;
    d->http.authorities = s->setup->rooms.member;
    d->http.enroll = &s->enroll;
    d->http.upkeep = s->upkeep;
    d->http.pool = s->pool;
    const struct ocsp_serving ocsp = {.routes = s->setup->routes,
                                      .authorities = s->setup->rooms.member,
                                      .world = &s->world,
                                      .pool = s->ocsp,
                                      .max_age = c->ocsp.max_age,
                                      .per_second = c->ocsp.per_second,
                                      .cache = (size_t)c->ocsp.cache,
                                      .keys = s->setup->digest};
    if (!ocsp_http_use(&d->ocsp, &ocsp))
        log_event(&d->logger.log, LOG_LEVEL_WARNING, "ocsp.cache",
                  "out of memory: the cache of OCSP answers keeps its size");
    http_server_limits(d->server, &limits);
    if (d->admin) {
        const struct admin_sources sources = daemon_admin_sources(d, s);
        admin_use(d->admin, &sources);
    }
    if (d->api && !api_http_use(d->api, s->setup, s->upkeep))
        log_event(&d->logger.log, LOG_LEVEL_WARNING, "api.stays",
                  "out of memory: the API goes on with the configuration before");
    intune_queue_use(d->intune_queue, s->setup);
    teller_use(d->teller, s->setup);
    attempts_limits(d->attempts, c->attempts_keep, (uint64_t)c->attempts_max);
    logger_set(&d->logger, c->log_level, c->log_json);
    watch_signer(d);
    tell_responders(d, &s->setup->rooms);
    tell_credential(d);
    if (old)
        retire(d, old);
}

/* ---- changes ---- */

static struct change *change_new(struct daemon *d)
{
    struct change *ch = calloc(1, sizeof *ch);
    if (!ch)
        return NULL;
    ch->daemon = d;
    ch->of = setup_get1(d->service->setup);
    return ch;
}

static void change_free(struct change *ch)
{
    setup_release(ch->of);
    free(ch);
}

static void tell_mistake(void *ctx, const char *message)
{
    struct change *ch = ctx;
    ch->problems++;
    log_event(&ch->daemon->logger.log, LOG_LEVEL_ERROR, "config.mistake", "%s", message);
}

static void tell_stays(void *ctx, const char *setting, const char *old, const char *wanted)
{
    struct change *ch = ctx;
    struct log_line l;
    log_begin(&l, &ch->daemon->logger.log, LOG_LEVEL_WARNING, "config.stays");
    log_str(&l, "setting", setting);
    log_str(&l, "old", old);
    log_str(&l, "new", wanted);
    log_end(&l, "%s cannot change while scepd runs, restart it for the new value", setting);
}

static bool read_anew(struct change *ch, struct setup **setup, struct keeper_signer *signer,
                      struct err *err)
{
    struct daemon *d = ch->daemon;
    ch->problems = 0;
    struct config *c = config_load(d->file, tell_mistake, ch);
    if (!c)
        return err_set(err, ERR_CONFIG, "%u problem%s in %s", ch->problems,
                       ch->problems == 1 ? "" : "s", d->file);
    if (d->options.listen)
        config_set_listen(c, d->options.listen);
    config_keep_fixed(ch->of->config, c, tell_stays, ch);
    if (outside_needed(c) && !d->outsider) {
        config_free(c);
        return err_set(err, ERR_CONFIG,
                       "the first webhook or upstream needs a restart: the process that asks them "
                       "is made at start");
    }
    return daemon_prepare(d, c, setup, signer, err);
}

/* Makes the service, and the keeper's latest reading the one that it keeps.  Takes both. */
static void serve_kept(struct change *ch, struct setup *setup, struct keeper_signer *signer)
{
    struct daemon *d = ch->daemon;
    if (ch->anew && d->outsider && !outsider_reload(d->outsider, &ch->err)) {
        keeper_signer_clear(signer);
        setup_release(setup);
        return;
    }
    if (!service_new(&d->needs, setup, signer, &ch->service, &ch->err))
        return;
    if (!keeper_keep(d->keeper, &ch->err)) {
        service_end(ch->service);
        service_free(ch->service);
        ch->service = NULL;
    }
}

static void run_reload(struct errand *e)
{
    struct change *ch = (struct change *)e;
    struct setup *setup = NULL;
    struct keeper_signer signer = KEEPER_NO_SIGNER;
    bool ok = false;
    for (int i = 0; i < DAEMON_READ_ATTEMPTS && !ok; i++) {
        err_clear(&ch->err);
        ok = read_anew(ch, &setup, &signer, &ch->err);
        if (!ok && ch->err.kind != ERR_CONFLICT)
            return;
    }
    ch->anew = true;
    if (ok)
        serve_kept(ch, setup, &signer);
}

static void tell_reloaded(const struct daemon *d)
{
    const struct config *c = d->service->setup->config;
    struct log_line l;
    log_begin(&l, &d->logger.log, LOG_LEVEL_NOTICE, "daemon.reloaded");
    log_int(&l, "endpoints", (int64_t)c->endpoint_n);
    log_int(&l, "templates", (int64_t)c->template_n);
    log_int(&l, "authorities", (int64_t)c->authority_n);
    log_int(&l, "workers", d->service->workers);
    log_int(&l, "signer", signer_pid(d->service->signer.process));
    log_end(&l, "%s was read anew and is served now", d->file);
}

/* Nothing serves from it: it goes as it came. */
static void discard(struct change *ch)
{
    if (ch->service)
        retire(ch->daemon, ch->service);
}

static void reload_done(struct errand *e)
{
    struct change *ch = (struct change *)e;
    struct daemon *d = ch->daemon;
    d->reloading = false;
    metrics_reloaded(d->metrics, ch->service != NULL, time(NULL));
    if (d->drain_until) {
        discard(ch);
    } else if (ch->service) {
        daemon_descriptors(d, ch->service->setup->config);
        if (d->outside)
            outside_reconnect(d->outside);
        daemon_serve(d, ch->service);
        tell_reloaded(d);
    } else {
        log_event(&d->logger.log, LOG_LEVEL_ERROR, "daemon.reload_failed",
                  "nothing has changed, what was served is served on: %s", ch->err.text);
    }
    if (!d->drain_until)
        notify_ready();
    change_free(ch);
    if (d->reload_again && !d->drain_until) {
        d->reload_again = false;
        daemon_reload(d);
    }
}

void daemon_reload(struct daemon *d)
{
    if (d->drain_until)
        return;
    struct change *ch = d->reloading ? NULL : change_new(d);
    if (!ch) {
        d->reload_again = d->reloading;
        return;
    }
    ch->errand = (struct errand){.run = run_reload, .done = reload_done};
    d->reloading = true;
    notify_reloading();
    errands_add(d->errands, &ch->errand);
}

/* ---- another signer for the same ---- */

static void run_restart(struct errand *e)
{
    struct change *ch = (struct change *)e;
    struct daemon *d = ch->daemon;
    struct keeper_signer signer = KEEPER_NO_SIGNER;
    if (!keeper_signer(d->keeper, KEEPER_SAME, service_lanes(ch->of->config), &signer, &ch->err))
        return;
    if (memcmp(signer.digest, ch->of->digest, sizeof signer.digest) != 0) {
        keeper_signer_clear(&signer);
        err_set(&ch->err, ERR_CONFLICT, "the keeper has another configuration");
        return;
    }
    service_new(&d->needs, setup_get1(ch->of), &signer, &ch->service, &ch->err);
}

static void restart_done(struct errand *e)
{
    struct change *ch = (struct change *)e;
    struct daemon *d = ch->daemon;
    if (d->drain_until || ch->of != d->service->setup) { /* a reload has brought a signer */
        discard(ch);
    } else if (ch->service) {
        struct log_line l;
        daemon_serve(d, ch->service);
        metrics_signer_restarted(d->metrics);
        log_begin(&l, &d->logger.log, LOG_LEVEL_NOTICE, "signer.started");
        log_int(&l, "signer", signer_pid(d->service->signer.process));
        log_end(&l, "another signer process serves");
    } else {
        d->restart_wait = d->restart_wait ? 2 * d->restart_wait : 1;
        if (d->restart_wait > RESTART_MAX)
            d->restart_wait = RESTART_MAX;
        struct timeval wait = {d->restart_wait, 0};
        log_event(&d->logger.log, LOG_LEVEL_ERROR, "signer.failed",
                  "no signer could be started, the next try is in %d s: %s", d->restart_wait,
                  ch->err.text);
        event_add(d->event[ON_RESTART], &wait);
    }
    change_free(ch);
}

void daemon_restart_signer(evutil_socket_t fd, short what, void *daemon)
{
    struct daemon *d = daemon;
    struct timeval wait = {RESTART_MAX, 0};
    struct change *ch = d->drain_until ? NULL : change_new(d);
    if (!ch) {
        event_add(d->event[ON_RESTART], &wait);
        return;
    }
    ch->errand = (struct errand){.run = run_restart, .done = restart_done};
    errands_add(d->errands, &ch->errand);
}

/* ---- the life of the authorities ---- */

/* The same configuration; the keeper has made files of authorities anew. */
static bool read_files(struct change *ch, struct setup **setup, struct keeper_signer *signer,
                       struct err *err)
{
    struct setup *s = NULL;
    struct keeper_signer k = KEEPER_NO_SIGNER;
    if (!setup_refresh(ch->of, &s, err))
        return false;
    bool ok = keeper_signer(ch->daemon->keeper, KEEPER_FILES, service_lanes(s->config), &k, err);
    return agree(ok, s, &k, setup, signer, err);
}

static void run_tend(struct errand *e)
{
    struct change *ch = (struct change *)e;
    struct daemon *d = ch->daemon;
    struct setup *setup = NULL;
    struct keeper_signer signer = KEEPER_NO_SIGNER;
    bool changed = false;
    bool tended = keeper_tend(d->keeper, KEEPER_SAME, &changed, &ch->err);
    ch->tended = changed;
    if (!changed && tended) /* another process was first, or there is nothing that can be done */
        changed = ch->of->rooms.due <= time(NULL);
    if (!changed)
        return;
    err_clear(&ch->err);
    if (read_files(ch, &setup, &signer, &ch->err))
        serve_kept(ch, setup, &signer);
}

static void tend_done(struct errand *e)
{
    struct change *ch = (struct change *)e;
    struct daemon *d = ch->daemon;
    d->tending = false;
    d->tend_after = daemon_monotonic() + (ch->tended && ch->service ? TEND_AGAIN : TEND_PAUSE);
    if (d->drain_until || ch->of != d->service->setup) { /* a reload has read it all */
        discard(ch);
    } else if (ch->service) {
        struct log_line l;
        if (ch->service->setup->rooms.due > time(NULL))
            d->tend_after = 0;
        daemon_serve(d, ch->service);
        log_begin(&l, &d->logger.log, LOG_LEVEL_NOTICE, "daemon.tended");
        log_int(&l, "signer", signer_pid(d->service->signer.process));
        log_end(&l, "what was due in the authorities is done and served");
    } else if (ch->err.kind != ERR_NONE) {
        log_event(&d->logger.log, LOG_LEVEL_ERROR, "daemon.tend_failed",
                  "what is due in the authorities is tried again in %d s: %s", TEND_PAUSE,
                  ch->err.text);
    }
    change_free(ch);
}

void daemon_tend(struct daemon *d, int64_t now)
{
    if (d->tending || d->reloading || d->drain_until || d->service->setup->rooms.due > now ||
        daemon_monotonic() < d->tend_after)
        return;
    struct change *ch = change_new(d);
    if (!ch)
        return;
    ch->errand = (struct errand){.run = run_tend, .done = tend_done};
    d->tending = true;
    errands_add(d->errands, &ch->errand);
}
