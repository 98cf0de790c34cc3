/* Who asks: one thread writes questions to whoever serves, and hands their answers back. */
#include "outside/outside.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "outside/outside_child.h"
#include "wire.h"

/* Connections that are left, each with questions under way, after reloads. */
#define MAX_LINKS 8
/* Tries to connect after a failure, in milliseconds. */
#define CONNECT_AGAIN_MIN 250
#define CONNECT_AGAIN_MAX 10000
/* With something under way the thread looks at its clock at least so often. */
#define LOOK_MS 1000
/* A repeatable question goes to another process so often when the one that had it has ended: it may
 * be what ended it. */
#define HANDED_OVER 2

struct call {
    TAILQ_ENTRY(call) entry;
    uint64_t number;
    enum outside_kind kind;
    char name[64];
    bool repeatable;
    unsigned handed_over;
    int64_t begun_us;
    struct buf frame; /* kept while it may be asked again */
    outside_done done;
    void *ctx;
};
TAILQ_HEAD(calls, call);

struct link {
    int fd; /* -1: free */
    struct buf in, out;
    struct calls asked;
    int64_t heard_us; /* of who serves, or when there was nothing to hear */
};

struct outside {
    struct outside_options options;
    pthread_t thread;
    int wake; /* eventfd */
    pthread_mutex_t lock;
    struct calls fresh; /* under the lock, as all up to here */
    bool stop, reconnect;
    /* the thread's own */
    size_t under_way;
    uint64_t number;
    struct link link[MAX_LINKS];
    struct link *current; /* NULL: none */
    int64_t looked_us;    /* when who is silent was looked for last */
    int64_t connect_at_us;
    int connect_wait_ms;
    /* outside_new_local */
    pthread_t server;
    bool served;
    struct outside_targets *targets;
    int serve_fd;
    int *here; /* our end until it is connected, then -1 */
};

static const char *const result_names[] = {
    [OUTSIDE_ANSWERED] = "answered",   [OUTSIDE_UNREACHABLE] = "unreachable",
    [OUTSIDE_TIMEOUT] = "timeout",     [OUTSIDE_AWAY] = "away",
    [OUTSIDE_BUSY] = "busy",           [OUTSIDE_TOO_LARGE] = "too_large",
    [OUTSIDE_FORBIDDEN] = "forbidden", [OUTSIDE_LOST] = "lost",
};

const char *outside_result_name(enum outside_result r)
{
    return result_names[r];
}

void outside_answer_clear(struct outside_answer *a)
{
    buf_wipe(&a->body);
    *a = (struct outside_answer){0};
}

static int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* ---- giving back ---- */

static void finish(struct outside *o, struct call *c, struct outside_answer *a)
{
    if (o->options.watch)
        o->options.watch(o->options.ctx, c->kind, c->name, a);
    c->done(c->ctx, a);
    outside_answer_clear(a);
    buf_wipe(&c->frame);
    free(c);
    o->under_way--;
}

static void finish_with(struct outside *o, struct call *c, enum outside_result result,
                        const char *text)
{
    struct outside_answer a = {.result = result, .seconds = (double)(now_us() - c->begun_us) / 1e6};
    snprintf(a.text, sizeof a.text, "%s", text);
    finish(o, c, &a);
}

/* ---- connections ---- */

static void link_close(struct link *l)
{
    close(l->fd);
    l->fd = -1;
    buf_wipe(&l->in);
    buf_wipe(&l->out);
}

static const char has_ended[] = "has ended";

/* Whoever served it is gone, or as good as gone: `why`. */
static void link_broken(struct outside *o, struct link *l, const char *why)
{
    struct call *c;
    char text[64];
    struct calls asked = TAILQ_HEAD_INITIALIZER(asked);
    pthread_mutex_lock(&o->lock);
    bool stopping = o->stop;
    pthread_mutex_unlock(&o->lock);
    TAILQ_CONCAT(&asked, &l->asked, entry);
    link_close(l);
    if (o->current == l) {
        o->current = NULL;
        if (!stopping)
            log_event(o->options.log, LOG_LEVEL_ERROR, "outside.ended",
                      "the process that asks servers elsewhere %s", why);
    }
    while ((c = TAILQ_FIRST(&asked))) {
        TAILQ_REMOVE(&asked, c, entry);
        if (c->repeatable && c->handed_over++ < HANDED_OVER && !stopping) {
            pthread_mutex_lock(&o->lock);
            TAILQ_INSERT_HEAD(&o->fresh, c, entry);
            pthread_mutex_unlock(&o->lock);
        } else {
            snprintf(text, sizeof text, "the process that asked %s", why);
            finish_with(o, c, OUTSIDE_LOST, text);
        }
    }
}

