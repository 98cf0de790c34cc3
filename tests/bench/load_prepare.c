#include "load.h"

#include <openssl/rand.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static bool prepare_one(struct load *l, struct load_device *d, size_t index, EVP_PKEY *key,
                        const char *challenge, struct err *err)
{
    struct name subject = {0};
    struct buf csr = {0};
    snprintf(d->subject, sizeof d->subject, "%s-%06zu", l->prefix, index);
    enum digest digest;
    enum cipher cipher;
    client_choose(&l->caps, &digest, &cipher);
    struct client_wish wish = {.subject = &subject, .challenge = view_str(challenge)};
    bool ok =
        name_add(&subject, name_type_by_key("CN"), d->subject, REASON_SUBJECT_FORBIDDEN, err) &&
        RAND_bytes(d->nonce, sizeof d->nonce) == 1 &&
        client_transaction_id(key, d->transaction, err) &&
        client_identity_self_signed(key, &subject, time(NULL), &d->identity, err) &&
        client_csr_build(key, &wish, &csr, err);
    struct client_message m = {SCEP_PKCS_REQ, d->transaction, buf_view(&csr),
                               digest,        cipher,         PADDING_PKCS1};
    ok = ok && client_message_build(&m, &d->identity, &l->ca, d->nonce, &d->message, err);
    buf_clear(&csr);
    name_clear(&subject);
    return ok;
}

struct share {
    struct load *l;
    EVP_PKEY **keys;
    char *const *challenges;
    size_t from, to;
    bool ok;
    struct err err;
};

static void *prepare_share(void *ctx)
{
    struct share *s = ctx;
    s->ok = true;
    for (size_t i = s->from; s->ok && i < s->to; i++)
        s->ok = prepare_one(s->l, &s->l->device[i], i, s->keys[i],
                            s->challenges ? s->challenges[i] : "", &s->err);
    return NULL;
}

bool load_prepare(struct load *l, char *const *challenges, size_t challenges_n, struct err *err)
{
    if (challenges_n && challenges_n < l->n)
        return err_set(err, ERR_CONFIG, "%zu challenges for %zu devices", challenges_n, l->n);
    EVP_PKEY **keys = calloc(l->n, sizeof *keys);
    l->device = calloc(l->n, sizeof *l->device);
    if (!keys || !l->device || !load_keys(l->n, keys, err))
        return false;
    struct share share[2];
    pthread_t thread[2];
    for (size_t i = 0; i < 2; i++) {
        share[i] = (struct share){
            l,     keys, challenges_n ? challenges : NULL, l->n * i / 2, l->n * (i + 1) / 2,
            false, {0}};
        if (pthread_create(&thread[i], NULL, prepare_share, &share[i]) != 0)
            return err_set(err, ERR_IO, "no thread");
    }
    bool ok = true;
    for (size_t i = 0; i < 2; i++) {
        pthread_join(thread[i], NULL);
        if (!share[i].ok)
            *err = share[i].err;
        ok = ok && share[i].ok;
    }
    for (size_t i = 0; i < l->n; i++)
        EVP_PKEY_free(keys[i]);
    free(keys);
    return ok;
}
