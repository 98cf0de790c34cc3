/* Devices, groups and policies: who is to have which certificate.  The store keeps them and what ties them together; what
 * a change means for certificates, requests and challenges is decided in fleet/, whether a request may have what its policy
 * says in enroll/.
 *
 * Ids are given by the caller ("dev_4h7t2m", "grp_...", "pol_..."), as for challenges.  Names are unique among their kind, A to
 * Z being the same as a to z.  A record's `version` counts its administrative changes: who changes it says which one it has
 * seen, and is refused with ERR_CONFLICT when somebody was quicker.  Ties (members, assignments) do not count as changes of
 * a record: adding what is there is ERR_EXISTS, removing what is not ERR_NOT_FOUND.
 *
 * As in store.h the verbs of a write check before they change: a precondition that is broken poisons nothing.  Lists are
 * those of page.h: struct store_page says where to go on, and whether to read inside a write. */
#pragma once

#include "store/page.h"
#include "store/store.h"

/* ---- devices ---- */

enum device_state {
    DEVICE_ACTIVE = 0,
    DEVICE_ISOLATED = 1, /* renews what it has, gets nothing new */
    DEVICE_RETIRED = 2,  /* gets nothing any more */
};
#define DEVICE_STATES 3

struct store_device {
    char id[32];                       /* "dev_4h7t2m" */
    char name[128];
    enum device_state state;
    char platform[16];                 /* apple windows android chromeos network linux other, or "" */
    char serial_number[64], udid[64];  /* "" not known; two devices may say the same */
    char user[128];                    /* log-in or UPN */
    char email[128];
    char host[128];                    /* fully qualified */
    int64_t created_at, changed_at;    /* Unix seconds */
    int64_t seen_at;                   /* when it enrolled, renewed, polled or was refused last; 0: never.  Behind by up to a minute */
    char created_by[64];
    uint64_t version;                  /* from 1; not moved by seen_at */
};
/* Version and times as given, version 1 when it is 0.  ERR_EXISTS: by its name, or its id. */
bool store_device_put(struct store_write *w, const struct store_device *d, struct err *err);
/* Replaces all but id, created_at, created_by and seen_at, if its version is `expected`, and makes it one more, which *d gets
 * too.  ERR_CONFLICT: the version is another; ERR_EXISTS: the new name is another's; ERR_NOT_FOUND. */
bool store_device_replace(struct store_write *w, struct store_device *d, uint64_t expected, struct err *err);
/* Moves seen_at if that is a minute or more later; no change of the version. */
bool store_device_seen(struct store_write *w, const char *id, int64_t at, struct err *err);
/* An id, the beginning of one (4 characters behind dev_ or more), or a name; whole ids go before names.  ERR_NOT_FOUND, or
 * ERR_CONFLICT when several ids begin so. */
bool store_device_get(struct store *s, const char *id_or_name, struct store_device *out, struct err *err);
bool store_write_device_get(struct store_write *w, const char *id_or_name, struct store_device *out, struct err *err);
/* By enum device_state.  Cheap. */
bool store_device_counts(struct store *s, uint64_t out[DEVICE_STATES], struct err *err);

struct store_device_filter {
    const char *text;                  /* NULL: all; else the beginning of a name or of a serial number, any case.  Exact */
    int state;                         /* enum device_state or -1 */
    const char *platform;              /* NULL: any */
    const char *serial_number;         /* whole, any case; has an index */
    const char *user;                  /* whole, any case; has an index */
    const char *group;                 /* id: members, and devices of the users that are members; has an index */
    const char *policy;                /* id: those that have it by whichever way; has an index */
};
/* By name; by device behind user, serial number or group where those are the way to them.  No device twice.  One of text, serial_number,
 * user, group, policy leads (the last of these that is set); the others are filters. */
bool store_device_page(struct store *s, const struct store_device_filter *f, struct store_page *page,
                       void (*each)(void *ctx, const struct store_device *d), void *ctx, struct err *err);
/* A device that is retired is forgotten, with its ties.  Certificates, attempts and the audit log keep its id.
 * ERR_CONFLICT: it is not retired. */
bool store_device_forget(struct store_write *w, const char *id, struct err *err);

/* ---- groups ---- */

struct store_group {
    char id[32];                       /* "grp_..." */
    char name[64];
    bool users;                        /* its members are users (struct store_device: user), not devices; fixed */
    char note[256];
    int64_t created_at, changed_at;
    char created_by[64], changed_by[64];
    uint64_t version;
};
bool store_group_put(struct store_write *w, const struct store_group *g, struct err *err);
/* Replaces name, note, changed_at and changed_by; otherwise as store_device_replace. */
bool store_group_replace(struct store_write *w, struct store_group *g, uint64_t expected, struct err *err);
bool store_group_get(struct store *s, const char *id_or_name, struct store_group *out, struct err *err);
bool store_write_group_get(struct store_write *w, const char *id_or_name, struct store_group *out, struct err *err);
/* By name.  `text`: the beginning of a name, any case; NULL: all. */
bool store_group_page(struct store *s, const char *text, struct store_page *page,
                      void (*each)(void *ctx, const struct store_group *g), void *ctx, struct err *err);
/* Takes its ties away, 1000 a call at most, assignments first, and then the group: *done tells.  What was taken away is
 * remembered as when it is removed one by one. */
bool store_group_delete(struct store_write *w, const char *id, const char *by, int64_t at, bool *done, struct err *err);

