/* Do records and indexes agree, in both directions, and is the audit chain whole?  All in one
 * snapshot. */
#include "verify.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/hex.h"

__attribute__((format(printf, 2, 3))) void verify_problem(struct verify *v, const char *fmt, ...)
{
    struct store_problem p;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(p.text, sizeof p.text, fmt, ap);
    va_end(ap);
    v->problems++;
    v->each(v->ctx, &p);
}

bool verify_unreadable(struct verify *v, enum table table, struct view key, const struct err *err)
{
    static const char *const names[TABLE_COUNT] = {
        [TABLE_CERT] = "certificate",
        [TABLE_REVOKED] = "revocation",
        [TABLE_RELEASED] = "release",
        [TABLE_CRL] = "CRL",
        [TABLE_CHALLENGE] = "challenge",
        [TABLE_TX] = "transaction",
        [TABLE_REQUEST] = "request",
        [TABLE_REQUEST_DATA] = "request data",
        [TABLE_AUDIT] = "audit entry",
        [TABLE_ATTEMPT] = "attempt",
        [TABLE_DEVICE] = "device",
        [TABLE_GROUP] = "group",
        [TABLE_POLICY] = "policy",
        [TABLE_TIE] = "tie",
        [TABLE_UNTIED] = "tie",
        [TABLE_ADMIN] = "administrator",
        [TABLE_TOKEN] = "token",
        [TABLE_KEPT] = "kept answer",
        [TABLE_JOB] = "job",
        [TABLE_NOTICE] = "notice",
    };
    char hex[2 * KEY_MAX + 1];
    hex_encode(view_of(key.p, key.n < KEY_MAX ? key.n : KEY_MAX), hex);
    if (err->kind != ERR_STORE)
        return false;
    verify_problem(v, "%s with key %s: %s", names[table] ? names[table] : "record", hex, err->text);
    return true;
}

bool verify_index_has(struct verify *v, enum table table, struct key key, struct view expected,
                      bool *yes, struct err *err)
{
    struct view value;
    if (!txn_get(&v->t, table, key_view(&key), &value, err))
        return false;
    *yes = value.p && view_eq(value, expected);
    return true;
}

bool verify_exists(struct verify *v, enum table table, struct view key, bool *yes, struct err *err)
{
    struct view value;
    if (!txn_get(&v->t, table, key, &value, err))
        return false;
    *yes = value.p != NULL;
    return true;
}

/* ---- certificates ---- */

static bool cert_der_check(struct verify *v, const struct store_cert *c, struct err *err)
{
    struct key id = key_id(c->id);
    struct view der;
    uint8_t hash[STORE_HASH];
    if (!txn_get(&v->t, TABLE_CERT_DER, key_view(&id), &der, err))
        return false;
    if (!der.p) {
        verify_problem(v, "certificate %llu has no DER", (unsigned long long)c->id);
        return true;
    }
    if (!store_sha256(v->t.s, der, hash, err))
        return false;
    if (memcmp(hash, c->der_hash, STORE_HASH) != 0)
        verify_problem(v, "certificate %llu: its DER does not have the hash in its record",
                       (unsigned long long)c->id);
    return true;
}

static bool cert_index_check(struct verify *v, const struct store_cert *c, struct err *err)
{
    struct key id = key_id(c->id);
    struct key serial = cert_serial_key(view_of(c->serial, c->serial_len), c->authority);
    struct view subject = view_of(c->subject_hash, STORE_HASH);
    bool by_serial, by_key, by_subject;
    if (!verify_index_has(v, TABLE_CERT_SERIAL, serial, key_view(&id), &by_serial, err) ||
        !verify_index_has(v, TABLE_CERT_KEY, cert_key_key(c->key_hash, c->id), subject, &by_key,
                          err) ||
        !verify_index_has(v, TABLE_CERT_SUBJECT, cert_subject_key(c->subject_hash, c->id),
                          view_of(NULL, 0), &by_subject, err))
        return false;
    if (!by_serial)
        verify_problem(v, "certificate %llu is not found by its serial", (unsigned long long)c->id);
    if (!by_key)
        verify_problem(v, "certificate %llu is not found by its key", (unsigned long long)c->id);
    if (!by_subject)
        verify_problem(v, "certificate %llu is not found by its subject",
                       (unsigned long long)c->id);
    return true;
}

