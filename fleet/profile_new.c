/* A profile in one step: what the policy says for the device, a challenge that is good for this
 * alone, and the file. */
#include "fleet/profile_new.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "ca/keyfile.h"
#include "ca/outside.h"
#include "fleet_internal.h"

#define SECRET_MAX 2049
#define URL_TEXT_MAX 512

/* What a file is made of, and everything that it borrows from. */
struct making {
    const struct fleet *f;
    const struct fleet_profile_wish *wish;
    const struct config_endpoint *endpoint;
    struct profile_wish facts;
    struct name subject; /* owned */
    struct san san;      /* owned */
    struct eku eku;
    struct family *family;        /* owned; NULL when `rooms` are there */
    struct bundle upstream;       /* owned: certificates of an upstream's authority */
    struct profile_signer signer; /* owned */
    bool is_signed;
    char url[URL_TEXT_MAX];
    char secret[SECRET_MAX]; /* "": none */
};

static void making_clear(struct making *m)
{
    name_clear(&m->subject);
    san_clear(&m->san);
    family_free(m->family);
    bundle_clear(&m->upstream);
    profile_signer_clear(&m->signer);
    OPENSSL_cleanse(m->secret, sizeof m->secret);
}

void fleet_profile_clear(struct fleet_profile *p)
{
    profile_file_clear(&p->file);
    *p = (struct fleet_profile){0};
}

/* ---- facts ---- */

static bool find_endpoint(struct making *m, const struct store_policy *p, struct err *err)
{
    const struct config *c = m->f->config;
    m->endpoint = fleet_endpoint(m->f, p);
    if (!m->endpoint)
        return err_set(err, ERR_CONFLICT, "policy %s is for endpoint %s, which is not configured",
                       p->name, p->endpoint);
    size_t n = strlen(c->url);
    while (n > 0 && c->url[n - 1] == '/')
        n--;
    if (n == 0)
        return err_set(err, ERR_CONFLICT,
                       "the configuration does not say by which address devices reach this server: "
                       "set url = \"http://...\" in %.160s",
                       c->file);
    snprintf(m->url, sizeof m->url, "%.*s%s", (int)n, c->url, m->endpoint->path);
    return true;
}

static const struct authority *authority_of(struct making *m, struct err *err)
{
    const struct config *c = m->f->config;
    size_t i = 0;
    while (i < c->authority_n && strcmp(c->authority[i].name, m->endpoint->authority) != 0)
        i++;
    if (i == c->authority_n) {
        err_set(err, ERR_CONFIG, "there is no authority %s", m->endpoint->authority);
        return NULL;
    }
    if (m->wish->rooms)
        return m->wish->rooms->authority[i];
    return config_family_look(c, i, &m->family, err) ? m->family->current : NULL;
}

/* Nothing that comes over the network is told to devices as something to trust. */
static bool put_upstream(struct making *m, struct err *err)
{
    struct profile_wish *w = &m->facts;
    const struct config_upstream *u = config_upstream_by_name(m->f->config, m->endpoint->upstream);
    struct buf bytes = {0};
    if (!u || !u->ca_certificate[0])
        return err_set(err, ERR_CONFLICT,
                       "a profile needs the certificate of the authority behind endpoint %s: set "
                       "ca_certificate of upstream %s",
                       m->endpoint->path, m->endpoint->upstream);
    bool ok = file_read(u->ca_certificate, &bytes, err) &&
              bundle_read(buf_view(&bytes), view_of(NULL, 0), u->ca_certificate, &m->upstream, err);
    buf_clear(&bytes);
    for (size_t i = 0; ok && i < m->upstream.n && w->ca_n < PROFILE_MAX_CA; i++)
        w->ca[w->ca_n++] = buf_view(&m->upstream.cert[i]->der);
    return ok;
}

static bool put_authority(struct making *m, struct err *err)
{
    struct profile_wish *w = &m->facts;
    if (m->endpoint->upstream[0])
        return put_upstream(m, err);
    const struct authority *a = authority_of(m, err);
    if (!a)
        return false;
    w->ca[w->ca_n++] = buf_view(&a->cert->der);
    for (size_t i = 0; i < a->chain_n && w->ca_n < PROFILE_MAX_CA; i++)
        w->ca[w->ca_n++] = buf_view(&a->chain[i]->der);
    return true;
}

static bool put_key(const struct store_policy *p, struct making *m, struct err *err)
{
    struct profile_wish *w = &m->facts;
    char names[sizeof p->eku];
    w->key_type = strcmp(p->key_type, "ec") == 0 ? KEY_EC : KEY_RSA;
    w->key_bits = p->key_size;
    w->usage = (p->key_usage & POLICY_USAGE_SIGNING ? PROFILE_SIGN : 0) |
               (p->key_usage & POLICY_USAGE_ENCRYPTION ? PROFILE_ENCRYPT : 0);
    memcpy(names, p->eku, sizeof names);
    char *rest = names;
    for (char *one = strtok_r(names, ", ", &rest); one; one = strtok_r(NULL, ", ", &rest)) {
        char oid[OID_TEXT_MAX];
        if (!eku_by_name(one, oid) || !eku_add(&m->eku, oid))
            return err_set(err, ERR_CONFIG, "policy %s: \"%.64s\" is no extended key usage",
                           p->name, one);
    }
    w->eku = &m->eku;
    return true;
}

