#include "pkcs7/pubkey.h"

#include <stdio.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/params.h>
#include <openssl/rsa.h>

#include "asn1_pkix.h"
#include "frame.h"

#define SPKI_MAX_SIZE 4096 /* RSA-8192 takes about 1,100 octets */
#define RSA_MAX_BITS 8192  /* the largest any authority uses; verifying grows quadratically */
#define RSA_MAX_EXPONENT_BITS 256 /* NIST SP 800-56B: below 2^256 */

static const struct curve_row {
    const char *name, *group;
    int nid;
    unsigned bits;
    size_t point; /* octets, uncompressed */
} curves[] = {
    [CURVE_P256] = {"P-256", "prime256v1", NID_X9_62_prime256v1, 256, 65},
    [CURVE_P384] = {"P-384", "secp384r1", NID_secp384r1, 384, 97},
    [CURVE_P521] = {"P-521", "secp521r1", NID_secp521r1, 521, 133},
};

static unsigned bit_length(struct view v)
{
    unsigned bits = (unsigned)(8 * (v.n - 1));
    for (unsigned top = v.p[0]; top; top >>= 1)
        bits++;
    return bits;
}

/* The magnitude of a positive INTEGER's content octets. */
static bool positive(struct view content, const char *what, struct view *out, struct err *err)
{
    if (content.n == 0)
        return err_refuse(err, REASON_CSR_MALFORMED, "RSA %s is empty", what);
    if (content.p[0] & 0x80)
        return err_refuse(err, REASON_CSR_MALFORMED, "RSA %s is negative", what);
    if (content.p[0] == 0) {
        content = view_of(content.p + 1, content.n - 1);
        if (content.n == 0)
            return err_refuse(err, REASON_CSR_MALFORMED, "RSA %s is zero", what);
        if (!(content.p[0] & 0x80))
            return err_refuse(err, REASON_CSR_MALFORMED, "RSA %s is padded: not DER", what);
    }
    *out = content;
    return true;
}

static bool rsa_numbers(const PKIX_RSA_KEY *rsa, struct pubkey *key, struct err *err)
{
    struct view rest = key->bits_content, n, e;
    if (!positive(frame_view(rsa->n), "modulus", &n, err) ||
        !positive(frame_view(rsa->e), "exponent", &e, err))
        return false;
    key->bits = bit_length(n);
    if (key->bits > RSA_MAX_BITS)
        return err_refuse(err, REASON_KEY_SMALL, "RSA key of %u bits, more than %d", key->bits,
                          RSA_MAX_BITS);
    if (bit_length(e) > RSA_MAX_EXPONENT_BITS)
        return err_refuse(err, REASON_KEY_SMALL, "RSA exponent of %u bits, more than %d",
                          bit_length(e), RSA_MAX_EXPONENT_BITS);
    key->n = frame_locate(&rest, n);
    key->e = frame_locate(&rest, e);
    return true;
}

static bool rsa_parse(const X509_ALGOR *alg, struct pubkey *key, struct err *err)
{
    if (alg->parameter && alg->parameter->type != V_ASN1_NULL)
        return err_refuse(err, REASON_KEY_TYPE, "rsaEncryption with parameters other than NULL");
    if (!frame_check_part(key->bits_content, SPKI_MAX_SIZE, REASON_CSR_MALFORMED, err))
        return err_prefix(err, "RSAPublicKey");
    PKIX_RSA_KEY *rsa = (PKIX_RSA_KEY *)frame_decode(
        key->bits_content, ASN1_ITEM_rptr(PKIX_RSA_KEY), REASON_CSR_MALFORMED, "RSAPublicKey", err);
    if (!rsa)
        return false;
    key->type = KEY_RSA;
    bool ok = rsa_numbers(rsa, key, err);
    ASN1_item_free((ASN1_VALUE *)rsa, ASN1_ITEM_rptr(PKIX_RSA_KEY));
    return ok;
}

/* RFC 5480 section 2.1.1: a named curve; explicit parameters have been used for forgeries. */
static bool find_curve(const X509_ALGOR *alg, enum key_curve *out, struct err *err)
{
    if (!alg->parameter || alg->parameter->type != V_ASN1_OBJECT)
        return err_refuse(err, REASON_KEY_TYPE, "EC key without a named curve");
    int nid = OBJ_obj2nid(alg->parameter->value.object);
    for (size_t i = 0; i < sizeof curves / sizeof *curves; i++) {
        if (curves[i].nid == nid) {
            *out = (enum key_curve)i;
            return true;
        }
    }
    char text[80];
    OBJ_obj2txt(text, sizeof text, alg->parameter->value.object, 1);
    return err_refuse(err, REASON_KEY_TYPE, "EC key on curve %s, not on P-256, P-384 or P-521",
                      text);
}

