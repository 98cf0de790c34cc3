/* Requests by OpenSSL, and requests put together piece by piece, each with one thing wrong. */
#include "check_main.h"
#include "freed.h"
#include "oracle.h"
#include "pkcs7/csr.h"

#define SHA2 (ALG_BIT(DIGEST_SHA256) | ALG_BIT(DIGEST_SHA384) | ALG_BIT(DIGEST_SHA512))
#define LIT(s) view_of(s, sizeof(s) - 1)

#define OID_CHALLENGE "1.2.840.113549.1.9.7"
#define OID_EXTENSIONS "1.2.840.113549.1.9.14"
#define OID_EXTENSIONS_MS "1.3.6.1.4.1.311.2.1.14"

static EVP_PKEY *rsa_key, *p256_key;

static struct csr *parse_with(struct buf der, unsigned digests)
{
    struct csr *csr = NULL;
    struct err err = {0};
    ck_assert_msg(csr_parse(buf_view(&der), digests, NULL, (struct view){0}, &csr, &err), "%s",
                  err.text);
    ck_assert_uint_eq(ERR_peek_error(), 0);
    buf_clear(&der);
    return csr;
}

static struct csr *parse(struct buf der)
{
    return parse_with(der, SHA2);
}

static void expect_refused(struct buf der, const char *code, const char *text)
{
    struct csr *csr = NULL;
    struct err err = {0};
    ck_assert(!csr_parse(buf_view(&der), SHA2, NULL, (struct view){0}, &csr, &err));
    ck_assert_int_eq(err.kind, ERR_REFUSED);
    ck_assert_str_eq(reason_info(err.reason)->code, code);
    ck_assert_msg(strstr(err.text, text) != NULL, "'%s' without '%s'", err.text, text);
    ck_assert_ptr_null(csr);
    ck_assert_uint_eq(ERR_peek_error(), 0);
    buf_clear(&der);
}

/* ---- by OpenSSL ---- */

static struct buf by_openssl(EVP_PKEY *key, const EVP_MD *md, const char *challenge, int ext_nid)
{
    X509_REQ *req = X509_REQ_new();
    X509_NAME *subject = X509_REQ_get_subject_name(req);
    oracle_add_name(subject, "O", "Example");
    oracle_add_name(subject, "CN", "device-1");
    X509_REQ_set_pubkey(req, key);
    if (challenge)
        ck_assert_int_eq(X509_REQ_add1_attr_by_NID(req, NID_pkcs9_challengePassword, MBSTRING_UTF8,
                                                   (const unsigned char *)challenge, -1),
                         1);
    if (ext_nid) {
        STACK_OF(X509_EXTENSION) *exts = NULL;
        oracle_add_ext(&exts, NID_key_usage, "digitalSignature");
        oracle_add_ext(&exts, NID_subject_alt_name, "DNS:device-1.example.org");
        X509_REQ_add_extensions_nid(req, exts, ext_nid);
        sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
    }
    ck_assert_int_gt(X509_REQ_sign(req, key, md), 0);
    struct buf der = oracle_X509_REQ(req);
    X509_REQ_free(req);
    return der;
}

static bool inside(const struct csr *csr, struct view v)
{
    return v.p >= csr->der.p && v.p + v.n <= csr->der.p + csr->der.n;
}

START_TEST(ordinary)
{
    EVP_PKEY *keys[] = {rsa_key, p256_key};
    const int ext_nids[] = {NID_ext_req, NID_ms_ext_req};
    for (int i = 0; i < 2; i++) {
        struct csr *csr = parse(by_openssl(keys[i], EVP_sha256(), "secret", ext_nids[i]));
        char text[100];
        name_text(&csr->subject, text, sizeof text);
        ck_assert_str_eq(text, "O=Example,CN=device-1");
        ck_assert_int_eq(csr->key.type, i ? KEY_EC : KEY_RSA);
        struct buf spki = oracle_spki(keys[i]);
        ck_assert(view_eq(csr->key.spki, buf_view(&spki)));
        ck_assert_int_eq(csr->sigalg.digest, DIGEST_SHA256);
        ck_assert(csr->has_challenge);
        ck_assert(view_eq(buf_view(&csr->challenge), view_str("secret")));
        ck_assert_uint_eq(csr->ext.key_usage, KU_DIGITAL_SIGNATURE);
        san_text(&csr->ext.san, text, sizeof text);
        ck_assert_str_eq(text, "DNS:device-1.example.org");
        ck_assert(inside(csr, csr->subject_der) && inside(csr, csr->key.spki) &&
                  inside(csr, csr->ext.der));
        ck_assert_str_eq(csr->unknown_attributes, "");
        buf_clear(&spki);
        csr_free(csr);
    }
    csr_free(NULL);
}
END_TEST

