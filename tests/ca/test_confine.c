#include "ca/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check_main.h"
#include "temporary.h"

/* An intruder in each kind of process: every case runs in a process of its own that confines itself
 * and then tries one thing. */

#define DONE 0 /* the call did what it is for */
#define KILLED (-1)

static struct temporary t;
static char kept[400], other[400], beside[400];
static struct confine_paths paths;
static struct err err;

static void make_file(char out[400], const char *directory, const char *name)
{
    snprintf(out, 400, "%s/%s", directory, name);
    int fd = open(out, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, "secret", 6), 6);
    close(fd);
}

static void setup(void)
{
    const char *directory;
    temporary_make(&t);
    directory = temporary_path(&t, "kept");
    ck_assert_int_eq(mkdir(directory, 0700), 0);
    make_file(kept, directory, "file");
    make_file(other, t.path, "key");
    snprintf(beside, sizeof beside, "%s/new", t.path);
    memset(&paths, 0, sizeof paths);
    ck_assert(confine_add(&paths, CONFINE_WRITE, directory, &err));
}

static void teardown(void)
{
    temporary_remove(&t);
}

/* ---- what is tried: 0, or errno ---- */

static int of(long result)
{
    return result < 0 ? errno : 0;
}

static int opens(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);
    int e = of(fd);
    if (fd >= 0)
        close(fd);
    return e;
}

static int try_open_other(void)
{
    return opens(other, O_RDONLY);
}
static int try_open_kept(void)
{
    return opens(kept, O_RDWR);
}
static int try_make_beside(void)
{
    return opens(beside, O_CREAT | O_WRONLY);
}
static int try_replace_kept(void)
{
    char new[410];
    snprintf(new, sizeof new, "%s.new", kept);
    int e = opens(new, O_CREAT | O_WRONLY);
    return e ? e : of(rename(new, kept));
}
static int try_hide(void) /* a name in the kept directory for a file outside */
{
    char name[410];
    snprintf(name, sizeof name, "%s.name", kept);
    return of(rename(other, name));
}
static int try_parents_memory(void)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/mem", (int)getppid());
    return opens(path, O_RDONLY);
}
static int try_exec(void)
{
    char *const none[] = {NULL};
    return of(execve("/bin/true", none, none));
}
static int try_execveat(void)
{
    char *const none[] = {NULL};
    return of(syscall(SYS_execveat, AT_FDCWD, "/bin/true", none, none, 0));
}
static int try_ptrace(void)
{
    return of(ptrace(PTRACE_ATTACH, getppid(), NULL, NULL));
}
static int try_read_memory(void)
{
    char here[8];
    struct iovec local = {here, sizeof here}, remote = {kept, sizeof here};
    return of(syscall(SYS_process_vm_readv, getppid(), &local, 1, &remote, 1, 0));
}
static int try_take_descriptor(void)
{
    return of(syscall(SYS_pidfd_getfd, 3, 0, 0));
}
static int try_fork(void)
{
    pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
    if (pid == 0)
        _exit(0);
    return of(pid);
}
static int try_clone3(void)
{
    struct clone_args args = {.exit_signal = SIGCHLD};
    pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof args);
    if (pid == 0)
        _exit(0);
    return of(pid);
}
static void *nothing(void *ctx)
{
    return ctx;
}
static int try_thread(void)
{
    pthread_t thread;
    int e = pthread_create(&thread, NULL, nothing, NULL);
    return e ? e : pthread_join(thread, NULL);
}
static int try_tcp(void)
{
    return of(socket(AF_INET, SOCK_STREAM, 0));
}
static int try_netlink(void)
{
    return of(socket(AF_NETLINK, SOCK_RAW, 0));
}
static int try_stream(void)
{
    return of(socket(AF_UNIX, SOCK_STREAM, 0));
}
static int try_datagram(void)
{
    return of(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
}
static int try_connect(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "/run/any"};
    return of(connect(0, (struct sockaddr *)&a, sizeof a));
}
static int try_listen(void)
{
    return of(listen(0, 1));
}
static int try_pair(void)
{
    int pair[2];
    return of(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
}
static int try_signal_parent(void)
{
    return of(kill(getppid(), 0));
}
static int try_signal_self(void)
{
    return of(syscall(SYS_tgkill, getpid(), gettid(), 0));
}
static int try_code(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                0) == MAP_FAILED
               ? errno
               : 0;
}
static int try_make_code(void)
{
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? -2 : of(mprotect(p, 4096, PROT_READ | PROT_EXEC));
}
static int try_memory(void)
{
    void *p = malloc(8 << 20);
    if (!p)
        return ENOMEM;
    memset(p, 1, 8 << 20);
    free(p);
    return 0;
}
static int try_io_uring(void)
{
    return of(syscall(SYS_io_uring_setup, 1, NULL));
}
static int try_bpf(void)
{
    return of(syscall(SYS_bpf, 0, NULL, 0));
}
static int try_keyctl(void)
{
    return of(syscall(SYS_keyctl, 0, 0));
}
static int try_mount(void)
{
    return of(syscall(SYS_mount, "none", "/", "tmpfs", 0, NULL));
}
static int try_namespace(void)
{
    return of(syscall(SYS_unshare, CLONE_NEWUSER));
}
static int try_userfault(void)
{
    return of(syscall(SYS_userfaultfd, 0));
}
static int try_perf(void)
{
    return of(syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0));
}
static int try_module(void)
{
    return of(syscall(SYS_init_module, NULL, 0, ""));
}
static int try_user(void)
{
    return of(syscall(SYS_setuid, 0));
}
static int try_limit_of_parent(void)
{
    return of(syscall(SYS_prlimit64, getppid(), RLIMIT_CPU, NULL, NULL));
}
static int try_own_limit(void)
{
    struct rlimit limit;
    return of(getrlimit(RLIMIT_NOFILE, &limit));
}
static int try_type(void) /* into the terminal; not one, here */
{
    return of(ioctl(STDERR_FILENO, TIOCSTI, "x"));
}
static int try_sleep(void)
{
    return usleep(1000);
}
static int try_write_elsewhere(void)
{
    return of(write(3, "x", 1));
}
static int try_log(void)
{
    return of(write(STDERR_FILENO, "", 0));
}
static int try_unknown(void)
{
    return of(syscall(1 << 20));
}

