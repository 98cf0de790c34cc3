/* The store: what the authority remembers.  It speaks of certificates, challenges, transactions,
 * pending requests, revocations and audit entries, never of keys and values.  Daemon and scepctl
 * open the same directory at the same time and meet nowhere else.
 *
 * Reads take a short snapshot each and hand out owned copies (free with the matching _clear).
 * Changes go through a `struct store_write`: one transaction, at most one at a time in the whole
 * system; it becomes durable with store_write_commit, which alone may be told to a client.  A
 * verb that finds its precondition broken fails with ERR_CONFLICT, ERR_EXISTS or ERR_NOT_FOUND before
 * it has changed anything, so that one item never poisons the batch of the others.
 *
 * Thread-safe: any thread may read; writes are serialised inside, and a write belongs to the thread that
 * began it.  A store is open once in a process, and not used after a fork. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "base/trail.h"

struct store;
struct store_write;

#define STORE_FORMAT 6
#define STORE_HASH 32          /* SHA-256 */
#define STORE_SERIAL_MAX 40
#define STORE_TEXT_MAX 512
#define STORE_SUBJECT_MAX 1024

struct store_options {
    const char *path;          /* directory */
    uint64_t map_size;         /* octets of address space; 0: 64 GiB.  Sparse: costs nothing */
    bool create;               /* make it if there is none, mode 0700 */
    bool alone;                /* for the daemon: ERR_BUSY while another process has it open so */
    const struct log *log;     /* may be NULL; borrowed for the life of the store */
};

/* ERR_NOT_FOUND: there is none; ERR_BUSY: open in this process already; ERR_STORE: made by a newer version.  A store of
 * an older format is brought to this one, in one transaction. */
bool store_open(const struct store_options *o, struct store **out, struct err *err);
void store_close(struct store *s);
/* LMDB trusts its pages: damaged ones may end who reads them by a signal.  For programs of one thread that have no store open:
 * true, in a child process, which goes on in the caller's place; the caller itself waits for it and exits as that does, or, when
 * damage has ended it, returns false: ERR_DAMAGED. */
bool store_apart(const char *path, struct err *err);
/* Before store_open, for a program that damage must not end again and again: ERR_DAMAGED when the store's meta pages, the roots of
 * its tables or its list of free pages are.  Whatever else is wrong with it store_open tells.  Forks: for programs of one thread. */
bool store_look(const char *path, struct err *err);
/* Is the file at its path still the one that is open?  Cheap; commits ask for themselves.  As long as it is not, nothing is read or
 * written: ERR_GONE, so that nothing is told that nobody finds again.  Any thread. */
bool store_in_place(struct store *s);
/* For programs, at their begin: a file of the store that ends too early, or that its disk does not give, ends them by SIGBUS;
 * this says so on standard error before. */
void store_tell_damage(void);

/* Grows by one with every commit that changed anything, in whatever process: caches compare it.  Cheap. */
bool store_generation(struct store *s, uint64_t *out, struct err *err);
/* A second counter that only revocations and releases of an authority move. */
bool store_revocation_generation(struct store *s, const uint8_t authority[20], uint64_t *out, struct err *err);

struct store_stats {
    uint64_t certificates, revoked, challenges, transactions, pending, audit_entries, attempts;
    uint64_t challenges_made;         /* ever, since the store counts them */
    uint64_t used_bytes, map_bytes, file_bytes, free_disk_bytes;
};
bool store_stats(struct store *s, struct store_stats *out, struct err *err);
/* Who reads, in any process, what later transactions have replaced, and so keeps its pages from being used again: at most
 * `cap` of them. */
struct store_reader {
    int pid;
    uint64_t thread;                  /* as the store names it */
    uint64_t snapshot;                /* number of the transaction whose state it reads */
};
bool store_readers(struct store *s, struct store_reader *out, size_t cap, size_t *n, struct err *err);
/* Frees slots of dead readers; called at open and every minute by the daemon. */
bool store_housekeep(struct store *s, struct err *err);

/* ---- writing ---- */

/* The map is enlarged here when it has less than 64 MiB left: room for any write but one that rewrites the store.  The calling
 * thread must not be reading (`each` of store_revoked_list), since that waits for all readers of this process. */
bool store_write_begin(struct store *s, struct store_write **out, struct err *err);
/* Durable when it returns true.  Always ends the transaction and frees w.  ERR_FULL: nothing was stored; the disk is full, or the
 * address space; a write that was larger than that room may be tried again, for the map has been enlarged. */
