/* An HTTP server of ours in a thread of its own on a free port, and a client of raw sockets. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "http/http.h"

struct http_fixture {
    struct event_base *base;
    struct http_server *server;
    struct event *stop;
    int stop_pipe[2];
    pthread_t thread;
    int port;
    struct log log;
    atomic_int requests, refusals, accept_errors, last_status;
    atomic_uint in_flight; /* as seen after each reply */
    atomic_bool hold;      /* /slow takes until this is false */
};

/* Answers: /echo tells what came, /slow does so after 300 ms, /big is 32 MB, /shared is a borrowed body,
 * /same a 304; what begins with /data is told as it came. */
void fixture_start(struct http_fixture *f, const struct http_limits *limits);
/* The same with a handler, a base and a log of the caller's. */
void fixture_serve(struct http_fixture *f, const struct http_limits *limits, http_handler handler, http_refused refused,
                   void *ctx);
/* Drains, ends the thread and frees; fails when something stays in flight. */
void fixture_stop(struct http_fixture *f);
/* Its two halves, without the base: the thread ends, the server goes. */
void fixture_join(struct http_fixture *f);
void fixture_free(struct http_fixture *f);

struct http_got {
    int status;
    char head[4096]; /* with its last empty line */
    char body[4096];
    size_t body_n; /* of the whole body, of which the start is kept */
    bool whole;
};

int client_connect(const struct http_fixture *f);
/* From an address of 127.0.0.0/8. */
int client_connect_from(const struct http_fixture *f, const char *address);
void client_send(int fd, const char *text);
/* One reply; `no_body` for HEAD.  False when the connection ended or nothing came for 10 s. */
bool client_read(int fd, bool no_body, struct http_got *out);
/* Has the server closed?  Waits for it up to 10 s. */
bool client_closed(int fd);
