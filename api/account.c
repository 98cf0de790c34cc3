/* Administrators and tokens: the verbs behind the API and `scepctl admin`. */
#include "api/account.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "enroll/audit.h"
#include "enroll/token.h"

#define SECRET_CHARACTERS 32 /* five random bits each */
#define TOKEN_ID_CHARACTERS 8
/* Used at, and seen at, move at most so often: a write each. */
#define TOUCH_SECONDS 60
/* Tokens that tokens made, from the first to the last: so many are looked up on a call. */
#define LINEAGE_MAX 8
/* Ids drawn until one is free. */
#define DRAWS 8

const char *const api_role_names[] = {"auditor", "operator", "administrator", NULL};

const char *api_role_name(enum account_role role)
{
    return role == ROLE_NONE ? "nobody" : api_role_names[role - 1];
}

bool api_role_by_name(const char *name, enum account_role *out)
{
    for (int i = 0; api_role_names[i]; i++) {
        if (strcmp(api_role_names[i], name) != 0)
            continue;
        *out = (enum account_role)(i + 1);
        return true;
    }
    return false;
}

bool api_admin_name_check(const char *name, struct err *err)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._@+-";
    size_t n = strlen(name);
    if (n == 0 || n > 63 || strspn(name, allowed) != n)
        return err_set(err, ERR_CONFIG,
                       "the name of an administrator has 1 to 63 letters, digits and . _ @ + -");
    if (strncasecmp(name, "adm_", 4) == 0) /* names are found in any case, and ids must be too */
        return err_set(err, ERR_CONFIG, "the name of an administrator does not begin with adm_");
    return true;
}

static bool finish(struct store_write *w, bool ok, struct err *err)
{
    if (ok)
        return store_write_commit(w, err);
    store_write_abort(w);
    return false;
}

/* ---- administrators ---- */

static bool admin_add(struct store_write *w, const struct api_admin_wish *wish, const char *by,
                      int64_t now, struct store_admin *out, struct err *err)
{
    struct store_admin a = {.role = wish->role,
                            .disabled = wish->disabled > 0,
                            .created_at = now,
                            .changed_at = now,
                            .version = 1};
    struct store_audit audit;
    if (!token_id("adm_", a.id, err))
        return false;
    snprintf(a.name, sizeof a.name, "%s", wish->name);
    snprintf(a.created_by, sizeof a.created_by, "%s", by);
    if (wish->certificate) {
        a.has_certificate = true;
        memcpy(a.certificate, wish->certificate, STORE_HASH);
    }
    if (!store_admin_put(w, &a, err))
        return false;
    audit_fill(&audit, now, "admin.created", by, a.id, "%s, %s%s", a.name, api_role_name(a.role),
               a.has_certificate ? ", signs in with a certificate" : "");
    *out = a;
    return store_audit_put(w, &audit, err);
}

bool api_admin_new(struct store *s, const struct api_admin_wish *wish, const char *by, int64_t now,
                   struct store_admin *out, struct err *err)
{
    struct store_write *w = NULL;
    if (!api_admin_name_check(wish->name, err))
        return false;
    if (wish->role < ROLE_AUDITOR || wish->role > ROLE_ADMINISTRATOR)
        return err_set(err, ERR_CONFIG,
                       "the role of an administrator is auditor, operator or administrator");
    return store_write_begin(s, &w, err) && finish(w, admin_add(w, wish, by, now, out, err), err);
}

/* Somebody must be able to make administrators, or only the command line could. */
static bool leaves_one(struct store_write *w, const struct store_admin *was, bool still,
                       struct err *err)
{
    uint64_t n;
    if (still || was->disabled || was->role != ROLE_ADMINISTRATOR)
        return true;
    if (!store_write_admin_count(w, ROLE_ADMINISTRATOR, &n, err))
        return false;
    return n > 1 ||
           err_set(err, ERR_CONFLICT,
                   "%s is the last one with the role administrator: make another first", was->name);
}

static void admin_apply(struct store_admin *a, const struct api_admin_wish *wish, int64_t now)
{
    if (wish->name)
        snprintf(a->name, sizeof a->name, "%s", wish->name);
    if (wish->role != ROLE_NONE)
        a->role = wish->role;
    if (wish->disabled >= 0)
        a->disabled = wish->disabled > 0;
    if (wish->no_certificate || wish->certificate) {
        a->has_certificate = wish->certificate != NULL;
        memset(a->certificate, 0, STORE_HASH);
    }
    if (wish->certificate)
        memcpy(a->certificate, wish->certificate, STORE_HASH);
    a->changed_at = now;
    a->version++;
}

