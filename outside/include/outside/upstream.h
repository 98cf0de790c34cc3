/* Challenges of an upstream authority: read from its page of challenges, as NDES and those who imitate it show it. */
#pragma once

#include "outside/outside.h"

#define UPSTREAM_SECRET_MAX 257 /* with the NUL */

struct upstream_page {
    char secret[UPSTREAM_SECRET_MAX]; /* wipe it */
    unsigned minutes;                 /* until it expires; 0: the page does not say */
    bool reusable;                    /* the page says that it can be used multiple times */
};

/* The page in UTF-16 (either order, with or without a byte order mark), UTF-8 or anything that ASCII is part of; in any
 * language, as long as the password stands alone between <B> and </B>.  REASON_UPSTREAM_REFUSED: the page says that the password
 * cache is full, or that the user may not enrol.  REASON_UPSTREAM_UNAVAILABLE: there is no password in it. */
bool upstream_page_read(struct view body, struct upstream_page *out, struct err *err);

/* Asks the upstream of that name for one; waits, so never on a loop thread.  Asked once: each question costs the upstream a
 * password.  `outside` is a struct outside, as a struct fleet_profile_wish has it.  The two reasons above, with what there is to
 * know. */
bool upstream_challenge(void *outside, const char *upstream, char *secret, size_t cap, struct err *err);
