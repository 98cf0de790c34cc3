/* Who guesses is slowed down: an address (or what one party may have of them) that presents wrong
 * words has ten tries, and gets one more every half minute.  A name that is tried from everywhere
 * is told so.  Both are told only to those whose words are wrong: nobody can lock an administrator
 * out, from elsewhere or from behind the same address.  Also bounds how many refused calls are
 * recorded, since the audit log forgets nothing.
 */
#include <stdlib.h>
#include <string.h>

#include "activity.h"
#include "api_internal.h"
#include "reads.h"

#define BUCKETS 1024
#define TRIES 10
#define REFILL_SECONDS 30
#define NAME_TRIES 30
#define RECORDS 10     /* of one party in a minute */
#define RECORDS_ALL 60 /* of all */

struct guard_entry {
    uint64_t who;  /* keyed hash: nobody outside can know who meets whom */
    int64_t since; /* of the count */
    unsigned failed;
    int64_t minute;
    unsigned recorded;
};

struct api_guard {
    uint64_t secret[2];
    struct guard_entry peer[BUCKETS], name[BUCKETS];
    int64_t minute;
    unsigned recorded;
    uint64_t left_out;
};

struct api_guard *api_guard_new(void)
{
    struct api_guard *g = calloc(1, sizeof *g);
    if (g)
        network_secret(g->secret);
    return g;
}

void api_guard_free(struct api_guard *g)
{
    free(g);
}

/* What failed long ago is forgiven, one by one. */
static void forgive(struct guard_entry *e, int64_t now)
{
    int64_t times = (now - e->since) / REFILL_SECONDS;
    if (times <= 0 && now >= e->since)
        return;
    e->failed = now < e->since || times >= e->failed ? 0 : e->failed - (unsigned)times;
    e->since = e->failed ? e->since + times * REFILL_SECONDS : now;
}

/* The entry of `who`, or, where there is none, the one that has the least to lose. */
static struct guard_entry *entry_of(struct guard_entry *table, uint64_t who, int64_t now)
{
    struct guard_entry *first = &table[who % BUCKETS], *second = &table[(who >> 32) % BUCKETS];
    struct guard_entry *found = first->who == who ? first : second->who == who ? second : NULL;
    if (!found) {
        forgive(first, now);
        forgive(second, now);
        found = first->failed <= second->failed ? first : second;
        *found = (struct guard_entry){.who = who, .since = now};
    }
    forgive(found, now);
    return found;
}

static struct guard_entry *entry_of_peer(struct api_guard *g, const char *peer, int64_t now)
{
    uint8_t group[NETWORK_GROUP];
    network_group(peer, group);
    return entry_of(g->peer, network_group_hash(group, g->secret), now);
}

/* Names fold: the store finds them in any case. */
static struct guard_entry *entry_of_name(struct api_guard *g, const char *name, int64_t now)
{
    uint8_t folded[NETWORK_GROUP] = {0};
    for (size_t i = 0; name[i]; i++)
        folded[i % sizeof folded] = (uint8_t)(folded[i % sizeof folded] * 31 + (name[i] | 0x20));
    return entry_of(g->name, network_group_hash(folded, g->secret), now);
}

int api_guard_wait(struct api_state *s, const char *peer, int64_t now)
{
    pthread_mutex_lock(&s->lock);
    const struct guard_entry *e = entry_of_peer(s->guard, peer, now);
    int wait = e->failed < TRIES ? 0 : (int)(e->since + REFILL_SECONDS - now);
    pthread_mutex_unlock(&s->lock);
    return wait < 0 ? 0 : wait;
}

bool api_guard_failed(struct api_state *s, const char *peer, const char *name, int64_t now)
{
    bool often = false;
    pthread_mutex_lock(&s->lock);
    struct guard_entry *e = entry_of_peer(s->guard, peer, now);
    if (e->failed < TRIES)
        e->failed++;
    if (*name) {
        e = entry_of_name(s->guard, name, now);
        often = e->failed >= NAME_TRIES;
        if (!often)
            e->failed++;
    }
    pthread_mutex_unlock(&s->lock);
    return often;
}

bool api_guard_record(struct api_state *s, const char *peer, int64_t now, uint64_t *more)
{
    pthread_mutex_lock(&s->lock);
    struct api_guard *g = s->guard;
    struct guard_entry *e = entry_of_peer(g, peer, now);
    if (g->minute != now / 60) {
        g->minute = now / 60;
        g->recorded = 0;
    }
    if (e->minute != now / 60) {
        e->minute = now / 60;
        e->recorded = 0;
    }
    bool record = e->recorded < RECORDS && g->recorded < RECORDS_ALL;
    *more = 0;
    if (record) {
        e->recorded++;
        g->recorded++;
        *more = g->left_out;
        g->left_out = 0;
    } else {
        g->left_out++;
    }
    pthread_mutex_unlock(&s->lock);
    return record;
}

struct api_state *api_state_new(void)
{
    struct api_state *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    pthread_mutex_init(&s->lock, NULL);
    if (!(s->guard = api_guard_new()) || !(s->activity = activity_new(0)) ||
        !(s->reads = api_reads_new())) {
        api_state_free(s);
        return NULL;
    }
    return s;
}

void api_state_free(struct api_state *s)
{
    if (!s)
        return;
    pthread_mutex_destroy(&s->lock);
    api_guard_free(s->guard);
    activity_free(s->activity);
    buf_clear(&s->document);
    api_reads_free(s->reads);
    free(s);
}

struct activity *api_activity(const struct api_state *s)
{
    return s->activity;
}
