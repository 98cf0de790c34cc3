/* How many answers may be signed in a second, and for whom: whoever has had more of late leaves
 * more to the others.  An address that asks alone gets all there is, but what was saved up is not
 * all for it: who comes then, and asks for less, finds some left and comes first.  Addresses share
 * places by chance, and nobody outside knows which.  Loop thread only; times are the caller's,
 * monotonic, in microseconds. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define OCSP_BUDGET_SHARES 1024 /* a power of two */
/* Microseconds: as many signatures as they allow may come at once. */
#define OCSP_BUDGET_SAVED 1000000

struct ocsp_share {
    int64_t used_us; /* what the signatures for it took of the budget, fading: half of it is gone
                        after a second */
    int64_t at_us;   /* when that was so */
};

struct ocsp_budget {
    int64_t due_us; /* when the next signature would be due, were they spread evenly */
    uint64_t secret[2];
    struct ocsp_share share[OCSP_BUDGET_SHARES];
};

void ocsp_budget_init(struct ocsp_budget *b);
/* May another answer be signed for `peer`, an address?  It counts then.  `per_second`: of all; 0:
 * any number. */
bool ocsp_budget_take(struct ocsp_budget *b, const char *peer, int per_second, int64_t now_us);
