/* Names with wildcards: what a policy writes ("CN=%devicename%,O=Example"), filled in for one device.  Pure: no store.
 *
 * Wildcards, any case: %devicename% %serialnumber% %udid% %user% %email% %host% %group% %policy%, and %% for a percent sign.  A
 * value is put into the value of an attribute after the pattern was taken apart, never into its text, so that a comma, "+", "=" or a
 * quote in a device's name stays what it is.  In a URI everything but letters, digits and "-._~" is percent-encoded.  In a DNS name a
 * wildcard that is not the whole name stands for one label, in an e-mail address or UPN no value brings a second "@". */
#pragma once

#include "base/err.h"
#include "pkcs7/name.h"
#include "pkcs7/san.h"

enum fleet_wildcard {
    FLEET_DEVICENAME, FLEET_SERIALNUMBER, FLEET_UDID, FLEET_USER, FLEET_EMAIL, FLEET_HOST, FLEET_GROUP, FLEET_POLICY,
    FLEET_WILDCARDS
};
const char *fleet_wildcard_name(enum fleet_wildcard w); /* "devicename" */
/* "%devicename%, %serialnumber%, ..." */
void fleet_wildcard_list(char *out, size_t cap);

/* What stands for each; NULL or "": no value. */
struct fleet_values { const char *value[FLEET_WILDCARDS]; };

#define FLEET_NAMES_MAX 1024 /* of texts and bindings: as a challenge's record keeps them */

struct fleet_names {
    char subject[FLEET_NAMES_MAX], san[FLEET_NAMES_MAX];                 /* for people: "CN=a,O=b", "DNS:a,UPN:b" */
    char subject_binding[FLEET_NAMES_MAX], san_binding[FLEET_NAMES_MAX]; /* for struct challenge_wish */
};

/* Can the patterns be read, and are all wildcards known?  *unique: the subject names something of which a device has its own
 * (device name, serial number, UDID, host).  ERR_CONFIG: "subject: ..." or "san: ...". */
bool fleet_pattern_check(const char *subject, const char *san, bool *unique, struct err *err);
/* A bit (1 << enum fleet_wildcard) for each one that is used. */
unsigned fleet_pattern_uses(const char *subject, const char *san);
/* ERR_CONFIG, naming the wildcard that has no value, or the name that its value would break. */
bool fleet_names_fill(const char *subject, const char *san, const struct fleet_values *v, struct fleet_names *out, struct err *err);
/* The same as structures, for those who write them (profiles).  Owned by the caller: name_clear, san_clear. */
bool fleet_names_build(const char *subject, const char *san, const struct fleet_values *v, struct name *out_subject,
                       struct san *out_san, struct err *err);
