#include "scepd/scep_question.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

#include "base/hex.h"
#include "outside/webhook.h"
#include "pkcs7/alg.h"

/* Two messages with the same key ask for the same: the same webhook, endpoint, transaction,
 * challenge, names and key. */
static bool key_of(const struct scep_call *call, const struct scep_message *m,
                   const struct enroll_decision *d, uint8_t key[32], struct err *err)
{
    const struct config_endpoint *e = call->endpoint->config;
    struct buf all = {0};
    bool ok = buf_append(&all, e->validate, strlen(e->validate) + 1) &&
              buf_append(&all, e->path, strlen(e->path) + 1) &&
              buf_append(&all, m->transaction_id, strlen(m->transaction_id) + 1) &&
              buf_append(&all, d->signer, strlen(d->signer) + 1) &&
              buf_append(&all, m->csr->identity, sizeof m->csr->identity) &&
              buf_append(&all, m->csr->key.sha256, sizeof m->csr->key.sha256) &&
              buf_append(&all, m->csr->challenge.p, m->csr->challenge.n);
    if (ok)
        ok = digest_compute(DIGEST_SHA256, buf_view(&all), key, err);
    else
        err_memory(err);
    buf_wipe(&all);
    return ok;
}

static bool new_id(char out[40], struct err *err)
{
    uint8_t random[16];
    if (RAND_bytes(random, sizeof random) != 1)
        return err_set(err, ERR_CRYPTO, "no random octets for a question");
    memcpy(out, "evt_", 4);
    hex_encode(view_of(random, sizeof random), out + 4);
    return true;
}

bool scep_question(const struct scep_call *call, const struct scep_message *m,
                   const struct enroll_policy *policy, const struct enroll_decision *d,
                   const struct cert_plan *plan, struct scep_answer *out, struct err *err)
{
    const struct config_webhook *w = call->endpoint->validate;
    struct buf bare = {0};
    char id[40], subject[512] = "", san[1024] = "", key[16];
    bool intune = w && w->kind == WEBHOOK_INTUNE;
    bool whole = intune || (w && w->pass_challenge);
    name_text(&plan->subject, subject, sizeof subject);
    san_text(&plan->san, san, sizeof san);
    pubkey_text(&m->csr->key, key);
    bool ok = new_id(id, err) && key_of(call, m, d, out->question_key, err) &&
              (whole || csr_without_challenge(m->csr, &bare, err));
    if (ok) {
        struct webhook_facts f = {.event = "validate",
                                  .id = id,
                                  .at = call->now,
                                  .endpoint = policy->endpoint,
                                  .authority = policy->authority->name,
                                  .template_name = policy->template->name,
                                  .transaction = m->transaction_id,
                                  .subject = subject,
                                  .san = san,
                                  .key = key,
                                  .csr = buf_view(whole ? &m->csr->der : &bare),
                                  .challenge =
                                      whole ? buf_view(&m->csr->challenge) : view_of(NULL, 0),
                                  .challenge_id = d->challenge,
                                  .peer = call->peer.address,
                                  .agent = call->peer.agent,
                                  .renewal = d->renewal};
        ok = intune ? intune_validate_json(&f, &out->question, err)
                    : webhook_json(&f, &out->question, err);
    }
    buf_clear(&bare);
    return ok;
}
