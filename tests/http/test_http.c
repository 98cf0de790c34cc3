/* The HTTP server against raw sockets: every hole of libevent 2.1.12 that http.c closes, one by
 * one. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check_main.h"
#include "http_fixture.h"

static struct http_fixture f;
static struct http_got got;

static void start(int connections, int timeout)
{
    struct http_limits l = {connections, timeout, 131072, 262144, 1 << 26};
    fixture_start(&f, &l);
}

static void setup(void)
{
    start(64, 20);
}

static void teardown(void)
{
    fixture_stop(&f);
}

/* Is the connection still good for another request? */
static void assert_alive(int fd)
{
    client_send(fd, "GET /echo?again HTTP/1.1\r\nHost: x\r\n\r\n");
    ck_assert(client_read(fd, false, &got));
    ck_assert_int_eq(got.status, 200);
    ck_assert_str_eq(got.body, "GET /echo again 0 \n");
}

static void assert_header(const char *line)
{
    char with_ends[256];
    snprintf(with_ends, sizeof with_ends, "\r\n%s\r\n", line);
    ck_assert_msg(strcasestr(got.head, with_ends) != NULL, "no \"%s\" in:\n%s", line, got.head);
}

START_TEST(get_and_post_on_one_connection)
{
    int fd = client_connect(&f);
    client_send(
        fd,
        "GET /echo?operation=PKIOperation&message=a+b%2B/=&message HTTP/1.1\r\nHost: x\r\n\r\n");
    ck_assert(client_read(fd, false, &got));
    ck_assert_int_eq(got.status, 200);
    ck_assert_str_eq(got.body, "GET /echo operation=PKIOperation&message=a+b%2B/=&message 0 \n");
    client_send(fd, "POST /e%63ho HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello");
    ck_assert(client_read(fd, false, &got));
    ck_assert_str_eq(got.body, "POST /echo  5 hello\n");
    assert_header(
        "Content-Type: text/plain; charset=utf-8"); /* evhttp's own default is text/html */
    assert_alive(fd);
    close(fd);
}
END_TEST

/* The server's end of a connection, which this process has too. */
static int other_end(int client)
{
    struct sockaddr_storage mine, theirs;
    socklen_t n = sizeof mine, m;
    ck_assert_int_eq(getsockname(client, (struct sockaddr *)&mine, &n), 0);
    for (int fd = 3; fd < 1024; fd++) {
        m = sizeof theirs;
        if (fd != client && getpeername(fd, (struct sockaddr *)&theirs, &m) == 0 &&
            ((struct sockaddr_in *)&theirs)->sin_port == ((struct sockaddr_in *)&mine)->sin_port)
            return fd;
    }
    return -1;
}

START_TEST(the_rest_of_a_long_reply_waits_for_nobody)
{
    int fd = client_connect(&f), on = 0;
    socklen_t n = sizeof on;
    assert_alive(fd);
    ck_assert_int_eq(getsockopt(other_end(fd), IPPROTO_TCP, TCP_NODELAY, &on, &n), 0);
    ck_assert_int_ne(on, 0);
    close(fd);
}
END_TEST

