/* Between tend.c (what is done) and tend_files.c (how it gets to the disk).  Private to ca/. */
#pragma once

#include "authority_internal.h"
#include "ca/tend.h"
#include "manifest.h"

/* One change of the directory, under its lock. */
struct change {
    const struct tend *t;
    const char *directory;
    struct manifest *manifest;     /* owned; as it shall be */
    struct family *family;         /* owned; as it is */
    int lock;
};

/* Makes the directory, waits for the lock, removes what no manifest names, loads. */
bool change_begin(struct change *c, const struct tend *t, struct err *err);
/* Replaces the manifest and removes what it names no more. */
bool change_commit(struct change *c, struct err *err);
void change_end(struct change *c);
/* Notes what the audit log will say. */
void change_event(struct change *c, const char *event, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

bool change_save_key(const struct change *c, EVP_PKEY *key, const char *path, struct err *err);
bool change_save_certificate(const struct change *c, const struct cert *cert, const char *path, struct err *err);
/* The private key of a CA, or of the signing certificate of an RA set. */
bool change_ca_key(const struct change *c, unsigned generation, EVP_PKEY **out, struct err *err);
bool change_ra_key(const struct change *c, unsigned generation, const struct ra_set *set, EVP_PKEY **out, struct err *err);

const struct authority *change_member(const struct change *c, unsigned generation);

/* ---- tend.c, for tend_request.c and tend_plan.c ---- */

const char *tend_kind_of(const struct cert *c); /* "rsa2048" ... */
/* "X", generation 2: "X G2"; `given` instead of the common name if it is not NULL. */
bool tend_name_generation(const struct authority *current, const char *given, unsigned number, struct name *out,
                          struct err *err);

/* ---- tend_ocsp.c ---- */

bool tend_renew_ocsp(const struct tend *t, unsigned generation, struct err *err);
