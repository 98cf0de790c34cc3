/* What a handler answers with. */
#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api_internal.h"
#include "base/hex.h"
#include "base/json.h"
#include "base/memory.h"

void api_reply_reset(struct api_reply *r)
{
    buf_wipe(&r->body);
    for (size_t i = 0; i < r->header_n; i++) {
        OPENSSL_cleanse(r->header[i].value, strlen(r->header[i].value));
        free(r->header[i].value);
    }
    r->header_n = 0;
}

void api_reply_clear(struct api_reply *r)
{
    if (!r)
        return;
    api_reply_reset(r);
    *r = (struct api_reply){.status = 0};
}

/* Takes `value`. */
static void header_put(struct api_reply *r, const char *name, char *value)
{
    r->header[r->header_n].name = name;
    r->header[r->header_n++].value = value;
}

static void out_of_memory(struct api_call *c)
{
    struct api_reply *r = c->priv->out;
    char *after = strdup("2");
    api_reply_reset(r);
    r->status = 503;
    snprintf(r->content_type, sizeof r->content_type, "text/plain; charset=utf-8");
    buf_append_str(&r->body, "out of memory\n");
    if (after)
        header_put(r, "Retry-After", after);
    c->priv->replied = true;
}

/* Without a cookie, a tag or a place an answer says what is not so: it is none then. */
void api_reply_header(struct api_call *c, const char *name, const char *fmt, ...)
{
    struct api_reply *r = c->priv->out;
    char *value = NULL;
    va_list ap;
    if (r->header_n == API_REPLY_HEADERS)
        return;
    va_start(ap, fmt);
    int n = vasprintf(&value, fmt, ap);
    va_end(ap);
    if (n >= 0) {
        header_put(r, name, value);
        return;
    }
    memory_missed();
    if (c->priv->replied)
        out_of_memory(c);
}

void api_reply_untag(struct api_call *c)
{
    struct api_reply *r = c->priv->out;
    size_t kept = 0;
    for (size_t i = 0; i < r->header_n; i++)
        if (strcmp(r->header[i].name, "ETag") == 0)
            free(r->header[i].value);
        else
            r->header[kept++] = r->header[i];
    r->header_n = kept;
}

void api_reply_bytes(struct api_call *c, int status, const char *content_type, struct view body)
{
    struct api_reply *r = c->priv->out;
    buf_wipe(&r->body);
    r->status = status;
    snprintf(r->content_type, sizeof r->content_type, "%s", content_type);
    c->priv->replied = true;
    if (!buf_append(&r->body, body.p, body.n) || memory_failed())
        out_of_memory(c);
}

static int dump_into(const char *p, size_t n, void *buf)
{
    return buf_append(buf, p, n) ? 0 : -1;
}

void api_reply_json(struct api_call *c, int status, json_t *o)
{
    struct api_reply *r = c->priv->out;
    bool problem = status >= 400;
    buf_wipe(&r->body);
    r->status = status;
    snprintf(r->content_type, sizeof r->content_type, "%s",
             problem ? "application/problem+json" : "application/json");
    c->priv->replied = true;
    /* What was made while memory ran out may lack a member, and jansson passes over a name that
     * cannot be written. */
    if (!o || json_dump_callback(o, dump_into, &r->body, JSON_COMPACT | JSON_PRESERVE_ORDER) != 0 ||
        !buf_append_str(&r->body, "\n") || memory_failed())
        out_of_memory(c);
    json_decref(o);
}

void api_reply_none(struct api_call *c)
{
    struct api_reply *r = c->priv->out;
    buf_wipe(&r->body);
    r->status = 204;
    *r->content_type = '\0';
    c->priv->replied = true;
}

/* ---- conditions ---- */

/* RFC 9110 section 8.8.3 */
bool api_etag_matches(const char *header, const char *tag, bool weak)
{
    const char *own = weak && strncmp(tag, "W/", 2) == 0 ? tag + 2 : tag;
    for (const char *p = header; *p;) {
        p += strspn(p, " \t,");
        if (*p == '*')
            return true;
        bool is_weak = strncmp(p, "W/", 2) == 0;
        const char *begin = is_weak ? p + 2 : p;
        if (*begin != '"')
            return false;
        const char *end = strchr(begin + 1, '"');
        if (!end)
            return false;
        size_t n = (size_t)(end + 1 - begin);
        if ((weak || !is_weak) && strlen(own) == n && memcmp(own, begin, n) == 0)
            return true;
        p = end + 1;
    }
    return false;
}

json_t *api_json_etag(uint64_t version)
{
    return json_sprintf("\"%llu\"", (unsigned long long)version);
}

static bool is_read(const struct api_call *c)
{
    return c->request->method == HTTP_GET || c->request->method == HTTP_HEAD;
}

void api_not_modified(struct api_call *c, const char *tag)
{
    struct api_reply *r = c->priv->out;
    buf_wipe(&r->body);
    r->status = 304;
    *r->content_type = '\0';
    api_reply_header(c, "ETag", "%s", tag);
    c->priv->replied = true;
}