/* ---- the table ---- */

enum { EITHER = -3 }; /* refused somehow: by the filter or by the kernel itself */

static const struct attempt {
    const char *what;
    int (*try)(void);
    int signer, keeper, front; /* DONE, KILLED, EITHER or errno */
    bool relaxed;              /* a sanitizer's runtime may */
} attempts[] = {
    {"open a file", try_open_other, EPERM, EACCES, EACCES, true},
    {"open what is kept", try_open_kept, EPERM, DONE, DONE, true},
    {"make a file beside", try_make_beside, EPERM, EACCES, EACCES, true},
    {"replace what is kept", try_replace_kept, EPERM, DONE, DONE, true},
    {"move a file into what is kept", try_hide, KILLED, EITHER, EITHER, false},
    {"open the memory of the parent", try_parents_memory, EITHER, EACCES, EACCES, true},
    {"execve", try_exec, KILLED, KILLED, KILLED, false},
    {"execveat", try_execveat, KILLED, KILLED, KILLED, false},
    {"ptrace", try_ptrace, KILLED, KILLED, KILLED, true},
    {"read another's memory", try_read_memory, KILLED, KILLED, KILLED, false},
    {"take another's descriptor", try_take_descriptor, KILLED, KILLED, KILLED, false},
    {"fork", try_fork, KILLED, DONE, ENOSYS, true},
    {"clone3", try_clone3, KILLED, DONE, ENOSYS, false},
    {"start a thread", try_thread, KILLED, DONE, DONE, true},
    {"a TCP socket", try_tcp, KILLED, EPERM, ENOSYS, false},
    {"a netlink socket", try_netlink, KILLED, EPERM, ENOSYS, false},
    {"a stream socket", try_stream, KILLED, DONE, ENOSYS, false},
    {"a datagram socket", try_datagram, KILLED, DONE, DONE, false},
    {"connect", try_connect, KILLED, EPERM, ENOSYS, false},
    {"listen", try_listen, KILLED, EPERM, EITHER, false},
    {"a pair of sockets", try_pair, KILLED, DONE, DONE, false},
    {"a signal to the parent", try_signal_parent, KILLED, DONE, ENOSYS, true},
    {"a signal to itself", try_signal_self, DONE, DONE, DONE, false},
    {"memory to write and run", try_code, KILLED, EPERM, ENOSYS, false},
    {"make memory code", try_make_code, KILLED, EPERM, ENOSYS, false},
    {"memory", try_memory, DONE, DONE, DONE, false},
    {"io_uring", try_io_uring, KILLED, KILLED, KILLED, false},
    {"bpf", try_bpf, KILLED, KILLED, KILLED, false},
    {"keyctl", try_keyctl, KILLED, KILLED, KILLED, false},
    {"mount", try_mount, KILLED, KILLED, KILLED, false},
    {"a namespace", try_namespace, KILLED, KILLED, KILLED, false},
    {"userfaultfd", try_userfault, KILLED, KILLED, KILLED, false},
    {"perf", try_perf, KILLED, KILLED, KILLED, false},
    {"a module", try_module, KILLED, KILLED, KILLED, false},
    {"setuid", try_user, KILLED, KILLED, KILLED, false},
    {"the limits of the parent", try_limit_of_parent, EPERM, DONE, ENOSYS, true},
    {"its own limits", try_own_limit, EPERM, DONE, DONE, true},
    {"type into the terminal", try_type, EPERM, EITHER, ENOSYS, true},
    {"sleep", try_sleep, DONE, DONE, DONE, false},
    {"write elsewhere", try_write_elsewhere, KILLED, EITHER, EITHER, true},
    {"write to the log", try_log, DONE, DONE, DONE, false},
    {"a call that is none", try_unknown, KILLED, ENOSYS, ENOSYS, false},
};

