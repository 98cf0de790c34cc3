#include "password.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/rand.h>

#include "envelope.h"
#include "frame.h"

#define SALT_SIZE 16
#define CHECK_SIZE 3 /* RFC 3211 section 2.3.1: octets by which a right key is known */
/* The length octet, the check octets, the key, and padding to whole blocks. */
#define MAX_WRAPPED 64

static bool crypto_failed(const char *what, struct err *err)
{
    ERR_clear_error();
    return err_set(err, ERR_CRYPTO, "%s failed", what);
}

/* RFC 3370 section 4.4.1 */
static bool derive(struct view password, struct view salt, long rounds, const EVP_MD *prf,
                   uint8_t *key, size_t key_len, struct err *err)
{
    return PKCS5_PBKDF2_HMAC((const char *)password.p, (int)password.n, salt.p, (int)salt.n,
                             (int)rounds, prf, (int)key_len, key) == 1 ||
           crypto_failed("PBKDF2", err);
}

/* ---- the key wrap of RFC 3211 section 2.3 ---- */

/* One pass of CBC without padding, in place allowed. */
static bool cbc(EVP_CIPHER_CTX *ctx, int encrypt, const uint8_t *iv, const uint8_t *in, size_t n,
                uint8_t *out)
{
    int done = 0;
    return EVP_CipherInit_ex2(ctx, NULL, NULL, iv, encrypt, NULL) &&
           EVP_CIPHER_CTX_set_padding(ctx, 0) && EVP_CipherUpdate(ctx, out, &done, in, (int)n) &&
           (size_t)done == n;
}

static EVP_CIPHER_CTX *wrap_start(enum cipher c, const uint8_t *kek, int encrypt)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    if (ctx && EVP_CipherInit_ex2(ctx, cipher_evp(c), kek, NULL, encrypt, NULL))
        return ctx;
    EVP_CIPHER_CTX_free(ctx);
    return NULL;
}

/* Twice over the same octets, the second pass begun with the last block of the first, so that every
 * octet depends on all others. */
static bool wrap(enum cipher c, const uint8_t *kek, const uint8_t *iv, const uint8_t *key,
                 size_t key_len, uint8_t out[MAX_WRAPPED], size_t *out_n)
{
    size_t block = cipher_block_size(c);
    size_t n = (1 + CHECK_SIZE + key_len + block - 1) / block * block;
    n = n < 2 * block ? 2 * block : n;
    uint8_t last[EVP_MAX_BLOCK_LENGTH];
    EVP_CIPHER_CTX *ctx = wrap_start(c, kek, 1);
    bool ok = ctx && n <= MAX_WRAPPED && RAND_priv_bytes(out, (int)n) > 0;
    if (ok) {
        out[0] = (uint8_t)key_len;
        for (size_t i = 0; i < CHECK_SIZE; i++)
            out[1 + i] = (uint8_t)~key[i];
        memcpy(out + 1 + CHECK_SIZE, key, key_len);
        ok = cbc(ctx, 1, iv, out, n, out);
        memcpy(last, out + n - block, block);
        ok = ok && cbc(ctx, 1, last, out, n, out);
    }
    EVP_CIPHER_CTX_free(ctx);
    if (!ok)
        OPENSSL_cleanse(out, MAX_WRAPPED);
    *out_n = n;
    return ok;
}

/* True when the check octets and the length are right.  `plain` is the caller's to wipe. */
static bool unwrap(enum cipher c, const uint8_t *kek, struct view iv, struct view wrapped,
                   size_t key_len, uint8_t plain[MAX_WRAPPED])
{
    size_t n = wrapped.n, block = cipher_block_size(c);
    uint8_t last[EVP_MAX_BLOCK_LENGTH];
    EVP_CIPHER_CTX *ctx = wrap_start(c, kek, 0);
    /* the last block of the inner pass, which began the outer one; then both passes */
    bool ok = ctx && cbc(ctx, 0, wrapped.p + n - 2 * block, wrapped.p + n - block, block, last) &&
              cbc(ctx, 0, last, wrapped.p, n, plain) && cbc(ctx, 0, iv.p, plain, n, plain);
    EVP_CIPHER_CTX_free(ctx);
    OPENSSL_cleanse(last, sizeof last);
    if (!ok) {
        ERR_clear_error();
        return false;
    }
    unsigned bad = (unsigned)(plain[0] != key_len);
    for (size_t i = 0; i < CHECK_SIZE; i++)
        bad |= (unsigned)(plain[1 + i] ^ plain[1 + CHECK_SIZE + i] ^ 0xff);
    return bad == 0;
}

/* ---- writing ---- */

