/* How much of the loop's time connections of TLS may take: what each step of a handshake really took is set against it, and
 * something for every one that is accepted.  Loop thread only; times are the caller's. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define HTTP_PACE_PER_MS 100   /* microseconds of each millisecond: a tenth */
#define HTTP_PACE_MOST 100000  /* microseconds that may be saved up */
#define HTTP_PACE_DEBT 1000000 /* microseconds: after that nothing goes on for ten seconds */
#define HTTP_PACE_ACCEPT 1000  /* microseconds, for one that is accepted: 100 a second */

struct http_pace {
    int64_t left_us;
    int64_t since_ms; /* until when time is counted; 0: never yet */
};

void http_pace_init(struct http_pace *p);
/* May another one be accepted, or another step be taken? */
bool http_pace_goes_on(struct http_pace *p, int64_t now_ms);
void http_pace_spent(struct http_pace *p, int64_t us);
