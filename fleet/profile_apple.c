/* Configuration profiles of iOS, iPadOS, macOS, tvOS, visionOS and watchOS: property lists in XML.
 * The keys are those of Apple's device-management schema (com.apple.security.scep, .root, .pkcs1,
 * TopLevel). */
#include "profile_internal.h"

#include <stdio.h>

#include "base/text.h"
#include "pkcs7/cert.h"
#include "profile_xml.h"

static const char *const doctype[3] = {"plist", "-//Apple//DTD PLIST 1.0//EN",
                                       "http://www.apple.com/DTDs/PropertyList-1.0.dtd"};

/* ---- pairs of a dictionary ---- */

static void put_text(struct xml *x, const char *key, const char *value)
{
    xml_text(x, "key", key);
    xml_text(x, "string", value);
}

static void put_number(struct xml *x, const char *key, unsigned value)
{
    xml_text(x, "key", key);
    xml_number(x, "integer", value);
}

static void put_bool(struct xml *x, const char *key, bool value)
{
    xml_text(x, "key", key);
    xml_empty(x, value ? "true" : "false");
}

static void put_data(struct xml *x, const char *key, struct view bytes)
{
    xml_text(x, "key", key);
    xml_base64(x, "data", bytes);
}

static void start(struct xml *x, const char *key, const char *element)
{
    if (key)
        xml_text(x, "key", key);
    xml_open(x, element);
}

/* What every payload has. */
static bool put_common(struct xml *x, const struct profile_wish *w, const char *type,
                       const char *role, const char *display, struct err *err)
{
    char uuid[PROFILE_UUID], identifier[320];
    if (!profile_uuid(w, role, uuid, err))
        return false;
    snprintf(identifier, sizeof identifier, "%s.%s%s%s%s%s", w->prefix, w->policy_id,
             w->device_id[0] ? "." : "", w->device_id, role[0] ? "." : "", role);
    put_text(x, "PayloadType", type);
    put_number(x, "PayloadVersion", 1);
    put_text(x, "PayloadIdentifier", identifier);
    put_text(x, "PayloadUUID", uuid);
    put_text(x, "PayloadDisplayName", display);
    if (w->organization && w->organization[0])
        put_text(x, "PayloadOrganization", w->organization);
    return true;
}

/* ---- the payloads ---- */

/* Names that Apple abbreviates; all others are written as identifiers. */
static const char *attr_label(const struct name_attr *a)
{
    static const char *const known[] = {"C", "L", "ST", "O", "OU", "CN"};
    for (size_t i = 0; a->type && i < sizeof known / sizeof *known; i++)
        if (strcmp(a->type->key, known[i]) == 0)
            return known[i];
    return profile_attr_oid(a);
}

/* An array of RDNs, each an array of pairs. */
static void put_subject(struct xml *x, const struct name *n)
{
    start(x, "Subject", "array");
    for (size_t i = 0; i < n->n; i++) {
        if (!n->attr[i].multi)
            xml_open(x, "array");
        xml_open(x, "array");
        xml_text(x, "string", attr_label(&n->attr[i]));
        xml_text(x, "string", n->attr[i].value);
        xml_close(x);
        if (i + 1 == n->n || !n->attr[i + 1].multi)
            xml_close(x);
    }
    xml_close(x);
}

static size_t count(const struct san *s, enum san_kind kind)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++)
        n += s->name[i].kind == kind;
    return n;
}

/* One string, or an array where there are several. */
static void put_names(struct xml *x, const struct san *s, enum san_kind kind, const char *key)
{
    size_t n = count(s, kind);
    if (n == 0)
        return;
    xml_text(x, "key", key);
    if (n > 1)
        xml_open(x, "array");
    for (size_t i = 0; i < s->n; i++)
        if (s->name[i].kind == kind)
            xml_text(x, "string", s->name[i].text);
    if (n > 1)
        xml_close(x);
}

