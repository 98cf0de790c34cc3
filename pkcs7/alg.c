#include "pkcs7/alg.h"

#include <ctype.h>
#include <stdatomic.h>

#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/rsa.h>
#include <openssl/provider.h>
#include <openssl/x509.h>

#include "frame.h"

/* An AlgorithmIdentifier with RSASSA-PSS parameters takes 67 octets. */
#define ALG_MAX_SIZE 256
#define PSS_DEFAULT_SALT 20 /* RFC 4055 section 3.1 */
#define PSS_MAX_SALT 512    /* more than fits beside a hash into any key we take */

/* OIDs and whole AlgorithmIdentifiers, as static bytes. */
#define RSA_ALG(arc) "\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01" arc "\x05\x00"
#define ECDSA_SHA2_ALG(arc) "\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03" arc
#define NIST_HASH_ALG(arc) "\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02" arc "\x05\x00"
/* RFC 4055 section 3.1: the same hash in MGF1, a salt of its length, trailerField defaulted. */
#define PSS_ALG(arc, salt)                                                                \
    "\x30\x41\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a\x30\x34\xa0\x0f" NIST_HASH_ALG( \
        arc) "\xa1\x1c\x30\x1a\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08" NIST_HASH_ALG(arc) "\xa2\x03\x02\x01" salt

#define BYTES(s)                            \
    {                                       \
        (const uint8_t *)(s), sizeof(s) - 1 \
    }
#define NOTHING \
    {           \
        NULL, 0 \
    }

static const struct digest_row {
    const char *name;
    int nid;
    const EVP_MD *(*md)(void);
    size_t size;
    int rsa_nid, ecdsa_nid; /* NID_undef: no such signature algorithm here */
    struct view alg, rsa, pss, ecdsa;
} digests[DIGEST_COUNT] = {
    [DIGEST_MD5] = {"MD5", NID_md5, EVP_md5, 16, NID_md5WithRSAEncryption, NID_undef,
                    BYTES("\x30\x0c\x06\x08\x2a\x86\x48\x86\xf7\x0d\x02\x05\x05\x00"),
                    BYTES(RSA_ALG("\x04")), NOTHING, NOTHING},
    [DIGEST_SHA1] = {"SHA-1", NID_sha1, EVP_sha1, 20, NID_sha1WithRSAEncryption,
                     NID_ecdsa_with_SHA1, BYTES("\x30\x09\x06\x05\x2b\x0e\x03\x02\x1a\x05\x00"),
                     BYTES(RSA_ALG("\x05")), NOTHING,
                     BYTES("\x30\x09\x06\x07\x2a\x86\x48\xce\x3d\x04\x01")},
    [DIGEST_SHA224] = {"SHA-224", NID_sha224, EVP_sha224, 28, NID_sha224WithRSAEncryption,
                       NID_ecdsa_with_SHA224, BYTES(NIST_HASH_ALG("\x04")), BYTES(RSA_ALG("\x0e")),
                       NOTHING, BYTES(ECDSA_SHA2_ALG("\x01"))},
    [DIGEST_SHA256] = {"SHA-256", NID_sha256, EVP_sha256, 32, NID_sha256WithRSAEncryption,
                       NID_ecdsa_with_SHA256, BYTES(NIST_HASH_ALG("\x01")), BYTES(RSA_ALG("\x0b")),
                       BYTES(PSS_ALG("\x01", "\x20")), BYTES(ECDSA_SHA2_ALG("\x02"))},
    [DIGEST_SHA384] = {"SHA-384", NID_sha384, EVP_sha384, 48, NID_sha384WithRSAEncryption,
                       NID_ecdsa_with_SHA384, BYTES(NIST_HASH_ALG("\x02")), BYTES(RSA_ALG("\x0c")),
                       BYTES(PSS_ALG("\x02", "\x30")), BYTES(ECDSA_SHA2_ALG("\x03"))},
    [DIGEST_SHA512] = {"SHA-512", NID_sha512, EVP_sha512, 64, NID_sha512WithRSAEncryption,
                       NID_ecdsa_with_SHA512, BYTES(NIST_HASH_ALG("\x03")), BYTES(RSA_ALG("\x0d")),
                       BYTES(PSS_ALG("\x03", "\x40")), BYTES(ECDSA_SHA2_ALG("\x04"))},
};

static const struct cipher_row {
    const char *name;
    int nid;
    const EVP_CIPHER *(*evp)(void);
    size_t key, block;
} ciphers[CIPHER_COUNT] = {
    [CIPHER_DES] = {"DES", NID_des_cbc, EVP_des_cbc, 8, 8},
    [CIPHER_DES3] = {"DES3", NID_des_ede3_cbc, EVP_des_ede3_cbc, 24, 8},
    [CIPHER_AES128] = {"AES-128", NID_aes_128_cbc, EVP_aes_128_cbc, 16, 16},
    [CIPHER_AES192] = {"AES-192", NID_aes_192_cbc, EVP_aes_192_cbc, 24, 16},
    [CIPHER_AES256] = {"AES-256", NID_aes_256_cbc, EVP_aes_256_cbc, 32, 16},
};

