/* Certificates, challenges, requests, audit entries and attempts by page.  Each walks either the
 * links of a device or a policy, which name exactly what is asked for, or everything from the
 * newest on, of which a bounded number is looked at. */
#include "pager.h"

/* What is older than this before the time asked for ends a walk: clocks fall back a little now and
 * then, and entries stand in the order in which they came. */
#define CLOCK_SLACK 3600

/* The walk of a list: links of an owner, or an index of its own. */
struct walk {
    struct pager pager;
    const void *filter;
    enum table table; /* of the records */
    bool direct;      /* keys of the walk are those of the records */
    size_t prefix;    /* of keys of the walk: what stands behind is the number */
    size_t hash_at;   /* octets of the number before the record's key */
    bool (*wanted)(const void *filter, struct view record, bool *yes, bool *stop, struct err *err);
};

static bool walk_entry(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    struct walk *l = ctx;
    bool yes = false;
    struct view place = l->pager.numbered ? view_of(key.p + l->prefix, key.n - l->prefix) : key;
    if (key.n < l->prefix + l->hash_at || (l->pager.numbered && place.n != 8))
        return err_set(err, ERR_STORE, "the store has a damaged index entry");
    if (!pager_room(&l->pager, place, stop))
        return true;
    struct view record = value,
                id = view_of(key.p + l->prefix + l->hash_at, key.n - l->prefix - l->hash_at);
    if (!l->direct && !txn_get(l->pager.t, l->table, id, &record, err))
        return false;
    if (!record.p)
        return err_set(err, ERR_STORE, "the store has an index entry without its record");
    return l->wanted(l->filter, record, &yes, stop, err) &&
           (!yes || pager_take(&l->pager, record, err));
}

/* Along the links of `owner`; numbers are the places of pages where the list is numbered. */
static bool walk_links(struct walk *l, const char *owner, enum link_kind kind, bool down,
                       struct err *err)
{
    if (strlen(owner) >= 32 && kind != LINK_AUDIT)
        return true; /* nothing has such an id */
    struct key prefix = link_prefix(owner, kind), from = prefix;
    struct view at = pager_at(&l->pager);
    l->prefix = prefix.n;
    if (l->pager.numbered && at.n) {
        key_bytes(&from, at.p, at.n);
        at = key_view(&from);
    }
    return (l->pager.numbered || pager_fits(&l->pager, key_view(&prefix), err)) &&
           txn_walk_on(l->pager.t, TABLE_LINK, key_view(&prefix), at, down, walk_entry, l, err);
}

/* Along the certificates of one subject. */
static bool walk_subject(struct walk *l, const uint8_t subject_hash[STORE_HASH], bool down,
                         struct err *err)
{
    struct view prefix = view_of(subject_hash, STORE_HASH), at = pager_at(&l->pager);
    struct key from = {.n = 0};
    l->prefix = prefix.n;
    if (at.n) {
        key_bytes(&from, prefix.p, prefix.n);
        key_bytes(&from, at.p, at.n);
        at = key_view(&from);
    }
    return txn_walk_on(l->pager.t, TABLE_CERT_SUBJECT, prefix, at, down, walk_entry, l, err);
}

static bool walk_all(struct walk *l, enum table table, bool down, struct err *err)
{
    return txn_walk_on(l->pager.t, table, view_of(NULL, 0), pager_at(&l->pager), down, walk_entry,
                       l, err);
}

/* Equal, or any is asked for. */
static bool is(const char *asked, const char *value)
{
    return !asked || strcmp(asked, value) == 0;
}

/* The same, or a whole kind: "challenge." */
static bool is_kind(const char *asked, const char *value)
{
    size_t n = asked ? strlen(asked) : 0;
    return !n || (asked[n - 1] == '.' ? strncmp(asked, value, n) == 0 : strcmp(asked, value) == 0);
}

static bool in_time(int64_t at, int64_t since, int64_t until, bool *stop)
{
    *stop = since && at < since - CLOCK_SLACK;
    return (!since || at >= since) && (!until || at < until);
}

/* ---- certificates ---- */

static bool cert_wanted(const void *filter, struct view record, bool *yes, bool *stop,
                        struct err *err)
{
    struct store_cert c;
    if (!cert_read(record, &c, err))
        return false;
    *yes = store_cert_passes(filter, &c);
    return true;
}

