#include "apart.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/store.h"

/* By which damage ends who reads it: a wild address, a page that the file has not, an assertion of
 * LMDB's, a division by a size of zero. */
static const int by_damage[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE};
#define BY_DAMAGE (sizeof by_damage / sizeof by_damage[0])

static bool judge(const char *what, int number, struct err *err)
{
    if (number == SIGBUS)
        return err_set(err, ERR_DAMAGED,
                       "%s is damaged: a file of it ends too early, or its disk cannot be read",
                       what);
    for (size_t i = 0; i < BY_DAMAGE; i++)
        if (number == by_damage[i])
            return err_set(err, ERR_DAMAGED, "%s is damaged: it cannot be read to its end (%s)",
                           what, strsignal(number));
    return err_set(err, ERR_STORE, "who reads %s was ended by another process (%s)", what,
                   strsignal(number));
}

/* Never without the one that waits for it; and whoever reports crashes has nothing to report here.
 */
static void be_child(pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    for (size_t i = 0; i < BY_DAMAGE; i++)
        signal(by_damage[i], SIG_DFL);
}

/* Whoever started this program may ignore the end of children, and that is inherited: nobody would
 * be told how one ended. */
static pid_t fork_child(void)
{
    signal(SIGCHLD, SIG_DFL);
    return fork();
}

static int wait_for(pid_t child)
{
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    return status;
}

/* ---- one piece of work ---- */

struct outcome {
    bool ok;
    struct err err;
    uint8_t result[APART_MAX];
};
_Static_assert(sizeof(struct outcome) <= PIPE_BUF, "written whole or not at all");

static bool read_outcome(int in, struct outcome *o)
{
    size_t have = 0;
    ssize_t n;
    while (have < sizeof *o) {
        n = read(in, (char *)o + have, sizeof *o - have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        have += (size_t)n;
    }
    return true;
}

bool apart_run(const char *what, bool (*work)(void *ctx, struct err *err), void *ctx, void *result,
               size_t n, struct err *err)
{
    struct outcome o = {.ok = false};
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return err_errno(err, "pipe");
    pid_t parent = getpid(), child = fork_child();
    if (child == 0) {
        be_child(parent);
        o.ok = work(ctx, &o.err);
        memcpy(o.result, result, n);
        _exit(write(ends[1], &o, sizeof o) == (ssize_t)sizeof o ? 0 : 1);
    }
    int failed = errno;
    close(ends[1]);
    bool told = child > 0 && read_outcome(ends[0], &o);
    close(ends[0]);
    if (child < 0) {
        errno = failed;
        return err_errno(err, "fork");
    }
    int status = wait_for(child);
    if (!told)
        return judge(what, WIFSIGNALED(status) ? WTERMSIG(status) : SIGKILL, err);
    if (!o.ok) {
        *err = o.err;
        return false;
    }
    memcpy(result, o.result, n);
    return true;
}

/* ---- the rest of a program ---- */

/* What a signal handler may touch. */
static volatile sig_atomic_t in_place;

static void pass_on(int number)
{
    kill((pid_t)in_place, number);
}

/* Who ends or interrupts the program means the child: that says what it has done so far. */
static void pass_signals_on(pid_t child)
{
    static const int passed[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    struct sigaction act = {.sa_handler = pass_on};
    in_place = (sig_atomic_t)child;
    sigemptyset(&act.sa_mask);
    for (size_t i = 0; i < sizeof passed / sizeof passed[0]; i++)
        sigaction(passed[i], &act, NULL);
}

bool store_apart(const char *path, struct err *err)
{
    char what[PATH_MAX];
    snprintf(what, sizeof what, "store %s", path);
    fflush(NULL); /* or both would write it */
    pid_t parent = getpid(), child = fork_child();
    if (child < 0)
        return err_errno(err, "fork");
    if (child == 0) {
        be_child(parent);
        return true;
    }
    pass_signals_on(child);
    int status = wait_for(child);
    if (WIFEXITED(status))
        _exit(WEXITSTATUS(status));
    judge(what, WTERMSIG(status), err);
    if (err->kind == ERR_DAMAGED)
        return false;
    signal(WTERMSIG(status), SIG_DFL);
    raise(WTERMSIG(status));
    return false;
}
