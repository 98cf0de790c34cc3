/* scepctl admin ... and scepctl console: who may sign in at the API and the console. */
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "api/account.h"
#include "base/hex.h"
#include "ca/keyfile.h"
#include "config/suggest.h"
#include "pkcs7/cert.h"
#include "scepctl/ctl.h"

/* clang-format off */
const struct ctl_flag ctl_admin_new_flags[] = {
    {"role", 0, "ROLE", false, "auditor (reads), operator (challenges, approvals), administrator (all; the default)"},
    {"certificate", 0, "FILE", false, "the certificate to sign in with, PEM or DER, of an authority here"},
    {NULL, 0, NULL, false, NULL},
};
const struct ctl_flag ctl_admin_edit_flags[] = {
    {"role", 0, "ROLE", false, "auditor, operator, administrator"},
    {"name", 0, "NAME", false, "another name"},
    {"certificate", 0, "FILE", false, "the certificate to sign in with; none: no certificate any more"},
    {"enable", 0, NULL, false, "may sign in again"},
    {"disable", 0, NULL, false, "may not sign in, whatever is presented"},
    {NULL, 0, NULL, false, NULL},
};
const struct ctl_flag ctl_admin_token_flags[] = {
    {"expires", 0, "TIME", false, "new: life of the token: 30d, 12h (90d)"},
    {"label", 0, "TEXT", false, "new: what it is for"},
    {NULL, 0, NULL, false, NULL},
};
const struct ctl_flag ctl_console_flags[] = {
    {"admin", 0, "NAME", false, "whose link it is (who is logged in here)"},
    {NULL, 0, NULL, false, NULL},
};
/* clang-format on */

/* ---- list and show ---- */

static const struct ctl_column columns[] = {
    {"ID", "id", CTL_ID, false},          {"NAME", "name", CTL_TEXT, false},
    {"ROLE", "role", CTL_TEXT, false},    {"STATE", "state", CTL_TEXT, false},
    {"SEEN", "seen_at", CTL_TIME, false}, {"CERTIFICATE", "certificate_sha256", CTL_ID, false},
};
#define COLUMNS (sizeof columns / sizeof columns[0])

static const char *state_of(const struct store_admin *a)
{
    return a->disabled ? "disabled" : "active";
}

static void certificate_text(const struct store_admin *a, char out[2 * STORE_HASH + 1])
{
    out[0] = '\0';
    if (a->has_certificate)
        hex_encode(view_of(a->certificate, STORE_HASH), out);
}

static bool list_one(void *list, const struct store_admin *a)
{
    char hex[2 * STORE_HASH + 1];
    certificate_text(a, hex);
    const struct ctl_cell cells[COLUMNS] = {
        {.text = a->id},       {.text = a->name},      {.text = api_role_name(a->role)},
        {.text = state_of(a)}, {.number = a->seen_at}, {.text = hex}};
    ctl_list_row(list, cells);
    return true;
}

int ctl_admin_list(struct ctl *ctl, const struct ctl_args *a)
{
    struct err err = {0};
    int rc = ctl_need_store(ctl);
    if (rc)
        return rc;
    struct ctl_list *list = ctl_list_new(ctl, columns, COLUMNS);
    bool ok = store_admin_list(ctl->store, "", list_one, list, &err);
    ctl_list_end(list);
    return ok ? CTL_DONE : ctl_fail_err(ctl, &err, NULL);
}

static int find(struct ctl *ctl, const char *name, struct store_admin *out)
{
    struct err err = {0};
    int rc = ctl_need_store(ctl);
    if (rc)
        return rc;
    return store_admin_get(ctl->store, name, out, &err)
               ? CTL_DONE
               : ctl_fail_err(ctl, &err, "scepctl admin list shows who there is");
}

static void show(struct ctl *ctl, const struct store_admin *a)
{
    struct ctl_show s;
    char hex[2 * STORE_HASH + 1];
    certificate_text(a, hex);
    ctl_show_start(&s, ctl);
    ctl_show_text(&s, "id", a->id);
    ctl_show_text(&s, "name", a->name);
    ctl_show_text(&s, "role", api_role_name(a->role));
    ctl_show_text(&s, "state", state_of(a));
    ctl_show_text(&s, "certificate_sha256", hex);
    ctl_show_time(&s, "created_at", a->created_at);
    ctl_show_text(&s, "created_by", a->created_by);
    ctl_show_time(&s, "changed_at", a->changed_at);
    ctl_show_time(&s, "seen_at", a->seen_at);
    ctl_show_end(&s);
}

int ctl_admin_show(struct ctl *ctl, const struct ctl_args *a)
{
    struct store_admin admin;
    int rc = find(ctl, a->id[0], &admin);
    if (!rc)
        show(ctl, &admin);
    return rc;
}

