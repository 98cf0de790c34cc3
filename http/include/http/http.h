/* HTTP/1.x as scepd needs it: whole requests in, exactly one reply out, over libevent's evhttp with the holes of
 * 2.1.12 closed (each with its test).  All functions belong to the loop's thread. */
#pragma once

#include <event2/event.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"

enum http_method { HTTP_GET, HTTP_HEAD, HTTP_POST, HTTP_PUT, HTTP_PATCH, HTTP_DELETE };
#define HTTP_METHOD_BIT(m) (1u << (m))

struct http_limits {
    int max_connections;
    int request_timeout;  /* seconds for a whole request, whatever trickles in */
    int max_header, max_body;
    int max_buffered;     /* octets of requests kept, of all connections together; at least one request fits */
};

/* One request, valid until its reply. */
struct http_request;
const char *http_method_name(enum http_method m); /* "GET" */
enum http_method http_method(const struct http_request *r);
const char *http_path(const struct http_request *r);        /* percent-decoded, no query, no NUL; "" for http_first */
const char *http_raw_path(const struct http_request *r);    /* as sent, no query */
const char *http_raw_query(const struct http_request *r);   /* as sent, "" if none */
const char *http_header(const struct http_request *r, const char *name); /* NULL if absent */
/* Does Accept-Encoding, or NULL for none, name this content coding with a weight above 0 (RFC 9110 section 12.5.3)?  "*" names
 * those that are not named otherwise; who says nothing wants the content as it is. */
bool http_accepts(const char *accept_encoding, const char *coding);
struct view http_body(const struct http_request *r);        /* borrowed */
const char *http_peer(const struct http_request *r);        /* address, no port */

struct http_reply {
    int status;
    const char *content_type;     /* never NULL */
    struct view body;             /* copied, unless `release` is set: then borrowed until release(release_ctx) */
    void (*release)(void *release_ctx);
    void *release_ctx;
    struct { const char *name, *value; } header[20]; /* name NULL ends; Date is there already */
    bool close;                   /* close the connection after it */
};
/* Ends the request: exactly once for each. */
void http_reply(struct http_request *r, const struct http_reply *reply);
/* Plain text with a final newline. */
void http_reply_text(struct http_request *r, int status, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* "Wed, 25 Nov 2026 21:00:00 GMT" */
#define HTTP_DATE 40
void http_date(int64_t t, char out[HTTP_DATE]);

/* A base of which `config` says the rest, on which large requests are read behind all else.  NULL: out of memory.  On
 * another base they have the same turns as small ones. */
struct event_base *http_base_new(struct event_config *config);

struct http_server;
typedef void (*http_handler)(void *ctx, struct http_request *r);
/* Called for what never becomes a request (bad framing, refused by a limit): one log line each. */
/* Words of http_refused that are compared by their address: for a TLS handshake, which plain HTTP cannot answer; for headers
 * so long that evhttp says 400; and for a request that had to go because too much was kept. */
extern const char http_tls_hello[], http_header_far_too_long[], http_too_much_kept[];
typedef void (*http_refused)(void *ctx, const char *peer, int status, const char *why);
bool http_server_new(struct event_base *base, const struct http_limits *l, http_handler handler, http_refused refused,
                     void *ctx, const struct log *log, struct http_server **out, struct err *err);
/* Told the status of every reply, also of those that never became a request.  For counting; before listening. */
typedef void (*http_replied)(void *ctx, int status);
void http_server_watch(struct http_server *s, http_replied replied, void *ctx);
/* Sees every request before its path is decoded, for paths that hold data; true: it has taken it.  Before listening. */
typedef bool (*http_first)(void *ctx, struct http_request *r);
void http_server_first(struct http_server *s, http_first first, void *ctx);
/* Which methods are handed on, as HTTP_METHOD_BITs: GET, HEAD and POST if nobody says so.  All others are 405.  Before listening. */
void http_server_methods(struct http_server *s, unsigned methods);
/* New limits; those of a request that is being read may still be the old ones. */
void http_server_limits(struct http_server *s, const struct http_limits *l);
/* A socket bound to a numeric address ("" or "*": all), not yet listening: may be made as root, before all else. */
bool http_bind(const char *address, int port, int *out, struct err *err);
/* Takes the socket. */
bool http_server_listen_fd(struct http_server *s, int fd, struct err *err);
/* Both. */
bool http_server_listen(struct http_server *s, const char *address, int port, struct err *err);
int http_server_port(const struct http_server *s);           /* the bound one, when 0 was asked */
unsigned http_server_in_flight(const struct http_server *s);
unsigned http_server_connections(const struct http_server *s);
/* No new connections; replies from now on close theirs. */
void http_server_drain(struct http_server *s);
void http_server_free(struct http_server *s);                /* only when nothing is in flight */

/* Percent-decoding, '+' literal, appended to `out`.  False at a bad escape, or out of memory. */
bool http_percent_decode(const char *s, size_t n, struct buf *out);
/* Query strings: evhttp turns '+' into a space and stumbles over "&message", so this is our own.  Finds a
 * parameter by name (first one wins), percent-decoded, '+' literal.  False when absent or when a bad escape stands in
 * it; `out` is reset first. */
bool http_query_get(const char *raw_query, const char *name, struct buf *out);
/* The message of a PKIOperation by GET: base64 or base64url, blanks read as '+', CR LF TAB skipped, padding optional. */
bool http_query_base64(struct view text, struct buf *out, struct err *err);
