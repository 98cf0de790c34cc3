/* SyncML for the configuration service providers ClientCertificateInstall and
 * RootCATrustedCertificates of Windows 10 and 11, as Microsoft documents them.  A management server
 * puts the body into a session of its own. */
#include "profile_internal.h"

#include <stdio.h>
#include <stdlib.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "base/hex.h"
#include "profile_xml.h"

#define SCEP_NODE "./Device/Vendor/MSFT/ClientCertificateInstall/SCEP/"
#define TRUST_NODE "./Device/Vendor/MSFT/RootCATrustedCertificates/"
#define VALUE_MAX 4096

struct syncml {
    struct xml *x;
    unsigned command; /* CmdID of the next one */
    char node[sizeof SCEP_NODE + PROFILE_UUID];
};

/* ---- commands ---- */

/* `format`: chr, int, b64 or node; NULL for a command without one. */
static void put_command(struct syncml *s, const char *command, const char *node, const char *format,
                        const char *data)
{
    xml_open(s->x, command);
    xml_number(s->x, "CmdID", s->command++);
    xml_open(s->x, "Item");
    xml_open(s->x, "Target");
    xml_text(s->x, "LocURI", node);
    xml_close(s->x);
    if (format) {
        xml_open(s->x, "Meta");
        xml_open(s->x, "Format");
        xml_attribute(s->x, "xmlns", "syncml:metinf");
        xml_content(s->x, format);
        xml_close(s->x);
        xml_close(s->x);
    }
    if (data)
        xml_text(s->x, "Data", data);
    xml_close(s->x);
    xml_close(s->x);
}

static void put_setting(struct syncml *s, const char *name, const char *format, const char *data)
{
    char node[sizeof s->node + 64];
    snprintf(node, sizeof node, "%s/Install/%s", s->node, name);
    put_command(s, "Add", node, format, data);
}

static void put_number(struct syncml *s, const char *name, unsigned value)
{
    char text[16];
    snprintf(text, sizeof text, "%u", value);
    put_setting(s, name, "int", text);
}

/* base64 on one line */
static bool put_encoded(struct syncml *s, const char *node, const char *name, struct view bytes,
                        struct err *err)
{
    char full[sizeof TRUST_NODE + 128];
    size_t n = (bytes.n + 2) / 3 * 4 + 1;
    char *text = malloc(n);
    if (!text)
        return err_memory(err);
    EVP_EncodeBlock((unsigned char *)text, bytes.p, (int)bytes.n);
    if (node) {
        snprintf(full, sizeof full, "%s/%s", node, name);
        put_command(s, "Add", full, "b64", text);
    } else {
        put_setting(s, name, "chr", text);
    }
    OPENSSL_cleanse(text, n);
    free(text);
    return true;
}

/* ---- values ---- */

static bool append(char *out, size_t cap, const char *text)
{
    size_t n = strlen(out), more = strlen(text);
    if (n + more >= cap)
        return false;
    memcpy(out + n, text, more + 1);
    return true;
}

/* Keys that CertStrToName knows; it takes an identifier for any other. */
static const char *attr_label(const struct name_attr *a)
{
    static const char *const known[][2] = {
        {"CN", "CN"},      {"O", "O"},     {"OU", "OU"},          {"L", "L"},
        {"ST", "S"},       {"C", "C"},     {"emailAddress", "E"}, {"street", "STREET"},
        {"DC", "DC"},      {"title", "T"}, {"givenName", "G"},    {"surname", "SN"},
        {"initials", "I"},
    };
    for (size_t i = 0; a->type && i < sizeof known / sizeof *known; i++)
        if (strcmp(a->type->key, known[i][0]) == 0)
            return known[i][1];
    return NULL;
}

/* Quoted where a character separates, quotation marks doubled: CertNameToStr's form, which the CSP
 * asks for. */
static bool append_value(char *out, size_t cap, const char *value)
{
    bool quote = value[strcspn(value, ",=+;\"<>#\\\n")] != '\0';
    if (quote && !append(out, cap, "\""))
        return false;
    for (const char *p = value; *p; p++) {
        char c[3] = {*p, *p == '"' ? '"' : '\0', '\0'};
        if (!append(out, cap, c))
            return false;
    }
    return !quote || append(out, cap, "\"");
}

static bool put_subject(struct syncml *s, const struct profile_wish *w, struct err *err)
{
    char text[VALUE_MAX] = "";
    bool ok = true;
    for (size_t i = 0; ok && i < w->subject->n; i++) {
        const struct name_attr *a = &w->subject->attr[i];
        const char *label = attr_label(a);
        ok = (i == 0 || append(text, sizeof text, a->multi ? "+" : ",")) &&
             (label ? append(text, sizeof text, label)
                    : append(text, sizeof text, "OID.") &&
                          append(text, sizeof text, profile_attr_oid(a))) &&
             append(text, sizeof text, "=") && append_value(text, sizeof text, a->value);
    }
    if (!ok)
        return profile_unfit(w, err, "a subject of more than %d octets", VALUE_MAX);
    put_setting(s, "SubjectName", "chr", text);
    return true;
}