static bool put_san(struct xml *x, const struct profile_wish *w, struct err *err)
{
    if (!w->san || w->san->n == 0)
        return true;
    if (count(w->san, SAN_IP))
        return profile_unfit(w, err, "an IP address as subject alternative name");
    if (count(w->san, SAN_UPN) > 1)
        return profile_unfit(w, err, "more than one user principal name");
    start(x, "SubjectAltName", "dict");
    put_names(x, w->san, SAN_DNS, "dNSName");
    put_names(x, w->san, SAN_EMAIL, "rfc822Name");
    put_names(x, w->san, SAN_URI, "uniformResourceIdentifier");
    put_names(x, w->san, SAN_UPN, "ntPrincipalName");
    xml_close(x);
    return true;
}

static bool put_scep(struct xml *x, const struct profile_wish *w, struct err *err)
{
    uint8_t fingerprint[20];
    char display[300];
    if (!profile_sha1(w->ca[0], fingerprint, err))
        return false;
    xml_open(x, "dict");
    start(x, "PayloadContent", "dict");
    put_text(x, "URL", w->url);
    if (w->ca_identifier && w->ca_identifier[0])
        put_text(x, "Name", w->ca_identifier);
    put_subject(x, w->subject);
    if (!put_san(x, w, err))
        return false;
    if (w->challenge)
        put_text(x, "Challenge", w->challenge);
    put_text(x, "Key Type", "RSA");
    put_number(x, "Keysize", w->key_bits);
    if (w->usage)
        put_number(x, "Key Usage",
                   (w->usage & PROFILE_SIGN ? 1 : 0) | (w->usage & PROFILE_ENCRYPT ? 4 : 0));
    put_number(x, "Retries", w->retries);
    put_number(x, "RetryDelay", w->retry_delay);
    put_data(x, "CAFingerprint", view_of(fingerprint, sizeof fingerprint));
    put_bool(x, "KeyIsExtractable", false);
    put_bool(x, "AllowAllAppsAccess", false);
    xml_close(x);
    snprintf(display, sizeof display, "Certificate: %s", w->policy_name);
    if (!put_common(x, w, "com.apple.security.scep", "scep", display, err))
        return false;
    xml_close(x);
    return true;
}

/* The root becomes an anchor; what stands between is only known. */
static bool put_ca(struct xml *x, const struct profile_wish *w, size_t i, struct err *err)
{
    struct err look = {0};
    struct cert *c = NULL;
    char role[32], name[160], display[4 * sizeof name];
    bool root = profile_is_root(w->ca[i], &look);
    if (look.kind != ERR_NONE) {
        *err = look;
        return false;
    }
    if (!cert_parse(w->ca[i], &c, err))
        return false;
    name_der_text(c->subject, name, sizeof name);
    cert_free(c);
    text_printable(view_str(name), display,
                   sizeof display); /* nobody has looked at a foreign root's name */
    snprintf(role, sizeof role, "ca%zu", i + 1);
    xml_open(x, "dict");
    put_data(x, "PayloadContent", w->ca[i]);
    if (!put_common(x, w, root ? "com.apple.security.root" : "com.apple.security.pkcs1", role,
                    display, err))
        return false;
    xml_close(x);
    return true;
}

static bool put_profile(struct xml *x, const struct profile_wish *w, struct err *err)
{
    char display[300];
    xml_open(x, "plist");
    xml_attribute(x, "version", "1.0");
    xml_open(x, "dict");
    start(x, "PayloadContent", "array");
    for (size_t i = w->ca_n; i-- > 0;) /* anchors first */
        if (!put_ca(x, w, i, err))
            return false;
    if (!put_scep(x, w, err))
        return false;
    xml_close(x);
    snprintf(display, sizeof display, "%s", w->policy_name);
    put_text(x, "PayloadScope", "System");
    if (!put_common(x, w, "Configuration", "", display, err))
        return false;
    put_bool(x, "PayloadRemovalDisallowed", false);
    xml_close(x);
    xml_close(x);
    return true;
}

bool profile_write_apple(const struct profile_wish *w, struct buf *out, struct err *err)
{
    struct xml *x = xml_start(doctype);
    struct err end = {0};
    if (!x)
        return err_memory(err);
    bool put = put_profile(x, w, err);
    bool ended = xml_end(x, out, &end);
    if (put && !ended) /* else `err` has told already */
        *err = end;
    return put && ended;
}
