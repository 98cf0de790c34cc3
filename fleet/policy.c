/* Policies: what they may say, new, edit. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "fleet_internal.h"

#define ID_TRIES 16
#define TTL_DEFAULT 3600
#define TTL_MAX ((int64_t)400 * 86400)
#define RETRIES_MAX 30
#define RETRY_DELAY_MAX 86400

/* ---- endpoint and challenge ---- */

static bool check_endpoint(const struct fleet *f, struct store_policy *p,
                           const struct config_endpoint **out, struct err *err)
{
    if (!*p->endpoint && f->config->endpoint_n == 1)
        snprintf(p->endpoint, sizeof p->endpoint, "%s", f->config->endpoint[0].path);
    if (!*p->endpoint)
        return err_set(err, ERR_CONFIG, "endpoint: it is missing, and there are several");
    const struct config_endpoint *e = config_endpoint_by_path(f->config, p->endpoint);
    if (!e)
        return err_set(err, ERR_CONFIG, "endpoint: there is no endpoint \"%.100s\"", p->endpoint);
    snprintf(p->endpoint, sizeof p->endpoint, "%s", e->path);
    *out = e;
    return true;
}

static bool check_challenge(struct store_policy *p, const struct config_endpoint *e,
                            struct err *err)
{
    if (p->challenge == POLICY_ONE_TIME && !(e->challenges & CHALLENGE_ONE_TIME))
        return err_set(err, ERR_CONFIG, "challenge: endpoint %s takes no one-time challenges",
                       e->path);
    if (p->challenge == POLICY_STATIC && !(e->challenges & CHALLENGE_STATIC))
        return err_set(err, ERR_CONFIG, "challenge: endpoint %s has no static challenge", e->path);
    if (p->challenge == POLICY_UPSTREAM && !*e->upstream)
        return err_set(err, ERR_CONFIG, "challenge: endpoint %s has no upstream", e->path);
    if (p->challenge == POLICY_NONE && e->challenges && !e->manual)
        return err_set(err, ERR_CONFIG,
                       "challenge: endpoint %s wants one, and nobody approves requests there",
                       e->path);
    if (!p->challenge_ttl)
        p->challenge_ttl = TTL_DEFAULT;
    if (p->challenge_ttl < 60 || p->challenge_ttl > TTL_MAX)
        return err_set(err, ERR_CONFIG, "challenge_ttl: from a minute to 400 days");
    return true;
}

/* ---- key and usage ---- */

static bool check_rsa(struct store_policy *p, const struct template *t, struct err *err)
{
    if (!p->key_size)
        p->key_size = 2048;
    if (p->key_size != 1024 && p->key_size != 2048 && p->key_size != 3072 && p->key_size != 4096)
        return err_set(err, ERR_CONFIG, "key_size: of RSA keys 1024, 2048, 3072 or 4096");
    if (p->key_size < t->rsa_min || p->key_size > t->rsa_max)
        return err_set(err, ERR_CONFIG, "key_size: template %s takes RSA keys of %u to %u bits",
                       t->name, t->rsa_min, t->rsa_max);
    return true;
}

static bool check_ec(struct store_policy *p, const struct template *t, struct err *err)
{
    if (!p->key_size)
        p->key_size = 256;
    if (p->key_size != 256 && p->key_size != 384)
        return err_set(err, ERR_CONFIG, "key_size: of EC keys 256 or 384");
    enum key_curve curve = p->key_size == 256 ? CURVE_P256 : CURVE_P384;
    return (t->curves & ALG_BIT(curve)) ||
           err_set(err, ERR_CONFIG, "key_size: template %s takes no keys on %s", t->name,
                   key_curve_name(curve));
}

static bool check_key(struct store_policy *p, const struct template *t, struct err *err)
{
    if (!*p->key_type)
        snprintf(p->key_type, sizeof p->key_type, "%s", t->rsa_max ? "rsa" : "ec");
    if (strcmp(p->key_type, "rsa") == 0)
        return check_rsa(p, t, err);
    if (strcmp(p->key_type, "ec") == 0)
        return check_ec(p, t, err);
    return err_set(err, ERR_CONFIG, "key_type: \"%s\" is neither rsa nor ec", p->key_type);
}

