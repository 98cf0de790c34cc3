#include "http_conn.h"

#include <errno.h>
#include <event2/buffer.h>
#include <netdb.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

/* How often deadlines are looked at. */
#define SWEEP_MS 250
/* How long nothing is accepted when descriptors ran out; the kernel keeps new connections
 * meanwhile. */
#define PAUSE_MS 100
/* With all connections taken, one that is longer than this in its phase may be closed for a new
 * one; one on which nothing ever came, sooner: a request comes right behind the handshake. */
#define GRACE_MS 1000
#define SILENT_GRACE_MS 250
/* How often room is made while all are taken, and how long one that was shut down needs to go. */
#define ROOM_MS 50
#define REAP_MS 2
/* A failing accept is tried ten times a second, and told once. */
#define TELL_MS 1000
/* With too much kept of which nothing can go yet, this part of the limit more is let come until the
 * next look. */
#define LOOK_PART 64
/* With too much kept, requests up to this size are let be: all that devices usually send. */
#define USUAL_REQUEST 16384
/* How often the deadline of a request goes into that of a whole handshake: who stands in line for a
 * step of it is not cut for what we are slow with, but does not stay for good. */
#define HANDSHAKE_DEADLINES 2
/* Of chunk sizes and trailers. */
#define INPUT_SLACK 65536
/* Of events: what is not told otherwise has the middle one. */
#define PRIORITIES 3
#define USUAL_PRIORITY (PRIORITIES / 2)
#define LARGE_PRIORITY (PRIORITIES - 1)
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

struct event_base *http_base_new(struct event_config *config)
{
    if (event_config_set_max_dispatch_interval(config, NULL, HTTP_LARGE_AT_ONCE, LARGE_PRIORITY) !=
        0)
        return NULL;
    struct event_base *base = event_base_new_with_config(config);
    if (base && event_base_priority_init(base, PRIORITIES) != 0) {
        event_base_free(base);
        return NULL;
    }
    return base;
}

/* libevent leaves an event where it is as long as its turn is due: then the next reply tries it
 * again. */
static void set_large(struct http_conn *c, bool large)
{
    if (c->large != large &&
        (bufferevent_priority_set(c->bev, large ? LARGE_PRIORITY : USUAL_PRIORITY) == 0 || large))
        c->large = large;
}

/* bufferevent_free, which only evhttp calls, takes the callbacks away. */
bool http_conn_is_freed(const struct http_conn *c)
{
    bufferevent_data_cb read, write;
    bufferevent_event_cb event;
    bufferevent_getcb(c->bev, &read, &write, &event, NULL);
    return !read && !write && !event;
}

void http_conns_update_listener(struct http_conns *c)
{
    if (!c->listener)
        return;
    if (c->full || c->paused || c->handshakes_wait)
        evconnlistener_disable(c->listener);
    else
        evconnlistener_enable(c->listener);
}

static void to_front(struct http_conn *c)
{
    TAILQ_REMOVE(&c->owner->all, c, all);
    TAILQ_INSERT_HEAD(&c->owner->all, c, all);
}

/* All that it sent and that is still in memory. */
static void hold(struct http_conn *c, size_t octets)
{
    c->owner->held += octets - c->held;
    if (c->party)
        c->party->held += octets - c->held;
    c->held = octets;
    if (c->owner->held <= c->owner->max_held)
        c->owner->look_again = 0;
}

void http_conn_cut(struct http_conn *c)
{
    struct timeval soon = {0, REAP_MS * 1000};
    if (c->cut)
        return;
    c->cut = true;
    hold(c, 0);
    to_front(c);
    shutdown(bufferevent_getfd(c->bev), SHUT_RDWR);
    if (c->shake) /* its bufferevent would see nothing */
        http_handshake_cut(c);
    if (!evtimer_pending(c->owner->reap, NULL))
        event_add(c->owner->reap, &soon);
}

/* An IPv4 address that came through an IPv6 socket is shown as what it is. */
static void find_peer(struct http_conn *c)
{
    static const char mapped[] = "::ffff:";
    struct sockaddr_storage address;
    socklen_t n = sizeof address;
    char host[sizeof c->peer] = "";
    if (*c->peer)
        return;
    if (getpeername(bufferevent_getfd(c->bev), (struct sockaddr *)&address, &n) == 0)
        getnameinfo((struct sockaddr *)&address, n, host, sizeof host, NULL, 0, NI_NUMERICHOST);
    const char *text = host;
    if (strncmp(host, mapped, sizeof mapped - 1) == 0 && strchr(host, '.'))
        text = host + sizeof mapped - 1;
    memcpy(c->peer, text, strlen(text) + 1);
    if (!c->cut && *c->peer)
        c->party = http_party_join(&c->owner->parties, c->peer);
}

