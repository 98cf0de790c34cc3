/* The daemon's threads: no signal is theirs, and each has a name in ps and top. */
#pragma once

#include <pthread.h>
#include <stdbool.h>

/* `name` (static, at most 15 octets) is taken by the thread itself: another's cannot be given once files are out of
 * reach.  False when there is no room for one more; then *out is untouched. */
bool thread_start(pthread_t *out, const char *name, void *(*run)(void *ctx), void *ctx);
