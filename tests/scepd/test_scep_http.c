/* The front end of SCEP over HTTP with made-up operations: an answer is what was asked. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "check_main.h"
#include "../http/http_fixture.h"
#include "scepd/scep_http.h"
#include "scepd/survey.h"

static struct http_fixture f; /* the client's half of it */
static struct http_got got;
static struct config config;
static struct scep_endpoint endpoint;
static struct authority authority;
static struct authority *authorities[] = {&authority};
static struct cert ca, root;
static struct scep_http front;
static struct metrics *metrics;
static bool relayed; /* there is a relay, and nobody that it could ask */
static struct service_pool *pool;
static atomic_bool hold;
static atomic_int prepared;
static char logged[1 << 18];
static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_long second; /* in which all happens; 0: time goes on */

time_t time(time_t *out)
{
    struct timespec t = {.tv_sec = second};
    if (t.tv_sec == 0)
        clock_gettime(CLOCK_REALTIME, &t);
    if (out)
        *out = t.tv_sec;
    return t.tv_sec;
}

static void fake_prepare(const struct scep_call *call, struct scep_answer *out)
{
    prepared++;
    while (hold)
        usleep(1000);
    *out = (struct scep_answer){
        .status = 200, .content_type = "application/x-pki-message", .operation = ""};
    ck_assert_ptr_eq(call->endpoint, &endpoint);
    ck_assert_int_eq(strncmp(call->peer.address, "127.0.0.", 8), 0);
    buf_append(&out->body, call->message.p, call->message.n);
    buf_append_str(&out->body, call->peer.agent);
    if (call->message.n == 4 && memcmp(call->message.p, "\x30\x02\x01\x05", 4) == 0)
        out->status = 503;
    if (call->message.n == 4 && memcmp(call->message.p, "0bad", 4) == 0) {
        out->verdict = ENROLL_REJECT;
        out->reason = REASON_CHALLENGE_USED;
    }
}

static void fake_clear(struct scep_answer *a)
{
    buf_clear(&a->body);
}

static const struct service_ops ops = {.prepare = fake_prepare, .clear = fake_clear};

static void keep_log(void *ctx, enum log_level level, const char *line, size_t n)
{
    pthread_mutex_lock(&log_lock);
    size_t at = strlen(logged);
    if (at + n + 2 < sizeof logged) {
        memcpy(logged + at, line, n);
        memcpy(logged + at + n, "\n", 2);
    }
    pthread_mutex_unlock(&log_lock);
}

static bool in_log(const char *text)
{
    bool found = false;
    for (int i = 0; i < 500 && !found; i++) { /* the line may follow the reply */
        pthread_mutex_lock(&log_lock);
        found = strstr(logged, text) != NULL;
        pthread_mutex_unlock(&log_lock);
        if (!found)
            usleep(10000);
    }
    return found;
}

static void start_pool(size_t queue, int deadline_ms)
{
    struct err err = {0};
    struct signer *lane = NULL;
    struct service_options o = {.ops = &ops,
                                .lanes = &lane,
                                .workers = 1,
                                .queue = queue,
                                .deadline_ms = deadline_ms,
                                .done = scep_http_done,
                                .ctx = &front};
    ck_assert(service_pool_new(&o, &pool, &err));
    front.pool = pool;
}

static char alias[] = "/certsrv/mscep/mscep.dll";

static void start_with(size_t queue, int deadline_ms)
{
    struct http_limits limits = {64, 20, 131072, 262144, 1 << 26};
    struct err err = {0};
    memcpy(config.endpoint[0].path, "/scep", 6);
    memcpy(config.endpoint[0].template_name, "device", 7);
    config.endpoint[0].alias[0] = alias;
    config.endpoint[0].alias_n = 1;
    config.endpoint_n = 1;
    memcpy(authority.name, "demo", 5);
    authority.generation = 1;
    endpoint = (struct scep_endpoint){.config = &config.endpoint[0],
                                      .ca_cert_type = "application/x-x509-ca-cert"};
    buf_append_str(&endpoint.caps, "AES\nSHA-256\n");
    buf_append_str(&endpoint.ca_cert, "the certificate");
    buf_append_str(&ca.der, "the CA");
    buf_append_str(&root.der, "the root");
    authority.cert = &ca;
    authority.chain[0] = &root;
    authority.chain_n = 1;
    f.log = (struct log){LOG_LEVEL_DEBUG, keep_log, NULL};
    struct routes *routes = NULL;
    ck_assert(routes_new(&config, authorities, 1, &routes, &err));
    front = (struct scep_http){.routes = routes,
                               .endpoints = &endpoint,
                               .authorities = authorities,
                               .ops = &ops,
                               .log = &f.log,
                               .metrics = metrics};
    f.base = event_base_new();
    const struct relay_needs needs = {.base = f.base, .log = &f.log, .metrics = metrics};
    ck_assert(!relayed || scep_relay_new(&needs, &front.relay, &err));
    ck_assert(scep_http_init(&front, f.base, &err));
    start_pool(queue, deadline_ms);
    fixture_serve(&f, &limits, scep_http_request, scep_http_refused, &front);
}

