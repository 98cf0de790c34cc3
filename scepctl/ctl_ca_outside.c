/* scepctl ca csr, ca install: an authority whose root is elsewhere. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "ca/family.h"
#include "ca/tend.h"
#include "ca/init.h"
#include "ca/keyfile.h"
#include "ca/outside.h"
#include "pkcs7/cert.h"
#include "scepctl/ctl.h"
#include "config/suggest.h"

#define PATH_CAP 512

/* ---- which authority ---- */

struct outside {
    struct ctl *ctl;
    const struct config_authority *a;
    size_t index;
    bool waits;           /* its first certificate is to come */
    char csr[PATH_CAP];   /* its request, when it waits */
    EVP_PKEY *key;        /* owned */
    struct bundle bundle; /* owned: the answer */
    struct issued_chain chain;
};

static bool request_path(const struct config_authority *a, char out[PATH_CAP])
{
    size_t n = strlen(a->certificate);
    if (n < 5 || n >= PATH_CAP || strcmp(a->certificate + n - 4, ".pem") != 0)
        return false;
    memcpy(out, a->certificate, n + 1);
    memcpy(out + n - 4, ".csr", 5);
    return true;
}

static bool is_waiting(const struct config_authority *a, char csr[PATH_CAP])
{
    return request_path(a, csr) && access(a->certificate, F_OK) != 0 && access(csr, F_OK) == 0;
}

/* The one named, else the one that waits, else the only one. */
static int choose(struct outside *o, const char *name)
{
    const struct config *c = o->ctl->config;
    char csr[PATH_CAP], hint[128];
    struct suggest near = suggest_start(name ? name : "");
    size_t found = c->authority_n, waiting = 0;
    for (size_t i = 0; i < c->authority_n; i++) {
        suggest_offer(&near, c->authority[i].name);
        if (name ? strcmp(c->authority[i].name, name) == 0 : is_waiting(&c->authority[i], csr)) {
            found = i;
            waiting++;
        }
    }
    if (!name && waiting == 0 && c->authority_n == 1)
        found = 0;
    if (name && found == c->authority_n)
        return ctl_fail(o->ctl, CTL_NOT_FOUND, "scepctl ca show", "there is no authority \"%s\"%s",
                        name, suggest_text(&near, hint, sizeof hint));
    if (found == c->authority_n || waiting > 1)
        return ctl_fail(o->ctl, CTL_USAGE, "--authority NAME", "there are %zu authorities",
                        c->authority_n);
    o->index = found;
    o->a = &c->authority[found];
    o->waits = is_waiting(o->a, o->csr);
    return CTL_DONE;
}

static int load_key(struct outside *o)
{
    struct err err = {0};
    const char *passphrase = o->a->passphrase_file[0] ? o->a->passphrase_file : NULL;
    if (key_load(o->a->key, passphrase, &o->key, &err))
        return CTL_DONE;
    return access(o->a->key, R_OK)
               ? ctl_fail(o->ctl, CTL_NOT_PERMITTED, "run it as root or as the user of scepd", "%s",
                          err.text)
               : ctl_fail_err(o->ctl, &err, NULL);
}

static void outside_clear(struct outside *o)
{
    EVP_PKEY_free(o->key);
    bundle_clear(&o->bundle);
}

/* ---- ca csr ---- */

static int print_file(struct ctl *ctl, const char *path)
{
    struct buf b = {0};
    struct err err = {0};
    if (!file_read(path, &b, &err))
        return ctl_fail_err(ctl, &err, NULL);
    fwrite(b.p, 1, b.n, stdout);
    buf_clear(&b);
    return CTL_DONE;
}

/* For a new certificate of the same key and name. */
static int print_request(struct outside *o)
{
    struct buf file = {0}, pem = {0};
    struct cert *c = NULL;
    struct err err = {0};
    int rc = load_key(o);
    if (rc)
        return rc;
    bool ok =
        file_read(o->a->certificate, &file, &err) && cert_parse_any(buf_view(&file), &c, &err);
    if (ok) {
        const struct outside_request r = {o->key, c->subject, o->a->ca_decrypts};
        ok = outside_request_build(&r, &pem, &err);
    }
    if (ok)
        fwrite(pem.p, 1, pem.n, stdout);
    buf_clear(&file);
    buf_clear(&pem);
    cert_free(c);
    return ok ? CTL_DONE : ctl_fail_err(o->ctl, &err, NULL);
}

