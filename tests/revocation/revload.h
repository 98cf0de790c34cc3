/* Revocations at a rate beside OCSP requests as fast as they go, in one process, so that it is known of every answer what had
 * been acknowledged before it was asked for. */
#pragma once

#include <stdatomic.h>

#include <openssl/ocsp.h>

#include "../bench/load.h"
#include "store/store.h"

struct rev_device {
    uint64_t id; /* in the store */
    uint8_t serial[STORE_SERIAL_MAX];
    size_t serial_len;
    OCSP_CERTID *asked; /* owned */
    struct buf get;     /* owned: the whole GET without nonce */
    /* Written by the revoker alone.  Odd while a change is on its way, when either answer is right. */
    atomic_uint version;
    atomic_bool revoked;        /* what was acknowledged last; a hold counts */
    _Atomic double acknowledged; /* load_now_ms() then */
};

struct rev {
    struct load load; /* where the server is */
    struct store *store;
    X509 *ca;
    uint8_t authority[20]; /* its key identifier */
    struct rev_device *device;
    size_t n;
    size_t flips;      /* the first so many are held and released by turns, the others revoked for good */
    size_t revocations; /* of those others, until the end */
    double rate;       /* changes a second */
    bool single;       /* each change in a transaction of its own, as scepctl does it */
    unsigned nonce_every; /* every so manieth request has a nonce and goes by POST; 0: none */
    atomic_bool stop;
};

struct rev_asked {
    size_t answers, good, revoked, later; /* later: tryLater */
    size_t with_nonce, verified;
    size_t stale;          /* said good what had been acknowledged as revoked before the question, or the reverse */
    double stale_ms;       /* the longest that such an acknowledgement lay back */
    size_t wrong, failures; /* answers that do not verify or are not to the question; requests without an answer */
    char first_problem[256];
};

/* revload_ask.c: one connection; asks for devices at random until rev->stop. */
/* Fills what is asked of a device. */
bool rev_device_prepare(const struct rev *r, struct rev_device *d, struct err *err);
void rev_ask_until_stop(const struct rev *r, unsigned seed, struct rev_asked *out);
/* Every device once more, now that nothing changes. */
void rev_ask_all(const struct rev *r, struct rev_asked *out);
