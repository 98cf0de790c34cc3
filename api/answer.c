/* One call, from bytes to bytes: the whole path on one screen (api_answer). */
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api_internal.h"
#include "base/memory.h"
#include "enroll/audit.h"
#include "reads.h"

const char *const api_header_names[API_HEADERS] = {
    [API_AUTHORIZATION] = "Authorization",
    [API_COOKIE] = "Cookie",
    [API_CONTENT_TYPE] = "Content-Type",
    [API_ACCEPT] = "Accept",
    [API_IF_MATCH] = "If-Match",
    [API_IF_NONE_MATCH] = "If-None-Match",
    [API_IDEMPOTENCY_KEY] = "Idempotency-Key",
    [API_ORIGIN] = "Origin",
    [API_HOST] = "Host",
    [API_FETCH_SITE] = "Sec-Fetch-Site",
    [API_USER_AGENT] = "User-Agent",
    [API_REQUEST_ID] = "X-Request-Id",
};

/* ---- paths and queries ---- */

static char *decode(const char *s, size_t n)
{
    struct buf b = {0};
    if (!http_percent_decode(s, n, &b) || memchr(b.p ? (char *)b.p : "", '\0', b.n) ||
        !buf_append(&b, "", 1)) {
        buf_clear(&b);
        return NULL;
    }
    return (char *)b.p;
}

/* "/a/b" becomes "a", "b": decoded after it was split, so that an escaped slash never makes two. */
bool api_path_split(struct api_call_private *p, const char *path)
{
    struct buf owned = {0};
    size_t at[API_SEGMENTS], n = 0;
    bool ok = *path == '/';
    for (const char *s = path; ok && *s;) {
        s++;
        size_t length = strcspn(s, "/");
        size_t from = owned.n;
        ok = n < API_SEGMENTS && length > 0 && length <= API_SEGMENT_MAX;
        if (!ok)
            break;
        at[n++] = from;
        ok = http_percent_decode(s, length, &owned) && buf_append(&owned, "", 1);
        const char *text = ok ? (const char *)owned.p + from : "";
        ok = ok && strlen(text) == owned.n - from - 1 && *text && strcmp(text, ".") != 0 &&
             strcmp(text, "..") != 0 && !strpbrk(text, "/\\");
        s += length;
    }
    if (!ok) {
        buf_clear(&owned);
        return false;
    }
    p->owned = (char *)owned.p;
    p->segment_n = n;
    for (size_t i = 0; i < n; i++)
        p->segment[i] = p->owned + at[i];
    return true;
}

/* '+' is a plus: forms are not sent here. */
bool api_query_split(struct api_call_private *p, const char *query)
{
    for (const char *s = query; *s; s += *s == '&') {
        size_t n = strcspn(s, "&"), name_n = strcspn(s, "=&");
        if (n == 0)
            continue;
        if (p->query_n == API_QUERY_MAX)
            return false;
        char *name = decode(s, name_n);
        char *value = decode(s + name_n + (name_n < n), n - name_n - (name_n < n));
        if (!name || !value) {
            free(name);
            free(value);
            return false;
        }
        p->query[p->query_n].name = name;
        p->query[p->query_n++].value = value;
        s += n;
    }
    return true;
}

static void private_clear(struct api_call_private *p)
{
    for (size_t i = 0; i < p->query_n; i++) {
        free(p->query[i].name);
        free(p->query[i].value);
    }
    free(p->owned);
    json_decref(p->faults);
    json_decref(p->items);
}

/* ---- what every answer has ---- */

/* The client's own, if it is harmless, so that it finds its call in our log. */
static void request_id(struct api_call *c)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.";
    char *out = c->priv->out->request_id;
    const char *given = c->request->header[API_REQUEST_ID];
    size_t n = given ? strlen(given) : 0;
    uint8_t random[10] = {0};
    if (n >= 8 && n < sizeof c->priv->out->request_id && strspn(given, allowed) == n) {
        memcpy(out, given, n + 1);
    } else {
        RAND_bytes(random, sizeof random); /* only to be told apart */
        for (size_t i = 0; i < sizeof random; i++)
            snprintf(out + 2 * i, 3, "%02x", random[i]);
    }
    api_reply_header(c, "X-Request-Id", "%s", out);
}

static bool has_header(const struct api_reply *r, const char *name)
{
    for (size_t i = 0; i < r->header_n; i++)
        if (strcmp(r->header[i].name, name) == 0)
            return true;
    return false;
}

