#include "scepd/ocsp_http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/network.h"
#include "ca/offline.h"
#include "http/http_file.h"

static const char type_response[] = "application/ocsp-response";
#define CACHE_CONTROL "max-age=%d, public, no-transform, must-revalidate"
#define NOT_TO_BE_KEPT "no-store"
/* An answer of which less than this part of its life is left is not given out: its receiver wants
 * some of it, and some want a quarter of an hour (nginx). */
#define LAST_PART 4

/* Somebody who waits for a reply. */
struct waiter {
    struct waiter *next;
    struct http_request *request;
};

/* One job with all who wait for it. */
struct ocsp_ask {
    LIST_ENTRY(ocsp_ask) bucket;
    bool listed; /* others may join */
    struct ocsp_job *job;
    struct waiter *waiters; /* none: an answer in the cache is to be renewed */
    uint64_t epoch;         /* when it was asked */
    uint16_t key_n;
    uint8_t key[OCSP_MAX_ID]; /* the CertID of one that is listed */
};

static int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* ---- replies ---- */

/* RFC 5019 section 6.2: an HTTP cache keeps it for a while, never beyond its end. */
static void reply_kept(struct ocsp_http *o, struct http_request *r, struct ocsp_kept *k,
                       int64_t now)
{
    char shorter[80];
    const char *cache_control = o->cache_control;
    int64_t left = k->next_update - now - 1;
    if (left < o->serving.max_age) {
        snprintf(shorter, sizeof shorter, CACHE_CONTROL, left > 0 ? (int)left : 0);
        cache_control = shorter;
    }
    struct http_reply reply = {.status = 200,
                               .content_type = type_response,
                               .body = buf_view(&k->body),
                               .header = {{"Cache-Control", cache_control},
                                          {"ETag", k->etag},
                                          {"Expires", k->expires},
                                          {"Last-Modified", k->last_modified}}};
    metrics_ocsp_response(o->metrics, OCSP_SUCCESSFUL, k->said);
    const char *tags = http_header(r, "If-None-Match");
    if (tags && http_names_tag(tags, k->etag)) {
        reply.status = 304;
    } else {
        reply.release = ocsp_kept_release;
        reply.release_ctx = ocsp_kept_get1(k);
    }
    http_reply(r, &reply);
}

/* For this one only: errors, nonces, what is not known (RFC 5019 section 6.2). */
static void reply_once(struct ocsp_http *o, struct http_request *r, enum ocsp_status status,
                       enum ocsp_cert_status said, struct view body)
{
    struct http_reply reply = {.status = 200,
                               .content_type = type_response,
                               .body = body,
                               .header = {{"Cache-Control", NOT_TO_BE_KEPT}}};
    metrics_ocsp_response(o->metrics, status, said);
    http_reply(r, &reply);
}

static void tell(struct ocsp_http *o, struct log_limit *limit, enum log_level level,
                 const char *event, const char *peer, enum ocsp_status status, const char *detail)
{
    struct log_line l;
    if (!log_limit_pass(limit, o->log, time(NULL))) {
        metrics_log_dropped(o->metrics, 1);
        return;
    }
    log_begin(&l, o->log, level, event);
    log_str(&l, "peer", peer);
    log_str(&l, "status", ocsp_status_name(status));
    log_end(&l, "%s", detail);
}

static void reply_error(struct ocsp_http *o, struct http_request *r, enum ocsp_status status)
{
    uint8_t body[OCSP_ERROR_SIZE];
    ocsp_error(status, body);
    reply_once(o, r, status, OCSP_UNKNOWN, view_of(body, sizeof body));
}

/* What is wrong with the request. */
static void refuse(struct ocsp_http *o, struct http_request *r, enum ocsp_status status,
                   const char *detail)
{
    tell(o, &o->refused_limit, LOG_LEVEL_NOTICE, "ocsp.refused", http_peer(r), status, detail);
    reply_error(o, r, status);
}

