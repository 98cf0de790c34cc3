/* Rules between settings: names, references, and combinations that would not work or not be safe.
 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "base/text.h"
#include "ca/crl.h"
#include "ca/keyfile.h"
#include "pkcs7/alg.h"
#include "config_internal.h"
#include "base/network.h"
#include "config/suggest.h"

#define STATIC_CHALLENGE_MIN 8 /* below this it is guessed over the network */
#define STATIC_CHALLENGE_MAX 256

bool config_static_challenge(const char *path, struct buf *out, struct err *err)
{
    char text[STATIC_CHALLENGE_MAX + 2];
    struct stat st;
    bool done = false;
    ssize_t n = -1;
    int fd = file_descriptor(path);
    if (fd < 0 || fstat(fd, &st) || (n = read(fd, text, sizeof text)) < 0) {
        err_errno(err, "cannot read %s", path);
        goto out;
    }
    if (st.st_mode & 077) {
        err_set(err, ERR_CONFIG, "%s has mode %04o: others can read the challenge (chmod 600)",
                path, (unsigned)(st.st_mode & 07777));
        goto out;
    }
    const char *end = memchr(text, '\n', (size_t)n);
    size_t length = end ? (size_t)(end - text) : (size_t)n;
    if (length && text[length - 1] == '\r')
        length--;
    if (length < STATIC_CHALLENGE_MIN || length > STATIC_CHALLENGE_MAX)
        err_set(err, ERR_CONFIG,
                "the first line of %s has %zu characters: a static challenge needs %d to %d", path,
                length, STATIC_CHALLENGE_MIN, STATIC_CHALLENGE_MAX);
    else if (!buf_append(out, text, length))
        err_memory(err);
    else
        done = true;
out:
    if (fd >= 0)
        close(fd);
    OPENSSL_cleanse(text, sizeof text);
    return done;
}

static void check_pair(struct loader *l, const config_setting_t *at, const char *name,
                       const char *certificate, const char *certificate_key, const char *key,
                       const char *key_key)
{
    if (certificate[0] && !key[0])
        config_mistake(l, config_at(at, certificate_key), "authority \"%s\": %s needs %s", name,
                       certificate_key, key_key);
    if (!certificate[0] && key[0])
        config_mistake(l, config_at(at, key_key), "authority \"%s\": %s needs %s", name, key_key,
                       certificate_key);
}

/* Was the setting written, or its reading already complained about? */
static bool written(const config_setting_t *group, const char *key)
{
    return group && config_setting_get_member(group, key);
}

static void check_authority(struct loader *l, size_t i)
{
    const struct config_authority *a = &l->c->authority[i];
    const config_setting_t *at = l->authority[i], *crl = config_at(at, "crl");
    char url[CRL_URL_MAX];
    for (size_t k = 0; k < i; k++)
        if (a->name[0] && strcmp(a->name, l->c->authority[k].name) == 0)
            config_mistake(l, config_at(at, "name"), "authority \"%s\" stands twice", a->name);
    if (written(at, "ra_certificate") != written(at, "ra_key"))
        check_pair(l, at, a->name, a->ra_certificate, "ra_certificate", a->ra_key, "ra_key");
    if (written(at, "ra_signing_certificate") != written(at, "ra_signing_key"))
        check_pair(l, at, a->name, a->ra_signing_certificate, "ra_signing_certificate",
                   a->ra_signing_key, "ra_signing_key");
    if (written(at, "ra_encryption_certificate") != written(at, "ra_encryption_key"))
        check_pair(l, at, a->name, a->ra_encryption_certificate, "ra_encryption_certificate",
                   a->ra_encryption_key, "ra_encryption_key");
    if (written(at, "ra_signing_certificate") != written(at, "ra_encryption_certificate"))
        config_mistake(
            l, at,
            "authority \"%s\": a pair needs ra_signing_certificate and ra_encryption_certificate",
            a->name);
    if (a->crl_period && a->crl_validity && a->crl_period >= a->crl_validity)
        config_mistake(l, config_at(crl, "period"),
                       "authority \"%s\": crl.period must be shorter than crl.validity, or there "
                       "is a time without a list",
                       a->name);
    if (a->crl_shards > 1 && !crl_scope_url(a->crl_url, 1, url))
        config_mistake(l, config_at(crl, "shards"),
                       "authority \"%s\": partitions need a crl.url that ends in .crl, after which "
                       "they are named",
                       a->name);
    if (a->crl_delta && !crl_scope_url(a->crl_url, STORE_CRL_DELTA, url))
        config_mistake(
            l, config_at(crl, "delta"),
            "authority \"%s\": a delta needs a crl.url that ends in .crl, after which it "
            "is named",
            a->name);
}

