/* --enrol: a whole life in small.  A certificate is asked for and judged, the same message sent
 * again, the certificate and its CRL asked back, and renewed in both ways that clients have. */
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/x509.h>

#include "base/hex.h"
#include "ca/keyfile.h"
#include "scepctl/probe.h"

#define BACKDATED 60 /* seconds that a fresh certificate should be old */

struct enrolment {
    EVP_PKEY *key;
    struct name subject;
    struct san san;
    struct client_identity self;   /* signs the first request */
    struct client_identity device; /* key and certificate, once issued */
    struct buf csr, message;
    struct probe_message m;
    char transaction[33];
    enum probe_transport how;
};

static void enrolment_clear(struct enrolment *e)
{
    EVP_PKEY_free(e->key);
    name_clear(&e->subject);
    san_clear(&e->san);
    client_identity_clear(&e->self);
    client_identity_clear(&e->device);
    buf_wipe(&e->csr);
    buf_wipe(&e->message);
}

static bool read_names(const struct probe_options *o, struct enrolment *e, struct err *err)
{
    char subject[256], random[33];
    if (!probe_transaction(random, err))
        return false;
    snprintf(subject, sizeof subject, "CN=scepd-probe-%.8s", random);
    if (!name_from_text(*o->subject ? o->subject : subject, &e->subject, err))
        return false;
    char *copy = strdup(o->san ? o->san : ""), *rest = copy;
    bool ok = copy || err_memory(err);
    for (char *one; ok && (one = strtok_r(rest, ",", &rest));)
        ok = san_add_text(&e->san, one, err);
    free(copy);
    return ok;
}

static bool prepare(struct probe *p, struct enrolment *e, uint8_t nonce[16], struct err *err)
{
    struct client_wish wish = {
        .subject = &e->subject, .san = &e->san, .challenge = p->o->challenge};
    client_choose(&p->caps, &e->m.digest, &e->m.cipher);
    e->how = p->finding[PROBE_POST_HONOURED].status == PROBE_OK && p->caps.post ? BY_POST : BY_GET;
    e->m.type = SCEP_PKCS_REQ;
    e->m.padding = PADDING_PKCS1;
    e->m.transaction_id = e->transaction;
    if (!read_names(p->o, e, err) || !key_generate("rsa2048", &e->key, err) ||
        !client_identity_self_signed(e->key, &e->subject, p->ctl->now, &e->self, err) ||
        !client_csr_build(e->key, &wish, &e->csr, err) || !probe_transaction(e->transaction, err))
        return false;
    e->m.content = buf_view(&e->csr);
    return probe_message_build(p, &e->m, &e->self, nonce, &e->message, err);
}

/* ---- the certificate ---- */

static bool same_key(const struct cert *c, EVP_PKEY *key)
{
    struct pubkey parsed;
    EVP_PKEY *have = NULL;
    struct err ignored;
    bool same = pubkey_parse(c->spki, &parsed, &ignored) && pubkey_load(&parsed, &have, &ignored) &&
                EVP_PKEY_eq(have, key) == 1;
    EVP_PKEY_free(have);
    ERR_clear_error();
    return same;
}

static bool issued_by_them(const struct probe *p, const struct cert *c)
{
    struct pubkey key;
    struct err ignored;
    bool found = false;
    for (size_t i = 0; i < p->cert_n && !found; i++) {
        EVP_PKEY *pkey = NULL;
        found = view_eq(c->issuer, p->cert[i]->subject) &&
                pubkey_parse(p->cert[i]->spki, &key, &ignored) &&
                pubkey_load(&key, &pkey, &ignored) && cert_signature_verify(c, pkey, &ignored);
        EVP_PKEY_free(pkey);
    }
    return found;
}

/* Ours among those sent, parsed; NULL when there is none. */
static struct cert *find_leaf(struct probe *p, const struct scep_certs *certs, EVP_PKEY *key)
{
    struct cert *c = NULL;
    struct err ignored;
    size_t at = 0;
    for (; at < certs->n; at++) {
        if (!cert_parse(buf_view(&certs->der[at]), &c, &ignored))
            continue;
        if (same_key(c, key))
            break;
        cert_free(c);
        c = NULL;
    }
    if (!c)
        probe_fail(p, PROBE_ENROL_CONTENT, 0, "%zu certificates, none with the key of the request",
                   certs->n);
    else if (at > 0)
        probe_fail(p, PROBE_ENROL_CONTENT, C(APPLE) | C(SSCEP),
                   "the issued certificate stands at place %zu", at + 1);
    else if (certs->n > 1)
        probe_warn(p, PROBE_ENROL_CONTENT, NOBODY, "%zu certificates behind the issued one",
                   certs->n - 1);
    else
        probe_ok(p, PROBE_ENROL_CONTENT, "the certificate alone");
    return c;
}

