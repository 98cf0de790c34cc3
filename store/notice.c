/* What webhooks are still to be told. */
#include "store/notice.h"

#include "records.h"
#include "verify.h"

#define NOTICE_VERSION 1

static const char what[] = "notice";

void store_notice_clear(struct store_notice *n)
{
    buf_wipe(&n->body);
    *n = (struct store_notice){.id = 0};
}

/* ---- record ---- */

static bool notice_write(const struct store_notice *n, struct buf *out, struct err *err)
{
    struct record_writer w = record_begin(out, NOTICE_VERSION);
    write_u64(&w, n->id);
    write_text(&w, n->target, sizeof n->target);
    write_text(&w, n->event, sizeof n->event);
    write_text(&w, n->about, sizeof n->about);
    write_u64(&w, n->cert_id);
    write_u8(&w, n->held);
    write_i64(&w, n->created_at);
    write_i64(&w, n->next_at);
    write_u32(&w, n->tries);
    write_text(&w, n->failure, sizeof n->failure);
    write_blob(&w, buf_view(&n->body));
    return record_written(&w, what, err);
}

/* `body`: NULL: not wanted. */
static bool notice_read(struct view record, struct store_notice *out, struct buf *body,
                        struct err *err)
{
    struct record_reader r;
    struct store_notice n = {.id = 0};
    if (!record_open(&r, record, NOTICE_VERSION, what, err))
        return false;
    n.id = read_u64(&r);
    read_text(&r, n.target, sizeof n.target);
    read_text(&r, n.event, sizeof n.event);
    read_text(&r, n.about, sizeof n.about);
    n.cert_id = read_u64(&r);
    n.held = read_u8(&r) != 0;
    n.created_at = read_i64(&r);
    n.next_at = read_i64(&r);
    n.tries = read_u32(&r);
    read_text(&r, n.failure, sizeof n.failure);
    struct view text = read_blob(&r);
    if (!record_close(&r, what, err))
        return false;
    if (text.n > NOTICE_MAX_BODY)
        return err_set(err, ERR_STORE, "the store has a notice of %zu octets", text.n);
    if (body && !buf_append(body, text.p, text.n))
        return err_memory(err);
    *out = n;
    return true;
}

/* ---- keys ---- */

static struct key target_key(const char *target)
{
    struct key k = {.n = 0};
    key_bytes(&k, target, strlen(target) + 1);
    return k;
}

static struct key notice_key(const char *target, uint64_t id)
{
    struct key k = target_key(target);
    key_u64(&k, id);
    return k;
}

/* ---- verbs ---- */

static bool put(struct txn *t, enum put_mode mode, const struct store_notice *n, struct err *err)
{
    struct key k = notice_key(n->target, n->id);
    struct buf record = {0};
    bool ok = notice_write(n, &record, err) &&
              txn_put(t, TABLE_NOTICE, mode, key_view(&k), buf_view(&record), err);
    buf_wipe(&record);
    return ok;
}

bool store_notice_put(struct store_write *w, struct store_notice *n, struct err *err)
{
    struct txn *t = &w->txn;
    struct key counter = meta_notices();
    if (!txn_usable(t, err))
        return false;
    if (!n->target[0] || n->body.n > NOTICE_MAX_BODY || (n->held && !n->cert_id))
        return err_set(err, ERR_CONFIG, "a notice without a target, or too long");
    if (!txn_counter_next(t, key_view(&counter), &n->id, err) || !put(t, PUT_NEW, n, err))
        return false;
    struct key held = key_id(n->cert_id);
    return !n->held ||
           txn_put(t, TABLE_NOTICE_HELD, PUT_REPLACE, key_view(&held), view_of(NULL, 0), err);
}

static bool there(struct txn *t, const struct store_notice *n, struct err *err)
{
    struct key k = notice_key(n->target, n->id);
    struct view record;
    return txn_usable(t, err) && txn_get(t, TABLE_NOTICE, key_view(&k), &record, err) &&
           (record.p || err_set(err, ERR_NOT_FOUND, "there is no such notice"));
}

bool store_notice_del(struct store_write *w, const struct store_notice *n, struct err *err)
{
    struct txn *t = &w->txn;
    struct key k = notice_key(n->target, n->id), held = key_id(n->cert_id);
    return there(t, n, err) && txn_del(t, TABLE_NOTICE, key_view(&k), err) &&
           (!n->held || txn_del(t, TABLE_NOTICE_HELD, key_view(&held), err));
}

bool store_notice_failed(struct store_write *w, const struct store_notice *n, struct err *err)
{
    return there(&w->txn, n, err) && put(&w->txn, PUT_REPLACE, n, err);
}

struct listing {
    struct store_notice *out;
    size_t cap, n;
};

