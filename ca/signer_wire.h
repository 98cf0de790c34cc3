/* The protocol between the daemon and its signer process, and how the child is entered.
 *
 * One SOCK_SEQPACKET socket is one lane; one packet is one request or one reply, at most
 * SIGNER_MAX_PACKET; requests and replies alternate.  Both sides are the same binary, so the headers
 * are plain structs in host order; every field is checked by the child as if a stranger had sent it. */
#pragma once

#include "signer_internal.h"

#define SIGNER_MAGIC 0x73636570u

struct request_head {
    uint32_t magic, sequence;
    uint32_t op, key, digest;
    uint32_t padding, hash, mgf, key_len; /* decrypt */
    uint32_t offset; /* of a CRL in its memory file */
    uint32_t length; /* of the payload that follows; 0 for a CRL, which comes as one sealed memory file */
};

struct reply_head {
    uint32_t magic, sequence;
    uint32_t kind, reason; /* ERR_NONE: the payload is the result; else its text */
    uint32_t length;
};

#define SIGNER_MAX_REPLY (sizeof(struct reply_head) + SIGNER_MAX_RESULTS)

/* What the child tells once, by a pipe, when it serves or cannot. */
struct signer_ready {
    uint32_t magic;
    struct err err; /* ERR_NONE: it serves */
};

/* The seals without which a memory file could change under the signer's hands. */
#define SIGNER_SEALS (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW)

struct signer_child {
    const struct signer_spec *spec;
    const int *lane; /* its ends of the sockets */
    unsigned lanes;
    int ready;       /* its end of the pipe */
    int parent;      /* process id */
    const struct log *log;
};

/* signer_child.c: what the forked process does; never returns. */
void signer_child_run(const struct signer_child *c) __attribute__((noreturn));
