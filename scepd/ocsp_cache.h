/* Signed answers, kept for whoever asks for the same certificate: at most so many, of which those that nobody asked for
 * lately leave first.  An answer in it is not true for being there: whoever takes it out holds its basis against the
 * store (see ocsp_http.c).  Loop thread only. */
#pragma once

#include "ca/ocsp.h"
#include "http/http.h"

/* An answer as it is sent, shared by the cache and by replies under way. */
struct ocsp_kept {
    struct buf body;             /* the OCSPResponse */
    unsigned users;
    enum ocsp_cert_status said;
    int64_t this_update, next_update;
    char etag[2 + 64 + 1];       /* strong: quoted hex of the body's SHA-256 (RFC 6960 A.1, RFC 9111) */
    char last_modified[HTTP_DATE], expires[HTTP_DATE]; /* HTTP dates: this_update, next_update */
};
/* Takes the response out of `a`; one user.  NULL when out of memory. */
struct ocsp_kept *ocsp_kept_new(struct ocsp_answer *a);
struct ocsp_kept *ocsp_kept_get1(struct ocsp_kept *k);
void ocsp_kept_release(void *kept); /* NULL allowed */

struct ocsp_entry {
    struct ocsp_entry *chain;    /* private: of its bucket */
    size_t slot;                 /* private */
    bool asked;                  /* since it was last looked at by who wants its place */
    struct ocsp_kept *kept;      /* one reference */
    uint8_t authority[20];       /* key identifier of its issuer */
    struct ocsp_basis basis;
    int64_t renew_at, until;     /* Unix seconds: another one should be made; it is not given out any more */
    uint64_t epoch;              /* of the rules and keys that it was made by */
    uint16_t serial_at, serial_n; /* in the key */
    uint16_t key_n;
    uint8_t key[];               /* the CertID as asked */
};

struct ocsp_cache;
/* `most` at least 1.  NULL when out of memory. */
struct ocsp_cache *ocsp_cache_new(size_t most);
void ocsp_cache_free(struct ocsp_cache *c); /* NULL allowed */
/* Another size: what it held goes on as far as there is room. */
bool ocsp_cache_resize(struct ocsp_cache *c, size_t most);
size_t ocsp_cache_count(const struct ocsp_cache *c);
/* Both mark it as asked for.  Valid until the cache is changed. */
struct ocsp_entry *ocsp_cache_find(struct ocsp_cache *c, const struct ocsp_id *id);
/* A new one, or the one there is, to be filled in by the caller; another may leave for it.  NULL when out of memory. */
struct ocsp_entry *ocsp_cache_place(struct ocsp_cache *c, const struct ocsp_id *id);
void ocsp_cache_drop(struct ocsp_cache *c, struct ocsp_entry *e);
struct view ocsp_entry_serial(const struct ocsp_entry *e);
/* Keyed, for this and other tables of CertIDs; nobody outside can know who meets whom. */
uint64_t ocsp_id_hash(struct view whole, const uint64_t secret[2]);
