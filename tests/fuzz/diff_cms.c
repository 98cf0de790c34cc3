#include "diff.h"

#include <stdlib.h>
#include <time.h>

#include <openssl/cms.h>
#include <openssl/err.h>
#include <openssl/pkcs7.h>
#include <openssl/rsa.h>

#include "frame.h"

/* ---- OpenSSL's side ---- */

static CMS_ContentInfo *cms_read(struct view in, int nid)
{
    const uint8_t *p = in.p;
    CMS_ContentInfo *cms = d2i_CMS_ContentInfo(NULL, &p, (long)in.n);
    ERR_clear_error();
    if (cms && p == in.p + in.n && OBJ_obj2nid(CMS_get0_type(cms)) == nid)
        return cms;
    CMS_ContentInfo_free(cms);
    return NULL;
}

static void take_bio(BIO *bio, struct buf *out)
{
    char *p = NULL;
    long n = BIO_get_mem_data(bio, &p);
    buf_reset(out);
    if (n > 0 && !buf_append(out, p, (size_t)n))
        abort();
}

/* One signature, right, by a certificate inside; what it covers. */
static bool cms_verified(CMS_ContentInfo *cms, struct buf *content)
{
    if (!cms)
        return false;
    ASN1_OCTET_STRING **at = CMS_get0_content(cms);
    BIO *absent = at && !*at ? BIO_new_mem_buf("", 0) : NULL, *out = BIO_new(BIO_s_mem());
    bool good =
        CMS_verify(cms, NULL, NULL, absent, out, CMS_NO_SIGNER_CERT_VERIFY | CMS_BINARY) == 1;
    ERR_clear_error();
    take_bio(out, content);
    BIO_free(absent);
    BIO_free(out);
    return good;
}

static bool cms_decrypted(const struct seal *s, CMS_ContentInfo *cms, struct view password,
                          struct buf *plain)
{
    BIO *out = BIO_new(BIO_s_mem());
    bool good = cms != NULL;
    if (good && password.n) {
        good = CMS_decrypt_set1_password(cms, (uint8_t *)(uintptr_t)password.p,
                                         (ossl_ssize_t)password.n) == 1 &&
               CMS_decrypt(cms, NULL, NULL, NULL, out, 0) == 1;
    } else if (good) {
        good = CMS_decrypt(cms, s->rsa, s->cert, NULL, out, 0) == 1;
    }
    ERR_clear_error();
    take_bio(out, plain);
    BIO_free(out);
    return good;
}

/* ---- what pkcs7/ passes over, taken away ---- */

static struct tree *parsed(struct view der)
{
    struct tree *t = tree_read(der);
    if (!t)
        diff_fail("what pkcs7/ reads is no BER");
    return t;
}

static struct tree *inner(const struct tree *t)
{
    return tree_child(tree_child(t, 1), 0);
}

static struct tree *empty(unsigned identifier)
{
    struct tree *t = parsed(view_of("\x30\x00", 2));
    t->identifier[0] = (uint8_t)identifier;
    return t;
}

static void set_small(struct tree *sequence, uint8_t value)
{
    tree_replace(sequence, 0, parsed(view_of((uint8_t[]){0x02, 0x01, value}, 3)));
}

/* A certificate of this key that OpenSSL reads.  Nobody looks at its times: the same octets each
 * time. */
static X509 *stand_in(const struct seal *s, EVP_PKEY *key)
{
    X509 *x = X509_new();
    X509_NAME *name = X509_get_issuer_name(x);
    X509_set_version(x, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const uint8_t *)"stand-in", -1, -1, 0);
    ASN1_TIME_set(X509_getm_notBefore(x), 1700000000);
    ASN1_TIME_set(X509_getm_notAfter(x), 1800000000);
    if (X509_set_pubkey(x, key) != 1 || X509_sign(x, s->rsa, EVP_sha256()) <= 0)
        diff_fail("no certificate for the signer's key");
    return x;
}

static struct tree *issuer_and_serial(X509 *x)
{
    struct tree *t = empty(0x30);
    uint8_t *p = NULL;
    int n = i2d_X509_NAME(X509_get_issuer_name(x), &p);
    tree_insert(t, 0, parsed(view_of(p, (size_t)n)));
    OPENSSL_free(p);
    p = NULL;
    n = i2d_ASN1_INTEGER(X509_get_serialNumber(x), &p);
    tree_insert(t, 1, parsed(view_of(p, (size_t)n)));
    OPENSSL_free(p);
    return t;
}

