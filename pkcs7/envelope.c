#include "envelope.h"

#include <stdio.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/rsa.h>

#include "asn1_cms.h"
#include "base/hex.h"
#include "frame.h"
#include "password.h"
#include "pkcs7/name.h"

bool envelope_refuse(struct err *err)
{
    return err_refuse(err, REASON_MESSAGE_NOT_FOR_US,
                      "the envelope does not open with our key to what its type says");
}

/* ---- the content cipher ---- */

static bool cipher_refused(enum cipher c, unsigned ciphers, struct err *err)
{
    char accepted[64] = "";
    size_t n = 0;
    for (enum cipher i = 0; i < CIPHER_COUNT && n < sizeof accepted; i++)
        if (ciphers & ALG_BIT(i))
            n += (size_t)snprintf(accepted + n, sizeof accepted - n, " %s", cipher_name(i));
    return err_refuse(err, REASON_ALGORITHM_REFUSED, "cipher %s; accepted:%s", cipher_name(c),
                      *accepted ? accepted : " none");
}

static bool read_cipher(const X509_ALGOR *alg, unsigned ciphers, enum cipher *out, struct view *iv,
                        struct err *err)
{
    const ASN1_OBJECT *oid;
    const void *value;
    int type;
    enum cipher c;
    X509_ALGOR_get0(&oid, &type, &value, alg);
    if (!cipher_by_nid(OBJ_obj2nid(oid), &c)) {
        char text[80];
        OBJ_obj2txt(text, sizeof text, oid, 1);
        return err_refuse(err, REASON_ALGORITHM_REFUSED, "cipher %s is not known", text);
    }
    if (!(ciphers & ALG_BIT(c)))
        return cipher_refused(c, ciphers, err);
    *iv = type == V_ASN1_OCTET_STRING ? frame_view(value) : view_of(NULL, 0);
    if (iv->n != cipher_block_size(c))
        return err_refuse(err, REASON_MESSAGE_MALFORMED, "%s needs an IV of %zu octets, not of %zu",
                          cipher_name(c), cipher_block_size(c), iv->n);
    *out = c;
    return true;
}

/* Asks for the cipher before a private key works for it: DES is only there with the legacy
 * provider. */
static bool cipher_start(enum cipher c, EVP_CIPHER_CTX **out, struct err *err)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    if (!ctx)
        return err_memory(err);
    if (!EVP_DecryptInit_ex2(ctx, cipher_evp(c), NULL, NULL, NULL)) {
        EVP_CIPHER_CTX_free(ctx);
        ERR_clear_error();
        return err_refuse(err, REASON_ALGORITHM_REFUSED,
                          "cipher %s is not available in this installation", cipher_name(c));
    }
    *out = ctx;
    return true;
}

/* ---- the key transport ---- */

static bool known_hash(const X509_ALGOR *alg, enum digest *out)
{
    return digest_by_nid(OBJ_obj2nid(alg->algorithm), out) && *out != DIGEST_MD5;
}

static bool read_mgf1(const X509_ALGOR *mask, enum digest *out)
{
    struct err ignored;
    const ASN1_TYPE *t = mask->parameter;
    if (OBJ_obj2nid(mask->algorithm) != NID_mgf1 || !t || t->type != V_ASN1_SEQUENCE)
        return false;
    X509_ALGOR *hash =
        (void *)frame_decode(frame_view(t->value.sequence), ASN1_ITEM_rptr(X509_ALGOR),
                             REASON_MESSAGE_MALFORMED, "MGF1's hash", &ignored);
    bool known = hash && known_hash(hash, out);
    X509_ALGOR_free(hash);
    return known;
}

/* A label is nobody's use; the default is the empty one. */
static bool has_label(const RSA_OAEP_PARAMS *p)
{
    const ASN1_TYPE *label = p->pSourceFunc ? p->pSourceFunc->parameter : NULL;
    return p->pSourceFunc && (!label || label->type != V_ASN1_OCTET_STRING ||
                              ASN1_STRING_length(label->value.octet_string) != 0);
}

/* RFC 4055 section 4.1: SHA-1 is the default of both hashes. */
static bool read_oaep(int type, const void *value, struct key_wrap *out, struct err *err)
{
    if (type == V_ASN1_UNDEF || type == V_ASN1_NULL)
        return true;
    RSA_OAEP_PARAMS *p =
        type == V_ASN1_SEQUENCE
            ? (void *)frame_decode(frame_view(value), ASN1_ITEM_rptr(RSA_OAEP_PARAMS),
                                   REASON_MESSAGE_MALFORMED, "the OAEP parameters", err)
            : NULL;
    if (!p)
        return err_refuse(err, REASON_MESSAGE_MALFORMED, "the OAEP parameters cannot be decoded");
    bool known = (!p->hashFunc || known_hash(p->hashFunc, &out->hash)) &&
                 (!p->maskGenFunc || read_mgf1(p->maskGenFunc, &out->mgf)) && !has_label(p);
    RSA_OAEP_PARAMS_free(p);
    return known || err_refuse(err, REASON_ALGORITHM_REFUSED,
                               "RSAES-OAEP with these parameters (a SHA, MGF1 with a SHA, no "
                               "label)");
}

