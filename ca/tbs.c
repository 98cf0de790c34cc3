#include "tbs.h"

/* certificates.md of this project's profile: one order, for equal bytes on every node. */
static const char *const extension_order[] = {
    OID_BASIC_CONSTRAINTS, OID_KEY_USAGE,        OID_EXT_KEY_USAGE,    OID_SUBJECT_KEY_ID,
    OID_AUTHORITY_KEY_ID,  OID_SUBJECT_ALT_NAME, OID_CRL_POINTS,       OID_FRESHEST_CRL,
    OID_AUTHORITY_INFO,    OID_POLICIES,         OID_NAME_CONSTRAINTS, OID_OCSP_NOCHECK,
    OID_MS_TEMPLATE_NAME,  OID_MS_TEMPLATE,      OID_MS_SID,
};
#define ORDER_N (sizeof extension_order / sizeof extension_order[0])

int tbs_extension_rank(const char *oid)
{
    for (size_t i = 0; i < ORDER_N; i++)
        if (strcmp(oid, extension_order[i]) == 0)
            return (int)i;
    return -1;
}

bool tbs_extension_before(const char *a, const char *b)
{
    int rank_a = tbs_extension_rank(a), rank_b = tbs_extension_rank(b);

    if (rank_a >= 0 && rank_b >= 0)
        return rank_a < rank_b;
    if (rank_a >= 0 || rank_b >= 0)
        return rank_a >= 0;
    return strcmp(a, b) < 0;
}

bool tbs_extra_add(struct tbs *t, const char *oid, struct view value)
{
    size_t at = t->extra_n;

    if (t->extra_n == TBS_MAX_EXTRA)
        return false;
    for (size_t i = 0; i < t->extra_n; i++)
        if (strcmp(t->extra[i].oid, oid) == 0)
            return false;
    while (at > 0 && tbs_extension_before(oid, t->extra[at - 1].oid)) {
        t->extra[at] = t->extra[at - 1];
        at--;
    }
    t->extra[at] = (struct tbs_extra){oid, value};
    t->extra_n++;
    return true;
}

bool key_identifier(const struct pubkey *key, uint8_t out[KEY_ID_SIZE], struct err *err)
{
    uint8_t hash[64];

    if (!digest_compute(DIGEST_SHA1, key->bits_content, hash, err))
        return false;
    memcpy(out, hash, KEY_ID_SIZE);
    return true;
}

/* The value was written by a writer of its own; the extension goes in front of `w`. */
static void extension_put(struct der *w, const char *oid, bool critical, struct der *value)
{
    if (value->failed)
        w->failed = true;
    else
        extension_build(w, oid, critical, der_content(value));
    der_clear(value);
}

static void put_basic_constraints(struct der *w, const struct tbs *t)
{
    struct der v;

    der_init(&v, 16);
    size_t mark = der_mark(&v);
    if (t->is_ca && t->path_len >= 0)
        der_small(&v, (uint64_t)t->path_len);
    if (t->is_ca)
        der_bool(&v, true);
    der_wrap(&v, DER_SEQUENCE, mark);
    extension_put(w, OID_BASIC_CONSTRAINTS, true, &v);
}

static void put_key_usage(struct der *w, const struct tbs *t)
{
    struct der v;

    der_init(&v, 16);
    der_named_bits(&v, t->key_usage);
    extension_put(w, OID_KEY_USAGE, true, &v);
}

static void put_ext_key_usage(struct der *w, const struct tbs *t)
{
    struct der v;

    if (!t->eku || t->eku->n == 0)
        return;
    der_init(&v, 256);
    size_t mark = der_mark(&v);
    for (size_t i = t->eku->n; i-- > 0;)
        der_oid_text(&v, t->eku->oid[i]);
    der_wrap(&v, DER_SEQUENCE, mark);
    extension_put(w, OID_EXT_KEY_USAGE, false, &v);
}

static void put_key_ids(struct der *w, const struct tbs *t,
                        const uint8_t subject_key_id[KEY_ID_SIZE])
{
    struct der v;

    if (t->authority_key_id.n > 0) { /* keyIdentifier alone */
        der_init(&v, 64);
        size_t mark = der_mark(&v);
        der_tlv(&v, DER_CONTEXT(0), t->authority_key_id);
        der_wrap(&v, DER_SEQUENCE, mark);
        extension_put(w, OID_AUTHORITY_KEY_ID, false, &v);
    }
    der_init(&v, 64);
    der_tlv(&v, DER_OCTET_STRING, view_of(subject_key_id, KEY_ID_SIZE));
    extension_put(w, OID_SUBJECT_KEY_ID, false, &v);
}

