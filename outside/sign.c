#include "sign.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

#include "base/hex.h"

static bool hmac(const struct buf *secret, struct view stamp, struct view body, char hex[65],
                 struct err *err)
{
    uint8_t mac[32];
    size_t n = 0;
    struct buf all = {0};
    bool ok = buf_append(&all, stamp.p, stamp.n) && buf_append(&all, body.p, body.n);
    if (!ok) {
        err_memory(err);
    } else {
        ok = EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, secret->p, secret->n - 1, all.p, all.n,
                       mac, sizeof mac, &n) != NULL;
        if (!ok)
            err_set(err, ERR_CRYPTO, "cannot sign what is sent to a webhook");
    }
    buf_wipe(&all);
    if (ok)
        hex_encode(view_of(mac, n), hex);
    return ok;
}

bool sign_body(const struct target *t, struct view body, int64_t now, struct buf *out,
               struct err *err)
{
    char stamp[32], hex[65];
    int n = snprintf(stamp, sizeof stamp, "%lld.", (long long)now);
    if (!buf_printf(out, "t=%.*s", n - 1, stamp))
        return err_memory(err);
    for (size_t i = 0; i < TARGET_SECRETS; i++) {
        if (!t->secret[i].n)
            continue;
        if (!hmac(&t->secret[i], view_str(stamp), body, hex, err))
            return false;
        if (!buf_printf(out, ",v1=%s", hex))
            return err_memory(err);
    }
    return buf_append(out, "", 1) || err_memory(err);
}

/* RFC 9562 section 5.4 */
bool sign_uuid(char out[37])
{
    unsigned char b[16];
    if (RAND_bytes(b, sizeof b) != 1)
        return false;
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    snprintf(out, 37, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0],
             b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13],
             b[14], b[15]);
    return true;
}
