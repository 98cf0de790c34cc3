#include "ca/authority.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/text.h"
#include "authority_internal.h"
#include "ca/keyfile.h"
#include "ca/outside.h"
#include "tbs.h"

/* ---- reading certificates ---- */

bool authority_read_certificate(const char *path, struct cert **out, struct err *err)
{
    struct buf bytes = {0};
    bool ok = file_read(path, &bytes, err);
    if (ok && !cert_parse_any(buf_view(&bytes), out, err)) {
        ok = false;
        err_prefix(err, "%s is no certificate in PEM or DER", path);
        err->kind = ERR_CONFIG;
        err->reason = REASON_NONE;
    }
    buf_clear(&bytes);
    return ok;
}

bool authority_read_purpose(const struct cert *c, const char *path, struct purpose *out,
                            struct err *err)
{
    struct extensions x = {0};
    if (c->extensions.n && !extensions_parse(c->extensions, REASON_MESSAGE_MALFORMED, &x, err)) {
        err_prefix(err, "%s", path);
        err->kind = ERR_CONFIG;
        err->reason = REASON_NONE;
        return false;
    }
    *out = (struct purpose){x.is_ca, x.has_key_usage ? x.key_usage : 0, x.ski};
    extensions_clear(&x);
    return true;
}

bool authority_check_time(const struct cert *c, const char *path, int64_t now, struct err *err)
{
    char when[32];
    if (now > c->not_after) {
        text_time(c->not_after, when);
        return err_set(err, ERR_CONFIG, "%s has expired on %s: put a renewed certificate there",
                       path, when);
    }
    if (now < c->not_before) {
        text_time(c->not_before, when);
        return err_set(err, ERR_CONFIG, "%s is valid from %s on: is the clock right?", path, when);
    }
    return true;
}

static bool read_key(const struct cert *c, const char *path, struct pubkey *key, EVP_PKEY **pkey,
                     struct err *err)
{
    if (pubkey_parse(c->spki, key, err) && pubkey_load(key, pkey, err))
        return true;
    err_prefix(err, "%s: its key", path);
    err->kind = ERR_CONFIG;
    err->reason = REASON_NONE;
    return false;
}

/* ---- the CA ---- */

static bool choose_digest(struct authority *a, const struct pubkey *key, const char *name,
                          struct err *err)
{
    if (key->type == KEY_EC) {
        a->digest = key->curve == CURVE_P256   ? DIGEST_SHA256
                    : key->curve == CURVE_P384 ? DIGEST_SHA384
                                               : DIGEST_SHA512;
        a->sigalg = (struct sigalg){SIG_ECDSA, a->digest, 0};
        return true;
    }
    a->digest = DIGEST_SHA256;
    if (name && name[0] &&
        (!digest_by_name(name, &a->digest) ||
         (a->digest != DIGEST_SHA256 && a->digest != DIGEST_SHA384 && a->digest != DIGEST_SHA512)))
        return err_set(err, ERR_CONFIG,
                       "certificates cannot be signed with \"%.32s\": SHA-256, SHA-384 or SHA-512",
                       name);
    a->sigalg = (struct sigalg){SIG_RSA_PKCS1, a->digest, 0};
    return true;
}

