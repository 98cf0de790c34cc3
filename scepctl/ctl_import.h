/* Between ctl_ca_import.c (into an authority that is there) and ctl_init.c (a whole one moves in). */
#pragma once

#include "ca/import.h"
#include "ca/outside.h"
#include "scepctl/ctl.h"

/* Passphrase from a file, "-" for standard input, "fd:N" for a descriptor: its first line.  NULL: none.  Wiped by the
 * caller. */
int ctl_passphrase_read(struct ctl *ctl, const char *from, struct buf *out);

/* One source into the store of a family, telling what is wrong with it, what it is and what was done.  `template_name` ""
 * for certificates that shall not renew. */
struct ctl_import {
    const struct family *family;
    struct store *store;
    const char *source, *template_name, *endpoint;
    bool skip_bad;
    bool asked; /* no confirmation: whoever calls has asked, or nothing is in use yet */
};
int ctl_import_source(struct ctl *ctl, const struct ctl_import *i);
