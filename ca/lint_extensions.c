/* Extensions: each once, known, in order, with the right criticality, and every value read whole.
 */
#include <ctype.h>
#include <openssl/err.h>
#include <string.h>
#include <strings.h>

#include "lint_internal.h"
#include "ms_sid.h"

ASN1_VALUE *lint_decode(struct view value, const ASN1_ITEM *item, const char *rule, struct err *err)
{
    const unsigned char *p = value.p;
    ASN1_VALUE *v = ASN1_item_d2i(NULL, &p, (long)value.n, item);

    if (!v || p != value.p + value.n) {
        ASN1_item_free(v, item);
        ERR_clear_error();
        err_refuse(err, REASON_INTERNAL,
                   "%s: an extension does not parse, or has octets behind its end", rule);
        return NULL;
    }
    return v;
}

/* Strict DER of a value that is passed on as it came: what is read is what would be written. */
static bool lint_same(struct view value, ASN1_VALUE *decoded, const ASN1_ITEM *item,
                      struct err *err)
{
    unsigned char *again = NULL;
    int n = ASN1_item_i2d(decoded, &again, item);
    bool same = n > 0 && view_eq(view_of(again, (size_t)n), value);

    OPENSSL_free(again);
    return same || err_refuse(err, REASON_INTERNAL, "C1: the value of an extension is not DER");
}

static bool lint_basic_constraints(struct lint *l, struct view value, struct err *err)
{
    ASN1_VALUE *v = lint_decode(value, ASN1_ITEM_rptr(BASIC_CONSTRAINTS), "C23", err);

    if (!v)
        return false;
    const BASIC_CONSTRAINTS *bc = (const BASIC_CONSTRAINTS *)v;
    int64_t path_len = -1;
    bool readable =
        !bc->pathlen || (ASN1_INTEGER_get_int64(&path_len, bc->pathlen) && path_len >= 0);
    bool is_ca = bc->ca != 0;
    ASN1_item_free(v, ASN1_ITEM_rptr(BASIC_CONSTRAINTS));
    ERR_clear_error();

    l->has_basic_constraints = true;
    l->tbs.is_ca = is_ca;
    l->tbs.path_len = path_len;
    if (!readable || is_ca != l->is_ca_role)
        return err_refuse(err, REASON_USAGE_FORBIDDEN,
                          "C23: basicConstraints say cA %s, the role says %s",
                          is_ca ? "TRUE" : "FALSE", l->is_ca_role ? "TRUE" : "FALSE");
    if (!is_ca && path_len >= 0)
        return err_refuse(err, REASON_USAGE_FORBIDDEN,
                          "C23: a path length in a certificate that is no CA");
    if (l->limits->role == ROLE_ISSUING_CA && path_len != 0)
        return err_refuse(err, REASON_USAGE_FORBIDDEN,
                          "C23: the path length of an issuing CA is 0");
    return true;
}

static bool lint_key_usage(struct lint *l, struct view value, struct err *err)
{
    ASN1_VALUE *v = lint_decode(value, ASN1_ITEM_rptr(ASN1_BIT_STRING), "C24", err);

    if (!v)
        return false;
    for (int bit = 0; bit < 9; bit++)
        if (ASN1_BIT_STRING_get_bit((const ASN1_BIT_STRING *)v, bit))
            l->tbs.key_usage |= 1u << bit;
    ASN1_item_free(v, ASN1_ITEM_rptr(ASN1_BIT_STRING));
    l->has_key_usage = true;
    return true;
}

