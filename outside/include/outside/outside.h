/* Asks servers elsewhere: webhooks, Intune, upstream authorities.  Only what the configuration names can be asked, by its
 * name; URLs, secrets, TLS and the network are the affair of whoever answers: a process of its own beside the daemon
 * (outside/outside_child.h), whose main process can connect to nothing, or a thread of scepctl.  Both are the same code.
 *
 * TLS certificates are always verified, redirects are not followed, proxies of the environment are not used, answers are
 * limited.  A target that fails again and again is left alone for a while: what is asked of it fails at once then. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "config/config.h"

/* Octets of an answer; one that is longer is OUTSIDE_TOO_LARGE. */
#define OUTSIDE_MAX_ANSWER (256u << 10)          /* of a webhook, of Intune */
#define OUTSIDE_MAX_QUEUE_ANSWER (768u << 10)    /* of Intune's queue; what is said of it has room in OUTSIDE_MAX_BODY */
#define OUTSIDE_MAX_UPSTREAM_ANSWER (4u << 20)   /* of an upstream: there may be a CRL in it */
#define OUTSIDE_MAX_HEAD (64u << 10)             /* of what stands around its body: interim answers, headers, trailers */
/* Octets that may be sent. */
#define OUTSIDE_MAX_BODY (1u << 20)
#define OUTSIDE_MAX_SUFFIX (128u << 10)          /* a whole message may stand in the query of a GET */
/* Asked and not answered yet, by one process; and of one target. */
#define OUTSIDE_MAX_IN_FLIGHT 1024
#define OUTSIDE_MAX_OF_TARGET 64

enum outside_kind {
    OUTSIDE_WEBHOOK,        /* of `webhooks`, kinds validate and notify: signed with its secret */
    OUTSIDE_INTUNE,         /* of `webhooks`, kind intune; `suffix` is "ScepActions/validateRequest" and so on */
    OUTSIDE_INTUNE_QUEUE,   /* the same with `revocations`: Intune's other service (revocations.h), which has a token, an address and
                               failures of its own */
    OUTSIDE_UPSTREAM,       /* of `upstreams`: its url */
    OUTSIDE_UPSTREAM_ADMIN, /* of `upstreams`: its admin_url, with user and password */
};

struct outside_ask { /* everything is borrowed for the call of outside_call only */
    enum outside_kind kind;
    const char *name;         /* of the webhook or upstream */
    bool post;                /* else GET, without a body */
    const char *suffix;       /* what stands behind the URL, "?operation=GetCACaps"; NULL: nothing.  Printable ASCII */
    const char *content_type; /* of `body`; NULL: application/json */
    struct view body;
    bool repeatable;          /* harmless when it arrives twice: it is asked again when it failed on its way (5xx, 429, no
                                 connection), as often as the target's `retries` says and its time allows */
};

enum outside_result {
    OUTSIDE_ANSWERED,    /* with whatever HTTP status */
    OUTSIDE_UNREACHABLE, /* no connection, no name, TLS failed, broken off */
    OUTSIDE_TIMEOUT,
    OUTSIDE_AWAY,        /* not asked: it has failed again and again just now */
    OUTSIDE_BUSY,        /* not asked: too much is under way */
    OUTSIDE_TOO_LARGE,   /* the answer */
    OUTSIDE_FORBIDDEN,   /* not asked: the configuration has no such target, or the question is malformed */
    OUTSIDE_LOST,        /* the process that was to ask has ended; whether it had asked is not known */
};
/* "answered", "unreachable" ...: for metrics and log lines. */
const char *outside_result_name(enum outside_result r);

struct outside_answer {
    enum outside_result result;
    int status;               /* HTTP; 0 when there was none */
    char content_type[128];   /* "" when there was none */
    struct buf body;
    char text[256];           /* why there is no answer; printable, names no secret */
    unsigned retry_after;     /* seconds, of the header; 0: none */
    double seconds;           /* how long it took */
};
void outside_answer_clear(struct outside_answer *a);

struct outside;
/* Called exactly once for each outside_call that returned true, on a thread of the room's own: it must not block, and may
 * call outside_call.  `a` is cleared afterwards; the body may be taken out of it. */
typedef void (*outside_done)(void *ctx, struct outside_answer *a);

/* Any thread; returns at once.  False, and `done` is never called: out of memory, or the room is being left (ERR_BUSY);
 * a question that is too long (ERR_CONFIG).  Everything else that goes wrong is an answer. */
bool outside_call(struct outside *o, const struct outside_ask *q, outside_done done, void *ctx, struct err *err);
/* Waits for the answer; never on a loop thread.  False as outside_call. */
bool outside_wait(struct outside *o, const struct outside_ask *q, struct outside_answer *out, struct err *err);

struct outside_options {
    /* Gives a connected stream socket to whoever answers; asked for at the start and whenever the last one has broken.
     * On a thread of the room's own, which waits.  False: it is tried again a little later. */
    bool (*connect)(void *ctx, int *socket, struct err *err);
    /* Each answer is told; any thread.  NULL: nobody listens. */
    void (*watch)(void *ctx, enum outside_kind kind, const char *name, const struct outside_answer *a);
    void *ctx;
    const struct log *log; /* borrowed, may be NULL */
};
/* Starts one thread. */
bool outside_new(const struct outside_options *o, struct outside **out, struct err *err);
/* In this process, by a second thread: for scepctl and tests.  `c` is borrowed for the call. */
bool outside_new_local(const struct config *c, const struct log *log, struct outside **out, struct err *err);
/* What is under way is answered with OUTSIDE_LOST soon, and outside_call says ERR_BUSY from now on. */
void outside_stop(struct outside *o);
/* The same, and waits for it.  NULL allowed. */
void outside_free(struct outside *o);
/* The next questions go to whoever `connect` gives now (a reload); those under way are answered by who was asked. */
void outside_reconnect(struct outside *o);