/* ---- new and edit ---- */

static int read_role(struct ctl *ctl, const struct ctl_args *a, enum account_role *out)
{
    char hint[96];
    const char *role = ctl_arg(a, "role");
    if (!role || api_role_by_name(role, out))
        return CTL_DONE;
    struct suggest near = suggest_start(role);
    for (int i = 0; api_role_names[i]; i++)
        suggest_offer(&near, api_role_names[i]);
    return ctl_fail(ctl, CTL_USAGE, NULL,
                    "--role is auditor, operator or administrator, not \"%s\"%s", role,
                    suggest_text(&near, hint, sizeof hint));
}

/* Before the store makes this process its owner: the file may be the caller's alone. */
static int read_certificate(struct ctl *ctl, const char *path, struct cert **out)
{
    struct buf file = {0};
    struct err err = {0};
    bool ok = file_read(path, &file, &err) && cert_parse_any(buf_view(&file), out, &err);
    buf_clear(&file);
    return ok ? CTL_DONE : ctl_fail_err(ctl, &err, NULL);
}

/* A certificate that nobody here issued is refused at every sign-in: told at once. */
static int certificate_is_ours(struct ctl *ctl, const struct cert *c)
{
    struct store_cert record = {0};
    struct err err = {0};
    int rc = ctl_need_store(ctl);
    if (rc)
        return rc;
    bool ok = store_cert_by_der(ctl->store, c->serial, c->sha256, &record, &err);
    store_cert_clear(&record);
    if (ok || err.kind != ERR_NOT_FOUND)
        return ok ? CTL_DONE : ctl_fail_err(ctl, &err, NULL);
    return ctl_fail(ctl, CTL_NOT_FOUND, "enrol one here: scepctl client enrol",
                    "that certificate was not issued by an authority here: it cannot be looked up "
                    "at sign-in");
}

static int make(struct ctl *ctl, const struct api_admin_wish *w)
{
    struct store_admin made;
    struct err err = {0};
    if (ctl->dry_run) {
        ctl_note(ctl, "would make the %s %s", api_role_name(w->role), w->name);
        return CTL_DONE;
    }
    if (!api_admin_new(ctl->store, w, ctl->actor, ctl->now, &made, &err))
        return ctl_fail_err(ctl, &err, NULL);
    show(ctl, &made);
    ctl_note(ctl, "next: scepctl console --admin %s  or  scepctl admin token new %s", made.name,
             made.name);
    return CTL_DONE;
}

int ctl_admin_new(struct ctl *ctl, const struct ctl_args *a)
{
    struct api_admin_wish w = {.name = a->id[0], .role = ROLE_ADMINISTRATOR, .disabled = 0};
    struct cert *certificate = NULL;
    const char *file = ctl_arg(a, "certificate");
    int rc = read_role(ctl, a, &w.role);
    if (!rc && file)
        rc = read_certificate(ctl, file, &certificate);
    if (!rc)
        rc = certificate ? certificate_is_ours(ctl, certificate) : ctl_need_store(ctl);
    w.certificate = certificate ? certificate->sha256 : NULL;
    if (!rc)
        rc = make(ctl, &w);
    cert_free(certificate);
    return rc;
}

static int change(struct ctl *ctl, const char *name, const struct api_admin_wish *w)
{
    struct store_admin admin;
    struct err err = {0};
    int rc = find(ctl, name, &admin);
    if (rc)
        return rc;
    if (ctl->dry_run) {
        ctl_note(ctl, "would change %s", admin.name);
        return CTL_DONE;
    }
    if (!api_admin_edit(ctl->store, admin.id, w, 0, ctl->actor, ctl->now, &admin, &err))
        return ctl_fail_err(ctl, &err, NULL);
    show(ctl, &admin);
    return CTL_DONE;
}

int ctl_admin_edit(struct ctl *ctl, const struct ctl_args *a)
{
    struct api_admin_wish w = {.name = ctl_arg(a, "name"), .disabled = -1};
    struct cert *certificate = NULL;
    const char *file = ctl_arg(a, "certificate");
    bool enable = ctl_arg(a, "enable"), disable = ctl_arg(a, "disable");
    int rc = read_role(ctl, a, &w.role);
    if (rc)
        return rc;
    if (enable && disable)
        return ctl_fail(ctl, CTL_USAGE, NULL, "--enable and --disable exclude each other");
    if (!w.name && w.role == ROLE_NONE && !enable && !disable && !file)
        return ctl_fail(ctl, CTL_USAGE, "scepctl admin edit --help", "nothing is to be changed");
    if (enable || disable)
        w.disabled = disable;
    w.no_certificate = file && strcmp(file, "none") == 0;
    if (file && !w.no_certificate && !(rc = read_certificate(ctl, file, &certificate)))
        rc = certificate_is_ours(ctl, certificate);
    w.certificate = certificate ? certificate->sha256 : NULL;
    if (!rc)
        rc = change(ctl, a->id[0], &w);
    cert_free(certificate);
    return rc;
}

