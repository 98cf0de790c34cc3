/* A SCEP client made of OpenSSL's CMS alone: nothing of pkcs7/ is linked, so
 * that writer and reader of the daemon are judged by a stranger.
 * test_openssl_client.py drives it.
 *
 *   cms_client request NAME=VALUE...   a pkiMessage to the file out=
 *   cms_client reply NAME=VALUE...     judges the CertRep in the file in=, says
 * what it holds */
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/cms.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs7.h>
#include <openssl/provider.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#define OID_MESSAGE_TYPE "2.16.840.1.113733.1.9.2"
#define OID_PKI_STATUS "2.16.840.1.113733.1.9.3"
#define OID_FAIL_INFO "2.16.840.1.113733.1.9.4"
#define OID_SENDER_NONCE "2.16.840.1.113733.1.9.5"
#define OID_RECIPIENT_NONCE "2.16.840.1.113733.1.9.6"
#define OID_TRANSACTION_ID "2.16.840.1.113733.1.9.7"
#define OID_FAIL_TEXT "1.3.6.1.5.5.7.24.1"
#define OID_MS_ERROR "1.3.6.1.4.1.311.21.33"

static __attribute__((noreturn, format(printf, 1, 2))) void die(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    ERR_print_errors_fp(stderr);
    exit(1);
}

/* ---- arguments: NAME=VALUE ---- */

static char **arguments;

static const char *next_option(char **from, const char *name, char ***at)
{
    size_t n = strlen(name);
    for (char **a = from; *a; a++) {
        if (strncmp(*a, name, n) == 0 && (*a)[n] == '=') {
            *at = a;
            return *a + n + 1;
        }
    }
    return NULL;
}

static const char *option(const char *name, const char *otherwise)
{
    char **at;
    const char *value = next_option(arguments, name, &at);
    return value ? value : otherwise;
}

static const char *needed(const char *name)
{
    const char *value = option(name, NULL);
    if (!value)
        die("%s= is missing", name);
    return value;
}

static bool is(const char *name, const char *value)
{
    return strcmp(option(name, ""), value) == 0;
}

/* ---- files ---- */

static BIO *open_file(const char *path, const char *mode)
{
    BIO *bio = BIO_new_file(path, mode);
    if (!bio)
        die("cannot open %s", path);
    return bio;
}

static STACK_OF(X509) * read_certs(const char *path)
{
    BIO *bio = open_file(path, "r");
    STACK_OF(X509) *certs = sk_X509_new_null();
    for (X509 *x; (x = PEM_read_bio_X509(bio, NULL, NULL, NULL));)
        sk_X509_push(certs, x);
    ERR_clear_error();
    BIO_free(bio);
    if (sk_X509_num(certs) == 0)
        die("no certificate in %s", path);
    return certs;
}

static X509 *read_cert(const char *path)
{
    return sk_X509_value(read_certs(path), 0);
}

static EVP_PKEY *read_key(const char *path)
{
    BIO *bio = open_file(path, "r");
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    BIO_free(bio);
    if (!key)
        die("no key in %s", path);
    return key;
}

static BIO *read_file(const char *path)
{
    BIO *file = open_file(path, "rb"), *out = BIO_new(BIO_s_mem());
    char buf[4096];
    for (int n; (n = BIO_read(file, buf, sizeof buf)) > 0;)
        BIO_write(out, buf, n);
    BIO_free(file);
    return out;
}

/* ---- request: what is inside ---- */

static BIO *memory_of(unsigned char *der, int n)
{
    BIO *bio = BIO_new(BIO_s_mem());
    if (n <= 0 || BIO_write(bio, der, n) != n)
        die("cannot encode");
    OPENSSL_free(der);
    return bio;
}

static ASN1_TYPE *name_value(const X509_NAME *name)
{
    unsigned char *der = NULL;
    int n = i2d_X509_NAME(name, &der);
    ASN1_STRING *s = ASN1_STRING_type_new(V_ASN1_SEQUENCE);
    ASN1_TYPE *t = ASN1_TYPE_new();
    ASN1_STRING_set0(s, der, n);
    ASN1_TYPE_set(t, V_ASN1_SEQUENCE, s);
    return t;
}

