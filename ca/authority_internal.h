/* Loading one generation, between authority.c, authority_ra.c and family.c.  Private to ca/. */
#pragma once

#include "ca/family.h"
#include "manifest.h"

/* The files of one set of RA certificates. */
struct ra_files {
    enum ra_shape shape;
    unsigned number;
    const char *signing, *signing_key;       /* RA_SINGLE: these only */
    const char *encryption, *encryption_key;
};

struct ocsp_files {
    unsigned number;
    const char *certificate, *key;
};

struct generation_files {
    struct authority_files files;            /* its RA fields are not looked at */
    struct ra_files ra[AUTHORITY_MAX_RAS + 2]; /* the configured ones may have ended too */
    size_t ra_n;
    struct ocsp_files ocsp[MANIFEST_MAX_OCSP]; /* the latest last */
    size_t ocsp_n;
    unsigned generation;
    enum authority_role role;
    bool look;                               /* FAMILY_LOOK */
    int64_t now;                             /* Unix seconds */
};

/* Generation 1, with the configured RAs, now. */
bool generation_configured(struct generation_files *g, const struct authority_files *f, struct err *err);
bool generation_load(const struct generation_files *g, const struct template *const *templates, size_t templates_n,
                     struct signer_spec *spec, struct authority **out, struct err *err);

/* ---- family.c, for tend.c ---- */

/* The files of a generation; `room` (owned, free) holds their names. */
bool family_name_files(const struct family_files *f, const struct manifest_generation *m, struct generation_files *out,
                       void **room, struct err *err);

/* ---- authority.c, for authority_ra.c ---- */

struct purpose {
    bool is_ca;
    uint32_t key_usage; /* 0: the extension is absent */
    struct view ski;    /* borrowed from the certificate */
};
bool authority_read_certificate(const char *path, struct cert **out, struct err *err);
bool authority_read_purpose(const struct cert *c, const char *path, struct purpose *out, struct err *err);
bool authority_check_time(const struct cert *c, const char *path, int64_t now, struct err *err);
bool authority_check_issued(const struct cert *c, const char *path, const struct cert *issuer, EVP_PKEY *issuer_key,
                            const char *issuer_path, struct err *err);
bool authority_add_key(struct signer_spec *spec, const char *path, const char *passphrase_file, const struct cert *cert,
                       unsigned uses, int *index, struct err *err);

/* ---- authority_ra.c ---- */

/* All sets that have not ended, and for each shape the latest one whatever it is; chooses those in use. */
int64_t ra_set_end(const struct ra_set *s);
bool authority_load_ras(struct authority *a, const struct generation_files *g, struct err *err);
bool authority_add_ra_keys(struct authority *a, const struct generation_files *g, struct signer_spec *spec, struct err *err);
void authority_free_ras(struct authority *a);

/* ---- authority_ocsp.c ---- */

/* Neither fails: a->ocsp.fault says why there is no responder. */
void authority_load_ocsp(struct authority *a, const struct generation_files *g);
void authority_add_ocsp_key(struct authority *a, const struct generation_files *g, struct signer_spec *spec);
