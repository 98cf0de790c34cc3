/* XML written by libxml2, whose memory is overwritten when it is given back: a profile holds a secret.  The first failure
 * is kept and everything after it does nothing, so that only xml_end need be asked. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

struct xml;

/* `doctype`: name, public and system identifier, or NULL for none.  NULL when out of memory. */
struct xml *xml_start(const char *const doctype[3]);
void xml_open(struct xml *x, const char *element);
void xml_attribute(struct xml *x, const char *name, const char *value);
void xml_close(struct xml *x);
void xml_content(struct xml *x, const char *text); /* of the element that is open */
/* <element>text</element>; text is UTF-8 that XML can hold: no control characters. */
void xml_text(struct xml *x, const char *element, const char *text);
void xml_number(struct xml *x, const char *element, uint64_t number);
void xml_base64(struct xml *x, const char *element, struct view bytes);
void xml_empty(struct xml *x, const char *element);
/* Appends the document; false when anything failed.  Frees in any case. */
bool xml_end(struct xml *x, struct buf *out, struct err *err);
