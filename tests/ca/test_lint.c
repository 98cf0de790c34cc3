#include "check_main.h"

#include <string.h>
#include <time.h>

#include "forge.h"
#include "wish.h"

#define DAY 86400
#define NOW ((int64_t)1800000000) /* 2027-01-15 */
#define SID_OID "1.3.6.1.4.1.311.25.2"
/* GeneralNames with the otherName of a SID, S-1-5-21-1 */
#define SID_VALUE                              \
    "3020a01e060a2b060104018237190201a010040e" \
    "532d312d352d32312d312d322d33"
#define SID_URI "URI:tag:microsoft.com,2022-09-14:sid:"
#define SID_TEXT "S-1-5-21-1-2-3"

static struct err err;
static struct cert *root, *authority, *device;
static struct forge f;
static struct lint_limits limits;
static struct eku purposes, passed;

/* Hierarchy: an RSA root, a P-256 issuing CA, a device certificate. */
static void hierarchy_make(void)
{
    wish_keys_make();
    forge_init(&f, ROLE_ROOT, "rsa2048", NULL, NOW);
    root = forge_certificate(&f, wish_key("rsa2048"), NULL);
    forge_clear(&f);
    forge_init(&f, ROLE_ISSUING_CA, "p256", root, NOW);
    authority = forge_certificate(&f, wish_key("rsa2048"), NULL);
    forge_clear(&f);
    forge_init(&f, ROLE_DEVICE, "rsa2048", authority, NOW);
    device = forge_certificate(&f, wish_key("p256"), NULL);
    forge_clear(&f);
}

static void hierarchy_free(void)
{
    cert_free(root);
    cert_free(authority);
    cert_free(device);
    wish_keys_free();
}

static void limits_make(enum cert_role role)
{
    static const char *const names[] = {"clientAuth", "emailProtection", "serverAuth",
                                        "OCSPSigning"};
    static const char *const oids[] = {SID_OID, "1.3.6.1.4.1.311.20.2", "1.3.6.1.4.1.311.21.7",
                                       "2.5.29.32", "1.2.3.4"};
    char oid[OID_TEXT_MAX];

    memset(&err, 0, sizeof err);
    purposes.n = passed.n = 0;
    for (size_t i = 0; i < 4; i++)
        ck_assert(eku_by_name(names[i], oid) && eku_add(&purposes, oid));
    for (size_t i = 0; i < 5; i++)
        eku_add(&passed, oids[i]);
    limits = (struct lint_limits){
        .role = role,
        .issuer = role == ROLE_ROOT         ? NULL
                  : role == ROLE_ISSUING_CA ? root
                                            : authority,
        .key_usage = 0x1ff & ~(uint32_t)KU_NON_REPUDIATION,
        .eku = &purposes,
        .extensions = &passed,
        .max_validity = role == ROLE_DEVICE ? 365 * DAY : INT64_MAX,
        .now = NOW,
    };
}

static const char *default_key(enum cert_role role)
{
    return role == ROLE_ISSUING_CA ? "p256" : "rsa2048";
}

static void good(enum cert_role role)
{
    limits_make(role);
    forge_init(&f, role, default_key(role), limits.issuer, NOW);
}

static bool lint(void)
{
    struct buf tbs = forge_tbs(&f);
    bool ok = cert_lint_tbs(buf_view(&tbs), &limits, &err);

    buf_clear(&tbs);
    return ok;
}

START_TEST(test_sound)
{
    good((enum cert_role)_i);
    ck_assert_msg(lint(), "role %d: %s", _i, err.text);
    forge_clear(&f);
}
END_TEST

/* Everything that a device certificate may carry at once. */
START_TEST(test_full_device)
{
    good(ROLE_DEVICE);
    forge_san(
        &f, "",
        "DNS:a.example.org|email:me@example.org|IP:10.0.0.1|UPN:me@example.org|" SID_URI SID_TEXT);
    /* http://a.b/c */
    forge_extension(&f, "2.5.29.31", "", "30143012a010a00e860c687474703a2f2f612e622f63");
    forge_extension(&f, "1.3.6.1.5.5.7.1.1", "",
                    "3034301806082b06010505073001860c687474703a2f2f612e622f64"
                    "301806082b06010505073002860c687474703a2f2f612e622f63");
    forge_extension(&f, "2.5.29.32", "",
                    "30063004060"
                    "22a03");
    forge_extension(&f, "1.3.6.1.4.1.311.20.2", "", "1e0400410042");
    forge_extension(&f, "1.3.6.1.4.1.311.21.7", "", "300a06022a03020101020102");
    forge_extension(&f, SID_OID, "", SID_VALUE);
    forge_extension(&f, "1.2.3.4", "", "0c0141");
    ck_assert_msg(lint(), "%s", err.text);
    forge_clear(&f);
}
END_TEST

/* ---- one fault each ---- */

static void empty_subject(void)
{
    forge_hex(&f.subject, "3000");
}