static bool ec_parse(const X509_ALGOR *alg, struct pubkey *key, struct err *err)
{
    if (!find_curve(alg, &key->curve, err))
        return false;
    const struct curve_row *curve = &curves[key->curve];
    struct view point = key->bits_content;
    if (point.n == 0 || point.p[0] != 0x04)
        return err_refuse(err, REASON_KEY_TYPE, "EC point is not in uncompressed form");
    if (point.n != curve->point)
        return err_refuse(err, REASON_KEY_TYPE, "EC point of %zu octets, %s has %zu", point.n,
                          curve->name, curve->point);
    key->type = KEY_EC;
    key->bits = curve->bits;
    key->point = point;
    return true;
}

static bool key_parse(const PKIX_SPKI *spki, struct pubkey *key, struct err *err)
{
    if (spki->key->flags & 0x07)
        return err_refuse(err, REASON_CSR_MALFORMED, "public key is not of whole octets");
    size_t n = (size_t)spki->key->length;
    key->bits_content = view_of(key->spki.p + key->spki.n - n, n); /* the last octets in DER */
    switch (OBJ_obj2nid(spki->algorithm->algorithm)) {
    case NID_rsaEncryption:
        return rsa_parse(spki->algorithm, key, err);
    case NID_X9_62_id_ecPublicKey:
        return ec_parse(spki->algorithm, key, err);
    default:
        break;
    }
    char text[80];
    OBJ_obj2txt(text, sizeof text, spki->algorithm->algorithm, 1);
    return err_refuse(err, REASON_KEY_TYPE, "key algorithm %s, neither RSA nor EC", text);
}

static bool hash_canonical(struct pubkey *key, struct err *err)
{
    struct der w;
    der_init(&w, key->spki.n + 16);
    pubkey_build(key, &w);
    bool ok = !w.failed ? digest_compute(DIGEST_SHA256, der_content(&w), key->sha256, err)
                        : err_memory(err);
    der_clear(&w);
    return ok;
}

/* ---- by their usual form ---- */

static const uint8_t f4[] = {0x01, 0x00, 0x01}; /* 65537 */

static const struct form {
    size_t spki, value; /* octets in all, and of the modulus or point */
    enum key_type type;
    enum key_curve curve;
} forms[] = {
    {294, 256, KEY_RSA, 0},       {422, 384, KEY_RSA, 0},        {550, 512, KEY_RSA, 0},
    {91, 65, KEY_EC, CURVE_P256}, {120, 97, KEY_EC, CURVE_P384}, {158, 133, KEY_EC, CURVE_P521},
};

#define E_TLV 5        /* octets of the exponent, last of an RSA key */
#define RSA_HEADERS 14 /* octets of an RSAPublicKey beside the modulus */

static struct pubkey presume(struct view in, const struct form *f)
{
    const uint8_t *end = in.p + in.n;
    struct pubkey key = {.type = f->type, .spki = in};
    if (f->type == KEY_RSA) {
        key.bits_content = view_of(end - f->value - RSA_HEADERS, f->value + RSA_HEADERS);
        key.n = view_of(end - E_TLV - f->value, f->value);
        key.e = view_of(end - sizeof f4, sizeof f4);
        key.bits = (unsigned)(8 * f->value);
    } else {
        key.curve = f->curve;
        key.bits_content = key.point = view_of(end - f->value, f->value);
        key.bits = curves[f->curve].bits;
    }
    return key;
}

/* Nearly all keys have one of a few forms: such a one is taken for granted, written anew and
 * compared, which costs a tenth of decoding.  What differs in any octet is decoded. */
static bool has_form(struct view in, const struct form *f, struct pubkey *out)
{
    struct pubkey key = presume(in, f);
    if (f->type == KEY_RSA ? !(key.n.p[0] & 0x80) || memcmp(key.e.p, f4, sizeof f4) != 0
                           : key.point.p[0] != 0x04)
        return false;
    struct der w;
    der_init(&w, in.n + 16);
    pubkey_build(&key, &w);
    bool same = !w.failed && view_eq(der_content(&w), in);
    der_clear(&w);
    if (same)
        *out = key;
    return same;
}

