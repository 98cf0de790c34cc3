/* OCSP by HTTP (RFC 6960 appendix A.1): GET and POST at /ocsp for all authorities and at /ocsp/NAME[-gN] for each key.
 * What was signed before is answered by the loop, from a cache, as soon as the store says that it is still true; all
 * else goes to the threads of ocsp_pool.h and comes back here.  Loop thread only, but for ocsp_http_done. */
#pragma once

#include <event2/event.h>
#include <sys/queue.h>

#include "http/http.h"
#include "scepd/logger.h"
#include "scepd/metrics.h"
#include "scepd/ocsp_budget.h"
#include "scepd/ocsp_cache.h"
#include "scepd/ocsp_pool.h"
#include "scepd/routes.h"

/* Requests for one certificate without nonce that are being answered: who asks for the same meanwhile waits along. */
#define OCSP_ASK_BUCKETS 256
struct ocsp_ask;
LIST_HEAD(ocsp_asks, ocsp_ask);

/* From one reload to the next; borrowed. */
struct ocsp_serving {
    const struct routes *routes;
    struct authority *const *authorities; /* by index of a route */
    const struct ocsp_world *world;
    struct ocsp_pool *pool;
    int max_age;                          /* seconds that HTTP caches may keep an answer */
    int per_second;                       /* answers signed in a second at most; 0: any number */
    size_t cache;                         /* answers kept at most */
    const uint8_t *keys;                  /* SIGNER_DIGEST octets: equal ones sign with the same keys */
};

struct ocsp_http {
    const struct log *log;
    struct metrics *metrics;              /* NULL: nothing is counted */
    /* private */
    struct ocsp_serving serving;
    struct ocsp_cache *cache;
    uint64_t epoch;                       /* of rules and keys */
    uint8_t keys[SIGNER_DIGEST];
    struct ocsp_rules rules;
    struct ocsp_asks asks[OCSP_ASK_BUCKETS];
    uint64_t secret[2];                   /* of the hash that finds the bucket */
    struct buf der;                       /* of the GET that is being read */
    struct log_limit refused_limit, failed_limit;
    struct ocsp_budget budget;
    char cache_control[80];
    pthread_mutex_t lock;                 /* of `done` */
    struct ocsp_job *done, **done_end;
    int wake;                             /* eventfd */
    struct event *woken;
};

/* `log` and `metrics` are set before. */
bool ocsp_http_init(struct ocsp_http *o, struct event_base *base, struct err *err);
void ocsp_http_clear(struct ocsp_http *o);
/* Before the first request, and between two of them.  False (out of memory): the cache keeps its size. */
bool ocsp_http_use(struct ocsp_http *o, const struct ocsp_serving *s);
/* For http_server_first, with the struct as context: takes what is for an OCSP path. */
bool ocsp_http_request(void *ocsp_http, struct http_request *r);
/* For ocsp_pool_options.  Any thread. */
void ocsp_http_done(void *ocsp_http, struct ocsp_job *jobs);
/* Sends what has come back and waits to be sent; the loop does so by itself soon. */
void ocsp_http_answer(struct ocsp_http *o);
/* Once a second: tells about log lines that were left out, and how much is kept. */
void ocsp_http_tick(struct ocsp_http *o, int64_t now);

/* The request in a GET (RFC 6960 appendix A.1, RFC 5019 section 5): `text` is what follows the path of the responder,
 * percent-encoded base64; slashes before it are passed over.  ERR_REFUSED: it is none. */
bool ocsp_http_decode(const char *text, struct buf *der, struct err *err);
