/* The client's HTTP, by libcurl: GetCACaps, GetCACert, GetNextCACert, PKIOperation. */
#include "client/client.h"

#include <curl/curl.h>
#include <openssl/cms.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

/* No answer of a SCEP server is larger; a CRL by GetCRL may come near. */
#define MAX_ANSWER (64u << 20)

struct client {
    CURL *curl;
    char *url, *ca_identifier;
    bool force_get;
    struct buf body;
};

static size_t on_body(char *data, size_t size, size_t n, void *ctx)
{
    struct buf *b = ctx;
    if (b->n + size * n > MAX_ANSWER || !buf_append(b, data, size * n))
        return 0; /* curl takes it as a write error */
    return size * n;
}

bool client_new(const struct client_options *o, struct client **out, struct err *err)
{
    struct client *c = calloc(1, sizeof *c);
    if (!c)
        return err_memory(err);
    c->curl = curl_easy_init();
    c->url = strdup(o->url);
    c->ca_identifier = o->ca_identifier ? strdup(o->ca_identifier) : NULL;
    c->force_get = o->force_get;
    if (!c->curl || !c->url || (o->ca_identifier && !c->ca_identifier)) {
        client_free(c);
        return err_memory(err);
    }
    curl_easy_setopt(c->curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c->curl, CURLOPT_TIMEOUT, (long)(o->timeout > 0 ? o->timeout : 60));
    curl_easy_setopt(c->curl, CURLOPT_USERAGENT, "scepctl");
    curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, &c->body);
    *out = c;
    return true;
}

void client_free(struct client *c)
{
    if (!c)
        return;
    if (c->curl)
        curl_easy_cleanup(c->curl);
    free(c->url);
    free(c->ca_identifier);
    buf_clear(&c->body);
    free(c);
}

/* URL with operation and, escaped, message (NULL: none). */
static char *operation_url(struct client *c, const char *operation, struct view message)
{
    char *escaped = NULL, *url = NULL;
    const char *join = strchr(c->url, '?') ? "&" : "?";
    if (message.p &&
        !(escaped = curl_easy_escape(c->curl, (const char *)message.p, (int)message.n)))
        return NULL;
    if (asprintf(&url, "%s%soperation=%s%s%s", c->url, join, operation, escaped ? "&message=" : "",
                 escaped ? escaped : "") < 0)
        url = NULL;
    curl_free(escaped);
    return url;
}

/* One HTTP exchange; the body is in c->body.  `post` NULL: GET. */
static bool perform(struct client *c, const char *operation, struct view message,
                    const struct view *post, long *status, const char **type, struct err *err)
{
    char *url = operation_url(c, operation, message);
    if (!url)
        return err_memory(err);
    struct curl_slist *headers = NULL;
    buf_reset(&c->body);
    curl_easy_setopt(c->curl, CURLOPT_URL, url);
    if (post) {
        headers = curl_slist_append(headers, "Content-Type: application/x-pki-message");
        headers = curl_slist_append(headers, "Expect:");
        curl_easy_setopt(c->curl, CURLOPT_POST, 1L);
        curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, post->p);
        curl_easy_setopt(c->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)post->n);
    } else {
        curl_easy_setopt(c->curl, CURLOPT_HTTPGET, 1L);
    }
    curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, headers);
    CURLcode code = curl_easy_perform(c->curl);
    curl_slist_free_all(headers);
    free(url);
    if (code != CURLE_OK)
        return err_set(err, ERR_IO, "%s of %s: %s", operation, c->url, curl_easy_strerror(code));
    *type = NULL;
    curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, status);
    curl_easy_getinfo(c->curl, CURLINFO_CONTENT_TYPE, type);
    return true;
}

static bool expect_ok(struct client *c, const char *operation, long status, struct err *err)
{
    if (status == 200)
        return true;
    char first[120];
    size_t n = 0;
    while (n < c->body.n && n < sizeof first - 1 && c->body.p[n] >= 0x20 && c->body.p[n] < 0x7f)
        n++;
    memcpy(first, c->body.p ? (const char *)c->body.p : "", n);
    first[n] = '\0';
    return err_set(err, ERR_IO, "%s: the server answered HTTP %ld%s%s", operation, status,
                   n ? ": " : "", first);
}

