/* scepctl init --from: an authority that exists already moves in, with what it issued and revoked.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "ca/family.h"
#include "ca/keyfile.h"
#include "pkcs7/ext.h"
#include "pkcs7/name.h"
#include "scepctl/ctl_import.h"
#include "scepctl/ctl_init.h"

#define WEAK_RSA 2048

/* ---- key and certificates ---- */

static int read_bundle(struct ctl *ctl, const char *path, struct view passphrase,
                       struct init_settings *s)
{
    struct buf bytes = {0};
    struct err err = {0};
    bool ok = file_read(path, &bytes, &err) &&
              bundle_read(buf_view(&bytes), passphrase, path, &s->bundle, &err);
    buf_wipe(&bytes);
    return ok ? CTL_DONE : ctl_fail_err(ctl, &err, NULL);
}

/* At the usual places of a directory, in the file itself, and wherever the flags say. */
static int find(struct ctl *ctl, const struct ctl_args *a, struct view passphrase,
                struct init_settings *s)
{
    const char *key = ctl_arg(a, "ca-key"), *chain = ctl_arg(a, "ca-chain");
    struct err err = {0};
    enum import_kind kind;
    int rc = CTL_DONE;
    if (!import_kind_of(s->from, &kind, &err))
        return ctl_fail_err(ctl, &err, NULL);
    if (key && (rc = read_bundle(ctl, key, passphrase, s)))
        return rc;
    if (chain && (rc = read_bundle(ctl, chain, passphrase, s)))
        return rc;
    if (kind == IMPORT_FILE)
        return key ? CTL_DONE : read_bundle(ctl, s->from, passphrase, s);
    if (!import_find_authority(s->from, passphrase, &s->bundle, &err) &&
        (err.kind != ERR_NOT_FOUND || !key))
        return ctl_fail_err(ctl, &err,
                            err.kind == ERR_NOT_FOUND
                                ? "--ca-key FILE and --ca-chain FILE say where they are"
                                : NULL);
    return CTL_DONE;
}

static int check_key(struct ctl *ctl, bool passphrase, const struct init_settings *s)
{
    if (s->bundle.key)
        return CTL_DONE;
    if (s->bundle.locked)
        return ctl_fail(ctl, CTL_FAILED,
                        passphrase ? NULL
                                   : "--from-passphrase-file FILE, - for standard input, or fd:3",
                        passphrase ? "the passphrase does not open the key of %s"
                                   : "the key of %s is encrypted",
                        s->from);
    return ctl_fail(ctl, CTL_FAILED, "--ca-key FILE says where it is", "%s has no private key",
                    s->from);
}

/* ---- what it is ---- */

/* The common name, or what comes nearest to one. */
static void take_name(struct init_settings *s)
{
    static const char *const types[] = {"CN", "OU", "O"};
    struct name n = {0};
    struct err ignored = {0};
    snprintf(s->name, sizeof s->name, "Device CA");
    if (!name_parse(s->chain.ca->subject, REASON_SUBJECT_FORBIDDEN, &n, &ignored))
        return;
    for (size_t t = sizeof types / sizeof types[0]; t-- > 0;)
        for (size_t i = 0; i < n.n; i++)
            if (n.attr[i].type == name_type_by_key(types[t]))
                snprintf(s->name, sizeof s->name, "%.52s", n.attr[i].value); /* " RA" follows */
    name_clear(&n);
}

/* Clients may have encrypted to the authority's own certificate: its key goes on opening messages,
 * if its certificate lets it (RFC 8894 section 2.1.2). */