static void put_alt_names(struct der *w, const struct tbs *t)
{
    struct der v;

    if (!t->san || t->san->n == 0)
        return;
    der_init(&v, 512);
    san_build(t->san, &v);
    extension_put(w, OID_SUBJECT_ALT_NAME, t->subject->n == 0, &v); /* RFC 5280 section 4.2.1.6 */
}

/* RFC 5280 section 4.2.1.13: one DistributionPoint, fullName with one URI. */
static void put_crl_point(struct der *w, const struct tbs *t)
{
    struct der v;

    if (!t->crl_url || !t->crl_url[0])
        return;
    der_init(&v, 512);
    size_t mark = der_mark(&v);
    der_tlv(&v, DER_CONTEXT(6), view_str(t->crl_url)); /* uniformResourceIdentifier */
    der_wrap(&v, DER_CONTEXT_CONSTRUCTED(0), mark);    /* fullName */
    der_wrap(&v, DER_CONTEXT_CONSTRUCTED(0), mark);    /* distributionPoint */
    der_wrap(&v, DER_SEQUENCE, mark);
    der_wrap(&v, DER_SEQUENCE, mark);
    extension_put(w, OID_CRL_POINTS, false, &v);
}

static void put_access(struct der *w, int method, const char *url)
{
    size_t mark = der_mark(w);

    if (!url || !url[0])
        return;
    der_tlv(w, DER_CONTEXT(6), view_str(url));
    der_oid_nid(w, method);
    der_wrap(w, DER_SEQUENCE, mark);
}

/* RFC 5280 section 4.2.2.1: ocsp, then caIssuers. */
static void put_authority_info(struct der *w, const struct tbs *t)
{
    struct der v;

    if ((!t->issuer_url || !t->issuer_url[0]) && (!t->ocsp_url || !t->ocsp_url[0]))
        return;
    der_init(&v, 512);
    size_t mark = der_mark(&v);
    put_access(&v, NID_ad_ca_issuers, t->issuer_url);
    put_access(&v, NID_ad_OCSP, t->ocsp_url);
    der_wrap(&v, DER_SEQUENCE, mark);
    extension_put(w, OID_AUTHORITY_INFO, false, &v);
}

static void put_extensions(struct der *w, const struct tbs *t,
                           const uint8_t subject_key_id[KEY_ID_SIZE])
{
    size_t mark = der_mark(w);

    for (size_t i = t->extra_n; i-- > 0;)
        extension_build(w, t->extra[i].oid, false, t->extra[i].value);
    put_authority_info(w, t);
    put_crl_point(w, t);
    put_alt_names(w, t);
    put_key_ids(w, t, subject_key_id);
    put_ext_key_usage(w, t);
    put_key_usage(w, t);
    put_basic_constraints(w, t);
    der_wrap(w, DER_SEQUENCE, mark);
    der_wrap(w, DER_CONTEXT_CONSTRUCTED(3), mark);
}

static void put_validity(struct der *w, const struct tbs *t)
{
    size_t mark = der_mark(w);

    der_time(w, t->not_after);
    der_time(w, t->not_before);
    der_wrap(w, DER_SEQUENCE, mark);
}

bool tbs_build(const struct tbs *t, struct buf *out, struct err *err)
{
    uint8_t subject_key_id[KEY_ID_SIZE];
    struct der w;

    if (!key_identifier(t->key, subject_key_id, err))
        return false;
    der_init(&w, 2048);
    size_t mark = der_mark(&w);
    put_extensions(&w, t, subject_key_id);
    pubkey_build(t->key, &w);
    name_build(t->subject, &w);
    put_validity(&w, t);
    der_raw(&w, t->issuer);
    der_raw(&w, sigalg_der(t->sigalg));
    der_uint(&w, t->serial);
    size_t version = der_mark(&w);
    der_small(&w, 2); /* v3 */
    der_wrap(&w, DER_CONTEXT_CONSTRUCTED(0), version);
    der_wrap(&w, DER_SEQUENCE, mark);
    return der_take(&w, out, err);
}

bool certificate_assemble(struct view tbs, struct sigalg alg, struct view signature,
                          struct buf *out, struct err *err)
{
    struct der w;

    der_init(&w, tbs.n + signature.n + 64);
    size_t mark = der_mark(&w);
    der_bits(&w, signature);
    der_raw(&w, sigalg_der(alg));
    der_raw(&w, tbs);
    der_wrap(&w, DER_SEQUENCE, mark);
    return der_take(&w, out, err);
}
