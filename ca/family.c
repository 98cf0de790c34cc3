#include "ca/family.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "authority_internal.h"
#include "ca/keyfile.h"
#include "manifest.h"

/* ---- looking up ---- */

const struct authority *family_member(const struct authority *a, size_t i)
{
    const struct family *f = a->family;
    if (i == 0)
        return a;
    if (!f)
        return NULL;
    for (size_t k = f->n; k-- > 0;) /* the newest first: most messages are for it */
        if (f->member[k] != a && --i == 0)
            return f->member[k];
    return NULL;
}

const struct authority *family_by_key_id(const struct authority *a, const uint8_t key_id[20])
{
    const struct authority *m;
    for (size_t i = 0; (m = family_member(a, i)); i++)
        if (memcmp(m->key_id, key_id, sizeof m->key_id) == 0)
            return m;
    return NULL;
}

static bool has_key_at(const struct authority *a, int key)
{
    for (size_t i = 0; i < a->set_n; i++)
        if (a->set[i].key_signing == key || a->set[i].key_encryption == key)
            return true;
    return a->key_ca == key;
}

const struct authority *family_by_key(const struct authority *a, int key)
{
    const struct authority *m;
    for (size_t i = 0; key >= 0 && (m = family_member(a, i)); i++)
        if (has_key_at(m, key))
            return m;
    return NULL;
}

bool family_has_key(const struct authority *a, const uint8_t key_hash[32])
{
    const struct authority *m;
    for (size_t i = 0; (m = family_member(a, i)); i++)
        for (size_t k = 0; k < m->key_hash_n; k++)
            if (memcmp(m->key_hash[k], key_hash, sizeof m->key_hash[k]) == 0)
                return true;
    return false;
}

bool family_url(const char *url, unsigned generation, char *out, size_t cap)
{
    const char *host = strstr(url, "://"), *path = host ? strchr(host + 3, '/') : NULL;
    size_t end = strcspn(url, "?#"), stem = end;
    int n;
    if (generation < 2 || !*url) {
        n = snprintf(out, cap, "%s", url);
    } else if (!path || path + 1 >= url + end) { /* nothing but a host */
        n = snprintf(out, cap, "%.*s/g%u%s", (int)(path ? (size_t)(path - url) : end), url,
                     generation, url + end);
    } else {
        while (url[stem] != '.' && url[stem] != '/')
            stem--;
        if (url[stem] == '/' || url[stem - 1] == '/')
            stem = end;
        n = snprintf(out, cap, "%.*s-g%u%s", (int)stem, url, generation, url + stem);
    }
    return n >= 0 && (size_t)n < cap;
}

/* ---- loading ---- */

/* Room for the paths of one generation. */
struct paths {
    char certificate[MANIFEST_PATH], key[MANIFEST_PATH];
    char chain[AUTHORITY_MAX_CHAIN][MANIFEST_PATH];
    char ra[AUTHORITY_MAX_RAS + 2][4][MANIFEST_PATH];
    char ocsp[MANIFEST_MAX_OCSP][2][MANIFEST_PATH];
    char crl_url[256], issuer_url[256], ocsp_url[256];
};

static bool name_ra(const char *directory, const struct manifest_ra *r, struct ra_files *out,
                    char room[4][MANIFEST_PATH], struct err *err)
{
    const char *signing = r->shape == RA_SINGLE ? "" : "-signing";
    *out = (struct ra_files){.shape = r->shape,
                             .number = r->number,
                             .signing = room[0],
                             .signing_key = room[1],
                             .encryption = room[2],
                             .encryption_key = room[3]};
    return manifest_path_ra(directory, r->number, signing, ".pem", room[0], err) &&
           manifest_path_ra(directory, r->number, signing, ".key", room[1], err) &&
           manifest_path_ra(directory, r->number, "-encryption", ".pem", room[2], err) &&
           manifest_path_ra(directory, r->number, "-encryption", ".key", room[3], err);
}