bool store_write_commit(struct store_write *w, struct err *err);
void store_write_abort(struct store_write *w); /* NULL allowed */

/* ---- certificates ---- */

enum cert_state { CERT_ACTIVE, CERT_REVOKED, CERT_HELD, CERT_SUPERSEDED };

enum crl_reason { /* RFC 5280 section 5.3.1 */
    CRL_UNSPECIFIED = 0, CRL_KEY_COMPROMISE = 1, CRL_CA_COMPROMISE = 2, CRL_AFFILIATION_CHANGED = 3,
    CRL_SUPERSEDED = 4, CRL_CESSATION = 5, CRL_HOLD = 6, CRL_REMOVE_FROM_CRL = 8, CRL_PRIVILEGE_WITHDRAWN = 9,
};
/* As it is typed and told everywhere: "key-compromise"; "other" for what nobody can give here. */
const char *crl_reason_text(enum crl_reason reason);
/* As the standard and other programs call it: "keyCompromise". */
const char *crl_reason_standard(enum crl_reason reason);
bool crl_reason_by_standard(const char *name, enum crl_reason *out); /* any case */
/* Words, NULL at the end: those that an administrator may give, and those that may be told of a certificate. */
extern const char *const crl_reasons_given[], *const crl_reasons_told[];
enum crl_reason crl_reason_given(int at); /* by its place among the former */

struct store_cert {
    uint64_t id;                      /* running number, given by the store; 0 before it is put */
    uint8_t authority[20];            /* key identifier of the issuing key */
    uint8_t serial[STORE_SERIAL_MAX]; /* INTEGER content octets */
    size_t serial_len;
    enum cert_state state;
    int64_t not_before, not_after;    /* Unix seconds */
    int64_t issued_at;
    int64_t revoked_at;               /* CERT_REVOKED, CERT_HELD */
    enum crl_reason revocation_reason; /* CRL_REMOVE_FROM_CRL: it was released from hold, and stands */
    uint8_t der_hash[STORE_HASH];     /* SHA-256 of the certificate */
    uint8_t key_hash[STORE_HASH];     /* SHA-256 of the canonical SPKI */
    uint8_t subject_hash[STORE_HASH]; /* SHA-256 of the subject's DER */
    char subject[STORE_SUBJECT_MAX];  /* text for people */
    char san[STORE_SUBJECT_MAX];
    char template_name[64], endpoint[64];
    char challenge[32];               /* id of the challenge, "" if none; a renewal keeps its predecessor's */
    char challenge_label[128];        /* its label then: names may be built from it, also when it is forgotten */
    char transaction[260];
    uint64_t renews, renewed_by;      /* ids, 0: none */
    uint32_t shard;                   /* partition of the CRL that its distribution point names, from 1; 0: the complete one */
    char device[32], policy[32];      /* ids (fleet.h) for whom and by which it was made, "" none; a renewal keeps them */
    struct buf der;                   /* owned */
};
void store_cert_clear(struct store_cert *c);

/* Sets c->id.  ERR_EXISTS when the authority has this serial already.  If only its serial was known, and revoked
 * (store_serial_revoke), it is stored as revoked then, and that entry is gone. */
bool store_cert_put(struct store_write *w, struct store_cert *c, struct err *err);
/* ERR_NOT_FOUND if there is none.  `out` is cleared by the caller. */
bool store_cert_by_serial(struct store *s, const uint8_t authority[20], struct view serial,
                          struct store_cert *out, struct err *err);
bool store_cert_by_id(struct store *s, uint64_t id, struct store_cert *out, struct err *err);
/* Is this certificate one of ours, of whichever authority?  By its serial (INTEGER content octets) and the SHA-256
 * of its DER: the serial finds it, the hash proves it, and no index of its own is needed. */
bool store_cert_by_der(struct store *s, struct view serial, const uint8_t der_hash[STORE_HASH],
                       struct store_cert *out, struct err *err);
/* "40:a1.." or "0x40A1", 6 digits or more, to digits in lower case; false when it is none. */
bool store_serial_digits(struct view text, char out[2 * STORE_SERIAL_MAX + 1]);
/* The same for what may be a whole serial: also fewer digits, if their number is even. */
bool store_serial_whole(struct view text, char out[2 * STORE_SERIAL_MAX + 1]);
/* A serial, whole or its first 6 hex digits or more, over all authorities; a whole one comes first.  ERR_NOT_FOUND, or
 * ERR_CONFLICT when several match. */
