/* scepctl ca import: what an older authority issued and revoked, into the store of this one. */
#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "ca/family.h"
#include "ca/keyfile.h"
#include "ca/tend.h"
#include "scepctl/ctl_import.h"

#define SHOWN_PROBLEMS 20
#define PROGRESS_SECONDS 10
#define PASSPHRASE_MAX 1024

/* ---- passphrases ---- */

static int open_secret(struct ctl *ctl, const char *from, int *fd)
{
    char *end;
    if (strcmp(from, "-") == 0) {
        *fd = dup(STDIN_FILENO);
    } else if (strncmp(from, "fd:", 3) == 0) {
        long n = strtol(from + 3, &end, 10);
        *fd = isdigit((unsigned char)from[3]) && *end == '\0' && n <= 1 << 20 ? dup((int)n) : -1;
    } else {
        struct stat st;
        struct err err = {0};
        if (!file_open(from, fd, &st, &err))
            return ctl_fail_err(ctl, &err, NULL);
        if (st.st_mode & 077) {
            close(*fd);
            return ctl_fail(ctl, CTL_USAGE, "chmod 600 it", "%s may be read by others", from);
        }
    }
    return *fd >= 0 ? CTL_DONE
                    : ctl_fail(ctl, CTL_USAGE, NULL, "there is no descriptor like \"%s\"", from);
}

int ctl_passphrase_read(struct ctl *ctl, const char *from, struct buf *out)
{
    char line[PASSPHRASE_MAX + 2];
    size_t n = 0;
    ssize_t got;
    int fd = -1, rc;
    if (!from)
        return CTL_DONE;
    if ((rc = open_secret(ctl, from, &fd)))
        return rc;
    while (n < sizeof line && (got = read(fd, line + n, sizeof line - n)) > 0) {
        n += (size_t)got;
        if (memchr(line, '\n', n))
            break;
    }
    close(fd);
    size_t length = 0;
    while (length < n && line[length] != '\n' && line[length] != '\r')
        length++;
    bool fits = length > 0 && length <= PASSPHRASE_MAX;
    bool kept = fits && buf_append(out, line, length);
    OPENSSL_cleanse(line, sizeof line);
    if (kept)
        return CTL_DONE;
    return ctl_fail(ctl, CTL_USAGE, NULL, "the first line of %s is no passphrase of 1 to %d octets",
                    from, PASSPHRASE_MAX);
}

/* ---- telling ---- */

struct told {
    struct ctl *ctl;
    const struct ctl_import *import;
    uint64_t problems;
    time_t last;
    bool interrupted;
    int refused; /* exit code of the confirmation */
};

static void problem(void *ctx, const char *where, const char *text)
{
    struct told *t = ctx;
    char clean[700], reason[400];
    if (++t->problems > SHOWN_PROBLEMS)
        return;
    ctl_clean(where, clean, sizeof clean);
    ctl_clean(text, reason, sizeof reason);
    fprintf(stderr, "%s: %s\n", clean, reason);
}

/* Once every ten seconds, so that a long one is seen to move. */
static bool progress(void *ctx, bool applying, uint64_t done)
{
    struct told *t = ctx;
    time_t now = time(NULL);
    if (now - t->last >= PROGRESS_SECONDS) {
        t->last = now;
        ctl_note(t->ctl, "%s: %llu so far", applying ? "storing" : "looking",
                 (unsigned long long)done);
    }
    return !(t->interrupted = ctl_interrupted());
}

static void tell_plan(const struct told *t, const struct import_counts *n, const char *will)
{
    ctl_note(
        t->ctl,
        "%s%llu certificates added (%llu expired), %llu revoked, %llu revoked by serial alone; "
        "%llu known already",
        will, (unsigned long long)n->added, (unsigned long long)n->expired,
        (unsigned long long)n->revoked, (unsigned long long)n->serials,
        (unsigned long long)n->known);
}

