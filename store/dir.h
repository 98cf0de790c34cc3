/* The directory of a store: made, looked at, owned by the right user. */
#pragma once

#include "base/err.h"
#include "base/log.h"

/* There is a store in it afterwards, or may be made in it; ERR_NOT_FOUND without one unless `create`.  Refuses
 * network file systems and files that are no plain files; warns when others may read it. */
bool dir_prepare(const char *path, bool create, const struct log *log, struct err *err);
/* Makes the lock file, or sees that it has all its blocks: LMDB writes to it through a map, and on a full disk a block
 * that is missing would end the program (SIGBUS).  Never while this process has the store open, since closing
 * the file here would drop its locks. */
bool dir_reserve_lock(const char *path, unsigned readers, struct err *err);
/* Locks the directory for one process at a time, as long as `*fd` is open.  ERR_BUSY: another has it. */
bool dir_claim(const char *path, int *fd, struct err *err);
/* Run by root in a directory of another user: the files become that user's, or its daemon could not
 * open them any more. */
bool dir_hand_over(const char *path, struct err *err);