static bool admin_change(struct store_write *w, const char *id, const struct api_admin_wish *wish,
                         uint64_t expected, const char *by, int64_t now, struct store_admin *out,
                         struct err *err)
{
    struct store_admin a, was;
    struct store_audit audit;
    if (!store_write_admin_get(w, id, &was, err))
        return false;
    a = was;
    admin_apply(&a, wish, now);
    if (!leaves_one(w, &was, a.role == ROLE_ADMINISTRATOR && !a.disabled, err) ||
        !store_admin_replace(w, &a, expected ? expected : was.version, err))
        return false;
    audit_fill(&audit, now, "admin.changed", by, a.id, "%s, %s%s%s", a.name, api_role_name(a.role),
               a.has_certificate ? ", signs in with a certificate" : "",
               a.disabled ? ", disabled" : "");
    *out = a;
    return store_audit_put(w, &audit, err);
}

bool api_admin_edit(struct store *s, const char *id, const struct api_admin_wish *wish,
                    uint64_t expected, const char *by, int64_t now, struct store_admin *out,
                    struct err *err)
{
    struct store_write *w = NULL;
    if (wish->name && !api_admin_name_check(wish->name, err))
        return false;
    return store_write_begin(s, &w, err) &&
           finish(w, admin_change(w, id, wish, expected, by, now, out, err), err);
}

static bool admin_take(struct store_write *w, const char *id, uint64_t expected, const char *by,
                       int64_t now, struct err *err)
{
    struct store_admin was;
    struct store_audit audit;
    if (!store_write_admin_get(w, id, &was, err) || !leaves_one(w, &was, false, err) ||
        !store_admin_del(w, was.id, expected ? expected : was.version, err))
        return false;
    audit_fill(&audit, now, "admin.removed", by, was.id, "%s, %s, with all tokens", was.name,
               api_role_name(was.role));
    return store_audit_put(w, &audit, err);
}

bool api_admin_remove(struct store *s, const char *id, uint64_t expected, const char *by,
                      int64_t now, struct err *err)
{
    struct store_write *w = NULL;
    return store_write_begin(s, &w, err) &&
           finish(w, admin_take(w, id, expected, by, now, err), err);
}

/* ---- tokens ---- */

static const char *const kind_names[] = {"", "token", "sign-in link", "session"};

static bool secret_hash(const char *secret, uint8_t out[STORE_HASH], struct err *err)
{
    return SHA256((const uint8_t *)secret, strlen(secret), out) ||
           err_set(err, ERR_CRYPTO, "a secret cannot be hashed");
}

/* The record and what its owner presents: "scepd_" id without "tok_" "_" secret. */
static bool token_make(const char *admin, enum token_kind kind, const char *label, int64_t until,
                       const char *by, int64_t now, char text[API_TOKEN_MAX],
                       struct store_token *out, struct err *err)
{
    char id[TOKEN_ID_CHARACTERS + 1], secret[SECRET_CHARACTERS + 1];
    struct store_token t = {.kind = kind, .created_at = now, .expires_at = until, .version = 1};
    if (!token_random(id, TOKEN_ID_CHARACTERS, true, err) ||
        !token_random(secret, SECRET_CHARACTERS, true, err) || !secret_hash(secret, t.hash, err))
        return false;
    snprintf(t.id, sizeof t.id, "tok_%s", id);
    snprintf(t.admin, sizeof t.admin, "%s", admin);
    snprintf(t.label, sizeof t.label, "%s", label);
    snprintf(t.created_by, sizeof t.created_by, "%s", by);
    snprintf(text, API_TOKEN_MAX, "scepd_%s_%s", id, secret);
    OPENSSL_cleanse(secret, sizeof secret);
    *out = t;
    return true;
}

static bool not_any_more(struct err *err)
{
    if (err->kind != ERR_NOT_FOUND)
        return false;
    err_clear(err);
    return err_set(err, ERR_CONFLICT, "what this was asked with is revoked, or was used just now");
}

/* What a token for programs makes, or a session that it got, ends with it at the latest: whoever
 * has found one has nothing any more when it is revoked.  *until is cut; *parent "" without one. */
