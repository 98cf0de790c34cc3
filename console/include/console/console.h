/* The files of the console as bytes: what a browser loads from /ui/.  They are static and the same for everybody; all that the
 * console knows of an authority it asks of the REST API.  Made at build time from console/web by console/bundle.c, plain and
 * gzip'd, or read from a directory while one works on them. */
#pragma once

#include "base/err.h"
#include "base/view.h"

struct console_file {
    const char *path;     /* below /ui/: "" is the page, "8c1f.../app.js" what it loads */
    const char *type;     /* media type */
    const char *etag;     /* strong, with its quotes: SHA-256 of the content (RFC 9110 section 8.8.3) */
    const char *gzip_etag; /* another for other octets (RFC 9110 section 8.8.3.3); NULL without gzip */
    bool immutable;       /* the path changes with the content: may be cached for good; else ask each time */
    struct view bytes;
    struct view gzip;     /* the same for who accepts it; n 0: there is none */
};

/* What was bundled.  None with -Dconsole=disabled: then console_bundled()->n is 0. */
struct console {
    const struct console_file *file;
    size_t n;
};
const struct console *console_bundled(void);

/* The file at a path below /ui/, NULL if there is none.  Case and every octet count. */
const struct console_file *console_find(const struct console *c, const char *path);

/* The content security policy of the page: nothing but our own files, no inline script or style, Trusted Types. */
extern const char console_policy[];

/* A directory laid out as console/web, read once, now: for work on the console.  Returns owned: console_free. */
bool console_load(const char *directory, struct console **out, struct err *err);
void console_free(struct console *c);
