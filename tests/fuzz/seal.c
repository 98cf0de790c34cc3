/* For RAND_set_rand_method: what has replaced it needs a provider of one's own. */
#undef OPENSSL_NO_DEPRECATED
#define OPENSSL_SUPPRESS_DEPRECATED
#include "seal.h"

#include <stdio.h>
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/pem.h>
#include <openssl/provider.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>

#define SEQUENCE 0x30
#define SET 0x31
#define CONTEXT_0 0xa0

/* ---- the same each time ---- */

/* Keys, nonces of ECDSA, salts, paddings: what is random elsewhere comes in the same order in every
 * run here, so that a walk over inputs can be repeated. */
static struct random drawn;

static int draw(unsigned char *out, int n)
{
    for (int i = 0; i < n; i++)
        out[i] = (uint8_t)random_below(&drawn, 256);
    return 1;
}

static int drawable(void)
{
    return 1;
}

static void draw_the_same_each_time(void)
{
    static const RAND_METHOD method = {.bytes = draw, .pseudorand = draw, .status = drawable};
    drawn = random_from(1);
    RAND_set_rand_method(&method);
}

/* ---- keys ---- */

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "%s\n", what);
    abort();
}

static FILE *vector(const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", FUZZ_VECTORS, name);
    FILE *f = fopen(path, "r");
    must(f != NULL, path);
    return f;
}

static void spki_of(EVP_PKEY *key, struct buf *out)
{
    uint8_t *der = NULL;
    int n = i2d_PUBKEY(key, &der);
    must(n > 0 && buf_append(out, der, (size_t)n), "SubjectPublicKeyInfo");
    OPENSSL_free(der);
}

const struct seal *seal_get(void)
{
    static struct seal s;
    if (s.rsa)
        return &s;
    /* What is kept stays reachable to the end, so that only real leaks are told. */
    OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL);
    draw_the_same_each_time();
    /* Both by name: the legacy one draws DES keys with the default one's random numbers, for
     * CMS_decrypt. */
    must(OSSL_PROVIDER_load(NULL, "default") && OSSL_PROVIDER_load(NULL, "legacy"),
         "OpenSSL's legacy provider");
    FILE *f = vector("clients/ca.key");
    s.rsa = PEM_read_PrivateKey(f, NULL, NULL, NULL);
    fclose(f);
    f = vector("clients/ca.pem");
    s.cert = PEM_read_X509(f, NULL, NULL, NULL);
    fclose(f);
    s.ec = EVP_EC_gen("P-256");
    must(s.rsa && s.cert && s.ec, "keys");
    spki_of(s.rsa, &s.rsa_spki);
    spki_of(s.ec, &s.ec_spki);
    return &s;
}

/* ---- reading algorithms ---- */

static int nid_of(const struct tree *oid)
{
    struct buf tlv = {0};
    if (!tree_is(oid, 0x06))
        return NID_undef;
    tree_write(oid, true, &tlv);
    const uint8_t *p = tlv.p;
    ASN1_OBJECT *o = d2i_ASN1_OBJECT(NULL, &p, (long)tlv.n);
    int nid = o ? OBJ_obj2nid(o) : NID_undef;
    ASN1_OBJECT_free(o);
    ERR_clear_error();
    buf_clear(&tlv);
    return nid;
}

static const EVP_MD *md_by_nid(int nid)
{
    switch (nid) {
    case NID_md5:
        return EVP_md5();
    case NID_sha1:
        return EVP_sha1();
    case NID_sha224:
        return EVP_sha224();
    case NID_sha384:
        return EVP_sha384();
    case NID_sha512:
        return EVP_sha512();
    default:
        return EVP_sha256();
    }
}

static const EVP_CIPHER *cipher_by_nid(int nid)
{
    switch (nid) {
    case NID_des_cbc:
        return EVP_des_cbc();
    case NID_des_ede3_cbc:
        return EVP_des_ede3_cbc();
    case NID_aes_128_cbc:
        return EVP_aes_128_cbc();
    case NID_aes_192_cbc:
        return EVP_aes_192_cbc();
    case NID_aes_256_cbc:
        return EVP_aes_256_cbc();
    default:
        return NULL;
    }
}

