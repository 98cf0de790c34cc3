/* Counting.  Relaxed atomics: each number is right, and no two need to fit each other. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "scepd/metrics_internal.h"
#include "scepd/survey.h"

/* One that fails may have been a strange request; as many in a row are the signer's fault. */
#define SIGNER_MISSED_MOST 3

static const double request_bounds[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
                                        0.1,   0.25,   0.5,   1,    2.5,   0};
static const double signer_bounds[] = {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005,
                                       0.01,   0.025,   0.1,    0.5,   2.5,    0};
static const double webhook_bounds[] = {0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 0};
static const double record_bounds[] = {1, 2, 4, 8, 16, 32, 64, 0};

const int metric_statuses[METRIC_STATUSES] = {200, 201, 202, 204, 304, 400, 401, 403, 404,
                                              405, 408, 409, 411, 412, 413, 414, 415, 417,
                                              422, 428, 429, 431, 500, 503, 505, 0};
const char *const metric_operation_names[METRIC_OPERATIONS] = {
    "none",   "PKCSReq",   "RenewalReq", "CertPoll",      "GetCert",
    "GetCRL", "GetCACaps", "GetCACert",  "GetNextCACert",
};
const char *const metric_result_names[METRIC_RESULTS] = {
    "issued", "renewed", "pending", "repeated", "answered", "refused", "failed",
};
const char *const metric_limit_names[METRIC_LIMITS] = {"max_connections", "request_timeout",
                                                       "max_header", "max_body", "max_buffered"};

static void add(counter *c, uint64_t n)
{
    atomic_fetch_add_explicit(c, n, memory_order_relaxed);
}

static void observe(struct histogram *h, double value, uint64_t ns)
{
    size_t i = 0;
    while (h->bounds[i] > 0 && value > h->bounds[i])
        i++;
    add(&h->bucket[i], 1);
    add(&h->sum_ns, ns);
}

static void observe_seconds(struct histogram *h, double seconds)
{
    seconds = seconds > 0 ? seconds : 0;
    observe(h, seconds, (uint64_t)(seconds * 1e9));
}

/* ---- servers elsewhere ---- */

void metrics_webhook(struct metrics *m, const char *name, enum outside_result result, int status,
                     double seconds)
{
    if (!m)
        return;
    size_t i = 0, n = atomic_load(&m->webhook_n);
    while (i < n && strcmp(m->webhook_name[i], name) != 0)
        i++;
    if (i == METRIC_WEBHOOKS)
        return;
    if (i == n) {
        snprintf(m->webhook_name[i], sizeof m->webhook_name[i], "%s", name);
        atomic_store(&m->webhook_n, n + 1);
    }
    bool error = result == OUTSIDE_ANSWERED && status >= 500;
    add(&m->webhooks[i][error ? METRIC_OUTSIDE_RESULTS - 1 : (int)result], 1);
    observe_seconds(&m->webhook_duration, seconds);
    if (result == OUTSIDE_ANSWERED && !error)
        atomic_store(&m->webhook_failed[i], 0);
    else
        atomic_fetch_add(&m->webhook_failed[i], 1);
}

const char *metrics_webhook_failing(const struct metrics *m, const struct config *c,
                                    unsigned *times)
{
    const char *worst = NULL;
    *times = 1;
    for (size_t i = 0; m && i < atomic_load(&m->webhook_n); i++) {
        const char *name = m->webhook_name[i];
        bool named = config_webhook_by_name(c, name) || config_upstream_by_name(c, name);
        unsigned failed = atomic_load(&m->webhook_failed[i]);
        if (named && failed > *times) {
            *times = failed;
            worst = name;
        }
    }
    return worst;
}

void metrics_revocations(struct metrics *m, enum metric_revocation what, size_t n)
{
    if (m)
        add(&m->revocations[what], n);
}

void metrics_intune_look(struct metrics *m, bool good)
{
    if (!m)
        return;
    if (good)
        atomic_store(&m->queue_good_at, (int64_t)time(NULL));
    add(&m->queue_failures, !good);
}

