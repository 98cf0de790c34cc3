#include "scepd/scep_http.h"

#include <stdio.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"
#include "http/http_file.h"

static const char type_text[] = "text/plain";

/* Seconds, of a 503: long enough for a queue to empty, short enough for somebody who waits; not the
 * same for all, or a fleet that was sent away would come back all at once. */
#define RETRY_AFTER 5
#define RETRY_SPREAD 6

#define KNOWN_OPERATIONS "GetCACaps, GetCACert, GetNextCACert and PKIOperation"

/* ---- counting ---- */

static int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void asks(struct scep_http *s, const struct scep_endpoint *e, const char *operation,
                 int64_t since_us)
{
    s->asked.endpoint = e;
    s->asked.operation = metrics_operation(operation);
    s->asked.since_us = since_us;
}

/* What `asks` said last was answered. */
static void count(struct scep_http *s, enum metric_result result, enum reason reason)
{
    const struct scep_endpoint *e = s->asked.endpoint;
    const struct metric_request r = {.endpoint = e ? e->config->path : "",
                                     .template_name = e ? e->config->template_name : "",
                                     .operation = s->asked.operation,
                                     .result = result,
                                     .reason = reason,
                                     .seconds = (double)(now_us() - s->asked.since_us) / 1e6};
    metrics_request(s->metrics, &r);
}

static enum metric_result result_of(const struct scep_answer *a)
{
    if (a->fault)
        return METRIC_FAILED;
    if (a->verdict == ENROLL_ISSUE)
        return a->renewal ? METRIC_RENEWED : METRIC_ISSUED;
    if (a->verdict == ENROLL_REJECT)
        return METRIC_REFUSED;
    return a->verdict == ENROLL_PEND ? METRIC_PENDING : METRIC_REPEATED;
}

/* Lines that anybody can provoke. */
static bool may_log(struct scep_http *s, struct log_limit *limit)
{
    bool pass = log_limit_pass(limit, s->log, time(NULL));
    if (!pass)
        metrics_log_dropped(s->metrics, 1);
    return pass;
}

/* ---- log lines, and what is kept ---- */

static const char *const methods[] = {"GET", "HEAD", "POST"};

static void request_fields(struct log_line *l, const struct http_request *r)
{
    log_str(l, "method", methods[http_method(r)]);
    log_str(l, "path", http_path(r));
    log_str(l, "peer", http_peer(r));
    log_str(l, "agent", http_header(r, "User-Agent"));
}

/* Of what never reached a worker.  `endpoint`: the path asked for. */
static void attempt_of(const struct http_request *r, const char *operation, int status,
                       struct store_attempt *out)
{
    const char *agent = http_header(r, "User-Agent");
    *out = (struct store_attempt){.at = time(NULL), .status = (uint32_t)status, .fail_info = -1};
    snprintf(out->peer, sizeof out->peer, "%s", http_peer(r));
    text_printable(view_str(agent ? agent : ""), out->agent, sizeof out->agent);
    text_printable(view_str(http_path(r)), out->endpoint, sizeof out->endpoint);
    snprintf(out->method, sizeof out->method, "%s", methods[http_method(r)]);
    snprintf(out->operation, sizeof out->operation, "%s", operation);
}

static void refuse_attempt(struct scep_http *s, struct store_attempt *a, enum reason reason,
                           const char *detail)
{
    a->result = reason == REASON_BUSY ? ATTEMPT_FAILED : ATTEMPT_REFUSED;
    snprintf(a->reason, sizeof a->reason, "%s", reason_info(reason)->code);
    text_printable(view_str(detail), a->detail, sizeof a->detail);
    trail_begin(&a->trail, CHECK_HTTP);
    trail_stop(&a->trail, "%s", a->detail);
    attempts_note(s->attempts, a);
}

static void log_refused(struct scep_http *s, const struct http_request *r, int status,
                        enum reason reason, const char *detail)
{
    struct log_line l;
    struct store_attempt attempt;
    if (s->attempts) {
        attempt_of(r, "", status, &attempt);
        refuse_attempt(s, &attempt, reason, detail);
    }
    count(s, status >= 500 ? METRIC_FAILED : METRIC_REFUSED, reason);
    if (!may_log(s, &s->refused_limit))
        return;
    log_begin(&l, s->log, LOG_LEVEL_NOTICE, "http.refused");
    log_str(&l, "reason", reason_info(reason)->code);
    request_fields(&l, r);
    log_int(&l, "status", status);
    log_end(&l, "%s", detail);
}

