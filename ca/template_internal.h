/* What the parts of a template share.  Private to ca/. */
#pragma once

#include "ca/template.h"

#define PATTERN_MAX 512 /* octets of one pattern's value */

/* One request before one template. */
struct planning {
    const struct template *t;
    const struct csr *csr;
    const struct template_context *ctx;
};

/* "CN=host-*!" or "DNS:*.example.org" taken apart. */
struct pattern {
    char key[32], glob[PATTERN_MAX];
    bool required;
};

/* template_match.c */
/* False when there is no `separator`, or a part is empty or too long. */
bool pattern_parse(const char *text, char separator, struct pattern *out);
bool pattern_match_attr(const struct pattern *p, const struct name_attr *attr);
bool pattern_match_san(const struct pattern *p, const struct san_name *name);
/* Do the patterns of the template let it through?  The refusal names the value and the patterns for it. */
bool patterns_allow_attr(const struct template *t, const struct name_attr *attr, struct err *err);
bool patterns_allow_san(const struct template *t, const struct san_name *name, struct err *err);
/* Has every required pattern a value that meets it? */
bool patterns_met_by_subject(const struct template *t, const struct name *subject, struct err *err);
bool patterns_met_by_san(const struct template *t, const struct san *san, struct err *err);
/* REASON_SUBJECT_PLACEHOLDER when an MDM product left one of its variables in a requested name. */
bool placeholders_refuse(const struct csr *csr, struct err *err);

/* template_expand.c */
bool build_subject(const struct planning *p, struct name *out, struct err *err);
bool build_san(const struct planning *p, struct san *out, struct err *err);
/* ERR_CONFIG when a part is not "key=value" (or "kind:value"), or a wildcard is none. */
bool build_check(const struct template *t, struct err *err);

/* template_usage.c */
bool plan_usage(const struct planning *p, struct cert_plan *out, struct err *err);

/* template_extensions.c */
/* May a template name it?  Not what the authority itself decides. */
bool extension_passable(const char *oid);
bool plan_extensions(const struct planning *p, struct cert_plan *out, struct err *err);
/* A SAN URI that claims a SID: only by template, well-formed, and the same as the SID extension's. */
bool plan_sid(const struct planning *p, const struct san *san, struct err *err);
