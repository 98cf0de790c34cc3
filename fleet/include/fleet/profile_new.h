/* One profile for one device by one policy, with its challenge: what administrators ask for by the API and by scepctl. */
#pragma once

#include "fleet/fleet.h"
#include "fleet/profile.h"

/* Fetches a challenge from the upstream of that name (struct config_upstream) into `secret`, NUL-terminated; only asked where
 * the policy says so, and when everything else is in order. */
typedef bool (*fleet_fetch)(void *ctx, const char *upstream, char *secret, size_t cap, struct err *err);

struct fleet_profile_wish {
    enum profile_kind kind;
    const char *device;                /* id, its beginning, or name; NULL for kinds without one (profile_kind_has_device) */
    const char *policy;                /* NULL: the only one that the device has */
    int64_t ttl;                       /* of the challenge, seconds; 0: the policy's */
    const struct config_rooms *rooms;  /* the authorities as they serve; NULL: their files are read */
    fleet_fetch fetch;                 /* NULL: no policy with challenges of an upstream */
    void *ctx;
};

struct fleet_profile {
    struct profile_file file;          /* its content is the secret part */
    struct store_policy policy;
    struct store_device device;        /* id "" without one */
    char challenge[32];                /* id of the challenge that was made; "": none was */
    int64_t expires_at;                /* of it; 0: none, or never */
};
void fleet_profile_clear(struct fleet_profile *p);

/* The challenge and its audit entries are stored if and only if the file could be made.  Errors as in fleet.h;
 * REASON_PROFILE_UNFIT in addition. */
bool fleet_profile_new(const struct fleet *f, const struct fleet_profile_wish *wish, struct fleet_profile *out, struct err *err);
