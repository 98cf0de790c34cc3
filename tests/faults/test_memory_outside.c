/* Memory that runs out while servers elsewhere are told and asked: what is said to them, and read
 * of them, is whole or nothing, and no notice is lost. */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "check_main.h"
#include "faultmem.h"
#include "outside/revocations.h"
#include "outside/webhook.h"
#include "scepd/memory.h"
#include "scepd/outbox.h"

static struct err err;

/* ---- what is said ---- */

static const struct webhook_facts facts = {.event = "issued",
                                           .id = "evt_1",
                                           .at = 1700000000,
                                           .endpoint = "/scep",
                                           .transaction = "T1",
                                           .subject = "CN=tablet",
                                           .csr = {(const uint8_t *)"csr", 3},
                                           .serial = "0a",
                                           .certificate = {(const uint8_t *)"der", 3},
                                           .reason = "subject.forbidden",
                                           .detail = "it is forbidden"};

static bool report_json(const struct webhook_facts *unused, struct buf *out, struct err *why)
{
    static char context[] = "a context";
    struct intune_revocation item = {
        .context = context, .answered = true, .code = INTUNE_CODE_NOT_FOUND, .text = "unknown"};
    const struct intune_revocations list = {.item = &item, .n = 1, .given = 1};
    return intune_queue_report_json(&list, out, why);
}

static bool (*const said[])(const struct webhook_facts *, struct buf *, struct err *) = {
    webhook_json, intune_validate_json, intune_success_json, intune_failure_json, report_json};

/* _i: which, and whether one allocation fails or all from it on. */
START_TEST(said_whole)
{
    struct buf whole = {0};
    ck_assert(said[_i / 2](&facts, &whole, &err));
    for (long n = 1, hits = 1; hits; n++) {
        struct buf out = {0};
        faultmem_arm(n, _i % 2);
        bool ok = said[_i / 2](&facts, &out, &err);
        hits = faultmem_disarm();
        ck_assert_msg(ok ? out.n == whole.n && memcmp(out.p, whole.p, out.n) == 0 : hits > 0,
                      "allocation %ld: %.*s", n, (int)out.n, out.n ? (char *)out.p : "");
        buf_clear(&out);
    }
    buf_clear(&whole);
}
END_TEST

/* ---- what is read ---- */

static struct outside_answer answer_of(const char *body)
{
    struct outside_answer a = {.result = OUTSIDE_ANSWERED, .status = 200};
    ck_assert(buf_append_str(&a.body, body));
    return a;
}

/* A serial number that lost a digit would be another's, or nobody's. */
START_TEST(revocations_whole)
{
    struct outside_answer a = answer_of(
        "{\"value\":[{\"requestContext\":\"one\",\"serialNumber\":\"7d31f00000000000000000aa\","
        "\"issuerName\":\"CN=Example CA\"},{\"requestContext\":\"two\","
        "\"serialNumber\":\"7d31f00000000000000000bb\",\"issuerName\":\"CN=Example CA\"}]}");
    for (long n = 1, hits = 1; hits; n++) {
        struct intune_revocations r;
        err_clear(&err);
        faultmem_arm(n, _i);
        bool ok = intune_queue_read(&a, 10, &r, &err);
        hits = faultmem_disarm();
        ck_assert(ok || hits);
        ck_assert_uint_eq(r.n, ok ? 2 : 0);
        for (size_t i = 0; i < r.n; i++) {
            ck_assert_uint_eq(r.item[i].serial_len, 12);
            ck_assert_uint_eq(r.item[i].serial[11], i ? 0xbb : 0xaa);
            ck_assert_str_eq(r.item[i].context, i ? "two" : "one");
            ck_assert_str_eq(r.item[i].issuer, "CN=Example CA");
        }
        intune_revocations_clear(&r);
    }
    outside_answer_clear(&a);
}
END_TEST

/* Who said yes has not said no. */
START_TEST(answers_whole)
{
    char text[256];
    struct outside_answer yes = answer_of("{\"allow\":true}");
    struct outside_answer good = answer_of("{\"code\":\"Success\",\"errorDescription\":\"\"}");
    for (long n = 1, hits = 1; hits; n++) {
        faultmem_arm(n, _i);
        enum webhook_said webhook = webhook_read(&yes, text);
        hits = faultmem_disarm();
        ck_assert_int_eq(webhook,
                         hits && webhook != WEBHOOK_ALLOWED ? WEBHOOK_NOTHING : WEBHOOK_ALLOWED);
    }
    for (long n = 1, hits = 1; hits; n++) {
        faultmem_arm(n, _i);
        enum webhook_said intune = intune_read(&good, text);
        hits = faultmem_disarm();
        ck_assert_int_eq(intune,
                         hits && intune != WEBHOOK_ALLOWED ? WEBHOOK_NOTHING : WEBHOOK_ALLOWED);
    }
    outside_answer_clear(&yes);
    outside_answer_clear(&good);
}
END_TEST

/* ---- the thread that tells ---- */

static char dir[64];
static struct store *store;
static int listener;
static struct config config;

static void *take_all(void *unused)
{
    static const char yes[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    int fd;
    while ((fd = accept(listener, NULL, NULL)) >= 0) {
        char request[4096] = "";
        size_t at = 0;
        for (ssize_t n = 1; n > 0 && !strchr(request, '}'); at += n > 0 ? (size_t)n : 0)
            n = recv(fd, request + at, sizeof request - 1 - at, 0);
        ck_assert_int_gt(send(fd, yes, sizeof yes - 1, MSG_NOSIGNAL), 0);
        close(fd);
    }
    return NULL;
}

static void listen_here(pthread_t *server)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&at, sizeof at), 0);
    ck_assert_int_eq(listen(listener, 128), 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&at, &n), 0);
    config.webhook_n = 1;
    snprintf(config.webhook[0].name, sizeof config.webhook[0].name, "mdm");
    snprintf(config.webhook[0].url, sizeof config.webhook[0].url, "http://127.0.0.1:%d/",
             ntohs(at.sin_port));
    config.webhook[0].timeout = 60;
    ck_assert_int_eq(pthread_create(server, NULL, take_all, NULL), 0);
}