void metrics_intune_queues(struct metrics *m, size_t worst, size_t elsewhere)
{
    if (!m)
        return;
    atomic_store(&m->queue_failed, (unsigned)worst);
    atomic_store(&m->queue_elsewhere, (unsigned)elsewhere);
}

unsigned metrics_intune_failed(const struct metrics *m)
{
    return m ? atomic_load(&m->queue_failed) : 0;
}

unsigned metrics_intune_elsewhere(const struct metrics *m)
{
    return m ? atomic_load(&m->queue_elsewhere) : 0;
}

bool metrics_new(const char *version, int64_t now, struct metrics **out, struct err *err)
{
    struct metrics *m = calloc(1, sizeof *m);
    if (!m)
        return err_memory(err);
    snprintf(m->version, sizeof m->version, "%s", version);
    m->started = now;
    for (int i = 0; i < METRIC_OPERATIONS; i++)
        m->request_duration[i].bounds = request_bounds;
    for (int i = 0; i < METRIC_SIGNER_OPS; i++)
        m->signer_duration[i].bounds = signer_bounds;
    m->queue_wait.bounds = request_bounds;
    m->webhook_duration.bounds = webhook_bounds;
    m->ocsp_signed.bounds = signer_bounds;
    m->commit_duration.bounds = request_bounds;
    m->commit_records.bounds = record_bounds;
    metrics_reloaded(m, true, now);
    *out = m;
    return true;
}

void metrics_free(struct metrics *m)
{
    free(m);
}

/* The place of a name; a new one is added while there is room. */
static size_t place_of(struct metric_names *names, const char *name)
{
    for (size_t i = 0; i < names->n; i++)
        if (strcmp(names->name[i], name) == 0)
            return i;
    if (names->n == METRIC_NAMES - 1)
        name = "other";
    if (names->n == METRIC_NAMES)
        return METRIC_NAMES - 1;
    snprintf(names->name[names->n], METRIC_NAME_SIZE, "%s", name);
    return names->n++;
}

void metrics_request(struct metrics *m, const struct metric_request *r)
{
    if (!m)
        return;
    size_t endpoint = place_of(&m->endpoints, *r->endpoint ? r->endpoint : "none");
    add(&m->requests[endpoint][r->operation][r->result], 1);
    observe_seconds(&m->request_duration[r->operation], r->seconds);
    if (r->result == METRIC_REFUSED || r->result == METRIC_FAILED)
        add(&m->refusals[endpoint][r->reason], 1);
    if (r->result == METRIC_ISSUED || r->result == METRIC_RENEWED)
        add(&m->issued[place_of(&m->templates, r->template_name)][r->result == METRIC_RENEWED], 1);
}

void metrics_endpoint(struct metrics *m, const char *path)
{
    if (m)
        place_of(&m->endpoints, path);
}

enum metric_operation metrics_operation(const char *name)
{
    for (int i = 1; i < METRIC_OPERATIONS; i++)
        if (strcmp(metric_operation_names[i], name) == 0)
            return (enum metric_operation)i;
    return METRIC_NO_OPERATION;
}

void metrics_http(struct metrics *m, enum metric_listener l, int status)
{
    size_t i = 0;
    if (!m)
        return;
    while (metric_statuses[i] && metric_statuses[i] != status)
        i++;
    add(&m->http[l][i], 1);
}

void metrics_http_limited(struct metrics *m, enum metric_limit limit)
{
    if (m)
        add(&m->limited[limit], 1);
}

void metrics_queue_rejected(struct metrics *m)
{
    if (m)
        add(&m->queue_rejected, 1);
}

void metrics_queue_wait(struct metrics *m, double seconds)
{
    if (m)
        observe_seconds(&m->queue_wait, seconds);
}

void metrics_commit(struct metrics *m, bool done, size_t records, double seconds)
{
    if (!m)
        return;
    add(done ? &m->commits : &m->commits_failed, 1);
    m->commit_failed_us = done ? 0 : survey_clock_us();
    observe_seconds(&m->commit_duration, seconds);
    observe(&m->commit_records, (double)records, (uint64_t)records * 1000000000);
}