#define EXT(oid, critical, value) forge_extension(&f, oid, critical, value)
#define BC "2.5.29.19"
#define KU "2.5.29.15"
#define EKU "2.5.29.37"
#define SKI "2.5.29.14"
#define AKI "2.5.29.35"
#define SAN "2.5.29.17"
#define CDP "2.5.29.31"
#define AIA "1.3.6.1.5.5.7.1.1"
#define CLIENT "06082b06010505070302"
#define SERVER "06082b06010505070301"
#define OCSP "06082b06010505070309"
#define MAIL "06082b06010505070304"

static void repeat_hex(char *out, const char *hex, size_t times)
{
    out[0] = '\0';
    for (size_t i = 0; i < times; i++)
        strcat(out, hex);
}

static void other_issuer(void)
{
    forge_name(&f.issuer, "CN=Issuing CA,O=Other");
}
static void reencoded_issuer(void)
{
    forge_hex(&f.issuer, "302731133011060355040313"
                         "0a49737375696e67204341"
                         "3110300e060355040a13074578616d706c65");
}
static void leaf_as_issuer(void)
{
    limits.issuer = device;
    buf_reset(&f.issuer);
    buf_append(&f.issuer, device->subject.p, device->subject.n);
    forge_name(&f.subject, "CN=below");
    forge_hex(&f.sigalg, "300d06092a864886f70d01010b0500");
    forge_times(&f.validity, NOW - 60, NOW + 30 * DAY);
    forge_hex(&forge_find(&f, AKI)->value, "30168014");
    struct buf *aki = &forge_find(&f, AKI)->value;
    buf_append(aki, forge_find(&f, SKI)->value.p + 2, 20); /* the device's key is the same */
}
static void long_name(void)
{
    char hex[400], as[200];
    repeat_hex(as, "41", 65);
    snprintf(hex, sizeof hex, "304c314a304806035504030c41%s", as);
    forge_hex(&f.subject, hex);
}
static void san_critical(void)
{
    forge_san(&f, "0101ff", "DNS:a.example.org");
}
static void san_not_critical(void)
{
    empty_subject();
    forge_san(&f, "", "DNS:a.example.org");
}
static void generalized_2027(void)
{
    forge_hex(&f.validity, "3020"
                           "180f32303237303131343030303030305a"
                           "170d3237303932333030303030305a");
    f.validity.p[1] = (uint8_t)(f.validity.n - 2);
}
static void backwards(void)
{
    forge_times(&f.validity, NOW - 60, NOW - 120);
}
static void in_the_future(void)
{
    forge_times(&f.validity, NOW + 3600, NOW + DAY);
}
static void over(void)
{
    forge_times(&f.validity, NOW - 3600, NOW - 60);
}
static void outlives_issuer(void)
{
    limits.max_validity = INT64_MAX;
    forge_times(&f.validity, NOW - 60, authority->not_after + 1);
}
static void before_issuer(void)
{
    forge_times(&f.validity, authority->not_before - 1, NOW + DAY);
}
static void too_long(void)
{
    forge_times(&f.validity, NOW, NOW + 366 * DAY + DAY / 2 + DAY);
}
static void role_too_long(void)
{
    struct cert *long_lived = authority;
    limits.issuer = long_lived;
    forge_times(&f.validity, NOW - 60, NOW + 4 * 366 * DAY);
}
static void no_null(void)
{
    /* SEQUENCE { SEQUENCE { rsaEncryption }, BIT STRING } */
    struct buf old = f.spki;
    struct der w;
    const uint8_t algorithm[] = {0x30, 11, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1};
    der_init(&w, 512);
    size_t mark = der_mark(&w);
    der_raw(&w, view_of(old.p + 4 + 15, old.n - 4 - 15));
    der_raw(&w, view_of(algorithm, sizeof algorithm));
    der_wrap(&w, DER_SEQUENCE, mark);
    f.spki = (struct buf){0};
    ck_assert(der_take(&w, &f.spki, &err));
    buf_clear(&old);
}
static void ed25519(void)
{
    char point[80], hex[128];
    repeat_hex(point, "aa", 32);
    snprintf(hex, sizeof hex, "302a300506032b6570032100%s", point);
    forge_hex(&f.spki, hex);
}
static void small_ca_key(void)
{
    forge_key(&f, "rsa1024");
}
/* The modulus's last octets but one; it stays odd. */
static void weak_key(void)
{
    struct pubkey key;
    ck_assert(pubkey_parse(buf_view(&f.spki), &key, &err));
    uint8_t *n = f.spki.p + (key.n.p - f.spki.p);
    memset(n + 1, 0, key.n.n - 2);
    n[0] = 0x80;
    n[key.n.n - 1] = 1; /* 2^2047 + 1 is divisible by 3 */
}
static void even_exponent(void)
{
    f.spki.p[f.spki.n - 1] = 2;
}
static void off_the_curve(void)
{
    forge_key(&f, "p384");
    f.spki.p[f.spki.n - 1] ^= 1;
}
static void compressed(void)
{
    char x[80], hex[200];
    repeat_hex(x, "6b", 32);
    snprintf(hex, sizeof hex, "3039301306072a8648ce3d020106082a8648ce3d03010703220002%s", x);
    forge_hex(&f.spki, hex);
}
static void extension_twice(void)
{
    struct forged_extension *x = &f.extension[f.n++];
    x->oid = AKI;
    x->critical = "";
    buf_append(&x->value, forge_find(&f, AKI)->value.p, forge_find(&f, AKI)->value.n);
}
static void out_of_order(void)
{
    struct forged_extension x = f.extension[0];
    f.extension[0] = f.extension[1];
    f.extension[1] = x;
}
static void no_basic(void)
{
    forge_extension_remove(&f, BC);
}
static void no_extensions(void)
{
    while (f.n)
        forge_extension_remove(&f, f.extension[0].oid);
}
static void no_usage(void)
{
    forge_extension_remove(&f, KU);
}
static void ec_enciphers(void)
{
    forge_key(&f, "p384");
    EXT(KU, "0101ff", "030205a0");
}
static void wrong_key_id(void)
{
    forge_find(&f, SKI)->value.p[5] ^= 1;
}
static void no_key_id(void)
{
    forge_extension_remove(&f, SKI);
}
static void wrong_issuer_id(void)
{
    forge_find(&f, AKI)->value.p[9] ^= 1;
}
static void no_issuer_id(void)
{
    forge_extension_remove(&f, AKI);
}
static void issuer_and_serial(void)
{
    /* keyIdentifier, authorityCertIssuer (a URI), authorityCertSerialNumber */
    struct buf *v = &forge_find(&f, AKI)->value;
    ck_assert(buf_append(v,
                         "\xa1\x05\x86\x03"
                         "a:b"
                         "\x82\x01\x05",
                         10));
    v->p[1] = (uint8_t)(v->n - 2);
}
static void sid_two(void)
{
    forge_san(&f, "", SID_URI "S-1-5-21-1-2-4");
    EXT(SID_OID, "", SID_VALUE);
}
static void sid_uri_malformed(void)
{
    forge_san(&f, "", SID_URI "S-1-x");
}
static void sid_uri_not_passed(void)
{
    passed.n = 0;
    forge_san(&f, "", SID_URI SID_TEXT);
}
static void cdp_two(void)
{
    EXT(CDP, "",
        "30283012a010a00e860c687474703a2f2f612e622f633012a010a00e860c687474703a2f2f612e622f64");
}
static void user_notice(void)
{
    EXT("2.5.29.32", "",
        "30163014"
        "06022a03"
        "300e"
        "300c06082b060105050702023000");
}
static void sid_not_passed(void)
{
    passed.n = 0;
    EXT(SID_OID, "", SID_VALUE);
}
static void template_not_passed(void)
{
    passed.n = 0;
    EXT("1.3.6.1.4.1.311.20.2", "", "1e020041");
}
static void self_issued(void)
{
    buf_reset(&f.subject);
    buf_append(&f.subject, f.issuer.p, f.issuer.n);
}
static void authoritys_key(void)
{
    forge_key(&f, "p256");
    EXT(KU, "0101ff", "03020780");
}
static void nocheck_not_null(void)
{
    EXT("1.3.6.1.5.5.7.48.1.5", "", "0c00");
}
static void ocsp_and_client(void)
{
    EXT(EKU, "", "3014" CLIENT OCSP);
}
/* Even where somebody has got a template to list it. */
static void responder_of_a_template(void)
{
    EXT(EKU, "", "300a" OCSP);
    EXT("1.3.6.1.5.5.7.48.1.5", "", "0500");
}
static void responder_without_purpose(void)
{
    forge_extension_remove(&f, EKU);
}
static void responder_without_nocheck(void)
{
    forge_extension_remove(&f, "1.3.6.1.5.5.7.48.1.5");
}
/* In their order: behind nocheck they would break another rule. */
static void responder_with(const char *oid, const char *value)
{
    forge_extension_remove(&f, "1.3.6.1.5.5.7.48.1.5");
    EXT(oid, "", value);
    EXT("1.3.6.1.5.5.7.48.1.5", "", "0500");
}
static void responder_with_cdp(void)
{
    responder_with(CDP, "30143012a010a00e860c687474703a2f2f612e622f63");
}
static void responder_with_aia(void)
{
    responder_with(AIA, "301a301806082b06010505073001860c687474703a2f2f612e622f63");
}
static void responder_with_name(void)
{
    responder_with(SAN, "30058203612e62");
}
static void responder_for_long(void)
{
    forge_times(&f.validity, NOW - 3600, NOW + 31 * DAY);
}
static void responder_that_enciphers(void)
{
    EXT(KU, "0101ff", "030205a0");
}
static void ra_of_ec(void)
{
    forge_key(&f, "p384");
    EXT(KU, "0101ff", "03020780");
}
/* in the place of the order */
static void insert_purposes(const char *value)
{
    memmove(&f.extension[3], &f.extension[2], (f.n - 2) * sizeof f.extension[0]);
    f.n++;
    f.extension[2] = (struct forged_extension){.oid = EKU, .critical = ""};
    forge_hex(&f.extension[2].value, value);
}
static void ra_client(void)
{
    insert_purposes("300a" CLIENT);
}
static void root_purposes(void)
{
    insert_purposes("300a" CLIENT);
}
static void server_without_signature(void)
{
    EXT(KU, "0101ff", "03020520");
    EXT(EKU, "", "300a" SERVER);
    forge_san(&f, "", "DNS:a.example.org");
}
static void too_large(void)
{
    char content[6400], hex[6800];
    repeat_hex(content, "41", 3000);
    snprintf(hex, sizeof hex, "0c820bb8%s", content);
    EXT("1.2.3.4", "", hex);
}