/* The first OID in it that is a digest, SHA-1 otherwise (the default of PSS and OAEP). */
static const EVP_MD *digest_inside(const struct tree *t)
{
    for (size_t i = 0; t && i < tree_count(t); i++) {
        int nid = nid_of(tree_nth((struct tree *)(uintptr_t)t, i));
        if (nid == NID_md5 || nid == NID_sha1 || nid == NID_sha224 || nid == NID_sha256 ||
            nid == NID_sha384 || nid == NID_sha512)
            return md_by_nid(nid);
    }
    return EVP_sha1();
}

/* ---- signing ---- */

static int salt_of(const struct tree *params)
{
    for (size_t i = 0; params && i < params->n; i++) {
        const struct tree *number = tree_child(params->child[i], 0);
        if (tree_is(params->child[i], 0xa2) && tree_is(number, 0x02) && number->content.n == 1)
            return number->content.p[0] & 0x7f;
    }
    return 20;
}

/* Which key an algorithm asks for. */
static bool wants_ec(const struct tree *algorithm)
{
    int md, key;
    return OBJ_find_sigid_algs(nid_of(tree_child(algorithm, 0)), &md, &key) &&
           key == NID_X9_62_id_ecPublicKey;
}

static bool sign(const struct seal *s, const struct tree *algorithm, const EVP_MD *if_bare,
                 struct view data, struct buf *out)
{
    int md_nid = NID_undef, key_nid = NID_undef, nid = nid_of(tree_child(algorithm, 0));
    OBJ_find_sigid_algs(nid, &md_nid, &key_nid);
    bool pss = nid == NID_rsassaPss;
    const EVP_MD *md = pss                   ? digest_inside(tree_child(algorithm, 1))
                       : md_nid != NID_undef ? md_by_nid(md_nid)
                                             : if_bare;
    EVP_PKEY_CTX *pc = NULL;
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    size_t n = 0;
    bool ok = c && EVP_DigestSignInit(c, &pc, md, NULL, wants_ec(algorithm) ? s->ec : s->rsa) > 0;
    if (ok && pss)
        ok = EVP_PKEY_CTX_set_rsa_padding(pc, RSA_PKCS1_PSS_PADDING) > 0 &&
             EVP_PKEY_CTX_set_rsa_pss_saltlen(pc, salt_of(tree_child(algorithm, 1))) > 0;
    ok = ok && EVP_DigestSign(c, NULL, &n, data.p, data.n) > 0 && buf_reserve(out, n) &&
         EVP_DigestSign(c, out->p, &n, data.p, data.n) > 0;
    out->n = ok ? n : 0;
    EVP_MD_CTX_free(c);
    ERR_clear_error();
    return ok;
}

static struct tree *spki_for(const struct seal *s, const struct tree *algorithm)
{
    const struct buf *der = wants_ec(algorithm) ? &s->ec_spki : &s->rsa_spki;
    struct tree *t = tree_read(buf_view(der));
    must(t != NULL, "SubjectPublicKeyInfo");
    return t;
}

/* Of a signed structure of X.509: what is signed, algorithm, BIT STRING.  `key_at`: where the key
 * stands, or as many. */
static void sign_again(const struct seal *s, struct tree *t, size_t key_at)
{
    struct tree *tbs = tree_child(t, 0), *algorithm = tree_child(t, 1), *bits = tree_child(t, 2);
    struct buf der = {0}, signature = {0}, octets = {0};
    if (!tbs || !algorithm || !bits || !tree_is(tbs, SEQUENCE))
        return;
    if (key_at < tbs->n)
        tree_replace(tbs, key_at, spki_for(s, algorithm));
    tree_write(tbs, false, &der);
    if (sign(s, algorithm, EVP_sha256(), buf_view(&der), &signature) &&
        buf_append(&octets, "", 1) && buf_append(&octets, signature.p, signature.n))
        tree_set_octets(bits, buf_view(&octets));
    buf_clear(&der);
    buf_clear(&signature);
    buf_clear(&octets);
}

