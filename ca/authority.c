#include "ca/authority.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/text.h"
#include "ca/keyfile.h"
#include "tbs.h"

/* ---- reading certificates ---- */

static bool read_certificate(const char *path, struct cert **out, struct err *err)
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

/* What a certificate is for, as plain values that outlive its extensions. */
struct purpose {
    bool is_ca;
    uint32_t key_usage; /* 0: the extension is absent */
    struct view ski;    /* borrowed from the certificate */
};

static bool read_purpose(const struct cert *c, const char *path, struct purpose *out,
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

static bool check_time(const struct cert *c, const char *path, struct err *err)
{
    int64_t now = time(NULL);
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
    if ((p->key_usage & ca) != ca)
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
    if ((p->key_usage & message) != message)
        return err_set(err, ERR_CONFIG,
                       "ca_decrypts is set, but the keyUsage of %s lacks digitalSignature or "
                       "keyEncipherment: use an RA, and unset it",
                       f->certificate);
    return true;
}

static bool load_ca(struct authority *a, const struct authority_files *f, struct err *err)
{
    struct pubkey key;
    struct purpose p;
    if (!read_certificate(f->certificate, &a->cert, err) ||
        !read_key(a->cert, f->certificate, &key, &a->public_key, err) ||
        !read_purpose(a->cert, f->certificate, &p, err) || !check_ca_purpose(f, &p, &key, err) ||
        !check_time(a->cert, f->certificate, err) || !choose_digest(a, &key, f->digest, err))
        return false;
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

/* ---- who issued whom ---- */

static bool check_issued(const struct cert *c, const char *path, const struct cert *issuer,
                         EVP_PKEY *issuer_key, const char *issuer_path, struct err *err)
{
    struct err ignored = {0};
    if (view_eq(c->issuer, issuer->subject) && cert_signature_verify(c, issuer_key, &ignored))
        return true;
    return err_set(err, ERR_CONFIG,
                   "%s was not issued by %s: give certificates that belong together", path,
                   issuer_path);
}

static bool load_chain(struct authority *a, const struct authority_files *f, struct err *err)
{
    const struct cert *below = a->cert;
    const char *below_path = f->certificate;
    for (size_t i = 0; i < f->chain_n && i < AUTHORITY_MAX_CHAIN; i++) {
        struct pubkey key;
        EVP_PKEY *pkey = NULL;
        if (!read_certificate(f->chain[i], &a->chain[i], err))
            return false;
        a->chain_n = i + 1;
        bool ok = read_key(a->chain[i], f->chain[i], &key, &pkey, err) &&
                  check_issued(below, below_path, a->chain[i], pkey, f->chain[i], err) &&
                  check_time(a->chain[i], f->chain[i], err);
        EVP_PKEY_free(pkey);
        if (!ok)
            return false;
        below = a->chain[i];
        below_path = f->chain[i];
    }
    return true;
}

/* ---- RAs ---- */

struct ra_kind {
    const char *what;
    uint32_t needed;
    const char *needed_text;
    unsigned uses;
};

static const struct ra_kind ra_single = {
    "the RA certificate", KU_DIGITAL_SIGNATURE | KU_KEY_ENCIPHERMENT,
    "digitalSignature and keyEncipherment", SIGNER_MESSAGES | SIGNER_DECRYPT};
static const struct ra_kind ra_signing = {"the signing RA certificate", KU_DIGITAL_SIGNATURE,
                                          "digitalSignature", SIGNER_MESSAGES};
static const struct ra_kind ra_encryption = {"the encryption RA certificate", KU_KEY_ENCIPHERMENT,
                                             "keyEncipherment", SIGNER_DECRYPT};

static bool load_ra(const struct authority *a, const struct authority_files *f, const char *path,
                    const char *key_path, const struct ra_kind *kind, struct cert **out,
                    struct err *err)
{
    struct pubkey key;
    struct purpose p;
    if (!path && !key_path)
        return true;
    if (!path || !key_path)
        return err_set(err, ERR_CONFIG, "%s and its key belong together: set both or neither",
                       kind->what);
    if (!read_certificate(path, out, err) || !read_purpose(*out, path, &p, err))
        return false;
    if (!check_issued(*out, path, a->cert, a->public_key, f->certificate, err))
        return false;
    if (p.is_ca)
        return err_set(err, ERR_CONFIG, "%s is a CA certificate and cannot be %s", path,
                       kind->what);
    if ((p.key_usage & kind->needed) != kind->needed)
        return err_set(err, ERR_CONFIG, "%s: %s needs the keyUsage %s: have it issued so", path,
                       kind->what, kind->needed_text);
    if (!pubkey_parse((*out)->spki, &key, err) || key.type != KEY_RSA)
        return err_set(err, ERR_CONFIG, "%s: %s needs an RSA key", path, kind->what);
    return check_time(*out, path, err);
}

static bool load_ras(struct authority *a, const struct authority_files *f, struct err *err)
{
    if (!f->ra_signing_certificate != !f->ra_encryption_certificate)
        return err_set(err, ERR_CONFIG,
                       "the signing and the encryption RA certificate belong together: set both or "
                       "neither");
    return load_ra(a, f, f->ra_certificate, f->ra_key, &ra_single, &a->ra, err) &&
           load_ra(a, f, f->ra_signing_certificate, f->ra_signing_key, &ra_signing, &a->ra_signing,
                   err) &&
           load_ra(a, f, f->ra_encryption_certificate, f->ra_encryption_key, &ra_encryption,
                   &a->ra_encryption, err);
}

/* The keys that no device may have. */
static bool hash_keys(struct authority *a, struct err *err)
{
    const struct cert *certs[4 + AUTHORITY_MAX_CHAIN] = {a->cert, a->ra, a->ra_signing,
                                                         a->ra_encryption};
    memcpy(certs + 4, a->chain, a->chain_n * sizeof certs[0]);
    for (size_t i = 0; i < 4 + a->chain_n; i++) {
        struct pubkey key;
        if (!certs[i])
            continue;
        if (!pubkey_parse(certs[i]->spki, &key, err))
            return err_set(err, ERR_CONFIG, "a certificate of the authority has an unusable key");
        memcpy(a->key_hash[a->key_hash_n++], key.sha256, sizeof key.sha256);
    }
    return true;
}

/* ---- the signer's part ---- */

static bool copy_text(char *out, size_t cap, const char *text, const char *what, struct err *err)
{
    int n = snprintf(out, cap, "%s", text ? text : "");
    return (n >= 0 && (size_t)n < cap) ||
           err_set(err, ERR_CONFIG, "%s is longer than %zu characters", what, cap - 1);
}

static bool fill_key(struct signer_key_spec *k, const struct authority_files *f, const char *path,
                     const struct cert *cert, unsigned uses, struct err *err)
{
    *k = (struct signer_key_spec){.cert = buf_view(&cert->der), .uses = uses};
    return copy_text(k->path, sizeof k->path, path, "the path of a key", err) &&
           copy_text(k->passphrase_file, sizeof k->passphrase_file, f->passphrase_file,
                     "the path of a passphrase file", err);
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

static bool add_keys(struct authority *a, const struct authority_files *f,
                     const struct template *const *templates, size_t templates_n,
                     struct signer_spec *spec, struct err *err)
{
    const struct {
        const struct cert *cert;
        const char *path;
        unsigned uses;
        int *index;
    } keys[] = {
        {a->cert, f->key,
         SIGNER_CERTIFICATES | SIGNER_CRLS |
             (a->ca_decrypts ? SIGNER_MESSAGES | SIGNER_DECRYPT : 0),
         &a->key_ca},
        {a->ra, f->ra_key, ra_single.uses, &a->key_ra},
        {a->ra_signing, f->ra_signing_key, ra_signing.uses, &a->key_ra_signing},
        {a->ra_encryption, f->ra_encryption_key, ra_encryption.uses, &a->key_ra_encryption},
    };
    size_t n = spec->n;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (!keys[i].cert)
            continue;
        if (n == SIGNER_MAX_KEYS)
            return err_set(err, ERR_CONFIG, "more than %d keys", SIGNER_MAX_KEYS);
        if (!fill_key(&spec->key[n], f, keys[i].path, keys[i].cert, keys[i].uses, err) ||
            (i == 0 && !fill_limits(&spec->key[n], templates, templates_n, err)))
            return false;
        *keys[i].index = (int)n++;
    }
    spec->n = n;
    return true;
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

bool authority_load(const struct authority_files *f, const struct template *const *templates,
                    size_t templates_n, struct signer_spec *spec, struct authority **out,
                    struct err *err)
{
    if (!check_files(f, err))
        return false;
    struct authority *a = calloc(1, sizeof *a);
    if (!a)
        return err_memory(err);
    a->key_ca = a->key_ra = a->key_ra_signing = a->key_ra_encryption = -1;
    a->ca_decrypts = f->ca_decrypts;
    a->crl_validity = f->crl_validity;
    a->crl_period = f->crl_period;
    if (!copy_text(a->name, sizeof a->name, f->name, "the name of an authority", err) ||
        !copy_text(a->crl_url, sizeof a->crl_url, f->crl_url, "a CRL's URL", err) ||
        !copy_text(a->issuer_url, sizeof a->issuer_url, f->issuer_url, "an issuer's URL", err) ||
        !load_ca(a, f, err) || !load_chain(a, f, err) || !load_ras(a, f, err) ||
        !hash_keys(a, err) || !add_keys(a, f, templates, templates_n, spec, err)) {
        authority_free(a);
        return false;
    }
    *out = a;
    return true;
}

void authority_free(struct authority *a)
{
    if (!a)
        return;
    cert_free(a->cert);
    EVP_PKEY_free(a->public_key);
    name_clear(&a->subject);
    for (size_t i = 0; i < AUTHORITY_MAX_CHAIN; i++)
        cert_free(a->chain[i]);
    cert_free(a->ra);
    cert_free(a->ra_signing);
    cert_free(a->ra_encryption);
    free(a);
}