#define EXTENSION(rule, role, reason, oid, critical, hex)  \
    {                                                      \
        rule, role, reason, oid, critical, NULL, hex, NULL \
    }
#define PART(rule, role, reason, part, hex)             \
    {                                                   \
        rule, role, reason, NULL, NULL, part, hex, NULL \
    }
#define MORE(rule, role, reason, spoil)                   \
    {                                                     \
        rule, role, reason, NULL, NULL, NULL, NULL, spoil \
    }

static const struct {
    const char *rule;
    enum cert_role role;
    enum reason reason; /* REASON_NONE: as the reader says */
    /* one of the three: an extension set, a part replaced, or more than that */
    const char *oid, *critical;
    struct buf *part;
    const char *hex;
    void (*spoil)(void);
} faults[] = {
    PART("C1", ROLE_DEVICE, REASON_INTERNAL, &f.serial, "021100550102030405060708090a0b0c0d0e0f"),
    EXTENSION("C1", ROLE_DEVICE, REASON_INTERNAL, EKU, "010100", "300a" CLIENT),
    EXTENSION("C1", ROLE_DEVICE, REASON_INTERNAL, KU, "010101", "03020780"),
    EXTENSION("C1", ROLE_DEVICE, REASON_INTERNAL, KU, "0101ff", "03020080"),
    EXTENSION("C1", ROLE_DEVICE, REASON_INTERNAL, BC, "0101ff", "3003010100"),
    PART("C1", ROLE_DEVICE, REASON_NONE, &f.tail, "0500"),
    EXTENSION("C1", ROLE_DEVICE, REASON_NONE, EKU, "", "30810a" CLIENT),
    EXTENSION("C1", ROLE_DEVICE, REASON_INTERNAL, "1.2.3.4", "", "0c01410500"),
    PART("C2", ROLE_DEVICE, REASON_INTERNAL, &f.version, "a003020100"),
    PART("C2", ROLE_DEVICE, REASON_INTERNAL, &f.version, ""),
    PART("C2", ROLE_DEVICE, REASON_INTERNAL, &f.unique, "81020000"),
    PART("C3", ROLE_DEVICE, REASON_INTERNAL, &f.serial,
         "021085010203040506070809"
         "0a0b0c0d0e0f"),
    PART("C3", ROLE_DEVICE, REASON_INTERNAL, &f.serial,
         "021555"
         "0102030405060708090a0b0c0d0e0f1011121314"),
    PART("C4", ROLE_DEVICE, REASON_INTERNAL, &f.serial, "02085501020304050607"),
    PART("C4", ROLE_DEVICE, REASON_INTERNAL, &f.serial, "020100"),
    PART("C5", ROLE_DEVICE, REASON_INTERNAL, &f.sigalg, "300906072a8648ce3d0401"),
    PART("C5", ROLE_DEVICE, REASON_INTERNAL, &f.sigalg, "300a06082a8648ce3d040303"),
    PART("C5", ROLE_DEVICE, REASON_INTERNAL, &f.sigalg, "300d06092a864886f70d01010b0500"),
    PART("C5", ROLE_DEVICE, REASON_ALGORITHM_REFUSED, &f.sigalg, "300c06082a8648ce3d0403020500"),
    MORE("C7", ROLE_DEVICE, REASON_INTERNAL, other_issuer),
    MORE("C7", ROLE_DEVICE, REASON_INTERNAL, reencoded_issuer),
    MORE("C8", ROLE_DEVICE, REASON_INTERNAL, leaf_as_issuer),
    PART("C9", ROLE_DEVICE, REASON_INTERNAL, &f.issuer, "3000"),
    MORE("C9", ROLE_RA, REASON_SUBJECT_FORBIDDEN, empty_subject),
    MORE("C9", ROLE_ISSUING_CA, REASON_SUBJECT_FORBIDDEN, empty_subject),
    PART("C10", ROLE_DEVICE, REASON_SUBJECT_FORBIDDEN, &f.subject,
         "300f310d300b06035504031e04"
         "00410042"),
    PART("C10", ROLE_DEVICE, REASON_SUBJECT_FORBIDDEN, &f.subject,
         "300d310b300906035504031302"
         "4142"),
    PART("C10", ROLE_DEVICE, REASON_SUBJECT_FORBIDDEN, &f.subject,
         "300d310b300906035504020c02"
         "4142"),
    PART("C10", ROLE_DEVICE, REASON_SUBJECT_FORBIDDEN, &f.subject,
         "300e310c300a06035504030c03"
         "65cc81"),
    PART("C11", ROLE_DEVICE, REASON_SUBJECT_FORBIDDEN, &f.subject,
         "300d310b300906035504030c02"
         "4107"),
    PART("C11", ROLE_DEVICE, REASON_SUBJECT_FORBIDDEN, &f.subject,
         "300e310c300a06035504030c03"
         "410042"),
    PART("C11", ROLE_DEVICE, REASON_SUBJECT_FORBIDDEN, &f.subject,
         "300d310b300906035504030c02"
         "4120"),
    PART("C11", ROLE_DEVICE, REASON_SUBJECT_FORBIDDEN, &f.subject,
         "300f310d300b06035504030c04"
         "41e280ae"),
    PART("C12", ROLE_DEVICE, REASON_SUBJECT_FORBIDDEN, &f.subject,
         "30163114300806035504030c0141"
         "3008060355040a0c0142"),
    MORE("C13", ROLE_DEVICE, REASON_SUBJECT_FORBIDDEN, long_name),
    PART("C13", ROLE_DEVICE, REASON_SUBJECT_FORBIDDEN, &f.subject,
         "3018310a300806035504030c0141"
         "310a300806035504030c0141"),
    PART("C13", ROLE_DEVICE, REASON_SUBJECT_FORBIDDEN, &f.subject,
         "300d310b3009060355040613026465"),
    MORE("C14", ROLE_DEVICE, REASON_SAN_FORBIDDEN, san_critical),
    MORE("C14", ROLE_DEVICE, REASON_SAN_FORBIDDEN, san_not_critical),
    MORE("C14", ROLE_DEVICE, REASON_SAN_MISSING, empty_subject),
    MORE("C15", ROLE_DEVICE, REASON_INTERNAL, generalized_2027),
    MORE("C16", ROLE_DEVICE, REASON_INTERNAL, backwards),
    MORE("C16", ROLE_DEVICE, REASON_INTERNAL, in_the_future),
    MORE("C16", ROLE_DEVICE, REASON_INTERNAL, over),
    MORE("C17", ROLE_DEVICE, REASON_INTERNAL, outlives_issuer),
    MORE("C17", ROLE_DEVICE, REASON_INTERNAL, before_issuer),
    MORE("C18", ROLE_DEVICE, REASON_INTERNAL, too_long),
    MORE("C18", ROLE_RA, REASON_INTERNAL, role_too_long),
    MORE("C19", ROLE_DEVICE, REASON_KEY_TYPE, no_null),
    MORE("C19", ROLE_DEVICE, REASON_KEY_TYPE, ed25519),
    MORE("C19", ROLE_ROOT, REASON_KEY_SMALL, small_ca_key),
    MORE("C20", ROLE_DEVICE, REASON_KEY_WEAK, weak_key),
    MORE("C20", ROLE_DEVICE, REASON_KEY_WEAK, even_exponent),
    MORE("C21", ROLE_DEVICE, REASON_KEY_WEAK, off_the_curve),
    MORE("C21", ROLE_DEVICE, REASON_KEY_TYPE, compressed),
    EXTENSION("C22", ROLE_DEVICE, REASON_USAGE_FORBIDDEN, "1.2.3.5", "", "0500"),
    MORE("C22", ROLE_DEVICE, REASON_INTERNAL, extension_twice),
    MORE("C22", ROLE_DEVICE, REASON_INTERNAL, out_of_order),
    EXTENSION("C22", ROLE_DEVICE, REASON_INTERNAL, BC, "", "3000"),
    EXTENSION("C22", ROLE_DEVICE, REASON_INTERNAL, EKU, "0101ff", "300a" CLIENT),
    EXTENSION("C23", ROLE_DEVICE, REASON_USAGE_FORBIDDEN, BC, "0101ff", "30030101ff"),
    EXTENSION("C23", ROLE_DEVICE, REASON_USAGE_FORBIDDEN, BC, "0101ff", "3003020100"),
    MORE("C23", ROLE_DEVICE, REASON_INTERNAL, no_basic),
    MORE("C23", ROLE_DEVICE, REASON_INTERNAL, no_extensions),
    EXTENSION("C23", ROLE_ISSUING_CA, REASON_USAGE_FORBIDDEN, BC, "0101ff", "3000"),
    EXTENSION("C23", ROLE_ISSUING_CA, REASON_USAGE_FORBIDDEN, BC, "0101ff", "30060101ff020101"),
    MORE("C24", ROLE_DEVICE, REASON_USAGE_FORBIDDEN, no_usage),
    EXTENSION("C24", ROLE_DEVICE, REASON_USAGE_FORBIDDEN, KU, "0101ff", "030100"),
    EXTENSION("C24", ROLE_DEVICE, REASON_USAGE_FORBIDDEN, KU, "0101ff", "03020284"),
    EXTENSION("C24", ROLE_DEVICE, REASON_USAGE_FORBIDDEN, KU, "0101ff", "03020182"),
    EXTENSION("C24", ROLE_DEVICE, REASON_USAGE_FORBIDDEN, KU, "0101ff", "0303078080"),
    EXTENSION("C24", ROLE_ISSUING_CA, REASON_USAGE_FORBIDDEN, KU, "0101ff", "03020204"),
    EXTENSION("C24", ROLE_RA, REASON_USAGE_FORBIDDEN, KU, "0101ff", "03020780"),
    EXTENSION("C24", ROLE_RA_ENCRYPTION, REASON_USAGE_FORBIDDEN, KU, "0101ff", "030205a0"),
    MORE("C25", ROLE_DEVICE, REASON_USAGE_FORBIDDEN, ec_enciphers),
    EXTENSION("C25", ROLE_DEVICE, REASON_USAGE_FORBIDDEN, KU, "0101ff", "03020388"),
    EXTENSION("C26", ROLE_DEVICE, REASON_USAGE_FORBIDDEN, EKU, "", "30100604551d2500" CLIENT),
    EXTENSION("C26", ROLE_DEVICE, REASON_USAGE_FORBIDDEN, EKU, "", "3014" CLIENT CLIENT),
    EXTENSION("C26", ROLE_DEVICE, REASON_USAGE_FORBIDDEN, EKU, "", "3000"),
    MORE("C26", ROLE_ROOT, REASON_USAGE_FORBIDDEN, root_purposes),
    EXTENSION("C27", ROLE_DEVICE, REASON_USAGE_FORBIDDEN, KU, "0101ff", "03020520"),
    MORE("C28", ROLE_DEVICE, REASON_INTERNAL, wrong_key_id),
    EXTENSION("C28", ROLE_DEVICE, REASON_INTERNAL, SKI, "", "0402abcd"),
    MORE("C28", ROLE_DEVICE, REASON_INTERNAL, no_key_id),
    MORE("C28", ROLE_DEVICE, REASON_INTERNAL, wrong_issuer_id),
    MORE("C28", ROLE_DEVICE, REASON_INTERNAL, no_issuer_id),
    MORE("C28", ROLE_DEVICE, REASON_INTERNAL, issuer_and_serial),
    EXTENSION("C29", ROLE_DEVICE, REASON_SAN_FORBIDDEN, SAN, "", "3000"),
    EXTENSION("C29", ROLE_DEVICE, REASON_SAN_FORBIDDEN, SAN, "", "30058203615f62"),
    EXTENSION("C29", ROLE_DEVICE, REASON_SAN_FORBIDDEN, SAN, "",
              "300382"
              "0141"),
    EXTENSION("C29", ROLE_DEVICE, REASON_SAN_FORBIDDEN, SAN, "", "300787050a00000001"),
    EXTENSION("C29", ROLE_DEVICE, REASON_SAN_FORBIDDEN, SAN, "", "3006820161820161"),
    EXTENSION("C29", ROLE_DEVICE, REASON_SAN_FORBIDDEN, SAN, "", "300488022a03"),
    EXTENSION("C29", ROLE_DEVICE, REASON_SAN_FORBIDDEN, SAN, "",
              "3010a40e300c310a300806035504030c0141"),
    EXTENSION("C30", ROLE_DEVICE, REASON_SAN_FORBIDDEN, SAN, "",
              "3015a013060a2b060104018237140203a00516036140"
              "62"),
    EXTENSION("C30", ROLE_DEVICE, REASON_SAN_FORBIDDEN, SAN, "",
              "3013a011060a2b060104018237140203a0030c0161"),
    EXTENSION("C31", ROLE_DEVICE, REASON_INTERNAL, SID_OID, "", "3000"),
    MORE("C31", ROLE_DEVICE, REASON_SAN_FORBIDDEN, sid_two),
    MORE("C31", ROLE_DEVICE, REASON_SAN_FORBIDDEN, sid_uri_malformed),
    EXTENSION("C32", ROLE_DEVICE, REASON_INTERNAL, CDP, "",
              "30153013a011a00f860d68747470733a2f2f612e622f63"),
    EXTENSION("C32", ROLE_DEVICE, REASON_INTERNAL, CDP, "",
              "30143012a010a00e860c6c6461703a2f2f612e622f63"),
    EXTENSION("C32", ROLE_DEVICE, REASON_INTERNAL, CDP, "",
              "30183016a010a00e860c687474703a2f2f612e622f6381020640"),
    EXTENSION("C32", ROLE_DEVICE, REASON_INTERNAL, CDP, "",
              "301a3018a010a00e860c687474703a2f2f612e622f63a2048202"
              "6162"),
    MORE("C32", ROLE_DEVICE, REASON_INTERNAL, cdp_two),
    EXTENSION("C32", ROLE_DEVICE, REASON_INTERNAL, "2.5.29.46", "",
              "30143012a010a00e860c687474703a2f2f612e622f63"),
    EXTENSION("C32", ROLE_ROOT, REASON_INTERNAL, CDP, "",
              "30143012a010a00e860c687474703a2f2f612e622f63"),
    EXTENSION("C33", ROLE_DEVICE, REASON_INTERNAL, AIA, "",
              "301a301806082b06010505073009860c687474703a2f2f612e622f63"),
    EXTENSION("C33", ROLE_DEVICE, REASON_INTERNAL, AIA, "",
              "3034301806082b06010505073001860c687474703a2f2f612e622f63"
              "301806082b06010505073001860c687474703a2f2f612e622f64"),
    EXTENSION("C1", ROLE_DEVICE, REASON_INTERNAL, AIA, "",
              "3034301806082b06010505073002860c687474703a2f2f612e622f63"
              "301806082b06010505073001860c687474703a2f2f612e622f64"),
    EXTENSION("C33", ROLE_DEVICE, REASON_INTERNAL, AIA, "",
              "301b301906082b06010505073002860d68747470733a2f2f612e622f63"),
    EXTENSION("C33", ROLE_DEVICE, REASON_INTERNAL, AIA, "", "3010300e06082b0601050507300286022f63"),
    EXTENSION("C34", ROLE_DEVICE, REASON_INTERNAL, "2.5.29.32", "", "300830060604551d2000"),
    EXTENSION("C34", ROLE_DEVICE, REASON_INTERNAL, "2.5.29.32", "", "300c300406022a03300406022a03"),
    MORE("C34", ROLE_DEVICE, REASON_INTERNAL, user_notice),
    EXTENSION("C35", ROLE_DEVICE, REASON_INTERNAL, "1.3.6.1.4.1.311.20.2", "", "0c0141"),
    EXTENSION("C35", ROLE_DEVICE, REASON_INTERNAL, "1.3.6.1.4.1.311.21.7", "", "30030c0141"),
    EXTENSION("C36", ROLE_ISSUING_CA, REASON_INTERNAL, "2.5.29.30", "0101ff",
              "3009a00730058203612e62"),
    EXTENSION("C37", ROLE_DEVICE, REASON_USAGE_FORBIDDEN, KU, "0101ff", "030206c0"),
    EXTENSION("C37", ROLE_DEVICE, REASON_USAGE_FORBIDDEN, EKU, "",
              "3014" CLIENT "06082b06010505070303"),
    MORE("C37", ROLE_DEVICE, REASON_USAGE_FORBIDDEN, sid_not_passed),
    MORE("C37", ROLE_DEVICE, REASON_SAN_FORBIDDEN, sid_uri_not_passed),
    MORE("C37", ROLE_DEVICE, REASON_USAGE_FORBIDDEN, template_not_passed),
    MORE("C38", ROLE_DEVICE, REASON_KEY_REUSED, authoritys_key),
    MORE("C39", ROLE_DEVICE, REASON_SUBJECT_FORBIDDEN, self_issued),
    EXTENSION("C40", ROLE_DEVICE, REASON_USAGE_FORBIDDEN, EKU, "", "300a" OCSP),
    EXTENSION("C40", ROLE_DEVICE, REASON_USAGE_FORBIDDEN, "1.3.6.1.5.5.7.48.1.5", "", "0500"),
    MORE("C40", ROLE_DEVICE, REASON_USAGE_FORBIDDEN, responder_of_a_template),
    MORE("C40", ROLE_OCSP, REASON_INTERNAL, nocheck_not_null),
    MORE("C40", ROLE_OCSP, REASON_USAGE_FORBIDDEN, ocsp_and_client),
    MORE("C40", ROLE_OCSP, REASON_USAGE_FORBIDDEN, responder_without_purpose),
    MORE("C40", ROLE_OCSP, REASON_USAGE_FORBIDDEN, responder_without_nocheck),
    MORE("C40", ROLE_OCSP, REASON_INTERNAL, responder_with_cdp),
    MORE("C40", ROLE_OCSP, REASON_INTERNAL, responder_with_aia),
    MORE("C40", ROLE_OCSP, REASON_INTERNAL, responder_with_name),
    MORE("C18", ROLE_OCSP, REASON_INTERNAL, responder_for_long),
    MORE("C24", ROLE_OCSP, REASON_USAGE_FORBIDDEN, responder_that_enciphers),
    MORE("C41", ROLE_RA_SIGNING, REASON_KEY_TYPE, ra_of_ec),
    MORE("C41", ROLE_RA, REASON_USAGE_FORBIDDEN, ra_client),
    EXTENSION("C42", ROLE_DEVICE, REASON_SAN_MISSING, EKU, "", "300a" SERVER),
    MORE("C42", ROLE_DEVICE, REASON_USAGE_FORBIDDEN, server_without_signature),
    MORE("C43", ROLE_DEVICE, REASON_SAN_FORBIDDEN, too_large),
};
#define FAULTS_N (int)(sizeof faults / sizeof faults[0])