/* What asks servers elsewhere may do what the main process may, and connect but not be connected
 * to; who forks it may do what the keeper may, and leave the connecting to it. */
static int expected_elsewhere(const struct attempt *a, bool forks)
{
    if (a->try == try_tcp || a->try == try_netlink || a->try == try_stream)
        return DONE;
    if (a->try == try_connect)
        return EITHER; /* there is nobody */
    if (a->try == try_listen)
        return forks ? EPERM : ENOSYS;
    return forks ? a->keeper : a->front;
}

static int expected(const struct attempt *a, enum confine_role role)
{
    switch (role) {
    case CONFINE_SIGNER:
        return a->signer;
    case CONFINE_KEEPER:
        return a->keeper;
    case CONFINE_FRONT:
        return a->front;
    case CONFINE_OUTSIDE:
        return expected_elsewhere(a, false);
    case CONFINE_OUTSIDER:
        return expected_elsewhere(a, true);
    }
    return KILLED;
}

/* The process that tries; tells errno by a pipe that it has from before. */
static void intrude(const struct attempt *a, enum confine_role role, int tell)
{
    static const struct confine_paths none;
    struct err e = {0};
    unsigned lacks = 0;
    if (!confine_files(role == CONFINE_SIGNER ? &none : &paths, &lacks, &e) ||
        !confine_calls(role, role == CONFINE_SIGNER ? tell : 0, &lacks, &e) || lacks) {
        fprintf(stderr, "%s, lacks %u\n", e.text, lacks);
        _exit(99);
    }
    int result = a->try();
    if (write(tell, &result, sizeof result) != sizeof result)
        _exit(98);
    _exit(0);
}

static int outcome(const struct attempt *a, enum confine_role role)
{
    int pipes[2], status, result = 0;
    ck_assert_int_eq(pipe2(pipes, O_CLOEXEC), 0);
    /* Not the number that "write elsewhere" takes. */
    int tell = fcntl(pipes[1], F_DUPFD_CLOEXEC, 20);
    pid_t pid = fork();
    if (pid == 0) {
        close(3);
        intrude(a, role, tell);
    }
    close(tell);
    close(pipes[1]);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ssize_t n = read(pipes[0], &result, sizeof result);
    close(pipes[0]);
    if (WIFSIGNALED(status)) {
        ck_assert_msg(WTERMSIG(status) == SIGSYS, "%s: signal %d", a->what, WTERMSIG(status));
        return KILLED;
    }
    ck_assert_msg(WEXITSTATUS(status) == 0 && n == sizeof result, "%s: exit %d", a->what,
                  WEXITSTATUS(status));
    return result;
}

static void try_all(enum confine_role role)
{
    for (size_t i = 0; i < sizeof attempts / sizeof *attempts; i++) {
        const struct attempt *a = &attempts[i];
        if (confine_relaxed() && a->relaxed && role != CONFINE_KEEPER && role != CONFINE_OUTSIDER)
            continue;
        if (confine_relaxed() && a->try == try_ptrace)
            continue;
        int is = outcome(a, role), should = expected(a, role);
        ck_assert_msg(should == EITHER ? is != DONE : is == should, "%s: %d instead of %d", a->what,
                      is, should);
    }
}

START_TEST(a_signer)
{
    try_all(CONFINE_SIGNER);
}
END_TEST

START_TEST(a_keeper)
{
    try_all(CONFINE_KEEPER);
}
END_TEST

START_TEST(a_front)
{
    try_all(CONFINE_FRONT);
}
END_TEST

START_TEST(who_asks_elsewhere)
{
    try_all(CONFINE_OUTSIDE);
}
END_TEST

START_TEST(who_forks_that)
{
    try_all(CONFINE_OUTSIDER);
}
END_TEST

