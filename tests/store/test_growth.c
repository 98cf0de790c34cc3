/* A map that is too small, in one process and in two. */
#include <sys/socket.h>
#include <sys/wait.h>

#include "check_main.h"
#include "fixture.h"

#define MAP_TINY (UINT64_C(256) << 10)
#define GROWN (UINT64_C(256) << 20)

static void setup_tiny(void)
{
    err_clear(&err);
    dir_new();
}

static bool put_some(struct store_write *w, unsigned from, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        struct store_cert c = cert_of(from + i);
        bool put = store_cert_put(w, &c, &err);
        store_cert_clear(&c);
        if (!put)
            return false;
    }
    return true;
}

static uint64_t map_size(void)
{
    struct store_stats stats;
    ok(store_stats(st, &stats, &err));
    return stats.map_bytes;
}

static uint64_t certificates(void)
{
    struct store_stats stats;
    ok(store_stats(st, &stats, &err));
    return stats.certificates;
}

struct lines {
    char text[4096];
};

static void line_add(void *ctx, enum log_level level, const char *line, size_t n)
{
    struct lines *l = ctx;
    strncat(l->text, line, sizeof l->text - strlen(l->text) - 1);
}

static struct store_write *fill_until_full(void)
{
    struct store_write *w = begin();
    ck_assert(!put_some(w, 1, 10000));
    ck_assert_int_eq(err.kind, ERR_FULL);
    return w;
}

START_TEST(grows)
{
    struct lines l = {""};
    struct log log = {LOG_LEVEL_INFO, line_add, &l};
    struct store_options o = {.path = dir, .map_size = MAP_TINY, .create = true, .log = &log};
    ok(store_open(&o, &st, &err));
    put_n(0);
    struct store_write *w = fill_until_full();
    struct store_tx tx = {.endpoint = "/scep", .transaction = "T"};
    fails(store_tx_put(w, &tx, NULL, &err), ERR_FULL); /* what failed half-way stays failed */
    fails(store_write_tx_get(w, "/scep", "T", &tx, &err), ERR_FULL);
    ck_assert_ptr_null(strstr(l.text, "store.grow"));
    fails(store_write_commit(w, &err), ERR_FULL);
    ck_assert_ptr_nonnull(strstr(l.text, "store.grow"));
    ck_assert_uint_eq(map_size(), MAP_TINY + GROWN);
    ck_assert_uint_eq(certificates(), 1); /* nothing of it was stored */
    w = begin();
    ok(put_some(w, 1, 2000));
    commit(w);
    ck_assert_uint_eq(certificates(), 2001);
    verify_clean();
    store_close(st); /* what it has grown to stays, whatever is asked for */
    st = store_at(dir, MAP_TINY);
    ck_assert_uint_eq(map_size(), MAP_TINY + GROWN);
    store_close(st);
    st = store_at(dir, 2 * GROWN);
    ck_assert_uint_eq(map_size(), 2 * GROWN);
    ck_assert_uint_eq(certificates(), 2001);
}
END_TEST

START_TEST(grows_after_abort)
{
    st = store_at(dir, MAP_TINY);
    store_write_abort(fill_until_full());
    ck_assert_uint_eq(map_size(), MAP_TINY + GROWN);
    struct store_write *w = begin();
    ok(put_some(w, 1, 2000));
    commit(w);
}
END_TEST

/* So many certificates and audit entries in one write to a new store: how many of the entries found
 * room. */
static struct store_write *fill(unsigned certs, unsigned entries, unsigned *put)
{
    struct store_audit entry = {.event = "test"};
    store_close(st);
    dir_remove();
    dir_new();
    st = store_at(dir, MAP_TINY);
    struct store_write *w = begin();
    ok(put_some(w, 0, certs));
    for (*put = 0; *put < entries && store_audit_put(w, &entry, &err); ++*put)
        ;
    return w;
}

/* Every change finds room, up to the last page, and the commit does not, for what it adds itself.
 */
START_TEST(full_at_commit)
{
    const unsigned certs = 200, any = 100000;
    unsigned room, put;
    st = store_at(dir, MAP_TINY);
    store_write_abort(fill(certs, any, &room));
    ck_assert_uint_lt(room, any);
    struct store_write *w = fill(certs, room, &put);
    ck_assert_uint_eq(put, room);
    fails(store_write_commit(w, &err), ERR_FULL);
    ck_assert_uint_eq(map_size(), MAP_TINY + GROWN);
    ck_assert_uint_eq(certificates(), 0);
    w = begin();
    ok(put_some(w, 0, 2 * certs));
    commit(w);
    ck_assert_uint_eq(certificates(), 2 * certs);
    verify_clean();
}
END_TEST