static size_t key_place_of_certificate(const struct tree *t)
{
    return tree_is(tree_child(tree_child(t, 0), 0), CONTEXT_0) ? 6 : 5;
}

static bool write_and_free(struct tree *t, struct buf *out)
{
    tree_write(t, false, out);
    tree_free(t);
    return true;
}

bool seal_csr(const struct seal *s, struct view in, struct random *r, struct buf *out)
{
    struct tree *t = tree_read(in);
    if (!t)
        return false;
    tree_mutate(t, r);
    if (!random_one_in(r, 10))
        sign_again(s, t, random_one_in(r, 5) ? 99 : 2);
    return write_and_free(t, out);
}

bool seal_certificate(const struct seal *s, struct view in, struct random *r, struct buf *out)
{
    struct tree *t = tree_read(in);
    if (!t)
        return false;
    tree_mutate(t, r);
    if (!random_one_in(r, 10))
        sign_again(s, t, random_one_in(r, 5) ? 99 : key_place_of_certificate(t));
    return write_and_free(t, out);
}

/* ---- the envelope ---- */

struct envelope {
    struct tree *all;                           /* owned */
    struct tree *algorithm, *content, *wrapped; /* in it */
    struct tree *wrap;                          /* the algorithm of the wrapped key */
    uint8_t key[EVP_MAX_KEY_LENGTH];
    size_t key_n;
    struct buf plain;
};

/* EnvelopedData: version, [originator], recipients, content. */
static bool envelope_find(struct envelope *e)
{
    const struct tree *data = tree_child(tree_child(e->all, 1), 0);
    const struct tree *recipients = NULL;
    e->algorithm = e->content = e->wrapped = e->wrap = NULL;
    for (size_t i = 0; data && i < data->n; i++) {
        if (tree_is(data->child[i], SET) && !recipients)
            recipients = data->child[i];
        if (tree_is(data->child[i], SEQUENCE)) {
            e->algorithm = tree_child(data->child[i], 1);
            e->content = tree_child(data->child[i], 2);
        }
    }
    for (size_t i = 0; recipients && i < recipients->n; i++)
        if (tree_is(recipients->child[i], SEQUENCE)) {
            e->wrap = tree_child(recipients->child[i], 2);
            e->wrapped = tree_child(recipients->child[i], 3);
        }
    return e->algorithm && e->content && e->wrapped && e->wrap;
}

static EVP_PKEY_CTX *wrap_start(const struct seal *s, const struct envelope *e, bool encrypt)
{
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(s->rsa, NULL);
    bool oaep = nid_of(tree_child(e->wrap, 0)) == NID_rsaesOaep;
    const struct tree *params = tree_child(e->wrap, 1);
    const struct tree *mgf = NULL, *hash = NULL;
    for (size_t i = 0; oaep && params && i < params->n; i++) {
        hash = tree_is(params->child[i], 0xa0) ? params->child[i] : hash;
        mgf = tree_is(params->child[i], 0xa1) ? params->child[i] : mgf;
    }
    if (c && (encrypt ? EVP_PKEY_encrypt_init(c) : EVP_PKEY_decrypt_init(c)) > 0 &&
        EVP_PKEY_CTX_set_rsa_padding(c, oaep ? RSA_PKCS1_OAEP_PADDING : RSA_PKCS1_PADDING) > 0 &&
        (!oaep || (EVP_PKEY_CTX_set_rsa_oaep_md(c, digest_inside(hash)) > 0 &&
                   EVP_PKEY_CTX_set_rsa_mgf1_md(c, digest_inside(mgf)) > 0)))
        return c;
    EVP_PKEY_CTX_free(c);
    return NULL;
}