/* What is wrong here. */
static void try_later(struct ocsp_http *o, struct http_request *r, enum metric_ocsp_later why,
                      const char *detail)
{
    metrics_ocsp_later(o->metrics, why);
    tell(o, &o->failed_limit, LOG_LEVEL_WARNING, "ocsp.try_later", http_peer(r), OCSP_TRY_LATER,
         detail);
    reply_error(o, r, OCSP_TRY_LATER);
}

static void reply_too_long(struct ocsp_http *o, struct http_request *r, int status,
                           const char *text)
{
    struct http_reply reply = {.status = status,
                               .content_type = "text/plain; charset=utf-8",
                               .body = view_str(text),
                               .header = {{"Cache-Control", NOT_TO_BE_KEPT}},
                               .close = true};
    tell(o, &o->refused_limit, LOG_LEVEL_NOTICE, "ocsp.refused", http_peer(r),
         OCSP_MALFORMED_REQUEST, text);
    http_reply(r, &reply);
}

/* ---- who waits for what ---- */

static struct ocsp_asks *bucket_of(struct ocsp_http *o, struct view key)
{
    return &o->asks[ocsp_id_hash(key, o->secret) % OCSP_ASK_BUCKETS];
}

/* NULL: nobody asks for the same, or it has been looked up already, and what came after must show
 * in the answer. */
static struct ocsp_ask *find_ask(struct ocsp_http *o, const struct ocsp_id *id)
{
    struct ocsp_ask *a;
    LIST_FOREACH(a, bucket_of(o, id->whole), bucket)
    {
        if (a->key_n == id->whole.n && memcmp(a->key, id->whole.p, a->key_n) == 0 &&
            a->job->world == o->serving.world && !atomic_load(&a->job->begun))
            return a;
    }
    return NULL;
}

static bool being_renewed(struct ocsp_http *o, const struct ocsp_id *id)
{
    const struct ocsp_ask *a;
    LIST_FOREACH(a, bucket_of(o, id->whole), bucket)
    {
        if (a->key_n == id->whole.n && memcmp(a->key, id->whole.p, a->key_n) == 0)
            return true;
    }
    return false;
}

static bool join(struct ocsp_ask *a, struct http_request *r)
{
    struct waiter *w = calloc(1, sizeof *w);
    if (!w)
        return false;
    w->request = r;
    w->next = a->waiters;
    a->waiters = w;
    return true;
}

static void ask_free(struct ocsp_ask *a)
{
    struct waiter *w, *next;
    for (w = a->waiters; w; w = next) {
        next = w->next;
        free(w);
    }
    if (a->listed)
        LIST_REMOVE(a, bucket);
    ocsp_job_free(a->job);
    free(a);
}

static struct ocsp_ask *ask_new(struct ocsp_http *o, const struct authority *only, struct view der,
                                const char *peer, const struct ocsp_id *id)
{
    struct ocsp_ask *a = calloc(1, sizeof *a);
    if (!a || !(a->job = ocsp_job_new(o->serving.world, only, der, peer))) {
        free(a);
        return NULL;
    }
    a->job->tag = a;
    a->epoch = o->epoch;
    if (id && id->whole.n <= sizeof a->key) {
        a->key_n = (uint16_t)id->whole.n;
        memcpy(a->key, id->whole.p, id->whole.n);
        a->listed = true;
        LIST_INSERT_HEAD(bucket_of(o, id->whole), a, bucket);
    }
    return a;
}

/* RFC 6960 section 2.3: beyond the budget clients are told to come again. */
static bool may_sign(struct ocsp_http *o, const struct http_request *r)
{
    return ocsp_budget_take(&o->budget, http_peer(r), o->serving.per_second, now_us());
}