/* RFC 8894 section 3.3.3 */
static BIO *issuer_and_subject(X509 *issuer, X509 *subject)
{
    unsigned char *der = NULL;
    ASN1_SEQUENCE_ANY *pair = sk_ASN1_TYPE_new_null();
    sk_ASN1_TYPE_push(pair, name_value(X509_get_subject_name(issuer)));
    sk_ASN1_TYPE_push(pair, name_value(X509_get_subject_name(subject)));
    int n = i2d_ASN1_SEQUENCE_ANY(pair, &der);
    return memory_of(der, n);
}

/* RFC 8894 section 3.3.4 */
static BIO *issuer_and_serial(X509 *issuer, X509 *of)
{
    unsigned char *der = NULL;
    PKCS7_ISSUER_AND_SERIAL *v = PKCS7_ISSUER_AND_SERIAL_new();
    X509_NAME_set(&v->issuer, X509_get_subject_name(issuer));
    v->serial = ASN1_INTEGER_dup(X509_get0_serialNumber(of));
    int n = i2d_PKCS7_ISSUER_AND_SERIAL(v, &der);
    return memory_of(der, n);
}

static BIO *request_content(void)
{
    if (is("content", "poll"))
        return issuer_and_subject(read_cert(needed("issuer")), read_cert(needed("subject")));
    if (is("content", "serial"))
        return issuer_and_serial(read_cert(needed("issuer")), read_cert(needed("subject")));
    return read_file(needed("content"));
}

/* ---- request: the two layers ---- */

static unsigned stream_flag(const char *layer)
{
    return is(layer, "ber") ? CMS_STREAM : 0;
}

/* CMS_STREAM writes indefinite lengths and OCTET STRINGs in pieces. */
static BIO *finish(CMS_ContentInfo *cms, BIO *in, unsigned stream)
{
    BIO *out = BIO_new(BIO_s_mem());
    bool ok = stream ? i2d_CMS_bio_stream(out, cms, in, CMS_STREAM | CMS_BINARY) == 1
                     : CMS_final(cms, in, NULL, CMS_BINARY) == 1 && i2d_CMS_bio(out, cms) == 1;
    if (!ok)
        die("cannot finish a message");
    return out;
}

static void use_oaep(CMS_RecipientInfo *ri)
{
    EVP_PKEY_CTX *c = CMS_RecipientInfo_get0_pkey_ctx(ri);
    const char *hash = needed("oaep");
    if (!c || EVP_PKEY_CTX_set_rsa_padding(c, RSA_PKCS1_OAEP_PADDING) <= 0 ||
        EVP_PKEY_CTX_set_rsa_oaep_md_name(c, hash, NULL) <= 0 ||
        EVP_PKEY_CTX_set_rsa_mgf1_md_name(c, option("mgf", hash), NULL) <= 0)
        die("no OAEP with %s", hash);
}

static BIO *envelope(BIO *content)
{
    const EVP_CIPHER *cipher = EVP_get_cipherbyname(option("cipher", "AES-128-CBC"));
    unsigned stream = stream_flag("envelope");
    CMS_ContentInfo *cms =
        cipher ? CMS_encrypt(NULL, content, cipher, CMS_BINARY | CMS_PARTIAL | stream) : NULL;
    if (!cms)
        die("cannot encrypt");
    bool oaep = option("oaep", NULL) != NULL;
    unsigned flags = (oaep ? CMS_KEY_PARAM : 0) | (is("recipient-by", "key") ? CMS_USE_KEYID : 0);
    STACK_OF(X509) *recipients = read_certs(needed("recipients"));
    for (int i = 0; i < sk_X509_num(recipients); i++) {
        CMS_RecipientInfo *ri = CMS_add1_recipient_cert(cms, sk_X509_value(recipients, i), flags);
        if (!ri)
            die("cannot encrypt to a recipient");
        if (oaep)
            use_oaep(ri);
    }
    return finish(cms, content, stream);
}

