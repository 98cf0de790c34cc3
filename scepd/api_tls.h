/* TLS of the API's listener: its certificate and key from files, and the names of our authorities for clients to choose their
 * certificate by. */
#pragma once

#include <openssl/types.h>

#include "config/config.h"

/* NULL in *out when the configuration names no certificate.  Owned: SSL_CTX_free.  ERR_CONFIG names the file. */
bool api_tls_load(const struct config *c, const struct config_rooms *rooms, SSL_CTX **out, struct err *err);
/* Validity of its certificate, Unix seconds; both 0 for NULL. */
void api_tls_validity(const SSL_CTX *ctx, int64_t *from, int64_t *until);