static bool check_ca_purpose(const struct authority_files *f, const struct purpose *p,
                             const struct pubkey *key, struct err *err)
{
    const uint32_t ca = KU_KEY_CERT_SIGN | KU_CRL_SIGN;
    const uint32_t message = KU_DIGITAL_SIGNATURE | KU_KEY_ENCIPHERMENT;
    if (!p->is_ca)
        return err_set(err, ERR_CONFIG,
                       "%s is not a CA certificate (basicConstraints without cA TRUE): give the "
                       "issuing CA's",
                       f->certificate);
    if (p->key_usage && (p->key_usage & ca) != ca) /* without the extension it may do all of it */
        return err_set(err, ERR_CONFIG,
                       "%s may not sign certificates and CRLs (keyUsage needs keyCertSign and "
                       "cRLSign): give the issuing CA's",
                       f->certificate);
    if (p->ski.n != 0 && p->ski.n != KEY_ID_SIZE)
        return err_set(
            err, ERR_CONFIG,
            "%s has a subjectKeyIdentifier of %zu octets, only %d are supported: have it "
            "issued so",
            f->certificate, p->ski.n, KEY_ID_SIZE);
    if (!f->ca_decrypts)
        return true;
    if (key->type != KEY_RSA)
        return err_set(err, ERR_CONFIG,
                       "ca_decrypts is set, but the key of %s is not RSA: use an RA, and unset it",
                       f->certificate);
    /* RFC 8894 section 2.1.2 */
    if (p->key_usage && (p->key_usage & message) != message)
        return err_set(err, ERR_CONFIG,
                       "ca_decrypts is set, but the keyUsage of %s lacks digitalSignature or "
                       "keyEncipherment: use an RA, and unset it",
                       f->certificate);
    return true;
}

/* A former generation may have ended; whoever only looks wants to see what has. */
static bool must_be_valid(const struct generation_files *g)
{
    return !g->look && g->role != AUTHORITY_FORMER;
}

static bool load_ca(struct authority *a, const struct generation_files *g, struct err *err)
{
    const struct authority_files *f = &g->files;
    struct pubkey key;
    struct purpose p;
    if (!authority_read_certificate(f->certificate, &a->cert, err) ||
        !read_key(a->cert, f->certificate, &key, &a->public_key, err) ||
        !authority_read_purpose(a->cert, f->certificate, &p, err) ||
        !check_ca_purpose(f, &p, &key, err) ||
        (must_be_valid(g) && !authority_check_time(a->cert, f->certificate, g->now, err)) ||
        !choose_digest(a, &key, f->digest, err))
        return false;
    a->public_ctx = EVP_PKEY_CTX_new(a->public_key, NULL);
    if (!a->public_ctx)
        return err_memory(err);
    if (p.ski.n)
        memcpy(a->key_id, p.ski.p, sizeof a->key_id);
    else if (!key_identifier(&key, a->key_id, err)) /* an imported CA without one */
        return false;
    if (name_parse(a->cert->subject, REASON_SUBJECT_FORBIDDEN, &a->subject, err))
        return true;
    err_prefix(err, "%s: its subject", f->certificate);
    err->kind = ERR_CONFIG;
    err->reason = REASON_NONE;
    return false;
}

/* ---- where the issuer is ---- */

void authority_urls_of(const struct cert *c, char crl[256], char issuer[256])
{
    const unsigned char *p = c->der.p;
    crl[0] = issuer[0] = '\0';
    X509 *x = d2i_X509(NULL, &p, (long)c->der.n);
    CRL_DIST_POINTS *points =
        x ? X509_get_ext_d2i(x, NID_crl_distribution_points, NULL, NULL) : NULL;
    AUTHORITY_INFO_ACCESS *info = x ? X509_get_ext_d2i(x, NID_info_access, NULL, NULL) : NULL;
    const GENERAL_NAME *g = NULL;
    const DIST_POINT *point = points ? sk_DIST_POINT_value(points, 0) : NULL;
    if (point && point->distpoint && point->distpoint->type == 0)
        g = sk_GENERAL_NAME_value(point->distpoint->name.fullname, 0);
    if (g && g->type == GEN_URI)
        snprintf(crl, 256, "%.*s", g->d.uniformResourceIdentifier->length,
                 (const char *)g->d.uniformResourceIdentifier->data);
    const ACCESS_DESCRIPTION *d = NULL;
    for (int i = 0; i < sk_ACCESS_DESCRIPTION_num(info); i++)
        if (OBJ_obj2nid(sk_ACCESS_DESCRIPTION_value(info, i)->method) == NID_ad_ca_issuers)
            d = sk_ACCESS_DESCRIPTION_value(info, i);
    if (d && d->location->type == GEN_URI)
        snprintf(issuer, 256, "%.*s", d->location->d.uniformResourceIdentifier->length,
                 (const char *)d->location->d.uniformResourceIdentifier->data);
    CRL_DIST_POINTS_free(points);
    AUTHORITY_INFO_ACCESS_free(info);
    X509_free(x);
    ERR_clear_error();
}

