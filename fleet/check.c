/* A policy held against a device, a request, or all its devices: changes nothing. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ca/keyfile.h"
#include "ca/template.h"
#include "client/client.h"
#include "enroll/assigned.h"
#include "enroll/binding.h"
#include "fleet_internal.h"
#include "pkcs7/csr.h"

static bool find(struct fleet_check *c, const char *what, bool ok, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

static bool find(struct fleet_check *c, const char *what, bool ok, const char *fmt, ...)
{
    va_list ap;
    if (c->n == FLEET_FINDINGS)
        return ok;
    struct fleet_finding *f = &c->finding[c->n++];
    snprintf(f->what, sizeof f->what, "%s", what);
    f->ok = ok;
    c->ok &= ok;
    va_start(ap, fmt);
    vsnprintf(f->text, sizeof f->text, fmt, ap);
    va_end(ap);
    return ok;
}

/* ---- device and policy ---- */

static void check_standing(const struct store_policy *p, const struct store_device *d,
                           struct fleet_check *c)
{
    static const char *const words[DEVICE_STATES] = {
        "is active", "is isolated: it renews what it has and gets nothing new",
        "is retired: it gets nothing any more"};
    find(c, "device", d->state == DEVICE_ACTIVE, "%.64s %s", d->name, words[d->state]);
    find(c, "policy", !p->paused, "%s is %s", p->name, p->paused ? "paused" : "in force");
}

static bool check_assignment(const struct fleet *f, const struct store_policy *p,
                             const struct store_device *d, struct fleet_check *c, struct err *err)
{
    struct store_reach r;
    if (!fleet_reach_in(f, NULL, p->id, d->id, &r, err))
        return false;
    switch (r.way) {
    case WAY_NONE:
        find(c, "assignment", false,
             "not assigned to the device, nor to a group of it or its user");
        break;
    case WAY_DEVICE:
        find(c, "assignment", true, "assigned to the device by %s", r.by);
        break;
    case WAY_GROUP:
        find(c, "assignment", true, "by group %s", r.group_name);
        break;
    case WAY_USER_GROUP:
        find(c, "assignment", true, "by group %s, in which user %.64s is", r.group_name, d->user);
        break;
    }
    return true;
}

/* ---- a request ---- */

/* As the binding of its challenge is held against it: every attribute that the policy names, and no
 * other that the template does not build. */
static void check_subject(const struct template *t, const struct fleet_names *want,
                          const struct name *got, struct fleet_check *c)
{
    char text[256];
    bool ok = binding_subject(want->subject_binding, got) &&
              (t->subject_build || binding_subject_whole(want->subject_binding, got));
    name_text(got, text, sizeof text);
    find(c, "request subject", ok, "%s%s", text, ok ? "" : " is not what the policy says");
}

static void check_san(const struct template *t, const struct fleet_names *want,
                      const struct san *got, struct fleet_check *c)
{
    char text[256];
    bool ok =
        *want->san_binding ? binding_san(want->san_binding, got) : t->san_build_n || got->n == 0;
    san_text(got, text, sizeof text);
    find(c, "request names", ok, "%s%s", *text ? text : "none",
         ok ? "" : ": not what the policy says");
}

static void check_key(const struct store_policy *p, const struct pubkey *key, struct fleet_check *c)
{
    char text[16];
    struct err why = {0};
    bool ok = assigned_key(p, key, &why);
    pubkey_text(key, text);
    find(c, "request key", ok, "%s", ok ? text : why.text);
}

static bool plan_of(const struct fleet *f, const struct store_policy *p,
                    const struct store_device *d, const struct template *t, const struct csr *csr,
                    struct cert_plan *plan, struct err *err)
{
    const struct template_context context = {.endpoint = p->endpoint,
                                             .transaction = "",
                                             .challenge_label = d->name,
                                             .challenge_id = "chl_000000",
                                             .signer_subject = "",
                                             .now = f->now};
    return template_plan(t, csr, &context, plan, err);
}

static void check_plan(const struct store_policy *p, const struct store_device *d,
                       const struct template *t, const struct csr *csr, const struct fleet *f,
                       struct fleet_check *c)
{
    struct cert_plan plan = {0};
    struct err why = {0};
    if (!plan_of(f, p, d, t, csr, &plan, &why)) {
        find(c, "template", false, "%s: %s", t->name, why.text);
        return;
    }
    find(c, "template", true, "%s allows it", t->name);
    check_subject(t, &c->names, &plan.subject, c);
    check_san(t, &c->names, &plan.san, c);
    cert_plan_clear(&plan);
}

static void check_request(const struct fleet *f, const struct store_policy *p,
                          const struct store_device *d, const struct template *t, struct view der,
                          struct fleet_check *c)
{
    struct csr *csr = NULL;
    struct err why = {0};
    if (!csr_parse(der, t->csr_digests, NULL, (struct view){NULL, 0}, &csr, &why)) {
        find(c, "request", false, "%s", why.text);
        return;
    }
    check_key(p, &csr->key, c);
    check_plan(p, d, t, csr, f, c);
    csr_free(csr);
}

/* The key that the policy wants, as far as a template looks at it. */
static void pretend_key(const struct store_policy *p, struct pubkey *key)
{
    bool ec = strcmp(p->key_type, "ec") == 0;
    key->type = ec ? KEY_EC : KEY_RSA;
    key->bits = p->key_size;
    key->curve = p->key_size == 384 ? CURVE_P384 : CURVE_P256;
}