static bool open_signer(struct making *m, struct err *err)
{
    const struct config_profiles *p = &m->f->config->profiles;
    struct buf certificates = {0};
    EVP_PKEY *key = NULL;
    if (!p->certificate[0])
        return true;
    bool ok = file_read(p->certificate, &certificates, err) &&
              key_load(p->key, p->passphrase_file, &key, err) &&
              profile_signer_load(buf_view(&certificates), key, &m->signer, err);
    buf_clear(&certificates);
    m->is_signed = ok;
    return ok || err_prefix(err, "signing profiles");
}

/* ---- names ---- */

/* Jamf Pro fills these in itself. */
static bool jamf_names(struct making *m, const struct store_policy *p, struct err *err)
{
    const struct fleet_values v = {.value = {[FLEET_DEVICENAME] = "$COMPUTERNAME",
                                             [FLEET_SERIALNUMBER] = "$SERIALNUMBER",
                                             [FLEET_UDID] = "$UDID",
                                             [FLEET_USER] = "$USERNAME",
                                             [FLEET_POLICY] = p->name}};
    unsigned uses = fleet_pattern_uses(p->subject, p->san);
    if (uses & (1u << FLEET_EMAIL | 1u << FLEET_HOST | 1u << FLEET_GROUP))
        return err_refuse(err, REASON_PROFILE_UNFIT,
                          "Jamf Pro has no variable that could stand for %%%s%% in policy %s",
                          fleet_wildcard_name(uses & 1u << FLEET_EMAIL  ? FLEET_EMAIL
                                              : uses & 1u << FLEET_HOST ? FLEET_HOST
                                                                        : FLEET_GROUP),
                          p->name);
    return fleet_names_build(p->subject, p->san, &v, &m->subject, &m->san, err);
}

/* ---- the file ---- */

/* All but the challenge. */
static bool put_facts(struct making *m, const struct fleet_profile *p, struct err *err)
{
    const struct config_profiles *set = &m->f->config->profiles;
    m->facts = (struct profile_wish){.kind = m->wish->kind,
                                     .url = m->url,
                                     .ca_identifier = "",
                                     .subject = &m->subject,
                                     .san = &m->san,
                                     .retries = p->policy.retries,
                                     .retry_delay = p->policy.retry_delay,
                                     .device_id = p->device.id,
                                     .device_name = p->device.name,
                                     .policy_id = p->policy.id,
                                     .policy_name = p->policy.name,
                                     .organization = set->organization,
                                     .prefix = set->identifier};
    return put_authority(m, err) && put_key(&p->policy, m, err);
}

static bool build(struct making *m, struct fleet_profile *p, struct err *err)
{
    m->facts.challenge = m->secret[0] ? m->secret : NULL;
    return profile_build(&m->facts, m->is_signed ? &m->signer : NULL, &p->file, err);
}

/* Could there be a file, if it had a challenge? */
static bool try_build(const struct making *m, struct err *err)
{
    struct profile_wish w = m->facts;
    struct profile_file file = {.media_type = ""};
    w.challenge = "0123456789ABCDEF";
    bool ok = profile_build(&w, NULL, &file, err);
    profile_file_clear(&file);
    return ok;
}

/* ---- challenges ---- */

static bool static_challenge(struct making *m, struct err *err)
{
    struct buf secret = {0};
    if (!m->endpoint->static_challenge_file[0])
        return err_set(err, ERR_CONFLICT, "endpoint %s has no static challenge", m->endpoint->path);
    if (!config_static_challenge(m->endpoint->static_challenge_file, &secret, err))
        return false;
    bool fits = secret.n < sizeof m->secret && !memchr(secret.p, '\0', secret.n);
    if (fits)
        memcpy(m->secret, secret.p, secret.n);
    buf_wipe(&secret);
    return fits || err_refuse(err, REASON_PROFILE_UNFIT, "the static challenge is too long");
}

static bool upstream_challenge(struct making *m, const struct store_policy *p, struct err *err)
{
    if (!m->endpoint->upstream[0])
        return err_set(err, ERR_CONFLICT, "endpoint %s has no upstream to fetch challenges from",
                       m->endpoint->path);
    if (!m->wish->fetch)
        return err_set(err, ERR_BUSY, "nobody can ask the upstream %s", m->endpoint->upstream);
    return m->wish->fetch(m->wish->ctx, m->endpoint->upstream, m->secret, sizeof m->secret, err);
}

