/* Is all well, and for how long?  One function answers for /healthz, /readyz and scepctl status: a list of checks, each with
 * what was found and what to do about it.  It warns before anything expires, fills up or is lost. */
#pragma once

#include <jansson.h>

#include "outside/outside_child.h"
#include "scepd/survey.h"

enum health_status { HEALTH_PASS, HEALTH_WARN, HEALTH_FAIL };

struct health_check {
    const char *name;        /* "ra_expiry"; docs/METRICS.md has them all */
    enum health_status status;
    bool measured;           /* value, unit and limit say something */
    int64_t value, limit;    /* in `unit`; where it begins to warn */
    const char *unit;        /* "days", "percent" ... */
    char text[224], fix[160]; /* one sentence; a command, "" when there is nothing to do */
    bool serving;            /* a failure here stops enrolments: counts for /readyz */
};

#define HEALTH_MAX 24

struct health {
    enum health_status status; /* the worst of all */
    bool ready;
    struct health_check check[HEALTH_MAX];
    size_t n;
};

/* What only the running daemon knows. */
struct health_live {
    bool signer_reached;
    int64_t commit_failed_us; /* by survey_clock_us; 0: the last commit was done */
    bool reloaded_well;
    bool stopping;
    bool unconfined;         /* as configured */
    unsigned lacks;          /* enum confine_lack bits of the main process */
    uint64_t queue, queue_capacity;
    bool webhooks;           /* there are servers elsewhere to ask */
    const char *webhook_failing; /* NULL: none */
    unsigned webhook_failed; /* times in a row */
    bool revocations;        /* Intune's queue of them is looked into */
    unsigned revocations_failed; /* times in a row */
    unsigned revocations_elsewhere; /* certificates that it wants revoked, and that stand: it is not asked where they are from */
    int64_t tls_from, tls_until; /* of the API's certificate; 0: it has none */
    struct outside_credential credential; /* with which scepd signs in elsewhere */
};

struct health_sources {
    const struct survey *survey;
    struct authority *const *authorities; /* every generation of each */
    size_t authority_n;
    const struct health_live *live; /* NULL: seen from another process */
};
/* Is it to be replaced soon?  None never is. */
bool health_credential_ends(const struct outside_credential *c, int64_t now);
void health_look(const struct health_sources *s, int64_t now, struct health *out);
/* Adds one more; for what only the caller can see. */
struct health_check *health_add(struct health *h, const char *name, enum health_status status, const char *fix,
                                const char *fmt, ...) __attribute__((format(printf, 5, 6)));
const char *health_status_name(enum health_status status); /* "pass", "warn", "fail" */
/* {"status", "version", "checks": [...]}; `version` may be NULL.  NULL when out of memory; owned. */
json_t *health_json(const struct health *h, const char *version);
