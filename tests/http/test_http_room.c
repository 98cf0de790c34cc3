/* Who leaves when all connections are taken and others wait, or when too much is kept. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check_main.h"
#include "http_fixture.h"

#define CROWD "127.0.0.2"
#define OTHER "127.0.0.3"

static struct http_fixture f;
static struct http_got got;

static void start(int connections, int buffered)
{
    /* A deadline that no test reaches. */
    struct http_limits l = {connections, 600, 16384, 262144, buffered};
    fixture_start(&f, &l);
}

static void get(int fd)
{
    client_send(fd, "GET /echo?x HTTP/1.1\r\nHost: x\r\n\r\n");
}

static void assert_served(int fd)
{
    bool whole = false;
    for (int tries = 0; tries < 3 && !whole; tries++) /* 10 s each */
        whole = client_read(fd, false, &got);
    ck_assert_int_eq(got.status, 200);
}

static void close_all(const int *fd, size_t n)
{
    for (size_t i = 0; i < n; i++)
        close(fd[i]);
    fixture_stop(&f);
}

START_TEST(a_crowd_gives_way_before_others)
{
    int fd[8], waiting;
    start(8, 1 << 26);
    for (int i = 0; i < 8; i++) {
        fd[i] = client_connect_from(&f, i == 0 ? "127.0.0.1" : CROWD);
        get(fd[i]);
        assert_served(fd[i]);
    }
    waiting = client_connect_from(&f, OTHER);
    get(waiting);
    assert_served(waiting);
    ck_assert(client_closed(fd[1])); /* the oldest of the crowd, not the oldest of all */
    get(fd[0]);
    assert_served(fd[0]);
    ck_assert_int_eq(f.refusals, 0);
    close(waiting);
    close_all(fd, 8);
}
END_TEST

/* The crowd is too young to be closed at once: it is waited for, and nobody else pays. */
START_TEST(a_young_crowd_gives_way_before_others)
{
    int fd[8], waiting;
    start(8, 1 << 26);
    fd[0] = client_connect_from(&f, "127.0.0.1");
    get(fd[0]);
    assert_served(fd[0]);
    usleep(1200000); /* idle for longer than it may be with others waiting */
    for (int i = 1; i < 8; i++) {
        fd[i] = client_connect_from(&f, CROWD);
        get(fd[i]);
        assert_served(fd[i]);
    }
    waiting = client_connect_from(&f, OTHER);
    get(waiting);
    assert_served(waiting);
    get(fd[0]);
    assert_served(fd[0]);
    close(waiting);
    close_all(fd, 8);
}
END_TEST

START_TEST(nobody_leaves_while_nobody_waits)
{
    int fd[4];
    start(4, 1 << 26);
    for (int i = 0; i < 4; i++) {
        fd[i] = client_connect_from(&f, CROWD);
        get(fd[i]);
        assert_served(fd[i]);
    }
    usleep(1500000); /* idle for longer than they may be with others waiting */
    for (int i = 0; i < 4; i++) {
        get(fd[i]);
        assert_served(fd[i]);
    }
    close_all(fd, 4);
}
END_TEST

START_TEST(silent_ones_make_room)
{
    int fd[64], waiting;
    start(8, 1 << 26);
    for (int i = 0; i < 64; i++)
        fd[i] = client_connect_from(&f, CROWD); /* most of them wait in the kernel */
    waiting = client_connect_from(&f, OTHER);
    get(waiting);
    assert_served(waiting);
    ck_assert_int_eq(f.refusals, 0); /* there was nothing to refuse */
    close(waiting);
    close_all(fd, 64);
}
END_TEST

/* Never idle: the next request is there when a reply leaves. */
START_TEST(a_busy_crowd_gives_way)
{
    int fd[2], waiting;
    start(2, 1 << 26);
    for (int i = 0; i < 2; i++) {
        fd[i] = client_connect_from(&f, CROWD);
        for (int k = 0; k < 500; k++)
            client_send(fd[i], "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n");
        ck_assert(client_read(fd[i], false, &got)); /* accepted */
    }
    waiting = client_connect_from(&f, OTHER);
    get(waiting);
    assert_served(waiting);
    int closing = 0;
    for (int i = 0; i < 2; i++)
        while (client_read(fd[i], false, &got)) {
            ck_assert_int_eq(got.status, 200);
            closing += strcasestr(got.head, "\r\nConnection: close\r\n") != NULL;
            if (closing)
                break;
        }
    ck_assert_int_ge(closing, 1); /* told, and between two requests */
    close(waiting);
    close_all(fd, 2);
}
END_TEST

