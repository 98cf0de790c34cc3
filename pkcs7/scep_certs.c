/* Certificates-only SignedData (RFC 8894 section 3.4): no content, no signers. */
#include "pkcs7/scep.h"

#include <openssl/objects.h>

#include "asn1_cms.h"
#include "frame.h"

void scep_certs_clear(struct scep_certs *c)
{
    for (size_t i = 0; i < c->n; i++)
        buf_clear(&c->der[i]);
    buf_clear(&c->crl);
    c->n = 0;
}

/* The plain ones of a list; other choices (attribute certificates, other formats) have tags. */
static bool copy_plain(const ASN1_TYPE *t, struct buf *out, struct err *err)
{
    struct view v = frame_view(t->value.sequence);
    return buf_append(out, v.p, v.n) ? true : err_memory(err);
}

static bool copy_certs(const struct cms_signed_data *sd, struct scep_certs *c, struct err *err)
{
    int n = sk_ASN1_TYPE_num(sd->certificates); /* -1: none */
    if (n > SCEP_MAX_CERTS)
        return err_refuse(err, REASON_MESSAGE_MALFORMED, "%d certificates, at most %d allowed", n,
                          SCEP_MAX_CERTS);
    for (int i = 0; i < n; i++) {
        const ASN1_TYPE *t = sk_ASN1_TYPE_value(sd->certificates, i);
        if (t->type == V_ASN1_SEQUENCE && !copy_plain(t, &c->der[c->n++], err))
            return false;
    }
    return true;
}

static bool copy_crl(const struct cms_signed_data *sd, struct scep_certs *c, struct err *err)
{
    if (sk_ASN1_TYPE_num(sd->crls) <= 0)
        return true;
    const ASN1_TYPE *t = sk_ASN1_TYPE_value(sd->crls, 0);
    return t->type != V_ASN1_SEQUENCE || copy_plain(t, &c->crl, err);
}

bool scep_certs_parse(struct view der, struct scep_certs *out, struct err *err)
{
    struct cms_signed_data *sd = (void *)cms_decode(
        der, NID_pkcs7_signed, ASN1_ITEM_rptr(SCEPD_SIGNED_DATA), "the list of certificates", err);
    if (!sd)
        return false;
    struct scep_certs c = {0};
    bool ok = copy_certs(sd, &c, err) && copy_crl(sd, &c, err);
    ASN1_item_free((ASN1_VALUE *)sd, ASN1_ITEM_rptr(SCEPD_SIGNED_DATA));
    if (ok)
        *out = c;
    else
        scep_certs_clear(&c);
    return ok;
}

bool scep_certs_build(const struct view *certs, size_t n, struct view crl, struct buf *out,
                      struct err *err)
{
    size_t size = crl.n + 64;
    for (size_t i = 0; i < n; i++)
        size += certs[i].n;
    struct der w;
    der_init(&w, size);
    size_t all = der_mark(&w), mark = all;
    der_tlv(&w, DER_SET, view_of(NULL, 0)); /* signerInfos */
    if (crl.n)
        der_tlv(&w, DER_CONTEXT_CONSTRUCTED(1), crl);
    mark = der_mark(&w);
    /* Backwards, since the writer goes from the end; the order given stays, as clients pair the
     * first with their key. */
    for (size_t i = n; i > 0; i--)
        der_raw(&w, certs[i - 1]);
    if (n)
        der_wrap(&w, DER_CONTEXT_CONSTRUCTED(0), mark);
    mark = der_mark(&w);
    der_oid_nid(&w, NID_pkcs7_data);
    der_wrap(&w, DER_SEQUENCE, mark);
    der_tlv(&w, DER_SET, view_of(NULL, 0)); /* digestAlgorithms */
    der_small(&w, 1);
    der_wrap(&w, DER_SEQUENCE, all);
    der_wrap(&w, DER_CONTEXT_CONSTRUCTED(0), all);
    der_oid_nid(&w, NID_pkcs7_signed);
    der_wrap(&w, DER_SEQUENCE, all);
    return der_take(&w, out, err);
}