static void check_template(struct loader *l, size_t i)
{
    const struct template *t = &l->c->template[i];
    const config_setting_t *at = l->template[i];
    struct err err = {0};
    unsigned before = l->problems;
    for (size_t k = 0; k < i; k++)
        if (t->name[0] && strcmp(t->name, l->c->template[k].name) == 0)
            config_mistake(l, config_at(at, "name"), "template \"%s\" stands twice", t->name);
    if (!t->subject_n && !t->subject_build && !t->empty_subject && !written(at, "subject"))
        config_mistake(l, at, "template \"%s\" needs \"subject\" or \"subject_build\"", t->name);
    if (t->rsa_max == 0 && t->curves == 0 && !written(at, "rsa") == !written(at, "curves"))
        config_mistake(l, at, "template \"%s\" allows no key: rsa and curves are both empty",
                       t->name);
    if (t->validity && t->renew_before >= t->validity)
        config_mistake(
            l, config_at(at, written(at, "renew_before") ? "renew_before" : "validity"),
            "template \"%s\": renew_before (%lld d) must be shorter than validity (%lld d)",
            t->name, (long long)(t->renew_before / 86400), (long long)(t->validity / 86400));
    if (t->validity && t->min_validity > t->validity)
        config_mistake(l, config_at(at, written(at, "min_validity") ? "min_validity" : "validity"),
                       "template \"%s\": min_validity must not be longer than validity", t->name);
    if (!l->template_bad[i] && before == l->problems && !template_check(t, &err))
        config_mistake(l, at, "template \"%s\": %s", t->name, err.text);
}

/* RFC 8894 section 2.4 */
static void check_challenge(struct loader *l, const struct config_endpoint *e,
                            const config_setting_t *at)
{
    bool is_static = e->challenges & CHALLENGE_STATIC;
    struct buf secret = {0};
    struct err err = {0};
    if (is_static && !written(at, "static_challenge_file"))
        config_mistake(l, config_at(at, "challenge"),
                       "endpoint \"%s\": challenge = \"static\" needs static_challenge_file",
                       e->path);
    if (!is_static && written(at, "static_challenge_file"))
        config_mistake(l, config_at(at, "static_challenge_file"),
                       "endpoint \"%s\": static_challenge_file is only for challenge = \"static\"",
                       e->path);
    if (e->static_challenge_file[0] &&
        !config_static_challenge(e->static_challenge_file, &secret, &err))
        config_mistake(l, config_at(at, "static_challenge_file"), "endpoint \"%s\": %s", e->path,
                       err.text);
    buf_wipe(&secret);
    if (e->challenges == CHALLENGE_NONE && !e->manual && !e->anonymous && !e->validate[0] &&
        !e->upstream[0])
        config_mistake(l, config_at(at, "challenge"),
                       "endpoint \"%s\" would give a certificate to whoever reaches it: challenge "
                       "= \"none\" needs "
                       "approval = \"manual\", a webhook (validate), or "
                       "issue_to_anyone_without_a_challenge = true",
                       e->path);
}

