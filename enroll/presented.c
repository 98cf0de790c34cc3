#include "presented.h"

#include <ctype.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "enroll/binding.h"
#include "decision.h"

static bool by_hash(const struct enroll_context *ctx, const uint8_t hash[STORE_HASH],
                    struct presented *out, struct err *err)
{
    struct err why = {0};
    if (store_challenge_by_hash(ctx->store, hash, &out->challenge, &why)) {
        out->kind = PRESENTED_ONE_TIME;
        return true;
    }
    if (why.kind != ERR_NOT_FOUND) {
        return err_pass(err, &why);
    }
    out->kind = PRESENTED_UNKNOWN;
    return true;
}

/* ---- an unknown one: would it be known if it were written otherwise? ---- */

/* Longer ones are no password that somebody typed. */
#define VARIANT_MAX 256

struct variants {
    const struct enroll_context *ctx;
    const struct enroll_policy *policy;
    struct presented *out;
};

/* Only a hash is looked for, and only its id is told, in the log and the store. */
static bool variant_known(const struct variants *v, struct view secret, const char *how)
{
    uint8_t hash[STORE_HASH];
    struct store_challenge c;
    struct err ignored = {0};
    if (secret.n == 0 || !challenge_hash(v->ctx->challenge_key, secret, hash))
        return false;
    const char *id = NULL;
    if ((v->policy->challenges & CHALLENGE_STATIC) &&
        text_secret_eq(view_of(hash, sizeof hash), view_of(v->policy->static_hash, STORE_HASH)))
        id = "the endpoint's static one";
    else if (store_challenge_by_hash(v->ctx->store, hash, &c, &ignored))
        id = c.id;
    OPENSSL_cleanse(hash, sizeof hash);
    if (id)
        snprintf(v->out->hint, sizeof v->out->hint, "it would be %s %s", id, how);
    return id != NULL;
}

static struct view trimmed(struct view s)
{
    while (s.n && (isspace(s.p[0]) || s.p[0] == '"'))
        s = view_of(s.p + 1, s.n - 1);
    while (s.n && (isspace(s.p[s.n - 1]) || s.p[s.n - 1] == '"' || s.p[s.n - 1] == '\0'))
        s.n--;
    return s;
}

static struct view mapped(struct view s, int (*map)(int), uint8_t *out)
{
    for (size_t i = 0; i < s.n; i++)
        out[i] = (uint8_t)map(s.p[i]);
    return view_of(out, s.n);
}

/* Windows wants base64 in its CSP node, and only there. */
static struct view decoded(struct view s, uint8_t *out)
{
    int padding = 0;
    for (size_t i = s.n; i > 0 && s.p[i - 1] == '='; i--)
        padding++;
    int n = s.n % 4 == 0 && padding <= 2 ? EVP_DecodeBlock(out, s.p, (int)s.n) : -1;
    return view_of(out, n > padding ? (size_t)(n - padding) : 0);
}

static void look_for_variants(const struct enroll_context *ctx, const struct enroll_policy *policy,
                              struct view secret, struct presented *out)
{
    const struct variants v = {ctx, policy, out};
    uint8_t copy[VARIANT_MAX];
    if (secret.n > sizeof copy)
        return;
    struct view core = trimmed(secret);
    bool found = (!(policy->challenges & CHALLENGE_ONE_TIME) &&
                  variant_known(&v, secret, "which this endpoint does not take")) ||
                 (core.n < secret.n &&
                  variant_known(&v, core, "without the blanks, line end or quotes around it")) ||
                 variant_known(&v, mapped(core, toupper, copy), "in capitals") ||
                 variant_known(&v, mapped(core, tolower, copy), "in small letters") ||
                 variant_known(&v, trimmed(decoded(core, copy)), "after base64 decoding");
    if (!found)
        out->hint[0] = '\0';
    OPENSSL_cleanse(copy, sizeof copy);
}

bool presented_find(const struct enroll_context *ctx, const struct enroll_policy *policy,
                    const struct csr *csr, struct presented *out, struct err *err)
{
    *out = (struct presented){.kind = PRESENTED_NONE};
    /* a field left empty in a device's profile is no challenge */
    if (!policy->challenges || !csr->has_challenge || csr->challenge.n == 0)
        return true;
    uint8_t hash[STORE_HASH];
    bool ok = true;
    if (!challenge_hash(ctx->challenge_key, buf_view(&csr->challenge), hash))
        ok = err_set(err, ERR_CRYPTO, "HMAC-SHA256 failed");
    else if ((policy->challenges & CHALLENGE_STATIC) &&
             text_secret_eq(view_of(hash, sizeof hash), view_of(policy->static_hash, STORE_HASH)))
        out->kind = PRESENTED_STATIC;
    else if (policy->challenges & CHALLENGE_ONE_TIME)
        ok = by_hash(ctx, hash, out, err);
    else
        out->kind = PRESENTED_UNKNOWN;
    OPENSSL_cleanse(hash, sizeof hash);
    if (ok && out->kind == PRESENTED_UNKNOWN)
        look_for_variants(ctx, policy, buf_view(&csr->challenge), out);
    return ok;
}

