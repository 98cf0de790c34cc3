#include "check_main.h"

#include <openssl/pem.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>

#include "ca/issue.h"
#include "ca/lint.h"
#include "ca_fixture.h"
#include "pkcs7/csr.h"
#include "wish.h"

#define DAY 86400
#define BOTH (KU_DIGITAL_SIGNATURE | KU_KEY_ENCIPHERMENT)

static struct err err;
static struct ca_fixture ca, rsa_ca;
static struct signer *signer, *rsa_signer;
static struct template t;

static void template_make(struct template *out)
{
    static const char *const subject[] = {"CN=*",           "O=*",           "OU=*", "C=*",
                                          "serialNumber=*", "emailAddress=*"};
    static const char *const san[] = {"DNS:*", "email:*", "URI:*", "IP:*", "UPN:*"};

    *out = (struct template){.name = "device",
                             .rsa_min = 2048,
                             .rsa_max = 4096,
                             .curves = ALG_BIT(CURVE_P256) | ALG_BIT(CURVE_P384),
                             .key_usage = BOTH,
                             .usage_surplus = SURPLUS_DROP,
                             .honour_requested_usage = true,
                             .empty_subject = true,
                             .validity = 365 * DAY,
                             .min_validity = DAY,
                             .backdate = 3600,
                             .ms_sid = true};
    for (size_t i = 0; i < 6; i++)
        out->subject[out->subject_n++] = strdup(subject[i]);
    for (size_t i = 0; i < 5; i++)
        out->san[out->san_n++] = strdup(san[i]);
    eku_add(&out->eku, EKU_CLIENT_AUTH);
    eku_add(&out->eku, EKU_EMAIL);
    eku_add(&out->eku, EKU_SERVER_AUTH);
    eku_add(&out->extensions, "1.2.3.4");
    eku_add(&out->extensions, OID_MS_TEMPLATE_NAME);
    ck_assert_msg(template_check(out, &err), "%s", err.text);
}

static void authority_make(struct ca_fixture *f, const char *ca_key, const char *root_key,
                           struct signer **out)
{
    ca_fixture_plan(f);
    f->plan.ca_key = ca_key;
    f->plan.root_key = root_key;
    ca_fixture_init(f);
    f->device = t; /* the signer's limits */
    ck_assert_msg(ca_fixture_load(f, &err), "%s", err.text);
    ck_assert_msg(signer_local(f->spec, out, &err), "%s", err.text);
}

static void setup(void)
{
    wish_keys_make();
    template_make(&t);
    authority_make(&ca, "p256", "p256", &signer);
    authority_make(&rsa_ca, "rsa2048", NULL, &rsa_signer);
}

static void teardown(void)
{
    signer_free(signer);
    signer_free(rsa_signer);
    ca_fixture_clear(&ca);
    ca_fixture_clear(&rsa_ca);
    template_clear(&t);
    wish_keys_free();
}

static void plan_of(struct csr *csr, struct cert_plan *plan)
{
    struct template_context ctx = {.endpoint = "/scep", .transaction = "tx", .now = time(NULL)};

    *plan = (struct cert_plan){.key = NULL};
    ck_assert_msg(template_plan(&t, csr, &ctx, plan, &err), "%s", err.text);
}

/* ---- what OpenSSL makes of it ---- */

static X509 *x509_of(struct view der)
{
    const unsigned char *p = der.p;
    X509 *x = d2i_X509(NULL, &p, (long)der.n);

    ck_assert_ptr_nonnull(x);
    ck_assert_ptr_eq(p, der.p + der.n);
    return x;
}

static void verify_strictly(const struct authority *a, X509 *leaf)
{
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    X509 *ca_cert = x509_of(buf_view(&a->cert->der));

    X509_STORE_add_cert(store, ca_cert);
    X509_free(ca_cert);
    for (size_t i = 0; i < a->chain_n; i++) {
        X509 *above = x509_of(buf_view(&a->chain[i]->der));
        X509_STORE_add_cert(store, above);
        X509_free(above);
    }
    ck_assert(X509_STORE_CTX_init(ctx, store, leaf, NULL));
    X509_STORE_CTX_set_flags(ctx, X509_V_FLAG_X509_STRICT | X509_V_FLAG_CHECK_SS_SIGNATURE);
    int ok = X509_verify_cert(ctx);
    ck_assert_msg(ok == 1, "%s", X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)));
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
}

