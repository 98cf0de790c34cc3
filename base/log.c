#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/text.h"

/* Room that stays free for msg=, so that long fields cannot push it out. */
#define MESSAGE_ROOM 512

const char *log_level_name(enum log_level level)
{
    static const char *const names[] = {"error", "warning", "notice", "info", "debug"};
    return names[level];
}

static void put(struct log_line *l, const char *s, size_t n, size_t cap)
{
    if (l->n + n >= cap)
        n = l->n + 1 < cap ? cap - l->n - 1 : 0;
    memcpy(l->text + l->n, s, n);
    l->n += n;
    l->text[l->n] = '\0';
}

static bool needs_quotes(const char *s)
{
    for (; *s; s++)
        if (*s == ' ' || *s == '"' || *s == '=' || *s == '\\' || (unsigned char)*s < 0x20 || *s == 0x7f)
            return true;
    return false;
}

/* `value` holds no control characters any more. */
static void field(struct log_line *l, const char *key, const char *value, size_t cap)
{
    put(l, " ", l->n ? 1 : 0, cap);
    put(l, key, strlen(key), cap);
    put(l, "=", 1, cap);
    if (!needs_quotes(value)) {
        put(l, value, strlen(value), cap);
        return;
    }
    put(l, "\"", 1, cap);
    for (; *value; value++) {
        if (l->n + 4 >= cap)
            break;
        if (*value == '"' || *value == '\\')
            put(l, "\\", 1, cap);
        put(l, value, 1, cap);
    }
    put(l, "\"", 1, cap);
}

void log_begin(struct log_line *l, const struct log *log, enum log_level level, const char *event)
{
    l->log = log && level <= log->max ? log : NULL;
    l->level = level;
    l->n = 0;
    l->text[0] = '\0';
    if (!l->log)
        return;
    log_str(l, "level", log_level_name(level));
    log_str(l, "event", event);
}

void log_view(struct log_line *l, const char *key, struct view value)
{
    if (!l->log || value.n == 0)
        return;
    char clean[1024];
    text_printable(value, clean, sizeof clean);
    field(l, key, clean, sizeof l->text - MESSAGE_ROOM);
}

void log_str(struct log_line *l, const char *key, const char *value)
{
    if (value && *value)
        log_view(l, key, view_str(value));
}

void log_int(struct log_line *l, const char *key, int64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)value);
    log_str(l, key, text);
}

void log_ms(struct log_line *l, const char *key, double ms)
{
    char text[32];
    snprintf(text, sizeof text, "%.1f", ms);
    log_str(l, key, text);
}

static void end(struct log_line *l, const char *fmt, va_list ap)
{
    if (!l->log)
        return;
    char text[MESSAGE_ROOM], clean[MESSAGE_ROOM];
    vsnprintf(text, sizeof text, fmt, ap);
    text_printable(view_str(text), clean, sizeof clean);
    if (*clean)
        field(l, "msg", clean, sizeof l->text);
    l->log->write(l->log->ctx, l->level, l->text, l->n);
}

void log_end(struct log_line *l, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    end(l, fmt, ap);
    va_end(ap);
}

void log_event(const struct log *log, enum log_level level, const char *event, const char *fmt, ...)
{
    struct log_line l;
    log_begin(&l, log, level, event);
    va_list ap;
    va_start(ap, fmt);
    end(&l, fmt, ap);
    va_end(ap);
}
