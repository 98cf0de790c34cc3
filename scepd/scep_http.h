/* SCEP over HTTP: takes whole requests from http.h, answers from memory what needs no thought, hands PKIOperations to
 * the service pool and sends what comes back.  Loop thread only, but for scep_http_done. */
#pragma once

#include "scepd/attempts.h"
#include "http/http.h"
#include "scepd/job_queue.h"
#include "scepd/logger.h"
#include "scepd/metrics.h"
#include "scepd/outbox.h"
#include "scepd/routes.h"
#include "scepd/scep_relay.h"
#include "scepd/upkeep.h"

struct scep_http {
    /* all borrowed; those up to `upkeep` may be exchanged between two requests */
    const struct routes *routes;
    const struct scep_endpoint *endpoints;
    struct authority *const *authorities;
    const struct enroll_context *enroll;
    struct service_pool *pool;
    struct upkeep *upkeep;
    const struct service_ops *ops;
    struct scep_relay *relay;               /* for endpoints with an upstream; NULL: there are none */
    struct outbox *outbox;                  /* NULL: nobody is told of refusals */
    struct attempts *attempts;              /* NULL: none are kept */
    const struct log *log;
    struct metrics *metrics;                /* NULL: nothing is counted */
    /* private */
    struct log_limit refused_limit, answered_limit;
    struct log_limit message_limit[METRIC_RESULTS]; /* of answers to SCEP messages, each result for itself */
    unsigned sent_away;                     /* answers with Retry-After */
    struct {
        const struct scep_endpoint *endpoint; /* NULL: none */
        enum metric_operation operation;
        int64_t since_us;                     /* monotonic */
    } asked;                                /* what is being answered, for counting */
    struct job_queue finished;
    int wake;                               /* eventfd */
    struct event *woken;
};

/* `ops` and `log` are set before; the other fields before the first request. */
bool scep_http_init(struct scep_http *s, struct event_base *base, struct err *err);
void scep_http_clear(struct scep_http *s);
/* For http_server_new, with the struct as context. */
void scep_http_request(void *scep_http, struct http_request *r);
void scep_http_refused(void *scep_http, const char *peer, int status, const char *why);
/* For service_options: done, with the struct as context.  Any thread. */
void scep_http_done(void *scep_http, struct service_job *job);
/* Sends what has come back and waits to be sent; the loop does so by itself soon. */
void scep_http_answer(struct scep_http *s);
/* Once a second: tells about log lines that were left out. */
void scep_http_tick(struct scep_http *s, int64_t now);
