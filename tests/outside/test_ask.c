/* Asking in this process: many threads, a server that hangs, answers nonsense or goes away, and an
 * end in the middle. */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "check_main.h"
#include "outside/outside_child.h"
#include "wire.h"

#define THREADS 6
#define EACH 30

static struct err err;
static struct config *config;
static int listener;
static pthread_t server;
static atomic_int behaviour, seen;

/* others: that HTTP status */
enum {
    ANSWER,
    ANSWER_ONCE,
    HANG_UP,
    HUGE_ANSWER,
    SILENT,
    LONG_HEAD,
    HUGE_HEAD,
    HUGE_TRAILERS,
    HUGE_INTERIM
};

/* In place of libc's: a name server that says nothing, until the test lets it. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t moved;
    bool silent;
    int asked; /* under way */
} names = {.lock = PTHREAD_MUTEX_INITIALIZER, .moved = PTHREAD_COND_INITIALIZER};

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **out)
{
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    if (!name || strcmp(name, "silent.test") != 0) {
        *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
        return real(name, service, hints, out);
    }
    pthread_mutex_lock(&names.lock);
    names.asked++;
    while (names.silent)
        pthread_cond_wait(&names.moved, &names.lock);
    names.asked--;
    pthread_cond_broadcast(&names.moved);
    pthread_mutex_unlock(&names.lock);
    return EAI_AGAIN;
}

/* In place of libc's: a clock that the test puts forward. */
static atomic_int seconds_on;

int clock_gettime(clockid_t clock, struct timespec *out)
{
    static int (*real)(clockid_t, struct timespec *);
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
    int rc = real(clock, out);
    out->tv_sec += clock == CLOCK_MONOTONIC ? atomic_load(&seconds_on) : 0;
    return rc;
}

static void let_names_be_silent(bool silent)
{
    pthread_mutex_lock(&names.lock);
    names.silent = silent;
    pthread_cond_broadcast(&names.moved);
    while (!silent && names.asked > 0)
        pthread_cond_wait(&names.moved, &names.lock);
    pthread_mutex_unlock(&names.lock);
}

static void say(int fd, const char *text)
{
    size_t n = strlen(text);
    while (n > 0) {
        ssize_t w = send(fd, text, n, MSG_NOSIGNAL);
        if (w <= 0)
            return;
        text += w;
        n -= (size_t)w;
    }
}

/* A line of 1 KiB each. */
static void say_fields(int fd, int n)
{
    char line[1025];
    snprintf(line, sizeof line, "X-Field: %01013d\r\n", 0);
    while (n-- > 0)
        say(fd, line);
}

/* A good answer but for what stands around its body. */
static void say_around(int fd, int interim, int head, int trailers)
{
    if (interim > 0) {
        say(fd, "HTTP/1.1 103 Early Hints\r\n");
        say_fields(fd, interim);
        say(fd, "\r\n");
    }
    say(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n");
    say_fields(fd, head);
    say(fd, "\r\n2\r\nok\r\n0\r\n");
    say_fields(fd, trailers);
    say(fd, "\r\n");
}

/* One connection after the other, each for one request. */
static void *serve(void *unused)
{
    static char body[OUTSIDE_MAX_ANSWER + 2];
    char request[8192];
    int fd;
    memset(body, 'x', sizeof body - 1);
    while ((fd = accept(listener, NULL, NULL)) >= 0) {
        char head[128];
        ssize_t n = recv(fd, request, sizeof request, 0);
        atomic_fetch_add(&seen, n > 0);
        switch (atomic_load(&behaviour)) {
        case ANSWER:
            say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
            break;
        case HUGE_ANSWER:
            snprintf(head, sizeof head,
                     "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
                     sizeof body - 1);
            say(fd, head);
            say(fd, body);
            break;
        case SILENT:
            recv(fd, request, sizeof request, 0); /* until the other side has had enough */
            break;
        case ANSWER_ONCE: /* what comes next on this connection is read, and not answered */
            say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            n = recv(fd, request, sizeof request, 0);
            atomic_fetch_add(&seen, n > 0);
            break;
        case HANG_UP:
            break;
        case LONG_HEAD:
            say_around(fd, 20, 20, 20);
            break;
        case HUGE_HEAD:
            say_around(fd, 0, OUTSIDE_MAX_HEAD / 1024, 0);
            break;
        case HUGE_TRAILERS:
            say_around(fd, 0, 0, OUTSIDE_MAX_HEAD / 1024);
            break;
        case HUGE_INTERIM:
            say_around(fd, OUTSIDE_MAX_HEAD / 1024, 0, 0);
            break;
        default:
            snprintf(head, sizeof head,
                     "HTTP/1.1 %d No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                     atomic_load(&behaviour));
            say(fd, head);
            break;
        }
        close(fd);
    }
    return NULL;
}

static void setup(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&at, sizeof at), 0);
    ck_assert_int_eq(listen(listener, 128), 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&at, &n), 0);
    config = calloc(1, sizeof *config);
    config->webhook_n = 1;
    snprintf(config->webhook[0].name, sizeof config->webhook[0].name, "hook");
    snprintf(config->webhook[0].url, sizeof config->webhook[0].url, "http://127.0.0.1:%d/",
             ntohs(at.sin_port));
    config->webhook[0].timeout = 20;
    config->upstream_n = 1;
    snprintf(config->upstream[0].name, sizeof config->upstream[0].name, "ndes");
    snprintf(config->upstream[0].url, sizeof config->upstream[0].url, "http://127.0.0.1:%d",
             ntohs(at.sin_port));
    memcpy(config->upstream[0].admin_url, config->upstream[0].url,
           sizeof config->upstream[0].admin_url);
    config->upstream[0].timeout = 20;
    atomic_store(&behaviour, ANSWER);
    atomic_store(&seen, 0);
    err_clear(&err);
    ck_assert_int_eq(pthread_create(&server, NULL, serve, NULL), 0);
}