static void add(CMS_SignerInfo *si, const char *oid, int type, const char *value)
{
    long n = (long)strlen(value);
    unsigned char *octets = NULL;
    if (type != V_ASN1_PRINTABLESTRING)
        octets = OPENSSL_hexstr2buf(value, &n);
    if (CMS_signed_add1_attr_by_txt(
            si, oid, type, octets ? (void *)octets : (void *)(uintptr_t)value, (int)n) != 1)
        die("cannot add attribute %s", oid);
    OPENSSL_free(octets);
}

/* attribute=OID:HEX, a SEQUENCE or an OCTET STRING as its first octet says. */
static void add_others(CMS_SignerInfo *si)
{
    char **at = arguments;
    for (const char *v; (v = next_option(at, "attribute", &at)); at++) {
        char oid[64];
        const char *hex = strchr(v, ':');
        if (!hex || (size_t)(hex - v) >= sizeof oid)
            die("attribute=OID:HEX");
        snprintf(oid, sizeof oid, "%.*s", (int)(hex - v), v);
        bool sequence = strncmp(hex + 1, "30", 2) == 0;
        add(si, oid, sequence ? V_ASN1_SEQUENCE : V_ASN1_OCTET_STRING, hex + 1);
    }
}

static void use_pss(CMS_SignerInfo *si)
{
    EVP_PKEY_CTX *c = CMS_SignerInfo_get0_pkey_ctx(si);
    if (!c || EVP_PKEY_CTX_set_rsa_padding(c, RSA_PKCS1_PSS_PADDING) <= 0 ||
        EVP_PKEY_CTX_set_rsa_pss_saltlen(c, RSA_PSS_SALTLEN_DIGEST) <= 0)
        die("no PSS");
}

/* sha512WithRSAEncryption and its like, in place of rsaEncryption. */
static void use_full_algorithm(CMS_SignerInfo *si, const EVP_MD *md)
{
    X509_ALGOR *sig;
    int nid;
    CMS_SignerInfo_get0_algs(si, NULL, NULL, NULL, &sig);
    if (!OBJ_find_sigid_by_algs(&nid, EVP_MD_get_type(md), NID_rsaEncryption) ||
        !X509_ALGOR_set0(sig, OBJ_nid2obj(nid), V_ASN1_NULL, NULL))
        die("no name for the signature algorithm");
}

/* The content once more as DER, whatever it was written as. */
static BIO *as_der(BIO *content)
{
    unsigned char *bytes, *der = NULL;
    long n = BIO_get_mem_data(content, (char **)&bytes);
    const unsigned char *p = bytes;
    CMS_ContentInfo *cms = d2i_CMS_ContentInfo(NULL, &p, n);
    int m = cms ? i2d_CMS_ContentInfo(cms, &der) : -1;
    CMS_ContentInfo_free(cms);
    return memory_of(der, m);
}

/* The content as the OCTET STRING that it stands in. */
static BIO *as_octet_string(BIO *content)
{
    unsigned char *bytes, *der = NULL;
    long n = BIO_get_mem_data(content, (char **)&bytes);
    ASN1_OCTET_STRING *s = ASN1_OCTET_STRING_new();
    ASN1_OCTET_STRING_set(s, bytes, (int)n);
    int m = i2d_ASN1_OCTET_STRING(s, &der);
    ASN1_OCTET_STRING_free(s);
    return memory_of(der, m);
}