/* Has an answer signed.  `id`: of a request that asks for nothing else; otherwise NULL. */
static void sign(struct ocsp_http *o, struct http_request *r, const struct authority *only,
                 struct view der, const struct ocsp_id *id)
{
    struct ocsp_ask *a = id ? find_ask(o, id) : NULL;
    if (a && join(a, r))
        return;
    if (!may_sign(o, r)) {
        try_later(o, r, METRIC_OCSP_BUDGET,
                  "more is asked for than ocsp.signatures_per_second allows");
        return;
    }
    a = ask_new(o, only, der, http_peer(r), id);
    if (!a || !join(a, r)) {
        if (a)
            ask_free(a);
        try_later(o, r, METRIC_OCSP_FAILED, "out of memory");
    } else if (!ocsp_pool_submit(o->serving.pool, a->job)) {
        ask_free(a);
        try_later(o, r, METRIC_OCSP_QUEUE, "too many requests wait for a signature");
    }
}

/* In the background, while the one there is goes on being given out. */
static void renew(struct ocsp_http *o, const struct http_request *r, struct view der,
                  const struct ocsp_id *id)
{
    if (being_renewed(o, id) || !may_sign(o, r))
        return;
    struct ocsp_ask *a = ask_new(o, NULL, der, http_peer(r), id);
    if (a && !ocsp_pool_submit(o->serving.pool, a->job))
        ask_free(a);
}

/* ---- from the cache ---- */

/* Is what an answer says still so?  One cheap read as long as nothing was revoked; then the
 * certificate's status, which alone decides: others may be revoked as fast as they like. */
static bool still_true(struct ocsp_http *o, struct ocsp_entry *e, bool *failed)
{
    struct store *store = o->serving.world->store;
    struct store_cert_status status;
    struct err err = {0};
    uint64_t generation;
    *failed = !store_revocation_generation(store, e->authority, &generation, &err);
    if (!*failed && generation == e->basis.generation) {
        metrics_ocsp_cache(o->metrics, METRIC_OCSP_HIT);
        return true;
    }
    *failed =
        *failed || !store_cert_status(store, e->authority, ocsp_entry_serial(e), &status, &err);
    if (*failed || !ocsp_basis_same(&e->basis, &status))
        return false;
    e->basis.generation = status.generation;
    metrics_ocsp_cache(o->metrics, METRIC_OCSP_CONFIRMED);
    return true;
}

/* After a reload: by other rules, by another key, or of an authority that is not served any more.
 */
static bool still_served(struct ocsp_http *o, struct ocsp_entry *e, const struct ocsp_id *id)
{
    if (e->epoch == o->epoch)
        return true;
    const struct authority *a = ocsp_issuer_of(o->serving.world->issuers, id);
    if (!a || memcmp(a->key_id, e->authority, sizeof e->authority) != 0)
        return false;
    e->epoch = o->epoch;
    e->renew_at = 0;
    return true;
}

/* True when it was answered. */
static bool from_cache(struct ocsp_http *o, struct http_request *r, const struct authority *only,
                       struct view der, const struct ocsp_id *id)
{
    int64_t now = time(NULL);
    bool failed = false;
    struct ocsp_entry *e = ocsp_cache_find(o->cache, id);
    if (!e) {
        metrics_ocsp_cache(o->metrics, METRIC_OCSP_MISS);
        return false;
    }
    if (only && memcmp(only->key_id, e->authority, sizeof e->authority) != 0)
        return false;
    if (now >= e->until || now < e->kept->this_update || !still_served(o, e, id)) {
        metrics_ocsp_cache(o->metrics, METRIC_OCSP_MISS);
        ocsp_cache_drop(o->cache, e);
        return false;
    }
    if (!still_true(o, e, &failed)) {
        if (failed) {
            try_later(o, r, METRIC_OCSP_FAILED, "the store cannot be read");
            return true;
        }
        metrics_ocsp_cache(o->metrics, METRIC_OCSP_CHANGED);
        ocsp_cache_drop(o->cache, e);
        return false;
    }
    if (now >= e->renew_at)
        renew(o, r, der, id);
    reply_kept(o, r, e->kept, now);
    return true;
}

