/* flood: offers a server more than it can do, and does not slow down when it cannot.
 *
 *   flood --port P --from 127.0.0.2 --rate 12000 --connections 1000 [--seconds 10] [--path /scep]
 *
 * Sends refusable but complete PKIOperations (a wrong challenge: everything up to it costs the
 * server the same as an enrolment) at the wanted rate, on whichever connection is free, each from
 * its own port of the address --from; a connection that is closed is opened again.  Ends after
 * --seconds or on SIGTERM, with one line key=value: what was offered (due by the rate), sent,
 * answered by status, refused without Retry-After, and connections that broke with a request on
 * them. */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../bench/load.h"

#define MESSAGES 64
#define EVENTS 256
/* More than any reply to such a message has. */
#define REPLY 16384

enum state { CLOSED, CONNECTING, FREE, WAITING };

struct lane {
    int fd;
    enum state state;
    size_t n; /* octets of the reply */
    struct lane *next_free;
    char in[REPLY];
};

struct flood {
    struct load load;
    const char *from;
    double rate, seconds;
    size_t connections;
    struct lane *lane, *free;
    struct buf request[MESSAGES];
    int epoll;
    size_t next_message;
    unsigned long offered, sent, ok, busy, busy_without, other, broken;
};

static volatile sig_atomic_t stopped;

static void on_term(int signal)
{
    stopped = 1;
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void set_free(struct flood *f, struct lane *c)
{
    c->state = FREE;
    c->n = 0;
    c->next_free = f->free;
    f->free = c;
}

static void hang_up(struct flood *f, struct lane *c)
{
    f->broken += c->state == WAITING;
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    c->state = CLOSED;
}

static void open_lane(struct flood *f, struct lane *c)
{
    struct sockaddr_in from = {.sin_family = AF_INET}, to = {.sin_family = AF_INET};
    int on = 1;
    to.sin_port = htons((uint16_t)f->load.port);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct epoll_event e = {EPOLLIN | EPOLLOUT | EPOLLET, {.ptr = c}};
    if (c->fd < 0 || inet_pton(AF_INET, f->from, &from.sin_addr) != 1 ||
        inet_pton(AF_INET, f->load.host, &to.sin_addr) != 1 ||
        setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on) != 0 ||
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0 ||
        bind(c->fd, (struct sockaddr *)&from, sizeof from) != 0 ||
        (connect(c->fd, (struct sockaddr *)&to, sizeof to) != 0 && errno != EINPROGRESS) ||
        epoll_ctl(f->epoll, EPOLL_CTL_ADD, c->fd, &e) != 0) {
        hang_up(f, c);
        return;
    }
    c->state = CONNECTING;
}

static void fire(struct flood *f)
{
    struct lane *c = f->free;
    const struct buf *request = &f->request[f->next_message++ % MESSAGES];
    f->free = c->next_free;
    c->state = WAITING;
    if (send(c->fd, request->p, request->n, MSG_NOSIGNAL) == (ssize_t)request->n)
        f->sent++;
    else
        hang_up(f, c);
}

/* False when the connection has ended or cannot be understood. */
static bool read_reply(struct flood *f, struct lane *c)
{
    ssize_t n;
    while ((n = recv(c->fd, c->in + c->n, sizeof c->in - 1 - c->n, 0)) > 0)
        c->n += (size_t)n;
    if (n == 0 || errno != EAGAIN || c->n >= sizeof c->in - 1)
        return false;
    c->in[c->n] = '\0';
    const char *end = strstr(c->in, "\r\n\r\n"), *length = strcasestr(c->in, "\r\nContent-Length:");
    if (!end)
        return true;
    if (c->state != WAITING || !length || length > end)
        return false;
    if (c->n < (size_t)(end + 4 - c->in) + strtoul(length + 17, NULL, 10))
        return true;
    int status = atoi(c->in + 9);
    const char *later = strcasestr(c->in, "\r\nRetry-After: ");
    const char *last = strcasestr(c->in, "\r\nConnection: close");
    f->ok += status == 200;
    f->busy += status == 503;
    f->busy_without += status == 503 && (!later || later > end);
    f->other += status != 200 && status != 503;
    set_free(f, c);
    return !last || last > end;
}

static void drop_free(struct flood *f, struct lane *c)
{
    struct lane **i = &f->free;
    while (*i && *i != c)
        i = &(*i)->next_free;
    if (*i)
        *i = c->next_free;
}

static void on_event(struct flood *f, struct lane *c, uint32_t what)
{
    bool alive = !(what & (EPOLLERR | EPOLLHUP));
    if (alive && c->state == CONNECTING && what & EPOLLOUT)
        set_free(f, c);
    if (alive && what & EPOLLIN)
        alive = read_reply(f, c);
    if (alive)
        return;
    drop_free(f, c);
    hang_up(f, c);
}

