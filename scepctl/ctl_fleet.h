/* What the verbs of device, group and policy share. */
#pragma once

#include "fleet/fleet.h"
#include "scepctl/ctl.h"

struct ctl_fleet {
    struct fleet fleet;
    struct challenge_key key; /* wiped by ctl_fleet_end */
};
/* Configuration and store; with `challenges` the challenge key too, which is read before root becomes the store's owner. */
int ctl_fleet_begin(struct ctl *ctl, bool challenges, struct ctl_fleet *out);
void ctl_fleet_end(struct ctl_fleet *f);

/* By id, the beginning of one, or name. */
int ctl_find_device(struct ctl *ctl, const struct ctl_fleet *f, const char *which, struct store_device *out);
int ctl_find_group(struct ctl *ctl, const struct ctl_fleet *f, const char *which, struct store_group *out);
int ctl_find_policy(struct ctl *ctl, const struct ctl_fleet *f, const char *which, struct store_policy *out);

/* --new-device: one that is not there yet is made, and gets the policy. */
int ctl_make_device(struct ctl *ctl, const struct ctl_fleet *f, const char *device, const char *policy);

/* Copies the value of a flag, if it was given. */
int ctl_arg_text(struct ctl *ctl, const struct ctl_args *a, const char *name, char *to, size_t cap);
/* --limit and --search of a list by page. */
struct ctl_paging {
    int64_t limit;            /* 0: none */
    uint64_t shown;
    bool more;
};
size_t ctl_page_size(const struct ctl_paging *p);
/* Notes what could not be seen on this page: "50 devices, and more: --limit 0 for all". */
void ctl_paging_note(const struct ctl *ctl, const struct ctl_paging *p, const char *one, const char *many);

/* ---- what goes with a device, a member or a policy ---- */

/* "3 devices lose the policy: 3 certificates are revoked, 1 request is cancelled, 2 challenges become void" */
void ctl_effects_text(const struct fleet_effects *e, const char *lose, char *out, size_t cap);
/* Asks by the ladder: nothing where nothing is lost, y/N for one device, the number for many. */
int ctl_effects_confirm(struct ctl *ctl, const struct fleet_effects *plan, const char *question);
/* To be given as `step` and `ctx` of the effects: shows progress, and stops after Ctrl-C. */
struct ctl_progress {
    const struct ctl *ctl;
    const char *what;         /* "devices" */
    int64_t began, told;      /* milliseconds */
    bool line;                /* one stands on the terminal */
};
struct ctl_progress ctl_progress_start(const struct ctl *ctl, const char *what);
/* `of` 0: not known.  A line with bar, count, rate and time left after half a second; where no terminal is, one every ten. */
void ctl_progress_show(struct ctl_progress *p, uint64_t done, uint64_t of);
void ctl_progress_end(struct ctl_progress *p);

/* Device, group or policy: attempts and audit entries, newest first. */
int ctl_history(struct ctl *ctl, const struct ctl_args *a, const struct ctl_fleet *f, const char *id);
