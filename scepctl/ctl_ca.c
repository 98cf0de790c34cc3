/* scepctl ca ... */
#include <stdio.h>
#include <string.h>

#include "pkcs7/cert.h"
#include "scepctl/ctl.h"
#include "config/suggest.h"

int ctl_find_authority(struct ctl *ctl, const char *name, size_t *out)
{
    char hint[128];
    struct suggest near = suggest_start(name);
    for (size_t i = 0; i < ctl->config->authority_n; i++) {
        if (strcmp(ctl->config->authority[i].name, name) == 0) {
            *out = i;
            return CTL_DONE;
        }
        suggest_offer(&near, ctl->config->authority[i].name);
    }
    return ctl_fail(ctl, CTL_NOT_FOUND, "scepctl ca show", "there is no authority \"%s\"%s", name,
                    suggest_text(&near, hint, sizeof hint));
}

int ctl_look_at_authority(struct ctl *ctl, size_t i, struct family **out)
{
    struct err err = {0};
    if (config_family_look(ctl->config, i, out, &err))
        return CTL_DONE;
    return ctl_fail_err(ctl, &err, "scepd --check-config shows all that is wrong");
}

static void show_crl(struct ctl *ctl, struct ctl_show *s, const struct authority *a)
{
    struct store_crl crl = {0};
    struct err err = {0};
    if (store_crl_about(ctl->store, a->key_id, STORE_CRL_COMPLETE, &crl, &err)) {
        ctl_show_number(s, "crl_number", (int64_t)crl.number);
        ctl_show_time(s, "crl_next_update", crl.next_update);
    }
}

/* Lines for an RA certificate or an OCSP responder's: who and until when. */
static void show_ra(struct ctl_show *s, const char *key, const struct cert *c)
{
    char label[64], subject[NAME_TEXT_MAX], print[3 * 64];
    struct err err = {0};
    if (!c)
        return;
    name_der_text(c->subject, subject, sizeof subject);
    ctl_show_text(s, key, subject);
    snprintf(label, sizeof label, "%s_not_after", key);
    ctl_show_time(s, label, c->not_after);
    snprintf(label, sizeof label, "%s_sha256", key);
    if (cert_fingerprint(c, DIGEST_SHA256, print, &err))
        ctl_show_text(s, label, print);
}

const char *ctl_role_name(const struct authority *a, int64_t now)
{
    static const char *const words[] = {
        [AUTHORITY_CURRENT] = "current", [AUTHORITY_FORMER] = "former", [AUTHORITY_NEXT] = "next"};
    return a->role == AUTHORITY_FORMER && now > a->cert->not_after ? "ended" : words[a->role];
}

const char *ctl_step_name(const struct tend_step *s)
{
    switch (s->what) {
    case TEND_NOTHING:
        return "";
    case TEND_RETIRE:
        return "put away what has ended";
    case TEND_RENEW_RA:
        return s->by_hand ? "renew the RA, by hand" : "renew the RA";
    case TEND_ACTIVATE:
        return "the next CA takes over";
    case TEND_MAKE_NEXT:
        return s->by_hand ? "make the next CA, by hand" : "make the next CA";
    case TEND_RENEW_OCSP:
        return "renew the OCSP responder";
    }
    return "";
}

void ctl_next_step(struct ctl *ctl, size_t authority, const struct family *f, struct tend_step *out)
{
    struct family_files files;
    struct tend_rules rules;
    config_tend_setup(ctl->config, authority, &files, &rules);
    tend_plan(f, &rules, ctl->now, out);
}

