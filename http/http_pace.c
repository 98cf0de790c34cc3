#include "http_pace.h"

/* A dear step is believed soon, a cheap one late: of one handshake most steps are cheap. */
#define RISE 4
#define FALL 64

void http_pace_init(struct http_pace *p)
{
    *p = (struct http_pace){.left_us = HTTP_PACE_MOST, .each_us = HTTP_PACE_LEAST};
}

static void gain(struct http_pace *p, int64_t now_ms)
{
    int64_t passed = p->since_ms ? now_ms - p->since_ms : 0;
    int64_t missing = HTTP_PACE_MOST - p->left_us;
    p->since_ms = now_ms;
    p->left_us += passed < missing / HTTP_PACE_PER_MS ? passed * HTTP_PACE_PER_MS : missing;
}

bool http_pace_take(struct http_pace *p, int64_t now_ms)
{
    gain(p, now_ms);
    p->left_us -= p->each_us;
    return p->left_us >= p->each_us;
}

bool http_pace_goes_on(struct http_pace *p, int64_t now_ms)
{
    gain(p, now_ms);
    return p->left_us >= p->each_us;
}

void http_pace_spent(struct http_pace *p, int64_t us)
{
    int64_t more = us - p->each_us;
    if (more > 0)
        p->left_us -= more;
    if (p->left_us < -HTTP_PACE_DEBT)
        p->left_us = -HTTP_PACE_DEBT;
    p->each_us += more > 0 ? more / RISE : more / FALL;
    if (p->each_us < HTTP_PACE_LEAST)
        p->each_us = HTTP_PACE_LEAST;
    if (p->each_us > HTTP_PACE_MOST / 2) /* or nobody would ever be let in again */
        p->each_us = HTTP_PACE_MOST / 2;
}
