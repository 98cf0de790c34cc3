/* Describes messages without judging them. */
#include "pkcs7/inspect.h"

#include <stdio.h>

#include <openssl/err.h>
#include <openssl/objects.h>

#include "asn1_cms.h"
#include "frame.h"
#include "scep_attrs.h"

/* ---- what both layers share ---- */

static void object_name(const ASN1_OBJECT *oid, char out[INSPECT_MAX_NAME])
{
    int nid = OBJ_obj2nid(oid);
    if (nid == NID_undef)
        OBJ_obj2txt(out, INSPECT_MAX_NAME, oid, 1);
    else
        snprintf(out, INSPECT_MAX_NAME, "%s", OBJ_nid2sn(nid));
}

static void algorithm_name(const X509_ALGOR *alg, char out[INSPECT_MAX_NAME])
{
    const ASN1_OBJECT *oid;
    X509_ALGOR_get0(&oid, NULL, NULL, alg);
    object_name(oid, out);
}

static bool check_der(struct view in, char *why, size_t cap)
{
    struct err err = {0};
    bool der = frame_check(in, SCEP_MAX_MESSAGE, FRAME_DER, REASON_MESSAGE_MALFORMED, &err);
    snprintf(why, cap, "%s", der ? "" : err.text);
    return der;
}

/* ---- signed attributes ---- */

static bool is_string(int type)
{
    switch (type) {
    case V_ASN1_OCTET_STRING:
    case V_ASN1_PRINTABLESTRING:
    case V_ASN1_UTF8STRING:
    case V_ASN1_IA5STRING:
    case V_ASN1_T61STRING:
    case V_ASN1_NUMERICSTRING:
    case V_ASN1_VISIBLESTRING:
    case V_ASN1_BMPSTRING:
    case V_ASN1_UNIVERSALSTRING:
    case V_ASN1_UTCTIME:
    case V_ASN1_GENERALIZEDTIME:
        return true;
    }
    return false;
}

static void take_value(X509_ATTRIBUTE *x, struct inspected_attribute *a)
{
    if (a->times++)
        return;
    a->values = X509_ATTRIBUTE_count(x);
    const ASN1_TYPE *t = a->values > 0 ? X509_ATTRIBUTE_get0_type(x, 0) : NULL;
    a->tag = t ? t->type : -1;
    if (!t || !is_string(t->type))
        return;
    struct view v = frame_view(t->value.asn1_string);
    a->cut = v.n > INSPECT_MAX_VALUE;
    a->n = a->cut ? INSPECT_MAX_VALUE : v.n;
    if (a->n)
        memcpy(a->value, v.p, a->n);
}

static void take_attributes(struct view der, struct inspected_signed *out)
{
    struct err ignored;
    STACK_OF(X509_ATTRIBUTE) *list =
        der.n ? (void *)frame_decode(der, ASN1_ITEM_rptr(SCEPD_SIGNED_ATTRIBUTES),
                                     REASON_MESSAGE_MALFORMED, "the attributes", &ignored)
              : NULL;
    for (int i = 0; i < sk_X509_ATTRIBUTE_num(list); i++) {
        X509_ATTRIBUTE *x = sk_X509_ATTRIBUTE_value(list, i);
        enum scep_attribute a = scep_attribute_of(X509_ATTRIBUTE_get0_object(x));
        if (a != ATTR_COUNT)
            take_value(x, &out->attribute[a]);
    }
    ASN1_item_free((ASN1_VALUE *)list, ASN1_ITEM_rptr(SCEPD_SIGNED_ATTRIBUTES));
}

/* ---- who signed, and is it right? ---- */

static bool find_included(const struct cms_signed_data *sd, const struct cms_signer_info *si,
                          struct inspected_signed *out)
{
    for (int i = 0; i < sk_ASN1_TYPE_num(sd->certificates) && i < SCEP_MAX_CERTS; i++) {
        const ASN1_TYPE *t = sk_ASN1_TYPE_value(sd->certificates, i);
        struct cert *c = NULL;
        struct err ignored;
        if (t->type != V_ASN1_SEQUENCE || !cert_parse(frame_view(t->value.sequence), &c, &ignored))
            continue;
        if (cms_names_signer(si, c)) {
            out->signer = c;
            return true;
        }
        cert_free(c);
    }
    return false;
}

static void find_signer(const struct cms_signed_data *sd, const struct cms_signer_info *si,
                        struct cert *const *candidates, size_t n, struct inspected_signed *out)
{
    struct err ignored;
    out->candidate = -1;
    out->signer_included = find_included(sd, si, out);
    for (size_t i = 0; i < n && out->candidate < 0; i++) {
        bool same = out->signer
                        ? view_eq(buf_view(&candidates[i]->der), buf_view(&out->signer->der))
                        : cms_names_signer(si, candidates[i]);
        if (same)
            out->candidate = (int)i;
    }
    if (!out->signer && out->candidate >= 0 &&
        !cert_parse(buf_view(&candidates[out->candidate]->der), &out->signer, &ignored))
        out->candidate = -1;
}

