#include "scep_attrs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <openssl/asn1.h>

#include "base/text.h"
#include "frame.h"

/* Clients send PrintableString (RFC 8894 section 3.2.1); the others are tolerated. */
#define TYPE_BIT(tag) (1ul << (tag))
#define ANY_STRING                                                                                 \
    (TYPE_BIT(V_ASN1_PRINTABLESTRING) | TYPE_BIT(V_ASN1_UTF8STRING) | TYPE_BIT(V_ASN1_IA5STRING) | \
     TYPE_BIT(V_ASN1_T61STRING) | TYPE_BIT(V_ASN1_NUMERICSTRING) | TYPE_BIT(V_ASN1_VISIBLESTRING))
#define ANY_TIME (TYPE_BIT(V_ASN1_UTCTIME) | TYPE_BIT(V_ASN1_GENERALIZEDTIME))

#define OID_PKCS9(n) "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09" n    /* 1.2.840.113549.1.9.n */
#define OID_SCEP(n) "\x06\x0a\x60\x86\x48\x01\x86\xf8\x45\x01\x09" n /* 2.16.840.1.113733.1.9.n */
#define OID_FAIL_TEXT "\x06\x08\x2b\x06\x01\x05\x05\x07\x18\x01"     /* 1.3.6.1.5.5.7.24.1 */
#define OID_MS_ERROR "\x06\x09\x2b\x06\x01\x04\x01\x82\x37\x15\x21"  /* 1.3.6.1.4.1.311.21.33 */

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

enum scep_attribute scep_attribute_of(const ASN1_OBJECT *oid)
{
    struct view content = view_of(OBJ_get0_data(oid), OBJ_length(oid));
    for (enum scep_attribute a = 0; a < ATTR_COUNT; a++) {
        struct view known = scep_attribute_oid(a);
        if (view_eq(content, view_of(known.p + 2, known.n - 2)))
            return a;
    }
    return ATTR_COUNT;
}

/* Each at most once and with one value (RFC 5652 section 11, RFC 8894 section 3.2.1). */
static bool take(X509_ATTRIBUTE *x, const ASN1_TYPE *values[ATTR_COUNT], struct err *err)
{
    enum scep_attribute a = scep_attribute_of(X509_ATTRIBUTE_get0_object(x));
    if (a == ATTR_COUNT)
        return true;
    const struct rule *r = &rules[a];
    if (values[a])
        return err_refuse(err, REASON_MESSAGE_MALFORMED, "%s is there twice", r->name);
    if (X509_ATTRIBUTE_count(x) != 1)
        return err_refuse(err, REASON_MESSAGE_MALFORMED, "%s has %d values instead of one", r->name,
                          X509_ATTRIBUTE_count(x));
    const ASN1_TYPE *t = X509_ATTRIBUTE_get0_type(x, 0);
    if (t->type < 0 || t->type > 30 || !(TYPE_BIT(t->type) & r->types))
        return err_refuse(err, REASON_MESSAGE_MALFORMED, "%s has the ASN.1 type %d", r->name,
                          t->type);
    values[a] = t;
    return true;
}

/* Goes through all of them even after a refusal: the transactionID may come last, and is what an
 * answer needs. */
static bool collect(const STACK_OF(X509_ATTRIBUTE) * attributes,
                    const ASN1_TYPE *values[ATTR_COUNT], struct err *err)
{
    int n = sk_X509_ATTRIBUTE_num(attributes);
    if (n > SCEP_MAX_ATTRIBUTES)
        return err_refuse(err, REASON_MESSAGE_MALFORMED, "%d signed attributes, at most %d allowed",
                          n, SCEP_MAX_ATTRIBUTES);
    struct err later;
    bool ok = true;
    for (int i = 0; i < n; i++)
        ok = take(sk_X509_ATTRIBUTE_value(attributes, i), values, ok ? err : &later) && ok;
    return ok;
}

static struct view value_of(const ASN1_TYPE *t)
{
    return frame_view(t->value.asn1_string);
}

/* RFC 8894 section 3.2.1.1 makes it opaque text.  Anything printable in ASCII passes (real ones
 * hold blanks, '+', '/', '=' and user names), in any string type, since it is kept, logged, shown
 * and sent back as it came. */