static bool confirm(void *ctx, const struct import_counts *plan)
{
    struct told *t = ctx;
    if (t->import->asked)
        return true;
    tell_plan(t, plan, "to do: ");
    t->refused = ctl_confirm(t->ctl, "Import this?");
    return t->refused == CTL_DONE;
}

static void show(struct ctl *ctl, const struct ctl_import *i, enum import_kind kind, bool changed,
                 const struct import_counts *n)
{
    static const char *const kinds[] = {[IMPORT_INDEX] = "index with certificates",
                                        [IMPORT_DIRECTORY] = "directory of certificates and CRLs",
                                        [IMPORT_FILE] = "file of certificates and CRLs"};
    struct ctl_show s;
    ctl_show_start(&s, ctl);
    ctl_show_text(&s, "source", i->source);
    ctl_show_text(&s, "kind", kinds[kind]);
    ctl_show_text(&s, "authority", i->family->name);
    ctl_show_text(&s, "template", i->template_name);
    ctl_show_text(&s, "changed", ctl->dry_run ? "no (dry run)" : changed ? "yes" : "no");
    ctl_show_number(&s, "certificates", (int64_t)n->added);
    ctl_show_number(&s, "expired", (int64_t)n->expired);
    ctl_show_number(&s, "known", (int64_t)n->known);
    ctl_show_number(&s, "revoked", (int64_t)n->revoked);
    ctl_show_number(&s, "revoked_by_serial", (int64_t)n->serials);
    ctl_show_number(&s, "revoked_known", (int64_t)n->known_revoked);
    ctl_show_number(&s, "without_certificate", (int64_t)n->named);
    ctl_show_number(&s, "odd_serials", (int64_t)n->odd_serials);
    ctl_show_number(&s, "own", (int64_t)n->own);
    ctl_show_number(&s, "passed_over", (int64_t)n->passed_over);
    ctl_show_number(&s, "bad", (int64_t)n->bad);
    ctl_show_number(&s, "crls", (int64_t)n->crls);
    if (n->crl_number)
        ctl_show_number(&s, "crl_number", (int64_t)n->crl_number);
    ctl_show_end(&s);
}

static void tell_more(struct ctl *ctl, const struct import_counts *plan)
{
    if (plan->named)
        ctl_note(ctl,
                 "%llu certificates are in the index and not at hand: their devices must "
                 "enrol anew, and they cannot be revoked here.",
                 (unsigned long long)plan->named);
    if (plan->odd_serials)
        ctl_note(ctl,
                 "%llu serials are negative, zero or longer than 20 octets: they are kept as "
                 "they are.",
                 (unsigned long long)plan->odd_serials);
}

/* ---- one source ---- */

static void fill_issuers(const struct family *f, struct import_options *o)
{
    const struct authority *a;
    for (size_t i = 0; (a = family_member(f->current, i)) && o->issuer_n < IMPORT_ISSUERS; i++) {
        o->issuer[o->issuer_n++] =
            (struct import_issuer){.cert = a->cert, .key = a->public_key, .key_id = a->key_id};
        for (size_t k = 0; k < a->chain_n && o->above_n < IMPORT_ISSUERS; k++)
            o->above[o->above_n++] = a->chain[k];
    }
}

static int tell_failure(struct ctl *ctl, const struct told *t, const struct err *err)
{
    if (t->problems > SHOWN_PROBLEMS)
        ctl_note(ctl, "and %llu more", (unsigned long long)(t->problems - SHOWN_PROBLEMS));
    if (t->refused)
        return t->refused;
    if (t->interrupted)
        return ctl_fail(ctl, CTL_INTERRUPTED, NULL, "%s", err->text);
    if (err->kind == ERR_REFUSED)
        return ctl_fail(ctl, CTL_FAILED,
                        "put it right, or --skip-bad to leave these out and take the rest", "%s",
                        err->text);
    return ctl_fail_err(ctl, err, NULL);
}