/* What was answered from memory. */
static void log_answered(struct scep_http *s, const struct http_request *r, const char *what,
                         size_t n)
{
    struct log_line l;
    if (s->asked.endpoint)
        count(s, METRIC_ANSWERED, REASON_NONE);
    if (!may_log(s, &s->answered_limit))
        return;
    log_begin(&l, s->log, LOG_LEVEL_INFO, "http.answered");
    log_str(&l, "op", what);
    request_fields(&l, r);
    log_int(&l, "status", 200);
    log_int(&l, "out", (int64_t)n);
    log_end(&l, "%s", "");
}

/* The limits of the HTTP server, told by the status with which it ends a request, or by its words.
 */
static void count_limit(struct scep_http *s, int status, const char *why)
{
    if (why == http_too_much_kept)
        metrics_http_limited(s->metrics, METRIC_MAX_BUFFERED);
    else if (status == 414 || status == 431 || why == http_header_far_too_long)
        metrics_http_limited(s->metrics, METRIC_MAX_HEADER);
    else if (status == 408)
        metrics_http_limited(s->metrics, METRIC_REQUEST_TIMEOUT);
    else if (status == 413)
        metrics_http_limited(s->metrics, METRIC_MAX_BODY);
    else if (status == 503)
        metrics_http_limited(s->metrics, METRIC_MAX_CONNECTIONS);
}

static enum reason reason_of(int status, const char *why)
{
    if (why == http_tls_hello)
        return REASON_HTTP_TLS;
    if (status == 413 || status == 414 || status == 431 || why == http_header_far_too_long)
        return REASON_HTTP_TOO_LONG;
    if (status == 405 || status == 501)
        return REASON_HTTP_METHOD;
    return status == 503 ? REASON_BUSY : REASON_HTTP_MALFORMED;
}

void scep_http_refused(void *scep_http, const char *peer, int status, const char *why)
{
    struct scep_http *s = scep_http;
    struct log_line l;
    enum reason reason = reason_of(status, why);
    struct store_attempt attempt = {.at = time(NULL), .status = (uint32_t)status, .fail_info = -1};
    snprintf(attempt.peer, sizeof attempt.peer, "%s", peer);
    refuse_attempt(s, &attempt, reason, why);
    asks(s, NULL, "", now_us());
    count(s, status == 503 ? METRIC_FAILED : METRIC_REFUSED, reason);
    count_limit(s, status, why);
    if (!may_log(s, &s->refused_limit))
        return;
    log_begin(&l, s->log, LOG_LEVEL_NOTICE, "http.refused");
    log_str(&l, "reason", reason_info(reason)->code);
    log_str(&l, "peer", peer);
    log_int(&l, "status", status);
    log_end(&l, "%s", why);
}

void scep_http_tick(struct scep_http *s, int64_t now)
{
    log_limit_flush(&s->refused_limit, s->log, now);
    log_limit_flush(&s->answered_limit, s->log, now);
    for (int i = 0; i < METRIC_RESULTS; i++)
        log_limit_flush(&s->message_limit[i], s->log, now);
}

/* ---- replies ---- */

static const char *retry_after(struct scep_http *s, char out[8])
{
    snprintf(out, 8, "%u", RETRY_AFTER + s->sent_away++ % RETRY_SPREAD);
    return out;
}

static void reply_busy(struct scep_http *s, struct http_request *r, const char *detail)
{
    static const char text[] = "the server is busy: try again later\n";
    char seconds[8];
    log_refused(s, r, 503, REASON_BUSY, detail);
    struct http_reply reply = {
        .status = 503,
        .content_type = type_text,
        .body = view_str(text),
        .header = {{"Retry-After", retry_after(s, seconds)}, {"Cache-Control", "no-store"}}};
    http_reply(r, &reply);
}

static void reply_method(struct scep_http *s, struct http_request *r, const char *allow)
{
    static const char text[] = "the method is not allowed here\n";
    char detail[64];
    snprintf(detail, sizeof detail, "allowed here: %s", allow);
    log_refused(s, r, 405, REASON_HTTP_METHOD, detail);
    struct http_reply reply = {.status = 405,
                               .content_type = type_text,
                               .body = view_str(text),
                               .header = {{"Allow", allow}, {"Cache-Control", "no-store"}}};
    http_reply(r, &reply);
}