static void spoil(int i)
{
    if (faults[i].oid)
        forge_extension(&f, faults[i].oid, faults[i].critical, faults[i].hex);
    else if (faults[i].part)
        forge_hex(faults[i].part, faults[i].hex);
    else
        faults[i].spoil();
}

START_TEST(test_fault)
{
    size_t n = strlen(faults[_i].rule);

    good(faults[_i].role);
    spoil(_i);
    ck_assert_msg(!lint(), "fault %d (%s) was accepted", _i, faults[_i].rule);
    ck_assert_msg(strncmp(err.text, faults[_i].rule, n) == 0 && err.text[n] == ':',
                  "fault %d: %s expected: %s", _i, faults[_i].rule, err.text);
    ck_assert_int_eq(err.kind, ERR_REFUSED);
    if (faults[_i].reason != REASON_NONE)
        ck_assert_str_eq(reason_info(err.reason)->code, reason_info(faults[_i].reason)->code);
    forge_clear(&f);
}
END_TEST

/* The finished certificate: the same rules, and the two algorithms. */
START_TEST(test_finished)
{
    struct buf outer = {0};

    good(ROLE_DEVICE);
    struct cert *cert = forge_certificate(&f, wish_key("p256"), NULL);
    ck_assert_msg(cert_lint(cert, &limits, &err), "%s", err.text);
    cert_free(cert);

    forge_hex(&outer, "300a06082a8648ce3d040303");
    cert = forge_certificate(&f, wish_key("p256"), &outer);
    ck_assert(!cert_lint(cert, &limits, &err));
    ck_assert_msg(strncmp(err.text, "C6:", 3) == 0, "%s", err.text);
    cert_free(cert);
    buf_clear(&outer);

    EXT(EKU, "", "3000");
    cert = forge_certificate(&f, wish_key("p256"), NULL);
    ck_assert(!cert_lint(cert, &limits, &err));
    ck_assert_msg(strncmp(err.text, "C26:", 4) == 0, "%s", err.text);
    cert_free(cert);
    forge_clear(&f);
}
END_TEST

