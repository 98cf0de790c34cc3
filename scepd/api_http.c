#include "scepd/api_http.h"
#include "scepd/api_jobs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"
#include "console/console.h"
#include "scepd/logger.h"

/* Administrators, browsers (six connections each) and MDM products. */
#define CONNECTIONS 256
#define TIMEOUT_SECONDS 30
#define MAX_HEADER 16384
#define MAX_BODY (API_MAX_LARGE_BODY + 4096) /* what is too long is told in words up to here */
#define MAX_BUFFERED (16 * 1048576)

struct api_http {
    struct api_http_options options;
    struct http_server *server;
    struct api_pool *pool;
    struct api_jobs *jobs; /* NULL until api_http_use */
    struct api_state *state;
    struct api_serving *serving; /* one reference; NULL until api_http_use */
    uint64_t epoch;
    struct log_limit refused_limit;
    pthread_mutex_t lock; /* of what follows */
    struct upkeep *upkeep;
    struct api_job *done, **done_end;
    int wake; /* eventfd */
    struct event *woken;
};

static int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* ---- what never becomes a call ---- */

static void on_refused(void *api, const char *peer, int status, const char *why)
{
    struct api_http *a = api;
    struct log_line l;
    if (!log_limit_pass(&a->refused_limit, a->options.log, time(NULL))) {
        metrics_log_dropped(a->options.metrics, 1);
        return;
    }
    log_begin(&l, a->options.log, LOG_LEVEL_NOTICE, "api.refused");
    log_str(&l, "peer", peer);
    log_int(&l, "status", status);
    log_end(&l, "%s", why);
}

static void on_replied(void *api, int status)
{
    struct api_http *a = api;
    metrics_http(a->options.metrics, METRIC_API, status);
}

/* ---- the console's files ---- */

static bool is_console(const char *path)
{
    return strcmp(path, "/") == 0 || strcmp(path, "/ui") == 0 || strncmp(path, "/ui/", 4) == 0;
}

static void redirect(struct http_request *r, const char *where)
{
    struct http_reply reply = {.status = 302,
                               .content_type = "text/plain; charset=utf-8",
                               .header = {{"Location", where}, {"Cache-Control", "no-store"}}};
    http_reply(r, &reply);
}

static void reply_console(const struct api_http *a, struct http_request *r)
{
    const char *path = http_path(r);
    const struct console *console = a->options.console;
    if (!console || console->n == 0) {
        http_reply_text(r, 404, "there is no console in this scepd; the API is at /api/v1");
        return;
    }
    if (strncmp(path, "/ui/", 4) != 0) {
        redirect(r, "/ui/");
        return;
    }
    if (http_method(r) != HTTP_GET && http_method(r) != HTTP_HEAD) {
        http_reply_text(r, 405, "files of the console are only read");
        return;
    }
    const struct console_file *f = console_find(console, path + 4);
    if (!f) {
        http_reply_text(r, 404, "the console has no such file");
        return;
    }
    bool packed = f->gzip.n && http_accepts(http_header(r, "Accept-Encoding"), "gzip");
    const char *tags = http_header(r, "If-None-Match"), *etag = packed ? f->gzip_etag : f->etag;
    struct http_reply reply = {
        .status = tags && strstr(tags, etag) ? 304 : 200,
        .content_type = f->type,
        .body = packed ? f->gzip : f->bytes,
        .header = {
            {"ETag", etag},
            {"Vary", "Accept-Encoding"},
            {"Cache-Control", f->immutable ? "public, max-age=31536000, immutable" : "no-cache"},
            {"Content-Security-Policy", console_policy},
            {"X-Content-Type-Options", "nosniff"},
            {"Referrer-Policy", "no-referrer"},
            {"Cross-Origin-Opener-Policy", "same-origin"},
            {"Cross-Origin-Resource-Policy", "same-origin"},
            {"Permissions-Policy", "camera=(), microphone=(), geolocation=()"}}};
    size_t n = 9;
    if (packed) {
        reply.header[n].name = "Content-Encoding";
        reply.header[n++].value = "gzip";
    }
    if (a->serving->world.tls) {
        reply.header[n].name = "Strict-Transport-Security";
        reply.header[n].value = "max-age=31536000";
    }
    http_reply(r, &reply);
}

/* ---- what only the daemon can do ---- */

/* Any thread.  False when another setup is served meanwhile: the authority may have another place.
 */
static bool publish(void *api, const struct setup *setup, size_t authority)
{
    struct api_http *a = api;
    pthread_mutex_lock(&a->lock);
    bool current = a->upkeep && a->serving->setup == setup && upkeep_publish(a->upkeep, authority);
    pthread_mutex_unlock(&a->lock);
    return current;
}

/* ---- a call on its way in ---- */

static bool add_text(struct buf *b, const char *s, size_t *at)
{
    *at = b->n;
    return buf_append(b, s, strlen(s) + 1);
}

