/* What an OCSP responder's certificate says about its answers.  Private to ca/. */
#pragma once

#include "pkcs7/cert.h"
#include "pkcs7/ocsp.h"

struct responder {
    uint8_t key_hash[OCSP_KEY_HASH]; /* by which it is named (RFC 6960 section 4.2.1: KeyHash) */
    struct sigalg alg;               /* of its signatures: SHA-256, or what fits its curve */
};
bool responder_read(const struct cert *c, struct responder *out, struct err *err);
/* Is it the certificate of one who answers by OCSP and does nothing else?  ERR_CONFIG. */
bool responder_check(const struct cert *c, struct err *err);
