/* Forgetting what ended long ago, a thousand records in a write, so that nobody waits long.  Never
 * what a CRL still lists, what a chain of renewals still names, or what guards against the return
 * of a compromised key. */
#include "fleet_internal.h"

#define STEP_RECORDS 1000

/* ---- may it go? ---- */

/* When the last word about it was said; 0: it was not. */
static int64_t request_end(const struct store_request *r)
{
    switch (r->state) {
    case REQUEST_EXPIRED:
        return r->expires_at;
    case REQUEST_DENIED:
    case REQUEST_ISSUED:
        return r->polled_at > r->decided_at ? r->polled_at : r->decided_at;
    case REQUEST_PENDING:
    case REQUEST_APPROVED: /* its device may still come */
        break;
    }
    return 0;
}

/* RFC 5280 section 3.3: until one CRL made after the certificate's end has listed it. */
static bool crl_done(struct txn *t, const struct store_cert *c, bool *done, struct err *err)
{
    int64_t made, whole;
    *done = c->state != CERT_REVOKED && c->state != CERT_HELD;
    if (*done)
        return true;
    if (!crl_made_at(t, c->authority, c->shard, &made, err) ||
        !crl_made_at(t, c->authority, STORE_CRL_COMPLETE, &whole, err))
        return false;
    *done = made > c->not_after && whole > c->not_after;
    return true;
}

/* The certificate by itself; a compromised key must be known when it comes again. */
static bool ended_well(struct txn *t, const struct store_cert *c, int64_t before, bool *yes,
                       struct err *err)
{
    *yes = false;
    if (c->not_after >= before ||
        (c->state == CERT_REVOKED && c->revocation_reason == CRL_KEY_COMPROMISE))
        return true;
    return crl_done(t, c, yes, err);
}

/* Its predecessor, if there is one that names it as its successor. */
static bool predecessor(struct txn *t, const struct store_cert *c, struct store_cert *out,
                        bool *found, struct err *err)
{
    struct err why = {0};
    *found = false;
    if (!c->renews)
        return true;
    if (cert_load(t, c->renews, out, &why)) {
        *found = out->renewed_by == c->id && out->id < c->id; /* so that the way up ends */
        return true;
    }
    if (why.kind == ERR_NOT_FOUND)
        return true;
    *err = why;
    return false;
}

/* Together with all that it renewed; the newest of all stays, since the numbers go on from it. */
static bool cert_may_go(struct txn *t, const struct store_cert *c, int64_t before, uint64_t last,
                        bool *may, struct err *err)
{
    struct store_cert at = *c, older;
    bool more = true;
    *may = c->id != last;
    while (*may && more) {
        if (!ended_well(t, &at, before, may, err) || !predecessor(t, &at, &older, &more, err))
            return false;
        if (more)
            at = older;
    }
    return true;
}

struct holding {
    struct txn *t;
    const struct key *prefix;
    int64_t before;
    bool good;
};

static bool held_entry(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    struct holding *h = ctx;
    struct store_cert c;
    if (key.n != h->prefix->n + 8)
        return err_set(err, ERR_STORE, "the store has a damaged link");
    if (!cert_load(h->t, octets_u64(key.p + h->prefix->n), &c, err))
        return false;
    *stop = h->good = c.state != CERT_REVOKED && c.not_after >= h->before;
    return true;
}

/* Not while a certificate of it is good: retiring it was interrupted, and goes on by its id. */
static bool device_may_go(struct txn *t, const struct store_device *d, int64_t before, bool *may,
                          struct err *err)
{
    const struct key certs = link_prefix(d->id, LINK_CERT);
    struct holding h = {.t = t, .prefix = &certs, .before = before};
    *may = d->state == DEVICE_RETIRED && d->changed_at < before;
    if (*may && !txn_walk(t, TABLE_LINK, key_view(&certs), held_entry, &h, err))
        return false;
    *may = *may && !h.good;
    return true;
}

static bool is_gone(struct txn *t, const char *id, bool *gone, struct err *err)
{
    const struct fleet_kind *kind = strncmp(id, kind_policy.prefix, 4) == 0  ? &kind_policy
                                    : strncmp(id, kind_group.prefix, 4) == 0 ? &kind_group
                                                                             : &kind_device;
    struct view record;
    if (!fleet_at(t, kind, id, &record, err))
        return false;
    *gone = !record.p;
    return true;
}

