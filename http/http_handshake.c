/* Handshakes run on the loop that serves devices: a step at a time, in the order in which their
 * clients spoke, with whatever else is due between two of them, and only while there is time left
 * for them (http_pace.h).  All that are connected may speak at once, and again after a part of
 * what they have to say; so what a step takes is known when it was taken, and not charged before.
 */
#include <event2/bufferevent_ssl.h>
#include <time.h>

#include "http_conn.h"

/* While there is no time: how often that is looked at, and told. */
#define LOOK_MS 50
#define TELL_MS 60000

static void on_ready(evutil_socket_t fd, short what, void *ctx);

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void look_in(struct http_conns *c, int ms)
{
    struct timeval when = {0, ms * 1000};
    event_add(c->handshake, &when);
}

static void wait_for(struct http_conn *c, short what)
{
    if (event_assign(c->shake, c->owner->base, bufferevent_getfd(c->bev), what, on_ready, c) != 0 ||
        event_add(c->shake, NULL) != 0)
        http_conn_cut(c);
}

/* evhttp has given it its socket. */
static void on_accepted(evutil_socket_t fd, short what, void *ctx)
{
    struct http_conn *c = ctx;
    if (http_conn_is_freed(c))
        return;
    bufferevent_disable(c->bev, EV_READ | EV_WRITE);
    wait_for(c, EV_READ);
}

static void on_ready(evutil_socket_t fd, short what, void *ctx)
{
    struct http_conn *c = ctx;
    TAILQ_INSERT_TAIL(&c->owner->line, c, line);
    c->in_line = true;
    if (!evtimer_pending(c->owner->handshake, NULL))
        look_in(c->owner, 0);
}

static void leave_line(struct http_conn *c)
{
    if (c->in_line)
        TAILQ_REMOVE(&c->owner->line, c, line);
    c->in_line = false;
}

static void take_step(struct http_conn *c)
{
    bool on;
    leave_line(c);
    enum http_tls_step step =
        http_tls_step(bufferevent_openssl_get_ssl(c->bev), &c->owner->pace, &on);
    if (on) /* whoever waited for us was not silent, and an octet is no progress */
        http_conn_phase(c, HTTP_IDLE);
    switch (step) {
    case HTTP_TLS_READ:
        wait_for(c, EV_READ);
        break;
    case HTTP_TLS_WRITE:
        wait_for(c, EV_WRITE);
        break;
    case HTTP_TLS_BROKEN:
        http_conn_cut(c);
        break;
    case HTTP_TLS_DONE:
        http_handshake_end(c);
        http_conn_phase(c, HTTP_IDLE);
        bufferevent_enable(c->bev, EV_READ);
    }
}

static void tell(struct http_conns *c, int64_t now)
{
    if (c->handshakes_told && now - c->handshakes_told < TELL_MS)
        return;
    c->handshakes_told = now;
    log_event(c->log, LOG_LEVEL_NOTICE, "http.handshakes",
              "more TLS handshakes come than a tenth of the loop's time is enough for: connections "
              "wait for their turn");
}

/* Accept, and take a step, while there is time. */
static void go_on(struct http_conns *c)
{
    int64_t now = now_ms();
    c->handshakes_wait = !http_pace_goes_on(&c->pace, now);
    http_conns_update_listener(c);
    if (c->handshakes_wait) {
        tell(c, now);
        look_in(c, LOOK_MS);
    }
}

/* With a look at all descriptors between two steps. */
static void on_handshake(evutil_socket_t fd, short what, void *ctx)
{
    struct http_conns *c = ctx;
    go_on(c);
    if (c->handshakes_wait || TAILQ_EMPTY(&c->line))
        return;
    take_step(TAILQ_FIRST(&c->line));
    if (!TAILQ_EMPTY(&c->line))
        look_in(c, 0);
}

bool http_handshakes_init(struct http_conns *c)
{
    TAILQ_INIT(&c->line);
    http_pace_init(&c->pace);
    c->handshake = event_new(c->base, -1, 0, on_handshake, c);
    return c->handshake != NULL;
}

bool http_handshake_begin(struct http_conn *c)
{
    c->shake = event_new(c->owner->base, -1, 0, on_accepted, c);
    if (!c->shake)
        return false;
    event_active(c->shake, EV_TIMEOUT, 0);
    http_pace_spent(&c->owner->pace, HTTP_PACE_ACCEPT);
    go_on(c->owner);
    return true;
}

void http_handshake_end(struct http_conn *c)
{
    leave_line(c);
    if (c->shake)
        event_free(c->shake);
    c->shake = NULL;
}

static void on_cut(evutil_socket_t fd, short what, void *ctx)
{
    struct http_conn *c = ctx;
    http_handshake_end(c);
    if (!http_conn_is_freed(c))
        bufferevent_trigger_event(c->bev, BEV_EVENT_READING | BEV_EVENT_EOF, 0);
}

/* By an event of ours: a callback that the bufferevent puts off keeps a reference to it, which
 * nobody gives back when the server goes first. */
void http_handshake_cut(struct http_conn *c)
{
    leave_line(c);
    event_del(c->shake);
    event_assign(c->shake, c->owner->base, -1, 0, on_cut, c);
    event_active(c->shake, EV_TIMEOUT, 0);
}
