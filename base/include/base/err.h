/* What went wrong, filled in once by whoever knows.
 *
 * Fallible functions return bool (true: done) and take a `struct err *` as their last
 * parameter, never NULL, untouched on success.  Two kinds of news travel in it: faults of
 * ours (kind other than ERR_REFUSED; the text is for the log and never reaches the wire) and
 * refusals of what somebody asked for (ERR_REFUSED with a reason from the one list). */
#pragma once

#include <stdbool.h>

#include "base/reason.h"

enum err_kind {
    ERR_NONE = 0,
    ERR_REFUSED,   /* the input or the request is at fault; `reason` says why */
    ERR_MEMORY,    /* out of memory */
    ERR_IO,        /* file, socket */
    ERR_STORE,     /* the store failed */
    ERR_FULL,      /* disk or map full: the same request may succeed later */
    ERR_CRYPTO,    /* the cryptographic library failed */
    ERR_SIGNER,    /* the signer cannot be reached, or refused */
    ERR_NOT_FOUND, /* no such record */
    ERR_EXISTS,    /* there is one already */
    ERR_CONFLICT,  /* changed meanwhile: decide anew */
    ERR_BUSY,      /* too much work: later */
    ERR_CONFIG,    /* configuration or usage */
    ERR_DAMAGED,   /* what a file of the store holds makes no sense any more: a backup helps */
    ERR_GONE,      /* the store that is open is not the one at its path any more */
};

struct err {
    enum err_kind kind;
    enum reason reason; /* with ERR_REFUSED, else REASON_NONE */
    char text[320];     /* one sentence, no newline, cut if too long */
};

/* All return false, so that `return err_set(...)` reads well. */
bool err_set(struct err *e, enum err_kind kind, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
bool err_refuse(struct err *e, enum reason reason, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
bool err_memory(struct err *e);
/* errno's text appended. */
bool err_errno(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Puts "context: " before the text. */
bool err_prefix(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void err_clear(struct err *e);
const char *err_kind_name(enum err_kind kind);