/* The plan's values as an independent reader sees them. */
static void compare_with_plan(X509 *x, const struct cert_plan *plan, const struct issued *issued)
{
    ASN1_BIT_STRING *usage = X509_get_ext_d2i(x, NID_key_usage, NULL, NULL);
    uint32_t bits = 0;
    int critical;

    for (int bit = 0; bit < 9; bit++)
        if (ASN1_BIT_STRING_get_bit(usage, bit))
            bits |= 1u << bit;
    ASN1_BIT_STRING_free(usage);
    ck_assert_uint_eq(bits, plan->key_usage);
    EXTENDED_KEY_USAGE *purposes = X509_get_ext_d2i(x, NID_ext_key_usage, NULL, NULL);
    ck_assert_int_eq(sk_ASN1_OBJECT_num(purposes), (int)plan->eku.n);
    EXTENDED_KEY_USAGE_free(purposes);
    ck_assert_int_eq(X509_NAME_entry_count(X509_get_subject_name(x)), (int)plan->subject.n);
    GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, &critical, NULL);
    ck_assert_int_eq(names ? sk_GENERAL_NAME_num(names) : 0, (int)plan->san.n);
    if (names)
        ck_assert_int_eq(critical, plan->subject.n == 0);
    GENERAL_NAMES_free(names);
    ck_assert_int_eq(X509_get_version(x), 2);
    ck_assert_int_eq(X509_check_ca(x), 0);
    BIGNUM *serial = ASN1_INTEGER_to_BN(X509_get0_serialNumber(x), NULL);
    uint8_t octets[16];
    ck_assert_int_eq(BN_bn2binpad(serial, octets, 16), 16);
    ck_assert_mem_eq(octets, issued->serial, 16);
    BN_free(serial);
    struct tm end;
    ck_assert(ASN1_TIME_to_tm(X509_get0_notAfter(x), &end));
    ck_assert_int_eq(timegm(&end), issued->not_after);
}

static void issue_and_compare(const struct authority *a, struct signer *s,
                              const struct cert_plan *plan, struct issued *out)
{
    int64_t now = time(NULL);

    ck_assert_msg(ca_issue(a, s, plan, now, out, &err), "%s", err.text);
    X509 *x = x509_of(buf_view(&out->der));
    verify_strictly(a, x);
    compare_with_plan(x, plan, out);
    X509_free(x);
    ck_assert_uint_le(out->der.n, 3072);
}

START_TEST(test_issue)
{
    struct wish w = {.subject = "C=DE,O=Example,CN=device-1",
                     .san = {"DNS:a.example.org", "UPN:me@example.org"}};
    struct csr csr;
    struct cert_plan plan;
    struct issued i = {.not_before = 0}, second = {.not_before = 0};
    uint8_t hash[64];

    wish_csr(&w, &csr);
    plan_of(&csr, &plan);
    issue_and_compare(ca.authority, signer, &plan, &i);
    ck_assert_str_eq(i.subject, "C=DE,O=Example,CN=device-1");
    ck_assert_str_eq(i.san, "DNS:a.example.org,UPN:me@example.org");
    ck_assert_int_eq(i.not_before, plan.not_before > ca.authority->cert->not_before
                                       ? plan.not_before
                                       : ca.authority->cert->not_before);
    ck_assert_int_eq(i.not_after, plan.not_after);
    ck_assert_int_eq(i.serial[0] & 0xc0, 0x40); /* 16 octets, positive */
    ck_assert(digest_compute(DIGEST_SHA256, buf_view(&i.der), hash, &err));
    ck_assert_mem_eq(hash, i.der_hash, 32);

    issue_and_compare(ca.authority, signer, &plan, &second);
    ck_assert_mem_ne(i.serial, second.serial, 16);
    ck_assert_mem_eq(i.subject_hash, second.subject_hash, 32);
    issued_clear(&second);
    issue_and_compare(rsa_ca.authority, rsa_signer, &plan,
                      &second); /* the other kind of authority */
    issued_clear(&second);
    issued_clear(&i);
    cert_plan_clear(&plan);
    wish_csr_clear(&csr);
}
END_TEST