static void keep(struct ocsp_http *o, const struct ocsp_ask *a, struct ocsp_kept *k, int64_t now)
{
    const struct ocsp_answer *answer = &a->job->answer;
    int64_t life = answer->next_update - now;
    struct ocsp_id id;
    struct err err = {0};
    struct ocsp_entry *e;
    if (!a->key_n || life <= 0 || !ocsp_id_parse(view_of(a->key, a->key_n), &id, &err) ||
        !(e = ocsp_cache_place(o->cache, &id)))
        return;
    ocsp_kept_release(e->kept);
    e->kept = ocsp_kept_get1(k);
    memcpy(e->authority, answer->authority->key_id, sizeof e->authority);
    e->basis = answer->basis;
    e->renew_at = now + life / 2;
    e->until = answer->next_update - life / LAST_PART;
    e->epoch = a->epoch;
}

/* ---- signed elsewhere ---- */

/* An issuer above whose key is not here has answered beforehand.  A nonce cannot be in it, which
 * RFC 9654 section 2.1 lets the client judge.  True when it was answered. */
static bool from_offline(struct ocsp_http *o, struct http_request *r, const struct ocsp_request *q)
{
    const struct ocsp_id *id = &q->id[0];
    const struct offline_asked asked = {id->digest, id->name_hash, id->key_hash, id->serial};
    struct store_offline found = {0};
    struct err ignored = {0};
    int64_t now = time(NULL);
    if (q->n != 1 || !id->known ||
        !offline_ocsp_find(o->serving.world->store, &asked, now, &found, &ignored))
        return false;
    struct ocsp_answer a = {.response = found.der,
                            .this_update = found.this_update,
                            .next_update = found.next_update,
                            .said = found.said ? OCSP_REVOKED : OCSP_GOOD};
    struct ocsp_kept *k = ocsp_kept_new(&a);
    if (k)
        reply_kept(o, r, k, now);
    else
        try_later(o, r, METRIC_OCSP_FAILED, "out of memory");
    ocsp_kept_release(k);
    buf_clear(&a.response);
    return true;
}

/* ---- requests ---- */

bool ocsp_http_decode(const char *text, struct buf *der, struct err *err)
{
    struct buf base64 = {0};
    size_t slashes;
    buf_reset(der);
    bool ok = http_percent_decode(text, strlen(text), &base64) ||
              err_refuse(err, REASON_HTTP_MALFORMED, "a bad escape is in the path");
    for (slashes = 0; ok && slashes < base64.n && base64.p[slashes] == '/';)
        slashes++; /* DER begins with 0x30: never with this digit */
    ok = ok && http_query_base64(view_of(base64.p + slashes, base64.n - slashes), der, err);
    buf_clear(&base64);
    return ok;
}

static enum metric_ocsp_hash hash_of(const struct ocsp_id *id)
{
    static const uint8_t hashes[DIGEST_COUNT] = {[DIGEST_SHA1] = METRIC_OCSP_SHA1,
                                                 [DIGEST_SHA256] = METRIC_OCSP_SHA256,
                                                 [DIGEST_SHA384] = METRIC_OCSP_SHA384,
                                                 [DIGEST_SHA512] = METRIC_OCSP_SHA512};
    return id->known && hashes[id->digest] ? hashes[id->digest] : METRIC_OCSP_OTHER_HASH;
}