static void judge_names(struct probe *p, const struct cert *c, const struct enrolment *e,
                        const struct extensions *x)
{
    char asked[512], given[512];
    name_text(&e->subject, asked, sizeof asked);
    name_der_text(c->subject, given, sizeof given);
    if (strcmp(asked, given) != 0)
        probe_warn(p, PROBE_ENROL_NAMES, 0, "subject %.100s for %.100s", given, asked);
    if (e->san.n && !(x->has_san && san_eq(&e->san, &x->san))) {
        san_text(&x->san, given, sizeof given);
        probe_warn(p, PROBE_ENROL_NAMES, 0, "subjectAltName %.100s",
                   x->has_san ? given : "left out");
    }
    if (!p->finding[PROBE_ENROL_NAMES].known)
        probe_ok(p, PROBE_ENROL_NAMES, "%.200s", given);
}

static void judge_usage(struct probe *p, const struct extensions *x)
{
    char eku[200];
    ctl_eku_text(&x->eku, eku, sizeof eku);
    if (x->has_basic_constraints && x->is_ca)
        probe_fail(p, PROBE_ENROL_USAGE, 0, "the device got a CA certificate");
    if (!eku_has(&x->eku, "1.3.6.1.5.5.7.3.2"))
        probe_warn(p, PROBE_ENROL_USAGE, 0, "no clientAuth%s%s", *eku ? " among " : "", eku);
    if (x->has_key_usage && !(x->key_usage & KU_DIGITAL_SIGNATURE))
        probe_warn(p, PROBE_ENROL_USAGE, 0, "no digitalSignature");
    if (!p->finding[PROBE_ENROL_USAGE].known)
        probe_ok(p, PROBE_ENROL_USAGE, "%s", eku);
}

static void judge_life(struct probe *p, const struct cert *c)
{
    int64_t now = probe_now(p) + 1; /* a second may have begun meanwhile */
    if (c->not_before > now)
        probe_fail(p, PROBE_ENROL_LIFE, 0, "begins %lld s in the future",
                   (long long)(c->not_before - now));
    else if (c->not_before > now - BACKDATED)
        probe_warn(p, PROBE_ENROL_LIFE, 0,
                   "begins at this second: devices whose clock is behind refuse it");
    if (c->not_after > p->ca.issuer->not_after)
        probe_warn(p, PROBE_ENROL_LIFE, NOBODY, "ends after its CA");
    if (c->serial.n == 0 || c->serial.n > 20 || c->serial.p[0] & 0x80)
        probe_warn(p, PROBE_ENROL_LIFE, NOBODY, "the serial number has %zu octets%s", c->serial.n,
                   c->serial.n && c->serial.p[0] & 0x80 ? " and is negative" : "");
    if (!p->finding[PROBE_ENROL_LIFE].known)
        probe_ok(p, PROBE_ENROL_LIFE, "%lld d, begins %lld min ago",
                 (long long)((c->not_after - now) / 86400),
                 (long long)((now - c->not_before) / 60));
}

static void judge_status(struct probe *p, const struct cert *c)
{
    const unsigned char *der = c->der.p;
    X509 *x = d2i_X509(NULL, &der, (long)c->der.n);
    bool crl = x && X509_get_ext_by_NID(x, NID_crl_distribution_points, -1) >= 0;
    bool aia = x && X509_get_ext_by_NID(x, NID_info_access, -1) >= 0;
    if (crl || aia)
        probe_ok(p, PROBE_ENROL_STATUS, "%s%s%s", crl ? "CRL" : "", crl && aia ? ", " : "",
                 aia ? "authority information" : "");
    else
        probe_warn(p, PROBE_ENROL_STATUS, NOBODY, "neither a CRL nor an OCSP responder");
    X509_free(x);
    ERR_clear_error();
}

static void judge_certificate(struct probe *p, const struct cert *c, const struct enrolment *e)
{
    struct extensions x = {0};
    struct err err = {0};
    if (!issued_by_them(p, c))
        probe_fail(p, PROBE_ENROL_KEY, 0, "not issued by a CA of GetCACert");
    else
        probe_ok(p, PROBE_ENROL_KEY, "the request's key, by the CA of GetCACert");
    if (c->extensions.n && !extensions_parse(c->extensions, REASON_MESSAGE_MALFORMED, &x, &err)) {
        probe_fail(p, PROBE_ENROL_USAGE, 0, "%s", err.text);
    } else {
        judge_names(p, c, e, &x);
        judge_usage(p, &x);
    }
    judge_life(p, c);
    judge_status(p, c);
    extensions_clear(&x);
}

