/* Random text that people read aloud and type: Crockford's base 32 (no I, L, O, U). */
#pragma once

#include <stddef.h>

#include "base/err.h"

#define TOKEN_ID_MAX 32 /* as the ids in the store's records */

/* `n` random characters, five bits each, NUL-terminated.  Upper case, or lower case for ids. */
bool token_random(char *out, size_t n, bool lower, struct err *err);
/* "chl_" or "req_" and six characters: short enough to type, and the store tells when one is taken. */
bool token_id(const char *prefix, char out[TOKEN_ID_MAX], struct err *err);
/* The character meant by `c`, in upper case: case folded, O read as 0, I and L as 1; 0 when it is none. */
char token_meant(char c);
