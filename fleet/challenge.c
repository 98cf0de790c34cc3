/* What a device gets by a policy: its names, and a challenge that is good for them alone. */
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "enroll/assigned.h"
#include "fleet_internal.h"

/* ---- names ---- */

struct only {
    size_t n;
    char id[32];
};

static void note_group(void *ctx, const struct store_tie *t)
{
    struct only *only = ctx;
    only->n++;
    memcpy(only->id, t->holder, sizeof only->id);
}

static bool only_group(const struct fleet *f, struct store_write *w, const char *device,
                       char group[64], struct err *err)
{
    struct only only = {0};
    struct store_group g;
    struct store_page page = {.limit = 2, .in = w};
    if (!store_device_groups(f->store, device, &page, note_group, &only, err))
        return false;
    group[0] = '\0';
    if (only.n > 1)
        return err_set(
            err, ERR_CONFIG,
            "%%group%% could be any of several: the device is in more than one group and has "
            "the policy by none of them");
    if (only.n == 1 && !fleet_group_in(f, w, only.id, &g, err))
        return false;
    if (only.n == 1)
        memcpy(group, g.name, sizeof g.name);
    return true;
}

bool fleet_uses_group(const struct store_policy *p)
{
    return fleet_pattern_uses(p->subject, p->san) & 1u << FLEET_GROUP;
}

bool fleet_group_of(const struct fleet *f, struct store_write *w, const struct store_policy *p,
                    const struct store_device *d, char group[64], struct err *err)
{
    struct store_reach reach;
    group[0] = '\0';
    if (!fleet_uses_group(p))
        return true;
    if (!fleet_reach_in(f, w, p->id, d->id, &reach, err))
        return false;
    if (reach.way == WAY_GROUP || reach.way == WAY_USER_GROUP) {
        memcpy(group, reach.group_name, sizeof reach.group_name);
        return true;
    }
    return only_group(f, w, d->id, group, err) || err_prefix(err, "device %.64s", d->name);
}

static struct fleet_values values_of(const struct store_policy *p, const struct store_device *d,
                                     const char *group)
{
    return (struct fleet_values){.value = {[FLEET_DEVICENAME] = d->name,
                                           [FLEET_SERIALNUMBER] = d->serial_number,
                                           [FLEET_UDID] = d->udid,
                                           [FLEET_USER] = d->user,
                                           [FLEET_EMAIL] = d->email,
                                           [FLEET_HOST] = d->host,
                                           [FLEET_GROUP] = group,
                                           [FLEET_POLICY] = p->name}};
}

bool fleet_names_by(const struct fleet *f, struct store_write *w, const struct store_policy *p,
                    const struct store_device *d, const char *group, struct fleet_names *out,
                    struct err *err)
{
    const struct fleet_values v = values_of(p, d, group);
    return fleet_names_fill(p->subject, p->san, &v, out, err) ||
           err_prefix(err, "device %.64s", d->name);
}

static bool names_in(const struct fleet *f, struct store_write *w, const struct store_policy *p,
                     const struct store_device *d, struct fleet_names *out, struct err *err)
{
    char group[64];
    return fleet_group_of(f, w, p, d, group, err) && fleet_names_by(f, w, p, d, group, out, err);
}

bool fleet_names(const struct fleet *f, const struct store_policy *p, const struct store_device *d,
                 struct fleet_names *out, struct err *err)
{
    return names_in(f, NULL, p, d, out, err);
}

bool fleet_names_parts(const struct fleet *f, const struct store_policy *p,
                       const struct store_device *d, struct name *subject, struct san *san,
                       struct err *err)
{
    char group[64];
    if (!fleet_group_of(f, NULL, p, d, group, err))
        return false;
    const struct fleet_values v = values_of(p, d, group);
    return fleet_names_build(p->subject, p->san, &v, subject, san, err) ||
           err_prefix(err, "device %.64s", d->name);
}

/* ---- may it have one? ---- */

struct only_policy {
    char policy[32];
    size_t n;
};

static void note_policy(void *ctx, const struct store_reach *r)
{
    struct only_policy *o = ctx;
    o->n++;
    memcpy(o->policy, r->policy, sizeof o->policy);
}

/* Without a policy's name: the only one that the device has. */
static bool policy_for(const struct fleet *f, struct store_write *w, const char *which,
                       const struct store_device *d, struct store_policy *p, struct err *err)
{
    struct only_policy only = {.n = 0};
    struct store_page page = {.limit = 2, .in = w};
    if (which)
        return fleet_policy_in(f, w, which, p, err);
    if (!store_device_policies(f->store, d->id, &page, note_policy, &only, err))
        return false;
    if (only.n == 0)
        return err_refuse(err, REASON_POLICY_UNASSIGNED, "device %.64s has no policy", d->name);
    if (only.n > 1)
        return err_set(err, ERR_CONFIG, "policy: device %.64s has several, say which", d->name);
    return fleet_policy_in(f, w, only.policy, p, err);
}

static bool standing(struct store_write *w, const struct store_device *d,
                     const struct store_policy *p, struct err *err)
{
    struct assigned may;
    return assigned_check_in(w, d->id, p->id, ASSIGNED_ENROL, &may, err);
}

static bool made_here(const struct store_policy *p, struct err *err)
{
    static const char *const instead[] = {
        [POLICY_ONE_TIME] = "",
        [POLICY_STATIC] = "the static challenge of its endpoint is for all devices",
        [POLICY_UPSTREAM] = "they are fetched from the upstream authority",
        [POLICY_NONE] = "an administrator approves its requests"};
    return p->challenge == POLICY_ONE_TIME ||
           err_set(err, ERR_CONFLICT, "policy %s has no challenges to be made: %s", p->name,
                   instead[p->challenge]);
}

