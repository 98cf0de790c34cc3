/* Profiles with hostile texts: what is written is read again by the reader that it is for, and names change nothing but what
 * stands between quotation marks.  The page of an upstream in the same target: any octets.
 *
 * Input: a kind (first octet), then texts ended by zeros: subject, alternative names, name of the device, name of the policy,
 * organization, challenge. */
#include <jansson.h>
#include <libxml/parser.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "fleet/profile.h"
#include "fuzz.h"
#include "outside/upstream.h"

enum { SUBJECT, SAN, DEVICE, POLICY, ORGANIZATION, CHALLENGE, FIELDS };
static const char *const plain[FIELDS] = {"CN=plain", "", "plain", "plain", "plain", "plain"};

static struct buf authority;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    unsigned char *der = NULL;
    X509_NAME *n = X509_get_subject_name(x);
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 7);
    X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_ASC, (const unsigned char *)"CA", -1, -1, 0);
    X509_set_issuer_name(x, n);
    X509_gmtime_adj(X509_getm_notBefore(x), 0);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_set_pubkey(x, key);
    X509_sign(x, key, EVP_sha256());
    int length = i2d_X509(x, &der);
    if (length <= 0 || !buf_append(&authority, der, (size_t)length))
        abort();
    OPENSSL_free(der);
    X509_free(x);
    EVP_PKEY_free(key);
    return 0;
}

static bool build(enum profile_kind kind, char *const field[FIELDS], bool san, struct buf *out)
{
    struct name subject = {0};
    struct san names = {.n = 0};
    struct err err = {0};
    struct profile_file f = {.media_type = ""};
    bool ok = name_from_text(field[SUBJECT], &subject, &err) &&
              (!san || !field[SAN][0] || san_add_text(&names, field[SAN], &err));
    const struct profile_wish w = {.kind = kind,
                                   .url = "http://scep.example.org/scep",
                                   .ca_identifier = "",
                                   .ca = {buf_view(&authority)},
                                   .ca_n = 1,
                                   .subject = &subject,
                                   .san = &names,
                                   .challenge = profile_kind_has_device(kind) ? field[CHALLENGE] : NULL,
                                   .key_bits = 2048,
                                   .usage = PROFILE_SIGN | PROFILE_ENCRYPT,
                                   .retries = 3,
                                   .retry_delay = 10,
                                   .device_id = "dev_1",
                                   .device_name = field[DEVICE],
                                   .policy_id = "pol_1",
                                   .policy_name = field[POLICY],
                                   .organization = field[ORGANIZATION],
                                   .prefix = "org.example"};
    ok = ok && profile_build(&w, NULL, &f, &err);
    if (ok && !buf_append(out, f.content.p, f.content.n))
        abort();
    if (ok && (strchr(f.name, '/') || f.name[0] == '.' || !f.name[0]))
        abort();
    profile_file_clear(&f);
    name_clear(&subject);
    san_clear(&names);
    return ok;
}

/* ---- judges ---- */

static void judge_xml(struct view v)
{
    xmlDocPtr d = xmlReadMemory((const char *)v.p, (int)v.n, NULL, NULL,
                                XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
    if (!d)
        abort();
    xmlFreeDoc(d);
}

static void judge_json(struct view v)
{
    json_error_t why;
    json_t *j = json_loadb((const char *)v.p, v.n, JSON_REJECT_DUPLICATES, &why);
    if (!j)
        abort();
    json_decref(j);
}

/* What a shell would read outside of quotation marks; an escaped mark counts as quoted. */
static struct buf unquoted(struct view v)
{
    struct buf out = {0};
    bool inside = false;
    for (size_t i = 0; i < v.n; i++) {
        if (v.p[i] == '\'')
            inside = !inside;
        else if (!inside && v.p[i] == '\\' && i + 1 < v.n && v.p[i + 1] == '\'')
            i++;
        else if (!inside && !buf_append(&out, &v.p[i], 1))
            abort();
    }
    if (inside)
        abort();
    return out;
}

/* The same script as for plain names, but for what is quoted. */
static void judge_script(enum profile_kind kind, char *const field[FIELDS])
{
    char *same[FIELDS];
    struct buf hostile = {0}, harmless = {0};
    for (int i = 0; i < FIELDS; i++)
        same[i] = (char *)(uintptr_t)plain[i];
    if (build(kind, field, false, &hostile) && build(kind, same, false, &harmless)) {
        struct buf a = unquoted(buf_view(&hostile)), b = unquoted(buf_view(&harmless));
        if (!view_eq(buf_view(&a), buf_view(&b)))
            abort();
        buf_clear(&a);
        buf_clear(&b);
    }
    buf_clear(&hostile);
    buf_clear(&harmless);
}

static size_t lines(struct view v)
{
    size_t n = 0;
    for (size_t i = 0; i < v.n; i++) {
        if (v.p[i] != '\n' && (v.p[i] < 0x20 || v.p[i] > 0x7e || v.p[i] == '?'))
            abort();
        n += v.p[i] == '\n';
    }
    return n;
}

static void judge_ios(struct view v)
{
    if (lines(v) != 19)
        abort();
}

static void judge(enum profile_kind kind, struct view v, char *const field[FIELDS])
{
    switch (kind) {
    case PROFILE_APPLE:
    case PROFILE_JAMF:
    case PROFILE_WINDOWS:
        judge_xml(v);
        return;
    case PROFILE_ANDROID:
    case PROFILE_CHROMEOS:
        judge_json(v);
        return;
    case PROFILE_CISCO:
        judge_ios(v);
        return;
    case PROFILE_STRONGSWAN:
    case PROFILE_CERTMONGER:
        judge_script(kind, field);
        return;
    case PROFILE_KINDS:
        return;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct upstream_page page = {.secret = ""};
    struct err ignored = {0};
    struct buf out = {0};
    char *field[FIELDS], *text = malloc(size + FIELDS + 1);
    size_t at = 1;
    if (!text)
        return 0;
    upstream_page_read(view_of(data, size), &page, &ignored);
    memset(text, 0, size + FIELDS + 1);
    memcpy(text, data, size);
    for (int i = 0; i < FIELDS; i++) {
        field[i] = text + (at < size ? at : size);
        at += strlen(field[i]) + 1;
    }
    enum profile_kind kind = size ? (enum profile_kind)(data[0] % PROFILE_KINDS) : PROFILE_APPLE;
    if (size && build(kind, field, true, &out))
        judge(kind, buf_view(&out), field);
    buf_wipe(&out);
    free(text);
    return 0;
}

/* Puts in what means something to one of the readers. */
bool fuzz_change(struct view in, struct random *r, struct buf *out)
{
    static const char *const odd[] = {"'", "\"", "\\", "\n", "\r", "$(id)", "`id`", ";", "|", "&", "<", ">", "]]>", "&#10;",
                                      "%", "?", "!", "#", ",", "\\,", "+", "=", "/", "\xc3\xa9", "\xe2\x80\xae", "\xff", "\x7f",
                                      "\x01", "END\n", "'\\''", " ", "\t", "-", "--", "*", "~", "{", "}", "\xef\xbb\xbf"};
    if (in.n < 2)
        return false;
    size_t cut = 1 + random_below(r, (unsigned)(in.n - 1));
    const char *what = odd[random_below(r, sizeof odd / sizeof *odd)];
    buf_reset(out);
    return buf_append(out, in.p, cut) && buf_append_str(out, what) && buf_append(out, in.p + cut, in.n - cut);
}
