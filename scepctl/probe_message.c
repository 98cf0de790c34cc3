/* The probe's messages: what can be asked of any server without being granted, and what came back.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/x509.h>

#include "base/hex.h"
#include "base/text.h"
#include "scepctl/probe.h"

#define PAD_VALUE 1000 /* characters of one attribute; NAME_MAX_VALUE is more */

static bool crypto_failed(struct err *err, const char *what)
{
    ERR_clear_error();
    return err_set(err, ERR_CRYPTO, "%s failed", what);
}

/* ---- contents ---- */

static bool hopeless_request(X509_REQ *q, EVP_PKEY *named, EVP_PKEY *signer)
{
    X509_NAME *name = X509_REQ_get_subject_name(q);
    return X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                      (const unsigned char *)"scepd-probe (not to be granted)", -1,
                                      -1, 0) &&
           X509_REQ_set_version(q, X509_REQ_VERSION_1) && X509_REQ_set_pubkey(q, named) &&
           X509_REQ_sign(q, signer, EVP_sha256());
}

bool probe_hopeless_csr(struct probe *p, struct buf *out, struct err *err)
{
    X509_REQ *q = X509_REQ_new();
    EVP_PKEY *named = EVP_PKEY_Q_keygen(NULL, NULL, "X448");
    unsigned char *der = NULL;
    int n = q && named && hopeless_request(q, named, p->who.key) ? i2d_X509_REQ(q, &der) : -1;
    bool ok = n > 0 ? buf_append(out, der, (size_t)n) || err_memory(err)
                    : crypto_failed(err, "making a request");
    OPENSSL_free(der);
    EVP_PKEY_free(named);
    X509_REQ_free(q);
    return ok;
}

static bool padded_name(size_t padding, struct buf *out, struct err *err)
{
    struct name name = {0};
    char pad[PAD_VALUE + 1];
    struct der w = {0};
    bool ok = name_from_text("CN=scepd-probe", &name, err);
    while (ok && padding > 0 && name.n < NAME_MAX_ATTRS) {
        size_t n = padding < PAD_VALUE ? padding : PAD_VALUE;
        memset(pad, 'x', n);
        pad[n] = '\0';
        ok = name_add(&name, name_type_by_key("OU"), pad, REASON_SUBJECT_FORBIDDEN, err);
        padding -= n;
    }
    if (ok) {
        der_init(&w, padding + 256);
        name_build(&name, &w);
        ok = der_take(&w, out, err);
    }
    name_clear(&name);
    return ok;
}

bool probe_poll_content(struct probe *p, size_t padding, struct buf *out, struct err *err)
{
    struct buf subject = {0};
    bool ok = padded_name(padding, &subject, err) &&
              scep_issuer_and_subject_build(p->ca.issuer->subject, buf_view(&subject), out, err);
    buf_clear(&subject);
    return ok;
}

bool probe_serial_content(struct probe *p, struct view serial, struct buf *out, struct err *err)
{
    uint8_t random[16];
    if (serial.n == 0) {
        if (RAND_bytes(random, sizeof random) != 1)
            return crypto_failed(err, "drawing random numbers");
        random[0] = (random[0] & 0x7f) | 0x40;
        serial = view_of(random, sizeof random);
    }
    return scep_issuer_and_serial_build(p->ca.issuer->subject, serial, out, err);
}

bool probe_transaction(char out[33], struct err *err)
{
    uint8_t random[16];
    if (RAND_bytes(random, sizeof random) != 1)
        return crypto_failed(err, "drawing random numbers");
    hex_encode(view_of(random, sizeof random), out);
    return true;
}

bool probe_message_build(struct probe *p, const struct probe_message *m,
                         struct client_identity *who, uint8_t nonce[16], struct buf *out,
                         struct err *err)
{
    struct scep_keys keys = client_keys(who);
    struct scep_request r = {
        .type = m->type,
        .transaction_id = m->transaction_id,
        .nonce = nonce,
        .digest = m->digest,
        .cipher = m->cipher,
        .padding = m->padding,
        .content = m->content,
        .signer_cert = buf_view(&who->cert),
        .recipient = m->recipient ? m->recipient : p->ca.recipient,
        .ber = m->ber,
    };
    if (RAND_bytes(nonce, 16) != 1)
        return crypto_failed(err, "drawing random numbers");
    return scep_request_build(&r, &keys, out, err);
}

/* ---- replies ---- */

/* Decimal text of one or two digits; -1 for anything else. */
static int number_of(const struct inspected_attribute *a)
{
    if (a->times == 0 || a->n == 0 || a->n > 2)
        return -1;
    for (size_t i = 0; i < a->n; i++)
        if (!isdigit(a->value[i]))
            return -1;
    return atoi((const char *)a->value);
}

