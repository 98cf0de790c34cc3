/* Between metrics.c (counts) and metrics_write.c (tells). */
#pragma once

#include <stdatomic.h>

#include "scepd/metrics.h"

#define METRIC_NAMES 80     /* endpoints and templates of a configuration, with room for reloads; the last is "other" */
#define METRIC_NAME_SIZE 128
#define METRIC_BUCKETS 12   /* at most */
#define METRIC_STATUSES 26  /* HTTP codes that are told apart; the last is "other" */
#define METRIC_SIGNER_OPS 5 /* enum signer_op, from 0 */

typedef _Atomic uint64_t counter;

struct histogram {
    const double *bounds; /* upper, ascending; ends with 0 */
    counter bucket[METRIC_BUCKETS + 1], sum_ns;
};

/* Names that became labels; they stay when a reload forgets them. */
struct metric_names {
    size_t n;
    char name[METRIC_NAMES][METRIC_NAME_SIZE];
};

enum metric_signer_result { METRIC_SIGNED, METRIC_SIGNER_REFUSED, METRIC_SIGNER_FAILED, METRIC_SIGNER_CAPPED, METRIC_SIGNER_RESULTS };

#define METRIC_WEBHOOKS (CONFIG_MAX_WEBHOOKS + CONFIG_MAX_UPSTREAMS) /* names; what a reload brings beyond it is not counted */
#define METRIC_OUTSIDE_RESULTS (OUTSIDE_LOST + 2)                    /* the last: answered, with a status of 500 or more */

#define METRIC_OCSP_STATUSES 7 /* three that a certificate has, and the errors */

struct metrics {
    char version[32];
    int64_t started; /* Unix seconds */
    struct metric_names endpoints, templates;
    counter requests[METRIC_NAMES][METRIC_OPERATIONS][METRIC_RESULTS];
    counter refusals[METRIC_NAMES][REASON_COUNT];
    counter issued[METRIC_NAMES][2]; /* initial, renewal */
    struct histogram request_duration[METRIC_OPERATIONS];
    counter http[METRIC_LISTENERS][METRIC_STATUSES], limited[METRIC_LIMITS];
    counter queue_rejected;
    struct histogram queue_wait;
    counter signer[METRIC_SIGNER_OPS][2][METRIC_SIGNER_RESULTS]; /* by a CA's key, by another */
    struct histogram signer_duration[METRIC_SIGNER_OPS];
    counter signer_restarts;
    atomic_uint signer_missed; /* operations in a row that did not get to it */
    counter ca_keys;           /* bits: keys of the signer that issue or sign CRLs */
    counter commits, commits_failed;
    _Atomic int64_t commit_failed_us; /* monotonic, of the last one if none was done since; 0: it is done */
    struct histogram commit_duration, commit_records;
    counter crl_failures, log_dropped, sign_ins_refused;
    atomic_size_t webhook_n; /* of these names: written before it is */
    char webhook_name[METRIC_WEBHOOKS][64];
    counter webhooks[METRIC_WEBHOOKS][METRIC_OUTSIDE_RESULTS];
    atomic_uint webhook_failed[METRIC_WEBHOOKS]; /* in a row */
    struct histogram webhook_duration;
    counter revocations[METRIC_REVOCATIONS], queue_failures;
    atomic_uint queue_failed;      /* in a row */
    atomic_uint queue_elsewhere;   /* certificates that stand */
    _Atomic int64_t queue_good_at; /* Unix seconds; 0: never */
    counter ocsp_requests[2][METRIC_OCSP_HASHES]; /* GET, POST */
    counter ocsp_responses[METRIC_OCSP_STATUSES], ocsp_cache[METRIC_OCSP_CACHES], ocsp_later[METRIC_OCSP_LATERS];
    counter ocsp_cached; /* answers in the cache now */
    struct histogram ocsp_signed;
    atomic_bool reloaded_well;
    _Atomic int64_t reloaded_at;
};

extern const int metric_statuses[METRIC_STATUSES];
extern const char *const metric_operation_names[METRIC_OPERATIONS], *const metric_result_names[METRIC_RESULTS],
    *const metric_limit_names[METRIC_LIMITS];
