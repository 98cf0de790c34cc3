/* Who calls: by a token (Bearer, or Basic with a name), a session's cookie, or a client
 * certificate.  Each is looked up anew on every call, so that what was revoked a moment ago is
 * refused on a connection that stood before. */
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api_internal.h"
#include "pkcs7/cert.h"

const char *api_cookie_name(const struct api_call *c)
{
    return c->world->tls ? "__Host-scepd" : "scepd";
}

void api_ask_sign_in(struct api_call *c, bool basic, const char *code, const char *text)
{
    api_problem(c, 401, code, "%s", text);
    api_reply_header(c, "WWW-Authenticate", "%s",
                     basic ? "Basic realm=\"scepd\", charset=\"UTF-8\"" : "Bearer realm=\"scepd\"");
    c->priv->out->sign_in_refused = strcmp(code, "sign_in.needed") != 0;
}

static void too_many(struct api_call *c, const char *what, int wait)
{
    api_problem(c, 429, "sign_in.too_many", "Too many sign-ins %s failed lately.", what);
    api_reply_header(c, "Retry-After", "%d", wait);
    c->priv->out->sign_in_refused = true;
}

/* Only now is it asked how often: many are behind one address, and nobody who has the right words
 * is kept out by a neighbour's wrong ones. */
void api_sign_in_failed(struct api_call *c, bool basic, const char *name, const char *text)
{
    int wait = api_guard_wait(c->world->state, c->request->peer, api_now(c));
    if (wait > 0)
        too_many(c, "from this address", wait);
    else if (api_guard_failed(c->world->state, c->request->peer, name, api_now(c)))
        too_many(c, "under this name", 30);
    else
        api_ask_sign_in(c, basic, "sign_in.refused", text);
}

static bool refuse_failed(struct api_call *c, bool basic, const char *name)
{
    api_sign_in_failed(c, basic, name, "What was presented is not known here.");
    return false;
}

static void become(struct api_call *c, const struct store_admin *a, const struct store_token *t)
{
    struct api_actor *actor = &c->priv->actor;
    snprintf(actor->id, sizeof actor->id, "%s", a->id);
    snprintf(actor->name, sizeof actor->name, "%s", a->name);
    snprintf(c->priv->out->actor, sizeof c->priv->out->actor, "%s", a->name);
    actor->role = a->role;
    if (t) {
        snprintf(actor->token, sizeof actor->token, "%s", t->id);
        actor->kind = t->kind;
    }
}

/* That it was used is not worth failing a call for. */
static void touch(struct api_call *c, const struct store_admin *a, const struct store_token *t)
{
    struct err err;
    if (!api_token_touch(c->world->store, t, a, c->request->peer, api_now(c), &err))
        log_event(c->world->log, LOG_LEVEL_WARNING, "api.touch", "%s: %s", a->name, err.text);
}

/* "DOMAIN\name" and "name@domain" are the name too. */
static bool names(const char *given, const char *name)
{
    const char *slash = strrchr(given, '\\'), *plain = slash ? slash + 1 : given;
    size_t n = strcspn(plain, "@");
    return strcasecmp(plain, name) == 0 || (strlen(name) == n && strncasecmp(plain, name, n) == 0);
}

/* `kinds`: a bit for each enum token_kind that may be presented so; `name` NULL: whoever it is. */
static bool by_token(struct api_call *c, const char *text, unsigned kinds, const char *name,
                     bool basic)
{
    enum api_token_verdict verdict;
    struct store_token t;
    struct store_admin a;
    struct err err;
    if (!api_token_check(c->world->store, text, api_now(c), &verdict, &t, &a, &err)) {
        api_problem_of(c, &err);
        return false;
    }
    if (verdict == API_TOKEN_WRONG || !(kinds & 1u << t.kind) || (name && !names(name, a.name)))
        return refuse_failed(c, basic, name ? name : "");
    if (verdict != API_TOKEN_GOOD) {
        bool ended = verdict == API_TOKEN_ENDED;
        api_ask_sign_in(c, basic, ended ? "sign_in.ended" : "sign_in.disabled",
                        ended ? "It was good until it expired, or was not used for too long."
                              : "An administrator has disabled this account.");
        return false;
    }
    become(c, &a, &t);
    touch(c, &a, &t);
    return true;
}

static bool by_basic(struct api_call *c, const char *base64)
{
    uint8_t text[512];
    size_t n = strlen(base64);
    if (n == 0 || n > 600 || n % 4 != 0)
        return refuse_failed(c, true, "");
    int got = EVP_DecodeBlock(text, (const uint8_t *)base64, (int)n);
    if (got <= 0 || got >= (int)sizeof text)
        return refuse_failed(c, true, "");
    got -= (base64[n - 1] == '=') + (base64[n - 2] == '=');
    text[got] = '\0';
    char *colon = strchr((char *)text, ':');
    bool ok = false;
    if (!colon || strlen((char *)text) != (size_t)got) {
        refuse_failed(c, true, "");
    } else {
        *colon = '\0';
        ok = by_token(c, colon + 1, 1u << TOKEN_API, (char *)text, true);
    }
    OPENSSL_cleanse(text, sizeof text);
    return ok;
}

