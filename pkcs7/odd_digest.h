/* A messageDigest that is not what RFC 5652 section 5.4 says, as Google's certificate connector for ChromeOS was seen
 * to send it.  Private to pkcs7/. */
#pragma once

#include "base/err.h"
#include "pkcs7/alg.h"

/* Is `said` the digest of the content in one of the ways that libraries get it wrong: with the header of its OCTET
 * STRING, without the header of the structure inside, or of that structure in DER when it came in BER?  Each of them
 * still covers all of the content.  `*is` is set on success; false only for faults of ours. */
bool odd_digest_check(struct view content, enum digest digest, struct view said, bool *is, struct err *err);