const char *digest_name(enum digest d)
{
    return digests[d].name;
}

const char *cipher_name(enum cipher c)
{
    return ciphers[c].name;
}

/* Equal but for case and '-'. */
static bool same_name(const char *a, const char *b)
{
    for (;;) {
        while (*a == '-')
            a++;
        while (*b == '-')
            b++;
        if (tolower((unsigned char)*a) != tolower((unsigned char)*b))
            return false;
        if (!*a)
            return true;
        a++;
        b++;
    }
}

bool digest_by_name(const char *name, enum digest *out)
{
    for (int i = 0; i < DIGEST_COUNT; i++) {
        if (same_name(name, digests[i].name)) {
            *out = (enum digest)i;
            return true;
        }
    }
    return false;
}

bool cipher_by_name(const char *name, enum cipher *out)
{
    for (int i = 0; i < CIPHER_COUNT; i++) {
        if (same_name(name, ciphers[i].name)) {
            *out = (enum cipher)i;
            return true;
        }
    }
    return false;
}

/* Fetched once: OpenSSL otherwise looks a digest up by name, under a lock, at every use. */
const EVP_MD *digest_md(enum digest d)
{
    static _Atomic(EVP_MD *) fetched[DIGEST_COUNT];
    EVP_MD *md = atomic_load(&fetched[d]), *other = NULL;
    if (md)
        return md;
    if (!(md = EVP_MD_fetch(NULL, OBJ_nid2sn(digests[d].nid), NULL))) {
        ERR_clear_error();
        return digests[d].md();
    }
    if (atomic_compare_exchange_strong(&fetched[d], &other, md))
        return md;
    EVP_MD_free(md);
    return other;
}

size_t digest_size(enum digest d)
{
    return digests[d].size;
}

const EVP_CIPHER *cipher_evp(enum cipher c)
{
    return ciphers[c].evp();
}

bool cipher_legacy_load(OSSL_PROVIDER **out, struct err *err)
{
    /* Beside the default one, which is still loaded by itself when it is first needed. */
    OSSL_PROVIDER *legacy = OSSL_PROVIDER_try_load(NULL, "legacy", 1);
    if (legacy) {
        *out = legacy;
        return true;
    }
    ERR_clear_error();
    return err_set(err, ERR_CONFIG,
                   "OpenSSL's legacy provider, which DES needs, is not installed here");
}

size_t cipher_key_size(enum cipher c)
{
    return ciphers[c].key;
}

size_t cipher_block_size(enum cipher c)
{
    return ciphers[c].block;
}

bool digest_by_nid(int nid, enum digest *out)
{
    for (int i = 0; i < DIGEST_COUNT; i++) {
        if (digests[i].nid == nid) {
            *out = (enum digest)i;
            return true;
        }
    }
    return false;
}

bool cipher_by_nid(int nid, enum cipher *out)
{
    for (int i = 0; i < CIPHER_COUNT; i++) {
        if (ciphers[i].nid == nid) {
            *out = (enum cipher)i;
            return true;
        }
    }
    return false;
}

int cipher_nid(enum cipher c)
{
    return ciphers[c].nid;
}

struct view sigalg_der(struct sigalg a)
{
    const struct digest_row *row = &digests[a.digest];
    switch (a.scheme) {
    case SIG_RSA_PKCS1:
        return row->rsa;
    case SIG_RSA_PSS:
        if (a.pss_salt == (int)row->size)
            return row->pss;
        break;
    case SIG_ECDSA:
        return row->ecdsa;
    }
    return (struct view){0};
}

struct view digest_alg_der(enum digest d)
{
    return digests[d].alg;
}

static bool refuse_alg(const X509_ALGOR *alg, const char *fault, struct err *err)
{
    const ASN1_OBJECT *oid;
    X509_ALGOR_get0(&oid, NULL, NULL, alg);
    char text[80];
    OBJ_obj2txt(text, sizeof text, oid, 1);
    return err_refuse(err, REASON_ALGORITHM_REFUSED, "signature algorithm %s %s", text, fault);
}

static bool pss_hashes(const RSA_PSS_PARAMS *pss, enum digest *out)
{
    const ASN1_OBJECT *hash = pss->hashAlgorithm ? pss->hashAlgorithm->algorithm : NULL;
    if (!digest_by_nid(hash ? OBJ_obj2nid(hash) : NID_sha1, out))
        return false;
    int mask_nid = NID_sha1;
    if (pss->maskGenAlgorithm) {
        const ASN1_TYPE *param = pss->maskGenAlgorithm->parameter;
        if (OBJ_obj2nid(pss->maskGenAlgorithm->algorithm) != NID_mgf1 || !param ||
            param->type != V_ASN1_SEQUENCE)
            return false;
        struct err ignored;
        X509_ALGOR *mask = (X509_ALGOR *)frame_decode(frame_view(param->value.sequence),
                                                      ASN1_ITEM_rptr(X509_ALGOR),
                                                      REASON_ALGORITHM_REFUSED, "MGF1", &ignored);
        if (!mask)
            return false;
        mask_nid = OBJ_obj2nid(mask->algorithm);
        X509_ALGOR_free(mask);
    }
    return mask_nid == digests[*out].nid;
}