START_TEST(bare)
{
    struct csr *csr = parse(by_openssl(p256_key, EVP_sha512(), NULL, 0));
    ck_assert(!csr->has_challenge && csr->challenge.n == 0);
    ck_assert(!csr->ext.has_san && !csr->ext.has_key_usage && csr->ext.der.n == 0);
    ck_assert_int_eq(csr->ext.path_len, -1);
    csr_free(csr);
}
END_TEST

START_TEST(digests_by_policy)
{
    csr_free(parse_with(by_openssl(rsa_key, EVP_sha1(), NULL, 0), SHA2 | ALG_BIT(DIGEST_SHA1)));
    expect_refused(by_openssl(rsa_key, EVP_sha1(), NULL, 0), "algorithm.refused",
                   "signed with SHA-1");
    expect_refused(by_openssl(rsa_key, EVP_md5(), NULL, 0), "algorithm.refused", "signed with MD5");
}
END_TEST

START_TEST(a_key_that_is_loaded_already)
{
    struct buf der = by_openssl(rsa_key, EVP_sha256(), NULL, 0);
    struct buf spki = oracle_spki(rsa_key), other = oracle_spki(p256_key);
    EVP_PKEY_CTX *rsa = EVP_PKEY_CTX_new(rsa_key, NULL), *ec = EVP_PKEY_CTX_new(p256_key, NULL);
    struct csr *csr = NULL;
    struct err err = {0};
    ck_assert(csr_parse(buf_view(&der), SHA2, rsa, buf_view(&spki), &csr, &err));
    csr_free(csr);
    ck_assert(csr_parse(buf_view(&der), SHA2, ec, buf_view(&other), &csr, &err)); /* not this one */
    csr_free(csr);
    csr = NULL;
    ck_assert(!csr_parse(buf_view(&der), SHA2, ec, buf_view(&spki), &csr, &err)); /* it is used */
    ck_assert_int_eq(err.reason, REASON_CSR_SIGNATURE);
    EVP_PKEY_CTX_free(rsa);
    EVP_PKEY_CTX_free(ec);
    buf_clear(&der);
    buf_clear(&spki);
    buf_clear(&other);
}
END_TEST

START_TEST(identity_is_the_wish)
{
    struct csr *a = parse(by_openssl(p256_key, EVP_sha256(), "one", NID_ext_req));
    struct csr *b = parse(by_openssl(p256_key, EVP_sha384(), "two", NID_ext_req));
    struct csr *c = parse(by_openssl(p256_key, EVP_sha256(), "one", 0));
    struct csr *d = parse(by_openssl(rsa_key, EVP_sha256(), "one", NID_ext_req));
    ck_assert_mem_eq(a->identity, b->identity, 32);
    ck_assert_mem_ne(a->identity, c->identity, 32);
    ck_assert_mem_ne(a->identity, d->identity, 32);
    csr_free(a);
    csr_free(b);
    csr_free(c);
    csr_free(d);
}
END_TEST

START_TEST(from_real_clients)
{
    static const struct {
        const char *file, *subject, *san, *challenge, *more;
    } csrs[] = {
        {"certmonger", "CN=certmonger-dev", "DNS:cm.example.test", "secret",
         "1.2.840.113549.1.9.20"},
        {"jscep", "CN=jscep-get,O=Interop", "DNS:jscep-get.example.test", "secret", ""},
        {"micromdm", "C=US,O=scep-client,OU=MDM,CN=micromdm-dev", "", "secret", ""},
        {"micromdm-renewal", "C=US,O=scep-client,OU=MDM,CN=micromdm-dev", "", "secret", ""},
        {"sscep", "O=Interop,CN=sscep-dev", "DNS:sscep.example.test", "secret", ""},
        {"strongswan", "CN=strongswan-dev,O=Interop", "DNS:strongswan.example.test", "secret", ""},
        {"strongswan-renewal", "CN=strongswan-dev,O=Interop", "", "", ""},
        {"strongswan6", "CN=strongswan6-dev,O=Interop", "DNS:strongswan6.example.test", "secret",
         ""},
    };
    for (size_t i = 0; i < sizeof csrs / sizeof *csrs; i++) {
        char text[200];
        snprintf(text, sizeof text, "csr/%s.der", csrs[i].file);
        struct csr *csr = parse(oracle_file(text));
        name_text(&csr->subject, text, sizeof text);
        ck_assert_str_eq(text, csrs[i].subject);
        san_text(&csr->ext.san, text, sizeof text);
        ck_assert_str_eq(text, csrs[i].san);
        ck_assert(view_eq(buf_view(&csr->challenge), view_str(csrs[i].challenge)));
        ck_assert_str_eq(csr->unknown_attributes, csrs[i].more);
        ck_assert_uint_eq(csr->key.bits, 2048);
        csr_free(csr);
    }
}
END_TEST

