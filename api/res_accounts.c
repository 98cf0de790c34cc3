/* /session, /admins and /tokens: the pattern for other resources.  Tables first, then one small
 * function for each route. */
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#include "api_internal.h"
#include "base/hex.h"
#include "resources.h"

/* ---- as JSON ---- */

#define ADMIN_MEMBERS                                                                           \
    {"id", API_STRING, API_READ_ONLY, 0, 0, NULL, NULL, "Begins with adm_.", 0},                \
        {"etag", API_STRING, API_READ_ONLY, 0, 0, NULL, NULL, "Its version, for If-Match.", 0}, \
        {"created_at", API_TIME, API_READ_ONLY, 0, 0, NULL, NULL, NULL, 0},                     \
        {"created_by", API_STRING, API_READ_ONLY, 0, 0, NULL, NULL, NULL, 0},                   \
        {"changed_at", API_TIME, API_READ_ONLY, 0, 0, NULL, NULL, NULL, 0},                     \
    {                                                                                           \
        "seen_at", API_TIME, API_READ_ONLY | API_NULLABLE, 0, 0, NULL, NULL,                    \
            "When this administrator called last, to the minute.", 0                            \
    }

#define NAME_HELP "1 to 63 letters, digits and . _ @ + -; unique in any case."
#define CERTIFICATE_HELP "SHA-256 of the certificate to sign in with, in hex."

static const struct api_member admin_new_body[] = {
    {"name", API_STRING, API_REQUIRED, 1, 63, NULL, NULL, NAME_HELP, 0},
    {"role", API_ENUM, API_REQUIRED, 0, 0, api_role_names, NULL, "What may be done.", 0},
    {"certificate_sha256", API_STRING, API_NULLABLE, 64, 95, NULL, NULL, CERTIFICATE_HELP, 0},
    {"disabled", API_BOOLEAN, 0, 0, 0, NULL, NULL, "May not sign in.", 0},
    {0},
};

static const struct api_member admin_edit_body[] = {
    {"name", API_STRING, 0, 1, 63, NULL, NULL, NAME_HELP, 0},
    {"role", API_ENUM, 0, 0, 0, api_role_names, NULL, "What may be done.", 0},
    {"certificate_sha256", API_STRING, API_NULLABLE, 64, 95, NULL, NULL, CERTIFICATE_HELP, 0},
    {"disabled", API_BOOLEAN, 0, 0, 0, NULL, NULL, "May not sign in.", 0},
    ADMIN_MEMBERS,
    {0},
};

static const struct api_member admin_answer[] = {
    {"name", API_STRING, API_REQUIRED, 1, 63, NULL, NULL, NAME_HELP, 0},
    {"role", API_ENUM, API_REQUIRED, 0, 0, api_role_names, NULL, "What may be done.", 0},
    {"certificate_sha256", API_STRING, API_NULLABLE, 0, 95, NULL, NULL, CERTIFICATE_HELP, 0},
    {"disabled", API_BOOLEAN, API_REQUIRED, 0, 0, NULL, NULL, "May not sign in.", 0},
    ADMIN_MEMBERS,
    API_SHAPE("Administrator"),
};

static json_t *admin_json(const struct store_admin *a)
{
    return json_pack(
        "{s:s,s:o,s:s,s:s,s:o,s:b,s:o,s:s,s:o,s:o}", "id", a->id, "etag", api_json_etag(a->version),
        "name", a->name, "role", api_role_name(a->role), "certificate_sha256",
        a->has_certificate ? api_json_hex(view_of(a->certificate, STORE_HASH)) : json_null(),
        "disabled", a->disabled, "created_at", api_json_time(a->created_at), "created_by",
        a->created_by, "changed_at", api_json_time(a->changed_at), "seen_at",
        api_json_time(a->seen_at));
}

static const char *const token_kinds[] = {"api", "link", "session", NULL};

