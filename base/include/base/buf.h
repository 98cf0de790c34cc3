/* A growing byte buffer that owns its memory.  The zero state {0} is valid and empty. */
#pragma once

#include "base/view.h"

struct buf {
    uint8_t *p;
    size_t n;
    size_t cap;
};

/* Makes room for `more` bytes behind the content; false when out of memory (content kept). */
bool buf_reserve(struct buf *b, size_t more);
bool buf_append(struct buf *b, const void *p, size_t n);
bool buf_append_str(struct buf *b, const char *s);
bool buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Empties, keeps the memory. */
void buf_reset(struct buf *b);
/* Frees; the zero state afterwards. */
void buf_clear(struct buf *b);
/* Overwrites, then frees: for secrets. */
void buf_wipe(struct buf *b);

static inline struct view buf_view(const struct buf *b)
{
    return (struct view){b->p, b->n};
}
