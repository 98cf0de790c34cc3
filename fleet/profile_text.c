/* Profiles that people paste or run: configuration lines of IOS, shell scripts around pki and
 * getcert.  Nothing that comes from a name can end a line or leave its quotation marks. */
#include "profile_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <openssl/crypto.h>

#include "base/hex.h"
#include "pkcs7/cert.h"

/* What begins something new in the names that these programs read; none of them documents a way to
 * write them. */
#define NAME_SEPARATORS ",+=\"\\<>;#/"
#define IOS_LINE_MAX 254

/* ---- lines ---- */

static bool line(struct buf *out, struct err *err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static bool line(struct buf *out, struct err *err, const char *fmt, ...)
{
    char text[8192];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof text)
        return err_set(err, ERR_MEMORY, "a line of a profile is too long");
    bool ok = buf_append(out, text, (size_t)n) && buf_append(out, "\n", 1);
    OPENSSL_cleanse(text, (size_t)n);
    return ok || err_memory(err);
}

/* 'text' for a shell: within single quotation marks only they mean anything. */
static bool append_quoted(struct buf *out, const char *text)
{
    bool ok = buf_append(out, "'", 1);
    for (const char *p = text; ok && *p; p++)
        ok = *p == '\'' ? buf_append_str(out, "'\\''") : buf_append(out, p, 1);
    return ok && buf_append(out, "'", 1);
}

/* " option 'value'" */
static bool option(struct buf *out, struct err *err, const char *name, const char *value)
{
    return (buf_append_str(out, " \\\n    ") && buf_append_str(out, name) &&
            buf_append_str(out, " ") && append_quoted(out, value)) ||
           err_memory(err);
}

struct label {
    const char *key, *there; /* ours, and the word of the other program */
};

/* "CN=gw1, O=Example" in the words of `labels`, which ends with a row of NULL. */
static bool subject_text(const struct profile_wish *w, const struct label *labels,
                         const char *between, struct buf *out, struct err *err)
{
    for (size_t i = 0; i < w->subject->n; i++) {
        const struct name_attr *a = &w->subject->attr[i];
        const struct label *l = labels;
        while (l->key && (!a->type || strcmp(l->key, a->type->key) != 0))
            l++;
        if (!l->key || a->multi)
            return profile_unfit(w, err, "%s=%.128s in the subject%s",
                                 a->type ? a->type->key : a->oid, a->value,
                                 a->multi ? ", beside another in one part of the name" : "");
        if (a->value[strcspn(a->value, NAME_SEPARATORS)])
            return profile_unfit(w, err, "the character '%c' in %s=%.128s",
                                 a->value[strcspn(a->value, NAME_SEPARATORS)], l->key, a->value);
        if (!buf_printf(out, "%s%s=%s", i ? between : "", l->there, a->value))
            return err_memory(err);
    }
    return true;
}

/* ---- Cisco ---- */

/* What a line of a configuration can hold; '?' asks for help while it is pasted. */
static bool plain_ios(const struct profile_wish *w, const char *what, const char *text, bool blanks,
                      struct err *err)
{
    for (const char *p = text; *p; p++)
        if (*p < 0x20 || *p > 0x7e || *p == '?' || (*p == ' ' && !blanks))
            return *p == '?' || *p == ' '
                       ? profile_unfit(w, err, "'%c' in the %s", *p, what)
                       : profile_unfit(w, err, "a character outside ASCII in the %s", what);
    return strlen(text) <= IOS_LINE_MAX - 32 ||
           profile_unfit(w, err, "a %s of more than %d characters", what, IOS_LINE_MAX - 32);
}

/* One DNS name is the router's FQDN; for others there is no word. */
static bool ios_host(const struct profile_wish *w, const char **out, struct err *err)
{
    *out = "none";
    for (size_t i = 0; w->san && i < w->san->n; i++) {
        const struct san_name *n = &w->san->name[i];
        if (n->kind != SAN_DNS || i > 0)
            return profile_unfit(w, err, "the subject alternative name %s:%.128s%s",
                                 san_kind_name(n->kind), n->text, i ? " beside another" : "");
        *out = n->text;
    }
    return plain_ios(w, "host name", *out, false, err);
}

/* "SCEP-VPN" from the policy's name: what names a trustpoint and its key. */
static void ios_label(const struct profile_wish *w, char out[40])
{
    size_t n = (size_t)snprintf(out, 40, "SCEP");
    bool gap = true;
    for (const char *p = w->policy_name ? w->policy_name : ""; *p && n < 32; p++) {
        bool word = (*p >= '0' && *p <= '9') || ((*p | 32) >= 'a' && (*p | 32) <= 'z');
        if (word && gap)
            out[n++] = '-';
        gap = !word;
        if (word)
            out[n++] = (char)(*p >= 'a' ? *p - 'a' + 'A' : *p);
    }
    out[n] = '\0';
}