/* ---- who issued whom ---- */

bool authority_check_issued(const struct cert *c, const char *path, const struct cert *issuer,
                            EVP_PKEY *issuer_key, const char *issuer_path, struct err *err)
{
    struct err ignored = {0};
    if (view_eq(c->issuer, issuer->subject) && cert_signature_verify(c, issuer_key, &ignored))
        return true;
    return err_set(err, ERR_CONFIG,
                   "%s was not issued by %s: give certificates that belong together", path,
                   issuer_path);
}

/* The next issuer above; taken from `from`. */
static bool add_issuer(struct authority *a, const struct generation_files *g, struct cert **from,
                       const char *path, const char *below_path, struct err *err)
{
    const struct cert *below = a->chain_n ? a->chain[a->chain_n - 1] : a->cert;
    struct pubkey key;
    EVP_PKEY *pkey = NULL;
    if (a->chain_n == AUTHORITY_MAX_CHAIN)
        return err_set(err, ERR_CONFIG, "%s: more than %d issuers above the authority", path,
                       AUTHORITY_MAX_CHAIN);
    struct cert *c = a->chain[a->chain_n++] = *from;
    *from = NULL;
    bool ok = read_key(c, path, &key, &pkey, err) &&
              authority_check_issued(below, below_path, c, pkey, path, err) &&
              (!must_be_valid(g) || authority_check_time(c, path, g->now, err));
    EVP_PKEY_free(pkey);
    return ok;
}

/* One certificate in a file, or several, nearest first. */
static bool read_issuers(const char *path, struct bundle *out, struct err *err)
{
    struct buf bytes = {0};
    bool ok = file_read(path, &bytes, err) &&
              bundle_read(buf_view(&bytes), view_of(NULL, 0), path, out, err);
    buf_wipe(&bytes);
    return ok && (out->n > 0 || err_set(err, ERR_CONFIG, "%s holds no certificate", path));
}

static bool load_chain(struct authority *a, const struct generation_files *g, struct err *err)
{
    const struct authority_files *f = &g->files;
    const char *below_path = f->certificate;
    bool ok = true;
    for (size_t i = 0; ok && i < f->chain_n && i < AUTHORITY_MAX_CHAIN; i++) {
        struct bundle b = {0};
        ok = read_issuers(f->chain[i], &b, err);
        for (size_t k = 0; ok && k < b.n; k++) {
            ok = add_issuer(a, g, &b.cert[k], f->chain[i], below_path, err);
            below_path = f->chain[i];
        }
        bundle_clear(&b);
        if (!ok && err->kind == ERR_NOT_FOUND) /* it holds neither certificate nor key */
            err->kind = ERR_CONFIG;
    }
    return ok;
}

/* The keys that no device may have. */
static bool hash_key(struct authority *a, const struct cert *c, struct err *err)
{
    struct pubkey key;
    if (!pubkey_parse(c->spki, &key, err))
        return err_set(err, ERR_CONFIG, "a certificate of the authority has an unusable key");
    memcpy(a->key_hash[a->key_hash_n++], key.sha256, sizeof key.sha256);
    return true;
}

static bool hash_keys(struct authority *a, struct err *err)
{
    bool ok = hash_key(a, a->cert, err);
    for (size_t i = 0; ok && i < a->set_n; i++)
        ok = hash_key(a, a->set[i].signing, err) &&
             (a->set[i].shape == RA_SINGLE || hash_key(a, a->set[i].encryption, err));
    for (size_t i = 0; ok && i < a->chain_n; i++)
        ok = hash_key(a, a->chain[i], err);
    return ok && (!a->ocsp.cert || hash_key(a, a->ocsp.cert, err));
}

