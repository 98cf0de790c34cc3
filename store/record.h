/* Records: a version octet, then fields in a fixed order.  Numbers are big-endian; text has a length of 2
 * octets before it and no NUL; blobs have one of 4.  Writer and reader are sticky: after the first
 * failure they do nothing, and the closing call tells.  docs/STORE.md lists the fields. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

/* Larger than anything this room keeps (a CRL of a million entries has 50 MB); what exceeds it is damage. */
#define RECORD_BLOB_MAX (UINT32_C(1) << 30)

struct record_writer {
    struct buf *out; /* cleared by the owner, whatever happened */
    bool memory;     /* ran out of it */
    bool too_long;   /* a text without its NUL, a blob beyond the limit */
};

struct record_writer record_begin(struct buf *out, uint8_t version);
void write_u8(struct record_writer *w, uint8_t v);
void write_u32(struct record_writer *w, uint32_t v);
void write_u64(struct record_writer *w, uint64_t v);
void write_i64(struct record_writer *w, int64_t v);
void write_bytes(struct record_writer *w, const void *p, size_t n); /* length known to the reader */
/* A text in a field of `cap` octets. */
void write_text(struct record_writer *w, const char *s, size_t cap);
void write_blob(struct record_writer *w, struct view v);
bool record_written(const struct record_writer *w, const char *what, struct err *err);

struct record_reader {
    struct view rest;
    bool bad;
};

/* ERR_STORE when the record has another version than this one. */
bool record_open(struct record_reader *r, struct view in, uint8_t version, const char *what, struct err *err);
/* Any version from 1 to `newest`; `*version` says which. */
bool record_open_any(struct record_reader *r, struct view in, uint8_t newest, uint8_t *version, const char *what,
                     struct err *err);
uint8_t read_u8(struct record_reader *r);
uint32_t read_u32(struct record_reader *r);
uint64_t read_u64(struct record_reader *r);
int64_t read_i64(struct record_reader *r);
void read_bytes(struct record_reader *r, void *p, size_t n);
void read_text(struct record_reader *r, char *out, size_t cap);
/* Past what is not asked for. */
void skip_bytes(struct record_reader *r, size_t n);
void skip_text(struct record_reader *r);
/* Points into the record. */
struct view read_blob(struct record_reader *r);
/* Everything was there and nothing is left. */
bool record_close(const struct record_reader *r, const char *what, struct err *err);

/* Copies a text, A to Z made small; what does not fit is cut. */
void text_small(char *out, size_t cap, const char *s);
/* Copies text for people into a field, cut at a whole character if need be; NULL gives "". */
void text_put(char *out, size_t cap, const char *s);