bool store_cert_by_prefix(struct store *s, const char *hex, struct store_cert *out, struct err *err);
/* What became of a key so far: nothing, a certificate under `subject_hash` only, one under another subject, or, which
 * counts most, a revocation because the key was compromised.  `other` gets the subject's text of the latter two. */
enum key_use { KEY_FREE, KEY_SAME, KEY_ELSEWHERE, KEY_COMPROMISED };
bool store_key_use(struct store *s, const uint8_t key_hash[STORE_HASH], const uint8_t subject_hash[STORE_HASH],
                   enum key_use *out, char other[STORE_SUBJECT_MAX], struct err *err);
struct store_revoked {
    uint8_t serial[STORE_SERIAL_MAX];
    size_t serial_len;
    int64_t revoked_at, not_after;
    enum crl_reason reason;           /* CRL_REMOVE_FROM_CRL: it was released */
    uint32_t shard;
    uint64_t changed;                 /* revocation generation that brought it; 0: before those were kept */
};
/* The oldest certificate of a subject and a template that stands at `now`, or is on hold, other than `except` (0: none);
 * without its DER.  ERR_NOT_FOUND.  One that was renewed does not count: its successor does. */
bool store_cert_of_subject(struct store *s, const uint8_t subject_hash[STORE_HASH], const char *template_name,
                           int64_t now, uint64_t except, struct store_cert *out, struct err *err);
/* Marks `old` as renewed by `new`. */
bool store_cert_renewed(struct store_write *w, uint64_t old_id, uint64_t new_id, struct err *err);
/* Revokes or holds (CRL_HOLD).  ERR_CONFLICT if it is revoked already; a held one may be revoked for
 * good. */
bool store_cert_revoke(struct store_write *w, uint64_t id, enum crl_reason reason, int64_t when, struct err *err);
bool store_cert_release(struct store_write *w, uint64_t id, struct err *err); /* from hold only */
/* Called at the end of each revocation, hold and release in this process, inside its write, which reads the record as it became:
 * what the watcher puts is durable with it, or neither is.  False: the verb has failed.  Set while no write is under way; NULL
 * ends it. */
typedef bool (*store_watcher)(void *ctx, struct store_write *w, uint64_t cert_id, struct err *err);
void store_watch_revocations(struct store *s, store_watcher watcher, void *ctx);
/* Revokes (or holds) a certificate of which only the serial is known: it was issued by the authority before it came
 * here, and is on its CRL until `r->not_after`.  Serial: INTEGER content octets, minimal.  ERR_EXISTS when that was said
 * already (a held one may be revoked for good), ERR_CONFLICT when the certificate is stored: store_cert_revoke then. */
bool store_serial_revoke(struct store_write *w, const uint8_t authority[20], const struct store_revoked *r,
                         struct err *err);
/* ERR_NOT_FOUND if there is none. */
bool store_serial_revoked(struct store *s, const uint8_t authority[20], struct view serial, struct store_revoked *out,
                          struct err *err);

/* What has to be known of a certificate to say whether it stands. */
struct store_cert_status {
    bool known;                       /* false: no certificate has this serial, and none was revoked by it */
    bool stored;                      /* the certificate itself is there; else only its revocation, and not_before is 0 */
    enum cert_state state;
    int64_t not_before, not_after;
    int64_t issued_at;                /* if stored */
    int64_t revoked_at;               /* CERT_REVOKED, CERT_HELD */
    enum crl_reason reason;
    uint32_t shard;
    uint64_t generation;              /* the authority's revocation generation in the same snapshot; also of unknown ones */
};
/* Copies no texts: for those who ask ten thousand times a second.  Serial: INTEGER content octets, of any length. */
bool store_cert_status(struct store *s, const uint8_t authority[20], struct view serial, struct store_cert_status *out,
                       struct err *err);

#define STORE_CRL_REASONS 10      /* numbers of enum crl_reason */

/* Counts that the store keeps along with every change; days are those of UTC. */
struct store_cert_counts {
    uint64_t state[4];            /* by enum cert_state; active and superseded ones without those that ended before today */
    uint64_t expired;             /* those */
    uint64_t within_7_days, within_30_days; /* active ones that end then, today included */
    uint64_t revocations[STORE_CRL_REASONS]; /* by enum crl_reason, ever; also holds that were released */
};
/* Takes as long for a million as for one. */
bool store_cert_counts(struct store *s, int64_t now, struct store_cert_counts *out, struct err *err);

