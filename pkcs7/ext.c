#include "pkcs7/ext.h"

#include <stdio.h>

#include <openssl/err.h>
#include <openssl/objects.h>

#include "asn1_pkix.h"
#include "frame.h"

#define EXTENSIONS_MAX_SIZE (64u << 10) /* as large as the largest request around it */
#define EXTENSIONS_MAX 64               /* duplicates are searched for pairwise */
#define KEY_USAGE_OCTETS 4              /* nine bits are defined */
#define OID_MS_SID "1.3.6.1.4.1.311.25.2"

/* ---- one extension each: `value` is the DER inside, a part of the parsed bytes ---- */

static bool parse_basic_constraints(struct view value, enum reason reason, struct extensions *x,
                                    struct err *err)
{
    BASIC_CONSTRAINTS *bc = (BASIC_CONSTRAINTS *)frame_decode(
        value, ASN1_ITEM_rptr(BASIC_CONSTRAINTS), reason, "basicConstraints", err);
    if (!bc)
        return false;
    int64_t path_len = -1;
    bool ok =
        !bc->pathlen || (ASN1_INTEGER_get_int64(&path_len, bc->pathlen) == 1 && path_len >= 0);
    x->has_basic_constraints = true;
    x->is_ca = bc->ca != 0;
    x->path_len = path_len;
    BASIC_CONSTRAINTS_free(bc);
    ERR_clear_error();
    return ok || err_refuse(err, reason, "basicConstraints has an impossible pathLenConstraint");
}

static bool parse_key_usage(struct view value, enum reason reason, struct extensions *x,
                            struct err *err)
{
    ASN1_BIT_STRING *bits = (ASN1_BIT_STRING *)frame_decode(value, ASN1_ITEM_rptr(ASN1_BIT_STRING),
                                                            reason, "keyUsage", err);
    if (!bits)
        return false;
    struct view octets = frame_view(bits);
    for (unsigned i = 0; i < 8 * octets.n && i < 8 * KEY_USAGE_OCTETS; i++)
        if (octets.p[i / 8] & (0x80 >> (i % 8)))
            x->key_usage |= 1u << i;
    x->has_key_usage = true;
    bool ok = octets.n <= KEY_USAGE_OCTETS;
    ASN1_BIT_STRING_free(bits);
    return ok || err_refuse(err, reason, "keyUsage has more than %d octets", KEY_USAGE_OCTETS);
}

bool oid_text(const ASN1_OBJECT *oid, char out[OID_TEXT_MAX])
{
    /* What every certificate has: OpenSSL takes ten times as long to write it out. */
    static const struct {
        int nid;
        const char *text;
    } usual[] = {
        {NID_basic_constraints, "2.5.29.19"},
        {NID_key_usage, "2.5.29.15"},
        {NID_ext_key_usage, "2.5.29.37"},
        {NID_subject_key_identifier, "2.5.29.14"},
        {NID_authority_key_identifier, "2.5.29.35"},
        {NID_subject_alt_name, "2.5.29.17"},
        {NID_crl_distribution_points, "2.5.29.31"},
        {NID_info_access, "1.3.6.1.5.5.7.1.1"},
        {NID_client_auth, "1.3.6.1.5.5.7.3.2"},
        {NID_commonName, "2.5.4.3"},
        {NID_organizationName, "2.5.4.10"},
        {NID_organizationalUnitName, "2.5.4.11"},
    };
    int nid = OBJ_obj2nid(oid);
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
        if (usual[i].nid == nid) {
            memcpy(out, usual[i].text, strlen(usual[i].text) + 1);
            return true;
        }
    int n = OBJ_obj2txt(out, OID_TEXT_MAX, oid, 1);
    if (n > 0 && n < OID_TEXT_MAX)
        return true;
    ERR_clear_error();
    return false;
}

static bool oid_read(const ASN1_OBJECT *oid, enum reason reason, char out[OID_TEXT_MAX],
                     struct err *err)
{
    return oid_text(oid, out) ||
           err_refuse(err, reason, "an object identifier is longer than %d characters",
                      OID_TEXT_MAX - 1);
}

static bool parse_eku(struct view value, enum reason reason, struct extensions *x, struct err *err)
{
    EXTENDED_KEY_USAGE *eku = (EXTENDED_KEY_USAGE *)frame_decode(
        value, ASN1_ITEM_rptr(EXTENDED_KEY_USAGE), reason, "extendedKeyUsage", err);
    if (!eku)
        return false;
    int n = sk_ASN1_OBJECT_num(eku);
    bool ok = n > 0 || err_refuse(err, reason, "extendedKeyUsage is empty");
    for (int i = 0; ok && i < n; i++) {
        char oid[OID_TEXT_MAX];
        ok = oid_read(sk_ASN1_OBJECT_value(eku, i), reason, oid, err) &&
             (eku_add(&x->eku, oid) ||
              err_refuse(err, reason, "extendedKeyUsage has more than %d purposes", EKU_MAX));
    }
    x->has_eku = true;
    EXTENDED_KEY_USAGE_free(eku);
    return ok;
}

static bool parse_san(struct view value, enum reason reason, struct extensions *x, struct err *err)
{
    x->has_san = true;
    return san_parse(value, &x->san, err);
}

/* A view of what was decoded.  What stands nowhere as a whole was put together from pieces. */
static bool locate_identifier(struct view value, const ASN1_STRING *id, const char *what,
                              enum reason reason, struct view *out, struct err *err)
{
    struct view octets = frame_view(id);
    *out = frame_locate(&value, octets);
    return out->n == octets.n || err_refuse(err, reason, "%s has a string in pieces (BER)", what);
}

