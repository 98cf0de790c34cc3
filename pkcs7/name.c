#include "pkcs7/name.h"

#include <stdlib.h>
#include <strings.h>

#include <openssl/err.h>
#include <openssl/objects.h>

#include "asn1_pkix.h"
#include "asn1_text.h"
#include "frame.h"
#include "name_type.h"
#include "pkcs7/alg.h"
#include "pkcs7/ext.h"

#define NAME_MAX_SIZE (64u << 10) /* as large as the largest request around it */

/* RFC 5280 Appendix A has the bounds but those of givenName, surname, initials (32768 there, which
 * no device needs), postalCode, UID and street. */
static const struct name_type types[] = {
    {"CN", NID_commonName, 64, NAME_UTF8},
    {"C", NID_countryName, 2, NAME_PRINTABLE},
    {"ST", NID_stateOrProvinceName, 128, NAME_UTF8},
    {"L", NID_localityName, 128, NAME_UTF8},
    {"street", NID_streetAddress, 128, NAME_UTF8},
    {"postalCode", NID_postalCode, 40, NAME_UTF8},
    {"O", NID_organizationName, 64, NAME_UTF8},
    {"OU", NID_organizationalUnitName, 64, NAME_UTF8},
    {"title", NID_title, 64, NAME_UTF8},
    {"serialNumber", NID_serialNumber, 64, NAME_PRINTABLE},
    {"dnQualifier", NID_dnQualifier, 64, NAME_PRINTABLE},
    {"DC", NID_domainComponent, 63, NAME_IA5},
    {"UID", NID_userId, 256, NAME_UTF8},
    {"emailAddress", NID_pkcs9_emailAddress, 255, NAME_IA5},
    {"unstructuredName", NID_pkcs9_unstructuredName, 255, NAME_UTF8},
    {"givenName", NID_givenName, 64, NAME_UTF8},
    {"surname", NID_surname, 64, NAME_UTF8},
    {"initials", NID_initials, 64, NAME_UTF8},
    {"pseudonym", NID_pseudonym, 128, NAME_UTF8},
};

/* Other usual keys of the same types. */
static const struct {
    const char *key, *same_as;
} aliases[] = {{"E", "emailAddress"}, {"GN", "givenName"}, {"SN", "surname"}};

const struct name_type *name_type_by_key(const char *key)
{
    for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++)
        if (strcasecmp(key, aliases[i].key) == 0)
            key = aliases[i].same_as;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcasecmp(key, types[i].key) == 0)
            return &types[i];
    return NULL;
}

const struct name_type *name_type_by_nid(int nid)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].nid == nid)
            return &types[i];
    return NULL;
}

static const char *shown(const struct name_attr *a)
{
    return a->type ? a->type->key : a->oid;
}

/* ---- reading ---- */

static bool attr_parse(const PKIX_NAME_ATTR *in, enum reason reason, struct name_attr *out,
                       struct err *err)
{
    struct name_attr a = {.type = name_type_by_nid(OBJ_obj2nid(in->type))};
    if (!oid_text(in->type, a.oid))
        return err_refuse(err, reason, "an attribute type is longer than %zu characters",
                          sizeof a.oid - 1);
    struct buf text = {0};
    bool ok = asn1_text(in->value, reason, shown(&a), &text, err) &&
              name_value_normalize(buf_view(&text), reason, shown(&a), &a.value, err);
    buf_clear(&text);
    if (ok)
        *out = a;
    return ok;
}

static bool rdn_parse(const PKIX_RDN *rdn, enum reason reason, struct name *n, struct err *err)
{
    if (sk_PKIX_NAME_ATTR_num(rdn) == 0)
        return err_refuse(err, reason, "the name has an empty RDN");
    for (int i = 0; i < sk_PKIX_NAME_ATTR_num(rdn); i++) {
        if (n->n == NAME_MAX_ATTRS)
            return err_refuse(err, reason, "the name has more than %d attributes", NAME_MAX_ATTRS);
        if (!attr_parse(sk_PKIX_NAME_ATTR_value(rdn, i), reason, &n->attr[n->n], err))
            return false;
        n->attr[n->n++].multi = i > 0;
    }
    return true;
}

bool name_parse(struct view der, enum reason reason, struct name *out, struct err *err)
{
    if (!frame_check_part(der, NAME_MAX_SIZE, reason, err))
        return err_prefix(err, "name");
    PKIX_NAME *decoded =
        (PKIX_NAME *)frame_decode(der, ASN1_ITEM_rptr(PKIX_NAME), reason, "the name", err);
    if (!decoded)
        return false;
    struct name n = {0};
    bool ok = true;
    for (int i = 0; ok && i < sk_PKIX_RDN_num(decoded); i++)
        ok = rdn_parse(sk_PKIX_RDN_value(decoded, i), reason, &n, err);
    ASN1_item_free((ASN1_VALUE *)decoded, ASN1_ITEM_rptr(PKIX_NAME));
    if (ok)
        *out = n;
    else
        name_clear(&n);
    return ok;
}

