/* Distinguished names: from any string type that devices send to UTF-8 in NFC, and back to DER in
 * our own encoding.  Nothing of the received encoding is passed on. */
#pragma once

#include "base/err.h"
#include "base/view.h"
#include "pkcs7/der.h"

#define NAME_MAX_ATTRS 20      /* RFC 5280 has no limit; a device name never needs more */
#define NAME_MAX_VALUE 1024    /* octets of UTF-8, above every upper bound below */
#define NAME_TEXT_MAX 4096

enum name_string { NAME_UTF8, NAME_PRINTABLE, NAME_IA5 }; /* how we write it */

struct name_type {
    const char *key;      /* "CN", "O", "serialNumber" ... as in templates and texts */
    int nid;
    unsigned upper_bound; /* characters, RFC 5280 Appendix A */
    enum name_string string;
};

struct name_attr {
    const struct name_type *type; /* NULL: an attribute type that we do not issue */
    char oid[64];                 /* dotted, always filled by name_parse */
    char *value;                  /* owned, UTF-8 in NFC, NUL-terminated, no NUL inside */
    bool multi;                   /* in one RDN with the attribute before it */
};

struct name {
    struct name_attr attr[NAME_MAX_ATTRS]; /* in the order of the encoding */
    size_t n;
};

const struct name_type *name_type_by_key(const char *key); /* any case; NULL if unknown */
/* Reads a DER Name.  Refuses (`reason`, usually REASON_SUBJECT_FORBIDDEN) with the attribute's
 * name: control, bidi, unassigned or private-use characters, NUL, empty values or RDNs, more
 * than NAME_MAX_ATTRS.  Blanks at either end are refused too.  Lengths are checked by
 * name_check, since only what is issued must keep the bounds.  name_clear frees. */
bool name_parse(struct view der, enum reason reason, struct name *out, struct err *err);
void name_clear(struct name *n);
/* Adds a copy of the value after checking it as name_parse does (also NFC). */
bool name_add(struct name *n, const struct name_type *type, const char *value, enum reason reason,
              struct err *err);
/* Upper bounds in characters, alphabets of C, serialNumber, DC, and no attribute twice with the
 * same value.  The refusal names attribute, length and limit. */
bool name_check(const struct name *n, enum reason reason, struct err *err);
/* One attribute per RDN (multi kept together, sorted). */
void name_build(const struct name *n, struct der *w);
/* SHA-256 of what name_build writes: the same however its strings were encoded where it came from.  ERR_CRYPTO. */
bool name_hash(const struct name *n, uint8_t out[32], struct err *err);
/* "CN=ipad-0113,O=Example": in order of the encoding, RFC 4514 escapes, cut at cap. */
void name_text(const struct name *n, char *out, size_t cap);
/* For names that are only shown (issuers, subjects of foreign certificates): tolerant, never fails,
 * "?" where it cannot be read. */
void name_der_text(struct view der, char *out, size_t cap);
/* Reads "CN=x,O=y" (RFC 4514 escapes) for the command line and the configuration. */
bool name_from_text(const char *text, struct name *out, struct err *err);
bool name_eq(const struct name *a, const struct name *b); /* type, value, order, multi */

/* UTF-8 in NFC of a decoded value, owned by the caller, or refused as above. */
bool name_value_normalize(struct view utf8, enum reason reason, const char *what, char **out,
                          struct err *err);
