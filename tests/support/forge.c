#include "forge.h"

#include <check.h>

#include <openssl/asn1.h>
#include <openssl/objects.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>

/* ---- SignedData ---- */

void forge_attr_add(struct forge *f, const char *oid, unsigned tag, struct view value)
{
    ck_assert_uint_lt(f->attrs, sizeof f->attr / sizeof f->attr[0]);
    f->attr[f->attrs++] = (struct forge_attr){oid, tag, value, 1};
}

struct forge_attr *forge_attr_find(struct forge *f, const char *oid)
{
    for (size_t i = 0; i < f->attrs; i++)
        if (strcmp(f->attr[i].oid, oid) == 0)
            return &f->attr[i];
    ck_abort_msg("no attribute %s", oid);
    return NULL;
}

void forge_attr_drop(struct forge *f, const char *oid)
{
    struct forge_attr *a = forge_attr_find(f, oid);
    *a = f->attr[--f->attrs];
}

void forge_init(struct forge *f, EVP_PKEY *key, X509 *cert, struct view content)
{
    *f = (struct forge){.key = key,
                        .cert = cert,
                        .content = content,
                        .outer_oid = OID_SIGNED,
                        .content_oid = OID_DATA,
                        .content_type_value = OID_DATA,
                        .md = EVP_sha256(),
                        .signers = 1};
    forge_attr_add(f, OID_MESSAGE_TYPE, DER_PRINTABLE_STRING, view_str("19"));
    forge_attr_add(f, OID_TRANSACTION_ID, DER_PRINTABLE_STRING, view_str("A1B2 +/="));
    forge_attr_add(f, OID_SENDER_NONCE, DER_OCTET_STRING, view_str("0123456789abcdef"));
}

static void write_attr(struct der *w, const struct forge_attr *a, bool in_pieces)
{
    size_t mark = der_mark(w);
    for (unsigned i = 0; i < a->values; i++) {
        size_t value = der_mark(w);
        der_tlv(w, a->tag, a->value);
        if (in_pieces && a->tag == DER_OCTET_STRING)
            der_wrap(w, DER_OCTET_STRING | 0x20, value);
    }
    der_wrap(w, DER_SET, mark);
    der_oid_text(w, a->oid);
    der_wrap(w, DER_SEQUENCE, mark);
}

static struct buf taken(struct der *w)
{
    struct err err = {0};
    struct buf b = {0};
    ck_assert_msg(der_take(w, &b, &err), "%s", err.text);
    return b;
}

static struct buf oid_content(const char *dotted)
{
    struct buf b = {0};
    ASN1_OBJECT *o = OBJ_txt2obj(dotted, 1);
    ck_assert(o && buf_append(&b, OBJ_get0_data(o), OBJ_length(o)));
    ASN1_OBJECT_free(o);
    return b;
}

/* As a SET. */
static struct buf attributes(const struct forge *f, bool in_pieces)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned n;
    struct der w;
    struct buf type = {0};
    ck_assert(EVP_Digest(f->content.p, f->no_content ? 0 : f->content.n, digest, &n, f->md, NULL));
    digest[0] ^= f->bad_digest;
    der_init(&w, 1024);
    size_t mark = der_mark(&w);
    for (size_t i = f->attrs; i > 0; i--)
        write_attr(&w, &f->attr[i - 1], in_pieces);
    if (!f->no_message_digest)
        write_attr(
            &w, &(struct forge_attr){OID_MESSAGE_DIGEST, DER_OCTET_STRING, view_of(digest, n), 1},
            in_pieces);
    if (f->content_type_value) {
        type = oid_content(f->content_type_value);
        write_attr(&w, &(struct forge_attr){OID_CONTENT_TYPE, DER_OID, buf_view(&type), 1},
                   in_pieces);
        buf_clear(&type);
    }
    if (f->unsorted)
        der_wrap(&w, DER_SET, mark);
    else
        der_wrap_set_of(&w, mark);
    return taken(&w);
}

static struct buf signature(const struct forge *f, struct view data)
{
    struct buf s = {0};
    size_t n = 0;
    EVP_PKEY_CTX *pc = NULL;
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    ck_assert(c && EVP_DigestSignInit(c, &pc, f->md, NULL, f->key) > 0);
    if (f->pss)
        ck_assert(EVP_PKEY_CTX_set_rsa_padding(pc, RSA_PKCS1_PSS_PADDING) > 0 &&
                  EVP_PKEY_CTX_set_rsa_pss_saltlen(pc, 32) > 0);
    ck_assert(EVP_DigestSign(c, NULL, &n, data.p, data.n) > 0 && buf_reserve(&s, n));
    ck_assert(EVP_DigestSign(c, s.p, &n, data.p, data.n) > 0);
    s.n = n;
    s.p[n - 1] ^= f->bad_signature;
    EVP_MD_CTX_free(c);
    return s;
}

