/* The fleet: devices, groups and policies (which device is to have which certificate), and what administrators do with them.
 * For the API, the console's questions and scepctl alike: they ask here and nowhere else.
 *
 * Every verb is one write of the store: everything is checked first, then changed together with its audit entry.  `version` is what
 * the caller believes the record's version to be (If-Match); 0: whatever it is.  What takes certificates, requests or
 * challenges away goes on in further writes of bounded size (struct fleet_effects), after the first one has made sure that
 * nothing new is issued; called again after an interruption it goes on.  What would leave challenges bound to old names (another name of
 * a group, another subject of a policy) voids them so before it changes anything.
 *
 * Errors: ERR_CONFIG, a value that cannot be (the text begins with its member: "name: ..."); ERR_NOT_FOUND, no such thing;
 * ERR_EXISTS, the name is taken, or two devices would get one subject; ERR_CONFLICT, another version, or not in a state for this, or a
 * prefix that several ids have; ERR_REFUSED, with a reason of the one list.  Others are faults of ours.
 *
 * Things are named by id, the beginning of an id or their name (any case).  Any thread. */
#pragma once

#include "config/config.h"
#include "enroll/challenge.h"
#include "fleet/names.h"
#include "store/fleet.h"
#include "store/store.h"

/* Who does something, when, and where.  All borrowed. */
struct fleet {
    struct store *store;
    const struct config *config;         /* endpoints and templates */
    const struct challenge_key *key;     /* NULL: no challenges can be made */
    const char *actor;                   /* for the audit log */
    int64_t now;                         /* Unix seconds */
};

/* What an administrator should read, though it was done. */
#define FLEET_WARNINGS 4
struct fleet_warnings {
    size_t n;
    char text[FLEET_WARNINGS][256];
};

/* What a removal takes with it. */
struct fleet_effects {
    bool dry_run;                        /* in: count, change nothing */
    /* in, or NULL: called after each write with what was done so far; false stops there, and `stopped` tells */
    bool (*step)(void *ctx, const struct fleet_effects *so_far);
    void *ctx;
    uint64_t devices;                    /* that lose the policy, having it by no other way */
    uint64_t certificates;               /* revoked */
    uint64_t requests;                   /* cancelled */
    uint64_t challenges;                 /* void */
    bool stopped;
};

/* ---- devices ---- */

bool fleet_device_get(const struct fleet *f, const char *which, struct store_device *out, struct err *err);
/* In: what it shall be (name, platform, serial_number, udid, user, email, host); out: the whole record. */
bool fleet_device_new(const struct fleet *f, struct store_device *d, struct err *err);
/* The same inside a write of the caller, for making many at once. */
bool fleet_device_add(const struct fleet *f, struct store_write *w, struct store_device *d, struct err *err);
/* In: as it shall be, with its id.  When names change, its open challenges, which are bound to the old ones, are void; with
 * another user a device can lose policies that a group of users gave it, and then what it got by those goes, in the same write.
 * `e`: NULL, or what went. */
bool fleet_device_edit(const struct fleet *f, uint64_t version, struct store_device *d, struct fleet_effects *e,
                       struct err *err);
/* It may renew and enrols nothing new; release ends that.  `note` may be "". */
bool fleet_device_isolate(const struct fleet *f, const char *which, uint64_t version, const char *note, struct store_device *out,
                          struct err *err);
bool fleet_device_release(const struct fleet *f, const char *which, uint64_t version, const char *note, struct store_device *out,
                          struct err *err);
/* For good: its certificates are revoked (cessation), its requests cancelled, its challenges void, its name free.  One that
 * is retired already: what was left over goes, ERR_CONFLICT when that is nothing. */
bool fleet_device_retire(const struct fleet *f, const char *which, uint64_t version, const char *note, struct fleet_effects *e,
                         struct store_device *out, struct err *err);

/* ---- groups: of devices, or of users (whose devices count) ---- */

bool fleet_group_get(const struct fleet *f, const char *which, struct store_group *out, struct err *err);
bool fleet_group_new(const struct fleet *f, struct store_group *g, struct err *err);          /* in: name, users, note */
bool fleet_group_add(const struct fleet *f, struct store_write *w, struct store_group *g, struct err *err);
/* Name, note.  With another name, open challenges that name the group (%group%) are void first, in further writes: interrupted, it is
 * called as it was.  `e`: NULL, or what went; e->stopped: the same, *g is as it was. */
