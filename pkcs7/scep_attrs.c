#include "scep_attrs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <openssl/asn1.h>
#include <openssl/err.h>

#include "base/text.h"
#include "frame.h"
#include "pkcs7/tlv.h"

/* Clients send PrintableString (RFC 8894 section 3.2.1); the others are tolerated. */
#define TYPE_BIT(tag) (1ul << (tag))
#define ANY_STRING                                                                                 \
    (TYPE_BIT(V_ASN1_PRINTABLESTRING) | TYPE_BIT(V_ASN1_UTF8STRING) | TYPE_BIT(V_ASN1_IA5STRING) | \
     TYPE_BIT(V_ASN1_T61STRING) | TYPE_BIT(V_ASN1_NUMERICSTRING) | TYPE_BIT(V_ASN1_VISIBLESTRING))
#define ANY_TIME (TYPE_BIT(V_ASN1_UTCTIME) | TYPE_BIT(V_ASN1_GENERALIZEDTIME))

#define OID_PKCS9(n) "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09" n     /* 1.2.840.113549.1.9.n */
#define OID_PKCS7_DATA "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01" /* 1.2.840.113549.1.7.1 */
#define OID_SCEP(n) "\x06\x0a\x60\x86\x48\x01\x86\xf8\x45\x01\x09" n  /* 2.16.840.1.113733.1.9.n */
#define OID_FAIL_TEXT "\x06\x08\x2b\x06\x01\x05\x05\x07\x18\x01"      /* 1.3.6.1.5.5.7.24.1 */
#define OID_MS_ERROR "\x06\x09\x2b\x06\x01\x04\x01\x82\x37\x15\x21"   /* 1.3.6.1.4.1.311.21.33 */

struct rule {
    const char *name, *oid;
    unsigned long types; /* TYPE_BITs */
};

static const struct rule rules[ATTR_COUNT] = {
    [ATTR_CONTENT_TYPE] = {"contentType", OID_PKCS9("\x03"), TYPE_BIT(V_ASN1_OBJECT)},
    [ATTR_MESSAGE_DIGEST] = {"messageDigest", OID_PKCS9("\x04"), TYPE_BIT(V_ASN1_OCTET_STRING)},
    [ATTR_SIGNING_TIME] = {"signingTime", OID_PKCS9("\x05"), ANY_TIME},
    [ATTR_TRANSACTION_ID] = {"transactionID", OID_SCEP("\x07"), ANY_STRING},
    [ATTR_MESSAGE_TYPE] = {"messageType", OID_SCEP("\x02"), ANY_STRING},
    [ATTR_SENDER_NONCE] = {"senderNonce", OID_SCEP("\x05"), TYPE_BIT(V_ASN1_OCTET_STRING)},
    [ATTR_RECIPIENT_NONCE] = {"recipientNonce", OID_SCEP("\x06"), TYPE_BIT(V_ASN1_OCTET_STRING)},
    [ATTR_PKI_STATUS] = {"pkiStatus", OID_SCEP("\x03"), ANY_STRING},
    [ATTR_FAIL_INFO] = {"failInfo", OID_SCEP("\x04"), ANY_STRING},
    [ATTR_FAIL_TEXT] = {"failInfoText", OID_FAIL_TEXT, ANY_STRING},
    [ATTR_MS_ERROR] = {"Microsoft's SCEP error", OID_MS_ERROR, ANY_STRING},
};

struct view scep_attribute_oid(enum scep_attribute a)
{
    const char *oid = rules[a].oid;
    return view_of(oid, 2 + (size_t)oid[1]);
}

const char *scep_attribute_name(enum scep_attribute a)
{
    return rules[a].name;
}

static enum scep_attribute attribute_of(struct view content)
{
    for (enum scep_attribute a = 0; a < ATTR_COUNT; a++) {
        struct view known = scep_attribute_oid(a);
        if (view_eq(content, view_of(known.p + 2, known.n - 2)))
            return a;
    }
    return ATTR_COUNT;
}

enum scep_attribute scep_attribute_of(const ASN1_OBJECT *oid)
{
    return attribute_of(view_of(OBJ_get0_data(oid), OBJ_length(oid)));
}

