#include "profile_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/objects.h>

#include "base/hex.h"
#include "base/network.h"
#include "pkcs7/cert.h"

#define URL_MAX 512
#define CHALLENGE_MAX 2048 /* long enough for what Intune makes */
#define SHOWN_MAX 256      /* names of devices, policies, organizations */

#define RSA_1024 1u
#define RSA_2048 2u
#define RSA_3072 4u
#define RSA_4096 8u
#define EC_256 16u
#define EC_384 32u

static const struct {
    unsigned bit, bits;
    enum key_type type;
    const char *text;
} sizes[] = {
    {RSA_1024, 1024, KEY_RSA, "RSA-1024"}, {RSA_2048, 2048, KEY_RSA, "RSA-2048"},
    {RSA_3072, 3072, KEY_RSA, "RSA-3072"}, {RSA_4096, 4096, KEY_RSA, "RSA-4096"},
    {EC_256, 256, KEY_EC, "P-256"},        {EC_384, 384, KEY_EC, "P-384"},
};

/* Keys: what the manufacturer's documentation says the client can make for SCEP. */
static const struct {
    const char *name, *title, *media_type, *suffix;
    profile_writer *write;
    unsigned keys;
    bool device, signable;
} kinds[PROFILE_KINDS] = {
    [PROFILE_APPLE] = {"apple", "Apple's SCEP payload", "application/x-apple-aspen-config",
                       ".mobileconfig", profile_write_apple, RSA_1024 | RSA_2048 | RSA_4096, true,
                       true},
    [PROFILE_WINDOWS] = {"windows", "the SCEP settings of Windows", "application/xml",
                         ".syncml.xml", profile_write_windows, RSA_1024 | RSA_2048 | RSA_4096, true,
                         false},
    [PROFILE_ANDROID] = {"android", "the profile for Android", "application/json", ".android.json",
                         profile_write_android,
                         RSA_1024 | RSA_2048 | RSA_3072 | RSA_4096 | EC_256 | EC_384, true, false},
    [PROFILE_CHROMEOS] = {"chromeos", "the profile for ChromeOS", "application/json",
                          ".chromeos.json", profile_write_chromeos, RSA_2048 | RSA_3072 | RSA_4096,
                          true, false},
    [PROFILE_CISCO] = {"cisco", "the configuration of IOS", "text/plain; charset=us-ascii",
                       ".ios.txt", profile_write_cisco, RSA_1024 | RSA_2048 | RSA_3072 | RSA_4096,
                       true, false},
    [PROFILE_STRONGSWAN] = {"strongswan", "strongSwan's pki", "application/x-sh", ".strongswan.sh",
                            profile_write_strongswan, RSA_1024 | RSA_2048 | RSA_3072 | RSA_4096,
                            true, false},
    [PROFILE_CERTMONGER] = {"certmonger", "certmonger", "application/x-sh", ".certmonger.sh",
                            profile_write_certmonger, RSA_1024 | RSA_2048 | RSA_3072 | RSA_4096,
                            true, false},
    [PROFILE_JAMF] = {"jamf", "Apple's SCEP payload", "application/x-apple-aspen-config",
                      ".jamf.mobileconfig", profile_write_apple, RSA_1024 | RSA_2048 | RSA_4096,
                      false, true},
};

const char *profile_kind_name(enum profile_kind kind)
{
    return (unsigned)kind < PROFILE_KINDS ? kinds[kind].name : "";
}

bool profile_kind_by_name(const char *name, enum profile_kind *out)
{
    for (unsigned i = 0; i < PROFILE_KINDS; i++)
        if (strcasecmp(kinds[i].name, name) == 0) {
            *out = (enum profile_kind)i;
            return true;
        }
    return false;
}

bool profile_kind_has_device(enum profile_kind kind)
{
    return (unsigned)kind < PROFILE_KINDS && kinds[kind].device;
}

/* ---- what the kinds share ---- */

bool profile_unfit(const struct profile_wish *w, struct err *err, const char *fmt, ...)
{
    char text[sizeof err->text];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return err_refuse(err, REASON_PROFILE_UNFIT, "%s cannot say this: %s", kinds[w->kind].title,
                      text);
}

const char *profile_attr_oid(const struct name_attr *a)
{
    return a->oid;
}

static bool digest(const EVP_MD *md, struct view in, uint8_t *out, struct err *err)
{
    return EVP_Digest(in.p, in.n, out, NULL, md, NULL) == 1 ||
           err_set(err, ERR_CRYPTO, "no digest of a certificate");
}

bool profile_sha1(struct view der, uint8_t out[20], struct err *err)
{
    return digest(EVP_sha1(), der, out, err);
}

