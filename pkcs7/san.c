#include "pkcs7/san.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <strings.h>

#include <openssl/x509v3.h>

#include "base/text.h"
#include "frame.h"
#include "san_value.h"

#define SAN_MAX_SIZE (64u << 10) /* as large as the largest request around it */

/* GeneralName tags, RFC 5280 section 4.2.1.6 */
enum { TAG_OTHER_NAME = 0, TAG_EMAIL = 1, TAG_DNS = 2, TAG_URI = 6, TAG_IP = 7 };

static const char *const kind_names[] = {
    [SAN_DNS] = "DNS", [SAN_EMAIL] = "email", [SAN_URI] = "URI", [SAN_IP] = "IP", [SAN_UPN] = "UPN",
};

const char *san_kind_name(enum san_kind k)
{
    return kind_names[k];
}

/* Mail domains do not mind case, the part before them does (RFC 5321 section 2.4). */
static bool same_email(const char *a, const char *b)
{
    size_t local = strcspn(a, "@");
    return strcspn(b, "@") == local && strncmp(a, b, local) == 0 && strcasecmp(a, b) == 0;
}

static bool same_name(const struct san_name *a, const struct san_name *b)
{
    if (a->kind != b->kind)
        return false;
    return a->kind == SAN_EMAIL ? same_email(a->text, b->text) : strcmp(a->text, b->text) == 0;
}

static bool contains(const struct san *s, const struct san_name *name)
{
    for (size_t i = 0; i < s->n; i++)
        if (same_name(&s->name[i], name))
            return true;
    return false;
}

/* Takes text, also when it fails. */
static bool put(struct san *s, enum san_kind kind, char *text, struct err *err)
{
    struct san_name name = {kind, text};
    bool ok = true;
    if (s->n == SAN_MAX)
        ok = err_refuse(err, REASON_SAN_FORBIDDEN, "more than %d subject alternative names",
                        SAN_MAX);
    else if (contains(s, &name))
        ok = err_refuse(err, REASON_SAN_FORBIDDEN, "%s:%.160s is given twice", kind_names[kind],
                        text);
    if (ok)
        s->name[s->n++] = name;
    else
        free(text);
    return ok;
}

/* ---- reading ---- */

/* RFC 5280 section 4.2.1.6 with MS-WCCE's UPN: [0] EXPLICIT UTF8String. */
static bool upn_parse(const OTHERNAME *other, char **out, struct err *err)
{
    char oid[80];
    OBJ_obj2txt(oid, sizeof oid, other->type_id, 1);
    if (OBJ_obj2nid(other->type_id) != NID_ms_upn)
        return err_refuse(err, REASON_SAN_FORBIDDEN, "otherName of type %s is not issued", oid);
    if (other->value->type != V_ASN1_UTF8STRING)
        return err_refuse(err, REASON_SAN_FORBIDDEN, "UPN is of ASN.1 type %d, not UTF8String",
                          other->value->type);
    return san_value(SAN_UPN, frame_view(other->value->value.utf8string), out, err);
}

static bool refuse_form(int type, struct err *err)
{
    static const char *const forms[] = {
        [GEN_X400] = "x400Address",
        [GEN_DIRNAME] = "directoryName",
        [GEN_EDIPARTY] = "ediPartyName",
        [GEN_RID] = "registeredID",
    };
    bool known = type >= 0 && (size_t)type < sizeof forms / sizeof *forms && forms[type];
    return err_refuse(err, REASON_SAN_FORBIDDEN,
                      "a subject alternative name of form %s is not issued",
                      known ? forms[type] : "unknown");
}

static bool name_parse_general(const GENERAL_NAME *g, struct san *s, struct err *err)
{
    char *text = NULL;
    switch (g->type) {
    case GEN_DNS:
        return san_value(SAN_DNS, frame_view(g->d.dNSName), &text, err) &&
               put(s, SAN_DNS, text, err);
    case GEN_EMAIL:
        return san_value(SAN_EMAIL, frame_view(g->d.rfc822Name), &text, err) &&
               put(s, SAN_EMAIL, text, err);
    case GEN_URI:
        return san_value(SAN_URI, frame_view(g->d.uniformResourceIdentifier), &text, err) &&
               put(s, SAN_URI, text, err);
    case GEN_IPADD:
        return san_value_of_address(frame_view(g->d.iPAddress), &text, err) &&
               put(s, SAN_IP, text, err);
    case GEN_OTHERNAME:
        return upn_parse(g->d.otherName, &text, err) && put(s, SAN_UPN, text, err);
    default:
        return refuse_form(g->type, err);
    }
}