int ctl_import_source(struct ctl *ctl, const struct ctl_import *i)
{
    struct told t = {.ctl = ctl, .import = i, .last = time(NULL)};
    struct import_options o = {.store = i->store,
                               .authority = i->family->name,
                               .template_name = i->template_name,
                               .endpoint = i->endpoint,
                               .actor = ctl->actor,
                               .now = ctl->now,
                               .skip_bad = i->skip_bad,
                               .dry_run = ctl->dry_run,
                               .problem = problem,
                               .confirm = confirm,
                               .progress = progress,
                               .ctx = &t};
    struct import_counts plan, done;
    struct err err = {0};
    enum import_kind kind;
    fill_issuers(i->family, &o);
    ctl_interrupts_watch();
    if (!import_kind_of(i->source, &kind, &err))
        return ctl_fail_err(ctl, &err, NULL);
    if (!import_run(i->source, &o, &plan, &done, &err))
        return tell_failure(ctl, &t, &err);
    if (t.problems > SHOWN_PROBLEMS)
        ctl_note(ctl, "and %llu more", (unsigned long long)(t.problems - SHOWN_PROBLEMS));
    bool changed = !ctl->dry_run && import_changes(&plan);
    if (ctl->dry_run)
        tell_plan(&t, &plan, "would import: ");
    show(ctl, i, kind, changed, changed ? &done : &plan);
    tell_more(ctl, &plan);
    return CTL_DONE;
}

/* ---- an RA from before ---- */

struct old_ra {
    bool given;
    enum ra_shape shape;
    struct bundle signing, encryption; /* owned */
};

static int read_ra(struct ctl *ctl, const char *path, struct view passphrase, struct bundle *out)
{
    struct buf bytes = {0};
    struct err err = {0};
    bool ok =
        file_read(path, &bytes, &err) && bundle_read(buf_view(&bytes), passphrase, path, out, &err);
    buf_wipe(&bytes);
    if (!ok)
        return ctl_fail_err(ctl, &err, NULL);
    if (out->key && out->n)
        return CTL_DONE;
    return ctl_fail(
        ctl, CTL_FAILED,
        out->locked ? "--ra-passphrase-file FILE, - for standard input, or fd:3" : NULL,
        out->locked ? "the key of %s is not opened" : "%s needs a key and its certificate", path);
}

/* Before root becomes somebody else, who may not read the files. */
static int read_ras(struct ctl *ctl, const struct ctl_args *a, struct old_ra *out)
{
    const char *one = ctl_arg(a, "ra"), *signing = ctl_arg(a, "ra-signing"),
               *encryption = ctl_arg(a, "ra-encryption");
    struct buf passphrase = {0};
    if (!signing != !encryption || (one && signing))
        return ctl_fail(ctl, CTL_USAGE, NULL,
                        "--ra FILE, or --ra-signing FILE and --ra-encryption FILE");
    out->given = one || signing;
    out->shape = one ? RA_SINGLE : RA_PAIR;
    if (!out->given)
        return CTL_DONE;
    int rc = ctl_passphrase_read(ctl, ctl_arg(a, "ra-passphrase-file"), &passphrase);
    if (rc == CTL_DONE)
        rc = read_ra(ctl, one ? one : signing, buf_view(&passphrase), &out->signing);
    if (rc == CTL_DONE && encryption)
        rc = read_ra(ctl, encryption, buf_view(&passphrase), &out->encryption);
    buf_wipe(&passphrase);
    return rc;
}

/* The certificate of the bundle's key: it may hold the chain too. */
static const struct cert *own(const struct bundle *b)
{
    for (size_t i = 0; i < b->n; i++)
        if (bundle_is_of_key(b->cert[i], b->key))
            return b->cert[i];
    return b->n ? b->cert[0] : NULL;
}

