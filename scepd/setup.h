/* Everything that follows from one reading of the configuration and its files, short of keys and threads: what is
 * served where, and to whom.  Immutable, shared by threads, counted. */
#pragma once

#include <stdatomic.h>

#include "scepd/routes.h"
#include "scepd/scep_service.h"

struct setup {
    const struct config *config;
    struct config_rooms rooms;
    struct scep_endpoint endpoint[CONFIG_MAX_ENDPOINTS]; /* same order as in the configuration */
    struct routes *routes;
    struct ssl_ctx_st *api_tls;                          /* owned; NULL: the API speaks plain HTTP */
    int64_t api_tls_from, api_tls_until;                 /* validity of its certificate; 0: it has none */
    uint8_t digest[SIGNER_DIGEST];                       /* of what the signer must have been started with */
    /* private */
    struct setup_config *shared;
    atomic_uint references;
};

/* Takes the configuration, also when it fails.  The new setup has one reference. */
bool setup_load(struct config *c, struct setup **out, struct err *err);
/* Reads the files anew that the same configuration names. */
bool setup_refresh(const struct setup *s, struct setup **out, struct err *err);
struct setup *setup_get1(struct setup *s);
void setup_release(struct setup *s); /* NULL allowed */
