/* From the settings to what serves: authorities with their certificates, policies of the endpoints,
 * and the list of keys for the signer. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/crypto.h>
#include <openssl/provider.h>

#include "config_internal.h"

static const struct template *template_by_name(const struct config *c, const char *name)
{
    for (size_t i = 0; i < c->template_n; i++)
        if (strcmp(c->template[i].name, name) == 0)
            return &c->template[i];
    return NULL;
}

/* The templates that endpoints of this authority use: the limits of its signer. */
static size_t templates_of(const struct config *c, const char *authority,
                           const struct template **out)
{
    size_t n = 0;
    for (size_t i = 0; i < c->endpoint_n; i++) {
        if (strcmp(c->endpoint[i].authority, authority))
            continue;
        const struct template *t = template_by_name(c, c->endpoint[i].template_name);
        size_t k = 0;
        while (k < n && out[k] != t)
            k++;
        if (k == n)
            out[n++] = t;
    }
    return n;
}

static const char *or_null(const char *text)
{
    return text[0] ? text : NULL;
}

static void files_of(const struct config_authority *a, struct family_files *out)
{
    struct family_files f = {.directory = a->directory,
                             .first = {
                                 .name = a->name,
                                 .certificate = a->certificate,
                                 .key = a->key,
                                 .passphrase_file = or_null(a->passphrase_file),
                                 .chain_n = a->chain_n,
                                 .ra_certificate = or_null(a->ra_certificate),
                                 .ra_key = or_null(a->ra_key),
                                 .ra_signing_certificate = or_null(a->ra_signing_certificate),
                                 .ra_signing_key = or_null(a->ra_signing_key),
                                 .ra_encryption_certificate = or_null(a->ra_encryption_certificate),
                                 .ra_encryption_key = or_null(a->ra_encryption_key),
                                 .crl_url = or_null(a->crl_url),
                                 .issuer_url = or_null(a->issuer_url),
                                 .ocsp_url = or_null(a->ocsp_url),
                                 .ocsp = strcmp(a->ocsp_key, "none") != 0,
                                 .ca_decrypts = a->ca_decrypts,
                                 .digest = a->digest,
                                 .crl_validity = a->crl_validity,
                                 .crl_period = a->crl_period,
                                 .crl_shards = (unsigned)a->crl_shards,
                                 .crl_delta = a->crl_delta,
                             }};
    for (size_t i = 0; i < a->chain_n; i++)
        f.first.chain[i] = a->chain[i];
    *out = f;
}

/* Templates that any endpoint of the authority gives by. */
static int64_t longest_of(const struct config *c, const char *authority)
{
    const struct template *templates[CONFIG_MAX_ENDPOINTS];
    size_t n = templates_of(c, authority, templates);
    int64_t longest = 0;
    for (size_t i = 0; i < n; i++)
        if (templates[i]->validity > longest)
            longest = templates[i]->validity;
    return longest;
}

void config_tend_setup(const struct config *c, size_t authority, struct family_files *files,
                       struct tend_rules *rules)
{
    const struct config_authority *a = &c->authority[authority];
    files_of(a, files);
    *rules = (struct tend_rules){.ra_automatic = a->ra_automatic,
                                 .ca_automatic = a->rollover_automatic,
                                 .ra_validity = a->ra_validity,
                                 .ra_renew_before = a->ra_renew_before,
                                 .ca_announce = a->rollover_announce,
                                 .ca_before = a->rollover_before,
                                 .ca_validity = a->rollover_validity,
                                 .longest = longest_of(c, a->name),
                                 .ocsp_key = strcmp(a->ocsp_key, "none") ? a->ocsp_key : NULL,
                                 .ocsp_validity = a->ocsp_validity,
                                 .root_key = a->root_key};
}

static bool load_family(const struct config *c, size_t i, enum family_load how,
                        struct signer_spec *spec, struct family **out, struct err *err)
{
    const struct template *templates[CONFIG_MAX_ENDPOINTS];
    struct family_files files;
    files_of(&c->authority[i], &files);
    size_t n = templates_of(c, c->authority[i].name, templates);
    if (!family_load(&files, how, templates, n, spec, out, err))
        return err_prefix(err, "authority \"%s\"", c->authority[i].name);
    return true;
}

bool config_family_look(const struct config *c, size_t authority, struct family **out,
                        struct err *err)
{
    return load_family(c, authority, FAMILY_LOOK, NULL, out, err);
}

static int64_t due_of(const struct config *c, const struct config_rooms *r, int64_t now)
{
    int64_t due = INT64_MAX;
    for (size_t i = 0; i < c->authority_n; i++) {
        struct family_files files;
        struct tend_rules rules;
        struct tend_step step;
        config_tend_setup(c, i, &files, &rules);
        tend_plan_automatic(r->family[i], &rules, now, &step);
        if (step.at < due)
            due = step.at;
    }
    return due;
}