/* ---- the signer's part ---- */

static bool copy_text(char *out, size_t cap, const char *text, const char *what, struct err *err)
{
    int n = snprintf(out, cap, "%s", text ? text : "");
    return (n >= 0 && (size_t)n < cap) ||
           err_set(err, ERR_CONFIG, "%s is longer than %zu characters", what, cap - 1);
}

bool authority_add_key(struct signer_spec *spec, const char *path, const char *passphrase_file,
                       const struct cert *cert, unsigned uses, int *index, struct err *err)
{
    if (spec->n == SIGNER_MAX_KEYS)
        return err_set(err, ERR_CONFIG, "more than %d keys", SIGNER_MAX_KEYS);
    struct signer_key_spec *k = &spec->key[spec->n];
    *k = (struct signer_key_spec){.cert = buf_view(&cert->der), .uses = uses};
    if (!copy_text(k->path, sizeof k->path, path, "the path of a key", err) ||
        !copy_text(k->passphrase_file, sizeof k->passphrase_file, passphrase_file,
                   "the path of a passphrase file", err))
        return false;
    *index = (int)spec->n++;
    return true;
}

/* Whatever its endpoints' templates may ever ask for, and nothing else. */
static bool fill_limits(struct signer_key_spec *k, const struct template *const *templates,
                        size_t n, struct err *err)
{
    for (size_t i = 0; i < n; i++) {
        const struct template *t = templates[i];
        k->key_usage |= t->key_usage;
        bool ok = template_passes(t, &k->extensions);
        for (size_t j = 0; ok && j < t->eku.n; j++)
            ok = eku_has(&k->eku, t->eku.oid[j]) || eku_add(&k->eku, t->eku.oid[j]);
        if (!ok)
            return err_set(
                err, ERR_CONFIG,
                "the templates of one authority give more than %d extended key usages or "
                "extensions",
                EKU_MAX);
        if (t->validity + t->backdate > k->max_validity)
            k->max_validity = t->validity + t->backdate;
    }
    return true;
}

/* A former CA signs its revocation lists until it ends, and opens what is still sent to it; the
 * next one issues to who asks for it. */
static unsigned ca_uses(const struct authority *a)
{
    return (a->role == AUTHORITY_FORMER ? 0 : SIGNER_CERTIFICATES) | SIGNER_CRLS |
           (a->ca_decrypts ? SIGNER_MESSAGES | SIGNER_DECRYPT : 0);
}

static bool add_keys(struct authority *a, const struct generation_files *g,
                     const struct template *const *templates, size_t templates_n,
                     struct signer_spec *spec, struct err *err)
{
    const struct authority_files *f = &g->files;
    size_t before = spec->n;
    bool ended = g->now > a->cert->not_after;
    if (a->role == AUTHORITY_FORMER && ended)
        return true; /* only its certificate is of use: to know what it issued */
    if (authority_add_key(spec, f->key, f->passphrase_file, a->cert, ca_uses(a), &a->key_ca, err) &&
        fill_limits(&spec->key[a->key_ca], templates, templates_n, err) &&
        authority_add_ra_keys(a, g, spec, err)) {
        authority_add_ocsp_key(a, g, spec);
        return true;
    }
    spec->n = before;
    return false;
}

/* ---- the whole ---- */

static bool check_files(const struct authority_files *f, struct err *err)
{
    if (!f->certificate || !f->key)
        return err_set(err, ERR_CONFIG, "an authority needs a certificate and a key");
    return f->chain_n <= AUTHORITY_MAX_CHAIN ||
           err_set(err, ERR_CONFIG, "a chain of %zu certificates, at most %d are possible",
                   f->chain_n, AUTHORITY_MAX_CHAIN);
}