static const struct api_member token_new_body[] = {
    {"admin", API_STRING, 0, 1, 63, NULL, NULL,
     "Whose it is, by id or name: who asks, if not given.  Another's takes the role administrator.",
     0},
    {"label", API_STRING, 0, 0, 127, NULL, NULL, "What it is for, for people.", 0},
    {"valid_seconds", API_INTEGER, 0, 60, API_TOKEN_TTL_MAX, NULL, NULL,
     "How long it is good: 90 days if not given.", 0},
    {0},
};

static const struct api_member token_answer[] = {
    {"id", API_STRING, API_REQUIRED, 0, 0, NULL, NULL, "Begins with tok_.", 0},
    {"etag", API_STRING, 0, 0, 0, NULL, NULL, NULL, 0},
    {"kind", API_ENUM, API_REQUIRED, 0, 0, token_kinds, NULL,
     "For programs, a sign-in link, or the session of a browser.", 0},
    {"admin", API_STRING, API_REQUIRED, 0, 0, NULL, NULL, "The id of its owner.", 0},
    {"label", API_STRING, API_NULLABLE, 0, 0, NULL, NULL, NULL, 0},
    {"created_at", API_TIME, 0, 0, 0, NULL, NULL, NULL, 0},
    {"created_by", API_STRING, 0, 0, 0, NULL, NULL, NULL, 0},
    {"expires_at", API_TIME, 0, 0, 0, NULL, NULL, NULL, 0},
    {"used_at", API_TIME, API_NULLABLE, 0, 0, NULL, NULL, "To the minute.", 0},
    {"used_from", API_STRING, API_NULLABLE, 0, 0, NULL, NULL, "Address of who used it last.", 0},
    {"secret", API_STRING, API_SECRET, 0, 0, NULL, NULL,
     "What to present as Authorization: Bearer; in the 201 only.", 0},
    API_SHAPE("Token"),
};

static json_t *token_json(const struct store_token *t)
{
    return json_pack("{s:s,s:o,s:s,s:s,s:o,s:o,s:s,s:o,s:o,s:o}", "id", t->id, "etag",
                     api_json_etag(t->version), "kind", token_kinds[t->kind - 1], "admin", t->admin,
                     "label", api_json_text(t->label), "created_at", api_json_time(t->created_at),
                     "created_by", t->created_by, "expires_at", api_json_time(t->expires_at),
                     "used_at", api_json_time(t->used_at), "used_from",
                     api_json_text(t->used_from));
}

/* ---- /admins ---- */

static const struct api_member admin_query[] = {
    {"role", API_ENUM, 0, 0, 0, api_role_names, NULL, "Only those of this role.", 0},
    {0},
};

static bool list_admin(void *call, const struct store_admin *a)
{
    struct api_call *c = call;
    int role = api_query_enum(c, "role", -1);
    return (role >= 0 && (int)a->role != role + 1) || api_list_add(c, admin_json(a), a->id);
}

static bool admins_list(struct api_call *c, struct err *err)
{
    if (!api_cursor_is_id(c, "adm_"))
        return true;
    if (!store_admin_list(c->world->store, c->cursor, list_admin, c, err))
        return false;
    api_list_reply(c);
    return true;
}

/* The members that POST and PATCH share.  False: faults were noted. */
static bool admin_wish(struct api_call *c, struct api_admin_wish *w,
                       uint8_t certificate[STORE_HASH])
{
    struct err err = {0};
    const char *hex = api_string(c, "certificate_sha256");
    *w = (struct api_admin_wish){.name = api_string(c, "name"),
                                 .role = (enum account_role)(api_enum(c, "role", -1) + 1),
                                 .no_certificate = api_has(c, "certificate_sha256") && !hex,
                                 .disabled =
                                     api_has(c, "disabled") ? api_bool(c, "disabled", false) : -1};
    if (w->name && !api_admin_name_check(w->name, &err))
        api_fault(c, "/name", "value", "%s", err.text);
    if (hex && hex_decode(hex, certificate, STORE_HASH) != STORE_HASH)
        api_fault(c, "/certificate_sha256", "value", "it is no SHA-256 in hex");
    else if (hex)
        w->certificate = certificate;
    return !api_faulty(c);
}

