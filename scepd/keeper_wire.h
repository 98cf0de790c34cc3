/* Between keeper.c (the daemon's side) and keeper_child.c (the process): one SOCK_SEQPACKET socket, one request packet,
 * one reply packet, and after a good reply to KEEPER_OP_SIGNER its descriptors in packets of their own: the pidfd of
 * the signer, then its lanes; after one to KEEPER_OP_FILE the file.  Both sides are the same binary; the keeper takes every field as if a stranger had sent
 * it. */
#pragma once

#include "scepd/keeper.h"

#define KEEPER_MAGIC 0x6b656570u
/* Descriptors in one packet; the kernel takes 253. */
#define KEEPER_PASSED 64
/* Signers that may live at a time: one serves, one is to replace it, others finish what they have. */
#define KEEPER_MAX_SIGNERS 8
#define KEEPER_MAX_PATH 512

enum keeper_op { KEEPER_OP_SIGNER = 1, KEEPER_OP_KEEP, KEEPER_OP_TEND, KEEPER_OP_FILE };

struct keeper_request {
    uint32_t magic, sequence;
    uint32_t op;
    uint32_t source; /* KEEPER_OP_SIGNER, KEEPER_OP_TEND */
    uint32_t lanes;  /* KEEPER_OP_SIGNER */
    char path[KEEPER_MAX_PATH]; /* KEEPER_OP_FILE; ends with NUL */
};

struct keeper_reply {
    uint32_t magic, sequence;
    struct err err; /* ERR_NONE: done */
    int32_t pid;
    uint8_t digest[SIGNER_DIGEST];
    uint32_t changed; /* KEEPER_OP_TEND */
};

struct keeper_passed { /* goes with descriptors */
    uint32_t magic, sequence;
    uint32_t n;
};

struct keeper_child {
    const char *file;
    int socket, parent;
    enum log_level level;
    bool json;
    enum confine_mode confinement;
    const struct confine_paths *paths; /* NULL: not confined */
};
void keeper_child_run(const struct keeper_child *c) __attribute__((noreturn));
