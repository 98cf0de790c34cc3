/* What evhttp 2.1.12 lets through and must not: framing that two parties could read differently
 * (RFC 9112 section 6.3), header names that are no tokens, a missing or doubled Host, versions that are not 1.x. */
#pragma once

#include <event2/http.h>

#include <stdbool.h>

/* False with a status and a static text when the request must be refused and its connection closed. */
bool http_check(struct evhttp_request *r, int *status, const char **why);
