/* /hooks/challenge/NAME: an MDM product posts its webhook and puts the answer into the profile of a
 * device as it is, so that the answer is the challenge and nothing else, without a line end.  Jamf
 * Pro and what imitates it send
 * {"webhook":{"webhookEvent":"SCEPChallenge",..},"event":{..}}; /hooks/challenge/NAME/json answers
 * programs that read JSON. */
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "api_internal.h"
#include "base/json.h"
#include "ndes.h"

static const char root[] = "/hooks/challenge/";

/* CONFIG_MAX_CHALLENGE_HOOKS: none. */
static size_t hook_at(const struct api_world *w, const char *path, bool *json)
{
    size_t n = strlen(root);
    if (strncmp(path, root, n) != 0)
        return CONFIG_MAX_CHALLENGE_HOOKS;
    size_t length = strcspn(path + n, "/");
    const char *rest = path + n + length;
    *json = strcmp(rest, "/json") == 0;
    for (size_t i = 0; i < w->config->challenge_hook_n && (*json || !*rest); i++) {
        const char *name = w->config->challenge_hook[i].name;
        if (strlen(name) == length && strncmp(path + n, name, length) == 0)
            return i;
    }
    return CONFIG_MAX_CHALLENGE_HOOKS;
}

static bool matches(const struct api_world *w, const char *path)
{
    bool json;
    return hook_at(w, path, &json) < CONFIG_MAX_CHALLENGE_HOOKS;
}

static bool is_json_type(const char *type)
{
    static const char wanted[] = "application/json";
    size_t n = strlen(wanted);
    return type && strncasecmp(type, wanted, n) == 0 && (!type[n] || strchr("; \t", type[n]));
}

static bool nested_too_deep(const json_t *o, unsigned depth)
{
    const char *key;
    json_t *value;
    size_t i;
    if (!json_is_object(o) && !json_is_array(o))
        return false;
    if (depth > API_MAX_DEPTH)
        return true;
    json_object_foreach((json_t *)(uintptr_t)o, key,
                        value) if (nested_too_deep(value, depth + 1)) return true;
    json_array_foreach(o, i, value) if (nested_too_deep(value, depth + 1)) return true;
    return false;
}

/* A webhook that was meant for something else must not be answered with a secret. */
static bool is_other_event(const json_t *body)
{
    const json_t *webhook = json_object_get(body, "webhook");
    const json_t *event = json_object_get(webhook, "webhookEvent");
    if (!webhook)
        return false;
    return !json_is_object(webhook) ||
           (event && (!json_is_string(event) || strcmp(json_string_value(event), "SCEPChallenge")));
}

/* False: a problem was answered.  Without a body it is nobody's webhook, but a program that wants a
 * challenge. */
static bool body_fits(struct api_call *c)
{
    struct view body = c->request->body;
    json_error_t at;
    if (body.n == 0)
        return true;
    if (!is_json_type(c->request->header[API_CONTENT_TYPE])) {
        api_problem(c, 415, "body.type", "The body must be application/json.");
        return false;
    }
    if (body.n > API_MAX_BODY) {
        api_problem(c, 413, "body.too_long", "The body has %zu octets, at most %d are read.",
                    body.n, API_MAX_BODY);
        return false;
    }
    json_t *o = whole_json_read(body, &at);
    bool ok = json_is_object(o) && !nested_too_deep(o, 1);
    if (!ok)
        api_problem(c, 400, "body.malformed", "%s",
                    !o                  ? at.text
                    : json_is_object(o) ? "It is nested too deeply."
                                        : "It must be one JSON object.");
    if (ok && is_other_event(o)) {
        api_fault(c, "/webhook/webhookEvent", "input.invalid",
                  "Only SCEPChallenge is answered with a challenge.");
        api_problem_faults(c);
        ok = false;
    }
    json_decref(o);
    return ok;
}

static json_t *described(const struct api_call *c, const struct store_challenge *made,
                         const char *secret)
{
    return json_pack("{s:s,s:s,s:o,s:o}", "challenge", secret, "id", made->id, "expires_at",
                     api_json_time(made->expires_at), "url",
                     json_sprintf("%s%s", c->world->config->url, made->endpoint));
}

static bool mint(struct api_call *c, const struct config_challenge_hook *h, bool json,
                 struct err *err)
{
    const struct enroll_policy *policy = ndes_policy(c->world, h->endpoint);
    char secret[CHALLENGE_TEXT_MAX] = "", pool[64];
    struct store_challenge made;
    bool full = false;
    if (!policy)
        return err_set(err, ERR_CONFIG, "there is no endpoint %s", h->endpoint);
    snprintf(pool, sizeof pool, "hook %s", h->name);
    const struct mint m = {.pool = pool,
                           .most = (uint64_t)h->cache,
                           .endpoint = policy->endpoint,
                           .by = api_by(c),
                           .validity = h->validity,
                           .now = api_now(c)};
    if (!mint_challenge(c->world->store, &c->world->rooms->challenge_key, &m, &full, secret, &made,
                        err))
        return false;
    if (full)
        return err_set(err, ERR_BUSY,
                       "%d challenges of this webhook are open: neither used nor "
                       "expired",
                       h->cache);
    if (json)
        api_reply_json(c, 200, described(c, &made, secret));
    else
        api_reply_bytes(c, 200, "text/plain", view_str(secret));
    OPENSSL_cleanse(secret, sizeof secret);
    return true;
}

static bool handle(struct api_call *c, struct err *err)
{
    char path[NDES_PATH_MAX];
    bool json = false;
    size_t i = ndes_path(c, path) ? hook_at(c->world, path, &json) : CONFIG_MAX_CHALLENGE_HOOKS;
    if (i == CONFIG_MAX_CHALLENGE_HOOKS)
        return err_set(err, ERR_NOT_FOUND, "there is no such webhook");
    if (c->request->method != HTTP_POST) {
        api_problem(c, 405, "method.forbidden", "A challenge is asked for with POST.");
        api_reply_header(c, "Allow", "POST");
        return true;
    }
    return !body_fits(c) || mint(c, &c->world->config->challenge_hook[i], json, err);
}

/* That a challenge was made stands in the audit log already, in the same transaction. */
const struct api_page api_page_challenge_hook = {.name = "challenge_hook",
                                                 .matches = matches,
                                                 .role = ROLE_OPERATOR,
                                                 .basic = true,
                                                 .handle = handle};