/* The SignedData with the signer's certificate only (or `other` for it), the one digest algorithm,
 * no CRLs, no unsigned attributes and a version that fits: pkcs7/ looks at none of what is left
 * out. */
static void signed_reduced(struct view in, struct view cert, X509 *other, struct buf *out)
{
    struct tree *t = parsed(in), *data = inner(t), *certs = empty(0xa0), *digests = empty(0x31);
    struct tree *info = tree_child(data->child[data->n - 1], 0);
    while (data->n > 4) /* certificates and CRLs */
        tree_free(tree_take(data, 3));
    if (tree_is(info->child[info->n - 1], 0xa1))
        tree_free(tree_take(info, info->n - 1));
    tree_insert(certs, 0, parsed(cert));
    tree_insert(data, 3, certs);
    if (other)
        tree_replace(info, 1, issuer_and_serial(other));
    tree_insert(digests, 0, tree_copy(info->child[2]));
    tree_replace(data, 1, digests);
    set_small(data, 1);
    set_small(info, tree_is(info->child[1], 0x30) ? 1 : 3);
    tree_write(t, false, out);
    tree_free(t);
}

/* The EnvelopedData with that recipient only. */
static void envelope_reduced(struct view in, bool password, struct buf *out,
                             bool (*ours)(const struct tree *))
{
    struct tree *t = parsed(in), *data = inner(t);
    set_small(data, password ? 3 : 0);
    for (size_t i = data->n; i-- > 1;)
        if (tree_is(data->child[i], 0xa0) || tree_is(data->child[i], 0xa1))
            tree_free(tree_take(data, i));
    struct tree *recipients = tree_child(data, 1);
    size_t keep = 0;
    while (keep < recipients->n && !ours(recipients->child[keep]))
        keep++;
    while (recipients->n > keep + 1)
        tree_free(tree_take(recipients, recipients->n - 1));
    while (recipients->n > 1)
        tree_free(tree_take(recipients, 0));
    tree_write(t, false, out);
    tree_free(t);
}

/* OpenSSL's CMS takes a version of no octets, which is no INTEGER (X.690 section 8.3.1). */
static bool has_empty_number(struct view in)
{
    struct tree *t = tree_read(in);
    bool found = false;
    for (size_t i = 0; t && i < tree_count(t); i++)
        found |= tree_is(tree_nth(t, i), 0x02) && tree_nth(t, i)->content.n == 0;
    tree_free(t);
    return found;
}

/* Definite lengths, as short as can be, and no string in pieces. */
static bool is_der(struct view in)
{
    struct tree *t = tree_read(in);
    struct buf der = {0};
    bool whole = t != NULL;
    for (size_t i = 0; t && i < tree_count(t); i++) {
        const struct tree *x = tree_nth(t, i);
        whole &= !x->constructed || x->identifier[0] >= 0x30;
    }
    if (t)
        tree_write(t, true, &der);
    bool same = whole && view_eq(in, buf_view(&der));
    tree_free(t);
    buf_clear(&der);
    return same;
}

/* ---- SignedData ---- */

static const ASN1_TYPE *attribute(const CMS_SignerInfo *si, const char *oid)
{
    ASN1_OBJECT *o = OBJ_txt2obj(oid, 1);
    int at = CMS_signed_get_attr_by_OBJ(si, o, -1);
    ASN1_OBJECT_free(o);
    return at < 0 ? NULL : X509_ATTRIBUTE_get0_type(CMS_signed_get_attr(si, at), 0);
}

static struct view octets_of(const ASN1_TYPE *t)
{
    return t ? view_of(t->value.asn1_string->data, (size_t)t->value.asn1_string->length)
             : view_of(NULL, 0);
}

static void compare_number(const char *what, int ours, const ASN1_TYPE *theirs)
{
    char text[16];
    snprintf(text, sizeof text, "%d", ours);
    diff_octets(what, view_str(text), octets_of(theirs));
}

#define SCEP_ATTRIBUTE(n) "2.16.840.1.113733.1.9." n

