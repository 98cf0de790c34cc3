/* By what a server knows who asks, and one question from another. */
#pragma once

#include "base/buf.h"
#include "targets.h"

/* "t=1790000000,v1=HEX[,v1=HEX]": HMAC-SHA-256 over "t.body" under each secret of the target.  Appended with a NUL. */
bool sign_body(const struct target *t, struct view body, int64_t now, struct buf *out, struct err *err);
/* A random UUID as text (RFC 9562 section 5.4).  False: no random octets. */
bool sign_uuid(char out[37]);
