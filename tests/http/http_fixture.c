#include "http_fixture.h"

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define WAIT_SECONDS 10
#define BIG (32 * 1024 * 1024) /* more than the kernel buffers */

static const char shared_body[] = "shared";

struct later {
    struct http_fixture *fixture;
    struct http_request *request;
    struct event *timer;
};

static void count_release(void *ctx)
{
    struct http_fixture *f = ctx;
    f->requests += 1000;
}

static void echo(struct http_request *r)
{
    static const char *const names[] = {"GET", "HEAD", "POST"};
    struct view body = http_body(r);
    http_reply_text(r, 200, "%s %s %s %zu %.*s", names[http_method(r)], http_path(r),
                    http_raw_query(r), body.n, body.n < 64 ? (int)body.n : 64,
                    body.n ? (const char *)body.p : "");
}

static void on_later(evutil_socket_t fd, short what, void *ctx)
{
    struct later *l = ctx;
    struct timeval again = {0, 10000};
    if (l->fixture->hold) {
        event_add(l->timer, &again);
        return;
    }
    echo(l->request);
    event_free(l->timer);
    free(l);
}

static void echo_later(struct http_fixture *f, struct http_request *r)
{
    struct timeval t = {0, 300000};
    struct later *l = malloc(sizeof *l);
    *l = (struct later){f, r, event_new(f->base, -1, 0, on_later, l)};
    event_add(l->timer, &t);
}

static void reply_big(struct http_request *r)
{
    char *big = calloc(1, BIG);
    memset(big, 'x', BIG);
    struct http_reply reply = {
        .status = 200, .content_type = "application/octet-stream", .body = view_of(big, BIG)};
    http_reply(r, &reply);
    free(big);
}

static void reply_shared(struct http_fixture *f, struct http_request *r)
{
    struct http_reply reply = {.status = 200,
                               .content_type = "text/x-shared",
                               .body = view_str(shared_body),
                               .release = count_release,
                               .release_ctx = f};
    http_reply(r, &reply);
}

static void reply_same(struct http_request *r)
{
    struct http_reply reply = {.status = 304,
                               .content_type = "text/plain",
                               .body = view_str(shared_body),
                               .header = {{"ETag", "\"1\""}}};
    http_reply(r, &reply);
}

/* Paths that are data. */
static bool on_first(void *ctx, struct http_request *r)
{
    if (strncmp(http_raw_path(r), "/data", 5) != 0)
        return false;
    http_reply_text(r, 200, "[%s] [%s] [%s]", http_raw_path(r), http_path(r), http_raw_query(r));
    return true;
}

static void on_request(void *ctx, struct http_request *r)
{
    struct http_fixture *f = ctx;
    f->requests++;
    if (strcmp(http_path(r), "/slow") == 0)
        echo_later(f, r);
    else if (strcmp(http_path(r), "/big") == 0)
        reply_big(r);
    else if (strcmp(http_path(r), "/shared") == 0)
        reply_shared(f, r);
    else if (strcmp(http_path(r), "/same") == 0)
        reply_same(r);
    else
        echo(r);
}

static void on_refused(void *ctx, const char *peer, int status, const char *why)
{
    struct http_fixture *f = ctx;
    ck_assert_int_eq(strncmp(peer, "127.0.0.", 8), 0);
    ck_assert_uint_gt(strlen(why), 0);
    f->last_status = status;
    f->refusals++;
}

static void on_log(void *ctx, enum log_level level, const char *line, size_t n)
{
    struct http_fixture *f = ctx;
    f->accept_errors += strstr(line, "event=http.accept") != NULL;
}

static void on_stop(evutil_socket_t fd, short what, void *ctx)
{
    struct http_fixture *f = ctx;
    http_server_drain(f->server);
    event_base_loopexit(f->base, NULL);
}

static void *run(void *ctx)
{
    struct http_fixture *f = ctx;
    event_base_dispatch(f->base);
    for (int i = 0; i < WAIT_SECONDS * 100 && http_server_in_flight(f->server) > 0; i++) {
        struct timeval t = {0, 10000};
        event_base_loopexit(f->base, &t);
        event_base_dispatch(f->base);
    }
    f->in_flight = http_server_in_flight(f->server);
    return NULL;
}

