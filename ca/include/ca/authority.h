/* A certificate authority as loaded: its certificates, addresses and the places of its keys in the signer.
 * Immutable; shared by all threads. */
#pragma once

#include "base/err.h"
#include "ca/signer.h"
#include "ca/template.h"
#include "pkcs7/cert.h"

#define AUTHORITY_MAX_CHAIN 4

enum ra_shape { RA_SINGLE, RA_PAIR, RA_NONE };

struct authority {
    char name[64];
    struct cert *cert;                     /* owned */
    EVP_PKEY *public_key;                  /* owned */
    uint8_t key_id[20];                    /* its subjectKeyIdentifier */
    struct name subject;
    uint8_t key_hash[4 + AUTHORITY_MAX_CHAIN][32]; /* of all its keys and its issuers' (struct pubkey: sha256) */
    size_t key_hash_n;
    struct cert *chain[AUTHORITY_MAX_CHAIN]; /* owned: issuers up to the root, without the CA itself */
    size_t chain_n;
    struct cert *ra, *ra_signing, *ra_encryption; /* owned, NULL if there is none */
    int key_ca, key_ra, key_ra_signing, key_ra_encryption; /* index in the signer, -1 if none */
    bool ca_decrypts;                      /* the CA key may open messages (RSA only) */
    enum digest digest;                    /* of its signatures; follows the curve for EC */
    struct sigalg sigalg;
    char crl_url[256], issuer_url[256];    /* written into certificates; "" leaves the extension out */
    int64_t crl_validity, crl_period;      /* seconds */
};

struct authority_files {
    const char *name, *certificate, *key, *passphrase_file;
    const char *chain[AUTHORITY_MAX_CHAIN];
    size_t chain_n;
    const char *ra_certificate, *ra_key;
    const char *ra_signing_certificate, *ra_signing_key, *ra_encryption_certificate, *ra_encryption_key;
    const char *crl_url, *issuer_url;
    bool ca_decrypts;
    const char *digest;      /* "SHA-256" ...; NULL: SHA-256.  EC keys: the curve's, whatever is said */
    int64_t crl_validity, crl_period;
};

/* Loads the certificates (not the keys), checks that chain and key usages fit, and appends the keys' specs.
 * `templates` are those that its endpoints use: the signer's limits. */
bool authority_load(const struct authority_files *f, const struct template *const *templates, size_t templates_n,
                    struct signer_spec *spec, struct authority **out, struct err *err);
void authority_free(struct authority *a);

/* The struct scep_keys of one endpoint: finds recipients among RA and CA certificates, by the lane's signer. */
struct authority_keys {
    const struct authority *authority;
    struct signer *signer;
};
struct scep_keys authority_scep_keys(struct authority_keys *k);
/* Certificate and key index that sign CertReps in this shape; NULL when the authority lacks it (RA_NONE needs
 * ca_decrypts). */
const struct cert *authority_reply_signer(const struct authority *a, enum ra_shape shape, int *key);