/* CMS_SignerInfo_sign signs only once. */
static void sign_again(CMS_SignerInfo *si, const EVP_MD *md)
{
    ASN1_SEQUENCE_ANY *all = sk_ASN1_TYPE_new_null();
    unsigned char *set = NULL, signature[1024];
    size_t n = sizeof signature;
    for (int i = 0; i < CMS_signed_get_attr_count(si); i++) {
        unsigned char *der = NULL;
        int size = i2d_X509_ATTRIBUTE(CMS_signed_get_attr(si, i), &der);
        ASN1_STRING *raw = ASN1_STRING_type_new(V_ASN1_SEQUENCE);
        ASN1_TYPE *t = ASN1_TYPE_new();
        ASN1_STRING_set0(raw, der, size);
        ASN1_TYPE_set(t, V_ASN1_SEQUENCE, raw);
        sk_ASN1_TYPE_push(all, t);
    }
    int size = i2d_ASN1_SET_ANY(all, &set);
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    if (size <= 0 || EVP_DigestSignInit(c, NULL, md, NULL, read_key(needed("key"))) != 1 ||
        EVP_DigestSign(c, signature, &n, set, (size_t)size) != 1 ||
        !ASN1_STRING_set(CMS_SignerInfo_get0_signature(si), signature, (int)n))
        die("cannot sign again");
    EVP_MD_CTX_free(c);
    OPENSSL_free(set);
}

/* messageDigest as Google's connector computes it, or over nothing of the
 * message at all; signed again. */
static void change_digest(CMS_ContentInfo *cms, BIO *content, const EVP_MD *md)
{
    CMS_SignerInfo *si = sk_CMS_SignerInfo_value(CMS_get0_SignerInfos(cms), 0);
    BIO *over = is("message-digest", "octet-string") ? as_octet_string(content)
                : is("message-digest", "der")        ? as_der(content)
                                                     : BIO_new_mem_buf("something else", -1);
    unsigned char digest[EVP_MAX_MD_SIZE], *bytes;
    unsigned n = 0;
    long size = BIO_get_mem_data(over, (char **)&bytes);
    int at = CMS_signed_get_attr_by_NID(si, NID_pkcs9_messageDigest, -1);
    if (at < 0 || EVP_Digest(bytes, (size_t)size, digest, &n, md, NULL) != 1)
        die("no messageDigest to change");
    X509_ATTRIBUTE_free(CMS_signed_delete_attr(si, at));
    if (CMS_signed_add1_attr_by_NID(si, NID_pkcs9_messageDigest, V_ASN1_OCTET_STRING, digest,
                                    (int)n) != 1)
        die("cannot add messageDigest");
    sign_again(si, md);
    BIO_free(over);
}

static BIO *finish_oddly(CMS_ContentInfo *cms, BIO *content, const EVP_MD *md)
{
    char *bytes;
    long n = BIO_get_mem_data(content, &bytes);
    BIO *copy = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem()); /* signing empties `content` */
    BIO_write(copy, bytes, (int)n);
    if (CMS_final(cms, content, NULL, CMS_BINARY) != 1)
        die("cannot finish a message");
    change_digest(cms, copy, md);
    if (i2d_CMS_bio(out, cms) != 1)
        die("cannot write a message");
    BIO_free(copy);
    return out;
}

static BIO *signed_message(BIO *content)
{
    const EVP_MD *md = EVP_get_digestbyname(option("digest", "SHA256"));
    unsigned stream = stream_flag("signed");
    bool pss = is("signature", "pss");
    CMS_ContentInfo *cms = CMS_sign(NULL, NULL, NULL, content, CMS_BINARY | CMS_PARTIAL | stream);
    CMS_SignerInfo *si = NULL;
    if (cms && md)
        si = CMS_add1_signer(cms, read_cert(needed("cert")), read_key(needed("key")), md,
                             CMS_BINARY | CMS_NOSMIMECAP | (pss ? CMS_KEY_PARAM : 0) |
                                 (is("signer-by", "key") ? CMS_USE_KEYID : 0));
    if (!si)
        die("cannot sign");
    if (pss)
        use_pss(si);
    if (is("signature", "full"))
        use_full_algorithm(si, md);
    add(si, OID_TRANSACTION_ID, V_ASN1_PRINTABLESTRING, needed("transaction"));
    add(si, OID_MESSAGE_TYPE, V_ASN1_PRINTABLESTRING, option("type", "19"));
    add(si, OID_SENDER_NONCE, V_ASN1_OCTET_STRING, needed("nonce"));
    add_others(si);
    if (option("more-certs", NULL)) {
        STACK_OF(X509) *more = read_certs(needed("more-certs"));
        for (int i = 0; i < sk_X509_num(more); i++)
            CMS_add1_cert(cms, sk_X509_value(more, i));
    }
    if (option("message-digest", NULL))
        return finish_oddly(cms, content, md);
    return finish(cms, content, stream);
}