static bool lint_ext_key_usage(struct lint *l, struct view value, struct err *err)
{
    ASN1_VALUE *v = lint_decode(value, ASN1_ITEM_rptr(EXTENDED_KEY_USAGE), "C26", err);
    bool ok = false;

    if (!v)
        return false;
    const EXTENDED_KEY_USAGE *purposes = (const EXTENDED_KEY_USAGE *)v;
    int n = sk_ASN1_OBJECT_num(purposes);
    if (n <= 0 || n > EKU_MAX) {
        err_refuse(err, REASON_USAGE_FORBIDDEN,
                   "C26: extendedKeyUsage with %d purposes; 1 to %d are possible", n, EKU_MAX);
        goto out;
    }
    for (int i = 0; i < n; i++) {
        char oid[OID_TEXT_MAX];
        if (!oid_text(sk_ASN1_OBJECT_value(purposes, i), oid) || eku_has(&l->eku, oid) ||
            !eku_add(&l->eku, oid)) {
            err_refuse(err, REASON_USAGE_FORBIDDEN,
                       "C26: an extended key usage is there twice or too long");
            goto out;
        }
    }
    l->has_eku = true;
    ok = true;
out:
    ASN1_item_free(v, ASN1_ITEM_rptr(EXTENDED_KEY_USAGE));
    return ok;
}

/* Only the wrapping is checked here, by writing it again; the octets by lint_key_ids. */
static bool lint_subject_key_id(struct lint *l, struct view value, struct err *err)
{
    if (value.n != KEY_ID_SIZE + 2 || value.p[0] != DER_OCTET_STRING || value.p[1] != KEY_ID_SIZE)
        return err_refuse(err, REASON_INTERNAL,
                          "C28: the subject key identifier is not one of %d octets", KEY_ID_SIZE);
    l->subject_key_id = view_of(value.p + 2, KEY_ID_SIZE);
    return true;
}

static bool lint_authority_key_id(struct lint *l, struct view value, struct err *err)
{
    ASN1_VALUE *v = lint_decode(value, ASN1_ITEM_rptr(AUTHORITY_KEYID), "C28", err);

    if (!v)
        return false;
    const AUTHORITY_KEYID *id = (const AUTHORITY_KEYID *)v;
    bool alone = id->keyid && !id->issuer && !id->serial && ASN1_STRING_length(id->keyid) > 0;
    size_t n = alone ? (size_t)ASN1_STRING_length(id->keyid) : 0;
    ASN1_item_free(v, ASN1_ITEM_rptr(AUTHORITY_KEYID));
    if (!alone || n > value.n)
        return err_refuse(err, REASON_INTERNAL,
                          "C28: the authority key identifier holds more than a key identifier");
    l->tbs.authority_key_id = view_of(value.p + value.n - n, n); /* it is the last thing in there */
    return true;
}

/* An absolute http URI (RFC 5280 sections 4.2.1.13, 4.2.2.1); https would need what it is to give.
 */
static bool url_copy(const GENERAL_NAME *name, char out[LINT_URL_MAX])
{
    if (!name || name->type != GEN_URI)
        return false;
    const ASN1_STRING *uri = name->d.uniformResourceIdentifier;
    int n = ASN1_STRING_length(uri);
    const char *text = (const char *)ASN1_STRING_get0_data(uri);
    if (n <= 7 || n >= LINT_URL_MAX || strncmp(text, "http://", 7) != 0)
        return false;
    for (int i = 0; i < n; i++)
        if (!isgraph((unsigned char)text[i]))
            return false;
    memcpy(out, text, (size_t)n);
    out[n] = '\0';
    return true;
}

static bool lint_crl_points(struct lint *l, struct view value, struct err *err)
{
    ASN1_VALUE *v = lint_decode(value, ASN1_ITEM_rptr(CRL_DIST_POINTS), "C32", err);
    bool ok = false;

    if (!v)
        return false;
    const CRL_DIST_POINTS *points = (const CRL_DIST_POINTS *)v;
    if (sk_DIST_POINT_num(points) == 1) {
        const DIST_POINT *point = sk_DIST_POINT_value(points, 0);
        const DIST_POINT_NAME *name = point->distpoint;
        ok = name && name->type == 0 && !point->reasons && !point->CRLissuer &&
             sk_GENERAL_NAME_num(name->name.fullname) == 1 &&
             url_copy(sk_GENERAL_NAME_value(name->name.fullname, 0), l->crl_url);
    }
    ASN1_item_free(v, ASN1_ITEM_rptr(CRL_DIST_POINTS));
    if (!ok)
        return err_refuse(err, REASON_INTERNAL,
                          "C32: cRLDistributionPoints is not one point with one http URI");
    if (l->limits->role == ROLE_ROOT)
        return err_refuse(err, REASON_INTERNAL, "C32: a root has no CRL distribution point");
    return true;
}

