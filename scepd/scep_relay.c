#include "scepd/scep_relay.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "base/text.h"
#include "outside/outside.h"
#include "pkcs7/inspect.h"

#define IDENTIFIER_MAX 256 /* octets of what a client sends along with GetCACert */

static const char *const operation_names[] = {[RELAY_CAPS] = "GetCACaps",
                                              [RELAY_CA_CERT] = "GetCACert",
                                              [RELAY_NEXT_CA_CERT] = "GetNextCACert",
                                              [RELAY_PKI] = "PKIOperation"};

/* One request on its way.  The loop makes it and answers it; in between only the thread of outside/
 * has it. */
struct relay_call {
    struct scep_relay *relay;
    struct relay_call *next;
    struct http_request *request;
    enum relay_operation op;
    char upstream[64];
    struct buf message;           /* of a PKIOperation, for what is told of it */
    struct store_attempt attempt; /* what is known so far */
    int64_t since_us;             /* monotonic */
    struct outside_answer answer;
    enum reason reason; /* REASON_NONE: a useful answer */
};

struct scep_relay {
    struct relay_needs needs;
    int wake; /* eventfd */
    struct event *woken;
    unsigned sent_away;
    struct log_limit limit[METRIC_RESULTS]; /* each result for itself, and what was issued */
    pthread_mutex_t lock;
    struct relay_call *first, *last; /* answered, in order */
};

static int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void call_free(struct relay_call *c)
{
    buf_clear(&c->message);
    outside_answer_clear(&c->answer);
    free(c);
}

/* ---- what is known of the messages; on the thread of outside/ ---- */

static void attribute_text(const struct inspected_signed *i, enum scep_attribute a, char *out,
                           size_t cap)
{
    const struct inspected_attribute *v = &i->attribute[a];
    text_printable(view_of(v->value, v->n), out, cap);
}

/* RFC 8894 section 3.2.1.2 */
static const char *message_type(const char *number)
{
    static const struct {
        const char *number, *name;
    } known[] = {{"19", "PKCSReq"},
                 {"17", "RenewalReq"},
                 {"20", "CertPoll"},
                 {"21", "GetCert"},
                 {"22", "GetCRL"}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].number, number) == 0)
            return known[i].name;
    return "PKIOperation";
}

static void note_question(struct relay_call *c)
{
    struct inspected_signed i = {.der = false};
    struct err ignored = {0};
    struct store_attempt *a = &c->attempt;
    char number[16];
    if (c->op != RELAY_PKI || !inspect_signed(buf_view(&c->message), NULL, 0, &i, &ignored))
        return;
    attribute_text(&i, ATTR_MESSAGE_TYPE, number, sizeof number);
    snprintf(a->operation, sizeof a->operation, "%s", message_type(number));
    attribute_text(&i, ATTR_TRANSACTION_ID, a->transaction, sizeof a->transaction);
    snprintf(a->digest, sizeof a->digest, "%.15s", i.digest);
    inspected_signed_clear(&i);
}

/* Such an answer is none. */
static void no_answer(struct relay_call *c, const char *why)
{
    c->reason = REASON_UPSTREAM_UNAVAILABLE;
    snprintf(c->attempt.detail, sizeof c->attempt.detail, "upstream %s answered %.200s",
             c->upstream, why);
}

/* RFC 8894 section 3.2.1.3 and 3.2.1.4: the status is a signed attribute, readable by anybody. */
static void note_status(struct relay_call *c, const struct inspected_signed *i)
{
    struct store_attempt *a = &c->attempt;
    char status[8] = "", fail[8] = "", text[160] = "";
    attribute_text(i, ATTR_PKI_STATUS, status, sizeof status);
    attribute_text(i, ATTR_FAIL_INFO, fail, sizeof fail);
    attribute_text(i, ATTR_FAIL_TEXT, text, sizeof text);
    if (strcmp(status, "0") == 0) {
        a->result = ATTEMPT_ISSUED;
        snprintf(a->detail, sizeof a->detail, "upstream %s: SUCCESS", c->upstream);
    } else if (strcmp(status, "3") == 0) {
        a->result = ATTEMPT_PENDING;
        snprintf(a->detail, sizeof a->detail, "upstream %s: PENDING", c->upstream);
    } else if (strcmp(status, "2") == 0) {
        c->reason = REASON_UPSTREAM_REFUSED;
        a->result = ATTEMPT_REFUSED;
        a->fail_info = fail[0] >= '0' && fail[0] <= '4' && !fail[1] ? fail[0] - '0' : -1;
        snprintf(a->detail, sizeof a->detail, "upstream %s: FAILURE, failInfo %.7s%s%.150s",
                 c->upstream, fail[0] ? fail : "none", text[0] ? ", " : "", text);
    } else {
        no_answer(c, "with no pkiStatus that there is");
    }
}

