/* "did you mean": the nearest of the words that would have been right.  For the configuration and
 * the command line. */
#pragma once

#include <stddef.h>

struct suggest {
    const char *word;    /* what was written; borrowed */
    const char *best;    /* borrowed; NULL: nothing is near */
    unsigned distance;   /* of `best` */
};

struct suggest suggest_start(const char *word);
void suggest_offer(struct suggest *s, const char *candidate);
/* " (did you mean "X"?)", or "" */
const char *suggest_text(const struct suggest *s, char *out, size_t cap);
