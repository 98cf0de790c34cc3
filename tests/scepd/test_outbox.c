/* The outbox by itself: what is stored and sent, in which order, and that nobody can fill the store
 * with refusals, or stand in the way of others by them. */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "check_main.h"
#include "scepd/outbox.h"

static char dir[64];
static struct store *store;
static struct err err;

static void setup(void)
{
    snprintf(dir, sizeof dir, "/tmp/outbox-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    struct store_options o = {.path = dir, .map_size = 64u << 20, .create = true};
    ck_assert_msg(store_open(&o, &store, &err), "%s", err.text);
}

static void teardown(void)
{
    char path[128];
    store_close(store);
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, i ? "lock.mdb" : "data.mdb");
        unlink(path);
    }
    snprintf(path, sizeof path, "%s/crl", dir);
    rmdir(path);
    rmdir(dir);
}

static struct store_notice refusal(unsigned i)
{
    struct store_notice n = {.created_at = time(NULL), .next_at = 1};
    snprintf(n.target, sizeof n.target, "mdm");
    snprintf(n.event, sizeof n.event, "refused");
    snprintf(n.about, sizeof n.about, "%u", i);
    ck_assert(buf_append_str(&n.body, "{}"));
    return n;
}

static uint64_t waiting(void)
{
    uint64_t n;
    ck_assert(store_notice_count(store, &n, &err));
    return n;
}

static void wait_until(uint64_t wanted)
{
    for (int i = 0; i < 6000 && waiting() != wanted; i++)
        usleep(10000);
    ck_assert_uint_eq(waiting(), wanted);
}

static uint64_t put(struct store_notice n)
{
    struct store_write *w = NULL;
    ck_assert(store_write_begin(store, &w, &err));
    ck_assert_msg(store_notice_put(w, &n, &err), "%s", err.text);
    ck_assert(store_write_commit(w, &err));
    uint64_t id = n.id;
    store_notice_clear(&n);
    return id;
}

/* ---- a server that takes what says "good", and nothing else ---- */

static int listener;
static pthread_t server;
static atomic_int good, bad;
static bool silent;        /* what it does not take it does not answer either */
static int unanswered[64]; /* those connections */
static size_t unanswered_n;
static struct config config;
static struct outside *outside;

static void *serve(void *unused)
{
    static const char yes[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    static const char no[] = "HTTP/1.1 400 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    int fd;
    while ((fd = accept(listener, NULL, NULL)) >= 0) {
        char request[4096] = "";
        size_t at = 0;
        ssize_t n = 1;
        while (n > 0 && !strchr(request, '}')) {
            n = recv(fd, request + at, sizeof request - 1 - at, 0);
            at += n > 0 ? (size_t)n : 0;
        }
        bool taken = strstr(request, "good") != NULL;
        atomic_fetch_add(taken ? &good : &bad, n > 0);
        if (!taken && silent && unanswered_n < 64) {
            unanswered[unanswered_n++] = fd;
            continue;
        }
        n = send(fd, taken ? yes : no, sizeof yes - 1, MSG_NOSIGNAL);
        close(fd);
    }
    return NULL;
}

static void start_server(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&at, sizeof at), 0);
    ck_assert_int_eq(listen(listener, 128), 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&at, &n), 0);
    struct config_webhook *w = &config.webhook[0];
    config.webhook_n = 1;
    snprintf(w->name, sizeof w->name, "mdm");
    snprintf(w->url, sizeof w->url, "http://127.0.0.1:%d/", ntohs(at.sin_port));
    w->timeout = silent ? 600 : 60;
    ck_assert_int_eq(pthread_create(&server, NULL, serve, NULL), 0);
    ck_assert_msg(outside_new_local(&config, NULL, &outside, &err), "%s", err.text);
}

static void stop_server(struct outbox *o)
{
    outbox_stop(o);
    outside_free(outside);
    outbox_free(o);
    shutdown(listener, SHUT_RDWR);
    pthread_join(server, NULL);
    close(listener);
    while (unanswered_n)
        close(unanswered[--unanswered_n]);
}

