/* scepctl crl ... */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "base/hex.h"
#include "ca/crl.h"
#include "ca/family.h"
#include "enroll/enroll.h"
#include "config/config.h"
#include "scepctl/ctl.h"
#include "config/suggest.h"

/* ---- any CRL ---- */

static int64_t asn1_seconds(const ASN1_TIME *t)
{
    struct tm tm;
    return t && ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

static void show_number(struct ctl_show *s, const X509_CRL *crl)
{
    ASN1_INTEGER *number = X509_CRL_get_ext_d2i(crl, NID_crl_number, NULL, NULL);
    uint64_t n;
    if (number && ASN1_INTEGER_get_uint64(&n, number) == 1 && n <= INT64_MAX)
        ctl_show_number(s, "number", (int64_t)n);
    ASN1_INTEGER_free(number);
}

static void show_issuer(struct ctl_show *s, const X509_CRL *crl)
{
    unsigned char *der = NULL;
    char text[NAME_TEXT_MAX];
    int n = i2d_X509_NAME(X509_CRL_get_issuer(crl), &der);
    if (n > 0) {
        name_der_text(view_of(der, (size_t)n), text, sizeof text);
        ctl_show_text(s, "issuer", text);
    }
    OPENSSL_free(der);
}

void ctl_show_crl(struct ctl_show *s, struct view der)
{
    const unsigned char *p = der.p;
    X509_CRL *crl = d2i_X509_CRL(NULL, &p, (long)der.n);
    uint8_t hash[32];
    char hex[2 * sizeof hash + 1];
    if (!crl) {
        ERR_clear_error();
        ctl_show_text(s, "problem", "the list cannot be read");
        return;
    }
    show_issuer(s, crl);
    show_number(s, crl);
    ctl_show_time(s, "this_update", asn1_seconds(X509_CRL_get0_lastUpdate(crl)));
    ctl_show_time(s, "next_update", asn1_seconds(X509_CRL_get0_nextUpdate(crl)));
    const STACK_OF(X509_REVOKED) *revoked = X509_CRL_get_REVOKED(crl);
    ctl_show_number(s, "entries", revoked ? sk_X509_REVOKED_num(revoked) : 0);
    ctl_show_number(s, "bytes", (int64_t)der.n);
    ctl_show_text(s, "signature", OBJ_nid2ln(X509_CRL_get_signature_nid(crl)));
    if (EVP_Digest(der.p, der.n, hash, NULL, EVP_sha256(), NULL) == 1) {
        hex_encode(view_of(hash, sizeof hash), hex);
        ctl_show_text(s, "sha256", hex);
    }
    X509_CRL_free(crl);
    ERR_clear_error();
}

/* ---- those of the store ---- */

static const char *state_of(const struct ctl *ctl, const struct store_crl *crl,
                            uint64_t revocations)
{
    if (crl->next_update <= ctl->now)
        return "expired";
    return crl->generation >= revocations ? "current" : "stale"; /* revocations since */
}

static int show_scope(struct ctl *ctl, const struct authority *a, uint32_t scope)
{
    struct store_crl crl = {0};
    struct err err = {0};
    struct ctl_show s;
    uint64_t revocations;
    char suffix[24], url[CRL_URL_MAX] = "";
    bool whole = scope == STORE_CRL_COMPLETE || scope == STORE_CRL_DELTA;
    if (!(whole ? store_revocation_generation(ctl->store, a->key_id, &revocations, &err)
                : store_shard_generation(ctl->store, a->key_id, scope, &revocations, &err)))
        return ctl_fail_err(ctl, &err, NULL);
    bool found = store_crl_get(ctl->store, a->key_id, scope, &crl, &err);
    if (!found && err.kind != ERR_NOT_FOUND)
        return ctl_fail_err(ctl, &err, NULL);
    bool known = found || store_crl_about(ctl->store, a->key_id, scope, &crl, &err);
    ctl_show_start(&s, ctl);
    ctl_show_text(&s, "authority", a->name);
    ctl_show_number(&s, "generation", a->generation ? a->generation : 1);
    crl_scope_suffix(scope, suffix);
    if (suffix[0])
        ctl_show_text(&s, "scope", suffix + 1);
    ctl_show_text(&s, "state",
                  found   ? state_of(ctl, &crl, revocations)
                  : known ? "missing" /* of a store that was restored */
                          : "none");
    if (found)
        ctl_show_crl(&s, crl.der);
    if (found && scope == STORE_CRL_DELTA)
        ctl_show_number(&s, "base", (int64_t)crl.base);
    crl_scope_url(a->crl_url, scope, url);
    ctl_show_text(&s, "url", url);
    ctl_show_end(&s);
    store_crl_clear(&crl);
    return CTL_DONE;
}

static int show_member(struct ctl *ctl, const struct authority *a)
{
    struct crl_scopes all;
    struct err err = {0};
    int rc = CTL_DONE;
    if (!crl_scopes(a, ctl->store, &all, &err))
        return ctl_fail_err(ctl, &err, NULL);
    for (size_t i = 0; rc == CTL_DONE && i < all.n; i++)
        rc = show_scope(ctl, a, all.scope[i]);
    return rc;
}

static int unknown_authority(struct ctl *ctl, const char *name)
{
    char hint[128], clean[96];
    struct suggest near = suggest_start(name);
    for (size_t i = 0; i < ctl->config->authority_n; i++)
        suggest_offer(&near, ctl->config->authority[i].name);
    ctl_clean(name, clean, sizeof clean);
    return ctl_fail(ctl, CTL_NOT_FOUND, "scepctl ca show", "there is no authority \"%s\"%s", clean,
                    suggest_text(&near, hint, sizeof hint));
}

/* Calls `each` for every generation of the authority that is named, or of all. */
static int for_members(struct ctl *ctl, const char *name,
                       int (*each)(struct ctl *ctl, const struct authority *a, void *ctx),
                       void *ctx)
{
    bool any = false;
    int rc = CTL_DONE;
    for (size_t i = 0; i < ctl->config->authority_n && rc == CTL_DONE; i++) {
        struct family *f = NULL;
        struct err err = {0};
        if (name && strcmp(name, ctl->config->authority[i].name) != 0)
            continue;
        any = true;
        if (!config_family_look(ctl->config, i, &f, &err))
            return ctl_fail_err(ctl, &err, NULL);
        for (size_t k = 0; k < f->n && rc == CTL_DONE; k++)
            rc = each(ctl, f->member[k], ctx);
        family_free(f);
    }
    return any || rc ? rc : unknown_authority(ctl, name);
}

static int show_each(struct ctl *ctl, const struct authority *a, void *ctx)
{
    return show_member(ctl, a);
}

int ctl_crl_show(struct ctl *ctl, const struct ctl_args *a)
{
    if (a->id_n && ctl_is_file(a->id[0]))
        return ctl_show_file(ctl, a->id[0]);
    int rc = ctl_need_config(ctl);
    if (rc == CTL_DONE)
        rc = ctl_need_store(ctl);
    return rc ? rc : for_members(ctl, a->id_n ? a->id[0] : NULL, show_each, NULL);
}

/* ---- export ---- */

struct exporting {
    bool der;
    unsigned generation; /* 0: the newest that has a list */
    uint32_t scope;
    struct store_crl found; /* owned */
};

static int export_each(struct ctl *ctl, const struct authority *a, void *ctx)
{
    struct exporting *x = ctx;
    struct store_crl crl = {0};
    struct err err = {0};
    unsigned generation = a->generation ? a->generation : 1;
    if (x->generation && x->generation != generation)
        return CTL_DONE;
    if (!store_crl_get(ctl->store, a->key_id, x->scope, &crl, &err))
        return err.kind == ERR_NOT_FOUND ? CTL_DONE : ctl_fail_err(ctl, &err, NULL);
    store_crl_clear(&x->found);
    x->found = crl;
    return CTL_DONE;
}

static int write_crl(struct ctl *ctl, const struct exporting *x)
{
    const unsigned char *p = x->found.der.p;
    if (x->der && ctl_stdout_is_terminal())
        return ctl_fail(ctl, CTL_USAGE, "write it to a file: > ca.crl",
                        "DER is not for a terminal");
    if (x->der) {
        fwrite(x->found.der.p, 1, x->found.der.n, stdout);
        return CTL_DONE;
    }
    X509_CRL *crl = d2i_X509_CRL(NULL, &p, (long)x->found.der.n);
    BIO *out = crl ? BIO_new_fp(stdout, BIO_NOCLOSE) : NULL;
    bool good = out && PEM_write_bio_X509_CRL(out, crl) == 1;
    BIO_free(out);
    X509_CRL_free(crl);
    ERR_clear_error();
    return good ? CTL_DONE : ctl_fail(ctl, CTL_FAILED, NULL, "the list cannot be written");
}

int ctl_crl_export(struct ctl *ctl, const struct ctl_args *a)
{
    struct exporting x = {.der = ctl_arg(a, "der") != NULL};
    int64_t generation, partition;
    int rc;
    if ((rc = ctl_arg_number(ctl, a, "generation", 1, FAMILY_MAX * 100, 0, &generation)) ||
        (rc = ctl_arg_number(ctl, a, "partition", 1, CRL_MAX_SHARDS, 0, &partition)) ||
        (rc = ctl_need_config(ctl)))
        return rc;
    if (!a->id_n && ctl->config->authority_n > 1)
        return ctl_fail(ctl, CTL_USAGE, "scepctl ca show lists them",
                        "there are %zu authorities: name one", ctl->config->authority_n);
    x.generation = (unsigned)generation;
    x.scope = ctl_arg(a, "delta") ? STORE_CRL_DELTA : (uint32_t)partition;
    if ((rc = ctl_need_store(ctl)) == CTL_DONE)
        rc = for_members(ctl, a->id_n ? a->id[0] : NULL, export_each, &x);
    if (rc == CTL_DONE && !x.found.der.n)
        rc = ctl_fail(ctl, CTL_NOT_FOUND, "scepctl crl publish", "there is no CRL yet");
    if (rc == CTL_DONE)
        rc = write_crl(ctl, &x);
    store_crl_clear(&x.found);
    return rc;
}

/* ---- publish ---- */

static int publish_one(struct ctl *ctl, const struct authority *a, struct signer *signer)
{
    struct store_crl crl = {0};
    struct err err = {0};
    char number[48];
    if (ctl->dry_run) {
        ctl_note(ctl, "would publish a CRL of %s", a->name);
        return CTL_DONE;
    }
    if (!crl_publish(a, signer, ctl->store, ctl->now, NULL, &err) ||
        !store_crl_about(ctl->store, a->key_id, STORE_CRL_COMPLETE, &crl, &err))
        return ctl_fail_err(ctl, &err, NULL);
    snprintf(number, sizeof number, "number %llu", (unsigned long long)crl.number);
    if (!enroll_note(ctl->store, "crl.published", a->name, number, ctl->actor, ctl->now, &err))
        return ctl_fail_err(ctl, &err, NULL);
    return show_member(ctl, a);
}

static bool still_signs(const struct ctl *ctl, const struct authority *a)
{
    return a->key_ca >= 0 && a->cert->not_after > ctl->now;
}

static int publish_all(struct ctl *ctl, const struct config_rooms *rooms, struct signer *signer,
                       const char *name)
{
    bool any = false;
    int rc = CTL_DONE;
    for (size_t i = 0; i < rooms->member_n && rc == CTL_DONE; i++) {
        const struct authority *a = rooms->member[i];
        if (!still_signs(ctl, a) || (name && strcmp(a->name, name) != 0))
            continue;
        any = true;
        rc = publish_one(ctl, a, signer);
    }
    if (!any)
        return name ? unknown_authority(ctl, name)
                    : ctl_fail(ctl, CTL_CONFLICT, "scepctl ca show",
                               "no authority can sign any more");
    if (rc == CTL_DONE && !ctl->dry_run)
        ctl_note(ctl, "A running scepd serves it within a second");
    return rc;
}

/* The keys are read before root becomes the store's owner. */
int ctl_crl_publish(struct ctl *ctl, const struct ctl_args *a)
{
    struct config_rooms rooms;
    struct signer *signer = NULL;
    struct err err = {0};
    int rc = ctl_need_config(ctl);
    if (rc)
        return rc;
    if (!config_rooms_load(ctl->config, &rooms, &err))
        return ctl_fail_err(ctl, &err, "scepctl config check");
    if (!signer_local(rooms.spec, &signer, &err))
        rc = ctl_fail_err(ctl, &err, "run it as root or as the user of scepd");
    else if ((rc = ctl_need_store(ctl)) == CTL_DONE)
        rc = publish_all(ctl, &rooms, signer, a->id_n ? a->id[0] : NULL);
    signer_free(signer);
    config_rooms_clear(ctl->config, &rooms);
    return rc;
}
