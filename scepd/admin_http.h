/* The admin listener: /livez, /readyz, /healthz and /metrics, for those addresses that the configuration allows.  A second
 * server of http.h in the same loop, with narrow limits of its own; nothing in it waits for the store or the signer. */
#pragma once

#include "scepd/health.h"
#include "http/http.h"
#include "scepd/metrics.h"
#include "scepd/ocsp_pool.h"
#include "scepd/service_pool.h"

#define ADMIN_DEFAULT_PORT 8081 /* what scepctl init writes */

struct api_http;

/* What runs now; a reload hands over other ones.  All borrowed. */
struct admin_sources {
    const struct config *config;
    struct authority *const *authorities;
    size_t authority_n;
    struct service_pool *pool;
    struct ocsp_pool *ocsp;
    const struct http_server *scep;
    const struct api_http *api; /* NULL: there is none */
    int64_t tls_from, tls_until; /* of the API's certificate; 0: it has none */
    struct outside_credential credential;
};

struct admin_options {
    struct event_base *base; /* all borrowed */
    struct store *store;
    struct metrics *metrics;
    const struct log *log;
    const char *version;
    unsigned lacks; /* of the confinement, enum confine_lack bits */
};

struct admin;
/* Starts to look at the store.  `fd` is bound by http_bind and taken, -1: without a listener (admin.port is 0).  Loop
 * thread only, as all here. */
bool admin_new(const struct admin_options *o, const struct admin_sources *s, int fd, struct admin **out, struct err *err);
void admin_use(struct admin *a, const struct admin_sources *s);
/* The same that /healthz tells. */
void admin_health(struct admin *a, int64_t now, struct health *out);
void admin_survey(struct admin *a, struct survey *out);
int admin_port(const struct admin *a); /* -1: none */
/* /readyz and /healthz tell from now on that the end is near. */
void admin_drain(struct admin *a);
void admin_free(struct admin *a); /* NULL allowed */