/* The current generations stand first, so that an authority of the configuration and its current
 * generation have the same place. */
static void list_members(const struct config *c, struct config_rooms *r)
{
    for (size_t i = 0; i < c->authority_n; i++)
        r->member[r->member_n++] = r->authority[i] = r->family[i]->current;
    for (size_t i = 0; i < c->authority_n; i++)
        for (size_t k = 0; k < r->family[i]->n; k++)
            if (r->family[i]->member[k] != r->authority[i])
                r->member[r->member_n++] = r->family[i]->member[k];
}

static bool static_hash(const struct config_endpoint *e, const struct challenge_key *key,
                        uint8_t hash[STORE_HASH], struct err *err)
{
    struct buf secret = {0};
    bool done = config_static_challenge(e->static_challenge_file, &secret, err) &&
                (challenge_hash(key, buf_view(&secret), hash) ||
                 err_set(err, ERR_CRYPTO, "its challenge cannot be hashed"));
    buf_wipe(&secret);
    return done || err_prefix(err, "endpoint \"%s\"", e->path);
}

/* The password that a page shows again and again; the page's process has to know it in clear. */
static bool load_ndes_password(const struct config *c, const struct config_ndes *n, struct buf *out,
                               struct err *err)
{
    const struct config_endpoint *e = config_endpoint_by_path(c, n->endpoint);
    if (!n->single_password || !e)
        return true;
    return config_static_challenge(e->static_challenge_file, out, err) ||
           err_prefix(err, "ndes page \"%s\"", n->path);
}

static bool load_policy(const struct config *c, const struct config_endpoint *e,
                        const struct config_rooms *r, struct enroll_policy *p, struct err *err)
{
    memcpy(p->endpoint, e->path, strlen(e->path) + 1); /* config_check: it fits */
    for (size_t i = 0; i < c->authority_n; i++)
        if (strcmp(c->authority[i].name, e->authority) == 0)
            p->authority = r->authority[i];
    p->template = template_by_name(c, e->template_name);
    p->challenges = e->challenges;
    p->manual = e->manual;
    p->pending_ttl = e->pending_ttl;
    p->max_pending = (uint64_t)e->max_pending;
    p->renewal = e->renewal;
    p->renewal_challenge = e->renewal_challenge;
    p->banned = r->banned;
    p->duplicates = e->duplicates;
    p->any_signer_key = e->any_signer_key;
    const struct config_webhook *w = config_webhook_by_name(c, e->validate);
    memcpy(p->validate, e->validate, sizeof p->validate);
    p->validate_refuses = w && w->refuse_on_failure;
    return !(e->challenges & CHALLENGE_STATIC) ||
           static_hash(e, &r->challenge_key, p->static_hash, err);
}

static bool needs_des(const struct config *c)
{
    unsigned all = 0;
    for (size_t i = 0; i < c->endpoint_n; i++)
        all |= c->endpoint[i].ciphers;
    return all & ALG_BIT(CIPHER_DES);
}

bool config_rooms_load(const struct config *c, struct config_rooms *out, struct err *err)
{
    struct config_rooms r = {0};
    if (!(r.spec = calloc(1, sizeof *r.spec)))
        return err_memory(err);
    bool good = (!needs_des(c) || cipher_legacy_load(&r.legacy, err)) &&
                challenge_key_load(c->challenge_key_file, false, &r.challenge_key, err) &&
                (!c->banned_keys_file[0] || banned_keys_load(c->banned_keys_file, &r.banned, err));
    for (size_t i = 0; good && i < c->authority_n; i++)
        good = load_family(c, i, FAMILY_SERVE, r.spec, &r.family[i], err);
    r.spec->confinement = c->confinement;
    r.spec->certificates_per_minute = c->certificates_per_minute;
    r.spec->banned = r.banned.hash;
    r.spec->banned_n = r.banned.n;
    if (good) {
        list_members(c, &r);
        r.due = due_of(c, &r, time(NULL));
    }
    for (size_t i = 0; good && i < c->endpoint_n; i++)
        good = load_policy(c, &c->endpoint[i], &r, &r.policy[i], err);
    for (size_t i = 0; good && i < c->ndes_n; i++)
        good = load_ndes_password(c, &c->ndes[i], &r.ndes_password[i], err);
    if (!good) {
        config_rooms_clear(c, &r);
        return false;
    }
    *out = r;
    OPENSSL_cleanse(&r, sizeof r);
    return true;
}

void config_rooms_clear(const struct config *c, struct config_rooms *r)
{
    for (size_t i = 0; i < c->authority_n; i++)
        family_free(r->family[i]);
    for (size_t i = 0; i < CONFIG_MAX_NDES; i++)
        buf_wipe(&r->ndes_password[i]);
    banned_keys_clear(&r->banned);
    free(r->spec);
    if (r->legacy)
        OSSL_PROVIDER_unload(r->legacy);
    OPENSSL_cleanse(r, sizeof *r);
}
