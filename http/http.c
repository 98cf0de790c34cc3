#include "http/http_tls.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_struct.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/http_struct.h>
#include <event2/keyvalq_struct.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "http_check.h"
#include "http_conn.h"

/* Connections that the kernel keeps while the loop is busy or the limit is reached. */
#define BACKLOG 4096
/* A decoded path is shown in logs and compared with the endpoints'; nobody's is longer. */
#define MAX_PATH 1024
/* Octets of the headers of most replies. */
#define TYPICAL_HEADERS 512

struct http_server {
    struct evhttp *evhttp;
    struct evhttp_bound_socket *bound;
    http_handler handler;
    void *ctx;
    http_first first; /* NULL: none */
    void *first_ctx;
    bool draining;
    unsigned methods;            /* HTTP_METHOD_BITs */
    char allow[64], refusal[96]; /* the same in words */
    struct http_conns conns;
    size_t max_header; /* octets of request line and headers */
    int64_t date_at;   /* of `date`, Unix seconds */
    char date[HTTP_DATE];
};

struct http_request {
    struct http_server *server;
    struct evhttp_request *ev;
    struct http_conn *conn;
    enum http_method method;
    char *path; /* owned */
};

enum http_method http_method(const struct http_request *r)
{
    return r->method;
}

const char *http_path(const struct http_request *r)
{
    return r->path ? r->path : "";
}

const char *http_raw_path(const struct http_request *r)
{
    const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(r->ev));
    return path ? path : "";
}

const char *http_raw_query(const struct http_request *r)
{
    const char *query = evhttp_uri_get_query(evhttp_request_get_evhttp_uri(r->ev));
    return query ? query : "";
}

const char *http_header(const struct http_request *r, const char *name)
{
    return evhttp_find_header(evhttp_request_get_input_headers(r->ev), name);
}

struct view http_body(const struct http_request *r)
{
    struct evbuffer *b = evhttp_request_get_input_buffer(r->ev);
    size_t n = evbuffer_get_length(b);
    const uint8_t *p = evbuffer_pullup(b, -1);
    return view_of(p, p ? n : 0);
}

const char *http_peer(const struct http_request *r)
{
    return r->conn->peer;
}

static void release_body(const void *p, size_t n, void *request_reply)
{
    struct http_reply *kept = request_reply;
    kept->release(kept->release_ctx);
    free(kept);
}

/* NULL for HEAD, 204 and 304, with which evhttp would send the whole body. */
static struct evbuffer *body_of(enum http_method method, const struct http_reply *reply)
{
    struct evbuffer *b =
        method == HTTP_HEAD || reply->status == 304 || reply->status == 204 ? NULL : evbuffer_new();
    if (b && reply->release) {
        struct http_reply *kept = malloc(sizeof *kept);
        if (kept) {
            *kept = *reply;
            if (evbuffer_add_reference(b, reply->body.p, reply->body.n, release_body, kept) == 0)
                return b;
        }
        free(kept);
    }
    if (b)
        evbuffer_add(b, reply->body.p, reply->body.n);
    if (reply->release)
        reply->release(reply->release_ctx);
    return b;
}

static bool add_line(struct buf *b, const char *name, const char *value)
{
    return buf_append_str(b, name) && buf_append_str(b, ": ") && buf_append_str(b, value) &&
           buf_append_str(b, "\r\n");
}

/* printf would be a fiftieth of a reply from memory. */
static const char *decimal(size_t n, char out[24])
{
    char *p = out + 23;
    *p = '\0';
    do
        *--p = (char)('0' + n % 10);
    while ((n /= 10) > 0);
    return p;
}

/* All headers of a reply but Date and Connection, which evhttp looks for.  It keeps and writes them
 * one by one, at six allocations each, so that ours go in as one: the name of the first, and in its
 * value the others.  Names and values are ours; one with a line end in it is left out, as evhttp
 * would. */
