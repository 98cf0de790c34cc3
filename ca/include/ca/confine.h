/* What a process of the daemon gives up for good once it has what it needs: system calls (seccomp), files, TCP and the
 * sockets and signals of others (Landlock).  Whoever takes it over afterwards has no more than this.  What a kernel
 * lacks is told, and the rest is done all the same unless `required`.
 *
 * Landlock holds for the calling thread and those that it makes: call confine_files while there is one.  confine_calls
 * holds for all threads. */
#pragma once

#include "base/err.h"
#include "base/log.h"

enum confine_mode { CONFINE_AUTO, CONFINE_OFF, CONFINE_REQUIRED };

enum confine_role {
    CONFINE_SIGNER, /* receives, signs, answers; maps sealed memory files; every other call is its end */
    CONFINE_KEEPER, /* reads files, forks signers; no program, no network */
    CONFINE_OUTSIDER, /* forks what asks servers elsewhere; no program, no socket that listens */
    CONFINE_OUTSIDE,  /* connects to servers elsewhere; no process, no program, no socket that listens */
    CONFINE_FRONT,  /* serves connections of sockets that listen already; no process, no program, no new socket but AF_UNIX */
};

enum confine_access {
    CONFINE_READ,   /* files and lists of directories */
    CONFINE_WRITE,  /* and makes, writes, renames, removes them */
};

#define CONFINE_MAX_PATHS 512
struct confine_path {
    char path[512]; /* a directory with all beneath it, or a file: the one that is there now */
    enum confine_access access;
};
struct confine_paths {
    bool connects;   /* TCP connections to elsewhere stay possible */
    bool any_socket; /* also AF_UNIX sockets without a path, which Landlock denies otherwise (Linux 6.12) */
    size_t n;
    struct confine_path at[CONFINE_MAX_PATHS];
};
/* What is not there is passed over later; false when there are too many. */
bool confine_add(struct confine_paths *p, enum confine_access access, const char *path, struct err *err);

/* Bits: what could not be had. */
enum confine_lack {
    CONFINE_LACKS_CALLS = 1u << 0, /* seccomp (Linux 4.14) */
    CONFINE_LACKS_FILES = 1u << 1, /* Landlock (Linux 5.13) */
};
#define CONFINE_LACKS_TEXT 64
/* "seccomp, Landlock (Linux 5.13)"; "" for none. */
const char *confine_lacks_text(unsigned lacks, char out[CONFINE_LACKS_TEXT]);

/* All but these paths is out of reach from now on, and so are TCP ports where Landlock knows them (Linux 6.7).  *lacks gets bits.  ERR_IO: the kernel could,
 * but did not. */
bool confine_files(const struct confine_paths *paths, unsigned *lacks, struct err *err);
/* `also`: what CONFINE_SIGNER may write to beside standard error, a descriptor; whom CONFINE_FRONT may send signals to
 * beside itself, a process; 0 for none. */
bool confine_calls(enum confine_role role, int also, unsigned *lacks, struct err *err);
/* Is this a build with a sanitizer, whose runtime is let do more? */
bool confine_relaxed(void);
/* Says what the lack means under `mode`: a warning in the log, or ERR_CONFIG when all of it is required.  `who`: "the
 * signer process". */
bool confine_settle(enum confine_mode mode, unsigned lacks, const char *who, const struct log *log, struct err *err);
