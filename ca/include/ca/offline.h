/* CRLs and OCSP answers of an issuer above whose key is not here (an offline root): made at a ceremony, verified when they
 * are brought, kept in the store, and handed on byte for byte until they end.  Nothing is ever made of them: where
 * nobody brought an answer, there is none. */
#pragma once

#include "base/err.h"
#include "pkcs7/cert.h"
#include "store/offline.h"

#define OFFLINE_MAX_ANSWERS 100 /* certificates that one OCSP response tells of */

/* The CRL in `file` (PEM or DER) of whichever of these issuers signed it; *by is its place among them.  ERR_CONFIG: it is
 * no complete CRL, of nobody among them, without nextUpdate, ended, or from the future. */
bool offline_crl_read(const struct cert *const *issuer, size_t n, struct view file, int64_t now, struct store_offline *out,
                      size_t *by, struct err *err);

/* What is asked for: the certificate with this serial, of the issuer with these hashes. */
struct offline_asked {
    enum digest digest;
    struct view name_hash, key_hash, serial; /* serial: INTEGER content octets */
};
/* Where the store has the answer. */
bool offline_asked_id(const struct offline_asked *asked, uint8_t out[STORE_HASH], struct err *err);

/* An OCSP response from a file, which one of these issuers signed, or a responder that it issued (RFC 6960 section
 * 4.2.2.2). */
struct offline_answers {
    size_t n;
    struct store_offline *answer; /* owned; each with all octets, since an answer is found by any of its certificates */
    char (*about)[200];           /* owned; for people: "serial 1a2b: good" */
    size_t by;                    /* place of the issuer */
};
/* ERR_CONFIG: it is no such answer, of nobody among them, without nextUpdate, ended, or from the future. */
bool offline_ocsp_read(const struct cert *const *issuer, size_t n, struct view file, int64_t now,
                       struct offline_answers *out, struct err *err);
void offline_answers_clear(struct offline_answers *a);

/* For the daemon: what was brought about this certificate and has not ended.  ERR_NOT_FOUND. */
bool offline_ocsp_find(struct store *s, const struct offline_asked *asked, int64_t now, struct store_offline *out,
                       struct err *err);