static int take_ra(struct ctl *ctl, size_t authority, const struct old_ra *old)
{
    struct family_files files;
    struct tend_rules rules;
    struct err err = {0};
    const struct tend_ra ra = {.shape = old->shape,
                               .signing_key = old->signing.key,
                               .encryption_key = old->encryption.key,
                               .signing = own(&old->signing),
                               .encryption = own(&old->encryption)};
    config_tend_setup(ctl->config, authority, &files, &rules);
    const struct tend t = {.files = &files, .rules = &rules, .actor = ctl->actor, .now = ctl->now};
    if (ctl->dry_run) {
        ctl_note(ctl, "would take the RA as well");
        return CTL_DONE;
    }
    if (!tend_take_ra(&t, &ra, &err)) {
        if (err.kind != ERR_EXISTS)
            return ctl_fail_err(ctl, &err, NULL);
        ctl_note(ctl, "%s", err.text);
        return CTL_DONE;
    }
    if (!config_tend_record(ctl->config, authority, ctl->store, NULL, &err))
        ctl_note(ctl, "not in the audit log yet: %s", err.text);
    ctl_note(ctl, "The RA's key opens messages from the daemon's next reload on.");
    return CTL_DONE;
}

/* ---- the verb ---- */

/* What its devices renew by: --template, the template of --endpoint, or the only one that endpoints
 * of the authority have. */
static int find_template(struct ctl *ctl, const struct ctl_args *a, const char *authority,
                         struct ctl_import *i)
{
    const struct config *c = ctl->config;
    const char *given = ctl_arg(a, "template"), *path = ctl_arg(a, "endpoint"), *only = NULL;
    bool several = false, known = false;
    i->endpoint = path ? path : "";
    for (size_t k = 0; k < c->endpoint_n; k++) {
        const struct config_endpoint *e = &c->endpoint[k];
        if (strcmp(e->authority, authority) != 0 || (path && strcmp(e->path, path) != 0))
            continue;
        several |= only && strcmp(only, e->template_name) != 0;
        known |= given && strcmp(given, e->template_name) == 0;
        only = e->template_name;
    }
    if (path && !only)
        return ctl_fail(ctl, CTL_NOT_FOUND, "scepctl config show lists them",
                        "authority %s has no endpoint \"%s\"", authority, path);
    i->template_name = given && strcmp(given, "none") == 0 ? "" : given ? given : only ? only : "";
    if (given && *i->template_name && !known)
        return ctl_fail(ctl, CTL_NOT_FOUND, "scepctl config show lists them",
                        "no endpoint of authority %s uses a template \"%s\"", authority, given);
    if (!given && several)
        return ctl_fail(ctl, CTL_USAGE,
                        "--template NAME, or --endpoint PATH, or --template none if they shall not "
                        "renew",
                        "the endpoints of authority %s use several templates", authority);
    return CTL_DONE;
}

static int import_all(struct ctl *ctl, const struct ctl_args *a, const struct old_ra *old)
{
    struct ctl_import i = {.skip_bad = ctl_arg(a, "skip-bad") != NULL};
    struct family *family = NULL;
    struct err err = {0};
    size_t authority = 0;
    int rc = ctl_need_store(ctl);
    if (rc || (rc = ctl_one_authority(ctl, ctl_arg(a, "authority"), &authority)) ||
        (rc = find_template(ctl, a, ctl->config->authority[authority].name, &i)))
        return rc;
    if (!config_family_look(ctl->config, authority, &family, &err))
        return ctl_fail_err(ctl, &err, NULL);
    i.family = family;
    i.store = ctl->store;
    for (size_t k = 0; k < a->id_n && rc == CTL_DONE; k++) {
        i.source = a->id[k];
        rc = ctl_import_source(ctl, &i);
    }
    family_free(family);
    return rc == CTL_DONE && old->given ? take_ra(ctl, authority, old) : rc;
}

int ctl_ca_import(struct ctl *ctl, const struct ctl_args *a)
{
    struct old_ra old = {.given = false};
    int rc = read_ras(ctl, a, &old);
    if (rc == CTL_DONE && !a->id_n && !old.given)
        rc = ctl_fail(ctl, CTL_USAGE, "scepctl ca import --help", "ca import needs a SOURCE");
    if (rc == CTL_DONE)
        rc = import_all(ctl, a, &old);
    bundle_clear(&old.signing);
    bundle_clear(&old.encryption);
    return rc;
}
