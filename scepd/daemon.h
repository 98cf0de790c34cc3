/* The daemon: puts the rooms together, serves until it is told to stop, takes them apart. */
#pragma once

#include "scepd/config.h"

/* Everything that can be wrong with a loaded configuration but shows only when files are read and paths compared:
 * each is complained about.  Reads the private keys; starts nothing. */
void daemon_check(const struct config *c, config_complain complain, void *ctx);

/* Runs in the foreground until SIGTERM or SIGINT.  Returns the exit code: 0 after an orderly end.  A failed start is
 * told on stderr with what to do about it. */
int daemon_run(const struct config *c, const char *version);
