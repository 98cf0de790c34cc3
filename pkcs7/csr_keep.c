#include "pkcs7/csr.h"

/* Of a signature that nobody will look at. */
static const struct sigalg unsigned_alg = {SIG_ECDSA, DIGEST_SHA256, 0};

static void write_attributes(const struct csr *csr, struct der *w)
{
    size_t attributes = der_mark(w);
    if (csr->ext.der.n > 0) {
        size_t attribute = der_mark(w), values = der_mark(w);
        der_raw(w, csr->ext.der);
        der_wrap(w, DER_SET, values);
        der_oid_nid(w, NID_ext_req);
        der_wrap(w, DER_SEQUENCE, attribute);
    }
    der_wrap(w, DER_CONTEXT_CONSTRUCTED(0), attributes);
}

/* Written anew of what matters, subject, key and extensions as received (so its identity stays): a
 * secret that was never written need not be searched for (RFC 8894
 * section 7.7). */
bool csr_without_challenge(const struct csr *csr, struct buf *out, struct err *err)
{
    struct der w;
    der_init(&w, csr->der.n + 64);
    size_t all = der_mark(&w);
    der_bits(&w, (struct view){0});
    der_raw(&w, sigalg_der(unsigned_alg));
    size_t info = der_mark(&w);
    write_attributes(csr, &w);
    der_raw(&w, csr->key.spki);
    der_raw(&w, csr->subject_der);
    der_small(&w, 0); /* version v1 */
    der_wrap(&w, DER_SEQUENCE, info);
    der_wrap(&w, DER_SEQUENCE, all);
    return der_take(&w, out, err);
}