static bool lint_authority_info(struct lint *l, struct view value, struct err *err)
{
    ASN1_VALUE *v = lint_decode(value, ASN1_ITEM_rptr(AUTHORITY_INFO_ACCESS), "C33", err);
    bool ok = false;

    if (!v)
        return false;
    const AUTHORITY_INFO_ACCESS *info = (const AUTHORITY_INFO_ACCESS *)v;
    int n = sk_ACCESS_DESCRIPTION_num(info);
    ok = n == 1 || n == 2;
    for (int i = 0; ok && i < n; i++) {
        const ACCESS_DESCRIPTION *access = sk_ACCESS_DESCRIPTION_value(info, i);
        int method = OBJ_obj2nid(access->method);
        char *url = method == NID_ad_OCSP         ? l->ocsp_url
                    : method == NID_ad_ca_issuers ? l->issuer_url
                                                  : NULL;
        ok = url && !url[0] && url_copy(access->location, url);
    }
    ASN1_item_free(v, ASN1_ITEM_rptr(AUTHORITY_INFO_ACCESS));
    if (!ok) /* and their order, when it is written again (C1) */
        return err_refuse(err, REASON_INTERNAL,
                          "C33: authorityInfoAccess is not ocsp and caIssuers, each once with an "
                          "http URI");
    if (l->limits->role == ROLE_ROOT)
        return err_refuse(err, REASON_INTERNAL, "C33: a root has no authority information");
    return true;
}

/* RFC 5280 section 4.2.1.4: each once; qualifiers and, in leaves, anyPolicy are not issued. */
static bool policies_sound(const CERTIFICATEPOLICIES *policies, bool is_ca)
{
    int n = sk_POLICYINFO_num(policies);

    for (int i = 0; i < n; i++) {
        const POLICYINFO *p = sk_POLICYINFO_value(policies, i);
        if (sk_POLICYQUALINFO_num(p->qualifiers) > 0 ||
            (!is_ca && OBJ_obj2nid(p->policyid) == NID_any_policy))
            return false;
        for (int j = 0; j < i; j++)
            if (OBJ_cmp(p->policyid, sk_POLICYINFO_value(policies, j)->policyid) == 0)
                return false;
    }
    return n > 0;
}

static bool lint_policies(struct view value, bool is_ca, struct err *err)
{
    ASN1_VALUE *v = lint_decode(value, ASN1_ITEM_rptr(CERTIFICATEPOLICIES), "C34", err);

    if (!v)
        return false;
    bool ok =
        policies_sound((const CERTIFICATEPOLICIES *)v, is_ca) ||
        err_refuse(
            err, REASON_INTERNAL,
            "C34: certificatePolicies with a policy twice, a qualifier, or anyPolicy in a leaf");
    ok = ok && lint_same(value, v, ASN1_ITEM_rptr(CERTIFICATEPOLICIES), err);
    ASN1_item_free(v, ASN1_ITEM_rptr(CERTIFICATEPOLICIES));
    return ok;
}

/* SEQUENCE { OID, INTEGER major, INTEGER minor OPTIONAL } */
static bool is_template_id(const ASN1_STRING *sequence)
{
    const unsigned char *p = ASN1_STRING_get0_data(sequence);
    ASN1_SEQUENCE_ANY *fields = d2i_ASN1_SEQUENCE_ANY(NULL, &p, ASN1_STRING_length(sequence));
    int n = fields ? sk_ASN1_TYPE_num(fields) : 0;
    bool ok = n >= 1 && n <= 3;

    for (int i = 0; ok && i < n; i++)
        ok = ASN1_TYPE_get(sk_ASN1_TYPE_value(fields, i)) ==
             (i == 0 ? V_ASN1_OBJECT : V_ASN1_INTEGER);
    sk_ASN1_TYPE_pop_free(fields, ASN1_TYPE_free);
    ERR_clear_error();
    return ok;
}

