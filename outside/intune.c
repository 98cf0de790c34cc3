/* What Microsoft Intune wants before it answers: an OAuth 2 token (RFC 6749 section 4.4) for Graph,
 * the address of its service from there, and a token for that service. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/json.h"
#include "base/text.h"
#include "exchange.h"
#include "sign.h"

#define INTUNE_APPLICATION "0000000a-0000-0000-c000-000000000000"
#define INTUNE_SCOPE "https://api.manage.microsoft.com//.default"

/* A service seldom moves. */
#define SERVICE_KEPT_US (INT64_C(24) * 3600 * 1000000)
/* A token is not used in the last part of its life: clocks differ, and a question takes its time.
 */
#define TOKEN_SPARE 60
#define TOKEN_MAX 16384

/* The services of Intune that are asked, by the name that Graph has for each. */
struct service {
    const char *name, *version;
};

static const struct service *service_of(const struct target *t)
{
    static const struct service validation = {"ScepRequestValidationFEService", "2018-02-20"},
                                connector = {"PkiConnectorFEService", "5019-05-05"};
    return t->kind == OUTSIDE_INTUNE_QUEUE ? &connector : &validation;
}

bool intune_ready(const struct target *t, int64_t now_us)
{
    return t->intune.token.n && now_us < t->intune.token_until_us && t->intune.service[0] &&
           now_us < t->intune.service_until_us;
}

int intune_first_stage(const struct target *t, int64_t now_us)
{
    bool known = t->intune.service[0] && now_us < t->intune.service_until_us;
    return known ? INTUNE_TOKEN : INTUNE_GRAPH_TOKEN;
}

/* ---- requests ---- */

static char *joined(const char *base, const char *rest)
{
    char *out = NULL;
    size_t n = strlen(base);
    while (n && base[n - 1] == '/')
        n--;
    return asprintf(&out, "%.*s/%s", (int)n, base, rest) < 0 ? NULL : out;
}

static bool form_field(struct buf *out, CURL *curl, const char *name, const char *value)
{
    char *escaped = curl_easy_escape(curl, value, 0);
    bool ok = escaped && buf_printf(out, "%s%s=%s", out->n ? "&" : "", name, escaped);
    curl_free(escaped);
    return ok;
}

/* The secret, or what the certificate's key signs (RFC 7523 section 2.2). */
static bool credential_fields(struct buf *out, CURL *curl, const struct target *t, const char *url,
                              struct err *err)
{
    struct buf assertion = {0};
    if (!t->assertion.key)
        return form_field(out, curl, "client_secret", (const char *)t->secret[0].p) ||
               err_memory(err);
    bool ok = assertion_make(&t->assertion, t->client_id, url, time(NULL), &assertion, err) &&
              ((form_field(out, curl, "client_assertion_type", ASSERTION_TYPE) &&
                form_field(out, curl, "client_assertion", (const char *)assertion.p)) ||
               err_memory(err));
    buf_wipe(&assertion);
    return ok;
}

static bool token_request(struct exchange *x, struct request *out, struct err *err)
{
    const struct target *t = x->target;
    char scope[sizeof t->graph_url + 16], path[128];
    size_t n = strlen(t->graph_url);
    while (n && t->graph_url[n - 1] == '/')
        n--;
    snprintf(scope, sizeof scope, "%.*s/.default", (int)n, t->graph_url);
    snprintf(path, sizeof path, "%s/oauth2/v2.0/token", t->tenant);
    buf_wipe(&x->body);
    *out = (struct request){.url = joined(t->login_url, path),
                            .post = true,
                            .type = "application/x-www-form-urlencoded"};
    CURL *curl = curl_easy_init();
    bool ok =
        (out->url && curl && form_field(&x->body, curl, "client_id", t->client_id) &&
         form_field(&x->body, curl, "scope", x->stage == INTUNE_TOKEN ? INTUNE_SCOPE : scope) &&
         form_field(&x->body, curl, "grant_type", "client_credentials")) ||
        err_memory(err);
    ok = ok && credential_fields(&x->body, curl, t, out->url, err);
    curl_easy_cleanup(curl);
    out->body = buf_view(&x->body);
    return ok;
}

static bool add_header(struct request *r, const char *name, const char *value)
{
    char *line = NULL;
    if (asprintf(&line, "%s: %s", name, value) < 0)
        return false;
    struct curl_slist *more = curl_slist_append(r->headers, line);
    free(line);
    if (more)
        r->headers = more;
    return more != NULL;
}

static bool add_token(const struct target *t, struct request *r)
{
    char *bearer = NULL;
    bool ok = asprintf(&bearer, "Bearer %s", (const char *)t->intune.token.p) >= 0 &&
              add_header(r, "Authorization", bearer);
    free(bearer);
    return ok;
}

static bool question_request(struct exchange *x, struct request *out, struct err *err)
{
    const struct target *t = x->target;
    char id[37];
    *out = (struct request){.url = joined(t->intune.service, x->suffix),
                            .post = x->post,
                            .type = x->type,
                            .body = buf_view(&x->body)};
    return (out->url && sign_uuid(id) && add_token(t, out) &&
            add_header(out, "client-request-id", id) &&
            add_header(out, "api-version", service_of(t)->version) &&
            add_header(out, "UserAgent", "scepd")) ||
           err_memory(err);
}