static bool cert_revoked_check(struct verify *v, const struct store_cert *c, struct err *err)
{
    struct key k = revoked_key(c->authority, c->id);
    struct view record;
    struct store_revoked r;
    bool revoked = c->state == CERT_REVOKED || c->state == CERT_HELD;
    if (!txn_get(&v->t, TABLE_REVOKED, key_view(&k), &record, err))
        return false;
    if (revoked != (record.p != NULL)) {
        verify_problem(v, "certificate %llu is %s and %s among the revoked ones",
                       (unsigned long long)c->id, revoked ? "revoked" : "not revoked",
                       record.p ? "stands" : "does not stand");
        return true;
    }
    if (!record.p)
        return true;
    if (!revoked_read(record, &r, err))
        return verify_unreadable(v, TABLE_REVOKED, key_view(&k), err);
    if (!view_eq(view_of(r.serial, r.serial_len), view_of(c->serial, c->serial_len)) ||
        r.revoked_at != c->revoked_at || r.not_after != c->not_after ||
        r.reason != c->revocation_reason || r.shard != c->shard)
        verify_problem(v, "certificate %llu differs from its revocation",
                       (unsigned long long)c->id);
    return true;
}

static bool cert_check(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    struct verify *v = ctx;
    struct store_cert c;
    if (!cert_read(value, &c, err)) {
        v->certs_read = false;
        return verify_unreadable(v, TABLE_CERT, key, err);
    }
    cert_tally_add(v->certs, &c);
    struct key id = key_id(c.id), successor = key_id(c.renewed_by);
    if (!view_eq(key, key_view(&id)))
        verify_problem(v, "certificate %llu stands under another number", (unsigned long long)c.id);
    bool there = true;
    if (c.renewed_by && !verify_exists(v, TABLE_CERT, key_view(&successor), &there, err))
        return false;
    if (!there || (c.state == CERT_SUPERSEDED && !c.renewed_by))
        verify_problem(v, "certificate %llu was renewed by one that does not exist",
                       (unsigned long long)c.id);
    return cert_der_check(v, &c, err) && cert_index_check(v, &c, err) &&
           verify_links(v, c.device, c.policy, LINK_CERT, key, err) &&
           cert_revoked_check(v, &c, err);
}

/* An index entry must be the one that the record it names asks for.  Damaged records are reported
 * by cert_check. */
static bool cert_entry_check(struct verify *v, uint64_t id, struct view key, enum table table,
                             struct err *err)
{
    struct store_cert c;
    struct key expected;
    static const char *const names[TABLE_COUNT] = {
        [TABLE_CERT_DER] = "DER",       [TABLE_CERT_SERIAL] = "serial",
        [TABLE_CERT_KEY] = "key",       [TABLE_CERT_SUBJECT] = "subject",
        [TABLE_REVOKED] = "revocation", [TABLE_RELEASED] = "release",
    };
    if (!cert_load(&v->t, id, &c, err)) {
        if (err->kind == ERR_NOT_FOUND)
            verify_problem(v, "a %s belongs to certificate %llu, which does not exist",
                           names[table], (unsigned long long)id);
        return err->kind == ERR_NOT_FOUND || err->kind == ERR_STORE;
    }
    if (table == TABLE_CERT_SERIAL)
        expected = cert_serial_key(view_of(c.serial, c.serial_len), c.authority);
    else if (table == TABLE_CERT_KEY)
        expected = cert_key_key(c.key_hash, id);
    else if (table == TABLE_CERT_SUBJECT)
        expected = cert_subject_key(c.subject_hash, id);
    else if (table == TABLE_REVOKED || table == TABLE_RELEASED)
        expected = revoked_key(c.authority, id);
    else
        expected = key_id(id);
    if (!view_eq(key, key_view(&expected)))
        verify_problem(v, "certificate %llu has a second %s entry", (unsigned long long)id,
                       names[table]);
    return true;
}

static bool der_entry(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    return cert_entry_check(ctx, key.n == 8 ? octets_u64(key.p) : 0, key, TABLE_CERT_DER, err);
}

