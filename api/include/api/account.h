/* What is done with accounts, for the API and for scepctl alike: each verb writes its audit entry in the same transaction.  `by` is the
 * administrator who does it, or the user of a command line. */
#pragma once

#include "store/account.h"

#define API_TOKEN_MAX 96             /* "scepd_4h7t2mc9_..." with its NUL */
#define API_LINK_TTL 300             /* seconds that a sign-in link is good for */
#define API_SESSION_TTL (12 * 3600)  /* seconds of a session, however busy */
#define API_SESSION_IDLE (30 * 60)   /* and without a call */
#define API_TOKEN_TTL ((int64_t)90 * 86400)      /* of a token for programs, if nobody says */
#define API_TOKEN_TTL_MAX ((int64_t)730 * 86400)

/* "auditor", "operator", "administrator"; NULL-ended, index + 1 is the enum account_role. */
extern const char *const api_role_names[];
const char *api_role_name(enum account_role role);
bool api_role_by_name(const char *name, enum account_role *out);
/* ERR_CONFIG says what is wrong with it. */
bool api_admin_name_check(const char *name, struct err *err);

struct api_admin_wish {
    const char *name;                /* NULL in an edit: stays */
    enum account_role role;          /* ROLE_NONE in an edit: stays */
    const uint8_t *certificate;      /* SHA-256 of the DER; NULL: none, or stays */
    bool no_certificate;             /* in an edit: takes it away */
    int disabled;                    /* 0, 1; -1 in an edit: stays */
};
/* ERR_EXISTS, ERR_CONFIG. */
bool api_admin_new(struct store *s, const struct api_admin_wish *w, const char *by, int64_t now, struct store_admin *out,
                   struct err *err);
/* `expected` 0: whatever version.  ERR_CONFLICT: another version, or it would leave nobody who can administer. */
bool api_admin_edit(struct store *s, const char *id, const struct api_admin_wish *w, uint64_t expected, const char *by, int64_t now,
                    struct store_admin *out, struct err *err);
/* With its tokens. */
bool api_admin_remove(struct store *s, const char *id, uint64_t expected, const char *by, int64_t now, struct err *err);

/* `text` gets what its owner presents, once; wipe it.  `ttl` in seconds. */
bool api_token_new(struct store *s, const char *admin, enum token_kind kind, const char *label, int64_t ttl, const char *by,
                   int64_t now, char text[API_TOKEN_MAX], struct store_token *out, struct err *err);
/* The same, asked with the token or session of the id `with` (NULL: none): what a token for programs makes, by itself or by way of a
 * session, ends with it at the latest.  ERR_CONFLICT: that one is revoked, or a token of a token eight times over. */
bool api_token_with(struct store *s, const char *with, const char *admin, enum token_kind kind, const char *label, int64_t ttl,
                    const char *by, int64_t now, char text[API_TOKEN_MAX], struct store_token *out, struct err *err);
/* And what it made is good no more. */
bool api_token_revoke(struct store *s, const char *id, const char *by, int64_t now, struct err *err);

enum api_token_verdict { API_TOKEN_GOOD, API_TOKEN_WRONG, API_TOKEN_ENDED, API_TOKEN_DISABLED };
/* Whose token is this?  Looks in constant time; ENDED and DISABLED are told only to who has the secret.  False: the store failed. */
bool api_token_check(struct store *s, const char *text, int64_t now, enum api_token_verdict *verdict, struct store_token *token,
                     struct store_admin *admin, struct err *err);
/* Remembers that it was used, at most once a minute. */
bool api_token_touch(struct store *s, const struct store_token *t, const struct store_admin *a, const char *peer, int64_t now,
                     struct err *err);
/* A session for who presents a link or a token; a link is burnt by it, in the same transaction (ERR_CONFLICT: just now by
 * another, or the token is revoked). */
bool api_session_new(struct store *s, const struct store_token *presented, const struct store_admin *a, const char *peer, int64_t now,
                     char text[API_TOKEN_MAX], struct store_token *out, struct err *err);