static bool descend(struct store_write *w, const char *with, int64_t now, char parent[32],
                    int64_t *until, struct err *err)
{
    struct store_token t = {.parent = ""};
    const char *up = with ? with : "";
    *parent = '\0';
    for (int depth = 0; *up; depth++, up = t.parent) {
        if (!store_write_token_get(w, up, &t, err))
            return not_any_more(err);
        if (depth == LINEAGE_MAX)
            return err_set(err, ERR_CONFLICT,
                           "a token of a token of a token: make it with scepctl");
        if (t.kind != TOKEN_API)
            continue;
        if (!*parent)
            snprintf(parent, 32, "%s", t.id);
        if (t.expires_at < *until)
            *until = t.expires_at;
    }
    return *until > now || err_set(err, ERR_CONFLICT, "what this was asked with has ended");
}

/* `with`: the id of the token that it is asked with; NULL: none. */
static bool token_add(struct store_write *w, const char *with, const char *admin,
                      enum token_kind kind, const char *label, int64_t ttl, const char *by,
                      int64_t now, char text[API_TOKEN_MAX], struct store_token *out,
                      struct err *err)
{
    struct store_admin owner;
    struct store_audit audit;
    char until[32], parent[32];
    int64_t end = now + ttl;
    if (!store_write_admin_get(w, admin, &owner, err) || !descend(w, with, now, parent, &end, err))
        return false;
    if (owner.disabled)
        return err_set(err, ERR_CONFLICT, "administrator %s is disabled", owner.name);
    for (int i = 0;; i++) {
        if (!token_make(owner.id, kind, label, end, by, now, text, out, err))
            return false;
        memcpy(out->parent, parent, sizeof parent);
        if (store_token_put(w, out, err))
            break;
        if (err->kind != ERR_EXISTS || i == DRAWS)
            return false;
        err_clear(err);
    }
    text_time(out->expires_at, until);
    audit_fill(&audit, now, kind == TOKEN_SESSION ? "session.begun" : "token.created", by, out->id,
               "%s for %s until %s%s%s", kind_names[kind], owner.name, until, *label ? ": " : "",
               label);
    return store_audit_put(w, &audit, err);
}

bool api_token_with(struct store *s, const char *with, const char *admin, enum token_kind kind,
                    const char *label, int64_t ttl, const char *by, int64_t now,
                    char text[API_TOKEN_MAX], struct store_token *out, struct err *err)
{
    struct store_write *w = NULL;
    if (ttl <= 0 || ttl > API_TOKEN_TTL_MAX)
        return err_set(err, ERR_CONFIG, "a token is good for one second to 730 days");
    return store_write_begin(s, &w, err) &&
           finish(w, token_add(w, with, admin, kind, label, ttl, by, now, text, out, err), err);
}

bool api_token_new(struct store *s, const char *admin, enum token_kind kind, const char *label,
                   int64_t ttl, const char *by, int64_t now, char text[API_TOKEN_MAX],
                   struct store_token *out, struct err *err)
{
    return api_token_with(s, NULL, admin, kind, label, ttl, by, now, text, out, err);
}

static bool token_take(struct store_write *w, const char *id, const char *by, int64_t now,
                       struct err *err)
{
    struct store_token t;
    struct store_audit audit;
    if (!store_write_token_get(w, id, &t, err) || !store_token_del(w, id, err))
        return false;
    audit_fill(&audit, now, t.kind == TOKEN_SESSION ? "session.ended" : "token.revoked", by, t.id,
               "%s of %s%s%s", kind_names[t.kind], t.admin, *t.label ? ": " : "", t.label);
    return store_audit_put(w, &audit, err);
}

bool api_token_revoke(struct store *s, const char *id, const char *by, int64_t now, struct err *err)
{
    struct store_write *w = NULL;
    return store_write_begin(s, &w, err) && finish(w, token_take(w, id, by, now, err), err);
}

/* ---- presenting one ---- */

/* "scepd_" id "_" secret, all of its parts in the one form that we write. */
static bool token_split(const char *text, char id[32], const char **secret)
{
    static const char prefix[] = "scepd_", digits[] = "0123456789abcdefghjkmnpqrstvwxyz";
    if (strncmp(text, prefix, sizeof prefix - 1) != 0)
        return false;
    const char *p = text + sizeof prefix - 1;
    if (strspn(p, digits) != TOKEN_ID_CHARACTERS || p[TOKEN_ID_CHARACTERS] != '_')
        return false;
    snprintf(id, 32, "tok_%.*s", TOKEN_ID_CHARACTERS, p);
    *secret = p + TOKEN_ID_CHARACTERS + 1;
    return strspn(*secret, digits) == SECRET_CHARACTERS && !(*secret)[SECRET_CHARACTERS];
}