static struct link *free_link(struct outside *o)
{
    for (size_t i = 0; i < MAX_LINKS; i++)
        if (o->link[i].fd < 0)
            return &o->link[i];
    for (size_t i = 0; i < MAX_LINKS; i++) /* reloads by the dozen: the oldest questions suffer */
        if (&o->link[i] != o->current) {
            link_broken(o, &o->link[i], has_ended);
            return &o->link[i];
        }
    return NULL;
}

static void leave_current(struct outside *o)
{
    struct link *l = o->current;
    o->current = NULL;
    if (l && TAILQ_EMPTY(&l->asked))
        link_close(l);
}

/* There is somebody to ask. */
static bool connected(struct outside *o)
{
    struct err err = {0};
    int fd = -1;
    if (o->current)
        return true;
    if (now_us() < o->connect_at_us)
        return false;
    if (!o->options.connect(o->options.ctx, &fd, &err)) {
        o->connect_wait_ms = o->connect_wait_ms ? 2 * o->connect_wait_ms : CONNECT_AGAIN_MIN;
        if (o->connect_wait_ms > CONNECT_AGAIN_MAX)
            o->connect_wait_ms = CONNECT_AGAIN_MAX;
        o->connect_at_us = now_us() + (int64_t)o->connect_wait_ms * 1000;
        log_event(o->options.log, LOG_LEVEL_ERROR, "outside.failed",
                  "nobody asks servers elsewhere, the next try is in %d ms: %s", o->connect_wait_ms,
                  err.text);
        return false;
    }
    o->connect_wait_ms = 0;
    o->connect_at_us = now_us() + CONNECT_AGAIN_MIN * 1000; /* one that ends at once is no hurry */
    o->current = free_link(o);
    o->current->fd = fd;
    return true;
}

/* ---- the thread ---- */

static void ask(struct outside *o, struct call *c)
{
    struct link *l = o->current;
    if (!buf_append(&l->out, c->frame.p, c->frame.n)) {
        finish_with(o, c, OUTSIDE_BUSY, "out of memory");
        return;
    }
    if (!c->repeatable)
        buf_wipe(&c->frame);
    if (TAILQ_EMPTY(&l->asked))
        l->heard_us = now_us();
    TAILQ_INSERT_TAIL(&l->asked, c, entry);
}

static struct call *take_fresh(struct outside *o)
{
    pthread_mutex_lock(&o->lock);
    struct call *c = TAILQ_FIRST(&o->fresh);
    if (c)
        TAILQ_REMOVE(&o->fresh, c, entry);
    pthread_mutex_unlock(&o->lock);
    return c;
}

static void number_it(struct outside *o, struct call *c)
{
    struct wire_ask head;
    c->number = ++o->number;
    memcpy(&head, c->frame.p, sizeof head);
    head.number = c->number;
    memcpy(c->frame.p, &head, sizeof head);
}

/* What served has ended soon after it began: the next one is not hurried. */
static bool pausing(const struct outside *o)
{
    return !o->current && !o->connect_wait_ms && now_us() < o->connect_at_us;
}

static void ask_fresh(struct outside *o)
{
    struct call *c;
    while (!pausing(o) && (c = take_fresh(o))) {
        if (!c->number)
            o->under_way++;
        number_it(o, c);
        if (o->under_way > OUTSIDE_MAX_IN_FLIGHT)
            finish_with(o, c, OUTSIDE_BUSY, "too many questions are under way");
        else if (!connected(o))
            finish_with(o, c, OUTSIDE_LOST, "no process to ask servers elsewhere runs");
        else
            ask(o, c);
    }
}

static void answered(struct outside *o, struct link *l, uint64_t number, struct outside_answer *a)
{
    struct call *c;
    TAILQ_FOREACH(c, &l->asked, entry)
    {
        if (c->number != number)
            continue;
        TAILQ_REMOVE(&l->asked, c, entry);
        finish(o, c, a);
        return;
    }
    outside_answer_clear(a);
}