static void teardown(void)
{
    shutdown(listener, SHUT_RDWR);
    pthread_join(server, NULL);
    close(listener);
    free(config);
}

static struct outside *local(void)
{
    struct outside *o = NULL;
    ck_assert_msg(outside_new_local(config, NULL, &o, &err), "%s", err.text);
    return o;
}

static enum outside_result ask_at(struct outside *o, enum outside_kind kind, const char *name,
                                  const char *suffix, int *status)
{
    struct outside_ask q = {
        .kind = kind, .name = name, .suffix = suffix, .post = true, .body = view_str("{}")};
    struct outside_answer a = {0};
    struct err why = {0};
    ck_assert_msg(outside_wait(o, &q, &a, &why), "%s", why.text);
    enum outside_result r = a.result;
    *status = a.status;
    outside_answer_clear(&a);
    return r;
}

static enum outside_result ask(struct outside *o, const char *name, int *status)
{
    return ask_at(o, OUTSIDE_WEBHOOK, name, NULL, status);
}

static void *ask_many(void *outside)
{
    int status;
    for (int i = 0; i < EACH; i++) {
        ck_assert_int_eq(ask(outside, "hook", &status), OUTSIDE_ANSWERED);
        ck_assert_int_eq(status, 200);
    }
    return NULL;
}

START_TEST(from_many_threads)
{
    struct outside *o = local();
    pthread_t t[THREADS];
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&t[i], NULL, ask_many, o), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
    outside_free(o);
    ck_assert_int_eq(atomic_load(&seen), THREADS * EACH);
}
END_TEST

START_TEST(what_may_go_wrong)
{
    struct outside *o = local();
    int status;
    ck_assert_int_eq(ask(o, "nobody", &status), OUTSIDE_FORBIDDEN);
    atomic_store(&behaviour, HANG_UP);
    ck_assert_int_eq(ask(o, "hook", &status), OUTSIDE_UNREACHABLE);
    atomic_store(&behaviour, HUGE_ANSWER);
    ck_assert_int_eq(ask(o, "hook", &status), OUTSIDE_TOO_LARGE);
    atomic_store(&behaviour, ANSWER);
    ck_assert_int_eq(ask(o, "hook", &status), OUTSIDE_ANSWERED);
    outside_free(o);
    config->webhook[0].timeout = 1;
    o = local();
    atomic_store(&behaviour, SILENT);
    ck_assert_int_eq(ask(o, "hook", &status), OUTSIDE_TIMEOUT);
    outside_free(o);
}
END_TEST

