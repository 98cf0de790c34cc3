/* The same question again, with the same Idempotency-Key, gets the same answer and is done once. An
 * answer may hold a secret, so that it is kept encrypted (AES-256-GCM) under a key made from the
 * Idempotency-Key itself, which is not stored. */
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api_internal.h"

#define NONCE 12
#define TAG 16
#define KEY 32
#define KEY_TEXT_MAX 255

/* ---- sealing ---- */

static bool crypto_failed(struct err *err)
{
    ERR_clear_error();
    return err_set(err, ERR_CRYPTO, "an answer cannot be sealed or opened");
}

/* HKDF-SHA256 (RFC 5869) of the Idempotency-Key, salted with what the record is found by. */
static bool derive(const char *text, const uint8_t salt[STORE_HASH], uint8_t out[KEY])
{
    static char info[] = "scepd kept answer", digest[] = "SHA256";
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)text,
                                          strlen(text)),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)(uintptr_t)salt, STORE_HASH),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info, sizeof info - 1),
        OSSL_PARAM_construct_end(),
    };
    bool ok = ctx && EVP_KDF_derive(ctx, out, KEY, params) == 1;
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
    return ok;
}

/* nonce, ciphertext, tag */
static bool seal(const uint8_t key[KEY], const uint8_t aad[STORE_HASH], struct view plain,
                 struct buf *out)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int n = 0;
    bool ok = ctx && plain.n < INT32_MAX && buf_reserve(out, NONCE + plain.n + TAG) &&
              RAND_bytes(out->p, NONCE) == 1 &&
              EVP_EncryptInit_ex2(ctx, EVP_aes_256_gcm(), key, out->p, NULL) == 1 &&
              EVP_EncryptUpdate(ctx, NULL, &n, aad, STORE_HASH) == 1 &&
              EVP_EncryptUpdate(ctx, out->p + NONCE, &n, plain.p, (int)plain.n) == 1 &&
              EVP_EncryptFinal_ex(ctx, out->p + NONCE + n, &n) == 1 &&
              EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG, out->p + NONCE + plain.n) == 1;
    if (ok)
        out->n = NONCE + plain.n + TAG;
    EVP_CIPHER_CTX_free(ctx);
    return ok;
}

static bool unseal(const uint8_t key[KEY], const uint8_t aad[STORE_HASH], struct view sealed,
                   struct buf *out)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    uint8_t tag[TAG];
    int n = 0;
    if (sealed.n < NONCE + TAG || sealed.n > INT32_MAX) {
        EVP_CIPHER_CTX_free(ctx);
        return false;
    }
    size_t length = sealed.n - NONCE - TAG;
    memcpy(tag, sealed.p + NONCE + length, TAG);
    bool ok = ctx && buf_reserve(out, length + 1) &&
              EVP_DecryptInit_ex2(ctx, EVP_aes_256_gcm(), key, sealed.p, NULL) == 1 &&
              EVP_DecryptUpdate(ctx, NULL, &n, aad, STORE_HASH) == 1 &&
              EVP_DecryptUpdate(ctx, out->p, &n, sealed.p + NONCE, (int)length) == 1 &&
              EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG, tag) == 1 &&
              EVP_DecryptFinal_ex(ctx, out->p + n, &n) == 1;
    if (ok)
        out->n = length;
    EVP_CIPHER_CTX_free(ctx);
    return ok;
}

/* ---- an answer as bytes: status, then texts, each with a NUL behind it, then the body ---- */

/* Headers that are the call's own, not the answer's. */
static bool is_own(const char *name)
{
    return strcmp(name, "X-Request-Id") == 0;
}

static bool pack(const struct api_reply *r, struct buf *out)
{
    bool ok = buf_printf(out, "%d", r->status) && buf_append(out, "", 1) &&
              buf_append(out, r->content_type, strlen(r->content_type) + 1);
    for (size_t i = 0; ok && i < r->header_n; i++)
        ok = is_own(r->header[i].name) ||
             (buf_append(out, r->header[i].name, strlen(r->header[i].name) + 1) &&
              buf_append(out, r->header[i].value, strlen(r->header[i].value) + 1));
    return ok && buf_append(out, "", 1) && buf_append(out, r->body.p, r->body.n);
}

static const char *const kept_headers[] = {"ETag",
                                           "Location",
                                           "Retry-After",
                                           "Link",
                                           "Cache-Control",
                                           "Content-Disposition",
                                           "Allow",
                                           "X-Challenge-Id",
                                           "X-Challenge-Expires",
                                           "X-Warning",
                                           NULL};

