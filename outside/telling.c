#include "outside/telling.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/hex.h"
#include "base/memory.h"
#include "outside/webhook.h"
#include "pkcs7/cert.h"
#include "store/notice.h"

bool webhook_event_id(char out[40], struct err *err)
{
    uint8_t random[16];
    if (RAND_bytes(random, sizeof random) != 1)
        return err_set(err, ERR_CRYPTO, "no random octets for a question");
    memcpy(out, "evt_", 4);
    hex_encode(view_of(random, sizeof random), out + 4);
    return true;
}

/* The record keeps as much of a path as it has room for.  Of two that begin alike neither is told:
 * it might be the other's. */
static const struct config_endpoint *endpoint_of(const struct config *c,
                                                 const struct store_cert *cert)
{
    const struct config_endpoint *found = NULL;
    for (size_t i = 0; cert->endpoint[0] && i < c->endpoint_n; i++) {
        if (strncmp(c->endpoint[i].path, cert->endpoint, sizeof cert->endpoint - 1) != 0)
            continue;
        if (found)
            return NULL;
        found = &c->endpoint[i];
    }
    return found;
}

/* What stands in the certificate alone; "" where it cannot be read.  False: memory ran out. */
static bool read_der(const struct store_cert *cert, char *issuer, size_t cap, char key[16],
                     struct err *err)
{
    bool before = memory_begin();
    struct cert *parsed = NULL;
    struct name name = {0};
    struct pubkey pubkey;
    struct err ignored = {0};
    issuer[0] = key[0] = '\0';
    bool read = cert_parse(buf_view(&cert->der), &parsed, &ignored);
    if (read && name_parse(parsed->issuer, REASON_INTERNAL, &name, &ignored))
        name_text(&name, issuer, cap);
    if (read && pubkey_parse(parsed->spki, &pubkey, &ignored))
        pubkey_text(&pubkey, key);
    name_clear(&name);
    cert_free(parsed);
    return memory_end(before) || err_memory(err);
}

static bool notice_body(const struct config_endpoint *e, const struct store_cert *cert, int64_t at,
                        const char *event, struct buf *out, struct err *err)
{
    char id[40], serial[2 * STORE_SERIAL_MAX + 1], sha256[2 * STORE_HASH + 1], issuer[512], key[16];
    if (!webhook_event_id(id, err) || !read_der(cert, issuer, sizeof issuer, key, err))
        return false;
    hex_encode(view_of(cert->serial, cert->serial_len), serial);
    hex_encode(view_of(cert->der_hash, sizeof cert->der_hash), sha256);
    const struct webhook_facts f = {
        .event = event,
        .id = id,
        .at = at,
        .endpoint = e->path,
        .authority = e->authority,
        .template_name = cert->template_name,
        .transaction = cert->transaction,
        .subject = cert->subject,
        .san = cert->san,
        .key = key,
        .device = cert->device,
        .policy = cert->policy,
        .renewal = cert->renews != 0,
        .serial = serial,
        .sha256 = sha256,
        .not_before = cert->not_before,
        .not_after = cert->not_after,
        .issuer = issuer,
        .challenge_id = cert->challenge,
        .revocation = crl_reason_standard(cert->revocation_reason),
    };
    return webhook_json(&f, out, err);
}

static bool tell_one(const struct config_endpoint *e, const char *webhook, struct store_write *w,
                     const struct store_cert *cert, struct err *err)
{
    bool stands = cert->state != CERT_REVOKED && cert->state != CERT_HELD;
    const char *event = stands ? "released" : cert->state == CERT_HELD ? "held" : "revoked";
    int64_t now = time(NULL);
    struct store_notice n = {.cert_id = cert->id, .created_at = now, .next_at = now};
    snprintf(n.target, sizeof n.target, "%s", webhook);
    snprintf(n.event, sizeof n.event, "%s", event);
    /* behind those of the same subject, its certificate's among them */
    hex_encode(view_of(cert->subject_hash, 16), n.about);
    bool ok = notice_body(e, cert, stands ? now : cert->revoked_at, event, &n.body, err) &&
              store_notice_put(w, &n, err);
    store_notice_clear(&n);
    return ok;
}

bool webhook_tell_revocation(const struct config *c, struct store_write *w, uint64_t cert_id,
                             struct err *err)
{
    struct store_cert cert = {.id = 0};
    if (c->webhook_n == 0)
        return true;
    if (!store_write_cert_by_id(w, cert_id, &cert, err))
        return false;
    const struct config_endpoint *e = endpoint_of(c, &cert);
    bool ok = true;
    for (size_t i = 0; ok && e && i < e->notify_n; i++)
        ok = tell_one(e, e->notify[i], w, &cert, err);
    store_cert_clear(&cert);
    return ok;
}
