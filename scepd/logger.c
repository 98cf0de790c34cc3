#include "scepd/logger.h"

#include <errno.h>
#include <event2/event.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"

/* A line of struct log_line, the time, and JSON's quotes. */
#define MAX_LINE 16384

/* Is `fd` what journald gave us?  It says so by device and inode. */
static bool is_journal(int fd)
{
    const char *stream = getenv("JOURNAL_STREAM");
    struct stat st;
    char self[64];
    if (!stream || fstat(fd, &st) != 0)
        return false;
    snprintf(self, sizeof self, "%llu:%llu", (unsigned long long)st.st_dev,
             (unsigned long long)st.st_ino);
    return strcmp(stream, self) == 0;
}

static void write_all(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t k = write(fd, p, n);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return; /* nowhere to complain to */
        p += k;
        n -= (size_t)k;
    }
}

/* One field of a logfmt line as base/log.c writes it; false at the end. */
static bool next_field(const char **at, const char *end, char *key, size_t key_cap, char *value,
                       size_t value_cap)
{
    const char *p = *at;
    size_t k = 0, v = 0;
    while (p < end && *p == ' ')
        p++;
    while (p < end && *p != '=' && k + 1 < key_cap)
        key[k++] = *p++;
    key[k] = '\0';
    if (p >= end || *p != '=')
        return false;
    bool quoted = ++p < end && *p == '"';
    p += quoted;
    while (p < end && *p != (quoted ? '"' : ' ')) {
        if (quoted && *p == '\\' && p + 1 < end)
            p++;
        if (v + 1 < value_cap)
            value[v++] = *p;
        p++;
    }
    value[v] = '\0';
    *at = p + (quoted && p < end);
    return true;
}

/* Everything else stays text: a transaction ID of digits is no number. */
static bool is_number(const char *key)
{
    static const char *const numbers[] = {"status", "in", "out", "ms", "count", "port"};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (strcmp(key, numbers[i]) == 0)
            return true;
    return false;
}

static json_t *value_of(const char *key, const char *value)
{
    if (!is_number(key))
        return json_string(value);
    return strchr(value, '.') ? json_real(strtod(value, NULL))
                              : json_integer(strtoll(value, NULL, 10));
}

static size_t as_json(const char *now, const char *line, size_t n, char *out, size_t cap)
{
    char key[64], value[4096];
    const char *at = line, *end = line + n;
    json_t *object = json_object();
    if (*now)
        json_object_set_new(object, "ts", json_string(now));
    while (next_field(&at, end, key, sizeof key, value, sizeof value))
        json_object_set_new(object, key, value_of(key, value));
    size_t size = json_dumpb(object, out, cap, JSON_COMPACT | JSON_REAL_PRECISION(10));
    json_decref(object);
    return size <= cap ? size : 0;
}

static void put(const struct logger *l, enum log_level level, const char *line, size_t n)
{
    static const char priority[] = "34567"; /* as syslog(3) has them */
    char out[MAX_LINE], now[32] = "";
    size_t at = 0;
    if (l->journal)
        at = (size_t)snprintf(out, sizeof out, "<%c>", priority[level]);
    else
        text_time(time(NULL), now);
    if (l->json)
        at += as_json(now, line, n, out + at, sizeof out - at - 1);
    else
        at += (size_t)snprintf(out + at, sizeof out - at - 1, "%s%s%s%.*s", *now ? "ts=" : "", now,
                               *now ? " " : "", (int)n, line);
    out[at++] = '\n';
    write_all(l->fd, out, at);
}

static int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* Is there room for a line?  In a pipe for PIPE_BUF, so for any. */
static bool has_room(const struct logger *l, int milliseconds)
{
    struct pollfd p = {.fd = l->fd, .events = POLLOUT};
    return poll(&p, 1, milliseconds) > 0;
}

/* As long as all lines of this second have not waited for too long together. */
static bool wait_for_room(struct logger *l)
{
    int64_t begun = now_us();
    if (begun - l->second_us >= 1000000) {
        l->second_us = begun;
        l->waited_us = 0;
    }
    int left = LOGGER_PATIENCE_MS - (int)(l->waited_us / 1000);
    bool room = left > 0 && has_room(l, left);
    l->waited_us += now_us() - begun;
    return room;
}

static void tell_lost(struct logger *l)
{
    char line[192];
    int n = snprintf(line, sizeof line,
                     "level=warning event=log.lost count=%u msg=\"what is written here was not "
                     "read, or too slowly: lines were left out\"",
                     l->lost);
    l->lost = 0;
    put(l, LOG_LEVEL_WARNING, line, (size_t)n);
}

/* While lines are lost, none waits until somebody has read. */
static bool may_write(struct logger *l)
{
    bool room = has_room(l, 0);
    if (room && l->lost > 0) {
        tell_lost(l);
        room = has_room(l, 0);
    }
    if (!room && l->lost == 0)
        room = wait_for_room(l);
    l->lost += !room;
    return room;
}

static void write_line(void *ctx, enum log_level level, const char *line, size_t n)
{
    struct logger *l = ctx;
    if (l->waits) {
        put(l, level, line, n);
        return;
    }
    pthread_mutex_lock(&l->mutex);
    if (may_write(l))
        put(l, level, line, n);
    pthread_mutex_unlock(&l->mutex);
}

void logger_wait_for_nobody(struct logger *l)
{
    l->waits = false;
}

void logger_init(struct logger *l, int fd, enum log_level max, bool json)
{
    *l = (struct logger){.log = {max, write_line, l},
                         .json = json,
                         .journal = is_journal(fd),
                         .waits = true,
                         .mutex = PTHREAD_MUTEX_INITIALIZER,
                         .fd = fd};
}

void logger_set(struct logger *l, enum log_level max, bool json)
{
    l->log.max = max;
    l->json = json;
}

void log_limit_flush(struct log_limit *l, const struct log *log, int64_t now)
{
    if (now == l->second)
        return;
    if (l->dropped) {
        struct log_line line;
        log_begin(&line, log, LOG_LEVEL_WARNING, "log.dropped");
        log_int(&line, "count", l->dropped);
        log_end(&line, "lines about requests were left out in one second");
    }
    *l = (struct log_limit){.second = now};
}

bool log_limit_pass(struct log_limit *l, const struct log *log, int64_t now)
{
    log_limit_flush(l, log, now);
    if (l->passed >= LOG_LIMIT_PER_SECOND) {
        l->dropped++;
        return false;
    }
    l->passed++;
    return true;
}

static const struct log *libevent_log;

static void on_libevent(int severity, const char *message)
{
    static struct log_limit limit; /* only the loop's thread gets here */
    const struct log *log = libevent_log;
    if (log && severity >= EVENT_LOG_WARN && log_limit_pass(&limit, log, time(NULL)))
        log_event(log, severity == EVENT_LOG_ERR ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING, "libevent",
                  "%s", message);
}

void log_take_libevent(const struct log *log)
{
    libevent_log = log;
    event_set_log_callback(log ? on_libevent : NULL);
}
