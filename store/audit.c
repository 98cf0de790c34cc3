/* The audit log: a chain of hashes, so that no entry can be changed, taken out or put in between
 * without every later one showing it.  The head is kept apart, so that the newest cannot be cut
 * off. */
#include "records.h"

#include <openssl/err.h>

#define AUDIT_VERSION 1

static const char what[] = "audit";

bool store_sha256(const struct store *s, struct view in, uint8_t out[STORE_HASH], struct err *err)
{
    if (EVP_Digest(in.p ? in.p : (const uint8_t *)"", in.n, out, NULL, s->sha256, NULL) == 1)
        return true;
    ERR_clear_error();
    return err_set(err, ERR_CRYPTO, "SHA-256 failed");
}

/* What the chain covers, and after it the chain value itself. */
static bool audit_write(const struct store_audit *a, bool with_chain, struct buf *out,
                        struct err *err)
{
    struct record_writer w = record_begin(out, AUDIT_VERSION);
    write_u64(&w, a->seq);
    write_i64(&w, a->at);
    write_text(&w, a->event, sizeof a->event);
    write_text(&w, a->actor, sizeof a->actor);
    write_text(&w, a->object, sizeof a->object);
    write_text(&w, a->text, sizeof a->text);
    if (with_chain)
        write_bytes(&w, a->chain, STORE_HASH);
    return record_written(&w, what, err);
}

bool audit_read(struct view record, struct store_audit *out, struct err *err)
{
    struct record_reader r;
    struct store_audit a = {.seq = 0};
    if (!record_open(&r, record, AUDIT_VERSION, what, err))
        return false;
    a.seq = read_u64(&r);
    a.at = read_i64(&r);
    read_text(&r, a.event, sizeof a.event);
    read_text(&r, a.actor, sizeof a.actor);
    read_text(&r, a.object, sizeof a.object);
    read_text(&r, a.text, sizeof a.text);
    read_bytes(&r, a.chain, STORE_HASH);
    if (!record_close(&r, what, err))
        return false;
    *out = a;
    return true;
}

bool audit_read_event(struct view record, struct store_audit *out, struct err *err)
{
    struct record_reader r;
    if (!record_open(&r, record, AUDIT_VERSION, what, err))
        return false;
    out->seq = read_u64(&r);
    out->at = read_i64(&r);
    read_text(&r, out->event, sizeof out->event);
    r.rest = view_of(NULL, 0); /* what follows is of no interest */
    return record_close(&r, what, err);
}

bool audit_chain(const struct store *s, const struct store_audit *a,
                 const uint8_t previous[STORE_HASH], uint8_t out[STORE_HASH], struct err *err)
{
    struct buf record = {0}, in = {0};
    bool ok = audit_write(a, false, &record, err);
    if (ok && !(buf_append(&in, previous, STORE_HASH) && buf_append(&in, record.p, record.n)))
        ok = err_memory(err);
    ok = ok && store_sha256(s, buf_view(&in), out, err);
    buf_clear(&record);
    buf_clear(&in);
    return ok;
}

bool audit_head_load(struct txn *t, struct audit_head *out, struct err *err)
{
    struct key k = meta_audit_head();
    struct view v;
    if (!txn_get(t, TABLE_META, key_view(&k), &v, err))
        return false;
    if (v.p && v.n != 8 + STORE_HASH)
        return err_set(err, ERR_STORE, "the store has a damaged head of the audit chain");
    *out = (struct audit_head){.seq = 0};
    if (v.p) {
        out->seq = octets_u64(v.p);
        memcpy(out->chain, v.p + 8, STORE_HASH);
    }
    return true;
}

bool store_audit_put(struct store_write *w, const struct store_audit *a, struct err *err)
{
    struct txn *t = &w->txn;
    struct store_audit entry = *a;
    struct audit_head head;
    struct buf record = {0};
    if (!txn_usable(t, err) || !audit_head_load(t, &head, err))
        return false;
    entry.seq = head.seq + 1;
    if (!audit_chain(t->s, &entry, head.chain, entry.chain, err))
        return false;
    struct key id = key_id(entry.seq), head_key = meta_audit_head(), head_value = key_id(entry.seq);
    key_bytes(&head_value, entry.chain, STORE_HASH);
    bool ok =
        audit_write(&entry, true, &record, err) &&
        txn_put(t, TABLE_AUDIT, PUT_LAST, key_view(&id), buf_view(&record), err) &&
        txn_put(t, TABLE_META, PUT_REPLACE, key_view(&head_key), key_view(&head_value), err) &&
        (!link_audited(&entry) ||
         links_put(t, entry.object, "", LINK_AUDIT, key_view(&id), err));
    buf_clear(&record);
    return ok;
}