static bool crypt(const EVP_CIPHER *cipher, const uint8_t *key, struct view iv, int encrypt,
                  struct view in, struct buf *out)
{
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    int n = 0, last = 0;
    bool ok = c && iv.n == (size_t)EVP_CIPHER_get_iv_length(cipher) &&
              buf_reserve(out, in.n + 32) &&
              EVP_CipherInit_ex2(c, cipher, key, iv.p, encrypt, NULL) &&
              EVP_CipherUpdate(c, out->p, &n, in.p, (int)in.n) &&
              EVP_CipherFinal_ex(c, out->p + n, &last);
    out->n = ok ? (size_t)(n + last) : 0;
    EVP_CIPHER_CTX_free(c);
    ERR_clear_error();
    return ok;
}

static bool envelope_read(const struct seal *s, struct view in, struct envelope *e)
{
    struct buf wrapped = {0}, content = {0}, iv = {0};
    uint8_t key[512];
    size_t n = sizeof key;
    *e = (struct envelope){.all = tree_read(in)};
    bool ok = e->all && envelope_find(e);
    const EVP_CIPHER *cipher = ok ? cipher_by_nid(nid_of(tree_child(e->algorithm, 0))) : NULL;
    EVP_PKEY_CTX *c = ok ? wrap_start(s, e, false) : NULL;
    if (ok) {
        tree_octets(e->wrapped, &wrapped);
        tree_octets(e->content, &content);
        if (tree_child(e->algorithm, 1))
            tree_octets(tree_child(e->algorithm, 1), &iv);
    }
    ok = c && cipher && EVP_PKEY_decrypt(c, key, &n, wrapped.p, wrapped.n) > 0 &&
         n <= sizeof e->key && n == (size_t)EVP_CIPHER_get_key_length(cipher) &&
         crypt(cipher, key, buf_view(&iv), 0, buf_view(&content), &e->plain);
    if (ok) {
        memcpy(e->key, key, n);
        e->key_n = n;
    }
    EVP_PKEY_CTX_free(c);
    ERR_clear_error();
    buf_clear(&wrapped);
    buf_clear(&content);
    buf_clear(&iv);
    return ok;
}

/* With the algorithms that stand there now; a content key of another size is drawn and wrapped. */
static void envelope_write(const struct seal *s, struct envelope *e, struct random *r)
{
    struct buf iv = {0}, content = {0};
    uint8_t wrapped[512];
    size_t n = sizeof wrapped;
    if (!envelope_find(e))
        return;
    const EVP_CIPHER *cipher = cipher_by_nid(nid_of(tree_child(e->algorithm, 0)));
    EVP_PKEY_CTX *c = cipher ? wrap_start(s, e, true) : NULL;
    if (!c)
        return;
    size_t key_n = (size_t)EVP_CIPHER_get_key_length(cipher);
    for (size_t i = e->key_n; i < key_n; i++)
        e->key[i] = (uint8_t)random_below(r, 256);
    if (EVP_PKEY_encrypt(c, wrapped, &n, e->key, key_n) > 0)
        tree_set_octets(e->wrapped, view_of(wrapped, n));
    if (tree_child(e->algorithm, 1))
        tree_octets(tree_child(e->algorithm, 1), &iv);
    if (crypt(cipher, e->key, buf_view(&iv), 1, buf_view(&e->plain), &content))
        tree_set_octets(e->content, buf_view(&content));
    EVP_PKEY_CTX_free(c);
    ERR_clear_error();
    buf_clear(&iv);
    buf_clear(&content);
}

static void change_plain(const struct seal *s, struct envelope *e, struct random *r)
{
    struct buf changed = {0};
    if (random_one_in(r, 20))
        octets_mutate(&e->plain, r);
    else if (seal_csr(s, buf_view(&e->plain), r, &changed)) {
        buf_clear(&e->plain);
        e->plain = changed;
    }
}

