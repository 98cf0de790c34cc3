/* Files below the folder that the build passes in SCEPD_VECTORS. */
#pragma once

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "base/buf.h"

/* Aborts the test when it cannot be read. */
struct buf vector_load(const char *name);
EVP_PKEY *vector_key(const char *name);
X509 *vector_cert(const char *name);