static void link_read(struct outside *o, struct link *l)
{
    bool open = wire_receive(l->fd, &l->in);
    ssize_t n;
    l->heard_us = now_us();
    while ((n = wire_frame(&l->in)) > 0) {
        struct outside_answer a = {0};
        uint64_t number;
        bool good = wire_read_answer(view_of(l->in.p, (size_t)n), &number, &a);
        wire_take(&l->in, (size_t)n);
        if (!good) {
            n = -1;
            break;
        }
        answered(o, l, number, &a);
    }
    if (!open || n < 0)
        link_broken(o, l, has_ended);
    else if (l != o->current && TAILQ_EMPTY(&l->asked))
        link_close(l);
}

/* False: the end. */
static bool look_at_wishes(struct outside *o)
{
    uint64_t told;
    ssize_t n = read(o->wake, &told, sizeof told);
    (void)n; /* none: another descriptor woke us */
    pthread_mutex_lock(&o->lock);
    bool reconnect = o->reconnect, stop = o->stop;
    o->reconnect = false;
    pthread_mutex_unlock(&o->lock);
    if (reconnect) {
        leave_current(o);
        o->connect_at_us = 0;
    }
    return !stop;
}

/* Who hangs, or was stopped, answers nobody: another one is asked.  When this thread itself has not
 * looked for long (all were stopped and go on, as by a freezer), it begins to listen anew. */
static void leave_silent(struct outside *o)
{
    int64_t now = now_us(), since = now - (int64_t)WIRE_SILENT_MS * 1000;
    bool away = now - o->looked_us > WIRE_ALIVE_MS * 1000;
    o->looked_us = now;
    for (size_t i = 0; i < MAX_LINKS; i++) {
        struct link *l = &o->link[i];
        if (away)
            l->heard_us = now;
        if (l->fd >= 0 && !TAILQ_EMPTY(&l->asked) && l->heard_us < since)
            link_broken(o, l, "has been silent for too long");
    }
}

static void wait_for_news(struct outside *o)
{
    struct pollfd p[MAX_LINKS + 1] = {{.fd = o->wake, .events = POLLIN}};
    int most = o->under_way ? LOOK_MS : -1;
    for (size_t i = 0; i < MAX_LINKS; i++) {
        struct link *l = &o->link[i];
        p[i + 1].fd = l->fd;
        p[i + 1].events = (short)(POLLIN | (l->out.n ? POLLOUT : 0));
    }
    if (poll(p, MAX_LINKS + 1, pausing(o) ? CONNECT_AGAIN_MIN / 4 : most) < 0)
        return;
    for (size_t i = 0; i < MAX_LINKS; i++) {
        struct link *l = &o->link[i];
        if (l->fd >= 0 && (p[i + 1].revents & (POLLIN | POLLHUP | POLLERR)))
            link_read(o, l);
    }
    leave_silent(o);
}

static void send_all(struct outside *o)
{
    for (size_t i = 0; i < MAX_LINKS; i++) {
        struct link *l = &o->link[i];
        if (l->fd >= 0 && l->out.n && !wire_send(l->fd, &l->out))
            link_broken(o, l, has_ended);
    }
}

static void *run(void *outside)
{
    struct outside *o = outside;
    struct call *c;
    while (look_at_wishes(o)) {
        ask_fresh(o);
        send_all(o);
        wait_for_news(o);
    }
    for (size_t i = 0; i < MAX_LINKS; i++)
        if (o->link[i].fd >= 0)
            link_broken(o, &o->link[i], has_ended);
    while ((c = take_fresh(o))) {
        o->under_way++;
        finish_with(o, c, OUTSIDE_LOST, "the program ends");
    }
    return NULL;
}

/* ---- asking ---- */

static void wake(struct outside *o)
{
    const uint64_t one = 1;
    if (write(o->wake, &one, sizeof one) != sizeof one)
        return; /* the counter is full: it is to wake up already */
}

bool outside_call(struct outside *o, const struct outside_ask *q, outside_done done, void *ctx,
                  struct err *err)
{
    struct call *c = calloc(1, sizeof *c);
    if (!c)
        return err_memory(err);
    c->kind = q->kind;
    snprintf(c->name, sizeof c->name, "%s", q->name);
    c->repeatable = q->repeatable;
    c->begun_us = now_us();
    c->done = done;
    c->ctx = ctx;
    bool ok = wire_put_ask(&c->frame, 0, q, err);
    pthread_mutex_lock(&o->lock);
    if (ok && o->stop)
        ok = err_set(err, ERR_BUSY, "the program ends");
    if (ok)
        TAILQ_INSERT_TAIL(&o->fresh, c, entry);
    pthread_mutex_unlock(&o->lock);
    if (ok) {
        wake(o);
    } else {
        buf_wipe(&c->frame);
        free(c);
    }
    return ok;
}