static void setup(void)
{
    start_with(64, 0);
}

static void teardown(void)
{
    fixture_join(&f);
    service_pool_free(pool);
    fixture_free(&f);
    scep_http_clear(&front);
    scep_relay_free(front.relay);
    event_base_free(f.base);
    routes_free((struct routes *)(uintptr_t)front.routes);
    buf_clear(&endpoint.caps);
    buf_clear(&endpoint.ca_cert);
    buf_clear(&ca.der);
    buf_clear(&root.der);
}

/* `request` up to the version; one connection each. */
static int ask(const char *request, const char *more)
{
    int fd = client_connect(&f);
    client_send(fd, request);
    client_send(fd, " HTTP/1.1\r\nHost: x\r\nUser-Agent: tester\r\nConnection: close\r\n");
    client_send(fd, more);
    ck_assert_msg(client_read(fd, strncmp(request, "HEAD", 4) == 0, &got), "no reply to %s",
                  request);
    close(fd);
    return got.status;
}

static void assert_header(const char *line)
{
    ck_assert_msg(strcasestr(got.head, line) != NULL, "no \"%s\" in:\n%s", line, got.head);
}

/* RFC 8894 sections 3.5, 3.5.2 and 4.2 */
START_TEST(from_memory)
{
    static const struct {
        const char *request, *type, *body;
    } asked[] = {
        {"GET /scep?operation=GetCACaps", "text/plain", "AES\nSHA-256\n"},
        {"GET /scep/?operation=GetCACaps&message=default", "text/plain", "AES\nSHA-256\n"},
        {"GET /SCEP/pkiclient.exe?message&operation=getcacaps", "text/plain", "AES\nSHA-256\n"},
        {"GET /scep?operation=GetCACert&message=CAIdentifier", "application/x-x509-ca-cert",
         "the certificate"},
        {"GET /scep?message=1&operation=GetCACert", "application/x-x509-ca-cert",
         "the certificate"},
        {"GET /ca/demo.crt", "application/pkix-cert", "the CA"},
        {"GET /ca/demo-1.crt", "application/pkix-cert", "the root"},
    };
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        ck_assert_int_eq(ask(asked[i].request, "\r\n"), 200);
        ck_assert_str_eq(got.body, asked[i].body);
        assert_header(asked[i].type);
        assert_header(strstr(asked[i].request, "/ca/") ? "Cache-Control: max-age"
                                                       : "Cache-Control: no-store");
    }
    ck_assert_int_eq(ask("HEAD /scep?operation=GetCACert", "\r\n"), 200);
    assert_header("Content-Length: 15\r\n");
    ck_assert_int_eq(ask("POST /scep?operation=GetCACaps", "Content-Length: 0\r\n\r\n"), 200);
    ck_assert_str_eq(got.body, "AES\nSHA-256\n");
    ck_assert_int_eq(prepared, 0);
}
END_TEST

