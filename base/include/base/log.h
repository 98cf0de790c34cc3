/* One structured line per event (logfmt).  The sink is passed down; there is no global log. */
#pragma once

#include "base/buf.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_NOTICE, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

struct log {
    _Atomic enum log_level max; /* lines above this level are dropped; may change at any time */
    /* Writes one whole line without its newline.  Called from any thread. */
    void (*write)(void *ctx, enum log_level level, const char *line, size_t n);
    void *ctx;
};

/* With the time and what JSON adds it fits into PIPE_BUF: who looks for room in a pipe first waits for nobody (scepd/logger.h). */
#define LOG_LINE_MAX 3840

struct log_line {
    const struct log *log; /* NULL: dropped */
    enum log_level level;
    size_t n;
    char text[LOG_LINE_MAX];
};

/* `log` may be NULL (nothing is written). */
void log_begin(struct log_line *l, const struct log *log, enum log_level level, const char *event);
/* Values are quoted and escaped as needed, so that no value can begin a new field or line;
 * a NULL or empty value leaves the field out. */
void log_str(struct log_line *l, const char *key, const char *value);
void log_view(struct log_line *l, const char *key, struct view value); /* text_printable */
void log_int(struct log_line *l, const char *key, int64_t value);
void log_ms(struct log_line *l, const char *key, double ms);
/* Adds msg= and writes. */
void log_end(struct log_line *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The whole in one call. */
void log_event(const struct log *log, enum log_level level, const char *event, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
const char *log_level_name(enum log_level level);