/* A cache, or who plays old answers back, could say that another device's certificate is this one's
 * (RFC 8894 section 3.2.1.1). */
static bool of_this_question(const struct relay_call *c, const struct inspected_signed *i)
{
    char transaction[sizeof c->attempt.transaction];
    attribute_text(i, ATTR_TRANSACTION_ID, transaction, sizeof transaction);
    return !c->attempt.transaction[0] || !transaction[0] ||
           strcmp(transaction, c->attempt.transaction) == 0;
}

static void note_answer(struct relay_call *c)
{
    struct inspected_signed i = {.der = false};
    struct err why = {0};
    char said[200];
    if (!inspect_signed(buf_view(&c->answer.body), NULL, 0, &i, &why)) {
        snprintf(said, sizeof said, "with no SCEP message: %.160s", why.text);
        no_answer(c, said);
        return;
    }
    if (of_this_question(c, &i))
        note_status(c, &i);
    else
        no_answer(c, "for another transaction");
    inspected_signed_clear(&i);
}

/* ---- answers ---- */

/* Types that SCEP has; a page or a script of the upstream is none of what a device should get from
 * this address. */
static const char *content_type(const struct relay_call *c)
{
    static const char *const known[] = {
        "application/x-pki-message",           "application/x-x509-ca-cert",
        "application/x-x509-ca-ra-cert",       "application/x-x509-next-ca-cert",
        "application/x-x509-ca-ra-cert-chain", "text/plain"};
    size_t n = strcspn(c->answer.content_type, "; \t");
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strlen(known[i]) == n && strncasecmp(known[i], c->answer.content_type, n) == 0)
            return known[i];
    return "application/octet-stream";
}

/* What the upstream's answer is worth.  4xx is its word about the request and goes back; 5xx is
 * none. */
static void judge(struct relay_call *c)
{
    const struct outside_answer *o = &c->answer;
    struct store_attempt *a = &c->attempt;
    a->result = ATTEMPT_REPEATED;
    a->status = (uint32_t)o->status;
    if (o->result != OUTSIDE_ANSWERED) {
        c->reason = REASON_UPSTREAM_UNAVAILABLE;
        snprintf(a->detail, sizeof a->detail, "upstream %s: %.240s", c->upstream, o->text);
    } else if (o->status != 200) {
        c->reason = o->status >= 400 && o->status < 500 ? REASON_UPSTREAM_REFUSED
                                                        : REASON_UPSTREAM_UNAVAILABLE;
        snprintf(a->detail, sizeof a->detail, "upstream %s: HTTP %d", c->upstream, o->status);
    } else if (strcasecmp(content_type(c), "application/octet-stream") == 0 &&
               strncasecmp(o->content_type, "text/", 5) == 0) {
        c->reason = REASON_UPSTREAM_UNAVAILABLE;
        snprintf(a->detail, sizeof a->detail, "upstream %s answered with %.100s", c->upstream,
                 o->content_type);
    } else if (c->op == RELAY_PKI) {
        note_answer(c);
    } else {
        snprintf(a->detail, sizeof a->detail, "upstream %s answered", c->upstream);
    }
    if (c->reason == REASON_UPSTREAM_UNAVAILABLE) {
        a->result = ATTEMPT_FAILED;
        a->status = 503;
    } else if (c->reason == REASON_UPSTREAM_REFUSED) {
        a->result = ATTEMPT_REFUSED;
    }
    snprintf(a->reason, sizeof a->reason, "%s", reason_info(c->reason)->code);
}

static void reply(struct scep_relay *r, struct relay_call *c)
{
    char seconds[8];
    struct http_reply out = {
        .status = (int)c->attempt.status,
        .header = {{"Cache-Control", "no-store"}, {"X-Content-Type-Options", "nosniff"}}};
    if (c->attempt.status == 200) {
        out.content_type = content_type(c);
        out.body = buf_view(&c->answer.body);
        http_reply(c->request, &out);
        return;
    }
    static const char busy[] = "the server behind this address gives no answer: try again later\n",
                      no[] = "the server behind this address has refused it\n";
    out.content_type = "text/plain";
    out.body = view_str(c->attempt.status == 503 ? busy : no);
    snprintf(seconds, sizeof seconds, "%u", 5 + r->sent_away++ % 6);
    if (c->attempt.status == 503) {
        out.header[2].name = "Retry-After";
        out.header[2].value = seconds;
    }
    http_reply(c->request, &out);
}

static enum metric_result result_of(const struct relay_call *c)
{
    return c->reason == REASON_NONE                   ? METRIC_ANSWERED
           : c->reason == REASON_UPSTREAM_UNAVAILABLE ? METRIC_FAILED
                                                      : METRIC_REFUSED;
}