/* `member`: the id of a device, or the name of a user, as the group has it; users in any case.  ERR_NOT_FOUND: there is no
 * such group or device. */
bool store_group_add(struct store_write *w, const char *group, const char *member, const char *by, int64_t at,
                     struct err *err);
bool store_group_remove(struct store_write *w, const char *group, const char *member, const char *by, int64_t at,
                        struct err *err);

struct store_tie {
    char holder[32];                   /* group or policy */
    char held[128];                    /* member of the group; device or group that the policy is assigned to */
    char by[64];
    int64_t at;
};
/* Members of a group in order of id (users: of name in small letters). */
bool store_group_members(struct store *s, const char *group, struct store_page *page,
                         void (*each)(void *ctx, const struct store_tie *t), void *ctx, struct err *err);
/* Counted by walking: at most `most` are (0: any number). */
bool store_group_size(struct store *s, const char *group, uint64_t most, uint64_t *out, struct err *err);
/* The groups of a device: its own and those of its user. */
bool store_device_groups(struct store *s, const char *device, struct store_page *page,
                         void (*each)(void *ctx, const struct store_tie *t), void *ctx, struct err *err);
bool store_user_groups(struct store *s, const char *user, struct store_page *page,
                       void (*each)(void *ctx, const struct store_tie *t), void *ctx, struct err *err);

/* ---- policies ---- */

/* The numbers stand in stores. */
enum policy_challenge {
    POLICY_ONE_TIME = 0, /* made for each device with its profile */
    POLICY_STATIC = 1,   /* the endpoint's own */
    POLICY_UPSTREAM = 2, /* fetched from the endpoint's upstream */
    POLICY_NONE = 3,     /* an administrator approves */
};
#define POLICY_USAGE_SIGNING 1u
#define POLICY_USAGE_ENCRYPTION 2u

struct store_policy {
    char id[32];                       /* "pol_..." */
    char name[64];
    char endpoint[128];                /* path: with it authority and template */
    char subject[512], san[512];       /* with %wildcards% */
    enum policy_challenge challenge;
    int64_t challenge_ttl;             /* seconds */
    char key_type[8];                  /* "rsa" or "ec" */
    uint32_t key_size;                 /* bits: 1024 to 4096; 256 or 384 */
    unsigned key_usage;                /* POLICY_USAGE_... */
    char eku[256];                     /* names with commas between, "": the template's */
    uint32_t retries, retry_delay;     /* number, seconds: for the device */
    bool revoke_on_removal;            /* of policy or assignment: certificates made by it are revoked */
    bool paused;                       /* no enrolments, no renewals */
    int64_t created_at, changed_at;
    char created_by[64], changed_by[64];
    uint64_t version;
};
bool store_policy_put(struct store_write *w, const struct store_policy *p, struct err *err);
/* All but id, created_at and created_by; otherwise as store_device_replace. */
bool store_policy_replace(struct store_write *w, struct store_policy *p, uint64_t expected, struct err *err);
bool store_policy_get(struct store *s, const char *id_or_name, struct store_policy *out, struct err *err);
bool store_write_policy_get(struct store_write *w, const char *id_or_name, struct store_policy *out, struct err *err);
/* By name. */
bool store_policy_page(struct store *s, const char *text, struct store_page *page,
                       void (*each)(void *ctx, const struct store_policy *p), void *ctx, struct err *err);
/* As store_group_delete. */
bool store_policy_delete(struct store_write *w, const char *id, const char *by, int64_t at, bool *done, struct err *err);

/* `target`: id of a device or of a group.  ERR_NOT_FOUND: there is no such policy or target. */
bool store_policy_assign(struct store_write *w, const char *policy, const char *target, const char *by, int64_t at,
                         struct err *err);
bool store_policy_unassign(struct store_write *w, const char *policy, const char *target, const char *by, int64_t at,
                           struct err *err);
/* What it is assigned to: devices, then groups, in order of id. */
bool store_policy_targets(struct store *s, const char *policy, struct store_page *page,
                          void (*each)(void *ctx, const struct store_tie *t), void *ctx, struct err *err);
/* The policies that a group was given. */
bool store_group_policies(struct store *s, const char *group, struct store_page *page,
                          void (*each)(void *ctx, const struct store_tie *t), void *ctx, struct err *err);

/* ---- by which way a device has a policy ---- */

enum store_way {
    WAY_NONE,       /* it has not */
    WAY_DEVICE,     /* assigned to it */
    WAY_GROUP,      /* to a group of devices in which it is */
    WAY_USER_GROUP, /* to a group of users in which its user is */
};
struct store_reach {
    enum store_way way;                /* the first of the ways there are */
    char policy[32];
    char group[32], group_name[64];    /* of the last two */
    char by[64];                       /* who assigned it; with WAY_NONE: who took it away last, */
    int64_t at;                        /* and when.  "" and 0: nobody, or it is forgotten */
};
/* Policy and device by their whole ids.  That neither exists is no error: WAY_NONE. */
bool store_policy_reach(struct store *s, const char *policy, const char *device, struct store_reach *out, struct err *err);
bool store_write_policy_reach(struct store_write *w, const char *policy, const char *device, struct store_reach *out,
                              struct err *err);
/* Every policy that a device has, once each, in order of id. */
bool store_device_policies(struct store *s, const char *device, struct store_page *page,
                           void (*each)(void *ctx, const struct store_reach *r), void *ctx, struct err *err);