static void check_algorithms(struct loader *l, const struct config_endpoint *e,
                             const config_setting_t *at)
{
    if (!e->legacy && (e->digests & ALG_BIT(DIGEST_MD5)))
        config_mistake(l, config_at(at, "digests"),
                       "endpoint \"%s\": MD5 is taken only with legacy = true", e->path);
    if (!e->legacy && (e->ciphers & ALG_BIT(CIPHER_DES)))
        config_mistake(l, config_at(at, "ciphers"),
                       "endpoint \"%s\": DES is taken only with legacy = true", e->path);
    if (!e->digests && written(at, "digests"))
        config_mistake(l, config_at(at, "digests"),
                       "endpoint \"%s\": digests must name one or more", e->path);
    if (!e->ciphers && written(at, "ciphers"))
        config_mistake(l, config_at(at, "ciphers"),
                       "endpoint \"%s\": ciphers must name one or more", e->path);
}

/* The authority that an endpoint names, NULL after a complaint. */
static const struct config_authority *check_authority_reference(struct loader *l,
                                                                const struct config_endpoint *e,
                                                                const config_setting_t *at)
{
    char hint[128];
    struct suggest near = suggest_start(e->authority);
    for (size_t i = 0; i < l->c->authority_n; i++) {
        if (strcmp(e->authority, l->c->authority[i].name) == 0)
            return &l->c->authority[i];
        suggest_offer(&near, l->c->authority[i].name);
    }
    if (e->authority[0] && l->c->authority_n)
        config_mistake(l, config_at(at, "authority"),
                       "endpoint \"%s\": there is no authority \"%s\"%s", e->path, e->authority,
                       suggest_text(&near, hint, sizeof hint));
    return NULL;
}

static void check_template_reference(struct loader *l, const struct config_endpoint *e,
                                     const config_setting_t *at)
{
    char hint[128];
    struct suggest near = suggest_start(e->template_name);
    for (size_t i = 0; i < l->c->template_n; i++) {
        if (strcmp(e->template_name, l->c->template[i].name) == 0)
            return;
        suggest_offer(&near, l->c->template[i].name);
    }
    if (e->template_name[0] && l->c->template_n)
        config_mistake(l, config_at(at, "template"),
                       "endpoint \"%s\": there is no template \"%s\"%s", e->path, e->template_name,
                       suggest_text(&near, hint, sizeof hint));
}

/* Does the authority have the keys for the endpoint's shape? */
static void check_shape(struct loader *l, const struct config_endpoint *e,
                        const config_setting_t *at, const struct config_authority *a,
                        const config_setting_t *a_at)
{
    if (e->ra == RA_SINGLE && !written(a_at, "ra_certificate"))
        config_mistake(l, config_at(at, "ra"),
                       "endpoint \"%s\": ra = \"single\" needs ra_certificate in authority \"%s\"",
                       e->path, a->name);
    if (e->ra == RA_PAIR && !written(a_at, "ra_signing_certificate"))
        config_mistake(l, config_at(at, "ra"),
                       "endpoint \"%s\": ra = \"pair\" needs ra_signing_certificate and "
                       "ra_encryption_certificate in "
                       "authority \"%s\"",
                       e->path, a->name);
    if (e->ra == RA_NONE && !a->ca_decrypts)
        config_mistake(
            l, config_at(at, "ra"),
            "endpoint \"%s\": ra = \"none\" needs ca_decrypts = true in authority \"%s\"", e->path,
            a->name);
}

bool config_check_url_path(struct loader *l, const config_setting_t *at, const char *path,
                           size_t cap)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~!$&'()*+,;=:@/";
    size_t n = strlen(path);
    char quoted[160];
    text_printable(view_str(path), quoted, sizeof quoted);
    if (path[0] != '/' || n < 2 || path[n - 1] == '/' || strspn(path, allowed) != n ||
        strstr(path, "//"))
        config_mistake(l, at,
                       "path \"%s\" must begin with /, must not end in / and has only characters "
                       "of a plain URL path",
                       quoted);
    else if (n >= cap)
        config_mistake(l, at, "path \"%s\" is too long: %zu octets, at most %zu", quoted, n,
                       cap - 1);
    else
        return true;
    return false;
}

static void check_path(struct loader *l, const config_setting_t *at, const char *path)
{
    config_check_url_path(l, at, path, sizeof((struct enroll_policy *)0)->endpoint);
}

