/* Where log lines go: stderr, one write for each, as logfmt or as JSON with the same names.  Under
 * journald, lines carry its priority prefix and no time of their own. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "base/log.h"

/* What all lines of a second may wait for room together, where none should wait: a reader that is
 * only slow for a moment has read by then, and one that stays slow takes no more of the loop's time
 * than this. */
#define LOGGER_PATIENCE_MS 100

struct logger {
    struct log log; /* hand this down */
    atomic_bool json;
    bool journal, waits;
    int fd;
    pthread_mutex_t mutex; /* from the look for room to the line, where none waits */
    unsigned lost;
    int64_t second_us; /* monotonic: the second that is counted in */
    int64_t waited_us; /* in it */
};
void logger_init(struct logger *l, int fd, enum log_level max, bool json);
/* Before there are threads: where nobody reads what is written, or too slowly, as behind a pager or
 * a log driver that hangs, lines are left out and counted instead of waited for.  Not for the
 * keeper's signers, whose lines come before what they sign. */
void logger_wait_for_nobody(struct logger *l);
/* Any thread, at any time. */
void logger_set(struct logger *l, enum log_level max, bool json);

/* Lines that anybody can provoke are limited per second; what was left out is counted. */
#define LOG_LIMIT_PER_SECOND 100

struct log_limit {
    int64_t second;
    unsigned passed, dropped;
};
/* May a line be written now?  When a second with dropped lines is over, one line tells how many. */
bool log_limit_pass(struct log_limit *l, const struct log *log, int64_t now);
/* Tells what was dropped, if anything, although no line follows. */
void log_limit_flush(struct log_limit *l, const struct log *log, int64_t now);

/* libevent's own warnings.  It knows one sink for the whole process and no context, so this keeps
 * one pointer; NULL ends it. */
void log_take_libevent(const struct log *log);