static struct store_notice good_one(const char *about, uint64_t held)
{
    struct store_notice n = {.created_at = time(NULL), .next_at = 1, .cert_id = held};
    n.held = held != 0;
    snprintf(n.target, sizeof n.target, "mdm");
    snprintf(n.event, sizeof n.event, "issued");
    snprintf(n.about, sizeof n.about, "%s", about);
    ck_assert(buf_append_str(&n.body, "{\"good\":1}"));
    return n;
}

static void wait_good(int wanted)
{
    for (int i = 0; i < 6000 && atomic_load(&good) < wanted; i++)
        usleep(10000);
    ck_assert_int_eq(atomic_load(&good), wanted);
}

/* ---- a store in which nothing can be written for a while ---- */

static atomic_bool full;
static atomic_int in_vain;

static atomic_uint transactions;

int mdb_txn_begin(MDB_env *env, MDB_txn *parent, unsigned flags, MDB_txn **out)
{
    atomic_fetch_add(&transactions, 1);
    int (*real)(MDB_env *, MDB_txn *, unsigned, MDB_txn **);
    if (atomic_load(&full) && !(flags & MDB_RDONLY)) {
        atomic_fetch_add(&in_vain, 1);
        return ENOSPC;
    }
    *(void **)&real = dlsym(RTLD_NEXT, "mdb_txn_begin");
    return real(env, parent, flags, out);
}

/* ---- how much is read ---- */

static atomic_uint read_of;

int mdb_cursor_get(MDB_cursor *cursor, MDB_val *key, MDB_val *data, MDB_cursor_op op)
{
    int (*real)(MDB_cursor *, MDB_val *, MDB_val *, MDB_cursor_op);
    *(void **)&real = dlsym(RTLD_NEXT, "mdb_cursor_get");
    atomic_fetch_add(&read_of, 1);
    return real(cursor, key, data, op);
}

/* Nobody is there to send them: they are kept, and what was noted before the end is stored with it.
 */
START_TEST(kept)
{
    struct outbox *o = NULL;
    ck_assert(outbox_new(store, NULL, NULL, &o, &err));
    for (unsigned i = 0; i < 20; i++) {
        struct store_notice n = refusal(i);
        outbox_note(o, &n);
        ck_assert_ptr_null(n.body.p); /* taken */
    }
    outbox_stop(o);
    ck_assert_uint_eq(waiting(), 20);
    outbox_free(o);
    struct store_notice n = refusal(0);
    outbox_note(NULL, &n);
    ck_assert_ptr_null(n.body.p);
}
END_TEST

START_TEST(no_room)
{
    struct store_write *w = NULL;
    struct outbox *o = NULL;
    ck_assert(store_write_begin(store, &w, &err));
    for (unsigned i = 0; i < OUTBOX_WAITING_MAX - 5; i++) {
        struct store_notice n = refusal(i);
        ck_assert(store_notice_put(w, &n, &err));
        store_notice_clear(&n);
    }
    ck_assert(store_write_commit(w, &err));
    ck_assert(outbox_new(store, NULL, NULL, &o, &err));
    for (unsigned i = 0; i < 100; i++) {
        struct store_notice n = refusal(i);
        outbox_note(o, &n);
    }
    wait_until(OUTBOX_WAITING_MAX);
    outbox_stop(o);
    outbox_free(o);
    ck_assert_uint_eq(waiting(), OUTBOX_WAITING_MAX);
}
END_TEST

/* What is never taken keeps nothing else back, however much of it there is. */
START_TEST(behind_many)
{
    struct outbox *o = NULL;
    start_server();
    for (unsigned i = 0; i < 200; i++)
        put(refusal(i));
    put(good_one("x", 0));
    put(good_one("y", 7));
    ck_assert(outbox_new(store, outside, NULL, &o, &err));
    wait_good(2);
    wait_until(200);
    stop_server(o);
}
END_TEST

/* Many that are taken, as when a policy is removed: each round reads those that it may send, not
 * all that wait. */