/* Without a request: would the template let one through that asks for just these names?  It is
 * written with a small key, made at once, and then taken for one with a key as the policy says:
 * large ones take a second to make. */
static void check_template(const struct fleet *f, const struct store_policy *p,
                           const struct store_device *d, const struct template *t,
                           struct fleet_check *c)
{
    struct name subject = {0};
    struct san san = {0};
    struct client_wish wish = {.subject = &subject, .san = &san};
    struct buf der = {0};
    struct csr *csr = NULL;
    struct cert_plan plan = {0};
    EVP_PKEY *key = NULL;
    struct err why = {0};
    bool ok = fleet_names_parts(f, p, d, &subject, &san, &why);
    if (ok && !san.n)
        wish.san = NULL;
    ok =
        ok && key_generate("p256", &key, &why) && client_csr_build(key, &wish, &der, &why) &&
        csr_parse(buf_view(&der), ALG_BIT(DIGEST_SHA256), NULL, (struct view){NULL, 0}, &csr, &why);
    if (ok)
        pretend_key(p, &csr->key);
    ok = ok && plan_of(f, p, d, t, csr, &plan, &why);
    find(c, "template", ok, ok ? "%s allows it" : "%s: %s", t->name, why.text);
    cert_plan_clear(&plan);
    csr_free(csr);
    buf_clear(&der);
    EVP_PKEY_free(key);
    name_clear(&subject);
    san_clear(&san);
}

bool fleet_policy_check(const struct fleet *f, const char *policy, const char *device,
                        struct view csr, struct fleet_check *out, struct err *err)
{
    struct store_policy p;
    struct store_device d;
    struct err why = {0};
    struct fleet_check c = {.ok = true};
    if (!fleet_policy_in(f, NULL, policy, &p, err) || !fleet_device_in(f, NULL, device, &d, err))
        return false;
    check_standing(&p, &d, &c);
    if (!check_assignment(f, &p, &d, &c, err))
        return false;
    if (!fleet_names(f, &p, &d, &c.names, &why)) {
        if (why.kind != ERR_CONFIG) {
            *err = why;
            return false;
        }
        find(&c, "names", false, "%s", why.text);
    } else {
        find(&c, "names", true, "%.150s%s%.150s", c.names.subject, *c.names.san ? ", " : "",
             c.names.san);
        const struct template *t = fleet_template(f, &p);
        if (!t)
            find(&c, "template", false, "endpoint %s is not configured", p.endpoint);
        else if (csr.n)
            check_request(f, &p, &d, t, csr, &c);
        else
            check_template(f, &p, &d, t, &c);
    }
    *out = c;
    return true;
}

/* ---- all devices of a policy ---- */

struct survey {
    const struct fleet *f;
    const struct store_policy *p;
    struct fleet_subjects *seen;
    bool (*each)(void *ctx, const struct store_device *d, const char *problem);
    void *ctx;
    uint64_t devices, problems;
    bool stop;
    struct err err;
};

static void problem(struct survey *s, const struct store_device *d, const char *text)
{
    s->problems++;
    s->stop = !s->each(s->ctx, d, text);
}

static void one_device(void *ctx, const struct store_device *d)
{
    struct survey *s = ctx;
    struct fleet_names names;
    struct err why = {0};
    char other[32], text[320];
    if (s->stop || s->err.kind != ERR_NONE)
        return;
    s->devices++;
    if (!fleet_names(s->f, s->p, d, &names, &why)) {
        if (why.kind == ERR_CONFIG)
            problem(s, d, why.text);
        else
            s->err = why;
        return;
    }
    if (!fleet_subjects_add(s->seen, names.subject, d->id, other, &s->err) || !*other)
        return;
    struct store_device first;
    bool known = fleet_device_in(s->f, NULL, other, &first, &why);
    snprintf(text, sizeof text, "device %.64s would get the subject of device %.64s, %.100s",
             d->name, known ? first.name : other, names.subject);
    problem(s, d, text);
}

bool fleet_policy_survey(const struct fleet *f, const char *policy,
                         bool (*each)(void *ctx, const struct store_device *d, const char *problem),
                         void *ctx, uint64_t *devices, uint64_t *problems, struct err *err)
{
    struct store_policy p;
    if (!fleet_policy_in(f, NULL, policy, &p, err))
        return false;
    const struct store_device_filter having = {.state = -1, .policy = p.id};
    struct survey s = {.f = f, .p = &p, .each = each, .ctx = ctx, .seen = fleet_subjects_new()};
    char cursor[STORE_CURSOR_MAX] = "";
    bool ok = s.seen || err_memory(err);
    while (ok && !s.stop) {
        struct store_page page = {.after = cursor, .limit = STORE_PAGE_MAX};
        ok = store_device_page(f->store, &having, &page, one_device, &s, err);
        if (ok && s.err.kind != ERR_NONE) {
            *err = s.err;
            ok = false;
        }
        memcpy(cursor, page.next, sizeof page.next);
        if (!*cursor)
            break;
    }
    fleet_subjects_free(s.seen);
    if (!ok)
        return false;
    *devices = s.devices;
    *problems = s.problems;
    return true;
}
