/* Distinguished names as text, RFC 4514 but for the order: that of the encoding. */

#include <openssl/objects.h>

#include "asn1_pkix.h"
#include "asn1_text.h"
#include "base/hex.h"
#include "base/text.h"
#include "frame.h"
#include "name_type.h"

#define SPECIAL "\"+,;<>\\" /* RFC 4514 section 2.4 */

/* ---- writing ---- */

static bool append_value(struct buf *b, struct view v)
{
    bool ok = true;
    for (size_t i = 0; ok && i < v.n; i++) {
        bool edge = (v.p[i] == ' ' && (i == 0 || i + 1 == v.n)) || (v.p[i] == '#' && i == 0);
        if (edge || (v.p[i] && strchr(SPECIAL, v.p[i])))
            ok = buf_append(b, "\\", 1);
        ok = ok && buf_append(b, &v.p[i], 1);
    }
    return ok;
}

static bool append_attr(struct buf *b, bool multi, const char *key, struct view value)
{
    if (b->n > 0 && !buf_append(b, multi ? "+" : ",", 1))
        return false;
    return buf_append_str(b, key) && buf_append(b, "=", 1) && append_value(b, value);
}

static void finish(struct buf *b, bool ok, char *out, size_t cap)
{
    text_printable(ok ? buf_view(b) : view_str("?"), out, cap);
    buf_clear(b);
}

void name_text(const struct name *n, char *out, size_t cap)
{
    struct buf b = {0};
    bool ok = true;
    for (size_t i = 0; ok && i < n->n; i++) {
        const struct name_attr *a = &n->attr[i];
        ok = append_attr(&b, a->multi, a->type ? a->type->key : a->oid, view_str(a->value));
    }
    finish(&b, ok, out, cap);
}

static bool append_foreign(struct buf *b, bool multi, const PKIX_NAME_ATTR *a)
{
    const struct name_type *type = name_type_by_nid(OBJ_obj2nid(a->type));
    char oid[80];
    OBJ_obj2txt(oid, sizeof oid, a->type, 1);
    struct buf value = {0};
    struct err ignored;
    bool readable = asn1_text(a->value, REASON_MESSAGE_MALFORMED, "", &value, &ignored);
    bool ok =
        append_attr(b, multi, type ? type->key : oid, readable ? buf_view(&value) : view_str("?"));
    buf_clear(&value);
    return ok;
}

void name_der_text(struct view der, char *out, size_t cap)
{
    struct err ignored;
    struct buf b = {0};
    PKIX_NAME *name = (PKIX_NAME *)frame_decode(der, ASN1_ITEM_rptr(PKIX_NAME),
                                                REASON_MESSAGE_MALFORMED, "", &ignored);
    bool ok = name != NULL;
    for (int i = 0; ok && i < sk_PKIX_RDN_num(name); i++) {
        const PKIX_RDN *rdn = sk_PKIX_RDN_value(name, i);
        for (int k = 0; ok && k < sk_PKIX_NAME_ATTR_num(rdn); k++)
            ok = append_foreign(&b, k > 0, sk_PKIX_NAME_ATTR_value(rdn, k));
    }
    ASN1_item_free((ASN1_VALUE *)name, ASN1_ITEM_rptr(PKIX_NAME));
    finish(&b, ok, out, cap);
}

/* ---- reading ---- */

static bool read_type(const char **p, const struct name_type **out, struct err *err)
{
    *p += strspn(*p, " ");
    size_t n = strcspn(*p, "=,+");
    char key[64];
    if ((*p)[n] != '=' || n >= sizeof key)
        return err_set(err, ERR_CONFIG, "name: TYPE=value expected at '%.40s'", *p);
    memcpy(key, *p, n);
    while (n > 0 && key[n - 1] == ' ')
        n--;
    key[n] = '\0';
    *out = name_type_by_key(key);
    if (!*out)
        return err_set(err, ERR_CONFIG, "name: unknown attribute type '%s'", key);
    *p += strcspn(*p, "=") + 1;
    return true;
}

/* What stands behind a backslash: a special character, or two hex digits. */
static bool read_escape(const char **p, char *out)
{
    char pair[3] = {(*p)[0], (*p)[0] ? (*p)[1] : '\0', '\0'};
    uint8_t octet;
    if (hex_decode(pair, &octet, 1) == 1) {
        *out = (char)octet;
        *p += 2;
        return octet != 0;
    }
    if (!**p || !strchr(SPECIAL " #=", **p))
        return false;
    *out = *(*p)++;
    return true;
}

/* Up to the next ',' or '+'; blanks around it are left out unless escaped. */
static bool read_value(const char **p, char value[NAME_MAX_VALUE + 1], struct err *err)
{
    size_t n = 0, keep = 0;
    *p += strspn(*p, " ");
    while (**p && **p != ',' && **p != '+') {
        if (n == NAME_MAX_VALUE)
            return err_set(err, ERR_CONFIG, "name: a value is longer than %d octets",
                           NAME_MAX_VALUE);
        bool blank = **p == ' ';
        if (**p == '\\') {
            (*p)++;
            if (!read_escape(p, &value[n]))
                return err_set(err, ERR_CONFIG, "name: wrong escape at '\\%.8s'", *p);
        } else {
            value[n] = *(*p)++;
        }
        n++;
        keep = blank ? keep : n;
    }
    value[keep] = '\0';
    return true;
}

bool name_from_text(const char *text, struct name *out, struct err *err)
{
    struct name n = {0};
    const char *p = text + strspn(text, " ");
    bool ok = true, more = *p != '\0', multi = false;
    while (ok && more) {
        const struct name_type *type;
        char value[NAME_MAX_VALUE + 1];
        ok = read_type(&p, &type, err) && read_value(&p, value, err) &&
             name_add(&n, type, value, REASON_SUBJECT_FORBIDDEN, err);
        if (!ok)
            break;
        n.attr[n.n - 1].multi = multi;
        more = *p != '\0';
        multi = *p == '+';
        p += more;
    }
    if (ok)
        *out = n;
    else
        name_clear(&n);
    return ok;
}