/* Does an endpoint before `i`, or a path of `i` before `self`, have this path already? */
static void check_unique(struct loader *l, size_t i, const char *path, size_t self,
                         const config_setting_t *at)
{
    for (size_t k = 0; k <= i; k++) {
        const struct config_endpoint *e = &l->c->endpoint[k];
        size_t last = k < i ? e->alias_n + 1 : self; /* 0 is the path, then the aliases */
        for (size_t n = 0; n < last; n++)
            if (strcasecmp(path, n == 0 ? e->path : e->alias[n - 1]) ==
                0) { /* as routes.c compares */
                config_mistake(l, at, "path \"%s\" is taken already by endpoint \"%s\"", path,
                               e->path);
                return;
            }
    }
}

static void check_endpoint(struct loader *l, size_t i)
{
    const struct config_endpoint *e = &l->c->endpoint[i];
    const config_setting_t *at = l->endpoint[i];
    if (e->path[0]) {
        check_path(l, config_at(at, "path"), e->path);
        check_unique(l, i, e->path, 0, config_at(at, "path"));
    }
    for (size_t k = 0; k < e->alias_n; k++) {
        check_path(l, config_at(at, "aliases"), e->alias[k]);
        check_unique(l, i, e->alias[k], k + 1, config_at(at, "aliases"));
    }
    const struct config_authority *a = check_authority_reference(l, e, at);
    check_template_reference(l, e, at);
    if (a)
        check_shape(l, e, at, a, l->authority[a - l->c->authority]);
    check_challenge(l, e, at);
    check_algorithms(l, e, at);
}

static size_t stem_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) : 0;
}

/* What is in the directory belongs to the daemon, which also removes files there. */
static void check_directory(struct loader *l, size_t i)
{
    const struct config_authority *a = &l->c->authority[i];
    const char *const own[] = {a->certificate, a->key, a->ra_certificate, a->ra_key, a->root_key};
    const config_setting_t *at = config_at(l->authority[i], "directory");
    size_t n = strlen(a->directory);
    while (n > 1 && a->directory[n - 1] == '/')
        n--;
    for (size_t k = 0; k < sizeof own / sizeof own[0]; k++)
        if (*own[k] && stem_of(own[k]) == n && strncmp(own[k], a->directory, n) == 0) {
            config_mistake(l, at,
                           "authority \"%s\": directory = \"%s\" holds files that the "
                           "configuration names: give it one of its own",
                           a->name, a->directory);
            break;
        }
    for (size_t k = 0; k < i; k++)
        if (strcmp(a->directory, l->c->authority[k].directory) == 0)
            config_mistake(l, at, "authority \"%s\": authority \"%s\" has the same directory",
                           a->name, l->c->authority[k].name);
}

/* "devices-g2" is how the addresses of the second generation of "devices" begin. */
static void check_generation_name(struct loader *l, size_t i)
{
    const char *name = l->c->authority[i].name, *end = name + strlen(name);
    while (end > name && end[-1] >= '0' && end[-1] <= '9')
        end--;
    if (!*end || end - name < 3 || end[-1] != 'g' || end[-2] != '-')
        return;
    size_t n = (size_t)(end - name) - 2;
    for (size_t k = 0; k < l->c->authority_n; k++) {
        const char *other = l->c->authority[k].name;
        if (strlen(other) == n && strncmp(other, name, n) == 0)
            config_mistake(l, config_at(l->authority[i], "name"),
                           "authority \"%s\": a later generation of authority \"%s\" has this name "
                           "in its addresses: choose another",
                           name, other);
    }
}

/* Beside the store, since the daemon writes there anyway. */
static void default_directories(struct loader *l)
{
    struct config *c = l->c;
    const char *slash = strrchr(c->store_path, '/');
    int stem = slash ? (int)(slash - c->store_path) : 0;
    for (size_t i = 0; i < c->authority_n; i++) {
        struct config_authority *a = &c->authority[i];
        if (a->directory[0] || !a->name[0])
            continue;
        int n = snprintf(a->directory, sizeof a->directory, "%.*s/authorities/%s", stem,
                         c->store_path, a->name);
        if (n < 0 || (size_t)n >= sizeof a->directory)
            config_mistake(l, l->authority[i],
                           "the path of its directory is too long: set directory");
    }
}