static bool read_transaction_id(const ASN1_TYPE *t, struct scep_message *m, struct err *err)
{
    if (!t)
        return err_refuse(err, REASON_MESSAGE_MALFORMED, "no transactionID");
    struct view v = value_of(t);
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
    m->transaction_tag = (unsigned)t->type; /* universal: V_ASN1_x is the tag */
    memcpy(m->transaction_id, v.p, v.n);
    m->transaction_id[v.n] = '\0';
    return true;
}

/* RFC 8894 section 3.2.1.5 says 16 octets; a client that sends none gets none back. */
static bool read_nonce(const ASN1_TYPE *t, enum scep_attribute a, uint8_t out[SCEP_MAX_NONCE],
                       size_t *out_n, struct err *err)
{
    struct view v = t ? value_of(t) : view_of(NULL, 0);
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
static bool read_number(const ASN1_TYPE *t, enum scep_attribute a, const int *known, size_t n,
                        enum reason unknown, int *out, struct err *err)
{
    if (!t)
        return err_refuse(err, REASON_MESSAGE_MALFORMED, "no %s", rules[a].name);
    struct view v = value_of(t);
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
static bool read_type(const ASN1_TYPE *t, struct scep_message *m, struct err *err)
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

/* Only for those who check clocks: an unreadable time is no time, as is an absent one. */
static void read_signing_time(const ASN1_TYPE *t, struct scep_message *m)
{
    struct tm tm;
    if (t && ASN1_TIME_to_tm(t->value.asn1_string, &tm))
        m->signing_time = (int64_t)timegm(&tm);
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
static bool read_reply(const ASN1_TYPE *values[ATTR_COUNT], struct scep_message *m, struct err *err)
{
    static const int statuses[] = {SCEP_SUCCESS, SCEP_FAILURE, SCEP_PENDING};
    static const int infos[] = {FAIL_BAD_ALG, FAIL_BAD_MESSAGE_CHECK, FAIL_BAD_REQUEST,
                                FAIL_BAD_TIME, FAIL_BAD_CERT_ID};
    int status = 0, info = 0;
    if (!read_number(values[ATTR_PKI_STATUS], ATTR_PKI_STATUS, statuses, 3,
                     REASON_MESSAGE_MALFORMED, &status, err) ||
        !read_nonce(values[ATTR_RECIPIENT_NONCE], ATTR_RECIPIENT_NONCE, m->recipient_nonce,
                    &m->recipient_nonce_len, err))
        return false;
    m->status = (enum scep_status)status;
    if (m->status != SCEP_FAILURE)
        return true;
    if (!read_number(values[ATTR_FAIL_INFO], ATTR_FAIL_INFO, infos, 5, REASON_MESSAGE_MALFORMED,
                     &info, err))
        return false;
    m->fail_info = (enum fail_info)info;
    if (values[ATTR_FAIL_TEXT])
        text_printable(value_of(values[ATTR_FAIL_TEXT]), m->fail_text, sizeof m->fail_text);
    if (values[ATTR_MS_ERROR])
        m->hresult = decimal_int32(value_of(values[ATTR_MS_ERROR]));
    return true;
}

bool scep_attributes_read(const STACK_OF(X509_ATTRIBUTE) * attributes, struct scep_message *m,
                          struct scep_signed_values *out, struct err *err)
{
    const ASN1_TYPE *values[ATTR_COUNT] = {NULL};
    struct err later;
    bool ok = collect(attributes, values, err);
    m->replyable = read_transaction_id(values[ATTR_TRANSACTION_ID], m, ok ? err : &later);
    ok = ok && m->replyable;
    ok = read_nonce(values[ATTR_SENDER_NONCE], ATTR_SENDER_NONCE, m->sender_nonce,
                    &m->sender_nonce_len, ok ? err : &later) &&
         ok;
    ok = ok && read_type(values[ATTR_MESSAGE_TYPE], m, err) &&
         (!m->is_reply || read_reply(values, m, err));
    if (!ok)
        return false;
    /* RFC 5652 section 5.3: both must be there when there are signed attributes. */
    if (!values[ATTR_CONTENT_TYPE] || !values[ATTR_MESSAGE_DIGEST])
        return err_refuse(err, REASON_MESSAGE_MALFORMED, "no contentType or no messageDigest");
    read_signing_time(values[ATTR_SIGNING_TIME], m);
    out->content_type = values[ATTR_CONTENT_TYPE]->value.object;
    out->digest = value_of(values[ATTR_MESSAGE_DIGEST]);
    return true;
}
