#pragma once

#include "base/view.h"

/* Lower-case hex, NUL-terminated; out has 2 * v.n + 1 bytes. */
void hex_encode(struct view v, char *out);
/* Accepts either case and ':' between octets.  Returns the number of octets, or -1 when s is
 * not hex, has an odd number of digits or needs more than cap octets. */
long hex_decode(const char *s, uint8_t *out, size_t cap);