static bool ios_fingerprint(const struct profile_wish *w, char out[64], struct err *err)
{
    uint8_t raw[20];
    char hex[41];
    size_t n = 0;
    if (!profile_sha1(w->ca[0], raw, err))
        return false;
    hex_encode(view_of(raw, sizeof raw), hex);
    for (const char *p = hex; *p; p++)
        out[n++] = (char)(*p >= 'a' ? *p - 'a' + 'A' : *p);
    out[n] = '\0';
    return true;
}

static bool ios_lines(const struct profile_wish *w, const char *subject, const char *host,
                      const char *label, const char *fingerprint, struct buf *out, struct err *err)
{
    unsigned minutes = w->retry_delay < 60 ? 1 : (w->retry_delay + 59) / 60;
    return line(out, err, "! Policy %s, device %s.  Enter in configuration mode.", w->policy_id,
                w->device_id) &&
           line(out, err, "! The clock must be right first: ntp server ...") &&
           line(out, err, "crypto key generate rsa general-keys label %s modulus %u", label,
                w->key_bits) &&
           line(out, err, "crypto pki trustpoint %s", label) &&
           line(out, err, " enrollment url %s", w->url) &&
           (w->retries == 0 || line(out, err, " enrollment retry count %u", w->retries)) &&
           line(out, err, " enrollment retry period %u", minutes > 60 ? 60 : minutes) &&
           line(out, err, " serial-number none") && line(out, err, " ip-address none") &&
           line(out, err, " fqdn %s", host) && line(out, err, " subject-name %s", subject) &&
           line(out, err, " fingerprint %s", fingerprint) &&
           (!w->challenge || line(out, err, " password %s", w->challenge)) &&
           line(out, err, " hash sha256") &&
           line(out, err, " rsakeypair %s %u", label, w->key_bits) &&
           line(out, err, " auto-enroll 80 regenerate") && line(out, err, " exit") &&
           line(out, err, "crypto pki authenticate %s", label) &&
           line(out, err, "crypto pki enroll %s", label);
}

bool profile_write_cisco(const struct profile_wish *w, struct buf *out, struct err *err)
{
    static const struct label labels[] = {
        {"CN", "CN"}, {"O", "O"}, {"OU", "OU"},          {"L", "L"},
        {"ST", "ST"}, {"C", "C"}, {"emailAddress", "E"}, {NULL, NULL}};
    struct buf subject = {0};
    const char *host;
    char label[40], fingerprint[64];
    ios_label(w, label);
    bool ok = subject_text(w, labels, ",", &subject, err) &&
              (buf_append(&subject, "", 1) || err_memory(err)) &&
              plain_ios(w, "subject", (const char *)subject.p, true, err) &&
              plain_ios(w, "URL", w->url, false, err) && ios_host(w, &host, err) &&
              (!w->challenge || plain_ios(w, "challenge", w->challenge, false, err)) &&
              ios_fingerprint(w, fingerprint, err) &&
              ios_lines(w, (const char *)subject.p, host, label, fingerprint, out, err);
    buf_clear(&subject);
    return ok;
}

/* ---- what both shell scripts have ---- */

static bool put_script(const struct profile_wish *w, const struct label *labels,
                       const char *between,
                       bool (*script)(const struct profile_wish *, const char *subject,
                                      struct buf *, struct err *),
                       struct buf *out, struct err *err)
{
    struct buf subject = {0};
    bool ok = subject_text(w, labels, between, &subject, err) &&
              (buf_append(&subject, "", 1) || err_memory(err)) &&
              script(w, (const char *)subject.p, out, err);
    buf_clear(&subject);
    return ok;
}

/* The CA certificates as a file, by a here-document that base64 cannot end. */
static bool put_certificates(const struct profile_wish *w, const char *file, size_t from, size_t n,
                             struct buf *out, struct err *err)
{
    bool ok = line(out, err, "cat >%s <<'END'", file);
    for (size_t i = from; ok && i < from + n; i++) {
        struct buf pem = {0};
        ok = cert_pem(w->ca[i], &pem, err) && (buf_append(out, pem.p, pem.n) || err_memory(err));
        buf_clear(&pem);
    }
    return ok && line(out, err, "END");
}

