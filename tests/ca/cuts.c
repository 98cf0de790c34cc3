#include "cuts.h"

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static unsigned left;

void cuts_after(unsigned n)
{
    left = n;
}

static void step(void)
{
    if (left && --left == 0)
        kill(getpid(), SIGKILL);
}

int __real_open(const char *path, int flags, mode_t mode);
int __wrap_open(const char *path, int flags, ...);
int __real_open64(const char *path, int flags, mode_t mode);
int __wrap_open64(const char *path, int flags, ...);
ssize_t __real_write(int fd, const void *p, size_t n);
ssize_t __wrap_write(int fd, const void *p, size_t n);
int __real_fchmod(int fd, mode_t mode);
int __wrap_fchmod(int fd, mode_t mode);
int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);
int __real_unlinkat(int fd, const char *path, int flags);
int __wrap_unlinkat(int fd, const char *path, int flags);
int __real_mkdir(const char *path, mode_t mode);
int __wrap_mkdir(const char *path, mode_t mode);

static mode_t mode_of(int flags, va_list ap)
{
    return flags & O_CREAT ? va_arg(ap, mode_t) : 0;
}

int __wrap_open(const char *path, int flags, ...)
{
    va_list ap;
    va_start(ap, flags);
    mode_t mode = mode_of(flags, ap);
    va_end(ap);
    if (flags & O_CREAT)
        step();
    return __real_open(path, flags, mode);
}

int __wrap_open64(const char *path, int flags, ...)
{
    va_list ap;
    va_start(ap, flags);
    mode_t mode = mode_of(flags, ap);
    va_end(ap);
    if (flags & O_CREAT)
        step();
    return __real_open64(path, flags, mode);
}

ssize_t __wrap_write(int fd, const void *p, size_t n)
{
    step();
    return __real_write(fd, p, n);
}

int __wrap_fchmod(int fd, mode_t mode)
{
    step();
    return __real_fchmod(fd, mode);
}

int __wrap_fsync(int fd)
{
    step();
    return __real_fsync(fd);
}

int __wrap_rename(const char *from, const char *to)
{
    step();
    return __real_rename(from, to);
}

int __wrap_unlinkat(int fd, const char *path, int flags)
{
    step();
    return __real_unlinkat(fd, path, flags);
}

int __wrap_mkdir(const char *path, mode_t mode)
{
    step();
    return __real_mkdir(path, mode);
}
