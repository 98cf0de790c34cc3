/* Servers elsewhere: rules for webhooks and upstreams, and which files hold secrets for them. */
#include <string.h>
#include <strings.h>

#include "base/network.h"
#include "base/text.h"
#include "config/suggest.h"
#include "config_internal.h"

const struct config_webhook *config_webhook_by_name(const struct config *c, const char *name)
{
    for (size_t i = 0; i < c->webhook_n; i++)
        if (strcmp(c->webhook[i].name, name) == 0)
            return &c->webhook[i];
    return NULL;
}

bool config_same_tenant(const struct config_webhook *a, const struct config_webhook *b)
{
    return a->kind == WEBHOOK_INTUNE && b->kind == WEBHOOK_INTUNE &&
           strcasecmp(a->tenant, b->tenant) == 0 && strcmp(a->login_url, b->login_url) == 0;
}

bool config_revocations(const struct config *c)
{
    for (size_t i = 0; i < c->webhook_n; i++)
        if (c->webhook[i].revocations)
            return true;
    return false;
}

const struct config_upstream *config_upstream_by_name(const struct config *c, const char *name)
{
    for (size_t i = 0; i < c->upstream_n; i++)
        if (strcmp(c->upstream[i].name, name) == 0)
            return &c->upstream[i];
    return NULL;
}

/* ---- secrets ---- */

static bool is(const char *file, const char *path)
{
    return file[0] && strcmp(file, path) == 0;
}

bool config_outside_secret(const struct config *c, const char *path)
{
    for (size_t i = 0; i < c->webhook_n; i++)
        if (is(c->webhook[i].secret_file, path) || is(c->webhook[i].key_file, path))
            return true;
    for (size_t i = 0; i < c->upstream_n; i++)
        if (is(c->upstream[i].password_file, path))
            return true;
    return false;
}

static bool beneath(const char *file, const char *directory)
{
    size_t n = strlen(directory);
    return file[0] && strncmp(file, directory, n) == 0 && file[n] == '/';
}

bool config_outside_secret_beneath(const struct config *c, const char *directory)
{
    for (size_t i = 0; i < c->webhook_n; i++)
        if (beneath(c->webhook[i].secret_file, directory) ||
            beneath(c->webhook[i].key_file, directory))
            return true;
    for (size_t i = 0; i < c->upstream_n; i++)
        if (beneath(c->upstream[i].password_file, directory))
            return true;
    return false;
}

/* ---- addresses ---- */

/* The host of a URL that config.c has let through; brackets of IPv6 are taken off. */
static void host_of(const char *url, char out[256])
{
    const char *begin = strstr(url, "://") + 3;
    size_t n;
    if (*begin == '[') {
        begin++;
        n = strcspn(begin, "]");
    } else {
        n = strcspn(begin, ":/?#");
    }
    n = n < 255 ? n : 255;
    memcpy(out, begin, n);
    out[n] = '\0';
}

/* A secret or a decision must not be had, or made, by whoever is between. */
static void check_url(struct loader *l, const config_setting_t *at, const char *what,
                      const char *name, const char *key, const char *url, bool insecure)
{
    char host[256];
    if (!url[0])
        return;
    const char *authority = strstr(url, "://") + 3;
    if (memchr(authority, '@', strcspn(authority, "/?#")))
        config_mistake(l, config_at(at, key),
                       "%s \"%s\": %s has a user or a password in it: secrets stand in files", what,
                       name, key);
    if (strchr(url, '#'))
        config_mistake(l, config_at(at, key), "%s \"%s\": %s has a fragment (#), which is not sent",
                       what, name, key);
    if (strncmp(url, "http://", 7) != 0 || insecure)
        return;
    host_of(url, host);
    if (!network_is_loopback(host) && strcasecmp(host, "localhost") != 0)
        config_mistake(l, config_at(at, key),
                       "%s \"%s\": %s is not https and not on this machine: whoever is between "
                       "reads and forges what is said. If it must be, set insecure = true",
                       what, name, key);
}

/* ---- webhooks ---- */

