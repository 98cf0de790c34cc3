#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <stdlib.h>
#include <time.h>

#include "ca/keyfile.h"
#include "ca/lint.h"
#include "pkcs7/cert.h"
#include "signer_internal.h"
#include "tbs.h"

struct signer_key {
    EVP_PKEY *private_key;       /* owned */
    EVP_PKEY *public_key;        /* owned; of the certificate, for checking what was signed */
    struct cert *cert;           /* owned */
    struct pubkey pubkey;        /* points into cert */
    uint8_t key_id[KEY_ID_SIZE]; /* of cert, for keys that sign CRLs */
    struct lint_issuer issuer;   /* of cert, for keys that sign certificates */
    struct responder responder;  /* of cert, for keys that answer by OCSP */
    unsigned uses;
    uint32_t key_usage;
    struct eku eku, extensions;
    int64_t max_validity;
};

#define REJECTION_SIZE 64 /* HMAC with SHA-512: key and result */

struct signer_keys {
    size_t n;
    struct crl_numbers *numbers;       /* owned */
    struct err fault;                  /* see signer_keys_fault */
    uint8_t rejection[REJECTION_SIZE]; /* drawn once, see draw_instead */
    struct signer_key key[];
};

/* Preparing an operation costs more than everything else around it but the operation itself. */
struct prepared {
    EVP_PKEY_CTX *sign[DIGEST_COUNT], *verify[DIGEST_COUNT];
    EVP_PKEY_CTX *decrypt_pkcs1, *decrypt_oaep[DIGEST_COUNT][DIGEST_COUNT]; /* by hash and MGF1's */
};

struct signer_worker {
    const struct signer_keys *keys;
    EVP_MAC_CTX *instead;   /* owned; HMAC under keys->rejection */
    signer_admission admit; /* may be NULL */
    void *admit_ctx;
    struct prepared prepared[SIGNER_MAX_KEYS];
};

static bool crypto_failed(struct err *err, const char *what)
{
    char text[160] = "no detail";
    unsigned long code = ERR_peek_last_error();
    if (code)
        ERR_error_string_n(code, text, sizeof text);
    ERR_clear_error();
    return err_set(err, ERR_CRYPTO, "%s: %s", what, text);
}

/* ---- prepared operations ---- */

static EVP_PKEY_CTX *prepare_signature(EVP_PKEY *key, enum digest digest, bool verify)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    if (!ctx || (verify ? EVP_PKEY_verify_init(ctx) : EVP_PKEY_sign_init(ctx)) != 1 ||
        (EVP_PKEY_is_a(key, "RSA") && EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) != 1) ||
        EVP_PKEY_CTX_set_signature_md(ctx, digest_md(digest)) != 1) {
        EVP_PKEY_CTX_free(ctx);
        return NULL;
    }
    return ctx;
}

static EVP_PKEY_CTX *prepare_decryption(EVP_PKEY *key, struct key_wrap wrap)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    bool ok = ctx && EVP_PKEY_decrypt_init(ctx) == 1;
    if (wrap.padding == PADDING_OAEP)
        ok = ok && EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) == 1 &&
             EVP_PKEY_CTX_set_rsa_oaep_md(ctx, digest_md(wrap.hash)) == 1 &&
             EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, digest_md(wrap.mgf)) == 1;
    else
        ok = ok && EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1;
    if (!ok) {
        EVP_PKEY_CTX_free(ctx);
        return NULL;
    }
    return ctx;
}

static bool sign_digest(struct signer_worker *w, unsigned index, enum digest digest,
                        const uint8_t *md, struct buf *out, struct err *err)
{
    EVP_PKEY_CTX **ctx = &w->prepared[index].sign[digest];
    if (!*ctx)
        *ctx = prepare_signature(w->keys->key[index].private_key, digest, false);
    size_t n = SIGNER_MAX_RESULT;
    if (!buf_reserve(out, n))
        return err_memory(err);
    if (!*ctx || EVP_PKEY_sign(*ctx, out->p, &n, md, digest_size(digest)) != 1) {
        EVP_PKEY_CTX_free(*ctx);
        *ctx = NULL;
        return crypto_failed(err, "cannot sign");
    }
    out->n = n;
    return true;
}

/* A fault while signing (hardware, memory) must not leave the house: with RSA's CRT it would give
 * the key away, and a wrong signature is of no use to anybody. */