struct store_cert_filter {
    const char *text;             /* substring of subject or SAN, any case; NULL: all */
    int state;                    /* enum cert_state or -1 */
    const char *endpoint, *template_name;
    const char *device, *policy;  /* ids, NULL: all */
    const char *challenge;        /* id, NULL: all */
    const uint8_t *subject_hash;  /* of STORE_HASH octets, NULL: all; store_cert_page has an index for it */
    int64_t expires_from, expires_before; /* its end: not before the one, before the other; 0: any */
    int64_t issued_from, issued_before;   /* the same of its issue */
    bool oldest_first;
    uint64_t after_id;            /* for paging: only ids below this (above, with oldest_first); 0: from the beginning */
    size_t limit;                 /* 0: no limit */
};
bool store_cert_passes(const struct store_cert_filter *f, const struct store_cert *c);
/* Calls `each` with records that live for the call only, without their DER; it returns false to stop.  As with all
 * lists no transaction is open meanwhile: `each` may use the store, and what is changed during a long list may
 * show or not. */
bool store_cert_list(struct store *s, const struct store_cert_filter *f,
                     bool (*each)(void *ctx, const struct store_cert *c), void *ctx, struct err *err);

/* All revoked and held certificates of an authority in order of issue, then those known by serial alone, then, with
 * `released`, the certificates whose hold was lifted lately (reason CRL_REMOVE_FROM_CRL): for its CRLs; one snapshot, held
 * while `each` runs: that must not use the store.  Also tells the revocation generation that the snapshot shows. */
bool store_revoked_list(struct store *s, const uint8_t authority[20], bool released,
                        bool (*each)(void *ctx, const struct store_revoked *r), void *ctx, uint64_t *generation,
                        struct err *err);
/* The revocation generation that changed this partition last; 0: none did. */
bool store_shard_generation(struct store *s, const uint8_t authority[20], uint32_t shard, uint64_t *out, struct err *err);

/* A scope of CRLs is an authority's key and one of these: the complete list, a partition from 1, or the delta to
 * the complete list. */
#define STORE_CRL_COMPLETE 0u
#define STORE_CRL_DELTA UINT32_MAX

/* Next CRL number of a scope: strictly increasing, durable once committed.  A delta is numbered with the complete list
 * (RFC 5280 section 5.2.3). */
bool store_crl_number_next(struct store_write *w, const uint8_t authority[20], uint32_t shard, uint64_t *out,
                           struct err *err);
/* The last one given, 0: none. */
bool store_crl_number(struct store *s, const uint8_t authority[20], uint32_t shard, uint64_t *out, struct err *err);
/* The next number will be above `least`: an authority that moves in has given numbers before. */
bool store_crl_number_raise(struct store_write *w, const uint8_t authority[20], uint32_t shard, uint64_t least,
                            struct err *err);

/* A complete CRL that deltas may build on (RFC 5280 section 5.2.4). */
struct store_crl_base {
    uint64_t number, generation;
    int64_t this_update;
    int64_t listed_from;           /* certificates that ended before are not on it any more */
    int64_t free_at;               /* from then on no complete CRL older than this one is valid */
};
#define STORE_CRL_BASES 32

struct store_crl {
    uint64_t number, generation;   /* revocation generation it shows */
    int64_t this_update, next_update;
    int64_t until;                 /* the latest next_update of this and all earlier ones of the scope */
    uint64_t base;                 /* of a delta: the complete CRL that it changes; else 0 */
    uint64_t entries, size;        /* size in octets */
    uint8_t sha256[STORE_HASH];
    struct store_crl_base bases[STORE_CRL_BASES]; /* of a complete one, oldest first */
    size_t base_n;
    bool missing;                  /* its octets are not there (a store that was restored): a new one is due */
    struct view der;               /* owned: the file of the CRL, mapped; empty from store_crl_about */
};
void store_crl_clear(struct store_crl *c);
/* The octets of a CRL are a file beside the store.  Writes it from its parts, durable when it returns, and sets size and
 * sha256 of `crl`; its number was drawn for the scope.  It is nothing until store_crl_put names it.  ERR_FULL;
 * ERR_CONFLICT: a newer one was published meanwhile. */
bool store_crl_write(struct store *s, const uint8_t authority[20], uint32_t shard, struct store_crl *crl,
                     const struct view *parts, size_t parts_n, struct err *err);
