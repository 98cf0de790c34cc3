/* Requests that wait for an administrator: the changing record, what the client sent, and the queue
 * of pending ones by expiry. */
#include "records.h"

#include <stdlib.h>

#define REQUEST_VERSION 2 /* 1: without device and policy */
#define REQUEST_DATA_VERSION 1
/* The largest message that a client may send; a limit of the store, not of a protocol. */
#define REQUEST_BLOB_MAX (256u << 10)
/* Expired in one write, so that nobody waits long for it. */
#define EXPIRE_MAX 1000

static const char what[] = "request";

void store_request_clear(struct store_request *r)
{
    if (!r)
        return;
    buf_clear(&r->csr);
    buf_clear(&r->signer);
    *r = (struct store_request){.id = ""};
}

/* ---- records and keys ---- */

static bool request_write(const struct store_request *q, struct buf *out, struct err *err)
{
    struct record_writer w = record_begin(out, REQUEST_VERSION);
    write_text(&w, q->id, sizeof q->id);
    write_u8(&w, (uint8_t)q->state);
    write_text(&w, q->endpoint, sizeof q->endpoint);
    write_text(&w, q->transaction, sizeof q->transaction);
    write_text(&w, q->template_name, sizeof q->template_name);
    write_text(&w, q->subject, sizeof q->subject);
    write_text(&w, q->san, sizeof q->san);
    write_text(&w, q->key, sizeof q->key);
    write_text(&w, q->peer, sizeof q->peer);
    write_text(&w, q->challenge, sizeof q->challenge);
    write_bytes(&w, q->challenge_hash, STORE_HASH);
    write_i64(&w, q->created_at);
    write_i64(&w, q->expires_at);
    write_i64(&w, q->decided_at);
    write_i64(&w, q->polled_at);
    write_u32(&w, q->polls);
    write_text(&w, q->decided_by, sizeof q->decided_by);
    write_text(&w, q->note, sizeof q->note);
    write_u64(&w, q->cert_id);
    write_text(&w, q->device, sizeof q->device);
    write_text(&w, q->policy, sizeof q->policy);
    return record_written(&w, what, err);
}

bool request_read(struct view record, struct store_request *out, struct err *err)
{
    struct record_reader r;
    struct store_request q = {.id = ""};
    uint8_t version;
    if (!record_open_any(&r, record, REQUEST_VERSION, &version, what, err))
        return false;
    read_text(&r, q.id, sizeof q.id);
    q.state = (enum request_state)read_u8(&r);
    read_text(&r, q.endpoint, sizeof q.endpoint);
    read_text(&r, q.transaction, sizeof q.transaction);
    read_text(&r, q.template_name, sizeof q.template_name);
    read_text(&r, q.subject, sizeof q.subject);
    read_text(&r, q.san, sizeof q.san);
    read_text(&r, q.key, sizeof q.key);
    read_text(&r, q.peer, sizeof q.peer);
    read_text(&r, q.challenge, sizeof q.challenge);
    read_bytes(&r, q.challenge_hash, STORE_HASH);
    q.created_at = read_i64(&r);
    q.expires_at = read_i64(&r);
    q.decided_at = read_i64(&r);
    q.polled_at = read_i64(&r);
    q.polls = read_u32(&r);
    read_text(&r, q.decided_by, sizeof q.decided_by);
    read_text(&r, q.note, sizeof q.note);
    q.cert_id = read_u64(&r);
    if (version >= 2) {
        read_text(&r, q.device, sizeof q.device);
        read_text(&r, q.policy, sizeof q.policy);
    }
    if (!record_close(&r, what, err))
        return false;
    if (q.state > REQUEST_EXPIRED)
        return err_set(err, ERR_STORE, "the store has a request in the unknown state %d",
                       (int)q.state);
    *out = q;
    return true;
}

static bool data_write(const struct store_request *q, struct buf *out, struct err *err)
{
    struct record_writer w = record_begin(out, REQUEST_DATA_VERSION);
    write_blob(&w, buf_view(&q->csr));
    write_blob(&w, buf_view(&q->signer));
    return record_written(&w, what, err);
}

bool request_data_read(struct view record, struct store_request *out, struct err *err)
{
    struct record_reader r;
    struct buf csr = {0}, signer = {0};
    if (!record_open(&r, record, REQUEST_DATA_VERSION, "request data", err))
        return false;
    struct view csr_view = read_blob(&r), signer_view = read_blob(&r);
    if (!record_close(&r, "request data", err))
        return false;
    if (!buf_append(&csr, csr_view.p, csr_view.n) ||
        !buf_append(&signer, signer_view.p, signer_view.n)) {
        buf_clear(&csr);
        buf_clear(&signer);
        return err_memory(err);
    }
    out->csr = csr;
    out->signer = signer;
    return true;
}

