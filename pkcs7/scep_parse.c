/* The outer SignedData of a pkiMessage (RFC 8894 section 3.2), from bytes to struct scep_message.
 */
#include "pkcs7/scep.h"

#include <stdio.h>
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/x509v3.h>

#include "asn1_cms.h"
#include "frame.h"
#include "odd_digest.h"
#include "scep_attrs.h"

const char *scep_type_name(enum scep_type t)
{
    switch (t) {
    case SCEP_CERT_REP:
        return "CertRep";
    case SCEP_RENEWAL_REQ:
        return "RenewalReq";
    case SCEP_PKCS_REQ:
        return "PKCSReq";
    case SCEP_CERT_POLL:
        return "CertPoll";
    case SCEP_GET_CERT:
        return "GetCert";
    case SCEP_GET_CRL:
        return "GetCRL";
    }
    return "unknown";
}

void scep_message_free(struct scep_message *m)
{
    if (!m)
        return;
    cert_free(m->signer);
    EVP_PKEY_CTX_free(m->signer_ctx);
    EVP_PKEY_free(m->signer_pkey);
    csr_free(m->csr);
    buf_clear(&m->content);
    buf_wipe(&m->plain);
    free(m);
}

/* A pkiMessage is signed by its sender alone, with signed attributes (RFC 8894 section 3.2). */
static struct cms_signer_info *signer_info_decode(const struct cms_signed_data *sd, struct err *err)
{
    int n = sk_ASN1_TYPE_num(sd->signer_infos);
    if (n != 1) {
        err_refuse(err, REASON_MESSAGE_MALFORMED, "%d SignerInfos instead of one", n);
        return NULL;
    }
    const ASN1_TYPE *only = sk_ASN1_TYPE_value(sd->signer_infos, 0);
    if (only->type != V_ASN1_SEQUENCE) {
        err_refuse(err, REASON_MESSAGE_MALFORMED, "the SignerInfo is no SEQUENCE");
        return NULL;
    }
    ASN1_VALUE *value =
        frame_decode(frame_view(only->value.sequence), ASN1_ITEM_rptr(SCEPD_SIGNER_INFO),
                     REASON_MESSAGE_MALFORMED, "the SignerInfo", err);
    struct cms_signer_info *si = (void *)value;
    if (si && !si->signed_attributes) {
        err_refuse(err, REASON_MESSAGE_MALFORMED, "the SignerInfo has no signed attributes");
        ASN1_item_free(value, ASN1_ITEM_rptr(SCEPD_SIGNER_INFO));
        return NULL;
    }
    return si;
}

static bool digest_refused(enum digest d, unsigned digests, struct err *err)
{
    char accepted[96] = "";
    size_t n = 0;
    for (enum digest i = 0; i < DIGEST_COUNT && n < sizeof accepted; i++)
        if (digests & ALG_BIT(i))
            n += (size_t)snprintf(accepted + n, sizeof accepted - n, " %s", digest_name(i));
    return err_refuse(err, REASON_ALGORITHM_REFUSED, "digest %s; accepted:%s", digest_name(d),
                      *accepted ? accepted : " none");
}

static bool read_digest(const X509_ALGOR *alg, unsigned digests, enum digest *out, struct err *err)
{
    const ASN1_OBJECT *oid;
    int parameter;
    X509_ALGOR_get0(&oid, &parameter, NULL, alg);
    enum digest d;
    if (!digest_by_nid(OBJ_obj2nid(oid), &d)) {
        char text[80];
        OBJ_obj2txt(text, sizeof text, oid, 1);
        return err_refuse(err, REASON_ALGORITHM_REFUSED, "digest %s is not known", text);
    }
    /* RFC 5754 section 2: both forms are in use. */
    if (parameter != V_ASN1_UNDEF && parameter != V_ASN1_NULL)
        return err_refuse(err, REASON_ALGORITHM_REFUSED, "digest %s with parameters",
                          digest_name(d));
    if (!(digests & ALG_BIT(d)))
        return digest_refused(d, digests, err);
    *out = d;
    return true;
}

