/* What of a configuration may change while the daemon runs. */
#pragma once

#include "config/config.h"

/* "127.0.0.1:8080", "[::1]:8080", ":8080" in place of listen.address and listen.port; false when it is none of these. */
bool config_set_listen(struct config *c, const char *text);

#define CONFIG_SHOWN 600 /* octets of a shown value; longer than any */
/* A setting that stays, with both values as they would stand in the file. */
typedef void (*config_stays)(void *ctx, const char *setting, const char *old, const char *wanted);
/* Every setting that needs a restart and is another in `next` keeps the value of `running`; `tell` gets each.
 * Relative to the file they come from, both are complete. */
void config_keep_fixed(const struct config *running, struct config *next, config_stays tell, void *ctx);
