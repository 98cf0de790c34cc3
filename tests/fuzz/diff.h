/* Two readers of the same octets: pkcs7/ and OpenSSL's own CMS, PKCS#10 and X.509.  What pkcs7/ takes OpenSSL takes too and
 * reads the same out of it; what OpenSSL takes and pkcs7/ refuses is refused for a reason that diff_list.c names.  Anything
 * else ends the program with a line that says what differs. */
#pragma once

#include <openssl/x509.h>

#include "pkcs7/scep.h"
#include "seal.h"

void diff_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
/* `what` OpenSSL takes: is its refusal by pkcs7/ one that is meant? */
void diff_refusal(const char *what, const struct err *err);
/* Are these the same octets? */
void diff_octets(const char *what, struct view ours, struct view theirs);
/* The same with what an i2d function of OpenSSL returned; frees it. */
void diff_encoded(const char *what, struct view ours, uint8_t *der, int n);
#define DIFF_SAME(type, ours, value)            \
    do {                                        \
        uint8_t *der_ = NULL;                   \
        int n_ = i2d_##type(value, &der_);      \
        diff_encoded(#type, ours, der_, n_);    \
    } while (0)

/* ---- diff_pkix.c ---- */

void diff_certificate(struct view der);
void diff_csr(struct view der);
/* Could OpenSSL not even read this name?  (Ours stay octets until somebody asks for them.) */
bool diff_name_unreadable(struct view name);
/* Is there a part that cert_parse leaves for later and OpenSSL cannot read? */
bool diff_certificate_unreadable(const struct cert *c);
/* A PKCS#10 whose self-signature OpenSSL verifies. */
bool diff_csr_verified(struct view der);

/* ---- diff_cms.c ---- */

/* A pkiMessage as a server reads it, a CertRep as a client does. */
void diff_message(const struct seal *s, struct view in);
/* A list of certificates and CRLs. */
void diff_certs(struct view in);
