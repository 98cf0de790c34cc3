/* What another authority issued and revoked before it moved in here: read from its files, checked, put into the store.
 *
 * A source is found out by looking at it: a directory with an index.txt (OpenSSL's ca, easy-rsa, the depot of Debian's
 * scep), any other directory of certificates and CRLs, or one file of them, in PEM (of any length, with whatever text in
 * between) or DER. */
#pragma once

#include <openssl/evp.h>

#include "base/err.h"
#include "pkcs7/cert.h"
#include "store/store.h"

/* ---- one line of an index.txt ---- */

struct index_line {
    char status;                      /* 'V', 'E' or 'R' */
    int64_t not_after;
    bool revoked;                     /* not for one that was taken off the CRL again */
    int64_t revoked_at;
    enum crl_reason reason;
    uint8_t serial[STORE_SERIAL_MAX]; /* INTEGER content octets, minimal */
    size_t serial_len;
    char serial_text[2 * STORE_SERIAL_MAX + 2]; /* as it stands there */
    char file[256];                   /* "" for OpenSSL's "unknown" */
};
/* Without its line end.  ERR_CONFIG says what is wrong. */
bool index_line_parse(struct view line, struct index_line *out, struct err *err);

/* ---- a CRL ---- */

struct crl_entry {
    uint8_t serial[STORE_SERIAL_MAX]; /* INTEGER content octets, minimal */
    size_t serial_len;
    int64_t revoked_at;
    enum crl_reason reason;           /* CRL_REMOVE_FROM_CRL too */
};
struct crl_info {
    struct view issuer;               /* Name, whole TLV; into the CRL */
    int64_t this_update, next_update; /* Unix seconds; next_update 0: it has none */
    bool has_number;
    uint64_t number;                  /* RFC 5280 section 5.2.3 */
};
/* What it says of itself; no signature is verified.  ERR_CONFIG when it is no CRL, a delta or indirect. */
bool crl_describe(struct view der, struct crl_info *out, struct err *err);
/* DER of a complete CRL, of any length; the entries are read one at a time.  `key`: its signature is verified first.
 * `each` returns false to end it, with err filled in; NULL: the entries are only looked at.  ERR_CONFIG when it is no CRL,
 * a delta, indirect, or not of this key. */
bool crl_read_entries(struct view der, EVP_PKEY *key, struct crl_info *info,
                      bool (*each)(void *ctx, const struct crl_entry *e, struct err *err), void *ctx, struct err *err);

/* ---- the import ---- */

#define IMPORT_ISSUERS 8

struct import_issuer {       /* borrowed */
    const struct cert *cert;
    EVP_PKEY *key;           /* public */
    const uint8_t *key_id;   /* 20 octets: how the store names it */
};

enum import_kind { IMPORT_INDEX, IMPORT_DIRECTORY, IMPORT_FILE };

struct import_counts {
    uint64_t added;          /* certificates that were, or would be, stored */
    uint64_t known;          /* stored already */
    uint64_t expired;        /* of those added */
    uint64_t revoked;        /* certificates revoked by it */
    uint64_t serials;        /* revoked, and nothing but the serial known */
    uint64_t known_revoked;  /* revocations that were known already */
    uint64_t named;          /* in the index, not revoked, and no certificate at hand: they cannot renew */
    uint64_t odd_serials;    /* negative, zero or above 20 octets: kept as they are */
    uint64_t own;            /* the authority's own certificates and those above it: passed over */
    uint64_t passed_over;    /* files that are neither certificate nor CRL */
    uint64_t bad;            /* reported by `problem` */
    uint64_t crls;
    uint64_t crl_number;     /* the highest seen, 0: none; the next CRL is above it */
    bool number_raised;      /* and that is new */
};

struct import_options {
    struct store *store;
    struct import_issuer issuer[IMPORT_ISSUERS];
    size_t issuer_n;
    const struct cert *above[IMPORT_ISSUERS]; /* issuers of those: passed over too; borrowed */
    size_t above_n;
    const char *authority;       /* its name, for the audit log */
    const char *template_name;   /* under which they renew; "" if they shall not */
    const char *endpoint;        /* shown with them; may be "" */
    const char *actor;
    int64_t now;
    bool skip_bad;               /* leave out what is bad; otherwise it refuses everything */
    bool dry_run;
    /* For each thing that is bad: where, and what. */
    void (*problem)(void *ctx, const char *where, const char *text);
    /* After the first walk, unless there is nothing to do; false: leave it.  May be NULL. */
    bool (*confirm)(void *ctx, const struct import_counts *plan);
    /* Every few hundred things; false: stop here.  May be NULL. */
    bool (*progress)(void *ctx, bool applying, uint64_t done);
    void *ctx;
};

/* Finds out what `path` is.  ERR_NOT_FOUND, ERR_IO. */
bool import_kind_of(const char *path, enum import_kind *out, struct err *err);
/* Looks at everything first; if nothing is bad (or skip_bad), and unless dry_run, stores it in portions.  What is stored
 * already is counted and left alone, so that the same again, or after an interruption, does no harm.  `plan` is what the
 * look says; `done` what was stored.  ERR_REFUSED with REASON_MESSAGE_MALFORMED: something is bad, nothing was changed.
 * ERR_BUSY: `progress` or `confirm` stopped it. */
bool import_changes(const struct import_counts *plan); /* is there anything to do? */
bool import_run(const char *path, const struct import_options *o, struct import_counts *plan, struct import_counts *done,
                struct err *err);

/* ---- the authority's own files ---- */

struct bundle;
/* Adds key and certificates that lie at their usual places in the directory of an authority: of OpenSSL's ca and its
 * tutorials, easy-rsa, the depot.  ERR_NOT_FOUND when there is none of them. */
bool import_find_authority(const char *directory, struct view passphrase, struct bundle *out, struct err *err);
