/* What the files of the import share. */
#pragma once

#include "fleet/import.h"
#include "fleet_internal.h"
#include "table.h"

enum import_column { COL_NAME, COL_PLATFORM, COL_SERIAL, COL_UDID, COL_USER, COL_EMAIL, COL_HOST, COL_GROUPS, COLUMNS };

#define IMPORT_GROUPS 16 /* of one device in the file */

/* One row, read and checked. */
struct import_row {
    uint64_t line;
    struct store_device device;      /* as it shall be */
    bool exists, same;               /* it is there; and is so already */
    char group[IMPORT_GROUPS][64];
    size_t group_n;
};

struct importing {
    const struct fleet *f;
    const struct fleet_import *o;
    struct fleet_import_counts n;
    int column[COLUMNS];             /* place in a row, -1: not in the file */
    size_t columns;                  /* in a row */
    bool header;                     /* was read */
    struct store_policy policy;      /* with o->policy */
    struct fleet_subjects *names;    /* of the file so far */
    struct fleet_subjects *subjects; /* by the policy; NULL: none can be the same */
    struct fleet_subjects *groups;   /* that the first reading would make */
    struct fleet_subjects *left;     /* lines in which it found a mistake */
    bool failed;                     /* a fault of ours, or what ends the reading: */
    struct err err;
};

/* Are challenges made, or would they be? */
static inline bool import_challenges(const struct importing *i)
{
    return i->o->challenges || i->o->would_challenge;
}

/* The first row: which columns there are.  ERR_CONFIG. */
bool import_header(struct importing *i, const struct table_row *row, struct err *err);
/* Any other; ERR_CONFIG: a mistake in it, told without its line. */
bool import_row_read(struct importing *i, const struct table_row *row, struct import_row *out, struct err *err);
/* A good one by the policy: such a device is given no challenge. */
bool import_has_certificate(const struct importing *i, struct store_write *w, const char *device, bool *out, struct err *err);
/* The list of challenges.  Borrows `file`.  What an earlier run wrote and then did not commit is cut off; ERR_EXISTS: something
 * else is in it. */
struct import_out;
bool import_out_open(const struct fleet *f, FILE *file, struct import_out **out, struct err *err);
/* Does it hold a challenge for the device that is still good? */
bool import_out_has(const struct import_out *o, const char *device);
bool import_out_add(struct import_out *o, const struct fleet *f, const struct fleet_challenge *c, struct err *err);
/* What was added is on the disk when it returns. */
bool import_out_flush(struct import_out *o, struct err *err);
void import_out_close(struct import_out *o);
