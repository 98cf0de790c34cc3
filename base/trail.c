#include "base/trail.h"

#include <stdarg.h>
#include <stdio.h>

static const char *const texts[CHECK_END] = {
#define CHECK_TEXT(name, number, text) [number] = text,
    CHECK_LIST(CHECK_TEXT)
#undef CHECK_TEXT
};

const char *check_text(enum check check)
{
    return (unsigned)check < CHECK_END && texts[check] ? texts[check] : "?";
}

static struct trail_step *last(struct trail *t)
{
    return t && t->n ? &t->step[t->n - 1] : NULL;
}

void trail_begin(struct trail *t, enum check check)
{
    struct trail_step *before = last(t);
    if (before && before->state == TRAIL_BEGUN)
        before->state = TRAIL_PASSED;
    if (!t || t->n == TRAIL_STEPS)
        return;
    t->step[t->n++] = (struct trail_step){.check = check};
}

static void settle(struct trail *t, enum trail_state state, const char *fmt, va_list ap)
{
    struct trail_step *s = last(t);
    if (!s)
        return;
    s->state = state;
    vsnprintf(s->text, sizeof s->text, fmt, ap);
}

void trail_pass(struct trail *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    settle(t, TRAIL_PASSED, fmt, ap);
    va_end(ap);
}

void trail_pass_over(struct trail *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    settle(t, TRAIL_PASSED_OVER, fmt, ap);
    va_end(ap);
}

void trail_stop(struct trail *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    settle(t, TRAIL_STOPPED, fmt, ap);
    va_end(ap);
}

void trail_append(struct trail *t, const struct trail *more)
{
    for (size_t i = 0; t && i < more->n && t->n < TRAIL_STEPS; i++)
        t->step[t->n++] = more->step[i];
}