static int send_part(const char *address, size_t n)
{
    static char part[262144];
    memset(part, 'x', sizeof part);
    int fd = client_connect_from(&f, address);
    client_send(fd, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 262144\r\n\r\n");
    for (size_t sent = 0; sent < n;) {
        ssize_t k = send(fd, part, n - sent, MSG_NOSIGNAL);
        if (k <= 0)
            break;
        sent += (size_t)k;
    }
    return fd;
}

START_TEST(large_unfinished_requests_leave_when_too_much_is_kept)
{
    int fd[16], small, waiting;
    start(64, 1 << 20);
    small = send_part(OTHER, 2000);
    for (int i = 0; i < 16; i++)
        fd[i] = send_part(CROWD, 200000); /* three times what may be kept */
    ck_assert(client_closed(fd[0]));
    ck_assert_int_ge(f.refusals, 1);
    ck_assert_int_eq(f.last_status, 503);
    waiting = client_connect_from(&f, OTHER);
    get(waiting);
    assert_served(waiting);
    for (int i = 2000; i < 262144; i += 1000) {
        char rest[1001];
        memset(rest, 'x', sizeof rest);
        rest[262144 - i < 1000 ? 262144 - i : 1000] = '\0';
        client_send(small, rest);
    }
    assert_served(small); /* what is small when others must leave stays */
    close(small);
    close(waiting);
    close_all(fd, 16);
}
END_TEST

/* What is worked on counts and cannot go: then large ones do not even get there. */
START_TEST(what_is_worked_on_counts)
{
    static char part[200000];
    int fd[32], served = 0;
    start(64, 1 << 20);
    f.hold = true;
    memset(part, 'x', sizeof part - 1);
    for (int i = 0; i < 32; i++) {
        fd[i] = client_connect_from(&f, CROWD);
        client_send(fd[i], "POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 199999\r\n\r\n");
        client_send(fd[i], part);
    }
    int small = client_connect_from(&f, CROWD);
    get(small);
    assert_served(small); /* there is room for what is usual */
    while (f.requests + f.refusals < 33)
        usleep(10000);
    ck_assert_int_le(f.requests, 8); /* 1 MB, the small one, and what came between two looks */
    f.hold = false;
    for (int i = 0; i < 32; i++)
        served += client_read(fd[i], false, &got) && got.status == 200;
    ck_assert_int_eq(served, f.requests - 1);
    get(small);
    assert_served(small);
    close(small);
    close_all(fd, 32);
}
END_TEST

START_TEST(what_is_answered_is_kept_no_longer)
{
    start(64, 1 << 20);
    int fd[1] = {send_part(OTHER, 262144)};
    for (int i = 0; i < 40; i++) { /* ten times what may be kept */
        assert_served(fd[0]);
        int next = send_part(CROWD, 262144);
        assert_served(next);
        close(next);
        client_send(fd[0], "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 262144\r\n\r\n");
        for (int k = 0; k < 256; k++) {
            char part[1025];
            memset(part, 'x', sizeof part);
            part[1024] = '\0';
            client_send(fd[0], part);
        }
    }
    assert_served(fd[0]);
    ck_assert_int_eq(f.refusals, 0);
    close_all(fd, 1);
}
END_TEST

START_TEST(one_request_always_fits)
{
    start(64, 1);
    int fd[1] = {send_part(OTHER, 262144)};
    assert_served(fd[0]);
    ck_assert_int_eq(f.refusals, 0);
    close_all(fd, 1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("http/http_room");
    TCase *c = tcase_create("room");
    tcase_set_timeout(c, 60);
    tcase_add_test(c, a_crowd_gives_way_before_others);
    tcase_add_test(c, a_young_crowd_gives_way_before_others);
    tcase_add_test(c, nobody_leaves_while_nobody_waits);
    tcase_add_test(c, silent_ones_make_room);
    tcase_add_test(c, a_busy_crowd_gives_way);
    tcase_add_test(c, large_unfinished_requests_leave_when_too_much_is_kept);
    tcase_add_test(c, what_is_worked_on_counts);
    tcase_add_test(c, what_is_answered_is_kept_no_longer);
    tcase_add_test(c, one_request_always_fits);
    suite_add_tcase(s, c);
    return check_main(s);
}
