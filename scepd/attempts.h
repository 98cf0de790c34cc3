/* Keeps the attempts that no commit carries: refusals, repeated answers, what was not SCEP at all.  They are gathered in
 * memory and written by a thread of their own within a second, so that nobody who is refused waits for the disk; bounded,
 * and sampled for each peer, so that nobody can push out what others did.  Also forgets attempts when their time is over.
 *
 * Thread-safe; every function but attempts_new takes NULL for `a` and does nothing then. */
#pragma once

#include "base/log.h"
#include "store/store.h"

/* Kept one by one for each address and minute; an IPv6 network of 64 bits counts as one address. */
#define ATTEMPTS_PER_PEER 20
/* Kept one by one in a minute whoever they come from. */
#define ATTEMPTS_PER_MINUTE 3000
/* Gathered in memory at most; what comes beyond it is counted. */
#define ATTEMPTS_BUFFER 1024
/* The CA certificate was fetched, and for so long nothing followed. */
#define ATTEMPTS_SILENCE 60

struct attempts;
struct attempts_options {
    struct store *store;   /* borrowed */
    const struct log *log; /* borrowed, may be NULL */
    int64_t keep;          /* seconds */
    uint64_t most;         /* how many are kept */
    bool no_thread;        /* tests call attempts_tick themselves */
};
bool attempts_new(const struct attempts_options *o, struct attempts **out, struct err *err);
/* Other limits, after a reload. */
void attempts_limits(struct attempts *a, int64_t keep, uint64_t most);
/* Writes what is left. */
void attempts_free(struct attempts *a);

/* Copied.  Sampled by its peer, or counted with the others of its minute. */
void attempts_note(struct attempts *a, const struct store_attempt *attempt);
/* A peer got the CA certificate; `attempt` is kept, as ca.thumbprint, when no message of its follows. */
void attempts_fetched(struct attempts *a, const struct store_attempt *attempt);
/* It has sent a message. */
void attempts_followed(struct attempts *a, const char *peer);

/* What the thread does once a second: writes, and tells about minutes that are over. */
void attempts_tick(struct attempts *a, int64_t now);
/* What it does once a minute: forgets, at most 100,000 at a time, in writes of at most 1000. */
void attempts_forget(struct attempts *a, int64_t now);