/* Questions that anybody may ask take no line from what only a device gets. */
static struct log_limit *limit_of(struct scep_relay *r, const struct relay_call *c)
{
    return &r->limit[c->attempt.result == ATTEMPT_ISSUED ? METRIC_ISSUED : result_of(c)];
}

static void tell(struct scep_relay *r, struct relay_call *c)
{
    const struct store_attempt *a = &c->attempt;
    struct log_line l;
    if (!log_limit_pass(limit_of(r, c), r->needs.log, time(NULL))) {
        metrics_log_dropped(r->needs.metrics, 1);
        return;
    }
    log_begin(&l, r->needs.log, c->reason ? LOG_LEVEL_NOTICE : LOG_LEVEL_INFO, "scep.relayed");
    log_str(&l, "result",
            c->reason == REASON_NONE                   ? "answered"
            : c->reason == REASON_UPSTREAM_UNAVAILABLE ? "failed"
                                                       : "refused");
    if (c->reason)
        log_str(&l, "reason", a->reason);
    log_str(&l, "endpoint", a->endpoint);
    log_str(&l, "upstream", c->upstream);
    log_str(&l, "op", a->operation);
    log_str(&l, "tx", a->transaction);
    log_str(&l, "peer", a->peer);
    log_str(&l, "agent", a->agent);
    log_int(&l, "status", a->status);
    log_int(&l, "in", (int64_t)c->message.n);
    log_int(&l, "out", (int64_t)c->answer.body.n);
    log_ms(&l, "ms", (double)(now_us() - c->since_us) / 1e3);
    log_end(&l, "%s", a->detail);
}

static void count(struct scep_relay *r, struct relay_call *c)
{
    const struct metric_request m = {.endpoint = c->attempt.endpoint,
                                     .template_name = "",
                                     .operation = metrics_operation(c->attempt.operation),
                                     .result = result_of(c),
                                     .reason = c->reason,
                                     .seconds = (double)(now_us() - c->since_us) / 1e6};
    metrics_request(r->needs.metrics, &m);
}

/* On the loop.  GETs that were answered are not kept, as with other endpoints. */
static void finish(struct scep_relay *r, struct relay_call *c)
{
    struct store_attempt *a = &c->attempt;
    a->ms = (uint32_t)((now_us() - c->since_us) / 1000);
    reply(r, c);
    count(r, c);
    trail_begin(&a->trail, CHECK_HTTP);
    trail_pass(&a->trail, "%s %s", a->method, operation_names[c->op]);
    trail_begin(&a->trail, CHECK_UPSTREAM);
    if (c->reason)
        trail_stop(&a->trail, "%s", a->detail);
    else
        trail_pass(&a->trail, "%s", a->detail);
    if (c->op == RELAY_PKI || c->reason)
        attempts_note(r->needs.attempts, a);
    tell(r, c);
    call_free(c);
}

/* ---- between the threads ---- */

static void on_answer(void *ctx, struct outside_answer *a)
{
    struct relay_call *c = ctx;
    struct scep_relay *r = c->relay;
    const uint64_t one = 1;
    c->answer = *a;
    *a = (struct outside_answer){.status = 0};
    note_question(c);
    judge(c);
    pthread_mutex_lock(&r->lock);
    if (r->last)
        r->last->next = c;
    else
        r->first = c;
    r->last = c;
    pthread_mutex_unlock(&r->lock);
    if (write(r->wake, &one, sizeof one) != sizeof one)
        return; /* the counter is full: the loop is to wake up already */
}

static struct relay_call *take_all(struct scep_relay *r)
{
    pthread_mutex_lock(&r->lock);
    struct relay_call *all = r->first;
    r->first = r->last = NULL;
    pthread_mutex_unlock(&r->lock);
    return all;
}

static void on_woken(evutil_socket_t fd, short what, void *relay)
{
    uint64_t number;
    struct relay_call *c, *next;
    if (read(fd, &number, sizeof number) != sizeof number)
        return;
    for (c = take_all(relay); c; c = next) {
        next = c->next;
        finish(relay, c);
    }
}

bool scep_relay_new(const struct relay_needs *n, struct scep_relay **out, struct err *err)
{
    struct scep_relay *r = calloc(1, sizeof *r);
    if (!r)
        return err_memory(err);
    r->needs = *n;
    pthread_mutex_init(&r->lock, NULL);
    r->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (r->wake < 0) {
        err_errno(err, "cannot make an eventfd");
        scep_relay_free(r);
        return false;
    }
    r->woken = event_new(n->base, r->wake, EV_READ | EV_PERSIST, on_woken, r);
    if (!r->woken || event_add(r->woken, NULL) != 0) {
        scep_relay_free(r);
        return err_memory(err);
    }
    *out = r;
    return true;
}

