/* Issuing: plan in, certificate out.  The TBSCertificate is written from prepared bytes, signed through the
 * signer, which checks and rewrites it, read again, and its signature verified (C69). */
#pragma once

#include "ca/authority.h"
#include "ca/template.h"

struct issued {
    struct buf der;           /* owned */
    uint8_t serial[16];
    uint32_t shard;           /* partition of the CRL that it names; 0: the complete one */
    int64_t not_before, not_after;
    uint8_t der_hash[32], subject_hash[32];
    char subject[1024], san[1024];
};
void issued_clear(struct issued *i);

/* REASON_AUTHORITY_EXPIRED when the CA's own end leaves less than the plan's minimum. */
bool ca_issue(const struct authority *a, struct signer *signer, const struct cert_plan *plan, int64_t now,
              struct issued *out, struct err *err);
