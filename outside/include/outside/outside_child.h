/* The side that asks: it has the network, the URLs and the secrets, and serves one socket until that is closed.  In the daemon
 * it is a process of its own, see scepd/outsider.h. */
#pragma once

#include "base/err.h"
#include "base/log.h"
#include "config/config.h"

struct outside_targets;
/* Reads the secrets and certificates that the configuration names: nothing is opened afterwards but what libraries look
 * at.  ERR_CONFIG names file and fault. */
bool outside_targets_load(const struct config *c, struct outside_targets **out, struct err *err);
/* Of the certificates with which scepd signs in elsewhere (Intune) the one that ends first. */
struct outside_credential {
    char webhook[64];             /* "": there is none */
    int64_t not_before, not_after; /* Unix seconds */
};
void outside_targets_credential(const struct outside_targets *t, struct outside_credential *out);
void outside_targets_free(struct outside_targets *t); /* wipes; NULL allowed */
/* Does the configuration name anything to ask? */
bool outside_needed(const struct config *c);

/* Serves questions from `socket` until the other side closes it.  Takes the socket.  One thread. */
void outside_serve(int socket, struct outside_targets *targets, const struct log *log);