START_TEST(many)
{
    enum { N = 4000 };
    struct store_write *w = NULL;
    struct outbox *o = NULL;
    start_server();
    ck_assert(store_write_begin(store, &w, &err));
    for (unsigned i = 0; i < N; i++) {
        char about[16];
        snprintf(about, sizeof about, "%u", i);
        struct store_notice n = good_one(about, 0);
        ck_assert(store_notice_put(w, &n, &err));
        store_notice_clear(&n);
    }
    ck_assert(store_write_commit(w, &err));
    atomic_store(&read_of, 0);
    ck_assert(outbox_new(store, outside, NULL, &o, &err));
    wait_until(0);
    stop_server(o);
    ck_assert_int_eq(atomic_load(&good), N);
    /* a round for each of them, and a page with its own */
    ck_assert_uint_lt(atomic_load(&read_of), N * 80);
}
END_TEST

static void put_many(unsigned n, bool empty, int64_t next_at)
{
    struct store_write *w = NULL;
    ck_assert(store_write_begin(store, &w, &err));
    for (unsigned i = 0; i < n; i++) {
        char about[16];
        snprintf(about, sizeof about, "%u", i);
        struct store_notice notice = good_one(about, 0);
        notice.next_at = next_at;
        if (empty) {
            buf_clear(&notice.body);
            ck_assert(buf_append_str(&notice.body, "{}"));
        }
        ck_assert(store_notice_put(w, &notice, &err));
        store_notice_clear(&notice);
    }
    ck_assert(store_write_commit(w, &err));
    atomic_store(&read_of, 0);
}

/* Each is said no to: to find the next one nothing is read again. */
START_TEST(many_in_vain)
{
    enum { N = 3000 };
    struct outbox *o = NULL;
    start_server();
    put_many(N, true, 1);
    ck_assert(outbox_new(store, outside, NULL, &o, &err));
    for (int i = 0; i < 6000 && atomic_load(&bad) < N; i++)
        usleep(10000);
    stop_server(o);
    ck_assert_int_ge(atomic_load(&bad), N);
    ck_assert_uint_eq(waiting(), N);
    ck_assert_uint_lt(atomic_load(&read_of), N * 30);
}
END_TEST

/* All have failed and wait for their next try: not each look reads them all.  One that somebody
 * waits for is sent all the same. */
START_TEST(many_that_wait)
{
    enum { N = 20000 };
    struct outbox *o = NULL;
    start_server();
    put_many(N, true, time(NULL) + 3600);
    ck_assert(outbox_new(store, outside, NULL, &o, &err));
    for (unsigned i = 0; i < 200; i++) {
        struct store_notice n = refusal(i);
        outbox_note(o, &n); /* a look more, for which there is no room */
        usleep(10000);
    }
    put(good_one("x", 7));
    wait_good(1);
    wait_until(N);
    stop_server(o);
    ck_assert_int_eq(atomic_load(&bad), 0);
    ck_assert_uint_lt(atomic_load(&read_of), N * 50);
}
END_TEST

/* One that holds a certificate and failed before is due again after a while, whatever all the
 * others do meanwhile, which have every place but those of its kind. */
START_TEST(held_comes_again)
{
    struct outbox *o = NULL;
    silent = true;
    start_server();
    put_many(40, true, 1);
    struct store_notice n = good_one("x", 7), later = good_one("y", 8);
    n.next_at = time(NULL) + 2;
    later.next_at = time(NULL) + 4;
    put(n);
    put(later);
    ck_assert(outbox_new(store, outside, NULL, &o, &err));
    wait_good(2);
    wait_until(40);
    stop_server(o);
}
END_TEST

