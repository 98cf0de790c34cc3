/* A TLS certificate for a listener of scepd's own, from the authority: made with the CA's key at hand, by scepctl. */
#pragma once

#include "ca/tend.h"
#include "pkcs7/cert.h"
#include "pkcs7/san.h"
#include "store/store.h"

#define SERVER_VALIDITY ((int64_t)90 * 86400)
#define SERVER_VALIDITY_MAX ((int64_t)398 * 86400) /* what browsers take at most */

struct server_wish {
    const struct san *names;   /* DNS names and addresses, at least one; the first one is the common name */
    const char *key_kind;      /* "p256", "rsa2048" ... */
    int64_t validity;          /* seconds; the CA's end is the limit */
};
/* The certificate is in the store, with its audit entry, before anybody has it: it can be revoked like any other.  `key` and `cert` are
 * owned by the caller. */
bool server_make(const struct tend *t, const struct server_wish *w, struct store *s, EVP_PKEY **key, struct cert **cert,
                 struct err *err);
