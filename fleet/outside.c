/* Certificates with the subject of a device that were made without it: somebody made a challenge
 * for the subject alone.  They do not go with device, policy, group or member, so they are named.
 */
#include <string.h>

#include "base/hex.h"
#include "fleet_internal.h"

#define LOOKS_MOST 2000 /* at a device, for one of its policies: some tenths of a second */
#define NAMED (FLEET_WARNINGS - 1)

struct search {
    const struct fleet *f;
    const char *policy;                 /* id or NULL */
    const struct fleet_policies *given; /* by a group that goes, or NULL */
    const char *from; /* id: the policies go from this device or group; NULL: for good */
    struct fleet_warnings *w;
    struct fleet_subjects
        *seen; /* that were looked for: several devices or policies may have one */
    const struct store_device *d;      /* that is looked at */
    const char *by;                    /* policy that makes the subject; NULL: it had it once */
    enum { UNASKED, LOST, KEPT } fate; /* of the device's policy */
    uint64_t looks, found;
    bool more;
    struct err err; /* the first: what could not be looked for */
};

/* The others are looked for all the same. */
static void note_failure(struct search *s, const struct err *why)
{
    if (s->err.kind == ERR_NONE)
        s->err = *why;
}

static bool has_without(const struct search *s, struct store_write *w, bool *has, struct err *err)
{
    struct store_reach reach;
    struct err why = {0};
    if (!store_policy_unassign(w, s->by, s->from, s->f->actor, s->f->now, &why) &&
        why.kind != ERR_NOT_FOUND) {
        *err = why;
        return false;
    }
    if (!fleet_reach_in(s->f, w, s->by, s->d->id, &reach, err))
        return false;
    *has = reach.way != WAY_NONE;
    return true;
}

/* Has the device the policy by another way too?  Then it may stay, and nobody is to be told how to
 * cut it off.  Tried in a write that is thrown away, and only where there is a certificate. */
static bool kept(struct search *s)
{
    struct store_write *w = NULL;
    struct err why = {0};
    bool has = false;
    if (s->fate != UNASKED || !s->by || !s->from)
        return s->fate == KEPT;
    bool ok = store_write_begin(s->f->store, &w, &why) && has_without(s, w, &has, &why);
    store_write_abort(w);
    if (!ok)
        note_failure(s, &why);
    s->fate = has ? KEPT : LOST;
    return has;
}

static void one_cert(void *ctx, const struct store_cert *c)
{
    struct search *s = ctx;
    char serial[2 * STORE_SERIAL_MAX + 1];
    if (*c->device || c->state == CERT_REVOKED || c->not_after <= s->f->now || kept(s) ||
        s->found++ >= NAMED)
        return;
    hex_encode(view_of(c->serial, c->serial_len), serial);
    fleet_warn(s->w,
               "certificate %.32s, %.60s, stays good: it is not of device %.40s, but was made "
               "without a policy; scepctl cert revoke %.16s ends it",
               serial, c->subject, s->d->name, serial);
}

static void of_subject(struct search *s, const uint8_t hash[STORE_HASH])
{
    const struct store_cert_filter filter = {.state = -1, .subject_hash = hash};
    struct store_page page = {.limit = STORE_PAGE_MAX};
    struct err why = {0};
    char text[2 * STORE_HASH + 1], nobody[32];
    hex_encode(view_of(hash, STORE_HASH), text);
    if (fleet_subjects_has(s->seen, text))
        return;
    if (!store_cert_page(s->f->store, &filter, &page, one_cert, s, &why) ||
        (s->fate != KEPT && !fleet_subjects_add(s->seen, text, text, nobody, &why)))
        note_failure(s, &why);
}

/* What cannot be made is no subject of anybody; nor has a policy any that was removed just now. */
static void by_policy(struct search *s, const struct store_device *d, const char *policy)
{
    struct store_policy p;
    struct name subject = {0};
    struct san san = {0};
    struct err why = {0};
    uint8_t hash[STORE_HASH];
    s->by = policy;
    s->fate = UNASKED;
    if (fleet_policy_in(s->f, NULL, policy, &p, &why) &&
        fleet_names_parts(s->f, &p, d, &subject, &san, &why) && name_hash(&subject, hash, &why))
        of_subject(s, hash);
    else if (why.kind != ERR_CONFIG && why.kind != ERR_NOT_FOUND)
        note_failure(s, &why);
    name_clear(&subject);
    san_clear(&san);
}

struct held {
    size_t n;
    uint8_t hash[STORE_PAGE_MAX][STORE_HASH];
};

static void note_subject(void *ctx, const struct store_cert *c)
{
    struct held *h = ctx;
    memcpy(h->hash[h->n++], c->subject_hash, STORE_HASH);
}

