/* Small helpers on text that several rooms need. */
#pragma once

#include "base/view.h"

/* Does `text` match `pattern` as a whole?  '*' stands for any run of characters (also none),
 * '?' for one character; everything else for itself; '\' before one of these takes it
 * literally.  `fold` ignores ASCII case.  Linear in both (no backtracking explosion). */
bool text_match(const char *pattern, const char *text, bool fold);

/* Copies into out (size cap > 0), cut if needed, with control characters and bytes that are not
 * valid UTF-8 written as \xHH, marks of writing direction as \uHHHH, so that it may be shown on a terminal or in a log. */
void text_printable(struct view v, char *out, size_t cap);

/* RFC 3339 UTC, "2026-11-23T17:00:00Z"; out has at least 32 bytes.  t in Unix seconds. */
void text_time(int64_t t, char out[32]);

/* A duration such as "30d", "12h", "90m", "45s" in seconds; -1 when it is none, has no unit, or
 * exceeds 100 years. */
int64_t text_duration(const char *s);

/* Constant-time comparison of two secrets; lengths may be known. */
bool text_secret_eq(struct view a, struct view b);