static bool digest_of(const struct cms_signer_info *si, enum digest *out, struct err *err)
{
    const ASN1_OBJECT *oid;
    X509_ALGOR_get0(&oid, NULL, NULL, si->digest);
    return digest_by_nid(OBJ_obj2nid(oid), out) ||
           err_refuse(err, REASON_ALGORITHM_REFUSED, "the digest is not known");
}

/* RFC 5652 section 5.4: the digest over the content, the signature over the attributes. */
static bool verify(const struct cms_signer_info *si, struct view attributes,
                   const struct inspected_signed *i, struct err *err)
{
    struct pubkey key;
    EVP_PKEY *pkey = NULL;
    enum digest digest;
    uint8_t have[EVP_MAX_MD_SIZE];
    const struct inspected_attribute *said = &i->attribute[ATTR_MESSAGE_DIGEST];
    if (!i->signer)
        return err_refuse(err, REASON_SIGNATURE_BAD, "the certificate of its signer is unknown");
    if (!si->signed_attributes)
        return err_refuse(err, REASON_SIGNATURE_BAD, "there are no signed attributes");
    if (!digest_of(si, &digest, err) || !digest_compute(digest, buf_view(&i->content), have, err))
        return false;
    if (!view_eq(view_of(said->value, said->n), view_of(have, digest_size(digest))))
        return err_refuse(err, REASON_SIGNATURE_BAD, "messageDigest is not that of the content");
    if (!pubkey_parse(i->signer->spki, &key, err) || !pubkey_load(&key, &pkey, err))
        return false;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(pkey, NULL);
    bool ok = ctx ? cms_signature_verify(si, attributes, ctx, digest, err) : err_memory(err);
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(pkey);
    return ok;
}

static void describe_signer(const struct cms_signed_data *sd, struct cert *const *candidates,
                            size_t n, struct inspected_signed *out)
{
    struct err err = {0};
    const ASN1_TYPE *first = sk_ASN1_TYPE_value(sd->signer_infos, 0);
    struct cms_signer_info *si = NULL;
    struct buf attributes = {0};
    out->candidate = -1;
    if (first->type == V_ASN1_SEQUENCE)
        si = (void *)frame_decode(frame_view(first->value.sequence),
                                  ASN1_ITEM_rptr(SCEPD_SIGNER_INFO), REASON_MESSAGE_MALFORMED,
                                  "the SignerInfo", &err);
    if (!si || (si->signed_attributes && !scep_attributes_der(si, &attributes, &err))) {
        snprintf(out->not_verified, sizeof out->not_verified, "%s",
                 err.text[0] ? err.text : "the SignerInfo is no SEQUENCE");
        goto out;
    }
    struct view sigalg = frame_view(si->signature_algorithm);
    const unsigned char *p = sigalg.p;
    X509_ALGOR *signature = d2i_X509_ALGOR(NULL, &p, (long)sigalg.n);
    algorithm_name(si->digest, out->digest);
    if (signature)
        algorithm_name(signature, out->signature);
    X509_ALGOR_free(signature);
    take_attributes(buf_view(&attributes), out);
    find_signer(sd, si, candidates, n, out);
    out->verified = verify(si, buf_view(&attributes), out, &err);
    snprintf(out->not_verified, sizeof out->not_verified, "%s", out->verified ? "" : err.text);
out:
    buf_clear(&attributes);
    ASN1_item_free((ASN1_VALUE *)si, ASN1_ITEM_rptr(SCEPD_SIGNER_INFO));
    ERR_clear_error();
}

static int count(int n)
{
    return n < 0 ? 0 : n; /* -1: the field is absent */
}

bool inspect_signed(struct view in, struct cert *const *candidates, size_t n,
                    struct inspected_signed *out, struct err *err)
{
    struct cms_signed_data *sd = (void *)cms_decode(
        in, NID_pkcs7_signed, ASN1_ITEM_rptr(SCEPD_SIGNED_DATA), "the SignedData", err);
    if (!sd)
        return false;
    struct inspected_signed i = {
        .certificates = count(sk_ASN1_TYPE_num(sd->certificates)),
        .crls = count(sk_ASN1_TYPE_num(sd->crls)),
        .signers = count(sk_ASN1_TYPE_num(sd->signer_infos)),
        .has_content = sd->encapsulated->content != NULL,
        .content_is_data = OBJ_obj2nid(sd->encapsulated->type) == NID_pkcs7_data,
        .candidate = -1,
    };
    i.der = check_der(in, i.not_der, sizeof i.not_der);
    struct view content = frame_view(sd->encapsulated->content);
    bool ok = content.n == 0 || buf_append(&i.content, content.p, content.n) || err_memory(err);
    if (ok && i.signers > 0)
        describe_signer(sd, candidates, n, &i);
    ASN1_item_free((ASN1_VALUE *)sd, ASN1_ITEM_rptr(SCEPD_SIGNED_DATA));
    if (ok)
        *out = i;
    else
        inspected_signed_clear(&i);
    return ok;
}