/* Users are known by no record: what was taken from them goes with their group. */
static bool removal_may_go(struct txn *t, const struct store_tie *tie, int64_t before, bool *may,
                           struct err *err)
{
    struct store_group g = {.users = false};
    *may = false;
    if (tie->at >= before)
        return true;
    if (!is_gone(t, tie->holder, may, err))
        return false;
    if (*may)
        return true;
    if (strncmp(tie->holder, kind_group.prefix, 4) == 0 && !group_at(t, tie->holder, &g, err))
        return false;
    return g.users || is_gone(t, tie->held, may, err);
}

/* ---- forgetting ---- */

static bool tx_of(struct txn *t, const char *endpoint, const char *transaction, struct key *k,
                  struct store_tx *tx, bool *found, struct err *err)
{
    return tx_key(t->s, endpoint, transaction, k, err) && tx_load(t, key_view(k), tx, found, err);
}

/* A transaction that was answered stays, without the request's name; one that was refused goes: the
 * device that comes again after so long asks anew. */
static bool request_forget(struct txn *t, const struct store_request *r, struct err *err)
{
    struct store_tx tx = {.endpoint = ""};
    struct key k;
    struct buf record = {0};
    bool found, ok = tx_of(t, r->endpoint, r->transaction, &k, &tx, &found, err);
    if (ok && found && strcmp(tx.request, r->id) == 0) {
        bool answered = tx.state == TX_ISSUED;
        tx.request[0] = '\0';
        ok = answered ? tx_write(&tx, &record, err) &&
                            txn_put(t, TABLE_TX, PUT_REPLACE, key_view(&k), buf_view(&record), err)
                      : txn_del(t, TABLE_TX, key_view(&k), err);
    }
    buf_clear(&record);
    struct key made = request_made_key(r);
    return ok && txn_del(t, TABLE_REQUEST_MADE, key_view(&made), err) &&
           links_del(t, r->device, r->policy, LINK_REQUEST, key_view(&made), err) &&
           txn_del(t, TABLE_REQUEST, view_str(r->id), err) &&
           txn_del(t, TABLE_REQUEST_DATA, view_str(r->id), err);
}

static bool cert_forget(struct txn *t, const struct store_cert *c, struct err *err)
{
    struct key id = key_id(c->id), revoked = revoked_key(c->authority, c->id),
               serial = cert_serial_key(view_of(c->serial, c->serial_len), c->authority),
               by_key = cert_key_key(c->key_hash, c->id),
               by_subject = cert_subject_key(c->subject_hash, c->id), k;
    struct store_tx tx = {.endpoint = ""};
    bool found;
    if (!tx_of(t, c->endpoint, c->transaction, &k, &tx, &found, err))
        return false;
    if (found && tx.state == TX_ISSUED && tx.cert_id == c->id &&
        !txn_del(t, TABLE_TX, key_view(&k), err))
        return false;
    return ((c->state != CERT_REVOKED && c->state != CERT_HELD) ||
            txn_del(t, TABLE_REVOKED, key_view(&revoked), err)) &&
           released_drop(t, c, err) && txn_del(t, TABLE_CERT_SERIAL, key_view(&serial), err) &&
           txn_del(t, TABLE_CERT_KEY, key_view(&by_key), err) &&
           txn_del(t, TABLE_CERT_SUBJECT, key_view(&by_subject), err) &&
           links_del(t, c->device, c->policy, LINK_CERT, key_view(&id), err) &&
           txn_del(t, TABLE_CERT_DER, key_view(&id), err) &&
           txn_del(t, TABLE_CERT, key_view(&id), err) && cert_count_move(t, c, NULL, err);
}

/* ---- one step ---- */

struct step {
    struct txn *t;
    struct store_purge *p;
    uint64_t last; /* id of the newest certificate */
    size_t seen;
    struct buf keys; /* of what may go: a length octet before each */
    size_t n;
};

static bool challenge_may_go(struct view end_key, int64_t before)
{
    struct key until = {.n = 0};
    key_time(&until, before);
    return end_key.n > 8 && memcmp(end_key.p, until.p, 8) < 0;
}

