/* Reads a CRL entry by entry: OpenSSL's X509_CRL would need a gigabyte for a million of them. */
#include <openssl/asn1.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>

#include "ca/import.h"
#include "pkcs7/tlv.h"

static bool malformed(struct err *err)
{
    return err_set(err, ERR_CONFIG, "it is no CRL, or a damaged one");
}

static bool is_time(unsigned tag)
{
    return tag == DER_UTC_TIME || tag == DER_GENERALIZED_TIME;
}

/* RFC 5280 section 5.1. */
struct list {
    struct view tbs, sigalg, signature;  /* TLVs; the octets of the signature */
    struct view issuer;                  /* TLV */
    struct tlv this_update, next_update; /* tag 0 if absent */
    struct view entries, extensions;     /* content; empty if absent */
};

static bool split_tbs(struct view tbs, struct list *l)
{
    struct view rest = tbs;
    struct tlv t;
    if (!tlv_next(&rest, &t))
        return false;
    if (t.tag == DER_INTEGER && !tlv_next(&rest, &t)) /* version */
        return false;
    if (t.tag != DER_SEQUENCE || !tlv_next_is(&rest, DER_SEQUENCE, &t))
        return false;
    l->issuer = t.whole;
    if (!tlv_next(&rest, &t) || !is_time(t.tag))
        return false;
    l->this_update = t;
    if (!rest.n)
        return true;
    if (!tlv_next(&rest, &t))
        return false;
    if (is_time(t.tag)) {
        l->next_update = t;
        if (rest.n && !tlv_next(&rest, &t))
            return false;
    }
    if (t.tag == DER_SEQUENCE) {
        l->entries = t.content;
        if (rest.n && !tlv_next(&rest, &t))
            return false;
    }
    if (t.tag == DER_CONTEXT_CONSTRUCTED(0))
        l->extensions = t.content;
    return rest.n == 0;
}

static bool split_list(struct view der, struct list *l)
{
    struct tlv all, tbs, sigalg, signature;
    if (!tlv_next_is(&der, DER_SEQUENCE, &all) || der.n ||
        !tlv_next_is(&all.content, DER_SEQUENCE, &tbs) ||
        !tlv_next_is(&all.content, DER_SEQUENCE, &sigalg) ||
        !tlv_next_is(&all.content, DER_BIT_STRING, &signature) || all.content.n ||
        signature.content.n < 2 || signature.content.p[0] != 0)
        return false;
    *l = (struct list){.tbs = tbs.whole,
                       .sigalg = sigalg.whole,
                       .signature = {signature.content.p + 1, signature.content.n - 1}};
    return split_tbs(tbs.content, l);
}

/* ---- extensions ---- */

static bool read_number(ASN1_INTEGER *number, struct crl_info *info, struct err *err)
{
    info->has_number = true;
    if (ASN1_INTEGER_get_uint64(&info->number, number) == 1 && info->number < INT64_MAX)
        return true;
    ERR_clear_error();
    return err_set(err, ERR_CONFIG, "its CRL number has more than 63 bits: none can follow it");
}

static bool read_extensions(struct view der, struct crl_info *info, struct err *err)
{
    const unsigned char *p = der.p;
    STACK_OF(X509_EXTENSION) *all = d2i_X509_EXTENSIONS(NULL, &p, (long)der.n);
    ISSUING_DIST_POINT *point = NULL;
    ASN1_INTEGER *number = NULL;
    bool ok = false;
    if (!all || p != der.p + der.n) {
        malformed(err);
        goto out;
    }
    if (X509v3_get_ext_by_NID(all, NID_delta_crl, -1) >= 0) {
        err_set(err, ERR_CONFIG, "it is a delta CRL: give the complete one");
        goto out;
    }
    point = X509V3_get_d2i(all, NID_issuing_distribution_point, NULL, NULL);
    if (point && point->indirectCRL > 0) {
        err_set(err, ERR_CONFIG, "it is an indirect CRL, which lists other authorities too");
        goto out;
    }
    number = X509V3_get_d2i(all, NID_crl_number, NULL, NULL);
    ok = !number || read_number(number, info, err);
out:
    ERR_clear_error();
    ASN1_INTEGER_free(number);
    ISSUING_DIST_POINT_free(point);
    sk_X509_EXTENSION_pop_free(all, X509_EXTENSION_free);
    return ok;
}