/* Those that never expire stand at the end. */
struct key request_pending_key(const struct store_request *r)
{
    struct key k = {.n = 0};
    key_time(&k, r->expires_at ? r->expires_at : INT64_MAX);
    key_bytes(&k, r->id, strnlen(r->id, sizeof r->id));
    return k;
}

struct key request_made_key(const struct store_request *r)
{
    struct key k = {.n = 0};
    key_time(&k, r->created_at);
    key_bytes(&k, r->id, strnlen(r->id, sizeof r->id));
    return k;
}

static bool made_entry(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    struct store_request r;
    if (!request_read(value, &r, err))
        return false;
    struct key made = request_made_key(&r);
    return txn_put(ctx, TABLE_REQUEST_MADE, PUT_REPLACE, key_view(&made), view_of(NULL, 0), err);
}

bool requests_made_fill(struct txn *t, struct err *err)
{
    return txn_walk(t, TABLE_REQUEST, view_of(NULL, 0), made_entry, t, err);
}

/* ---- reading ---- */

/* By the whole id. */
static bool request_load(struct txn *t, const char *id, struct store_request *out, struct err *err)
{
    struct view record;
    if (!txn_get(t, TABLE_REQUEST, view_str(id), &record, err))
        return false;
    if (!record.p)
        return err_set(err, ERR_NOT_FOUND, "there is no request %.40s", id);
    return request_read(record, out, err);
}

static bool load_whole(struct txn *t, const char *id_or_prefix, struct store_request *out,
                       struct err *err)
{
    struct view record, data;
    struct store_request r;
    if (!id_find(t, TABLE_REQUEST, id_or_prefix, what, &record, err) ||
        !request_read(record, &r, err) ||
        !txn_get(t, TABLE_REQUEST_DATA, view_str(r.id), &data, err))
        return false;
    if (!data.p)
        return err_set(err, ERR_STORE, "the store has request %s without its data", r.id);
    if (!request_data_read(data, &r, err))
        return false;
    *out = r;
    return true;
}

bool store_request_get(struct store *s, const char *id_or_prefix, struct store_request *out,
                       struct err *err)
{
    struct txn t;
    if (!txn_read(s, &t, err))
        return false;
    bool ok = load_whole(&t, id_or_prefix, out, err);
    txn_read_end(&t);
    return ok;
}

bool store_write_request_get(struct store_write *w, const char *id, struct store_request *out,
                             struct err *err)
{
    return txn_usable(&w->txn, err) && load_whole(&w->txn, id, out, err);
}

/* ---- writing ---- */

static bool request_save(struct txn *t, const struct store_request *r, struct err *err)
{
    struct buf record = {0};
    bool ok = request_write(r, &record, err) &&
              txn_put(t, TABLE_REQUEST, PUT_REPLACE, view_str(r->id), buf_view(&record), err);
    buf_clear(&record);
    return ok;
}

static bool put_checked(struct txn *t, const struct store_request *r, struct err *err)
{
    struct view there;
    if (!r->id[0] || strnlen(r->id, sizeof r->id) == sizeof r->id)
        return err_set(err, ERR_STORE, "a request needs an id of 1 to %zu characters",
                       sizeof r->id - 1);
    if (r->csr.n > REQUEST_BLOB_MAX || r->signer.n > REQUEST_BLOB_MAX)
        return err_set(err, ERR_STORE,
                       "a request of %zu octets from a signer of %zu cannot be stored", r->csr.n,
                       r->signer.n);
    if (!txn_get(t, TABLE_REQUEST, view_str(r->id), &there, err))
        return false;
    return !there.p || err_set(err, ERR_EXISTS, "there is a request %s already", r->id);
}

/* The queue of those that are pending, and how many of them are at each endpoint. */

static bool queue_add(struct txn *t, const struct store_request *r, struct err *err)
{
    struct key pending = request_pending_key(r), count = meta_pending(r->endpoint);
    uint64_t n;
    return txn_put(t, TABLE_PENDING, PUT_NEW, key_view(&pending), view_of(NULL, 0), err) &&
           txn_counter_next(t, key_view(&count), &n, err);
}

