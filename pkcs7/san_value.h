/* One subject alternative name: is it well-formed, and its one form.  Private to pkcs7/. */
#pragma once

#include "pkcs7/san.h"

/* DNS lower-cased, IP in its usual text form, UPN in NFC, the others as they are; owned by the caller.
 * REASON_SAN_FORBIDDEN with kind, value and fault; REASON_SUBJECT_PLACEHOLDER when the fault is a placeholder of a
 * device management product that was never filled in. */
bool san_value(enum san_kind kind, struct view value, char **out, struct err *err);
/* The octets of an iPAddress (RFC 5280 section 4.2.1.6: 4 or 16). */
bool san_value_of_address(struct view octets, char **out, struct err *err);
