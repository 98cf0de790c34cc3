#include <stdlib.h>

#include "signer_internal.h"

static bool local_call(struct signer *s, const struct signer_request *r, struct buf *out,
                       struct err *err)
{
    return signer_execute(s->worker, r, out, err);
}

bool signer_local(const struct signer_spec *spec, struct signer **out, struct err *err)
{
    struct signer *s = calloc(1, sizeof *s);
    if (!s)
        return err_memory(err);
    s->call = local_call;
    s->fd = -1;
    if (!signer_keys_load(spec, &s->keys, err) || !signer_worker_new(s->keys, &s->worker, err)) {
        signer_free(s);
        return false;
    }
    *out = s;
    return true;
}

void signer_free(struct signer *s)
{
    if (!s)
        return;
    signer_worker_free(s->worker);
    signer_keys_free(s->keys);
    free(s);
}