/* Nothing here is for caches, frames, or other sites' scripts. */
static void common_headers(struct api_call *c)
{
    static const struct {
        const char *name, *value;
    } common[] = {
        {"Cache-Control", "no-store"},
        {"X-Content-Type-Options", "nosniff"},
        {"Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"},
        {"Referrer-Policy", "no-referrer"},
        {"Cross-Origin-Resource-Policy", "same-origin"},
    };
    struct api_reply *r = c->priv->out;
    bool live = r->status < 300 && c->route && c->route->method == HTTP_GET &&
                has_header(r, "ETag") && !(c->route->flags & API_SECRETS);
    for (size_t i = 0; i < sizeof common / sizeof *common; i++) {
        const char *value = common[i].value;
        if (i == 0 && (live || r->status == 304))
            value =
                "private, no-cache"; /* may be kept by the browser, and is asked for each time */
        if (!has_header(r, common[i].name))
            api_reply_header(c, common[i].name, "%s", value);
    }
    if (c->world->tls)
        api_reply_header(c, "Strict-Transport-Security", "max-age=31536000");
}

/* ---- audit ---- */

static const char *object_of(const struct api_call *c)
{
    for (size_t i = 0; c->route && i < c->priv->segment_n; i++) {
        const char *p = c->route->path;
        for (size_t k = 0; k < i; k++)
            p = strchr(p + 1, '/');
        if (p && p[1] == '{')
            return c->priv->segment[i];
    }
    return "";
}

static bool audit_write(struct api_call *c, const struct store_audit *entry, struct err *err)
{
    struct store_write *w = NULL;
    if (!store_write_begin(c->world->store, &w, err))
        return false;
    if (store_audit_put(w, entry, err))
        return store_write_commit(w, err);
    store_write_abort(w);
    return false;
}

/* Every call of somebody, and every one that was refused for who made it.  One that may change
 * something at once; the others in bounded numbers. */
static void audit(struct api_call *c, const char *name, bool changes)
{
    const struct api_reply *r = c->priv->out;
    struct store_audit entry;
    struct err err = {0};
    uint64_t more = 0;
    char left_out[64] = "";
    bool refused = r->status == 401 || r->status == 403 || r->status == 429;
    bool asked = strcmp(r->code, "sign_in.needed") == 0;
    if (asked || (!refused && c->actor->role == ROLE_NONE))
        return;
    if (!refused && !changes) {
        api_reads_note(c, name);
        return;
    }
    if (refused && !api_guard_record(c->world->state, c->request->peer, api_now(c), &more))
        return;
    if (more > 0)
        snprintf(left_out, sizeof left_out, "; %llu others before it are not recorded",
                 (unsigned long long)more);
    audit_fill(&entry, api_now(c), refused ? "api.refused" : "api.called",
               *c->actor->name ? c->actor->name : "nobody", object_of(c), "%s %s from %s: %d%s%s%s",
               http_method_name(c->request->method), name, c->request->peer, r->status,
               *r->code ? " " : "", r->code, left_out);
    if (!audit_write(c, &entry, &err))
        log_event(c->world->log, LOG_LEVEL_ERROR, "api.audit",
                  "%s by %s is not in the audit log: %s", name,
                  *c->actor->name ? c->actor->name : "nobody", err.text);
}

/* ---- routes ---- */

static bool role_allows(struct api_call *c, enum account_role least)
{
    if (c->actor->role >= least)
        return true;
    if (c->actor->role == ROLE_NONE)
        api_ask_sign_in(c, c->route == NULL, "sign_in.needed",
                        "This call needs somebody signed in.");
    else
        api_problem(c, 403, "role.missing", "It takes the role %s; %s has the role %s.",
                    api_role_name(least), c->actor->name, api_role_name(c->actor->role));
    return false;
}

static bool conditions_hold(struct api_call *c)
{
    const char *h = c->request->header[API_IF_MATCH];
    if (!(c->route->flags & API_CONDITIONAL))
        return true;
    if (!h || !*h) {
        api_problem(c, 428, "condition.needed",
                    "Send the etag that you have seen in If-Match, or * for whatever stands.");
        return false;
    }
    return true;
}

/* "application/pkix-cert, application/x-pem-file": the first of them that the client wants more
 * than JSON. */
static void choose_media(struct api_call *c, char out[64])
{
    const char *accept = c->request->header[API_ACCEPT];
    const char *p = c->route->media;
    if (!accept || !p || strstr(accept, "application/json"))
        return;
    while (*p) {
        size_t n = strcspn(p, ",");
        snprintf(out, 64, "%.*s", (int)n, p);
        if (strstr(accept, out)) {
            c->accept = out;
            return;
        }
        p += n;
        p += strspn(p, ", ");
    }
}

static void run(struct api_call *c)
{
    struct err err = {0};
    bool ok;
    do {
        err_clear(&err);
        ok = c->route->handle(c, &err);
    } while (!ok && err.kind == ERR_CONFLICT && (c->route->flags & API_CONDITIONAL) &&
             c->priv->tries++ == 0);
    c->priv->failed = !ok;
    if (!ok)
        api_problem_of(c, &err);
    else if (c->priv->faults && !c->priv->replied)
        api_problem_faults(c);
    else if (!c->priv->replied)
        api_reply_none(c);
}

