/* What a key signed that is not here (an offline root, an authority that has ended), and is only handed on: its CRL and OCSP answers, byte for byte.
 * Part of the database, and so of backups, for nobody here could make it again. */
#pragma once

#include "store/store.h"

#define STORE_OFFLINE_MAX (16u << 20) /* octets of one */

enum store_offline_kind {
    STORE_OFFLINE_CRL = 'C',
    STORE_OFFLINE_OCSP = 'O',
    STORE_OFFLINE_LAST = 'L',      /* a CRL of a key that was here (ca/crl.h: crl_keep_last) */
};

struct store_offline {
    enum store_offline_kind kind;
    uint8_t id[STORE_HASH];        /* of a CRL: its issuer; of an OCSP answer: what is asked (ca/offline.h) */
    uint8_t issuer[STORE_HASH];    /* SHA-256 of the issuer's key (struct pubkey: sha256) */
    uint8_t said;                  /* of an OCSP answer: 0 good, 1 revoked */
    int64_t number;                /* CRL number; -1: none */
    int64_t this_update, next_update, taken_at; /* Unix seconds */
    struct buf der;                /* owned */
};
void store_offline_clear(struct store_offline *o);

/* Takes the place of an earlier one of this kind and id.  ERR_CONFLICT: the one that is there is newer. */
bool store_offline_put(struct store_write *w, const struct store_offline *o, struct err *err);
/* ERR_NOT_FOUND. */
bool store_offline_get(struct store *s, enum store_offline_kind kind, const uint8_t id[STORE_HASH],
                       struct store_offline *out, struct err *err);
/* The same without its octets: cheap, however many they are. */
bool store_offline_about(struct store *s, enum store_offline_kind kind, const uint8_t id[STORE_HASH],
                         struct store_offline *out, struct err *err);
/* All of them without their octets; one snapshot, held while `each` runs: that must not use the store. */
bool store_offline_list(struct store *s, void (*each)(void *ctx, const struct store_offline *o), void *ctx,
                        struct err *err);