bool intune_request(struct exchange *x, struct request *out, struct err *err)
{
    if (x->stage == INTUNE_QUESTION)
        return question_request(x, out, err);
    if (x->stage != INTUNE_ENDPOINTS)
        return token_request(x, out, err);
    *out = (struct request){.url = joined(x->target->graph_url,
                                          "v1.0/servicePrincipals/appId=" INTUNE_APPLICATION
                                          "/endpoints")};
    return (out->url && add_token(x->target, out)) || err_memory(err);
}

/* ---- answers ---- */

static bool take_token(struct exchange *x, json_t *answer, int64_t now_us, struct err *err)
{
    struct intune *i = &x->target->intune;
    const char *token = json_string_value(json_object_get(answer, "access_token"));
    json_int_t lives = json_integer_value(json_object_get(answer, "expires_in"));
    if (!token || !*token || strlen(token) > TOKEN_MAX)
        return err_set(err, ERR_IO, "the answer has no access_token");
    for (const char *c = token; *c; c++)
        if (*c <= ' ' || *c > '~')
            return err_set(err, ERR_IO, "the access_token has odd characters");
    lives = lives > 2 * TOKEN_SPARE ? lives - TOKEN_SPARE : lives / 2;
    if (lives > 86400)
        lives = 86400;
    buf_wipe(&i->token);
    if (!buf_append(&i->token, token, strlen(token) + 1))
        return err_memory(err);
    i->token_until_us = now_us + (int64_t)(lives > 0 ? lives : 1) * 1000000;
    return true;
}

/* What Graph names goes the same way as what the configuration names: TLS, unless it allows less.
 */
static bool service_url(const struct target *t, const char *uri, char out[512], struct err *err)
{
    bool https = strncmp(uri, "https://", 8) == 0;
    if (!https && !(strncmp(uri, "http://", 7) == 0 && t->insecure))
        return err_set(err, ERR_IO, "Graph names a service that is not https");
    if (strcspn(uri + (https ? 8 : 7), "/:") == 0)
        return err_set(err, ERR_IO, "Graph names a service without a host");
    for (const char *c = uri; *c; c++)
        if (*c <= ' ' || *c > '~' || strchr("\"<>\\^`{|}?#@", *c))
            return err_set(err, ERR_IO, "Graph names a service with an odd address");
    if (strlen(uri) >= 512)
        return err_set(err, ERR_IO, "Graph names a service with too long an address");
    strcpy(out, uri);
    return true;
}

static bool take_endpoints(struct exchange *x, json_t *answer, int64_t now_us, struct err *err)
{
    struct intune *i = &x->target->intune;
    json_t *list = json_object_get(answer, "value"), *one;
    const char *wanted = service_of(x->target)->name;
    char found[512] = "";
    size_t at;
    json_array_foreach(list, at, one)
    {
        const char *name = json_string_value(json_object_get(one, "providerName"));
        const char *uri = json_string_value(json_object_get(one, "uri"));
        if (name && uri && strcmp(name, wanted) == 0 && !service_url(x->target, uri, found, err))
            return false;
    }
    if (!found[0])
        return err_set(
            err, ERR_IO,
            "Graph names no %s: has the application the permission scep_challenge_provider?",
            wanted);
    memcpy(i->service, found, sizeof found);
    i->service_until_us = now_us + SERVICE_KEPT_US;
    buf_wipe(&i->token); /* it was for Graph: until the next one comes nothing is ready */
    return true;
}

static const char *const stage_names[] = {"", "the token for Graph", "the list of services",
                                          "the token"};

bool intune_take(struct exchange *x, int64_t now_us, int *next, struct err *err)
{
    json_error_t why;
    const struct outside_answer *a = &x->answer;
    if (a->status != 200) {
        char said[120];
        text_printable(view_of(a->body.p ? a->body.p : (const uint8_t *)"", a->body.n), said,
                       sizeof said);
        return err_set(err, ERR_IO, "%s: HTTP %d: %s", stage_names[x->stage], a->status, said);
    }
    json_t *answer = whole_json_read(buf_view(&a->body), &why);
    if (!answer)
        err_set(err, ERR_IO, "the answer is not JSON");
    bool ok = answer && (x->stage == INTUNE_ENDPOINTS ? take_endpoints(x, answer, now_us, err)
                                                      : take_token(x, answer, now_us, err));
    json_decref(answer);
    *next = x->stage + 1;
    return ok || err_prefix(err, "%s", stage_names[x->stage]);
}

bool intune_stale(struct exchange *x)
{
    struct intune *i = &x->target->intune;
    const struct outside_answer *a = &x->answer;
    bool gone = a->result == OUTSIDE_UNREACHABLE || a->status == 404 || a->status == 410;
    if (a->status == 401 && !i->preparing) /* or it is Graph's, or as good as new */
        buf_wipe(&i->token);
    else if (gone)
        i->service[0] = '\0'; /* it has moved (a regional change), or never was */
    return a->status == 401 || gone;
}