static bool reply_lines(const struct http_reply *reply, struct buf *b)
{
    char digits[24];
    const char *length = decimal(reply->body.n, digits);
    bool ok = true;
    if (reply->status != 304 && reply->status != 204) /* RFC 9110 sections 15.4.5, 15.3.5 */
        /* Always: clients that speak HTTP/1.0 read by it, and HEAD gets no body to count. */
        ok = add_line(b, "Content-Length", length) &&
             add_line(b, "Content-Type", reply->content_type);
    for (size_t i = 0; ok && i < sizeof reply->header / sizeof *reply->header; i++) {
        if (!reply->header[i].name)
            break;
        if (!strpbrk(reply->header[i].value, "\r\n"))
            ok = add_line(b, reply->header[i].name, reply->header[i].value);
    }
    return ok && buf_append(b, "", 1);
}

static void add_headers(struct evkeyvalq *headers, const struct http_reply *reply)
{
    struct buf lines = {0};
    struct evkeyval *h = NULL;
    char *key = NULL, *colon;
    if (!buf_reserve(&lines, TYPICAL_HEADERS) || !reply_lines(reply, &lines) || lines.n < 3)
        goto out;
    lines.p[lines.n - 3] = '\0'; /* evhttp writes the last line end */
    colon = strchr((char *)lines.p, ':');
    key = strndup((char *)lines.p, (size_t)(colon - (char *)lines.p));
    h = malloc(sizeof *h);
    if (!key || !h)
        goto out;
    memmove(lines.p, colon + 2, strlen(colon + 2) + 1);
    *h = (struct evkeyval){.key = key, .value = (char *)lines.p};
    TAILQ_INSERT_TAIL(headers, h, next);
    return;
out:
    free(key);
    free(h);
    buf_clear(&lines);
}

/* RFC 9110 section 5.6.7: in English, whatever the locale. */
void http_date(int64_t t, char out[HTTP_DATE])
{
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    time_t at = (time_t)t;
    struct tm tm = {.tm_mday = 1, .tm_year = 70};
    gmtime_r(&at, &tm);
    snprintf(out, HTTP_DATE, "%.3s, %02d %.3s %04d %02d:%02d:%02d GMT", days + 3 * (tm.tm_wday % 7),
             tm.tm_mday % 100, months + 3 * (tm.tm_mon % 12), (tm.tm_year + 1900) % 10000,
             tm.tm_hour % 100, tm.tm_min % 100, tm.tm_sec % 100);
}

static const char *date_now(struct http_server *s)
{
    int64_t now = time(NULL);
    if (s->date_at != now) {
        http_date(now, s->date);
        s->date_at = now;
    }
    return s->date;
}

/* What evhttp wants to write is written as soon as the loop is done with what it is at, since a
 * socket nearly always takes it: asking epoll first costs two calls more, of which epoll_ctl is
 * one that epoll forgets again. */
static void write_soon(struct bufferevent *bev)
{
    if (event_pending(&bev->ev_write, EV_WRITE, NULL))
        event_active(&bev->ev_write, EV_WRITE, 0);
}

static void send_reply(struct http_server *s, struct evhttp_request *ev, enum http_method method,
                       const struct http_reply *reply, bool close)
{
    struct evkeyvalq *headers = evhttp_request_get_output_headers(ev);
    add_headers(headers, reply);
    evhttp_add_header(headers, "Date", date_now(s));
    if (close || s->draining)
        evhttp_add_header(headers, "Connection", "close");
    if (s->conns.replied)
        s->conns.replied(s->conns.replied_ctx, reply->status);
    struct evbuffer *body = body_of(method, reply);
    struct evhttp_connection *connection = evhttp_request_get_connection(ev);
    evhttp_send_reply(ev, reply->status, NULL, body);
    if (connection)
        write_soon(evhttp_connection_get_bufferevent(connection));
    if (body)
        evbuffer_free(body);
}

