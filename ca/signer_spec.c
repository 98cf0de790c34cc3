/* What a signer was told, as one short value: daemon and keeper read the same files at different
 * moments, and compare. */
#include <openssl/evp.h>
#include <string.h>

#include "ca/signer.h"

static bool add(EVP_MD_CTX *ctx, const void *p, size_t n)
{
    uint64_t length = n; /* so that no two lists of values look alike */
    return EVP_DigestUpdate(ctx, &length, sizeof length) == 1 && EVP_DigestUpdate(ctx, p, n) == 1;
}

static bool add_text(EVP_MD_CTX *ctx, const char *text)
{
    return add(ctx, text, strlen(text));
}

static bool add_oids(EVP_MD_CTX *ctx, const struct eku *e)
{
    bool ok = add(ctx, &e->n, sizeof e->n);
    for (size_t i = 0; ok && i < e->n; i++)
        ok = add_text(ctx, e->oid[i]);
    return ok;
}

static bool add_key(EVP_MD_CTX *ctx, const struct signer_key_spec *k)
{
    return add_text(ctx, k->path) && add_text(ctx, k->passphrase_file) &&
           add(ctx, k->cert.p, k->cert.n) && add(ctx, &k->uses, sizeof k->uses) &&
           add(ctx, &k->key_usage, sizeof k->key_usage) && add_oids(ctx, &k->eku) &&
           add_oids(ctx, &k->extensions) && add(ctx, &k->max_validity, sizeof k->max_validity);
}

bool signer_spec_digest(const struct signer_spec *spec, uint8_t out[SIGNER_DIGEST], struct err *err)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1;
    for (size_t i = 0; ok && i < spec->n; i++)
        ok = add_key(ctx, &spec->key[i]);
    ok = ok && add(ctx, &spec->certificates_per_minute, sizeof spec->certificates_per_minute) &&
         add(ctx, spec->banned_n ? spec->banned[0] : NULL, spec->banned_n * sizeof spec->banned[0]);
    ok = ok && EVP_DigestFinal_ex(ctx, out, NULL) == 1;
    EVP_MD_CTX_free(ctx);
    return ok || err_set(err, ERR_CRYPTO, "a digest cannot be made");
}
