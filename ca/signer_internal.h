/* What the two kinds of signer share: one request as plain values, the loaded keys, and the one
 * function that checks a request and does it. */
#pragma once

#include "ca/signer.h"
#include "pkcs7/ocsp.h"
#include "responder.h"

#define SIGNER_MAX_PACKET (64u << 10) /* header and payload: twice the largest certificate (CERT_MAX_SIZE) */
#define SIGNER_MAX_CRL (1u << 30)     /* 20 million entries */
#define SIGNER_MAX_RESULT 1024        /* a signature or plaintext of RSA-8192 */
#define SIGNER_MAX_RESULTS (SIGNER_MAX_BATCH * (SIGNER_MAX_RESULT + 4)) /* of a batch */
#define SIGNER_MAX_CONTENT_KEY 64     /* octets; AES-256 has 32 */

struct signer_request {
    enum signer_op op;
    unsigned key;
    enum digest digest;        /* of attributes */
    struct key_wrap wrap;      /* decrypt */
    size_t key_len;            /* decrypt */
    struct view data;          /* borrowed */
    const struct signer_file *file; /* of a CRL: `data` in a memory file, borrowed; NULL: not in one yet */
};

/* Either kind: `call` reaches the keys. */
struct signer {
    bool (*call)(struct signer *s, const struct signer_request *r, struct buf *out, struct err *err);
    signer_observer observer;     /* may be NULL */
    void *observer_ctx;
    /* local */
    struct signer_keys *keys;     /* owned */
    struct signer_worker *worker; /* owned */
    /* a lane to the child */
    int fd;                       /* -1: broken */
    uint32_t sequence;
};

/* ---- signer_keys.c ---- */

/* All keys of a spec, loaded and tried; read only, shared by threads. */
struct signer_keys;
bool signer_keys_load(const struct signer_spec *spec, struct signer_keys **out, struct err *err);
/* Which OCSP responder's key could not be loaded and signs nothing, and why; "": all are there.  For want of any other key
 * loading fails. */
const char *signer_keys_fault(const struct signer_keys *k);
void signer_keys_free(struct signer_keys *k);

/* One thread's prepared operations; borrows the keys. */
struct signer_worker;
bool signer_worker_new(const struct signer_keys *keys, struct signer_worker **out, struct err *err);
void signer_worker_free(struct signer_worker *w);
/* Asked before a certificate is signed that has passed every check, so that what is refused takes nothing of what is counted
 * there.  Borrows ctx.  Nobody is asked otherwise. */
typedef bool (*signer_admission)(void *ctx, struct err *err);
void signer_worker_admit(struct signer_worker *w, signer_admission admit, void *ctx);

/* Checks the request against the permit table and the key's limits, then does it.  Every value in it may be
 * hostile.  `out` (reset first) gets the signature or the content key. */
bool signer_execute(struct signer_worker *w, const struct signer_request *r, struct buf *out, struct err *err);

/* ---- signer_ocsp.c ---- */

/* Several things in one packet, each behind its length: appended to `out`, and views into it again.  False when it is
 * none, of nothing or of more than `cap`. */
bool batch_pack(const struct view *item, size_t n, struct buf *out, struct err *err);
bool batch_unpack(struct view packed, struct view *item, size_t cap, size_t *n);
/* A ResponseData of `responder`, whose certificate is `cert`, about now. */
bool check_ocsp(struct view data, const struct cert *cert, const struct responder *responder, int64_t now,
                struct err *err);

/* ---- signer_check.c ---- */

/* Finds the signature algorithm inside a TBSCertificate that has passed the lint; ERR_SIGNER unless it is
 * exactly one that `key` makes. */
bool check_certificate_algorithm(struct view tbs, const struct pubkey *key, struct sigalg *out, struct err *err);
/* The AlgorithmIdentifier is one that `key` signs with. */
bool check_algorithm(struct view der, const struct pubkey *key, struct sigalg *out, struct err *err);
/* The signed attributes of a CMS SignerInfo (RFC 5652 section 5.4). */
bool check_attributes(struct view attributes, struct err *err);

/* ---- signer_crl.c ---- */

struct crl_facts {
    const uint8_t *key_id;  /* borrowed */
    struct sigalg sigalg;
    uint64_t number, base;  /* base: of a delta */
    bool delta, freshest;
    struct view scope;      /* issuingDistributionPoint; empty: the whole scope */
};
/* A TBSCertList of version 2 in the name of `subject` and its key (RFC 5280 section 5.1.2), its entries read shallowly in
 * constant memory; exactly the extensions that ca/crl_writer.c writes. */
bool check_crl(struct view tbs, struct view subject, const uint8_t key_id[20], const struct pubkey *key,
               struct crl_facts *out, struct err *err);
/* The highest number signed by each key for each scope, as long as the process lives. */
struct crl_numbers;
bool crl_numbers_new(struct crl_numbers **out, struct err *err);
void crl_numbers_free(struct crl_numbers *c); /* NULL allowed */
/* ERR_SIGNER for a lower one, or the same one with other content.  Any thread. */
bool crl_numbers_take(struct crl_numbers *c, unsigned key, const struct crl_facts *f, const uint8_t *digest,
                      struct err *err);
