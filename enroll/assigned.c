#include "enroll/assigned.h"

#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "decision.h"

/* Where is read: a store, or a write. */
struct place {
    struct store *s;
    struct store_write *w; /* NULL: s */
};

/* A name that looks like an id is not meant by one. */
static bool find_device(const struct place *p, const char *id, struct store_device *out,
                        bool *found, struct err *err)
{
    struct err why = {0};
    bool got =
        p->w ? store_write_device_get(p->w, id, out, &why) : store_device_get(p->s, id, out, &why);
    *found = got && strcmp(out->id, id) == 0;
    return got || why.kind == ERR_NOT_FOUND || why.kind == ERR_CONFLICT || err_pass(err, &why);
}

static bool find_policy(const struct place *p, const char *id, struct store_policy *out,
                        bool *found, struct err *err)
{
    struct err why = {0};
    bool got =
        p->w ? store_write_policy_get(p->w, id, out, &why) : store_policy_get(p->s, id, out, &why);
    *found = got && strcmp(out->id, id) == 0;
    return got || why.kind == ERR_NOT_FOUND || why.kind == ERR_CONFLICT || err_pass(err, &why);
}

static bool device_may(const struct place *p, const char *id, enum assigned_for what,
                       struct assigned *a, struct err *err)
{
    char then[32];
    if (!find_device(p, id, &a->device, &a->has_device, err))
        return false;
    if (!a->has_device)
        return err_refuse(err, REASON_DEVICE_UNKNOWN, "there is no device %s any more", id);
    text_time(a->device.changed_at, then);
    switch (a->device.state) {
    case DEVICE_ACTIVE:
        return true;
    case DEVICE_ISOLATED:
        return what == ASSIGNED_RENEW ||
               err_refuse(err, REASON_DEVICE_ISOLATED,
                          "device %.120s is isolated (changed last %s): it may only renew",
                          a->device.name, then);
    case DEVICE_RETIRED:
        break;
    }
    return err_refuse(err, REASON_DEVICE_RETIRED, "device %.120s is retired (changed last %s)",
                      a->device.name, then);
}

/* Who took it away is told where it is known. */
static bool unassigned(const struct assigned *a, enum reason reason, struct err *err)
{
    char then[32];
    const struct store_reach *r = &a->reach;
    if (!r->at)
        return err_refuse(err, reason, "policy %.60s is not assigned to device %.120s",
                          a->policy.name, a->device.name);
    text_time(r->at, then);
    return err_refuse(err, reason,
                      "policy %.60s is not assigned to device %.100s any more: %.60s took it "
                      "away %s%s%.60s",
                      a->policy.name, a->device.name, *r->by ? r->by : "somebody", then,
                      *r->group ? ", by group " : "", *r->group_name ? r->group_name : r->group);
}

static bool policy_may(const struct place *p, const char *id, enum assigned_for what,
                       struct assigned *a, struct err *err)
{
    enum reason reason =
        what == ASSIGNED_RENEW ? REASON_RENEWAL_UNASSIGNED : REASON_POLICY_UNASSIGNED;
    char then[32];
    if (!find_policy(p, id, &a->policy, &a->has_policy, err))
        return false;
    if (!a->has_policy)
        return err_refuse(err, reason, "policy %s was removed", id);
    text_time(a->policy.changed_at, then);
    if (a->policy.paused)
        return err_refuse(err, REASON_POLICY_PAUSED, "policy %.60s is paused (%.60s, %s)",
                          a->policy.name, a->policy.changed_by, then);
    if (!a->has_device)
        return true;
    if (!(p->w ? store_write_policy_reach(p->w, id, a->device.id, &a->reach, err)
               : store_policy_reach(p->s, id, a->device.id, &a->reach, err)))
        return false;
    return a->reach.way != WAY_NONE || unassigned(a, reason, err);
}

static bool check(const struct place *p, const char *device, const char *policy,
                  enum assigned_for what, struct assigned *out, struct err *err)
{
    *out = (struct assigned){.has_device = false};
    return (!*device || device_may(p, device, what, out, err)) &&
           (!*policy || policy_may(p, policy, what, out, err));
}

bool assigned_check(struct store *s, const char *device, const char *policy, enum assigned_for what,
                    struct assigned *out, struct err *err)
{
    return check(&(struct place){.s = s}, device, policy, what, out, err);
}

bool assigned_check_in(struct store_write *w, const char *device, const char *policy,
                       enum assigned_for what, struct assigned *out, struct err *err)
{
    return check(&(struct place){.w = w}, device, policy, what, out, err);
}

bool assigned_key(const struct store_policy *policy, const struct pubkey *key, struct err *err)
{
    char text[16];
    bool ec = strcasecmp(policy->key_type, "ec") == 0;
    pubkey_text(key, text);
    if (*policy->key_type && ec != (key->type == KEY_EC))
        return err_refuse(err, REASON_KEY_TYPE, "policy %.60s wants %s, the request has %s",
                          policy->name, ec ? "EC" : "RSA", text);
    if (key->bits < policy->key_size)
        return err_refuse(err, REASON_KEY_SMALL,
                          "policy %.60s wants a key of %u bits, the request has %s", policy->name,
                          (unsigned)policy->key_size, text);
    return true;
}

/* ---- in the path of a request ---- */

static void tell(struct ask *a, const struct assigned *f, enum assigned_for what)
{
    static const char *const ways[] = {
        [WAY_NONE] = "",
        [WAY_DEVICE] = "",
        [WAY_GROUP] = " by group ",
        [WAY_USER_GROUP] = " by the users of ",
    };
    const char *still = what == ASSIGNED_RENEW ? "still " : "";
    if (f->has_device && f->has_policy)
        trail_pass(a->trail, "policy %.30s is %sassigned to %.40s%s%.30s", f->policy.name, still,
                   f->device.name, ways[f->reach.way], f->reach.group_name);
    else if (f->has_device)
        trail_pass(a->trail, "device %.80s is %s", f->device.name,
                   f->device.state == DEVICE_ISOLATED ? "isolated and may renew" : "active");
    else
        trail_pass(a->trail, "policy %.60s is not paused", f->policy.name);
}

bool ask_assigned(struct ask *a, const char *device, const char *policy, enum assigned_for what,
                  const struct pubkey *key, struct err *err)
{
    struct assigned f;
    if (!*device && !*policy)
        return true;
    trail_begin(a->trail, CHECK_ASSIGNMENT);
    if (!assigned_check(a->ctx->store, device, policy, what, &f, err) ||
        (f.has_policy && key && !assigned_key(&f.policy, key, err)))
        return false;
    tell(a, &f, what);
    memcpy(a->p->device, f.device.id, sizeof a->p->device);
    memcpy(a->p->policy, f.policy.id, sizeof a->p->policy);
    a->p->assigned_for = what;
    return true;
}
