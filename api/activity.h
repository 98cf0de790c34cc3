/* How much was issued and refused in the last 24 hours, by the hour.  Attempts are read once: each look goes on where the one
 * before ended, so that a page that asks every few seconds costs what happened in between.  Thread-safe. */
#pragma once

#include "store/store.h"

#define ACTIVITY_HOURS 24
#define ACTIVITY_REASONS 8

struct activity_hour {
    int64_t from; /* Unix seconds, a whole hour */
    uint64_t issued, refused;
};
struct activity_reason {
    char code[32];
    uint64_t n;
    int64_t since, latest; /* the first and the last of these */
};

struct activity_figures {
    struct activity_hour hour[ACTIVITY_HOURS]; /* oldest first; the last one has begun and not ended */
    uint64_t issued, refused;                  /* of all of them */
    struct activity_reason reason[ACTIVITY_REASONS]; /* of the refused ones, most frequent first */
    size_t reason_n;
    bool complete; /* false: there were more attempts than are looked at at once, and some in these hours are not counted */
};

struct activity;
/* `most`: attempts that one look may read; 0: some that take tenths of a second.  NULL when out of memory. */
struct activity *activity_new(uint64_t most);
void activity_free(struct activity *a); /* NULL allowed */
bool activity_look(struct activity *a, struct store *s, int64_t now, struct activity_figures *out, struct err *err);