/* Does a new connection wait in the kernel for a place? */
static bool others_wait(const struct http_conns *c)
{
    struct pollfd p = {.events = POLLIN};
    if (!c->listener || !c->full)
        return false;
    p.fd = evconnlistener_get_fd(c->listener);
    return poll(&p, 1, 0) == 1;
}

/* Of those that are here and of who waits, who may well be another one. */
static int equal_share(const struct http_conns *c)
{
    return c->n / (c->parties.n + 1);
}

static int share_of(const struct http_conn *c)
{
    return c->party ? c->party->connections : 1;
}

static bool may_leave(const struct http_conn *c, int64_t now)
{
    bool silent = c->silent && c->phase == HTTP_IDLE;
    return c->phase != HTTP_WORKING && !c->cut && !c->in_line &&
           now - c->since > (silent ? SILENT_GRACE_MS : GRACE_MS);
}

/* The oldest that may leave of whoever has more connections than `share`, as long as that is so. */
static int let_leave(struct http_conns *c, int share, int most)
{
    int64_t now = now_ms();
    int left = 0;
    struct http_conn *next;
    for (struct http_conn *i = TAILQ_FIRST(&c->all); i && left < most; i = next) {
        next = TAILQ_NEXT(i, all);
        if (!may_leave(i, now) || share_of(i) <= share)
            continue;
        if (i->phase != HTTP_IDLE)
            c->refused(c->ctx, i->peer, 503, "too slow while other connections waited");
        http_conn_cut(i);
        http_party_leave(&c->parties, i->party);
        i->party = NULL;
        i->leaving = true;
        c->leaving++;
        left++;
    }
    return left;
}

static bool somebody_has_more(const struct http_conns *c, int share)
{
    const struct http_conn *i;
    TAILQ_FOREACH(i, &c->all, all)
    if (!i->cut && share_of(i) > share)
        return true;
    return false;
}

/* Those that use their connection for nothing, or for a request or a reply that does not end,
 * leave, some at a time: of whoever has more than an equal share, and only while nobody has, of
 * everybody.  Who has more gives way soon: when its grace is over, or its reply is sent. */
static void make_room(struct http_conns *c)
{
    int most = 1 + c->n / ROOM_PART, share;
    struct http_conn *i;
    if (c->leaving > 0)
        return; /* their places will be free in a moment */
    TAILQ_FOREACH(i, &c->all, all)
    find_peer(i);
    share = equal_share(c);
    if (let_leave(c, share, most) == 0 && !somebody_has_more(c, share))
        let_leave(c, 0, most);
}

/* While all connections are taken, whoever waits for one is looked for now and then. */
static void set_full(struct http_conns *c, bool full)
{
    struct timeval again = {0, ROOM_MS * 1000};
    c->full = full;
    http_conns_update_listener(c);
    if (full)
        event_add(c->room, &again);
    else if (c->room)
        event_del(c->room);
}

static void let_go_above(struct http_conns *c, size_t share)
{
    struct http_conn *next;
    for (struct http_conn *i = TAILQ_FIRST(&c->all); i && c->held > c->max_held / 4 * 3; i = next) {
        next = TAILQ_NEXT(i, all);
        if (i->phase == HTTP_WORKING || i->cut || i->held <= USUAL_REQUEST ||
            (i->party ? i->party->held : i->held) <= share)
            continue;
        c->refused(c->ctx, i->peer, 503, http_too_much_kept);
        http_conn_cut(i);
    }
}

/* Too much is kept of requests that do not end: large ones leave, the oldest connections first;
 * before others those of whoever has more than an equal share of what may be kept. */
static void let_go(struct http_conns *c)
{
    let_go_above(c, c->max_held / (size_t)(c->parties.n + 1));
    let_go_above(c, 0);
    if (c->held > c->max_held)
        c->look_again = c->held + c->max_held / LOOK_PART;
}