static bool admin_create(struct api_call *c, struct err *err)
{
    struct api_admin_wish w;
    struct store_admin a;
    uint8_t certificate[STORE_HASH];
    if (!admin_wish(c, &w, certificate))
        return true;
    if (!api_admin_new(c->world->store, &w, api_by(c), api_now(c), &a, err))
        return false;
    api_reply_item(c, admin_json(&a), a.version, "/admins/%s", a.id);
    return true;
}

static bool admin_get(struct api_call *c, struct err *err)
{
    struct store_admin a;
    if (!store_admin_get(c->world->store, api_param(c, "admin"), &a, err))
        return false;
    api_reply_item(c, admin_json(&a), a.version, NULL);
    return true;
}

static bool admin_edit(struct api_call *c, struct err *err)
{
    struct api_admin_wish w;
    struct store_admin a;
    uint8_t certificate[STORE_HASH];
    if (!admin_wish(c, &w, certificate))
        return true;
    if (!store_admin_get(c->world->store, api_param(c, "admin"), &a, err))
        return false;
    if (!api_match(c, a.version, admin_json(&a)))
        return true;
    if (!api_admin_edit(c->world->store, a.id, &w, a.version, api_by(c), api_now(c), &a, err))
        return false;
    api_reply_item(c, admin_json(&a), a.version, NULL);
    return true;
}

static bool admin_remove(struct api_call *c, struct err *err)
{
    struct store_admin a;
    if (!store_admin_get(c->world->store, api_param(c, "admin"), &a, err))
        return false;
    if (!api_match(c, a.version, admin_json(&a)))
        return true;
    if (!api_admin_remove(c->world->store, a.id, a.version, api_by(c), api_now(c), err))
        return false;
    api_reply_none(c);
    return true;
}

/* ---- /tokens ---- */

static const struct api_member token_query[] = {
    {"admin", API_STRING, 0, 1, 63, NULL, NULL, "Whose, by id or name.", 0},
    {"kind", API_ENUM, 0, 0, 0, token_kinds, NULL, "Only those of this kind.", 0},
    {0},
};

static bool list_token(void *call, const struct store_token *t)
{
    struct api_call *c = call;
    int kind = api_query_enum(c, "kind", -1);
    return (kind >= 0 && (int)t->kind != kind + 1) || api_list_add(c, token_json(t), t->id);
}

/* Everybody sees and ends their own; others' are an administrator's business. */
static bool tokens_list(struct api_call *c, struct err *err)
{
    struct store_admin a;
    const char *of = api_query(c, "admin"), *owner = c->actor->id;
    if (c->actor->role == ROLE_ADMINISTRATOR)
        owner = NULL;
    if (of) {
        if (!store_admin_get(c->world->store, of, &a, err))
            return false;
        if (owner && strcmp(a.id, owner) != 0) {
            api_problem(c, 403, "role.missing", "Tokens of others take the role administrator.");
            return true;
        }
        owner = a.id;
    }
    if (!api_cursor_is_id(c, "tok_"))
        return true;
    if (!store_token_list(c->world->store, owner, c->cursor, list_token, c, err))
        return false;
    api_list_reply(c);
    return true;
}

static bool may_token(struct api_call *c, const char *owner)
{
    if (c->actor->role == ROLE_ADMINISTRATOR || strcmp(owner, c->actor->id) == 0)
        return true;
    api_problem(c, 403, "role.missing", "Tokens of others take the role administrator.");
    return false;
}

static bool token_create(struct api_call *c, struct err *err)
{
    struct store_admin a;
    struct store_token t;
    char text[API_TOKEN_MAX];
    const char *of = api_string(c, "admin"), *label = api_string(c, "label");
    if (!store_admin_get(c->world->store, of ? of : c->actor->id, &a, err))
        return false;
    if (!may_token(c, a.id))
        return true;
    if (!api_token_with(c->world->store, *c->actor->token ? c->actor->token : NULL, a.id, TOKEN_API,
                        label ? label : "", api_int(c, "valid_seconds", API_TOKEN_TTL), api_by(c),
                        api_now(c), text, &t, err))
        return false;
    json_t *o = token_json(&t);
    if (o)
        json_object_set_new(o, "secret", json_string(text));
    OPENSSL_cleanse(text, sizeof text);
    api_reply_item(c, o, t.version, "/tokens/%s", t.id);
    return true;
}

