/* Watches OpenSSL's memory: is a secret still there when it is given back?  freed_watch comes first
 * in main, before OpenSSL has taken any memory. */
#pragma once

#include <malloc.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

static const char *freed_secret; /* NULL: nothing is looked for */
static int freed_with_secret;

static void *freed_malloc(size_t n, const char *file, int line)
{
    return calloc(1, n ? n : 1); /* no secrets of an earlier owner */
}

static void freed_free(void *p, const char *file, int line)
{
    if (p && freed_secret &&
        memmem(p, malloc_usable_size(p), freed_secret, strlen(freed_secret)))
        freed_with_secret++;
    free(p);
}

static void *freed_realloc(void *p, size_t n, const char *file, int line)
{
    size_t old = p ? malloc_usable_size(p) : 0;
    void *q = freed_malloc(n, file, line);
    if (q && old)
        memcpy(q, p, old < n ? old : n);
    if (q)
        freed_free(p, file, line);
    return q;
}

static inline int freed_watch(void)
{
    return CRYPTO_set_mem_functions(freed_malloc, freed_realloc, freed_free);
}
