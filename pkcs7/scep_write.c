#include "scep_write.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>

#include "password.h"

#define DER_OVERHEAD                                                            \
    1024 /* about what the structures add to certificate, content and signature \
          */

static bool crypto_failed(const char *what, struct err *err)
{
    const char *why = ERR_reason_error_string(ERR_peek_last_error());
    err_set(err, ERR_CRYPTO, "%s failed: %s", what, why ? why : "no reason given");
    ERR_clear_error();
    return false;
}

/* ContentInfo around what was written since `mark`. */
static void wrap_content_info(struct der *w, int nid, size_t mark)
{
    der_wrap(w, DER_CONTEXT_CONSTRUCTED(0), mark);
    der_oid_nid(w, nid);
    der_wrap(w, DER_SEQUENCE, mark);
}

/* ---- SignedData ---- */

void signed_parts_add(struct signed_parts *p, enum scep_attribute a, unsigned tag,
                      struct view value)
{
    p->attribute[p->n++] = (struct signed_attribute){a, tag, value};
}

static void wrap_attribute(struct der *w, enum scep_attribute a, size_t mark)
{
    der_wrap(w, DER_SET, mark);
    der_raw(w, scep_attribute_oid(a));
    der_wrap(w, DER_SEQUENCE, mark);
}

/* The signed attributes as SET OF in DER: what is signed (RFC 5652 section 5.4). */
static bool build_attributes(const struct signed_parts *p, struct buf *out, struct err *err)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    if (!digest_compute(p->digest, p->content, digest, err))
        return false;
    struct der w;
    der_init(&w, 512);
    size_t all = der_mark(&w);
    for (size_t i = 0; i < p->n; i++) {
        const struct signed_attribute *a = &p->attribute[i];
        size_t mark = der_mark(&w);
        der_tlv(&w, a->tag, a->value);
        wrap_attribute(&w, a->attribute, mark);
    }
    size_t mark = der_mark(&w);
    der_tlv(&w, DER_OCTET_STRING, view_of(digest, digest_size(p->digest)));
    wrap_attribute(&w, ATTR_MESSAGE_DIGEST, mark);
    mark = der_mark(&w);
    der_oid_nid(&w, NID_pkcs7_data);
    wrap_attribute(&w, ATTR_CONTENT_TYPE, mark);
    if (p->signing_time) {
        mark = der_mark(&w);
        der_time(&w, p->signing_time);
        wrap_attribute(&w, ATTR_SIGNING_TIME, mark);
    }
    der_wrap_set_of(&w, all);
    return der_take(&w, out, err);
}

/* rsaEncryption for RSA whatever the digest: strongSwan takes nothing else, and RFC 3370
 * section 3.2 names it.  ECDSA has no such general name (RFC 5754 section 3.3). */
static void signature_algorithm(struct der *w, enum key_type type, enum digest digest)
{
    if (type == KEY_EC) {
        der_raw(w, sigalg_der((struct sigalg){.scheme = SIG_ECDSA, .digest = digest}));
        return;
    }
    size_t mark = der_mark(w);
    der_tlv(w, DER_NULL, view_of(NULL, 0));
    der_oid_nid(w, NID_rsaEncryption);
    der_wrap(w, DER_SEQUENCE, mark);
}

static void write_signer_info(struct der *w, const struct signed_parts *p, enum key_type type,
                              struct view attributes, struct view signature)
{
    size_t set = der_mark(w);
    der_tlv(w, DER_OCTET_STRING, signature);
    signature_algorithm(w, type, p->digest);
    der_raw(w, attributes);
    der_raw(w, digest_alg_der(p->digest));
    size_t name = der_mark(w);
    der_raw(w, p->signer->serial_tlv);
    der_raw(w, p->signer->issuer);
    der_wrap(w, DER_SEQUENCE, name);
    der_small(w, 1);
    der_wrap(w, DER_SEQUENCE, set);
    der_wrap(w, DER_SET, set);
}