void http_reply(struct http_request *r, const struct http_reply *reply)
{
    http_conn_phase(r->conn, HTTP_WRITING);
    send_reply(r->server, r->ev, r->method, reply,
               reply->close || http_asks_to_close(r->ev) || http_conn_crowds(r->conn));
    free(r->path);
    free(r);
}

void http_reply_text(struct http_request *r, int status, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text - 1, fmt, ap);
    va_end(ap);
    n = n < 0 ? 0 : n > (int)sizeof text - 2 ? (int)sizeof text - 2 : n;
    text[n++] = '\n';
    struct http_reply reply = {.status = status,
                               .content_type = "text/plain; charset=utf-8",
                               .body = view_of(text, (size_t)n),
                               .header = {{"Cache-Control", "no-store"}}};
    http_reply(r, &reply);
}

static void on_complete(struct evhttp_request *ev, void *conn)
{
    http_conn_replied(conn);
}

static void on_close(struct evhttp_connection *connection, void *conn)
{
    http_conn_ending(conn);
}

/* A reply to what is not handed to the handler; its framing cannot be trusted, so the connection
 * ends. */
static void refuse(struct http_server *s, struct evhttp_request *ev, struct http_conn *conn,
                   int status, const char *why)
{
    char text[160];
    int n = snprintf(text, sizeof text, "%s\n", why);
    struct http_reply reply = {.status = status,
                               .content_type = "text/plain; charset=utf-8",
                               .body = view_of(text, (size_t)n),
                               .header = {{"Cache-Control", "no-store"}},
                               .close = true};
    if (status == 405) {
        reply.header[1].name = "Allow";
        reply.header[1].value = s->allow;
    }
    if (conn && !conn->cut) {
        s->conns.refused(s->ctx, conn->peer, status, why);
        http_conn_phase(conn, HTTP_WRITING);
        conn->last = true;
    }
    send_reply(s, ev, evhttp_request_get_command(ev) == EVHTTP_REQ_HEAD ? HTTP_HEAD : HTTP_GET,
               &reply, true);
}

static const struct {
    const char *name;
    enum evhttp_cmd_type command;
} methods[] = {
    [HTTP_GET] = {"GET", EVHTTP_REQ_GET},       [HTTP_HEAD] = {"HEAD", EVHTTP_REQ_HEAD},
    [HTTP_POST] = {"POST", EVHTTP_REQ_POST},    [HTTP_PUT] = {"PUT", EVHTTP_REQ_PUT},
    [HTTP_PATCH] = {"PATCH", EVHTTP_REQ_PATCH}, [HTTP_DELETE] = {"DELETE", EVHTTP_REQ_DELETE},
};
#define METHODS (sizeof methods / sizeof *methods)

static bool method_of(const struct http_server *s, struct evhttp_request *ev, enum http_method *out)
{
    enum evhttp_cmd_type command = evhttp_request_get_command(ev);
    for (size_t i = 0; i < METHODS; i++) {
        if (methods[i].command != command || !(s->methods & HTTP_METHOD_BIT(i)))
            continue;
        *out = (enum http_method)i;
        return true;
    }
    return false;
}

const char *http_method_name(enum http_method m)
{
    return methods[m].name;
}

void http_server_methods(struct http_server *s, unsigned bits)
{
    size_t left = (size_t)__builtin_popcount(bits);
    s->methods = bits;
    *s->allow = '\0';
    snprintf(s->refusal, sizeof s->refusal, "the method is none of ");
    for (size_t i = 0; i < METHODS; i++) {
        if (!(bits & HTTP_METHOD_BIT(i)))
            continue;
        left--;
        snprintf(s->allow + strlen(s->allow), sizeof s->allow - strlen(s->allow), "%s%s",
                 methods[i].name, left ? ", " : "");
        snprintf(s->refusal + strlen(s->refusal), sizeof s->refusal - strlen(s->refusal), "%s%s",
                 methods[i].name,
                 left > 1 ? ", "
                 : left   ? " and "
                          : "");
    }
}

