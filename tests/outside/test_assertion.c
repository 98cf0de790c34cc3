/* What an application signs in with, when it has a certificate. */
#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "assertion.h"
#include "check_main.h"
#include "sign.h"

#define NOW INT64_C(1790000000)

static struct err err;
static struct assertion_key key;

static void setup(void)
{
    err_clear(&err);
    key = (struct assertion_key){.key = EVP_RSA_gen(2048), .x5t = "a-_b", .x5t_s256 = "c-_d"};
    ck_assert_ptr_nonnull(key.key);
}

static void teardown(void)
{
    assertion_key_clear(&key);
    ck_assert_ptr_null(key.key);
}

/* RFC 7515 section 2; the octets behind the text are its own. */
static size_t decode(const char *text, size_t n, uint8_t *out)
{
    char padded[2048];
    ck_assert_uint_lt(n + 4, sizeof padded);
    for (size_t i = 0; i < n; i++) {
        ck_assert(text[i] != '+' && text[i] != '/' && text[i] != '=');
        padded[i] = text[i] == '-' ? '+' : text[i] == '_' ? '/' : text[i];
    }
    size_t more = (4 - n % 4) % 4;
    memset(padded + n, '=', more);
    int got = EVP_DecodeBlock(out, (uint8_t *)padded, (int)(n + more));
    ck_assert_int_ge(got, 0);
    return (size_t)got - more;
}

static json_t *part(const char *text, size_t n)
{
    uint8_t json[2048];
    json_error_t why;
    json_t *o = json_loadb((char *)json, decode(text, n, json), 0, &why);
    ck_assert_ptr_nonnull(o);
    return o;
}

START_TEST(signed_claims)
{
    struct buf out = {0};
    uint8_t signature[512];
    EVP_PKEY_CTX *ctx = NULL;
    ck_assert(assertion_make(&key, "me", "https://login/t/oauth2/v2.0/token", NOW, &out, &err));
    const char *text = (const char *)out.p, *first = strchr(text, '.'), *last = strrchr(text, '.');
    ck_assert_uint_eq(strlen(text) + 1, out.n);
    ck_assert(first && last && strchr(first + 1, '.') == last);
    json_t *head = part(text, (size_t)(first - text));
    json_t *claims = part(first + 1, (size_t)(last - first) - 1);
    json_t *wanted = json_pack("{s:s,s:s,s:s,s:s}", "alg", "PS256", "typ", "JWT", "x5t", "a-_b",
                               "x5t#S256", "c-_d");
    ck_assert(json_equal(head, wanted));
    const char *jti = json_string_value(json_object_get(claims, "jti"));
    ck_assert(jti && strlen(jti) == 36);
    json_t *said = json_pack("{s:s,s:s,s:s,s:s,s:I,s:I,s:I}", "aud",
                             "https://login/t/oauth2/v2.0/token", "iss", "me", "sub", "me", "jti",
                             jti, "iat", NOW, "nbf", NOW, "exp", NOW + ASSERTION_LIFE);
    ck_assert(json_equal(claims, said));
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    size_t n = decode(last + 1, strlen(last + 1), signature);
    ck_assert(EVP_DigestVerifyInit(md, &ctx, EVP_sha256(), NULL, key.key) == 1 &&
              EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
              EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) == 1);
    ck_assert_int_eq(
        EVP_DigestVerify(md, signature, n, (const uint8_t *)text, (size_t)(last - text)), 1);
    EVP_MD_CTX_free(md);
    json_decref(head);
    json_decref(claims);
    json_decref(wanted);
    json_decref(said);
    buf_wipe(&out);
}
END_TEST

static char dir[] = "/tmp/assertion-XXXXXX", certificate_file[64], key_file[64];

static void put_file(const char *path, mode_t mode, const void *p, size_t n)
{
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(p, 1, n, f), n);
    ck_assert_int_eq(fclose(f), 0);
    ck_assert_int_eq(chmod(path, mode), 0);
}

static void put_pair(void)
{
    X509 *x = X509_new();
    BIO *certificate = BIO_new(BIO_s_mem()), *secret = BIO_new(BIO_s_mem());
    char *p;
    X509_set_version(x, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    ASN1_TIME_set(X509_getm_notBefore(x), NOW);
    ASN1_TIME_set(X509_getm_notAfter(x), NOW + 1000);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                               (const unsigned char *)"scepd", -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(x));
    X509_set_pubkey(x, key.key);
    ck_assert_int_gt(X509_sign(x, key.key, EVP_sha256()), 0);
    ck_assert_int_eq(PEM_write_bio_X509(certificate, x), 1);
    ck_assert_int_eq(PEM_write_bio_PrivateKey(secret, key.key, NULL, NULL, 0, NULL, NULL), 1);
    long n = BIO_get_mem_data(certificate, &p);
    put_file(certificate_file, 0644, p, (size_t)n);
    n = BIO_get_mem_data(secret, &p);
    put_file(key_file, 0600, p, (size_t)n);
    BIO_free(certificate);
    BIO_free(secret);
    X509_free(x);
}

static void refused(const char *file, const char *why)
{
    struct assertion_key loaded = {.key = NULL};
    err_clear(&err);
    ck_assert(!assertion_key_load(certificate_file, key_file, &loaded, &err));
    ck_assert_int_eq(err.kind, ERR_CONFIG);
    ck_assert_msg(strstr(err.text, file) && strstr(err.text, why), "%s", err.text);
    ck_assert_ptr_null(loaded.key);
}

START_TEST(files)
{
    struct assertion_key loaded = {.key = NULL};
    static char many[2 << 20];
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(certificate_file, sizeof certificate_file, "%s/c.pem", dir);
    snprintf(key_file, sizeof key_file, "%s/k.pem", dir);
    put_pair();
    ck_assert_msg(assertion_key_load(certificate_file, key_file, &loaded, &err), "%s", err.text);
    ck_assert_int_eq(loaded.not_before, NOW);
    ck_assert_int_eq(loaded.not_after, NOW + 1000);
    assertion_key_clear(&loaded);
    put_file(key_file, 0600, many, sizeof many);
    refused("k.pem", "larger");
    put_file(key_file, 0600, "x", 1);
    refused("k.pem", "no private key");
    put_file(certificate_file, 0644, many, sizeof many);
    refused("c.pem", "larger");
    put_file(certificate_file, 0644, "x", 1);
    refused("c.pem", "");
    unlink(key_file);
    put_pair();
    unlink(key_file);
    refused("k.pem", "");
    unlink(certificate_file);
    refused("c.pem", "");
    rmdir(dir);
}
END_TEST

START_TEST(never_the_same)
{
    struct buf a = {0}, b = {0};
    char one[37], other[37];
    ck_assert(assertion_make(&key, "me", "https://x/", NOW, &a, &err));
    ck_assert(assertion_make(&key, "me", "https://x/", NOW, &b, &err));
    ck_assert_str_ne((char *)a.p, (char *)b.p);
    ck_assert(sign_uuid(one) && sign_uuid(other));
    ck_assert_str_ne(one, other);
    /* RFC 9562 section 5.4: version and variant */
    ck_assert(one[14] == '4' && strchr("89ab", one[19]));
    buf_wipe(&a);
    buf_wipe(&b);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("outside/assertion");
    TCase *c = tcase_create("assertion");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, signed_claims);
    tcase_add_test(c, never_the_same);
    tcase_add_test(c, files);
    suite_add_tcase(s, c);
    return check_main(s);
}