/* ---- GetCACaps ---- */

static void caps_word(struct client_caps *caps, const char *word)
{
    static const struct {
        const char *word;
        unsigned digest, cipher;
    } table[] = {
        {"SHA-1", ALG_BIT(DIGEST_SHA1), 0},
        {"SHA-256", ALG_BIT(DIGEST_SHA256), 0},
        {"SHA-384", ALG_BIT(DIGEST_SHA384), 0},
        {"SHA-512", ALG_BIT(DIGEST_SHA512), 0},
        {"AES", 0, ALG_BIT(CIPHER_AES128)},
        {"DES3", 0, ALG_BIT(CIPHER_DES3)},
        {"SCEPStandard", ALG_BIT(DIGEST_SHA256), ALG_BIT(CIPHER_AES128)},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcasecmp(word, table[i].word) == 0) {
            caps->digests |= table[i].digest;
            caps->ciphers |= table[i].cipher;
        }
    if (strcasecmp(word, "SCEPStandard") == 0)
        caps->scep_standard = caps->post = true;
    if (strcasecmp(word, "POSTPKIOperation") == 0)
        caps->post = true;
    if (strcasecmp(word, "Renewal") == 0)
        caps->renewal = true;
}

void client_caps_from_answer(struct view body, struct client_caps *out)
{
    *out = (struct client_caps){0};
    for (size_t at = 0; at < body.n;) {
        char word[64];
        size_t n = 0;
        while (at + n < body.n && !strchr("\r\n", body.p[at + n]))
            n++;
        text_printable(view_of(body.p + at, n), word, sizeof word);
        at += n + 1;
        if (n == 0)
            continue;
        size_t used = strlen(out->words);
        snprintf(out->words + used, sizeof out->words - used, "%s%s", used ? " " : "", word);
        caps_word(out, word);
        out->known = true;
    }
}

bool client_get_caps(struct client *c, struct client_caps *out, struct err *err)
{
    *out = (struct client_caps){0};
    long status;
    const char *type;
    struct view id = c->ca_identifier ? view_str(c->ca_identifier) : view_of(NULL, 0);
    if (!perform(c, "GetCACaps", id, NULL, &status, &type, err))
        return false;
    /* RFC 8894 section 3.5.2: an error means no capability; the Content-Type is ignored. */
    if (status == 200)
        client_caps_from_answer(buf_view(&c->body), out);
    return true;
}

void client_choose(const struct client_caps *caps, enum digest *digest, enum cipher *cipher)
{
    *digest = caps->digests & ALG_BIT(DIGEST_SHA256)   ? DIGEST_SHA256
              : caps->digests & ALG_BIT(DIGEST_SHA512) ? DIGEST_SHA512
                                                       : DIGEST_SHA1;
    *cipher = caps->ciphers & ALG_BIT(CIPHER_AES128) ? CIPHER_AES128 : CIPHER_DES3;
}

/* ---- GetCACert ---- */

static bool is_ca(const struct extensions *x)
{
    return x->has_basic_constraints && x->is_ca;
}

/* By key usage, as most clients do: encrypt to the first RA with keyEncipherment, else to the CA;
 * replies are signed by an RA with digitalSignature, else by the CA. */