/* Nobody answers: some are tried, not all that wait. */
START_TEST(nobody_answers)
{
    enum { N = 2000 };
    struct outbox *o = NULL;
    struct store_notice list[64];
    size_t n = 64, tried = 0;
    uint64_t after = 0;
    start_server();
    shutdown(listener, SHUT_RDWR);
    put_many(N, false, 1);
    ck_assert(outbox_new(store, outside, NULL, &o, &err));
    for (unsigned i = 0; i < 400; i++) {
        unsigned before = atomic_load(&transactions);
        struct store_notice note = refusal(i);
        outbox_note(o, &note);
        for (int k = 0; k < 6000 && atomic_load(&transactions) == before; k++)
            usleep(1000);
    }
    outbox_stop(o);
    while (n == 64) {
        ck_assert(store_notices(store, "mdm", after, list, 64, &n, &err));
        for (size_t i = 0; i < n; i++)
            tried += list[i].tries > 0;
        after = n ? list[n - 1].id : 0;
    }
    ck_assert_uint_ge(tried, 1);
    ck_assert_uint_lt(tried, 200);
    stop_server(o);
}
END_TEST

/* A certificate waits for its own notice, not for refusals of the same device; what is not held
 * comes in its order. */
START_TEST(behind_the_same)
{
    struct outbox *o = NULL;
    struct store_notice first = refusal(1);
    bool held;
    start_server();
    first.next_at = first.created_at + 3600;
    put(first);
    put(good_one("1", 7));
    put(good_one("1", 0));
    put(good_one("2", 0));
    ck_assert(outbox_new(store, outside, NULL, &o, &err));
    wait_good(2);
    wait_until(2);
    stop_server(o);
    ck_assert(store_notice_holds(store, 7, &held, &err));
    ck_assert(!held);
}
END_TEST

/* A refusal that the other side does not want is not sent for a day. */
START_TEST(unwanted)
{
    struct outbox *o = NULL;
    struct store_notice n = refusal(1);
    start_server();
    n.tries = 10;
    put(n);
    ck_assert(outbox_new(store, outside, NULL, &o, &err));
    wait_until(0);
    stop_server(o);
    ck_assert_int_eq(atomic_load(&bad), 1);
}
END_TEST

/* What was sent and cannot be recorded is not sent again meanwhile. */
START_TEST(full_store)
{
    struct outbox *o = NULL;
    start_server();
    put(good_one("x", 0));
    atomic_store(&full, true);
    ck_assert(outbox_new(store, outside, NULL, &o, &err));
    for (int i = 0; i < 6000 && atomic_load(&in_vain) < 20; i++) {
        struct store_notice n = refusal((unsigned)i); /* something to do */
        outbox_note(o, &n);
        usleep(10000);
    }
    ck_assert_int_ge(atomic_load(&in_vain), 20);
    atomic_store(&full, false);
    wait_good(1);
    for (int i = 0; i < 6000; i++) {
        struct store_notice got[1];
        size_t n;
        ck_assert(store_notices(store, "mdm", 0, got, 1, &n, &err));
        if (n == 0 || strcmp(got[0].event, "issued") != 0)
            break;
        usleep(10000);
    }
    stop_server(o);
    ck_assert_int_eq(atomic_load(&good), 1);
}
END_TEST

/* The last webhook was taken out of the configuration: what waits is given up all the same. */
START_TEST(nobody_to_tell)
{
    struct outbox *o = NULL;
    struct store_notice old = good_one("x", 7);
    bool held;
    old.created_at = time(NULL) - OUTBOX_GIVE_UP - 10;
    put(old);
    put(good_one("y", 8));
    ck_assert(outbox_new(store, NULL, NULL, &o, &err));
    wait_until(1);
    outbox_stop(o);
    outbox_free(o);
    ck_assert(store_notice_holds(store, 7, &held, &err));
    ck_assert(!held);
    ck_assert(store_notice_holds(store, 8, &held, &err));
    ck_assert(held);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("outbox");
    TCase *c = tcase_create("outbox");
    tcase_set_timeout(c, 120);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, kept);
    tcase_add_test(c, no_room);
    tcase_add_test(c, behind_many);
    tcase_add_test(c, many);
    tcase_add_test(c, many_in_vain);
    tcase_add_test(c, many_that_wait);
    tcase_add_test(c, held_comes_again);
    tcase_add_test(c, nobody_answers);
    tcase_add_test(c, behind_the_same);
    tcase_add_test(c, unwanted);
    tcase_add_test(c, full_store);
    tcase_add_test(c, nobody_to_tell);
    suite_add_tcase(s, c);
    return check_main(s);
}
