#include "profile_internal.h"

#include <openssl/bio.h>
#include <openssl/cms.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

void profile_signer_clear(struct profile_signer *s)
{
    X509_free(s->certificate);
    EVP_PKEY_free(s->key);
    sk_X509_pop_free(s->chain, X509_free);
    *s = (struct profile_signer){0};
}

static bool read_certificates(struct view pem, struct profile_signer *s)
{
    BIO *bio = pem.n > INT32_MAX ? NULL : BIO_new_mem_buf(pem.p, (int)pem.n);
    X509 *x = NULL;
    s->chain = sk_X509_new_null();
    bool ok = bio && s->chain;
    s->certificate = ok ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    ok = s->certificate != NULL;
    while (ok && (x = PEM_read_bio_X509(bio, NULL, NULL, NULL)))
        if (!(ok = sk_X509_push(s->chain, x) > 0))
            X509_free(x);
    ERR_clear_error(); /* the end of the file is one */
    BIO_free(bio);
    return ok;
}

bool profile_signer_load(struct view certificates, EVP_PKEY *key, struct profile_signer *out,
                         struct err *err)
{
    struct profile_signer s = {.key = key};
    const char *wrong = "there is no certificate in PEM form";
    bool ok = read_certificates(certificates, &s);
    if (ok) {
        wrong = "the key is not that of the first certificate";
        ok = X509_check_private_key(s.certificate, s.key) == 1;
    }
    ERR_clear_error();
    if (!ok) {
        profile_signer_clear(&s);
        return err_set(err, ERR_CONFIG, "%s", wrong);
    }
    *out = s;
    return true;
}

bool profile_sign(const struct profile_signer *s, struct view content, struct buf *out,
                  struct err *err)
{
    BIO *in = content.n > INT32_MAX ? NULL : BIO_new_mem_buf(content.p, (int)content.n);
    CMS_ContentInfo *cms =
        in ? CMS_sign(s->certificate, s->key, s->chain, in,
                      CMS_BINARY | CMS_NOSMIMECAP) /* attached: the content is in it */
           : NULL;
    unsigned char *der = NULL;
    int n = cms ? i2d_CMS_ContentInfo(cms, &der) : -1;
    bool ok = n > 0 && buf_append(out, der, (size_t)n);
    if (n > 0)
        OPENSSL_cleanse(der, (size_t)n);
    OPENSSL_free(der);
    CMS_ContentInfo_free(cms);
    BIO_free(in);
    ERR_clear_error();
    return ok || err_set(err, ERR_CRYPTO, "the profile could not be signed");
}