static bool check_usage(struct store_policy *p, const struct template *t, struct err *err)
{
    if (p->key_usage & ~(POLICY_USAGE_SIGNING | POLICY_USAGE_ENCRYPTION))
        return err_set(err, ERR_CONFIG, "key_usage: signing, encryption or both");
    if (!p->key_usage)
        p->key_usage = (t->key_usage & KU_DIGITAL_SIGNATURE ? POLICY_USAGE_SIGNING : 0) |
                       (t->key_usage & KU_KEY_ENCIPHERMENT && strcmp(p->key_type, "rsa") == 0
                            ? POLICY_USAGE_ENCRYPTION
                            : 0);
    if ((p->key_usage & POLICY_USAGE_SIGNING) && !(t->key_usage & KU_DIGITAL_SIGNATURE))
        return err_set(err, ERR_CONFIG, "key_usage: template %s gives no signing", t->name);
    if ((p->key_usage & POLICY_USAGE_ENCRYPTION) &&
        !(t->key_usage & (KU_KEY_ENCIPHERMENT | KU_KEY_AGREEMENT)))
        return err_set(err, ERR_CONFIG, "key_usage: template %s gives no encryption", t->name);
    return true;
}

/* Names or OIDs with commas between, each one that the template gives; written anew by their short
 * names. */
static bool check_eku(struct store_policy *p, const struct template *t, struct err *err)
{
    char copy[sizeof p->eku], kept[sizeof p->eku] = "", *rest = copy, *word;
    size_t n = 0;
    memcpy(copy, p->eku, sizeof copy);
    while (*p->eku && (word = strsep(&rest, ","))) {
        char oid[OID_TEXT_MAX];
        word += strspn(word, " ");
        word[strcspn(word, " ")] = '\0';
        if (!eku_by_name(word, oid))
            return err_set(err, ERR_CONFIG, "eku: \"%.60s\" is no extended key usage", word);
        if (!eku_has(&t->eku, oid))
            return err_set(err, ERR_CONFIG, "eku: template %s does not give %s", t->name,
                           eku_name(oid));
        int length = snprintf(kept + n, sizeof kept - n, "%s%s", n ? "," : "", eku_name(oid));
        if (length < 0 || (size_t)length >= sizeof kept - n)
            return err_set(err, ERR_CONFIG, "eku: it is longer than %zu octets", sizeof kept - 1);
        n += (size_t)length;
    }
    memcpy(p->eku, kept, sizeof p->eku);
    return true;
}

/* ---- the whole ---- */

static void warn_of(const struct store_policy *p, bool unique, struct fleet_warnings *warn)
{
    if (!unique)
        fleet_warn(warn,
                   "the subject has nothing of which each device has its own (%%devicename%%, "
                   "%%serialnumber%%, %%udid%%, %%host%%): only one device can have it");
    if (strcmp(p->key_type, "rsa") == 0 && p->key_size == 1024)
        fleet_warn(warn, "RSA keys of 1024 bits have been within reach of attackers for years");
    if (p->challenge == POLICY_STATIC)
        fleet_warn(warn, "a static challenge does not tell devices apart: what is enrolled with it "
                         "belongs to no device here");
}

/* Fills in what was left to be chosen, and checks everything. */
static bool check(const struct fleet *f, struct store_policy *p, struct fleet_warnings *warn,
                  struct err *err)
{
    const struct config_endpoint *e = NULL;
    bool unique;
    if (!fleet_name(p->name, sizeof p->name, err) ||
        !fleet_text("subject", p->subject, sizeof p->subject, true, err) ||
        !fleet_text("san", p->san, sizeof p->san, false, err) ||
        !fleet_pattern_check(p->subject, p->san, &unique, err) || !check_endpoint(f, p, &e, err) ||
        !check_challenge(p, e, err))
        return false;
    const struct template *t = fleet_template(f, p);
    if (!t)
        return err_set(err, ERR_CONFIG, "endpoint: %s has no template", p->endpoint);
    if (!check_key(p, t, err) || !check_usage(p, t, err) || !check_eku(p, t, err))
        return false;
    if (p->retries > RETRIES_MAX)
        return err_set(err, ERR_CONFIG, "retries: 0 to %d", RETRIES_MAX);
    if (p->retry_delay > RETRY_DELAY_MAX)
        return err_set(err, ERR_CONFIG, "retry_delay: a day at most");
    warn_of(p, unique, warn);
    return true;
}

static bool put_with_id(struct store_write *w, struct store_policy *p, struct err *err)
{
    for (int i = 0; i < ID_TRIES; i++) {
        struct store_policy other;
        struct err why = {0};
        if (!fleet_fresh_id("pol_", p->id, err))
            return false;
        if (store_write_policy_get(w, p->id, &other, &why))
            continue;
        return store_policy_put(w, p, err);
    }
    return err_set(err, ERR_BUSY, "no free id for a policy after %d tries", ID_TRIES);
}

