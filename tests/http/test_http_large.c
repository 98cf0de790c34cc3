/* How much is read of large requests before others have their turn.  Server and clients in one
 * thread: each pass of the loop is made here, and what it read is counted. */
#include <arpa/inet.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check_main.h"
#include "http_conn.h"

#define LARGE 20 /* clients with large requests; two others have small ones */
#define CLIENTS (LARGE + 2)
#define BODY 60000 /* octets of a large request's, which the kernel takes at once */
#define TURNS 50
#define BIG (16 << 20)

static struct event_base *base;
static struct http_server *server;
static int port, fds[CLIENTS], others[CLIENTS]; /* the clients' ends, and the server's */
static char more[BODY];
static int bigs, small, large; /* requests that were answered */
static int turns;     /* small requests that are still to be said, each when another is served */
static bool say_once; /* a small one is said when a large one is served */
static size_t unread_first,
    unread_last;        /* of large requests, when the first and last small one was served */
static int large_first; /* served by then */

static size_t unread_of_all(void);
static void say_small(int client);

static void on_small(void)
{
    if (small++ == 0) {
        unread_first = unread_of_all();
        large_first = large;
    }
    unread_last = unread_of_all();
    if (turns > 0)
        say_small(LARGE + turns-- % 2);
}

/* More than the kernel takes. */
static void reply_big(struct http_request *r)
{
    char *big = calloc(1, BIG);
    struct http_reply reply = {
        .status = 200, .content_type = "application/octet-stream", .body = view_of(big, BIG)};
    ck_assert_ptr_nonnull(big);
    http_reply(r, &reply);
    free(big);
    bigs++;
}

static void on_request(void *ctx, struct http_request *r)
{
    if (strcmp(http_path(r), "/big") == 0) {
        reply_big(r);
        return;
    }
    if (strcmp(http_path(r), "/small") == 0)
        on_small();
    else
        large++;
    if (say_once)
        say_small(LARGE);
    say_once = false;
    http_reply_text(r, 200, "here");
}

static void on_refused(void *ctx, const char *peer, int status, const char *why)
{
}

/* Until there is nothing to do. */
static void go_on(void)
{
    ck_assert_int_ge(event_base_loop(base, EVLOOP_NONBLOCK), 0);
}

/* The server's end of a connection of ours. */
static int other_end(int fd)
{
    struct sockaddr_in own, peer;
    socklen_t n = sizeof own;
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&own, &n), 0);
    for (int i = 0; i < 1024; i++) {
        n = sizeof peer;
        if (i != fd && getpeername(i, (struct sockaddr *)&peer, &n) == 0 &&
            peer.sin_family == AF_INET && peer.sin_port == own.sin_port)
            return i;
    }
    return -1;
}

static void connect_all(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int i = 0; i < CLIENTS; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &(int){4 * BODY}, sizeof(int));
        ck_assert_int_eq(connect(fds[i], (struct sockaddr *)&a, sizeof a), 0);
    }
    while (http_server_connections(server) < CLIENTS)
        go_on();
    for (int i = 0; i < CLIENTS; i++)
        ck_assert_int_ge(others[i] = other_end(fds[i]), 0);
}

static void setup(void)
{
    static const struct http_limits limits = {CLIENTS + 10, 600, 16384, 262144, 1 << 26};
    struct event_config *config = event_config_new();
    struct err err = {0};
    signal(SIGPIPE, SIG_IGN);
    bigs = small = large = turns = 0;
    say_once = false;
    memset(more, 'x', sizeof more);
    ck_assert_ptr_nonnull(base = http_base_new(config));
    event_config_free(config);
    ck_assert(http_server_new(base, &limits, on_request, on_refused, NULL, NULL, &server, &err));
    ck_assert_msg(http_server_listen(server, "127.0.0.1", 0, &err), "%s", err.text);
    port = http_server_port(server);
    connect_all();
}

static void teardown(void)
{
    for (int i = 0; i < CLIENTS; i++)
        close(fds[i]);
    http_server_free(server);
    event_base_free(base);
}

static void say(int client, const char *text, size_t n)
{
    ck_assert_int_eq(send(fds[client], text, n, MSG_NOSIGNAL | MSG_DONTWAIT), (ssize_t)n);
}

static void say_text(int client, const char *text)
{
    say(client, text, strlen(text));
}

static void say_small(int client)
{
    say_text(client, "GET /small HTTP/1.1\r\nHost: x\r\n\r\n");
}

/* All of a large request but its last octets. */
static void say_large(int client, size_t but)
{
    char head[80];
    snprintf(head, sizeof head, "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", BODY);
    say_text(client, head);
    say(client, more, BODY - but);
}

/* Octets that the server has not read yet. */
static size_t unread(int client)
{
    int n = 0;
    ck_assert_int_eq(ioctl(others[client], FIONREAD, &n), 0);
    return (size_t)n;
}

static size_t unread_of_all(void)
{
    size_t n = 0;
    for (int i = 0; i < LARGE; i++)
        n += unread(i);
    return n;
}

static void until(const int *served, int n)
{
    for (int i = 0; i < 1000 && *served < n; i++)
        go_on();
    ck_assert_int_eq(*served, n);
}

START_TEST(in_pieces)
{
    for (int i = 0; i < LARGE; i++)
        say_large(i, 0);
    say_small(LARGE);
    size_t before = unread_of_all();
    until(&small, 1);
    ck_assert_uint_ge(unread_first, before - LARGE * HTTP_READ_AT_ONCE);
    until(&large, LARGE);
}
END_TEST

/* Also those of who had a large one himself before. */
START_TEST(small_ones_before_large_ones)
{
    say_large(LARGE, 0);
    say_large(LARGE + 1, 0);
    until(&large, 2);
    for (int i = 0; i < LARGE; i++)
        say_large(i, 0);
    say_small(LARGE);
    turns = TURNS;
    size_t before = unread_of_all();
    while (small <= TURNS)
        ck_assert_int_ge(event_base_loop(base, EVLOOP_ONCE), 0);
    ck_assert_uint_ge(unread_last, before - LARGE * (HTTP_LARGE_REQUEST + HTTP_READ_AT_ONCE));
    until(&large, LARGE + 2); /* and those get their turn */
}
END_TEST

START_TEST(a_few_large_ones_at_once)
{
    for (int i = 0; i < LARGE; i++)
        say_large(i, 1);
    go_on();
    for (int i = 0; i < LARGE; i++)
        say(i, more, 1);
    say_once = true;
    until(&large, LARGE);
    ck_assert_int_eq(small, 1);
    ck_assert_int_le(large_first, HTTP_LARGE_AT_ONCE);
}
END_TEST

START_TEST(little_is_read_behind_a_stuck_reply)
{
    static char taken[1 << 16];
    say_text(0, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
    until(&bigs, 1);
    say_large(0, 0);
    for (int i = 0; i < 100; i++)
        go_on();
    ck_assert_uint_ge(unread(0), BODY - 2 * HTTP_READ_AT_ONCE);
    for (size_t n = 0; n < BIG;) {
        ssize_t k = recv(fds[0], taken, sizeof taken, MSG_DONTWAIT);
        n += k > 0 ? (size_t)k : 0;
        go_on();
    }
    until(&large, 1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("http_large");
    TCase *t = tcase_create("large");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, in_pieces);
    tcase_add_test(t, small_ones_before_large_ones);
    tcase_add_test(t, a_few_large_ones_at_once);
    tcase_add_test(t, little_is_read_behind_a_stuck_reply);
    suite_add_tcase(s, t);
    return check_main(s);
}
