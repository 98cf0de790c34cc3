/* Subject alternative names of RFC 5280 section 4.2.1.6, the forms that devices use. */
#pragma once

#include "base/err.h"
#include "base/view.h"
#include "pkcs7/der.h"

#define SAN_MAX 32

enum san_kind { SAN_DNS, SAN_EMAIL, SAN_URI, SAN_IP, SAN_UPN };

struct san_name {
    enum san_kind kind;
    char *text; /* owned; DNS lower-cased, IP in its usual text form */
};

struct san {
    struct san_name name[SAN_MAX];
    size_t n;
};

const char *san_kind_name(enum san_kind k); /* "DNS", "email", "URI", "IP", "UPN" */
/* Reads the content of the extension (GeneralNames).  Refuses with REASON_SAN_FORBIDDEN and the
 * offending name: other forms, malformed values, the same value twice, more than SAN_MAX. */
bool san_parse(struct view general_names, struct san *out, struct err *err);
/* Checks the value as san_parse does, and adds a copy. */
bool san_add(struct san *s, enum san_kind kind, const char *text, struct err *err);
/* "DNS:host.example.org" (any case of the kind) for command line and configuration. */
bool san_add_text(struct san *s, const char *kind_and_value, struct err *err);
void san_build(const struct san *s, struct der *w); /* the GeneralNames SEQUENCE */
void san_text(const struct san *s, char *out, size_t cap); /* "DNS:a,IP:10.0.0.1" */
bool san_eq(const struct san *a, const struct san *b); /* as sets */
void san_clear(struct san *s);