/* ---- piece by piece ---- */

struct attribute {
    const char *oid;
    struct view values; /* content of the SET */
};

struct parts {
    struct view version, subject, sigalg; /* TLVs; empty: good ones */
    EVP_PKEY *key, *signer;               /* NULL: P-256 */
    struct view spki;
    struct attribute attribute[40];
    size_t n;
    bool no_attributes, no_version;
    struct view tail; /* behind the signature, inside of the SEQUENCE */
};

static struct buf taken(struct der *w)
{
    struct buf out = {0};
    struct err err = {0};
    ck_assert(der_take(w, &out, &err));
    return out;
}

static struct buf info_of(const struct parts *p)
{
    struct der w = {0};
    for (size_t i = p->n; i-- > 0;) { /* in the order given: no DER order */
        size_t mark = der_mark(&w);
        der_tlv(&w, DER_SET, p->attribute[i].values);
        der_oid_text(&w, p->attribute[i].oid);
        der_wrap(&w, DER_SEQUENCE, mark);
    }
    if (!p->no_attributes)
        der_wrap(&w, DER_CONTEXT_CONSTRUCTED(0), 0);
    struct buf spki = oracle_spki(p->key ? p->key : p256_key);
    der_raw(&w, p->spki.n ? p->spki : buf_view(&spki));
    buf_clear(&spki);
    der_raw(&w, p->subject.n ? p->subject
                             : LIT("\x30\x0e\x31\x0c\x30\x0a\x06\x03\x55\x04\x03\x0c\x03"
                                   "dev"));
    if (!p->no_version)
        der_raw(&w, p->version.n ? p->version : LIT("\x02\x01\x00"));
    der_wrap(&w, DER_SEQUENCE, 0);
    return taken(&w);
}

static struct buf build(const struct parts *p)
{
    EVP_PKEY *signer = p->signer ? p->signer : p->key ? p->key : p256_key;
    struct buf info = info_of(p);
    uint8_t sig[512];
    size_t n = sizeof sig;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    ck_assert_int_eq(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, signer), 1);
    ck_assert_int_eq(EVP_DigestSign(ctx, sig, &n, info.p, info.n), 1);
    EVP_MD_CTX_free(ctx);
    enum signature_scheme scheme = EVP_PKEY_is_a(signer, "RSA") ? SIG_RSA_PKCS1 : SIG_ECDSA;
    struct der w = {0};
    der_raw(&w, p->tail);
    der_bits(&w, view_of(sig, n));
    der_raw(&w, p->sigalg.n ? p->sigalg : sigalg_der((struct sigalg){scheme, DIGEST_SHA256, 0}));
    der_raw(&w, buf_view(&info));
    der_wrap(&w, DER_SEQUENCE, 0);
    buf_clear(&info);
    return taken(&w);
}

static struct parts with_attribute(const char *oid, struct view values)
{
    return (struct parts){.attribute = {{oid, values}}, .n = 1};
}

START_TEST(piece_by_piece_is_good)
{
    struct parts p = {0};
    csr_free(parse(build(&p)));
    p.no_attributes = true; /* some devices leave out the empty set */
    csr_free(parse(build(&p)));
    p = (struct parts){.key = rsa_key,
                       .sigalg = LIT("\x30\x0b\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b")};
    csr_free(parse(build(&p))); /* RSA without parameters */
}
END_TEST

