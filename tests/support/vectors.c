#include "vectors.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include <openssl/pem.h>

static FILE *vector_open(const char *name)
{
    char path[512];
    const char *folder = getenv("SCEPD_VECTORS");
    ck_assert_msg(folder != NULL, "SCEPD_VECTORS is not set");
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "rb");
    ck_assert_msg(f != NULL, "%s cannot be read", path);
    return f;
}

struct buf vector_load(const char *name)
{
    struct buf b = {0};
    uint8_t chunk[4096];
    size_t n;
    FILE *f = vector_open(name);
    while ((n = fread(chunk, 1, sizeof chunk, f)) > 0)
        ck_assert(buf_append(&b, chunk, n));
    fclose(f);
    return b;
}

EVP_PKEY *vector_key(const char *name)
{
    FILE *f = vector_open(name);
    EVP_PKEY *key = PEM_read_PrivateKey(f, NULL, NULL, NULL);
    fclose(f);
    ck_assert_ptr_nonnull(key);
    return key;
}

X509 *vector_cert(const char *name)
{
    FILE *f = vector_open(name);
    X509 *cert = PEM_read_X509(f, NULL, NULL, NULL);
    fclose(f);
    ck_assert_ptr_nonnull(cert);
    return cert;
}