static void compare_attributes(const struct scep_message *m, CMS_SignerInfo *si)
{
    const ASN1_TYPE *id = attribute(si, SCEP_ATTRIBUTE("7")),
                    *when = attribute(si, "1.2.840.113549.1.9.5");
    struct tm tm;
    diff_octets("transactionID", view_str(m->transaction_id), octets_of(id));
    if (id && (int)m->transaction_tag != id->type)
        diff_fail("transactionID has tag %u, %d for OpenSSL", m->transaction_tag, id->type);
    compare_number("messageType", (int)m->type, attribute(si, SCEP_ATTRIBUTE("2")));
    diff_octets("senderNonce", view_of(m->sender_nonce, m->sender_nonce_len),
                octets_of(attribute(si, SCEP_ATTRIBUTE("5"))));
    if (m->is_reply) {
        compare_number("pkiStatus", (int)m->status, attribute(si, SCEP_ATTRIBUTE("3")));
        diff_octets("recipientNonce", view_of(m->recipient_nonce, m->recipient_nonce_len),
                    octets_of(attribute(si, SCEP_ATTRIBUTE("6"))));
        if (m->status == SCEP_FAILURE)
            compare_number("failInfo", (int)m->fail_info, attribute(si, SCEP_ATTRIBUTE("4")));
    }
    int64_t theirs =
        when && ASN1_TIME_to_tm(when->value.asn1_string, &tm) ? (int64_t)timegm(&tm) : 0;
    if (m->signing_time != theirs)
        diff_fail("signingTime %lld, %lld for OpenSSL", (long long)m->signing_time,
                  (long long)theirs);
}

static void compare_signed(const struct scep_message *m, CMS_ContentInfo *cms, struct view content,
                           bool by_stand_in)
{
    X509_ALGOR *digest;
    EVP_PKEY *key;
    X509 *signer;
    diff_octets("content", buf_view(&m->content), content);
    if (sk_CMS_SignerInfo_num(CMS_get0_SignerInfos(cms)) != 1)
        diff_fail("one SignerInfo, %d for OpenSSL",
                  sk_CMS_SignerInfo_num(CMS_get0_SignerInfos(cms)));
    CMS_SignerInfo *si = sk_CMS_SignerInfo_value(CMS_get0_SignerInfos(cms), 0);
    CMS_SignerInfo_get0_algs(si, &key, &signer, &digest, NULL);
    if (OBJ_obj2nid(digest->algorithm) != EVP_MD_get_type(digest_md(m->digest)))
        diff_fail("digest %s is another one for OpenSSL", digest_name(m->digest));
    if (EVP_PKEY_eq(key, m->signer_pkey) != 1)
        diff_fail("another signer's key for OpenSSL");
    if (!by_stand_in) { /* not all of it: algorithms that nobody asked for OpenSSL may write
                           otherwise */
        DIFF_SAME(X509_NAME, m->signer->issuer, X509_get_issuer_name(signer));
        DIFF_SAME(X509_NAME, m->signer->subject, X509_get_subject_name(signer));
        DIFF_SAME(ASN1_INTEGER, m->signer->serial_tlv, X509_get0_serialNumber(signer));
    }
    compare_attributes(m, si);
    ERR_clear_error();
}

/* OpenSSL knows that a countersignature is no signed attribute (RFC 5652 section 11.4); to us it is
 * one that we do not know. */
static bool has_countersignature(struct view in)
{
    struct tree *t = parsed(in), *data = inner(t);
    struct buf der = {0};
    tree_write(data->child[data->n - 1], true, &der);
    bool found = memmem(der.p, der.n, "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x06", 9) != NULL;
    buf_clear(&der);
    tree_free(t);
    return found;
}

/* Of several that fit, OpenSSL may take one that cert_parse does not read. */
static bool has_more_certificates(struct view in)
{
    struct tree *t = parsed(in);
    const struct tree *certificates = tree_child(inner(t), 3);
    bool more = tree_is(certificates, 0xa0) && certificates->n > 1;
    tree_free(t);
    return more;
}

/* Asked for its key identifier OpenSSL reads every extension that it knows, we that one alone. */
static bool has_invalid_extension(const struct cert *c)
{
    const uint8_t *p = c->der.p;
    X509 *x = d2i_X509(NULL, &p, (long)c->der.n);
    bool invalid = x && (X509_get_extension_flags(x) & EXFLAG_INVALID);
    X509_free(x);
    ERR_clear_error();
    return invalid;
}