static bool verify_digest(struct signer_worker *w, unsigned index, enum digest digest,
                          const uint8_t *md, struct buf *signature, struct err *err)
{
    EVP_PKEY_CTX **ctx = &w->prepared[index].verify[digest];
    if (!*ctx)
        *ctx = prepare_signature(w->keys->key[index].public_key, digest, true);
    if (!*ctx || EVP_PKEY_verify(*ctx, signature->p, signature->n, md, digest_size(digest)) != 1) {
        EVP_PKEY_CTX_free(*ctx);
        *ctx = NULL;
        buf_wipe(signature);
        return crypto_failed(err, "the signature just made does not verify");
    }
    return true;
}

static bool sign_and_verify(struct signer_worker *w, unsigned index, enum digest digest,
                            struct view data, struct buf *out, struct err *err)
{
    uint8_t md[EVP_MAX_MD_SIZE];
    return digest_compute(digest, data, md, err) && sign_digest(w, index, digest, md, out, err) &&
           verify_digest(w, index, digest, md, out, err);
}

/* ---- the five operations ---- */

static bool do_certificate(struct signer_worker *w, const struct signer_request *r, struct buf *out,
                           struct err *err)
{
    const struct signer_key *k = &w->keys->key[r->key];
    struct lint_limits limits = {.role = ROLE_DEVICE,
                                 .issuer = k->cert,
                                 .known_issuer = &k->issuer,
                                 .key_usage = k->key_usage,
                                 .eku = &k->eku,
                                 .extensions = &k->extensions,
                                 .max_validity = k->max_validity,
                                 .now = time(NULL)}; /* its own clock: the front may lie */
    struct sigalg alg;
    uint8_t md[EVP_MAX_MD_SIZE];
    /* ca_issue verifies the signature before anything leaves: once is enough. */
    return cert_lint_tbs(r->data, &limits, err) &&
           check_certificate_algorithm(r->data, &k->pubkey, &alg, err) &&
           (!w->admit || w->admit(w->admit_ctx, err)) &&
           digest_compute(alg.digest, r->data, md, err) &&
           sign_digest(w, r->key, alg.digest, md, out, err);
}

static bool do_crl(struct signer_worker *w, const struct signer_request *r, struct buf *out,
                   struct err *err)
{
    const struct signer_key *k = &w->keys->key[r->key];
    struct crl_facts f;
    uint8_t md[EVP_MAX_MD_SIZE];
    return check_crl(r->data, k->cert->subject, k->key_id, &k->pubkey, &f, err) &&
           digest_compute(f.sigalg.digest, r->data, md, err) &&
           crl_numbers_take(w->keys->numbers, r->key, &f, md, err) &&
           sign_digest(w, r->key, f.sigalg.digest, md, out, err) &&
           verify_digest(w, r->key, f.sigalg.digest, md, out, err);
}

/* RSA only: verifying what ECDSA made costs more than making it, and a fault there gives away the
 * key of a certificate that lives for days; RSA's would be given away by any one who looks. */
static bool sign_ocsp(struct signer_worker *w, unsigned index, struct view data, struct buf *out,
                      struct err *err)
{
    const struct signer_key *k = &w->keys->key[index];
    uint8_t md[EVP_MAX_MD_SIZE];
    if (!check_ocsp(data, k->cert, &k->responder, time(NULL), err))
        return false;
    if (k->responder.alg.scheme == SIG_RSA_PKCS1)
        return sign_and_verify(w, index, k->responder.alg.digest, data, out, err);
    return digest_compute(k->responder.alg.digest, data, md, err) &&
           sign_digest(w, index, k->responder.alg.digest, md, out, err);
}

static bool do_ocsp(struct signer_worker *w, const struct signer_request *r, struct buf *out,
                    struct err *err)
{
    struct view data[SIGNER_MAX_BATCH];
    struct buf signature = {0};
    size_t n = 0;
    if (!batch_unpack(r->data, data, SIGNER_MAX_BATCH, &n))
        return err_set(err, ERR_SIGNER, "the signer refused: malformed OCSP answers");
    bool ok = true;
    for (size_t i = 0; ok && i < n; i++) {
        ok = sign_ocsp(w, r->key, data[i], &signature, err);
        struct view one = buf_view(&signature);
        ok = ok && batch_pack(&one, 1, out, err);
    }
    if (!ok)
        buf_reset(out); /* all or none */
    buf_clear(&signature);
    return ok;
}

