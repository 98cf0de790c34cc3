#include "ca/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define STOP_MILLISECONDS 5000

void child_ignore_signals(void)
{
    static const int ignored[] = {SIGINT,  SIGTERM, SIGHUP,  SIGQUIT,
                                  SIGPIPE, SIGUSR1, SIGUSR2, SIGXFSZ};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++)
        sigaction(ignored[i], &ignore, NULL);
    struct sigaction normal = {.sa_handler = SIG_DFL};
    sigaction(SIGCHLD, &normal, NULL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

bool child_harden(int parent, const char *name, struct err *err)
{
    struct rlimit none = {0, 0};
    if (prctl(PR_SET_DUMPABLE, 0) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || setrlimit(RLIMIT_CORE, &none) != 0)
        return err_errno(err, "cannot protect the process %s", name);
    if (getppid() != parent) /* gone before the death signal was set */
        return err_set(err, ERR_SIGNER, "the parent of the process %s has ended", name);
    prctl(PR_SET_NAME, name);
    return true;
}

static int by_number(const void *a, const void *b)
{
    int x = *(const int *)a, y = *(const int *)b;
    return (x > y) - (x < y);
}

bool child_close_others(int *keep, size_t n, struct err *err)
{
    int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (nothing < 0 || dup2(nothing, STDIN_FILENO) < 0 || dup2(nothing, STDOUT_FILENO) < 0)
        return err_errno(err, "cannot open /dev/null");
    qsort(keep, n, sizeof *keep, by_number);
    unsigned from = STDERR_FILENO + 1;
    for (size_t i = 0; i < n; i++) {
        if ((unsigned)keep[i] > from)
            close_range(from, (unsigned)keep[i] - 1, 0);
        from = (unsigned)keep[i] + 1;
    }
    close_range(from, ~0u, 0);
    return true;
}

void child_reap(int pid)
{
    int fd = pidfd_open(pid, 0);
    if (fd < 0 && errno == ESRCH) /* somebody has waited for it already */
        return;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int n;
    do
        n = fd < 0 ? -1 : poll(&p, 1, STOP_MILLISECONDS);
    while (fd >= 0 && n < 0 && errno == EINTR);
    /* Where no signal may be sent (confine_calls) it ends with us: child_harden. */
    bool ends = n > 0 || kill(pid, SIGKILL) == 0;
    if (fd >= 0)
        close(fd);
    while (ends && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
}
