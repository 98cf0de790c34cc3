#include "pkcs7/ocsp.h"

#include <stdlib.h>

#include <openssl/objects.h>

#include "ocsp_names.h"
#include "pkcs7/tlv.h"

/* What is read: requests, and answers that came from elsewhere or are about to be signed. */

static bool malformed(struct err *err, const char *what)
{
    return err_refuse(err, REASON_MESSAGE_MALFORMED, "OCSP: %s", what);
}

const char *ocsp_status_name(enum ocsp_status s)
{
    switch (s) {
    case OCSP_SUCCESSFUL:
        return "successful";
    case OCSP_MALFORMED_REQUEST:
        return "malformed_request";
    case OCSP_INTERNAL_ERROR:
        return "internal_error";
    case OCSP_TRY_LATER:
        return "try_later";
    case OCSP_UNAUTHORIZED:
        return "unauthorized";
    }
    return "unknown";
}

struct view ocsp_oid(enum ocsp_oid oid)
{
    /* RFC 6960 appendix B.1: id-pkix-ocsp is 1.3.6.1.5.5.7.48.1 */
#define UNDER_OCSP(n)                                                 \
    {                                                                 \
        DER_OID, 9, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, n \
    }
    static const uint8_t oids[][11] = {
        [OCSP_OID_BASIC] = UNDER_OCSP(1),           [OCSP_OID_NONCE] = UNDER_OCSP(2),
        [OCSP_OID_ACCEPTABLE] = UNDER_OCSP(4),      [OCSP_OID_ARCHIVE_CUTOFF] = UNDER_OCSP(6),
        [OCSP_OID_SERVICE_LOCATOR] = UNDER_OCSP(7), [OCSP_OID_PREFERRED] = UNDER_OCSP(8),
        [OCSP_OID_EXTENDED_REVOKE] = UNDER_OCSP(9),
    };
#undef UNDER_OCSP
    return view_of(oids[oid], sizeof oids[oid]);
}

static bool is(struct view oid, enum ocsp_oid which)
{
    return view_eq(oid, ocsp_oid(which));
}

/* ---- CertID ---- */

/* Parameters NULL or absent: both are in use (RFC 5754 section 2). */
static bool digest_of(struct view algorithm, enum digest *out)
{
    static const enum digest known[] = {DIGEST_SHA1, DIGEST_SHA256, DIGEST_SHA384, DIGEST_SHA512};
    struct tlv oid, parameters;
    if (!tlv_next_is(&algorithm, DER_OID, &oid))
        return false;
    if (algorithm.n > 0 && (!tlv_next_is(&algorithm, DER_NULL, &parameters) ||
                            parameters.whole.n != 2 || algorithm.n > 0))
        return false;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        struct view whole = digest_alg_der(known[i]);
        struct tlv ours, ours_oid;
        if (tlv_next(&whole, &ours) && tlv_next(&ours.content, &ours_oid) &&
            view_eq(ours_oid.content, oid.content)) {
            *out = known[i];
            return true;
        }
    }
    return false;
}

/* X.690 section 8.19.2: the last number ends, and none begins with nothing. */
static bool oid_sound(struct view oid)
{
    if (oid.n == 0 || oid.p[oid.n - 1] & 0x80)
        return false;
    for (size_t i = 0; i < oid.n; i++)
        if (oid.p[i] == 0x80 && (i == 0 || !(oid.p[i - 1] & 0x80)))
            return false;
    return true;
}

/* As X.690 section 8.3.2 wants it: no octet too many. */
static bool minimal(struct view integer)
{
    return integer.n == 1 || (integer.n > 1 && !(integer.p[0] == 0 && !(integer.p[1] & 0x80)) &&
                              !(integer.p[0] == 0xff && (integer.p[1] & 0x80)));
}

/* X.690 section 10.1: no length takes more octets than it needs.  What is repeated in an answer has
 * to be as that must be. */
