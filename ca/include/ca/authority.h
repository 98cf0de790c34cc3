/* A certificate authority as loaded: its certificates, addresses and the places of its keys in the signer.
 * Immutable; shared by all threads.
 *
 * One struct authority is one generation: one CA key.  An authority of the configuration is a family of them
 * (ca/family.h): former ones, the current one, and the next before it takes over. */
#pragma once

#include "base/err.h"
#include "ca/signer.h"
#include "ca/template.h"
#include "pkcs7/cert.h"

#define AUTHORITY_MAX_CHAIN 4
#define AUTHORITY_MAX_RAS 8    /* sets of RA certificates of one generation that have not ended */

enum ra_shape { RA_SINGLE, RA_PAIR, RA_NONE };
enum authority_role { AUTHORITY_CURRENT, AUTHORITY_FORMER, AUTHORITY_NEXT };

/* RA certificates that were made together and answer together. */
struct ra_set {
    enum ra_shape shape;                   /* RA_SINGLE: one certificate signs and decrypts */
    struct cert *signing, *encryption;     /* owned; the same one for RA_SINGLE */
    int key_signing, key_encryption;       /* index in the signer, -1 if none */
    unsigned number;                       /* 0: the configured files; others as family.h numbers them */
};

/* Who answers for the CA by OCSP (RFC 6960 section 4.2.2.2): issued by this CA key itself, its key does nothing else. */
struct ocsp_delegate {
    struct cert *cert;                     /* owned; NULL: there is none */
    int key;                               /* index in the signer, -1 if none */
    unsigned number;                       /* of its files: ocsp-NUMBER.pem */
    bool renewable;                        /* the CA key that makes another one is at hand */
    char fault[320];                       /* why there is none, or not the latest; "": no reason to worry */
};

struct family;

struct authority {
    char name[64];
    const struct family *family;           /* that it belongs to; NULL: alone */
    unsigned generation;                   /* from 1 */
    enum authority_role role;
    struct cert *cert;                     /* owned */
    EVP_PKEY *public_key;                  /* owned */
    EVP_PKEY_CTX *public_ctx;              /* owned; of public_key, to be duplicated by who verifies often */
    uint8_t key_id[20];                    /* its subjectKeyIdentifier */
    struct name subject;
    uint8_t key_hash[2 + 2 * AUTHORITY_MAX_RAS + AUTHORITY_MAX_CHAIN][32]; /* of all its keys and its issuers'
                                                                              (struct pubkey: sha256) */
    size_t key_hash_n;
    struct cert *chain[AUTHORITY_MAX_CHAIN]; /* owned: issuers up to the root, without the CA itself */
    size_t chain_n;
    struct ra_set set[AUTHORITY_MAX_RAS];    /* owned: all that have not ended, and the ones in use */
    size_t set_n;
    struct cert *ra, *ra_signing, *ra_encryption; /* those in use: the latest; borrowed from `set`, NULL if there is none */
    int key_ca, key_ra, key_ra_signing, key_ra_encryption; /* index in the signer, -1 if none */
    struct ocsp_delegate ocsp;             /* owned */
    bool ca_decrypts;                      /* the CA key may open messages (RSA only) */
    enum digest digest;                    /* of its signatures; follows the curve for EC */
    struct sigalg sigalg;
    char crl_url[256], issuer_url[256], ocsp_url[256]; /* written into certificates; "" leaves the extension out */
    int64_t crl_validity, crl_period;      /* seconds */
    unsigned crl_shards;                   /* partitions that new certificates are spread over; 0 or 1: none */
    bool crl_delta;                        /* are deltas to the complete list published? */
};

struct authority_files {
    const char *name, *certificate, *key, *passphrase_file;
    const char *chain[AUTHORITY_MAX_CHAIN];
    size_t chain_n;
    const char *ra_certificate, *ra_key;
    const char *ra_signing_certificate, *ra_signing_key, *ra_encryption_certificate, *ra_encryption_key;
    const char *crl_url, *issuer_url, *ocsp_url;
    bool ocsp;               /* it answers by OCSP: its responders are loaded */
    bool ca_decrypts;
    const char *digest;      /* "SHA-256" ...; NULL: SHA-256.  EC keys: the curve's, whatever is said */
    int64_t crl_validity, crl_period;
    unsigned crl_shards;
    bool crl_delta;
};

/* Loads the certificates (not the keys), checks that chain and key usages fit, and appends the keys' specs.
 * `templates` are those that its endpoints use: the signer's limits. */
bool authority_load(const struct authority_files *f, const struct template *const *templates, size_t templates_n,
                    struct signer_spec *spec, struct authority **out, struct err *err);
void authority_free(struct authority *a);
/* The addresses that a certificate gives for its issuer's CRL and certificate; "" for none. */
void authority_urls_of(const struct cert *c, char crl[256], char issuer[256]);

/* The struct scep_keys of one endpoint: finds recipients among the RA and CA certificates of all generations, by
 * the lane's signer. */
struct authority_keys {
    const struct authority *authority;
    struct signer *signer;
};
struct scep_keys authority_scep_keys(struct authority_keys *k);
/* Certificate and key index that sign CertReps in this shape; NULL when the authority lacks it (RA_NONE needs
 * ca_decrypts). */
const struct cert *authority_reply_signer(const struct authority *a, enum ra_shape shape, int *key);
/* The same for the answer to a message that was opened with the key `opened` (-1: none): who wrote to a former RA or
 * to another generation knows those certificates only, and is answered with their keys. */
const struct cert *authority_answer_signer(const struct authority *a, enum ra_shape shape, int opened, int *key);