static void reply_not_found(struct scep_http *s, struct http_request *r)
{
    log_refused(s, r, 404, REASON_HTTP_PATH, reason_info(REASON_HTTP_PATH)->text);
    http_reply_text(r, 404, "%s", reason_info(REASON_HTTP_PATH)->text);
}

static void reply_memory(struct scep_http *s, struct http_request *r, const char *what,
                         const char *type, const char *cache, struct view body)
{
    log_answered(s, r, what, body.n);
    struct http_reply reply = {
        .status = 200, .content_type = type, .body = body, .header = {{"Cache-Control", cache}}};
    http_reply(r, &reply);
}

/* RFC 8894 section 3.3.4 leaves room for it.  Its bytes are one generation throughout, whatever is
 * published meanwhile: the reference holds them. */
static void reply_crl(struct scep_http *s, struct http_request *r, const struct route *route)
{
    struct published *crl = upkeep_crl_get1(s->upkeep, route->index, route->scope);
    if (!crl && route->scope == STORE_CRL_COMPLETE) {
        reply_busy(s, r, "there is no CRL yet");
        return;
    }
    if (!crl) {
        reply_not_found(s, r);
        return;
    }
    const struct store_crl *c = published_crl(crl);
    log_answered(s, r, "CRL", c->der.n);
    struct http_file f = {.type = "application/pkix-crl",
                          .body = c->der,
                          .release = published_release,
                          .release_ctx = crl,
                          .sha256 = c->sha256,
                          .modified = c->this_update,
                          .expires = c->next_update};
    http_reply_file(r, &f, time(NULL));
}

/* What was brought is handed on also when it has ended: some allow for that, and nobody here can
 * make another. */
static void reply_offline(struct scep_http *s, struct http_request *r, const struct route *route)
{
    bool known;
    struct brought *b = upkeep_brought_get1(s->upkeep, route->index, route->chain, &known);
    if (!b && known) {
        reply_not_found(s, r);
        return;
    }
    if (!b) {
        reply_busy(s, r, "what was brought cannot be read yet");
        return;
    }
    const struct store_offline *o = brought_crl(b);
    log_answered(s, r, "CRL", o->der.n);
    struct http_file f = {.type = "application/pkix-crl",
                          .body = buf_view(&o->der),
                          .release = brought_release,
                          .release_ctx = b,
                          .sha256 = brought_sha256(b),
                          .modified = o->this_update,
                          .expires = o->next_update};
    http_reply_file(r, &f, time(NULL));
}

static void reply_certificate(struct scep_http *s, struct http_request *r,
                              const struct route *route)
{
    const struct authority *a = s->authorities[route->index];
    const struct cert *cert = route->chain ? a->chain[route->chain - 1] : a->cert;
    struct http_file f = {.type = "application/pkix-cert",
                          .body = buf_view(&cert->der),
                          .sha256 = cert->sha256,
                          .modified = cert->not_before,
                          .expires = 0};
    log_answered(s, r, "certificate", cert->der.n);
    http_reply_file(r, &f, time(NULL));
}

/* ---- operations (RFC 8894 section 4.1) ---- */

enum operation { OP_NONE, OP_CAPS, OP_CA_CERT, OP_NEXT_CA_CERT, OP_PKI, OP_UNKNOWN };

/* `text` gets what was asked for, cut if needed (RFC 8894 section 3.5). */
static enum operation operation_of(const struct http_request *r, char text[64])
{
    static const struct {
        const char *name;
        enum operation operation;
    } known[] = {{"GetCACaps", OP_CAPS},
                 {"GetCACert", OP_CA_CERT},
                 {"GetNextCACert", OP_NEXT_CA_CERT},
                 {"PKIOperation", OP_PKI}};
    struct buf name = {0};
    enum operation found = OP_NONE;
    *text = '\0';
    if (http_query_get(http_raw_query(r), "operation", &name) && name.n > 0) {
        found = OP_UNKNOWN;
        text_printable(buf_view(&name), text, 64);
        for (size_t i = 0; i < sizeof known / sizeof *known; i++)
            if (name.n == strlen(known[i].name) &&
                strncasecmp((char *)name.p, known[i].name, name.n) == 0)
                found = known[i].operation;
    }
    buf_clear(&name);
    return found;
}

