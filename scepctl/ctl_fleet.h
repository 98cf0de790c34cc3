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
/* The name as somebody types it, or `id` where a shell would want it quoted. */
const char *ctl_plain_name(const char *id, const char *name);
int ctl_find_group(struct ctl *ctl, const struct ctl_fleet *f, const char *which, struct store_group *out);
int ctl_find_policy(struct ctl *ctl, const struct ctl_fleet *f, const char *which, struct store_policy *out);

/* --new-device: one that is not there yet is made, and gets the policy. */
int ctl_make_device(struct ctl *ctl, const struct ctl_fleet *f, const char *device, const char *policy);

/* Copies the value of a flag, if it was given. */
int ctl_arg_text(struct ctl *ctl, const struct ctl_args *a, const char *name, char *to, size_t cap);
/* The same for the name that stands as an argument. */
int ctl_name_text(struct ctl *ctl, const char *name, char *to, size_t cap);

/* ---- lists ---- */

/* A list that is read page by page until --limit of it are shown. */
struct ctl_listing {
    struct ctl *ctl;
    const struct ctl_args *args;
    const void *of;           /* what the caller lists: its filter, the group whose members they are */
    struct ctl_list *list;
    int64_t limit;            /* 0: none */
    uint64_t shown;
    bool more;
};
/* --limit; 50 when it was not given. */
int ctl_listing_limit(struct ctl_listing *l);
/* One row, counted. */
void ctl_listing_row(struct ctl_listing *l, const struct ctl_cell *cells);
/* Shows them all: `page` reads one page and calls ctl_listing_row for each. */
int ctl_listing_show(struct ctl_listing *l, const struct ctl_column *columns, size_t n,
                     bool (*page)(struct ctl_listing *l, struct store_page *page, struct err *err),
                     const char *one, const char *many);

/* "laptops, phones (by group sales)" */
struct ctl_words {
    char text[1024];
    size_t n;
};
void ctl_words_add(struct ctl_words *w, const char *word, const char *more);

/* The columns of a list as the lines of one thing. */
void ctl_show_cells(struct ctl_show *s, const struct ctl_column *columns, size_t n, const struct ctl_cell *cells);
/* What was made: prints its id, or begins to show it to a program (true: the caller fills and ends `s`). */
bool ctl_show_made(struct ctl_show *s, struct ctl *ctl, const char *id);

/* ---- what goes with a device, a member or a policy ---- */

/* "3 devices lose the policy: 3 certificates are revoked, 1 request is cancelled, 2 challenges become void" */
void ctl_effects_text(const struct fleet_effects *e, const char *lose, char *out, size_t cap);
/* Asks by the ladder: nothing where nothing is lost, y/N for one device, the number for many. */
int ctl_effects_confirm(struct ctl *ctl, const struct fleet_effects *plan, const char *question);
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

void ctl_warn(const struct ctl *ctl, const struct fleet_warnings *w);
/* What is about to go: "would remove group sales: 3 devices would lose a policy: ..." */
void ctl_plan_note(const struct ctl *ctl, const struct fleet_effects *plan, const char *what, const char *lose);
/* Challenges that are void since what they were bound to is called otherwise. */
void ctl_void_note(const struct ctl *ctl, const struct fleet_effects *e);
/* Takes it away with progress and until Ctrl-C: `begin` gives the effects for the verb, `end` says how it came out. */
struct ctl_taking {
    struct ctl *ctl;
    struct ctl_progress progress;
    uint64_t of;              /* 0: not known */
};
struct fleet_effects ctl_taking_begin(struct ctl_taking *t, struct ctl *ctl, uint64_t of);
/* `failed` NULL: it was done; "removed group sales: 3 devices lost a policy: ..." */
int ctl_taking_end(struct ctl_taking *t, const struct err *failed, const struct fleet_effects *done,
                   const char *what, const char *lost);

/* Device, group or policy: attempts and audit entries, newest first. */
int ctl_history(struct ctl *ctl, const struct ctl_args *a, const struct ctl_fleet *f, const char *id);