/* NULL when it is too long or holds a NUL, which no path of ours does. */
static char *decode_path(struct evhttp_request *ev)
{
    const char *raw = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(ev));
    size_t n = 0;
    if (!raw || strlen(raw) > MAX_PATH)
        return NULL;
    char *path = evhttp_uridecode(raw, 0, &n);
    if (path && strlen(path) != n) {
        free(path);
        return NULL;
    }
    return path;
}

static void on_request(struct evhttp_request *ev, void *server)
{
    struct http_server *s = server;
    struct evhttp_connection *connection = evhttp_request_get_connection(ev);
    struct http_conn *conn =
        http_conn_find(&s->conns, evhttp_connection_get_bufferevent(connection));
    struct http_request *r = calloc(1, sizeof *r);
    int status;
    const char *why;
    if (!conn || !r) {
        free(r);
        refuse(s, ev, conn, 503, "out of memory");
        return;
    }
    http_conn_working(conn);
    /* Of a whole URL as the target: evhttp would end the connection without a word, as a proxy. */
    ev->flags &= ~EVHTTP_PROXY_REQUEST;
    evhttp_connection_set_closecb(connection, on_close, conn);
    evhttp_request_set_on_complete_cb(ev, on_complete, conn);
    *r = (struct http_request){.server = s, .ev = ev, .conn = conn};
    if (conn->cut) { /* with its last octets came the end: that was told */
        refuse(s, ev, conn, 503, "too late");
    } else if (!http_check(ev, s->max_header, &status, &why)) {
        refuse(s, ev, conn, status, why);
    } else if (!method_of(s, ev, &r->method)) {
        refuse(s, ev, conn, 405, s->refusal);
    } else if (s->first && s->first(s->first_ctx, r)) {
        return;
    } else if (!(r->path = decode_path(ev))) {
        refuse(s, ev, conn, 400, "the path cannot be read");
    } else {
        s->handler(s->ctx, r);
        return;
    }
    free(r);
}

static void set_limits(struct http_server *s, const struct http_limits *l)
{
    /* Above ours, so that the refusal of what is too long is ours as well. */
    evhttp_set_max_headers_size(s->evhttp, HTTP_HEADER_READ(l->max_header));
    s->max_header = (size_t)l->max_header;
    evhttp_set_max_body_size(s->evhttp, l->max_body);
    /* Per read and write, so only a safety net: the deadline for the whole is http_conn.c's. */
    evhttp_set_timeout(s->evhttp, 2 * l->request_timeout + 1);
}

void http_server_limits(struct http_server *s, const struct http_limits *l)
{
    set_limits(s, l);
    http_conns_limits(&s->conns, l);
}

/* RFC 8894 section 7.10 */
bool http_server_new(struct event_base *base, const struct http_limits *l, http_handler handler,
                     http_refused refused, void *ctx, const struct log *log,
                     struct http_server **out, struct err *err)
{
    struct http_server *s = calloc(1, sizeof *s);
    if (!s)
        return err_memory(err);
    s->handler = handler;
    s->ctx = ctx;
    s->conns.refused = refused;
    s->conns.ctx = ctx;
    s->conns.log = log;
    s->evhttp = evhttp_new(base);
    if (!s->evhttp || !http_conns_init(&s->conns, base, l, err)) {
        if (!s->evhttp)
            err_memory(err);
        http_server_free(s);
        return false;
    }
    set_limits(s, l);
    http_server_methods(s, HTTP_METHOD_BIT(HTTP_GET) | HTTP_METHOD_BIT(HTTP_HEAD) |
                               HTTP_METHOD_BIT(HTTP_POST));
    evhttp_set_default_content_type(s->evhttp, NULL);
    /* All of them, so that the refusal is ours: evhttp's own 501 leaves a CONNECT open and without
     * a length. */
    evhttp_set_allowed_methods(s->evhttp, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD |
                                              EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE |
                                              EVHTTP_REQ_OPTIONS | EVHTTP_REQ_TRACE |
                                              EVHTTP_REQ_CONNECT | EVHTTP_REQ_PATCH);
    evhttp_set_bevcb(s->evhttp, http_conn_new, &s->conns);
    evhttp_set_gencb(s->evhttp, on_request, s);
    *out = s;
    return true;
}

