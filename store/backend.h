/* The lower floor: the only place that knows LMDB.  It owns the environment, transactions, the error
 * mapping, growth of the map, stale readers and key packing; the domain files above it speak of
 * tables, keys and values as views.
 *
 * Views handed out here point into the map: valid until the next change in the same transaction
 * or its end, whichever comes first.  None of them leaves store/.
 *
 * Locks.  `map_lock` is held for reading around every transaction of this process and for writing
 * around mdb_env_set_mapsize and env_renew, which move the map under the feet of any open transaction.  It prefers
 * readers (the default), so that a thread with an open write may read beside it.  `writer` is taken
 * before it and serialises the writes of this process; LMDB's own lock does so between processes. */
#pragma once

#include <lmdb.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "store/store.h"

enum table {
    TABLE_META,         /* format number, counters, head of the audit chain */
    TABLE_CERT,         /* id -> certificate */
    TABLE_CERT_DER,     /* id -> DER */
    TABLE_CERT_SERIAL,  /* length, serial, authority -> id */
    TABLE_CERT_KEY,     /* key hash, id -> subject hash */
    TABLE_CERT_SUBJECT, /* subject hash, id -> nothing */
    TABLE_REVOKED,      /* authority, id (or serial) -> revocation */
    TABLE_RELEASED,     /* authority, id -> hold that was lifted */
    TABLE_CRL,          /* authority, shard -> CRL */
    TABLE_CHALLENGE,    /* hash -> challenge */
    TABLE_CHALLENGE_ID, /* id -> hash */
    TABLE_CHALLENGE_END, /* time of its end, hash -> nothing */
    TABLE_CHALLENGE_MADE, /* time it was made, hash -> nothing */
    TABLE_CHALLENGE_POOL, /* pool, 0, expiry, hash -> nothing; while it is open */
    TABLE_TX,           /* hash of endpoint and transaction -> transaction */
    TABLE_REQUEST,      /* id -> request */
    TABLE_REQUEST_DATA, /* id -> CSR and signer */
    TABLE_PENDING,      /* expiry, id -> nothing */
    TABLE_REQUEST_MADE, /* time it was made, id -> nothing */
    TABLE_AUDIT,        /* sequence number -> entry */
    TABLE_ATTEMPT,      /* sequence number -> attempt */
    TABLE_DEVICE,       /* id -> device */
    TABLE_GROUP,        /* id -> group */
    TABLE_POLICY,       /* id -> policy */
    TABLE_NAME,         /* kind, name in small letters -> id; kind, value, 0, id -> nothing */
    TABLE_TIE,          /* group or policy, 0, what it holds -> by whom, when */
    TABLE_TIE_OF,       /* kind, what is held, 0, group or policy -> nothing */
    TABLE_UNTIED,       /* group or policy, 0, what it held -> by whom it was taken away, when */
    TABLE_LINK,         /* device, policy or group, 0, kind, number -> nothing: its certificates, attempts ... */
    TABLE_ADMIN,        /* id -> administrator */
    TABLE_ADMIN_INDEX,  /* 'n' and name, or 'c' and hash of certificate -> id */
    TABLE_TOKEN,        /* id -> token */
    TABLE_TOKEN_END,    /* time of its end, id -> nothing */
    TABLE_KEPT,         /* hash -> answer kept for a repeated question */
    TABLE_KEPT_END,     /* time it was asked, hash -> nothing */
    TABLE_JOB,          /* id -> job */
    TABLE_JOB_ITEMS,    /* id, portion -> names of its items */
    TABLE_NOTICE,       /* webhook, 0, number -> notice */
    TABLE_NOTICE_HELD,  /* id of a certificate -> nothing: a notice holds it back */
    TABLE_COUNT,
};

