#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "check_main.h"
#include "scepd/logger.h"

static struct logger logger;
static int ends[2];
static char seen[65536];

/* A reader that makes room so many milliseconds after somebody began to wait for it, in a time of
 * its own; 0: the kernel's pipe, in real time. */
static struct {
    int late_ms;
    int64_t now_us, waited_us;
    bool has_read;  /* there is room for one line, whoever comes */
    bool signalled; /* what waits is interrupted */
} slow;

int poll(struct pollfd *p, nfds_t n, int milliseconds)
{
    int (*real)(struct pollfd *, nfds_t, int);
    if (slow.late_ms == 0) {
        *(void **)&real = dlsym(RTLD_NEXT, "poll");
        return real(p, n, milliseconds);
    }
    if (slow.signalled) {
        errno = EINTR;
        return -1;
    }
    bool room = slow.has_read || milliseconds >= slow.late_ms;
    int waits = slow.has_read ? 0 : room ? slow.late_ms : milliseconds;
    slow.has_read = false;
    slow.waited_us += (int64_t)waits * 1000;
    slow.now_us += (int64_t)waits * 1000;
    return room;
}

int clock_gettime(clockid_t clock, struct timespec *out)
{
    int (*real)(clockid_t, struct timespec *);
    if (slow.late_ms == 0 || clock != CLOCK_MONOTONIC) {
        *(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
        return real(clock, out);
    }
    *out =
        (struct timespec){.tv_sec = slow.now_us / 1000000, .tv_nsec = slow.now_us % 1000000 * 1000};
    return 0;
}

static void start(bool json)
{
    ck_assert_int_eq(pipe(ends), 0);
    logger_init(&logger, ends[1], LOG_LEVEL_INFO, json);
}

static const char *read_back(void)
{
    close(ends[1]);
    size_t n = 0;
    ssize_t k;
    while ((k = read(ends[0], seen + n, sizeof seen - 1 - n)) > 0)
        n += (size_t)k;
    seen[n] = '\0';
    close(ends[0]);
    return seen;
}

static void write_one(void)
{
    struct log_line l;
    log_begin(&l, &logger.log, LOG_LEVEL_NOTICE, "scep.request");
    log_str(&l, "tx", "0042");
    log_str(&l, "subject", "CN=\"x\" \\ y\n\xff");
    log_int(&l, "status", 200);
    log_ms(&l, "ms", 4.1);
    log_end(&l, "a = b \"c\"");
}

START_TEST(logfmt)
{
    start(false);
    write_one();
    log_event(&logger.log, LOG_LEVEL_DEBUG, "e", "above the level");
    const char *s = read_back();
    ck_assert_ptr_eq(strstr(s, "ts=20"), s);
    ck_assert_ptr_nonnull(strstr(s, "Z level=notice event=scep.request tx=0042 subject="));
    ck_assert_ptr_eq(strchr(s, '\n'), s + strlen(s) - 1);
}
END_TEST

START_TEST(json)
{
    start(true);
    write_one();
    json_error_t error;
    json_t *o = json_loads(read_back(), 0, &error);
    ck_assert_msg(o != NULL, "%s: %s", error.text, seen);
    ck_assert_str_eq(json_string_value(json_object_get(o, "event")), "scep.request");
    ck_assert_str_eq(json_string_value(json_object_get(o, "tx")), "0042"); /* no number */
    ck_assert_str_eq(json_string_value(json_object_get(o, "subject")), "CN=\"x\" \\ y\\x0a\\xff");
    ck_assert_int_eq(json_integer_value(json_object_get(o, "status")), 200);
    ck_assert(json_is_real(json_object_get(o, "ms")));
    ck_assert_str_eq(json_string_value(json_object_get(o, "msg")), "a = b \"c\"");
    ck_assert_ptr_nonnull(strstr(seen, "\"ms\":4.1"));
    ck_assert_ptr_eq(strchr(seen, '\n'), seen + strlen(seen) - 1);
    json_decref(o);
}
END_TEST

/* The longest line there is, full of what must be escaped. */
START_TEST(json_of_a_long_line)
{
    char value[1000];
    struct log_line l;
    memset(value, '"', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    start(true);
    log_begin(&l, &logger.log, LOG_LEVEL_NOTICE, "e");
    for (int i = 0; i < 10; i++) {
        char key[8];
        snprintf(key, sizeof key, "k%d", i);
        log_str(&l, key, value);
    }
    log_end(&l, "end");
    json_error_t error;
    json_t *o = json_loads(read_back(), 0, &error);
    ck_assert_msg(o != NULL, "%s", error.text);
    ck_assert_str_eq(json_string_value(json_object_get(o, "k0")), value);
    ck_assert_str_eq(json_string_value(json_object_get(o, "msg")), "end");
    json_decref(o);
}
END_TEST

START_TEST(journald_gets_priorities_and_no_time)
{
    struct stat st;
    char stream[64];
    ck_assert_int_eq(pipe(ends), 0);
    ck_assert_int_eq(fstat(ends[1], &st), 0);
    snprintf(stream, sizeof stream, "%llu:%llu", (unsigned long long)st.st_dev,
             (unsigned long long)st.st_ino);
    setenv("JOURNAL_STREAM", stream, 1);
    logger_init(&logger, ends[1], LOG_LEVEL_INFO, false);
    log_event(&logger.log, LOG_LEVEL_ERROR, "e", "x");
    log_event(&logger.log, LOG_LEVEL_INFO, "e", "x");
    ck_assert_str_eq(read_back(), "<3>level=error event=e msg=x\n<6>level=info event=e msg=x\n");
}
END_TEST

START_TEST(a_flood_is_counted)
{
    struct log_limit limit = {0};
    unsigned passed = 0;
    start(false);
    for (int i = 0; i < LOG_LIMIT_PER_SECOND + 23; i++)
        passed += log_limit_pass(&limit, &logger.log, 1000);
    ck_assert_uint_eq(passed, LOG_LIMIT_PER_SECOND);
    ck_assert(log_limit_pass(&limit, &logger.log, 1001));
    log_limit_flush(&limit, &logger.log, 1002); /* nothing more to tell */
    const char *s = read_back();
    ck_assert_ptr_nonnull(strstr(s, "event=log.dropped count=23 "));
    ck_assert_ptr_eq(strchr(s, '\n'), s + strlen(s) - 1);
}
END_TEST

/* A line without end would be waited for here. */
static void fill(void)
{
    static const char filling[PIPE_BUF];
    ck_assert_int_eq(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
    while (write(ends[1], filling, sizeof filling) > 0)
        ;
    ck_assert_int_eq(fcntl(ends[1], F_SETFL, 0), 0);
}

START_TEST(nobody_reads)
{
    start(false);
    logger_wait_for_nobody(&logger);
    log_event(&logger.log, LOG_LEVEL_INFO, "first", "x");
    fill();
    for (int i = 0; i < 3; i++)
        log_event(&logger.log, LOG_LEVEL_INFO, "lost", "x");
    static char all[1 << 20];
    ssize_t n = read(ends[0], all, sizeof all);
    ck_assert_int_gt(n, 0);
    ck_assert_int_lt(n, (ssize_t)sizeof all);
    ck_assert_ptr_nonnull(memmem(all, (size_t)n, "event=first", 11));
    log_event(&logger.log, LOG_LEVEL_INFO, "again", "x");
    log_event(&logger.log, LOG_LEVEL_INFO, "again", "x");
    const char *s = read_back();
    ck_assert_ptr_nonnull(strstr(s, " event=log.lost count=3 "));
    ck_assert_ptr_eq(strstr(s, "event=log.lost"), strstr(s, "event="));
    const char *again = strstr(s, "event=again");
    ck_assert(again && strstr(again + 1, "event=again"));
    ck_assert_ptr_null(strstr(s, "event=lost"));
}
END_TEST

/* Where there is room for anything, there is for the longest line. */
START_TEST(nobody_reads_the_longest_line)
{
    char value[1000], room[PIPE_BUF];
    struct log_line l;
    memset(value, '"', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    start(_i);
    logger_wait_for_nobody(&logger);
    fill();
    ck_assert_int_eq(read(ends[0], room, sizeof room), sizeof room);
    log_begin(&l, &logger.log, LOG_LEVEL_INFO, "long");
    for (char key[] = "a"; *key <= 'z'; ++*key)
        log_str(&l, key, "v");
    log_str(&l, "k1", value);
    log_str(&l, "k2", value);
    log_end(&l, "%s", value);
    log_event(&logger.log, LOG_LEVEL_INFO, "lost", "x"); /* not waited for either */
    close(ends[1]);
    ssize_t n, all = 0;
    while ((n = read(ends[0], seen, sizeof seen)) > 0)
        all += n;
    ck_assert_int_gt(all % PIPE_BUF, PIPE_BUF * 3 / 4);
    close(ends[0]);
}
END_TEST

static void log_some(const char *event, int n)
{
    for (int i = 0; i < n; i++) {
        log_event(&logger.log, LOG_LEVEL_INFO, event, "x");
        slow.now_us += 1000;
    }
}

static int count(const char *text, const char *what)
{
    int n = 0;
    while ((text = strstr(text, what)) != NULL) {
        n++;
        text += strlen(what);
    }
    return n;
}

/* All that wait for a slow reader wait for so long in a second together, and what has no room then
 * is lost. */
START_TEST(a_slow_reader)
{
    start(false);
    logger_wait_for_nobody(&logger);
    slow.now_us = 1000000000;
    slow.late_ms = 30;
    log_some("early", 20);
    ck_assert_int_le(slow.waited_us, LOGGER_PATIENCE_MS * 1000);
    slow.now_us += 1000000; /* another second, and what was lost is told in it */
    slow.has_read = true;
    log_some("late", 20);
    ck_assert_int_gt(slow.waited_us, LOGGER_PATIENCE_MS * 1000 / 2);
    ck_assert_int_le(slow.waited_us, 2 * LOGGER_PATIENCE_MS * 1000);
    slow.late_ms = 0;
    log_some("last", 1);
    const char *s = read_back();
    ck_assert_int_eq(count(s, "event=early"), LOGGER_PATIENCE_MS / 30);
    ck_assert_ptr_nonnull(strstr(s, "event=log.lost count=17 "));
}
END_TEST

/* Lines, and how many are said to be lost. */
static void tally(const char *text, int *lines, int *lost)
{
    int n;
    *lines = count(text, "event=some");
    for (*lost = 0; (text = strstr(text, "event=log.lost count=")) != NULL; text++)
        if (sscanf(text, "event=log.lost count=%d", &n) == 1)
            *lost += n;
}

/* However long it goes on, and whatever the reader lets through in between. */
START_TEST(a_slow_reader_for_long)
{
    int lines, lost;
    start(false);
    logger_wait_for_nobody(&logger);
    slow.now_us = 1000000000;
    slow.late_ms = 15;
    for (int i = 0; i < 200; i++) {
        slow.has_read = i % 3 == 0;
        log_some("some", 5);
        slow.now_us += 30000;
    }
    int64_t seconds = (slow.now_us - 1000000000) / 1000000 + 1;
    ck_assert_int_le(slow.waited_us, seconds * LOGGER_PATIENCE_MS * 1000);
    slow.late_ms = 0;
    tally(read_back(), &lines, &lost);
    ck_assert_int_gt(lost, 0);
    ck_assert_int_eq(lines + lost + (int)logger.lost, 1000);
}
END_TEST

/* A signal makes no room. */
START_TEST(a_signal_while_nobody_reads)
{
    start(false);
    logger_wait_for_nobody(&logger);
    fill();
    slow.late_ms = 30;
    slow.signalled = true;
    log_some("lost", 3);
    slow.late_ms = 0;
    ck_assert_uint_eq(logger.lost, 3);
    close(ends[0]);
    close(ends[1]);
}
END_TEST

static void *log_many(void *unused)
{
    for (int i = 0; i < 500; i++)
        log_event(&logger.log, LOG_LEVEL_INFO, "some", "x");
    return NULL;
}

static void *read_slowly(void *all)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    char *at = all;
    ssize_t n;
    while ((n = read(ends[0], at, 1024)) > 0) {
        at += n;
        nanosleep(&pause, NULL);
    }
    *at = '\0';
    return NULL;
}

START_TEST(many_threads_and_a_slow_reader)
{
    static char all[1 << 20];
    pthread_t reader, writer[4];
    int lines, lost;
    start(false);
    ck_assert_int_gt(fcntl(ends[1], F_SETPIPE_SZ, 4096), 0);
    logger_wait_for_nobody(&logger);
    ck_assert_int_eq(pthread_create(&reader, NULL, read_slowly, all), 0);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&writer[i], NULL, log_many, NULL), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(writer[i], NULL);
    close(ends[1]);
    pthread_join(reader, NULL);
    close(ends[0]);
    tally(all, &lines, &lost);
    ck_assert_int_gt(lines, 0);
    ck_assert_int_eq(lines + lost + (int)logger.lost, 2000);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("scepd/logger");
    TCase *c = tcase_create("logger");
    tcase_add_test(c, logfmt);
    tcase_add_test(c, json);
    tcase_add_test(c, json_of_a_long_line);
    tcase_add_test(c, journald_gets_priorities_and_no_time);
    tcase_add_test(c, a_flood_is_counted);
    tcase_add_test(c, nobody_reads);
    tcase_add_loop_test(c, nobody_reads_the_longest_line, 0, 2);
    tcase_add_test(c, a_slow_reader);
    tcase_add_test(c, a_slow_reader_for_long);
    tcase_add_test(c, a_signal_while_nobody_reads);
    tcase_add_test(c, many_threads_and_a_slow_reader);
    suite_add_tcase(s, c);
    return check_main(s);
}