/* strongSwan sends the larger attribute first. */
START_TEST(attributes_in_any_order)
{
    struct parts p = {
        .attribute = {{OID_EXTENSIONS,
                       LIT("\x30\x12\x30\x10\x06\x03\x55\x1d\x11\x04\x09\x30\x07\x82\x05"
                           "a.org")},
                      {"1.3.6.1.4.1.311.13.2.3", LIT("\x16\x01x")},
                      {OID_CHALLENGE, LIT("\x13\x02pw")},
                      {"1.2.3", LIT("\x05\x00")}},
        .n = 4};
    struct csr *csr = parse(build(&p));
    ck_assert(view_eq(buf_view(&csr->challenge), view_str("pw")));
    ck_assert_str_eq(csr->ext.san.name[0].text, "a.org");
    ck_assert_str_eq(csr->unknown_attributes, "1.3.6.1.4.1.311.13.2.3 1.2.3");
    csr_free(csr);
}
END_TEST

START_TEST(versions)
{
    struct parts p = {.version = LIT("\x02\x01\x01")};
    expect_refused(build(&p), "csr.malformed", "another version than 0");
    p.version = LIT("\x02\x09\x01\0\0\0\0\0\0\0\0");
    expect_refused(build(&p), "csr.malformed", "another version than 0");
    p.version = LIT("\x04\x01\x00");
    expect_refused(build(&p), "csr.malformed", "cannot be decoded");
    p.no_version = true;
    expect_refused(build(&p), "csr.malformed", "without a version");
}
END_TEST

/* By a rule of its own: whoever writes 1, or nothing, means what 0 means. */
START_TEST(any_version)
{
    const struct csr_rules rules = {.digests = SHA2, .any_version = true};
    for (int i = 0; i < 2; i++) {
        struct parts p = {.version = LIT("\x02\x01\x01"), .no_version = i == 1};
        struct buf der = build(&p);
        struct csr *csr = NULL;
        struct err err = {0};
        ck_assert_msg(csr_parse_by(buf_view(&der), &rules, NULL, (struct view){0}, &csr, &err),
                      "%s", err.text);
        csr_free(csr);
        buf_clear(&der);
    }
}
END_TEST

START_TEST(frames)
{
    struct parts p = {0};
    struct buf der = build(&p);
    ck_assert(buf_append(&der, "", 1));
    expect_refused(der, "csr.malformed", "1 octets after the end");
    p.tail = LIT("\x05\x00");
    expect_refused(build(&p), "csr.malformed", "cannot be decoded");
    expect_refused((struct buf){0}, "csr.malformed", "empty");
    der = (struct buf){0};
    ck_assert(buf_reserve(&der, CSR_MAX_SIZE + 1));
    memset(der.p, 0, der.n = CSR_MAX_SIZE + 1);
    expect_refused(der, "csr.malformed", "65537 octets, at most 65536");
}
END_TEST

/* RFC 8894 sections 2.3 and 7.6: proof of possession. */
START_TEST(signatures)
{
    struct parts p = {.signer = EVP_EC_gen("P-256")};
    expect_refused(build(&p), "csr.signature", "does not verify");
    EVP_PKEY_free(p.signer);
    p = (struct parts){.signer = rsa_key};
    expect_refused(build(&p), "csr.signature", "does not belong to the type of the key");
    p = (struct parts){.sigalg = LIT("\x30\x05\x06\x03\x2b\x65\x70")};
    expect_refused(build(&p), "algorithm.refused", "1.3.101.112");
    p = (struct parts){.key = rsa_key,
                       .sigalg =
                           LIT("\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00")};
    expect_refused(build(&p), "algorithm.refused", "1.2.840.113549.1.1.1 is not supported");
}
END_TEST

START_TEST(keys)
{
    EVP_PKEY *koblitz = EVP_EC_gen("secp256k1");
    struct parts p = {.key = koblitz};
    expect_refused(build(&p), "key.type", "1.3.132.0.10");
    EVP_PKEY_free(koblitz);
    struct buf spki = oracle_spki(p256_key);
    spki.p[spki.n - 1] ^= 1;
    p = (struct parts){.spki = buf_view(&spki)};
    expect_refused(build(&p), "key.weak", "not on P-256");
    buf_clear(&spki);
    p = (struct parts){.spki = LIT("\x30\x00")};
    expect_refused(build(&p), "csr.malformed", "SubjectPublicKeyInfo");
}
END_TEST