bool fleet_group_edit(const struct fleet *f, uint64_t version, struct store_group *g, struct fleet_effects *e, struct err *err);
/* Devices that had a policy by this group alone lose it. */
bool fleet_group_remove(const struct fleet *f, const char *which, uint64_t version, struct fleet_effects *e, struct err *err);
/* `member`: a device; for a group of users a user's name.  Adding one that is in, or taking out one that is not, changes nothing
 * (*changed).  Either way challenges go that are bound to another %group% than the policy gives the device then: *e. */
bool fleet_member_add(const struct fleet *f, const char *group, uint64_t version, const char *member, struct fleet_effects *e,
                      bool *changed, struct err *err);
/* The same inside a write of the caller, who sees to the challenges. */
bool fleet_member_add_in(const struct fleet *f, struct store_write *w, const struct store_group *g, const char *member,
                         bool *changed, struct err *err);
bool fleet_member_remove(const struct fleet *f, const char *group, uint64_t version, const char *member, struct fleet_effects *e,
                         bool *changed, struct err *err);

/* ---- policies ---- */

bool fleet_policy_get(const struct fleet *f, const char *which, struct store_policy *out, struct err *err);
/* In: everything but id, version, created_ and changed_; endpoint may be "" when there is one only.  0 in challenge_ttl, key_size:
 * the default (1 h; 2048 or 256).  Out: the whole record.  `warn` may be NULL. */
bool fleet_policy_new(const struct fleet *f, struct store_policy *p, struct fleet_warnings *warn, struct err *err);
/* In: as it shall be, with its id.  Open challenges made for it go when subject, san, endpoint or key change: before it does, as
 * those of a group that is renamed.  `e`: NULL, or what went. */
bool fleet_policy_edit(const struct fleet *f, uint64_t version, struct store_policy *p, struct fleet_effects *e,
                       struct fleet_warnings *warn, struct err *err);
/* Its assignments go first, then what was issued by it (with revoke_on_removal), then itself. */
bool fleet_policy_remove(const struct fleet *f, const char *which, uint64_t version, struct fleet_effects *e, struct err *err);
/* `target`: a device or a group.  Refused: two devices that would get the same subject (both are named), names that cannot be
 * made for one of them, and, unless `force`, a subject without anything of the device for a group.  *changed: it was not assigned.  *e: challenges that are void, since
 * the policy gives their device another %group% now. */
bool fleet_policy_assign(const struct fleet *f, const char *policy, uint64_t version, const char *target, bool force,
                         struct fleet_warnings *warn, struct fleet_effects *e, bool *changed, struct err *err);
bool fleet_policy_assign_in(const struct fleet *f, struct store_write *w, const struct store_policy *p, const char *target_id,
                            bool *changed, struct err *err);
/* The assignment goes at once; devices that have the policy by no other way lose what they got by it.  One that is not
 * assigned: what an interruption left over goes, ERR_NOT_FOUND when that is nothing. */
bool fleet_policy_unassign(const struct fleet *f, const char *policy, uint64_t version, const char *target,
                           struct fleet_effects *e, struct err *err);

/* ---- what a device would get ---- */

/* The names that a policy gives a device, as text for people and as bindings of a challenge. */
bool fleet_names(const struct fleet *f, const struct store_policy *p, const struct store_device *d, struct fleet_names *out,
                 struct err *err);

/* The same as structures, for those who write them into profiles.  Owned by the caller: name_clear, san_clear. */
bool fleet_names_parts(const struct fleet *f, const struct store_policy *p, const struct store_device *d, struct name *subject,
                       struct san *san, struct err *err);

/* A policy held against a device, and against a request if there is one. */
#define FLEET_FINDINGS 12
struct fleet_finding {
    char what[24];                       /* "assignment", "subject", "key" ... */
    bool ok;
    char text[320];
};
struct fleet_check {
    bool ok;                             /* all are */
    size_t n;
    struct fleet_finding finding[FLEET_FINDINGS];
    struct fleet_names names;            /* when they could be made */
};
/* `csr`: PKCS#10, DER; empty: none. */
bool fleet_policy_check(const struct fleet *f, const char *policy, const char *device, struct view csr, struct fleet_check *out,
                        struct err *err);
