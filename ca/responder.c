#include "responder.h"

#include "tbs.h"

static enum digest digest_for(const struct pubkey *key)
{
    if (key->type == KEY_RSA || key->curve == CURVE_P256)
        return DIGEST_SHA256;
    return key->curve == CURVE_P384 ? DIGEST_SHA384 : DIGEST_SHA512;
}

bool responder_read(const struct cert *c, struct responder *out, struct err *err)
{
    struct pubkey key;
    struct responder r = {.alg = {.scheme = SIG_RSA_PKCS1}};
    if (!pubkey_parse(c->spki, &key, err) ||
        !digest_compute(DIGEST_SHA1, key.bits_content, r.key_hash, err))
        return false;
    r.alg.scheme = key.type == KEY_RSA ? SIG_RSA_PKCS1 : SIG_ECDSA;
    r.alg.digest = digest_for(&key);
    *out = r;
    return true;
}

/* RFC 6960 section 4.2.2.2 */
bool responder_check(const struct cert *c, struct err *err)
{
    struct extensions x = {.path_len = -1};
    if (!extensions_parse(c->extensions, REASON_MESSAGE_MALFORMED, &x, err)) {
        err->kind = ERR_CONFIG;
        return false;
    }
    bool ok = !x.is_ca && x.has_eku && x.eku.n == 1 && eku_has(&x.eku, EKU_OCSP_SIGNING);
    extensions_clear(&x);
    return ok || err_set(err, ERR_CONFIG, "it is not the certificate of an OCSP responder");
}
