#include <dirent.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "ca/keyfile.h"
#include "ca_fixture.h"
#include "check_main.h"

#define DAY 86400
#define YEAR (365 * DAY)

static struct ca_fixture f;
static struct err err;

static void setup(void)
{
    err = (struct err){0};
    ca_fixture_plan(&f);
}

static void teardown(void)
{
    ca_fixture_clear(&f);
    ck_assert_uint_eq(ERR_peek_error(), 0);
}

static X509 *x509_of(const char *name)
{
    FILE *in = fopen(ca_fixture_path(&f, name), "r");
    ck_assert_msg(in, "%s", name);
    X509 *x = PEM_read_X509(in, NULL, NULL, NULL);
    ck_assert_ptr_nonnull(x);
    fclose(in);
    return x;
}

/* OpenSSL's strictest path validation is the oracle. */
static void verify(const char *leaf, const char *middle, const char *root)
{
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    STACK_OF(X509) *chain = sk_X509_new_null();
    X509 *x = x509_of(leaf), *m = middle ? x509_of(middle) : NULL, *r = x509_of(root);
    ck_assert(X509_STORE_add_cert(store, r) == 1);
    ck_assert(!m || sk_X509_push(chain, m) > 0);
    ck_assert(X509_STORE_CTX_init(ctx, store, x, chain) == 1);
    X509_VERIFY_PARAM *p = X509_STORE_CTX_get0_param(ctx);
    X509_VERIFY_PARAM_set_flags(p, X509_V_FLAG_X509_STRICT | X509_V_FLAG_CHECK_SS_SIGNATURE |
                                       X509_V_FLAG_POLICY_CHECK);
    ck_assert_msg(X509_verify_cert(ctx) == 1, "%s: %s", leaf,
                  X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)));
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    sk_X509_free(chain);
    X509_free(x);
    X509_free(m);
    X509_free(r);
}

static void expect_profile(const char *name, const char *subject, uint32_t usage, long path_len)
{
    char text[256];
    X509 *x = x509_of(name);
    X509_NAME_oneline(X509_get_subject_name(x), text, sizeof text);
    ck_assert_str_eq(text, subject);
    ck_assert_uint_eq(X509_get_key_usage(x), usage);
    ck_assert_int_eq(X509_get_version(x), 2);
    ck_assert_int_eq(X509_get_pathlen(x), path_len);
    ck_assert_uint_eq(X509_get_extended_key_usage(x), UINT32_MAX); /* none */
    const ASN1_INTEGER *serial = X509_get0_serialNumber(x);
    ck_assert_int_eq(ASN1_STRING_length(serial), 16);
    ck_assert_uint_eq(ASN1_STRING_get0_data(serial)[0] & 0xc0, 0x40);
    X509_free(x);
}

static void expect_mode(const char *name, unsigned mode)
{
    struct stat st;
    ck_assert_msg(stat(ca_fixture_path(&f, name), &st) == 0, "%s", name);
    ck_assert_uint_eq(st.st_mode & 07777, mode);
}

static void expect_validity(const char *name, int64_t years)
{
    int days = 0, seconds = 0;
    X509 *x = x509_of(name);
    ck_assert(ASN1_TIME_diff(&days, &seconds, X509_get0_notBefore(x), X509_get0_notAfter(x)));
    ck_assert_int_eq(days, years * 365 + 1); /* back-dated a day */
    ck_assert_int_eq(ASN1_TIME_cmp_time_t(X509_get0_notBefore(x), f.plan.now - DAY), 0);
    X509_free(x);
}

static void load(void)
{
    ck_assert_msg(ca_fixture_load(&f, &err), "%s", err.text);
}

static const uint32_t ca_bits = X509v3_KU_KEY_CERT_SIGN | X509v3_KU_CRL_SIGN;
static const uint32_t ds = X509v3_KU_DIGITAL_SIGNATURE, ke = X509v3_KU_KEY_ENCIPHERMENT;

/* ---- making ---- */

