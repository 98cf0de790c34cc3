#include "scepd/thread.h"

#include <signal.h>
#include <stdlib.h>

struct beginning {
    const char *name;
    void *(*run)(void *ctx);
    void *ctx;
};

static void *begin(void *beginning)
{
    struct beginning b = *(struct beginning *)beginning;
    free(beginning);
    pthread_setname_np(pthread_self(), b.name);
    return b.run(b.ctx);
}

bool thread_start(pthread_t *out, const char *name, void *(*run)(void *ctx), void *ctx)
{
    struct beginning *b = malloc(sizeof *b);
    sigset_t all, before;
    if (!b)
        return false;
    *b = (struct beginning){name, run, ctx};
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool started = pthread_create(out, NULL, begin, b) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!started)
        free(b);
    return started;
}
