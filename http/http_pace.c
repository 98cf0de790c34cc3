#include "http_pace.h"

void http_pace_init(struct http_pace *p)
{
    *p = (struct http_pace){.left_us = HTTP_PACE_MOST};
}

bool http_pace_goes_on(struct http_pace *p, int64_t now_ms)
{
    int64_t passed = p->since_ms ? now_ms - p->since_ms : 0;
    int64_t missing = HTTP_PACE_MOST - p->left_us;
    p->since_ms = now_ms;
    p->left_us += passed < missing / HTTP_PACE_PER_MS ? passed * HTTP_PACE_PER_MS : missing;
    return p->left_us > 0;
}

void http_pace_spent(struct http_pace *p, int64_t us)
{
    p->left_us = us < p->left_us + HTTP_PACE_DEBT ? p->left_us - us : -HTTP_PACE_DEBT;
}
