/* A public key as bytes.  OpenSSL 3.0's key decoders cost 100-150 us each under global locks, so
 * keys are read with a template of our own and become an EVP_PKEY through EVP_PKEY_fromdata. */
#pragma once

#include <openssl/evp.h>

#include "base/buf.h"
#include "base/err.h"
#include "pkcs7/alg.h"
#include "pkcs7/der.h"

enum key_type { KEY_RSA, KEY_EC };
enum key_curve { CURVE_P256, CURVE_P384, CURVE_P521 };

struct pubkey {
    enum key_type type;
    unsigned bits;         /* modulus bits, or of the curve */
    enum key_curve curve;  /* KEY_EC */
    struct view n, e;      /* KEY_RSA: unsigned, minimal, big-endian; borrowed from `spki` */
    struct view point;     /* KEY_EC: 0x04 || X || Y; borrowed */
    struct view spki;      /* the whole SubjectPublicKeyInfo as received; borrowed */
    struct view bits_content; /* BIT STRING content (what SHA-1 key identifiers hash); borrowed */
    uint8_t sha256[32];    /* over the canonical SPKI (pubkey_build), names the key everywhere */
};

/* Sizes are bounded before any big-number work (RSA to 8192 bits, exponent to 256 bits).
 * REASON_KEY_TYPE for other algorithms, curves or explicit or compressed forms;
 * REASON_CSR_MALFORMED for what does not parse.  `spki` must outlive `out`. */
bool pubkey_parse(struct view spki, struct pubkey *out, struct err *err);
/* A canonical SubjectPublicKeyInfo: rsaEncryption with NULL, or id-ecPublicKey with a named curve. */
void pubkey_build(const struct pubkey *key, struct der *w);
/* Returns an owned EVP_PKEY.  A point off the curve is refused with REASON_KEY_WEAK. */
bool pubkey_load(const struct pubkey *key, EVP_PKEY **out, struct err *err);
/* True when `sig` is a signature by `key` over `data`; false with REASON_SIGNATURE_BAD.  OpenSSL's
 * error queue is left clean. */
bool pubkey_verify(EVP_PKEY *key, struct sigalg alg, struct view data, struct view sig, struct err *err);
/* The same by a context that is used again, whatever it did before: OpenSSL searches all its names for
 * each one that it makes, but for those of EVP_PKEY_CTX_dup.  One thread at a time. */
bool pubkey_verify_by(EVP_PKEY_CTX *key, struct sigalg alg, struct view data, struct view sig, struct err *err);
const char *key_curve_name(enum key_curve c); /* "P-256" */
/* "RSA-2048", "P-256"; out has at least 16 bytes. */
void pubkey_text(const struct pubkey *key, char out[16]);
