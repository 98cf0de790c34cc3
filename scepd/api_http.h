/* The listener of the API and the console: a server of http.h in the loop, with TLS and limits of its own.  Files of the console are
 * answered on the loop, from memory; everything else goes to the threads of api_pool.h and comes back here.  Loop thread only. */
#pragma once

#include <event2/event.h>

#include "http/http_tls.h"
#include "scepd/admin_http.h"
#include "scepd/api_pool.h"
#include "scepd/upkeep.h"

#define API_DEFAULT_PORT 8082 /* what scepctl init writes */

struct console;
struct outside;

struct api_http_options {
    struct event_base *base; /* all borrowed */
    struct store *store;
    struct metrics *metrics;
    const struct log *log;
    const char *version;
    struct admin *admin;           /* tells the health; may be NULL */
    const struct console *console; /* NULL: none */
    struct outside *outside;       /* NULL: none */
};

struct api_http;
/* `fd` is bound by http_bind and taken, also when it fails.  Serves what api_http_use says, from then on. */
bool api_http_new(const struct api_http_options *o, int fd, struct api_http **out, struct err *err);
/* Takes a reference of the setup; `upkeep` is borrowed until the next call, or the end.  False (out of memory): it goes on with the setup it
 * has. */
bool api_http_use(struct api_http *a, struct setup *setup, struct upkeep *upkeep);
int api_http_port(const struct api_http *a);
unsigned api_http_in_flight(const struct api_http *a);
unsigned api_http_connections(const struct api_http *a);
void api_http_drain(struct api_http *a);
/* Sends what has come back.  The loop does so by itself soon. */
void api_http_answer(struct api_http *a);
void api_http_free(struct api_http *a); /* NULL allowed; answers what is under way first */