static bool read_wrap(const X509_ALGOR *alg, struct key_wrap *out, struct err *err)
{
    const ASN1_OBJECT *oid;
    const void *value;
    int type;
    X509_ALGOR_get0(&oid, &type, &value, alg);
    *out = (struct key_wrap){PADDING_PKCS1, DIGEST_SHA1, DIGEST_SHA1};
    switch (OBJ_obj2nid(oid)) {
    case NID_rsaEncryption:
        return true;
    case NID_rsaesOaep:
        out->padding = PADDING_OAEP;
        return read_oaep(type, value, out, err);
    default: {
        char text[80];
        OBJ_obj2txt(text, sizeof text, oid, 1);
        return err_refuse(err, REASON_ALGORITHM_REFUSED, "key transport by %s", text);
    }
    }
}

/* Which key of ours is named, -1 for none. */
static int key_of(const struct cms_key_trans *kt, const struct scep_keys *keys)
{
    struct scep_recipient who = {.ski = frame_view(kt->ski)};
    if (kt->issuer_serial) {
        who.issuer = frame_view(kt->issuer_serial->issuer);
        who.serial = frame_view(kt->issuer_serial->serial);
    }
    return keys->find(keys->ctx, &who);
}

static void describe(const struct cms_key_trans *kt, char *out, size_t cap)
{
    char issuer[128] = "a key identifier", serial[64] = "";
    if (kt->issuer_serial) {
        name_der_text(frame_view(kt->issuer_serial->issuer), issuer, sizeof issuer);
        struct view v = frame_view(kt->issuer_serial->serial);
        if (2 * v.n < sizeof serial)
            hex_encode(v, serial);
    }
    snprintf(out, cap, "%s %s", issuer, serial);
}

/* Who may open it: a key of ours, or a password. */
struct recipient {
    int key;
    struct cms_key_trans *trans;   /* owned */
    struct cms_password *password; /* owned */
};

static void recipient_clear(struct recipient *r)
{
    ASN1_item_free((ASN1_VALUE *)r->trans, ASN1_ITEM_rptr(SCEPD_KEY_TRANS));
    ASN1_item_free((ASN1_VALUE *)r->password, ASN1_ITEM_rptr(SCEPD_PASSWORD));
}

static bool count_recipients(int n, bool one, struct err *err)
{
    if (one && n != 1)
        return err_refuse(err, REASON_MESSAGE_MALFORMED,
                          "%d recipients, exactly one is allowed at this endpoint", n);
    return n <= SCEP_MAX_RECIPIENTS ||
           err_refuse(err, REASON_MESSAGE_MALFORMED, "%d recipients, at most %d allowed", n,
                      SCEP_MAX_RECIPIENTS);
}

/* The first recipient that is one of ours.  Kinds that are neither KeyTransRecipientInfo nor
 * PasswordRecipientInfo are passed over: they are CHOICEs with tags of their own (RFC 5652 section
 * 6.2). */
static bool find_recipient(const struct cms_enveloped_data *e, const struct scep_keys *keys,
                           struct recipient *out, struct err *err)
{
    int n = sk_ASN1_TYPE_num(e->recipients);
    bool under_password = false;
    char other[200] = "no RSA recipient";
    for (int i = 0; i < n; i++) {
        const ASN1_TYPE *t = sk_ASN1_TYPE_value(e->recipients, i);
        if (t->type != V_ASN1_SEQUENCE) {
            if (!password_recipient_is(t))
                continue;
            if (keys->password.n) {
                out->password = password_recipient_read(t, err);
                return out->password != NULL;
            }
            under_password = true;
            continue;
        }
        struct cms_key_trans *kt =
            (void *)frame_decode(frame_view(t->value.sequence), ASN1_ITEM_rptr(SCEPD_KEY_TRANS),
                                 REASON_MESSAGE_MALFORMED, "a RecipientInfo", err);
        if (!kt)
            return false;
        bool named = kt->issuer_serial || kt->ski;
        out->key = named ? key_of(kt, keys) : -1;
        if (out->key >= 0) {
            out->trans = kt;
            return true;
        }
        describe(kt, other, sizeof other);
        ASN1_item_free((ASN1_VALUE *)kt, ASN1_ITEM_rptr(SCEPD_KEY_TRANS));
    }
    /* RFC 8894 section 3.1 has that for a CA whose key cannot decrypt: ours always can. */
    if (under_password)
        return err_refuse(err, REASON_MESSAGE_UNSUPPORTED,
                          "the envelope is under a password: encrypt it to the certificate that "
                          "GetCACert gives");
    return err_refuse(err, REASON_MESSAGE_NOT_FOR_US, "the envelope is for %s, not for us", other);
}

