/* How a list by page is read: a walk in one snapshot, of which copies are kept of what is wanted, and what the caller is
 * given when the snapshot is closed. */
#pragma once

#include "records.h"
#include "store/page.h"

#define PAGER_AT_MAX ((STORE_CURSOR_MAX - 1) / 2)

struct pager {
    struct txn *t;            /* the write's, or `own` */
    struct txn own;
    struct store_page *page;
    bool numbered;            /* the cursor is a number in decimal, the place its 8 octets */
    size_t limit, scan;
    size_t looked, items;
    uint8_t at[PAGER_AT_MAX]; /* the place of the last record looked at; at the beginning, that of the cursor */
    size_t at_n;
    bool more;
    struct buf taken;         /* copies of records, each with its length in 4 octets before it */
};

/* Reads the cursor and opens the snapshot.  With true pager_end must follow. */
bool pager_begin(struct pager *p, struct store *s, struct store_page *page, bool numbered, struct err *err);
/* The place where the walk goes on; empty: at the beginning. */
struct view pager_at(const struct pager *p);
/* ERR_NOT_FOUND when that place is none behind `prefix`. */
bool pager_fits(const struct pager *p, struct view prefix, struct err *err);
/* To be asked for each record, with its place: when the page is full it says so and the walk stops before it. */
bool pager_room(struct pager *p, struct view at, bool *stop);
bool pager_take(struct pager *p, struct view record, struct err *err);
typedef bool (*pager_give)(void *ctx, struct view record, struct err *err);
/* Closes the snapshot; if `ok`, gives what was taken and says where to go on. */
bool pager_end(struct pager *p, bool ok, pager_give give, void *ctx, struct err *err);