/* ---- enrol, and once more ---- */

static void note_serial(struct probe *p, const struct cert *c)
{
    char hex[2 * 20 + 1];
    size_t n = strlen(p->serials);
    hex_encode(view_of(c->serial.p, c->serial.n < 20 ? c->serial.n : 20), hex);
    snprintf(p->serials + n, sizeof p->serials - n, "%s%s", n ? " " : "", hex);
}

static bool keep_device(struct probe *p, struct enrolment *e, struct cert *leaf)
{
    struct err ignored;
    client_identity_clear(&e->device);
    if (!EVP_PKEY_up_ref(e->key))
        return false;
    e->device.key = e->key;
    cert_free(p->issued);
    p->issued = NULL;
    note_serial(p, leaf);
    return buf_append(&e->device.cert, leaf->der.p, leaf->der.n) &&
           cert_parse(buf_view(&leaf->der), &p->issued, &ignored);
}

static bool first_time(struct probe *p, struct enrolment *e, const uint8_t nonce[16])
{
    struct probe_reply r;
    struct scep_certs certs = {0};
    struct cert *leaf = NULL;
    struct err err = {0};
    probe_transmit(p, e->how, buf_view(&e->message), nonce, &r);
    probe_judge(p, &r, &e->m);
    if (r.outcome == OUT_CERTREP && r.status == SCEP_PENDING)
        probe_warn(p, PROBE_ENROL_ANSWER, C(APPLE),
                   "PENDING: transaction %s waits for approval, Apple gives up after 30 s",
                   e->transaction);
    else if (!probe_open(p, &r, &e->self, e->m.cipher, &certs, &err))
        probe_fail(p, PROBE_ENROL_ANSWER, 0, "%s", err.text);
    else if ((leaf = find_leaf(p, &certs, e->key))) {
        probe_ok(p, PROBE_ENROL_ANSWER, "SUCCESS, transaction %s", e->transaction);
        judge_certificate(p, leaf, e);
    } else
        probe_fail(p, PROBE_ENROL_ANSWER, 0, "SUCCESS without our certificate");
    bool ok = leaf && keep_device(p, e, leaf);
    cert_free(leaf);
    scep_certs_clear(&certs);
    probe_reply_clear(&r);
    return ok;
}

/* RFC 8894 section 5.2: the reply was lost, and the client asks again. */
static void same_again(struct probe *p, struct enrolment *e, const uint8_t nonce[16])
{
    struct probe_reply r;
    struct scep_certs certs = {0};
    struct err err = {0};
    probe_transmit(p, e->how, buf_view(&e->message), nonce, &r);
    if (!probe_open(p, &r, &e->self, e->m.cipher, &certs, &err))
        probe_warn(p, PROBE_ENROL_AGAIN, 0, "%s", err.text);
    else if (certs.n == 0 || !view_eq(buf_view(&certs.der[0]), buf_view(&e->device.cert)))
        probe_warn(p, PROBE_ENROL_AGAIN, NOBODY,
                   "another certificate: each retry leaves one behind");
    else
        probe_ok(p, PROBE_ENROL_AGAIN, "the same certificate");
    scep_certs_clear(&certs);
    probe_reply_clear(&r);
}

/* ---- with the certificate ---- */

static bool ask_with_device(struct probe *p, struct enrolment *e, enum scep_type type,
                            struct view content, struct client_identity *who, struct probe_reply *r,
                            struct err *err)
{
    char transaction[33];
    struct probe_message m = e->m;
    m.type = type;
    m.content = content;
    m.transaction_id = transaction;
    if (!probe_transaction(transaction, err) || !probe_ask(p, e->how, &m, who, r, err))
        return false;
    probe_judge(p, r, &m);
    return true;
}