static bool may_go(struct step *s, struct view key, struct view value, bool *may, struct err *err)
{
    struct store_request r;
    struct store_cert c;
    struct store_device d;
    struct store_tie tie;
    switch (s->p->kind) {
    case STORE_PURGE_REQUESTS:
        if (!request_read(value, &r, err))
            return false;
        *may = request_end(&r) && request_end(&r) < s->p->before;
        return true;
    case STORE_PURGE_CERTS:
        return cert_read(value, &c, err) && cert_may_go(s->t, &c, s->p->before, s->last, may, err);
    case STORE_PURGE_CHALLENGES:
        *may = challenge_may_go(key, s->p->before);
        return true;
    case STORE_PURGE_DEVICES:
        return device_read(value, &d, err) && device_may_go(s->t, &d, s->p->before, may, err);
    case STORE_PURGE_REMOVALS:
        return tie_read(key, value, &tie, err) &&
               removal_may_go(s->t, &tie, s->p->before, may, err);
    }
    return err_set(err, ERR_CONFIG, "there is nothing of kind %d to purge", (int)s->p->kind);
}

static bool look(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    struct step *s = ctx;
    bool may = false;
    uint8_t length = (uint8_t)key.n;
    if (s->seen == STEP_RECORDS || key.n >= sizeof s->p->at) {
        *stop = true;
        return s->seen == STEP_RECORDS ||
               err_set(err, ERR_STORE, "the store has a key of %zu octets", key.n);
    }
    s->seen++;
    memcpy(s->p->at, key.p, key.n);
    s->p->at[key.n] = 0; /* the very next key in order */
    s->p->at_n = key.n + 1;
    if (!may_go(s, key, value, &may, err))
        return false;
    if (!may) /* the index of ends is in order of time */
        *stop = s->p->kind == STORE_PURGE_CHALLENGES;
    s->n += may;
    return !may || ((buf_append(&s->keys, &length, 1) && buf_append(&s->keys, key.p, key.n)) ||
                    err_memory(err));
}

static const enum table tables[] = {
    [STORE_PURGE_REQUESTS] = TABLE_REQUEST, [STORE_PURGE_CHALLENGES] = TABLE_CHALLENGE_END,
    [STORE_PURGE_CERTS] = TABLE_CERT,       [STORE_PURGE_DEVICES] = TABLE_DEVICE,
    [STORE_PURGE_REMOVALS] = TABLE_UNTIED,
};

static bool forget(struct step *s, struct view key, struct err *err)
{
    struct store_request r;
    struct store_cert c;
    struct store_device d;
    struct view record;
    if (!txn_get(s->t, tables[s->p->kind], key, &record, err))
        return false;
    switch (s->p->kind) {
    case STORE_PURGE_CHALLENGES:
        return challenge_forget(s->t, key, err);
    case STORE_PURGE_REQUESTS:
        return request_read(record, &r, err) && request_forget(s->t, &r, err);
    case STORE_PURGE_DEVICES:
        return device_read(record, &d, err) && device_forget(s->t, &d, err);
    case STORE_PURGE_REMOVALS:
        return txn_del(s->t, TABLE_UNTIED, key, err);
    case STORE_PURGE_CERTS:
        break;
    }
    return cert_read(record, &c, err) && cert_forget(s->t, &c, err);
}

static bool run(struct step *s, bool really, struct err *err)
{
    struct view last;
    if (!txn_last_key(s->t, TABLE_CERT, &last, err))
        return false;
    s->last = last.n == 8 ? octets_u64(last.p) : 0;
    if (!txn_walk_from(s->t, tables[s->p->kind], view_of(s->p->at, s->p->at_n), look, s, err))
        return false;
    const uint8_t *at = s->keys.p;
    for (size_t i = 0; really && i < s->n; i++, at += 1 + at[0])
        if (!forget(s, view_of(at + 1, at[0]), err))
            return txn_spoil(s->t, err);
    return true;
}

bool store_purge_step(struct store *s, struct store_write *w, struct store_purge *p,
                      struct err *err)
{
    struct txn reading;
    struct store_purge next = *p;
    struct step step = {.t = w ? &w->txn : &reading, .p = &next};
    if (w ? !txn_usable(&w->txn, err) : !txn_read(s, &reading, err))
        return false;
    bool ok = run(&step, w != NULL, err);
    if (!w)
        txn_read_end(&reading);
    buf_clear(&step.keys);
    if (!ok)
        return false;
    next.found += step.n;
    next.done = step.seen < STEP_RECORDS;
    *p = next;
    return true;
}
