/* Certificates put together from pieces that can each be wrong: the lint's counterpart, which shares no code with
 * the writer of the authority. */
#pragma once

#include <openssl/evp.h>

#include "ca/lint.h"
#include "pkcs7/cert.h"

#define FORGE_EXTENSIONS 24

struct forged_extension {
    const char *oid;     /* dotted */
    const char *critical; /* hex of what stands between OID and value: "0101ff", "" ... */
    struct buf value;
};

struct forge {
    struct buf version, serial, sigalg, issuer, validity, subject, spki, unique, tail; /* whole TLVs */
    struct forged_extension extension[FORGE_EXTENSIONS];
    size_t n;
};

/* A sound certificate of the role; `issuer` NULL for a root (the key's own signature).  `key` as wish_key. */
void forge_init(struct forge *f, enum cert_role role, const char *key, const struct cert *issuer, int64_t now);
void forge_clear(struct forge *f);

void forge_hex(struct buf *out, const char *hex);             /* replaces the content */
void forge_name(struct buf *out, const char *text);           /* "CN=a" */
void forge_times(struct buf *out, int64_t from, int64_t to);
void forge_key(struct forge *f, const char *kind);            /* and its subjectKeyIdentifier */
void forge_extension(struct forge *f, const char *oid, const char *critical, const char *value_hex); /* sets or adds */
void forge_extension_remove(struct forge *f, const char *oid);
struct forged_extension *forge_find(struct forge *f, const char *oid);
void forge_san(struct forge *f, const char *critical, const char *names); /* "DNS:a|URI:b" */

struct buf forge_tbs(const struct forge *f);
/* Signed with SHA-256 by `key`; the outer algorithm is the inner one unless `outer` is given. */
struct cert *forge_certificate(const struct forge *f, EVP_PKEY *key, const struct buf *outer);
