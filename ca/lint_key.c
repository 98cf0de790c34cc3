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

/* Reads what the issuer's certificate says about itself. */
static bool issuer_read(struct lint *l, struct extensions *x, struct err *err)
{
    const struct cert *issuer = l->limits->issuer;

    bool has_extensions = issuer->extensions.n > 0; /* v1 has none, and is refused below */
    if (!pubkey_parse(issuer->spki, &l->issuer_key, err) ||
        (has_extensions && !extensions_parse(issuer->extensions, REASON_INTERNAL, x, err))) {
        err_prefix(err, "C8: the issuer's certificate");
        return false;
    }
    return true;
}

/* RFC 5280 section 4.2.1.2: keyIdentifier copied from the issuer's subjectKeyIdentifier, never
 * computed anew; never issuer and serial, which break when an authority is renewed. */
static bool lint_authority_key_id(const struct lint *l, struct view issuer_key_id, struct err *err)
{
    uint8_t computed[KEY_ID_SIZE];

    if (issuer_key_id.n == 0) { /* an imported authority without one */
        if (!key_identifier(&l->issuer_key, computed, err))
            return false;
        issuer_key_id = view_of(computed, sizeof computed);
    }
    if (!view_eq(l->tbs.authority_key_id, issuer_key_id))
        return err_refuse(err, REASON_INTERNAL,
                          "C28: the authority key identifier is not the issuer's");
    return true;
}

bool lint_issuer(struct lint *l, struct err *err)
{
    struct extensions x = {0};
    bool ok = false;

    if (!l->limits->issuer) { /* a root: its own key, its own identifier or none */
        l->issuer_key = l->key;
        if (l->tbs.authority_key_id.n > 0 && !view_eq(l->tbs.authority_key_id, l->subject_key_id))
            return err_refuse(err, REASON_INTERNAL,
                              "C28: a root's authority key identifier is not its own");
        return true;
    }
    if (!issuer_read(l, &x, err))
        goto out;
    if (!x.is_ca || (x.has_key_usage && !(x.key_usage & KU_KEY_CERT_SIGN))) {
        err_refuse(err, REASON_INTERNAL, "C8: the issuer is no certificate authority");
        goto out;
    }
    if (memcmp(l->key.sha256, l->issuer_key.sha256, sizeof l->key.sha256) == 0) {
        err_refuse(err, REASON_KEY_REUSED, "C38: the key is the authority's own");
        goto out;
    }
    ok = lint_authority_key_id(l, x.ski, err);
out:
    extensions_clear(&x);
    return ok;
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
