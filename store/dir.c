#include "dir.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

/* LMDB's own names. */
static const char *const files[] = {"data.mdb", "lock.mdb"};

/* A new name is on disk only when its directory is. */
static bool sync_dir(const char *path, struct err *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    if (!ok)
        err_errno(err, "store %s: fsync", path);
    if (fd >= 0)
        close(fd);
    return ok;
}

static bool make(const char *path, struct err *err)
{
    if (mkdir(path, 0700) != 0)
        return errno == EEXIST || err_errno(err, "store %s: mkdir", path);
    char parent[4096];
    if ((size_t)snprintf(parent, sizeof parent, "%s/..", path) >= sizeof parent)
        return err_set(err, ERR_IO, "store %s: the path is too long", path);
    return sync_dir(parent, err);
}

/* LMDB needs a shared map and locks that work between processes. */
static bool local(const char *path, struct err *err)
{
    static const struct {
        unsigned type;
        const char *name;
    } remote[] = {
        {NFS_SUPER_MAGIC, "NFS"},   {SMB_SUPER_MAGIC, "SMB"},   {CIFS_SUPER_MAGIC, "CIFS"},
        {SMB2_SUPER_MAGIC, "SMB"},  {CEPH_SUPER_MAGIC, "Ceph"}, {AFS_SUPER_MAGIC, "AFS"},
        {CODA_SUPER_MAGIC, "Coda"}, {V9FS_MAGIC, "9P"},
    };
    struct statfs fs;
    if (statfs(path, &fs) != 0)
        return err_errno(err, "store %s: statfs", path);
    for (size_t i = 0; i < sizeof remote / sizeof remote[0]; i++)
        if ((unsigned)fs.f_type == remote[i].type)
            return err_set(err, ERR_CONFIG,
                           "store %s lies on a network file system (%s): it needs a local disk",
                           path, remote[i].name);
    return true;
}

/* Root follows no link that another user may have put there. */
static bool plain_files(const char *path, int dir, bool *found, struct err *err)
{
    struct stat st;
    *found = false;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        if (fstatat(dir, files[i], &st, AT_SYMLINK_NOFOLLOW) != 0) {
            if (errno != ENOENT)
                return err_errno(err, "store %s: %s", path, files[i]);
            continue;
        }
        if (!S_ISREG(st.st_mode) || st.st_nlink != 1)
            return err_set(err, ERR_IO, "store %s: %s is no plain file", path, files[i]);
        *found = *found || i == 0;
    }
    return true;
}

bool dir_prepare(const char *path, bool create, const struct log *log, struct err *err)
{
    if (create && !make(path, err))
        return false;
    int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0 && errno == ENOENT)
        return err_set(err, ERR_NOT_FOUND, "there is no store at %s", path);
    if (dir < 0)
        return err_errno(err, "store %s", path);
    struct stat st;
    bool found = false;
    bool ok = fstat(dir, &st) == 0 || err_errno(err, "store %s", path);
    ok = ok && local(path, err) && plain_files(path, dir, &found, err);
    close(dir);
    if (!ok)
        return false;
    if (!found && !create)
        return err_set(err, ERR_NOT_FOUND, "there is no store at %s", path);
    if (st.st_mode & 077)
        log_event(log, LOG_LEVEL_WARNING, "store.permissions",
                  "%s can be entered by others (mode %03o): chmod 700 it", path,
                  (unsigned)st.st_mode & 0777);
    return true;
}

/* LMDB's slot for one reader is a cache line; before them stand its mutexes, for which this is
 * ample. */
#define LOCK_SLOT 64
#define LOCK_HEAD 4096

bool dir_reserve_lock(const char *path, unsigned readers, struct err *err)
{
    char file[4096];
    struct stat st;
    if ((size_t)snprintf(file, sizeof file, "%s/lock.mdb", path) >= sizeof file)
        return err_set(err, ERR_IO, "store %s: the path is too long", path);
    int fd = open(file, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_errno(err, "%s", file);
    bool ok = fstat(fd, &st) == 0 || err_errno(err, "%s", file);
    /* one in use keeps its size: other processes have mapped just that much */
    off_t size = ok && st.st_size ? st.st_size : (off_t)readers * LOCK_SLOT + LOCK_HEAD;
    if (ok && fallocate(fd, 0, 0, size) != 0 && errno != EOPNOTSUPP && errno != ENOSYS) {
        bool full = errno == ENOSPC || errno == EDQUOT;
        ok = err_errno(err, "%s: reserving its blocks", file);
        if (full)
            err->kind = ERR_FULL;
    }
    close(fd);
    return ok;
}

bool dir_claim(const char *path, int *fd, struct err *err)
{
    int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return err_errno(err, "store %s", path);
    if (flock(dir, LOCK_EX | LOCK_NB) == 0) {
        *fd = dir;
        return true;
    }
    if (errno == EWOULDBLOCK)
        err_set(err, ERR_BUSY, "store %s is served by another scepd already", path);
    else
        err_errno(err, "store %s: flock", path);
    close(dir);
    return false;
}

static bool give(const char *path, int dir, const struct stat *owner, const char *name,
                 struct err *err)
{
    struct stat st;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return err_errno(err, "store %s: %s", path, name);
    if (st.st_uid != 0)
        return true;
    return fchownat(dir, name, owner->st_uid, owner->st_gid, AT_SYMLINK_NOFOLLOW) == 0 ||
           err_errno(err, "store %s: giving %s to its owner", path, name);
}

bool dir_hand_over(const char *path, struct err *err)
{
    if (geteuid() != 0)
        return sync_dir(path, err);
    int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return err_errno(err, "store %s", path);
    struct stat st;
    bool ok = fstat(dir, &st) == 0 || err_errno(err, "store %s", path);
    for (size_t i = 0; ok && st.st_uid != 0 && i < sizeof files / sizeof files[0]; i++)
        ok = give(path, dir, &st, files[i], err);
    close(dir);
    return ok && sync_dir(path, err);
}
