/* A load generator: prepares all messages first, then fires them, then opens the replies. */
#pragma once

#include <stdatomic.h>

#include "client/client.h"

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
    int acks;                     /* descriptor that gets a line at every reply, or 0 */
    bool strict;                  /* a 503 without Retry-After is a failure */
    /* what the server says */
    struct client_caps caps;
    struct client_ca ca;
    /* state */
    struct load_device *device;
    size_t end;                   /* of this round */
    int *fd;                      /* of each connection; they stay open from round to round */
    atomic_size_t next, done, gave_up, retries;
};

/* load_keys.c: RSA-2048 keys from a pool of primes, n = p[i] * q[j]: thousands of different keys in seconds.  Good for
 * nothing but load. */
bool load_keys(size_t n, EVP_PKEY **out, struct err *err);

/* load_prepare.c: one CSR, self-signed certificate and pkiMessage for each device; `challenges` has one line for each, or is
 * empty. */
bool load_prepare(struct load *l, char *const *challenges, size_t challenges_n, struct err *err);

/* load_fire.c: each connection takes the next device until `end`.  Transport faults and 503 are retried with the same bytes. */
bool load_fire(struct load *l, size_t end, double *wall_seconds, struct err *err);
void load_fire_close(struct load *l);
double load_now_ms(void);
int load_connect(const struct load *l);
bool load_send(int fd, struct view v);
/* One HTTP response into `body`; its status, or 0 when the connection broke. */
int load_receive(int fd, struct buf *in, struct buf *body);

/* load_verify.c: opens every reply as its device would.  Counts by pkiStatus; `bad` are replies that do not verify, or that
 * have another certificate than an earlier round brought. */
struct load_result {
    size_t issued, pending, failed, bad, none;
    char first_problem[400];
};
void load_verify(struct load *l, struct load_result *out);

/* load_floor.c: the floor of one enrolment, which is the cryptography that no server can do without, by contexts that are kept
 * and with nothing allocated between: RA decrypts, CA signs, RA signs, two verifications and one encryption with the client's
 * key, five SHA-256 of 2 KB, two AES-128-CBC of 1 KB.  Microseconds of CPU. */
struct load_floor;
/* `ca_key`: rsaBITS, p256 or p384; the RA's and the client's are RSA-2048.  `beside_pid`: the floor is timed on the processors
 * on which that process may run; 0: anywhere. */
bool load_floor_new(const char *ca_key, int beside_pid, struct load_floor **out, struct err *err);
void load_floor_free(struct load_floor *f);
/* In a tight loop, when nothing else of ours runs and all caches are warm; takes a third of a second. */
double load_floor_alone(struct load_floor *f);
/* Every few milliseconds by a thread of its own while the server works, so that both feel the same machine: the median;
 * `used_us`, what the thread used in all. */
void load_floor_beside_start(struct load_floor *f);
double load_floor_beside_stop(struct load_floor *f, double *used_us);

/* load_stat.c: sorts; the value below which the share q (0..1) of all lies; -1 when there is none. */
double load_quantile(double *values, size_t n, double q);

/* load_cpu.c: CPU seconds used so far by a process and its children (user and system). */
double load_cpu_seconds(int pid);
/* Seconds that the processors on which a process may run have stood idle. */
double load_idle_seconds(int pid);

/* load_rounds.c: fires all devices in rounds, with the floor timed alone before each and after the last. */
struct load_cost {
    double wall_s;                /* of all rounds, without the pauses between */
    /* medians over the rounds, microseconds an enrolment; only with `pid` */
    double server_us, client_us;
    double floor_us, beside_us;   /* the floor alone, and beside the server */
    double over_floor;            /* of each round: its server_us by the lower floor of before and after */
    double over_beside;
    double busy_s, idle_s;        /* of all rounds: what the server used of its processors, and how long they stood idle */
};
bool load_rounds(struct load *l, size_t rounds, int pid, const char *ca_key, struct load_cost *out, struct err *err);

/* load_gets.c: small requests, each path by a thread and a connection of its own, one every few milliseconds. */
struct load_gets;
bool load_gets_start(const struct load *l, const char *const *path, size_t path_n, struct load_gets **out, struct err *err);
/* One line for each path; frees. */
void load_gets_stop(struct load_gets *g);
