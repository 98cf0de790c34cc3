#include "copy.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "apart.h"
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
    bool ok = copy_lock(fd, file, err) && (fstat(fd, &st) == 0 || copy_errno(file, "fstat", err));
    if (ok && (!S_ISREG(st.st_mode) || st.st_nlink != 1))
        ok = err_set(err, ERR_IO, "%s is no plain file", file);
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

struct inspection {
    const char *path;
    bool single;
    struct store_facts facts;
};

static bool inspect(void *inspection, struct err *err)
{
    struct inspection *i = inspection;
    return look(i->path, i->single, &i->facts, err);
}

bool copy_inspect(const char *path, bool single, struct store_facts *facts, struct err *err)
{
    struct inspection i = {.path = path, .single = single};
    if (!apart_run(path, inspect, &i, &i.facts, sizeof i.facts, err))
        return false;
    *facts = i.facts;
    return true;
}
