/* What the files of devices, groups and policies share. */
#pragma once

#include "records.h"
#include "store/fleet.h"

/* One of the three kinds of records with an id and a unique name. */
struct fleet_kind {
    enum table table;
    char letter;          /* in the table of names */
    const char *prefix;   /* of ids: 4 octets */
    const char *what;
};
extern const struct fleet_kind kind_device, kind_group, kind_policy;

/* Keys of the table of names: of a whole name, which is unique; of the devices that have a serial number or a user. */
#define NAME_SERIAL 's'
#define NAME_USER 'u'
struct key name_key(char letter, const char *name);   /* also what begins so */
struct key handle_key(char letter, const char *value, const char *id); /* id "": all that have it */

/* By an id, the beginning of one, or a name.  ERR_NOT_FOUND, ERR_CONFLICT. */
bool fleet_find(struct txn *t, const struct fleet_kind *kind, const char *id_or_name, struct view *record,
                struct err *err);
/* By the whole id; record->p NULL: there is none. */
bool fleet_at(struct txn *t, const struct fleet_kind *kind, const char *id, struct view *record, struct err *err);
/* Is the id well formed, and are id and name free?  ERR_STORE, ERR_EXISTS. */
bool fleet_free(struct txn *t, const struct fleet_kind *kind, const char *id, const char *name, struct err *err);
/* ERR_EXISTS when another has the name. */
bool name_free(struct txn *t, const struct fleet_kind *kind, const char *id, const char *name, struct err *err);
bool name_move(struct txn *t, const struct fleet_kind *kind, const char *id, const char *was, const char *is,
               struct err *err); /* each NULL: none */
/* ERR_CONFLICT unless the versions are equal. */
bool version_is(const struct fleet_kind *kind, const char *name, uint64_t now, uint64_t expected, struct err *err);

bool device_read(struct view record, struct store_device *out, struct err *err);
bool group_read(struct view record, struct store_group *out, struct err *err);
bool policy_read(struct view record, struct store_policy *out, struct err *err);
/* Its record, names and ties. */
bool device_forget(struct txn *t, const struct store_device *d, struct err *err);
/* By the whole id; ERR_NOT_FOUND. */
bool device_at(struct txn *t, const char *id, struct store_device *out, struct err *err);
bool group_at(struct txn *t, const char *id, struct store_group *out, struct err *err);
bool policy_at(struct txn *t, const char *id, struct store_policy *out, struct err *err);

/* ---- ties ---- */

struct key tie_prefix(const char *holder);
struct key tie_key(const char *holder, const char *held);
/* `user`: the name of a user, not an id. */
struct key tie_of_prefix(bool user, const char *held);
struct key tie_of_key(bool user, const char *held, const char *holder);
/* The part of a tie's key behind holder or held, as text; false: it is damaged. */
bool tie_rest(struct view key, size_t prefix, char *out, size_t cap);
bool tie_read(struct view key, struct view value, struct store_tie *out, struct err *err);
/* Who did it is remembered, unless `by` is NULL. */
bool tie_cut(struct txn *t, bool user, const char *holder, const char *held, const char *by, int64_t at, struct err *err);
/* Takes away what a holder holds, or what holds a device or a group: `most` at most, as tie_cut.  *cut tells how many. */
bool ties_cut(struct txn *t, const char *holder, bool users, size_t most, const char *by, int64_t at, size_t *cut,
              struct err *err);
bool ties_of_cut(struct txn *t, const char *held, size_t most, const char *by, int64_t at, size_t *cut, struct err *err);

/* The first target, in order of id, by which a device has a policy: "" if it has it not. */
bool reach_target(struct txn *t, const char *policy, const struct store_device *d, char target[32], bool *users,
                  struct err *err);
/* store_policy_reach in a transaction. */
bool reach_at(struct txn *t, const char *policy, const char *device, struct store_reach *out, struct err *err);
/* Are the counts those of the records? */
bool device_counts_same(struct txn *t, bool *same, struct err *err);
