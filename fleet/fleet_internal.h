/* What the files of this room share. */
#pragma once

#include "fleet/fleet.h"

#define FLEET_BATCH 250 /* records that one write takes away: some milliseconds, so that enrolments hardly wait */

/* ---- writes (common.c) ---- */

/* Ends the write: committed when `ok`. */
bool fleet_finish(struct store_write *w, bool ok, struct err *err);
/* The format stands last, so `err` before it. */
bool fleet_audit(const struct fleet *f, struct store_write *w, struct err *err, const char *event, const char *object,
                 const char *fmt, ...) __attribute__((format(printf, 6, 7)));
/* ERR_CONFLICT unless `expected` is 0 or `have`. */
bool fleet_version(const char *what, const char *name, uint64_t have, uint64_t expected, struct err *err);
/* ERR_NOT_FOUND and ERR_CONFLICT of the store, with the thing's kind and what was asked for; returns false. */
bool fleet_missing(const char *kind, const char *which, struct err *err);
/* A text as the store shall keep it: UTF-8 in NFC without control characters, marks of direction or blanks at its ends. */
bool fleet_text(const char *member, char *value, size_t cap, bool required, struct err *err);
/* A name by which things are found: such a text, that no id looks like. */
bool fleet_name(char *value, size_t cap, struct err *err);
/* Puts a record under a fresh id: `put` is called until the id is free. */
bool fleet_fresh_id(const char *prefix, char id[32], struct err *err);
/* Is every member what it may be?  Names are put into NFC.  (device.c) */
bool fleet_device_check(struct store_device *d, struct err *err);
void fleet_warn(struct fleet_warnings *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Reads inside `w`, or by themselves when it is NULL. */
bool fleet_device_in(const struct fleet *f, struct store_write *w, const char *which, struct store_device *out,
                     struct err *err);
bool fleet_group_in(const struct fleet *f, struct store_write *w, const char *which, struct store_group *out, struct err *err);
bool fleet_policy_in(const struct fleet *f, struct store_write *w, const char *which, struct store_policy *out,
                     struct err *err);
bool fleet_reach_in(const struct fleet *f, struct store_write *w, const char *policy, const char *device,
                    struct store_reach *out, struct err *err);
const struct config_endpoint *fleet_endpoint(const struct fleet *f, const struct store_policy *p);
const struct template *fleet_template(const struct fleet *f, const struct store_policy *p);

/* ---- what goes with a device or a policy (effects.c) ---- */

/* What is looked through: all of a device, all that was made by a policy, or both.  With a policy only what belongs to devices
 * that have it no more is taken away. */
struct fleet_sweep {
    const char *device;            /* id or NULL */
    const char *policy;            /* id or NULL */
    bool names;                    /* challenges alone go, open or ended, also of devices that have the policy, since their names are others or will be */
    const char *group;             /* with it: name; only those that may have it as %group%: of devices whose group it is, or whose names are others by now; "": only the latter, of devices that have the policy; NULL: all */
    bool revoke;                   /* certificates too */
    const char *why;               /* for requests: the note that their device is told by */
};
/* In writes of its own of bounded size, or, when `w` is given, inside it: for e->dry_run, which changes nothing, and for one
 * device. */
bool fleet_sweep(const struct fleet *f, struct store_write *w, const struct fleet_sweep *s, struct fleet_effects *e,
                 struct err *err);
/* Policies that a device has or a group was given.  More than a page of them is nobody's plan. */
struct fleet_policies {
    char id[STORE_PAGE_MAX][32];
    size_t n;
};
/* ERR_CONFLICT: there are more. */
bool fleet_policies_of_device(const struct fleet *f, struct store_write *w, const char *device, struct fleet_policies *out,
                              struct err *err);
bool fleet_policies_of_group(const struct fleet *f, struct store_write *w, const char *group, struct fleet_policies *out,
                             struct err *err);
/* A device that had these: it is counted when it has one of them no more; and what it got by those goes. */
bool fleet_lost_count(const struct fleet *f, struct store_write *w, const struct fleet_policies *had, const char *device,
                      struct fleet_effects *e, struct err *err);
bool fleet_lost_sweep(const struct fleet *f, struct store_write *w, const struct fleet_policies *had, const char *device,
                      struct fleet_effects *e, struct err *err);
/* An edit of a device in two halves (device.c), all in one write, so that no interruption comes between: with another user it may have
 * lost what a group of users gave it, and what else the write gives it comes before that is taken away.  `d` as for
 * fleet_device_edit; `end` adds to *e. */
struct fleet_edit {
    struct fleet_policies had;     /* by the user that it had */
    bool names;                    /* they are others: open challenges are bound to the old ones */
};
bool fleet_device_edit_begin(const struct fleet *f, struct store_write *w, uint64_t version, struct store_device *d,
                             struct fleet_edit *edit, bool *changed, struct err *err);
bool fleet_device_edit_end(const struct fleet *f, struct store_write *w, const struct fleet_edit *edit, const char *device,
                           struct fleet_effects *e, struct err *err);
/* Challenges that are bound to another group's name than the policy gives their device now: of the device, or by the policy (the
 * other may be NULL), after a change of its groups or of who has the policy.  Devices that lost it are fleet_sweep's. */
bool fleet_sweep_regrouped(const struct fleet *f, struct store_write *w, const char *device, const char *policy,
                           struct fleet_effects *e, struct err *err);
/* The same by every policy whose names have %group% (rebind.c). */
bool fleet_sweep_all_regrouped(const struct fleet *f, struct store_write *w, struct fleet_effects *e, struct err *err);
extern const char fleet_regrouped[];

/* A change after which open challenges would be bound to what is no more (rebind.c): what a group is called, or what a policy says.
 * Nothing at a device's enrolment tells such a challenge from a good one, so they are void before the change is made: in writes of
 * bounded size, and the change in the last, in which none is left.  Cut off between two, everything is called as it was, and some
 * devices need a new challenge. */
struct fleet_rebinding {
    const char *policy;              /* id; NULL: of every policy whose names have %group% */
    const char *group;               /* its name, without the change: only those that may have it as %group%; NULL: all */
    const char *why;                 /* for the audit log */
    /* Done twice: first in a write that is thrown away, so that what is refused has voided nothing; unless somebody else
     * was quicker meanwhile: then *e has what is void. */
    bool (*change)(const struct fleet *f, struct store_write *w, void *ctx, struct err *err);
    void *ctx;
};
/* `e`: NULL, or as elsewhere; stopped: the change was not made. */
bool fleet_rebind(const struct fleet *f, const struct fleet_rebinding *r, struct fleet_effects *e, struct err *err);
/* The change alone, where nothing is called otherwise by it; `e` only says whether it is a plan. */
bool fleet_change(const struct fleet *f, const struct fleet_rebinding *r, const struct fleet_effects *e, struct err *err);

/* ---- names of a device (challenge.c) ---- */

/* As fleet_names, with the group by which the device has the policy, or would have it. */
bool fleet_names_by(const struct fleet *f, struct store_write *w, const struct store_policy *p, const struct store_device *d,
                    const char *group, struct fleet_names *out, struct err *err);
/* Device and policy (NULL: the only one that it has), if it may enrol by it now. */
bool fleet_entitled(const struct fleet *f, const char *device, const char *policy, struct store_device *d, struct store_policy *p,
                    struct err *err);
/* Has no other device a certificate with the subject that this one would get?  ERR_EXISTS. */
bool fleet_subject_free(const struct fleet *f, struct store_write *w, const struct store_policy *p,
                        const struct store_device *d, const char *group, struct err *err);
bool fleet_uses_group(const struct store_policy *p); /* do its names have %group%? */
/* The group by which it has the policy, or the only one it is in; "" none.  Only looked for where a pattern names it. */
bool fleet_group_of(const struct fleet *f, struct store_write *w, const struct store_policy *p, const struct store_device *d,
                    char group[64], struct err *err);

/* ---- subjects that no two devices may share (unique.c) ---- */

/* Are the subjects of a pattern different for any two devices, since their names are? */
bool fleet_subject_certain(const char *subject);
struct fleet_subjects;
struct fleet_subjects *fleet_subjects_new(void);
void fleet_subjects_free(struct fleet_subjects *s);
/* Remembers who has this subject; *other: who had it before, "" nobody (then `id` is kept). */
bool fleet_subjects_add(struct fleet_subjects *s, const char *subject, const char *id, char other[32], struct err *err);
bool fleet_subjects_has(const struct fleet_subjects *s, const char *subject);
/* Those of all devices that have the policy; what cannot be made is left out. */
bool fleet_subjects_seed(const struct fleet *f, const struct store_policy *p, struct fleet_subjects *s, struct err *err);
/* Would no two devices that have the policy share a subject, if it were as `p` says?  ERR_EXISTS. */
bool fleet_subjects_differ(const struct fleet *f, const struct store_policy *p, struct err *err);
/* May `target`, a device or a group, have the policy beside those that have it?  ERR_EXISTS, ERR_CONFIG. */
bool fleet_target_fits(const struct fleet *f, const struct store_policy *p, const struct store_device *device,
                       const struct store_group *group, struct err *err);