/* By subjectKeyIdentifier as the certificate states it. */
static bool has_ski(const struct cert *c, const ASN1_OCTET_STRING *ski)
{
    const unsigned char *p = c->extensions.p;
    X509_EXTENSIONS *list =
        c->extensions.n ? d2i_X509_EXTENSIONS(NULL, &p, (long)c->extensions.n) : NULL;
    ASN1_OCTET_STRING *own = X509V3_get_d2i(list, NID_subject_key_identifier, NULL, NULL);
    bool same = own && ASN1_OCTET_STRING_cmp(own, ski) == 0;
    ASN1_OCTET_STRING_free(own);
    sk_X509_EXTENSION_pop_free(list, X509_EXTENSION_free);
    ERR_clear_error();
    return same;
}

struct signer_wanted {
    struct view issuer, serial;
    const ASN1_OCTET_STRING *ski; /* NULL: by issuer and serial */
};

static bool is_wanted(const struct cert *c, const struct signer_wanted *w)
{
    if (w->ski)
        return has_ski(c, w->ski);
    return view_eq(c->serial, w->serial) && cms_name_eq(c->issuer, w->issuer);
}

/* Others than the signer's are not looked at further, so one that cannot be read is passed over. */
static bool search_signer(const struct cms_signed_data *sd, const struct signer_wanted *w,
                          struct cert **out, struct err *err)
{
    int n = sk_ASN1_TYPE_num(sd->certificates); /* -1: none */
    if (n > SCEP_MAX_CERTS)
        return err_refuse(err, REASON_MESSAGE_MALFORMED, "%d certificates, at most %d allowed", n,
                          SCEP_MAX_CERTS);
    struct err unreadable = {0};
    for (int i = 0; i < n; i++) {
        const ASN1_TYPE *t = sk_ASN1_TYPE_value(sd->certificates, i);
        struct cert *c = NULL;
        if (t->type != V_ASN1_SEQUENCE)
            continue;
        if (!cert_parse(frame_view(t->value.sequence), &c, &unreadable)) {
            if (unreadable.kind == ERR_REFUSED)
                continue;
            *err = unreadable;
            return false;
        }
        if (is_wanted(c, w)) {
            *out = c;
            return true;
        }
        cert_free(c);
    }
    if (unreadable.kind != ERR_NONE) {
        *err = unreadable;
        return err_prefix(err, "a certificate of the message");
    }
    /* RFC 8894 section 2.3: the signer's certificate is part of the message. */
    return err_refuse(err, REASON_SIGNATURE_BAD, "the signer's certificate is not in the message");
}

static struct signer_wanted wanted_of(const struct cms_signer_info *si)
{
    struct signer_wanted w = {.ski = si->ski};
    if (si->issuer_serial) {
        w.issuer = frame_view(si->issuer_serial->issuer);
        w.serial = frame_view(si->issuer_serial->serial);
    }
    return w;
}

bool cms_names_signer(const struct cms_signer_info *si, const struct cert *c)
{
    struct signer_wanted w = wanted_of(si);
    return is_wanted(c, &w);
}

static bool find_signer(const struct cms_signed_data *sd, const struct cms_signer_info *si,
                        struct cert **out, struct err *err)
{
    if (!si->issuer_serial == !si->ski)
        return err_refuse(err, REASON_MESSAGE_MALFORMED, "the SignerInfo does not name one signer");
    struct signer_wanted w = wanted_of(si);
    return search_signer(sd, &w, out, err);
}

/* The key may be of any kind that pubkey.h knows; no policy is applied to the certificate. */
static bool load_signer(struct scep_message *m, struct err *err)
{
    m->self_signed = view_eq(m->signer->issuer, m->signer->subject);
    if (pubkey_parse(m->signer->spki, &m->signer_key, err) &&
        pubkey_load(&m->signer_key, &m->signer_pkey, err)) {
        m->signer_ctx = EVP_PKEY_CTX_new(m->signer_pkey, NULL);
        return m->signer_ctx || err_memory(err);
    }
    if (err->kind == ERR_REFUSED) {
        bool type = err->reason == REASON_KEY_TYPE;
        err->reason = type ? REASON_ALGORITHM_REFUSED : REASON_MESSAGE_MALFORMED;
        err_prefix(err, "the signer's key");
    }
    return false;
}

/* RFC 8894 section 3.2: eContentType is id-data; RFC 5652 section 11.1: the attribute repeats it.
 */
