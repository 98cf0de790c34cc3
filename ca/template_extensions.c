/* Extensions of the request that a template names, and SIDs, which it must name too. */
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "lint_internal.h"
#include "ms_sid.h"
#include "tbs.h"
#include "template_internal.h"

bool extension_passable(const char *oid)
{
    /* what a path validator obeys is the authority's own word */
    static const char *const never[] = {"2.5.29.33", "2.5.29.36", "2.5.29.54",
                                        "1.3.6.1.5.5.7.1.14"};
    int rank = tbs_extension_rank(oid);

    for (size_t i = 0; i < sizeof never / sizeof never[0]; i++)
        if (strcmp(oid, never[i]) == 0)
            return false;
    return rank < 0 || strcmp(oid, OID_POLICIES) == 0 || strcmp(oid, OID_MS_TEMPLATE_NAME) == 0 ||
           strcmp(oid, OID_MS_TEMPLATE) == 0;
}

bool template_passes(const struct template *t, struct eku *add_to)
{
    for (size_t i = 0; i < t->extensions.n; i++)
        if (extension_passable(t->extensions.oid[i]) && !eku_has(add_to, t->extensions.oid[i]) &&
            !eku_add(add_to, t->extensions.oid[i]))
            return false;
    return !t->ms_sid || eku_has(add_to, OID_MS_SID) || eku_add(add_to, OID_MS_SID);
}

/* The decoder copies; the plan borrows from the request, where the same octets are. */
static struct view in_request(struct view whole, const ASN1_OCTET_STRING *value)
{
    size_t n = (size_t)ASN1_STRING_length(value);
    const uint8_t *at = n ? memmem(whole.p, whole.n, ASN1_STRING_get0_data(value), n) : NULL;

    return view_of(at, at ? n : 0);
}

static bool pass_on(struct view whole, X509_EXTENSION *x, const struct eku *passed,
                    struct cert_plan *out, struct err *err)
{
    struct plan_extension *e = &out->extension[out->extension_n];
    char oid[OID_TEXT_MAX];
    int n = OBJ_obj2txt(oid, sizeof oid, X509_EXTENSION_get_object(x), 1);

    if (n <= 0 || n >= OID_TEXT_MAX || !eku_has(passed, oid))
        return true;
    struct view value = in_request(whole, X509_EXTENSION_get_data(x));
    if (value.n == 0)
        return err_refuse(err, REASON_CSR_MALFORMED,
                          "the requested extension %s is empty or not DER", oid);
    if (!lint_extra_value(oid, value, false, err)) {
        err->reason = REASON_CSR_MALFORMED;
        err_prefix(err, "the requested extension %s", oid);
        return false;
    }
    memcpy(e->oid, oid, sizeof e->oid);
    e->value = value;
    out->extension_n++;
    return true;
}

bool plan_extensions(const struct planning *p, struct cert_plan *out, struct err *err)
{
    struct view whole = p->csr->ext.der;
    const unsigned char *at = whole.p;
    struct eku passed = {.n = 0};
    bool ok = true;

    if (!template_passes(p->t, &passed))
        return err_set(err, ERR_CONFIG, "template %s passes on more than %d extensions", p->t->name,
                       EKU_MAX);
    if (whole.n == 0 || passed.n == 0)
        return true;
    X509_EXTENSIONS *all = d2i_X509_EXTENSIONS(NULL, &at, (long)whole.n);
    if (!all) {
        ERR_clear_error();
        return err_refuse(err, REASON_CSR_MALFORMED, "the requested extensions do not parse");
    }
    for (int i = 0; ok && i < sk_X509_EXTENSION_num(all); i++)
        ok = pass_on(whole, sk_X509_EXTENSION_value(all, i), &passed, out, err);
    sk_X509_EXTENSION_pop_free(all, X509_EXTENSION_free);
    return ok;
}

bool plan_sid(const struct planning *p, const struct san *san, struct err *err)
{
    struct view extension = p->t->ms_sid ? p->csr->ext.ms_sid : view_of(NULL, 0);
    char sid[MS_SID_MAX] = "";

    if (extension.n > 0 && !ms_sid_parse(extension, sid))
        return err_refuse(err, REASON_CSR_MALFORMED, "the requested SID extension is malformed");
    for (size_t i = 0; i < san->n; i++) {
        const char *uri = san->name[i].text;
        if (san->name[i].kind != SAN_URI || !ms_sid_claimed(uri))
            continue;
        if (!p->t->ms_sid)
            return err_refuse(err, REASON_SAN_FORBIDDEN,
                              "URI:%.160s claims a SID, which the template does not pass on", uri);
        const char *claimed = ms_sid_of_uri(uri);
        if (!claimed)
            return err_refuse(err, REASON_SAN_FORBIDDEN, "URI:%.160s claims a SID and is malformed",
                              uri);
        if (sid[0] && strcmp(sid, claimed) != 0)
            return err_refuse(err, REASON_SAN_FORBIDDEN, "the request names two SIDs, %s and %s",
                              sid, claimed);
        memcpy(sid, claimed, strlen(claimed) + 1);
    }
    return true;
}
