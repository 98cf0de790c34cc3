#include "ca/signer.h"

#include <openssl/rand.h>
#include <time.h>

#include "signer_internal.h"

/* The caller's side: each verb becomes one request; whether it is done here or by the child is the
 * lane's affair. */

void signer_observe(struct signer *s, signer_observer observer, void *ctx)
{
    s->observer = observer;
    s->observer_ctx = ctx;
}

static bool call(struct signer *s, const struct signer_request *r, struct buf *out, struct err *err)
{
    struct timespec before, after;
    if (!s->observer)
        return s->call(s, r, out, err);
    clock_gettime(CLOCK_MONOTONIC, &before);
    bool ok = s->call(s, r, out, err);
    clock_gettime(CLOCK_MONOTONIC, &after);
    s->observer(s->observer_ctx, r->op, r->key, ok ? ERR_NONE : err->kind,
                (int64_t)(after.tv_sec - before.tv_sec) * 1000000000 + after.tv_nsec -
                    before.tv_nsec);
    return ok;
}

static bool sign(struct signer *s, const struct signer_request *r, struct buf *signature,
                 struct err *err)
{
    struct buf out = {0};
    bool ok = call(s, r, &out, err);
    if (ok) {
        buf_clear(signature);
        *signature = out;
        out = (struct buf){0};
    }
    buf_clear(&out);
    return ok;
}

bool signer_sign_certificate(struct signer *s, unsigned key, struct view tbs, struct buf *signature,
                             struct err *err)
{
    struct signer_request r = {.op = SIGNER_OP_CERTIFICATE, .key = key, .data = tbs};
    return sign(s, &r, signature, err);
}

bool signer_sign_crl(struct signer *s, unsigned key, struct view tbs,
                     const struct signer_file *file, struct buf *signature, struct err *err)
{
    struct signer_request r = {.op = SIGNER_OP_CRL, .key = key, .data = tbs, .file = file};
    return sign(s, &r, signature, err);
}

/* The signatures out of the reply, each into a buffer of its own. */
static bool take_signatures(struct view packed, struct buf *signature, size_t n, struct err *err)
{
    struct view item[SIGNER_MAX_BATCH];
    struct buf copy[SIGNER_MAX_BATCH] = {{0}};
    size_t got = 0;
    bool ok = (batch_unpack(packed, item, SIGNER_MAX_BATCH, &got) && got == n) ||
              err_set(err, ERR_SIGNER, "the signer gave %zu signatures in place of %zu", got, n);
    for (size_t i = 0; ok && i < n; i++)
        ok = buf_append(&copy[i], item[i].p, item[i].n) || err_memory(err);
    for (size_t i = 0; i < n; i++) {
        if (ok) {
            buf_clear(&signature[i]);
            signature[i] = copy[i];
        } else {
            buf_clear(&copy[i]);
        }
    }
    return ok;
}

bool signer_sign_ocsp(struct signer *s, unsigned key, const struct view *data, size_t n,
                      struct buf *signature, struct err *err)
{
    struct buf packed = {0}, out = {0};
    if (n == 0 || n > SIGNER_MAX_BATCH)
        return err_set(err, ERR_SIGNER, "%zu OCSP answers to sign, 1 to %d are possible", n,
                       SIGNER_MAX_BATCH);
    bool ok = batch_pack(data, n, &packed, err);
    struct signer_request r = {.op = SIGNER_OP_OCSP, .key = key, .data = buf_view(&packed)};
    ok = ok && call(s, &r, &out, err) && take_signatures(buf_view(&out), signature, n, err);
    buf_clear(&packed);
    buf_clear(&out);
    return ok;
}

bool signer_sign_attributes(struct signer *s, unsigned key, enum digest digest,
                            struct view attributes, struct buf *signature, struct err *err)
{
    struct signer_request r = {
        .op = SIGNER_OP_ATTRIBUTES, .key = key, .digest = digest, .data = attributes};
    return sign(s, &r, signature, err);
}

bool signer_decrypt(struct signer *s, unsigned key, struct key_wrap wrap, struct view encrypted,
                    uint8_t *content_key, size_t key_len, struct err *err)
{
    struct signer_request r = {
        .op = SIGNER_OP_DECRYPT, .key = key, .wrap = wrap, .key_len = key_len, .data = encrypted};
    struct buf out = {0};
    /* No RSA key has made this; like any other wrong ciphertext it opens to random octets. */
    if (key_len <= SIGNER_MAX_CONTENT_KEY && (encrypted.n == 0 || encrypted.n > SIGNER_MAX_RESULT))
        return RAND_bytes(content_key, (int)key_len) == 1 ||
               err_set(err, ERR_CRYPTO, "no random numbers");
    bool ok = call(s, &r, &out, err);
    if (ok && out.n != key_len)
        ok = err_set(err, ERR_SIGNER, "the signer gave a key of %zu octets in place of %zu", out.n,
                     key_len);
    if (ok)
        memcpy(content_key, out.p, key_len);
    buf_wipe(&out);
    return ok;
}
