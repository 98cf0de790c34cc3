/* Who signs in with a certificate: a JWT (RFC 7519) signed by its key, instead of a secret (RFC 7523 section 2.2). */
#pragma once

#include <openssl/evp.h>

#include "base/buf.h"
#include "base/err.h"

#define ASSERTION_LIFE 300 /* seconds */
#define ASSERTION_TYPE "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

struct assertion_key {
    int64_t not_before, not_after; /* of the certificate; Unix seconds */
    EVP_PKEY *key;                 /* owned; NULL: there is none */
    char x5t[32], x5t_s256[48];    /* of the certificate: SHA-1 and SHA-256, base64url (RFC 7515 sections 4.1.7 and 4.1.8) */
};
/* PEM; the key in a file of mode 0600 and not encrypted, RSA of 2048 bits or more: Entra takes no other.  ERR_CONFIG names file and
 * fault, whatever it is. */
bool assertion_key_load(const char *certificate_file, const char *key_file, struct assertion_key *out, struct err *err);
void assertion_key_clear(struct assertion_key *k);

/* PS256, NUL-terminated.  `now`: Unix seconds; `audience`: the URL of the token endpoint. */
bool assertion_make(const struct assertion_key *k, const char *client_id, const char *audience, int64_t now, struct buf *out,
                    struct err *err);
