/* Preloaded into scepd or scepctl: makes the system calls of the store fail, or kills the process
 * at them, as a file says that a test maps and changes while the program runs (shim.py).
 *
 * FAULT_CONTROL names the file; without it nothing happens.  A rule for each kind of call: the next
 * `after` calls pass, then `times` calls (-1: all) get the fault.  What belongs to the store is
 * known from open(): data.mdb, and the second descriptor of it, with which LMDB writes its meta
 * pages, by O_DSYNC.
 *
 * FAULT_MAP: octets; a map of the store that would be at least 1 GiB is so small instead. */

/* The names that LMDB links to, not those with 64 behind them. */
#undef _FILE_OFFSET_BITS
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum call { CALL_WRITE, CALL_SYNC, CALL_META, CALL_OTHER_SYNC, CALLS };
enum action { NONE, FAIL, KILL_BEFORE, KILL_AFTER, KILL_HALF, FAIL_HALF };

struct rule {
    _Atomic int32_t action, after, times, error, hits, seen;
};

#define DESCRIPTORS 4096
enum kind { KIND_OTHER, KIND_DATA, KIND_META };

static struct rule nothing[CALLS], *rules = nothing;
static _Atomic unsigned char kind[DESCRIPTORS];

/* As dlsym(3) has it for function pointers. */
#define REAL(name) *(void **)&real_##name = dlsym(RTLD_NEXT, #name)

static int (*real_open)(const char *, int, ...);
static int (*real_open64)(const char *, int, ...);
static int (*real_close)(int);
static int (*real_fdatasync)(int);
static int (*real_fsync)(int);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_writev)(int, const struct iovec *, int);

__attribute__((constructor)) static void begin(void)
{
    REAL(open);
    REAL(open64);
    REAL(close);
    REAL(fdatasync);
    REAL(fsync);
    REAL(pwrite);
    REAL(writev);
    const char *file = getenv("FAULT_CONTROL");
    int fd = file ? real_open(file, O_RDWR | O_CLOEXEC) : -1;
    void *p =
        fd < 0 ? MAP_FAILED : mmap(NULL, sizeof nothing, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p != MAP_FAILED)
        rules = p;
    if (fd >= 0)
        real_close(fd);
}

int mdb_env_set_mapsize(void *env, size_t size);

static _Noreturn void die(void)
{
    syscall(SYS_kill, getpid(), SIGKILL);
    for (;;) /* where a sandbox forbids that */
        __builtin_trap();
}

/* What happens to this call. */
static enum action meet(enum call call)
{
    struct rule *r = &rules[call];
    atomic_fetch_add(&r->seen, 1);
    enum action action = (enum action)atomic_load(&r->action);
    if (action == NONE || atomic_fetch_sub(&r->after, 1) > 0)
        return NONE;
    int32_t times = atomic_load(&r->times);
    while (times > 0 && !atomic_compare_exchange_weak(&r->times, &times, times - 1))
        ;
    if (times == 0)
        return NONE;
    atomic_fetch_add(&r->hits, 1);
    if (action == KILL_BEFORE)
        die();
    return action;
}

static enum kind kind_of(int fd)
{
    return fd >= 0 && fd < DESCRIPTORS ? (enum kind)atomic_load(&kind[fd]) : KIND_OTHER;
}

static int opened(const char *path, int flags, int fd)
{
    static const char name[] = "/data.mdb";
    size_t n = strlen(path);
    if (fd < 0 || fd >= DESCRIPTORS)
        return fd;
    bool data = n >= sizeof name && strcmp(path + n - sizeof name + 1, name) == 0;
    kind[fd] = !data ? KIND_OTHER : flags & O_DSYNC ? KIND_META : KIND_DATA;
    return fd;
}

int open(const char *path, int flags, ...)
{
    va_list ap;
    va_start(ap, flags);
    unsigned mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, unsigned) : 0;
    va_end(ap);
    return opened(path, flags, real_open(path, flags, mode));
}

int open64(const char *path, int flags, ...)
{
    va_list ap;
    va_start(ap, flags);
    unsigned mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, unsigned) : 0;
    va_end(ap);
    return opened(path, flags, real_open64(path, flags, mode));
}

int close(int fd)
{
    if (fd >= 0 && fd < DESCRIPTORS)
        kind[fd] = KIND_OTHER;
    return real_close(fd);
}

static int failed(enum call call)
{
    errno = rules[call].error;
    return -1;
}

static int sync_with(int fd, int (*real)(int))
{
    enum call call = kind_of(fd) == KIND_OTHER ? CALL_OTHER_SYNC : CALL_SYNC;
    enum action action = meet(call);
    if (action == FAIL || action == FAIL_HALF)
        return failed(call);
    int rc = real(fd);
    if (action != NONE)
        die();
    return rc;
}

int fdatasync(int fd)
{
    return sync_with(fd, real_fdatasync);
}

int fsync(int fd)
{
    return sync_with(fd, real_fsync);
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
    enum kind k = kind_of(fd);
    if (k == KIND_OTHER)
        return real_pwrite(fd, p, n, at);
    enum call call = k == KIND_META ? CALL_META : CALL_WRITE;
    enum action action = meet(call);
    if (action == FAIL)
        return failed(call);
    ssize_t rc = real_pwrite(fd, p, action == KILL_HALF || action == FAIL_HALF ? n / 2 : n, at);
    if (action == KILL_HALF || action == KILL_AFTER)
        die();
    return rc;
}

int mdb_env_set_mapsize(void *env, size_t size)
{
    const char *small = getenv("FAULT_MAP");
    int (*real)(void *, size_t);
    *(void **)&real = dlsym(RTLD_NEXT, "mdb_env_set_mapsize");
    return real(env, small && size >> 30 ? strtoul(small, NULL, 10) : size);
}

ssize_t writev(int fd, const struct iovec *v, int n)
{
    if (kind_of(fd) == KIND_OTHER)
        return real_writev(fd, v, n);
    enum action action = meet(CALL_WRITE);
    if (action == FAIL)
        return failed(CALL_WRITE);
    ssize_t rc = real_writev(fd, v, action == KILL_HALF || action == FAIL_HALF ? (n + 1) / 2 : n);
    if (action == KILL_HALF || action == KILL_AFTER)
        die();
    return rc;
}