static bool parse_ski(struct view value, enum reason reason, struct extensions *x, struct err *err)
{
    ASN1_OCTET_STRING *id = (ASN1_OCTET_STRING *)frame_decode(
        value, ASN1_ITEM_rptr(ASN1_OCTET_STRING), reason, "subjectKeyIdentifier", err);
    if (!id)
        return false;
    bool ok = locate_identifier(value, id, "subjectKeyIdentifier", reason, &x->ski, err);
    ASN1_OCTET_STRING_free(id);
    return ok;
}

static bool parse_aki(struct view value, enum reason reason, struct extensions *x, struct err *err)
{
    AUTHORITY_KEYID *id = (AUTHORITY_KEYID *)frame_decode(value, ASN1_ITEM_rptr(AUTHORITY_KEYID),
                                                          reason, "authorityKeyIdentifier", err);
    if (!id)
        return false;
    bool ok = locate_identifier(value, id->keyid, "authorityKeyIdentifier", reason, &x->aki, err);
    x->aki_other = id->issuer || id->serial;
    AUTHORITY_KEYID_free(id);
    return ok;
}

static bool parse_ms_sid(struct view value, enum reason reason, struct extensions *x,
                         struct err *err)
{
    x->ms_sid = value;
    return value.n > 0 || err_refuse(err, reason, "the SID extension is empty");
}

static const struct known {
    const char *oid;
    bool (*parse)(struct view value, enum reason reason, struct extensions *x, struct err *err);
} known[] = {
    {"2.5.29.19", parse_basic_constraints},
    {"2.5.29.15", parse_key_usage},
    {"2.5.29.37", parse_eku},
    {"2.5.29.17", parse_san},
    {"2.5.29.14", parse_ski},
    {"2.5.29.35", parse_aki},
    {OID_MS_SID, parse_ms_sid},
};

/* ---- all of them ---- */

static void note_critical(struct extensions *x, const struct known *k)
{
    x->basic_constraints_critical |= k->parse == parse_basic_constraints;
    x->key_usage_critical |= k->parse == parse_key_usage;
    x->san_critical |= k->parse == parse_san;
}

static void note_unknown(struct extensions *x, const char *oid, bool critical)
{
    size_t used = strlen(x->unknown), cap = sizeof x->unknown;
    if (used + 1 + strlen(oid) < cap)
        snprintf(x->unknown + used, cap - used, "%s%s", used ? " " : "", oid);
    x->unknown_n++;
    x->unknown_critical |= critical;
}

static bool parse_one(const PKIX_EXTENSION *e, enum reason reason, struct view *rest,
                      struct extensions *x, struct err *err)
{
    char oid[OID_TEXT_MAX];
    if (!oid_read(e->type, reason, oid, err))
        return false;
    struct view value = frame_locate(rest, frame_view(e->value));
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strcmp(oid, known[i].oid) != 0)
            continue;
        if (e->critical)
            note_critical(x, &known[i]);
        return known[i].parse(value, reason, x, err);
    }
    note_unknown(x, oid, e->critical);
    return true;
}

static bool check_once(const PKIX_EXTENSIONS *list, int i, enum reason reason, struct err *err)
{
    const ASN1_OBJECT *type = sk_PKIX_EXTENSION_value(list, i)->type;
    for (int k = 0; k < i; k++) {
        if (OBJ_cmp(sk_PKIX_EXTENSION_value(list, k)->type, type) != 0)
            continue;
        char oid[OID_TEXT_MAX];
        OBJ_obj2txt(oid, sizeof oid, type, 1);
        return err_refuse(err, reason, "extension %s is there twice", oid);
    }
    return true;
}

bool extensions_parse(struct view der, enum reason reason, struct extensions *out, struct err *err)
{
    if (!frame_check_part(der, EXTENSIONS_MAX_SIZE, reason, err))
        return err_prefix(err, "extensions");
    PKIX_EXTENSIONS *list = (PKIX_EXTENSIONS *)frame_decode(der, ASN1_ITEM_rptr(PKIX_EXTENSIONS),
                                                            reason, "the extensions", err);
    if (!list)
        return false;
    struct extensions x = {.der = der, .path_len = -1};
    struct view rest = der;
    int n = sk_PKIX_EXTENSION_num(list);
    bool ok = n <= EXTENSIONS_MAX ||
              err_refuse(err, reason, "%d extensions, at most %d", n, EXTENSIONS_MAX);
    for (int i = 0; ok && i < n; i++)
        ok = check_once(list, i, reason, err) &&
             parse_one(sk_PKIX_EXTENSION_value(list, i), reason, &rest, &x, err);
    ASN1_item_free((ASN1_VALUE *)list, ASN1_ITEM_rptr(PKIX_EXTENSIONS));
    if (ok)
        *out = x;
    else
        extensions_clear(&x);
    return ok;
}

void extensions_clear(struct extensions *x)
{
    san_clear(&x->san);
    *x = (struct extensions){0};
}

void extension_build(struct der *w, const char *oid, bool critical, struct view value)
{
    size_t mark = der_mark(w);
    der_tlv(w, DER_OCTET_STRING, value);
    if (critical)
        der_bool(w, true);
    der_oid_text(w, oid);
    der_wrap(w, DER_SEQUENCE, mark);
}