static enum api_token_verdict verdict_of(const struct store_token *t, const struct store_admin *a,
                                         int64_t now)
{
    bool idle = t->kind == TOKEN_SESSION &&
                now - (t->used_at > t->created_at ? t->used_at : t->created_at) > API_SESSION_IDLE;
    if (now >= t->expires_at || idle)
        return API_TOKEN_ENDED;
    return a->disabled ? API_TOKEN_DISABLED : API_TOKEN_GOOD;
}

/* Is there a token that another was got with, and may its owner use it? */
static bool parent_stands(struct store *s, const char *id, struct store_token *t, bool *yes,
                          struct err *err)
{
    struct store_admin a;
    struct err why = {0};
    *yes = store_token_get(s, id, t, &why) && store_admin_get(s, t->admin, &a, &why) && !a.disabled;
    bool ok = why.kind == ERR_NONE || why.kind == ERR_NOT_FOUND;
    if (!ok)
        *err = why;
    return ok;
}

/* Do those stand that it was got with, one by the other? */
static bool lineage_stands(struct store *s, const struct store_token *t, bool *yes, struct err *err)
{
    struct store_token up = *t;
    char id[sizeof up.parent];
    *yes = true;
    for (int depth = 0; *yes && up.parent[0]; depth++) {
        if (depth == LINEAGE_MAX)
            return err_set(err, ERR_STORE, "token %s: those it was got with have no end", t->id);
        memcpy(id, up.parent, sizeof id);
        if (!parent_stands(s, id, &up, yes, err))
            return false;
    }
    return true;
}

bool api_token_check(struct store *s, const char *text, int64_t now,
                     enum api_token_verdict *verdict, struct store_token *token,
                     struct store_admin *admin, struct err *err)
{
    char id[32] = "tok_none";
    const char *secret = "";
    uint8_t hash[STORE_HASH];
    struct store_token t = {.id = ""};
    struct store_admin a = {.id = ""};
    bool formed = token_split(text, id, &secret);
    *verdict = API_TOKEN_WRONG;
    if (!store_token_get(s, id, &t, err)) {
        if (err->kind != ERR_NOT_FOUND && err->kind != ERR_CONFLICT)
            return false;
        err_clear(err);
    }
    if (!secret_hash(secret, hash, err))
        return false;
    bool same = text_secret_eq(view_of(hash, sizeof hash), view_of(t.hash, sizeof t.hash));
    if (!formed || !same || !t.id[0])
        return true;
    if (!store_admin_get(s, t.admin, &a, err)) {
        if (err->kind != ERR_NOT_FOUND)
            return false;
        err_clear(err); /* its owner was removed meanwhile */
        return true;
    }
    if (!lineage_stands(s, &t, &same, err))
        return false;
    if (!same)
        return true; /* what it was made with is revoked or disabled, and so is it */
    *verdict = verdict_of(&t, &a, now);
    *token = t;
    *admin = a;
    return true;
}

bool api_token_touch(struct store *s, const struct store_token *t, const struct store_admin *a,
                     const char *peer, int64_t now, struct err *err)
{
    struct store_write *w = NULL;
    bool token = t && now - t->used_at >= TOUCH_SECONDS;
    bool admin = now - a->seen_at >= TOUCH_SECONDS;
    if (!token && !admin)
        return true;
    if (!store_write_begin(s, &w, err))
        return false;
    bool ok = (!token || store_token_used(w, t->id, now, peer, err)) &&
              (!admin || store_admin_seen(w, a->id, now, err));
    return finish(w, ok, err);
}

static bool session_add(struct store_write *w, const struct store_token *presented,
                        const struct store_admin *a, const char *peer, int64_t now,
                        char text[API_TOKEN_MAX], struct store_token *out, struct err *err)
{
    char label[128];
    bool link = presented->kind == TOKEN_LINK;
    snprintf(label, sizeof label, "from %s", peer);
    if (link && !store_token_del(w, presented->id, err))
        return not_any_more(err);
    return token_add(w, link ? NULL : presented->id, a->id, TOKEN_SESSION, label, API_SESSION_TTL,
                     a->name, now, text, out, err);
}

bool api_session_new(struct store *s, const struct store_token *presented,
                     const struct store_admin *a, const char *peer, int64_t now,
                     char text[API_TOKEN_MAX], struct store_token *out, struct err *err)
{
    struct store_write *w = NULL;
    return store_write_begin(s, &w, err) &&
           finish(w, session_add(w, presented, a, peer, now, text, out, err), err);
}
