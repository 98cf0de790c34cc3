/* The RA certificates of one generation: the ones in use, and former ones that still open messages.
 */
#include <stdlib.h>

#include "authority_internal.h"

struct ra_kind {
    const char *what;
    uint32_t needed;
    const char *needed_text;
    unsigned uses;
};

static const struct ra_kind ra_single = {
    "the RA certificate", KU_DIGITAL_SIGNATURE | KU_KEY_ENCIPHERMENT,
    "digitalSignature and keyEncipherment", SIGNER_MESSAGES | SIGNER_DECRYPT};
static const struct ra_kind ra_signing = {"the signing RA certificate", KU_DIGITAL_SIGNATURE,
                                          "digitalSignature", SIGNER_MESSAGES};
static const struct ra_kind ra_encryption = {"the encryption RA certificate", KU_KEY_ENCIPHERMENT,
                                             "keyEncipherment", SIGNER_DECRYPT};

static bool load_ra(const struct authority *a, const struct generation_files *g, const char *path,
                    const struct ra_kind *kind, struct cert **out, struct err *err)
{
    struct pubkey key;
    struct purpose p;
    if (!authority_read_certificate(path, out, err) ||
        !authority_read_purpose(*out, path, &p, err) ||
        !authority_check_issued(*out, path, a->cert, a->public_key, g->files.certificate, err))
        return false;
    if (p.is_ca)
        return err_set(err, ERR_CONFIG, "%s is a CA certificate and cannot be %s", path,
                       kind->what);
    if ((p.key_usage & kind->needed) != kind->needed)
        return err_set(err, ERR_CONFIG, "%s: %s needs the keyUsage %s: have it issued so", path,
                       kind->what, kind->needed_text);
    if (!pubkey_parse((*out)->spki, &key, err) || key.type != KEY_RSA)
        return err_set(err, ERR_CONFIG, "%s: %s needs an RSA key", path, kind->what);
    return true;
}

static bool load_set(const struct authority *a, const struct generation_files *g,
                     const struct ra_files *f, struct ra_set *out, struct err *err)
{
    *out = (struct ra_set){
        .shape = f->shape, .number = f->number, .key_signing = -1, .key_encryption = -1};
    if (f->shape != RA_SINGLE)
        return load_ra(a, g, f->signing, &ra_signing, &out->signing, err) &&
               load_ra(a, g, f->encryption, &ra_encryption, &out->encryption, err);
    bool ok = load_ra(a, g, f->signing, &ra_single, &out->signing, err);
    out->encryption = out->signing;
    return ok;
}

static void clear_set(struct ra_set *s)
{
    if (s->encryption != s->signing)
        cert_free(s->encryption);
    cert_free(s->signing);
    *s = (struct ra_set){0};
}

int64_t ra_set_end(const struct ra_set *s)
{
    return s->signing->not_after < s->encryption->not_after ? s->signing->not_after
                                                            : s->encryption->not_after;
}

static bool has_begun(const struct ra_set *s, int64_t now)
{
    return s->signing->not_before <= now && s->encryption->not_before <= now;
}

/* The latest of a shape is in use, whoever put it there; one that a clock ahead of its time has
 * made only once its time has come, if there is another. */
static struct ra_set *latest(struct authority *a, enum ra_shape shape, int64_t now)
{
    struct ra_set *found = NULL;
    for (size_t i = 0; i < a->set_n; i++) {
        struct ra_set *s = &a->set[i];
        if (s->shape != shape)
            continue;
        bool later = found && ra_set_end(s) >= ra_set_end(found);
        if (!found || (has_begun(s, now) == has_begun(found, now) ? later : has_begun(s, now)))
            found = s;
    }
    return found;
}

static void drop(struct authority *a, size_t i)
{
    clear_set(&a->set[i]);
    memmove(&a->set[i], &a->set[i + 1], (a->set_n - i - 1) * sizeof a->set[0]);
    a->set[--a->set_n] = (struct ra_set){0};
}

