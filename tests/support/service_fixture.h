/* A whole authority in a directory of its own, without HTTP: configuration, store, signer in this process, endpoints.  For
 * tests, the fuzzer and the benchmark of the request path. */
#pragma once

#include "client/client.h"
#include "config/config.h"
#include "scepd/scep_service.h"

struct service_fixture {
    char directory[64];
    struct config *config;
    struct config_rooms rooms;
    struct signer *signer;
    struct store *store;
    struct enroll_context enroll;
    struct scep_endpoint endpoint[CONFIG_MAX_ENDPOINTS];
};

/* Endpoints /scep (one-time), /static ("static-secret"), /open (anonymous), /manual, /pair (NDES's two RAs), /legacy; with
 * an RSA key /ca besides.  `key` as for authority_init. */
bool service_fixture_init(struct service_fixture *f, const char *key, struct err *err);
/* Closes and opens the store again, as a restart would. */
bool service_fixture_restart(struct service_fixture *f, struct err *err);
/* An empty store in place of the one there was. */
bool service_fixture_fresh_store(struct service_fixture *f, struct err *err);
/* Loads authorities and endpoints again, after something in the files has changed; pointers to endpoints stay good. */
bool service_fixture_reload(struct service_fixture *f, struct err *err);
void service_fixture_clear(struct service_fixture *f); /* removes the directory */
const struct scep_endpoint *service_fixture_endpoint(const struct service_fixture *f, const char *path);
/* What a client of that endpoint gets by GetCACert, chosen as our client does. */
bool service_fixture_ca(const struct service_fixture *f, const struct scep_endpoint *e, struct client_ca *out, struct err *err);