START_TEST(one_ca_and_one_ra)
{
    ca_fixture_init(&f);
    load();
    verify("ca/ra.pem", NULL, "ca/ca.pem");
    expect_profile("ca/ca.pem", "/O=Example/CN=Fixture CA", ca_bits | ds, 0);
    expect_profile("ca/ra.pem", "/O=Example/CN=Fixture CA RA", ds | ke, -1);
    expect_validity("ca/ca.pem", 10);
    expect_validity("ca/ra.pem", 2);
    expect_mode("ca", 0755);
    expect_mode("keys", 0700);
    expect_mode("ca/ca.pem", 0644);
    expect_mode("keys/ca.key", 0600);
    expect_mode("keys/ra.key", 0600);
    ck_assert_uint_eq(temporary_count(&f.dir), 2);
    ck_assert_uint_eq(f.spec->n, 2);
    ck_assert_int_eq(f.authority->key_ca, 0);
    ck_assert_int_eq(f.authority->key_ra, 1);
    ck_assert_uint_eq(f.spec->key[0].uses, SIGNER_CERTIFICATES | SIGNER_CRLS);
    ck_assert_uint_eq(f.spec->key[1].uses, SIGNER_MESSAGES | SIGNER_DECRYPT);
    ck_assert_uint_eq(f.spec->key[0].key_usage, f.device.key_usage);
    ck_assert(eku_has(&f.spec->key[0].eku, EKU_CLIENT_AUTH));
    ck_assert_int_eq(f.spec->key[0].max_validity, f.device.validity + f.device.backdate);
}
END_TEST

START_TEST(root_issuing_ca_and_pair)
{
    const char *pass = ca_fixture_path(&f, "pass");
    char pass_path[384];
    snprintf(pass_path, sizeof pass_path, "%s", pass);
    ck_assert(file_replace(pass_path, view_str("secret words\n"), 0600, &err));
    f.plan.root_key = "p384";
    f.plan.ca_key = "rsa2048";
    f.plan.ca_decrypts = true;
    f.plan.ra_pair = true;
    f.plan.passphrase_file = pass_path;
    ca_fixture_init(&f);
    load();
    static const char *const leaves[] = {"ca/ra.pem", "ca/ra-signing.pem", "ca/ra-encryption.pem"};
    verify("ca/ca.pem", NULL, "ca/root.pem");
    for (size_t i = 0; i < 3; i++)
        verify(leaves[i], "ca/ca.pem", "ca/root.pem");
    expect_profile("ca/root.pem", "/O=Example/CN=Fixture CA Root", ca_bits, -1);
    expect_profile("ca/ca.pem", "/O=Example/CN=Fixture CA", ca_bits | ds | ke, 0);
    expect_profile("ca/ra-signing.pem", "/O=Example/CN=Fixture CA RA Signing", ds, -1);
    expect_profile("ca/ra-encryption.pem", "/O=Example/CN=Fixture CA RA Encryption", ke, -1);
    expect_validity("ca/root.pem", 20);
    expect_mode("keys/root.key", 0600);

    X509 *ca = x509_of("ca/ca.pem"), *root = x509_of("ca/root.pem");
    STACK_OF(OPENSSL_STRING) *ocsp = X509_get1_ocsp(ca);
    ck_assert_ptr_null(ocsp);
    ck_assert_int_ge(X509_get_ext_by_NID(ca, NID_crl_distribution_points, -1), 0);
    ck_assert_int_ge(X509_get_ext_by_NID(ca, NID_info_access, -1), 0);
    ck_assert_int_lt(X509_get_ext_by_NID(root, NID_crl_distribution_points, -1), 0);
    ck_assert_int_lt(X509_get_ext_by_NID(root, NID_info_access, -1), 0);
    ck_assert_int_eq(X509_get_signature_nid(ca), NID_ecdsa_with_SHA384);
    X509_free(ca);
    X509_free(root);

    ck_assert_uint_eq(f.spec->n, 4);
    ck_assert_uint_eq(f.spec->key[0].uses,
                      SIGNER_CERTIFICATES | SIGNER_CRLS | SIGNER_MESSAGES | SIGNER_DECRYPT);
    ck_assert_uint_eq(f.spec->key[2].uses, SIGNER_MESSAGES);
    ck_assert_uint_eq(f.spec->key[3].uses, SIGNER_DECRYPT);
    ck_assert_uint_eq(f.authority->chain_n, 1);
    struct signer *s = NULL;
    ck_assert_msg(signer_local(f.spec, &s, &err), "%s", err.text);
    signer_free(s);
}
END_TEST

START_TEST(every_kind_of_ca_key)
{
    static const char *const kinds[] = {"rsa2048", "rsa3072", "p256", "p384"};
    f.plan.ca_key = kinds[_i];
    ca_fixture_init(&f);
    load();
    verify("ca/ra.pem", NULL, "ca/ca.pem");
    ck_assert_int_eq(f.authority->digest, _i == 3 ? DIGEST_SHA384 : DIGEST_SHA256);
    ck_assert_int_eq(f.authority->sigalg.scheme, _i < 2 ? SIG_RSA_PKCS1 : SIG_ECDSA);
}
END_TEST