static void make_request(void)
{
    BIO *message = signed_message(envelope(request_content()));
    BIO *out = open_file(needed("out"), "wb");
    char *bytes;
    long n = BIO_get_mem_data(message, &bytes);
    if (BIO_write(out, bytes, (int)n) != n)
        die("cannot write");
    BIO_free(out);
}

/* ---- reply ---- */

/* One whole ContentInfo, which must be DER: what OpenSSL would write. */
static CMS_ContentInfo *decode(BIO *in, const char *what)
{
    unsigned char *bytes, *again = NULL;
    long n = BIO_get_mem_data(in, (char **)&bytes);
    const unsigned char *p = bytes;
    CMS_ContentInfo *cms = d2i_CMS_ContentInfo(NULL, &p, n);
    if (!cms)
        die("%s cannot be decoded", what);
    if (p != bytes + n)
        die("%s has %ld octets after its end", what, (long)(bytes + n - p));
    int m = i2d_CMS_ContentInfo(cms, &again);
    if (!is("sorted", "no") && (m != n || memcmp(again, bytes, (size_t)n) != 0))
        die("%s is not DER", what);
    OPENSSL_free(again);
    return cms;
}

static void print_octets(const char *name, const ASN1_STRING *s)
{
    printf("%s=", name);
    for (int i = 0; i < ASN1_STRING_length(s); i++)
        printf("%02x", ASN1_STRING_get0_data(s)[i]);
    putchar('\n');
}

/* Apple and others want PrintableString, one value. */
static void print_attribute(CMS_SignerInfo *si, const char *name, const char *oid, int type)
{
    ASN1_OBJECT *object = OBJ_txt2obj(oid, 1);
    int at = CMS_signed_get_attr_by_OBJ(si, object, -1);
    if (at >= 0 && CMS_signed_get_attr_by_OBJ(si, object, at) >= 0)
        die("%s is there twice", name);
    if (at >= 0) {
        const ASN1_STRING *s = CMS_signed_get0_data_by_OBJ(si, object, -3, type);
        if (!s)
            die("%s has more values than one, or is of another type", name);
        if (type == V_ASN1_OCTET_STRING)
            print_octets(name, s);
        else
            printf("%s=%.*s\n", name, ASN1_STRING_length(s), ASN1_STRING_get0_data(s));
    }
    ASN1_OBJECT_free(object);
}

static void print_algorithm(const char *name, const X509_ALGOR *alg)
{
    const ASN1_OBJECT *oid;
    X509_ALGOR_get0(&oid, NULL, NULL, alg);
    printf("%s=%s\n", name, OBJ_nid2sn(OBJ_obj2nid(oid)));
}

static void print_signer(CMS_ContentInfo *cms)
{
    STACK_OF(CMS_SignerInfo) *signers = CMS_get0_SignerInfos(cms);
    X509_ALGOR *digest, *signature;
    if (sk_CMS_SignerInfo_num(signers) != 1)
        die("%d signers", sk_CMS_SignerInfo_num(signers));
    CMS_SignerInfo *si = sk_CMS_SignerInfo_value(signers, 0);
    CMS_SignerInfo_get0_algs(si, NULL, NULL, &digest, &signature);
    print_algorithm("digest", digest);
    print_algorithm("signature", signature);
    print_attribute(si, "type", OID_MESSAGE_TYPE, V_ASN1_PRINTABLESTRING);
    print_attribute(si, "status", OID_PKI_STATUS, V_ASN1_PRINTABLESTRING);
    print_attribute(si, "failInfo", OID_FAIL_INFO, V_ASN1_PRINTABLESTRING);
    print_attribute(si, "transaction", OID_TRANSACTION_ID, V_ASN1_PRINTABLESTRING);
    print_attribute(si, "senderNonce", OID_SENDER_NONCE, V_ASN1_OCTET_STRING);
    print_attribute(si, "recipientNonce", OID_RECIPIENT_NONCE, V_ASN1_OCTET_STRING);
    print_attribute(si, "failText", OID_FAIL_TEXT, V_ASN1_UTF8STRING);
    print_attribute(si, "hresult", OID_MS_ERROR, V_ASN1_PRINTABLESTRING);
}