static void write_signed_data(struct der *w, const struct signed_parts *p, enum key_type type,
                              struct view attributes, struct view signature)
{
    size_t all = der_mark(w), mark = all;
    write_signer_info(w, p, type, attributes, signature);
    der_tlv(w, DER_CONTEXT_CONSTRUCTED(0), buf_view(&p->signer->der));
    mark = der_mark(w);
    if (!p->absent_content) {
        der_tlv(w, DER_OCTET_STRING, p->content);
        der_wrap(w, DER_CONTEXT_CONSTRUCTED(0), mark);
    }
    der_oid_nid(w, NID_pkcs7_data);
    der_wrap(w, DER_SEQUENCE, mark);
    der_tlv(w, DER_SET, digest_alg_der(p->digest));
    der_small(w, 1);
    der_wrap(w, DER_SEQUENCE, all);
    wrap_content_info(w, NID_pkcs7_signed, all);
}

bool signed_data_build(const struct signed_parts *p, const struct scep_keys *keys, struct buf *out,
                       struct err *err)
{
    struct pubkey key;
    struct buf attributes = {0}, signature = {0};
    struct der w = {0};
    bool ok =
        pubkey_parse(p->signer->spki, &key, err) && build_attributes(p, &attributes, err) &&
        keys->sign(keys->ctx, p->signer_key, p->digest, buf_view(&attributes), &signature, err);
    if (ok) {
        /* Signed as a SET, sent as [0] IMPLICIT. */
        attributes.p[0] = DER_CONTEXT_CONSTRUCTED(0);
        der_init(&w, p->content.n + p->signer->der.n + DER_OVERHEAD);
        write_signed_data(&w, p, key.type, buf_view(&attributes), buf_view(&signature));
        ok = der_take(&w, out, err);
    }
    buf_clear(&attributes);
    buf_clear(&signature);
    return ok;
}

/* ---- EnvelopedData ---- */

static bool encrypt_key(const struct envelope_parts *p, const uint8_t *content_key, struct buf *out,
                        struct err *err)
{
    size_t n = (size_t)EVP_PKEY_get_size(EVP_PKEY_CTX_get0_pkey(p->key));
    size_t key_size = cipher_key_size(p->cipher);
    bool oaep = p->padding == PADDING_OAEP;
    int padding = oaep ? RSA_PKCS1_OAEP_PADDING : RSA_PKCS1_PADDING;
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_int(OSSL_ASYM_CIPHER_PARAM_PAD_MODE, &padding),
        OSSL_PARAM_construct_end()};
    bool ok = n > 0 && buf_reserve(out, n) && EVP_PKEY_encrypt_init_ex(p->key, params) > 0 &&
              (!oaep || (EVP_PKEY_CTX_set_rsa_oaep_md(p->key, digest_md(p->oaep)) > 0 &&
                         EVP_PKEY_CTX_set_rsa_mgf1_md(p->key, digest_md(p->oaep)) > 0)) &&
              EVP_PKEY_encrypt(p->key, out->p, &n, content_key, key_size) > 0;
    if (!ok)
        return crypto_failed("encrypting the content key", err);
    out->n = n;
    return true;
}

static bool encrypt_content(const struct envelope_parts *p, const uint8_t *key, const uint8_t *iv,
                            struct buf *out, struct err *err)
{
    int n = 0, last = 0;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    bool ok = ctx && buf_reserve(out, p->content.n + cipher_block_size(p->cipher)) &&
              EVP_EncryptInit_ex2(ctx, cipher_evp(p->cipher), key, iv, NULL) &&
              EVP_EncryptUpdate(ctx, out->p, &n, p->content.p, (int)p->content.n) &&
              EVP_EncryptFinal_ex(ctx, out->p + n, &last);
    EVP_CIPHER_CTX_free(ctx);
    if (!ok)
        return crypto_failed("encrypting the content", err);
    out->n = (size_t)(n + last);
    return true;
}