/* ---- in DER ---- */

struct attribute {
    enum scep_attribute which; /* ATTR_COUNT: none of ours */
    struct view values;        /* what is in its SET */
};

static bool attribute_next(struct view *rest, struct attribute *out)
{
    struct tlv whole, oid, values;
    if (!tlv_next_is(rest, DER_SEQUENCE, &whole) || !tlv_next_is(&whole.content, DER_OID, &oid) ||
        !tlv_next_is(&whole.content, DER_SET, &values) || whole.content.n > 0)
        return false;
    *out = (struct attribute){attribute_of(oid.content), values.content};
    return true;
}

/* Strings are primitive in DER, so that the tag is the type. */
static bool has_type(const struct tlv *value, const struct rule *r)
{
    return value->tag < 0x1f && (TYPE_BIT(value->tag) & r->types);
}

/* Only attributes of ours, each with one value of its type: in DER there is but one way to write
 * those. */
static bool usual(struct view der)
{
    static const char id_data[] = OID_PKCS7_DATA;
    struct attribute a;
    struct tlv set, value;
    if (!tlv_next_is(&der, DER_SET, &set))
        return false;
    while (set.content.n > 0) {
        if (!attribute_next(&set.content, &a) || a.which == ATTR_COUNT ||
            !tlv_next(&a.values, &value) || a.values.n > 0 || !has_type(&value, &rules[a.which]))
            return false;
        if (a.which == ATTR_CONTENT_TYPE &&
            !view_eq(value.whole, view_of(id_data, sizeof id_data - 1)))
            return false;
    }
    return true;
}

/* Decoded, and encoded in DER in the order received, since some signers never sorted. */
static bool encode_anew(struct buf *b, struct err *err)
{
    unsigned char *der = NULL;
    ASN1_VALUE *list = frame_decode(buf_view(b), ASN1_ITEM_rptr(SCEPD_SIGNED_ATTRIBUTES),
                                    REASON_MESSAGE_MALFORMED, "the signed attributes", err);
    if (!list)
        return false;
    int n = ASN1_item_i2d(list, &der, ASN1_ITEM_rptr(SCEPD_SIGNED_ATTRIBUTES));
    ASN1_item_free(list, ASN1_ITEM_rptr(SCEPD_SIGNED_ATTRIBUTES));
    buf_reset(b);
    bool ok = n > 0 && buf_append(b, der, (size_t)n);
    OPENSSL_free(der);
    ERR_clear_error();
    return ok || err_memory(err);
}

/* Nearly all messages have the usual attributes in DER, which come out of decoding and encoding as
 * they went in: it costs five times as much as to see that. */
bool scep_attributes_der(const struct cms_signer_info *si, struct buf *out, struct err *err)
{
    struct view sent = frame_view(si->signed_attributes);
    struct err ignored;
    buf_reset(out);
    if (!buf_append(out, sent.p, sent.n))
        return err_memory(err);
    out->p[0] = DER_SEQUENCE;
    bool der =
        frame_check(buf_view(out), SCEP_MAX_MESSAGE, FRAME_DER, REASON_MESSAGE_MALFORMED, &ignored);
    out->p[0] = DER_SET;
    return (der && usual(buf_view(out))) || encode_anew(out, err);
}

/* ---- reading ---- */

static int count_values(struct view values)
{
    struct tlv t;
    int n = 0;
    while (tlv_next(&values, &t))
        n++;
    return n;
}

/* Each at most once and with one value (RFC 5652 section 11, RFC 8894 section 3.2.1). */
static bool take(const struct attribute *a, struct tlv values[ATTR_COUNT], struct err *err)
{
    if (a->which == ATTR_COUNT)
        return true;
    const struct rule *r = &rules[a->which];
    struct view rest = a->values;
    struct tlv value;
    int n = count_values(rest);
    if (values[a->which].whole.n)
        return err_refuse(err, REASON_MESSAGE_MALFORMED, "%s is there twice", r->name);
    if (n != 1 || !tlv_next(&rest, &value))
        return err_refuse(err, REASON_MESSAGE_MALFORMED, "%s has %d values instead of one", r->name,
                          n);
    if (!has_type(&value, r))
        return err_refuse(err, REASON_MESSAGE_MALFORMED, "%s has the ASN.1 type %d", r->name,
                          value.tag & 0xc0 ? V_ASN1_OTHER : (int)(value.tag & 0x1f));
    values[a->which] = value;
    return true;
}

