/* What the domain files share: each record's reader and writer and the keys of its indexes.  Readers
 * fill *out only when they succeed. */
#pragma once

#include "backend.h"
#include "record.h"

/* ---- certificates ---- */

/* Everything but `der`, which lies in a table of its own. */
bool cert_read(struct view record, struct store_cert *out, struct err *err);
bool cert_write(const struct store_cert *c, struct buf *out, struct err *err);
/* ERR_NOT_FOUND when there is none. */
bool cert_load(struct txn *t, uint64_t id, struct store_cert *out, struct err *err);
bool cert_save(struct txn *t, const struct store_cert *c, struct err *err);
struct key cert_serial_key(struct view serial, const uint8_t authority[20]);
struct key cert_key_key(const uint8_t key_hash[STORE_HASH], uint64_t id);
struct key cert_subject_key(const uint8_t subject_hash[STORE_HASH], uint64_t id);
/* For a store made before this index was. */
bool cert_subject_fill(struct txn *t, struct err *err);

/* The revocations of an authority changed, those of partition `shard` (0: of none): its next CRL is due. */
bool revocations_move(struct txn *t, const uint8_t authority[20], uint32_t shard, uint64_t *generation,
                      struct err *err);
/* ---- counts ---- */

/* A certificate comes (`was` NULL), goes (`is` NULL) or changes its state. */
bool cert_count_move(struct txn *t, const struct store_cert *was, const struct store_cert *is, struct err *err);
bool revocation_counted(struct txn *t, enum crl_reason reason, struct err *err);
/* Counts everything, for a store that has no counts yet. */
bool counts_make(struct txn *t, struct err *err);
/* Counting anew, to compare. */
struct cert_tally;
bool cert_tally_new(struct cert_tally **out, struct err *err);
void cert_tally_free(struct cert_tally *t);
void cert_tally_add(struct cert_tally *t, const struct store_cert *c);
bool cert_tally_same(struct txn *t, const struct cert_tally *tally, bool *same, struct err *err);

struct key revoked_key(const uint8_t authority[20], uint64_t id);
/* Of a certificate of which only the serial is known: behind all those with an id. */
struct key revoked_serial_key(const uint8_t authority[20], struct view serial);
bool is_revoked_serial_key(struct view key);
bool revoked_read(struct view record, struct store_revoked *out, struct err *err);

/* Was this serial revoked before its certificate was known?  Then `c`, which is about to be put, gets that state, and
 * the revocation moves to its number. */
bool revoked_serial_find(struct txn *t, struct store_cert *c, bool *was, struct err *err);
/* Fills `out` if the serial alone is revoked, else leaves it as it is. */
bool revoked_serial_status(struct txn *t, const uint8_t authority[20], struct view serial, struct store_cert_status *out,
                           struct err *err);
bool revoked_serial_move(struct txn *t, const struct store_cert *c, struct err *err);
bool revoked_save(struct txn *t, const struct store_cert *c, uint64_t changed, struct err *err);
/* Forgets holds that were lifted up to a generation: at most 1000, the others next time. */
bool released_forget(struct txn *t, const uint8_t authority[20], uint64_t generation, struct err *err);
/* That of one certificate, if there is one. */
bool released_drop(struct txn *t, const struct store_cert *c, struct err *err);

/* When the newest CRL of a scope was made; 0: there is none. */
bool crl_made_at(struct txn *t, const uint8_t authority[20], uint32_t shard, int64_t *at, struct err *err);
/* All but `der`. */
bool crl_read(struct view record, struct store_crl *out, struct err *err);
/* Of a store of format 4, where the octets stood in the record. */
bool crls_move_out(struct txn *t, struct err *err);
struct key crl_scope_key(const uint8_t authority[20], uint32_t shard);

/* ---- crl_file.c ---- */

bool crl_file_write(struct store *s, const uint8_t authority[20], uint32_t shard, struct store_crl *crl,
                    const struct view *parts, size_t parts_n, struct err *err);
/* Maps it into `crl`.  *found false: it is missing, or not what `crl` says. */
bool crl_file_map(struct store *s, const uint8_t authority[20], uint32_t shard, struct store_crl *crl, bool *found,
                  struct err *err);
/* Is it there, in its right size? */
bool crl_file_there(const struct store *s, const uint8_t authority[20], uint32_t shard, const struct store_crl *crl);
/* All CRLs of a store that is being given up. */
void crl_files_remove(const char *store);
void crl_file_tidy(const struct store *s, const uint8_t authority[20], uint32_t shard, uint64_t newest);

/* Can it be read? */
bool offline_check(struct view key, struct view record, struct err *err);

/* ---- challenges ---- */

bool challenge_read(struct view record, struct store_challenge *out, struct err *err);
bool challenge_load(struct txn *t, const uint8_t hash[STORE_HASH], struct store_challenge *out, struct err *err);
/* The moment from which on it is kept for people only: its expiry; if it has none, its last use or
 * its revocation; 0 while there is none. */
int64_t challenge_end(const struct store_challenge *c);
struct key challenge_end_key(const struct store_challenge *c);
/* ---- challenge_pool.c: both do nothing for one without a pool ---- */

