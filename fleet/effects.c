/* What goes with a device or a policy: looked through in pages, each one write. */
#include <string.h>

#include "enroll/enroll.h"
#include "fleet_internal.h"

const char fleet_regrouped[] = "it has the name of another group";

struct sweeping {
    const struct fleet *f;
    const struct fleet_sweep *what;
    struct fleet_effects *e;
    struct store_write *w; /* of the page */
    struct enroll_act act;
    char device[32], policy[32]; /* those that were asked about last, */
    bool lost;                   /* and whether what it has by it goes; */
    bool named;                  /* if not: whether */
    struct fleet_names names;    /* these are what the policy gives it now, with a group's name */
    uint64_t changed;            /* in this write */
    struct err err;              /* of the first that failed */
};

/* Has it the policy no more? */
static bool lost_policy(struct sweeping *s, const char *device, const char *policy, bool *out)
{
    struct store_reach reach;
    if (!fleet_reach_in(s->f, s->w, policy, device, &reach, &s->err))
        return false;
    *out = reach.way == WAY_NONE;
    return true;
}

/* Does the policy give it names with the group now?  None that can be told: then what it was given
 * before may have any group's name. */
static bool named_by(struct sweeping *s, const char *device, const char *policy, bool *out)
{
    struct store_policy p;
    struct store_device d;
    struct err why = {0};
    char group[64];
    if (fleet_policy_in(s->f, s->w, policy, &p, &why) && fleet_uses_group(&p)) {
        *out = !fleet_device_in(s->f, s->w, device, &d, &why) ||
               !fleet_group_of(s->f, s->w, &p, &d, group, &why) ||
               strcmp(group, s->what->group) == 0 ||
               !fleet_names_by(s->f, s->w, &p, &d, group, &s->names, &why);
        s->named = !*out;
    }
    if (why.kind == ERR_NONE || why.kind == ERR_CONFIG || why.kind == ERR_NOT_FOUND)
        return true;
    s->err = why;
    return false;
}

static bool ask(struct sweeping *s, const char *device, const char *policy, bool *out)
{
    const struct fleet_sweep *what = s->what;
    bool lost = false;
    s->named = false;
    if ((!what->names || !*what->group) && !lost_policy(s, device, policy, &lost))
        return false;
    *out = lost && !what->names; /* what was lost is looked for without `names` */
    return lost || !what->names || named_by(s, device, policy, out);
}

/* Does it go?  Asked inside the write, after the tie is gone. */
static bool goes(struct sweeping *s, const char *device, const char *policy)
{
    const struct fleet_sweep *what = s->what;
    if (s->err.kind != ERR_NONE)
        return false;
    if (what->names ? !what->group : !what->policy)
        return true;
    if (!*device || !*policy)
        return false;
    if (strcmp(s->device, device) != 0 || strcmp(s->policy, policy) != 0) {
        if (!ask(s, device, policy, &s->lost))
            return false;
        memcpy(s->device, device, strnlen(device, sizeof s->device - 1) + 1);
        memcpy(s->policy, policy, strnlen(policy, sizeof s->policy - 1) + 1);
    }
    return s->lost;
}

/* Somebody else was quicker: it is gone, which is all that was wanted. */
static void count(struct sweeping *s, bool done, const struct err *why, uint64_t *n)
{
    if (done) {
        (*n)++;
        s->changed++;
    } else if (why->kind != ERR_CONFLICT && why->kind != ERR_NOT_FOUND) {
        s->err = *why;
    }
}

/* Of a device that stays: was it made while the device was in other groups?  Then it has, or may
 * have, the name that goes. */
static bool bound_otherwise(const struct sweeping *s, const struct store_challenge *c)
{
    return s->err.kind == ERR_NONE && s->what->group && *c->device && *c->policy && s->named &&
           (strcmp(c->subject, s->names.subject_binding) != 0 ||
            strcmp(c->san, s->names.san_binding) != 0);
}

static void one_challenge(void *ctx, const struct store_challenge *c)
{
    struct sweeping *s = ctx;
    struct err why = {0};
    uint64_t ended = 0; /* nobody waits for these */
    if (goes(s, c->device, c->policy) || bound_otherwise(s, c))
        count(s, s->e->dry_run || enroll_challenge_change_in(s->w, c->hash, &s->act, &why), &why,
              store_challenge_state(c, s->f->now) == CHALLENGE_OPEN ? &s->e->challenges : &ended);
}

static void one_request(void *ctx, const struct store_request *r)
{
    struct sweeping *s = ctx;
    struct err why = {0};
    if (goes(s, r->device, r->policy))
        count(s,
              s->e->dry_run || enroll_request_change_in(s->w, r->id, ENROLL_CANCEL, &s->act, &why),
              &why, &s->e->requests);
}

static void one_certificate(void *ctx, const struct store_cert *c)
{
    struct sweeping *s = ctx;
    struct err why = {0};
    if (c->state != CERT_REVOKED && c->not_after > s->f->now && goes(s, c->device, c->policy))
        count(s, s->e->dry_run || enroll_cert_change_in(s->w, c->id, CRL_CESSATION, &s->act, &why),
              &why, &s->e->certificates);
}

enum kind { CHALLENGES, REQUESTS, CERTIFICATES, KINDS };