/* OpenSSL's opinion of what scep_parse took, with ever less of what it does not look at. */
static void diff_signed(const struct seal *s, struct view in, const struct scep_message *m,
                        CMS_ContentInfo *whole)
{
    struct buf content = {0}, reduced = {0};
    X509 *other = NULL;
    CMS_ContentInfo *cms = whole;
    bool good = cms_verified(cms, &content);
    if (!good || has_more_certificates(in)) {
        signed_reduced(in, buf_view(&m->signer->der), NULL, &reduced);
        cms = cms_read(buf_view(&reduced), NID_pkcs7_signed);
        good = cms_verified(cms, &content);
    }
    if (!good && (diff_certificate_unreadable(m->signer) || has_invalid_extension(m->signer))) {
        uint8_t *p = NULL;
        other = stand_in(s, m->signer_pkey);
        int n = i2d_X509(other, &p);
        buf_reset(&reduced);
        signed_reduced(in, view_of(p, (size_t)n), other, &reduced);
        OPENSSL_free(p);
        CMS_ContentInfo_free(cms);
        cms = cms_read(buf_view(&reduced), NID_pkcs7_signed);
        good = cms_verified(cms, &content);
    }
    if (!good && !has_countersignature(in))
        diff_fail("a message that OpenSSL does not verify");
    if (good)
        compare_signed(m, cms, buf_view(&content), other != NULL);
    if (cms != whole)
        CMS_ContentInfo_free(cms);
    X509_free(other);
    buf_clear(&content);
    buf_clear(&reduced);
}

/* ---- the private key ---- */

static struct view without_leading_zeros(struct view v)
{
    while (v.n > 0 && v.p[0] == 0)
        v = view_of(v.p + 1, v.n - 1);
    return v;
}

/* As an authority knows its recipients: numbers without padding, names by what they say. */
static int find_key(void *ctx, const struct scep_recipient *who)
{
    const struct seal *s = ctx;
    const ASN1_OCTET_STRING *ski = X509_get0_subject_key_id(s->cert);
    const ASN1_INTEGER *serial = X509_get0_serialNumber(s->cert);
    if (who->ski.n)
        return ski && view_eq(who->ski, view_of(ski->data, (size_t)ski->length)) ? 0 : -1;
    if (!view_eq(without_leading_zeros(who->serial),
                 without_leading_zeros(view_of(serial->data, (size_t)serial->length))))
        return -1;
    const uint8_t *p = who->issuer.p;
    X509_NAME *name = d2i_X509_NAME(NULL, &p, (long)who->issuer.n);
    bool same = name && X509_NAME_cmp(name, X509_get_issuer_name(s->cert)) == 0;
    X509_NAME_free(name);
    ERR_clear_error();
    return same ? 0 : -1;
}

/* The first recipient that is taken, as it stands in a tree. */
static bool is_our_recipient(const struct tree *t)
{
    struct scep_recipient who = {0};
    struct buf issuer = {0}, octets = {0};
    const struct tree *id = tree_child(t, 1);
    if (!tree_is(t, 0x30) || !id)
        return false;
    if (id->constructed && id->n == 2 && tree_is(id, 0x30)) {
        tree_write(id->child[0], false, &issuer);
        tree_octets(id->child[1], &octets);
        who.issuer = buf_view(&issuer);
        who.serial = buf_view(&octets);
    } else {
        tree_octets(id, &octets);
        who.ski = buf_view(&octets);
    }
    bool ours = find_key((void *)(uintptr_t)seal_get(), &who) >= 0;
    buf_clear(&issuer);
    buf_clear(&octets);
    return ours;
}

static bool is_password_recipient(const struct tree *t)
{
    return tree_is(t, 0xa3);
}

static EVP_PKEY_CTX *decryption(const struct seal *s, struct key_wrap wrap)
{
    bool oaep = wrap.padding == PADDING_OAEP;
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(s->rsa, NULL);
    if (c && EVP_PKEY_decrypt_init(c) > 0 &&
        EVP_PKEY_CTX_set_rsa_padding(c, oaep ? RSA_PKCS1_OAEP_PADDING : RSA_PKCS1_PADDING) > 0 &&
        (!oaep || (EVP_PKEY_CTX_set_rsa_oaep_md(c, digest_md(wrap.hash)) > 0 &&
                   EVP_PKEY_CTX_set_rsa_mgf1_md(c, digest_md(wrap.mgf)) > 0)))
        return c;
    EVP_PKEY_CTX_free(c);
    return NULL;
}