static bool do_attributes(struct signer_worker *w, const struct signer_request *r, struct buf *out,
                          struct err *err)
{
    /* Answers never use it, and with MD5 one signature can be made to fit two contents. */
    if (r->digest == DIGEST_MD5)
        return err_set(err, ERR_SIGNER, "the signer refused: no message is signed with MD5");
    uint8_t md[EVP_MAX_MD_SIZE];
    return check_attributes(r->data, err) && digest_compute(r->digest, r->data, md, err) &&
           sign_digest(w, r->key, r->digest, md, out, err);
}

/* 0xff when a == b, else 0, without a branch. */
static uint8_t equal_mask(size_t a, size_t b)
{
    size_t d = a ^ b;
    return (uint8_t)(((d | (0 - d)) >> (sizeof d * 8 - 1)) - 1);
}

/* What stands for a key that cannot be had: octets that nobody can foretell, but the same for the
 * same request.  New ones each time would let a compromised worker ask twice and learn whether the
 * padding was right, and with that oracle (Bleichenbacher's attack runs backwards, too) it could
 * have anything signed by an authority's key that also decrypts, past all checks. */
static bool draw_instead(struct signer_worker *w, const struct signer_request *r,
                         uint8_t out[REJECTION_SIZE], struct err *err)
{
    const uint32_t head[] = {r->key, r->wrap.padding, r->wrap.hash, r->wrap.mgf,
                             (uint32_t)r->key_len};
    size_t n = 0;
    if (EVP_MAC_init(w->instead, NULL, 0, NULL) != 1 ||
        EVP_MAC_update(w->instead, (const uint8_t *)head, sizeof head) != 1 ||
        EVP_MAC_update(w->instead, r->data.p, r->data.n) != 1 ||
        EVP_MAC_final(w->instead, out, &n, REJECTION_SIZE) != 1 || n != REJECTION_SIZE)
        return crypto_failed(err, "cannot decrypt");
    return true;
}

/* Wrong padding or length: the octets drawn before come back, by the same steps in the same time
 * (RFC 3218 section 2.3.2). */
static bool do_decrypt(struct signer_worker *w, const struct signer_request *r, struct buf *out,
                       struct err *err)
{
    bool ok = false;
    struct prepared *p = &w->prepared[r->key];
    EVP_PKEY_CTX **ctx = r->wrap.padding == PADDING_OAEP
                             ? &p->decrypt_oaep[r->wrap.hash][r->wrap.mgf]
                             : &p->decrypt_pkcs1;
    uint8_t plain[SIGNER_MAX_RESULT] = {0}, key[REJECTION_SIZE] = {0};
    _Static_assert(SIGNER_MAX_CONTENT_KEY <= REJECTION_SIZE, "one draw is enough");
    if (!*ctx)
        *ctx = prepare_decryption(w->keys->key[r->key].private_key, r->wrap);
    if (!*ctx) {
        crypto_failed(err, "cannot decrypt");
        goto out;
    }
    if (!draw_instead(w, r, key, err))
        goto out;
    size_t n = sizeof plain;
    int rc = EVP_PKEY_decrypt(*ctx, plain, &n, r->data.p, r->data.n);
    uint8_t good = equal_mask((size_t)(unsigned)rc, 1) & equal_mask(n, r->key_len);
    for (size_t i = 0; i < r->key_len; i++)
        key[i] = (uint8_t)((plain[i] & good) | (key[i] & (uint8_t)~good));
    ok = buf_append(out, key, r->key_len) || err_memory(err);
out:
    ERR_clear_error();
    OPENSSL_cleanse(plain, sizeof plain);
    OPENSSL_cleanse(key, sizeof key);
    return ok;
}

/* ---- what may be asked of which key ---- */

static const struct permit {
    enum signer_op op;
    unsigned use; /* the key must have this bit */
    size_t max;   /* octets of data */
    const char *what;
    bool (*run)(struct signer_worker *w, const struct signer_request *r, struct buf *out,
                struct err *err);
} permits[] = {
    {SIGNER_OP_CERTIFICATE, SIGNER_CERTIFICATES, CERT_MAX_SIZE, "sign certificates",
     do_certificate},
    {SIGNER_OP_CRL, SIGNER_CRLS, SIGNER_MAX_CRL, "sign CRLs", do_crl},
    {SIGNER_OP_ATTRIBUTES, SIGNER_MESSAGES, SIGNER_MAX_PACKET / 2, "sign messages", do_attributes},
    {SIGNER_OP_DECRYPT, SIGNER_DECRYPT, SIGNER_MAX_RESULT, "decrypt", do_decrypt},
    {SIGNER_OP_OCSP, SIGNER_OCSP, OCSP_MAX_DATA + SIGNER_MAX_BATCH * sizeof(uint32_t),
     "sign OCSP answers", do_ocsp},
};

