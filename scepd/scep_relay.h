/* Endpoints that hand everything on to another SCEP server (`upstream` of the configuration) and its answers back, byte for
 * byte.  What can be known without any key is: operation, transaction, the status of the answer. */
#pragma once

#include "http/http.h"
#include "scepd/attempts.h"
#include "scepd/logger.h"
#include "scepd/metrics.h"
#include "config/config.h"

struct outside;
struct scep_relay;

struct relay_needs { /* all borrowed, all but `base` may be NULL */
    struct event_base *base;
    struct outside *outside;   /* who asks; NULL: every request is answered 503 */
    struct attempts *attempts;
    const struct log *log;
    struct metrics *metrics;
};
bool scep_relay_new(const struct relay_needs *n, struct scep_relay **out, struct err *err);
/* What has not come back is let go; nothing may call back any more (outside_free was before).  NULL allowed. */
void scep_relay_free(struct scep_relay *r);

/* Once a second: tells about log lines that were left out. */
void scep_relay_tick(struct scep_relay *r, int64_t now);

/* What a client may ask for.  `argument`: the CA identifier of a GET; or the message, already without its base64. */
enum relay_operation { RELAY_CAPS, RELAY_CA_CERT, RELAY_NEXT_CA_CERT, RELAY_PKI };
/* Takes the request, which is answered when the upstream has answered.  Loop thread. */
void scep_relay_request(struct scep_relay *r, struct http_request *request, const struct config_endpoint *e,
                        enum relay_operation op, struct view argument);