/* Everything is copied: the job is another thread's. */
static bool fill(struct api_job *job, const struct http_request *r)
{
    size_t path, query, at[API_HEADERS];
    bool there[API_HEADERS] = {false};
    struct view body = http_body(r);
    bool ok = add_text(&job->text, http_raw_path(r), &path) &&
              add_text(&job->text, http_raw_query(r), &query) &&
              buf_append(&job->body, body.p, body.n) && http_peer_certificate(r, &job->certificate);
    for (int i = 0; ok && i < API_HEADERS; i++) {
        const char *value = http_header(r, api_header_names[i]);
        there[i] = value != NULL;
        ok = !value || add_text(&job->text, value, &at[i]);
    }
    if (!ok)
        return false;
    const char *text = (const char *)job->text.p;
    job->request = (struct api_request){.method = http_method(r),
                                        .path = text + path,
                                        .query = text + query,
                                        .body = buf_view(&job->body),
                                        .peer = job->peer,
                                        .certificate = buf_view(&job->certificate)};
    for (int i = 0; i < API_HEADERS; i++)
        job->request.header[i] = there[i] ? text + at[i] : NULL;
    return true;
}

static void look_at_health(const struct api_http *a, struct api_job *job)
{
    const char *path = job->request.path;
    job->has_health = a->options.admin && strncmp(path, API_ROOT "/", sizeof API_ROOT) == 0 &&
                      (strstr(path, "/overview") || strstr(path, "/status"));
    if (job->has_health)
        admin_health(a->options.admin, time(NULL), &job->health);
}

static void busy(struct http_request *r)
{
    struct http_reply reply = {.status = 503,
                               .content_type = "text/plain; charset=utf-8",
                               .body = view_str("too many calls wait: try again\n"),
                               .header = {{"Retry-After", "2"}, {"Cache-Control", "no-store"}}};
    http_reply(r, &reply);
}

static void on_request(void *api, struct http_request *r)
{
    struct api_http *a = api;
    if (is_console(http_path(r))) {
        reply_console(a, r);
        return;
    }
    struct api_job *job = api_job_new(a->serving, http_peer(r));
    if (!job || !fill(job, r)) {
        api_job_free(job);
        busy(r);
        return;
    }
    look_at_health(a, job);
    job->tag = r;
    job->publish = publish;
    job->publish_ctx = a;
    if (!api_pool_submit(a->pool, job)) {
        api_job_free(job);
        busy(r);
    }
}

/* ---- and out ---- */

/* Reads that went well are of interest to few. */
static enum log_level level_of(const struct api_job *job)
{
    bool reads = job->request.method == HTTP_GET || job->request.method == HTTP_HEAD;
    if (job->reply.status >= 500)
        return LOG_LEVEL_WARNING;
    return job->reply.status >= 400 || !reads ? LOG_LEVEL_NOTICE : LOG_LEVEL_INFO;
}

static void tell(struct api_http *a, const struct api_job *job)
{
    struct log_line l;
    const struct api_reply *y = &job->reply;
    enum log_level level = level_of(job);
    if (level != LOG_LEVEL_INFO && !*y->actor &&
        !log_limit_pass(&a->refused_limit, a->options.log, time(NULL))) {
        metrics_log_dropped(a->options.metrics, 1);
        return;
    }
    log_begin(&l, a->options.log, level, "api.request");
    log_str(&l, "method", http_method_name(job->request.method));
    log_str(&l, "path",
            job->request.path); /* never the query: it may hold what should not lie in logs */
    log_str(&l, "op", y->operation);
    log_str(&l, "actor", y->actor);
    log_str(&l, "code", y->code);
    log_str(&l, "peer", job->peer);
    log_str(&l, "agent", job->request.header[API_USER_AGENT]);
    log_int(&l, "status", y->status);
    log_int(&l, "in", (int64_t)job->body.n);
    log_int(&l, "out", (int64_t)y->body.n);
    log_ms(&l, "ms", (double)(now_us() - job->submitted_us) / 1000);
    log_str(&l, "req", y->request_id);
    log_end(&l, "%s", "");
}

static void release_job(void *job)
{
    api_job_free(job);
}

static void send_answer(struct api_http *a, struct api_job *job)
{
    const struct api_reply *y = &job->reply;
    struct http_reply reply = {.status = y->status,
                               .content_type =
                                   *y->content_type ? y->content_type : "text/plain; charset=utf-8",
                               .body = buf_view(&y->body),
                               .release = release_job,
                               .release_ctx = job};
    if (job->undone) {
        busy(job->tag);
        api_job_free(job);
        return;
    }
    for (size_t i = 0; i < y->header_n; i++) {
        reply.header[i].name = y->header[i].name;
        reply.header[i].value = y->header[i].value;
    }
    tell(a, job);
    metrics_sign_in_refused(a->options.metrics, y->sign_in_refused);
    http_reply(job->tag, &reply);
}

