/* Changes messages in all their layers and makes signatures, digests and encryption right again, which a fuzzer never finds by
 * itself: behind them lies most of pkcs7/.  One RSA key plays everybody (tests/vectors/clients/ca.key, to which all recorded
 * messages are encrypted), one EC key signs where the algorithm asks for it. */
#pragma once

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "mutate.h"

struct seal {
    EVP_PKEY *rsa, *ec;
    X509 *cert;             /* of the RSA key */
    struct buf rsa_spki, ec_spki;
};

/* Once; ends the program when the vectors are not there.  Kept to the end. */
const struct seal *seal_get(void);

/* Each appends what became of `in`; false when it is no BER at all. */
bool seal_message(const struct seal *s, struct view in, struct random *r, struct buf *out); /* pkiMessage, CertRep */
bool seal_csr(const struct seal *s, struct view in, struct random *r, struct buf *out);
bool seal_certificate(const struct seal *s, struct view in, struct random *r, struct buf *out); /* self-signed */
