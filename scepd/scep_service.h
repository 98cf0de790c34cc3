/* SCEP over HTTP without the HTTP: from bytes to bytes.  The worker, the unit test, the fuzzer and the benchmark all
 * call scep_pki_operation; GetCACaps and GetCACert are answered from memory. */
#pragma once

#include "base/log.h"
#include "enroll/enroll.h"
#include "config/config.h"

/* One endpoint, put together at start; immutable. */
struct scep_endpoint {
    const struct config_endpoint *config;
    const struct enroll_policy *policy;
    const struct config_webhook *told[ENROLL_MAX_NOTICES]; /* of what happens here */
    size_t told_n;
    const struct config_webhook *validate; /* what is asked before a certificate is given; NULL: nobody */
    struct buf caps;              /* the GetCACaps body */
    struct buf ca_cert;           /* the GetCACert body */
    const char *ca_cert_type;     /* its media type */
    struct view next_ca_cert;     /* the GetNextCACert body, borrowed from the authority's family; empty: there is none */
};
bool scep_endpoint_init(struct scep_endpoint *e, const struct config_endpoint *c, const struct enroll_policy *p,
                        struct err *err);
void scep_endpoint_clear(struct scep_endpoint *e);

struct scep_call {
    const struct scep_endpoint *endpoint;
    const struct enroll_context *enroll;
    struct signer *signer;        /* the calling thread's lane */
    struct view message;          /* the pkiMessage, after base64 of a GET */
    struct enroll_peer peer;
    const struct enroll_asked *asked; /* what a webhook said of it; NULL: nobody was asked yet */
    int64_t now;
    int64_t started_us;           /* monotonic; when the request came; 0: not known */
    const char *method;           /* HTTP, static; NULL: not known */
};

struct scep_answer {
    int status;                   /* HTTP */
    const char *content_type;     /* static */
    struct buf body;
    struct enroll_change *change; /* must be committed before the body may leave; NULL: nothing to store */
    /* for the log line */
    enum enroll_verdict verdict;
    enum reason reason;
    char detail[320];
    const char *operation;        /* "PKCSReq"; "" before it is known */
    char transaction[SCEP_MAX_TRANSACTION_ID + 1];
    char subject[256], serial[41], challenge[32], request[32], device[32], policy[32];
    bool renewal;                 /* ENROLL_ISSUE: by a certificate of ours */
    bool odd_message_digest;      /* accepted only by the endpoint's setting of that name */
    bool fault;                   /* ours: log as error */
    /* for the attempt as well */
    struct trail trail;
    char san[256], key[16], digest[16], cipher[16];
    char signer[2 * STORE_SERIAL_MAX + 1]; /* serial of the signer's certificate, when it is one of ours */
    uint8_t key_hash[STORE_HASH];
    bool certrep;                 /* the body is a CertRep */
    bool clock_behind;            /* the message was signed before its certificate begins */
    struct buf question;          /* ENROLL_ASK: what its webhook is to be asked; there is no body then */
    struct store_notice *notice;  /* owned; of a refusal: what webhooks are to be told of it */
    size_t notice_n;
    uint8_t question_key[32];     /* the same for the same question */
    bool recorded;                /* the attempt is stored with the change, or not worth it */
};
void scep_answer_clear(struct scep_answer *a);

/* Everything but the commit: read, decide, issue, answer.  Always fills `out`.  With the verdict ENROLL_ASK there is no
 * answer yet: the webhook is to be asked `question`, and all is prepared anew with call->asked. */
void scep_pki_prepare(const struct scep_call *call, struct scep_answer *out);
/* What is sent instead when the change could not be committed for good. */
void scep_pki_commit_failed(const struct scep_call *call, const struct err *why, struct scep_answer *out);
/* The whole: prepare, commit, and again when the world changed meanwhile. */
void scep_pki_operation(const struct scep_call *call, struct scep_answer *out);
/* What is kept about it; `ms` as in the log line. */
void scep_answer_attempt(const struct scep_answer *a, const struct scep_call *call, double ms, struct store_attempt *out);
/* One log line for an answer. */
void scep_answer_log(const struct scep_answer *a, const struct scep_call *call, const struct log *log, double ms);