static bool short_length(const struct tlv *t)
{
    size_t octets = t->content.n < 0x80 ? 1 : t->content.n < 0x100 ? 2 : 3;
    return t->whole.n - t->content.n == 1 + octets;
}

static bool read_id(const struct tlv *t, struct ocsp_id *out, struct err *err)
{
    struct tlv algorithm, name, key, serial, oid, parameters;
    struct view rest = t->content;
    if (!tlv_next_is(&rest, DER_SEQUENCE, &algorithm) ||
        !tlv_next_is(&rest, DER_OCTET_STRING, &name) ||
        !tlv_next_is(&rest, DER_OCTET_STRING, &key) || !tlv_next_is(&rest, DER_INTEGER, &serial) ||
        rest.n > 0 || !minimal(serial.content) || !short_length(t) || !short_length(&algorithm) ||
        !short_length(&name) || !short_length(&key) || !short_length(&serial))
        return malformed(err, "a CertID that is none");
    struct view rest_of_it = algorithm.content;
    if (!tlv_next_is(&rest_of_it, DER_OID, &oid) || !oid_sound(oid.content) ||
        !short_length(&oid) ||
        (rest_of_it.n > 0 && (!tlv_next(&rest_of_it, &parameters) || rest_of_it.n > 0)))
        return malformed(err, "a CertID without its hash algorithm");
    /* The answer holds the CertID again: nothing of the client's own choice is signed. */
    if (algorithm.content.n > oid.whole.n &&
        (parameters.tag != DER_NULL || parameters.whole.n != 2))
        return malformed(err, "a CertID whose hash algorithm has parameters");
    if (t->whole.n > OCSP_MAX_ID)
        return malformed(err, "a CertID longer than any");
    *out = (struct ocsp_id){.whole = t->whole,
                            .name_hash = name.content,
                            .key_hash = key.content,
                            .serial = serial.content};
    out->known = digest_of(algorithm.content, &out->digest) &&
                 name.content.n == digest_size(out->digest) &&
                 key.content.n == digest_size(out->digest);
    return true;
}

bool ocsp_id_parse(struct view der, struct ocsp_id *out, struct err *err)
{
    struct tlv t;
    if (!tlv_next_is(&der, DER_SEQUENCE, &t) || der.n > 0)
        return malformed(err, "a CertID that is none");
    return read_id(&t, out, err);
}

/* ---- extensions ---- */

struct extension {
    struct view oid; /* the whole TLV */
    bool critical;
    struct view value; /* inside the OCTET STRING */
};

/* Takes the SEQUENCE OF Extension out of its explicit tag. */
static bool enter_extensions(const struct tlv *tagged, struct view *out)
{
    struct view rest = tagged->content;
    struct tlv list;
    if (!tlv_next_is(&rest, DER_SEQUENCE, &list) || rest.n > 0)
        return false;
    *out = list.content;
    return true;
}

/* RFC 5280 section 4.1; an explicit FALSE is not DER, but seen.  A name in another form would be
 * none that is known here, and is one for others. */
static bool next_extension(struct view *list, struct extension *out)
{
    struct tlv t, oid, critical, value;
    if (!tlv_next_is(list, DER_SEQUENCE, &t) || !tlv_next_is(&t.content, DER_OID, &oid) ||
        !oid_sound(oid.content) || !short_length(&oid))
        return false;
    *out = (struct extension){.oid = oid.whole};
    if (tlv_ahead(t.content, DER_BOOLEAN)) {
        if (!tlv_next(&t.content, &critical) || critical.content.n != 1)
            return false;
        out->critical = critical.content.p[0] != 0;
    }
    if (!tlv_next_is(&t.content, DER_OCTET_STRING, &value) || t.content.n > 0)
        return false;
    out->value = value.content;
    return true;
}

/* RFC 9654 section 2.1: an OCTET STRING of 1 to 128 octets, inside the one that every extension
 * has. */