/* Of what is more than fits, the newest count: the others have ended (ca/tend.c sees to that). */
static bool name_ras(const char *directory, const struct manifest_generation *m,
                     struct generation_files *g, struct paths *p, struct err *err)
{
    size_t room = sizeof g->ra / sizeof g->ra[0] - g->ra_n;
    for (size_t i = m->ra_n > room ? m->ra_n - room : 0; i < m->ra_n; i++) {
        if (!name_ra(directory, &m->ra[i], &g->ra[g->ra_n], p->ra[g->ra_n], err))
            return false;
        g->ra_n++;
    }
    return true;
}

static bool name_ocsp(const char *directory, const struct manifest_generation *m,
                      struct generation_files *g, struct paths *p, struct err *err)
{
    for (unsigned i = 0; i < m->ocsp_n; i++) {
        if (!manifest_path_ocsp(directory, m->ocsp[i], ".pem", p->ocsp[i][0], err) ||
            !manifest_path_ocsp(directory, m->ocsp[i], ".key", p->ocsp[i][1], err))
            return false;
        g->ocsp[g->ocsp_n++] = (struct ocsp_files){m->ocsp[i], p->ocsp[i][0], p->ocsp[i][1]};
    }
    return true;
}

static bool name_url(const char *first, unsigned number, char out[256])
{
    return family_url(first ? first : "", number, out, 256);
}

static bool name_urls(const struct authority_files *first, unsigned number, struct paths *p,
                      struct err *err)
{
    return (name_url(first->crl_url, number, p->crl_url) &&
            name_url(first->issuer_url, number, p->issuer_url) &&
            name_url(first->ocsp_url, number, p->ocsp_url)) ||
           err_set(err, ERR_CONFIG, "a URL of generation %u is too long", number);
}

static bool name_files(const struct family_files *f, const struct manifest_generation *m,
                       struct generation_files *g, struct paths *p, struct err *err)
{
    const char *directory = f->directory;
    if (m->number == 1)
        return generation_configured(g, &f->first, err) && name_ras(directory, m, g, p, err) &&
               name_ocsp(directory, m, g, p, err);
    *g = (struct generation_files){.files = f->first, .generation = m->number};
    g->files.certificate = p->certificate;
    g->files.key = p->key;
    g->files.crl_url = p->crl_url;
    g->files.issuer_url = p->issuer_url;
    g->files.ocsp_url = p->ocsp_url;
    g->files.chain_n = m->chain_n;
    bool ok = manifest_path_ca(directory, m->number, ".pem", p->certificate, err) &&
              manifest_path_ca(directory, m->number, ".key", p->key, err) &&
              name_urls(&f->first, m->number, p, err) && name_ras(directory, m, g, p, err) &&
              name_ocsp(directory, m, g, p, err);
    for (unsigned i = 0; ok && i < m->chain_n; i++) {
        ok = manifest_path_chain(directory, m->number, i + 1, p->chain[i], err);
        g->files.chain[i] = p->chain[i];
    }
    return ok;
}

bool family_name_files(const struct family_files *f, const struct manifest_generation *m,
                       struct generation_files *out, void **room, struct err *err)
{
    struct paths *p = calloc(1, sizeof *p);
    if (!p)
        return err_memory(err);
    if (!name_files(f, m, out, p, err)) {
        free(p);
        return false;
    }
    *room = p;
    return true;
}

static enum authority_role role_of(const struct manifest *m, unsigned number)
{
    return number == m->current  ? AUTHORITY_CURRENT
           : number < m->current ? AUTHORITY_FORMER
                                 : AUTHORITY_NEXT;
}

/* Another certificate of the same key may stand in the configuration, but never another key. */
static bool check_same_key(const struct family_files *f, const struct manifest *m,
                           const struct manifest_generation *g, const struct authority *a,
                           struct err *err)
{
    if (m->changes == 0 || memcmp(g->key, a->key_hash[0], sizeof g->key) == 0)
        return true;
    return err_set(err, ERR_CONFIG,
                   "%s has another key than generation %u of the authority whose files lie in %s: "
                   "give it a directory of its own",
                   g->number == 1 ? f->first.certificate : "a certificate", g->number,
                   f->directory);
}

