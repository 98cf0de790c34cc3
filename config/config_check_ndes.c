/* Rules between settings, for what hands out challenges over HTTPS: pages like NDES's, and
 * webhooks. */
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "config/suggest.h"
#include "config_internal.h"

/* What the API's listener has for itself. */
static const char *const reserved[] = {"/api", "/ui", "/hooks", "/problems"};

/* The endpoint of this path, which is its name in the store; NULL after a complaint. */
static const struct config_endpoint *endpoint_of(struct loader *l, const config_setting_t *at,
                                                 const char *label, const char *path)
{
    char hint[128], quoted[160];
    struct suggest near = suggest_start(path);
    for (size_t i = 0; i < l->c->endpoint_n; i++) {
        if (strcmp(l->c->endpoint[i].path, path) == 0)
            return &l->c->endpoint[i];
        suggest_offer(&near, l->c->endpoint[i].path);
    }
    text_printable(view_str(path), quoted, sizeof quoted);
    if (path[0] && l->c->endpoint_n)
        config_mistake(l, config_at(at, "endpoint"), "%s: there is no endpoint \"%s\"%s", label,
                       quoted, suggest_text(&near, hint, sizeof hint));
    return NULL;
}

/* False after a complaint. */
static bool check_ours(struct loader *l, const config_setting_t *at, const char *label,
                       const struct config_endpoint *e)
{
    if (e->upstream[0])
        config_mistake(
            l, config_at(at, "endpoint"),
            "%s: endpoint \"%s\" hands everything on to an upstream, which knows none of our "
            "challenges",
            label, e->path);
    return !e->upstream[0];
}

static void check_one_time(struct loader *l, const config_setting_t *at, const char *label,
                           const struct config_endpoint *e)
{
    if (check_ours(l, at, label, e) && !(e->challenges & CHALLENGE_ONE_TIME))
        config_mistake(l, config_at(at, "endpoint"),
                       "%s: endpoint \"%s\" takes no one-time challenges", label, e->path);
}

/* What a page shows stands between tags and blanks, and programs cut it out there. */
static bool fits_page(struct view secret)
{
    for (size_t i = 0; i < secret.n; i++)
        if (secret.p[i] <= 0x20 || secret.p[i] >= 0x7f || strchr("<>&\"'", secret.p[i]))
            return false;
    return true;
}

static void check_single(struct loader *l, const config_setting_t *at, const char *label,
                         const struct config_endpoint *e)
{
    struct buf secret = {0};
    struct err err = {0};
    if (!check_ours(l, at, label, e))
        return;
    if (!(e->challenges & CHALLENGE_STATIC))
        config_mistake(l, config_at(at, "single_password"),
                       "%s: single_password needs challenge = \"static\" at endpoint \"%s\"", label,
                       e->path);
    else if (e->static_challenge_file[0] &&
             config_static_challenge(e->static_challenge_file, &secret, &err) &&
             !fits_page(buf_view(&secret)))
        config_mistake(l, config_at(at, "single_password"),
                       "%s: the static challenge of endpoint \"%s\" has characters that the page "
                       "cannot show: only ASCII without blanks, <, >, &, \" and '",
                       label, e->path);
    buf_wipe(&secret);
}

static bool is_reserved(const char *path)
{
    for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++) {
        size_t n = strlen(reserved[i]);
        if (strncasecmp(path, reserved[i], n) == 0 && (path[n] == '/' || !path[n]))
            return true;
    }
    return false;
}

static void check_page(struct loader *l, size_t i)
{
    const struct config_ndes *n = &l->c->ndes[i];
    const config_setting_t *at = l->ndes[i], *path = config_at(at, "path");
    char label[192], quoted[160];
    text_printable(view_str(n->path), quoted, sizeof quoted);
    snprintf(label, sizeof label, "ndes page \"%s\"", quoted);
    if (config_check_url_path(l, path, n->path, sizeof n->path) && is_reserved(n->path))
        config_mistake(l, path, "%s: the API itself has that path", label);
    for (size_t k = 0; k < i; k++)
        if (strcasecmp(n->path, l->c->ndes[k].path) == 0)
            config_mistake(l, path, "%s stands twice: give each page a path of its own", label);
    const struct config_endpoint *e = endpoint_of(l, at, label, n->endpoint);
    if (e && n->single_password)
        check_single(l, at, label, e);
    else if (e)
        check_one_time(l, at, label, e);
}

static void check_hook(struct loader *l, size_t i)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    const struct config_challenge_hook *h = &l->c->challenge_hook[i];
    const config_setting_t *at = l->challenge_hook[i], *name = config_at(at, "name");
    char label[128], quoted[96];
    text_printable(view_str(h->name), quoted, sizeof quoted);
    snprintf(label, sizeof label, "challenge hook \"%s\"", quoted);
    if (strspn(h->name, allowed) != strlen(h->name))
        config_mistake(l, name, "%s: a name has letters, digits, - and _ only", label);
    for (size_t k = 0; k < i; k++)
        if (h->name[0] && strcasecmp(h->name, l->c->challenge_hook[k].name) == 0)
            config_mistake(l, name, "%s stands twice", label);
    const struct config_endpoint *e = endpoint_of(l, at, label, h->endpoint);
    if (e)
        check_one_time(l, at, label, e);
}

/* The one listener that asks who is there. */
static void check_listener(struct loader *l, const config_setting_t *first, const char *what)
{
    if (!l->c->api_port)
        config_mistake(l, first,
                       "%s are served at the listener of the API: set api.port, and a certificate "
                       "for it",
                       what);
}

void config_check_ndes(struct loader *l)
{
    if (l->c->ndes_n)
        check_listener(l, l->ndes[0], "pages of ndes");
    if (l->c->challenge_hook_n)
        check_listener(l, l->challenge_hook[0], "challenge_hooks");
    for (size_t i = 0; i < l->c->ndes_n; i++)
        if (config_setting_is_group(l->ndes[i]))
            check_page(l, i);
    for (size_t i = 0; i < l->c->challenge_hook_n; i++)
        if (config_setting_is_group(l->challenge_hook[i]))
            check_hook(l, i);
}