static bool take_content(const struct cms_encapsulated *e, const struct scep_signed_values *v,
                         struct scep_message *m, struct err *err)
{
    if (OBJ_obj2nid(e->type) != NID_pkcs7_data)
        return err_refuse(err, REASON_MESSAGE_MALFORMED, "the signed content is not id-data");
    if (!view_eq(view_of(OBJ_get0_data(e->type), OBJ_length(e->type)), v->content_type))
        return err_refuse(err, REASON_MESSAGE_MALFORMED,
                          "the contentType attribute is not that of the content");
    struct view content = frame_view(e->content);
    if (!buf_append(&m->content, content.p, content.n))
        return err_memory(err);
    return true;
}

/* RFC 5652 section 5.4: absent content counts as empty. */
static bool check_digest(struct scep_message *m, struct view said, bool odd_too, struct err *err)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    struct view content = buf_view(&m->content);
    if (!digest_compute(m->digest, content, digest, err))
        return false;
    if (view_eq(said, view_of(digest, digest_size(m->digest))))
        return true;
    if (odd_too && !odd_digest_check(content, m->digest, said, &m->odd_message_digest, err))
        return false;
    return m->odd_message_digest ||
           err_refuse(err, REASON_SIGNATURE_BAD, "messageDigest is not that of the content");
}

/* RFC 5652 section 5.4: the signature covers the attributes as SET OF, in DER. */
bool cms_signature_verify(const struct cms_signer_info *si, struct view attributes,
                          EVP_PKEY_CTX *key, enum digest digest, struct err *err)
{
    struct sigalg alg;
    if (!sigalg_parse(frame_view(si->signature_algorithm), digest, &alg, err))
        return false;
    if (alg.digest != digest)
        return err_refuse(err, REASON_MESSAGE_MALFORMED, "signed with %s but digested with %s",
                          digest_name(alg.digest), digest_name(digest));
    return pubkey_verify_by(key, alg, attributes, frame_view(si->signature), err);
}

/* RFC 8894 section 3.2.1.4 */
static bool read_message(const struct cms_signed_data *sd, const struct cms_signer_info *si,
                         const struct scep_rules *rules, struct scep_message *m, struct err *err)
{
    struct scep_signed_values v;
    struct buf attributes = {0};
    bool ok = scep_attributes_der(si, &attributes, err) &&
              scep_attributes_read(buf_view(&attributes), m, &v, err) &&
              read_digest(si->digest, rules->digests, &m->digest, err) &&
              find_signer(sd, si, &m->signer, err) && load_signer(m, err) &&
              take_content(sd->encapsulated, &v, m, err) &&
              check_digest(m, v.digest, rules->odd_message_digest, err) &&
              cms_signature_verify(si, buf_view(&attributes), m->signer_ctx, m->digest, err);
    buf_clear(&attributes);
    return ok;
}

bool scep_parse_by(struct view in, const struct scep_rules *rules, struct scep_message **out,
                   struct err *err)
{
    *out = NULL;
    struct cms_signer_info *si = NULL;
    struct scep_message *m = NULL;
    bool ok = false;
    struct cms_signed_data *sd = (void *)cms_decode(
        in, NID_pkcs7_signed, ASN1_ITEM_rptr(SCEPD_SIGNED_DATA), "the SignedData", err);
    if (!sd || !(si = signer_info_decode(sd, err)))
        goto out;
    m = calloc(1, sizeof *m);
    if (!m) {
        err_memory(err);
        goto out;
    }
    m->digest = DIGEST_SHA256; /* of an answer, as long as no other is known */
    m->cipher = CIPHER_AES128;
    m->key = -1;
    ok = read_message(sd, si, rules, m, err);
    if (ok || m->replyable) {
        *out = m;
        m = NULL;
    }
out:
    scep_message_free(m);
    ASN1_item_free((ASN1_VALUE *)si, ASN1_ITEM_rptr(SCEPD_SIGNER_INFO));
    ASN1_item_free((ASN1_VALUE *)sd, ASN1_ITEM_rptr(SCEPD_SIGNED_DATA));
    return ok;
}

bool scep_parse(struct view in, unsigned digests, struct scep_message **out, struct err *err)
{
    const struct scep_rules rules = {.digests = digests};
    return scep_parse_by(in, &rules, out, err);
}
