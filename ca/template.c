#include "ca/template.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "tbs.h"
#include "template_internal.h"

void template_clear(struct template *t)
{
    for (size_t i = 0; i < t->subject_n; i++)
        free(t->subject[i]);
    for (size_t i = 0; i < t->san_n; i++)
        free(t->san[i]);
    for (size_t i = 0; i < t->san_build_n; i++)
        free(t->san_build[i]);
    free(t->subject_build);
    memset(t, 0, sizeof *t);
}

void cert_plan_clear(struct cert_plan *p)
{
    name_clear(&p->subject);
    san_clear(&p->san);
    memset(p, 0, sizeof *p);
}

/* "RSA 2048 to 4096, P-256, P-384" */
static void allowed_keys_text(const struct template *t, char *out, size_t cap)
{
    size_t used = 0;

    out[0] = '\0';
    if (t->rsa_max > 0)
        used += (size_t)snprintf(out, cap, "RSA %u to %u", t->rsa_min, t->rsa_max);
    for (int c = CURVE_P256; c <= CURVE_P521 && used < cap; c++)
        if (t->curves & ALG_BIT(c))
            used += (size_t)snprintf(out + used, cap - used, "%s%s", used ? ", " : "",
                                     key_curve_name((enum key_curve)c));
}

/* Whether the key is sound is seen by the signer before it signs, and by enroll/ before people are
 * asked: once, since it is the dearest of the checks. */
static bool plan_key(const struct template *t, const struct pubkey *key, struct err *err)
{
    char is[16], allowed[96];

    pubkey_text(key, is);
    allowed_keys_text(t, allowed, sizeof allowed);
    if (key->type == KEY_RSA ? t->rsa_max == 0 : !(t->curves & ALG_BIT(key->curve)))
        return err_refuse(err, REASON_KEY_TYPE, "a key of type %s; the template takes %s", is,
                          allowed);
    if (key->type == KEY_RSA && (key->bits < t->rsa_min || key->bits > t->rsa_max))
        return err_refuse(err, REASON_KEY_SMALL, "a key of type %s; the template takes %s", is,
                          allowed);
    return true;
}

/* One attribute per RDN, in the order of the request: several OU and CN are how MDM products find
 * their devices. */
static bool subject_from_request(const struct planning *p, struct name *out, struct err *err)
{
    const struct name *asked = &p->csr->subject;

    for (size_t i = 0; i < asked->n; i++) {
        const struct name_attr *a = &asked->attr[i];
        struct err why = {0};

        if (!patterns_allow_attr(p->t, a, &why)) {
            if (p->t->subject_surplus == SURPLUS_DROP)
                continue;
            *err = why;
            return false;
        }
        if (!name_add(out, a->type, a->value, REASON_SUBJECT_FORBIDDEN, err))
            return false;
    }
    return patterns_met_by_subject(p->t, out, err);
}

static bool plan_subject(const struct planning *p, struct name *out, struct err *err)
{
    bool ok = p->t->subject_build ? build_subject(p, out, err) : subject_from_request(p, out, err);

    return ok && name_check(out, REASON_SUBJECT_FORBIDDEN, err);
}

static bool san_has(const struct san *s, const struct san_name *name)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->name[i].kind == name->kind && strcmp(s->name[i].text, name->text) == 0)
            return true;
    return false;
}

/* What is built stands first; of the request's names comes what the patterns let through.  A
 * template that builds its names and has no patterns reads the request's only through wildcards. */
static bool plan_san(const struct planning *p, struct san *out, struct err *err)
{
    const struct template *t = p->t;
    const struct san *asked = &p->csr->ext.san;
    bool from_request = t->san_build_n == 0 || t->san_n > 0;

    if (!plan_sid(p, asked, err) || !build_san(p, out, err))
        return false;
    for (size_t i = 0; from_request && i < asked->n; i++) {
        const struct san_name *name = &asked->name[i];
        struct err why = {0};

        if (!patterns_allow_san(t, name, &why)) {
            if (t->san_surplus == SURPLUS_DROP)
                continue;
            *err = why;
            return false;
        }
        if (!san_has(out, name) && !san_add(out, name->kind, name->text, err))
            return false;
    }
    return patterns_met_by_san(t, out, err) && plan_sid(p, out, err);
}

static bool plan_names_fit(const struct planning *p, const struct cert_plan *plan, struct err *err)
{
    bool named = false;

    if (plan->subject.n == 0 && !p->t->empty_subject)
        return err_refuse(err, REASON_SUBJECT_MISSING,
                          "the subject is empty, which the template does not allow");
    if (plan->subject.n == 0 && plan->san.n == 0)
        return err_refuse(err, REASON_SUBJECT_MISSING,
                          "neither a subject nor a subject alternative name is left");
    if (!eku_has(&plan->eku, EKU_SERVER_AUTH))
        return true;
    for (size_t i = 0; i < plan->san.n; i++)
        named = named || plan->san.name[i].kind == SAN_DNS || plan->san.name[i].kind == SAN_IP;
    return named ||
           err_refuse(err, REASON_SAN_MISSING, "serverAuth needs a DNS name or an address as SAN");
}

static bool plan_make(const struct planning *p, struct cert_plan *plan, struct err *err)
{
    plan->key = &p->csr->key;
    plan->not_before = p->ctx->now - p->t->backdate;
    plan->not_after = p->ctx->now + p->t->validity;
    plan->min_not_after = p->ctx->now + p->t->min_validity;
    return plan_key(p->t, &p->csr->key, err) && placeholders_refuse(p->csr, err) &&
           plan_subject(p, &plan->subject, err) && plan_san(p, &plan->san, err) &&
           plan_usage(p, plan, err) && plan_names_fit(p, plan, err) &&
           plan_extensions(p, plan, err);
}

/* RFC 8894 section 3.3.1 */
bool template_plan(const struct template *t, const struct csr *csr,
                   const struct template_context *ctx, struct cert_plan *out, struct err *err)
{
    const struct planning p = {t, csr, ctx};
    struct cert_plan *plan =
        calloc(1, sizeof *plan); /* some kilobytes: not for every worker's stack */

    if (!plan)
        return err_memory(err);
    bool ok = plan_make(&p, plan, err);
    if (ok)
        *out = *plan;
    else
        cert_plan_clear(plan);
    free(plan);
    return ok;
}
