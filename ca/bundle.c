/* Reads whatever form an authority's key and certificates were kept in. */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/pkcs7.h>
#include <openssl/provider.h>
#include <openssl/x509.h>
#include <string.h>

#include "ca/outside.h"

struct reading {
    struct bundle *out;
    struct view passphrase;
    const char *what;
    bool found;
};

static bool add_der(struct reading *r, const unsigned char *der, long n, struct err *err)
{
    struct bundle *b = r->out;
    struct err why = {0};
    struct cert *c = NULL;
    if (!cert_parse(view_of(der, (size_t)n), &c, &why))
        return err_set(err, ERR_CONFIG, "%s: %.250s", r->what, why.text);
    r->found = true;
    for (size_t i = 0; i < b->n; i++) {
        if (view_eq(buf_view(&b->cert[i]->der), buf_view(&c->der))) {
            cert_free(c);
            return true;
        }
    }
    if (b->n == BUNDLE_MAX) {
        cert_free(c);
        return err_set(err, ERR_CONFIG, "%s: more than %d certificates", r->what, BUNDLE_MAX);
    }
    b->cert[b->n++] = c;
    return true;
}

static bool add_x509(struct reading *r, X509 *x, struct err *err)
{
    unsigned char *der = NULL;
    int n = i2d_X509(x, &der);
    bool ok = n > 0 ? add_der(r, der, n, err) : err_memory(err);
    OPENSSL_free(der);
    return ok;
}

static bool add_stack(struct reading *r, const STACK_OF(X509) * all, struct err *err)
{
    for (int i = 0; i < sk_X509_num(all); i++)
        if (!add_x509(r, sk_X509_value(all, i), err))
            return false;
    return true;
}

/* Takes the key. */
static void add_key(struct reading *r, EVP_PKEY *key)
{
    r->found = true;
    if (r->out->key)
        EVP_PKEY_free(key);
    else
        r->out->key = key;
}

static int give_passphrase(char *out, int cap, int writing, void *ctx)
{
    const struct reading *r = ctx;
    if (r->passphrase.n == 0 || r->passphrase.n > (size_t)cap)
        return -1;
    memcpy(out, r->passphrase.p, r->passphrase.n);
    return (int)r->passphrase.n;
}

/* ---- DER ---- */

static bool add_pkcs7(struct reading *r, const unsigned char *der, long n, struct err *err)
{
    const unsigned char *p = der;
    PKCS7 *p7 = d2i_PKCS7(NULL, &p, n);
    bool is = p7 && p == der + n && PKCS7_type_is_signed(p7) && p7->d.sign;
    bool ok = !is || add_stack(r, p7->d.sign->cert, err);
    PKCS7_free(p7);
    ERR_clear_error();
    return ok;
}

/* Old exports encrypt with RC2, which OpenSSL keeps in its legacy provider. */
static bool pkcs12_open(PKCS12 *p12, const char *passphrase, EVP_PKEY **key, X509 **cert,
                        STACK_OF(X509) * *others)
{
    if (PKCS12_parse(p12, passphrase, key, cert, others) == 1)
        return true;
    OSSL_PROVIDER *legacy = NULL;
    struct err ignored = {0};
    if (!cipher_legacy_load(&legacy, &ignored))
        return false;
    bool ok = PKCS12_parse(p12, passphrase, key, cert, others) == 1;
    OSSL_PROVIDER_unload(legacy);
    return ok;
}

static bool add_pkcs12(struct reading *r, const unsigned char *der, long n, struct err *err)
{
    const unsigned char *p = der;
    PKCS12 *p12 = d2i_PKCS12(NULL, &p, n);
    char passphrase[1024 + 1];
    EVP_PKEY *key = NULL;
    X509 *cert = NULL;
    STACK_OF(X509) *others = NULL;
    bool ok = true;
    if (!p12 || p != der + n || r->passphrase.n >= sizeof passphrase)
        goto out;
    memcpy(passphrase, r->passphrase.p ? (const void *)r->passphrase.p : "", r->passphrase.n);
    passphrase[r->passphrase.n] = '\0';
    r->found = true;
    if (pkcs12_open(p12, passphrase, &key, &cert, &others)) {
        if (key)
            add_key(r, key);
        ok = (!cert || add_x509(r, cert, err)) && (!others || add_stack(r, others, err));
    } else {
        r->out->locked = true;
    }
    OPENSSL_cleanse(passphrase, sizeof passphrase);
out:
    X509_free(cert);
    sk_X509_pop_free(others, X509_free);
    PKCS12_free(p12);
    ERR_clear_error();
    return ok;
}