bool generation_load(const struct generation_files *g, const struct template *const *templates,
                     size_t templates_n, struct signer_spec *spec, struct authority **out,
                     struct err *err)
{
    const struct authority_files *f = &g->files;
    if (!check_files(f, err))
        return false;
    struct authority *a = calloc(1, sizeof *a);
    if (!a)
        return err_memory(err);
    a->generation = g->generation;
    a->role = g->role;
    a->key_ca = a->key_ra = a->key_ra_signing = a->key_ra_encryption = a->ocsp.key = -1;
    a->ca_decrypts = f->ca_decrypts;
    a->crl_validity = f->crl_validity;
    a->crl_period = f->crl_period;
    a->crl_shards = f->crl_shards;
    a->crl_delta = f->crl_delta;
    if (!copy_text(a->name, sizeof a->name, f->name, "the name of an authority", err) ||
        !copy_text(a->crl_url, sizeof a->crl_url, f->crl_url, "a CRL's URL", err) ||
        !copy_text(a->issuer_url, sizeof a->issuer_url, f->issuer_url, "an issuer's URL", err) ||
        !copy_text(a->ocsp_url, sizeof a->ocsp_url, f->ocsp_url, "an OCSP responder's URL", err) ||
        !load_ca(a, g, err) || !load_chain(a, g, err) || !authority_load_ras(a, g, err))
        goto fail;
    authority_load_ocsp(a, g);
    if (!hash_keys(a, err) || (spec && !add_keys(a, g, templates, templates_n, spec, err)))
        goto fail;
    *out = a;
    return true;
fail:
    authority_free(a);
    return false;
}

bool generation_configured(struct generation_files *g, const struct authority_files *f,
                           struct err *err)
{
    *g = (struct generation_files){
        .files = *f, .generation = 1, .role = AUTHORITY_CURRENT, .now = time(NULL)};
    const struct {
        const char *what, *certificate, *key;
    } pairs[] = {
        {"the RA certificate", f->ra_certificate, f->ra_key},
        {"the signing RA certificate", f->ra_signing_certificate, f->ra_signing_key},
        {"the encryption RA certificate", f->ra_encryption_certificate, f->ra_encryption_key},
    };
    if (!f->ra_signing_certificate != !f->ra_encryption_certificate)
        return err_set(err, ERR_CONFIG,
                       "the signing and the encryption RA certificate belong together: set both or "
                       "neither");
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
        if (!pairs[i].certificate != !pairs[i].key)
            return err_set(err, ERR_CONFIG, "%s and its key belong together: set both or neither",
                           pairs[i].what);
    if (f->ra_certificate)
        g->ra[g->ra_n++] = (struct ra_files){
            .shape = RA_SINGLE, .signing = f->ra_certificate, .signing_key = f->ra_key};
    if (f->ra_signing_certificate)
        g->ra[g->ra_n++] = (struct ra_files){.shape = RA_PAIR,
                                             .signing = f->ra_signing_certificate,
                                             .signing_key = f->ra_signing_key,
                                             .encryption = f->ra_encryption_certificate,
                                             .encryption_key = f->ra_encryption_key};
    return true;
}

bool authority_load(const struct authority_files *f, const struct template *const *templates,
                    size_t templates_n, struct signer_spec *spec, struct authority **out,
                    struct err *err)
{
    struct generation_files g;
    return check_files(f, err) && generation_configured(&g, f, err) &&
           generation_load(&g, templates, templates_n, spec, out, err);
}

void authority_free(struct authority *a)
{
    if (!a)
        return;
    cert_free(a->cert);
    EVP_PKEY_CTX_free(a->public_ctx);
    EVP_PKEY_free(a->public_key);
    name_clear(&a->subject);
    for (size_t i = 0; i < AUTHORITY_MAX_CHAIN; i++)
        cert_free(a->chain[i]);
    authority_free_ras(a);
    cert_free(a->ocsp.cert);
    free(a);
}