/* RFC 4055 section 4.1: SHA-1 is the default and is left out. */
static void oaep_algorithm(struct der *w, enum digest hash)
{
    size_t all = der_mark(w), mark = all;
    if (hash != DIGEST_SHA1) {
        der_raw(w, digest_alg_der(hash));
        der_oid_nid(w, NID_mgf1);
        der_wrap(w, DER_SEQUENCE, mark);
        der_wrap(w, DER_CONTEXT_CONSTRUCTED(1), mark);
        mark = der_mark(w);
        der_raw(w, digest_alg_der(hash));
        der_wrap(w, DER_CONTEXT_CONSTRUCTED(0), mark);
    }
    der_wrap(w, DER_SEQUENCE, all);
    der_oid_nid(w, NID_rsaesOaep);
    der_wrap(w, DER_SEQUENCE, all);
}

static void key_algorithm(struct der *w, const struct envelope_parts *p)
{
    if (p->padding == PADDING_OAEP) {
        oaep_algorithm(w, p->oaep);
        return;
    }
    size_t mark = der_mark(w);
    der_tlv(w, DER_NULL, view_of(NULL, 0));
    der_oid_nid(w, NID_rsaEncryption);
    der_wrap(w, DER_SEQUENCE, mark);
}

static void write_key_trans(struct der *w, const struct envelope_parts *p, struct view key)
{
    size_t all = der_mark(w);
    der_tlv(w, DER_OCTET_STRING, key);
    key_algorithm(w, p);
    size_t name = der_mark(w);
    der_raw(w, p->serial_tlv);
    der_raw(w, p->issuer);
    der_wrap(w, DER_SEQUENCE, name);
    der_small(w, 0);
    der_wrap(w, DER_SEQUENCE, all);
}

/* RFC 8894 section 3.1: to the key where it can decrypt, else under the password. */
static bool write_recipient(struct der *w, const struct envelope_parts *p,
                            const uint8_t *content_key, struct err *err)
{
    size_t all = der_mark(w);
    struct buf wrapped = {0};
    bool ok = true;
    if (p->password.n) {
        ok = password_recipient_write(w, p->cipher, p->password, content_key, err);
    } else if ((ok = encrypt_key(p, content_key, &wrapped, err))) {
        write_key_trans(w, p, buf_view(&wrapped));
    }
    buf_clear(&wrapped);
    der_wrap(w, DER_SET, all);
    return ok;
}

/* encryptedContent is primitive: some clients read no other.  The version is RFC 5652 section
 * 6.1's. */
static bool write_enveloped(struct der *w, const struct envelope_parts *p,
                            const uint8_t *content_key, struct view iv, struct view content,
                            struct err *err)
{
    size_t all = der_mark(w);
    der_tlv(w, DER_CONTEXT(0), content);
    size_t mark = der_mark(w);
    der_tlv(w, DER_OCTET_STRING, iv);
    der_oid_nid(w, cipher_nid(p->cipher));
    der_wrap(w, DER_SEQUENCE, mark);
    der_oid_nid(w, NID_pkcs7_data);
    der_wrap(w, DER_SEQUENCE, all);
    if (!write_recipient(w, p, content_key, err))
        return false;
    der_small(w, p->password.n ? 3 : 0);
    der_wrap(w, DER_SEQUENCE, all);
    wrap_content_info(w, NID_pkcs7_enveloped, all);
    return true;
}

bool envelope_build(const struct envelope_parts *p, struct buf *out, struct err *err)
{
    uint8_t key[EVP_MAX_KEY_LENGTH], iv[EVP_MAX_IV_LENGTH];
    struct buf content = {0};
    struct der w = {0};
    size_t iv_size = cipher_block_size(p->cipher);
    bool ok = RAND_priv_bytes(key, (int)cipher_key_size(p->cipher)) > 0 &&
              RAND_bytes(iv, (int)iv_size) > 0;
    if (!ok)
        crypto_failed("drawing a content key", err);
    ok = ok && encrypt_content(p, key, iv, &content, err);
    if (ok) {
        der_init(&w, content.n + p->issuer.n + DER_OVERHEAD);
        ok = write_enveloped(&w, p, key, view_of(iv, iv_size), buf_view(&content), err) &&
             der_take(&w, out, err);
    }
    OPENSSL_cleanse(key, sizeof key);
    der_clear(&w);
    buf_clear(&content);
    return ok;
}
