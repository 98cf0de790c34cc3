#include "ca/outside.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/pkcs7.h>
#include <openssl/provider.h>
#include <openssl/x509v3.h>

#include "ca/keyfile.h"
#include "ca_fixture.h"
#include "check_main.h"
#include "forge.h"
#include "wish.h"

#define PASS "correct horse"
#define DAY 86400

static struct err err;
static struct ca_fixture ca; /* with a root above */
static struct bundle bundle;
static EVP_PKEY *key;

static void setup(void)
{
    err = (struct err){0};
    ca_fixture_plan(&ca);
    ca.plan.root_key = "p256";
    ca.plan.ca_key = "rsa2048";
    ca_fixture_init(&ca);
    ck_assert_msg(key_load(ca.files.key, NULL, &key, &err), "%s", err.text);
}

static void teardown(void)
{
    bundle_clear(&bundle);
    EVP_PKEY_free(key);
    key = NULL;
    ca_fixture_clear(&ca);
    ck_assert_uint_eq(ERR_peek_error(), 0);
}

static struct buf read_whole(const char *path)
{
    struct buf b = {0};
    ck_assert_msg(file_read(path, &b, &err), "%s", err.text);
    return b;
}

static void add_file(const char *path)
{
    struct buf b = read_whole(path);
    ck_assert_msg(bundle_read(buf_view(&b), view_str(""), path, &bundle, &err), "%s", err.text);
    buf_clear(&b);
}

static void add_bytes(BIO *bio, const char *passphrase)
{
    char *p;
    long n = BIO_get_mem_data(bio, &p);
    ck_assert_msg(bundle_read(view_of(p, (size_t)n), view_str(passphrase), "bytes", &bundle, &err),
                  "%s", err.text);
    BIO_free(bio);
}

static X509 *x509_of(const char *path)
{
    BIO *bio = BIO_new_file(path, "r");
    X509 *x = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    ck_assert_ptr_nonnull(x);
    BIO_free(bio);
    return x;
}

static const char *root_path(void)
{
    return ca.files.chain[0];
}

/* ---- the request ---- */

static X509_REQ *request(bool decrypts)
{
    struct cert *c = NULL;
    struct buf file = read_whole(ca.files.certificate), pem = {0};
    ck_assert(cert_parse_any(buf_view(&file), &c, &err));
    struct outside_request r = {key, c->subject, decrypts};
    ck_assert_msg(outside_request_build(&r, &pem, &err), "%s", err.text);
    BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
    X509_REQ *req = PEM_read_bio_X509_REQ(bio, NULL, NULL, NULL);
    ck_assert_ptr_nonnull(req);
    BIO_free(bio);
    cert_free(c);
    buf_clear(&file);
    buf_clear(&pem);
    return req;
}

START_TEST(request_asks_for_a_ca)
{
    for (int decrypts = 0; decrypts < 2; decrypts++) {
        X509_REQ *req = request(decrypts);
        X509 *x = x509_of(ca.files.certificate);
        ck_assert_int_eq(X509_REQ_verify(req, key), 1);
        ck_assert_int_eq(X509_NAME_cmp(X509_REQ_get_subject_name(req), X509_get_subject_name(x)),
                         0);
        STACK_OF(X509_EXTENSION) *all = X509_REQ_get_extensions(req);
        int critical;
        BASIC_CONSTRAINTS *bc = X509V3_get_d2i(all, NID_basic_constraints, &critical, NULL);
        ck_assert(bc && bc->ca && critical == 1 && ASN1_INTEGER_get(bc->pathlen) == 0);
        ASN1_BIT_STRING *usage = X509V3_get_d2i(all, NID_key_usage, &critical, NULL);
        ck_assert(usage && critical == 1);
        ck_assert(ASN1_BIT_STRING_get_bit(usage, 0) && ASN1_BIT_STRING_get_bit(usage, 5) &&
                  ASN1_BIT_STRING_get_bit(usage, 6));
        ck_assert_int_eq(ASN1_BIT_STRING_get_bit(usage, 2), decrypts);
        ASN1_OCTET_STRING *ski = X509V3_get_d2i(all, NID_subject_key_identifier, NULL, NULL);
        ck_assert(ski && ASN1_OCTET_STRING_cmp(ski, X509_get0_subject_key_id(x)) == 0);
        ASN1_OCTET_STRING_free(ski);
        ASN1_BIT_STRING_free(usage);
        BASIC_CONSTRAINTS_free(bc);
        sk_X509_EXTENSION_pop_free(all, X509_EXTENSION_free);
        X509_free(x);
        X509_REQ_free(req);
    }
}
END_TEST