/* RFC 8894 sections 4.1 and 4.3: whatever operation or type a POST names. */
START_TEST(pki_operations)
{
    static const struct {
        const char *request, *more, *body;
    } asked[] = {
        {"POST /scep?operation=PKIOperation", "Content-Length: 4\r\n\r\n0abc", "0abctester"},
        {"POST /scep", "Content-Length: 4\r\n\r\n0abc", "0abctester"},
        {"POST /scep?operation=pki-operation&x", "Content-Length: 4\r\n\r\n0abc", "0abctester"},
        {"POST /scep?operation=GetCACaps", "Content-Length: 4\r\n\r\n0abc", "0abctester"},
        {"POST /scep?operation=PKIOperation&message=", "Content-Length: 4\r\n\r\n0abc",
         "0abctester"},
        /* base64 in the body */
        {"POST /scep", "Content-Length: 6\r\n\r\nMGFi\r\n", "0abtester"},
        /* neither DER nor base64: as it is, for the refusal to name it */
        {"POST /scep", "Content-Length: 4\r\n\r\n{}{}", "{}{}tester"},
        {"GET /scep?operation=PKIOperation&message=MGFi", "\r\n", "0abtester"},
        {"GET /scep?message=MGFi%0AMGFi%0A&operation=PKIOperation", "\r\n", "0ab0abtester"},
        {"GET /scep?operation=PKIOperation&message=MPv-_w", "\r\n", "0\xfb\xfe\xfftester"},
        {"GET /scep?operation=PKIOperation&message=MPv+/w==", "\r\n", "0\xfb\xfe\xfftester"},
    };
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        ck_assert_int_eq(ask(asked[i].request, asked[i].more), 200);
        ck_assert_str_eq(got.body, asked[i].body);
        assert_header("Content-Type: application/x-pki-message\r\n");
        assert_header("Cache-Control: no-store");
    }
    ck_assert_int_eq(prepared, sizeof asked / sizeof *asked);
    ck_assert(in_log("event=scep.request"));
    ck_assert(in_log("agent=tester"));
}
END_TEST

START_TEST(a_fault_asks_to_come_again)
{
    ck_assert_int_eq(ask("GET /scep?operation=PKIOperation&message=MAIBBQ", "\r\n"), 503);
    assert_header("Retry-After: ");
}
END_TEST

START_TEST(refusals)
{
    static const struct {
        const char *request, *more;
        int status;
        const char *reason, *text;
    } asked[] = {
        {"GET /scep", "\r\n", 400, "http.operation",
         "GetCACaps, GetCACert, GetNextCACert and PKIOperation"},
        {"GET /scep?(null)", "\r\n", 400, "http.operation", "no operation"},
        {"GET /scep?operation=", "\r\n", 400, "http.operation", "no operation"},
        {"GET /scep?operation=GetCA", "\r\n", 400, "http.operation", "unknown operation"},
        {"GET /scep?operation=GetCACaps%00", "\r\n", 400, "http.operation", "unknown operation"},
        {"GET /scep?operation=GetNextCACert", "\r\n", 404, "http.operation",
         "no next CA certificate"},
        {"GET /scep?operation=PKIOperation", "\r\n", 400, "http.malformed", "message"},
        {"GET /scep?operation=PKIOperation&message=", "\r\n", 400, "http.malformed", "empty"},
        {"GET /scep?operation=PKIOperation&message=%zz", "\r\n", 400, "http.malformed", "escape"},
        {"GET /scep?operation=PKIOperation&message=M*", "\r\n", 400, "http.malformed",
         "not base64"},
        {"POST /scep", "Content-Length: 0\r\n\r\n", 400, "http.malformed", "empty"},
        {"GET /other", "\r\n", 404, "http.wrong_path", "no endpoint has this path\n"},
        {"GET /", "\r\n", 404, "http.wrong_path", "no endpoint has this path\n"},
        {"POST /ca/demo.crt", "Content-Length: 0\r\n\r\n", 405, "http.method", "not allowed"},
        {"PUT /scep", "Content-Length: 0\r\n\r\n", 405, "http.method", "none of"},
    };
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        *logged = '\0';
        ck_assert_msg(ask(asked[i].request, asked[i].more) == asked[i].status, "%d to %s",
                      got.status, asked[i].request);
        ck_assert_msg(strstr(got.body, asked[i].text) != NULL, "%s to %s", got.body,
                      asked[i].request);
        ck_assert_ptr_eq(strchr(got.body, '\n'), got.body + got.body_n - 1); /* one line */
        assert_header("Content-Type: text/plain");
        ck_assert(in_log("event=http.refused"));
        ck_assert_msg(in_log(asked[i].reason), "%s: %s", asked[i].request, logged);
    }
    ck_assert_int_eq(ask("HEAD /scep?operation=PKIOperation&message=MGFi", "\r\n"), 405);
    assert_header("Allow: GET, POST\r\n");
    ck_assert_int_eq(prepared, 0);
}
END_TEST

