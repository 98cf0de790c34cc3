/* Revocation of certificates, and the table from which CRLs are made. */
#include "records.h"

#define REVOKED_VERSION 2
#define REVOKED_WITHOUT_CHANGED 1

static const char what[] = "revocation";

struct key revoked_key(const uint8_t authority[20], uint64_t id)
{
    struct key k = {.n = 0};
    key_bytes(&k, authority, 20);
    key_u64(&k, id);
    return k;
}

/* In the place of the id stands the number that no certificate has. */
#define NO_ID UINT64_MAX

struct key revoked_serial_key(const uint8_t authority[20], struct view serial)
{
    struct key k = revoked_key(authority, NO_ID);
    uint8_t length = (uint8_t)serial.n;
    key_bytes(&k, &length, 1);
    key_bytes(&k, serial.p, serial.n);
    return k;
}

bool is_revoked_serial_key(struct view key)
{
    return key.n > 28 && octets_u64(key.p + 20) == NO_ID;
}

static bool revoked_write(const struct store_revoked *r, struct buf *out, struct err *err)
{
    struct record_writer w = record_begin(out, REVOKED_VERSION);
    write_u8(&w, (uint8_t)r->serial_len);
    write_bytes(&w, r->serial, r->serial_len);
    write_i64(&w, r->revoked_at);
    write_i64(&w, r->not_after);
    write_u8(&w, (uint8_t)r->reason);
    write_u32(&w, r->shard);
    write_u64(&w, r->changed);
    return record_written(&w, what, err);
}

static bool revoked_put(struct txn *t, enum table table, struct key k,
                        const struct store_revoked *r, struct err *err)
{
    struct buf record = {0};
    bool ok = revoked_write(r, &record, err)
                  ? txn_put(t, table, PUT_REPLACE, key_view(&k), buf_view(&record), err)
                  : txn_spoil(t, err);
    buf_clear(&record);
    return ok;
}

static struct store_revoked of_cert(const struct store_cert *c, uint64_t changed)
{
    struct store_revoked r = {.serial_len = c->serial_len,
                              .revoked_at = c->revoked_at,
                              .not_after = c->not_after,
                              .reason = c->revocation_reason,
                              .shard = c->shard,
                              .changed = changed};
    memcpy(r.serial, c->serial, c->serial_len);
    return r;
}

bool revoked_save(struct txn *t, const struct store_cert *c, uint64_t changed, struct err *err)
{
    struct store_revoked r = of_cert(c, changed);
    return revoked_put(t, TABLE_REVOKED, revoked_key(c->authority, c->id), &r, err);
}

bool revoked_read(struct view record, struct store_revoked *out, struct err *err)
{
    struct record_reader r;
    struct store_revoked v = {0};
    bool old = record.n > 0 && record.p[0] == REVOKED_WITHOUT_CHANGED;
    if (!record_open(&r, record, old ? REVOKED_WITHOUT_CHANGED : REVOKED_VERSION, what, err))
        return false;
    v.serial_len = read_u8(&r);
    if (v.serial_len == 0 || v.serial_len > sizeof v.serial)
        return err_set(err, ERR_STORE, "the store has a revocation with a serial of %zu octets",
                       v.serial_len);
    read_bytes(&r, v.serial, v.serial_len);
    v.revoked_at = read_i64(&r);
    v.not_after = read_i64(&r);
    v.reason = (enum crl_reason)read_u8(&r);
    v.shard = read_u32(&r);
    v.changed = old ? 0 : read_u64(&r);
    if (!record_close(&r, what, err))
        return false;
    *out = v;
    return true;
}

/* RFC 5280 section 5.3.1: 7 is not used; 8 is for delta CRLs, a release is a verb of its own here.
 */
static bool reason_usable(enum crl_reason reason)
{
    return (reason >= CRL_UNSPECIFIED && reason <= CRL_HOLD) || reason == CRL_PRIVILEGE_WITHDRAWN;
}

bool revocations_move(struct txn *t, const uint8_t authority[20], uint32_t shard,
                      uint64_t *generation, struct err *err)
{
    struct key all = meta_revocations(authority), one = meta_shard_revocations(authority, shard);
    return txn_counter_next(t, key_view(&all), generation, err) &&
           (!shard || txn_counter_set(t, key_view(&one), *generation, err));
}

/* ---- holds that were lifted ---- */

/* Deltas name it until each complete CRL that may have listed it is over (RFC 5280 section 5.2.4).
 */
static bool released_save(struct txn *t, const struct store_cert *c, uint64_t generation,
                          struct err *err)
{
    struct store_revoked r = of_cert(c, generation);
    r.reason = CRL_REMOVE_FROM_CRL;
    return revoked_put(t, TABLE_RELEASED, revoked_key(c->authority, c->id), &r, err);
}

