/* Certificate revocation lists (RFC 5280 section 5), the complete CRL of one authority. */
#pragma once

#include "ca/authority.h"
#include "store/store.h"

/* Builds, signs and stores the next complete CRL of `a` (number from the store).  Entries whose certificate ended
 * before the previous CRL's thisUpdate are left out (RFC 5280 section 3.3). */
bool crl_publish(const struct authority *a, struct signer *signer, struct store *store, int64_t now,
                 struct store_crl *out, struct err *err);
/* How many certificates a CRL of ours names; 0 when it cannot be read.  One pass, no memory. */
uint64_t crl_entries(struct view der);
/* Is a new one due: none yet, revocations since, or its period over? */
bool crl_due(const struct authority *a, struct store *store, int64_t now, bool *due, struct err *err);
