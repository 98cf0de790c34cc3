#include "scepd/ocsp_budget.h"

#include "base/network.h"

void ocsp_budget_init(struct ocsp_budget *b)
{
    *b = (struct ocsp_budget){0};
    network_secret(b->secret);
}

static struct ocsp_share *share_of(struct ocsp_budget *b, const char *peer)
{
    uint8_t group[NETWORK_GROUP];
    network_group(peer, group);
    return &b->share[network_group_hash(group, b->secret) % OCSP_BUDGET_SHARES];
}

static int64_t used(const struct ocsp_share *s, int64_t now_us)
{
    return s->used_us * OCSP_BUDGET_SAVED / (OCSP_BUDGET_SAVED + now_us - s->at_us);
}

/* Each address must leave half of what it had itself: so those that want more than there is come to
 * equal shares, and who had nothing needs to find only something. */
bool ocsp_budget_take(struct ocsp_budget *b, const char *peer, int per_second, int64_t now_us)
{
    if (per_second <= 0)
        return true;
    struct ocsp_share *s = share_of(b, peer);
    int64_t cost = 1000000 / per_second, had = used(s, now_us);
    if (b->due_us < now_us)
        b->due_us = now_us;
    if (OCSP_BUDGET_SAVED - (b->due_us - now_us) <= had / 2)
        return false;
    b->due_us += cost;
    *s = (struct ocsp_share){.used_us = had + cost, .at_us = now_us};
    return true;
}