static void write_issuer_serial(struct der *w, X509 *cert)
{
    uint8_t *issuer = NULL, *serial = NULL;
    size_t mark = der_mark(w);
    int n = i2d_X509_NAME(X509_get_issuer_name(cert), &issuer);
    int s = i2d_ASN1_INTEGER(X509_get_serialNumber(cert), &serial);
    der_raw(w, view_of(serial, (size_t)s));
    der_raw(w, view_of(issuer, (size_t)n));
    der_wrap(w, DER_SEQUENCE, mark);
    OPENSSL_free(issuer);
    OPENSSL_free(serial);
}

static void write_ski(struct der *w, X509 *cert)
{
    const ASN1_OCTET_STRING *ski = X509_get0_subject_key_id(cert);
    ck_assert_ptr_nonnull(ski);
    der_tlv(w, DER_CONTEXT(0),
            view_of(ASN1_STRING_get0_data(ski), (size_t)ASN1_STRING_length(ski)));
}

static void write_alg(struct der *w, const char *oid)
{
    size_t mark = der_mark(w);
    der_tlv(w, DER_NULL, view_of(NULL, 0));
    der_oid_text(w, oid);
    der_wrap(w, DER_SEQUENCE, mark);
}

static void write_digest_alg(struct der *w, const struct forge *f)
{
    enum digest d;
    if (f->digest_alg.n) {
        der_raw(w, f->digest_alg);
        return;
    }
    ck_assert(digest_by_nid(EVP_MD_get_type(f->md), &d));
    der_raw(w, digest_alg_der(d));
}

static void write_signed_attributes(struct der *w, const struct forge *f, struct buf *set)
{
    if (f->no_attributes)
        return;
    if (!f->ber_attributes) {
        set->p[0] = DER_CONTEXT_CONSTRUCTED(0);
        der_raw(w, buf_view(set));
        return;
    }
    const uint8_t *p = set->p;
    long length;
    int tag, class;
    ASN1_get_object(&p, &length, &tag, &class, (long)set->n);
    der_raw(w, view_of("\0\0", 2));
    der_raw(w, view_of(p, (size_t)length));
    der_raw(w, view_of("\xa0\x80", 2));
}

static void write_signer_info(struct der *w, const struct forge *f)
{
    struct buf set = attributes(f, false), sig = signature(f, buf_view(&set));
    if (f->in_pieces) {
        buf_clear(&set);
        set = attributes(f, true);
    }
    size_t mark = der_mark(w);
    der_tlv(w, DER_OCTET_STRING, buf_view(&sig));
    if (f->signature_alg.n)
        der_raw(w, f->signature_alg);
    else
        write_alg(w, "1.2.840.113549.1.1.1");
    write_signed_attributes(w, f, &set);
    write_digest_alg(w, f);
    if (f->by_ski)
        write_ski(w, f->cert);
    else if (!f->no_sid)
        write_issuer_serial(w, f->cert);
    der_small(w, f->by_ski ? 3 : 1);
    der_wrap(w, DER_SEQUENCE, mark);
    buf_clear(&set);
    buf_clear(&sig);
}

static void write_certs(struct der *w, const struct forge *f)
{
    uint8_t *der = NULL;
    if (f->no_certs)
        return;
    size_t mark = der_mark(w);
    int n = i2d_X509(f->cert, &der);
    der_raw(w, view_of(der, (size_t)n));
    OPENSSL_free(der);
    der_raw(w, f->other_cert);
    for (unsigned i = 0; i < f->others; i++)
        der_tlv(w, DER_SEQUENCE, view_of(NULL, 0));
    der_wrap(w, DER_CONTEXT_CONSTRUCTED(0), mark);
}

