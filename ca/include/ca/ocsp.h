/* What an authority says of its certificates by OCSP (RFC 6960): whom a request means, what the store knows, and the
 * signed answer.  The way of a request:
 *
 *     ocsp_request_parse         (pkcs7/ocsp.h)
 *     ocsp_issuers_find          whose certificates are they?
 *     ocsp_answer_prepare        looks them up and writes what is to be signed
 *     ocsp_answers_sign          up to OCSP_BATCH of them in one packet to the signer
 *
 * Whoever keeps an answer keeps its `basis` with it: store_cert_status tells later, for the price of two reads, whether
 * it is still true (ocsp_basis_same).  Nothing here keeps anything; every thread may use it. */
#pragma once

#include "ca/authority.h"
#include "pkcs7/ocsp.h"
#include "store/store.h"

#define OCSP_BATCH SIGNER_MAX_BATCH /* answers that go in one packet */

enum ocsp_unissued { /* what is said of a serial that the authority never gave out */
    OCSP_UNISSUED_UNKNOWN,
    OCSP_UNISSUED_UNAUTHORIZED,
    OCSP_UNISSUED_REVOKED, /* RFC 6960 section 2.2: as on hold since 1970 */
};

/* Times in seconds. */
struct ocsp_rules {
    int64_t good, revoked, hold;  /* how long such an answer may be believed: nextUpdate */
    int64_t backdate;             /* thisUpdate lies this far back, for slow clocks; never before what it tells came about */
    int64_t retention;            /* a certificate that has ended is told of for this long */
    bool archive_cutoff;          /* and the answer says so (RFC 6960 section 4.4.4) */
    enum ocsp_unissued unissued;
};

/* The hashes by which requests name the authorities, made once.  Borrows them. */
struct ocsp_issuers;
/* `authority`: one of each family (all its generations are taken) or alone. */
bool ocsp_issuers_new(const struct authority *const *authority, size_t n, struct ocsp_issuers **out, struct err *err);
void ocsp_issuers_free(struct ocsp_issuers *i); /* NULL allowed */
/* Whose certificate the CertID names: both hashes must fit.  NULL: nobody's here, or the hash is not known. */
const struct authority *ocsp_issuer_of(const struct ocsp_issuers *i, const struct ocsp_id *id);
/* Who answers a request: the authority of the first CertID that is `only`'s (NULL: of any).  NULL: none is, which is
 * answered OCSP_UNAUTHORIZED. */
const struct authority *ocsp_issuers_find(const struct ocsp_issuers *i, const struct authority *only,
                                          const struct ocsp_request *r);
/* Can it answer at all: OCSP_SUCCESSFUL; OCSP_UNAUTHORIZED when it is to have no responder (or has ended itself);
 * OCSP_TRY_LATER when the one that it should have, or its key, cannot be used now. */
enum ocsp_status ocsp_authority_ready(const struct authority *a, int64_t now);

/* What an answer about one certificate rests on. */
struct ocsp_basis {
    bool known;                   /* the store has the serial */
    enum cert_state state;
    int64_t revoked_at;
    enum crl_reason reason;
    uint64_t generation;          /* revocation generation of its authority at which it was true; not compared */
};
/* Would the same be said of it? */
bool ocsp_basis_same(const struct ocsp_basis *basis, const struct store_cert_status *status);

/* One answer on its way.  The zero state is empty. */
struct ocsp_answer {
    enum ocsp_status status;      /* anything but OCSP_SUCCESSFUL is final: `response` has the five octets */
    const struct authority *authority; /* who signs; borrowed */
    struct sigalg alg;            /* its signature's */
    struct buf data;              /* owned; the ResponseData between preparing and signing */
    struct buf response;          /* owned; the whole OCSPResponse */
    int64_t this_update, next_update; /* the latest and the earliest of its certificates */
    enum ocsp_cert_status said;   /* of its first certificate */
    bool keep;                    /* it may be kept and given to others: one certificate, known, no nonce */
    struct ocsp_basis basis;      /* if keep */
    struct err err;               /* why it is OCSP_TRY_LATER or OCSP_INTERNAL_ERROR, for the log */
};
void ocsp_answer_clear(struct ocsp_answer *a); /* frees, zero state */

/* Fills `out` (in the zero state) whatever happens: when it cannot be answered, out->status says so and it is complete.
 * CertIDs of others than the one who answers are told to be unknown (RFC 6960 section 2.2).  `r` and what it points
 * into are not needed afterwards. */
void ocsp_answer_prepare(struct store *s, const struct ocsp_issuers *i, const struct authority *only,
                         const struct ocsp_rules *rules, const struct ocsp_request *r, int64_t now,
                         struct ocsp_answer *out);

/* Signs those of `answer` that are prepared and completes all; what could not be signed becomes OCSP_TRY_LATER.  Any
 * number, of any authorities: as few packets as possible. */
void ocsp_answers_sign(struct signer *lane, struct ocsp_answer *const *answer, size_t n);
