/* A file of comma-separated values (RFC 4180), one row after another, in bounded memory.  libcsv takes the rows apart. */
#pragma once

#include <stdint.h>
#include <stdio.h>

#include "base/err.h"

#define TABLE_FIELDS 32          /* more are counted and not kept */
#define TABLE_ROW_MAX 65536u     /* octets of a row, and of a line of the file */

struct table_row {
    uint64_t line;               /* where it begins, from 1 */
    uint64_t offset;             /* and at which octet of what was read */
    size_t n;                    /* fields; may be above TABLE_FIELDS */
    const char *field[TABLE_FIELDS]; /* NUL-terminated, live for the call */
    bool nul;                    /* one of them had a NUL */
};
/* Calls `each` for every row that is not empty; it returns false to stop.  Begins where `in` stands.  ERR_CONFIG: "line 7: ...",
 * what follows cannot be read; ERR_IO. */
bool table_read(FILE *in, bool (*each)(void *ctx, const struct table_row *row), void *ctx, struct err *err);