START_TEST(subjects)
{
    struct parts p = {.subject = LIT("\x30\x0e\x31\x0c\x30\x0a\x06\x03\x55\x04\x03\x0c\x03"
                                     "d\x01v")};
    expect_refused(build(&p), "subject.forbidden", "CN: character 2, U+0001");
    p.subject = LIT("\x30\x00");
    struct csr *csr = parse(build(&p));
    ck_assert_uint_eq(csr->subject.n, 0);
    csr_free(csr);
}
END_TEST

static void expect_challenge(struct view values, const char *text)
{
    struct parts p = with_attribute(OID_CHALLENGE, values);
    struct csr *csr = parse(build(&p));
    ck_assert_int_eq(csr->has_challenge, *text != '\0');
    ck_assert(view_eq(buf_view(&csr->challenge), view_str(text)));
    csr_free(csr);
}

static void expect_challenge_refused(struct view values, const char *text)
{
    struct parts p = with_attribute(OID_CHALLENGE, values);
    expect_refused(build(&p), "csr.malformed", text);
}

START_TEST(challenges_of_any_string_type)
{
    expect_challenge(LIT("\x13\x02pw"), "pw");
    expect_challenge(LIT("\x0c\x03p\xc3\xab"), "p\xc3\xab");
    expect_challenge(LIT("\x16\x02pw"), "pw");
    expect_challenge(LIT("\x1e\x04\0p\0\xeb"), "p\xc3\xab");
    expect_challenge(LIT("\x14\x02p\xeb"), "p\xc3\xab");
    expect_challenge(LIT("\x0c\x04 p w"), " p w"); /* nothing is trimmed */
    expect_challenge(LIT("\x13\x00"), "");         /* as good as none */
    expect_challenge_refused(LIT("\x13\x03p\0w"), "NUL inside");
    expect_challenge_refused(LIT("\x0c\x02p\xff"), "not valid UTF-8");
    expect_challenge_refused(LIT("\x04\x02pw"), "no string type");
    expect_challenge_refused(LIT("\x01\x01\xff"), "no string type");
    expect_challenge_refused(LIT("\x05\x00"), "no string type");
    expect_challenge_refused(LIT("\x06\x01\x2a"), "no string type");
    expect_challenge_refused(LIT(""), "challengePassword has 0 values");
    expect_challenge_refused(LIT("\x13\x01p\x13\x01q"), "challengePassword has 2 values");
    struct parts p = {
        .attribute = {{OID_CHALLENGE, LIT("\x13\x01p")}, {OID_CHALLENGE, LIT("\x13\x01p")}},
        .n = 2};
    expect_refused(build(&p), "csr.malformed", "challengePassword is there twice");
}
END_TEST

/* Taken, of no string type, and more of them than one. */
START_TEST(nothing_given_back_holds_the_challenge)
{
    struct parts p = with_attribute(OID_CHALLENGE, LIT("\x13\x06SESAME"));
    switch (_i) {
    case 1:
        p.attribute[0].values = LIT("\x04\x06SESAME");
        break;
    case 2:
        p.attribute[0].values = LIT("\x13\x01p\x13\x06SESAME");
        break;
    case 3:
        p.attribute[p.n++] = p.attribute[0];
        break;
    }
    struct buf der = build(&p);
    struct csr *csr = NULL;
    struct err err = {0};
    freed_secret = "SESAME";
    ck_assert_int_eq(csr_parse(buf_view(&der), SHA2, NULL, (struct view){0}, &csr, &err), _i == 0);
    csr_free(csr);
    freed_secret = NULL;
    ck_assert_int_eq(freed_with_secret, 0);
    buf_clear(&der);
}
END_TEST

START_TEST(challenge_length)
{
    static char text[CSR_MAX_CHALLENGE + 2];
    memset(text, 'x', CSR_MAX_CHALLENGE + 1);
    struct der w = {0};
    der_tlv(&w, DER_UTF8_STRING, view_str(text));
    expect_challenge_refused(der_content(&w), "challengePassword of 8193 octets, at most 8192");
    der_clear(&w);
    text[CSR_MAX_CHALLENGE] = '\0';
    der_tlv(&w, DER_UTF8_STRING, view_str(text));
    expect_challenge(der_content(&w), text);
    der_clear(&w);
}
END_TEST