/* "kind+value;kind+value"; the numbers are AlternativeNameType's in certenroll.h. */
static bool put_san(struct syncml *s, const struct profile_wish *w, struct err *err)
{
    static const char *const kinds[] = {
        [SAN_DNS] = "3+", [SAN_EMAIL] = "2+", [SAN_URI] = "7+", [SAN_IP] = "8+", [SAN_UPN] = "11+"};
    char text[VALUE_MAX] = "";
    if (!w->san || w->san->n == 0)
        return true;
    for (size_t i = 0; i < w->san->n; i++) {
        const struct san_name *n = &w->san->name[i];
        if (n->text[strcspn(n->text, ";+")])
            return profile_unfit(w, err, "';' or '+' in the subject alternative name \"%.128s\"",
                                 n->text);
        if ((i && !append(text, sizeof text, ";")) || !append(text, sizeof text, kinds[n->kind]) ||
            !append(text, sizeof text, n->text))
            return profile_unfit(w, err, "subject alternative names of more than %d octets",
                                 VALUE_MAX);
    }
    put_setting(s, "SubjectAlternativeNames", "chr", text);
    return true;
}

/* The CSP wants some: where the policy names none it is clientAuth, which the template may drop
 * again. */
static void put_eku(struct syncml *s, const struct profile_wish *w)
{
    char text[EKU_MAX * (OID_TEXT_MAX + 1)] = "";
    for (size_t i = 0; w->eku && i < w->eku->n; i++)
        if (i == 0 || append(text, sizeof text, "+"))
            append(text, sizeof text, w->eku->oid[i]);
    put_setting(s, "EKUMapping", "chr", text[0] ? text : "1.3.6.1.5.5.7.3.2");
}

static bool thumbprint(struct view der, char out[41], struct err *err)
{
    uint8_t raw[20];
    if (!profile_sha1(der, raw, err))
        return false;
    hex_encode(view_of(raw, sizeof raw), out);
    for (char *p = out; *p; p++)
        *p = (char)(*p >= 'a' ? *p - 'a' + 'A' : *p);
    return true;
}

/* ---- the file ---- */

/* Outside the atomic block: adding what is there already fails, and that is no matter. */
static bool put_trust(struct syncml *s, const struct profile_wish *w, struct err *err)
{
    for (size_t i = w->ca_n; i-- > 0;) {
        char hash[41], node[sizeof TRUST_NODE + sizeof hash + 8];
        struct err look = {0};
        bool root = profile_is_root(w->ca[i], &look);
        if (look.kind != ERR_NONE) {
            *err = look;
            return false;
        }
        if (!thumbprint(w->ca[i], hash, err))
            return false;
        snprintf(node, sizeof node, "%s%s/%s", TRUST_NODE, root ? "Root" : "CA", hash);
        if (!put_encoded(s, node, "EncodedCertificate", w->ca[i], err))
            return false;
    }
    return true;
}

static bool put_settings(struct syncml *s, const struct profile_wish *w, struct err *err)
{
    char hash[41], enroll[sizeof s->node + 32];
    unsigned usage = w->usage ? w->usage : PROFILE_SIGN | PROFILE_ENCRYPT;
    if (!w->challenge)
        return profile_unfit(w, err, "an enrolment without a challenge");
    if (!thumbprint(w->ca[0], hash, err))
        return false;
    put_command(s, "Add", s->node, "node", NULL);
    put_setting(s, "ServerURL", "chr", w->url);
    if (!put_encoded(s, NULL, "Challenge", view_str(w->challenge), err) ||
        !put_subject(s, w, err) || !put_san(s, w, err))
        return false;
    put_eku(s, w);
    put_number(s, "KeyUsage",
               (usage & PROFILE_SIGN ? 0x80 : 0) | (usage & PROFILE_ENCRYPT ? 0x20 : 0));
    put_number(s, "KeyLength", w->key_bits);
    put_setting(s, "HashAlgorithm", "chr", "SHA-2");
    put_number(s, "KeyProtection", 3);
    put_number(s, "RetryCount", w->retries);
    put_number(s, "RetryDelay", w->retry_delay < 60 ? 1 : (w->retry_delay + 59) / 60); /* minutes */
    put_setting(s, "CAThumbprint", "chr", hash);
    snprintf(enroll, sizeof enroll, "%s/Install/Enroll", s->node);
    put_command(s, "Exec", enroll, NULL, NULL);
    return true;
}

static bool put_body(struct syncml *s, const struct profile_wish *w, struct err *err)
{
    xml_open(s->x, "SyncML");
    xml_attribute(s->x, "xmlns", "SYNCML:SYNCML1.2");
    xml_open(s->x, "SyncBody");
    put_command(s, "Delete", s->node, NULL, NULL); /* of an earlier installation */
    if (!put_trust(s, w, err))
        return false;
    xml_open(s->x, "Atomic");
    xml_number(s->x, "CmdID", s->command++);
    if (!put_settings(s, w, err))
        return false;
    xml_close(s->x);
    xml_empty(s->x, "Final");
    return true;
}

bool profile_write_windows(const struct profile_wish *w, struct buf *out, struct err *err)
{
    struct syncml s = {.command = 1};
    struct err end = {0};
    char uuid[PROFILE_UUID];
    if (!profile_uuid(w, "scep", uuid, err))
        return false;
    snprintf(s.node, sizeof s.node, "%s%s", SCEP_NODE, uuid);
    if (!(s.x = xml_start(NULL)))
        return err_memory(err);
    bool put = put_body(&s, w, err);
    bool ended = xml_end(s.x, out, &end);
    if (put && !ended)
        *err = end;
    return put && ended;
}