/* Octets that nobody encrypted, in place of those that do not decode. */
static bool decrypt_key(void *ctx, int key, struct key_wrap wrap, struct view encrypted,
                        uint8_t *content_key, size_t key_len, struct err *err)
{
    uint8_t plain[512];
    size_t n = sizeof plain;
    EVP_PKEY_CTX *c = decryption(ctx, wrap);
    bool good = c && EVP_PKEY_decrypt(c, plain, &n, encrypted.p, encrypted.n) > 0 && n == key_len;
    memset(content_key, 0x42, key_len);
    if (good)
        memcpy(content_key, plain, key_len);
    EVP_PKEY_CTX_free(c);
    ERR_clear_error();
    return true;
}

#define PASSWORD "7QK4-M2XH-9RTD-VN3A"

static struct scep_keys keys_of(const struct seal *s, bool password)
{
    return (struct scep_keys){.ctx = (void *)(uintptr_t)s,
                              .find = find_key,
                              .decrypt = decrypt_key,
                              .password = password ? view_str(PASSWORD) : view_of(NULL, 0)};
}

/* ---- EnvelopedData ---- */

/* What OpenSSL finds in an envelope that pkcs7/ opened. */
static void plain_of(const struct seal *s, const struct scep_message *m, struct buf *plain)
{
    bool password = m->key < 0;
    struct buf reduced = {0};
    struct view key = password ? view_str(PASSWORD) : view_of(NULL, 0);
    CMS_ContentInfo *cms = cms_read(buf_view(&m->content), NID_pkcs7_enveloped);
    bool good = cms_decrypted(s, cms, key, plain);
    CMS_ContentInfo_free(cms);
    if (!good) {
        envelope_reduced(buf_view(&m->content), password, &reduced,
                         password ? is_password_recipient : is_our_recipient);
        cms = cms_read(buf_view(&reduced), NID_pkcs7_enveloped);
        good = cms_decrypted(s, cms, key, plain);
        CMS_ContentInfo_free(cms);
    }
    if (!good)
        diff_fail("an envelope that OpenSSL does not open");
    buf_clear(&reduced);
}

/* Two values in a SEQUENCE, as they stand. */
static void compare_pair(struct view plain, struct view first, struct view second, bool serial)
{
    const uint8_t *p = plain.p;
    ASN1_SEQUENCE_ANY *pair = d2i_ASN1_SEQUENCE_ANY(NULL, &p, (long)plain.n);
    ERR_clear_error();
    if (sk_ASN1_TYPE_num(pair) != 2 || p != plain.p + plain.n)
        diff_fail("a pair of names that OpenSSL does not read");
    const ASN1_TYPE *a = sk_ASN1_TYPE_value(pair, 0), *b = sk_ASN1_TYPE_value(pair, 1);
    diff_octets("issuer", first, octets_of(a));
    if (!serial)
        diff_octets("subject", second, octets_of(b));
    sk_ASN1_TYPE_pop_free(pair, ASN1_TYPE_free);
}

static void compare_plain(const struct scep_message *m, struct view plain)
{
    switch (m->type) {
    case SCEP_PKCS_REQ:
    case SCEP_RENEWAL_REQ:
        diff_octets("certification request", buf_view(&m->csr->der), plain);
        diff_csr(plain);
        break;
    case SCEP_CERT_POLL:
        if (m->issuer.n)
            compare_pair(plain, m->issuer, m->subject, false);
        break;
    case SCEP_GET_CERT:
    case SCEP_GET_CRL:
        compare_pair(plain, m->issuer, m->serial, true);
        break;
    case SCEP_CERT_REP:
        break;
    }
}

/* Of what is not even BER nobody is shown to have written it; OpenSSL does not look into attribute
 * values. */
static bool is_ber(struct view plain)
{
    struct err ignored = {0};
    return frame_check(plain, CSR_MAX_SIZE, FRAME_BER, REASON_CSR_MALFORMED, &ignored);
}