static bool serial_entry(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    return cert_entry_check(ctx, value.n == 8 ? octets_u64(value.p) : 0, key, TABLE_CERT_SERIAL,
                            err);
}

/* The id stands at the end of the key. */
static uint64_t id_at_end(struct view key)
{
    return key.n > 8 ? octets_u64(key.p + key.n - 8) : 0;
}

static bool key_entry(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    return cert_entry_check(ctx, id_at_end(key), key, TABLE_CERT_KEY, err);
}

static bool subject_entry(void *ctx, struct view key, struct view value, bool *stop,
                          struct err *err)
{
    return cert_entry_check(ctx, id_at_end(key), key, TABLE_CERT_SUBJECT, err);
}

/* A serial without a certificate: in the key as in the record, and really without one. */
static bool revoked_serial_check(struct verify *v, struct view key, struct view value,
                                 struct err *err)
{
    struct store_revoked r;
    char hex[2 * STORE_SERIAL_MAX + 1];
    bool certificate;
    if (!revoked_read(value, &r, err))
        return verify_unreadable(v, TABLE_REVOKED, key, err);
    struct view serial = view_of(r.serial, r.serial_len);
    struct key expected = revoked_serial_key(key.p, serial),
               of_cert = cert_serial_key(serial, key.p);
    hex_encode(serial, hex);
    if (!verify_exists(v, TABLE_CERT_SERIAL, key_view(&of_cert), &certificate, err))
        return false;
    if (!view_eq(key, key_view(&expected)))
        verify_problem(v, "the revocation of serial %s stands under another serial", hex);
    if (certificate)
        verify_problem(v, "serial %s is revoked beside its certificate", hex);
    return true;
}

static bool revoked_entry(void *ctx, struct view key, struct view value, bool *stop,
                          struct err *err)
{
    if (is_revoked_serial_key(key))
        return revoked_serial_check(ctx, key, value, err);
    return cert_entry_check(ctx, id_at_end(key), key, TABLE_REVOKED, err);
}

static bool released_check(void *ctx, struct view key, struct view value, bool *stop,
                           struct err *err)
{
    struct verify *v = ctx;
    struct store_revoked r;
    if (!revoked_read(value, &r, err))
        return verify_unreadable(v, TABLE_RELEASED, key, err);
    return cert_entry_check(ctx, id_at_end(key), key, TABLE_RELEASED, err);
}

/* A file that is missing is no damage: a restored store has none, and the daemon makes a new CRL.
 */
static bool crl_octets_check(struct verify *v, const uint8_t authority[20], uint32_t shard,
                             struct store_crl *c, struct err *err)
{
    bool found = true;
    bool ok = !crl_file_there(v->t.s, authority, shard, c) ||
              crl_file_map(v->t.s, authority, shard, c, &found, err);
    if (ok && !found)
        verify_problem(v, "the file of CRL %llu is not what was written",
                       (unsigned long long)c->number);
    store_crl_clear(c);
    return ok;
}

static bool crl_check(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    struct verify *v = ctx;
    struct store_crl c = {0};
    uint64_t newest;
    if (key.n != 24 || !crl_read(value, &c, err))
        return verify_unreadable(v, TABLE_CRL, key, err);
    uint32_t shard = octets_u32(key.p + 20);
    struct key number = /* a delta is numbered with the complete list */
        meta_crl_number(key.p, shard == STORE_CRL_DELTA ? STORE_CRL_COMPLETE : shard);
    bool ok = txn_counter(&v->t, key_view(&number), &newest, err);
    if (ok && c.number > newest)
        verify_problem(v, "CRL %llu has a number above %llu, the last one given",
                       (unsigned long long)c.number, (unsigned long long)newest);
    return ok && crl_octets_check(v, key.p, shard, &c, err);
}

/* ---- challenges ---- */

