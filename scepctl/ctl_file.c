/* What is in this file?  Certificate, request, CRL, SCEP message, bundle: in PEM or DER, said in
 * words. */
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "base/hex.h"
#include "ca/keyfile.h"
#include "pkcs7/cert.h"
#include "pkcs7/csr.h"
#include "pkcs7/scep.h"
#include "scepctl/ctl.h"

#define INPUT_MAX (64u << 20) /* a CRL of a million entries */

bool ctl_is_file(const char *word)
{
    size_t n = strlen(word);
    bool cut = n > 2 && strcmp(word + n - 2, "..") == 0; /* a serial as lists show it */
    return strcmp(word, "-") == 0 || strchr(word, '/') || (strchr(word, '.') && !cut);
}

int ctl_read_input(struct ctl *ctl, const char *path, struct buf *out)
{
    char chunk[16384];
    size_t n;
    int rc = CTL_DONE;
    FILE *in = strcmp(path, "-") ? fopen(path, "re") : stdin;
    if (!in)
        return ctl_fail(ctl, CTL_NOT_FOUND, NULL, "cannot read %s", path);
    while (rc == CTL_DONE && (n = fread(chunk, 1, sizeof chunk, in)) > 0)
        if (out->n + n > INPUT_MAX || !buf_append(out, chunk, n))
            rc = ctl_fail(ctl, CTL_FAILED, NULL, "%s has more than %u octets", path, INPUT_MAX);
    if (rc == CTL_DONE && ferror(in))
        rc = ctl_fail(ctl, CTL_FAILED, NULL, "cannot read %s", path);
    if (in != stdin)
        fclose(in);
    return rc;
}

/* ---- each kind; true when it was one, and is shown ---- */

static void show_serial(struct ctl_show *s, const struct cert *c)
{
    char serial[2 * 64 + 1]; /* longer ones are cut: RFC 5280 allows 20 octets */
    size_t n = c->serial.n < sizeof serial / 2 ? c->serial.n : sizeof serial / 2;
    hex_encode(view_of(c->serial.p, n), serial);
    ctl_show_text(s, "serial", serial);
}

static bool show_certificate(struct ctl *ctl, struct view der)
{
    struct cert *c = NULL;
    struct err err = {0};
    struct ctl_show s;
    if (!cert_parse(der, &c, &err))
        return false;
    ctl_show_start(&s, ctl);
    ctl_show_text(&s, "kind", "certificate");
    show_serial(&s, c);
    ctl_show_cert(&s, c);
    ctl_show_end(&s);
    cert_free(c);
    return true;
}

static bool show_csr(struct ctl *ctl, struct view der)
{
    struct csr *csr = NULL;
    struct err err = {0};
    struct ctl_show s;
    char text[NAME_TEXT_MAX];
    if (!csr_parse_trusted(der, &csr, &err))
        return false;
    ctl_show_start(&s, ctl);
    ctl_show_text(&s, "kind", "certification request");
    name_text(&csr->subject, text, sizeof text);
    ctl_show_text(&s, "subject", text);
    san_text(&csr->ext.san, text, sizeof text);
    ctl_show_text(&s, "san", text);
    pubkey_text(&csr->key, text);
    ctl_show_text(&s, "key", text);
    if (csr->ext.has_key_usage) {
        key_usage_text(csr->ext.key_usage, text, sizeof text);
        ctl_show_text(&s, "key_usage", text);
    }
    ctl_eku_text(&csr->ext.eku, text, sizeof text);
    ctl_show_text(&s, "ext_key_usage", text);
    ctl_show_text(&s, "has_challenge", csr->has_challenge ? "yes" : "no");
    ctl_show_end(&s);
    csr_free(csr);
    return true;
}

static bool show_crl(struct ctl *ctl, struct view der)
{
    const unsigned char *p = der.p;
    struct ctl_show s;
    X509_CRL *crl = d2i_X509_CRL(NULL, &p, (long)der.n);
    bool is = crl && p == der.p + der.n;
    X509_CRL_free(crl);
    ERR_clear_error();
    if (!is)
        return false;
    ctl_show_start(&s, ctl);
    ctl_show_text(&s, "kind", "revocation list");
    ctl_show_crl(&s, der);
    ctl_show_end(&s);
    return true;
}