/* Refused as if it had not been opened, although OpenSSL verifies it?  That is only so of what is
 * no BER (and the request itself is refused for a reason that is meant): whoever wrote a request
 * that verifies, with whatever key, is told what is wrong with it. */
static bool is_unproven(struct view plain, struct err *err)
{
    struct csr *csr = NULL;
    if (!strstr(err->text, "does not open with our key"))
        return false;
    if (csr_parse(plain, ~0u, NULL, view_of(NULL, 0), &csr, err))
        diff_fail("a good request counts as one that was not opened");
    diff_refusal("request that counts as not opened", err);
    if (is_ber(plain))
        diff_fail("the sender is shown to have written what counts as not opened: %s", err->text);
    return true;
}

static void diff_request(const struct seal *s, struct scep_message *m)
{
    const struct scep_rules rules = {.ciphers = ~0u, .csr_digests = ~0u};
    const struct scep_keys keys = keys_of(s, false);
    struct err err = {0};
    struct buf plain = {0};
    bool csr = m->type == SCEP_PKCS_REQ || m->type == SCEP_RENEWAL_REQ;
    if (scep_open_by(m, &rules, &keys, &err)) {
        if (m->type != SCEP_CERT_POLL || m->issuer.n) /* a poll is taken with any content */
            plain_of(s, m, &plain);
        compare_plain(m, buf_view(&plain));
    } else if (csr) {
        CMS_ContentInfo *cms = cms_read(buf_view(&m->content), NID_pkcs7_enveloped);
        if (cms_decrypted(s, cms, view_of(NULL, 0), &plain) &&
            diff_csr_verified(buf_view(&plain)) && !has_empty_number(buf_view(&m->content)) &&
            !is_unproven(buf_view(&plain), &err))
            diff_refusal("envelope", &err);
        CMS_ContentInfo_free(cms);
    }
    buf_clear(&plain);
}

/* ---- CertRep ---- */

static bool unreadable_inside(const struct scep_certs *c)
{
    bool unreadable = false;
    for (size_t i = 0; i < c->n; i++) {
        const uint8_t *p = c->der[i].p;
        X509 *x = d2i_X509(NULL, &p, (long)c->der[i].n);
        unreadable |= !x;
        X509_free(x);
    }
    const uint8_t *p = c->crl.p;
    X509_CRL *crl = c->crl.n ? d2i_X509_CRL(NULL, &p, (long)c->crl.n) : NULL;
    unreadable |= c->crl.n && !crl;
    X509_CRL_free(crl);
    ERR_clear_error();
    return unreadable;
}

/* The same certificate?  What is not DER OpenSSL writes otherwise, and algorithms that nobody asked
 * for. */
static void compare_listed(struct view ours, X509 *theirs)
{
    struct cert *c = NULL;
    struct err err = {0};
    if (!cert_parse(ours, &c, &err))
        return;
    DIFF_SAME(X509_NAME, c->issuer, X509_get_issuer_name(theirs));
    DIFF_SAME(X509_NAME, c->subject, X509_get_subject_name(theirs));
    DIFF_SAME(ASN1_INTEGER, c->serial_tlv, X509_get0_serialNumber(theirs));
    cert_free(c);
}

/* Certificates of other kinds (attribute certificates) are passed over by both. */
static void compare_lists(const struct scep_certs *c, CMS_ContentInfo *cms)
{
    STACK_OF(X509) *certs = CMS_get1_certs(cms);
    STACK_OF(X509_CRL) *crls = CMS_get1_crls(cms);
    if (sk_X509_num(certs) > 0 && (size_t)sk_X509_num(certs) != c->n)
        diff_fail("%zu certificates, %d for OpenSSL", c->n, sk_X509_num(certs));
    for (int i = 0; i < sk_X509_num(certs); i++)
        compare_listed(buf_view(&c->der[i]), sk_X509_value(certs, i));
    if (c->crl.n && sk_X509_CRL_num(crls) < 1)
        diff_fail("a CRL for us only");
    if (c->crl.n && is_der(buf_view(&c->crl)))
        DIFF_SAME(X509_CRL, buf_view(&c->crl), sk_X509_CRL_value(crls, 0));
    sk_X509_pop_free(certs, X509_free);
    sk_X509_CRL_pop_free(crls, X509_CRL_free);
    ERR_clear_error();
}

