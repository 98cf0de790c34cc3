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

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int connect_to(const struct load *l)
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

static bool send_all(int fd, struct view v)
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

/* One HTTP response into `body`; its status, or 0 when the connection broke. */
static int receive(int fd, struct buf *in, struct buf *body)
{
    buf_reset(in);
    size_t head = 0, length = 0;
    for (;;) {
        if (!buf_reserve(in, 8192))
            return 0;
        ssize_t n = recv(fd, in->p + in->n, 8191, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return 0;
        in->n += (size_t)n;
        in->p[in->n] = '\0';
        char *end = head ? NULL : strstr((char *)in->p, "\r\n\r\n");
        if (end) {
            head = (size_t)(end - (char *)in->p) + 4;
            char *field = strcasestr((char *)in->p, "\r\nContent-Length:");
            if (!field || field > end)
                return 0;
            length = strtoul(field + 17, NULL, 10);
        }
        if (head && in->n >= head + length)
            break;
    }
    int status = 0;
    if (sscanf((char *)in->p, "HTTP/1.%*d %d", &status) != 1)
        return 0;
    buf_reset(body);
    return buf_append(body, in->p + head, length) ? status : 0;
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
    if (l->acks >= 0 && write(l->acks, line, (size_t)n) != n)
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
    double begun = now_ms();
    for (;;) {
        d->tries++;
        if (*fd < 0)
            *fd = connect_to(l);
        int status = *fd >= 0 && send_all(*fd, buf_view(request)) ? receive(*fd, in, &d->reply) : 0;
        if (status == 200) {
            d->ms = now_ms() - begun;
            acknowledge(l, d);
            return true;
        }
        if (status == 0 && *fd >= 0) {
            close(*fd);
            *fd = -1;
        }
        buf_reset(&d->reply);
        if (status != 0 && status != 503)
            return false;
        if (now_ms() - begun > l->retry_seconds * 1e3)
            return false;
        atomic_fetch_add(&l->retries, 1);
        pause_ms(50);
    }
}

static void *connection(void *ctx)
{
    struct load *l = ctx;
    struct buf request = {0}, in = {0};
    int fd = -1;
    for (size_t i; (i = atomic_fetch_add(&l->next, 1)) < l->n;)
        atomic_fetch_add(fire_one(l, &l->device[i], &fd, &request, &in) ? &l->done : &l->gave_up,
                         1);
    if (fd >= 0)
        close(fd);
    buf_clear(&request);
    buf_clear(&in);
    return NULL;
}

bool load_fire(struct load *l, double *wall_seconds, struct err *err)
{
    pthread_t *thread = calloc(l->connections, sizeof *thread);
    if (!thread)
        return err_memory(err);
    double begun = now_ms();
    size_t started = 0;
    while (started < l->connections && pthread_create(&thread[started], NULL, connection, l) == 0)
        started++;
    for (size_t i = 0; i < started; i++)
        pthread_join(thread[i], NULL);
    free(thread);
    *wall_seconds = (now_ms() - begun) / 1e3;
    return started == l->connections || err_set(err, ERR_IO, "only %zu threads", started);
}
