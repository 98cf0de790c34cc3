/* PKCS#10 (RFC 2986): bytes to one immutable struct.  The self-signature is verified over the bytes
 * as received; attributes in any order; extensionRequest under PKCS#9's or Microsoft's OID. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "pkcs7/ext.h"
#include "pkcs7/name.h"
#include "pkcs7/pubkey.h"

#define CSR_MAX_SIZE (64u << 10)
#define CSR_MAX_CHALLENGE (8u << 10) /* Intune's challenges are long */

struct csr {
    struct buf der;               /* owned copy of the bytes; all views point into it */
    struct name subject;
    struct view subject_der;
    struct pubkey key;
    struct sigalg sigalg;
    bool has_challenge;           /* an empty challengePassword counts as none */
    struct buf challenge;         /* owned, wiped by csr_free; UTF-8 of whatever string type */
    struct extensions ext;        /* what was asked for */
    char unknown_attributes[256]; /* dotted OIDs, cut */
    /* SHA-256 over subject, key and requested extensions as received: the same for the same wish,
     * whatever challenge or signature comes with it. */
    uint8_t identity[32];
};

/* `digests` is the set of ALG_BIT(enum digest) accepted for the self-signature
 * (REASON_ALGORITHM_REFUSED otherwise).  `known` may give an already loaded public key whose SPKI
 * bytes are `known_spki`: it is used again (pubkey_verify_by) instead of loading the same key twice (NULL: none).
 * Reasons: csr.malformed, csr.signature, key.type, key.small, key.weak, subject.*, san.*, usage.forbidden for CA:TRUE or
 * keyCertSign asked for.  Never keeps a reference to the input. */
struct csr_rules {
    unsigned digests;
    bool any_version;             /* another than 0, or none at all: some libraries write it so */
};
bool csr_parse_by(struct view der, const struct csr_rules *rules, EVP_PKEY_CTX *known,
                  struct view known_spki, struct csr **out, struct err *err);
/* The same with no rule but the digests. */
bool csr_parse(struct view der, unsigned digests, EVP_PKEY_CTX *known, struct view known_spki,
               struct csr **out, struct err *err);
/* A request that enroll/ kept while it waited for approval (csr_without_challenge): its self-signature was
 * verified when it came and fits no longer, so it is not looked at. */
bool csr_parse_trusted(struct view der, struct csr **out, struct err *err);
/* A PKCS#10 of the same subject, key and extensions without challengePassword and signature, for keeping. */
bool csr_without_challenge(const struct csr *csr, struct buf *out, struct err *err);
void csr_free(struct csr *csr);