static bool token_get(struct api_call *c, struct err *err)
{
    struct store_token t;
    if (!store_token_get(c->world->store, api_param(c, "token"), &t, err))
        return false;
    if (may_token(c, t.admin))
        api_reply_item(c, token_json(&t), t.version, NULL);
    return true;
}

static bool token_remove(struct api_call *c, struct err *err)
{
    struct store_token t;
    if (!store_token_get(c->world->store, api_param(c, "token"), &t, err))
        return false;
    if (!may_token(c, t.admin) || !api_match(c, t.version, token_json(&t)))
        return true;
    if (!api_token_revoke(c->world->store, t.id, api_by(c), api_now(c), err))
        return false;
    api_reply_none(c);
    return true;
}

/* ---- /session ---- */

static const struct api_member session_body[] = {
    {"code", API_STRING, 0, 1, API_TOKEN_MAX, NULL, NULL,
     "What the link that scepctl console prints has behind #c=.", 0},
    {"token", API_STRING, 0, 1, API_TOKEN_MAX, NULL, NULL, "A token for programs.", 0},
    {0},
};

static const struct api_member session_answer[] = {
    {"admin", API_STRING, API_REQUIRED, 0, 0, NULL, NULL, "The id of who is signed in.", 0},
    {"name", API_STRING, API_REQUIRED, 0, 0, NULL, NULL, NULL, 0},
    {"role", API_ENUM, API_REQUIRED, 0, 0, api_role_names, NULL, NULL, 0},
    {"expires_at", API_TIME, API_NULLABLE, 0, 0, NULL, NULL,
     "When a session ends, however busy; null without one.", 0},
    {"idle_seconds", API_INTEGER, API_NULLABLE, 0, 0, NULL, NULL,
     "A session ends as well when nothing was asked for so long.", 0},
    API_SHAPE("Session"),
};

static json_t *session_json(const char *id, const char *name, enum account_role role,
                            int64_t expires_at)
{
    return json_pack("{s:s,s:s,s:s,s:o,s:o}", "admin", id, "name", name, "role",
                     api_role_name(role), "expires_at", api_json_time(expires_at), "idle_seconds",
                     expires_at ? json_integer(API_SESSION_IDLE) : json_null());
}

static void set_cookie(struct api_call *c, const char *value, int64_t seconds)
{
    api_reply_header(c, "Set-Cookie", "%s=%s; Path=/; HttpOnly; SameSite=Strict; Max-Age=%lld%s",
                     api_cookie_name(c), value, (long long)seconds,
                     c->world->tls ? "; Secure" : "");
}

static bool session_begin(struct api_call *c, const struct store_token *presented,
                          const struct store_admin *a, struct err *err)
{
    char text[API_TOKEN_MAX];
    struct store_token t;
    if (!api_session_new(c->world->store, presented, a, c->request->peer, api_now(c), text, &t,
                         err))
        return false;
    snprintf(c->priv->out->actor, sizeof c->priv->out->actor, "%s", a->name);
    set_cookie(c, text, t.expires_at - t.created_at);
    OPENSSL_cleanse(text, sizeof text);
    api_reply_json(c, 201, session_json(a->id, a->name, a->role, t.expires_at));
    return true;
}

static bool session_create(struct api_call *c, struct err *err)
{
    const char *code = api_string(c, "code"), *token = api_string(c, "token");
    enum api_token_verdict verdict;
    struct store_token presented;
    struct store_admin a;
    if (!code == !token) {
        api_fault(c, "", "missing", "either code or token is needed");
        return true;
    }
    if (!api_token_check(c->world->store, code ? code : token, api_now(c), &verdict, &presented, &a,
                         err))
        return false;
    if (verdict == API_TOKEN_WRONG || presented.kind != (code ? TOKEN_LINK : TOKEN_API)) {
        api_sign_in_failed(c, false, "",
                           code ? "This link was used already, or is none of ours."
                                : "This token is not known here.");
    } else if (verdict != API_TOKEN_GOOD) {
        bool ended = verdict == API_TOKEN_ENDED;
        api_ask_sign_in(c, false, ended ? "sign_in.ended" : "sign_in.disabled",
                        ended ? "It was good until it expired." : "The account is disabled.");
    } else {
        return session_begin(c, &presented, &a, err);
    }
    return true;
}