static bool challenge_check(void *ctx, struct view key, struct view value, bool *stop,
                            struct err *err)
{
    struct verify *v = ctx;
    struct store_challenge c;
    if (!challenge_read(value, &c, err))
        return verify_unreadable(v, TABLE_CHALLENGE, key, err);
    struct key id = {.n = 0};
    key_bytes(&id, c.id, strlen(c.id));
    struct key at = challenge_made_key(&c);
    bool by_id, made, ends = true;
    if (!verify_index_has(v, TABLE_CHALLENGE_ID, id, key, &by_id, err) ||
        !verify_index_has(v, TABLE_CHALLENGE_MADE, at, view_of(NULL, 0), &made, err) ||
        (challenge_end(&c) && !verify_index_has(v, TABLE_CHALLENGE_END, challenge_end_key(&c),
                                                view_of(NULL, 0), &ends, err)))
        return false;
    if (!view_eq(key, view_of(c.hash, STORE_HASH)))
        verify_problem(v, "challenge %s stands under another hash", c.id);
    if (!by_id)
        verify_problem(v, "challenge %s is not found by its id", c.id);
    if (!ends)
        verify_problem(v, "challenge %s is not found by its end", c.id);
    if (!made)
        verify_problem(v, "challenge %s is not found by the time it was made", c.id);
    return !challenge_is_open(&c) ||
           (verify_pool_of(v, &c, err) &&
            verify_links(v, c.device, c.policy, LINK_CHALLENGE, key_view(&at), err));
}

/* The challenge of an index entry; `*there` is false when it is reported already or damaged. */
static bool challenge_of(struct verify *v, struct view hash, const char *index,
                         struct store_challenge *out, bool *there, struct err *err)
{
    *there = hash.n == STORE_HASH && challenge_load(&v->t, hash.p, out, err);
    if (*there || (hash.n == STORE_HASH && err->kind == ERR_STORE))
        return true;
    if (hash.n == STORE_HASH && err->kind != ERR_NOT_FOUND)
        return false;
    verify_problem(v, "an entry by %s belongs to a challenge that does not exist", index);
    return true;
}

static bool challenge_id_entry(void *ctx, struct view key, struct view value, bool *stop,
                               struct err *err)
{
    struct verify *v = ctx;
    struct store_challenge c;
    bool there;
    if (!challenge_of(v, value, "id", &c, &there, err))
        return false;
    if (there && !view_eq(key, view_str(c.id)))
        verify_problem(v, "challenge %s has a second id", c.id);
    return true;
}

static bool challenge_end_entry(void *ctx, struct view key, struct view value, bool *stop,
                                struct err *err)
{
    struct verify *v = ctx;
    struct store_challenge c;
    bool there;
    if (!challenge_of(v, key.n > 8 ? view_of(key.p + 8, key.n - 8) : view_of(NULL, 0), "end", &c,
                      &there, err))
        return false;
    struct key expected;
    if (there && (expected = challenge_end_key(&c), !view_eq(key, key_view(&expected))))
        verify_problem(v, "challenge %s has a second end", c.id);
    return true;
}

static bool challenge_made_entry(void *ctx, struct view key, struct view value, bool *stop,
                                 struct err *err)
{
    struct verify *v = ctx;
    struct store_challenge c;
    bool there;
    if (!challenge_of(v, key.n > 8 ? view_of(key.p + 8, key.n - 8) : view_of(NULL, 0),
                      "time of making", &c, &there, err))
        return false;
    struct key expected;
    if (there && (expected = challenge_made_key(&c), !view_eq(key, key_view(&expected))))
        verify_problem(v, "challenge %s has a second time of making", c.id);
    return true;
}

/* ---- transactions and requests ---- */

static bool tx_check(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    struct verify *v = ctx;
    struct store_tx tx;
    struct key expected, cert;
    bool certificate = true, request = true;
    if (!tx_read(value, &tx, err))
        return verify_unreadable(v, TABLE_TX, key, err);
    if (!tx_key(v->t.s, tx.endpoint, tx.transaction, &expected, err))
        return false;
    cert = key_id(tx.cert_id);
    if ((tx.state == TX_ISSUED &&
         !verify_exists(v, TABLE_CERT, key_view(&cert), &certificate, err)) ||
        (tx.request[0] && !verify_exists(v, TABLE_REQUEST, view_str(tx.request), &request, err)))
        return false;
    if (!view_eq(key, key_view(&expected)))
        verify_problem(v, "transaction %.64s stands under another key", tx.transaction);
    if (!certificate)
        verify_problem(v,
                       "transaction %.64s was answered with certificate %llu, which does not exist",
                       tx.transaction, (unsigned long long)tx.cert_id);
    if (!request)
        verify_problem(v, "transaction %.64s waits for request %s, which does not exist",
                       tx.transaction, tx.request);
    return true;
}

