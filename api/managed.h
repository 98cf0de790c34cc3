/* What the calls about devices, groups and policies share. */
#pragma once

#include "fleet/fleet.h"
#include "resources.h"

/* Who acts, on what. */
struct fleet api_fleet(const struct api_call *c);
/* An error of fleet/: one that names a member of the body ("subject: ...") becomes a fault of that member.  For a handler's end:
 * `ok`, or what it has to return. */
bool api_fleet_done(struct api_call *c, bool ok, struct err *err);
/* Copies a member of the body over `field` when the body has it; null and "" empty it. */
void api_take_text(const struct api_call *c, const char *name, char *field, size_t cap);

/* For lists by name: ?q= is where a name begins. */
extern const struct api_member api_name_query[];

json_t *api_device_json(const struct store_device *d);
json_t *api_policy_json(const struct store_policy *p);
extern const struct api_member api_policy_members[];

/* What a removal took with it. */
extern const struct api_member api_effects_members[], api_removed_members[];
/* Where to count what goes in several writes: of a call that is refused after some of them the problem document tells it. */
struct fleet_effects *api_went(struct api_call *c);
bool api_set_effects(json_t *o, const struct fleet_effects *e);
#define API_STAY_HELP "Certificates that stay good, since they were made for a device's subject without its policy."
bool api_set_warnings(json_t *o, const struct fleet_warnings *w); /* NULL: there are none */
/* Answers with nothing but that: api_removed_members. */
void api_reply_effects(struct api_call *c, const struct fleet_effects *e, const struct fleet_warnings *stay);

/* Who made an item and who changed it last. */
#define STAMP_MEMBERS                                          \
    TIME("created_at", API_REQUIRED, "When it was made."),     \
    TEXT("created_by", NULLABLE, "Who made it."),              \
    TIME("changed_at", NULLABLE, "When it was changed last."), \
    TEXT("changed_by", NULLABLE, "Who changed it.")
bool api_set_stamps(json_t *o, int64_t created_at, const char *created_by, int64_t changed_at, const char *changed_by);

/* The history of a device, group or policy by its whole id. */
bool api_history_reply(struct api_call *c, const char *id, struct err *err);
