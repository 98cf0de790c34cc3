/* Changes to a tree of BER that keep it readable, from a stream of random numbers that a seed fixes: the same seed, the same
 * change, on every machine. */
#pragma once

#include "tree.h"

struct random {
    uint64_t state;
};

struct random random_from(uint32_t seed);
uint32_t random_below(struct random *r, size_t n); /* n > 0 */
static inline bool random_one_in(struct random *r, size_t n)
{
    return random_below(r, n) == 0;
}

/* One to four changes: nodes left out, doubled, moved, taken from elsewhere, given other tags; contents bent or replaced
 * by values that matter somewhere (OIDs of algorithms, edges of numbers, kinds of strings); BER's other forms. */
void tree_mutate(struct tree *t, struct random *r);
/* One change of octets without structure. */
void octets_mutate(struct buf *b, struct random *r);