/* http_bind takes numbers only: names lead to several addresses, or to other ones tomorrow. */
static bool check_address(struct loader *l, const char *section, const char *address)
{
    const config_setting_t *at = config_at(config_setting_get_member(l->root, section), "address");
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM}, *found = NULL;
    if (strcmp(address, "*") == 0)
        return true;
    if (getaddrinfo(address, NULL, &hints, &found) == 0) {
        freeaddrinfo(found);
        return true;
    }
    config_mistake(l, at, "address = \"%s\" is no IP address, such as \"127.0.0.1\" or \"::\"",
                   address);
    return false;
}

/* What it tells is nobody's business by chance: beyond this machine only for those who are named.
 */
static void check_admin(struct loader *l)
{
    const struct config *c = l->c;
    const config_setting_t *admin = config_setting_get_member(l->root, "admin");
    if (!check_address(l, "admin", c->admin_address))
        return;
    if (!network_is_loopback(c->admin_address) && !written(admin, "allow"))
        config_mistake(
            l, config_at(admin, "address"),
            "admin: address = \"%s\" is not loopback: it needs allow = [\"10.0.0.0/24\"], "
            "the networks that may ask there",
            c->admin_address);
    for (size_t i = 0; i < c->admin_allow_n; i++)
        if (!network_valid(c->admin_allow[i]))
            config_mistake(
                l, config_at(admin, "allow"),
                "admin: allow: \"%.60s\" is no address or network, such as \"10.0.0.0/8\"",
                c->admin_allow[i]);
    if (c->admin_port && c->admin_port == c->port && strcmp(c->admin_address, c->address) == 0)
        config_mistake(l, config_at(admin, "port"), "admin: port = %d is taken by listen",
                       c->admin_port);
}

/* Tokens and challenges pass there: nobody between may read them. */
static void check_api(struct loader *l)
{
    const struct config *c = l->c;
    const config_setting_t *api = config_setting_get_member(l->root, "api");
    if (!c->api_port || !check_address(l, "api", c->api_address))
        return;
    if (!c->api_certificate[0] != !c->api_key[0])
        config_mistake(l, config_at(api, c->api_key[0] ? "key" : "certificate"),
                       "api: certificate and key are set together");
    if (!c->api_certificate[0] && !network_is_loopback(c->api_address))
        config_mistake(l, config_at(api, "address"),
                       "api: address = \"%s\" is not loopback: it needs certificate and key "
                       "(scepctl ca tls makes them)",
                       c->api_address);
    if ((c->api_port == c->port && strcmp(c->api_address, c->address) == 0) ||
        (c->api_port == c->admin_port && strcmp(c->api_address, c->admin_address) == 0))
        config_mistake(l, config_at(api, "port"), "api: port = %d is taken by listen or admin",
                       c->api_port);
}

/* It is opened before the daemon gives up what it does not need (confinement). */
static void check_crl_directory(struct loader *l)
{
    struct stat st;
    const char *path = l->c->crl_directory;
    if (path[0] && (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)))
        config_mistake(l, config_at(l->root, "crl_directory"),
                       "crl_directory \"%s\" is no directory", path);
}

void config_check(struct loader *l)
{
    check_crl_directory(l);
    check_address(l, "listen", l->c->address);
    check_admin(l);
    check_api(l);
    default_directories(l);
    for (size_t i = 0; i < l->c->authority_n; i++)
        if (config_setting_is_group(l->authority[i])) {
            check_authority(l, i);
            check_directory(l, i);
            check_generation_name(l, i);
        }
    for (size_t i = 0; i < l->c->template_n; i++)
        if (config_setting_is_group(l->template[i]))
            check_template(l, i);
    for (size_t i = 0; i < l->c->endpoint_n; i++)
        if (config_setting_is_group(l->endpoint[i]))
            check_endpoint(l, i);
    config_check_ndes(l);
    config_check_profiles(l);
    config_check_outside(l);
}
