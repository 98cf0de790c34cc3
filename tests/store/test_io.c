/* A disk that fails for a while: the calls with which LMDB commits are caught here.  A commit that
 * failed is told and leaves nothing behind; as soon as the disk works again, so does the store,
 * without being opened anew. */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/uio.h>

#include "check_main.h"
#include "fixture.h"

/* What LMDB writes of a meta page is short and lies in one of the first two pages. */
#define META_MAX 512
#define META_END 8192

enum fault { FAULT_DATA, FAULT_SYNC, FAULT_META, FAULTS };

static atomic_int failing[FAULTS]; /* how many calls still fail */
static int with;

static bool fault(enum fault f)
{
    int left = failing[f];
    while (left > 0 && !atomic_compare_exchange_weak(&failing[f], &left, left - 1))
        ;
    if (left > 0)
        errno = with;
    return left > 0;
}

/* Finds the real one; as dlsym(3) has it for function pointers. */
#define REAL(type, name, ...)         \
    static type (*real)(__VA_ARGS__); \
    if (!real)                        \
    *(void **)&real = dlsym(RTLD_NEXT, name)

ssize_t io_pwrite(int fd, const void *p, size_t n, off_t at) __asm__("pwrite");
ssize_t io_pwrite(int fd, const void *p, size_t n, off_t at)
{
    REAL(ssize_t, "pwrite", int, const void *, size_t, off_t);
    bool meta = n < META_MAX && at < META_END;
    return fault(meta ? FAULT_META : FAULT_DATA) ? -1 : real(fd, p, n, at);
}

ssize_t io_writev(int fd, const struct iovec *v, int n) __asm__("writev");
ssize_t io_writev(int fd, const struct iovec *v, int n)
{
    REAL(ssize_t, "writev", int, const struct iovec *, int);
    return fault(FAULT_DATA) ? -1 : real(fd, v, n);
}

int io_fdatasync(int fd) __asm__("fdatasync");
int io_fdatasync(int fd)
{
    REAL(int, "fdatasync", int);
    return fault(FAULT_SYNC) ? -1 : real(fd);
}

static bool put(unsigned n)
{
    struct store_cert c = cert_of(n);
    struct store_write *w = NULL;
    bool done = store_write_begin(st, &w, &err) && store_cert_put(w, &c, &err);
    if (done)
        done = store_write_commit(w, &err);
    else
        store_write_abort(w);
    store_cert_clear(&c);
    return done;
}

static uint64_t certificates(void)
{
    struct store_stats stats;
    ok(store_stats(st, &stats, &err));
    return stats.certificates;
}

static const struct {
    int error;
    enum err_kind kind;
} errors[] = {{EIO, ERR_IO}, {ENOSPC, ERR_FULL}, {EROFS, ERR_IO}, {EDQUOT, ERR_FULL}};
#define ERRORS (int)(sizeof errors / sizeof *errors)

/* _i: which call with which error.  Once, and for a while. */
START_TEST(commit_fails)
{
    enum fault f = (enum fault)(_i / ERRORS);
    with = errors[_i % ERRORS].error;
    put_n(1);
    for (int times = 1; times <= 3; times += 2) {
        uint64_t before = certificates();
        failing[f] = times;
        for (unsigned n = 100; failing[f] > 0; n++) {
            err_clear(&err);
            ck_assert(!put(n));
            ck_assert_msg(err.kind == errors[_i % ERRORS].kind, "%s: %s", err_kind_name(err.kind),
                          err.text);
            struct store_cert c = {0};
            ok(store_cert_by_id(st, 1, &c, &err)); /* reading goes on meanwhile */
            store_cert_clear(&c);
        }
        ck_assert_uint_eq(certificates(), before);
        err_clear(&err);
        put_n((unsigned)times + 1);
        ck_assert_uint_eq(certificates(), before + 1);
        verify_clean();
    }
    reopen();
    ck_assert_uint_eq(certificates(), 3);
    verify_clean();
}
END_TEST

/* Others in this process read, list and copy while commits fail at their last write again and
 * again. */
static atomic_bool enough;
static atomic_int troubles;

static bool one(void *ctx, const struct store_cert *c)
{
    ++*(unsigned *)ctx;
    return true;
}

static void *reader(void *ctx)
{
    while (!enough) {
        struct err why = {0};
        struct store_cert c = {0};
        struct store_stats stats;
        struct store_cert_filter all = {0};
        unsigned n = 0;
        bool well = store_cert_by_id(st, 1, &c, &why) && store_stats(st, &stats, &why) &&
                    store_housekeep(st, &why) && store_cert_list(st, &all, one, &n, &why);
        store_cert_clear(&c);
        if (!well || n == 0) {
            fprintf(stderr, "%s\n", why.text);
            troubles++;
        }
    }
    return NULL;
}

#define READERS 3
#define ROUNDS 30

START_TEST(readers_meanwhile)
{
    pthread_t thread[READERS];
    put_n(1);
    with = EIO;
    for (int i = 0; i < READERS; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, reader, NULL), 0);
    for (unsigned n = 2; n < ROUNDS; n++) {
        failing[FAULT_META] = 1;
        ck_assert(!put(n));
        ck_assert_int_eq(err.kind, ERR_IO);
        err_clear(&err);
        put_n(n);
    }
    enough = true;
    for (int i = 0; i < READERS; i++)
        pthread_join(thread[i], NULL);
    ck_assert_int_eq(troubles, 0);
    ck_assert_uint_eq(certificates(), ROUNDS - 1);
    verify_clean();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("store/io");
    TCase *c = tcase_create("io");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, commit_fails, 0, FAULTS * ERRORS);
    tcase_add_test(c, readers_meanwhile);
    suite_add_tcase(s, c);
    return check_main(s);
}
