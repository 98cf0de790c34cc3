#include "ca/server.h"

#include <stdio.h>
#include <string.h>

#include "base/hex.h"
#include "base/text.h"
#include "ca/keyfile.h"
#include "make.h"
#include "tend_internal.h"

static bool make(struct change *c, const struct server_wish *w, EVP_PKEY *key, struct cert **out,
                 struct err *err)
{
    const struct authority *a = c->family->current;
    EVP_PKEY *issuer_key = NULL;
    struct name subject = {0};
    struct make m = {.role = ROLE_DEVICE,
                     .subject = &subject,
                     .key = key,
                     .issuer = a->cert,
                     .key_usage = KU_DIGITAL_SIGNATURE,
                     .san = w->names,
                     .path_len = -1,
                     .validity = w->validity,
                     .crl_url = a->crl_url,
                     .issuer_url = a->issuer_url,
                     .now = c->t->now};
    if (EVP_PKEY_is_a(key, "RSA"))
        m.key_usage |= KU_KEY_ENCIPHERMENT;
    bool ok = name_add(&subject, name_type_by_key("CN"), w->names->name[0].text,
                       REASON_SUBJECT_FORBIDDEN, err) &&
              change_ca_key(c, a->generation, &issuer_key, err);
    m.issuer_key = issuer_key;
    ok = ok && make_certificate(&m, w->names->name[0].text, out, err);
    name_clear(&subject);
    EVP_PKEY_free(issuer_key);
    return ok;
}

static bool record_of(const struct authority *a, const struct cert *c, const struct server_wish *w,
                      int64_t now, struct store_cert *k, struct err *err)
{
    struct pubkey key;
    memcpy(k->authority, a->key_id, sizeof k->authority);
    memcpy(k->serial, c->serial.p, c->serial.n);
    k->serial_len = c->serial.n;
    k->not_before = c->not_before;
    k->not_after = c->not_after;
    k->issued_at = now;
    memcpy(k->der_hash, c->sha256, STORE_HASH);
    name_der_text(c->subject, k->subject, sizeof k->subject);
    san_text(w->names, k->san, sizeof k->san);
    if (!pubkey_parse(c->spki, &key, err) ||
        !digest_compute(DIGEST_SHA256, c->subject, k->subject_hash, err))
        return false;
    memcpy(k->key_hash, key.sha256, STORE_HASH);
    return buf_append(&k->der, c->der.p, c->der.n) || err_memory(err);
}

static bool put(struct store_write *w, struct store_cert *k, const struct tend *t, struct err *err)
{
    struct store_audit audit = {.at = t->now, .event = "certificate.issued"};
    char end[32];
    text_time(k->not_after, end);
    hex_encode(view_of(k->serial, k->serial_len < 31 ? k->serial_len : 31), audit.object);
    text_printable(view_str(t->actor), audit.actor, sizeof audit.actor);
    snprintf(audit.text, sizeof audit.text, "for a TLS listener: %.200s (%.160s), until %s",
             k->subject, k->san, end);
    return store_cert_put(w, k, err) && store_audit_put(w, &audit, err);
}

static bool remember(const struct change *c, const struct server_wish *wish,
                     const struct cert *cert, struct store *s, struct err *err)
{
    struct store_cert k = {.id = 0};
    struct store_write *w = NULL;
    bool ok = record_of(c->family->current, cert, wish, c->t->now, &k, err) &&
              store_write_begin(s, &w, err);
    if (ok && put(w, &k, c->t, err)) {
        ok = store_write_commit(w, err);
    } else {
        store_write_abort(w);
        ok = false;
    }
    store_cert_clear(&k);
    return ok;
}

bool server_make(const struct tend *t, const struct server_wish *w, struct store *s, EVP_PKEY **key,
                 struct cert **cert, struct err *err)
{
    struct change c;
    EVP_PKEY *made_key = NULL;
    struct cert *made = NULL;
    if (w->names->n == 0 || w->validity <= 0 || w->validity > SERVER_VALIDITY_MAX)
        return err_set(err, ERR_CONFIG, "a TLS certificate has a name and lives for 1 to 398 days");
    bool ok = change_begin(&c, t, err) && key_generate(w->key_kind, &made_key, err) &&
              make(&c, w, made_key, &made, err) && remember(&c, w, made, s, err);
    if (ok) {
        *key = made_key;
        *cert = made;
        made_key = NULL;
        made = NULL;
    }
    change_end(&c);
    EVP_PKEY_free(made_key);
    cert_free(made);
    return ok;
}
