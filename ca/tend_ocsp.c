/* Another OCSP responder for a generation: key, certificate, and its place in the manifest. */
#include "base/text.h"
#include "ca/keyfile.h"
#include "make.h"
#include "tend_internal.h"

/* "X OCSP"; a CA from elsewhere may have a name with parts that are not issued here. */
static bool name_responder(const struct authority *a, struct name *out, struct err *err)
{
    struct err ignored = {0};
    return make_name(&a->subject, " OCSP", out, &ignored) ||
           name_add(out, name_type_by_key("CN"), a->name, REASON_SUBJECT_FORBIDDEN, err);
}

static bool make_responder(struct change *c, const struct authority *a, EVP_PKEY *issuer_key,
                           struct cert **out, struct err *err)
{
    char path[MANIFEST_PATH];
    struct name subject = {0};
    unsigned number = ++c->manifest->last_ocsp;
    struct make m = {.role = ROLE_OCSP,
                     .subject = &subject,
                     .issuer = a->cert,
                     .issuer_key = issuer_key,
                     .key_usage = KU_DIGITAL_SIGNATURE,
                     .ocsp_responder = true,
                     .path_len = -1,
                     .validity = c->t->rules->ocsp_validity,
                     .now = c->t->now};
    bool ok = name_responder(a, &subject, err) &&
              key_generate(c->t->rules->ocsp_key, &m.key, err) &&
              make_certificate(&m, "ocsp", out, err) &&
              manifest_path_ocsp(c->directory, number, ".key", path, err) &&
              change_save_key(c, m.key, path, err) &&
              manifest_path_ocsp(c->directory, number, ".pem", path, err) &&
              change_save_certificate(c, *out, path, err);
    name_clear(&subject);
    EVP_PKEY_free(m.key);
    return ok;
}

/* The one before stays where it is until the next renewal, when it has ended: a daemon that serves
 * with it may need its key once more. */
bool tend_renew_ocsp(const struct tend *t, unsigned generation, struct err *err)
{
    struct change c;
    struct cert *cert = NULL;
    EVP_PKEY *issuer_key = NULL;
    char end[32];
    bool ok = change_begin(&c, t, err);
    const struct authority *a = ok ? change_member(&c, generation) : NULL;
    struct manifest_generation *g = ok ? manifest_find(c.manifest, generation) : NULL;
    if (ok && (!a || !g || !t->rules->ocsp_key || g->retired_at || t->now >= a->cert->not_after))
        ok = err_set(err, ERR_CONFLICT, "generation %u needs no OCSP responder", generation);
    ok = ok && change_ca_key(&c, generation, &issuer_key, err) &&
         make_responder(&c, a, issuer_key, &cert, err);
    if (ok) {
        manifest_add_ocsp(g, c.manifest->last_ocsp);
        text_time(cert->not_after, end);
        change_event(&c, "ocsp.renewed", "OCSP responder %u of generation %u, until %s",
                     c.manifest->last_ocsp, generation, end);
        ok = change_commit(&c, err);
    }
    cert_free(cert);
    EVP_PKEY_free(issuer_key);
    change_end(&c);
    return ok;
}
