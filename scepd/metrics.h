/* What is counted while scepd runs, and how it is told to Prometheus (text format 0.0.4).  Counters live as long as the
 * process, whatever is reloaded; they are atomic and counting takes no lock.  Labels come from closed sets only: endpoints
 * and templates of the configuration, reasons, operations, results; never anything that a client chooses.
 * docs/METRICS.md lists every name; tests/scepd/test_admin.py holds it against what is served. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "ca/signer.h"
#include "outside/outside_child.h"
#include "outside/outside.h"
#include "pkcs7/ocsp.h"

enum metric_listener { METRIC_SCEP, METRIC_ADMIN, METRIC_API, METRIC_LISTENERS };

enum metric_operation {
    METRIC_NO_OPERATION, /* not readable, or not SCEP */
    METRIC_PKCS_REQ, METRIC_RENEWAL_REQ, METRIC_CERT_POLL, METRIC_GET_CERT, METRIC_GET_CRL,
    METRIC_GET_CA_CAPS, METRIC_GET_CA_CERT, METRIC_GET_NEXT_CA_CERT,
    METRIC_OPERATIONS
};

enum metric_result { /* as in the log, and "answered" for what is answered from memory */
    METRIC_ISSUED, METRIC_RENEWED, METRIC_PENDING, METRIC_REPEATED, METRIC_ANSWERED, METRIC_REFUSED, METRIC_FAILED,
    METRIC_RESULTS
};

enum metric_limit { METRIC_MAX_CONNECTIONS, METRIC_REQUEST_TIMEOUT, METRIC_MAX_HEADER, METRIC_MAX_BODY, METRIC_MAX_BUFFERED,
    METRIC_LIMITS };

/* OCSP: by what hash the issuer was named, whether the answer was there, and why a client was told to try later. */
enum metric_ocsp_hash { METRIC_OCSP_NO_HASH, METRIC_OCSP_SHA1, METRIC_OCSP_SHA256, METRIC_OCSP_SHA384, METRIC_OCSP_SHA512,
    METRIC_OCSP_OTHER_HASH, METRIC_OCSP_HASHES };
enum metric_ocsp_cache { METRIC_OCSP_HIT, METRIC_OCSP_CONFIRMED, METRIC_OCSP_CHANGED, METRIC_OCSP_MISS, METRIC_OCSP_NOT_KEPT,
    METRIC_OCSP_CACHES };
enum metric_ocsp_later { METRIC_OCSP_BUDGET, METRIC_OCSP_QUEUE, METRIC_OCSP_FAILED, METRIC_OCSP_LATERS };

struct metrics;
bool metrics_new(const char *version, int64_t now, struct metrics **out, struct err *err);
void metrics_free(struct metrics *m);

/* ---- counting; `m` may be NULL everywhere ---- */

/* One request at a SCEP endpoint ("": at none), loop thread only.  `template_name` matters for certificates. */
struct metric_request {
    const char *endpoint, *template_name;
    enum metric_operation operation;
    enum metric_result result;
    enum reason reason; /* METRIC_REFUSED, METRIC_FAILED */
    double seconds;
};
void metrics_request(struct metrics *m, const struct metric_request *r);
/* An endpoint is there: what alerts wait for begins with 0, or its first time would not be seen.  Loop thread only. */
void metrics_endpoint(struct metrics *m, const char *path);
/* METRIC_NO_OPERATION for what is none. */
enum metric_operation metrics_operation(const char *name);

/* From here on any thread. */
void metrics_http(struct metrics *m, enum metric_listener l, int status);
void metrics_http_limited(struct metrics *m, enum metric_limit limit);
void metrics_queue_rejected(struct metrics *m);
void metrics_queue_wait(struct metrics *m, double seconds);
/* One transaction of the committer with `records` changes in it. */
void metrics_commit(struct metrics *m, bool done, size_t records, double seconds);
/* Microseconds of survey_clock_us when the last commit failed, if none was done since; else 0. */
int64_t metrics_commit_failed_us(const struct metrics *m);
void metrics_crl_failed(struct metrics *m);
void metrics_ocsp_request(struct metrics *m, bool post, enum metric_ocsp_hash hash);
/* `said` matters with OCSP_SUCCESSFUL: of the first certificate asked about. */
void metrics_ocsp_response(struct metrics *m, enum ocsp_status status, enum ocsp_cert_status said);
void metrics_ocsp_cache(struct metrics *m, enum metric_ocsp_cache what);
void metrics_ocsp_later(struct metrics *m, enum metric_ocsp_later why);
/* `seconds` from the request to its signed answer. */
void metrics_ocsp_signed(struct metrics *m, double seconds);
void metrics_ocsp_cached(struct metrics *m, size_t answers);
/* Somebody presented at the API what nobody may sign in with. */
void metrics_sign_in_refused(struct metrics *m, bool refused);
/* One answer of a webhook or an upstream; one thread at a time. */
void metrics_webhook(struct metrics *m, const char *name, enum outside_result result, int status, double seconds);
/* Certificates that Intune wanted revoked; one thread at a time. */
enum metric_revocation {
    METRIC_REVOKED, METRIC_REVOKED_BEFORE, METRIC_REVOKE_UNKNOWN, METRIC_REVOKE_ELSEWHERE, METRIC_REVOKE_FOREIGN,
    METRIC_REVOCATIONS
};
void metrics_revocations(struct metrics *m, enum metric_revocation what, size_t n);
/* One of its queues was looked into. */
void metrics_intune_look(struct metrics *m, bool good);
/* How it is now: `worst`, failures in a row of the queue with the most; `elsewhere`, certificates that stand though they are in a
 * queue, since they were issued where that tenant is not asked. */
void metrics_intune_queues(struct metrics *m, size_t worst, size_t elsewhere);
unsigned metrics_intune_failed(const struct metrics *m);
unsigned metrics_intune_elsewhere(const struct metrics *m);
/* Who of the configuration has failed so often in a row, the worst; NULL: nobody twice. */
const char *metrics_webhook_failing(const struct metrics *m, const struct config *c, unsigned *times);
void metrics_log_dropped(struct metrics *m, unsigned lines);
/* It is known to be gone, until metrics_watch_signer gets a lane of another. */
void metrics_signer_lost(struct metrics *m);
void metrics_signer_restarted(struct metrics *m);
/* The configuration was read again, or could not be; the first reading, at start, is done by metrics_new. */
void metrics_reloaded(struct metrics *m, bool done, int64_t now);
bool metrics_reloaded_well(const struct metrics *m);
/* Counts what a lane does; `spec` only tells which keys issue. */
void metrics_watch_signer(struct metrics *m, struct signer *lane, const struct signer_spec *spec);
/* False when several operations in a row did not get to the signer. */
bool metrics_signer_reached(const struct metrics *m);

/* ---- telling ---- */

struct survey;
struct authority;

/* What is looked at when somebody asks: nothing in it is counted here. */
struct metrics_gauges {
    const struct survey *survey;
    struct authority *const *authorities;
    size_t authority_n;
    uint64_t connections[METRIC_LISTENERS];
    uint64_t queue, queue_capacity;
    uint64_t ocsp_queue, ocsp_queue_capacity, ocsp_cache_capacity;
    struct outside_credential credential;
    bool admin, api; /* there are such listeners */
};
/* False when out of memory. */
bool metrics_write(const struct metrics *m, const struct metrics_gauges *g, struct buf *out);