static bool parse_by_form(struct view in, struct pubkey *out)
{
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (in.n == forms[i].spki)
            return has_form(in, &forms[i], out);
    return false;
}

bool pubkey_parse(struct view in, struct pubkey *out, struct err *err)
{
    struct pubkey usual;
    if (parse_by_form(in, &usual)) {
        if (!digest_compute(DIGEST_SHA256, in, usual.sha256, err))
            return false;
        *out = usual;
        return true;
    }
    if (!frame_check_part(in, SPKI_MAX_SIZE, REASON_CSR_MALFORMED, err))
        return err_prefix(err, "public key");
    PKIX_SPKI *spki = (PKIX_SPKI *)frame_decode(in, ASN1_ITEM_rptr(PKIX_SPKI), REASON_CSR_MALFORMED,
                                                "SubjectPublicKeyInfo", err);
    if (!spki)
        return false;
    struct pubkey key = {.spki = in};
    bool ok = key_parse(spki, &key, err) && hash_canonical(&key, err);
    ASN1_item_free((ASN1_VALUE *)spki, ASN1_ITEM_rptr(PKIX_SPKI));
    if (ok)
        *out = key;
    return ok;
}

void pubkey_build(const struct pubkey *key, struct der *w)
{
    size_t whole = der_mark(w);
    if (key->type == KEY_RSA) {
        size_t bits = der_mark(w);
        der_uint(w, key->e);
        der_uint(w, key->n);
        der_wrap(w, DER_SEQUENCE, bits);
        der_raw(w, view_of("", 1)); /* no unused bits */
        der_wrap(w, DER_BIT_STRING, bits);
        size_t algorithm = der_mark(w);
        der_tlv(w, DER_NULL, view_of(NULL, 0));
        der_oid_nid(w, NID_rsaEncryption);
        der_wrap(w, DER_SEQUENCE, algorithm);
    } else {
        der_bits(w, key->point);
        size_t algorithm = der_mark(w);
        der_oid_nid(w, curves[key->curve].nid);
        der_oid_nid(w, NID_X9_62_id_ecPublicKey);
        der_wrap(w, DER_SEQUENCE, algorithm);
    }
    der_wrap(w, DER_SEQUENCE, whole);
}

static EVP_PKEY *from_params(const char *algorithm, OSSL_PARAM *params)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, algorithm, NULL);
    EVP_PKEY *key = NULL;
    if (!ctx || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(ctx);
    return key;
}

/* An exponent of 1 signs everything, an even number is no RSA key at all: a signature by such a key
 * proves nothing, so that it is refused before one is looked at. */
static bool rsa_sane(const struct pubkey *key, struct err *err)
{
    if (!(key->n.p[key->n.n - 1] & 1))
        return err_refuse(err, REASON_KEY_WEAK, "RSA modulus is even");
    if (!(key->e.p[key->e.n - 1] & 1))
        return err_refuse(err, REASON_KEY_WEAK, "RSA exponent is even");
    if (key->e.n == 1 && key->e.p[0] == 1)
        return err_refuse(err, REASON_KEY_WEAK, "RSA exponent is 1");
    return true;
}

/* In the machine's order of octets, as OSSL_PARAM wants numbers. */
static void native_order(struct view big_endian, uint8_t *out)
{
    for (size_t i = 0; i < big_endian.n; i++)
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
        out[big_endian.n - 1 - i] = big_endian.p[i];
#else
        out[i] = big_endian.p[i];
#endif
}

static EVP_PKEY *rsa_load(const struct pubkey *key)
{
    uint8_t n[RSA_MAX_BITS / 8], e[RSA_MAX_EXPONENT_BITS / 8];
    if (key->n.n > sizeof n || key->e.n > sizeof e)
        return NULL;
    native_order(key->n, n);
    native_order(key->e, e);
    OSSL_PARAM params[] = {OSSL_PARAM_construct_BN(OSSL_PKEY_PARAM_RSA_N, n, key->n.n),
                           OSSL_PARAM_construct_BN(OSSL_PKEY_PARAM_RSA_E, e, key->e.n),
                           OSSL_PARAM_construct_end()};
    return from_params("RSA", params);
}