static bool put_head(const struct profile_wish *w, const char *packages, const char *result,
                     struct buf *out, struct err *err)
{
    return line(out, err, "#!/bin/sh") &&
           line(out, err, "# Policy %s, device %s.  Needs: %s.", w->policy_id, w->device_id,
                packages) &&
           line(out, err, "# It holds a challenge: run it once on the device, then delete it.") &&
           line(out, err, "# Usage: sh FILE [DIRECTORY]; leaves %s there.", result) &&
           line(out, err, "set -eu") && line(out, err, "umask 077") &&
           line(out, err, "mkdir -p \"${1:-.}\"") && line(out, err, "cd \"${1:-.}\"");
}

/* A file with the challenge, since arguments are seen by everybody on the machine. */
static bool put_secret(const char *before, const char *text, const char *after, const char *file,
                       struct buf *out, struct err *err)
{
    return ((buf_printf(out, "printf '%%s\\n' ") && buf_append_str(out, before) &&
             append_quoted(out, text) && buf_append_str(out, after) &&
             buf_printf(out, " >%s\n", file)) ||
            err_memory(err));
}

/* ---- strongSwan ---- */

static bool strongswan_san(const struct profile_wish *w, struct buf *out, struct err *err)
{
    for (size_t i = 0; w->san && i < w->san->n; i++) {
        const struct san_name *n = &w->san->name[i];
        if (n->kind != SAN_DNS && n->kind != SAN_EMAIL && n->kind != SAN_IP)
            return profile_unfit(w, err, "the subject alternative name %s:%.128s",
                                 san_kind_name(n->kind), n->text);
        if (!option(out, err, "--san", n->text))
            return false;
    }
    return true;
}

static bool strongswan_request(const struct profile_wish *w, const char *subject, struct buf *out,
                               struct err *err)
{
    char interval[16], poll[16];
    snprintf(interval, sizeof interval, "%u", w->retry_delay ? w->retry_delay : 1);
    snprintf(poll, sizeof poll, "%u", w->retries * (w->retry_delay ? w->retry_delay : 1) + 1);
    return line(out, err, "enrol() {") &&
           (buf_append_str(out, "    pki --scep") || err_memory(err)) &&
           option(out, err, "--url", w->url) && option(out, err, "--in", "key.der") &&
           option(out, err, "--dn", subject) && strongswan_san(w, out, err) &&
           (!w->challenge || option(out, err, "--options", "challenge.opt")) &&
           option(out, err, "--interval", interval) && option(out, err, "--maxpolltime", poll) &&
           line(out, err,
                " \\\n    --cacert-enc \"$1\" --cacert-sig \"$2\" --cacert ca.der "
                ">certificate.new") &&
           line(out, err, "}");
}

static bool strongswan_script(const struct profile_wish *w, const char *subject, struct buf *out,
                              struct err *err)
{
    return put_head(w, "strongswan-pki, libstrongswan-extra-plugins",
                    "key.der, certificate.der and ca.der", out, err) &&
           put_certificates(w, "ca.pem", 0, 1, out, err) &&
           line(out, err, "sed -e '/^-/d' ca.pem | base64 -d >ca.der") &&
           line(out, err, "[ -s key.der ] || pki --gen --type rsa --size %u >key.der",
                w->key_bits) &&
           line(out, err, "rm -f found.der found-*.der ra.der ra-*.der") &&
           (buf_append_str(out, "pki --scepca --force") || err_memory(err)) &&
           option(out, err, "--url", w->url) &&
           line(out, err, " \\\n    --caout found.der --raout ra.der >/dev/null") &&
           line(out, err, "for found in found*.der; do cmp -s ca.der \"$found\" && break; done") &&
           line(out, err, "cmp -s ca.der \"$found\" || {") &&
           line(out, err, "    echo 'the server shows another CA certificate: stopped' >&2") &&
           line(out, err, "    exit 1") && line(out, err, "}") &&
           strongswan_request(w, subject, out, err) &&
           line(out, err, "trap 'rm -f challenge.opt certificate.new' EXIT") &&
           (!w->challenge ||
            put_secret("--password\\ \\\"", w->challenge, "\\\"", "challenge.opt", out, err)) &&
           line(out, err, "if [ -e ra-1.der ]; then # one signs, the other decrypts") &&
           line(out, err, "    enrol ra.der ra-1.der || enrol ra-1.der ra.der") &&
           line(out, err, "elif [ -e ra.der ]; then") &&
           line(out, err, "    enrol ra.der ra.der") && line(out, err, "else") &&
           line(out, err, "    enrol ca.der ca.der") && line(out, err, "fi") &&
           line(out, err, "mv certificate.new certificate.der");
}

