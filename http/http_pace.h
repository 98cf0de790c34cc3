/* How much of the loop's time TLS handshakes may take: each is charged when its connection is accepted, by what one has cost
 * lately, and what it really took is set against that.  Loop thread only; times are the caller's. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define HTTP_PACE_PER_MS 100  /* microseconds of each millisecond: a tenth */
#define HTTP_PACE_MOST 100000 /* microseconds that may be saved up */
#define HTTP_PACE_DEBT 1000000 /* microseconds: after that nobody is let in for ten seconds */
#define HTTP_PACE_LEAST 1000  /* microseconds that each is charged at least: 100 a second */

struct http_pace {
    int64_t left_us;
    int64_t each_us;  /* what one costs */
    int64_t since_ms; /* until when time is counted; 0: never yet */
    int64_t began_us; /* thread time at which the step that runs now began; 0: none does (http_tls.c) */
};

void http_pace_init(struct http_pace *p);
/* One was accepted: false: nobody else may be, until http_pace_goes_on. */
bool http_pace_take(struct http_pace *p, int64_t now_ms);
bool http_pace_goes_on(struct http_pace *p, int64_t now_ms);
/* A step of a handshake took so long. */
void http_pace_spent(struct http_pace *p, int64_t us);
