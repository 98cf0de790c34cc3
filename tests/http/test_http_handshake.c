/* Whose handshake goes on when many want theirs at once.  Server and clients in one thread: each
 * pass of the loop is made here, so that what one pass does can be counted. */
#include <arpa/inet.h>
#include <dirent.h>
#include <dlfcn.h>
#include <event2/event.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "check_main.h"
#include "http/http_tls.h"

#define CLIENTS 20

static const struct http_limits limits = {CLIENTS + 10, 600, 16384, 262144, 1 << 26};
static struct event_base *base;
static struct http_server *server;
static int port, fds[CLIENTS], open_before; /* descriptors */
static unsigned char hello[1024];           /* what a client says first */
static int hello_n;

/* In place of libc's, for libevent too: when a test says so, time goes on by its word alone. */
static struct {
    bool own;
    struct timespec at;
} now;

int clock_gettime(clockid_t clock, struct timespec *out)
{
    static int (*real)(clockid_t, struct timespec *);
    if (now.own && (clock == CLOCK_MONOTONIC || clock == CLOCK_MONOTONIC_COARSE)) {
        *out = now.at;
        return 0;
    }
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
    return real(clock, out);
}

static void on_request(void *ctx, struct http_request *r)
{
    http_reply_text(r, 200, "here");
}

static void on_refused(void *ctx, const char *peer, int status, const char *why)
{
}

static SSL_CTX *context(void)
{
    struct err err = {0};
    SSL_CTX *ctx;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    ck_assert(key && x);
    X509_gmtime_adj(X509_getm_notBefore(x), 0);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_set_pubkey(x, key);
    ck_assert_int_gt(X509_sign(x, key, EVP_sha256()), 0);
    struct http_tls_files f = {.certificate = x, .key = key};
    ck_assert_msg(http_tls_new(&f, &ctx, &err), "%s", err.text);
    X509_free(x);
    EVP_PKEY_free(key);
    return ctx;
}

static void say_hello(void)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(ctx);
    BIO *out = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl, BIO_new(BIO_s_mem()), out);
    ck_assert_int_eq(SSL_connect(ssl), -1);
    hello_n = BIO_read(out, hello, sizeof hello);
    ck_assert_int_gt(hello_n, 100);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
}

static void pass(void)
{
    ck_assert_int_ge(event_base_loop(base, EVLOOP_ONCE), 0);
}

static void connect_all(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int i = 0; i < CLIENTS; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ck_assert_int_eq(connect(fds[i], (struct sockaddr *)&a, sizeof a), 0);
    }
    while (http_server_connections(server) < CLIENTS)
        pass();
}

static int descriptors(void)
{
    int n = 0;
    DIR *d = opendir("/proc/self/fd");
    ck_assert_ptr_nonnull(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static void setup(void)
{
    struct sockaddr_in a;
    socklen_t n = sizeof a;
    struct err err = {0};
    int fd;
    signal(SIGPIPE, SIG_IGN);
    now.own = false;
    open_before = descriptors();
    base = event_base_new();
    ck_assert(http_server_new(base, &limits, on_request, on_refused, NULL, NULL, &server, &err));
    SSL_CTX *ctx = context();
    http_server_tls(server, ctx);
    SSL_CTX_free(ctx);
    ck_assert(http_bind("127.0.0.1", 0, &fd, &err));
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&a, &n), 0);
    port = ntohs(a.sin_port);
    ck_assert_msg(http_server_listen_fd(server, fd, &err), "%s", err.text);
    say_hello();
    connect_all();
}

static void teardown(void)
{
    for (int i = 0; i < CLIENTS; i++)
        close(fds[i]);
    http_server_free(server);
    event_base_free(base);
    ck_assert_int_eq(descriptors(), open_before); /* no connection outlives its server */
}

static void say(int client, int from, int to)
{
    ck_assert_int_eq(send(fds[client], hello + from, (size_t)(to - from), MSG_NOSIGNAL), to - from);
}

