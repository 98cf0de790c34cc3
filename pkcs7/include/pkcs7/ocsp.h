/* OCSP (RFC 6960) between bytes and plain values: what is asked, what is said, and the answer around it.  No state, no
 * keys, no clock.  Parsers refuse with REASON_MESSAGE_MALFORMED; their views point into the bytes they were given. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "pkcs7/alg.h"

#define OCSP_MAX_REQUEST (64u << 10)
#define OCSP_MAX_IDS 100         /* of one request */
#define OCSP_MAX_ID 256          /* octets of one CertID: with SHA-512 and a serial of 40 octets it has less than 200 */
#define OCSP_MAX_NONCE 128       /* RFC 9654 section 2.1 */
#define OCSP_MAX_DATA (48u << 10) /* a ResponseData: OCSP_MAX_IDS of the longest CertIDs */
#define OCSP_KEY_HASH 20         /* SHA-1 of the responder's key */

/* RFC 6960 section 4.2.1: OCSPResponseStatus.  sigRequired (5) is never used. */
enum ocsp_status {
    OCSP_SUCCESSFUL = 0, OCSP_MALFORMED_REQUEST = 1, OCSP_INTERNAL_ERROR = 2, OCSP_TRY_LATER = 3, OCSP_UNAUTHORIZED = 6,
};
const char *ocsp_status_name(enum ocsp_status s); /* "successful", "malformed_request" ... for logs and metrics */

/* RFC 6960 section 4.1.1: CertID */
struct ocsp_id {
    struct view whole;           /* the TLV as asked; an answer repeats it */
    bool known;                  /* the hash is SHA-1, SHA-256, SHA-384 or SHA-512, and both hashes have its length */
    enum digest digest;          /* if known */
    struct view name_hash, key_hash;
    struct view serial;          /* INTEGER content octets */
};
bool ocsp_id_parse(struct view der, struct ocsp_id *out, struct err *err);

struct ocsp_request {
    struct ocsp_id *id;          /* owned; in the order asked, at least one */
    size_t n;
    struct view nonce;           /* 1 to OCSP_MAX_NONCE octets, the content of the inner OCTET STRING; p NULL: none asked */
};
/* A whole OCSPRequest.  Requestor and signature are not looked at; unknown extensions are passed over unless critical
 * (RFC 6960 section 4.4).  More than `max_ids` (at most OCSP_MAX_IDS) are refused.  `der` must outlive `out`. */
bool ocsp_request_parse(struct view der, size_t max_ids, struct ocsp_request *out, struct err *err);
void ocsp_request_clear(struct ocsp_request *r);

enum ocsp_cert_status { OCSP_GOOD, OCSP_REVOKED, OCSP_UNKNOWN };

/* RFC 6960 section 4.2.1: SingleResponse.  Times in Unix seconds. */
struct ocsp_single {
    struct view id;              /* whole CertID */
    enum ocsp_cert_status status;
    int64_t revoked_at;          /* OCSP_REVOKED */
    int reason;                  /* OCSP_REVOKED: RFC 5280 section 5.3.1; 0 (unspecified) is left out */
    int64_t this_update, next_update; /* next_update is always written; 0 when one read has none */
    int64_t archive_cutoff;      /* RFC 6960 section 4.4.4; 0: left out */
};

/* RFC 6960 section 4.2.1: ResponseData.  Built, the responder is always named by its key. */
struct ocsp_data {
    struct view responder_key;   /* OCSP_KEY_HASH octets; when one read names its responder otherwise: empty */
    struct view responder_name;  /* the whole Name then */
    int64_t produced_at;
    struct ocsp_single *single;  /* borrowed */
    size_t n;
    struct view nonce;           /* p NULL: none */
    bool extended_revoke;        /* RFC 6960 section 4.4.8 */
    bool other_extensions;       /* read: it has more than can be told here; never built */
};
/* Appends nothing: `out` (empty or cleared before) gets the whole ResponseData. */
bool ocsp_data_build(const struct ocsp_data *d, struct buf *out, struct err *err);
/* The same read again, with room for `cap` single responses given by the caller in out->single.  DER only; whoever must
 * know that nothing else is in it builds it again and compares. */
bool ocsp_data_parse(struct view der, size_t cap, struct ocsp_data *out, struct err *err);

/* The answer around a signed ResponseData; `cert` is the responder's (RFC 6960 section 4.2.2.2), empty when the
 * authority's own key signed. */
bool ocsp_response_build(struct view data, struct sigalg alg, struct view signature, struct view cert, struct buf *out,
                         struct err *err);
#define OCSP_ERROR_SIZE 5
/* Every other answer is its status alone. */
void ocsp_error(enum ocsp_status status, uint8_t out[OCSP_ERROR_SIZE]);
