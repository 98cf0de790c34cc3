/* Revocation of certificates, and the table from which CRLs are made. */
#include "records.h"

#define REVOKED_VERSION 1

static const char what[] = "revocation";

struct key revoked_key(const uint8_t authority[20], uint64_t id)
{
    struct key k = {.n = 0};
    key_bytes(&k, authority, 20);
    key_u64(&k, id);
    return k;
}

static bool revoked_write(const struct store_cert *c, struct buf *out, struct err *err)
{
    struct record_writer w = record_begin(out, REVOKED_VERSION);
    write_u8(&w, (uint8_t)c->serial_len);
    write_bytes(&w, c->serial, c->serial_len);
    write_i64(&w, c->revoked_at);
    write_i64(&w, c->not_after);
    write_u8(&w, (uint8_t)c->revocation_reason);
    write_u32(&w, c->shard);
    return record_written(&w, what, err);
}

bool revoked_read(struct view record, struct store_revoked *out, struct err *err)
{
    struct record_reader r;
    struct store_revoked v = {0};
    if (!record_open(&r, record, REVOKED_VERSION, what, err))
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

static bool generation_move(struct txn *t, const uint8_t authority[20], struct err *err)
{
    uint64_t generation;
    struct key k = meta_revocations(authority);
    return txn_counter_next(t, key_view(&k), &generation, err);
}

bool store_cert_revoke(struct store_write *w, uint64_t id, enum crl_reason reason, int64_t when,
                       struct err *err)
{
    struct txn *t = &w->txn;
    struct store_cert c;
    struct buf record = {0};
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
    struct key k = revoked_key(c.authority, id);
    bool ok = revoked_write(&c, &record, err) &&
              txn_put(t, TABLE_REVOKED, PUT_REPLACE, key_view(&k), buf_view(&record), err) &&
              cert_save(t, &c, err) && generation_move(t, c.authority, err);
    buf_clear(&record);
    return ok;
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
    c.state = c.renewed_by ? CERT_SUPERSEDED : CERT_ACTIVE;
    c.revoked_at = 0;
    c.revocation_reason = CRL_UNSPECIFIED;
    struct key k = revoked_key(c.authority, id);
    return txn_del(t, TABLE_REVOKED, key_view(&k), err) && cert_save(t, &c, err) &&
           generation_move(t, c.authority, err);
}

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

bool store_revoked_list(struct store *s, const uint8_t authority[20],
                        bool (*each)(void *ctx, const struct store_revoked *r), void *ctx,
                        uint64_t *generation, struct err *err)
{
    struct listing l = {each, ctx};
    struct key k = meta_revocations(authority);
    struct txn t;
    uint64_t shown;
    if (!txn_read(s, &t, err))
        return false;
    bool ok = txn_counter(&t, key_view(&k), &shown, err) &&
              txn_walk(&t, TABLE_REVOKED, view_of(authority, 20), list_entry, &l, err);
    txn_read_end(&t);
    if (ok)
        *generation = shown;
    return ok;
}
