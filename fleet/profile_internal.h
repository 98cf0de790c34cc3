/* What the kinds of profiles share.  profile_build has looked at the wish before any of these sees it. */
#pragma once

#include "fleet/profile.h"

#define PROFILE_UUID 37 /* "8-4-4-4-12" and NUL */

/* The same for the same wish and role, so that a profile installed again replaces the first (RFC 9562 section 5.5). */
bool profile_uuid(const struct profile_wish *w, const char *role, char out[PROFILE_UUID], struct err *err);
/* Of a certificate in DER: colon-free lower-case hex. */
bool profile_sha1(struct view der, uint8_t out[20], struct err *err);
bool profile_sha256_text(struct view der, char out[65], struct err *err);
bool profile_is_root(struct view der, struct err *err); /* issued by itself; false also on failure, with err */
/* Refuses with REASON_PROFILE_UNFIT. */
bool profile_unfit(const struct profile_wish *w, struct err *err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The dotted identifier of an attribute's type. */
const char *profile_attr_oid(const struct name_attr *a);

typedef bool profile_writer(const struct profile_wish *w, struct buf *out, struct err *err);
profile_writer profile_write_apple, profile_write_windows, profile_write_android, profile_write_chromeos,
    profile_write_cisco, profile_write_strongswan, profile_write_certmonger;

/* CMS SignedData around the content, DER, attached (RFC 5652 section 5). */
bool profile_sign(const struct profile_signer *s, struct view content, struct buf *out, struct err *err);