struct store {
    MDB_env *env;
    MDB_dbi dbi[TABLE_COUNT];
    pthread_rwlock_t map_lock;
    pthread_mutex_t writer;
    pid_t pid;             /* that opened it */
    char *path;            /* owned */
    const struct log *log; /* borrowed, may be NULL */
    EVP_MD *sha256;        /* owned; fetched once, fetching is slow */
    dev_t device;          /* of the directory, for the list of open stores */
    ino_t inode;
    dev_t file_device;     /* of data.mdb as it was opened; under map_lock */
    ino_t file_inode;
    atomic_bool gone;      /* another file stands at its path, or none, by the last look: nothing begins */
    int claim;             /* descriptor that makes it the only daemon's, or -1 */
    uint64_t map_size;     /* that was asked for, 0: the default */
    bool broken;           /* not usable: the map was lost when it moved, or it could not be opened anew; under map_lock */
    unsigned renewed;      /* how often it was opened anew; under map_lock */
    uint64_t stuck_at;     /* the size of the map that could not be enlarged, 0: none; under `writer` */
    bool (*watcher)(void *ctx, struct store_write *w, uint64_t cert_id, struct err *err); /* of revocations; NULL: none */
    void *watcher_ctx;
    struct store *next;
};

struct txn {
    struct store *s;
    MDB_txn *mdb;
    bool changed;
    bool failed;       /* a change failed half-way: nothing of this transaction may be committed */
    bool map_full;     /* ... because the map was full */
    struct err reason; /* of the failure */
};

struct store_write {
    struct txn txn;
};

/* ---- environment ---- */

/* Opens LMDB in s->path and the tables, which are made if there are none and `create`. */
bool env_open(struct store *s, uint64_t map_size, bool create, struct err *err);
void env_close(struct store *s);
/* Is what stands at the path what is open here?  Logs when that changes, and while it is not, nothing begins. */
bool env_in_place(struct store *s);
/* store_look, here and now. */
bool env_look(struct store *s, struct err *err);
/* A commit that fails at its last write leaves the environment unusable, for LMDB does not know what is on the disk: opens
 * it anew, as another process would find it, unless that was done since `seen` was `renewed`.  Waits until no transaction
 * of this process is open.  LMDB's code. */
int env_renew(struct store *s, unsigned seen);
/* Opens the one file s->path, for reading only and without locks: a backup. */
bool env_open_copy(struct store *s, struct err *err);
/* Is this file LMDB's, and as long as it says?  Reading behind its end would end the program (SIGBUS). */
bool env_file_whole(const char *file, struct err *err);
/* Writes a compacted copy of what is committed now to fd.  LMDB's code, 0: done. */
int env_copy(struct store *s, int fd);
/* Frees slots of readers that died. */
bool env_free_dead_readers(struct store *s, struct err *err);
/* store_readers. */
bool env_readers(struct store *s, struct store_reader *out, size_t cap, size_t *n, struct err *err);
/* How far the map is used, in octets (pages free for reuse not counted), and its size. */
bool env_usage(struct store *s, uint64_t *used, uint64_t *map, struct err *err);
/* Space left on the file system of the store, in octets. */
bool env_disk_free(const struct store *s, uint64_t *out, struct err *err);
/* LMDB's code in words.  Disk and map full are ERR_FULL, whichever way the system puts it. */
bool env_error(const struct store *s, int rc, const char *doing, struct err *err);

/* ---- transactions ---- */

bool txn_read(struct store *s, struct txn *out, struct err *err);
void txn_read_end(struct txn *t);
bool txn_write(struct store *s, struct txn *out, struct err *err);
bool txn_write_commit(struct txn *t, struct err *err);
void txn_write_abort(struct txn *t);
/* To be asked first by every verb that changes something: a write that failed stays failed. */
bool txn_usable(const struct txn *t, struct err *err);
/* Makes the transaction fail for the reason in err; returns false.  For verbs that cannot go on after their
 * first change; txn_put, txn_del and txn_counter_next do it themselves. */
bool txn_spoil(struct txn *t, const struct err *err);

