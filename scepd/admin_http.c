#include "scepd/admin_http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "scepd/api_http.h"
#include "scepd/logger.h"
#include "base/network.h"

/* Those who ask are few, and ask for little. */
#define CONNECTIONS 32
#define TIMEOUT_SECONDS 10
#define MAX_HEADER 16384
#define MAX_BODY 4096
#define MAX_BUFFERED 1048576

static const char type_metrics[] = "text/plain; version=0.0.4; charset=utf-8";
static const char type_json[] = "application/json";

struct admin {
    struct admin_options options;
    struct admin_sources sources;
    struct surveyor *surveyor;
    struct http_server *server;
    struct log_limit refused_limit;
    bool draining;
};

/* ---- who may ask ---- */

static bool may_ask(const struct admin *a, const char *peer)
{
    const struct config *c = a->sources.config;
    for (size_t i = 0; i < c->admin_allow_n; i++)
        if (network_has(c->admin_allow[i], peer))
            return true;
    return false;
}

/* ---- answers ---- */

static void refuse(struct admin *a, const char *peer, const char *path, int status, const char *why)
{
    struct log_line l;
    if (!log_limit_pass(&a->refused_limit, a->options.log, time(NULL))) {
        metrics_log_dropped(a->options.metrics, 1);
        return;
    }
    log_begin(&l, a->options.log, LOG_LEVEL_NOTICE, "admin.refused");
    log_str(&l, "path", path);
    log_str(&l, "peer", peer);
    log_int(&l, "status", status);
    log_end(&l, "%s", why);
}

static void on_refused(void *admin, const char *peer, int status, const char *why)
{
    refuse(admin, peer, "", status, why);
}

static void on_replied(void *admin, int status)
{
    struct admin *a = admin;
    metrics_http(a->options.metrics, METRIC_ADMIN, status);
}

static void reply_bytes(struct http_request *r, int status, const char *type, struct view body)
{
    struct http_reply reply = {.status = status,
                               .content_type = type,
                               .body = body,
                               .header = {{"Cache-Control", "no-store"}}};
    http_reply(r, &reply);
}

void admin_survey(struct admin *a, struct survey *out)
{
    surveyor_get(a->surveyor, out);
}

static struct health_live live_now(const struct admin *a)
{
    const struct config *c = a->sources.config;
    unsigned failed;
    const char *failing = metrics_webhook_failing(a->options.metrics, c, &failed);
    return (struct health_live){
        .webhooks = c->webhook_n + c->upstream_n > 0,
        .webhook_failing = failing,
        .webhook_failed = failed,
        .revocations = config_revocations(c),
        .revocations_failed = metrics_intune_failed(a->options.metrics),
        .revocations_elsewhere = metrics_intune_elsewhere(a->options.metrics),
        .signer_reached = metrics_signer_reached(a->options.metrics),
        .commit_failed_us = metrics_commit_failed_us(a->options.metrics),
        .reloaded_well = metrics_reloaded_well(a->options.metrics),
        .tls_from = a->sources.tls_from,
        .tls_until = a->sources.tls_until,
        .credential = a->sources.credential,
        .stopping = a->draining,
        .unconfined = c->confinement == CONFINE_OFF,
        .lacks = a->options.lacks,
        .queue = service_pool_waiting(a->sources.pool),
        .queue_capacity = (uint64_t)a->sources.config->queue,
    };
}

void admin_health(struct admin *a, int64_t now, struct health *out)
{
    struct survey survey;
    struct health_live live = live_now(a);
    admin_survey(a, &survey);
    struct health_sources s = {&survey, a->sources.authorities, a->sources.authority_n, &live};
    health_look(&s, now, out);
}

static void reply_health(struct admin *a, struct http_request *r, bool readiness)
{
    struct health h;
    admin_health(a, time(NULL), &h);
    if (readiness && h.ready && h.status == HEALTH_FAIL)
        h.status = HEALTH_WARN; /* what fails does not keep anybody from enrolling */
    json_t *o = health_json(&h, a->options.version);
    char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
    json_decref(o);
    if (!text) {
        http_reply_text(r, 503, "out of memory");
        return;
    }
    reply_bytes(r, h.status == HEALTH_FAIL ? 503 : 200, type_json, view_str(text));
    free(text);
}

