/* One structured line for every PKIOperation, refused ones included, and what is kept about it. */
#include "scepd/scep_service.h"

#include <stdio.h>
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
    case ENROLL_ASK:
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
    log_str(&l, "device", a->device);
    log_str(&l, "policy", a->policy);
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

/* ---- the attempt ---- */

static enum attempt_result attempt_result(const struct scep_answer *a)
{
    if (a->fault)
        return ATTEMPT_FAILED;
    switch (a->verdict) {
    case ENROLL_ISSUE:
        return a->renewal ? ATTEMPT_RENEWED : ATTEMPT_ISSUED;
    case ENROLL_PEND:
        return ATTEMPT_PENDING;
    case ENROLL_REPEAT:
        return ATTEMPT_REPEATED;
    case ENROLL_ASK:
    case ENROLL_REJECT:
        break;
    }
    return ATTEMPT_REFUSED;
}

/* Cut where it is too long, and never in the middle of a character. */
static void put(char *out, size_t cap, const char *text)
{
    size_t n = strlen(text ? text : "");
    if (n >= cap)
        for (n = cap - 1; n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80;)
            n--;
    memcpy(out, text ? text : "", n);
    out[n] = '\0';
}

#define PUT(field, text) put(out->field, sizeof out->field, text)

void scep_answer_attempt(const struct scep_answer *a, const struct scep_call *call, double ms,
                         struct store_attempt *out)
{
    bool refused = a->fault || a->verdict == ENROLL_REJECT;
    *out = (struct store_attempt){.at = call->now,
                                  .result = attempt_result(a),
                                  .status = (uint32_t)a->status,
                                  .fail_info = -1,
                                  .ms = ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX,
                                  .trail = a->trail};
    PUT(peer, call->peer.address);
    PUT(agent, call->peer.agent);
    PUT(endpoint, call->endpoint->config->path);
    PUT(method, call->method);
    PUT(operation, *a->operation ? a->operation : "PKIOperation");
    PUT(transaction, a->transaction);
    PUT(digest, a->digest);
    PUT(cipher, a->cipher);
    PUT(subject, a->subject);
    PUT(san, a->san);
    PUT(key, a->key);
    memcpy(out->key_hash, a->key_hash, STORE_HASH);
    PUT(signer, a->signer);
    PUT(challenge, a->challenge);
    PUT(request, a->request);
    PUT(device, a->device);
    PUT(policy, a->policy);
    PUT(serial, a->serial);
    PUT(template_name, call->endpoint->config->template_name);
    PUT(detail, a->detail);
    if (refused)
        PUT(reason, reason_info(a->reason)->code);
    else if (a->clock_behind)
        PUT(reason, reason_info(REASON_CLOCK_SKEW)->code);
    if (refused && a->certrep)
        out->fail_info = (int)reason_info(a->reason)->fail_info;
}