/* ---- the content ---- */

/* PKCS#7 padding without a branch on the plaintext: the size without it, or all of it. */
static size_t unpadded(const uint8_t *p, size_t n, size_t block, bool *intact)
{
    unsigned pad = p[n - 1];
    unsigned bad = (unsigned)(pad == 0) | (unsigned)(pad > block);
    for (size_t i = 0; i < block; i++)
        bad |= (unsigned)(i < pad) & (unsigned)(p[n - 1 - i] != pad);
    *intact = !bad;
    return n - (pad & (bad - 1u));
}

static bool decrypt_content(EVP_CIPHER_CTX *ctx, size_t block, const uint8_t *key, struct view iv,
                            struct view in, struct buf *out, bool *intact, struct err *err)
{
    int n = 0;
    if (!buf_reserve(out, in.n + block))
        return err_memory(err);
    if (!EVP_DecryptInit_ex2(ctx, NULL, key, iv.p, NULL) || !EVP_CIPHER_CTX_set_padding(ctx, 0) ||
        !EVP_DecryptUpdate(ctx, out->p, &n, in.p, (int)in.n) || (size_t)n != in.n) {
        ERR_clear_error();
        return err_set(err, ERR_CRYPTO, "the content cipher failed");
    }
    out->n = unpadded(out->p, in.n, block, intact);
    return true;
}

static bool open_with(struct scep_message *m, const struct recipient *r, enum cipher cipher,
                      struct view iv, struct view content, const struct scep_keys *keys,
                      bool *intact, struct err *err)
{
    struct key_wrap wrap = {PADDING_PKCS1, DIGEST_SHA1, DIGEST_SHA1};
    EVP_CIPHER_CTX *ctx = NULL;
    uint8_t content_key[EVP_MAX_KEY_LENGTH];
    size_t key_size = cipher_key_size(cipher), block = cipher_block_size(cipher);
    if ((r->trans && !read_wrap(r->trans->algorithm, &wrap, err)) ||
        !cipher_start(cipher, &ctx, err))
        return false;
    m->cipher = cipher;
    m->padding = wrap.padding;
    m->key = r->key;
    buf_wipe(&m->plain);
    bool ok = (r->password ? password_recipient_open(r->password, keys->password, content_key,
                                                     key_size, err)
                           : keys->decrypt(keys->ctx, r->key, wrap, frame_view(r->trans->key),
                                           content_key, key_size, err)) &&
              decrypt_content(ctx, block, content_key, iv, content, &m->plain, intact, err);
    OPENSSL_cleanse(content_key, sizeof content_key);
    EVP_CIPHER_CTX_free(ctx);
    return ok;
}

bool envelope_open(struct scep_message *m, const struct scep_rules *rules,
                   const struct scep_keys *keys, bool *intact, struct err *err)
{
    /* RFC 8894 section 3.1: what a request says is never sent unencrypted. */
    if (m->content.n == 0)
        return err_refuse(err, REASON_MESSAGE_MALFORMED, "the message has no envelope");
    struct cms_enveloped_data *e =
        (void *)cms_decode(buf_view(&m->content), NID_pkcs7_enveloped,
                           ASN1_ITEM_rptr(SCEPD_ENVELOPED_DATA), "the EnvelopedData", err);
    if (!e)
        return false;
    struct recipient who = {.key = -1};
    enum cipher cipher = CIPHER_AES128;
    struct view iv = {0}, content = frame_view(e->encrypted->content);
    bool ok = read_cipher(e->encrypted->cipher, rules->ciphers, &cipher, &iv, err);
    /* RFC 8894 section 3.2.2 */
    if (ok && OBJ_obj2nid(e->encrypted->type) != NID_pkcs7_data)
        ok = err_refuse(err, REASON_MESSAGE_MALFORMED, "the encrypted content is not id-data");
    if (ok && (content.n == 0 || content.n % cipher_block_size(cipher) != 0))
        ok = err_refuse(err, REASON_MESSAGE_MALFORMED,
                        "the encrypted content has %zu octets, not whole blocks of %zu", content.n,
                        cipher_block_size(cipher));
    ok = ok && count_recipients(sk_ASN1_TYPE_num(e->recipients), rules->one_recipient, err) &&
         find_recipient(e, keys, &who, err) &&
         open_with(m, &who, cipher, iv, content, keys, intact, err);
    recipient_clear(&who);
    ASN1_item_free((ASN1_VALUE *)e, ASN1_ITEM_rptr(SCEPD_ENVELOPED_DATA));
    return ok;
}