/* All devices of a policy: calls `each` for every one whose names cannot be made, or that shares its subject with another.
 * *devices: how many there are. */
bool fleet_policy_survey(const struct fleet *f, const char *policy, bool (*each)(void *ctx, const struct store_device *d,
                         const char *problem), void *ctx, uint64_t *devices, uint64_t *problems, struct err *err);

/* ---- challenges ---- */

struct fleet_challenge {
    char secret[CHALLENGE_TEXT_MAX];     /* wipe it */
    struct store_challenge record;
    struct store_policy policy;
    struct store_device device;
    struct fleet_names names;
};
void fleet_challenge_wipe(struct fleet_challenge *c);
/* One use, bound to endpoint, template, names, device and policy.  `policy` NULL: the only one that the device has.  ttl 0: the
 * policy's.  ERR_CONFLICT: the policy's challenges are not made here (static, upstream, none).  ERR_REFUSED: device.retired,
 * device.isolated, policy.paused, policy.unassigned. */
struct fleet_challenge_wish {
    const char *device, *policy;
    int64_t ttl;
    const char *secret;                  /* as in struct challenge_wish, like the next */
    unsigned hex;
};
bool fleet_challenge_new(const struct fleet *f, const struct fleet_challenge_wish *wish, struct fleet_challenge *out,
                         struct err *err);
bool fleet_challenge_add(const struct fleet *f, struct store_write *w, const struct fleet_challenge_wish *wish,
                         struct fleet_challenge *out, struct err *err);

/* ---- what goes past a policy: certificates that neither it nor the device's retirement reaches ---- */

struct fleet_owner {
    struct store_device device;
    struct store_policy policy;          /* id "": it is gone; the device had a certificate with the subject before */
};
/* Whose subject is it?  That of a device that is not retired: by a policy that it has, or since it had a certificate with it.
 * Text as of a challenge: "CN=a,O=b", or a common name alone.  ERR_NOT_FOUND: nobody's, as far as can be seen: patterns with "*" are
 * nobody's, and 2000 devices are looked at in all: those that have the serial number or user in the subject, and then, where policies whose
 * constant parts fit build subjects of neither name, serial number nor user, 500 of each. */
bool fleet_subject_owner(const struct fleet *f, const char *subject, struct fleet_owner *out, struct err *err);
/* For who is about to make a challenge for a subject alone: warns when that is a device's. */
void fleet_subject_warn(const struct fleet *f, const char *subject, struct fleet_warnings *w);
/* An attempt that names no device, but the subject of one, gets its device and policy: for explain_fill, whose advice then
 * stays within the policy.  Others are left as they are. */
void fleet_attempt_owner(const struct fleet *f, struct store_attempt *a);
/* What goes; ids, beginnings of ids or names. */
struct fleet_leaving {
    const char *target;                  /* a device or a group; NULL: all that have the policy */
    const char *member;                  /* of the group `target`: its devices alone; NULL: all of them */
    struct view targets;                 /* in place of `target`: several, each with a NUL behind it */
    const char *policy;                  /* id; NULL: of a device all that it has, and what it ever got; of a group all that it gives */
};
/* Warns of certificates that stand, have a subject that a policy makes for a device, and were made without any: they stay when
 * the device is retired or loses the policy.  A device that keeps the policy by another way is passed over.  To be asked before it goes; of many devices the first 2000 are looked at, fewer where a group gives
 * several policies.  What could not be looked for is a warning too: it is no reason to keep a device. */
void fleet_outside(const struct fleet *f, const struct fleet_leaving *l, struct fleet_warnings *w);

/* ---- history: attempts and audit entries of a device, group or policy, newest first ---- */

struct fleet_event {
    int64_t at;
    const struct store_attempt *attempt; /* one of the two; live for the call */
    const struct store_audit *audit;
    uint64_t attempt_next, audit_next;   /* the cursor behind it */
};
struct fleet_cursor { uint64_t attempt, audit; }; /* events before these; 0, 0: from the newest */
/* `id`: a whole one (dev_, grp_, pol_); `each` returns false to stop. */
bool fleet_history(const struct fleet *f, const char *id, struct fleet_cursor from,
                   bool (*each)(void *ctx, const struct fleet_event *e), void *ctx, struct err *err);