/* However small the map is, a write of the usual size finds room: the map was enlarged before. */
START_TEST(usual_writes_find_room)
{
    st = store_at(dir, MAP_TINY);
    for (unsigned i = 0; i < 400; i++)
        put_n(i);
    ck_assert_uint_eq(map_size(), MAP_TINY + GROWN);
    ck_assert_uint_eq(certificates(), 400);
    verify_clean();
}
END_TEST

/* ---- a daemon and a tool: each step of one waits for the other ---- */

static void step(int fd)
{
    char c = 'x';
    must(write(fd, &c, 1) == 1, "write");
}

static bool await(int fd)
{
    char c;
    return read(fd, &c, 1) == 1;
}

static void put_retrying(unsigned from, unsigned n)
{
    struct store_write *w = begin();
    if (!put_some(w, from, n)) {
        must(err.kind == ERR_FULL, "%s", err_kind_name(err.kind));
        store_write_abort(w);
        w = begin();
        ok(put_some(w, from, n));
    }
    commit(w);
}

/* The tool: makes the map grow twice while the daemon has it open. */
static void tool(int fd)
{
    await(fd);
    st = store_at(dir, MAP_TINY);
    put_retrying(1000, 1000);
    step(fd);
    await(fd);
    must(certificates() == 2002, "another number"); /* the daemon's came meanwhile */
    put_retrying(3000, 500);
    step(fd);
    store_close(st);
}

START_TEST(two_processes)
{
    int fds[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    pid_t child = fork_child();
    if (child == 0) {
        close(fds[0]);
        tool(fds[1]);
        _exit(0);
    }
    close(fds[1]);
    st = store_at(dir, MAP_TINY);
    put_n(1);
    step(fds[0]);
    ck_assert(await(fds[0]));
    struct store_cert c = {0};
    ok(store_cert_by_id(st, 1001, &c, &err)); /* a reader adopts the size */
    store_cert_clear(&c);
    ck_assert_uint_eq(map_size(), MAP_TINY + GROWN);
    put_n(2);
    put_retrying(10000, 1000);
    step(fds[0]);
    ck_assert(await(fds[0]));
    ck_assert_uint_eq(certificates(), 2502);
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    close(fds[0]);
    verify_clean();
}
END_TEST

/* As above, but the first to notice is a writer. */
static void small_tool(int fd)
{
    await(fd);
    st = store_at(dir, MAP_TINY);
    put_retrying(1000, 1000);
    store_close(st);
}

START_TEST(writer_adopts)
{
    int fds[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    pid_t child = fork_child();
    if (child == 0) {
        close(fds[0]);
        small_tool(fds[1]);
        _exit(0);
    }
    st = store_at(dir, MAP_TINY);
    step(fds[0]);
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    put_n(1);
    ck_assert_uint_eq(certificates(), 1001);
    verify_clean();
}
END_TEST

/* Two who write in turns as the system lets them: what one has filled while the other waited for
 * its turn counts. */
static void write_many(unsigned from)
{
    st = store_at(dir, MAP_TINY);
    for (unsigned i = 0; i < 200; i++)
        put_n(from + i);
}

START_TEST(both_find_room)
{
    pid_t child = fork_child();
    if (child == 0) {
        write_many(1000);
        store_close(st);
        _exit(0);
    }
    write_many(2000);
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    ck_assert_uint_eq(certificates(), 400);
    ck_assert_uint_ge(map_size(), MAP_TINY + GROWN);
    verify_clean();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("store/growth");
    TCase *c = tcase_create("growth");
    tcase_add_checked_fixture(c, setup_tiny, teardown);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, grows);
    tcase_add_test(c, grows_after_abort);
    tcase_add_test(c, full_at_commit);
    tcase_add_test(c, usual_writes_find_room);
    tcase_add_test(c, two_processes);
    tcase_add_test(c, writer_adopts);
    tcase_add_test(c, both_find_room);
    suite_add_tcase(s, c);
    return check_main(s);
}
