/* An authority of the configuration over the years: its generations (each a CA key of its own with its RAs), as the
 * configured files and the manifest in the authority's directory say (docs/ROLLOVER.md).  Immutable once loaded; a
 * change is made in the directory, then everything is loaded anew. */
#pragma once

#include "ca/authority.h"

#define FAMILY_MAX 8 /* generations, those included that have ended and are only remembered */

struct family {
    char name[64];
    uint64_t changes;             /* of the manifest: tells two states apart; 0: there is none */
    struct authority *member[FAMILY_MAX]; /* owned; by generation, oldest first */
    size_t n;
    struct authority *current, *next; /* among them; next: NULL if there is none */
    int64_t activates_at;         /* Unix seconds: when the next one takes over; 0: when somebody says so */
    bool stale;                   /* files of what has ended are to be removed: ca/tend.h */
    int64_t retired_at[FAMILY_MAX]; /* by member; 0: its key is there */
    struct buf announcement[3];   /* owned; by enum ra_shape: the GetNextCACert answer, empty without a next one */
};

struct family_files {
    struct authority_files first; /* generation 1: the configured files */
    const char *directory;        /* of the others; NULL or "": there are none */
    int64_t now;                  /* Unix seconds: what has ended then; 0: by the clock */
};

/* FAMILY_SERVE: certificates in use must be valid, and the keys are appended to `spec`.  FAMILY_LOOK: what has ended is
 * loaded too, so that it can be shown or replaced; `spec` is NULL. */
enum family_load { FAMILY_SERVE, FAMILY_LOOK };
bool family_load(const struct family_files *f, enum family_load how, const struct template *const *templates,
                 size_t templates_n, struct signer_spec *spec, struct family **out, struct err *err);
void family_free(struct family *f);

/* Among the generations of `a`'s family; NULL if there is none. */
const struct authority *family_by_key_id(const struct authority *a, const uint8_t key_id[20]);
/* The one whose key, or whose RA's, is at this place in the signer. */
const struct authority *family_by_key(const struct authority *a, int key);
/* The `i`-th generation, `a` itself first; NULL after the last. */
const struct authority *family_member(const struct authority *a, size_t i);
/* Is it a key of the family or of an issuer of it? */
bool family_has_key(const struct authority *a, const uint8_t key_hash[32]);
/* The address of a later generation's list or certificate: "-g2" before the ending of generation 1's.  False when it does not
 * fit. */
bool family_url(const char *url, unsigned generation, char *out, size_t cap);
