#include "ms_sid.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <strings.h>

#define SID_URI "tag:microsoft.com,2022-09-14:sid:"
#define SID_VALUE_OID "1.3.6.1.4.1.311.25.2.1"

/* "S-1-5-21-1-2-3": revision 1, then decimal numbers. */
static bool is_sid(const char *s)
{
    size_t numbers = 0;

    if (strncmp(s, "S-1", 3) != 0)
        return false;
    for (s += 3; *s == '-'; numbers++) {
        size_t digits = strspn(++s, "0123456789");
        if (digits == 0 || digits > 15)
            return false;
        s += digits;
    }
    return *s == '\0' && numbers >= 2;
}

/* SEQUENCE { [0] { OID, [0] { OCTET STRING } } } is GeneralNames with one otherName. */
static bool sid_of_names(const GENERAL_NAMES *names, char out[MS_SID_MAX])
{
    char oid[64];

    if (sk_GENERAL_NAME_num(names) != 1)
        return false;
    const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, 0);
    if (name->type != GEN_OTHERNAME)
        return false;
    const OTHERNAME *other = name->d.otherName;
    if (OBJ_obj2txt(oid, sizeof oid, other->type_id, 1) <= 0 || strcmp(oid, SID_VALUE_OID) != 0 ||
        ASN1_TYPE_get(other->value) != V_ASN1_OCTET_STRING)
        return false;
    const ASN1_OCTET_STRING *text = other->value->value.octet_string;
    int n = ASN1_STRING_length(text);
    if (n <= 0 || n >= MS_SID_MAX || memchr(ASN1_STRING_get0_data(text), 0, (size_t)n))
        return false;
    memcpy(out, ASN1_STRING_get0_data(text), (size_t)n);
    out[n] = '\0';
    return is_sid(out);
}

bool ms_sid_parse(struct view value, char out[MS_SID_MAX])
{
    const unsigned char *p = value.p;
    unsigned char *again = NULL;
    char sid[MS_SID_MAX];
    bool ok = false;

    GENERAL_NAMES *names = d2i_GENERAL_NAMES(NULL, &p, (long)value.n);
    if (names && p == value.p + value.n && sid_of_names(names, sid)) {
        int n =
            i2d_GENERAL_NAMES(names, &again); /* DER only: what is read must be what is written */
        ok = n > 0 && view_eq(view_of(again, (size_t)n), value);
    }
    if (ok)
        memcpy(out, sid, sizeof sid);
    OPENSSL_free(again);
    GENERAL_NAMES_free(names);
    ERR_clear_error();
    return ok;
}

bool ms_sid_claimed(const char *uri)
{
    return strncasecmp(uri, "tag:microsoft.com,", 18) == 0 && strcasestr(uri, ":sid:") != NULL;
}

const char *ms_sid_of_uri(const char *uri)
{
    size_t prefix = strlen(SID_URI);

    return strncmp(uri, SID_URI, prefix) == 0 && strlen(uri) < prefix + MS_SID_MAX &&
                   is_sid(uri + prefix)
               ? uri + prefix
               : NULL;
}
