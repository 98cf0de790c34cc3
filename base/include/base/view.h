/* A borrowed run of bytes.  Whoever hands one out says which buffer it points into and
 * until when; a view never owns.  {NULL, 0} is the empty view. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct view {
    const uint8_t *p;
    size_t n;
};

static inline struct view view_of(const void *p, size_t n)
{
    return (struct view){p, n};
}

static inline struct view view_str(const char *s)
{
    return (struct view){(const uint8_t *)s, strlen(s)};
}

/* Not for secrets: its time depends on the bytes. */
static inline bool view_eq(struct view a, struct view b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}
