/* What may be asked, with its secrets, and how it has been lately. */
#pragma once

#include <sys/queue.h>

#include "assertion.h"
#include "outside/outside_child.h"
#include "outside/outside.h"

/* Failures in a row after which a target is left alone, and for how long: doubled each time. */
#define TARGET_FAILURES 5
#define TARGET_AWAY_MIN_MS 1000
#define TARGET_AWAY_MAX_MS 30000

#define TARGET_SECRETS 2

struct exchange;
TAILQ_HEAD(exchanges, exchange);

struct intune { /* what was found out for a target of those kinds; see intune.c */
    struct buf token;             /* owned; empty: none */
    int64_t token_until_us;
    char service[512];            /* URL of the service; "": not found yet */
    int64_t service_until_us;
    struct exchange *preparing;   /* finds out; the others wait */
    struct exchanges waiting;
};

struct target {
    enum outside_kind kind;       /* OUTSIDE_UPSTREAM for both of an upstream */
    char name[64];
    char url[256], admin_url[256];
    char user[128];
    enum upstream_auth auth;
    struct buf secret[TARGET_SECRETS]; /* owned, wiped; NUL-terminated */
    struct buf ca;                /* PEM; empty: the system's */
    int timeout_ms, retries;
    bool insecure;                /* Intune: Graph may name a service by http */
    char tenant[64], client_id[64], login_url[256], graph_url[256];
    struct assertion_key assertion; /* owned; Intune: how it signs in, instead of with the secret */
    struct intune intune;
    /* how it is */
    unsigned in_flight, failures;
    int64_t away_until_us;        /* 0: not away */
    int away_ms;
    bool probing;                 /* one question finds out whether it is back */
};

struct outside_targets {
    struct target *target;        /* owned */
    size_t n;
};

/* NULL: there is none.  OUTSIDE_UPSTREAM_ADMIN finds only one that has an admin_url. */
struct target *targets_find(struct outside_targets *t, enum outside_kind kind, struct view name);
/* May it be asked now?  ANSWERED stands for yes; then target_done must follow. */
enum outside_result target_begin(struct target *t, int64_t now_us, char why[256]);
/* `good`: it answered and was not out of order. */
void target_done(struct target *t, bool good, int64_t now_us);