static bool look(struct sweeping *s, enum kind kind, struct store_page *page, struct err *err)
{
    /* ended ones too, when names are others: a request that waits for somebody's approval was made
     * while they were not */
    const struct store_challenge_filter challenges = {.device = s->what->device,
                                                      .policy = s->what->policy,
                                                      .state = s->what->names ? 0 : CHALLENGE_OPEN,
                                                      .now = s->f->now};
    const struct store_request_filter requests = {
        .state = REQUEST_PENDING, .device = s->what->device, .policy = s->what->policy};
    const struct store_cert_filter certs = {
        .state = -1, .device = s->what->device, .policy = s->what->policy};
    switch (kind) {
    case CHALLENGES:
        return store_challenge_page(s->f->store, &challenges, page, one_challenge, s, err);
    case REQUESTS:
        return store_request_page(s->f->store, &requests, page, one_request, s, err);
    case CERTIFICATES:
    case KINDS:
        break;
    }
    return store_cert_page(s->f->store, &certs, page, one_certificate, s, err);
}

static bool page_in(struct sweeping *s, enum kind kind, char cursor[STORE_CURSOR_MAX],
                    struct err *err)
{
    struct store_page page = {.after = cursor, .limit = FLEET_BATCH, .in = s->w};
    if (!look(s, kind, &page, err))
        return false;
    if (s->err.kind != ERR_NONE) {
        *err = s->err;
        return false;
    }
    memcpy(cursor, page.next, sizeof page.next);
    return true;
}

/* One page in a write of its own. */
static bool page_alone(struct sweeping *s, enum kind kind, char cursor[STORE_CURSOR_MAX],
                       struct err *err)
{
    struct fleet_effects before = *s->e;
    s->changed = 0;
    s->device[0] = '\0'; /* what was known of it may have changed since */
    if (!store_write_begin(s->f->store, &s->w, err))
        return false;
    bool ok = page_in(s, kind, cursor, err);
    if (ok && !s->changed)
        store_write_abort(s->w);
    else
        ok = fleet_finish(s->w, ok, err);
    if (!ok)
        *s->e = before;
    if (ok && s->changed && s->e->step)
        s->e->stopped = !s->e->step(s->e->ctx, s->e);
    return ok;
}

bool fleet_sweep(const struct fleet *f, struct store_write *w, const struct fleet_sweep *what,
                 struct fleet_effects *e, struct err *err)
{
    struct sweeping s = {.f = f,
                         .what = what,
                         .e = e,
                         .w = w,
                         .act = {.by = f->actor, .note = what->why, .now = f->now}};
    for (int kind = 0; kind < (what->names ? REQUESTS : KINDS); kind++) {
        char cursor[STORE_CURSOR_MAX] = "";
        if (kind == CERTIFICATES && !what->revoke)
            continue;
        do {
            if (!(w ? page_in(&s, (enum kind)kind, cursor, err)
                    : page_alone(&s, (enum kind)kind, cursor, err)))
                return false;
        } while (*cursor && !e->stopped);
        if (e->stopped)
            return true;
    }
    return true;
}

bool fleet_sweep_regrouped(const struct fleet *f, struct store_write *w, const char *device,
                           const char *policy, struct fleet_effects *e, struct err *err)
{
    const struct fleet_sweep what = {
        .device = device, .policy = policy, .names = true, .group = "", .why = fleet_regrouped};
    return e->stopped || fleet_sweep(f, w, &what, e, err);
}

/* ---- the policies that somebody had ---- */

static bool too_many(const struct store_page *page, const char *whose, struct err *err)
{
    return !*page->next ||
           err_set(err, ERR_CONFLICT, "the %s has more than %d policies: take some away first",
                   whose, STORE_PAGE_MAX);
}

static void note_reach(void *ctx, const struct store_reach *r)
{
    struct fleet_policies *all = ctx;
    memcpy(all->id[all->n++], r->policy, sizeof all->id[0]);
}

bool fleet_policies_of_device(const struct fleet *f, struct store_write *w, const char *device,
                              struct fleet_policies *out, struct err *err)
{
    struct store_page page = {.limit = STORE_PAGE_MAX, .in = w};
    out->n = 0;
    return store_device_policies(f->store, device, &page, note_reach, out, err) &&
           too_many(&page, "device", err);
}

static void note_tie(void *ctx, const struct store_tie *t)
{
    struct fleet_policies *all = ctx;
    memcpy(all->id[all->n++], t->holder, sizeof all->id[0]);
}

bool fleet_policies_of_group(const struct fleet *f, struct store_write *w, const char *group,
                             struct fleet_policies *out, struct err *err)
{
    struct store_page page = {.limit = STORE_PAGE_MAX, .in = w};
    out->n = 0;
    return store_group_policies(f->store, group, &page, note_tie, out, err) &&
           too_many(&page, "group", err);
}

bool fleet_lost_count(const struct fleet *f, struct store_write *w,
                      const struct fleet_policies *had, const char *device, struct fleet_effects *e,
                      struct err *err)
{
    for (size_t i = 0; i < had->n; i++) {
        struct store_reach reach;
        if (!fleet_reach_in(f, w, had->id[i], device, &reach, err))
            return false;
        if (reach.way == WAY_NONE) {
            e->devices++;
            return true;
        }
    }
    return true;
}

bool fleet_lost_sweep(const struct fleet *f, struct store_write *w,
                      const struct fleet_policies *had, const char *device, struct fleet_effects *e,
                      struct err *err)
{
    for (size_t i = 0; i < had->n && !e->stopped; i++) {
        struct store_policy p;
        if (!fleet_policy_in(f, w, had->id[i], &p, err))
            return false;
        const struct fleet_sweep what = {.device = device,
                                         .policy = p.id,
                                         .revoke = p.revoke_on_removal,
                                         .why = "the policy was taken from the device"};
        if (!fleet_sweep(f, w, &what, e, err))
            return false;
    }
    return true;
}
