#include <stdlib.h>
#include <string.h>

#include "import_internal.h"
#include "pkcs7/alg.h"

#define MARKS UINT64_C(3)

static uint64_t *find(uint64_t *slot, size_t cap, uint64_t hash)
{
    size_t i = (size_t)(hash >> 2) & (cap - 1);
    while (slot[i] && ((slot[i] ^ hash) & ~MARKS))
        i = (i + 1) & (cap - 1);
    return &slot[i];
}

static bool grow(struct serial_set *s)
{
    size_t cap = s->cap ? 2 * s->cap : 1024;
    uint64_t *slot = calloc(cap, sizeof *slot);
    if (!slot)
        return false;
    for (size_t i = 0; i < s->cap; i++)
        if (s->slot[i])
            *find(slot, cap, s->slot[i]) = s->slot[i];
    free(s->slot);
    s->slot = slot;
    s->cap = cap;
    return true;
}

/* Cut from a good hash: nobody makes two serials meet, or one walk long. */
static bool hash_of(const uint8_t authority[20], struct view serial, uint64_t *out)
{
    uint8_t all[20 + STORE_SERIAL_MAX], hash[64];
    struct err ignored = {0};
    if (serial.n > STORE_SERIAL_MAX)
        return false;
    memcpy(all, authority, 20);
    memcpy(all + 20, serial.p, serial.n);
    if (!digest_compute(DIGEST_SHA256, view_of(all, 20 + serial.n), hash, &ignored))
        return false;
    memcpy(out, hash, sizeof *out);
    *out = (*out & ~MARKS) ? *out & ~MARKS : MARKS + 1;
    return true;
}

int serial_set_mark(struct serial_set *s, const uint8_t authority[20], struct view serial,
                    unsigned marks)
{
    uint64_t hash;
    if (!hash_of(authority, serial, &hash) || (2 * (s->n + 1) > s->cap && !grow(s)))
        return -1;
    uint64_t *slot = find(s->slot, s->cap, hash);
    int before = (int)(*slot & MARKS);
    if (!*slot)
        s->n++;
    *slot = hash | (unsigned)before | (marks & MARKS);
    return before;
}

void serial_set_clear(struct serial_set *s)
{
    free(s->slot);
    *s = (struct serial_set){.n = 0};
}
