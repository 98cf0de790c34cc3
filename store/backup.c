/* Backups: one file each, whole and verified before it gets its name. */
#include "copy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "records.h"

/* Readable for who makes it, unless LMDB says that there is no room. */
static bool copy_into(struct store *s, const char *part, int fd, struct err *err)
{
    int rc = env_copy(s, fd);
    if (rc > 0) { /* an error of the system: of the copy's disk, not of the store's */
        errno = rc;
        return copy_errno(part, "writing", err);
    }
    if (rc != 0)
        return env_error(s, rc, "copying", err);
    return fsync(fd) == 0 || copy_errno(part, "fsync", err);
}

static bool name_it(const char *part, const char *path, struct err *err)
{
    if (renameat2(AT_FDCWD, part, AT_FDCWD, path, RENAME_NOREPLACE) == 0)
        return copy_sync_dir(path, err);
    if (errno == EEXIST)
        return err_set(err, ERR_EXISTS, "%s is there already", path);
    if (errno !=
        EINVAL) /* a file system that cannot; the race it leaves is one between administrators */
        return copy_errno(path, "renaming", err);
    if (access(path, F_OK) == 0)
        return err_set(err, ERR_EXISTS, "%s is there already", path);
    return rename(part, path) == 0 ? copy_sync_dir(path, err) : copy_errno(path, "renaming", err);
}

bool store_backup(struct store *s, const char *path, struct store_facts *facts, struct err *err)
{
    char part[4096];
    struct store_facts f = {.first = {""}};
    struct stat st;
    int fd = -1;
    if ((size_t)snprintf(part, sizeof part, "%s" COPY_SUFFIX, path) >= sizeof part)
        return err_set(err, ERR_IO, "%.100s...: the path is too long", path);
    if (access(path, F_OK) == 0)
        return err_set(err, ERR_EXISTS, "%s is there already", path);
    if (!copy_create(part, &fd, err))
        return false;
    bool ok = copy_into(s, part, fd, err) && copy_inspect(part, true, &f, err) &&
              (fstat(fd, &st) == 0 || copy_errno(part, "fstat", err)) && name_it(part, path, err);
    if (!ok)
        unlink(part);
    close(fd); /* and with it the lock, when the name is right or gone */
    if (!ok)
        return false;
    f.bytes = (uint64_t)st.st_size;
    *facts = f;
    return true;
}

bool store_backup_succeeded(struct store_write *w, int64_t at, struct err *err)
{
    struct key k = meta_backup();
    return txn_usable(&w->txn, err) && txn_counter_set(&w->txn, key_view(&k), (uint64_t)at, err);
}

bool store_backup_last(struct store *s, int64_t *at, struct err *err)
{
    struct key k = meta_backup();
    struct txn t;
    uint64_t when;
    if (!txn_read(s, &t, err))
        return false;
    bool ok = txn_counter(&t, key_view(&k), &when, err);
    txn_read_end(&t);
    if (ok)
        *at = (int64_t)when;
    return ok;
}