bool profile_sha256_text(struct view der, char out[65], struct err *err)
{
    uint8_t raw[32];
    if (!digest(EVP_sha256(), der, raw, err))
        return false;
    hex_encode(view_of(raw, sizeof raw), out);
    return true;
}

bool profile_is_root(struct view der, struct err *err)
{
    struct cert *c = NULL;
    if (!cert_parse(der, &c, err))
        return false;
    bool root = view_eq(c->issuer, c->subject);
    cert_free(c);
    return root;
}

/* RFC 9562 section 5.5: SHA-1 over a name space, which is ours, and the name in it. */
bool profile_uuid(const struct profile_wish *w, const char *role, char out[PROFILE_UUID],
                  struct err *err)
{
    static const uint8_t space[16] = {0x5c, 0x1e, 0x7d, 0x0a, 0x33, 0x94, 0x4b, 0x52,
                                      0x9d, 0x6f, 0x0b, 0x71, 0xe2, 0xc8, 0x45, 0xf3};
    struct buf name = {0};
    uint8_t h[20];
    bool ok = buf_append(&name, space, sizeof space) &&
              buf_printf(&name, "%s/%s/%s/%s", w->prefix, w->policy_id, w->device_id, role);
    ok = ok ? digest(EVP_sha1(), buf_view(&name), h, err) : err_memory(err);
    buf_clear(&name);
    if (!ok)
        return false;
    h[6] = (uint8_t)(0x50 | (h[6] & 0x0f));
    h[8] = (uint8_t)(0x80 | (h[8] & 0x3f));
    char hex[33];
    hex_encode(view_of(h, 16), hex);
    for (char *p = hex; *p; p++)
        *p = (char)(*p >= 'a' ? *p - 'a' + 'A' : *p);
    snprintf(out, PROFILE_UUID, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16,
             hex + 20);
    return true;
}

/* ---- what may be asked for ---- */

static bool only(const char *text, const char *also)
{
    for (const char *p = text; *p; p++)
        if (!((*p >= '0' && *p <= '9') || ((*p | 32) >= 'a' && (*p | 32) <= 'z')) &&
            !strchr(also, *p))
            return false;
    return true;
}

/* Control characters would end a line or leave XML; the others of a name are harmless in all kinds,
 * or their writers look. */
static bool check_shown(const char *what, const char *text, struct err *err)
{
    char *normal = NULL;
    if (!text || !text[0])
        return true;
    if (strlen(text) > SHOWN_MAX)
        return err_refuse(err, REASON_PROFILE_UNFIT, "the %s is longer than %d octets", what,
                          SHOWN_MAX);
    if (!name_value_normalize(view_str(text), REASON_PROFILE_UNFIT, what, &normal, err))
        return false;
    free(normal);
    return true;
}

static bool check_url(const struct profile_wish *w, struct err *err)
{
    const char *rest = !strncmp(w->url, "http://", 7)    ? w->url + 7
                       : !strncmp(w->url, "https://", 8) ? w->url + 8
                                                         : "";
    if (!rest[0] || strlen(w->url) > URL_MAX || !only(rest, "-._~:/[]@!$&'()*+,;=%"))
        return err_set(err, ERR_CONFIG,
                       "the address of the endpoint must be an http or https URL of at most %d "
                       "characters without query: \"%.160s\"",
                       URL_MAX, w->url);
    return true;
}

/* Static challenges are whatever an administrator has put into a file. */
static bool check_challenge(const struct profile_wish *w, struct err *err)
{
    char *normal = NULL;
    if (!w->challenge)
        return true;
    size_t n = strlen(w->challenge);
    struct err why = {0};
    if (n == 0 || n > CHALLENGE_MAX)
        return err_refuse(err, REASON_PROFILE_UNFIT, "a challenge has 1 to %d octets",
                          CHALLENGE_MAX);
    bool ok = n <= NAME_MAX_VALUE
                  ? name_value_normalize(view_str(w->challenge), REASON_PROFILE_UNFIT, "challenge",
                                         &normal, &why)
                  : only(w->challenge, "-._~:/@!$&()*+,;=");
    if (normal)
        OPENSSL_cleanse(normal, strlen(normal));
    free(normal);
    OPENSSL_cleanse(&why, sizeof why); /* might quote it */
    return ok || err_refuse(err, REASON_PROFILE_UNFIT,
                            "the challenge has characters that no profile can hold");
}

static bool check_key(const struct profile_wish *w, struct err *err)
{
    char takes[96] = "";
    size_t n = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        if (!(kinds[w->kind].keys & sizes[i].bit))
            continue;
        if (sizes[i].type == w->key_type && sizes[i].bits == w->key_bits)
            return true;
        n += (size_t)snprintf(takes + n, sizeof takes - n, "%s%s", n ? ", " : "", sizes[i].text);
    }
    return profile_unfit(w, err, "a key %s%u; it takes %s", w->key_type == KEY_EC ? "P-" : "RSA-",
                         w->key_bits, takes);
}