static bool add(const struct fleet *f, struct store_write *w, struct store_policy *p,
                struct err *err)
{
    return put_with_id(w, p, err) &&
           fleet_audit(f, w, err, "policy.created", p->id, "%s: endpoint=%s subject=%s%s%s",
                       p->name, p->endpoint, p->subject, *p->san ? " san=" : "", p->san);
}

bool fleet_policy_new(const struct fleet *f, struct store_policy *p, struct fleet_warnings *warn,
                      struct err *err)
{
    struct store_write *w = NULL;
    struct store_policy made = *p;
    if (!check(f, &made, warn, err))
        return false;
    made.created_at = made.changed_at = f->now;
    snprintf(made.created_by, sizeof made.created_by, "%s", f->actor);
    snprintf(made.changed_by, sizeof made.changed_by, "%s", f->actor);
    made.version = 1;
    if (!store_write_begin(f->store, &w, err) || !fleet_finish(w, add(f, w, &made, err), err))
        return false;
    *p = made;
    return true;
}

/* ---- edit ---- */

static bool gives_otherwise(const struct store_policy *a, const struct store_policy *b)
{
    return strcmp(a->endpoint, b->endpoint) != 0 || strcmp(a->subject, b->subject) != 0 ||
           strcmp(a->san, b->san) != 0 || strcmp(a->name, b->name) != 0 ||
           strcmp(a->key_type, b->key_type) != 0 || a->key_size != b->key_size ||
           a->challenge != b->challenge;
}

static void differences(const struct store_policy *a, const struct store_policy *b, char *out,
                        size_t cap)
{
    const struct {
        const char *member;
        bool differs;
    } part[] = {{"name", strcmp(a->name, b->name) != 0},
                {"endpoint", strcmp(a->endpoint, b->endpoint) != 0},
                {"subject", strcmp(a->subject, b->subject) != 0},
                {"san", strcmp(a->san, b->san) != 0},
                {"challenge", a->challenge != b->challenge},
                {"challenge_ttl", a->challenge_ttl != b->challenge_ttl},
                {"key", strcmp(a->key_type, b->key_type) != 0 || a->key_size != b->key_size},
                {"key_usage", a->key_usage != b->key_usage},
                {"eku", strcmp(a->eku, b->eku) != 0},
                {"retries", a->retries != b->retries || a->retry_delay != b->retry_delay},
                {"revoke_on_removal", a->revoke_on_removal != b->revoke_on_removal},
                {"paused", a->paused != b->paused}};
    size_t n = 0;
    out[0] = '\0';
    for (size_t i = 0; i < sizeof part / sizeof *part && n < cap; i++)
        if (part[i].differs)
            n += (size_t)snprintf(out + n, cap - n, "%s%s", n ? ", " : "", part[i].member);
}

struct edit {
    struct store_policy old, new;
    char what[200];
};

static bool change(const struct fleet *f, struct store_write *w, void *ctx, struct err *err)
{
    struct edit *x = ctx;
    bool paused = strcmp(x->what, "paused") == 0;
    struct store_policy *p = &x->new;
    return store_policy_replace(w, p, x->old.version, err) &&
           fleet_audit(f, w, err,
                       !paused     ? "policy.edited"
                       : p->paused ? "policy.paused"
                                   : "policy.resumed",
                       p->id, "%s: %s%s%s", p->name, x->what,
                       paused ? "" : "; subject=", paused ? "" : p->subject);
}

bool fleet_policy_edit(const struct fleet *f, uint64_t version, struct store_policy *p,
                       struct fleet_effects *e, struct fleet_warnings *warn, struct err *err)
{
    struct edit x = {.new = *p};
    struct store_policy *new = &x.new;
    const struct fleet_rebinding giving = {
        .policy = x.old.id, .why = "its policy was edited", .change = change, .ctx = &x};
    if (!fleet_policy_in(f, NULL, p->id, &x.old, err) ||
        !fleet_version("policy", x.old.name, x.old.version, version, err))
        return false;
    memcpy(new->id, x.old.id, sizeof new->id);
    memcpy(new->created_by, x.old.created_by, sizeof new->created_by);
    new->created_at = x.old.created_at;
    new->version = x.old.version;
    if (!check(f, new, warn, err))
        return false;
    bool otherwise = gives_otherwise(&x.old, new);
    if (otherwise && !fleet_subjects_differ(f, new, err))
        return false;
    differences(&x.old, new, x.what, sizeof x.what);
    if (*x.what) {
        new->changed_at = f->now;
        snprintf(new->changed_by, sizeof new->changed_by, "%s", f->actor);
        if (!(otherwise ? fleet_rebind(f, &giving, e, err) : fleet_change(f, &giving, e, err)))
            return false;
    }
    *p = e && e->stopped ? x.old : x.new;
    return true;
}