static void forget(struct http_conn *c)
{
    struct http_conns *owner = c->owner;
    http_conn_phase(c, HTTP_IDLE);
    http_handshake_end(c);
    hold(c, 0);
    http_party_leave(&owner->parties, c->party);
    TAILQ_REMOVE(&owner->all, c, all);
    LIST_REMOVE(c, bucket);
    bufferevent_decref(c->bev);
    owner->leaving -= c->leaving;
    free(c);
    owner->n--;
    if (owner->full && owner->n < owner->max)
        set_full(owner, false);
    if (owner->paused) { /* a descriptor is free */
        owner->paused = false;
        event_del(owner->resume);
        http_conns_update_listener(owner);
    }
}

static void too_slow(struct http_conn *c)
{
    struct http_conns *owner = c->owner;
    if (c->phase != HTTP_IDLE && !c->cut)
        owner->refused(owner->ctx, c->peer, 408,
                       c->phase == HTTP_READING ? "the request did not arrive whole in time"
                                                : "the reply was not taken in time");
    http_conn_cut(c);
}

static bool is_late(const struct http_conn *c, int64_t now)
{
    int64_t most = c->owner->timeout_ms;
    if (c->shake && now - c->accepted > HANDSHAKE_DEADLINES * most)
        return true;
    return c->phase != HTTP_WORKING && !c->in_line && now - c->since > most;
}

/* Deadlines, and those that ended before their first request, of which evhttp says nothing. */
static void on_sweep(evutil_socket_t fd, short what, void *ctx)
{
    struct http_conns *c = ctx;
    int64_t now = now_ms();
    struct http_conn *i = TAILQ_FIRST(&c->all), *next;
    for (; i; i = next) {
        next = TAILQ_NEXT(i, all);
        if (http_conn_is_freed(i))
            forget(i);
        else if (is_late(i, now))
            too_slow(i);
    }
}

/* Those that evhttp announced and those that were cut stand in front. */
static void on_reap(evutil_socket_t fd, short what, void *ctx)
{
    struct http_conns *c = ctx;
    struct http_conn *i = TAILQ_FIRST(&c->all), *next;
    for (; i && (i->ending || i->cut); i = next) {
        next = TAILQ_NEXT(i, all);
        if (http_conn_is_freed(i))
            forget(i);
    }
}

static void on_room(evutil_socket_t fd, short what, void *ctx)
{
    struct http_conns *c = ctx;
    on_reap(fd, what, ctx);
    if (others_wait(c))
        make_room(c);
}

static void on_resume(evutil_socket_t fd, short what, void *ctx)
{
    struct http_conns *c = ctx;
    c->paused = false;
    http_conns_update_listener(c);
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
    int64_t now = now_ms();
    if (!c->accept_told || now - c->accept_told >= TELL_MS) {
        log_event(c->log, LOG_LEVEL_ERROR, "http.accept", "cannot accept connections: %s",
                  strerror(error));
        c->accept_told = now;
    }
    if (error == EMFILE || error == ENFILE)
        make_room(c); /* as if the limit were here */
    c->paused = true;
    http_conns_update_listener(c);
    event_add(c->resume, &pause);
}

void http_conns_limits(struct http_conns *c, const struct http_limits *l)
{
    c->max = l->max_connections;
    c->timeout_ms = l->request_timeout * 1000;
    /* evhttp reads on behind a reply that its client does not take, without end.  Above a header
     * and a body that are just too long, so that both are still refused. */
    c->max_header = (size_t)l->max_header;
    c->max_input = (size_t)HTTP_HEADER_READ(l->max_header) + (size_t)l->max_body + INPUT_SLACK;
    c->max_held = (size_t)l->max_buffered > c->max_input ? (size_t)l->max_buffered : c->max_input;
    set_full(c, c->n >= c->max);
}

bool http_conns_init(struct http_conns *c, struct event_base *base, const struct http_limits *l,
                     struct err *err)
{
    struct timeval period = {0, SWEEP_MS * 1000};
    TAILQ_INIT(&c->all);
    http_parties_init(&c->parties);
    c->base = base;
    http_conns_limits(c, l);
    c->sweep = event_new(base, -1, EV_PERSIST, on_sweep, c);
    c->reap = event_new(base, -1, 0, on_reap, c);
    c->room = event_new(base, -1, EV_PERSIST, on_room, c);
    c->resume = event_new(base, -1, 0, on_resume, c);
    if (!c->sweep || !c->reap || !c->room || !c->resume || !http_handshakes_init(c) ||
        event_add(c->sweep, &period) != 0)
        return err_memory(err);
    return true;
}