static bool answered(int client)
{
    struct pollfd p = {.fd = fds[client], .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}

/* RFC 8446 section 5.1: 22, a handshake */
static void assert_hello(int client)
{
    unsigned char type = 0;
    ck_assert_int_eq(recv(fds[client], &type, 1, 0), 1);
    ck_assert_int_eq(type, 22);
}

/* All of them speak, and are answered in the order of `order`, one with each look at all
 * descriptors. */
static void assert_in_turn(const int *order)
{
    int done = 0;
    while (done < CLIENTS) {
        int before = done;
        pass();
        while (done < CLIENTS && answered(order[done]))
            assert_hello(order[done++]);
        ck_assert_int_le(done, before + 1);
        for (int i = done; i < CLIENTS; i++)
            ck_assert_msg(!answered(order[i]), "%d before its turn", i);
    }
}

START_TEST(one_at_a_time)
{
    int order[CLIENTS];
    for (int i = 0; i < CLIENTS; i++) {
        order[i] = CLIENTS - 1 - i;
        say(order[i], 0, hello_n);
    }
    assert_in_turn(order);
}
END_TEST

/* An octet is no place in line for the others: all that keep back the end say it at once. */
START_TEST(one_at_a_time_whose_start_is_here)
{
    int order[CLIENTS];
    for (int cut = 1; cut < hello_n; cut += hello_n - 2) {
        for (int i = 0; i < CLIENTS; i++)
            say(i, cut == 1 ? 0 : 1, cut);
        for (int i = 0; i < 3 * CLIENTS; i++)
            ck_assert_int_ge(event_base_loop(base, EVLOOP_NONBLOCK), 0);
        for (int i = 0; i < CLIENTS; i++)
            ck_assert(!answered(i));
    }
    for (int i = 0; i < CLIENTS; i++) {
        order[i] = (i + 7) % CLIENTS;
        say(order[i], hello_n - 1, hello_n);
    }
    assert_in_turn(order);
}
END_TEST

/* Nobody who keeps silent, goes or speaks something else holds up those behind. */
START_TEST(the_last_in_line)
{
    close(fds[0]);
    fds[0] = -1;
    ck_assert_int_eq(send(fds[1], "GET / HTTP/1.1\r\n\r\n", 18, MSG_NOSIGNAL), 18);
    say(2, 0, hello_n - 1);
    say(CLIENTS - 1, 0, hello_n);
    while (!answered(CLIENTS - 1) || http_server_connections(server) > CLIENTS - 2)
        pass();
    assert_hello(CLIENTS - 1);
    ck_assert(answered(1)); /* an alert, or the end */
    ck_assert(!answered(2));
    say(2, hello_n - 1, hello_n);
    while (!answered(2))
        pass();
    assert_hello(2);
}
END_TEST

/* Those that wait end with the server, without any of what they waited for. */
START_TEST(draining)
{
    for (int i = 0; i < CLIENTS; i += 2)
        say(i, 0, hello_n);
    pass(); /* they stand in line */
    http_server_drain(server);
    while (http_server_connections(server) > 0)
        pass();
    for (int i = 0; i < CLIENTS; i++) {
        char octet;
        ck_assert_int_le(recv(fds[i], &octet, 1, 0), 0);
    }
}
END_TEST

/* The server goes before the loop has seen that they were cut. */
START_TEST(freed_when_they_are_cut)
{
    for (int i = 0; i < CLIENTS; i += 2)
        say(i, 0, hello_n);
    pass();
    http_server_drain(server);
}
END_TEST

static void deadline(int seconds)
{
    struct http_limits l = limits;
    l.request_timeout = seconds;
    http_server_limits(server, &l);
    clock_gettime(CLOCK_MONOTONIC, &now.at);
    now.own = true;
}

#define STEP_MS 5

/* A pass every few milliseconds; octets need a real moment from one end to the other. */
static void pass_for(int ms)
{
    for (; ms > 0; ms -= STEP_MS) {
        now.at.tv_nsec += STEP_MS * 1000000;
        now.at.tv_sec += now.at.tv_nsec / 1000000000;
        now.at.tv_nsec %= 1000000000;
        ck_assert_int_ge(event_base_loop(base, EVLOOP_NONBLOCK), 0);
        usleep(500);
    }
}

/* Something came from the server, or its end; time stands still meanwhile. */
static void await(int client)
{
    struct pollfd p = {.fd = fds[client], .events = POLLIN};
    for (int i = 0; i < 10000 && poll(&p, 1, 1) == 0; i++)
        ck_assert_int_ge(event_base_loop(base, EVLOOP_NONBLOCK), 0);
    ck_assert_int_ne(p.revents, 0);
}

/* A client of TLS 1.2 whose octets this test carries. */
static SSL *slow_client(SSL_CTX *ctx)
{
    SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
    SSL *ssl = SSL_new(ctx);
    SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_connect(ssl);
    return ssl;
}

/* One record of what it has to say (RFC 8446 section 5.1); false: none is left. */
static bool say_record(SSL *ssl, int client)
{
    unsigned char record[5 + (1 << 14)];
    if (BIO_read(SSL_get_wbio(ssl), record, 5) != 5)
        return false;
    int n = record[3] << 8 | record[4];
    ck_assert_int_eq(BIO_read(SSL_get_wbio(ssl), record + 5, n), n);
    return send(fds[client], record, (size_t)(5 + n), MSG_NOSIGNAL) == 5 + n;
}

static bool hear(SSL *ssl, int client)
{
    unsigned char all[16384];
    ssize_t n = recv(fds[client], all, sizeof all, MSG_DONTWAIT);
    if (n > 0)
        BIO_write(SSL_get_rbio(ssl), all, (int)n);
    return SSL_connect(ssl) == 1;
}

/* Who says the next part in time is not silent, however long ago it came. */
START_TEST(silence_is_counted_from_the_last_part)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl = slow_client(ctx);
    deadline(4);
    pass_for(2500);
    ck_assert(say_record(ssl, 3));
    await(3);
    pass_for(2500);
    ck_assert(!hear(ssl, 3));
    while (say_record(ssl, 3))
        ;
    await(3);
    pass_for(100);
    ck_assert_msg(hear(ssl, 3), "it was cut");
    SSL_free(ssl);
    SSL_CTX_free(ctx);
}
END_TEST

