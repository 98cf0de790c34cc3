/* Policies: what is to be in a certificate, and how a device comes by it. */
#include "fleet_internal.h"
#include "pager.h"

#define POLICY_VERSION 1
/* Ties taken away in one write, so that nobody waits long for it. */
#define CUT_MAX 1000

static const char what[] = "policy";

static bool policy_write(const struct store_policy *p, struct buf *out, struct err *err)
{
    struct record_writer w = record_begin(out, POLICY_VERSION);
    write_text(&w, p->id, sizeof p->id);
    write_text(&w, p->name, sizeof p->name);
    write_text(&w, p->endpoint, sizeof p->endpoint);
    write_text(&w, p->subject, sizeof p->subject);
    write_text(&w, p->san, sizeof p->san);
    write_u8(&w, (uint8_t)p->challenge);
    write_i64(&w, p->challenge_ttl);
    write_text(&w, p->key_type, sizeof p->key_type);
    write_u32(&w, p->key_size);
    write_u8(&w, (uint8_t)p->key_usage);
    write_text(&w, p->eku, sizeof p->eku);
    write_u32(&w, p->retries);
    write_u32(&w, p->retry_delay);
    write_u8(&w, (uint8_t)(p->revoke_on_removal | p->paused << 1));
    write_i64(&w, p->created_at);
    write_i64(&w, p->changed_at);
    write_text(&w, p->created_by, sizeof p->created_by);
    write_text(&w, p->changed_by, sizeof p->changed_by);
    write_u64(&w, p->version);
    return record_written(&w, what, err);
}

bool policy_read(struct view record, struct store_policy *out, struct err *err)
{
    struct record_reader r;
    struct store_policy p = {.id = ""};
    if (!record_open(&r, record, POLICY_VERSION, what, err))
        return false;
    read_text(&r, p.id, sizeof p.id);
    read_text(&r, p.name, sizeof p.name);
    read_text(&r, p.endpoint, sizeof p.endpoint);
    read_text(&r, p.subject, sizeof p.subject);
    read_text(&r, p.san, sizeof p.san);
    p.challenge = (enum policy_challenge)read_u8(&r);
    p.challenge_ttl = read_i64(&r);
    read_text(&r, p.key_type, sizeof p.key_type);
    p.key_size = read_u32(&r);
    p.key_usage = read_u8(&r);
    read_text(&r, p.eku, sizeof p.eku);
    p.retries = read_u32(&r);
    p.retry_delay = read_u32(&r);
    uint8_t switches = read_u8(&r);
    p.revoke_on_removal = switches & 1;
    p.paused = switches & 2;
    p.created_at = read_i64(&r);
    p.changed_at = read_i64(&r);
    read_text(&r, p.created_by, sizeof p.created_by);
    read_text(&r, p.changed_by, sizeof p.changed_by);
    p.version = read_u64(&r);
    r.bad = r.bad || switches > 3;
    if (!record_close(&r, what, err))
        return false;
    if (p.challenge > POLICY_NONE)
        return err_set(err, ERR_STORE, "the store has a policy with the unknown challenge %d",
                       (int)p.challenge);
    *out = p;
    return true;
}

bool policy_at(struct txn *t, const char *id, struct store_policy *out, struct err *err)
{
    struct view record;
    if (!fleet_at(t, &kind_policy, id, &record, err))
        return false;
    if (!record.p)
        return err_set(err, ERR_NOT_FOUND, "there is no policy %.40s", id);
    return policy_read(record, out, err);
}

static bool policy_find(struct txn *t, const char *id_or_name, struct store_policy *out,
                        struct err *err)
{
    struct view record;
    return fleet_find(t, &kind_policy, id_or_name, &record, err) && policy_read(record, out, err);
}

bool store_policy_get(struct store *s, const char *id_or_name, struct store_policy *out,
                      struct err *err)
{
    struct txn t;
    if (!txn_read(s, &t, err))
        return false;
    bool ok = policy_find(&t, id_or_name, out, err);
    txn_read_end(&t);
    return ok;
}

bool store_write_policy_get(struct store_write *w, const char *id_or_name, struct store_policy *out,
                            struct err *err)
{
    return txn_usable(&w->txn, err) && policy_find(&w->txn, id_or_name, out, err);
}

/* ---- writing ---- */

static bool policy_save(struct txn *t, const struct store_policy *p, const char *old_name,
                        struct err *err)
{
    struct buf record = {0};
    bool ok = policy_write(p, &record, err) &&
              name_move(t, &kind_policy, p->id, old_name, p->name, err) &&
              txn_put(t, TABLE_POLICY, PUT_REPLACE, view_str(p->id), buf_view(&record), err);
    buf_clear(&record);
    return ok;
}

bool store_policy_put(struct store_write *w, const struct store_policy *p, struct err *err)
{
    struct store_policy new = *p;
    if (!txn_usable(&w->txn, err) || !fleet_free(&w->txn, &kind_policy, p->id, p->name, err))
        return false;
    new.version = p->version ? p->version : 1;
    return policy_save(&w->txn, &new, NULL, err);
}

bool store_policy_replace(struct store_write *w, struct store_policy *p, uint64_t expected,
                          struct err *err)
{
    struct txn *t = &w->txn;
    struct store_policy was, new = *p;
    if (!txn_usable(t, err) || !policy_at(t, p->id, &was, err) ||
        !version_is(&kind_policy, was.name, was.version, expected, err) ||
        !name_free(t, &kind_policy, p->id, p->name, err))
        return false;
    new.created_at = was.created_at;
    memcpy(new.created_by, was.created_by, sizeof new.created_by);
    new.version = was.version + 1;
    if (!policy_save(t, &new, was.name, err))
        return false;
    *p = new;
    return true;
}

bool store_policy_delete(struct store_write *w, const char *id, const char *by, int64_t at,
                         bool *done, struct err *err)
{
    struct txn *t = &w->txn;
    struct store_policy p;
    size_t cut = 0;
    if (!txn_usable(t, err) || !policy_at(t, id, &p, err) ||
        !ties_cut(t, p.id, false, CUT_MAX, by, at, &cut, err))
        return false;
    *done = cut < CUT_MAX;
    return !*done || (name_move(t, &kind_policy, p.id, p.name, NULL, err) &&
                      txn_del(t, TABLE_POLICY, view_str(p.id), err));
}