static void put_held(uint64_t cert)
{
    struct store_write *w = NULL;
    struct store_notice n = {.created_at = time(NULL), .next_at = 1, .cert_id = cert, .held = true};
    snprintf(n.target, sizeof n.target, "mdm");
    snprintf(n.event, sizeof n.event, "issued");
    snprintf(n.about, sizeof n.about, "%llu", (unsigned long long)cert);
    ck_assert(buf_append_str(&n.body, "{}"));
    ck_assert(store_write_begin(store, &w, &err));
    ck_assert_msg(store_notice_put(w, &n, &err), "%s", err.text);
    ck_assert(store_write_commit(w, &err));
    store_notice_clear(&n);
}

static uint64_t waiting(void)
{
    uint64_t n;
    ck_assert(store_notice_count(store, &n, &err));
    return n;
}

/* A certificate that waits for its notice to be taken does not wait for ever. */
START_TEST(told_all_the_same)
{
    struct outside *outside = NULL;
    struct outbox *o = NULL;
    pthread_t server;
    snprintf(dir, sizeof dir, "/tmp/outbox-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    const struct store_options options = {.path = dir, .map_size = 64u << 20, .create = true};
    ck_assert_msg(store_open(&options, &store, &err), "%s", err.text);
    listen_here(&server);
    ck_assert_msg(outside_new_local(&config, NULL, &outside, &err), "%s", err.text);
    ck_assert_msg(outbox_new(store, outside, NULL, &o, &err), "%s", err.text);
    uint64_t cert = 0;
    for (long n = 1, hits = 1; hits; n++) {
        faultmem_arm_thread("outbox", n);
        put_held(++cert);
        for (int i = 0; i < 6000 && waiting(); i++)
            usleep(10000);
        hits = faultmem_thread_hits();
        faultmem_disarm_thread();
        ck_assert_msg(waiting() == 0, "allocation %ld: the notice is not sent", n);
    }
    printf("a notice that holds a certificate: %llu tries\n", (unsigned long long)cert);
    outbox_stop(o);
    outside_free(outside);
    outbox_free(o);
    shutdown(listener, SHUT_RDWR);
    pthread_join(server, NULL);
    close(listener);
    store_close(store);
}
END_TEST

/* ---- who asks servers elsewhere ---- */

static bool ask(struct outside *o)
{
    const struct outside_ask q = {
        .kind = OUTSIDE_WEBHOOK, .name = "mdm", .post = true, .body = view_str("{}")};
    struct outside_answer a = {.status = 0};
    ck_assert_msg(outside_wait(o, &q, &a, &err), "%s", err.text);
    bool answered = a.result == OUTSIDE_ANSWERED && a.status == 200;
    outside_answer_clear(&a);
    return answered;
}

/* Asked as it is set up to be asked or not at all: what libcurl has no memory to note, that no
 * proxy of the environment is used, is not left out. */
START_TEST(asked_as_it_should_be)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    struct outside *o = NULL;
    pthread_t server;
    char address[64];
    int proxy = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    ck_assert_int_eq(bind(proxy, (struct sockaddr *)&at, sizeof at), 0);
    ck_assert_int_eq(listen(proxy, 16), 0);
    ck_assert_int_eq(getsockname(proxy, (struct sockaddr *)&at, &size), 0);
    snprintf(address, sizeof address, "http://127.0.0.1:%d", ntohs(at.sin_port));
    ck_assert_int_eq(setenv("http_proxy", address, 1), 0);
    listen_here(&server);
    config.webhook[0].timeout = 2;
    pthread_setname_np(pthread_self(), "asking"); /* both threads of it have that name then */
    ck_assert_msg(outside_new_local(&config, NULL, &o, &err), "%s", err.text);
    pthread_setname_np(pthread_self(), "test");
    ck_assert(ask(o));
    for (long n = 1, hits = 1; hits; n++) {
        faultmem_arm_thread("asking", n);
        bool answered = ask(o);
        hits = faultmem_thread_hits();
        faultmem_disarm_thread();
        ck_assert(answered || hits);
        ck_assert_msg(accept(proxy, NULL, NULL) < 0, "allocation %ld: the proxy was asked", n);
        ck_assert_msg(ask(o), "allocation %ld: nothing is asked any more", n);
        if (hits == 0)
            printf("a question: %ld allocations\n", n - 1);
    }
    outside_free(o);
    shutdown(listener, SHUT_RDWR);
    pthread_join(server, NULL);
    close(listener);
    close(proxy);
}
END_TEST

int main(void)
{
    if (!memory_watch())
        return EXIT_FAILURE;
    Suite *s = suite_create("faults/memory_outside");
    TCase *json = tcase_create("json"), *thread = tcase_create("thread");
    tcase_set_timeout(thread, 300);
    tcase_add_loop_test(json, said_whole, 0, 2 * sizeof said / sizeof *said);
    tcase_add_loop_test(json, revocations_whole, 0, 2);
    tcase_add_loop_test(json, answers_whole, 0, 2);
    tcase_add_test(thread, told_all_the_same);
    tcase_add_test(thread, asked_as_it_should_be);
    suite_add_tcase(s, json);
    suite_add_tcase(s, thread);
    return check_main(s);
}
