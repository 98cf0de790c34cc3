#include "faultmem.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local long at, seen, hits;
static _Thread_local bool armed, lasting;

void faultmem_arm(long n, bool on)
{
    at = n;
    seen = hits = 0;
    lasting = on;
    armed = true;
}

long faultmem_disarm(void)
{
    armed = false;
    return hits;
}

/* In a thread that has this name. */
static char other[16];
static atomic_long other_at, other_seen, other_hits;

void faultmem_arm_thread(const char *name, long n)
{
    for (size_t i = 0; i < sizeof other - 1; i++)
        other[i] = *name ? *name++ : '\0';
    atomic_store(&other_seen, 0);
    atomic_store(&other_hits, 0);
    atomic_store(&other_at, n);
}

long faultmem_thread_hits(void)
{
    return atomic_load(&other_hits);
}

void faultmem_disarm_thread(void)
{
    atomic_store(&other_at, 0);
}

static bool other_fails(void)
{
    char name[16] = "";
    long n = atomic_load(&other_at);
    if (n == 0 || pthread_getname_np(pthread_self(), name, sizeof name) != 0 ||
        strcmp(name, other) != 0 || atomic_fetch_add(&other_seen, 1) + 1 != n)
        return false;
    atomic_fetch_add(&other_hits, 1);
    errno = ENOMEM;
    return true;
}

static bool fails(void)
{
    if (other_fails())
        return true;
    if (!armed || ++seen < at || (seen > at && !lasting))
        return false;
    hits++;
    errno = ENOMEM;
    return true;
}

#ifdef FAULTMEM_WRAP

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t each);
void *__real_realloc(void *p, size_t n);
char *__real_strdup(const char *s);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t each);
void *__wrap_realloc(void *p, size_t n);
char *__wrap_strdup(const char *s);

void *__wrap_malloc(size_t n)
{
    return fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t each)
{
    return fails() ? NULL : __real_calloc(n, each);
}

void *__wrap_realloc(void *p, size_t n)
{
    return fails() ? NULL : __real_realloc(p, n);
}

char *__wrap_strdup(const char *s)
{
    return fails() ? NULL : __real_strdup(s);
}

#else

/* glibc's own, under the names that it keeps for those who take its place. */
extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t each);
extern void *__libc_realloc(void *p, size_t n);
extern void *__libc_memalign(size_t alignment, size_t n);

void *malloc(size_t n)
{
    return fails() ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t each)
{
    return fails() ? NULL : __libc_calloc(n, each);
}

void *realloc(void *p, size_t n)
{
    return fails() ? NULL : __libc_realloc(p, n);
}

int posix_memalign(void **out, size_t alignment, size_t n)
{
    void *p = fails() ? NULL : __libc_memalign(alignment, n);
    if (!p)
        return ENOMEM;
    *out = p;
    return 0;
}

#endif
