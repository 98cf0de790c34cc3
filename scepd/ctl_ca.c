/* scepctl ca ... */
#include <stdio.h>
#include <string.h>

#include "ca/keyfile.h"
#include "pkcs7/cert.h"
#include "scepd/ctl.h"
#include "scepd/suggest.h"

static int load_cert(struct ctl *ctl, const char *path, struct cert **out)
{
    struct buf bytes = {0};
    struct err err = {0};
    bool good = file_read(path, &bytes, &err) && cert_parse_any(buf_view(&bytes), out, &err);
    buf_clear(&bytes);
    return good ? CTL_DONE : ctl_fail(ctl, CTL_FAILED, NULL, "%s: %s", path, err.text);
}

static int find_authority(struct ctl *ctl, const char *name, const struct config_authority **out)
{
    char hint[128];
    struct suggest near = suggest_start(name);
    for (size_t i = 0; i < ctl->config->authority_n; i++) {
        if (strcmp(ctl->config->authority[i].name, name) == 0) {
            *out = &ctl->config->authority[i];
            return CTL_DONE;
        }
        suggest_offer(&near, ctl->config->authority[i].name);
    }
    return ctl_fail(ctl, CTL_NOT_FOUND, "scepctl ca show", "there is no authority \"%s\"%s", name,
                    suggest_text(&near, hint, sizeof hint));
}

static void show_crl(struct ctl *ctl, struct ctl_show *s, const struct cert *ca)
{
    struct extensions ext = {0};
    struct store_crl crl = {0};
    struct err err = {0};
    if (!extensions_parse(ca->extensions, REASON_MESSAGE_MALFORMED, &ext, &err))
        return;
    if (ext.ski.n == 20 && store_crl_get(ctl->store, ext.ski.p, 0, &crl, &err)) {
        ctl_show_number(s, "crl_number", (int64_t)crl.number);
        ctl_show_time(s, "crl_next_update", crl.next_update);
    }
    store_crl_clear(&crl);
    extensions_clear(&ext);
}

/* One line for an RA certificate: who and until when. */
static void show_ra(struct ctl *ctl, struct ctl_show *s, const char *key, const char *path)
{
    struct cert *c = NULL;
    char label[64];
    if (!path[0] || load_cert(ctl, path, &c))
        return;
    char subject[NAME_TEXT_MAX], print[3 * 64];
    struct err err = {0};
    name_der_text(c->subject, subject, sizeof subject);
    ctl_show_text(s, key, subject);
    snprintf(label, sizeof label, "%s_not_after", key);
    ctl_show_time(s, label, c->not_after);
    snprintf(label, sizeof label, "%s_sha256", key);
    if (cert_fingerprint(c, DIGEST_SHA256, print, &err))
        ctl_show_text(s, label, print);
    cert_free(c);
}

static int show_authority(struct ctl *ctl, const struct config_authority *a)
{
    struct cert *c = NULL;
    struct ctl_show s;
    struct err err = {0};
    char print[3 * 64];
    int rc = load_cert(ctl, a->certificate, &c);
    if (rc)
        return rc;
    ctl_show_start(&s, ctl);
    ctl_show_text(&s, "authority", a->name);
    ctl_show_text(&s, "certificate", a->certificate);
    ctl_show_cert(&s, c);
    if (cert_fingerprint(c, DIGEST_MD5, print, &err)) /* what Cisco devices show */
        ctl_show_text(&s, "md5", print);
    show_ra(ctl, &s, "ra", a->ra_certificate);
    show_ra(ctl, &s, "ra_signing", a->ra_signing_certificate);
    show_ra(ctl, &s, "ra_encryption", a->ra_encryption_certificate);
    show_crl(ctl, &s, c);
    ctl_show_text(&s, "crl_url", a->crl_url);
    ctl_show_text(&s, "issuer_url", a->issuer_url);
    ctl_show_end(&s);
    cert_free(c);
    return CTL_DONE;
}

int ctl_ca_show(struct ctl *ctl, const struct ctl_args *a)
{
    const struct config_authority *one = NULL;
    int rc = ctl_need_store(ctl);
    if (rc)
        return rc;
    if (a->id_n)
        return (rc = find_authority(ctl, a->id[0], &one)) ? rc : show_authority(ctl, one);
    for (size_t i = 0; i < ctl->config->authority_n && rc == CTL_DONE; i++)
        rc = show_authority(ctl, &ctl->config->authority[i]);
    return rc;
}

static int export_file(struct ctl *ctl, const char *path, bool der)
{
    struct cert *c = NULL;
    int rc = load_cert(ctl, path, &c);
    if (rc)
        return rc;
    rc = ctl_print_cert(ctl, buf_view(&c->der), der);
    cert_free(c);
    return rc;
}

int ctl_ca_export(struct ctl *ctl, const struct ctl_args *a)
{
    bool der = ctl_arg(a, "der"), chain = ctl_arg(a, "chain");
    int rc = ctl_need_config(ctl);
    if (rc)
        return rc;
    const struct config_authority *one = &ctl->config->authority[0];
    if (der && chain)
        return ctl_fail(ctl, CTL_USAGE, NULL, "--der holds one certificate: not with --chain");
    if (!a->id_n && ctl->config->authority_n > 1)
        return ctl_fail(ctl, CTL_USAGE, "scepctl ca show lists them",
                        "there are %zu authorities: name one", ctl->config->authority_n);
    if (a->id_n && (rc = find_authority(ctl, a->id[0], &one)))
        return rc;
    rc = export_file(ctl, one->certificate, der);
    for (size_t i = 0; chain && i < one->chain_n && rc == CTL_DONE; i++)
        rc = export_file(ctl, one->chain[i], false);
    return rc;
}