int64_t metrics_commit_failed_us(const struct metrics *m)
{
    return m ? m->commit_failed_us : 0;
}

void metrics_crl_failed(struct metrics *m)
{
    if (m)
        add(&m->crl_failures, 1);
}

void metrics_ocsp_request(struct metrics *m, bool post, enum metric_ocsp_hash hash)
{
    if (m)
        add(&m->ocsp_requests[post][hash], 1);
}

void metrics_ocsp_response(struct metrics *m, enum ocsp_status status, enum ocsp_cert_status said)
{
    static const uint8_t place[] = {[OCSP_MALFORMED_REQUEST] = 3,
                                    [OCSP_INTERNAL_ERROR] = 4,
                                    [OCSP_TRY_LATER] = 5,
                                    [OCSP_UNAUTHORIZED] = 6};
    if (m)
        add(&m->ocsp_responses[status == OCSP_SUCCESSFUL ? said : place[status]], 1);
}

void metrics_ocsp_cache(struct metrics *m, enum metric_ocsp_cache what)
{
    if (m)
        add(&m->ocsp_cache[what], 1);
}

void metrics_ocsp_later(struct metrics *m, enum metric_ocsp_later why)
{
    if (m)
        add(&m->ocsp_later[why], 1);
}

void metrics_ocsp_signed(struct metrics *m, double seconds)
{
    if (m)
        observe_seconds(&m->ocsp_signed, seconds);
}

void metrics_ocsp_cached(struct metrics *m, size_t answers)
{
    if (m)
        m->ocsp_cached = answers;
}

void metrics_sign_in_refused(struct metrics *m, bool refused)
{
    if (m && refused)
        add(&m->sign_ins_refused, 1);
}

void metrics_log_dropped(struct metrics *m, unsigned lines)
{
    if (m)
        add(&m->log_dropped, lines);
}

void metrics_signer_lost(struct metrics *m)
{
    if (m)
        m->signer_missed = SIGNER_MISSED_MOST;
}

void metrics_signer_restarted(struct metrics *m)
{
    if (m)
        add(&m->signer_restarts, 1);
}

void metrics_reloaded(struct metrics *m, bool done, int64_t now)
{
    if (!m)
        return;
    m->reloaded_well = done;
    if (done)
        m->reloaded_at = now;
}

bool metrics_reloaded_well(const struct metrics *m)
{
    return !m || m->reloaded_well;
}

static void on_signer(void *metrics, enum signer_op op, unsigned key, enum err_kind result,
                      int64_t ns)
{
    struct metrics *m = metrics;
    size_t i = (size_t)op - SIGNER_OP_CERTIFICATE;
    uint64_t ca_keys = atomic_load_explicit(&m->ca_keys, memory_order_relaxed);
    bool other = key >= SIGNER_MAX_KEYS || !(ca_keys >> key & 1);
    enum metric_signer_result r = result == ERR_NONE      ? METRIC_SIGNED
                                  : result == ERR_REFUSED ? METRIC_SIGNER_REFUSED
                                  : result == ERR_BUSY    ? METRIC_SIGNER_CAPPED
                                                          : METRIC_SIGNER_FAILED;
    add(&m->signer[i][other][r], 1);
    observe(&m->signer_duration[i], (double)ns / 1e9, (uint64_t)ns);
    if (result == ERR_SIGNER)
        atomic_fetch_add(&m->signer_missed, 1);
    else if (atomic_load_explicit(&m->signer_missed, memory_order_relaxed))
        m->signer_missed = 0;
}

void metrics_watch_signer(struct metrics *m, struct signer *lane, const struct signer_spec *spec)
{
    if (!m)
        return;
    uint64_t keys = 0;
    for (size_t i = 0; i < spec->n; i++)
        if (spec->key[i].uses & (SIGNER_CERTIFICATES | SIGNER_CRLS))
            keys |= UINT64_C(1) << i;
    m->ca_keys = keys;
    m->signer_missed = 0;
    signer_observe(lane, on_signer, m);
}

bool metrics_signer_reached(const struct metrics *m)
{
    return !m || m->signer_missed < SIGNER_MISSED_MOST;
}