static void run(struct flood *f)
{
    struct epoll_event e[EVENTS];
    double begun = now_s(), now = begun;
    while (!stopped && (f->seconds <= 0 || now - begun < f->seconds)) {
        for (size_t i = 0; i < f->connections; i++)
            if (f->lane[i].state == CLOSED)
                open_lane(f, &f->lane[i]);
        int n = epoll_wait(f->epoll, e, EVENTS, 1);
        for (int i = 0; i < n; i++)
            on_event(f, e[i].data.ptr, e[i].events);
        now = now_s();
        /* What is due but finds no free connection is not made up for: that is what "open loop"
         * means. */
        unsigned long due = (unsigned long)((now - begun) * f->rate);
        for (; f->offered < due; f->offered++)
            if (f->free)
                fire(f);
    }
    printf("flood offered=%lu sent=%lu ok=%lu busy=%lu busy_without_retry_after=%lu other=%lu "
           "broken=%lu "
           "seconds=%.2f\n",
           f->offered, f->sent, f->ok, f->busy, f->busy_without, f->other, f->broken, now - begun);
}

static bool prepare(struct flood *f, struct err *err)
{
    struct load *l = &f->load;
    char url[512], *challenges[MESSAGES];
    static char wrong[] = "WRONG-CHALLENGE";
    snprintf(url, sizeof url, "http://%s:%d%s", l->host, l->port, l->path);
    struct client_options o = {.url = url, .timeout = 30};
    struct client *c = NULL;
    l->n = MESSAGES;
    l->prefix = "flood";
    for (size_t i = 0; i < MESSAGES; i++)
        challenges[i] = wrong;
    bool ok = client_new(&o, &c, err) && client_get_caps(c, &l->caps, err) &&
              client_get_ca(c, &l->ca, err) && load_prepare(l, challenges, MESSAGES, err);
    client_free(c);
    for (size_t i = 0; ok && i < MESSAGES; i++)
        ok = (buf_printf(&f->request[i],
                         "POST %s?operation=PKIOperation HTTP/1.1\r\nHost: %s\r\nContent-Type: "
                         "application/x-pki-message\r\nContent-Length: %zu\r\n\r\n",
                         l->path, l->host, l->device[i].message.n) &&
              buf_append(&f->request[i], l->device[i].message.p, l->device[i].message.n)) ||
             err_memory(err);
    return ok;
}

static const struct option options[] = {
    {"port", 1, NULL, 'p'}, {"from", 1, NULL, 'f'},    {"rate", 1, NULL, 'r'},
    {"path", 1, NULL, 'u'}, {"seconds", 1, NULL, 's'}, {"connections", 1, NULL, 'c'},
    {NULL, 0, NULL, 0},
};

static bool take_options(struct flood *f, int argc, char **argv)
{
    int opt;
    while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (opt == 'p')
            f->load.port = atoi(optarg);
        else if (opt == 'f')
            f->from = optarg;
        else if (opt == 'r')
            f->rate = strtod(optarg, NULL);
        else if (opt == 's')
            f->seconds = strtod(optarg, NULL);
        else if (opt == 'c')
            f->connections = strtoul(optarg, NULL, 10);
        else if (opt == 'u')
            snprintf(f->load.path, sizeof f->load.path, "%s", optarg);
        else
            return false;
    }
    return f->load.port > 0 && f->rate > 0 && f->connections > 0;
}

int main(int argc, char **argv)
{
    struct flood f = {
        .load = {.host = "127.0.0.1", .path = "/scep"}, .from = "127.0.0.2", .connections = 1000};
    struct err err = {0};
    if (!take_options(&f, argc, argv)) {
        fprintf(stderr, "flood: --port, --rate and --connections are needed\n");
        return 2;
    }
    signal(SIGTERM, on_term);
    f.lane = calloc(f.connections, sizeof *f.lane);
    f.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!f.lane || f.epoll < 0 || !prepare(&f, &err)) {
        fprintf(stderr, "flood: %s\n", err.text);
        return 2;
    }
    for (size_t i = 0; i < f.connections; i++)
        f.lane[i].fd = -1;
    printf("ready\n");
    fflush(stdout);
    run(&f);
    for (size_t i = 0; i < f.connections; i++)
        hang_up(&f, &f.lane[i]);
    for (size_t i = 0; i < MESSAGES; i++) {
        client_identity_clear(&f.load.device[i].identity);
        buf_clear(&f.load.device[i].message);
        buf_clear(&f.request[i]);
    }
    free(f.load.device);
    client_ca_clear(&f.load.ca);
    free(f.lane);
    close(f.epoll);
    return 0;
}