/* Makes it the newest CRL of its scope.  Of a complete one: releases that none of its bases needs are forgotten. */
bool store_crl_put(struct store_write *w, const uint8_t authority[20], uint32_t shard, const struct store_crl *crl,
                   struct err *err);
/* Removes the files of older ones, after the commit.  Who has one mapped keeps it. */
void store_crl_tidy(struct store *s, const uint8_t authority[20], uint32_t shard);
/* The newest CRL of a scope.  ERR_NOT_FOUND: there is none, or its file is missing or is not what was written. */
bool store_crl_get(struct store *s, const uint8_t authority[20], uint32_t shard, struct store_crl *out,
                   struct err *err);
/* The same without its octets, however many; also when they are missing. */
bool store_crl_about(struct store *s, const uint8_t authority[20], uint32_t shard, struct store_crl *out,
                     struct err *err);
/* The highest partition that ever had a CRL; 0: none. */
bool store_crl_shards(struct store *s, const uint8_t authority[20], uint32_t *out, struct err *err);

/* ---- challenges (only keyed hashes of them) ---- */

struct store_challenge {
    char id[32];                       /* "chl_4h7t2m", given by enroll/ */
    uint8_t hash[STORE_HASH];          /* HMAC of the normalised secret */
    int64_t created_at, expires_at;    /* expires_at 0: never */
    uint32_t uses, used;               /* allowed (0: unlimited), done */
    int64_t revoked_at;                /* 0: not */
    char created_by[64];
    char endpoint[64];                 /* binding; "" any */
    char template_name[64];
    char subject[STORE_SUBJECT_MAX];   /* binding: pattern, "" any */
    char san[STORE_SUBJECT_MAX];       /* binding: "DNS:host", "" any */
    char label[128];
    char device[32], policy[32];       /* ids (fleet.h): what is enrolled with it is theirs; "" none */
    char pool[64];                     /* name of those among which it is counted while it is open; "" none */
    /* the last use and the refused ones, for people */
    int64_t used_at;
    char used_by_transaction[260], used_by_subject[STORE_SUBJECT_MAX], used_by_peer[64];
    uint8_t used_by_key[STORE_HASH];
    uint32_t refused;                  /* attempts after it was used up, expired or revoked */
    int64_t refused_at;
    char refused_peer[64];
};
bool store_challenge_put(struct store_write *w, const struct store_challenge *c, struct err *err); /* ERR_EXISTS */
bool store_challenge_by_hash(struct store *s, const uint8_t hash[STORE_HASH], struct store_challenge *out,
                             struct err *err);
bool store_challenge_by_id(struct store *s, const char *id_or_prefix, struct store_challenge *out, struct err *err);
struct store_use {
    int64_t at;
    const char *transaction, *subject, *peer;
    const uint8_t *key_hash;
};
/* One use: ERR_CONFLICT when it is used up, expired at use->at or revoked; ERR_NOT_FOUND. */
bool store_challenge_burn(struct store_write *w, const uint8_t hash[STORE_HASH], const struct store_use *use,
                          struct err *err);
bool store_challenge_refused(struct store_write *w, const uint8_t hash[STORE_HASH], int64_t at, const char *peer,
                             struct err *err);
bool store_challenge_revoke(struct store_write *w, const char *id, int64_t at, struct err *err);
bool store_challenge_list(struct store *s, bool (*each)(void *ctx, const struct store_challenge *c), void *ctx,
                          struct err *err);
/* How many were ever made, what is not committed counted in: the same number again means that none was made between. */
bool store_write_challenges_made(struct store_write *w, uint64_t *n, struct err *err);
/* How many challenges of a pool are open at `now`: neither used up nor revoked nor expired.  Takes as long for a million as for one, but
 * for those that have expired since it was asked last, which are put away.  To be committed only with a challenge made at `now`:
 * by the newest one a verification tells what was put away from what is missing. */
bool store_challenge_pool_count(struct store_write *w, const char *pool, int64_t now, uint64_t *open, struct err *err);
/* Forgets challenges that expired before `before`, or that never expire and were used up or revoked before it: at
 * most 1000 a call, so that nobody waits long.  Returns how many. */
bool store_challenge_purge(struct store_write *w, int64_t before, uint64_t *purged, struct err *err);

/* ---- transactions: what was answered under a transactionID ---- */

enum tx_state { TX_ISSUED, TX_PENDING, TX_APPROVED, TX_DENIED, TX_EXPIRED };