static void tend_of(struct outside *o, struct family_files *files, struct tend_rules *rules,
                    struct tend *out)
{
    config_tend_setup(o->ctl->config, o->index, files, rules);
    *out =
        (struct tend){.files = files, .rules = rules, .actor = o->ctl->actor, .now = o->ctl->now};
}

/* For the next CA: a new key, which waits beside the later generations. */
static int print_next(struct outside *o, const struct ctl_args *a)
{
    static const char *const kinds[] = {"rsa2048", "rsa3072", "rsa4096", "p256", "p384", NULL};
    struct family_files files;
    struct tend_rules rules;
    struct tend t;
    struct buf pem = {0};
    struct err err = {0};
    int kind = 0, rc = ctl_arg_word(o->ctl, a, "key", kinds, &kind);
    if (rc ||
        (rc = ctl_need_store(o->ctl))) /* root becomes its owner: the key must be the daemon's */
        return rc;
    const struct tend_next wish = {.key_kind = ctl_arg(a, "key") ? kinds[kind] : NULL,
                                   .name = ctl_arg(a, "name")};
    tend_of(o, &files, &rules, &t);
    if (!tend_request_next(&t, &wish, &pem, &err))
        return ctl_fail_err(
            o->ctl, &err, err.kind == ERR_CONFLICT ? "scepctl ca rollover abort forgets it" : NULL);
    fwrite(pem.p, 1, pem.n, stdout);
    buf_clear(&pem);
    ctl_note(o->ctl, "Next: scepctl ca install ANSWER, with the certificates above it");
    return CTL_DONE;
}

int ctl_ca_csr(struct ctl *ctl, const struct ctl_args *a)
{
    struct outside o = {.ctl = ctl};
    int rc = ctl_need_waiting_config(ctl);
    if (rc || (rc = choose(&o, a->id_n ? a->id[0] : NULL)))
        return rc;
    if (ctl_arg(a, "next"))
        return o.waits ? ctl_fail(ctl, CTL_CONFLICT, "scepctl ca csr",
                                  "authority %s waits for its first certificate", o.a->name)
                       : print_next(&o, a);
    rc = o.waits ? print_file(ctl, o.csr) : print_request(&o);
    outside_clear(&o);
    return rc;
}

/* ---- ca install: the answer ---- */

static int read_answer(struct outside *o, const struct ctl_args *a)
{
    struct err err = {0};
    for (size_t i = 0; i < a->id_n; i++) {
        struct buf b = {0};
        bool ok = file_read(a->id[i], &b, &err) &&
                  bundle_read(buf_view(&b), view_of(NULL, 0), a->id[i], &o->bundle, &err);
        buf_wipe(&b);
        if (!ok)
            return ctl_fail_err(o->ctl, &err, NULL);
    }
    return CTL_DONE;
}

static int find_chain(struct outside *o, EVP_PKEY *key)
{
    struct err err = {0};
    if (bundle_chain(&o->bundle, key, o->ctl->now, &o->chain, &err))
        return CTL_DONE;
    return ctl_fail_err(o->ctl, &err,
                        strstr(err.text, "not complete")
                            ? "scepctl ca install ANSWER ISSUER...: give the certificates above "
                              "it as well"
                            : NULL);
}

static void tell_plan(const struct outside *o)
{
    const struct cert *c = o->chain.ca;
    char subject[NAME_TEXT_MAX], issuer[NAME_TEXT_MAX], from[32], to[32];
    name_der_text(c->subject, subject, sizeof subject);
    name_der_text(c->issuer, issuer, sizeof issuer);
    text_time(c->not_before, from);
    text_time(c->not_after, to);
    ctl_note(o->ctl, "%sinstall \"%.300s\", issued by \"%.300s\" (%zu above it), %s to %s",
             o->ctl->dry_run ? "would " : "", subject, issuer, o->chain.n, from, to);
}

/* ---- the first certificate ---- */

