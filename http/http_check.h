/* What evhttp 2.1.12 lets through and must not: framing that two parties could read differently
 * (RFC 9112 section 6.3), header names that are no tokens, a missing or doubled Host, versions that are not 1.x. */
#pragma once

#include <event2/http.h>

#include <stdbool.h>

/* False with a status and a static text when the request must be refused and its connection closed.  `max_header` counts
 * the octets of request line and headers: a longer target is 414, longer headers are 431 (RFC 9110 section 15.5.15,
 * RFC 6585 section 5).  evhttp's own limit, above which it says 400, must be higher. */
bool http_check(struct evhttp_request *r, size_t max_header, int *status, const char **why);

/* Is "close" among the options of its Connection headers (RFC 9112 section 9.6)? */
bool http_asks_to_close(struct evhttp_request *r);
