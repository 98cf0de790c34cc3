/* Certificates with the subject of a device that were made without it: somebody made a challenge
 * for the subject alone.  They do not go with the device or the policy, so they are named. */
#include <string.h>

#include "base/hex.h"
#include "fleet_internal.h"

#define DEVICES_MOST 2000 /* looked at: some tenths of a second */
#define NAMED (FLEET_WARNINGS - 1)

struct search {
    const struct fleet *f;
    const char *policy; /* id or NULL */
    struct fleet_warnings *w;
    char device[128];         /* name of the one that is looked at, */
    uint8_t last[STORE_HASH]; /* and the subject that was looked for last */
    uint64_t devices, found;
    bool more;
    struct err err;
};

static void one_cert(void *ctx, const struct store_cert *c)
{
    struct search *s = ctx;
    char serial[2 * STORE_SERIAL_MAX + 1];
    if (*c->device || c->state == CERT_REVOKED || c->not_after <= s->f->now || s->found++ >= NAMED)
        return;
    hex_encode(view_of(c->serial, c->serial_len), serial);
    fleet_warn(s->w,
               "certificate %.32s, %.60s, stays good: it is not of device %.40s, but was made "
               "without a policy; scepctl cert revoke %.16s ends it",
               serial, c->subject, s->device, serial);
}

static bool of_subject(struct search *s, const uint8_t hash[STORE_HASH], struct err *err)
{
    const struct store_cert_filter filter = {.state = -1, .subject_hash = hash};
    struct store_page page = {.limit = STORE_PAGE_MAX};
    if (memcmp(s->last, hash, STORE_HASH) == 0)
        return true;
    memcpy(s->last, hash, STORE_HASH);
    return store_cert_page(s->f->store, &filter, &page, one_cert, s, err);
}

/* What cannot be made is no subject of anybody. */
static bool by_policy(struct search *s, const struct store_device *d, const char *policy,
                      struct err *err)
{
    struct store_policy p;
    struct name subject = {0};
    struct san san = {0};
    struct err why = {0};
    uint8_t hash[STORE_HASH];
    if (!fleet_policy_in(s->f, NULL, policy, &p, err))
        return false;
    bool ok = fleet_names_parts(s->f, &p, d, &subject, &san, &why);
    if (ok)
        ok = fleet_subject_hash(&subject, hash, err) && of_subject(s, hash, err);
    else if (!(ok = why.kind == ERR_CONFIG))
        *err = why;
    name_clear(&subject);
    san_clear(&san);
    return ok;
}

struct held {
    size_t n;
    uint8_t hash[STORE_PAGE_MAX][STORE_HASH];
};

static void note_subject(void *ctx, const struct store_cert *c)
{
    struct held *h = ctx;
    for (size_t i = 0; i < h->n; i++)
        if (memcmp(h->hash[i], c->subject_hash, STORE_HASH) == 0)
            return;
    memcpy(h->hash[h->n++], c->subject_hash, STORE_HASH);
}

/* By all that it has, and all that it ever got: a policy may have been taken away since. */
static bool by_everything(struct search *s, const struct store_device *d, struct err *err)
{
    const struct store_cert_filter theirs = {.state = -1, .device = d->id};
    struct store_page page = {.limit = STORE_PAGE_MAX};
    struct fleet_policies all;
    struct held held = {.n = 0};
    if (!store_cert_page(s->f->store, &theirs, &page, note_subject, &held, err) ||
        !fleet_policies_of_device(s->f, NULL, d->id, &all, err))
        return false;
    bool ok = true;
    for (size_t i = 0; ok && i < held.n; i++)
        ok = of_subject(s, held.hash[i], err);
    for (size_t i = 0; ok && i < all.n; i++)
        ok = by_policy(s, d, all.id[i], err);
    return ok;
}

static void one_device(void *ctx, const struct store_device *d)
{
    struct search *s = ctx;
    if (s->err.kind != ERR_NONE || s->devices == DEVICES_MOST) {
        s->more = true;
        return;
    }
    s->devices++;
    memcpy(s->device, d->name, sizeof s->device);
    if (s->policy)
        by_policy(s, d, s->policy, &s->err);
    else
        by_everything(s, d, &s->err);
}

static bool many(struct search *s, const struct store_device_filter *filter, struct err *err)
{
    char cursor[STORE_CURSOR_MAX] = "";
    do {
        struct store_page page = {.after = cursor, .limit = STORE_PAGE_MAX};
        if (!store_device_page(s->f->store, filter, &page, one_device, s, err))
            return false;
        memcpy(cursor, page.next, sizeof page.next);
    } while (*cursor && !s->more);
    return true;
}

bool fleet_outside(const struct fleet *f, const char *target, const char *policy,
                   struct fleet_warnings *w, struct err *err)
{
    struct search s = {.f = f, .policy = policy, .w = w};
    struct store_device_filter those = {.state = -1};
    struct store_device d;
    struct store_group g;
    if (target && fleet_device_in(f, NULL, target, &d, err)) {
        one_device(&s, &d);
    } else {
        if (target && (err->kind != ERR_NOT_FOUND || !fleet_group_in(f, NULL, target, &g, err)))
            return false;
        those.group = target ? g.id : NULL;
        those.policy = target ? NULL : policy;
        if (!many(&s, &those, err))
            return false;
    }
    if (s.err.kind != ERR_NONE) {
        *err = s.err;
        return false;
    }
    if (s.found > NAMED)
        fleet_warn(w, "%llu more certificates like this one stay good",
                   (unsigned long long)(s.found - NAMED));
    else if (s.more)
        fleet_warn(w,
                   "of %d devices only was looked whether certificates stay that were made "
                   "without the policy",
                   DEVICES_MOST);
    return true;
}