static void add_der_key(struct reading *r, const unsigned char *der, long n)
{
    const unsigned char *p = der;
    EVP_PKEY *key = d2i_AutoPrivateKey(NULL, &p, n);
    if (key) {
        add_key(r, key);
    } else {
        BIO *bio = BIO_new_mem_buf(der, (int)n);
        p = der;
        X509_SIG *sealed = d2i_X509_SIG(NULL, &p, n);
        key = bio && sealed && p == der + n ? d2i_PKCS8PrivateKey_bio(bio, NULL, give_passphrase, r)
                                            : NULL;
        if (key)
            add_key(r, key);
        else if (sealed && p == der + n)
            r->found = r->out->locked = true;
        X509_SIG_free(sealed);
        BIO_free(bio);
    }
    ERR_clear_error();
}

static bool read_der(struct reading *r, struct view in, struct err *err)
{
    struct err ignored = {0};
    struct cert *c = NULL;
    long n = (long)in.n;
    if (cert_parse(in, &c, &ignored)) {
        cert_free(c);
        return add_der(r, in.p, n, err);
    }
    if (!add_pkcs7(r, in.p, n, err) || (!r->found && !add_pkcs12(r, in.p, n, err)))
        return false;
    if (!r->found)
        add_der_key(r, in.p, n);
    return true;
}

/* ---- PEM ---- */

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/* Keys of every form, with their encryption, are for OpenSSL's decoders: the block is read again by
 * them. */
static void add_pem_key(struct reading *r, const char *name, const char *header,
                        const unsigned char *der, long n)
{
    BIO *bio = BIO_new(BIO_s_secmem());
    EVP_PKEY *key = NULL;
    if (bio && PEM_write_bio(bio, name, header, der, n) > 0)
        key = PEM_read_bio_PrivateKey(bio, NULL, give_passphrase, r);
    BIO_free(bio);
    if (key)
        add_key(r, key);
    else if (strncmp(name, "ENCRYPTED", 9) == 0 || strstr(header, "ENCRYPTED"))
        r->found = r->out->locked = true;
    ERR_clear_error();
}

static bool add_block(struct reading *r, const char *name, const char *header,
                      const unsigned char *der, long n, struct err *err)
{
    if (strcmp(name, PEM_STRING_X509) == 0 || strcmp(name, PEM_STRING_X509_OLD) == 0)
        return add_der(r, der, n, err);
    if (strcmp(name, PEM_STRING_PKCS7) == 0 || strcmp(name, PEM_STRING_CMS) == 0 ||
        strcmp(name, PEM_STRING_PKCS7_SIGNED) == 0)
        return add_pkcs7(r, der, n, err);
    if (ends_with(name, "PRIVATE KEY"))
        add_pem_key(r, name, header, der, n);
    return true;
}

static bool read_pem(struct reading *r, struct view in, struct err *err)
{
    BIO *bio = BIO_new_mem_buf(in.p, (int)in.n);
    char *name = NULL, *header = NULL;
    unsigned char *der = NULL;
    long n = 0;
    bool ok = bio || err_memory(err);
    while (ok && PEM_read_bio(bio, &name, &header, &der, &n) == 1) {
        ok = add_block(r, name, header, der, n, err);
        OPENSSL_free(name);
        OPENSSL_free(header);
        OPENSSL_clear_free(der, (size_t)n); /* may have been a private key */
    }
    ERR_clear_error();
    BIO_free(bio);
    return ok;
}

/* ---- the whole ---- */

bool bundle_read(struct view bytes, struct view passphrase, const char *what, struct bundle *out,
                 struct err *err)
{
    static const char begin[] = "-----BEGIN";
    struct reading r = {.out = out, .passphrase = passphrase, .what = what};
    if (bytes.n > (1u << 20))
        return err_set(err, ERR_CONFIG, "%s is larger than 1 MiB", what);
    bool pem = bytes.n && memmem(bytes.p, bytes.n, begin, sizeof begin - 1);
    if (bytes.n && !(pem ? read_pem(&r, bytes, err) : read_der(&r, bytes, err)))
        return false;
    return r.found || err_set(err, ERR_NOT_FOUND, "%s holds neither certificate nor key", what);
}

void bundle_clear(struct bundle *b)
{
    EVP_PKEY_free(b->key);
    for (size_t i = 0; i < b->n; i++)
        cert_free(b->cert[i]);
    *b = (struct bundle){0};
}