/* A responder with a fast key, a mail certificate, an RA for mail: what the rules let through. */
START_TEST(test_other_sound_ones)
{
    good(ROLE_OCSP);
    forge_key(&f, "p384");
    ck_assert_msg(lint(), "%s", err.text);
    forge_clear(&f);

    good(ROLE_RA);
    insert_purposes("3014" MAIL CLIENT);
    ck_assert_msg(lint(), "%s", err.text);
    forge_clear(&f);

    good(ROLE_DEVICE); /* no subject, and a critical SAN */
    empty_subject();
    forge_san(&f, "0101ff", "DNS:a.example.org");
    ck_assert_msg(lint(), "%s", err.text);
    forge_clear(&f);

    good(ROLE_DEVICE); /* exactly as long as allowed, back-dated by a day */
    forge_times(&f.validity, authority->not_before, NOW + 365 * DAY);
    ck_assert_msg(lint(), "%s", err.text);
    forge_clear(&f);
}
END_TEST

/* Cut or altered anywhere, it is refused, or it is sound under the same rules; it never crashes. */
START_TEST(test_hostile_bytes)
{
    good(ROLE_DEVICE);
    struct buf tbs = forge_tbs(&f);

    for (size_t n = 0; n < tbs.n; n++)
        ck_assert(!cert_lint_tbs(view_of(tbs.p, n), &limits, &err));
    for (size_t i = 0; i < tbs.n; i++)
        for (unsigned bit = 0; bit < 8; bit += 7) {
            tbs.p[i] ^= (uint8_t)(1u << bit);
            cert_lint_tbs(buf_view(&tbs), &limits, &err);
            tbs.p[i] ^= (uint8_t)(1u << bit);
        }
    buf_clear(&tbs);
    forge_clear(&f);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("lint");
    TCase *tc = tcase_create("lint");

    tcase_add_unchecked_fixture(tc, hierarchy_make, hierarchy_free);
    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, test_sound, ROLE_ROOT, ROLE_DEVICE + 1);
    tcase_add_test(tc, test_full_device);
    tcase_add_loop_test(tc, test_fault, 0, FAULTS_N);
    tcase_add_test(tc, test_finished);
    tcase_add_test(tc, test_other_sound_ones);
    tcase_add_test(tc, test_hostile_bytes);
    suite_add_tcase(suite, tc);
    return check_main(suite);
}
