/* The life of an authority: RAs are renewed, the next CA is made, announced and activated, what has ended is put away
 * (docs/ROLLOVER.md).  Everything here needs the private keys: scepd's keeper process calls it, and scepctl.
 *
 * A change is made whole or not at all: new files first, durable, then the manifest that names them replaces the old one.
 * Callers in other processes wait for each other. */
#pragma once

#include <openssl/evp.h>

#include "ca/family.h"

struct tend_rules { /* durations in seconds */
    bool ra_automatic, ca_automatic;
    int64_t ra_validity;
    int64_t ra_renew_before; /* the RA's end; 0: a third of its life */
    int64_t ca_announce;     /* a next CA is made this long before it takes over */
    int64_t ca_before;       /* it takes over this long before the end of the current one; 0: `longest` and a day */
    int64_t ca_validity;     /* of the next; 0: as the current one's */
    int64_t longest;         /* validity that templates give at most */
    const char *ocsp_key;    /* "p256" or "rsa2048": of OCSP responders; NULL: none are made */
    int64_t ocsp_validity;   /* of their certificates; renewed at half of it */
    const char *root_key;    /* of the issuer above, where it is at hand; NULL or "": it is not */
    bool clock_doubted;      /* tend_plan_automatic leaves out what cannot be taken back */
};

enum tend_what { TEND_NOTHING, TEND_RETIRE, TEND_RENEW_RA, TEND_ACTIVATE, TEND_MAKE_NEXT, TEND_RENEW_OCSP };

struct tend_step {
    enum tend_what what;
    unsigned generation;     /* RETIRE, RENEW_RA, ACTIVATE, RENEW_OCSP */
    enum ra_shape shape;     /* RENEW_RA */
    int64_t at;              /* Unix seconds; due when it is not later than now */
    bool by_hand;            /* somebody has to do it: the rules or a missing key say so */
};
/* What comes first of what will have to be done; of several that are due, the one that was due first.  TEND_NOTHING (at =
 * INT64_MAX): nothing in sight. */
void tend_plan(const struct family *f, const struct tend_rules *r, int64_t now, struct tend_step *out);
/* The same among what needs nobody: a daemon does it.  OCSP responders are here only, since they change so often that
 * nobody would see anything else; they come after everything else that is due. */
void tend_plan_automatic(const struct family *f, const struct tend_rules *r, int64_t now, struct tend_step *out);
/* RAs and responders come and go beside others; what becomes of a CA or of a key stays so, also when the clock was wrong. */
bool tend_can_be_taken_back(enum tend_what what);

/* When a CA made now, or on its day, would take over from the current one. */
int64_t tend_activation(const struct family *f, const struct tend_rules *r, int64_t now);
/* Is there a span in which certificates are shorter than their template says, since the next CA takes over too late for
 * them?  Gives the seconds that are missing, 0 if none. */
int64_t tend_missing(const struct family *f, const struct tend_rules *r);

struct tend {
    const struct family_files *files;
    const struct tend_rules *rules;
    const char *actor;       /* for the audit log: "scepd", or a person */
    int64_t now;
};

/* Each replaces the manifest once.  ERR_CONFLICT: the authority is not in a state for this; ERR_CONFIG and ERR_IO name the
 * file that is at fault. */
bool tend_do(const struct tend *t, const struct tend_step *step, struct err *err);

struct tend_next {
    const char *key_kind;    /* "rsa2048" ...; NULL: as the current CA's */
    const char *name;        /* common name; NULL: the current one with its number, "X G2" */
    int64_t validity;        /* seconds; 0: by the rules */
    int64_t activate_at;     /* 0: by the rules; TEND_BY_HAND */
    const char *root_key;    /* NULL: by the rules */
};
#define TEND_BY_HAND (-1)
bool tend_make_next(const struct tend *t, const struct tend_next *wish, struct err *err);
/* A next CA whose certificate comes from elsewhere: its key, its certificate and the issuers above, nearest first. */
bool tend_take_next(const struct tend *t, EVP_PKEY *key, const struct cert *cert, const struct cert *const *chain,
                    size_t chain_n, int64_t activate_at, struct err *err);
/* The request for it: makes its key and a CSR (PEM, owned), which wait in the directory; asked again, the same.  Of `wish`
 * key_kind and name count. */
bool tend_request_next(const struct tend *t, const struct tend_next *wish, struct buf *pem, struct err *err);
/* The key of that request, owned; ERR_NOT_FOUND: none was made.  Forgotten once tend_take_next has it. */
bool tend_request_key(const struct tend *t, EVP_PKEY **out, struct err *err);
void tend_request_forget(const struct tend *t);
/* An RA of the current CA from before it moved in: single (`signing` does both), or a pair.  All borrowed.  Devices that
 * know it are still understood, and answered by it; the RA that ends last is the one that is handed out. */
struct tend_ra {
    enum ra_shape shape;
    EVP_PKEY *signing_key, *encryption_key;
    const struct cert *signing, *encryption;
};
/* ERR_EXISTS: it is there already. */
bool tend_take_ra(const struct tend *t, const struct tend_ra *ra, struct err *err);
/* Now, whatever was planned. */
bool tend_activate(const struct tend *t, struct err *err);
/* Forgets the next CA.  Whoever calls makes sure that it has issued nothing. */
bool tend_abort(const struct tend *t, struct err *err);

/* What was done and is not in the audit log yet: hands each to `record`, then forgets them; what `record` refuses (false)
 * stays, with all after it.  An entry may come twice when the process is killed between both. */
struct tend_event {
    const char *event;       /* "ra.renewed", "ocsp.renewed", "ca.next", "ca.activated", "ca.retired", "ra.retired", "ca.aborted" */
    const char *actor, *text;
    int64_t at;
};
bool tend_record(const struct family_files *f, bool (*record)(void *ctx, const struct tend_event *e, struct err *err),
                 void *ctx, struct err *err);