static bool link_entry(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    struct store_audit a;
    struct err unreadable = {0}; /* told when the store is verified */
    return !audit_read(value, &a, &unreadable) || !link_audited(&a) ||
           links_put(ctx, a.object, "", LINK_AUDIT, key, err);
}

bool audit_links_fill(struct txn *t, struct err *err)
{
    return txn_walk(t, TABLE_AUDIT, view_of(NULL, 0), link_entry, t, err);
}

bool store_audit_newest(struct store *s, int64_t *at, struct err *err)
{
    struct audit_head head;
    struct store_audit newest = {.seq = 0};
    struct txn t;
    if (!txn_read(s, &t, err))
        return false;
    bool ok = audit_head_load(&t, &head, err);
    if (ok && head.seq) {
        struct key k = key_id(head.seq);
        struct view record;
        ok = txn_get(&t, TABLE_AUDIT, key_view(&k), &record, err) &&
             audit_read(record, &newest, err);
    }
    txn_read_end(&t);
    if (ok)
        *at = newest.at;
    return ok;
}

/* ---- checking ---- */

static bool entry_at(struct txn *t, uint64_t seq, struct store_audit *out, bool *found,
                     struct err *err)
{
    struct key k = key_id(seq);
    struct view record;
    if (!txn_get(t, TABLE_AUDIT, key_view(&k), &record, err))
        return false;
    struct err damaged = {0}; /* as good as missing: the chain ends before it */
    *found = record.p && audit_read(record, out, &damaged);
    return true;
}

/* Where a check begins: an entry is taken for what it says, those behind it must follow from it. */
static bool span_begin(struct txn *t, struct store_audit_span *span, uint64_t at, struct err *err)
{
    struct store_audit entry;
    bool found;
    if (!entry_at(t, at, &entry, &found, err))
        return false;
    span->broken = !found;
    if (!found)
        return true;
    span->from = span->to = at;
    memcpy(span->chain, entry.chain, STORE_HASH);
    return true;
}

static bool span_next(struct txn *t, struct store_audit_span *span, struct err *err)
{
    struct store_audit entry;
    uint8_t chain[STORE_HASH];
    bool found;
    if (!entry_at(t, span->to + 1, &entry, &found, err))
        return false;
    if (found && !audit_chain(t->s, &entry, span->chain, chain, err))
        return false;
    span->broken =
        !found || entry.seq != span->to + 1 || memcmp(chain, entry.chain, STORE_HASH) != 0;
    if (span->broken)
        return true;
    span->to++;
    span->from += span->from == 0;
    memcpy(span->chain, chain, STORE_HASH);
    return true;
}

bool store_audit_check(struct store *s, struct store_audit_span *span, uint64_t most,
                       struct err *err)
{
    struct store_audit_span now = *span;
    struct audit_head head;
    struct txn t;
    if (!txn_read(s, &t, err))
        return false;
    bool ok = audit_head_load(&t, &head, err);
    uint64_t left = most;
    if (ok && !now.broken && !now.to && head.seq > most)
        ok = span_begin(&t, &now, head.seq - most, err);
    for (; ok && !now.broken && now.to < head.seq && left; left--)
        ok = span_next(&t, &now, err);
    if (ok && (now.to > head.seq ||
               (now.to == head.seq && head.seq && memcmp(now.chain, head.chain, STORE_HASH) != 0)))
        now.broken = true;
    txn_read_end(&t);
    if (ok)
        *span = now;
    return ok;
}

/* ---- listing ---- */

struct listing {
    bool (*each)(void *ctx, const struct store_audit *a);
    void *ctx;
};

static bool list_entry(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    struct listing *l = ctx;
    struct store_audit a;
    if (!audit_read(value, &a, err))
        return false;
    *stop = !l->each(l->ctx, &a);
    return true;
}

bool store_audit_list(struct store *s, uint64_t from_seq,
                      bool (*each)(void *ctx, const struct store_audit *a), void *ctx,
                      struct err *err)
{
    struct listing l = {each, ctx};
    struct key from = key_id(from_seq);
    return table_walk(s, TABLE_AUDIT, key_view(&from), false, list_entry, &l, err);
}