static bool read_nonce(struct view value, struct view *out)
{
    struct tlv t;
    if (!tlv_next_is(&value, DER_OCTET_STRING, &t) || value.n > 0 || t.content.n == 0 ||
        t.content.n > OCSP_MAX_NONCE)
        return false;
    *out = t.content;
    return true;
}

/* RFC 6960 section 4.4: what is not known may be passed over unless it is critical. */
static bool read_request_extensions(const struct tlv *tagged, struct ocsp_request *r,
                                    struct err *err)
{
    struct view list;
    struct extension e;
    if (!enter_extensions(tagged, &list))
        return malformed(err, "extensions that are none");
    while (list.n > 0) {
        if (!next_extension(&list, &e))
            return malformed(err, "an extension that is none");
        if (is(e.oid, OCSP_OID_NONCE)) {
            if (r->nonce.p || !read_nonce(e.value, &r->nonce))
                return malformed(err, "a nonce that is none, or two of them");
        } else if (e.critical && !is(e.oid, OCSP_OID_ACCEPTABLE) &&
                   !is(e.oid, OCSP_OID_PREFERRED)) {
            return malformed(err, "an unknown critical extension");
        }
    }
    return true;
}

static bool read_single_extensions(const struct tlv *tagged, struct err *err)
{
    struct view list;
    struct extension e;
    if (!enter_extensions(tagged, &list))
        return malformed(err, "extensions that are none");
    while (list.n > 0) {
        if (!next_extension(&list, &e))
            return malformed(err, "an extension that is none");
        if (e.critical && !is(e.oid, OCSP_OID_SERVICE_LOCATOR))
            return malformed(err, "an unknown critical extension of one certificate");
    }
    return true;
}

/* ---- OCSPRequest ---- */

/* RFC 6960 section 4.1.1: Request */
static bool next_request(struct view *list, struct ocsp_id *out, struct err *err)
{
    struct tlv t, id, extensions;
    if (!tlv_next_is(list, DER_SEQUENCE, &t) || !tlv_next_is(&t.content, DER_SEQUENCE, &id))
        return malformed(err, "a request that is none");
    if (!read_id(&id, out, err))
        return false;
    if (t.content.n == 0)
        return true;
    if (!tlv_next_is(&t.content, DER_CONTEXT_CONSTRUCTED(0), &extensions) || t.content.n > 0)
        return malformed(err, "a request with more than a request has");
    return read_single_extensions(&extensions, err);
}

static bool read_list(struct view list, size_t max_ids, struct ocsp_request *r, struct err *err)
{
    struct ocsp_id first;
    struct view rest = list;
    size_t n = 0;
    /* Counted before anything is allocated. */
    for (; rest.n > 0; n++)
        if (n == max_ids || !next_request(&rest, &first, err))
            return n == max_ids ? malformed(err, "too many certificates in one request") : false;
    if (n == 0)
        return malformed(err, "a request about no certificate");
    r->id = malloc(n * sizeof *r->id);
    if (!r->id)
        return err_memory(err);
    r->n = n;
    r->id[0] = first;
    for (size_t i = 0; n > 1 && i < n; i++)
        if (!next_request(&list, &r->id[i], err))
            return false;
    return true;
}

/* Version v1 is 0 and need not be there. */
static bool read_version(struct view *rest)
{
    struct tlv tagged, version;
    if (!tlv_ahead(*rest, DER_CONTEXT_CONSTRUCTED(0)))
        return true;
    return tlv_next(rest, &tagged) && tlv_next_is(&tagged.content, DER_INTEGER, &version) &&
           tagged.content.n == 0 && version.content.n == 1 && version.content.p[0] == 0;
}

