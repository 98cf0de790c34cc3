/* Is a public key sound?  No relying party will notice a weak one (certificates.md C20, C21):
 * exponent 1 or even, even modulus, small factors, Fermat-close primes, the ROCA fingerprint
 * (CVE-2017-15361), a point off the curve. */
#pragma once

#include "base/err.h"
#include "pkcs7/pubkey.h"

/* REASON_KEY_WEAK with the fault's name. */
bool key_check(const struct pubkey *key, struct err *err);