struct waiting {
    pthread_mutex_t lock;
    pthread_cond_t come;
    bool done;
    struct outside_answer *out;
};

static void on_waited(void *ctx, struct outside_answer *a)
{
    struct waiting *w = ctx;
    pthread_mutex_lock(&w->lock);
    *w->out = *a;
    a->body = (struct buf){0};
    w->done = true;
    pthread_cond_signal(&w->come);
    pthread_mutex_unlock(&w->lock);
}

bool outside_wait(struct outside *o, const struct outside_ask *q, struct outside_answer *out,
                  struct err *err)
{
    struct waiting w = {
        .lock = PTHREAD_MUTEX_INITIALIZER, .come = PTHREAD_COND_INITIALIZER, .out = out};
    if (!outside_call(o, q, on_waited, &w, err))
        return false;
    pthread_mutex_lock(&w.lock);
    while (!w.done)
        pthread_cond_wait(&w.come, &w.lock);
    pthread_mutex_unlock(&w.lock);
    return true;
}

void outside_reconnect(struct outside *o)
{
    pthread_mutex_lock(&o->lock);
    o->reconnect = true;
    pthread_mutex_unlock(&o->lock);
    wake(o);
}

/* ---- life ---- */

static bool start_thread(pthread_t *out, void *(*f)(void *), void *ctx)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool ok = pthread_create(out, NULL, f, ctx) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return ok;
}

bool outside_new(const struct outside_options *options, struct outside **out, struct err *err)
{
    struct outside *o = calloc(1, sizeof *o);
    if (!o)
        return err_memory(err);
    o->options = *options;
    for (size_t i = 0; i < MAX_LINKS; i++) {
        o->link[i].fd = -1;
        TAILQ_INIT(&o->link[i].asked);
    }
    TAILQ_INIT(&o->fresh);
    pthread_mutex_init(&o->lock, NULL);
    o->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (o->wake < 0 || !start_thread(&o->thread, run, o)) {
        err_errno(err, "cannot start the thread that asks servers elsewhere");
        if (o->wake >= 0)
            close(o->wake);
        pthread_mutex_destroy(&o->lock);
        free(o);
        return false;
    }
    *out = o;
    return true;
}

void outside_stop(struct outside *o)
{
    pthread_mutex_lock(&o->lock);
    o->stop = true;
    pthread_mutex_unlock(&o->lock);
    wake(o);
}

void outside_free(struct outside *o)
{
    if (!o)
        return;
    outside_stop(o);
    pthread_join(o->thread, NULL);
    if (o->here && *o->here >= 0)
        close(*o->here);
    if (o->served)
        pthread_join(o->server, NULL);
    free(o->here);
    outside_targets_free(o->targets);
    close(o->wake);
    pthread_mutex_destroy(&o->lock);
    free(o);
}

/* ---- in this process ---- */

static void *serve_here(void *outside)
{
    struct outside *o = outside;
    outside_serve(o->serve_fd, o->targets, o->options.log);
    return NULL;
}

static bool connect_here(void *ctx, int *fd, struct err *err)
{
    int *here = ctx;
    *fd = *here;
    *here = -1;
    return *fd >= 0 || err_set(err, ERR_IO, "the thread that asks has ended");
}

bool outside_new_local(const struct config *c, const struct log *log, struct outside **out,
                       struct err *err)
{
    struct outside_targets *targets = NULL;
    struct outside *o = NULL;
    int pair[2];
    int *here = malloc(sizeof *here);
    struct outside_options options = {.connect = connect_here, .ctx = here, .log = log};
    if (!here)
        return err_memory(err);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
        free(here);
        return err_errno(err, "cannot make a socket pair");
    }
    *here = pair[0];
    if (!outside_targets_load(c, &targets, err) || !outside_new(&options, &o, err)) {
        outside_targets_free(targets);
        close(pair[0]);
        close(pair[1]);
        free(here);
        return false;
    }
    o->here = here;
    o->targets = targets;
    o->serve_fd = pair[1];
    o->served = start_thread(&o->server, serve_here, o);
    if (!o->served) {
        close(pair[1]);
        outside_free(o);
        return err_set(err, ERR_MEMORY, "cannot start the thread that asks servers elsewhere");
    }
    *out = o;
    return true;
}