struct cert_each {
    void (*each)(void *ctx, const struct store_cert *c);
    void *ctx;
};

static bool cert_give(void *ctx, struct view record, struct err *err)
{
    const struct cert_each *e = ctx;
    struct store_cert c;
    if (!cert_read(record, &c, err))
        return false;
    e->each(e->ctx, &c);
    return true;
}

bool store_cert_page(struct store *s, const struct store_cert_filter *f, struct store_page *page,
                     void (*each)(void *ctx, const struct store_cert *c), void *ctx,
                     struct err *err)
{
    struct walk l = {.filter = f, .table = TABLE_CERT, .wanted = cert_wanted};
    struct cert_each e = {each, ctx};
    const char *owner = f->device ? f->device : f->policy;
    if (!pager_begin(&l.pager, s, page, true, err))
        return false;
    l.direct = !owner && !f->subject_hash;
    bool ok = owner             ? walk_links(&l, owner, LINK_CERT, !f->oldest_first, err)
              : f->subject_hash ? walk_subject(&l, f->subject_hash, !f->oldest_first, err)
                                : walk_all(&l, TABLE_CERT, !f->oldest_first, err);
    return pager_end(&l.pager, ok, cert_give, &e, err);
}

/* ---- challenges ---- */

static bool challenge_wanted(const void *filter, struct view record, bool *yes, bool *stop,
                             struct err *err)
{
    const struct store_challenge_filter *f = filter;
    struct store_challenge c;
    if (!challenge_read(record, &c, err))
        return false;
    *yes = is(f->device, c.device) && is(f->policy, c.policy) && is(f->endpoint, c.endpoint) &&
           is(f->created_by, c.created_by) &&
           (!f->state || store_challenge_state(&c, f->now) == f->state);
    return true;
}

struct challenge_each {
    void (*each)(void *ctx, const struct store_challenge *c);
    void *ctx;
};

static bool challenge_give(void *ctx, struct view record, struct err *err)
{
    const struct challenge_each *e = ctx;
    struct store_challenge c;
    if (!challenge_read(record, &c, err))
        return false;
    e->each(e->ctx, &c);
    return true;
}

bool store_challenge_page(struct store *s, const struct store_challenge_filter *f,
                          struct store_page *page,
                          void (*each)(void *ctx, const struct store_challenge *c), void *ctx,
                          struct err *err)
{
    struct walk l = {
        .filter = f, .table = TABLE_CHALLENGE, .hash_at = 8, .wanted = challenge_wanted};
    struct challenge_each e = {each, ctx};
    const char *owner = f->device ? f->device : f->policy;
    if (!pager_begin(&l.pager, s, page, false, err))
        return false;
    bool ok = owner ? walk_links(&l, owner, LINK_CHALLENGE, true, err)
                    : walk_all(&l, TABLE_CHALLENGE_MADE, true, err);
    return pager_end(&l.pager, ok, challenge_give, &e, err);
}

/* ---- requests ---- */

static bool request_wanted(const void *filter, struct view record, bool *yes, bool *stop,
                           struct err *err)
{
    const struct store_request_filter *f = filter;
    struct store_request r;
    if (!request_read(record, &r, err))
        return false;
    *yes = (f->state < 0 || (int)r.state == f->state) && is(f->device, r.device) &&
           is(f->policy, r.policy) && is(f->endpoint, r.endpoint);
    return true;
}

struct request_each {
    void (*each)(void *ctx, const struct store_request *r);
    void *ctx;
};

static bool request_give(void *ctx, struct view record, struct err *err)
{
    const struct request_each *e = ctx;
    struct store_request r;
    if (!request_read(record, &r, err))
        return false;
    e->each(e->ctx, &r);
    return true;
}