/* An octet is no part. */
START_TEST(octets_are_no_parts)
{
    deadline(1);
    for (int i = 0; i < 10; i++) {
        send(fds[3], hello + i, 1, MSG_NOSIGNAL);
        pass_for(200);
    }
    ck_assert_int_eq(http_server_connections(server), 0);
}
END_TEST

/* With each part in time, a handshake has its end all the same. */
START_TEST(a_handshake_has_a_deadline)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl = slow_client(ctx);
    deadline(1);
    for (int i = 0; i < 4; i++) {
        pass_for(700);
        say_record(ssl, 3);
        pass_for(20);
        ck_assert(!hear(ssl, 3));
    }
    SSL_free(ssl);
    SSL_CTX_free(ctx);
}
END_TEST

/* With TLS 1.2 as with 1.3: several steps, then a request. */
START_TEST(a_whole_exchange)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    char reply[512] = "";
    int n;
    SSL_CTX_set_max_proto_version(ctx, _i ? TLS1_3_VERSION : TLS1_2_VERSION);
    SSL *ssl = SSL_new(ctx);
    SSL_set_fd(ssl, fds[3]);
    evutil_make_socket_nonblocking(fds[3]);
    while (SSL_connect(ssl) != 1)
        pass();
    ck_assert_int_eq(SSL_write(ssl, request, sizeof request - 1), sizeof request - 1);
    while ((n = SSL_read(ssl, reply, sizeof reply - 1)) <= 0)
        pass();
    ck_assert_int_eq(strncmp(reply, "HTTP/1.1 200", 12), 0);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("http/http_handshake");
    TCase *c = tcase_create("handshakes");
    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, one_at_a_time);
    tcase_add_test(c, one_at_a_time_whose_start_is_here);
    tcase_add_test(c, the_last_in_line);
    tcase_add_test(c, draining);
    tcase_add_test(c, freed_when_they_are_cut);
    tcase_add_test(c, silence_is_counted_from_the_last_part);
    tcase_add_test(c, octets_are_no_parts);
    tcase_add_test(c, a_handshake_has_a_deadline);
    tcase_add_loop_test(c, a_whole_exchange, 0, 2);
    suite_add_tcase(s, c);
    return check_main(s);
}
