/* The probe's HTTP: every request as it is wanted, down to the version and the headers, and
 * everything that is told about the answer.  Redirections are not followed, no SCEP client does. */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/text.h"
#include "scepctl/probe.h"

#define MAX_HEADERS (64u << 10) /* octets of all header lines of one answer */

struct probe_http {
    CURL *curl;
    char *base;  /* the URL up to its query */
    char *query; /* the URL's own query; NULL */
    size_t host_end;
    struct timespec start, end; /* of everything */
    bool tls, distrusts, insecure;
    long timeout_ms;
    /* of the exchange under way */
    struct probe_answer *answer;
    size_t header_octets;
    bool too_large;
};

static size_t on_body(char *data, size_t size, size_t n, void *ctx)
{
    struct probe_http *h = ctx;
    struct buf *b = &h->answer->body;
    h->too_large = b->n + size * n > PROBE_MAX_ANSWER;
    if (h->too_large || !buf_append(b, data, size * n))
        return 0; /* curl takes it as a write error */
    return size * n;
}

/* The value of a header line if it is `name`'s; blanks around it are cut off. */
static bool header_value(struct view line, const char *name, char *out, size_t cap)
{
    size_t n = strlen(name);
    if (line.n <= n || strncasecmp((const char *)line.p, name, n) != 0 || line.p[n] != ':')
        return false;
    struct view v = view_of(line.p + n + 1, line.n - n - 1);
    while (v.n && (*v.p == ' ' || *v.p == '\t'))
        v = view_of(v.p + 1, v.n - 1);
    while (v.n && strchr(" \t\r\n", v.p[v.n - 1]))
        v.n--;
    text_printable(v, out, cap);
    return true;
}

static size_t on_header(char *data, size_t size, size_t n, void *ctx)
{
    struct probe_http *h = ctx;
    struct view line = view_of(data, size * n);
    char date[64];
    h->header_octets += line.n;
    if (h->header_octets > MAX_HEADERS)
        return 0;
    if (header_value(line, "Content-Type", h->answer->type, sizeof h->answer->type))
        h->answer->has_type = true;
    header_value(line, "Server", h->answer->server, sizeof h->answer->server);
    header_value(line, "Location", h->answer->location, sizeof h->answer->location);
    header_value(line, "Cache-Control", h->answer->cache, sizeof h->answer->cache);
    if (header_value(line, "Date", date, sizeof date)) {
        time_t t = curl_getdate(date, NULL);
        h->answer->date = t > 0 ? (int64_t)t : 0;
    }
    return line.n;
}

static bool split_url(const char *url, struct probe_http *h, struct err *err)
{
    const char *scheme = strstr(url, "://"), *query = strchr(url, '?');
    if (!scheme || (strncasecmp(url, "http://", 7) && strncasecmp(url, "https://", 8)))
        return err_set(err, ERR_CONFIG, "\"%s\" is no URL of http or https", url);
    h->tls = strncasecmp(url, "https://", 8) == 0;
    h->base = query ? strndup(url, (size_t)(query - url)) : strdup(url);
    h->query = query && query[1] ? strdup(query + 1) : NULL;
    if (!h->base || (query && query[1] && !h->query))
        return err_memory(err);
    h->host_end = (size_t)(scheme - url) + 3;
    h->host_end += strcspn(h->base + h->host_end, "/");
    return true;
}

bool probe_http_new(const struct probe_options *o, struct probe_http **out, struct err *err)
{
    struct probe_http *h = calloc(1, sizeof *h);
    if (!h)
        return err_memory(err);
    if (!split_url(o->url, h, err)) {
        probe_http_free(h);
        return false;
    }
    h->curl = curl_easy_init();
    if (!h->curl) {
        probe_http_free(h);
        return err_memory(err);
    }
    h->timeout_ms = 1000L * o->timeout;
    clock_gettime(CLOCK_MONOTONIC, &h->start);
    h->end = h->start;
    h->end.tv_sec += o->total;
    *out = h;
    return true;
}

void probe_http_free(struct probe_http *h)
{
    if (!h)
        return;
    if (h->curl)
        curl_easy_cleanup(h->curl);
    free(h->base);
    free(h->query);
    free(h);
}

int64_t probe_now(const struct probe *p)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return p->ctl->now + (now.tv_sec - p->http->start.tv_sec);
}

bool probe_http_is_tls(const struct probe_http *h)
{
    return h->tls;
}

bool probe_http_distrusts(struct probe_http *h)
{
    h->insecure = h->insecure || h->distrusts;
    return h->distrusts;
}

void probe_answer_clear(struct probe_answer *a)
{
    buf_clear(&a->body);
    *a = (struct probe_answer){0};
}

bool probe_escape(struct view text, struct buf *out)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    for (size_t i = 0; i < text.n; i++) {
        bool as_is = text.p[i] && strchr(plain, text.p[i]);
        if (as_is ? !buf_append(out, text.p + i, 1) : !buf_printf(out, "%%%02X", text.p[i]))
            return false;
    }
    return true;
}

static bool build_url(const struct probe_http *h, const struct probe_request *r, struct buf *out)
{
    bool ok = r->path ? buf_append(out, h->base, h->host_end) && buf_append_str(out, r->path)
                      : buf_append_str(out, h->base);
    if (ok && r->suffix) {
        while (out->n > h->host_end && out->p[out->n - 1] == '/')
            out->n--;
        ok = buf_append_str(out, r->suffix);
    }
    bool own = h->query && !r->path;
    if (ok && (own || r->query))
        ok = buf_printf(out, "?%s%s%s", own ? h->query : "", own && r->query ? "&" : "",
                        r->query ? r->query : "");
    return ok && buf_append(out, "", 1);
}