void fixture_serve(struct http_fixture *f, const struct http_limits *limits, http_handler handler,
                   http_refused refused, void *ctx)
{
    struct err err = {0};
    signal(SIGPIPE, SIG_IGN); /* as the daemon does */
    ck_assert(http_server_new(f->base, limits, handler, refused, ctx, &f->log, &f->server, &err));
    http_server_first(f->server, on_first, f);
    ck_assert_msg(http_server_listen(f->server, "127.0.0.1", 0, &err), "%s", err.text);
    f->port = http_server_port(f->server);
    ck_assert_int_gt(f->port, 0);
    ck_assert_int_eq(pipe(f->stop_pipe), 0);
    f->stop = event_new(f->base, f->stop_pipe[0], EV_READ, on_stop, f);
    event_add(f->stop, NULL);
    ck_assert_int_eq(pthread_create(&f->thread, NULL, run, f), 0);
}

void fixture_start(struct http_fixture *f, const struct http_limits *limits)
{
    f->log = (struct log){LOG_LEVEL_DEBUG, on_log, f};
    struct event_config *config = event_config_new();
    ck_assert_ptr_nonnull(f->base = http_base_new(config));
    event_config_free(config);
    fixture_serve(f, limits, on_request, on_refused, f);
}

void fixture_join(struct http_fixture *f)
{
    ck_assert_int_eq(write(f->stop_pipe[1], "x", 1), 1);
    pthread_join(f->thread, NULL);
    ck_assert_uint_eq(f->in_flight, 0);
}

void fixture_free(struct http_fixture *f)
{
    event_free(f->stop);
    http_server_free(f->server);
    close(f->stop_pipe[0]);
    close(f->stop_pipe[1]);
}

void fixture_stop(struct http_fixture *f)
{
    fixture_join(f);
    fixture_free(f);
    event_base_free(f->base);
}

int client_connect(const struct http_fixture *f)
{
    return client_connect_from(f, "127.0.0.1");
}

int client_connect_from(const struct http_fixture *f, const char *address)
{
    struct sockaddr_in from = {.sin_family = AF_INET};
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)f->port)};
    struct timeval wait = {WAIT_SECONDS, 0};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_ge(fd, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    ck_assert_int_eq(inet_pton(AF_INET, address, &from.sin_addr), 1);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&from, sizeof from), 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

void client_send(int fd, const char *text)
{
    for (size_t n = strlen(text); n > 0;) {
        ssize_t k = send(fd, text, n, MSG_NOSIGNAL);
        if (k <= 0)
            return; /* closed already: the reply tells */
        text += k;
        n -= (size_t)k;
    }
}

static bool read_head(int fd, struct http_got *out)
{
    size_t n = 0;
    while (n < 4 || memcmp(out->head + n - 4, "\r\n\r\n", 4) != 0) {
        if (n + 1 >= sizeof out->head || recv(fd, out->head + n, 1, 0) != 1)
            return false;
        out->head[++n] = '\0';
    }
    return true;
}

bool client_read(int fd, bool no_body, struct http_got *out)
{
    *out = (struct http_got){0};
    if (!read_head(fd, out))
        return false;
    out->status = atoi(out->head + 9);
    const char *length = strcasestr(out->head, "\r\nContent-Length: ");
    size_t n = length ? strtoul(length + 18, NULL, 10) : 0;
    while (!no_body && out->body_n < n) {
        char chunk[4096];
        size_t want = n - out->body_n < sizeof chunk ? n - out->body_n : sizeof chunk;
        ssize_t k = recv(fd, chunk, want, 0);
        if (k <= 0)
            return false;
        if (out->body_n + (size_t)k < sizeof out->body)
            memcpy(out->body + out->body_n, chunk, (size_t)k);
        out->body_n += (size_t)k;
    }
    out->whole = true;
    return true;
}

bool client_closed(int fd)
{
    char c;
    return recv(fd, &c, 1, 0) <= 0;
}