static void get_back(struct probe *p, struct enrolment *e, enum scep_type type, enum probe_check c)
{
    struct buf content = {0};
    struct probe_reply r = {0};
    struct scep_certs certs = {0};
    struct err err = {0};
    bool ok = scep_issuer_and_serial_build(p->issued->issuer, p->issued->serial, &content, &err) &&
              ask_with_device(p, e, type, buf_view(&content), &e->device, &r, &err) &&
              probe_open(p, &r, &e->device, e->m.cipher, &certs, &err);
    bool right = type == SCEP_GET_CRL
                     ? certs.crl.n > 0
                     : certs.n > 0 && view_eq(buf_view(&certs.der[0]), buf_view(&p->issued->der));
    if (!ok)
        probe_warn(p, c, 0, "%s", err.text);
    else if (!right)
        probe_fail(p, c, 0, "SUCCESS without what was asked for");
    else
        probe_ok(p, c, "given");
    buf_clear(&content);
    scep_certs_clear(&certs);
    probe_reply_clear(&r);
}

static void judge_renewal(struct probe *p, struct enrolment *e, const struct probe_reply *r,
                          const struct scep_certs *certs, EVP_PKEY *key, enum probe_check c)
{
    struct cert *leaf = NULL;
    struct err ignored;
    for (size_t i = 0; i < certs->n && !leaf; i++)
        if (cert_parse(buf_view(&certs->der[i]), &leaf, &ignored) && !same_key(leaf, key)) {
            cert_free(leaf);
            leaf = NULL;
        }
    if (!leaf)
        probe_fail(p, c, 0, "%s without a certificate for the new key", r->text);
    else
        probe_ok(p, c, "renewed with a new key");
    EVP_PKEY *old = e->key;
    e->key = key;
    if (!leaf || !keep_device(p, e, leaf))
        e->key = old; /* the next renewal starts from the certificate before */
    else
        EVP_PKEY_free(old);
    cert_free(leaf);
}

static bool ask_renewal(struct probe *p, struct enrolment *e, enum scep_type type, EVP_PKEY *key,
                        struct view challenge, struct probe_reply *r, struct err *err)
{
    struct buf csr = {0};
    probe_reply_clear(r);
    bool ok = client_renewal_csr_build(key, p->issued, challenge, &csr, err) &&
              ask_with_device(p, e, type, buf_view(&csr), &e->device, r, err);
    buf_wipe(&csr);
    return ok;
}

static bool refused(const struct probe_reply *r)
{
    return r->outcome == OUT_CERTREP && r->status != SCEP_SUCCESS;
}

static void renew(struct probe *p, struct enrolment *e, enum scep_type type, enum probe_check c)
{
    EVP_PKEY *key = NULL;
    struct probe_reply r = {0};
    struct scep_certs certs = {0};
    struct err err = {0};
    bool sent = key_generate("rsa2048", &key, &err) &&
                ask_renewal(p, e, type, key, view_of(NULL, 0), &r, &err);
    if (sent && refused(&r) && r.fail_info == FAIL_BAD_TIME) {
        probe_skip(p, c, "too early for this server: %s", r.text);
        goto out;
    }
    /* RFC 8894 section 2.4 lets a server ask for it; clients do not know that it does. */
    if (sent && refused(&r) && p->o->challenge.n) {
        sent = ask_renewal(p, e, type, key, p->o->challenge, &r, &err);
        if (sent && r.outcome == OUT_CERTREP && r.status == SCEP_SUCCESS)
            probe_warn(p, c, 0, "only with the challenge, which clients do not send again");
    }
    if (sent && refused(&r)) {
        probe_warn(p, c, 0, "%s; is the window for renewals not open yet?", r.text);
    } else if (!sent || !probe_open(p, &r, &e->device, e->m.cipher, &certs, &err)) {
        probe_fail(p, c, 0, "%s", err.text);
    } else {
        judge_renewal(p, e, &r, &certs, key, c);
        key = e->key == key ? NULL : key;
    }
out:
    EVP_PKEY_free(key);
    scep_certs_clear(&certs);
    probe_reply_clear(&r);
}

void probe_enrol(struct probe *p)
{
    struct enrolment e = {0};
    struct err err = {0};
    uint8_t nonce[16];
    if (!prepare(p, &e, nonce, &err)) {
        probe_fail(p, PROBE_ENROL_ANSWER, 0, "%s", err.text);
    } else if (first_time(p, &e, nonce)) {
        same_again(p, &e, nonce);
        get_back(p, &e, SCEP_GET_CERT, PROBE_ENROL_GET_CERT);
        get_back(p, &e, SCEP_GET_CRL, PROBE_ENROL_GET_CRL);
        if (p->caps.renewal)
            renew(p, &e, SCEP_RENEWAL_REQ, PROBE_ENROL_RENEW17);
        else
            probe_skip(p, PROBE_ENROL_RENEW17, "not announced");
        renew(p, &e, SCEP_PKCS_REQ, PROBE_ENROL_RENEW19);
    }
    enrolment_clear(&e);
}