static const char *fail_name(int info)
{
    static const char *const names[] = {"badAlg", "badMessageCheck", "badRequest", "badTime",
                                        "badCertId"};
    return info >= 0 && info < 5 ? names[info] : "no known failInfo";
}

static void describe_certrep(struct probe_reply *r)
{
    char why[120] = "";
    const struct inspected_attribute *text = &r->seen.attribute[ATTR_FAIL_TEXT];
    text_printable(view_of(text->value, text->n < 60 ? text->n : 60), why, sizeof why);
    if (r->status == SCEP_FAILURE)
        snprintf(r->text, sizeof r->text, "FAILURE %s%s%s", fail_name(r->fail_info),
                 *why ? ": " : "", why);
    else
        snprintf(r->text, sizeof r->text, "%s",
                 r->status == SCEP_SUCCESS   ? "SUCCESS"
                 : r->status == SCEP_PENDING ? "PENDING"
                                             : "no known pkiStatus");
}

/* The beginning of what a server says instead: enough to tell nginx's page from an application's.
 */
static void describe_http(struct probe_reply *r)
{
    char first[80];
    struct view body = buf_view(&r->http.body);
    size_t n = 0;
    while (n < body.n && n < 48 && body.p[n] != '\r' && body.p[n] != '\n')
        n++;
    text_printable(view_of(body.p, n), first, sizeof first);
    snprintf(r->text, sizeof r->text, "HTTP %ld%s%s%s%s%s%s", r->http.status,
             r->http.server[0] ? " from " : "", r->http.server, *first ? " \"" : "", first,
             *first ? "\"" : "", r->http.status == 200 ? ", no CertRep" : "");
}

static void read_reply(struct probe *p, struct probe_reply *r)
{
    struct err err = {0};
    r->status = r->fail_info = -1;
    r->outcome = OUT_HTTP;
    if (inspect_signed(buf_view(&r->http.body), p->cert, p->cert_n, &r->seen, &err) &&
        r->seen.signers > 0)
        r->outcome = OUT_CERTREP;
    else if (r->http.status == 200)
        r->outcome = OUT_GARBAGE;
    if (r->outcome != OUT_CERTREP) {
        describe_http(r);
        return;
    }
    r->status = number_of(&r->seen.attribute[ATTR_PKI_STATUS]);
    r->fail_info = number_of(&r->seen.attribute[ATTR_FAIL_INFO]);
    describe_certrep(r);
}

void probe_reply_clear(struct probe_reply *r)
{
    probe_answer_clear(&r->http);
    inspected_signed_clear(&r->seen);
    *r = (struct probe_reply){0};
}

void probe_transmit_as(struct probe *p, const struct probe_request *request,
                       const uint8_t nonce[16], struct probe_reply *out)
{
    struct err err = {0};
    *out = (struct probe_reply){.status = -1, .fail_info = -1};
    memcpy(out->nonce, nonce, 16);
    if (probe_send(p, request, &out->http, &err))
        read_reply(p, out);
    else
        snprintf(out->text, sizeof out->text, "%.190s", err.text);
}

void probe_transmit(struct probe *p, enum probe_transport how, struct view message,
                    const uint8_t nonce[16], struct probe_reply *out)
{
    struct buf query = {0};
    struct probe_request r = {.query = "operation=PKIOperation", .body = &message};
    bool ok = true;
    if (how == BY_GET) {
        size_t n = 4 * ((message.n + 2) / 3);
        char *base64 = malloc(n + 1);
        ok = base64 && buf_append_str(&query, "operation=PKIOperation&message=");
        if (ok)
            EVP_EncodeBlock((unsigned char *)base64, message.p, (int)message.n);
        ok = ok && probe_escape(view_of(base64, n), &query) && buf_append(&query, "", 1);
        free(base64);
        r = (struct probe_request){.query = (const char *)query.p};
    }
    if (ok)
        probe_transmit_as(p, &r, nonce, out);
    else
        *out = (struct probe_reply){.status = -1, .fail_info = -1, .text = "out of memory"};
    buf_clear(&query);
}

bool probe_ask(struct probe *p, enum probe_transport how, const struct probe_message *m,
               struct client_identity *who, struct probe_reply *out, struct err *err)
{
    struct buf message = {0};
    uint8_t nonce[16];
    *out = (struct probe_reply){.status = -1, .fail_info = -1};
    bool ok = probe_message_build(p, m, who, nonce, &message, err);
    if (ok)
        probe_transmit(p, how, buf_view(&message), nonce, out);
    buf_clear(&message);
    return ok;
}

bool probe_same(const struct probe_reply *a, const struct probe_reply *b)
{
    return a->outcome == b->outcome && a->http.status == b->http.status && a->status == b->status &&
           a->fail_info == b->fail_info;
}
