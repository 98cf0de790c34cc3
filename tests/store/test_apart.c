/* What damage must not end: work in a process of its own, the rest of a program there, a look
 * before opening. */
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "apart.h"
#include "check_main.h"
#include "fixture.h"

#define PAGE 4096

static uint64_t result;

static bool succeed(void *ctx, struct err *e)
{
    result = *(const uint64_t *)ctx;
    return true;
}

static bool refuse(void *ctx, struct err *e)
{
    result = 1;
    return err_set(e, ERR_BUSY, "as I said");
}

static bool end_by(void *ctx, struct err *e)
{
    raise(*(const int *)ctx);
    return true;
}

START_TEST(work)
{
    uint64_t n = UINT64_C(1) << 40;
    ok(apart_run("it", succeed, &n, &result, sizeof result, &err));
    ck_assert_uint_eq(result, n);
    ck_assert(!apart_run("it", refuse, NULL, &result, sizeof result, &err));
    ck_assert_int_eq(err.kind, ERR_BUSY);
    ck_assert_str_eq(err.text, "as I said");
    ck_assert_uint_eq(result, n);
}
END_TEST

static const struct {
    int number;
    enum err_kind kind;
} ends[] = {
    {SIGSEGV, ERR_DAMAGED}, {SIGBUS, ERR_DAMAGED}, {SIGABRT, ERR_DAMAGED},
    {SIGFPE, ERR_DAMAGED},  {SIGKILL, ERR_STORE},  {SIGHUP, ERR_STORE},
};

START_TEST(ended)
{
    int number = ends[_i].number;
    fails(apart_run("it", end_by, &number, &result, sizeof result, &err), ends[_i].kind);
    signal(SIGCHLD, SIG_IGN);
    fails(apart_run("it", end_by, &number, &result, sizeof result, &err), ends[_i].kind);
}
END_TEST

/* How a program ends that goes on apart and there does as `number` says: an exit code, or a signal.
 * Who started it may ignore the end of children, which is inherited. */
static int program(bool ignoring, int code, int number)
{
    int status = 0;
    pid_t pid = fork_child();
    if (pid == 0) {
        struct err why = {0};
        if (ignoring)
            signal(SIGCHLD, SIG_IGN);
        if (!store_apart("x", &why))
            _exit(why.kind == ERR_DAMAGED ? 8 : 9);
        if (number)
            raise(number);
        _exit(code);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

START_TEST(rest_of_a_program)
{
    ck_assert_int_eq(program(_i, 0, 0), 0);
    ck_assert_int_eq(program(_i, 7, 0), 7);
    ck_assert_int_eq(program(_i, 0, SIGSEGV), 8);
    ck_assert_int_eq(program(_i, 0, SIGBUS), 8);
    ck_assert_int_eq(program(_i, 0, SIGHUP), -SIGHUP);
    ck_assert_int_eq(program(_i, 0, SIGKILL), -SIGKILL);
}
END_TEST

/* ---- a look ---- */

static void change_file(off_t from, int octet)
{
    char file[300];
    uint8_t page[PAGE];
    struct stat s;
    snprintf(file, sizeof file, "%s/data.mdb", dir);
    int fd = open(file, O_RDWR);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(fstat(fd, &s), 0);
    memset(page, octet, sizeof page);
    for (off_t at = from; at < s.st_size; at += PAGE)
        ck_assert_int_eq(pwrite(fd, page, PAGE - 16, at + 16), PAGE - 16);
    close(fd);
}

static void fill(void)
{
    for (unsigned i = 1; i <= 100; i++) {
        struct store_write *w = begin();
        struct store_audit a = {.at = i, .event = "event"};
        ok(store_audit_put(w, &a, &err));
        commit(w);
    }
}

START_TEST(look_at_a_good_one)
{
    ok(store_look("/nowhere", &err)); /* store_open tells */
    fill();
    ok(store_look(dir, &err)); /* open here, and elsewhere */
    store_close(st);
    st = NULL;
    ok(store_look(dir, &err));
}
END_TEST

START_TEST(look_at_a_damaged_one)
{
    static const struct {
        off_t from;
        int octet;
    } damage[] = {{0, 0}, {0, 0xff}, {0, 0x5a}, {2 * PAGE, 0xff}, {2 * PAGE, 0}};
    fill();
    store_close(st);
    st = NULL;
    change_file(damage[_i].from, damage[_i].octet);
    fails(store_look(dir, &err), ERR_DAMAGED);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("store/apart");
    TCase *c = tcase_create("apart");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, work);
    tcase_add_loop_test(c, ended, 0, sizeof ends / sizeof ends[0]);
    tcase_add_loop_test(c, rest_of_a_program, 0, 2);
    tcase_add_test(c, look_at_a_good_one);
    tcase_add_loop_test(c, look_at_a_damaged_one, 0, 5);
    suite_add_tcase(s, c);
    return check_main(s);
}