START_TEST(head_has_the_length_and_no_body)
{
    int fd = client_connect(&f);
    client_send(fd, "HEAD /echo?x HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    ck_assert(client_read(fd, true, &got));
    ck_assert_int_eq(got.status, 200);
    assert_header("Content-Length: 16");
    assert_alive(fd); /* a body would be read as this reply */
    client_send(fd, "HEAD /shared HTTP/1.1\r\nHost: x\r\n\r\n");
    ck_assert(client_read(fd, true, &got));
    assert_header("Content-Length: 6");
    assert_alive(fd);
    close(fd);
}
END_TEST

START_TEST(a_borrowed_body_is_released_once)
{
    int fd = client_connect(&f);
    client_send(fd, "GET /shared HTTP/1.1\r\nHost: x\r\n\r\n");
    ck_assert(client_read(fd, false, &got));
    ck_assert_str_eq(got.body, "shared");
    assert_header("Content-Type: text/x-shared");
    assert_alive(fd);
    ck_assert_int_eq(f.requests, 1002);
    close(fd);
}
END_TEST

START_TEST(not_modified_has_no_body)
{
    int fd = client_connect(&f);
    client_send(fd, "GET /same HTTP/1.1\r\nHost: x\r\n\r\n");
    ck_assert(client_read(fd, true, &got));
    ck_assert_int_eq(got.status, 304);
    assert_header("ETag: \"1\"");
    ck_assert_ptr_null(strstr(got.head, "Content-Length"));
    ck_assert_ptr_null(strstr(got.head, "Content-Type"));
    assert_alive(fd); /* a body would be read as this reply */
    close(fd);
}
END_TEST

/* RFC 6960 appendix A.1: base64 in a path has slashes, and nothing may clean it or decode it twice.
 */
START_TEST(a_path_that_is_data_stays_as_it_is)
{
    static const char *const paths[] = {"/data//a/../b", "/data/%2F%252f+=", "/data/%zz", "/data/",
                                        "/data"};
    int fd = client_connect(&f);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        char request[256], wanted[256];
        snprintf(request, sizeof request, "GET %s?q HTTP/1.1\r\nHost: x\r\n\r\n", paths[i]);
        snprintf(wanted, sizeof wanted, "[%s] [] [q]\n", paths[i]);
        client_send(fd, request);
        ck_assert(client_read(fd, false, &got));
        ck_assert_int_eq(got.status, 200);
        ck_assert_str_eq(got.body, wanted);
    }
    close(fd);
}
END_TEST

struct refusal {
    const char *request;
    int status;
};

