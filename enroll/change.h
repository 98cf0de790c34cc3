/* A change between its decision and its commit.  Owns everything: the message may be gone by then. */
#pragma once

#include "decision.h"

struct enroll_change {
    struct enroll_private *p;          /* owned */
    bool dirty;                        /* apply wrote something before it failed: the write must not be kept */
    int64_t now;
    char endpoint[64], transaction[260], peer[64];
    char challenge[32], request[32];
    struct store_cert cert;            /* CHANGE_ISSUE */
    struct store_tx tx;                /* CHANGE_ISSUE, CHANGE_PEND */
    struct store_request waiting;      /* CHANGE_PEND */
    struct store_audit audit;
    struct store_attempt *attempt;     /* owned; NULL: none is recorded */
    struct store_notice notice[ENROLL_MAX_NOTICES]; /* owned */
    size_t notice_n;
};
