/* Attempts: what arrived, refused or not.  They only grow at one end and are forgotten at the
 * other, and only those of a device or a policy have an index: who asks about another reads them
 * newest first, and recording costs no page of its own. */
#include "records.h"

#define ATTEMPT_VERSION 2 /* 1: without device and policy */
/* Forgotten in one write, so that nobody waits long for it. */
#define PURGE_MAX 1000

static const char what[] = "attempt";

/* ---- record ---- */

static void trail_write(struct record_writer *w, const struct trail *t)
{
    write_u8(w, (uint8_t)t->n);
    for (size_t i = 0; i < t->n; i++) {
        write_u8(w, (uint8_t)t->step[i].check);
        write_u8(w, (uint8_t)t->step[i].state);
        write_text(w, t->step[i].text, sizeof t->step[i].text);
    }
}

static void trail_read(struct record_reader *r, struct trail *t)
{
    size_t n = read_u8(r);
    if (n > TRAIL_STEPS)
        r->bad = true;
    for (t->n = 0; t->n < n && !r->bad; t->n++) {
        struct trail_step *s = &t->step[t->n];
        s->check = (enum check)read_u8(r);
        s->state = (enum trail_state)read_u8(r);
        read_text(r, s->text, sizeof s->text);
    }
}

static bool attempt_write(const struct store_attempt *a, struct buf *out, struct err *err)
{
    struct record_writer w = record_begin(out, ATTEMPT_VERSION);
    write_u64(&w, a->seq);
    write_i64(&w, a->at);
    write_u8(&w, (uint8_t)a->result);
    write_text(&w, a->device, sizeof a->device);
    write_text(&w, a->policy, sizeof a->policy);
    write_text(&w, a->peer, sizeof a->peer);
    write_text(&w, a->agent, sizeof a->agent);
    write_text(&w, a->endpoint, sizeof a->endpoint);
    write_text(&w, a->method, sizeof a->method);
    write_text(&w, a->operation, sizeof a->operation);
    write_text(&w, a->transaction, sizeof a->transaction);
    write_text(&w, a->digest, sizeof a->digest);
    write_text(&w, a->cipher, sizeof a->cipher);
    write_text(&w, a->subject, sizeof a->subject);
    write_text(&w, a->san, sizeof a->san);
    write_text(&w, a->key, sizeof a->key);
    write_bytes(&w, a->key_hash, STORE_HASH);
    write_text(&w, a->signer, sizeof a->signer);
    write_text(&w, a->challenge, sizeof a->challenge);
    write_text(&w, a->request, sizeof a->request);
    write_text(&w, a->serial, sizeof a->serial);
    write_text(&w, a->template_name, sizeof a->template_name);
    write_text(&w, a->reason, sizeof a->reason);
    write_text(&w, a->detail, sizeof a->detail);
    write_u32(&w, a->status);
    write_u8(&w, (uint8_t)(a->fail_info + 1));
    write_u32(&w, a->ms);
    write_u32(&w, a->more);
    trail_write(&w, &a->trail);
    return record_written(&w, what, err);
}

bool attempt_read(struct view record, struct store_attempt *out, struct err *err)
{
    struct record_reader r;
    struct store_attempt a = {.seq = 0};
    uint8_t version;
    if (!record_open_any(&r, record, ATTEMPT_VERSION, &version, what, err))
        return false;
    a.seq = read_u64(&r);
    a.at = read_i64(&r);
    a.result = (enum attempt_result)read_u8(&r);
    if (version >= 2) {
        read_text(&r, a.device, sizeof a.device);
        read_text(&r, a.policy, sizeof a.policy);
    }
    read_text(&r, a.peer, sizeof a.peer);
    read_text(&r, a.agent, sizeof a.agent);
    read_text(&r, a.endpoint, sizeof a.endpoint);
    read_text(&r, a.method, sizeof a.method);
    read_text(&r, a.operation, sizeof a.operation);
    read_text(&r, a.transaction, sizeof a.transaction);
    read_text(&r, a.digest, sizeof a.digest);
    read_text(&r, a.cipher, sizeof a.cipher);
    read_text(&r, a.subject, sizeof a.subject);
    read_text(&r, a.san, sizeof a.san);
    read_text(&r, a.key, sizeof a.key);
    read_bytes(&r, a.key_hash, STORE_HASH);
    read_text(&r, a.signer, sizeof a.signer);
    read_text(&r, a.challenge, sizeof a.challenge);
    read_text(&r, a.request, sizeof a.request);
    read_text(&r, a.serial, sizeof a.serial);
    read_text(&r, a.template_name, sizeof a.template_name);
    read_text(&r, a.reason, sizeof a.reason);
    read_text(&r, a.detail, sizeof a.detail);
    a.status = read_u32(&r);
    a.fail_info = (int)read_u8(&r) - 1;
    a.ms = read_u32(&r);
    a.more = read_u32(&r);
    trail_read(&r, &a.trail);
    if (!record_close(&r, what, err))
        return false;
    if (a.result > ATTEMPT_SILENT)
        return err_set(err, ERR_STORE, "the store has an attempt with the unknown result %d",
                       (int)a.result);
    *out = a;
    return true;
}