int ctl_admin_disable(struct ctl *ctl, const struct ctl_args *a)
{
    const struct api_admin_wish w = {.disabled = 1};
    return change(ctl, a->id[0], &w);
}

/* ---- tokens ---- */

static const struct ctl_column token_columns[] = {
    {"ID", "id", CTL_ID, false},
    {"KIND", "kind", CTL_TEXT, false},
    {"ADMIN", "admin", CTL_TEXT, false},
    {"LABEL", "label", CTL_TEXT, false},
    {"EXPIRES", "expires_at", CTL_TIME, false},
    {"USED", "used_at", CTL_TIME, false},
    {"FROM", "used_from", CTL_TEXT, false},
};
#define TOKEN_COLUMNS (sizeof token_columns / sizeof token_columns[0])

struct token_listing {
    struct ctl *ctl;
    struct ctl_list *list;
};

static bool list_token(void *listing, const struct store_token *t)
{
    static const char *const kinds[] = {"", "api", "link", "session"};
    struct token_listing *l = listing;
    struct store_admin owner;
    struct err ignored = {0};
    bool known = store_admin_get(l->ctl->store, t->admin, &owner, &ignored);
    const struct ctl_cell cells[TOKEN_COLUMNS] = {
        {.text = t->id},        {.text = kinds[t->kind]},  {.text = known ? owner.name : t->admin},
        {.text = t->label},     {.number = t->expires_at}, {.number = t->used_at},
        {.text = t->used_from},
    };
    ctl_list_row(l->list, cells);
    return true;
}

static int tokens_list(struct ctl *ctl, const char *of)
{
    struct store_admin admin;
    struct err err = {0};
    int rc = of ? find(ctl, of, &admin) : ctl_need_store(ctl);
    if (rc)
        return rc;
    struct token_listing l = {ctl, ctl_list_new(ctl, token_columns, TOKEN_COLUMNS)};
    bool ok = store_token_list(ctl->store, of ? admin.id : NULL, "", list_token, &l, &err);
    ctl_list_end(l.list);
    return ok ? CTL_DONE : ctl_fail_err(ctl, &err, NULL);
}

static void print_token(struct ctl *ctl, const struct store_token *t, const char *name,
                        const char *text)
{
    char until[64];
    ctl_time_text(ctl, t->expires_at, until, sizeof until);
    if (ctl->json) {
        json_t *o = json_pack("{s:s,s:s,s:s}", "id", t->id, "admin", name, "secret", text);
        ctl_json_text(o, "label", t->label);
        ctl_json_line(o);
        json_decref(o);
        return;
    }
    printf("%s\n", text);
    ctl_note(ctl, "%s of %s, until %s; shown once, kept only as a hash", t->id, name, until);
    ctl_note(ctl, "use it: curl -H \"Authorization: Bearer ...\" .../api/v1/session");
}

static int token_new(struct ctl *ctl, const struct ctl_args *a, const char *name)
{
    struct store_admin admin;
    struct store_token t;
    struct err err = {0};
    char text[API_TOKEN_MAX];
    int64_t ttl;
    const char *label = ctl_arg(a, "label");
    int rc = ctl_arg_duration(ctl, a, "expires", API_TOKEN_TTL, &ttl);
    if (!rc && label && strlen(label) >= sizeof t.label)
        rc = ctl_fail(ctl, CTL_USAGE, NULL, "--label is too long: at most %zu octets",
                      sizeof t.label - 1);
    if (rc || (rc = find(ctl, name, &admin)))
        return rc;
    if (ctl->dry_run) {
        ctl_note(ctl, "would make a token for %s", admin.name);
        return CTL_DONE;
    }
    if (!api_token_new(ctl->store, admin.id, TOKEN_API, label ? label : "", ttl, ctl->actor,
                       ctl->now, text, &t, &err))
        return ctl_fail_err(ctl, &err, NULL);
    print_token(ctl, &t, admin.name, text);
    OPENSSL_cleanse(text, sizeof text);
    return CTL_DONE;
}

static int token_revoke(struct ctl *ctl, const char *id)
{
    struct store_token t;
    struct err err = {0};
    int rc = ctl_need_store(ctl);
    if (rc)
        return rc;
    if (!store_token_get(ctl->store, id, &t, &err))
        return ctl_fail_err(ctl, &err, "scepctl admin token list shows them");
    if (ctl->dry_run) {
        ctl_note(ctl, "would revoke %s", t.id);
        return CTL_DONE;
    }
    if (!api_token_revoke(ctl->store, t.id, ctl->actor, ctl->now, &err))
        return ctl_fail_err(ctl, &err, NULL);
    ctl_note(ctl, "revoked %s: its next call is refused", t.id);
    return CTL_DONE;
}

