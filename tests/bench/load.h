/* A load generator: prepares all messages first, then fires them, then opens the replies. */
#pragma once

#include <stdatomic.h>

#include "scepd/client.h"

struct load_device {
    char subject[64];
    struct client_identity identity;
    char transaction[41];
    uint8_t nonce[16];
    struct buf message;           /* the pkiMessage, sent again unchanged by every retry */
    struct buf reply;             /* the last HTTP 200 body */
    struct buf cert;              /* DER of the certificate that it got; a later one must be the same */
    double ms;                    /* from first send to the reply */
    unsigned tries;
};

struct load {
    /* wishes */
    char host[128], path[256];
    int port;
    size_t n, connections;
    unsigned retry_seconds;       /* how long a device goes on trying */
    const char *prefix;           /* of the common names */
    int acks;                     /* descriptor that gets a line at every reply, or -1 */
    /* what the server says */
    struct client_caps caps;
    struct client_ca ca;
    /* state */
    struct load_device *device;
    atomic_size_t next, done, gave_up, retries;
};

/* load_keys.c: RSA-2048 keys from a pool of primes, n = p[i] * q[j]: thousands of different keys in seconds.  Good for
 * nothing but load. */
bool load_keys(size_t n, EVP_PKEY **out, struct err *err);

/* load_prepare.c: one CSR, self-signed certificate and pkiMessage for each device; `challenges` has one line for each, or is
 * empty. */
bool load_prepare(struct load *l, char *const *challenges, size_t challenges_n, struct err *err);

/* load_fire.c: each connection takes the next device until none is left.  Transport faults and 503 are retried with the same
 * bytes. */
bool load_fire(struct load *l, double *wall_seconds, struct err *err);

/* load_verify.c: opens every reply as its device would.  Counts by pkiStatus; `bad` are replies that do not verify, or that
 * have another certificate than an earlier round brought. */
struct load_result {
    size_t issued, pending, failed, bad, none;
    char first_problem[400];
};
void load_verify(struct load *l, struct load_result *out);

/* load_prims.c: the raw private-key operations of one enrolment (CA signs, RA decrypts, RA signs), timed every few
 * milliseconds by a thread of its own while the server works, so that both feel the same machine. */
struct load_prims;
bool load_prims_start(const char *ca_key, struct load_prims **out, struct err *err);
/* Stops and frees.  Microseconds of CPU of the three operations: `meanwhile`, the median of the samples taken beside the
 * working server, and `alone`, in a tight loop afterwards, when nothing else runs and all caches are warm. */
struct load_raw {
    double meanwhile, alone;
};
struct load_raw load_prims_stop(struct load_prims *p);

/* load_cpu.c: CPU seconds used so far by a process and its children (user and system). */
double load_cpu_seconds(int pid);