bool pool_enter(struct txn *t, const struct store_challenge *c, struct err *err);
bool pool_leave(struct txn *t, const struct store_challenge *c, struct err *err);
struct key pool_key(const struct store_challenge *c);
/* Takes such a key apart; false when it is none. */
bool pool_parts(struct view key, char pool[64], const uint8_t **hash);

/* The challenge of an entry of the index of ends. */
bool challenge_forget(struct txn *t, struct view end_key, struct err *err);

struct key challenge_made_key(const struct store_challenge *c);
/* Neither used up nor revoked, whatever the time. */
bool challenge_is_open(const struct store_challenge *c);
/* For a store made before this index was. */
bool challenges_made_fill(struct txn *t, struct err *err);

/* ---- transactions ---- */

bool tx_key(const struct store *s, const char *endpoint, const char *transaction, struct key *out, struct err *err);
bool tx_read(struct view record, struct store_tx *out, struct err *err);
/* *found tells whether there is one. */
bool tx_load(struct txn *t, struct view key, struct store_tx *out, bool *found, struct err *err);
bool tx_write(const struct store_tx *tx, struct buf *out, struct err *err);

/* ---- requests ---- */

/* Everything but csr and signer. */
bool request_read(struct view record, struct store_request *out, struct err *err);
/* csr and signer, copied. */
bool request_data_read(struct view record, struct store_request *out, struct err *err);
struct key request_pending_key(const struct store_request *r);
struct key request_made_key(const struct store_request *r);
bool requests_made_fill(struct txn *t, struct err *err);

/* ---- audit ---- */

bool audit_read(struct view record, struct store_audit *out, struct err *err);
/* Number, time and event alone. */
bool audit_read_event(struct view record, struct store_audit *out, struct err *err);
/* The chain value of `a` (its own is not looked at) after `previous`. */
bool audit_chain(const struct store *s, const struct store_audit *a, const uint8_t previous[STORE_HASH],
                 uint8_t out[STORE_HASH], struct err *err);
struct audit_head {
    uint64_t seq; /* of the newest entry, 0: none */
    uint8_t chain[STORE_HASH];
};
bool audit_head_load(struct txn *t, struct audit_head *out, struct err *err);

/* ---- attempts ---- */

bool attempt_read(struct view record, struct store_attempt *out, struct err *err);

/* ---- links: what belongs to a device, a policy or a group ---- */

enum link_kind {
    LINK_ATTEMPT = 'A',   /* number: seq */
    LINK_CERT = 'C',      /* id */
    LINK_CHALLENGE = 'H', /* time it was made, hash; while it is open */
    LINK_REQUEST = 'Q',   /* time it was made, id */
    LINK_AUDIT = 'U',     /* seq */
};
/* Does a text begin as the id of a device, a policy or a group? */
bool link_owner(const char *id);
/* Is an audit entry found by its object?  Not one whose object is the transaction ID of a request that was refused: a stranger
 * chose it, and would write into the history of whatever he names. */
bool link_audited(const struct store_audit *a);
/* For a store made before there were links: its audit log may have such objects, as the names of authorities. */
bool audit_links_fill(struct txn *t, struct err *err);
struct key link_prefix(const char *owner, enum link_kind kind);
/* With device and policy, each "" if there is none: who has neither pays nothing. */
bool links_put(struct txn *t, const char *device, const char *policy, enum link_kind kind, struct view number,
               struct err *err);
bool links_del(struct txn *t, const char *device, const char *policy, enum link_kind kind, struct view number,
               struct err *err);
/* Are they there? */
bool links_there(struct txn *t, const char *device, const char *policy, enum link_kind kind, struct view number, bool *yes,
                 struct err *err);
/* A key of the table taken apart; false: it is damaged.  Views into the key. */
bool link_parts(struct view key, struct view *owner, enum link_kind *kind, struct view *number);

/* ---- accounts ---- */

struct store_admin;
struct store_token;
struct store_kept;
bool admin_read(struct view record, struct store_admin *out, struct err *err);
struct key admin_name_key(const char *name);
struct key admin_certificate_key(const uint8_t sha256[STORE_HASH]);
bool token_read(struct view record, struct store_token *out, struct err *err);
struct key token_end_key(const struct store_token *k);
bool kept_read(struct view key, struct view record, struct store_kept *out, struct err *err);
struct key kept_end_key(const struct store_kept *k);

/* ---- jobs ---- */

struct store_job;
bool job_read(struct view record, struct store_job *out, struct err *err);
struct key job_items_key(const char *id, uint64_t portion);
uint64_t job_portions(const struct store_job *j);
/* How many names a portion holds; false: it is damaged. */
bool job_portion_count(struct view record, uint64_t *n);

bool store_sha256(const struct store *s, struct view in, uint8_t out[STORE_HASH], struct err *err);

/* Finds the one record whose text id is `id` or begins with it, in a table with text ids as keys; an exact match
 * wins.  ERR_NOT_FOUND, or ERR_CONFLICT when several match. */
bool id_find(struct txn *t, enum table table, const char *id, const char *what, struct view *value, struct err *err);