static void call_route(struct api_call *c)
{
    json_t *body = NULL;
    struct api_repeat repeat;
    char media[64] = "";
    bool reads = c->route->method == HTTP_GET;
    if ((c->route->role != ROLE_NONE && !api_sign_in(c, false)) || !role_allows(c, c->route->role))
        return;
    if (c->route->flags & API_TELLS_READS)
        api_reads_settle(c);
    if (reads && (c->route->flags & (API_LIST | API_LIVE)) && !api_reply_live(c))
        return;
    api_check_query(c);
    choose_media(c, media);
    if ((!reads && !api_check_body(c, &body)) || !conditions_hold(c)) {
        json_decref(body);
        return;
    }
    if (api_faulty(c)) {
        api_problem_faults(c);
    } else if (memory_failed()) { /* of what is wanted a part may be lost, and nobody sees which */
        struct err err = {0};
        err_memory(&err);
        api_problem_of(c, &err);
    } else if (reads) {
        run(c);
    } else if (api_repeat_begin(c, &repeat)) {
        run(c);
        api_repeat_done(c, &repeat);
    }
    json_decref(body);
}

static void answer_api(struct api_call *c)
{
    char allow[64];
    if (!api_path_split(c->priv, c->request->path + strlen(API_ROOT))) {
        api_problem(c, 404, "path.unknown", "There is no such path.");
        return;
    }
    c->route = api_route_find(c->priv->segment, c->priv->segment_n, c->request->method, allow);
    if (!c->route && !*allow) {
        api_problem(c, 404, "path.unknown", "There is no such path.");
        return;
    }
    if (!c->route) {
        api_problem(c, 405, "method.forbidden", "Here are %s.", allow);
        api_reply_header(c, "Allow", "%s", allow);
        return;
    }
    snprintf(c->priv->out->operation, sizeof c->priv->out->operation, "%s", c->route->operation);
    call_route(c);
    audit(c, c->route->operation,
          c->route->method != HTTP_GET && !(c->route->flags & API_UNRECORDED));
}

/* ---- pages ---- */

static const struct api_page *page_at(const struct api_world *w, const char *path)
{
    for (size_t i = 0; api_pages[i]; i++)
        if (api_pages[i]->matches(w, path))
            return api_pages[i];
    return NULL;
}

static void answer_page(struct api_call *c, const struct api_page *page)
{
    struct err err = {0};
    snprintf(c->priv->out->operation, sizeof c->priv->out->operation, "%s", page->name);
    if (page->role == ROLE_NONE || (api_sign_in(c, page->basic) && role_allows(c, page->role))) {
        if (!page->handle(c, &err))
            api_problem_of(c, &err);
        else if (!c->priv->replied)
            api_reply_none(c);
    }
    audit(c, page->name, page->changes);
}

/* ---- all of it ---- */

static bool below_root(const char *path)
{
    size_t n = strlen(API_ROOT);
    return strncmp(path, API_ROOT, n) == 0 && path[n] == '/';
}

void api_answer(const struct api_world *w, const struct api_request *request, struct api_reply *out)
{
    struct api_call_private priv = {.out = out};
    struct api_call c = {.world = w,
                         .request = request,
                         .actor = &priv.actor,
                         .limit = API_LIMIT,
                         .cursor = "",
                         .priv = &priv};
    memory_forget();
    char *path = decode(request->path, strlen(request->path));
    const struct api_page *page = NULL;
    request_id(&c);
    priv.bad_query = !api_query_split(&priv, request->query);
    if (!path)
        api_problem(&c, 400, "request.malformed", "The path cannot be read.");
    else if (below_root(request->path))
        answer_api(&c);
    else if ((page = page_at(w, path)))
        answer_page(&c, page);
    else
        api_problem(&c, 404, "path.unknown",
                    "There is nothing here; %s/openapi.json has all calls.", API_ROOT);
    common_headers(&c);
    free(path);
    private_clear(&priv);
}

bool api_housekeep(struct store *s, int64_t now, struct err *err)
{
    struct store_write *w = NULL;
    uint64_t tokens, kept;
    /* Those that have ended are still told apart from those that never were, for a week. */
    if (!store_write_begin(s, &w, err))
        return false;
    if (store_token_purge(w, now - 7 * 86400, &tokens, err) &&
        store_kept_purge(w, now - 86400, &kept, err)) {
        if (tokens + kept > 0)
            return store_write_commit(w, err);
        store_write_abort(w);
        return true;
    }
    store_write_abort(w);
    return false;
}
