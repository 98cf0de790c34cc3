/* The keeper: a small process of one thread, forked before threads, sockets and store exist, that alone has to do with
 * key files.  The daemon asks it to start a signer; what the signer's keys may do the keeper reads from the
 * configuration itself, so that nobody who takes over the daemon can ask for more.  It hands over the lanes of the
 * signer and waits for its end.  It makes the keys of authorities that are due.  Keeper and signers end with the daemon.
 *
 * One call at a time, from any thread. */
#pragma once

#include "ca/signer.h"
#include "config/config.h"

struct keeper;

/* `file` is the configuration's complete path; the settings of its log are the keeper's at first. */
bool keeper_start(const struct config *c, struct keeper **out, struct err *err);
int keeper_pid(const struct keeper *k);
/* Ends it, and with it every signer that is left; waits (bounded).  NULL allowed. */
void keeper_stop(struct keeper *k);

enum keeper_source {
    KEEPER_FILE,  /* the configuration and all files are read anew */
    KEEPER_FILES, /* the kept configuration; the files that it names are read anew */
    KEEPER_SAME,  /* what is kept, as it was read; key files always are read by the signer */
};

struct keeper_signer {
    struct signer_process *process; /* owned */
    int ended;                      /* owned; readable when the process has ended */
    uint8_t digest[SIGNER_DIGEST];  /* of the spec it was started with; see signer_spec_digest */
};
#define KEEPER_NO_SIGNER {NULL, -1, {0}}

/* ERR_CONFIG and others: as loading or the signer said it.  ERR_SIGNER with a keeper that cannot be reached any more:
 * it is ended then. */
bool keeper_signer(struct keeper *k, enum keeper_source source, unsigned lanes, struct keeper_signer *out,
                   struct err *err);
void keeper_signer_clear(struct keeper_signer *s);
/* Does what is due in the life of the authorities, see config_tend; KEEPER_FILES is the same as KEEPER_SAME.  The time is
 * the keeper's own. */
bool keeper_tend(struct keeper *k, enum keeper_source source, bool *changed, struct err *err);
/* Opens a file that the configuration names for this process to read (confinement_may_hand_over); -1 when it is none.  The
 * configuration itself is what the keeper reads then, and goes by. */
int keeper_open(struct keeper *k, const char *path);
/* What was last read for a signer is kept from now on. */
bool keeper_keep(struct keeper *k, struct err *err);
