/* What a challenge may be bound to, compared with the certificate as planned. */
#pragma once

#include "ca/template.h"
#include "enroll/challenge.h"

/* Does the planned subject keep the pattern?  "ipad-*" speaks of the common name; "CN=ipad-*,O=Example" of each
 * attribute it names: as many of that type in the subject, each matching in order.  Attributes that it does not
 * name are the template's business.  A wildcard never crosses from one value into the next. */
bool binding_subject(const char *pattern, const struct name *subject);
/* Does the pattern name every attribute of the subject?  For what a policy says, which is all that a name may be. */
bool binding_subject_whole(const char *pattern, const struct name *subject);
/* "DNS:a.example.org,IP:10.0.0.1", wildcards allowed: every planned name matches one of these, and each of
 * these is met. */
bool binding_san(const char *patterns, const struct san *san);
/* When the challenge is made: can the bindings be read? */
bool binding_check(const struct challenge_wish *w, struct err *err);