static bool pss_numbers(const RSA_PSS_PARAMS *pss, int *salt)
{
    int64_t n = PSS_DEFAULT_SALT, trailer = 1;
    bool readable = (!pss->saltLength || ASN1_INTEGER_get_int64(&n, pss->saltLength)) &&
                    (!pss->trailerField || ASN1_INTEGER_get_int64(&trailer, pss->trailerField));
    ERR_clear_error();
    if (!readable || n < 0 || n > PSS_MAX_SALT || trailer != 1)
        return false;
    *salt = (int)n;
    return true;
}

static bool pss_parse(const X509_ALGOR *alg, struct sigalg *out, struct err *err)
{
    if (!alg->parameter || alg->parameter->type != V_ASN1_SEQUENCE)
        return refuse_alg(alg, "has no parameters", err);
    RSA_PSS_PARAMS *pss = (RSA_PSS_PARAMS *)frame_decode(
        frame_view(alg->parameter->value.sequence), ASN1_ITEM_rptr(RSA_PSS_PARAMS),
        REASON_ALGORITHM_REFUSED, "RSASSA-PSS-params", err);
    if (!pss)
        return false;
    struct sigalg a = {.scheme = SIG_RSA_PSS};
    bool ok = pss_hashes(pss, &a.digest) && pss_numbers(pss, &a.pss_salt);
    RSA_PSS_PARAMS_free(pss);
    if (!ok)
        return refuse_alg(alg, "has parameters that are not supported", err);
    *out = a;
    return true;
}

/* RSA with NULL or absent parameters (old devices leave them out), ECDSA without (RFC 5758 section
 * 3.2). */
static bool plain_parse(const X509_ALGOR *alg, enum digest if_bare, struct sigalg *out,
                        struct err *err)
{
    int nid = OBJ_obj2nid(alg->algorithm);
    int param = alg->parameter ? alg->parameter->type : V_ASN1_UNDEF;
    bool bare = nid == NID_rsaEncryption && if_bare < DIGEST_COUNT;
    for (int i = 0; i < DIGEST_COUNT && nid != NID_undef; i++) {
        const struct digest_row *row = &digests[i];
        bool rsa = bare ? i == (int)if_bare : nid == row->rsa_nid;
        if (!rsa && nid != row->ecdsa_nid)
            continue;
        if (param != V_ASN1_UNDEF && !(rsa && param == V_ASN1_NULL))
            return refuse_alg(alg, "has parameters that do not belong to it", err);
        *out = (struct sigalg){rsa ? SIG_RSA_PKCS1 : SIG_ECDSA, (enum digest)i, 0};
        return true;
    }
    return refuse_alg(alg, "is not supported", err);
}

/* As sigalg_der writes it, and nearly everybody else: a tenth of what decoding costs. */
static bool usual_parse(struct view der, struct sigalg *out)
{
    for (int i = 0; i < DIGEST_COUNT && der.n > 0; i++) {
        const struct digest_row *row = &digests[i];
        if (view_eq(der, row->rsa))
            *out = (struct sigalg){SIG_RSA_PKCS1, (enum digest)i, 0};
        else if (view_eq(der, row->ecdsa))
            *out = (struct sigalg){SIG_ECDSA, (enum digest)i, 0};
        else if (view_eq(der, row->pss))
            *out = (struct sigalg){SIG_RSA_PSS, (enum digest)i, (int)row->size};
        else
            continue;
        return true;
    }
    return false;
}

bool sigalg_parse(struct view der, enum digest if_bare, struct sigalg *out, struct err *err)
{
    if (usual_parse(der, out))
        return true;
    if (der.n > ALG_MAX_SIZE)
        return err_refuse(err, REASON_ALGORITHM_REFUSED,
                          "AlgorithmIdentifier of %zu octets, more than %d", der.n, ALG_MAX_SIZE);
    X509_ALGOR *alg = (X509_ALGOR *)frame_decode(
        der, ASN1_ITEM_rptr(X509_ALGOR), REASON_ALGORITHM_REFUSED, "AlgorithmIdentifier", err);
    if (!alg)
        return false;
    bool ok = OBJ_obj2nid(alg->algorithm) == NID_rsassaPss ? pss_parse(alg, out, err)
                                                           : plain_parse(alg, if_bare, out, err);
    X509_ALGOR_free(alg);
    return ok;
}

bool digest_compute(enum digest d, struct view data, uint8_t *out, struct err *err)
{
    if (EVP_Digest(data.p, data.n, out, NULL, digest_md(d), NULL) == 1)
        return true;
    ERR_clear_error();
    return err_set(err, ERR_CRYPTO, "%s cannot be computed", digest_name(d));
}
