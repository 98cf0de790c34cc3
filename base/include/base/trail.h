/* The path of one request through its checks, in the order in which they were made: what was looked at, the values
 * compared, and where it stopped.  Bounded, so that no request can make it long; values are short texts for people
 * and never hold a secret. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* X(name, number, text).  The numbers stand in stores: never changed or used again.  The order is that of the path. */
#define CHECK_LIST(X)                                                        \
    X(HTTP, 1, "HTTP request")                                               \
    X(MESSAGE, 2, "message")                                                 \
    X(OPEN, 3, "decryption and content")                                     \
    X(TRANSACTION, 4, "transaction")                                         \
    X(SIGNER, 5, "signer")                                                   \
    X(RENEWAL, 6, "renewal")                                                 \
    X(TEMPLATE, 7, "template")                                               \
    X(KEY, 8, "key")                                                         \
    X(CHALLENGE, 9, "challenge")                                             \
    X(APPROVAL, 10, "approval")                                              \
    X(LOOKUP, 11, "lookup")                                                  \
    X(SIGNING, 12, "signing")                                                \
    X(STORING, 13, "storing")                                                 \
    X(DUPLICATE, 14, "other certificates of the subject") /* before APPROVAL */ \
    X(ASSIGNMENT, 15, "device and policy")                   /* before DUPLICATE */ \
    X(WEBHOOK, 16, "validation elsewhere")               /* before APPROVAL */ \
    X(UPSTREAM, 17, "server behind the endpoint")                            \
    X(REPEAT, 18, "repeated request")                    /* behind SIGNER, of a known transaction */

enum check {
    CHECK_NONE = 0,
#define CHECK_ENUM(name, number, text) CHECK_##name = number,
    CHECK_LIST(CHECK_ENUM)
#undef CHECK_ENUM
    CHECK_END
};

enum trail_state {
    TRAIL_BEGUN = 0,  /* no verdict: an answer was found without going on */
    TRAIL_PASSED = 1,
    TRAIL_STOPPED = 2,
    TRAIL_PASSED_OVER = 3, /* did not hold, and another way was taken */
};

#define TRAIL_STEPS 16
#define TRAIL_TEXT 128

struct trail_step {
    enum check check;
    enum trail_state state;
    char text[TRAIL_TEXT]; /* cut if longer */
};

struct trail {
    struct trail_step step[TRAIL_STEPS];
    size_t n; /* more are dropped */
};

/* All take NULL, and do nothing then. */

/* A check begins; the one before it, if it has no verdict, passed without words. */
void trail_begin(struct trail *t, enum check check);
/* The check that began last passed. */
void trail_pass(struct trail *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* It did not hold, and the request goes another way. */
void trail_pass_over(struct trail *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* It stopped the request. */
void trail_stop(struct trail *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Adds the steps of `more` behind those of `t`. */
void trail_append(struct trail *t, const struct trail *more);
/* "challenge"; "?" for a number that this version does not know. */
const char *check_text(enum check check);
