#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

double load_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

int load_connect(const struct load *l)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)l->port)};
    struct timeval limit = {30, 0};
    int on = 1;
    if (fd >= 0 && inet_pton(AF_INET, l->host, &a.sin_addr) == 1 &&
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0 &&
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0 &&
        connect(fd, (struct sockaddr *)&a, sizeof a) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

bool load_send(int fd, struct view v)
{
    while (v.n) {
        ssize_t n = send(fd, v.p, v.n, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        v = view_of(v.p + n, v.n - (size_t)n);
    }
    return true;
}

/* A body in chunks, as a server sends it that does not know the length beforehand (RFC 9112
 * section 7.1); false: not all of it is there yet. */
static bool dechunk(const uint8_t *p, const uint8_t *end, struct buf *body)
{
    buf_reset(body);
    for (;;) {
        const uint8_t *line = memmem(p, (size_t)(end - p), "\r\n", 2);
        if (!line)
            return false;
        size_t n = strtoul((const char *)p, NULL, 16);
        p = line + 2;
        if ((size_t)(end - p) < n + 2)
            return false;
        if (n == 0)
            return true;
        if (!buf_append(body, p, n))
            return false;
        p += n + 2;
    }
}

/* Is the whole response in `in`? */
static bool whole(const struct buf *in, struct buf *body)
{
    char *text = (char *)in->p, *end = strstr(text, "\r\n\r\n");
    if (!end)
        return false;
    size_t head = (size_t)(end - text) + 4;
    char *field = strcasestr(text, "\r\nContent-Length:");
    if (!field || field > end)
        return dechunk(in->p + head, in->p + in->n, body);
    size_t length = strtoul(field + 17, NULL, 10);
    buf_reset(body);
    return in->n >= head + length && buf_append(body, in->p + head, length);
}

int load_receive(int fd, struct buf *in, struct buf *body)
{
    buf_reset(in);
    do {
        if (!buf_reserve(in, 8192))
            return 0;
        ssize_t n = recv(fd, in->p + in->n, 8191, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return 0;
        in->n += (size_t)n;
        in->p[in->n] = '\0';
    } while (!whole(in, body));
    int status = 0;
    return sscanf((char *)in->p, "HTTP/1.%*d %d", &status) == 1 ? status : 0;
}

/* A server that sends away says when to come again (RFC 9110 section 15.6.4). */
static bool tells_when(const struct buf *in)
{
    char *field = strcasestr((char *)in->p, "\r\nRetry-After:");
    return field && field < strstr((char *)in->p, "\r\n\r\n");
}

static void pause_ms(unsigned ms)
{
    struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000};
    nanosleep(&t, NULL);
}

/* In one write, so that whoever reads meanwhile sees whole lines. */
static void acknowledge(const struct load *l, const struct load_device *d)
{
    char line[sizeof d->subject + 1];
    int n = snprintf(line, sizeof line, "%s\n", d->subject);
    if (l->acks > 0 && write(l->acks, line, (size_t)n) != n)
        abort();
}

/* Sends until a 200 comes or the patience is over; every try has the same bytes. */
static bool fire_one(struct load *l, struct load_device *d, int *fd, struct buf *request,
                     struct buf *in)
{
    buf_reset(request);
    if (!buf_printf(request,
                    "POST %s?operation=PKIOperation HTTP/1.1\r\nHost: %s:%d\r\nContent-Type: "
                    "application/x-pki-message\r\n"
                    "Content-Length: %zu\r\n\r\n",
                    l->path, l->host, l->port, d->message.n) ||
        !buf_append(request, d->message.p, d->message.n))
        return false;
    double begun = load_now_ms();
    for (;;) {
        d->tries++;
        if (*fd < 0)
            *fd = load_connect(l);
        int status =
            *fd >= 0 && load_send(*fd, buf_view(request)) ? load_receive(*fd, in, &d->reply) : 0;
        if (status == 200) {
            d->ms = load_now_ms() - begun;
            acknowledge(l, d);
            return true;
        }
        if (status == 0 && *fd >= 0) {
            close(*fd);
            *fd = -1;
        }
        buf_reset(&d->reply);
        if (status != 0 && (status != 503 || (l->strict && !tells_when(in))))
            return false;
        if (load_now_ms() - begun > l->retry_seconds * 1e3)
            return false;
        atomic_fetch_add(&l->retries, 1);
        pause_ms(50);
    }
}

struct connection {
    struct load *l;
    int *fd;
    pthread_t thread;
};

static void *connection(void *ctx)
{
    struct connection *c = ctx;
    struct load *l = c->l;
    struct buf request = {0}, in = {0};
    for (size_t i; (i = atomic_fetch_add(&l->next, 1)) < l->end;)
        atomic_fetch_add(fire_one(l, &l->device[i], c->fd, &request, &in) ? &l->done : &l->gave_up,
                         1);
    buf_clear(&request);
    buf_clear(&in);
    return NULL;
}

static bool open_places(struct load *l)
{
    if (l->fd)
        return true;
    l->fd = calloc(l->connections, sizeof *l->fd);
    for (size_t i = 0; l->fd && i < l->connections; i++)
        l->fd[i] = -1;
    return l->fd != NULL;
}

bool load_fire(struct load *l, size_t end, double *wall_seconds, struct err *err)
{
    struct connection *c = calloc(l->connections, sizeof *c);
    if (!c || !open_places(l)) {
        free(c);
        return err_memory(err);
    }
    atomic_store(&l->next, l->end); /* where the round before ended */
    l->end = end;
    double begun = load_now_ms();
    size_t started = 0;
    for (; started < l->connections; started++) {
        c[started].l = l;
        c[started].fd = &l->fd[started];
        if (pthread_create(&c[started].thread, NULL, connection, &c[started]) != 0)
            break;
    }
    for (size_t i = 0; i < started; i++)
        pthread_join(c[i].thread, NULL);
    *wall_seconds = (load_now_ms() - begun) / 1e3;
    free(c);
    return started == l->connections || err_set(err, ERR_IO, "only %zu threads", started);
}

void load_fire_close(struct load *l)
{
    for (size_t i = 0; l->fd && i < l->connections; i++)
        if (l->fd[i] >= 0)
            close(l->fd[i]);
    free(l->fd);
    l->fd = NULL;
}