struct store_tx {
    char endpoint[64];
    char transaction[260];             /* as sent; key together with the endpoint */
    enum tx_state state;
    uint8_t identity[STORE_HASH];      /* struct csr: identity */
    uint8_t key_hash[STORE_HASH];      /* of the CSR's key */
    uint8_t signer_hash[STORE_HASH];   /* SHA-256 of the signer's certificate */
    uint8_t signer_key_hash[STORE_HASH];
    int64_t created_at, changed_at;
    uint64_t cert_id;                  /* TX_ISSUED */
    char request[32];                  /* id of the pending request, "" if it never waited */
    uint32_t reuse_refused;            /* other requests under the same ID */
};
bool store_tx_get(struct store *s, const char *endpoint, const char *transaction, struct store_tx *out,
                  struct err *err);
/* Inserts when `expected` is NULL (ERR_EXISTS), else replaces the record whose state, cert_id and changed_at
 * still equal those of `expected` (ERR_CONFLICT otherwise). */
bool store_tx_put(struct store_write *w, const struct store_tx *t, const struct store_tx *expected, struct err *err);
bool store_tx_reuse_refused(struct store_write *w, const char *endpoint, const char *transaction, struct err *err);

/* ---- pending requests (manual approval) ---- */

enum request_state { REQUEST_PENDING, REQUEST_APPROVED, REQUEST_DENIED, REQUEST_ISSUED, REQUEST_EXPIRED };

struct store_request {
    char id[32];                       /* "req_8k2m1c" */
    enum request_state state;
    char endpoint[64], transaction[260], template_name[64];
    char subject[STORE_SUBJECT_MAX], san[STORE_SUBJECT_MAX];
    char key[16];                      /* "RSA-2048" */
    char peer[64];
    char challenge[32];                /* id of the challenge it came with, burnt at issue; "" if none */
    uint8_t challenge_hash[STORE_HASH];
    int64_t created_at, expires_at, decided_at, polled_at;
    uint32_t polls;
    char decided_by[64], note[256];
    uint64_t cert_id;
    char device[32], policy[32];       /* of its challenge, or of the certificate that it renews; "" none */
    struct buf csr;                    /* owned; the challenge in it was masked by enroll/ */
    struct buf signer;                 /* owned; DER of the certificate that signed the message */
};
void store_request_clear(struct store_request *r);
bool store_request_put(struct store_write *w, const struct store_request *r, struct err *err); /* ERR_EXISTS */
bool store_request_get(struct store *s, const char *id_or_prefix, struct store_request *out, struct err *err);
/* Decides and moves the transaction along in the same write.  A denied one may be approved later, as long as its
 * transaction still waits for it.  Everything else that is not pending any more is ERR_CONFLICT. */
bool store_request_decide(struct store_write *w, const char *id, bool approve, const char *by, const char *note,
                          int64_t at, struct err *err);
/* Takes back what waits, or what was approved and not fetched yet: it counts as denied.  ERR_CONFLICT otherwise. */
bool store_request_cancel(struct store_write *w, const char *id, const char *by, const char *note, int64_t at,
                          struct err *err);
bool store_request_polled(struct store_write *w, const char *id, int64_t at, struct err *err);
bool store_request_issued(struct store_write *w, const char *id, uint64_t cert_id, struct err *err);
/* Pending ones whose time is over become expired, with their transactions: at most 1000 a call.  Returns
 * how many. */
bool store_request_expire(struct store_write *w, int64_t now, uint64_t *expired, struct err *err);
/* Without csr and signer.  state: enum request_state or -1. */
/* How many are pending at an endpoint.  Cheap. */
bool store_request_pending(struct store *s, const char *endpoint, uint64_t *out, struct err *err);
/* When the one that waits longest came; 0: none waits. */
bool store_request_oldest(struct store *s, int64_t *created_at, struct err *err);
bool store_request_list(struct store *s, int state, bool (*each)(void *ctx, const struct store_request *r), void *ctx,
                        struct err *err);

/* ---- reading inside a write ---- */

/* As the reads above, but they see what `w` has written so far, and nothing can change between them and the
 * verbs of the same write: for checking everything before changing anything. */
bool store_write_tx_get(struct store_write *w, const char *endpoint, const char *transaction, struct store_tx *out,
                        struct err *err);
bool store_write_challenge_by_hash(struct store_write *w, const uint8_t hash[STORE_HASH], struct store_challenge *out,
                                   struct err *err);
