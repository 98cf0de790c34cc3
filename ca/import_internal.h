/* Between import.c, which judges and stores, and import_source.c, which reads files.  Private to ca/. */
#pragma once

#include "ca/import.h"

/* One certificate of a source, or what an index says of one that is not at hand. */
struct import_item {
    const char *where;   /* "index.txt:17" */
    struct view der;     /* empty: not at hand */
    struct view serial;  /* INTEGER content octets, minimal; empty: only the certificate says */
    int64_t not_after;   /* 0: only the certificate says */
    bool revoked;
    int64_t revoked_at;
    enum crl_reason reason;
};

struct import_walker {
    void *ctx;
    /* Each returns false to end the walk, with err filled in. */
    bool (*item)(void *ctx, const struct import_item *i, struct err *err);
    bool (*crl)(void *ctx, const char *where, struct view der, struct err *err);
    /* The next CRL number, from a file crlnumber. */
    bool (*number)(void *ctx, uint64_t next, struct err *err);
    void (*bad)(void *ctx, const char *where, const char *text);
    void (*passed_over)(void *ctx, const char *where);
};

/* Might this line, of a file that may be anything, be one of an index, right or wrong?  (DER begins with two octets.) */
bool index_line_shaped(struct view line);
bool import_walk(const char *path, const struct import_walker *w, struct err *err);

/* Serials seen in this run, for the look that stores nothing: 8 octets each, of their hash. */
struct serial_set {
    uint64_t *slot; /* owned; 0: free.  The lowest two bits are marks */
    size_t cap, n;
};
enum { SERIAL_CERTIFICATE = 1, SERIAL_REVOKED = 2 };
/* Adds the marks, and tells those that were there; -1 when out of memory. */
int serial_set_mark(struct serial_set *s, const uint8_t authority[20], struct view serial, unsigned marks);
void serial_set_clear(struct serial_set *s);