void name_clear(struct name *n)
{
    for (size_t i = 0; i < n->n; i++)
        free(n->attr[i].value);
    *n = (struct name){0};
}

/* ---- making ---- */

bool name_add(struct name *n, const struct name_type *type, const char *value, enum reason reason,
              struct err *err)
{
    if (n->n == NAME_MAX_ATTRS)
        return err_refuse(err, reason, "the name has more than %d attributes", NAME_MAX_ATTRS);
    struct name_attr a = {.type = type};
    if (!oid_text(OBJ_nid2obj(type->nid), a.oid))
        return err_set(err, ERR_CRYPTO, "no OID for attribute %s", type->key);
    if (!name_value_normalize(view_str(value), reason, type->key, &a.value, err))
        return false;
    n->attr[n->n++] = a;
    return true;
}

static unsigned string_tag(enum name_string s)
{
    switch (s) {
    case NAME_UTF8:
        return DER_UTF8_STRING;
    case NAME_PRINTABLE:
        return DER_PRINTABLE_STRING;
    case NAME_IA5:
        break;
    }
    return DER_IA5_STRING;
}

static void attr_build(const struct name_attr *a, struct der *w)
{
    size_t mark = der_mark(w);
    der_tlv(w, a->type ? string_tag(a->type->string) : DER_UTF8_STRING, view_str(a->value));
    der_oid_text(w, a->oid);
    der_wrap(w, DER_SEQUENCE, mark);
}

void name_build(const struct name *n, struct der *w)
{
    size_t whole = der_mark(w), rdn = whole;
    for (size_t i = n->n; i-- > 0;) {
        attr_build(&n->attr[i], w);
        if (i > 0 && n->attr[i].multi)
            continue;
        der_wrap_set_of(w, rdn);
        rdn = der_mark(w);
    }
    der_wrap(w, DER_SEQUENCE, whole);
}

bool name_hash(const struct name *n, uint8_t out[32], struct err *err)
{
    struct der encoded;
    der_init(&encoded, NAME_TEXT_MAX);
    name_build(n, &encoded);
    bool ok = encoded.failed ? err_set(err, ERR_CRYPTO, "the name cannot be encoded")
                             : digest_compute(DIGEST_SHA256, der_content(&encoded), out, err);
    der_clear(&encoded);
    return ok;
}

/* ---- comparing ---- */

static bool same_value(const struct name_attr *a, const struct name_attr *b)
{
    return strcmp(a->oid, b->oid) == 0 && strcmp(a->value, b->value) == 0;
}

bool name_eq(const struct name *a, const struct name *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (!same_value(&a->attr[i], &b->attr[i]) || a->attr[i].multi != b->attr[i].multi)
            return false;
    return true;
}

/* ---- what may be issued ---- */

static unsigned characters(const char *s)
{
    unsigned n = 0;
    for (; *s; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

static bool only(const char *s, const char *more)
{
    for (; *s; s++) {
        bool alnum =
            (*s >= 'A' && *s <= 'Z') || (*s >= 'a' && *s <= 'z') || (*s >= '0' && *s <= '9');
        if (!alnum && !strchr(more, *s))
            return false;
    }
    return true;
}

/* X.680 section 41.4; the hyphen of a DC is that of a host name's label (RFC 4519 section 2.4). */
#define PRINTABLE_MORE " '()+,-./:=?"
#define LABEL_MORE "-"

static const char *alphabet_fault(const struct name_attr *a)
{
    const char *v = a->value;
    switch (a->type->nid) {
    case NID_countryName:
        if (v[0] < 'A' || v[0] > 'Z' || v[1] < 'A' || v[1] > 'Z' || v[2])
            return "is not two capital letters";
        break;
    case NID_serialNumber:
    case NID_dnQualifier:
        if (!only(v, PRINTABLE_MORE))
            return "has a character outside of PrintableString";
        break;
    case NID_domainComponent:
        if (!only(v, LABEL_MORE))
            return "is not one label of a domain name";
        break;
    case NID_pkcs9_emailAddress:
        if (characters(v) != strlen(v))
            return "has a character outside of ASCII";
        break;
    default:
        break;
    }
    return NULL;
}

static bool attr_check(const struct name_attr *a, enum reason reason, struct err *err)
{
    if (!a->type)
        return err_refuse(err, reason, "attribute type %s is not issued", a->oid);
    unsigned n = characters(a->value);
    if (n > a->type->upper_bound)
        return err_refuse(err, reason, "%s has %u characters, at most %u", a->type->key, n,
                          a->type->upper_bound);
    const char *fault = alphabet_fault(a);
    return !fault || err_refuse(err, reason, "%s '%s' %s", a->type->key, a->value, fault);
}

bool name_check(const struct name *n, enum reason reason, struct err *err)
{
    for (size_t i = 0; i < n->n; i++) {
        if (!attr_check(&n->attr[i], reason, err))
            return false;
        for (size_t k = 0; k < i; k++)
            if (same_value(&n->attr[i], &n->attr[k]))
                return err_refuse(err, reason, "%s '%s' is given twice", n->attr[i].type->key,
                                  n->attr[i].value);
    }
    return true;
}