bool presented_kept(const struct enroll_context *ctx, const struct store_request *r,
                    struct presented *out, struct err *err)
{
    *out = (struct presented){.kind = PRESENTED_NONE};
    if (!*r->challenge)
        return true;
    if (strcmp(r->challenge, STATIC_CHALLENGE_ID) == 0) {
        out->kind = PRESENTED_STATIC;
        return true;
    }
    return by_hash(ctx, r->challenge_hash, out, err);
}

const char *presented_id(const struct presented *p)
{
    switch (p->kind) {
    case PRESENTED_STATIC:
        return STATIC_CHALLENGE_ID;
    case PRESENTED_ONE_TIME:
        return p->challenge.id;
    case PRESENTED_NONE:
    case PRESENTED_UNKNOWN:
        break;
    }
    return "";
}

const char *presented_label(const struct presented *p)
{
    return p->kind == PRESENTED_ONE_TIME ? p->challenge.label : "";
}

bool presented_usable(const struct presented *p, const uint8_t key_hash[STORE_HASH], int64_t when,
                      struct err *err)
{
    const struct store_challenge *c = &p->challenge;
    char then[32], made[32];
    if (p->kind != PRESENTED_ONE_TIME)
        return true;
    text_time(c->created_at, made);
    if (c->revoked_at) {
        text_time(c->revoked_at, then);
        return err_refuse(err, REASON_CHALLENGE_REVOKED, "%s, made %s, was revoked %s", c->id, made,
                          then);
    }
    if (c->uses && c->used >= c->uses) {
        bool same = memcmp(c->used_by_key, key_hash, STORE_HASH) == 0;
        text_time(c->used_at, then);
        return err_refuse(
            err, REASON_CHALLENGE_USED,
            "%s was used %s by transaction %.64s from %s for %.64s (%s key); %u of %u uses", c->id,
            then, c->used_by_transaction, c->used_by_peer, c->used_by_subject,
            same ? "the same" : "another", c->used, c->uses);
    }
    if (c->expires_at && when >= c->expires_at) {
        text_time(c->expires_at, then);
        return err_refuse(err, REASON_CHALLENGE_EXPIRED, "%s, made %s, expired %s", c->id, made,
                          then);
    }
    return true;
}

/* Where a policy gave the names, they are all that the certificate may say; only what the template
 * builds comes beside them. */
static bool exact(const struct store_challenge *c, const struct template *t,
                  const struct cert_plan *plan, struct err *err)
{
    char text[NAME_TEXT_MAX];
    if (!*c->policy || !*c->subject)
        return true;
    if (!t->subject_build && !binding_subject_whole(c->subject, &plan->subject)) {
        name_text(&plan->subject, text, sizeof text);
        return err_refuse(err, REASON_CHALLENGE_BOUND,
                          "%s is for no more than \"%.100s\", the request has \"%.120s\"", c->id,
                          c->subject, text);
    }
    if (!t->san_build_n && !*c->san && plan->san.n) {
        san_text(&plan->san, text, sizeof text);
        return err_refuse(err, REASON_CHALLENGE_BOUND,
                          "%s is for no alternative name, the request has \"%.120s\"", c->id, text);
    }
    return true;
}

static bool bound(const struct store_challenge *c, const struct enroll_policy *policy,
                  const struct cert_plan *plan, struct err *err)
{
    if (*c->endpoint && strcmp(c->endpoint, policy->endpoint) != 0)
        return err_refuse(err, REASON_CHALLENGE_BOUND, "%s is for endpoint %s, used at %s", c->id,
                          c->endpoint, policy->endpoint);
    if (*c->template_name && strcmp(c->template_name, policy->template->name) != 0)
        return err_refuse(err, REASON_CHALLENGE_BOUND,
                          "%s is for template %s, the endpoint's is %s", c->id, c->template_name,
                          policy->template->name);
    char text[NAME_TEXT_MAX];
    if (*c->subject && !binding_subject(c->subject, &plan->subject)) {
        name_text(&plan->subject, text, sizeof text);
        return err_refuse(err, REASON_CHALLENGE_BOUND,
                          "%s is for subject \"%.100s\", the request has \"%.120s\"", c->id,
                          c->subject, text);
    }
    if (*c->san && !binding_san(c->san, &plan->san)) {
        san_text(&plan->san, text, sizeof text);
        return err_refuse(err, REASON_CHALLENGE_BOUND,
                          "%s is for \"%.100s\", the request has \"%.120s\"", c->id, c->san, text);
    }
    return exact(c, policy->template, plan, err);
}

bool presented_judge(const struct presented *p, const struct enroll_policy *policy,
                     const struct cert_plan *plan, const uint8_t key_hash[STORE_HASH], int64_t when,
                     struct err *err)
{
    switch (p->kind) {
    case PRESENTED_NONE:
        return err_refuse(err, REASON_CHALLENGE_MISSING,
                          "endpoint %s wants a challengePassword and there is none",
                          policy->endpoint);
    case PRESENTED_UNKNOWN:
        return err_refuse(err, REASON_CHALLENGE_UNKNOWN,
                          "no challenge at endpoint %s is like the one sent%s%s", policy->endpoint,
                          *p->hint ? "; " : "", p->hint);
    case PRESENTED_STATIC:
        return true;
    case PRESENTED_ONE_TIME:
        break;
    }
    return presented_usable(p, key_hash, when, err) && bound(&p->challenge, policy, plan, err);
}