static const char *take(struct view *rest)
{
    const char *s = (const char *)rest->p;
    const uint8_t *end = rest->n ? memchr(rest->p, '\0', rest->n) : NULL;
    if (!end)
        return NULL;
    rest->n -= (size_t)(end + 1 - rest->p);
    rest->p = end + 1;
    return s;
}

static bool unpack(struct api_call *c, struct view rest)
{
    const char *status = take(&rest), *type = take(&rest), *name, *value;
    if (!status || !type)
        return false;
    api_reply_bytes(c, atoi(status), type, view_of(NULL, 0));
    while ((name = take(&rest)) && *name) {
        if (!(value = take(&rest)))
            return false;
        for (int i = 0; kept_headers[i]; i++)
            if (strcmp(kept_headers[i], name) == 0)
                api_reply_header(c, kept_headers[i], "%s", value);
    }
    api_reply_header(c, "Idempotency-Replayed", "true");
    return name && buf_append(&c->priv->out->body, rest.p, rest.n);
}

/* ---- under way ---- */

static bool running_add(struct api_state *s, const uint8_t key[STORE_HASH], bool *full)
{
    bool there = false;
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->running_n; i++)
        there = there || memcmp(s->running[i], key, STORE_HASH) == 0;
    *full = s->running_n == API_RUNNING;
    if (!there && !*full)
        memcpy(s->running[s->running_n++], key, STORE_HASH);
    pthread_mutex_unlock(&s->lock);
    return !there && !*full;
}

static void running_remove(struct api_state *s, const uint8_t key[STORE_HASH])
{
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->running_n; i++) {
        if (memcmp(s->running[i], key, STORE_HASH) != 0)
            continue;
        memmove(s->running[i], s->running[--s->running_n], STORE_HASH);
        break;
    }
    pthread_mutex_unlock(&s->lock);
}

/* ---- begun, failed, and still kept as begun ---- */

static const uint8_t no_question[STORE_HASH];

/* NULL: it is not among them. */
static uint8_t *undone_place(struct api_state *s, const uint8_t key[STORE_HASH])
{
    for (size_t i = 0; i < API_RUNNING; i++)
        if (memcmp(s->undone[i], key, STORE_HASH) == 0)
            return s->undone[i];
    return NULL;
}

static void undone_add(struct api_state *s, const uint8_t key[STORE_HASH])
{
    pthread_mutex_lock(&s->lock);
    uint8_t *place = undone_place(s, no_question);
    memcpy(place ? place : s->undone[s->undone_next++ % API_RUNNING], key, STORE_HASH);
    pthread_mutex_unlock(&s->lock);
}

static bool undone_take(struct api_state *s, const uint8_t key[STORE_HASH])
{
    pthread_mutex_lock(&s->lock);
    uint8_t *place = undone_place(s, key);
    if (place)
        memset(place, 0, STORE_HASH);
    pthread_mutex_unlock(&s->lock);
    return place != NULL;
}

/* ---- the store ---- */

static bool commit_or_abort(struct store_write *w, bool ok, struct err *err)
{
    if (ok)
        return store_write_commit(w, err);
    store_write_abort(w);
    return false;
}

static bool begun_put(struct api_call *c, const struct api_repeat *r, struct err *err)
{
    struct store_write *w = NULL;
    struct store_kept k = {.at = api_now(c)};
    memcpy(k.key, r->key, STORE_HASH);
    memcpy(k.question, r->question, STORE_HASH);
    return store_write_begin(c->world->store, &w, err) &&
           commit_or_abort(w, store_kept_put(w, &k, err), err);
}

/* Answers by what is kept. */
static void replay(struct api_call *c, const struct api_repeat *r, const struct store_kept *k)
{
    struct buf plain = {0};
    uint8_t key[KEY];
    if (memcmp(k->question, r->question, STORE_HASH) != 0) {
        api_problem(c, 422, "repeat.other", "This key came before with another body.");
    } else if (!k->answered) {
        api_problem(c, 409, "repeat.unknown",
                    "The first try was interrupted before its answer was kept.");
    } else if (!derive(c->request->header[API_IDEMPOTENCY_KEY], r->key, key) ||
               !unseal(key, r->key, buf_view(&k->answer), &plain) || !unpack(c, buf_view(&plain))) {
        ERR_clear_error();
        api_problem(c, 500, "internal", "The kept answer cannot be read.");
    }
    OPENSSL_cleanse(key, sizeof key);
    buf_wipe(&plain);
}