static bool request_sane(const struct signer_request *r)
{
    if ((unsigned)r->digest >= DIGEST_COUNT)
        return false;
    if (r->op != SIGNER_OP_DECRYPT)
        return true;
    const struct key_wrap *w = &r->wrap;
    return (w->padding == PADDING_PKCS1 || w->padding == PADDING_OAEP) &&
           (unsigned)w->hash < DIGEST_COUNT && (unsigned)w->mgf < DIGEST_COUNT && r->key_len > 0 &&
           r->key_len <= SIGNER_MAX_CONTENT_KEY;
}

bool signer_execute(struct signer_worker *w, const struct signer_request *r, struct buf *out,
                    struct err *err)
{
    const struct permit *permit = NULL;
    for (size_t i = 0; i < sizeof permits / sizeof permits[0]; i++)
        if (permits[i].op == r->op)
            permit = &permits[i];
    if (!permit)
        return err_set(err, ERR_SIGNER, "the signer refused: unknown request %u", (unsigned)r->op);
    if (r->key >= w->keys->n)
        return err_set(err, ERR_SIGNER, "the signer refused: there is no key %u", r->key);
    if (!(w->keys->key[r->key].uses & permit->use))
        return err_set(err, ERR_SIGNER, "the signer refused: key %u may not %s", r->key,
                       permit->what);
    if (r->data.n == 0 || r->data.n > permit->max)
        return err_set(err, ERR_SIGNER,
                       "the signer refused: %zu octets to %s, at most %zu are taken", r->data.n,
                       permit->what, permit->max);
    if (!request_sane(r))
        return err_set(err, ERR_SIGNER, "the signer refused: a malformed request to %s",
                       permit->what);
    buf_reset(out);
    return permit->run(w, r, out, err);
}

/* ---- loading ---- */

/* As in ca/authority.c; an imported authority may have none in its certificate. */
static bool read_key_id(struct signer_key *k, struct err *err)
{
    struct extensions x = {0};
    if (k->cert->extensions.n &&
        !extensions_parse(k->cert->extensions, REASON_MESSAGE_MALFORMED, &x, err))
        return false;
    bool there = x.ski.n == sizeof k->key_id;
    if (there)
        memcpy(k->key_id, x.ski.p, sizeof k->key_id);
    extensions_clear(&x);
    return there || key_identifier(&k->pubkey, k->key_id, err);
}

static bool load_key(const struct signer_key_spec *spec, struct signer_key *k, struct err *err)
{
    k->uses = spec->uses;
    k->key_usage = spec->key_usage;
    k->eku = spec->eku;
    k->extensions = spec->extensions;
    k->max_validity = spec->max_validity;
    if (!cert_parse(spec->cert, &k->cert, err) || !pubkey_parse(k->cert->spki, &k->pubkey, err) ||
        !pubkey_load(&k->pubkey, &k->public_key, err))
        return err_prefix(err, "the certificate of key %s", spec->path);
    if (!key_load(spec->path, spec->passphrase_file[0] ? spec->passphrase_file : NULL,
                  &k->private_key, err))
        return false;
    if (EVP_PKEY_eq(k->private_key, k->public_key) != 1) {
        ERR_clear_error();
        return err_set(err, ERR_CONFIG, "the key in %s is not the one of its certificate",
                       spec->path);
    }
    if (k->uses & SIGNER_CERTIFICATES && !lint_issuer_read(k->cert, &k->issuer, err)) {
        err->kind = ERR_CONFIG;
        return err_prefix(err, "the certificate of key %s", spec->path);
    }
    if (k->uses & SIGNER_CRLS && !read_key_id(k, err))
        return err_prefix(err, "the certificate of key %s", spec->path);
    if (k->uses & SIGNER_OCSP && k->uses != SIGNER_OCSP)
        return err_set(err, ERR_CONFIG, "the key in %s answers by OCSP and does more", spec->path);
    if (k->uses & SIGNER_OCSP &&
        (!responder_check(k->cert, err) || !responder_read(k->cert, &k->responder, err)))
        return err_prefix(err, "the certificate of key %s", spec->path);
    if (k->uses & SIGNER_DECRYPT && k->pubkey.type != KEY_RSA)
        return err_set(err, ERR_CONFIG, "the key in %s is not RSA and cannot decrypt", spec->path);
    return true;
}

static void key_clear(struct signer_key *k)
{
    EVP_PKEY_free(k->private_key);
    EVP_PKEY_free(k->public_key);
    cert_free(k->cert);
    *k = (struct signer_key){.uses = 0};
}

