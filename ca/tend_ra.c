/* An RA that devices know from before the authority moved in: its key goes on opening what they
 * send to it. */
#include <string.h>

#include "base/text.h"
#include "tend_internal.h"

/* What an RA certificate needs, whoever made it: ca/authority_ra.c refuses others when it loads
 * them. */
static bool check(const struct authority *a, const struct cert *c, EVP_PKEY *key, uint32_t needed,
                  int64_t now, struct err *err)
{
    struct extensions x = {0};
    struct err ignored = {0};
    struct pubkey own;
    EVP_PKEY *public_key = NULL;
    char subject[NAME_TEXT_MAX], end[32];
    const char *fault = NULL;
    name_der_text(c->subject, subject, sizeof subject);
    if (!view_eq(c->issuer, a->cert->subject) || !cert_signature_verify(c, a->public_key, &ignored))
        fault = "was not issued by this authority";
    else if (!pubkey_parse(c->spki, &own, &ignored) || own.type != KEY_RSA ||
             !pubkey_load(&own, &public_key, &ignored) || EVP_PKEY_eq(public_key, key) != 1)
        fault = "does not belong to the key that was given, or that is not RSA";
    else if (c->extensions.n && !extensions_parse(c->extensions, REASON_INTERNAL, &x, &ignored))
        fault = "has malformed extensions";
    else if (x.is_ca || !x.has_key_usage || (x.key_usage & needed) != needed)
        fault = "is not an RA's (keyUsage, basicConstraints)";
    extensions_clear(&x);
    EVP_PKEY_free(public_key);
    if (fault)
        return err_set(err, ERR_CONFIG, "\"%.150s\" %s", subject, fault);
    text_time(c->not_after, end);
    return now <= c->not_after ||
           err_set(err, ERR_CONFIG, "\"%.150s\" has ended on %s: nobody will need it", subject,
                   end);
}

static bool is_known(const struct authority *a, const struct cert *c)
{
    for (size_t i = 0; i < a->set_n; i++)
        if (view_eq(buf_view(&a->set[i].encryption->der), buf_view(&c->der)))
            return true;
    return false;
}

static bool save(const struct change *c, unsigned number, const char *part, EVP_PKEY *key,
                 const struct cert *cert, struct err *err)
{
    char path[MANIFEST_PATH];
    return manifest_path_ra(c->directory, number, part, ".key", path, err) &&
           change_save_key(c, key, path, err) &&
           manifest_path_ra(c->directory, number, part, ".pem", path, err) &&
           change_save_certificate(c, cert, path, err);
}

static bool add(struct change *c, const struct tend_ra *ra, struct err *err)
{
    struct manifest_generation *g = manifest_find(c->manifest, c->family->current->generation);
    bool single = ra->shape == RA_SINGLE;
    unsigned number = ++c->manifest->last_ra;
    if (!g || g->ra_n == MANIFEST_MAX_RAS || c->family->current->set_n >= AUTHORITY_MAX_RAS)
        return err_set(err, ERR_CONFLICT, "the authority has too many RAs that have not ended");
    if (!save(c, number, single ? "" : "-signing", ra->signing_key, ra->signing, err) ||
        (!single && !save(c, number, "-encryption", ra->encryption_key, ra->encryption, err)))
        return false;
    g->ra[g->ra_n++] = (struct manifest_ra){number, ra->shape};
    return true;
}

bool tend_take_ra(const struct tend *t, const struct tend_ra *ra, struct err *err)
{
    const uint32_t signs = KU_DIGITAL_SIGNATURE, opens = KU_KEY_ENCIPHERMENT;
    bool single = ra->shape == RA_SINGLE;
    char subject[NAME_TEXT_MAX];
    struct change c;
    bool ok = change_begin(&c, t, err);
    const struct authority *a = ok ? c.family->current : NULL;
    ok = ok &&
         check(a, ra->signing, ra->signing_key, single ? signs | opens : signs, t->now, err) &&
         (single || check(a, ra->encryption, ra->encryption_key, opens, t->now, err));
    if (ok && is_known(a, single ? ra->signing : ra->encryption))
        ok = err_set(err, ERR_EXISTS, "the authority has this RA already");
    ok = ok && add(&c, ra, err);
    if (ok) {
        name_der_text((single ? ra->signing : ra->encryption)->subject, subject, sizeof subject);
        change_event(&c, "ra.taken", "RA %u of generation %u, %.150s, from before",
                     c.manifest->last_ra, a->generation, subject);
        ok = change_commit(&c, err);
    }
    change_end(&c);
    return ok;
}
