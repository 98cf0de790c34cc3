/* May this device have a certificate by this policy, now?  Asked where a challenge is made, when a request is decided, and
 * again in the write that stores what was decided, so that whoever takes a policy away in between wins. */
#pragma once

#include "pkcs7/pubkey.h"
#include "store/fleet.h"

enum assigned_for {
    ASSIGNED_ENROL, /* something new: also for making a challenge */
    ASSIGNED_RENEW, /* what the device has: an isolated one may */
};

struct assigned {
    bool has_device, has_policy;
    struct store_device device;
    struct store_policy policy;
    struct store_reach reach; /* with both */
};

/* `device`, `policy`: whole ids, "" none; with neither nothing is asked.  A device must be there and may be neither retired nor
 * (for ASSIGNED_ENROL) isolated; a policy must be there and not paused, and reach the device.  ERR_REFUSED with device.unknown,
 * device.retired, device.isolated, policy.paused, and policy.unassigned or renewal.unassigned. */
bool assigned_check(struct store *s, const char *device, const char *policy, enum assigned_for what, struct assigned *out,
                    struct err *err);
/* The same inside a write. */
bool assigned_check_in(struct store_write *w, const char *device, const char *policy, enum assigned_for what,
                       struct assigned *out, struct err *err);
/* Is the key of the type that the policy says, and no smaller?  ERR_REFUSED with key.type, key.small. */
bool assigned_key(const struct store_policy *policy, const struct pubkey *key, struct err *err);
