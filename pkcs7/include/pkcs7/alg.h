/* The algorithms of SCEP messages: one table of names, NIDs and OpenSSL names.  Policy is a set
 * of bits, kept by the endpoint; nothing here decides what is allowed. */
#pragma once

#include <openssl/evp.h>

#include "base/err.h"
#include "base/view.h"

enum digest { DIGEST_MD5, DIGEST_SHA1, DIGEST_SHA224, DIGEST_SHA256, DIGEST_SHA384, DIGEST_SHA512, DIGEST_COUNT };
enum cipher { CIPHER_DES, CIPHER_DES3, CIPHER_AES128, CIPHER_AES192, CIPHER_AES256, CIPHER_COUNT }; /* all CBC */
enum signature_scheme { SIG_RSA_PKCS1, SIG_RSA_PSS, SIG_ECDSA };
enum key_padding { PADDING_PKCS1, PADDING_OAEP };

#define ALG_BIT(x) (1u << (x))

/* How a content key is encrypted to an RSA key.  OAEP's two hashes need not be the same: Java's own default is SHA-256
 * with MGF1 on SHA-1. */
struct key_wrap {
    enum key_padding padding;
    enum digest hash, mgf; /* PADDING_OAEP only */
};

struct sigalg {
    enum signature_scheme scheme;
    enum digest digest;
    int pss_salt; /* octets, SIG_RSA_PSS only */
};

const char *digest_name(enum digest d); /* "SHA-256" as in GetCACaps (RFC 8894 section 3.5.2) */
const char *cipher_name(enum cipher c); /* "AES-128" */
bool digest_by_name(const char *name, enum digest *out); /* any case, with or without '-' */
bool cipher_by_name(const char *name, enum cipher *out);
const EVP_MD *digest_md(enum digest d);       /* static */
size_t digest_size(enum digest d);
const EVP_CIPHER *cipher_evp(enum cipher c);  /* static; DES needs the legacy provider at use */
/* Makes DES available to this process as long as the provider is loaded: OpenSSL's legacy one, beside the default
 * one.  Called before threads, and only where an endpoint is named legacy.  Returns owned (OSSL_PROVIDER_unload). */
bool cipher_legacy_load(OSSL_PROVIDER **out, struct err *err);
size_t cipher_key_size(enum cipher c);
size_t cipher_block_size(enum cipher c);
/* By OpenSSL NID; false when it is none of the table. */
bool digest_by_nid(int nid, enum digest *out);
bool cipher_by_nid(int nid, enum cipher *out);
int cipher_nid(enum cipher c);
/* Whole AlgorithmIdentifier in DER, static: RSA with NULL parameters, ECDSA without
 * (certificates.md C5 in spirit: RFC 5754, RFC 5758). */
struct view sigalg_der(struct sigalg a);
struct view digest_alg_der(enum digest d);    /* parameters NULL */
/* Reads an AlgorithmIdentifier of a signature on a certificate, a CSR or a SignerInfo.  A bare
 * rsaEncryption (as SignerInfos have it) takes `if_bare` as its digest.  REASON_ALGORITHM_REFUSED
 * for anything else. */
bool sigalg_parse(struct view der, enum digest if_bare, struct sigalg *out, struct err *err);
/* One-shot digest; out has digest_size(d) bytes (64 always suffice). */
bool digest_compute(enum digest d, struct view data, uint8_t *out, struct err *err);
