/* The connections of one server.  evhttp has no deadline for a whole request, no limit on connections and no hook
 * for a connection that ends before its first request, so each bufferevent is kept on a list of ours from accept to
 * end, with the time since which it is in its phase.  Loop thread only. */
#pragma once

#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <sys/queue.h>

#include "http/http.h"
#include "http_pace.h"
#include "http_party.h"

#define HTTP_CONN_BUCKETS 1024 /* as many as connections by default */

/* What evhttp does with an octet can take it a tenth of a microsecond and more (headers of one letter, lines that are
 * folded, chunks of one octet): libevent reads so much of a connection in a turn, and so much may be kept behind a reply
 * that is not taken, since all that is parsed in one turn later. */
#define HTTP_READ_AT_ONCE 4096
/* A request that is larger so far is read only when nobody else has anything to say, and of such ones so many
 * connections have a turn between two looks at all descriptors. */
#define HTTP_LARGE_REQUEST 8192
#define HTTP_LARGE_AT_ONCE 4

/* Octets of request line and headers that evhttp reads: more than the limit, to say which of them is too long. */
#define HTTP_HEADER_READ(max_header) (2 * (max_header))

enum http_phase {
    HTTP_IDLE,    /* nothing of a request has come */
    HTTP_READING, /* some of a request has come */
    HTTP_WORKING, /* a whole request waits for our reply: no deadline here, the job has its own */
    HTTP_WRITING, /* the reply leaves */
};

struct http_conns;
struct ssl_st;

struct http_conn {
    struct http_conns *owner;
    struct bufferevent *bev; /* one reference is ours */
    TAILQ_ENTRY(http_conn) all;
    LIST_ENTRY(http_conn) bucket;
    enum http_phase phase;
    int64_t since; /* of the phase, or of the last step of its handshake that led on; monotonic ms */
    int64_t accepted; /* monotonic ms */
    bool ending;   /* evhttp said that it goes */
    bool cut;      /* shut down by us */
    bool leaving;  /* of those that make room */
    bool last;     /* ends after this reply, also where evhttp would keep it (CONNECT) */
    bool tls;      /* it speaks TLS */
    bool silent;   /* nothing has come since it was accepted */
    bool in_line;  /* for a step of its handshake */
    bool large;    /* its request is: it stands behind others */
    struct event *shake; /* of its handshake, or of its end; NULL: none, or done */
    TAILQ_ENTRY(http_conn) line;
    size_t held;   /* octets of its requests that are kept: not yet read by evhttp, or of a request without reply */
    char peer[64]; /* address of the other end, without its port; known once something came, or others wait */
    struct http_party *party; /* known with the address; NULL when out of memory */
};
TAILQ_HEAD(http_conn_list, http_conn);
LIST_HEAD(http_conn_bucket, http_conn);

struct http_conns {
    struct event_base *base;
    struct ssl_ctx_st *tls; /* one reference; NULL: plain */
    const struct log *log;
    int max, timeout_ms;
    size_t max_header, max_input; /* octets; kept of a connection */
    size_t held, max_held; /* octets kept of all */
    size_t look_again;     /* more than that must be kept before anybody is looked for again; 0: max_held */
    http_refused refused;
    void *ctx;
    http_replied replied; /* may be NULL */
    void *replied_ctx;
    struct evconnlistener *listener; /* borrowed; NULL before listening and after draining */
    bool full, paused;               /* why the listener is off */
    bool draining;
    int64_t accept_told; /* monotonic ms: when a failing accept was logged */
    struct http_pace pace;   /* of connections of TLS */
    bool handshakes_wait;    /* there is no time for them now: the listener is off */
    struct http_conn_list line; /* whose clients spoke, in that order; each waits for a step of its handshake */
    int64_t handshakes_told; /* monotonic ms: when it was logged that some wait */
    struct event *sweep, *reap, *room, *resume, *handshake;
    int n;
    unsigned busy, leaving; /* of them working or writing; of them to make room */
    struct http_parties parties;
    struct http_conn_list all; /* those that end stand in front, the others in the order of their coming */
    struct http_conn_bucket bucket[HTTP_CONN_BUCKETS];
};

bool http_conns_init(struct http_conns *c, struct event_base *base, const struct http_limits *l, struct err *err);
void http_conns_limits(struct http_conns *c, const struct http_limits *l);
/* After evhttp_free. */
void http_conns_clear(struct http_conns *c);
void http_conns_listener(struct http_conns *c, struct evconnlistener *listener);
/* Idle connections end now, the others by their replies. */
void http_conns_drain(struct http_conns *c);

/* evhttp's hook: a bufferevent for the connection just accepted; NULL when out of memory (evhttp makes its own). */
struct bufferevent *http_conn_new(struct event_base *base, void *conns);
struct http_conn *http_conn_find(struct http_conns *c, const struct bufferevent *bev);
void http_conn_phase(struct http_conn *c, enum http_phase phase);
/* A whole request is here: little is read behind it, until http_conn_replied. */
void http_conn_working(struct http_conn *c);

/* ---- http_tls.c ---- */

/* It reads and writes nothing until its handshake is done by http_tls_step. */
struct bufferevent *http_tls_bufferevent(struct event_base *base, struct ssl_ctx_st *ctx);
enum http_tls_step {
    HTTP_TLS_DONE,
    HTTP_TLS_READ,  /* more must come */
    HTTP_TLS_WRITE, /* something must leave */
    HTTP_TLS_BROKEN,
};
/* With what is here.  What it takes is told to `pace`.  *on: the handshake is further than before. */
enum http_tls_step http_tls_step(struct ssl_st *ssl, struct http_pace *pace, bool *on);
/* The client's certificate as DER, appended; nothing when it sent none. */
bool http_tls_peer(struct bufferevent *bev, struct buf *der);

/* ---- http_handshake.c ---- */

bool http_handshakes_init(struct http_conns *c);
/* For one that is being accepted.  False: out of memory. */
bool http_handshake_begin(struct http_conn *c);
/* It is done, or will never be. */
void http_handshake_end(struct http_conn *c);
/* It ends, and evhttp is told so with the next turn of the loop. */
void http_handshake_cut(struct http_conn *c);

/* ---- http_conn.c ---- */

/* Some of what the listener waits for has changed. */
void http_conns_update_listener(struct http_conns *c);
/* evhttp sees the end, frees what it has and then the bufferevent, which is noticed by reaping. */
void http_conn_cut(struct http_conn *c);
/* Freed by evhttp. */
bool http_conn_is_freed(const struct http_conn *c);

/* The reply has left. */
void http_conn_replied(struct http_conn *c);
/* Should its next reply close it?  Others wait for a connection, and its party has more than an equal share of them. */
bool http_conn_crowds(struct http_conn *c);
/* evhttp is about to free it. */
void http_conn_ending(struct http_conn *c);