/* Where init put everything: BASE/ca and BASE/keys. */
static bool base_of(const struct config_authority *a, char base[PATH_CAP])
{
    static const char tail[] = "/ca/ca.pem";
    size_t n = strlen(a->certificate), m = sizeof tail - 1;
    char key[PATH_CAP + 16];
    if (n <= m || strcmp(a->certificate + n - m, tail) != 0)
        return false;
    snprintf(base, PATH_CAP, "%.*s", (int)(n - m), a->certificate);
    snprintf(key, sizeof key, "%s/keys/ca.key", base);
    return strcmp(key, a->key) == 0;
}

/* A file of the RA lies where authority_init would write it, or is not configured. */
static bool at(const char *base, const char *name, const char *path)
{
    char expected[PATH_CAP + 64];
    snprintf(expected, sizeof expected, "%s/%s", base, name);
    return !path[0] || strcmp(expected, path) == 0;
}

static bool plain_layout(const struct config_authority *a, const char *base)
{
    return at(base, "ca/ra.pem", a->ra_certificate) && at(base, "keys/ra.key", a->ra_key) &&
           at(base, "ca/ra-signing.pem", a->ra_signing_certificate) &&
           at(base, "keys/ra-signing.key", a->ra_signing_key) &&
           at(base, "ca/ra-encryption.pem", a->ra_encryption_certificate) &&
           at(base, "keys/ra-encryption.key", a->ra_encryption_key) && a->chain_n <= 1 &&
           at(base, "ca/chain.pem", a->chain_n ? a->chain[0] : "");
}

/* The common name, for the names of the RAs. */
static void name_of(const struct cert *c, char out[256])
{
    struct name n = {0};
    struct err ignored = {0};
    snprintf(out, 256, "Device CA");
    if (!name_parse(c->subject, REASON_SUBJECT_FORBIDDEN, &n, &ignored))
        return;
    for (size_t i = 0; i < n.n; i++)
        if (n.attr[i].type == name_type_by_key("CN"))
            snprintf(out, 256, "%.52s", n.attr[i].value);
    name_clear(&n);
}

static const char *const made[] = {"ca/ca.pem",
                                   "ca/chain.pem",
                                   "ca/ra.pem",
                                   "keys/ra.key",
                                   "ca/ra-signing.pem",
                                   "keys/ra-signing.key",
                                   "ca/ra-encryption.pem",
                                   "keys/ra-encryption.key"};

