#include "scepd/errands.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "scepd/thread.h"

struct list {
    struct errand *head, *tail;
};

struct errands {
    pthread_mutex_t lock;
    pthread_cond_t ready;
    struct list to_run, to_tell; /* under the lock */
    bool stop, running;
    unsigned open; /* added and not yet done; the loop's */
    pthread_t thread;
    int wake; /* eventfd */
    struct event *woken;
};

static void append(struct list *l, struct errand *e)
{
    e->next = NULL;
    if (l->tail)
        l->tail->next = e;
    else
        l->head = e;
    l->tail = e;
}

static struct errand *first(struct list *l)
{
    struct errand *e = l->head;
    if (e && !(l->head = e->next))
        l->tail = NULL;
    return e;
}

static void *run(void *errands)
{
    struct errands *s = errands;
    const uint64_t one = 1;
    struct errand *e;
    pthread_mutex_lock(&s->lock);
    for (;;) {
        while (!(e = first(&s->to_run)) && !s->stop)
            pthread_cond_wait(&s->ready, &s->lock);
        if (!e)
            break;
        pthread_mutex_unlock(&s->lock);
        e->run(e);
        pthread_mutex_lock(&s->lock);
        append(&s->to_tell, e);
        if (write(s->wake, &one, sizeof one) != sizeof one)
            continue; /* the counter is full: the loop is to wake up already */
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

static void tell(struct errands *s)
{
    for (;;) {
        pthread_mutex_lock(&s->lock);
        struct errand *e = first(&s->to_tell);
        pthread_mutex_unlock(&s->lock);
        if (!e)
            return;
        e->done(e);
        s->open--;
    }
}

static void on_woken(evutil_socket_t fd, short what, void *errands)
{
    uint64_t count;
    if (read(fd, &count, sizeof count) == sizeof count)
        tell(errands);
}

bool errands_new(struct event_base *base, struct errands **out, struct err *err)
{
    struct errands *s = calloc(1, sizeof *s);
    if (!s)
        return err_memory(err);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->ready, NULL);
    s->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    s->woken = s->wake < 0 ? NULL : event_new(base, s->wake, EV_READ | EV_PERSIST, on_woken, s);
    s->running =
        s->woken && event_add(s->woken, NULL) == 0 && thread_start(&s->thread, "errands", run, s);
    if (!s->running) {
        errands_free(s);
        return err_set(err, ERR_MEMORY, "cannot start a thread beside the loop");
    }
    *out = s;
    return true;
}

void errands_add(struct errands *s, struct errand *e)
{
    s->open++;
    pthread_mutex_lock(&s->lock);
    append(&s->to_run, e);
    pthread_cond_signal(&s->ready);
    pthread_mutex_unlock(&s->lock);
}

/* The loop has ended: what wakes it is waited for here. */
static void finish(struct errands *s)
{
    uint64_t count;
    while (s->open > 0) {
        struct timespec pause = {0, 5000000};
        if (read(s->wake, &count, sizeof count) != sizeof count)
            nanosleep(&pause, NULL);
        tell(s);
    }
}

void errands_free(struct errands *s)
{
    if (!s)
        return;
    if (s->running) {
        finish(s);
        pthread_mutex_lock(&s->lock);
        s->stop = true;
        pthread_cond_signal(&s->ready);
        pthread_mutex_unlock(&s->lock);
        pthread_join(s->thread, NULL);
    }
    if (s->woken)
        event_free(s->woken);
    if (s->wake >= 0)
        close(s->wake);
    pthread_cond_destroy(&s->ready);
    pthread_mutex_destroy(&s->lock);
    free(s);
}
