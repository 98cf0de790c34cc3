/* Which files each of scepd's processes keeps (ca/confine.h does it).
 *
 * The main process keeps the store, and what libraries look at.  It has no way to a private key, to a passphrase or to the
 * configuration: what a reload reads it asks of the keeper (keeper_open), which hands over what the configuration names,
 * but never a key, nor a secret for servers elsewhere.  The outsider reads those, and what it forks has the network and
 * what names and certificates of servers need.  The keeper reads everything, and writes the directories of authorities and the store. */
#pragma once

#include "ca/confine.h"
#include "config/config.h"

/* Call while there is one thread.  `keeper`: its process.  *lacks gets bits, see confine.h. */
bool confinement_front(const struct config *c, int keeper, const struct log *log, unsigned *lacks, struct err *err);
/* For confinement_keeper, in the process that forks it.  Owned (free); NULL with confinement = "off". */
bool confinement_keeper_paths(const struct config *c, struct confine_paths **out, struct err *err);
bool confinement_keeper(enum confine_mode mode, const struct confine_paths *paths, const struct log *log,
                        struct err *err);

/* In the outsider, and in what it forks to ask servers elsewhere. */
bool confinement_outsider(enum confine_mode mode, const struct log *log, struct err *err);
bool confinement_outside(enum confine_mode mode, const struct log *log, struct err *err);

/* May the keeper open this for the main process?  Only what the configuration names for it to read, and never a file
 * that it names as a key or a passphrase, or a key in the directory of an authority. */
bool confinement_may_hand_over(const struct config *c, const char *path);