static bool request_tx_check(struct verify *v, const struct store_request *r, struct err *err)
{
    struct store_tx tx;
    struct key k;
    bool found;
    if (!tx_key(v->t.s, r->endpoint, r->transaction, &k, err))
        return false;
    if (!tx_load(&v->t, key_view(&k), &tx, &found, err))
        return err->kind == ERR_STORE; /* reported by tx_check */
    if (!found || tx.state != TX_PENDING || strcmp(tx.request, r->id) != 0)
        verify_problem(v, "request %s is pending and its transaction is not", r->id);
    return true;
}

static bool request_check(void *ctx, struct view key, struct view value, bool *stop,
                          struct err *err)
{
    struct verify *v = ctx;
    struct store_request r;
    bool data, queued, pending, made;
    if (!request_read(value, &r, err))
        return verify_unreadable(v, TABLE_REQUEST, key, err);
    struct key at = request_made_key(&r);
    pending = r.state == REQUEST_PENDING;
    v->pending += pending;
    if (!verify_exists(v, TABLE_REQUEST_DATA, view_str(r.id), &data, err) ||
        !verify_index_has(v, TABLE_REQUEST_MADE, at, view_of(NULL, 0), &made, err) ||
        !verify_links(v, r.device, r.policy, LINK_REQUEST, key_view(&at), err) ||
        !verify_index_has(v, TABLE_PENDING, request_pending_key(&r), view_of(NULL, 0), &queued,
                          err) ||
        (pending && !request_tx_check(v, &r, err)))
        return false;
    if (!view_eq(key, view_str(r.id)))
        verify_problem(v, "request %s stands under another id", r.id);
    if (!data)
        verify_problem(v, "request %s has no data", r.id);
    if (!made)
        verify_problem(v, "request %s is not found by the time it was made", r.id);
    if (queued != pending)
        verify_problem(v, "request %s %s pending and %s in the queue", r.id,
                       pending ? "is" : "is not", queued ? "stands" : "does not stand");
    return true;
}

static bool request_data_check(void *ctx, struct view key, struct view value, bool *stop,
                               struct err *err)
{
    struct verify *v = ctx;
    struct store_request r = {.id = ""};
    bool there;
    if (!request_data_read(value, &r, err))
        return verify_unreadable(v, TABLE_REQUEST_DATA, key, err);
    store_request_clear(&r);
    if (!verify_exists(v, TABLE_REQUEST, key, &there, err))
        return false;
    if (!there)
        verify_problem(v, "data belong to request %.*s, which does not exist", (int)key.n,
                       (const char *)key.p);
    return true;
}

/* An entry of a list of requests by time: does the request that it names have this key? */
static bool request_entry(struct verify *v, struct view key,
                          struct key (*key_of)(const struct store_request *), const char *names,
                          struct err *err)
{
    struct view record, id = key.n > 8 ? view_of(key.p + 8, key.n - 8) : view_of(NULL, 0);
    struct store_request r;
    if (!txn_get(&v->t, TABLE_REQUEST, id, &record, err))
        return false;
    if (record.p && !request_read(record, &r, err))
        return err->kind == ERR_STORE; /* reported by request_check */
    struct key expected;
    if (!record.p || (expected = key_of(&r), !view_eq(key, key_view(&expected))))
        verify_problem(v, "%s %.*s wrongly", names, (int)id.n, (const char *)id.p);
    return true;
}

static bool pending_entry(void *ctx, struct view key, struct view value, bool *stop,
                          struct err *err)
{
    return request_entry(ctx, key, request_pending_key, "the queue of pending requests names", err);
}

static bool request_made_entry(void *ctx, struct view key, struct view value, bool *stop,
                               struct err *err)
{
    return request_entry(ctx, key, request_made_key, "the requests by time name", err);
}

struct endpoint_count {
    struct view endpoint;
    uint64_t n;
};