/* All of these work where nothing is confined, so that a refusal above is the confinement's. */
START_TEST(without)
{
    ck_assert_int_eq(try_open_other(), 0);
    ck_assert_int_eq(try_make_beside(), 0);
    ck_assert_int_eq(try_fork(), 0);
    ck_assert_int_eq(try_tcp(), 0);
    ck_assert_int_eq(try_stream(), 0);
    ck_assert_int_eq(try_signal_parent(), 0);
    ck_assert_int_eq(try_code(), 0);
    ck_assert_int_eq(try_make_code(), 0);
    ck_assert_int_eq(try_hide(), 0);
}
END_TEST

/* Threads that run already are confined, too. */
static int go[2], told[2];

static void *late(void *ctx)
{
    char c;
    if (read(go[0], &c, 1) == 1)
        c = (char)try_stream();
    return write(told[1], &c, 1) == 1 ? ctx : NULL;
}

START_TEST(threads_that_run)
{
    ck_assert(pipe(go) == 0 && pipe(told) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        pthread_t thread;
        unsigned lacks = 0;
        char c = 1;
        struct err e = {0};
        if (pthread_create(&thread, NULL, late, NULL) != 0 ||
            !confine_calls(CONFINE_FRONT, 0, &lacks, &e) || write(go[1], &c, 1) != 1)
            _exit(1);
        pthread_join(thread, NULL);
        _exit(0);
    }
    int status;
    char c = 0;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    ck_assert_int_eq(read(told[0], &c, 1), 1);
    ck_assert_int_eq(c, ENOSYS);
}
END_TEST

/* One process may be ended by the front: its keeper. */
START_TEST(whom_the_front_may_end)
{
    int status;
    pid_t victim = fork();
    if (victim == 0) {
        pause();
        _exit(0);
    }
    pid_t pid = fork();
    if (pid == 0) {
        unsigned lacks = 0;
        struct err e = {0};
        if (!confine_calls(CONFINE_FRONT, victim, &lacks, &e))
            _exit(1);
        _exit(kill(victim, SIGKILL) == 0 && (confine_relaxed() || kill(getppid(), 0) != 0) ? 0 : 2);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    ck_assert_int_eq(waitpid(victim, &status, 0), victim);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}
END_TEST

/* ---- what is lacking ---- */

static char line[4096];

static void take_line(void *ctx, enum log_level level, const char *text, size_t n)
{
    ck_assert_int_eq(level, LOG_LEVEL_WARNING);
    snprintf(line, sizeof line, "%.*s", (int)n, text);
}

START_TEST(lacks)
{
    struct log log = {LOG_LEVEL_INFO, take_line, NULL};
    unsigned all = CONFINE_LACKS_CALLS | CONFINE_LACKS_FILES;
    ck_assert(confine_settle(CONFINE_REQUIRED, 0, "the process", &log, &err));
    ck_assert_str_eq(line, "");
    ck_assert(confine_settle(CONFINE_AUTO, all, "the process", &log, &err));
    ck_assert_ptr_nonnull(strstr(line, "event=confinement.incomplete"));
    ck_assert_ptr_nonnull(strstr(line, "lacks=\"seccomp, Landlock (Linux 5.13)\""));
    ck_assert(!confine_settle(CONFINE_REQUIRED, CONFINE_LACKS_CALLS, "the process", &log, &err));
    ck_assert_int_eq(err.kind, ERR_CONFIG);
    ck_assert_ptr_nonnull(strstr(err.text, "lacks seccomp for the process"));
}
END_TEST

START_TEST(too_many_paths)
{
    while (paths.n < CONFINE_MAX_PATHS)
        ck_assert(confine_add(&paths, CONFINE_READ, "/nowhere/at/all", &err));
    ck_assert(!confine_add(&paths, CONFINE_READ, "/", &err));
    char longer[600];
    memset(longer, 'a', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    paths.n = 1;
    ck_assert(!confine_add(&paths, CONFINE_READ, longer, &err));
    ck_assert_uint_eq(paths.n, 1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("ca/confine");
    TCase *c = tcase_create("confine");
    tcase_set_timeout(c, 120);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, a_signer);
    tcase_add_test(c, a_keeper);
    tcase_add_test(c, a_front);
    tcase_add_test(c, who_asks_elsewhere);
    tcase_add_test(c, who_forks_that);
    tcase_add_test(c, without);
    tcase_add_test(c, threads_that_run);
    tcase_add_test(c, whom_the_front_may_end);
    tcase_add_test(c, lacks);
    tcase_add_test(c, too_many_paths);
    suite_add_tcase(s, c);
    return check_main(s);
}