int ctl_admin_token(struct ctl *ctl, const struct ctl_args *a)
{
    static const char *const words[] = {"new", "list", "revoke", NULL};
    const char *what = a->id_n ? a->id[0] : "list";
    char hint[96], clean[64];
    if (strcmp(what, "list") == 0 && a->id_n <= 2)
        return tokens_list(ctl, a->id_n > 1 ? a->id[1] : NULL);
    if (strcmp(what, "new") == 0 && a->id_n == 2)
        return token_new(ctl, a, a->id[1]);
    if (strcmp(what, "new") == 0)
        return ctl_fail(ctl, CTL_USAGE, "scepctl admin list shows who there is",
                        "whose token? scepctl admin token new NAME");
    if (strcmp(what, "revoke") == 0 && a->id_n > 1) {
        for (size_t i = 1; i < a->id_n; i++) {
            int rc = token_revoke(ctl, a->id[i]);
            if (rc)
                return rc;
        }
        return CTL_DONE;
    }
    struct suggest near = suggest_start(what);
    for (int i = 0; words[i]; i++)
        suggest_offer(&near, words[i]);
    ctl_clean(what, clean, sizeof clean);
    return ctl_fail(ctl, CTL_USAGE, "scepctl admin token --help",
                    "admin token new NAME, list [NAME] or revoke ID, not \"%s\"%s", clean,
                    suggest_text(&near, hint, sizeof hint));
}

/* ---- console ---- */

/* As browsers reach it: what the configuration says, or the address it listens on. */
static void console_url(const struct config *c, char out[400])
{
    char host[256] = "";
    const char *address = c->api_address;
    bool all =
        strcmp(address, "0.0.0.0") == 0 || strcmp(address, "::") == 0 || strcmp(address, "*") == 0;
    if (c->api_url[0]) {
        size_t n = strlen(c->api_url);
        snprintf(out, 400, "%.*s", (int)(c->api_url[n - 1] == '/' ? n - 1 : n), c->api_url);
        return;
    }
    if (all && gethostname(host, sizeof host - 1) == 0)
        address = host;
    snprintf(out, 400, "%s://%s%s%s:%d", c->api_certificate[0] ? "https" : "http",
             strchr(address, ':') ? "[" : "", address, strchr(address, ':') ? "]" : "",
             c->api_port);
}

int ctl_console(struct ctl *ctl, const struct ctl_args *a)
{
    struct store_admin admin;
    struct store_token t;
    struct err err = {0};
    char text[API_TOKEN_MAX], url[400], fix[128];
    const char *name = ctl_arg(a, "admin") ? ctl_arg(a, "admin") : ctl->actor;
    int rc = ctl_need_store(ctl);
    if (rc)
        return rc;
    if (!ctl->config->api_port)
        return ctl_fail(ctl, CTL_CONFLICT, "api: { port = 8443; }; in the configuration",
                        "there is no listener for the console: api.port is 0");
    snprintf(fix, sizeof fix, "scepctl admin new %s  or  scepctl console --admin NAME", name);
    if (!store_admin_get(ctl->store, name, &admin, &err))
        return ctl_fail_err(ctl, &err, fix);
    if (ctl->dry_run) {
        ctl_note(ctl, "would make a link for %s", admin.name);
        return CTL_DONE;
    }
    if (!api_token_new(ctl->store, admin.id, TOKEN_LINK, "", API_LINK_TTL, ctl->actor, ctl->now,
                       text, &t, &err))
        return ctl_fail_err(ctl, &err, NULL);
    console_url(ctl->config, url);
    if (ctl->json) {
        json_t *o = json_pack("{s:o,s:s}", "url", json_sprintf("%s/ui/#c=%s", url, text), "admin",
                              admin.name);
        ctl_json_line(o);
        json_decref(o);
    } else {
        printf("%s/ui/#c=%s\n", url, text);
    }
    ctl_note(ctl, "signs %s in, once, within 5 minutes", admin.name);
    OPENSSL_cleanse(text, sizeof text);
    return CTL_DONE;
}

/* ---- the first one ---- */

bool ctl_first_admin(const struct ctl *ctl, struct store *s, struct err *err)
{
    char name[64];
    struct store_admin made;
    snprintf(name, sizeof name, "%s", ctl->actor);
    for (char *p = name; *p; p++)
        if (!api_admin_name_check((const char[]){*p, '\0'}, err)) {
            err_clear(err);
            *p = '-';
        }
    const struct api_admin_wish w = {.name = name, .role = ROLE_ADMINISTRATOR, .disabled = 0};
    return api_admin_new(s, &w, ctl->actor, ctl->now, &made, err);
}