static bool choose(struct client_ca *ca, struct err *err)
{
    for (size_t i = 0; i < ca->certs.n; i++) {
        struct cert *cert = NULL;
        struct extensions x = {0};
        if (!cert_parse(buf_view(&ca->certs.der[i]), &cert, err))
            return false;
        struct err ignored;
        bool read = cert->extensions.n &&
                    extensions_parse(cert->extensions, REASON_MESSAGE_MALFORMED, &x, &ignored);
        uint32_t usage = read && x.has_key_usage ? x.key_usage : ~0u;
        struct cert *copy;
        if (read && !is_ca(&x)) {
            if ((usage & KU_KEY_ENCIPHERMENT) && !ca->recipient &&
                cert_parse(buf_view(&cert->der), &copy, err))
                ca->recipient = copy;
            if ((usage & KU_DIGITAL_SIGNATURE) && !ca->reply_signer &&
                cert_parse(buf_view(&cert->der), &copy, err))
                ca->reply_signer = copy;
        } else if (!ca->issuer && cert_parse(buf_view(&cert->der), &copy, err)) {
            ca->issuer = copy;
        }
        extensions_clear(&x);
        cert_free(cert);
    }
    if (!ca->issuer)
        return err_set(err, ERR_NOT_FOUND, "GetCACert: no CA certificate among the %zu answered",
                       ca->certs.n);
    if (!ca->recipient && !cert_parse(buf_view(&ca->issuer->der), &ca->recipient, err))
        return false;
    return ca->reply_signer || cert_parse(buf_view(&ca->issuer->der), &ca->reply_signer, err);
}

bool client_ca_from_answer(struct view body, const char *type, struct client_ca *out,
                           struct err *err)
{
    struct client_ca ca = {0};
    bool single = type && strncmp(type, "application/x-x509-ca-cert", 26) == 0;
    bool ok = single ? buf_append(&ca.certs.der[0], body.p, body.n) || err_memory(err)
                     : scep_certs_parse(body, &ca.certs, err);
    if (ok && single)
        ca.certs.n = 1;
    if (ok && choose(&ca, err)) {
        *out = ca;
        return true;
    }
    client_ca_clear(&ca);
    return err_prefix(err, "GetCACert");
}

bool client_get_ca(struct client *c, struct client_ca *out, struct err *err)
{
    long status;
    const char *type;
    struct view id = c->ca_identifier ? view_str(c->ca_identifier) : view_of(NULL, 0);
    return perform(c, "GetCACert", id, NULL, &status, &type, err) &&
           expect_ok(c, "GetCACert", status, err) &&
           client_ca_from_answer(buf_view(&c->body), type, out, err);
}

/* By the key of any certificate among them that is a CA's. */
static bool signed_within(const struct client_ca *ca, const struct cert *c)
{
    bool found = false;
    for (size_t i = 0; !found && i < ca->certs.n; i++) {
        struct cert *issuer = NULL;
        struct extensions x = {0};
        struct pubkey key;
        EVP_PKEY *pkey = NULL;
        struct err ignored;
        found = cert_parse(buf_view(&ca->certs.der[i]), &issuer, &ignored) &&
                issuer->extensions.n &&
                extensions_parse(issuer->extensions, REASON_MESSAGE_MALFORMED, &x, &ignored) &&
                is_ca(&x) && pubkey_parse(issuer->spki, &key, &ignored) &&
                pubkey_load(&key, &pkey, &ignored) && cert_signature_verify(c, pkey, &ignored);
        EVP_PKEY_free(pkey);
        extensions_clear(&x);
        cert_free(issuer);
    }
    return found;
}

bool client_ca_verify(const struct client_ca *ca, struct err *err)
{
    const struct cert *const used[] = {ca->recipient, ca->reply_signer};
    for (size_t i = 0; i < 2; i++) {
        char name[NAME_TEXT_MAX];
        if (view_eq(buf_view(&used[i]->der), buf_view(&ca->issuer->der)) ||
            signed_within(ca, used[i]))
            continue;
        name_der_text(used[i]->subject, name, sizeof name);
        return err_set(err, ERR_IO,
                       "GetCACert: the certificate of \"%.150s\" is not signed by a CA that came "
                       "with it",
                       name);
    }
    return true;
}

/* ---- GetNextCACert ---- */

static bool add_certificate(STACK_OF(X509) * stack, const struct cert *c)
{
    const unsigned char *p = c->der.p;
    X509 *x = d2i_X509(NULL, &p, (long)c->der.n);
    if (x && sk_X509_push(stack, x) > 0)
        return true;
    X509_free(x);
    return false;
}

