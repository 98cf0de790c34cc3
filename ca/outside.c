#include "ca/outside.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "base/text.h"

static bool crypto_failed(struct err *err, const char *what)
{
    char text[160] = "no detail";
    unsigned long code = ERR_peek_last_error();
    if (code)
        ERR_error_string_n(code, text, sizeof text);
    ERR_clear_error();
    return err_set(err, ERR_CRYPTO, "%s: %s", what, text);
}

/* ---- the request ---- */

static bool add_extension(X509_REQ *req, STACK_OF(X509_EXTENSION) * all, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, NULL, NULL, req, NULL, 0);
    X509_EXTENSION *x = X509V3_EXT_nconf_nid(NULL, &ctx, nid, value);
    if (x && sk_X509_EXTENSION_push(all, x) > 0)
        return true;
    X509_EXTENSION_free(x);
    return false;
}

/* RFC 5280 section 4.2.1: what certificates.md asks of an issuing CA.  The root decides. */
static bool add_extensions(X509_REQ *req, bool decrypts)
{
    STACK_OF(X509_EXTENSION) *all = sk_X509_EXTENSION_new_null();
    bool ok = all && add_extension(req, all, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
              add_extension(req, all, NID_key_usage,
                            decrypts ? "critical,digitalSignature,keyEncipherment,keyCertSign,"
                                       "cRLSign"
                                     : "critical,digitalSignature,keyCertSign,cRLSign") &&
              add_extension(req, all, NID_subject_key_identifier, "hash") &&
              X509_REQ_add_extensions(req, all) == 1;
    sk_X509_EXTENSION_pop_free(all, X509_EXTENSION_free);
    return ok;
}

static const EVP_MD *digest_for(const EVP_PKEY *key)
{
    if (!EVP_PKEY_is_a(key, "EC") || EVP_PKEY_get_bits(key) <= 256)
        return EVP_sha256();
    return EVP_PKEY_get_bits(key) <= 384 ? EVP_sha384() : EVP_sha512();
}

bool outside_request_build(const struct outside_request *r, struct buf *pem, struct err *err)
{
    const unsigned char *p = r->subject.p;
    X509_NAME *subject = d2i_X509_NAME(NULL, &p, (long)r->subject.n);
    X509_REQ *req = X509_REQ_new();
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;
    struct buf out = {0};
    bool ok = subject && req && bio && X509_REQ_set_version(req, X509_REQ_VERSION_1) == 1 &&
              X509_REQ_set_subject_name(req, subject) == 1 &&
              X509_REQ_set_pubkey(req, r->key) == 1 && add_extensions(req, r->decrypts) &&
              X509_REQ_sign(req, r->key, digest_for(r->key)) > 0 &&
              PEM_write_bio_X509_REQ(bio, req) == 1;
    if (!ok) {
        crypto_failed(err, "cannot make a certificate request");
    } else {
        long n = BIO_get_mem_data(bio, &text);
        ok = buf_append(&out, text, (size_t)n) || err_memory(err);
    }
    X509_NAME_free(subject);
    X509_REQ_free(req);
    BIO_free(bio);
    if (ok)
        *pem = out;
    return ok;
}

/* ---- who issued whom ---- */

bool bundle_is_of_key(const struct cert *c, EVP_PKEY *key)
{
    struct err ignored = {0};
    struct pubkey own;
    EVP_PKEY *loaded = NULL;
    bool same = pubkey_parse(c->spki, &own, &ignored) && pubkey_load(&own, &loaded, &ignored) &&
                EVP_PKEY_eq(loaded, key) == 1;
    EVP_PKEY_free(loaded);
    ERR_clear_error();
    return same;
}

static bool issued_by(const struct cert *c, const struct cert *issuer)
{
    struct err ignored = {0};
    struct pubkey key;
    EVP_PKEY *loaded = NULL;
    bool yes = view_eq(c->issuer, issuer->subject) && pubkey_parse(issuer->spki, &key, &ignored) &&
               pubkey_load(&key, &loaded, &ignored) && cert_signature_verify(c, loaded, &ignored);
    EVP_PKEY_free(loaded);
    return yes;
}

static void subject_of(const struct cert *c, char out[200])
{
    char whole[NAME_TEXT_MAX];
    name_der_text(c->subject, whole, sizeof whole);
    text_printable(view_str(whole), out, 200);
}

static bool check_time(const struct cert *c, const char *name, int64_t now, struct err *err)
{
    char when[32];
    bool early = now < c->not_before;
    if (!early && now <= c->not_after)
        return true;
    text_time(early ? c->not_before : c->not_after, when);
    return err_set(err, ERR_CONFIG,
                   early ? "\"%s\" is valid from %s on: is the clock right?"
                         : "\"%s\" has expired on %s: have it renewed",
                   name, when);
}

/* One certificate of the chain; `below` CAs stand between it and the devices. */
static bool check_ca(const struct cert *c, int64_t below, int64_t now, struct err *err)
{
    struct extensions x = {.path_len = -1};
    char name[200];
    bool ok = true;
    subject_of(c, name);
    if (c->extensions.n && !extensions_parse(c->extensions, REASON_MESSAGE_MALFORMED, &x, err)) {
        err_prefix(err, "\"%s\"", name);
        err->kind = ERR_CONFIG;
        err->reason = REASON_NONE;
        return false;
    }
    const uint32_t needed = KU_KEY_CERT_SIGN | (below ? 0 : KU_CRL_SIGN);
    if (!x.is_ca)
        ok = err_set(err, ERR_CONFIG,
                     "\"%s\" is no CA certificate (basicConstraints without cA TRUE): ask for one "
                     "of a subordinate CA",
                     name);
    else if (x.has_key_usage && (x.key_usage & needed) != needed)
        ok = err_set(err, ERR_CONFIG,
                     "\"%s\" may not sign certificates%s (keyUsage without keyCertSign%s)", name,
                     below ? "" : " and CRLs", below ? "" : " or cRLSign");
    else if (x.path_len >= 0 && x.path_len < below)
        ok = err_set(err, ERR_CONFIG,
                     "\"%s\" allows %lld CAs below it (pathLenConstraint) and there are %lld", name,
                     (long long)x.path_len, (long long)below);
    ok = ok && check_time(c, name, now, err);
    extensions_clear(&x);
    return ok;
}

bool issued_chain_check(const struct issued_chain *c, int64_t now, struct err *err)
{
    if (!check_ca(c->ca, 0, now, err))
        return false;
    for (size_t i = 0; i < c->n; i++)
        if (!check_ca(c->above[i], (int64_t)i + 1, now, err))
            return false;
    return true;
}

static const struct cert *find_issuer(const struct bundle *b, const struct cert *c)
{
    for (size_t i = 0; i < b->n; i++)
        if (b->cert[i] != c && issued_by(c, b->cert[i]))
            return b->cert[i];
    return NULL;
}

static bool climb(const struct bundle *b, struct issued_chain *c, struct err *err)
{
    const struct cert *last = c->ca;
    char name[200];
    while (!issued_by(last, last)) {
        const struct cert *issuer = find_issuer(b, last);
        if (!issuer) {
            char text[NAME_TEXT_MAX];
            name_der_text(last->issuer, text, sizeof text);
            text_printable(view_str(text), name, sizeof name);
            return err_set(err, ERR_CONFIG,
                           "the chain is not complete: the certificate of \"%s\" is missing", name);
        }
        if (c->n == AUTHORITY_MAX_CHAIN)
            return err_set(err, ERR_CONFIG, "there are more than %d issuers above the authority",
                           AUTHORITY_MAX_CHAIN);
        c->above[c->n++] = last = issuer;
    }
    return true;
}

bool bundle_chain(const struct bundle *b, EVP_PKEY *key, int64_t now, struct issued_chain *out,
                  struct err *err)
{
    struct issued_chain c = {0};
    for (size_t i = 0; i < b->n; i++)
        if (bundle_is_of_key(b->cert[i], key) && (!c.ca || b->cert[i]->not_after > c.ca->not_after))
            c.ca = b->cert[i];
    if (!c.ca)
        return err_set(err, ERR_CONFIG,
                       "none of the %zu certificates belongs to the authority's key", b->n);
    if (!climb(b, &c, err) || !issued_chain_check(&c, now, err))
        return false;
    *out = c;
    return true;
}

bool issued_chain_pem(const struct issued_chain *c, struct buf *out, struct err *err)
{
    struct buf all = {0};
    for (size_t i = 0; i < c->n; i++) {
        struct buf one = {0};
        bool ok = cert_pem(buf_view(&c->above[i]->der), &one, err) &&
                  (buf_append(&all, one.p, one.n) || err_memory(err));
        buf_clear(&one);
        if (!ok) {
            buf_clear(&all);
            return false;
        }
    }
    *out = all;
    return true;
}
