#include <string.h>

#include "ocsp_names.h"
#include "pkcs7/der.h"
#include "pkcs7/ocsp.h"

/* Answers, written from their end to their start (der.h).  DER only: what equals a default is left
 * out. */

#define SINGLE_SIZE 160 /* octets that one certificate takes, about */
#define FRAME_SIZE 160  /* what stands around data, signature and certificate */

/* Extension (RFC 5280 section 4.1), never critical, around what was written since `mark`. */
static void wrap_extension(struct der *w, enum ocsp_oid oid, size_t mark)
{
    der_wrap(w, DER_OCTET_STRING, mark);
    der_raw(w, ocsp_oid(oid));
    der_wrap(w, DER_SEQUENCE, mark);
}

static void wrap_extensions(struct der *w, size_t mark)
{
    der_wrap(w, DER_SEQUENCE, mark);
    der_wrap(w, DER_CONTEXT_CONSTRUCTED(1), mark);
}

static void write_revoked(struct der *w, const struct ocsp_single *s)
{
    size_t mark = der_mark(w);
    if (s->reason != 0) {
        uint8_t reason = (uint8_t)s->reason;
        der_tlv(w, DER_ENUMERATED, view_of(&reason, 1));
        der_wrap(w, DER_CONTEXT_CONSTRUCTED(0), mark);
    }
    der_generalized_time(w, s->revoked_at);
    der_wrap(w, DER_CONTEXT_CONSTRUCTED(1), mark);
}

static void write_status(struct der *w, const struct ocsp_single *s)
{
    switch (s->status) {
    case OCSP_GOOD:
        der_tlv(w, DER_CONTEXT(0), view_of(NULL, 0));
        break;
    case OCSP_REVOKED:
        write_revoked(w, s);
        break;
    case OCSP_UNKNOWN:
        der_tlv(w, DER_CONTEXT(2), view_of(NULL, 0));
        break;
    }
}

static void write_single(struct der *w, const struct ocsp_single *s)
{
    size_t mark = der_mark(w);
    if (s->archive_cutoff) { /* RFC 6960 section 4.4.4 */
        der_generalized_time(w, s->archive_cutoff);
        wrap_extension(w, OCSP_OID_ARCHIVE_CUTOFF, mark);
        wrap_extensions(w, mark);
    }
    if (s->next_update) {
        size_t update = der_mark(w);
        der_generalized_time(w, s->next_update);
        der_wrap(w, DER_CONTEXT_CONSTRUCTED(0), update);
    }
    der_generalized_time(w, s->this_update);
    write_status(w, s);
    der_raw(w, s->id);
    der_wrap(w, DER_SEQUENCE, mark);
}

/* Never an empty list: some clients refuse that. */
static void write_extensions(struct der *w, const struct ocsp_data *d)
{
    size_t list = der_mark(w);
    if (d->extended_revoke) { /* RFC 6960 section 4.4.8 */
        der_tlv(w, DER_NULL, view_of(NULL, 0));
        wrap_extension(w, OCSP_OID_EXTENDED_REVOKE, list);
    }
    if (d->nonce.p) {
        size_t mark = der_mark(w);
        der_tlv(w, DER_OCTET_STRING, d->nonce);
        wrap_extension(w, OCSP_OID_NONCE, mark);
    }
    if (der_mark(w) > list)
        wrap_extensions(w, list);
}

bool ocsp_data_build(const struct ocsp_data *d, struct buf *out, struct err *err)
{
    struct der w;
    if (d->responder_key.n != OCSP_KEY_HASH)
        return err_set(err, ERR_CONFIG, "an OCSP responder without the hash of its key");
    der_init(&w, d->n * SINGLE_SIZE + FRAME_SIZE);
    write_extensions(&w, d);
    size_t mark = der_mark(&w);
    for (size_t i = d->n; i-- > 0;)
        write_single(&w, &d->single[i]);
    der_wrap(&w, DER_SEQUENCE, mark);
    der_generalized_time(&w, d->produced_at);
    mark = der_mark(&w);
    der_tlv(&w, DER_OCTET_STRING, d->responder_key);
    der_wrap(&w, DER_CONTEXT_CONSTRUCTED(2), mark);
    der_wrap(&w, DER_SEQUENCE, 0);
    return der_take(&w, out, err);
}

bool ocsp_response_build(struct view data, struct sigalg alg, struct view signature,
                         struct view cert, struct buf *out, struct err *err)
{
    static const uint8_t successful = OCSP_SUCCESSFUL;
    struct der w;
    der_init(&w, data.n + signature.n + cert.n + FRAME_SIZE);
    if (cert.n > 0) {
        der_raw(&w, cert);
        der_wrap(&w, DER_SEQUENCE, 0);
        der_wrap(&w, DER_CONTEXT_CONSTRUCTED(0), 0);
    }
    der_bits(&w, signature);
    der_raw(&w, sigalg_der(alg));
    der_raw(&w, data);
    der_wrap(&w, DER_SEQUENCE, 0);
    der_wrap(&w, DER_OCTET_STRING, 0);
    der_raw(&w, ocsp_oid(OCSP_OID_BASIC));
    der_wrap(&w, DER_SEQUENCE, 0);
    der_wrap(&w, DER_CONTEXT_CONSTRUCTED(0), 0);
    der_tlv(&w, DER_ENUMERATED, view_of(&successful, 1));
    der_wrap(&w, DER_SEQUENCE, 0);
    return der_take(&w, out, err);
}

void ocsp_error(enum ocsp_status status, uint8_t out[OCSP_ERROR_SIZE])
{
    const uint8_t whole[OCSP_ERROR_SIZE] = {DER_SEQUENCE, 3, DER_ENUMERATED, 1, (uint8_t)status};
    memcpy(out, whole, sizeof whole);
}