bool released_drop(struct txn *t, const struct store_cert *c, struct err *err)
{
    struct key k = revoked_key(c->authority, c->id);
    struct view there;
    return txn_get(t, TABLE_RELEASED, key_view(&k), &there, err) &&
           (!there.p || txn_del(t, TABLE_RELEASED, key_view(&k), err));
}

#define FORGET_MAX 1000

struct forgetting {
    uint64_t upto;
    uint64_t id[FORGET_MAX];
    size_t n;
};

static bool forget_entry(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    struct forgetting *f = ctx;
    struct store_revoked r;
    if (!revoked_read(value, &r, err))
        return false;
    if (key.n != 28)
        return err_set(err, ERR_STORE, "the store has a release under a key of %zu octets", key.n);
    if (r.changed <= f->upto)
        f->id[f->n++] = octets_u64(key.p + 20);
    *stop = f->n == FORGET_MAX;
    return true;
}

bool released_forget(struct txn *t, const uint8_t authority[20], uint64_t generation,
                     struct err *err)
{
    struct forgetting f = {.upto = generation};
    if (!txn_walk(t, TABLE_RELEASED, view_of(authority, 20), forget_entry, &f, err))
        return false;
    for (size_t i = 0; i < f.n; i++) {
        struct key k = revoked_key(authority, f.id[i]);
        if (!txn_del(t, TABLE_RELEASED, key_view(&k), err))
            return false;
    }
    return true;
}

/* ---- verbs ---- */

void store_watch_revocations(struct store *s, store_watcher watcher, void *ctx)
{
    s->watcher = watcher;
    s->watcher_ctx = ctx;
}

/* The record is changed by now: nobody may take a failure for "it was so before". */
static bool watched(struct store_write *w, uint64_t id, struct err *err)
{
    const struct store *s = w->txn.s;
    struct err why = {0};
    if (!s->watcher || s->watcher(s->watcher_ctx, w, id, &why))
        return true;
    if (why.kind == ERR_CONFLICT || why.kind == ERR_NOT_FOUND || why.kind == ERR_EXISTS)
        why.kind = ERR_STORE;
    *err = why;
    return false;
}

bool store_cert_revoke(struct store_write *w, uint64_t id, enum crl_reason reason, int64_t when,
                       struct err *err)
{
    struct txn *t = &w->txn;
    struct store_cert c;
    if (!txn_usable(t, err) || !cert_load(t, id, &c, err))
        return false;
    if (!reason_usable(reason))
        return err_set(err, ERR_CONFIG, "%d is no reason to revoke a certificate", (int)reason);
    if (c.state == CERT_REVOKED || (c.state == CERT_HELD && reason == CRL_HOLD))
        return err_set(err, ERR_CONFLICT, "certificate %llu is %s already", (unsigned long long)id,
                       c.state == CERT_REVOKED ? "revoked" : "on hold");
    c.state = reason == CRL_HOLD ? CERT_HELD : CERT_REVOKED;
    c.revoked_at = when;
    c.revocation_reason = reason;
    uint64_t generation;
    return revocations_move(t, c.authority, c.shard, &generation, err) &&
           revoked_save(t, &c, generation, err) && released_drop(t, &c, err) &&
           cert_save(t, &c, err) && revocation_counted(t, reason, err) && watched(w, id, err);
}

bool store_cert_release(struct store_write *w, uint64_t id, struct err *err)
{
    struct txn *t = &w->txn;
    struct store_cert c;
    if (!txn_usable(t, err) || !cert_load(t, id, &c, err))
        return false;
    if (c.state != CERT_HELD)
        return err_set(err, ERR_CONFLICT, "certificate %llu is not on hold",
                       (unsigned long long)id);
    struct key k = revoked_key(c.authority, id);
    uint64_t generation;
    if (!revocations_move(t, c.authority, c.shard, &generation, err) ||
        !released_save(t, &c, generation, err))
        return false;
    c.state = c.renewed_by ? CERT_SUPERSEDED : CERT_ACTIVE;
    c.revoked_at = 0;
    c.revocation_reason = CRL_REMOVE_FROM_CRL; /* it was on hold: no answer is dated back to then */
    return txn_del(t, TABLE_REVOKED, key_view(&k), err) && cert_save(t, &c, err) &&
           watched(w, id, err);
}

/* ---- known by serial alone ---- */

static bool serial_load(struct txn *t, const uint8_t authority[20], struct view serial, bool *found,
                        struct store_revoked *out, struct err *err)
{
    struct key k = revoked_serial_key(authority, serial);
    struct view record;
    if (!txn_get(t, TABLE_REVOKED, key_view(&k), &record, err))
        return false;
    *found = record.p != NULL;
    return !record.p || revoked_read(record, out, err);
}

static bool serial_storable(const struct store_revoked *r, struct err *err)
{
    if (r->serial_len == 0 || r->serial_len > STORE_SERIAL_MAX)
        return err_set(err, ERR_CONFIG, "a serial of %zu octets cannot be revoked", r->serial_len);
    return reason_usable(r->reason) ||
           err_set(err, ERR_CONFIG, "%d is no reason to revoke a certificate", (int)r->reason);
}

