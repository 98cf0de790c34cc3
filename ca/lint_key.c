/* The key that is certified, the key that signs, and how certificates point at both. */
#include "ca/keycheck.h"
#include "lint_internal.h"

#define RSA_BITS_MIN 1024u        /* templates say 2048; 1024 only where one says so explicitly */
#define RSA_BITS_MAX_DEVICE 4096u /* larger ones cost every peer more than they protect */
#define RSA_BITS_MIN_CA 2048u
#define RSA_BITS_MAX_CA 8192u

/* Which of the two rules does an SPKI break that cannot be read?  The algorithm's OID stands first
 * in it. */
static const char *key_rule(struct view spki)
{
    static const uint8_t ec_oid[] = {0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01};
    size_t head = spki.n < 24 ? spki.n : 24;

    return memmem(spki.p, head, ec_oid, sizeof ec_oid) ? "C21" : "C19";
}

static bool lint_key_size(const struct lint *l, struct err *err)
{
    unsigned min = l->is_ca_role ? RSA_BITS_MIN_CA : RSA_BITS_MIN;
    unsigned max = l->is_ca_role ? RSA_BITS_MAX_CA : RSA_BITS_MAX_DEVICE;

    if (l->key.type != KEY_RSA || (l->key.bits >= min && l->key.bits <= max))
        return true;
    return err_refuse(err, REASON_KEY_SMALL, "C19: an RSA key of %u bits; %u to %u are possible",
                      l->key.bits, min, max);
}

/* RFC 3279 section 2.3.1 (NULL parameters), RFC 5480 section 2.1.1 (named curve). */
static bool lint_key_encoding(const struct lint *l, struct err *err)
{
    struct der w;
    struct buf built = {0};

    der_init(&w, l->cert->spki.n);
    pubkey_build(&l->key, &w);
    if (!der_take(&w, &built, err))
        return false;
    bool same = view_eq(buf_view(&built), l->cert->spki);
    buf_clear(&built);
    return same || err_refuse(err, REASON_KEY_TYPE, "%s: the public key is not in its one encoding",
                              key_rule(l->cert->spki));
}

bool lint_key(struct lint *l, struct err *err)
{
    if (!pubkey_parse(l->cert->spki, &l->key, err)) {
        err_prefix(err, "%s", key_rule(l->cert->spki));
        return false;
    }
    if (!lint_key_size(l, err) || !lint_key_encoding(l, err))
        return false;
    if (!key_check(&l->key, err)) {
        err_prefix(err, l->key.type == KEY_RSA ? "C20" : "C21");
        return false;
    }
    return true;
}

/* RFC 5280 section 4.2.1.2: the issuer's subjectKeyIdentifier as it states it, never computed anew
 * but for an imported authority without one. */
static bool read_key_id(const struct extensions *x, struct lint_issuer *out, struct err *err)
{
    out->key_id_n = x->ski.n ? x->ski.n : KEY_ID_SIZE;
    if (out->key_id_n > sizeof out->key_id)
        return err_refuse(err, REASON_INTERNAL, "C28: the issuer's key identifier has %zu octets",
                          out->key_id_n);
    if (x->ski.n == 0)
        return key_identifier(&out->key, out->key_id, err);
    memcpy(out->key_id, x->ski.p, x->ski.n);
    return true;
}

bool lint_issuer_read(const struct cert *issuer, struct lint_issuer *out, struct err *err)
{
    struct extensions x = {0};
    bool has_extensions = issuer->extensions.n > 0; /* v1 has none, and is refused below */
    bool ok = pubkey_parse(issuer->spki, &out->key, err) &&
              (!has_extensions || extensions_parse(issuer->extensions, REASON_INTERNAL, &x, err));
    if (!ok)
        err_prefix(err, "C8: the issuer's certificate");
    else if (!x.is_ca || (x.has_key_usage && !(x.key_usage & KU_KEY_CERT_SIGN)))
        ok = err_refuse(err, REASON_INTERNAL, "C8: the issuer is no certificate authority");
    else
        ok = read_key_id(&x, out, err);
    extensions_clear(&x);
    return ok;
}

/* Never issuer and serial, which break when an authority is renewed. */
bool lint_issuer(struct lint *l, struct err *err)
{
    struct lint_issuer now;
    const struct lint_issuer *issuer = l->limits->known_issuer;

    if (!l->limits->issuer) { /* a root: its own key, its own identifier or none */
        l->issuer_key = l->key;
        if (l->tbs.authority_key_id.n > 0 && !view_eq(l->tbs.authority_key_id, l->subject_key_id))
            return err_refuse(err, REASON_INTERNAL,
                              "C28: a root's authority key identifier is not its own");
        return true;
    }
    if (!issuer) {
        if (!lint_issuer_read(l->limits->issuer, &now, err))
            return false;
        issuer = &now;
    }
    l->issuer_key = issuer->key;
    if (memcmp(l->key.sha256, issuer->key.sha256, sizeof l->key.sha256) == 0)
        return err_refuse(err, REASON_KEY_REUSED, "C38: the key is the authority's own");
    return view_eq(l->tbs.authority_key_id, view_of(issuer->key_id, issuer->key_id_n)) ||
           err_refuse(err, REASON_INTERNAL,
                      "C28: the authority key identifier is not the issuer's");
}

bool lint_key_ids(struct lint *l, struct err *err)
{
    uint8_t computed[KEY_ID_SIZE];

    if (!key_identifier(&l->key, computed, err))
        return false;
    if (!view_eq(l->subject_key_id, view_of(computed, sizeof computed)))
        return err_refuse(err, REASON_INTERNAL, "C28: the subject key identifier is not the key's");
    return true;
}