/* By all that it has, and all that it ever got: a policy may have been taken away since. */
static void by_everything(struct search *s, const struct store_device *d)
{
    const struct store_cert_filter theirs = {.state = -1, .device = d->id};
    struct store_page page = {.limit = STORE_PAGE_MAX};
    struct fleet_policies all = {.n = 0};
    struct held held = {.n = 0};
    struct err why = {0};
    if (!store_cert_page(s->f->store, &theirs, &page, note_subject, &held, &why))
        note_failure(s, &why);
    if (!fleet_policies_of_device(s->f, NULL, d->id, &all, &why))
        note_failure(s, &why); /* too many: those of the first page are there */
    s->by = NULL;
    s->fate = LOST;
    for (size_t i = 0; i < held.n; i++)
        of_subject(s, held.hash[i]);
    for (size_t i = 0; i < all.n; i++)
        by_policy(s, d, all.id[i]);
}

static void one_device(void *ctx, const struct store_device *d)
{
    struct search *s = ctx;
    if (s->looks >= LOOKS_MOST) {
        s->more = true;
        return;
    }
    s->looks += s->given ? s->given->n : 1;
    s->d = d;
    if (s->policy)
        by_policy(s, d, s->policy);
    for (size_t i = 0; s->given && i < s->given->n; i++)
        by_policy(s, d, s->given->id[i]);
    if (!s->policy && !s->given)
        by_everything(s, d);
}

static void many(struct search *s, const struct store_device_filter *filter)
{
    char cursor[STORE_CURSOR_MAX] = "";
    struct err why = {0};
    do {
        struct store_page page = {.after = cursor, .limit = STORE_PAGE_MAX};
        if (!store_device_page(s->f->store, filter, &page, one_device, s, &why)) {
            note_failure(s, &why);
            return;
        }
        memcpy(cursor, page.next, sizeof page.next);
    } while (*cursor && !s->more);
}

static void one_named(struct search *s, const char *device)
{
    struct store_device d;
    struct err why = {0};
    if (fleet_device_in(s->f, NULL, device, &d, &why))
        one_device(s, &d);
    else
        note_failure(s, &why);
}

/* Its devices, or those that one member stands for; by all that the group gives, or one policy. */
static void of_group(struct search *s, const struct store_group *g, const char *member)
{
    /* of a user all devices are, and the group would be walked for them */
    const struct store_device_filter those = {
        .state = -1, .group = member ? NULL : g->id, .user = member};
    struct fleet_policies given = {.n = 0};
    struct err why = {0};
    if (!s->policy) {
        if (!fleet_policies_of_group(s->f, NULL, g->id, &given, &why))
            note_failure(s, &why); /* too many: those of the first page are there */
        s->given = &given;
    }
    s->from = g->id;
    if (member && !g->users)
        one_named(s, member);
    else if (s->policy || given.n)
        many(s, &those);
    s->given = NULL;
    s->from = NULL;
}

/* A device or a group; what is neither is told by the verb that it is named to. */
static void of_target(struct search *s, const char *target, const char *member)
{
    struct store_device d;
    struct store_group g;
    struct err why = {0};
    if (!member && fleet_device_in(s->f, NULL, target, &d, &why)) {
        s->from = s->policy ? d.id : NULL; /* else it goes itself */
        one_device(s, &d);
        s->from = NULL;
    } else if ((member || why.kind == ERR_NOT_FOUND) &&
               fleet_group_in(s->f, NULL, target, &g, &why)) {
        of_group(s, &g, member);
    } else {
        note_failure(s, &why);
    }
}

static void of_list(struct search *s, struct view list)
{
    while (list.n && !s->more) {
        const char *target = (const char *)list.p;
        size_t n = strnlen(target, list.n - 1) + 1;
        of_target(s, target, NULL);
        list = view_of(list.p + n, list.n - n);
    }
}

void fleet_outside(const struct fleet *f, const struct fleet_leaving *l, struct fleet_warnings *w)
{
    const struct store_device_filter having = {.state = -1, .policy = l->policy};
    struct search s = {.f = f, .policy = l->policy, .w = w, .seen = fleet_subjects_new()};
    if (!s.seen)
        err_memory(&s.err);
    else if (l->targets.n)
        of_list(&s, l->targets);
    else if (l->target)
        of_target(&s, l->target, l->member);
    else
        many(&s, &having);
    if (s.err.kind != ERR_NONE)
        fleet_warn(w,
                   "certificates that were made without a policy and stay good could not all be "
                   "looked for: %.120s",
                   s.err.text);
    else if (s.found > NAMED)
        fleet_warn(w, "%llu more certificates like this one stay good",
                   (unsigned long long)(s.found - NAMED));
    else if (s.more)
        fleet_warn(w,
                   "of the first devices only was looked whether certificates stay that were made "
                   "without the policy: there are too many");
    fleet_subjects_free(s.seen);
}