static void show_reply(struct ctl_show *s, const struct scep_message *m)
{
    static const char *const words[] = {"SUCCESS", "", "FAILURE", "PENDING"};
    ctl_show_text(s, "status", words[m->status & 3]);
    if (m->status != SCEP_FAILURE)
        return;
    ctl_show_number(s, "fail_info", m->fail_info);
    ctl_show_text(s, "fail_text", m->fail_text);
}

static void show_signer(struct ctl_show *s, const struct cert *c, bool self_signed)
{
    char text[NAME_TEXT_MAX];
    if (!c)
        return;
    name_der_text(c->subject, text, sizeof text);
    ctl_show_text(s, "signer", text);
    ctl_show_text(s, "signed_by",
                  self_signed ? "its own key, by a certificate made for this" : "a certificate");
}

/* The outer layer; what is inside was encrypted for somebody else. */
static bool show_message(struct ctl *ctl, struct view der)
{
    struct scep_message *m = NULL;
    struct err err = {0};
    struct ctl_show s;
    char text[64];
    bool good = scep_parse(der, ~0u, &m, &err);
    if (!m || (!good && !m->replyable)) {
        scep_message_free(m);
        return false;
    }
    ctl_show_start(&s, ctl);
    ctl_show_text(&s, "kind", "SCEP message");
    ctl_show_text(&s, "type", scep_type_name(m->type));
    ctl_show_text(&s, "transaction", m->transaction_id);
    if (good)
        ctl_show_text(&s, "digest", digest_name(m->digest));
    if (good && m->is_reply)
        show_reply(&s, m);
    show_signer(&s, m->signer, m->self_signed);
    ctl_show_time(&s, "signing_time", m->signing_time);
    hex_encode(view_of(m->sender_nonce, m->sender_nonce_len < 31 ? m->sender_nonce_len : 31), text);
    ctl_show_text(&s, "sender_nonce", text);
    ctl_show_number(&s, "encrypted_bytes", (int64_t)m->content.n);
    if (!good)
        ctl_show_text(&s, "problem", err.text);
    ctl_show_end(&s);
    scep_message_free(m);
    return true;
}

static bool show_bundle(struct ctl *ctl, struct view der)
{
    struct scep_certs certs = {0};
    struct err err = {0};
    if (!scep_certs_parse(der, &certs, &err))
        return false;
    for (size_t i = 0; i < certs.n; i++)
        show_certificate(ctl, buf_view(&certs.der[i]));
    if (certs.crl.n)
        show_crl(ctl, buf_view(&certs.crl));
    ctl_note(ctl, "a bundle of %zu certificates%s", certs.n,
             certs.crl.n ? " and a revocation list" : "");
    scep_certs_clear(&certs);
    return true;
}

static bool show_der(struct ctl *ctl, struct view der)
{
    return show_certificate(ctl, der) || show_csr(ctl, der) || show_crl(ctl, der) ||
           show_message(ctl, der) || show_bundle(ctl, der);
}

/* ---- PEM ---- */

static void show_key(struct ctl *ctl)
{
    struct ctl_show s;
    ctl_show_start(&s, ctl);
    ctl_show_text(&s, "kind", "private key");
    ctl_show_end(&s);
    ctl_note(ctl, "a private key is not shown");
}

/* All that stand in it, one after the other; false when there is none that can be read. */
static bool show_pem(struct ctl *ctl, struct view text)
{
    BIO *in = BIO_new_mem_buf(text.p, (int)text.n);
    char *name = NULL, *header = NULL;
    unsigned char *der = NULL;
    long n = 0;
    bool any = false;
    while (in && PEM_read_bio(in, &name, &header, &der, &n) == 1) {
        if (strstr(name, "PRIVATE KEY")) {
            show_key(ctl);
            any = true;
        } else {
            any |= show_der(ctl, view_of(der, (size_t)n));
        }
        OPENSSL_free(name);
        OPENSSL_free(header);
        OPENSSL_clear_free(der, (size_t)n);
    }
    ERR_clear_error();
    BIO_free(in);
    return any;
}

int ctl_show_file(struct ctl *ctl, const char *path)
{
    struct buf input = {0};
    int rc = ctl_read_input(ctl, path, &input);
    struct view in = buf_view(&input);
    if (rc == CTL_DONE && !show_pem(ctl, in) && !show_der(ctl, in))
        rc = ctl_fail(
            ctl, CTL_FAILED, NULL,
            "%s is neither a certificate, a certification request, a revocation list nor a "
            "SCEP message, in PEM or DER",
            strcmp(path, "-") ? path : "the input");
    buf_wipe(&input);
    return rc;
}