START_TEST(no_ra_at_all)
{
    f.plan.ca_key = "rsa2048";
    f.plan.ra_key = NULL;
    f.plan.ca_decrypts = true;
    f.plan.organization = NULL;
    ca_fixture_init(&f);
    load();
    expect_profile("ca/ca.pem", "/CN=Fixture CA", ca_bits | ds | ke, 0);
    int key = -1;
    ck_assert_ptr_eq(authority_reply_signer(f.authority, RA_NONE, &key), f.authority->cert);
    ck_assert_int_eq(key, 0);
    ck_assert_ptr_null(authority_reply_signer(f.authority, RA_SINGLE, &key));
    ck_assert_ptr_null(authority_reply_signer(f.authority, RA_PAIR, &key));
}
END_TEST

START_TEST(validity_ends_with_the_issuer)
{
    f.plan.ca_validity = 30 * DAY;
    f.plan.ra_validity = YEAR;
    ca_fixture_init(&f);
    load();
    ck_assert_int_eq(f.authority->ra->not_after, f.authority->cert->not_after);
    ck_assert_int_eq(f.authority->cert->not_after, f.plan.now + 30 * DAY);
}
END_TEST

static void refuse_init(enum err_kind kind, const char *text)
{
    err = (struct err){0};
    ck_assert(!authority_init(&f.plan, &err));
    ck_assert_msg(err.kind == kind && strstr(err.text, text), "%s: %s", err_kind_name(err.kind),
                  err.text);
}

START_TEST(nothing_is_overwritten)
{
    ca_fixture_init(&f);
    struct buf before = {0}, after = {0};
    ck_assert(file_read(f.files.certificate, &before, &err));
    refuse_init(ERR_EXISTS, "ca/ca.pem is there already");
    ck_assert(unlink(f.files.certificate) == 0);
    refuse_init(ERR_EXISTS, "keys/ca.key is there already");
    ck_assert(file_replace(f.files.certificate, buf_view(&before), 0644, &err));
    f.plan.root_key = "p256";
    refuse_init(ERR_EXISTS, "is there already");
    ck_assert(file_read(f.files.certificate, &after, &err));
    ck_assert(view_eq(buf_view(&before), buf_view(&after)));
    ck_assert_uint_eq(temporary_count(&f.dir), 2);
    buf_clear(&before);
    buf_clear(&after);
}
END_TEST

START_TEST(nothing_is_left_behind)
{
    static char long_name[600];
    memset(long_name, 'x', sizeof long_name - 1);
    f.plan.ra_validity = 4 * YEAR; /* the RA is made after the CA */
    refuse_init(ERR_CONFIG, "C18");
    ck_assert_uint_eq(temporary_count(&f.dir), 0);
    f.plan.ra_validity = 0;
    f.plan.passphrase_file = ca_fixture_path(&f, "none");
    refuse_init(ERR_NOT_FOUND, "passphrase file");
    ck_assert_uint_eq(temporary_count(&f.dir), 0);
    f.plan.passphrase_file = NULL;
    f.plan.name = long_name;
    refuse_init(ERR_CONFIG, "too long");
    long_name[60] = '\0'; /* with " RA" it fits, with " RA Signing" not */
    f.plan.ra_pair = true;
    refuse_init(ERR_CONFIG, "64");
    ck_assert_uint_eq(temporary_count(&f.dir), 0);
    f.plan.name = "bad\nname";
    refuse_init(ERR_CONFIG, "");
    f.plan.name = "Fixture CA";
    f.plan.root_key = "p256";
    f.plan.crl_url = "https://loop.example.org/";
    refuse_init(ERR_CONFIG, "C32");
    ck_assert_uint_eq(temporary_count(&f.dir), 0);
    f.plan.crl_url = NULL;
    f.plan.directory = ca_fixture_path(&f, "a/b");
    refuse_init(ERR_IO, "cannot make the directory");
    ck_assert_uint_eq(temporary_count(&f.dir), 0);
    f.plan.directory = ca_fixture_path(&f, "new");
    f.plan.ca_key = "rsa1024";
    refuse_init(ERR_CONFIG, "unknown kind of key");
    ck_assert_uint_eq(temporary_count(&f.dir), 0); /* nor the directory */
}
END_TEST

START_TEST(unfit_keys)
{
    f.plan.ca_decrypts = true;
    refuse_init(ERR_CONFIG, "cannot decrypt");
    f.plan.ca_decrypts = false;
    f.plan.ra_key = "p256";
    refuse_init(ERR_CONFIG, "needs an RSA key");
    f.plan.ra_key = NULL;
    f.plan.ra_pair = true;
    refuse_init(ERR_CONFIG, "an RA pair");
    ck_assert_uint_eq(temporary_count(&f.dir), 0);
}
END_TEST