struct buf forge_build(const struct forge *f)
{
    struct der w;
    der_init(&w, 8192);
    size_t all = der_mark(&w), mark;
    for (unsigned i = 0; i < f->signers; i++)
        write_signer_info(&w, f);
    der_wrap(&w, DER_SET, all);
    write_certs(&w, f);
    mark = der_mark(&w);
    if (!f->no_content) {
        der_tlv(&w, DER_OCTET_STRING, f->content);
        der_wrap(&w, DER_CONTEXT_CONSTRUCTED(0), mark);
    }
    der_oid_text(&w, f->content_oid);
    der_wrap(&w, DER_SEQUENCE, mark);
    mark = der_mark(&w);
    write_digest_alg(&w, f);
    der_wrap(&w, DER_SET, mark);
    der_small(&w, 1);
    der_wrap(&w, DER_SEQUENCE, all);
    der_wrap(&w, DER_CONTEXT_CONSTRUCTED(0), all);
    der_oid_text(&w, f->outer_oid);
    der_wrap(&w, DER_SEQUENCE, all);
    return taken(&w);
}

/* ---- EnvelopedData ---- */

void forge_envelope_init(struct forge_envelope *e, X509 *recipient, struct view plain)
{
    *e = (struct forge_envelope){.recipient = recipient,
                                 .plain = plain,
                                 .cipher = EVP_aes_128_cbc(),
                                 .content_oid = OID_DATA,
                                 .key_oid = "1.2.840.113549.1.1.1",
                                 .key_params = view_of("\x05\x00", 2)};
}

/* With padding of our own, so that it can be wrong. */
static struct buf encrypt(const struct forge_envelope *e, const uint8_t *key, const uint8_t *iv)
{
    size_t block = (size_t)EVP_CIPHER_get_block_size(e->cipher);
    size_t pad = block - e->plain.n % block;
    struct buf padded = {0}, out = {0};
    int n = 0, last = 0;
    ck_assert(buf_append(&padded, e->plain.p, e->plain.n));
    for (size_t i = 0; i < pad; i++)
        ck_assert(buf_append(&padded, &(uint8_t){(uint8_t)pad}, 1));
    if (e->bad_padding)
        padded.p[padded.n - 1] = (uint8_t)(block + 1);
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    ck_assert(c && buf_reserve(&out, padded.n + block));
    ck_assert(EVP_EncryptInit_ex2(c, e->cipher, key, iv, NULL) && EVP_CIPHER_CTX_set_padding(c, 0));
    ck_assert(EVP_EncryptUpdate(c, out.p, &n, padded.p, (int)padded.n) &&
              EVP_EncryptFinal_ex(c, out.p + n, &last));
    out.n = (size_t)(n + last) - (e->cut_block ? 1 : 0);
    EVP_CIPHER_CTX_free(c);
    buf_clear(&padded);
    return out;
}

static struct buf encrypt_key(const struct forge_envelope *e, const uint8_t *key, size_t key_n)
{
    struct buf out = {0};
    size_t n = 1024;
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(X509_get0_pubkey(e->recipient), NULL);
    ck_assert(c && EVP_PKEY_encrypt_init(c) > 0 && buf_reserve(&out, n));
    ck_assert(EVP_PKEY_CTX_set_rsa_padding(c, e->oaep_hash ? RSA_PKCS1_OAEP_PADDING
                                                           : RSA_PKCS1_PADDING) > 0);
    if (e->oaep_hash)
        ck_assert(EVP_PKEY_CTX_set_rsa_oaep_md_name(c, e->oaep_hash, NULL) > 0 &&
                  EVP_PKEY_CTX_set_rsa_mgf1_md_name(c, e->oaep_mgf, NULL) > 0);
    ck_assert(EVP_PKEY_encrypt(c, out.p, &n, key, key_n) > 0);
    out.n = n;
    if (e->bad_key_padding)
        out.p[n - 1] ^= 1;
    EVP_PKEY_CTX_free(c);
    return out;
}

static void write_recipient(struct der *w, const struct forge_envelope *e, struct view key,
                            bool known)
{
    size_t all = der_mark(w), mark = all;
    der_tlv(w, DER_OCTET_STRING, key);
    mark = der_mark(w);
    der_raw(w, e->key_params);
    der_oid_text(w, e->key_oid);
    der_wrap(w, DER_SEQUENCE, mark);
    mark = der_mark(w);
    if (!known) {
        der_small(w, 1);
        der_tlv(w, DER_SEQUENCE, view_of(NULL, 0));
        der_wrap(w, DER_SEQUENCE, mark);
    } else if (e->by_ski) {
        write_ski(w, e->recipient);
    } else if (!e->no_rid) {
        write_issuer_serial(w, e->recipient);
    }
    der_small(w, e->by_ski ? 2 : 0);
    der_wrap(w, DER_SEQUENCE, all);
}

