/* The profile of everything issued, checked on the finished TBSCertificate by the process that holds the
 * key (C1 to C43), and again on the certificate before it is stored. */
#pragma once

#include "base/err.h"
#include "pkcs7/cert.h"

enum cert_role {
    ROLE_ROOT,
    ROLE_ISSUING_CA,
    ROLE_RA,
    ROLE_RA_SIGNING,
    ROLE_RA_ENCRYPTION,
    ROLE_OCSP, /* responder, RFC 6960 section 4.2.2.2 */
    ROLE_DEVICE
};

/* What an issuer's certificate says about itself: read once, used for every certificate. */
struct lint_issuer {
    struct pubkey key; /* points into the certificate */
    uint8_t key_id[64];
    size_t key_id_n;
};
/* ERR_REFUSED (C8): no certificate authority, or its certificate cannot be read. */
bool lint_issuer_read(const struct cert *issuer, struct lint_issuer *out, struct err *err);

struct lint_limits {
    enum cert_role role;
    const struct cert *issuer;    /* NULL for a root */
    const struct lint_issuer *known_issuer; /* of `issuer`, read before; NULL: read now */
    uint32_t key_usage;           /* allowed bits */
    const struct eku *eku;        /* allowed purposes; NULL: none allowed */
    const struct eku *extensions; /* OIDs that templates pass on from requests; NULL: none.  Without the SID's OID
                                     neither the extension nor a SAN URI with a SID passes (C37) */
    int64_t max_validity;         /* seconds */
    int64_t now;
};

/* `cert_or_tbs`: cert_lint_tbs wraps the TBS for reading.  ERR_REFUSED; the text begins with the rule ("C17:
 * validity ends after the issuer's"); the reason is KEY_WEAK, KEY_TYPE, USAGE_FORBIDDEN ... or INTERNAL. */
bool cert_lint_tbs(struct view tbs, const struct lint_limits *limits, struct err *err);
bool cert_lint(const struct cert *cert, const struct lint_limits *limits, struct err *err);