static int take_purpose(struct ctl *ctl, const struct ctl_args *a, struct init_settings *s)
{
    const uint32_t message = KU_DIGITAL_SIGNATURE | KU_KEY_ENCIPHERMENT;
    struct extensions x = {0};
    struct err err = {0};
    const struct cert *c = s->chain.ca;
    if (c->extensions.n && !extensions_parse(c->extensions, REASON_INTERNAL, &x, &err))
        return ctl_fail_err(ctl, &err, NULL);
    bool may = !x.has_key_usage || (x.key_usage & message) == message;
    s->ca_decrypts = may && EVP_PKEY_is_a(s->bundle.key, "RSA");
    if (x.has_eku)
        ctl_note(ctl,
                 "The authority's certificate has an extended key usage: some clients want that of "
                 "what it issues within it.");
    extensions_clear(&x);
    if (ctl_arg(a, "ca-decrypts") && !s->ca_decrypts)
        return ctl_fail(ctl, CTL_USAGE, "leave --ca-decrypts out: the RA decrypts",
                        "the authority's key is not RSA, or its keyUsage lacks digitalSignature or "
                        "keyEncipherment");
    return CTL_DONE;
}

static void warn_weak(struct ctl *ctl, const struct init_settings *s)
{
    struct sigalg alg;
    struct err ignored = {0};
    char when[32];
    if (EVP_PKEY_is_a(s->bundle.key, "RSA") && EVP_PKEY_get_bits(s->bundle.key) < WEAK_RSA)
        ctl_note(ctl, "The authority's key has %d bits only: plan a rollover.",
                 EVP_PKEY_get_bits(s->bundle.key));
    if (s->chain.n && sigalg_parse(s->chain.ca->sigalg_der, DIGEST_COUNT, &alg, &ignored) &&
        alg.digest < DIGEST_SHA224)
        ctl_note(ctl, "The authority's certificate is signed with %s: have it issued anew.",
                 digest_name(alg.digest));
    if (s->chain.ca->not_after - ctl->now < INT64_C(366) * 86400) {
        text_time(s->chain.ca->not_after, when);
        ctl_note(ctl, "The authority ends %s: plan a rollover.", when);
    }
}

int ctl_init_from_read(struct ctl *ctl, const struct ctl_args *a, struct init_settings *s)
{
    const char *secret = ctl_arg(a, "from-passphrase-file");
    struct buf passphrase = {0};
    struct err err = {0};
    int rc = ctl_passphrase_read(ctl, secret, &passphrase);
    if (rc == CTL_DONE)
        rc = find(ctl, a, buf_view(&passphrase), s);
    buf_wipe(&passphrase);
    if (rc || (rc = check_key(ctl, secret != NULL, s)))
        return rc;
    if (!bundle_chain(&s->bundle, s->bundle.key, ctl->now, &s->chain, &err))
        return ctl_fail_err(ctl, &err, "--ca-chain FILE adds certificates");
    take_name(s);
    warn_weak(ctl, s);
    return take_purpose(ctl, a, s);
}

/* ---- what it issued ---- */

static void complain(void *ctx, const char *message)
{
    err_set(ctx, ERR_CONFIG, "%s", message);
}

static bool open_store(const char *dir, struct store **out, struct err *err)
{
    char path[512];
    snprintf(path, sizeof path, "%s/store", dir);
    const struct store_options o = {.path = path};
    return store_open(&o, out, err);
}

int ctl_init_from_import(struct ctl *ctl, const struct init_settings *s, const char *dir)
{
    struct ctl_import i = {.source = s->from,
                           .template_name = "device", /* init_conf's */
                           .endpoint = "/scep",
                           .skip_bad = s->skip_bad,
                           .asked = true};
    char path[512];
    struct config *c = NULL;
    struct family *family = NULL;
    struct store *store = NULL;
    struct err err = {0};
    enum import_kind kind;
    int rc = CTL_DONE;
    snprintf(path, sizeof path, "%s/scepd.conf", dir);
    if (!import_kind_of(s->from, &kind, &err) || !(c = config_load(path, complain, &err)) ||
        !config_family_look(c, 0, &family, &err) || !open_store(dir, &store, &err)) {
        rc = ctl_fail_err(ctl, &err, NULL);
    } else if (kind != IMPORT_FILE) { /* that had the key, and nothing that was issued */
        i.family = family;
        i.store = store;
        rc = ctl_import_source(ctl, &i);
    }
    store_close(store);
    family_free(family);
    config_free(c);
    return rc;
}