void http_server_watch(struct http_server *s, http_replied replied, void *ctx)
{
    s->conns.replied = replied;
    s->conns.replied_ctx = ctx;
}

void http_server_first(struct http_server *s, http_first first, void *ctx)
{
    s->first = first;
    s->first_ctx = ctx;
}

bool http_bind(const char *address, int port, int *out, struct err *err)
{
    bool all = !*address || strcmp(address, "*") == 0;
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
                             .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    char service[16];
    int on = 1;
    snprintf(service, sizeof service, "%d", port);
    int e = getaddrinfo(all ? "::" : address, service, &hints, &found);
    if (e != 0)
        return err_set(err, ERR_CONFIG, "cannot listen on %s:%d: %s", address, port,
                       gai_strerror(e));
    /* No SO_REUSEPORT: a forgotten old process would silently share the port. */
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool done = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
                bind(fd, found->ai_addr, found->ai_addrlen) == 0;
    int error = errno;
    freeaddrinfo(found);
    if (!done) {
        if (fd >= 0)
            close(fd);
        errno = error;
        return err_errno(err, "cannot listen on %s:%d", address, port);
    }
    *out = fd;
    return true;
}

bool http_server_listen_fd(struct http_server *s, int fd, struct err *err)
{
    /* Connections have it from their listener (tcp(7)).  libevent writes 16 KiB at once, and
     * without it the rest of a longer reply waits for an acknowledgement that the other side puts
     * off for 40 ms. */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    struct evconnlistener *listener = evconnlistener_new(
        s->conns.base, NULL, NULL, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, BACKLOG, fd);
    if (!listener) {
        err_errno(err, "cannot listen");
        close(fd);
        return false;
    }
    s->bound = evhttp_bind_listener(s->evhttp, listener);
    if (!s->bound) {
        evconnlistener_free(listener);
        return err_memory(err);
    }
    http_conns_listener(&s->conns, listener);
    return true;
}

bool http_server_listen(struct http_server *s, const char *address, int port, struct err *err)
{
    int fd;
    return http_bind(address, port, &fd, err) && http_server_listen_fd(s, fd, err);
}

int http_server_port(const struct http_server *s)
{
    struct sockaddr_storage address;
    socklen_t n = sizeof address;
    char port[16] = "";
    if (!s->bound ||
        getsockname(evhttp_bound_socket_get_fd(s->bound), (struct sockaddr *)&address, &n) != 0)
        return -1;
    getnameinfo((struct sockaddr *)&address, n, NULL, 0, port, sizeof port, NI_NUMERICSERV);
    return atoi(port);
}

unsigned http_server_in_flight(const struct http_server *s)
{
    return s->conns.busy;
}

unsigned http_server_connections(const struct http_server *s)
{
    return (unsigned)s->conns.n;
}

void http_server_drain(struct http_server *s)
{
    s->draining = true;
    http_conns_listener(&s->conns, NULL);
    if (s->bound)
        evhttp_del_accept_socket(s->evhttp, s->bound);
    s->bound = NULL;
    http_conns_drain(&s->conns);
}

void http_server_tls(struct http_server *s, SSL_CTX *ctx)
{
    if (ctx)
        SSL_CTX_up_ref(ctx);
    SSL_CTX_free(s->conns.tls);
    s->conns.tls = ctx;
}

bool http_peer_certificate(const struct http_request *r, struct buf *der)
{
    return !r->conn->tls || http_tls_peer(r->conn->bev, der);
}

void http_server_free(struct http_server *s)
{
    if (!s)
        return;
    http_conns_listener(&s->conns, NULL);
    if (s->evhttp)
        evhttp_free(s->evhttp);
    http_conns_clear(&s->conns);
    SSL_CTX_free(s->conns.tls);
    free(s);
}