void inspected_signed_clear(struct inspected_signed *i)
{
    buf_clear(&i->content);
    cert_free(i->signer);
    *i = (struct inspected_signed){.candidate = -1};
}

/* ---- the envelope ---- */

/* EnvelopedData and EncryptedContentInfo with the form of encryptedContent kept. */
struct envelope_shape {
    ASN1_INTEGER *version;
    ASN1_STRING *originator;
    STACK_OF(ASN1_TYPE) * recipients;
    ASN1_STRING *encrypted; /* raw */
    ASN1_STRING *unprotected;
};

struct encrypted_shape {
    ASN1_OBJECT *type;
    X509_ALGOR *cipher;
    ASN1_TYPE *content; /* the whole [0] */
};

/* clang-format off */
ASN1_SEQUENCE(SCEPD_ENVELOPE_SHAPE) = {
    ASN1_SIMPLE(struct envelope_shape, version, ASN1_INTEGER),
    ASN1_IMP_OPT(struct envelope_shape, originator, ASN1_SEQUENCE, 0),
    ASN1_SET_OF(struct envelope_shape, recipients, ASN1_ANY),
    ASN1_SIMPLE(struct envelope_shape, encrypted, ASN1_SEQUENCE),
    ASN1_IMP_OPT(struct envelope_shape, unprotected, ASN1_SEQUENCE, 1),
} static_ASN1_SEQUENCE_END_name(struct envelope_shape, SCEPD_ENVELOPE_SHAPE)

ASN1_SEQUENCE(SCEPD_ENCRYPTED_SHAPE) = {
    ASN1_SIMPLE(struct encrypted_shape, type, ASN1_OBJECT),
    ASN1_SIMPLE(struct encrypted_shape, cipher, X509_ALGOR),
    ASN1_OPT(struct encrypted_shape, content, ASN1_ANY),
} static_ASN1_SEQUENCE_END_name(struct encrypted_shape, SCEPD_ENCRYPTED_SHAPE)
    /* clang-format on */

    static void describe_recipients(const struct envelope_shape *e, struct inspected_envelope *out)
{
    struct err ignored;
    out->recipients = count(sk_ASN1_TYPE_num(e->recipients));
    const ASN1_TYPE *first = out->recipients ? sk_ASN1_TYPE_value(e->recipients, 0) : NULL;
    if (!first || first->type != V_ASN1_SEQUENCE)
        return;
    struct cms_key_trans *kt =
        (void *)frame_decode(frame_view(first->value.sequence), ASN1_ITEM_rptr(SCEPD_KEY_TRANS),
                             REASON_MESSAGE_MALFORMED, "a RecipientInfo", &ignored);
    if (!kt)
        return;
    algorithm_name(kt->algorithm, out->key_transport);
    out->by_key_identifier = kt->ski != NULL;
    ASN1_item_free((ASN1_VALUE *)kt, ASN1_ITEM_rptr(SCEPD_KEY_TRANS));
}

bool inspect_envelope(struct view in, struct inspected_envelope *out, struct err *err)
{
    struct encrypted_shape *c = NULL;
    struct envelope_shape *e = (void *)cms_decode(
        in, NID_pkcs7_enveloped, ASN1_ITEM_rptr(SCEPD_ENVELOPE_SHAPE), "the EnvelopedData", err);
    if (e)
        c = (void *)frame_decode(frame_view(e->encrypted), ASN1_ITEM_rptr(SCEPD_ENCRYPTED_SHAPE),
                                 REASON_MESSAGE_MALFORMED, "the encrypted content", err);
    if (c) {
        struct inspected_envelope i = {0};
        i.der = check_der(in, i.not_der, sizeof i.not_der);
        algorithm_name(c->cipher, i.cipher);
        struct view tlv = c->content && c->content->type == V_ASN1_OTHER
                              ? frame_view(c->content->value.asn1_string)
                              : view_of(NULL, 0);
        i.in_pieces = tlv.n && (tlv.p[0] & V_ASN1_CONSTRUCTED);
        describe_recipients(e, &i);
        *out = i;
    }
    bool ok = c != NULL;
    ASN1_item_free((ASN1_VALUE *)c, ASN1_ITEM_rptr(SCEPD_ENCRYPTED_SHAPE));
    ASN1_item_free((ASN1_VALUE *)e, ASN1_ITEM_rptr(SCEPD_ENVELOPE_SHAPE));
    return ok;
}