#define KU_SIGN "\x30\x0d\x30\x0b\x06\x03\x55\x1d\x0f\x04\x04\x03\x02\x07\x80"
#define KU_BOTH "\x30\x0d\x30\x0b\x06\x03\x55\x1d\x0f\x04\x04\x03\x02\x05\xa0"

START_TEST(two_ways_to_ask)
{
    struct parts p = {
        .attribute = {{OID_EXTENSIONS, LIT(KU_SIGN)}, {OID_EXTENSIONS_MS, LIT(KU_SIGN)}}, .n = 2};
    struct csr *csr = parse(build(&p));
    ck_assert_uint_eq(csr->ext.key_usage, KU_DIGITAL_SIGNATURE);
    csr_free(csr);
    p.attribute[1].values = LIT(KU_BOTH);
    expect_refused(build(&p), "csr.malformed", "ask for different things");
    p.attribute[1] = p.attribute[0];
    expect_refused(build(&p), "csr.malformed", "extensionRequest is there twice");
    p = with_attribute(OID_EXTENSIONS, LIT(KU_SIGN KU_SIGN));
    expect_refused(build(&p), "csr.malformed", "extensionRequest has 2 values");
    p = with_attribute(OID_EXTENSIONS_MS, LIT(""));
    expect_refused(build(&p), "csr.malformed", "Microsoft's extension request has 0 values");
    p = with_attribute(OID_EXTENSIONS, LIT("\x13\x01x"));
    expect_refused(build(&p), "csr.malformed", "extensionRequest is no SEQUENCE");
    p = with_attribute(OID_EXTENSIONS, LIT("\x30\x00")); /* asks for nothing */
    csr_free(parse(build(&p)));
    p = with_attribute(OID_EXTENSIONS, LIT("\x30\x02\x05\x00"));
    expect_refused(build(&p), "csr.malformed", "the extensions cannot be decoded");
}
END_TEST

START_TEST(usages_that_no_device_gets)
{
    struct parts p = with_attribute(
        OID_EXTENSIONS, LIT("\x30\x0e\x30\x0c\x06\x03\x55\x1d\x13\x04\x05\x30\x03\x01\x01\xff"));
    expect_refused(build(&p), "usage.forbidden", "asks for a CA certificate");
    p = with_attribute(OID_EXTENSIONS_MS,
                       LIT("\x30\x0d\x30\x0b\x06\x03\x55\x1d\x0f\x04\x04\x03\x02\x01\x86"));
    expect_refused(build(&p), "usage.forbidden", "asks for key usage keyCertSign,cRLSign");
    p = with_attribute(OID_EXTENSIONS,
                       LIT("\x30\x0d\x30\x0b\x06\x03\x55\x1d\x0f\x04\x04\x03\x02\x01\x02"));
    expect_refused(build(&p), "usage.forbidden", "asks for key usage cRLSign");
}
END_TEST

START_TEST(attribute_count)
{
    struct parts p = {.n = 32};
    for (int i = 0; i < 33; i++)
        p.attribute[i] = (struct attribute){"1.2.3", LIT("\x05\x00")};
    csr_free(parse(build(&p)));
    p.n = 33;
    expect_refused(build(&p), "csr.malformed", "33 attributes, at most 32");
}
END_TEST

/* ---- kept ones ---- */

START_TEST(kept_without_its_secret)
{
    struct csr *csr = parse(by_openssl(rsa_key, EVP_sha256(), "a secret", NID_ms_ext_req));
    struct buf kept = {0};
    struct err err = {0};
    struct csr *again = NULL;
    ck_assert(csr_without_challenge(csr, &kept, &err));
    ck_assert_ptr_null(memmem(kept.p, kept.n, "a secret", 8));
    ck_assert_msg(csr_parse_trusted(buf_view(&kept), &again, &err), "%s", err.text);
    ck_assert_mem_eq(csr->identity, again->identity, 32);
    ck_assert(!again->has_challenge);
    ck_assert(name_eq(&csr->subject, &again->subject) && san_eq(&csr->ext.san, &again->ext.san));
    expect_refused(kept, "csr.signature", "does not belong");
    csr_free(csr);
    csr_free(again);
}
END_TEST

/* ---- mutations: signed bytes are protected by the signature, the wrapper by DER ---- */