static int64_t now_of(const struct family_files *f)
{
    return f->now ? f->now : time(NULL);
}

static bool load_member(const struct family_files *f, enum family_load how,
                        const struct manifest *m, const struct manifest_generation *mg,
                        const struct template *const *templates, size_t templates_n,
                        struct signer_spec *spec, struct authority **out, struct err *err)
{
    struct generation_files g;
    void *room = NULL;
    bool ok = family_name_files(f, mg, &g, &room, err);
    if (ok) {
        g.role = role_of(m, mg->number);
        g.look = how == FAMILY_LOOK;
        g.now = now_of(f);
        ok = generation_load(&g, templates, templates_n, spec, out, err);
        if (ok && !check_same_key(f, m, mg, *out, err)) {
            authority_free(*out);
            *out = NULL;
            ok = false;
        }
    }
    free(room);
    return ok;
}

/* Is one of the RAs that the manifest names not loaded, since it has ended and another is in use?
 * Or has the whole generation ended? */
static bool is_stale(const struct manifest_generation *m, const struct authority *a, int64_t now)
{
    if (a->role != AUTHORITY_CURRENT && now > a->cert->not_after)
        return m->retired_at == 0;
    for (unsigned i = 0; i < m->ra_n; i++) {
        bool loaded = false;
        for (size_t k = 0; k < a->set_n; k++)
            loaded |= a->set[k].number == m->ra[i].number;
        if (!loaded)
            return true;
    }
    return false;
}

/* RFC 8894 section 4.7.1 */
static bool load_announcements(const struct family_files *f, const struct manifest *m,
                               struct family *out, struct err *err)
{
    char path[MANIFEST_PATH];
    bool ok = true;
    for (int shape = RA_SINGLE; ok && m->announcement && shape <= RA_NONE; shape++) {
        struct err why = {0};
        ok = manifest_path_announcement(f->directory, m->announcement, (enum ra_shape)shape, path,
                                        err);
        if (ok && !file_read(path, &out->announcement[shape], &why) && why.kind != ERR_NOT_FOUND) {
            *err = why;
            ok = false;
        }
    }
    return ok;
}

static void find_roles(struct family *f)
{
    for (size_t i = 0; i < f->n; i++) {
        f->member[i]->family = f;
        if (f->member[i]->role == AUTHORITY_CURRENT)
            f->current = f->member[i];
        if (f->member[i]->role == AUTHORITY_NEXT)
            f->next = f->member[i];
    }
}

/* RFC 8894 section 2.2 */
bool family_load(const struct family_files *files, enum family_load how,
                 const struct template *const *templates, size_t templates_n,
                 struct signer_spec *spec, struct family **out, struct err *err)
{
    struct manifest *m = malloc(sizeof *m);
    struct family *f = calloc(1, sizeof *f);
    size_t keys = spec ? spec->n : 0;
    bool ok = (m && f) || err_memory(err);
    ok = ok && manifest_load(files->directory, m, err);
    for (unsigned i = 0; ok && i < m->n; i++) {
        ok = load_member(files, how, m, &m->generation[i], templates, templates_n, spec,
                         &f->member[f->n], err);
        if (!ok)
            break;
        f->retired_at[f->n] = m->generation[i].retired_at;
        f->stale |= is_stale(&m->generation[i], f->member[f->n], now_of(files));
        f->n++;
    }
    ok = ok && load_announcements(files, m, f, err);
    if (ok) {
        find_roles(f);
        snprintf(f->name, sizeof f->name, "%s", files->first.name);
        f->changes = m->changes;
        f->activates_at = f->next ? manifest_next(m)->activate_at : 0;
        *out = f;
    } else {
        family_free(f);
        if (spec)
            spec->n = keys;
    }
    free(m);
    return ok;
}

void family_free(struct family *f)
{
    if (!f)
        return;
    for (size_t i = 0; i < f->n; i++)
        authority_free(f->member[i]);
    for (size_t i = 0; i < sizeof f->announcement / sizeof f->announcement[0]; i++)
        buf_clear(&f->announcement[i]);
    free(f);
}
