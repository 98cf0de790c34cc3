/* Making an authority: keys and certificates on disk, all or nothing. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "ca/outside.h"

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
    /* An authority that exists already: its key and certificate, and the issuers above (borrowed; root_key is NULL then).
     * Its name goes into those of the RAs; ca_key is not looked at. */
    EVP_PKEY *given_key;
    const struct issued_chain *given;
    bool key_stands;                /* keys/ca.key is that key already */
    /* Under an outside root: nothing but keys/ca.key and ca/ca.csr (outside_request); the rest comes with the answer. */
    bool request;
    int64_t now;
};

/* Writes ca/ca.pem, keys/ca.key, ca/ra.pem, keys/ra.key, and with a root ca/root.pem, keys/root.key; with ra_pair
 * ca/ra-signing.pem, ca/ra-encryption.pem and their keys; with given issuers ca/chain.pem.  ERR_EXISTS, and nothing touched, when any of them exists. */
bool authority_init(const struct init_plan *p, struct err *err);
