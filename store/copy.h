/* Copies of a store: what backup and restore share. */
#pragma once

#include "store/store.h"

#define COPY_SUFFIX ".part"

/* Opens a backup, one file, for reading only.  ERR_STORE when it is none, or is shorter than it says. */
bool copy_open(const char *file, struct store **out, struct err *err);
/* Opens (a file with `single`, else a directory), verifies and counts in a process of its own: damage that
 * makes LMDB crash is an error like any other.  *facts without the size. */
bool copy_inspect(const char *path, bool single, struct store_facts *facts, struct err *err);
/* Makes the directory entries of `path`'s directory durable. */
bool copy_sync_dir(const char *path, struct err *err);
/* Opens `file` for writing, mode 0600, empty, for one writer at a time: what one left behind that was killed is taken
 * over.  ERR_BUSY. */
bool copy_create(const char *file, int *fd, struct err *err);
/* errno as ERR_FULL when there is no room, else ERR_IO. */
bool copy_errno(const char *file, const char *doing, struct err *err);
/* Locks a file or directory for one process at a time, as long as fd is open: ERR_BUSY when another has it for long. */
bool copy_lock(int fd, const char *name, struct err *err);
