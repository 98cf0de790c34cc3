/* Notices: what webhooks are still to be told.  Written in the transaction of what they tell of, kept until they were taken. */
#pragma once

#include "store/store.h"

#define NOTICE_MAX_BODY (256u << 10)

struct store_notice {
    uint64_t id;           /* running number; set by store_notice_put */
    char target[64];       /* the webhook */
    char event[16];        /* "issued", "refused" */
    char about[64];        /* what stays in order: notices to one target about the same go one after the other */
    uint64_t cert_id;      /* of what was issued; 0: none */
    bool held;             /* the certificate is not handed out before this is taken */
    int64_t created_at, next_at;
    uint32_t tries;
    char failure[128];     /* of the last try; "" */
    struct buf body;       /* owned; JSON */
};
void store_notice_clear(struct store_notice *n);

/* The number is set. */
bool store_notice_put(struct store_write *w, struct store_notice *n, struct err *err);
/* It was taken, or given up; ERR_NOT_FOUND. */
bool store_notice_del(struct store_write *w, const struct store_notice *n, struct err *err);
/* A try failed: tries, next_at and failure of `n` are kept; ERR_NOT_FOUND. */
bool store_notice_failed(struct store_write *w, const struct store_notice *n, struct err *err);
/* Up to `cap` of one target with numbers above `after`, those that wait longest first; without their bodies. */
bool store_notices(struct store *s, const char *target, uint64_t after, struct store_notice *out, size_t cap, size_t *n,
                   struct err *err);
/* One of them with its body, as it is now; owned then.  ERR_NOT_FOUND. */
bool store_notice_body(struct store *s, struct store_notice *n, struct err *err);
/* The first target, by name, after `after` ("": the first of all) that has some; "": none. */
bool store_notice_target(struct store *s, const char *after, char out[64], struct err *err);
/* Is the certificate not to be handed out yet? */
bool store_notice_holds(struct store *s, uint64_t cert_id, bool *held, struct err *err);
bool store_notice_count(struct store *s, uint64_t *out, struct err *err);
/* Of certificates that are not handed out yet, whomever their notices are for. */
bool store_notice_held(struct store *s, uint64_t *out, struct err *err);
