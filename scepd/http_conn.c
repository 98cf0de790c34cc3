#include "scepd/http_conn.h"

#include <errno.h>
#include <event2/buffer.h>
#include <netdb.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

/* How often deadlines are looked at. */
#define SWEEP_MS 250
/* How long nothing is accepted when descriptors ran out; the kernel keeps new connections
 * meanwhile. */
#define PAUSE_MS 100
/* With all connections taken, one that is longer than this in its phase may be closed for a new
 * one. */
#define GRACE_MS 1000
/* Of chunk sizes and trailers. */
#define INPUT_SLACK 65536
/* So large a part of them at each look: a flood of new ones is not faster than that for long. */
#define ROOM_PART 4

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static size_t bucket_of(const struct bufferevent *bev)
{
    return ((uintptr_t)bev >> 6) * 2654435761u % HTTP_CONN_BUCKETS;
}

/* bufferevent_free, which only evhttp calls, takes the callbacks away. */
static bool is_freed(const struct http_conn *c)
{
    bufferevent_data_cb read, write;
    bufferevent_event_cb event;
    bufferevent_getcb(c->bev, &read, &write, &event, NULL);
    return !read && !write && !event;
}

static void update_listener(struct http_conns *c)
{
    if (!c->listener)
        return;
    if (c->full || c->paused)
        evconnlistener_disable(c->listener);
    else
        evconnlistener_enable(c->listener);
}

static void cut(struct http_conn *c)
{
    if (c->cut)
        return;
    c->cut = true;
    shutdown(bufferevent_getfd(c->bev), SHUT_RDWR);
}

/* All connections are taken and others wait: those that use theirs for nothing, or for a request or
 * a reply that does not end, leave, the oldest connections first and some at a time. */
static void make_room(struct http_conns *c)
{
    int64_t now = now_ms();
    int most = 1 + c->max / ROOM_PART;
    struct http_conn *i;
    TAILQ_FOREACH(i, &c->all, all)
    {
        if (i->phase == HTTP_WORKING || i->cut || now - i->since <= GRACE_MS)
            continue;
        if (i->phase != HTTP_IDLE)
            c->refused(c->ctx, i->peer, 503, "too slow while other connections waited");
        cut(i);
        if (--most == 0)
            return;
    }
}

static void forget(struct http_conn *c)
{
    struct http_conns *owner = c->owner;
    http_conn_phase(c, HTTP_IDLE);
    TAILQ_REMOVE(&owner->all, c, all);
    LIST_REMOVE(c, bucket);
    bufferevent_decref(c->bev);
    free(c);
    owner->n--;
    if (owner->full && owner->n < owner->max) {
        owner->full = false;
        update_listener(owner);
    }
}

static void too_slow(struct http_conn *c)
{
    struct http_conns *owner = c->owner;
    if (c->phase != HTTP_IDLE && !c->cut)
        owner->refused(owner->ctx, c->peer, 408,
                       c->phase == HTTP_READING ? "the request did not arrive whole in time"
                                                : "the reply was not taken in time");
    cut(c);
}

static void on_sweep(evutil_socket_t fd, short what, void *ctx)
{
    struct http_conns *c = ctx;
    int64_t now = now_ms();
    struct http_conn *i = TAILQ_FIRST(&c->all), *next;
    for (; i; i = next) {
        next = TAILQ_NEXT(i, all);
        if (is_freed(i))
            forget(i);
        else if (i->phase != HTTP_WORKING && now - i->since > c->timeout_ms)
            too_slow(i);
    }
    if (c->full)
        make_room(c);
}

/* Those that evhttp announced stand in front. */
static void on_reap(evutil_socket_t fd, short what, void *ctx)
{
    struct http_conns *c = ctx;
    struct http_conn *i = TAILQ_FIRST(&c->all), *next;
    for (; i && i->ending; i = next) {
        next = TAILQ_NEXT(i, all);
        if (is_freed(i))
            forget(i);
    }
}

static void on_resume(evutil_socket_t fd, short what, void *ctx)
{
    struct http_conns *c = ctx;
    c->paused = false;
    update_listener(c);
}

struct owner_search {
    const struct evconnlistener *listener;
    struct http_conns *found;
};

