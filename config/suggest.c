#include "config/suggest.h"

#include <stdio.h>
#include <string.h>

#define SUGGEST_LONGEST 64 /* longer words are no typing mistakes of ours */

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* Edits from a to b: insert, delete, replace, swap two neighbours. */
static unsigned edits(const char *a, size_t na, const char *b, size_t nb)
{
    unsigned row[3][SUGGEST_LONGEST + 1];
    for (size_t j = 0; j <= nb; j++)
        row[0][j] = (unsigned)j;
    for (size_t i = 1; i <= na; i++) {
        unsigned *now = row[i % 3], *before = row[(i + 2) % 3], *earlier = row[(i + 1) % 3];
        now[0] = (unsigned)i;
        for (size_t j = 1; j <= nb; j++) {
            unsigned cost = a[i - 1] != b[j - 1];
            now[j] = least(least(before[j] + 1, now[j - 1] + 1), before[j - 1] + cost);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = least(now[j], earlier[j - 2] + 1);
        }
    }
    return row[na % 3][nb];
}

struct suggest suggest_start(const char *word)
{
    return (struct suggest){.word = word};
}

void suggest_offer(struct suggest *s, const char *candidate)
{
    size_t n = strlen(s->word), m = strlen(candidate);
    if (n == 0 || n > SUGGEST_LONGEST || m > SUGGEST_LONGEST)
        return;
    /* The beginning of a long word counts as near: "pass" for "passphrase-file". */
    unsigned d =
        n >= 3 && strncmp(s->word, candidate, n) == 0 ? 1 : edits(s->word, n, candidate, m);
    unsigned allowed = n <= 3 ? 1 : n <= 6 ? 2 : 3;
    if (d <= allowed && (!s->best || d < s->distance)) {
        s->best = candidate;
        s->distance = d;
    }
}

const char *suggest_text(const struct suggest *s, char *out, size_t cap)
{
    out[0] = '\0';
    if (s->best)
        snprintf(out, cap, " (did you mean \"%s\"?)", s->best);
    return out;
}