static void write_content(struct der *w, const struct forge_envelope *e, struct view content)
{
    if (e->no_content)
        return;
    if (!e->pieces) {
        der_tlv(w, DER_CONTEXT(0), content);
        return;
    }
    size_t mark = der_mark(w), half = content.n / 2;
    der_tlv(w, DER_OCTET_STRING, view_of(content.p + half, content.n - half));
    der_tlv(w, DER_OCTET_STRING, view_of(content.p, half));
    der_wrap(w, DER_CONTEXT_CONSTRUCTED(0), mark);
}

struct buf forge_envelope_build(const struct forge_envelope *e)
{
    uint8_t key[EVP_MAX_KEY_LENGTH], iv[64];
    size_t key_n = (size_t)EVP_CIPHER_get_key_length(e->cipher);
    size_t iv_n = e->iv_n ? e->iv_n : (size_t)EVP_CIPHER_get_iv_length(e->cipher);
    ck_assert(RAND_bytes(key, sizeof key) == 1 && RAND_bytes(iv, sizeof iv) == 1);
    struct buf content = encrypt(e, key, iv);
    if (e->other_key)
        key[0] ^= 1;
    struct buf wrapped = encrypt_key(e, key, e->sent_key_n ? e->sent_key_n : key_n);
    struct der w;
    der_init(&w, 8192);
    size_t all = der_mark(&w), mark;
    write_content(&w, e, buf_view(&content));
    mark = der_mark(&w);
    der_tlv(&w, DER_OCTET_STRING, view_of(iv, iv_n));
    if (e->cipher_oid)
        der_oid_text(&w, e->cipher_oid);
    else
        der_oid_nid(&w, EVP_CIPHER_get_nid(e->cipher));
    der_wrap(&w, DER_SEQUENCE, mark);
    der_oid_text(&w, e->content_oid);
    der_wrap(&w, DER_SEQUENCE, all);
    mark = der_mark(&w);
    write_recipient(&w, e, buf_view(&wrapped), true);
    for (unsigned i = 0; i < e->others; i++)
        write_recipient(&w, e, buf_view(&wrapped), false);
    if (e->other_kinds) {
        der_tlv(&w, DER_CONTEXT_CONSTRUCTED(3), view_of("\x02\x01\x00", 3));
        der_tlv(&w, DER_CONTEXT_CONSTRUCTED(1), view_of("\x02\x01\x03", 3));
    }
    der_wrap(&w, DER_SET, mark);
    der_small(&w, 0);
    der_wrap(&w, DER_SEQUENCE, all);
    der_wrap(&w, DER_CONTEXT_CONSTRUCTED(0), all);
    der_oid_text(&w, OID_ENVELOPED);
    der_wrap(&w, DER_SEQUENCE, all);
    buf_clear(&content);
    buf_clear(&wrapped);
    return taken(&w);
}

/* ---- BER ---- */

static void put(struct buf *out, const void *p, size_t n)
{
    ck_assert(buf_append(out, p, n));
}

static void octets_in_pieces(struct view content, struct buf *out)
{
    put(out, "\x24\x80", 2);
    for (size_t at = 0; at < content.n; at += 100) {
        size_t n = content.n - at < 100 ? content.n - at : 100;
        put(out, &(uint8_t[]){DER_OCTET_STRING, (uint8_t)n}, 2);
        put(out, content.p + at, n);
    }
    put(out, "\0\0", 2);
}

/* `path` counts the levels; SignedData's certificates are the [0] three levels down. */
static void to_ber(struct view in, int depth, struct buf *out)
{
    const uint8_t *p = in.p, *end = in.p + in.n;
    while (p < end) {
        const uint8_t *start = p;
        long length;
        int tag, class;
        int form = ASN1_get_object(&p, &length, &tag, &class, end - p);
        ck_assert(!(form & 0x80));
        struct view content = view_of(p, (size_t)length);
        p += length;
        bool certs = depth == 3 && start[0] == DER_CONTEXT_CONSTRUCTED(0);
        if (start[0] == DER_OCTET_STRING) {
            octets_in_pieces(content, out);
        } else if (!(form & V_ASN1_CONSTRUCTED) || certs) {
            put(out, start, (size_t)(p - start));
        } else {
            put(out, start, 1);
            put(out, "\x80", 1);
            to_ber(content, depth + 1, out);
            put(out, "\0\0", 2);
        }
    }
}

struct buf forge_ber(struct view der)
{
    struct buf out = {0};
    to_ber(der, 0, &out);
    return out;
}