static bool queue_remove(struct txn *t, const struct store_request *r, struct err *err)
{
    struct key pending = request_pending_key(r), count = meta_pending(r->endpoint);
    return txn_del(t, TABLE_PENDING, key_view(&pending), err) &&
           txn_counter_less(t, key_view(&count), err);
}

bool store_request_put(struct store_write *w, const struct store_request *r, struct err *err)
{
    struct txn *t = &w->txn;
    struct buf data = {0};
    if (!txn_usable(t, err) || !put_checked(t, r, err))
        return false;
    struct key made = request_made_key(r);
    bool ok = data_write(r, &data, err) && request_save(t, r, err) &&
              txn_put(t, TABLE_REQUEST_MADE, PUT_NEW, key_view(&made), view_of(NULL, 0), err) &&
              links_put(t, r->device, r->policy, LINK_REQUEST, key_view(&made), err) &&
              txn_put(t, TABLE_REQUEST_DATA, PUT_NEW, view_str(r->id), buf_view(&data), err) &&
              (r->state != REQUEST_PENDING || queue_add(t, r, err));
    buf_clear(&data);
    return ok;
}

/* Takes a request into the state of `r`, out of the queue if it was pending; its transaction goes
 * along. */
static bool request_settle(struct txn *t, const struct store_request *r, enum tx_state was,
                           enum tx_state state, int64_t at, struct err *err)
{
    struct store_tx tx = {.endpoint = ""};
    struct key k;
    struct buf record = {0};
    bool found;
    if (!tx_key(t->s, r->endpoint, r->transaction, &k, err) ||
        !tx_load(t, key_view(&k), &tx, &found, err))
        return false;
    bool along = found && tx.state == was && strcmp(tx.request, r->id) == 0;
    if (!along && was == TX_DENIED)
        return err_set(err, ERR_CONFLICT,
                       "request %s was denied and its device has asked for something else since",
                       r->id);
    tx.state = state;
    tx.changed_at = at;
    bool ok = tx_write(&tx, &record, err) && request_save(t, r, err) &&
              (was != TX_PENDING || queue_remove(t, r, err)) &&
              (!along || txn_put(t, TABLE_TX, PUT_REPLACE, key_view(&k), buf_view(&record), err));
    buf_clear(&record);
    return ok;
}

bool store_request_decide(struct store_write *w, const char *id, bool approve, const char *by,
                          const char *note, int64_t at, struct err *err)
{
    struct txn *t = &w->txn;
    struct store_request r;
    if (!txn_usable(t, err) || !request_load(t, id, &r, err))
        return false;
    enum tx_state was = r.state == REQUEST_DENIED ? TX_DENIED : TX_PENDING;
    if (r.state != REQUEST_PENDING && !(approve && r.state == REQUEST_DENIED))
        return err_set(err, ERR_CONFLICT, "request %s does not wait for a decision any more", r.id);
    if (r.state == REQUEST_PENDING && r.expires_at && at >= r.expires_at)
        return err_set(err, ERR_CONFLICT, "request %s has expired", r.id);
    r.state = approve ? REQUEST_APPROVED : REQUEST_DENIED;
    r.decided_at = at;
    text_put(r.decided_by, sizeof r.decided_by, by);
    text_put(r.note, sizeof r.note, note);
    return request_settle(t, &r, was, approve ? TX_APPROVED : TX_DENIED, at, err);
}

bool store_request_cancel(struct store_write *w, const char *id, const char *by, const char *note,
                          int64_t at, struct err *err)
{
    struct txn *t = &w->txn;
    struct store_request r;
    if (!txn_usable(t, err) || !request_load(t, id, &r, err))
        return false;
    if (r.state != REQUEST_PENDING && r.state != REQUEST_APPROVED)
        return err_set(err, ERR_CONFLICT, "request %s neither waits nor is approved", r.id);
    enum tx_state was = r.state == REQUEST_PENDING ? TX_PENDING : TX_APPROVED;
    r.state = REQUEST_DENIED;
    r.decided_at = at;
    text_put(r.decided_by, sizeof r.decided_by, by);
    text_put(r.note, sizeof r.note, note);
    return request_settle(t, &r, was, TX_DENIED, at, err);
}

bool store_request_polled(struct store_write *w, const char *id, int64_t at, struct err *err)
{
    struct store_request r;
    if (!txn_usable(&w->txn, err) || !request_load(&w->txn, id, &r, err))
        return false;
    if (r.polls < UINT32_MAX)
        r.polls++;
    r.polled_at = at;
    return request_save(&w->txn, &r, err);
}

