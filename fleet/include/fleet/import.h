/* Devices from a file of comma-separated values.  Its first line names the columns: name, and any of platform, serial_number, udid,
 * user, email, host, groups (names with ";" between).  Read twice: the first time everything is looked at and nothing
 * stored, so that all mistakes are told at once; then some hundred devices in a write.  What an interruption left over is
 * done by the same call again. */
#pragma once

#include <stdio.h>

#include "fleet/fleet.h"

struct fleet_import_counts {
    uint64_t rows;                       /* without the header */
    uint64_t made, updated, same;        /* devices */
    uint64_t bad;                        /* rows with a mistake */
    uint64_t groups;                     /* made, or in a plan: that are to be made */
    uint64_t assigned;                   /* devices that got the policy now */
    uint64_t challenges;                 /* written */
    uint64_t had;                        /* devices that had theirs: from an earlier run, or a certificate by the policy */
    struct fleet_effects lost;           /* with another user's groups, or other names: as fleet_device_edit */
    bool stopped;                        /* by progress */
};

struct fleet_import {
    FILE *in;                            /* can be read twice (a file, not a pipe) */
    bool update;                         /* devices that exist get what the file says; else they must be the same already */
    bool partial;                        /* rows with mistakes are left out */
    bool new_groups;                     /* groups of devices that do not exist are made */
    bool dry_run;
    const char *policy;                  /* is assigned to every device; NULL: none */
    /* A file, open for reading and writing, that gets a challenge for every device; NULL: none are made.  What an earlier run
     * wrote into it is gone on with.  The caller sees to it that nobody else can read it. */
    FILE *challenges;
    bool would_challenge;                /* with dry_run: looks at everything as if there were such a file */
    int64_t ttl;                         /* of them; 0: the policy's */
    unsigned hex;                        /* as in struct challenge_wish */
    void (*problem)(void *ctx, uint64_t line, const char *text);
    /* After the first reading; false stops: ERR_CONFLICT "not confirmed". */
    bool (*confirm)(void *ctx, const struct fleet_import_counts *plan);
    /* Now and then; `of` 0: not known yet.  false stops between two writes. */
    bool (*progress)(void *ctx, uint64_t done, uint64_t of);
    void *ctx;
};
/* ERR_CONFIG: there were mistakes, and nothing was stored.  ERR_CONFLICT: all is stored but for lines that went wrong by what
 * somebody did between the two readings, or a device of theirs got no challenge.  `out` also tells what was done before an error. */
bool fleet_import_run(const struct fleet *f, const struct fleet_import *o, struct fleet_import_counts *out, struct err *err);