static void show_generation(struct ctl *ctl, const struct config_authority *c,
                            const struct family *f, const struct authority *a,
                            const struct tend_step *step)
{
    struct ctl_show s;
    struct err err = {0};
    char print[3 * 64];
    ctl_show_start(&s, ctl);
    ctl_show_text(&s, "authority", c->name);
    ctl_show_number(&s, "generation", a->generation);
    ctl_show_text(&s, "role", ctl_role_name(a, ctl->now));
    if (a->generation == 1)
        ctl_show_text(&s, "certificate", c->certificate);
    ctl_show_cert(&s, a->cert);
    if (cert_fingerprint(a->cert, DIGEST_MD5, print, &err)) /* what Cisco devices show */
        ctl_show_text(&s, "md5", print);
    show_ra(&s, "ra", a->ra);
    show_ra(&s, "ra_signing", a->ra_signing);
    show_ra(&s, "ra_encryption", a->ra_encryption);
    show_ra(&s, "ocsp", a->ocsp.cert);
    ctl_show_text(&s, "ocsp_fault", a->ocsp.fault);
    show_crl(ctl, &s, a);
    ctl_show_text(&s, "crl_url", a->crl_url);
    ctl_show_text(&s, "issuer_url", a->issuer_url);
    ctl_show_text(&s, "ocsp_url", a->ocsp_url);
    if (a == f->next)
        ctl_show_time(&s, "takes_over", f->activates_at);
    if (a == f->current && step->what != TEND_NOTHING) {
        ctl_show_text(&s, "next_step", ctl_step_name(step));
        ctl_show_time(&s, "next_step_at", step->at);
    }
    ctl_show_end(&s);
}

/* The current generation first: it is what most people ask for. */
static int show_authority(struct ctl *ctl, size_t i)
{
    struct family *f = NULL;
    struct tend_step step;
    int rc = ctl_look_at_authority(ctl, i, &f);
    if (rc)
        return rc;
    ctl_next_step(ctl, i, f, &step);
    const struct authority *a;
    for (size_t k = 0; (a = family_member(f->current, k)); k++) {
        if (k && !ctl->json)
            putchar('\n');
        show_generation(ctl, &ctl->config->authority[i], f, a, &step);
    }
    family_free(f);
    return CTL_DONE;
}

int ctl_ca_show(struct ctl *ctl, const struct ctl_args *a)
{
    size_t one = 0;
    int rc = ctl_need_store(ctl);
    if (rc)
        return rc;
    if (a->id_n)
        return (rc = ctl_find_authority(ctl, a->id[0], &one)) ? rc : show_authority(ctl, one);
    for (size_t i = 0; i < ctl->config->authority_n && rc == CTL_DONE; i++)
        rc = show_authority(ctl, i);
    return rc;
}

int ctl_one_authority(struct ctl *ctl, const char *name, size_t *out)
{
    *out = 0;
    if (name)
        return ctl_find_authority(ctl, name, out);
    if (ctl->config->authority_n > 1)
        return ctl_fail(ctl, CTL_USAGE, "scepctl ca show lists them",
                        "there are %zu authorities: name one", ctl->config->authority_n);
    return CTL_DONE;
}

static int find_generation(struct ctl *ctl, const struct ctl_args *a, const struct family *f,
                           const struct authority **out)
{
    int64_t number = 0;
    int rc = ctl_arg_number(ctl, a, "generation", 1, INT32_MAX, f->current->generation, &number);
    if (rc == CTL_DONE && ctl_arg(a, "next")) {
        if (!f->next)
            return ctl_fail(ctl, CTL_NOT_FOUND, "scepctl ca rollover new makes one",
                            "authority \"%s\" has no next CA", f->name);
        number = f->next->generation;
    }
    for (size_t i = 0; rc == CTL_DONE && i < f->n; i++)
        if (f->member[i]->generation == number) {
            *out = f->member[i];
            return CTL_DONE;
        }
    return rc ? rc
              : ctl_fail(ctl, CTL_NOT_FOUND, "scepctl ca rollover status lists them",
                         "authority \"%s\" has no generation %lld", f->name, (long long)number);
}

int ctl_ca_export(struct ctl *ctl, const struct ctl_args *a)
{
    bool der = ctl_arg(a, "der"), chain = ctl_arg(a, "chain");
    size_t one = 0;
    struct family *f = NULL;
    const struct authority *g = NULL;
    int rc = ctl_need_config(ctl);
    if (rc)
        return rc;
    if (der && chain)
        return ctl_fail(ctl, CTL_USAGE, NULL, "--der holds one certificate: not with --chain");
    if ((rc = ctl_one_authority(ctl, a->id_n ? a->id[0] : NULL, &one)) ||
        (rc = ctl_look_at_authority(ctl, one, &f)))
        return rc;
    rc = find_generation(ctl, a, f, &g);
    if (rc == CTL_DONE)
        rc = ctl_print_cert(ctl, buf_view(&g->cert->der), der);
    for (size_t i = 0; chain && rc == CTL_DONE && i < g->chain_n; i++)
        rc = ctl_print_cert(ctl, buf_view(&g->chain[i]->der), false);
    family_free(f);
    return rc;
}
