/* Jobs: one thing that an administrator wants done to many, item by item, so that it can tell how far it is, be stopped, and go on
 * after a restart.  What it is about was chosen when it was made: its items are named there, one by one.  The rules of store.h
 * hold. */
#pragma once

#include "store/store.h"

#define STORE_JOB_ITEM 96     /* octets of an item's name, with its NUL */
#define STORE_JOB_ITEMS 100000 /* of one job, at most */

/* The numbers stand in stores. */
enum job_state {
    JOB_RUNNING = 0,          /* or waits for its turn */
    JOB_STOPPED = 1,          /* by an administrator; may go on */
    JOB_DONE = 2,             /* every item was looked at */
};

struct store_job {
    char id[32];              /* "job_4h7t2m" */
    enum job_state state;
    char action[24];
    char parameters[1024];    /* of the action, for who runs it */
    uint64_t total, done, failed; /* items; those that were looked at; those of them that could not be done */
    char failure[320];        /* of the last one that could not */
    int64_t created_at, changed_at; /* Unix seconds; changed: also by progress */
    char created_by[64], changed_by[64]; /* the latter: who stopped it or let it go on last */
    uint64_t version;         /* from 1; not moved by progress */
};
/* `items`: their names, each with its NUL, job->total of them.  ERR_EXISTS. */
bool store_job_put(struct store_write *w, const struct store_job *job, struct view items, struct err *err);
/* By id or its beginning. */
bool store_job_get(struct store *s, const char *id_or_prefix, struct store_job *out, struct err *err);
bool store_write_job_get(struct store_write *w, const char *id, struct store_job *out, struct err *err);
/* The names of up to `cap` items from number `from` on. */
bool store_job_items(struct store *s, const char *id, uint64_t from, char (*out)[STORE_JOB_ITEM], size_t cap, size_t *n,
                     struct err *err);
/* Replaces all but id, action, parameters, total and created_; its state must be `expected` still: ERR_CONFLICT. */
bool store_job_replace(struct store_write *w, const struct store_job *job, enum job_state expected, struct err *err);
/* All of them, in the order of ids; `each` returns false to stop. */
bool store_job_list(struct store *s, bool (*each)(void *ctx, const struct store_job *job), void *ctx, struct err *err);
/* Forgets those that changed last before `before` and do not run, at most 100 a call. */
bool store_job_purge(struct store_write *w, int64_t before, uint64_t *purged, struct err *err);