static void write_derivation(struct der *w, struct view salt)
{
    size_t all = der_mark(w), mark = all;
    der_tlv(w, DER_NULL, view_of(NULL, 0));
    der_oid_nid(w, NID_hmacWithSHA256);
    der_wrap(w, DER_SEQUENCE, mark);
    der_small(w, PASSWORD_ROUNDS);
    der_tlv(w, DER_OCTET_STRING, salt);
    der_wrap(w, DER_SEQUENCE, all);
    der_oid_nid(w, NID_id_pbkdf2);
    der_wrap(w, DER_CONTEXT_CONSTRUCTED(0), all);
}

static void write_wrapping(struct der *w, enum cipher c, struct view iv)
{
    size_t all = der_mark(w);
    der_tlv(w, DER_OCTET_STRING, iv);
    der_oid_nid(w, cipher_nid(c));
    der_wrap(w, DER_SEQUENCE, all);
    der_oid_nid(w, NID_id_alg_PWRI_KEK);
    der_wrap(w, DER_SEQUENCE, all);
}

bool password_recipient_write(struct der *w, enum cipher cipher, struct view password,
                              const uint8_t *content_key, struct err *err)
{
    uint8_t salt[SALT_SIZE], iv[EVP_MAX_IV_LENGTH], kek[EVP_MAX_KEY_LENGTH], wrapped[MAX_WRAPPED];
    size_t key_len = cipher_key_size(cipher), iv_len = cipher_block_size(cipher), n = 0;
    if (RAND_bytes(salt, sizeof salt) != 1 || RAND_bytes(iv, (int)iv_len) != 1)
        return crypto_failed("drawing a salt", err);
    bool ok = derive(password, view_of(salt, sizeof salt), PASSWORD_ROUNDS,
                     digest_md(DIGEST_SHA256), kek, key_len, err);
    if (ok && !wrap(cipher, kek, iv, content_key, key_len, wrapped, &n))
        ok = crypto_failed("wrapping the content key", err);
    OPENSSL_cleanse(kek, sizeof kek);
    if (!ok)
        return false;
    size_t all = der_mark(w);
    der_tlv(w, DER_OCTET_STRING, view_of(wrapped, n));
    write_wrapping(w, cipher, view_of(iv, iv_len));
    write_derivation(w, view_of(salt, sizeof salt));
    der_small(w, 0);
    der_wrap(w, DER_CONTEXT_CONSTRUCTED(3), all);
    return true;
}

/* ---- reading ---- */

bool password_recipient_is(const ASN1_TYPE *recipient)
{
    long length;
    int tag = 0, class = 0;
    if (recipient->type != V_ASN1_OTHER)
        return false;
    struct view tlv = frame_view(recipient->value.asn1_string);
    const uint8_t *p = tlv.p;
    bool readable = !(ASN1_get_object(&p, &length, &tag, &class, (long)tlv.n) & 0x80);
    ERR_clear_error();
    return readable && tag == 3 && class == V_ASN1_CONTEXT_SPECIFIC;
}

struct cms_password *password_recipient_read(const ASN1_TYPE *recipient, struct err *err)
{
    return (void *)frame_decode(frame_view(recipient->value.asn1_string),
                                ASN1_ITEM_rptr(SCEPD_PASSWORD_CHOICE), REASON_MESSAGE_MALFORMED,
                                "a PasswordRecipientInfo", err);
}

static bool unknown_algorithm(const char *what, const ASN1_OBJECT *oid, struct err *err)
{
    char text[80];
    OBJ_obj2txt(text, sizeof text, oid, 1);
    return err_refuse(err, REASON_ALGORITHM_REFUSED, "%s by %s is not known", what, text);
}

static const EVP_MD *prf_of(const X509_ALGOR *prf)
{
    if (!prf) /* RFC 8018 appendix A.2: the default */
        return digest_md(DIGEST_SHA1);
    switch (OBJ_obj2nid(prf->algorithm)) {
    case NID_hmacWithSHA1:
        return digest_md(DIGEST_SHA1);
    case NID_hmacWithSHA256:
        return digest_md(DIGEST_SHA256);
    case NID_hmacWithSHA384:
        return digest_md(DIGEST_SHA384);
    case NID_hmacWithSHA512:
        return digest_md(DIGEST_SHA512);
    default:
        return NULL;
    }
}

/* RFC 8018 section 5.2: dkLen.  It need not be said. */
static bool length_fits(const ASN1_INTEGER *said, size_t key_len)
{
    int64_t n = 0;
    return !said || (ASN1_INTEGER_get_int64(&n, said) == 1 && n == (int64_t)key_len);
}