/* The addresses are the authority's; none is written when it has none. */
START_TEST(test_addresses)
{
    struct wish w = {.subject = "CN=device-1", .san = {"DNS:a.example.org"}};
    struct csr csr;
    struct cert_plan plan;
    struct issued i = {.not_before = 0};

    wish_csr(&w, &csr);
    plan_of(&csr, &plan);
    issue_and_compare(ca.authority, signer, &plan, &i);
    ck_assert_ptr_nonnull(
        memmem(i.der.p, i.der.n, ca.authority->crl_url, strlen(ca.authority->crl_url)));
    ck_assert_ptr_nonnull(
        memmem(i.der.p, i.der.n, ca.authority->issuer_url, strlen(ca.authority->issuer_url)));
    issued_clear(&i);

    char crl_url[sizeof ca.authority->crl_url];
    memcpy(crl_url, ca.authority->crl_url, sizeof crl_url);
    ca.authority->crl_url[0] = ca.authority->issuer_url[0] = '\0';
    issue_and_compare(ca.authority, signer, &plan, &i);
    ck_assert_ptr_null(memmem(i.der.p, i.der.n, "http", 4));
    issued_clear(&i);
    cert_plan_clear(&plan);
    wish_csr_clear(&csr);
}
END_TEST

/* C17: inside the issuer's validity, or not at all when too little of it is left. */
START_TEST(test_times)
{
    struct wish w = {.subject = "CN=device-1", .san = {"DNS:a.example.org"}};
    struct csr csr;
    struct cert_plan plan;
    struct issued i = {.not_before = 0};
    struct cert *own = ca.authority->cert;
    int64_t now = time(NULL), ends = own->not_after;

    wish_csr(&w, &csr);
    plan_of(&csr, &plan);
    plan.not_before = own->not_before - 100;
    plan.not_after = now + 30 * DAY;
    issue_and_compare(ca.authority, signer, &plan, &i);
    ck_assert_int_eq(i.not_before, own->not_before);
    issued_clear(&i);

    own->not_after = now + 10 * DAY; /* as if the authority ended sooner */
    issue_and_compare(ca.authority, signer, &plan, &i);
    ck_assert_int_eq(i.not_after, now + 10 * DAY);
    issued_clear(&i);

    plan.min_not_after = now + 10 * DAY + 1;
    ck_assert(!ca_issue(ca.authority, signer, &plan, now, &i, &err));
    ck_assert_int_eq(err.reason, REASON_AUTHORITY_EXPIRED);
    plan.min_not_after = 0;
    own->not_after = now - 1;
    ck_assert(!ca_issue(ca.authority, signer, &plan, now, &i, &err));
    ck_assert_int_eq(err.reason, REASON_AUTHORITY_EXPIRED);
    ck_assert_ptr_null(i.der.p);
    own->not_after = ends;
    cert_plan_clear(&plan);
    wish_csr_clear(&csr);
}
END_TEST

/* The signer's own limits stand, whatever the plan says (C18, C24, C37). */
START_TEST(test_signer_refuses)
{
    struct wish w = {.subject = "CN=device-1", .san = {"DNS:a.example.org"}};
    struct csr csr;
    struct cert_plan plan, changed;
    struct issued i = {.not_before = 0};
    int64_t now = time(NULL);

    wish_csr(&w, &csr);
    plan_of(&csr, &plan);
    changed = plan;
    changed.key_usage |= KU_KEY_CERT_SIGN;
    ck_assert(!ca_issue(ca.authority, signer, &changed, now, &i, &err));
    ck_assert_int_eq(err.reason, REASON_USAGE_FORBIDDEN);
    changed = plan;
    eku_add(&changed.eku, "1.3.6.1.5.5.7.3.3");
    ck_assert(!ca_issue(ca.authority, signer, &changed, now, &i, &err));
    ck_assert_int_eq(err.reason, REASON_USAGE_FORBIDDEN);
    changed = plan;
    changed.not_after += 10 * DAY;
    ck_assert(!ca_issue(ca.authority, signer, &changed, now, &i, &err));
    ck_assert_ptr_null(i.der.p);
    cert_plan_clear(&plan);
    wish_csr_clear(&csr);
}
END_TEST

