/* Private keys for tests of messages: a struct scep_keys on plain EVP_PKEYs in this process. */
#pragma once

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "pkcs7/scep.h"

#define TEST_KEYS_MAX 4

struct test_keys {
    EVP_PKEY *key[TEST_KEYS_MAX];
    X509 *cert[TEST_KEYS_MAX];
    struct buf der[TEST_KEYS_MAX]; /* of the certificates */
    struct cert *parsed[TEST_KEYS_MAX]; /* the same, as pkcs7/ reads them */
    int n;
    bool out_of_reach;             /* every operation fails, as when the signer is gone */
};

EVP_PKEY *test_rsa_key(unsigned bits);
EVP_PKEY *test_ec_key(const char *curve);
/* Self-signed, with a serial of 16 octets and a subjectKeyIdentifier. */
X509 *test_cert(EVP_PKEY *key, const char *cn);
/* A PKCS#10 of CN and challenge (NULL: none); returns owned DER. */
struct buf test_csr(EVP_PKEY *key, const char *cn, const char *challenge);
struct buf test_cert_der(X509 *cert);

/* Takes both; returns the index. */
int test_keys_add(struct test_keys *k, EVP_PKEY *key, X509 *cert);
struct scep_keys test_keys_scep(struct test_keys *k);
void test_keys_clear(struct test_keys *k);
