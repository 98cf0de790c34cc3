#include "activity.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/reason.h"

#define HOUR 3600
#define LOOK_MOST 200000 /* attempts: some tenths of a second */

/* Hour h of the clock lies in ring[h % HOURS]; what is older was replaced. */
struct slot {
    int64_t hour; /* number since 1970 */
    uint64_t issued, refused;
    uint32_t reason[REASON_COUNT];
    int64_t first[REASON_COUNT], last[REASON_COUNT]; /* when, in this hour */
};

struct activity {
    pthread_mutex_t lock;
    struct slot ring[ACTIVITY_HOURS];
    uint64_t most; /* attempts that one look may read */
    uint64_t seen; /* the newest attempt that is counted */
    bool any;      /* there was a look before */
    int64_t gap;   /* the newest hour that lacks attempts, 0: none */
};

struct activity *activity_new(uint64_t most)
{
    struct activity *a = calloc(1, sizeof *a);
    if (!a)
        return NULL;
    pthread_mutex_init(&a->lock, NULL);
    a->most = most ? most : LOOK_MOST;
    return a;
}

void activity_free(struct activity *a)
{
    if (!a)
        return;
    pthread_mutex_destroy(&a->lock);
    free(a);
}

/* ---- counting ---- */

struct counting {
    struct activity *a;
    int64_t oldest; /* hour */
    int64_t newest;
    uint64_t top, n; /* newest seq met; how many */
};

static struct slot *slot_of(struct activity *a, int64_t hour)
{
    struct slot *s = &a->ring[hour % ACTIVITY_HOURS];
    if (s->hour != hour) {
        memset(s, 0, sizeof *s);
        s->hour = hour;
    }
    return s;
}

static void add(struct slot *s, const struct store_attempt *t)
{
    uint64_t n = t->result == ATTEMPT_COUNTED && t->more ? t->more : 1;
    enum reason reason = reason_by_code(t->reason);
    if (t->result == ATTEMPT_ISSUED || t->result == ATTEMPT_RENEWED)
        s->issued += n;
    if (t->result != ATTEMPT_REFUSED && t->result != ATTEMPT_FAILED && t->result != ATTEMPT_COUNTED)
        return;
    s->refused += n;
    s->reason[reason] += (uint32_t)n;
    if (!s->first[reason] || t->at < s->first[reason])
        s->first[reason] = t->at;
    if (t->at > s->last[reason])
        s->last[reason] = t->at;
}

static bool count_one(void *ctx, const struct store_attempt *t)
{
    struct counting *c = ctx;
    int64_t hour = t->at / HOUR;
    if (t->seq <= c->a->seen || (!c->a->any && hour < c->oldest))
        return false;
    if (c->n == c->a->most) {
        if (hour > c->a->gap)
            c->a->gap = hour;
        return false;
    }
    c->n++;
    if (t->seq > c->top)
        c->top = t->seq;
    if (hour >= c->oldest && hour <= c->newest)
        add(slot_of(c->a, hour), t);
    return true;
}

/* ---- telling ---- */

static void take_reason(struct activity_figures *f, const struct activity_reason *r)
{
    size_t i = f->reason_n;
    while (i > 0 && f->reason[i - 1].n < r->n)
        i--;
    if (i == ACTIVITY_REASONS)
        return;
    size_t last = f->reason_n < ACTIVITY_REASONS ? f->reason_n++ : ACTIVITY_REASONS - 1;
    memmove(&f->reason[i + 1], &f->reason[i], (last - i) * sizeof *r);
    f->reason[i] = *r;
}

static void tell_reasons(const struct activity *a, int64_t oldest, struct activity_figures *f)
{
    for (int r = REASON_NONE + 1; r < REASON_COUNT; r++) {
        struct activity_reason sum = {.n = 0};
        for (size_t i = 0; i < ACTIVITY_HOURS; i++) {
            const struct slot *s = &a->ring[i];
            if (s->hour < oldest || !s->reason[r])
                continue;
            sum.n += s->reason[r];
            if (!sum.since || s->first[r] < sum.since)
                sum.since = s->first[r];
            if (s->last[r] > sum.latest)
                sum.latest = s->last[r];
        }
        strncpy(sum.code, reason_info((enum reason)r)->code, sizeof sum.code - 1);
        if (sum.n)
            take_reason(f, &sum);
    }
}

static void tell(const struct activity *a, int64_t oldest, struct activity_figures *f)
{
    *f = (struct activity_figures){.complete = a->gap < oldest};
    for (int64_t i = 0; i < ACTIVITY_HOURS; i++) {
        const struct slot *s = &a->ring[(oldest + i) % ACTIVITY_HOURS];
        f->hour[i].from = (oldest + i) * HOUR;
        if (s->hour != oldest + i)
            continue;
        f->hour[i].issued = s->issued;
        f->hour[i].refused = s->refused;
        f->issued += s->issued;
        f->refused += s->refused;
    }
    tell_reasons(a, oldest, f);
}

bool activity_look(struct activity *a, struct store *s, int64_t now, struct activity_figures *out,
                   struct err *err)
{
    pthread_mutex_lock(&a->lock);
    struct counting c = {
        .a = a, .newest = now / HOUR, .oldest = now / HOUR - ACTIVITY_HOURS + 1, .top = a->seen};
    bool ok = store_attempt_list(s, 0, count_one, &c, err);
    if (ok) {
        a->seen = c.top;
        a->any = true;
        tell(a, c.oldest, out);
    } else { /* some are counted and some are not: from the beginning next time */
        memset(a->ring, 0, sizeof a->ring);
        a->seen = 0;
        a->gap = 0;
        a->any = false;
    }
    pthread_mutex_unlock(&a->lock);
    return ok;
}
