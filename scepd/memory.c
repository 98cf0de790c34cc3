#include "scepd/memory.h"

#include <openssl/crypto.h>
#include <stddef.h>
#include <stdlib.h>

static _Thread_local bool failed;

static void *watch(void *p, size_t n)
{
    if (!p && n)
        failed = true;
    return p;
}

static void *watched_malloc(size_t n, const char *file, int line)
{
    return watch(malloc(n), n);
}

static void *watched_realloc(void *p, size_t n, const char *file, int line)
{
    return watch(realloc(p, n), n);
}

static void watched_free(void *p, const char *file, int line)
{
    free(p);
}

bool memory_watch(void)
{
    return CRYPTO_set_mem_functions(watched_malloc, watched_realloc, watched_free) == 1;
}

void memory_forget(void)
{
    failed = false;
}

bool memory_failed(void)
{
    return failed;
}
