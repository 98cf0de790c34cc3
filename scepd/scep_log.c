/* One structured line for every PKIOperation, refused ones included. */
#include "scepd/scep_service.h"

#include <string.h>

static const char *result_name(const struct scep_answer *a)
{
    if (a->fault)
        return "failed";
    switch (a->verdict) {
    case ENROLL_ISSUE:
        return a->renewal ? "renewed" : "issued";
    case ENROLL_PEND:
        return "pending";
    case ENROLL_REPEAT:
        return "repeated";
    case ENROLL_REJECT:
        return "refused";
    }
    return "?";
}

static enum log_level result_level(const struct scep_answer *a)
{
    return a->fault                      ? LOG_LEVEL_ERROR
           : a->verdict == ENROLL_REJECT ? LOG_LEVEL_NOTICE
                                         : LOG_LEVEL_INFO;
}

void scep_answer_log(const struct scep_answer *a, const struct scep_call *call,
                     const struct log *log, double ms)
{
    struct log_line l;
    log_begin(&l, log, result_level(a), "scep.request");
    log_str(&l, "result", result_name(a));
    if (a->verdict == ENROLL_REJECT)
        log_str(&l, "reason", reason_info(a->reason)->code);
    log_str(&l, "endpoint", call->endpoint->config->path);
    log_str(&l, "op", a->operation);
    log_str(&l, "tx", a->transaction);
    log_str(&l, "subject", a->subject);
    log_str(&l, "serial", a->serial);
    log_str(&l, "challenge", a->challenge);
    log_str(&l, "request", a->request);
    log_str(&l, "template", call->endpoint->config->template_name);
    log_str(&l, "authority", call->endpoint->config->authority);
    log_str(&l, "peer", call->peer.address);
    log_str(&l, "agent", call->peer.agent);
    if (a->odd_message_digest)
        log_str(&l, "tolerated", "odd_message_digest");
    log_int(&l, "status", a->status);
    log_int(&l, "in", (int64_t)call->message.n);
    log_int(&l, "out", (int64_t)a->body.n);
    log_ms(&l, "ms", ms);
    log_end(&l, "%s", a->detail);
}