static int count_attributes(struct view der)
{
    struct attribute a;
    int n = 0;
    while (attribute_next(&der, &a))
        n++;
    return der.n == 0 ? n : -1;
}

/* Goes through all of them even after a refusal: the transactionID may come last, and is what an
 * answer needs. */
static bool collect(struct view der, struct tlv values[ATTR_COUNT], struct err *err)
{
    struct tlv set;
    struct attribute a;
    int n = tlv_next_is(&der, DER_SET, &set) ? count_attributes(set.content) : -1;
    if (n < 0)
        return err_refuse(err, REASON_MESSAGE_MALFORMED, "the signed attributes cannot be decoded");
    if (n > SCEP_MAX_ATTRIBUTES)
        return err_refuse(err, REASON_MESSAGE_MALFORMED, "%d signed attributes, at most %d allowed",
                          n, SCEP_MAX_ATTRIBUTES);
    struct err later;
    bool ok = true;
    while (attribute_next(&set.content, &a))
        ok = take(&a, values, ok ? err : &later) && ok;
    return ok;
}

/* RFC 8894 section 3.2.1.1 makes it opaque text.  Anything printable in ASCII passes (real ones
 * hold blanks, '+', '/', '=' and user names), in any string type, since it is kept, logged, shown
 * and sent back as it came. */
static bool read_transaction_id(const struct tlv *t, struct scep_message *m, struct err *err)
{
    if (!t->whole.n)
        return err_refuse(err, REASON_MESSAGE_MALFORMED, "no transactionID");
    struct view v = t->content;
    if (v.n == 0 || v.n > SCEP_MAX_TRANSACTION_ID)
        return err_refuse(err, REASON_MESSAGE_MALFORMED,
                          "the transactionID has %zu characters, 1 to %d are allowed", v.n,
                          SCEP_MAX_TRANSACTION_ID);
    for (size_t i = 0; i < v.n; i++)
        if (v.p[i] < 0x20 || v.p[i] > 0x7e)
            return err_refuse(err, REASON_MESSAGE_MALFORMED,
                              "the transactionID has the octet 0x%02x, only printable ASCII is "
                              "allowed",
                              v.p[i]);
    m->transaction_tag = t->tag;
    memcpy(m->transaction_id, v.p, v.n);
    m->transaction_id[v.n] = '\0';
    return true;
}

/* RFC 8894 section 3.2.1.5 says 16 octets; a client that sends none gets none back. */
static bool read_nonce(const struct tlv *t, enum scep_attribute a, uint8_t out[SCEP_MAX_NONCE],
                       size_t *out_n, struct err *err)
{
    struct view v = t->content;
    if (v.n > SCEP_MAX_NONCE)
        return err_refuse(err, REASON_MESSAGE_MALFORMED,
                          "%s has %zu octets, at most %d are allowed", rules[a].name, v.n,
                          SCEP_MAX_NONCE);
    if (v.n)
        memcpy(out, v.p, v.n);
    *out_n = v.n;
    return true;
}

/* The numbers of SCEP are decimal text without leading zeros. */
static bool read_number(const struct tlv *t, enum scep_attribute a, const int *known, size_t n,
                        enum reason unknown, int *out, struct err *err)
{
    if (!t->whole.n)
        return err_refuse(err, REASON_MESSAGE_MALFORMED, "no %s", rules[a].name);
    struct view v = t->content;
    for (size_t i = 0; i < n; i++) {
        char text[12];
        snprintf(text, sizeof text, "%d", known[i]);
        if (view_eq(v, view_str(text))) {
            *out = known[i];
            return true;
        }
    }
    char shown[32];
    text_printable(v, shown, sizeof shown);
    return err_refuse(err, unknown, "%s \"%s\" is not known", rules[a].name, shown);
}