bool store_request_issued(struct store_write *w, const char *id, uint64_t cert_id, struct err *err)
{
    struct store_request r;
    if (!txn_usable(&w->txn, err) || !request_load(&w->txn, id, &r, err))
        return false;
    if (r.state != REQUEST_APPROVED)
        return err_set(err, ERR_CONFLICT, "request %s is not approved", r.id);
    r.state = REQUEST_ISSUED;
    r.cert_id = cert_id;
    return request_save(&w->txn, &r, err);
}

/* ---- expiry ---- */

struct due {
    struct key until;
    char (*ids)[sizeof(((struct store_request *)NULL)->id)];
    size_t n;
};

static bool due_entry(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    struct due *d = ctx;
    if (key.n <= 8 || key.n - 8 >= sizeof d->ids[0])
        return err_set(err, ERR_STORE, "the store has a damaged queue of pending requests");
    *stop = d->n == EXPIRE_MAX || memcmp(key.p, d->until.p, 8) > 0;
    if (*stop)
        return true;
    memcpy(d->ids[d->n], key.p + 8, key.n - 8);
    d->ids[d->n++][key.n - 8] = '\0';
    return true;
}

static bool request_expire(struct txn *t, const char *id, int64_t now, struct err *err)
{
    struct store_request r;
    if (!request_load(t, id, &r, err)) {
        err->kind = ERR_STORE; /* the queue names it, so it must be there */
        return txn_spoil(t, err);
    }
    r.state = REQUEST_EXPIRED;
    return request_settle(t, &r, TX_PENDING, TX_EXPIRED, now, err) || txn_spoil(t, err);
}

bool store_request_expire(struct store_write *w, int64_t now, uint64_t *expired, struct err *err)
{
    struct txn *t = &w->txn;
    struct due d = {.n = 0};
    key_time(&d.until, now);
    d.ids = calloc(EXPIRE_MAX, sizeof d.ids[0]);
    if (!d.ids)
        return err_memory(err);
    bool ok =
        txn_usable(t, err) && txn_walk(t, TABLE_PENDING, view_of(NULL, 0), due_entry, &d, err);
    for (size_t i = 0; ok && i < d.n; i++)
        ok = request_expire(t, d.ids[i], now, err);
    free(d.ids);
    if (ok)
        *expired = d.n;
    return ok;
}

/* ---- counting and listing ---- */

bool store_request_pending(struct store *s, const char *endpoint, uint64_t *out, struct err *err)
{
    struct key k = meta_pending(endpoint);
    struct txn t;
    if (!txn_read(s, &t, err))
        return false;
    bool ok = txn_counter(&t, key_view(&k), out, err);
    txn_read_end(&t);
    return ok;
}

bool store_write_request_pending(struct store_write *w, const char *endpoint, uint64_t *out,
                                 struct err *err)
{
    struct key k = meta_pending(endpoint);
    return txn_usable(&w->txn, err) && txn_counter(&w->txn, key_view(&k), out, err);
}

struct oldest {
    struct txn *t;
    int64_t at;
};

static bool oldest_entry(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    struct oldest *o = ctx;
    struct store_request r;
    struct view record;
    if (!txn_get(o->t, TABLE_REQUEST, view_of(key.p + 8, key.n - 8), &record, err))
        return false;
    if (!record.p)
        return err_set(err, ERR_STORE, "the store has a pending request without its record");
    if (!request_read(record, &r, err))
        return false;
    if (!o->at || r.created_at < o->at)
        o->at = r.created_at;
    return true;
}

bool store_request_oldest(struct store *s, int64_t *created_at, struct err *err)
{
    struct txn t;
    struct oldest o = {.t = &t};
    if (!txn_read(s, &t, err))
        return false;
    bool ok = txn_walk(&t, TABLE_PENDING, view_of(NULL, 0), oldest_entry, &o, err);
    txn_read_end(&t);
    if (ok)
        *created_at = o.at;
    return ok;
}

struct listing {
    int state;
    bool (*each)(void *ctx, const struct store_request *r);
    void *ctx;
};

static bool list_entry(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    struct listing *l = ctx;
    struct store_request r;
    if (!request_read(value, &r, err))
        return false;
    *stop = (l->state < 0 || (int)r.state == l->state) && !l->each(l->ctx, &r);
    return true;
}

bool store_request_list(struct store *s, int state,
                        bool (*each)(void *ctx, const struct store_request *r), void *ctx,
                        struct err *err)
{
    struct listing l = {state, each, ctx};
    return table_walk(s, TABLE_REQUEST, view_of(NULL, 0), false, list_entry, &l, err);
}