void http_conns_clear(struct http_conns *c)
{
    while (!TAILQ_EMPTY(&c->all))
        forget(TAILQ_FIRST(&c->all));
    struct event **events[] = {&c->sweep, &c->reap, &c->room, &c->resume, &c->handshake};
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
    http_conns_update_listener(c);
}

void http_conns_drain(struct http_conns *c)
{
    struct http_conn *next;
    c->draining = true;
    for (struct http_conn *i = TAILQ_FIRST(&c->all); i; i = next) {
        next = TAILQ_NEXT(i, all);
        if (i->phase == HTTP_IDLE)
            http_conn_cut(i);
    }
}

const char http_tls_hello[] = "a TLS handshake came to a port that speaks plain HTTP";
const char http_too_much_kept[] = "too much was kept of requests that do not end";
const char http_header_far_too_long[] = "the request line or a header is far longer than the limit";

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
    http_conn_cut(c);
}

static void on_input(struct evbuffer *buffer, const struct evbuffer_cb_info *info, void *ctx)
{
    struct http_conn *c = ctx;
    if (!info->n_added || c->cut)
        return;
    find_peer(c);
    hold(c, c->held + info->n_added);
    if (c->phase == HTTP_IDLE) {
        http_conn_phase(c, HTTP_READING);
        c->silent = false;
        if (!c->tls && is_tls_hello(buffer))
            refuse_tls(c);
    }
    if (c->phase == HTTP_READING && c->held > HTTP_LARGE_REQUEST)
        set_large(c, true);
    if (c->owner->held > c->owner->max_held && c->owner->held > c->owner->look_again)
        let_go(c->owner);
}

static const char *own_words(const struct http_conn *c, int status)
{
    switch (status) {
    case 400:
        if (c->held > HTTP_HEADER_READ(c->owner->max_header))
            return http_header_far_too_long;
        return "the request line or a header cannot be read";
    case 413:
        return "the body is longer than the limit";
    case 417:
        return "an expectation that cannot be met";
    case 501:
        return "the method is not known";
    default:
        return "the request cannot be read";
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
    c->owner->refused(c->owner->ctx, c->peer, status, own_words(c, status));
}

struct bufferevent *http_conn_new(struct event_base *base, void *conns)
{
    struct http_conns *owner = conns;
    struct bufferevent *bev = owner->tls ? http_tls_bufferevent(base, owner->tls)
                                         : bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
    struct http_conn *c = calloc(1, sizeof *c);
    if (!bev || !c || !evbuffer_add_cb(bufferevent_get_input(bev), on_input, c) ||
        !evbuffer_add_cb(bufferevent_get_output(bev), on_output, c))
        goto failed;
    bufferevent_setwatermark(bev, EV_READ, 0, owner->max_input);
    c->owner = owner;
    c->bev = bev;
    c->silent = true;
    c->tls = owner->tls != NULL;
    if (c->tls && !http_handshake_begin(c))
        goto failed;
    bufferevent_incref(bev);
    TAILQ_INSERT_TAIL(&owner->all, c, all);
    LIST_INSERT_HEAD(&owner->bucket[bucket_of(bev)], c, bucket);
    http_conn_phase(c, HTTP_IDLE);
    c->accepted = c->since;
    if (++owner->n >= owner->max)
        set_full(owner, true);
    return bev;
failed:
    if (bev)
        bufferevent_free(bev);
    free(c);
    return NULL;
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

void http_conn_working(struct http_conn *c)
{
    http_conn_phase(c, HTTP_WORKING);
    bufferevent_setwatermark(c->bev, EV_READ, 0, HTTP_READ_AT_ONCE);
}

void http_conn_replied(struct http_conn *c)
{
    size_t more = evbuffer_get_length(bufferevent_get_input(c->bev));
    if (!c->cut) {
        hold(c, more);
        set_large(c, false);
        bufferevent_setwatermark(c->bev, EV_READ, 0, c->owner->max_input);
    }
    http_conn_phase(c, more ? HTTP_READING : HTTP_IDLE);
    if (c->last || (c->owner->draining && !more))
        http_conn_cut(c);
}

/* Only those with many connections go: a busy one is never idle for long, and would keep its place
 * for ever. */
bool http_conn_crowds(struct http_conn *c)
{
    return others_wait(c->owner) && share_of(c) > equal_share(c->owner);
}

void http_conn_ending(struct http_conn *c)
{
    c->ending = true;
    to_front(c);
    event_active(c->owner->reap, 0, 0);
}
