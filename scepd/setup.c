#include "scepd/setup.h"

#include <openssl/ssl.h>
#include <stdlib.h>

#include "scepd/api_tls.h"

/* One configuration, which several setups may stand on. */
struct setup_config {
    struct config *config;
    atomic_uint references;
};

static void config_release(struct setup_config *c)
{
    if (atomic_fetch_sub(&c->references, 1) > 1)
        return;
    config_free(c->config);
    free(c);
}

/* Intune is told whatever it has allowed; the others as the endpoint says. */
static void find_webhooks(const struct config *c, struct scep_endpoint *e)
{
    e->validate = config_webhook_by_name(c, e->config->validate);
    if (e->validate && e->validate->kind == WEBHOOK_INTUNE)
        e->told[e->told_n++] = e->validate;
    for (size_t i = 0; i < e->config->notify_n; i++)
        e->told[e->told_n++] = config_webhook_by_name(c, e->config->notify[i]);
}

static bool load(struct setup *s, struct err *err)
{
    const struct config *c = s->config;
    if (!config_rooms_load(c, &s->rooms, err) ||
        !routes_new(c, s->rooms.member, s->rooms.member_n, &s->routes, err) ||
        !api_tls_load(c, &s->rooms, &s->api_tls, err))
        return false;
    api_tls_validity(s->api_tls, &s->api_tls_from, &s->api_tls_until);
    for (size_t i = 0; i < c->endpoint_n; i++)
        if (!scep_endpoint_init(&s->endpoint[i], &c->endpoint[i], &s->rooms.policy[i], err))
            return err_prefix(err, "endpoint \"%s\"", c->endpoint[i].path);
        else
            find_webhooks(c, &s->endpoint[i]);
    return signer_spec_digest(s->rooms.spec, s->digest, err);
}

/* Takes the reference. */
static bool setup_new(struct setup_config *shared, struct setup **out, struct err *err)
{
    struct setup *s = calloc(1, sizeof *s);
    if (!s) {
        config_release(shared);
        return err_memory(err);
    }
    s->shared = shared;
    s->config = shared->config;
    atomic_init(&s->references, 1);
    if (!load(s, err)) {
        setup_release(s);
        return false;
    }
    *out = s;
    return true;
}

bool setup_load(struct config *c, struct setup **out, struct err *err)
{
    struct setup_config *shared = calloc(1, sizeof *shared);
    if (!shared) {
        config_free(c);
        return err_memory(err);
    }
    shared->config = c;
    atomic_init(&shared->references, 1);
    return setup_new(shared, out, err);
}

bool setup_refresh(const struct setup *s, struct setup **out, struct err *err)
{
    atomic_fetch_add(&s->shared->references, 1);
    return setup_new(s->shared, out, err);
}

struct setup *setup_get1(struct setup *s)
{
    atomic_fetch_add(&s->references, 1);
    return s;
}

void setup_release(struct setup *s)
{
    if (!s || atomic_fetch_sub(&s->references, 1) > 1)
        return;
    routes_free(s->routes);
    SSL_CTX_free(s->api_tls);
    for (size_t i = 0; i < s->config->endpoint_n; i++)
        scep_endpoint_clear(&s->endpoint[i]);
    config_rooms_clear(s->config, &s->rooms);
    config_release(s->shared);
    free(s);
}
