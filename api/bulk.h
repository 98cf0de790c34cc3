/* One thing done to many: the actions, by what they are chosen, and how one item is done. */
#pragma once

#include "managed.h"
#include "store/job.h"

enum bulk_action { BULK_REVOKE, BULK_RETIRE, BULK_ISOLATE, BULK_RELEASE, BULK_APPROVE, BULK_DENY, BULK_ASSIGN, BULK_UNASSIGN };
extern const char *const bulk_actions[]; /* in that order; ends with NULL */

/* The items that a call names or its filter finds; names with a NUL behind each. */
struct bulk_choice {
    struct buf names;   /* owned */
    uint64_t n;
    json_t *sample;     /* owned: the first ones, for people */
    bool too_many;      /* more than STORE_JOB_ITEMS */
    bool failed;        /* out of memory */
};
/* Faults of the filter of a call: what such items have not is no way to choose them, and passed over it would choose all. */
void bulk_check_filter(struct api_call *c, enum bulk_action action);
bool bulk_choose(struct api_call *c, enum bulk_action action, struct bulk_choice *out, struct err *err);
/* What is lost with the items leaves certificates that stay good: named before the job begins.  Other actions take nothing. */
void bulk_outside(const struct api_call *c, enum bulk_action action, const char *policy, const struct bulk_choice *b,
                  struct fleet_warnings *stay);
void bulk_choice_clear(struct bulk_choice *b);

/* What is the same for all items of a job. */
struct bulk_act {
    enum bulk_action action;
    const char *note, *policy;  /* "" for none */
    enum crl_reason reason;
    struct fleet fleet;
};
/* ERR_CONFLICT and such: this one cannot be done.  An item that is as it shall be already is done. */
bool bulk_do(const struct bulk_act *act, const char *item, struct err *err);
