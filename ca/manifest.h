/* What the directory of an authority holds beside the configured files: which generations and RAs there are, in one
 * file that is replaced as a whole.  Names of files follow from numbers, so that nothing in it leads elsewhere.
 * Private to ca/. */
#pragma once

#include "ca/family.h"

#define MANIFEST_NAME "authority.json"
#define MANIFEST_PATH 512        /* what a signer_key_spec holds */
#define MANIFEST_MAX_RAS 12      /* of one generation: some may have ended */
#define MANIFEST_MAX_OCSP 2      /* of one generation: the one in use, and the one before */
#define MANIFEST_MAX_EVENTS 32

struct manifest_ra {
    unsigned number;             /* ra-N.pem; of a pair ra-N-signing.pem and ra-N-encryption.pem; keys .key */
    enum ra_shape shape;         /* RA_SINGLE or RA_PAIR */
};

struct manifest_generation {
    unsigned number;             /* 1: the configured files; others ca-N.pem, ca-N.key, ca-N-chain-1.pem ... */
    uint8_t key[32];             /* SHA-256 of its public key (struct pubkey: sha256) */
    int64_t made_at, activate_at, activated_at; /* Unix seconds; 0: not known, or when somebody says so */
    int64_t retired_at;          /* its key is gone, only the certificate is left; 0: not yet */
    unsigned chain_n;            /* of generation 1: the configuration says */
    struct manifest_ra ra[MANIFEST_MAX_RAS];
    unsigned ra_n;
    unsigned ocsp[MANIFEST_MAX_OCSP]; /* ocsp-N.pem and ocsp-N.key, the latest last */
    unsigned ocsp_n;
};

/* Done, and not yet in the audit log. */
struct manifest_event {
    char event[32], actor[64], text[256];
    int64_t at;
};

struct manifest {
    uint64_t changes;            /* one more with every replacement; 0: there is no file */
    unsigned current;            /* number of a generation */
    unsigned last_generation, last_ra, last_ocsp; /* numbers given so far: never given again */
    unsigned announcement;       /* number of the files announcement-N-SHAPE.der; 0: there are none */
    unsigned last_announcement;
    struct manifest_generation generation[FAMILY_MAX];
    unsigned n;
    struct manifest_event event[MANIFEST_MAX_EVENTS];
    unsigned event_n;
};

/* No directory and no file: generation 1 alone. */
bool manifest_load(const char *directory, struct manifest *out, struct err *err);
/* Counts `changes` up.  Everything that it names must be durable before. */
bool manifest_save(const char *directory, struct manifest *m, struct err *err);

/* The latest OCSP responder of a generation; the one before stays, an older one is named no more. */
void manifest_add_ocsp(struct manifest_generation *g, unsigned number);

struct manifest_generation *manifest_find(struct manifest *m, unsigned number);
/* The generation after the current one; NULL if there is none. */
struct manifest_generation *manifest_next(struct manifest *m);

/* Complete paths.  `part` of an RA: "" for a single one, "-signing", "-encryption". */
bool manifest_path_ca(const char *directory, unsigned number, const char *ending, char out[MANIFEST_PATH], struct err *err);
bool manifest_path_chain(const char *directory, unsigned number, unsigned index, char out[MANIFEST_PATH], struct err *err);
bool manifest_path_ra(const char *directory, unsigned number, const char *part, const char *ending,
                      char out[MANIFEST_PATH], struct err *err);
bool manifest_path_ocsp(const char *directory, unsigned number, const char *ending, char out[MANIFEST_PATH], struct err *err);
bool manifest_path_announcement(const char *directory, unsigned number, enum ra_shape shape, char out[MANIFEST_PATH],
                                struct err *err);
/* Does the manifest name this file of the directory?  False too for what it could never name. */
bool manifest_names(const struct manifest *m, const char *file);
/* Could a manifest before or after this one name it?  What a change that was cut short has left is of this kind. */
bool manifest_may_name(const struct manifest *m, const char *file);