/* Administrators and monitors open the address of NDES without anything behind it. */
START_TEST(addresses_of_ndes_show_a_page)
{
    static const char *const shown[] = {"GET /certsrv/mscep/mscep.dll",
                                        "GET /CertSrv/MSCEP/mscep.DLL/"};
    static const char *const refused[] = {
        "GET /certsrv/mscep/mscep.dll?operation=", "GET /certsrv/mscep/mscep.dll?x",
        "GET /certsrv/mscep/mscep.dll/pkiclient.exe", "POST /certsrv/mscep/mscep.dll"};
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) {
        ck_assert_int_eq(ask(shown[i], "\r\n"), 200);
        assert_header("Content-Type: text/html; charset=utf-8\r\n");
        ck_assert_ptr_nonnull(strstr(got.body, "Network Device Enrollment Service"));
    }
    ck_assert_int_eq(ask("HEAD /certsrv/mscep/mscep.dll", "\r\n"), 200);
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        ck_assert_int_eq(ask(refused[i], i == 3 ? "Content-Length: 0\r\n\r\n" : "\r\n"), 400);
    ck_assert_int_eq(ask("GET /certsrv/mscep/mscep.dll?operation=GetCACaps", "\r\n"), 200);
    ck_assert_str_eq(got.body, "AES\nSHA-256\n");
    ck_assert_int_eq(prepared, 0);
}
END_TEST

START_TEST(post_only)
{
    config.endpoint[0].post_only = true;
    int status = ask("GET /scep?operation=PKIOperation&message=MGFi", "\r\n");
    config.endpoint[0].post_only = false;
    ck_assert_int_eq(status, 405);
    assert_header("Allow: POST\r\n");
    ck_assert_int_eq(prepared, 0);
    ck_assert_int_eq(ask("POST /scep", "Content-Length: 4\r\n\r\n0abc"), 200);
    ck_assert_int_eq(ask("GET /scep?operation=GetCACaps", "\r\n"), 200);
}
END_TEST

/* What is handed on to an upstream comes by POST only, too; here is nobody to hand it on to. */
START_TEST(post_only_of_a_relay)
{
    struct config_endpoint *e = &config.endpoint[0];
    snprintf(e->upstream, sizeof e->upstream, "other");
    ck_assert_int_eq(ask("GET /scep?operation=PKIOperation&message=MGFi", "\r\n"), 503);
    e->post_only = true;
    ck_assert_int_eq(ask("GET /scep?operation=PKIOperation&message=MGFi", "\r\n"), 405);
    assert_header("Allow: POST\r\n");
    ck_assert_int_eq(ask("POST /scep", "Content-Length: 4\r\n\r\n0abc"), 503);
    ck_assert_int_eq(ask("GET /scep?operation=GetCACaps", "\r\n"), 503);
    e->post_only = false;
    e->upstream[0] = '\0';
    ck_assert_int_eq(prepared, 0);
}
END_TEST

START_TEST(what_was_asked_is_not_repeated_to_the_client)
{
    ck_assert_int_eq(ask("GET /%3Cscript%3E?operation=%3Cscript%3E", "\r\n"), 404);
    ck_assert_ptr_null(strstr(got.body, "script"));
    ck_assert_int_eq(ask("GET /scep?operation=%3Cscript%3E%0Ax", "\r\n"), 400);
    ck_assert_ptr_null(strstr(got.body, "script"));
    ck_assert(in_log("<script>\\\\x0ax")); /* but kept, on one line */
}
END_TEST

START_TEST(a_full_queue)
{
    hold = true;
    start_with(1, 0);
    int fd[2];
    for (int i = 0; i < 2; i++) {
        fd[i] = client_connect(&f);
        client_send(fd[i], "POST /scep HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n0x");
        while (i == 0 && prepared == 0)
            usleep(1000);
    }
    usleep(100000); /* the second one waits in the queue */
    ck_assert_int_eq(ask("POST /scep", "Content-Length: 2\r\n\r\n0x"), 503);
    assert_header("Retry-After: 5\r\n");
    ck_assert(in_log("reason=busy"));
    for (int i = 1; i <= 6; i++) { /* a fleet does not come back all at once */
        char line[32];
        snprintf(line, sizeof line, "Retry-After: %d\r\n", 5 + i % 6);
        ck_assert_int_eq(ask("POST /scep", "Content-Length: 2\r\n\r\n0x"), 503);
        assert_header(line);
    }
    ck_assert_int_eq(ask("GET /scep?operation=GetCACaps", "\r\n"),
                     200); /* from memory, all the same */
    hold = false;
    for (int i = 0; i < 2; i++) {
        ck_assert(client_read(fd[i], false, &got));
        ck_assert_int_eq(got.status, 200);
        close(fd[i]);
    }
    teardown();
}
END_TEST