bool store_write_cert_by_id(struct store_write *w, uint64_t id, struct store_cert *out, struct err *err);
bool store_write_cert_by_serial(struct store_write *w, const uint8_t authority[20], struct view serial,
                                struct store_cert *out, struct err *err);
bool store_write_request_get(struct store_write *w, const char *id, struct store_request *out, struct err *err);
bool store_write_request_pending(struct store_write *w, const char *endpoint, uint64_t *out, struct err *err);
bool store_write_key_use(struct store_write *w, const uint8_t key_hash[STORE_HASH], const uint8_t subject_hash[STORE_HASH],
                         enum key_use *out, char other[STORE_SUBJECT_MAX], struct err *err);
bool store_write_cert_of_subject(struct store_write *w, const uint8_t subject_hash[STORE_HASH], const char *template_name,
                                 int64_t now, uint64_t except, struct store_cert *out, struct err *err);

/* ---- audit: a hash chain ---- */

struct store_audit {
    uint64_t seq;                      /* given by the store */
    int64_t at;
    char event[48];                    /* "certificate.issued", "challenge.refused" ... */
    char actor[64];                    /* endpoint or administrator */
    char object[64];                   /* serial, challenge id, request id */
    char text[STORE_TEXT_MAX];
    uint8_t chain[STORE_HASH];         /* SHA-256 over the previous chain value and this record */
};
bool store_audit_put(struct store_write *w, const struct store_audit *a, struct err *err);
/* When the newest entry was written; 0: there is none. */
bool store_audit_newest(struct store *s, int64_t *at, struct err *err);
/* Checks the chain bit by bit: `span` says which entries were found whole so far; all zeros begins `most` entries before
 * the newest.  Each call goes on for at most `most` entries; `broken` stays once it is set. */
struct store_audit_span {
    uint64_t from, to;                 /* sequence numbers, both checked; 0: none */
    uint8_t chain[STORE_HASH];         /* of `to` */
    bool broken;                       /* at the entry behind `to`, or the newest ones are gone */
};
bool store_audit_check(struct store *s, struct store_audit_span *span, uint64_t most, struct err *err);
bool store_audit_list(struct store *s, uint64_t from_seq, bool (*each)(void *ctx, const struct store_audit *a),
                      void *ctx, struct err *err);

/* ---- attempts: what arrived, what was checked, what was answered ---- */

/* The numbers stand in stores. */
enum attempt_result {
    ATTEMPT_ISSUED = 0,
    ATTEMPT_RENEWED = 1,
    ATTEMPT_PENDING = 2,
    ATTEMPT_REPEATED = 3, /* a certificate or CRL that was there */
    ATTEMPT_REFUSED = 4,
    ATTEMPT_FAILED = 5,   /* a fault of ours */
    ATTEMPT_COUNTED = 6,  /* stands for `more` others that are not kept one by one */
    ATTEMPT_SILENT = 7,   /* the CA certificate was fetched `more` times, and nothing followed */
};

struct store_attempt {
    uint64_t seq;                      /* given by the store: grows, with gaps only where others were forgotten */
    int64_t at;                        /* Unix seconds */
    enum attempt_result result;
    char peer[64], agent[160];
    char endpoint[128];                /* or the path asked for, where no endpoint has it */
    char method[8];                    /* HTTP; "" when there was none */
    char operation[24];                /* "PKCSReq", "GetCACert"; "" before it is known */
    char transaction[260];
    char digest[16], cipher[16];       /* of the message */
    char subject[STORE_SUBJECT_MAX], san[STORE_SUBJECT_MAX]; /* asked for; of the certificate when there is one */
    char key[16];                      /* "RSA-2048" */
    uint8_t key_hash[STORE_HASH];      /* zeros: not known */
    char signer[2 * STORE_SERIAL_MAX + 1]; /* serial of the signer's certificate where it is one of ours, hex */
    char challenge[32], request[32];   /* ids */
    char device[32], policy[32];       /* ids; "" none */
    char serial[2 * STORE_SERIAL_MAX + 1]; /* of the certificate sent back, hex */
    char template_name[64];
    char reason[32];                   /* code of the one list; "" none */
    char detail[320];
    uint32_t status;                   /* HTTP; 0: no answer */
    int fail_info;                     /* of the CertRep; -1: none */
    uint32_t ms;                       /* until it was answered, or handed over for storing */
    uint32_t more;                     /* ATTEMPT_COUNTED, ATTEMPT_SILENT */
    struct trail trail;
};
/* The store never looks at secrets here: whoever fills an attempt in leaves them out. */
bool store_attempt_put(struct store_write *w, const struct store_attempt *a, struct err *err);
/* Newest first, those with seq < `before` (0: from the newest); `each` returns false to stop.  As with all lists no
 * transaction is open meanwhile. */
