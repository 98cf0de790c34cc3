/* Lists by page, for those who show them: the caller says how many it wants and where to go on, and no page costs more
 * than a bounded number of records, whatever the filter.  Where a filter has an index (a device, a policy, an object of
 * the audit log, what is pending) the page is exact; where it has none, `scan` records are looked at, and a page may
 * have few items, or none, and still say where to go on.  What comes or goes meanwhile never makes an item appear twice or
 * hides one that was there all the time.
 *
 * Newest first, unless a list says otherwise. */
#pragma once

#include "store/store.h"

#define STORE_PAGE_MAX 500           /* items */
#define STORE_PAGE_SCAN 20000        /* records, when `scan` is 0: some 20 ms */
#define STORE_CURSOR_MAX 400

struct store_page {
    /* Where to go on: `next` of the page before; NULL or "": from the beginning.  Letters and digits only, meant for
     * the same list with the same filter; ERR_NOT_FOUND when it is nothing that a list could have said.  Of
     * certificates, audit entries and attempts it is the decimal number (id, seq) of the last item, so that who merges
     * two lists may make one. */
    const char *after;
    size_t limit;                    /* 1 to STORE_PAGE_MAX; 0: 50 */
    size_t scan;                     /* 0: STORE_PAGE_SCAN */
    struct store_write *in;          /* the list is read inside this write; NULL: in a snapshot of its own */
    /* set by the list: */
    char next[STORE_CURSOR_MAX];     /* "": there is nothing more */
    size_t items;
    size_t looked;                   /* records that it looked at */
};

/* `each` is called when everything has been read, with no snapshot open: it may use the store, and, where `in` is set, change
 * what it is shown.  Records live for the call only. */

/* Certificates, without their DER: all members of the filter but after_id and limit.  Exact for device, policy and subject_hash;
 * `text` has no index, since one would cost every enrolment a page of the disk (STORE.md). */
bool store_cert_page(struct store *s, const struct store_cert_filter *f, struct store_page *page,
                     void (*each)(void *ctx, const struct store_cert *c), void *ctx, struct err *err);

/* What came first counts most: revoked, used up, expired. */
enum challenge_state { CHALLENGE_OPEN = 1, CHALLENGE_USED, CHALLENGE_EXPIRED, CHALLENGE_REVOKED };
enum challenge_state store_challenge_state(const struct store_challenge *c, int64_t now);

struct store_challenge_filter {
    const char *device, *policy;     /* ids, NULL: all.  Only those still open are found by these */
    const char *endpoint, *created_by;
    enum challenge_state state;      /* at `now`; 0: any */
    int64_t now;
};
bool store_challenge_page(struct store *s, const struct store_challenge_filter *f, struct store_page *page,
                          void (*each)(void *ctx, const struct store_challenge *c), void *ctx, struct err *err);

struct store_request_filter {
    int state;                       /* enum request_state or -1.  REQUEST_PENDING: those first whose time ends first */
    const char *device, *policy;     /* ids, NULL: all */
    const char *endpoint;
};
/* Without csr and signer. */
bool store_request_page(struct store *s, const struct store_request_filter *f, struct store_page *page,
                        void (*each)(void *ctx, const struct store_request *r), void *ctx, struct err *err);

struct store_audit_filter {
    const char *object;              /* exact.  Those that begin with dev_, pol_ or grp_ have an index */
    const char *actor;               /* exact */
    const char *event;               /* exact, or all that begin so when it ends in a dot: "device." */
    const char *except;              /* not this event; NULL: none is left out */
    int64_t since, until;            /* since <= at < until; 0: any */
};
bool store_audit_page(struct store *s, const struct store_audit_filter *f, struct store_page *page,
                      void (*each)(void *ctx, const struct store_audit *a), void *ctx, struct err *err);

struct store_attempt_filter {
    const char *device, *policy;     /* ids, NULL: all; one of them has an index */
    int result;                      /* enum attempt_result or -1 */
    const char *reason;              /* exact, or all that begin so when it ends in a dot: "challenge." */
    const char *peer, *endpoint;     /* exact */
    int64_t since, until;            /* since <= at < until; 0: any */
};
bool store_attempt_page(struct store *s, const struct store_attempt_filter *f, struct store_page *page,
                        void (*each)(void *ctx, const struct store_attempt *a), void *ctx, struct err *err);