START_TEST(a_job_that_waited_too_long)
{
    hold = true;
    start_with(8, 20);
    int fd[2];
    for (int i = 0; i < 2; i++) {
        fd[i] = client_connect(&f);
        client_send(fd[i], "POST /scep HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n0x");
        while (i == 0 && prepared == 0)
            usleep(1000);
    }
    usleep(200000);
    hold = false;
    ck_assert(client_read(fd[0], false, &got));
    ck_assert_int_eq(got.status, 200);
    ck_assert(client_read(fd[1], false, &got));
    ck_assert_int_eq(got.status, 503);
    ck_assert_int_eq(prepared, 1);
    ck_assert(in_log("waited too long"));
    close(fd[0]);
    close(fd[1]);
    teardown();
}
END_TEST

/* FIN, RST, half a close and requests behind it, while a worker has the request or it waits for
 * one. */
static void go_away(int n)
{
    struct linger reset = {1, 0};
    for (int i = 0; i < n; i++) {
        int fd = client_connect(&f);
        client_send(fd, "POST /scep HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n0abc");
        if (i % 4 == 3)
            client_send(fd, "POST /scep HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n0abc");
        while (service_pool_waiting(pool) + (size_t)prepared <= (size_t)i)
            usleep(1000);
        if (i % 3 == 1)
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        if (i % 3 == 2)
            shutdown(fd, SHUT_WR);
        close(fd);
    }
}

START_TEST(clients_gone_while_a_worker_works)
{
    hold = true;
    start_with(64, 0);
    go_away(30);
    hold = false;
    ck_assert_int_eq(ask("POST /scep", "Content-Length: 4\r\n\r\n0abc"), 200);
    ck_assert_int_ge(prepared, 31);
    teardown();
}
END_TEST

START_TEST(clients_gone_when_all_ends)
{
    hold = true;
    start_with(64, 0);
    go_away(30);
    hold = false;
    teardown(); /* fails when something stays in flight */
    ck_assert_int_ge(prepared, 30);
}
END_TEST

/* A flood of one address has the queue, and still another one's request is done. */
START_TEST(an_address_that_floods_makes_room)
{
    hold = true;
    start_with(4, 0);
    int flood[5], other = -1;
    for (int i = 0; i < 5; i++) {
        flood[i] = client_connect_from(&f, "127.0.0.2");
        client_send(flood[i], "POST /scep HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n0abc");
        while (service_pool_waiting(pool) + (size_t)prepared <= (size_t)i)
            usleep(1000);
    }
    /* Two addresses share a lane of the queue once in a thousand times. */
    static const char *const others[] = {"127.0.0.3", "127.0.0.4", "127.0.0.5"};
    bool displaced = false;
    for (size_t i = 0; i < 3 && !displaced; i++) {
        other = client_connect_from(&f, others[i]);
        client_send(other, "POST /scep HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n0xyz");
        displaced = in_log("most of it by this address");
    }
    ck_assert(displaced);
    ck_assert(client_read(flood[4], false, &got)); /* the last of the flood, at once */
    ck_assert_int_eq(got.status, 503);
    assert_header("Retry-After: ");
    hold = false;
    ck_assert(client_read(other, false, &got));
    ck_assert_int_eq(got.status, 200);
    ck_assert_str_eq(got.body, "0xyz");
    for (int i = 0; i < 5; i++)
        close(flood[i]);
    close(other);
    teardown();
}
END_TEST

/* ---- lines of the log that anybody can provoke ---- */

static int in_log_now(const char *text)
{
    int n = 0;
    pthread_mutex_lock(&log_lock);
    for (const char *at = logged; (at = strstr(at, text)) != NULL; at++)
        n++;
    pthread_mutex_unlock(&log_lock);
    return n;
}