bool store_request_page(struct store *s, const struct store_request_filter *f,
                        struct store_page *page,
                        void (*each)(void *ctx, const struct store_request *r), void *ctx,
                        struct err *err)
{
    struct walk l = {.filter = f, .table = TABLE_REQUEST, .hash_at = 8, .wanted = request_wanted};
    struct request_each e = {each, ctx};
    const char *owner = f->device ? f->device : f->policy;
    if (!pager_begin(&l.pager, s, page, false, err))
        return false;
    bool ok = owner                         ? walk_links(&l, owner, LINK_REQUEST, true, err)
              : f->state == REQUEST_PENDING ? walk_all(&l, TABLE_PENDING, false, err)
                                            : walk_all(&l, TABLE_REQUEST_MADE, true, err);
    return pager_end(&l.pager, ok, request_give, &e, err);
}

/* ---- audit ---- */

static bool audit_wanted(const void *filter, struct view record, bool *yes, bool *stop,
                         struct err *err)
{
    const struct store_audit_filter *f = filter;
    struct store_audit a;
    /* Most may be left out: of those no more is read than that. */
    if (!(f->except ? audit_read_event(record, &a, err) : audit_read(record, &a, err)))
        return false;
    *yes = in_time(a.at, f->since, f->until, stop) && !(f->except && is(f->except, a.event));
    if (!*yes)
        return true;
    if (f->except && !audit_read(record, &a, err))
        return false;
    *yes = is(f->object, a.object) && is(f->actor, a.actor) && is_kind(f->event, a.event);
    return true;
}

struct audit_each {
    void (*each)(void *ctx, const struct store_audit *a);
    void *ctx;
};

static bool audit_give(void *ctx, struct view record, struct err *err)
{
    const struct audit_each *e = ctx;
    struct store_audit a;
    if (!audit_read(record, &a, err))
        return false;
    e->each(e->ctx, &a);
    return true;
}

bool store_audit_page(struct store *s, const struct store_audit_filter *f, struct store_page *page,
                      void (*each)(void *ctx, const struct store_audit *a), void *ctx,
                      struct err *err)
{
    struct walk l = {.filter = f, .table = TABLE_AUDIT, .wanted = audit_wanted};
    struct audit_each e = {each, ctx};
    bool linked = f->object && link_owner(f->object);
    if (f->object && strlen(f->object) >= sizeof(((struct store_audit *)NULL)->object))
        return err_set(err, ERR_NOT_FOUND, "nothing is called %.40s...", f->object);
    if (!pager_begin(&l.pager, s, page, true, err))
        return false;
    l.direct = !linked;
    bool ok = linked ? walk_links(&l, f->object, LINK_AUDIT, true, err)
                     : walk_all(&l, TABLE_AUDIT, true, err);
    return pager_end(&l.pager, ok, audit_give, &e, err);
}

/* ---- attempts ---- */

static bool attempt_wanted(const void *filter, struct view record, bool *yes, bool *stop,
                           struct err *err)
{
    const struct store_attempt_filter *f = filter;
    struct store_attempt a;
    if (!attempt_read(record, &a, err))
        return false;
    *yes = in_time(a.at, f->since, f->until, stop) && is(f->device, a.device) &&
           is(f->policy, a.policy) && (f->result < 0 || (int)a.result == f->result) &&
           is_kind(f->reason, a.reason) && is(f->peer, a.peer) && is(f->endpoint, a.endpoint);
    return true;
}

struct attempt_each {
    void (*each)(void *ctx, const struct store_attempt *a);
    void *ctx;
};

static bool attempt_give(void *ctx, struct view record, struct err *err)
{
    const struct attempt_each *e = ctx;
    struct store_attempt a;
    if (!attempt_read(record, &a, err))
        return false;
    e->each(e->ctx, &a);
    return true;
}

bool store_attempt_page(struct store *s, const struct store_attempt_filter *f,
                        struct store_page *page,
                        void (*each)(void *ctx, const struct store_attempt *a), void *ctx,
                        struct err *err)
{
    struct walk l = {.filter = f, .table = TABLE_ATTEMPT, .wanted = attempt_wanted};
    struct attempt_each e = {each, ctx};
    const char *owner = f->device ? f->device : f->policy;
    if (!pager_begin(&l.pager, s, page, true, err))
        return false;
    l.direct = !owner;
    bool ok = owner ? walk_links(&l, owner, LINK_ATTEMPT, true, err)
                    : walk_all(&l, TABLE_ATTEMPT, true, err);
    return pager_end(&l.pager, ok, attempt_give, &e, err);
}