/* ---- chains ---- */

static void chain_fails(int64_t now, const char *text)
{
    struct issued_chain c = {0};
    ck_assert(!bundle_chain(&bundle, key, now, &c, &err));
    ck_assert_int_eq(err.kind, ERR_CONFIG);
    ck_assert_msg(strstr(err.text, text) != NULL, "%s", err.text);
    err = (struct err){0};
}

START_TEST(chain_in_any_order)
{
    for (int root_first = 0; root_first < 2; root_first++) {
        struct issued_chain c;
        struct buf pem = {0};
        add_file(root_first ? root_path() : ca.files.certificate);
        add_file(ca.files.ra_certificate); /* of no use, and no harm */
        add_file(root_first ? ca.files.certificate : root_path());
        ck_assert_msg(bundle_chain(&bundle, key, ca.plan.now, &c, &err), "%s", err.text);
        ck_assert_uint_eq(c.n, 1);
        ck_assert_ptr_eq(c.ca, bundle.cert[root_first ? 2 : 0]);
        ck_assert_ptr_eq(c.above[0], bundle.cert[root_first ? 0 : 2]);
        ck_assert(issued_chain_pem(&c, &pem, &err));
        struct buf file = read_whole(root_path());
        ck_assert(view_eq(buf_view(&pem), buf_view(&file)));
        buf_clear(&file);
        buf_clear(&pem);
        bundle_clear(&bundle);
    }
}
END_TEST

START_TEST(a_root_has_no_issuers)
{
    struct issued_chain c;
    EVP_PKEY_free(key);
    key = NULL;
    ck_assert(key_load(ca_fixture_path(&ca, "keys/root.key"), NULL, &key, &err));
    add_file(root_path());
    ck_assert_msg(bundle_chain(&bundle, key, ca.plan.now, &c, &err), "%s", err.text);
    ck_assert_uint_eq(c.n, 0);
}
END_TEST

START_TEST(chain_refused)
{
    add_file(root_path());
    chain_fails(ca.plan.now, "none of the 1 certificates belongs");
    bundle_clear(&bundle);
    add_file(ca.files.certificate);
    chain_fails(ca.plan.now, "the chain is not complete: the certificate of");
    add_file(root_path());
    chain_fails(ca.plan.now + 11 * 365 * (int64_t)DAY, "has expired on");
    chain_fails(ca.plan.now - 100 * (int64_t)DAY, "is valid from");
    bundle_clear(&bundle);
    EVP_PKEY_free(key);
    key = NULL;
    ck_assert(key_load(ca.files.ra_key, NULL, &key, &err));
    add_file(ca.files.ra_certificate);
    add_file(ca.files.certificate);
    add_file(root_path());
    chain_fails(ca.plan.now, "is no CA certificate");
}
END_TEST

/* A root that is wrong in one way, above an authority that is sound. */
static void forged_root(const char *oid, const char *critical, const char *value, const char *text)
{
    struct forge root, below;
    forge_init(&root, ROLE_ROOT, "p256", NULL, ca.plan.now);
    forge_extension(&root, oid, critical, value);
    struct cert *r = forge_certificate(&root, wish_key("p256"), NULL);
    forge_init(&below, ROLE_ISSUING_CA, "p256", r, ca.plan.now);
    unsigned char *spki = NULL;
    int n = i2d_PUBKEY(key, &spki);
    buf_reset(&below.spki);
    ck_assert(buf_append(&below.spki, spki, (size_t)n));
    OPENSSL_free(spki);
    struct cert *b = forge_certificate(&below, wish_key("p256"), NULL);
    bundle.cert[0] = b;
    bundle.cert[1] = r;
    bundle.n = 2;
    if (text) {
        chain_fails(ca.plan.now, text);
    } else {
        struct issued_chain c;
        ck_assert_msg(bundle_chain(&bundle, key, ca.plan.now, &c, &err), "%s", err.text);
    }
    bundle_clear(&bundle);
    forge_clear(&root);
    forge_clear(&below);
}

