/* `scepctl probe URL`: what a SCEP server supports, how it departs from RFC 8894, and who will stumble over it.  Works on
 * any server, without configuration or store.  Nothing is issued without --enrol: what is sent before cannot be granted.
 *
 * The server is not trusted: answers are bounded in size and time, redirections are not followed, and everything is read
 * by pkcs7/, which is fuzzed. */
#pragma once

#include <openssl/provider.h>

#include "pkcs7/inspect.h"
#include "client/client.h"
#include "scepctl/ctl.h"
#include "probe_checks.h"

#define PROBE_MAX_ANSWER (1u << 20) /* octets of one answer */
#define PROBE_MAX_REQUESTS 150      /* of one run */
#define PROBE_VALUE 400             /* characters that tell what was seen */

enum probe_status { PROBE_OK, PROBE_WARN, PROBE_FAIL, PROBE_SKIP };

struct probe_info { /* one row of PROBE_CHECKS */
    const char *id, *title, *reference, *fix;
    unsigned clients;
};
const struct probe_info *probe_info(enum probe_check c);
const char *probe_client_name(enum probe_client c);

struct probe_finding {
    bool known;                 /* false: the check has not run */
    enum probe_status status;
    unsigned clients;           /* WARN: who stumbles, FAIL: who cannot work */
    char value[PROBE_VALUE];
};

/* ---- HTTP (probe_http.c) ---- */

struct probe_request {
    const char *method;         /* NULL: GET, or POST when there is a body */
    const char *path;           /* instead of the URL's own; NULL */
    const char *suffix;         /* behind the URL's path; NULL */
    const char *query;          /* as it stands; NULL */
    const struct view *body;
    const char *type;           /* Content-Type; NULL: application/x-pki-message, "": none */
    bool http10;                /* and no Host */
    bool own_connection;
    bool tls12;                 /* at most TLS 1.2 */
};

struct probe_answer {
    long status;
    char type[128], server[96], cache[128], location[200], ip[64];
    bool has_type;
    long port;
    int64_t date;               /* 0: none */
    double ms;
    bool new_connection;
    struct buf body;            /* owned */
};
void probe_answer_clear(struct probe_answer *a);

struct probe_options {
    const char *url;
    const char *ca_identifier;  /* NULL */
    int timeout;                /* seconds of one request */
    int64_t total;              /* seconds of all */
    const char *subject;        /* --enrol; NULL: nothing is asked for */
    const char *san;            /* NULL */
    struct view challenge;      /* empty: none */
};

struct probe {
    const struct ctl *ctl;
    const struct probe_options *o;
    struct probe_finding finding[PROBE_COUNT];
    /* HTTP */
    struct probe_http *http;
    unsigned requests;
    /* what the server handed out */
    struct client_caps caps;
    bool has_caps;
    struct client_ca ca;
    bool has_ca;
    struct cert *cert[SCEP_MAX_CERTS]; /* of GetCACert, in its order; owned */
    size_t cert_n;
    bool next_announced;
    struct cert *next;          /* the next CA; NULL: none that can be read */
    /* how messages are made */
    struct client_identity who;
    bool has_who;
    OSSL_PROVIDER *legacy;      /* DES, to see that it is refused; NULL: cannot be tried */
    struct cert *issued;        /* --enrol: the newest */
    char serials[200];          /* of all that were issued, blank separated */
};

bool probe_http_new(const struct probe_options *o, struct probe_http **out, struct err *err);
void probe_http_free(struct probe_http *h);
/* One exchange; false when no answer came at all.  `out` is the caller's to clear either way. */
bool probe_send(struct probe *p, const struct probe_request *r, struct probe_answer *out, struct err *err);
/* The last transport failure was the server's TLS certificate; goes on without checking it from now on. */
bool probe_http_distrusts(struct probe_http *h);
/* The present, by our clock: what ctl->now says, and what has passed since. */
int64_t probe_now(const struct probe *p);
bool probe_http_is_tls(const struct probe_http *h);
/* Percent-escaped, owned. */
bool probe_escape(struct view text, struct buf *out);

/* ---- findings (probe.c) ---- */