/* RFC 6265 section 5.4: pairs, separated by "; ". */
static bool cookie_value(const struct api_call *c, char out[API_TOKEN_MAX])
{
    const char *p = c->request->header[API_COOKIE], *name = api_cookie_name(c);
    size_t n = strlen(name);
    while (p && *p) {
        p += strspn(p, " ;");
        size_t length = strcspn(p, ";");
        if (length > n && strncmp(p, name, n) == 0 && p[n] == '=' &&
            length - n - 1 < API_TOKEN_MAX) {
            snprintf(out, API_TOKEN_MAX, "%.*s", (int)(length - n - 1), p + n + 1);
            return true;
        }
        p += length;
    }
    return false;
}

/* What a browser sends along by itself must come from a page of ours: Sec-Fetch-Site says so, or
 * the Origin. */
static bool same_origin(const struct api_call *c)
{
    const char *site = c->request->header[API_FETCH_SITE];
    const char *origin = c->request->header[API_ORIGIN], *host = c->request->header[API_HOST];
    const char *scheme = c->world->tls ? "https://" : "http://";
    size_t n = strlen(scheme);
    if (site && strcmp(site, "same-origin") != 0)
        return false;
    if (origin)
        return host && strncmp(origin, scheme, n) == 0 && strcasecmp(origin + n, host) == 0;
    return site != NULL;
}

/* Browsers send cookies along with the forms of any page, and names with passwords and certificates
 * too; a cookie is only a browser's, so that one of both headers must be there. */
static bool comes_from_us(struct api_call *c, bool cookie)
{
    bool changes = c->request->method != HTTP_GET && c->request->method != HTTP_HEAD;
    bool browser = cookie || c->request->header[API_ORIGIN] || c->request->header[API_FETCH_SITE];
    if (!changes || !browser || same_origin(c))
        return true;
    api_problem(c, 403, "origin.foreign",
                "A call of a browser that changes something must come from the console.");
    return false;
}

/* Does it stand, at this moment?  TLS has verified that it is of ours and that its key is the
 * client's. */
static bool certificate_stands(struct api_call *c, bool *yes, struct err *err)
{
    struct cert *x = NULL;
    struct store_cert record = {0};
    uint8_t hash[STORE_HASH];
    *yes = false;
    if (!cert_parse(c->request->certificate, &x, err)) {
        if (err->kind != ERR_REFUSED)
            return false;
        err_clear(err);
        return true;
    }
    bool ok = SHA256(c->request->certificate.p, c->request->certificate.n, hash) ||
              err_set(err, ERR_CRYPTO, "a certificate cannot be hashed");
    ok = ok && store_cert_by_der(c->world->store, x->serial, hash, &record, err);
    if (ok) {
        *yes = record.state == CERT_ACTIVE && api_now(c) >= record.not_before &&
               api_now(c) <= record.not_after;
    } else if (err->kind == ERR_NOT_FOUND) {
        err_clear(err);
        ok = true;
    }
    store_cert_clear(&record);
    cert_free(x);
    return ok;
}

static bool by_certificate(struct api_call *c)
{
    struct err err = {0};
    struct store_admin a = {.disabled = true};
    uint8_t hash[STORE_HASH];
    bool stands;
    if (!certificate_stands(c, &stands, &err) ||
        (!SHA256(c->request->certificate.p, c->request->certificate.n, hash) &&
         !err_set(&err, ERR_CRYPTO, "a certificate cannot be hashed")) ||
        (stands && !store_admin_by_certificate(c->world->store, hash, &a, &err) &&
         err.kind != ERR_NOT_FOUND)) {
        api_problem_of(c, &err);
        return false;
    }
    if (!a.disabled) {
        become(c, &a, NULL);
        touch(c, &a, NULL);
        return true;
    }
    api_ask_sign_in(c, false, "sign_in.certificate",
                    !stands ? "The certificate does not stand here: it is revoked, has ended, or "
                              "was not issued here."
                            : "No administrator that may sign in has this certificate.");
    return false;
}

bool api_sign_in(struct api_call *c, bool basic)
{
    const char *authorization = c->request->header[API_AUTHORIZATION];
    char cookie[API_TOKEN_MAX] = "";
    if (authorization && strncasecmp(authorization, "Bearer ", 7) == 0)
        return by_token(c, authorization + 7, 1u << TOKEN_API, NULL, basic);
    bool has_cookie = !authorization && cookie_value(c, cookie), ok;
    if (!authorization && !has_cookie && c->request->certificate.n == 0)
        return true; /* nobody, who may nothing */
    if (!comes_from_us(c, has_cookie)) {
        OPENSSL_cleanse(cookie, sizeof cookie);
        return false;
    }
    if (authorization && strncasecmp(authorization, "Basic ", 6) == 0)
        return by_basic(c, authorization + 6);
    if (authorization)
        return refuse_failed(c, basic, "");
    ok = has_cookie ? by_token(c, cookie, 1u << TOKEN_SESSION, NULL, false) : by_certificate(c);
    OPENSSL_cleanse(cookie, sizeof cookie);
    return ok;
}