/* A GET of a PKIOperation carries the message in its query; clients encode it in many ways. */
static bool message_of_get(const struct http_request *r, struct buf *out, struct err *err)
{
    struct buf text = {0};
    bool ok;
    if (http_query_get(http_raw_query(r), "message", &text))
        ok = http_query_base64(buf_view(&text), out, err);
    else
        ok = err_refuse(err, REASON_HTTP_MALFORMED,
                        "there is no parameter \"message\", or a bad escape is in it");
    buf_clear(&text);
    return ok;
}

/* DER begins with a SEQUENCE; some clients post base64 instead. */
static bool message_of_post(const struct http_request *r, struct buf *out, struct err *err)
{
    struct view body = http_body(r);
    struct err not_base64 = {0};
    if (body.n == 0)
        return err_refuse(err, REASON_HTTP_MALFORMED, "the body is empty");
    if (body.p[0] != 0x30 && http_query_base64(body, out, &not_base64))
        return true;
    buf_reset(out);
    return buf_append(out, body.p, body.n) || err_memory(err);
}

static void pki_operation(struct scep_http *s, struct http_request *r,
                          const struct scep_endpoint *e)
{
    struct err err = {0};
    struct service_job *job =
        service_job_new(e, s->enroll, http_peer(r), http_header(r, "User-Agent"), r);
    if (!job) {
        reply_busy(s, r, "out of memory");
        return;
    }
    job->call.method = methods[http_method(r)];
    attempts_followed(s->attempts, http_peer(r));
    bool ok = http_method(r) == HTTP_POST ? message_of_post(r, &job->message, &err)
                                          : message_of_get(r, &job->message, &err);
    if (ok && service_pool_submit(s->pool, job))
        return;
    if (ok)
        metrics_queue_rejected(s->metrics);
    if (ok || err.kind != ERR_REFUSED) {
        reply_busy(s, r, ok ? "the queue is full" : err.text);
    } else {
        log_refused(s, r, 400, err.reason, err.text);
        http_reply_text(r, 400, "%s", err.text);
    }
    service_job_free(job, s->ops);
}

static void refuse_operation(struct scep_http *s, struct http_request *r, const char *asked)
{
    log_refused(s, r, 400, REASON_HTTP_OPERATION, *asked ? asked : "no operation");
    http_reply_text(r, 400,
                    "%s: this is a SCEP endpoint, it knows the operations " KNOWN_OPERATIONS,
                    *asked ? "unknown operation" : "no operation");
}

/* Devices fetch it first; those that do not trust it go away without a word. */
static void note_fetched(struct scep_http *s, const struct http_request *r)
{
    struct store_attempt attempt;
    if (!s->attempts)
        return;
    attempt_of(r, "GetCACert", 200, &attempt);
    attempts_fetched(s->attempts, &attempt);
}

/* RFC 8894 sections 4.7 and 4.7.1 */
static void next_ca(struct scep_http *s, struct http_request *r, const struct scep_endpoint *e)
{
    if (e->next_ca_cert.n > 0) {
        reply_memory(s, r, "GetNextCACert", "application/x-x509-next-ca-cert", "no-store",
                     e->next_ca_cert);
        return;
    }
    log_refused(s, r, 404, REASON_HTTP_OPERATION, "GetNextCACert: there is no next CA certificate");
    http_reply_text(r, 404, "there is no next CA certificate");
}

/* NDES shows a page to whoever opens its address, and administrators look there whether it is
 * alive. */
static const char info_page[] =
    "<HTML><Head><Meta HTTP-Equiv=\"Content-Type\" Content=\"text/html; charset=UTF-8\">"
    "<Title>Network Device Enrollment Service</Title></Head><Body BgColor=#FFFFFF>"
    "<H1>Network Device Enrollment Service</H1>"
    "<P> This is an address of the Simple Certificate Enrollment Protocol (SCEP): devices send "
    "their "
    "certificate requests here. "
    "<P> An enrollment challenge password is to be had from the page <B>mscep_admin</B>, at the "
    "address of the administration, by those who may. </Body></HTML>\n";

/* Was the endpoint asked for by a name that NDES has for it? */
static bool named_as_ndes(const struct http_request *r)
{
    static const char *const names[] = {"/mscep.dll", "/mscep"};
    const char *path = http_path(r);
    size_t n = strlen(path);
    while (n > 0 && path[n - 1] == '/')
        n--;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t k = strlen(names[i]);
        if (n >= k && strncasecmp(path + n - k, names[i], k) == 0)
            return true;
    }
    return false;
}

