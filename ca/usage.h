/* How key usage, extended key usage and the key's algorithm fit together.  Private to ca/. */
#pragma once

#include "pkcs7/ext.h"
#include "pkcs7/pubkey.h"

/* The bits that make sense for the key: RFC 8813 section 3 (no encipherment with EC), RFC 4055 and RFC 3279
 * section 2.3.1 (no agreement with RSA). */
uint32_t usage_of_key(const struct pubkey *key, uint32_t bits);
/* RFC 5280 section 4.2.1.12: a purpose needs at least one fitting bit, or the certificate is good for
 * nothing.  Unknown purposes are served by any. */
bool usage_serves(uint32_t key_usage, const char *oid);