static void answer(struct ocsp_http *o, struct http_request *r, const struct authority *only,
                   struct view der)
{
    struct ocsp_request q = {0};
    struct err err = {0};
    bool post = http_method(r) == HTTP_POST;
    if (!ocsp_request_parse(der, o->serving.world->max_ids, &q, &err)) {
        metrics_ocsp_request(o->metrics, post, METRIC_OCSP_NO_HASH);
        if (err.kind == ERR_REFUSED)
            refuse(o, r, OCSP_MALFORMED_REQUEST, err.text);
        else
            try_later(o, r, METRIC_OCSP_FAILED, err.text);
        return;
    }
    metrics_ocsp_request(o->metrics, post, hash_of(&q.id[0]));
    bool common = q.n == 1 && !q.nonce.p && q.id[0].known;
    if (!common)
        metrics_ocsp_cache(o->metrics, METRIC_OCSP_NOT_KEPT);
    if (!common || !from_cache(o, r, only, der, &q.id[0])) {
        if (ocsp_issuers_find(o->serving.world->issuers, only, &q))
            sign(o, r, only, der, common ? &q.id[0] : NULL);
        else if (!from_offline(o, r, &q))
            refuse(o, r, OCSP_UNAUTHORIZED,
                   "no certificate of an authority of this path is asked for");
    }
    ocsp_request_clear(&q);
}

bool ocsp_http_request(void *ocsp_http, struct http_request *r)
{
    struct ocsp_http *o = ocsp_http;
    struct err err = {0};
    const char *path = http_raw_path(r), *rest;
    const struct route *route = routes_ocsp(o->serving.routes, path, &rest);
    if (!route)
        return false;
    const struct authority *only =
        route->kind == ROUTE_OCSP_ALL ? NULL : o->serving.authorities[route->index];
    if (http_method(r) == HTTP_POST) {
        if (http_body(r).n > OCSP_MAX_REQUEST)
            reply_too_long(o, r, 413, "an OCSP request has 64 KiB at most\n");
        else
            answer(o, r, only, http_body(r));
    } else if (strlen(rest) > 2 * OCSP_MAX_REQUEST) {
        reply_too_long(o, r, 414, "an OCSP request has 64 KiB at most\n");
    } else if (ocsp_http_decode(rest, &o->der, &err)) {
        answer(o, r, only, buf_view(&o->der));
    } else {
        metrics_ocsp_request(o->metrics, false, METRIC_OCSP_NO_HASH);
        refuse(o, r, OCSP_MALFORMED_REQUEST, err.text);
    }
    return true;
}

/* ---- what comes back ---- */

static void tell_failure(struct ocsp_http *o, const struct ocsp_job *job)
{
    const struct ocsp_answer *a = &job->answer;
    if (a->status == OCSP_TRY_LATER || a->status == OCSP_INTERNAL_ERROR)
        tell(o, &o->failed_limit, a->status == OCSP_TRY_LATER ? LOG_LEVEL_WARNING : LOG_LEVEL_ERROR,
             "ocsp.failed", job->peer, a->status,
             a->err.kind != ERR_NONE ? a->err.text
                                     : "the responder's certificate or its key cannot be used");
}

/* To one of those who wait; `k` NULL: it is not kept. */
static void reply_answer(struct ocsp_http *o, struct http_request *r, const struct ocsp_job *job,
                         struct ocsp_kept *k, int64_t now)
{
    const struct ocsp_answer *a = &job->answer;
    if (job->undone) {
        try_later(o, r, METRIC_OCSP_QUEUE, "it waited too long, or made room for others");
    } else if (k) {
        reply_kept(o, r, k, now);
    } else if (a->response.n == 0) {
        try_later(o, r, METRIC_OCSP_FAILED, "out of memory");
    } else {
        if (a->status == OCSP_TRY_LATER)
            metrics_ocsp_later(o->metrics, METRIC_OCSP_FAILED);
        reply_once(o, r, a->status, a->said, buf_view(&a->response));
    }
}

static void finish(struct ocsp_http *o, struct ocsp_job *job, int64_t now)
{
    struct ocsp_ask *a = job->tag;
    struct ocsp_kept *k = NULL;
    tell_failure(o, job);
    if (!job->undone && job->answer.status == OCSP_SUCCESSFUL)
        metrics_ocsp_signed(o->metrics, (double)(now_us() - job->submitted_us) / 1e6);
    if (!job->undone && job->answer.keep && job->answer.status == OCSP_SUCCESSFUL &&
        (k = ocsp_kept_new(&job->answer)) != NULL)
        keep(o, a, k, now);
    for (const struct waiter *w = a->waiters; w; w = w->next)
        reply_answer(o, w->request, job, k, now);
    ocsp_kept_release(k);
    ask_free(a);
}