static void check_intune(struct loader *l, const struct config_webhook *w,
                         const config_setting_t *at)
{
    static const char *const needed[] = {"tenant", "client_id"};
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
        if (!config_setting_get_member(at, needed[i]))
            config_mistake(l, at, "webhook \"%s\": kind = \"intune\" needs %s", w->name, needed[i]);
    bool secret = config_setting_get_member(at, "secret_file") != NULL;
    bool certificate = config_setting_get_member(at, "certificate_file") != NULL;
    if (certificate != (config_setting_get_member(at, "key_file") != NULL))
        config_mistake(l, at, "webhook \"%s\": certificate_file and key_file go together", w->name);
    else if (secret == certificate)
        config_mistake(l, at,
                       "webhook \"%s\": kind = \"intune\" needs secret_file, or certificate_file "
                       "and key_file, %s",
                       w->name, secret ? "not both" : "to sign in with");
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._";
    if (strspn(w->tenant, allowed) != strlen(w->tenant))
        config_mistake(l, config_at(at, "tenant"),
                       "webhook \"%s\": tenant is neither an ID nor a domain", w->name);
    if (w->url[0])
        config_mistake(l, config_at(at, "url"),
                       "webhook \"%s\": url is not for kind = \"intune\", which finds its service "
                       "by graph_url",
                       w->name);
    check_url(l, at, "webhook", w->name, "login_url", w->login_url, w->insecure);
    check_url(l, at, "webhook", w->name, "graph_url", w->graph_url, w->insecure);
}

/* A tenant has one queue. */
static void check_queue(struct loader *l, size_t i)
{
    const struct config_webhook *w = &l->c->webhook[i];
    for (size_t k = 0; k < i; k++) {
        const struct config_webhook *before = &l->c->webhook[k];
        if (w->revocations && before->revocations && config_same_tenant(w, before))
            config_mistake(l, config_at(l->webhook[i], "revocations"),
                           "webhook \"%s\": webhook \"%s\" has revocations already, which are "
                           "those of the whole tenant",
                           w->name, before->name);
    }
}

static void check_webhook(struct loader *l, size_t i)
{
    const struct config_webhook *w = &l->c->webhook[i];
    const config_setting_t *at = l->webhook[i];
    for (size_t k = 0; k < i; k++)
        if (w->name[0] && strcmp(w->name, l->c->webhook[k].name) == 0)
            config_mistake(l, config_at(at, "name"), "webhook \"%s\" stands twice", w->name);
    if (w->kind == WEBHOOK_INTUNE) {
        check_intune(l, w, at);
        check_queue(l, i);
        return;
    }
    static const char *const of_intune[] = {
        "tenant",      "client_id",        "login_url", "graph_url", "wait_for_notification",
        "revocations", "certificate_file", "key_file"};
    for (size_t k = 0; k < sizeof of_intune / sizeof *of_intune; k++)
        if (config_setting_get_member(at, of_intune[k]))
            config_mistake(l, config_at(at, of_intune[k]),
                           "webhook \"%s\": %s is only for kind = \"intune\"", w->name,
                           of_intune[k]);
    if (!config_setting_get_member(at, "url"))
        config_mistake(l, at, "webhook \"%s\" needs url", w->name);
    check_url(l, at, "webhook", w->name, "url", w->url, w->insecure);
}

/* ---- upstreams ---- */

static void check_upstream(struct loader *l, size_t i)
{
    const struct config_upstream *u = &l->c->upstream[i];
    const config_setting_t *at = l->upstream[i];
    for (size_t k = 0; k < i; k++)
        if (u->name[0] && strcmp(u->name, l->c->upstream[k].name) == 0)
            config_mistake(l, config_at(at, "name"), "upstream \"%s\" stands twice", u->name);
    if (!config_setting_get_member(at, "user") != !config_setting_get_member(at, "password_file"))
        config_mistake(l, at, "upstream \"%s\": user and password_file go together", u->name);
    /* SCEP itself is protected by its messages; the page with the challenges is not */
    check_url(l, at, "upstream", u->name, "url", u->url, true);
    check_url(l, at, "upstream", u->name, "admin_url", u->admin_url, u->insecure);
}

/* ---- endpoints ---- */