/* Milliseconds for this exchange; 0: the time for all of them is over. */
static long time_left(const struct probe_http *h)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t left = (h->end.tv_sec - now.tv_sec) * 1000 + (h->end.tv_nsec - now.tv_nsec) / 1000000;
    if (left <= 0)
        return 0;
    return left < h->timeout_ms ? (long)left : h->timeout_ms;
}

static bool add_header(struct curl_slist **list, const char *line)
{
    struct curl_slist *more = curl_slist_append(*list, line);
    *list = more ? more : *list;
    return more != NULL;
}

static bool set_headers(const struct probe_request *r, struct curl_slist **list)
{
    char type[160];
    bool ok = add_header(list, "Expect:") && (!r->http10 || add_header(list, "Host:"));
    if (!ok || !r->body)
        return ok;
    if (r->type && !*r->type) /* as sscep and strongSwan send it */
        return add_header(list, "Content-Type:");
    snprintf(type, sizeof type, "Content-Type: %s",
             r->type ? r->type : "application/x-pki-message");
    return add_header(list, type);
}

static void set_request(struct probe_http *h, const struct probe_request *r, const char *url,
                        const struct curl_slist *headers, long timeout)
{
    CURL *c = h->curl;
    curl_easy_reset(c);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_USERAGENT, "scepctl");
    curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, timeout);
    curl_easy_setopt(c, CURLOPT_HTTP_VERSION,
                     r->http10 ? (long)CURL_HTTP_VERSION_1_0 : (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, h->insecure ? 0L : 1L);
    curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, h->insecure ? 0L : 2L);
    if (r->tls12)
        curl_easy_setopt(c, CURLOPT_SSLVERSION,
                         (long)CURL_SSLVERSION_TLSv1_2 | (long)CURL_SSLVERSION_MAX_TLSv1_2);
    curl_easy_setopt(c, CURLOPT_FRESH_CONNECT,
                     r->own_connection || r->http10 || r->tls12 ? 1L : 0L);
    curl_easy_setopt(c, CURLOPT_URL, url);
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, h);
    curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(c, CURLOPT_HEADERDATA, h);
    if (r->body) {
        curl_easy_setopt(c, CURLOPT_POST, 1L);
        curl_easy_setopt(c, CURLOPT_POSTFIELDS, r->body->n ? (const char *)r->body->p : "");
        curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body->n);
    }
    if (r->method && strcmp(r->method, "HEAD") == 0)
        curl_easy_setopt(c, CURLOPT_NOBODY, 1L);
    else if (r->method)
        curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, r->method);
}

static void read_answer(struct probe_http *h)
{
    struct probe_answer *a = h->answer;
    long connects = 0;
    const char *ip = NULL;
    curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &a->status);
    curl_easy_getinfo(h->curl, CURLINFO_NUM_CONNECTS, &connects);
    curl_easy_getinfo(h->curl, CURLINFO_PRIMARY_PORT, &a->port);
    curl_easy_getinfo(h->curl, CURLINFO_PRIMARY_IP, &ip);
    double connected = 0;
    curl_easy_getinfo(h->curl, CURLINFO_CONNECT_TIME, &connected);
    a->ms = connected * 1000;
    a->new_connection = connects > 0;
    snprintf(a->ip, sizeof a->ip, "%s", ip ? ip : "");
}

static bool perform(struct probe_http *h, const struct probe_request *r, const char *url,
                    struct err *err)
{
    struct curl_slist *headers = NULL;
    long timeout = time_left(h);
    if (timeout == 0)
        return err_set(err, ERR_BUSY, "not tried: the time for the whole probe is over");
    bool ready = set_headers(r, &headers);
    CURLcode code = CURLE_OUT_OF_MEMORY;
    if (ready) {
        set_request(h, r, url, headers, timeout);
        code = curl_easy_perform(h->curl);
    }
    curl_slist_free_all(headers);
    h->distrusts = code == CURLE_PEER_FAILED_VERIFICATION;
    if (code == CURLE_OK) {
        read_answer(h);
        return true;
    }
    if (code == CURLE_OUT_OF_MEMORY)
        return err_memory(err);
    if (h->too_large)
        return err_set(err, ERR_IO, "the answer has more than %u octets", PROBE_MAX_ANSWER);
    if (h->header_octets > MAX_HEADERS)
        return err_set(err, ERR_IO, "the headers have more than %u octets", MAX_HEADERS);
    return err_set(err, ERR_IO, "%s", curl_easy_strerror(code));
}

bool probe_send(struct probe *p, const struct probe_request *r, struct probe_answer *out,
                struct err *err)
{
    struct probe_http *h = p->http;
    struct buf url = {0};
    *out = (struct probe_answer){0};
    if (++p->requests > PROBE_MAX_REQUESTS)
        return err_set(err, ERR_BUSY, "not tried: more than %d requests", PROBE_MAX_REQUESTS);
    h->answer = out;
    h->header_octets = 0;
    h->too_large = false;
    bool ok = build_url(h, r, &url) ? perform(h, r, (const char *)url.p, err) : err_memory(err);
    buf_clear(&url);
    h->answer = NULL;
    return ok;
}
