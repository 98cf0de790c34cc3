#include "assertion.h"

#include <jansson.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "ca/keyfile.h"
#include "pkcs7/cert.h"
#include "sign.h"

#define RSA_BITS_MIN 2048
#define SIGNATURE_MAX 2048 /* octets: RSA of 16384 bits */

/* RFC 7515 section 2: the alphabet of URLs, without padding.  Appended. */
static bool base64url(struct view v, struct buf *out)
{
    size_t most = 4 * ((v.n + 2) / 3) + 1;
    if (!buf_reserve(out, most))
        return false;
    uint8_t *p = out->p + out->n;
    int n = EVP_EncodeBlock(p, v.p, (int)v.n);
    while (n > 0 && p[n - 1] == '=')
        n--;
    for (int i = 0; i < n; i++)
        p[i] = p[i] == '+' ? '-' : p[i] == '/' ? '_' : p[i];
    out->n += (size_t)n;
    return true;
}

/* ---- the key and its certificate ---- */

static bool thumbprint(struct view der, const EVP_MD *md, char *out, size_t cap, struct err *err)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    struct buf text = {0};
    bool ok = EVP_Digest(der.p, der.n, digest, &n, md, NULL) == 1 &&
              base64url(view_of(digest, n), &text) && text.n < cap;
    if (ok) {
        memcpy(out, text.p, text.n);
        out[text.n] = '\0';
    }
    buf_clear(&text);
    return ok || err_set(err, ERR_CRYPTO, "no thumbprint of a certificate");
}

static bool check_pair(const struct cert *c, const char *certificate_file, EVP_PKEY *key,
                       const char *key_file, struct err *err)
{
    const uint8_t *p = c->spki.p;
    if (!EVP_PKEY_is_a(key, "RSA") || EVP_PKEY_get_bits(key) < RSA_BITS_MIN)
        return err_set(err, ERR_CONFIG, "%s is no RSA key of %d bits or more", key_file,
                       RSA_BITS_MIN);
    EVP_PKEY *certified = d2i_PUBKEY(NULL, &p, (long)c->spki.n);
    bool same = certified && EVP_PKEY_eq(certified, key) == 1;
    EVP_PKEY_free(certified);
    ERR_clear_error();
    return same || err_set(err, ERR_CONFIG, "%s is not the key of the certificate in %s", key_file,
                           certificate_file);
}

bool assertion_key_load(const char *certificate_file, const char *key_file,
                        struct assertion_key *out, struct err *err)
{
    struct buf pem = {0};
    struct cert *c = NULL;
    bool ok = file_read(certificate_file, &pem, err) &&
              (cert_parse_any(buf_view(&pem), &c, err) || err_prefix(err, "%s", certificate_file));
    ok = ok && key_load(key_file, NULL, &out->key, err) &&
         check_pair(c, certificate_file, out->key, key_file, err) &&
         thumbprint(buf_view(&c->der), EVP_sha1(), out->x5t, sizeof out->x5t, err) &&
         thumbprint(buf_view(&c->der), EVP_sha256(), out->x5t_s256, sizeof out->x5t_s256, err);
    if (ok) {
        out->not_before = c->not_before;
        out->not_after = c->not_after;
    } else {
        assertion_key_clear(out);
        err->kind = err->kind == ERR_MEMORY ? ERR_MEMORY : ERR_CONFIG;
    }
    cert_free(c);
    buf_wipe(&pem); /* a key may stand beside the certificate */
    return ok;
}

void assertion_key_clear(struct assertion_key *k)
{
    EVP_PKEY_free(k->key); /* wipes */
    *k = (struct assertion_key){.key = NULL};
}

/* ---- the assertion ---- */

/* Takes the object; appended. */
static bool put_part(json_t *o, struct buf *out)
{
    struct buf text = {0};
    bool ok = whole_json_write(o, true, &text) && base64url(buf_view(&text), out);
    buf_wipe(&text);
    return ok;
}

/* PS256, RFC 7518 section 3.5. */
static bool sign(EVP_PKEY *key, struct view what, uint8_t *out, size_t *n)
{
    EVP_PKEY_CTX *ctx = NULL; /* borrowed */
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool ok = md && EVP_DigestSignInit(md, &ctx, EVP_sha256(), NULL, key) == 1 &&
              EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
              EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) == 1 &&
              EVP_DigestSign(md, out, n, what.p, what.n) == 1;
    EVP_MD_CTX_free(md);
    ERR_clear_error();
    return ok;
}

bool assertion_make(const struct assertion_key *k, const char *client_id, const char *audience,
                    int64_t now, struct buf *out, struct err *err)
{
    char id[37];
    uint8_t signature[SIGNATURE_MAX];
    size_t n = sizeof signature;
    buf_wipe(out);
    bool ok = sign_uuid(id) &&
              put_part(json_pack("{s:s,s:s,s:s,s:s}", "alg", "PS256", "typ", "JWT", "x5t", k->x5t,
                                 "x5t#S256", k->x5t_s256),
                       out) &&
              buf_append_str(out, ".") &&
              put_part(json_pack("{s:s,s:s,s:s,s:s,s:I,s:I,s:I}", "aud", audience, "iss", client_id,
                                 "sub", client_id, "jti", id, "iat", (json_int_t)now, "nbf",
                                 (json_int_t)now, "exp", (json_int_t)now + ASSERTION_LIFE),
                       out);
    if (!ok)
        return err_memory(err);
    if (!sign(k->key, buf_view(out), signature, &n))
        return err_set(err, ERR_CRYPTO, "the key of the certificate cannot sign");
    return (buf_append_str(out, ".") && base64url(view_of(signature, n), out) &&
            buf_append(out, "", 1)) ||
           err_memory(err);
}