/* Whatever else a list of certificates holds is left out. */
static CMS_ContentInfo *list_reduced(struct view in)
{
    struct tree *t = parsed(in), *data = inner(t);
    struct buf der = {0};
    set_small(data, 1);
    tree_replace(data, 1, empty(0x31));
    tree_replace(data, data->n - 1, empty(0x31));
    for (size_t i = data->n - 1; i-- > 3;) {
        struct tree *list = data->child[i];
        if (!list->constructed) { /* both decoders look into such a one nevertheless */
            tree_free(tree_take(data, i));
            continue;
        }
        bool crls = tree_is(list, 0xa1); /* of which only the first is looked at */
        for (size_t k = list->n; k-- > 0;)
            if (!tree_is(list->child[k], 0x30) || (crls && k > 0))
                tree_free(tree_take(list, k));
    }
    tree_write(t, false, &der);
    tree_free(t);
    CMS_ContentInfo *cms = cms_read(buf_view(&der), NID_pkcs7_signed);
    buf_clear(&der);
    return cms;
}

static void diff_list(struct view in, const struct scep_certs *c)
{
    CMS_ContentInfo *cms = cms_read(in, NID_pkcs7_signed);
    if (!cms && !unreadable_inside(c))
        cms = list_reduced(in);
    if (cms)
        compare_lists(c, cms);
    else if (!unreadable_inside(c))
        diff_fail("a list of certificates that OpenSSL does not read");
    CMS_ContentInfo_free(cms);
}

void diff_certs(struct view in)
{
    struct scep_certs c = {0};
    struct err err = {0};
    if (scep_certs_parse(in, &c, &err)) {
        diff_list(in, &c);
        scep_certs_clear(&c);
        return;
    }
    CMS_ContentInfo *cms = cms_read(in, NID_pkcs7_signed);
    if (cms && !has_empty_number(in))
        diff_refusal("list of certificates", &err);
    CMS_ContentInfo_free(cms);
}

/* A list that was refused inside an envelope counts as one that did not open; its own reason is
 * found by reading what OpenSSL decrypted. */
static void diff_answer_refused(struct view plain, struct err *err)
{
    struct scep_certs certs = {0};
    if (strstr(err->text, "does not open with our key") && scep_certs_parse(plain, &certs, err))
        diff_fail("a good list of certificates counts as one that was not opened");
    diff_refusal("answer", err);
}

static void diff_reply(const struct seal *s, struct scep_message *m)
{
    struct scep_keys keys = keys_of(s, true);
    struct scep_certs certs = {0};
    struct err err = {0};
    struct buf plain = {0};
    if (certrep_open(m, &keys, &certs, &err)) {
        plain_of(s, m, &plain);
        diff_octets("list of certificates", buf_view(&m->plain), buf_view(&plain));
        diff_list(buf_view(&plain), &certs);
        scep_certs_clear(&certs);
    } else {
        CMS_ContentInfo *cms = cms_read(buf_view(&m->content), NID_pkcs7_enveloped);
        CMS_ContentInfo *list = NULL;
        if (cms_decrypted(s, cms, view_of(NULL, 0), &plain))
            list = cms_read(buf_view(&plain), NID_pkcs7_signed);
        if (list && !has_empty_number(buf_view(&m->content)) && !has_empty_number(buf_view(&plain)))
            diff_answer_refused(buf_view(&plain), &err);
        CMS_ContentInfo_free(cms);
        CMS_ContentInfo_free(list);
    }
    buf_clear(&plain);
}

/* ---- a message ---- */

void diff_message(const struct seal *s, struct view in)
{
    const struct scep_rules rules = {.digests = ~0u};
    struct scep_message *m = NULL;
    struct err err = {0};
    CMS_ContentInfo *cms = cms_read(in, NID_pkcs7_signed);
    if (scep_parse_by(in, &rules, &m, &err)) {
        diff_signed(s, in, m, cms);
        if (!m->is_reply)
            diff_request(s, m);
        else if (m->status == SCEP_SUCCESS)
            diff_reply(s, m);
    } else {
        struct buf content = {0};
        if (cms_verified(cms, &content) && !has_empty_number(in))
            diff_refusal("message", &err);
        buf_clear(&content);
    }
    scep_message_free(m);
    CMS_ContentInfo_free(cms);
}