/* The content, if every signature is by the CA or the RA that the client knows; what the answer
 * itself carries proves nothing (RFC 8894 section 4.7.1). */
static bool signed_content(struct view body, const struct client_ca *current, struct buf *out,
                           struct err *err)
{
    const unsigned char *p = body.p;
    char *content = NULL;
    long n = 0;
    CMS_ContentInfo *cms = d2i_CMS_ContentInfo(NULL, &p, (long)body.n);
    STACK_OF(X509) *known = sk_X509_new_null();
    BIO *bio = BIO_new(BIO_s_mem());
    bool ok = cms && known && bio && add_certificate(known, current->issuer) &&
              add_certificate(known, current->reply_signer) &&
              CMS_verify(cms, known, NULL, NULL, bio,
                         CMS_NOINTERN | CMS_NO_SIGNER_CERT_VERIFY | CMS_BINARY) == 1 &&
              (n = BIO_get_mem_data(bio, &content)) > 0;
    ok = (ok && buf_append(out, content, (size_t)n)) ||
         err_set(err, ERR_CRYPTO,
                 "GetNextCACert: the answer is not signed by the CA or RA of GetCACert: do not "
                 "trust it");
    CMS_ContentInfo_free(cms);
    sk_X509_pop_free(known, X509_free);
    BIO_free(bio);
    ERR_clear_error();
    return ok;
}

bool client_get_next_ca(struct client *c, const struct client_ca *current, struct client_ca *out,
                        struct err *err)
{
    long status;
    const char *type;
    struct buf content = {0};
    struct view id = c->ca_identifier ? view_str(c->ca_identifier) : view_of(NULL, 0);
    if (!perform(c, "GetNextCACert", id, NULL, &status, &type, err))
        return false;
    if (status == 404)
        return err_set(err, ERR_NOT_FOUND, "the server has no next CA certificate");
    bool ok = expect_ok(c, "GetNextCACert", status, err) &&
              signed_content(buf_view(&c->body), current, &content, err) &&
              client_ca_from_answer(buf_view(&content), NULL, out, err);
    buf_clear(&content);
    return ok;
}

void client_ca_clear(struct client_ca *ca)
{
    scep_certs_clear(&ca->certs);
    cert_free(ca->recipient);
    cert_free(ca->reply_signer);
    cert_free(ca->issuer);
    *ca = (struct client_ca){0};
}

/* ---- PKIOperation (RFC 8894 section 4.1) ---- */

static bool send_message(struct client *c, const struct client_caps *caps, struct view message,
                         struct err *err)
{
    long status;
    const char *type;
    if (caps->post && !c->force_get) {
        if (!perform(c, "PKIOperation", view_of(NULL, 0), &message, &status, &type, err))
            return false;
        return expect_ok(c, "PKIOperation", status, err);
    }
    size_t n = 4 * ((message.n + 2) / 3);
    unsigned char *base64 = malloc(n + 1);
    if (!base64)
        return err_memory(err);
    EVP_EncodeBlock(base64, message.p, (int)message.n);
    bool ok = perform(c, "PKIOperation", view_of(base64, n), NULL, &status, &type, err) &&
              expect_ok(c, "PKIOperation", status, err);
    free(base64);
    return ok;
}

bool client_exchange(struct client *c, const struct client_caps *caps,
                     const struct client_message *m, struct client_identity *who,
                     const struct client_ca *ca, struct client_result *out, struct err *err)
{
    uint8_t nonce[16];
    struct buf message = {0};
    if (RAND_bytes(nonce, sizeof nonce) != 1)
        return err_set(err, ERR_CRYPTO, "no random numbers");
    bool ok = client_message_build(m, who, ca, nonce, &message, err) &&
              send_message(c, caps, buf_view(&message), err) &&
              client_reply_open(buf_view(&c->body), m, who, ca, nonce, out, err);
    buf_clear(&message);
    return ok;
}
