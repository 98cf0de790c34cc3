#include "scepd/scep_check.h"

#include <stdlib.h>

#include "base/text.h"

#define NONCE_SIZE 16 /* RFC 8894 section 3.2.1.5 */

/* RFC 8894 sections 2.9 and 3.5.2 */
struct scep_rules scep_rules_of(const struct scep_endpoint *e)
{
    const struct config_endpoint *c = e->config;
    return (struct scep_rules){
        .digests = c->digests,
        .ciphers = c->ciphers,
        .csr_digests = c->digests & (e->policy->template->csr_digests | ALG_BIT(DIGEST_MD5)),
        .odd_message_digest = c->odd_message_digest,
        .one_recipient = c->one_recipient,
        .any_csr_version = c->any_csr_version,
    };
}

static bool check_nonce(const struct config_endpoint *c, const struct scep_message *m,
                        struct err *err)
{
    if (!c->strict_nonces || m->sender_nonce_len == NONCE_SIZE)
        return true;
    if (!m->sender_nonce_len)
        return err_refuse(err, REASON_MESSAGE_NONCE, "there is no senderNonce");
    return err_refuse(err, REASON_MESSAGE_NONCE, "senderNonce has %zu octets instead of %d",
                      m->sender_nonce_len, NONCE_SIZE);
}

/* RFC 8894 section 3.2.1.4, badTime.  Who sends no time has none that could be wrong. */
static bool check_time(const struct config_endpoint *c, const struct scep_message *m, int64_t now,
                       struct err *err)
{
    char then[32];
    if (!c->max_clock_difference || !m->signing_time)
        return true;
    int64_t off = m->signing_time > now ? m->signing_time - now : now - m->signing_time;
    if (off <= c->max_clock_difference)
        return true;
    text_time(m->signing_time, then);
    return err_refuse(err, REASON_MESSAGE_TIME, "signingTime %s is %lld s %s, %lld s are allowed",
                      then, (long long)off, m->signing_time > now ? "ahead" : "behind",
                      (long long)c->max_clock_difference);
}

bool scep_check_signed(const struct config_endpoint *c, const struct scep_message *m, int64_t now,
                       struct err *err)
{
    return check_nonce(c, m, err) && check_time(c, m, now, err);
}

/* RFC 8894 section 2.3: a self-signed signer SHOULD have the subject of the request. */
static bool check_subject(const struct config_endpoint *c, const struct scep_message *m,
                          struct err *err)
{
    if (!c->same_signer_subject || !m->csr || !m->self_signed)
        return true;
    struct name signer = {0};
    char text[256], wanted[256];
    bool same = name_parse(m->signer->subject, REASON_CSR_SIGNER_SUBJECT, &signer, err);
    if (!same)
        return false;
    same = name_eq(&signer, &m->csr->subject);
    name_text(&signer, text, sizeof text);
    name_text(&m->csr->subject, wanted, sizeof wanted);
    name_clear(&signer);
    return same ||
           err_refuse(err, REASON_CSR_SIGNER_SUBJECT,
                      "the signer is \"%.120s\", the request is for \"%.120s\"", text, wanted);
}

/* RFC 8894 section 3.1 */
bool scep_reply_password(const struct config_endpoint *c, const struct scep_message *m,
                         struct view *out, struct err *err)
{
    *out = view_of(NULL, 0);
    if (m->signer_key.type == KEY_RSA)
        return true;
    if (!c->password_recipient)
        return err_refuse(err, REASON_ALGORITHM_REFUSED,
                          "the message is signed with an EC key, to which no answer can be "
                          "encrypted: sign it with an RSA key");
    if (!m->csr || !m->csr->has_challenge)
        return err_refuse(err, REASON_CHALLENGE_MISSING,
                          "the answer to an EC key is encrypted under the challenge, and this %s "
                          "has none: send it as a PKCSReq with a challengePassword",
                          scep_type_name(m->type));
    *out = buf_view(&m->csr->challenge);
    return true;
}

bool scep_check_opened(const struct config_endpoint *c, const struct scep_message *m,
                       struct err *err)
{
    struct view unused;
    /* A poll may yet be answered by PENDING, which is not encrypted. */
    return check_subject(c, m, err) &&
           (m->type == SCEP_CERT_POLL || scep_reply_password(c, m, &unused, err));
}