void api_http_answer(struct api_http *a)
{
    uint64_t n;
    if (read(a->wake, &n, sizeof n) < 0)
        n = 0; /* nobody has woken us: look all the same */
    pthread_mutex_lock(&a->lock);
    struct api_job *job = a->done, *next;
    a->done = NULL;
    a->done_end = &a->done;
    pthread_mutex_unlock(&a->lock);
    for (; job; job = next) {
        next = job->next;
        send_answer(a, job);
    }
}

static void on_woken(evutil_socket_t fd, short what, void *api)
{
    api_http_answer(api);
}

/* Any thread. */
static void on_done(void *api, struct api_job *job)
{
    struct api_http *a = api;
    uint64_t one = 1;
    job->next = NULL;
    pthread_mutex_lock(&a->lock);
    *a->done_end = job;
    a->done_end = &job->next;
    pthread_mutex_unlock(&a->lock);
    if (write(a->wake, &one, sizeof one) < 0)
        return; /* it counts to 2^64 */
}

/* ---- life ---- */

/* Without their thread everything else goes on; the next reload tries again. */
static void use_jobs(struct api_http *a)
{
    struct err err = {0};
    if (a->jobs)
        api_jobs_use(a->jobs, a->serving);
    else if (!api_jobs_new(a->serving, a->options.log, &a->jobs, &err))
        log_event(a->options.log, LOG_LEVEL_ERROR, "api.job", "jobs are not run: %s", err.text);
}

/* Both at once: an authority's place in the one setup says nothing in the upkeep of the other. */
static struct api_serving *exchange(struct api_http *a, struct api_serving *s,
                                    struct upkeep *upkeep)
{
    pthread_mutex_lock(&a->lock);
    struct api_serving *old = a->serving;
    a->serving = s;
    a->upkeep = upkeep;
    pthread_mutex_unlock(&a->lock);
    return old;
}

bool api_http_use(struct api_http *a, struct setup *setup, struct upkeep *upkeep)
{
    struct api_serving *s = api_serving_new(setup_get1(setup));
    if (!s) {
        exchange(a, a->serving, NULL); /* the upkeep that it has ends soon */
        return false;
    }
    s->world = (struct api_world){.store = a->options.store,
                                  .log = a->options.log,
                                  .config = setup->config,
                                  .rooms = &setup->rooms,
                                  .state = a->state,
                                  .outside = a->options.outside,
                                  .version = a->options.version,
                                  .epoch = ++a->epoch,
                                  .tls = setup->api_tls != NULL};
    api_serving_release(exchange(a, s, upkeep));
    use_jobs(a);
    http_server_tls(a->server, setup->api_tls);
    return true;
}

static bool start(struct api_http *a, struct err *err)
{
    const struct http_limits limits = {CONNECTIONS, TIMEOUT_SECONDS, MAX_HEADER, MAX_BODY,
                                       MAX_BUFFERED};
    const struct api_pool_options pool = {on_done, a};
    a->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (a->wake < 0)
        return err_errno(err, "cannot make an eventfd");
    a->woken = event_new(a->options.base, a->wake, EV_READ | EV_PERSIST, on_woken, a);
    a->state = api_state_new();
    if (!a->woken || !a->state || event_add(a->woken, NULL) != 0)
        return err_memory(err);
    if (!api_pool_new(&pool, &a->pool, err) ||
        !http_server_new(a->options.base, &limits, on_request, on_refused, a, a->options.log,
                         &a->server, err))
        return false;
    http_server_watch(a->server, on_replied, a);
    http_server_methods(a->server, HTTP_METHOD_BIT(HTTP_DELETE + 1) - 1);
    return true;
}

bool api_http_new(const struct api_http_options *o, int fd, struct api_http **out, struct err *err)
{
    struct api_http *a = calloc(1, sizeof *a);
    if (!a) {
        close(fd);
        return err_memory(err);
    }
    a->options = *o;
    a->wake = -1;
    a->done_end = &a->done;
    pthread_mutex_init(&a->lock, NULL);
    bool ok = start(a, err);
    if (!ok)
        close(fd);
    ok = ok && http_server_listen_fd(a->server, fd, err);
    if (!ok) {
        api_http_free(a);
        return false;
    }
    *out = a;
    return true;
}

int api_http_port(const struct api_http *a)
{
    return http_server_port(a->server);
}

unsigned api_http_in_flight(const struct api_http *a)
{
    return http_server_in_flight(a->server);
}

unsigned api_http_connections(const struct api_http *a)
{
    return http_server_connections(a->server);
}

void api_http_drain(struct api_http *a)
{
    http_server_drain(a->server);
}

void api_http_free(struct api_http *a)
{
    if (!a)
        return;
    api_jobs_free(a->jobs);
    api_pool_free(a->pool);
    if (a->serving)
        api_reads_write(&a->serving->world, time(NULL), true);
    if (a->server && a->wake >= 0)
        api_http_answer(a);
    http_server_free(a->server);
    if (a->woken)
        event_free(a->woken);
    if (a->wake >= 0)
        close(a->wake);
    api_serving_release(a->serving);
    api_state_free(a->state);
    pthread_mutex_destroy(&a->lock);
    free(a);
}