/* What stands before and after a body is limited as the body is: libcurl keeps it all. */
START_TEST(around_the_body)
{
    static const int huge[] = {HUGE_HEAD, HUGE_TRAILERS, HUGE_INTERIM};
    config->webhook[0].retries = 2;
    struct outside *o = local();
    struct outside_ask q = {
        .kind = OUTSIDE_WEBHOOK, .name = "hook", .post = true, .repeatable = true};
    int status;
    atomic_store(&behaviour, LONG_HEAD);
    ck_assert_int_eq(ask(o, "hook", &status), OUTSIDE_ANSWERED);
    for (size_t i = 0; i < sizeof huge / sizeof *huge; i++) {
        struct outside_answer a = {0};
        atomic_store(&behaviour, huge[i]);
        atomic_store(&seen, 0);
        ck_assert(outside_wait(o, &q, &a, &err));
        ck_assert_int_eq(a.result, OUTSIDE_TOO_LARGE);
        ck_assert_str_eq(a.text, "the headers of the answer are too long");
        ck_assert_uint_eq(a.body.n, 0);
        ck_assert_int_eq(atomic_load(&seen), 1); /* it would be as long again */
        outside_answer_clear(&a);
    }
    outside_free(o);
}
END_TEST

/* Behind an address that has no path, a suffix could lead to another host. */
START_TEST(other_addresses)
{
    static const char *const odd[] = {".evil.example/", "/other", "@evil.example/", ":8080/", "x"};
    struct outside *o = local();
    int status;
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        for (int k = OUTSIDE_WEBHOOK; k <= OUTSIDE_UPSTREAM_ADMIN; k++)
            ck_assert_int_eq(ask_at(o, (enum outside_kind)k, k < OUTSIDE_UPSTREAM ? "hook" : "ndes",
                                    odd[i], &status),
                             OUTSIDE_FORBIDDEN);
    }
    ck_assert_int_eq(ask_at(o, OUTSIDE_WEBHOOK, "hook", "?x", &status), OUTSIDE_FORBIDDEN);
    ck_assert_int_eq(ask_at(o, OUTSIDE_UPSTREAM_ADMIN, "ndes", "?x", &status), OUTSIDE_FORBIDDEN);
    ck_assert_int_eq(atomic_load(&seen), 0);
    ck_assert_int_eq(ask_at(o, OUTSIDE_UPSTREAM, "ndes", "?operation=GetCACaps", &status),
                     OUTSIDE_ANSWERED);
    ck_assert_int_eq(ask_at(o, OUTSIDE_UPSTREAM_ADMIN, "ndes", NULL, &status), OUTSIDE_ANSWERED);
    outside_free(o);
}
END_TEST

/* A message over which an upstream stumbles does not take it away from all others; an upstream that
 * is not there does. */
START_TEST(strangers_stumble)
{
    struct outside *o = local();
    int status;
    atomic_store(&behaviour, 500);
    for (int i = 0; i < 8; i++) {
        ck_assert_int_eq(ask_at(o, OUTSIDE_UPSTREAM, "ndes", "?x", &status), OUTSIDE_ANSWERED);
        ck_assert_int_eq(status, 500);
    }
    atomic_store(&behaviour, 503);
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(ask_at(o, OUTSIDE_UPSTREAM, "ndes", "?x", &status), OUTSIDE_ANSWERED);
    ck_assert_int_eq(ask_at(o, OUTSIDE_UPSTREAM, "ndes", "?x", &status), OUTSIDE_AWAY);
    atomic_store(&behaviour, 500);
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(ask(o, "hook", &status), OUTSIDE_ANSWERED);
    ck_assert_int_eq(ask(o, "hook", &status), OUTSIDE_AWAY);
    outside_free(o);
}
END_TEST

/* What may not arrive twice is sent once, also when the server leaves a connection that had served
 * before without an answer: libcurl would send it again by itself. */
START_TEST(sent_once)
{
    static const enum outside_kind kind[] = {OUTSIDE_UPSTREAM, OUTSIDE_UPSTREAM_ADMIN};
    struct outside *o = local();
    int status;
    atomic_store(&behaviour, ANSWER_ONCE);
    for (size_t i = 0; i < sizeof kind / sizeof *kind; i++) {
        const char *suffix = kind[i] == OUTSIDE_UPSTREAM ? "?x" : NULL;
        for (int k = 1; k <= 3; k++) {
            ask_at(o, kind[i], "ndes", suffix, &status);
            ck_assert_int_eq(atomic_exchange(&seen, 0), 1);
        }
    }
    outside_free(o);
}
END_TEST

