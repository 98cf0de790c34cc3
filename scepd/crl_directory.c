#include "scepd/crl_directory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ca/keyfile.h"

static bool failed(const char *directory, const char *name, const char *doing, struct err *err)
{
    bool full = errno == ENOSPC || errno == EDQUOT;
    err_errno(err, "%s/%s: %s", directory, name, doing);
    if (full)
        err->kind = ERR_FULL;
    return false;
}

/* Read by others: what is in it is public. */
static bool write_part(int folder, const char *part, struct view crl)
{
    int fd = openat(folder, part, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0)
        return false;
    bool ok = fchmod(fd, 0644) == 0 && file_write_all(fd, crl) && fsync(fd) == 0;
    int why = errno;
    close(fd);
    errno = why;
    return ok;
}

bool crl_directory_write(const char *directory, const struct authority *a, uint32_t scope,
                         struct view crl, struct err *err)
{
    char name[160], part[176], generation[32] = "", suffix[24];
    if (a->generation > 1)
        snprintf(generation, sizeof generation, "-g%u", a->generation);
    crl_scope_suffix(scope, suffix);
    snprintf(name, sizeof name, "%s%s%s.crl", a->name, generation, suffix);
    snprintf(part, sizeof part, ".%s.part", name);
    int folder = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return failed(directory, "", "opening", err);
    bool ok = write_part(folder, part, crl) || failed(directory, part, "writing", err);
    ok = ok && ((renameat(folder, part, folder, name) == 0 && fsync(folder) == 0) ||
                failed(directory, name, "renaming", err));
    if (!ok)
        unlinkat(folder, part, 0);
    close(folder);
    return ok;
}
