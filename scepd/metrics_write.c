/* Telling: the text format of Prometheus, version 0.0.4.  Every name is there from the start, with
 * HELP and TYPE; of counters with several labels, those combinations that have happened. */
#include <dirent.h>
#include <event2/event.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "scepd/metrics_internal.h"
#include "scepd/survey.h"

struct writer {
    struct buf *out;
    bool failed;
    const char *family;
};

static void put(struct writer *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void put(struct writer *w, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    w->failed = w->failed || !buf_append_str(w->out, text);
}

static void family(struct writer *w, const char *name, const char *type, const char *help)
{
    w->family = name;
    put(w, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* A label's value: backslash, quote and newline are escaped. */
static const char *quoted(const char *value, char out[2 * METRIC_NAME_SIZE + 1])
{
    size_t n = 0;
    for (; *value && n + 2 < 2 * METRIC_NAME_SIZE; value++) {
        if (*value == '\\' || *value == '"' || *value == '\n')
            out[n++] = '\\';
        out[n++] = *value;
        if (*value == '\n')
            out[n - 1] = 'n';
    }
    out[n] = '\0';
    return out;
}

static uint64_t read_counter(const counter *c)
{
    return atomic_load_explicit(c, memory_order_relaxed);
}

static void plain(struct writer *w, uint64_t value)
{
    put(w, "%s %llu\n", w->family, (unsigned long long)value);
}

static void number(struct writer *w, const char *labels, int64_t value)
{
    put(w, "%s%s %lld\n", w->family, labels, (long long)value);
}

static void labelled(struct writer *w, const char *label, const char *value, uint64_t n)
{
    char q[2 * METRIC_NAME_SIZE + 1];
    put(w, "%s{%s=\"%s\"} %llu\n", w->family, label, quoted(value, q), (unsigned long long)n);
}

/* `labels` is "" or "name=\"value\"". */
static void histogram(struct writer *w, const char *labels, const struct histogram *h)
{
    uint64_t sum = 0;
    const char *comma = *labels ? "," : "";
    for (size_t i = 0;; i++) {
        sum += read_counter(&h->bucket[i]);
        if (h->bounds[i] <= 0)
            break;
        put(w, "%s_bucket{%s%sle=\"%g\"} %llu\n", w->family, labels, comma, h->bounds[i],
            (unsigned long long)sum);
    }
    const char *open = *labels ? "{" : "", *close = *labels ? "}" : "";
    put(w, "%s_bucket{%s%sle=\"+Inf\"} %llu\n", w->family, labels, comma, (unsigned long long)sum);
    put(w, "%s_sum%s%s%s %.9g\n", w->family, open, labels, close,
        (double)read_counter(&h->sum_ns) / 1e9);
    put(w, "%s_count%s%s%s %llu\n", w->family, open, labels, close, (unsigned long long)sum);
}

/* ---- requests ---- */

static void write_requests(struct writer *w, const struct metrics *m)
{
    char q[2 * METRIC_NAME_SIZE + 1];
    family(w, "scepd_scep_requests_total", "counter",
           "Requests at SCEP endpoints by what was asked and what came of it.");
    for (size_t e = 0; e < m->endpoints.n; e++)
        for (int o = 0; o < METRIC_OPERATIONS; o++)
            for (int r = 0; r < METRIC_RESULTS; r++) {
                uint64_t n = read_counter(&m->requests[e][o][r]);
                if (n)
                    put(w, "%s{endpoint=\"%s\",operation=\"%s\",result=\"%s\"} %llu\n", w->family,
                        quoted(m->endpoints.name[e], q), metric_operation_names[o],
                        metric_result_names[r], (unsigned long long)n);
            }
    family(w, "scepd_scep_refusals_total", "counter",
           "Requests that were refused or failed, by reason.");
    for (size_t e = 0; e < m->endpoints.n; e++)
        for (int r = 0; r < REASON_COUNT; r++) {
            uint64_t n = read_counter(&m->refusals[e][r]);
            bool alarming = r == REASON_CHALLENGE_USED || r == REASON_USAGE_FORBIDDEN;
            if (n || alarming)
                put(w, "%s{endpoint=\"%s\",reason=\"%s\"} %llu\n", w->family,
                    quoted(m->endpoints.name[e], q), reason_info((enum reason)r)->code,
                    (unsigned long long)n);
        }
    family(w, "scepd_scep_request_duration_seconds", "histogram",
           "From the whole request to its answer.");
    for (int o = 0; o < METRIC_OPERATIONS; o++) {
        char labels[64];
        snprintf(labels, sizeof labels, "operation=\"%s\"", metric_operation_names[o]);
        histogram(w, labels, &m->request_duration[o]);
    }
}

static void write_http(struct writer *w, const struct metrics *m, const struct metrics_gauges *g)
{
    static const char *const listeners[METRIC_LISTENERS] = {"scep", "admin", "api"};
    const bool there[METRIC_LISTENERS] = {true, g->admin, g->api};
    family(w, "scepd_http_requests_total", "counter", "HTTP replies by status code.");
    for (int l = 0; l < METRIC_LISTENERS; l++)
        for (int s = 0; s < METRIC_STATUSES; s++) {
            char code[16] = "other";
            uint64_t count = read_counter(&m->http[l][s]);
            if (metric_statuses[s])
                snprintf(code, sizeof code, "%d", metric_statuses[s]);
            if (there[l] && (count || metric_statuses[s] == 200))
                put(w, "%s{listener=\"%s\",code=\"%s\"} %llu\n", w->family, listeners[l], code,
                    (unsigned long long)count);
        }
    family(w, "scepd_http_connections", "gauge", "Open connections.");
    for (int l = 0; l < METRIC_LISTENERS; l++)
        if (there[l])
            labelled(w, "listener", listeners[l], g->connections[l]);
    family(w, "scepd_http_limited_total", "counter",
           "Requests that a limit of the SCEP listener ended.");
    for (int i = 0; i < METRIC_LIMITS; i++)
        labelled(w, "limit", metric_limit_names[i], read_counter(&m->limited[i]));
}

static void write_queue(struct writer *w, const struct metrics *m, const struct metrics_gauges *g)
{
    family(w, "scepd_queue_jobs", "gauge",
           "Messages that wait for a worker, OCSP requests for a signature.");
    labelled(w, "queue", "requests", g->queue);
    labelled(w, "queue", "ocsp", g->ocsp_queue);
    family(w, "scepd_queue_capacity_jobs", "gauge", "How many may wait.");
    labelled(w, "queue", "requests", g->queue_capacity);
    labelled(w, "queue", "ocsp", g->ocsp_queue_capacity);
    family(w, "scepd_queue_rejected_total", "counter",
           "Messages that were sent away (503) because the queue was full.");
    labelled(w, "queue", "requests", read_counter(&m->queue_rejected));
    family(w, "scepd_queue_wait_seconds", "histogram", "How long messages waited for a worker.");
    histogram(w, "queue=\"requests\"", &m->queue_wait);
}

/* ---- OCSP ---- */

static void write_ocsp_answers(struct writer *w, const struct metrics *m)
{
    static const char *const said[METRIC_OCSP_STATUSES] = {
        "good",           "revoked",   "unknown",     "malformed_request",
        "internal_error", "try_later", "unauthorized"};
    static const char *const kept[METRIC_OCSP_CACHES] = {"hit", "confirmed", "changed", "miss",
                                                         "not_kept"};
    static const char *const later[METRIC_OCSP_LATERS] = {"budget", "queue", "failed"};
    family(w, "scepd_ocsp_responses_total", "counter", "OCSP answers by what they say.");
    for (int i = 0; i < METRIC_OCSP_STATUSES; i++)
        labelled(w, "status", said[i], read_counter(&m->ocsp_responses[i]));
    family(w, "scepd_ocsp_cache_total", "counter",
           "What became of OCSP requests at the cache of signed answers.");
    for (int i = 0; i < METRIC_OCSP_CACHES; i++)
        labelled(w, "result", kept[i], read_counter(&m->ocsp_cache[i]));
    family(w, "scepd_ocsp_try_later_total", "counter", "Why clients were told to try later.");
    for (int i = 0; i < METRIC_OCSP_LATERS; i++)
        labelled(w, "cause", later[i], read_counter(&m->ocsp_later[i]));
    family(w, "scepd_ocsp_signed_duration_seconds", "histogram",
           "From an OCSP request to the answer that was signed for it.");
    histogram(w, "", &m->ocsp_signed);
}

static void write_ocsp(struct writer *w, const struct metrics *m, const struct metrics_gauges *g)
{
    static const char *const methods[] = {"GET", "POST"};
    static const char *const hashes[METRIC_OCSP_HASHES] = {"none",    "SHA-1",   "SHA-256",
                                                           "SHA-384", "SHA-512", "other"};
    family(w, "scepd_ocsp_requests_total", "counter",
           "OCSP requests by HTTP method and by the hash that names the issuer.");
    for (int i = 0; i < 2; i++)
        for (int h = 0; h < METRIC_OCSP_HASHES; h++)
            put(w, "%s{method=\"%s\",hash=\"%s\"} %llu\n", w->family, methods[i], hashes[h],
                (unsigned long long)read_counter(&m->ocsp_requests[i][h]));
    write_ocsp_answers(w, m);
    family(w, "scepd_ocsp_cached_answers", "gauge", "Signed OCSP answers that are kept.");
    plain(w, read_counter(&m->ocsp_cached));
    family(w, "scepd_ocsp_cache_capacity_answers", "gauge", "How many may be.");
    plain(w, g->ocsp_cache_capacity);
}

/* ---- signer, store ---- */

static void write_signer(struct writer *w, const struct metrics *m)
{
    static const char *const ops[METRIC_SIGNER_OPS] = {"certificate", "crl", "message", "decrypt",
                                                       "ocsp"};
    static const char *const keys[METRIC_SIGNER_OPS][2] = {
        {"ca", "ra"}, {"ca", "ra"}, {"ca", "ra"}, {"ca", "ra"}, {"ca", "ocsp"}};
    static const char *const results[METRIC_SIGNER_RESULTS] = {"done", "refused", "failed",
                                                               "capped"};
    family(w, "scepd_signer_operations_total", "counter",
           "Private-key operations by whose key did them.");
    for (int o = 0; o < METRIC_SIGNER_OPS; o++)
        for (int k = 0; k < 2; k++)
            for (int r = 0; r < METRIC_SIGNER_RESULTS; r++) {
                uint64_t n = read_counter(&m->signer[o][k][r]);
                if (n)
                    put(w, "%s{operation=\"%s\",key=\"%s\",result=\"%s\"} %llu\n", w->family,
                        ops[o], keys[o][k], results[r], (unsigned long long)n);
            }
    family(w, "scepd_signer_operation_duration_seconds", "histogram",
           "Time of a private-key operation, with the way to the signer process and back.");
    for (int o = 0; o < METRIC_SIGNER_OPS; o++) {
        char labels[64];
        snprintf(labels, sizeof labels, "operation=\"%s\"", ops[o]);
        histogram(w, labels, &m->signer_duration[o]);
    }
    family(w, "scepd_signer_restarts_total", "counter",
           "How often the signer process ended and was started again.");
    plain(w, read_counter(&m->signer_restarts));
}

static void write_store(struct writer *w, const struct metrics *m, const struct survey *s)
{
    family(w, "scepd_store_commits_total", "counter", "Durable transactions of answers.");
    plain(w, read_counter(&m->commits));
    family(w, "scepd_store_commit_failures_total", "counter",
           "Transactions of which nothing was stored: requests in them were decided anew or "
           "answered with 503.");
    plain(w, read_counter(&m->commits_failed));
    family(w, "scepd_store_commit_duration_seconds", "histogram",
           "Time of such a transaction, until it is on the disk.");
    histogram(w, "", &m->commit_duration);
    family(w, "scepd_store_commit_records", "histogram",
           "Answers that one transaction made durable together.");
    histogram(w, "", &m->commit_records);
    family(w, "scepd_store_used_bytes", "gauge", "Of the store's map, without pages to be reused.");
    plain(w, s->stats.used_bytes);
    family(w, "scepd_store_limit_bytes", "gauge", "Size of the store's map; it grows when full.");
    plain(w, s->stats.map_bytes);
    family(w, "scepd_store_file_bytes", "gauge", "Size of the store's file.");
    plain(w, s->stats.file_bytes);
    family(w, "scepd_store_filesystem_free_bytes", "gauge",
           "Free on the file system of the store.");
    plain(w, s->stats.free_disk_bytes);
    family(w, "scepd_store_oldest_reader_seconds", "gauge",
           "How long somebody has been reading a state of the store that is no longer the newest.");
    number(w, "", s->oldest_reader_us / 1000000);
    family(w, "scepd_store_surveyed_timestamp_seconds", "gauge",
           "When the figures of the store were looked at last.");
    number(w, "", s->at);
}

/* ---- what the authority remembers ---- */

static void write_cert_counts(struct writer *w, const struct store_cert_counts *n)
{
    static const char *const states[] = {[CERT_ACTIVE] = "active",
                                         [CERT_REVOKED] = "revoked",
                                         [CERT_HELD] = "held",
                                         [CERT_SUPERSEDED] = "superseded"};
    family(w, "scepd_certificates", "gauge", "Certificates that are remembered, by state.");
    for (size_t i = 0; i < sizeof states / sizeof *states; i++)
        labelled(w, "state", states[i], n->state[i]);
    labelled(w, "state", "expired", n->expired);
    family(w, "scepd_certificates_expiring", "gauge",
           "Active certificates that end within so many days (UTC), today included.");
    labelled(w, "within", "7d", n->within_7_days);
    labelled(w, "within", "30d", n->within_30_days);
    family(w, "scepd_certificates_revoked_total", "counter",
           "Revocations by reason, ever and by whomever; holds are counted when they begin.");
    for (int i = 0; i < STORE_CRL_REASONS; i++) {
        const char *word = crl_reason_text((enum crl_reason)i);
        if (strcmp(word, "other") != 0)
            labelled(w, "reason", word, n->revocations[i]);
    }
}

static void write_certificates(struct writer *w, const struct metrics *m, const struct survey *s)
{
    write_cert_counts(w, &s->certs);
    static const char *const kinds[] = {"initial", "renewal"};
    char q[2 * METRIC_NAME_SIZE + 1];
    family(w, "scepd_certificates_issued_total", "counter",
           "Certificates issued by this process since it started.");
    for (size_t t = 0; t < m->templates.n; t++)
        for (int k = 0; k < 2; k++)
            put(w, "%s{template=\"%s\",kind=\"%s\"} %llu\n", w->family,
                quoted(m->templates.name[t], q), kinds[k],
                (unsigned long long)read_counter(&m->issued[t][k]));
}

static void write_waiting(struct writer *w, const struct survey *s)
{
    static const char *const states[SURVEY_CHALLENGES] = {"active", "used", "expired", "revoked"};
    static const char *const devices[DEVICE_STATES] = {"active", "isolated", "retired"};
    family(w, "scepd_requests_pending", "gauge", "Requests that wait for an administrator.");
    for (size_t i = 0; i < s->pending_n; i++)
        labelled(w, "endpoint", s->pending[i].endpoint, s->pending[i].pending);
    family(w, "scepd_requests_pending_oldest_timestamp_seconds", "gauge",
           "When the one that waits longest came; 0 when none waits.");
    number(w, "", s->oldest_pending_at);
    family(w, "scepd_devices", "gauge", "Devices that are known.");
    for (int i = 0; i < DEVICE_STATES; i++)
        labelled(w, "state", devices[i], s->devices[i]);
    family(w, "scepd_webhook_notices", "gauge", "Notices that wait for a webhook to take them.");
    plain(w, s->notices);
    family(w, "scepd_challenges", "gauge", "One-time challenges that are remembered.");
    for (int i = 0; i < SURVEY_CHALLENGES; i++)
        labelled(w, "state", states[i], s->challenges[i]);
    family(w, "scepd_challenges_issued_total", "counter",
           "One-time challenges that were made, in all processes.");
    plain(w, s->stats.challenges_made);
    family(w, "scepd_audit_entries_total", "counter", "Entries of the audit log.");
    plain(w, s->stats.audit_entries);
    family(w, "scepd_attempts", "gauge", "Attempts that are kept for scepctl explain.");
    plain(w, s->stats.attempts);
    family(w, "scepd_backup_last_success_timestamp_seconds", "gauge",
           "When the last backup succeeded; 0: none did.");
    number(w, "", s->backup_at);
}

static const char *labels_of(const char *authority, unsigned generation, const char *role,
                             char out[400])
{
    char q[2 * METRIC_NAME_SIZE + 1];
    int n =
        snprintf(out, 400, "{authority=\"%s\",generation=\"%u\"", quoted(authority, q), generation);
    if (role)
        n += snprintf(out + n, 400 - (size_t)n, ",role=\"%s\"", role);
    snprintf(out + n, 400 - (size_t)n, "}");
    return out;
}

static void write_end(struct writer *w, const struct authority *a, const char *role,
                      const struct cert *cert)
{
    char labels[400];
    if (cert)
        number(w, labels_of(a->name, a->generation, role, labels), cert->not_after);
}

static void write_authorities(struct writer *w, const struct metrics_gauges *g)
{
    static const char *const roles[] = {
        [AUTHORITY_CURRENT] = "ca", [AUTHORITY_FORMER] = "ca_former", [AUTHORITY_NEXT] = "ca_next"};
    family(w, "scepd_authority_not_after_timestamp_seconds", "gauge",
           "When certificates of an authority end.");
    for (size_t i = 0; i < g->authority_n; i++) {
        const struct authority *a = g->authorities[i];
        write_end(w, a, roles[a->role], a->cert);
        write_end(w, a, "ocsp", a->ocsp.cert);
        if (a->role != AUTHORITY_CURRENT)
            continue;
        write_end(w, a, "ra", a->ra);
        write_end(w, a, "ra_signing", a->ra_signing);
        write_end(w, a, "ra_encryption", a->ra_encryption);
    }
}

static void write_credential(struct writer *w, const struct outside_credential *c)
{
    char q[2 * METRIC_NAME_SIZE + 1];
    family(w, "scepd_webhook_certificate_not_after_timestamp_seconds", "gauge",
           "When the certificate ends with which a webhook's questions sign in.");
    if (!c->webhook[0])
        return;
    put(w, "%s{webhook=\"%s\"} %lld\n", w->family, quoted(c->webhook, q), (long long)c->not_after);
}

/* The lists that are published: not those of an authority that has not begun, or has ended. */
static bool published(const struct survey *s, const struct survey_crl *crl)
{
    return crl->role != AUTHORITY_NEXT && crl->authority_end > s->at;
}

static void write_crls(struct writer *w, const struct metrics *m, const struct survey *s)
{
    char labels[400];
    family(w, "scepd_crl_next_update_timestamp_seconds", "gauge",
           "Until when the published CRL is good; 0 when there is none.");
    for (size_t i = 0; i < s->crl_n; i++) {
        const struct survey_crl *crl = &s->crl[i];
        if (published(s, crl))
            number(w, labels_of(crl->authority, crl->generation, NULL, labels),
                   crl->number ? crl->next_update : 0);
    }
    family(w, "scepd_crl_entries", "gauge", "Certificates in the published CRL.");
    for (size_t i = 0; i < s->crl_n; i++) {
        const struct survey_crl *crl = &s->crl[i];
        if (published(s, crl))
            number(w, labels_of(crl->authority, crl->generation, NULL, labels),
                   (int64_t)crl->entries);
    }
    family(w, "scepd_crl_size_bytes", "gauge", "Size of the published CRL.");
    for (size_t i = 0; i < s->crl_n; i++) {
        const struct survey_crl *crl = &s->crl[i];
        if (published(s, crl))
            number(w, labels_of(crl->authority, crl->generation, NULL, labels),
                   crl->number ? (int64_t)crl->size : 0);
    }
    family(w, "scepd_crl_publish_failures_total", "counter", "CRLs that could not be published.");
    plain(w, read_counter(&m->crl_failures));
}

/* ---- the process ---- */

/* ---- servers elsewhere ---- */

static const char *const revocation_names[METRIC_REVOCATIONS] = {"revoked", "known", "unknown",
                                                                 "elsewhere", "foreign"};

static void write_outside(struct writer *w, const struct metrics *m)
{
    char q[2 * METRIC_NAME_SIZE + 1];
    size_t n = atomic_load(&m->webhook_n);
    family(w, "scepd_webhook_requests_total", "counter",
           "Questions to webhooks and upstreams by what came of them.");
    for (size_t i = 0; i < n; i++)
        for (int r = 0; r < METRIC_OUTSIDE_RESULTS; r++) {
            uint64_t count = read_counter(&m->webhooks[i][r]);
            const char *name = r == METRIC_OUTSIDE_RESULTS - 1
                                   ? "error"
                                   : outside_result_name((enum outside_result)r);
            if (count)
                put(w, "%s{webhook=\"%s\",result=\"%s\"} %llu\n", w->family,
                    quoted(m->webhook_name[i], q), name, (unsigned long long)count);
        }
    family(w, "scepd_webhook_duration_seconds", "histogram",
           "From a question to its answer, all tries together.");
    histogram(w, "", &m->webhook_duration);
    family(w, "scepd_intune_revocations_total", "counter",
           "Certificates that Intune wanted revoked by what came of it.");
    for (int i = 0; i < METRIC_REVOCATIONS; i++)
        put(w, "%s{result=\"%s\"} %llu\n", w->family, revocation_names[i],
            (unsigned long long)read_counter(&m->revocations[i]));
    family(w, "scepd_intune_queue_failures_total", "counter",
           "Looks into Intune's queue of revocations that failed.");
    plain(w, read_counter(&m->queue_failures));
    family(w, "scepd_intune_queue_last_success_timestamp_seconds", "gauge",
           "When Intune's queue of revocations was last looked into.");
    plain(w, (uint64_t)atomic_load(&m->queue_good_at));
}

static void write_build(struct writer *w, const struct metrics *m)
{
    family(w, "scepd_build_info", "gauge", "Always 1; what runs.");
    put(w, "%s{version=\"%s\",openssl=\"%s\",libevent=\"%s\"} 1\n", w->family, m->version,
        OpenSSL_version(OPENSSL_VERSION_STRING), event_get_version());
    family(w, "scepd_config_last_reload_successful", "gauge",
           "1 when the configuration that was read last is in use.");
    plain(w, m->reloaded_well);
    family(w, "scepd_config_last_reload_timestamp_seconds", "gauge",
           "When the configuration in use was read.");
    number(w, "", m->reloaded_at);
    family(w, "scepd_sign_ins_refused_total", "counter",
           "Calls of the API with a token, session or certificate that nobody may sign in with.");
    plain(w, read_counter(&m->sign_ins_refused));
    family(w, "scepd_log_dropped_total", "counter",
           "Log lines about requests that were left out because there were too many.");
    plain(w, read_counter(&m->log_dropped));
}

static unsigned open_descriptors(void)
{
    unsigned n = 0;
    DIR *d = opendir("/proc/self/fd");
    if (!d)
        return 0;
    while (readdir(d))
        n++;
    closedir(d);
    return n > 3 ? n - 3 : 0; /* two dots and the directory itself */
}

/* Virtual and resident memory, in pages of /proc/self/statm. */
static void memory_used(uint64_t *virtual, uint64_t *resident)
{
    unsigned long long v = 0, r = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f) {
        if (fscanf(f, "%llu %llu", &v, &r) != 2)
            v = r = 0;
        fclose(f);
    }
    *virtual = v * (uint64_t)sysconf(_SC_PAGESIZE);
    *resident = r * (uint64_t)sysconf(_SC_PAGESIZE);
}

static double seconds_of(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static void write_process(struct writer *w, const struct metrics *m)
{
    struct rusage usage = {0};
    struct rlimit files = {0};
    uint64_t virtual, resident;
    getrusage(RUSAGE_SELF, &usage);
    getrlimit(RLIMIT_NOFILE, &files);
    memory_used(&virtual, &resident);
    family(w, "process_cpu_seconds_total", "counter", "CPU time of this process.");
    put(w, "%s %.6f\n", w->family, seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime));
    family(w, "process_resident_memory_bytes", "gauge", "Resident memory.");
    plain(w, resident);
    family(w, "process_virtual_memory_bytes", "gauge",
           "Address space, with the map of the store, which costs nothing until used.");
    plain(w, virtual);
    family(w, "process_open_fds", "gauge", "Open descriptors.");
    plain(w, open_descriptors());
    family(w, "process_max_fds", "gauge", "How many descriptors may be open.");
    plain(w, files.rlim_cur);
    family(w, "process_start_time_seconds", "gauge", "When this process started.");
    number(w, "", m->started);
}

bool metrics_write(const struct metrics *m, const struct metrics_gauges *g, struct buf *out)
{
    struct writer w = {.out = out};
    write_build(&w, m);
    write_requests(&w, m);
    write_http(&w, m, g);
    write_queue(&w, m, g);
    write_ocsp(&w, m, g);
    write_signer(&w, m);
    write_store(&w, m, g->survey);
    write_certificates(&w, m, g->survey);
    write_waiting(&w, g->survey);
    write_authorities(&w, g);
    write_credential(&w, &g->credential);
    write_crls(&w, m, g->survey);
    write_outside(&w, m);
    write_process(&w, m);
    return !w.failed;
}
