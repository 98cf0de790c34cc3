/* Makes certificates of CAs, RAs and OCSP responders where the issuer's key is at hand: scepctl init, renewal of RAs, rollover.
 * Private to ca/. */
#pragma once

#include <openssl/evp.h>

#include "ca/lint.h"
#include "pkcs7/cert.h"
#include "pkcs7/name.h"
#include "pkcs7/san.h"

#define MAKE_BACKDATE INT64_C(86400) /* clocks of fresh devices; and leaves are never older than their CA */
#define MAKE_OCSP_BACKDATE INT64_C(3600) /* relying parties refuse answers by a clock that is off by minutes anyway */

struct make {
    enum cert_role role;
    const struct name *subject;
    EVP_PKEY *key;
    const struct cert *issuer;    /* NULL: itself */
    EVP_PKEY *issuer_key;         /* NULL: its own */
    uint32_t key_usage;
    const struct san *san;        /* with it the certificate is a TLS server's: serverAuth */
    bool ocsp_responder;          /* extendedKeyUsage OCSPSigning, ocsp-nocheck, and back-dated by MAKE_OCSP_BACKDATE */
    int64_t path_len, validity;   /* path_len -1: none; the issuer's end is the limit of the validity, in seconds */
    const char *crl_url, *issuer_url; /* NULL or "": no extension */
    int64_t now;
};

/* Lints what it made.  ERR_CONFIG: what was asked for cannot be made; `what` names it. */
bool make_certificate(const struct make *m, const char *what, struct cert **out, struct err *err);
/* A common name with another ending, and the other attributes: "CN=X,O=Y" and " RA" give "CN=X RA,O=Y".  Too long a name
 * loses its end, not the suffix. */
bool make_name(const struct name *from, const char *suffix, struct name *out, struct err *err);