static bool count_entry(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    struct endpoint_count *c = ctx;
    struct store_request r;
    if (!request_read(value, &r, err))
        return err->kind == ERR_STORE; /* reported by request_check */
    c->n += r.state == REQUEST_PENDING && view_eq(view_str(r.endpoint), c->endpoint);
    return true;
}

/* Of one endpoint: its counter against its requests. */
static bool pending_count_check(void *ctx, struct view key, struct view value, bool *stop,
                                struct err *err)
{
    struct verify *v = ctx;
    struct endpoint_count c = {.endpoint = view_of(key.p + 1, key.n - 1)};
    uint64_t n;
    if (!txn_counter(&v->t, key, &n, err)) {
        if (err->kind == ERR_STORE)
            verify_problem(v, "%s", err->text);
        return err->kind == ERR_STORE;
    }
    if (!txn_walk(&v->t, TABLE_REQUEST, view_of(NULL, 0), count_entry, &c, err))
        return false;
    v->counted += c.n; /* each mistake is reported once */
    if (n != c.n)
        verify_problem(v, "%llu requests are pending at %.*s and %llu are counted",
                       (unsigned long long)c.n, (int)c.endpoint.n, (const char *)c.endpoint.p,
                       (unsigned long long)n);
    return true;
}

static bool pending_counts_check(struct verify *v, struct err *err)
{
    if (!txn_walk(&v->t, TABLE_META, view_str("P"), pending_count_check, v, err))
        return false;
    if (v->pending != v->counted)
        verify_problem(v, "%llu requests are pending, %llu of them at endpoints that count them",
                       (unsigned long long)v->pending, (unsigned long long)v->counted);
    return true;
}

/* ---- what was signed elsewhere ---- */

static bool offline_entry(void *ctx, struct view key, struct view value, bool *stop,
                          struct err *err)
{
    struct verify *v = ctx;
    return offline_check(key, value, err) || verify_unreadable(v, TABLE_META, key, err);
}

/* ---- audit ---- */

static bool audit_check(void *ctx, struct view key, struct view value, bool *stop, struct err *err)
{
    struct verify *v = ctx;
    struct store_audit a;
    uint8_t chain[STORE_HASH];
    struct key expected = key_id(v->audit.seq + 1);
    if (!audit_read(value, &a, err)) {
        v->audit.seq++;
        return verify_unreadable(v, TABLE_AUDIT, key, err);
    }
    if (!view_eq(key, key_view(&expected)))
        verify_problem(v, "audit entry %llu is missing", (unsigned long long)v->audit.seq + 1);
    if (!audit_chain(v->t.s, &a, v->audit.chain, chain, err))
        return false;
    if (memcmp(chain, a.chain, STORE_HASH) != 0)
        verify_problem(v, "the audit chain is broken at entry %llu", (unsigned long long)a.seq);
    v->audit.seq = key.n == 8 ? octets_u64(key.p) : v->audit.seq + 1;
    memcpy(v->audit.chain, a.chain, STORE_HASH);
    return v->chain_only || !link_audited(&a) ||
           verify_links(v, a.object, "", LINK_AUDIT, key, err);
}

static bool audit_end_check(struct verify *v, struct err *err)
{
    struct audit_head head;
    if (!audit_head_load(&v->t, &head, err)) {
        if (err->kind == ERR_STORE)
            verify_problem(v, "%s", err->text);
        return err->kind == ERR_STORE;
    }
    if (head.seq != v->audit.seq || memcmp(head.chain, v->audit.chain, STORE_HASH) != 0)
        verify_problem(v, "the audit log ends at entry %llu and should end at %llu",
                       (unsigned long long)v->audit.seq, (unsigned long long)head.seq);
    return true;
}

/* ---- attempts ---- */

static bool attempt_check(void *ctx, struct view key, struct view value, bool *stop,
                          struct err *err)
{
    struct verify *v = ctx;
    struct store_attempt a;
    if (!attempt_read(value, &a, err))
        return verify_unreadable(v, TABLE_ATTEMPT, key, err);
    struct key expected = key_id(a.seq);
    if (!view_eq(key, key_view(&expected)))
        verify_problem(v, "attempt %llu stands under another number", (unsigned long long)a.seq);
    v->attempt = a.seq;
    return verify_links(v, a.device, a.policy, LINK_ATTEMPT, key, err);
}

