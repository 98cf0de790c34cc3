/* When something has to be done next.  Nothing is touched here. */
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tend_internal.h"

#define DAY INT64_C(86400)
#define NEVER INT64_MAX

/* ---- RAs ---- */

static const struct ra_set *set_in_use(const struct authority *a, enum ra_shape shape)
{
    for (size_t i = 0; i < a->set_n; i++)
        if (a->set[i].shape == shape &&
            (a->set[i].signing == a->ra || a->set[i].signing == a->ra_signing))
            return &a->set[i];
    return NULL;
}

/* An RA that ends with its CA cannot be renewed by it; the next CA has its own. */
static int64_t ra_due(const struct authority *a, const struct ra_set *s, const struct tend_rules *r,
                      int64_t now)
{
    int64_t end = ra_set_end(s), life = end - s->signing->not_before;
    int64_t before =
        r->ra_renew_before && r->ra_renew_before < life ? r->ra_renew_before : life / 3;
    int64_t at = end - before, made_at = at > now ? at : now;
    int64_t new_end = made_at + r->ra_validity;
    if (new_end > a->cert->not_after)
        new_end = a->cert->not_after;
    return new_end < end + DAY || made_at >= a->cert->not_after ? NEVER : at;
}

static void earlier(struct tend_step *best, struct tend_step s)
{
    if (s.at < best->at)
        *best = s;
}

static void plan_ras(const struct authority *a, const struct tend_rules *r, int64_t now,
                     struct tend_step *best)
{
    for (int shape = RA_SINGLE; shape <= RA_PAIR; shape++) {
        const struct ra_set *s = set_in_use(a, (enum ra_shape)shape);
        if (s)
            earlier(best, (struct tend_step){.what = TEND_RENEW_RA,
                                             .generation = a->generation,
                                             .shape = (enum ra_shape)shape,
                                             .at = ra_due(a, s, r, now),
                                             .by_hand = !r->ra_automatic});
    }
}

/* ---- the next CA ---- */

/* Seconds before the current CA's end: when the next one takes over, and when it is made.  A CA
 * that lives too short for its templates gives half of its life to them. */
struct spans {
    int64_t overlap, announce;
};

static struct spans spans_of(const struct family *f, const struct tend_rules *r)
{
    const struct cert *ca = f->current->cert;
    int64_t life = ca->not_after - ca->not_before;
    struct spans s = {r->ca_before ? r->ca_before : r->longest + DAY, r->ca_announce};
    if (s.overlap > life / 2)
        s.overlap = life / 2;
    if (s.overlap + s.announce > life * 3 / 4)
        s.announce = life * 3 / 4 - s.overlap;
    return s;
}

int64_t tend_activation(const struct family *f, const struct tend_rules *r, int64_t now)
{
    int64_t end = f->current->cert->not_after, left = end - now;
    int64_t at = end - spans_of(f, r).overlap;
    if (at >= now || left <= 0)
        return at >= now ? at : now;
    return now +
           (r->ca_announce < left / 2 ? r->ca_announce : left / 2); /* late: still announced */
}

int64_t tend_missing(const struct family *f, const struct tend_rules *r)
{
    int64_t overlap = spans_of(f, r).overlap;
    return overlap < r->longest ? r->longest - overlap : 0;
}

static bool root_at_hand(const struct family *f, const struct tend_rules *r)
{
    return f->current->chain_n == 0 ||
           (r->root_key && *r->root_key && access(r->root_key, R_OK) == 0);
}

/* Under a root that ends before it would help, a next CA is no use. */
static bool root_lasts(const struct family *f)
{
    const struct authority *a = f->current;
    return a->chain_n == 0 || a->chain[0]->not_after > a->cert->not_after + DAY;
}

static void plan_next(const struct family *f, const struct tend_rules *r, struct tend_step *best)
{
    struct spans s = spans_of(f, r);
    earlier(best, (struct tend_step){.what = TEND_MAKE_NEXT,
                                     .at = f->current->cert->not_after - s.overlap - s.announce,
                                     .by_hand = !r->ca_automatic || !root_at_hand(f, r) ||
                                                !root_lasts(f)});
}