static int is_owner(const struct event_base *base, const struct event *e, void *ctx)
{
    struct owner_search *search = ctx;
    if (event_get_callback(e) != on_sweep)
        return 0;
    struct http_conns *c = event_get_callback_arg(e);
    if (c->listener != search->listener)
        return 0;
    search->found = c;
    return 1;
}

/* Out of descriptors, most of the time: without a pause libevent would try again at once, for ever.
 * The context is evhttp's, so that ours is found by way of the base. */
static void on_accept_error(struct evconnlistener *listener, void *evhttp)
{
    int error = errno;
    struct timeval pause = {0, PAUSE_MS * 1000};
    struct owner_search search = {listener, NULL};
    event_base_foreach_event(evconnlistener_get_base(listener), is_owner, &search);
    struct http_conns *c = search.found;
    if (!c)
        return;
    log_event(c->log, LOG_LEVEL_ERROR, "http.accept", "cannot accept connections: %s",
              strerror(error));
    c->paused = true;
    update_listener(c);
    event_add(c->resume, &pause);
}

void http_conns_limits(struct http_conns *c, const struct http_limits *l)
{
    c->max = l->max_connections;
    c->timeout_ms = l->request_timeout * 1000;
    /* evhttp reads on behind a reply that its client does not take, without end.  Above a header
     * and a body that are just too long, so that both are still refused. */
    c->max_input = (size_t)HTTP_HEADER_READ(l->max_header) + (size_t)l->max_body + INPUT_SLACK;
    c->full = c->n >= c->max;
    update_listener(c);
}

bool http_conns_init(struct http_conns *c, struct event_base *base, const struct http_limits *l,
                     struct err *err)
{
    struct timeval period = {0, SWEEP_MS * 1000};
    TAILQ_INIT(&c->all);
    c->base = base;
    http_conns_limits(c, l);
    c->sweep = event_new(base, -1, EV_PERSIST, on_sweep, c);
    c->reap = event_new(base, -1, 0, on_reap, c);
    c->resume = event_new(base, -1, 0, on_resume, c);
    if (!c->sweep || !c->reap || !c->resume || event_add(c->sweep, &period) != 0)
        return err_memory(err);
    return true;
}

void http_conns_clear(struct http_conns *c)
{
    while (!TAILQ_EMPTY(&c->all))
        forget(TAILQ_FIRST(&c->all));
    struct event **events[] = {&c->sweep, &c->reap, &c->resume};
    for (size_t i = 0; i < sizeof events / sizeof *events; i++) {
        if (*events[i])
            event_free(*events[i]);
        *events[i] = NULL;
    }
}

void http_conns_listener(struct http_conns *c, struct evconnlistener *listener)
{
    c->listener = listener;
    if (!listener)
        return;
    evconnlistener_set_error_cb(listener, on_accept_error);
    update_listener(c);
}

void http_conns_drain(struct http_conns *c)
{
    struct http_conn *i;
    c->draining = true;
    TAILQ_FOREACH(i, &c->all, all)
    {
        if (i->phase == HTTP_IDLE)
            cut(i);
    }
}

/* An IPv4 address that came through an IPv6 socket is shown as what it is. */
static void find_peer(struct http_conn *c)
{
    static const char mapped[] = "::ffff:";
    struct sockaddr_storage address;
    socklen_t n = sizeof address;
    char host[sizeof c->peer] = "";
    if (getpeername(bufferevent_getfd(c->bev), (struct sockaddr *)&address, &n) == 0)
        getnameinfo((struct sockaddr *)&address, n, host, sizeof host, NULL, 0, NI_NUMERICHOST);
    const char *text = host;
    if (strncmp(host, mapped, sizeof mapped - 1) == 0 && strchr(host, '.'))
        text = host + sizeof mapped - 1;
    memcpy(c->peer, text, strlen(text) + 1);
}

const char http_tls_hello[] = "a TLS handshake came to a port that speaks plain HTTP";

/* RFC 8446 section 5.1: type handshake, major version 3.  No request line begins so. */
static bool is_tls_hello(struct evbuffer *buffer)
{
    uint8_t head[2];
    return evbuffer_copyout(buffer, head, sizeof head) == sizeof head && head[0] == 0x16 &&
           head[1] == 0x03;
}

