#include "copy.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "records.h"

bool copy_errno(const char *file, const char *doing, struct err *err)
{
    int e = errno;
    /* EFBIG: a limit of the process or of the file system; more room helps there too */
    if (e == ENOSPC || e == EDQUOT || e == EFBIG)
        return err_set(err, ERR_FULL, "%s: %s: %s", file, doing, strerror(e));
    return err_set(err, ERR_IO, "%s: %s: %s", file, doing, strerror(e));
}

bool copy_sync_dir(const char *path, struct err *err)
{
    char parent[4096];
    if ((size_t)snprintf(parent, sizeof parent, "%s", path) >= sizeof parent)
        return err_set(err, ERR_IO, "%.100s...: the path is too long", path);
    int fd = open(dirname(parent), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = (fd >= 0 && fsync(fd) == 0) || copy_errno(path, "fsync of its directory", err);
    if (fd >= 0)
        close(fd);
    return ok;
}

/* The process that looks into a copy dies with its parent, but a moment later. */
#define LOCK_TRIES 50
#define LOCK_WAIT_US 20000

bool copy_lock(int fd, const char *name, struct err *err)
{
    for (int i = 0; i < LOCK_TRIES; i++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            return true;
        if (errno != EWOULDBLOCK)
            return copy_errno(name, "flock", err);
        usleep(LOCK_WAIT_US);
    }
    return err_set(err, ERR_BUSY, "%s is being written already", name);
}

bool copy_create(const char *file, int *out, struct err *err)
{
    struct stat st;
    int fd = open(file, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return copy_errno(file, "creating", err);
    bool ok = fstat(fd, &st) == 0 || copy_errno(file, "fstat", err);
    if (ok && (!S_ISREG(st.st_mode) || st.st_nlink != 1))
        ok = err_set(err, ERR_IO, "%s is no plain file", file);
    ok = ok && copy_lock(fd, file, err);
    if (ok && (fchmod(fd, 0600) != 0 || ftruncate(fd, 0) != 0))
        ok = copy_errno(file, "emptying", err);
    if (ok)
        *out = fd;
    else
        close(fd);
    return ok;
}

/* ---- looking into one ---- */

static void take_first(void *ctx, const struct store_problem *p)
{
    struct store_facts *f = ctx;
    if (!f->first.text[0])
        f->first = *p;
}

static bool look(const char *path, bool single, struct store_facts *facts, struct err *err)
{
    struct store *s = NULL;
    struct store_options o = {.path = path};
    struct store_facts f = {.first = {""}};
    struct txn t;
    if (!(single ? copy_open(path, &s, err) : store_open(&o, &s, err)))
        return false;
    bool ok = store_verify(s, take_first, &f, &f.problems, err) &&
              store_audit_newest(s, &f.newest, err) && txn_read(s, &t, err);
    if (ok) {
        ok = txn_count(&t, TABLE_CERT, &f.certificates, err) &&
             txn_count(&t, TABLE_AUDIT, &f.audit_entries, err);
        txn_read_end(&t);
    }
    store_close(s);
    if (ok)
        *facts = f;
    return ok;
}

struct findings {
    bool ok;
    struct store_facts facts;
    struct err err;
};

static void inspect_in_child(const char *path, bool single, int out)
{
    struct findings f = {.ok = false};
    struct err why = {0};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGBUS, SIG_DFL); /* whoever reports crashes has nothing to report here */
    signal(SIGSEGV, SIG_DFL);
    signal(SIGABRT, SIG_DFL);
    f.ok = look(path, single, &f.facts, &why);
    f.err = why;
    ssize_t n = write(out, &f, sizeof f); /* less than PIPE_BUF: whole or not at all */
    _exit(n == (ssize_t)sizeof f ? 0 : 1);
}

static bool read_findings(int in, struct findings *f)
{
    size_t have = 0;
    ssize_t n;
    while (have < sizeof *f) {
        n = read(in, (char *)f + have, sizeof *f - have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        have += (size_t)n;
    }
    return true;
}

bool copy_inspect(const char *path, bool single, struct store_facts *facts, struct err *err)
{
    struct findings f;
    int ends[2], status = 0;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return err_errno(err, "pipe");
    pid_t child = fork();
    if (child == 0)
        inspect_in_child(path, single, ends[1]);
    close(ends[1]);
    bool told = child > 0 && read_findings(ends[0], &f);
    close(ends[0]);
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (child < 0)
        return err_errno(err, "fork");
    if (!told)
        return err_set(err, ERR_STORE, "%s is damaged: it cannot be read to its end", path);
    if (!f.ok) {
        *err = f.err;
        return false;
    }
    *facts = f.facts;
    return true;
}
