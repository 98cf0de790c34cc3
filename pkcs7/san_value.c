#include "san_value.h"

#include <arpa/inet.h>
#include <stdlib.h>

#include "base/text.h"
#include "pkcs7/name.h"

#define DNS_MAX 253        /* RFC 1035 section 2.3.4, as text */
#define LABEL_MAX 63       /* the same */
#define EMAIL_MAX 254      /* RFC 5321 section 4.5.3.1.3, without the angle brackets */
#define EMAIL_LOCAL_MAX 64 /* RFC 5321 section 4.5.3.1.1 */
#define URI_MAX 1024       /* the longest that management products ask for have about 100 */

/* %ComputerName%, {{DeviceName}}, $SERIAL, ${X} */
static bool has_placeholder(struct view v)
{
    const uint8_t *percent = memchr(v.p, '%', v.n);
    size_t behind = percent ? (size_t)(v.p + v.n - percent) - 1 : 0;
    return memchr(v.p, '$', v.n) || memmem(v.p, v.n, "{{", 2) ||
           (behind > 0 && memchr(percent + 1, '%', behind));
}

static bool refuse(enum san_kind kind, struct view v, const char *fault, struct err *err)
{
    char text[160];
    text_printable(v, text, sizeof text);
    enum reason reason =
        v.n > 0 && has_placeholder(v) ? REASON_SUBJECT_PLACEHOLDER : REASON_SAN_FORBIDDEN;
    return err_refuse(err, reason, "%s:%s %s", san_kind_name(kind), text, fault);
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(uint8_t c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static const char *label_fault(struct view label)
{
    if (label.n == 0)
        return "has an empty label";
    if (label.n > LABEL_MAX)
        return "has a label of more than 63 characters";
    if (label.p[0] == '-' || label.p[label.n - 1] == '-')
        return "has a label that begins or ends with a hyphen";
    for (size_t i = 0; i < label.n; i++)
        if (!is_letter(label.p[i]) && !is_digit(label.p[i]) && label.p[i] != '-')
            return "has a character that no host name has";
    return NULL;
}

/* Letters, digits and hyphens: neither wildcard nor underscore, no dot at the end, no address. */
static const char *host_fault(struct view v)
{
    if (v.n > DNS_MAX)
        return "has more than 253 characters";
    struct view label = {0};
    for (struct view rest = v;;) {
        const uint8_t *dot = rest.n ? memchr(rest.p, '.', rest.n) : NULL;
        label = view_of(rest.p, dot ? (size_t)(dot - rest.p) : rest.n);
        const char *fault = label_fault(label);
        if (fault)
            return fault;
        if (!dot)
            break;
        rest = view_of(dot + 1, rest.n - label.n - 1);
    }
    for (size_t i = 0; i < label.n; i++)
        if (!is_digit(label.p[i]))
            return NULL;
    return "is an address or looks like one";
}

/* RFC 5321 section 4.1.2 without quoted strings and address literals, which nobody uses. */
static const char *email_fault(struct view v)
{
    if (v.n > EMAIL_MAX)
        return "has more than 254 characters";
    const uint8_t *at = v.n ? memchr(v.p, '@', v.n) : NULL;
    if (!at || at == v.p)
        return "is not user@host";
    struct view local = view_of(v.p, (size_t)(at - v.p));
    if (local.n > EMAIL_LOCAL_MAX)
        return "has more than 64 characters before the @";
    for (size_t i = 0; i < local.n; i++) {
        bool dot = local.p[i] == '.';
        if (dot && (i == 0 || i + 1 == local.n || local.p[i - 1] == '.'))
            return "has a dot out of place";
        if (!dot && !is_letter(local.p[i]) && !is_digit(local.p[i]) &&
            (!local.p[i] || !strchr("!#$%&'*+-/=?^_`{|}~", local.p[i])))
            return "has a character that no mailbox has";
    }
    return host_fault(view_of(at + 1, v.n - local.n - 1));
}

/* RFC 3986 section 4.3: scheme, ':', something; only characters of section 2. */
static const char *uri_fault(struct view v)
{
    if (v.n > URI_MAX)
        return "has more than 1024 characters";
    size_t scheme = 0;
    while (scheme < v.n &&
           (is_letter(v.p[scheme]) || (scheme > 0 && (is_digit(v.p[scheme]) || v.p[scheme] == '+' ||
                                                      v.p[scheme] == '-' || v.p[scheme] == '.'))))
        scheme++;
    if (scheme == 0 || scheme + 1 >= v.n || v.p[scheme] != ':')
        return "is not an absolute URI";
    for (size_t i = scheme; i < v.n; i++)
        if (!is_letter(v.p[i]) && !is_digit(v.p[i]) &&
            (!v.p[i] || !strchr(":/?#[]@!$&'()*+,;=-._~%", v.p[i])))
            return "has a character that no URI has";
    return NULL;
}

static bool upn_value(struct view v, char **out, struct err *err)
{
    char *nfc = NULL;
    if (!name_value_normalize(v, REASON_SAN_FORBIDDEN, san_kind_name(SAN_UPN), &nfc, err))
        return false;
    const char *at = strchr(nfc, '@');
    if (at && at != nfc && at[1] && !strchr(at + 1, '@')) {
        *out = nfc;
        return true;
    }
    free(nfc);
    return refuse(SAN_UPN, v, "is not user@realm", err);
}

static bool take_text(char *text, char **out, struct err *err)
{
    if (!text)
        return err_memory(err);
    *out = text;
    return true;
}

static bool address_value(struct view v, char **out, struct err *err)
{
    char text[INET6_ADDRSTRLEN];
    uint8_t octets[16];
    if (v.n >= sizeof text || memchr(v.p, 0, v.n))
        return refuse(SAN_IP, v, "is no address", err);
    memcpy(text, v.p, v.n);
    text[v.n] = '\0';
    if (inet_pton(AF_INET, text, octets) == 1)
        return san_value_of_address(view_of(octets, 4), out, err);
    if (inet_pton(AF_INET6, text, octets) == 1)
        return san_value_of_address(view_of(octets, 16), out, err);
    return refuse(SAN_IP, v, "is no address", err);
}

bool san_value_of_address(struct view octets, char **out, struct err *err)
{
    char text[INET6_ADDRSTRLEN];
    if (octets.n != 4 && octets.n != 16)
        return err_refuse(err, REASON_SAN_FORBIDDEN, "IP address of %zu octets, not 4 or 16",
                          octets.n);
    inet_ntop(octets.n == 4 ? AF_INET : AF_INET6, octets.p, text, sizeof text);
    return take_text(strdup(text), out, err);
}

static const char *fault_of(enum san_kind kind, struct view v)
{
    switch (kind) {
    case SAN_DNS:
        return host_fault(v);
    case SAN_EMAIL:
        return email_fault(v);
    case SAN_URI:
        return uri_fault(v);
    case SAN_IP:
    case SAN_UPN:
        break;
    }
    return NULL;
}

bool san_value(enum san_kind kind, struct view v, char **out, struct err *err)
{
    if (kind == SAN_UPN)
        return upn_value(v, out, err);
    if (kind == SAN_IP)
        return address_value(v, out, err);
    const char *fault = fault_of(kind, v);
    if (fault)
        return refuse(kind, v, fault, err);
    char *text = strndup((const char *)v.p, v.n);
    for (char *p = text; kind == SAN_DNS && p && *p; p++)
        if (*p >= 'A' && *p <= 'Z')
            *p = (char)(*p - 'A' + 'a');
    return take_text(text, out, err);
}