/* RFC 8894 section 3.2.1.2 */
static bool read_type(const struct tlv *t, struct scep_message *m, struct err *err)
{
    static const int known[] = {SCEP_CERT_REP,  SCEP_RENEWAL_REQ, SCEP_PKCS_REQ,
                                SCEP_CERT_POLL, SCEP_GET_CERT,    SCEP_GET_CRL};
    int type = 0;
    if (!read_number(t, ATTR_MESSAGE_TYPE, known, sizeof known / sizeof known[0],
                     REASON_MESSAGE_UNSUPPORTED, &type, err))
        return false;
    m->type = (enum scep_type)type;
    m->is_reply = type == SCEP_CERT_REP;
    return true;
}

static int32_t decimal_int32(struct view v)
{
    char text[16], *end;
    if (v.n == 0 || v.n >= sizeof text)
        return 0;
    memcpy(text, v.p, v.n);
    text[v.n] = '\0';
    errno = 0;
    long long value = strtoll(text, &end, 10);
    bool fits = errno == 0 && *end == '\0' && value >= INT32_MIN && value <= INT32_MAX;
    return fits ? (int32_t)value : 0;
}

/* RFC 8894 sections 3.2.1.3 and 3.2.1.4 */
static bool read_reply(const struct tlv values[ATTR_COUNT], struct scep_message *m, struct err *err)
{
    static const int statuses[] = {SCEP_SUCCESS, SCEP_FAILURE, SCEP_PENDING};
    static const int infos[] = {FAIL_BAD_ALG, FAIL_BAD_MESSAGE_CHECK, FAIL_BAD_REQUEST,
                                FAIL_BAD_TIME, FAIL_BAD_CERT_ID};
    int status = 0, info = 0;
    if (!read_number(&values[ATTR_PKI_STATUS], ATTR_PKI_STATUS, statuses, 3,
                     REASON_MESSAGE_MALFORMED, &status, err) ||
        !read_nonce(&values[ATTR_RECIPIENT_NONCE], ATTR_RECIPIENT_NONCE, m->recipient_nonce,
                    &m->recipient_nonce_len, err))
        return false;
    m->status = (enum scep_status)status;
    if (m->status != SCEP_FAILURE)
        return true;
    if (!read_number(&values[ATTR_FAIL_INFO], ATTR_FAIL_INFO, infos, 5, REASON_MESSAGE_MALFORMED,
                     &info, err))
        return false;
    m->fail_info = (enum fail_info)info;
    if (values[ATTR_FAIL_TEXT].whole.n)
        text_printable(values[ATTR_FAIL_TEXT].content, m->fail_text, sizeof m->fail_text);
    m->hresult = decimal_int32(values[ATTR_MS_ERROR].content);
    return true;
}

bool scep_attributes_read(struct view der, struct scep_message *m, struct scep_signed_values *out,
                          struct err *err)
{
    struct tlv values[ATTR_COUNT] = {{0}};
    struct err later;
    bool ok = collect(der, values, err);
    m->replyable = read_transaction_id(&values[ATTR_TRANSACTION_ID], m, ok ? err : &later);
    ok = ok && m->replyable;
    ok = read_nonce(&values[ATTR_SENDER_NONCE], ATTR_SENDER_NONCE, m->sender_nonce,
                    &m->sender_nonce_len, ok ? err : &later) &&
         ok;
    ok = ok && read_type(&values[ATTR_MESSAGE_TYPE], m, err) &&
         (!m->is_reply || read_reply(values, m, err));
    if (!ok)
        return false;
    /* RFC 5652 section 5.3: both must be there when there are signed attributes. */
    if (!values[ATTR_CONTENT_TYPE].whole.n || !values[ATTR_MESSAGE_DIGEST].whole.n)
        return err_refuse(err, REASON_MESSAGE_MALFORMED, "no contentType or no messageDigest");
    /* Only for those who check clocks: an unreadable time is no time, as is an absent one. */
    tlv_time(&values[ATTR_SIGNING_TIME], &m->signing_time);
    out->content_type = values[ATTR_CONTENT_TYPE].content;
    out->digest = values[ATTR_MESSAGE_DIGEST].content;
    return true;
}
