/* How many certificates there are in each state, by the day on which they end, and how many
 * revocations there were: counted along with every change, so that nobody who asks has to count.
 * Kept in `meta`: C, state, day; V, reason. */
#include "records.h"

#include <stdlib.h>

#define DAY INT64_C(86400)
#define STATES (CERT_SUPERSEDED + 1)
#define DAYS 65536 /* until 2149; later ones count for the last */

/* Days since 1970 (UTC). */
static unsigned day_of(int64_t t)
{
    int64_t day = t / DAY;
    return day < 0 ? 0 : day >= DAYS ? DAYS - 1 : (unsigned)day;
}

static struct key count_key(unsigned state, unsigned day)
{
    struct key k = meta_cert_count();
    uint8_t rest[3] = {(uint8_t)state, (uint8_t)(day >> 8), (uint8_t)day};
    key_bytes(&k, rest, sizeof rest);
    return k;
}

static struct key revocation_key(unsigned reason)
{
    struct key k = meta_revocation_count();
    uint8_t octet = (uint8_t)reason;
    key_bytes(&k, &octet, 1);
    return k;
}

static bool add_to(struct txn *t, struct key k, uint64_t n, struct err *err)
{
    uint64_t before;
    if (!txn_counter(t, key_view(&k), &before, err))
        return txn_spoil(t, err);
    return txn_counter_set(t, key_view(&k), before + n, err);
}

static bool one_less(struct txn *t, struct key k, struct err *err)
{
    uint64_t n;
    if (!txn_counter(t, key_view(&k), &n, err))
        return txn_spoil(t, err);
    return n > 1 ? txn_counter_set(t, key_view(&k), n - 1, err)
                 : txn_del(t, TABLE_META, key_view(&k), err);
}

bool cert_count_move(struct txn *t, const struct store_cert *was, const struct store_cert *is,
                     struct err *err)
{
    if (was && is && was->state == is->state && day_of(was->not_after) == day_of(is->not_after))
        return true;
    return (!was || one_less(t, count_key(was->state, day_of(was->not_after)), err)) &&
           (!is || add_to(t, count_key(is->state, day_of(is->not_after)), 1, err));
}

bool revocation_counted(struct txn *t, enum crl_reason reason, struct err *err)
{
    return add_to(t, revocation_key(reason), 1, err);
}

/* ---- counting anew ---- */

struct cert_tally {
    uint64_t n[STATES][DAYS];
};

bool cert_tally_new(struct cert_tally **out, struct err *err)
{
    *out = calloc(1, sizeof **out);
    return *out || err_memory(err);
}

void cert_tally_free(struct cert_tally *t)
{
    free(t);
}

void cert_tally_add(struct cert_tally *t, const struct store_cert *c)
{
    t->n[c->state][day_of(c->not_after)]++;
}

struct difference {
    const struct cert_tally *tally;
    uint64_t counted;
    bool same;
};

static bool key_parts(struct view key, unsigned *state, unsigned *day)
{
    if (key.n != 4 || key.p[1] >= STATES)
        return false;
    *state = key.p[1];
    *day = (unsigned)key.p[2] << 8 | key.p[3];
    return true;
}

static bool compare_entry(void *ctx, struct view key, struct view value, bool *stop,
                          struct err *err)
{
    struct difference *d = ctx;
    unsigned state, day;
    d->same = key_parts(key, &state, &day) && value.n == 8 &&
              octets_u64(value.p) == d->tally->n[state][day];
    *stop = !d->same;
    d->counted += d->same;
    return true;
}

bool cert_tally_same(struct txn *t, const struct cert_tally *tally, bool *same, struct err *err)
{
    struct key prefix = meta_cert_count();
    struct difference d = {.tally = tally, .same = true};
    uint64_t found = 0;
    if (!txn_walk(t, TABLE_META, key_view(&prefix), compare_entry, &d, err))
        return false;
    for (size_t s = 0; s < STATES; s++)
        for (size_t day = 0; day < DAYS; day++)
            found += tally->n[s][day] != 0;
    *same = d.same && d.counted == found;
    return true;
}

static bool tally_entry(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    struct store_cert c;
    if (!cert_read(value, &c, err))
        return false;
    cert_tally_add(ctx, &c);
    return true;
}

static bool revocation_entry(void *ctx, struct view key, struct view value, bool *stop,
                             struct err *err)
{
    uint64_t *reasons = ctx;
    struct store_revoked r;
    if (!revoked_read(value, &r, err))
        return false;
    if (r.reason < STORE_CRL_REASONS)
        reasons[r.reason]++;
    return true;
}

static bool counts_write(struct txn *t, const struct cert_tally *tally, const uint64_t *reasons,
                         struct err *err)
{
    for (unsigned s = 0; s < STATES; s++)
        for (unsigned day = 0; day < DAYS; day++)
            if (tally->n[s][day] && !add_to(t, count_key(s, day), tally->n[s][day], err))
                return false;
    for (unsigned r = 0; r < STORE_CRL_REASONS; r++)
        if (reasons[r] && !add_to(t, revocation_key(r), reasons[r], err))
            return false;
    return true;
}

bool counts_make(struct txn *t, struct err *err)
{
    struct cert_tally *tally;
    uint64_t reasons[STORE_CRL_REASONS] = {0};
    if (!cert_tally_new(&tally, err))
        return false;
    bool ok = txn_walk(t, TABLE_CERT, view_of(NULL, 0), tally_entry, tally, err) &&
              txn_walk(t, TABLE_REVOKED, view_of(NULL, 0), revocation_entry, reasons, err) &&
              counts_write(t, tally, reasons, err);
    cert_tally_free(tally);
    return ok;
}

/* ---- asking ---- */

struct reading {
    struct store_cert_counts *out;
    unsigned today;
};

static bool read_entry(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    struct reading *r = ctx;
    unsigned state, day;
    if (!key_parts(key, &state, &day) || value.n != 8)
        return err_set(err, ERR_STORE, "the store has a damaged count of certificates");
    uint64_t n = octets_u64(value.p);
    bool revocable = state == CERT_ACTIVE || state == CERT_SUPERSEDED;
    if (revocable && day < r->today) {
        r->out->expired += n;
        return true;
    }
    r->out->state[state] += n;
    if (state == CERT_ACTIVE && day < r->today + 7)
        r->out->within_7_days += n;
    if (state == CERT_ACTIVE && day < r->today + 30)
        r->out->within_30_days += n;
    return true;
}

static bool read_revocation(void *ctx, struct view key, struct view value, bool *stop,
                            struct err *err)
{
    struct reading *r = ctx;
    if (key.n != 2 || key.p[1] >= STORE_CRL_REASONS || value.n != 8)
        return err_set(err, ERR_STORE, "the store has a damaged count of revocations");
    r->out->revocations[key.p[1]] = octets_u64(value.p);
    return true;
}

bool store_cert_counts(struct store *s, int64_t now, struct store_cert_counts *out, struct err *err)
{
    struct store_cert_counts counts = {.expired = 0};
    struct reading r = {&counts, day_of(now)};
    struct key certs = meta_cert_count(), revocations = meta_revocation_count();
    struct txn t;
    if (!txn_read(s, &t, err))
        return false;
    bool ok = txn_walk(&t, TABLE_META, key_view(&certs), read_entry, &r, err) &&
              txn_walk(&t, TABLE_META, key_view(&revocations), read_revocation, &r, err);
    txn_read_end(&t);
    if (ok)
        *out = counts;
    return ok;
}