/* Nobody is kept from enrolling because a responder's key is damaged: it is there no more, for any
 * use. */
static bool load_or_leave(const struct signer_key_spec *spec, struct signer_key *k,
                          struct err *fault, struct err *err)
{
    if (load_key(spec, k, err))
        return true;
    if (spec->uses != SIGNER_OCSP || err->kind == ERR_MEMORY)
        return false;
    key_clear(k);
    if (fault->kind == ERR_NONE)
        *fault = *err;
    err_clear(err);
    return true;
}

/* One signature with each key: providers, random numbers and the key itself work. */
static bool try_keys(const struct signer_keys *keys, struct err *err)
{
    struct signer_worker *w = NULL;
    struct buf signature = {0};
    bool ok = signer_worker_new(keys, &w, err);
    for (unsigned i = 0; ok && i < keys->n; i++) {
        if (!keys->key[i].private_key)
            continue;
        enum digest d = keys->key[i].pubkey.bits == 384 ? DIGEST_SHA384 : DIGEST_SHA256;
        ok = sign_and_verify(w, i, d, view_str("the signer tries its keys"), &signature, err);
    }
    buf_clear(&signature);
    signer_worker_free(w);
    return ok;
}

bool signer_keys_load(const struct signer_spec *spec, struct signer_keys **out, struct err *err)
{
    if (spec->n > SIGNER_MAX_KEYS)
        return err_set(err, ERR_CONFIG, "%zu keys, at most %d are possible", spec->n,
                       SIGNER_MAX_KEYS);
    struct signer_keys *keys = calloc(1, sizeof *keys + spec->n * sizeof keys->key[0]);
    if (!keys)
        return err_memory(err);
    keys->n = spec->n;
    bool ok = (RAND_priv_bytes(keys->rejection, REJECTION_SIZE) == 1 ||
               crypto_failed(err, "no random octets")) &&
              crl_numbers_new(&keys->numbers, err);
    for (size_t i = 0; ok && i < spec->n; i++)
        ok = load_or_leave(&spec->key[i], &keys->key[i], &keys->fault, err);
    if (!ok || !try_keys(keys, err)) {
        signer_keys_free(keys);
        return false;
    }
    *out = keys;
    return true;
}

const char *signer_keys_fault(const struct signer_keys *keys)
{
    return keys->fault.text;
}

void signer_keys_free(struct signer_keys *keys)
{
    for (size_t i = 0; keys && i < keys->n; i++)
        key_clear(&keys->key[i]);
    if (keys)
        crl_numbers_free(keys->numbers);
    if (keys)
        OPENSSL_cleanse(keys->rejection, sizeof keys->rejection);
    free(keys);
}

static EVP_MAC_CTX *prepare_instead(const struct signer_keys *keys)
{
    char digest[] = "SHA512";
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *ctx = mac ? EVP_MAC_CTX_new(mac) : NULL;
    EVP_MAC_free(mac);
    if (ctx && EVP_MAC_init(ctx, keys->rejection, REJECTION_SIZE, params) == 1)
        return ctx;
    EVP_MAC_CTX_free(ctx);
    return NULL;
}

bool signer_worker_new(const struct signer_keys *keys, struct signer_worker **out, struct err *err)
{
    struct signer_worker *w = calloc(1, sizeof *w);
    if (!w)
        return err_memory(err);
    w->keys = keys;
    w->instead = prepare_instead(keys);
    if (!w->instead) {
        signer_worker_free(w);
        return crypto_failed(err, "cannot prepare HMAC");
    }
    *out = w;
    return true;
}

void signer_worker_admit(struct signer_worker *w, signer_admission admit, void *ctx)
{
    w->admit = admit;
    w->admit_ctx = ctx;
}

void signer_worker_free(struct signer_worker *w)
{
    for (size_t i = 0; w && i < SIGNER_MAX_KEYS; i++) {
        struct prepared *p = &w->prepared[i];
        for (size_t d = 0; d < DIGEST_COUNT; d++) {
            EVP_PKEY_CTX_free(p->sign[d]);
            EVP_PKEY_CTX_free(p->verify[d]);
            for (size_t mgf = 0; mgf < DIGEST_COUNT; mgf++)
                EVP_PKEY_CTX_free(p->decrypt_oaep[d][mgf]);
        }
        EVP_PKEY_CTX_free(p->decrypt_pkcs1);
    }
    if (w)
        EVP_MAC_CTX_free(w->instead);
    free(w);
}