/* As a client does it: the signer in the message, its chain to the CA and its
 * purpose included. */
static BIO *verified(CMS_ContentInfo *cms)
{
    X509_STORE *store = X509_STORE_new();
    STACK_OF(X509) *anchors = read_certs(needed("ca"));
    BIO *out = BIO_new(BIO_s_mem());
    for (int i = 0; i < sk_X509_num(anchors); i++)
        X509_STORE_add_cert(store, sk_X509_value(anchors, i));
    ASN1_OCTET_STRING **content = CMS_get0_content(cms);
    bool absent = !content || !*content;
    if (CMS_verify(cms, NULL, store, absent ? BIO_new(BIO_s_mem()) : NULL, out, CMS_BINARY) != 1)
        die("the reply does not verify");
    if (absent)
        puts("content=absent");
    else
        printf("content=%d\n", ASN1_STRING_length(*content));
    X509_STORE_free(store);
    return out;
}

static void write_certs(CMS_ContentInfo *cms)
{
    STACK_OF(X509) *certs = CMS_get1_certs(cms);
    STACK_OF(X509_CRL) *crls = CMS_get1_crls(cms);
    printf("certificates=%d\ncrls=%d\n", certs ? sk_X509_num(certs) : 0,
           crls ? sk_X509_CRL_num(crls) : 0);
    BIO *out = open_file(needed("out"), "w");
    for (int i = 0; certs && i < sk_X509_num(certs); i++)
        PEM_write_bio_X509(out, sk_X509_value(certs, i));
    for (int i = 0; crls && i < sk_X509_CRL_num(crls); i++)
        PEM_write_bio_X509_CRL(out, sk_X509_CRL_value(crls, i));
    BIO_free(out);
    if (certs && option("device-key", NULL) &&
        X509_check_private_key(sk_X509_value(certs, 0), read_key(needed("device-key"))) != 1)
        die("the first certificate is not for the key of the request");
}

static void open_envelope(BIO *content)
{
    CMS_ContentInfo *cms = decode(content, "the envelope");
    BIO *plain = BIO_new(BIO_s_mem());
    if (CMS_decrypt(cms, read_key(needed("key")), read_cert(needed("cert")), NULL, plain,
                    CMS_BINARY) != 1)
        die("the envelope does not open");
    write_certs(decode(plain, "the list of certificates"));
}

/* OpenSSL shows no content cipher, but its text does. */
static void print_cipher(BIO *content)
{
    CMS_ContentInfo *cms = decode(content, "the envelope");
    BIO *text = BIO_new(BIO_s_mem());
    char *p;
    CMS_ContentInfo_print_ctx(text, cms, 0, NULL);
    BIO_write(text, "", 1);
    BIO_get_mem_data(text, &p);
    const char *at = strstr(p, "contentEncryptionAlgorithm");
    at = at ? strstr(at, "algorithm: ") : NULL;
    if (at)
        printf("cipher=%.*s\n", (int)strcspn(at + 11, " \n"), at + 11);
    BIO_free(text);
}

static void read_reply(void)
{
    CMS_ContentInfo *cms = decode(read_file(needed("in")), "the reply");
    BIO *content = verified(cms);
    print_signer(cms);
    if (BIO_pending(content) == 0)
        return;
    print_cipher(content);
    open_envelope(content);
}

int main(int argc, char **argv)
{
    if (argc < 2)
        die("cms_client request|reply NAME=VALUE...");
    arguments = argv + 2;
    if (!OSSL_PROVIDER_load(NULL, "default") ||
        (is("legacy", "yes") && !OSSL_PROVIDER_load(NULL, "legacy")))
        die("no provider");
    if (strcmp(argv[1], "request") == 0)
        make_request();
    else
        read_reply();
    return 0;
}