/* Nobody waits for a name server that says nothing but who asked for that name, and he no longer
 * than his time: both questions come back while it is silent. */
START_TEST(silent_name_server)
{
    int status;
    config->webhook_n = 2;
    snprintf(config->webhook[1].name, sizeof config->webhook[1].name, "nameless");
    snprintf(config->webhook[1].url, sizeof config->webhook[1].url, "http://silent.test/");
    config->webhook[1].timeout = 1;
    let_names_be_silent(true);
    struct outside *o = local();
    ck_assert_int_eq(ask(o, "nameless", &status), OUTSIDE_TIMEOUT);
    ck_assert_int_eq(ask(o, "hook", &status), OUTSIDE_ANSWERED);
    outside_free(o);
    let_names_be_silent(false);
}
END_TEST

/* Who asks, by a thread of the test. */
struct serving {
    int socket;
    struct outside_targets *targets;
};

static void *serve_asker(void *serving)
{
    struct serving *s = serving;
    outside_serve(s->socket, s->targets, NULL);
    return NULL;
}

/* Who serves says that it does, however long the server takes. */
START_TEST(alive_while_it_asks)
{
    struct outside_targets *targets = NULL;
    struct outside_ask q = {.kind = OUTSIDE_WEBHOOK, .name = "hook", .post = true};
    struct outside_answer a = {.status = 1};
    struct buf frame = {0};
    struct serving s = {0};
    pthread_t thread;
    uint64_t number = 1;
    ssize_t n = 0;
    int pair[2];
    atomic_store(&behaviour, SILENT);
    ck_assert(outside_targets_load(config, &targets, &err));
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    s = (struct serving){pair[1], targets};
    ck_assert_int_eq(pthread_create(&thread, NULL, serve_asker, &s), 0);
    ck_assert(wire_put_ask(&frame, 7, &q, &err));
    ck_assert(wire_send(pair[0], &frame));
    while ((n = wire_frame(&frame)) == 0) {
        struct pollfd p = {.fd = pair[0], .events = POLLIN};
        ck_assert_int_eq(poll(&p, 1, 60000), 1);
        ck_assert(wire_receive(pair[0], &frame));
    }
    ck_assert(wire_read_answer(view_of(frame.p, (size_t)n), &number, &a));
    ck_assert_uint_eq(number, 0);
    outside_answer_clear(&a);
    buf_clear(&frame);
    close(pair[0]);
    pthread_join(thread, NULL);
    outside_targets_free(targets);
}
END_TEST

/* Gives one who takes questions and says nothing, as a process that was stopped; then one that
 * serves. */
struct stuck {
    atomic_int connected;
    atomic_int silent;
    struct serving second;
    pthread_t thread;
};

static bool connect_stuck(void *ctx, int *fd, struct err *why)
{
    struct stuck *s = ctx;
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        return err_errno(why, "socketpair");
    *fd = pair[0];
    if (atomic_fetch_add(&s->connected, 1) == 0) {
        s->silent = pair[1];
    } else {
        s->second.socket = pair[1];
        ck_assert_int_eq(pthread_create(&s->thread, NULL, serve_asker, &s->second), 0);
    }
    return true;
}

static atomic_int answered_with[2];

static void note_result(void *ctx, struct outside_answer *a)
{
    if (ctx)
        atomic_store((atomic_int *)ctx, 1 + (int)a->result);
}

static struct outside *start_stuck(struct stuck *s)
{
    struct outside *o = NULL;
    struct outside_options options = {.connect = connect_stuck, .ctx = s};
    ck_assert(outside_targets_load(config, &s->second.targets, &err));
    ck_assert(outside_new(&options, &o, &err));
    for (int i = 0; i < 2; i++)
        atomic_store(&answered_with[i], 0);
    return o;
}

static void end_stuck(struct stuck *s, struct outside *o)
{
    outside_free(o);
    close(s->silent);
    if (s->second.socket)
        pthread_join(s->thread, NULL);
    outside_targets_free(s->second.targets);
}

static int octets_there(struct stuck *s)
{
    int n = 0;
    if (atomic_load(&s->silent) >= 0)
        ck_assert_int_eq(ioctl(s->silent, FIONREAD, &n), 0);
    return n;
}