/* A signature by another key than the authority's is noticed before anything leaves. */
START_TEST(test_wrong_signature)
{
    struct wish w = {.subject = "CN=device-1", .san = {"DNS:a.example.org"}};
    struct csr csr;
    struct cert_plan plan;
    struct issued i = {.not_before = 0};
    EVP_PKEY_CTX *right = ca.authority->public_ctx;

    wish_csr(&w, &csr);
    plan_of(&csr, &plan);
    ca.authority->public_ctx = EVP_PKEY_CTX_new(wish_key("p256"), NULL);
    ck_assert(!ca_issue(ca.authority, signer, &plan, time(NULL), &i, &err));
    ck_assert_int_eq(err.reason, REASON_SIGNATURE_BAD);
    ck_assert_ptr_null(i.der.p);
    EVP_PKEY_CTX_free(ca.authority->public_ctx);
    ca.authority->public_ctx = right;
    cert_plan_clear(&plan);
    wish_csr_clear(&csr);
}
END_TEST

/* ---- property: whatever a request asks for ---- */

static uint32_t state = 20261123;

static uint32_t draw(uint32_t n)
{
    state = state * 1664525u + 1013904223u;
    return (state >> 8) % n;
}

/* A real PKCS#10 by OpenSSL's writer with extensions in any combination, sensible or not. */
static void add_config_extension(STACK_OF(X509_EXTENSION) * sk, int nid, const char *value)
{
    X509_EXTENSION *x = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

    ck_assert_msg(x != NULL, "%s", value);
    sk_X509_EXTENSION_push(sk, x);
}

static void add_raw_extension(STACK_OF(X509_EXTENSION) * sk, const char *oid, int critical,
                              const char *der, int n)
{
    ASN1_OBJECT *object = OBJ_txt2obj(oid, 1);
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();

    ASN1_OCTET_STRING_set(value, (const unsigned char *)der, n);
    sk_X509_EXTENSION_push(sk, X509_EXTENSION_create_by_OBJ(NULL, object, critical, value));
    ASN1_OCTET_STRING_free(value);
    ASN1_OBJECT_free(object);
}

static void draw_extensions(STACK_OF(X509_EXTENSION) * sk)
{
    static const char *const usage[] = {"digitalSignature",
                                        "keyEncipherment",
                                        "digitalSignature,keyEncipherment",
                                        "critical,digitalSignature,nonRepudiation,dataEncipherment",
                                        "keyAgreement",
                                        "digitalSignature,keyCertSign",
                                        "decipherOnly,keyAgreement"};
    static const char *const purposes[] = {
        "clientAuth",  "serverAuth,clientAuth", "emailProtection,codeSigning",
        "OCSPSigning", "anyExtendedKeyUsage",   "1.3.6.1.4.1.311.20.2.2,clientAuth",
        "timeStamping"};
    static const char *const names[] = {"DNS:a.example.org",
                                        "DNS:a.example.org,IP:10.0.0.1,IP:fe80::1",
                                        "email:me@example.org,URI:urn:uuid:7",
                                        "DNS:*.example.org",
                                        "otherName:1.3.6.1.4.1.311.20.2.3;UTF8:me@example.org",
                                        "RID:1.2.3",
                                        "URI:tag:microsoft.com\\,2022-09-14:sid:S-1-5-21-1"};
    static const char *const basic[] = {"CA:FALSE", "critical,CA:TRUE", "CA:TRUE,pathlen:3"};

    if (draw(3))
        add_config_extension(sk, NID_key_usage, usage[draw(7)]);
    if (draw(3))
        add_config_extension(sk, NID_ext_key_usage, purposes[draw(7)]);
    if (draw(3))
        add_config_extension(sk, NID_subject_alt_name, names[draw(6)]);
    if (draw(10) == 0)
        add_config_extension(sk, NID_basic_constraints, basic[draw(3)]);
    if (draw(3) == 0)
        add_raw_extension(sk, "1.2.3.4", (int)draw(2),
                          "\x0c\x01"
                          "A",
                          3);
    if (draw(20) == 0)
        add_raw_extension(sk, "1.2.3.4", 0,
                          "\x0c\x05"
                          "A",
                          3); /* perhaps twice, and malformed */
    if (draw(3) == 0)
        add_raw_extension(sk, OID_MS_TEMPLATE_NAME, 0,
                          "\x1e\x02\x00"
                          "A",
                          4);
    if (draw(3) == 0)
        add_raw_extension(sk, "1.2.3.5", 1, "\x05\x00", 2); /* unknown and critical */
    if (draw(4) == 0)
        add_raw_extension(sk, OID_OCSP_NOCHECK, 0, "\x05\x00", 2);
    if (draw(4) == 0)
        add_raw_extension(sk, OID_POLICIES, 0, "\x30\x06\x30\x04\x06\x02\x2a\x03", 8);
}

