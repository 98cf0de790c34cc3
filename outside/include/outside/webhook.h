/* What is said to webhooks and to Intune, and how their answers are read: bytes to bytes, no network. */
#pragma once

#include "outside/outside.h"

/* Everything is borrowed; NULL or empty: left out, or null where docs/WEBHOOKS.md says so. */
struct webhook_facts {
    const char *event;         /* "validate", "issued", "revoked", "refused", "test" ... */
    const char *id;            /* the same whenever the same is sent again */
    int64_t at;                /* Unix seconds */
    const char *endpoint, *authority, *template_name, *transaction;
    const char *subject, *san, *key;
    struct view csr;           /* DER */
    struct view challenge;     /* UTF-8; n 0: not passed on, or there is none */
    const char *device, *policy, *peer, *agent;
    bool renewal;
    /* issued */
    const char *serial;        /* hex */
    struct view certificate;   /* DER */
    const char *sha256;        /* hex, where the certificate itself is left out */
    int64_t not_before, not_after;
    const char *issuer;        /* of the certificate, as text */
    const char *challenge_id, *request;
    /* revoked, held, released */
    const char *revocation;    /* why, as RFC 5280 section 5.3.1 names it */
    /* refused */
    const char *reason, *detail;
    uint32_t hresult;
};

/* JSON, appended.  ERR_MEMORY. */
bool webhook_json(const struct webhook_facts *f, struct buf *out, struct err *err);

enum webhook_said {
    WEBHOOK_ALLOWED,
    WEBHOOK_DENIED,   /* `text`: why, in the other side's words, cut and printable */
    WEBHOOK_NOTHING,  /* no answer, or none that can be read: `text` says what came instead */
};
enum webhook_said webhook_read(const struct outside_answer *a, char text[256]);
/* Was a notice taken (any 2xx)?  `text`: else why not. */
bool webhook_taken(const struct outside_answer *a, char text[256]);

/* ---- Microsoft Intune ---- */

#define INTUNE_VALIDATE "ScepActions/validateRequest"
#define INTUNE_SUCCESS "ScepActions/successNotification"
#define INTUNE_FAILURE "ScepActions/failureNotification"

bool intune_validate_json(const struct webhook_facts *f, struct buf *out, struct err *err);
bool intune_success_json(const struct webhook_facts *f, struct buf *out, struct err *err);
bool intune_failure_json(const struct webhook_facts *f, struct buf *out, struct err *err);
/* As webhook_read; a code that is not "Success" is a denial, with that code in `text`. */
enum webhook_said intune_read(const struct outside_answer *a, char text[256]);
