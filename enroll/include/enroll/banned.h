/* Keys that get no certificate whatever else is right: known to be weak, or in other hands.  A file names them, one a line,
 * by the SHA-256 of the SubjectPublicKeyInfo in hex; what follows on the line, empty lines and comments (#) are passed
 * over, so that the output of sha256sum will do. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define BANNED_MAX_KEYS 1000000

struct banned_keys {
    uint8_t (*hash)[32]; /* sorted; owned */
    size_t n;
};
/* ERR_CONFIG names file and line. */
bool banned_keys_load(const char *path, struct banned_keys *out, struct err *err);
bool banned_keys_has(const struct banned_keys *b, const uint8_t key_hash[32]);
void banned_keys_clear(struct banned_keys *b);
