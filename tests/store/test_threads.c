/* Threads that write, read, list and look after the store, while its map moves under them. */
#include <pthread.h>
#include <stdatomic.h>

#include "check_main.h"
#include "fixture.h"

#define MAP_TINY (UINT64_C(256) << 10)
#define WRITERS 2
#define EACH 200
#define SOON 10000 /* milliseconds */

static atomic_bool done;

/* A thread's own: the fixture's `err` belongs to the main one. */
static bool write_one(unsigned n, struct err *e)
{
    struct store_write *w = NULL;
    struct store_cert c = cert_of(n);
    struct store_audit audit = {.event = "certificate.issued"};
    bool put = false;
    if (store_write_begin(st, &w, e)) {
        put = store_cert_put(w, &c, e) && store_audit_put(w, &audit, e);
        if (put)
            put = store_write_commit(w, e);
        else
            store_write_abort(w);
    }
    store_cert_clear(&c);
    return put;
}

static void *writer(void *arg)
{
    unsigned base = *(unsigned *)arg;
    uintptr_t failed = 0;
    for (unsigned i = 0; i < EACH; i++) {
        struct err e = {0};
        failed += !write_one(base + i, &e);
    }
    return (void *)failed;
}

static bool each(void *ctx, const struct store_cert *c)
{
    ++*(uint64_t *)ctx;
    return true;
}

static bool read_some(struct err *e)
{
    struct store_stats stats;
    struct store_cert c = {0};
    struct store_cert_filter f = {.state = -1};
    uint64_t n = 0, generation;
    bool read = store_stats(st, &stats, e) && store_generation(st, &generation, e);
    /* LMDB may show a commit to a reader that it held up at its beginning just before it shows it
     * to all: the next one is a commit behind, for the time that the writer needs for one more
     * instruction. */
    for (int i = 0; read && (i == 0 || n < stats.certificates) && i < SOON; i++) {
        if (i > 0)
            usleep(1000);
        n = 0;
        read = store_cert_list(st, &f, each, &n, e);
    }
    read = read && n >= stats.certificates;
    if (read && stats.certificates)
        read = store_cert_by_id(st, stats.certificates, &c, e) && c.id == stats.certificates;
    store_cert_clear(&c);
    return read;
}

static void *reader(void *arg)
{
    uintptr_t failed = 0;
    while (!done) {
        struct err e = {0};
        failed += !read_some(&e);
    }
    return (void *)failed;
}

static void *keeper(void *arg)
{
    uintptr_t failed = 0;
    while (!done) {
        struct err e = {0};
        failed += !store_housekeep(st, &e);
        usleep(1000);
    }
    return (void *)failed;
}

START_TEST(all_at_once)
{
    pthread_t writers[WRITERS], others[3];
    unsigned base[WRITERS] = {1000, 2000};
    void *failed;
    for (int i = 0; i < WRITERS; i++)
        ck_assert_int_eq(pthread_create(&writers[i], NULL, writer, &base[i]), 0);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(pthread_create(&others[i], NULL, i == 2 ? keeper : reader, NULL), 0);
    for (int i = 0; i < WRITERS; i++) {
        pthread_join(writers[i], &failed);
        ck_assert_ptr_null(failed);
    }
    done = true;
    for (int i = 0; i < 3; i++) {
        pthread_join(others[i], &failed);
        ck_assert_ptr_null(failed);
    }
    struct store_stats stats;
    ok(store_stats(st, &stats, &err));
    ck_assert_uint_gt(stats.map_bytes, MAP_TINY);
    ck_assert_uint_eq(stats.certificates, WRITERS * EACH);
    ck_assert_uint_eq(stats.audit_entries, WRITERS * EACH);
    verify_clean();
}
END_TEST

static void setup_tiny(void)
{
    err_clear(&err);
    dir_new();
    st = store_at(dir, MAP_TINY);
}

int main(void)
{
    Suite *s = suite_create("store/threads");
    TCase *c = tcase_create("threads");
    tcase_add_checked_fixture(c, setup_tiny, teardown);
    tcase_set_timeout(c, 120);
    tcase_add_test(c, all_at_once);
    suite_add_tcase(s, c);
    return check_main(s);
}
