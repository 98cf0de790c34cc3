/* What hands out challenges as other products expect it: the page of NDES, and webhooks. */
#pragma once

#include "api/api.h"
#include "enroll/enroll.h"

/* ---- ndes_page.c: the page as bytes ---- */

enum ndes_show {
    NDES_SHOW_ONE_TIME,  /* a password, good once */
    NDES_SHOW_SINGLE,    /* the password, good for all */
    NDES_SHOW_FULL,      /* none: too many are open */
    NDES_SHOW_FORBIDDEN, /* none: whoever asked may not have one */
};
struct ndes_page {
    enum ndes_show show;
    enum ndes_encoding encoding;
    const char *password; /* printable ASCII without blanks and markup; of the two that show one */
    int64_t validity;     /* seconds; NDES_SHOW_ONE_TIME */
    struct view ca;       /* DER of the CA certificate; of the two */
};
/* Appends the page to `out`, which may hold a secret afterwards: buf_wipe. */
bool ndes_page_build(const struct ndes_page *p, struct buf *out, struct err *err);

/* ---- mint.c ---- */

struct mint {
    const char *pool;     /* "ndes /certsrv/mscep_admin", "hook jamf": whose open challenges are counted, and its label */
    uint64_t most;        /* that may be open in it at once */
    const char *endpoint, *by;
    unsigned hex;         /* as in struct challenge_wish */
    int64_t validity, now; /* seconds */
};
/* Makes one challenge, durable when it returns, for one use.  *full: there are as many open as may be, and none was made.
 * `secret` is to be wiped. */
bool mint_challenge(struct store *s, const struct challenge_key *key, const struct mint *m, bool *full,
                    char secret[CHALLENGE_TEXT_MAX], struct store_challenge *out, struct err *err);

/* ---- the pages (api.h) ---- */

#define NDES_PATH_MAX 256     /* the longest that is one of these */
#define NDES_PASSWORD_MAX 264 /* with its NUL: a static challenge */
/* The decoded path of the call; false when it is longer, or cannot be read. */
bool ndes_path(const struct api_call *c, char out[NDES_PATH_MAX]);
/* That of the endpoint of this path; NULL: there is none. */
const struct enroll_policy *ndes_policy(const struct api_world *w, const char *endpoint);

extern const struct api_page api_page_ndes, api_page_challenge_hook;
