/* seed_store STORE CERTIFICATE: fills a store with records for the tests of scepctl, hostile names
 * among them.
 * seed_store STORE CERTIFICATE N: with N certificates, for measuring.
 * seed_store STORE CERTIFICATE old: with 1500 that ended long ago, and a good one.
 * seed_store STORE CERTIFICATE request FILE: a request that waits, with the CSR of FILE (DER). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ca/keyfile.h"
#include "pkcs7/cert.h"
#include "pkcs7/ext.h"
#include "store/store.h"

static const char hostile[] = "CN=evil\x1b[31m\nroot\ttab\xe2\x80\xaetxt,O=\xff";

static bool put_cert(struct store_write *w, const struct cert *ca, unsigned n, const char *subject,
                     int64_t not_after, struct err *err)
{
    struct store_cert c = {
        .serial_len = 16, .not_after = not_after, .not_before = not_after - 86400};
    c.serial[0] = 0x40;
    memset(c.serial + 1, (int)(0xa0 + n), 15);
    c.der_hash[0] = c.key_hash[0] = c.subject_hash[0] = (uint8_t)n;
    c.issued_at = c.not_before;
    snprintf(c.subject, sizeof c.subject, "%s", subject);
    snprintf(c.san, sizeof c.san, "DNS:device-%u.example.org", n);
    snprintf(c.template_name, sizeof c.template_name, "device");
    snprintf(c.endpoint, sizeof c.endpoint, "/scep");
    bool done =
        (buf_append(&c.der, ca->der.p, ca->der.n) || err_memory(err)) && store_cert_put(w, &c, err);
    store_cert_clear(&c);
    return done;
}

static bool put_request(struct store_write *w, const char *id, const char *subject, int64_t now,
                        struct err *err)
{
    struct store_request r = {
        .state = REQUEST_PENDING, .created_at = now, .expires_at = now + 86400};
    struct store_tx t = {.state = TX_PENDING, .created_at = now, .changed_at = now};
    snprintf(r.id, sizeof r.id, "%s", id);
    snprintf(r.endpoint, sizeof r.endpoint, "/scep/manual");
    snprintf(r.transaction, sizeof r.transaction, "tx-%s", id);
    snprintf(r.template_name, sizeof r.template_name, "device");
    snprintf(r.subject, sizeof r.subject, "%s", subject);
    snprintf(r.key, sizeof r.key, "RSA-2048");
    snprintf(r.peer, sizeof r.peer, "192.0.2.1");
    snprintf(t.endpoint, sizeof t.endpoint, "%s", r.endpoint);
    snprintf(t.transaction, sizeof t.transaction, "%s", r.transaction);
    snprintf(t.request, sizeof t.request, "%s", id);
    bool done = (buf_append_str(&r.csr, "no request") || err_memory(err)) &&
                store_request_put(w, &r, err) && store_tx_put(w, &t, NULL, err);
    store_request_clear(&r);
    return done;
}

static bool fill(struct store *s, const struct cert *ca, struct err *err)
{
    struct store_write *w = NULL;
    int64_t now = (int64_t)time(NULL);
    if (!store_write_begin(s, &w, err))
        return false;
    if (put_cert(w, ca, 1, "CN=device-1,O=Example", now + 10 * 86400, err) &&
        put_cert(w, ca, 2, "CN=device-2,O=Example", now + 300 * 86400, err) &&
        put_cert(w, ca, 3, "CN=device-3,O=Example", now - 86400, err) &&
        put_cert(w, ca, 4, hostile, now + 300 * 86400, err) &&
        put_request(w, "req_aaaaaa", "CN=waits", now, err) &&
        put_request(w, "req_aaaabb", hostile, now, err) &&
        put_request(w, "req_cccccc", "CN=third", now, err))
        return store_write_commit(w, err);
    store_write_abort(w);
    return false;
}

static bool key_id_of(const struct cert *ca, uint8_t out[20], struct err *err)
{
    struct extensions x = {0};
    if (!extensions_parse(ca->extensions, REASON_MESSAGE_MALFORMED, &x, err))
        return false;
    if (x.ski.n == 20)
        memcpy(out, x.ski.p, 20);
    extensions_clear(&x);
    return true;
}

/* Of this authority; every tenth is revoked; they end over the next year. */
static bool put_many(struct store_write *w, const struct cert *ca, unsigned from, unsigned n,
                     struct err *err)
{
    int64_t now = (int64_t)time(NULL);
    uint8_t authority[20] = {0};
    if (!key_id_of(ca, authority, err))
        return false;
    for (unsigned i = from; i < from + n; i++) {
        struct store_cert c = {.serial_len = 16, .not_before = now, .issued_at = now};
        c.not_after = now + (int64_t)(i % 365 + 1) * 86400;
        memcpy(c.authority, authority, sizeof authority);
        c.serial[0] = 0x40;
        memcpy(c.serial + 1, &i, sizeof i);
        memcpy(c.der_hash, &i, sizeof i);
        memcpy(c.key_hash, &i, sizeof i);
        memcpy(c.subject_hash, &i, sizeof i);
        snprintf(c.subject, sizeof c.subject, "CN=device-%u,O=Example", i);
        snprintf(c.template_name, sizeof c.template_name, "device");
        snprintf(c.endpoint, sizeof c.endpoint, "/scep");
        bool done = (buf_append(&c.der, ca->der.p, ca->der.n) || err_memory(err)) &&
                    store_cert_put(w, &c, err) &&
                    (i % 10 || store_cert_revoke(w, c.id, CRL_CESSATION, now, err));
        store_cert_clear(&c);
        if (!done)
            return false;
    }
    return true;
}

