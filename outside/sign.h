/* The header by which a webhook knows who asks. */
#pragma once

#include "base/buf.h"
#include "targets.h"

/* "t=1790000000,v1=HEX[,v1=HEX]": HMAC-SHA-256 over "t.body" under each secret of the target.  Appended with a NUL. */
bool sign_body(const struct target *t, struct view body, int64_t now, struct buf *out, struct err *err);
