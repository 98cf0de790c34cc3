/* A template turns a certification request into a plan for a certificate, or refuses it naming the rule and
 * the offending value.  The CA writes every byte: from the request come only the key and the values that the
 * template lets through. */
#pragma once

#include "base/err.h"
#include "pkcs7/csr.h"

#define TEMPLATE_MAX_PATTERNS 32

enum template_key_reuse {
    KEY_REUSE_SAME_SUBJECT, /* every certificate of one subject may have the same key */
    KEY_REUSE_RENEWAL,      /* a renewal may keep its key; a new enrolment needs a new one */
    KEY_REUSE_NEVER,        /* every certificate has a key of its own */
};

enum template_surplus { SURPLUS_REFUSE, SURPLUS_DROP };

struct template {
    char name[64];
    /* Subject.  `subject` patterns like "CN=*" or "OU=Sales": each attribute of the request must match one of
     * them (surplus: refused or dropped), and each one marked required must be met.  With `subject_build` the
     * subject is built anew from it instead: "CN=${csr.cn},O=Example"; patterns of an attribute then limit what
     * its wildcard may take. */
    char *subject[TEMPLATE_MAX_PATTERNS];           /* owned; "CN=*", required ones end in '!': "CN=*!" */
    size_t subject_n;
    char *subject_build;                            /* owned or NULL */
    enum template_surplus subject_surplus;
    bool empty_subject;                             /* allowed if a SAN remains */
    /* SAN patterns "DNS:*.example.org"; '!' as above.  `san_build` like "DNS:${csr.cn}.example.org" stands first;
     * with it and without patterns the request's own names are read by wildcards alone. */
    char *san[TEMPLATE_MAX_PATTERNS];
    size_t san_n;
    char *san_build[TEMPLATE_MAX_PATTERNS];
    size_t san_build_n;
    enum template_surplus san_surplus;
    /* Key */
    unsigned rsa_min, rsa_max;                      /* bits; 0/0: no RSA */
    unsigned curves;                                /* ALG_BIT(enum key_curve) */
    unsigned csr_digests;                           /* ALG_BIT(enum digest): of a request's own signature */
    enum template_key_reuse key_reuse;              /* under one subject; under two never */
    /* Usage.  The request's wish narrows, never widens; asking for more: refused or dropped. */
    uint32_t key_usage;                             /* KU_* bits; keyEncipherment leaves for EC keys */
    struct eku eku;
    enum template_surplus usage_surplus;
    bool honour_requested_usage;                    /* narrow to what the request asks for */
    /* Time, seconds */
    int64_t validity, min_validity, backdate, renew_before, renew_grace;
    /* Extensions of the request that are passed on when they parse: dotted OIDs */
    struct eku extensions;
    bool ms_sid;                                    /* may the SID extension be passed on? */
};
void template_clear(struct template *t);
/* Is the template itself in order: patterns and wildcards readable, key usage not empty, times sane?  ERR_CONFIG
 * names the value.  For the configuration loader. */
bool template_check(const struct template *t, struct err *err);
/* Adds the OIDs of the extensions that it passes on (the SID's with ms_sid): the signer's limits. */
bool template_passes(const struct template *t, struct eku *add_to);

/* What wildcards may name, beside the request itself. */
struct template_context {
    const char *endpoint, *transaction;
    const char *challenge_label, *challenge_id;
    const char *signer_subject;                     /* text; renewals */
    int64_t now;
};

struct plan_extension {
    char oid[OID_TEXT_MAX];
    struct view value;        /* DER inside; borrowed from the csr */
};

struct cert_plan {
    struct name subject;      /* owned */
    struct san san;           /* owned */
    const struct pubkey *key; /* borrowed from the csr */
    uint32_t key_usage;
    struct eku eku;
    int64_t not_before, not_after;  /* before the issuer's limits */
    int64_t min_not_after;          /* refuse if the issuer's end cuts below this */
    struct plan_extension extension[EKU_MAX]; /* passed on from the request, the SID's too; never critical */
    size_t extension_n;
};
void cert_plan_clear(struct cert_plan *p);

/* Wildcards in subject_build and san_build: ${csr.cn} (any subject key in lower case; the first of several),
 * ${csr.san.dns} .email .uri .ip .upn, ${challenge.label}, ${challenge.id}, ${endpoint}, ${transaction},
 * ${signer.cn}, ${key.sha256}; "$$" is a dollar sign.  A wildcard without a value refuses the request; values
 * never split an attribute.  Unsubstituted placeholders of MDM products in the request's values
 * (%ComputerName%, {{DeviceName}}, $SERIAL, ${X}) are refused with REASON_SUBJECT_PLACEHOLDER. */
bool template_plan(const struct template *t, const struct csr *csr, const struct template_context *ctx,
                   struct cert_plan *out, struct err *err);
/* At load time: every pattern and wildcard is known. */
bool template_check(const struct template *t, struct err *err);
