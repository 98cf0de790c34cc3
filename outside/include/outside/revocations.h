/* Intune's queue of certificates that are to be revoked: what is asked and said, and how its answers are read; bytes to bytes, no
 * network.  Both questions are those of OUTSIDE_INTUNE_QUEUE. */
#pragma once

#include "outside/outside.h"
#include "store/store.h"

#define INTUNE_QUEUE_FETCH "CertificateAuthorityRequests/downloadRevocationRequests"
#define INTUNE_QUEUE_REPORT "CertificateAuthorityRequests/uploadRevocationResults"
/* Certificates that Intune gives out at a time, at most. */
#define INTUNE_QUEUE_MAX 500
/* Octets: 20 are allowed to those who make them (RFC 5280 section 4.1.2.2), and as many as the store has room for were made. */
#define INTUNE_SERIAL_MAX STORE_SERIAL_MAX

/* Numbers of Microsoft's, with which a certificate that was not revoked is answered. */
enum intune_code {
    INTUNE_CODE_NONE = 0,
    INTUNE_CODE_INVALID = 4002,   /* what it asks for is none of its kind */
    INTUNE_CODE_NOT_FOUND = 4004,
};

struct intune_revocation {
    char *context;                     /* owned; by which Intune knows it again */
    uint8_t serial[INTUNE_SERIAL_MAX]; /* INTEGER content octets, minimal */
    size_t serial_len;                 /* 0: it names none */
    char issuer[512];                  /* as Intune says it; "": it names none */
    bool answered;                     /* it is reported */
    enum intune_code code;             /* NONE: it is revoked */
    char text[128];                    /* why not; UTF-8 */
};

struct intune_revocations {
    struct intune_revocation *item; /* owned */
    size_t n;
    size_t given;                   /* by Intune; more than `n` when some were double, or cannot be reported */
};
void intune_revocations_clear(struct intune_revocations *r);

/* At most `most` of the whole tenant, not only of one issuer: what Intune compares an issuerName with is not what it says it
 * does.  ERR_MEMORY. */
bool intune_queue_fetch_json(size_t most, struct buf *out, struct err *err);
/* ERR_IO: no answer, or none that can be read; `err` says what came. */
bool intune_queue_read(const struct outside_answer *a, size_t most, struct intune_revocations *out, struct err *err);
/* Of those that are answered.  ERR_MEMORY. */
bool intune_queue_report_json(const struct intune_revocations *r, struct buf *out, struct err *err);
/* ERR_IO: the report was not taken. */
bool intune_queue_taken(const struct outside_answer *a, struct err *err);