/* MS-WCCE sections 2.2.2.7.7.1 and 2.2.2.7.7.2. */
static bool lint_ms_template(const char *oid, const ASN1_TYPE *v, struct err *err)
{
    bool ok = strcmp(oid, OID_MS_TEMPLATE_NAME) == 0
                  ? ASN1_TYPE_get(v) == V_ASN1_BMPSTRING
                  : ASN1_TYPE_get(v) == V_ASN1_SEQUENCE && is_template_id(v->value.sequence);

    return ok || err_refuse(err, REASON_INTERNAL,
                            "C35: the Microsoft template extension %s is not of its own type", oid);
}

bool lint_extra_value(const char *oid, struct view value, bool is_ca, struct err *err)
{
    char sid[MS_SID_MAX];
    bool is_template = strcmp(oid, OID_MS_TEMPLATE_NAME) == 0 || strcmp(oid, OID_MS_TEMPLATE) == 0;

    if (strcmp(oid, OID_POLICIES) == 0)
        return lint_policies(value, is_ca, err);
    if (strcmp(oid, OID_MS_SID) == 0)
        return ms_sid_parse(value, sid) ||
               err_refuse(err, REASON_INTERNAL, "C31: the SID extension is malformed");
    ASN1_VALUE *v = lint_decode(value, ASN1_ITEM_rptr(ASN1_ANY), is_template ? "C35" : "C1", err);
    if (!v)
        return false;
    bool ok = (!is_template || lint_ms_template(oid, (const ASN1_TYPE *)v, err)) &&
              lint_same(value, v, ASN1_ITEM_rptr(ASN1_ANY), err);
    ASN1_item_free(v, ASN1_ITEM_rptr(ASN1_ANY));
    return ok;
}

/* What is neither ours nor named by a template came out of the request (C37). */
static bool lint_extra(struct lint *l, const char *oid, struct view value, struct err *err)
{
    static const uint8_t null[] = {DER_NULL, 0};
    bool known = tbs_extension_rank(oid) >= 0;

    if (strcmp(oid, OID_OCSP_NOCHECK) == 0) {
        l->has_nocheck = true;
        if (!view_eq(value, view_of(null, sizeof null)))
            return err_refuse(err, REASON_INTERNAL, "C40: ocsp-nocheck is not NULL");
    } else if (!l->limits->extensions || !eku_has(l->limits->extensions, oid)) {
        return err_refuse(err, REASON_USAGE_FORBIDDEN, "%s %s %s",
                          known ? "C37: extension" : "C22: extension", oid,
                          known ? "is passed on by no template" : "is not known here");
    } else if (!lint_extra_value(oid, value, l->is_ca_role, err)) {
        return false;
    }
    if (strcmp(oid, OID_MS_SID) == 0)
        l->ms_sid = value;
    size_t i = l->tbs.extra_n;
    if (i < TBS_MAX_EXTRA)
        memcpy(l->extra_oid[i], oid, OID_TEXT_MAX);
    if (i == TBS_MAX_EXTRA || !tbs_extra_add(&l->tbs, l->extra_oid[i], value))
        return err_refuse(err, REASON_INTERNAL, "C22: too many extensions");
    return true;
}

static bool lint_value(struct lint *l, const char *oid, struct view value, struct err *err)
{
    static const struct {
        const char *oid;
        bool (*read)(struct lint *l, struct view value, struct err *err);
    } readers[] = {
        {OID_BASIC_CONSTRAINTS, lint_basic_constraints},
        {OID_KEY_USAGE, lint_key_usage},
        {OID_EXT_KEY_USAGE, lint_ext_key_usage},
        {OID_SUBJECT_KEY_ID, lint_subject_key_id},
        {OID_AUTHORITY_KEY_ID, lint_authority_key_id},
        {OID_SUBJECT_ALT_NAME, lint_alt_names},
        {OID_CRL_POINTS, lint_crl_points},
        {OID_AUTHORITY_INFO, lint_authority_info},
    };

    for (size_t i = 0; i < sizeof readers / sizeof readers[0]; i++)
        if (strcmp(oid, readers[i].oid) == 0)
            return readers[i].read(l, value, err);
    return lint_extra(l, oid, value, err);
}

