/* Making an authority: keys and certificates on disk, all or nothing. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct init_plan {
    const char *directory;          /* gets ca/ (certificates, 0755) and keys/ (0700, files 0600) */
    const char *name;               /* common name of the issuing CA */
    const char *organization;       /* or NULL */
    const char *ca_key;             /* "rsa2048" ... "p384" */
    const char *root_key;           /* NULL: the CA is its own root */
    const char *ra_key;             /* "rsa2048" ...; NULL: no RA */
    bool ra_pair;                   /* NDES's two RA certificates besides */
    bool ca_decrypts;               /* keyEncipherment in the CA's key usage */
    const char *passphrase_file;    /* or NULL */
    const char *crl_url, *issuer_url; /* of the CA itself when it has a root; may be NULL */
    int64_t root_validity, ca_validity, ra_validity; /* seconds; 0: defaults of the role */
    int64_t now;
};

/* Writes ca/ca.pem, keys/ca.key, ca/ra.pem, keys/ra.key, and with a root ca/root.pem, keys/root.key; with ra_pair
 * ca/ra-signing.pem, ca/ra-encryption.pem and their keys.  ERR_EXISTS, and nothing touched, when any of them exists. */
bool authority_init(const struct init_plan *p, struct err *err);
