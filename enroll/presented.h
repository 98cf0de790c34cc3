/* The challenge that came with a request: which one it is, and whether it allows what is asked for. */
#pragma once

#include "ca/template.h"
#include "enroll/enroll.h"

#define STATIC_CHALLENGE_ID "static" /* what records show for the endpoint's static challenge */

enum presented_kind { PRESENTED_NONE, PRESENTED_STATIC, PRESENTED_ONE_TIME, PRESENTED_UNKNOWN };

struct presented {
    enum presented_kind kind;
    struct store_challenge challenge; /* PRESENTED_ONE_TIME */
    char hint[128];                   /* PRESENTED_UNKNOWN: what it would be if it were written otherwise; "" none */
};

/* Looks the CSR's challengePassword up among those that the endpoint accepts. */
bool presented_find(const struct enroll_context *ctx, const struct enroll_policy *policy, const struct csr *csr,
                    struct presented *out, struct err *err);
/* The one that a waiting request came with. */
bool presented_kept(const struct enroll_context *ctx, const struct store_request *r, struct presented *out,
                    struct err *err);
const char *presented_id(const struct presented *p);    /* "" if none */
const char *presented_label(const struct presented *p); /* "" if none */

/* May it still be used at `when`?  Reasons: challenge.used, .expired, .revoked, with who, when and where. */
bool presented_usable(const struct presented *p, const uint8_t key_hash[STORE_HASH], int64_t when, struct err *err);
/* The whole question for one request: also challenge.missing, .unknown and .bound. */
bool presented_judge(const struct presented *p, const struct enroll_policy *policy, const struct cert_plan *plan,
                     const uint8_t key_hash[STORE_HASH], int64_t when, struct err *err);