/* out->p is NULL when there is none. */
bool txn_get(struct txn *t, enum table table, struct view key, struct view *out, struct err *err);
enum put_mode { PUT_REPLACE, PUT_NEW, PUT_LAST /* the key is above all others: pages fill up */ };
/* A failure here makes the whole transaction fail. */
bool txn_put(struct txn *t, enum table table, enum put_mode mode, struct view key, struct view value, struct err *err);
/* The entry must be there. */
bool txn_del(struct txn *t, enum table table, struct view key, struct err *err);
bool txn_count(struct txn *t, enum table table, uint64_t *out, struct err *err);
/* The greatest key; NULL when the table is empty. */
bool txn_last_key(struct txn *t, enum table table, struct view *key, struct err *err);

/* Counters: 8 octets, 0 while there is none. */
bool txn_counter(struct txn *t, struct view key, uint64_t *out, struct err *err);
bool txn_counter_next(struct txn *t, struct view key, uint64_t *out, struct err *err);
bool txn_counter_set(struct txn *t, struct view key, uint64_t n, struct err *err);
/* One less; it must not be 0. */
bool txn_counter_less(struct txn *t, struct view key, struct err *err);

/* Sets *stop to end the walk early.  Must not change the table. */
typedef bool (*walk_fn)(void *ctx, struct view key, struct view value, bool *stop, struct err *err);
/* Calls fn for every entry whose key begins with `prefix`, in order, within `t`. */
bool txn_walk(struct txn *t, enum table table, struct view prefix, walk_fn fn, void *ctx, struct err *err);
/* The same on from a key that fn was given, exclusively, upwards or downwards; an empty `at` begins at the end in question. */
bool txn_walk_on(struct txn *t, enum table table, struct view prefix, struct view at, bool down, walk_fn fn, void *ctx,
                 struct err *err);
/* The same from the first key >= `from` to the end of the table. */
bool txn_walk_from(struct txn *t, enum table table, struct view from, walk_fn fn, void *ctx, struct err *err);

/* Walks a whole table in portions, each copied in a snapshot of its own, with no transaction open
 * while fn runs: it may take its time and use the store.  Upwards from the first key >= from, or
 * downwards from the last key < from; an empty `from` starts at the end in question. */
bool table_walk(struct store *s, enum table table, struct view from, bool down, walk_fn fn, void *ctx, struct err *err);

/* ---- keys ---- */

#define KEY_MAX 196 /* the longest: group, user and device, a place in a list; LMDB allows 511 */

struct key {
    uint8_t p[KEY_MAX];
    size_t n;
    bool too_long; /* the empty key then, which LMDB refuses */
};

/* Parts one after the other; numbers big-endian, so that they sort and prefixes can be walked. */
void key_bytes(struct key *k, const void *p, size_t n);
void key_u32(struct key *k, uint32_t v);
void key_u64(struct key *k, uint64_t v);
void key_time(struct key *k, int64_t t); /* negative ones sort before 0 */
struct view key_view(const struct key *k);
uint64_t octets_u64(const uint8_t *p);
uint32_t octets_u32(const uint8_t *p);
void u64_octets(uint64_t v, uint8_t out[8]);

struct key key_id(uint64_t id);

/* Keys of TABLE_META. */
struct key meta_format(void);
struct key meta_generation(void);
struct key meta_revocations(const uint8_t authority[20]);
struct key meta_shard_revocations(const uint8_t authority[20], uint32_t shard);
struct key meta_crl_number(const uint8_t authority[20], uint32_t shard);
struct key meta_crl_floor(void);
struct key meta_backup(void);
struct key meta_audit_head(void);
struct key meta_pending(const char *endpoint);
struct key meta_attempts(void);
struct key meta_notices(void);
struct key meta_cert_count(void);       /* begins those of counts by state and day */
struct key meta_revocation_count(void); /* begins those of counts by reason */
struct key meta_challenges_made(void);
struct key meta_pool(const char *pool); /* of "": begins those of all */
struct key meta_device_count(unsigned state);
struct key meta_offline(void);          /* begins those of what was signed elsewhere */