static bool derive_as_said(const X509_ALGOR *alg, struct view password, uint8_t *kek,
                           size_t key_len, struct err *err)
{
    if (!alg)
        return err_refuse(err, REASON_ALGORITHM_REFUSED, "the password is said to be the key");
    const ASN1_TYPE *t = alg->parameter;
    if (OBJ_obj2nid(alg->algorithm) != NID_id_pbkdf2 || !t || t->type != V_ASN1_SEQUENCE)
        return unknown_algorithm("key derivation", alg->algorithm, err);
    PBKDF2PARAM *p =
        (void *)frame_decode(frame_view(t->value.sequence), ASN1_ITEM_rptr(PBKDF2PARAM),
                             REASON_MESSAGE_MALFORMED, "the PBKDF2 parameters", err);
    if (!p)
        return false;
    int64_t rounds = 0;
    const EVP_MD *prf = prf_of(p->prf);
    bool counted = ASN1_INTEGER_get_int64(&rounds, p->iter) == 1;
    bool ok;
    if (!prf)
        ok = unknown_algorithm("PBKDF2", p->prf->algorithm, err);
    else if (p->salt->type != V_ASN1_OCTET_STRING || !counted || rounds < 1 ||
             rounds > PASSWORD_MAX_ROUNDS)
        ok = err_refuse(err, REASON_ALGORITHM_REFUSED, "PBKDF2 with 1 to %d rounds and a salt only",
                        PASSWORD_MAX_ROUNDS);
    else if (!length_fits(p->keylength, key_len))
        ok = err_refuse(err, REASON_ALGORITHM_REFUSED, "PBKDF2 for a key of another size");
    else
        ok = derive(password, frame_view(p->salt->value.octet_string), (long)rounds, prf, kek,
                    key_len, err);
    ERR_clear_error();
    PBKDF2PARAM_free(p);
    return ok;
}

/* The cipher under which the key lies, and its IV, which points into `alg`'s copy `*kept`. */
static bool read_wrapping(const X509_ALGOR *alg, enum cipher *c, struct view *iv, X509_ALGOR **kept,
                          struct err *err)
{
    const ASN1_TYPE *t = alg->parameter;
    if (OBJ_obj2nid(alg->algorithm) != NID_id_alg_PWRI_KEK || !t || t->type != V_ASN1_SEQUENCE)
        return unknown_algorithm("key wrap", alg->algorithm, err);
    X509_ALGOR *inner =
        (void *)frame_decode(frame_view(t->value.sequence), ASN1_ITEM_rptr(X509_ALGOR),
                             REASON_MESSAGE_MALFORMED, "the cipher of the key wrap", err);
    if (!inner)
        return false;
    *kept = inner;
    if (!cipher_by_nid(OBJ_obj2nid(inner->algorithm), c) || *c == CIPHER_DES)
        return unknown_algorithm("key wrap", inner->algorithm, err);
    if (!inner->parameter || inner->parameter->type != V_ASN1_OCTET_STRING)
        return err_refuse(err, REASON_MESSAGE_MALFORMED, "the key wrap has no IV");
    *iv = frame_view(inner->parameter->value.octet_string);
    return iv->n == cipher_block_size(*c) ||
           err_refuse(err, REASON_MESSAGE_MALFORMED, "the key wrap has an IV of %zu octets", iv->n);
}

bool password_recipient_open(const struct cms_password *r, struct view password,
                             uint8_t *content_key, size_t key_len, struct err *err)
{
    enum cipher c = CIPHER_AES128;
    struct view iv = {0}, wrapped = frame_view(r->key);
    X509_ALGOR *kept = NULL;
    uint8_t kek[EVP_MAX_KEY_LENGTH], plain[MAX_WRAPPED];
    bool ok = read_wrapping(r->wrapping, &c, &iv, &kept, err);
    size_t block = cipher_block_size(c);
    if (ok && (wrapped.n < 2 * block || wrapped.n > MAX_WRAPPED || wrapped.n % block ||
               wrapped.n < 1 + CHECK_SIZE + key_len))
        ok = err_refuse(err, REASON_MESSAGE_MALFORMED, "the wrapped key has %zu octets", wrapped.n);
    ok = ok && derive_as_said(r->derivation, password, kek, cipher_key_size(c), err);
    if (ok) {
        ok = unwrap(c, kek, iv, wrapped, key_len, plain);
        if (ok)
            memcpy(content_key, plain + 1 + CHECK_SIZE, key_len);
        else
            envelope_refuse(err);
    }
    OPENSSL_cleanse(kek, sizeof kek);
    OPENSSL_cleanse(plain, sizeof plain);
    X509_ALGOR_free(kept);
    return ok;
}