/* A check is told once or several times: the worst wins, equals are joined.  `clients` 0: those of the table. */
void probe_ok(struct probe *p, enum probe_check c, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void probe_skip(struct probe *p, enum probe_check c, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void probe_warn(struct probe *p, enum probe_check c, unsigned clients, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void probe_fail(struct probe *p, enum probe_check c, unsigned clients, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
#define NOBODY (1u << 31) /* `clients`: a departure that no known client minds */

/* Runs everything; CTL_UNAVAILABLE when nothing answers, CTL_FAILED when we ourselves fail, else CTL_DONE. */
enum ctl_exit probe_run(struct probe *p, struct err *err);
void probe_clear(struct probe *p);

/* ---- the groups of checks ---- */

/* GetCACaps with everything around it; false when the server cannot be reached (probe_server.c) */
bool probe_reach(struct probe *p, struct err *err);
void probe_http_checks(struct probe *p);
void probe_caps(struct probe *p, struct view body);           /* (probe_caps.c) */
void probe_caps_messages(struct probe *p, struct view body);
void probe_cacert(struct probe *p);                           /* (probe_cacert.c) */
void probe_nextca(struct probe *p);
void probe_pki(struct probe *p);                              /* (probe_pki.c) */
void probe_enrol(struct probe *p);                            /* (probe_enrol.c) */

/* ---- messages (probe_message.c) ---- */

enum probe_transport { BY_POST, BY_GET };

struct probe_message {
    enum scep_type type;
    struct view content;
    const char *transaction_id;
    enum digest digest;
    enum cipher cipher;
    enum key_padding padding;
    bool ber;
    const struct cert *recipient; /* NULL: that of GetCACert */
};

enum probe_outcome { OUT_NOTHING, OUT_HTTP, OUT_GARBAGE, OUT_CERTREP };

struct probe_reply {
    enum probe_outcome outcome;
    struct probe_answer http;
    struct inspected_signed seen; /* OUT_CERTREP */
    int status, fail_info;        /* -1: not there or no number */
    uint8_t nonce[16];            /* the request's */
    char text[400];               /* what came, in words */
};
void probe_reply_clear(struct probe_reply *r);

/* A PKCS#10 that cannot be granted: an X448 key, which signs nothing, under the signature of another one. */
bool probe_hopeless_csr(struct probe *p, struct buf *out, struct err *err);
/* IssuerAndSubject of a request that nobody made; with a subject of about `padding` octets. */
bool probe_poll_content(struct probe *p, size_t padding, struct buf *out, struct err *err);
/* IssuerAndSerialNumber; `serial` empty: one that nobody has. */
bool probe_serial_content(struct probe *p, struct view serial, struct buf *out, struct err *err);
/* Random, 32 hex digits. */
bool probe_transaction(char out[33], struct err *err);
bool probe_message_build(struct probe *p, const struct probe_message *m, struct client_identity *who, uint8_t nonce[16],
                         struct buf *out, struct err *err);
/* Sends a message that was built. */
void probe_transmit(struct probe *p, enum probe_transport how, struct view message, const uint8_t nonce[16],
                    struct probe_reply *out);
/* By a request made otherwise. */
void probe_transmit_as(struct probe *p, const struct probe_request *r, const uint8_t nonce[16], struct probe_reply *out);
/* Builds and sends. */
bool probe_ask(struct probe *p, enum probe_transport how, const struct probe_message *m, struct client_identity *who,
               struct probe_reply *out, struct err *err);
/* Both say the same: same kind of answer, HTTP status, pkiStatus and failInfo. */
bool probe_same(const struct probe_reply *a, const struct probe_reply *b);
/* Judges a CertRep, its envelope apart: pki.*. */
void probe_judge(struct probe *p, const struct probe_reply *r, const struct probe_message *m);
/* Opens a SUCCESS of ours and judges its envelope (pki.envelope, pki.cipher). */
bool probe_open(struct probe *p, const struct probe_reply *r, struct client_identity *who, enum cipher asked,
                struct scep_certs *out, struct err *err);

/* ---- output (probe_report.c) ---- */

void probe_report(const struct probe *p);
