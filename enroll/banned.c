#include "enroll/banned.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hex.h"
#include "ca/keyfile.h"

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, 32);
}

/* The first word of a line; false when it is no hash. */
static bool read_word(const char *word, size_t n, uint8_t out[32])
{
    char hex[65];
    if (n != 64)
        return false;
    memcpy(hex, word, 64);
    hex[64] = '\0';
    return hex_decode(hex, out, 32) == 32;
}

static bool add(struct banned_keys *b, size_t *room, const uint8_t hash[32], struct err *err)
{
    if (b->n == *room) {
        size_t more = *room ? 2 * *room : 64;
        void *grown = realloc(b->hash, more * sizeof *b->hash);
        if (!grown)
            return err_memory(err);
        b->hash = grown;
        *room = more;
    }
    memcpy(b->hash[b->n++], hash, 32);
    return true;
}

static bool read_lines(FILE *f, const char *path, struct banned_keys *out, struct err *err)
{
    char *line = NULL;
    size_t cap = 0, room = 0;
    unsigned long number = 0;
    bool ok = true;
    while (ok && getline(&line, &cap, f) >= 0) {
        uint8_t hash[32];
        const char *word = line + strspn(line, " \t\r\n");
        size_t n = strcspn(word, " \t\r\n#");
        number++;
        if (n == 0)
            continue;
        if (!read_word(word, n, hash))
            ok = err_set(err, ERR_CONFIG, "%s:%lu: not the SHA-256 of a key in hex", path, number);
        else if (out->n == BANNED_MAX_KEYS)
            ok = err_set(err, ERR_CONFIG, "%s:%lu: more than %d keys", path, number,
                         BANNED_MAX_KEYS);
        else
            ok = add(out, &room, hash, err);
    }
    if (ok && ferror(f))
        ok = err_errno(err, "cannot read %s", path);
    free(line);
    return ok;
}

bool banned_keys_load(const char *path, struct banned_keys *out, struct err *err)
{
    struct banned_keys b = {0};
    int fd = file_descriptor(path);
    FILE *f = fd >= 0 ? fdopen(fd, "r") : NULL;
    if (!f) {
        err_errno(err, "cannot open the list of banned keys %s", path);
        if (fd >= 0)
            close(fd);
        return false;
    }
    bool ok = read_lines(f, path, &b, err);
    fclose(f);
    if (!ok) {
        banned_keys_clear(&b);
        return false;
    }
    if (b.n)
        qsort(b.hash, b.n, sizeof *b.hash, compare);
    *out = b;
    return true;
}

bool banned_keys_has(const struct banned_keys *b, const uint8_t key_hash[32])
{
    return b->n && bsearch(key_hash, b->hash, b->n, sizeof *b->hash, compare);
}

void banned_keys_clear(struct banned_keys *b)
{
    free(b->hash);
    *b = (struct banned_keys){0};
}