/* Records that cannot be read would make any count wrong: they are told already. */
static bool cert_counts_check(struct verify *v, uint64_t problems, struct err *err)
{
    bool same = true;
    if (!v->certs_read || problems)
        return true;
    if (!cert_tally_same(&v->t, v->certs, &same, err))
        return false;
    if (!same)
        verify_problem(v, "the counts of certificates are not those of the certificates");
    return true;
}

/* The next one must stand behind all that are kept. */
static bool attempt_end_check(struct verify *v, struct err *err)
{
    struct key k = meta_attempts();
    uint64_t newest;
    if (!txn_counter(&v->t, key_view(&k), &newest, err)) {
        if (err->kind == ERR_STORE)
            verify_problem(v, "%s", err->text);
        return err->kind == ERR_STORE;
    }
    if (v->attempt > newest)
        verify_problem(v, "attempts end at %llu and are counted to %llu",
                       (unsigned long long)v->attempt, (unsigned long long)newest);
    return true;
}

bool store_audit_verify(struct store *s, void (*each)(void *ctx, const struct store_problem *p),
                        void *ctx, uint64_t *problems, struct err *err)
{
    struct verify v = {.each = each, .ctx = ctx, .chain_only = true};
    if (!txn_read(s, &v.t, err))
        return false;
    bool ok = txn_walk(&v.t, TABLE_AUDIT, view_of(NULL, 0), audit_check, &v, err) &&
              audit_end_check(&v, err);
    txn_read_end(&v.t);
    if (ok)
        *problems = v.problems;
    return ok;
}

bool store_verify(struct store *s, void (*each)(void *ctx, const struct store_problem *p),
                  void *ctx, uint64_t *problems, struct err *err)
{
    static const struct {
        enum table table;
        walk_fn check;
    } steps[] = {
        {TABLE_CERT, cert_check},
        {TABLE_CERT_DER, der_entry},
        {TABLE_CERT_SERIAL, serial_entry},
        {TABLE_CERT_KEY, key_entry},
        {TABLE_CERT_SUBJECT, subject_entry},
        {TABLE_REVOKED, revoked_entry},
        {TABLE_RELEASED, released_check},
        {TABLE_CRL, crl_check},
        {TABLE_CHALLENGE, challenge_check},
        {TABLE_CHALLENGE_ID, challenge_id_entry},
        {TABLE_CHALLENGE_END, challenge_end_entry},
        {TABLE_CHALLENGE_MADE, challenge_made_entry},
        {TABLE_TX, tx_check},
        {TABLE_REQUEST, request_check},
        {TABLE_REQUEST_DATA, request_data_check},
        {TABLE_PENDING, pending_entry},
        {TABLE_REQUEST_MADE, request_made_entry},
        {TABLE_AUDIT, audit_check},
        {TABLE_ATTEMPT, attempt_check},
    };
    struct verify v = {.each = each, .ctx = ctx, .certs_read = true};
    uint64_t of_certs = 0;
    if (!cert_tally_new(&v.certs, err))
        return false;
    if (!txn_read(s, &v.t, err)) {
        cert_tally_free(v.certs);
        return false;
    }
    bool ok = true;
    for (size_t i = 0; ok && i < sizeof steps / sizeof steps[0]; i++) {
        ok = txn_walk(&v.t, steps[i].table, view_of(NULL, 0), steps[i].check, &v, err);
        if (steps[i].table <= TABLE_REVOKED)
            of_certs = v.problems;
    }
    const struct key offline = meta_offline();
    ok = ok && txn_walk(&v.t, TABLE_META, key_view(&offline), offline_entry, &v, err) &&
         cert_counts_check(&v, of_certs, err) && pending_counts_check(&v, err) &&
         audit_end_check(&v, err) && attempt_end_check(&v, err) && verify_pools(&v, err) &&
         verify_fleet(&v, err) && verify_accounts(&v, err) && verify_jobs(&v, err) &&
         verify_notices(&v, err);
    txn_read_end(&v.t);
    cert_tally_free(v.certs);
    if (ok)
        *problems = v.problems;
    return ok;
}