/* A critical extension that a relying party does not know breaks it: two are critical, and the
 * alternative names when there is no subject. */
static bool lint_criticality(struct lint *l, const char *oid, bool critical, struct err *err)
{
    if (strcmp(oid, OID_SUBJECT_ALT_NAME) == 0)
        return lint_alt_names_fit(l, critical, err);
    if (critical != (strcmp(oid, OID_BASIC_CONSTRAINTS) == 0 || strcmp(oid, OID_KEY_USAGE) == 0))
        return err_refuse(err, REASON_INTERNAL, "C22: extension %s is %scritical", oid,
                          critical ? "" : "not ");
    return true;
}

/* Known, and nothing here has a use for them yet. */
static bool lint_issued(const char *oid, struct err *err)
{
    if (strcmp(oid, OID_NAME_CONSTRAINTS) == 0)
        return err_refuse(err, REASON_INTERNAL, "C36: name constraints are not issued");
    if (strcmp(oid, OID_FRESHEST_CRL) == 0)
        return err_refuse(err, REASON_INTERNAL,
                          "C32: there is no delta CRL for freshestCRL to name");
    return true;
}

static bool lint_one(struct lint *l, int i, char previous[OID_TEXT_MAX], struct err *err)
{
    X509_EXTENSION *x = sk_X509_EXTENSION_value(l->extensions, i);
    const ASN1_OCTET_STRING *data = X509_EXTENSION_get_data(x);
    struct view value = view_of(ASN1_STRING_get0_data(data), (size_t)ASN1_STRING_length(data));
    char oid[OID_TEXT_MAX];

    if (!oid_text(X509_EXTENSION_get_object(x), oid))
        return err_refuse(err, REASON_INTERNAL, "C22: the OID of an extension is too long");
    if (strcmp(oid, previous) == 0)
        return err_refuse(err, REASON_INTERNAL, "C22: extension %s is there twice", oid);
    if (previous[0] && !tbs_extension_before(previous, oid))
        return err_refuse(err, REASON_INTERNAL, "C22: extension %s is out of order", oid);
    memcpy(previous, oid, OID_TEXT_MAX);
    return lint_issued(oid, err) &&
           lint_criticality(l, oid, X509_EXTENSION_get_critical(x) != 0, err) &&
           lint_value(l, oid, value, err);
}

static bool lint_all_there(const struct lint *l, struct err *err)
{
    if (!l->has_basic_constraints)
        return err_refuse(err, REASON_INTERNAL, "C23: there are no basicConstraints");
    if (!l->has_key_usage)
        return err_refuse(err, REASON_USAGE_FORBIDDEN, "C24: there is no keyUsage");
    if (l->subject_key_id.n == 0)
        return err_refuse(err, REASON_INTERNAL, "C28: there is no subject key identifier");
    if (l->limits->issuer && l->tbs.authority_key_id.n == 0)
        return err_refuse(err, REASON_INTERNAL, "C28: there is no authority key identifier");
    if (!l->has_san && l->subject.n == 0)
        return err_refuse(err, REASON_SAN_MISSING, "C14: neither a subject nor a subjectAltName");
    return true;
}

bool lint_extensions(struct lint *l, struct err *err)
{
    struct view der = l->cert->extensions;
    char previous[OID_TEXT_MAX] = "";

    if (der.n == 0)
        return err_refuse(err, REASON_INTERNAL, "C23: there are no extensions");
    l->extensions =
        (STACK_OF(X509_EXTENSION) *)lint_decode(der, ASN1_ITEM_rptr(X509_EXTENSIONS), "C1", err);
    if (!l->extensions)
        return false;
    for (int i = 0; i < sk_X509_EXTENSION_num(l->extensions); i++)
        if (!lint_one(l, i, previous, err))
            return false;
    return lint_all_there(l, err);
}