static void expect_no_survivor(struct buf der)
{
    for (size_t at = 0; at < der.n; at++) {
        uint8_t good = der.p[at];
        const uint8_t changes[] = {good ^ 1,
                                   good ^ 2,
                                   good ^ 4,
                                   good ^ 8,
                                   good ^ 16,
                                   good ^ 32,
                                   good ^ 64,
                                   good ^ 128,
                                   (uint8_t)(good + 1),
                                   (uint8_t)(good - 1),
                                   0,
                                   0xff};
        for (size_t i = 0; i < sizeof changes; i++) {
            struct csr *csr = NULL;
            struct err err = {0};
            if (changes[i] == good)
                continue;
            der.p[at] = changes[i];
            bool passed = csr_parse(buf_view(&der), SHA2, NULL, (struct view){0}, &csr, &err);
            ck_assert_msg(!passed, "octet %zu as 0x%02x", at, changes[i]);
            ck_assert_int_eq(err.kind, ERR_REFUSED);
        }
        der.p[at] = good;
    }
    for (size_t n = 0; n < der.n; n++) {
        struct csr *csr = NULL;
        struct err err = {0};
        ck_assert(!csr_parse(view_of(der.p, n), SHA2, NULL, (struct view){0}, &csr, &err));
        ck_assert_int_eq(err.reason, REASON_CSR_MALFORMED);
    }
    csr_free(parse(der)); /* it was good */
}

START_TEST(no_change_of_an_octet_survives)
{
    expect_no_survivor(by_openssl(p256_key, EVP_sha256(), "secret", NID_ext_req));
    expect_no_survivor(by_openssl(rsa_key, EVP_sha256(), "secret", NID_ms_ext_req));
}
END_TEST

/* The same changes under a signature that is good: the parsers behind it see them. */
START_TEST(no_change_of_an_attribute_crashes)
{
    uint8_t exts[] = "\x30\x20\x30\x0c\x06\x03\x55\x1d\x13\x04\x05\x30\x03\x01\x01\x00"
                     "\x30\x10\x06\x03\x55\x1d\x11\x04\x09\x30\x07\x82\x05"
                     "a.org";
    for (size_t at = 0; at < sizeof exts - 1; at++) {
        for (int bit = 0; bit < 8; bit++) {
            struct parts p = with_attribute(OID_EXTENSIONS, view_of(exts, sizeof exts - 1));
            struct csr *csr = NULL;
            struct err err = {0};
            exts[at] ^= (uint8_t)(1 << bit);
            struct buf der = build(&p);
            if (!csr_parse(buf_view(&der), SHA2, NULL, (struct view){0}, &csr, &err))
                ck_assert_int_eq(err.kind, ERR_REFUSED);
            exts[at] ^= (uint8_t)(1 << bit);
            csr_free(csr);
            buf_clear(&der);
        }
    }
}
END_TEST

int main(void)
{
    if (!freed_watch())
        return EXIT_FAILURE;
    rsa_key = EVP_RSA_gen(2048);
    p256_key = EVP_EC_gen("P-256");
    Suite *s = suite_create("pkcs7/csr");
    TCase *c = tcase_create("csr");
    tcase_set_timeout(c, 120);
    tcase_add_test(c, ordinary);
    tcase_add_test(c, bare);
    tcase_add_test(c, digests_by_policy);
    tcase_add_test(c, a_key_that_is_loaded_already);
    tcase_add_test(c, identity_is_the_wish);
    tcase_add_test(c, from_real_clients);
    tcase_add_test(c, piece_by_piece_is_good);
    tcase_add_test(c, attributes_in_any_order);
    tcase_add_test(c, versions);
    tcase_add_test(c, any_version);
    tcase_add_test(c, frames);
    tcase_add_test(c, signatures);
    tcase_add_test(c, keys);
    tcase_add_test(c, subjects);
    tcase_add_test(c, challenges_of_any_string_type);
    tcase_add_loop_test(c, nothing_given_back_holds_the_challenge, 0, 4);
    tcase_add_test(c, challenge_length);
    tcase_add_test(c, two_ways_to_ask);
    tcase_add_test(c, usages_that_no_device_gets);
    tcase_add_test(c, attribute_count);
    tcase_add_test(c, kept_without_its_secret);
    tcase_add_test(c, no_change_of_an_octet_survives);
    tcase_add_test(c, no_change_of_an_attribute_crashes);
    suite_add_tcase(s, c);
    int failed = check_main(s);
    EVP_PKEY_free(rsa_key);
    EVP_PKEY_free(p256_key);
    return failed;
}
