/* The OCSP responder of one generation: the latest of those that the manifest names, or the one
 * before while that is still good.  Whatever is wrong with them, the authority goes on issuing: it
 * answers no OCSP, says why, and ca/tend.c makes another one. */
#include <stdio.h>
#include <unistd.h>

#include "authority_internal.h"
#include "ca/lint.h"
#include "tbs.h"

/* Made here, so it is exactly what the profile says (C40), or something has happened to it. */
static bool is_sound(const struct authority *a, const struct cert *c, const char *path,
                     struct err *err)
{
    struct eku purposes = {.n = 0};
    if (!eku_add(&purposes, EKU_OCSP_SIGNING))
        return err_memory(err);
    const struct lint_limits limits = {.role = ROLE_OCSP,
                                       .issuer = a->cert,
                                       .key_usage = KU_DIGITAL_SIGNATURE,
                                       .eku = &purposes,
                                       .max_validity = INT64_MAX,
                                       .now = c->not_before}; /* the clock is asked elsewhere */
    if (cert_lint(c, &limits, err))
        return true;
    err->kind = ERR_CONFIG;
    err->reason = REASON_NONE;
    return err_prefix(err, "%s", path);
}

static bool read_one(const struct authority *a, const struct generation_files *g,
                     const struct ocsp_files *f, struct cert **out, struct err *err)
{
    struct cert *c = NULL;
    bool ok =
        authority_read_certificate(f->certificate, &c, err) &&
        authority_check_issued(c, f->certificate, a->cert, a->public_key, g->files.certificate,
                               err) &&
        is_sound(a, c, f->certificate, err) &&
        (g->look || authority_check_time(c, f->certificate, g->now, err)) &&
        (access(f->key, R_OK) == 0 || err_errno(err, "the key of the OCSP responder, %s", f->key));
    if (ok)
        *out = c;
    else
        cert_free(c);
    return ok;
}

void authority_load_ocsp(struct authority *a, const struct generation_files *g)
{
    struct ocsp_delegate *o = &a->ocsp;
    if (!g->files.ocsp || g->now > a->cert->not_after)
        return;
    o->renewable = access(g->files.key, R_OK) == 0;
    for (size_t i = g->ocsp_n; i-- > 0 && !o->cert;) {
        struct err why = {0};
        if (read_one(a, g, &g->ocsp[i], &o->cert, &why))
            o->number = g->ocsp[i].number;
        else if (!o->fault[0]) /* of the latest, which counts */
            snprintf(o->fault, sizeof o->fault, "%s", why.text);
    }
    if (!o->cert && !o->fault[0])
        snprintf(o->fault, sizeof o->fault, "no OCSP responder has been made yet%s",
                 o->renewable ? "" : ": the CA key cannot be read");
}

void authority_add_ocsp_key(struct authority *a, const struct generation_files *g,
                            struct signer_spec *spec)
{
    struct err why = {0};
    for (size_t i = 0; a->ocsp.cert && i < g->ocsp_n; i++)
        if (g->ocsp[i].number == a->ocsp.number &&
            !authority_add_key(spec, g->ocsp[i].key, g->files.passphrase_file, a->ocsp.cert,
                               SIGNER_OCSP, &a->ocsp.key, &why)) {
            snprintf(a->ocsp.fault, sizeof a->ocsp.fault, "%s", why.text);
            a->ocsp.key = -1;
        }
}