static bool read_tbs_request(struct view rest, size_t max_ids, struct ocsp_request *r,
                             struct err *err)
{
    struct tlv t;
    if (!read_version(&rest))
        return malformed(err, "a request of another version than 1");
    if (tlv_ahead(rest, DER_CONTEXT_CONSTRUCTED(1)) && !tlv_next(&rest, &t)) /* requestorName */
        return malformed(err, "a requestor that is none");
    if (!tlv_next_is(&rest, DER_SEQUENCE, &t))
        return malformed(err, "a request without its list");
    if (!read_list(t.content, max_ids, r, err))
        return false;
    if (rest.n == 0)
        return true;
    if (!tlv_next_is(&rest, DER_CONTEXT_CONSTRUCTED(2), &t) || rest.n > 0)
        return malformed(err, "a request with more than a request has");
    return read_request_extensions(&t, r, err);
}

bool ocsp_request_parse(struct view der, size_t max_ids, struct ocsp_request *out, struct err *err)
{
    struct ocsp_request r = {.n = 0};
    struct tlv whole, tbs, signature;
    if (max_ids > OCSP_MAX_IDS)
        max_ids = OCSP_MAX_IDS;
    if (der.n > OCSP_MAX_REQUEST)
        return malformed(err, "a request larger than any");
    if (!tlv_next_is(&der, DER_SEQUENCE, &whole) || der.n > 0 ||
        !tlv_next_is(&whole.content, DER_SEQUENCE, &tbs))
        return malformed(err, "a request that is none");
    if (tlv_ahead(whole.content, DER_CONTEXT_CONSTRUCTED(0)) &&
        !tlv_next(&whole.content, &signature)) /* anybody may ask; it is not looked at */
        return malformed(err, "a signature that is none");
    if (whole.content.n > 0)
        return malformed(err, "a request with more than a request has");
    if (!read_tbs_request(tbs.content, max_ids, &r, err)) {
        ocsp_request_clear(&r);
        return false;
    }
    *out = r;
    return true;
}

void ocsp_request_clear(struct ocsp_request *r)
{
    free(r->id);
    *r = (struct ocsp_request){.n = 0};
}

/* ---- ResponseData ---- */

/* An explicit tag around exactly one thing. */
static bool next_tagged(struct view *rest, unsigned number, unsigned tag, struct tlv *out)
{
    struct tlv t;
    return tlv_next_is(rest, DER_CONTEXT_CONSTRUCTED(number), &t) &&
           tlv_next_is(&t.content, tag, out) && t.content.n == 0;
}

static bool read_time(struct view *rest, int64_t *out)
{
    struct tlv t;
    return tlv_next_is(rest, DER_GENERALIZED_TIME, &t) && tlv_time(&t, out);
}

/* RevokedInfo */
static bool read_revoked(struct view content, struct ocsp_single *out)
{
    struct tlv reason;
    if (!read_time(&content, &out->revoked_at))
        return false;
    if (content.n == 0)
        return true;
    if (!next_tagged(&content, 0, DER_ENUMERATED, &reason) || content.n > 0 ||
        reason.content.n != 1 || reason.content.p[0] > 127)
        return false;
    out->reason = reason.content.p[0];
    return true;
}

static bool read_cert_status(struct view *rest, struct ocsp_single *out)
{
    struct tlv t;
    if (!tlv_next(rest, &t))
        return false;
    switch (t.tag) {
    case DER_CONTEXT(0):
        out->status = OCSP_GOOD;
        return t.content.n == 0;
    case DER_CONTEXT_CONSTRUCTED(1):
        out->status = OCSP_REVOKED;
        return read_revoked(t.content, out);
    case DER_CONTEXT(2):
        out->status = OCSP_UNKNOWN;
        return t.content.n == 0;
    default:
        return false;
    }
}