static void drop_ended(struct authority *a, int64_t now)
{
    for (size_t i = a->set_n; i-- > 0;)
        if (ra_set_end(&a->set[i]) < now && latest(a, a->set[i].shape, now) != &a->set[i])
            drop(a, i);
}

static void choose(struct authority *a, int64_t now)
{
    const struct ra_set *single = latest(a, RA_SINGLE, now), *pair = latest(a, RA_PAIR, now);
    a->ra = single ? single->signing : NULL;
    a->ra_signing = pair ? pair->signing : NULL;
    a->ra_encryption = pair ? pair->encryption : NULL;
}

static bool check_used(const struct authority *a, const struct generation_files *g,
                       const struct ra_files *f, struct err *err)
{
    for (size_t i = 0; i < a->set_n; i++) {
        const struct ra_set *s = &a->set[i];
        bool used = s->signing == a->ra || s->signing == a->ra_signing;
        if (!used || s->number != f->number || s->shape != f->shape)
            continue;
        return authority_check_time(s->signing, f->signing, g->now, err) &&
               (s->shape == RA_SINGLE ||
                authority_check_time(s->encryption, f->encryption, g->now, err));
    }
    return true;
}

bool authority_load_ras(struct authority *a, const struct generation_files *g, struct err *err)
{
    int64_t now = g->now;
    for (size_t i = 0; i < g->ra_n; i++) {
        if (a->set_n == AUTHORITY_MAX_RAS)
            drop_ended(a, now);
        if (a->set_n == AUTHORITY_MAX_RAS)
            return err_set(err, ERR_CONFIG, "more than %d RAs of one authority", AUTHORITY_MAX_RAS);
        if (!load_set(a, g, &g->ra[i], &a->set[a->set_n], err)) {
            clear_set(&a->set[a->set_n]);
            return false;
        }
        a->set_n++;
    }
    drop_ended(a, now);
    choose(a, now);
    bool ok = true;
    for (size_t i = 0; ok && !g->look && a->role != AUTHORITY_FORMER && i < g->ra_n; i++)
        ok = check_used(a, g, &g->ra[i], err);
    return ok;
}

/* ---- their keys ---- */

static const struct ra_files *files_of(const struct generation_files *g, const struct ra_set *s)
{
    for (size_t i = 0; i < g->ra_n; i++)
        if (g->ra[i].number == s->number && g->ra[i].shape == s->shape)
            return &g->ra[i];
    return NULL;
}

static bool add_set(struct ra_set *s, const struct ra_files *f, const char *passphrase_file,
                    struct signer_spec *spec, struct err *err)
{
    if (s->shape != RA_SINGLE)
        return authority_add_key(spec, f->signing_key, passphrase_file, s->signing, ra_signing.uses,
                                 &s->key_signing, err) &&
               authority_add_key(spec, f->encryption_key, passphrase_file, s->encryption,
                                 ra_encryption.uses, &s->key_encryption, err);
    bool ok = authority_add_key(spec, f->signing_key, passphrase_file, s->signing, ra_single.uses,
                                &s->key_signing, err);
    s->key_encryption = s->key_signing;
    return ok;
}

bool authority_add_ra_keys(struct authority *a, const struct generation_files *g,
                           struct signer_spec *spec, struct err *err)
{
    int64_t now = g->now;
    for (size_t i = 0; i < a->set_n; i++) {
        struct ra_set *s = &a->set[i];
        const struct ra_files *f = files_of(g, s);
        if (!f || ra_set_end(s) < now)
            continue;
        if (!add_set(s, f, g->files.passphrase_file, spec, err))
            return false;
        if (s->signing == a->ra)
            a->key_ra = s->key_signing;
        if (s->signing == a->ra_signing) {
            a->key_ra_signing = s->key_signing;
            a->key_ra_encryption = s->key_encryption;
        }
    }
    return true;
}

void authority_free_ras(struct authority *a)
{
    for (size_t i = 0; i < a->set_n; i++)
        clear_set(&a->set[i]);
}
