#include "scepd/api_tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <time.h>

#include "base/text.h"
#include "ca/keyfile.h"
#include "http/http_tls.h"

static bool read_chain(const char *path, struct http_tls_files *f, struct err *err)
{
    struct buf pem = {0};
    if (!file_read(path, &pem, err))
        return err_prefix(err, "api.certificate");
    BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
    f->certificate = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    f->chain = sk_X509_new_null();
    for (X509 *x; f->certificate && f->chain && (x = PEM_read_bio_X509(bio, NULL, NULL, NULL));)
        if (!sk_X509_push(f->chain, x))
            X509_free(x);
    BIO_free(bio);
    buf_clear(&pem);
    ERR_clear_error(); /* of the end of the file */
    return f->certificate || err_set(err, ERR_CONFIG, "%s holds no certificate in PEM", path);
}

/* Browsers offer those certificates that one of these has issued. */
static bool name_authorities(const struct config_rooms *rooms, struct http_tls_files *f,
                             struct err *err)
{
    f->client_authorities = sk_X509_new_null();
    for (size_t i = 0; f->client_authorities && i < rooms->member_n; i++) {
        const struct buf *der = &rooms->member[i]->cert->der;
        const unsigned char *p = der->p;
        X509 *x = d2i_X509(NULL, &p, (long)der->n);
        if (!x || !sk_X509_push(f->client_authorities, x)) {
            X509_free(x);
            ERR_clear_error();
            return err_memory(err);
        }
    }
    return f->client_authorities || err_memory(err);
}

static void files_clear(struct http_tls_files *f)
{
    X509_free(f->certificate);
    sk_X509_pop_free(f->chain, X509_free);
    sk_X509_pop_free(f->client_authorities, X509_free);
    EVP_PKEY_free(f->key);
}

bool api_tls_load(const struct config *c, const struct config_rooms *rooms, SSL_CTX **out,
                  struct err *err)
{
    struct http_tls_files f = {0};
    *out = NULL;
    if (!c->api_port || !c->api_certificate[0])
        return true;
    bool ok =
        read_chain(c->api_certificate, &f, err) &&
        (key_load(c->api_key, NULL, &f.key, err) || err_prefix(err, "api.key")) &&
        name_authorities(rooms, &f, err) &&
        (http_tls_new(&f, out, err) || err_prefix(err, "%s, %s", c->api_certificate, c->api_key));
    files_clear(&f);
    return ok;
}

static int64_t seconds_of(const ASN1_TIME *t)
{
    struct tm tm;
    return t && ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

void api_tls_validity(const SSL_CTX *ctx, int64_t *from, int64_t *until)
{
    const X509 *x = ctx ? SSL_CTX_get0_certificate(ctx) : NULL;
    *from = x ? seconds_of(X509_get0_notBefore(x)) : 0;
    *until = x ? seconds_of(X509_get0_notAfter(x)) : 0;
}
