/* The only way to the private keys: sign a device's certificate, sign a CRL, sign CMS attributes, decrypt a
 * content key.  The daemon's signer is a process of its own, forked before threads, LMDB and sockets
 * exist, that loads the keys itself and checks what it signs; tools and tests run the same code in
 * their own process.  Both look the same from outside. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "ca/confine.h"
#include "pkcs7/ext.h"
#include "pkcs7/scep.h"

#define SIGNER_MAX_KEYS 64

enum signer_use { /* bits: what a key may be used for */
    SIGNER_CERTIFICATES = 1u << 0,
    SIGNER_CRLS = 1u << 1,
    SIGNER_MESSAGES = 1u << 2,
    SIGNER_DECRYPT = 1u << 3,
    SIGNER_OCSP = 1u << 4,        /* alone: a key that answers by OCSP does nothing else */
};

/* One key: where it is, what it may do, and the limits of what it signs. */
struct signer_key_spec {
    char path[512], passphrase_file[512];
    struct view cert;             /* DER of its certificate; borrowed until signer_start/_local returns */
    unsigned uses;                /* enum signer_use bits */
    /* SIGNER_CERTIFICATES: nothing outside these is ever signed for a device */
    uint32_t key_usage;           /* union of the templates' bits */
    struct eku eku;               /* union of the templates' purposes */
    struct eku extensions;        /* union of what they pass on: template_passes */
    int64_t max_validity;         /* seconds */
};

/* When the next certificate would be due, in monotonic microseconds, if they were spread evenly over time: what
 * certificates_per_minute is held against. */
struct signer_rate {
    _Atomic int64_t due;
};

struct signer_spec {
    struct signer_key_spec key[SIGNER_MAX_KEYS];
    size_t n;
    /* of the process that signer_start forks */
    enum confine_mode confinement;
    int certificates_per_minute;   /* above it ERR_BUSY; 0: any number */
    struct signer_rate *rate;      /* borrowed, in shared memory: of several signers one after another; NULL: its own */
    uint8_t (*banned)[32];         /* SHA-256 of each SubjectPublicKeyInfo that gets no certificate; sorted, borrowed */
    size_t banned_n;
};

#define SIGNER_DIGEST 32
/* SHA-256 over everything in it but how the process is confined: equal ones are the same keys, in the same places, with
 * the same limits.  Whoever adds a field adds it there. */
bool signer_spec_digest(const struct signer_spec *spec, uint8_t out[SIGNER_DIGEST], struct err *err);

struct signer; /* a connection: used by one thread at a time */

enum signer_op { SIGNER_OP_CERTIFICATE = 1, SIGNER_OP_CRL, SIGNER_OP_ATTRIBUTES, SIGNER_OP_DECRYPT, SIGNER_OP_OCSP };

/* Called after each operation, on the thread that asked for it: for counting.  NULL ends it. */
typedef void (*signer_observer)(void *ctx, enum signer_op op, unsigned key, enum err_kind result, int64_t ns);
void signer_observe(struct signer *s, signer_observer observer, void *ctx);

/* In this process. */
bool signer_local(const struct signer_spec *spec, struct signer **out, struct err *err);

/* The child process.  signer_start forks, waits until the keys are loaded (or fails with the child's
 * reason), and returns `lanes` connections.  Call before any thread exists.  Keys and passphrases never
 * enter this process. */
#define SIGNER_MAX_LANES 320
struct signer_process;
bool signer_start(const struct signer_spec *spec, unsigned lanes, const struct log *log,
                  struct signer_process **out, struct err *err);
struct signer *signer_lane(struct signer_process *p, unsigned lane); /* borrowed */
int signer_pid(const struct signer_process *p);
/* Closes the lanes; the child ends by itself; waits for it (bounded) if it is a child of this process. */
void signer_stop(struct signer_process *p);

/* Who forks a signer may be another process than the one that uses it.  signer_release gives the lanes' descriptors
 * (to be closed) into `fd`, which has room for all, and frees `p`; waiting for the child is the caller's affair.
 * signer_adopt makes of them what signer_start would have returned; it takes the descriptors, also when it fails. */
int signer_release(struct signer_process *p, int *fd);
bool signer_adopt(int pid, const int *fd, unsigned lanes, struct signer_process **out, struct err *err);

void signer_free(struct signer *s); /* signer_local's only; NULL allowed */

/* `tbs` is a whole TBSCertificate.  The signer lints it (ca/lint.h) under the key's limits before it signs,
 * and verifies its own signature after.  ERR_REFUSED with a reason, or ERR_SIGNER when out of reach. */
bool signer_sign_certificate(struct signer *s, unsigned key, struct view tbs, struct buf *signature, struct err *err);
/* A memory file that is sealed against writing, growing and shrinking; what is to be signed begins at `offset` and goes to
 * its end. */
struct signer_file {
    int fd;
    uint32_t offset;
};
/* `tbs` is a whole TBSCertList of any size.  A signer process gets it as a memory file: `file`, which holds just that, or,
 * with NULL, one that is made here. */
bool signer_sign_crl(struct signer *s, unsigned key, struct view tbs, const struct signer_file *file,
                     struct buf *signature, struct err *err);
#define SIGNER_MAX_BATCH 16
/* `n` (1 to SIGNER_MAX_BATCH) ResponseData of OCSP (pkcs7/ocsp.h), together at most OCSP_MAX_DATA octets, in one packet;
 * all in the name of this key's certificate, whose end none of them outlives.  All are signed, each `signature` cleared
 * and filled, or none is: ERR_SIGNER. */
bool signer_sign_ocsp(struct signer *s, unsigned key, const struct view *data, size_t n, struct buf *signature,
                      struct err *err);
/* The signed attributes of a CMS SignerInfo as SET OF. */
bool signer_sign_attributes(struct signer *s, unsigned key, enum digest digest, struct view attributes,
                            struct buf *signature, struct err *err);
/* See struct scep_keys: decrypt.  Never tells a wrong padding from a right one. */
bool signer_decrypt(struct signer *s, unsigned key, struct key_wrap wrap, struct view encrypted,
                    uint8_t *content_key, size_t key_len, struct err *err);