static void reply_metrics(struct admin *a, struct http_request *r)
{
    struct survey survey;
    struct buf out = {0};
    struct metrics_gauges g = {
        .survey = &survey,
        .authorities = a->sources.authorities,
        .authority_n = a->sources.authority_n,
        .connections = {http_server_connections(a->sources.scep),
                        http_server_connections(a->server),
                        a->sources.api ? api_http_connections(a->sources.api) : 0},
        .queue = service_pool_waiting(a->sources.pool),
        .queue_capacity = (uint64_t)a->sources.config->queue,
        .ocsp_queue = ocsp_pool_waiting(a->sources.ocsp),
        .ocsp_queue_capacity = (uint64_t)a->sources.config->queue,
        .ocsp_cache_capacity = (uint64_t)a->sources.config->ocsp.cache,
        .credential = a->sources.credential,
        .admin = true,
        .api = a->sources.api != NULL,
    };
    admin_survey(a, &survey);
    if (metrics_write(a->options.metrics, &g, &out))
        reply_bytes(r, 200, type_metrics, buf_view(&out));
    else
        http_reply_text(r, 503, "out of memory");
    buf_clear(&out);
}

static void on_request(void *admin, struct http_request *r)
{
    struct admin *a = admin;
    const char *path = http_path(r);
    log_limit_flush(&a->refused_limit, a->options.log, time(NULL));
    if (!may_ask(a, http_peer(r))) {
        refuse(a, http_peer(r), path, 403, "the address is not in admin.allow");
        http_reply_text(r, 403, "this address may not ask here (admin.allow)");
    } else if (http_method(r) == HTTP_POST) {
        refuse(a, http_peer(r), path, 405, "nothing here takes a POST");
        http_reply_text(r, 405, "nothing here takes a POST");
    } else if (strcmp(path, "/livez") == 0) {
        http_reply_text(r, 200, "ok");
    } else if (strcmp(path, "/healthz") == 0) {
        reply_health(a, r, false);
    } else if (strcmp(path, "/readyz") == 0) {
        reply_health(a, r, true);
    } else if (strcmp(path, "/metrics") == 0) {
        reply_metrics(a, r);
    } else {
        refuse(a, http_peer(r), path, 404, "no such path");
        http_reply_text(r, 404, "here are /livez, /readyz, /healthz and /metrics");
    }
}

/* ---- life ---- */

static void tell_endpoints(const struct admin *a)
{
    const struct config *c = a->sources.config;
    for (size_t i = 0; i < c->endpoint_n; i++)
        metrics_endpoint(a->options.metrics, c->endpoint[i].path);
}

static struct survey_options survey_options_of(const struct admin *a)
{
    return (struct survey_options){a->options.store, a->sources.config, a->sources.authorities,
                                   a->sources.authority_n};
}

static bool listen_on(struct admin *a, int fd, struct err *err)
{
    const struct http_limits limits = {CONNECTIONS, TIMEOUT_SECONDS, MAX_HEADER, MAX_BODY,
                                       MAX_BUFFERED};
    if (!http_server_new(a->options.base, &limits, on_request, on_refused, a, a->options.log,
                         &a->server, err)) {
        close(fd);
        return false;
    }
    http_server_watch(a->server, on_replied, a);
    return http_server_listen_fd(a->server, fd, err);
}

bool admin_new(const struct admin_options *o, const struct admin_sources *s, int fd,
               struct admin **out, struct err *err)
{
    struct admin *a = calloc(1, sizeof *a);
    if (!a) {
        if (fd >= 0)
            close(fd);
        return err_memory(err);
    }
    a->options = *o;
    a->sources = *s;
    tell_endpoints(a);
    struct survey_options so = survey_options_of(a);
    bool ok = surveyor_new(&so, &a->surveyor, err);
    if (!ok && fd >= 0)
        close(fd);
    ok = ok && (fd < 0 || listen_on(a, fd, err));
    if (!ok) {
        admin_free(a);
        return false;
    }
    *out = a;
    return true;
}

void admin_use(struct admin *a, const struct admin_sources *s)
{
    a->sources = *s;
    tell_endpoints(a);
    struct survey_options so = survey_options_of(a);
    surveyor_configure(a->surveyor, &so);
}

int admin_port(const struct admin *a)
{
    return a->server ? http_server_port(a->server) : -1;
}

void admin_drain(struct admin *a)
{
    a->draining = true;
}

void admin_free(struct admin *a)
{
    if (!a)
        return;
    http_server_free(a->server);
    surveyor_free(a->surveyor);
    free(a);
}
