/* The object identifiers of OCSP (RFC 6960 appendix B.1).  Private to pkcs7/. */
#pragma once

#include "base/view.h"

enum ocsp_oid {
    OCSP_OID_BASIC, OCSP_OID_NONCE, OCSP_OID_ACCEPTABLE, OCSP_OID_ARCHIVE_CUTOFF, OCSP_OID_SERVICE_LOCATOR,
    OCSP_OID_PREFERRED, OCSP_OID_EXTENDED_REVOKE,
};
struct view ocsp_oid(enum ocsp_oid oid); /* the whole OBJECT IDENTIFIER, static */
