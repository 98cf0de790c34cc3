#include "http/http_file.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/hex.h"

/* A revocation makes a new list at once: nobody in between shall hide it for longer. */
#define KEEP_SECONDS 60

#define ETAG_SIZE 67 /* quotes and 64 digits */

/* RFC 9110 section 13.1.2: a list of entity tags, compared weakly, or "*". */
bool http_names_tag(const char *list, const char *etag)
{
    size_t n = strlen(etag);
    for (const char *p = list; *p;) {
        p += strspn(p, " \t,");
        if (*p == '*' && p[1 + strspn(p + 1, " \t")] == '\0')
            return true;
        if (strncmp(p, "W/", 2) == 0)
            p += 2;
        if (strncmp(p, etag, n) == 0)
            return true;
        const char *end = *p == '"' ? strchr(p + 1, '"') : NULL;
        p = end ? end + 1 : p + strcspn(p, ",");
    }
    return false;
}

/* RFC 9110 section 13.1.3: the one form that is still sent; any other is as if it were not there.
 */
static bool is_since(const char *text, int64_t modified)
{
    struct tm tm = {0};
    const char *end = strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    return end && *end == '\0' && (int64_t)timegm(&tm) >= modified;
}

static bool is_known(const struct http_request *r, const struct http_file *f, const char *etag)
{
    const char *tags = http_header(r, "If-None-Match");
    const char *since = http_header(r, "If-Modified-Since");
    return tags ? http_names_tag(tags, etag) : since && is_since(since, f->modified);
}

int http_reply_file(struct http_request *r, const struct http_file *f, int64_t now)
{
    char hex[2 * 32 + 1], etag[ETAG_SIZE], modified[HTTP_DATE], expires[HTTP_DATE], cache[64];
    int64_t left = f->expires ? f->expires - now : KEEP_SECONDS;
    int64_t keep = left < 0 ? 0 : left < KEEP_SECONDS ? left : KEEP_SECONDS;
    hex_encode(view_of(f->sha256, 32), hex);
    snprintf(etag, sizeof etag, "\"%.64s\"", hex);
    http_date(f->modified, modified);
    http_date(now + keep, expires);
    snprintf(cache, sizeof cache, "max-age=%lld, public, no-transform", (long long)keep);
    struct http_reply reply = {.status = is_known(r, f, etag) ? 304 : 200,
                               .content_type = f->type,
                               .body = f->body,
                               .release = f->release,
                               .release_ctx = f->release_ctx,
                               .header = {{"Cache-Control", cache},
                                          {"Expires", expires},
                                          {"Last-Modified", modified},
                                          {"ETag", etag}}};
    if (reply.status == 304)
        reply.body = (struct view){0};
    int status = reply.status;
    http_reply(r, &reply);
    return status;
}
