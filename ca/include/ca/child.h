/* What the processes that hold keys do first, and how their parent waits for them. */
#pragma once

#include <stddef.h>

#include "base/err.h"

/* Signals that are meant for the daemon (a Ctrl-C in the terminal reaches all of its processes) are ignored; none is
 * blocked. */
void child_ignore_signals(void);
/* Nobody may look into this process, it gains nothing by exec, and it ends when `parent` does.  ERR_SIGNER when that is
 * gone already.  `name` is shown by ps(1), at most 15 characters. */
bool child_harden(int parent, const char *name, struct err *err);
/* Only standard error (for the log) and these descriptors stay; sorts `keep`. */
bool child_close_others(int *keep, size_t n, struct err *err);
/* Waits a bounded time for a child that ends by itself, then makes it; where it may send no signal, the child ends with this
 * process (child_harden). */
void child_reap(int pid);