/* Those of an upstream are few, and each that is fetched is gone. */
static bool put_challenge(struct making *m, struct fleet_profile *p, struct err *err)
{
    switch (p->policy.challenge) {
    case POLICY_ONE_TIME:
        return challenge_secret(0, m->secret, err);
    case POLICY_STATIC:
        return static_challenge(m, err);
    case POLICY_UPSTREAM:
        return try_build(m, err) && upstream_challenge(m, &p->policy, err);
    case POLICY_NONE:
        break;
    }
    return true;
}

/* A group is in the names too, and may be called otherwise by now, or be another one. */
static bool same_names(const struct making *m, const struct fleet_names *names)
{
    char subject[FLEET_NAMES_MAX], san[FLEET_NAMES_MAX];
    name_text(&m->subject, subject, sizeof subject);
    san_text(&m->san, san, sizeof san);
    return strcmp(subject, names->subject) == 0 && strcmp(san, names->san) == 0;
}

/* Of the secret that is in the file. */
static bool own_challenge(struct making *m, struct store_write *w, struct fleet_profile *p,
                          struct err *err)
{
    const struct fleet_challenge_wish wish = {
        .device = p->device.id, .policy = p->policy.id, .ttl = m->wish->ttl, .secret = m->secret};
    struct fleet_challenge c = {.secret = ""};
    if (!fleet_challenge_add(m->f, w, &wish, &c, err))
        return false;
    bool same = c.device.version == p->device.version && c.policy.version == p->policy.version &&
                same_names(m, &c.names);
    memcpy(p->challenge, c.record.id, sizeof p->challenge);
    p->expires_at = c.record.expires_at;
    fleet_challenge_wipe(&c);
    return same || err_set(err, ERR_CONFLICT,
                           "device %.64s, policy %.64s or its group was changed meanwhile",
                           p->device.name, p->policy.name);
}

/* ---- the whole ---- */

static bool audit(const struct making *m, struct store_write *w, const struct fleet_profile *p,
                  struct err *err)
{
    static const char *const challenges[] = {[POLICY_ONE_TIME] = "challenge",
                                             [POLICY_STATIC] = "the endpoint's static challenge",
                                             [POLICY_UPSTREAM] = "a challenge of the upstream",
                                             [POLICY_NONE] = "no challenge"};
    const char *object = p->device.id[0] ? p->device.id : p->policy.id;
    return fleet_audit(m->f, w, err, "profile.new", object, "%s by policy %s (%s), %s%s%s",
                       profile_kind_name(m->wish->kind), p->policy.id, p->policy.name,
                       challenges[p->policy.challenge], p->challenge[0] ? " " : "", p->challenge);
}

/* What needs no write, and may take its time. */
static bool prepare(struct making *m, struct fleet_profile *p, struct err *err)
{
    bool device = profile_kind_has_device(m->wish->kind);
    if (!device && !m->wish->policy)
        return err_set(err, ERR_CONFIG, "policy: a profile for all devices needs one");
    if (device && !m->wish->device)
        return err_set(err, ERR_CONFIG, "device: a profile of this kind is for one device");
    if (!device && m->wish->device)
        return err_set(err, ERR_CONFIG, "device: a profile of this kind is for all devices");
    if (device &&
        !fleet_entitled(m->f, m->wish->device, m->wish->policy, &p->device, &p->policy, err))
        return false;
    if (!device && !fleet_policy_get(m->f, m->wish->policy, &p->policy, err))
        return false;
    return find_endpoint(m, &p->policy, err) && open_signer(m, err) &&
           (device ? fleet_names_parts(m->f, &p->policy, &p->device, &m->subject, &m->san, err)
                   : jamf_names(m, &p->policy, err)) &&
           put_facts(m, p, err);
}

/* That the file is handed out, with the challenge that it holds. */
static bool keep(struct making *m, struct fleet_profile *p, struct err *err)
{
    struct store_write *w = NULL;
    bool own = profile_kind_has_device(m->wish->kind) && p->policy.challenge == POLICY_ONE_TIME;
    return store_write_begin(m->f->store, &w, err) &&
           fleet_finish(w, (!own || own_challenge(m, w, p, err)) && audit(m, w, p, err), err);
}

/* Files are read, upstreams asked and signatures made before the write begins, which holds up
 * everybody else. */
bool fleet_profile_new(const struct fleet *f, const struct fleet_profile_wish *wish,
                       struct fleet_profile *out, struct err *err)
{
    struct fleet_profile p = {.file = {.media_type = ""}};
    struct making m = {.f = f, .wish = wish};
    bool device = profile_kind_has_device(wish->kind);
    bool ok = prepare(&m, &p, err) && (!device || put_challenge(&m, &p, err)) &&
              build(&m, &p, err) && keep(&m, &p, err);
    making_clear(&m);
    if (ok)
        *out = p;
    else
        fleet_profile_clear(&p);
    return ok;
}