/* ---- verbs ---- */

bool store_attempt_put(struct store_write *w, const struct store_attempt *a, struct err *err)
{
    struct txn *t = &w->txn;
    struct key counter = meta_attempts();
    struct store_attempt entry = *a;
    struct buf record = {0};
    uint64_t newest;
    if (!txn_usable(t, err) || !txn_counter(t, key_view(&counter), &newest, err))
        return false;
    entry.seq = newest + 1;
    if (!attempt_write(&entry, &record, err)) {
        buf_clear(&record);
        return false;
    }
    struct key id = key_id(entry.seq);
    bool ok = txn_counter_next(t, key_view(&counter), &entry.seq, err) &&
              txn_put(t, TABLE_ATTEMPT, PUT_LAST, key_view(&id), buf_view(&record), err) &&
              links_put(t, entry.device, entry.policy, LINK_ATTEMPT, key_view(&id), err);
    buf_clear(&record);
    return ok;
}

struct listing {
    bool (*each)(void *ctx, const struct store_attempt *a);
    void *ctx;
};

static bool list_entry(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    struct listing *l = ctx;
    struct store_attempt a;
    if (!attempt_read(value, &a, err))
        return false;
    *stop = !l->each(l->ctx, &a);
    return true;
}

bool store_attempt_list(struct store *s, uint64_t before,
                        bool (*each)(void *ctx, const struct store_attempt *a), void *ctx,
                        struct err *err)
{
    struct listing l = {each, ctx};
    struct key from = key_id(before);
    return table_walk(s, TABLE_ATTEMPT, before ? key_view(&from) : view_of(NULL, 0), true,
                      list_entry, &l, err);
}

/* ---- forgetting ---- */

struct purge {
    int64_t before;
    uint64_t surplus; /* so many are too many, whatever their age */
    struct buf keys;
    size_t n;
};

/* Old enough?  Version octet, number and time stand at the beginning of a record. */
static bool too_old(struct view record, int64_t before)
{
    struct record_reader r;
    struct err ignored;
    uint8_t version;
    if (!record_open_any(&r, record, ATTEMPT_VERSION, &version, what, &ignored))
        return true; /* damage does not stand in the way for ever */
    read_u64(&r);
    return read_i64(&r) < before;
}

static bool purge_entry(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    struct purge *p = ctx;
    *stop = p->n == PURGE_MAX || (p->n >= p->surplus && !too_old(value, p->before));
    if (*stop)
        return true;
    if (key.n != 8)
        return err_set(err, ERR_STORE, "the store has an attempt with a key of %zu octets", key.n);
    p->n++;
    return buf_append(&p->keys, key.p, key.n) || err_memory(err);
}

static bool purge_find(struct txn *t, int64_t before, uint64_t most, struct purge *p,
                       struct err *err)
{
    uint64_t n;
    *p = (struct purge){.before = before};
    if (!txn_count(t, TABLE_ATTEMPT, &n, err))
        return false;
    p->surplus = most && n > most ? n - most : 0;
    return txn_walk(t, TABLE_ATTEMPT, view_of(NULL, 0), purge_entry, p, err);
}

/* Device and policy stand at the beginning, behind number, time and result: the rest is not read.
 */
static bool links_forget(struct txn *t, struct view key, struct err *err)
{
    struct record_reader r;
    struct view record;
    struct err ignored;
    char device[32] = "", policy[32] = "";
    uint8_t version = 0;
    if (!txn_get(t, TABLE_ATTEMPT, key, &record, err))
        return false;
    if (!record_open_any(&r, record, ATTEMPT_VERSION, &version, what, &ignored) || version < 2)
        return true;
    skip_bytes(&r, 8 + 8 + 1);
    read_text(&r, device, sizeof device);
    read_text(&r, policy, sizeof policy);
    return r.bad || links_del(t, device, policy, LINK_ATTEMPT, key, err);
}

bool store_attempt_purge(struct store_write *w, int64_t before, uint64_t most, uint64_t *purged,
                         struct err *err)
{
    struct txn *t = &w->txn;
    struct purge p = {.n = 0};
    bool ok = txn_usable(t, err) && purge_find(t, before, most, &p, err);
    for (size_t i = 0; ok && i < p.n; i++)
        ok = links_forget(t, view_of(p.keys.p + 8 * i, 8), err) &&
             txn_del(t, TABLE_ATTEMPT, view_of(p.keys.p + 8 * i, 8), err);
    buf_clear(&p.keys);
    if (ok)
        *purged = p.n;
    return ok;
}

bool store_attempt_purgeable(struct store *s, int64_t before, uint64_t most, bool *out,
                             struct err *err)
{
    struct txn t;
    struct purge p = {.n = 0};
    if (!txn_read(s, &t, err))
        return false;
    bool ok = purge_find(&t, before, most, &p, err);
    txn_read_end(&t);
    buf_clear(&p.keys);
    if (ok)
        *out = p.n > 0;
    return ok;
}