static void take_back(const char *base)
{
    char path[PATH_CAP + 64];
    for (size_t i = 0; i < sizeof made / sizeof made[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", base, made[i]);
        unlink(path);
    }
}

static void keep_message(void *ctx, const char *message)
{
    err_set(ctx, ERR_CONFIG, "%s", message);
}

/* As the daemon will read it. */
static bool ready(const struct ctl *ctl, struct err *err)
{
    struct config_rooms rooms;
    struct config *c = config_load(ctl->config_path, keep_message, err);
    bool ok = c && config_rooms_load(c, &rooms, err);
    if (ok)
        config_rooms_clear(c, &rooms);
    config_free(c);
    return ok;
}

static int install_first(struct outside *o)
{
    char base[PATH_CAP], name[256];
    struct err err = {0};
    if (!base_of(o->a, base) || !plain_layout(o->a, base))
        return ctl_fail(
            o->ctl, CTL_CONFLICT, "put the certificate at its place by hand, with an RA of it",
            "the files of authority %s do not lie where scepctl init puts them", o->a->name);
    name_of(o->chain.ca, name);
    const struct init_plan plan = {
        .directory = base,
        .name = name,
        .ra_key = o->a->ra_certificate[0] ? "rsa2048" : NULL,
        .ra_pair = o->a->ra_signing_certificate[0] != '\0',
        .ca_decrypts = o->a->ca_decrypts,
        .passphrase_file = o->a->passphrase_file[0] ? o->a->passphrase_file : NULL,
        .given_key = o->key,
        .given = &o->chain,
        .key_stands = true,
        .now = o->ctl->now,
    };
    if (o->a->chain_n == 0 && o->chain.n)
        return ctl_fail(o->ctl, CTL_CONFLICT, "chain = [\"ca/chain.pem\"]; in its section",
                        "the configuration of authority %s names no issuers (chain)", o->a->name);
    if (!authority_init(&plan, &err))
        return ctl_fail_err(o->ctl, &err, NULL);
    if (ready(o->ctl, &err))
        return CTL_DONE;
    take_back(base);
    return ctl_fail_err(o->ctl, &err, "nothing was changed");
}

/* ---- another certificate of the same key ---- */

static bool replace(const struct outside *o, struct err *err)
{
    struct buf chain = {0}, pem = {0};
    bool ok = (!o->chain.n || (issued_chain_pem(&o->chain, &chain, err) &&
                               file_replace(o->a->chain[0], buf_view(&chain), 0644, err))) &&
              cert_pem(buf_view(&o->chain.ca->der), &pem, err) &&
              file_replace(o->a->certificate, buf_view(&pem), 0644, err);
    buf_clear(&chain);
    buf_clear(&pem);
    return ok;
}

/* Everything that was issued must still be below it: the same name, and the same key identifier. */
static int check_same(struct outside *o, const struct cert *before)
{
    struct extensions x = {0}, y = {0};
    struct err err = {0};
    const struct cert *now = o->chain.ca;
    bool parsed =
        (!before->extensions.n ||
         extensions_parse(before->extensions, REASON_INTERNAL, &x, &err)) &&
        (!now->extensions.n || extensions_parse(now->extensions, REASON_INTERNAL, &y, &err));
    bool same = parsed && view_eq(before->subject, now->subject) && view_eq(x.ski, y.ski);
    extensions_clear(&x);
    extensions_clear(&y);
    return same ? CTL_DONE
                : ctl_fail(o->ctl, CTL_CONFLICT,
                           "have it issued with the same subject and key identifier",
                           "the new certificate has another name or subjectKeyIdentifier than %s",
                           o->a->certificate);
}

static int replace_certificate(struct outside *o)
{
    struct buf file = {0};
    struct cert *before = NULL;
    struct err err = {0};
    int rc = CTL_DONE;
    if (!file_read(o->a->certificate, &file, &err) ||
        !cert_parse_any(buf_view(&file), &before, &err))
        rc = ctl_fail_err(o->ctl, &err, NULL);
    else if (o->a->chain_n > 1 || (o->a->chain_n == 0) != (o->chain.n == 0))
        rc = ctl_fail(o->ctl, CTL_CONFLICT,
                      "let chain name one file, which gets all certificates above it",
                      "the configuration of authority %s names %zu files in chain", o->a->name,
                      o->a->chain_n);
    else
        rc = check_same(o, before);
    if (rc == CTL_DONE && !replace(o, &err))
        rc = ctl_fail_err(o->ctl, &err, NULL);
    if (rc == CTL_DONE && !ready(o->ctl, &err))
        rc = ctl_fail_err(o->ctl, &err, NULL);
    cert_free(before);
    buf_clear(&file);
    return rc;
}

/* ---- telling ---- */

static int record(struct outside *o, const char *print)
{
    struct store_audit a = {.at = o->ctl->now};
    struct store_write *w = NULL;
    struct err err = {0};
    char subject[NAME_TEXT_MAX];
    config_free(o->ctl->config); /* it waited; now it is whole */
    o->ctl->config = NULL;
    o->a = NULL;
    int rc = ctl_need_store(o->ctl);
    if (rc)
        return rc;
    name_der_text(o->chain.ca->subject, subject, sizeof subject);
    snprintf(a.event, sizeof a.event, "ca.installed");
    text_printable(view_str(o->ctl->actor), a.actor, sizeof a.actor);
    text_printable(view_str(o->ctl->config->authority[o->index].name), a.object, sizeof a.object);
    snprintf(a.text, sizeof a.text, "%.250s sha256=%s", subject, print);
    if (!store_write_begin(o->ctl->store, &w, &err))
        return ctl_fail_err(o->ctl, &err, NULL);
    if (!store_audit_put(w, &a, &err)) {
        store_write_abort(w);
        return ctl_fail_err(o->ctl, &err, NULL);
    }
    return store_write_commit(w, &err) ? CTL_DONE : ctl_fail_err(o->ctl, &err, NULL);
}

/* `file` is where it lies when the configuration names that, else NULL. */
static int show_installed(struct outside *o, const char *file)
{
    struct ctl_show s;
    struct err err = {0};
    char print[3 * 64];
    if (!cert_fingerprint(o->chain.ca, DIGEST_SHA256, print, &err))
        return ctl_fail_err(o->ctl, &err, NULL);
    ctl_show_start(&s, o->ctl);
    ctl_show_text(&s, "authority", o->ctl->config->authority[o->index].name);
    ctl_show_text(&s, "certificate", file);
    ctl_show_time(&s, "not_after", o->chain.ca->not_after);
    ctl_show_text(&s, "sha256", print);
    ctl_show_end(&s);
    return CTL_DONE;
}

static int tell(struct outside *o)
{
    struct err err = {0};
    char print[3 * 64];
    bool first = o->waits;
    if (!cert_fingerprint(o->chain.ca, DIGEST_SHA256, print, &err))
        return ctl_fail_err(o->ctl, &err, NULL);
    int rc = record(o, print);
    if (rc || (rc = show_installed(o, o->ctl->config->authority[o->index].certificate)))
        return rc;
    if (first)
        ctl_note(o->ctl, "Next: scepd -c %s", o->ctl->config_path);
    else
        ctl_note(o->ctl, "Next: make scepd read it (reload or restart)");
    return CTL_DONE;
}

/* ---- the next CA ---- */

static int read_activation(struct outside *o, const struct ctl_args *a, int64_t *out)
{
    int rc = ctl_arg_moment(o->ctl, a, "at", 0, out); /* 0: by the rules */
    if (rc == CTL_DONE && ctl_arg(a, "by-hand"))
        *out = TEND_BY_HAND;
    return rc;
}

static int install_next(struct outside *o, const struct ctl_args *a, EVP_PKEY *key)
{
    struct family_files files;
    struct tend_rules rules;
    struct tend t;
    struct err err = {0};
    int64_t at;
    int rc = find_chain(o, key);
    if (rc || (rc = read_activation(o, a, &at)))
        return rc;
    tell_plan(o);
    if (o->ctl->dry_run)
        return CTL_DONE;
    if ((rc = ctl_need_store(o->ctl))) /* root becomes its owner: the files must be the daemon's */
        return rc;
    tend_of(o, &files, &rules, &t);
    if (!tend_take_next(&t, key, o->chain.ca, o->chain.above, o->chain.n, at, &err))
        return ctl_fail_err(o->ctl, &err, NULL);
    tend_request_forget(&t);
    if (!config_tend_record(o->ctl->config, o->index, o->ctl->store, NULL, &err))
        ctl_note(o->ctl, "not in the audit log yet: %s", err.text);
    if ((rc = show_installed(o, NULL)))
        return rc;
    ctl_note(o->ctl, "It is announced from the daemon's next reload on; scepctl ca rollover status "
                     "says when it takes over.");
    return CTL_DONE;
}

/* Is the answer for the key of a next CA?  *key stays NULL if not. */
static int find_next(struct outside *o, EVP_PKEY **key)
{
    struct family_files files;
    struct tend_rules rules;
    struct tend t;
    struct issued_chain chain;
    struct err err = {0};
    tend_of(o, &files, &rules, &t);
    if (!tend_request_key(&t, key, &err))
        return err.kind == ERR_NOT_FOUND ? CTL_DONE : ctl_fail_err(o->ctl, &err, NULL);
    if (bundle_chain(&o->bundle, *key, o->ctl->now, &chain, &err) ||
        !strstr(err.text, "belongs to the authority's key"))
        return CTL_DONE;
    EVP_PKEY_free(*key);
    *key = NULL;
    return CTL_DONE;
}

static int install(struct outside *o, const struct ctl_args *a)
{
    EVP_PKEY *next = NULL;
    int rc = read_answer(o, a);
    if (rc == CTL_DONE && !o->waits)
        rc = find_next(o, &next);
    if (rc == CTL_DONE && next) {
        rc = install_next(o, a, next);
        EVP_PKEY_free(next);
        return rc;
    }
    if (rc || (rc = load_key(o)) || (rc = find_chain(o, o->key)))
        return rc;
    tell_plan(o);
    if (o->ctl->dry_run)
        return CTL_DONE;
    if ((rc = o->waits ? install_first(o) : replace_certificate(o)))
        return rc;
    return tell(o);
}

int ctl_ca_install(struct ctl *ctl, const struct ctl_args *a)
{
    struct outside o = {.ctl = ctl};
    int rc = ctl_need_waiting_config(ctl);
    if (rc == CTL_DONE && (rc = choose(&o, ctl_arg(a, "authority"))) == CTL_DONE)
        rc = install(&o, a);
    outside_clear(&o);
    return rc;
}