void api_reply_item(struct api_call *c, json_t *o, uint64_t version, const char *location_fmt, ...)
{
    char tag[32], location[600];
    const char *known = c->request->header[API_IF_NONE_MATCH];
    snprintf(tag, sizeof tag, "\"%llu\"", (unsigned long long)version);
    if (is_read(c) && known && api_etag_matches(known, tag, true)) {
        json_decref(o);
        api_not_modified(c, tag);
        return;
    }
    if (o && json_object_set_new(o, "etag", json_string(tag)) != 0) {
        json_decref(o);
        o = NULL;
    }
    api_reply_header(c, "ETag", "%s", tag);
    if (location_fmt) {
        va_list ap;
        va_start(ap, location_fmt);
        vsnprintf(location, sizeof location, location_fmt, ap);
        va_end(ap);
        api_reply_header(c, "Location", "%s%s", API_ROOT, location);
    }
    api_reply_json(c, location_fmt ? 201 : 200, o);
}

bool api_match(struct api_call *c, uint64_t version, json_t *current)
{
    char tag[32];
    const char *h = c->request->header[API_IF_MATCH];
    snprintf(tag, sizeof tag, "\"%llu\"", (unsigned long long)version);
    if (!h || api_etag_matches(h, tag, false)) {
        json_decref(current);
        return true;
    }
    if (current)
        json_object_set_new(current, "etag", json_string(tag));
    api_problem(c, 412, "changed", "It has version %s meanwhile, and the call is for %.40s.", tag,
                h);
    struct api_reply *r = c->priv->out;
    json_error_t why;
    json_t *o = whole_json_read(buf_view(&r->body), &why);
    if (o && current)
        json_object_set(o, "current", current);
    json_decref(current);
    api_reply_json(c, 412, o);
    api_reply_header(c, "ETag", "%s", tag);
    return false;
}

/* By the generation of the store, the configuration and the minute, since states of some items move
 * with time alone. */
bool api_reply_live(struct api_call *c)
{
    uint64_t generation;
    char tag[80];
    struct err err;
    const char *known = c->request->header[API_IF_NONE_MATCH];
    if (!store_generation(c->world->store, &generation, &err))
        return true; /* the handler will find out */
    snprintf(tag, sizeof tag, "W/\"%llx-%llx-%llx-%d\"", (unsigned long long)c->world->epoch,
             (unsigned long long)generation, (unsigned long long)(api_now(c) / 60),
             (int)c->actor->role);
    if (known && api_etag_matches(known, tag, true)) {
        api_not_modified(c, tag);
        return false;
    }
    api_reply_header(c, "ETag", "%s", tag);
    return true;
}

/* ---- lists ---- */

bool api_list_add(struct api_call *c, json_t *item, const char *cursor)
{
    struct api_call_private *p = c->priv;
    if (!p->items)
        p->items = json_array();
    if (json_array_size(p->items) >= (size_t)c->limit) {
        p->more = true;
        json_decref(item);
        return false;
    }
    if (!item || json_array_append_new(p->items, item) != 0) {
        out_of_memory(c);
        return false;
    }
    snprintf(p->last, sizeof p->last, "%s", cursor);
    return json_array_size(p->items) <= (size_t)c->limit;
}

void api_list_next(struct api_call *c, const char *next)
{
    struct api_call_private *p = c->priv;
    p->more = *next != '\0';
    snprintf(p->last, sizeof p->last, "%s", next);
}

/* As it was asked, but for what would end the address or the header. */
static void add_escaped(struct buf *b, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (s[i] > ' ' && s[i] < 0x7f && !strchr("<>\",;", s[i]))
            buf_append(b, s + i, 1);
        else
            buf_printf(b, "%%%02X", (uint8_t)s[i]);
}

/* Whole, since an export ends where no link leads on: for want of memory there is no answer. */
void api_list_link(struct api_call *c, const char *next)
{
    struct buf link = {0};
    add_escaped(&link, c->request->path, strlen(c->request->path));
    buf_append_str(&link, "?");
    for (const char *p = c->request->query; *p;) {
        size_t n = strcspn(p, "&");
        if (n > 0 && strncmp(p, "cursor=", 7) != 0) {
            add_escaped(&link, p, n);
            buf_append_str(&link, "&");
        }
        p += n + (p[n] == '&');
    }
    if (buf_append(&link, "", 1))
        api_reply_header(c, "Link", "<%scursor=%s>; rel=\"next\"", (char *)link.p, next);
    buf_clear(&link);
}

void api_list_reply(struct api_call *c)
{
    struct api_call_private *p = c->priv;
    if (p->replied)
        return; /* out of memory meanwhile */
    json_t *items = p->items ? p->items : json_array();
    p->items = NULL;
    if (p->more)
        api_list_link(c, p->last);
    api_reply_json(c, 200,
                   json_pack("{s:o,s:o}", "items", items, "next",
                             p->more ? json_string(p->last) : json_null()));
}

/* ---- small things ---- */

json_t *api_json_time(int64_t t)
{
    char text[32];
    if (t == 0)
        return json_null();
    text_time(t, text);
    return json_string(text);
}

json_t *api_json_text(const char *s)
{
    return s && *s ? json_string(s) : json_null();
}

json_t *api_json_hex(struct view octets)
{
    char text[2 * 128 + 1];
    if (octets.n > 128)
        return json_null();
    hex_encode(octets, text);
    return json_string(text);
}

const char *api_by(const struct api_call *c)
{
    return c->actor->name;
}

int64_t api_now(const struct api_call *c)
{
    return c->request->now;
}