START_TEST(root_refused)
{
    forged_root("2.5.29.19", "0101ff", "30030101ff", NULL);
    forged_root("2.5.29.19", "0101ff", "30060101ff020101", NULL); /* pathlen 1 */
    forged_root("2.5.29.19", "0101ff", "30060101ff020100", "allows 0 CAs below it");
    forged_root("2.5.29.19", "0101ff", "3000", "is no CA certificate");
    forged_root("2.5.29.15", "0101ff", "03020780", "may not sign certificates (");
}
END_TEST

/* ---- forms ---- */

static BIO *memory(void)
{
    BIO *bio = BIO_new(BIO_s_mem());
    ck_assert_ptr_nonnull(bio);
    return bio;
}

static void has_all(size_t certificates)
{
    ck_assert(!bundle.locked);
    ck_assert_ptr_nonnull(bundle.key);
    ck_assert_int_eq(EVP_PKEY_eq(bundle.key, key), 1);
    ck_assert_uint_eq(bundle.n, certificates);
    bundle_clear(&bundle);
}

static void is_locked(BIO *bio, const char *passphrase)
{
    add_bytes(bio, passphrase);
    ck_assert(bundle.locked);
    ck_assert_ptr_null(bundle.key);
    bundle_clear(&bundle);
}

static BIO *pkcs12(int key_nid, int cert_nid)
{
    X509 *own = x509_of(ca.files.certificate), *root = x509_of(root_path());
    STACK_OF(X509) *others = sk_X509_new_null();
    sk_X509_push(others, root);
    PKCS12 *p12 = PKCS12_create(PASS, "ca", key, own, others, key_nid, cert_nid, 1000, 1000, 0);
    ck_assert_ptr_nonnull(p12);
    BIO *bio = memory();
    ck_assert_int_eq(i2d_PKCS12_bio(bio, p12), 1);
    PKCS12_free(p12);
    sk_X509_free(others);
    X509_free(own);
    X509_free(root);
    return bio;
}

START_TEST(pkcs12_opened)
{
    OSSL_PROVIDER *legacy = NULL;
    add_bytes(pkcs12(0, 0), PASS);
    has_all(2);
    is_locked(pkcs12(0, 0), "wrong");
    is_locked(pkcs12(0, 0), "");
    add_bytes(pkcs12(NID_pbe_WithSHA1And3_Key_TripleDES_CBC, 0), PASS);
    has_all(2);
    ck_assert(cipher_legacy_load(&legacy, &err));
    BIO *old = pkcs12(NID_pbe_WithSHA1And3_Key_TripleDES_CBC, NID_pbe_WithSHA1And40BitRC2_CBC);
    OSSL_PROVIDER_unload(legacy);
    add_bytes(old, PASS);
    has_all(2);
}
END_TEST

START_TEST(keys_of_every_form)
{
    const EVP_CIPHER *aes = EVP_aes_256_cbc();
    struct {
        BIO *bio;
        bool encrypted;
    } form[7];
    for (size_t i = 0; i < 7; i++)
        form[i].bio = memory();
    ck_assert(PEM_write_bio_PKCS8PrivateKey(form[0].bio, key, NULL, NULL, 0, NULL, NULL));
    ck_assert(PEM_write_bio_PrivateKey_traditional(form[1].bio, key, NULL, NULL, 0, NULL, NULL));
    ck_assert(i2d_PrivateKey_bio(form[2].bio, key));
    ck_assert(i2d_PKCS8PrivateKey_bio(form[3].bio, key, NULL, NULL, 0, NULL, NULL));
    ck_assert(
        PEM_write_bio_PKCS8PrivateKey(form[4].bio, key, aes, PASS, sizeof PASS - 1, NULL, NULL));
    ck_assert(PEM_write_bio_PrivateKey_traditional(
        form[5].bio, key, aes, (const unsigned char *)PASS, sizeof PASS - 1, NULL, NULL));
    ck_assert(i2d_PKCS8PrivateKey_bio(form[6].bio, key, aes, PASS, sizeof PASS - 1, NULL, NULL));
    for (size_t i = 0; i < 7; i++) {
        if (i >= 4) {
            BIO_up_ref(form[i].bio);
            is_locked(form[i].bio, "wrong");
            BIO_up_ref(form[i].bio);
            is_locked(form[i].bio, "");
        }
        add_bytes(form[i].bio, PASS);
        has_all(0);
    }
}
END_TEST

