/* The outsider: a small process of one thread, forked beside the keeper when the configuration names webhooks or upstreams.
 * It reads their secrets, and forks the process that has the network and those secrets and nothing else
 * (outside/outside_child.h); when that one ends it forks another when it is asked to.  The main process can connect to nothing and
 * never sees a secret.  Without webhooks and upstreams there is neither process, and nothing of scepd connects anywhere.
 *
 * One call at a time, from any thread. */
#pragma once

#include "config/config.h"
#include "outside/outside_child.h"

struct outsider;

/* Call while there is one thread.  NULL in *out when the configuration names nothing.  The secrets are read here, so that
 * what is wrong with them is told at start: ERR_CONFIG. */
bool outsider_start(const struct config *c, struct outsider **out, struct err *err);
int outsider_pid(const struct outsider *o);
/* Reads configuration and secrets anew, for processes that are forked from now on; nothing has changed after a failure. */
bool outsider_reload(struct outsider *o, struct err *err);
/* Another process; its socket, owned.  For outside_options: connect. */
bool outsider_connect(void *outsider, int *socket, struct err *err);
/* What was loaded last signs in with this; NULL allowed, and does not. */
void outsider_credential(struct outsider *o, struct outside_credential *out);
/* Ends it and those that it has forked; waits (bounded).  NULL allowed. */
void outsider_stop(struct outsider *o);