static bool read_single_response_extensions(const struct tlv *tagged, struct ocsp_single *out,
                                            bool *other)
{
    struct view list;
    struct extension e;
    if (!enter_extensions(tagged, &list) || list.n == 0)
        return false;
    while (list.n > 0) {
        if (!next_extension(&list, &e))
            return false;
        if (!is(e.oid, OCSP_OID_ARCHIVE_CUTOFF) || out->archive_cutoff)
            *other = true;
        else if (!read_time(&e.value, &out->archive_cutoff) || e.value.n > 0)
            return false;
        *other = *other || e.critical;
    }
    return true;
}

static bool next_single(struct view *list, struct ocsp_single *out, bool *other)
{
    struct tlv t, id, update, extensions;
    struct ocsp_single s = {.status = OCSP_UNKNOWN};
    if (!tlv_next_is(list, DER_SEQUENCE, &t) || !tlv_next_is(&t.content, DER_SEQUENCE, &id) ||
        !read_cert_status(&t.content, &s) || !read_time(&t.content, &s.this_update))
        return false;
    s.id = id.whole;
    if (tlv_ahead(t.content, DER_CONTEXT_CONSTRUCTED(0)) &&
        (!next_tagged(&t.content, 0, DER_GENERALIZED_TIME, &update) ||
         !tlv_time(&update, &s.next_update)))
        return false;
    if (tlv_ahead(t.content, DER_CONTEXT_CONSTRUCTED(1)) &&
        (!tlv_next(&t.content, &extensions) ||
         !read_single_response_extensions(&extensions, &s, other)))
        return false;
    *out = s;
    return t.content.n == 0;
}

static bool read_response_extensions(const struct tlv *tagged, struct ocsp_data *d)
{
    struct view list;
    struct extension e;
    if (!enter_extensions(tagged, &list) || list.n == 0)
        return false;
    while (list.n > 0) {
        if (!next_extension(&list, &e))
            return false;
        if (is(e.oid, OCSP_OID_NONCE) && !d->nonce.p) {
            if (!read_nonce(e.value, &d->nonce))
                return false;
        } else if (is(e.oid, OCSP_OID_EXTENDED_REVOKE) && !d->extended_revoke) {
            d->extended_revoke = true;
        } else {
            d->other_extensions = true;
        }
        d->other_extensions = d->other_extensions || e.critical;
    }
    return true;
}

static bool read_responder(struct view *rest, struct ocsp_data *d)
{
    struct tlv t;
    if (tlv_ahead(*rest, DER_CONTEXT_CONSTRUCTED(1))) {
        if (!next_tagged(rest, 1, DER_SEQUENCE, &t))
            return false;
        d->responder_name = t.whole;
        return true;
    }
    if (!next_tagged(rest, 2, DER_OCTET_STRING, &t) || t.content.n != OCSP_KEY_HASH)
        return false;
    d->responder_key = t.content;
    return true;
}

bool ocsp_data_parse(struct view der, size_t cap, struct ocsp_data *out, struct err *err)
{
    struct ocsp_data d = {.single = out->single};
    struct tlv t, list;
    if (!tlv_next_is(&der, DER_SEQUENCE, &t) || der.n > 0)
        return malformed(err, "a ResponseData that is none");
    struct view rest = t.content;
    if (!read_version(&rest) || !read_responder(&rest, &d) || !read_time(&rest, &d.produced_at) ||
        !tlv_next_is(&rest, DER_SEQUENCE, &list))
        return malformed(err, "a ResponseData that is none");
    for (; list.content.n > 0; d.n++) {
        if (d.n == cap)
            return malformed(err, "a ResponseData of too many certificates");
        if (!next_single(&list.content, &d.single[d.n], &d.other_extensions))
            return malformed(err, "a SingleResponse that is none");
    }
    if (tlv_ahead(rest, DER_CONTEXT_CONSTRUCTED(1)) &&
        (!tlv_next(&rest, &t) || !read_response_extensions(&t, &d)))
        return malformed(err, "extensions that are none");
    if (rest.n > 0)
        return malformed(err, "a ResponseData with more than it has");
    *out = d;
    return true;
}