bool fleet_entitled(const struct fleet *f, const char *device, const char *policy,
                    struct store_device *d, struct store_policy *p, struct err *err)
{
    struct assigned may;
    return fleet_device_in(f, NULL, device, d, err) && policy_for(f, NULL, policy, d, p, err) &&
           assigned_check(f->store, d->id, p->id, ASSIGNED_ENROL, &may, err);
}

/* Another device's certificate with this subject: the two would be taken for one. */
static bool subject_free(const struct fleet *f, struct store_write *w, const struct store_policy *p,
                         const struct store_device *d, const struct name *subject,
                         const char *template_name, struct err *err)
{
    uint8_t hash[STORE_HASH];
    struct store_cert c = {0};
    struct err why = {0};
    struct store_device other;
    if (!name_hash(subject, hash, err))
        return false;
    if (!(w ? store_write_cert_of_subject(w, hash, template_name, f->now, 0, &c, &why)
            : store_cert_of_subject(f->store, hash, template_name, f->now, 0, &c, &why))) {
        if (why.kind == ERR_NOT_FOUND)
            return true;
        *err = why;
        return false;
    }
    bool ok = !c.device[0] || strcmp(c.device, d->id) == 0;
    if (!ok) {
        bool known = fleet_device_in(f, w, c.device, &other, &why);
        err_set(err, ERR_EXISTS,
                "by policy %s devices %.64s and %.64s would have the same subject, %.100s", p->name,
                known ? other.name : c.device, d->name, c.subject);
    }
    store_cert_clear(&c);
    return ok;
}

bool fleet_subject_free(const struct fleet *f, struct store_write *w, const struct store_policy *p,
                        const struct store_device *d, const char *group, struct err *err)
{
    const struct fleet_values v = values_of(p, d, group);
    const struct template *t = fleet_template(f, p);
    struct name subject = {0};
    struct san san = {0};
    bool ok = fleet_names_build(p->subject, p->san, &v, &subject, &san, err) &&
              subject_free(f, w, p, d, &subject, t ? t->name : "", err);
    name_clear(&subject);
    san_clear(&san);
    return ok;
}

/* ---- the challenge ---- */

void fleet_challenge_wipe(struct fleet_challenge *c)
{
    OPENSSL_cleanse(c->secret, sizeof c->secret);
}

static bool make(const struct fleet *f, struct store_write *w,
                 const struct fleet_challenge_wish *wish, struct fleet_challenge *c,
                 struct err *err)
{
    const struct config_endpoint *e = fleet_endpoint(f, &c->policy);
    char until[32];
    if (!e)
        return err_set(err, ERR_CONFLICT, "policy %s is for endpoint %s, which is not configured",
                       c->policy.name, c->policy.endpoint);
    if (e->upstream[0])
        return err_set(err, ERR_CONFLICT,
                       "endpoint %s hands everything on to upstream %s, which knows none of our "
                       "challenges: policy %s must have those of the upstream",
                       e->path, e->upstream, c->policy.name);
    const struct challenge_wish w2 = {.ttl = wish->ttl ? wish->ttl : c->policy.challenge_ttl,
                                      .uses = 1,
                                      .endpoint = e->path,
                                      .template_name = e->template_name,
                                      .subject = c->names.subject_binding,
                                      .san = c->names.san_binding,
                                      .label = c->device.name,
                                      .created_by = f->actor,
                                      .device = c->device.id,
                                      .policy = c->policy.id,
                                      .secret = wish->secret,
                                      .hex = wish->hex,
                                      .now = f->now};
    if (!challenge_add(w, f->key, &w2, c->secret, &c->record, err))
        return false;
    text_time(c->record.expires_at, until);
    return fleet_audit(f, w, err, "device.challenge", c->device.id,
                       "%s by policy %s (%s), until %s", c->record.id, c->policy.id, c->policy.name,
                       until);
}

bool fleet_challenge_add(const struct fleet *f, struct store_write *w,
                         const struct fleet_challenge_wish *wish, struct fleet_challenge *out,
                         struct err *err)
{
    struct fleet_challenge c = {.secret = ""};
    char group[64];
    if (!f->key)
        return err_set(err, ERR_CONFIG, "no challenge can be made without the challenge key");
    if (!fleet_device_in(f, w, wish->device, &c.device, err) ||
        !policy_for(f, w, wish->policy, &c.device, &c.policy, err) ||
        !standing(w, &c.device, &c.policy, err) || !made_here(&c.policy, err) ||
        !fleet_group_of(f, w, &c.policy, &c.device, group, err) ||
        !fleet_names_by(f, w, &c.policy, &c.device, group, &c.names, err))
        return false;
    bool ok =
        fleet_subject_free(f, w, &c.policy, &c.device, group, err) && make(f, w, wish, &c, err);
    if (ok)
        *out = c;
    fleet_challenge_wipe(&c);
    return ok;
}

bool fleet_challenge_new(const struct fleet *f, const struct fleet_challenge_wish *wish,
                         struct fleet_challenge *out, struct err *err)
{
    struct store_write *w = NULL;
    struct fleet_challenge c = {.secret = ""};
    bool ok = store_write_begin(f->store, &w, err) &&
              fleet_finish(w, fleet_challenge_add(f, w, wish, &c, err), err);
    if (ok)
        *out = c;
    fleet_challenge_wipe(&c);
    return ok;
}