void scep_relay_free(struct scep_relay *r)
{
    if (!r)
        return;
    for (struct relay_call *c = take_all(r), *next; c; c = next) {
        next = c->next;
        call_free(c);
    }
    if (r->woken)
        event_free(r->woken);
    if (r->wake >= 0)
        close(r->wake);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

void scep_relay_tick(struct scep_relay *r, int64_t now)
{
    for (int i = 0; i < METRIC_RESULTS; i++)
        log_limit_flush(&r->limit[i], r->needs.log, now);
}

/* ---- questions ---- */

static bool append_escaped(struct buf *out, struct view v)
{
    bool ok = true;
    for (size_t i = 0; ok && i < v.n; i++) {
        uint8_t c = v.p[i];
        bool plain = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') ||
                     (c && strchr("-._~", c));
        ok = plain ? buf_append(out, &c, 1) : buf_printf(out, "%%%02X", c);
    }
    return ok;
}

/* base64 as a query wants it (RFC 8894 section 4.1) */
static bool append_message(struct buf *out, struct view der)
{
    struct buf text = {0};
    bool ok = der.n < INT32_MAX / 2 && buf_reserve(&text, (der.n + 2) / 3 * 4 + 1);
    if (ok) {
        int n = EVP_EncodeBlock(text.p, der.p, (int)der.n);
        text.n = n > 0 ? (size_t)n : 0;
    }
    ok = ok && append_escaped(out, buf_view(&text));
    buf_clear(&text);
    return ok;
}

/* Written anew from what was understood: nothing of the client's own query goes on. */
static bool put_suffix(struct buf *out, enum relay_operation op, bool post, struct view argument)
{
    bool ok = buf_printf(out, "?operation=%s", operation_names[op]);
    if (ok && op == RELAY_PKI && !post)
        ok = buf_append_str(out, "&message=") && append_message(out, argument);
    else if (ok && op != RELAY_PKI && argument.n > 0)
        ok = buf_append_str(out, "&message=") && append_escaped(out, argument);
    return ok && buf_append(out, "", 1);
}

static void begin_attempt(struct store_attempt *a, const struct http_request *r,
                          const struct config_endpoint *e, enum relay_operation op)
{
    const char *agent = http_header(r, "User-Agent");
    a->at = time(NULL);
    a->fail_info = -1;
    snprintf(a->peer, sizeof a->peer, "%s", http_peer(r));
    text_printable(view_str(agent ? agent : ""), a->agent, sizeof a->agent);
    snprintf(a->endpoint, sizeof a->endpoint, "%s", e->path);
    snprintf(a->method, sizeof a->method, "%s", http_method_name(http_method(r)));
    snprintf(a->operation, sizeof a->operation, "%s", operation_names[op]);
}

/* False: nobody will call back, and `c` knows why. */
static bool ask(struct scep_relay *r, struct relay_call *c, struct view argument)
{
    struct buf suffix = {0};
    struct err err = {0};
    bool post = http_method(c->request) == HTTP_POST && c->op == RELAY_PKI;
    struct outside_ask q = {.kind = OUTSIDE_UPSTREAM,
                            .name = c->upstream,
                            .post = post,
                            .content_type = post ? "application/x-pki-message" : NULL,
                            .body = post ? argument : view_of(NULL, 0),
                            .repeatable = c->op != RELAY_PKI};
    bool ok = put_suffix(&suffix, c->op, post, argument) &&
              (c->op != RELAY_PKI || buf_append(&c->message, argument.p, argument.n));
    if (!ok)
        err_memory(&err);
    q.suffix = (const char *)suffix.p;
    if (ok && !r->needs.outside)
        ok = err_set(&err, ERR_BUSY, "nobody here can ask it: scepd must be restarted");
    ok = ok && outside_call(r->needs.outside, &q, on_answer, c, &err);
    buf_clear(&suffix);
    if (!ok)
        snprintf(c->answer.text, sizeof c->answer.text, "%.250s", err.text);
    return ok;
}

void scep_relay_request(struct scep_relay *r, struct http_request *request,
                        const struct config_endpoint *e, enum relay_operation op,
                        struct view argument)
{
    struct relay_call *c = calloc(1, sizeof *c);
    if (!c) {
        http_reply_text(request, 503, "the server is busy: try again later");
        return;
    }
    c->relay = r;
    c->request = request;
    c->op = op;
    c->since_us = now_us();
    memcpy(c->upstream, e->upstream, sizeof c->upstream);
    begin_attempt(&c->attempt, request, e, op);
    if (op != RELAY_PKI && argument.n > IDENTIFIER_MAX)
        argument.n = 0; /* no server has an identifier like that */
    if (op == RELAY_PKI)
        attempts_followed(r->needs.attempts, http_peer(request));
    if (ask(r, c, argument))
        return;
    c->answer.result = OUTSIDE_BUSY;
    judge(c);
    finish(r, c);
}
