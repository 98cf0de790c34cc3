/* The daemon: puts the rooms together, serves until it is told to stop, takes them apart. */
#pragma once

#include "config/config.h"

/* Everything that can be wrong with a loaded configuration but shows only when files are read and paths compared:
 * each is complained about.  `warn` gets what serves now and should be known all the same (config_tend_warn).  Reads the
 * private keys; starts nothing. */
void daemon_check(const struct config *c, config_complain complain, config_complain warn, void *ctx);

struct console;

struct daemon_options {
    const char *listen;  /* in place of what the configuration says, see config_set_listen; NULL: as it says */
    const char *version;
    const struct console *console; /* borrowed; NULL: the one that was built in */
};
/* Runs in the foreground until SIGTERM or SIGINT; SIGHUP reads the configuration anew.  Takes `c`, in which
 * `options->listen` stands already.  Returns the exit code: 0 after an orderly end.  A failed start is told on stderr
 * with what to do about it.  Call before any thread exists. */
int daemon_run(struct config *c, const struct daemon_options *options);