/* The same request by one connection. */
static void ask_often(int times, const char *request, int status)
{
    int fd = client_connect(&f);
    while (times-- > 0) {
        client_send(fd, request);
        ck_assert(client_read(fd, false, &got));
        ck_assert_int_eq(got.status, status);
    }
    close(fd);
}

static void ask_with(const char *message, int times)
{
    char request[160];
    snprintf(request, sizeof request,
             "POST /scep HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n%s", strlen(message),
             message);
    ask_often(times, request, 200);
}

static void assert_counted(const char *line)
{
    static const struct survey survey;
    const struct metrics_gauges g = {.survey = &survey};
    struct buf text = {0};
    ck_assert(metrics_write(metrics, &g, &text) && buf_append(&text, "", 1));
    ck_assert_msg(strstr((const char *)text.p, line) != NULL, "no \"%s\"", line);
    buf_clear(&text);
}

static void start_counted(void)
{
    struct err err = {0};
    second = 1800000000;
    ck_assert(metrics_new("1", second, &metrics, &err));
    metrics_endpoint(metrics, "/scep");
    start_with(64, 0);
}

static void end_counted(void)
{
    teardown();
    metrics_free(metrics);
}

/* They hide neither certificates nor each other, and figures stay whole. */
START_TEST(refused_messages_are_many)
{
    start_counted();
    ask_with("0bad", 250);
    ask_with("0abc", 250);
    ask_often(250, "GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n", 404);
    second++;
    ask_with("0bad", 1);
    ck_assert(in_log("event=log.dropped count=150 "));
    second++;
    ask_often(1, "GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n", 404);
    ck_assert_int_eq(in_log_now("event=scep.request result=refused"), LOG_LIMIT_PER_SECOND + 1);
    ck_assert_int_eq(in_log_now("event=scep.request result=issued"), 250);
    ck_assert_int_eq(in_log_now("event=http.refused"), LOG_LIMIT_PER_SECOND + 1);
    ck_assert_int_eq(in_log_now("event=log.dropped count=150 "), 2);
    assert_counted("scepd_scep_refusals_total{endpoint=\"/scep\",reason=\"challenge.used\"} 251");
    assert_counted("scepd_log_dropped_total 300");
    end_counted();
}
END_TEST

/* An upstream that nobody can ask. */
START_TEST(relayed_requests_are_many)
{
    relayed = true;
    snprintf(config.endpoint[0].upstream, sizeof config.endpoint[0].upstream, "other");
    start_counted();
    static const char request[] = "GET /scep?operation=GetCACaps HTTP/1.1\r\nHost: x\r\n\r\n";
    ask_often(250, request, 503);
    second++;
    ask_often(1, request, 503);
    ck_assert(in_log("event=log.dropped count=150 "));
    ck_assert_int_eq(in_log_now("event=scep.relayed result=failed"), LOG_LIMIT_PER_SECOND + 1);
    assert_counted(
        "scepd_scep_refusals_total{endpoint=\"/scep\",reason=\"upstream.unavailable\"} 251");
    assert_counted("scepd_log_dropped_total 150");
    end_counted();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("scepd/scep_http");
    TCase *c = tcase_create("front");
    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, from_memory);
    tcase_add_test(c, pki_operations);
    tcase_add_test(c, a_fault_asks_to_come_again);
    tcase_add_test(c, refusals);
    tcase_add_test(c, addresses_of_ndes_show_a_page);
    tcase_add_test(c, post_only);
    tcase_add_test(c, post_only_of_a_relay);
    tcase_add_test(c, what_was_asked_is_not_repeated_to_the_client);
    suite_add_tcase(s, c);
    TCase *l = tcase_create("load");
    tcase_set_timeout(l, 60);
    tcase_add_test(l, a_full_queue);
    tcase_add_test(l, a_job_that_waited_too_long);
    tcase_add_test(l, clients_gone_while_a_worker_works);
    tcase_add_test(l, clients_gone_when_all_ends);
    tcase_add_test(l, an_address_that_floods_makes_room);
    tcase_add_test(l, refused_messages_are_many);
    tcase_add_test(l, relayed_requests_are_many);
    suite_add_tcase(s, l);
    return check_main(s);
}
