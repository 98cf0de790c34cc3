/* One attempt in plain words: who did what and when, the rule and the value that broke it, the next step.  Texts may hold
 * whatever a device sent: clean them before they reach a terminal. */
#pragma once

#include <jansson.h>

#include "base/reason_help.h"
#include "store/store.h"

#define EXPLAIN_TEXT 2048

/* "issued", "refused", ... */
const char *explain_result(enum attempt_result result);
/* Of whom one speaks: the subject, or what is known instead. */
void explain_who(const struct store_attempt *a, char *out, size_t cap);
/* REASON_NONE: all went well, or a code that this version does not know. */
enum reason explain_reason(const struct store_attempt *a);
/* The fix of a reason with the values of an attempt put in, quoted for a shell; without one (NULL), or where a value is
 * not known, words in capitals stand for them.  The same for a cause. */
void explain_fill(const char *text, const struct store_attempt *a, char *out, size_t cap);
/* "HTTP 200, CertRep FAILURE badRequest, 0x80094011" */
void explain_sent(const struct store_attempt *a, char *out, size_t cap);
/* The checks behind the one that stopped, in words; "" when it did not stop. */
void explain_not_reached(const struct store_attempt *a, char *out, size_t cap);
/* Everything, under documented names (scepctl(1)).  Owned. */
json_t *explain_json(const struct store_attempt *a);
/* Cause, fix and screen of a reason, for an attempt or (NULL) in general.  Owned. */
json_t *explain_reason_json(enum reason reason, const struct store_attempt *a);