/* In its file of options a quotation mark ends what another began, and nothing stands for one. */
bool profile_write_strongswan(const struct profile_wish *w, struct buf *out, struct err *err)
{
    static const struct label labels[] = {{"CN", "CN"},
                                          {"O", "O"},
                                          {"OU", "OU"},
                                          {"L", "L"},
                                          {"ST", "ST"},
                                          {"C", "C"},
                                          {"DC", "DC"},
                                          {"UID", "UID"},
                                          {"title", "T"},
                                          {"givenName", "G"},
                                          {"surname", "S"},
                                          {"initials", "I"},
                                          {"serialNumber", "serialNumber"},
                                          {"emailAddress", "E"},
                                          {NULL, NULL}};
    if (w->challenge && strchr(w->challenge, '"'))
        return profile_unfit(w, err, "the character '\"' in the challenge");
    return put_script(w, labels, ", ", strongswan_script, out, err);
}

/* ---- certmonger ---- */

static bool certmonger_san(const struct profile_wish *w, struct buf *out, struct err *err)
{
    for (size_t i = 0; w->san && i < w->san->n; i++) {
        const struct san_name *n = &w->san->name[i];
        const char *flag = n->kind == SAN_DNS     ? "-D"
                           : n->kind == SAN_EMAIL ? "-E"
                           : n->kind == SAN_IP    ? "-A"
                           : n->kind == SAN_UPN   ? "-K"
                                                  : NULL;
        if (!flag)
            return profile_unfit(w, err, "the subject alternative name %s:%.128s",
                                 san_kind_name(n->kind), n->text);
        if (!option(out, err, flag, n->text))
            return false;
    }
    return true;
}

static bool certmonger_request(const struct profile_wish *w, const char *id, const char *subject,
                               struct buf *out, struct err *err)
{
    char bits[16];
    snprintf(bits, sizeof bits, "%u", w->key_bits);
    bool ok = (buf_append_str(out, "getcert request ${CERTMONGER_BUS:-}") || err_memory(err)) &&
              option(out, err, "-c", id) && option(out, err, "-I", id) &&
              option(out, err, "-G", "rsa") && option(out, err, "-g", bits) &&
              option(out, err, "-N", subject) &&
              (!(w->usage & PROFILE_SIGN) || option(out, err, "-u", "digitalSignature")) &&
              (!(w->usage & PROFILE_ENCRYPT) || option(out, err, "-u", "keyEncipherment"));
    for (size_t i = 0; ok && w->eku && i < w->eku->n; i++)
        ok = option(out, err, "-U", w->eku->oid[i]);
    return ok && certmonger_san(w, out, err) &&
           line(out, err, " \\\n    -k \"$PWD/key.pem\" -f \"$PWD/certificate.pem\"%s",
                w->challenge ? " -l \"$PWD/challenge\"" : "");
}

static bool certmonger_script(const struct profile_wish *w, const char *subject, struct buf *out,
                              struct err *err)
{
    char uuid[PROFILE_UUID], id[48];
    if (!profile_uuid(w, "certmonger", uuid, err))
        return false;
    snprintf(id, sizeof id, "scep-%.8s", uuid);
    bool ok =
        put_head(w, "certmonger, running", "key.pem and certificate.pem", out, err) &&
        put_certificates(w, "ca.pem", 0, 1, out, err) &&
        (w->ca_n == 1 || put_certificates(w, "chain.pem", 1, w->ca_n - 1, out, err)) &&
        line(out, err, "# certmonger reads the challenge later, and renews without it.") &&
        (!w->challenge || put_secret("", w->challenge, "", "challenge", out, err)) &&
        (buf_append_str(out, "getcert add-scep-ca ${CERTMONGER_BUS:-}") || err_memory(err)) &&
        option(out, err, "-c", id) && option(out, err, "-u", w->url) &&
        (!w->ca_identifier || !w->ca_identifier[0] || option(out, err, "-i", w->ca_identifier)) &&
        line(out, err, " \\\n    -N \"$PWD/ca.pem\"%s",
             w->ca_n > 1 ? " -I \"$PWD/chain.pem\"" : "");
    return ok && certmonger_request(w, id, subject, out, err) &&
           line(out, err, "echo 'look at it: getcert list -i %s'", id);
}

bool profile_write_certmonger(const struct profile_wish *w, struct buf *out, struct err *err)
{
    static const struct label labels[] = {{"CN", "CN"},
                                          {"O", "O"},
                                          {"OU", "OU"},
                                          {"L", "L"},
                                          {"ST", "ST"},
                                          {"C", "C"},
                                          {"DC", "DC"},
                                          {"UID", "UID"},
                                          {"serialNumber", "serialNumber"},
                                          {"emailAddress", "emailAddress"},
                                          {NULL, NULL}};
    return put_script(w, labels, ",", certmonger_script, out, err);
}
