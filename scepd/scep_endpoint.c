/* What an endpoint says of itself: GetCACaps, GetCACert and GetNextCACert, made once and served
 * from memory. */
#include "scepd/scep_service.h"

#include <string.h>

#include "ca/family.h"

/* RFC 8894 section 3.5.2: keywords in their exact case, one a line, LF since Apple's client splits
 * on LF alone. SHA-384 is no keyword of the RFC, but strongSwan 5.9.8 tests capabilities by wrong
 * bits and refuses AES and POST without it; all other clients ignore it (RFC 8894 sections 2.5, 4.7
 * and 6). */
static bool caps_build(const struct config_endpoint *c, bool next, struct buf *out, struct err *err)
{
    const unsigned aes = ALG_BIT(CIPHER_AES128) | ALG_BIT(CIPHER_AES192) | ALG_BIT(CIPHER_AES256);
    const unsigned standard = ALG_BIT(DIGEST_SHA256);
    const struct {
        bool on;
        const char *word;
    } words[] = {
        {(c->ciphers & aes) != 0, "AES"},
        {(c->ciphers & ALG_BIT(CIPHER_DES3)) != 0, "DES3"},
        {next, "GetNextCACert"}, /* only while there is one: clients ask for it again and again */
        {true, "POSTPKIOperation"},
        {c->renewal, "Renewal"},
        {(c->digests & ALG_BIT(DIGEST_SHA1)) != 0, "SHA-1"},
        {(c->digests & ALG_BIT(DIGEST_SHA256)) != 0, "SHA-256"},
        {(c->digests & ALG_BIT(DIGEST_SHA384)) != 0, "SHA-384"},
        {(c->digests & ALG_BIT(DIGEST_SHA512)) != 0, "SHA-512"},
        {(c->ciphers & ALG_BIT(CIPHER_AES128)) && (c->digests & standard), "SCEPStandard"},
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (words[i].on && !buf_printf(out, "%s\n", words[i].word))
            return err_memory(err);
    return true;
}

/* RFC 8894 sections 4.2.1.1 and 4.2.1.2.  RA certificates first and the CA after them, since
 * clients take the first that fits; the encryption RA before the signing one, as NDES has them. */
static bool ca_cert_build(const struct config_endpoint *c, const struct authority *a,
                          struct scep_endpoint *e, struct err *err)
{
    struct view certs[3 + AUTHORITY_MAX_CHAIN];
    size_t n = 0;
    if (c->ra == RA_SINGLE) {
        certs[n++] = buf_view(&a->ra->der);
    } else if (c->ra == RA_PAIR) {
        certs[n++] = buf_view(&a->ra_encryption->der);
        certs[n++] = buf_view(&a->ra_signing->der);
    }
    certs[n++] = buf_view(&a->cert->der);
    for (size_t i = 0; i < a->chain_n; i++)
        certs[n++] = buf_view(&a->chain[i]->der);
    if (n == 1) {
        e->ca_cert_type = "application/x-x509-ca-cert";
        return buf_append(&e->ca_cert, certs[0].p, certs[0].n) || err_memory(err);
    }
    e->ca_cert_type = "application/x-x509-ca-ra-cert";
    return scep_certs_build(certs, n, view_of(NULL, 0), &e->ca_cert, err);
}

bool scep_endpoint_init(struct scep_endpoint *e, const struct config_endpoint *c,
                        const struct enroll_policy *p, struct err *err)
{
    *e = (struct scep_endpoint){.config = c, .policy = p};
    const struct family *f = p->authority->family;
    if (f && f->next)
        e->next_ca_cert = buf_view(&f->announcement[c->ra]);
    if (caps_build(c, e->next_ca_cert.n > 0, &e->caps, err) &&
        ca_cert_build(c, p->authority, e, err))
        return true;
    scep_endpoint_clear(e);
    return false;
}

void scep_endpoint_clear(struct scep_endpoint *e)
{
    buf_clear(&e->caps);
    buf_clear(&e->ca_cert);
    *e = (struct scep_endpoint){0};
}