bool store_serial_revoke(struct store_write *w, const uint8_t authority[20],
                         const struct store_revoked *r, struct err *err)
{
    struct txn *t = &w->txn;
    struct view serial = view_of(r->serial, r->serial_len), certificate;
    struct store_revoked before;
    bool found;
    if (!txn_usable(t, err) || !serial_storable(r, err))
        return false;
    struct key of_cert = cert_serial_key(serial, authority);
    if (!txn_get(t, TABLE_CERT_SERIAL, key_view(&of_cert), &certificate, err) ||
        !serial_load(t, authority, serial, &found, &before, err))
        return false;
    if (certificate.p)
        return err_set(err, ERR_CONFLICT, "the certificate with this serial is stored");
    if (found && (before.reason != CRL_HOLD || r->reason == CRL_HOLD))
        return err_set(err, ERR_EXISTS, "this serial is %s already",
                       before.reason == CRL_HOLD ? "on hold" : "revoked");
    struct store_revoked entry = *r;
    return revocations_move(t, authority, r->shard, &entry.changed, err) &&
           revoked_put(t, TABLE_REVOKED, revoked_serial_key(authority, serial), &entry, err) &&
           revocation_counted(t, r->reason, err);
}

bool store_serial_revoked(struct store *s, const uint8_t authority[20], struct view serial,
                          struct store_revoked *out, struct err *err)
{
    struct txn t;
    bool found = false;
    if (serial.n > STORE_SERIAL_MAX)
        return err_set(err, ERR_NOT_FOUND, "no serial of %zu octets is revoked", serial.n);
    if (!txn_read(s, &t, err))
        return false;
    bool ok = serial_load(&t, authority, serial, &found, out, err) &&
              (found || err_set(err, ERR_NOT_FOUND, "this serial is not revoked"));
    txn_read_end(&t);
    return ok;
}

bool revoked_serial_find(struct txn *t, struct store_cert *c, bool *was, struct err *err)
{
    struct store_revoked r;
    if (!serial_load(t, c->authority, view_of(c->serial, c->serial_len), was, &r, err))
        return false;
    if (!*was)
        return true;
    c->state = r.reason == CRL_HOLD ? CERT_HELD : CERT_REVOKED;
    c->revoked_at = r.revoked_at;
    c->revocation_reason = r.reason;
    return true;
}

bool revoked_serial_status(struct txn *t, const uint8_t authority[20], struct view serial,
                           struct store_cert_status *out, struct err *err)
{
    struct store_revoked r;
    bool found;
    if (!serial_load(t, authority, serial, &found, &r, err))
        return false;
    if (found)
        *out = (struct store_cert_status){.known = true,
                                          .state = r.reason == CRL_HOLD ? CERT_HELD : CERT_REVOKED,
                                          .not_after = r.not_after,
                                          .revoked_at = r.revoked_at,
                                          .reason = r.reason,
                                          .shard = r.shard};
    return true;
}

bool revoked_serial_move(struct txn *t, const struct store_cert *c, struct err *err)
{
    struct key k = revoked_serial_key(c->authority, view_of(c->serial, c->serial_len));
    uint64_t generation;
    return revocations_move(t, c->authority, c->shard, &generation, err) &&
           txn_del(t, TABLE_REVOKED, key_view(&k), err) && revoked_save(t, c, generation, err);
}

/* ---- for CRLs ---- */

struct listing {
    bool (*each)(void *ctx, const struct store_revoked *r);
    void *ctx;
};

static bool list_entry(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    struct listing *l = ctx;
    struct store_revoked r;
    if (!revoked_read(value, &r, err))
        return false;
    *stop = !l->each(l->ctx, &r);
    return true;
}

bool store_revoked_list(struct store *s, const uint8_t authority[20], bool released,
                        bool (*each)(void *ctx, const struct store_revoked *r), void *ctx,
                        uint64_t *generation, struct err *err)
{
    struct listing l = {each, ctx};
    struct key k = meta_revocations(authority);
    struct txn t;
    uint64_t shown;
    if (!txn_read(s, &t, err))
        return false;
    bool ok =
        txn_counter(&t, key_view(&k), &shown, err) &&
        txn_walk(&t, TABLE_REVOKED, view_of(authority, 20), list_entry, &l, err) &&
        (!released || txn_walk(&t, TABLE_RELEASED, view_of(authority, 20), list_entry, &l, err));
    txn_read_end(&t);
    if (ok)
        *generation = shown;
    return ok;
}

bool store_shard_generation(struct store *s, const uint8_t authority[20], uint32_t shard,
                            uint64_t *out, struct err *err)
{
    struct key k = meta_shard_revocations(authority, shard);
    struct txn t;
    if (!txn_read(s, &t, err))
        return false;
    bool ok = txn_counter(&t, key_view(&k), out, err);
    txn_read_end(&t);
    return ok;
}