static bool list_entry(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    struct listing *l = ctx;
    if (!notice_read(value, &l->out[l->n], NULL, err))
        return false;
    *stop = ++l->n == l->cap;
    return true;
}

bool store_notices(struct store *s, const char *target, uint64_t after, struct store_notice *out,
                   size_t cap, size_t *n, struct err *err)
{
    struct txn t;
    struct key prefix = target_key(target), at = notice_key(target, after);
    struct listing l = {.out = out, .cap = cap};
    *n = 0;
    if (cap == 0)
        return true;
    if (!txn_read(s, &t, err))
        return false;
    bool ok =
        txn_walk_on(&t, TABLE_NOTICE, key_view(&prefix), key_view(&at), false, list_entry, &l, err);
    txn_read_end(&t);
    *n = ok ? l.n : 0;
    return ok;
}

bool store_notice_body(struct store *s, struct store_notice *n, struct err *err)
{
    struct txn t;
    struct key k = notice_key(n->target, n->id);
    struct view record;
    buf_wipe(&n->body);
    if (!txn_read(s, &t, err))
        return false;
    bool ok = txn_get(&t, TABLE_NOTICE, key_view(&k), &record, err) &&
              (record.p || err_set(err, ERR_NOT_FOUND, "there is no such notice"));
    struct buf body = {0};
    ok = ok && notice_read(record, n, &body, err);
    if (ok)
        n->body = body;
    txn_read_end(&t);
    return ok;
}

static bool name_entry(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    char *out = ctx;
    const uint8_t *end = memchr(key.p, 0, key.n);
    if (!end || (size_t)(end - key.p) >= 64)
        return err_set(err, ERR_STORE, "the store has a notice under a key that is none");
    memcpy(out, key.p, (size_t)(end - key.p) + 1);
    *stop = true;
    return true;
}

bool store_notice_target(struct store *s, const char *after, char out[64], struct err *err)
{
    struct txn t;
    struct key from = {.n = 0};
    key_bytes(&from, after, strlen(after));
    if (*after)
        key_bytes(&from, "\1", 1); /* above the 0 that ends the name, and no name has it */
    out[0] = '\0';
    if (!txn_read(s, &t, err))
        return false;
    bool ok = txn_walk_from(&t, TABLE_NOTICE, key_view(&from), name_entry, out, err);
    txn_read_end(&t);
    return ok;
}

bool store_notice_holds(struct store *s, uint64_t cert_id, bool *held, struct err *err)
{
    struct txn t;
    struct key k = key_id(cert_id);
    struct view value;
    if (!txn_read(s, &t, err))
        return false;
    bool ok = txn_get(&t, TABLE_NOTICE_HELD, key_view(&k), &value, err);
    *held = ok && value.p;
    txn_read_end(&t);
    return ok;
}

static bool count(struct store *s, enum table table, uint64_t *out, struct err *err)
{
    struct txn t;
    if (!txn_read(s, &t, err))
        return false;
    bool ok = txn_count(&t, table, out, err);
    txn_read_end(&t);
    return ok;
}

bool store_notice_count(struct store *s, uint64_t *out, struct err *err)
{
    return count(s, TABLE_NOTICE, out, err);
}

bool store_notice_held(struct store *s, uint64_t *out, struct err *err)
{
    return count(s, TABLE_NOTICE_HELD, out, err);
}

/* ---- verification ---- */

struct held_count {
    struct verify *v;
    uint64_t held;
};

static bool verify_entry(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    struct held_count *c = ctx;
    struct store_notice n = {.id = 0};
    struct err why = {0};
    if (!notice_read(value, &n, NULL, &why))
        return verify_unreadable(c->v, TABLE_NOTICE, key, &why);
    struct key right = notice_key(n.target, n.id), held = key_id(n.cert_id);
    bool ok = true, yes = true;
    if (!view_eq(key, key_view(&right)))
        verify_problem(c->v, "notice %llu stands under another key", (unsigned long long)n.id);
    if (n.held)
        ok = verify_exists(c->v, TABLE_NOTICE_HELD, key_view(&held), &yes, err);
    c->held += n.held;
    if (ok && !yes)
        verify_problem(c->v, "notice %llu does not hold its certificate", (unsigned long long)n.id);
    return ok;
}

bool verify_notices(struct verify *v, struct err *err)
{
    struct held_count c = {.v = v};
    uint64_t held;
    if (!txn_walk(&v->t, TABLE_NOTICE, view_of(NULL, 0), verify_entry, &c, err) ||
        !txn_count(&v->t, TABLE_NOTICE_HELD, &held, err))
        return false;
    if (held != c.held)
        verify_problem(v, "%llu certificates are held back, %llu notices do so",
                       (unsigned long long)held, (unsigned long long)c.held);
    return true;
}
