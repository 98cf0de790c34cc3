/* What the key may be used for: the template's, narrowed by the request's wish, never widened by
 * it. */
#include "tbs.h"
#include "template_internal.h"
#include "usage.h"

static bool refuse_bits(const char *what, uint32_t asked, uint32_t given, struct err *err)
{
    char asked_text[128], given_text[128];

    key_usage_text(asked, asked_text, sizeof asked_text);
    key_usage_text(given, given_text, sizeof given_text);
    return err_refuse(err, REASON_USAGE_FORBIDDEN, "%s: asked for %s, the template gives %s", what,
                      asked_text, given_text);
}

static bool plan_key_usage(const struct planning *p, bool honour, uint32_t *out, struct err *err)
{
    const struct extensions *wish = &p->csr->ext;
    uint32_t allowed = p->t->key_usage;
    uint32_t given = usage_of_key(&p->csr->key, allowed);
    bool asked = wish->has_key_usage && wish->key_usage != 0;

    if (asked && (wish->key_usage & ~allowed) && p->t->usage_surplus == SURPLUS_REFUSE)
        return refuse_bits("more key usage than allowed", wish->key_usage, allowed, err);
    if (given == 0)
        return err_refuse(err, REASON_USAGE_FORBIDDEN,
                          "no key usage of the template fits the type of the key");
    if (asked && honour) {
        if ((given & wish->key_usage) == 0)
            return refuse_bits("no key usage is left", wish->key_usage, given, err);
        given &= wish->key_usage;
    }
    *out = given;
    return true;
}

/* anyExtendedKeyUsage asks for more than any template gives, and narrows nothing. */
static bool wishes_purpose(const struct extensions *wish, const char *oid)
{
    return eku_has(&wish->eku, oid) || eku_has(&wish->eku, EKU_ANY);
}

static bool refuse_surplus_purposes(const struct planning *p, struct err *err)
{
    const struct eku *wish = &p->csr->ext.eku;

    for (size_t i = 0; i < wish->n; i++)
        if (!eku_has(&p->t->eku, wish->oid[i]))
            return err_refuse(
                err, REASON_USAGE_FORBIDDEN,
                "the request asks for extended key usage %s, which the template does not give",
                eku_name(wish->oid[i]));
    return true;
}

/* RFC 5280 section 4.2.1.12: a purpose that the key usage cannot serve would make the certificate
 * useless; the key usage, which every peer looks at, decides. */
static bool plan_purposes(const struct planning *p, bool honour, uint32_t key_usage,
                          struct eku *out, struct err *err)
{
    const struct extensions *wish = &p->csr->ext;
    const struct eku *given = &p->t->eku;
    bool narrow = wish->has_eku && wish->eku.n > 0 && honour;
    char shown[128];

    if (wish->has_eku && p->t->usage_surplus == SURPLUS_REFUSE && !refuse_surplus_purposes(p, err))
        return false;
    for (size_t i = 0; i < given->n; i++)
        if (usage_serves(key_usage, given->oid[i]) &&
            (!narrow || wishes_purpose(wish, given->oid[i])))
            eku_add(out, given->oid[i]);
    if (given->n == 0 || out->n > 0)
        return true;
    key_usage_text(key_usage, shown, sizeof shown);
    return err_refuse(
        err, REASON_USAGE_FORBIDDEN,
        "no extended key usage of the template is among those asked for and served by %s", shown);
}

static bool plan_both(const struct planning *p, bool honour, struct cert_plan *out, struct err *err)
{
    return plan_key_usage(p, honour, &out->key_usage, err) &&
           plan_purposes(p, honour, out->key_usage, &out->eku, err);
}

/* A wish that has nothing in common with the template is surplus as a whole: where surplus is
 * dropped (certmonger asks for serverAuth unless told otherwise), the template alone decides. */
bool plan_usage(const struct planning *p, struct cert_plan *out, struct err *err)
{
    struct err narrowed;
    if (!p->t->honour_requested_usage || p->t->usage_surplus == SURPLUS_REFUSE)
        return plan_both(p, p->t->honour_requested_usage, out, err);
    return plan_both(p, true, out, &narrowed) || plan_both(p, false, out, err);
}