START_TEST(pkcs7_in_both_forms)
{
    for (int pem = 0; pem < 2; pem++) {
        X509 *own = x509_of(ca.files.certificate), *root = x509_of(root_path());
        PKCS7 *p7 = PKCS7_new();
        ck_assert(PKCS7_set_type(p7, NID_pkcs7_signed) && PKCS7_content_new(p7, NID_pkcs7_data) &&
                  PKCS7_add_certificate(p7, root) && PKCS7_add_certificate(p7, own));
        X509_free(own);
        X509_free(root);
        BIO *bio = memory();
        ck_assert_int_eq(pem ? PEM_write_bio_PKCS7(bio, p7) : i2d_PKCS7_bio(bio, p7), 1);
        PKCS7_free(p7);
        add_bytes(bio, "");
        struct issued_chain c;
        ck_assert_msg(bundle_chain(&bundle, key, ca.plan.now, &c, &err), "%s", err.text);
        ck_assert_uint_eq(c.n, 1);
        bundle_clear(&bundle);
    }
}
END_TEST

START_TEST(one_pem_with_everything)
{
    const char *files[] = {root_path(), ca.files.key, ca.files.certificate, root_path()};
    struct buf all = {0};
    ck_assert(buf_append_str(&all, "Bag Attributes: none\n"));
    for (size_t i = 0; i < 4; i++) {
        struct buf one = read_whole(files[i]);
        ck_assert(buf_append(&all, one.p, one.n));
        buf_clear(&one);
    }
    ck_assert(bundle_read(buf_view(&all), view_str(""), "all", &bundle, &err));
    buf_clear(&all);
    has_all(2); /* the root once */
}
END_TEST

START_TEST(nothing_and_damage)
{
    static const char *const nothing[] = {"",
                                          "x",
                                          "0",
                                          "-----BEGIN",
                                          "-----BEGIN X-----\nAAAA\n-----END X-----\n",
                                          "-----BEGIN CERTIFICATE-----\nAA"};
    for (size_t i = 0; i < sizeof nothing / sizeof nothing[0]; i++) {
        ck_assert(!bundle_read(view_str(nothing[i]), view_str(""), "it", &bundle, &err));
        ck_assert_int_eq(err.kind, ERR_NOT_FOUND);
        ck_assert_str_eq(err.text, "it holds neither certificate nor key");
        err = (struct err){0};
    }
    const char *bad = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    ck_assert(!bundle_read(view_str(bad), view_str(""), "it", &bundle, &err));
    ck_assert_int_eq(err.kind, ERR_CONFIG);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("outside");
    TCase *c = tcase_create("outside");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, request_asks_for_a_ca);
    tcase_add_test(c, chain_in_any_order);
    tcase_add_test(c, a_root_has_no_issuers);
    tcase_add_test(c, chain_refused);
    tcase_add_test(c, root_refused);
    tcase_add_test(c, pkcs12_opened);
    tcase_add_test(c, keys_of_every_form);
    tcase_add_test(c, pkcs7_in_both_forms);
    tcase_add_test(c, one_pem_with_everything);
    tcase_add_test(c, nothing_and_damage);
    tcase_add_unchecked_fixture(c, wish_keys_make, wish_keys_free);
    suite_add_tcase(s, c);
    return check_main(s);
}