bool san_parse(struct view general_names, struct san *out, struct err *err)
{
    if (!frame_check_part(general_names, SAN_MAX_SIZE, REASON_SAN_FORBIDDEN, err))
        return err_prefix(err, "subjectAltName");
    GENERAL_NAMES *names = (GENERAL_NAMES *)frame_decode(
        general_names, ASN1_ITEM_rptr(GENERAL_NAMES), REASON_SAN_FORBIDDEN, "subjectAltName", err);
    if (!names)
        return false;
    struct san s = {0};
    int n = sk_GENERAL_NAME_num(names);
    bool ok = n > 0 || err_refuse(err, REASON_SAN_FORBIDDEN, "subjectAltName is empty");
    for (int i = 0; ok && i < n; i++)
        ok = name_parse_general(sk_GENERAL_NAME_value(names, i), &s, err);
    GENERAL_NAMES_free(names);
    if (ok)
        *out = s;
    else
        san_clear(&s);
    return ok;
}

/* ---- making ---- */

bool san_add(struct san *s, enum san_kind kind, const char *text, struct err *err)
{
    char *value = NULL;
    return san_value(kind, view_str(text), &value, err) && put(s, kind, value, err);
}

bool san_add_text(struct san *s, const char *kind_and_value, struct err *err)
{
    const char *colon = strchr(kind_and_value, ':');
    size_t n = colon ? (size_t)(colon - kind_and_value) : 0;
    for (size_t k = 0; n > 0 && k < sizeof kind_names / sizeof *kind_names; k++)
        if (strlen(kind_names[k]) == n && strncasecmp(kind_names[k], kind_and_value, n) == 0)
            return san_add(s, (enum san_kind)k, colon + 1, err);
    return err_set(err, ERR_CONFIG, "'%.80s' is not DNS:, email:, URI:, IP: or UPN: and a name",
                   kind_and_value);
}

static void address_build(const char *text, struct der *w)
{
    uint8_t octets[16];
    if (inet_pton(AF_INET, text, octets) == 1)
        der_tlv(w, DER_CONTEXT(TAG_IP), view_of(octets, 4));
    else if (inet_pton(AF_INET6, text, octets) == 1)
        der_tlv(w, DER_CONTEXT(TAG_IP), view_of(octets, 16));
    else
        w->failed = true;
}

static void upn_build(const char *text, struct der *w)
{
    size_t mark = der_mark(w);
    der_tlv(w, DER_UTF8_STRING, view_str(text));
    der_wrap(w, DER_CONTEXT_CONSTRUCTED(0), mark);
    der_oid_nid(w, NID_ms_upn);
    der_wrap(w, DER_CONTEXT_CONSTRUCTED(TAG_OTHER_NAME), mark);
}

static void name_build_general(const struct san_name *name, struct der *w)
{
    struct view text = view_str(name->text);
    switch (name->kind) {
    case SAN_DNS:
        der_tlv(w, DER_CONTEXT(TAG_DNS), text);
        break;
    case SAN_EMAIL:
        der_tlv(w, DER_CONTEXT(TAG_EMAIL), text);
        break;
    case SAN_URI:
        der_tlv(w, DER_CONTEXT(TAG_URI), text);
        break;
    case SAN_IP:
        address_build(name->text, w);
        break;
    case SAN_UPN:
        upn_build(name->text, w);
        break;
    }
}

void san_build(const struct san *s, struct der *w)
{
    size_t mark = der_mark(w);
    for (size_t i = s->n; i-- > 0;)
        name_build_general(&s->name[i], w);
    der_wrap(w, DER_SEQUENCE, mark);
}

void san_text(const struct san *s, char *out, size_t cap)
{
    struct buf b = {0};
    bool ok = true;
    for (size_t i = 0; ok && i < s->n; i++)
        ok = buf_printf(&b, "%s%s:%s", i ? "," : "", kind_names[s->name[i].kind], s->name[i].text);
    text_printable(ok ? buf_view(&b) : view_str("?"), out, cap);
    buf_clear(&b);
}

bool san_eq(const struct san *a, const struct san *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (!contains(b, &a->name[i]))
            return false;
    return true;
}

void san_clear(struct san *s)
{
    for (size_t i = 0; i < s->n; i++)
        free(s->name[i].text);
    *s = (struct san){0};
}
