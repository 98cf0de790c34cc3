/* What damaged pages must not end: LMDB trusts what it reads, so whoever reads them may be ended by
 * a signal. */
#pragma once

#include <stddef.h>

#include "base/err.h"

/* Runs `work` in a process of its own.  What that leaves in the n octets at `result` (APART_MAX at
 * most) is here afterwards, as is its error.  ERR_DAMAGED, about `what`, when it was ended as
 * damage does it. */
#define APART_MAX 2048
bool apart_run(const char *what, bool (*work)(void *ctx, struct err *err), void *ctx, void *result,
               size_t n, struct err *err);