/* Until it has come to who says nothing, or the first question is answered. */
static void call_stuck(struct stuck *s, struct outside *o, bool repeatable, atomic_int *result)
{
    const struct outside_ask q = {
        .kind = OUTSIDE_WEBHOOK, .name = "hook", .post = true, .repeatable = repeatable};
    int before = octets_there(s);
    ck_assert(outside_call(o, &q, note_result, result, &err));
    while (octets_there(s) == before && !atomic_load(&answered_with[0]))
        usleep(1000);
}

/* The clock goes on, and the thread, which another question wakes, looks at it before that comes.
 */
static void pass(struct stuck *s, struct outside *o, int seconds)
{
    atomic_fetch_add(&seconds_on, seconds);
    call_stuck(s, o, false, NULL);
}

/* Nobody waits for ever: what may be asked twice is asked by another process, all else is lost. */
START_TEST(stuck_process)
{
    struct stuck stuck = {.silent = -1};
    struct outside *o = start_stuck(&stuck);
    for (int i = 0; i < 2; i++)
        call_stuck(&stuck, o, i, &answered_with[i]);
    for (int at = 0; at <= WIRE_SILENT_MS / 1000 && !atomic_load(&answered_with[0]); at += 4)
        pass(&stuck, o, 4);
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < 3000 && !atomic_load(&answered_with[i]); k++)
            usleep(10000);
    ck_assert_int_eq(atomic_load(&answered_with[0]), 1 + OUTSIDE_LOST);
    ck_assert_int_eq(atomic_load(&answered_with[1]), 1 + OUTSIDE_ANSWERED);
    ck_assert_int_eq(atomic_load(&stuck.connected), 2);
    end_stuck(&stuck, o);
}
END_TEST

/* Who asks had no time either when nobody had any, as while all were stopped. */
START_TEST(all_stopped_together)
{
    struct stuck stuck = {.silent = -1};
    struct outside *o = start_stuck(&stuck);
    struct outside_answer a = {.status = 200};
    struct wire_question q;
    struct buf asked = {0}, answer = {0};
    ssize_t n;
    call_stuck(&stuck, o, false, &answered_with[0]);
    for (int i = 0; i < 3; i++)
        pass(&stuck, o, 600);
    ck_assert_int_eq(atomic_load(&answered_with[0]), 0);
    ck_assert(wire_receive(stuck.silent, &asked));
    ck_assert_int_gt(n = wire_frame(&asked), 0);
    ck_assert(wire_read_ask(view_of(asked.p, (size_t)n), &q));
    ck_assert(wire_put_answer(&answer, q.number, &a) && wire_send(stuck.silent, &answer));
    while (!atomic_load(&answered_with[0]))
        usleep(1000);
    ck_assert_int_eq(atomic_load(&answered_with[0]), 1 + OUTSIDE_ANSWERED);
    ck_assert_int_eq(atomic_load(&stuck.connected), 1);
    buf_clear(&asked);
    buf_clear(&answer);
    end_stuck(&stuck, o);
}
END_TEST

static atomic_int lost;

static void on_answer(void *ctx, struct outside_answer *a)
{
    atomic_fetch_add(&lost, a->result == OUTSIDE_LOST);
}

/* Every question is answered, whenever the end comes. */
START_TEST(end_in_the_middle)
{
    struct outside *o = local();
    struct outside_ask q = {
        .kind = OUTSIDE_WEBHOOK, .name = "hook", .post = true, .repeatable = true};
    atomic_store(&behaviour, SILENT);
    atomic_store(&lost, 0);
    for (int i = 0; i < 10; i++)
        ck_assert(outside_call(o, &q, on_answer, NULL, &err));
    outside_free(o);
    ck_assert_int_eq(atomic_load(&lost), 10);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("outside/ask");
    TCase *c = tcase_create("ask");
    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, from_many_threads);
    tcase_add_test(c, what_may_go_wrong);
    tcase_add_test(c, around_the_body);
    tcase_add_test(c, other_addresses);
    tcase_add_test(c, strangers_stumble);
    tcase_add_test(c, sent_once);
    tcase_add_test(c, alive_while_it_asks);
    tcase_add_test(c, stuck_process);
    tcase_add_test(c, all_stopped_together);
    tcase_add_test(c, silent_name_server);
    tcase_add_test(c, end_in_the_middle);
    suite_add_tcase(s, c);
    return check_main(s);
}
