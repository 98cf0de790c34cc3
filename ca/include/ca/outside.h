/* An authority whose certificate comes from elsewhere: what is sent to an outside root, what comes back, and
 * whatever files of keys and certificates an older authority has. */
#pragma once

#include <openssl/evp.h>

#include "base/buf.h"
#include "base/err.h"
#include "ca/authority.h"
#include "pkcs7/cert.h"

/* ---- the request (RFC 2986) ---- */

struct outside_request {
    EVP_PKEY *key;       /* of the authority; borrowed */
    struct view subject; /* Name, whole TLV; borrowed */
    bool decrypts;       /* keyEncipherment too: the authority's own key opens messages (RSA) */
};
/* A CSR that asks for basicConstraints CA:TRUE, pathlen 0, keyUsage keyCertSign, cRLSign, digitalSignature and the
 * subjectKeyIdentifier; signed with the digest that fits the key.  PEM text, owned. */
bool outside_request_build(const struct outside_request *r, struct buf *pem, struct err *err);

/* ---- what a file holds ---- */

#define BUNDLE_MAX 32 /* certificates: an authority with all its issuers, several times over */

struct bundle {
    EVP_PKEY *key;                 /* owned; the first private key, NULL if there is none */
    struct cert *cert[BUNDLE_MAX]; /* owned */
    size_t n;
    bool locked;                   /* there is a key or a PKCS#12 that `passphrase` does not open */
};
/* Adds what `bytes` hold to `out`: PEM of any order (certificates, PKCS#7, keys of every form), or DER of one
 * certificate, PKCS#7, PKCS#12 or key.  What it is not interested in is passed over; ERR_NOT_FOUND when there is nothing
 * of this, ERR_CONFIG when it is too much or damaged.  `passphrase` may be empty.  `what` names it in messages. */
bool bundle_read(struct view bytes, struct view passphrase, const char *what, struct bundle *out, struct err *err);
void bundle_clear(struct bundle *b);
/* Is it the certificate of this key? */
bool bundle_is_of_key(const struct cert *c, EVP_PKEY *key);

/* ---- who issued whom ---- */

struct issued_chain { /* borrowed from the bundle */
    const struct cert *ca;
    const struct cert *above[AUTHORITY_MAX_CHAIN]; /* nearest first, up to the self-signed root; none for a root */
    size_t n;
};
/* Finds the certificate of `key` in the bundle (the one that ends last), and its issuers.  Checks that it may be an
 * issuing CA's (CA:TRUE, keyUsage, times) and that each signature fits; ERR_CONFIG names what does not or is missing. */
bool bundle_chain(const struct bundle *b, EVP_PKEY *key, int64_t now, struct issued_chain *out, struct err *err);
/* RFC 5280 sections 4.2.1.9 and 6.1: may it issue certificates under these issuers?  Part of bundle_chain. */
bool issued_chain_check(const struct issued_chain *c, int64_t now, struct err *err);
/* PEM text of `above`, owned; empty for a root. */
bool issued_chain_pem(const struct issued_chain *c, struct buf *out, struct err *err);