static bool hash_names(const struct api_call *c, const char *key, uint8_t out[STORE_HASH])
{
    struct buf b = {0};
    bool ok = true;
    const char *parts[] = {"scepd question", c->actor->id, http_method_name(c->request->method),
                           c->request->path, key};
    for (size_t i = 0; ok && i < sizeof parts / sizeof *parts; i++)
        ok = buf_append(&b, parts[i], strlen(parts[i]) + 1);
    ok = ok && SHA256(b.p, b.n, out);
    buf_wipe(&b);
    return ok;
}

static bool key_usable(const char *key)
{
    size_t n = strlen(key);
    for (const char *p = key; *p; p++)
        if (*p < 0x21 || *p > 0x7e)
            return false;
    return n > 0 && n <= KEY_TEXT_MAX;
}

bool api_repeat_begin(struct api_call *c, struct api_repeat *r)
{
    const char *key = c->request->header[API_IDEMPOTENCY_KEY];
    struct store_kept kept = {.at = 0};
    struct err err = {0};
    bool full;
    *r = (struct api_repeat){.on = false};
    if (!key || c->request->method != HTTP_POST || c->actor->role == ROLE_NONE)
        return true;
    if (!key_usable(key)) {
        api_problem(c, 422, "repeat.malformed", "It has other characters, or is too long.");
        return false;
    }
    if (!hash_names(c, key, r->key) ||
        !SHA256(c->request->body.p, c->request->body.n, r->question)) {
        crypto_failed(&err);
        api_problem_of(c, &err);
        return false;
    }
    if (!running_add(c->world->state, r->key, &full)) {
        api_problem(c, full ? 503 : 409, full ? "busy" : "repeat.running",
                    "The first of the same question is not answered yet.");
        api_reply_header(c, "Retry-After", "1");
        return false;
    }
    if (store_kept_get(c->world->store, r->key, &kept, &err)) {
        r->on = !kept.answered && memcmp(kept.question, r->question, STORE_HASH) == 0 &&
                undone_take(c->world->state, r->key);
        if (!r->on)
            replay(c, r, &kept);
    } else if (err.kind == ERR_NOT_FOUND) {
        err_clear(&err);
        undone_take(c->world->state, r->key); /* known of one that is not kept any more */
        r->on = begun_put(c, r, &err);
        if (!r->on)
            api_problem_of(c, &err);
    } else {
        api_problem_of(c, &err);
    }
    store_kept_clear(&kept);
    if (!r->on)
        running_remove(c->world->state, r->key);
    return r->on;
}

/* What failed on our side may be tried again, and all else is the answer; but when only the answer
 * failed, for want of memory, it was done already and stays as one whose answer nobody knows. */
static bool keep(struct api_call *c, const struct api_repeat *r, struct err *err)
{
    struct store_write *w = NULL;
    struct buf plain = {0}, sealed = {0};
    uint8_t key[KEY];
    bool broken = c->priv->out->status >= 500, again = broken && c->priv->failed, ok = true;
    if (broken && !again)
        return true;
    if (!again) {
        ok = pack(c->priv->out, &plain) &&
             derive(c->request->header[API_IDEMPOTENCY_KEY], r->key, key) &&
             seal(key, r->key, buf_view(&plain), &sealed);
        OPENSSL_cleanse(key, sizeof key);
        if (!ok)
            crypto_failed(err);
    }
    ok = ok && store_write_begin(c->world->store, &w, err) &&
         commit_or_abort(w,
                         again ? store_kept_del(w, r->key, err)
                               : store_kept_answer(w, r->key, buf_view(&sealed), err),
                         err);
    buf_wipe(&plain);
    buf_clear(&sealed);
    return ok;
}

void api_repeat_done(struct api_call *c, struct api_repeat *r)
{
    struct err err = {0};
    if (!r->on)
        return;
    bool kept = keep(c, r, &err);
    if (!kept && c->priv->failed)
        undone_add(c->world->state, r->key);
    if (!kept)
        log_event(c->world->log, LOG_LEVEL_ERROR, "api.repeat",
                  "the answer of request %s is not kept for a repetition: %s",
                  c->priv->out->request_id, err.text);
    running_remove(c->world->state, r->key);
}
