/* /certsrv/mscep_admin: whoever may have challenges and opens it gets one.  RFC 8894 knows nothing
 * of it; MDM products do. */
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "api_internal.h"
#include "ndes.h"

bool ndes_path(const struct api_call *c, char out[NDES_PATH_MAX])
{
    struct buf path = {0};
    bool ok = http_percent_decode(c->request->path, strlen(c->request->path), &path) &&
              path.n < NDES_PATH_MAX && !memchr(path.p, '\0', path.n);
    if (ok)
        snprintf(out, NDES_PATH_MAX, "%.*s", (int)path.n, (const char *)path.p);
    buf_clear(&path);
    return ok;
}

const struct enroll_policy *ndes_policy(const struct api_world *w, const char *endpoint)
{
    for (size_t i = 0; i < w->config->endpoint_n; i++)
        if (strcmp(w->config->endpoint[i].path, endpoint) == 0)
            return &w->rooms->policy[i];
    return NULL;
}

/* As NDES has it: any case, a slash behind it, or the name of its program. */
static bool is_page(const struct config_ndes *n, const char *path)
{
    size_t length = strlen(n->path);
    const char *rest = path + length;
    return strncasecmp(path, n->path, length) == 0 &&
           (!*rest || strcmp(rest, "/") == 0 || strcasecmp(rest, "/mscep.dll") == 0 ||
            strcasecmp(rest, "/mscep.dll/") == 0);
}

/* CONFIG_MAX_NDES: none. */
static size_t page_at(const struct api_world *w, const char *path)
{
    for (size_t i = 0; i < w->config->ndes_n; i++)
        if (is_page(&w->config->ndes[i], path))
            return i;
    return CONFIG_MAX_NDES;
}

static bool matches(const struct api_world *w, const char *path)
{
    return page_at(w, path) < CONFIG_MAX_NDES;
}

/* The page says only that the permission is missing, with status 200 as programs expect it: the
 * audit log has the rest. */
static bool note_forbidden(struct api_call *c, const struct config_ndes *n, struct err *err)
{
    uint64_t left_out = 0;
    char text[200], more[64] = "";
    snprintf(c->priv->out->code, sizeof c->priv->out->code, "role.missing");
    if (!api_guard_record(c->world->state, c->request->peer, api_now(c), &left_out))
        return true;
    if (left_out)
        snprintf(more, sizeof more, "; %llu others before it are not recorded",
                 (unsigned long long)left_out);
    snprintf(text, sizeof text, "page %s from %s: role.missing%s", n->path, c->request->peer, more);
    return enroll_note(c->world->store, "api.refused", "", text, api_by(c), api_now(c), err);
}

/* Fills `page`; the password in `secret`. */
static bool decide(struct api_call *c, size_t i, const struct enroll_policy *policy,
                   struct ndes_page *page, char secret[NDES_PASSWORD_MAX], struct err *err)
{
    const struct config_ndes *n = &c->world->config->ndes[i];
    const struct buf *single = &c->world->rooms->ndes_password[i];
    struct store_challenge made;
    char pool[64];
    bool full = false;
    if (c->actor->role < ROLE_OPERATOR) {
        page->show = NDES_SHOW_FORBIDDEN;
        return note_forbidden(c, n, err);
    }
    if (n->single_password) {
        page->show = NDES_SHOW_SINGLE;
        snprintf(secret, NDES_PASSWORD_MAX, "%.*s", (int)single->n, (const char *)single->p);
        return enroll_note(c->world->store, "challenge.shown", policy->endpoint,
                           "the static challenge, by the page of NDES", api_by(c), api_now(c), err);
    }
    snprintf(pool, sizeof pool, "ndes %s", n->path);
    const struct mint m = {.pool = pool,
                           .most = (uint64_t)n->cache,
                           .endpoint = policy->endpoint,
                           .by = api_by(c),
                           .hex = (unsigned)n->password_length,
                           .validity = n->validity,
                           .now = api_now(c)};
    if (!mint_challenge(c->world->store, &c->world->rooms->challenge_key, &m, &full, secret, &made,
                        err))
        return false;
    page->show = full ? NDES_SHOW_FULL : NDES_SHOW_ONE_TIME;
    if (full)
        log_event(c->world->log, LOG_LEVEL_WARNING, "ndes.full",
                  "%d challenges of the page %s are open: neither used nor expired", n->cache,
                  n->path);
    return true;
}

static bool show(struct api_call *c, size_t i, struct err *err)
{
    const struct config_ndes *n = &c->world->config->ndes[i];
    const struct enroll_policy *policy = ndes_policy(c->world, n->endpoint);
    char secret[NDES_PASSWORD_MAX] = "";
    struct buf body = {0};
    if (!policy)
        return err_set(err, ERR_CONFIG, "there is no endpoint %s", n->endpoint);
    struct ndes_page page = {.encoding = n->encoding,
                             .password = secret,
                             .validity = n->validity,
                             .ca = buf_view(&policy->authority->cert->der)};
    bool ok = decide(c, i, policy, &page, secret, err) && ndes_page_build(&page, &body, err);
    if (ok)
        api_reply_bytes(c, 200, "text/html", buf_view(&body));
    buf_wipe(&body);
    OPENSSL_cleanse(secret, sizeof secret);
    return ok;
}

/* A page of another site may have a browser come here with what it is signed in with; it would not
 * see the answer, but fill the cache. */
static bool from_elsewhere(const struct api_call *c)
{
    const char *site = c->request->header[API_FETCH_SITE];
    return site && strcmp(site, "same-origin") != 0 && strcmp(site, "none") != 0;
}

static bool handle(struct api_call *c, struct err *err)
{
    char path[NDES_PATH_MAX];
    size_t i = ndes_path(c, path) ? page_at(c->world, path) : CONFIG_MAX_NDES;
    if (i == CONFIG_MAX_NDES)
        return err_set(err, ERR_NOT_FOUND, "there is no such page");
    api_reply_header(c, "Pragma", "no-cache");
    if (c->request->method != HTTP_GET && c->request->method != HTTP_HEAD) {
        api_problem(c, 405, "method.forbidden", "A challenge is fetched with GET.");
        api_reply_header(c, "Allow", "GET, HEAD");
        return true;
    }
    if (from_elsewhere(c)) {
        api_problem(c, 403, "origin.foreign", "Another site asked for it.");
        return true;
    }
    if (c->request->method == HTTP_HEAD) { /* asks what there is, and makes nothing */
        api_reply_bytes(c, 200, "text/html", view_of(NULL, 0));
        return true;
    }
    return show(c, i, err);
}

/* That a challenge was made stands in the audit log already, in the same transaction. */
const struct api_page api_page_ndes = {.name = "ndes_admin",
                                       .matches = matches,
                                       .role = ROLE_AUDITOR,
                                       .basic = true,
                                       .handle = handle};