/* Nobody is no fault: a page that asks whether it has to show its sign-in gets a plain answer. */
static bool session_get(struct api_call *c, struct err *err)
{
    struct store_token t = {.expires_at = 0};
    if (!api_sign_in(c, false))
        return true;
    if (c->actor->role == ROLE_NONE) {
        api_reply_none(c);
        return true;
    }
    if (c->actor->kind == TOKEN_SESSION &&
        !store_token_get(c->world->store, c->actor->token, &t, err))
        return false;
    api_reply_json(c, 200,
                   session_json(c->actor->id, c->actor->name, c->actor->role, t.expires_at));
    return true;
}

static bool session_end(struct api_call *c, struct err *err)
{
    if (c->actor->kind != TOKEN_SESSION) {
        api_problem(c, 409, "conflict", "There is no session: this call was made with a %s.",
                    *c->actor->token ? "token" : "certificate");
        return true;
    }
    if (!api_token_revoke(c->world->store, c->actor->token, api_by(c), api_now(c), err))
        return false;
    api_reply_none(c);
    set_cookie(c, "", 0);
    return true;
}

/* ---- the table ---- */

const struct api_route api_routes_accounts[] = {
    {HTTP_POST, "/session", ROLE_NONE, "session_create",
     "Sign in: a link's code or a token for a session's cookie.", NULL, session_body,
     session_answer, API_CREATES | API_SECRETS, NULL, session_create},
    {HTTP_GET, "/session", ROLE_NONE, "session_get",
     "Who is signed in; 204 when nobody is and nothing was presented.", NULL, NULL, session_answer,
     API_OR_NONE, NULL, session_get},
    {HTTP_DELETE, "/session", ROLE_AUDITOR, "session_end", "Sign out.", NULL, NULL, NULL, 0, NULL,
     session_end},

    {HTTP_GET, "/admins", ROLE_ADMINISTRATOR, "admins_list", "Administrators, by id.", admin_query,
     NULL, admin_answer, API_LIST, NULL, admins_list},
    {HTTP_POST, "/admins", ROLE_ADMINISTRATOR, "admin_create", "A new administrator.", NULL,
     admin_new_body, admin_answer, API_CREATES, NULL, admin_create},
    {HTTP_GET, "/admins/{admin}", ROLE_ADMINISTRATOR, "admin_get", "One, by id or name.", NULL,
     NULL, admin_answer, 0, NULL, admin_get},
    {HTTP_PATCH, "/admins/{admin}", ROLE_ADMINISTRATOR, "admin_edit",
     "Changes those members that are given.", NULL, admin_edit_body, admin_answer, API_CONDITIONAL,
     NULL, admin_edit},
    {HTTP_DELETE, "/admins/{admin}", ROLE_ADMINISTRATOR, "admin_remove",
     "Removes one, with all tokens and sessions.", NULL, NULL, NULL, API_CONDITIONAL, NULL,
     admin_remove},

    {HTTP_GET, "/tokens", ROLE_AUDITOR, "tokens_list",
     "Tokens and sessions, one's own or, for an administrator, all.", token_query, NULL,
     token_answer, API_LIST, NULL, tokens_list},
    {HTTP_POST, "/tokens", ROLE_AUDITOR, "token_create", "A new token; its secret is told once.",
     NULL, token_new_body, token_answer, API_CREATES | API_SECRETS | API_OPTIONAL_BODY, NULL,
     token_create},
    {HTTP_GET, "/tokens/{token}", ROLE_AUDITOR, "token_get", "One, by id.", NULL, NULL,
     token_answer, 0, NULL, token_get},
    {HTTP_DELETE, "/tokens/{token}", ROLE_AUDITOR, "token_remove", "Revokes it at once.", NULL,
     NULL, NULL, API_CONDITIONAL, NULL, token_remove},
    {0},
};