/* What the SignedData carries: usually an EnvelopedData to the one key. */
static void change_content(const struct seal *s, struct tree *content, struct random *r)
{
    struct buf octets = {0}, changed = {0};
    struct envelope e;
    tree_octets(content, &octets);
    if (envelope_read(s, buf_view(&octets), &e)) {
        unsigned what = random_below(r, 4);
        if (what != 0)
            change_plain(s, &e, r);
        if (what < 2)
            tree_mutate(e.all, r);
        if (!random_one_in(r, 10))
            envelope_write(s, &e, r);
        tree_write(e.all, false, &changed);
        tree_set_octets(content, buf_view(&changed));
    } else if (e.all) {
        tree_mutate(e.all, r);
        tree_write(e.all, false, &changed);
        tree_set_octets(content, buf_view(&changed));
    }
    buf_clear(&e.plain);
    tree_free(e.all);
    buf_clear(&octets);
    buf_clear(&changed);
}

/* ---- the SignedData ---- */

static struct tree *signed_data(const struct tree *t)
{
    return tree_child(tree_child(t, 1), 0);
}

static struct tree *encapsulated_content(const struct tree *data)
{
    return tree_child(tree_child(tree_child(data, 2), 1), 0);
}

static void own_certificates(const struct seal *s, const struct tree *data,
                             const struct tree *algorithm)
{
    const struct tree *certificates = NULL;
    for (size_t i = 3; data && i < data->n && !certificates; i++)
        certificates = tree_is(data->child[i], CONTEXT_0) ? data->child[i] : NULL;
    for (size_t i = 0; certificates && i < certificates->n; i++) {
        struct tree *tbs = tree_child(certificates->child[i], 0);
        size_t at = key_place_of_certificate(certificates->child[i]);
        if (tree_is(tbs, SEQUENCE) && at < tbs->n)
            tree_replace(tbs, at, spki_for(s, algorithm));
    }
}

static void set_message_digest(const struct tree *attributes, const struct tree *content,
                               const EVP_MD *md)
{
    struct buf octets = {0};
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    if (content)
        tree_octets(content, &octets);
    EVP_Digest(octets.p, octets.n, digest, &n, md, NULL);
    for (size_t i = 0; i < attributes->n; i++) {
        struct tree *value = tree_child(tree_child(attributes->child[i], 1), 0);
        if (value && nid_of(tree_child(attributes->child[i], 0)) == NID_pkcs9_messageDigest)
            tree_set_octets(value, view_of(digest, n));
    }
    buf_clear(&octets);
}

static void sign_message(const struct seal *s, const struct tree *t)
{
    const struct tree *data = signed_data(t);
    const struct tree *info = data && data->n ? tree_child(data->child[data->n - 1], 0) : NULL;
    size_t at = 3;
    while (info && at < info->n && !tree_is(info->child[at], CONTEXT_0))
        at++;
    struct tree *signature = tree_child(info, at + 2);
    if (!signature || !tree_is(signature, 0x04))
        return;
    struct tree *attributes = info->child[at], *algorithm = info->child[at + 1];
    struct buf der = {0}, octets = {0};
    const EVP_MD *md = md_by_nid(nid_of(tree_child(info->child[at - 1], 0)));
    own_certificates(s, data, algorithm);
    set_message_digest(attributes, encapsulated_content(data), md);
    tree_write(attributes, true, &der);
    der.p[0] = SET;
    if (sign(s, algorithm, md, buf_view(&der), &octets))
        tree_set_octets(signature, buf_view(&octets));
    buf_clear(&der);
    buf_clear(&octets);
}

bool seal_message(const struct seal *s, struct view in, struct random *r, struct buf *out)
{
    struct tree *t = tree_read(in);
    if (!t)
        return false;
    struct tree *content = encapsulated_content(signed_data(t));
    unsigned what = random_below(r, 4);
    if (content && what != 0)
        change_content(s, content, r);
    if (what < 2)
        tree_mutate(t, r);
    if (!random_one_in(r, 10))
        sign_message(s, t);
    return write_and_free(t, out);
}
