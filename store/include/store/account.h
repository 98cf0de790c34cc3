/* Accounts of people and of programs: administrators, their tokens, and answers that are kept for a repeated question.  A
 * secret is never stored, only its SHA-256 (each has 160 random bits).  The rules of store.h hold: reads copy out, a verb checks all before it
 * changes anything, nothing counts before store_write_commit. */
#pragma once

#include "store/store.h"

/* The numbers stand in stores; each role may what those before it may. */
enum account_role { ROLE_NONE = 0, ROLE_AUDITOR = 1, ROLE_OPERATOR = 2, ROLE_ADMINISTRATOR = 3 };

struct store_admin {
    char id[32];                     /* "adm_4h7t2m" */
    char name[64];                   /* 1 to 63 of A-Z a-z 0-9 . _ @ + -; unique in any case */
    enum account_role role;
    bool has_certificate;
    uint8_t certificate[STORE_HASH]; /* SHA-256 of the DER of the certificate to sign in with; unique */
    bool disabled;
    int64_t created_at, changed_at;  /* Unix seconds */
    int64_t seen_at;                 /* signed in or called; moves at most once a minute; 0: never */
    char created_by[64];
    uint64_t version;                /* from 1; one more with each change that an administrator makes */
};

/* ERR_EXISTS: the name, the id or the certificate is another's. */
bool store_admin_put(struct store_write *w, const struct store_admin *a, struct err *err);
/* Replaces the one with this id; a->version is what it gets (the caller's old one plus one).  ERR_NOT_FOUND; ERR_CONFLICT when the
 * stored version is not `expected`; ERR_EXISTS as above. */
bool store_admin_replace(struct store_write *w, const struct store_admin *a, uint64_t expected, struct err *err);
/* With all tokens. */
bool store_admin_del(struct store_write *w, const char *id, uint64_t expected, struct err *err);
/* By id, its beginning, or name in any case: ERR_NOT_FOUND; ERR_CONFLICT when several begin so. */
bool store_admin_get(struct store *s, const char *id_or_name, struct store_admin *out, struct err *err);
bool store_write_admin_get(struct store_write *w, const char *id_or_name, struct store_admin *out, struct err *err);
bool store_admin_by_certificate(struct store *s, const uint8_t sha256[STORE_HASH], struct store_admin *out, struct err *err);
bool store_admin_seen(struct store_write *w, const char *id, int64_t at, struct err *err);
/* In the order of ids, those behind `after` ("": all); `each` returns false to stop. */
bool store_admin_list(struct store *s, const char *after, bool (*each)(void *ctx, const struct store_admin *a), void *ctx,
                      struct err *err);
/* How many may sign in and have this role or more. */
bool store_write_admin_count(struct store_write *w, enum account_role least, uint64_t *out, struct err *err);

/* The numbers stand in stores. */
enum token_kind {
    TOKEN_API = 1,     /* for programs: until it expires */
    TOKEN_LINK = 2,    /* a one-time sign-in link: minutes */
    TOKEN_SESSION = 3, /* of a browser: ends by itself, or when it was idle */
};

struct store_token {
    char id[32];                  /* "tok_4h7t2mc9" */
    enum token_kind kind;
    uint8_t hash[STORE_HASH];     /* SHA-256 of the secret */
    char admin[32];               /* id of its owner */
    char label[128];
    int64_t created_at, expires_at; /* Unix seconds */
    int64_t used_at;              /* moves at most once a minute; 0: never */
    char used_from[64];           /* address */
    char created_by[64];
    uint64_t version;             /* from 1 */
    char parent[32];              /* the token for programs that it was got with, by way of a session or not; "" none.  Good
                                     only while that one is there */
};
/* ERR_NOT_FOUND when its owner is not there; ERR_EXISTS. */
bool store_token_put(struct store_write *w, const struct store_token *t, struct err *err);
/* By its id, or (store_token_get) its beginning. */
bool store_token_get(struct store *s, const char *id_or_prefix, struct store_token *out, struct err *err);
bool store_write_token_get(struct store_write *w, const char *id, struct store_token *out, struct err *err);
bool store_token_used(struct store_write *w, const char *id, int64_t at, const char *from, struct err *err);
bool store_token_del(struct store_write *w, const char *id, struct err *err);
/* In the order of ids, those behind `after`; of one administrator, or of all with NULL. */
bool store_token_list(struct store *s, const char *admin, const char *after,
                      bool (*each)(void *ctx, const struct store_token *t), void *ctx, struct err *err);
/* Forgets what has expired before `before`, at most 1000 a call. */
bool store_token_purge(struct store_write *w, int64_t before, uint64_t *purged, struct err *err);

/* ---- answers kept for a repeated question (Idempotency-Key) ---- */

struct store_kept {
    uint8_t key[STORE_HASH];      /* hash of who asked, where, and the Idempotency-Key */
    uint8_t question[STORE_HASH]; /* hash of the body */
    int64_t at;                   /* when it was asked first */
    bool answered;                /* false: it was begun, and the answer is not known (yet) */
    struct buf answer;            /* owned; sealed by api/ under a key that nobody but the asker has */
};
void store_kept_clear(struct store_kept *k);
/* The first of a question: ERR_EXISTS. */
bool store_kept_put(struct store_write *w, const struct store_kept *k, struct err *err);
/* ERR_NOT_FOUND. */
bool store_kept_get(struct store *s, const uint8_t key[STORE_HASH], struct store_kept *out, struct err *err);
/* Its answer; ERR_NOT_FOUND. */
bool store_kept_answer(struct store_write *w, const uint8_t key[STORE_HASH], struct view answer, struct err *err);
bool store_kept_del(struct store_write *w, const uint8_t key[STORE_HASH], struct err *err);
/* Forgets what was asked before `before`, at most 1000 a call. */
bool store_kept_purge(struct store_write *w, int64_t before, uint64_t *purged, struct err *err);