void ocsp_http_done(void *ocsp_http, struct ocsp_job *jobs)
{
    struct ocsp_http *o = ocsp_http;
    const uint64_t one = 1;
    struct ocsp_job **end = &jobs->next;
    while (*end)
        end = &(*end)->next;
    pthread_mutex_lock(&o->lock);
    bool first = o->done == NULL;
    *o->done_end = jobs;
    o->done_end = end;
    pthread_mutex_unlock(&o->lock);
    if (first && write(o->wake, &one, sizeof one) != sizeof one)
        return; /* the counter is full: the loop is to wake up already */
}

void ocsp_http_answer(struct ocsp_http *o)
{
    int64_t now = time(NULL);
    pthread_mutex_lock(&o->lock);
    struct ocsp_job *job = o->done, *next;
    o->done = NULL;
    o->done_end = &o->done;
    pthread_mutex_unlock(&o->lock);
    for (; job; job = next) {
        next = job->next;
        finish(o, job, now);
    }
}

static void on_woken(evutil_socket_t fd, short what, void *ocsp_http)
{
    uint64_t count;
    if (read(fd, &count, sizeof count) == sizeof count)
        ocsp_http_answer(ocsp_http);
}

/* ---- life ---- */

bool ocsp_http_init(struct ocsp_http *o, struct event_base *base, struct err *err)
{
    o->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (o->wake < 0)
        return err_errno(err, "cannot make an eventfd");
    pthread_mutex_init(&o->lock, NULL);
    o->done_end = &o->done;
    network_secret(o->secret);
    ocsp_budget_init(&o->budget);
    for (size_t i = 0; i < OCSP_ASK_BUCKETS; i++)
        LIST_INIT(&o->asks[i]);
    o->cache = ocsp_cache_new(1);
    o->woken = event_new(base, o->wake, EV_READ | EV_PERSIST, on_woken, o);
    if (!o->cache || !o->woken || event_add(o->woken, NULL) != 0) {
        ocsp_http_clear(o);
        return err_memory(err);
    }
    return true;
}

void ocsp_http_clear(struct ocsp_http *o)
{
    struct ocsp_job *next;
    for (struct ocsp_job *job = o->done; job; job = next) {
        next = job->next;
        ask_free(job->tag);
    }
    if (o->woken)
        event_free(o->woken);
    ocsp_cache_free(o->cache);
    buf_clear(&o->der);
    close(o->wake);
    pthread_mutex_destroy(&o->lock);
    *o = (struct ocsp_http){.wake = -1};
}

bool ocsp_http_use(struct ocsp_http *o, const struct ocsp_serving *s)
{
    const struct ocsp_rules *rules = &s->world->rules;
    if (memcmp(o->keys, s->keys, sizeof o->keys) != 0 ||
        memcmp(&o->rules, rules, sizeof *rules) != 0)
        o->epoch++;
    memcpy(o->keys, s->keys, sizeof o->keys);
    memcpy(&o->rules, rules, sizeof *rules);
    o->serving = *s;
    o->serving.keys = o->keys;
    snprintf(o->cache_control, sizeof o->cache_control, CACHE_CONTROL, s->max_age);
    return ocsp_cache_resize(o->cache, s->cache);
}

void ocsp_http_tick(struct ocsp_http *o, int64_t now)
{
    log_limit_flush(&o->refused_limit, o->log, now);
    log_limit_flush(&o->failed_limit, o->log, now);
    metrics_ocsp_cached(o->metrics, ocsp_cache_count(o->cache));
}