static const struct config_webhook *find(struct loader *l, const config_setting_t *at,
                                         const char *endpoint, const char *name)
{
    char hint[128], quoted[96];
    struct suggest near = suggest_start(name);
    const struct config_webhook *w = config_webhook_by_name(l->c, name);
    if (w)
        return w;
    for (size_t i = 0; i < l->c->webhook_n; i++)
        suggest_offer(&near, l->c->webhook[i].name);
    text_printable(view_str(name), quoted, sizeof quoted);
    config_mistake(l, at, "endpoint \"%s\": there is no webhook \"%s\"%s", endpoint, quoted,
                   suggest_text(&near, hint, sizeof hint));
    return NULL;
}

/* What an endpoint that decides nothing cannot have. */
static void check_relay(struct loader *l, const struct config_endpoint *e,
                        const config_setting_t *at)
{
    char hint[128], quoted[96];
    struct suggest near = suggest_start(e->upstream);
    if (e->validate[0] || e->notify_n > 0)
        config_mistake(
            l, config_at(at, "upstream"),
            "endpoint \"%s\" hands everything on to an upstream: webhooks have nothing to "
            "decide or to be told there",
            e->path);
    if (e->manual)
        config_mistake(
            l, config_at(at, "upstream"),
            "endpoint \"%s\" hands everything on to an upstream: nobody can approve there",
            e->path);
    if (config_upstream_by_name(l->c, e->upstream))
        return;
    for (size_t i = 0; i < l->c->upstream_n; i++)
        suggest_offer(&near, l->c->upstream[i].name);
    text_printable(view_str(e->upstream), quoted, sizeof quoted);
    config_mistake(l, config_at(at, "upstream"), "endpoint \"%s\": there is no upstream \"%s\"%s",
                   e->path, quoted, suggest_text(&near, hint, sizeof hint));
}

/* Each would be told each time. */
static void check_told_twice(struct loader *l, const struct config_endpoint *e,
                             const config_setting_t *notify)
{
    for (size_t k = 0; k < e->notify_n; k++)
        for (size_t i = 0; i < k; i++)
            if (strcmp(e->notify[i], e->notify[k]) == 0 &&
                config_webhook_by_name(l->c, e->notify[k])) {
                config_mistake(l, notify, "endpoint \"%s\": notify names webhook \"%s\" twice",
                               e->path, e->notify[k]);
                return;
            }
}

static void check_references(struct loader *l, size_t i)
{
    const struct config_endpoint *e = &l->c->endpoint[i];
    const config_setting_t *at = l->endpoint[i];
    const config_setting_t *validate = config_at(at, "validate"), *notify = config_at(at, "notify");
    const struct config_webhook *w = NULL;
    if (e->upstream[0])
        check_relay(l, e, at);
    if (e->validate[0] && (w = find(l, validate, e->path, e->validate)) &&
        w->kind == WEBHOOK_NOTIFY)
        config_mistake(l, validate,
                       "endpoint \"%s\": webhook \"%s\" is of kind notify, which decides nothing",
                       e->path, w->name);
    if (w && w->kind == WEBHOOK_INTUNE && e->manual)
        config_mistake(l, validate,
                       "endpoint \"%s\": approval = \"manual\" does not go with Intune, which has "
                       "decided already and whose challenges end soon",
                       e->path);
    for (size_t k = 0; k < e->notify_n; k++)
        if ((w = find(l, notify, e->path, e->notify[k])) && w->kind != WEBHOOK_NOTIFY)
            config_mistake(l, notify, "endpoint \"%s\": webhook \"%s\" is not of kind notify%s",
                           e->path, w->name,
                           w->kind == WEBHOOK_INTUNE ? "; validate names it, and it is told too"
                                                     : "");
    check_told_twice(l, e, notify);
}

void config_check_outside(struct loader *l)
{
    for (size_t i = 0; i < l->c->webhook_n; i++)
        if (config_setting_is_group(l->webhook[i]))
            check_webhook(l, i);
    for (size_t i = 0; i < l->c->upstream_n; i++)
        if (config_setting_is_group(l->upstream[i]))
            check_upstream(l, i);
    for (size_t i = 0; i < l->c->endpoint_n; i++)
        if (config_setting_is_group(l->endpoint[i]))
            check_references(l, i);
}