static const char *methods_of_pki(const struct scep_endpoint *e)
{
    return e->config->post_only ? "POST" : "GET, POST";
}

/* RFC 8894 sections 3.5.2 and 4.2 */
static void get_operation(struct scep_http *s, struct http_request *r,
                          const struct scep_endpoint *e, enum operation op, const char *asked)
{
    switch (op) {
    case OP_CAPS:
        reply_memory(s, r, "GetCACaps", type_text, "no-store", buf_view(&e->caps));
        return;
    case OP_CA_CERT:
        note_fetched(s, r);
        reply_memory(s, r, "GetCACert", e->ca_cert_type, "no-store", buf_view(&e->ca_cert));
        return;
    case OP_NEXT_CA_CERT:
        next_ca(s, r, e);
        return;
    case OP_PKI:
        if (http_method(r) == HTTP_GET && !e->config->post_only)
            pki_operation(s, r, e);
        else
            reply_method(s, r, methods_of_pki(e));
        return;
    case OP_NONE:
        if (http_method(r) != HTTP_POST && !*http_raw_query(r) && named_as_ndes(r)) {
            reply_memory(s, r, "info", "text/html; charset=utf-8", "no-store", view_str(info_page));
            return;
        }
        refuse_operation(s, r, asked);
        return;
    case OP_UNKNOWN:
        refuse_operation(s, r, asked);
        return;
    }
}

/* Everything that can be understood goes on to the upstream. */
static void relay_request(struct scep_http *s, struct http_request *r,
                          const struct scep_endpoint *e, enum operation op, bool post,
                          const char *asked)
{
    struct buf argument = {0};
    struct err err = {0};
    enum relay_operation relayed = RELAY_PKI;
    bool ok = true;
    if (!post && (op == OP_NONE || op == OP_UNKNOWN)) {
        refuse_operation(s, r, asked);
        return;
    }
    if (!post && op == OP_PKI && (http_method(r) != HTTP_GET || e->config->post_only)) {
        reply_method(s, r, methods_of_pki(e));
        return;
    }
    if (post) {
        ok = message_of_post(r, &argument, &err);
    } else if (op == OP_PKI) {
        ok = message_of_get(r, &argument, &err);
    } else {
        relayed = op == OP_CAPS      ? RELAY_CAPS
                  : op == OP_CA_CERT ? RELAY_CA_CERT
                                     : RELAY_NEXT_CA_CERT;
        if (!http_query_get(http_raw_query(r), "message", &argument))
            buf_reset(&argument);
    }
    if (!ok && err.kind == ERR_REFUSED) {
        log_refused(s, r, 400, err.reason, err.text);
        http_reply_text(r, 400, "%s", err.text);
    } else if (!ok || !s->relay) {
        reply_busy(s, r, ok ? "scepd must be restarted to ask an upstream" : err.text);
    } else {
        scep_relay_request(s->relay, r, e->config, relayed, buf_view(&argument));
    }
    buf_clear(&argument);
}

/* RFC 8894 sections 2.9 and 4.3 */
static void endpoint_request(struct scep_http *s, struct http_request *r,
                             const struct scep_endpoint *e)
{
    char asked[64];
    enum operation op = operation_of(r, asked);
    s->asked.endpoint = e;
    s->asked.operation = op == OP_CAPS           ? METRIC_GET_CA_CAPS
                         : op == OP_CA_CERT      ? METRIC_GET_CA_CERT
                         : op == OP_NEXT_CA_CERT ? METRIC_GET_NEXT_CA_CERT
                                                 : METRIC_NO_OPERATION;
    bool from_memory = op == OP_CAPS || op == OP_CA_CERT || op == OP_NEXT_CA_CERT;
    /* A POST is a PKIOperation whatever it says, unless it has no body and asks for something else.
     */
    bool post = http_method(r) == HTTP_POST && !(from_memory && http_body(r).n == 0);
    if (e->config->upstream[0])
        relay_request(s, r, e, op, post, asked);
    else if (post)
        pki_operation(s, r, e);
    else
        get_operation(s, r, e, op, asked);
}

