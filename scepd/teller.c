#include "scepd/teller.h"

#include <pthread.h>
#include <stdlib.h>

#include "outside/telling.h"

struct teller {
    pthread_mutex_t lock;
    struct setup *setup; /* NULL: none yet */
};

bool teller_new(struct teller **out, struct err *err)
{
    struct teller *t = calloc(1, sizeof *t);
    if (!t)
        return err_memory(err);
    pthread_mutex_init(&t->lock, NULL);
    *out = t;
    return true;
}

void teller_use(struct teller *t, struct setup *setup)
{
    pthread_mutex_lock(&t->lock);
    struct setup *before = t->setup;
    t->setup = setup_get1(setup);
    pthread_mutex_unlock(&t->lock);
    setup_release(before);
}

bool teller_tell(void *teller, struct store_write *w, uint64_t cert_id, struct err *err)
{
    struct teller *t = teller;
    pthread_mutex_lock(&t->lock);
    struct setup *setup = t->setup ? setup_get1(t->setup) : NULL;
    pthread_mutex_unlock(&t->lock);
    bool ok = !setup || webhook_tell_revocation(setup->config, w, cert_id, err);
    setup_release(setup);
    return ok;
}

void teller_free(struct teller *t)
{
    if (!t)
        return;
    setup_release(t->setup);
    pthread_mutex_destroy(&t->lock);
    free(t);
}