/* ---- OCSP responders ---- */

/* At half of its life, or at once where there is none that serves; never when its CA ends so soon
 * that the next one would not live longer. */
static int64_t ocsp_due(const struct authority *a, const struct tend_rules *r, int64_t now)
{
    const struct cert *c = a->ocsp.cert;
    int64_t life = c ? c->not_after - c->not_before : 0;
    if (!c || a->ocsp.fault[0] || c->not_after < now || strcmp(tend_kind_of(c), r->ocsp_key) != 0)
        return now;
    int64_t before = life < r->ocsp_validity ? life / 2 : r->ocsp_validity / 2;
    int64_t at = c->not_after - before, made_at = at > now ? at : now;
    int64_t new_end = made_at + r->ocsp_validity;
    if (new_end > a->cert->not_after)
        new_end = a->cert->not_after;
    return new_end <= c->not_after ? NEVER : at;
}

static void plan_ocsp(const struct family *f, const struct tend_rules *r, int64_t now,
                      struct tend_step *best)
{
    for (size_t i = 0; r->ocsp_key && i < f->n; i++) {
        const struct authority *a = f->member[i];
        if (a->ocsp.renewable && f->retired_at[i] == 0 && now < a->cert->not_after)
            earlier(best, (struct tend_step){.what = TEND_RENEW_OCSP,
                                             .generation = a->generation,
                                             .at = ocsp_due(a, r, now)});
    }
}

/* ---- the whole ---- */

static void plan_retirement(const struct family *f, int64_t now, struct tend_step *best)
{
    for (size_t i = 0; i < f->n; i++) {
        const struct authority *a = f->member[i];
        if (a != f->current && f->retired_at[i] == 0)
            earlier(best, (struct tend_step){.what = TEND_RETIRE,
                                             .generation = a->generation,
                                             .at = a->cert->not_after + 1});
        for (size_t k = 0; k < a->set_n; k++)
            if (a->set[k].number && a->set[k].signing != a->ra &&
                a->set[k].signing != a->ra_signing)
                earlier(best, (struct tend_step){.what = TEND_RETIRE,
                                                 .generation = a->generation,
                                                 .at = ra_set_end(&a->set[k]) + 1});
    }
    if (f->stale)
        earlier(best, (struct tend_step){.what = TEND_RETIRE, .at = now});
}

bool tend_can_be_taken_back(enum tend_what what)
{
    return what == TEND_NOTHING || what == TEND_RENEW_RA || what == TEND_RENEW_OCSP;
}

static void plan_generations(const struct family *f, const struct tend_rules *r, int64_t now,
                             bool all, struct tend_step *best)
{
    bool next_ended = f->next && now > f->next->cert->not_after;
    struct tend_step s = {.what = TEND_NOTHING, .at = NEVER};
    plan_retirement(f, now, best);
    if (f->next && f->activates_at && !next_ended)
        earlier(best, (struct tend_step){.what = TEND_ACTIVATE,
                                         .generation = f->next->generation,
                                         .at = f->activates_at});
    if (!f->next)
        plan_next(f, r, &s);
    if (s.what != TEND_NOTHING && (all || !s.by_hand))
        earlier(best, s);
}

static void plan(const struct family *f, const struct tend_rules *r, int64_t now, bool all,
                 struct tend_step *out)
{
    struct tend_step best = {.what = TEND_NOTHING, .at = NEVER};
    if (all || !r->clock_doubted)
        plan_generations(f, r, now, all, &best);
    if (all || r->ra_automatic) {
        plan_ras(f->current, r, now, &best);
        if (f->next)
            plan_ras(f->next, r, now, &best);
    }
    if (!all && best.at > now)
        plan_ocsp(f, r, now, &best);
    *out = best;
}

void tend_plan(const struct family *f, const struct tend_rules *r, int64_t now,
               struct tend_step *out)
{
    plan(f, r, now, true, out);
}

void tend_plan_automatic(const struct family *f, const struct tend_rules *r, int64_t now,
                         struct tend_step *out)
{
    plan(f, r, now, false, out);
}