void scep_http_request(void *scep_http, struct http_request *r)
{
    struct scep_http *s = scep_http;
    struct route found;
    const struct route *route = routes_find(s->routes, http_path(r), &found) ? &found : NULL;
    asks(s, NULL, "", now_us());
    if (!route) {
        reply_not_found(s, r);
    } else if (route->kind == ROUTE_ENDPOINT) {
        endpoint_request(s, r, &s->endpoints[route->index]);
    } else if (http_method(r) == HTTP_POST) {
        reply_method(s, r, "GET, HEAD");
    } else if (route->kind == ROUTE_CRL) {
        reply_crl(s, r, route);
    } else if (route->kind == ROUTE_OFFLINE_CRL) {
        reply_offline(s, r, route);
    } else {
        reply_certificate(s, r, route);
    }
}

/* ---- what comes back ---- */

void scep_http_done(void *scep_http, struct service_job *job)
{
    struct scep_http *s = scep_http;
    const uint64_t one = 1;
    if (job_queue_push(&s->finished, job) > 1)
        return; /* who brought the first has woken the loop, which takes all that are there */
    if (write(s->wake, &one, sizeof one) != sizeof one)
        return; /* the counter is full: the loop is to wake up already */
}

/* A certificate always has its line.  Everything else costs its sender little; what is no SCEP
 * message costs nothing, and takes no line from those that are. */
static void log_message(struct scep_http *s, const struct service_job *job)
{
    const struct scep_answer *a = &job->answer;
    enum metric_result result = result_of(a);
    struct log_limit *limit = a->status == 400 ? &s->refused_limit : &s->message_limit[result];
    if (result == METRIC_ISSUED || result == METRIC_RENEWED || may_log(s, limit))
        scep_answer_log(a, &job->call, s->log, service_job_ms(job));
}

static void send_answer(struct scep_http *s, struct service_job *job)
{
    struct http_request *r = job->tag;
    const struct scep_answer *a = &job->answer;
    bool undone = job->expired || job->displaced;
    asks(s, job->call.endpoint, undone ? "" : a->operation, job->submitted_us);
    if (undone) {
        if (job->displaced)
            metrics_queue_rejected(s->metrics);
        reply_busy(s, r,
                   job->displaced ? "the queue is full, most of it by this address"
                                  : "the request waited too long for a worker");
        return;
    }
    struct http_reply reply = {.status = a->status,
                               .content_type = a->content_type,
                               .body = buf_view(&a->body),
                               .header = {{"Cache-Control", "no-store"}}};
    char seconds[8];
    if (a->status == 503) {
        reply.header[1].name = "Retry-After";
        reply.header[1].value = retry_after(s, seconds);
    }
    http_reply(r, &reply);
    count(s, result_of(a), a->reason);
    for (size_t i = 0; i < a->notice_n; i++)
        outbox_note(s->outbox, &job->answer.notice[i]);
    if (s->attempts && !a->recorded) {
        struct store_attempt attempt;
        scep_answer_attempt(a, &job->call, service_job_ms(job), &attempt);
        attempts_note(s->attempts, &attempt);
    }
    log_message(s, job);
}

void scep_http_answer(struct scep_http *s)
{
    struct service_job *job = job_queue_drain(&s->finished), *next;
    for (; job; job = next) {
        next = job->next;
        send_answer(s, job);
        service_job_free(job, s->ops);
    }
}

static void on_woken(evutil_socket_t fd, short what, void *scep_http)
{
    uint64_t count;
    if (read(fd, &count, sizeof count) == sizeof count)
        scep_http_answer(scep_http);
}

bool scep_http_init(struct scep_http *s, struct event_base *base, struct err *err)
{
    job_queue_init(&s->finished, SIZE_MAX);
    s->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (s->wake < 0) {
        job_queue_clear(&s->finished);
        return err_errno(err, "cannot make an eventfd");
    }
    s->woken = event_new(base, s->wake, EV_READ | EV_PERSIST, on_woken, s);
    if (!s->woken || event_add(s->woken, NULL) != 0) {
        scep_http_clear(s);
        return err_memory(err);
    }
    return true;
}

void scep_http_clear(struct scep_http *s)
{
    struct service_job *job = job_queue_drain(&s->finished), *next;
    for (; job; job = next) {
        next = job->next;
        service_job_free(job, s->ops);
    }
    if (s->woken)
        event_free(s->woken);
    s->woken = NULL;
    close(s->wake);
    job_queue_clear(&s->finished);
}