/* ---- entries ---- */

static bool entry_serial(const X509_REVOKED *r, struct crl_entry *e)
{
    unsigned char *der = NULL;
    int n = i2d_ASN1_INTEGER(X509_REVOKED_get0_serialNumber(r), &der);
    bool ok = n > 2 && n - 2 <= STORE_SERIAL_MAX;
    if (ok) {
        e->serial_len = (size_t)n - 2;
        memcpy(e->serial, der + 2, e->serial_len);
    }
    OPENSSL_free(der);
    return ok;
}

/* RFC 5280 section 5.3.1: 7 is not used; 10 is for attribute authorities, which none of these are.
 */
static bool entry_reason(const X509_REVOKED *r, struct crl_entry *e)
{
    int critical;
    e->reason = CRL_UNSPECIFIED;
    ASN1_ENUMERATED *reason = X509_REVOKED_get_ext_d2i(r, NID_crl_reason, &critical, NULL);
    if (!reason)
        return critical == -1; /* absent */
    long value = ASN1_ENUMERATED_get(reason);
    ASN1_ENUMERATED_free(reason);
    if (value < 0 || value > 10 || value == 7)
        return false;
    e->reason = value == 10 ? CRL_UNSPECIFIED : (enum crl_reason)value;
    return true;
}

static bool read_entry(struct view der, struct crl_entry *e)
{
    const unsigned char *p = der.p;
    struct tm tm;
    X509_REVOKED *r = d2i_X509_REVOKED(NULL, &p, (long)der.n);
    bool ok = r && p == der.p + der.n && entry_serial(r, e) &&
              ASN1_TIME_to_tm(X509_REVOKED_get0_revocationDate(r), &tm) == 1 &&
              entry_reason(r, e) && X509_REVOKED_get_ext_by_NID(r, NID_certificate_issuer, -1) < 0;
    if (ok)
        e->revoked_at = (int64_t)timegm(&tm);
    X509_REVOKED_free(r);
    ERR_clear_error();
    return ok;
}

static bool describe(struct view der, struct list *l, struct crl_info *out, struct err *err)
{
    struct crl_info found = {.has_number = false};
    if (!split_list(der, l) || !tlv_time(&l->this_update, &found.this_update))
        return malformed(err);
    if (l->next_update.tag && !tlv_time(&l->next_update, &found.next_update))
        return malformed(err);
    found.issuer = l->issuer;
    if (l->extensions.n && !read_extensions(l->extensions, &found, err))
        return false;
    *out = found;
    return true;
}

bool crl_describe(struct view der, struct crl_info *out, struct err *err)
{
    struct list l;
    return describe(der, &l, out, err);
}

bool crl_read_entries(struct view der, EVP_PKEY *key, struct crl_info *info,
                      bool (*each)(void *ctx, const struct crl_entry *e, struct err *err),
                      void *ctx, struct err *err)
{
    struct list l;
    struct sigalg alg;
    struct err ignored = {0};
    if (!describe(der, &l, info, err))
        return false;
    if (!sigalg_parse(l.sigalg, DIGEST_COUNT, &alg, &ignored) ||
        !pubkey_verify(key, alg, l.tbs, l.signature, &ignored))
        return err_set(err, ERR_CONFIG, "its signature is not by this authority");
    for (uint64_t n = 1; l.entries.n; n++) {
        struct crl_entry e;
        struct tlv t;
        if (!tlv_next_is(&l.entries, DER_SEQUENCE, &t) || !read_entry(t.whole, &e))
            return err_set(err, ERR_CONFIG, "its entry %llu is malformed", (unsigned long long)n);
        if (each && !each(ctx, &e, err))
            return false;
    }
    return true;
}
