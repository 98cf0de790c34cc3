/* What the parts of lint share: one certificate being read.  Each part fills in what it read, so that the
 * whole can be written again and compared octet by octet.  Private to ca/. */
#pragma once

#include <openssl/x509v3.h>

#include "ca/lint.h"
#include "tbs.h"

#define LINT_URL_MAX 256

struct lint {
    const struct cert *cert;
    const struct lint_limits *limits;
    bool is_ca_role;
    struct name subject; /* owned */
    struct san san;      /* owned */
    struct pubkey key, issuer_key; /* borrowed from cert and from the issuer's certificate */
    struct eku eku;
    char crl_url[LINT_URL_MAX], issuer_url[LINT_URL_MAX], ocsp_url[LINT_URL_MAX];
    STACK_OF(X509_EXTENSION) *extensions;               /* owned */
    char extra_oid[TBS_MAX_EXTRA][OID_TEXT_MAX];
    bool has_basic_constraints, has_key_usage, has_eku, has_san, has_nocheck;
    struct view subject_key_id, ms_sid; /* borrowed from cert */
    struct tbs tbs;                     /* as read */
};

/* lint_names.c: issuer and subject, C7, C9 to C13, C39 */
bool lint_names(struct lint *l, struct err *err);
/* lint_key.c: the key, C19 to C21; the issuer, C8 and C38; key identifiers, C28 */
bool lint_key(struct lint *l, struct err *err);
bool lint_issuer(struct lint *l, struct err *err);
bool lint_key_ids(struct lint *l, struct err *err);
/* lint_extensions.c: reads all of them, C22, C23, C32 to C37 */
bool lint_extensions(struct lint *l, struct err *err);
/* The value of an extension beside the fixed set, as a template passes it on: C31, C34, C35, C1. */
bool lint_extra_value(const char *oid, struct view value, bool is_ca, struct err *err);
/* lint_alt_names.c: C14, C29 to C31 */
bool lint_alt_names(struct lint *l, struct view value, struct err *err);
bool lint_alt_names_fit(struct lint *l, bool critical, struct err *err);
/* lint_usage.c: C24 to C27, C40 to C42 */
bool lint_usage(struct lint *l, struct err *err);

/* Decodes the value of an extension whole; NULL, and `rule` in the text, when it does not parse.  Returns
 * owned (ASN1_item_free). */
ASN1_VALUE *lint_decode(struct view value, const ASN1_ITEM *item, const char *rule, struct err *err);