static const struct refusal refusals[] = {
    /* framing that two parties may read differently: RFC 9112 section 6.3 */
    {"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400},
    {"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400},
    {"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\nhello", 400},
    {"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5, 5\r\n\r\nhello", 400},
    {"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\nhello", 400},
    {"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 0x5\r\n\r\nhello", 400},
    {"GET /echo HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\nhello", 400},
    {"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: "
     "chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
     400},
    {"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
     400},
    {"GET /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity\r\n\r\n", 400},
    /* what evhttp takes for the next request */
    {"HEAD /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 32\r\n\r\n"
     "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n",
     400},
    {"HEAD /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
    /* header names are tokens: RFC 9110 section 5.1 */
    {"GET /echo HTTP/1.1\r\nHost: x\r\nName : value\r\n\r\n", 400},
    {"GET /echo HTTP/1.1\r\nHost: x\r\nNa(me: value\r\n\r\n", 400},
    {"GET /echo HTTP/1.1\r\nHost: x\r\n: value\r\n\r\n", 400},
    {"GET /echo HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n", 400},
    /* RFC 9112 section 3.2 */
    {"GET /echo HTTP/1.1\r\n\r\n", 400},
    {"GET /echo HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400},
    /* versions */
    {"GET /echo HTTP/2.0\r\nHost: x\r\n\r\n", 400},
    {"GET /echo HTTP/0.9\r\n\r\n", 505},
    /* a path with a NUL, a bad escape stays as it is */
    {"GET /ec%00ho HTTP/1.1\r\nHost: x\r\n\r\n", 400},
    /* no HTTP at all */
    {"\x16\x03\x01\x02 hello\r\n\r\n", 400},
    {"\x16\x03\x01\x02 no line ends here", 400},
    /* methods */
    {"DELETE /echo HTTP/1.1\r\nHost: x\r\n\r\n", 405},
    {"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 405},
    /* expectations */
    {"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: something\r\n\r\n", 417},
    /* the body's limit, told before the body is sent */
    {"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 262145\r\nExpect: 100-continue\r\n\r\n",
     413},
    {"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n", 413},
    /* known limit of evhttp: chunk extensions are legal, and refused */
    {"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "
     "chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\n\r\n",
     413},
};

START_TEST(refused_and_closed)
{
    const struct refusal *r = &refusals[_i];
    int fd = client_connect(&f);
    client_send(fd, r->request);
    ck_assert_msg(client_read(fd, strncmp(r->request, "HEAD", 4) == 0, &got), "no reply to %s",
                  r->request);
    ck_assert_msg(got.status == r->status, "%d to %s", got.status, r->request);
    ck_assert_msg(strcasestr(got.head, "\r\nContent-Type: text/") != NULL, "no type: %s", got.head);
    ck_assert_msg(strcasestr(got.head, "\r\nContent-Length: ") != NULL, "no length: %s", got.head);
    ck_assert_msg(client_closed(fd), "still open after %s", r->request);
    ck_assert_int_eq(f.requests, 0);
    ck_assert_int_eq(f.refusals, 1); /* one line in the log */
    ck_assert_int_eq(f.last_status, r->status);
    close(fd);
}
END_TEST

/* RFC 9112 section 9.6 */
START_TEST(close_is_seen_among_others)
{
    static const char *const asking[] = {"TE, close", "Close,TE", "keep-alive\r\nConnection: close",
                                         "TE,\t close"};
    static const char *const others[] = {"keep-alive", "TE, closed", "x-close", ","};
    for (size_t i = 0; i < sizeof asking / sizeof *asking; i++) {
        int fd = client_connect(&f);
        client_send(fd, "GET /echo HTTP/1.1\r\nHost: x\r\nConnection: ");
        client_send(fd, asking[i]);
        client_send(fd, "\r\n\r\n");
        ck_assert(client_read(fd, false, &got));
        assert_header("Connection: close");
        ck_assert_msg(client_closed(fd), "still open after %s", asking[i]);
        close(fd);
    }
    int fd = client_connect(&f);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        client_send(fd, "GET /echo HTTP/1.1\r\nHost: x\r\nConnection: ");
        client_send(fd, others[i]);
        client_send(fd, "\r\n\r\n");
        ck_assert_msg(client_read(fd, false, &got), "closed before %s", others[i]);
        ck_assert_int_eq(got.status, 200);
    }
    close(fd);
}
END_TEST

/* RFC 9112 section 3.2.2 */
START_TEST(a_whole_url_is_answered_as_its_path)
{
    int fd = client_connect(&f);
    client_send(fd, "GET http://proxied:99/echo?1 HTTP/1.1\r\nHost: x\r\n\r\n"
                    "POST http://x/echo?2 HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab");
    ck_assert(client_read(fd, false, &got));
    ck_assert_str_eq(got.body, "GET /echo 1 0 \n");
    ck_assert_msg(client_read(fd, false, &got), "closed behind the first");
    ck_assert_str_eq(got.body, "POST /echo 2 2 ab\n");
    close(fd);
}
END_TEST

START_TEST(connect_is_refused_with_a_length)
{
    int fd = client_connect(&f);
    client_send(fd, "CONNECT example.org:443 HTTP/1.1\r\nHost: example.org\r\n\r\n");
    ck_assert(client_read(fd, false, &got));
    ck_assert_int_eq(got.status, 405);
    assert_header("Allow: GET, HEAD, POST");
    ck_assert_uint_gt(got.body_n, 0);
    ck_assert(client_closed(fd));
    close(fd);
}
END_TEST

START_TEST(an_unknown_method_is_refused)
{
    int fd = client_connect(&f);
    client_send(fd, "BREW /echo HTTP/1.1\r\nHost: x\r\n\r\n");
    ck_assert(client_read(fd, false, &got));
    ck_assert_int_ge(got.status, 400);
    ck_assert(client_closed(fd));
    ck_assert_int_eq(f.requests, 0);
    ck_assert_int_eq(f.refusals, 1);
    close(fd);
}
END_TEST

START_TEST(http_1_0_gets_a_length_and_a_close)
{
    int fd = client_connect(&f);
    client_send(fd, "GET /echo HTTP/1.0\r\n\r\n"); /* no Host: old SCEP clients */
    ck_assert(client_read(fd, false, &got));
    ck_assert_int_eq(got.status, 200);
    assert_header("Content-Length: 14");
    ck_assert(client_closed(fd));
    close(fd);
}
END_TEST

START_TEST(chunked_bodies_are_read)
{
    int fd = client_connect(&f);
    client_send(fd, "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                    "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n");
    ck_assert(client_read(fd, false, &got));
    ck_assert_str_eq(got.body, "POST /echo  11 hello world\n");
    assert_alive(fd);
    close(fd);
}
END_TEST

/* A known limit: evhttp reads sizes as strtoll does, and the handler does not see them.  It reads
 * the octets that the size says and nothing else, so that a proxy which forwards such a size as it
 * is agrees. */
START_TEST(odd_chunk_sizes_are_read_for_what_they_say)
{
    static const char *const sizes[] = {"0x5", "+5", "05", "5 "};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char request[256];
        snprintf(request, sizeof request,
                 "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                 "%s\r\nhello\r\n0\r\n\r\n",
                 sizes[i]);
        int fd = client_connect(&f);
        client_send(fd, request);
        ck_assert(client_read(fd, false, &got));
        if (got.status == 200) {
            ck_assert_str_eq(got.body, "POST /echo  5 hello\n");
            assert_alive(fd);
        } else {
            ck_assert(client_closed(fd)); /* nothing behind it is taken for a request */
        }
        close(fd);
    }
}
END_TEST

START_TEST(negative_and_huge_chunks_are_refused)
{
    static const char *const sizes[] = {"-5", "ffffffffffffffff", "40001", "zz", ""};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char request[256];
        snprintf(request, sizeof request,
                 "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                 "%s\r\nhello\r\n0\r\n\r\n",
                 sizes[i]);
        int fd = client_connect(&f);
        client_send(fd, request);
        shutdown(fd, SHUT_WR); /* should it wait for more */
        if (client_read(fd, false, &got))
            ck_assert_msg(got.status >= 400, "%d to a chunk of \"%s\"", got.status, sizes[i]);
        ck_assert(client_closed(fd));
        close(fd);
    }
    ck_assert_int_eq(f.requests, 0);
}
END_TEST

START_TEST(expect_100_continue)
{
    int fd = client_connect(&f);
    client_send(
        fd, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    ck_assert(client_read(fd, true, &got));
    ck_assert_int_eq(got.status, 100);
    client_send(fd, "hello");
    ck_assert(client_read(fd, false, &got));
    ck_assert_str_eq(got.body, "POST /echo  5 hello\n");
    ck_assert_int_eq(f.refusals, 0);
    assert_alive(fd);
    close(fd);
}
END_TEST

START_TEST(pipelined_replies_keep_their_order)
{
    int fd = client_connect(&f);
    client_send(fd, "GET /slow?1 HTTP/1.1\r\nHost: x\r\n\r\nGET /echo?2 HTTP/1.1\r\nHost: x\r\n\r\n"
                    "POST /slow?3 HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nabGET /echo?4 "
                    "HTTP/1.1\r\nHost: x\r\n\r\n");
    static const char *const bodies[] = {"GET /slow 1 0 \n", "GET /echo 2 0 \n",
                                         "POST /slow 3 2 ab\n", "GET /echo 4 0 \n"};
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        ck_assert(client_read(fd, false, &got));
        ck_assert_str_eq(got.body, bodies[i]);
    }
    close(fd);
}
END_TEST

static char *long_get(size_t n)
{
    static const char head[] = "GET /echo?message=", tail[] = " HTTP/1.1\r\nHost: x\r\n\r\n";
    char *s = malloc(n + sizeof head + sizeof tail);
    memcpy(s, head, sizeof head - 1);
    memset(s + sizeof head - 1, 'A', n);
    memcpy(s + sizeof head - 1 + n, tail, sizeof tail);
    return s;
}

START_TEST(a_long_get_is_read)
{
    char *request = long_get(127 * 1024);
    int fd = client_connect(&f);
    client_send(fd, request);
    ck_assert(client_read(fd, false, &got));
    ck_assert_int_eq(got.status, 200);
    assert_alive(fd);
    close(fd);
    free(request);
}
END_TEST

START_TEST(a_longer_one_is_refused)
{
    char *request = long_get(140000);
    int fd = client_connect(&f);
    client_send(fd, request);
    ck_assert(client_read(fd, false, &got));
    ck_assert_int_eq(got.status, 414); /* RFC 8894 section 4.1 knows no limit; HTTP does */
    ck_assert(client_closed(fd));
    ck_assert_int_eq(f.requests, 0);
    ck_assert_int_eq(f.refusals, 1);
    close(fd);
    free(request);
}
END_TEST

START_TEST(a_far_longer_one_is_refused_too)
{
    char *request = long_get(300000);
    int fd = client_connect(&f);
    client_send(fd, request);
    /* evhttp's own refusal.  The server may close with octets unread, which can take the reply
     * along. */
    if (client_read(fd, false, &got))
        ck_assert_int_eq(got.status, 400);
    ck_assert(client_closed(fd));
    ck_assert_int_eq(f.requests, 0);
    ck_assert_int_eq(f.refusals, 1);
    close(fd);
    free(request);
}
END_TEST

START_TEST(many_headers_are_refused)
{
    int fd = client_connect(&f);
    client_send(fd, "GET /echo HTTP/1.1\r\nHost: x\r\n");
    for (int i = 0; i < 15000; i++)
        client_send(fd, "a: b234567\r\n");
    client_send(fd, "\r\n");
    ck_assert(client_read(fd, false, &got));
    ck_assert_int_eq(got.status, 431);
    ck_assert(client_closed(fd));
    ck_assert_int_eq(f.requests, 0);
    close(fd);
}
END_TEST

START_TEST(a_nul_in_a_header_value_does_no_harm)
{
    static const char request[] = "GET /echo HTTP/1.1\r\nHost: x\r\nUser-Agent: a\0b\r\n\r\n";
    int fd = client_connect(&f);
    ck_assert_int_eq(send(fd, request, sizeof request - 1, 0), sizeof request - 1);
    ck_assert(client_read(fd, false, &got));
    ck_assert_int_eq(got.status, 200);
    close(fd);
}
END_TEST

/* Answers to clients that went away while their request was worked on go nowhere, and nothing
 * breaks. */
START_TEST(clients_gone_meanwhile)
{
    struct linger reset = {1, 0};
    for (int i = 0; i < 30; i++) {
        int fd = client_connect(&f);
        client_send(
            fd, i % 4 == 3 ? "POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nxGET /slow"
                           : "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n");
        if (i % 3 == 1)
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        if (i % 3 == 2)
            shutdown(fd, SHUT_WR);
        else
            close(fd);
    }
    int fd = client_connect(&f);
    client_send(fd, "GET /slow?mine HTTP/1.1\r\nHost: x\r\n\r\n");
    ck_assert(client_read(fd, false, &got));
    ck_assert_str_eq(got.body, "GET /slow mine 0 \n");
    assert_alive(fd);
    close(fd);
}
END_TEST

START_TEST(half_closed_clients_get_their_reply)
{
    int fd = client_connect(&f);
    client_send(fd, "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n");
    shutdown(fd, SHUT_WR);
    ck_assert(client_read(fd, false, &got));
    ck_assert_int_eq(got.status, 200);
    ck_assert(client_closed(fd));
    close(fd);
}
END_TEST

/* ---- with limits of their own ---- */

START_TEST(a_slow_sender_is_cut_at_the_deadline)
{
    start(64, 1);
    int fd = client_connect(&f);
    client_send(fd, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n");
    /* One octet every 100 ms would keep evhttp's own timeout away for ever. */
    int sent = 0;
    while (f.refusals == 0 && sent < 200) {
        usleep(100000);
        if (send(fd, "x", 1, MSG_NOSIGNAL) != 1)
            break;
        sent++;
    }
    ck_assert_int_lt(sent, 200);
    ck_assert(client_closed(fd));
    ck_assert_int_eq(f.refusals, 1);
    ck_assert_int_eq(f.last_status, 408);
    ck_assert_int_eq(f.requests, 0);
    close(fd);
    teardown();
}
END_TEST

START_TEST(a_reply_taken_too_slowly_is_cut_as_well)
{
    start(64, 1);
    static char chunk[65536];
    int fd = client_connect(&f);
    client_send(fd, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
    /* Enough to keep evhttp's own timeout away. */
    for (int i = 0; i < 600 && f.refusals == 0; i++) {
        usleep(50000);
        if (recv(fd, chunk, sizeof chunk, MSG_DONTWAIT) == 0)
            break;
    }
    ck_assert_int_eq(f.last_status, 408);
    close(fd);
    teardown();
}
END_TEST

/* What a client sends on behind a reply that it does not take is left in the kernel, not kept. */
START_TEST(input_behind_a_stuck_reply_is_bounded)
{
    static char more[65536];
    const size_t enough = 256u << 20;
    size_t sent = 0;
    start(4, 600);
    int fd = client_connect(&f);
    client_send(fd, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
    memset(more, 'x', sizeof more);
    struct pollfd writable = {.fd = fd, .events = POLLOUT};
    while (sent < enough && poll(&writable, 1, 2000) == 1) {
        ssize_t n = send(fd, more, sizeof more, MSG_DONTWAIT | MSG_NOSIGNAL);
        ck_assert_int_gt(n, 0);
        sent += (size_t)n;
    }
    ck_assert_uint_lt(sent, enough);
    close(fd);
    teardown();
}
END_TEST

START_TEST(idle_connections_end)
{
    start(64, 1);
    int used = client_connect(&f), silent = client_connect(&f);
    assert_alive(used);
    ck_assert(client_closed(used));
    ck_assert(client_closed(silent));
    ck_assert_int_eq(f.refusals, 0); /* nothing was refused */
    close(used);
    close(silent);
    teardown();
}
END_TEST

START_TEST(a_job_has_no_deadline_here)
{
    struct http_limits l = {64, 0, 131072, 262144,
                            1 << 26}; /* every sweep finds everything too old */
    fixture_start(&f, &l);
    int fd = client_connect(&f);
    client_send(fd, "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n");
    ck_assert(client_read(fd, false, &got));
    ck_assert_int_eq(got.status, 200);
    close(fd);
    teardown();
}
END_TEST

START_TEST(connections_over_the_limit_wait)
{
    start(3, 20);
    f.hold = true;
    int fd[3], waiting;
    for (int i = 0; i < 3; i++) {
        fd[i] = client_connect(&f);
        client_send(fd[i], "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"); /* not one that may leave */
    }
    while (f.requests < 3)
        usleep(1000);
    waiting = client_connect(&f);
    client_send(waiting, "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n");
    usleep(300000);
    ck_assert_int_eq(f.requests, 3); /* not the one that waits */
    f.hold = false;
    for (int i = 0; i < 3; i++) {
        ck_assert(client_read(fd[i], false, &got));
        ck_assert_int_eq(got.status, 200);
    }
    close(fd[0]);
    ck_assert(client_read(waiting, false, &got));
    ck_assert_int_eq(got.status, 200);
    close(waiting);
    for (int i = 1; i < 3; i++)
        close(fd[i]);
    teardown();
}
END_TEST

START_TEST(idle_connections_make_room)
{
    start(3, 60);
    int fd[3];
    for (int i = 0; i < 3; i++) {
        fd[i] = client_connect(&f);
        assert_alive(fd[i]);
    }
    int next = client_connect(&f);
    client_send(next, "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n");
    ck_assert(client_read(next, false, &got));
    ck_assert_int_eq(got.status, 200);
    ck_assert(client_closed(fd[0])); /* the oldest went */
    for (int i = 0; i < 3; i++)
        close(fd[i]);
    close(next);
    teardown();
}
END_TEST

/* Whoever holds all connections with requests that never end does not keep others out. */
START_TEST(unfinished_requests_make_room)
{
    start(8, 600);
    int fd[24];
    for (int i = 0; i < 24; i++) {
        fd[i] = client_connect(&f);
        client_send(fd[i], "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1");
    }
    int next = client_connect(&f);
    client_send(next, "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n");
    for (int tries = 0; tries < 3 && !client_read(next, false, &got); tries++)
        ;
    ck_assert_int_eq(got.status, 200);
    ck_assert(client_closed(fd[0])); /* the oldest went */
    ck_assert_int_ge(f.refusals, 1); /* and that was told */
    for (int i = 0; i < 24; i++)
        close(fd[i]);
    close(next);
    teardown();
}
END_TEST

static int cpu_ms(const struct rusage *u)
{
    return (int)((u->ru_utime.tv_sec + u->ru_stime.tv_sec) * 1000 +
                 (u->ru_utime.tv_usec + u->ru_stime.tv_usec) / 1000);
}

START_TEST(out_of_descriptors_pauses)
{
    start(64, 20);
    struct rlimit before, none;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    int alive = client_connect(&f);
    assert_alive(alive);
    int fd = client_connect(&f); /* takes the lowest free number, so accept needs a higher one */
    assert_alive(fd);
    close(alive);
    ck_assert_int_eq(dup(fd) >= 0,
                     1); /* the number that `alive` leaves, should the server not need it */
    int next = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_storage address;
    socklen_t n = sizeof address;
    ck_assert_int_eq(getpeername(fd, (struct sockaddr *)&address, &n), 0);
    none = before;
    none.rlim_cur = 3; /* every new descriptor is above it */
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    ck_assert_int_eq(connect(next, (struct sockaddr *)&address, n), 0);
    for (int i = 0; i < 100 && f.accept_errors == 0; i++)
        usleep(10000);
    struct rusage earlier, later;
    ck_assert_int_eq(getrusage(RUSAGE_SELF, &earlier), 0);
    usleep(500000);
    ck_assert_int_eq(getrusage(RUSAGE_SELF, &later), 0);
    ck_assert_int_ge(f.accept_errors, 1);
    ck_assert_int_lt(f.accept_errors, 10); /* told once a second */
    /* A loop without pause takes all of a core: 500 ms, or what others leave it. */
    ck_assert_int_lt(cpu_ms(&later) - cpu_ms(&earlier), 60);
    assert_alive(fd);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_alive(next);
    close(next);
    close(fd);
    teardown();
}
END_TEST

START_TEST(draining_answers_and_closes)
{
    start(64, 20);
    int idle = client_connect(&f), busy = client_connect(&f);
    assert_alive(idle);
    client_send(busy, "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n");
    while (f.requests < 2)
        usleep(1000);
    teardown(); /* waits for what is in flight */
    ck_assert(client_read(busy, false, &got));
    ck_assert_int_eq(got.status, 200);
    assert_header("Connection: close");
    ck_assert(client_closed(busy));
    ck_assert(client_closed(idle));
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    close(fd);
    close(idle);
    close(busy);
}
END_TEST

/* The same thirty as above, with the end in the middle: it waits for them and answers nobody. */
START_TEST(draining_with_clients_gone)
{
    struct linger reset = {1, 0};
    int half_closed[10], n = 0;
    start(64, 20);
    f.hold = true;
    for (int i = 0; i < 30; i++) {
        int fd = client_connect(&f);
        client_send(fd,
                    "GET /slow HTTP/1.1\r\nHost: x\r\n\r\nGET /echo HTTP/1.1\r\nHost: x\r\n\r\n");
        while (f.requests <= i)
            usleep(1000);
        if (i % 3 == 1)
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        if (i % 3 == 2) {
            shutdown(fd, SHUT_WR);
            half_closed[n++] = fd;
        } else {
            close(fd);
        }
    }
    f.hold = false;
    teardown(); /* fails when something stays in flight */
    for (int i = 0; i < n; i++) {
        ck_assert(client_read(half_closed[i], false, &got)); /* these were still there */
        ck_assert_int_eq(got.status, 200);
        ck_assert_str_eq(got.body, "GET /slow  0 \n");
        close(half_closed[i]);
    }
}
END_TEST

START_TEST(a_taken_port_is_told)
{
    struct event_base *base = event_base_new();
    struct http_limits l = {8, 20, 131072, 262144, 1 << 26};
    struct http_server *s = NULL;
    struct err err = {0};
    start(64, 20);
    ck_assert(http_server_new(base, &l, NULL, NULL, NULL, NULL, &s, &err));
    ck_assert(!http_server_listen(s, "127.0.0.1", f.port, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "Address already in use"));
    ck_assert(!http_server_listen(s, "no-address", 0, &err));
    ck_assert_int_eq(err.kind, ERR_CONFIG);
    http_server_free(s);
    event_base_free(base);
    teardown();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("http/http");
    TCase *c = tcase_create("server");
    tcase_set_timeout(c, 40);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, get_and_post_on_one_connection);
    tcase_add_test(c, the_rest_of_a_long_reply_waits_for_nobody);
    tcase_add_test(c, head_has_the_length_and_no_body);
    tcase_add_test(c, a_borrowed_body_is_released_once);
    tcase_add_test(c, not_modified_has_no_body);
    tcase_add_test(c, a_path_that_is_data_stays_as_it_is);
    tcase_add_loop_test(c, refused_and_closed, 0, sizeof refusals / sizeof *refusals);
    tcase_add_test(c, close_is_seen_among_others);
    tcase_add_test(c, a_whole_url_is_answered_as_its_path);
    tcase_add_test(c, connect_is_refused_with_a_length);
    tcase_add_test(c, an_unknown_method_is_refused);
    tcase_add_test(c, http_1_0_gets_a_length_and_a_close);
    tcase_add_test(c, chunked_bodies_are_read);
    tcase_add_test(c, odd_chunk_sizes_are_read_for_what_they_say);
    tcase_add_test(c, negative_and_huge_chunks_are_refused);
    tcase_add_test(c, expect_100_continue);
    tcase_add_test(c, pipelined_replies_keep_their_order);
    tcase_add_test(c, a_long_get_is_read);
    tcase_add_test(c, a_longer_one_is_refused);
    tcase_add_test(c, a_far_longer_one_is_refused_too);
    tcase_add_test(c, many_headers_are_refused);
    tcase_add_test(c, a_nul_in_a_header_value_does_no_harm);
    tcase_add_test(c, clients_gone_meanwhile);
    tcase_add_test(c, half_closed_clients_get_their_reply);
    suite_add_tcase(s, c);
    TCase *l = tcase_create("limits");
    tcase_set_timeout(l, 40);
    tcase_add_test(l, a_slow_sender_is_cut_at_the_deadline);
    tcase_add_test(l, a_reply_taken_too_slowly_is_cut_as_well);
    tcase_add_test(l, input_behind_a_stuck_reply_is_bounded);
    tcase_add_test(l, idle_connections_end);
    tcase_add_test(l, a_job_has_no_deadline_here);
    tcase_add_test(l, connections_over_the_limit_wait);
    tcase_add_test(l, idle_connections_make_room);
    tcase_add_test(l, unfinished_requests_make_room);
    tcase_add_test(l, out_of_descriptors_pauses);
    tcase_add_test(l, draining_answers_and_closes);
    tcase_add_test(l, draining_with_clients_gone);
    tcase_add_test(l, a_taken_port_is_told);
    suite_add_tcase(s, l);
    return check_main(s);
}
