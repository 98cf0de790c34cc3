/* Certificate revocation lists (RFC 5280 section 5) of one authority's key: the complete one always; partitions, whose
 * certificates name them, with crl_shards; a delta to the complete one with crl_delta. */
#pragma once

#include "ca/authority.h"
#include "store/store.h"

#define CRL_MAX_SHARDS 128
#define CRL_URL_MAX 300

/* Scopes as the store has them: STORE_CRL_COMPLETE, a partition from 1, STORE_CRL_DELTA. */
struct crl_scopes {
    uint32_t scope[CRL_MAX_SHARDS + 2];
    size_t n;
};

/* Everything that `a` has to publish now.  A partition stays, even when the setting is lowered: certificates name it. */
bool crl_scopes(const struct authority *a, struct store *store, struct crl_scopes *out, struct err *err);
/* Those of which a new one is due: none yet, revocations since, its period over, or its octets missing. */
bool crl_due(const struct authority *a, struct store *store, int64_t now, struct crl_scopes *out, struct err *err);
/* Builds, signs and stores the next CRL of each of these scopes (NULL: of all) from one state of the store, numbers from
 * the store; a delta and its complete list always together.  Entries whose certificate ended before thisUpdate of the
 * CRL before are left out (RFC 5280 section 3.3).  Nothing is held while it is signed and written, and no list is ever
 * whole in this process's own memory.  When somebody else publishes a newer list meanwhile, this one is built anew. */
bool crl_publish(const struct authority *a, struct signer *signer, struct store *store, int64_t now,
                 const struct crl_scopes *which, struct err *err);

/* For a key that signs no more: the database, and so every backup, gets its last lists; and their files are put back
 * where they are missing from a store that was restored.  Lists of more than STORE_OFFLINE_MAX octets are files alone. */
bool crl_keep_last(const struct authority *a, struct store *store, int64_t now, struct err *err);

/* Where the CRL of a scope is, from where the complete one is: NAME.crl, NAME-p3.crl, NAME-delta.crl.  The very octets
 * that certificates and issuingDistributionPoint carry.  False when there is no URL, or none that ends in .crl. */
bool crl_scope_url(const char *crl_url, uint32_t scope, char out[CRL_URL_MAX]);
/* The same for a name of a file or path without its .crl. */
void crl_scope_suffix(uint32_t scope, char out[24]);
/* The partition of a certificate that is about to be issued, from its serial; 0: the complete list. */
uint32_t crl_shard_of(const struct authority *a, struct view serial);