/* ---- loading ---- */

static void refuse_load(const char *text)
{
    struct err e = {0};
    size_t before = f.spec->n;
    ck_assert(!ca_fixture_load(&f, &e));
    ck_assert_ptr_null(f.authority);
    ck_assert_uint_eq(f.spec->n, before);
    ck_assert_msg(e.kind == ERR_CONFIG && strstr(e.text, text), "%s: %s", err_kind_name(e.kind),
                  e.text);
}

START_TEST(files_of_the_wrong_kind)
{
    ca_fixture_init(&f);
    const struct authority_files good = f.files;

    f.files.certificate = good.ra_certificate;
    refuse_load("is not a CA certificate");
    f.files = good;
    f.files.certificate = good.key;
    refuse_load("is no certificate");
    f.files = good;
    f.files.certificate = NULL;
    refuse_load("needs a certificate and a key");
    f.files = good;
    f.files.ra_certificate = good.certificate;
    refuse_load("is a CA certificate and cannot be");
    f.files = good;
    f.files.ra_key = NULL;
    refuse_load("set both or neither");
    f.files = good;
    f.files.ra_signing_certificate = good.ra_certificate;
    f.files.ra_signing_key = good.ra_key;
    refuse_load("set both or neither");
    f.files = good;
    f.files.chain[0] = good.ra_certificate;
    f.files.chain_n = 1;
    refuse_load("was not issued by");
    f.files.chain_n = AUTHORITY_MAX_CHAIN + 1;
    refuse_load("a chain of 5");
    f.files = good;
    f.files.ca_decrypts = true;
    refuse_load("not RSA");
    f.files = good;
    f.files.name =
        "a name of more than sixty-three characters, which is more than there is room for";
    refuse_load("longer than 63");
    f.files = good;
    load();
}
END_TEST

/* RFC 8894 section 2.1.2: what clients encrypt to and verify with must be usable for it. */
START_TEST(usage_must_fit_the_shape)
{
    f.plan.ca_key = "rsa2048";
    f.plan.ra_pair = true;
    ca_fixture_init(&f);
    const struct authority_files good = f.files;
    f.files.ca_decrypts = true;
    refuse_load("lacks digitalSignature or keyEncipherment");
    f.files = good;
    f.files.ra_certificate = good.ra_signing_certificate;
    refuse_load("needs the keyUsage digitalSignature and keyEncipherment");
    f.files.ra_certificate = good.ra_encryption_certificate;
    refuse_load("needs the keyUsage digitalSignature and keyEncipherment");
    f.files = good;
    f.files.ra_signing_certificate = good.ra_encryption_certificate;
    refuse_load("needs the keyUsage digitalSignature");
    f.files = good;
    f.files.ra_encryption_certificate = good.ra_signing_certificate;
    refuse_load("needs the keyUsage keyEncipherment");
    f.files = good;
    f.files.digest = "SHA-1";
    refuse_load("cannot be signed with \"SHA-1\"");
    f.files.digest = "SHA-384";
    load();
    ck_assert_int_eq(f.authority->digest, DIGEST_SHA384);
    ck_assert_uint_eq(f.spec->key[1].uses, SIGNER_MESSAGES | SIGNER_DECRYPT);
    ck_assert_uint_eq(f.spec->key[3].uses, SIGNER_DECRYPT);
}
END_TEST

START_TEST(an_ra_of_another_ca)
{
    struct ca_fixture other;
    ca_fixture_plan(&other);
    ca_fixture_init(&other);
    ca_fixture_init(&f); /* the same names, other keys */
    f.files.ra_certificate = other.files.ra_certificate;
    refuse_load("was not issued by");
    ca_fixture_clear(&other);
}
END_TEST

START_TEST(expired)
{
    f.plan.now = time(NULL) - 3 * YEAR; /* the RA lives two years */
    ca_fixture_init(&f);
    refuse_load("ra.pem has expired");
    f.files.ra_certificate = f.files.ra_key = NULL;
    load();
}
END_TEST

START_TEST(not_valid_yet)
{
    f.plan.now = time(NULL) + 30 * DAY;
    ca_fixture_init(&f);
    refuse_load("is the clock right?");
}
END_TEST

