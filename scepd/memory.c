#include "scepd/memory.h"

#include <jansson.h>
#include <openssl/crypto.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/memory.h"

static void *watch(void *p, size_t n)
{
    if (!p && n)
        memory_missed();
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
    json_set_alloc_funcs(whole_json_malloc, whole_json_free);
    return CRYPTO_set_mem_functions(watched_malloc, watched_realloc, watched_free) == 1;
}
