/* Transactions: what was answered under a transactionID at an endpoint. */
#include "records.h"

#define TX_VERSION 1

static const char what[] = "transaction";

/* Endpoint and transactionID together may be longer than a key, and the client chooses the latter.
 */
bool tx_key(const struct store *s, const char *endpoint, const char *transaction, struct key *out,
            struct err *err)
{
    struct buf in = {0};
    uint8_t hash[STORE_HASH];
    bool ok =
        (buf_append(&in, endpoint, strlen(endpoint) + 1) && buf_append_str(&in, transaction)) ||
        err_memory(err);
    ok = ok && store_sha256(s, buf_view(&in), hash, err);
    buf_clear(&in);
    if (!ok)
        return false;
    *out = (struct key){.n = 0};
    key_bytes(out, hash, sizeof hash);
    return true;
}

bool tx_write(const struct store_tx *tx, struct buf *out, struct err *err)
{
    struct record_writer w = record_begin(out, TX_VERSION);
    write_text(&w, tx->endpoint, sizeof tx->endpoint);
    write_text(&w, tx->transaction, sizeof tx->transaction);
    write_u8(&w, (uint8_t)tx->state);
    write_bytes(&w, tx->identity, STORE_HASH);
    write_bytes(&w, tx->key_hash, STORE_HASH);
    write_bytes(&w, tx->signer_hash, STORE_HASH);
    write_bytes(&w, tx->signer_key_hash, STORE_HASH);
    write_i64(&w, tx->created_at);
    write_i64(&w, tx->changed_at);
    write_u64(&w, tx->cert_id);
    write_text(&w, tx->request, sizeof tx->request);
    write_u32(&w, tx->reuse_refused);
    return record_written(&w, what, err);
}

bool tx_read(struct view record, struct store_tx *out, struct err *err)
{
    struct record_reader r;
    struct store_tx tx = {.endpoint = ""};
    if (!record_open(&r, record, TX_VERSION, what, err))
        return false;
    read_text(&r, tx.endpoint, sizeof tx.endpoint);
    read_text(&r, tx.transaction, sizeof tx.transaction);
    tx.state = (enum tx_state)read_u8(&r);
    read_bytes(&r, tx.identity, STORE_HASH);
    read_bytes(&r, tx.key_hash, STORE_HASH);
    read_bytes(&r, tx.signer_hash, STORE_HASH);
    read_bytes(&r, tx.signer_key_hash, STORE_HASH);
    tx.created_at = read_i64(&r);
    tx.changed_at = read_i64(&r);
    tx.cert_id = read_u64(&r);
    read_text(&r, tx.request, sizeof tx.request);
    tx.reuse_refused = read_u32(&r);
    if (!record_close(&r, what, err))
        return false;
    if (tx.state > TX_EXPIRED)
        return err_set(err, ERR_STORE, "the store has a transaction in the unknown state %d",
                       (int)tx.state);
    *out = tx;
    return true;
}

bool tx_load(struct txn *t, struct view key, struct store_tx *out, bool *found, struct err *err)
{
    struct view record;
    if (!txn_get(t, TABLE_TX, key, &record, err))
        return false;
    *found = record.p != NULL;
    return !record.p || tx_read(record, out, err);
}

static bool tx_find(struct txn *t, const char *endpoint, const char *transaction,
                    struct store_tx *out, struct err *err)
{
    struct key k;
    bool found;
    if (!tx_key(t->s, endpoint, transaction, &k, err) ||
        !tx_load(t, key_view(&k), out, &found, err))
        return false;
    return found || err_set(err, ERR_NOT_FOUND, "there is no transaction %.64s", transaction);
}

bool store_tx_get(struct store *s, const char *endpoint, const char *transaction,
                  struct store_tx *out, struct err *err)
{
    struct txn t;
    if (!txn_read(s, &t, err))
        return false;
    bool ok = tx_find(&t, endpoint, transaction, out, err);
    txn_read_end(&t);
    return ok;
}

bool store_write_tx_get(struct store_write *w, const char *endpoint, const char *transaction,
                        struct store_tx *out, struct err *err)
{
    return txn_usable(&w->txn, err) && tx_find(&w->txn, endpoint, transaction, out, err);
}

static bool tx_save(struct txn *t, struct view key, const struct store_tx *tx, struct err *err)
{
    struct buf record = {0};
    bool ok = tx_write(tx, &record, err) &&
              txn_put(t, TABLE_TX, PUT_REPLACE, key, buf_view(&record), err);
    buf_clear(&record);
    return ok;
}

static bool as_expected(const struct store_tx *now, const struct store_tx *expected)
{
    return now->state == expected->state && now->cert_id == expected->cert_id &&
           now->changed_at == expected->changed_at;
}

bool store_tx_put(struct store_write *w, const struct store_tx *tx, const struct store_tx *expected,
                  struct err *err)
{
    struct txn *t = &w->txn;
    struct store_tx now, new = *tx;
    struct key k;
    bool found;
    if (!txn_usable(t, err) || !tx_key(t->s, tx->endpoint, tx->transaction, &k, err) ||
        !tx_load(t, key_view(&k), &now, &found, err))
        return false;
    if (!expected && found)
        return err_set(err, ERR_EXISTS, "there is a transaction %.64s already", tx->transaction);
    if (expected && (!found || !as_expected(&now, expected)))
        return err_set(err, ERR_CONFLICT, "transaction %.64s has changed meanwhile",
                       tx->transaction);
    if (found &&
        now.reuse_refused > new.reuse_refused) /* counted meanwhile: no reason for a conflict */
        new.reuse_refused = now.reuse_refused;
    return tx_save(t, key_view(&k), &new, err);
}

bool store_tx_reuse_refused(struct store_write *w, const char *endpoint, const char *transaction,
                            struct err *err)
{
    struct txn *t = &w->txn;
    struct store_tx tx;
    struct key k;
    if (!txn_usable(t, err) || !tx_find(t, endpoint, transaction, &tx, err) ||
        !tx_key(t->s, endpoint, transaction, &k, err))
        return false;
    if (tx.reuse_refused < UINT32_MAX)
        tx.reuse_refused++;
    return tx_save(t, key_view(&k), &tx, err);
}