START_TEST(specs_of_several_authorities)
{
    ca_fixture_init(&f);
    load();
    authority_free(f.authority);
    load();
    ck_assert_uint_eq(f.spec->n, 4);
    ck_assert_int_eq(f.authority->key_ca, 2);
    ck_assert_int_eq(f.authority->key_ra, 3);
    authority_free(f.authority);
    f.authority = NULL;
    f.spec->n = SIGNER_MAX_KEYS - 1;
    refuse_load("more than 64 keys");
}
END_TEST

/* ---- whom a message names ---- */

static int find(const struct scep_recipient *who)
{
    struct authority_keys keys = {.authority = f.authority};
    struct scep_keys k = authority_scep_keys(&keys);
    return k.find(k.ctx, who);
}

static struct scep_recipient recipient(const struct cert *c)
{
    return (struct scep_recipient){.issuer = c->issuer, .serial = c->serial};
}

START_TEST(recipients)
{
    f.plan.ca_key = "rsa2048";
    f.plan.ca_decrypts = true;
    f.plan.ra_pair = true;
    ca_fixture_init(&f);
    load();
    const struct authority *a = f.authority;
    struct scep_recipient who = recipient(a->ra);
    ck_assert_int_eq(find(&who), a->key_ra);
    who = recipient(a->ra_encryption);
    ck_assert_int_eq(find(&who), a->key_ra_encryption);
    who = recipient(a->ra_signing); /* does not decrypt */
    ck_assert_int_eq(find(&who), -1);
    who = recipient(a->cert);
    ck_assert_int_eq(find(&who), a->key_ca);
    who.serial.n--;
    ck_assert_int_eq(find(&who), -1);
    who = (struct scep_recipient){0};
    ck_assert_int_eq(find(&who), -1);
    who = (struct scep_recipient){.ski = view_of(a->key_id, sizeof a->key_id)};
    ck_assert_int_eq(find(&who), a->key_ca);
    who.ski.n--;
    ck_assert_int_eq(find(&who), -1);

    uint8_t padded[17] = {0};
    memcpy(padded + 1, a->ra->serial.p, 16);
    who = recipient(a->ra);
    who.serial = view_of(padded, sizeof padded);
    ck_assert_int_eq(find(&who), a->key_ra);

    f.authority->ca_decrypts = false;
    who = recipient(a->cert);
    ck_assert_int_eq(find(&who), -1);
}
END_TEST

/* RFC 5280 section 7.1: string type and case do not make another name. */
START_TEST(names_written_otherwise)
{
    ca_fixture_init(&f);
    load();
    struct scep_recipient who = recipient(f.authority->ra);
    X509_NAME *name = X509_NAME_new();
    uint8_t *der = NULL;
    X509_NAME_add_entry_by_txt(name, "O", V_ASN1_PRINTABLESTRING, (const uint8_t *)"EXAMPLE", -1,
                               -1, 0);
    X509_NAME_add_entry_by_txt(name, "CN", V_ASN1_PRINTABLESTRING, (const uint8_t *)"fixture  ca",
                               -1, -1, 0);
    int n = i2d_X509_NAME(name, &der);
    who.issuer = view_of(der, (size_t)n);
    ck_assert_int_eq(find(&who), f.authority->key_ra);
    who.issuer.n--;
    ck_assert_int_eq(find(&who), -1);
    X509_NAME_add_entry_by_txt(name, "CN", V_ASN1_PRINTABLESTRING, (const uint8_t *)"x", -1, -1, 0);
    OPENSSL_free(der);
    der = NULL;
    n = i2d_X509_NAME(name, &der);
    who.issuer = view_of(der, (size_t)n);
    ck_assert_int_eq(find(&who), -1);
    OPENSSL_free(der);
    X509_NAME_free(name);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("ca/authority");
    TCase *c = tcase_create("authority");
    tcase_set_timeout(c, 120);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, one_ca_and_one_ra);
    tcase_add_test(c, root_issuing_ca_and_pair);
    tcase_add_loop_test(c, every_kind_of_ca_key, 0, 4);
    tcase_add_test(c, no_ra_at_all);
    tcase_add_test(c, validity_ends_with_the_issuer);
    tcase_add_test(c, nothing_is_overwritten);
    tcase_add_test(c, nothing_is_left_behind);
    tcase_add_test(c, unfit_keys);
    tcase_add_test(c, files_of_the_wrong_kind);
    tcase_add_test(c, usage_must_fit_the_shape);
    tcase_add_test(c, an_ra_of_another_ca);
    tcase_add_test(c, expired);
    tcase_add_test(c, not_valid_yet);
    tcase_add_test(c, specs_of_several_authorities);
    tcase_add_test(c, recipients);
    tcase_add_test(c, names_written_otherwise);
    suite_add_tcase(s, c);
    return check_main(s);
}