static bool check_ca(const struct profile_wish *w, struct err *err)
{
    if (w->ca_n == 0 || w->ca_n > PROFILE_MAX_CA)
        return err_set(err, ERR_CONFIG, "a profile needs one to %d CA certificates",
                       PROFILE_MAX_CA);
    for (size_t i = 0; i < w->ca_n; i++) {
        struct cert *c = NULL;
        if (!cert_parse(w->ca[i], &c, err))
            return false;
        cert_free(c);
    }
    return true;
}

static bool check(const struct profile_wish *w, struct err *err)
{
    if ((unsigned)w->kind >= PROFILE_KINDS)
        return err_set(err, ERR_CONFIG, "no such kind of profile");
    if (!w->prefix[0] || strlen(w->prefix) > 128 || !only(w->prefix, "-.") ||
        strlen(w->device_id) > 64 || !only(w->device_id, "_-") || !w->policy_id[0] ||
        strlen(w->policy_id) > 64 || !only(w->policy_id, "_-"))
        return err_set(err, ERR_CONFIG,
                       "prefix and identifiers of a profile are letters, digits, '-', '.' and '_'");
    if (w->retries > PROFILE_MAX_RETRIES)
        return err_refuse(err, REASON_PROFILE_UNFIT, "a profile can ask for at most %d retries",
                          PROFILE_MAX_RETRIES);
    if (!kinds[w->kind].device && w->challenge)
        return err_set(err, ERR_CONFIG, "a profile for all devices holds no challenge");
    return check_url(w, err) && check_challenge(w, err) && check_key(w, err) && check_ca(w, err) &&
           check_shown("name of the device", w->device_name, err) &&
           check_shown("name of the policy", w->policy_name, err) &&
           check_shown("organization", w->organization, err) &&
           check_shown("CA identifier", w->ca_identifier, err);
}

/* ---- one file ---- */

/* A device's name may be anything; a file's is what every system takes. */
static void file_name(const struct profile_wish *w, char *out, size_t cap)
{
    char stem[96];
    const char *from = kinds[w->kind].device && w->device_name && w->device_name[0]
                           ? w->device_name
                           : w->policy_name;
    size_t n = 0;
    for (const char *p = from ? from : ""; *p && n + 1 < sizeof stem; p++) {
        char c[2] = {*p, '\0'};
        bool plain = only(c, "-_") || (*p == '.' && n > 0);
        if (plain)
            stem[n++] = *p;
        else if (n > 0 && stem[n - 1] != '-')
            stem[n++] = '-';
    }
    stem[n] = '\0';
    snprintf(out, cap, "%s%s", n ? stem : "profile", kinds[w->kind].suffix);
}

void profile_file_clear(struct profile_file *f)
{
    buf_wipe(&f->content);
    *f = (struct profile_file){0};
}

/* "http://127.0.0.1:8080/scep": whoever asks there asks itself. */
static bool is_own_url(const char *url)
{
    char host[64];
    const char *start = strstr(url, "://") + 3;
    bool bracket = *start == '[';
    size_t n = strcspn(start += bracket, bracket ? "]" : ":/");
    if (n >= sizeof host)
        return false;
    memcpy(host, start, n);
    host[n] = '\0';
    return network_is_loopback(host) || strcasecmp(host, "localhost") == 0;
}

static void warn(const struct profile_wish *w, char *out, size_t cap)
{
    out[0] = '\0';
    if (w->key_type == KEY_RSA && w->key_bits < 2048)
        snprintf(out, cap,
                 "the policy asks for RSA-%u, which does not protect what the certificate is for: "
                 "only for devices that cannot do better",
                 w->key_bits);
    size_t n = strlen(out);
    if (is_own_url(w->url))
        snprintf(out + n, cap - n,
                 "%sthe file says %.80s, which only this machine itself reaches: set listen.url in "
                 "the configuration",
                 n ? "; " : "", w->url);
}

bool profile_build(const struct profile_wish *wish, const struct profile_signer *signer,
                   struct profile_file *out, struct err *err)
{
    struct profile_file f = {0};
    struct buf plain = {0};
    bool ok = check(wish, err) && kinds[wish->kind].write(wish, &plain, err);
    if (ok && signer && kinds[wish->kind].signable) {
        ok = profile_sign(signer, buf_view(&plain), &f.content, err);
    } else {
        f.content = plain;
        plain = (struct buf){0};
    }
    buf_wipe(&plain);
    if (!ok) {
        profile_file_clear(&f);
        return false;
    }
    f.media_type = kinds[wish->kind].media_type;
    file_name(wish, f.name, sizeof f.name);
    warn(wish, f.warning, sizeof f.warning);
    *out = f;
    return true;
}
