/* Challenge passwords: made once, shown once, kept only as HMACs under a key outside the store. */
#pragma once

#include "base/err.h"
#include "store/store.h"

struct challenge_key { uint8_t bytes[32]; };

/* Reads the key file (32 octets, mode 0600), or makes it when `create`. */
bool challenge_key_load(const char *path, bool create, struct challenge_key *out, struct err *err);

/* Bindings.  `subject`: "ipad-*" is the common name, "CN=ipad-*,O=Example" each attribute it names (as many of that type, in
 * order; others are the template's business).  `san`: "DNS:a.example.org,IP:10.0.0.1": every name of the certificate
 * is one of these, and each of these is there.  A wildcard never crosses from one value into the next. */
struct challenge_wish {
    int64_t ttl;               /* seconds; 0: never expires */
    uint32_t uses;             /* 0: unlimited */
    const char *endpoint, *template_name, *subject, *san, *label, *created_by; /* NULL: none */
    const char *pool;          /* counted in it while it is open (store_challenge_pool_count); NULL: none */
    const char *device, *policy; /* ids: what is enrolled with it is theirs; NULL: none */
    const char *secret;        /* of challenge_secret; NULL: drawn when it is stored */
    unsigned hex;              /* octets, as twice as many hexadecimal digits: 8 as NDES has them; 0: four groups of four */
    int64_t now;
};
#define CHALLENGE_TEXT_MAX 64
#define CHALLENGE_HEX_MIN 8    /* octets: below this it could be guessed in its life */
#define CHALLENGE_HEX_MAX 31
/* Draws one, which is worth nothing before it is stored.  80 random bits, or 8 for each octet of `hex` (a little less: no end
 * is a B). */
bool challenge_secret(unsigned hex, char secret[CHALLENGE_TEXT_MAX], struct err *err);
/* Stores and returns the secret once. */
bool challenge_new(struct store *s, const struct challenge_key *k, const struct challenge_wish *w,
                   char secret[CHALLENGE_TEXT_MAX], struct store_challenge *out, struct err *err);
/* The same inside a write of the caller, for making many at once; ERR_EXISTS never leaves. */
bool challenge_add(struct store_write *write, const struct challenge_key *k, const struct challenge_wish *w,
                   char secret[CHALLENGE_TEXT_MAX], struct store_challenge *out, struct err *err);
/* What is hashed: our own format ignores blanks, dashes and case; everything else is taken as it is.  False: the library
 * failed, and the hash is one that no secret has. */
bool challenge_hash(const struct challenge_key *k, struct view secret, uint8_t hash[STORE_HASH]);