static struct buf draw_request(void)
{
    static const char *const keys[] = {"rsa2048", "p256", "p384"};
    static const char *const more[] = {"OU", "serialNumber", "emailAddress", "O"};
    EVP_PKEY *key = wish_key(keys[draw(3)]);
    X509_REQ *req = X509_REQ_new();
    X509_NAME *name = X509_REQ_get_subject_name(req);
    STACK_OF(X509_EXTENSION) *sk = sk_X509_EXTENSION_new_null();
    struct buf out = {0};
    uint8_t *der = NULL;

    if (draw(5)) {
        X509_NAME_add_entry_by_txt(name, "CN", draw(2) ? MBSTRING_UTF8 : MBSTRING_ASC,
                                   (const uint8_t *)"device-1", -1, -1, 0);
        X509_NAME_add_entry_by_txt(name, more[draw(4)], MBSTRING_ASC,
                                   (const uint8_t *)"a@b.example.org", -1, -1, draw(3) ? 0 : -1);
    }
    X509_REQ_set_version(req, 0);
    X509_REQ_set_pubkey(req, key);
    draw_extensions(sk);
    if (sk_X509_EXTENSION_num(sk) > 0)
        X509_REQ_add_extensions(req, sk);
    ck_assert(X509_REQ_sign(req, key, EVP_sha256()) > 0);
    int n = i2d_X509_REQ(req, &der);
    ck_assert(n > 0 && buf_append(&out, der, (size_t)n));
    OPENSSL_free(der);
    sk_X509_EXTENSION_pop_free(sk, X509_EXTENSION_free);
    X509_REQ_free(req);
    return out;
}

/* True when a certificate came of it. */
static bool enrol(struct view request)
{
    struct template_context ctx = {.endpoint = "/scep", .transaction = "tx", .now = time(NULL)};
    struct csr *csr = NULL;
    struct cert_plan plan = {.key = NULL};
    struct issued issued = {.not_before = 0};
    bool planned;

    memset(&err, 0, sizeof err);
    planned = csr_parse(request, ALG_BIT(DIGEST_SHA256), NULL, view_of(NULL, 0), &csr, &err) &&
              template_plan(&t, csr, &ctx, &plan, &err);
    if (planned)
        issue_and_compare(ca.authority, signer, &plan, &issued); /* what was planned is issued */
    else
        ck_assert_msg(err.kind == ERR_REFUSED && err.reason != REASON_NONE &&
                          err.reason != REASON_INTERNAL,
                      "%s", err.text);
    issued_clear(&issued);
    cert_plan_clear(&plan);
    csr_free(csr);
    return planned;
}

START_TEST(test_whatever_is_asked)
{
    unsigned issued = 0;

    for (unsigned i = 0; i < 400; i++) {
        struct buf request = draw_request();
        t.usage_surplus = draw(2) ? SURPLUS_DROP : SURPLUS_REFUSE;
        t.honour_requested_usage = draw(2);
        t.san_surplus = draw(2) ? SURPLUS_DROP : SURPLUS_REFUSE;
        issued += enrol(buf_view(&request));
        buf_clear(&request);
    }
    ck_assert_uint_gt(issued, 40); /* and not by refusing everything */
    ck_assert_uint_lt(issued, 390);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("issue");
    TCase *tc = tcase_create("issue");

    tcase_add_unchecked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, test_issue);
    tcase_add_test(tc, test_addresses);
    tcase_add_test(tc, test_times);
    tcase_add_test(tc, test_signer_refuses);
    tcase_add_test(tc, test_wrong_signature);
    tcase_add_test(tc, test_whatever_is_asked);
    suite_add_tcase(suite, tc);
    return check_main(suite);
}