/* At once, and by ourselves: evhttp would wait for the end of a line.  Its client cannot read this,
 * but people who look at what was sent can. */
static void refuse_tls(struct http_conn *c)
{
    static const char reply[] = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n"
                                "Connection: close\r\nContent-Length: 27\r\n\r\n"
                                "this port speaks plain HTTP";
    http_conn_phase(c, HTTP_WRITING);
    c->owner->refused(c->owner->ctx, c->peer, 400, http_tls_hello);
    if (send(bufferevent_getfd(c->bev), reply, sizeof reply - 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        errno = 0; /* it is gone already */
    cut(c);
}

static void on_input(struct evbuffer *buffer, const struct evbuffer_cb_info *info, void *ctx)
{
    struct http_conn *c = ctx;
    if (!info->n_added || c->phase != HTTP_IDLE)
        return;
    http_conn_phase(c, HTTP_READING);
    if (!*c->peer)
        find_peer(c);
    if (is_tls_hello(buffer)) {
        refuse_tls(c);
    }
}

static const char *own_words(int status)
{
    switch (status) {
    case 413:
        return "the body is longer than the limit";
    case 417:
        return "an expectation that cannot be met";
    case 501:
        return "the method is not known";
    default:
        return "the request line or a header cannot be read, or is longer than the limit";
    }
}

/* What evhttp refuses by itself never reaches a handler; its reply is the only trace. */
static void on_output(struct evbuffer *buffer, const struct evbuffer_cb_info *info, void *ctx)
{
    struct http_conn *c = ctx;
    char head[13] = "";
    if (info->n_added == 0 || info->orig_size != 0 || c->phase >= HTTP_WORKING)
        return;
    evbuffer_copyout(buffer, head, sizeof head - 1);
    int status = strncmp(head, "HTTP/", 5) == 0 ? atoi(head + 9) : 0;
    if (status == 100)
        return;
    http_conn_phase(c, HTTP_WRITING);
    if (c->owner->replied)
        c->owner->replied(c->owner->replied_ctx, status);
    c->owner->refused(c->owner->ctx, c->peer, status, own_words(status));
}

struct bufferevent *http_conn_new(struct event_base *base, void *conns)
{
    struct http_conns *owner = conns;
    struct bufferevent *bev = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
    struct http_conn *c = calloc(1, sizeof *c);
    if (!bev || !c || !evbuffer_add_cb(bufferevent_get_input(bev), on_input, c) ||
        !evbuffer_add_cb(bufferevent_get_output(bev), on_output, c)) {
        if (bev)
            bufferevent_free(bev);
        free(c);
        return NULL;
    }
    bufferevent_incref(bev);
    bufferevent_setwatermark(bev, EV_READ, 0, owner->max_input);
    c->owner = owner;
    c->bev = bev;
    TAILQ_INSERT_TAIL(&owner->all, c, all);
    LIST_INSERT_HEAD(&owner->bucket[bucket_of(bev)], c, bucket);
    http_conn_phase(c, HTTP_IDLE);
    if (++owner->n >= owner->max) {
        owner->full = true;
        update_listener(owner);
        make_room(owner);
    }
    return bev;
}

struct http_conn *http_conn_find(struct http_conns *c, const struct bufferevent *bev)
{
    struct http_conn *i;
    LIST_FOREACH(i, &c->bucket[bucket_of(bev)], bucket)
    {
        if (i->bev == bev)
            return i;
    }
    return NULL;
}

void http_conn_phase(struct http_conn *c, enum http_phase phase)
{
    c->owner->busy -= c->phase >= HTTP_WORKING;
    c->owner->busy += phase >= HTTP_WORKING;
    c->phase = phase;
    c->since = now_ms();
}

void http_conn_replied(struct http_conn *c)
{
    bool more = evbuffer_get_length(bufferevent_get_input(c->bev)) > 0;
    http_conn_phase(c, more ? HTTP_READING : HTTP_IDLE);
    if (c->last || (c->owner->draining && !more))
        cut(c);
}

void http_conn_ending(struct http_conn *c)
{
    c->ending = true;
    TAILQ_REMOVE(&c->owner->all, c, all);
    TAILQ_INSERT_HEAD(&c->owner->all, c, all);
    event_active(c->owner->reap, 0, 0);
}
