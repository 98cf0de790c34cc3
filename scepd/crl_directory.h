/* CRLs as files for another web server: NAME.crl, NAME-p1.crl, NAME-delta.crl, with -gN behind the name of a later
 * generation, as in the paths of routes.h. */
#pragma once

#include "ca/crl.h"

/* Whole or not at all, and on the disk when it returns: who reads sees the old list or the new one. */
bool crl_directory_write(const char *directory, const struct authority *a, uint32_t scope, struct view crl,
                         struct err *err);