bool store_attempt_list(struct store *s, uint64_t before, bool (*each)(void *ctx, const struct store_attempt *a), void *ctx,
                        struct err *err);
/* Forgets the oldest: those before `before`, and those beyond the newest `most` (0: any number); at most 1000 a
 * call.  Returns how many. */
bool store_attempt_purge(struct store_write *w, int64_t before, uint64_t most, uint64_t *purged, struct err *err);
/* The same question without a write: is there anything to forget? */
bool store_attempt_purgeable(struct store *s, int64_t before, uint64_t most, bool *out, struct err *err);

/* ---- verify ---- */

struct store_problem { char text[256]; };
/* Proves that records and indexes agree and that the audit chain is whole; calls `each` for every problem.
 * One snapshot, held while `each` runs: that must not use the store. */
bool store_verify(struct store *s, void (*each)(void *ctx, const struct store_problem *p), void *ctx,
                  uint64_t *problems, struct err *err);
/* The audit chain alone: the same problems. */
bool store_audit_verify(struct store *s, void (*each)(void *ctx, const struct store_problem *p), void *ctx,
                        uint64_t *problems, struct err *err);

/* ---- backup and restore (STORE.md) ---- */

struct store_facts {               /* of a copy: enough to know it again */
    uint64_t bytes, certificates, audit_entries;
    int64_t newest;                /* when its newest audit entry was written; 0: there is none */
    uint64_t problems;             /* that store_verify found in it */
    struct store_problem first;
};
/* Writes a consistent, compacted copy of everything to the new file `path`, mode 0600, while others read and write.  It
 * gets its name when it is whole, was verified and is on the disk; before that it is `path`.part, which a later call
 * takes over.  A store with problems is copied too, and facts.problems tells.  ERR_EXISTS, ERR_BUSY (somebody
 * writes it just now), ERR_FULL, ERR_IO. */
bool store_backup(struct store *s, const char *path, struct store_facts *facts, struct err *err);
/* When the last backup succeeded, for whoever watches that; 0: never. */
bool store_backup_succeeded(struct store_write *w, int64_t at, struct err *err);
bool store_backup_last(struct store *s, int64_t *at, struct err *err);

/* A copy on its way back: beside `target` (in `target`.restoring), verified, and in its place only with the commit.
 * The target must not exist, or be an empty directory that no daemon serves: ERR_EXISTS, ERR_BUSY. */
struct store_restore;
struct store_owner { uint32_t user, group; };
/* `owner`: for root, whose the restored store shall be; NULL: the caller's. */
bool store_restore_begin(const char *backup, const char *target, const struct store_owner *owner,
                         struct store_restore **out, struct store_facts *facts, struct err *err);
/* Lifts the CRL numbers above everything that the lost time can have used, asks for a new CRL of every authority,
 * writes the seam into the audit chain (`entry`: at, actor; the rest is filled in) and puts it in place, all or
 * nothing.  Always frees r. */
bool store_restore_commit(struct store_restore *r, const struct store_audit *entry, struct err *err);
void store_restore_abort(struct store_restore *r); /* NULL allowed */
#define STORE_EVENT_RESTORED "store.restored"

/* ---- purge ---- */

enum store_purge_kind {
    STORE_PURGE_REQUESTS,   /* denied, expired or answered before */
    STORE_PURGE_CHALLENGES, /* as store_challenge_purge */
    STORE_PURGE_CERTS,      /* ended before; never one that a CRL still needs or whose key was compromised */
    STORE_PURGE_DEVICES,    /* retired before, as store_device_forget (fleet.h); never one that has a certificate that is good */
    /* who took a device or a group from a policy or a group before, where one of them is gone: no refusal names him any more */
    STORE_PURGE_REMOVALS,
};
struct store_purge {
    enum store_purge_kind kind;
    int64_t before;
    /* kept between the steps */
    uint8_t at[200];
    size_t at_n;
    bool done;
    uint64_t found;         /* so far */
};
/* Looks at the next 1000 records at most: with `w` it forgets those that may go, without it counts them. */
bool store_purge_step(struct store *s, struct store_write *w, struct store_purge *p, struct err *err);