/* Also checks that the point is on the curve. */
static EVP_PKEY *ec_load(const struct pubkey *key)
{
    char group[16];
    uint8_t point[133];
    if (key->point.n > sizeof point)
        return NULL;
    snprintf(group, sizeof group, "%s", curves[key->curve].group);
    memcpy(point, key->point.p, key->point.n);
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, key->point.n),
        OSSL_PARAM_construct_end()};
    return from_params("EC", params);
}

bool pubkey_load(const struct pubkey *key, EVP_PKEY **out, struct err *err)
{
    if (key->type == KEY_RSA && !rsa_sane(key, err))
        return false;
    EVP_PKEY *loaded = key->type == KEY_RSA ? rsa_load(key) : ec_load(key);
    if (loaded) {
        *out = loaded;
        return true;
    }
    ERR_clear_error();
    if (key->type == KEY_EC)
        return err_refuse(err, REASON_KEY_WEAK, "EC point is not on %s", curves[key->curve].name);
    return err_set(err, ERR_CRYPTO, "public key cannot be loaded");
}

static bool fits(EVP_PKEY_CTX *key, struct sigalg alg)
{
    return EVP_PKEY_CTX_is_a(key, alg.scheme == SIG_ECDSA ? "EC" : "RSA");
}

/* EVP_DigestVerify would do the same and look every algorithm up by name again, which costs as much
 * as a quarter of the verification. */
static bool prepare(EVP_PKEY_CTX *ctx, struct sigalg alg)
{
    char md[16];
    int padding = alg.scheme == SIG_RSA_PSS ? RSA_PKCS1_PSS_PADDING : RSA_PKCS1_PADDING;
    OSSL_PARAM params[4], *p = params;
    snprintf(md, sizeof md, "%s", EVP_MD_get0_name(digest_md(alg.digest)));
    *p++ = OSSL_PARAM_construct_utf8_string(OSSL_SIGNATURE_PARAM_DIGEST, md, 0);
    if (alg.scheme != SIG_ECDSA)
        *p++ = OSSL_PARAM_construct_int(OSSL_SIGNATURE_PARAM_PAD_MODE, &padding);
    if (alg.scheme == SIG_RSA_PSS)
        *p++ = OSSL_PARAM_construct_int(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, &alg.pss_salt);
    *p = OSSL_PARAM_construct_end();
    return EVP_PKEY_verify_init_ex(ctx, params) == 1;
}

/* Message and request are nearly always signed alike: the context remembers what it is ready for,
 * by the algorithm's static encoding, which a few odd ones (NULL) have not. */
static bool verify(EVP_PKEY_CTX *ctx, struct sigalg alg, const uint8_t *digest, struct view sig)
{
    void *how = (void *)(uintptr_t)sigalg_der(alg).p;
    bool ready = how && EVP_PKEY_CTX_get_operation(ctx) == EVP_PKEY_OP_VERIFY &&
                 EVP_PKEY_CTX_get_app_data(ctx) == how;
    if (!ready && !prepare(ctx, alg))
        return false;
    EVP_PKEY_CTX_set_app_data(ctx, how);
    return EVP_PKEY_verify(ctx, sig.p, sig.n, digest, digest_size(alg.digest)) == 1;
}

bool pubkey_verify_by(EVP_PKEY_CTX *key, struct sigalg alg, struct view data, struct view sig,
                      struct err *err)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    if (!fits(key, alg))
        return err_refuse(err, REASON_SIGNATURE_BAD,
                          "signature algorithm does not belong to the type of the key");
    if (!digest_compute(alg.digest, data, digest, err))
        return false;
    bool good = verify(key, alg, digest, sig);
    ERR_clear_error();
    return good || err_refuse(err, REASON_SIGNATURE_BAD, "signature does not verify");
}

bool pubkey_verify(EVP_PKEY *key, struct sigalg alg, struct view data, struct view sig,
                   struct err *err)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    if (!ctx)
        return err_memory(err);
    bool good = pubkey_verify_by(ctx, alg, data, sig, err);
    EVP_PKEY_CTX_free(ctx);
    return good;
}

const char *key_curve_name(enum key_curve c)
{
    return curves[c].name;
}

void pubkey_text(const struct pubkey *key, char out[16])
{
    if (key->type == KEY_RSA)
        snprintf(out, 16, "RSA-%u", key->bits);
    else
        snprintf(out, 16, "%s", curves[key->curve].name);
}
