/* Octets that anyone may keep for a while: CRLs and certificates, with what caches and proxies need to know (RFC 9110
 * sections 8.8 and 13.1, RFC 9111 section 5.2). */
#pragma once

#include "http/http.h"

struct http_file {
    const char *type;             /* media type */
    struct view body;             /* borrowed until release(release_ctx); NULL: copied */
    void (*release)(void *release_ctx);
    void *release_ctx;
    const uint8_t *sha256;        /* of the body, 32 octets: its strong ETag */
    int64_t modified;             /* Unix seconds */
    int64_t expires;              /* caches keep it no longer than that; 0: for ever */
};

/* Does the list of an If-None-Match name this entity tag (with its quotes)?  Also by "*", and as weak one. */
bool http_names_tag(const char *list, const char *etag);
/* Answers a GET or HEAD: 200, or 304 to a request that names this ETag, or, naming none, a time not before `modified`.
 * Returns the status. */
int http_reply_file(struct http_request *r, const struct http_file *f, int64_t now);