static bool fill_many(struct store *s, const struct cert *ca, unsigned n, struct err *err)
{
    for (unsigned from = 0; from < n; from += 20000) {
        struct store_write *w = NULL;
        if (!store_write_begin(s, &w, err))
            return false;
        if (!put_many(w, ca, from, n - from < 20000 ? n - from : 20000, err)) {
            store_write_abort(w);
            return false;
        }
        if (!store_write_commit(w, err))
            return false;
    }
    return true;
}

#define OLD 1500

/* Certificates that ended long ago, and a good one last: the newest of all is never forgotten. */
static bool fill_old(struct store *s, const struct cert *ca, struct err *err)
{
    struct store_write *w = NULL;
    int64_t now = (int64_t)time(NULL);
    bool done = store_write_begin(s, &w, err);
    if (!done)
        return false;
    for (unsigned i = 0; done && i <= OLD; i++) {
        struct store_cert c = {.serial_len = 16, .not_before = now - 1000 * 86400};
        c.not_after = i < OLD ? now - 800 * 86400 : now + 300 * 86400;
        c.issued_at = c.not_before;
        c.serial[0] = 0x41;
        c.serial[1] = (uint8_t)(i >> 8);
        c.serial[2] = (uint8_t)i;
        c.key_hash[0] = (uint8_t)i;
        snprintf(c.subject, sizeof c.subject, "CN=device-%u", i);
        done = (buf_append(&c.der, ca->der.p, ca->der.n) || err_memory(err)) &&
               store_cert_put(w, &c, err);
        store_cert_clear(&c);
    }
    if (done)
        return store_write_commit(w, err);
    store_write_abort(w);
    return false;
}

/* With everything that a request can have before somebody decides. */
static bool fill_request(struct store *s, const char *path, struct err *err)
{
    struct store_write *w = NULL;
    int64_t now = (int64_t)time(NULL);
    struct store_request r = {.state = REQUEST_PENDING,
                              .created_at = now,
                              .expires_at = now + 86400,
                              .polls = 1,
                              .polled_at = now};
    struct store_tx t = {.state = TX_PENDING, .created_at = now, .changed_at = now};
    snprintf(r.id, sizeof r.id, "req_dddddd");
    snprintf(r.endpoint, sizeof r.endpoint, "/scep/manual");
    snprintf(r.transaction, sizeof r.transaction, "tx-req_dddddd");
    snprintf(r.template_name, sizeof r.template_name, "device");
    snprintf(r.subject, sizeof r.subject, "CN=asks");
    snprintf(r.san, sizeof r.san, "DNS:asks.example.org");
    snprintf(r.key, sizeof r.key, "P-256");
    snprintf(r.peer, sizeof r.peer, "192.0.2.1");
    snprintf(r.challenge, sizeof r.challenge, "chl_aaaaaa");
    snprintf(t.endpoint, sizeof t.endpoint, "%s", r.endpoint);
    snprintf(t.transaction, sizeof t.transaction, "%s", r.transaction);
    snprintf(t.request, sizeof t.request, "%s", r.id);
    bool done = file_read(path, &r.csr, err) && store_write_begin(s, &w, err);
    if (done && !(store_request_put(w, &r, err) && store_tx_put(w, &t, NULL, err))) {
        store_write_abort(w);
        done = false;
    } else if (done) {
        done = store_write_commit(w, err);
    }
    store_request_clear(&r);
    return done;
}

int main(int argc, char **argv)
{
    struct err err = {0};
    struct store *s = NULL;
    struct cert *ca = NULL;
    struct buf pem = {0};
    bool usable = argc >= 3 && argc <= 5;
    struct store_options o = {.path = usable ? argv[1] : ""};
    bool done = usable && file_read(argv[2], &pem, &err) &&
                cert_parse_any(buf_view(&pem), &ca, &err) && store_open(&o, &s, &err) &&
                (argc == 3   ? fill(s, ca, &err)
                 : argc == 5 ? fill_request(s, argv[4], &err)
                 : strcmp(argv[3], "old") == 0
                     ? fill_old(s, ca, &err)
                     : fill_many(s, ca, (unsigned)strtoul(argv[3], NULL, 10), &err));
    if (!done)
        fprintf(stderr, "seed_store: %s\n", err.text);
    store_close(s);
    cert_free(ca);
    buf_clear(&pem);
    return !done;
}
